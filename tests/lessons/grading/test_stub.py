"""Stubs say what is graded, run as they are, and give nothing away."""

from __future__ import annotations

import ast
import doctest
import inspect
from dataclasses import replace

import pytest

from lessons.grading.registry import lessons, tasks_of
from lessons.grading.stub import IMPORTS, import_lines, stub_of
from lessons.grading.task import HEADER, TRITON_HEADER, Task
from tests.lessons.grading.small_course.tasks import ADD_UP, DOUBLE, QUADRUPLE

TASKS = [task for number in lessons() for task in tasks_of(number)]
PLAIN = [task for task in TASKS if not task.triton]


def text_of(*tasks: Task) -> str:
    """Returns the stubs of tasks as a file."""
    stubs = [stub_of(task) for task in tasks]
    aliases = [alias for stub in stubs for alias in stub.aliases]
    return "\n".join([*import_lines(stubs), *aliases, *(stub.code for stub in stubs)])


@pytest.mark.parametrize("task", PLAIN, ids=lambda task: task.id)
def test_a_stub_runs_and_raises_and_says_which_exercise_it_is(task: Task) -> None:
    space: dict = {"__name__": "a learner's file"}
    exec(text_of(task), space)
    made = space[task.name]
    functions = [made] if inspect.isfunction(made) else own_methods(made)
    assert functions
    for function in functions:
        count = len(inspect.signature(function).parameters)
        with pytest.raises(NotImplementedError, match=f"^exercise {task.id}$"):
            function(*[None] * count)


def own_methods(made: type) -> list:
    """Returns the functions that a class defines itself."""
    found = (getattr(value, "__func__", value) for value in vars(made).values())
    return [value for value in found if inspect.isfunction(value)]


@pytest.mark.parametrize("task", [t for t in TASKS if t.triton], ids=lambda task: task.id)
def test_a_kernel_s_stub_raises_too(task: Task) -> None:
    (node,) = ast.parse(stub_of(task).code).body
    assert isinstance(node, ast.FunctionDef)
    assert ast.unparse(node.decorator_list[0]) == "triton.jit"
    assert ast.unparse(node.body[-1]) == f"raise NotImplementedError('exercise {task.id}')"


@pytest.mark.parametrize("task", PLAIN, ids=lambda task: task.id)
def test_the_worked_example_is_true_of_the_reference(task: Task) -> None:
    space: dict = {}
    exec(HEADER + (TRITON_HEADER if task.triton else ""), space)
    text = ast.get_docstring(ast.parse(stub_of(task).code).body[0])  # type: ignore[arg-type]
    examples = doctest.DocTestParser().get_doctest(
        str(text), {**space, task.name: task.reference}, task.id, None, 0
    )
    assert examples.examples
    ran = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert ran.run(examples).failed == 0


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_a_stub_s_names_and_lines_are_a_learner_s(task: Task) -> None:
    stub = stub_of(task)
    assert "minigpt" not in stub.code
    assert max(map(len, stub.code.splitlines())) <= 100
    assert task.hints[2] not in stub.code
    if task.stub is None and inspect.isfunction(inspect.unwrap(task.reference)):
        names = list(inspect.signature(task.reference).parameters)
        (node,) = ast.parse(stub.code).body
        assert isinstance(node, ast.FunctionDef)
        arguments = node.args
        assert [a.arg for a in (*arguments.args, *arguments.kwonlyargs)] == names


def test_a_stub_has_the_reference_s_signature_docstring_and_example() -> None:
    assert stub_of(DOUBLE).code == (
        'def double(x: int) -> int:\n    """Returns FACTOR times x.\n\n    >>> double(3)\n    6\n'
        '    """\n    raise NotImplementedError("exercise 99.1")'
    )


def test_types_of_ours_become_any_and_aliases_are_written_out() -> None:
    stub = stub_of(QUADRUPLE)
    assert "settings: Any | None = None, names: Names | None = None" in stub.code
    assert stub.aliases == ["Names = dict[str, int]"]
    assert "from typing import Any" in import_lines([stub])


def test_a_long_signature_has_a_line_a_parameter_and_plain_defaults() -> None:
    head = stub_of(ADD_UP).code.partition('"""')[0]
    assert head.splitlines()[1:-1] == [
        "    tensors: Sequence[Tensor], weights: Mapping[str, float] | None = None, "
        "*, start: float = 2",
        ") -> Tensor:",
    ]
    assert "torch" in stub_of(ADD_UP).names  # its example uses it


def test_imports_are_sorted_as_ruff_sorts_them() -> None:
    assert import_lines([stub_of(ADD_UP), stub_of(QUADRUPLE)]) == [
        "from collections.abc import Mapping, Sequence",
        "from typing import Any",
        "",
        "import torch",
        "from torch import Tensor",
    ]
    for name, line in IMPORTS.items():
        space: dict = {}
        if name not in ("triton", "tl"):
            exec(line.format(name), space)
            assert name in space


def test_a_task_s_own_stub_takes_the_place_of_the_reference_s() -> None:
    own = 'def anything(x):\n    """Doubles."""'
    code = stub_of(replace(DOUBLE, stub=own)).code
    assert code.startswith('def double(x):\n    """Doubles.\n')
    assert "raise" in stub_of(replace(DOUBLE, stub="def double(x):")).code


def test_a_class_keeps_its_bases_and_public_methods() -> None:
    stub = stub_of(replace(DOUBLE, name="Doubler", reference=Doubler))
    (node,) = ast.parse(stub.code).body
    assert isinstance(node, ast.ClassDef)
    assert [s.name for s in node.body if isinstance(s, ast.FunctionDef)] == ["__init__", "forward"]
    assert stub.code.count("raise NotImplementedError") == 2
    assert "return" not in stub.code
    headless = replace(
        DOUBLE, name="Doubler", reference=Doubler, stub='class Doubler:\n    """Twice."""'
    )
    assert "def forward(self, x):" in stub_of(headless).code


class Doubler(ast.NodeVisitor):
    """Doubles."""

    def __init__(self) -> None:
        self.factor = 2

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self._hidden(x)

    def _hidden(self, x):  # type: ignore[no-untyped-def]
        return x * self.factor
