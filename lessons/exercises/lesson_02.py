"""Lesson 2, attention: the mask, the heads, and the three lines between them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lessons.exercises import bank_02
from lessons.grading.task import FP32_CONSTANT, Case, Close, Draw, Task
from minigpt import model

FEWER = "there are fewer queries than keys"
DOUBLE = "the numbers are in fp64"
TRANSPOSED = "the argument is a transposed view"

# 2.1 causal_mask


def causal_mask(n_queries: int, n_keys: int) -> Tensor:
    """Says who may look at whom: entry [i, j] is True where query i may see key j.

        mask[i, j] = (j <= i + n_keys - n_queries)

    The queries are the last tokens of the text, so the last query stands at the last key. Each
    query sees its own position and all before it. With as many queries as keys this is the lower
    triangle.

    Args:
        n_queries: from 1 to n_keys.

    Returns:
        bool [n_queries, n_keys].
    """
    return model.causal_mask(n_queries, n_keys)


def causal_mask_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 2.1."""
    for sizes in [(1, 1), (2, 2), (1, 4), (3, 3), (2, 5), (5, 5), (4, 5), (3, 7), (17, 33)]:
        yield Case(sizes, note=FEWER if sizes[0] < sizes[1] else "")
    yield Case((2, 1030), note="there are more than 1024 keys")


def causal_mask_sample(draw: Draw) -> Case:
    """Returns a random case of 2.1."""
    n_keys = draw.integer(1, 2 + 2 * draw.size)
    return Case((draw.integer(1, n_keys), n_keys))


CAUSAL_MASK = Task(
    id="2.1",
    name="causal_mask",
    reference=causal_mask,
    idea="A decoder learns to guess the next token, so no token may look at those after it. The "
    "mask says which keys each query may see.",
    example=">>> causal_mask(2, 3)\n"
    "tensor([[ True,  True, False],\n        [ True,  True,  True]])",
    hints=(
        "There are three keys and two queries, the last two tokens. At which position does the "
        "first query stand?",
        "Query i stands at position i + n_keys - n_queries, key j at position j. Compare every i "
        "with every j.",
        "torch.arange(n_keys) <= torch.arange(n_queries)[:, None] + n_keys - n_queries",
    ),
    cases=causal_mask_cases,
    sample=causal_mask_sample,
    bank=bank_02.masks,
    axes={"->": "query key"},
)

# 2.2 split_heads


