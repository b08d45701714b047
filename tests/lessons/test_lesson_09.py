"""Lesson 9 runs, draws its figures, and its table holds what was computed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest
import torch

from lessons.experiments.format_verdicts import as_expected, near_size, rounded_up
from lessons.experiments.gptq_files import gptq_gigabytes
from lessons.verdicts import Kind
from minigpt.memory.llama import LlamaShape

LLAMA = {"Llama2-7B": (4096, 32, 11_008, 1), "Llama2-13B": (5120, 40, 13_824, 1),
         "Llama2-70B": (8192, 80, 28_672, 8)}  # fmt: skip


def numbers(text: str) -> list[float]:
    """Returns the signed decimal numbers in a text, in their order."""
    return [float(found) for found in re.findall(r"[+-]?\d+\.\d+", text)]


def test_lesson_09(run_lesson: Callable) -> None:
    lesson = run_lesson(9, "--device", "cpu")
    assert set(lesson.figures) == {"float_bits.png", "outlier.png", "ptq_qat.png"}
    measured = {what: row["measured here"] for what, row in lesson.table.items()}
    verdict = {what: row["verdict"] for what, row in lesson.table.items()}
    kind = {what: row["kind"] for what, row in lesson.table.items()}

    fp16 = re.search(r"^fp16 +(\d) (\d{5}) +(\d{10}) ", lesson.output, re.MULTILINE)
    assert fp16 is not None
    pattern = torch.tensor(0.1).half().view(torch.int16).item()
    assert int("".join(fp16.groups()), 2) == pattern

    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        info = torch.finfo(dtype)
        assert measured[f"range of {name}"] == f"{info.smallest_normal:.2e} to {info.max:.2e}"
        assert verdict[f"range of {name}"].startswith("reproduced; from the smallest normal")
    assert measured["range of fp16"] == "5.96e-08 to 65504"
    assert "normal numbers start at 6.10e-05" in verdict["range of fp16"]

    assert measured["int8 absmax by hand and by the library"] == "6 codes, c and x equal"
    assert kind["int8 absmax: largest error of 100,000 numbers"] == "holds"
    what = "int8, one outlier: blocks keep it from the others"
    whole, blocks = map(float, re.findall(r"x ([\d.]+)", measured[what]))
    # The step grows with the largest number: 60 instead of the about 4.3 of 65,536 normal ones.
    assert whole == pytest.approx(60 / 4.3, rel=0.2)
    assert blocks < 2
    _, with_outlier = map(float, re.findall(r"\d+", measured["one outlier leaves codes of int8 "
                                                             "unused"]))  # fmt: skip
    # Codes reach from -4.3 to 4.3 in steps of 60 / 127, and one is the outlier's.
    assert with_outlier == pytest.approx(2 * 4.3 * 127 / 60 + 2, abs=2)

    assert {f"base model with {bits} bits: QAT is better than rounding it as shipped"
            for bits in (8, 4, 3, 2)} <= set(measured)  # fmt: skip
    lost = numbers(measured["base model in 8 bits, blocks of 64: loss of quality"])[0]
    assert abs(lost) < 0.01
    for bits in (8, 4, 3, 2):
        what = f"base model with {bits} bits: QAT against PTQ"
        after, _, during, _ = numbers(measured[what])
        gain, error = numbers(verdict[what])[:2]
        assert gain == pytest.approx(after - during, abs=2e-4)
        if abs(abs(gain) - 2 * error) > 4e-4:  # beyond what the printed digits leave open
            wanted = "undecided" if abs(gain) < 2 * error else "reproduced"
            assert kind[what] == (wanted if gain > -2 * error else "differs")
        if bits == 2:
            assert after > 0.1

    for name, (dim, n_layer, ffn, shared) in LLAMA.items():
        linear = n_layer * dim * (2 * dim + 2 * dim // shared + 3 * ffn)
        other = dim * (2 * 32_000 + 2 * n_layer + 1)
        bits = 4 + 8 / 64 + 32 / 64 / 256
        sizes = {"fp16": 2 * (linear + other) / 1e9, "int4": (linear * bits / 8 + 2 * other) / 1e9}
        for label, size in sizes.items():
            assert measured[f"{name} in {label}"] == f"{size:.2f} GB"
            out = name == "Llama2-70B" and label == "int4"
            assert kind[f"{name} in {label}"] == (Kind.DIFFERS if out else Kind.REPRODUCED).value
        group = 32 if name == "Llama2-70B" else 128
        what = f"{name} as GPTQ, groups of {group}"
        bits = 4 + (16 + 4) / group  # the file holds a little more, too
        size = (linear * bits / 8 + 2 * other) / 1e9
        assert size < numbers(measured[what])[0] < 1.003 * size
        assert kind[what] == "reproduced"


@pytest.mark.parametrize(
    ("measured", "error", "kind"),
    [
        (0.0730, 0.0001, Kind.HOLDS),
        (0.0726, 0.0001, Kind.HOLDS),
        (0.0732, 0.0001, Kind.FAILS),
        (0.0728, 0.0, Kind.HOLDS),
        (0.0729, 0.0, Kind.FAILS),
        (math.nan, 0.1, Kind.UNDECIDED),
    ],
)
def test_a_mean_is_as_expected_within_three_errors(
    measured: float, error: float, kind: Kind
) -> None:
    verdict = as_expected(measured, error, expected=0.0728)
    assert verdict.kind is kind
    assert verdict.turned() is not kind


def test_a_file_of_gptq_is_counted_layer_by_layer() -> None:
    # One layer: q, k, v, o of 8 x 8 and gate, up, down of 8 x 16, in groups of 4.
    shape = LlamaShape(dim=8, n_layer=1, ffn=16, n_head=2, n_kv_head=2, vocab_size=10)
    matrices = [(8, 8)] * 4 + [(16, 8)] * 2 + [(8, 16)]  # outputs, inputs
    n_bytes = sum(
        out * into / 2 + out * into / 4 * (2 + 1 / 2) + 4 * into + 2 * out for out, into in matrices
    )  # codes, scales and zero-points, numbers of groups, biases
    n_bytes += 2 * (2 * 10 * 8 + 3 * 8)
    assert gptq_gigabytes(shape, group=4) == pytest.approx(n_bytes / 1e9)


@pytest.mark.parametrize(
    ("printed", "gigabytes", "near", "up"),
    [
        ("26.1", 26.03, True, True),
        ("26.1", 26.1, True, True),
        ("26.1", 26.11, True, False),
        ("3.9", 3.87, True, True),
        ("138", 137.2, True, True),
        ("138", 136.9, True, False),
        ("40.7", 36.36, False, False),
        ("40.7", 41.6, False, False),
    ],
)
def test_a_size_is_near_within_two_percent(
    printed: str, gigabytes: float, near: bool, up: bool
) -> None:
    verdict = near_size(printed, gigabytes, "it was packed in another way")
    assert verdict.kind is (Kind.REPRODUCED if near else Kind.DIFFERS)
    assert (verdict.turned() is Kind.REPRODUCED) != near
    assert rounded_up(printed, gigabytes) == up
    assert ("when rounded up" in str(verdict)) == (near and up)
