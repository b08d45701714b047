"""Lesson 5, generation: from a model's logits to text, and the cache that makes it fast.

The right answers and the mistakes are in bank_05.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from lessons.exercises import bank_05
from lessons.grading.task import Case, Close, Draw, Made, Task
from minigpt import cache, generation

# 5.1 apply_temperature

APPLY_TEMPERATURE_STUB = '''\
def apply_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Makes the best tokens likelier (below 1) or brings all closer together (above 1).

    With p = softmax(logits), the softmax of the result is proportional to p ** (1 / temperature).
    Adding a number to a whole row changes no probability, so any result of that kind is right.

    Args:
        logits: [B, V], in fp32 or fp64, also of hundreds. They stay as they are.
        temperature: 0.001 or more.

    Returns:
        logits again, [B, V], in the dtype they came in.
    """
'''


def as_probabilities(logits: Tensor) -> Tensor:
    """Returns the softmax, [B, V], in the dtype of the logits."""
    return logits.double().softmax(dim=-1).to(logits.dtype)


def warm(draw: Draw, b: int, v: int, temperature: float, **options: Any) -> Tensor:
    """Returns logits [b, v] with a spread that this temperature neither levels nor makes extreme.

    Their quotients stay small, so that rounding them moves no probability by as much as 1e-5.
    """
    return 2.5 * temperature * draw.normal(b, v, **options)


def apply_temperature_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 5.1."""
    cold = "the temperature is 0.001"
    yield Case((warm(draw, 1, 3, 2.0), 2.0), note="the temperature is above 1")
    yield Case((warm(draw, 2, 5, 0.4), 0.4))
    yield Case((draw.normal(2, 4), 1.0), note="the temperature is 1")
    yield Case((warm(draw, 3, 4, 0.7, dtype=torch.float64), 0.7), note="the logits are in fp64")
    yield Case((warm(draw, 5, 2, 3.0), 3.0), note="the temperature is above 1")
    yield Case((warm(draw, 2, 6, 0.001), 0.001), note=cold)
    apart = torch.tensor([draw.shuffled(range(-3, 4)) for _ in range(3)], dtype=torch.float32)
    yield Case((apart, 0.001), note=cold)
    yield Case((torch.tensor([[1.5, -2.0, 1.5, 0.25], [-4.0, 3.0, 3.0, 3.0]]), 0.001), note=cold)
    yield Case((warm(draw, 3, 7, 60.0), 60.0), note="the logits are hundreds apart")
    far = warm(draw, 3, 5, 1.6) + torch.tensor([[300.0], [-250.0], [90.0]])
    yield Case((far, 1.6), note="the logits are far from 0")
    yield Case((warm(draw, 5, 3, 0.5).T, 0.5), note="logits is a transposed view")


def apply_temperature_sample(draw: Draw) -> Case:
    """Returns a random case of 5.1."""
    temperature = draw.choice([0.001, 0.05, 0.3, 0.9, 1.4, 5.0, 40.0])
    dtype = draw.choice([torch.float32, torch.float64])
    b, v = draw.integer(1, draw.size), draw.integer(2, draw.size + 2)
    return Case((warm(draw, b, v, temperature, dtype=dtype), temperature))


APPLY_TEMPERATURE = Task(
    id="5.1",
    name="apply_temperature",
    reference=generation.apply_temperature,
    stub=APPLY_TEMPERATURE_STUB,
    idea="The temperature says how much the model's favourites are preferred: near 0 the best "
    "token always wins, far above 1 all are nearly equal. It acts on the logits, before the "
    "softmax.",
    example=">>> logits = torch.tensor([[1.0, 4.0]])\n"
    ">>> apply_temperature(logits, 0.5).softmax(dim=-1)  # 6 apart instead of 3\n"
    "tensor([[0.0025, 0.9975]])",
    hints=(
        "p ** (1 / temperature) is proportional to the new probabilities. What is its logarithm, "
        "if log p is the logit but for a number that is the same in the whole row?",
        "Logarithms turn a power into a factor: log(p ** (1 / temperature)) = log(p) / "
        "temperature.",
        "logits / temperature",
    ),
    cases=apply_temperature_cases,
    sample=apply_temperature_sample,
    bank=bank_05.temperatures,
    compare=Close(rtol=2e-4, per="row"),
    view=as_probabilities,
    axes={"logits": "row token", "->": "row token"},
)

# 5.2 keep_top_k

KEEP_TOP_K_STUB = '''\
def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Keeps the k largest logits of each row and makes the others -inf, which is probability 0.

    Exactly k survive, also where several are equal to the k-th; any of the equals may. Those that
    survive stay what and where they are.

    Args:
        logits: [B, V], in fp32 or fp64. They stay as they are.
        k: from 1 to V.

    Returns:
        [B, V], in the dtype of the logits.
    """
'''


def top_k_survive(case: Case, got: Any, expected: Tensor) -> str | None:
    """Returns what is wrong with the answer of keep_top_k: of equals, any may survive."""
    logits, k = case.args
    if not isinstance(got, Tensor):
        return f"The result must be a tensor, got {type(got).__name__}."
    if got.shape != logits.shape:
        return f"The result must have the shape {list(logits.shape)}, got {list(got.shape)}."
    if got.dtype != logits.dtype:
        return f"The result must be in {logits.dtype}, as the logits are, got {got.dtype}."
    kept = got != float("-inf")
    if bool((got != logits)[kept].any()):
        row, token = (kept & (got != logits)).nonzero()[0].tolist()
        return (
            f"Entries are either the logit itself or -inf, but in row {row} token {token} has "
            f"{got[row, token].item():g}, and its logit is {logits[row, token].item():g}."
        )
    for row, n in enumerate(kept.sum(dim=-1).tolist()):
        if n != k:
            return f"In row {row}, {n} survive, and k is {k}."
    lost = logits.masked_fill(kept, float("-inf")).amax(dim=-1)
    worst = logits.masked_fill(~kept, float("inf")).amin(dim=-1)
    for row in (lost > worst).nonzero().flatten().tolist():
        return f"In row {row}, {worst[row]:g} survives although the larger {lost[row]:g} does not."
    return None


def keep_top_k_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 5.2."""
    equals = "logits are equal"
    yield Case((draw.normal(1, 3), 1), note="k is 1")
    yield Case((draw.normal(2, 5), 2))
    yield Case((draw.normal(3, 4), 4), note="k is V")
    yield Case((draw.normal(4, 5) - 7, 3), note="all logits are negative")
    rows = draw.normal(3, 6) + torch.tensor([[0.0], [40.0], [-40.0]])
    yield Case((rows, 2), note="the rows lie far apart")
    x, y = draw.normal(2).sort().values.tolist()
    tied = torch.tensor([draw.shuffled(row) for row in ([x, y, y, y, x - 1], [x, x, x, x, y])])
    yield Case((tied, 2), note=equals)
    yield Case((torch.full((2, 4), draw.normal(1).item()), 3), note=equals)
    yield Case((torch.tensor([[y, x, y, y], [x, x, x, y]]), 1), note=equals)
    yield Case((100 * draw.normal(2, 7, dtype=torch.float64), 3), note="the logits are in fp64")
    yield Case((draw.normal(6, 3).T, 2), note="logits is a transposed view")
    yield Case((100 * draw.normal(3, 50), 20), note="the logits are hundreds apart")
    rows = draw.normal(2, 6)
    rows -= rows.amax(dim=-1, keepdim=True)
    yield Case((rows, 2), note="the largest logit is 0")


