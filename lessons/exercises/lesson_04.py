"""Lesson 4, pretraining: how large a step, in which direction, on which weights, and how good."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from lessons.exercises import bank_04
from lessons.grading.task import Case, Close, Draw, Made, Task
from minigpt import dataset
from minigpt.optim import adamw
from minigpt.training import settings

DOUBLE = "the numbers are in fp64"

# 4.1 learning_rate_at

LEARNING_RATE_STUB = '''\
def learning_rate_at(step: int, config) -> float:
    """Returns the learning rate of a step (the first is 0): a climb, then half a cosine down.

        step < warmup:   top (step + 1) / warmup
        afterwards:      bottom + (top - bottom) (1 + cos(pi p)) / 2,
                         p = (step - warmup) / (max_steps - warmup), at most 1

    Args:
        step: from 0; max_steps and more may come, where the rate stays at the bottom.
        config: has learning_rate (the top), min_learning_rate (the bottom), warmup_steps (the
            warmup, 0 or more) and max_steps, which is larger.
    """
'''


def schedule(max_steps: int, warmup: int, top: float, bottom: float) -> Made:
    """Returns an object with the attributes of a TrainConfig."""
    return Made(
        "config",
        {
            "max_steps": max_steps,
            "batch_size": 8,
            "learning_rate": top,
            "min_learning_rate": bottom,
            "warmup_steps": warmup,
            "weight_decay": 0.1,
            "betas": (0.9, 0.95),
            "eps": 1e-8,
            "grad_clip": 1.0,
            "seed": 0,
        },
    )


def learning_rate_note(step: int, max_steps: int, warmup: int) -> str:
    """Says what is special about a step."""
    if step >= max_steps:
        return "step is max_steps or more"
    if step == warmup:
        return "step is warmup_steps"
    return "step is in the warmup" if step < warmup else ""


def learning_rate_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 4.1: a bottom of 0 only far from the end, where the rate is rounded away."""
    for step in (0, 2, 3, 4, 5, 7, 9, 10, 13, 17, 40):
        note = learning_rate_note(step, 10, 4)
        yield Case((step, schedule(10, 4, 6e-4, 2e-4)), note=note)
    for step in (0, 3, 7):
        yield Case((step, schedule(8, 0, 1.5, 0.5)), note="there is no warmup")
    yield Case((4, schedule(9, 2, 0.02, 0.0)), note="min_learning_rate is 0")
    yield Case((6, schedule(9, 8, 0.3, 0.2)), note=learning_rate_note(6, 9, 8))
    yield Case((8, schedule(9, 8, 0.3, 0.2)), note=learning_rate_note(8, 9, 8))
    yield Case((2, schedule(7, 1, 0.3, 0.3)), note="min_learning_rate is learning_rate")
    yield Case((0, schedule(7, 1, 0.3, 0.1)), note=learning_rate_note(0, 7, 1))
    yield Case((612, schedule(5000, 100, 1e-3, 3e-5)))


def learning_rate_sample(draw: Draw) -> Case:
    """Returns a random case of 4.1."""
    max_steps = draw.integer(2, 10 * draw.size)
    warmup = draw.choice([0, draw.integer(0, max_steps - 1)])
    top = draw.uniform(1, low=1e-4, high=1.0).item()
    bottom = top * draw.uniform(1, low=0.05, high=1.0).item()
    step = draw.integer(0, max_steps + 3)
    return Case((step, schedule(max_steps, warmup, top, bottom)))


LEARNING_RATE_AT = Task(
    id="4.1",
    name="learning_rate_at",
    reference=settings.learning_rate_at,
    stub=LEARNING_RATE_STUB,
    idea="The first steps rest on means of one or two gradients and have to be small; the last "
    "ones should no longer jump around the minimum. Between them the rate is as large as it can "
    "be.",
    example=">>> from types import SimpleNamespace\n"
    ">>> config = SimpleNamespace(learning_rate=1.0, min_learning_rate=0.5)\n"
    ">>> config.warmup_steps, config.max_steps = 2, 6\n"
    ">>> [learning_rate_at(step, config) for step in (0, 1, 2, 4, 6)]\n"
    "[0.5, 1.0, 1.0, 0.75, 0.5]",
    hints=(
        "What should the rate be at the last step of the warmup, and what at the first one after "
        "it?",
        "Two cases. In the warmup a straight line that reaches the top at step warmup - 1; after "
        "it p runs from 0 to 1, and (1 + cos(pi p)) / 2 from 1 to 0.",
        "bottom + (top - bottom) * (1 + math.cos(math.pi * min(1.0, p))) / 2",
    ),
    cases=learning_rate_cases,
    sample=learning_rate_sample,
    bank=bank_04.rates,
    compare=Close(rtol=1e-5),
)

