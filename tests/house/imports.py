"""Reads the imports of a tree of Python files from their text; nothing is run.

A tree is a dict from a file's path to its text, so that a made-up one is as good as ours. An
import is *late* when it stands inside a function, and *typing* when it stands under
`if TYPE_CHECKING`: such an import is never executed, and no rule of order counts it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("minigpt", "kernels", "lessons", "tests")


class Import(NamedTuple):
    """An import in line `line` of `file`, and what it reaches.

    target is the path of a file of the tree, or the name of a package that is not in the tree.
    """

    file: str
    line: int
    module: str
    target: str
    late: bool
    typing: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: imports {self.module}{' late' if self.late else ''}"


class Tree:
    """Python files and their imports.

    Args:
        texts: path -> text; a path is relative to the root, with "/" on every system.
    """

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts
        self.parsed = {file: ast.parse(text, file) for file, text in texts.items()}

    @cached_property
    def imports(self) -> list[Import]:
        """Returns every import of every file, in the order of their lines."""
        found = (found for file in self.texts for found in self._imports_of(file))
        return list(dict.fromkeys(found))  # one of `from module import a, b`

    def executed(self, exceptions: Iterable[tuple[str, str]] = ()) -> list[Import]:
        """Returns the imports from one file of the tree to another that are executed some time.

        Args:
            exceptions: pairs of beginnings of paths; late imports between such files are left out.
        """
        return [
            found
            for found in self.imports
            if found.target in self.texts
            and not found.typing
            and not (found.late and any(is_excepted(found, pair) for pair in exceptions))
        ]

    def _imports_of(self, file: str) -> Iterator[Import]:
        for node, late, typing in walk(self.parsed[file]):
            for module, name in modules_of(node, file):
                target = self._target(module, name)
                named = name and (self._target(module) != target or "__init__" in target)
                whole = f"{module}.{name}" if named else module
                yield Import(file, node.lineno, whole, target, late, typing)

    def _target(self, module: str, name: str = "") -> str:
        """Returns the file that `from module import name` reaches, or the outer package's name."""
        folder = module.replace(".", "/")
        inner = (f"{folder}/{name}.py", f"{folder}/{name}/__init__.py") if name else ()
        for path in (*inner, f"{folder}.py", f"{folder}/__init__.py"):
            if path in self.texts:
                return path
        return module.partition(".")[0]


def read_tree(root: Path) -> Tree:
    """Reads the Python files of our packages below root."""
    files = sorted(file for package in PACKAGES for file in (root / package).rglob("*.py"))
    return Tree({f.relative_to(root).as_posix(): f.read_text(encoding="utf-8") for f in files})


def is_excepted(found: Import, pair: tuple[str, str]) -> bool:
    """Returns whether an import goes from a file that pair[0] begins to one that pair[1] begins."""
    return found.file.startswith(pair[0]) and found.target.startswith(pair[1])


def walk(
    node: ast.AST, late: bool = False, typing: bool = False
) -> Iterator[tuple[ast.stmt | ast.expr, bool, bool]]:
    """Yields statements and expressions with (inside a function?, under `if TYPE_CHECKING`?)."""
    if isinstance(node, ast.stmt | ast.expr):
        yield node, late, typing
    late = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    guarded = node.body if isinstance(node, ast.If) and is_type_checking(node.test) else []
    for child in ast.iter_child_nodes(node):
        yield from walk(child, late, typing or child in guarded)


def is_type_checking(test: ast.expr) -> bool:
    """Returns whether a condition is TYPE_CHECKING or typing.TYPE_CHECKING."""
    return ast.unparse(test).rpartition(".")[2] == "TYPE_CHECKING"


def modules_of(node: ast.AST, file: str) -> list[tuple[str, str]]:
    """Returns the (module, name) pairs that a node imports; name is "" for `import module`.

    import_module("module") and __import__("module") count too.
    """
    if isinstance(node, ast.Import):
        return [(alias.name, "") for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        above = file.split("/")[: -node.level] if node.level else []
        module = ".".join([*above, *([node.module] if node.module else [])])
        return [(module, alias.name) for alias in node.names]
    if (
        isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] in ("import_module", "__import__")
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    ):
        return [(node.args[0].value, "")]
    return []


def room_of(file: str) -> str:
    """Returns the room a file stands in: its folder, or itself on the ground floor of a package.

    minigpt/__main__.py starts the command and belongs to it.
    """
    if file == "minigpt/__main__.py":
        return "minigpt/command"
    folder, _, _ = file.rpartition("/")
    return file if folder in ("minigpt", "kernels", "lessons") else folder
