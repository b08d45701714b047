"""`minigpt course`: runs what is not done, whatever becomes of single lessons, and reports on all.

The lessons are scripts of a line, run by a process that leaves a record as a lesson does.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from lessons.book.outcome import outcome_of
from lessons.book.plan import Clock, in_words, times_of
from lessons.book.record import Record, read_record
from minigpt.command import course, lesson, stop_requests
from minigpt.command.cli import main
from minigpt.command.course import Course, chosen_lessons
from minigpt.command.stop_requests import StopRequests

NEEDS_SIGNALS = pytest.mark.skipif(os.name != "posix", reason="processes get no signals there")

CHILD = """
import json, os, signal, sys, time
from pathlib import Path
from lessons.book.record import Record, fingerprint
from lessons.folders import folder_of, results

script, quick, seed = Path(sys.argv[1]), "--quick" in sys.argv, int(sys.argv[2])
number = int(script.name[:2])
folder = folder_of(results(quick), number)
folder.mkdir(parents=True, exist_ok=True)
settings = {
    "seed": seed, "asked": "auto", "device": "cpu", "quick": quick, "full": False, "large": False,
    "versions": {}, "machine": {},
}
record = Record(number, [], "running", 60.0, time.time(), fingerprint(script), settings)
with open("ran", "a") as file:
    file.write(f"{number} ")
try:
    exec(script.read_text())
    record.status = "done"
    kinds = ["reproduced", "reproduced", "the published figure is wrong"]
    rows = [] if quick else [
        {"what": kind, "source": "Paper", "published": "1", "measured here": "1", "kind": kind,
         "verdict": kind} for kind in kinds]
    table = {"versions": {}, "quick": quick, "full": False, "device": "cpu", "seed": seed}
    (folder / "table.json").write_text(json.dumps({**table, "rows": rows}))
except KeyboardInterrupt:
    record.status = "interrupted"
    raise SystemExit(130)
except Exception as error:
    record.status, record.error = "failed", f"{type(error).__name__}: {error}"
    raise SystemExit(1)
finally:
    if record.status != "running":
        record.write(folder)
"""
KILL = "record.write(folder); os.kill(os.getpid(), signal.{})"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, str], None]:
    """write(2, code) changes lesson 2 of three; all run as they are at first."""
    monkeypatch.chdir(tmp_path)
    child = tmp_path / "child.py"
    child.write_text(CHILD, encoding="utf-8")
    scripts = {n: tmp_path / f"{n:02d}_{name}.py" for n, name in ((1, "a"), (2, "b"), (3, "c"))}
    entries = [SimpleNamespace(number=n, title=f"Part {scripts[n].stem[-1]}") for n in scripts]

    def command(self: Course, number: int) -> list[str]:
        size = ["--quick"] if self.settings["quick"] else []
        return [sys.executable, str(child), str(scripts[number]), str(self.settings["seed"]), *size]

    def change(number: int, code: str) -> None:
        scripts[number].write_text(code, encoding="utf-8")

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.setattr(course, "lesson_scripts", lambda: scripts)
    monkeypatch.setattr("lessons.book.syllabus.syllabus", lambda: entries)
    monkeypatch.setattr(Course, "command", command)
    for number in scripts:
        change(number, "")
    return change


def ran() -> str:
    """Returns which lessons have run since the last call."""
    path = Path("ran")
    found = path.read_text(encoding="utf-8") if path.exists() else ""
    path.unlink(missing_ok=True)
    return found.strip()


def rows(printed: str) -> list[str]:
    """Returns the report's rows, without times."""
    report = printed[printed.index("The course") :]
    return [
        re.sub(r" +\d+ s(  |$)", "; ", re.sub(r"  +", "  ", line.strip())).rstrip("; ")
        for line in report.splitlines()[1:]
        if line.startswith("   ")
    ]