# 4.2 clip_gradients


def clip_gradients(gradients: list[torch.Tensor], max_norm: float) -> float:
    """Shortens gradients to max_norm, in place, if all of them together are longer than that.

        norm = sqrt(sum of the squares of all numbers in all gradients)
        g <- g min(1, max_norm / norm)    for each gradient g

    Args:
        gradients: at least one tensor, of any shapes; each is scaled in place.
        max_norm: above 0.

    Returns:
        the norm before that.
    """
    norm = sum(float(gradient.double().square().sum()) for gradient in gradients) ** 0.5
    if norm > max_norm:
        for gradient in gradients:
            gradient.mul_(max_norm / norm)
    return norm


def clip_case(
    draw: Draw,
    shapes: list[tuple[int, ...]],
    max_norm: float,
    note: str = "",
    dtype: torch.dtype = torch.float32,
) -> Case:
    """Returns a case of 4.2 with normal gradients, the first of them the longest by far."""
    gradients = [draw.normal(*shape, dtype=dtype) for shape in shapes]
    gradients[0] = 3 * gradients[0] + 1
    return Case((gradients, max_norm), note=note)


def clip_gradients_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 4.2: norms of 1 and more, which hide a 1e-6 added to them, as torch does."""
    short, exact = "the gradients are short enough", "the norm is max_norm"
    yield Case(([torch.tensor([3.0, -4.0])], 4.0))
    yield Case(([torch.tensor([3.0, -4.0])], 5.0), note=exact)
    yield Case(([torch.tensor([3.0, -4.0])], 6.5), note=short)
    yield Case(([torch.tensor([[-2.0]]), torch.tensor([6.0, 9.0])], 1.5))
    yield Case(
        ([torch.tensor([1.0, -2.0]), torch.tensor([2.0]), torch.tensor([4.0])], 5.0), note=exact
    )
    yield clip_case(draw, [(2, 3), (3,), (4, 2)], 0.75)
    yield clip_case(draw, [(2, 3), (3,), (2, 2, 3), (1,)], 0.1)
    yield clip_case(draw, [(2, 3), (3,), (4, 2)], 1000.0, short)
    yield clip_case(draw, [(5,), (2, 3)], 3, "max_norm is a whole number")
    yield clip_case(draw, [(3, 4), (4,)], 0.5, DOUBLE, torch.float64)
    view = draw.normal(3, 4).T
    yield Case(([view, 2 * draw.normal(5)], 1.0), note="a gradient is a transposed view")
    zero = [torch.zeros(3), 2 * draw.normal(4) + 1]
    yield Case((zero, 0.5), note="one gradient is 0")


def clip_gradients_sample(draw: Draw) -> Case:
    """Returns a random case of 4.2."""
    shapes = [
        tuple(draw.integer(1, draw.size + 1) for _ in range(draw.integer(1, 3)))
        for _ in range(draw.integer(1, draw.size + 1))
    ]
    dtype = draw.choice([torch.float32, torch.float32, torch.float64])
    case = clip_case(draw, shapes, draw.choice([0.1, 0.5, 1.0, 2.0, 100.0]), dtype=dtype)
    case.args[0][0].reshape(-1)[0] = 2.5
    return case


CLIP_GRADIENTS = Task(
    id="4.2",
    name="clip_gradients",
    reference=clip_gradients,
    idea="One odd batch can give a huge gradient, which would throw the weights far away. Clipping "
    "keeps its direction and limits its length.",
    example=">>> g = torch.tensor([3., 4.])\n>>> clip_gradients([g], 2.5)\n5.0\n"
    ">>> g\ntensor([1.5000, 2.0000])",
    hints=(
        "Think of all gradients as one long vector. How long is it?",
        "Add the squares of all numbers of all tensors and take the root once. If that is more "
        "than max_norm, scale every tensor by the same factor, in place.",
        "g.mul_(min(1.0, max_norm / norm))",
    ),
    cases=clip_gradients_cases,
    sample=clip_gradients_sample,
    bank=bank_04.clips,
    drive="same_tensors",
    changes=("gradients",),
    compare=Close(rtol=1e-5),
    forbidden=("clip_grad_norm",),
)

# 4.3 adamw_step

ADAMW_STUB = '''\
def adamw_step(
    w: Tensor,
    grad: Tensor,
    m: Tensor,
    v: Tensor,
    step: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns a weight and its two moments after one update (Loshchilov and Hutter, algorithm 2).

        w <- w - lr weight_decay w                 decay first, and not through the gradient
        m <- beta1 m + (1 - beta1) grad            running mean of the gradients
        v <- beta2 v + (1 - beta2) grad^2          running mean of their squares
        m_hat = m / (1 - beta1^step)               both start at 0, so the first are too small
        v_hat = v / (1 - beta2^step)
        w <- w - lr m_hat / (sqrt(v_hat) + eps)

    Args:
        w, grad, m, v: of one shape, any; they stay as they are.
        step: the number of this update; the first is 1.
        betas: beta1 and beta2.

    Returns:
        the new w, m and v.
    """
