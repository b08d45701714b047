"""Of a learner's file only a kernel and what it calls is let through, and nothing of it is run."""

from __future__ import annotations

import importlib.util

import pytest

from lessons.grading.kernel_text import check_language, kernel_text, loose_constants
from tests.lessons.grading.learner_kernel import HEAD, KERNEL


def test_a_kernel_s_text_is_itself_and_what_it_calls() -> None:
    code = f"{HEAD}import os\nprint(os.getcwd())\n{KERNEL}\ndef other():\n    return os\n"
    text = kernel_text(code, "dequantize_kernel")
    assert text.startswith(HEAD)
    assert "os" not in text
    for line in ("def nibble(byte, i):", "HALF = tl.constexpr(4)", "MASK = tl.constexpr(15)"):
        assert line in text


def test_types_that_are_not_constexpr_are_left_out() -> None:
    code = f"{HEAD}import torch\n@triton.jit\ndef quantize_kernel(x: torch.Tensor, n: print(1), "
    code += "B: tl.constexpr) -> None:\n    tl.store(x, n)\n"
    text = kernel_text(code, "quantize_kernel")
    assert "def quantize_kernel(x, n, B: tl.constexpr):" in text
    assert "torch" not in text
    assert "print" not in text


def test_constants_that_triton_would_refuse_are_named() -> None:
    code = f"{HEAD}A = tl.constexpr(1)\nB: tl.constexpr = 2\nC = -3\nD = 4\n"
    code += "@triton.jit\ndef quantize_kernel(x):\n    tl.store(x, A + B + C)\n"
    assert loose_constants(code, "quantize_kernel") == [
        ("B: tl.constexpr = 2", "B = tl.constexpr(2)"),
        ("C = -3", "C = tl.constexpr(-3)"),
    ]


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
        "for i in range(3):\n    quantize_kernel = i\n",
    ],
)
def test_what_would_run_while_the_file_is_read_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match=r"only functions under @triton\.jit and constants"):
        kernel_text(HEAD + code, "quantize_kernel")


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
@pytest.mark.parametrize(
    ("used", "refused"),
    [
        ("tl.math.exp(x)", None),
        ("triton.cdiv(7, 2)", None),
        ("tl.standard.cdiv(7, 2)", "tl.standard"),
        ("triton.testing.do_bench(x)", "triton.testing"),
    ],
)
def test_modules_of_triton_that_are_not_its_language_are_refused(
    used: str, refused: str | None
) -> None:
    text = f"{HEAD}@triton.jit\ndef quantize_kernel(x):\n    {used}\n"
    if refused is None:
        check_language(text)
        return
    with pytest.raises(ValueError, match=f"cannot use {refused}$"):
        check_language(text)
