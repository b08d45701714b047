"""The contrast of two colours, as the Web Content Accessibility Guidelines 2.2 define it."""

from __future__ import annotations

import re

ENOUGH = 4.5  # for text of the usual size, level AA


def contrast(colour: str, other: str) -> float:
    """Returns the contrast of two colours like #1d2127 or #fff, from 1 to 21."""
    darker, lighter = sorted((luminance(colour), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """Returns the relative luminance of a colour, from 0 to 1."""
    digits = colour.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def light_and_dark(css: str) -> tuple[str, str]:
    """Returns a style sheet without its parts for dark surroundings, and those parts alone."""
    mark = "@media screen and (prefers-color-scheme: dark) {"
    light, dark = [], []
    first, *rest = css.split(mark)
    light.append(first)
    for part in rest:
        end = end_of_block(part)
        dark.append(part[:end])
        light.append(part[end + 1 :])
    return "".join(light), "".join(dark)


def end_of_block(css: str) -> int:
    """Returns where the brace stands that closes a block whose opening brace is before css."""
    depth = 1
    for i, sign in enumerate(css):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if depth == 0:
            return i
    raise ValueError("a block of the style sheet is not closed")


def variables(css: str) -> dict[str, str]:
    """Returns the colours that a style sheet names: {"ink": "#1d2127"}."""
    return dict(re.findall(r"--([\w-]+): (#[0-9a-fA-F]{3,6});", css))


def code_colours(css: str) -> dict[str, str]:
    """Returns the colour of each kind of word in code, by its CSS class."""
    return dict(re.findall(r"\.code \.(\w+) \{ color: (#[0-9a-fA-F]{3,6})", css))
