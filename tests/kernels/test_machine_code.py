"""The kernels as machine code: compiled for GPUs that are not here, and read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

from kernels.assembly import access_bytes, longest_loop, parse_amd, parse_sass
from kernels.machine_code import ARCHS, Row, main, table
from kernels.nf4 import BLOCK_SIZES

ROOT = Path(__file__).parents[2]
DTYPES = ("bf16", "fp16", "fp32")
FAST = ("dequantize_fast", "dequantize_fast_tail")
BUDGET = {"dequantize_fast": 6.0, "dequantize_fast_tail": 8.0}  # instructions an element

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


def test_a_loop_is_its_body_and_a_jump_back_to_other_code_is_none() -> None:
    instructions, labels = parse_sass(SASS)
    assert [i.name for i in longest_loop(instructions, labels)] == ["LDG.E.128", "FADD", "BRA"]
    straight = SASS.replace("@P1 BRA `(.L_x_0)", "FADD R4, R5, R6")
    assert longest_loop(*parse_sass(straight)) == []
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
    rows = table(("sm_90",), FAST, ("bf16",), BLOCK_SIZES)
    assert len(rows) == 2 * 2 * len(BLOCK_SIZES)
    for row in rows:
        check_tuned(row)
        assert row.instructions_per_element is not None
        assert row.instructions_per_element <= BUDGET[row.kernel], row
        assert row.registers is not None
        assert row.registers <= 32, row  # 2048 threads share 65536: with 32 each, all are resident


def test_dequantize_is_tuned_on_every_gpu_of_nvidia_and_for_every_dtype() -> None:
    rows = table(("sm_75", "sm_80", "sm_90", "sm_100"), FAST, DTYPES)
    assert len(rows) == 4 * 2 * 2 * 3
    for row in rows:
        check_tuned(row)
        # sm_75 cannot round two numbers in one instruction, and bf16 in none.
        rounding = {"bf16": 5, "fp16": 1}.get(row.dtype, 0) if row.arch == "sm_75" else 0
        assert row.instructions_per_element is not None
        assert row.instructions_per_element <= BUDGET[row.kernel] + rounding, row


SHUFFLES = """
import json
from kernels.dequantize import variant
from kernels.machine_code import compile_for, disassemble
cases = [("dequantize_fast", dtype, 32, 256) for dtype in ("bf16", "fp32")]
print(json.dumps([
    disassemble(compile_for(variant(*case), arch).asm["cubin"])[0]
    for case in cases for arch in ("sm_75", "sm_80", "sm_90", "sm_100")
]))
"""


def test_no_thread_has_left_when_its_warp_shuffles() -> None:
    # A shuffle reads a register of another lane, and what a lane that has ended holds is undefined.
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    found = subprocess.run(
        [sys.executable, "-c", SHUFFLES],
        env=environment, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True,
    )  # fmt: skip
    for code in json.loads(found.stdout):
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


def test_every_kernel_compiles_for_every_gpu() -> None:
    rows = table()
    kernels = {row.kernel for row in rows}
    assert {"quantize", "quantize_fast", "dequantize", "dequantize_fast"} <= kernels
    tensor_cores = {kernel for kernel in kernels if kernel.startswith("matmul_fast")}
    wanted = {(k, a) for k in kernels for a in ARCHS if a != "sm_75" or k not in tensor_cores}
    assert {(row.kernel, row.arch) for row in rows} == wanted
    assert all(row.registers for row in rows)
    assert [row for row in rows if row.spill_bytes and row.arch != "gfx942"] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--arch", "sm_42"], "--arch must be of sm_75, sm_80, sm_90, sm_100, gfx942, got sm_42"),
        (["--kernel", "none", "--arch", "sm_90"], "the kernels are dequantize, dequantize_fast"),
    ],
)
def test_what_cannot_be_compiled_is_said(
    arguments: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TRITON_INTERPRET")
    with pytest.raises(SystemExit):
        main(arguments)
    assert sentence in " ".join(capsys.readouterr().err.split())
