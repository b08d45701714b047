"""What `python -m kernels.bench` checks before it times anything: that the results are right.

`check_values` compares the kernels with the reference and with float64, on fresh random numbers.
`check_behaviour` shows what no machine without a GPU can: that the kernels keep to the current
stream, can be captured in a CUDA graph, are the same under torch.compile, and run on the device of
their tensors. Every function there gets two sets of inputs: the first to prepare, the second for
the results to compare. So a kernel that runs too early, or on what was there at the time of the
capture, is found out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kernels import NF4Tensor, dequantize_nf4, nf4_linear, quantize_nf4
from kernels.bench.contenders import bitsandbytes, their_quantize
from kernels.nf4 import DTYPES

VALUE_ROWS = (1, 16, 64)  # of x: a product by each of the kernels, and one by torch's
SHAPE = (1001, 1024)  # its last block of programs is not full
GRAPH_ROWS = (1, 16, 128)
OTHER_DEVICE = torch.device("cuda", 1)
TIMES = 3  # that something is called to prepare it
LONG = 200_000_000  # clock cycles, a tenth of a second


def check_values(
    shape: tuple[int, int], dtype: torch.dtype, device: torch.device
) -> dict[str, float]:
    """Compare the kernels with the reference, and their products with float64.

    Returns:
        shares of bytes and values that differ, and errors of products relative to what is right,
        as norms; only the errors may be more than zero, by rounding.
    """
    weight = torch.randn(shape, device=device).to(dtype)
    ours = quantize_nf4(weight, backend="triton")
    reference = quantize_nf4(weight.cpu(), backend="torch")
    pairs = zip(ours.parts.values(), reference.parts.values(), strict=True)
    differ = sum(int((a.cpu() != b).sum()) for a, b in pairs)
    report = {"parts that differ": differ / ours.nbytes}
    if dtype == torch.bfloat16 and bitsandbytes() is not None:
        theirs = their_quantize(weight)[0].flatten()
        report["codes that differ from bitsandbytes'"] = share(ours.codes != theirs)
    exact = dequantize_nf4(ours, torch.float32, backend="torch").double()
    report["dequantized that differ"] = share(
        dequantize_nf4(ours, backend="triton") != exact.to(dtype)
    )
    for rows in VALUE_ROWS:
        x = torch.randn(rows, shape[1], device=device).to(dtype).requires_grad_()
        y = nf4_linear(x, ours, backend="triton")
        gradient = torch.randn_like(y)
        (grad_x,) = torch.autograd.grad(y, x, gradient)
        report[f"relative error of {rows} rows"] = relative_error(y, x.double() @ exact.T)
        report[f"relative error of {rows} rows' gradient"] = relative_error(
            grad_x, gradient.double() @ exact
        )
    return report


def share(differs: Tensor) -> float:
    """Of the elements that are True."""
    return differs.double().mean().item()


def relative_error(found: Tensor, exact: Tensor) -> float:
    """|found - exact| / |exact|."""
    return ((found.double() - exact).norm() / exact.norm()).item()


class Operation(NamedTuple):
    """What is called, twice the inputs for it, and the error allowed in units of the largest."""

    function: Callable[..., list[Tensor]]
    first: list[Tensor]
    second: list[Tensor]
    tolerance: float


def operations(device: torch.device) -> dict[str, Operation]:
    """The public functions, as functions of tensors."""
    weights = [torch.randn(SHAPE, device=device).bfloat16() for _ in range(2)]

    def quantize(weight: Tensor) -> list[Tensor]:
        return list(quantize_nf4(weight, backend="triton").parts.values())

    parts = [quantize(weight) for weight in weights]

    def nf4(parts: Sequence[Tensor]) -> NF4Tensor:
        codes, absmax_codes, absmax_scale, absmax_offset = parts
        return NF4Tensor(
            codes, torch.Size(SHAPE), torch.bfloat16, 64, nested_block_size=256,
            absmax_codes=absmax_codes, absmax_scale=absmax_scale, absmax_offset=absmax_offset,
        )  # fmt: skip

    def dequantize(*parts: Tensor) -> list[Tensor]:
        return [dequantize_nf4(nf4(parts), backend="triton")]

    def product(x: Tensor, *parts: Tensor) -> list[Tensor]:
        return [nf4_linear(x, nf4(parts), backend="triton")]

    found = {
        "quantize": Operation(quantize, weights[:1], weights[1:], 0),
        "dequantize": Operation(dequantize, parts[0], parts[1], 0),
    }
    for rows in GRAPH_ROWS:
        xs = [torch.randn(rows, SHAPE[1], device=device).bfloat16() for _ in range(2)]
        first, second = ([x.requires_grad_(), *p] for x, p in zip(xs, parts, strict=True))
        # torch's own product may add in another order inside of a graph.
        found[f"product of {rows} rows"] = Operation(product, first, second, 0.01)
    return found


def call(function: Callable[..., list[Tensor]], inputs: Sequence[Tensor]) -> list[Tensor]:
    """The outputs, and the gradients of inputs that want one, if the outputs' are the outputs."""
    outputs = function(*inputs)
    leaves = [tensor for tensor in inputs if tensor.requires_grad]
    if not leaves:
        return outputs
    outgoing = [output.detach() for output in outputs]
    return [*outgoing, *torch.autograd.grad(outputs, leaves, outgoing)]


def copies(inputs: Sequence[Tensor], device: torch.device | None = None) -> list[Tensor]:
    """Inputs of our own, on their device or another."""
    return [
        tensor.detach().to(device or tensor.device, copy=True).requires_grad_(tensor.requires_grad)
        for tensor in inputs
    ]


