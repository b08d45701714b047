"""Lesson 3, GPT-2 assembled: the activation, the norm, the block, the loss, and a count of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from lessons.exercises import bank_03
from lessons.grading.task import FP32_CONSTANT, Case, Close, Draw, Made, Task
from minigpt import config as configs

DOUBLE = "the numbers are in fp64"
TRANSPOSED = "the argument is a transposed view"

# 3.1 gelu


def gelu(x: Tensor) -> Tensor:
    """Computes GPT-2's GELU, the tanh form, of each number by itself.

        gelu(x) = 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))

    Args:
        x: of any shape.

    Returns:
        the same shape and dtype.
    """
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 3.1: no result is all cancellation, so that 1 + tanh(..) keeps its digits."""
    yield Case((torch.tensor([-1.25, 0.75]),))
    yield Case((torch.tensor([0.8125]),), note="x is a single number")
    yield Case((draw.normal(2, 4),))
    yield Case((draw.normal(2, 3, 4),))
    yield Case((draw.uniform(3, 5, low=-2, high=-1),), note="all of x is negative")
    yield Case((draw.uniform(3, 5, low=0.5, high=1.5),), note="all of x is positive")
    far = draw.uniform(4, 7, low=-8, high=8)
    far[0, 0] = 0
    yield Case((far,), note="x is far from 0")
    very_far = draw.uniform(3, 4, low=-90, high=90)
    very_far[0, :2] = torch.tensor([-60.0, 60.0])
    yield Case((very_far,), note="exp of what goes into the tanh is infinite")
    yield Case((draw.normal(2, 1, 3, 2),), note="x has four dimensions")
    yield Case((draw.normal(3, 4, dtype=torch.float64),), note=DOUBLE)
    yield Case((draw.normal(5, 3).T,), note=TRANSPOSED)


def gelu_sample(draw: Draw) -> Case:
    """Returns a random case of 3.1."""
    shape = [draw.integer(1, draw.size + 1) for _ in range(draw.integer(1, 4))]
    dtype = draw.choice([torch.float32, torch.float32, torch.float64])
    if math.prod(shape) < 8:
        return Case((draw.uniform(*shape, low=-2, high=3, dtype=dtype),))
    return Case((draw.normal(*shape, dtype=dtype) * draw.choice([1, 3]),))


GELU = Task(
    id="3.1",
    name="gelu",
    reference=gelu,
    idea="Between the two matrices of an MLP something must bend, or they would be one matrix. "
    "GELU lets large numbers through, stops very negative ones, and is smooth between.",
    example=">>> gelu(torch.tensor([-1., 0., 1.]))\ntensor([-0.1588,  0.0000,  0.8412])",
    hints=(
        "What does 1 + tanh give for a large positive number, and what for a large negative one?",
        "Compute what goes into the tanh first; everything works on each number alone, so no shape "
        "matters.",
        "0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))",
    ),
    cases=gelu_cases,
    sample=gelu_sample,
    bank=bank_03.gelus,
    compare=Close(rtol=1e-5),
    forbidden=("gelu",),
)

# 3.2 layer_norm


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """Brings each token's numbers to mean 0 and variance 1, then scales and moves them.

        mean = (sum of x) / C;  variance = (sum of (x - mean)^2) / C
        y = weight (x - mean) / sqrt(variance + eps) + bias

    Args:
        x: [..., C]; means may be thousands of times as large as the spread.
        weight, bias: [C].

    Returns:
        [..., C] in x's dtype.
    """
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return weight * centred / torch.sqrt(variance + eps) + bias


def norm_case(
    draw: Draw, *shape: int, scale: float = 1.0, note: str = "", dtype: torch.dtype = torch.float32
) -> Case:
    """Returns a case of 3.2: x with a mean of half its spread."""
    x = scale * (draw.normal(*shape, dtype=dtype) + 0.5)
    C = shape[-1]
    return Case((x, draw.normal(C, dtype=dtype), draw.normal(C, dtype=dtype)), note=note)


