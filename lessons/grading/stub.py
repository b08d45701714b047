"""Writes what a learner starts from: the head of each exercise, taken from its reference.

A stub is the reference's signature and docstring with the worked example; its body raises
NotImplementedError("exercise 8.2"). So it cannot say anything else than what is graded. Where the
reference's own words are not a learner's, the task brings a stub of its own (Task.stub).
"""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import textwrap
from dataclasses import dataclass, field
from doctest import DocTestParser
from types import GenericAlias
from typing import TYPE_CHECKING, Any

from lessons.grading.needs import used_names

if TYPE_CHECKING:
    from lessons.grading.task import Task

WIDTH = 100

# Where the names in signatures come from. A name that is not here is an alias of the reference's
# file, which is written out, or a type of ours, which becomes Any.
IMPORTS = {
    "torch": "import torch",
    "np": "import numpy as np",
    "triton": "import triton",
    "tl": "import triton.language as tl",
    "nn": "from torch import nn",
    "Tensor": "from torch import Tensor",
    **dict.fromkeys(("Counter", "defaultdict"), "from collections import {}"),
    **dict.fromkeys(("Any", "Literal", "NamedTuple"), "from typing import {}"),
    **dict.fromkeys(
        ("Callable", "Hashable", "Iterable", "Iterator", "Mapping", "Sequence"),
        "from collections.abc import {}",
    ),
}


@dataclass
class Stub:
    """The beginning of one exercise.

    Attributes:
        code: the text of the function or class.
        names: the imported names that it needs.
        aliases: lines such as "Pair = tuple[int, int]".
    """

    code: str
    names: set[str] = field(default_factory=set)
    aliases: list[str] = field(default_factory=list)


def stub_of(task: Task) -> Stub:
    """Returns a task's stub."""
    text = task.stub if task.stub is not None else source_text(task)
    node = parsed_head(text)
    if isinstance(node, ast.ClassDef) and not any(
        isinstance(s, ast.FunctionDef) for s in node.body
    ):
        node.body += parsed_head(source_text(task)).body[1:]
    node.name = task.name
    typed = "".join(part.source for part in DocTestParser().get_examples(task.example))
    stub = Stub("", used_names(ast.parse(typed)) & IMPORTS.keys())
    example = "" if ">>>" in (ast.get_docstring(node) or "") else task.example
    stub.code = definition(node, task, example, stub)
    return stub


def source_text(task: Task) -> str:
    """Returns the text of the reference."""
    made = getattr(task.reference, "fn", task.reference)  # triton.jit keeps the function there
    return textwrap.dedent(inspect.getsource(inspect.unwrap(made)))


def parsed_head(text: str) -> ast.FunctionDef | ast.ClassDef:
    """Returns the function or class of a text, which may end where the body would begin."""
    text = textwrap.dedent(text)
    try:
        tree = ast.parse(text)
    except SyntaxError:
        tree = ast.parse(f"{text.rstrip()}\n    pass\n")
    node = tree.body[-1]
    assert isinstance(node, (ast.FunctionDef, ast.ClassDef)), text
    return node


def definition(
    node: ast.FunctionDef | ast.ClassDef, task: Task, example: str, stub: Stub, indent: str = ""
) -> str:
    """Returns the head of a function or class and a body that raises; notes its names in stub."""
    inner = f"{indent}    "
    lines = [f"{indent}@{ast.unparse(d)}" for d in kept_decorators(node, stub)]
    if isinstance(node, ast.ClassDef):
        stub.names |= {n.id for b in node.bases for n in ast.walk(b) if isinstance(n, ast.Name)}
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        lines.append(f"{indent}class {node.name}({bases}):" if bases else f"class {node.name}:")
    else:
        lines.append(signature(node, task, stub, indent))
    if text := docstring(ast.get_docstring(node) or "", example, inner):
        lines += [text, ""] if isinstance(node, ast.ClassDef) else [text]
    if isinstance(node, ast.FunctionDef):
        lines.append(f'{inner}raise NotImplementedError("exercise {task.id}")')
        return "\n".join(lines)
    methods = [s for s in node.body if isinstance(s, ast.FunctionDef) and is_public(s.name)]
    bodies = [definition(method, task, "", stub, inner) for method in methods]
    return "\n".join(lines) + "\n" + "\n\n".join(bodies)


def is_public(name: str) -> bool:
    """Returns whether a method is one that is called from outside."""
    return not name.startswith("_") or name in ("__init__", "__call__")


