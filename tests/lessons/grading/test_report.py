"""What a learner reads in the terminal."""

from __future__ import annotations

import io
import sys

import pytest
import torch
from rich.console import Console

from lessons.grading.compare import Difference, differ
from lessons.grading.judge import Verdict
from lessons.grading.report import Report, make_console
from lessons.grading.show import beside, number_pair, short, whole
from lessons.grading.task import Case, Made
from lessons.grading.values import Lazy, Strange


def printed(verdict: Verdict, **options: object) -> str:
    """Returns the report on a verdict."""
    written = io.StringIO()
    settings = {"width": 100, "color_system": None, "markup": False, "highlight": False}
    Report(Console(file=written, **{**settings, **options})).verdict(verdict)  # type: ignore[arg-type]
    return written.getvalue()


def failed(expected: object, got: object, message: str = "Look again.") -> Verdict:
    """Returns the verdict on one wrong answer."""
    return Verdict(
        "99.1", "double", "failed", None, message, 0.1, Case((1,)),
        {"x": 1}, expected, got, differ(got, expected, None),
    )  # fmt: skip


def test_a_passed_exercise_is_one_line() -> None:
    text = printed(Verdict("99.1", "double", "passed", None, "", 1.25))
    assert text.startswith("✓ 99.1  double ")
    assert text.endswith("1.2 s\n")
    assert text.count("\n") == 1


def test_a_wrong_answer_shows_call_expected_got_and_sentence() -> None:
    expected, got = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 2.0], [9.0, 4.0]])
    lines = printed(failed(expected, got)).splitlines()
    assert lines[0].startswith("✗ 99.1  double")
    assert lines[1:4] == ["    Look again.", "", "    double(x=1)"]
    assert lines[5:9] == [
        "    expected    got",
        "    1  2        1  2",
        "    3* 4        9* 4",
        "    * differs",
    ]


def test_marks_stand_where_the_numbers_differ_in_the_last_digits_too() -> None:
    expected, got = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0000002])
    text = printed(failed(expected, got))
    assert "2*" in text
    assert "2.00000024*" in text
    assert number_pair(0.5, 0.25) == ("0.5", "0.25")
    assert number_pair(1.0, 1.0 + 1e-15) == ("1", "1.0000000000000011")


def test_of_a_large_tensor_the_part_that_differs_is_shown() -> None:
    expected = torch.zeros(2, 3, 40, 50)
    got = expected.clone()
    got[1, 2, 35, 20] = float("nan")
    text = printed(failed(expected, got))
    assert "[1, 2, :, :] of [2, 3, 40, 50], row 32 to 37 of 40, column 17 to 22 of 50:" in text
    assert "nan*" in text
    assert len(text.splitlines()) < 30


def test_lists_and_dicts_are_marked_too() -> None:
    assert "item 46 to 53 of 100:" in printed(
        failed(list(range(100)), [*range(50), *range(51, 101)])
    )
    text = printed(failed({(1, 2): 3, (2, 3): 4}, {(1, 2): 3, (5, 5): 1}))
    assert "(2, 3): 4*" in text
    assert "(5, 5): 1*" in text
    assert "(1, 2): 3*" not in text


def test_where_forms_differ_both_are_shown_below_each_other() -> None:
    text = printed(failed(torch.zeros(2, 3), torch.zeros(3, 2)))
    assert "expected  float32 [2, 3]" in text
    assert "got       float32 [3, 2]" in text
    assert "got       None" in printed(failed(torch.zeros(2), None))


def test_a_part_of_the_answer_is_named() -> None:
    text = printed(failed((torch.zeros(2), [1, 2]), (torch.zeros(2), [1, 3])))
    assert "At [1][1] of the result:" in text


def test_what_happened_to_an_argument_or_a_gradient_is_named_so() -> None:
    one, other = torch.zeros(2), torch.ones(2)
    verdict = failed(one, one)
    verdict.arguments = {"x": one, "config.n": 3}
    verdict.difference = Difference("value", "[0][0]", other, torch.zeros(2) - 1)
    assert "\n    x after the call:\n" in printed(verdict)
    verdict.difference = Difference("value", "[1]['config']", 3, 4)
    assert "\n    config after the call:\n" in printed(verdict)
    verdict.difference = Difference("value", "[0]", None, one - 1)
    assert "\n    The gradient of x:\n" in printed(verdict)
    verdict.difference = Difference("value", "['numbers of B']", "all 0", "not all 0")
    assert "\n    Numbers of B:\n" in printed(verdict)


def test_a_property_that_broke_shows_numbers_only_where_they_say_more() -> None:
    verdict = failed(torch.zeros(2), torch.ones(2), "It kept x.")
    verdict.difference = None
    assert "expected" in printed(verdict)
    verdict.got = verdict.expected
    assert "expected" not in printed(verdict)
    verdict.expected, verdict.got = {"y": torch.zeros(2)}, {"y": torch.ones(2)}
    assert "expected" not in printed(verdict)


