"""Small exercises with wrong solutions, and what the diagnosis has to say of each.

A `Wrong` names the kind of the first finding and words that its message must hold. Nothing of the
lessons is used: the diagnosis is made for tasks that it has never seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lessons.grading.task import Bank, Case, Close, Draw, Task


@dataclass
class Wrong:
    """A wrong solution: the kinds one of which must come first, and words of the message."""

    f: Callable
    kinds: tuple[str, ...]
    words: tuple[str, ...]


@dataclass
class Problem:
    """A task with wrong solutions."""

    task: Task
    right: list[Callable] = field(default_factory=list)
    wrong: list[Wrong] = field(default_factory=list)

    def is_right(self, f: Callable) -> Callable:
        """Decorates a right solution."""
        self.right.append(f)
        return f

    def says(self, kinds: str, *words: str) -> Callable[[Callable], Callable]:
        """Decorates a wrong solution; kinds are divided by " or "."""

        def add(f: Callable) -> Callable:
            self.wrong.append(Wrong(f, tuple(kinds.split(" or ")), words))
            return f

        return add


def problem(
    reference: Callable,
    sample: Callable[[Draw], Case],
    special: Callable[[Draw], Iterator[Case]] | None = None,
    **more: Any,
) -> Problem:
    """Returns a problem: five sampled cases, and the special ones with their notes."""

    def cases(draw: Draw) -> Iterator[Case]:
        for i, size in enumerate((1, 2, 3, 4, 4)):
            yield sample(Draw(draw.seed + 31 * i + 7, size))
        if special is not None:
            yield from special(draw)

    more = {"compare": Close(), **more}
    task = Task(
        id="0.1", name=reference.__name__, reference=reference, idea="", example="",
        hints=("", "", ""), cases=cases, sample=sample, bank=Bank(), **more,
    )  # fmt: skip
    return Problem(task)
