"""Looks whether a learner's layer keeps a weight between its two passes: lesson 12's drivers.

A weight in 4 bits is worth it only if what is made of it is let go. It could be kept by autograd,
which saves tensors for the backward pass, as an attribute of a ctx, or in anything else that holds
on to its memory. `frozen_linear` and `qlora` are drivers like those of drivers.py.

The file is loaded by itself in the child, where the rest of the project cannot be imported.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CellType
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from lessons.grading.drivers import with_gradients


class Watched:
    """A dequantize that remembers, without keeping it alive, every weight that it gave."""

    def __init__(self, dequantize: Callable) -> None:
        self.dequantize = dequantize
        self.given: list[StorageWeakRef] = []

    def __call__(self, codes: torch.Tensor) -> torch.Tensor:
        weight = self.dequantize(codes)
        self.given.append(StorageWeakRef(weight.untyped_storage()))
        return weight

    def gone(self) -> bool:
        """Returns whether the memory of all of them has been given back."""
        return expired(*self.given)


def expired(*references: StorageWeakRef) -> bool:
    """Returns whether all this memory has been given back."""
    gc.collect()
    return all(reference.expired() for reference in references)


@contextmanager
def few_objects() -> Iterator[None]:
    """Lets gc.collect look only at objects that are made inside: a hundred times as fast."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def on_ctx(node: Any) -> Iterator[torch.Tensor]:
    """Yields the tensors that were set as attributes of a ctx in the graph behind a grad_fn."""
    seen: set[int] = set()
    nodes = [node]
    while nodes:
        node = nodes.pop()
        if node is not None and id(node) not in seen:
            seen.add(id(node))
            nodes += [following for following, _ in node.next_functions]
            yield from tensors_in(getattr(node, "__dict__", {}))


def tensors_in(value: Any, depth: int = 4) -> Iterator[torch.Tensor]:
    """Yields the tensors and arrays in lists, dicts and what functions close over."""
    if isinstance(value, torch.Tensor):
        yield value
    elif type(value).__module__ == "numpy" and hasattr(value, "__array__"):
        yield torch.as_tensor(value)
    elif depth:
        if isinstance(value, dict):
            value = list(value.values())
        elif hasattr(value, "__closure__"):
            cells = value.__closure__ or ()
            value = [cell.cell_contents for cell in cells if cell != CellType()]  # not empty ones
        if isinstance(value, (list, tuple)):
            if holds_floats(value):
                yield torch.tensor(value)
                return
            for item in value:
                yield from tensors_in(item, depth - 1)


def holds_floats(value: list | tuple) -> bool:
    """Returns whether a list is a vector or a matrix of floats, as tolist makes it."""
    rows = value if all(isinstance(row, (list, tuple)) for row in value) else [value]
    lengths = {len(row) for row in rows}
    return len(lengths) == 1 and 0 not in lengths and all(type(x) is float for r in rows for x in r)


def is_copy(tensor: torch.Tensor, of: torch.Tensor) -> bool:
    """Returns whether two tensors hold the same numbers up to rounding, in whatever order."""
    if tensor.numel() != of.numel() or not tensor.is_floating_point():
        return False
    ours, theirs = (t.detach().double().flatten().sort().values for t in (tensor, of))
    return bool((ours - theirs).abs().max() <= 0.02 * theirs.square().mean().sqrt())


class Keeping:
    """Looks, inside a with block, whether autograd saves a copy of one of some tensors.

    Attributes:
        saved: the names of those that are.
    """

    def __init__(self, **tensors: torch.Tensor) -> None:
        self.tensors, self.saved = tensors, set[str]()
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self.see, lambda tensor: tensor)

    def names(self, tensor: torch.Tensor) -> set[str]:
        """Returns the names of those that this one is a copy of."""
        return {name for name, of in self.tensors.items() if is_copy(tensor, of)}

    def see(self, tensor: torch.Tensor) -> torch.Tensor:
        """Notes what is saved, and returns it."""
        self.saved |= self.names(tensor)
        return tensor

    def held(self, y: torch.Tensor) -> set[str]:
        """Returns the names of those that a ctx in the graph of y has as an attribute."""
        return {name for tensor in on_ctx(y.grad_fn) for name in self.names(tensor)}

    def __enter__(self) -> None:
        self.hooks.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.hooks.__exit__(*error)


