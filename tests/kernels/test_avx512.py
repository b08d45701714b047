"""The loop in C stays inside its arguments, is right, and is done without where it has to be."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from kernels import avx512, dequantize_nf4, quantize_nf4
from kernels.nf4 import DTYPES, NF4Tensor
from kernels.reference import dequantize_plainly, dequantize_with_tables

needs_avx512 = pytest.mark.skipif(
    not avx512.usable(), reason="needs a processor with AVX-512, and a C compiler"
)


def random_nf4(n: int, block_size: int, nested_block_size: int | None) -> NF4Tensor:
    """Any codes with any scales."""
    codes = torch.randint(256, (math.ceil(n / 2),), dtype=torch.uint8)
    size, n_blocks = torch.Size([n]), math.ceil(n / block_size)
    if nested_block_size is None:
        return NF4Tensor(codes, size, torch.float32, block_size, absmax=torch.rand(n_blocks))
    return NF4Tensor(
        codes,
        size,
        torch.float32,
        block_size,
        absmax_codes=torch.randint(256, (n_blocks,), dtype=torch.uint8),
        absmax_scale=torch.rand(math.ceil(n_blocks / nested_block_size)),
        absmax_offset=torch.rand(()),
        nested_block_size=nested_block_size,
    )


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The compiler is asked again, in the test and after it."""
    avx512.compiled.cache_clear()
    yield
    monkeypatch.undo()
    avx512.compiled.cache_clear()