'''


def adamw_case(
    draw: Draw,
    shape: tuple[int, ...],
    step: int,
    note: str = "",
    dtype: torch.dtype = torch.float32,
    lr: float = 0.2,
    betas: tuple[float, float] = (0.8, 0.95),
    eps: float = 1e-3,
    weight_decay: float = 0.3,
) -> Case:
    """Returns a case of 4.3: large rates, so that a small fault in the update shows."""
    w, grad = draw.normal(*shape, dtype=dtype), draw.normal(*shape, dtype=dtype)
    if step == 1:
        m, v = torch.zeros_like(w), torch.zeros_like(w)
    else:
        m = 0.5 * draw.normal(*shape, dtype=dtype)
        v = draw.uniform(*shape, low=0.25, high=2.0, dtype=dtype)
    return Case((w, grad, m, v, step, lr, betas, eps, weight_decay), note=note)


def adamw_step_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 4.3."""
    first, large = "step is 1", "eps is large"
    yield adamw_case(draw, (2,), 1, first)
    yield adamw_case(draw, (2,), 2)
    yield adamw_case(draw, (3,), 3)
    yield adamw_case(draw, (2, 3), 1, first, betas=(0.9, 0.5))
    yield adamw_case(draw, (2, 3), 5, betas=(0.5, 0.9))
    yield adamw_case(draw, (3, 2, 2), 7, large, eps=0.5)
    yield adamw_case(draw, (4,), 1, large, eps=0.1)
    case = adamw_case(draw, (4,), 3, large, eps=0.1)  # and larger than the root of v
    grad, m, v = 0.01 * case.args[1], 0.01 * case.args[2], 1e-4 * case.args[3]
    yield Case((case.args[0], grad, m, v, *case.args[4:]), note=large)
    yield adamw_case(draw, (2, 3), 4, "weight_decay is 0", weight_decay=0.0)
    yield adamw_case(draw, (5,), 1000, "step is large", betas=(0.9, 0.99))
    case = adamw_case(draw, (5,), 1)
    case.args[1][:2] = 0
    yield Case(case.args, note="a gradient is 0")
    yield adamw_case(draw, (2, 3), 6, DOUBLE, torch.float64, lr=0.05, weight_decay=1.0)
    case = adamw_case(draw, (4, 3), 3)
    views = tuple(tensor.T for tensor in case.args[:4])
    yield Case((*views, *case.args[4:]), note="the tensors are transposed views")


def adamw_step_sample(draw: Draw) -> Case:
    """Returns a random case of 4.3."""
    shape = tuple(draw.integer(1, draw.size + 1) for _ in range(draw.integer(1, 3)))
    return adamw_case(
        draw,
        shape,
        draw.choice([1, 2, 3, 10, 100]),
        dtype=draw.choice([torch.float32, torch.float32, torch.float64]),
        lr=draw.choice([0.05, 0.1, 0.3]),
        betas=draw.choice([(0.9, 0.95), (0.5, 0.9), (0.8, 0.6)]),
        eps=draw.choice([1e-8, 1e-3, 0.2]),
        weight_decay=draw.choice([0.0, 0.1, 0.5]),
    )


ADAMW_STEP = Task(
    id="4.3",
    name="adamw_step",
    reference=adamw.adamw_step,
    stub=ADAMW_STUB,
    idea="Adam divides each number's gradient by its usual size, so that all weights move at about "
    "the same speed. AdamW lets the weights decay beside that, not through it.",
    example=">>> one = torch.ones(1)\n"
    ">>> adamw_step(one, one, 0 * one, 0 * one, 1, 0.1, (0.5, 0.75), 0.0, 0.0)\n"
    "(tensor([0.9000]), tensor([0.5000]), tensor([0.2500]))",
    hints=(
        "At the first step m is (1 - beta1) times the gradient. What do you divide by to get the "
        "gradient back?",
        "Decay w; update m and v; correct both for their start at 0; then subtract lr times the "
        "quotient, with eps added to the root.",
        "w = w - lr * m_hat / (v_hat.sqrt() + eps)",
    ),
    cases=adamw_step_cases,
    sample=adamw_step_sample,
    bank=bank_04.adamws,
    compare=Close(rtol=1e-5),
    forbidden=("optim",),
)

# 4.4 parameter_groups

PARAMETER_GROUPS_STUB = '''\
def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Splits the trainable parameters into weights that decay and weights that do not.

        two dimensions and more (matrices, embeddings, convolutions):   weight_decay
        one dimension or none (biases, gains of norms):                 0.0

    Parameters with requires_grad=False are in no group. A parameter that has two names, as a tied
    LM head, is listed once.

    Args:
        model: has at least one parameter that is not frozen.

    Returns:
        dicts {"params": [...], "weight_decay": ...}, as torch's optimizers take them.
    """
'''


def model_case(
    parts: dict[str, list], weight_decay: float, note: str = "", frozen: tuple = (), **tied: str
) -> Case:
    """Returns a case of 4.4; tied: head="wte" ties head.weight to wte.weight."""
    pairs = {f"{name}.weight": f"{other}.weight" for name, other in tied.items()}
    fields = {"parts": parts, "frozen": list(frozen), "tied": pairs}
    return Case((Made("network", fields), weight_decay), note=note)


def parameter_groups_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 4.4."""
    small: dict[str, list] = {"fc": ["Linear", 3, 4], "ln": ["LayerNorm", 4]}
    gpt: dict[str, list] = {
        "wte": ["Embedding", 7, 4],
        "wpe": ["Embedding", 5, 4],
        "h.0.ln_1": ["LayerNorm", 4],
        "h.0.attn.c_attn": ["Linear", 4, 12],
        "h.0.attn.c_proj": ["Linear", 4, 4],
        "h.1.ln_1": ["LayerNorm", 4],
        "h.1.mlp.c_fc": ["Linear", 4, 16],
        "ln_f": ["LayerNorm", 4],
        "head": ["Linear", 4, 7, False],
    }
    bare: dict[str, list] = {
        "gain": ["Parameter", 3],
        "temperature": ["Parameter"],
        "position.bias": ["Parameter", 2, 5],
        "lora_A": ["Parameter", 2, 3],
        "lora_B": ["Parameter", 3, 2],
    }
    yield model_case({"fc": ["Linear", 2, 3]}, 0.1)
    yield model_case(small, 0.3)
    yield model_case({"layer.inner.fc": ["Linear", 3, 2], "fc": ["Linear", 2, 2, False]}, 0.2)
    yield model_case(small, 0.3, "some parameters are frozen", ("fc.weight", "ln.bias"))
    yield model_case(
        {**small, "conv": ["Conv1d", 2, 3, 2], "experts": ["Parameter", 2, 3, 4]},
        0.1,
        "a parameter has three dimensions",
    )
    yield model_case(
        {"row": ["Parameter", 1, 4], "column": ["Linear", 1, 3], "one": ["Linear", 1, 1]},
        0.2,
        "a matrix has one row or column",
    )
    yield model_case(bare, 0.25, "parameters have names of their own")
    yield model_case(gpt, 0.1, "a parameter is tied", head="wte")
    yield model_case(gpt, 0.1, "a parameter is tied", ("wte.weight", "h.1.ln_1.weight"), head="wte")
    yield model_case(gpt, 0.05)
    yield model_case(small, 0.0, "weight_decay is 0")
    only: dict[str, list] = {"ln": ["LayerNorm", 3], "fc": ["Linear", 3, 2]}
    yield model_case(only, 0.1, "nothing decays", ("fc.weight",))
    yield model_case(only, 0.1, "everything decays", ("ln.weight", "ln.bias", "fc.bias"))


