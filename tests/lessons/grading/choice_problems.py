"""Problems with minus infinity, with one scale for a whole tensor, and with several results."""

from __future__ import annotations

import torch

from lessons.grading.task import Case, Draw
from tests.lessons.grading.problems import problem

# the k largest numbers of each row, all others minus infinity: applied twice it changes no more


def keep(x, k):
    return x.masked_fill(x < x.topk(k).values[:, -1:], -torch.inf)


def keep_sample(draw: Draw) -> Case:
    n = draw.size + 4
    return Case((draw.normal(draw.integer(2, 4), n), draw.integer(1, n - 2)))


KEEP = problem(keep, keep_sample, compare=None, axes={"x": "row number", "->": "row number"})


@KEEP.is_right
def _(x, k):
    places = x.topk(k).indices
    return torch.full_like(x, -torch.inf).scatter(1, places, x.gather(1, places))


@KEEP.says("survivors", "too much is kept")
def _(x, k):
    return torch.where(x > 0, x, keep(x, k))


@KEEP.says("survivors", "too little is kept")
def _(x, k):
    return keep(x, k).masked_fill(x < 0, -torch.inf)


@KEEP.says("survivors", "at the right places")
def _(x, k):
    return keep(x, k) + x.square()


@KEEP.says("place", "where the right answer is infinite", "it is -1e+30")
def _(x, k):
    return keep(x, k).clamp(min=-1e30)


@KEEP.says("depends on too much", "axis 0 (row)")
def _(x, k):
    n = k * x.size(0)
    return x.masked_fill(x < x.flatten().topk(n).values[-1], -torch.inf)


# one scale serves the whole tensor: no entry is later than another


def scaled(x):
    return x / x.abs().max()


def scaled_sample(draw: Draw) -> Case:
    return Case((draw.normal(draw.integer(2, 4), draw.size + 2),))


SCALED = problem(scaled, scaled_sample)


@SCALED.says("unnamed factor or property broken", "no number is above 1")
def _(x):
    return x / x.abs().mean()


@SCALED.says("precision", "rounded to fp16")
def _(x):
    return (x / x.abs().max()).half().to(x.dtype)


# two running means, and the step they make


def moments(m, v, grad, betas):
    m, v = betas[0] * m + (1 - betas[0]) * grad, betas[1] * v + (1 - betas[1]) * grad * grad
    return m, v, m / v.sqrt()


def moments_sample(draw: Draw) -> Case:
    n = draw.size + 2
    betas = 0.5 + 0.3 * draw.uniform().item(), 0.9 + 0.09 * draw.uniform().item()
    return Case((draw.normal(n), draw.normal(n).square() + 0.1, draw.normal(n), betas))


MOMENTS = problem(moments, moments_sample)


@MOMENTS.says("as if: other value", "second result is as if betas[1] were 1 - betas[1]")
def _(m, v, grad, betas):
    new_m, _, step = moments(m, v, grad, betas)
    return new_m, (1 - betas[1]) * v + betas[1] * grad * grad, step


@MOMENTS.says(
    "term scaled or term too much", "plus (betas[0]) times grad or plus betas[0] times grad"
)
def _(m, v, grad, betas):
    _, new_v, step = moments(m, v, grad, betas)
    return betas[0] * m + grad, new_v, step


PROBLEMS = [KEEP, SCALED, MOMENTS]