def keep_top_k_sample(draw: Draw) -> Case:
    """Returns a random case of 5.2; every second one has equal logits."""
    b, v = draw.integer(1, draw.size), draw.integer(1, 2 * draw.size)
    logits = draw.normal(b, v, dtype=draw.choice([torch.float32, torch.float64]))
    return Case((logits.round() if draw.choice([True, False]) else logits, draw.integer(1, v)))


KEEP_TOP_K = Task(
    id="5.2",
    name="keep_top_k",
    reference=generation.keep_top_k,
    stub=KEEP_TOP_K_STUB,
    idea="Thousands of unlikely tokens have a noticeable probability together. Top-k takes their "
    "chance away: only the k best of each row may be drawn.",
    example=">>> keep_top_k(torch.tensor([[1.0, 4.0, 2.0, 3.0]]), 2)\n"
    "tensor([[-inf, 4., -inf, 3.]])",
    hints=(
        "If three logits are equal and two of them should survive, can a comparison with a bound "
        "choose them?",
        "torch.topk gives the k largest of a row and their ids. Begin with a row of -inf and write "
        "those k to their ids.",
        'torch.full_like(logits, float("-inf")).scatter(-1, ids, best)',
    ),
    cases=keep_top_k_cases,
    sample=keep_top_k_sample,
    bank=bank_05.top_ks,
    check=top_k_survive,
    axes={"logits": "row token", "->": "row token"},
)