def test_it_says_where_it_is_and_reports_verdicts_and_the_book(
    write: Callable[[int, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["course"]) == 0
    printed = capsys.readouterr().out
    assert ran() == "1 2 3"
    first = "Lesson 1 of 3: Part a, about 10 seconds; about 1 minute left in all"
    assert re.findall("^Lesson . of .*", printed, re.MULTILINE)[0] == first
    verdicts = "2 reproduced, 1 source wrong"
    assert rows(printed) == [
        f"1 Part a  done; {verdicts}", f"2 Part b  done; {verdicts}", f"3 Part c  done; {verdicts}",
        "in all; 6 reproduced, 3 source wrong",
    ]  # fmt: skip
    book = Path("runs/book/index.html").resolve()
    assert printed.endswith(f"\nThe book: {book.as_uri()}\n")
    assert book.is_file()


def test_what_is_done_is_not_run_again(
    write: Callable[[int, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["course", "--only", "1,2"])
    assert ran() == "1 2"
    capsys.readouterr()
    assert main(["course"]) == 0
    printed = capsys.readouterr().out
    assert ran() == "3"
    assert "Done before, with the same settings and script: lessons 1 and 2." in printed
    assert "run them again, add --again." in printed
    assert rows(printed)[0] == "1 Part a  done before; 2 reproduced, 1 source wrong"
    assert main(["course"]) == 0
    assert ran() == ""
    assert "\nThe book: file://" in capsys.readouterr().out
    capsys.readouterr()
    assert main(["course", "--again", "--start", "2"]) == 0
    assert ran() == "2 3"
    # Each record says that the lesson took 60 s.
    assert "Part b, about 1 minute; about 2 minutes left in all\n" in capsys.readouterr().out


def test_another_script_or_seed_or_a_damaged_record_runs_again_and_says_so(
    write: Callable[[int, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["course"])
    ran()
    write(2, "x = 1")
    Path("runs/lesson-03/record.json").write_text("{", encoding="utf-8")
    Path("runs/lesson-01/table.json").write_text("[]", encoding="utf-8")
    capsys.readouterr()
    assert main(["course"]) == 0
    assert ran() == "1 2 3"
    printed = capsys.readouterr().out
    assert "\nLesson 2 runs again: its script has changed.\n" in printed
    assert "Lesson 1 runs again: its closing tables cannot be read.\n" in printed
    assert main(["course", "--seed", "7", "--only", "1"]) == 0
    assert ran() == "1"
    assert "Lesson 1 runs again: the last time it ran with seed 1337." in capsys.readouterr().out


def test_a_quick_run_has_a_folder_and_a_book_of_its_own(
    write: Callable[[int, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["course"])
    before = {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()}
    ran()
    assert main(["course", "--quick"]) == 0
    assert ran() == "1 2 3"
    assert Path("runs/quick/book/index.html").resolve().as_uri() in capsys.readouterr().out
    assert {path: path.read_bytes() for path in before} == before
    assert main(["course"]) == 0
    assert ran() == ""


def test_the_others_run_when_one_fails(
    write: Callable[[int, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    write(1, "1 / 0")
    write(2, "raise MemoryError('no room for 8 GB')")
    assert main(["course"]) == 1
    printed = capsys.readouterr().out
    assert ran() == "1 2 3"
    assert (
        "\nLesson 1 failed: ZeroDivisionError: division by zero. Its page shows where.\n" in printed
    )
    assert rows(printed)[:3] == [
        "1 Part a  failed; ZeroDivisionError: division by zero",
        "2 Part b  failed; memory ran out; end other programs and run it again "
        "(MemoryError: no room for 8 GB)",
        "3 Part c  done; 2 reproduced, 1 source wrong",
    ]
    assert Path("runs/book/index.html").is_file()
    write(1, "")
    assert main(["course", "--only", "1-2"]) == 1
    assert ran() == "1 2"
    assert "Lesson 2 runs again: the last time it failed." in capsys.readouterr().out


@NEEDS_SIGNALS
def test_one_that_is_killed_is_named_with_the_likely_reason(
    write: Callable[[int, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    write(1, KILL.format("SIGKILL"))
    write(2, KILL.format("SIGTERM"))
    assert main(["course"]) == 1
    printed = capsys.readouterr().out
    assert ran() == "1 2 3"
    assert (
        "\nLesson 1 was killed (SIGKILL): the system ended it, most likely because memory"
        in printed
    )
    assert "\nLesson 2 was killed (SIGTERM): somebody ended it, or a program that guards" in printed
    assert read_record(Path("runs/lesson-01")).status == "killed (SIGKILL)"
    assert "killed (SIGTERM)" in Path("runs/book/index.html").read_text(encoding="utf-8")


@NEEDS_SIGNALS
def test_ctrl_c_ends_it_with_a_book_and_says_how_to_go_on(
    write: Callable[[int, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    write(2, "os.kill(os.getppid(), signal.SIGINT); raise KeyboardInterrupt")
    assert main(["course", "--seed", "5"]) == 130
    printed = capsys.readouterr().out
    assert ran() == "1 2"
    assert rows(printed)[1] == "2 Part b  interrupted"
    assert printed.endswith("\nInterrupted. Go on with: minigpt course --seed 5\n")
    assert "interrupted" in Path("runs/book/index.html").read_text(encoding="utf-8")
    write(2, "")
    assert main(["course", "--seed", "5"]) == 0
    assert ran() == "2 3"
    write(2, "os.kill(os.getppid(), signal.SIGINT); raise KeyboardInterrupt")
    assert main(["course", "--seed", "5", "--again"]) == 130
    assert capsys.readouterr().out.endswith("minigpt course --seed 5 --again --only 2,3\n")


@NEEDS_SIGNALS
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_lesson_that_has_not_got_the_signal_is_ended(
    write: Callable[[int, str], None], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(stop_requests, "GRACE", 0.01)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    write(1, f"os.kill(os.getppid(), signal.{name}); time.sleep(600)")
    assert main(["course"]) == 128 + getattr(signal, name)
    assert ran() == "1"
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--only", "99"], "there is no lesson 99"),
        (["--only", "4"], "there is no lesson 4; there are 1 to 3"),
        (["--only", "100-900000000"], "there is no lesson 900000000"),
        (["--only", ""], "must be lessons' numbers such as 6,10 or 2-4, got ''"),
        (["--only", "2,"], "got '2,'"),
        (["--only", "-2"], "--only"),
        (["--only", "3,3"], "must name each lesson once, got 3 more than once"),
        (["--only", "1-3,2"], "got 2 more than once"),
        (["--only", "3-1"], "must be ascending, got '3-1'; take 1-3"),
        (["--only", "2", "--start", "1"], "not allowed with"),
        (["--quick", "--full"], "not allowed with"),
        (["--start", "4"], "--start 4 is after the last lesson, 3"),
        (["--device", "mars"], "'mars'"),
        (["--device", ""], "''"),
        (["--device", "cpu:7"], "'cpu:7'"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(
    write: Callable[[int, str], None], capsys: pytest.CaptureFixture[str], options: list[str],
    said: str,
) -> None:  # fmt: skip
    assert main(["course", *options]) == 2
    found = capsys.readouterr()
    assert said in found.err
    assert found.out == ""
    assert ran() == ""


@pytest.mark.parametrize(("given", "chosen"), [("3,1", [1, 3]), ("2-3", [2, 3]), (" 2 ", [2])])
def test_lists_and_ranges_of_lessons(given: str, chosen: list[int]) -> None:
    arguments = course.Namespace(only=course.numbers(given), start=None)
    assert chosen_lessons(arguments, {1: Path(), 2: Path(), 3: Path()}) == chosen


def command_of_lesson_4(*options: str) -> list[str]:
    """Returns the command that runs lesson 4 in a course with these options."""
    parser = course.ArgumentParser()
    course.add_options(parser)
    return Course(parser.parse_args(options), lesson.lesson_scripts()).command(4)


def test_the_command_of_a_lesson_has_all_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def command(*options: str) -> str:
        return " ".join(command_of_lesson_4(*options)[4:])

    assert command() == "lesson 4 --device auto --seed 1337"
    assert command("--quick", "--seed", "2", "--device", "cpu") == (
        "lesson 4 --device cpu --seed 2 --quick"
    )
    assert command("--full").endswith(" --full")


def test_a_lesson_sees_nothing_of_the_folder_that_it_runs_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("json", "token", "torch", "minigpt"):
        Path(f"{name}.py").write_text("raise SystemExit('the wrong one')", encoding="utf-8")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    command = [*command_of_lesson_4(), "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "--seed" in ended.stdout


def test_a_lesson_that_does_not_begin_has_failed(
    write: Callable[[int, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    write(2, "os._exit(2)")
    assert main(["course"]) == 1
    printed = capsys.readouterr().out
    assert "\nLesson 2 failed (2): it did not begin; what it said stands above.\n" in printed


@pytest.mark.parametrize(
    ("status", "record", "word", "why"),
    [
        (0, "done", "done", ""),
        (-11, "running", "killed (SIGSEGV)", "a part in compiled code crashed"),
        (-250, "running", "killed (signal 250)", "the system ended it"),
        (0xC0000017, "running", "killed (0xC0000017)", "memory ran out"),
        (0xC0000005, None, "killed (0xC0000005)", "a part in compiled code crashed"),
        (1, "running", "killed (1)", "its process was ended from outside"),
        (2, None, "failed (2)", "it did not begin"),
        (130, "interrupted", "interrupted", "something told this lesson"),
        (1, "failed", "failed", "what it said stands above"),
    ],
)  # fmt: skip
@NEEDS_SIGNALS
def test_how_a_lesson_ended(status: int, record: str | None, word: str, why: str) -> None:
    outcome = outcome_of(3, status, None if record is None else Record(3, [], record))
    assert outcome.word == word
    assert outcome.why.startswith(why)


def test_estimates_follow_this_machine() -> None:
    clock = Clock({1: 10.0, 2: 40.0, 3: 100.0})
    assert clock.estimate(3) == 100.0
    clock.learn(1, 30.0)
    assert (clock.estimate(1), clock.estimate(2)) == (30.0, 120.0)
    clock.learn(2, 20.0)
    assert clock.estimate(3) == 100.0  # 50 s here, 50 s there
    assert clock.sum([1, 2, 3]) == 150.0
    assert clock.estimate(4) is None
    assert clock.sum([1, 4]) is None
    assert Clock(times_of(quick=False, large=True)).estimate(1) is None
    for quick in (True, False):
        assert list(times_of(quick, large=False)) == list(lesson.lesson_scripts())


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (2, "a few seconds"), (8, "about 10 seconds"), (44, "about 40 seconds"),
        (58, "about 1 minute"), (155, "about 3 minutes"), (5000, "about 83 minutes"),
        (7200, "about 2.0 hours"),
    ],
)  # fmt: skip
def test_times_in_words(seconds: float, said: str) -> None:
    assert in_words(seconds) == said


def test_a_signal_between_two_lessons_is_not_lost() -> None:
    with StopRequests() as stop:
        stop.note(signal.SIGINT, None)
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        assert stop.wait_for(sleeper) != 0
        assert stop.signal == signal.SIGINT
