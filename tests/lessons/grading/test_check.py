"""A file is checked exercise by exercise, each alone."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest

from lessons.grading import check
from lessons.grading.check import check_text, parsed
from lessons.grading.judge import Verdict
from lessons.grading.worker import Sandbox
from tests.lessons.grading.small_course.tasks import (
    BY_DOUBLING,
    DOUBLE,
    QUADRUPLE,
    RIGHT,
    TASKS,
    quadruples,
    sums,
)

TRIPLE = "def double(x):\n    return 3 * x\n"


def states(code: str, sandbox: Sandbox, **options: object) -> dict[str, str]:
    """Returns the status of each task by its name."""
    found = check_text(code, TASKS, sandbox=sandbox, **options)  # type: ignore[arg-type]
    return {verdict.name: verdict.status for verdict in found}


def test_right_solutions_pass_one_after_the_other(sandbox: Sandbox) -> None:
    seen: list[Verdict] = []
    found = check_text(RIGHT, TASKS, sandbox=sandbox, on_verdict=seen.append)
    assert [(verdict.id, verdict.status) for verdict in found] == [
        ("99.1", "passed"), ("99.2", "passed"), ("99.3", "passed"),
    ]  # fmt: skip
    assert seen == found


@pytest.mark.parametrize(
    ("helper", "status"),
    [
        (TRIPLE, "failed"),
        ("def double(x):\n    raise NotImplementedError('exercise 99.1')\n", "not_started"),
        ("def double(x):\n    return x / 0\n", "error"),
        ("", "missing"),
    ],
)
def test_the_reference_stands_in_for_a_helper_that_does_not_pass(
    helper: str, status: str, sandbox: Sandbox
) -> None:
    for order in (helper + BY_DOUBLING, BY_DOUBLING + helper):
        found = states(order, sandbox, only=["99.1", "99.2"])
        assert found == {"double": status, "quadruple": "passed"}


def test_it_stands_in_behind_a_function_of_the_learner_s_own_too(sandbox: Sandbox) -> None:
    own = "def twice(x):\n    return double(x)\n\ndef quadruple(x):\n    return twice(twice(x))\n"
    assert states(TRIPLE + own, sandbox)["quadruple"] == "passed"
    wrong = own.replace("return twice(twice(x))", "return twice(x)")
    assert states(TRIPLE + wrong, sandbox)["quadruple"] == "failed"


def test_a_helper_that_passes_is_the_learner_s_own(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "source_closure", lambda task: pytest.fail("no need for it"))
    code = "def double(x):\n    return x + x\n" + BY_DOUBLING
    assert states(code, sandbox, only=["99.2"]) == {"quadruple": "passed"}


def test_no_exercise_is_solved_by_calling_a_later_one(sandbox: Sandbox) -> None:
    code = "def double(x):\n    return quadruple(x) // 2\n"
    assert states(code, sandbox, only=["99.1"]) == {"double": "error"}


def test_two_exercises_that_call_each_other_both_fail(sandbox: Sandbox) -> None:
    code = "def double(x):\n    return quadruple(x) // 2\n" + BY_DOUBLING
    assert states(code, sandbox, only=["99.1"])["double"] != "passed"


def test_verdicts_that_still_hold_are_not_made_again(sandbox: Sandbox) -> None:
    before = [Verdict(DOUBLE.id, DOUBLE.name, "passed", None, "", 0.0)]
    code = TRIPLE + BY_DOUBLING  # the learner's double counts as right, so it stays in its place
    assert states(code, sandbox, only=["99.2"], before=before) == {"quadruple": "failed"}


def test_a_known_mistake_is_named(sandbox: Sandbox) -> None:
    (verdict,) = check_text(
        quadruples.mistakes[0].code, TASKS, sandbox=sandbox, only=[QUADRUPLE.id]
    )
    assert (verdict.status, verdict.mistake) == ("failed", "eight times")
    assert "This is 8 x." in verdict.message
    assert verdict.case is not None


def test_what_the_code_prints_is_kept(sandbox: Sandbox) -> None:
    code = "def double(x):\n    print('x is', x)\n    return 3 * x\n"
    (verdict,) = check_text(code, TASKS, sandbox=sandbox, only=["99.1"])
    assert "x is 1\n" in verdict.printed


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1\n\ndef double(x:\n    return\n", "Line 3 is not Python"),
        ("def double(x):\n return x\n  y\n", "Line 3 is not Python"),
        ("x = '\0'", "null bytes"),
        ("-" * 200_000 + "1", "cannot be parsed"),
        ("f(" * 300 + ")" * 300, "Line 1 is not Python"),
    ],
)
def test_a_text_that_does_not_parse_is_an_error_of_every_task(code: str, said: str) -> None:
    with Sandbox() as unused:
        found = check_text(code, TASKS, sandbox=unused)
    assert {verdict.status for verdict in found} == {"error"}
    assert all(said in verdict.message for verdict in found)
    assert len(found) == 3


def test_a_text_that_raises_on_import_is_an_error_with_its_line(sandbox: Sandbox) -> None:
    found = check_text(f"{RIGHT}\nvalue = 1 / 0\n", TASKS, sandbox=sandbox)
    assert {verdict.status for verdict in found} == {"error"}
    line = RIGHT.count("\n") + 2
    assert all(f"line {line}" in v.message and "ZeroDivision" in v.message for v in found)


def test_a_file_that_cannot_be_run_is_run_once(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    whole = check.judge_task
    monkeypatch.setattr(check, "judge_task", lambda t, *rest: asked.append(t.id) or whole(t, *rest))
    found = check_text(f"{RIGHT}\nraise ValueError('no')\n", TASKS, sandbox=sandbox)
    assert asked == ["99.1"]
    assert len({verdict.message for verdict in found}) == 1


def test_a_missing_function_with_a_similar_name_is_asked_about(sandbox: Sandbox) -> None:
    (verdict,) = check_text(
        "def dubble(x):\n    return 2 * x\n", TASKS, sandbox=sandbox, only=["99.1"]
    )
    assert verdict.status == "missing"
    assert verdict.message.endswith("There is dubble: is it meant to be double?")


def test_a_bug_of_the_grader_costs_one_task_and_is_not_hidden(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = check.judge_task

    def broken(task: object, ask: object, seed: int, explained: bool) -> Verdict:
        if task is QUADRUPLE:
            raise KeyError("a bug")
        return whole(task, ask, seed, explained)  # type: ignore[arg-type]

    monkeypatch.setattr(check, "judge_task", broken)
    found = check_text(RIGHT, TASKS, sandbox=sandbox)
    assert [verdict.status for verdict in found] == ["passed", "error", "passed"]
    assert "grader itself failed" in found[1].message

    def without_a_reason(task: object, ask: object, seed: int, explained: bool) -> Verdict:
        if explained and task is QUADRUPLE:
            raise KeyError("a bug")
        return whole(task, ask, seed, explained)  # type: ignore[arg-type]

    monkeypatch.setattr(check, "judge_task", without_a_reason)
    found = check_text(RIGHT.replace("4 * x", "5 * x"), TASKS, sandbox=sandbox)
    assert [verdict.status for verdict in found] == ["passed", "failed", "passed"]
    assert "could not find out why (KeyError: 'a bug')" in found[1].message
    monkeypatch.setenv("MINIGPT_DEBUG", "1")
    with pytest.raises(KeyError):
        check_text(RIGHT, TASKS, sandbox=sandbox)


def test_the_seed_reaches_the_cases(sandbox: Sandbox) -> None:
    (first,) = check_text("def double(x):\n    return x if x > 9 else 2 * x\n", TASKS, 0, ["99.1"],
                          sandbox=sandbox)  # fmt: skip
    (second,) = check_text("def double(x):\n    return x if x > 9 else 2 * x\n", TASKS, 1, ["99.1"],
                           sandbox=sandbox)  # fmt: skip
    assert first.status == second.status == "failed"
    assert first.case is not None
    assert second.case is not None
    assert first.case.args != second.case.args


def test_a_sum_in_another_order_is_right(sandbox: Sandbox) -> None:
    code = "def add_up(tensors):\n    return sum(reversed(tensors)) + 2\n"
    assert states(code, sandbox, only=["99.3"]) == {"add_up": "passed"}
    assert states("import torch\n" + sums.mistakes[0].code, sandbox, only=["99.3"]) == {
        "add_up": "failed"
    }


def test_parsed_returns_the_tree_of_a_good_text() -> None:
    tree, problem = parsed("x = 1\n")
    assert (len(tree.body), problem) == (1, "")


def test_only_kernels_are_not_checked_where_there_is_no_triton(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "triton" else find_spec(name)
    )
    tasks = [TASKS[0], replace(TASKS[1], triton=True), TASKS[2]]
    found = check_text(RIGHT, tasks, sandbox=sandbox)
    assert [verdict.status for verdict in found] == ["passed", "unchecked", "passed"]
    assert found[1].message == check.NO_TRITON
