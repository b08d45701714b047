"""Problems whose answers are right at some elements and wrong at others."""

from __future__ import annotations

import torch

from lessons.grading.task import Case, Draw
from tests.lessons.grading.problems import problem

# the mean of this token and those before it


def earlier_mean(x):
    return x.cumsum(1) / torch.arange(1, x.size(1) + 1)[:, None]


def earlier_sample(draw: Draw) -> Case:
    b, t, c = draw.integer(1, 3), draw.integer(1, draw.size + 2), draw.integer(1, draw.size + 1)
    return Case((draw.normal(b, t, c),))


EARLIER = problem(
    earlier_mean, earlier_sample, axes={"x": "batch token number", "->": "batch token number"}
)


@EARLIER.is_right
def _(x):
    return torch.stack([x[:, : t + 1].mean(1) for t in range(x.size(1))], 1)


@EARLIER.says("same everywhere", "axis 1 (token): what belongs to the last")
def _(x):
    return x.mean(1, keepdim=True).expand_as(x)


@EARLIER.says("sees the future", "along axis 1 (token)")
def _(x):
    return earlier_mean(x) + 0.5 * x.roll(-1, 1)


@EARLIER.says("depends on too much or row shift", "axis 0 (batch)")
def _(x):
    return earlier_mean(x) + x.mean(0, keepdim=True)


@EARLIER.says("place", "all but the first entry along axis 1 (token)")
def _(x):
    return x.cumsum(1)


@EARLIER.says("argument returned", "just x")
def _(x):
    return x


@EARLIER.says("place", "all but the first entry along axis 1 (token)")
def _(x):
    mean = earlier_mean(x)
    return torch.cat([mean[:, :1], mean[:, 1:] + 0.1 * x[:, 1:].abs() + 0.01], 1)


@EARLIER.says("transposed", "axis 0 (batch) and axis 2 (number)")
def _(x):
    y = earlier_mean(x)
    return y.transpose(0, 2) if y.size(0) == y.size(2) else y


# elementwise: x where it is positive, slope x where it is not


def leaky(x, slope):
    return torch.where(x > 0, x, slope * x)


def leaky_sample(draw: Draw) -> Case:
    return Case((draw.normal(draw.size + 3), draw.uniform().item() * 0.5))


LEAKY = problem(leaky, leaky_sample)


@LEAKY.is_right
def _(x, slope):
    return x.clamp(min=0) + slope * x.clamp(max=0)


@LEAKY.says("ignored argument or as if: other value", "slope")
def _(x, slope):
    return x.clamp(min=0)


@LEAKY.says("place", "exactly where x is negative")
def _(x, slope):
    return torch.where(x > 0, x, slope * x * x)


@LEAKY.says("threshold or place", "x is above about")
def _(x, slope):
    return torch.where(x > 0.5, x.square() + 1, leaky(x, slope))


@LEAKY.says("sign", "wrong sign")
def _(x, slope):
    return -leaky(x, slope)


@LEAKY.says("factor", "1/3 of what it should be")
def _(x, slope):
    return leaky(x, slope) / 3


@LEAKY.says("shift", "too large by 2, whatever the input")
def _(x, slope):
    return leaky(x, slope) + 2


@LEAKY.says("shift", "too large by slope")
def _(x, slope):
    return leaky(x, slope) + slope


@LEAKY.says("factor", "multiplied by x.size(0)")
def _(x, slope):
    return leaky(x, slope) * x.size(0)


@LEAKY.says("place", "at the last entry")
def _(x, slope):
    y = leaky(x, slope)
    y[-1] = 7.0
    return y


@LEAKY.says("absolute value or as if: other value", "minus signs or -slope")
def _(x, slope):
    return leaky(x, slope).abs()


@LEAKY.says("rolled", "1 place later")
def _(x, slope):
    return leaky(x, slope).roll(1)


# which keys a query sees


def visible(n_queries, n_keys):
    return torch.ones(n_queries, n_keys).tril(n_keys - n_queries).bool()


def visible_sample(draw: Draw) -> Case:
    n = draw.integer(2, draw.size + 2)
    return Case((n, n + draw.integer(0, 2)))


VISIBLE = problem(visible, visible_sample, compare=None, axes={"->": "query key"})


@VISIBLE.is_right
def _(n_queries, n_keys):
    return torch.arange(n_keys)[None] <= torch.arange(n_queries)[:, None] + n_keys - n_queries


@VISIBLE.says("complement", "True where it should be False")
def _(n_queries, n_keys):
    return ~visible(n_queries, n_keys)


@VISIBLE.says("place", "on the diagonal that ends in the last corner")
def _(n_queries, n_keys):
    return torch.ones(n_queries, n_keys).tril(n_keys - n_queries - 1).bool()


@VISIBLE.says("place", "one place above the diagonal that ends in the last corner")
def _(n_queries, n_keys):
    return torch.ones(n_queries, n_keys).tril(n_keys - n_queries + 1).bool()


@VISIBLE.says("place", "between the diagonal and the diagonal that ends in the last corner")
def _(n_queries, n_keys):
    return torch.ones(n_queries, n_keys).tril().bool()


@VISIBLE.says("dtype", "0 is read as True")
def _(n_queries, n_keys):
    return torch.zeros(n_queries, n_keys).masked_fill(~visible(n_queries, n_keys), -torch.inf)


@VISIBLE.says("constant", "True everywhere whatever comes in")
def _(n_queries, n_keys):
    return torch.ones(n_queries, n_keys, dtype=torch.bool)


PROBLEMS = [EARLIER, LEAKY, VISIBLE]
