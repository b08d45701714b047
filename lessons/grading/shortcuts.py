"""Takes away the one call that would do a task's work: `F.gelu` where gelu is to be written.

A shortcut has many names: F.layer_norm, torch.layer_norm, nn.LayerNorm, torch.ops.aten..., a traced
or scripted function, vmap, a private alias. They meet in two places, and there it is stopped:

- torch's dispatcher, which every operator goes through: the kernels of the operator are replaced
  for each kind of tensor by one that raises. No mode that could be switched off is involved, and a
  registration that nothing refers to cannot be taken back.
- Python functions that compute it themselves, as clip_grad_norm_ and torch.optim do: their code is
  replaced, so that whoever holds the function under another name holds the same.

What is raised is a `ForbiddenError`: a learner may catch it and do without. The file is loaded by
itself in the child, where the rest of the project cannot be imported.
"""

from __future__ import annotations

import ctypes
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import torch

from lessons.grading.refusals import refusal


class Shortcut(NamedTuple):
    """What stands under one name in `Task.forbidden`.

    Attributes:
        what: what the learner is told not to use.
        operators: matches the names of torch's operators, without "aten::" and the overload; None
            where none does the work.
        functions: matches the names of Python functions and classes that do the work.
        modules: where those stand, or in modules inside. Functions of torch.nn.functional that only
            call an operator stay as they are, so that torch.jit can read them.
    """

    what: str
    operators: str | None
    functions: str
    modules: tuple[str, ...] = ("torch._refs", "torch._decomp")


# An encoder's layer in one call has attention, layer norm and GELU inside.
ENCODER = "_transformer_encoder_layer"

# name in Task.forbidden: what it stands for
SHORTCUTS = {
    "attention": Shortcut(
        "torch's scaled_dot_product_attention or MultiheadAttention",
        f"scaled_dot_product|attention|_scaled_dot_attention|{ENCODER}",
        r"_decomp.*scaled_dot_product|multi_head_attention|MultiheadAttention",
        ("torch._decomp", "torch.nn", "torch.ao.nn"),
    ),
    # Products and convolutions may have a GELU behind them in the same call.
    "gelu": Shortcut("torch's GELU", f"gelu|_addmm_activation|_pointwise|{ENCODER}", r"gelu"),
    "layer_norm": Shortcut(
        "torch's layer_norm, group_norm or batch_norm",
        f"layer_norm|group_norm|batch_?norm|{ENCODER}",
        r"layer_norm|group_norm|batch_norm",
    ),
    "cross_entropy": Shortcut(
        "torch's cross_entropy, nll_loss or kl_div",
        r"(?<!binary_)cross_entropy|(?<!poisson_)nll_loss|kl_div",
        r"linear_cross_entropy|_decomp.*nll_loss|_refs.*nll_loss",
        ("torch._refs", "torch._decomp", "torch.nn.functional"),
    ),
    "clip_grad_norm": Shortcut(
        "torch's clip_grad_norm_ or get_total_norm",
        None,
        r"clip_grad_norm|get_total_norm",
        ("torch.nn.utils.clip_grad",),
    ),
    "optim": Shortcut(
        "torch.optim or one of torch's fused steps",
        r"_fused_(adam|sgd|adagrad)",
        r"",
        ("torch.optim", "torch.distributed.optim"),
    ),
    "multinomial": Shortcut("torch.multinomial", r"multinomial", r"multinomial"),
    "fake_quantize": Shortcut("torch's fake_quantize", r"fake_quant|_fq_helper", r"fake_quant"),
}

# Each kind of tensor, and what is asked before its kind: below all of them lies one of these.
KEYS = (
    "CPU", "AutogradCPU", "CompositeImplicitAutograd", "CompositeExplicitAutograd", "Meta",
    "MkldnnCPU", "QuantizedCPU", "SparseCPU", "SparseCsrCPU", "NestedTensorCPU", "AutogradOther",
    "CUDA", "MPS",
)  # fmt: skip


