"""What a learner reads in the terminal: a tick, or what went in, what came out, and why.

    ✗ 8.3   merge                                                             0.1 s
        This is what you get when B A is scaled by alpha alone: LoRA scales it by
        alpha / r.

        merge(
            weight = float32 [1, 2]
                0.182  -0.8567
            ...
            alpha = 3
        )

        expected            got
        0.7223* -1.474*     1.263* -2.092*
        * differs

Colors come on a terminal only, and not where NO_COLOR is set; so marks say the same.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lessons.grading.compare import differ
from lessons.grading.registry import lessons, tasks_of
from lessons.grading.show import Grid, beside, same, short, whole

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from lessons.grading.judge import Verdict
    from lessons.grading.kernel_code import Made

INDENT = " " * 4
WIDTH = 80
PIPED = 200  # columns of a table that goes into a file
PRINTED = 12  # lines of what the code printed

# What stands behind the name of a task that did not pass.
WORDS = {
    "failed": "",
    "error": "raised an error",
    "timeout": "took too long",
    "memory": "took too much memory",
    "crashed": "ended the interpreter",
    "forbidden": "uses what is not allowed",
    "not_started": "not started",
    "missing": "not in the file",
    "unchecked": "cannot be checked here",
}
TODO = ("not_started", "missing", "unchecked")
SETTLED = ("passed", "unchecked")  # nothing is left to do here


def make_console(stderr: bool = False) -> Console:
    """Returns a console of rich's that leaves texts as they are.

    Raises:
        ImportError: rich is missing; the error says what to install.
    """
    try:
        from rich.console import Console
    except ImportError:
        raise ImportError("the report needs rich: pip install rich; --json works without") from None
    width = None if (sys.stderr if stderr else sys.stdout).isatty() else PIPED
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, width=width)


class Report:
    """Prints verdicts one by one, and a summary."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or make_console()
        self.width = min(self.console.width, WIDTH)
        try:
            "✓✗·".encode(self.console.encoding)
            self.marks = {True: "✓", False: "✗", None: "·"}
        except UnicodeEncodeError:
            self.marks = {True: "+", False: "x", None: "."}

    def show(self, verdicts: Iterable[Verdict]) -> None:
        """Prints verdicts."""
        for verdict in verdicts:
            self.verdict(verdict)

    def verdict(self, verdict: Verdict) -> None:
        """Prints one verdict: a line, and below it what the learner should know."""
        passed = verdict.status == "passed"
        todo = verdict.status in TODO
        style = "green" if passed else "dim" if todo else "red"
        words = "" if passed else WORDS.get(verdict.status, verdict.status)
        left = f"{self.marks[True if passed else None if todo else False]} {verdict.id}"
        name = f"{left:<7} {verdict.name}" + (f": {words}" if words else "")
        seconds = f"{verdict.seconds:.1f} s" if verdict.seconds >= 0.05 and not todo else ""
        self.line((f"{name:<{self.width - 9}}", style), (f"{seconds:>9}", "dim"))
        if passed or verdict.status == "not_started":
            return
        if verdict.message:
            self.paragraph(verdict.message, "bold" if not todo else "")
        if not todo:
            self.evidence(verdict)
            self.printed(verdict.printed)
        self.console.print()

    def evidence(self, verdict: Verdict) -> None:
        """Prints the inputs, and the right answer beside the learner's."""
        if verdict.case is None:
            return
        self.console.print()
        for line in call_lines(verdict):
            self.line((INDENT + line, ""))
        whole_parts = verdict.expected, verdict.got
        if (found := verdict.difference) is None:  # a property broke; the message says which
            plain = all(isinstance(part, (Tensor, list, tuple)) for part in whole_parts)
            if verdict.status == "failed" and plain and differ(*whole_parts[::-1], None):
                self.console.print()
                self.pair(*whole_parts, None)
            return
        self.console.print()
        where = place_of(verdict)
        if where.startswith("At ") and all(map(is_flat, whole_parts)) and not same(*whole_parts):
            self.pair(*whole_parts, None)
            return
        if where:
            self.line((f"{INDENT}{where}:", ""))
        self.pair(found.expected, found.got, found.wrong)

    def pair(self, expected: Any, got: Any, wrong: Any) -> None:
        """Prints two values beside each other if they have one form, else below each other."""
        dtypes = {getattr(value, "dtype", None) for value in (expected, got)}
        shown = beside(expected, got, wrong) if len(dtypes) == 1 or wrong is not None else None
        if shown is None:
            for name, value in (("expected", expected), ("got", got)):
                first, *others = whole(value)
                self.line((f"{INDENT}{name:<9} {first}", ""))
                for line in others:
                    self.line((f"{INDENT}{'':<9} {line}", ""))
            return
        if shown.where:
            self.line((f"{INDENT}{shown.where}:", "dim"))
        blocks = [block(grid) for grid in shown.grids]
        widths = [max((len(row) for row in rows), default=0) for rows in blocks]
        gap = 4
        if sum(widths) + gap + len(INDENT) <= self.width and len(widths) == 2:
            left = max(widths[0], len("expected"))
            self.line((f"{INDENT}{'expected':<{left + gap}}got", "dim"))
            for i in range(max(map(len, shown.grids))):
                self.row(shown.grids, blocks, i, left + gap)
        else:
            for name, grid, rows in zip(("expected", "got"), shown.grids, blocks, strict=True):
                self.line((f"{INDENT}{name}", "dim"))
                for i in range(len(grid)):
                    self.row([grid], [rows], i, 0)
        if any(cell.differs for row in shown.grids[0] for cell in row):
            self.line((f"{INDENT}* differs", "dim"))

    def row(self, grids: Sequence[Grid], blocks: list[list[str]], i: int, left: int) -> None:
        """Prints row i of grids beside each other, differing cells in red."""
        from rich.text import Text

        line = Text(INDENT)
        for grid, rows in zip(grids, blocks, strict=True):
            text = Text(rows[i] if i < len(rows) else "")
            at = 0
            for cell in grid[i] if i < len(grid) else []:
                at = text.plain.index(cell.text, at)
                if cell.differs:
                    text.stylize(
                        "red" if grid is grids[-1] else "green", at, at + len(cell.text) + 1
                    )
                at += len(cell.text)
            text.pad_right(max(0, left - len(text)))
            line.append(text)
        line.rstrip()
        self.console.print(line, soft_wrap=True)

    def printed(self, text: str) -> None:
        """Prints what the code printed, its last lines."""
        lines = text.splitlines()
        if not lines:
            return
        left_out = f", the last {PRINTED} of {len(lines)} lines" if len(lines) > PRINTED else ""
        self.console.print()
        self.line((f"{INDENT}Your code printed{left_out}:", "dim"))
        for line in lines[-PRINTED:]:
            self.line((f"{INDENT}  {shortened(visible(line), self.width - 6)}", ""))

    def paragraph(self, text: str, style: str) -> None:
        """Prints text that is wrapped and indented."""
        for part in visible(text).splitlines():
            for line in textwrap.wrap(part, self.width - len(INDENT)) or [""]:
                self.line((INDENT + line, style))

    def line(self, *parts: tuple[str, str]) -> None:
        """Prints one line of (text, style) parts, which is not wrapped."""
        from rich.text import Text

        text: Text = Text.assemble(*parts)
        text.rstrip()
        self.console.print(text, soft_wrap=True)

    def machine_code(self, name: str, kernels: Sequence[Made]) -> None:
        """Prints what the compiler made of a kernel, beside the library's for the same thing."""
        heads = ("instructions an element", "widest load", "store", "registers", "spilled")
        rows = [
            (
                kernel.kernel,
                "-" if (n := kernel.instructions_per_element) is None else f"{n:.1f}",
                f"{kernel.load_bytes} bytes",
                f"{kernel.store_bytes} bytes",
                str(kernel.registers),
                f"{kernel.spill_bytes} bytes",
            )
            for kernel in kernels
        ]
        table = [(name, *heads), *rows]
        widths = [max(len(row[i]) for row in table) for i in range(len(heads) + 1)]
        for number, row in enumerate(table):
            cells = [text.rjust(width) for text, width in zip(row, widths, strict=True)]
            cells[0] = row[0].ljust(widths[0])
            self.line((f"{INDENT}{'  '.join(cells)}", "" if number else "dim"))

    def summary(self, lesson: int, verdicts: Sequence[Verdict]) -> None:
        """Prints how many tasks passed and what comes next."""
        count = Counter(verdict.status for verdict in verdicts)
        passed = count["passed"]
        if left := [verdict for verdict in verdicts if verdict.status not in SETTLED]:
            first = left[0]
            after = f"Next: {first.id} {first.name} (minigpt exercise hint {first.id})"
        elif len(verdicts) < len(tasks_of(lesson)):
            after = f"All of lesson {lesson}: minigpt exercise check {lesson}"
        else:
            later = [number for number in lessons() if number > lesson]
            after = (
                f"Next: minigpt exercise start {later[0]}" if later else "That was the last one."
            )
        style = "green" if passed == len(verdicts) else "bold"
        self.line((f"{passed} of {len(verdicts)} passed. ", style), (after, ""))


