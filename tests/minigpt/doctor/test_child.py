"""What crashes, hangs or fails in a child process is an error of one line, and nothing more."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from minigpt.doctor.child import RUNNING, ChildError, answer, answers, ask, how_it_ended, run


def test_a_function_is_called_in_another_process() -> None:
    assert ask(os.getpid) != os.getpid()
    assert ask(os.path.join, "a", "b") == os.path.join("a", "b")
    assert answer(os.path.join, "a", "b") == (os.path.join("a", "b"), "")


def test_variables_are_set_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCTOR_ONE", "1")
    assert ask(os.getenv, "DOCTOR_ONE") == "1"
    assert ask(os.getenv, "DOCTOR_ONE", environment={"DOCTOR_ONE": None}) is None
    assert ask(os.getenv, "DOCTOR_TWO", environment={"DOCTOR_TWO": "2"}) == "2"


def test_the_child_sees_the_modules_of_its_parent_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert ask(os.getcwd) == str(tmp_path.resolve())


def test_an_error_is_its_last_line() -> None:
    nothing, failure = answer(os.listdir, "/no/such/folder")
    assert nothing is None
    assert failure.startswith("FileNotFoundError")


def test_a_crash_is_named() -> None:  # 3 is what abort() ends with on Windows
    with pytest.raises(ChildError, match=r"crashed|status 3"):
        ask(os.abort)


def test_what_hangs_is_ended_with_what_it_has_started(tmp_path: Path) -> None:
    started = tmp_path / "started"
    child = f"import time; time.sleep(2); open({str(started)!r}, 'w').close()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with pytest.raises(ChildError, match=r"longer than 0\.5 seconds"):
        run([sys.executable, "-c", code], 0.5)
    if os.name == "posix":
        time.sleep(2)
        assert not started.exists()


@pytest.mark.skipif(os.name != "posix", reason="there Ctrl-C reaches the children themselves")
@pytest.mark.usefixtures("_ctrl_c_interrupts")
def test_ctrl_c_ends_all_that_are_asked_side_by_side() -> None:
    def interrupt() -> None:
        while len(RUNNING) < 2:
            if time.monotonic() - began > 90:
                return
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    began = time.monotonic()
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        answers(*[partial(answer, time.sleep, 100)] * 2)
    assert time.monotonic() - began < 90
    assert not RUNNING


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(ChildError, match="cannot be started"):
        run(["no-such-program-of-ours"], 1)


@pytest.mark.parametrize(
    ("status", "complained", "said"),
    [
        (1, "Traceback\nImportError: libcudart.so\n\n", "ImportError: libcudart.so"),
        (1, "main.c:1: error: no stdio.h\ncompilation terminated.", "main.c:1: error: no stdio.h"),
        (3, "", "ended with status 3"),
        (0xC0000005, "", "crashed (0xc0000005)"),
        (-4, "", "crashed (SIGILL)"),
        (-1000, "", "crashed (signal 1000)"),
    ],
)
def test_how_a_process_ended_is_said_in_a_clause(status: int, complained: str, said: str) -> None:
    assert how_it_ended(status, complained) == said