# 5.3 keep_top_p

KEEP_TOP_P_STUB = '''\
def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Keeps the nucleus of each row, the fewest tokens whose probabilities reach p.

    With the probabilities softmax(logits) sorted, p_1 >= p_2 >= ..., the i-th token stays if

        p_1 + ... + p_(i-1) < p

    So the first always stays. Of equally likely tokens the lower ids come first. The others become
    -inf; those that stay keep their logits.

    Args:
        logits: [B, V], in fp32 or fp64; some may be -inf already. They stay as they are.
        p: above 0 and below 1.

    Returns:
        [B, V], in the dtype of the logits.
    """
'''


def nucleus(draw: Draw, logits: Tensor, low: float = 0.05, high: float = 0.97) -> tuple:
    """Returns logits and a p between low and high that is near none of their running sums.

    So no rounding decides what survives.
    """
    sums = logits.double().softmax(dim=-1).sort(dim=-1, descending=True).values.cumsum(dim=-1)
    tries = draw.uniform(200, low=low, high=high, dtype=torch.float64)
    distance = (sums.flatten()[:, None] - tries).abs().amin(dim=0)  # [200]
    clear = (distance > 1e-3).nonzero().flatten()
    best = clear[0] if len(clear) else distance.argmax()
    return logits, tries[best].item()