def far_from_zero(draw: Draw) -> Tensor:
    """Rows [3, 8] with mean 2000, 0 and -2000 and deviation about 1, all multiples of an eighth.

    Their means and variances are exact in fp32, in any order of addition: with rounded means right
    answers would differ in the fourth digit.
    """
    half = draw.integers(-10, 10, 3, 4).float() / 8
    half[:, 0] = 1
    rows = torch.cat([half, -half], dim=1)
    rows = torch.stack([row[draw.shuffled(range(8))] for row in rows])
    return rows + torch.tensor([[2000.0], [0.0], [-2000.0]])


def layer_norm_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 3.2."""
    two = torch.tensor([[-0.75, 1.5]])
    yield Case((two, draw.normal(2), draw.normal(2)))
    yield norm_case(draw, 2, 3)
    yield norm_case(draw, 2, 3, 5)
    yield norm_case(draw, 4, note="x has one dimension")
    yield norm_case(draw, 2, 2, 3, 4, note="x has four dimensions")
    yield norm_case(draw, 3, 3, 3, note="all dimensions are of one size")
    yield norm_case(draw, 3, 2, 1, note="the last dimension has one number")
    small = "eps is about as large as the variance"
    case = norm_case(draw, 2, 3, 4, scale=0.3, note=small)
    yield Case(case.args, {"eps": 0.1}, small)
    case = norm_case(draw, 4, 6, note=small)
    yield Case((*case.args, 0.5), note=small)
    yield norm_case(draw, 3, 5, scale=4e-3, note=small)
    case = norm_case(draw, 3, 4)
    case.args[0][1] = 2.5
    yield Case(case.args, note="a row holds one number throughout")
    x = far_from_zero(draw)
    yield Case((x, draw.normal(8), draw.normal(8)), note="the mean is far larger than the spread")
    yield norm_case(draw, 2, 3, 5, note=DOUBLE, dtype=torch.float64)
    view = draw.normal(5, 3, 2).permute(2, 1, 0)
    yield Case((view, draw.normal(5), draw.normal(5)), note=TRANSPOSED)


def layer_norm_sample(draw: Draw) -> Case:
    """Returns a random case of 3.2."""
    if draw.integer(0, 5) == 0:
        return Case((far_from_zero(draw), draw.normal(8), draw.normal(8)))
    shape = [draw.integer(1, draw.size + 1) for _ in range(draw.integer(0, 3))]
    scale, eps = draw.choice([(1.0, 1e-5), (3.0, 1e-5), (0.3, 0.05), (4e-3, 1e-5)])
    dtype = draw.choice([torch.float32, torch.float32, torch.float64])
    if dtype == torch.float64:  # an eps in fp32 must not show
        scale, eps = 1.0, 1e-5
    case = norm_case(draw, *shape, draw.integer(3, draw.size + 4), scale=scale, dtype=dtype)
    return Case(case.args, {} if eps == 1e-5 else {"eps": eps})


LAYER_NORM = Task(
    id="3.2",
    name="layer_norm",
    reference=layer_norm,
    idea="Layers work best on numbers of about size 1. A layer norm brings every token there by "
    "itself, and learns with which size and offset to hand it on.",
    example=">>> layer_norm(torch.tensor([[1., 2., 3.]]), torch.ones(3), torch.zeros(3), eps=0.0)\n"
    "tensor([[-1.2247,  0.0000,  1.2247]])",
    hints=(
        "x has the shape [B, T, C]. How many means are there, and what shape lets you subtract "
        "them?",
        "Mean over the last dimension with keepdim=True; the variance is the mean of the squared "
        "differences; eps joins it under the root.",
        "(x - mean) / torch.sqrt(((x - mean) ** 2).mean(-1, keepdim=True) + eps)",
    ),
    cases=layer_norm_cases,
    sample=layer_norm_sample,
    bank=bank_03.norms,
    compare=Close(rtol=1e-5, fp64=FP32_CONSTANT),
    axes={"weight": "number", "bias": "number"},
    forbidden=("layer_norm",),
)

# 3.3 count_parameters

COUNT_PARAMETERS_STUB = '''\
def count_parameters(config) -> int:
    """Counts the parameters of a GPT-2 in closed form; no model is built.

    With width C, vocabulary V, context T and L blocks, biases included:

        embeddings      V C + T C          tokens and positions
        one block       two norms, attention (C -> 3C and C -> C), MLP (C -> 4C and 4C -> C)
        final norm

    A linear layer from m to n numbers has n m weights and n biases; a norm has C weights and C
    biases. The output layer (LM head) shares the token embedding, so it adds nothing.

    Args:
        config: has vocab_size, block_size, n_layer, n_head, n_embd and bias. With bias=False no
            linear layer and no norm has biases.
    """
'''


def shape_of_gpt(V: int, T: int, L: int, H: int, C: int, bias: bool = True) -> Made:
    """Returns an object with the attributes of a GPTConfig."""
    return Made(
        "config",
        {
            "vocab_size": V,
            "block_size": T,
            "n_layer": L,
            "n_head": H,
            "n_embd": C,
            "head_size": C // H,
            "dropout": 0.1,
            "bias": bias,
        },
    )


def count_parameters_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 3.3."""
    without = "bias is False"
    yield Case((shape_of_gpt(5, 3, 1, 1, 2),))
    yield Case((shape_of_gpt(7, 5, 2, 2, 4),))
    yield Case((shape_of_gpt(11, 4, 3, 3, 6),))
    yield Case((shape_of_gpt(5, 3, 1, 1, 2, bias=False),), note=without)
    yield Case((shape_of_gpt(7, 5, 3, 2, 4, bias=False),), note=without)
    yield Case((shape_of_gpt(50257, 1024, 12, 12, 768),))
    yield Case((shape_of_gpt(2048, 512, 6, 8, 256, bias=False),), note=without)
    yield Case((shape_of_gpt(50257, 1023, 11, 7, 777),))  # more digits than fp32 has


