"""Lesson 13, soft prompts and bottlenecks: what else can be trained beside a frozen model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from lessons.exercises import bank_13 as bank
from lessons.grading import drivers
from lessons.grading.task import Case, Close, Draw, Task

FP64 = "the inputs are in fp64"


def steady(reference: Callable, make: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Returns arguments with which rounding changes neither the result nor a gradient by much.

    Numbers that nearly cancel, as the gradient of a bias can, differ between right answers. So make
    is called again until fp32 agrees with fp64 in what the reference gives.
    """
    while True:
        args = make()
        fine, coarse = (
            drivers.call(reference, tuple(x.to(dtype) for x in args), {}, range(len(args)))
            for dtype in (torch.float64, torch.float32)
        )
        pairs = [(fine["result"], coarse["result"])]
        pairs += [(fine["gradients"][i], coarse["gradients"][i]) for i in range(len(args))]
        if all((a - b).abs().max() < 1e-6 * a.square().mean().sqrt() for a, b in pairs):
            return args


def small_in_fp64(draw: Draw) -> torch.dtype:
    """Returns fp64 where there are few numbers, whose sums may nearly cancel, else either."""
    return torch.float64 if draw.size < 4 else draw.choice([torch.float32, torch.float64])


# 13.1 prepend_prompt


