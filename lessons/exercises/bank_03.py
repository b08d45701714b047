"""Lesson 3's bank: the parts of a GPT-2 as people write them, wrong and right."""

# ruff: noqa: F811
# mypy: ignore-errors

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn as nn

from lessons.grading.task import Bank

# 3.1 gelu

gelus = Bank()


@gelus.right
def gelu(x):
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return 0.5 * x * (1 + torch.tanh(inner))


@gelus.right
def gelu(x):
    out = torch.empty(x.numel(), dtype=x.dtype)
    for i, number in enumerate(x.flatten().tolist()):
        inner = (2 / math.pi) ** 0.5 * (number + 0.044715 * number * number * number)
        out[i] = 0.5 * number * (1 + math.tanh(inner))
    return out.reshape(x.shape)


@gelus.right
def gelu(x):
    array = x.numpy()
    c = np.sqrt(2 / np.pi).astype(array.dtype)
    y = array / 2 * (1 + np.tanh(c * (array + 0.044715 * np.power(array, 3))))
    return torch.as_tensor(y, dtype=x.dtype)


@gelus.right
def gelu(x):
    root = torch.sqrt(torch.tensor(2.0 / math.pi))
    return x * torch.sigmoid(2 * root * (x + 0.044715 * torch.pow(x, 3)))


@gelus.right
def gelu(x):
    z = 1.5957691216057308 * x * (1.0 + 0.044715 * x * x)
    return x / (1.0 + torch.exp(-z))


gelus.edit(
    "the exact GELU",
    "This is the GELU with the error function. GPT-2 uses the tanh formula, which differs from it "
    "by up to 0.0005.",
    ("(1 + torch.tanh(inner))", "(1 + torch.erf(x / math.sqrt(2))) + 0 * inner"),
)
gelus.edit(
    "the half is missing",
    "Your result is twice too large: the formula begins with 0.5.",
    ("0.5 * x", "x"),
)
gelus.edit(
    "the 1 is missing",
    "You multiply by tanh alone, which makes an even function. 1 + tanh runs from 0 to 2: it lets "
    "large numbers pass and stops negative ones.",
    ("(1 + torch.tanh(inner))", "torch.tanh(inner)"),
)
gelus.edit(
    "x squared",
    "You add 0.044715 times the square of x. It is the third power, which keeps the sign.",
    ("x**3", "x**2"),
)
gelus.edit(
    "the cube is left out",
    "Your tanh gets sqrt(2/pi) x alone. The term 0.044715 x^3 bends it towards the exact GELU.",
    (" + 0.044715 * x**3", ""),
)
gelus.edit(
    "the root covers x too little",
    "Only x is multiplied by sqrt(2/pi) in your code. The whole sum x + 0.044715 x^3 is.",
    (
        "math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)",
        "math.sqrt(2 / math.pi) * x + 0.044715 * x**3",
    ),
)
gelus.edit(
    "the root is missing",
    "You multiply by 2/pi. It is the square root of that.",
    ("math.sqrt(2 / math.pi)", "2 / math.pi"),
)
gelus.edit(
    "pi over 2",
    "Your factor is sqrt(pi/2). The formula has sqrt(2/pi), about 0.798.",
    ("2 / math.pi", "math.pi / 2"),
)
gelus.edit(
    "the factor is left out",
    "Your tanh gets x + 0.044715 x^3 without the factor sqrt(2/pi) before it.",
    ("math.sqrt(2 / math.pi) * ", ""),
)
gelus.edit(
    "the short sigmoid form",
    "You compute x sigmoid(1.702 x), another approximation of the GELU. It differs from the tanh "
    "form by up to 0.02.",
    ("0.5 * x * (1 + torch.tanh(inner))", "x * torch.sigmoid(1.702 * x) + 0 * inner"),
)
gelus.edit(
    "swish",
    "You compute x sigmoid(x), which is called SiLU or swish. GELU is steeper.",
    ("0.5 * x * (1 + torch.tanh(inner))", "x * torch.sigmoid(x) + 0 * inner"),
)
gelus.edit(
    "ReLU",
    "You compute a ReLU: negative numbers become 0. GELU lets small negative numbers through.",
    ("0.5 * x * (1 + torch.tanh(inner))", "x.clamp(min=0) + 0 * inner"),
)
gelus.edit(
    "rounded constant",
    "Your constant is near, but not the one of the formula: 0.044715. All its digits count.",
    ("0.044715", "0.0447"),
)
gelus.edit(
    "the dtype is lost",
    "The values are right, but they come back as fp32 whatever x was.",
    (
        "0.5 * x * (1 + torch.tanh(inner))",
        "(0.5 * x * (1 + torch.tanh(inner))).float()",
    ),
)
gelus.edit(
    "the tanh is multiplied again by x",
    "Your x stands inside the bracket as well: 0.5 x (1 + x tanh(..)). It stands before it only.",
    ("(1 + torch.tanh(inner))", "(1 + x * torch.tanh(inner))"),
)


@gelus.mistake(
    "x is changed in place",
    "The values are right, but x itself is overwritten: operations whose name ends in _ change "
    "the caller's tensor.",
)
def gelu(x):
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return x.mul_(0.5 * (1 + torch.tanh(inner)))


