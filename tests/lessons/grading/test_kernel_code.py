"""A learner's kernel is compiled, and nothing of the file is run."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path

import pytest

from lessons.grading.kernel_code import SHAPES, kernel_text, machine_code
from lessons.grading.registry import lessons, tasks_of

HEAD = "import triton\nimport triton.language as tl\n\n"
KERNEL = """
HALF: tl.constexpr = 4
MASK = 15


@triton.jit
def nibble(byte, i):
    return tl.where(i % 2 == 0, byte >> HALF, byte & MASK)


@triton.jit
def dequantize_kernel(
    codes_ptr, absmax_ptr, levels_ptr, out_ptr, n, BLOCK_SIZE: tl.constexpr, SIZE: tl.constexpr
):
    i = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    byte = tl.load(codes_ptr + i // 2, mask=i < n, other=0).to(tl.int32)
    scale = tl.load(absmax_ptr + i // BLOCK_SIZE, mask=i < n, other=0.0)
    tl.store(out_ptr + i, tl.load(levels_ptr + nibble(byte, i)) * scale, mask=i < n)
"""


def test_a_kernel_s_text_is_itself_and_what_it_calls() -> None:
    code = f"{HEAD}import os\nprint(os.getcwd())\n{KERNEL}\ndef other():\n    return os\n"
    text = kernel_text(code, "dequantize_kernel")
    assert text.startswith(HEAD)
    assert "os" not in text.replace("absmax_ptr", "")
    assert [word in text for word in ("def nibble", "HALF: tl.constexpr = 4", "MASK = 15")] == [
        True, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        "getattr(tl, 'core')",
        "x.__class__",
        "tl.load.fn(x)",
        "tl.core.os.system('echo')",
        "y = tl\n    y.store(x, 1)",
        "open('file')",
        "(lambda: os)()",
    ],
)
def test_a_kernel_that_leaves_triton_s_language_is_refused(body: str) -> None:
    code = f"{HEAD}import os\n\n@triton.jit\ndef quantize_kernel(x):\n    {body}\n"
    with pytest.raises(ValueError, match=r"cannot use|can use tl only|needs line 4"):
        kernel_text(code, "quantize_kernel")


@pytest.mark.parametrize(
    "code",
    [
        "SIZE = print(1)\n@triton.jit\ndef quantize_kernel(x):\n    SIZE\n",
        "@triton.jit\ndef quantize_kernel(x=print(1)):\n    pass\n",
        "@triton.jit(debug=print(1))\ndef quantize_kernel(x):\n    pass\n",
        "@print\n@triton.jit\ndef quantize_kernel(x):\n    pass\n",
        "@triton.jit\ndef quantize_kernel(x: print(1)):\n    pass\n",
        "for i in range(3):\n    quantize_kernel = i\n",
    ],
)
def test_what_would_run_while_the_file_is_read_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match=r"only functions under @triton\.jit and constants"):
        kernel_text(HEAD + code, "quantize_kernel")


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
def test_the_learner_s_kernel_stands_beside_the_library_s(tmp_path: Path) -> None:
    spy = tmp_path / "was run"
    code = f"{HEAD}open({str(spy)!r}, 'w')\n{KERNEL}\n"
    other = "@triton.jit\ndef quantize_kernel(x_ptr, thresholds_ptr, codes_ptr, absmax_ptr, n, "
    code += f"{other}BLOCK_SIZE: tl.constexpr):\n    tl.nonsense(x_ptr)\n"
    rows, sentences = machine_code(code, ("dequantize_kernel", "quantize_kernel"))
    assert not spy.exists()
    (made,) = rows.values()
    assert [row.kernel for row in made] == ["yours", "dequantize", "dequantize_fast"]
    yours, plain, fast = made
    # The plain kernel computes its offsets in 64 bits, which costs a few instructions more.
    assert 0.5 < yours.instructions_per_element / plain.instructions_per_element < 1.2
    assert fast.instructions_per_element < yours.instructions_per_element / 2
    assert (yours.store_bytes, fast.store_bytes, yours.spill_bytes) == (2, 16, 0)
    (sentence,) = sentences
    assert sentence.startswith("quantize_kernel does not compile for sm_90")


def test_every_kernel_has_a_type_for_each_argument() -> None:
    kernels = {t.name: t for n in lessons() for t in tasks_of(n) if t.triton}
    for name, task in kernels.items():
        names = list(inspect.signature(task.reference).parameters)
        shape = SHAPES[name]
        assert [*shape["signature"], *shape["constexprs"]] == names