def prepend_prompt(embeddings: Tensor, prompt: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Returns texts with a soft prompt in front, and their targets.

        x[b] = prompt[0], ..., prompt[n - 1], embeddings[b, 0], ..., embeddings[b, T - 1]
        y[b] = -100,      ..., -100,          targets[b, 0],    ..., targets[b, T - 1]

    The loss skips targets of -100. Gradients reach the prompt, which is what is trained, and the
    embeddings.

    Args:
        embeddings: those of the texts' tokens, [B, T, C].
        prompt: n trained vectors, the same for all texts, [n, C].
        targets: the id to guess at each token, int64 [B, T].

    Returns:
        x [B, n + T, C] in the embeddings' number format, and y, int64 [B, n + T].
    """
    B, n = len(embeddings), len(prompt)
    x = torch.cat([prompt.expand(B, -1, -1), embeddings], dim=1)  # [B, n + T, C]
    return x, torch.cat([targets.new_full((B, n), -100), targets], dim=1)


def texts(draw: Draw, B: int, T: int, C: int, n: int, dtype: torch.dtype, note: str) -> Case:
    """Returns a case of 13.1 of these sizes, to be compared bit for bit."""
    args = (draw.normal(B, T, C, dtype=dtype), draw.normal(n, C, dtype=dtype))
    targets = draw.integers(0, 50, B, T)
    targets[draw.uniform(B, T) < 0.2] = -100
    return Case((*args, targets), note=note, exact=True)


def prepend_prompt_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 13.1."""
    for B, T, C, n, dtype, note in (
        (2, 3, 2, 2, torch.float32, ""),
        (1, 2, 3, 1, torch.float32, "the prompt has one vector"),
        (3, 1, 4, 2, torch.float32, "T is 1"),
        (2, 2, 3, 5, torch.float32, "the prompt is longer than the text"),
        (3, 4, 3, 3, torch.float32, ""),
        (4, 4, 4, 4, torch.float32, "all sizes are equal"),
        (2, 5, 3, 4, torch.float64, FP64),
        (5, 7, 6, 3, torch.float32, ""),
    ):
        yield texts(draw, B, T, C, n, dtype, note)
    embeddings, prompt = draw.normal(5, 3, 4).transpose(0, 1), draw.normal(4, 2).T
    yield Case(
        (embeddings, prompt, draw.integers(0, 50, 3, 5)), note="inputs are views", exact=True
    )


def prepend_prompt_sample(draw: Draw) -> Case:
    """Returns a random case of 13.1."""
    B, T, C, n = (draw.integer(1, draw.size + 2) for _ in "BTCn")
    dtype = draw.choice([torch.float32, torch.float64])
    return texts(draw, B, T, C, n, dtype, FP64 if dtype == torch.float64 else "")


PREPEND_PROMPT = Task(
    id="13.1",
    name="prepend_prompt",
    reference=prepend_prompt,
    idea="What a model reads are vectors, and not all of them have to belong to a word. In prompt "
    "tuning a few trained ones stand before every text.",
    example=""">>> text, targets = torch.ones(1, 2, 2), torch.tensor([[5, 6]])
>>> x, y = prepend_prompt(text, torch.tensor([[3., 4.]]), targets)
>>> x.tolist(), y.tolist()
([[[3.0, 4.0], [1.0, 1.0], [1.0, 1.0]]], [[-100, 5, 6]])""",
    hints=(
        "The prompt has no batch dimension: how do all rows get the same one?",
        "Expand the prompt to [B, n, C] and put it before the embeddings along the tokens; do the "
        "same with a full tensor of -100 and the targets.",
        "torch.cat([prompt.expand(B, -1, -1), embeddings], dim=1)",
    ),
    cases=prepend_prompt_cases,
    sample=prepend_prompt_sample,
    bank=bank.prompts,
    compare=Close(),
    drive_options={"gradients": (0, 1)},
    axes={"embeddings": "text token number", "prompt": "vector number", "targets": "text token"},
)

# 13.2 prefix_attention


def prefix_attention(q: Tensor, k: Tensor, v: Tensor, prefix_k: Tensor, prefix_v: Tensor) -> Tensor:
    """Returns causal attention in which every token also sees a trained prefix.

        keys = prefix_k then k, values = prefix_v then v            n + T of them
        y[t] = sum over what token t sees of softmax(q[t] . key / sqrt(D)) value

    Token t sees all n of the prefix, and of the text the tokens 0 to t. One softmax runs over both.

    Args:
        q, k, v: [B, H, T, D], with H heads of size D; scores may be in the hundreds.
        prefix_k, prefix_v: [H, n, D], the same for all texts of the batch.

    Returns:
        y [B, H, T, D].
    """
    B, (n, T) = len(q), (prefix_k.size(1), q.size(2))
    keys = torch.cat([prefix_k.expand(B, -1, -1, -1), k], dim=2)  # [B, H, n + T, D]
    values = torch.cat([prefix_v.expand(B, -1, -1, -1), v], dim=2)
    scores = q @ keys.transpose(-2, -1) / math.sqrt(q.size(-1))  # [B, H, T, n + T]
    seen = torch.ones(T, n + T, dtype=torch.bool).tril(n)
    return F.softmax(scores.masked_fill(~seen, -math.inf), dim=-1) @ values


def attention(
    draw: Draw, B: int, H: int, T: int, D: int, n: int, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, ...]:
    """Returns q, k, v, prefix_k and prefix_v of these sizes."""

    def make() -> tuple[Tensor, ...]:
        qkv = (draw.normal(B, H, T, D, dtype=dtype) for _ in "qkv")
        return (*qkv, *(draw.normal(H, n, D, dtype=dtype) for _ in "kv"))

    return steady(prefix_attention, make)


def far_from_zero(draw: Draw) -> tuple[Tensor, ...]:
    """Returns inputs whose scores are about 800 or -800: exp would give inf or 0, even in fp64.

    Queries are +-400 and keys 1, plus what tells them apart: eighths, which add up to 0 in a key.
    So the scores are exact in whatever order they are added, with D = 4 and its root.
    """

    def eighths(*shape: int) -> Tensor:
        return (8 * draw.normal(*shape, dtype=torch.float64)).round() / 8

    def keys(*shape: int) -> Tensor:
        a, b = eighths(2, *shape)
        return 1 + torch.stack([a, -a, b, -b], dim=-1)

    q = 400.0 * (2 * draw.integers(0, 1, 2, 3, 5, 1) - 1) + eighths(2, 3, 5, 4)
    v, prefix_v = draw.normal(2, 3, 5, 4, dtype=q.dtype), draw.normal(3, 6, 4, dtype=q.dtype)
    return q, keys(2, 3, 5), v, keys(3, 6), prefix_v


def hidden_far_above(draw: Draw) -> tuple[Tensor, ...]:
    """Returns inputs in which the last token's score is 200 above, or below, all that others see.

    A row's maximum over hidden scores would leave only exp(-200) for what is seen: 0 in fp32. All
    but the last key are eighths that add up to 0, so the scores are exact, as in far_from_zero.
    """

    def keys(*shape: int) -> Tensor:
        a, b = (4 * draw.normal(2, *shape)).round() / 8
        return torch.stack([a, -a, b, -b], dim=-1)

    signs = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0])[:, None]
    q, k = 100.0 * signs + keys(2, 3, 5), keys(2, 3, 5)
    k[:, :, -1] += 1
    return q, k, draw.normal(2, 3, 5, 4), keys(3, 2), draw.normal(3, 2, 4)


