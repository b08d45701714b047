"""Runs the families and keeps what fresh inputs do not refute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lessons.grading.diagnosis import (  # noqa: F401  (importing a family registers it)
    algebra,
    as_if,
    conditions,
    conduct,
    dependence,
    dicts,
    factors,
    fallback,
    forms,
    formulas,
    invariants,
    numerics,
    parts,
    places,
    profile,
    relations,
    rows,
    sequences,
    shapes,
    stops,
    terms,
)
from lessons.grading.diagnosis.by_parts import by_parts, results
from lessons.grading.diagnosis.finding import FAMILIES, HINT, TERM, Finding

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial

# The cheap ones and those that tell most come first: the time may be over before the last.
ORDER = [
    *("stops", "forms", "shapes", "conduct", "sequences", "dicts", "factors", "as_if"),
    *("formulas", "relations", "terms", "conditions", "places", "numerics", "parts", "rows"),
    *("dependence", "invariants", "profile", "algebra", "fallback"),
]
FRESH = 10  # inputs on which a finding is tested
TESTING = 0.3  # seconds for the tests, beyond the budget
WRONG = 3  # fresh answers that should be wrong
ENOUGH_WRONG = 6  # wrong answers that are collected before anything is said


def diagnose(experiment: Experiment) -> list[Finding]:
    """Returns at most two findings, the more telling first; at least one if anything is wrong."""
    collect(experiment)
    fresh: list[Trial] = []
    families = sorted(FAMILIES, key=lambda f: ORDER.index(f.__module__.rpartition(".")[2]))
    found = [finding for family in families for finding in results(experiment, family)]
    experiment.give_time(TESTING)
    said = choose(experiment, found, fresh)
    if not said or said[0].rank < TERM - 3:
        experiment.give_time(TESTING)
        found = [*said, *results(experiment, by_parts)]
        experiment.give_time(TESTING)
        said = choose(experiment, found, fresh)
    return said


def choose(experiment: Experiment, found: list[Finding], fresh: list[Trial]) -> list[Finding]:
    """Returns the best finding that stands, and the best of the other sort."""
    first: Finding | None = None
    for finding in sorted(found, key=lambda finding: -finding.rank):
        if first is not None and not adds(first, finding):
            continue
        if not stands(experiment, finding, fresh):
            continue
        if first is not None:
            return [first, finding]
        if finding.rank <= HINT:
            return [finding]
        first = finding
    return [first] if first else []


def adds(first: Finding, second: Finding) -> bool:
    """Returns whether a second sentence is worth reading after the first."""
    if second.about == first.about:
        return False
    if first.rank >= TERM:  # it says all about the answer; when it shows may still help
        return second.kind in ("noted", "condition", "needed condition")
    return second.rank > HINT - 5


def collect(experiment: Experiment) -> None:
    """Asks random inputs until there are some wrong answers to look at."""
    for i in range(30):
        if len(experiment.failing) >= ENOUGH_WRONG or experiment.asks_left < 0.6 * experiment.asks:
            return
        if (trial := experiment.ask(experiment.draw((1, 2, 4)[i % 3]), drawn=True)) is not None:
            experiment.trials.append(trial)


def stands(experiment: Experiment, finding: Finding, fresh: list[Trial]) -> bool:
    """Tests a finding on inputs that no family has seen; they are asked when first needed."""
    if finding.holds is None:
        return True
    if not fresh:
        for i in range(2 * FRESH):
            if i >= FRESH and sum(trial.wrong for trial in fresh) >= WRONG:
                break
            trial = experiment.ask(experiment.draw((4, 2, 4, 1)[i % 4]), drawn=True)
            if trial is not None:
                fresh.append(trial)
    agreed = 0
    for trial in [*fresh, *experiment.trials]:
        try:
            verdict = finding.holds(trial)
        except Exception as error:
            experiment.problems.append((finding.kind, error))
            return False
        if verdict is False:
            return False
        agreed += verdict is True
    return agreed >= finding.least
