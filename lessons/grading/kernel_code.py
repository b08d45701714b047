"""What the compiler makes of a learner's Triton kernel for a GPU that need not be there.

The kernel is compiled, and never run; kernel_text.py says why no sandbox is needed for that.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import operator
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lessons.grading.kernel_text import check_language, kernel_text, loose_constants
from lessons.grading.registry import tasks_of

if TYPE_CHECKING:
    from kernels.machine_code.assembly import Instruction
    from kernels.machine_code.variants import LaunchConfiguration
    from lessons.grading.check import Checked

ARCH = "sm_90"
LONGEST = 120  # seconds that compiling may take
# The process that compiles; `python -m` would import what lies in the folder that it starts in.
START = """
import sys
sys.path[:] = filter(None, sys.path)
from lessons.grading.kernel_code import main
main(*sys.argv[1:])
"""
MOST_MEMORY = 16 << 30  # bytes, also addresses that are only reserved
DTYPE, BLOCK_SIZE, NESTED_BLOCK_SIZE, SIZE = "bf16", 64, 256, 1024

# The kernels that are measured: the types of their arguments, their constants, how many elements a
# program handles, and the library's kernels for the same thing.
OUT = {"out_ptr": f"*{DTYPE}", "n": "i32"}
SHAPES: dict[str, dict[str, Any]] = {
    "dequantize_kernel": {
        "signature": {"codes_ptr": "*u8", "absmax_ptr": "*fp32", "levels_ptr": "*fp32", **OUT},
        "constexprs": {"BLOCK_SIZE": BLOCK_SIZE, "SIZE": SIZE},
        "num_warps": 4, "elements": SIZE, "double_quant": False,
        "beside": ("dequantize", "dequantize_fast"),
    },
    "quantize_kernel": {
        "signature": {
            "x_ptr": "*fp32", "thresholds_ptr": "*fp32", "codes_ptr": "*u8", "absmax_ptr": "*fp32",
            "n": "i32",
        },
        "constexprs": {"BLOCK_SIZE": BLOCK_SIZE},
        "num_warps": 1, "elements": BLOCK_SIZE, "double_quant": False,
        "beside": ("quantize", "quantize_fast"),
    },
    "double_dequantize_kernel": {
        "signature": {
            "codes_ptr": "*u8", "absmax_codes_ptr": "*u8", "absmax_scale_ptr": "*fp32",
            "absmax_offset_ptr": "*fp32", "levels_ptr": "*fp32", "map_ptr": "*fp32", **OUT,
        },
        "constexprs": {
            "BLOCK_SIZE": BLOCK_SIZE, "NESTED_BLOCK_SIZE": NESTED_BLOCK_SIZE, "SIZE": SIZE,
        },
        "num_warps": 4, "elements": SIZE, "double_quant": True,
        "beside": ("dequantize", "dequantize_fast"),
    },
}  # fmt: skip


class Made(NamedTuple):
    """What was made of one kernel: the columns of kernels.machine_code that a learner can use."""

    kernel: str
    instructions_per_element: float | None  # None: it loops, and only a run tells how often
    load_bytes: int
    store_bytes: int
    registers: int
    spill_bytes: int


def right_kernels(checked: Checked) -> tuple[str, ...]:
    """Returns the names of the kernels that passed."""
    kernels = {task.id for task in tasks_of(checked.lesson) if task.triton}
    return tuple(v.name for v in checked.verdicts if v.id in kernels and v.status == "passed")


@cache
def machine_code(
    code: str, names: tuple[str, ...], arch: str = ARCH
) -> tuple[dict[str, list[Made]], list[str]]:
    """Compiles a learner's kernels, and for each the library's kernels for the same thing.

    Args:
        code: the file.
        names: of dequantize_kernel, quantize_kernel and double_dequantize_kernel.

    Returns:
        the rows of each kernel, the learner's first, and a sentence for each that has none: there
        is no Triton here, it uses more than Triton's language, or it does not compile.
    """
    if importlib.util.find_spec("triton") is None:
        return {}, ["Machine code needs triton, which there is for Linux."]
    texts, sentences = {}, []
    for name in names:
        try:
            texts[name] = kernel_text(code, name)
        except ValueError as error:
            sentences.append(f"No machine code of {name}: {error}.")
            continue
        sentences += [
            f"{name} runs here, but on a GPU Triton refuses {old}; write {new}."
            for old, new in loose_constants(code, name)
        ]
    if not texts:
        return {}, sentences
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    from kernels.programs import run_program  # loads torch

    try:
        command = [sys.executable, "-c", START, arch]
        found = json.loads(run_program(command, LONGEST, json.dumps(texts), environment))
    except (subprocess.SubprocessError, ValueError) as error:
        return {}, [*sentences, f"The kernels could not be compiled for {arch}: {error}."]
    rows = {name: [Made(*row) for row in part] for name, part in found["rows"].items()}
    return rows, sentences + found["sentences"]


def launch(fn: Any, name: str) -> LaunchConfiguration:
    """Returns the learner's kernel as kernels.machine_code compiles it."""
    from kernels.gpu.launch import OPTIONS
    from kernels.machine_code.variants import LaunchConfiguration

    shape = SHAPES[name]
    return LaunchConfiguration(
        "yours", fn, shape["signature"], shape["constexprs"], shape["num_warps"], shape["elements"],
        DTYPE, BLOCK_SIZE, shape["double_quant"], OPTIONS,
    )  # fmt: skip