def prefix_attention_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 13.2."""
    yield Case(attention(draw, 1, 1, 2, 3, 1), note="the prefix has one vector")
    yield Case(attention(draw, 2, 3, 1, 4, 3), note="T is 1")
    yield Case(attention(draw, 2, 2, 3, 4, 2))
    yield Case(attention(draw, 2, 3, 5, 4, 1), note="the prefix has one vector")
    yield Case(attention(draw, 3, 2, 2, 5, 6), note="the prefix is longer than the text")
    yield Case(attention(draw, 2, 4, 7, 8, 3))
    yield Case(attention(draw, 3, 3, 3, 3, 3), note="all sizes are equal")
    yield Case(attention(draw, 2, 3, 4, 6, 5, torch.float64), note=FP64)
    yield Case(far_from_zero(draw), note="scores are about 800 or -800")
    yield Case(hidden_far_above(draw), note="a hidden score is 200 above those that are seen")
    views = (  # as they come from split heads
        x.transpose(-3, -2).contiguous().transpose(-3, -2) for x in attention(draw, 2, 3, 5, 4, 2)
    )
    yield Case(tuple(views), note="inputs are views")


def prefix_attention_sample(draw: Draw) -> Case:
    """Returns a random case of 13.2."""
    B, H, T, D, n = (draw.integer(1, draw.size + 1) for _ in "BHTDn")
    dtype = small_in_fp64(draw)
    note = FP64 if dtype == torch.float64 else ""
    return Case(attention(draw, B, H, T, D, n, dtype), note=note)


PREFIX_ATTENTION = Task(
    id="13.2",
    name="prefix_attention",
    reference=prefix_attention,
    idea="A text meets a soft prompt only as keys and values, so prefix tuning trains those, in "
    "every layer. To each token they are a past that it can always look at.",
    example=""">>> q = k = torch.zeros(1, 1, 2, 1)
