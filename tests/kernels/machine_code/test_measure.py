"""The kernels' machine code, compiled for GPUs that are not present, and read."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

pytest.importorskip("triton")

from kernels.checks import BLOCK_SIZES
from kernels.machine_code.assembly import (
    access_bytes,
    count_executed,
    longest_loop,
    parse_amd,
    parse_sass,
)
from kernels.machine_code.measure import (
    ARCHS,
    Row,
    compile_for,
    configurations,
    disassemble,
    main,
    measure,
    measure_all,
    read_amd,
    resources,
    runs_on,
    table,
)
from kernels.machine_code.variants import LaunchConfiguration, launch_configuration
from tests.kernels.compiling import compiler

DTYPES = ("bf16", "fp16", "fp32")
FAST = ("dequantize_fast", "dequantize_fast_tail")
BUDGET = {"dequantize_fast": 6.0, "dequantize_fast_tail": 8.0}  # instructions an element, or 2 less

# Bounds for every configuration and every GPU of NVIDIA. Too few is as wrong as too many: a loop
# that was counted once.
WITHIN = {
    "quantize": (55, 105), "quantize_fast": (10, 15), "quantize_scales": (1.7, 2.3),
    "dequantize": (16, 34), "dequantize_fast": (5, 11), "dequantize_fast_tail": (6, 13),
    "matmul": (35, 90), "matmul_fast_32": (8, 9.5), "matmul_fast_64": (5.5, 7),
    "matvec_fast_32": (3, 4.3), "matvec_fast_64": (3, 4.3), "matvec_fast_128": (3, 4.3),
}  # fmt: skip

SASS = """
.text.kernel:
        /*0000*/                   S2R R0, SR_TID.X ;
.L_x_0:
        /*0010*/              @!P0 LDG.E.128 R4, desc[UR4][R2.64] ;
        /*0020*/                   FADD R4, R5, R6 ;
        /*0030*/               @P1 BRA `(.L_x_0) ;
        /*0040*/               @P2 BRA `(.L_x_3) ;
.L_x_1:
        /*0050*/                   STG.E.U16 desc[UR4][R2.64], R4 ;
        /*0060*/                   EXIT ;
.L_x_3:
        /*0070*/                   FADD R4, R5, R6 ;
        /*0080*/                   BRA `(.L_x_1) ;
.L_x_2:
        /*0090*/                   BRA `(.L_x_2);
        /*00a0*/                   NOP;
        /*00b0*/                   NOP;
