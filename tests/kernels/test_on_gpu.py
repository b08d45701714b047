"""Tests that need a GPU: the compiled kernels' values, and every way to call them.

    TRITON_INTERPRET=0 pytest tests/kernels/test_on_gpu.py

The other tests in this folder interpret kernels, so these need a run of their own; without a GPU
they are skipped. Values are compared with the reference and with float64, on random numbers. The
ways to call are another stream, a CUDA graph, torch.compile and a second GPU. For these every
operation gets two sets of inputs: it is prepared on the first, and its results on the second are
compared. So a kernel that runs too early, or on the inputs of the capture, is found out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from kernels import NF4Tensor, dequantize_nf4, nf4_linear, quantize_nf4
from kernels.backend import has_triton
from kernels.bench.contenders import bitsandbytes, their_quantize
from kernels.bench.gpu import SHAPES, relative_error
from kernels.checks import DTYPES

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.skipif(not has_triton(), reason="needs triton"),
    pytest.mark.skipif(
        os.environ.get("TRITON_INTERPRET") == "1", reason="needs TRITON_INTERPRET=0: see the file"
    ),
]

VALUE_ROWS = (1, 16, 64)  # of x: a product by each of the kernels, and one by torch's
SHAPE = (1001, 1024)  # its last block of programs is not full
GRAPH_ROWS = (1, 16, 128)
DEVICE, OTHER_DEVICE = torch.device("cuda", 0), torch.device("cuda", 1)
TIMES = 3  # that something is called to prepare it
LONG = 200_000_000  # clock cycles, a tenth of a second


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_values_are_those_of_the_reference(shape: tuple[int, int], dtype: torch.dtype) -> None:
    weight = torch.randn(shape, device=DEVICE).to(dtype)
    ours = quantize_nf4(weight, backend="triton")
    reference = quantize_nf4(weight.cpu(), backend="torch")
    for name, part in reference.parts.items():
        assert torch.equal(ours.parts[name].cpu(), part), name
    if dtype == torch.bfloat16 and bitsandbytes() is not None:
        assert torch.equal(ours.codes, their_quantize(weight)[0].flatten())
    exact = dequantize_nf4(ours, torch.float32, backend="torch").double()
    assert torch.equal(dequantize_nf4(ours, backend="triton"), exact.to(dtype))
    # The last place of 16 bits; in fp32 the sums' own rounding is larger than that.
    allowed = max(torch.finfo(dtype).eps, 1e-5)
    for rows in VALUE_ROWS:
        x = torch.randn(rows, shape[1], device=DEVICE).to(dtype).requires_grad_()
        y = nf4_linear(x, ours, backend="triton")
        gradient = torch.randn_like(y)
        (grad_x,) = torch.autograd.grad(y, x, gradient)
        assert relative_error(y, x.double() @ exact.T) <= allowed, rows
        assert relative_error(grad_x, gradient.double() @ exact) <= allowed, rows


class Operation(NamedTuple):
    """A function to call, two sets of inputs, and the error allowed relative to the largest."""

    function: Callable[..., list[Tensor]]
    first: list[Tensor]
    second: list[Tensor]
    tolerance: float


def operations() -> dict[str, Operation]:
    """Returns the public functions, as functions of tensors."""
    weights = [torch.randn(SHAPE, device=DEVICE).bfloat16() for _ in range(2)]

    def quantize(weight: Tensor) -> list[Tensor]:
        return list(quantize_nf4(weight, backend="triton").parts.values())

    parts = [quantize(weight) for weight in weights]

    def nf4(parts: Sequence[Tensor]) -> NF4Tensor:
        return NF4Tensor.from_parts(parts, SHAPE, torch.bfloat16, 64, 256)

    def dequantize(*parts: Tensor) -> list[Tensor]:
        return [dequantize_nf4(nf4(parts), backend="triton")]

    def product(x: Tensor, *parts: Tensor) -> list[Tensor]:
        return [nf4_linear(x, nf4(parts), backend="triton")]

    found = {
        "quantize": Operation(quantize, weights[:1], weights[1:], 0),
        "dequantize": Operation(dequantize, parts[0], parts[1], 0),
    }
    for rows in GRAPH_ROWS:
        xs = [torch.randn(rows, SHAPE[1], device=DEVICE).bfloat16() for _ in range(2)]
        first, second = ([x.requires_grad_(), *p] for x, p in zip(xs, parts, strict=True))
        # torch's own product may add in another order inside of a graph.
        found[f"product of {rows} rows"] = Operation(product, first, second, 0.01)
    return found


def call(function: Callable[..., list[Tensor]], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Returns the outputs, and gradients for inputs that want one, from the outputs themselves."""
    outputs = function(*inputs)
    leaves = [tensor for tensor in inputs if tensor.requires_grad]
    if not leaves:
        return outputs
    outgoing = [output.detach() for output in outputs]
    return [*outgoing, *torch.autograd.grad(outputs, leaves, outgoing)]


def copies(inputs: Sequence[Tensor], device: torch.device | None = None) -> list[Tensor]:
    """Returns inputs of our own, on their device or another."""
    return [
        tensor.detach().to(device or tensor.device, copy=True).requires_grad_(tensor.requires_grad)
        for tensor in inputs
    ]


@torch.no_grad()
def overwrite(inputs: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Sets inputs = values, in the same memory."""
    for tensor, value in zip(inputs, values, strict=True):
        tensor.copy_(value)


def on_a_side_stream(operation: Operation) -> list[Tensor]:
    """Returns what another stream gives, where the inputs are written only after a long wait."""
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
    """Returns what replays a CUDA graph of the work, and the outputs that it writes each time."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = work()
    return graph.replay, outputs


def in_a_graph(operation: Operation) -> list[Tensor]:
    """Returns what a graph gives, captured with the first inputs, replayed with the second."""
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
    """Returns what torch.compile gives; "reduce-overhead" captures at the second call."""
    torch.compiler.reset()
    function = torch.compile(operation.function, fullgraph=True, mode=mode)
    for inputs in [operation.first] * TIMES:
        call(function, copies(inputs))
    return [tensor.clone() for tensor in call(function, copies(operation.second))]


def on_another_device(operation: Operation) -> list[Tensor]:
    """Returns what the second GPU gives, while the first is the current one."""
    found = call(operation.function, copies(operation.second, OTHER_DEVICE))
    return [tensor.to(operation.second[0].device) for tensor in found]


def count_different(found: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float) -> int:
    """Counts elements that are NaN, or farther apart than tolerance times the largest expected."""
    count = 0
    for a, b in zip(found, expected, strict=True):
        a, b = a.double(), b.double()
        near = (a - b).abs() <= tolerance * b.abs().max()
        count += int(near.logical_not().sum())
    return count


WAYS: dict[str, Callable[[Operation], list[Tensor]]] = {
    "another stream": on_a_side_stream,
    "CUDA graph": in_a_graph,
    "torch.compile": compiled,
    "torch.compile, reduce-overhead": partial(compiled, mode="reduce-overhead"),
    "another device": on_another_device,
}
OPERATIONS = ("quantize", "dequantize", *(f"product of {rows} rows" for rows in GRAPH_ROWS))


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_call_gives_the_same(way: str, name: str) -> None:
    if way == "another device" and torch.cuda.device_count() < 2:
        pytest.skip("needs a second GPU")
    operation = operations()[name]
    expected = call(operation.function, copies(operation.second))
    found = WAYS[way](operation)
    torch.compiler.reset()
    assert count_different(found, expected, operation.tolerance) == 0
