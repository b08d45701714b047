"""Exceptions and other ends without an answer: which, in which line, for which inputs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lessons.grading.diagnosis.finding import ERRORS, Finding, family

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial

# What an exception's text says in other words.
MEANINGS = [
    (r"'NoneType' object is not|unsupported operand.*NoneType|NoneType.*has no attribute",
     "something there is None"),
    (r"index out of range|out of bounds", "a position is asked for that is not there"),
    (r"division by zero", "it divides by 0"),
    (r"shapes? cannot be multiplied|must match the size|must match the existing size|expanded size",
     "the sizes of two tensors do not fit together"),
    (r"view size is not compatible", "view needs another order in memory; use reshape"),
    (r"is invalid for input of size", "the numbers do not fill the shape that is asked for"),
    (r"expected .* (scalar|dtype)|same dtype|to have the same dtype|Found dtype",
     "two tensors have different dtypes"),
    (r"empty sequence|arg is an empty|iterable argument is empty|argument is empty",
     "it takes the largest or smallest of nothing"),
    (r"math domain error|expected a positive input",
     "the logarithm or root of a number that has none"),
    (r"modified by an inplace|leaf Variable that requires grad|is being used in an in-place",
     "a tensor that needs a gradient is changed in place"),
    (r"unhashable", "a list cannot be a key; make it a tuple"),
    (r"takes \d+ positional|missing \d+ required|unexpected keyword",
     "the arguments are not those of the task"),
    (r"does not require grad", "the result does not lead back to the inputs"),
    (r"dictionary changed size|changed size during", "a dict changes while it is read"),
    (r"maximum recursion", "a function calls itself without an end"),
    (r"local variable|cannot access local", "a variable is used that no line has set on this way"),
    (r"name '\w+' is not defined", "nothing defines that name: a typo, or an import is missing"),
    (r"Boolean value of Tensor|truth value of an array",
     "a condition asks whether a whole tensor is true; write `is not None`, or any() or all()"),
    (r"cannot be converted to Scalar|only one element tensors|only .*size-1 arrays|only 0-dim",
     "several numbers are used as if they were one"),
    (r"Dimension out of range|too many indices|Dimension specified as",
     "the tensor has fewer dimensions than this line takes for granted"),
    (r"values to unpack", "there are more or fewer values than names on the left"),
    (r"is not subscriptable|object is not iterable", "a single thing is used as if it were a list"),
    (r"is not callable", "something is called that is not a function"),
    (r"can't be cast|can't be converted", "the numbers cannot be kept in that type"),
    (r"Can't call numpy", "numpy takes no tensor that needs a gradient"),
    (r"^KeyError", "the dict has no such key"),
    (r"einsum", "the letters of einsum do not fit the tensors' dimensions"),
    (r"Sizes of tensors must match|stack expects each tensor|must have same number of dim",
     "tensors are put together whose sizes do not fit"),
    (r"used as (indices|indexes) must|indices must be|only integers, slices|slice indices must",
     "a position must be a whole number"),
    (r"must be Tensor, not|argument '\w+' .*must be|received an invalid combination of arg",
     "torch is given something else than it takes there"),
    (r"unsupported operand type|can only concatenate|can't multiply sequence",
     "the operator does not go with the types on its two sides"),
    (r"has no attribute", "there is no such attribute"),
    (r"from empty|from an empty", "something is taken out of what is empty"),
]  # fmt: skip


def meaning(message: str) -> str:
    """Returns ": it divides by 0" and the like for a known text, else nothing."""
    return next((f": {said}" for pattern, said in MEANINGS if re.search(pattern, message)), "")


@family
def stops(experiment: Experiment) -> Iterator[Finding]:
    """The function raises, or ends in another way without an answer."""
    stopped = [trial for trial in experiment.failing if trial.stopped]
    if not stopped:
        return
    kinds = Counter(trial.stopped.exception for trial in stopped if trial.stopped)
    kind = kinds.most_common(1)[0][0]
    first = next(t.stopped for t in stopped if t.stopped and t.stopped.exception == kind)
    line = f" in line {first.line}" if first.line else ""
    everywhere = len(stopped) == len(experiment.trials)
    if first.status != "error":
        where = "" if everywhere else ", for some inputs"
        yield Finding(
            f"stopped: {first.status}", ERRORS, f"{first.message.rstrip('.')}{where}.", None
        )
        return
    text = " ".join(first.message.partition(":")[2].split())
    said = f" ({text[:80]})" if text else ""
    how = (
        "for every input"
        if everywhere
        else f"for {len(stopped)} of {len(experiment.trials)} inputs"
    )

    def holds(trial: Trial) -> bool | None:
        return trial.stopped is not None

    sentence = f"It raises {kind}{line} {how}{meaning(first.message)}{said}."
    rank = ERRORS + (4 if not everywhere else 0)
    yield Finding("exception", rank, sentence, holds if everywhere else None)