def measure_yours(text: str, name: str, arch: str) -> Made:
    """Compiles a learner's kernel and returns its row.

    The instructions of a loop count as often as the text says that it runs, where it does.
    """
    from kernels.machine_code.assembly import parse_sass
    from kernels.machine_code.measure import compile_for, disassemble, read_nvidia

    with tempfile.TemporaryDirectory() as folder:
        configuration = launch(load_kernel(text, name, Path(folder)), name)
        compiled = compile_for(configuration, arch)
    read = read_nvidia(configuration, compiled)
    n = executed(*parse_sass(disassemble(compiled.asm["cubin"])), turns_of(text, name))
    threads = 32 * configuration.num_warps
    read["instructions_per_element"] = None if n is None else n * threads / configuration.elements
    return Made(configuration.kernel, *(read[field] for field in Made._fields[1:]))


def executed(
    instructions: list[Instruction], labels: dict[str, int], turns: int | None
) -> int | None:
    """Counts the instructions that a thread executes; None if it loops and turns is None."""
    from kernels.machine_code.assembly import longest_loop

    n, once = len(instructions), instructions
    while loop := longest_loop(once, labels):
        if turns is None:
            return None
        n += (turns - 1) * len(loop)
        inside = {instruction.address for instruction in loop}
        once = [i for i in once if i.address not in inside]
    return n


def turns_of(text: str, name: str) -> int | None:
    """Returns how often the loops of a kernel's text run, each of them as often as the others.

    None: they differ, one is inside another, or the number is not a constant. Loops over
    tl.static_range do not count, since none is left of them in the machine code.
    """
    tree = ast.parse(text)
    common = known_numbers(tree, {})
    found: set[int | None] = set()
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        given = SHAPES[name]["constexprs"] if function.name == name else {}
        numbers = known_numbers(function, common | given)
        for loop in (n for n in ast.walk(function) if isinstance(n, (ast.For, ast.While))):
            is_unrolled = isinstance(loop, ast.For) and "static_range" in ast.unparse(loop.iter)
            inner = [n for n in ast.walk(loop) if isinstance(n, (ast.For, ast.While))][1:]
            if not is_unrolled:
                found.add(None if inner else turns_of_loop(loop, numbers))
    return found.pop() if len(found) == 1 else None


