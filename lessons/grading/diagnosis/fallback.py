"""What can always be said: how many numbers are wrong, which way, and how far."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from lessons.grading.diagnosis.finding import EXACT, FALLBACK, HINT, TERM, Finding, family
from lessons.grading.diagnosis.series import Point, all_series
from lessons.grading.diagnosis.words import number, subject

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment


@family
def only_one_place(experiment: Experiment) -> Iterator[Finding]:
    """Of several results, or of result and gradients, only some are wrong."""
    places = dict.fromkeys(place for t in experiment.trials for place in t.pairs)
    results = [place for place in places if place[0] != "gradient"]
    if len(places) < 2 or any(t.stopped for t in experiment.failing):
        return
    wrong = [place for place, _ in all_series(experiment)]
    kinds = {t.fault.kind for t in experiment.failing if t.fault}
    if not wrong or len(wrong) == len(places) or kinds - {"value", "check"}:
        return
    if all(place[0] == "gradient" for place in wrong):
        names = " and ".join(str(place[1]) for place in wrong)
        text = f"The result is right; the gradient of {names} is not."
        yield Finding("only gradients", HINT + 12, text, None, "where")
    elif len(wrong) == 1 and len(results) > 1:  # with a wrong result, gradients are not looked at
        text = f"{subject(wrong[0])} is wrong, and the others are right."
        yield Finding("only one result", HINT + 6, text, None, "where")


@family
def nearly(experiment: Experiment) -> Iterator[Finding]:
    """Whole numbers of some size are off by one at some places, never by more."""
    for place, points in all_series(experiment):
        whole = not any(
            p.want.dtype.is_floating_point or p.want.dtype == torch.bool for p in points
        )
        if not whole or max(int(p.want.max()) - int(p.want.min()) for p in points) < 8:
            continue
        off = torch.cat([(p.got.long() - p.want.long()).flatten() for p in points])
        if off.abs().max() == 1 and int((off != 0).sum()) > 2 and bool((off == 0).any()):
            way = (
                "1 too small" if off.max() < 1 else "1 too large" if off.min() > -1 else "off by 1"
            )
            text = f"{subject(place, points[0].want)} is {way} at some places, and never by more"
            codes = all(p.want.dtype in (torch.int8, torch.uint8) for p in points)
            text += ": look at how numbers are rounded." if codes else "."
            yield Finding("rounding" if codes else "off by one", HINT + 22, text)


@family
def direction(experiment: Experiment) -> Iterator[Finding]:
    """All that is wrong is too large, or too small."""
    for place, points in all_series(experiment):
        if points[0].want.dtype == torch.bool:
            more = [bool((p.got & ~p.want).any()) for p in points]
            less = [bool((~p.got & p.want).any()) for p in points]
            if not all(a != b for a, b in zip(more, less, strict=True)) or len(set(more)) > 1:
                continue
            way = (
                "True where it should be False, never the reverse"
                if more[0]
                else "False where it should be True, never the reverse"
            )
            yield Finding("direction", HINT + 14, f"What is wrong is {way}.")
            continue
        off = [p.got.double() - p.want.double() for p in points]
        if len(place) > 1 and not points[0].want.dtype.is_floating_point:
            continue  # ids are numbers that are neither large nor small
        if any(not o.isfinite().all() for o in off) or len(points) < 4:
            continue
        wrong = [
            o[experiment.wrong_elements(p.got, p.want)] for o, p in zip(off, points, strict=True)
        ]
        who = subject(place, points[0].want)
        if all((o > 0).all() for o in wrong):
            yield Finding(
                "direction", HINT, f"What is wrong is too large, never too small ({who.lower()})."
            )
        elif all((o < 0).all() for o in wrong):
            yield Finding(
                "direction", HINT, f"What is wrong is too small, never too large ({who.lower()})."
            )


def how_far(points: list[Point]) -> str:
    """Returns by how much numbers are off, and between which ratios if all have one."""
    got, want = (
        torch.cat([side.double().flatten() for side in sides])
        for sides in zip(*((p.got, p.want) for p in points), strict=True)
    )
    if not points[0].want.dtype.is_floating_point:
        return ""
    if not bool((got.isfinite() & want.isfinite()).all()):
        return ""
    text = f", by up to {number(float((got - want).abs().max()))}"
    ratios = got[want != 0] / want[want != 0]
    if ratios.numel() > 3 and bool((ratios > 0).all()) and float(ratios.max()) < 100:
        text += f": between {number(float(ratios.min()))} and {number(float(ratios.max()))} times "
        text += "what it should be"
    return text


@family
def fallback(experiment: Experiment) -> Iterator[Finding]:
    """The plain fact of the first failing case."""
    for place, points in all_series(experiment):
        wrong = sum(int(experiment.wrong_elements(p.got, p.want).sum()) for p in points)
        total = sum(p.want.numel() for p in points)
        who = subject(place, points[0].want)
        text = f"{who} differs in {wrong} of {total} numbers{how_far(points)}."
        yield Finding("value", FALLBACK, text)
    first = experiment.failing[0]
    if first.fault is not None:
        found = first.fault.difference
        if found is not None and isinstance(found.expected, str) and isinstance(found.got, str):
            key = found.path.rpartition("['")[2].removesuffix("']")
            text = f"{key or 'The answer'} should be {found.expected!r} and is {found.got!r}."
            yield Finding("described", HINT + 15, text)
        checked = first.fault.kind in ("check", "fact")
        sentence = first.fault.sentence
        yield Finding(first.fault.kind, HINT + 15 if checked else FALLBACK - 1, sentence)
    if experiment.task.triton:  # what a kernel reads and writes comes before its numbers
        facts = [t.fault for t in experiment.failing if t.fault and t.fault.kind == "fact"]
        rank = EXACT + 5.5 if len(facts) == len(experiment.failing) else TERM
        yield from (Finding("fact", rank, fault.sentence) for fault in facts[:1])
