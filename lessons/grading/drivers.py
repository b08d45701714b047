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

from collections.abc import Callable, Sequence
from typing import Any

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


# name: driver
DRIVERS: dict[str, Callable[..., dict]] = {"call": call, "class_call": class_call}
