"""What was chosen is shown with its gain, and what is slower than the plain way is a problem."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from minigpt.bench import choices
from minigpt.bench.choices import Switch
from minigpt.doctor import speed
from minigpt.doctor.finding import NOTE, OK, PROBLEM, unsetting
from minigpt.doctor.speed import check_speed, judge_asked, judge_failure, judge_rows, measure
from minigpt.fast import linear, measured, one_token
from minigpt.fast.measured import KINDS, Choice


@pytest.mark.usefixtures("_small_choices")
def test_each_row_has_the_gain_that_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(what: str, where: str, ways: dict[str, object], **_: float) -> str:
        chosen = list(ways)[-1]
        seconds = dict.fromkeys(ways, 1.0) | {next(iter(ways)): 3.0}
        measured.MADE[what, where] = Choice(what, where, chosen, seconds)
        return chosen

    for module in (linear, one_token):
        monkeypatch.setattr(module, "choose", choose)
    monkeypatch.setattr("minigpt.device.choose", choose)
    report = measure()
    assert report["refused"] == ""
    rows = {what: (chosen, gain) for what, chosen, gain in report["rows"]}
    assert set(rows) > {"products in training, width 128", "format in training, width 128"}
    for what, (chosen, gain) in rows.items():
        plain = chosen in ("plain", "float32")
        assert gain == (1.0 if plain else 3.0), what


@pytest.mark.usefixtures("_small_choices")
def test_a_wrong_variable_is_refused_and_a_right_one_measures_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MINIGPT_WAYS", "nonsense")
    assert "nonsense" in measure()["refused"]
    monkeypatch.setenv("MINIGPT_WAYS", "rows=plain products=plain token=plain dtype=float32")
    report = measure()
    assert report["refused"] == ""
    assert {(chosen, gain) for _, chosen, gain in report["rows"]} == {
        ("plain", 1.0),
        ("float32", 1.0),
    }


def test_what_stands_everywhere_is_timed_again_if_it_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    gains = iter([0.5, 1.5, 2.0])

    def time_in_turn(contenders: dict[str, object], rounds: int) -> dict[str, list[float]]:
        asked.append(rounds)
        return {"plain": [next(gains), 9.0], "fast": [1.0, 9.0]}

    monkeypatch.setattr("minigpt.bench.timing.time_in_turn", time_in_turn)
    slow_at_first = Switch("dropout", "16 random bits", lambda: None, lambda: None)
    assert speed.time_again(slow_at_first) == 1.5
    assert speed.time_again(slow_at_first) == 2.0
    assert asked == [speed.ROUNDS, speed.MORE, speed.ROUNDS]


def test_every_kind_of_choice_has_a_row() -> None:
    assert set(speed.KINDS.values()) == set(KINDS)
    assert speed.VARIABLE == measured.VARIABLE
    assert speed.LEAST == choices.LEAST


def verdicts(gain: float, busy: bool) -> Iterator[str]:
    for finding in judge_rows([("dropout", "16 random bits", gain)], busy):
        yield finding.state


def test_each_verdict_on_a_row() -> None:
    assert list(verdicts(1.2, busy=False)) == [OK]
    assert list(verdicts(0.97, busy=False)) == [OK]
    assert list(verdicts(0.9, busy=False)) == [PROBLEM]
    assert list(verdicts(0.9, busy=True)) == [NOTE]
    (plain,) = judge_rows([("products", "plain", 1.0)], busy=False)
    assert plain.said == "plain"


def test_each_verdict_on_the_variable() -> None:
    assert list(judge_asked("", "")) == []
    (asked,) = judge_asked("rows=plain", "")
    assert (asked.state, asked.remedy) == (NOTE, unsetting("MINIGPT_WAYS"))
    assert [f.state for f in judge_asked("x", "chooses rows, got 'x'")] == [PROBLEM]


def test_each_verdict_where_nothing_could_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judge_failure("took longer than 120 seconds", busy=False).state == PROBLEM
    assert judge_failure("crashed (SIGILL)", busy=True).state == PROBLEM
    assert judge_failure("took longer than 120 seconds", busy=True).state == NOTE
    monkeypatch.setattr(speed, "answer", lambda function, seconds: (None, "crashed (SIGILL)"))
    monkeypatch.delenv("MINIGPT_WAYS", raising=False)
    (found,) = check_speed(busy=False)
    assert found.said == "could not be measured: crashed (SIGILL)"
