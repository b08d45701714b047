"""Uses a submission's function or class as its task needs, and returns what is judged.

Each driver runs in the child with the learner's code and in the grader with the reference. It gets
the function or class, the arguments of one case, and the task's drive_options, and returns a dict:

    result      what came out: this is compared
    after       the arguments after the call: args and kwargs, which must be as they were, unless
                the task changes them (Task.changes)
    gradients   {argument: gradient}, compared too
    facts       {sentence: whether it is true}: what must hold and is not a number ("the base is
                frozen"); a false one is told to the learner

Lesson 12's drivers are in kept_weights.py, those of kernels in kernel_drivers.py.

The file is loaded by itself in the child, where the rest of the project cannot be imported.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def cotangent(y: torch.Tensor) -> torch.Tensor:
    """Returns the gradient that is sent back through y: signed numbers, the same for a shape.

    In bf16 they are whole, so that a case can be made of which all products are exact.
    """
    generator = torch.Generator().manual_seed(y.numel() + 7)
    numbers = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    return (numbers.round() if y.dtype == torch.bfloat16 else numbers).to(y.dtype)


def weighted_sum(outputs: Sequence[torch.Tensor]) -> torch.Tensor:
    """Returns a number whose gradient with respect to each output is that output's cotangent.

    torch would take the cotangents themselves, but imports its compiler's shapes for that first,
    which takes a second.
    """
    return torch.stack([(y * cotangent(y)).sum().double() for y in outputs]).sum()


def call(f: Callable, args: tuple, kwargs: dict, gradients: Sequence[int] = ()) -> dict:
    """Calls f once; with gradients, those of the arguments with these numbers."""
    given = list(args)
    for i in gradients:
        if given[i] is not None:
            given[i] = given[i].clone().requires_grad_(True)
    result = f(*given, **kwargs)
    answer: dict[str, Any] = {"result": result, "after": [given, kwargs]}
    if gradients:
        wanted = [i for i in gradients if given[i] is not None]
        outputs = result if isinstance(result, (tuple, list)) else (result,)
        outputs = [y for y in outputs if isinstance(y, torch.Tensor) and y.requires_grad]
        outputs = [y for y in outputs if y.is_floating_point()]
        if not outputs:
            answer["facts"] = {"gradients flow through the result": False}
            return answer
        found = torch.autograd.grad(
            weighted_sum(outputs), [given[i] for i in wanted], allow_unused=True
        )
        answer["gradients"] = dict(zip(wanted, found, strict=True))
    return answer


def class_call(f: Callable, args: tuple, kwargs: dict, gradients: Sequence[int] = ()) -> dict:
    """Calls f.apply: for a torch.autograd.Function."""
    return call(f.apply, args, kwargs, gradients)  # type: ignore[attr-defined]


ENOUGH_NUMBERS = 100  # of A, to tell a mean of 0 from another


@contextmanager
def poisoned() -> Iterator[None]:
    """Lets torch.empty give NaN instead of whatever lies in memory, often zeros.

    torch.use_deterministic_algorithms would import torch's compiler first, which takes seconds.
    """
    before = torch.are_deterministic_algorithms_enabled()
    torch._C._set_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch._C._set_deterministic_algorithms(before)


def repeats(in_features: int, r: int) -> int:
    """Returns how many matrices A [r, in] hold enough numbers, 2 at least."""
    return max(2, -(-ENOUGH_NUMBERS // max(1, in_features * r)))


def lora_start(f: Callable, args: tuple, kwargs: dict) -> dict:
    """Calls f(in_features, out_features, r) again and again: the result is `together`'s."""
    in_features, _, r = args
    with poisoned():
        pairs = [f(*args, **kwargs) for _ in range(repeats(in_features, r))]
    return {"result": together(pairs), "after": [args, kwargs]}


def together(pairs: list) -> Any:
    """Returns pairs (A, B) as {"A": [calls, r, in], "B": [calls, out, r]}, which travel faster.

    They stay a list of pairs if their shapes and dtypes differ, or if they are something else.
    """
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        return pairs
    names = {"A": [pair[0] for pair in pairs], "B": [pair[1] for pair in pairs]}
    for matrices in names.values():
        if not all(isinstance(m, torch.Tensor) for m in matrices):
            return pairs
        if len({(m.dtype, m.shape, m.layout) for m in matrices}) > 1:
            return pairs
    return {name: torch.stack([m.detach() for m in found]) for name, found in names.items()}


