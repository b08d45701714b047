"""Compiles the kernels and reads registers, memory accesses and instructions per element.

    python -m kernels.machine_code                       # block size 64, bf16, every GPU below
    python -m kernels.machine_code --arch sm_90 --dtype fp32,bf16 --block-size 32,64 --json

No GPU is needed: Triton compiles for any, and brings the programs that disassemble machine code.
The table says what a kernel asks of a GPU, not how long it takes; `kernels.bench` times it.

The columns, for NVIDIA's GPUs counted in the listing of nvdisasm:

- instructions_per_element: the instructions that a thread executes, times threads, divided by the
  elements of the weight that they handle. It leaves out what is never executed: NOPs behind the
  end, and the jump to itself that follows the last EXIT. Instructions that are jumped over or
  masked out count as executed. In a kernel with a loop over the weight only the longest loop's body
  counts, and `elements` is what one turn handles: the rest is executed once. In a loop with the
  same number of turns in all programs, `turns`, everything counts. So the number is an upper bound
  where code branches, and where the compiler has unrolled a part of the loop.
- load_bytes, store_bytes: the widest access of one thread to global memory.
- spill_bytes: local memory of a thread. The kernels have no arrays there, so it holds only
  registers that did not fit.
- barriers: instructions that make warps wait for each other.

For AMD's gfx942 the columns are read from the compiler's assembly listing, where a vector
instruction works for 64 lanes. The kernels leave out their PTX there (SHUFFLE=False).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kernels.machine_code.assembly import access_bytes, count_executed, parse_amd, parse_sass
from kernels.programs import run_program

if TYPE_CHECKING:  # variants.py needs triton, and `main` says what to do without it
    from kernels.machine_code.variants import LaunchConfiguration

ARCHS = ("sm_75", "sm_80", "sm_90", "sm_100", "gfx942")
SECONDS = 60  # that a program which prints about a kernel may take


class Row(NamedTuple):
    """The figures of a kernel compiled for an arch; None stands for one that is not known."""

    kernel: str
    arch: str
    dtype: str
    block_size: int
    double_quant: bool
    registers: int | None
    spill_bytes: int | None
    shared_bytes: int | None
    barriers: int | None
    load_bytes: int | None
    store_bytes: int | None
    instructions_per_element: float | None


@cache
def configurations() -> tuple[LaunchConfiguration, ...]:
    """Returns every configuration that the package's launchers launch."""
    from kernels.machine_code.variants import launch_configurations

    return tuple(launch_configurations())


def compile_for(configuration: LaunchConfiguration, arch: str) -> Any:
    """Compiles a kernel as triton.compile does; `.asm` of the result holds every stage's code.

    Raises:
        RuntimeError: TRITON_INTERPRET is set, so that there is nothing to compile.
        triton.compiler.errors.CompilationError: it does not compile.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    if not isinstance(configuration.fn, triton.JITFunction):
        raise RuntimeError("with TRITON_INTERPRET=1 Triton compiles nothing; start without it")
    constants: dict[Any, Any] = dict(configuration.constexprs)
    if arch.startswith("sm_"):
        target = GPUTarget("cuda", int(arch.removeprefix("sm_")), 32)
    else:
        target = GPUTarget("hip", arch, 64)
        if "SHUFFLE" in constants:
            constants["SHUFFLE"] = False
    names = configuration.fn.arg_names
    signature = {name: configuration.signature.get(name, "constexpr") for name in names}
    aligned: dict[tuple[int, ...], Any] = {}
    for i, kinds in enumerate(signature.values()):
        members: dict[tuple[int, ...], str] = {(i,): kinds}
        if isinstance(kinds, tuple):
            members = {(i, j): kind for j, kind in enumerate(kinds)}
            constants |= {place: None for place, kind in members.items() if kind == "constexpr"}
        aligned |= {place: [["tt.divisibility", 16]] for place, k in members.items() if "*" in k}
    source = ASTSource(configuration.fn, signature, constants, aligned)
    options = {"num_warps": configuration.num_warps, **configuration.options}
    return triton.compile(source, target=target, options=options)


def printed_about(cubin: bytes, tool: str, *options: str) -> str:
    """Returns what one of the programs that Triton brings prints about an NVIDIA kernel."""
    from triton import knobs

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(cubin)
        return run_program([getattr(knobs.nvidia, tool).path, *options, str(file)], SECONDS)


@lru_cache(maxsize=16)  # of half a second, nearly all is nvdisasm's start
def disassemble(cubin: bytes) -> str:
    """Returns the machine code of an NVIDIA kernel as text."""
    # -ndf leaves out an analysis of jumps that takes a third of the time and changes nothing
    return printed_about(cubin, "nvdisasm", "-c", "-ndf")


def resources(compiled: Any) -> dict[str, int]:
    """Returns a compiled NVIDIA kernel's registers, spill_bytes and shared_bytes."""
    needs = printed_about(compiled.asm["cubin"], "cuobjdump", "-res-usage")
    amount = {key: int(value) for key, value in re.findall(r"(\w+):(\d+)", needs)}
    return {
        "registers": amount["REG"],
        "spill_bytes": amount["STACK"] + amount["LOCAL"],
        "shared_bytes": max(amount["SHARED"], compiled.metadata.shared),
    }


