"""Known functions of a right answer: what a wrong one may be, or what would make it right.

`elementwise` changes single numbers, `arranged` their order, `along_axis` and `mending` work along
one axis.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch

from lessons.grading.diagnosis.finding import EXACT
from lessons.grading.diagnosis.words import axis_name

Tensor = torch.Tensor
Change = Callable[[Tensor], Tensor]


class Relation(NamedTuple):
    """got = change(want), or change(got) = want if it mends.

    Attributes:
        rank, kind, sentence: a finding's; {who} stands for what is wrong.
        change: the function.
        mends: whether it makes the wrong answer right, rather than the right one wrong.
        axis: along which it works, None if along none.
    """

    rank: float
    kind: str
    sentence: str
    change: Change
    mends: bool = False
    axis: int | None = None


def real(x: Tensor) -> Tensor:
    """Returns whole numbers as fp64, others as they are."""
    return x if x.dtype.is_floating_point else x.double()


# fmt: off
ELEMENTWISE = [
    Relation(EXACT + 5, "sign", "{who} has the wrong sign.", lambda w: -w),
    Relation(EXACT, "complement", "{who} is one minus what it should be.", lambda w: 1 - w),
    Relation(EXACT, "inverse", "{who} is the inverse: 1 / y where y is right.",
             lambda w: 1 / real(w)),
    Relation(EXACT, "square", "{who} is the square of what it should be.", lambda w: w * w),
    Relation(EXACT, "root", "{who} is the square root of what it should be.",
             lambda w: real(w).sqrt()),
    Relation(EXACT, "exponential", "{who} is e to the power of what it should be.",
             lambda w: real(w).exp()),
    Relation(EXACT, "exponential", "{who} is 2 to the power of what it should be.",
             lambda w: real(w).exp2()),
    Relation(EXACT, "logarithm", "{who} is the logarithm of what it should be.",
             lambda w: real(w).log()),
    Relation(EXACT, "logarithm", "{who} is the logarithm to base 2 of what it should be.",
             lambda w: real(w).log2()),
    Relation(EXACT, "absolute value", "{who} has lost its minus signs.", torch.abs),
    Relation(EXACT, "clipped", "{who} is cut at 0: what should be negative is 0.",
             lambda w: w.clamp(min=0)),
    Relation(EXACT, "clipped", "{who} is cut at 0: what should be positive is 0.",
             lambda w: w.clamp(max=0)),
    Relation(EXACT, "clipped", "{who} is cut at 1: what should be larger is 1.",
             lambda w: w.clamp(max=1)),
    Relation(EXACT, "clipped", "{who} is at least 1: what should be smaller is 1.",
             lambda w: w.clamp(min=1)),
    Relation(EXACT, "clipped", "{who} is cut at -1 and 1.", lambda w: w.clamp(-1, 1)),
    Relation(EXACT, "rounded", "{who} is rounded to whole numbers.", lambda w: real(w).round()),
    Relation(EXACT, "rounded", "{who} is rounded down to whole numbers.",
             lambda w: real(w).floor()),
    Relation(EXACT, "rounded", "{who} is rounded up to whole numbers.", lambda w: real(w).ceil()),
    Relation(EXACT, "rounded", "{who} has lost what is after the decimal point.",
             lambda w: real(w).trunc()),
    *(Relation(EXACT, "rounded", f"{{who}} is rounded to {n} digits after the decimal point.",
               partial(torch.round, decimals=n)) for n in (1, 2, 3, 4)),
    Relation(EXACT, "sign only", "{who} is only the sign of what it should be: -1, 0 or 1.",
             torch.sign),
]
OPPOSITE = Relation(EXACT + 4, "complement",
                    "{who} is the opposite: True where it should be False, and the reverse.",
                    lambda w: ~w)
# Along one axis; {along} says which.
ALONG: list[tuple[float, str, str, Callable[[Tensor, int], Tensor]]] = [
    (EXACT + 2, "reversed", "{who} is in reverse order{along}.", lambda w, d: w.flip(d)),
    (EXACT + 1, "rolled", "{who} stands 1 place later{along} than it should; what falls off comes "
     "in again at the other end.", lambda w, d: w.roll(1, d)),
    (EXACT + 1, "rolled", "{who} stands 1 place earlier{along} than it should; what falls off "
     "comes in again at the other end.", lambda w, d: w.roll(-1, d)),
    (EXACT, "rolled", "{who} stands 2 places later{along} than it should.",
     lambda w, d: w.roll(2, d)),
    (EXACT, "rolled", "{who} stands 2 places earlier{along} than it should.",
     lambda w, d: w.roll(-2, d)),
    (EXACT, "running sum", "{who} is the running sum{along} of what it should be.",
     lambda w, d: w.cumsum(d)),
    (EXACT, "running sum", "{who} is the running sum from the end{along} of what it should be.",
     lambda w, d: w.flip(d).cumsum(d).flip(d)),
    (EXACT, "sorted", "{who} is sorted{along}, smallest first, and should not be.",
     lambda w, d: w.sort(d).values),
    (EXACT, "sorted", "{who} is sorted{along}, largest first, and should not be.",
     lambda w, d: w.sort(d, descending=True).values),
    (EXACT - 2, "same everywhere", "{who} is the same at every place{along}: what belongs to the "
     "first.", lambda w, d: w.narrow(d, 0, 1).expand_as(w)),
    (EXACT - 2, "same everywhere", "{who} is the same at every place{along}: what belongs to the "
     "last.", lambda w, d: w.narrow(d, w.size(d) - 1, 1).expand_as(w)),
    (EXACT, "averaged", "{who} is the mean{along} of what it should be, at every place.",
     lambda w, d: real(w).mean(d, keepdim=True).expand_as(w)),
    (EXACT, "normalised", "{who} is divided by its sum{along}, and should not be.",
     lambda w, d: w / real(w).sum(d, keepdim=True)),
    (EXACT, "normalised", "{who} went through a softmax{along} that does not belong there.",
     lambda w, d: real(w).softmax(d)),
    (EXACT, "normalised", "{who} went through a log softmax{along} that does not belong there.",
     lambda w, d: real(w).log_softmax(d)),
    (EXACT, "centred", "{who} has mean 0{along}: the mean was taken off, and should not be.",
     lambda w, d: w - real(w).mean(d, keepdim=True)),
    (EXACT, "unit length", "{who} is scaled to length 1{along}, and should not be.",
     lambda w, d: w / real(w).norm(dim=d, keepdim=True)),
]
MENDING: list[tuple[str, str, Callable[[Tensor, int], Tensor]]] = [
    ("not normalised", "{who} is right once it is divided by its sum{along}.",
     lambda g, d: g / real(g).sum(d, keepdim=True)),
    ("not normalised", "{who} is right after a softmax{along}: that step is missing.",
     lambda g, d: real(g).softmax(d)),
    ("not normalised", "{who} is right after a log softmax{along}: that step is missing.",
     lambda g, d: real(g).log_softmax(d)),
    ("not centred", "{who} is right once its mean{along} is taken off.",
     lambda g, d: g - real(g).mean(d, keepdim=True)),
    ("not centred", "{who} is right once its largest number{along} is taken off.",
     lambda g, d: g - g.amax(d, keepdim=True)),
    ("not of unit length", "{who} is right once it is scaled to length 1{along}.",
     lambda g, d: g / real(g).norm(dim=d, keepdim=True)),
    ("not sorted", "{who} holds the right numbers not sorted{along}: smallest first is right.",
     lambda g, d: g.sort(d).values),
    ("not sorted", "{who} holds the right numbers not sorted{along}: largest first is right.",
     lambda g, d: g.sort(d, descending=True).values),
    ("running sum missing", "{who} is right after a running sum{along}: that step is missing.",
     lambda g, d: g.cumsum(d)),
    ("not rounded", "{who} is right once it is rounded to whole numbers.",
     lambda g, d: real(g).round()),
    ("not rounded", "{who} is right once it is rounded down.", lambda g, d: real(g).floor()),
    ("not clipped", "{who} is right once it is cut to at least 0.", lambda g, d: g.clamp(min=0)),
    ("not clipped", "{who} is right once it is cut to at most 1.", lambda g, d: g.clamp(max=1)),
    ("not clipped", "{who} is right once it is cut to at least 1.", lambda g, d: g.clamp(min=1)),
    ("not clipped", "{who} is right once it is cut to between -1 and 1.",
     lambda g, d: g.clamp(-1, 1)),
]
# fmt: on


FOR_WHOLE = ("sign", "complement", "absolute value", "clipped")


def known_changes(
    truth: bool, whole: bool, dims: int | None, axes: dict[str, str]
) -> Iterator[Relation]:
    """Yields the relations that make sense.

    Args:
        truth: whether the answers are truth values.
        whole: whether they are whole numbers, of which roots and the like fit by chance.
        dims: the number of their dimensions; None if it varies.
        axes: the names of the dimensions, see `Task.axes`.
    """
    single = [r for r in ELEMENTWISE if not whole or r.kind in FOR_WHOLE]
    yield from [OPPOSITE] if truth else single
    if not dims:
        return
    places = [axis_name(axes, "->", axis, dims) for axis in range(dims)]
    for axis, place in enumerate(places):
        along = f" along {place}" if dims > 1 else ""
        for rank, kind, text, change in ALONG:
            said = text.replace("{along}", along)
            yield Relation(rank, kind, said, on_axis(change, axis), axis=axis)
        for kind, text, change in [] if truth else MENDING:
            said = text.replace("{along}", along)
            yield Relation(EXACT - 1, kind, said, on_axis(change, axis), True, axis)
    yield from arranged(dims, places)


def on_axis(change: Callable[[Tensor, int], Tensor], axis: int) -> Change:
    """Returns a change along one axis."""
    return lambda x: change(x, axis)


def arranged(dims: int, places: list[str]) -> Iterator[Relation]:
    """Yields the same numbers in the order of other axes."""
    for a, b in itertools.combinations(range(dims), 2):
        text = f"{{who}} is transposed: {places[a]} and {places[b]} have changed places."
        yield Relation(EXACT + 4, "transposed", text, transposing(a, b))
    for order in itertools.permutations(range(dims)) if 2 <= dims <= 4 else ():
        text = (
            "{who} has the right shape and its numbers in another order, that of the axes "
            f"{list(order)}: a view or reshape does not swap axes."
        )
        yield Relation(EXACT + 1, "reshaped, not transposed", text, reshaping(order))


def transposing(a: int, b: int) -> Change:
    """Returns the exchange of two axes."""
    return lambda x: x.transpose(a, b)


def reshaping(order: tuple[int, ...]) -> Change:
    """Returns the reading of permuted axes as if they were not."""
    return lambda x: x.permute(order).reshape(x.shape)