>>> v = torch.tensor([3., 6.]).view(1, 1, 2, 1)
>>> prefix_attention(q, k, v, torch.zeros(1, 1, 1), torch.zeros(1, 1, 1)).flatten()
tensor([1.5000, 3.0000])""",
    hints=(
        "How many columns do the scores have, and which of them does the first token see?",
        "Put the prefix before keys and values, and move the diagonal of the causal mask to the "
        "right by its length.",
        "seen = torch.ones(T, n + T, dtype=torch.bool).tril(n)",
    ),
    cases=prefix_attention_cases,
    sample=prefix_attention_sample,
    bank=bank.prefixes,
    compare=Close(),
    drive_options={"gradients": (0, 1, 2, 3, 4)},
    axes={
        "q": "text head token number",
        "k": "text head token number",
        "v": "text head token number",
        "prefix_k": "head vector number",
        "prefix_v": "head vector number",
        "->": "text head token number",
    },
    forbidden=("attention",),
    points=2,
)

# 13.3 adapter_forward


def adapter_forward(
    h: Tensor, W_down: Tensor, b_down: Tensor, W_up: Tensor, b_up: Tensor
) -> Tensor:
    """Returns h with what a bottleneck adds to it (Houlsby et al. 2019).

        h + W_up gelu(W_down h + b_down) + b_up
        gelu(z) = 0.5 z (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3)))

    The formula is for one vector; torch's GELU in its tanh form may be used.

    Args:
        h: [..., C].
        W_down: [r, C]; b_down: [r]; W_up: [C, r]; b_up: [C].

    Returns:
        [..., C].
    """
    z = F.gelu(F.linear(h, W_down, b_down), approximate="tanh")  # [..., r]
    return h + F.linear(z, W_up, b_up)


def bottleneck(
    draw: Draw, r: int, *shape: int, dtype: torch.dtype = torch.float32, scale: float = 1.0
) -> tuple[Tensor, ...]:
    """Returns the arguments of 13.3 for h of this shape; scale is that of weights and biases."""
    C = shape[-1]
    sizes = ((r, C), (r,), (C, r), (C,))

    def make() -> tuple[Tensor, ...]:
        weights = (draw.normal(*size, dtype=dtype) for size in sizes)
        scaled = (scale * weight / math.sqrt(weight.size(-1)) for weight in weights)
        return (draw.normal(*shape, dtype=dtype), *scaled)

    return steady(adapter_forward, make)


def adapter_forward_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 13.3."""
    yield Case(bottleneck(draw, 2, 3), note="h is one vector")
    yield Case(bottleneck(draw, 1, 4, 3, dtype=torch.float64), note="r is 1")
    yield Case(bottleneck(draw, 2, 4, 3))
    yield Case(bottleneck(draw, 3, 2, 4, 5))
    yield Case(bottleneck(draw, 6, 2, 3, 4), note="r is larger than C")
    yield Case(bottleneck(draw, 3, 3, 3), note="r = C")
    yield Case(bottleneck(draw, 4, 2, 3, 4), note="r = C")
    yield Case(bottleneck(draw, 3, 2, 5, 8, dtype=torch.float64), note=FP64)
    h, W_down, b_down, W_up, b_up = bottleneck(draw, 5, 3, 4, 6)
    h = h.transpose(0, 1).contiguous().transpose(0, 1)
    yield Case((h, W_down.T.contiguous().T, b_down, W_up, b_up), note="inputs are views")
    yield Case(bottleneck(draw, 2, 6, 5, scale=0.1), note="what is added is small")
    yield Case(bottleneck(draw, 2, 6, 5, scale=1.5), note="what is added is large")
    h, W_down, *rest = bottleneck(draw, 3, 4, 5, dtype=torch.float64)
    yield Case((h, 100 * W_down, *rest), note="GELU is given numbers in the hundreds")


def adapter_forward_sample(draw: Draw) -> Case:
    """Returns a random case of 13.3."""
    shape = [draw.integer(1, draw.size + 1) for _ in range(draw.integer(1, 3))]
    dtype = small_in_fp64(draw)
    args = bottleneck(draw, draw.integer(1, draw.size), *shape, dtype=dtype)
    return Case(args, note=FP64 if dtype == torch.float64 else "")


ADAPTER_FORWARD = Task(
    id="13.3",
    name="adapter_forward",
    reference=adapter_forward,
    idea="A small network after a frozen layer squeezes the C numbers of a token through r, and "
    "adds the result. GELU in the middle makes it more than LoRA, and keeps it from being merged.",
    example=""">>> W_down, W_up = torch.tensor([[1., 1.]]), torch.tensor([[2.], [0.]])
>>> h, b_down, b_up = torch.tensor([0.5, 0.5]), torch.zeros(1), torch.tensor([0., 1.])
>>> adapter_forward(h, W_down, b_down, W_up, b_up)
tensor([2.1824, 1.5000])""",
    hints=(
        "Which shape does h have after the first matrix, and which after the second?",
        "Down, GELU, up, and add what comes out to h; h may have any number of dimensions.",
        'h + F.linear(F.gelu(F.linear(h, W_down, b_down), approximate="tanh"), W_up, b_up)',
    ),
    cases=adapter_forward_cases,
    sample=adapter_forward_sample,
    bank=bank.adapters,
    compare=Close(),
    drive_options={"gradients": (0, 1, 2, 3, 4)},
    axes={"W_down": "r C", "b_down": "r", "W_up": "C r", "b_up": "C"},
)