def lora_layer(f: Callable, args: tuple, kwargs: dict) -> dict:
    """Builds f(base, r, alpha), looks at how it starts, puts numbers into A and B, and runs it.

    Args:
        kwargs: x [..., in], lora_A [r, in] and lora_B [out, r].
    """
    base, r, _ = args
    x, numbers = kwargs["x"], (kwargs["lora_A"], kwargs["lora_B"])
    frozen = [p.detach().clone() for p in base.parameters()]
    answer: dict[str, Any] = {"result": None, "after": [args, kwargs]}
    with poisoned():
        layers = [f(*args) for _ in range(repeats(base.in_features, r))]
    layer: Any = layers[0]
    if not isinstance(layers[0], torch.nn.Module):
        return answer | {"facts": {"it is an nn.Module": False}}
    if not all(isinstance(m, torch.Tensor) for m in (layer.lora_A, layer.lora_B)):
        return answer | {"facts": {"lora_A and lora_B are tensors, [r, in] and [out, r]": False}}
    starts = [[layer.lora_A.detach().clone(), layer.lora_B.detach().clone()] for layer in layers]
    known = {id(p) for p in layer.parameters()}
    trained = {id(p) for p in layer.parameters() if p.requires_grad}
    both = {id(layer.lora_A), id(layer.lora_B)}
    x_in = x.clone().requires_grad_(True)
    result = {"starts": together(starts), "y": None}
    plain = torch.nn.functional.linear(x, base.weight, base.bias)
    at_start = same_numbers(layer(x_in), plain)
    answer["result"] = result
    answer["facts"] = {
        "no parameter of .base asks for a gradient": not any(
            p.requires_grad for p in layer.base.parameters()
        ),
        "the parameters of .base are parameters of the module": (
            {id(p) for p in layer.base.parameters()} <= known
        ),
        "lora_A and lora_B are parameters of the module": both <= known,
        "lora_A and lora_B ask for gradients": (
            layer.lora_A.requires_grad and layer.lora_B.requires_grad
        ),
        "nothing but lora_A and lora_B is trained": trained <= both,
        "before the first step it computes what base does": at_start,
    }
    if [m.shape for m in starts[0]] != [m.shape for m in numbers]:
        return answer  # the numbers do not fit in
    with torch.no_grad():
        layer.lora_A.copy_(numbers[0])
        layer.lora_B.copy_(numbers[1])
    first, y = layer(x_in), layer(x_in)
    answer["facts"] |= {"two calls in a row give the same": same_numbers(first, y)}
    after = [p.detach() for p in layer.base.parameters()]
    answer["facts"]["the numbers of .base stay as they are"] = len(after) == len(frozen) and all(
        map(torch.equal, after, frozen)
    )
    answer["after"] = [args, kwargs | {"x": x_in}]
    if not all(answer["facts"][f] for f in list(answer["facts"])[-2:]):
        return answer  # y is another one each time
    result["y"] = y
    wanted = {"x": x_in, "lora_A": layer.lora_A, "lora_B": layer.lora_B}
    answer |= with_gradients(y, wanted)
    answer["facts"] |= later_facts(layer, x, y)
    return answer


def later_facts(layer: Any, x: torch.Tensor, y: Any) -> dict[str, bool]:
    """Returns whether a LoRA layer that gave y does so in eval mode too, and uses its base."""
    with torch.no_grad():
        layer.eval()
        in_eval = same_numbers(layer(x), y)
        layer.train()
        weight = layer.base.weight
        kept = weight.clone()
        weight += 0.5
        other = layer(x)
        weight.copy_(kept)
    uses = same_numbers(other, y + 0.5 * x.sum(dim=-1, keepdim=True)) if in_eval else True
    return {
        "it computes the same in eval mode": in_eval,
        "it uses the numbers that .base has when it is called": uses,
    }


def same_numbers(one: Any, two: Any) -> bool:
    """Returns whether two tensors have one shape and, but for rounding, the same numbers."""
    if not (isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor)):
        return False
    if one.shape != two.shape:
        return False
    one, two = one.detach().double(), two.detach().double()
    return bool((one - two).norm() <= 1e-5 * (1 + two.norm()))


