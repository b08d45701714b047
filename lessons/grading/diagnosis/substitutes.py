"""Other inputs that a wrong answer may be right for: eps = 0, q and k swapped, the list reversed.

Each substitute is a sentence's end ("as if eps were 0") and a function that makes the other case of
a trial. as_if.py finds those that explain all answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from lessons.grading.diagnosis.scalars import scalars

if TYPE_CHECKING:
    from lessons.grading.experiment import Trial

Value = Callable[[Any, "Trial"], Any]


class Substitute(NamedTuple):
    """Other inputs.

    Attributes:
        kind: "swapped arguments", "other value", ...
        phrase: "eps were 0": what follows "as if".
        case_of: makes the other case; None where it makes no sense.
        after: what is done with the right answer to it, e.g. transposing back.
        bonus: added to the rank: the plain explanations stand before the far-fetched.
    """

    kind: str
    phrase: str
    case_of: Callable[[Trial], Any]
    after: Callable[[Any, Trial], Any] | None = None
    bonus: float = 0


def slot_case(name: str, change: Value) -> Callable[[Trial], Any]:
    """Returns the maker of the case in which one argument is changed."""

    def case_of(trial: Trial) -> Any:
        for slot in trial.slots:
            if slot.name == name and slot.value is not None:
                try:
                    return slot.put(change(slot.value, trial))
                except (
                    RuntimeError,
                    ValueError,
                    TypeError,
                    IndexError,
                    ZeroDivisionError,
                    OverflowError,
                    KeyError,
                ):
                    return None
        return None

    return case_of


def substitutes(trial: Trial) -> Iterator[Substitute]:
    """Yields what may stand instead of the arguments of such trials."""
    for slot in trial.slots:
        value = slot.value
        if isinstance(value, bool):
            yield from for_flag(slot.name)
        elif isinstance(value, (int, float)):
            yield from for_number(slot.name, value, trial)
        elif isinstance(value, torch.Tensor):
            yield from for_tensor(slot.name, value)
            if value.dtype.is_floating_point and value.dim():
                yield from scaled(slot.name, trial)
        elif isinstance(value, (list, tuple)):
            yield from for_list(slot.name, list(value))
        elif isinstance(value, dict):
            yield from for_dict(slot.name)
        elif isinstance(value, str):
            yield Substitute(
                "other text",
                f"{slot.name} were in lower case",
                slot_case(slot.name, lambda v, t: v.lower()),
            )
            yield Substitute(
                "other text",
                f"{slot.name} were reversed",
                slot_case(slot.name, lambda v, t: v[::-1]),
            )
        if slot.given and slot.default is None:
            yield Substitute(
                "ignored",
                f"{slot.name} were not given",
                slot_case(slot.name, lambda v, t: None),
                bonus=3,
            )
        elif slot.given and isinstance(slot.default, (bool, int, float)):
            yield Substitute(
                "ignored", f"{slot.name} were its default, {slot.default}",
                slot_case(slot.name, lambda v, t, d=slot.default: d), bonus=2.5,  # type: ignore[misc]
            )  # fmt: skip
    yield from swaps(trial)


def for_flag(name: str) -> Iterator[Substitute]:
    """Yields for a bool."""
    yield Substitute(
        "other value", f"{name} were always True", slot_case(name, lambda v, t: True), bonus=1
    )
    yield Substitute(
        "other value", f"{name} were always False", slot_case(name, lambda v, t: False), bonus=1
    )
    yield Substitute(
        "opposite", f"{name} were the opposite", slot_case(name, lambda v, t: not v), bonus=1
    )


def for_number(name: str, value: float, trial: Trial) -> Iterator[Substitute]:
    """Yields for an int or a float: constants, neighbours, and what other numbers make of it."""
    whole = isinstance(value, int)

    def of(phrase: str, change: Value, bonus: float = 0.0) -> Substitute:
        return Substitute("other value", phrase, slot_case(name, change), bonus=bonus)

    for constant in (0, 1, 2) if whole else (0.0, 1.0, math.inf):
        yield of(f"{name} were always {constant}", lambda v, t, c=constant: c, 1.5)  # type: ignore[misc]
    for step in (1, -1, 2, -2):
        more = f"{abs(step)} {'more' if step > 0 else 'less'}"
        yield of(f"{name} were {more} than it is", lambda v, t, s=step: v + s, 1.2 - abs(step) / 10)  # type: ignore[misc]
    yield of(f"{name} were twice as large", lambda v, t: 2 * v)
    yield of(f"{name} were half as large", lambda v, t: v // 2 if whole else v / 2)
    yield of(f"{name} were negative: -{name}", lambda v, t: -v, 0.5)
    yield of(f"{name} were squared", lambda v, t: v * v)
    if not whole:
        yield of(f"{name} were 1 / {name}", lambda v, t: 1 / v, 1.3)
        yield of(f"{name} were its square root", lambda v, t: math.sqrt(v))
        yield of(f"{name} were 1 - {name}", lambda v, t: 1 - v, 1)
        yield of(f"{name} were 10 times as large", lambda v, t: 10 * v, -1)
        yield of(f"{name} were 100 times as large", lambda v, t: 100 * v, -1)
        yield of(f"{name} were 100 times as small", lambda v, t: v / 100, -1)
        yield of(f"{name} were rounded to a whole number", lambda v, t: float(round(v)))
        yield of(f"{name} had lost what stands behind the point", lambda v, t: float(int(v)))
        yield of(f"{name} were at most 1", lambda v, t: min(v, 1.0))
        yield of(f"{name} were log({name})", lambda v, t: math.log(v), -1)
    others = [key for key in scalars(trial) if key != name][:12]
    for other in others:

        def mix(f: Callable[[Any, float], Any], other: str = other) -> Value:
            def change(v: Any, t: Trial) -> Any:
                mixed = f(v, scalars(t)[other])
                return int(mixed) if whole else float(mixed)

            return change

        yield of(f"{name} were {other}", mix(lambda v, s: s), 0.9)
        yield of(f"{name} were {name} * {other}", mix(lambda v, s: v * s), 0.4)
        yield of(f"{name} were {name} / {other}", mix(lambda v, s: v // s if whole else v / s), 0.4)
        yield of(f"{name} were {name} + {other}", mix(lambda v, s: v + s))
        yield of(f"{name} were {name} - {other}", mix(lambda v, s: v - s))
        yield of(f"{name} were {other} - {name}", mix(lambda v, s: s - v))
        if not whole:
            yield of(f"{name} were {name} / sqrt({other})", mix(lambda v, s: v / math.sqrt(s)))
            yield of(f"{name} were {name} * sqrt({other})", mix(lambda v, s: v * math.sqrt(s)))
        yield of(f"{name} were at most {other}", mix(min), -0.5)
        yield of(f"{name} were at least {other}", mix(max), -0.5)


def for_tensor(name: str, value: torch.Tensor) -> Iterator[Substitute]:
    """Yields for a tensor: constants, signs, orders, other precision."""

    def of(kind: str, phrase: str, change: Value, bonus: float = 0.0) -> Substitute:
        return Substitute(kind, phrase, slot_case(name, change), bonus=bonus)

    if value.dtype == torch.bool:
        yield of("opposite", f"{name} were the opposite", lambda v, t: ~v, 1)
        yield of("other value", f"{name} were True everywhere", lambda v, t: torch.ones_like(v), 1)
        yield of(
            "other value", f"{name} were False everywhere", lambda v, t: torch.zeros_like(v), 1
        )
    else:
        zeros = f"{name} were all zeros"
        yield of("ignored", zeros, lambda v, t: torch.zeros_like(v), 2)
        if value.dtype.is_floating_point:
            yield of("ignored", f"{name} were all ones", lambda v, t: torch.ones_like(v), 1.5)
            yield of("negated", f"{name} were negative: -{name}", lambda v, t: -v, 1)
            yield of("other value", f"{name} were |{name}|", lambda v, t: v.abs(), 0.5)
            yield of("other value", f"{name} were cut at 0", lambda v, t: v.clamp(min=0), 0.4)
            yield of("other value", f"{name} were 1 + {name}", lambda v, t: 1 + v, 0.4)
            yield of("other value", f"{name} were twice as large", lambda v, t: 2 * v)
            yield of("other value", f"{name} were squared", lambda v, t: v * v)
            yield of("other value", f"{name} were 1 / {name}", lambda v, t: 1 / v)
            yield of("other value", f"{name} were its own square root", lambda v, t: v.sqrt())
            yield of("other value", f"{name} were exp({name})", lambda v, t: v.exp(), -0.5)
            yield of("other value", f"{name} were log({name})", lambda v, t: v.log(), -0.5)
            if value.dtype == torch.float32:
                yield of(
                    "lower precision",
                    f"{name} were rounded to bf16",
                    lambda v, t: v.bfloat16().to(v.dtype),
                    0.5,
                )
                yield of(
                    "lower precision",
                    f"{name} were rounded to fp16",
                    lambda v, t: v.half().to(v.dtype),
                    0.5,
                )
            if value.dim():
                yield of(
                    "centred",
                    f"the mean of {name} along its last axis were 0",
                    lambda v, t: v - v.mean(-1, keepdim=True),
                )
        else:
            yield of("other value", f"{name} were one larger", lambda v, t: v + 1, 0.5)
            yield of("other value", f"{name} were one smaller", lambda v, t: v - 1, 0.5)
    if value.dim() == 0:
        return
    yield of("contiguous", f"the numbers of {name} were read in the order of memory, without its strides",
             lambda v, t: in_memory_order(v), 1)  # fmt: skip
    for axis in range(value.dim()):
        where = f" along axis {axis}" if value.dim() > 1 else ""
        yield of("reversed", f"{name} were reversed{where}", lambda v, t, a=axis: v.flip(a), 0.3)  # type: ignore[misc]
        yield of(
            "rolled", f"{name} were moved one place on{where}", lambda v, t, a=axis: v.roll(1, a)
        )  # type: ignore[misc]
        yield of(
            "rolled", f"{name} were moved one place back{where}", lambda v, t, a=axis: v.roll(-1, a)
        )  # type: ignore[misc]
        yield of("one for all", f"{name} were the same at every place{where}: its first entry",
                 lambda v, t, a=axis: v.narrow(a, 0, 1).expand_as(v).contiguous(), 0.3)  # type: ignore[misc]  # fmt: skip
    if value.dim() >= 2:
        yield of("transposed", f"{name} were transposed", lambda v, t: v.transpose(-1, -2), 0.6)
        for a in range(value.dim()):
            for b in range(a + 1, value.dim()):
                yield Substitute(
                    "wrong axis", f"axes {a} and {b} of {name} had changed places: you work along the wrong one",
                    slot_case(name, lambda v, t, a=a, b=b: v.transpose(a, b).contiguous()),  # type: ignore[misc]
                    lambda result, t, a=a, b=b: result.transpose(a, b), 1,  # type: ignore[misc]
                )  # fmt: skip
        yield Substitute(
            "one row", f"all of {name} were one row: you work on the whole tensor at once",
            slot_case(name, lambda v, t: v.reshape(1, -1)),
            lambda result, t, n=name: result.reshape(t.named[n].shape), 1,
        )  # fmt: skip


def scaled(name: str, trial: Trial) -> Iterator[Substitute]:
    """Yields a float tensor times or over what the inputs have as numbers."""
    ways: dict[str, Callable[[Any, float], Any]] = {
        "{name} were {name} * {other}": lambda v, s: v * s,
        "{name} were {name} / {other}": lambda v, s: v / s,
        "{name} were {name} * sqrt({other})": lambda v, s: v * math.sqrt(s),
        "{name} were {name} / sqrt({other})": lambda v, s: v / math.sqrt(s),
    }
    for other in [key for key in scalars(trial) if key != name and ".numel" not in key][:10]:
        for phrase, f in ways.items():

            def change(v: Any, t: Trial, f: Callable = f, other: str = other) -> Any:
                return f(v, scalars(t)[other])

            yield Substitute(
                "factor", phrase.format(name=name, other=other), slot_case(name, change), bonus=0.5
            )


def in_memory_order(v: torch.Tensor) -> torch.Tensor:
    """Returns a view's numbers as they lie in memory; the same tensor if that is their order."""
    if v.is_contiguous():
        return v
    return v.permute(sorted(range(v.dim()), key=lambda i: -v.stride(i))).contiguous().view(v.shape)