def read_nvidia(configuration: LaunchConfiguration, compiled: Any) -> dict[str, Any]:
    """Returns the columns from `registers` on, read from SASS."""
    instructions, labels = parse_sass(disassemble(compiled.asm["cubin"]))
    names = [instruction.name for instruction in instructions]
    executed = count_executed(instructions, labels, configuration.turns)
    return {
        **resources(compiled),
        "barriers": sum(name.startswith(("BAR.", "SYNCS")) for name in names),
        "load_bytes": access_bytes(n for n in names if n.startswith(("LDG.", "LDGSTS."))),
        "store_bytes": access_bytes(n for n in names if n.startswith("STG.")),
        "instructions_per_element": executed
        * configuration.num_warps
        * 32
        / configuration.elements,
    }


def read_amd(configuration: LaunchConfiguration, compiled: Any) -> dict[str, Any]:
    """Returns the columns from `registers` on, read from the assembly listing."""
    listing = compiled.asm["amdgcn"]
    amount = {k: int(v) for k, v in re.findall(r"^\s*\.(\w+):\s+(\d+)$", listing, re.MULTILINE)}
    instructions, labels = parse_amd(listing)
    names = [instruction.name for instruction in instructions]
    executed = count_executed(instructions, labels, configuration.turns)
    words = {"byte": 1, "short": 2, "dword": 4, "dwordx2": 8, "dwordx3": 12, "dwordx4": 16}

    def widest(kind: str) -> int:
        access = re.compile(rf"(?:global|buffer|flat)_{kind}_[us]?(byte|short|dword(?:x\d)?)")
        found = [access.match(name) for name in names]
        return max((words[match[1]] for match in found if match), default=0)

    return {
        "registers": amount["vgpr_count"],
        "spill_bytes": amount["private_segment_fixed_size"],
        "shared_bytes": max(amount["group_segment_fixed_size"], compiled.metadata.shared),
        "barriers": names.count("s_barrier"),
        "load_bytes": widest("load"),
        "store_bytes": widest("store"),
        "instructions_per_element": executed
        * configuration.num_warps
        * 64
        / configuration.elements,
    }


def measure(configuration: LaunchConfiguration, arch: str) -> Row:
    """Compiles a configuration for an arch and reads its machine code.

    Raises:
        RuntimeError: it does not compile; the error names it.
    """
    c = configuration
    try:
        compiled = compile_for(c, arch)
    except Exception as error:
        scales = "two levels" if c.double_quant else "one level"
        raise RuntimeError(
            f"{c.kernel} for {c.dtype}, blocks of {c.block_size} and {scales} of scales does not "
            f"compile for {arch}: {error}"
        ) from error
    read = read_nvidia if arch.startswith("sm_") else read_amd
    return Row(c.kernel, arch, c.dtype, c.block_size, c.double_quant, **read(c, compiled))


@cache
def measure_number(job: tuple[int, str]) -> Row:
    """Measures (index in `configurations()`, arch), which can be sent to another process."""
    return measure(configurations()[job[0]], job[1])


def compile_here() -> None:
    """Lets triton compile; it reads this variable when a kernel is defined, after its import."""
    os.environ.pop("TRITON_INTERPRET", None)


