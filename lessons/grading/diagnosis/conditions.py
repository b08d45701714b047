"""Which inputs get a wrong answer: what all of them have and the others lack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from lessons.grading.diagnosis.features import flags, measures
from lessons.grading.diagnosis.finding import WHERE, Finding, Test, family
from lessons.grading.diagnosis.series import series, wrong_places
from lessons.grading.diagnosis.words import listing, number

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial

MORE = 24  # inputs asked to tell conditions apart


# Features that hold or fail by chance, and that no code asks for.
ACCIDENTAL = re.compile(
    r" is odd$| is a whole number$| differs from | equals "
    r"|(sum|min|max)\(.*(larger|smaller|multiple)"
)
# Features that may divide even answers that are only slightly wrong.
SIMPLE = r" is (float64|float16|bfloat16|None|given|not contiguous.*)$"


def is_slight(experiment: Experiment) -> bool:
    """Returns whether every error is so small that some inputs hide it within the tolerance."""
    errors = []
    for place in wrong_places(experiment):
        for p in series(experiment, place):
            if not (p.want.dtype.is_floating_point and p.got.isfinite().all()):
                return False
            if not p.want.isfinite().all():
                return False
            off = (p.got.double() - p.want.double()).abs().max()
            size = p.want.double().square().mean().sqrt()
            errors.append(float(off) <= 100 * experiment.tolerance(p.got, p.want) * float(size))
    return bool(errors) and all(errors)


@family
def noted(experiment: Experiment) -> Iterator[Finding]:
    """All wrong answers are to cases of one kind, and the right ones to others."""
    fixed = [trial for trial in experiment.trials if not trial.drawn]
    failing = {trial.case.note for trial in fixed if trial.wrong}
    passing = {trial.case.note for trial in fixed if not trial.wrong}
    if not failing or len(failing) > 2 or "" in failing or failing & passing:
        return
    if sum(not trial.wrong for trial in fixed) < 2:
        return
    drawn = [trial for trial in experiment.trials if trial.drawn]
    if drawn and sum(trial.wrong for trial in drawn) > 0.6 * len(drawn):
        return
    notes = listing([f"where {note}" for note in sorted(failing)])
    text = f"Of the {len(fixed)} fixed cases it goes wrong only {notes}."
    yield Finding("noted", WHERE + 6 - len(failing), text, None, "where")


@family
def conditions(experiment: Experiment) -> Iterator[Finding]:
    """A feature separates the wrong answers from the right ones."""
    if not experiment.failing or not experiment.passing:
        return
    tests = {**flag_tests(experiment), **threshold_tests(experiment)}
    if is_slight(experiment):  # what the tolerance lets pass does not depend on the inputs
        tests = {name: test for name, test in tests.items() if re.search(SIMPLE, name)}
    tell_apart(experiment, tests)
    failing, passing = experiment.failing, experiment.passing
    for order, (phrase, test) in enumerate(tests.items()):
        values = [(test(trial), trial.wrong) for trial in experiment.trials]
        known = [(value, wrong) for value, wrong in values if value is not None]
        if any(wrong and not value for value, wrong in known):
            continue
        hits = sum(1 for value, wrong in known if value and wrong)
        spared = sum(1 for value, wrong in known if value and not wrong)
        clear = sum(1 for value, wrong in known if not value and not wrong)
        if hits < len(failing) or hits < 2 or clear < 2:
            continue
        rank = WHERE + 1.0 - order / 1000 - (0 if min(len(failing), len(passing)) >= 3 else 10)
        share = (hits + spared) / (hits + spared + clear)
        chance = share**hits  # that all failing ones have it
        if chance > (1e-2 if spared == 0 else 5e-4) or (spared and ACCIDENTAL.search(phrase)):
            continue
        most = 3 * clear < hits and re.search(r"above about|at least", phrase)
        weak = 25 if most else 12 if is_only_large(phrase) else 0  # large enough for any mistake
        if spared == 0:
            yield condition(phrase, "", test, rank - weak, hits, hits)
            weak += 20  # unless a right answer to such an input turns up
            yield condition(phrase, "needed ", test, rank - weak, hits, hits)
        elif hits >= (spared if hits >= 8 else 3 * spared):
            kind = "size " if weak else "needed "
            tight = 3 * hits / (hits + spared)
            yield condition(phrase, kind, test, rank - 17 + tight - 2 * weak, hits, hits + spared)
            yield from narrowed(experiment, phrase, test, rank - 3 - weak, hits)


def is_only_large(phrase: str) -> bool:
    """Returns whether a condition says no more than that there is more than one of something."""
    return (
        re.search(r"(\bsize\(|\blen\(|numel|number of).*(is not 1|differs from|at least)", phrase)
        is not None
    )


def condition(phrase: str, kind: str, test: Test, rank: float, wrong: int, of: int) -> Finding:
    """Returns the finding that only inputs of one kind go wrong, so many of those tried."""

    def holds(trial: Trial) -> bool | None:
        if not trial.wrong:  # "n of n" is contradicted by a right answer
            return False if not kind and test(trial) else None
        return test(trial)

    text = f"It goes wrong only where {phrase.strip()} ({wrong} of {of} such inputs tried)."
    return Finding(f"{kind}condition", rank, text, holds, "where")


def narrowed(
    experiment: Experiment, phrase: str, test: Test, rank: float, hits: int
) -> Iterator[Finding]:
    """Yields the condition with a second one that takes out the inputs it spares."""
    spared = [t for t in experiment.passing if test(t)]
    for second in dict.fromkeys(name for t in experiment.failing for name in flags_of(t)):
        if not all(flags_of(t).get(second) for t in experiment.failing):
            continue
        if any(flags_of(t).get(second, True) for t in spared) or ACCIDENTAL.search(second):
            continue

        def both(trial: Trial, second: str = second) -> bool | None:
            one, two = test(trial), flags_of(trial).get(second)
            return None if one is None or two is None else one and two

        yield condition(f"{phrase.strip()} and {second.strip()}", "", both, rank, hits, hits)
        return


def flag_tests(experiment: Experiment) -> dict[str, Test]:
    """Returns the flags that all failing trials have and a passing one lacks."""
    rows = [(flags(trial), trial.wrong) for trial in experiment.trials]
    names = dict.fromkeys(name for row, wrong in rows if wrong for name in row)
    return {
        name: partial(flag, name=name)
        for name in names
        if all(row.get(name, True) for row, wrong in rows if wrong)
        and any(row.get(name) is False for row, wrong in rows if not wrong)
    }


def flag(trial: Trial, name: str) -> bool | None:
    """Returns one of a trial's flags, None if it has none of that name."""
    return flags_of(trial).get(name)


