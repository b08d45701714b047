"""Lesson 2 runs, draws its figures, and its table holds what was computed."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from lessons.experiments.attention_cost import least_seconds, operations
from lessons.experiments.attention_sink import measure_sink
from lessons.experiments.encoder import Blanks, Encoder, Exam, examine, place_in_sentence
from lessons.experiments.sentiment_vectors import (
    Classifier,
    Review,
    batches,
    classify,
    train_classifier,
)
from lessons.verdicts import error_of_mean
from minigpt import load_pretrained
from minigpt.config import IGNORE, GPTConfig
from minigpt.dataset import PackedText
from minigpt.model import GPT, masked_attention, record_attention

SMALL = GPTConfig(vocab_size=20, block_size=12, n_layer=2, n_head=2, n_embd=16)


def test_lesson_02(run_lesson: Callable) -> None:
    lesson = run_lesson(2, "--device", "cpu")
    names = {"mask.png", "attention_maps.png", "cost.png", "encoder_decoder.png"}
    assert set(lesson.figures) == names
    measured = {what: row["measured here"] for what, row in lesson.table.items()}

    # "sat" scores 6 / sqrt(2) with "cat" and 0 with the two others that it may see.
    shares = np.exp([0.0, 6 / np.sqrt(2), 0.0])
    assert "[{:.2f}, {:.2f}, {:.2f}, 0.00]".format(*shares / shares.sum()) in lesson.output
    for what in CHECKED:
        assert lesson.table[what]["kind"] == "holds", what
    kind = {what: row["kind"] for what, row in lesson.table.items()}
    variance, error = map(float, re.findall(r"[\d.]+", measured["variance of q·k at D = 64"]))
    assert (kind["variance of q·k at D = 64"] == "reproduced") == (abs(variance - 64) <= 3 * error)
    # The variance of (q·k)^2 is 9 D + 3 D (D - 1) - D^2 = 2 D^2 + 6 D for normal numbers.
    assert error == pytest.approx(np.sqrt((2 * 64**2 + 6 * 64) / 20_000), abs=0.05)

    # Four matrices of 256 x 256 with their biases, whatever the heads, and a map for each head.
    rows = re.findall(r"(?m)^ +(\d+) +(\d+) +263,168 +([\d,]+) +([\d,]+)$", lesson.output)
    assert [int(heads) * int(narrow) for heads, narrow, _, _ in rows] == [256] * 5
    operations = 2 * 256 * (4 * 256**2 + 2 * 256**2)  # T = 256: four products by C, two by T
    assert {int(row[2].replace(",", "")) for row in rows} == {operations}
    maps = [int(row[3].replace(",", "")) for row in rows]
    assert maps == [int(row[0]) * 256**2 for row in rows]

    # The base model: nothing moves before the change with the mask, everything without.
    without, with_mask = re.findall(r"mask the numbers move by tensor\(\[([^\]]*)", lesson.output)
    assert min(float(move) for move in without.split(",")) > 0
    assert max(float(move) for move in with_mask.split(",")[:-4]) == 0

    # Two products of [T, D] and [D, T] size: twice T, four times the operations.
    assert measured["attention, twice the text"].startswith("x 4.0 in operations")

    # The figure to play with has the base model's own weights.
    play = lesson.plays["attention"]
    base, encoding = load_pretrained("base")
    ids = encoding.encode_ordinary(
        "The waiter was friendly and the food was fresh, so we came back."
    )
    assert "".join(play["tokens"]).replace("·", " ") == encoding.decode(ids)
    with torch.no_grad(), record_attention(base) as recorded:
        base(torch.tensor([ids]))
    assert torch.allclose(torch.tensor(play["maps"]), torch.cat(recorded), rtol=0, atol=1e-6)

    # Each verdict follows from the numbers beside it.
    for what, (claim, against) in LEADS.items():
        first, second = map(float, re.findall(r"([\d.]+)%", measured[what]))
        assert kind[what] in (claim, against, "undecided")
        assert kind[what] != (claim if first < second else against)
    for what, answer in SLIDES.items():
        (rank,) = re.findall(rf"{answer},? is no\. ([\d,]+)$", measured[what])
        assert (rank == "1") == (kind[what] == "reproduced")


LEADS = {
    "the encoder, with both sides shown, finds more": ("holds", "does not hold"),
    "the decoder, with the left side shown, finds more": ("holds", "does not hold"),
    "sentiment from one vector, the encoder at [CLS]": ("holds", "does not hold"),
    "sentiment from one vector, the decoder at the last token": ("holds", "does not hold"),
    "sentiment: an encoder ahead of a decoder": ("reproduced", "differs"),
}
SLIDES = {'"The [MASK] sits on the mat."': "cat", '"The train left the"': "station"}
CHECKED = {  # true of any weights
    "by hand against library and torch",
    "head by head against the layer",
    "how far later tokens move what a model says",
    "the largest weight on a later token",
    "the decoder's vectors at [CLS]",
    "MLP, twice the text",
}


def test_attention_costs_two_products_of_its_maps() -> None:
    q = torch.randn(1, 2, 10, 4)  # [B, H, T, D]
    assert operations(masked_attention, q, q, q) == 2 * (2 * 2 * 10 * 10 * 4)
    assert 0 < least_seconds(masked_attention, q, q, q, measure_for=1e-3) < 1


def test_an_encoder_sees_what_comes_later_and_a_decoder_does_not() -> None:
    gpt = GPT(SMALL).eval()
    idx = torch.randint(20, (1, 12))
    other = idx.clone()
    other[0, -1] = (idx[0, -1] + 1) % 20
    with torch.no_grad():
        decoded = (gpt(other)[0] - gpt(idx)[0])[0, 0].abs().max()
        encoded = (Encoder(gpt)(other)[0] - Encoder(gpt)(idx)[0])[0, 0].abs().max()
    assert decoded == 0
    assert encoded > 0


def test_blanks_hide_their_share_and_ask_for_nothing_else() -> None:
    ids = np.arange(4000, dtype=np.uint16) % 18
    blanks = Blanks(PackedText(ids, ids, block_size=12), mask_token=19, share=0.15)
    whole = blanks.text.train_batch(3, 500).idx
    idx, targets, _ = blanks.train_batch(3, 500)
    hidden = idx == 19
    assert torch.equal(targets[hidden], whole[hidden])
    assert torch.equal(idx[~hidden], whole[~hidden])
    assert (targets[~hidden] == IGNORE).all()
    assert hidden.float().mean() == pytest.approx(0.15, abs=0.02)  # of 6,000: four deviations
    assert torch.equal(blanks.train_batch(3, 500).idx, idx)
    assert not torch.equal(blanks.train_batch(4, 500).idx == 19, hidden)


def test_place_in_sentence_counts_from_each_end_token() -> None:
    idx = torch.tensor([[5, 6, 0, 7, 8, 0, 0, 9]])
    assert place_in_sentence(idx, end_token=0).tolist() == [[0, 0, 0, 1, 2, 0, 0, 1]]


def test_the_exam_gives_full_marks_to_who_knows_the_text() -> None:
    """The text counts 0 1 2 ... 9 0 1 2 ...; both models know that and use what each can see."""

    class Counts(torch.nn.Module):
        def __init__(self, from_the_right: bool) -> None:
            super().__init__()
            self.from_the_right = from_the_right

        def forward(self, idx: torch.Tensor, last_only: bool = False) -> tuple[torch.Tensor, None]:
            if self.from_the_right:  # the blank is one less than what follows it
                guess = torch.cat([(idx[:, 1:] - 1) % 10, torch.zeros_like(idx[:, :1])], dim=1)
            else:  # what follows is one more
                guess = (idx + 1) % 10
            return torch.nn.functional.one_hot(guess, 11).float(), None

    idx = torch.stack([torch.arange(start, start + 12) % 10 for start in (8, 9, 10)])
    exam = examine(Counts(False), Counts(True), idx, mask_token=10, end_token=0)
    found, place = exam.found, exam.place
    assert found["decoder"].all()
    assert found["encoder"].all()
    # Cut off, nothing stands to the right, and the guess is 0, which is never asked for.
    assert not found["encoder, cut off"].any()
    expected = [
        (row[t] % 10).item() for t in range(1, 11) for row in idx if 0 in row[: t + 1] and row[t]
    ]
    assert place.tolist() == expected
    windows = [
        row for t in range(1, 11) for row in range(3) if 0 in idx[row, : t + 1] and idx[row, t]
    ]
    assert exam.window.tolist() == windows


def test_a_lead_has_the_error_of_its_windows() -> None:
    right = torch.tensor([1, 1, 0, 1, 0, 1, 1, 1]).bool()
    other = torch.tensor([0, 1, 0, 0, 1, 1, 0, 1]).bool()
    place = torch.tensor([1, 2, 3, 4, 1, 2, 3, 4])
    # A window of one token each: the error of a mean of differences.
    alone = Exam({"a": right, "b": other}, place, torch.arange(8))
    lead, error = alone.lead("a", "b")
    gain = right.double() - other.double()
    assert lead == pytest.approx(100 * 2 / 8)
    assert error == pytest.approx(100 * error_of_mean(gain.numpy()))
    # Two windows of four: 2 and 0 more, around 1.
    pairs = Exam({"a": right, "b": other}, place, torch.arange(8) // 4)
    lead, error = pairs.lead("a", "b")
    assert lead == pytest.approx(25.0)
    assert error == pytest.approx(100 * np.sqrt(2 * (1 + 1)) / 8)
    assert pairs.lead("a", "b", range(3, 5))[0] == pytest.approx(50.0)  # 1 0 | 1 0: two of four
    # Equal answers are as uncertain as one answer.
    assert pairs.lead("a", "a") == (0.0, pytest.approx(100 / 8))
    assert np.isnan(pairs.lead("a", "b", range(9, 10))).all()


def test_equal_tokens_get_equal_attention_and_have_equal_values() -> None:
    gpt = GPT(SMALL).eval()
    for block in gpt.blocks():  # queries, keys and values are the biases, the same for all tokens
        torch.nn.init.zeros_(block.attn.c_attn.weight)
        torch.nn.init.normal_(block.attn.c_attn.bias)
    share, length = measure_sink(gpt, torch.randint(20, (3, 8)))
    assert torch.allclose(share, torch.full((2, 3), 1 / 8))
    assert torch.allclose(length, torch.ones(2, 3))
    assert not any(block.attn.c_attn._forward_hooks for block in gpt.blocks())


def test_the_sink_is_what_the_first_token_gets_and_gives() -> None:
    gpt = GPT(SMALL).eval()
    attention = next(iter(gpt.blocks())).attn
    with torch.no_grad():
        gpt.transformer["wte"].weight.zero_()
        gpt.transformer["wpe"].weight.zero_()
        gpt.transformer["wpe"].weight[0, 0] = 1.0  # only the first place has a vector at all
        attention.c_attn.weight.normal_()
        attention.c_attn.bias.zero_()
        attention.c_attn.bias[32:] = 1.0  # a value everywhere
    _, length = measure_sink(gpt, torch.randint(20, (2, 6)))
    x = next(iter(gpt.blocks())).ln_1(gpt.transformer["wpe"].weight[0])
    first = (attention.c_attn.weight[32:] @ x + 1.0).view(2, 8).norm(dim=-1)  # [H]
    assert length[0].tolist() == pytest.approx([(first / np.sqrt(8)).mean().item()] * 2, rel=1e-4)


@pytest.mark.parametrize("causal", [True, False])
def test_the_vector_of_the_last_token_is_what_the_head_scores(causal: bool) -> None:
    gpt = GPT(SMALL).eval()
    idx = torch.randint(20, (3, 9))
    with torch.no_grad():
        for place in (0, -1):
            vector = Classifier(gpt, causal, place).vector(idx)
            assert torch.allclose(
                gpt.lm_head(vector), gpt(idx, causal=causal)[0][:, place], atol=1e-5
            )


def test_batches_hold_each_review_once_and_no_padding() -> None:
    reviews = [Review(list(range(3 + n % 4)), n % 2) for n in range(50)]
    made = batches(reviews, size=5)
    assert sorted(n for _, _, numbers in made for n in numbers) == list(range(50))
    for idx, labels, numbers in made:
        assert len(numbers) <= 5
        assert [Review(*pair) for pair in zip(idx.tolist(), labels.tolist(), strict=True)] == [
            reviews[n] for n in numbers
        ]


def test_the_encoder_classifies_at_the_start_and_the_decoder_at_the_end() -> None:
    """The label is whether token 7 stands at the third place; [CLS] is 1 and the end is 2."""
    dice = np.random.default_rng(0)
    reviews = []
    for n in range(600):
        ids = dice.integers(8, 20, size=4 + n % 3).tolist()
        ids[1] = 7 if n % 2 else ids[1]
        reviews.append(Review([1, *ids, 2], n % 2))
    found = {}
    for name, causal, place in (("encoder", False, 0), ("decoder", True, -1), ("blind", True, 0)):
        torch.manual_seed(0)
        model = Classifier(GPT(SMALL), causal, place)
        train_classifier(model, reviews[:480], epochs=4, learning_rate=1e-2, seed=0)
        found[name] = classify(model, reviews[480:]).float().mean().item()
    assert found["encoder"] > 0.95
    assert found["decoder"] > 0.95
    assert found["blind"] == 0.5  # says the same of all
