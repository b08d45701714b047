"""On which inputs the answer depends: one is changed at a time, here and in the reference.

An argument that is never used, a batch whose rows are mixed, a later token that changes an earlier
output: each shows when one slice of an input is changed and the slices of the answer are watched.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from lessons.grading.diagnosis.finding import DEPENDS, EXACT, HINT, Finding, family
from lessons.grading.diagnosis.series import as_tensor, fingerprint
from lessons.grading.diagnosis.words import axis_name

if TYPE_CHECKING:
    from lessons.grading.experiment import Experiment
    from lessons.grading.trial import Trial


def other_value(value: Any) -> Iterator[Any]:
    """Yields other valid values of an argument, none if there are none that are surely valid."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, float):
        yield from (value * 1.7, value * 0.6, value + 0.13)
    elif isinstance(value, int):
        yield from (value + 1, value - 1, 2 * value)
    elif isinstance(value, torch.Tensor) and value.numel():
        if value.dtype == torch.bool:
            yield ~value
        elif value.dtype.is_floating_point:
            generator = torch.Generator().manual_seed(1)
            noise = torch.rand(value.shape, generator=generator, dtype=torch.float64)
            yield (value.double() * (1.5 + noise)).to(value.dtype)
            yield (value.double() + 0.5 + noise).to(value.dtype)
        else:
            yield value.flip(-1) if value.dim() else value + 1
            yield value.roll(1, -1) if value.dim() else value
    elif isinstance(value, (list, tuple)) and len(value) > 1:
        yield value[::-1]
        yield value[:-1]


def differs(experiment: Experiment, one: Any, other: Any) -> bool:
    """Returns whether two results differ by more than rounding."""
    a, b = as_tensor(one), as_tensor(other)
    if a is not None and b is not None:
        if a.shape != b.shape:
            return True
        if a.dtype == torch.bool or not a.dtype.is_floating_point:
            return not torch.equal(a, b.to(a.dtype))
        return bool(experiment.wrong_elements(a, b, 20).any())
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        pairs = zip(one, other, strict=False)
        return len(one) != len(other) or any(differs(experiment, x, y) for x, y in pairs)
    return repr(one) != repr(other)


@family
def ignored(experiment: Experiment) -> Iterator[Finding]:
    """Changing an argument changes the right answer and not the given one."""
    answered = [
        t for t in experiment.failing if not t.stopped and t.fault and t.fault.where == "result"
    ]
    names = dict.fromkeys(slot.name for trial in answered for slot in trial.slots)
    for name in names:
        if not agreed(experiment, answered[::-1], name):
            continue
        everywhere = not experiment.passing or agreed(experiment, experiment.passing[::-1], name, 0)

        def holds(trial: Trial, name: str = name, everywhere: bool = everywhere) -> bool | None:
            if trial.stopped or not (trial.wrong or everywhere):
                return None
            return ignores(experiment, trial, name)

        text = f"{name} has no effect: your answer stays the same when it is changed."
        if not everywhere:
            text = f"Where it is wrong, {name} has no effect: the answer stays when it is changed."
        yield Finding("ignored argument", EXACT + 3.5 if everywhere else HINT + 12, text, holds)


def agreed(experiment: Experiment, trials: list[Trial], name: str, least: int = 2) -> bool:
    """Returns whether some trials ignore an argument and none of those tried heeds it."""
    seen = 0
    for trial in trials[:8]:
        if trial.stopped:
            continue
        verdict = ignores(experiment, trial, name)
        if verdict is False:
            return False
        seen += verdict is True
        if seen == max(least, 3):
            break
    return seen >= least


def ignores(experiment: Experiment, trial: Trial, name: str) -> bool | None:
    """Returns whether a change that matters to the reference leaves the answer as it is."""
    slot = next((s for s in trial.slots if s.name == name), None)
    if slot is None or slot.value is None:
        return None
    unchanged = 0
    for value in [*of_other_trials(experiment, trial, slot), *other_value(slot.value)][:4]:
        case = slot.put(value)
        want = experiment.want(case)
        if want is None or not differs(
            experiment, experiment.viewed(want["result"]), experiment.viewed(trial.want["result"])
        ):
            continue
        other = experiment.ask(case)
        if other is None or other.stopped:
            return None
        if differs(experiment, experiment.viewed(other.got), experiment.viewed(trial.got)):
            return False
        unchanged += 1
    needed = 2 if isinstance(slot.value, (list, tuple, dict, str)) else 1
    return True if unchanged >= needed else None


