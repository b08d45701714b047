"""A lesson's Markdown in a terminal: plain words, and formulas that can be read."""

from __future__ import annotations

import re

import pytest

from lessons.book.cells import Cell, read_cells
from lessons.book.formulas import formula_text
from lessons.book.terminal import announcement, whole
from minigpt.command.lesson import lesson_scripts


def prose(text: str) -> Cell:
    return Cell("markdown", text, 1)


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"-\ln p", "−ln p"),
        (r"h = W_0\,x + \frac{\alpha}{r}\,B\,A\,x", "h = W₀ x + (α/r) B A x"),
        (r"e^{-\infty} = 0", "e^(−∞) = 0"),
        (r"\varepsilon = 10^{-5}", "ε = 10⁻⁵"),
        (r"12C^2 + 13C", "12C² + 13C"),
        (r"\Delta W = W - W_0", "ΔW = W − W₀"),
        (r"\frac{x - \text{mean}}{\sqrt{v + \varepsilon}}", "(x − mean)/√(v + ε)"),
        (r"4 + \frac{8 + 32/256}{B}", "4 + (8 + 32/256)/B"),
        (r"-\ln p_{\text{right}}", "−ln p_right"),
        (r"\sum_v e^{z_v}", "∑_v e^(z_v)"),
        (r"c = 127 / \max|x| \qquad q", "c = 127/max|x|   q"),
        (r"q_i = \tfrac12 Q", "q_i = (1/2) Q"),
        (r"1/\sqrt{2L}", "1/√(2L)"),
        (r"m / \sqrt{v}", "m/√v"),
        (
            r"y = W^{NF4} x + y_{text} + e' - \frac{1}{2} \qquad 1",
            "y = W^NF4 x + y_text + e′ − 1/2   1",
        ),
        (r"x \approx s\,(q - z)", "x ≈ s(q − z)"),
    ],
)
def test_a_formula_becomes_a_line_of_text(latex: str, text: str) -> None:
    assert formula_text(latex) == text


def test_a_formula_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValueError, match=r"this formula cannot be read: '.*frac"):
        formula_text(r"\frac{1}{")


def test_an_announcement_is_a_heading_and_a_sentence() -> None:
    assert announcement(prose("## The end\n\nAll is\nsaid. And done.")) == (
        "\nThe end\n-------\nAll is said.\n"
    )
    assert announcement(prose("## The end")) == "\nThe end\n-------\n"
    assert announcement(prose("Only prose, no end")) == "\nOnly prose, no end\n"
    assert announcement(prose("Your turn: do as Hu et al. did. `start 8` says how.")) == (
        "\nYour turn: do as Hu et al. did.\n"
    )
    assert announcement(prose(r"## Of $\alpha$" + "\n\nA **loss** is $-\\ln p$, see `x`.")) == (
        "\nOf α\n----\nA loss is −ln p, see x.\n"
    )


def test_the_whole_of_a_cell_is_set_for_reading() -> None:
    text = whole(
        prose(
            "## The *end*\n\nAll is **said**, see [the list](GLOSSARY.md):\n\n- one $x_1$\n- two"
            "\n\n$$y = \\frac{a}{b}$$\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nAnd done."
        )
    )
    assert text.startswith(
        "\nThe end\n-------\n\nAll is said, see the list (GLOSSARY.md):\n\n • one x₁\n • two\n\n"
        "    y = a/b\n\n"
    )
    assert text.endswith("\n\nAnd done.\n\n")
    assert re.search(r"a +b\s+[─-]+\s+1 +2", text)


@pytest.mark.parametrize("number", lesson_scripts())
def test_all_of_a_lesson_can_be_printed_and_no_sign_of_markdown_is_left(number: int) -> None:
    cells = read_cells(lesson_scripts()[number].read_text(encoding="utf-8"))
    for cell in cells:
        if cell.is_prose:
            for text in (announcement(cell), whole(cell)):
                assert not re.search(r"\*\*|\$[^ \d]|\\[a-wyz][a-z]+", text), text
                assert all(len(line) <= 88 for line in text.splitlines()), text
