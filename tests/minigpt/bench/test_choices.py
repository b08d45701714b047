"""The table of choices compares ways that compute the same."""

from __future__ import annotations

import pytest
import torch

from kernels import NF4Tensor
from minigpt.bench import choices
from minigpt.fast import linear, measured


def tensors_of(result: object) -> list[torch.Tensor]:
    return [result] if isinstance(result, torch.Tensor) else list(result)


def test_the_ways_of_each_row_agree() -> None:
    compared = 0
    for switch in choices.always():
        if switch.what == "dropout":  # other masks of the same share
            plain, fast = (way().eq(0).float().mean() for way in (switch.plain, switch.fast))
            assert abs(plain - fast) < 0.005
            continue
        plain, fast = switch.plain(), switch.fast()
        if isinstance(plain, NF4Tensor):
            assert torch.equal(plain.codes, fast.codes)
        else:
            for found, right in zip(*map(tensors_of, (fast, plain)), strict=True):
                torch.testing.assert_close(
                    found, right, rtol=0, atol=1e-5 * float(right.abs().max())
                )
        compared += 1
    assert compared == 5


@pytest.mark.usefixtures("_small_choices")
def test_a_row_whose_choice_is_plain_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIGPT_WAYS", "rows=plain products=plain token=plain dtype=float32")
    rows = choices.bench_choices(seed=0, rounds=1)
    assert {gain for _, gain, _ in rows} == {1.0}
    assert all(what.endswith((": plain", ": float32")) for what, _, _ in rows)
    monkeypatch.setattr(measured, "MADE", {})
    monkeypatch.setenv("MINIGPT_WAYS", "products=onednn")
    chosen = {what: gain for what, gain, _ in choices.bench_choices(seed=0, rounds=1)}
    if linear.HAS_ONEDNN:
        assert chosen["products in training, width 128: onednn"] != 1.0
