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


class ForbiddenError(RuntimeError):
    """The submission did something that its task does not allow."""


class ForbiddenImportError(ForbiddenError, ImportError):
    """The submission imported something that is not allowed."""


class ForbiddenSystemError(ForbiddenError, PermissionError):
    """The submission reached for files, processes or the network."""


# What was refused since it was last emptied: an exception may lose its type on the way through C++.
refused: list[str] = []


def refusal_behind(error: BaseException) -> str | None:
    """Returns the sentence of the refusal that an exception is or comes from; None without one."""
    cause: BaseException | None = error
    for _ in range(20):
        if isinstance(cause, ForbiddenError):
            return str(cause)
        if cause is None:
            break
        cause = cause.__cause__ or cause.__context__
    text = str(error)
    return next((sentence for sentence in refused if sentence in text), None)


def fixed(function: Callable, n_outer: int = 0) -> types.CodeType:
    """Returns the function's code with all that it reads from outside built in as constants.

    Args:
        function: a plain function without defaults and decorators.
        n_outer: how many variables of outer functions the code should have (it does not read them):
            a function can only be given code that has as many as its own.
    """
    found = inspect.getclosurevars(function)
    constants = {**found.builtins, **found.globals, **found.nonlocals}
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(tree, ast.FunctionDef)
    tree = _Builder(set(constants)).visit(tree)
    outer = [f"_outer{i}" for i in range(n_outer)]
    # A name that is never read still makes it one of an outer function's.
    tree.body += ast.parse(f"lambda: ({', '.join(outer)}, 0)").body if outer else []
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

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self.names and isinstance(node.ctx, ast.Load):
            return ast.copy_location(ast.Constant(_mark(node.id)), node)
        return node


def refusal(sentence: str, n_outer: int = 0) -> types.CodeType:
    """Returns the code of a function that raises ForbiddenError whatever it is called with."""

    def refuse(*args: object, **kwargs: object) -> None:
        refused.append(sentence)
        raise ForbiddenError(sentence)

    return fixed(refuse, n_outer)
