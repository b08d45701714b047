"""Launches a kernel in Triton's interpreter, without a GPU, and watches what it reads and writes.

Every buffer lies inside a larger one, between guards of NaN (floats) or the byte A5 (whole
numbers), and an output holds the same before the launch, so that what nobody wrote shows. While the
kernel runs, each load and store is compared with the addresses of the buffers. So the answer says
which program left which buffer, and at which element.

`dequantize_kernel`, `quantize_kernel` and `double_dequantize_kernel` are drivers like those of
drivers.py: (the kernel, the arguments of its signature, keywords) -> result, after, facts. Their
keywords are not the kernel's:

    more_programs   how many programs run beyond those that are needed
    order           the numbers of the programs, in the order in which they run

The file is loaded by itself in the child, where the rest of the project cannot be imported.
"""

from __future__ import annotations

import ast
import functools
import inspect
import os
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

os.environ.setdefault("TRITON_INTERPRET", "1")  # Triton reads it when it is imported

GUARD = 4096  # elements on either side of a buffer
PATTERN = 0xA5

LOADS = "every load stays inside its buffer"
STORES = "every store stays inside its buffer"
OUTPUTS = "a program writes to its outputs only"
PARTS = "a program writes its own part of an output only"
WHOLE = "every element of an output is written"