def of_other_trials(experiment: Experiment, trial: Trial, slot: Any) -> Iterator[Any]:
    """Yields up to two values that the argument has elsewhere; tensors of its shape and dtype."""
    found = 0
    for other in experiment.trials:
        value: Any = other.named.get(slot.name)
        if other is trial or type(value) is not type(slot.value) or isinstance(value, bool):
            continue
        if isinstance(value, torch.Tensor) and value.shape != slot.value.shape:
            continue
        if fingerprint(value) == fingerprint(slot.value):
            continue
        yield value
        found += 1
        if found == 2:
            return


@family
def mixing(experiment: Experiment) -> Iterator[Finding]:
    """A slice of the answer depends on a slice of an input that it must not, or fails to."""
    answered = [t for t in experiment.failing if not t.stopped and first_tensor(t.got) is not None]
    if not answered:
        return
    by_size = sorted(answered, key=lambda t: size_of(t))
    chosen = by_size[len(by_size) // 2 :][: 1 if experiment.task.triton else 3]
    found: dict[tuple, list[tuple[int, int]]] = {}
    tried: dict[tuple, int] = {}
    may: set[tuple] = set()
    for trial in chosen:
        for slot in trial.slots:
            x = slot.value
            if (
                not isinstance(x, torch.Tensor)
                or x.dim() < 2
                or x.numel() == 0
                or not x.dtype.is_floating_point
            ):
                continue
            for axis in range(x.dim()):
                for key, pair in slice_errors(experiment, trial, slot, axis, tried, may):
                    found.setdefault(key, []).append(pair)
    for (way, name, axis, out_axis, dims, out_dims), pairs in found.items():
        pairs = [pair for pair in pairs if (way, name, axis, out_axis, direction(*pair)) not in may]
        if tried.get((name, axis), 0) < 2 or not pairs or (way == "too little" and len(pairs) < 2):
            continue
        causal = ("too much", name, axis, out_axis, 1) in may  # earlier ones change later outputs
        yield from said(experiment, way, (name, axis, dims), (out_axis, out_dims), pairs, causal)


def first_tensor(result: Any) -> torch.Tensor | None:
    """Returns a tensor result, or the first of several."""
    if isinstance(result, (tuple, list)) and result and isinstance(result[0], torch.Tensor):
        return result[0]
    return result if isinstance(result, torch.Tensor) else None


def viewed_tensor(experiment: Experiment, result: Any) -> torch.Tensor | None:
    """Returns the same of a result as it is compared."""
    return first_tensor(experiment.viewed(result))


def size_of(trial: Trial) -> int:
    """Returns how many numbers a trial's arguments have."""
    return sum(s.value.numel() for s in trial.slots if isinstance(s.value, torch.Tensor))


def slice_errors(
    experiment: Experiment,
    trial: Trial,
    slot: Any,
    axis: int,
    tried: dict[tuple, int],
    may: set[tuple],
) -> Iterator[tuple[tuple, tuple[int, int]]]:
    """Yields ("too much" or "too little", argument, axis, ...) with (input slice, output slice).

    Into may goes what an exception contradicts: an answer, the right one for "too much" and the
    given one for "too little", that does depend on such a slice.
    """
    x = slot.value
    n = x.size(axis)
    for j in sorted({0, n // 2, n - 1}):
        changed = x.clone()
        part = changed.select(axis, j)
        part.copy_((part.double() * 1.5 + 0.75).to(part.dtype))
        case = slot.put(changed.clone())
        want = experiment.want(case)
        before, got = (viewed_tensor(experiment, y) for y in (trial.want["result"], trial.got))
        right = None if want is None else viewed_tensor(experiment, want["result"])
        if right is None or before is None or got is None or right.shape != before.shape:
            continue
        out_axes = [a for a in range(right.dim()) if right.size(a) == n and n > 1]
        moved = {a: slices_moved(before, right, a) for a in out_axes}
        part.copy_((part.double() * 40 + 7).to(part.dtype))
        far = experiment.want(slot.put(changed))
        further = None if far is None else viewed_tensor(experiment, far["result"])
        for y in (right, further):
            if y is not None and y.shape == before.shape:
                for a in out_axes:
                    for i in slices_moved(before, y, a).nonzero().flatten().tolist():
                        may.add(("too much", slot.name, axis, a, direction(j, i)))
        if not any(bool((m == 0).any()) for m in moved.values()):
            continue  # everything may depend on everything here
        other = experiment.ask(case)
        ours = None if other is None or other.stopped else viewed_tensor(experiment, other.got)
        if ours is None or ours.shape != got.shape or got.shape != right.shape:
            continue
        tried[(slot.name, axis)] = tried.get((slot.name, axis), 0) + 1
        noise = 20 * experiment.tolerance(got, right)
        for a, should in moved.items():
            does = slices_moved(got, ours, a)
            if not (should <= noise).any():
                continue
            key = (slot.name, axis, a, x.dim(), right.dim())
            for i in ((does > 1e-2) & (should <= noise)).nonzero().flatten().tolist():
                if i != j:  # a reference may happen not to move in the place that is changed
                    yield ("too much", *key), (j, i)
            changes = (ours != got).movedim(a, 0).reshape(n, -1).any(-1)
            for i in changes.nonzero().flatten().tolist():
                may.add(("too little", slot.name, axis, a, direction(j, i)))
            # whole numbers need not move with what they count, and short ones round changes away
            if got.dtype in (torch.float32, torch.float64) and x.dtype.itemsize >= 4:
                for i in ((should > 1e-2) & ~changes).nonzero().flatten().tolist():
                    yield ("too little", *key), (j, i)


def direction(j: int, i: int) -> int:
    """Returns -1, 0 or 1: an output slice is before the input slice, at it or after it."""
    return (i > j) - (i < j)


def slices_moved(one: torch.Tensor, other: torch.Tensor, axis: int) -> torch.Tensor:
    """Returns how far two answers differ in each slice along an axis, relative to their size."""
    finite = one.double()[one.double().isfinite()]
    large = 2 * float(finite.abs().max()) + 1 if finite.numel() else 1.0
    before, after = (x.double().nan_to_num(0.0, large, -large) for x in (one, other))
    far = (after - before).abs().movedim(axis, 0).reshape(one.size(axis), -1).amax(-1)
    return far / before.square().mean().sqrt().clamp(min=1e-30)


def said(
    experiment: Experiment,
    way: str,
    source: tuple[str, int, int],
    out: tuple[int, int],
    pairs: list[tuple[int, int]],
    causal: bool,
) -> Iterator[Finding]:
    """Yields the sentence about one pair of axes."""
    axes = experiment.task.axes
    name, axis, dims = source
    here, there = axis_name(axes, name, axis, dims), axis_name(axes, "->", out[0], out[1])
    if here.partition("(")[2] and there.partition("(")[2]:
        if here.partition("(")[2] != there.partition("(")[2]:
            return  # two axes of one size by chance
    elif axis != out[0] or dims != out[1]:
        return
    j, i = pairs[0]
    if way == "too much":
        later = causal and all(j > i for j, i in pairs)
        earlier = all(j < i for j, i in pairs)
        text = (
            f"Changing {name} at {j} along {here} changes your answer at {i} along {there}, "
            "and should not."
        )
        if later:
            text += " A later entry must not change an earlier output."
        elif not earlier or not causal:
            text += " These are independent of each other."
        yield Finding(
            "sees the future" if later else "depends on too much",
            DEPENDS + (6 if later else 4),
            text,
        )
    else:
        same = all(j == i for j, i in pairs)
        text = (
            f"Changing {name} at {j} along {here} does not change your answer at {i} along "
            f"{there}, and should."
        )
        if same:
            text += " An output depends on its own place, too."
        yield Finding("depends on too little", DEPENDS + 2, text)
