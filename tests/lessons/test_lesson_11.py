"""Lesson 11 runs, draws its figures, and its table holds what was computed."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from kernels.nf4 import DYNAMIC_MAP
from kernels.reference import dequantize_scales, quantize_scales
from lessons.experiments.scale_formats import fp8_values, values_in_common
from minigpt.float_formats import FP8_E4M3, FloatBits, float_value


def numbers(text: str) -> list[float]:
    """Returns all numbers in a text, in their order."""
    return [float(found) for found in re.findall(r"[+-]?\d+(?:\.\d+)?", text)]


def after(label: str, output: str) -> list[float]:
    """Returns the numbers behind the label at the beginning of a line."""
    (line,) = re.findall(rf"^{re.escape(label)}(.*)$", output, re.MULTILINE)
    return numbers(line)


def scale_errors(scales: np.ndarray) -> dict[str, float]:
    """Returns the RMS error in % of the mean scale, in fp64 and without the lesson's code."""
    z = (scales - scales.mean()).reshape(-1, 256)
    y = z / np.abs(z).max(axis=1, keepdims=True)
    as_float8 = torch.from_numpy(448 * y).float().to(torch.float8_e4m3fn).double().numpy() / 448
    nearest = DYNAMIC_MAP.double().numpy()[
        np.abs(y[..., None] - DYNAMIC_MAP.double().numpy()).argmin(axis=-1)
    ]
    ways = {"dynamic map": nearest, "int8": np.round(127 * y) / 127, "FP8 (E4M3)": as_float8}
    size = np.abs(z).max(axis=1, keepdims=True)
    return {
        way: 100 * float(np.sqrt((((value - y) * size) ** 2).mean()) / scales.mean())
        for way, value in ways.items()
    }


def test_lesson_11(run_lesson: Callable) -> None:
    lesson = run_lesson(11, "--device", "cpu")
    assert set(lesson.figures) == {"bits_per_parameter.png", "dynamic_map.png"}
    measured = {what: numbers(row["measured here"]) for what, row in lesson.table.items()}
    kind = {what: row["kind"] for what, row in lesson.table.items()}

    single, double = 4 + 32 / 64, 4 + 8 / 64 + 32 / (64 * 256)
    assert measured["bits of scales a weight, blocks of 64"] == [single - 4, single]
    assert kind["bits of scales a weight, blocks of 64"] == "reproduced"
    # A quick run's matrix is so small that the offset of 32 bits is seen.
    with_offset = double + 32 / 256**2
    assert measured["the same with double quantization"] == pytest.approx(
        [with_offset - 4, with_offset], abs=6e-4
    )
    assert measured["bits saved by double quantization"] == pytest.approx(
        [single - with_offset], abs=6e-4
    )
    assert measured["GB saved for 65 billion weights"] == [
        pytest.approx((single - with_offset) * 65 / 8, abs=6e-3)
    ]
    assert kind["GB saved for 65 billion weights"] == "reproduced"

    # Of 2^18 absolute errors with a deviation of 0.06 the mean has one of 1.2e-4.
    before, then = measured["NF4 on N(0, 1): MAE added by double quantization"]
    assert before == pytest.approx(0.0728, abs=5e-4)
    assert 2e-5 < then - before < 2e-4
    at_64, at_256 = measured[
        "MAE at 4.13 bits: blocks of 64 and double quantization below blocks of 256"
    ]
    assert at_64 < at_256
    lost, error, *_ = measured["quality lost by double quantization"]
    assert after("double quantization minus NF4: ", lesson.output) == [lost, error]
    assert abs(lost) < 0.01
    if abs(abs(lost - 0.001) - 2 * error) > 3e-5:  # else what was rounded away decides
        certain = "reproduced" if lost < 0.001 else "differs"
        wanted = certain if abs(lost - 0.001) > 2 * error else "undecided"
        assert kind["quality lost by double quantization"] == wanted
    assert kind["format of the scales"] == "differs"
    for way in ("dynamic map", "int8", "FP8 (E4M3)"):
        assert kind[f"base model's scales, {way}: subtracting the mean"] == "holds"
    assert kind["scales with outliers: the dynamic map instead of int8"] == "holds"

    for name, moved in (("one launch", 2.516), ("three launches", 2.766)):
        assert after(name, lesson.output)[0] == moved
    assert after("Llama2-70B", lesson.output)[:4] == [137.95, 39.55, 36.36, 3.19]
    weights = np.random.default_rng(0).standard_normal((4096, 64))
    spoiled = weights.copy()
    spoiled[::256, 0] = 15
    errors = [scale_errors(np.abs(w).max(axis=1)) for w in (weights, spoiled)]
    for way in ("dynamic map", "int8", "FP8 (E4M3)"):
        printed = after(f"{way:<12}minus mean", lesson.output)[:2]
        assert printed == pytest.approx([error[way] for error in errors], rel=0.25), way

    if importlib.util.find_spec("triton"):
        for kernel in ("dequantize", "dequantize_fast"):
            costs = [
                after(f"{kernel:<15} scales of {bits:>2} bits:", lesson.output)[0]
                for bits in (32, 8)
            ]
            assert costs[0] < costs[1]
        assert kind["both levels in one launch, in Triton's interpreter"] == "holds"
        for statement in ("code", "nested", "scale"):
            assert re.search(rf"^  \d+      {statement} = tl.load", lesson.output, re.MULTILINE)
    else:
        assert "The machine code is left out" in lesson.output


def test_lesson_11_s_map_has_the_error_of_the_library_s_double_quantization() -> None:
    absmax = torch.randn(4096, 64, generator=torch.Generator().manual_seed(0)).abs().amax(dim=1)
    back = dequantize_scales(*quantize_scales(absmax, 256), 256)
    error = 100 * (back - absmax).square().mean().sqrt() / absmax.mean()
    expected = scale_errors(absmax.double().numpy())["dynamic map"]
    assert error.item() == pytest.approx(expected, rel=1e-3)


def test_e4m3_has_the_values_that_its_bits_stand_for() -> None:
    by_hand = sorted(
        {float_value(FloatBits(0, exponent, mantissa), FP8_E4M3)
         for exponent in range(16) for mantissa in range(8) if (exponent, mantissa) != (15, 7)}
    )  # fmt: skip
    values = fp8_values(torch.float8_e4m3fn)
    assert len(fp8_values(torch.float8_e5m2)) == 247  # 256 - 2 infinities - 6 NaN - one zero
    assert values[values >= 0].tolist() == pytest.approx([value / 448 for value in by_hand])
    assert torch.equal(values, -values.flip(0))


def test_values_in_common_are_counted() -> None:
    assert values_in_common(torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([3.0, 0.0, 1.1])) == 2
    assert values_in_common(DYNAMIC_MAP, DYNAMIC_MAP) == 256