class Prepared(NamedTuple):
    """What takes a shortcut away, found once for many processes.

    Attributes:
        operators: the names of torch's operators by library: {"aten": ["gelu", "gelu.out"]}.
        kernel: what takes the place of their kernels.
        functions: Python functions, and the code that takes the place of theirs.
    """

    operators: dict[str, list[str]]
    kernel: Callable
    functions: list[tuple[types.FunctionType, types.CodeType]]


@cache
def prepare(name: str) -> Prepared:
    """Finds what stands under one name; KeyError if nothing does."""
    shortcut = SHORTCUTS[name]
    sentence = f"{shortcut.what} may not be used here: it is what this exercise is about."
    operators: dict[str, list[str]] = {}
    if shortcut.operators is not None:
        pattern = re.compile(shortcut.operators)
        for operator in all_operators():
            library, overload = operator.split("::")
            if pattern.search(overload.split(".")[0]):
                operators.setdefault(library, []).append(overload)
    codes: dict[int, types.CodeType] = {}
    functions = []
    for function in python_functions(shortcut):
        n_outer = len(function.__code__.co_freevars)
        code = codes.setdefault(n_outer, refusal(sentence, n_outer))
        functions.append((function, code))
    return Prepared(operators, types.FunctionType(refusal(sentence), {}), functions)


@cache
def all_operators() -> tuple[str, ...]:
    """Returns the names of all operators: "aten::gelu.out"."""
    return tuple(torch._C._dispatch_get_all_op_names())


def take_away(names: Iterable[str]) -> None:
    """Makes every form of the named shortcuts raise ForbiddenError in this process, for good.

    Raises:
        KeyError: a name is not a shortcut's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a kernel is replaced, a generator's code a plain one
        for name in names:
            operators, kernel, functions = prepare(name)
            for library, overloads in operators.items():
                replace_kernels(library, overloads, kernel)
            for function, code in functions:
                function.__code__ = code


def replace_kernels(library: str, overloads: list[str], kernel: Callable) -> None:
    """Puts a function in the place of the operators' kernels for every kind of tensor."""
    for key in KEYS:
        registered = torch._C._dispatch_library("IMPL", library, key, "", 0)
        # Were the object to die, its registrations would be taken back with it.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(registered))
        for overload in overloads:
            registered.impl(overload, key, kernel)


def python_functions(shortcut: Shortcut) -> list[types.FunctionType]:
    """Returns the Python functions and methods that a shortcut stands for."""
    pattern = re.compile(shortcut.functions)
    within = tuple(f"{outer}." for outer in shortcut.modules)
    found: dict[int, types.FunctionType] = {}
    for key, module in list(sys.modules.items()):
        if f"{key}.".startswith(within):
            for name, thing in list(vars(module).items()):
                home = f"{getattr(thing, '__module__', None)}."
                if home.startswith(within) and pattern.search(f"{home}{name}"):
                    found |= {id(function): function for function in functions_of(thing)}
    return list(found.values())


def functions_of(thing: Any, depth: int = 0) -> Iterator[types.FunctionType]:
    """Yields a function and those that it wraps, or the methods of a class."""
    if isinstance(thing, type):
        for member in vars(thing).values():
            member = getattr(member, "__func__", getattr(member, "fget", member))
            if isinstance(member, types.FunctionType):
                yield from functions_of(member, depth + 1)
    elif isinstance(thing, types.FunctionType) and depth < 8:
        yield thing
        inside = [cell.cell_contents for cell in thing.__closure__ or () if not empty(cell)]
        for inner in (*inside, getattr(thing, "__wrapped__", None)):
            # A decorator's own helpers serve other functions too.
            if isinstance(inner, types.FunctionType) and inner.__name__ == thing.__name__:
                yield from functions_of(inner, depth + 1)


def empty(cell: Any) -> bool:
    """Returns whether a closure's cell holds nothing yet."""
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return True
    return False
