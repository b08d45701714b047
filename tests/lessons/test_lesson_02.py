"""Lesson 02 runs, draws its figures, and its table holds what was computed."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from lessons.experiments.encoder import Blanks, Encoder, examine, place_in_sentence
from minigpt.config import IGNORE, GPTConfig
from minigpt.dataset import PackedText
from minigpt.model import GPT

SMALL = GPTConfig(vocab_size=20, block_size=12, n_layer=2, n_head=2, n_embd=16)


def test_lesson_02(run_lesson: Callable) -> None:
    lesson = run_lesson(2, "--device", "cpu")
    names = {"mask.png", "attention_maps.png", "cost.png", "encoder_decoder.png"}
    assert set(lesson.figures) == names
    measured = {what: row["measured here"] for what, row in lesson.table.items()}
    verdict = {what: row["verdict"] for what, row in lesson.table.items()}

    # "sat" scores 6 / sqrt(2) with "cat" and 0 with the two others that it may see.
    shares = np.exp([0.0, 6 / np.sqrt(2), 0.0])
    assert "[{:.2f}, {:.2f}, {:.2f}, 0.00]".format(*shares / shares.sum()) in lesson.output
    assert float(measured["attention by hand"].removesuffix(" apart")) < 1e-6
    assert "head by head equals the library's layer: True" in lesson.output
    assert float(measured["variance of q·k, D = 64"]) == pytest.approx(64, rel=0.05)

    # The base model: nothing moves before the change with the mask, everything without.
    without, with_mask = re.findall(r"mask the scores move by tensor\(\[([^\]]*)", lesson.output)
    assert min(float(move) for move in without.split(",")) > 0
    assert max(float(move) for move in with_mask.split(",")[:-4]) == 0
    assert float(measured["what later tokens change"]) < 1e-4

    # Two products of [T, D] and [D, T] size: twice T, four times the operations.
    assert measured["attention, text x 2"].startswith("x 4.0 in operations")

    # Each verdict follows from the numbers beside it.
    for what in ("hidden token, both sides shown", "next token, left side shown"):
        first, second = (int(percent) for percent in re.findall(r"(\d+)%", measured[what]))
        if first != second:  # rounded alike, they may still differ
            assert (first > second) == (verdict[what] == "reproduced")
    (rank,) = re.findall(r"station is no\. ([\d,]+)$", measured['"The train left the"'])
    assert (rank == "1") == (verdict['"The train left the"'] == "reproduced")

    assert measured["GPT-1: feed-forward width"] == "3072"


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

        def forward(self, idx: torch.Tensor) -> tuple[torch.Tensor, None]:
            if self.from_the_right:  # the blank is one less than what follows it
                guess = torch.cat([(idx[:, 1:] - 1) % 10, torch.zeros_like(idx[:, :1])], dim=1)
            else:  # what follows is one more
                guess = (idx + 1) % 10
            return torch.nn.functional.one_hot(guess, 11).float(), None

    idx = torch.stack([torch.arange(start, start + 12) % 10 for start in (8, 9, 10)])
    found, place = examine(Counts(False), Counts(True), idx, mask_token=10, end_token=0)
    assert found["decoder"].all()
    assert found["encoder"].all()
    # Cut off, nothing stands to the right, and the guess is 0, which is never asked for.
    assert not found["encoder, cut off"].any()
    expected = [
        (row[t] % 10).item() for t in range(1, 11) for row in idx if 0 in row[: t + 1] and row[t]
    ]
    assert place.tolist() == expected