"""


AMD = """
kernel:
\ts_load_dwordx2 s[0:1], s[2:3], 0x0
.LBB0_1:                                ; %loop
\tglobal_load_dwordx4 v[0:3], v4, s[0:1]
\tv_add_f32_e32 v0, v0, v1
\ts_cbranch_scc1 .LBB0_1
\ts_cbranch_execnz .LBB0_3
.LBB0_2:
\ts_endpgm
.LBB0_3:
\ts_nop 0
\ts_branch .LBB0_2
\t.section\t.rodata
\ts_nothing
"""


def test_what_is_never_executed_is_not_counted() -> None:
    instructions, _ = parse_sass(SASS)
    assert [instruction.address for instruction in instructions] == list(range(0, 0x90, 0x10))


def test_a_loop_is_its_body_and_a_jump_back_to_other_code_is_not_one() -> None:
    instructions, labels = parse_sass(SASS)
    assert [i.name for i in longest_loop(instructions, labels)] == ["LDG.E.128", "FADD", "BRA"]
    straight = SASS.replace("@P1 BRA `(.L_x_0)", "FADD R4, R5, R6")
    assert longest_loop(*parse_sass(straight)) == []
    assert [count_executed(instructions, labels, turns) for turns in (None, 1, 15)] == [
        3, len(instructions), len(instructions) + 14 * 3,
    ]  # fmt: skip
    alone = parse_sass(straight)
    assert count_executed(*alone, None) == count_executed(*alone, 15) == len(alone[0])
    loop = longest_loop(*parse_amd(AMD))
    assert [i.name for i in loop] == ["global_load_dwordx4", "v_add_f32_e32", "s_cbranch_scc1"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["LDG.E.U8", "LDG.E.S16"], 2),
        (["LDG.E"], 4),
        (["LDG.E.64.CONSTANT", "LDG.E"], 8),
        (["STG.E.128.SYS", "STG.E.U16"], 16),
        (["LDG.E.ENL2.256"], 32),
        ([], 0),
    ],
)
def test_widths_are_read_from_the_instruction(names: list[str], expected: int) -> None:
    assert access_bytes(names) == expected


def check_tuned(row: Row) -> None:
    assert (row.spill_bytes, row.shared_bytes, row.barriers) == (0, 0, 0), row
    assert (row.load_bytes, row.store_bytes) == (16, 16), row


def test_dequantize_keeps_its_budget_on_sm_90_for_every_block_size() -> None:
    rows = table(("sm_90",), FAST[:1], ("bf16",), BLOCK_SIZES)
    rows += table(("sm_90",), FAST[1:], ("bf16",), (32, 64, 4096))
    assert len(rows) == 2 * (len(BLOCK_SIZES) + 3)
    for row in rows:
        check_tuned(row)
        assert row.instructions_per_element is not None
        assert 0 <= BUDGET[row.kernel] - row.instructions_per_element < 2, row
        assert row.registers is not None
        assert row.registers <= 32, row  # 2048 threads share 65536: with 32 each, all are resident


@pytest.mark.parametrize(
    ("archs", "dtypes"), [(("sm_75", "sm_80", "sm_100"), ("bf16",)), (("sm_90",), ("fp16", "fp32"))]
)
def test_dequantize_is_tuned_on_every_gpu_of_nvidia_and_for_every_dtype(
    archs: tuple[str, ...], dtypes: tuple[str, ...]
) -> None:
    jobs = [
        (number, arch)
        for number, c in enumerate(configurations())
        for arch in archs
        if c.kernel in FAST and c.dtype in dtypes and c.block_size == 64 and c.double_quant
    ]
    rows = measure_all(jobs)
    assert len(rows) == len(archs) * 2 * len(dtypes)
    for row in rows:
        check_tuned(row)
        rounding = 5 if row.arch == "sm_75" else 0  # it has no instruction that rounds to bf16
        assert row.instructions_per_element is not None
        assert 0 <= BUDGET[row.kernel] + rounding - row.instructions_per_element < 2, row


def controls() -> list[Row]:
    """Measures what has spills, shared memory, barriers and narrow accesses."""
    rows = []
    for kernel, nested, arch, options in [
        ("quantize", None, "sm_90", {"maxnreg": 24}),
        ("matmul", 256, "gfx942", {"waves_per_eu": 8}),
        ("matvec_fast_128", None, "sm_80", {}),
        ("dequantize", None, "sm_90", {}),
    ]:
        c = launch_configuration(kernel, "bf16", 64, nested)
        rows.append(measure(c._replace(options=c.options | options), arch))
    return rows


def test_what_the_tuned_kernels_do_without_is_seen_where_it_is() -> None:
    crowded, crowded_amd, reduced, plain = compiler().submit(controls).result()
    for row, most in ((crowded, 24), (crowded_amd, 64)):  # registers that the options leave
        assert row.registers == most
        assert row.spill_bytes is not None
        assert row.spill_bytes >= 4, row
        assert row.spill_bytes % 4 == 0, row
        assert row.barriers, row
        assert row.shared_bytes, row
    assert crowded.load_bytes in (2, 4, 8)  # bf16, up to 4 neighbours
    assert crowded.store_bytes in (1, 2, 4)
    assert (crowded_amd.load_bytes, crowded_amd.store_bytes) == (4, 2)
    assert crowded_amd.instructions_per_element is not None
    assert crowded_amd.instructions_per_element > 30
    # The sum over 4 warps: each writes 4 numbers, is waited for, and one warp adds them up.
    assert reduced.barriers in (3, 4)  # made by Triton 3.9 and by 3.6
    assert reduced.shared_bytes == 4 * 4 * 4
    assert reduced.store_bytes == 2
    assert reduced.instructions_per_element is not None
    assert 3 < reduced.instructions_per_element < 4.3
    assert plain.spill_bytes == plain.shared_bytes == plain.barriers == 0
    assert (plain.load_bytes, plain.store_bytes) == (4, 2)  # one scale, one number
    assert plain.instructions_per_element is not None
    assert 15 < plain.instructions_per_element < 30


def with_shuffles() -> list[str]:
    """Returns the machine code of kernels whose lanes exchange numbers."""
    return [
        disassemble(compile_for(c, arch).asm["cubin"])
        for dtype, arch in [("bf16", "sm_75"), ("bf16", "sm_90"), ("fp32", "sm_90")]
        for c in [launch_configuration("dequantize_fast", dtype, 32, 256)]
    ]


def test_no_thread_has_left_when_its_warp_shuffles() -> None:
    # A shuffle reads a register of another lane, and what a lane that has ended holds is undefined.
    for code in compiler().submit(with_shuffles).result():
        instructions, _ = parse_sass(code)
        names = [instruction.name.split(".")[0] for instruction in instructions]
        last = len(names) - 1 - names[::-1].index("SHFL")
        assert names.count("SHFL") >= 32
        assert not {"EXIT", "BRA"} & set(names[:last])
        assert not any(i.text.startswith("@") and "SHFL" in i.name for i in instructions)


def test_the_command_prints_what_the_function_returns(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--arch", "sm_90,gfx942", "--kernel", "dequantize"]
    main(arguments)
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == list(Row._fields)
    main([*arguments, "--json"])
    rows = [Row(**row) for row in json.loads(capsys.readouterr().out)]
    assert rows == table(("sm_90", "gfx942"), ("dequantize",))
    assert [line.split()[:2] for line in lines] == [[row.kernel, row.arch] for row in rows]
    assert {row.arch for row in rows} == {"sm_90", "gfx942"}
    assert all(row.load_bytes == 4 and row.spill_bytes == 0 for row in rows)


def test_a_kernel_of_one_configuration_is_never_left_out() -> None:
    [row] = table(("sm_90",), ("quantize_scales",), ("bf16",), (128,))
    assert (row.kernel, row.arch, row.dtype) == ("quantize_scales", "sm_90", "fp32")


def sample() -> list[tuple[int, str]]:
    """Chooses every Triton function in bf16 and blocks of 64, for every GPU.

    For sm_90 it also chooses every dtype, with one or two levels of scales in turn, each time as
    another kernel of the table and with another block size.
    """
    functions: dict[Any, dict[tuple[str, bool], list[int]]] = {}
    for number, c in enumerate(configurations()):
        of_function = functions.setdefault(c.fn, {})
        of_function.setdefault((c.dtype, c.double_quant), []).append(number)
    jobs = []
    for turn, of_function in enumerate(functions.values()):
        for step, ((dtype, double_quant), numbers) in enumerate(of_function.items()):
            if double_quant == (DTYPES.index(dtype) + turn) % 2 or len(of_function) < 6:
                jobs.append((numbers[(turn + 5 * step) % len(numbers)], "sm_90"))
        numbers = of_function[min(of_function)]  # bf16 first
        default = next(n for n in numbers if configurations()[n].block_size == 64)
        jobs += [(default, arch) for arch in ARCHS if runs_on(configurations()[default], arch)]
    return list(dict.fromkeys(jobs))


def compiled(jobs: Sequence[tuple[int, str]]) -> list[dict[str, Any]]:
    """Compiles jobs without reading their code, which takes as long again."""
    found = []
    for number, arch in jobs:
        c = configurations()[number]
        made = compile_for(c, arch)
        found.append(resources(made) if arch.startswith("sm_") else read_amd(c, made))
    return found


def test_every_kernel_compiles_for_every_gpu_and_for_every_dtype() -> None:
    jobs = sample()
    used = [(configurations()[number], arch) for number, arch in jobs]
    pairs: list[Callable[[LaunchConfiguration, str], Any]] = [
        lambda c, arch: (c.fn, arch),
        lambda c, arch: (c.fn, c.dtype),
        lambda c, arch: (c.dtype, c.double_quant),
        lambda c, arch: c.kernel,
        lambda c, arch: c.block_size,
    ]
    for pair in pairs:
        every = {pair(c, arch) for c in configurations() for arch in ARCHS if runs_on(c, arch)}
        assert {pair(c, arch) for c, arch in used} == every
    found = compiler().submit(compiled, jobs).result()
    assert all(row["registers"] for row in found)
    spilled = [
        row["spill_bytes"] for row, (_, arch) in zip(found, jobs, strict=True) if arch != "gfx942"
    ]
    assert set(spilled) == {0}


def test_instructions_are_within_bounds_on_each_gpu_in_turn() -> None:
    of_kernel: dict[str, list[tuple[int, str]]] = {}
    for number, arch in sample():
        if arch != "gfx942":
            of_kernel.setdefault(configurations()[number].kernel, []).append((number, arch))
    jobs = [some[-1 - turn % len(some)] for turn, some in enumerate(of_kernel.values())]
    rows = measure_all(jobs)
    assert {row.arch for row in rows} == {*ARCHS[:-1]}
    assert {row.kernel for row in rows} == WITHIN.keys()
    for row in rows:
        assert row.instructions_per_element is not None
        least, most = WITHIN[row.kernel]
        assert least < row.instructions_per_element < most, row


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--arch", "sm_42"], "--arch must be of sm_75, sm_80, sm_90, sm_100, gfx942, got sm_42"),
        (["--kernel", "matmul,none"], "--kernel must be of quantize, quantize_fast, quantize_"),
        (["--kernel", "matmul,none"], "matmul_fast_64, got none"),
        (["--dtype", "bf16,foo,fp8"], "--dtype must be of bf16, fp16, fp32, got foo, fp8"),
        (["--dtype", "bf16,"], "--dtype must be of bf16, fp16, fp32, got nothing"),
        (["--block-size", "64,48"], "must be of 32, 64, 128, 256, 512, 1024, 2048, 4096, got 48"),
        (["--block-size", "abc"], "--block-size must be of 32, 64, 128, 256, 512, 1024, 2048"),
        (
            ["--kernel", "matmul_fast_64", "--arch", "sm_75"],
            "matmul_fast_64 cannot be compiled for sm_75 with dtype bf16 and block size 64, but "
            "for sm_80, sm_90, sm_100, gfx942 with dtype bf16, fp16 and block size 64, 128, 256,",
        ),
    ],
)
def test_what_cannot_be_compiled_is_said(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
