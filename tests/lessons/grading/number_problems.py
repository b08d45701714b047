"""Problems whose answers are single numbers, codes with a scale, or gradients."""

from __future__ import annotations

import math

import torch

from lessons.grading.task import Case, Draw
from tests.lessons.grading.problems import problem

# a learning rate that rises and falls


def rate(step, warmup, total, peak, floor=0.0):
    if step < warmup:
        return peak * (step + 1) / warmup
    done = min((step - warmup) / (total - warmup), 1.0)
    return floor + 0.5 * (peak - floor) * (1 + math.cos(math.pi * done))


def rate_sample(draw: Draw) -> Case:
    warmup = draw.integer(0, 5)
    total = warmup + draw.integer(2, 20)
    peak = draw.uniform().item() + 0.5
    floor = draw.choice([0.0, 0.1, 0.2])
    return Case((draw.integer(0, total + 4), warmup, total, peak), {"floor": floor})


RATE = problem(rate, rate_sample)


@RATE.is_right
def _(step, warmup, total, peak, floor=0.0):
    if step < warmup:
        return (step + 1) * peak / warmup
    return (
        floor
        + (peak - floor) * math.cos(math.pi / 2 * min((step - warmup) / (total - warmup), 1)) ** 2
    )


@RATE.says("condition or shift or as if: other value", "step is smaller than warmup")
def _(step, warmup, total, peak, floor=0.0):
    return peak * step / warmup if step < warmup else rate(step, warmup, total, peak, floor)


@RATE.says("condition or needed condition", "step is larger than total")
def _(step, warmup, total, peak, floor=0.0):
    return rate(step, warmup, total, peak, floor) if step <= total else -1.0


@RATE.says("as if: ignored or ignored argument or as if: other value", "floor")
def _(step, warmup, total, peak, floor=0.0):
    return rate(step, warmup, total, peak)


@RATE.says("as if: other value", "step were 1 more than it is")
def _(step, warmup, total, peak, floor=0.0):
    return rate(step + 1, warmup, total, peak, floor)


@RATE.says("factor", "half of what it should be")
def _(step, warmup, total, peak, floor=0.0):
    return rate(step, warmup, total, peak, floor) / 2


@RATE.says("factor", "divided by (warmup + 1) once too often")
def _(step, warmup, total, peak, floor=0.0):
    return rate(step, warmup, total, peak, floor) / (warmup + 1)


# codes of eight bits


def encode(x):
    c = 127 / x.abs().max()
    return torch.round(c * x).to(torch.int8), c


def encode_sample(draw: Draw) -> Case:
    return Case((draw.normal(draw.integer(2, 2 * draw.size + 2)),))


ENCODE = problem(encode, encode_sample)


@ENCODE.is_right
def _(x):
    c = 127.0 / max(abs(float(v)) for v in x)
    return (x * c).round().to(torch.int8), torch.tensor(c, dtype=torch.float32)


@ENCODE.says("results exchanged", "in the wrong order")
def _(x):
    return encode(x)[::-1]


@ENCODE.says("rounding", "first result is 1 too small at some places")
def _(x):
    c = 127 / x.abs().max()
    return (c * x).floor().to(torch.int8), c


@ENCODE.says("inverse", "second result", "inverse")
def _(x):
    codes, c = encode(x)
    return codes, 1 / c


@ENCODE.says("dtype", "first result", "int32", "the numbers are right")
def _(x):
    codes, c = encode(x)
    return codes.to(torch.int32), c


@ENCODE.says("type", "first of 2 results")
def _(x):
    return encode(x)[0]


@ENCODE.says("sign", "first result")
def _(x):
    codes, c = encode(x)
    return -codes, c


# the number of trained numbers


def trained(layers, width, rank, bias=False):
    return 2 * layers * width * rank + (layers * width if bias else 0)


def trained_sample(draw: Draw) -> Case:
    layers, width, rank = draw.integer(1, 6), draw.integer(2, 11), draw.integer(1, 5)
    return Case((layers, width, rank), {"bias": draw.choice([True, False])})


TRAINED = problem(trained, trained_sample, compare=None)


@TRAINED.is_right
def _(layers, width, rank, bias=False):
    return sum(2 * width * rank + width * bias for _ in range(layers))


@TRAINED.says("shift", "too small by layers * width * rank")
def _(layers, width, rank, bias=False):
    return layers * width * rank + (layers * width if bias else 0)


@TRAINED.says("ignored argument or as if: other value or as if: ignored", "bias")
def _(layers, width, rank, bias=False):
    return 2 * layers * width * rank


@TRAINED.says("shift", "layers * width * rank", "too large")
def _(layers, width, rank, bias=False):
    return trained(layers, width, rank, bias) + layers * width * rank


@TRAINED.says("factor", "divided by layers once too often")
def _(layers, width, rank, bias=False):
    return trained(1, width, rank, bias)


# a product, and its gradients


def product(x, weight):
    return x @ weight.T


def product_sample(draw: Draw) -> Case:
    n, i, o = (draw.integer(1, draw.size + 2) for _ in range(3))
    return Case((draw.normal(n, i), draw.normal(o, i)))


PRODUCT = problem(product, product_sample, drive_options={"gradients": (0, 1)})


@PRODUCT.is_right
def _(x, weight):
    return torch.einsum("ni,oi->no", x, weight)


@PRODUCT.says("factor", "The gradient of weight", "half of what it should be")
def _(x, weight):
    return product(x, 0.5 * weight + 0.5 * weight.detach())


@PRODUCT.says("factor", "The gradient of x", "twice as large or 2 times as large")
def _(x, weight):
    return product(2 * x - x.detach(), weight)


@PRODUCT.says("fact", "gradients flow through the result")
def _(x, weight):
    return product(x.detach(), weight.detach())


PROBLEMS = [RATE, ENCODE, TRAINED, PRODUCT]