def flags_of(trial: Trial) -> dict[str, bool]:
    """Returns a trial's flags, kept with it."""
    if "flags" not in trial.__dict__:
        trial.__dict__["flags"] = flags(trial)
    return trial.__dict__["flags"]


def threshold_tests(experiment: Experiment) -> dict[str, Test]:
    """Returns the measures that are larger, or smaller, in all failing trials than elsewhere."""
    rows = [(measures(trial), trial.wrong) for trial in experiment.trials]
    tests: dict[str, Test] = {}
    for name in dict.fromkeys(name for row, wrong in rows if wrong for name in row):
        bad = [row[name] for row, wrong in rows if wrong and name in row]
        good = [row[name] for row, wrong in rows if not wrong and name in row]
        if len(bad) < len(experiment.failing) or len(good) < 3 or len(set(bad + good)) < 3:
            continue
        whole = all(value == int(value) for value in bad + good if abs(value) < 1e15)
        if min(bad) > max(good):
            edge = min(bad) if whole else (min(bad) + max(good)) / 2
            phrase = f"{name} is {'at least' if whole else 'above about'} {number(edge)}"
            tests[phrase] = partial(beyond, name=name, right=max(good), wrong=min(bad))
        elif max(bad) < min(good):
            edge = max(bad) if whole else (max(bad) + min(good)) / 2
            phrase = f"{name} is {'at most' if whole else 'below about'} {number(edge)}"
            tests[phrase] = partial(beyond, name=name, right=min(good), wrong=max(bad))
    return tests


def beyond(trial: Trial, name: str, right: float, wrong: float) -> bool | None:
    """Returns whether a measure is as far as a wrong answer's; None between the two bounds."""
    value = measures(trial).get(name)
    if value is None:
        return None
    if (value >= wrong) if wrong > right else (value <= wrong):
        return True
    return False if ((value <= right) if wrong > right else (value >= right)) else None


def tell_apart(experiment: Experiment, tests: dict[str, Test]) -> None:
    """Asks random inputs on which the conditions disagree, and drops those that are refuted."""
    pattern = experiment.trials[0]
    for i in range(3 * MORE):
        if len(tests) < 1 or experiment.late or experiment.asks_left < 0.3 * experiment.asks:
            return
        case = experiment.draw((1, 2, 4)[i % 3])
        want = experiment.want(case)
        if want is None:
            continue
        empty = replace(pattern, case=case, want=want, fault=None, drawn=True)
        says = [test(empty) for test in tests.values()]
        agreed = [value for value in says if value is not None]
        if i % 3 and (not agreed or all(agreed) or not any(agreed)) and i > MORE // 2:
            continue  # it would tell nothing apart
        trial = experiment.ask(case, drawn=True)
        if trial is None:
            return
        experiment.trials.append(trial)
        if trial.wrong:
            for phrase in [p for p, test in tests.items() if test(trial) is False]:
                del tests[phrase]
