"""What the package refuses, with errors that say what was given and what to do.

These checks stand apart, so that the files that explain NF4 need not stop for them.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:  # an NF4Tensor checks itself with this file
    from kernels.nf4 import NF4Tensor

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
BLOCK_SIZES = tuple(2**i for i in range(5, 13))  # 32 to 4096


def check_block_size(name: str, value: Any) -> int:
    """Returns value as an int; raises ValueError unless it is a power of two from 32 to 4096."""
    try:
        size = operator.index(value)
    except TypeError:
        size = 0
    if size not in BLOCK_SIZES:
        raise ValueError(f"{name} must be a power of two from 32 to 4096, got {value!r}")
    return size


def check_dtype(name: str, dtype: torch.dtype) -> None:
    """Raises TypeError unless NF4 knows the dtype."""
    if dtype not in DTYPES:
        raise TypeError(f"{name} must be float32, float16 or bfloat16, got {dtype!r}")


def check_type(name: str, value: object, kind: type) -> None:
    """Raises TypeError unless value is a Tensor or NF4Tensor, as `kind` says; a Tensor is dense."""
    if not isinstance(value, kind):
        given, maker = type(value).__name__, "torch.as_tensor" if kind is Tensor else "quantize_nf4"
        raise TypeError(f"{name} must be the {kind.__name__} that {maker} makes, got {given}")
    if isinstance(value, Tensor) and (value.layout is not torch.strided or value.is_nested):
        given, todo = f"one of layout {value.layout}", "convert it with .to_dense()"
        if value.is_nested:
            given, todo = "a nested one", "take its parts (.unbind()) one by one"
        raise TypeError(f"{name} must be a dense tensor, got {given}; {todo}")


def check_shape(shape: Any) -> torch.Size:
    """Returns the shape as a torch.Size; raises ValueError unless it is that of some tensor."""
    try:
        sizes = torch.Size(shape)
    except TypeError:
        sizes = torch.Size([-1])
    if any(size < 0 for size in sizes):  # torch.compile cannot take the least of unknown sizes
        raise ValueError(
            f"shape of an NF4Tensor must be the sizes of a tensor, whole numbers from 0, got "
            f"{shape!r}"
        )
    return sizes


def check_parts(
    q: NF4Tensor, expected: Mapping[str, tuple[torch.dtype, tuple[int, ...]] | None]
) -> None:
    """Raises an error unless the parts of q fit together.

    Args:
        q: an NF4Tensor that is being made.
        expected: dtype and shape of each part by its name, None where there must be no such part.

    Raises:
        ValueError: a part is missing or too many, of another dtype or shape, or elsewhere.
        TypeError: a part is not dense.
    """
    for name, wanted in expected.items():
        part = getattr(q, name)
        if wanted is None:
            if part is not None:
                kind = "with" if q.double_quant else "without"
                raise ValueError(f"an NF4Tensor {kind} double quantization has no {name}")
            continue
        dtype, shape = wanted
        is_tensor = isinstance(part, Tensor)
        if not is_tensor or part.dtype != dtype or tuple(part.shape) != shape:
            given = "nothing" if part is None else type(part).__name__
            given = f"{part.dtype} {list(part.shape)}" if is_tensor else given
            raise ValueError(
                f"{name} of an NF4Tensor of shape {list(q.shape)} with block_size {q.block_size} "
                f"must be {dtype} {list(shape)}, got {given}"
            )
        check_type(name, part, Tensor)
        if part.device != q.codes.device:
            raise ValueError(
                f"the parts of an NF4Tensor must be on one device; codes are on {q.codes.device}, "
                f"{name} is on {part.device}: move one with .to(device)"
            )


def check_finite(weight: Tensor, absmax: Tensor) -> None:
    """Raises ValueError that names the first NaN or Inf of weight, if there is one.

    Only `absmax`, the scales of its blocks or their mean, is searched when all is well: it is NaN
    or Inf if any weight is, and far shorter.
    """
    if torch.isfinite(absmax).all():
        return
    flat = weight.reshape(-1)
    size = 2**20  # in pieces: the mask of a large weight takes much memory
    for start in range(0, len(flat), size):
        bad = torch.isfinite(flat[start : start + size]).logical_not().nonzero()
        if len(bad):
            position = start + int(bad[0])
            index = [int(i) for i in np.unravel_index(position, weight.shape)]
            raise ValueError(
                f"weight{index if index else ''} is {flat[position].item()}; NF4 can hold finite "
                "numbers only: replace it, with torch.nan_to_num for example"
            )