@few_objects()
def frozen_linear(f: Any, args: tuple, kwargs: dict) -> dict:
    """Calls f.apply(x, bias, codes, dequantize); looks at what is kept; asks for gradients."""
    x, bias, codes, dequantize = args
    watched, keeping = Watched(dequantize), Keeping(W=dequantize(codes), x=x)
    leaf = x.clone().requires_grad_(True)
    bias = None if bias is None else bias.clone().requires_grad_(True)
    handed = leaf.clone()  # not a leaf, which the graph holds in any case
    with keeping:
        y = f.apply(handed, bias, codes, watched)
    after, handed_memory = handed.detach().clone(), StorageWeakRef(handed.untyped_storage())
    del handed
    answer: dict[str, Any] = {"result": y, "after": [[after, bias, codes, dequantize], kwargs]}
    if not (isinstance(y, torch.Tensor) and y.requires_grad):
        return answer | {"facts": {"gradients flow through the result": False}}
    weights_gone, x_gone, held = watched.gone(), expired(handed_memory), keeping.held(y)
    f.apply(x, bias, codes.flip(0), watched)  # another layer, before this one's backward pass
    answer |= with_gradients(y, {"x": leaf} if bias is None else {"x": leaf, "bias": bias})
    answer["result"] = y.detach()
    del y
    frozen = gradients_alone(f, (x, bias, codes, dequantize), answer["gradients"])
    answer["facts"] = {
        "W is not saved for the backward pass": "W" not in keeping.saved,
        "x is not saved for the backward pass": "x" not in keeping.saved,
        "W is not an attribute of ctx": "W" not in held,
        "x is not an attribute of ctx": "x" not in held,
        "nothing keeps W between the two passes": weights_gone,
        "nothing keeps x between the two passes": x_gone,
        "nothing keeps W after the backward pass": watched.gone(),
        **frozen,
    }
    return answer


def gradients_alone(f: Any, args: tuple, both: dict[str, Any]) -> dict[str, bool]:
    """Returns whether x and the bias have the same gradient where the other one needs none."""
    x, bias, codes, dequantize = args
    if bias is None:
        return {}
    facts = {}
    for name in ("x", "bias"):
        x_in, b = (
            t.detach().clone().requires_grad_(n == name) for t, n in ((x, "x"), (bias, "bias"))
        )
        y = f.apply(x_in, b, codes, dequantize)
        wanted = {name: x_in if name == "x" else b}
        alone, want = with_gradients(y, wanted)["gradients"][name], both[name]
        same = alone is not None and want is not None and torch.allclose(alone, want, rtol=1e-4)
        other = "the bias" if name == "x" else "x"
        facts[f"the gradient of {name} is the same where {other} needs none"] = same or want is None
    return facts


@few_objects()
def qlora(f: Callable, args: tuple, kwargs: dict) -> dict:
    """Calls f(x, codes, dequantize, lora_A, lora_B, alpha); W must not be kept, nor a merged W.

    The gradients come in x's dtype, so that they are compared as its arithmetic allows.
    """
    x, codes, dequantize, lora_A, lora_B, alpha = args
    weight = dequantize(codes)
    merged = weight + alpha / len(lora_A) * (lora_B @ lora_A)
    watched, keeping = Watched(dequantize), Keeping(W=weight, merged=merged)
    x_in, A, B = (t.clone().requires_grad_(True) for t in (x, lora_A, lora_B))
    with keeping:
        y = f(x_in, codes, watched, A, B, alpha, **kwargs)
    after = [[x_in, codes, dequantize, A, B, alpha], kwargs]
    answer: dict[str, Any] = {"result": y, "after": after}
    if not (isinstance(y, torch.Tensor) and y.requires_grad):
        return answer | {"facts": {"gradients flow through the result": False}}
    gone, held = watched.gone(), keeping.held(y)
    gradients = with_gradients(y, {"x": x_in, "lora_A": A, "lora_B": B})["gradients"]
    answer["gradients"] = {k: g if g is None else g.to(x.dtype) for k, g in gradients.items()}
    answer["result"] = y.detach()
    del y
    answer["facts"] = {
        "W is not saved for the backward pass": "W" not in keeping.saved,
        "no merged W is saved for the backward pass": "merged" not in keeping.saved,
        "W is not an attribute of ctx": not held,
        "nothing keeps W between the two passes": gone,
        "nothing keeps W after the backward pass": watched.gone(),
    }
    return answer


# name: driver
DRIVERS: dict[str, Callable[..., dict]] = {"frozen_linear": frozen_linear, "qlora": qlora}
