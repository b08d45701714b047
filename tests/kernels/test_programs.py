"""Programs end when their time is up, and what they have started ends with them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from kernels.programs import run_program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the programs are those of Unix")


def test_a_program_reads_what_it_is_given_and_says_what_it_finds() -> None:
    command = ["sh", "-c", "cat; echo $WHO; echo hidden >&2"]
    assert run_program(command, 60, "größer\n", {"WHO": "me"}) == "größer\nme\n"


def test_a_failure_holds_what_was_said() -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run_program(["sh", "-c", "echo out; echo why >&2; exit 3"], 60)
    assert (caught.value.returncode, caught.value.output) == (3, "out\n")
    assert caught.value.stderr == "why\n"
    with pytest.raises(OSError, match="no/such/program"):
        run_program(["/no/such/program"], 60)


@pytest.mark.parametrize("deaf", ["", "trap '' TERM INT HUP; "])
def test_when_the_time_is_up_its_children_end_too(deaf: str, tmp_path: Path) -> None:
    sign = tmp_path / "alive"
    command = ["sh", "-c", f"{deaf}(sleep 0.6; touch {sign}) & (sleep 60; true) & sleep 60"]
    started = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        run_program(command, 0.2)
    assert time.monotonic() - started < 20  # it has not waited for them
    time.sleep(0.8)
    assert not sign.exists()


def test_a_child_that_is_left_behind_is_not_waited_for() -> None:
    started = time.monotonic()
    assert run_program(["sh", "-c", "sleep 30 & echo done"], 60) == "done\n"
    assert time.monotonic() - started < 20
