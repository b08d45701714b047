"""Two mistakes, or one that shows in two ways: looks at the failing inputs of one kind alone."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lessons.grading.diagnosis.as_if import as_if
from lessons.grading.diagnosis.conditions import flags_of
from lessons.grading.diagnosis.dicts import dicts
from lessons.grading.diagnosis.factors import factors, powers, shifts
from lessons.grading.diagnosis.finding import TERM, Family, Finding
from lessons.grading.diagnosis.relations import relations
from lessons.grading.diagnosis.rows import rows
from lessons.grading.diagnosis.sequences import lists
from lessons.grading.diagnosis.terms import multiples, terms

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial

EACH: tuple[Family, ...] = (
    *(factors, shifts, powers, relations, rows, terms, multiples, lists, dicts, as_if),
)  # fmt: skip
# Features by which two ways through the code may part.
TELLING = (
    r"(?: is| has) (None|given|True|False|0|not 0|negative|left at its default|not its default.*"
    r"|\d dimensions|float64|float16|bfloat16|not contiguous.*|(larger|smaller) than .*)$"
)
KINDS = 14  # ways to divide the failing inputs that are tried
LOWER = 12  # by so much a finding about a part ranks lower


def results(experiment: Experiment, family: Family) -> list[Finding]:
    """Returns what a family finds; one that fails is noted, and the others go on."""
    found: list[Finding] = []
    if experiment.late and not family.__module__.endswith("fallback"):
        return found
    with experiment.half_of_the_time():
        try:
            found.extend(family(experiment))
        except Exception as error:  # an answer may be so strange that a family does not foresee it
            experiment.problems.append((family.__name__, error))
    return found


def by_parts(experiment: Experiment) -> Iterator[Finding]:
    """Yields what is true of all failing inputs that have one feature, and not of the others."""
    failing = [trial for trial in experiment.failing if not trial.stopped]
    names = dict.fromkeys(
        name
        for trial in failing
        for name in flags_of(trial)
        if re.search(TELLING, name) and not re.search(r"size\(|len\(|number of", name)
    )
    divisions = []
    for name in names:
        chosen = [trial for trial in failing if flags_of(trial).get(name)]
        if max(4, 0.35 * len(failing)) <= len(chosen) < len(failing):
            divisions.append((name, chosen))
    unlike: dict[frozenset, tuple[str, list[Trial]]] = {}
    for name, chosen in divisions:  # of features that choose the same inputs, the first
        unlike.setdefault(frozenset(map(id, chosen)), (name, chosen))
    for name, chosen in sorted(unlike.values(), key=lambda d: -len(d[1]))[:KINDS]:
        if experiment.late:
            return
        part = copy.copy(experiment)
        part.trials, part.memory = chosen, {}
        for family in EACH:
            for finding in results(part, family):
                if finding.rank >= TERM:
                    yield restricted(finding, name)


def restricted(finding: Finding, name: str) -> Finding:
    """Returns the finding for the inputs that have a feature."""
    inner = finding.holds

    def holds(trial: Trial) -> bool | None:
        return inner(trial) if inner is not None and flags_of(trial).get(name) else None

    text = f"Where {name.strip()}: {finding.sentence[0].lower()}{finding.sentence[1:]}"
    return Finding(finding.kind, finding.rank - LOWER, text, holds, "what")
