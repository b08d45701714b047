"""Arguments are named as in the signature, and others can be put in their place."""

from __future__ import annotations

from typing import Any

from torch import nn

from lessons.grading.slots import ABSENT, slots
from lessons.grading.task import Bank, Case, Made, Task


def named(reference: Any, case: Case) -> dict[str, Any]:
    return {slot.name: slot.value for slot in slots(task(reference), case)}


def task(reference: Any) -> Task:
    return Task(
        id="0.4", name="f", reference=reference, idea="", example="", hints=("", "", ""),
        cases=lambda draw: iter([Case()]), sample=lambda draw: Case(), bank=Bank(),
    )  # fmt: skip


def f(x, mask=None, *, eps=1e-5):
    return x


def test_arguments_have_the_names_of_the_signature() -> None:
    assert named(f, Case((1,), {"eps": 0.1})) == {"x": 1, "eps": 0.1, "mask": None}


def test_a_default_is_a_slot_that_is_not_given() -> None:
    found = {slot.name: slot for slot in slots(task(f), Case((1,)))}
    assert (found["eps"].given, found["eps"].default) == (False, 1e-5)
    assert (found["x"].given, found["x"].default) == (True, ABSENT)


def test_another_value_is_put_in_place() -> None:
    found = {slot.name: slot for slot in slots(task(f), Case((1, 2)))}
    assert found["mask"].put(7).args == (1, 7)
    assert found["eps"].put(0.5).kwargs == {"eps": 0.5}
    assert found["eps"].put(0.5).args == (1, 2)


def test_fields_of_an_object_are_slots() -> None:
    case = Case((Made("config", {"n_layer": 2, "bias": True}),))
    found = {slot.name: slot for slot in slots(task(lambda config: config), case)}
    assert found["config.n_layer"].value == 2
    changed = found["config.n_layer"].put(5).args[0]
    assert changed == Made("config", {"n_layer": 5, "bias": True})


def test_arguments_of_an_unknown_signature_are_numbered() -> None:
    assert named(lambda *args: args, Case((1, 2))) == {"argument 1": 1, "argument 2": 2}


def test_self_and_ctx_are_not_arguments() -> None:
    class Straight:
        @staticmethod
        def apply(x, bits):
            return x

        @staticmethod
        def forward(ctx, x, bits):
            return x

    assert named(Straight, Case((1, 2))) == {"x": 1, "bits": 2}


def test_of_a_module_the_arguments_are_those_it_is_built_with() -> None:
    class Scaled(nn.Module):
        def __init__(self, base, alpha):
            super().__init__()

        def forward(self, x):
            return x

    assert named(Scaled, Case((1, 2), {"x": 3})) == {"base": 1, "alpha": 2, "x": 3}
