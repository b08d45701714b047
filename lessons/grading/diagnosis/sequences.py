"""Lists, texts and dicts: too long, too short, in another order, with keys missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from lessons.grading.diagnosis.finding import EXACT, FORM, HINT, Finding, family
from lessons.grading.diagnosis.words import subject, value

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment, Trial

Change = Callable[[list, "Trial"], list]


def plain_list(item: Any) -> list | None:
    """Returns a list or tuple as a list; None for others."""
    if type(item).__name__ == "Lazy":
        return list(item.items)
    return list(item) if isinstance(item, (list, tuple)) else None


def changes() -> Iterator[tuple[str, float, str, Change]]:
    """Yields what may have been done to the right list: kind, rank, sentence, function."""
    yield "reversed", EXACT + 2, "{who} is in reverse order.", lambda w, t: w[::-1]
    yield "sorted", EXACT, "{who} is sorted, and should not be.", lambda w, t: sorted(w)
    yield (
        "sorted",
        EXACT,
        "{who} is sorted, largest first, and should not be.",
        lambda w, t: sorted(w, reverse=True),
    )
    yield (
        "last missing",
        EXACT + 2,
        "The last entry is missing; the others are right.",
        lambda w, t: w[:-1],
    )
    yield (
        "first missing",
        EXACT + 2,
        "The first entry is missing; the others are right.",
        lambda w, t: w[1:],
    )
    yield (
        "first and last missing",
        EXACT + 1,
        "The first and the last entry are missing.",
        lambda w, t: w[1:-1],
    )
    yield "last two missing", EXACT, "The last two entries are missing.", lambda w, t: w[:-2]
    yield (
        "repeats dropped",
        EXACT + 1,
        "What comes twice is there only once: repeats are dropped.",
        lambda w, t: list(dict.fromkeys(w)),
    )
    yield "every second", EXACT - 1, "Only every second entry is there.", lambda w, t: w[::2]
    yield "twice", EXACT - 1, "Everything is there twice.", lambda w, t: w + w
    yield "last twice", EXACT - 1, "The last entry is there twice.", lambda w, t: [*w, *w[-1:]]
    yield "first only", EXACT - 1, "Only the first entry is there.", lambda w, t: w[:1]
    yield "empty", EXACT - 1, "{who} is empty.", lambda w, t: []
    yield (
        "entries reversed",
        EXACT,
        "Each entry is in reverse order.",
        lambda w, t: [type(x)(x[::-1]) for x in w],
    )
    yield (
        "joined",
        FORM,
        "The lists inside are joined to one.",
        lambda w, t: [x for item in w for x in item],
    )
    yield "wrapped", FORM, "Each entry is in a list of its own.", lambda w, t: [[x] for x in w]


def mendings() -> Iterator[tuple[str, float, str, Change]]:
    """Yields what makes the list right."""
    yield (
        "one too many at the end",
        EXACT + 2,
        "There is an entry too many at the end; without it the answer is right.",
        lambda g, t: g[:-1],
    )
    yield (
        "one too many at the beginning",
        EXACT + 2,
        "There is an entry too many at the beginning; without it the answer is right.",
        lambda g, t: g[1:],
    )
    yield (
        "one too many at both ends",
        EXACT + 1,
        "There is an entry too many at each end.",
        lambda g, t: g[1:-1],
    )
    yield (
        "two too many at the end",
        EXACT,
        "There are two entries too many at the end.",
        lambda g, t: g[:-2],
    )
    yield (
        "repeats kept",
        EXACT + 1,
        "Entries come more than once; without the repeats it is right.",
        lambda g, t: list(dict.fromkeys(g)),
    )
    yield (
        "empty kept",
        EXACT + 1,
        "There are empty entries; without them it is right.",
        lambda g, t: [x for x in g if len(x)],
    )
    yield "not sorted", EXACT, "The entries are right and not sorted.", lambda g, t: sorted(g)


@family
def lists(experiment: Experiment) -> Iterator[Finding]:
    """The list is a known function of the right one."""
    failing = [t for t in experiment.failing if not t.stopped]
    for place in dict.fromkeys(place for t in failing for place in t.pairs):
        trials = (
            [t for t in failing if place in t.pairs and t.pairs[place][0] != t.pairs[place][1]]
            if not_tensors(failing, place)
            else []
        )
        pairs = [(plain_list(t.pairs[place][0]), plain_list(t.pairs[place][1])) for t in trials]
        if len(trials) < 2 or any(got is None or want is None for got, want in pairs):
            continue
        who = subject(place, several=True) if len(place) > 1 else "The list"
        for mends, table in ((False, changes()), (True, mendings())):
            for kind, rank, text, change in table:

                def holds(
                    trial: Trial, place: tuple = place, change: Change = change, mends: bool = mends
                ) -> bool | None:
                    if not trial.wrong or place not in trial.pairs:
                        return None
                    got, want = (plain_list(side) for side in trial.pairs[place])
                    if got is None or want is None or got == want:
                        return None
                    try:
                        return change(got, trial) == want if mends else change(want, trial) == got
                    except TypeError:
                        return False

                if all(holds(t) for t in trials):
                    yield Finding(f"list: {kind}", rank, text.replace("{who}", who), holds)
        yield from contents(place, who, trials)


def not_tensors(trials: list[Trial], place: tuple) -> bool:
    """Tells whether a place holds lists that can be compared with ==."""
    return all(
        isinstance(side, (list, tuple))
        for t in trials
        if place in t.pairs
        for side in t.pairs[place]
    )


def contents(place: tuple, who: str, trials: list[Trial]) -> Iterator[Finding]:
    """Yields what holds of the entries, whatever their order."""

    def counts(trial: Trial) -> tuple[Counter, Counter] | None:
        if not trial.wrong or place not in trial.pairs:
            return None
        got, want = (plain_list(side) for side in trial.pairs[place])
        if got is None or want is None or got == want:
            return None
        return Counter(map(repr, got)), Counter(map(repr, want))

    tables: list[tuple[str, float, str, Callable[[Counter, Counter], bool]]] = [
        (
            "order",
            HINT + 24,
            "{who} has the right entries in the wrong order.",
            lambda g, w: g == w,
        ),
        (
            "too few",
            HINT + 20,
            "Entries are missing, and none is wrong: the answer is a part of the right one.",
            lambda g, w: not g - w,
        ),
        (
            "too many",
            HINT + 20,
            "All that is right is there, and more besides.",
            lambda g, w: not w - g,
        ),
        (
            "repeats",
            HINT + 20,
            "The right entries are there, some too often or too seldom.",
            lambda g, w: set(g) == set(w),
        ),
    ]
    for kind, rank, text, test in tables:

        def holds(trial: Trial, test: Callable = test) -> bool | None:
            found = counts(trial)
            return None if found is None else test(*found)

        if sum(bool(holds(t)) for t in trials) == len(trials) and len(trials) > 1:
            yield Finding(f"list: {kind}", rank, text.replace("{who}", who), holds)
            return


@family
def dicts(experiment: Experiment) -> Iterator[Finding]:
    """Keys are missing, too many or another; values are all wrong in one way."""
    trials = [
        t for t in experiment.failing
        if isinstance(t.got, dict) and isinstance(t.want["result"], dict)
    ]  # fmt: skip
    if len(trials) < 2:
        return
    pairs = [(t.got, t.want["result"]) for t in trials]
    for kind, rank, text, test in DICTS:

        def holds(trial: Trial, test: Callable = test) -> bool | None:
            got, want = trial.got, trial.want["result"]
            if not trial.wrong or not isinstance(got, dict) or not isinstance(want, dict):
                return None
            try:
                return test(got, want)
            except TypeError:
                return False

        if all(holds(t) for t in trials):
            yield Finding(f"dict: {kind}", rank, text, holds)
    yield from strange_keys(pairs)


def turned(d: dict) -> dict:
    """Returns a dict with each key, a tuple, turned round."""
    return {key[::-1]: number for key, number in d.items()}


def only(got: dict, want: dict, keep: Callable[[Any], bool]) -> bool:
    """Tells whether got is want without the values that are not kept."""
    return got == {key: number for key, number in want.items() if keep(number)}


DICTS: list[tuple[str, float, str, Callable[[dict, dict], bool]]] = [
    ("keys turned", EXACT + 2, "The keys are turned round: (b, a) instead of (a, b).", lambda g, w: g == turned(w)),
    ("all ones", EXACT + 1, "Every value is 1: nothing is counted twice.", lambda g, w: g == dict.fromkeys(w, 1)),
    ("once only left out", EXACT, "What comes only once is left out.", lambda g, w: only(g, w, lambda n: n > 1)),
    ("empty", EXACT, "The dict is empty.", lambda g, w: not g),
    ("zeros kept", EXACT, "There are keys with the value 0; without them it is right.", lambda g, w: only(w, g, bool)),
    ("values one too large", EXACT + 1, "Every value is too large by 1.", lambda g, w: g == {k: n + 1 for k, n in w.items()}),
    ("values one too small", EXACT + 1, "Every value is too small by 1.", lambda g, w: g == {k: n - 1 for k, n in w.items()}),
    ("keys missing", HINT + 20, "Keys are missing; the values of the others are right.", lambda g, w: set(g) < set(w) and all(w[k] == g[k] for k in g)),
    ("keys too many", HINT + 20, "There are keys too many; the values of the right ones are right.", lambda g, w: set(g) > set(w) and all(w[k] == g[k] for k in w)),
    ("values too large", HINT + 21, "The keys are right and values are too large, none too small: something is counted more than once.", lambda g, w: set(g) == set(w) and all(g[k] >= w[k] for k in w)),
    ("values too small", HINT + 21, "The keys are right and values are too small, none too large: something is not counted.", lambda g, w: set(g) == set(w) and all(g[k] <= w[k] for k in w)),
    ("counts too small", HINT + 18, "Keys are missing and no value is too large: something is not counted.", lambda g, w: set(g) <= set(w) and all(g[k] <= w[k] for k in g)),
    ("counts too large", HINT + 18, "All keys are there, more besides, and no value is too small: too much is counted.", lambda g, w: set(g) >= set(w) and all(g[k] >= w[k] for k in w)),
]  # fmt: skip


def strange_keys(pairs: list[tuple[dict, dict]]) -> Iterator[Finding]:
    """Yields that the keys are of another type or length."""
    got = next((key for ours, theirs in pairs for key in ours if key not in theirs), None)
    want = next((key for ours, theirs in pairs for key in theirs if key not in ours), None)
    if got is None or want is None:
        return
    alike = type(got) is type(want) and not (isinstance(got, tuple) and len(got) != len(want))
    if not alike:
        text = f"The keys are of another kind: {value(got)} is there, and {value(want)} should be."
        yield Finding("dict: other keys", FORM, text)