def known_numbers(node: ast.AST, numbers: dict[str, int]) -> dict[str, int]:
    """Returns the whole numbers that are known before a kernel runs, by name."""
    numbers = dict(numbers)
    stores = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and is_stored(n)]
    for found in ast.walk(node):
        if not isinstance(found, (ast.Assign, ast.AnnAssign)) or found.value is None:
            continue
        target = found.targets[0] if isinstance(found, ast.Assign) else found.target
        value = whole_number(found.value, numbers)
        if isinstance(target, ast.Name) and stores.count(target.id) == 1 and value is not None:
            numbers[target.id] = value
    return numbers


def is_stored(name: ast.Name) -> bool:
    """Returns whether a name is given a value here."""
    return isinstance(name.ctx, ast.Store)


def whole_number(node: ast.expr, numbers: dict[str, int]) -> int | None:
    """Returns the value of an expression of known whole numbers, or None."""
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) is int else None
    if isinstance(node, ast.Name):
        return numbers.get(node.id)
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "tl.constexpr" and node.args:
        return whole_number(node.args[0], numbers)
    if not isinstance(node, ast.BinOp) or type(node.op) not in OPERATORS:
        return None
    left, right = whole_number(node.left, numbers), whole_number(node.right, numbers)
    if left is None or right is None or (right == 0 and isinstance(node.op, ast.FloorDiv)):
        return None
    return OPERATORS[type(node.op)](left, right)


OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}  # fmt: skip


def turns_of_loop(loop: ast.For | ast.While, numbers: dict[str, int]) -> int | None:
    """Returns how often a loop over range or tl.range runs; None if only a run tells."""
    if isinstance(loop, ast.While) or not isinstance(loop.iter, ast.Call):
        return None
    if ast.unparse(loop.iter.func) not in ("range", "tl.range"):
        return None
    ends = [whole_number(argument, numbers) for argument in loop.iter.args]
    known = [end for end in ends if end is not None]
    if len(known) < len(ends) or not 1 <= len(known) <= 3 or known[2:] == [0]:
        return None
    return len(range(*known))


def why_not_compiled(error: BaseException) -> str:
    """Returns in one line why a kernel does not compile.

    Triton reports an error once for each call on the way, the reason in the innermost, below the
    line of the kernel and a caret.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line.strip("^ ")]
    return lines[-1] if lines else type(error).__name__


def load_kernel(text: str, name: str, folder: Path) -> Any:
    """Returns the kernel of a text, which must be in a file, since Triton reads that."""
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def limit_memory() -> None:
    """Bounds what compiling may take, where the system can."""
    try:
        import resource
    except ImportError:  # Windows, which has no Triton either
        return
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))


def rows_and_sentences(texts: dict[str, str], arch: str) -> dict[str, Any]:
    """Compiles the kernels of {name: text} in this process; returns what machine_code returns.

    The rows are lists, in the order of Made's fields.
    """
    from kernels.machine_code.measure import measure
    from kernels.machine_code.variants import launch_configuration

    found: dict[str, Any] = {"rows": {}, "sentences": []}
    for name, text in texts.items():
        try:
            check_language(text)
            yours = measure_yours(text, name, arch)
        except Exception as error:  # whatever Triton raises for what it cannot compile
            reason = why_not_compiled(error)
            found["sentences"].append(f"{name} does not compile for {arch}: {reason}")
            continue
        if yours.instructions_per_element is None:
            found["sentences"].append(f"{name} loops, and its text does not say how often.")
        rows: list[Any] = [yours]
        nested = NESTED_BLOCK_SIZE if SHAPES[name]["double_quant"] else None
        for kernel in SHAPES[name]["beside"]:
            dtype = "fp32" if kernel.startswith("quantize") else DTYPE
            rows.append(measure(launch_configuration(kernel, dtype, BLOCK_SIZE, nested), arch))
        found["rows"][name] = [[getattr(row, field) for field in Made._fields] for row in rows]
    return found


def main(arch: str) -> None:
    """Compiles the kernels in standard input, {name: text}, and prints their rows as JSON."""
    limit_memory()
    print(json.dumps(rows_and_sentences(json.load(sys.stdin), arch)))
