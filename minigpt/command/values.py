"""What the value of an option may be: each function reads the text behind it, or refuses it.

    add("--steps", type=whole(1))       # --steps must be a whole number from 1 to ..., got '0'
    add("--data", type=file_to_read)    # --data must be a file, and there is no 'notes.txt'

So a wrong value is refused before anything starts, and the refusal names the option.
"""

from __future__ import annotations

import math
import os
from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt.files.model_files import ADAPTER, MODEL, OTHER_WEIGHTS, RESULTS, RUN, TOKENIZER

MOST = 10**9  # of whatever is counted: steps, rows, tokens
LARGEST_SEED = 2**32 - 1  # every generator takes it, and a lesson can count on from it
LONGEST_PATH, LONGEST_NAME = 4096, 255  # bytes: limits of Linux, and of most file systems


def whole(least: int, most: int = MOST) -> Callable[[str], int]:
    """Returns a reader of whole numbers from least to most."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:  # also if it has more digits than Python converts
            value = least - 1
        if not least <= value <= most:
            raise ArgumentTypeError(
                f"must be a whole number from {least} to {most:,}, got {shown(text)}"
            )
        return value

    return read


def number(
    least: float = 0.0, most: float = math.inf, above: float = -math.inf, below: float = math.inf
) -> Callable[[str], float]:
    """Returns a reader of finite numbers of at least `least` and at most `most`.

    Args:
        above, below: bounds that it may not reach.
    """
    bounds = {"of at least": least, "above": above, "at most": most, "below": below}
    if above >= least:
        del bounds["of at least"]
    words = [f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound)]

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        inside = least <= value <= most and above < value < below
        if not (inside and math.isfinite(value)):
            raise ArgumentTypeError(f"must be a number {' and '.join(words)}, got {shown(text)}")
        return value

    return read


learning_rate = number(above=0, most=1e38)  # fp32 cannot hold more
seed = whole(0, LARGEST_SEED)


def text(given: str) -> str:
    """Returns a text as the user typed it, also where the system's own encoding cannot say it.

    Python hides bytes that are not in that encoding in half characters. Here they become UTF-8
    again, which terminals write whatever the locale says; what is not UTF-8 becomes U+FFFD.
    """
    try:
        return os.fsencode(given).decode("utf-8", errors="replace")
    except UnicodeEncodeError:  # a half character that no byte hides in, or an ASCII file system
        return given.encode("utf-8", errors="surrogatepass").decode("utf-8", errors="replace")


def names(given: str) -> tuple[str, ...]:
    """Returns the names in a list with commas between them."""
    found = tuple(name.strip() for name in text(given).split(","))
    if not all(found):
        raise ArgumentTypeError(f"must be names with commas between them, got {shown(given)}")
    return found


def template(given: str) -> str:
    """Returns a template that names fields, as "{question} Answer:"."""
    from minigpt.text.template import fields_of  # `minigpt doctor` has to do without its packages

    written = text(given)
    try:
        fields = fields_of(written)
    except ValueError as error:
        raise ArgumentTypeError(f"must be text with fields in braces: {error}") from None
    if not fields:
        raise ArgumentTypeError(
            f"must name a field of the records, as {{text}}, got {shown(given)}"
        )
    return written


def field(given: str) -> str:
    """Returns the name of a field, as text or messages[0][content]; "" is one too."""
    from minigpt.text.template import named_field

    written = text(given)
    if written:
        try:
            named_field(written)
        except ValueError:
            raise ArgumentTypeError(
                f"must be a field's name, as text or messages[0][content], got {shown(given)}"
            ) from None
    return written


def field_or_template(given: str) -> str:
    """Returns the name of a field, or a template if there is a brace."""
    return template(given) if "{" in given else field(given)


def path(given: str) -> Path:
    """Returns what may be the name of a file or a folder, whether it is there or not."""
    if not given:
        raise ArgumentTypeError("must be a file's or a folder's name, got nothing")
    try:
        name = os.fsencode(given)
    except UnicodeEncodeError:
        name = b"\0"
    if b"\0" in name:
        raise ArgumentTypeError(f"must be a name that the file system can hold, got {shown(given)}")
    longest = max((len(os.fsencode(part)) for part in Path(given).parts), default=0)
    if len(name) >= LONGEST_PATH or longest > LONGEST_NAME:
        raise ArgumentTypeError(
            f"must be a path of fewer than {LONGEST_PATH} bytes with names of at most "
            f"{LONGEST_NAME}, got one of {len(name)}: {shown(given)}"
        )
    return Path(given)


def name_or_path(given: str) -> str:
    """Returns what may be a name of ours, such as base, or that of a file or a folder."""
    return str(path(given))


@dataclass(frozen=True)
class PathTo:
    """Reads the name of a file or a folder. What is there is looked at before the command starts.

    Attributes:
        problem: says why it cannot be used: "must be ...", or "" if it can.
        written: the file will be written.
    """

    problem: Callable[[Path], str]
    written: bool = False

    def __call__(self, given: str) -> Path:
        """Returns the path; see `path`."""
        return path(given)


def _no_file(found: Path) -> str:
    if not os.path.lexists(found):
        return f"must be a file, and there is no {shown(found)}"
    if os.path.isdir(found):
        return f"must be a file, and {shown(found)} is a folder"
    if not os.path.isfile(found):
        return f"must be a file, and {shown(found)} is a pipe, a device or a link to nothing"
    return (
        "" if os.access(found, os.R_OK) else f"must be a file that may be read, got {shown(found)}"
    )


def _no_file_or_folder(found: Path) -> str:
    problem = "" if os.path.isdir(found) else _no_file(found)
    return problem.replace("a file", "a file or a folder", 1)


def _no_folder(found: Path) -> str:
    if os.path.lexists(found) and not os.path.isdir(found):
        return f"must be a folder, and {shown(found)} is not one"
    return ""


def _no_new_folder(found: Path) -> str:
    there = found
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not os.path.isdir(there):
        return f"needs a folder, and {shown(there)} is not one"
    may = os.access(there, os.W_OK | os.X_OK)
    return "" if may else f"needs a folder that may be written to, and {shown(there)} may not"


def _no_new_file(found: Path) -> str:
    if os.path.isdir(found):
        return f"must be a file to write, and {shown(found)} is a folder"
    if os.path.lexists(found) and not os.path.isfile(found):
        return f"must be a file, and {shown(found)} is a pipe, a device or a link to nothing"
    kinds = (MODEL, OTHER_WEIGHTS, TOKENIZER, ADAPTER, RESULTS, RUN)
    if os.path.lexists(found) and any(kind.fullmatch(found.name) for kind in kinds):
        return f"must not be a file of a model or of a run, got {shown(found)}; take another name"
    return _no_new_folder(found.parent)


class NumberOrFile(PathTo):
    """Reads a number above 0, or else the name of a file."""

    def __call__(self, given: str) -> Any:
        """Returns the number or the path."""
        try:
            float(given)
        except ValueError:
            return path(given)
        return number(above=0, most=MOST)(given)


number_or_file = NumberOrFile(_no_file)
file_to_read = PathTo(_no_file)
file_or_folder_to_read = PathTo(_no_file_or_folder)
file_to_write = PathTo(_no_new_file, written=True)  # it may be there
folder = PathTo(_no_folder)  # it need not be there
folder_to_write = PathTo(_no_new_folder)  # nor need this


def shown(given: object) -> str:
    """Returns what was given in quotes, on one line, shortened if it is long."""
    return f"'{on_one_line(str(given), 80)}'"


def on_one_line(text: str, longest: int) -> str:
    r"""Returns text with line ends, controls and half characters as \n, \x1b, \ud83d.

    What is longer than so many characters loses its middle.
    """
    if len(text) > longest:
        text = f"{text[: 2 * longest // 3]}...{text[-longest // 3 :]}"
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )
