"""Lesson 3 prints figures that agree with arithmetic done here by hand."""

import re
from collections.abc import Callable

import pytest
from torch import nn

from lessons.experiments import model_sizes

WRONG = "the published figure is wrong"
UNKNOWN = "not reproduced, and nobody knows why"


def test_lesson_03(run_lesson: Callable) -> None:
    lesson = run_lesson(3)
    assert "by hand equals the model: True" in lesson.output
    drawn = {"gelu.png", "first_loss.png", "residual_stream.png", "parameters.png"}
    assert set(lesson.figures) == drawn
    table = lesson.table
    # 50257 * 768 + 1024 * 768 + 12 * (12 * 768^2 + 13 * 768) + 2 * 768 = 124,439,808
    assert table["gpt2, parameters"]["measured here"] == "124.4M"
    assert "6.4% more" in table["gpt2, parameters"]["verdict"]  # 124.44 / 117
    assert table["gpt2-xl, parameters"]["measured here"] == "1,557.6M"
    # (40478 + 512) * 768 + 12 * (12 * 768^2 + 13 * 768) = 116,534,784
    assert table["GPT-1: 12 blocks, context 512, width 768"]["measured here"] == "116.5M"
    # Weights take 4 bytes each; gradients and two moments as much again, three times.
    assert re.search(r"^gpt2 +768 +117M +124.4 M +0.5 GB +2.0 GB$", lesson.output, re.MULTILINE)
    xl = r"^gpt2-xl +1,600 +1,542M +1,557.6 M +6.2 GB +24.9 GB$"
    assert re.search(xl, lesson.output, re.MULTILINE)


def test_what_the_published_sizes_of_lesson_03_come_to(run_lesson: Callable) -> None:
    table = run_lesson(3).table
    sizes = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
    wrong = {f"{name}, parameters" for name in sizes} | {"GPT-2's context (tokens)"}
    wrong |= {f"gpt3-{size}: width = heads x head size" for size in ("xl", "13b")}
    wrong |= {f"gpt3-{size}, parameters" for size in ("medium", "13b", "175b")}
    assert {what for what, row in table.items() if row["kind"] == WRONG} == wrong
    assert table["GPT-1, context"]["kind"] == "undecided"  # 117M fits 1,024 as well
    for name in sizes:
        assert table[f"{name}: widths that give the printed count"]["kind"] == "holds", name
    assert table["gpt3-13b, parameters"]["measured here"] == "12.9B at width 5,120"
    for what in ("blocks", "width", "feed-forward width"):
        assert table[f"GPT-1, {what}"]["kind"] == "reproduced", what
    for name in model_sizes.GPT3:
        assert table[f"{name}, parameters in millions"]["kind"] == "reproduced", name
    assert [what for what, row in table.items() if row["kind"] == UNKNOWN] == []
    by_hand = table["each part by hand and by the library: how far apart"]
    assert by_hand["kind"] == "holds"
    assert by_hand["measured here"].startswith("layer norm ")


def test_gpt_1_is_as_large_as_torchs_own_layers() -> None:
    """Torch's encoder layer has the same matrices, biases and norms, which stand after each."""
    layer = nn.TransformerEncoderLayer(768, nhead=12, dim_feedforward=3072, device="meta")
    numbers = 12 * sum(parameter.numel() for parameter in layer.parameters())
    numbers += 768 * (model_sizes.GPT1_VOCABULARY + 512)
    assert model_sizes.gpt1_millions() == pytest.approx(numbers / 1e6, abs=1e-9)


def test_only_gpt_1s_vocabulary_gives_gpt_2s_printed_counts() -> None:
    """The widths are those that published models have: a head of 64 numbers, and 12 to 25 heads."""
    widths = {"gpt2": 768, "gpt2-medium": 1024, "gpt2-large": 1280, "gpt2-xl": 1600}
    for name, width in widths.items():
        assert model_sizes.widths_that_give(name, 40478, 1024) == [width]
        assert model_sizes.widths_that_give(name, 50257, 1024) != [width]


def test_the_shares_of_a_model_add_up() -> None:
    for name in model_sizes.PRINTED:
        assert sum(model_sizes.shares(name).values()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("printed", "half"), [("350M", 5), ("125M", 0.5), ("13B", 0.5), ("13.0B", 0.05)]
)
def test_printed_figures_are_rounded_to_their_last_digit(printed: str, half: float) -> None:
    assert model_sizes.rounding(printed) == pytest.approx(half)
