"""Lesson 8 runs, draws its figures, and its counts are those of the formula."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lessons.experiments.gpt3_counts import cut_or_rounded
from lessons.experiments.lora_runs import GPT3_COUNTS, HU
from lessons.experiments.restaurants import restaurants
from lessons.verdicts import Kind
from minigpt.tasks.answers import questions


def test_lesson_08(run_lesson: Callable) -> None:
    lesson = run_lesson(8, "--device", "cpu")
    assert set(lesson.figures) == {"rank.png", "scaling.png"}
    table = {what: row["measured here"] for what, row in lesson.table.items()}
    for sizes, r, whole, thin in (
        ("512 x 64", 8, "32,768", "512 + 4,096 = 4,608"),
        ("3 x 3", 1, "9", "3 + 3 = 6"),
        ("100 x 100", 5, "10,000", "500 + 500 = 1,000"),
    ):
        assert f"{sizes}, rank {r}: {whole} -> {thin}" in lesson.output
        assert table[f"numbers in {sizes}"] == whole
    assert table["of 512 x 64, saved at rank 8"] == f"{100 * (1 - 4608 / 32768):.1f}%"
    assert lesson.table["what the rank of a matrix is"]["kind"] == Kind.WRONG

    d, layers = 12288, 96  # GPT-3: 2 d r numbers for each matrix of each layer
    for targets, ranks in {
        "q, v": (1, 2, 4, 8, 64),
        "v": (2,),
        "q, k, v, o": (1, 2, 4, 64),
    }.items():
        for r in ranks:
            row = lesson.table[f"GPT-3 175B: {targets} at r = {r}"]
            assert row["measured here"] == f"{2 * d * r * layers * (targets.count(',') + 1):,}"
            wrong = targets == "q, k, v, o" and r == 64
            assert row["kind"] == (Kind.WRONG if wrong else Kind.REPRODUCED)
            assert ("cut off after" in row["verdict"]) == (
                (targets, r) in {("q, v", 4), ("q, v", 64), ("q, k, v, o", 2)}
            )

    # r = 12 beside four matrices in each of five blocks of width 256.
    shapes = [(256, 768), (256, 256), (256, 1024), (1024, 256)]
    trained = 5 * sum(12 * (n_in + n_out) for n_in, n_out in shapes)
    assert table["parameters that LoRA trains"] == f"{trained:,} (4.8%)"
    assert lesson.table["parameters that LoRA trains"]["kind"] == Kind.HOLDS
    assert f"{8 * trained / 1e6:.1f} MB" in table["optimizer state, full and LoRA"]
    assert lesson.table["optimizer state, full and LoRA"]["kind"] == Kind.HOLDS
    # Six widths a rank in an attention, sixteen in a block: 6 x 16 = 16 x 6
    for name in ("attention, r = 16", "every layer, r = 6"):
        assert f"{name}: {5 * 96 * 256:,} trained" in lesson.output
    for name in ("french", "naming"):
        assert lesson.table[f"answers of the saved adapter {name}"]["kind"] == Kind.HOLDS
    assert lesson.table["the model after unmerging"]["kind"] == Kind.HOLDS
    assert lesson.table["rank used in the paper"]["kind"] == Kind.WRONG

    # A row's name is the claim that its verdict judges.
    assert {"ROUGE-L, rank 1 -> 8", "BLEU, rank 1 -> 8", "loss: rank 16 is no worse than 64",
            "loss at rank 64: fixed factor, alpha / r"} <= set(table)  # fmt: skip
    # Two of the paper's ranks exceed what a matrix of 256 rows or columns can have.
    for r in (512, 1024):
        assert f"rank {r:>4}: r must be from 1 to 256" in lesson.output
    tried = lesson.table["largest rank that was tried"]
    assert (tried["published"], tried["measured here"]) == ("1,024", "256")
    assert tried["kind"] == Kind.DIFFERS
    # Three steps teach nothing, so that the easy and the hard task cannot be compared.
    assert "not both were learned" in lesson.output
    gain = lesson.table["gain from rank 1 to 16: translation, naming"]
    assert gain["kind"] == Kind.UNDECIDED


@pytest.mark.parametrize(
    ("printed", "count", "kind", "words"),
    [
        ("4.7", 4_718_592, Kind.REPRODUCED, ""),
        ("18.8", 18_874_368, Kind.REPRODUCED, "cut off after one decimal; rounded it is 18.9"),
        ("18.9", 18_874_368, Kind.REPRODUCED, "rounded, not cut off"),
        ("603.8", 603_979_776, Kind.WRONG, "604.0 when rounded and 603.9 when cut off"),
    ],
)
def test_a_count_in_millions_is_rounded_or_cut_off_or_wrong(
    printed: str, count: int, kind: Kind, words: str
) -> None:
    verdict = cut_or_rounded(printed, count)
    assert verdict.kind is kind
    assert str(verdict).endswith(words)
    assert verdict.turned() is not kind


def test_restaurants_are_read_once_both_files_are_there(tmp_path: Path) -> None:
    assert restaurants(tmp_path) is None
    lines = [
        "mr,ref",
        *(f'"name[Inn {i // 2}], area[city]","Inn {i // 2}, number {i}."' for i in range(40)),
    ]
    (tmp_path / "devset.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert restaurants(tmp_path) is None
    (tmp_path / "testset_w_refs.csv").write_text("\n".join(lines[:5]) + "\n", encoding="utf-8")
    data = restaurants(tmp_path)
    assert data is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (36, 4, 4)
    assert data.task.prompt(data.test[0]) == "name[Inn 0], area[city] ->"
    asked = questions(data.task, data.test)
    assert [question.targets for question in asked] == [
        ["Inn 0, number 0.", "Inn 0, number 1."],
        ["Inn 1, number 2.", "Inn 1, number 3."],
    ]


def test_the_published_tables_have_all_their_figures() -> None:
    assert list(HU) == [2**i for i in range(11)]
    assert sum(map(len, GPT3_COUNTS.values())) == 10