def keep_top_p_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 5.3."""
    equals = "tokens are equally likely"
    yield Case((torch.tensor([[0.0, 1.0, -1.0]]), 0.8))
    yield Case(nucleus(draw, draw.normal(2, 5)))
    yield Case(nucleus(draw, 2 * draw.normal(3, 6), 0.6, 0.95))
    one = draw.normal(2, 4)
    one[:, 2] = one.amax(dim=-1) + 2.0  # more than 0.7 of the probability
    yield Case(
        (one, draw.uniform(1, low=0.1, high=0.6).item()), note="the best token alone reaches p"
    )
    yield Case((draw.uniform(2, 4), 0.97), note="every token is needed")
    a, b = draw.uniform(2, low=-1.0, high=1.0).tolist()
    tied = torch.tensor([[a, a + 1, a + 1, a + 1, a - 2], [b, b - 3, b, b, b]])
    yield Case(nucleus(draw, tied, 0.5, 0.8), note=equals)
    yield Case(nucleus(draw, torch.full((2, 5), a), 0.3, 0.9), note=equals)
    yield Case(nucleus(draw, draw.integers(-1, 1, 2, 8).float(), 0.3, 0.9), note=equals)
    yield Case((100 * draw.normal(3, 6), 0.9), note="the logits are hundreds apart")
    wide = nucleus(draw, draw.normal(3, 5, dtype=torch.float64))
    yield Case(wide, note="the logits are in fp64")
    cut = draw.normal(2, 7)
    cut[0, draw.integer(0, 3)] = cut[1, draw.integer(4, 6)] = float("-inf")
    yield Case(nucleus(draw, cut), note="a token has been cut already")
    yield Case(nucleus(draw, draw.normal(6, 3).T), note="logits is a transposed view")
    rows = torch.stack([4 * draw.normal(12), 0.1 * draw.normal(12), draw.normal(12)])
    yield Case(nucleus(draw, rows, 0.5, 0.9), note="some rows are sure and others are not")
    many = draw.normal(8, 300)
    yield Case(nucleus(draw, many, 0.6, 0.8), note="there are hundreds of tokens")
    yield Case(nucleus(draw, 2 * draw.normal(2, 40), 0.97, 0.99), note="p is nearly 1")


def keep_top_p_sample(draw: Draw) -> Case:
    """Returns a random case of 5.3; every second one has equally likely tokens."""
    b, v = draw.integer(1, draw.size), draw.integer(1, 2 * draw.size)
    logits = 1.5 * draw.normal(b, v, dtype=draw.choice([torch.float32, torch.float64]))
    return Case(nucleus(draw, logits.round() if draw.choice([True, False]) else logits))


KEEP_TOP_P = Task(
    id="5.3",
    name="keep_top_p",
    reference=generation.keep_top_p,
    stub=KEEP_TOP_P_STUB,
    idea="Where the model is sure a few tokens hold nearly all the probability, elsewhere it takes "
    "hundreds. Top-p keeps as many as are needed to reach p, in each row anew.",
    example=">>> keep_top_p(torch.tensor([[1.0, 4.0, 2.0, 3.0]]), 0.8)  # 0.64 + 0.24 reach 0.8\n"
    "tensor([[-inf, 4., -inf, 3.]])",
    hints=(
        "With probabilities 0.5, 0.3, 0.2 and p = 0.7, which tokens are needed? What is the sum of "
        "those before each of them?",
        "Sort the logits from the largest; logits.sort(dim=-1, descending=True, stable=True) keeps "
        "equals in the order of their ids. Then softmax, and the running sum less the token's own "
        "probability. Cut where that is p or more, and write every logit back to its id.",
        'ordered.masked_fill(chances.cumsum(-1) - chances >= p, float("-inf"))',
    ),
    cases=keep_top_p_cases,
    sample=keep_top_p_sample,
    bank=bank_05.top_ps,
    axes={"logits": "row token", "->": "row token"},
)

# 5.4 draw


def draw_reference(probabilities: Tensor, u: Tensor) -> Tensor:
    """Draws one token a row: the one on whose stretch of the line the point u lies.

    Lay the probabilities of a row end to end. The point lies at u times their total, and the
    answer is the first token i whose running sum reaches it:

        p_0 + ... + p_i >= u * (p_0 + ... + p_(V-1))

    Args:
        probabilities: [B, V], 0 or more, in fp32 or fp64; a row need not add up to 1, its total
            is above 0. The running sum needs the digits of fp32 at least.
        u: [B], above 0 and at most 1, in the same dtype.

    Returns:
        the ids, whole numbers [B].
    """
    line = probabilities.double().cumsum(dim=-1)  # [B, V]
    point = u.double()[:, None] * line[:, -1:]  # [B, 1]
    return (line < point).sum(dim=-1)  # [B]


def inside(draw: Draw, probabilities: Tensor, behind: float = 0.0) -> tuple[Tensor, Tensor]:
    """Returns probabilities [B, V] and a point for each row, in the middle of a token's stretch.

    So no rounding decides. The tokens are drawn from those that are not below the row's mean and
    whose stretch ends behind that share of the row.
    """
    line = probabilities.double().cumsum(dim=-1)
    points = []
    for row, sums in zip(probabilities.double(), line, strict=True):
        wide = (row >= row.mean() * (1 - 1e-6)) & (sums >= behind * sums[-1])
        i = draw.choice(wide.nonzero().flatten().tolist())
        points.append((sums[i] - row[i] / 2) / sums[-1])
    return probabilities, torch.stack(points).to(probabilities.dtype)


def draw_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 5.4; where a point lies on a boundary, all numbers are eighths, and exact."""
    whole = "a row does not add up to 1"
    exact = "the running sum reaches the point exactly"
    zeros = "tokens have probability 0"
    yield Case(inside(draw, draw.normal(1, 3).softmax(dim=-1)))
    yield Case(inside(draw, draw.normal(4, 5).softmax(dim=-1)))
    yield Case(inside(draw, 7 * draw.uniform(3, 4, low=0.1)), note=whole)
    yield Case(inside(draw, draw.uniform(5, 6) / 40), note=whole)
    eighths = torch.tensor([[2, 4, 2], [1, 2, 5], [4, 1, 3], [3, 3, 2]]) / 8
    yield Case((eighths, torch.tensor([2, 3, 4, 6]) / 8), note=exact)
    yield Case((2 * eighths, torch.tensor([6, 1, 5, 3]) / 8), note=exact)
    yield Case((eighths[:, [1, 0, 2]], torch.ones(4)), note="u is 1")
    holes = torch.tensor([[0, 4, 0, 4, 0, 0], [0, 0, 8, 0, 0, 0], [2, 0, 0, 2, 4, 0]]) / 8
    yield Case((holes, torch.tensor([4, 8, 2]) / 8), note=zeros)
    yield Case((holes, torch.tensor([8, 3, 8]) / 8), note=zeros)
    yield Case((holes, torch.tensor([1e-6, 1e-6, 1e-6])), note="u is close to 0")
    yield Case((draw.uniform(3, 1, low=0.2), draw.uniform(3, low=0.2)), note="there is one token")
    many = draw.normal(12, 4000).mul(0.3).softmax(dim=-1)
    yield Case(inside(draw, many, behind=0.6), note="there are thousands of tokens")
    wide = draw.normal(3, 5, dtype=torch.float64).softmax(dim=-1)
    yield Case(inside(draw, wide), note="the probabilities are in fp64")
    turned = draw.normal(6, 4).softmax(dim=0).T
    yield Case(inside(draw, turned), note="probabilities is a transposed view")


