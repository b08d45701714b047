"""The loops in C stay inside their arguments and are right; without them tables do the work."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from kernels import dequantize_nf4, ops, quantize_nf4
from kernels.checks import BLOCK_SIZES, DTYPES
from kernels.cpu import avx512
from kernels.cpu import lookup_tables as cpu
from kernels.nf4 import DYNAMIC_MAP, MIDPOINTS, NF4Tensor
from kernels.reference import dequantize_plainly, mean, quantize_plainly, quantize_scales
from tests.kernels.tiny import random_nf4

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")
needs_avx512 = pytest.mark.skipif(
    not avx512.usable(CPU), reason="needs a processor with AVX-512, and a C compiler"
)


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets the compiler be called again, in the test and after it."""
    avx512.compiled.cache_clear()
    cpu.machine_code_gain.cache_clear()
    yield
    monkeypatch.undo()
    avx512.compiled.cache_clear()
    cpu.machine_code_gain.cache_clear()


# What it computes; test_lookup_tables.py has more.


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
            assert torch.equal(dequantize_nf4(q, dtype), dequantize_plainly(q, dtype))
            x = torch.randn(n).to(dtype)
            ours, plain = quantize_nf4(x, double_quant=False), quantize_plainly(x, 64, None)
            assert torch.equal(ours.codes, plain.codes)
            assert torch.equal(ours.parts["absmax"], plain.parts["absmax"])
        if nested_block_size is not None:
            assert_scales_are_quantized_plainly(torch.rand(n), nested_block_size)


def assert_scales_are_quantized_plainly(absmax: Tensor, block_size: int) -> None:
    codes, scale, offset = quantize_scales(absmax, block_size)
    found = torch.full_like(codes, 99), torch.full_like(scale, torch.nan)
    avx512.quantize_scales(absmax, block_size, offset, *found[::-1])
    assert torch.equal(found[0], codes)
    assert torch.equal(found[1], scale)


@needs_avx512
@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_scales_get_the_codes_of_the_plain_path(block_size: int) -> None:
    around = MIDPOINTS.view(torch.int32)[:, None] + torch.arange(-3, 4, dtype=torch.int32)
    y = around.flatten().view(torch.float32)  # ties, and what is next to them
    rows = torch.nn.functional.pad(y, (0, -len(y) % (block_size - 2))).view(-1, block_size - 2)
    ends = torch.tensor([1.0, -1.0]).expand(len(rows), 2)  # the largest of a block is 1, so z is y
    absmax = torch.cat([rows, ends], dim=1).flatten()
    absmax = torch.cat([absmax, -absmax])
    assert mean(absmax) == 0
    assert_scales_are_quantized_plainly(absmax, block_size)
    for n in (0, 1, 15, 16, 17, block_size - 1, block_size, block_size + 1, 3 * block_size + 31):
        for top in (1e-45, 1e-39, 1.0, 3e38):
            assert_scales_are_quantized_plainly(torch.rand(n) * top, block_size)
        assert_scales_are_quantized_plainly(torch.full((n,), 0.7), block_size)


@needs_avx512
def test_a_scale_of_a_scale_is_rounded_twice() -> None:
    q = random_nf4(2**18, 32, 32)
    q.codes.fill_(0xFF)  # the level 1: what comes out is the scale
    out = dequantize_nf4(q)
    assert torch.equal(out, dequantize_plainly(q, torch.float32))
    # Rounding once, as a fused multiply-add does, gives other numbers.
    scale = q.parts["absmax_scale"].repeat_interleave(32).double()
    values = DYNAMIC_MAP[q.parts["absmax_codes"].int()].double()
    once = (values * scale + q.parts["absmax_offset"].double()).float()
    assert (once != out[::32]).any()


