"""The public functions under torch.compile and torch.library, and on shapes without numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
import torch
from functorch.compile import make_boxed_func
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd
from torch._subclasses.fake_tensor import FakeTensorMode

from kernels import NF4Tensor, dequantize_nf4, nf4_linear, ops, quantize_nf4
from tests.kernels.tiny import linear_inputs


def test_compiled_without_a_break_and_with_the_same_results() -> None:
    x, q, bias, grad = linear_inputs()

    def layer(x: Tensor, q: NF4Tensor, bias: Tensor) -> Tensor:
        return nf4_linear(x, q, bias).relu() + dequantize_nf4(q).sum()

    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    found, expected = compiled(x, q, bias), layer(x, q, bias)
    torch.testing.assert_close(found, expected)
    for a, b in zip(
        torch.autograd.grad(found, (x, bias), grad),
        torch.autograd.grad(expected, (x, bias), grad),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("double_quant", [True, False])
@pytest.mark.parametrize("grad", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_a_frozen_layer_is_compiled_without_a_break_in_inference_too(
    grad: Callable[[], contextlib.AbstractContextManager], double_quant: bool
) -> None:
    torch.compiler.reset()
    q = quantize_nf4(torch.randn(8, 64), double_quant=double_quant)
    compiled = torch.compile(lambda x: nf4_linear(x, q), fullgraph=True, backend="aot_eager")
    with grad():
        for rows in (2, 3):
            x = torch.randn(rows, 64)
            assert torch.equal(compiled(x), nf4_linear(x, q))


def test_a_compiled_graph_calls_the_operators_forward_and_backward() -> None:
    x, q, _, grad = linear_inputs()
    called: list[set[str]] = []

    def note(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        called.append({str(node.target) for node in graph.graph.nodes})
        return make_boxed_func(graph.forward)

    compiled = torch.compile(nf4_linear, fullgraph=True, backend=aot_autograd(fw_compiler=note))
    compiled(x, q).backward(grad)
    assert ["kernels.nf4_linear.default" in names for names in called] == [True, False]
    assert ["kernels.dequantize_nf4.default" in names for names in called] == [False, True]


def test_quantizing_is_compiled_without_a_break() -> None:
    compiled = torch.compile(
        lambda w: dequantize_nf4(quantize_nf4(w)), fullgraph=True, backend="aot_eager"
    )
    for shape in ((30, 50), (31, 52), (100,), (200,)):  # from the second on, sizes are symbols
        weight = torch.randn(shape)
        assert torch.equal(compiled(weight), dequantize_nf4(quantize_nf4(weight)))


def test_operators_keep_what_they_promise_torch() -> None:
    x, q, bias, _ = linear_inputs()
    parts, rest = list(q.parts.values()), (list(q.shape), 64, 256)
    torch.library.opcheck(ops.quantize_op, (torch.randn(9, 11), 64, None, None))
    torch.library.opcheck(ops.dequantize_op, (parts, *rest, torch.float16, None))
    torch.library.opcheck(ops.linear_op, (x.detach(), parts, bias.detach(), *rest, None))


def test_offsets_beyond_31_bits_in_shapes_without_memory() -> None:
    n = 2**31 + 4097
    q = quantize_nf4(torch.empty(n, dtype=torch.bfloat16, device="meta"))
    assert q.codes.shape == (2**30 + 2049,)
    assert q.parts["absmax_codes"].shape == (2**25 + 65,)
    assert q.parts["absmax_scale"].shape == (2**17 + 1,)
    assert dequantize_nf4(q).shape == (n,)


@pytest.mark.parametrize("backend", [None, "triton"])
@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("mode", [FakeTensorMode, contextlib.nullcontext])
def test_linear_without_numbers_has_the_shapes_of_one_with(
    mode: Callable[[], contextlib.AbstractContextManager], device: str, backend: str | None
) -> None:
    with mode(), torch.device(device):
        x, q, bias, grad = linear_inputs(torch.bfloat16)
        y = nf4_linear(x, q, bias, backend=backend)
        y.backward(grad)
    assert x.grad is not None
    assert bias.grad is not None
    for found, like in ((y, grad), (x.grad, x), (bias.grad, bias)):
        assert (found.shape, found.dtype, found.device) == (like.shape, like.dtype, like.device)
