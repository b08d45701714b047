"""Lesson 09 runs, draws its figures, and its table holds what was computed."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch


def test_lesson_09(run_lesson: Callable) -> None:
    lesson = run_lesson(9, "--device", "cpu")
    assert set(lesson.figures) == {"float_bits.png", "outlier.png", "ptq_qat.png"}
    measured = {what: row["measured here"] for what, row in lesson.table.items()}
    verdict = {what: row["verdict"] for what, row in lesson.table.items()}

    fp16 = re.search(r"^fp16 +(\d) (\d{5}) +(\d{10}) ", lesson.output, re.MULTILINE)
    assert fp16 is not None
    pattern = torch.tensor(0.1).half().view(torch.int16).item()
    assert int("".join(fp16.groups()), 2) == pattern

    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        info = torch.finfo(dtype)
        assert measured[f"range of {name}"] == f"{info.smallest_normal:.2e} to {info.max:.2e}"
        assert verdict[f"range of {name}"].startswith("reproduced: from the smallest normal")
    assert measured["range of fp16"] == "5.96e-08 to 65504"
    assert "normal numbers start at 6.10e-05" in verdict["range of fp16"]

    assert measured["int8 absmax"].startswith("6 codes by hand and by library equal")
    assert verdict["int8 absmax"].startswith("reproduced")
    whole, blocks = map(float, re.findall(r"x ([\d.]+)", measured["int8, one outlier in a tensor"]))
    # The step grows with the largest number: 60 instead of the about 4.3 of 65,536 normal ones.
    assert whole == pytest.approx(60 / 4.3, rel=0.2)
    assert blocks < 2
    assert verdict["int8, one outlier in a tensor"].startswith("reproduced")

    for bits in (8, 4, 3, 2):
        what = f"base model with {bits} bits: loss of quality"
        after, aware = map(float, re.findall(r"[+-][\d.]+", measured[what]))
        gain, error = map(float, re.findall(r"[+-]?\d\.\d+", verdict[what]))
        assert gain == pytest.approx(aware - after, abs=2e-4)
        if abs(abs(gain) - 2 * error) > 4e-4:  # beyond what the printed digits leave open
            noise, better = abs(gain) < 2 * error, gain < 0
            assert verdict[what].startswith("within noise") == noise
            assert verdict[what].startswith("reproduced (") == (better and not noise)
        if bits == 8:
            assert abs(after) < 0.01
        if bits == 2:
            assert after > 0.1
