"""Finds what a name of a file needs: the top-level statements that it reaches, directly or not.

It is asked for four things: which other exercises a solution calls, which solutions a change to a
file touches, what of a notebook belongs to a solution, and what a function of the library needs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator


def bound_names(statement: ast.stmt) -> set[str]:
    """Returns the names that a top-level statement binds, or whose object it changes in place.

    `table[3] = 4` and `table += [4]` belong to table as much as `table = []` does.
    """
    names: set[str] = set()
    for node in without_scopes(statement):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            names.add(node.id)
        elif isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            root: ast.expr = node
            while isinstance(root, (ast.Subscript, ast.Attribute)):
                root = root.value
            names |= {root.id} if isinstance(root, ast.Name) else set()
    return names


# What has names of its own, which are not the file's.
SCOPES = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)


def without_scopes(node: ast.AST) -> Iterator[ast.AST]:
    """Yields a node and what is in it, but not what is inside functions, classes and the like."""
    yield node
    if not isinstance(node, SCOPES):
        for child in ast.iter_child_nodes(node):
            yield from without_scopes(child)


def used_names(node: ast.AST) -> set[str]:
    """Returns every name that is read somewhere in a node; local ones too, which does no harm."""
    return {
        found.id
        for found in ast.walk(node)
        if isinstance(found, ast.Name) and isinstance(found.ctx, ast.Load)
    } | {name for found in ast.walk(node) if isinstance(found, ast.Global) for name in found.names}


def needed(tree: ast.Module, *names: str) -> list[ast.stmt]:
    """Returns the top-level statements that these names need, in the order of the file.

    All statements that bind a needed name count: of two definitions the later one wins, but a
    third may have taken hold of the first.
    """
    binding: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for name in bound_names(statement):
            binding.setdefault(name, []).append(statement)
    reached: dict[int, ast.stmt] = {}
    waiting, seen = list(names), set(names)
    while waiting:
        for statement in binding.get(waiting.pop(), []):
            if id(statement) not in reached:
                reached[id(statement)] = statement
                new = (used_names(statement) | bound_names(statement)) - seen
                seen |= new
                waiting += new
    return [statement for statement in tree.body if id(statement) in reached]


def reached_names(tree: ast.Module, name: str) -> set[str]:
    """Returns the names that a name's code reaches, whether the file defines them or not."""
    return set().union(*(used_names(s) | bound_names(s) for s in needed(tree, name)))


def fingerprint(tree: ast.Module, name: str) -> str:
    """Returns what changes when a name's code does, and not when a comment or a space does.

    Statements that bind nothing (a print, a call) could change anything, so they are in it.
    """
    loose = [s for s in tree.body if not bound_names(s) and not is_docstring(s)]
    return "\n".join(ast.dump(statement) for statement in [*needed(tree, name), *loose])


def is_docstring(statement: ast.stmt) -> bool:
    """Returns whether a statement is a text and nothing else."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
