"""What an exercise is: a reference, cases, mistakes that people make, right answers, hints.

One file a lesson in lessons/exercises/ defines its tasks and ends with `TASKS = [...]`. A task's
bank holds solutions as people write them, all by the name that the task asks for:

    masks = Bank()

    @masks.right
    def causal_mask(n_queries, n_keys):
        i = torch.arange(n_queries)[:, None] + n_keys - n_queries
        return torch.arange(n_keys)[None, :] <= i

    @masks.mistake("first query at the first key", "Your first query stands at the first key ...")
    def causal_mask(n_queries, n_keys):
        return torch.ones(n_queries, n_keys, dtype=torch.bool).tril()

    masks.edit("own key hidden", "No query sees its own key ...", ("<= i", "< i"))  # of the first

The grader tries all of them on itself (`minigpt exercise audit`): every mistake has to be rejected
and called by its name, every right answer accepted.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch

# What every answer of a bank may use without importing it; a submission has to import it itself.
HEADER = """\
import bisect
import collections
import dataclasses
import functools
import heapq
import itertools
import math
import operator
import random
import re
import string
import struct
from collections import Counter, defaultdict
from typing import NamedTuple

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
"""
TRITON_HEADER = "import triton\nimport triton.language as tl\n"


@dataclass(frozen=True)
class Mistake:
    """A plausible wrong solution.

    Attributes:
        name: a few words, unique in its task: what `check --json` calls it.
        sentence: what the learner reads: what the code computes, and what to look at.
        code: the text of the function or class.
        equivalent: why no input can show it, if none can; the grader must accept it then.
    """

    name: str
    sentence: str
    code: str
    equivalent: str | None = None


def source_of(made: Callable) -> str:
    """Returns the text of a function or class without the decorators of this file.

    inspect finds classes by their names alone, and in a bank many have the same one; so the line
    where a function of the class begins decides.
    """
    made = getattr(made, "fn", made)  # triton.jit keeps the function there
    functions = [made, *vars(made).values()] if isinstance(made, type) else [made]
    codes = [inspect.unwrap(f).__code__ for f in functions if inspect.isfunction(inspect.unwrap(f))]
    line, file = codes[0].co_firstlineno, codes[0].co_filename
    text = "".join(linecache.getlines(file))
    found = [
        node
        for node in _parsed(text).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and first_line(node) <= line <= (node.end_lineno or 0)
    ]
    kept = [
        decorator
        for decorator in found[0].decorator_list
        if not re.search(r"\.(right|mistake)\b", ast.unparse(decorator))
    ]
    first = min([found[0].lineno, *(decorator.lineno for decorator in kept)])
    return "".join(text.splitlines(keepends=True)[first - 1 : found[0].end_lineno])


def first_line(node: ast.FunctionDef | ast.ClassDef) -> int:
    """Returns the line of the first decorator, or of the definition if there is none."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


@lru_cache(maxsize=4)
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


class Bank:
    """Right answers and mistakes of one task, as texts of a function or a class.

    Attributes:
        answers: right solutions in different styles; edits are made of the first.
        mistakes: plausible wrong ones.
    """

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.mistakes: list[Mistake] = []

    def right(self, made: Callable) -> Callable:
        """Decorates a right solution."""
        self.answers.append(source_of(made))
        return made

    def mistake(
        self, name: str, sentence: str, equivalent: str | None = None
    ) -> Callable[[Callable], Callable]:
        """Decorates a wrong solution; name, sentence and equivalent are a `Mistake`'s."""

        def add(made: Callable) -> Callable:
            self.mistakes.append(Mistake(name, sentence, source_of(made), equivalent))
            return made

        return add

    def edit(
        self, name: str, sentence: str, *changes: tuple[str, str], equivalent: str | None = None
    ) -> None:
        """Adds a mistake: the first right answer with each (old, new) replaced.

        Raises:
            ValueError: an old text does not occur exactly once.
        """
        code = self.answers[0]
        for old, new in changes:
            if code.count(old) != 1:
                raise ValueError(f"{name}: {old!r} occurs {code.count(old)} times in\n{code}")
            code = code.replace(old, new)
        self.mistakes.append(Mistake(name, sentence, code, equivalent))