def count_parameters_sample(draw: Draw) -> Case:
    """Returns a random case of 3.3."""
    H, D = draw.integer(1, draw.size), draw.integer(1, 4 * draw.size)
    V, T, L = draw.integer(2, 50 * draw.size), draw.integer(1, 8 * draw.size), draw.integer(1, 5)
    return Case((shape_of_gpt(V, T, L, H, H * D, draw.choice([True, False])),))


COUNT_PARAMETERS = Task(
    id="3.3",
    name="count_parameters",
    reference=configs.count_parameters,
    stub=COUNT_PARAMETERS_STUB,
    idea="A model's size is the number people quote most and check least. It follows from five "
    "numbers by multiplication.",
    example=">>> from types import SimpleNamespace\n"
    ">>> config = SimpleNamespace(vocab_size=10, block_size=4, n_layer=1, n_head=1, n_embd=2)\n"
    ">>> config.bias = True\n"
    ">>> count_parameters(config)\n106",
    hints=(
        "Write down the layers of one block, each with its inputs and outputs. Which have biases?",
        "Attention: C to 3C and C to C. MLP: C to 4C and 4C to C. Two norms in each block, one at "
        "the end. Embeddings: V + T vectors.",
        "attention = 4 * C**2 + (4 * C if config.bias else 0)",
    ),
    cases=count_parameters_cases,
    sample=count_parameters_sample,
    bank=bank_03.counts,
)

# 3.4 cross_entropy


