"""Lesson 8, LoRA: two thin matrices beside a frozen layer.

Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lessons.exercises import bank_08 as banks
from lessons.grading.task import Case, Close, Draw, Made, Task

# 8.1 init_lora


def init_lora_reference(in_features: int, out_features: int, r: int) -> tuple[Tensor, Tensor]:
    """Returns A and B as they are before training: A random, B zero, so that B A is zero.

    Args:
        in_features, out_features: the sizes of the layer's weight W [out, in].
        r: the rank, at most min(in, out).

    Returns:
        A [r, in], random with mean 0, drawn anew in every call; B [out, r], zero. Both fp32.
    """
    bound = 1 / math.sqrt(in_features)
    return torch.empty(r, in_features).uniform_(-bound, bound), torch.zeros(out_features, r)


def described_start(pairs: Any) -> dict[str, Any]:
    """Returns what can be judged of random numbers: of A and B from several calls."""
    if isinstance(pairs, dict) and pairs.keys() == {"A", "B"}:
        pairs = list(zip(pairs["A"], pairs["B"], strict=True))
    for pair in pairs:
        if not (isinstance(pair, (list, tuple)) and len(pair) == 2):
            return {"returned": "not two matrices"}
        if not all(isinstance(matrix, Tensor) and matrix.dim() == 2 for matrix in pair):
            return {"returned": "not two matrices"}
    kinds = [
        " or ".join(sorted({f"{str(m.dtype)[6:]} {list(m.shape)}" for m in matrices}))
        for matrices in zip(*pairs, strict=True)
    ]
    told: dict[str, Any] = {"A": kinds[0], "B": kinds[1]}
    if any(" or " in kind for kind in kinds):
        return told
    A = torch.stack([a for a, _ in pairs]).double()  # [calls, r, in]
    B = torch.stack([b for _, b in pairs])
    same = not bool((A - A[0]).any())
    told["A in two calls"] = "the same" if same else "different"
    alike = not bool((A - A[:, :1, :1]).any())
    told["numbers of A"] = "all 0" if not bool(A.any()) else "all alike" if alike else "random"
    told["all places of A"] = "random" if same or all_places_change(A) else "not random"
    drawn = A[:1] if same else A
    mean, deviation = drawn.mean().item(), drawn.std().item() / math.sqrt(drawn.numel())
    near = abs(mean) <= 6 * deviation  # false for NaN; of a right answer once in 500 million
    told["mean of A"] = "0" if near else "not 0"
    told["numbers of B"] = (
        "all 0" if not bool(B.any()) else "not filled" if bool(B.isnan().any()) else "not all 0"
    )
    told["rows of A"] = "independent"
    r, n_in = A.shape[1:]
    if 1 < r < n_in:  # rows whose mean was made 0 are dependent where there are `in` of them
        ranks = torch.linalg.matrix_rank(A[:20]) if bool(A.isfinite().all()) else torch.zeros(1)
        if int(ranks.max()) < r:
            told["rows of A"] = "dependent" if int(ranks.max()) > 1 else "multiples of one row"
    return told


def all_places_change(A: Tensor) -> bool:
    """Returns whether every number of A [calls, r, in] is another one in some call.

    Of few calls it cannot be said: numbers that are 1 or -1 may be equal by chance.
    """
    return len(A) < 40 or bool(A.ne(A[0]).any(dim=0).all())


def init_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 8.1."""
    yield Case((2, 1, 1), note="r is 1")
    yield Case((3, 2, 1), note="r is 1")
    yield Case((4, 4, 2), note="in and out are equal")
    yield Case((5, 7, 3))
    yield Case((9, 4, 3))
    yield Case((400, 130, 32), note="the layer is large")


def init_sample(draw: Draw) -> Case:
    """Returns a random case of 8.1."""
    n_in, n_out = draw.integer(2, 4 * draw.size), draw.integer(1, 4 * draw.size)
    return Case((n_in, n_out, draw.integer(1, min(n_in, n_out))))