class Plainly:
    """A kernel's reference: a Python function with the kernel's signature that writes its outputs.

    It is called as a kernel is, `kernel[grid](...)`, and does the work of all programs at once.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function
        functools.update_wrapper(self, function)

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        return self.function

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        self.function(*args, **kwargs)


class Buffer:
    """Memory that a kernel gets, between its guards.

    Attributes:
        name: the kernel's parameter: "codes_ptr".
        whole: the memory with its guards.
        inner: the memory without them.
        share: of an output, how many elements belong to a program; None for an input.
        written: of an output, which bytes have been written.
    """

    def __init__(self, name: str, tensor: Tensor, share: int | None) -> None:
        self.name, self.share, n = name, share, tensor.numel()
        fill = float("nan") if tensor.dtype.is_floating_point else PATTERN
        self.whole = torch.full((GUARD + n + GUARD,), fill, dtype=tensor.dtype)
        self.inner = self.whole[GUARD : GUARD + n]
        if share is None:
            self.inner.copy_(tensor.reshape(-1))
        self.item, self.start = tensor.itemsize, self.inner.data_ptr()
        self.size = n * self.item  # bytes
        self.written = np.zeros(self.size, dtype=bool)
        self.guards = self.guard_bytes()

    def guard_bytes(self) -> bytes:
        """Returns what the guards hold."""
        guards = torch.cat([self.whole[:GUARD], self.whole[-GUARD:]])
        return guards.view(torch.uint8).numpy().tobytes()

    def address(self, offset: int) -> str:
        """Returns the address that is `offset` bytes behind the first as the kernel writes it."""
        element = offset // self.item
        return f"{self.name} {'-' if element < 0 else '+'} {abs(element)}"

    def outside(self, offsets: np.ndarray) -> str:
        """Says that addresses are outside: "codes_ptr + 33, but the last is codes_ptr + 32"."""
        low, high = self.address(int(offsets.min())), self.address(int(offsets.max()))
        places = low if low == high else f"{low} to {high}"
        if offsets.min() < 0:
            return f"{places}, but the first is {self.address(0)}"
        return f"{places}, but the last is {self.address(self.size - self.item)}"


class Watch:
    """Sees the loads and stores of one launch.

    Attributes:
        builder: what the interpreter loads and stores by.
        found: for each of the facts that is not true, the first instance.
    """

    def __init__(self, builder: Any, buffers: Sequence[Buffer]) -> None:
        self.builder, self.buffers = builder, buffers
        self.found: dict[str, str] = {}

    def report(self, fact: str, verb: str, what: str) -> None:
        """Notes that this program does what it must not."""
        self.found.setdefault(fact, f"program {self.builder.grid_idx[0]} {verb} {what}")

    def look(self, writes: bool, pointers: Any, mask: np.ndarray) -> np.ndarray:
        """Compares the addresses under a mask with the buffers; returns which are ours at all."""
        size = max(1, pointers.get_element_ty().primitive_bitwidth // 8)  # bytes of one access
        at = pointers.data.astype(np.int64)
        active = np.broadcast_to(mask, at.shape).astype(bool)
        touched = at[active]
        if not touched.size:
            return active
        low, high = int(touched.min()), int(touched.max())
        for buffer in self.buffers:  # nearly always all is inside one of them
            if buffer.start <= low and high + size <= buffer.start + buffer.size:
                if writes:
                    self.wrote(buffer, touched - buffer.start, size)
                return active
        return self.look_closer(writes, at, active, size)

    def look_closer(
        self, writes: bool, at: np.ndarray, active: np.ndarray, size: int
    ) -> np.ndarray:
        """Looks at an access that is not inside one buffer."""
        ours = np.zeros_like(active)
        verb, fact = ("writes", STORES) if writes else ("reads", LOADS)
        for buffer in self.buffers:
            guard = GUARD * buffer.item
            offsets = at - buffer.start
            here = active & (offsets >= -guard) & (offsets + size <= buffer.size + guard)
            if not here.any():
                continue
            ours |= here
            inside = here & (offsets >= 0) & (offsets + size <= buffer.size)
            if (here & ~inside).any():
                ends = offsets[here & ~inside]
                ends = np.where(ends < 0, ends, ends + size - 1)  # the bytes that are too far
                self.report(fact, verb, buffer.outside(ends))
            if writes:
                self.wrote(buffer, offsets[inside], size)
        if not ours[active].all():
            self.report(fact, verb, "at an address that is in none of them")
        return ours

    def wrote(self, buffer: Buffer, offsets: np.ndarray, size: int) -> None:
        """Notes a store inside a buffer, `size` bytes at each offset."""
        if not offsets.size:
            return
        if buffer.share is None:
            self.report(OUTPUTS, "writes", buffer.address(int(offsets[0])))
            return
        offset_of = (offsets[:, None] + np.arange(size)).ravel()
        buffer.written[offset_of] = True
        owners = offset_of // (buffer.share * buffer.item)
        strange = owners != self.builder.grid_idx[0]
        if strange.any():
            i = int(strange.argmax())
            what = f"{buffer.address(int(offset_of[i]))}, which belongs to program {owners[i]}"
            self.report(PARTS, "writes", what)

    def masked_load(self, pointers: Any, mask: Any, *rest: Any) -> Any:
        """Stands in for the builder's create_masked_load."""
        return self.load(pointers, self.restricted(False, pointers, mask), *rest)

    def masked_store(self, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
        """Stands in for the builder's create_masked_store."""
        return self.store(pointers, value, self.restricted(True, pointers, mask), *rest)

    def atomic(self, operation: Any, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
        """Stands in for the builder's create_atomic_rmw."""
        mask = self.restricted(True, pointers, mask)
        return self.atomic_rmw(operation, pointers, value, mask, *rest)

    def swap(self, pointers: Any, *rest: Any) -> Any:
        """Stands in for the builder's create_atomic_cas."""
        if not self.look(True, pointers, np.ones_like(pointers.data, dtype=bool)).all():
            raise IndexError(f"program {self.builder.grid_idx[0]} writes outside all buffers")
        return self.atomic_cas(pointers, *rest)

    def restricted(self, writes: bool, pointers: Any, mask: Any) -> Any:
        """Looks at an access; returns the mask without what would hurt this process."""
        ours = self.look(writes, pointers, mask.data)
        wanted = np.broadcast_to(mask.data, ours.shape)
        return mask if (ours == wanted).all() else type(mask)(ours & wanted, mask.dtype)

    @contextmanager
    def watching(self, order: Sequence[int]) -> Iterator[None]:
        """Stands between kernel and memory; program `order[i]` runs as the i-th."""
        builder, place = self.builder, self.builder.set_grid_idx
        self.load, self.store = builder.create_masked_load, builder.create_masked_store
        self.atomic_rmw, self.atomic_cas = builder.create_atomic_rmw, builder.create_atomic_cas
        instead = {
            "set_grid_idx": lambda x, y, z: place(order[x], y, z),
            "create_masked_load": self.masked_load,
            "create_masked_store": self.masked_store,
            "create_atomic_rmw": self.atomic,
            "create_atomic_cas": self.swap,
        }
        for name, function in instead.items():
            setattr(builder, name, function)
        try:
            yield
        finally:
            for name in instead:
                delattr(builder, name)


def launch(
    kernel: Any,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    names: str,
    shares: dict[str, int],
    n_programs: int,
) -> dict[str, Any]:
    """Runs a kernel and returns what a driver returns.

    Args:
        kernel: the learner's, or a `Plainly`.
        args: the kernel's arguments: tensors, then numbers.
        kwargs: more_programs and order, see above.
        names: the parameters that are pointers, with blanks between them.
        shares: for each output, how many of its elements belong to a program.
        n_programs: how many are needed.

    Returns:
        result: the output, or a tuple of the outputs; facts: LOADS and so on.
    """
    pointers = names.split()
    answer: dict[str, Any] = {"after": [list(args), kwargs]}
    if isinstance(kernel, Plainly):
        given = [arg.clone() if isinstance(arg, Tensor) else arg for arg in args]
        kernel[(n_programs,)](*given)
        outputs = [x for name, x in zip(pointers, given, strict=False) if name in shares]
        return answer | {"result": outputs[0] if len(outputs) == 1 else tuple(outputs)}

    n_programs += kwargs.get("more_programs", 0)
    order = kwargs.get("order") or range(n_programs)
    tensors = args[: len(pointers)]
    buffers = [Buffer(name, x, shares.get(name)) for name, x in zip(pointers, tensors, strict=True)]
    check_is_kernel(kernel)
    from triton.runtime import interpreter

    watch = Watch(interpreter.interpreter_builder, buffers)
    try:
        with watch.watching(order), np.errstate(all="ignore"):
            kernel[(n_programs,)](*(buffer.inner for buffer in buffers), *args[len(pointers) :])
    except Exception as error:
        raise cause_of(error) from None
    written = [buffer for buffer in buffers if buffer.share is not None]
    for buffer in written:
        if not buffer.written.all():
            missing = buffer.address(int((~buffer.written).argmax()))
            watch.found.setdefault(WHOLE, f"no program writes {missing}")
    for buffer in buffers:
        if buffer.guard_bytes() != buffer.guards:
            watch.found.setdefault(STORES, f"something beside {buffer.name} has changed")
    results = [buffer.inner.clone() for buffer in written]
    answer["result"] = results[0] if len(results) == 1 else tuple(results)
    answer["facts"] = {
        f"{fact} ({watch.found[fact]})" if fact in watch.found else fact: fact not in watch.found
        for fact in (LOADS, STORES, OUTPUTS, PARTS, WHOLE)
    }
    return answer


def check_is_kernel(kernel: Any) -> None:
    """Raises unless Triton can interpret the kernel.

    Raises:
        TypeError: it is not decorated.
        SyntaxError: it has a statement that no kernel may have.
        RuntimeError: Triton was imported before TRITON_INTERPRET was set, or the source cannot be
            read: the interpreter, which translates it, would then run another program than the
            learner's.
    """
    from triton.runtime.interpreter import InterpretedFunction
    from triton.runtime.jit import JITFunction

    inner = kernel
    while not isinstance(inner, (InterpretedFunction, JITFunction)) and hasattr(inner, "fn"):
        inner = inner.fn  # autotune and heuristics keep the kernel there
    if isinstance(inner, JITFunction):
        raise RuntimeError("TRITON_INTERPRET=1 has to be set before triton is imported")
    if not isinstance(inner, InterpretedFunction):
        raise TypeError(
            f"{getattr(kernel, '__name__', kernel)} is not a kernel; write @triton.jit above it"
        )
    try:
        lines, first = inspect.getsourcelines(inner.fn)
    except (OSError, TypeError) as error:
        raise RuntimeError(f"no source of {inner.fn.__name__}; put it into linecache") from error
    for node in ast.walk(ast.parse(textwrap.dedent("".join(lines)))):
        if isinstance(node, ast.Assign) and len(node.targets) > 1:
            raise SyntaxError(f"line {first + node.lineno - 1}: a kernel cannot assign a = b = ...")


def cause_of(error: BaseException) -> BaseException:
    """Returns what a kernel raised, of what the interpreter makes of it."""
    while type(error).__name__ == "InterpreterError" and error.__cause__ is not None:
        error = error.__cause__
    return error


def dequantize_kernel(f: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Drives 10.6: (codes, absmax, levels, out, n, BLOCK_SIZE, SIZE)."""
    *_, n, _, size = args
    names = "codes_ptr absmax_ptr levels_ptr out_ptr"
    return launch(f, args, kwargs, names, {"out_ptr": size}, -(-n // size))


def quantize_kernel(f: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Drives 10.7: (x, thresholds, codes, absmax, n, BLOCK_SIZE); one program a block."""
    *_, n, block_size = args
    shares = {"codes_ptr": block_size // 2, "absmax_ptr": 1}
    names = "x_ptr thresholds_ptr codes_ptr absmax_ptr"
    return launch(f, args, kwargs, names, shares, -(-n // block_size))


def double_dequantize_kernel(f: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Drives 11.4.

    Args:
        args: codes, absmax_codes, absmax_scale, absmax_offset, levels, map, out, n, BLOCK_SIZE,
            NESTED_BLOCK_SIZE and SIZE.
    """
    *_, n, _, _, size = args
    names = (
        "codes_ptr absmax_codes_ptr absmax_scale_ptr absmax_offset_ptr levels_ptr map_ptr out_ptr"
    )
    return launch(f, args, kwargs, names, {"out_ptr": size}, -(-n // size))


# name: driver
DRIVERS: dict[str, Callable[..., dict]] = {
    "dequantize_kernel": dequantize_kernel,
    "quantize_kernel": quantize_kernel,
    "double_dequantize_kernel": double_dequantize_kernel,
}