def parameter_groups_sample(draw: Draw) -> Case:
    """Returns a random case of 4.4."""
    kinds: list[list] = [
        ["Linear", 2, 3],
        ["Linear", 3, 2, False],
        ["LayerNorm", 3],
        ["Embedding", 4, 2],
        ["Conv1d", 2, 2, 3],
        ["Parameter", 3],
        ["Parameter", 2, 2],
    ]
    places = [draw.choice(["", "block.", "h.0.", "h.1.mlp."]) for _ in range(draw.size + 2)]
    parts = {f"{place}part_{i}": draw.choice(kinds) for i, place in enumerate(places)}
    parts["first"] = ["Linear", 2, 2]
    frozen = []
    for name, (kind, *_) in parts.items():
        if draw.integer(0, 3) == 0 and name != "first":
            frozen.append(name if kind == "Parameter" else f"{name}.weight")
    parts["head"] = ["Linear", 2, 2, False]
    tied = {"head": "first"} if draw.integer(0, 1) else {}
    return model_case(parts, draw.uniform(1, low=0.01, high=0.5).item(), "", tuple(frozen), **tied)


PARAMETER_GROUPS = Task(
    id="4.4",
    name="parameter_groups",
    reference=adamw.parameter_groups,
    stub=PARAMETER_GROUPS_STUB,
    idea="Decay keeps matrices from relying on a few huge entries. A bias or the gain of a norm "
    "has a natural size that is not 0, so it is left alone.",
    example=">>> groups = parameter_groups(nn.Linear(3, 2), 0.1)\n"
    ">>> [(group['weight_decay'], [list(p.shape) for p in group['params']]) for group in groups]\n"
    "[(0.1, [[2, 3]]), (0.0, [[2]])]",
    hints=(
        "How can you tell a matrix from a bias without looking at its name?",
        "Go through model.parameters(), which names a tied parameter once; skip the frozen ones; "
        "two lists, by the number of dimensions.",
        "decaying = [p for p in model.parameters() if p.requires_grad and p.dim() >= 2]",
    ),
    cases=parameter_groups_cases,
    sample=parameter_groups_sample,
    bank=bank_04.groups,
    drive="parameter_groups",
)