INIT_LORA = Task(
    id="8.1",
    name="init_lora",
    reference=init_lora_reference,
    idea="LoRA adds B A to a frozen weight. B starts at zero, so that the model starts as it was; "
    "A starts at random, since the gradient of each matrix contains the other and two zeros "
    "would never move.",
    example=">>> A, B = init_lora(3, 2, r=1)\n>>> A.shape, B\n"
    "(torch.Size([1, 3]), tensor([[0.],\n        [0.]]))",
    hints=(
        "What must B A be before the first step, and which of the two may then not be zero?",
        "A comes first in x A^T B^T: it takes `in` numbers to r, and B takes r numbers to `out`.",
        "return torch.randn(r, in_features) / r, torch.zeros(out_features, r)",
    ),
    cases=init_cases,
    sample=init_sample,
    bank=banks.inits,
    drive="lora_start",
    view=described_start,
)

# 8.2 lora_forward


def lora_forward_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    lora_A: Tensor,
    lora_B: Tensor,
    alpha: float,
) -> Tensor:
    """Returns x W^T + bias + alpha / r x A^T B^T, differentiable in x, A and B.

    Args:
        x: [..., in], any number of dimensions in front.
        weight: W [out, in].
        bias: [out] or None.
        lora_A: A [r, in].
        lora_B: B [out, r].
        alpha: the scale's numerator.

    Returns:
        [..., out], in the dtype of x.
    """
    y = x @ weight.T  # [..., out]
    if bias is not None:
        y = y + bias
    return y + alpha / lora_A.size(0) * (x @ lora_A.T @ lora_B.T)


