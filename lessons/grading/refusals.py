"""How a submission is told that something is not allowed, in a way that it cannot switch off.

A function that refuses runs in the submission's own process, and Python lets any code there change
another function's globals, defaults and outer variables. So what such a function uses is built into
its code as constants, which cannot be changed: see `fixed`.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
import warnings
from collections.abc import Callable
from typing import Any


class Forbidden(RuntimeError):
    """The submission did something that its task does not allow."""


class ForbiddenImport(Forbidden, ImportError):
    """The submission imported something that is not allowed."""


class ForbiddenFile(Forbidden, PermissionError):
    """The submission opened something that is not allowed."""


# What was refused since it was last emptied: an exception may lose its type on the way through C++.
refused: list[str] = []


def refusal_behind(error: BaseException) -> str | None:
    """Returns the sentence of the refusal that an exception is or comes from; None without one."""
    cause: BaseException | None = error
    for _ in range(20):
        if isinstance(cause, Forbidden):
            return str(cause)
        if cause is None:
            break
        cause = cause.__cause__ or cause.__context__
    text = str(error)
    return next((sentence for sentence in refused if sentence in text), None)


def fixed(function: Callable, constants: dict[str, Any], n_outer: int = 0) -> types.CodeType:
    """Returns the function's code with some of the names that it reads built in as constants.

    Args:
        function: a plain function without defaults and decorators.
        constants: what the names stand for.
        n_outer: how many variables of outer functions the code should have (it does not read them):
            a function can only be given code that has as many as its own.
    """
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(tree, ast.FunctionDef)
    outer = [f"_outer{i}" for i in range(n_outer)]
    # A name that is never read still makes it one of an outer function's.
    unread = ast.parse(f"lambda: ({', '.join(outer)}, 0)").body if outer else []
    tree = ast.fix_missing_locations(_Builder(set(constants)).visit(tree))
    tree.body += unread
    wrapper = ast.parse(f"def wrapper({', '.join(outer)}): pass")
    wrapper.body[0].body = [tree]  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SyntaxWarning: 'str' object is not callable
        code = compile(ast.fix_missing_locations(wrapper), "refusals", "exec")
    for _ in range(2):  # the wrapper's code, then the function's
        code = next(item for item in code.co_consts if isinstance(item, types.CodeType))
    marks = {_mark(name): value for name, value in constants.items()}
    return code.replace(
        co_consts=tuple(marks.get(c, c) if isinstance(c, str) else c for c in code.co_consts)
    )


def _mark(name: str) -> str:
    return f"\0{name}"


class _Builder(ast.NodeTransformer):
    """Puts a marked text where one of the names is read."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.AST:  # noqa: N802
        if node.id in self.names and isinstance(node.ctx, ast.Load):
            return ast.copy_location(ast.Constant(_mark(node.id)), node)
        return node


def _refuse(*args: object, **kwargs: object) -> None:
    note(sentence)  # type: ignore[name-defined] # noqa: F821
    raise forbidden(sentence)  # type: ignore[name-defined] # noqa: F821


def refusal(sentence: str, n_outer: int = 0) -> types.CodeType:
    """Returns the code of a function that raises Forbidden whatever it is called with."""
    constants = {"note": refused.append, "sentence": sentence, "forbidden": Forbidden}
    return fixed(_refuse, constants, n_outer)