def is_flat(value: Any) -> bool:
    """Returns whether a value is a list or a dict of plain things, and is best seen whole."""
    if isinstance(value, dict):
        value = list(value.values())
    numbers = (bool, int, float, str)
    return isinstance(value, (list, tuple)) and all(isinstance(item, numbers) for item in value)


def visible(text: str) -> str:
    """Returns text without what could steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def block(grid: Grid) -> list[str]:
    """Returns the rows of a grid as text with aligned columns; cells that differ end in "*"."""
    texts = [[f"{cell.text}{'*' if cell.differs else ' '}" for cell in row] for row in grid]
    n = max((len(row) for row in texts), default=0)
    widths = [max(len(row[j]) for row in texts if j < len(row)) for j in range(n)]
    return [" ".join(text.rjust(widths[j]) for j, text in enumerate(row)) for row in texts]


def call_lines(verdict: Verdict) -> list[str]:
    """Returns the call that went wrong: the function's name and its arguments."""
    given = dict(verdict.arguments)
    launched = launch_lines(given) if verdict.name.endswith("_kernel") else []
    if all(len(whole(value)) == 1 for value in given.values()):
        inside = ", ".join(f"{name}={short(value)}" for name, value in given.items())
        line = f"{verdict.name}({inside})"
        if len(line) <= WIDTH - len(INDENT):
            return [line, *launched]
    lines = [f"{verdict.name}("]
    for name, value in given.items():
        first, *others = whole(value)
        lines += [f"{INDENT}{name} = {first}", *(f"{INDENT}  {line}" for line in others)]
    return [*lines, ")", *launched]


