# ruff: noqa: F811
# mypy: ignore-errors
"""Right answers and mistakes of lesson 5, as people write them: most are wrong on purpose."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from lessons.grading.task import Bank

# 5.1 apply_temperature

temperatures = Bank()


@temperatures.right
def apply_temperature(logits, temperature):
    return logits / temperature


@temperatures.right
def apply_temperature(logits, temperature):
    log_p = torch.log_softmax(logits, dim=-1)
    return log_p * (1 / temperature)


@temperatures.right
def apply_temperature(logits, temperature):
    rows = []
    for row in logits.tolist():
        top = max(row)
        rows.append([(x - top) / temperature for x in row])
    return torch.tensor(rows, dtype=logits.dtype)


@temperatures.right
def apply_temperature(logits, temperature):
    wide = logits.to(torch.float64)
    wide = (wide - wide.mean(dim=1, keepdim=True)).div(temperature)
    return torch.log(F.softmax(wide, dim=1).clamp_min(1e-300)).to(logits.dtype)


temperatures.edit(
    "multiplied by the temperature",
    "You multiply by the temperature, so that a high one makes the best tokens surer. It is the "
    "other way round: a high temperature brings the probabilities closer together.",
    ("logits / temperature", "logits * temperature"),
)
temperatures.edit(
    "the temperature is subtracted",
    "You subtract the temperature. That moves all logits alike, and softmax does not see it: every "
    "temperature gives the same probabilities.",
    ("logits / temperature", "logits - temperature"),
)
temperatures.edit(
    "probabilities are divided",
    "You divide probabilities by the temperature. Divide the logits: what comes back goes through "
    "a softmax later.",
    ("logits / temperature", "logits.softmax(dim=-1) / temperature"),
)
temperatures.edit(
    "probabilities come back",
    "You return probabilities. Logits are asked for: whoever called you applies the softmax, and "
    "twice is once too often.",
    ("logits / temperature", "torch.softmax(logits / temperature, dim=-1)"),
)
temperatures.edit(
    "powers of probabilities come back",
    "p ** (1 / temperature) is what the new probabilities are proportional to, but logits are "
    "asked for, and those are its logarithm.",
    ("logits / temperature", "torch.softmax(logits, dim=-1) ** (1 / temperature)"),
)
temperatures.edit(
    "the logarithm of a probability that is 0",
    "You take the logarithm of probabilities. Small ones have been rounded to 0 by then, and no "
    "temperature brings those tokens back.",
    ("logits / temperature", "logits.softmax(dim=-1).log() / temperature"),
)
temperatures.edit(
    "the largest logit of each column",
    "You subtract the largest logit of each column, over the batch. Only one number for a whole "
    "row leaves its probabilities as they are.",
    ("logits / temperature", "(logits - logits.amax(dim=0)) / temperature"),
)
temperatures.edit(
    "small temperatures are raised",
    "You do not let the temperature fall below a bound of your own. Temperatures from 0.001 on "
    "have to act as they are.",
    ("logits / temperature", "logits / max(temperature, 0.01)"),
)
temperatures.edit(
    "division without a remainder",
    "You divide and round down to whole numbers, so that close logits become equal.",
    ("logits / temperature", "logits // temperature"),
)
temperatures.edit(
    "the root of the temperature",
    "You divide by the root of the temperature, as attention does with the size of its heads. Here "
    "the temperature itself divides.",
    ("logits / temperature", "logits / temperature**0.5"),
)
temperatures.edit(
    "it only cools",
    "A temperature above 1 changes nothing in your code. It has to flatten the probabilities.",
    ("logits / temperature", "logits / min(temperature, 1.0)"),
)
temperatures.edit(
    "exponentials come back",
    "You return e to the power of the logits. The softmax that follows takes them once more.",
    ("logits / temperature", "torch.exp(logits / temperature)"),
)
temperatures.edit(
    "rows are scaled to one width",
    "You also divide each row by its standard deviation, so how sure the model was is lost.",
    ("logits / temperature", "logits / (temperature * logits.std(dim=-1, keepdim=True))"),
)
temperatures.edit(
    "fp32 whatever comes in",
    "Your result is in fp32 although the logits came in another dtype. Keep theirs.",
    ("logits / temperature", "logits.float() / temperature"),
)


@temperatures.mistake(
    "logits are divided in place",
    "The result is right, but you change the logits you were given. Divide into a new tensor.",
)
def apply_temperature(logits, temperature):
    logits /= temperature
    return logits


temperatures.edit(
    "the temperature squared",
    "You divide by the square of the temperature. The temperature itself divides.",
    ("logits / temperature", "logits / temperature**2"),
)
temperatures.edit(
    "something small is added to the temperature",
    "You add a small number to the temperature. It is never 0 here, and 0.001 has to act as 0.001.",
    ("logits / temperature", "logits / (temperature + 1e-5)"),
)
temperatures.edit(
    "fp16 on the way",
    "You divide in fp16, which keeps three digits. Stay in the dtype of the logits.",
    ("logits / temperature", "(logits.half() / temperature).to(logits.dtype)"),
)
temperatures.edit(
    "bf16 on the way",
    "You divide in bf16, which keeps two digits. Stay in the dtype of the logits.",
    ("logits / temperature", "(logits.bfloat16() / temperature).to(logits.dtype)"),
)


@temperatures.mistake(
    "small temperatures take the best",
    "Below some temperature you keep only the best token. Where others are nearly as good they "
    "have their share at any temperature above 0, so divide always.",
)
def apply_temperature(logits, temperature):
    if temperature < 0.01:
        best = logits.argmax(dim=-1, keepdim=True)
        return torch.full_like(logits, float("-inf")).scatter(-1, best, 0.0)
    return logits / temperature


# 5.2 keep_top_k

top_ks = Bank()


@top_ks.right
def keep_top_k(logits, k):
    best, ids = torch.topk(logits, k, dim=-1)
    return torch.full_like(logits, float("-inf")).scatter(-1, ids, best)


@top_ks.right
def keep_top_k(logits, k):
    order = torch.argsort(logits, dim=-1, descending=True)
    rank = torch.argsort(order, dim=-1)
    return torch.where(rank < k, logits, torch.tensor(-torch.inf, dtype=logits.dtype))


@top_ks.right
def keep_top_k(logits, k):
    out = logits.clone()
    for b in range(logits.shape[0]):
        ids = sorted(range(logits.shape[1]), key=lambda i: logits[b, i].item())
        for i in ids[: len(ids) - k]:
            out[b, i] = -math.inf
    return out


@top_ks.right
def keep_top_k(logits, k):
    x = logits.numpy().copy()
    worst = np.argsort(x, axis=1)[:, : x.shape[1] - k]
    np.put_along_axis(x, worst, -np.inf, axis=1)
    return torch.from_numpy(x)


top_ks.edit(
    "one too many",
    "k + 1 logits of each row survive where you should keep k.",
    ("torch.topk(logits, k, dim=-1)", "torch.topk(logits, min(k + 1, logits.size(-1)), dim=-1)"),
)
top_ks.edit(
    "one too few",
    "k - 1 logits of each row survive where you should keep k.",
    ("torch.topk(logits, k, dim=-1)", "torch.topk(logits, k - 1, dim=-1)"),
)
top_ks.edit(
    "the smallest are kept",
    "You keep the k smallest logits of each row; the largest are wanted.",
    ("k, dim=-1", "k, dim=-1, largest=False"),
)
top_ks.edit(
    "the others become 0",
    "What is cut becomes 0, and softmax gives e to the power of 0 a probability like any other. "
    "Which logit gives a probability of 0?",
    ('torch.full_like(logits, float("-inf"))', "torch.zeros_like(logits)"),
)
top_ks.edit(
    "the others become a large negative number",
    "What is cut gets a large negative number. Only minus infinity is below every logit there is.",
    ('float("-inf")', "-1e9"),
)
top_ks.edit(
    "probabilities come back",
    "You return probabilities. Logits are asked for: the k largest as they were, the others minus "
    "infinity.",
    ("scatter(-1, ids, best)", "scatter(-1, ids, best).softmax(dim=-1)"),
)
top_ks.edit(
    "only the survivors come back",
    "You return the k largest alone, [B, k]. Each logit has to stay at its own id, in [B, V].",
    ('torch.full_like(logits, float("-inf")).scatter(-1, ids, best)', "best"),
)
top_ks.edit(
    "the survivors move to the front",
    "The right logits survive, but they stand at the first k ids, sorted. Each has to stay at its "
    "own id.",
    ("scatter(-1, ids, best)", "index_copy(-1, torch.arange(k), best)"),
)


@top_ks.mistake(
    "all equals survive",
    "Where several logits are equal to the k-th largest, all of them survive, more than k. A "
    "comparison with the k-th largest cannot tell them apart.",
)
def keep_top_k(logits, k):
    threshold = torch.topk(logits, k).values[:, -1:]
    return logits.masked_fill(logits < threshold, float("-inf"))


@top_ks.mistake(
    "no equals survive",
    "Only logits above the k-th largest survive, so that one itself is cut, with all that are "
    "equal to it.",
)
def keep_top_k(logits, k):
    threshold = logits.sort(dim=-1, descending=True).values[:, k - 1 : k]
    return logits.masked_fill(logits <= threshold, float("-inf"))


@top_ks.mistake(
    "the k-th smallest is the bound",
    "You sort in ascending order and take the k-th from the front: that is the k-th smallest, so V "
    "- k + 1 logits survive.",
)
def keep_top_k(logits, k):
    order = logits.argsort(dim=-1)
    return logits.scatter(-1, order[:, : k - 1], float("-inf"))


@top_ks.mistake(
    "the first row's bound for all",
    "You cut every row at the k-th largest logit of the first row. Each row has its own.",
)
def keep_top_k(logits, k):
    threshold = logits[0].sort(descending=True).values[k - 1]
    return torch.where(logits >= threshold, logits, torch.full_like(logits, float("-inf")))


@top_ks.mistake(
    "the k largest of the batch",
    "You keep the k largest logits of the whole batch. Each row is to keep k of its own.",
)
def keep_top_k(logits, k):
    best, ids = logits.flatten().topk(k)
    out = torch.full((logits.numel(),), float("-inf"), dtype=logits.dtype)
    out[ids] = best
    return out.view(logits.shape)


@top_ks.mistake(
    "the k largest of each column",
    "You keep the k largest of each column, over the batch. The tokens of a row lie along the last "
    "dimension.",
)
def keep_top_k(logits, k):
    best, ids = logits.topk(min(k, len(logits)), dim=0)
    return torch.full_like(logits, float("-inf")).scatter(0, ids, best)


@top_ks.mistake(
    "the survivors of the first row everywhere",
    "You keep the ids that are best in the first row in all rows. Each row has its own best.",
)
def keep_top_k(logits, k):
    keep = logits[0].topk(k).indices
    out = torch.full_like(logits, float("-inf"))
    out[:, keep] = logits[:, keep]
    return out


@top_ks.mistake(
    "logits are cut in place",
    "The result is right, but you change the logits you were given. Work on a copy.",
)
def keep_top_k(logits, k):
    order = logits.argsort(dim=-1, descending=True)
    return logits.scatter_(-1, order[:, k:], float("-inf"))


@top_ks.mistake(
    "fp32 whatever comes in",
    "Your result is in fp32 although the logits came in another dtype. Keep theirs.",
)
def keep_top_k(logits, k):
    out = torch.full(logits.shape, float("-inf"))
    best, ids = logits.topk(k)
    return out.scatter(-1, ids, best.float())


@top_ks.mistake(
    "the largest without their signs",
    "You choose by the size of the logits without the sign. A logit of -9 is the worst, not the "
    "best.",
)
def keep_top_k(logits, k):
    ids = logits.abs().topk(k, dim=-1).indices
    return torch.full_like(logits, float("-inf")).scatter(-1, ids, logits.gather(-1, ids))


@top_ks.mistake(
    "logits of 0 are lost",
    "You recognise what was cut by its 0, and a logit may be 0 itself. Begin with a row of minus "
    "infinity instead.",
)
def keep_top_k(logits, k):
    best, ids = logits.topk(k, dim=-1)
    kept = torch.zeros_like(logits).scatter(-1, ids, best)
    return kept.masked_fill(kept == 0, float("-inf"))


@top_ks.mistake(
    "the k largest different values",
    "You keep all logits that have one of the k largest different values. Equal logits count one "
    "by one: exactly k survive.",
)
def keep_top_k(logits, k):
    out = torch.full_like(logits, float("-inf"))
    for b, row in enumerate(logits.tolist()):
        values = sorted(set(row), reverse=True)[:k]
        for i, x in enumerate(row):
            if x in values:
                out[b, i] = logits[b, i]
    return out


@top_ks.mistake(
    "of equals only the first is found",
    "You look the k largest values up in the row, and of equals that always finds the first. Sort "
    "the places, not the values.",
)
def keep_top_k(logits, k):
    out = torch.full_like(logits, float("-inf"))
    for b, row in enumerate(logits.tolist()):
        for x in sorted(row, reverse=True)[:k]:
            i = row.index(x)
            out[b, i] = logits[b, i]
    return out


# 5.3 keep_top_p

top_ps = Bank()


@top_ps.right
def keep_top_p(logits, p):
    ordered, ids = logits.sort(dim=-1, descending=True, stable=True)
    chances = ordered.softmax(dim=-1)
    before = chances.cumsum(dim=-1) - chances
    ordered = ordered.masked_fill(before >= p, float("-inf"))
    return torch.empty_like(logits).scatter(-1, ids, ordered)


@top_ps.right
def keep_top_p(logits, p):
    out = torch.full_like(logits, -math.inf)
    for b, row in enumerate(logits.tolist()):
        top = max(row)
        weights = [math.exp(x - top) for x in row]
        reached = 0.0
        for i in sorted(range(len(row)), key=lambda i: -row[i]):
            if reached >= p * sum(weights):
                break
            out[b, i] = logits[b, i]
            reached += weights[i]
    return out


@top_ps.right
def keep_top_p(logits, p):
    order = torch.argsort(-logits, dim=-1, stable=True)
    rank = torch.argsort(order, dim=-1)
    sums = torch.softmax(logits, dim=-1).gather(-1, order).cumsum(-1)
    n = (sums < p).sum(dim=-1, keepdim=True) + 1
    return torch.where(rank < n, logits, float("-inf"))


@top_ps.right
def keep_top_p(logits, p):
    chances = F.softmax(logits.double(), dim=-1)
    i = torch.arange(logits.size(-1))
    better = logits[:, None, :] > logits[:, :, None]
    better |= (logits[:, None, :] == logits[:, :, None]) & (i[None, :] < i[:, None])
    before = (chances[:, None, :] * better).sum(dim=-1)
    return logits.masked_fill(before >= p, float("-inf"))


@top_ps.right
def keep_top_p(logits, p):
    x = logits.numpy()
    out = np.full_like(x, -np.inf)
    for b in range(len(x)):
        q = np.exp(x[b] - x[b].max())
        q = q / q.sum()
        ids = np.argsort(-q, kind="stable")
        n = int(np.searchsorted(np.cumsum(q[ids]), p)) + 1
        out[b, ids[:n]] = x[b, ids[:n]]
    return torch.from_numpy(out)


top_ps.edit(
    "the token that reaches p is cut",
    "You keep tokens as long as their sum stays below p, so the one that reaches p is cut, and "
    "where the best token alone is enough nothing is left. What counts is the sum before a token.",
    ("before = chances.cumsum(dim=-1) - chances", "before = chances.cumsum(dim=-1)"),
)
top_ps.edit(
    "one token too many",
    "One token more survives than is needed to reach p.",
    (
        "before = chances.cumsum(dim=-1) - chances",
        "before = F.pad(chances.cumsum(dim=-1)[:, :-2], (2, 0))[:, : chances.size(-1)]",
    ),
)
top_ps.edit(
    "unlikely tokens come first",
    "You add up from the least likely token, and so keep the tail and cut the head.",
    ("descending=True", "descending=False"),
)
top_ps.edit(
    "the survivors stay sorted",
    "The right logits survive, but sorted: each has to go back to its own id.",
    ("torch.empty_like(logits).scatter(-1, ids, ordered)", "ordered"),
)
top_ps.edit(
    "sorted twice instead of back",
    "On the way back you read from the sorted places where you should write to them: gather and "
    "scatter are each other's inverse.",
    ("torch.empty_like(logits).scatter(-1, ids, ordered)", "ordered.gather(-1, ids)"),
)
top_ps.edit(
    "the others become 0",
    "What is cut becomes 0, and softmax gives e to the power of 0 a probability like any other. "
    "Which logit gives a probability of 0?",
    ('float("-inf")', "0.0"),
)
top_ps.edit(
    "the others become a large negative number",
    "What is cut gets a large negative number. Only minus infinity is below every logit there is.",
    ('float("-inf")', "-1e9"),
)
top_ps.edit(
    "logits are added up",
    "You add up logits. p is a probability, so the logits have to go through a softmax first.",
    ("ordered.softmax(dim=-1)", "ordered"),
)
top_ps.edit(
    "probabilities come back",
    "You return probabilities. Logits are asked for: those of the nucleus as they were, the others "
    "minus infinity.",
    ("scatter(-1, ids, ordered)", "scatter(-1, ids, ordered).softmax(dim=-1)"),
)
top_ps.edit(
    "the softmax over the batch",
    "Your softmax goes over the batch, so that a row's probabilities do not add up to 1.",
    ("ordered.softmax(dim=-1)", "ordered.softmax(dim=0)"),
)
top_ps.edit(
    "the sum runs over the batch",
    "Your running sum goes down the batch, from row to row. It has to go along a row.",
    ("chances.cumsum(dim=-1)", "chances.cumsum(dim=0)"),
)
top_ps.edit(
    "a sum of exactly p is not enough",
    "Where the sum before a token is exactly p you keep that token too.",
    ("before >= p", "before > p"),
    equivalent="A sum is exactly p only where rounding decides it, and the cases keep away from "
    "that.",
)
top_ps.edit(
    "a sort that need not keep equals in order",
    "Your sort need not keep equally likely tokens in the order of their ids; a stable one does.",
    ("descending=True, stable=True", "descending=True"),
    equivalent="Over rows as short as those of the cases torch's sort happens to be stable. It is "
    "not over long ones, so ask for it.",
)
top_ps.edit(
    "the tail of p is kept",
    "You keep the tokens until their sum reaches 1 - p: a large p should keep many tokens, not "
    "few.",
    ("before >= p", "before >= 1 - p"),
)
top_ps.edit(
    "the first row's nucleus for all",
    "You keep as many tokens in every row as in the first. Each row has its own nucleus.",
    ("before >= p", "(before >= p)[:1]"),
)


@top_ps.mistake(
    "of equals the higher ids come first",
    "Of equally likely tokens you take the higher ids first. A sort that is turned round turns "
    "equals round too.",
)
def keep_top_p(logits, p):
    ordered, ids = logits.sort(dim=-1, stable=True)
    ordered, ids = ordered.flip(-1), ids.flip(-1)
    chances = ordered.softmax(dim=-1)
    before = chances.cumsum(dim=-1) - chances
    ordered = ordered.masked_fill(before >= p, float("-inf"))
    return torch.empty_like(logits).scatter(-1, ids, ordered)


@top_ps.mistake(
    "all equals of the last survive",
    "With the last token that is needed you keep all that are as likely. The fewest that reach p "
    "are wanted, those with lower ids first.",
)
def keep_top_p(logits, p):
    ordered = logits.sort(dim=-1, descending=True).values
    chances = ordered.softmax(dim=-1)
    before = chances.cumsum(dim=-1) - chances
    n = (before < p).sum(dim=-1, keepdim=True)
    return logits.masked_fill(logits < ordered.gather(-1, n - 1), float("-inf"))


@top_ps.mistake(
    "the sum runs in the order of the ids",
    "You add up in the order of the ids. The nucleus begins with the most likely token, so sort "
    "first.",
)
def keep_top_p(logits, p):
    chances = logits.softmax(dim=-1)
    before = chances.cumsum(dim=-1) - chances
    return logits.masked_fill(before >= p, float("-inf"))


@top_ps.mistake(
    "each probability is compared with 1 - p",
    "You cut each token whose own probability is below 1 - p. Top-p adds probabilities up, from "
    "the most likely on, until they reach p.",
)
def keep_top_p(logits, p):
    return logits.masked_fill(logits.softmax(dim=-1) < 1 - p, float("-inf"))


@top_ps.mistake(
    "a share of the best",
    "You keep the tokens that have at least p times the probability of the best, which is another "
    "rule, min-p. Top-p adds probabilities up until they reach p.",
)
def keep_top_p(logits, p):
    chances = logits.softmax(dim=-1)
    return logits.masked_fill(chances < p * chances.amax(dim=-1, keepdim=True), float("-inf"))


@top_ps.mistake(
    "a share of the tokens",
    "You keep the first p V tokens, whatever they weigh. p is the probability they have together.",
)
def keep_top_p(logits, p):
    n = max(1, math.ceil(p * logits.size(-1)))
    order = logits.argsort(dim=-1, descending=True, stable=True)
    return logits.scatter(-1, order[:, n:], float("-inf"))


@top_ps.mistake(
    "the mask is not brought back",
    "The right number of tokens survives, but not the right ones: your mask belongs to the sorted "
    "logits, and you lay it over those in the order of the ids.",
)
def keep_top_p(logits, p):
    chances = logits.sort(dim=-1, descending=True).values.softmax(dim=-1)
    before = chances.cumsum(dim=-1) - chances
    return logits.masked_fill(before >= p, float("-inf"))


@top_ps.mistake(
    "logits are cut in place",
    "The result is right, but you change the logits you were given. Work on a copy.",
)
def keep_top_p(logits, p):
    ordered, ids = logits.sort(dim=-1, descending=True, stable=True)
    chances = ordered.softmax(dim=-1)
    before = chances.cumsum(dim=-1) - chances
    logits[torch.zeros_like(before >= p).scatter(-1, ids, before >= p)] = float("-inf")
    return logits


top_ps.edit(
    "the token that reaches p is cut, but never the first",
    "You cut the token with which the sum reaches p, and save only the first. Without it those "
    "that are left do not reach p: what counts is the sum before a token.",
    ("cumsum(dim=-1) - chances", "cumsum(dim=-1)"),
    ("before >= p,", "(before > p) & (torch.arange(before.size(-1)) > 0),"),
)
top_ps.edit(
    "two tokens at least",
    "You always keep two tokens. Where the first alone reaches p it stands alone.",
    ("before >= p,", "(before >= p) & (torch.arange(before.size(-1)) > 1),"),
)
top_ps.edit(
    "the last token's mark moves to the front",
    "You move the marks one place on with roll, which brings the last one round to the best token. "
    "The first always stays.",
    ("cumsum(dim=-1) - chances", "cumsum(dim=-1)"),
    ("before >= p,", "(before >= p).roll(1, -1),"),
)
top_ps.edit(
    "the survivors' logits are changed",
    "You return logarithms of probabilities. Those that stay keep their logits.",
    ("ordered, ids = logits.sort", "ordered, ids = logits.log_softmax(dim=-1).sort"),
)


@top_ps.mistake(
    "each probability is compared with p",
    "You keep the tokens whose own probability is p or more, often none. It is their sum that has "
    "to reach p, from the most likely on.",
)
def keep_top_p(logits, p):
    return logits.masked_fill(logits.softmax(dim=-1) < p, float("-inf"))


@top_ps.mistake(
    "the largest nucleus for all rows",
    "You keep the same number of tokens in each row, as many as the row needs that needs most. "
    "Each row has its own number.",
)
def keep_top_p(logits, p):
    ordered, ids = logits.sort(dim=-1, descending=True, stable=True)
    chances = ordered.softmax(dim=-1)
    n = int((chances.cumsum(dim=-1) - chances < p).sum(dim=-1).max())
    out = torch.full_like(logits, float("-inf"))
    return out.scatter(-1, ids[:, :n], ordered[:, :n])


@top_ps.mistake(
    "exponentials overflow",
    "You take exp of the logits as they are, and exp of some hundred is infinite. Subtract the "
    "largest logit first, or use softmax.",
)
def keep_top_p(logits, p):
    ordered, ids = logits.sort(dim=-1, descending=True, stable=True)
    chances = ordered.exp() / ordered.exp().sum(dim=-1, keepdim=True)
    before = chances.cumsum(dim=-1) - chances
    ordered = ordered.masked_fill(before >= p, float("-inf"))
    return torch.empty_like(logits).scatter(-1, ids, ordered)


# 5.4 draw

draws = Bank()


@draws.right
def draw(probabilities, u):
    line = probabilities.double().cumsum(dim=-1)
    point = u[:, None] * line[:, -1:]
    return (line < point).sum(dim=-1)


@draws.right
def draw(probabilities, u):
    line = torch.cumsum(probabilities, dim=1)
    return torch.searchsorted(line, u.unsqueeze(1) * line[:, -1:]).squeeze(1)


@draws.right
def draw(probabilities, u):
    ids = []
    for row, x in zip(probabilities.tolist(), u.tolist(), strict=True):
        left = x * sum(row)
        i = 0
        while left > row[i] and i < len(row) - 1:
            left -= row[i]
            i += 1
        ids.append(i)
    return torch.tensor(ids)


@draws.right
def draw(probabilities, u):
    shares = probabilities.numpy() / probabilities.numpy().sum(axis=1, keepdims=True)
    return torch.from_numpy((np.cumsum(shares, axis=1) >= u.numpy()[:, None]).argmax(axis=1))


@draws.right
def draw(probabilities, u):
    V = probabilities.shape[1]
    upto = torch.ones(V, V, dtype=torch.float64).tril()
    sums = torch.einsum("bv,iv->bi", probabilities.double(), upto)
    reached = sums >= u.double()[:, None] * probabilities.double().sum(1, keepdim=True)
    ids = torch.where(reached, torch.arange(V), V).amin(dim=1)
    return ids.to(torch.int32)


draws.edit(
    "the row's total is taken as 1",
    "You compare the running sum with u itself. A row need not add up to 1, so u is a share of its "
    "total.",
    ("u[:, None] * line[:, -1:]", "u[:, None]"),
)
draws.edit(
    "reaching is not enough",
    "Where the running sum reaches the point exactly you go on to the next token. And with u = 1, "
    "where is that?",
    ("line < point", "line <= point"),
)
draws.edit(
    "one token further back",
    "Your ids are one too small: at the first token whose running sum reaches the point you return "
    "the one before.",
    (".sum(dim=-1)", ".sum(dim=-1) - 1"),
)
draws.edit(
    "one token further on",
    "Your ids are one too large: count the tokens whose running sum does not reach the point.",
    (".sum(dim=-1)", ".sum(dim=-1) + 1"),
)
draws.edit(
    "one point for all rows",
    "You use the first u for all rows. Each row has its own.",
    ("u[:, None]", "u[0]"),
)
draws.edit(
    "the running sum goes down the batch",
    "Your running sum goes down the batch, from row to row. It has to go along a row.",
    ("cumsum(dim=-1)", "cumsum(dim=0)"),
)
draws.edit(
    "a running sum in fp16",
    "Your running sum has too few digits: over thousands of tokens the small probabilities are "
    "rounded away.",
    ("probabilities.double()", "probabilities.half()"),
)
draws.edit(
    "the total of the batch",
    "You take u as a share of the whole batch's total. Each row has its own.",
    ("line[:, -1:]", "line[:, -1].sum()"),
)
draws.edit(
    "no running sum",
    "You compare each probability by itself with the point. Lay them end to end: their running sum "
    "is compared.",
    ("probabilities.double().cumsum(dim=-1)", "probabilities.double()"),
)
draws.edit(
    "a column of ids",
    "The ids are right, but they come in a column, [B, 1]. One number a row, [B], is asked for.",
    (".sum(dim=-1)", ".sum(dim=-1, keepdim=True)"),
)
draws.edit(
    "ids that are not whole numbers",
    "The ids are right, but in a dtype with a fraction, and those cannot be looked up in a table.",
    (".sum(dim=-1)", ".sum(dim=-1).float()"),
)


@draws.mistake(
    "the likeliest token",
    "You return the likeliest token and never look at u. That is greedy decoding; to draw means "
    "that every token has its chance.",
)
def draw(probabilities, u):
    return probabilities.argmax(dim=-1)


@draws.mistake(
    "all tokens alike",
    "You divide the line into equal parts, one a token. Each stretch has to be as long as the "
    "token's probability.",
)
def draw(probabilities, u):
    return (u * probabilities.size(-1)).ceil().long() - 1


@draws.mistake(
    "the nearest end",
    "You return the token whose stretch ends nearest to the point. The point lies within a "
    "stretch: the first that ends there or later.",
)
def draw(probabilities, u):
    line = probabilities.double().cumsum(dim=-1)
    return (line - u[:, None] * line[:, -1:]).abs().argmin(dim=-1)


@draws.mistake(
    "sorted and not brought back",
    "You sort the probabilities and return places in the sorted row instead of ids. There is no "
    "need to sort.",
)
def draw(probabilities, u):
    line = probabilities.double().sort(dim=-1, descending=True).values.cumsum(dim=-1)
    return (line < u[:, None] * line[:, -1:]).sum(dim=-1)


@draws.mistake(
    "counted from the end",
    "You lay the probabilities out from the last token to the first. That is a fair draw too, but "
    "another: the first whose running sum reaches the point is asked for.",
)
def draw(probabilities, u):
    line = probabilities.double().flip(-1).cumsum(dim=-1)
    return probabilities.size(-1) - 1 - (line < u[:, None] * line[:, -1:]).sum(dim=-1)


@draws.mistake(
    "the last that reaches",
    "You return the last token whose running sum reaches the point, which is always the end of the "
    "row. The first one is asked for.",
)
def draw(probabilities, u):
    line = probabilities.double().cumsum(dim=-1)
    reached = line >= u[:, None] * line[:, -1:]
    return (reached * torch.arange(line.size(1))).argmax(dim=-1)


@draws.mistake(
    "probabilities are scaled in place",
    "The ids are right, but you change the probabilities you were given. Scale u instead.",
)
def draw(probabilities, u):
    probabilities /= probabilities.sum(dim=-1, keepdim=True)
    return (probabilities.cumsum(dim=-1) < u[:, None]).sum(dim=-1)


draws.edit(
    "the row's total is taken as 1, and the last token takes the rest",
    "You compare the running sum with u itself, and give the last token where it is never reached. "
    "A row need not add up to 1: u is a share of its total.",
    ("u[:, None] * line[:, -1:]", "u[:, None].clamp(max=1)"),
    ("(line < point).sum(dim=-1)", "(line < point).sum(dim=-1).clamp(max=line.size(-1) - 1)"),
)
draws.edit(
    "the sum before a token",
    "You compare the point with the sum before each token. The sum up to a token, itself included, "
    "has to reach it.",
    (
        "line = probabilities.double().cumsum(dim=-1)",
        "sums = probabilities.double().cumsum(dim=-1)",
    ),
    ("point = u[:, None] * line[:, -1:]", "point = u[:, None] * sums[:, -1:]"),
    (
        "(line < point).sum(dim=-1)",
        "(sums - probabilities < point).sum(dim=-1).clamp(max=sums.size(-1) - 1)",
    ),
)
draws.edit(
    "1 - u",
    "You take the point at 1 - u. The running sum has to reach u times the total.",
    ("u[:, None] *", "(1 - u[:, None]) *"),
)


@draws.mistake(
    "the most likely tokens come first",
    "You lay the probabilities out from the most likely to the least. That is a fair draw too, but "
    "another: they lie in the order of the ids.",
)
def draw(probabilities, u):
    ordered, ids = probabilities.double().sort(dim=-1, descending=True)
    line = ordered.cumsum(dim=-1)
    place = (line < u[:, None] * line[:, -1:]).sum(dim=-1, keepdim=True)
    return ids.gather(-1, place).squeeze(-1)


# 5.5 LayerCache

caches = Bank()


@caches.right
class LayerCache:
    def __init__(self, capacity):
        self.capacity = capacity
        self.length = 0

    def append(self, k, v):
        B, H, T, D = k.shape
        start, end = self.length, self.length + T
        if end > self.capacity:
            raise ValueError(f"the cache holds {self.capacity} tokens, got {end}")
        if start == 0:
            self.keys = torch.zeros(B, H, self.capacity, D, dtype=k.dtype)
            self.values = torch.zeros(B, H, self.capacity, D, dtype=v.dtype)
        self.keys[:, :, start:end] = k
        self.values[:, :, start:end] = v
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]


@caches.right
class LayerCache:
    def __init__(self, capacity):
        self.capacity = capacity
        self.k = None
        self.v = None

    def append(self, k, v):
        new_k = k if self.k is None else torch.cat([self.k, k], dim=2)
        new_v = v if self.v is None else torch.cat([self.v, v], dim=2)
        if new_k.shape[2] > self.capacity:
            raise ValueError("full")
        self.k, self.v = new_k, new_v
        return self.k, self.v


@caches.right
class LayerCache:
    class CacheFullError(ValueError):
        pass

    def __init__(self, capacity: int) -> None:
        self.free = capacity
        self.steps = []

    def append(self, k, v):
        if k.size(-2) > self.free:
            raise self.CacheFullError(self.free)
        self.free -= k.size(-2)
        self.steps.append((k.clone(), v.clone()))
        return tuple(torch.cat(parts, dim=-2) for parts in zip(*self.steps, strict=True))


@caches.right
class LayerCache:
    def __init__(self, capacity):
        self.capacity = capacity
        self.past = []  # (k [B, H, D], v [B, H, D]) of every token

    def append(self, k, v):
        new = list(zip(k.unbind(2), v.unbind(2), strict=True))
        if len(self.past) + len(new) > self.capacity:
            raise ValueError(f"room for {self.capacity}, not for {len(self.past) + len(new)}")
        self.past = self.past + new
        return [torch.stack([token[0] for token in self.past], dim=2),
                torch.stack([token[1] for token in self.past], dim=2)]  # fmt: skip


caches.edit(
    "the last place stays empty",
    "You refuse an append that fits exactly: a cache for n tokens holds n.",
    ("end > self.capacity", "end >= self.capacity"),
)
caches.edit(
    "only a full cache refuses",
    "You ask whether the cache is full already, not whether the new tokens still fit.",
    ("if end > self.capacity", "if start >= self.capacity"),
)
caches.edit(
    "another error than ValueError",
    "A full cache is refused with another error; ValueError is asked for.",
    ("raise ValueError", "raise RuntimeError"),
)
caches.edit(
    "no room is not noticed",
    "You do not check whether the new tokens fit. Raise a ValueError before anything is stored.",
    ("if end > self.capacity", "if False"),
)
caches.edit(
    "the length grows with a refused append",
    "A refused append has already moved the end of what is stored, so that the next one no longer "
    "finds its place. Check first, change afterwards.",
    ("        if end > self.capacity", "        self.length = end\n        if end > self.capacity"),
)
caches.edit(
    "the whole buffer comes back",
    "You return the buffers with their empty places. Only what has been stored so far is to come "
    "out, [B, H, n + T, D].",
    ("return self.keys[:, :, :end], self.values[:, :, :end]", "return self.keys, self.values"),
)
caches.edit(
    "only the new tokens come back",
    "You return only what was just appended. The queries need all keys and values so far.",
    (
        "return self.keys[:, :, :end], self.values[:, :, :end]",
        "return self.keys[:, :, start:end], self.values[:, :, start:end]",
    ),
)
caches.edit(
    "the new tokens are left out",
    "You return what was there before this append, without its own tokens: a token attends to "
    "itself too.",
    (
        "return self.keys[:, :, :end], self.values[:, :, :end]",
        "return self.keys[:, :, :start], self.values[:, :, :start]",
    ),
)
caches.edit(
    "keys are stored for values",
    "Your values are the keys: look at what you store as what.",
    ("self.values[:, :, start:end] = v", "self.values[:, :, start:end] = k"),
)
caches.edit(
    "keys and values are exchanged",
    "Keys and values come out in the wrong order: keys first.",
    (
        "return self.keys[:, :, :end], self.values[:, :, :end]",
        "return self.values[:, :, :end], self.keys[:, :, :end]",
    ),
)
caches.edit(
    "the buffers are fp32",
    "Your buffers are in fp32 whatever comes in. They have to take the dtype of k and v.",
    (", dtype=k.dtype", ""),
    (", dtype=v.dtype", ""),
)
caches.edit(
    "appends are counted, not tokens",
    "You move on by one place an append. An append may bring several tokens, as a prompt does, and "
    "takes as many places.",
    ("self.length = end", "self.length = start + 1"),
)
caches.edit(
    "each append begins at the front",
    "Each append overwrites what is there, because the end of what is stored never moves.",
    ("self.length = end", "self.length = 0"),
)
caches.edit(
    "the buffers are made anew each time",
    "You make new buffers at every append, so that the earlier tokens are 0. Make them at the "
    "first one only.",
    ("if start == 0", "if start >= 0"),
)
caches.edit(
    "one head for all",
    "Your buffers have room for a single head, and the first one's numbers stand for all.",
    ("self.keys[:, :, start:end] = k", "self.keys[:, :, start:end] = k[:, :1]"),
)


@caches.mistake(
    "the oldest tokens are dropped",
    "A full cache drops its oldest tokens without a word. It has to refuse with a ValueError.",
)
class LayerCache:
    def __init__(self, capacity):
        self.capacity, self.keys, self.values = capacity, None, None

    def append(self, k, v):
        if self.keys is not None:
            k = torch.cat([self.keys, k], dim=2)
            v = torch.cat([self.values, v], dim=2)
        self.keys, self.values = k[:, :, -self.capacity :], v[:, :, -self.capacity :]
        return self.keys, self.values


@caches.mistake(
    "what does not fit is cut off",
    "Tokens that do not fit are cut off without a word. A ValueError has to say so.",
)
class LayerCache:
    def __init__(self, capacity):
        self.capacity, self.keys, self.values = capacity, None, None

    def append(self, k, v):
        if self.keys is not None:
            k = torch.cat([self.keys, k], dim=2)
            v = torch.cat([self.values, v], dim=2)
        self.keys, self.values = k[:, :, : self.capacity], v[:, :, : self.capacity]
        return self.keys, self.values


@caches.mistake(
    "stored before it is refused",
    "You store the new tokens first and check afterwards: a refused append has to leave the cache "
    "as it was.",
)
class LayerCache:
    def __init__(self, capacity):
        self.capacity, self.keys, self.values = capacity, [], []

    def append(self, k, v):
        self.keys.append(k)
        self.values.append(v)
        if sum(part.size(2) for part in self.keys) > self.capacity:
            self.keys.pop()
            raise ValueError("the cache is full")
        return torch.cat(self.keys, dim=2), torch.cat(self.values, dim=2)


@caches.mistake(
    "a refused append empties the cache",
    "After a refused append everything stored before is gone. The cache has to stay as it was.",
)
class LayerCache:
    def __init__(self, capacity):
        self.capacity, self.keys, self.values = capacity, [], []

    def append(self, k, v):
        if sum(part.size(2) for part in [*self.keys, k]) > self.capacity:
            self.keys, self.values = [], []
            raise ValueError("the cache is full")
        self.keys.append(k)
        self.values.append(v)
        return torch.cat(self.keys, dim=2), torch.cat(self.values, dim=2)


@caches.mistake(
    "new tokens go in front",
    "You put the new tokens in front of the earlier ones. They come last, as in the text.",
)
class LayerCache:
    def __init__(self, capacity):
        self.capacity, self.keys, self.values = capacity, [], []

    def append(self, k, v):
        if sum(part.size(2) for part in [*self.keys, k]) > self.capacity:
            raise ValueError("the cache is full")
        self.keys.insert(0, k)
        self.values.insert(0, v)
        return torch.cat(self.keys, dim=2), torch.cat(self.values, dim=2)


@caches.mistake(
    "joined along the heads",
    "You join old and new along the heads. In [B, H, T, D] the tokens lie along the third "
    "dimension.",
)
class LayerCache:
    def __init__(self, capacity):
        self.capacity, self.length, self.keys, self.values = capacity, 0, [], []

    def append(self, k, v):
        if self.length + k.size(2) > self.capacity:
            raise ValueError("the cache is full")
        self.length += k.size(2)
        self.keys.append(k)
        self.values.append(v)
        return torch.cat(self.keys, dim=1), torch.cat(self.values, dim=1)


@caches.mistake(
    "the capacity counts heads",
    "You compare the number of heads with the capacity. It counts tokens, the third dimension of "
    "[B, H, T, D].",
)
class LayerCache:
    def __init__(self, capacity):
        self.capacity, self.keys, self.values = capacity, None, None

    def append(self, k, v):
        if self.keys is not None:
            k = torch.cat([self.keys, k], dim=2)
            v = torch.cat([self.values, v], dim=2)
        if k.size(1) > self.capacity:
            raise ValueError("the cache is full")
        self.keys, self.values = k, v
        return k, v


@caches.mistake(
    "all caches share their contents",
    "Two caches share what they hold: a list that stands in the class belongs to all its objects. "
    "Make it in __init__.",
)
class LayerCache:
    keys = []  # noqa: RUF012
    values = []  # noqa: RUF012

    def __init__(self, capacity):
        self.capacity = capacity

    def append(self, k, v):
        if sum(part.size(2) for part in [*self.keys, k]) > self.capacity:
            raise ValueError("the cache is full")
        self.keys.append(k)
        self.values.append(v)
        return torch.cat(self.keys, dim=2), torch.cat(self.values, dim=2)


@caches.mistake(
    "nothing is refused",
    "Your cache grows beyond its capacity. A ValueError has to say that there is no room.",
)
class LayerCache:
    def __init__(self, capacity):
        self.keys, self.values = [], []

    def append(self, k, v):
        self.keys.append(k)
        self.values.append(v)
        return torch.cat(self.keys, dim=2), torch.cat(self.values, dim=2)


@caches.mistake(
    "it grows beyond its capacity as long as it was not full",
    "You refuse only when the cache is full already. An append of several tokens may not fit "
    "either: count the new ones too.",
)
class LayerCache:
    def __init__(self, capacity):
        self.capacity, self.keys, self.values = capacity, [], []

    def append(self, k, v):
        if sum(part.size(2) for part in self.keys) >= self.capacity:
            raise ValueError("the cache is full")
        self.keys.append(k)
        self.values.append(v)
        return torch.cat(self.keys, dim=2), torch.cat(self.values, dim=2)


@caches.mistake(
    "a token counts once for each row",
    "You multiply the tokens by the rows of the batch. The capacity is that of a row.",
)
class LayerCache:
    def __init__(self, capacity):
        self.capacity, self.keys, self.values = capacity, [], []

    def append(self, k, v):
        if sum(part.size(0) * part.size(2) for part in [*self.keys, k]) > self.capacity:
            raise ValueError("the cache is full")
        self.keys.append(k)
        self.values.append(v)
        return torch.cat(self.keys, dim=2), torch.cat(self.values, dim=2)


# 5.6 greedy

greedies = Bank()


@greedies.right
def greedy(model, idx, max_new_tokens, block_size):
    for _ in range(max_new_tokens):
        logits = model(idx[:, -block_size:])
        new = logits[:, -1].argmax(dim=-1)
        idx = torch.cat([idx, new[:, None]], dim=1)
    return idx


@greedies.right
def greedy(model, idx, max_new_tokens, block_size):
    rows = []
    for row in idx.tolist():
        for _ in range(max_new_tokens):
            window = torch.tensor([row[-block_size:]])
            scores = model(window)[0, -1].tolist()
            row.append(scores.index(max(scores)))
        rows.append(row)
    return torch.tensor(rows)


@greedies.right
@torch.no_grad()
def greedy(model, idx, max_new_tokens, block_size):
    if max_new_tokens == 0:
        return idx
    context = idx if idx.size(1) <= block_size else idx[:, idx.size(1) - block_size :]
    probabilities = F.softmax(model(context)[:, -1, :], dim=-1)
    _, best = torch.topk(probabilities, k=1, dim=-1)
    return greedy(model, torch.cat((idx, best), dim=1), max_new_tokens - 1, block_size)


@greedies.right
def greedy(model, idx, max_new_tokens, block_size):
    B, T = idx.shape
    text = torch.empty(B, T + max_new_tokens, dtype=torch.int64)
    text[:, :T] = idx
    for end in range(T, T + max_new_tokens):
        text[:, end] = model(text[:, max(0, end - block_size) : end]).max(dim=-1).indices[:, -1]
    return text


greedies.edit(
    "the context is never cut",
    "You hand the model the whole text, also when that is longer than block_size, which the model "
    "refuses. Which part of it should it see?",
    ("idx[:, -block_size:]", "idx"),
)
greedies.edit(
    "the beginning of the text",
    "Once the text is longer than block_size you show the model its beginning, so every new token "
    "is chosen without a look at those before it. It needs the last block_size tokens.",
    ("idx[:, -block_size:]", "idx[:, :block_size]"),
)
greedies.edit(
    "one token less than fits",
    "You show the model block_size - 1 tokens where block_size would fit.",
    ("idx[:, -block_size:]", "idx[:, -max(1, block_size - 1) :]"),
)
greedies.edit(
    "only the last token is read",
    "You show the model the last token alone. It needs the text before it as well, up to "
    "block_size tokens.",
    ("idx[:, -block_size:]", "idx[:, -1:]"),
)
greedies.edit(
    "the context starts again when it is full",
    "When the context is full you begin a new one with a single token. Let the window move on "
    "token by token instead.",
    ("idx[:, -block_size:]", "idx[:, -((idx.size(1) - 1) % block_size + 1) :]"),
)
greedies.edit(
    "the scores of the first position",
    "You choose from the scores at the first position, which guess the second token. The last "
    "position guesses the next one.",
    ("logits[:, -1]", "logits[:, 0]"),
)
greedies.edit(
    "the best score of all positions",
    "You take the best score over all positions. Only the last position's scores are about the "
    "next token.",
    ("logits[:, -1]", "logits.amax(dim=1)"),
)
greedies.edit(
    "the mean of all positions",
    "You average the scores over all positions. Only the last position's scores are about the next "
    "token.",
    ("logits[:, -1]", "logits.mean(dim=1)"),
)
greedies.edit(
    "the worst token",
    "You choose the token with the lowest score.",
    ("argmax", "argmin"),
)
greedies.edit(
    "the first row chooses for all",
    "All rows get the token of the first. Each row has its own scores.",
    ("logits[:, -1].argmax(dim=-1)", "logits[:1, -1].argmax(dim=-1).expand(len(idx))"),
)
greedies.edit(
    "the prompt is cut off",
    "What the model can no longer see is also gone from your result. The prompt and all new tokens "
    "are asked for.",
    ("model(idx[:, -block_size:])", "model(idx := idx[:, -block_size:])"),
)
greedies.edit(
    "only the new tokens",
    "You return the new tokens alone. The prompt belongs in front of them, [B, T + n].",
    ("return idx", "return idx[:, idx.size(1) - max_new_tokens :]"),
)
greedies.edit(
    "one token too many",
    "You write one token more than max_new_tokens.",
    ("range(max_new_tokens)", "range(max_new_tokens + 1)"),
)
greedies.edit(
    "one token too few",
    "You write one token less than max_new_tokens.",
    ("range(max_new_tokens)", "range(max_new_tokens - 1)"),
)
greedies.edit(
    "the prompt counts as written",
    "You stop when prompt and new tokens together are max_new_tokens. That many new ones are asked "
    "for.",
    ("range(max_new_tokens)", "range(max_new_tokens - idx.size(1))"),
)
greedies.edit(
    "it stops at block_size",
    "You stop writing once the text is as long as block_size. Go on: the model then sees the last "
    "block_size tokens.",
    ("range(max_new_tokens)", "range(min(max_new_tokens, block_size - idx.size(1)))"),
)
greedies.edit(
    "new tokens go in front",
    "You put each new token in front of the text. It comes last.",
    ("[idx, new[:, None]]", "[new[:, None], idx]"),
)


@greedies.mistake(
    "one look for all tokens",
    "You ask the model once and repeat its answer. Each new token changes the text, so the model "
    "has to be asked again.",
)
def greedy(model, idx, max_new_tokens, block_size):
    new = model(idx[:, -block_size:])[:, -1].argmax(dim=-1)
    return torch.cat([idx, new[:, None].expand(-1, max_new_tokens)], dim=1)


@greedies.mistake(
    "it ends at the id 0",
    "You end a text at the id 0, as if it were an end token. It is an id like others here, and all "
    "rows get max_new_tokens new ones.",
)
def greedy(model, idx, max_new_tokens, block_size):
    for _ in range(max_new_tokens):
        new = model(idx[:, -block_size:])[:, -1].argmax(dim=-1, keepdim=True)
        idx = torch.cat([idx, new], dim=1)
        if (new == 0).any():
            break
    return idx


@greedies.mistake(
    "the prompt is overwritten",
    "You move the window within the tensor you were given, and so overwrite the prompt. Make new "
    "tensors.",
)
def greedy(model, idx, max_new_tokens, block_size):
    text, window = idx, idx[:, -block_size:]
    for _ in range(max_new_tokens):
        new = model(window)[:, -1].argmax(dim=-1)
        text = torch.cat([text, new[:, None]], dim=1)
        if window.size(1) < block_size:
            window = torch.cat([window, new[:, None]], dim=1)
        else:
            window[:, :-1] = window[:, 1:].clone()
            window[:, -1] = new
    return text


greedies.edit(
    "the window is as long as the prompt",
    "The model sees only as many tokens as the prompt has. The text grows, and so does what the "
    "model reads, up to block_size.",
    (
        "    for _ in range(max_new_tokens):\n",
        "    seen = min(idx.size(1), block_size)\n    for _ in range(max_new_tokens):\n",
    ),
    ("idx[:, -block_size:]", "idx[:, -seen:]"),
)
greedies.edit(
    "half the text is dropped when it is full",
    "Where the text is longer than block_size you keep less of it than fits. The model reads the "
    "last block_size tokens.",
    (
        "idx[:, -block_size:]",
        "idx if idx.size(1) <= block_size else idx[:, -max(1, block_size // 2) :]",
    ),
)
greedies.edit(
    "the last token may not come again",
    "You forbid the token that came last. Greedy takes the best, also if it repeats itself.",
    (
        "logits[:, -1].argmax(dim=-1)",
        'logits[:, -1].scatter(1, idx[:, -1:], float("-inf")).argmax(dim=-1)',
    ),
)


@greedies.mistake(
    "after the first step the newest token alone",
    "After the first step the model reads only its own last token, as if a cache held the others. "
    "There is none: give it the text, up to block_size tokens.",
)
def greedy(model, idx, max_new_tokens, block_size):
    seen = idx[:, -block_size:]
    for _ in range(max_new_tokens):
        seen = model(seen)[:, -1].argmax(dim=-1, keepdim=True)
        idx = torch.cat([idx, seen], dim=1)
    return idx


@greedies.mistake(
    "tokens are drawn",
    "You draw each token at random. Greedy takes the one with the largest logit.",
)
def greedy(model, idx, max_new_tokens, block_size):
    for _ in range(max_new_tokens):
        chances = model(idx[:, -block_size:])[:, -1].softmax(dim=-1)
        idx = torch.cat([idx, torch.multinomial(chances, 1)], dim=1)
    return idx
