r"""Writes formulas as plain text, for terminals.

formula_text(r"W_0 x + \frac{\alpha}{r} B A x")      # W₀ x + (α/r) B A x
formula_text(r"e^{-\infty} = 0")                     # e^(−∞) = 0

The formula is read by the package that makes MathML of it for the pages; here the elements of that
(mi is a name, mn a number, mo a sign, mfrac a fraction ...) become one line of characters.
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, fromstring

from latex2mathml.converter import convert

RAISED = dict(zip("0123456789+−-()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁽⁾ⁿ", strict=True))
LOWERED = dict(zip("0123456789+−-()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₍₎", strict=True))
SPACED = "=≈≠<>≤≥+−-·×←→∈"  # signs with a space on both sides, where they stand between two things
FENCES = "()[]{}|"
SCRIPTS = {"msub": "_", "munder": "_", "msup": "^", "mover": "^"}
BOTH_SCRIPTS = ("msubsup", "munderover")


def formula_text(latex: str) -> str:
    """Returns a formula in a line of text.

    Raises:
        ValueError: the formula cannot be read.
    """
    try:
        mathml = fromstring(convert(latex.strip()))
    except Exception as error:  # the package has no one class for its errors
        raise ValueError(f"this formula cannot be read: {latex!r} ({error})") from error
    return re.sub(r" {4,}", "   ", text_of(mathml)).strip()


def text_of(element: Element) -> str:
    """Returns an element and all within it as text."""
    kind, parts = name_of(element), list(element)
    if kind in SCRIPTS:
        return text_of(parts[0]) + script(text_of(parts[1]), SCRIPTS[kind])
    if kind in BOTH_SCRIPTS:
        return text_of(parts[0]) + "".join(
            script(text_of(part), sign) for part, sign in zip(parts[1:], "_^", strict=True)
        )
    if kind == "mfrac":
        return "/".join(grouped(text_of(part)) for part in parts)
    if kind == "msqrt":
        return "√" + grouped(row(parts))
    if kind == "mspace":
        wide = re.fullmatch(r"[1-9][\d.]*em", element.get("width", ""))
        return "   " if wide else ""
    return row(parts) if parts else (element.text or "").strip()


def row(elements: list[Element]) -> str:
    """Returns elements side by side, with spaces where a reader needs them."""
    text = ""
    elements = [unwrapped(element) for element in elements]
    for i, element in enumerate(elements):
        part = text_of(element)
        if name_of(element) == "mo":
            binary = part in SPACED and re.search(r"[^\s(\[{,]\s*$", text)
            text += f" {part} " if binary else f"{part} " if part == "," else part
            continue
        if name_of(element) == "mfrac" and has_factor(elements[i + 1 :]):
            part = f"({part})"
        joined = re.search(r"[^\s(\[{/|−Δ-]$", text) and part[:1] not in ("", " ")
        number_before = re.search(r"(^|[^\w.])[\d.]+$", text)
        text += f" {part}" if joined and not number_before and part[:1] not in FENCES else part
    return text


def unwrapped(element: Element) -> Element:
    """Returns an element without others around it that hold nothing else."""
    while name_of(element) in ("mrow", "mstyle") and len(element) == 1:
        element = element[0]
    return element


def has_factor(following: list[Element]) -> bool:
    """Tells whether what follows is multiplied by what stands before it."""
    following = [
        element for element in following if name_of(element) != "mspace" or text_of(element)
    ]
    if not following or name_of(following[0]) == "mspace":
        return False
    return name_of(following[0]) != "mo" or text_of(following[0]) == "("


def script(text: str, sign: str) -> str:
    """Returns a superscript (^) or subscript (_), in small characters if there are such."""
    if re.fullmatch(r"\w( \w)+", text):  # the letters of a word
        text = text.replace(" ", "")
    if text == "′":
        return text
    small = RAISED if sign == "^" else LOWERED
    if all(character in small for character in text):
        return "".join(small[character] for character in text)
    return sign + (text if re.fullmatch(r"[^\W_]+", text) else f"({text})")


def grouped(text: str) -> str:
    """Returns text in parentheses unless it is one thing."""
    return text if re.fullmatch(r"[\d.]+|[^\W\d][\w′]*|√\([^()]*\)", text) else f"({text})"


def name_of(element: Element) -> str:
    """Returns an element's name without its namespace."""
    return element.tag.rpartition("}")[2]
