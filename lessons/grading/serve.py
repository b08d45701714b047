"""Runs a submission and answers the grader's questions about it: one message in, one out.

The first message holds the learner's code. Each later one holds the arguments of a call, and is
answered by ["answered", what the driver returned] or ["stopped", status, sentence, line].
"""

from __future__ import annotations

import ast
import contextlib
import io
import linecache
import os
import random
import socket
import sys
import traceback
import types
from collections.abc import Callable
from typing import Any, NoReturn, TextIO

import numpy as np
import torch

from lessons.grading import (
    audit,
    drivers,
    isolation,
    kept_weights,
    kernel_drivers,
    objects,
    shortcuts,
    values,
)
from lessons.grading.refusals import refusal_behind, refused

FILE = "submission.py"  # what tracebacks call the learner's code
MEMORY = 2 << 30  # bytes that a submission may take
DRIVERS = drivers.DRIVERS | kept_weights.DRIVERS | kernel_drivers.DRIVERS
SECONDS = 600  # of processor time in its whole life; the grader ends it much earlier
PRINTING: dict[str, Any] = {
    "encoding": "utf-8",
    "errors": "backslashreplace",
    "buffering": 1,  # a line: what was printed before a crash is not lost
    "closefd": False,
}
# What torch says when the limit on memory is reached.
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory")


def serve(
    data: socket.socket,
    printed: TextIO,
    hook: Callable[[str, tuple], None],
    site_folders: list[str],
    triton: bool,
    lock: Callable[[], None],
) -> NoReturn:
    """Serves the grader until it closes its end, and ends the process.

    Args:
        data: where the messages come and go.
        printed: what the submission prints goes here.
        hook: audit.py's.
        site_folders: where torch, numpy and Triton are.
        triton: whether the submission may import Triton.
        lock: puts up the system's walls around this process.
    """
    stream = data.makefile("rb")
    start = values.loads(values.read_message(stream) or b"")
    sys.stdin, sys.stdout, sys.stderr = io.StringIO(), printed, printed
    isolation.limit(MEMORY, SECONDS)
    shortcuts.take_away(start["forbidden"])
    sys.modules["__main__"] = types.ModuleType("__main__")
    for name in [name for name in sys.modules if name.partition(".")[0] == "lessons"]:
        del sys.modules[name]  # a submission has no need of them
    lock()
    audit.install(hook, site_folders)
    submission = Submission(start["code"], start["name"], audit.guarded_builtins(triton))
    reply = submission.load(start["helpers"])
    while True:
        with contextlib.suppress(OSError, ValueError):  # the submission closed it
            printed.flush()
        data.sendall(packed(reply))
        message = values.read_message(stream)
        if message is None:
            os._exit(0)
        args, kwargs = values.loads(message, objects.make)
        reply = submission.ask(start["drive"], start["options"], args, kwargs)


def packed(reply: list) -> bytes:
    """Returns the message that the grader gets."""
    try:
        message = values.dumps(reply)
    except BaseException as error:
        text = described(error)
        if is_out_of_memory(error, text):
            why = f"What it returned takes more than {MEMORY >> 30} GiB to hand over."
            return values.dumps(["stopped", "memory", why, None])
        return values.dumps(["stopped", "error", f"What it returned cannot be read: {text}", None])
    n_text, n_arrays = map(int, message[: message.index(b"\n")].split())
    if n_text > values.LONGEST_TEXT or n_arrays > values.LONGEST_ARRAYS:
        return values.dumps(["stopped", "crashed", "What it returned is far too long.", None])
    return message


def is_out_of_memory(error: BaseException, text: str) -> bool:
    """Returns whether an error, described by a text, says that there is no memory left."""
    return isinstance(error, MemoryError) or any(sign in text for sign in OUT_OF_MEMORY)


def seed() -> None:
    """Makes what is random the same each time."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


class Submission:
    """A learner's code, and the function or class that a task is about.

    Args:
        code: the text of the file.
        name: of the function or class.
        guarded: the builtins that the code gets.
    """

    def __init__(self, code: str, name: str, guarded: dict[str, Any]) -> None:
        self.code, self.name, self.guarded = code, name, guarded
        self.module = types.ModuleType("submission")

    def load(self, helpers: dict[str, str]) -> list:
        """Runs the file; returns the reply: ["ready"], or why it cannot be used.

        Args:
            helpers: {name: source} of functions that take the place of the learner's own.
        """
        sys.modules["submission"] = self.module  # where dataclasses look for it
        try:
            self.run(self.code, FILE, self.module)
            for name, source in helpers.items():
                apart = types.ModuleType(f"helper_{name}")
                self.run(source, f"helper_{name}.py", apart)
                setattr(self.module, name, getattr(apart, name))
        except BaseException as error:
            return self.explain(error)
        if self.name not in vars(self.module):
            return ["stopped", "missing", f"The file does not define {self.name}.", None]
        return ["ready"]

    def run(self, source: str, file: str, module: types.ModuleType) -> None:
        """Runs source in a module."""
        # Triton and torch.jit ask for a function's text.
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        vars(module).update(__builtins__=self.guarded, __file__=file)
        seed()
        exec(compile(source, file, "exec", dont_inherit=True), vars(module))

    def ask(self, drive: str, options: dict, args: list, kwargs: dict) -> list:
        """Calls the learner's function once and returns the reply."""
        refused.clear()
        seed()
        try:
            f = vars(self.module)[self.name]
            return ["answered", DRIVERS[drive](f, tuple(args), kwargs, **options)]
        except BaseException as error:
            return self.explain(error)

    def explain(self, error: BaseException) -> list:
        """Returns the reply that says what went wrong, and in which line."""
        try:
            line = line_of(error)
            if (sentence := refusal_behind(error)) is not None:
                return ["stopped", "forbidden", sentence, line]
            if isinstance(error, NotImplementedError) and line and self.raised_in(error, line):
                return self.not_written(line)
            text = described(error)
            if is_out_of_memory(error, text):
                return ["stopped", "memory", f"It asked for more than {MEMORY >> 30} GiB.", line]
            return ["stopped", "error", text, line]
        except BaseException:  # an exception may be made to hinder this
            return ["stopped", "error", "It raised something that cannot be described.", None]

    def raised_in(self, error: BaseException, line: int) -> bool:
        """Returns whether the stub itself raised it: torch has errors of this type too."""
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        inside = frame.f_code.co_filename == FILE
        return inside and "NotImplementedError" in self.code.splitlines()[line - 1]

    def not_written(self, line: int) -> list:
        """Returns the reply to a stub that was called, be it this task's or another's."""
        for node in ast.parse(self.code).body:
            inside = node.lineno <= line <= (node.end_lineno or 0)
            if inside and isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                if node.name == self.name:
                    break
                text = f"It uses {node.name}, which is not written yet."
                return ["stopped", "error", text, line]
        return ["stopped", "not_started", f"{self.name} is not written yet.", line]


def line_of(error: BaseException) -> int | None:
    """Returns the last line of the learner's file that the error passed through."""
    if isinstance(error, SyntaxError) and error.filename == FILE:
        return error.lineno
    frames = traceback.walk_tb(error.__traceback__)
    lines = [line for frame, line in frames if frame.f_code.co_filename == FILE]
    return lines[-1] if lines else None


def described(error: BaseException) -> str:
    """Returns the type and the text of an exception, shortened."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    if isinstance(error, SystemExit):
        return "SystemExit: it asked Python to end instead of returning."
    text = f"{type(error).__name__}: {error}".strip().removesuffix(":")
    return text if len(text) <= 600 else f"{text[:600]} ..."
