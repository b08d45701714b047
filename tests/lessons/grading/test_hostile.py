"""Submissions that cheat or do harm: none passes, none hurts, and the next is still graded."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lessons.grading import isolation
from lessons.grading.compare import differ
from lessons.grading.outcome import Answered
from lessons.grading.task import Case
from lessons.grading.worker import Sandbox
from tests.lessons.grading.hostile import ALL, REACH, Hostile

PROJECT = Path(__file__).resolve().parents[3]
CASE = Case((torch.tensor([1.0, -2.5, 3.0]),))
HONEST = "def double(x):\n    return 2 * x\n"

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or bool(isolation.weaker()),
    reason="without all of Linux's walls some of them would do what they try",
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as made:
        yield made


def descendants() -> set[int]:
    """Returns the numbers of this process's children and theirs."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
        except OSError:
            continue
        parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    found, new = set(), {os.getpid()}
    while new:
        new = {number for number, parent in parents.items() if parent in new} - found
        found |= new
    return found


@pytest.mark.parametrize("hostile", ALL, ids=lambda hostile: hostile.name)
def test_no_harmful_submission_passes_hurts_or_stops_the_next(
    hostile: Hostile, sandbox: Sandbox, tmp_path: Path
) -> None:
    victim, mark = tmp_path / "victim", tmp_path / "mark"
    victim.write_text("whole")
    tmp_path.chmod(0o777)
    names = (
        f"PROJECT, MARK, VICTIM, GRADER = {(str(PROJECT), str(mark), str(victim), os.getpid())!r}\n"
    )
    sandbox.ready_zygote()
    before = descendants()
    limit = 0.3 if "timeout" in hostile.ends else 5.0  # the others end by themselves
    began = time.monotonic()
    with sandbox.submission(REACH + names + hostile.code, "double", loading=1.0) as running:
        outcomes = [running.ask(CASE, limit=limit)]
        if isinstance(outcomes[0], Answered):  # it may have changed what answers
            outcomes.append(running.ask(CASE, limit=limit))
        printed = running.printed
    took = time.monotonic() - began
    for outcome in outcomes:
        if isinstance(outcome, Answered):
            assert differ(outcome.answer["result"], CASE.args[0] * 2, None)
            status = "wrong"
        else:
            status = outcome.status
            assert outcome.message
        assert status in hostile.ends.split("|"), outcome
    assert took < 10
    assert len(printed) <= 1 << 16
    assert "\x1b" not in printed
    assert victim.read_text() == "whole"
    assert not mark.exists()
    assert descendants() <= before
    with sandbox.submission(HONEST, "double") as honest:
        outcome = honest.ask(CASE)
        assert isinstance(outcome, Answered)
        assert differ(outcome.answer["result"], CASE.args[0] * 2, None) is None


def test_names_differ_and_there_are_many() -> None:
    names = [hostile.name for hostile in ALL]
    assert len(set(names)) == len(names) >= 40
