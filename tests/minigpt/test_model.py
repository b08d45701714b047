"""The decoder against arithmetic done another way, and against what a decoder must not do."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from minigpt.config import GPTConfig
from minigpt.fast.attention import fused_attention
from minigpt.model import GPT, causal_mask, masked_attention, record_attention
from minigpt.training.loss import autocast

CONFIG = GPTConfig(vocab_size=61, block_size=16, n_layer=3, n_head=2, n_embd=24)


@pytest.fixture
def model() -> GPT:
    """Returns a small model whose every weight, biases and norms included, is random."""
    torch.manual_seed(3)
    model = GPT(CONFIG)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def attention_in_loops(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool):
    """Computes attention one number at a time, in Python floats (fp64)."""
    B, H, Tq, D = q.shape
    past = k.size(2) - Tq
    y = torch.zeros(B, H, Tq, D, dtype=torch.float64)
    for b in range(B):
        for h in range(H):
            for i in range(Tq):
                seen = range(past + i + 1) if causal else range(k.size(2))
                scores = [
                    sum(float(q[b, h, i, d]) * float(k[b, h, j, d]) for d in range(D)) / D**0.5
                    for j in seen
                ]
                total = sum(math.exp(s) for s in scores)
                for j, score in zip(seen, scores, strict=True):
                    y[b, h, i] += math.exp(score) / total * v[b, h, j].double()
    return y


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("n_queries", "n_keys"), [(5, 5), (1, 4), (3, 7), (1, 1)])
def test_both_attentions_equal_the_definition(causal: bool, n_queries: int, n_keys: int) -> None:
    q = torch.randn(2, 3, n_queries, 4)
    k, v = torch.randn(2, 3, n_keys, 4), torch.randn(2, 3, n_keys, 4)
    expected = attention_in_loops(q, k, v, causal)
    by_hand, weights = masked_attention(q, k, v, causal)
    torch.testing.assert_close(by_hand.double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        fused_attention(q, k, v, causal).double(), expected, rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, n_queries))
    if causal:
        assert (weights[..., ~causal_mask(n_queries, n_keys)] == 0).all()


def test_large_scores_do_not_overflow() -> None:
    q, k, v = (100 * torch.randn(1, 2, 6, 8) for _ in range(3))
    torch.testing.assert_close(masked_attention(q, k, v)[0], fused_attention(q, k, v))


def test_attention_gradients_agree() -> None:
    inputs = [torch.randn(2, 2, 5, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    by_hand = torch.autograd.grad(masked_attention(*inputs)[0].pow(2).sum(), inputs)
    fused = torch.autograd.grad(fused_attention(*inputs).pow(2).sum(), inputs)
    torch.testing.assert_close(by_hand, fused)


def test_logits_equal_transformers(model: GPT) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=61, n_positions=16, n_embd=24, n_layer=3, n_head=2,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    peer = transformers.GPT2LMHeadModel(config).eval()
    conv1d = ("c_attn.weight", "c_proj.weight", "c_fc.weight")  # stored [in, out] over there
    weights = {
        name: tensor.T if name.endswith(conv1d) else tensor
        for name, tensor in model.state_dict().items()
    }
    peer.load_state_dict(weights)
    idx = torch.randint(61, (3, 16))
    with torch.no_grad():
        torch.testing.assert_close(model(idx)[0], peer(idx).logits, rtol=1e-4, atol=1e-4)


def test_later_tokens_do_not_change_earlier_logits(model: GPT) -> None:
    idx = torch.randint(61, (2, 16))
    changed = idx.clone()
    changed[:, 9:] = (changed[:, 9:] + 1) % 61
    before, after = model(idx)[0], model(changed)[0]
    assert torch.equal(before[:, :9], after[:, :9])
    assert not torch.isclose(before[:, 9:], after[:, 9:]).all(dim=-1).any()


def test_without_the_mask_every_token_sees_every_other(model: GPT) -> None:
    idx = torch.randint(61, (1, 8))
    changed = idx.clone()
    changed[0, 7] = (idx[0, 7] + 1) % 61
    before, after = model(idx, causal=False)[0], model(changed, causal=False)[0]
    assert not torch.isclose(before, after).all(dim=-1).any()


def test_rows_of_a_batch_do_not_mix(model: GPT) -> None:
    idx = torch.randint(61, (3, 10))
    together = model(idx)[0]
    alone = torch.cat([model(row[None])[0] for row in idx])
    torch.testing.assert_close(together, alone)


def test_loss_is_the_mean_over_the_targets_that_count(model: GPT) -> None:
    idx, targets = torch.randint(61, (2, 2, 12))
    targets[0, :7] = -100
    logits, loss = model(idx, targets)
    log_p = logits.double().log_softmax(-1)
    counted = [
        -log_p[b, t, targets[b, t]] for b in range(2) for t in range(12) if targets[b, t] != -100
    ]
    assert len(counted) == 17
    assert float(loss.detach()) == pytest.approx(float(sum(counted).detach() / 17), rel=1e-5)


def test_loss_of_a_new_model_is_that_of_guessing() -> None:
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=4096, block_size=64, n_layer=4, n_head=4, n_embd=128))
    idx = torch.randint(4096, (8, 65))
    assert model(idx[:, :-1], idx[:, 1:])[1].item() == pytest.approx(math.log(4096), abs=0.15)


def test_initial_weights_have_gpt2s_spread() -> None:
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=1000, block_size=64, n_layer=8, n_head=4, n_embd=128))
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            assert torch.equal(
                parameter, torch.full_like(parameter, float("ln" in name and "weight" in name))
            )
            continue
        expected = 0.02 / math.sqrt(16) if "c_proj" in name else 0.02
        # The spread of a sample of n normal numbers is itself spread by 1 / sqrt(2 n): allow five.
        allowed = 5 / math.sqrt(2 * parameter.numel())
        assert float(parameter.std()) == pytest.approx(expected, rel=allowed), name


def test_lm_head_is_the_token_embedding(model: GPT) -> None:
    assert model.lm_head.weight is model.transformer["wte"].weight
    assert len(list(model.parameters())) == 2 + 3 * 12 + 2


def test_attention_maps_are_those_the_model_used(model: GPT) -> None:
    idx = torch.randint(61, (2, 9))
    with record_attention(model) as maps:
        slow = model(idx)[0]
    assert [list(layer.shape) for layer in maps] == [[2, 2, 9, 9]] * 3
    assert all((layer.triu(1) == 0).all() for layer in maps)
    block = next(model.blocks())
    x = model.transformer["wte"](idx) + model.transformer["wpe"](torch.arange(9))
    q, k, _ = block.attn.c_attn(block.ln_1(x)).split(24, dim=-1)
    scores = q.view(2, 9, 2, 12).transpose(1, 2) @ k.view(2, 9, 2, 12).permute(0, 2, 3, 1)
    scores = scores / 12**0.5 + torch.full((9, 9), -torch.inf).triu(1)
    torch.testing.assert_close(maps[0], F.softmax(scores, -1))
    torch.testing.assert_close(slow, model(idx)[0])
    assert len(maps) == 3  # nothing is recorded after the block


def test_last_only_gives_the_last_row(model: GPT) -> None:
    idx = torch.randint(61, (2, 7))
    torch.testing.assert_close(model(idx, last_only=True)[0], model(idx)[0][:, -1:])


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    model = GPT(
        GPTConfig(vocab_size=61, block_size=16, n_layer=2, n_head=2, n_embd=24, dropout=0.5)
    )
    idx = torch.randint(61, (1, 8))
    assert not torch.equal(model(idx)[0], model(idx)[0])
    model.eval()
    assert torch.equal(model(idx)[0], model(idx)[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradient_checkpointing_keeps_less_and_changes_no_bit(dtype: torch.dtype) -> None:
    model = GPT(replace(CONFIG, dropout=0.2))
    idx = torch.randint(61, (3, 16))
    segments = torch.arange(3).repeat_interleave(torch.tensor([5, 4, 7])).expand(3, 16)
    found = []
    for model.gradient_checkpointing in (False, True):
        kept: dict[int, int] = {}  # bytes that wait for the backward pass, by their place

        def note(tensor: torch.Tensor, kept: dict[int, int] = kept) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        torch.manual_seed(5)
        model.zero_grad()
        hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
        with autocast(idx.device, dtype), hooks:
            loss = model(idx, idx, segments=segments)[1]
        loss.backward()
        found.append((loss, [p.grad for p in model.parameters()], sum(kept.values())))
    (loss, gradients, kept_all), (same_loss, same, kept_less) = found
    assert torch.equal(loss, same_loss)
    assert all(torch.equal(a, b) for a, b in zip(gradients, same, strict=True))
    assert kept_less < 0.5 * kept_all


def test_compiled_graph_is_whole(model: GPT) -> None:
    explanation = torch._dynamo.explain(model)(torch.randint(61, (2, 8)))
    assert explanation.graph_break_count == 0


def test_ids_outside_the_vocabulary_are_refused(model: GPT) -> None:
    for wrong in (61, -1):
        with pytest.raises(ValueError, match=rf"token id {wrong} is outside the vocabulary of 61"):
            model(torch.tensor([[0, wrong, 3]]))
    model(torch.tensor([[0, 60]]))


def test_too_long_a_sequence_is_refused(model: GPT) -> None:
    with pytest.raises(ValueError, match="17 tokens do not fit the context of block_size=16"):
        model(torch.zeros(1, 17, dtype=torch.long))


@pytest.mark.parametrize("shape", [(1, 0), (0, 4), (5,)])
def test_empty_or_flat_input_is_refused(model: GPT, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="idx must hold at least one token"):
        model(torch.zeros(shape, dtype=torch.long))