def launch_lines(given: dict[str, Any]) -> list[str]:
    """Takes out of a kernel's arguments how its programs run; returns that in words."""
    order, more = list(given.pop("order", [])), given.pop("more_programs", 0)
    lines = []
    if order != sorted(order):
        lines.append(f"# The programs run in this order: {', '.join(map(str, order))}.")
    if more:
        lines.append(f"# More programs run than are needed: {more}.")
    return lines


def place_of(verdict: Verdict) -> str:
    """Returns where the parts that differ stand, in words; empty for the whole result.

    A difference's path leads into the result, or into what the call left of its arguments, or into
    their gradients.
    """
    found = verdict.difference
    if found is None or not found.path:
        return ""
    at = part_at(verdict.expected, found.path)
    if at is found.expected or same(at, found.expected):
        return f"At {found.path} of the result"
    names = list(dict.fromkeys(name.partition(".")[0] for name in verdict.arguments))
    if match := re.fullmatch(r"(\[0\]|\[1\])?\[(?:(\d+)|'(\w+)')\](.*)", found.path):
        after, number, name, inside = match.groups()
        if number is not None and int(number) < len(names):
            name = names[int(number)]
        if name in names:
            return f"{name}{inside} after the call" if after else f"The gradient of {name}{inside}"
    if at is None and (named := re.fullmatch(r"\['([a-zA-Z][\w ]*)'\]", found.path)):
        return named[1][0].upper() + named[1][1:]  # what a task looks at, in its own words
    return f"At {found.path} of the result"


def part_at(value: Any, path: str) -> Any:
    """Returns the part of a value that a path leads to ("[1]['a']"), None if there is none."""
    try:
        for key in re.findall(r"\[(.*?)\](?=\[|$)", path):
            if not isinstance(value, (dict, list, tuple)):
                return None
            value = value[ast.literal_eval(key)]
    except (LookupError, TypeError, ValueError, SyntaxError):
        return None
    return value


def shortened(text: str, most: int) -> str:
    """Returns text of at most so many letters; dots stand for what is left out."""
    return text if len(text) <= most else f"{text[: most - 4]} ..."
