"""What a substitute is: other inputs than those that were asked, and how to say so.

other_numbers.py, other_tensors.py and other_lists.py yield them; as_if.py finds those that explain
all wrong answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from lessons.grading.trial import Trial

Change = Callable[[Any], Any]  # an argument's value -> another
Row = tuple[float, str, str, Change]  # bonus, kind, phrase with {x} for the argument, change


class Substitute(NamedTuple):
    """Other inputs.

    Attributes:
        kind: "swapped", "other value", ...
        phrase: "eps were 0": what follows "as if".
        case_of: makes the other case; None where it makes no sense.
        after: what is done with the right answer to it, e.g. transposing back.
        bonus: added to the rank: the plain explanations stand before the far-fetched.
    """

    kind: str
    phrase: str
    case_of: Callable[[Trial], Any]
    after: Callable[[Any, Trial], Any] | None = None
    bonus: float = 0


def with_value(name: str, change: Callable[[Any, Trial], Any]) -> Callable[[Trial], Any]:
    """Returns the maker of the case in which one argument is changed."""

    def case_of(trial: Trial) -> Any:
        for slot in trial.slots:
            if slot.name == name and slot.value is not None:
                try:
                    return slot.put(change(slot.value, trial))
                except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
                    return None
        return None

    return case_of


def of_rows(name: str, rows: Iterable[Row]) -> Iterator[Substitute]:
    """Yields the substitutes of a table."""
    for bonus, kind, phrase, change in rows:
        made = with_value(name, _alone(change))
        yield Substitute(kind, phrase.format(x=name), made, bonus=bonus)


def _alone(change: Change) -> Callable[[Any, Trial], Any]:
    return lambda value, trial: change(value)
