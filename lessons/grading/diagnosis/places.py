"""Which elements are wrong: the last row, the diagonal, where x is negative, the odd positions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch

from lessons.grading.diagnosis.finding import HINT, WHERE, Finding, family
from lessons.grading.diagnosis.scalars import scalars
from lessons.grading.diagnosis.series import Point, all_series, as_tensor, point
from lessons.grading.diagnosis.words import axis_name, number, subject

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment, Trial

Region = Callable[[Point], "torch.Tensor | None"]


class Pattern(NamedTuple):
    """A set of elements: what follows "wrong exactly", and the set in one answer."""

    phrase: str
    region: Region
    bonus: float = 0


def index(p: Point, axis: int) -> torch.Tensor:
    """Returns each element's index along an axis, in the answer's shape."""
    shape = [1] * p.want.dim()
    shape[axis] = -1
    return torch.arange(p.want.size(axis)).view(shape).expand(p.want.shape)


def by_index(points: list[Point], axes: dict[str, str]) -> Iterator[Pattern]:
    """Yields sets that depend on the position alone."""
    dims = points[0].want.dim()
    for axis in range(dims):
        where = f" along {axis_name(axes, '->', axis, dims)}" if dims > 1 else ""

        def of(
            phrase: str,
            f: Callable[[torch.Tensor, int], torch.Tensor],
            bonus: float = 0,
            axis: int = axis,
            where: str = where,
        ) -> Pattern:
            def region(p: Point) -> torch.Tensor | None:
                return f(index(p, axis), p.want.size(axis)) if p.want.dim() > axis else None

            return Pattern(f"at {phrase}{where}", region, bonus)

        yield of("the first entry", lambda i, n: i == 0, 2)
        yield of("the last entry", lambda i, n: i == n - 1, 2)
        yield of("all but the first entry", lambda i, n: i > 0, 1.5)
        yield of("all but the last entry", lambda i, n: i < n - 1, 1.5)
        yield of("the first and the last entry", lambda i, n: (i == 0) | (i == n - 1), 1)
        yield of("all but the first and the last entry", lambda i, n: (i > 0) & (i < n - 1), 0.5)
        yield of("the odd positions (1, 3, 5, ...)", lambda i, n: i % 2 == 1, 1)
        yield of("the even positions (0, 2, 4, ...)", lambda i, n: i % 2 == 0, 1)
        yield of("the first half", lambda i, n: i < n // 2, 0.5)
        yield of("the second half", lambda i, n: i >= n // 2, 0.5)
        for k in (2, 3):
            yield of(f"entry {k} and those after it", lambda i, n, k=k: i >= k, 0)  # type: ignore[misc]
            yield of(f"the first {k} entries", lambda i, n, k=k: i < k, 0)  # type: ignore[misc]
            yield of(f"the last {k} entries", lambda i, n, k=k: i >= n - k, 0)  # type: ignore[misc]
        for name in [
            name for name, value in scalars(points[0].trial).items() if value == int(value)
        ][:16]:
            yield Pattern(
                f"from position {name} on{where}",
                by_scalar(axis, name, lambda i, n, s: i >= s),
                0.5,
            )
            yield Pattern(
                f"before position {name}{where}", by_scalar(axis, name, lambda i, n, s: i < s), 0.5
            )
            yield Pattern(
                f"at position {name}{where}", by_scalar(axis, name, lambda i, n, s: i == s), 0.2
            )
            yield Pattern(f"in the last, partial group of {name}{where}", by_scalar(
                axis, name, lambda i, n, s: (i >= n - n % s) if s > 1 else i < 0), 0.8)  # fmt: skip
            yield Pattern(f"after the first group of {name}{where}", by_scalar(
                axis, name, lambda i, n, s: i >= s if s > 1 else i < 0), 0.4)  # fmt: skip
    for a in range(dims):
        for b in range(a + 1, dims):
            pair = "" if dims == 2 else f" of axes {a} and {b}"
            for phrase, f in DIAGONALS.items():

                def region(
                    p: Point, a: int = a, b: int = b, f: Callable = f
                ) -> torch.Tensor | None:
                    return (
                        f(index(p, a), index(p, b), p.want.size(b) - p.want.size(a))
                        if p.want.dim() > b
                        else None
                    )

                yield Pattern(phrase + pair, region, 1 if "corner" not in phrase else 0.9)


def by_scalar(axis: int, name: str, f: Callable) -> Region:
    """Returns the set that depends on a number of the inputs."""

    def region(p: Point) -> torch.Tensor | None:
        value = scalars(p.trial).get(name)
        if value is None or p.want.dim() <= axis:
            return None
        return f(index(p, axis), p.want.size(axis), int(value))

    return region


DIAGONALS: dict[str, Callable] = {
    "on the diagonal": lambda i, j, off: i == j,
    "above the diagonal": lambda i, j, off: j > i,
    "below the diagonal": lambda i, j, off: j < i,
    "off the diagonal": lambda i, j, off: i != j,
    "on and above the diagonal": lambda i, j, off: j >= i,
    "on and below the diagonal": lambda i, j, off: j <= i,
    "one place above the diagonal": lambda i, j, off: j == i + 1,
    "one place below the diagonal": lambda i, j, off: j == i - 1,
    "on the diagonal that ends in the last corner": lambda i, j, off: j == i + off,
    "above the diagonal that ends in the last corner": lambda i, j, off: j > i + off,
    "below the diagonal that ends in the last corner": lambda i, j, off: j < i + off,
    "one place above the diagonal that ends in the last corner": lambda i, j, off: j == i + off + 1,
    "one place below the diagonal that ends in the last corner": lambda i, j, off: j == i + off - 1,
}


def by_value(points: list[Point]) -> Iterator[Pattern]:
    """Yields sets that depend on the right answer or on an argument of its shape."""
    sources: dict[str, Callable[[Point], torch.Tensor | None]] = {
        "the right answer": lambda p: p.want
    }
    for name in points[0].trial.named:

        def same_shape(p: Point, name: str = name) -> torch.Tensor | None:
            x = as_tensor(p.trial.named.get(name))
            if x is None or x.numel() < 1:
                return None
            try:
                return x.broadcast_to(p.want.shape)
            except RuntimeError:
                return None

        if (x := as_tensor(points[0].trial.named[name])) is not None and x.dim():
            sources[name] = same_shape
    for name, source in sources.items():
        for phrase, f in VALUES.items():

            def region(p: Point, source: Callable = source, f: Callable = f) -> torch.Tensor | None:
                x = source(p)
                return None if x is None else f(x)

            yield Pattern(
                f"where {name} is {phrase}", region, 1.5 if name != "the right answer" else 1
            )


def repeats(x: torch.Tensor) -> torch.Tensor:
    """Returns which elements come more than once in their row."""
    if x.dim() == 0:
        return torch.zeros((), dtype=torch.bool)
    return (x[..., :, None] == x[..., None, :]).sum(-1) > 1


def negative(x: torch.Tensor) -> torch.Tensor:
    """Returns which numbers are below 0; none of truth values."""
    return x < 0 if x.dtype != torch.bool else torch.zeros_like(x)


VALUES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "negative": negative,
    "positive": lambda x: x > 0 if x.dtype != torch.bool else torch.zeros_like(x),
    "zero": lambda x: x == 0 if x.dtype != torch.bool else torch.zeros_like(x),
    "not zero": lambda x: x != 0 if x.dtype != torch.bool else torch.zeros_like(x),
    "True": lambda x: x if x.dtype == torch.bool else torch.zeros_like(x, dtype=torch.bool),
    "False": lambda x: ~x if x.dtype == torch.bool else torch.zeros_like(x, dtype=torch.bool),
    "NaN": lambda x: x.isnan(),
    "infinite": lambda x: x.isinf(),
    "repeated in its row": repeats,
    "odd": lambda x: (
        (x % 2 == 1)
        if not x.dtype.is_floating_point and x.dtype != torch.bool
        else torch.zeros_like(x, dtype=torch.bool)
    ),
    "the largest in its row": lambda x: (
        x == x.amax(-1, keepdim=True)
        if x.dim() and x.size(-1)
        else torch.zeros_like(x, dtype=torch.bool)
    ),
    "the smallest in its row": lambda x: (
        x == x.amin(-1, keepdim=True)
        if x.dim() and x.size(-1)
        else torch.zeros_like(x, dtype=torch.bool)
    ),
    "larger than 1 in size": lambda x: (
        x.abs() > 1 if x.dtype != torch.bool else torch.zeros_like(x)
    ),
    "smaller than 1 in size": lambda x: (
        x.abs() < 1 if x.dtype != torch.bool else torch.zeros_like(x)
    ),
}


def wrong_in(experiment: Experiment, p: Point) -> torch.Tensor:
    """Returns which elements are wrong."""
    return experiment.wrong_elements(p.got, p.want)


@family
def places(experiment: Experiment) -> Iterator[Finding]:
    """The wrong elements are a set with a name."""
    for place, points in all_series(experiment):
        if len({p.want.dim() for p in points}) != 1 or points[0].want.dim() == 0 or len(points) < 2:
            continue
        wrong = [wrong_in(experiment, p) for p in points]
        n_wrong = sum(int(w.sum()) for w in wrong)
        n_right = sum(int((~w).sum()) for w in wrong)
        if n_wrong < 2 or n_right < 3:
            continue
        passing = [p for t in experiment.passing if (p := point(t, place)) is not None]
        patterns = [*by_index(points, experiment.task.axes), *by_value(points)]
        who = subject(place, points[0].want)
        for pattern in patterns:
            yield from matched(experiment, place, who, pattern, points, wrong, passing)
        yield from separated(experiment, place, who, points, wrong)


def matched(
    experiment: Experiment, place: tuple, who: str, pattern: Pattern, points: list[Point],
    wrong: list[torch.Tensor], passing: list[Point],
) -> Iterator[Finding]:  # fmt: skip
    """Yields that a pattern holds all wrong elements, and perhaps no other."""
    inside = right_inside = total = 0
    for p, w in zip(points, wrong):
        region = pattern.region(p)
        if region is None or region.shape != w.shape or bool((w & ~region).any()):
            return
        inside, total = inside + int(region.sum()), total + region.numel()
        right_inside += int((region & ~w).sum())
    if inside == total:
        return
    exact = right_inside == 0

    def holds(trial: Trial) -> bool | None:
        p = point(trial, place)
        region = None if p is None else pattern.region(p)
        if p is None or region is None:
            return None
        w = wrong_in(experiment, p)
        return bool((w == region).all()) if exact and w.any() else not bool((w & ~region).any())

    start = "wrong exactly" if exact else "wrong only"
    text = (
        f"{who} is {start} {pattern.phrase}."
        if who != "Everything"
        else f"It is {start} {pattern.phrase}."
    )
    if exact:
        yield Finding("place", WHERE + 2 + pattern.bonus, text, holds, "where")
    elif inside < 0.6 * total and right_inside < 0.7 * inside:
        yield Finding("place", WHERE - 12 + pattern.bonus, text, holds, "where")


def separated(
    experiment: Experiment, place: tuple, who: str, points: list[Point], wrong: list[torch.Tensor]
) -> Iterator[Finding]:
    """Yields that all elements above or below some number are wrong and no other."""
    sources: dict[str, list[torch.Tensor]] = {"the right answer": [p.want for p in points]}
    for name in points[0].trial.named:
        tensors = [as_tensor(p.trial.named.get(name)) for p in points]
        if all(x is not None and x.shape == p.want.shape for x, p in zip(tensors, points)):
            sources[name] = [x for x in tensors if x is not None]
    flags = torch.cat([w.flatten() for w in wrong])
    if int(flags.sum()) < 4 or int((~flags).sum()) < 4:
        return
    for name, tensors in sources.items():
        x = torch.cat([t.double().flatten() for t in tensors])
        for label, values in ((name, x), (f"|{name}|", x.abs())):
            bad, good = values[flags], values[~flags]
            if not (bad.isfinite().all() and good.isfinite().all()) or values.unique().numel() < 6:
                continue
            for way, low, high in (
                ("above", good.max(), bad.min()),
                ("below", bad.max(), good.min()),
            ):
                if low < high:
                    text = f"It is wrong where {label} is {way} about {number(float(low + high) / 2)}, and right elsewhere."
                    yield Finding(
                        "threshold",
                        WHERE + 1,
                        text,
                        threshold_holds(
                            experiment, place, name, label, way, float(low), float(high)
                        ),
                        "where",
                    )


def threshold_holds(
    experiment: Experiment, place: tuple, name: str, label: str, way: str, low: float, high: float
) -> Callable[[Trial], bool | None]:
    """Returns the test of a new trial: elements between the two bounds may be either."""

    def holds(trial: Trial) -> bool | None:
        p = point(trial, place)
        x = (
            p.want
            if p is not None and name == "the right answer"
            else as_tensor(trial.named.get(name))
        )
        if p is None or x is None or x.shape != p.want.shape:
            return None
        values = x.double().abs() if label.startswith("|") else x.double()
        w = wrong_in(experiment, p)
        must, must_not = (
            (values >= high, values <= low) if way == "above" else (values <= low, values >= high)
        )
        return not bool((must & ~w).any()) and not bool((must_not & w).any())

    return holds


@family
def zeros(experiment: Experiment) -> Iterator[Finding]:
    """Something stands where exactly 0 (or minus infinity) belongs, or the reverse."""
    for place, points in all_series(experiment):
        if not points[0].want.dtype.is_floating_point or points[0].want.dim() == 0:
            continue
        for rank, text, test in EMPTY:
            hits = [p for p in points if bool(test(p.got, p.want).any())]
            if len(hits) < 2 or len(hits) < 0.7 * len(points):
                continue
            at = test(hits[0].got, hits[0].want).nonzero()[0].tolist()
            got = number(float(hits[0].got[tuple(at)]))
            who = subject(place, points[0].want)
            yield Finding("zeros", rank, text.format(who=who, at=at, got=got))


def hidden(w: torch.Tensor) -> torch.Tensor:
    """Returns which numbers are -inf."""
    return w == -torch.inf


EMPTY: list[tuple[float, str, Callable]] = [
    (HINT + 22, "{who} is not 0 where it should be exactly 0: {got} at {at} in one case.",
     lambda g, w: (w == 0) & (g.abs() > 1e-6)),
    (HINT + 22, "{who} should be minus infinity at some places and is not: {got} at {at} in one case.",
     lambda g, w: hidden(w) & ~hidden(g)),
    (HINT + 20, "{who} is minus infinity where a number belongs, at {at} in one case.",
     lambda g, w: hidden(g) & ~hidden(w)),
    (HINT + 18, "{who} is 0 where another number belongs, at {at} in one case.",
     lambda g, w: (g == 0) & (w.abs() > 1e-6)),
]  # fmt: skip
