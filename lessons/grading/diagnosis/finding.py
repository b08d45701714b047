"""What a family of the diagnosis yields: one true sentence about a wrong submission.

A family is a generator function over an `Experiment`, marked with `@family`. It yields what it sees
in the trials there are; the engine tests each finding on fresh inputs before it is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial

# Ranks: what is said first. The more it says of what the code computes, the higher it stands.
EXACT = 90  # the answer is a known function of the right one, or right for other arguments
TERM = 80  # a term is missing, or one part has another size
ERRORS = 78  # an exception and where it comes from
FORM = 76  # a type, shape or dtype
WHERE = 70  # the very inputs or elements that are wrong
DEPENDS = 60  # on what the answer depends and should not, or the reverse
BROKEN = 50  # a property that all right answers have
HINT = 30  # true, but it only narrows the search
FALLBACK = 5  # what a comparison says


# Whether a trial agrees with a finding; None where the trial says nothing of it.
Test = Callable[["Trial"], "bool | None"]


@dataclass
class Finding:
    """One sentence.

    Attributes:
        kind: what sort of finding it is: "factor", "ignored argument".
        rank: the highest is said first.
        sentence: what the learner reads.
        holds: the test that further trials put it to; None if the family has asked all that can be
            asked.
        about: "what" (the code computes) or "where" (it goes wrong): the second sentence is of the
            other sort than the first.
        least: how many trials must agree with it, while none contradicts it.
    """

    kind: str
    rank: float
    sentence: str
    holds: Test | None = None
    about: str = "what"
    least: int = 3


Family = Callable[["Experiment"], Iterator[Finding]]
FAMILIES: list[Family] = []


def family(f: Family) -> Family:
    """Registers a family."""
    FAMILIES.append(f)
    return f