def forward_case(
    draw: Draw,
    shape: tuple[int, ...],
    out: int,
    r: int,
    alpha: float,
    note: str = "",
    bias: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Case:
    """Returns a case of 8.2 with x of that shape."""
    sizes = (shape, (out, shape[-1]), (out,), (r, shape[-1]), (out, r))
    x, weight, b, lora_A, lora_B = (draw.normal(*size, dtype=dtype) for size in sizes)
    return Case((x, weight, b if bias else None, lora_A, lora_B, alpha), note=note)


def forward_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 8.2."""
    yield forward_case(draw, (1, 2), 1, 1, 1.0, "r and alpha are 1", bias=False)
    yield forward_case(draw, (2, 3), 4, 2, 3.0)
    yield forward_case(draw, (3,), 2, 2, 5.0, "x has one dimension")
    yield forward_case(draw, (2, 3), 4, 2, 3.0, "bias is None", bias=False)
    yield forward_case(draw, (2, 3, 5), 4, 2, 7.0, "x has three dimensions")
    yield forward_case(draw, (2, 2, 3, 5), 6, 3, 10.0, "x has four dimensions")
    yield forward_case(draw, (3, 4), 4, 2, 3.0, "in and out are equal")
    yield forward_case(draw, (3, 3), 3, 3, 2.0, "in, out and r are equal")
    yield forward_case(draw, (4, 6), 5, 4, 6, "alpha is a whole number that r does not divide")
    yield forward_case(draw, (2, 6), 5, 4, 0.5, "alpha is smaller than r")
    yield forward_case(draw, (2, 3, 5), 4, 2, 3.0, "x is in fp64", dtype=torch.float64)
    x, *rest = forward_case(draw, (2, 3, 5), 4, 2, 3.0).args
    yield Case((draw.normal(5, 3, 2).permute(2, 1, 0), *rest), note="x is a transposed view")
    x, weight, *rest = forward_case(draw, (2, 5), 4, 2, 3.0).args
    yield Case((x, draw.normal(5, 4).T, *rest), note="W is a transposed view")
    x, weight, bias, lora_A, lora_B, alpha = forward_case(draw, (2, 5), 4, 2, 3.0).args
    yield Case((x, weight, bias, lora_A, torch.zeros_like(lora_B), alpha), note="B is zero")


def forward_sample(draw: Draw) -> Case:
    """Returns a random case of 8.2."""
    shape = tuple(draw.integer(1, draw.size + 1) for _ in range(draw.integer(1, 3)))
    out, r = draw.integer(1, draw.size + 2), draw.integer(1, 3)
    dtype = draw.choice([torch.float32, torch.float64])
    alpha = draw.choice([1.0, 3.0, 8.0, 5])
    return forward_case(draw, shape, out, r, alpha, bias=draw.integer(0, 3) > 0, dtype=dtype)


LORA_FORWARD = Task(
    id="8.2",
    name="lora_forward",
    reference=lora_forward_reference,
    idea="A layer with LoRA computes what it did and adds what x gives on the narrow way through A "
    "and B. Dividing by r keeps the size of the addition when the rank is changed.",
    example=">>> lora_forward(torch.tensor([[1., 2.]]), torch.eye(2), None,\n"
    "...              torch.tensor([[1., 1.]]), torch.tensor([[1.], [0.]]), alpha=2.0)\n"
    "tensor([[7., 2.]])",
    hints=(
        "Which shape has x A^T, and which x A^T B^T?",
        "Rows are multiplied from the right, by transposed matrices; r is the number of A's rows.",
        "y + alpha / lora_A.shape[0] * (x @ lora_A.T @ lora_B.T)",
    ),
    cases=forward_cases,
    sample=forward_sample,
    bank=banks.forwards,
    drive_options={"gradients": (0, 3, 4)},
    compare=Close(),
    axes={
        "x": "batch token in",
        "weight": "out in",
        "bias": "out",
        "lora_A": "r in",
        "lora_B": "out r",
        "->": "batch token out",
    },
)

# 8.3 merge


def merge_reference(weight: Tensor, lora_A: Tensor, lora_B: Tensor, alpha: float) -> Tensor:
    """Returns W + alpha / r B A, added in fp32 and rounded to W's dtype once.

    Args:
        weight: W [out, in], in fp32, fp16 or bf16; it stays as it is.
        lora_A: A [r, in], fp32.
        lora_B: B [out, r], fp32.
        alpha: the scale's numerator.

    Returns:
        the merged weight, [out, in] in W's dtype.
    """
    update = alpha / lora_A.size(0) * (lora_B @ lora_A)  # [out, in]
    return (weight.float() + update).to(weight.dtype)


def merge_case(
    draw: Draw,
    out: int,
    n_in: int,
    r: int,
    alpha: float,
    dtype: torch.dtype = torch.float32,
    note: str = "",
) -> Case:
    """Returns a case of 8.3.

    In 16 bits no sum lies so near the middle of two neighbours that the order of additions decides
    how it is rounded, so every right answer is the same to the last bit.
    """
    while True:
        weight = draw.normal(out, n_in, dtype=dtype)
        lora_A, lora_B = draw.normal(r, n_in), draw.normal(out, r)
        case = Case((weight, lora_A, lora_B, alpha), note=note, exact=dtype != torch.float32)
        A, B, W = lora_A.double(), lora_B.double(), weight.double()
        total = W + alpha / r * (B @ A)
        doubt = 2e-6 * (W.abs() + abs(alpha) / r * (B.abs() @ A.abs()))
        if not case.exact or torch.equal((total - doubt).to(dtype), (total + doubt).to(dtype)):
            return case


def merge_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 8.3."""
    yield merge_case(draw, 1, 2, 1, 1.0, note="r and alpha are 1")
    yield merge_case(draw, 2, 3, 2, 3.0)
    yield merge_case(draw, 5, 3, 4, 6, note="alpha is a whole number that r does not divide")
    yield merge_case(draw, 4, 4, 2, 5.0, note="W is square")
    yield merge_case(draw, 3, 3, 3, 2.0, note="W, A and B are square")
    for alpha in (5.0, 0.7, 11.0):
        yield merge_case(draw, 6, 8, 2, alpha, torch.bfloat16, "W is in bf16")
    yield merge_case(draw, 6, 8, 3, 0.02, torch.bfloat16, "W is in bf16 and the update is small")
    yield merge_case(draw, 6, 8, 3, 4.0, torch.float16, "W is in fp16")
    weight = draw.normal(4, 6).T
    yield Case((weight, draw.normal(2, 4), draw.normal(6, 2), 5.0), note="W is a transposed view")


def merge_sample(draw: Draw) -> Case:
    """Returns a random case of 8.3."""
    out, n_in = (draw.integer(1, draw.size + 2) for _ in range(2))
    dtype = draw.choice([torch.float32, torch.bfloat16])
    alpha = draw.choice([1.0, 3.0, 8.0, 0.1])
    return merge_case(draw, out, n_in, draw.integer(1, 3), alpha, dtype)


MERGE = Task(
    id="8.3",
    name="merge",
    reference=merge_reference,
    idea="A trained adapter can be added to the weight once and for all. After that the layer is "
    "as fast as before.",
    example=">>> A, B = torch.tensor([[1., 2.]]), torch.tensor([[3.], [4.]])\n"
    ">>> merge(torch.zeros(2, 2), A, B, alpha=2.0)\n"
    "tensor([[ 6., 12.],\n        [ 8., 16.]])",
    hints=(
        "Which of B A and A B has the shape of W?",
        "Round once, at the end: in bf16 each rounding moves a number by up to 1 part in 256.",
        "(weight.float() + alpha / r * (lora_B @ lora_A)).to(weight.dtype)",
    ),
    cases=merge_cases,
    sample=merge_sample,
    bank=banks.merges,
    compare=Close(),
    axes={"weight": "out in", "lora_A": "r in", "lora_B": "out r", "->": "out in"},
)

# 8.4 LoRALinear


class LoRALinearReference(nn.Module):
    """A frozen linear layer with LoRA beside it: base(x) + alpha / r x A^T B^T.

    Attributes:
        base: the layer that it was given; nothing of it is trained.
        lora_A: parameter A [r, in], random with mean 0 at first.
        lora_B: parameter B [out, r], zero at first; both fp32.
    """

    def __init__(self, base: nn.Linear, r: int, alpha: float) -> None:
        """Freezes base, a linear layer with or without a bias, and makes A and B."""
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Parameter(torch.randn(r, base.in_features) / r)
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, r))
        self.scaling = alpha / r

    def forward(self, x: Tensor) -> Tensor:
        """Returns base(x) + alpha / r x A^T B^T: x [..., in] -> [..., out]."""
        return self.base(x) + self.scaling * (x @ self.lora_A.T @ self.lora_B.T)


