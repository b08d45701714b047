"""Names the arguments of a case, and puts another value where one stands.

A `Slot` is one argument, or one field of an object that a case holds ("config.n_layer"). The names
are those of the reference's signature, which are the learner's own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from lessons.grading.task import Case, Made, Task

ABSENT = inspect.Parameter.empty


@dataclass
class Slot:
    """One argument of a case.

    Attributes:
        name: "alpha", "config.n_layer".
        value: what stands there; the default where the case leaves it out.
        put: returns the case with another value there.
        given: whether the case names it, or leaves it at its default.
        default: the default, ABSENT if there is none.
    """

    name: str
    value: Any
    put: Callable[[Any], Case]
    given: bool = True
    default: Any = ABSENT


def parameters(task: Task) -> list[inspect.Parameter]:
    """Returns the parameters that cases fill, without self and ctx; none if they are not known."""
    target: Any = task.reference
    is_class = isinstance(target, type) and not issubclass(target, torch.nn.Module)
    if is_class and hasattr(target, "apply") and hasattr(target, "forward"):  # a Function
        target = target.forward
    try:
        found = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        return []
    return [p for p in found if p.name not in ("self", "ctx")]


def slots(task: Task, case: Case) -> list[Slot]:
    """Returns the arguments of a case in the order of the signature, objects by their fields."""
    return [inner for slot in whole_slots(task, case) for inner in _opened(slot)]


def whole_slots(task: Task, case: Case) -> list[Slot]:
    """Returns the arguments of a case in the order of the signature, objects as they are."""
    known = parameters(task)
    if len(known) < len(case.args) or any(p.kind is p.VAR_POSITIONAL for p in known):
        known = []
    found = []
    for i, value in enumerate(case.args):
        name = known[i].name if known else f"argument {i + 1}"
        default = known[i].default if known else ABSENT
        found.append(Slot(name, value, _at(case, i), True, default))
    names = {p.name: p.default for p in known[len(case.args) :]}
    for name, value in case.kwargs.items():
        found.append(Slot(name, value, _keyword(case, name), True, names.get(name, ABSENT)))
    for name, default in names.items():
        if name not in case.kwargs and default is not ABSENT:
            found.append(Slot(name, default, _keyword(case, name), False, default))
    return found


def _at(case: Case, i: int) -> Callable[[Any], Case]:
    return lambda value: replace(case, args=(*case.args[:i], value, *case.args[i + 1 :]))


def _keyword(case: Case, name: str) -> Callable[[Any], Case]:
    return lambda value: replace(case, kwargs={**case.kwargs, name: value})


def _opened(slot: Slot) -> Iterator[Slot]:
    """Yields the slot, or the fields of the object that stands in it."""
    if not isinstance(slot.value, Made):
        yield slot
        return
    made = slot.value

    def field_of(name: str) -> Callable[[Any], Case]:
        return lambda value: slot.put(Made(made.kind, {**made.fields, name: value}))

    if made.kind == "generator":
        for name, value in made.fields.items():
            yield Slot(slot.name, value, field_of(name))
        return
    for name, value in made.fields.items():
        yield Slot(f"{slot.name}.{name}", value, field_of(name))