@needs_avx512
@pytest.mark.parametrize("nested_block_size", [None, 32])
@pytest.mark.parametrize("threads", [1, 3])
def test_threads_share_the_blocks_and_give_the_bits_of_the_plain_path(
    nested_block_size: int | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    for n in (avx512.MANY - 1, avx512.MANY, avx512.MANY + 64, 3 * avx512.MANY + 4097):
        q = random_nf4(n, 64, nested_block_size)
        for dtype in DTYPES:
            out = torch.full((n,), torch.nan, dtype=dtype)
            avx512.dequantize(q, out)
            assert torch.equal(out, dequantize_plainly(q, dtype))


@needs_avx512
def test_a_scale_of_a_scale_is_rounded_twice() -> None:
    q = random_nf4(2**18, 32, 32)
    assert q.absmax_codes is not None
    assert q.absmax_offset is not None
    q.codes.fill_(0xFF)  # the level 1: what comes out is the scale
    out = torch.empty(q.shape)
    avx512.dequantize(q, out)
    assert torch.equal(out, dequantize_plainly(q, torch.float32))
    # Rounding once, as a fused multiply-add does, gives other numbers.
    scale = q.parts["absmax_scale"].repeat_interleave(32).double()
    values = torch.tensor([avx512.DYNAMIC_MAP[i] for i in q.absmax_codes.tolist()])
    once = (values.double() * scale + q.absmax_offset.double()).float()
    assert (once != out[::32]).any()


@needs_avx512
@pytest.mark.parametrize("dtype", DTYPES)
def test_scales_of_every_kind_are_rounded_as_torch_rounds(dtype: torch.dtype) -> None:
    bits = torch.randint(-(2**31), 2**31, (4096,), dtype=torch.int32)  # denormal, negative, NaN too
    special = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan, 1e-45, 65519.99, 3.4e38])
    absmax = torch.cat([bits.view(torch.float32), special])
    codes = torch.randint(256, (16 * len(absmax),), dtype=torch.uint8)
    q = NF4Tensor(codes, torch.Size([32 * len(absmax)]), dtype, 32, absmax=absmax)
    out = torch.empty(q.shape, dtype=dtype)
    avx512.dequantize(q, out)
    expected = dequantize_plainly(q, dtype)
    torch.testing.assert_close(out, expected, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(out.signbit()[~out.isnan()], expected.signbit()[~out.isnan()])
    assert out.isnan().any()
    assert not out.isnan().all()


GUARDED = """
import ctypes, math, mmap, sys
import torch
from kernels import avx512
from kernels.nf4 import DTYPES, NF4Tensor
from kernels.reference import dequantize_plainly
from tests.kernels.test_avx512 import random_nf4

libc = ctypes.CDLL(None, use_errno=True)
PAGE, kept = mmap.PAGESIZE, []

def at_the_end(tensor, shift=0):
    '''The same numbers just in front of memory that nobody may touch, or `shift` bytes before.'''
    size = (tensor.nbytes + shift + PAGE - 1) // PAGE * PAGE
    memory = mmap.mmap(-1, size + PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert libc.mprotect(ctypes.c_void_p(start + size), PAGE, 0) == 0
    kept.append(memory)
    raw = torch.frombuffer(memory, dtype=torch.uint8, count=size)
    part = raw[size - shift - tensor.nbytes :][: tensor.nbytes].view(tensor.dtype)
    part.copy_(tensor.flatten())
    return part.view(tensor.shape)

if sys.argv[1:] == ["touch"]:
    part = at_the_end(torch.zeros(4))
    ctypes.c_char.from_address(part.data_ptr() + part.nbytes).value
for n in [*range(1, 100), 4095, 4096, 4097]:
    for nested in (None, 32):
        q = random_nf4(n, 32 if n % 2 else 64, nested)
        parts = {name: at_the_end(part) for name, part in q.parts.items()}
        q = NF4Tensor(shape=q.shape, dtype=q.dtype, block_size=q.block_size,
                      nested_block_size=nested, **parts)
        for dtype in DTYPES:
            expected = dequantize_plainly(q, dtype)
            out = at_the_end(torch.full((n,), torch.nan, dtype=dtype))
            avx512.dequantize(q, out)
            assert torch.equal(out, expected), (n, nested, dtype)
print("stayed inside")
"""


@needs_avx512
@pytest.mark.skipif(sys.platform != "linux", reason="asks the C library for pages as Linux's does")
def test_nothing_behind_the_parts_is_read_and_nothing_behind_the_result_written() -> None:
    root = Path(__file__).parents[2]
    run = [sys.executable, "-c", GUARDED]
    done = subprocess.run(run, cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout == "stayed inside\n", done.stderr
    touched = subprocess.run([*run, "touch"], cwd=root, capture_output=True, text=True, check=False)
    assert touched.returncode < 0  # ended by a signal: the pages are really guarded
    assert not touched.stdout


@needs_avx512
def test_parts_that_are_strided_views_are_read_as_they_stand() -> None:
    q = random_nf4(1000, 32, None)
    codes, absmax = (part.repeat_interleave(2)[::2] for part in (q.codes, q.parts["absmax"]))
    strided = NF4Tensor(codes, q.shape, q.dtype, q.block_size, absmax=absmax)
    assert not codes.is_contiguous()
    assert torch.equal(dequantize_nf4(strided), dequantize_plainly(q, q.dtype))


@needs_avx512
def test_the_source_compiles_without_a_warning(tmp_path: Path) -> None:
    strict = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]
    command = ["cc", *avx512.FLAGS, *strict, str(avx512.SOURCE), "-o", str(tmp_path / "library")]
    subprocess.run(command, check=True)


@needs_avx512
def test_the_compiler_is_the_one_in_cc_and_leaves_nothing_behind(
    anew: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    compiler = tmp_path / "compiler"
    compiler.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec cc "$@"\n')
    compiler.chmod(0o755)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("CC", f"{compiler} -O1")
    for _ in range(2):
        assert avx512.usable()
    assert len(log.read_text().splitlines()) == 1
    assert log.read_text().startswith("-O1 ")
    assert not list(folder.iterdir())


@pytest.mark.parametrize("missing", ["compiler", "quote", "success", "library", "AVX-512"])
def test_without_it_the_tables_do_the_work(
    missing: str, anew: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing == "AVX-512":
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
        monkeypatch.setattr(subprocess, "run", None)  # not even asked
    else:
        cc = {"compiler": "/no/such/cc", "quote": '"cc', "success": "false", "library": "true"}
        monkeypatch.setenv("CC", cc[missing])
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert not avx512.usable()
    q = quantize_nf4(torch.randn(100, 100))
    assert torch.equal(dequantize_nf4(q), dequantize_plainly(q, torch.float32))


@needs_avx512
def test_who_looks_on_sees_torchs_operations() -> None:
    q = quantize_nf4(torch.randn(64, 64))

    def add(x: Tensor) -> Tensor:
        return x + dequantize_nf4(q)

    x = torch.randn(64, 64)
    assert torch.equal(make_fx(add)(torch.zeros(64, 64))(x), x + dequantize_with_tables(q, x.dtype))
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert not avx512.usable()
        assert dequantize_nf4(q).shape == (64, 64)
    assert avx512.usable()
