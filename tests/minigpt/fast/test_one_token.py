"""minigpt.fast.one_token: one new token gets the scores that the model gives it, bit for bit.

In C they round in another order.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from threading import Thread

import pytest
import torch
from torch import Tensor, nn

from minigpt.cache import KVCache
from minigpt.config import GPTConfig
from minigpt.fast import c_library, one_token
from minigpt.fast.linear import PIECES
from minigpt.fast.one_token import IN_C, PLAIN, OneToken, TokenInC
from minigpt.layers import evaluated
from minigpt.lora.model import apply_lora
from minigpt.model import GPT, record_attention

CONFIG = GPTConfig(vocab_size=50, block_size=16, n_layer=2, n_head=2, n_embd=16, dropout=0.5)


def model_with(bias: bool = True, **sizes: int) -> GPT:
    torch.manual_seed(0)
    model = GPT(GPTConfig(**{**vars(CONFIG), "bias": bias, **sizes})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


@torch.inference_mode()
def scores(model: GPT | OneToken, rows: int) -> list[Tensor]:
    """Returns the scores after a prompt of 3 tokens and after 12 more, one at a time."""
    idx = torch.arange(15 * rows).view(rows, 15) % 50
    cache = KVCache(model.config.n_layer, 16)
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


# In C.

needs_c = pytest.mark.skipif(
    c_library.compiled() is None, reason="needs a C compiler with OpenMP, such as gcc"
)


@pytest.fixture
def in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets models of every size compute a token in C, whatever is faster."""
    monkeypatch.setattr(one_token, "LARGE", 0)
    monkeypatch.setattr(one_token, "CHOSEN", {})
    monkeypatch.setattr("minigpt.fast.measured.MADE", {})
    monkeypatch.setenv("MINIGPT_WAYS", f"token={IN_C}")


def writing_in_c(model: GPT) -> OneToken:
    """Returns model.for_writing(), which has decided to compute tokens in C."""
    fast = model.for_writing()
    assert isinstance(fast, OneToken)
    scores(fast, 1)
    assert isinstance(fast.in_c, TokenInC)
    return fast


SIZES = {
    "one block": {"n_layer": 1},
    "no bias": {"bias": False},
    "a width that no vector divides": {"n_embd": 3 * 7, "n_head": 3},
    "more than one round of the loop": {"n_embd": 2 * 70, "n_head": 2},
    "GPT-2's head": {"n_embd": 3 * 64, "n_head": 3},
    "one head": {"n_head": 1},
}