def cross_entropy(logits: Tensor, targets: Tensor, ignore_index: int = -100) -> Tensor:
    """Returns the mean loss in nats: how surprised the model is by the right tokens.

        loss[n] = log(sum over v of exp(logits[n, v])) - logits[n, targets[n]]

    Args:
        logits: fp32 [N, V]; they may reach hundreds.
        targets: int64 [N]: ids below V, or ignore_index. At least one counts.
        ignore_index: a target that is left out of the mean, above and below; it may be an id.

    Returns:
        the mean of the losses of the targets that count, an fp32 tensor of shape [].
    """
    counted = targets != ignore_index
    logits, targets = logits[counted].float(), targets[counted]
    return -logits.log_softmax(-1).gather(-1, targets[:, None]).mean()


LARGE = "logits reach hundreds"


def surprise(logits: Tensor, targets: Tensor, ignored: int) -> Tensor:
    """Returns the logits with a large loss in the first row that counts.

    A small loss would be the difference of two larger rounded numbers in some right answers.
    """
    n = int((targets != ignored).int().argmax())
    logits[n, targets[n]] = logits[n].min() - 0.5
    return logits


def large_logits(draw: Draw, N: int, V: int) -> Case:
    """Returns a case of 3.4 with rows near 300 and near -300, and a loss of about 100."""
    logits = 40 * draw.normal(N, V) + 300 * torch.tensor([1.0, -1.0]).repeat(N)[:N, None]
    targets = draw.integers(0, V - 1, N)
    targets[0] = logits[0].argmin()
    return Case((logits, targets), note=LARGE)