def for_list(name: str, value: list) -> Iterator[Substitute]:
    """Yields for a list or a tuple."""

    def of(kind: str, phrase: str, change: Value, bonus: float = 0.0) -> Substitute:
        return Substitute(kind, phrase, slot_case(name, change), bonus=bonus)

    yield of("reversed", f"{name} were reversed", lambda v, t: v[::-1], 0.5)
    yield of("shortened", f"the last entry of {name} were missing", lambda v, t: v[:-1], 0.9)
    yield of("shortened", f"the first entry of {name} were missing", lambda v, t: v[1:], 0.9)
    yield of("shortened", f"{name} had only its first entry", lambda v, t: v[:1], 0.8)
    yield of("shortened", f"{name} had only its last entry", lambda v, t: v[-1:], 0.8)
    yield of(
        "deduplicated",
        f"each entry of {name} came only once",
        lambda v, t: type(v)(dict.fromkeys(v)),
        0.7,
    )
    yield of("sorted", f"{name} were sorted", lambda v, t: type(v)(sorted(v)), 0.4)
    yield of(
        "sorted",
        f"{name} were sorted, largest first",
        lambda v, t: type(v)(sorted(v, reverse=True)),
        0.3,
    )
    yield of("ignored", f"{name} were empty", lambda v, t: type(v)(), 0.6)
    yield of("without neighbours", f"equal neighbours in {name} were one",
             lambda v, t: type(v)(x for i, x in enumerate(v) if i == 0 or x != v[i - 1]), 0.6)  # fmt: skip
    yield Substitute("from the end", f"{name} were read from the end to the beginning",
                     slot_case(name, lambda v, t: v[::-1]), lambda result, t: result[::-1], 0.6)  # fmt: skip
    if value and all(isinstance(item, (list, tuple)) for item in value):
        yield of(
            "joined",
            f"all of {name} were one list",
            lambda v, t: type(v)([type(v[0])(x for item in v for x in item)]),
            0.6,
        )
        yield of("deduplicated", f"each list in {name} held each entry only once",
                 lambda v, t: type(v)(type(item)(dict.fromkeys(item)) for item in v), 0.6)  # fmt: skip
        yield of(
            "reversed",
            f"each list in {name} were reversed",
            lambda v, t: type(v)(item[::-1] for item in v),
            0.3,
        )
        yield of(
            "without empty",
            f"the empty lists in {name} were left out",
            lambda v, t: type(v)(i for i in v if len(i)),
            0.6,
        )
    if value and all(isinstance(item, float) for item in value):
        yield of("ignored", f"{name} were all zeros", lambda v, t: type(v)(0.0 for _ in v))
    if isinstance(value, list) and len(value) == 2:
        yield of(
            "swapped", f"the two entries of {name} had changed places", lambda v, t: v[::-1], 0.9
        )


