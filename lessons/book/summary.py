"""Sums up the lessons of a book: how they ran, and what their verdicts come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from lessons.verdicts import Kind

if TYPE_CHECKING:
    from lessons.book.pages import Page

LABEL = {  # behind a count
    Kind.REPRODUCED: "reproduced", Kind.DIFFERS: "differing", Kind.WRONG: "wrong in the source",
    Kind.UNKNOWN: "unexplained", Kind.UNDECIDED: "undecided", Kind.HOLDS: "of our checks passed",
    Kind.FAILS: "of our checks failed",
}  # fmt: skip
MEANING = {
    Kind.REPRODUCED: "It comes out here, too.",
    Kind.DIFFERS: "Something else comes out; the row says what we know of the reason.",
    Kind.WRONG: "It cannot be right: arithmetic or its own source gives another figure.",
    Kind.UNKNOWN: "Something else comes out, and we have found no reason.",
    Kind.UNDECIDED: "What was measured lies too near the limit, given its error.",
    Kind.HOLDS: "It is so on this machine.",
    Kind.FAILS: "It is not so on this machine.",
}


class Total(NamedTuple):
    """How often a verdict was given, to published figures and to checks of our own."""

    kind: Kind
    meaning: str
    published: int
    checked: int


class Finding(NamedTuple):
    """A row of a lesson's closing tables, and the lesson's page."""

    page: Page
    row: dict[str, Any]


class Condition(NamedTuple):
    """Something that may decide what comes out, such as the seed, and who ran with which value.

    Attributes:
        values: each value with the numbers of the lessons that ran with it.
        alike: whether all lessons ran with the same value, and recorded it.
    """

    name: str
    values: dict[str, list[int]]
    alike: bool


@dataclass(frozen=True)
class Summary:
    """What the contents of the book say about its lessons."""

    pages: Sequence[Page]

    @property
    def ran(self) -> list[Page]:
        """Returns the lessons of which a run has left something."""
        return [page for page in self.pages if page.has_run]

    @property
    def done(self) -> list[Page]:
        """Returns the lessons that have run to their end."""
        return [page for page in self.pages if page.status == "done"]

    @property
    def quick(self) -> list[int]:
        """Returns the numbers of the lessons that gave no verdicts, as they ran with --quick."""
        return [page.number for page in self.ran if page.quick]

    @property
    def seconds(self) -> float:
        """Returns how long all lessons took together."""
        return sum(page.seconds for page in self.ran)

    @property
    def totals(self) -> list[Total]:
        """Returns the verdicts that were given, in the order of `Kind`."""
        rows = [row for page in self.pages for row in page.rows]
        found = Counter((row["kind"], row["source"] is not None) for row in rows if row["kind"])
        totals = [
            Total(kind, MEANING[kind], found[kind.value, True], found[kind.value, False])
            for kind in Kind
        ]
        return [total for total in totals if total.published or total.checked]

    @property
    def n_published(self) -> int:
        """Returns how many published figures were measured again and judged."""
        return sum(total.published for total in self.totals)

    @property
    def n_checked(self) -> int:
        """Returns how many properties that nobody has published were checked and judged."""
        return sum(total.checked for total in self.totals)

    def findings(self, name: str) -> list[Finding]:
        """Returns the rows of all lessons whose verdict is the kind of that name: "differs"."""
        kind = Kind[name.upper()]
        return [
            Finding(page, row)
            for page in self.pages
            for row in page.rows
            if row["kind"] == kind.value
        ]

    @property
    def errata(self) -> list[Finding]:
        """Returns the published figures that are wrong, source by source."""
        return sorted(self.findings("wrong"), key=lambda finding: finding.row["source"] or "")

    @property
    def conditions(self) -> list[Condition]:
        """Returns machine, versions, device and seed, with one value each if all ran alike."""
        found: dict[str, dict[str, list[int]]] = {}
        for page in self.ran:
            known = page.settings
            named = known["machine"] | known["versions"]
            named |= {name: known[name] for name in ("device", "seed")}
            for name, value in named.items():
                found.setdefault(name, {}).setdefault(str(value), []).append(page.number)
        everywhere = [page.number for page in self.ran]
        return [
            Condition(name, values, alike=list(values.values()) == [everywhere])
            for name, values in found.items()
        ]

    @property
    def unlike(self) -> list[str]:
        """Returns the names of the conditions that were not the same for all lessons."""
        return [condition.name for condition in self.conditions if len(condition.values) > 1]


def reason(row: dict[str, Any]) -> str:
    """Returns what a verdict says after its kind: "" for nothing."""
    rest = row["verdict"].removeprefix(row["kind"])
    return rest.removeprefix(" because ").removeprefix("; ")


def listing(numbers: Sequence[int]) -> str:
    """Returns numbers of lessons in words, runs of them shortened: "lessons 1 to 3 and 5"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts: list[str] = []
    for run in runs:
        parts += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else map(str, run)
    *first, last = parts
    text = f"{', '.join(first)} and {last}" if first else last
    return f"lessons {text}" if len(numbers) > 1 else f"lesson {text}"


def duration(seconds: float) -> str:
    """Returns a time in words: "43 s", "2 min 5 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def day_and_time(seconds: float) -> str:
    """Returns a moment, in seconds since 1970, in words: "30 November 2026, 14:15"."""
    then = datetime.fromtimestamp(seconds)
    return f"{then.day} {then:%B %Y, %H:%M}"
