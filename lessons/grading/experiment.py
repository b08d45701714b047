"""What the diagnosis may do: look at the answers there are, and ask for more.

An `Experiment` holds the trials of a task, see trial.py, and makes new ones as long as its budget
lasts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from lessons.grading.compare import differ, wrong_elements
from lessons.grading.faults import examine, examine_result
from lessons.grading.outcome import Outcome
from lessons.grading.task import TOLERANCES, Case, Close, Draw, Task
from lessons.grading.trial import Trial
from lessons.grading.trusted import reference_answer


class Experiment:
    """The trials of one submission of one task.

    Args:
        task: what was asked for.
        ask: runs the submission on a case.
        trials: those there are already.
        seed: new samples follow from it.
        asks, seconds: the budget; seconds of this process, or four times as many on the clock.
    """

    loose = 30.0  # times the tolerance: other inputs may make more of a rounding error

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
        """Starts the clock anew: so many seconds of this process, or four times as many in all."""
        self.deadline = time.process_time() + seconds, time.perf_counter() + 4 * seconds

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
        """Returns whether nothing more can be asked."""
        return self.asks_left <= 0 or self.late

    @property
    def late(self) -> bool:
        """Returns whether the time is over."""
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
        """Returns whether a trial's result would be right for another case, whose answer is want.

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
        if differ(got, other, close, self.task.same_dtype, looser=self.loose) is not None:
            return False
        return True if differ(right, other, close, looser=self.loose) is not None else None

    def viewed(self, result: Any) -> Any:
        """Returns a result as it is compared."""
        try:
            return result if self.task.view is None else self.task.view(result)
        except Exception:  # a view need not know every wrong answer
            return result

    def close(self, got: torch.Tensor, want: torch.Tensor, looser: float = 4.0) -> bool:
        """Returns whether two tensors agree within some rounding errors of either's dtype."""
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
