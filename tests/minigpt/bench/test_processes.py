"""Contenders in processes of their own answer, and errors there are raised here."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing import get_context
from types import SimpleNamespace

import pytest

from minigpt.bench.processes import ContenderError, _ask, contenders


def adder(number: int) -> Callable[[int], tuple[int, int]]:
    """Its process, and the sum with what is asked for."""
    return lambda other: (os.getpid(), number + other)


def nobody() -> None:
    """Returns None, as for a contender that is not installed."""


def dies() -> None:
    os._exit(1)


def divider() -> Callable[[int], float]:
    return lambda number: 1 / number


def test_each_lives_in_a_process_of_its_own_until_the_block_ends() -> None:
    with contenders({"ours": (adder, 1), "theirs": (nobody,)}) as ask:
        assert list(ask) == ["ours"]
        process, total = ask["ours"](10)
        assert total == 11
        assert process != os.getpid()
        assert ask["ours"](20) == (process, 21)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_what_goes_wrong_there_is_told_here() -> None:
    with contenders({"ours": (divider,)}) as ask:
        assert ask["ours"](4) == 0.25
        with pytest.raises(ContenderError, match="ours: ZeroDivisionError: division by zero"):
            ask["ours"](0)
    ended = pytest.raises(ContenderError, match="the process of 'ours' ended before it answered")
    with ended, contenders({"ours": (dies,)}):
        pass


@pytest.mark.parametrize(
    ("status", "said"),
    [(-9, "because it was killed, as systems do when memory runs out"), (-11, "status -11")],
)
def test_one_that_was_killed_is_said_to_be(status: int, said: str) -> None:
    pipe, theirs = get_context("spawn").Pipe()
    theirs.close()
    dead = SimpleNamespace(join=lambda: None, exitcode=status)
    with pytest.raises(ContenderError, match=f"'theirs' ended before it answered, .*{said}"):
        _ask(pipe, "theirs", dead, "step")  # type: ignore[arg-type]
