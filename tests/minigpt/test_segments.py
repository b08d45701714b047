"""Several texts in one row, rows filled up on the left, and losses of some positions only."""

import pytest
import torch
from torch.nn import functional as F

from minigpt.cache import KVCache
from minigpt.config import GPTConfig
from minigpt.dataset import Batch
from minigpt.fast.attention import fused_attention
from minigpt.fast.dropout import dropout
from minigpt.model import GPT, masked_attention, segment_mask
from minigpt.training.loss import part_of_loss
from tests.minigpt.tiny.run import loss_and_gradients

CONFIG = GPTConfig(vocab_size=61, block_size=16, n_layer=3, n_head=2, n_embd=24)
LENGTHS = (5, 1, 7)


@pytest.fixture
def model() -> GPT:
    """Returns a small model whose every weight, biases and norms included, is random."""
    model = GPT(CONFIG)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def packed_row() -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Returns idx [1, 13], segments [1, 13] and the three texts [n] that the row consists of."""
    texts = [torch.randint(0, 61, (n,)) for n in LENGTHS]
    segments = torch.repeat_interleave(torch.arange(3), torch.tensor(LENGTHS))
    return torch.cat(texts)[None], segments[None], texts


def test_a_text_in_a_packed_row_is_read_as_if_it_were_alone(model: GPT) -> None:
    idx, segments, texts = packed_row()
    packed = model(idx, segments=segments)[0][0].split(LENGTHS)
    for text, logits in zip(texts, packed, strict=True):
        torch.testing.assert_close(logits, model(text[None])[0][0], rtol=1e-5, atol=1e-5)


def test_nothing_leaks_from_one_text_into_another(model: GPT) -> None:
    idx, segments, _ = packed_row()
    other = idx.clone()
    other[0, :5] = (other[0, :5] + 1) % 61
    before, after = model(idx, segments=segments)[0], model(other, segments=segments)[0]
    assert torch.equal(before[0, 5:], after[0, 5:])
    assert not torch.equal(before[0, :5], after[0, :5])


def test_packed_texts_may_be_longer_together_than_the_context(model: GPT) -> None:
    texts = [torch.randint(0, 61, (16,)) for _ in range(2)]
    segments = torch.arange(2).repeat_interleave(16)[None]
    packed = model(torch.cat(texts)[None], segments=segments)[0][0]
    torch.testing.assert_close(packed[16:], model(texts[1][None])[0][0], rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="32 tokens do not fit the context of block_size=16"):
        model(torch.cat(texts)[None], segments=torch.zeros_like(segments))


def test_segments_are_read_through_a_cache_too(model: GPT) -> None:
    idx, segments, _ = packed_row()
    whole = model(idx, segments=segments)[0]
    cache = KVCache(CONFIG.n_layer, 13)
    pieces = [
        model(idx[:, start:stop], segments=segments[:, :stop], cache=cache)[0]
        for start, stop in ((0, 4), (4, 5), (5, 9), (9, 13))
    ]
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("use_cache", [True, False])
def test_prompts_filled_up_on_the_left_are_continued_as_they_would_be_alone(
    model: GPT, use_cache: bool
) -> None:
    prompts = [torch.randint(0, 61, (1, n)) for n in (2, 6, 4, 1)]
    idx, segments = torch.full((4, 6), 60), torch.zeros(4, 6, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        idx[row, 6 - prompt.size(1) :] = prompt
        segments[row, 6 - prompt.size(1) :] = 1
    together = model.generate(idx, 9, temperature=0, segments=segments, use_cache=use_cache)
    for row, prompt in enumerate(prompts):
        alone = model.generate(prompt, 9, temperature=0)
        assert together[row, 6:].tolist() == alone[0, prompt.size(1) :].tolist()


def test_a_prefix_stands_before_the_prompt_and_not_before_what_fills_the_row(model: GPT) -> None:
    prefix = KVCache(CONFIG.n_layer, 3)
    model(torch.randint(0, 61, (1, 3)), cache=prefix)
    prompt = torch.randint(0, 61, (1, 2))
    alone = model.generate(prompt, 5, temperature=0, prefix=prefix)
    filled = torch.cat([torch.zeros(1, 4, dtype=torch.long), prompt], dim=1)
    segments = torch.tensor([[0, 0, 0, 0, 1, 1]])
    together = model.generate(filled, 5, temperature=0, prefix=prefix, segments=segments)
    assert together[0, 6:].tolist() == alone[0, 2:].tolist()


def test_every_text_of_a_packed_row_has_the_prefix_before_it(model: GPT) -> None:
    idx, segments, texts = packed_row()
    front = torch.randint(0, 61, (1, 3))
    cache = KVCache(CONFIG.n_layer, 3)
    model(front, cache=cache)
    packed = model(idx, segments=segments, cache=cache.copy(1, 16))[0][0].split(LENGTHS)
    for text, logits in zip(texts, packed, strict=True):
        alone = model(torch.cat([front[0], text])[None])[0][0, 3:]
        torch.testing.assert_close(logits, alone, rtol=1e-5, atol=1e-5)
    long = torch.arange(2).repeat_interleave(13)[None]  # 13 + 3 = block_size each
    model(torch.zeros_like(long), segments=long, cache=cache.copy(1, 29))
    with pytest.raises(ValueError, match="17 tokens, 3 of them before idx, do not fit"):
        model(long[:, :14], segments=long[:, :1].expand(1, 14), cache=cache.copy(1, 29))


def test_segments_that_do_not_fit_are_refused(model: GPT) -> None:
    idx = torch.zeros(2, 6, dtype=torch.long)
    with pytest.raises(ValueError, match=r"shape \[2, 6\], got \[2, 5\]"):
        model.generate(idx, 3, segments=idx[:, 1:])
    with pytest.raises(ValueError, match="needs 17 of 16 tokens"):
        model.generate(idx, 11, segments=idx)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_attentions_agree_on_packed_rows(dtype: torch.dtype) -> None:
    segments = torch.tensor([[0, 0, 1, 1, 1, 2], [0, 1, 1, 1, 1, 1]])
    mask = segment_mask(segments, 6)
    inputs = [torch.randn(2, 2, 6, 4, dtype=dtype, requires_grad=True) for _ in range(3)]
    values, weights = masked_attention(*(x.detach().double() for x in inputs), mask=mask)
    assert (weights[~mask.expand_as(weights)] == 0).all()
    tolerance = 1e-6 if dtype == torch.float32 else 2e-2
    fused = fused_attention(*inputs, mask=mask)
    torch.testing.assert_close(fused.double(), values, rtol=tolerance, atol=tolerance)


def test_bf16_training_on_a_cpu_has_the_gradients_of_the_fused_kernel() -> None:
    inputs = [torch.randn(3, 2, 9, 8, dtype=torch.bfloat16, requires_grad=True) for _ in range(3)]
    exact = [x.detach().double().requires_grad_() for x in inputs]
    weight = torch.randn(3, 2, 9, 8)
    ours = torch.autograd.grad((fused_attention(*inputs) * weight).sum(), inputs)
    theirs = F.scaled_dot_product_attention(*exact, is_causal=True)
    expected = torch.autograd.grad((theirs * weight).sum(), exact)
    for mine, right in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine.double(), right, rtol=0.05, atol=0.03)


def test_loss_only_gives_the_same_loss_and_gradients_and_no_logits(model: GPT) -> None:
    idx, targets = torch.randint(0, 61, (2, 3, 9))
    targets[torch.rand(3, 9) < 0.6] = -100
    logits, loss = model(idx, targets)
    expected = torch.autograd.grad(loss, list(model.parameters()))
    none, same_loss = model(idx, targets, loss_only=True)
    assert none.shape == (0, logits.size(-1))
    torch.testing.assert_close(same_loss, loss, rtol=1e-6, atol=0)
    for ours, right in zip(
        torch.autograd.grad(same_loss, list(model.parameters())), expected, strict=True
    ):
        torch.testing.assert_close(ours, right, rtol=1e-4, atol=1e-6)


def test_the_loss_of_a_prompt_position_has_no_gradient(model: GPT) -> None:
    idx, targets = torch.randint(0, 61, (2, 2, 8))
    targets[:, :5] = -100
    logits, loss = model(idx, targets)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient[:, :5] == 0).all()
    assert (gradient[:, 5:] != 0).all()


def test_micro_batches_of_packed_rows_add_up_to_the_batch(model: GPT) -> None:
    idx, segments, _ = packed_row()
    idx, segments = idx.repeat(3, 1), segments.repeat(3, 1)
    targets = torch.randint(0, 61, (3, 13))
    targets[0, 2:] = -100
    batch = Batch(idx, targets, segments)
    gradients = [loss_and_gradients(model, batch, size)[1] for size in (3, 1)]
    for whole, in_parts in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, in_parts, rtol=1e-4, atol=1e-6)
    alone = part_of_loss(model, Batch(idx, targets), 28)  # without segments it is another loss
    assert abs(alone - part_of_loss(model, batch, 28)) > 1e-3


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_zeroes_a_share_and_keeps_the_mean(p: float) -> None:
    x = torch.ones(400, 1000)
    dropped = dropout(x, p, training=True)
    n = x.numel()
    share = (dropped == 0).double().mean()
    assert abs(share - p) < 5 * (p * (1 - p) / n) ** 0.5 + 2**-16
    assert torch.equal(dropped[dropped != 0], torch.full_like(dropped[dropped != 0], 1 / (1 - p)))
    # Neighbours share a random number's bits, but not their fate.
    zero = (dropped == 0).double().flatten() - p
    for apart in (1, 2, 3, 4, 1000):
        correlation = (zero[apart:] * zero[:-apart]).mean() / (p * (1 - p))
        assert abs(correlation) < 5 / n**0.5


def test_dropout_passes_gradients_where_it_kept_the_number() -> None:
    x = torch.randn(50, 33, requires_grad=True)
    dropped = dropout(x, 0.3, training=True)
    (gradient,) = torch.autograd.grad(dropped.sum(), x)
    kept = dropped != 0
    torch.testing.assert_close(gradient, kept / 0.7)
