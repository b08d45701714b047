"""Writes a task's reference as text that runs without minigpt, to stand in for a learner's helper.

Each module of ours that the reference reaches becomes a function that holds what is needed of it,
so that no name in there meets one of the learner's. Its attributes are what others take from it:

    def _minigpt_bpe():
        from itertools import pairwise
        def count_pairs(pieces): ...
        _minigpt_bpe.count_pairs = count_pairs
    _minigpt_bpe()
    count_pairs = _minigpt_bpe.count_pairs

Annotations and docstrings are left out: nobody reads the text, and annotations would need names of
their own. Triton kernels cannot be written so, since Triton reads a kernel's file.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lessons.grading.needs import is_docstring, needed

if TYPE_CHECKING:
    from lessons.grading.task import Task

OURS = ("minigpt", "kernels", "lessons", "tests")


def source_closure(task: Task) -> str | None:
    """Returns text that defines task.name as the reference does; None for a Triton kernel."""
    if task.triton:
        return None
    made = inspect.unwrap(task.reference)
    module, name = made.__module__, made.__qualname__
    parts: list[str] = []
    for there, names in modules_needed(module, name).items():
        given = "\n".join(f"{space(there)}.{name} = {name}" for name in sorted(names))
        function = ast.parse(f"def {space(there)}():\n    pass").body[0]
        assert isinstance(function, ast.FunctionDef)
        function.body = [*needed(rewritten(there), *names), *ast.parse(given).body]
        parts += [ast.unparse(function), f"{space(there)}()"]
    return "\n".join([*parts, f"{task.name} = {space(module)}.{name}"]) + "\n"


def space(module: str) -> str:
    """Returns the name of the function that holds a module's part."""
    return "_" + module.replace(".", "_")


def modules_needed(module: str, name: str) -> dict[str, set[str]]:
    """Returns the names that are needed of each module of ours, those that are needed first."""
    wanted: dict[str, set[str]] = {}

    def add(module: str, name: str) -> None:
        if name in wanted.setdefault(module, set()):
            return
        wanted[module].add(name)
        for there, other in taken_from_ours(needed(rewritten(module), name)):
            add(there, other)
        wanted[module] = wanted.pop(module)

    add(module, name)
    return wanted


def taken_from_ours(statements: list[ast.stmt]) -> set[tuple[str, str]]:
    """Returns the (module, name) of each `_minigpt_bpe.count_pairs` in these statements."""
    spaces = {space(module): module for module in sys.modules if is_ours(module)}
    return {
        (spaces[node.value.id], node.attr)
        for statement in statements
        for node in ast.walk(statement)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in spaces
    }


def is_ours(module: str) -> bool:
    """Returns whether a module is of this project."""
    return module.partition(".")[0] in OURS


@cache
def rewritten(module: str) -> ast.Module:
    """Returns a module's text, parsed, with imports of ours as `name = _minigpt_bpe.name`."""
    tree: ast.Module = Rewriter().visit(ast.parse(inspect.getsource(import_module(module))))
    return ast.fix_missing_locations(tree)


class Rewriter(ast.NodeTransformer):
    """Takes annotations, docstrings and imports of ours out of a module."""

    def __init__(self) -> None:
        self.aliases: dict[str, str] = {}  # modules of ours by the names they have here
        self.in_class = False

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        """Makes `from minigpt.bpe import merge_pair as m` to `m = _minigpt_bpe.merge_pair`."""
        if node.module == "__future__":
            return None
        if not is_ours(node.module or ""):
            return node
        lines = []
        for alias in node.names:
            inner, name = f"{node.module}.{alias.name}", alias.asname or alias.name
            if inner in sys.modules:
                self.aliases[name] = inner
            else:
                import_module(str(node.module))  # a late import's
                lines.append(f"{name} = {space(str(node.module))}.{alias.name}")
        return ast.parse("\n".join(lines)).body

    def visit_Import(self, node: ast.Import) -> Any:
        """Remembers the names of our modules."""
        ours = [alias for alias in node.names if is_ours(alias.name)]
        self.aliases |= {alias.asname or alias.name: alias.name for alias in ours}
        node.names = [alias for alias in node.names if not is_ours(alias.name)]
        return node if node.names else None

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        """Makes `bpe.merge_pair` to `_minigpt_bpe.merge_pair`."""
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id in self.aliases:
            node.value = ast.Name(space(self.aliases[node.value.id]), ast.Load())
        return node

    def visit_If(self, node: ast.If) -> Any:
        """Drops what only a type checker reads."""
        if ast.unparse(node.test).endswith("TYPE_CHECKING"):
            return None
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        """Drops annotations and the docstring."""
        outer, self.in_class = self.in_class, False
        node.returns = None
        node.body = [s for s in node.body if not is_docstring(s)] or [ast.Pass()]
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        self.in_class = outer
        return node

    def visit_arg(self, node: ast.arg) -> Any:
        """Drops an argument's annotation."""
        node.annotation = None
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        """Drops the docstring; what is annotated in a class may be a field and stays one."""
        outer, self.in_class = self.in_class, True
        node.body = [s for s in node.body if not is_docstring(s)] or [ast.Pass()]
        self.generic_visit(node)
        self.in_class = outer
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        """Makes `counts: dict = {}` to `counts = {}`; in a class the annotation is `object`."""
        self.generic_visit(node)
        if self.in_class:
            node.annotation = ast.Name("object", ast.Load())
            return node
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign([node.target], node.value), node)
