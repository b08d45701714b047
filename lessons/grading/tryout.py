"""Tries a bank in this process, fast and without any isolation: for those who write one.

python -m lessons.grading.tryout 8          # all tasks of lesson 8
python -m lessons.grading.tryout 8.2

For each task: are all right answers accepted, every mistake rejected, no two mistakes alike, and
zeros, NaN, nothing and a copy of the input rejected?
"""

from __future__ import annotations

import linecache
import sys
import time
import zlib
from importlib import import_module
from typing import Any

import torch

from lessons.grading import drivers, objects, values
from lessons.grading.compare import differ
from lessons.grading.task import HEADER, TRITON_HEADER, Case, Draw, Task


def fresh(case: Case) -> tuple[tuple, dict]:
    """Returns the arguments of a case as the child would get them."""
    made = values.loads(values.dumps([list(case.args), case.kwargs]), objects.make)
    return tuple(made[0]), made[1]


def run(task: Task, f: Any, case: Case) -> Any:
    """Returns what the driver answers, as it would travel; an exception as its text."""
    args, kwargs = fresh(case)
    torch.manual_seed(0)
    try:
        answer = drivers.DRIVERS[task.drive](f, args, kwargs, **task.drive_options)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return values.loads(values.dumps(answer))


def verdict(task: Task, case: Case, got: Any, expected: Any) -> str | None:
    """Returns why an answer to a case is wrong, or None."""
    if isinstance(got, str):
        return got
    if isinstance(expected, str):
        raise AssertionError(f"{task.id}: the reference fails: {expected}")
    for sentence, true in got.get("facts", {}).items():
        if not true:
            return f"not true: {sentence}"
    if task.check is not None:
        if sentence := task.check(case, got["result"], expected["result"]):
            return sentence
    else:
        ours, theirs = got["result"], expected["result"]
        if task.view is not None:
            try:
                ours, theirs = task.view(ours), task.view(theirs)
            except Exception as error:
                return f"cannot be viewed: {error}"
        close = None if case.exact else task.compare
        if found := differ(ours, theirs, close, task.same_dtype):
            both = f"got {found.got!r:.200}, expected {found.expected!r:.200}"
            return f"{found.kind}{found.path}: {both}"
    if not task.changes and differ(got["after"], fresh_after(case), None):
        return "changes its arguments"
    if task.changes and (found := differ(got["after"], expected["after"], task.compare)):
        return (
            f"after the call, {found.path} is {found.got!r:.200}, expected {found.expected!r:.200}"
        )
    if found := differ(got.get("gradients"), expected.get("gradients"), task.compare, False):
        return f"gradient{found.path}: got {found.got!r:.200}, expected {found.expected!r:.200}"
    return None


def fresh_after(case: Case) -> list:
    """Returns the arguments as they would come back unchanged."""
    args, kwargs = fresh(case)
    return values.loads(values.dumps([list(args), kwargs]))


def load(task: Task, code: str) -> Any:
    """Returns the function or class that the code defines."""
    space: dict[str, Any] = {"__name__": "submission"}
    text = HEADER + (TRITON_HEADER if task.triton else "") + code
    file = f"<{task.id} {zlib.crc32(text.encode()):08x}>"
    lines = text.splitlines(keepends=True)
    linecache.cache[file] = (len(text), None, lines, file)  # Triton reads a kernel's text
    exec(compile(text, file, "exec", dont_inherit=True), space)
    return space[task.name]


def trivial(name: str, expected: Any) -> dict[str, Any]:
    """Returns answers that must never pass, as functions."""

    def like(value: Any, fill: float) -> Any:
        if isinstance(value, torch.Tensor):
            if not value.dtype.is_floating_point and fill != fill:
                return torch.zeros_like(value)
            return (
                torch.full_like(value, fill)
                if value.dtype != torch.bool
                else torch.zeros_like(value)
            )
        if isinstance(value, (list, tuple)):
            return (
                type(value)(like(item, fill) for item in value)
                if type(value) in (list, tuple)
                else value
            )
        return fill if isinstance(value, float) else type(value)() if value is not None else None

    return {
        "zeros": lambda *a, **k: like(expected, 0.0),
        "nan": lambda *a, **k: like(expected, float("nan")),
        "copy": lambda *a, **k: a[0] if a else None,
        "nothing": lambda *a, **k: None,
    }


def try_task(task: Task, seed: int = 0) -> bool:
    """Prints what is wrong with a task's bank; returns whether nothing is."""
    started = time.perf_counter()
    cases = list(task.cases(Draw(seed)))
    samples = [task.sample(Draw(seed + i, size)) for i in range(3) for size in (1, 2, 4)]
    everything = [*cases, *samples]
    expected = [run(task, task.reference, case) for case in everything]
    good = True

    def say(text: str) -> None:
        nonlocal good
        good = False
        print(f"  {task.id} {task.name}: {text}")

    for i, answer in enumerate(task.bank.answers):
        f = load(task, answer)
        for case, want in zip(everything, expected, strict=True):
            if why := verdict(task, case, run(task, f, case), want):
                say(f"right answer {i} is rejected ({case.note or 'plain'}): {why}")
                break
    outcomes: dict[str, list[Any]] = {}
    for wrong in task.bank.mistakes:
        try:
            f = load(task, wrong.code)
        except Exception as error:
            say(f"mistake {wrong.name!r} does not load: {error}")
            continue
        results = [run(task, f, case) for case in cases]
        verdicts = [
            verdict(task, c, r, w) for c, r, w in zip(cases, results, expected, strict=False)
        ]
        if wrong.equivalent is not None:
            if any(verdicts):
                say(f"mistake {wrong.name!r} is rejected, and called equivalent")
            continue
        if not any(verdicts):
            say(f"mistake {wrong.name!r} is accepted")
        for other, others in outcomes.items():
            same = all(
                r == o
                if isinstance(r, str) or isinstance(o, str)
                else not differ(r, o, None if case.exact else task.compare)
                for r, o, case in zip(results, others, cases, strict=True)
            )
            if same:
                say(f"mistakes {wrong.name!r} and {other!r} give the same answers")
        outcomes[wrong.name] = results
    first = expected[0]["result"] if isinstance(expected[0], dict) else None
    if task.drive == "call" and not task.triton:
        for name, f in trivial(task.name, first).items():
            if not any(
                verdict(task, c, run(task, f, c), w) for c, w in zip(cases, expected, strict=False)
            ):
                say(f"{name} is accepted")
    if len(task.bank.mistakes) < 6 or len(task.bank.answers) < 2:
        say(f"has {len(task.bank.mistakes)} mistakes of 6, {len(task.bank.answers)} answers of 2")
    seconds = time.perf_counter() - started
    print(
        f"{task.id} {task.name}: {len(cases)} cases, {len(task.bank.mistakes)} mistakes, "
        f"{seconds:.2f} s"
    )
    return good


def main(which: str) -> int:
    """Tries a lesson or a task."""
    lesson = int(which.split(".")[0])
    tasks = import_module(f"lessons.exercises.lesson_{lesson:02d}").TASKS
    chosen = [task for task in tasks if "." not in which or task.id == which]
    return int(sum(not try_task(task) for task in chosen) > 0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main(sys.argv[1]))