gelus.edit(
    "2 times pi",
    "Under the root stands 2 / pi; yours is 2 pi.",
    ("2 / math.pi", "2 * math.pi"),
)
gelus.edit(
    "0.44715",
    "Your factor of x^3 is ten times too large: it is 0.044715.",
    ("0.044715", "0.44715"),
)
gelus.edit(
    "the cube alone",
    "Only the cube goes into the tanh. x itself is added to it: x + 0.044715 x^3.",
    ("(x + 0.044715 * x**3)", "(0.044715 * x**3)"),
)
gelus.edit(
    "the factor is cubed too",
    "You cube 0.044715 together with x. Only x is cubed.",
    ("0.044715 * x**3", "(0.044715 * x) ** 3"),
)
gelus.edit(
    "1 minus tanh",
    "You subtract the tanh from 1: large numbers are stopped and small ones let through, the wrong "
    "way round.",
    ("1 + torch.tanh", "1 - torch.tanh"),
)
gelus.edit(
    "negative results are cut off",
    "You cut negative results off at 0. GELU dips a little below 0 left of 0; that is what makes "
    "it smooth.",
    (
        "return 0.5 * x * (1 + torch.tanh(inner))",
        "y = 0.5 * x * (1 + torch.tanh(inner))\n    return y.clamp(min=0)",
    ),
)
gelus.edit(
    "|x| cubed",
    "You cube the size of x and lose its sign: x^3 is negative where x is.",
    ("x**3", "x.abs() ** 3"),
)
gelus.edit(
    "x only beside the tanh",
    "You multiply the tanh by x but not the 1 beside it: x stands in front of the bracket.",
    ("0.5 * x * (1 + torch.tanh(inner))", "0.5 * (1 + x * torch.tanh(inner))"),
)
gelus.edit(
    "always fp64",
    "Your result is fp64 whatever x was. It has x's dtype.",
    ("    inner", "    x = x.double()\n    inner"),
)


@gelus.mistake(
    "the tanh overflows",
    "You write the tanh with exp, and exp of a large number is infinite: (inf - 1) / (inf + 1) is "
    "NaN. torch.tanh has no such limit.",
)
def gelu(x):
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    e = torch.exp(2 * inner)
    return 0.5 * x * (1 + (e - 1) / (e + 1))


@gelus.mistake(
    "exact only between -3 and 3",
    "Beyond 3 you return x, and 0 below -3. GELU comes near to those only further out.",
)
def gelu(x):
    y = 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return torch.where(x > 3, x, torch.where(x < -3, torch.zeros_like(x), y))


# 3.2 layer_norm

norms = Bank()