def kept_decorators(node: ast.FunctionDef | ast.ClassDef, stub: Stub) -> list[ast.expr]:
    """Returns the decorators that belong to the interface: staticmethod, triton.jit."""
    kept = [
        decorator
        for decorator in node.decorator_list
        if ast.unparse(decorator) in ("staticmethod", "classmethod", "property", "triton.jit")
    ]
    stub.names |= {"triton"} if any("triton" in ast.unparse(d) for d in kept) else set()
    return kept


def signature(node: ast.FunctionDef, task: Task, stub: Stub, indent: str) -> str:
    """Returns "def ...:", with a line a parameter where one line is too short for all."""
    parts = parameters(node.args, task, stub)
    returns = annotation(node.returns, task, stub)
    arrow = f" -> {returns}" if returns else ""
    for text in (", ".join(parts), f"\n{indent}    {', '.join(parts)}\n{indent}"):
        head = f"{indent}def {node.name}({text}){arrow}:"
        if max(map(len, head.splitlines())) <= WIDTH:
            return head
    lines = "".join(f"{indent}    {part},\n" for part in parts)
    return f"{indent}def {node.name}(\n{lines}{indent}){arrow}:"


def parameters(arguments: ast.arguments, task: Task, stub: Stub) -> list[str]:
    """Returns each parameter as it stands in a signature: "eps: float = 1e-05", "*"."""

    def one(argument: ast.arg, default: ast.expr | None, stars: str = "") -> str:
        text = stars + argument.arg
        kind = annotation(argument.annotation, task, stub)
        text += f": {kind}" if kind else ""
        if default is None:
            return text
        return f"{text} = {plain(default, task)}" if kind else f"{text}={plain(default, task)}"

    plain_ones = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(plain_ones) - len(arguments.defaults))
    parts = list(map(one, plain_ones, [*defaults, *arguments.defaults]))
    if arguments.vararg:
        parts.append(one(arguments.vararg, None, "*"))
    elif arguments.kwonlyargs:
        parts.append("*")
    parts += map(one, arguments.kwonlyargs, arguments.kw_defaults)
    return [*parts, *([one(arguments.kwarg, None, "**")] if arguments.kwarg else [])]


def plain(default: ast.expr, task: Task) -> str:
    """Returns a default's text; a constant of the reference's file as its value."""
    if isinstance(default, ast.Name):
        return repr(space_of(task).get(default.id, ast.unparse(default)))
    return ast.unparse(default)


def annotation(node: ast.expr | None, task: Task, stub: Stub) -> str:
    """Returns an annotation's text, and notes in stub what its names need."""
    if node is None:
        return ""
    for found in ast.walk(node):
        if isinstance(found, ast.Name):
            found.id = known(found.id, task, stub)
    return ast.unparse(node)


def known(name: str, task: Task, stub: Stub) -> str:
    """Returns a name that the learner's file can have for one of the reference's annotations."""
    if name in vars(builtins):
        return name
    if name not in IMPORTS:
        alias = space_of(task).get(name)
        if not isinstance(alias, GenericAlias):  # a class of ours
            stub.names.add("Any")
            return "Any"
        line = f"{name} = {alias!r}"
        stub.aliases += [line] if line not in stub.aliases else []
        return name
    stub.names.add(name)
    return name


def space_of(task: Task) -> dict[str, Any]:
    """Returns the names of the reference's file."""
    return vars(sys.modules[inspect.unwrap(task.reference).__module__])


def docstring(text: str, example: str, indent: str) -> str:
    """Returns a docstring with its quotes, the worked example behind it; "" if there is none."""
    parts = [part for part in (text.rstrip(), example.rstrip()) if part]
    if not parts:
        return ""
    body = "\n\n".join(parts)
    quote = 'r"""' if "\\" in body else '"""'
    if "\n" not in body:
        return f'{indent}{quote}{body}"""'
    return textwrap.indent(f'{quote}{body}\n"""', indent)


def import_lines(stubs: list[Stub]) -> list[str]:
    """Returns the import statements that these stubs need, as ruff would sort them."""
    by_module: dict[str, set[str]] = {}
    whole = set()
    for name in set().union(*(stub.names for stub in stubs)):
        line = IMPORTS[name].format(name)
        module, _, imported = line.removeprefix("from ").partition(" import ")
        if line.startswith("import"):
            whole.add(line)
        else:
            by_module.setdefault(module, set()).add(imported)
    lines = [*whole, *(f"from {m} import {', '.join(sorted(n))}" for m, n in by_module.items())]
    standard = ("collections", "typing")
    groups = [
        [line for line in lines if (line.split()[1].partition(".")[0] in standard) == first]
        for first in (True, False)
    ]
    ordered = [sorted(group, key=lambda line: (line.startswith("from"), line)) for group in groups]
    return [*ordered[0], *([""] if all(ordered) else []), *ordered[1]]