def cross_entropy_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 3.4."""

    def case(N: int, V: int, ignored: int | None = None, *at: int, note: str = "") -> Case:
        targets = draw.integers(1, V - 2, N)  # so that ids 0 and V - 1 are there on purpose only
        targets[0], targets[N - 1] = 0, V - 1
        targets[list(at)] = -100 if ignored is None else ignored
        kwargs = {} if ignored is None else {"ignore_index": ignored}
        logits = surprise(2 * draw.normal(N, V), targets, kwargs.get("ignore_index", -100))
        return Case((logits, targets), kwargs, note)

    some, other, an_id = "some targets are -100", "ignore_index is -1", "ignore_index is an id"
    yield Case((torch.tensor([[0.5, -0.75, 1.25]]), torch.tensor([1])))
    yield case(3, 4)
    yield case(5, 7)
    yield case(5, 4, None, 1, 3, note=some)
    yield case(4, 6, None, 0, 1, 3, note=some)
    yield case(6, 130, None, 2, 4, 5, note=some)
    yield case(5, 4, -1, 2, 3, note=other)
    yield case(6, 5, 2, 1, 3, note=an_id)
    yield case(5, 5, 0, 3, note=an_id)
    yield case(5, 130, -100, 1, 2, note=some)
    logits, targets = case(5, 6).args
    yield Case((50 * logits, targets), note=LARGE)
    yield large_logits(draw, 4, 5)
    yield Case((draw.normal(4, 5).T, draw.integers(0, 3, 5)), note=TRANSPOSED)


def cross_entropy_sample(draw: Draw) -> Case:
    """Returns a random case of 3.4."""
    N, V = draw.integer(2, 2 * draw.size + 1), draw.integer(3, 3 * draw.size + 2)
    if draw.integer(0, 3) == 0:
        return large_logits(draw, N, V)
    targets = draw.integers(0, V - 1, N)
    ignored = draw.choice([-100, -100, -1, draw.integer(1, V - 1)])
    targets[draw.integers(0, N - 1, N // 2)] = ignored
    targets[draw.integer(0, N - 1)] = 0  # which is never the ignored one
    logits = surprise(2 * draw.normal(N, V), targets, ignored)
    return Case((logits, targets), {} if ignored == -100 else {"ignore_index": ignored})


CROSS_ENTROPY = Task(
    id="3.4",
    name="cross_entropy",
    reference=cross_entropy,
    idea="The loss is minus the logarithm of the probability that the model gave to the right "
    "token. Training makes its mean over all positions smaller.",
    example=">>> cross_entropy(torch.tensor([[0., 0.], [0., 0.]]), torch.tensor([1, -100]))\n"
    "tensor(0.6931)",
    hints=(
        "exp(300) is infinite in fp32. Which number can you subtract from a row of logits without "
        "changing the probabilities?",
        "Keep the rows whose target counts; log-softmax over each row; pick the target's entry; "
        "minus the mean.",
        "log_p = logits - logits.logsumexp(-1, keepdim=True)",
    ),
    cases=cross_entropy_cases,
    sample=cross_entropy_sample,
    bank=bank_03.losses,
    compare=Close(rtol=1e-5),
    axes={"logits": "position token", "targets": "position"},
    forbidden=("cross_entropy",),
)

# 3.5 block


def block(
    x: Tensor,
    ln_1: Callable[[Tensor], Tensor],
    attn: Callable[[Tensor], Tensor],
    ln_2: Callable[[Tensor], Tensor],
    mlp: Callable[[Tensor], Tensor],
) -> Tensor:
    """Runs one block of GPT-2: each layer reads the stream normalised and adds to it (pre-norm).

        h = x + attn(ln_1(x))
        y = h + mlp(ln_2(h))

    Args:
        x: the residual stream [B, T, C]; it stays as it is.
        ln_1, attn, ln_2, mlp: each takes [B, T, C] and returns [B, T, C].

    Returns:
        y [B, T, C].
    """
    h = x + attn(ln_1(x))
    return h + mlp(ln_2(h))


def block_case(
    draw: Draw, B: int, T: int, C: int, note: str = "", dtype: torch.dtype = torch.float32
) -> Case:
    """Returns a case of 3.5: affine norms and MLP, and attention that averages earlier tokens."""

    def affine() -> Made:
        weight, bias = draw.normal(C, C, dtype=dtype), draw.normal(C, dtype=dtype)
        return Made("affine", {"weight": weight, "bias": bias})

    attention = Made("earlier_mean", {"weight": draw.normal(C, C, dtype=dtype)})
    x = draw.normal(B, T, C, dtype=dtype)
    return Case((x, affine(), attention, affine(), affine()), note=note)


def block_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 3.5."""
    yield block_case(draw, 1, 2, 1)
    yield block_case(draw, 1, 2, 3)
    yield block_case(draw, 2, 3, 4)
    yield block_case(draw, 3, 2, 5)
    yield block_case(draw, 2, 1, 3, "there is one token")
    yield block_case(draw, 2, 4, 3, DOUBLE, torch.float64)
    case = block_case(draw, 3, 2, 4)
    yield Case(
        (draw.normal(2, 3, 4).transpose(0, 1), *case.args[1:]), note="x is a transposed view"
    )


def block_sample(draw: Draw) -> Case:
    """Returns a random case of 3.5."""
    B, T, C = (draw.integer(1, draw.size + 1) for _ in range(3))
    return block_case(draw, B, T, C, dtype=draw.choice([torch.float32, torch.float64]))


BLOCK = Task(
    id="3.5",
    name="block",
    reference=block,
    idea="Attention and MLP never replace the vectors of the tokens: each reads them, normalised, "
    "and adds something. What one block has found is still there for all later ones.",
    example=">>> block(torch.ones(1), lambda x: 2 * x, lambda x: x + 1, lambda x: 3 * x, "
    "lambda x: 10 * x)\ntensor([124.])",
    hints=(
        "What does the MLP read: the x you were given, or what it has become?",
        "Two steps of one kind: x plus a layer of the normed x. The second starts from the first's "
        "result.",
        "x = x + attn(ln_1(x))",
    ),
    cases=block_cases,
    sample=block_sample,
    bank=bank_03.blocks,
    compare=Close(rtol=1e-5, fp64=FP32_CONSTANT),
    axes={"x": "batch token number", "->": "batch token number"},
)

TASKS = [GELU, LAYER_NORM, COUNT_PARAMETERS, CROSS_ENTROPY, BLOCK]