# 4.5 bits_per_byte

BITS_PER_BYTE_STUB = '''\
def bits_per_byte(loss: float, n_tokens: int, n_bytes: int) -> float:
    """Returns the loss as the size of the compressed text: bits needed for each byte of it.

        bits per byte = loss / ln 2 * n_tokens / n_bytes

    A loss in nats per token depends on the tokenizer: longer tokens are harder to guess, but there
    are fewer of them. Per byte, models with different vocabularies can be compared.

    Args:
        loss: mean cross-entropy in nats over n_tokens predicted tokens.
        n_bytes: length in bytes of the text that those tokens spell.
    """
'''


def bits_per_byte_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 4.5."""
    yield Case((2.0, 1, 1))
    yield Case((0.5, 2, 3))
    yield Case((3.25, 10, 43))
    yield Case((draw.uniform(1, low=2, high=4).item(), 1000, 3777))
    yield Case((draw.uniform(1, low=0.1, high=1).item(), 4096, 4096))
    yield Case((1.75, 300, 211), note="there are more tokens than bytes")
    yield Case((5.5, 7, 3), note="there are more tokens than bytes")
    yield Case((0.013, 250_000_000, 1_100_000_000), note="the text is long")
    yield Case((4.6, 3_000_000_001, 12_345_678_901), note="the text is long")


def bits_per_byte_sample(draw: Draw) -> Case:
    """Returns a random case of 4.5."""
    most = 10 ** (2 * draw.size)
    loss = draw.uniform(1, low=0.01, high=8.0).item()
    return Case((loss, draw.integer(1, most), draw.integer(1, most)))


BITS_PER_BYTE = Task(
    id="4.5",
    name="bits_per_byte",
    reference=dataset.bits_per_byte,
    stub=BITS_PER_BYTE_STUB,
    idea="Whoever predicts well needs few bits: a token of probability p costs -log2(p) of them. "
    "Per byte of text, a model can be compared with any other, and with file compressors.",
    example=">>> round(bits_per_byte(2.0, 1000, 4000), 4)\n0.7213",
    hints=(
        "How many nats does the whole text cost? And how many bits is a nat?",
        "The loss is a mean over tokens; the whole text costs loss times n_tokens nats, and a nat "
        "is 1 / ln 2 bits.",
        "loss / math.log(2) * n_tokens / n_bytes",
    ),
    cases=bits_per_byte_cases,
    sample=bits_per_byte_sample,
    bank=bank_04.bits,
    compare=Close(rtol=1e-6),
)

TASKS = [LEARNING_RATE_AT, CLIP_GRADIENTS, ADAMW_STEP, PARAMETER_GROUPS, BITS_PER_BYTE]
