"""Runs each contender of a benchmark in a process of its own.

What one of them does to its process (ours tells malloc to keep memory) must not help another.

    with contenders({"ours": (make_ours,), "theirs": (make_theirs, "cuda")}) as ask:
        ask["ours"]("step")            # calls make_ours()("step") in the process of "ours"

`make_ours` runs in the process of its contender. It returns a function of one argument, or None if
the contender is not installed, whose name is then not in `ask`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

Work = Callable[[Any], Any]
KILLED = 9  # SIGKILL, which Windows does not have


class ContenderError(RuntimeError):
    """Says that a contender failed, which one, and why."""


def serve(pipe: Connection, make: Callable[..., Work | None], arguments: tuple[Any, ...]) -> None:
    """Says over the pipe whether there is such a contender, then answers what is asked."""
    try:
        work = make(*arguments)
        pipe.send(work is not None)
        while work is not None:
            pipe.send(work(pipe.recv()))
    except EOFError:  # the asking process has closed the pipe
        pass
    except Exception as error:
        pipe.send(ContenderError(f"{type(error).__name__}: {error}"))


@contextmanager
def contenders(makers: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Work]]:
    """Starts a process for each name, from a function and its arguments; all end with the block.

    Raises:
        ContenderError: one of them failed, here or when it is asked.
    """
    pipes: list[Connection] = []
    processes = []
    ask: dict[str, Work] = {}
    try:
        for name, (make, *arguments) in makers.items():
            pipe, theirs = get_context("spawn").Pipe()
            process = get_context("spawn").Process(
                target=serve, args=(theirs, make, tuple(arguments)), daemon=True
            )
            process.start()
            theirs.close()  # otherwise recv would wait for a process that has died
            pipes.append(pipe)
            processes.append(process)
            if _answer(pipe, name, process):
                ask[name] = partial(_ask, pipe, name, process)
        yield ask
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join()


def _ask(pipe: Connection, name: str, process: BaseProcess, what: Any) -> Any:
    with suppress(OSError):  # it has died since its last answer
        pipe.send(what)
    return _answer(pipe, name, process)


def _answer(pipe: Connection, name: str, process: BaseProcess) -> Any:
    try:
        answer = pipe.recv()
    except (EOFError, OSError):
        process.join()
        why = f"with exit status {process.exitcode}"
        if process.exitcode == -KILLED:
            why = "because it was killed, as systems do when memory runs out"
        raise ContenderError(f"the process of {name!r} ended before it answered, {why}") from None
    if isinstance(answer, ContenderError):
        raise ContenderError(f"{name}: {answer}")
    return answer