def draw_sample(draw: Draw) -> Case:
    """Returns a random case of 5.4."""
    b, v = draw.integer(1, draw.size), draw.integer(1, 2 * draw.size)
    dtype = draw.choice([torch.float32, torch.float64])
    probabilities = draw.normal(b, v, dtype=dtype).softmax(dim=-1)
    if draw.choice([True, False]):
        probabilities = probabilities * draw.uniform(b, 1, low=0.2, high=9.0, dtype=dtype)
    if v > 2 and draw.choice([True, False]):
        probabilities[:, draw.integer(0, v - 1)] = 0.0
    return Case(inside(draw, probabilities))


DRAW = Task(
    id="5.4",
    name="draw",
    reference=draw_reference,
    idea="To draw a token with its probability, lay all probabilities end to end, point at a "
    "random place, and see whose stretch it is. The random place comes as u, so the rest is "
    "arithmetic.",
    example=">>> draw(torch.tensor([[0.2, 0.5, 0.3], [1.0, 2.0, 5.0]]), torch.tensor([0.6, 0.3]))\n"
    "tensor([1, 1])",
    hints=(
        "Where on the line does the stretch of token i end? Where does the point lie if a row "
        "adds up to 8?",
        "The running sum gives where each stretch ends. Count the ends that lie before the point: "
        "that many tokens are passed.",
        "(line < u[:, None] * line[:, -1:]).sum(dim=-1)",
    ),
    cases=draw_cases,
    sample=draw_sample,
    bank=bank_05.draws,
    drive="call_for_row_ids",
    axes={"probabilities": "row token", "u": "row", "->": "row"},
    forbidden=("multinomial",),
)

# 5.5 LayerCache