@needs_avx512
@pytest.mark.parametrize("dtype", DTYPES)
def test_scales_of_every_kind_are_rounded_as_torch_rounds(dtype: torch.dtype) -> None:
    bits = torch.randint(-(2**31), 2**31, (4096,), dtype=torch.int32)  # denormal, negative, NaN too
    last_nans = torch.tensor([2**31 - 1, -1], dtype=torch.int32)  # rounding up would overflow
    special = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan, 1e-45, 65519.99, 3.4e38])
    absmax = torch.cat([torch.cat([bits, last_nans]).view(torch.float32), special])
    codes = torch.randint(256, (16 * len(absmax),), dtype=torch.uint8)
    q = NF4Tensor(codes, torch.Size([32 * len(absmax)]), dtype, 32, absmax=absmax)
    out, expected = dequantize_nf4(q), dequantize_plainly(q, dtype)
    torch.testing.assert_close(out, expected, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(out.signbit()[~out.isnan()], expected.signbit()[~out.isnan()])
    assert out.isnan().any()
    assert not out.isnan().all()


@needs_avx512
def test_views_are_read_as_what_they_mean() -> None:
    q = random_nf4(1000, 32, None)
    codes, absmax = (part.repeat_interleave(2)[::2] for part in (q.codes, q.parts["absmax"]))
    assert not codes.is_contiguous()
    for scales in (absmax, torch._neg_view(-absmax.contiguous())):
        view = NF4Tensor(codes, q.shape, q.dtype, q.block_size, absmax=scales)
        assert torch.equal(dequantize_nf4(view), dequantize_plainly(q, q.dtype))
    x = torch.randn(1000)
    for view in (x.repeat_interleave(2)[::2], torch._neg_view(-x)):
        assert torch.equal(quantize_nf4(view).codes, quantize_plainly(x, 64, None).codes)


@needs_avx512
def test_no_table_is_asked_where_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.randn(30, 40)
    expected = quantize_plainly(weight, 64, 256)
    for name in ("quantize_with_tables", "quantize_scales", "dequantize_with_tables"):
        monkeypatch.setattr(cpu, name, None)
    q = quantize_nf4(weight)
    assert torch.equal(q.parts["absmax_codes"], expected.parts["absmax_codes"])
    assert torch.equal(dequantize_nf4(q), dequantize_plainly(expected, torch.float32))


# What it touches.

GUARDED = """
import ctypes, mmap, sys
import torch
from kernels.cpu import avx512
from kernels.checks import DTYPES
from kernels.nf4 import NF4Tensor
from kernels.reference import dequantize_plainly, quantize_plainly, quantize_scales
from tests.kernels.tiny import random_nf4

libc, PAGE, kept = ctypes.CDLL(None), mmap.PAGESIZE, []

def at_the_end(tensor):
    '''The same numbers just in front of a page that nobody may touch.'''
    size = (tensor.nbytes + PAGE - 1) // PAGE * PAGE
    memory = mmap.mmap(-1, size + PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert libc.mprotect(ctypes.c_void_p(start + size), PAGE, 0) == 0
    kept.append(memory)
    raw = torch.frombuffer(memory, dtype=torch.uint8, count=size)
    part = raw[size - tensor.nbytes :].view(tensor.dtype)
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
    for dtype in DTYPES:
        x = at_the_end(torch.randn(n).to(dtype))
        plain = quantize_plainly(x, q.block_size, None)
        absmax, codes = at_the_end(-plain.absmax), at_the_end(~plain.codes)
        avx512.quantize(x, q.block_size, absmax, codes)
        assert torch.equal(absmax, plain.absmax) and torch.equal(codes, plain.codes), (n, dtype)
    absmax = at_the_end(torch.rand(n))
    codes, scale, offset = map(at_the_end, quantize_scales(absmax, 32))
    found = at_the_end(~codes), at_the_end(-1 - scale)
    avx512.quantize_scales(absmax, 32, offset, *found[::-1])
    assert torch.equal(found[0], codes) and torch.equal(found[1], scale), n
print("stayed inside")
"""


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@needs_avx512
@pytest.mark.skipif(sys.platform != "linux", reason="guards pages as Linux does")
def test_nothing_behind_an_argument_is_read_or_written() -> None:
    done = run(GUARDED)
    assert done.stdout == "stayed inside\n", done.stderr
    touched = run(GUARDED, "touch")
    assert touched.returncode < 0  # ended by a signal: the pages are really guarded
    assert not touched.stdout


COUNT_THREADS = """
import os, sys, torch
from kernels.cpu import avx512
from tests.kernels.tiny import random_nf4
def dequantize(n):
    return avx512.dequantize, random_nf4(n, 64, None), torch.empty(n)
def quantize(n):
    codes = torch.empty(n, dtype=torch.uint8)
    return avx512.quantize, torch.empty(n), 64, torch.empty(n), codes
def quantize_scales(n):
    codes = torch.empty(n, dtype=torch.uint8)
    return avx512.quantize_scales, torch.empty(n), 256, torch.zeros(()), torch.empty(n), codes
counts = []
for n in (8, avx512.MANY - 1, avx512.MANY):
    torch.set_num_threads(1)  # making the arguments starts none
    function, *arguments = globals()[sys.argv[1]](n)
    torch.set_num_threads(8)
    function(*arguments)
    counts.append(len(os.listdir("/proc/self/task")))
print(counts[1] - counts[0], counts[2] - counts[1])
"""


@needs_avx512
@pytest.mark.skipif(sys.platform != "linux", reason="counts threads as Linux does")
@pytest.mark.parametrize("what", ["dequantize", "quantize", "quantize_scales"])
def test_more_threads_start_where_there_is_much_to_do(what: str) -> None:
    few, many = map(int, run(COUNT_THREADS, what).stdout.split())
    assert few == 0
    assert many > 0


@needs_avx512
def test_a_part_whose_memory_was_freed_is_one_sentence() -> None:
    q = random_nf4(1000, 32, None)
    q.parts["absmax"].untyped_storage().resize_(0)
    with pytest.raises(ValueError, match=r"a tensor \[32\] of an NF4 weight has no memory"):
        dequantize_nf4(q)


# Who looks on sees an operator, or the result.


def add(x: Tensor) -> Tensor:
    return x + dequantize_nf4(Q)


Q = quantize_nf4(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize(
    "transform",
    [
        lambda f, x: make_fx(f)(torch.zeros_like(x))(x),
        lambda f, x: make_fx(f, tracing_mode="fake", _allow_non_fake_inputs=True)(x)(x),
        lambda f, x: make_fx(f, pre_dispatch=True)(torch.zeros_like(x))(x),
        lambda f, x: torch.jit.trace(f, (torch.zeros_like(x),))(x),
        lambda f, x: torch.func.functionalize(f)(x),
        lambda f, x: torch.func.vjp(f, x)[0],
        lambda f, x: torch.func.vmap(f)(x[None])[0],
    ],
    ids=["make_fx", "fake", "pre_dispatch", "jit.trace", "functionalize", "vjp", "vmap"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_transforms_of_torch_see_the_numbers(transform: Callable[..., Tensor]) -> None:
    x = torch.randn(8, 8)
    expected = x + dequantize_plainly(Q, x.dtype)
    assert torch.equal(transform(add, x), expected)


def test_nobody_pays_for_an_operator_that_nobody_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = dequantize_plainly(Q, torch.float32)
    for name in ("quantize_op", "dequantize_op"):
        monkeypatch.setattr(ops, name, None)
    assert torch.equal(dequantize_nf4(Q), expected)
    assert quantize_nf4(expected).shape == (8, 8)


# Where it does not compile.


@needs_avx512
def test_the_source_compiles_without_a_warning(tmp_path: Path) -> None:
    strict = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]
    command = ["cc", *avx512.FLAGS, *strict, str(avx512.SOURCE), "-o", str(tmp_path / "library")]
    subprocess.run(command, check=True)


@needs_avx512
def test_the_compiler_is_the_one_in_cc_and_leaves_nothing_behind(
    anew: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, compiler, folder = (tmp_path / name for name in ("log", "compiler", "temporary"))
    compiler.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec cc "$@"\n')
    compiler.chmod(0o755)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("CC", f"{compiler} -O1")
    for _ in range(2):
        assert avx512.usable(CPU)
    assert len(log.read_text().splitlines()) == 1
    assert log.read_text().startswith("-O1 ")
    assert not list(folder.iterdir())


@needs_avx512
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_a_compiler_for_cpp_compiles_c(anew: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "g++")
    assert avx512.usable(CPU)


LAST = "for file; do :; done"  # $file is then the last argument, the file to write
WITHOUT = {
    "compiler": "/no/such/compiler",
    "closing quote": '"cc',
    "success": "false",
    "permission to run it": "/",
    "library": "true",
    "functions": "cc -fvisibility=hidden",
    "meaning": f"sh -c '{LAST}; echo nonsense > $file'",
    "rest of the library": f"sh -c '{LAST}; head -c 999 /bin/sh > $file'",
    "end": "sh -c 'sleep 60'",
    "end of what it starts": "sh -c 'sleep 60 & sleep 60 & wait'",
}


@pytest.mark.parametrize("missing", [*WITHOUT, "folder", "AVX-512"])
def test_without_it_the_tables_do_the_work(
    missing: str, anew: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    capability = "AVX2" if missing == "AVX-512" else "AVX512"
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setenv("CC", WITHOUT.get(missing, "cc"))
    monkeypatch.setattr(avx512, "SECONDS", 0.3 if missing.startswith("end") else 60)
    if missing == "folder":
        monkeypatch.setattr(tempfile, "tempdir", "/no/such/folder")
    assert not avx512.usable(CPU)
    x = torch.randn(100, 100)
    q, plain = quantize_nf4(x, double_quant=False), quantize_plainly(x, 64, None)
    assert torch.equal(q.codes, plain.codes)
    assert torch.equal(dequantize_nf4(q), dequantize_plainly(plain, torch.float32))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="needs the x86 processor's registers")
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize(
    ("deed", "taken"),
    [
        ("", True),
        ("__builtin_trap();", False),  # as an instruction that the processor lacks
        ("for (;;) ;", False),
        ("__builtin_ia32_ldmxcsr(0x9fc0);", False),  # numbers near zero are zero: -ffast-math
    ],
)
def test_a_library_that_would_end_hold_or_change_the_process_is_not_used(
    deed: str, taken: bool, anew: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, compiler = tmp_path / "strange.c", tmp_path / "compiler"
    empty = "void quantize_scales(void) {} void dequantize(void) {}"
    source.write_text(f"void quantize(void) {{ {deed} }} {empty}")
    compiler.write_text(f"#!/bin/sh\n{LAST}\nexec cc -shared -fPIC {source} -o $file\n")
    compiler.chmod(0o755)
    run = avx512.run_program

    def run_shortly(command: list[str], seconds: float) -> str:
        hangs = "for" in deed and command[0] == sys.executable
        return run(command, 0.5 if hangs else 60)

    monkeypatch.setattr(avx512, "run_program", run_shortly)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setenv("CC", str(compiler))
    assert avx512.usable(CPU) == taken


WRONG = ("wrong", "wrong in bf16", "wrong in fp16", "wrong scales", "blind to NaN", "wrong near 0")


@pytest.mark.parametrize("fault", ["none", "slow", *WRONG])
def test_machine_code_that_is_slow_or_wrong_is_not_used(
    fault: str, anew: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quantize(x: Tensor, block_size: int, absmax: Tensor, codes: Tensor) -> None:
        cpu.quantize_with_tables(x, block_size, absmax, codes)
        if fault == "blind to NaN":
            absmax.nan_to_num_()
        if fault == "wrong near 0":
            absmax[absmax < 1e-38] = 0

    def write_scales(absmax: Tensor, size: int, *written: Tensor) -> None:
        codes, scale, _ = quantize_scales(absmax, size)
        _, target, target_codes = written
        target.copy_(scale)
        target_codes.copy_(codes ^ (fault == "wrong scales"))

    def dequantize(q: NF4Tensor, out: Tensor) -> None:
        if fault == "slow":
            time.sleep(0.01)
        cpu.dequantize_with_tables(q, out)
        formats = {"wrong": torch.float32, "wrong in bf16": torch.bfloat16}
        if out.dtype == {**formats, "wrong in fp16": torch.float16}.get(fault):
            out[-1] += 1

    monkeypatch.setattr(avx512, "usable", lambda device: device.type == "cpu")
    monkeypatch.setattr(avx512, "quantize", quantize)
    monkeypatch.setattr(avx512, "quantize_scales", write_scales)
    monkeypatch.setattr(avx512, "dequantize", dequantize)
    torch.set_default_dtype(torch.float64)  # which a notebook may do
    try:
        assert (cpu.machine_code_gain() == 0) == (fault in WRONG)
    finally:
        torch.set_default_dtype(torch.float32)
    assert cpu.use_machine_code(CPU) == (cpu.machine_code_gain() >= 1)
    assert fault == "none" or not cpu.use_machine_code(CPU)
    assert not cpu.use_machine_code(torch.device("meta"))