def layer_case(
    draw: Draw,
    shape: tuple[int, ...],
    out: int,
    r: int,
    alpha: float,
    note: str = "",
    bias: bool = True,
) -> Case:
    """Returns a case of 8.4: arguments of the class, and what the driver puts in."""
    n_in = shape[-1]
    base = {"weight": draw.normal(out, n_in), "bias": draw.normal(out) if bias else None}
    x, lora_A, lora_B = draw.normal(*shape), draw.normal(r, n_in), draw.normal(out, r)
    return Case(
        (Made("linear", base), r, alpha), {"x": x, "lora_A": lora_A, "lora_B": lora_B}, note
    )


def layer_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 8.4."""
    yield layer_case(draw, (1, 2), 2, 1, 1.0, "r and alpha are 1")
    yield layer_case(draw, (2, 3), 4, 2, 3.0)
    yield layer_case(draw, (2, 3), 4, 2, 3.0, "base has no bias", bias=False)
    yield layer_case(draw, (2, 3, 6), 5, 4, 6, "alpha is a whole number that r does not divide")
    yield layer_case(draw, (3, 4), 4, 2, 5.0, "in and out are equal")
    yield layer_case(draw, (2, 3, 7), 5, 3, 10.0, "x has three dimensions")
    yield layer_case(draw, (3,), 2, 2, 5.0, "x has one dimension")


def layer_sample(draw: Draw) -> Case:
    """Returns a random case of 8.4."""
    shape = tuple(draw.integer(1, draw.size + 1) for _ in range(draw.integer(1, 3)))
    out = draw.integer(1, draw.size + 2)
    r = draw.integer(1, min(out, shape[-1]))
    alpha = draw.choice([1.0, 3.0, 8.0, 5])
    return layer_case(draw, shape, out, r, alpha, bias=draw.integer(0, 3) > 0)


def described_layer(result: Any) -> Any:
    """Returns the result of the driver with the random numbers of A and B described."""
    if result is None:
        return None
    return {
        "at the start": described_start(result["starts"]),
        "y": result["y"],
    }


LORA_LINEAR = Task(
    id="8.4",
    name="LoRALinear",
    reference=LoRALinearReference,
    idea="A module that takes the place of a linear layer: the layer inside is frozen, and only A "
    "and B are trained. Before the first step it computes exactly what the layer did.",
    example=">>> layer = LoRALinear(nn.Linear(3, 2), r=1, alpha=4.0)\n"
    ">>> [(name, tuple(p.shape)) for name, p in layer.named_parameters() if p.requires_grad]\n"
    "[('lora_A', (1, 3)), ('lora_B', (2, 1))]",
    hints=(
        "How does a module know which of its tensors an optimizer may change?",
        "nn.Parameter makes a tensor one that is trained; requires_grad_(False) freezes a layer.",
        "self.lora_B = nn.Parameter(torch.zeros(base.out_features, r))",
    ),
    cases=layer_cases,
    sample=layer_sample,
    bank=banks.layers,
    drive="lora_layer",
    view=described_layer,
    compare=Close(),
    axes={"x": "batch token in", "lora_A": "r in", "lora_B": "out r"},
    points=2,
)

# 8.5 count_lora


def count_lora_reference(r: int, shapes: list[tuple[int, int]]) -> int:
    """Returns how many numbers LoRA trains: r (in + out) for every matrix.

    Args:
        r: the rank, the same for all.
        shapes: (out, in) of each weight matrix that gets an adapter; as many as there are layers,
            so the same pair may come again.
    """
    return sum(r * (n_out + n_in) for n_out, n_in in shapes)


def count_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 8.5."""
    yield Case((1, [(1, 1)]), note="all sizes are 1")
    yield Case((2, [(3, 5)]))
    yield Case((3, []), note="there is no matrix")
    yield Case((3, [(5, 4), (7, 9)]))
    yield Case((4, [(6, 6), (6, 6), (6, 6)]), note="several matrices have the same shape")
    yield Case(
        (5, [(12, 8), (8, 12), (8, 8), (12, 8)]), note="several matrices have the same shape"
    )
    yield Case((1, [(11, 3), (2, 7)]), note="r is 1")
    yield Case((8, [(2304, 768)] * 12 + [(768, 3072)] * 12), note="it is GPT-2")
    yield Case((999, [(50257, 12289)] * 41), note="the count does not fit into 32 bits")


def count_sample(draw: Draw) -> Case:
    """Returns a random case of 8.5."""
    r, n = draw.integer(1, 2 * draw.size), draw.integer(0, draw.size)
    size = draw.size * 4
    shapes = [(r + draw.integer(0, size), r + draw.integer(0, size)) for _ in range(n)]
    return Case((r, shapes))


COUNT_LORA = Task(
    id="8.5",
    name="count_lora",
    reference=count_lora_reference,
    idea="How much LoRA trains follows from the shapes alone: A has r rows as long as the input, B "
    "has r columns as long as the output.",
    example=">>> count_lora(8, [(2304, 768)])\n24576",
    hints=(
        "How many numbers are in A [r, in], and how many in B [out, r]?",
        "For one matrix it is r in + out r; add this up over all of them.",
        "sum(r * (n_out + n_in) for n_out, n_in in shapes)",
    ),
    cases=count_cases,
    sample=count_sample,
    bank=banks.counts,
)

TASKS = [INIT_LORA, LORA_FORWARD, MERGE, LORA_LINEAR, COUNT_LORA]
