"""Sampling against closed forms and transformers; the cache against reading everything again."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import tiktoken
import torch
from torch import Tensor

from minigpt import generation
from minigpt.cache import KVCache
from minigpt.config import GPTConfig
from minigpt.dataset import Batch
from minigpt.generation import draw, keep_top_k, keep_top_p, sample, stream
from minigpt.lora.model import apply_lora
from minigpt.model import GPT, record_attention
from minigpt.tokenizer import stream_text
from minigpt.training.loss import evaluate_loss

CONFIG = GPTConfig(vocab_size=50, block_size=16, n_layer=2, n_head=2, n_embd=16, dropout=0.5)


@pytest.fixture
def model() -> GPT:
    """Returns a tiny random model whose greedy choice changes from step to step."""
    model = GPT(CONFIG)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(std=0.02 if name.endswith("bias") else 0.2)
        model.transformer["wpe"].weight *= 2.5
        model.transformer["ln_f"].weight *= 5
        model.lm_head.weight /= model.lm_head.weight.norm(dim=-1, keepdim=True)
    return model


def prompts(batch: int, length: int) -> Tensor:
    return torch.randint(0, CONFIG.vocab_size, (batch, length))


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spy_on_lengths(model: GPT) -> list[int]:
    """Records how many tokens the model reads at each step."""
    lengths: list[int] = []
    model.register_forward_pre_hook(lambda _, arguments: lengths.append(arguments[0].size(1)))
    return lengths


# Decoding loops


@torch.no_grad()
def naive_greedy(model: GPT, idx: Tensor, n: int) -> Tensor:
    """Appends n times the likeliest token after the last block_size ones: the definition."""
    model.eval()
    for _ in range(n):
        logits = model(idx[:, -CONFIG.block_size :])[0]
        idx = torch.cat([idx, logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    return idx


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("length", [1, 5, 16, 23])
def test_greedy_is_the_naive_loop_also_past_the_context(
    model: GPT, length: int, use_cache: bool
) -> None:
    idx = prompts(3, length)
    written = model.generate(idx, 30, temperature=0, use_cache=use_cache)
    assert torch.equal(written, naive_greedy(model, idx, 30))
    assert len(written[:, length:].unique()) > 3  # one token over and over would prove little


@pytest.mark.parametrize("settings", [{}, {"top_k": 5}, {"top_p": 0.8, "temperature": 1.5}])
def test_cached_and_uncached_sampling_give_the_same_tokens(
    model: GPT, settings: dict[str, float]
) -> None:
    idx = prompts(4, 6)
    cached = model.generate(idx, 30, generator=seeded(), **settings)
    uncached = model.generate(idx, 30, generator=seeded(), use_cache=False, **settings)
    assert torch.equal(cached, uncached)


def test_the_cache_reads_each_token_once_until_the_window_slides(model: GPT) -> None:
    lengths = spy_on_lengths(model)
    model.generate(prompts(1, 10), 10)
    assert lengths == [10, 1, 1, 1, 1, 1, 1, 16, 16, 16]


def test_a_seeded_generator_repeats_itself_and_leaves_the_global_one_alone(model: GPT) -> None:
    idx = prompts(2, 3)
    before = torch.get_rng_state()
    first, again = (model.generate(idx, 12, generator=seeded()) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, model.generate(idx, 12, generator=seeded(8)))
    assert torch.equal(torch.get_rng_state(), before)


def test_stream_yields_what_generate_returns(model: GPT) -> None:
    idx = prompts(2, 4)
    steps = list(stream(model, idx, 9, generator=seeded()))
    assert [step.shape for step in steps] == [(2,)] * 9
    expected = generation.generate(model, idx, 9, generator=seeded())
    assert torch.equal(torch.stack(steps, dim=1), expected[:, 4:])


def test_zero_new_tokens_is_the_prompt(model: GPT) -> None:
    idx = prompts(2, 4)
    assert torch.equal(model.generate(idx, 0), idx)


def test_finished_rows_are_filled_with_the_stop_token_and_all_finished_ends(model: GPT) -> None:
    idx = prompts(4, 5)
    free = model.generate(idx, 40, generator=seeded())[:, 5:]
    stop = int(free[0, 3])
    ends = [row.tolist().index(stop) if stop in row.tolist() else 40 for row in free]
    written = model.generate(idx, 40, stop_token=stop, generator=seeded())[:, 5:]
    assert written.size(1) == min(max(ends) + 1, 40)
    assert len(set(ends)) > 1  # rows of different lengths, or this tests nothing
    for row, unstopped, end in zip(written, free, ends, strict=True):
        assert torch.equal(row[: end + 1], unstopped[: end + 1][: len(row)])
        assert (row[end:] == stop).all()


def test_dropout_is_off_while_writing_and_every_module_gets_its_mode_back(model: GPT) -> None:
    model.train()
    model.transformer["ln_f"].eval()  # a frozen part keeps its own mode
    modes = [module.training for module in model.modules()]
    first, again = (model.generate(prompts(1, 1) * 0, 12, temperature=0) for _ in range(2))
    assert torch.equal(first, again)
    assert [module.training for module in model.modules()] == modes
    for _ in stream(model, prompts(1, 2), 5):
        break  # a reader that stops early
    assert [module.training for module in model.modules()] == modes


def test_threads_that_share_a_model_in_training_mode_write_as_in_evaluation_mode(
    model: GPT,
) -> None:
    apply_lora(model, r=2, alpha=4, dropout=0.5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    inputs = [torch.full((1, 2), i) for i in range(6)]
    batch = Batch(torch.cat(inputs), torch.cat(inputs), None)
    texts = [model.eval().generate(idx, 8, temperature=0) for idx in inputs]
    loss = evaluate_loss(model, [batch])
    model.train()
    model.transformer["ln_f"].eval()
    modes = [module.training for module in model.modules()]

    def work(i: int) -> bool:
        unread = stream(model, inputs[i], 12)
        next(unread)  # and it is left in the middle while others write
        with record_attention(model) as maps:
            same = torch.equal(model.generate(inputs[i], 8, temperature=0), texts[i])
        with contextlib.suppress(ValueError):
            model.generate(torch.full((1, 2), 50), 3)  # no such token
        return same and len(maps) == 2 * 8 and evaluate_loss(model, [batch]) == loss

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(work, [*range(6)] * 2))
    assert [module.training for module in model.modules()] == modes
    assert all(block.attn.recorded.maps is None for block in model.blocks())


def test_a_model_that_begins_to_train_does_not_disturb_what_is_being_written(model: GPT) -> None:
    idx = prompts(1, 2)
    expected = model.eval().generate(idx, 8, temperature=0)[0, 2:].tolist()
    steps = stream(model, idx, 8, temperature=0)
    written = [int(next(steps))]
    model.train()
    assert written + [int(token) for token in steps] == expected
    assert model.training


def test_what_was_written_can_be_trained_on(model: GPT) -> None:
    written = model.generate(prompts(2, 3), 5)
    model(written[:, :-1], written[:, 1:])[1].backward()
    assert model.lm_head.weight.grad is not None


# A prefix in the cache


def filled(model: GPT, idx: Tensor) -> KVCache:
    """Returns the keys and values of idx, as prefix tuning would learn them."""
    cache = KVCache(CONFIG.n_layer, idx.size(1))
    with torch.no_grad():
        model.eval()(idx, cache=cache)
    return cache


@pytest.mark.parametrize("use_cache", [True, False])
def test_a_prefix_in_the_cache_acts_as_the_tokens_it_was_made_from(
    model: GPT, use_cache: bool
) -> None:
    before, idx = prompts(1, 6), prompts(3, 4)
    prefix = filled(model, before)
    keys = prefix[0].keys.clone()
    written = generation.generate(model, idx, 6, 0.0, use_cache=use_cache, prefix=prefix)
    whole = torch.cat([before.expand(3, -1), idx], dim=1)
    assert torch.equal(written[:, 4:], model.generate(whole, 6, temperature=0)[:, 10:])
    assert prefix.length == 6
    assert torch.equal(prefix[0].keys, keys)


def test_a_prefix_stays_in_front_when_the_window_slides(model: GPT) -> None:
    before, idx = prompts(1, 6), prompts(2, 8)
    prefix = filled(model, before)
    cached = generation.generate(model, idx, 20, 0.0, prefix=prefix)
    assert torch.equal(
        cached, generation.generate(model, idx, 20, 0.0, use_cache=False, prefix=prefix)
    )
    window = torch.cat([before.expand(2, -1), cached[:, -11:-1]], dim=1)  # 6 + 10 = block_size
    assert torch.equal(cached[:, -1], naive_greedy(model, window, 1)[:, -1])


def test_a_prefix_that_fills_the_context_is_refused(model: GPT) -> None:
    prefix = filled(model, prompts(1, 16))
    with pytest.raises(ValueError, match="prefix of 16 tokens leaves no room"):
        generation.generate(model, prompts(1, 2), 3, prefix=prefix)


def test_a_cache_refuses_more_than_it_holds_and_another_batch() -> None:
    cache = KVCache(n_layer=1, capacity=4)
    cache[0].append(torch.zeros(2, 1, 3, 8), torch.zeros(2, 1, 3, 8))
    with pytest.raises(ValueError, match="room for 4 tokens, not for 5"):
        cache[0].append(torch.zeros(2, 1, 2, 8), torch.zeros(2, 1, 2, 8))
    with pytest.raises(ValueError, match="batch of 2, got keys for a batch of 3"):
        cache[0].append(torch.zeros(3, 1, 1, 8), torch.zeros(3, 1, 1, 8))
    assert cache.length == 3


# From logits to a token


def test_temperature_raises_probabilities_to_a_power() -> None:
    logits = torch.randn(3, 50) * 4
    powers = logits.softmax(-1) ** (1 / 0.7)
    got = generation.apply_temperature(logits, 0.7).softmax(-1)
    torch.testing.assert_close(got, powers / powers.sum(-1, keepdim=True), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("temperature", [1e-45, 1e-20, 1e-5])
def test_a_tiny_temperature_is_greedy(temperature: float) -> None:
    logits = torch.randn(20, 50) * 100
    assert torch.equal(sample(logits, temperature), logits.argmax(-1))


def test_top_k_and_top_p_keep_what_transformers_keeps() -> None:
    from transformers import TopKLogitsWarper, TopPLogitsWarper

    logits = torch.randn(40, 300) * 3  # no ties
    for k in (1, 7, 300):
        expected = TopKLogitsWarper(k)(None, logits.clone())
        assert torch.equal(keep_top_k(logits, k), expected)
    for p in (0.01, 0.3, 0.9, 0.999):
        expected = TopPLogitsWarper(p)(None, logits.clone())
        assert torch.equal(keep_top_p(logits, p), expected)


def test_top_k_keeps_exactly_k_among_equals_and_allows_more_than_there_are() -> None:
    logits = torch.tensor([[0.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0]])
    assert (keep_top_k(logits, 2) > float("-inf")).sum(-1).tolist() == [2, 2]
    assert torch.equal(keep_top_k(logits, 99), logits)


@pytest.mark.parametrize(
    ("probabilities", "p", "kept"),
    [
        ([0.5, 0.25, 0.25], 0.5, [0]),  # exactly p is enough
        ([0.5, 0.25, 0.25], 0.51, [0, 1]),  # of two equals, the lower id
        ([0.25, 0.25, 0.5], 0.75, [0, 2]),
        ([0.25, 0.25, 0.25, 0.25], 0.75, [0, 1, 2]),
        ([0.1, 0.9], 1e-9, [1]),  # never nothing
        ([0.25, 0.75, 0.0], 1.0, [0, 1]),
    ],
)
def test_the_nucleus_is_the_smallest_set_that_reaches_p(
    probabilities: list[float], p: float, kept: list[int]
) -> None:
    logits = torch.tensor([probabilities]).log()
    assert keep_top_p(logits, p)[0].isfinite().nonzero().flatten().tolist() == kept


@pytest.mark.parametrize("p", [1e-320, 1e-46, 1e-30])
def test_a_nucleus_too_small_for_fp32_is_the_likeliest_token(p: float) -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0], [0.0, 0.0, 0.0]])
    assert keep_top_p(logits, p).isfinite().tolist() == [[False, True, False], [True, False, False]]


def test_top_p_of_one_keeps_tokens_that_rounding_would_drop() -> None:
    logits = torch.cat([torch.zeros(1, 1000), torch.full((1, 1000), -30.0)], dim=-1)
    assert torch.equal(keep_top_p(logits, 1.0), logits)


def test_draws_follow_the_probabilities_and_never_meet_a_zero() -> None:
    probabilities = torch.tensor([0.0, 0.5, 0.0, 0.3, 0.15, 0.05, 0.0])
    n = 200_000
    drawn = draw(probabilities.expand(n, -1), seeded())
    counts = torch.bincount(drawn, minlength=7).double()
    assert counts[probabilities == 0].sum() == 0
    possible = probabilities > 0
    expected = probabilities[possible].double() * n
    chi_squared = ((counts[possible] - expected) ** 2 / expected).sum()
    assert chi_squared < 16.3  # 99.9% of fair draws with 3 degrees of freedom stay below


def test_draws_at_the_two_ends_of_the_line_stay_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities = torch.tensor([[0.0, 0.7, 0.3, 0.0]])
    for random_number, expected in ((0.0, 2), (1 - 2**-24, 1)):
        monkeypatch.setattr(torch, "rand", lambda *_, r=random_number, **__: torch.tensor([[r]]))
        assert draw(probabilities).tolist() == [expected]


def test_top_k_of_one_equals_greedy_and_settings_apply_in_the_documented_order() -> None:
    logits = torch.randn(30, 50)
    logits[:, :10] = 3.0  # ten equal best tokens
    assert torch.equal(sample(logits, top_k=1), keep_top_k(logits, 1).argmax(-1))
    # At temperature 0.5 the ratio 2 : 1 becomes 4 : 1, so the first token alone reaches 0.75.
    thirds = torch.tensor([[2.0, 1.0, 1e-9]]).log()
    assert set(sample(thirds.expand(500, -1), 0.5, top_p=0.75).tolist()) == {0}
    assert set(sample(thirds.expand(500, -1), 1.0, top_p=0.75).tolist()) == {0, 1}
    # With one of three tokens cut by top-k, 0.55 of the rest is reached by one, not two.
    three = torch.tensor([[0.45, 0.3, 0.25]]).log()
    assert set(sample(three.expand(500, -1), top_k=2, top_p=0.55).tolist()) == {0}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_scores_that_are_not_numbers_are_reported(temperature: float) -> None:
    with pytest.raises(ValueError, match="NaN"):
        sample(torch.tensor([[0.0, 1.0], [0.0, float("nan")]]), temperature)


# Bad input


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_new_tokens": -1}, "max_new_tokens must be at least 0, got -1"),
        ({"temperature": -0.1}, "temperature must be 0 .* got -0.1"),
        ({"temperature": float("nan")}, "temperature must be 0 .* got nan"),
        ({"temperature": float("inf")}, "temperature must be 0 .* got inf"),
        ({"temperature": 10**400}, "temperature must be 0 .* got 1000"),
        ({"top_p": "0.9"}, "top_p must be above 0 .* got '0.9'"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_p": 0.0}, r"top_p must be above 0 and at most 1, got 0\.0"),
        ({"top_p": 1.5}, r"top_p must be above 0 and at most 1, got 1\.5"),
        ({"idx": torch.zeros(2, 0, dtype=torch.long)}, r"at least one token .* \[2, 0\]"),
        ({"idx": torch.zeros(3, dtype=torch.long)}, r"at least one token .* \[3\]"),
        ({"idx": torch.tensor([[3, 50]])}, "token id 50 is outside the vocabulary of 50"),
        ({"idx": torch.tensor([[-1, 4]])}, "token id -1 is outside the vocabulary of 50"),
    ],
)
def test_bad_input_ends_in_one_plain_sentence(
    model: GPT, settings: dict[str, object], message: str
) -> None:
    arguments: dict = {"idx": prompts(2, 3), "max_new_tokens": 4, **settings}
    with pytest.raises(ValueError, match=message):
        model.generate(**arguments)


# Text as it is written


@pytest.fixture
def bytewise() -> tiktoken.Encoding:
    """Returns an encoding of one token a byte, and one special token."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    return tiktoken.Encoding(
        "bytewise", pat_str=r"(?s:.)", mergeable_ranks=ranks, special_tokens={"<|end|>": 256}
    )


