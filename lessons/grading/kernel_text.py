"""Takes from a learner's file what may be compiled: a Triton kernel and what it calls.

A kernel is compiled without a sandbox around it. That is safe because of what is let through:
functions that are decorated with triton.jit and nothing else, and in them names of triton.language
alone. Nothing at the top level of the learner's file is executed.
"""

from __future__ import annotations

import ast
from types import ModuleType

from lessons.grading.needs import needed, used_names

HEAD = "import triton\nimport triton.language as tl\n\n"
ALLOWED = {"range", "min", "max", "len", "int", "float", "True", "False", "None"}


def kernel_text(code: str, name: str) -> str:
    """Returns the kernel and the kernels and constants that it calls, and nothing else of a file.

    Types that only say what a learner knows (n: int) are left out, and a constant that is not a
    tl.constexpr becomes one.

    Raises:
        ValueError: it uses something that only running the file could tell.
    """
    tree = without_types(ast.parse(code))
    kept: list[ast.stmt] = []
    for statement in needed(tree, name):
        if is_kernel(statement):
            kept.append(statement)
        elif is_constant(statement):
            kept.append(as_constexpr(statement))
        elif ast.unparse(statement) not in HEAD:
            raise ValueError(
                f"only functions under @triton.jit and constants are compiled, and it needs line "
                f"{statement.lineno}, {ast.unparse(statement).splitlines()[0]}"
            )
    known = {found for s in kept for found in names_of(s)} | ALLOWED | {"tl", "triton"}
    for statement in kept:
        check_statement(statement, known)
    return HEAD + "\n\n".join(map(ast.unparse, kept)) + "\n"


def without_types(tree: ast.Module) -> ast.Module:
    """Takes from every function under @triton.jit the types of arguments but tl.constexpr."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef):
            continue
        if [ast.unparse(decorator) for decorator in node.decorator_list] == ["triton.jit"]:
            node.returns = None
            for argument in (*node.args.args, *node.args.kwonlyargs):
                if argument.annotation and ast.unparse(argument.annotation) != "tl.constexpr":
                    argument.annotation = None
    return tree


def loose_constants(code: str, name: str) -> list[tuple[str, str]]:
    """Returns the constants of a kernel that Triton refuses, and what each should be.

    Such a pair is ("MASK = 15", "MASK = tl.constexpr(15)").
    """
    constants = [s for s in needed(without_types(ast.parse(code)), name) if is_constant(s)]
    pairs = [(ast.unparse(s), ast.unparse(as_constexpr(s))) for s in constants]
    return [(old, new) for old, new in pairs if old != new]


def is_kernel(node: ast.stmt) -> bool:
    """Returns whether this is a function under @triton.jit alone whose head computes nothing."""
    if not isinstance(node, ast.FunctionDef):
        return False
    arguments = node.args
    notes = [a.annotation for a in (*arguments.args, *arguments.kwonlyargs) if a.annotation]
    defaults = [d for d in (*arguments.defaults, *arguments.kw_defaults) if d is not None]
    return (
        [ast.unparse(decorator) for decorator in node.decorator_list] == ["triton.jit"]
        and all(ast.unparse(note) == "tl.constexpr" for note in notes)
        and all(isinstance(default, ast.Constant) for default in defaults)
        and not (arguments.vararg or arguments.kwarg or node.returns)
    )


def is_constant(statement: ast.stmt) -> bool:
    """Returns whether a statement is NAME = 7 or NAME = tl.constexpr(7)."""
    if not isinstance(statement, (ast.Assign, ast.AnnAssign)) or statement.value is None:
        return False
    if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.annotation) != "tl.constexpr":
        return False
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return len(targets) == 1 and isinstance(targets[0], ast.Name) and is_number(statement.value)


def is_number(value: ast.expr) -> bool:
    """Returns whether an expression is 7, -7, or tl.constexpr of one."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "tl.constexpr":
        (value,) = value.args if len(value.args) == 1 and not value.keywords else (value,)
    if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub):
        value = value.operand
    return isinstance(value, ast.Constant)


def as_constexpr(statement: ast.stmt) -> ast.stmt:
    """Returns NAME = tl.constexpr(7) for a constant however it is written.

    Triton refuses all other names from outside of a kernel, and the interpreter does not.
    """
    assert isinstance(statement, (ast.Assign, ast.AnnAssign))
    assert statement.value is not None
    (target,) = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    value = ast.unparse(statement.value)
    value = value if value.startswith("tl.constexpr(") else f"tl.constexpr({value})"
    return ast.parse(f"{ast.unparse(target)} = {value}").body[0]


def names_of(statement: ast.stmt) -> set[str]:
    """Returns what a statement and all that is in it call by a name of its own."""
    found = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def check_statement(statement: ast.stmt, known: set[str]) -> None:
    """Refuses names and attributes that lead out of Triton's language; ValueError says which."""
    if strange := used_names(statement) - known:
        raise ValueError(f"a kernel that is compiled cannot use {sorted(strange)[0]}")
    modules = {id(n) for n in ast.walk(statement) if isinstance(n, ast.Name) and n.id in MODULES}
    for node in ast.walk(statement):
        if not isinstance(node, ast.Attribute):
            continue
        modules.discard(id(node.value))
        text = ast.unparse(node)
        if node.attr.startswith("_") or node.attr in HIDDEN:
            raise ValueError(f"a kernel that is compiled cannot use {text}")
    if modules:
        raise ValueError("a kernel that is compiled can use tl only as in tl.load")


MODULES = ("tl", "triton")
HIDDEN = {"fn", "src", "core", "builtins"}  # what leads to Python's own functions


def check_language(text: str) -> None:
    """Refuses what triton and triton.language hold beside what kernels are made of: modules.

    Raises:
        ValueError: it says what.
    """
    import triton.language as tl

    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "triton" and node.attr not in ("jit", "cdiv", "next_power_of_2"):
                raise ValueError(f"a kernel that is compiled cannot use triton.{node.attr}")
            found = getattr(tl, node.attr, None) if node.value.id == "tl" else None
            if isinstance(found, ModuleType) and node.attr != "math":
                raise ValueError(f"a kernel that is compiled cannot use tl.{node.attr}")
