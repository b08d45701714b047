"""Files that solve nothing: the stub, zeros, NaN, a copy of the input, nothing.

`zeros` and `NaN` have the form of the right answer, which the bank's first solution gives them.
"""

from __future__ import annotations

import ast

from lessons.grading.stub import import_lines, stub_of
from lessons.grading.task import HEADER, TRITON_HEADER, Task

LIKE = """

def _like(value, tensor, number):
    if isinstance(value, torch.Tensor):
        return tensor(value)
    if isinstance(value, dict):
        return {key: _like(part, tensor, number) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        kind = list if isinstance(value, list) else tuple
        return kind(_like(part, tensor, number) for part in value)
    return number if type(value) in (int, float) else None


def _nan(tensor):
    return torch.full_like(tensor, math.nan if tensor.is_floating_point() else 0)
"""
# What a function returns instead; `right` is the right function, `first` its first real argument.
INSTEAD = {
    "zeros": "_like({right}(*args, **kwargs), torch.zeros_like, 0)",
    "NaN": "_like({right}(*args, **kwargs), _nan, math.nan)",
    "a copy of the input": "(args[{first}].clone() if isinstance(args[{first}], torch.Tensor) "
    "else args[{first}]) if len(args) > {first} else None",
    "nothing": "None",
}


def submission_of(task: Task, code: str) -> str:
    """Returns a bank's text as a file that a learner could hand in."""
    return HEADER + (TRITON_HEADER if task.triton else "") + "\n\n" + code


def trivial_solutions(task: Task) -> dict[str, str]:
    """Returns the texts of files that solve nothing, by what they are.

    A class is the right one but for what its methods return; a kernel writes nothing.
    """
    stub = stub_of(task)
    texts = {"the stub": "\n".join([*import_lines([stub]), *stub.aliases, "", stub.code])}
    right = submission_of(task, task.bank.answers[0])
    node = definition_of(right, task.name)
    if task.triton:
        node.body = [ast.Pass()]
        return texts | {"nothing": f"{submission_of(task, '')}{ast.unparse(node)}\n"}
    for what, instead in INSTEAD.items():
        if isinstance(node, ast.ClassDef):
            changes = [in_class(node, method, instead) for method in methods_of(node)]
        else:
            changes = [f"_right = {node.name}\n{replacement(node.name, '_right', 0, instead)}"]
        texts[what] = "\n\n".join([right, LIKE, *changes]) + "\n"
    return texts


def definition_of(code: str, name: str) -> ast.FunctionDef | ast.ClassDef:
    """Returns the last definition of a name in a text."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    found = [s for s in ast.parse(code).body if isinstance(s, kinds) and s.name == name]
    return found[-1]


def methods_of(node: ast.ClassDef) -> list[ast.FunctionDef]:
    """Returns the methods that others call."""
    functions = [s for s in node.body if isinstance(s, ast.FunctionDef)]
    return [f for f in functions if f.name == "__call__" or not f.name.startswith("_")]


def in_class(node: ast.ClassDef, method: ast.FunctionDef, instead: str) -> str:
    """Returns lines that put something else in a method's place; self and ctx come first in it."""
    right, blank = f"_right_{method.name}", f"_blank_{method.name}"
    static = any(ast.unparse(d) == "staticmethod" for d in method.decorator_list)
    wrapped = f"staticmethod({blank})" if static else blank
    return (
        f"{right} = {node.name}.{method.name}\n{replacement(blank, right, 1, instead)}"
        f"{node.name}.{method.name} = {wrapped}\n"
    )


def replacement(name: str, right: str, first: int, instead: str) -> str:
    """Returns the text of a function that returns something else than the right one."""
    value = instead.format(right=right, first=first)
    return f"\n\ndef {name}(*args, **kwargs):\n    return {value}\n\n\n"
