"""What a name of a file needs, read from its text."""

from __future__ import annotations

import ast

import pytest

from lessons.grading.needs import bound_names, fingerprint, needed, reached_names

FILE = """\
import math
from collections import Counter as C, deque

SCALE = 2
SCALE += 1
table = {}
table[3] = SCALE

def inner(x):
    return math.sqrt(x) * SCALE

def outer(x):
    return inner(x) + missing(x)

def alone(n):
    return [n for n in range(n)]

numbers = [inner for inner in range(3)]
if SCALE > 2:
    def chosen():
        return table
else:
    chosen = None
"""


def kept(name: str) -> list[str]:
    """Returns the first line of each statement that a name of FILE needs."""
    return [ast.unparse(statement).splitlines()[0] for statement in needed(ast.parse(FILE), name)]


def test_a_function_needs_what_it_reaches_and_nothing_else() -> None:
    assert kept("outer") == [
        "import math", "SCALE = 2", "SCALE += 1", "def inner(x):", "def outer(x):",
    ]  # fmt: skip
    assert kept("alone") == ["def alone(n):"]
    assert kept("nowhere") == []


def test_what_changes_an_object_in_place_belongs_to_it() -> None:
    assert "table[3] = SCALE" in kept("chosen")
    assert kept("chosen")[-1] == "if SCALE > 2:"


def test_names_of_a_comprehension_are_not_the_file_s() -> None:
    (statement,) = ast.parse("numbers = [inner for inner in range(3)]").body
    assert bound_names(statement) == {"numbers"}


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("import a.b, c as d", {"a", "d"}),
        ("from a import b as c, e", {"c", "e"}),
        ("x, (y, *z) = 1, (2, 3)", {"x", "y", "z"}),
        ("a.b[1].c = 2", {"a"}),
        ("with f() as g: pass", {"g"}),
        ("for i in range(3): k = i", {"i", "k"}),
        ("print(1)", set()),
    ],
)
def test_bound_names_of_every_kind_of_statement(line: str, names: set[str]) -> None:
    (statement,) = ast.parse(line).body
    assert bound_names(statement) == names


def test_reached_names_hold_what_the_file_does_not_define() -> None:
    reached = reached_names(ast.parse(FILE), "outer")
    assert {"outer", "inner", "missing", "math", "SCALE"} <= reached
    assert "alone" not in reached


def test_a_fingerprint_changes_with_the_code_and_not_with_a_comment() -> None:
    before = fingerprint(ast.parse(FILE), "outer")
    commented = FILE.replace("def inner(x):", "def inner(x):  # the root\n")
    assert fingerprint(ast.parse(commented), "outer") == before
    assert fingerprint(ast.parse(FILE.replace("range(n)", "range(n + 1)")), "outer") == before
    assert fingerprint(ast.parse(FILE.replace("SCALE += 1", "SCALE += 2")), "outer") != before
    assert fingerprint(ast.parse(f"{FILE}print(1)\n"), "outer") != before