@norms.right
def layer_norm(x, weight, bias, eps=1e-5):
    mean = x.mean(dim=-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
    x_hat = (x - mean) / torch.sqrt(variance + eps)
    return weight * x_hat + bias


@norms.right
def layer_norm(x, weight, bias, eps=1e-5):
    rows = x.reshape(-1, x.shape[-1])
    out = []
    for row in rows.tolist():
        n = len(row)
        mean = sum(row) / n
        variance = sum((number - mean) ** 2 for number in row) / n
        out.append([(number - mean) / math.sqrt(variance + eps) for number in row])
    return torch.tensor(out, dtype=x.dtype).reshape(x.shape) * weight + bias


@norms.right
def layer_norm(x, weight, bias, eps=1e-5):
    variance, mean = torch.var_mean(x, dim=-1, unbiased=False, keepdim=True)
    return torch.addcmul(bias, (x - mean) * torch.rsqrt(variance + eps), weight)


@norms.right
def layer_norm(x, weight, bias, eps=1e-5):
    a = x.numpy().astype(np.float64)
    y = (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + eps)
    return torch.from_numpy(y).to(x.dtype) * weight + bias


@norms.right
def layer_norm(x, weight, bias, eps=1e-5):
    C = x.size(-1)
    centred = x - x.sum(-1).unsqueeze(-1) / C
    length = torch.einsum("...c,...c->...", centred, centred).unsqueeze(-1)
    return centred / (length / C + eps) ** 0.5 * weight + bias


norms.edit(
    "the unbiased variance",
    "You divide the squares by C - 1, the estimate of a sample's variance (torch.var's default). A "
    "layer norm divides by C.",
    (
        "((x - mean) ** 2).mean(dim=-1, keepdim=True)",
        "x.var(dim=-1, keepdim=True)",
    ),
)
norms.edit(
    "eps outside the root",
    "You add eps to the standard deviation. It belongs to the variance, inside the root.",
    ("torch.sqrt(variance + eps)", "(torch.sqrt(variance) + eps)"),
)
norms.edit(
    "eps is left out",
    "Your code does without eps. Where all numbers of a row are the same that is 0 / 0, and where "
    "they are close it is far off.",
    ("variance + eps", "variance"),
)
norms.edit(
    "eps is fixed",
    "You use 1e-5 whatever eps is given.",
    ("variance + eps", "variance + 1e-5"),
)
norms.edit(
    "another default for eps",
    "Where no eps is given, yours is 1e-6. The default here is 1e-5.",
    ("eps=1e-5", "eps=1e-6"),
)
norms.edit(
    "divided by the variance",
    "You divide by the variance. Its root, the standard deviation, is what brings the spread to 1.",
    ("torch.sqrt(variance + eps)", "(variance + eps)"),
)
norms.edit(
    "over the whole tensor",
    "You take one mean and one variance of all numbers. Every token has its own: the last "
    "dimension alone.",
    ("x.mean(dim=-1, keepdim=True)", "x.mean()"),
    ("((x - mean) ** 2).mean(dim=-1, keepdim=True)", "((x - mean) ** 2).mean()"),
)
norms.edit(
    "over the first dimension",
    "You normalise over the first dimension, across the texts of a batch. A layer norm looks at "
    "one token at a time: the last dimension.",
    ("x.mean(dim=-1, keepdim=True)", "x.mean(dim=0, keepdim=True)"),
    (
        "((x - mean) ** 2).mean(dim=-1, keepdim=True)",
        "((x - mean) ** 2).mean(dim=0, keepdim=True)",
    ),
)
norms.edit(
    "over the last two dimensions",
    "You normalise over tokens and numbers together, so that a token depends on its neighbours. "
    "Only the last dimension counts.",
    ("x.mean(dim=-1, keepdim=True)", "x.mean(dim=tuple(range(x.dim()))[-2:], keepdim=True)"),
    (
        "((x - mean) ** 2).mean(dim=-1, keepdim=True)",
        "((x - mean) ** 2).mean(dim=tuple(range(x.dim()))[-2:], keepdim=True)",
    ),
)
norms.edit(
    "over dimension 1",
    "Your code always normalises over dimension 1, which is the last one only where x has two.",
    ("x.mean(dim=-1, keepdim=True)", "x.mean(dim=1, keepdim=True)"),
    (
        "((x - mean) ** 2).mean(dim=-1, keepdim=True)",
        "((x - mean) ** 2).mean(dim=1, keepdim=True)",
    ),
)
norms.edit(
    "over dimension 2",
    "Your code always normalises over dimension 2, which is the last one only where x has three.",
    ("x.mean(dim=-1, keepdim=True)", "x.mean(dim=2, keepdim=True)"),
    (
        "((x - mean) ** 2).mean(dim=-1, keepdim=True)",
        "((x - mean) ** 2).mean(dim=2, keepdim=True)",
    ),
)
norms.edit(
    "means do not line up",
    "Your mean and variance lose the last dimension, so they are not subtracted row by row. Keep "
    "it with size 1.",
    ("x.mean(dim=-1, keepdim=True)", "x.mean(dim=-1)"),
    ("((x - mean) ** 2).mean(dim=-1, keepdim=True)", "((x - mean) ** 2).mean(dim=-1)"),
)
norms.edit(
    "the mean stays",
    "You divide by the spread and leave the mean in. It is taken away first, then the rest is "
    "divided.",
    ("x_hat = (x - mean)", "x_hat = x"),
)
norms.edit(
    "RMS norm",
    "You divide by the root of the mean square and take no mean away: that is an RMS norm.",
    ("mean = x.mean(dim=-1, keepdim=True)", "mean = 0"),
)
norms.edit(
    "mean of squares minus square of the mean",
    "You compute the variance as the mean of x^2 minus the square of the mean. Where the mean is "
    "large, that is a small difference of two huge rounded numbers: subtract the mean first.",
    (
        "((x - mean) ** 2).mean(dim=-1, keepdim=True)",
        "((x**2).mean(dim=-1, keepdim=True) - mean**2).clamp(min=0)",
    ),
)
norms.edit(
    "weight and bias left out",
    "You normalise and stop. The result is still multiplied by weight and moved by bias.",
    ("weight * x_hat + bias", "x_hat"),
)
norms.edit(
    "bias left out",
    "The last step is missing: bias is added at the end.",
    ("weight * x_hat + bias", "weight * x_hat"),
)
norms.edit(
    "weight left out",
    "You add bias, but you never multiply by weight.",
    ("weight * x_hat + bias", "x_hat + bias"),
)
norms.edit(
    "bias before weight",
    "You add bias first and multiply the sum by weight. Multiply first.",
    ("weight * x_hat + bias", "weight * (x_hat + bias)"),
)
norms.edit(
    "weight and bias exchanged",
    "You multiply by bias and add weight.",
    ("weight * x_hat + bias", "bias * x_hat + weight"),
)
norms.edit(
    "1 + weight",
    "You multiply by 1 + weight, as some other models do. Here weight itself is the factor.",
    ("weight * x_hat + bias", "(1 + weight) * x_hat + bias"),
)
norms.edit(
    "x is changed in place",
    "The values are right, but you subtract the mean from x itself: the residual stream, which "
    "others still need, is overwritten.",
    ("x_hat = (x - mean)", "x -= mean\n    x_hat = x"),
)


norms.edit(
    "eps squared",
    "You add eps^2 to the variance. It is eps itself.",
    ("variance + eps", "variance + eps**2"),
)
norms.edit(
    "eps is a lower bound",
    "You raise the variance to eps where it is smaller. eps is added to every variance.",
    ("variance + eps", "variance.clamp(min=eps)"),
)
norms.edit(
    "eps comes twice",
    "You add eps to the variance and to its root. Only the first is asked for.",
    ("torch.sqrt(variance + eps)", "(torch.sqrt(variance + eps) + eps)"),
)
norms.edit(
    "divided by the mean size",
    "You divide by the mean of |x - mean|. It is the root of the mean square.",
    ("((x - mean) ** 2).mean", "(x - mean).abs().mean"),
    ("torch.sqrt(variance + eps)", "(variance + eps)"),
)
norms.edit(
    "the median",
    "You subtract the median of each row. It is the mean.",
    ("x.mean(dim=-1, keepdim=True)", "x.median(dim=-1, keepdim=True).values"),
)
norms.edit(
    "bf16 inside",
    "On the way your numbers are bf16, which has two or three good digits. Stay in x's dtype.",
    ("weight * x_hat", "weight * x_hat.bfloat16().to(x.dtype)"),
)
norms.edit(
    "computed in fp32",
    "You compute in fp32 and turn that into x's dtype: of fp64's digits only the first seven are "
    "right.",
    ("    mean = ", "    dtype, x = x.dtype, x.float()\n    mean = "),
    ("weight * x_hat", "weight * x_hat.to(dtype)"),
)


# 3.3 count_parameters

counts = Bank()


@counts.right
def count_parameters(config):
    V, T, L, C = config.vocab_size, config.block_size, config.n_layer, config.n_embd
    b = C if config.bias else 0
    attention = (C * 3 * C + 3 * b) + (C * C + b)
    mlp = (C * 4 * C + 4 * b) + (4 * C * C + b)
    norm = C + b
    return V * C + T * C + L * (2 * norm + attention + mlp) + norm


@counts.right
def count_parameters(config):
    C = config.n_embd
    matrices = [(3 * C, C), (C, C), (4 * C, C), (C, 4 * C)]
    total = 0
    for _ in range(config.n_layer):
        for out, in_ in matrices:
            total += out * in_
            if config.bias:
                total += out
        total += 2 * C
        if config.bias:
            total += 2 * C
    total += config.vocab_size * C
    total += config.block_size * C
    total += C
    if config.bias:
        total += C
    return total


@counts.right
def count_parameters(config):
    C, bias = config.n_embd, config.bias
    with torch.device("meta"):
        block = [
            nn.LayerNorm(C, bias=bias),
            nn.Linear(C, 3 * C, bias=bias),
            nn.Linear(C, C, bias=bias),
            nn.LayerNorm(C, bias=bias),
            nn.Linear(C, 4 * C, bias=bias),
            nn.Linear(4 * C, C, bias=bias),
        ]
        rest = [
            nn.Embedding(config.vocab_size, C),
            nn.Embedding(config.block_size, C),
            nn.LayerNorm(C, bias=bias),
        ]

    def count(modules):
        return sum(p.numel() for module in modules for p in module.parameters())

    return config.n_layer * count(block) + count(rest)


@counts.right
def count_parameters(config):
    width = np.int64(config.n_embd)
    per_block = 12 * width**2 + (13 * width if config.bias else 2 * width)
    last_norm = width * (1 + int(config.bias))
    return width * (config.vocab_size + config.block_size) + config.n_layer * per_block + last_norm


counts.edit(
    "the LM head is counted",
    "You count the output matrix as V C numbers of its own. It is the token embedding once more: "
    "tied, so it adds nothing.",
    ("V * C + T * C", "2 * V * C + T * C"),
)
counts.edit(
    "positions are left out",
    "You leave out the position embedding: one vector for each of block_size positions.",
    ("V * C + T * C", "V * C"),
)
counts.edit(
    "token embeddings are left out",
    "You leave out the token embedding: one vector for each token of the vocabulary.",
    ("V * C + T * C", "T * C"),
)
counts.edit(
    "the final norm is left out",
    "You count the norms of the blocks only. One more follows the last block.",
    ("+ mlp) + norm", "+ mlp)"),
)
counts.edit(
    "one norm in each block",
    "You count one norm in each block. There are two: before the attention and before the MLP.",
    ("2 * norm", "norm"),
)
counts.edit(
    "the norms are left out",
    "You leave out the layer norms. Each has a weight, and a bias if biases are used.",
    ("norm = C + b", "norm = 0"),
)
counts.edit(
    "norms have no bias",
    "You count the weight of each layer norm and not its bias.",
    ("norm = C + b", "norm = C"),
)
counts.edit(
    "norms always have a bias",
    "With bias=False the layer norms have no bias either; you still count it.",
    ("norm = C + b", "norm = 2 * C"),
)
counts.edit(
    "biases always",
    "You count biases also where config.bias is False.",
    ("C if config.bias else 0", "C"),
)
counts.edit(
    "biases never",
    "You leave out all biases. Where config.bias is True, each linear layer and each norm has one.",
    ("C if config.bias else 0", "0"),
)
counts.edit(
    "norms vanish without biases",
    "With bias=False you count no norms at all. They lose their bias and keep their weight.",
    ("norm = C + b", "norm = 2 * b"),
)
counts.edit(
    "attention without its projection",
    "You count the matrix that makes q, k and v and forget the one that blends the heads, C x C.",
    ("(C * 3 * C + 3 * b) + (C * C + b)", "(C * 3 * C + 3 * b)"),
)
counts.edit(
    "one matrix for q, k and v",
    "You count one C x C matrix for queries, keys and values together. Each has its own.",
    ("(C * 3 * C + 3 * b)", "(C * C + b)"),
)
counts.edit(
    "the MLP is as wide as the model",
    "Your MLP is C wide inside. It is four times as wide: C to 4C, and back.",
    ("(C * 4 * C + 4 * b) + (4 * C * C + b)", "(C * C + b) + (C * C + b)"),
)
counts.edit(
    "half of the MLP",
    "You count the MLP's first layer only. A second one leads back from 4C to C.",
    ("(C * 4 * C + 4 * b) + (4 * C * C + b)", "(C * 4 * C + 4 * b)"),
)
counts.edit(
    "the MLP's biases are all C long",
    "You count C for each bias of the MLP. A layer has as many biases as it has outputs: the first "
    "has 4C.",
    ("(C * 4 * C + 4 * b)", "(C * 4 * C + b)"),
)
counts.edit(
    "one bias for q, k and v",
    "The layer that makes q, k and v has 3C outputs and so 3C biases; you count C.",
    ("(C * 3 * C + 3 * b)", "(C * 3 * C + b)"),
)
counts.edit(
    "multiplied by the heads",
    "You multiply the attention's matrices by the number of heads. The heads share them out: more "
    "heads cost nothing.",
    (
        "(C * 3 * C + 3 * b) + (C * C + b)",
        "config.n_head * ((C * 3 * C + 3 * b) + (C * C + b))",
    ),
)
counts.edit(
    "one block",
    "You count a single block. There are n_layer of them.",
    ("L * (2", "(2 * L - 2 * L + 2"),
)
counts.edit(
    "the final norm in each block",
    "You count the final norm once for each block.",
    ("+ mlp) + norm", "+ mlp) + L * norm"),
)


counts.edit(
    "linear layers have no biases",
    "You count no biases of the linear layers. With bias=True each has as many as outputs: "
    "3C and C in attention, 4C and C in the MLP.",
    ("(C * 3 * C + 3 * b) + (C * C + b)", "4 * C * C"),
    ("(C * 4 * C + 4 * b) + (4 * C * C + b)", "8 * C * C"),
)
counts.edit(
    "the head has biases",
    "You add V biases for the LM head. It has none, and its weight is the token embedding.",
    ("mlp) + norm", "mlp) + norm + (V if b else 0)"),
)
counts.edit(
    "GPT-2's vocabulary",
    "You count 50,257 tokens, GPT-2's vocabulary. Use config.vocab_size.",
    ("V, T, L, C = config.vocab_size,", "V, T, L, C = 50_257,"),
)
counts.edit(
    "the vocabulary is padded",
    "You round the vocabulary up to a multiple of 64, as fast kernels like it. This model has "
    "config.vocab_size tokens.",
    ("    b = C", "    V = (V + 63) // 64 * 64\n    b = C"),
)
counts.edit(
    "the causal masks are counted",
    "You count a mask of T x T in each block. It is not trained, so it is not a parameter.",
    ("2 * norm + attention", "2 * norm + T * T + attention"),
)
counts.edit(
    "the final norm has a bias in any case",
    "Your final norm has a bias even with bias=False. Then no norm has one.",
    ("mlp) + norm", "mlp) + 2 * C"),
)
counts.edit(
    "attention once for every head",
    "You count the attention weights once for each head. The heads share out the width: all of "
    "them together have C -> 3C and C -> C.",
    ("(C * 3 * C + 3 * b) + (C * C + b)", "config.n_head * 4 * C * C + 4 * b"),
)


# 3.4 cross_entropy

losses = Bank()


@losses.right
def cross_entropy(logits, targets, ignore_index=-100):
    counted = targets != ignore_index
    logits, targets = logits[counted], targets[counted]
    log_p = torch.log_softmax(logits, dim=-1)
    picked = log_p[torch.arange(len(targets)), targets]
    return -picked.sum() / len(targets)


@losses.right
def cross_entropy(logits, targets, ignore_index=-100):
    total, count = 0.0, 0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        if target == ignore_index:
            continue
        top = max(row)
        total += top + math.log(sum(math.exp(z - top) for z in row)) - row[target]
        count += 1
    return torch.tensor(total / count)


@losses.right
def cross_entropy(logits, targets, ignore_index=-100):
    mask = (targets != ignore_index).float()
    safe = torch.where(targets == ignore_index, torch.zeros_like(targets), targets)
    nll = torch.logsumexp(logits, dim=1) - logits.gather(1, safe.unsqueeze(1)).squeeze(1)
    return (nll * mask).sum() / mask.sum()


@losses.right
def cross_entropy(logits, targets, ignore_index=-100):
    z = logits.numpy().astype(np.float64)
    t = targets.numpy()
    keep = np.nonzero(t != ignore_index)[0]
    z = z[keep] - z[keep].max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return torch.tensor(-np.mean(log_p[np.arange(len(keep)), t[keep]]), dtype=torch.float32)


losses.edit(
    "the sum, not the mean",
    "You return the sum of the losses. Divide by the number of targets that count.",
    (" / len(targets)", ""),
)
losses.edit(
    "ignored targets are in the divisor",
    "You divide by all N targets. Those that are ignored count neither above nor below: divide by "
    "the number of the others.",
    (
        "counted = targets != ignore_index",
        "N = len(targets)\n    counted = targets != ignore_index",
    ),
    ("/ len(targets)", "/ N"),
)
losses.edit(
    "ignored targets count",
    "You leave no target out: an ignored one picks some entry of the row. Drop those rows first.",
    ("targets != ignore_index", "targets == targets"),
)
losses.edit(
    "only -100 is ignored",
    "You leave out the targets that are -100, whatever ignore_index says.",
    ("targets != ignore_index", "targets != -100"),
)
losses.edit(
    "only negative targets are ignored",
    "You leave out targets below 0. ignore_index may be any number, an id among them.",
    ("targets != ignore_index", "targets >= 0"),
)
losses.edit(
    "target 0 is ignored",
    "You leave out targets that are 0 as well, and 0 is an ordinary id. Only ignore_index is left "
    "out.",
    ("targets != ignore_index", "(targets != ignore_index) & (targets != 0)"),
)
losses.edit(
    "the sign",
    "Your result is negative: the mean of the log-probabilities. The loss is minus that.",
    ("-picked.sum()", "picked.sum()"),
)
losses.edit(
    "in bits",
    "You take logarithms to the base 2. The loss is in nats: the natural logarithm.",
    ("-picked.sum()", "-(picked / math.log(2)).sum()"),
)
losses.edit(
    "no logarithm",
    "You average the probabilities of the targets. The loss is minus the mean of their logarithms.",
    ("torch.log_softmax(logits, dim=-1)", "torch.softmax(logits, dim=-1)"),
)
losses.edit(
    "softmax twice",
    "You apply the softmax twice: its result is not logits any more, and the loss becomes nearly "
    "flat.",
    (
        "torch.log_softmax(logits, dim=-1)",
        "torch.log_softmax(torch.softmax(logits, dim=-1), dim=-1)",
    ),
)
losses.edit(
    "softmax over the rows",
    "Your softmax runs over the N positions. Each position has its own distribution: over the V "
    "entries of its row.",
    ("torch.log_softmax(logits, dim=-1)", "torch.log_softmax(logits, dim=0)"),
)
losses.edit(
    "log of softmax",
    "You take the logarithm of the softmax. Where a probability underflows to 0, that is minus "
    "infinity: subtract the log of the sum from the logits instead.",
    (
        "torch.log_softmax(logits, dim=-1)",
        "torch.log(torch.softmax(logits, dim=-1))",
    ),
)
losses.edit(
    "log of softmax plus a little",
    "You add a small number inside the logarithm. No loss can then be larger than its logarithm: "
    "where the model is very wrong, the loss comes out too small.",
    (
        "torch.log_softmax(logits, dim=-1)",
        "torch.log(torch.softmax(logits, dim=-1) + 1e-9)",
    ),
)
losses.edit(
    "exp without subtracting the maximum",
    "You take exp of the logits as they are, and exp(100) is more than fp32 can hold. Subtract "
    "each row's maximum first.",
    (
        "torch.log_softmax(logits, dim=-1)",
        "logits - logits.exp().sum(-1, keepdim=True).log()",
    ),
)
losses.edit(
    "one maximum for all rows",
    "You subtract the largest logit of all rows. In a row far below it every exp is 0: each row "
    "needs its own maximum.",
    (
        "torch.log_softmax(logits, dim=-1)",
        "(logits - logits.max()) - (logits - logits.max()).exp().sum(-1, keepdim=True).log()",
    ),
)
losses.edit(
    "the logits alone",
    "You average the target's logit and leave the normalisation out: the log of the sum of all "
    "exp.",
    ("torch.log_softmax(logits, dim=-1)", "logits"),
)
losses.edit(
    "mean over all entries",
    "You divide by N V, the number of logits. Each row gives one loss: divide by the number of "
    "targets.",
    ("/ len(targets)", "/ logits.numel()"),
)
losses.edit(
    "a loss for each target",
    "You return a loss for each position. The mean of them is one number.",
    ("-picked.sum() / len(targets)", "-picked"),
)
losses.edit(
    "a Python number",
    "The value is right, but it is a Python number. The result is a tensor of no dimensions, fp32, "
    "so that backward() can be called on it.",
    ("-picked.sum() / len(targets)", "(-picked.sum() / len(targets)).item()"),
)
losses.edit(
    "fp64",
    "The value is right, but it comes back as fp64; the result is fp32.",
    ("-picked.sum() / len(targets)", "-picked.double().sum() / len(targets)"),
)
losses.edit(
    "one dimension too many",
    "The value is right, but its shape is [1]. A scalar has no dimensions.",
    ("-picked.sum() / len(targets)", "-picked.sum(dim=0, keepdim=True) / len(targets)"),
)
losses.edit(
    "a smoothed target",
    "You mix a little of all other tokens into the target (label smoothing). Only the target "
    "counts.",
    (
        "picked = log_p[torch.arange(len(targets)), targets]",
        "picked = 0.9 * log_p[torch.arange(len(targets)), targets] + 0.1 * log_p.mean(-1)",
    ),
)


@losses.mistake(
    "targets are changed in place",
    "The value is right, but you write into targets: after the call the caller's ignored ones are "
    "ordinary ids.",
)
def cross_entropy(logits, targets, ignore_index=-100):
    counted = targets != ignore_index
    targets[~counted] = 0
    log_p = torch.log_softmax(logits, dim=-1)
    picked = log_p[torch.arange(len(targets)), targets]
    return -(picked * counted).sum() / counted.sum()


losses.edit(
    "probabilities over the rows",
    "Your softmax is over the rows, so that tokens of one column share the probability. It is over "
    "the tokens, the last dimension.",
    ("logits, targets = logits[counted], targets[counted]", "targets = targets[counted]"),
    ("torch.log_softmax(logits, dim=-1)", "torch.log_softmax(logits, dim=0)[counted]"),
)
losses.edit(
    "logits are changed in place",
    "The loss is right, but you subtract the maximum from logits themselves: after the call the "
    "caller has other numbers.",
    ("    counted", "    logits -= logits.amax(dim=-1, keepdim=True)\n    counted"),
)
losses.edit(
    "logits are kept within bounds",
    "You cut logits off at 80 and -80. They may reach hundreds; subtract the row's maximum "
    "instead.",
    ("torch.log_softmax(logits", "torch.log_softmax(logits.clamp(-80, 80)"),
)
losses.edit(
    "the probability has a lower bound",
    "You take the logarithm of a probability of at least 1e-12, so that no loss exceeds 27.6. "
    "Compute the logarithm directly: logit minus log of the sum of exp.",
    ("torch.log_softmax(logits, dim=-1)", "torch.softmax(logits, dim=-1).clamp(min=1e-12).log()"),
)
losses.edit(
    "1 minus the probability",
    "You average 1 - p of the right tokens. The loss is -log p.",
    ("return -picked.sum() / len(targets)", "return (1 - picked.exp()).mean()"),
)
losses.edit(
    "one too many in the divisor",
    "You divide by one more than there are targets that count.",
    ("/ len(targets)", "/ (len(targets) + 1)"),
)
losses.edit(
    "the median",
    "You return the median of the losses. It is their mean.",
    ("-picked.sum() / len(targets)", "-picked.median()"),
)
losses.edit(
    "bf16 inside",
    "On the way your logits are bf16, which has two or three good digits. Stay in fp32.",
    ("torch.log_softmax(logits, dim=-1)", "torch.log_softmax(logits.bfloat16(), dim=-1).float()"),
)


@losses.mistake(
    "0 times infinity",
    "You multiply the logarithms of all probabilities by a one-hot row. A probability that is "
    "rounded to 0 has the logarithm minus infinity, and 0 times that is NaN: use log_softmax.",
)
def cross_entropy(logits, targets, ignore_index=-100):
    counted = targets != ignore_index
    hot = (targets[:, None] == torch.arange(logits.size(1))).float() * counted[:, None]
    return -(hot * torch.softmax(logits, dim=-1).log()).sum() / hot.sum()


@losses.mistake(
    "ignored targets count as token 0",
    "Where a target is to be ignored you take the loss of token 0 instead. Leave the row out.",
)
def cross_entropy(logits, targets, ignore_index=-100):
    targets = torch.where(targets == ignore_index, 0, targets)
    log_p = torch.log_softmax(logits, dim=-1)
    return -log_p.gather(1, targets[:, None]).mean()


# 3.5 block

blocks = Bank()


@blocks.right
def block(x, ln_1, attn, ln_2, mlp):
    x = x + attn(ln_1(x))
    return x + mlp(ln_2(x))


@blocks.right
def block(x, ln_1, attn, ln_2, mlp):
    normed = ln_1(x)
    attended = attn(normed)
    after_attention = torch.add(x, attended)
    normed_again = ln_2(after_attention)
    thought = mlp(normed_again)
    result = after_attention.clone()
    result += thought
    return result


@blocks.right
def block(x, ln_1, attn, ln_2, mlp):
    for norm, layer in ((ln_1, attn), (ln_2, mlp)):
        x = layer(norm(x)) + x
    return x


@blocks.right
def block(x, ln_1, attn, ln_2, mlp):
    first = attn(ln_1(x))
    return x + (first + mlp(ln_2(x + first)))


blocks.edit(
    "norms after the layers",
    "You normalise after each layer, as the first transformers did. GPT-2 normalises what goes "
    "into a layer and leaves the stream alone.",
    ("x + attn(ln_1(x))", "ln_1(x + attn(x))"),
    ("x + mlp(ln_2(x))", "ln_2(x + mlp(x))"),
)
blocks.edit(
    "what is added is normalised",
    "You normalise what the layers bring back before it is added. The norm comes before the layer.",
    ("attn(ln_1(x))", "ln_1(attn(x))"),
    ("mlp(ln_2(x))", "ln_2(mlp(x))"),
)
blocks.edit(
    "attention replaces the stream",
    "Your attention's result takes the place of x. It is added to x.",
    ("x = x + attn(ln_1(x))", "x = attn(ln_1(x))"),
)
blocks.edit(
    "the MLP replaces the stream",
    "You return the MLP's result alone. It is added to what went in.",
    ("return x + mlp(ln_2(x))", "return mlp(ln_2(x))"),
)
blocks.edit(
    "nothing is added to the stream",
    "Both layers replace x, so that nothing of it is left. Each adds to it.",
    ("x = x + attn(ln_1(x))", "x = attn(ln_1(x))"),
    ("return x + mlp(ln_2(x))", "return mlp(ln_2(x))"),
)
blocks.edit(
    "side by side",
    "Your MLP reads the x from before the attention, as in models with parallel layers. Here it "
    "reads the sum x + attn(ln_1(x)).",
    (
        "x = x + attn(ln_1(x))\n    return x + mlp(ln_2(x))",
        "return x + attn(ln_1(x)) + mlp(ln_2(x))",
    ),
)
blocks.edit(
    "the MLP's result is added to the first x",
    "You add the MLP's result to the x from before the attention, and what the attention brought "
    "is lost from the stream.",
    ("x = x + attn(ln_1(x))\n    return x + mlp(ln_2(x))",
     "y = x + attn(ln_1(x))\n    return x + mlp(ln_2(y))"),
)  # fmt: skip
blocks.edit(
    "the normed x is added",
    "You add to ln_1(x) and ln_2(x). The stream itself is never normalised: add to x.",
    ("x = x + attn(ln_1(x))", "x = ln_1(x) + attn(ln_1(x))"),
    ("return x + mlp(ln_2(x))", "return ln_2(x) + mlp(ln_2(x))"),
)
blocks.edit(
    "one norm for both",
    "You use ln_1 before the MLP too. It has a norm of its own, ln_2.",
    ("ln_2(x)", "ln_1(x)"),
)
blocks.edit(
    "the norms are exchanged",
    "You use ln_2 before the attention and ln_1 before the MLP.",
    ("attn(ln_1(x))", "attn(ln_2(x))"),
    ("mlp(ln_2(x))", "mlp(ln_1(x))"),
)
blocks.edit(
    "the MLP first",
    "Your MLP comes before the attention. First the tokens gather, then each makes something of "
    "it.",
    ("attn(ln_1(x))", "mlp(ln_2(x))"),
    ("return x + mlp(ln_2(x))", "return x + attn(ln_1(x))"),
)
blocks.edit(
    "no norm before the attention",
    "Your attention reads x as it is. It reads ln_1(x).",
    ("attn(ln_1(x))", "attn(x)"),
)
blocks.edit(
    "no norm before the MLP",
    "Your MLP reads the sum as it is. It reads ln_2 of it.",
    ("mlp(ln_2(x))", "mlp(x)"),
)
blocks.edit(
    "no norms",
    "You leave both norms out.",
    ("attn(ln_1(x))", "attn(x)"),
    ("mlp(ln_2(x))", "mlp(x)"),
)
blocks.edit(
    "no MLP",
    "You stop after the attention. The MLP's part is missing.",
    ("x + mlp(ln_2(x))", "x"),
)
blocks.edit(
    "no attention",
    "You leave the attention out: no token learns anything of another.",
    ("x = x + attn(ln_1(x))", "pass"),
)
blocks.edit(
    "the MLP reads the attention's part only",
    "Your MLP reads ln_2 of what the attention brought. It reads ln_2 of the sum with x.",
    ("x = x + attn(ln_1(x))\n    return x + mlp(ln_2(x))",
     "a = attn(ln_1(x))\n    return x + a + mlp(ln_2(a))"),
)  # fmt: skip
blocks.edit(
    "x is added twice",
    "You add the first x a second time at the end. It is in the sum already.",
    ("x = x + attn(ln_1(x))\n    return x + mlp(ln_2(x))",
     "y = x + attn(ln_1(x))\n    return x + y + mlp(ln_2(y))"),
)  # fmt: skip
blocks.edit(
    "x is changed in place",
    "The result is right, but x += overwrites the caller's tensor. Write x = x + ...",
    ("x = x + attn(ln_1(x))", "x += attn(ln_1(x))"),
)


@blocks.mistake(
    "each token by itself",
    "You run the block for one token at a time. Attention then has nothing to look back at: give "
    "it the whole [B, T, C].",
)
def block(x, ln_1, attn, ln_2, mlp):
    tokens = []
    for t in range(x.shape[1]):
        h = x[:, t : t + 1]
        h = h + attn(ln_1(h))
        tokens.append(h + mlp(ln_2(h)))
    return torch.cat(tokens, dim=1)


@blocks.mistake(
    "x becomes fp32",
    "You turn x into fp32 first. The layers and the result have x's own dtype.",
)
def block(x, ln_1, attn, ln_2, mlp):
    x = x.float()
    x = x + attn(ln_1(x))
    return x + mlp(ln_2(x))


blocks.edit(
    "half of the stream",
    "You halve the result. The stream is added to, not averaged.",
    ("return x + mlp(ln_2(x))", "return (x + mlp(ln_2(x))) / 2"),
)
