"""What the diagnosis may do: look at the answers there are, and ask for more.

A `Trial` is one case with the submission's answer beside the right one. An `Experiment` holds those
of a task and makes new ones, as long as its budget lasts.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from lessons.grading.compare import differ, wrong_elements
from lessons.grading.faults import Fault, examine, examine_result
from lessons.grading.outcome import Answered, Outcome, Stopped
from lessons.grading.slots import Slot, parameters, slots, whole_slots
from lessons.grading.task import TOLERANCES, Case, Close, Draw, Task
from lessons.grading.trusted import fresh, reference_answer

# A place in an answer: ("result",), ("result", 1), ("gradient", "x"), ("after", "w").
Place = tuple

LOOSE = 30.0  # times the tolerance: other inputs may make more of a rounding error


@dataclass(eq=False)  # tensors are not compared by ==
class Trial:
    """One case, asked.

    Attributes:
        task, case: what was asked.
        outcome: the submission's.
        want: what the driver answers for the reference.
        fault: what is wrong with the outcome, None if nothing is.
        drawn: whether the case is a random one and has no note of its own.
    """

    task: Task
    case: Case
    outcome: Outcome
    want: dict[str, Any]
    fault: Fault | None
    drawn: bool = False

    @property
    def wrong(self) -> bool:
        """Tells whether the answer is wrong."""
        return self.fault is not None

    @property
    def stopped(self) -> Stopped | None:
        """Returns why there is no answer, or None."""
        return self.outcome if isinstance(self.outcome, Stopped) else None

    def answered(self, answer: dict[str, Any]) -> Outcome:
        """Returns the outcome of another answer."""
        return Answered(answer)

    @property
    def got(self) -> Any:
        """Returns the result, None if there is none."""
        return self.outcome.answer.get("result") if isinstance(self.outcome, Answered) else None

    @cached_property
    def slots(self) -> list[Slot]:
        """Returns the arguments."""
        return slots(self.task, self.case)

    @cached_property
    def whole_slots(self) -> list[Slot]:
        """Returns the arguments, objects as they are."""
        return whole_slots(self.task, self.case)

    @cached_property
    def named(self) -> dict[str, Any]:
        """Returns the arguments by name."""
        return {slot.name: slot.value for slot in self.slots}

    @cached_property
    def functions(self) -> dict[str, Callable]:
        """Returns the callables among the arguments, as the reference gets them."""
        args, kwargs = fresh(self.case)
        named = dict(zip([p.name for p in parameters(self.task)], args, strict=False)) | kwargs
        return {name: f for name, f in named.items() if callable(f)}

    @cached_property
    def applied(self) -> dict[str, torch.Tensor]:
        """Returns what the callables make of the tensors: {"attn(x)": ...}, chains as well."""
        tensors = {n: x for n, x in self.named.items() if isinstance(x, torch.Tensor)}
        return chains(self.functions, tensors) if self.functions else {}

    @cached_property
    def pairs(self) -> dict[Place, tuple[Any, Any]]:
        """Returns (got, wanted) for each place of the answer; tuples count as several results."""
        if self.stopped or not isinstance(self.outcome, Answered):
            return {}
        got, want = self.outcome.answer, self.want
        pairs: dict[Place, tuple[Any, Any]] = {}
        ours, theirs = got.get("result"), want["result"]
        if self.task.view is not None:
            try:
                ours, theirs = self.task.view(ours), self.task.view(theirs)
            except Exception:  # what cannot be viewed is shown as it is
                ours, theirs = got.get("result"), want["result"]
        if isinstance(theirs, (tuple, list)) and is_record(theirs, self.task):
            pairs.update(in_parts(("result",), ours, theirs))
        elif isinstance(theirs, dict) and any(map(is_array, theirs.values())):
            if isinstance(ours, dict):
                pairs.update({("result", k): (ours[k], theirs[k]) for k in theirs if k in ours})
        else:
            pairs[("result",)] = (ours, theirs)
        wanted = want.get("gradients") or {}
        names = [p.name for p in parameters(self.task)]
        for key, value in (got.get("gradients") or {}).items():
            name = names[key] if isinstance(key, int) and key < len(names) else str(key)
            if key in wanted:
                pairs[("gradient", name)] = (value, wanted[key])
        if self.task.changes:
            pairs.update(self._afterwards(got["after"], want["after"], names))
        return pairs

    def _afterwards(self, got: list, want: list, names: list[str]) -> dict[Place, tuple[Any, Any]]:
        named = {
            names[i] if i < len(names) else f"argument {i + 1}": i for i in range(len(want[0]))
        }
        pairs: dict[Place, tuple[Any, Any]] = {}
        for name, i in named.items():
            if name in self.task.changes and i < len(got[0]):
                ours, theirs = got[0][i], want[0][i]
                if isinstance(theirs, (list, tuple)) and isinstance(ours, (list, tuple)):
                    for k, pair in enumerate(zip(ours, theirs, strict=False)):
                        pairs[("after", f"{name}[{k}]")] = pair
                else:
                    pairs[("after", name)] = (ours, theirs)
        return pairs


def chains(
    functions: dict[str, Callable], tensors: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Returns f(x), g(f(x)) and so on for all tensors, each function at most once in a chain."""
    found: dict[str, torch.Tensor] = {}
    waiting = [(name, x, frozenset[str]()) for name, x in tensors.items()]
    for inner, x, used in waiting:
        for outer, f in functions.items():
            if outer in used:
                continue
            try:
                y = f(x)
            except Exception:  # not every tensor suits every function
                continue
            if isinstance(y, torch.Tensor):
                name = f"{outer}({inner})"
                found[name] = y.detach()
                waiting.append((name, found[name], used | {outer}))
    return found


