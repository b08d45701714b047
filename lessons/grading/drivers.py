"""Uses a submission's function or class as its task needs, and returns what is judged.

Each driver runs in the child with the learner's code and in the grader with the reference. It gets
the function or class, the arguments of one case, and the task's drive_options, and returns a dict:

    result      what came out: this is compared
    after       the arguments after the call: args and kwargs, which must be as they were, unless
                the task changes them (Task.changes)
    gradients   {argument: gradient}, compared too
    facts       {sentence: whether it is true}: what must hold and is no number ("the base is
                frozen"); a false one is told to the learner

The file is loaded by itself in the child, where the rest of the project cannot be imported.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch


def cotangent(y: torch.Tensor) -> torch.Tensor:
    """Returns the gradient that is sent back through y: signed numbers, the same for a shape."""
    generator = torch.Generator().manual_seed(y.numel() + 7)
    return torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y.dtype)


def call(f: Callable, args: tuple, kwargs: dict, gradients: Sequence[int] = ()) -> dict:
    """Calls f once; with gradients, those of the arguments with these numbers."""
    args = list(args)
    for i in gradients:
        if args[i] is not None:
            args[i] = args[i].clone().requires_grad_(True)
    result = f(*args, **kwargs)
    answer: dict[str, Any] = {"result": result, "after": [args, kwargs]}
    if gradients:
        wanted = [i for i in gradients if args[i] is not None]
        outputs = result if isinstance(result, (tuple, list)) else (result,)
        outputs = [y for y in outputs if isinstance(y, torch.Tensor) and y.requires_grad]
        if not outputs:
            answer["facts"] = {"gradients flow through the result": False}
            return answer
        found = torch.autograd.grad(
            outputs, [args[i] for i in wanted], [cotangent(y) for y in outputs], allow_unused=True
        )
        answer["gradients"] = dict(zip(wanted, found, strict=True))
    return answer


def class_call(f: Callable, args: tuple, kwargs: dict, gradients: Sequence[int] = ()) -> dict:
    """Calls f.apply: for a torch.autograd.Function."""
    return call(f.apply, args, kwargs, gradients)  # type: ignore[attr-defined]


def call_for_ids(f: Callable, args: tuple, kwargs: dict) -> dict:
    """Calls f for one row of ids: a list, an array or a tensor of any dtype becomes a list."""
    answer = call(f, args, kwargs)
    ids = answer["result"]
    if isinstance(ids, (torch.Tensor, np.ndarray)) and ids.ndim == 1:
        ids = ids.tolist()
    if isinstance(ids, (list, tuple)):
        ids = [
            i.item() if isinstance(i, (torch.Tensor, np.ndarray)) and i.ndim == 0 else i
            for i in ids
        ]
        ids = [int(i) if isinstance(i, float) and i.is_integer() else i for i in ids]
    answer["result"] = ids
    return answer


def fill_cache(f: Callable, args: tuple, kwargs: dict) -> dict:
    """Builds f(capacity) and appends step by step; the arguments are capacity and [(k, v), ...].

    The result has what each append returned that fits, as it was then, and at the end what another
    cache returns to which the first of them is appended. An append that does not fit has to be
    refused, and the next one has to find the cache as it was.
    """
    capacity, steps = args
    cache, other = f(capacity), f(capacity)
    results: list[Any] = []
    facts: dict[str, bool] = {}
    length = 0
    for k, v in steps:
        fits = length + k.size(2) <= capacity
        try:
            result = as_it_is(cache.append(k, v))
        except Exception as error:
            if fits and not facts:
                raise
            if fits:
                facts["after a refused append, one that fits still works"] = False
                break
            refused = isinstance(error, ValueError)
        else:
            refused = False
            length += k.size(2) if fits else 0
            results.append(result)
        if not fits:
            name = "an append beyond the capacity raises ValueError"
            facts[name] = facts.get(name, True) and refused
    first = next(((k, v) for k, v in steps if k.size(2) <= capacity), None)
    if first is not None and False not in facts.values():
        results.append(as_it_is(other.append(*first)))
    return {"result": results, "after": [list(args), kwargs], "facts": facts}


def as_it_is(value: Any) -> Any:
    """Copies the tensors of a tuple or list, which may be views of what changes later."""
    if isinstance(value, (list, tuple)):
        return [as_it_is(item) for item in value]
    return value.clone() if isinstance(value, torch.Tensor) else value


def same_tensors(f: Callable, args: tuple, kwargs: dict) -> dict:
    """Calls f with a list of tensors first; `after` holds those, whatever the list holds then."""
    tensors, *others = args
    given = list(tensors)
    result = f(given, *others, **kwargs)
    same = len(given) == len(tensors) and all(map(operator.is_, given, tensors))
    facts = {"the list holds the same tensors as before the call": same}
    return {"result": result, "after": [[tensors, *others], kwargs], "facts": facts}


def parameter_groups(f: Callable, args: tuple, kwargs: dict) -> dict:
    """Calls f(model, ...) for an optimizer's groups; the result is {parameter's name: decay}.

    What is no list of groups comes back as it is.
    """
    model = args[0]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    flags = [parameter.requires_grad for parameter in model.parameters()]
    groups = f(*args, **kwargs)
    answer: dict[str, Any] = {"result": groups, "after": [args, kwargs]}
    if hasattr(groups, "__iter__") and not isinstance(groups, (dict, str, torch.Tensor)):
        groups = list(groups)
    if not isinstance(groups, list) or not all(isinstance(g, dict) for g in groups):
        return answer
    found = []
    for group in groups:
        parameters = group.get("params", ())
        alone = isinstance(parameters, torch.Tensor) or not hasattr(parameters, "__iter__")
        for parameter in [parameters] if alone else parameters:
            stranger = f"{type(parameter).__name__} that is no parameter of the model"
            found.append((names.get(id(parameter), stranger), group.get("weight_decay")))
    known = [name for name, _ in found if name in names.values()]
    answer["result"] = dict(found)
    answer["facts"] = {
        "no parameter stands in the groups twice": len(known) == len(set(known)),
        "the model's requires_grad stay as they were": flags
        == [parameter.requires_grad for parameter in model.parameters()],
    }
    return answer


# name: driver
DRIVERS: dict[str, Callable[..., dict]] = {
    "call": call,
    "class_call": class_call,
    "call_for_ids": call_for_ids,
    "fill_cache": fill_cache,
    "same_tensors": same_tensors,
    "parameter_groups": parameter_groups,
}