# 13.4 nearest_tokens


def nearest_tokens(prompt: Tensor, embeddings: Tensor, k: int) -> Tensor:
    """Returns the ids of the k tokens whose embeddings are most like each vector of a prompt.

        cosine(p, e) = p . e / (|p| |e|)

    Args:
        prompt: [n, C].
        embeddings: one for each of the V tokens, [V, C].
        k: how many, from 1 to V.

    Returns:
        ids, int64 [n, k], in each row those with the largest cosine, the largest first.
    """
    cosines = F.normalize(prompt, dim=-1) @ F.normalize(embeddings, dim=-1).T  # [n, V]
    return cosines.topk(k, dim=-1).indices


def tokens_and_prompt(
    draw: Draw,
    n: int,
    V: int,
    C: int,
    k: int,
    dtype: torch.dtype = torch.float32,
    size: float = 1.0,
    twins: bool = False,
) -> tuple[Tensor, Tensor, int]:
    """Returns a case's arguments in which no rounding can change the order of the best k.

    The embeddings have very different lengths, size times 0.2 to 4. Twins are every two tokens
    whose directions are nearly the same: 16 bits cannot tell them apart.
    """
    least = 1e-4 if twins else 1e-3
    while True:
        lengths = size * draw.uniform(V, 1, low=0.2, high=4.0, dtype=dtype)
        directions = draw.normal(V, C, dtype=dtype)
        if twins:
            directions[1::2] = directions[::2] + 1e-3 * directions[1::2]
        embeddings = F.normalize(directions, dim=-1) * lengths
        prompt = draw.normal(n, C, dtype=dtype) * draw.uniform(n, 1, low=0.1, high=3.0, dtype=dtype)
        a, b = F.normalize(prompt.double(), dim=-1), F.normalize(embeddings.double(), dim=-1)
        best = (a @ b.T).sort(dim=-1, descending=True).values[:, : k + 1]
        if not bool((-best.diff(dim=-1) < least).any()):
            return prompt, embeddings, k


def nearest_tokens_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 13.4."""
    all_tokens = "k is the number of tokens"
    for n, V, C, k, dtype, note in (
        (1, 3, 2, 1, torch.float32, "the prompt has one vector"),
        (2, 4, 3, 2, torch.float32, ""),
        (3, 5, 4, 1, torch.float32, "k is 1"),
        (2, 6, 3, 6, torch.float32, all_tokens),
        (4, 4, 4, 4, torch.float32, all_tokens),
        (2, 30, 5, 4, torch.float64, FP64),
        (5, 40, 8, 3, torch.float32, ""),
        (3, 60, 16, 5, torch.float32, ""),
    ):
        yield Case(tokens_and_prompt(draw, n, V, C, k, dtype), note=note)
    yield Case(tokens_and_prompt(draw, 3, 12, 4, 4, size=0.005), note="the embeddings are short")
    for _ in range(3):
        twins = tokens_and_prompt(draw, 3, 8, 6, 4, twins=True)
        yield Case(twins, note="directions are nearly equal")


def nearest_tokens_sample(draw: Draw) -> Case:
    """Returns a random case of 13.4."""
    n, C, V = draw.integer(1, draw.size), draw.integer(2, draw.size + 3), 3 * draw.size
    k = draw.integer(1, min(V, draw.size + 1))
    dtype = draw.choice([torch.float32, torch.float64])
    note = FP64 if dtype == torch.float64 else ""
    return Case(tokens_and_prompt(draw, n, V, C, k, dtype), note=note)


NEAREST_TOKENS = Task(
    id="13.4",
    name="nearest_tokens",
    reference=nearest_tokens,
    idea="A trained prompt is not text, but its vectors have neighbours among those of the words. "
    "The cosine compares their directions and ignores how long they are.",
    example=""">>> table = torch.tensor([[9., 9.], [1., 0.], [0., -5.]])