LAYER_CACHE_STUB = '''\
class LayerCache:
    """The keys and values of one attention layer for the tokens read so far.

    cache = LayerCache(capacity)
    cache.append(k_1, v_1) returns k_1 and v_1
    cache.append(k_2, v_2) returns k_1 with k_2 after it, and v_1 with v_2 after it, ...

    Args:
        capacity: the most tokens it can hold.
    """

    def __init__(self, capacity: int) -> None:
        """Begins empty."""

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Stores k and v after what is there and returns all of it.

        Args:
            k: the keys of T new tokens, [B, H, T, D], in fp32 or fp64; B, H and D are always those
                of the first append.
            v: their values, [B, H, T, D].

        Returns:
            all keys and all values so far, [B, H, n + T, D] each, where n were there before.

        Raises:
            ValueError: n + T is above capacity. The cache stays as it was.
        """
'''


def filling(
    draw: Draw, capacity: int, *sizes: int, note: str = "", shape: tuple = (2, 3, 4), **options: Any
) -> Case:
    """Returns a case of 5.5: appends of so many tokens each; shape is (B, H, D)."""
    b, h, d = shape
    steps = [tuple(draw.normal(b, h, t, d, **options) for _ in "kv") for t in sizes]
    return Case((capacity, steps), note=note)


def layer_cache_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 5.5: a list of appends, some of which do not fit."""
    several = "an append brings several tokens"
    refused = "an append does not fit"
    yield filling(draw, 3, 1, shape=(1, 2, 3), note="there is one append")
    yield filling(draw, 4, 1, 1, 1)
    yield filling(draw, 3, 1, 1, 1, note="the cache becomes full")
    yield filling(draw, 5, 5, shape=(2, 2, 3), note="the cache becomes full")
    yield filling(draw, 9, 3, 1, 1, note=several)
    yield filling(draw, 12, 2, 5, 1, 3, shape=(3, 2, 5), note=several)
    yield filling(draw, 2, 1, 1, 1, note=refused)
    yield filling(draw, 4, 3, 2, 1, note=refused)
    yield filling(draw, 7, 2, 6, 3, 9, 2, 1, shape=(2, 2, 3), note=refused)
    yield filling(draw, 3, 4, 2, 1, note=refused)
    yield filling(draw, 6, 2, 1, 2, dtype=torch.float64, note="k and v are in fp64")
    turned = [tuple(draw.normal(2, t, 3, 4).transpose(1, 2) for _ in "kv") for t in (2, 1, 3)]
    yield Case((8, turned), note="k and v are transposed views")


def layer_cache_sample(draw: Draw) -> Case:
    """Returns a random case of 5.5; the first append fits, and later ones may not."""
    sizes = [draw.integer(1, draw.size) for _ in range(draw.integer(1, draw.size + 1))]
    capacity = max(sizes[0], sum(sizes) + draw.integer(-2, 1))
    shape = (draw.integer(1, 2), draw.integer(1, draw.size), draw.integer(1, draw.size + 1))
    dtype = draw.choice([torch.float32, torch.float64])
    return filling(draw, capacity, *sizes, shape=shape, dtype=dtype)


LAYER_CACHE = Task(
    id="5.5",
    name="LayerCache",
    reference=cache.LayerCache,
    stub=LAYER_CACHE_STUB,
    idea="The keys and values of earlier tokens never change, so they are kept and not computed "
    "again. Every new token is then read alone, and its query looks at all keys so far.",
    example=">>> cache = LayerCache(3)\n"
    ">>> k, v = torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[3.0, 4.0]]]])\n"
    ">>> _ = cache.append(k, v)\n"
    ">>> cache.append(10 * k, 10 * v)[0]\n"
    "tensor([[[[ 1.,  2.],\n          [10., 20.]]]])",
    hints=(
        "What has to be known before anything is stored, so that a refused append changes nothing?",
        "Work out the new length first and compare it with the capacity. Then join old and new "
        "along the dimension of the tokens, or write into buffers of full length and return the "
        "part that is filled.",
        "self.keys[:, :, self.length : end] = k",
    ),
    cases=layer_cache_cases,
    sample=layer_cache_sample,
    bank=bank_05.caches,
    drive="fill_cache",
)

# 5.6 greedy


def greedy_reference(
    model: Callable[[Tensor], Tensor], idx: Tensor, max_new_tokens: int, block_size: int
) -> Tensor:
    """Continues each row, always with the token that has the largest logit.

    Again and again: the model reads the text so far, or its last block_size tokens if it is longer;
    the logits at the last position score the next token; the best is appended.

    Args:
        model: ids [B, T] with T from 1 to block_size -> logits [B, T, V]. It refuses more.
        idx: the prompts, int64 [B, T] with T at least 1, which may be above block_size. They stay
            as they are.
        max_new_tokens: n, how many tokens are written; 0 writes none.
        block_size: the most tokens that the model can read.

    Returns:
        the prompts with their continuations, int64 [B, T + n].
    """
    for _ in range(max_new_tokens):
        logits = model(idx[:, -block_size:])[:, -1]  # [B, V]
        idx = torch.cat([idx, logits.argmax(dim=-1, keepdim=True)], dim=1)  # [B, T + 1]
    return idx


def writing(
    draw: Draw, b: int, t: int, n: int, block_size: int, v: int = 7, note: str = ""
) -> Case:
    """Returns a case of 5.6: b prompts of t tokens, n new ones, a vocabulary of v."""
    fields = {"vocab_size": v, "block_size": block_size, "seed": draw.integer(0, 2**30)}
    return Case(
        (Made("tiny_model", fields), draw.integers(0, v - 1, b, t), n, block_size), note=note
    )


def greedy_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 5.6."""
    outgrown = "the text outgrows block_size"
    longer = "the prompt is longer than block_size"
    yield writing(draw, 1, 1, 1, 4, note="one token follows one token")
    yield writing(draw, 2, 3, 4, 16)
    yield writing(draw, 2, 3, 0, 5, note="max_new_tokens is 0")
    yield writing(draw, 3, 2, 3, 5, note="the text ends at block_size")
    yield writing(draw, 2, 4, 1, 4, note="the prompt fills block_size")
    yield writing(draw, 2, 3, 9, 5, note=outgrown)
    yield writing(draw, 3, 2, 20, 3, v=4, note=outgrown)
    yield writing(draw, 2, 9, 3, 4, note=longer)
    yield writing(draw, 3, 11, 12, 7, v=11, note=longer)
    yield writing(draw, 2, 2, 6, 1, note="block_size is 1")
    yield writing(draw, 4, 5, 30, 8, v=3, note=outgrown)