class Draw:
    """Random inputs that follow from a seed.

    Attributes:
        size: about how large the inputs should be: 1 for the smallest that mean something, 4 for a
            usual case.
    """

    def __init__(self, seed: int, size: int = 4) -> None:
        self.seed, self.size = seed, size
        self.generator = torch.Generator().manual_seed(seed)

    def integer(self, low: int, high: int) -> int:
        """Returns a number from low to high, both included."""
        return int(torch.randint(low, high + 1, (), generator=self.generator))

    def integers(self, low: int, high: int, *shape: int) -> torch.Tensor:
        """Returns int64 of that shape, from low to high, both included."""
        return torch.randint(low, high + 1, shape, generator=self.generator)

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Returns standard normal numbers: signed, none of them round."""
        return torch.randn(shape, generator=self.generator, dtype=torch.float64).to(dtype)

    def uniform(
        self, *shape: int, low: float = 0.0, high: float = 1.0, dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        """Returns numbers spread evenly between low and high."""
        numbers = torch.rand(shape, generator=self.generator, dtype=torch.float64)
        return (low + (high - low) * numbers).to(dtype)

    def choice(self, options: Sequence[Any]) -> Any:
        """Returns one of the options."""
        return options[self.integer(0, len(options) - 1)]

    def sample(self, options: Sequence[Any], n: int) -> list[Any]:
        """Returns n of the options, each as often as it comes."""
        return [self.choice(options) for _ in range(n)]

    def shuffled(self, items: Sequence[Any]) -> list[Any]:
        """Returns the items in another order."""
        return [items[i] for i in torch.randperm(len(items), generator=self.generator).tolist()]


@dataclass
class Case:
    """Arguments for one call.

    Attributes:
        args: what the function is called with; keywords where a learner would write them.
        note: what is special about these inputs, as the end of "It goes wrong where ...":
            "T is not a multiple of the block size". Empty for a plain case. Cases of one kind share
            the very same note, so that the grader can tell "only there" from "everywhere".
        exact: compare bit for bit, whatever the task's tolerance.
    """

    args: tuple = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    exact: bool = False


@dataclass(frozen=True)
class Made:
    """An object that is built in the child: objects.py has a maker for each kind.

    Attributes:
        kind: "generator", "config", "affine", ...: a name in objects.MAKERS.
        fields: what the maker gets by name: numbers, texts, tensors, lists and dicts of them.
    """

    kind: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class Close:
    """How near an answer has to be: |got - expected| <= rtol * scale, elementwise.

    Attributes:
        rtol: by the dtype of the expected tensor; None takes TOLERANCES.
        per: the scale is the root mean square of the expected tensor ("tensor"), of each slice
            along its last dimension ("row"), or each number's own size ("element").
        fp64: rtol of fp64 tensors, None if it is the others'. FP32_CONSTANT tells an answer that
            was computed in fp32 from one in fp64 with a constant in fp32, as torch.tensor(2.0)
            makes it.
        bf16: rtol of bf16 tensors, None if it is the others'. BF16_STEP allows one step, per
            element: up or down, as Triton's interpreter cuts off what should be rounded.
    """

    rtol: float | None = None
    per: str = "tensor"
    fp64: float | None = None
    bf16: float | None = None


FP32_CONSTANT = 2e-8
BF16_STEP = 2.0**-7


# Some tens of rounding errors of each dtype: enough for another order of addition, far below any
# mistake.
TOLERANCES = {
    torch.float64: 1e-12,
    torch.float32: 1e-5,
    torch.float16: 2e-3,
    torch.bfloat16: 1.6e-2,
}


@dataclass
class Task:
    """An exercise.

    Attributes:
        id, name: "8.2", "lora_forward".
        reference: the library's function or class, or one of the definition's own.
        stub: signature, types with shapes and docstring as the learner gets them: the head of a
            function or class up to the body. None takes the reference's own.
        idea: two sentences: what it is and what it is for.
        example: one worked example in numbers, as a doctest the learner can type.
        hints: a question, the idea, the line.
        cases: yields the fixed, nasty cases, the smallest first; the seed is its draw's.
        sample: returns one random valid case of about draw.size: unseen cases, and the inputs that
            the diagnosis varies. Must reach every branch of the definition.
        bank: at least six mistakes and two right answers.
        drive: the name of the driver, see drivers.py, that uses the submission and returns what is
            judged; "call" calls it once with the case's arguments.
        drive_options: keywords for it, such as gradients=("x", "lora_A").
        compare: how near; None compares exactly.
        check: judges instead of compare where several answers are right: (case, got, expected)
            returns None or a sentence.
        view: turns an answer into what is compared, on both sides (softmax of logits).
        apart: turns an answer into what the diagnosis looks at, a tensor or {name: tensor}: codes,
            say, that are packed two to a byte.
        same_dtype: whether the dtype of the result is judged.
        changes: names of arguments that the task changes in place.
        outputs: names of arguments that only take the answer, as a kernel's out_ptr.
        axes: what the dimensions of arguments and of the result ("->") are called, for the
            messages: {"x": "batch token number", "->": "batch head token number"}.
        forbidden: shortcuts, by their names in shortcuts.py.
        triton: whether it is a kernel.
        points: in the classroom.
    """

    id: str
    name: str
    reference: Callable
    idea: str
    example: str
    hints: tuple[str, str, str]
    cases: Callable[[Draw], Iterator[Case]]
    sample: Callable[[Draw], Case]
    bank: Bank
    stub: str | None = None
    drive: str = "call"
    drive_options: dict[str, Any] = field(default_factory=dict)
    compare: Close | None = None
    check: Callable[[Case, Any, Any], str | None] | None = None
    view: Callable[[Any], Any] | None = None
    apart: Callable[[Any], Any] | None = None
    same_dtype: bool = True
    changes: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    axes: dict[str, str] = field(default_factory=dict)
    forbidden: tuple[str, ...] = ()
    triton: bool = False
    points: int = 1

    @property
    def lesson(self) -> int:
        """Returns the number before the point."""
        return int(self.id.split(".")[0])