>>> nearest_tokens(torch.tensor([[2., 0.1]]), table, 2)
tensor([[1, 0]])""",
    hints=(
        "What is left of a dot product when both vectors have length 1?",
        "Divide every vector by its length, multiply, and take the k largest of each row.",
        "cosines.topk(k, dim=-1).indices",
    ),
    cases=nearest_tokens_cases,
    sample=nearest_tokens_sample,
    bank=bank.neighbours,
    axes={"prompt": "vector number", "embeddings": "token number", "->": "vector rank"},
)

# 13.5 count_prefix


def count_prefix(n_layer: int, n_embd: int, n_tokens: int, hidden: int | None = None) -> int:
    """Counts the numbers that prefix tuning trains.

    With L = n_layer, C = n_embd, n = n_tokens and h = hidden:

        2 L C n                              keys and values of n tokens in all layers
        n C + (C + 1) h + (h + 1) 2 L C      if a network of hidden width h makes them of n vectors

    The network has two layers with biases, from C to h and from h to 2 L C.

    Args:
        n_layer: layers of the model.
        n_embd: its width, also of a key or value of all heads.
        n_tokens: virtual tokens.
        hidden: the network's hidden width, or None if there is no network.
    """
    made = 2 * n_layer * n_embd
    if hidden is None:
        return made * n_tokens
    return n_tokens * n_embd + (n_embd + 1) * hidden + (hidden + 1) * made


def count_prefix_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 13.5."""
    network = "there is a network"
    yield Case((1, 2, 1))
    yield Case((2, 3, 5))
    yield Case((1, 1, 1, 1), note=network)
    yield Case((2, 3, 5, 4), note=network)
    yield Case((3, 5, 2), {"hidden": 7}, note=network)
    yield Case((12, 768, 20))
    yield Case((12, 768, 20), {"hidden": 512}, note=network)
    yield Case((4, 64, 10, None))
    yield Case((9, 55, 11), {"hidden": 1}, note=network)
    yield Case((96, 12288, 1001), note="the count does not fit into 32 bits")
    yield count_prefix_sample(draw)


def count_prefix_sample(draw: Draw) -> Case:
    """Returns a random case of 13.5."""
    sizes = tuple(draw.integer(1, 5 * draw.size) for _ in range(draw.choice([3, 4])))
    return Case(sizes, note="there is a network" if len(sizes) == 4 else "")


COUNT_PREFIX = Task(
    id="13.5",
    name="count_prefix",
    reference=count_prefix,
    idea="A prefix is small beside a model, but every layer has its own keys and values. The "
    "network that helps to train it is much larger, and is thrown away afterwards.",
    example=""">>> count_prefix(2, 3, 5), count_prefix(2, 3, 5, hidden=4)
(60, 91)""",
    hints=(
        "How many numbers does one virtual token need in one layer, and in all?",
        "A linear layer from a to b has (a + 1) b numbers with its bias. The network has two.",
        "n_tokens * n_embd + (n_embd + 1) * hidden + (hidden + 1) * 2 * n_layer * n_embd",
    ),
    cases=count_prefix_cases,
    sample=count_prefix_sample,
    bank=bank.counts,
)

TASKS = [PREPEND_PROMPT, PREFIX_ATTENTION, ADAPTER_FORWARD, NEAREST_TOKENS, COUNT_PREFIX]
