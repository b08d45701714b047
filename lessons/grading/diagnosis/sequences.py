"""Lists: too long, too short, in another order, with entries that come too often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from lessons.grading.diagnosis.finding import EXACT, FORM, HINT, Finding, Test, family
from lessons.grading.diagnosis.words import listing, subject

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial

Change = Callable[[list], list]
Row = tuple[float, str, str, Change]  # rank, kind, sentence, change

# fmt: off
CHANGES: list[Row] = [  # got = change(want)
    (EXACT + 2, "reversed", "{who} is in reverse order.", lambda w: w[::-1]),
    (EXACT + 2, "last missing", "The last entry is missing; the others are right.",
     lambda w: w[:-1]),
    (EXACT + 2, "first missing", "The first entry is missing; the others are right.",
     lambda w: w[1:]),
    (EXACT + 1, "ends missing", "The first and the last entry are missing.", lambda w: w[1:-1]),
    (EXACT + 1, "repeats dropped", "What comes twice is there only once: repeats are dropped.",
     lambda w: list(dict.fromkeys(w))),
    (EXACT + 0, "last two missing", "The last two entries are missing.", lambda w: w[:-2]),
    (EXACT + 0, "sorted", "{who} is sorted, and should not be.", sorted),
    (EXACT + 0, "sorted", "{who} is sorted, largest first, and should not be.",
     lambda w: sorted(w, reverse=True)),
    (EXACT + 0, "entries reversed", "Each entry is in reverse order.",
     lambda w: [type(x)(x[::-1]) for x in w]),
    (EXACT - 1, "every second", "Only every second entry is there.", lambda w: w[::2]),
    (EXACT - 1, "twice", "Everything is there twice.", lambda w: w + w),
    (EXACT - 1, "last twice", "The last entry is there twice.", lambda w: [*w, *w[-1:]]),
    (EXACT - 1, "first only", "Only the first entry is there.", lambda w: w[:1]),
    (EXACT - 1, "last only", "Only the last entry is there.", lambda w: w[-1:]),
    (EXACT - 1, "empty", "{who} is empty.", lambda w: []),
    (FORM, "joined", "The lists inside are joined to one.",
     lambda w: [x for item in w for x in item]),
    (FORM, "wrapped", "Each entry is in a list of its own.", lambda w: [[x] for x in w]),
    (FORM, "wrapped", "The whole is in one more list.", lambda w: [w]),
]
MENDINGS: list[Row] = [  # want = change(got)
    (EXACT + 2, "one too many at the end",
     "There is an entry too many at the end; without it the answer is right.", lambda g: g[:-1]),
    (EXACT + 2, "one too many at the beginning",
     "There is an entry too many at the beginning; without it the answer is right.",
     lambda g: g[1:]),
    (EXACT + 1, "one too many at both ends", "There is an entry too many at each end.",
     lambda g: g[1:-1]),
    (EXACT + 1, "repeats kept", "Entries come more than once; without the repeats it is right.",
     lambda g: list(dict.fromkeys(g))),
    (EXACT + 1, "empty kept", "There are empty entries; without them it is right.",
     lambda g: [x for x in g if len(x)]),
    (EXACT + 1, "not joined", "The parts are right and lists of their own: they have to be joined.",
     lambda g: [x for item in g for x in item]),
    (EXACT + 0, "two too many at the end", "There are two entries too many at the end.",
     lambda g: g[:-2]),
    (EXACT + 0, "not sorted", "The entries are right and not sorted.", sorted),
]
# fmt: on


def plain(item: Any) -> Any:
    """Returns a value with lists for all tuples inside."""
    return [plain(x) for x in item] if isinstance(item, (list, tuple)) else item


def pair_of(trial: Trial, place: tuple) -> tuple[list, list] | None:
    """Returns the lists of a trial at a place if both are lists and differ."""
    if not trial.wrong or place not in trial.pairs:
        return None
    got, want = trial.pairs[place]
    if type(got).__name__ == "Lazy":
        got = got.items
    if not isinstance(got, (list, tuple)) or not isinstance(want, (list, tuple)):
        return None
    if holds_arrays(got) or holds_arrays(want):
        return None
    return None if plain(got) == plain(want) else (list(got), list(want))


def holds_arrays(items: Any) -> bool:
    """Returns whether there are tensors or arrays somewhere in a list."""
    return hasattr(items, "dtype") or (
        isinstance(items, (list, tuple)) and any(map(holds_arrays, items))
    )


def fits(change: Change, before: list, after: list) -> bool:
    """Returns whether a change makes one list of another; entries may be lists or tuples."""
    try:
        return plain(change(before)) == plain(after)
    except (TypeError, RuntimeError):
        return False


@family
def lists(experiment: Experiment) -> Iterator[Finding]:
    """The list is a known function of the right one, or the right one of it."""
    failing = [t for t in experiment.failing if not t.stopped]
    for place in dict.fromkeys(place for t in failing for place in t.pairs):
        trials = [t for t in failing if pair_of(t, place) is not None]
        if len(trials) < 2:
            continue
        who = subject(place) if len(place) > 1 else "The list"
        for mends, table in ((False, CHANGES), (True, MENDINGS)):
            for rank, kind, text, change in table:
                holds = holding(place, change, mends)
                if all(holds(t) for t in trials):
                    yield Finding(f"list: {kind}", rank, text.format(who=who), holds)
        for rank, kind, text, turn in PARTS:
            if all(is_part(place, turn)(t) for t in trials):
                holds = is_part(place, turn)
                yield Finding(f"list: {kind}", rank, text.format(who=who), holds)
        yield from contents(place, who, trials)
        for slot in trials[0].slots if place == ("result",) else ():

            def returned(trial: Trial, name: str = slot.name) -> bool | None:
                if pair_of(trial, ("result",)) is None or name not in trial.named:
                    return None
                return plain(trial.got) == plain(trial.named[name])

            if isinstance(slot.value, (list, tuple)) and all(returned(t) for t in trials):
                text = f"The list is just {slot.name}, as it came in."
                yield Finding("argument returned", EXACT + 4, text, returned)


def is_part(place: tuple, turn: Change) -> Test:
    """Returns the test that a trial's list is the beginning of the right one, both turned."""

    def holds(trial: Trial) -> bool | None:
        pair = pair_of(trial, place)
        if pair is None:
            return None
        got, want = (plain(turn(side)) for side in pair)
        return 0 < len(got) < len(want) and want[: len(got)] == got

    return holds