@needs_c
@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("size", SIZES)
def test_in_c_the_scores_are_as_exact_as_the_models(
    size: str, n_threads: int, in_c: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    model = model_with(**SIZES[size])
    right = scores(copy.deepcopy(model).double(), 1)  # type: ignore[arg-type]
    fast, plain = scores(writing_in_c(model), 1), scores(model, 1)
    for found, rounded, exact in zip(fast[1:], plain[1:], right[1:], strict=True):
        assert found.shape == (1, 1, 50)
        scale = exact.abs().max()
        assert (found - exact).abs().max() <= 2 * (rounded - exact).abs().max() + 1e-6 * scale
    assert torch.equal(fast[0], plain[0])  # the prompt is the model's


@needs_c
@torch.inference_mode()
def test_in_c_the_cache_is_what_the_model_leaves(in_c: None) -> None:
    model = model_with()
    fast, caches = writing_in_c(model), [KVCache(2, 16), KVCache(2, 16)]
    for answers, cache in zip((fast, model), caches, strict=True):
        for ids in ([1, 2, 3], [4], [5], [6, 7], [8]):  # the model goes on where it has stopped
            answers(torch.tensor([ids]), cache=cache, last_only=True)
    for found, right in zip(caches[0].layers, caches[1].layers, strict=True):
        assert found.length == right.length == 8
        torch.testing.assert_close(found.keys[:, :, :8], right.keys[:, :, :8])
        torch.testing.assert_close(found.values[:, :, :8], right.values[:, :, :8])


@needs_c
def test_in_c_it_sees_weights_that_are_loaded_later_and_outlives_those_that_are_replaced(
    in_c: None,
) -> None:
    model, other = model_with(), model_with()
    fast = writing_in_c(model)
    with torch.no_grad():
        other.transformer["wte"].weight *= 2
    model.load_state_dict(other.state_dict())
    right = scores(other, 1)[-1]
    torch.testing.assert_close(scores(fast, 1)[-1], right, rtol=1e-4, atol=1e-4)
    for layer in model.transformer["h"][0].mlp.children():
        layer.weight.data = torch.empty(0)
    cache = KVCache(2, 16)
    with torch.inference_mode():
        other(torch.tensor([[1, 2]]), cache=cache)
        assert fast(torch.tensor([[3]]), cache=cache)[0].isfinite().all()


@needs_c
@torch.inference_mode()
def test_a_cache_that_is_full_or_another_models_is_refused_as_it_was(in_c: None) -> None:
    fast, cache = writing_in_c(model_with()), KVCache(2, 3)
    token = torch.tensor([[1]])
    for _ in range(3):
        fast(token, cache=cache)
    with pytest.raises(ValueError, match="the cache has room for 3 tokens, not for 4"):
        fast(token, cache=cache)
    wide, cache = model_with(n_embd=32), KVCache(2, 3)
    wide(torch.tensor([[1]]), cache=cache)
    with pytest.raises(RuntimeError):
        fast(token, cache=cache)
    assert not fast.in_c.can_store(KVCache(3, 3))  # type: ignore[union-attr]


@needs_c
def test_several_threads_may_write_with_one_model(in_c: None) -> None:
    fast, found = writing_in_c(model_with()), []
    right = scores(fast, 1)

    def write() -> None:
        found.extend(scores(fast, 1) for _ in range(20))

    threads = [Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 60
    for answers in found:
        assert all(torch.equal(a, b) for a, b in zip(answers, right, strict=True))


@needs_c
def test_gradients_several_rows_and_other_formats_are_left_to_torch(
    in_c: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_with()
    fast = writing_in_c(model)
    monkeypatch.setattr(TokenInC, "step", None)  # not called from here on
    scores(fast, 3)
    cache = KVCache(2, 16)
    model(torch.tensor([[1, 2]]), cache=cache)
    assert fast(torch.tensor([[3]]), cache=cache)[0].requires_grad
    for unfit in (model_with().bfloat16(), model_with().double(), model_with()):
        if unfit.lm_head.weight.dtype == torch.float32:
            unfit.transformer["ln_f"].eps = 1e-3
        scores(unfit.for_writing(), 1)


def test_a_small_model_is_not_compiled_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c_library, "compiled", None)  # not called
    scores(model_with().for_writing(), 1)


@needs_c
@pytest.mark.parametrize("fault", ["none", "wrong", "no number", "slow"])
def test_what_is_wrong_or_slow_is_not_used(
    fault: str, in_c: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(self: TokenInC, x: Tensor, cache: KVCache) -> Tensor:
        logits = right(self, x, cache)
        if fault in ("wrong", "no number"):
            logits[..., 7] += 1e-2 if fault == "wrong" else torch.nan
        return logits

    right = TokenInC.step
    monkeypatch.setattr(TokenInC, "step", step)
    monkeypatch.delenv("MINIGPT_WAYS")
    seconds = {PLAIN: 1.0, IN_C: 2.0 if fault == "slow" else 0.5}

    def time_in_turn(ways: dict[str, Callable[[], object]], enough: float) -> dict[str, float]:
        return {name: seconds[name] for name in ways}

    monkeypatch.setattr("minigpt.fast.measured.time_in_turn", time_in_turn)
    fast = model_with().for_writing()
    scores(fast, 1)
    assert isinstance(fast, OneToken)
    assert (fast.in_c is not None) == (fault == "none")
    assert list(one_token.CHOSEN.values()) == [IN_C if fault == "none" else PLAIN]