def greedy_sample(draw: Draw) -> Case:
    """Returns a random case of 5.6."""
    b, t, n = (
        draw.integer(1, draw.size),
        draw.integer(1, 2 * draw.size),
        draw.integer(0, 3 * draw.size),
    )
    return writing(draw, b, t, n, draw.integer(1, 2 * draw.size), v=draw.integer(2, 9))


GREEDY = Task(
    id="5.6",
    name="greedy",
    reference=greedy_reference,
    idea="A model only scores the next token. Writing means to choose one, append it and ask "
    "again; the greedy way always takes the best.",
    example=">>> def model(idx):  # the next id is the best, after 4 comes 0\n"
    "...     return torch.nn.functional.one_hot((idx + 1) % 5, 5).float()\n"
    ">>> greedy(model, torch.tensor([[0, 1], [3, 3]]), 3, block_size=2)\n"
    "tensor([[0, 1, 2, 3, 4],\n        [3, 3, 4, 0, 1]])",
    hints=(
        "Which of the logits [B, T, V] are about the token after the text? And what can the model "
        "still read when the text is longer than block_size?",
        "In a loop: crop a copy of the text to its last block_size tokens, ask the model, take the "
        "best token at the last position, append it to the text, not to the crop.",
        "model(idx[:, -block_size:])[:, -1].argmax(dim=-1, keepdim=True)",
    ),
    cases=greedy_cases,
    sample=greedy_sample,
    bank=bank_05.greedies,
    axes={"idx": "row position", "->": "row position"},
)

TASKS = [APPLY_TEMPERATURE, KEEP_TOP_K, KEEP_TOP_P, DRAW, LAYER_CACHE, GREEDY]