def in_parts(place: Place, got: Any, want: Any) -> dict[Place, tuple[Any, Any]]:
    """Returns the pairs of several results, and of those that are several themselves."""
    if not isinstance(got, (tuple, list)) or len(got) != len(want):
        return {}
    pairs: dict[Place, tuple[Any, Any]] = {}
    for i, (ours, theirs) in enumerate(zip(got, want, strict=True)):
        if isinstance(theirs, (tuple, list)) and any(map(is_array, theirs)):
            pairs.update(in_parts((*place, i), ours, theirs))
        else:
            pairs[(*place, i)] = ours, theirs
    return pairs


def is_array(value: Any) -> bool:
    """Tells whether a value is a tensor or an array."""
    return isinstance(value, (torch.Tensor, np.ndarray))


def is_record(value: Any, task: Task) -> bool:
    """Tells whether a tuple or list is several results rather than one sequence."""
    lists = [item for item in value if isinstance(item, (tuple, list))]
    if any(map(is_array, [*value, *(x for item in lists for x in item)])):
        return len(value) <= 16
    if not isinstance(value, tuple) or not 2 <= len(value) <= 5:
        return False
    if all(type(item) is int for item in value):  # ids are one thing, fields several
        said = str(inspect.signature(task.reference).return_annotation)
        return len(value) > 2 and said.startswith("tuple[") and "..." not in said
    return True


