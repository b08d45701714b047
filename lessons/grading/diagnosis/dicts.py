"""Dicts: keys missing, turned or too many, values all wrong in one way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from lessons.grading.diagnosis.finding import EXACT, FORM, HINT, Finding, family
from lessons.grading.diagnosis.words import value

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial

Test = Callable[[dict, dict], bool]  # (got, want)


def kept(d: dict, keep: Callable[[Any], bool]) -> dict:
    """Returns the entries whose values are kept."""
    return {key: number for key, number in d.items() if keep(number)}


def moved(d: dict, step: int) -> dict:
    """Returns a dict with all values larger by step."""
    return {key: number + step for key, number in d.items()}


def turned(d: dict) -> dict:
    """Returns a dict with each key, a tuple, turned round."""
    return {key[::-1]: number for key, number in d.items()}


def right_where_shared(got: dict, want: dict) -> bool:
    """Returns whether the keys that both have come with the same values."""
    return all(want[key] == number for key, number in got.items() if key in want)


def never_more(got: dict, want: dict) -> bool:
    """Returns whether no key of got is new and no value too large."""
    return set(got) <= set(want) and all(number <= want[key] for key, number in got.items())


def are_counts(got: dict, want: dict) -> bool:
    """Returns whether all values are whole numbers."""
    return all(type(number) is int for number in (*got.values(), *want.values()))


DICTS: list[tuple[str, float, str, Test]] = [
    ("keys turned", EXACT + 2, "The keys are turned round: (b, a) instead of (a, b).",
     lambda g, w: g == turned(w)),
    ("all ones", EXACT + 1, "Every value is 1: nothing is counted twice.",
     lambda g, w: g == dict.fromkeys(w, 1)),
    ("values one too large", EXACT + 1, "Every value is too large by 1.",
     lambda g, w: g == moved(w, 1)),
    ("values one too small", EXACT + 1, "Every value is too small by 1.",
     lambda g, w: g == moved(w, -1)),
    ("once only left out", EXACT, "What comes only once is left out.",
     lambda g, w: g == kept(w, lambda n: n > 1)),
    ("empty", EXACT, "The dict is empty.", lambda g, w: not g),
    ("zeros kept", EXACT, "There are keys with the value 0; without them it is right.",
     lambda g, w: kept(g, bool) == w),
    ("values too large", HINT + 21, "The keys are right and values are too large, none too small: "
     "something is counted more than once.",
     lambda g, w: are_counts(g, w) and set(g) == set(w) and never_more(w, g)),
    ("values too small", HINT + 21, "The keys are right and values are too small, none too large: "
     "something is not counted.",
     lambda g, w: are_counts(g, w) and set(g) == set(w) and never_more(g, w)),
    ("keys missing", HINT + 20, "Keys are missing; the values of the others are right.",
     lambda g, w: set(g) < set(w) and right_where_shared(g, w)),
    ("keys too many", HINT + 20, "There are keys too many; the values of the right ones are right.",
     lambda g, w: set(g) > set(w) and right_where_shared(g, w)),
    ("counts too small", HINT + 18, "Keys are missing or values too small, none is too large: "
     "something is not counted.", lambda g, w: are_counts(g, w) and never_more(g, w)),
    ("counts too large", HINT + 18, "All keys are there, with more besides or values too large, "
     "none too small: too much is counted.",
     lambda g, w: are_counts(g, w) and never_more(w, g)),
]  # fmt: skip


@family
def dicts(experiment: Experiment) -> Iterator[Finding]:
    """The dict is a known function of the right one, or wrong in one direction."""
    trials = [t for t in experiment.failing if both_dicts(t)]
    if len(trials) < 2:
        return
    for kind, rank, text, test in DICTS:

        def holds(trial: Trial, test: Test = test) -> bool | None:
            if not trial.wrong or not both_dicts(trial):
                return None
            try:
                return test(trial.got, trial.want["result"])
            except TypeError:
                return False

        if all(holds(t) for t in trials):
            yield Finding(f"dict: {kind}", rank, text, holds)
    yield from strange_keys([(t.got, t.want["result"]) for t in trials])
    yield from wrong_value(trials)


def wrong_value(trials: list[Trial]) -> Iterator[Finding]:
    """Yields one value that is wrong where the keys are right."""
    if any(set(t.got) != set(t.want["result"]) for t in trials):
        return
    got, want = trials[0].got, trials[0].want["result"]
    wrong = [key for key in want if got[key] != want[key]]
    if wrong:
        n = f"{len(wrong)} of {len(want)} values are wrong" if len(want) > 1 else "it is wrong"
        text = (
            f"The keys are right; in one case {n}: that of {value(wrong[0])} is "
            f"{value(got[wrong[0]])} and should be {value(want[wrong[0]])}."
        )
        yield Finding("dict: value", HINT + 12, text)


def both_dicts(trial: Trial) -> bool:
    """Returns whether both answers of a trial are dicts of plain values."""
    got, want = trial.got, trial.want["result"]
    if not isinstance(got, dict) or not isinstance(want, dict):
        return False
    plain = (bool, int, float, str, tuple, type(None))
    return all(isinstance(item, plain) for item in (*got.values(), *want.values()))


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
    elif isinstance(got, tuple) and all(sorted_inside(ours, theirs) for ours, theirs in pairs):
        text = "The keys are sorted inside: (a, b) and (b, a) are counted as one."
        yield Finding("dict: keys sorted", FORM + 4, text)


def sorted_inside(got: dict, want: dict) -> bool:
    """Returns whether got is want with each key sorted and the values of equal ones added."""
    found: dict = {}
    try:
        for key, number in want.items():
            sorted_key = tuple(sorted(key))
            found[sorted_key] = found.get(sorted_key, 0) + number
    except TypeError:
        return False
    return found == got
