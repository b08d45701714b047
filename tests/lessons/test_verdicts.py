"""A lesson's verdicts follow from what was measured, and turn with it."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from lessons import lesson
from lessons.verdicts import (
    Kind,
    Verdict,
    bootstrap_difference,
    error_of_mean,
    error_of_share,
    holds,
    is_more,
    no_worse,
    same_figure,
)


@pytest.mark.parametrize(
    ("printed", "measured", "same"),
    [
        ("0.89", 0.8889, True),
        ("0.89", 0.885, True),
        ("0.89", 0.8849, False),
        ("117", 117.49, True),
        ("117", 124.4, False),
        ("1,542", 1542.3, True),
        ("1.0", 0.94, False),
        ("1.0", math.nan, False),
        ("-0.5", -0.52, True),
    ],
)
def test_a_figure_is_the_same_if_it_rounds_to_what_is_printed(
    printed: str, measured: float, same: bool
) -> None:
    verdict = same_figure(printed, measured, "reasons", kind=Kind.WRONG, remark="as it should")
    assert verdict.kind is (Kind.REPRODUCED if same else Kind.WRONG)
    assert str(verdict) == (
        "reproduced; as it should" if same else "the published figure is wrong because reasons"
    )
    assert (verdict.turned() is Kind.REPRODUCED) != same


@pytest.mark.parametrize(
    ("difference", "error", "at_least", "kind"),
    [
        (2.1, 1.0, 0.0, Kind.REPRODUCED),
        (1.9, 1.0, 0.0, Kind.UNDECIDED),
        (-1.9, 1.0, 0.0, Kind.UNDECIDED),
        (-2.1, 1.0, 0.0, Kind.DIFFERS),
        (0.1, 0.0, 0.0, Kind.REPRODUCED),
        (0.0, 0.0, 0.0, Kind.UNDECIDED),
        (5.0, 0.0, 5.0, Kind.UNDECIDED),
        (0.1, None, 0.0, Kind.REPRODUCED),
        (0.0, None, 0.0, Kind.DIFFERS),
        (math.nan, None, 0.0, Kind.UNDECIDED),
        (6.0, 1.0, 5.0, Kind.UNDECIDED),
        (7.5, 1.0, 5.0, Kind.REPRODUCED),
        (math.nan, 1.0, 0.0, Kind.UNDECIDED),
        (1.0, math.nan, 0.0, Kind.UNDECIDED),
        (1e-9, 0.0, 0.0, Kind.REPRODUCED),
        (1e9, 1e8, 0.0, Kind.REPRODUCED),
    ],
)
def test_a_difference_counts_beyond_two_standard_errors(
    difference: float, error: float | None, at_least: float, kind: Kind
) -> None:
    verdict = is_more(difference, error, at_least=at_least)
    assert verdict.kind is kind
    assert verdict.turned() is not kind


def test_a_difference_is_printed_with_its_error() -> None:
    assert str(is_more(3.25, 1.0, unit=" BLEU", yes="it learned", places=1)) == (
        "reproduced; +3.2 ± 1.0 BLEU: it learned"
    )
    assert str(is_more(1.0, 1.0)) == "undecided; +1.00 ± 1.00 may be chance"
    assert str(is_more(-1.0, no="it unlearned")) == "differs because it unlearned (-1.00)"
    assert str(is_more(-1.0, no="so it is", checked=True)) == "does not hold; so it is (-1.00)"


def test_an_amount_above_a_limit_is_printed_without_a_sign() -> None:
    assert str(is_more(97.4, unit="% fewer", at_least=90, places=1)) == "reproduced; 97.4% fewer"
    assert str(is_more(40, 10, unit="%", at_least=50, places=0)) == (
        "undecided; 40 ± 10% is too near 50 to tell"
    )


@pytest.mark.parametrize(
    ("behind", "error", "kind"),
    [
        (-0.7, 0.2, Kind.REPRODUCED),
        (0.5, 0.2, Kind.REPRODUCED),
        (0.7, 0.2, Kind.UNDECIDED),
        (1.3, 0.2, Kind.UNDECIDED),
        (1.5, 0.2, Kind.DIFFERS),
        (0.0, 0.6, Kind.UNDECIDED),
        (math.nan, 0.2, Kind.UNDECIDED),
        (0.1, math.nan, Kind.UNDECIDED),
    ],
)
def test_some_loss_is_allowed_if_chance_cannot_hide_more(
    behind: float, error: float, kind: Kind
) -> None:
    verdict = no_worse(behind, error, 1, "it is small", unit=" BLEU")
    assert verdict.kind is kind
    assert verdict.turned() is not kind
    ours = no_worse(behind, error, 1, "it is small", checked=True)
    same = {Kind.REPRODUCED: Kind.HOLDS, Kind.DIFFERS: Kind.FAILS}
    assert ours.kind is same.get(kind, kind)


def test_a_loss_is_printed_with_its_limit() -> None:
    assert str(no_worse(-0.7, 0.2, 1, unit=" BLEU", places=1)) == (
        "reproduced; better by 0.7 ± 0.2 BLEU; up to 1 BLEU counts as equal"
    )
    assert str(no_worse(3, 0.5, 1, "it is small", places=1, checked=True)) == (
        "does not hold; it is small (worse by 3.0 ± 0.5; up to 1 counts as equal)"
    )


@pytest.mark.parametrize("published", [True, False])
@pytest.mark.parametrize("condition", [True, False])
def test_a_property_holds_or_not(condition: bool, published: bool) -> None:
    verdict = holds(condition, yes="always", no="never", published=published)
    good, bad = (Kind.REPRODUCED, Kind.DIFFERS) if published else (Kind.HOLDS, Kind.FAILS)
    assert (verdict.kind, verdict.turned()) == ((good, bad) if condition else (bad, good))


def test_errors_of_means_and_shares() -> None:
    assert error_of_mean([1.0, 2.0, 3.0]) == pytest.approx(math.sqrt(1 / 3))
    assert math.isnan(error_of_mean([1.0], at_least=0.5))
    assert error_of_mean([2.0, 2.0], at_least=0.5) == 0.5
    assert error_of_mean([1.0, 2.0, 3.0], at_least=0.5) == pytest.approx(math.sqrt(1 / 3))
    assert error_of_share(0.5, 96) == pytest.approx(0.05)
    assert error_of_share(0.0, 10) > 0.05
    values = np.random.default_rng(0).normal(size=(2, 400))
    found = bootstrap_difference(
        lambda rows: values[0, rows].mean(), lambda rows: values[1, rows].mean(), 400
    )
    assert found == pytest.approx(error_of_mean(values[0] - values[1]), rel=0.15)


def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> dict:
    monkeypatch.setattr(sys, "argv", ["lessons/01_tokens.py", *options, "--device", "cpu"])
    course = lesson.start(1, "Tokens")
    course.published("a", "Paper 2020, table 1", "117", "124.4", same_figure("117", 124.4, "so"))
    course.checked("b", "5 of 5", holds(True))
    course.finish()
    return json.loads((course.folder / "table.json").read_text(encoding="utf-8"))


def test_published_figures_and_our_own_checks_stand_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    report = run(monkeypatch, "--seed", "7")
    first, second = capsys.readouterr().out.split("checked on this machine")
    assert "Paper 2020" in first
    assert "differs because so" in first
    assert "5 of 5" in second
    assert "holds" in second
    assert (report["lesson"], report["seed"], report["quick"]) == (1, 7, False)
    assert {"python", "minigpt", "torch", "numpy"} <= set(report["versions"])
    assert report["rows"] == [
        {
            "what": "a", "source": "Paper 2020, table 1", "published": "117",
            "measured here": "124.4", "kind": "differs", "verdict": "differs because so",
        },
        {
            "what": "b", "source": None, "published": None, "measured here": "5 of 5",
            "kind": "holds", "verdict": "holds",
        },
    ]  # fmt: skip


def test_a_quick_run_gives_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    report = run(monkeypatch, "--quick")
    printed = capsys.readouterr().out
    assert report["quick"] is True
    assert [row["verdict"] for row in report["rows"]] == [None, None]
    assert "differs" not in printed
    assert "holds" not in printed
    assert "no verdicts" in printed


def test_a_verdict_that_nothing_turns_is_seen() -> None:
    stuck = Verdict(lambda _: (Kind.HOLDS, ""), (1,), (2,))
    assert stuck.turned() is stuck.kind