def with_gradients(y: torch.Tensor, wanted: dict[str, torch.Tensor]) -> dict:
    """Returns {"gradients": those of wanted leaves}, None for what y does not depend on."""
    if isinstance(y, torch.Tensor) and y.requires_grad and y.is_floating_point():
        weighted_sum([y]).backward()
    return {"gradients": {name: tensor.grad for name, tensor in wanted.items()}}


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

    What is not a list of groups comes back as it is.
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
            stranger = f"{type(parameter).__name__} that is not a parameter of the model"
            found.append((names.get(id(parameter), stranger), group.get("weight_decay")))
    known = [name for name, _ in found if name in names.values()]
    answer["result"] = dict(found)
    answer["facts"] = {
        "no parameter stands in the groups twice": len(known) == len(set(known)),
        "the model's requires_grad stay as they were": flags
        == [parameter.requires_grad for parameter in model.parameters()],
    }
    return answer


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


def call_for_row_ids(f: Callable, args: tuple, kwargs: dict) -> dict:
    """Calls f for ids, one a row: whole numbers in a list, an array or a tensor become int64."""
    answer = call(f, args, kwargs)
    ids = answer["result"]
    if isinstance(ids, (list, tuple)) and len(ids) and all(map(is_whole, ids)):
        ids = torch.tensor([int(i) for i in ids])
    elif isinstance(ids, np.ndarray) and np.issubdtype(ids.dtype, np.integer):
        ids = torch.from_numpy(ids.astype(np.int64))
    elif isinstance(ids, torch.Tensor) and is_whole_dtype(ids.dtype):
        ids = ids.long()
    answer["result"] = ids
    return answer


def is_whole(value: Any) -> bool:
    """Returns whether a value is a whole number: an int, numpy's, or a tensor of one number."""
    if isinstance(value, torch.Tensor):
        return value.ndim == 0 and is_whole_dtype(value.dtype)
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_whole_dtype(dtype: torch.dtype) -> bool:
    """Returns whether a dtype is one of the whole numbers."""
    return not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool)


def call_for_lists(f: Callable, args: tuple, kwargs: dict) -> dict:
    """Calls f for lists of numbers: arrays and tensors in the result become lists."""
    answer = call(f, args, kwargs)
    answer["result"] = in_lists(answer["result"])
    return answer


def in_lists(value: Any) -> Any:
    """Returns arrays and tensors, also those in a list or a tuple, as lists and plain numbers."""
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return (list if isinstance(value, list) else tuple)(map(in_lists, value))
    return value


def fill_cache(f: Callable, args: tuple, kwargs: dict) -> dict:
    """Builds f(capacity) and appends step by step; the arguments are capacity and [(k, v), ...].

    The result has what each append returned that fits, as it was then, and at the end what another
    cache returns, which is filled with other numbers between the first append and the second. An
    append that does not fit has to be refused, and the next one has to find the cache as it was.
    """
    capacity, steps = args
    cache, other = f(capacity), f(capacity)
    results: list[Any] = []
    facts: dict[str, bool] = {}
    from_other: list[Any] = []
    length = 0
    for k, v in steps:
        fits = length + k.size(2) <= capacity
        try:
            given = cache.append(k, v)
            result = as_it_is(given)
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
            if fits and not from_other:
                from_other.append(as_it_is(other.append(-k, -v)))
                if not unchanged(given, result):
                    name = "what one cache returned stays as it is when another is filled"
                    facts[name] = False
        if not fits:
            name = "an append beyond the capacity raises ValueError"
            facts[name] = facts.get(name, True) and refused
    if False not in facts.values():
        results += from_other
    return {"result": results, "after": [list(args), kwargs], "facts": facts}


def unchanged(given: Any, before: Any) -> bool:
    """Returns whether the tensors of a tuple or list still hold what `as_it_is` found."""
    if isinstance(given, (list, tuple)):
        return all(map(unchanged, given, before))
    return not isinstance(given, torch.Tensor) or torch.equal(given, before)


def as_it_is(value: Any) -> Any:
    """Copies the tensors of a tuple or list, which may be views of what changes later."""
    if isinstance(value, (list, tuple)):
        return [as_it_is(item) for item in value]
    return value.clone() if isinstance(value, torch.Tensor) else value


# name: driver
DRIVERS: dict[str, Callable[..., dict]] = {
    "call": call,
    "class_call": class_call,
    "call_for_ids": call_for_ids,
    "call_for_row_ids": call_for_row_ids,
    "call_for_lists": call_for_lists,
    "fill_cache": fill_cache,
    "same_tensors": same_tensors,
    "parameter_groups": parameter_groups,
    "lora_start": lora_start,
    "lora_layer": lora_layer,
}
