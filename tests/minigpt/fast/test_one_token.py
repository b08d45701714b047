"""minigpt.fast.one_token: one new token gets the scores that the model gives it, bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from minigpt.cache import KVCache
from minigpt.config import GPTConfig
from minigpt.fast.linear import PIECES
from minigpt.fast.one_token import OneToken
from minigpt.layers import evaluated
from minigpt.lora.model import apply_lora
from minigpt.model import GPT, record_attention

CONFIG = GPTConfig(vocab_size=50, block_size=16, n_layer=2, n_head=2, n_embd=16, dropout=0.5)


def model_with(bias: bool = True) -> GPT:
    torch.manual_seed(0)
    model = GPT(GPTConfig(**{**vars(CONFIG), "bias": bias})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


@torch.inference_mode()
def scores(model: GPT | OneToken, rows: int) -> list[Tensor]:
    """Returns the scores after a prompt of 3 tokens and after 12 more, one at a time."""
    idx = torch.arange(15 * rows).view(rows, 15) % 50
    cache = KVCache(2, 16)
    steps = [idx[:, :3], *idx[:, 3:].split(1, dim=1)]
    return [model(part, cache=cache, last_only=True)[0] for part in steps]


@pytest.mark.parametrize("rows", [1, 3, 9])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_gives_the_scores_of_the_model(dtype: torch.dtype, bias: bool, rows: int) -> None:
    model = model_with(bias).to(dtype)
    fast = model.for_writing()
    assert isinstance(fast, OneToken)
    for found, right in zip(scores(fast, rows), scores(model, rows), strict=True):
        assert torch.equal(found, right)
        assert found.shape == (rows, 1, 50)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n_threads", [2, 3])
def test_pieces_that_are_cut_once_give_the_same_scores(
    n_threads: int, bias: bool, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    model = model_with(bias)
    shapes = {p.shape: PIECES for p in model.parameters() if p.dim() == 2}
    monkeypatch.setattr("minigpt.fast.linear.ONE_ROW", shapes)
    monkeypatch.setattr("minigpt.fast.one_token.ONE_ROW", shapes)
    for found, right in zip(scores(model.for_writing(), rows), scores(model, rows), strict=True):
        assert torch.equal(found, right)


def test_it_sees_weights_that_are_loaded_later() -> None:
    model, other = model_with(), model_with()
    fast = model.for_writing()
    with torch.no_grad():
        other.transformer["h"][1].mlp.c_fc.weight += 1
        other.transformer["wte"].weight *= 2
    model.load_state_dict(other.state_dict())
    assert torch.equal(scores(fast, 1)[-1], scores(other, 1)[-1])


def test_in_autocast_and_while_attention_is_recorded_the_model_answers() -> None:
    model = model_with()
    fast, before = model.for_writing(), scores(model, 1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(scores(fast, 1)[-1], scores(model, 1)[-1])
        assert not torch.equal(scores(fast, 1)[-1], before[-1])
    with record_attention(model) as maps:
        scores(fast, 1)
    assert len(maps) == 2 * 13


def watch(layer: nn.Module) -> None:
    layer.register_forward_hook(lambda *_: None)


class Louder(nn.LayerNorm):
    """A layer norm that somebody has changed."""


UNUSUAL: dict[str, Callable[[GPT], object]] = {
    "LoRA": lambda model: apply_lora(model, r=2, alpha=4),
    "a hook": lambda model: watch(model.transformer["h"][1].mlp.c_fc),
    "a hook on the model": watch,
    "a hook before the head": lambda m: m.lm_head.register_forward_pre_hook(lambda *_: None),
    "a layer of another kind": lambda model: model.transformer.update({"ln_f": Louder(16)}),
    "a method of its own": lambda model: vars(model.lm_head).update(forward=torch.tanh),
}


@pytest.mark.parametrize("what", UNUSUAL)
def test_a_model_that_is_not_plain_answers_itself(what: str) -> None:
    model = model_with()
    UNUSUAL[what](model)
    model = evaluated(model)
    assert model.for_writing() is model
    assert isinstance(model_with().for_writing(), OneToken)
