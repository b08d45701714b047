"""Problems whose answers are those of layers: sums, products, softmax, a norm."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from lessons.grading.task import Case, Draw
from tests.lessons.grading.problems import problem

# update = weight + alpha / r B A


def update(weight, a, b, alpha):
    return weight + alpha / a.size(0) * (b @ a)


def update_sample(draw: Draw) -> Case:
    out, n, r = (draw.integer(1, draw.size + 2) for _ in range(3))
    alpha = draw.uniform().item() * 8 + 0.5
    return Case((draw.normal(out, n), draw.normal(r, n), draw.normal(out, r), alpha))


UPDATE = problem(
    update, update_sample, axes={"weight": "out in", "a": "r in", "b": "out r", "->": "out in"}
)


@UPDATE.is_right
def _(weight, a, b, alpha):
    return torch.stack([w + alpha * (row @ a) / len(a) for w, row in zip(weight, b, strict=True)])


@UPDATE.says("as if: other value", "alpha were alpha * r")
def _(weight, a, b, alpha):
    return weight + alpha * (b @ a)


@UPDATE.says("as if: other value", "alpha * sqrt(r)")
def _(weight, a, b, alpha):
    return weight + alpha / a.size(0) ** 0.5 * (b @ a)


@UPDATE.says("term missing", "weight is not added")
def _(weight, a, b, alpha):
    return alpha / a.size(0) * (b @ a)


@UPDATE.says("as if: other value or as if: negated", "negative")
def _(weight, a, b, alpha):
    return weight - alpha / a.size(0) * (b @ a)


@UPDATE.says("argument returned", "just weight")
def _(weight, a, b, alpha):
    return weight


@UPDATE.says("changes an argument", "changes weight")
def _(weight, a, b, alpha):
    weight += alpha / a.size(0) * (b @ a)
    return weight.clone()


@UPDATE.says("dtype", "float64", "the numbers are right")
def _(weight, a, b, alpha):
    return update(weight, a, b, alpha).double()


@UPDATE.says("returns None", "return missing")
def _(weight, a, b, alpha):
    update(weight, a, b, alpha)


@UPDATE.says("shape: one dimension too many", "squeeze")
def _(weight, a, b, alpha):
    return update(weight, a, b, alpha)[None]


@UPDATE.says("shape: transposed", "axis 0 (out) and axis 1 (in) have changed places", "it is right")
def _(weight, a, b, alpha):
    return update(weight, a, b, alpha).T


@UPDATE.says("precision or as if: lower precision", "bf16")
def _(weight, a, b, alpha):
    return update(weight, a, b, alpha).bfloat16().float()


@UPDATE.says("exception", "raises KeyError", "for every input")
def _(weight, a, b, alpha):
    return {}["weight"]


@UPDATE.says("constant", "0 everywhere whatever comes in")
def _(weight, a, b, alpha):
    return torch.zeros_like(weight)


# softmax over the last axis


def softmax(x):
    return torch.softmax(x, -1)


def softmax_sample(draw: Draw) -> Case:
    n, v = draw.integer(1, draw.size + 1), draw.integer(2, draw.size + 3)
    return Case((2 * draw.normal(n, v),))


def softmax_special(draw: Draw) -> Iterator[Case]:
    for n in (2, 3):
        yield Case((1000 * draw.normal(n, 4),), note="the numbers are in the hundreds")


SOFTMAX = problem(
    softmax, softmax_sample, softmax_special, axes={"x": "row word", "->": "row word"}
)


@SOFTMAX.is_right
def _(x):
    e = (x.double() - x.double().amax(-1, keepdim=True)).exp()
    return (e / e.sum(-1, keepdim=True)).float()


@SOFTMAX.says("not normalised", "divided by its sum along axis 1 (word)")
def _(x):
    return (x - x.amax(-1, keepdim=True)).exp()


@SOFTMAX.says("as if: wrong axis", "axes 0 and 1")
def _(x):
    return x.softmax(0)


@SOFTMAX.says("as if: one row", "the whole tensor at once")
def _(x):
    return x.flatten().softmax(0).view_as(x)


@SOFTMAX.says("logarithm or not normalised", "logarithm of what it should be or after a softmax")
def _(x):
    return x.log_softmax(-1)


@SOFTMAX.says("not finite", "NaN", "the numbers are in the hundreds")
def _(x):
    return x.exp() / x.exp().sum(-1, keepdim=True)


@SOFTMAX.says("as if: other value", "x were twice as large")
def _(x):
    return (2 * x).softmax(-1)


@SOFTMAX.says("as if: negated", "negative: -x")
def _(x):
    return (-x).softmax(-1)


@SOFTMAX.says("sorted", "sorted along axis 1 (word), largest first")
def _(x):
    return x.softmax(-1).sort(-1, descending=True).values


@SOFTMAX.says("reversed or as if: reversed", "axis 1")
def _(x):
    return x.softmax(-1).flip(-1)


@SOFTMAX.says("square", "square of what it should be")
def _(x):
    return x.softmax(-1) ** 2


@SOFTMAX.says("same everywhere or as if: one for all", "first")
def _(x):
    return x.softmax(-1)[:1].expand(x.shape)


# layer norm


def norm(x, weight, bias, eps=1e-5):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() * weight + bias


def norm_sample(draw: Draw) -> Case:
    n, c = draw.integer(1, draw.size + 1), draw.integer(3, draw.size + 4)
    size = draw.choice([1.0, 1.0, 0.1])
    eps = draw.choice([1e-5, 1e-2, 0.3])
    return Case((size * draw.normal(n, c) + 1, draw.normal(c), draw.normal(c)), {"eps": eps})


NORM = problem(
    norm, norm_sample, axes={"x": "token C", "weight": "C", "bias": "C", "->": "token C"}
)


@NORM.is_right
def _(x, weight, bias, eps=1e-5):
    return torch.nn.functional.layer_norm(x, x.shape[-1:], weight, bias, eps)


@NORM.says("ignored argument or as if: other value", "eps")
def _(x, weight, bias, eps=1e-5):
    return norm(x, weight, bias, 0.0)


@NORM.says("as if: ignored", "eps were its default")
def _(x, weight, bias, eps=1e-5):
    return norm(x, weight, bias)


@NORM.says("term missing or as if: ignored or ignored argument", "bias")
def _(x, weight, bias, eps=1e-5):
    return norm(x, weight, 0 * bias, eps)


@NORM.says("as if: ignored or ignored argument", "weight")
def _(x, weight, bias, eps=1e-5):
    return norm(x, torch.ones_like(weight), bias, eps)


@NORM.says("as if: other value", "weight were 1 + weight")
def _(x, weight, bias, eps=1e-5):
    return norm(x, 1 + weight, bias, eps)


@NORM.says("as if: swapped", "weight and bias had changed places")
def _(x, weight, bias, eps=1e-5):
    return norm(x, bias, weight, eps)


@NORM.says("right where neutral", "eps is 0")
def _(x, weight, bias, eps=1e-5):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True).sqrt() + eps) * weight + bias


@NORM.says("part row factor", "the rows are scaled in another way")
def _(x, weight, bias, eps=1e-5):
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + eps).sqrt() * weight + bias


PROBLEMS = [UPDATE, SOFTMAX, NORM]