def split_heads(x: Tensor, n_head: int) -> Tensor:
    """Cuts every token's C numbers into n_head runs of D = C / n_head neighbours, one for a head.

        out[b, h, t, d] = x[b, t, h D + d]

    Args:
        x: [B, T, C], with C divisible by n_head.

    Returns:
        [B, H, T, D], the same numbers in x's dtype.
    """
    B, T, C = x.shape
    return x.reshape(B, T, n_head, C // n_head).transpose(1, 2)


def split_heads_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 2.2."""

    def case(
        B: int, H: int, T: int, D: int, note: str = "", dtype: torch.dtype = torch.float32
    ) -> Case:
        return Case((draw.normal(B, T, H * D, dtype=dtype), H), note=note)

    yield case(1, 2, 2, 1)
    yield case(1, 2, 3, 2)
    yield case(2, 3, 2, 2)
    yield case(2, 3, 4, 5)
    yield case(3, 2, 5, 4)
    yield case(2, 4, 4, 4, "T, the number of heads and their size are the same")
    yield case(2, 1, 3, 4, "there is one head")
    yield case(2, 4, 3, 1, "a head owns one number")
    yield case(2, 3, 1, 4, "there is one token")
    yield case(2, 3, 4, 5, DOUBLE, torch.float64)
    yield Case((draw.normal(4, 2, 6).transpose(0, 1), 3), note=TRANSPOSED)
    yield Case((draw.normal(2, 6, 4).transpose(1, 2), 2), note=TRANSPOSED)


def split_heads_sample(draw: Draw) -> Case:
    """Returns a random case of 2.2."""
    B, H, T, D = (draw.integer(1, draw.size + 1) for _ in range(4))
    dtype = draw.choice([torch.float32, torch.float64])
    return Case((draw.normal(B, T, H * D, dtype=dtype), H))


SPLIT_HEADS = Task(
    id="2.2",
    name="split_heads",
    reference=split_heads,
    idea="Each head attends with a part of every token's numbers. Cutting the width into heads "
    "costs nothing: it only changes how the same numbers are addressed.",
    example=">>> split_heads(torch.tensor([[[1, 2, 3, 4], [5, 6, 7, 8]]]), 2).tolist()\n"
    "[[[[1, 2], [5, 6]], [[3, 4], [7, 8]]]]",
    hints=(
        "Which numbers of token 0 does head 1 own? In which order do they lie in memory?",
        "First give C two axes, heads and size: [B, T, H, D]. Then the heads have to come before "
        "the tokens.",
        "x.reshape(B, T, n_head, C // n_head).transpose(1, 2)",
    ),
    cases=split_heads_cases,
    sample=split_heads_sample,
    bank=bank_02.splits,
    axes={"x": "batch token number", "->": "batch head token number"},
)

# 2.3 masked_attention

MASKED_ATTENTION_STUB = '''\
def masked_attention(
    q: Tensor, k: Tensor, v: Tensor, causal: bool = True, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Computes softmax(q k^T / sqrt(D)) v (Vaswani et al., equation 1).

        score[i, j] = q[i] . k[j] / sqrt(D), minus infinity where query i may not see key j
        weight[i, j] = exp(score[i, j]) / (sum over j of exp(score[i, j]))
        y[i] = sum over j of weight[i, j] v[j]

    Args:
        q: queries [B, H, Tq, D]; k, v: keys and values [B, H, Tk, D], with Tk >= Tq. Scores may
            reach hundreds.
        causal: hide from each query the keys that come after it; the last query stands at the last
            key.
        mask: bool, True where a query may see a key, of any shape that broadcasts to
            [B, H, Tq, Tk]; used in place of the causal mask if given. Every query sees a key.

    Returns:
        The mixed values [B, H, Tq, D] and the weights [B, H, Tq, Tk], each row of which sums to 1.
    """
'''


def attention_case(
    draw: Draw,
    sizes: tuple[int, int, int, int, int],
    note: str = "",
    dtype: torch.dtype = torch.float32,
    **kwargs: object,
) -> Case:
    """Returns a case of 2.3 with sizes B, H, Tq, Tk, D and normal numbers."""
    B, H, Tq, Tk, D = sizes
    q = draw.normal(B, H, Tq, D, dtype=dtype)
    k, v = draw.normal(B, H, Tk, D, dtype=dtype), draw.normal(B, H, Tk, D, dtype=dtype)
    return Case((q, k, v), kwargs, note)


def some_mask(draw: Draw, *shape: int) -> Tensor:
    """Returns a mask in which queries may see later keys too, and each sees at least one."""
    mask = draw.integers(0, 1, *shape).bool()
    return mask.scatter(-1, draw.integers(0, shape[-1] - 1, *shape[:-1], 1), True)


def large_scores(
    draw: Draw, B: int, H: int, Tq: int, Tk: int, last_key: int = 1, **kwargs: object
) -> Case:
    """Returns a case of 2.3 with scores near 112 for some queries and near -112 for others.

    With last_key=-1 the last key is the other way round: high where all others are low.

    All numbers are multiples of an eighth and D is 16, so that every order of the same arithmetic
    gives the same scores: rounded ones would leave the weights only three or four good digits. They
    stay below 128, so that a softmax by way of logsumexp, which is rounded too, is near enough.
    """
    q = draw.integers(-8, 8, B, H, Tq, 16).float() / 8
    k = draw.integers(-8, 8, B, H, Tk, 16).float() / 8
    signs = torch.ones(B, H, Tq)
    signs[..., 1::2] = -1
    q[..., 0], k[..., 0] = 16 * signs, 28
    k[..., -1, 0] *= last_key
    return Case((q, k, draw.normal(B, H, Tk, 16)), kwargs, "scores reach hundreds")


def masked_attention_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 2.3."""
    yield attention_case(draw, (1, 1, 2, 2, 3))
    yield attention_case(draw, (2, 2, 3, 3, 2))
    yield attention_case(draw, (2, 3, 4, 4, 5))
    yield attention_case(draw, (2, 2, 1, 4, 3), FEWER)
    yield attention_case(draw, (2, 2, 2, 5, 3), FEWER)
    yield attention_case(draw, (2, 2, 3, 3, 4), "causal is False", causal=False)
    yield attention_case(draw, (2, 3, 2, 5, 4), "causal is False", causal=False)
    given = "a mask is given"
    yield attention_case(draw, (2, 2, 3, 3, 4), given, mask=some_mask(draw, 3, 3))
    yield attention_case(draw, (2, 3, 2, 4, 5), given, mask=some_mask(draw, 2, 1, 2, 4))
    yield attention_case(
        draw, (2, 3, 3, 5, 4), given, causal=False, mask=some_mask(draw, 2, 1, 3, 5)
    )
    yield attention_case(draw, (2, 2, 3, 4, 3), given, mask=some_mask(draw, 2, 2, 3, 4))
    first = torch.zeros(3, 3, dtype=torch.bool)
    first[:, 2] = True
    yield attention_case(draw, (2, 2, 3, 3, 4), given, mask=first)  # only the last key is visible
    yield large_scores(draw, 2, 2, 4, 4)
    yield large_scores(draw, 2, 3, 3, 5, causal=False)
    yield large_scores(draw, 2, 2, 3, 4, mask=some_mask(draw, 2, 1, 3, 4))
    yield large_scores(draw, 2, 2, 4, 4, last_key=-1)  # high for query 1, but hidden
    without_last = some_mask(draw, 2, 1, 3, 4)
    without_last[..., 0], without_last[..., -1] = True, False
    yield large_scores(draw, 2, 3, 3, 4, last_key=-1, mask=without_last)
    yield attention_case(draw, (2, 3, 3, 6, 4), DOUBLE, torch.float64)  # sqrt(D) is 2 in any dtype
    views = [draw.normal(2, T, 3, 4).transpose(1, 2) for T in (4, 6, 6)]
    yield Case(tuple(views), note="q, k and v are transposed views")


def masked_attention_sample(draw: Draw) -> Case:
    """Returns a random case of 2.3."""
    B, H, Tq, more, D = (draw.integer(1, draw.size + 1) for _ in range(5))
    Tk = Tq + draw.choice([0, more])
    kwargs: dict[str, object] = draw.choice([{}, {}, {"causal": False}])
    if draw.integer(0, 2) == 0:
        shape = draw.choice([(Tq, Tk), (B, 1, Tq, Tk), (B, H, Tq, Tk)])
        kwargs = {**kwargs, "mask": some_mask(draw, *shape)}
    if draw.integer(0, 3) == 0:
        return large_scores(draw, B, H, Tq, Tk, draw.choice([-1, 1]), **kwargs)
    dtype = draw.choice([torch.float32, torch.float32, torch.float64])
    D = 4 if dtype == torch.float64 else D  # whose root is exact, even in fp32
    return attention_case(draw, (B, H, Tq, Tk, D), "", dtype, **kwargs)


MASKED_ATTENTION = Task(
    id="2.3",
    name="masked_attention",
    reference=model.masked_attention,
    stub=MASKED_ATTENTION_STUB,
    idea="Every query takes an average of the values, weighted by how well it fits their keys. The "
    "mask decides which keys take part.",
    example=">>> q = torch.zeros(1, 1, 2, 1)\n"
    ">>> v = torch.tensor([[[[2.], [4.]]]])\n"
    ">>> masked_attention(q, q, v)\n"
    "(tensor([[[[2.],\n          [3.]]]]), tensor([[[[1.0000, 0.0000],\n          "
    "[0.5000, 0.5000]]]]))",
    hints=(
        "What must the score of a hidden key be, so that its share of the softmax is 0?",
        "Scores first, [Tq, Tk] for each head; minus infinity where the mask is False; then a "
        "softmax over the keys; then one matrix product with v.",
        "torch.softmax(scores.masked_fill(~mask, -math.inf), dim=-1) @ v",
    ),
    cases=masked_attention_cases,
    sample=masked_attention_sample,
    bank=bank_02.attentions,
    compare=Close(rtol=3e-5, fp64=FP32_CONSTANT),  # logsumexp near 112 is rounded to 4e-6
    axes={
        "q": "batch head query number",
        "k": "batch head key number",
        "v": "batch head key number",
    },
    forbidden=("attention",),
)

# 2.4 merge_heads


def merge_heads(x: Tensor) -> Tensor:
    """Puts the heads of each token side by side again: the inverse of split_heads.

        out[b, t, h D + d] = x[b, h, t, d]

    Args:
        x: [B, H, T, D].

    Returns:
        [B, T, H D], the same numbers in x's dtype.
    """
    B, H, T, D = x.shape
    return x.transpose(1, 2).reshape(B, T, H * D)


def merge_heads_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 2.4."""

    def case(*shape: int, note: str = "", dtype: torch.dtype = torch.float32) -> Case:
        return Case((draw.normal(*shape, dtype=dtype),), note=note)

    yield case(1, 2, 2, 1)
    yield case(1, 2, 3, 2)
    yield case(2, 3, 2, 2)
    yield case(2, 3, 4, 5)
    yield case(3, 2, 5, 4)
    yield case(3, 3, 3, 3, note="all sizes are the same")
    yield case(2, 1, 3, 4, note="there is one head")
    yield case(2, 4, 3, 1, note="a head owns one number")
    yield case(2, 3, 1, 4, note="there is one token")
    yield case(2, 3, 4, 5, note=DOUBLE, dtype=torch.float64)
    yield Case((draw.normal(2, 4, 3, 5).transpose(1, 2),), note=TRANSPOSED)
    yield Case((draw.normal(2, 3, 5, 4).transpose(2, 3),), note=TRANSPOSED)


def merge_heads_sample(draw: Draw) -> Case:
    """Returns a random case of 2.4."""
    shape = [draw.integer(1, draw.size + 1) for _ in range(4)]
    x = draw.normal(*shape, dtype=draw.choice([torch.float32, torch.float64]))
    return Case((draw.choice([x, x.transpose(1, 2)]),))


MERGE_HEADS = Task(
    id="2.4",
    name="merge_heads",
    reference=merge_heads,
    idea="After attention every head has found something for every token. Side by side again, they "
    "make one vector of the old width, which a matrix can blend.",
    example=">>> merge_heads(torch.tensor([[[[1, 2], [5, 6]], [[3, 4], [7, 8]]]]))\n"
    "tensor([[[1, 2, 3, 4],\n         [5, 6, 7, 8]]])",
    hints=(
        "Two axes are to be joined. Which two, and do they stand next to each other?",
        "Swap heads and tokens, so that H and D are neighbours, then join these two.",
        "x.transpose(1, 2).reshape(B, T, H * D)",
    ),
    cases=merge_heads_cases,
    sample=merge_heads_sample,
    bank=bank_02.merges,
    axes={"x": "batch head token number", "->": "batch token number"},
)

# 2.5 segment_mask

SEGMENT_MASK_STUB = '''\
def segment_mask(segments: Tensor, n_queries: int, n_before: int = 0) -> Tensor:
    """Makes the causal mask of rows that hold several texts: no text may look into another.

    Query i stands at key T - n_queries + i. It sees a key of segments if that key does not come
    after it and has the same number, and it sees all of the n_before keys in front.

    Args:
        segments: int64 [B, T], the number of the text that each key belongs to, as 0 0 0 1 1 2.
        n_queries: from 1 to T; the queries are the last n_queries tokens.
        n_before: keys before those of segments, which every text may see.

    Returns:
        bool [B, 1, n_queries, n_before + T], the same for all heads.
    """
'''


def segment_mask_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 2.5."""
    short = torch.tensor([[0, 0, 1]])
    two = torch.tensor([[0, 0, 0, 1, 1, 2], [0, 1, 1, 1, 1, 1]])
    three = torch.tensor([[0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 1, 1]])
    front = "n_before is not 0"
    yield Case((torch.tensor([[0, 0]]), 2))
    yield Case((short, 3))
    yield Case((two, 6))
    yield Case((three, 4))
    yield Case((short, 1), note=FEWER)
    yield Case((two, 4), note=FEWER)
    yield Case((three, 2), note=FEWER)
    yield Case((short, 3, 2), note=front)
    yield Case((two, 6), {"n_before": 3}, note=front)
    yield Case((two, 5, 1), note=front)
    yield Case((three, 1, 5), note=front)
    yield Case((two.T.contiguous().T, 4), note=TRANSPOSED)


def segment_mask_sample(draw: Draw) -> Case:
    """Returns a random case of 2.5."""
    B, T = draw.integer(1, draw.size + 1), draw.integer(1, 2 * draw.size + 1)
    steps = draw.integers(0, 1, B, T)
    steps[:, 0] = 0
    n_before = draw.choice([0, draw.integer(1, draw.size)])
    return Case((steps.cumsum(1), draw.integer(1, T)), {"n_before": n_before} if n_before else {})


SEGMENT_MASK = Task(
    id="2.5",
    name="segment_mask",
    reference=model.segment_mask,
    stub=SEGMENT_MASK_STUB,
    idea="Short texts are packed into one row, so that no computation is wasted on padding. Then "
    "the mask has to keep them apart.",
    example=">>> segment_mask(torch.tensor([[0, 0, 1]]), 2)\n"
    "tensor([[[[ True,  True, False],\n          [False, False,  True]]]])",
    hints=(
        "Two conditions decide whether a query may see a key of segments. Which?",
        "Compare the segments of the last n_queries tokens with those of all, [B, Tq, T]; combine "
        "that with the causal mask; then put n_before columns of True in front.",
        "(segments[:, -n_queries:, None] == segments[:, None, :]) & causal_mask(n_queries, T)",
    ),
    cases=segment_mask_cases,
    sample=segment_mask_sample,
    bank=bank_02.segment_masks,
    axes={"segments": "batch key", "->": "batch head query key"},
)

TASKS = [CAUSAL_MASK, SPLIT_HEADS, MASKED_ATTENTION, MERGE_HEADS, SEGMENT_MASK]
