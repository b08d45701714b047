"""Traces a Triton kernel, statement by statement, in Triton's interpreter.

The interpreter runs a kernel as ordinary Python with numpy arrays, so Python's own tracing can stop
after every statement and print what it has changed. TRITON_INTERPRET=1 has to be in the environment
before the kernel's module is imported.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

import numpy as np

TURNS = 2  # how many turns of a loop are shown


def show(value: Any) -> str | None:
    """Returns a Triton tensor or number as text; None for other values, such as pointers."""
    if isinstance(value, (bool, int, float)):
        return str(value)
    if type(value).__name__ != "tensor" or value.dtype.is_ptr():
        return None
    array = np.asarray(value.handle.data)
    if array.size == 1 and not value.shape:
        return f"{value.dtype} {array.item():.4g}"
    text = np.array2string(array, 90, precision=3, suppress_small=True, floatmode="maxprec")
    shape = tuple(int(size) for size in value.shape)
    return f"{value.dtype} {shape}\n{textwrap.indent(text, ' ' * 10)}"


def statements(function: Callable) -> dict[int, tuple[int, str]]:
    """Returns by line number where its statement begins, and the statement's text on one line.

    The text of a loop or a condition ends at the colon.
    """
    lines, first = inspect.getsourcelines(function)
    found = {}
    for node in ast.walk(ast.parse(textwrap.dedent("".join(lines)))):
        if not isinstance(node, ast.stmt) or isinstance(node, ast.FunctionDef):
            continue
        body = getattr(node, "body", None)
        end = body[0].lineno - 1 if body else node.end_lineno or node.lineno
        text = " ".join(line.strip() for line in lines[node.lineno - 1 : end])
        text = text.removesuffix("  # fmt: skip").replace("( ", "(").replace(", )", ")")
        text = " " * (node.col_offset - 4) + text
        for line in range(node.lineno, end + 1):
            found[first + line - 1] = first + node.lineno - 1, text
    return found


def trace(launch: Callable[[], Any], *kernels: Any) -> None:
    """Calls launch and prints every statement of these kernels with the values it sets.

    Args:
        launch: runs a kernel in the interpreter, best in a single program.
        kernels: the functions to show, decorated with triton.jit: the kernel, and any of the
            functions it calls.

    Raises:
        TypeError: a kernel was compiled, not interpreted.
    """
    sources = {}
    for kernel in kernels:
        if type(kernel).__name__ != "InterpretedFunction":
            raise TypeError(
                f"{kernel.__name__} is not interpreted; set TRITON_INTERPRET=1 in the environment "
                "before its module is imported"
            )
        code = kernel.fn.__code__
        sources[code.co_filename, code.co_name] = statements(kernel.fn)

    def enter(frame: FrameType, event: str, argument: Any) -> Callable | None:
        code: CodeType = frame.f_code
        source = sources.get((code.co_filename, code.co_name))
        return None if source is None else follow(code.co_name, source, frame)

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        launch()
    finally:
        sys.settrace(before)


def follow(name: str, source: dict[int, tuple[int, str]], frame: FrameType) -> Callable:
    """Returns what Python is to call for each line of a kernel that begins to run in frame."""
    print(f"{name}:")
    seen = {key: show(value) for key, value in frame.f_locals.items()}
    turns: Counter[int | None] = Counter()
    running: int | None = None  # the line at which the running statement begins

    def step(frame: FrameType, event: str, argument: Any) -> Callable:
        nonlocal running
        begins, text = source[frame.f_lineno] if event == "line" else (None, "")
        loop = text.lstrip().startswith("for ")
        if begins == running and event == "line" and not loop:
            return step  # another line of the same statement
        # Turns after the first TURNS are not shown, only the values at the loop's end.
        if running is not None and (turns[running] <= TURNS or turns[begins] < TURNS):
            for key, value in frame.f_locals.items():
                new = show(value)
                if new is not None and new != seen.get(key):
                    print(f"        {key} = {new}")
                    seen[key] = new
        running = begins
        if begins is None:
            print(f"      end of {name}")
            return step
        turns[begins] += 1
        if turns[begins] <= TURNS:
            print(f"{begins:>4}  {text}")
        elif turns[begins] == TURNS + 1 and loop:
            print("      ... and so on; in the end")
        return step

    return step