@torch.no_grad()
def overwrite(inputs: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """inputs = values, in the same memory."""
    for tensor, value in zip(inputs, values, strict=True):
        tensor.copy_(value)


def on_a_side_stream(operation: Operation) -> list[Tensor]:
    """Called on another stream, where the inputs are written only after a long wait."""
    inputs = copies(operation.first)
    torch.cuda.synchronize()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        torch.cuda._sleep(LONG)
        overwrite(inputs, operation.second)
        found = call(operation.function, inputs)
    side.synchronize()
    return found


def capture(work: Callable[[], list[Tensor]]) -> tuple[Callable[[], None], list[Tensor]]:
    """A CUDA graph of the work: what replays it, and the outputs it writes each time."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = work()
    return graph.replay, outputs


def in_a_graph(operation: Operation) -> list[Tensor]:
    """Captured with the first inputs, replayed with the second."""
    inputs = copies(operation.first)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(TIMES):  # kernels are compiled and tables made; none of that can be captured
            call(operation.function, inputs)
    torch.cuda.current_stream().wait_stream(side)
    replay, found = capture(partial(call, operation.function, inputs))
    overwrite(inputs, operation.second)
    replay()
    torch.cuda.synchronize()
    return [tensor.clone() for tensor in found]  # their memory is the graph's


def compiled(operation: Operation, mode: str | None = None) -> list[Tensor]:
    """Through torch.compile; mode="reduce-overhead" captures at the second call, replays after."""
    torch.compiler.reset()
    function = torch.compile(operation.function, fullgraph=True, mode=mode)
    for inputs in [operation.first] * TIMES:
        call(function, copies(inputs))
    return [tensor.clone() for tensor in call(function, copies(operation.second))]


def on_another_device(operation: Operation) -> list[Tensor]:
    """On the second GPU, while the first is the current one."""
    found = call(operation.function, copies(operation.second, OTHER_DEVICE))
    return [tensor.to(operation.second[0].device) for tensor in found]


def count_different(found: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float) -> int:
    """Elements that are farther apart than tolerance times the largest expected one, or NaN."""
    count = 0
    for a, b in zip(found, expected, strict=True):
        a, b = a.double(), b.double()
        near = (a - b).abs() <= tolerance * b.abs().max()
        count += int(near.logical_not().sum())
    return count


def check_all(shapes: Mapping[str, tuple[int, int]], device: torch.device) -> dict[str, Any]:
    """What all checks found, for the JSON; `describe` and `what_is_wrong` read it."""
    values: dict[str, dict[str, float | str]] = {}
    for name, shape in shapes.items():
        for dtype in DTYPES:
            key = f"{name}, {str(dtype).removeprefix('torch.')}"
            try:
                values[key] = {**check_values(shape, dtype, device)}
            except Exception as error:  # the rest can be checked all the same
                values[key] = {"error": one_line(error)}
    return {"values": values, "behaviour": check_behaviour(device)}


def check_behaviour(device: torch.device) -> dict[str, dict[str, int | str]]:
    """For every way to call an operation and every operation: values that differ, or the error."""
    ways: dict[str, Callable[[Operation], list[Tensor]]] = {
        "stream": on_a_side_stream,
        "graph": in_a_graph,
        "torch.compile": compiled,
        "torch.compile, reduce-overhead": partial(compiled, mode="reduce-overhead"),
    }
    if torch.cuda.device_count() > 1:
        ways["another device"] = on_another_device
    report: dict[str, dict[str, int | str]] = {way: {} for way in ways}
    for name, operation in operations(device).items():
        expected = call(operation.function, copies(operation.second))
        for way, work in ways.items():
            try:
                found = work(operation)
                report[way][name] = count_different(found, expected, operation.tolerance)
            except Exception as error:  # the rest can be measured all the same
                report[way][name] = one_line(error)
    torch.compiler.reset()
    return report


def one_line(error: Exception) -> str:
    """The kind of error and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def describe(checks: Mapping[str, Any]) -> list[str]:
    """A line for each weight and for each way of calling."""
    lines = []
    for name, values in checks["values"].items():
        said = (f"{what} {v if isinstance(v, str) else f'{v:.2g}'}" for what, v in values.items())
        lines.append(f"{name}: " + ", ".join(said))
    for way, counts in checks["behaviour"].items():
        differ = [
            f"{name}: {count if isinstance(count, str) else f'{count} values differ'}"
            for name, count in counts.items()
            if count != 0
        ]
        lines.append(f"{way}: " + ("; ".join(differ) or "right"))
    if "another device" not in checks["behaviour"]:
        lines.append("another device: there is only one")
    return lines


def what_is_wrong(checks: Mapping[str, Any]) -> list[str]:
    """A line for each figure that rounding does not explain."""
    wrong = []
    for name, values in checks["values"].items():
        eps = torch.finfo(getattr(torch, name.rpartition(", ")[2])).eps
        for what, value in values.items():
            # The last place of 16 bits; in fp32 the sums' own rounding is larger than that.
            allowed = max(eps, 1e-5) if what.startswith("relative error") else 0
            if isinstance(value, str) or not value <= allowed:
                wrong.append(f"WRONG: {name}: {what} {value}, allowed {allowed:.2g}")
    for way, counts in checks["behaviour"].items():
        wrong += [f"WRONG: {way}: {name}: {n}" for name, n in counts.items() if n != 0]
    return wrong