def for_dict(name: str) -> Iterator[Substitute]:
    """Yields for a dict."""
    yield Substitute(
        "other value",
        f"all values of {name} were 1",
        slot_case(name, lambda v, t: dict.fromkeys(v, 1)),
        bonus=1,
    )
    yield Substitute("reversed", f"{name} were in the reverse order",
                     slot_case(name, lambda v, t: dict(reversed(list(v.items())))))  # fmt: skip
    yield Substitute("negated", f"the values of {name} were negative",
                     slot_case(name, lambda v, t: {k: -x for k, x in v.items()}))  # fmt: skip


def swaps(trial: Trial) -> Iterator[Substitute]:
    """Yields two arguments of one kind in each other's place, and one in the place of another."""
    slots = [slot for slot in trial.slots if "." not in slot.name or True]

    def kind(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return ("tensor", value.dtype.is_floating_point, value.dim())
        return (
            float
            if isinstance(value, (int, float)) and not isinstance(value, bool)
            else type(value)
        )

    for i, one in enumerate(slots):
        for other in slots[i + 1 :]:
            if (
                one.value is None
                or kind(one.value) != kind(other.value)
                or isinstance(one.value, bool)
            ):
                continue
            yield Substitute(
                "swapped",
                f"{one.name} and {other.name} had changed places",
                exchange(one.name, other.name),
                bonus=2,
            )
            if not isinstance(one.value, (int, float)):
                for a, b in ((one.name, other.name), (other.name, one.name)):
                    yield Substitute("mixed up", f"{a} were {b}", copy_of(a, b), bonus=1)


def exchange(a: str, b: str) -> Callable[[Trial], Any]:
    """Returns the maker of the case with two arguments exchanged."""

    def case_of(trial: Trial) -> Any:
        named = {slot.name: slot for slot in trial.slots}
        if a not in named or b not in named or "." in a or "." in b:
            return None
        swapped = named[a].put(named[b].value)
        again = {slot.name: slot for slot in replace_case(trial, swapped)}
        return again[b].put(named[a].value)

    return case_of


def copy_of(a: str, b: str) -> Callable[[Trial], Any]:
    """Returns the maker of the case in which a is what b is."""

    def case_of(trial: Trial) -> Any:
        named = {slot.name: slot for slot in trial.slots}
        return named[a].put(named[b].value) if a in named and b in named else None

    return case_of


def replace_case(trial: Trial, case: Any) -> Any:
    """Returns the slots of another case of a trial's task."""
    return replace(trial, case=case).slots
