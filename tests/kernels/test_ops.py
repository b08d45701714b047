"""The public functions: their results, gradients, and a plain sentence for bad input."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import kernels.gpu.launch
from kernels import dequantize_nf4, nf4_linear, ops, quantize_nf4
from kernels.cpu.lookup_tables import SMALL
from kernels.reference import dequantize_plainly, quantize_plainly
from tests.kernels.tiny import linear_inputs

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@pytest.mark.parametrize("backend", [None, "torch", "triton"])
@pytest.mark.parametrize("double_quant", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0,), (0, 5), (), (7,), (3, 5, 7), (66, 100)])
def test_any_shape_on_any_backend_follows_the_specification(
    shape: tuple[int, ...], dtype: torch.dtype, double_quant: bool, backend: str | None
) -> None:
    weight = torch.randn(shape).to(dtype)
    q = quantize_nf4(weight, 64, double_quant, backend=backend)
    expected = quantize_plainly(weight, 64, 256 if double_quant else None)
    assert q.parts.keys() == expected.parts.keys()
    for name, part in expected.parts.items():
        assert torch.equal(q.parts[name], part), name
    assert (q.shape, q.dtype) == (shape, dtype)
    for to in (None, *DTYPES):
        back = dequantize_nf4(q, to, backend=backend)
        assert back.dtype == (to or dtype)
        assert torch.equal(back, dequantize_plainly(q, to or dtype))


@pytest.mark.parametrize("backend", ["torch", "triton"])
def test_views_are_quantized_as_their_copies(backend: str) -> None:
    weight = torch.randn(40, 60)
    for view in (weight.T, weight[::2, 3:]):
        q, copied = (quantize_nf4(w, backend=backend) for w in (view, view.contiguous()))
        assert torch.equal(q.codes, copied.codes)
        assert torch.equal(dequantize_nf4(q, backend=backend), dequantize_nf4(copied))


def test_weight_that_requires_grad_is_taken_as_it_is() -> None:
    q = quantize_nf4(torch.nn.Linear(8, 8).weight)
    assert not any(part.requires_grad for part in q.parts.values())
    assert not dequantize_nf4(q).requires_grad


@pytest.mark.parametrize("backend", ["torch", "triton"])
@pytest.mark.parametrize(
    ("dtype", "n_rows"), [(t, n) for t, few in ops.FEW_ROWS.items() for n in (1, 3, few, few + 1)]
)
def test_linear_and_its_gradients_are_those_of_the_dequantized_weight(
    dtype: torch.dtype, n_rows: int, backend: str
) -> None:
    _, q, bias, _ = linear_inputs(dtype)
    x, grad = torch.randn(n_rows, 100).to(dtype).requires_grad_(), torch.randn(n_rows, 48).to(dtype)
    y = nf4_linear(x, q, bias, backend=backend)
    found = (y, *torch.autograd.grad(y, (x, bias), grad))
    expected_y = F.linear(x, dequantize_plainly(q, dtype), bias)
    expected = (expected_y, *torch.autograd.grad(expected_y, (x, bias), grad))
    # The kernel may add in another order, and scale after adding.
    close = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}[dtype]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=close, atol=10 * close)


def test_gradients_are_the_slopes() -> None:
    x, q, bias, grad = linear_inputs()
    y = nf4_linear(x, q, bias)
    grads = torch.autograd.grad(y, (x, bias), grad)
    for leaf, slope in zip((x, bias), grads, strict=True):
        step = torch.zeros_like(leaf).flatten()
        step[5] = 2.0  # the function is linear: any step will do
        step = step.view_as(leaf)
        ends = [
            nf4_linear(
                x + sign * step if leaf is x else x, q, bias + sign * step if leaf is bias else bias
            )
            for sign in (1, -1)
        ]
        rise = ((ends[0] - ends[1]) * grad).sum() / 4
        torch.testing.assert_close(slope.flatten()[5], rise, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("dtype", "n_rows"), [(t, n) for t, few in ops.FEW_ROWS.items() for n in (1, few, few + 1)]
)
def test_few_rows_are_multiplied_with_the_packed_weight(
    dtype: torch.dtype, n_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dequantized = []

    def count(*arguments: object) -> Tensor:
        dequantized.append(n_rows)
        return dequantize(*arguments)

    dequantize = kernels.gpu.launch.dequantize
    monkeypatch.setattr(kernels.gpu.launch, "dequantize", count)
    x, weight = torch.randn(n_rows, 64, dtype=dtype), torch.randn(16, 64, dtype=dtype)
    nf4_linear(x, quantize_nf4(weight), backend="triton")
    assert bool(dequantized) == (n_rows > ops.FEW_ROWS[dtype])


def test_only_the_gradients_asked_for_are_computed() -> None:
    x, q, bias, grad = linear_inputs()
    nf4_linear(x.detach(), q, bias).backward(grad)
    torch.testing.assert_close(bias.grad, grad.sum(dim=(0, 1)))
    nf4_linear(x, q).backward(grad)
    assert x.grad is not None
    assert not nf4_linear(x.detach(), q, bias.detach()).requires_grad


def test_only_four_bits_a_weight_are_saved_for_backward() -> None:
    q = quantize_nf4(torch.randn(256, 512))
    x = torch.randn(64, 512, requires_grad=True)
    saved: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        nf4_linear(x, q, torch.zeros(256, requires_grad=True))
    assert sum(tensor.nbytes for tensor in saved) == q.nbytes
    assert {tensor.data_ptr() for tensor in saved} == {part.data_ptr() for part in q.parts.values()}


@pytest.mark.parametrize("backend", ["torch", "triton"])
@pytest.mark.parametrize("rows", [1, 3])
def test_results_may_be_changed_in_place(rows: int, backend: str) -> None:
    _, q, bias, _ = linear_inputs()
    x = torch.randn(2, rows, 100, requires_grad=True)
    y = nf4_linear(x, q, bias, backend=backend)
    more = torch.ones_like(y, requires_grad=True)
    y += more
    y.sum().backward()
    assert torch.equal(more.grad, torch.ones_like(more))
    for n in (100,) if backend == "triton" else (100, SMALL + 1):  # that many takes it seconds
        with torch.no_grad():
            weight = dequantize_nf4(quantize_nf4(torch.ones(n), backend=backend), backend=backend)
        weight += torch.ones(n, requires_grad=True)
        assert weight.requires_grad


DIGEST = """
import hashlib, torch
DEFAULTS
from kernels import dequantize_nf4, quantize_nf4
from kernels.nf4 import DYNAMIC_MAP, LEVELS, THRESHOLDS
x = torch.randn(8192, dtype=torch.float32, device="cpu", generator=torch.Generator().manual_seed(1))
tensors = [DYNAMIC_MAP, LEVELS, THRESHOLDS]
for backend in ("torch", "triton"):
    for double_quant in (True, False):
        q = quantize_nf4(x, double_quant=double_quant, backend=backend)
        tensors += [*q.parts.values(), dequantize_nf4(q, backend=backend)]