def holding(place: tuple, change: Change, mends: bool) -> Test:
    """Returns the test that a trial's lists are related by a change."""

    def holds(trial: Trial) -> bool | None:
        pair = pair_of(trial, place)
        if pair is None:
            return None
        got, want = pair
        return fits(change, got, want) if mends else fits(change, want, got)

    return holds


PARTS: list[Row] = [  # got is a part of want, of any length
    (EXACT - 2, "beginning", "{who} is only the beginning of the right one.", lambda w: w),
    (EXACT - 2, "end", "{who} is only the end of the right one.", lambda w: w[::-1]),
]

CONTENTS: list[tuple[float, str, str, Callable[[Counter, Counter], bool]]] = [
    (HINT + 24, "order", "{who} has the right entries in the wrong order.", lambda g, w: g == w),
    (HINT + 20, "too few", "Entries are missing, and none is wrong: the answer is a part of the "
     "right one.", lambda g, w: not g - w),
    (HINT + 20, "too many", "All that is right is there, and more besides.",
     lambda g, w: not w - g),
    (HINT + 20, "repeats", "The right entries are there, some too often or too seldom.",
     lambda g, w: set(g) == set(w)),
]  # fmt: skip


@family
def named_entries(experiment: Experiment) -> Iterator[Finding]:
    """What is too much or too little in the list are arguments."""
    place = ("result",)
    trials = [t for t in experiment.failing if pair_of(t, place) is not None]
    if len(trials) < max(2, len(experiment.failing)):
        return
    said = []
    for slot in trials[0].slots:
        values = [t.named.get(slot.name) for t in trials]
        whole = all(isinstance(v, (list, tuple)) and len(v) == 2 for v in values)  # a pair
        if not whole and not isinstance(slot.value, (int, str)):
            continue
        many, few = (all(differs_in(t, slot.name, way) for t in trials) for way in (1, -1))
        name = f"an entry of {slot.name}" if whole else slot.name
        if many or few:
            said.append(f"{name} stands too {'often' if many else 'seldom'}")
    if said:

        def holds(trial: Trial) -> bool | None:
            return True if pair_of(trial, place) else None

        text = f"In the list {listing(said)}."
        yield Finding("list: named entries", HINT + 19, text, holds)


def differs_in(trial: Trial, name: str, way: int) -> bool:
    """Returns whether an argument, or one of its entries, is in the list too often or seldom."""
    got, want = pair_of(trial, ("result",)) or ([], [])
    value = trial.named.get(name)
    items = value if isinstance(value, (list, tuple)) else [value]
    return any(way * (got.count(item) - want.count(item)) > 0 for item in items)


def contents(place: tuple, who: str, trials: list[Trial]) -> Iterator[Finding]:
    """Yields what holds of the entries, whatever their order, and how far the list is right."""
    for rank, kind, text, test in CONTENTS:

        def holds(trial: Trial, test: Callable[[Counter, Counter], bool] = test) -> bool | None:
            pair = pair_of(trial, place)
            return None if pair is None else test(*(Counter(map(repr, side)) for side in pair))

        if all(holds(t) for t in trials):
            yield Finding(f"list: {kind}", rank, text.format(who=who), holds)
            return
    pairs = [pair for t in trials if (pair := pair_of(t, place)) is not None]
    longer = {len(got) > len(want) for got, want in pairs}
    if all(len(got) != len(want) for got, want in pairs) and len(longer) == 1:
        way = "longer" if longer.pop() else "shorter"
        got, want = pairs[0]
        text = f"{who} is always {way} than it should be, once {len(got)} entries for {len(want)}."
        yield Finding("list: length", HINT + 2, text)
    if all(len(got) == len(want) for got, want in pairs):
        wrong = [sum(a != b for a, b in zip(*pair, strict=True)) for pair in pairs]
        if set(wrong) == {1}:
            text = "One entry is wrong in each case, and the others are right."
            yield Finding("list: one entry", HINT + 8, text)
