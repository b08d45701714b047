"""Tries things in a process of their own, which may crash or hang without harm.

A package that was built for another processor ends the process that imports it; a driver that does
not answer holds it up for ever. Here both are an error that says so.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

SECONDS = 120  # that a child may take; the longest needs 10, and more on a busy machine
RUNNING: set[subprocess.Popen[str]] = set()  # the children; Ctrl-C does not reach them
# The child sees the modules that its parent sees: none of the folder that it happens to start in.
START = """
import importlib, json, sys
sys.path[:], module, name, arguments = json.loads(sys.argv[1])
print("\\n" + json.dumps(getattr(importlib.import_module(module), name)(*arguments)))
"""


class ChildError(RuntimeError):
    """Says in a few words how a process failed."""


def ask(
    function: Callable[..., Any],
    *arguments: Any,
    seconds: float = SECONDS,
    environment: Mapping[str, str | None] | None = None,
) -> Any:
    """Returns function(*arguments), which is called in a new process.

    Args:
        function: of a module. Like its arguments, what it returns is made of what JSON can hold.
        environment: variables to set; None removes one.

    Raises:
        ChildError: the process failed, crashed or took too long.
    """
    what = json.dumps([[*map(str, sys.path)], function.__module__, function.__name__, arguments])
    said = run([sys.executable, "-I", "-c", START, what], seconds, environment)
    return json.loads(said.splitlines()[-1])


def answer(function: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, str]:
    """Returns what `ask` returns and "", or None and how the process failed."""
    try:
        return ask(function, *arguments, **options), ""
    except ChildError as error:
        return None, str(error)


def answers(*questions: Callable[[], tuple[Any, str]]) -> list[tuple[Any, str]]:
    """Returns what several calls of `answer` return, which are made side by side."""
    with ThreadPoolExecutor(len(questions)) as threads:
        try:
            made = [threads.submit(question) for question in questions]
            return [one.result() for one in made]
        except BaseException:  # Ctrl-C comes to this thread alone; the others wait for children
            for process in list(RUNNING):
                kill(process)
            raise


def run(
    command: Sequence[str], seconds: float, environment: Mapping[str, str | None] | None = None
) -> str:
    """Returns what a program prints. Once its time is up, it ends with all that it has started.

    Raises:
        ChildError: it cannot be started, fails, crashes or takes too long.
    """
    variables = {**os.environ, **(environment or {})}
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True,
            env={name: value for name, value in variables.items() if value is not None},
            encoding="utf-8", errors="replace",
        )  # fmt: skip
    except OSError as error:
        raise ChildError(f"cannot be started: {error.strerror}") from None
    RUNNING.add(process)
    try:
        said, complained = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise ChildError(f"took longer than {seconds:g} seconds") from None
    finally:
        RUNNING.discard(process)
        if process.returncode is None:
            kill(process)
            process.communicate()
    if process.returncode:
        raise ChildError(how_it_ended(process.returncode, complained))
    return said


def kill(process: subprocess.Popen[str]) -> None:
    """Kills a process; with those that it has started, but on Windows."""
    with contextlib.suppress(ProcessLookupError):
        process.kill() if os.name == "nt" else os.killpg(process.pid, signal.SIGKILL)


def how_it_ended(status: int, complained: str) -> str:
    """Returns in a clause why a process ended with this status, having complained so."""
    if status < 0:
        known = -status in set(signal.Signals)
        return f"crashed ({signal.Signals(-status).name if known else f'signal {-status}'})"
    if status >= 0x80000000:  # Windows' codes of exceptions
        return f"crashed ({status:#x})"
    lines = [line.strip() for line in complained.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    said = (errors or lines or [f"ended with status {status}"])[-1]
    return said[:300]