print(hashlib.sha256(b"".join(t.numpy().tobytes() for t in tensors)).hexdigest())
"""


def test_what_torch_makes_new_tensors_of_changes_nothing() -> None:
    """transformers sets the default dtype while it loads a model."""
    changed = "torch.set_default_device('meta'); torch.set_default_dtype(torch.bfloat16)"
    with contextlib.redirect_stdout(io.StringIO()) as expected:
        exec(DIGEST.replace("DEFAULTS", ""), {})
    found = subprocess.run(
        [sys.executable, "-c", DIGEST.replace("DEFAULTS", changed)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert len(found.stdout) == 65
    assert found.stdout == expected.getvalue()


@pytest.mark.parametrize("shape", [(100,), (0, 100), (2, 0, 100), (1, 1, 5, 100)])
def test_rows_may_come_in_any_shape(shape: tuple[int, ...]) -> None:
    _, q, bias, _ = linear_inputs()
    x = torch.randn(shape, requires_grad=True)
    y = nf4_linear(x, q, bias)
    torch.testing.assert_close(y, F.linear(x, dequantize_nf4(q), bias))
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == shape


def test_layer_without_inputs_or_outputs() -> None:
    for n_out, n_in in ((0, 8), (8, 0)):
        x = torch.randn(3, n_in, requires_grad=True)
        bias = torch.randn(n_out, requires_grad=True)
        y = nf4_linear(x, quantize_nf4(torch.randn(n_out, n_in)), bias)
        assert torch.equal(y, bias.expand(3, n_out))
        y.sum().backward()
        assert torch.equal(x.grad, torch.zeros(3, n_in))
        assert torch.equal(bias.grad, torch.full((n_out,), 3.0))


def test_under_autocast_its_dtype_is_taken() -> None:
    x, q, bias, _ = linear_inputs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = nf4_linear(x, q, bias)
        expected = F.linear(x, dequantize_nf4(q, torch.bfloat16), bias)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y, expected)
    y.float().sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.float32


# Bad input


@pytest.mark.parametrize("backend", ["torch", "triton"])
@pytest.mark.parametrize("double_quant", [True, False])
@pytest.mark.parametrize("bad", ["nan", "inf", "-inf"])
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # the interpreter's
def test_what_is_not_finite_is_named(bad: str, double_quant: bool, backend: str) -> None:
    weight = torch.randn(20, 30)
    weight[3, 17] = float(bad)
    with pytest.raises(ValueError, match=rf"weight\[3, 17\] is {bad}; NF4 can hold finite numbers"):
        quantize_nf4(weight, double_quant=double_quant, backend=backend)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int8, torch.complex64, torch.bool])
def test_other_dtypes_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match="weight must be float32, float16 or bfloat16, got torch"):
        quantize_nf4(torch.zeros(4, dtype=dtype))
    with pytest.raises(TypeError, match="dtype must be float32, float16 or bfloat16, got torch"):
        dequantize_nf4(quantize_nf4(torch.zeros(4)), dtype)
    with pytest.raises(TypeError, match=r"dtype must be float32, .* got 'float32'"):
        dequantize_nf4(quantize_nf4(torch.zeros(4)), "float32")  # type: ignore[arg-type]


X, BIAS = torch.zeros(2, 100), torch.zeros(48)
NESTED = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.jagged)
ARRAY, PACKED = np.zeros((48, 100), np.float32), quantize_nf4(torch.zeros(48, 100))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quantize_nf4(ARRAY), "weight must be the Tensor that torch.as_tensor .* ndarray"),
        (lambda: quantize_nf4([1.0]), "weight must be the Tensor .* got list"),
        (lambda: dequantize_nf4(X), "q must be the NF4Tensor that quantize_nf4 makes, got Tensor"),
        (lambda: nf4_linear(X, BIAS), "q must be the NF4Tensor .* got Tensor"),
        (lambda: nf4_linear(PACKED, X), "q must be the NF4Tensor .* got Tensor"),
        (lambda: nf4_linear(ARRAY, PACKED), "x must be the Tensor .* got ndarray"),
        (lambda: nf4_linear([1.0], PACKED), "x must be the Tensor .* got list"),
        (lambda: nf4_linear(X, PACKED, ARRAY[:, 0]), "bias must be the Tensor .* got ndarray"),
        (lambda: quantize_nf4(X.to_sparse()), "weight must be a dense .*sparse_coo; convert .*"),
        (lambda: nf4_linear(X.to_mkldnn(), PACKED), r"x must be a dense .*mkldnn; .*to_dense\(\)"),
        (lambda: quantize_nf4(NESTED), "weight must be a dense tensor, got a nested one; take .*"),
    ],
)
def test_what_is_not_a_tensor_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=f"^{message}$"):
        call()


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_backend_that_does_not_exist_is_refused(device: str) -> None:
    x, q = X.to(device), PACKED.to(device)
    message = r"""^backend must be "triton", "torch" or None, got 'cuda'$"""
    for call in (quantize_nf4, lambda x, backend: nf4_linear(x, q, backend=backend)):
        with pytest.raises(ValueError, match=message):
            call(x, backend="cuda")
    with pytest.raises(ValueError, match=message):
        dequantize_nf4(q, backend="cuda")


@pytest.mark.parametrize("size", [0, 16, 48, 8192, -64, 64.0, None])
def test_block_sizes_are_powers_of_two_in_range(size: Any) -> None:
    with pytest.raises(ValueError, match=f"^block_size must be a power of two .* got {size}$"):
        quantize_nf4(torch.zeros(4), block_size=size)
    with pytest.raises(ValueError, match=f"^nested_block_size must be .* got {size}$"):
        quantize_nf4(torch.zeros(4), nested_block_size=size)
    quantize_nf4(torch.zeros(4), double_quant=False, nested_block_size=size)  # not used then


@pytest.mark.parametrize(
    ("x", "bias", "error", "message"),
    [
        (X[:, :96], None, ValueError, r"x must be \[..., 100\] for .* \[48, 100\], got \[2, 96\]"),
        (torch.tensor(1.0), None, ValueError, r"x must be \[..., 100\] .* got \[\]"),
        (X, BIAS[:47], ValueError, r"bias must be \[48\] for .* \[48, 100\], got \[47\]"),
        (X, BIAS[:, None], ValueError, r"bias must be \[48\] .* got \[48, 1\]"),
        (X.to("meta"), None, ValueError, "x is on meta and the weight on cpu; move one"),
        (X, BIAS.to("meta"), ValueError, "bias is on meta and the weight on cpu; move one"),
        (X.half(), None, TypeError, "x is torch.float16 and the weight was torch.float32"),
        (X, BIAS.bfloat16(), TypeError, "bias is torch.bfloat16 and the weight was torch.float32"),
    ],
)
def test_linear_says_what_does_not_fit(
    x: Tensor, bias: Tensor | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        nf4_linear(x, quantize_nf4(torch.zeros(48, 100)), bias)


def test_linear_wants_a_matrix() -> None:
    with pytest.raises(ValueError, match=r"needs a weight \[out, in\], got one of shape \[2, 3, 4"):
        nf4_linear(torch.zeros(4), quantize_nf4(torch.zeros(2, 3, 4)))
