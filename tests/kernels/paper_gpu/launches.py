"""Launches kernels on the GPUs of gpus.py; tests/kernels/gpu/test_launch.py runs this file.

    python -m tests.kernels.paper_gpu.launches   # JSON: what is wrong with each, "" for nothing

TRITON_INTERPRET must not be set: kernels are compiled here.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kernels import dequantize_nf4, nf4_linear, ops, quantize_nf4
from kernels.gpu.launch import comparison_tables, lookup_tables
from kernels.reference import dequantize_plainly, quantize_plainly
from tests.kernels.paper_gpu.gpus import PaperGPUs

GPU = torch.device("cuda", 1)
HOST = torch.device("cpu")
CASES: dict[str, Callable[[PaperGPUs], None]] = {}


def case(function: Callable[[PaperGPUs], None]) -> Callable[[PaperGPUs], None]:
    CASES[function.__name__] = function
    return function


def random(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def assert_where(gpus: PaperGPUs, *kernels: str) -> None:
    """Asserts that exactly these kernels were launched since, on cuda:1's current stream.

    cuda:1 is not the current device.
    """
    assert [launch.kernel for launch in gpus.launches] == [f"{name}_kernel" for name in kernels]
    assert {(launch.device, launch.stream) for launch in gpus.launches} == {(1, gpus.streams[1])}
    assert gpus.current == 0
    gpus.launches.clear()


@case
def quantize_and_dequantize_give_the_bits_of_the_reference(gpus: PaperGPUs) -> None:
    tail = ("quantize", "quantize_scales")
    for shape, dtype, block_size, nested, launched in [
        ((1,), torch.float32, 64, 256, tail),
        ((3, 7, 11), torch.float16, 32, 32, tail),
        ((64, 64), torch.bfloat16, 64, 256, ("quantize_fast", "quantize_scales")),
        ((4096 + 129,), torch.bfloat16, 64, None, ("quantize_fast", "quantize")),
        ((2, 4100), torch.float32, 128, 256, ("quantize_fast", *tail)),
    ]:
        weight = random(*shape, dtype=dtype)
        q = quantize_nf4(weight.to(GPU), block_size, nested is not None, nested or 256)
        assert_where(gpus, *launched)
        expected = quantize_plainly(weight, block_size, nested)
        for name, part in expected.parts.items():
            assert torch.equal(q.parts[name].to(HOST), part), (shape, name)
        back = dequantize_nf4(q)
        assert_where(gpus, "dequantize_fast")
        assert torch.equal(back.to(HOST), dequantize_plainly(expected, dtype)), shape


@case
def views_that_begin_anywhere_take_the_plain_kernels(gpus: PaperGPUs) -> None:
    weight = random(4200, dtype=torch.bfloat16)
    q = quantize_nf4(weight.to(GPU)[1:], double_quant=False)
    assert_where(gpus, "quantize")
    expected = quantize_plainly(weight[1:], 64, None)
    assert torch.equal(q.codes.to(HOST), expected.codes)
    moved = torch.cat([q.codes[:1], q.codes])[1:]
    back = dequantize_nf4(replace(q, codes=moved))
    assert_where(gpus, "dequantize")
    assert torch.equal(back.to(HOST), dequantize_plainly(expected, torch.bfloat16))
    matrix = quantize_nf4(weight[:1024].view(16, 64).to(GPU))
    gpus.launches.clear()
    nf4_linear(weight.to(GPU)[1:65], matrix)
    assert_where(gpus, "matmul")


LAYERS = [
    (1, 1, 32, torch.bfloat16, ("matvec_fast",)),
    (1, 6, 96, torch.float16, ("matvec_fast",)),
    (3, 5, 64, torch.float32, ("matvec_fast",)),
    (3, 40, 96, torch.bfloat16, ("matmul_fast",)),
    (1, 5, 33, torch.float32, ("matmul",)),
    (40, 8, 64, torch.bfloat16, ("dequantize_fast",)),
    (2, 9, 64, torch.float32, ("matvec_fast",)),
]


@case
def products_are_those_of_the_dequantized_weight(gpus: PaperGPUs) -> None:
    for rows, n_out, n_in, dtype, launched in LAYERS:
        weight, x, bias = random(n_out, n_in, dtype=dtype), random(rows, n_in), random(n_out)
        x, bias = x.to(dtype), bias.to(dtype)
        q = quantize_nf4(weight.to(GPU))
        gpus.launches.clear()
        y = nf4_linear(x.to(GPU), q, bias.to(GPU))
        assert_where(gpus, *launched)
        exact = dequantize_plainly(quantize_plainly(weight, 64, 256), torch.float32).double()
        expected = F.linear(x.double(), exact, bias.double())
        error = (y.to(HOST).double() - expected).norm() / expected.norm()
        allowed = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 6e-3}[dtype]
        assert error < allowed, (rows, n_out, n_in, dtype, error)


@case
def gradients_dequantize_on_the_same_stream(gpus: PaperGPUs) -> None:
    weight, grad = random(40, 64), random(3, 40)
    q = quantize_nf4(weight.to(GPU))
    gpus.launches.clear()
    gpus.streams[1] = 33

    class Context:
        settings = (q.shape, 64, 256, None)
        saved_tensors = tuple(q.parts.values())
        needs_input_grad = (True, True)

    found = ops.FrozenLinear.backward(Context, grad.to(GPU))
    assert_where(gpus, "dequantize_fast")
    expected = grad @ dequantize_plainly(quantize_plainly(weight, 64, 256), torch.float32)
    torch.testing.assert_close(found[0].to(HOST), expected)


@case
def a_captured_graph_computes_anew_when_it_is_replayed(gpus: PaperGPUs) -> None:
    one_a_kernel = {launched: layer for *layer, launched in LAYERS}
    for rows, n_out, n_in, dtype in one_a_kernel.values():
        weight, x = (random(*shape).to(dtype).to(GPU) for shape in ((n_out, n_in), (rows, n_in)))

        def work(weight: Tensor = weight, x: Tensor = x) -> list[Tensor]:
            q = quantize_nf4(weight)
            return [*q.parts.values(), dequantize_nf4(q), nf4_linear(x, q, x.new_ones(len(weight)))]

        work()  # compiles the kernels
        with gpus.capture() as replay:
            captured = work()
        weight.copy_(random(n_out, n_in, seed=1).to(GPU))
        x.copy_(random(rows, n_in, seed=1).to(GPU))
        replay()
        for found, expected in zip(captured, work(), strict=True):
            assert torch.equal(found.to(HOST), expected.to(HOST)), (rows, n_out, n_in)


@case
def a_graph_cannot_begin_with_the_first_call(gpus: PaperGPUs) -> None:
    for work in (quantize_nf4, dequantize_nf4):
        q = quantize_nf4(random(64).to(GPU))
        given = q if work is dequantize_nf4 else random(64).to(GPU)
        lookup_tables.cache_clear()
        comparison_tables.cache_clear()
        with (
            pytest.raises(RuntimeError, match="call it once before you capture it"),
            gpus.capture(),
        ):
            work(given)
        work(given)


@case
def older_gpus_multiply_several_rows_in_the_plain_kernel(gpus: PaperGPUs) -> None:
    torch.cuda.get_device_capability = lambda device: (7, 5)  # type: ignore[assignment]
    q = quantize_nf4(random(40, 96, dtype=torch.float16).to(GPU))
    gpus.launches.clear()
    nf4_linear(random(3, 96).half().to(GPU), q)
    assert_where(gpus, "matmul")


def attempt(work: Callable[[PaperGPUs], None]) -> str:
    """Returns what went wrong, "" if nothing did."""
    try:
        with PaperGPUs() as gpus:
            work(gpus)
    except Exception:
        return traceback.format_exc()
    return ""


if __name__ == "__main__":
    # The functions without torch's dispatcher, which would see that the tensors are on a CPU.
    for name in ("quantize_op", "dequantize_op", "linear_op"):
        operator: Any = getattr(ops, name)
        setattr(ops, name, operator._init_fn)
    chosen = sys.argv[1:] or list(CASES)
    print(json.dumps({name: attempt(CASES[name]) for name in chosen}))