class Experiment:
    """The trials of one submission of one task.

    Args:
        task: what was asked for.
        ask: runs the submission on a case.
        trials: those there are already.
        seed: new samples follow from it.
        asks, seconds: the budget; seconds of this process, or twice as many on the clock.
    """

    def __init__(
        self,
        task: Task,
        ask: Callable[[Case], Outcome],
        trials: Iterable[Trial],
        seed: int = 0,
        asks: int = 120,
        seconds: float = 1.5,
    ) -> None:
        self.task, self.trials, self.seed = task, list(trials), seed
        self.asks, self.asks_left = asks, asks
        self.give_time(seconds)
        self._ask, self._drawn = ask, 0
        self.memory: dict[Any, Any] = {}  # what a family keeps for the others
        self.problems: list[tuple[str, Exception]] = []

    def give_time(self, seconds: float) -> None:
        """Starts the clock anew: so many seconds of this process, or twice as many in all."""
        self.deadline = time.process_time() + seconds, time.perf_counter() + 2 * seconds

    @contextmanager
    def half_of_the_time(self) -> Iterator[None]:
        """Ends the time, inside, after half of what is left."""
        before = self.deadline
        now = time.process_time(), time.perf_counter()
        self.deadline = (now[0] + before[0]) / 2, (now[1] + before[1]) / 2
        try:
            yield
        finally:
            self.deadline = before

    @property
    def failing(self) -> list[Trial]:
        """Returns the trials with a wrong answer."""
        return [trial for trial in self.trials if trial.wrong]

    @property
    def passing(self) -> list[Trial]:
        """Returns the trials with a right answer."""
        return [trial for trial in self.trials if not trial.wrong]

    @property
    def spent(self) -> bool:
        """Tells whether nothing more can be asked."""
        return self.asks_left <= 0 or self.late

    @property
    def late(self) -> bool:
        """Tells whether the time is over."""
        return time.process_time() > self.deadline[0] or time.perf_counter() > self.deadline[1]

    def ask(self, case: Case, drawn: bool = False) -> Trial | None:
        """Asks for one case; None for one that the reference refuses, or if the budget is spent."""
        if self.spent or (want := self.want(case)) is None:
            return None
        self.asks_left -= 1
        outcome = self._ask(case)
        return Trial(self.task, case, outcome, want, examine(self.task, case, outcome, want), drawn)

    def want(self, case: Case) -> dict[str, Any] | None:
        """Returns the right answer; None if the reference refuses or the time is over."""
        return None if self.late else reference_answer(self.task, case)

    def draw(self, size: int) -> Case:
        """Returns the next random case of a size."""
        self._drawn += 1
        return self.task.sample(Draw(1000 * self.seed + 500_009 + self._drawn, size))

    def answers_as(self, trial: Trial, case: Case, want: dict[str, Any]) -> bool | None:
        """Tells whether a trial's result would be right for another case, whose answer is want.

        Rounding counts less here than in judging; None where that leaves the answer as near to the
        right one.
        """
        if trial.stopped:
            return False
        fault = examine_result(self.task, case, trial.got, want["result"])
        if fault is None or fault.kind != "value" or self.task.check is not None:
            return fault is None
        got, other, right = (
            self.viewed(r) for r in (trial.got, want["result"], trial.want["result"])
        )
        close = self.task.compare or Close()
        if differ(got, other, close, self.task.same_dtype, looser=LOOSE) is not None:
            return False
        return True if differ(right, other, close, looser=LOOSE) is not None else None

    def viewed(self, result: Any) -> Any:
        """Returns a result as it is compared."""
        try:
            return result if self.task.view is None else self.task.view(result)
        except Exception:  # a view need not know every wrong answer
            return result

    def close(self, got: torch.Tensor, want: torch.Tensor, looser: float = 4.0) -> bool:
        """Tells whether two tensors agree within some rounding errors of either's dtype."""
        return got.shape == want.shape and not bool(self.wrong_elements(got, want, looser).any())

    def wrong_elements(
        self, got: torch.Tensor, want: torch.Tensor, looser: float = 1.0
    ) -> torch.Tensor:
        """Returns which elements of two tensors of one shape differ."""
        return wrong_elements(got, want, Close(self.tolerance(got, want) * looser, self.per))

    def tolerance(self, got: torch.Tensor, want: torch.Tensor) -> float:
        """Returns the relative error that arithmetic in the coarser of two dtypes explains."""
        if self.task.compare is not None and self.task.compare.rtol is not None:
            return self.task.compare.rtol
        floats = [x.dtype for x in (got, want) if x.dtype in TOLERANCES]
        return max([1e-9, *(TOLERANCES[dtype] for dtype in floats)])

    @property
    def per(self) -> str:
        """Returns what errors are relative to, see `Close`."""
        return self.task.compare.per if self.task.compare is not None else "tensor"
