"""Many files are checked, and none costs the others."""

from __future__ import annotations

import pickle
import sys
from concurrent.futures import Future
from contextlib import nullcontext
from pathlib import Path

import pytest

from lessons.grading import many
from lessons.grading.check import Checked
from lessons.grading.many import check_one, check_submissions
from lessons.grading.submission import Submission
from tests.lessons.grading.small_course.tasks import RIGHT

pytestmark = pytest.mark.usefixtures("small_course", "one_sandbox")


def handed_in(code: str, problem: str = "") -> Submission:
    """Returns a submission of the small course."""
    return Submission("a.py", 99, code, problem)


@pytest.mark.parametrize("factor", [8, 5, "1 / 0 *"])
def test_what_is_said_can_be_sent_to_another_process(factor: object) -> None:
    """8 is a known mistake; the others are diagnosed, by what no pickle can hold."""
    checked = check_one(handed_in(RIGHT.replace("4 *", f"{factor}")), 0, None)
    again = pickle.loads(pickle.dumps(checked))
    assert [verdict.message for verdict in again.verdicts] == [v.message for v in checked.verdicts]


def test_files_come_back_in_their_order_and_are_told_of_one_by_one() -> None:
    told: list[Checked] = []
    files = [handed_in(RIGHT), handed_in("", "It is no text.")]
    found = check_submissions(files, 0, ["99.1"], 1, told.append)
    assert [one.verdicts[0].status for one in found] == ["passed", "error"]
    assert told == found


def test_a_file_at_which_the_grader_fails_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pool:
        """Runs jobs at once; the second fails."""

        n = 0

        def submit(self, *job: object) -> Future:
            self.n += 1
            done: Future = Future()
            if self.n == 2:
                done.set_exception(TypeError("cannot pickle"))
            else:
                done.set_result(job[0](*job[1:]))  # type: ignore[operator]
            return done

    monkeypatch.setattr(many, "start_processes", lambda n: nullcontext(Pool()))
    found = check_submissions([handed_in(RIGHT)] * 3, 0, ["99.1"], 2)
    assert [one.verdicts[0].status for one in found] == ["passed", "error", "passed"]
    assert "grader itself failed here" in found[1].verdicts[0].message
    assert "cannot pickle" in found[1].verdicts[0].message


def test_a_stranger_s_module_in_the_folder_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    files = [handed_in(RIGHT)] * 2
    assert many.strangers_here() == []
    Path("pickle.py").write_text("raise SystemExit('a stranger')", encoding="utf-8")
    assert many.strangers_here() == ["pickle.py"]
    monkeypatch.setattr(many, "start_processes", None)  # no new process is started
    found = check_submissions(files, 0, ["99.1"], 2)
    assert [one.verdicts[0].status for one in found] == ["passed", "passed"]
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    assert many.strangers_here() == ([] if sys.version_info >= (3, 11) else ["pickle.py"])


def test_other_processes_check_files_too() -> None:
    """They do not know the small course, and need no code for what cannot be read."""
    files = [Submission("a.py", 7, "", "It is no text.")]
    ((number, found),) = many.at_once(files, 0, ["7.1"], 1)
    assert number == 0
    assert [verdict.message for verdict in found.verdicts] == ["It is no text."]