def test_a_wrong_dtype_is_shown_as_one() -> None:
    text = printed(failed(torch.zeros(1), torch.zeros(1, dtype=torch.bfloat16)))
    assert "expected  float32 [1]" in text
    assert "got       bfloat16 [1]" in text
    assert "*" not in text


def test_no_line_is_wider_than_a_terminal() -> None:
    wide = torch.randn(15) * 1e-5
    verdict = failed(wide, wide + 1)
    verdict.arguments = {"x": wide, "thresholds": torch.randn(2, 18), "words": ["word"] * 99}
    verdict.printed = "x" * 200
    assert max(map(len, printed(verdict, width=80).splitlines())) <= 80


def test_what_was_printed_is_shown_and_cannot_steer_the_terminal() -> None:
    verdict = failed(1, 2, "Bad\x1b[2J [red]news[/red].")
    verdict.printed = "\n".join(f"line {i}" for i in range(40)) + "\nend\x1b[31m\x07"
    text = printed(verdict, markup=False)
    assert "\x1b" not in text
    assert "[red]news[/red]" in text
    assert "Your code printed, the last 12 of 41 lines:" in text
    assert "line 28" not in text
    assert "end\N{REPLACEMENT CHARACTER}[31m" in text


def test_an_exercise_that_is_not_started_is_not_a_failure() -> None:
    text = printed(Verdict("99.1", "double", "not_started", None, "Not started yet.", 0.0))
    assert text == "· 99.1  double: not started\n"


def test_colors_come_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = Verdict("99.1", "double", "passed", None, "", 0.0)
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain = {"color_system": "auto", "force_terminal": True}
    assert "\x1b[32m" in printed(verdict, **plain, _environ={"TERM": "xterm"})
    assert "\x1b[3" not in printed(verdict, **plain, _environ={"TERM": "xterm", "NO_COLOR": "1"})
    assert "\x1b" not in printed(verdict, color_system="auto")


def test_marks_are_plain_where_the_terminal_cannot_write_ticks() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    report = Report(Console(file=file, width=100))
    report.verdict(Verdict("99.1", "double", "passed", None, "", 0.0))
    file.seek(0)
    assert file.read() == "+ 99.1  double\n"


@pytest.mark.usefixtures("small_course")
def test_the_summary_says_what_is_next() -> None:
    def summary(*states: str) -> str:
        written = io.StringIO()
        verdicts = [Verdict(f"99.{i}", "name", s, None, "", 0.0) for i, s in enumerate(states, 1)]
        Report(Console(file=written, width=100)).summary(99, verdicts)
        return written.getvalue()

    assert summary("passed", "failed", "error") == (
        "1 of 3 passed. Next: 99.2 name (minigpt exercise hint 99.2)\n"
    )
    assert summary("passed") == "1 of 1 passed. All of lesson 99: minigpt exercise check 99\n"
    assert summary(*["passed"] * 3) == "3 of 3 passed. That was the last one.\n"
    assert summary("passed", "unchecked", "passed") == "2 of 3 passed. That was the last one.\n"
    assert "Next: 99.2" in summary("unchecked", "failed")


def test_without_rich_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with pytest.raises(ImportError, match="pip install rich; --json works without"):
        make_console()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1 + 0.2, "0.3"),
        ([1, 2.5, "x"], "[1, 2.5, 'x']"),
        ((1,), "(1,)"),
        (torch.tensor([1, 2]), "[1, 2]"),
        (torch.tensor(2.5), "2.5"),
        (torch.zeros(3, 4), "float32 [3, 4]"),
        (torch.zeros(0, dtype=torch.int64), "int64 [0]"),
        (Strange("Foo"), "<Foo>"),
        (Made("config", {"n": 2}), "<config>"),
        (Lazy([1, 2]), "[1, 2]"),
        ("a" * 99, "'" + "a" * 55 + " ..."),
    ],
)
def test_a_value_in_one_line(value: object, text: str) -> None:
    assert short(value) == text


def test_an_argument_in_several_lines() -> None:
    assert whole(torch.tensor([[1.0, -2.0], [0.5, 10.0]])) == [
        "float32 [2, 2]", "    1   -2", "  0.5   10",
    ]  # fmt: skip
    assert whole(torch.zeros(100, 100)) == ["float32 [100, 100]"]
    assert whole(Made("config", {"n_layer": 2, "bias": True})) == ["config(n_layer=2, bias=True)"]


def test_values_of_other_forms_do_not_stand_beside_each_other() -> None:
    assert beside(torch.zeros(2), torch.zeros(3)) is None
    assert beside([1], {1: 1}) is None
    assert beside(1, 2) is None
    same = beside(torch.zeros(0, 3), torch.zeros(0, 3))
    assert same is not None
    assert same.grids == [[], []]
