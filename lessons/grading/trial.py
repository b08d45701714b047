"""One case with the submission's answer beside the right one."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from lessons.grading.faults import Fault
from lessons.grading.outcome import Answered, Outcome, Stopped
from lessons.grading.slots import Slot, parameters, slots, whole_slots
from lessons.grading.task import Case, Task
from lessons.grading.trusted import fresh

# A place in an answer: ("result",), ("result", 1), ("gradient", "x"), ("after", "w").
Place = tuple


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
        """Returns whether the answer is wrong."""
        return self.fault is not None

    @property
    def stopped(self) -> Stopped | None:
        """Returns why there is no answer, or None."""
        return self.outcome if isinstance(self.outcome, Stopped) else None

    def with_answer(self, answer: dict[str, Any]) -> Trial:
        """Returns the trial with another answer."""
        return replace(self, outcome=Answered(answer))

    @property
    def got(self) -> Any:
        """Returns the result, None if there is none."""
        return self.outcome.answer.get("result") if isinstance(self.outcome, Answered) else None

    @cached_property
    def slots(self) -> list[Slot]:
        """Returns the arguments, without those that only take the answer."""
        return [s for s in slots(self.task, self.case) if s.name not in self.task.outputs]

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

    def chains(
        self, tensors: dict[str, torch.Tensor], longest: int | None = None
    ) -> dict[str, torch.Tensor]:
        """Returns f(x), g(f(x)) and so on for all tensors, each callable at most once in a chain.

        Args:
            longest: the most callables in a chain; None for all of them.
        """
        found: dict[str, torch.Tensor] = {}
        waiting = [(name, x, frozenset[str]()) for name, x in tensors.items()]
        for inner, x, used in waiting:
            for outer, f in self.functions.items():
                if outer in used or len(used) == longest:
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

    @cached_property
    def applied(self) -> dict[str, torch.Tensor]:
        """Returns what the callables make of the tensors: {"attn(x)": ...}, chains as well."""
        tensors = {n: x for n, x in self.named.items() if isinstance(x, torch.Tensor)}
        return self.chains(tensors) if self.functions else {}

    @cached_property
    def pairs(self) -> dict[Place, tuple[Any, Any]]:
        """Returns (got, wanted) for each place of the answer; tuples count as several results."""
        if self.stopped or not isinstance(self.outcome, Answered):
            return {}
        got, want = self.outcome.answer, self.want
        pairs: dict[Place, tuple[Any, Any]] = {}
        ours, theirs = got.get("result"), want["result"]
        for way in (self.task.view, self.task.apart):
            if way is not None:
                # what cannot be viewed is shown as it is
                with contextlib.suppress(Exception):
                    ours, theirs = way(ours), way(theirs)
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


def in_parts(place: Place, got: Any, want: Any) -> dict[Place, tuple[Any, Any]]:
    """Returns the pairs of several results, and of those that are several themselves."""
    if not isinstance(got, (tuple, list)) or len(got) != len(want):
        return {}
    pairs: dict[Place, tuple[Any, Any]] = {}
    for i, (ours, theirs) in enumerate(zip(got, want, strict=True)):
        here = (*place, i)
        if isinstance(theirs, (tuple, list)) and any(map(is_array, theirs)):
            pairs.update(in_parts(here, ours, theirs))
        else:
            pairs[here] = ours, theirs
    return pairs


def is_array(value: Any) -> bool:
    """Returns whether a value is a tensor or an array."""
    return isinstance(value, (torch.Tensor, np.ndarray))


def is_record(value: Any, task: Task) -> bool:
    """Returns whether a tuple or list is several results rather than one sequence."""
    lists = [item for item in value if isinstance(item, (tuple, list))]
    if any(map(is_array, [*value, *(x for item in lists for x in item)])):
        return len(value) <= 16
    if not isinstance(value, tuple) or not 2 <= len(value) <= 5:
        return False
    if all(type(item) is int for item in value):  # ids are one thing, fields several
        said = str(inspect.signature(task.reference).return_annotation)
        return len(value) > 2 and said.startswith("tuple[") and "..." not in said
    return True