def test_text_comes_character_by_character_whatever_bytes_the_tokens_hold(
    bytewise: tiktoken.Encoding,
) -> None:
    text = "Où est l'été ? 日本 🙂<|end|>"
    tokens = bytewise.encode(text, allowed_special="all")
    assert len(tokens) > len(text) - len("<|end|>") + 1  # characters do span tokens here
    pieces = list(stream_text(iter(tokens), bytewise))
    assert pieces == [*text[: -len("<|end|>")], "<|end|>"]


def test_bytes_that_are_not_a_character_are_shown_as_such(bytewise: tiktoken.Encoding) -> None:
    assert "".join(stream_text([0xE9, 0x41], bytewise)) == "\ufffdA"
    assert "".join(stream_text([0x41, 0xF0, 0x9F], bytewise)) == "A\ufffd"  # cut off at the end


def test_text_ends_before_the_stop_token_and_reads_no_further(bytewise: tiktoken.Encoding) -> None:
    tokens = iter([72, 105, 256, 33])
    assert list(stream_text(tokens, bytewise, stop_token=256)) == ["H", "i"]
    assert next(tokens) == 33


def test_an_id_the_tokenizer_does_not_have_is_named(bytewise: tiktoken.Encoding) -> None:
    with pytest.raises(ValueError, match="'bytewise' has no token 999"):
        list(stream_text([999], bytewise))


def test_streamed_text_is_the_decoded_text(model: GPT, bytewise: tiktoken.Encoding) -> None:
    idx = prompts(1, 3)
    tokens = (int(new) for new in stream(model, idx, 20, generator=seeded()))
    written = "".join(stream_text(tokens, bytewise))
    expected = model.generate(idx, 20, generator=seeded())
    assert written == bytewise.decode(expected[0, 3:].tolist())


def test_the_readers_gradients_stay_on_between_two_tokens(model: GPT) -> None:
    steps = stream(model, prompts(1, 2), 2)
    assert next(steps).is_inference()
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