def measure_all(jobs: Sequence[tuple[int, str]]) -> list[Row]:
    """Returns a row for each (index in `configurations()`, arch).

    Each takes about half a second the first time, after which Triton has it on disk, so they are
    divided among the cores. With TRITON_INTERPRET set, new processes without it do the work.
    """
    if len(jobs) < 16 and not os.environ.get("TRITON_INTERPRET"):
        return [measure_number(job) for job in jobs]
    return list(compilers().map(measure_number, jobs))


@cache
def compilers() -> ProcessPoolExecutor:
    """Returns a process for each core of ours; they are kept: importing torch takes seconds."""
    context = multiprocessing.get_context("spawn")
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ProcessPoolExecutor(n, context, initializer=compile_here)


def runs_on(configuration: LaunchConfiguration, arch: str) -> bool:
    """Returns whether the launchers launch the configuration on this arch."""
    return (
        not arch.startswith("sm_")
        or divmod(int(arch.removeprefix("sm_")), 10) >= configuration.since
    )


def table(
    archs: Sequence[str] = ARCHS,
    kernels: Sequence[str] = (),
    dtypes: Sequence[str] = ("bf16",),
    block_sizes: Sequence[int] = (64,),
) -> list[Row]:
    """Returns a row for every kernel in these configurations; no names mean all kernels.

    A kernel that exists in a single configuration is in the table whatever dtype and block size.

    Raises:
        ValueError: no kernel, or not one that is named, exists in these configurations.
    """
    number_of = Counter(configuration.kernel for configuration in configurations())
    jobs = [
        (number, arch)
        for number, configuration in enumerate(configurations())
        for arch in archs
        if runs_on(configuration, arch)
        and (not kernels or configuration.kernel in kernels)
        and (
            (configuration.dtype in dtypes and configuration.block_size in block_sizes)
            or number_of[configuration.kernel] == 1
        )
    ]
    found = {configurations()[number].kernel for number, _ in jobs}
    missing = [kernel for kernel in kernels if kernel not in found]
    if missing or not jobs:
        those = [v for v in configurations() if v.kernel in missing] or configurations()
        raise ValueError(
            f"{list_of(missing) or 'no kernel'} cannot be compiled for {list_of(archs)} with dtype "
            f"{list_of(dtypes)} and block size {list_of(block_sizes)}, but for "
            f"{list_of(arch for arch in ARCHS if any(runs_on(v, arch) for v in those))} with dtype "
            f"{list_of(v.dtype for v in those)} and block size "
            f"{list_of(v.block_size for v in those)}"
        )
    return measure_all(jobs)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog="python -m kernels.machine_code",
        description="Compile the kernels for named GPUs and read their machine code.",
        epilog="example: python -m kernels.machine_code --arch sm_90 --kernel dequantize_fast",
    )
    defaults = {"arch": ",".join(ARCHS), "kernel": "", "dtype": "bf16", "block-size": "64"}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", default=default, help=f"default: {default or 'all'}")
    parser.add_argument("--json", action="store_true", help="print JSON, one object a row")
    given = parser.parse_args(arguments)
    if not importlib.util.find_spec("triton"):
        parser.error("this needs triton, which there is for Linux: pip install triton")
    known = {"arch": ARCHS, "kernel": [v.kernel for v in configurations()]}
    known |= {"dtype": [v.dtype for v in configurations()]}
    known |= {"block-size": [str(v.block_size) for v in configurations()]}
    lists: list[list[str]] = []
    for name, allowed in known.items():
        text = getattr(given, name.replace("-", "_"))
        lists.append(text.split(",") if text or name != "kernel" else [])
        if unknown := [value or "nothing" for value in lists[-1] if value not in allowed]:
            parser.error(f"--{name} must be of {list_of(allowed)}, got {list_of(unknown)}")
    archs, kernels, dtypes, block_sizes = lists
    try:
        rows = table(archs, kernels, dtypes, [int(size) for size in block_sizes])
    except ValueError as error:
        parser.error(str(error))
    if given.json:
        print(json.dumps([row._asdict() for row in rows], indent=1))
        return
    lines = [Row._fields, *([as_text(value) for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(Row._fields))]
    for line in lines:
        cells = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def list_of(values: Iterable[object]) -> str:
    """Returns the values as text, each once, in their order."""
    return ", ".join(dict.fromkeys(str(value) for value in values))


def as_text(value: object) -> str:
    """Returns a cell of the table."""
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
