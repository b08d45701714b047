"""Right answers and mistakes of lesson 13, soft prompts and bottlenecks."""

# mypy: ignore-errors
# ruff: noqa: F811, B905, RUF059

import math

import numpy as np
import torch
import torch.nn.functional as F

from lessons.grading.task import Bank

# 13.1 prepend_prompt

prompts = Bank()


@prompts.right
def prepend_prompt(embeddings, prompt, targets):
    B, n = embeddings.size(0), prompt.size(0)
    x = torch.cat([prompt.expand(B, -1, -1), embeddings], dim=1)
    skipped = torch.full((B, n), -100, dtype=torch.int64)
    return x, torch.cat([skipped, targets], dim=1)


@prompts.right
def prepend_prompt(embeddings, prompt, targets):
    B, T, C = embeddings.shape
    n = len(prompt)
    x = torch.empty(B, n + T, C, dtype=embeddings.dtype)
    y = torch.zeros(B, n + T, dtype=torch.long)
    for b in range(B):
        for i in range(n):
            x[b, i] = prompt[i]
            y[b, i] = -100
        for t in range(T):
            x[b, n + t] = embeddings[b, t]
            y[b, n + t] = targets[b, t]
    return [x, y]


@prompts.right
def prepend_prompt(embeddings, prompt, targets):
    rows = [torch.vstack((prompt, row)) for row in embeddings]
    return torch.stack(rows), F.pad(targets, (prompt.shape[0], 0), value=-100)


@prompts.right
def prepend_prompt(embeddings, prompt, targets):
    repeated = prompt.unsqueeze(0).repeat(embeddings.shape[0], 1, 1)
    front = -100 * torch.ones_like(repeated[..., 0], dtype=targets.dtype)
    return torch.hstack((repeated, embeddings)), torch.hstack((front, targets))


prompts.edit(
    "prompt behind the text",
    "You put the prompt after the text, where no token of the text can see it. It stands in front.",
    ("[prompt.expand(B, -1, -1), embeddings]", "[embeddings, prompt.expand(B, -1, -1)]"),
    ("[skipped, targets]", "[targets, skipped]"),
)
prompts.edit(
    "-100 behind the targets",
    "The prompt stands in front of the text, but your -100 come after the targets: everything "
    "would be guessed at the wrong place.",
    ("[skipped, targets]", "[targets, skipped]"),
)
prompts.edit(
    "0 in front of the targets",
    "You put 0 in front of the targets, an id that would be learned. The loss skips -100.",
    ("-100, dtype", "0, dtype"),
)
prompts.edit(
    "-1 in front of the targets",
    "You put -1 in front of the targets. The loss skips -100.",
    ("-100, dtype", "-1, dtype"),
)
prompts.edit(
    "targets one place too early",
    "Your targets stand one place too early: there are n of -100 in front, as many as there are "
    "vectors in the prompt.",
    ("[skipped, targets]", "[skipped[:, 1:], targets, skipped[:, :1]]"),
)
prompts.edit(
    "targets unchanged",
    "You return the targets as they were, [B, T]. They need a -100 for each vector of the prompt.",
    ("torch.cat([skipped, targets], dim=1)", "targets"),
)
prompts.edit(
    "floating-point targets",
    "Your targets are floating-point numbers. They are ids, int64.",
    ("torch.cat([skipped, targets], dim=1)", "torch.cat([skipped.float(), targets], dim=1)"),
)
prompts.edit(
    "prompt cut off from its gradient",
    "The numbers are right, but no gradient reaches the prompt: detach, .data and torch.tensor cut "
    "it off, and a prompt without a gradient is not trained.",
    ("[prompt.expand", "[prompt.detach().expand"),
)
prompts.edit(
    "text cut off from its gradient",
    "The numbers are right, but no gradient reaches the embeddings of the text.",
    ("-1), embeddings]", "-1), embeddings.detach()]"),
)
prompts.edit(
    "prompt backwards",
    "The vectors of your prompt come in reverse order.",
    ("[prompt.expand", "[prompt.flip(0).expand"),
)
prompts.edit(
    "fp32 whatever comes in",
    "Your result is in fp32 whatever comes in. It has the number format of the embeddings.",
    ("embeddings], dim=1)", "embeddings], dim=1).float()"),
)
prompts.edit(
    "prompt in the first row alone",
    "Only the first row gets the prompt, the others get zeros. It stands before every row.",
    (
        "prompt.expand(B, -1, -1)",
        "torch.cat([prompt[None], torch.zeros(B - 1, n, prompt.size(1), dtype=prompt.dtype)])",
    ),
)
prompts.edit(
    "vectors repeated one by one",
    "You repeat each vector B times and then cut, so that the rows get different parts of the "
    "prompt. Each row gets the whole prompt.",
    (
        "prompt.expand(B, -1, -1)",
        "prompt.repeat_interleave(B, dim=0).reshape(B, n, -1)",
    ),
)


@prompts.mistake(
    "written over the text",
    "You write the prompt over the first n tokens. It stands before the text and makes the row "
    "longer.",
)
def prepend_prompt(embeddings, prompt, targets):
    n, T = len(prompt), embeddings.size(1)
    x, y = embeddings.clone(), targets.clone()
    x[:, :n] = prompt[:T]
    y[:, :n] = -100
    return x, y


@prompts.mistake(
    "added to the text",
    "You add the prompt to the first embeddings. It stands before them as vectors of its own.",
)
def prepend_prompt(embeddings, prompt, targets):
    B, T, C = embeddings.shape
    n = len(prompt)
    x = torch.cat([embeddings, torch.zeros(B, n, C, dtype=embeddings.dtype)], dim=1)
    front = torch.cat([prompt, torch.zeros(T, C, dtype=prompt.dtype)])
    skipped = torch.full((B, n), -100)
    return x + front, torch.cat([skipped, targets], dim=1)


@prompts.mistake(
    "targets in the caller's tensor",
    "The result is right, but you also write into the caller's targets.",
)
def prepend_prompt(embeddings, prompt, targets):
    B, n = len(embeddings), len(prompt)
    x = torch.cat([prompt.expand(B, -1, -1), embeddings], dim=1)
    y = torch.cat([torch.full((B, n), -100), targets], dim=1)
    targets[:, 0] = -100
    return x, y


# 13.2 prefix_attention

prefixes = Bank()


@prefixes.right
def prefix_attention(q, k, v, prefix_k, prefix_v):
    B, H, T, D = q.shape
    n = prefix_k.size(1)
    keys = torch.cat([prefix_k.expand(B, H, n, D), k], dim=2)
    values = torch.cat([prefix_v.expand(B, H, n, D), v], dim=2)
    scores = q @ keys.transpose(-2, -1) / math.sqrt(D)
    seen = torch.ones(T, n + T, dtype=torch.bool).tril(n)
    scores = scores.masked_fill(~seen, -math.inf)
    return scores.softmax(dim=-1) @ values


@prefixes.right
def prefix_attention(q, k, v, prefix_k, prefix_v):
    rows = []
    for b in range(q.shape[0]):
        heads = []
        for h in range(q.shape[1]):
            tokens = []
            for t in range(q.shape[2]):
                keys = torch.cat((prefix_k[h], k[b, h, : t + 1]))
                values = torch.cat((prefix_v[h], v[b, h, : t + 1]))
                weights = torch.softmax(keys @ q[b, h, t] / q.shape[3] ** 0.5, dim=0)
                tokens.append((weights[:, None] * values).sum(0))
            heads.append(torch.stack(tokens))
        rows.append(torch.stack(heads))
    return torch.stack(rows)


@prefixes.right
def prefix_attention(q, k, v, prefix_k, prefix_v):
    q = q * q.size(-1) ** -0.5
    to_text = torch.einsum("bhtd,bhsd->bhts", q, k)
    to_prefix = torch.einsum("bhtd,hnd->bhtn", q, prefix_k)
    later = torch.ones_like(to_text[0, 0], dtype=torch.bool).triu(diagonal=1)
    to_text = torch.where(later, torch.finfo(q.dtype).min, to_text)
    top = torch.maximum(to_text.amax(-1), to_prefix.amax(-1)).detach()[..., None]
    e_text, e_prefix = (to_text - top).exp(), (to_prefix - top).exp()
    total = e_text.sum(-1, keepdim=True) + e_prefix.sum(-1, keepdim=True)
    mixed = torch.einsum("bhts,bhsd->bhtd", e_text, v)
    return (mixed + torch.einsum("bhtn,hnd->bhtd", e_prefix, prefix_v)) / total


@prefixes.right
def prefix_attention(q, k, v, prefix_k, prefix_v):
    T, D = q.shape[-2:]
    future = torch.full((T, T), -torch.inf, dtype=q.dtype).triu(1)
    text = q @ k.mT / math.sqrt(D) + future
    prefix = q @ prefix_k.mT / math.sqrt(D)
    lam = torch.sigmoid(prefix.logsumexp(-1, keepdim=True) - text.logsumexp(-1, keepdim=True))
    return (1 - lam) * (text.softmax(-1) @ v) + lam * (prefix.softmax(-1) @ prefix_v)


@prefixes.right
def prefix_attention(q, k, v, prefix_k, prefix_v):
    B, H, T, D = q.shape
    n = prefix_k.shape[1]
    more_k = prefix_k[None].repeat(B, 1, 1, 1)
    more_v = prefix_v[None].repeat(B, 1, 1, 1)
    keys, values = torch.cat([k, more_k], dim=-2), torch.cat([v, more_v], dim=-2)
    mask = torch.cat([torch.tril(torch.ones(T, T)), torch.ones(T, n)], dim=1)
    scores = torch.matmul(q, keys.permute(0, 1, 3, 2)) / D**0.5
    scores = scores.masked_fill(mask == 0, -1e9)
    return torch.matmul(torch.softmax(scores, dim=-1), values)


prefixes.edit(
    "mask not moved by the prefix",
    "Your mask counts the prefix among the tokens: the first query sees only the first column. The "
    "diagonal has to be moved right by n, so that every query sees the whole prefix.",
    (".tril(n)", ".tril()"),
)
prefixes.edit(
    "own token hidden",
    "No token sees itself in your mask. It sees the text up to and including its own place.",
    (".tril(n)", ".tril(n - 1)"),
)
prefixes.edit(
    "one token ahead",
    "Each token sees the one after it: the diagonal is one too far to the right.",
    (".tril(n)", ".tril(n + 1)"),
)
prefixes.edit(
    "later tokens seen",
    "Each token sees the whole text, also what comes after it. Hide that.",
    ("masked_fill(~seen, -math.inf)", "masked_fill(~seen & False, -math.inf)"),
)
prefixes.edit(
    "mask the wrong way round",
    "You hide what a token may see and show what it may not: masked_fill fills where the mask is "
    "True.",
    ("masked_fill(~seen", "masked_fill(seen.roll(1, 1)"),
)
prefixes.edit(
    "scores not scaled",
    "You do not divide the scores by the square root of the head size.",
    (" / math.sqrt(D)", ""),
)
prefixes.edit(
    "scores divided by the head size",
    "You divide the scores by D. It is the square root of D.",
    ("math.sqrt(D)", "D"),
)
prefixes.edit(
    "scaled by the width of all heads",
    "You divide by the square root of the width of all heads together. D is the size of one head.",
    ("math.sqrt(D)", "math.sqrt(H * D)"),
)
prefixes.edit(
    "scaled by the number of keys",
    "You divide by the square root of the number of keys. D, the size of a head, belongs there.",
    ("math.sqrt(D)", "math.sqrt(n + T)"),
)
prefixes.edit(
    "softmax over the queries",
    "Your softmax runs over the queries. The weights of each query, over the keys, sum to 1.",
    ("softmax(dim=-1)", "softmax(dim=-2)"),
)
prefixes.edit(
    "hidden keys get score 0",
    "You set hidden scores to 0, which is a score like any other: softmax gives it weight. Set "
    "them to minus infinity.",
    ("-math.inf", "0.0"),
)
prefixes.edit(
    "hidden keys not low enough",
    "You set hidden scores to a number that visible ones can fall below. Set them to minus "
    "infinity.",
    ("-math.inf", "-50.0"),
)
prefixes.edit(
    "masked after the softmax, weights divided by their sum",
    "You hide keys after the softmax and divide by the sum of what is left. Where a hidden score "
    "is far above the others, exp leaves 0 for those, and 0 / 0. Hide the scores before the "
    "softmax.",
    ("    scores = scores.masked_fill(~seen, -math.inf)\n", ""),
    ("return scores.softmax(dim=-1) @",
     "w = scores.softmax(dim=-1) * seen\n    return w / w.sum(dim=-1, keepdim=True) @"),
)  # fmt: skip
prefixes.edit(
    "a finite number is added to hidden scores",
    "You subtract 100 from hidden scores. Where such a score is in the hundreds it is still seen: "
    "use -inf.",
    ("scores.masked_fill(~seen, -math.inf)", "scores - 100.0 * ~seen"),
)
prefixes.edit(
    "the prefix's scores are not divided",
    "You divide the text's scores by sqrt(D) and leave those of the prefix as they are.",
    ("    seen = ", "    scores = scores * torch.cat([torch.full((n,), math.sqrt(D)), "
     "torch.ones(k.size(2))]).to(q.dtype)\n    seen = "),
)  # fmt: skip
prefixes.edit(
    "keys behind, values in front",
    "You put the prefix after the keys and in front of the values, so the weights meet values of "
    "other tokens.",
    ("torch.cat([prefix_k.expand(B, H, n, D), k], dim=2)",
     "torch.cat([k, prefix_k.expand(B, H, n, D)], dim=2)"),
)  # fmt: skip
prefixes.edit(
    "heads mixed over the batch",
    "You repeat each head of the prefix B times in a row and cut that into texts, so texts get "
    "other heads' prefixes. Every text gets all of them: expand.",
    ("prefix_k.expand(B, H, n, D)", "prefix_k.repeat_interleave(B, 0).reshape(B, H, n, D)"),
    ("prefix_v.expand(B, H, n, D)", "prefix_v.repeat_interleave(B, 0).reshape(B, H, n, D)"),
)
prefixes.edit(
    "a window, not a past",
    "Each of your tokens sees n + 1 columns: later tokens no longer see the beginning of the "
    "prefix. All see the whole prefix.",
    (".tril(n)", ".tril(n).triu()"),
)
prefixes.edit(
    "masked after the softmax",
    "You hide keys after the softmax, so the weights that are left no longer sum to 1. Hide the "
    "scores before it.",
    ("    scores = scores.masked_fill(~seen, -math.inf)\n", ""),
    ("scores.softmax(dim=-1) @", "(scores.softmax(dim=-1) * seen) @"),
)
prefixes.edit(
    "prefix behind, mask as if in front",
    "You put the prefix after the text, but the mask stands as if it were in front.",
    ("[prefix_k.expand(B, H, n, D), k]", "[k, prefix_k.expand(B, H, n, D)]"),
    ("[prefix_v.expand(B, H, n, D), v]", "[v, prefix_v.expand(B, H, n, D)]"),
)
prefixes.edit(
    "first head's prefix for all",
    "You give all heads the prefix of the first. Each head has its own.",
    ("[prefix_k.expand", "[prefix_k[:1].expand"),
    ("[prefix_v.expand", "[prefix_v[:1].expand"),
)
prefixes.edit(
    "prefix seen one by one",
    "You hide parts of the prefix as if it were text: token t sees only its first t + 1 vectors. "
    "Every token sees the whole prefix.",
    (
        "torch.ones(T, n + T, dtype=torch.bool).tril(n)",
        "torch.cat([torch.ones(T, m, dtype=torch.bool).tril() for m in (n, T)], dim=1)",
    ),
)
prefixes.edit(
    "text not seen",
    "Your tokens see only the prefix, not the text.",
    ("torch.ones(T, n + T, dtype=torch.bool).tril(n)", "(torch.arange(n + T) < n).expand(T, -1)"),
)
prefixes.edit(
    "prefix not seen",
    "Your tokens see the text alone: the prefix is hidden.",
    (".tril(n)", ".tril(n) & (torch.arange(n + T) >= n)"),
)
prefixes.edit(
    "prefix cut off from its gradient",
    "The numbers are right, but no gradient reaches the prefix, which is what should be trained.",
    ("[prefix_k.expand", "[prefix_k.detach().expand"),
    ("[prefix_v.expand", "[prefix_v.detach().expand"),
)
prefixes.edit(
    "keys cut off from their gradient",
    "The numbers are right, but no gradient reaches the prefix's keys.",
    ("[prefix_k.expand", "[prefix_k.detach().expand"),
)
prefixes.edit(
    "weights returned too",
    "You return the weights as well. Return the mixed values alone.",
    (
        "return scores.softmax(dim=-1) @ values",
        "return scores.softmax(dim=-1) @ values, scores.softmax(dim=-1)",
    ),
)
prefixes.edit(
    "heads merged",
    "You merge the heads to [B, T, H D]. The result stays [B, H, T, D], like q.",
    (
        "return scores.softmax(dim=-1) @ values",
        "return (scores.softmax(dim=-1) @ values).transpose(1, 2).flatten(2)",
    ),
)
prefixes.edit(
    "computed in fp32",
    "You compute in fp32 also where the inputs are in fp64, and lose half of the digits.",
    ("scores.softmax(dim=-1)", "scores.float().softmax(dim=-1).to(values.dtype)"),
)
prefixes.edit(
    "prefix in the first row alone",
    "Only the first text of the batch gets the prefix; the others find zeros there. It stands "
    "before all of them.",
    ("[prefix_k.expand(B, H, n, D)", "[prefix_k * (torch.arange(B) == 0)[:, None, None, None]"),
    ("[prefix_v.expand(B, H, n, D)", "[prefix_v * (torch.arange(B) == 0)[:, None, None, None]"),
)


@prefixes.mistake(
    "keys and values of the prefix exchanged",
    "The prefix's keys and values are exchanged.",
)
def prefix_attention(q, k, v, prefix_k, prefix_v):
    n, T = prefix_k.size(1), q.size(2)
    keys = torch.cat([prefix_v.expand(len(q), -1, -1, -1), k], dim=2)
    values = torch.cat([prefix_k.expand(len(q), -1, -1, -1), v], dim=2)
    scores = q @ keys.mT / math.sqrt(q.size(3))
    seen = torch.ones(T, n + T, dtype=torch.bool).tril(n)
    return scores.masked_fill(~seen, -math.inf).softmax(-1) @ values


@prefixes.mistake(
    "two attentions added",
    "You attend to the prefix and to the text separately and add the two, so that the weights sum "
    "to 2. One softmax runs over both.",
)
def prefix_attention(q, k, v, prefix_k, prefix_v):
    T, D = q.shape[-2:]
    later = torch.ones(T, T, dtype=torch.bool).triu(1)
    text = (q @ k.mT / math.sqrt(D)).masked_fill(later, -math.inf).softmax(-1)
    return text @ v + (q @ prefix_k.mT / math.sqrt(D)).softmax(-1) @ prefix_v


@prefixes.mistake(
    "two attentions averaged",
    "You attend to the prefix and to the text separately and take the mean. How much goes to the "
    "prefix has to come out of one softmax over both.",
)
def prefix_attention(q, k, v, prefix_k, prefix_v):
    T, D = q.shape[-2:]
    later = torch.ones(T, T, dtype=torch.bool).triu(1)
    text = (q @ k.mT / math.sqrt(D)).masked_fill(later, -math.inf).softmax(-1)
    return (text @ v + (q @ prefix_k.mT / math.sqrt(D)).softmax(-1) @ prefix_v) / 2


@prefixes.mistake(
    "exponentials overflow",
    "The exponential of a score in the hundreds is too large, and inf / inf is NaN. Subtract "
    "each row's largest score first; softmax does.",
)
def prefix_attention(q, k, v, prefix_k, prefix_v):
    B, H, T, D = q.shape
    n = prefix_k.size(1)
    keys = torch.cat([prefix_k.expand(B, H, n, D), k], dim=2)
    values = torch.cat([prefix_v.expand(B, H, n, D), v], dim=2)
    e = (q @ keys.mT / math.sqrt(D)).exp().tril(n)
    return e / e.sum(-1, keepdim=True) @ values


@prefixes.mistake(
    "largest score of the whole tensor subtracted",
    "You subtract the largest score of the whole tensor: in rows far below it all exponentials "
    "become 0, and 0 / 0 is NaN. Subtract each row's own largest score.",
)
def prefix_attention(q, k, v, prefix_k, prefix_v):
    B, H, T, D = q.shape
    n = prefix_k.size(1)
    keys = torch.cat([prefix_k.expand(B, H, n, D), k], dim=2)
    values = torch.cat([prefix_v.expand(B, H, n, D), v], dim=2)
    scores = q @ keys.mT / math.sqrt(D)
    e = (scores - scores.max()).exp().tril(n)
    return e / e.sum(-1, keepdim=True) @ values


# 13.3 adapter_forward

adapters = Bank()


@adapters.right
def adapter_forward(h, W_down, b_down, W_up, b_up):
    z = h @ W_down.T + b_down
    z = F.gelu(z, approximate="tanh")
    return h + (z @ W_up.T + b_up)


@adapters.right
def adapter_forward(h, W_down, b_down, W_up, b_up):
    z = torch.einsum("...c,rc->...r", h, W_down) + b_down
    g = 0.5 * z * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))
    return torch.einsum("...r,cr->...c", g, W_up) + b_up + h


@adapters.right
def adapter_forward(h, W_down, b_down, W_up, b_up):
    out = h + b_up
    for i in range(W_down.shape[0]):
        z = (h * W_down[i]).sum(-1, keepdim=True) + b_down[i]
        u = 0.7978845608028654 * z * (1.0 + 0.044715 * z * z)
        out = out + z * torch.sigmoid(2 * u) * W_up[:, i]
    return out


@adapters.right
def adapter_forward(h, W_down, b_down, W_up, b_up):
    flat = h.reshape(-1, h.shape[-1])
    z = torch.addmm(b_down, flat, W_down.t())
    z = torch.nn.GELU("tanh")(z)
    return torch.addmm(b_up, z, W_up.t()).reshape(h.shape) + h


adapters.edit(
    "nothing of h kept",
    "You return what comes through the bottleneck alone. It is added to h.",
    ("return h + (", "return ("),
)
adapters.edit(
    "exact GELU",
    "You use the exact GELU. GPT-2's, and so this one's, is the tanh form: the two differ in the "
    "fourth decimal.",
    (', approximate="tanh"', ""),
)
adapters.edit(
    "no GELU",
    "There is nothing between your two matrices, so together they are one linear map, as in LoRA. "
    "GELU belongs between them.",
    ('F.gelu(z, approximate="tanh")', "z"),
)
adapters.edit(
    "ReLU",
    "You use ReLU between the matrices; it is GELU in its tanh form.",
    ('F.gelu(z, approximate="tanh")', "F.relu(z)"),
)
adapters.edit(
    "SiLU",
    "You use SiLU between the matrices; it is GELU in its tanh form.",
    ('F.gelu(z, approximate="tanh")', "F.silu(z)"),
)
adapters.edit(
    "tanh",
    "You use tanh alone between the matrices; it is GELU in its tanh form.",
    ('F.gelu(z, approximate="tanh")', "torch.tanh(z)"),
)
adapters.edit(
    "sigmoid approximation",
    "You approximate GELU by z sigmoid(1.702 z). Use the tanh form.",
    ('F.gelu(z, approximate="tanh")', "z * torch.sigmoid(1.702 * z)"),
)
adapters.edit(
    "b_down missing",
    "You leave out b_down.",
    (" + b_down", ""),
)
adapters.edit(
    "b_up missing",
    "You leave out b_up.",
    (" + b_up)", ")"),
)
adapters.edit(
    "b_down behind the GELU",
    "You add b_down after the GELU. It is added before.",
    (" + b_down", ""),
    ('approximate="tanh")', 'approximate="tanh") + b_down'),
)
adapters.edit(
    "GELU behind W_up",
    "Your GELU stands after the second matrix. It stands between the two.",
    ('    z = F.gelu(z, approximate="tanh")\n', ""),
    ("(z @ W_up.T + b_up)", 'F.gelu(z @ W_up.T + b_up, approximate="tanh")'),
)
adapters.edit(
    "GELU twice",
    "You apply GELU after both matrices. It stands only between them.",
    ("(z @ W_up.T + b_up)", 'F.gelu(z @ W_up.T + b_up, approximate="tanh")'),
)
adapters.edit(
    "W_down not transposed",
    "You multiply by W_down as it is. It is [r, C], so h is multiplied by its transpose; only "
    "where r = C does the other fit too, and then it computes something else.",
    ("W_down.T", "W_down"),
)
adapters.edit(
    "W_up not transposed",
    "You multiply by W_up as it is. It is [C, r], so the r numbers are multiplied by its "
    "transpose; only where r = C does the other fit too, and then it computes something else.",
    ("W_up.T", "W_up"),
)
adapters.edit(
    "GELU around everything",
    "You take the GELU of the sum as well. h + W_up gelu(..) + b_up is the result as it is.",
    ("return h + (z @ W_up.T + b_up)",
     'return F.gelu(h + (z @ W_up.T + b_up), approximate="tanh")'),
)  # fmt: skip
adapters.edit(
    "GELU before W_down",
    "You take the GELU of h, before W_down. It stands between the two matrices.",
    ("z = h @ W_down.T + b_down", 'z = F.gelu(h, approximate="tanh") @ W_down.T + b_down'),
    ('    z = F.gelu(z, approximate="tanh")\n', ""),
)
adapters.edit(
    "subtracted",
    "You subtract what the bottleneck gives. It is added to h.",
    ("return h + (", "return h - ("),
)
adapters.edit(
    "reshaped, not transposed",
    "You reshape the matrices to the shapes of their transposes. That keeps the numbers in their "
    "order; .T exchanges rows and columns.",
    ("W_down.T", "W_down.reshape(h.size(-1), -1)"),
    ("W_up.T", "W_up.reshape(-1, h.size(-1))"),
)
adapters.edit(
    "W_down used twice",
    "You go up with W_down as well, as if W_up were its transpose.",
    ("W_up.T", "W_down"),
)
adapters.edit(
    "exponentials overflow",
    "You build tanh from exp, which gives infinity for large numbers, and infinity / infinity is "
    "no number. torch.tanh does not overflow.",
    ('    z = F.gelu(z, approximate="tanh")\n',
     "    u = math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)\n"
     "    z = z * (0.5 + 0.5 * (u.exp() - (-u).exp()) / (u.exp() + (-u).exp()))\n"),
)  # fmt: skip
adapters.edit(
    "h added twice",
    "You add h twice.",
    ("return h + (", "return 2 * h + ("),
)
adapters.edit(
    "halved",
    "You halve the sum of h and what is added to it.",
    ("return h + (z @ W_up.T + b_up)", "return (h + z @ W_up.T + b_up) / 2"),
)
adapters.edit(
    "divided by r",
    "You divide what is added by r. Unlike LoRA's update, this one has no scale.",
    ("(z @ W_up.T + b_up)", "(z @ W_up.T + b_up) / len(W_down)"),
)
adapters.edit(
    "bottleneck cut off from h's gradient",
    "The numbers are right, but the gradient of h misses the way through the bottleneck.",
    ("z = h @", "z = h.detach() @"),
)
adapters.edit(
    "residual cut off from its gradient",
    "The numbers are right, but the gradient of h misses the way past the bottleneck.",
    ("return h + (", "return h.detach() + ("),
)
adapters.edit(
    "written into h",
    "You add into h itself, which belongs to the caller. Make a new tensor.",
    ("return h + (z @ W_up.T + b_up)", "h += z @ W_up.T + b_up\n    return h"),
)
adapters.edit(
    "computed in fp32",
    "You compute in fp32 also where the inputs are in fp64, and lose half of the digits.",
    ("h @ W_down.T + b_down", "h.float() @ W_down.float().T + b_down.float()"),
    ("(z @ W_up.T + b_up)", "(z.to(h.dtype) @ W_up.T + b_up)"),
)


@adapters.mistake(
    "GELU's constant mistyped",
    "The constant in your GELU is not 0.044715.",
)
def adapter_forward(h, W_down, b_down, W_up, b_up):
    z = h @ W_down.T + b_down
    z = 0.5 * z * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.44715 * z**3)))
    return h + z @ W_up.T + b_up


# 13.4 nearest_tokens

neighbours = Bank()


@neighbours.right
def nearest_tokens(prompt, embeddings, k):
    a = prompt / prompt.norm(dim=1, keepdim=True)
    b = embeddings / embeddings.norm(dim=1, keepdim=True)
    return (a @ b.T).topk(k, dim=1).indices


@neighbours.right
def nearest_tokens(prompt, embeddings, k):
    cosines = F.cosine_similarity(prompt[:, None], embeddings[None], dim=-1)
    return torch.argsort(cosines, dim=-1, descending=True)[:, :k]


@neighbours.right
def nearest_tokens(prompt, embeddings, k):
    found = torch.zeros(len(prompt), k, dtype=torch.long)
    for i, vector in enumerate(prompt.tolist()):
        scores = []
        for token, other in enumerate(embeddings.tolist()):
            dot = sum(x * y for x, y in zip(vector, other))
            size = math.sqrt(sum(x * x for x in vector)) * math.sqrt(sum(y * y for y in other))
            scores.append((-dot / size, token))
        scores.sort()
        for j in range(k):
            found[i, j] = scores[j][1]
    return found


@neighbours.right
def nearest_tokens(prompt, embeddings, k):
    directions = embeddings.numpy() / np.sqrt((embeddings.numpy() ** 2).sum(1))[:, None]
    return torch.from_numpy(np.argsort(-(prompt.numpy() @ directions.T), axis=1)[:, :k].copy())


@neighbours.right
def nearest_tokens(prompt, embeddings, k):
    a, b = F.normalize(prompt, dim=-1), F.normalize(embeddings, dim=-1)
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").topk(k, largest=False)[1]


neighbours.edit(
    "plain products",
    "You compare plain dot products, so that long embeddings win. The cosine divides by the "
    "lengths.",
    ("b = embeddings / embeddings.norm(dim=1, keepdim=True)", "b = embeddings"),
)
neighbours.edit(
    "worst first",
    "You return the tokens that are least alike. The best come first.",
    ("topk(k, dim=1)", "topk(k, dim=1, largest=False)"),
)
neighbours.edit(
    "best last",
    "These are the right tokens, but the best one is last in each row.",
    (".indices", ".indices.flip(1)"),
)
neighbours.edit(
    "sorted by id",
    "These are the right tokens, but they are sorted by id. The best come first.",
    (".indices", ".indices.sort(dim=1).values"),
)
neighbours.edit(
    "cosines, not ids",
    "You return the cosines. Return the ids of the tokens.",
    (".indices", ".values"),
)
neighbours.edit(
    "sign ignored",
    "You take the absolute value of the cosine: a vector that points the opposite way counts as "
    "near.",
    ("(a @ b.T)", "(a @ b.T).abs()"),
)
neighbours.edit(
    "normalised along the wrong dimension",
    "You divide the embeddings by the lengths of their columns. Each token's own vector is to have "
    "length 1.",
    ("embeddings.norm(dim=1, keepdim=True)", "embeddings.norm(dim=0, keepdim=True)"),
)
neighbours.edit(
    "divided by the squared length",
    "You divide by the squared length of the embeddings, so that short ones win.",
    ("embeddings.norm(dim=1, keepdim=True)", "embeddings.square().sum(dim=1, keepdim=True)"),
)
neighbours.edit(
    "divided by the sum of absolute values",
    "You divide by the sum of the absolute values. The cosine divides by the length, the root of "
    "the sum of squares.",
    ("embeddings.norm(dim=1, keepdim=True)", "embeddings.abs().sum(dim=1, keepdim=True)"),
)
neighbours.edit(
    "best one left out",
    "You leave out the best token, as one does when a vector is compared with a table that has it. "
    "A soft prompt is not in the table.",
    ("topk(k, dim=1).indices", "topk(min(k + 1, len(b)), dim=1).indices[:, 1:]"),
)
neighbours.edit(
    "one row a rank",
    "Your result is [k, n]. It has a row for each vector of the prompt, [n, k].",
    (".indices", ".indices.T"),
)
neighbours.edit(
    "nearest vectors of the prompt",
    "You look for the prompt's vectors that are nearest to the tokens, not for the tokens that are "
    "nearest to each vector.",
    ("(a @ b.T).topk(k, dim=1).indices", "(a @ b.T).argsort(dim=0, descending=True).T[:, :k]"),
)
neighbours.edit(
    "one list for the whole prompt",
    "You look for the tokens nearest to the mean of the prompt. Each of its vectors has neighbours "
    "of its own.",
    ("(a @ b.T)", "(a @ b.T).mean(dim=0, keepdim=True).expand(len(a), -1)"),
)
neighbours.edit(
    "means subtracted",
    "You subtract the mean of each vector's numbers first: that is a correlation, not the cosine.",
    (
        "b = embeddings / embeddings.norm(dim=1, keepdim=True)",
        "b = F.normalize(embeddings - embeddings.mean(dim=1, keepdim=True), dim=1)",
    ),
)


@neighbours.mistake(
    "smallest distance",
    "You take the tokens at the smallest distance, which depends on the lengths of the vectors. "
    "The cosine depends on their directions alone.",
)
def nearest_tokens(prompt, embeddings, k):
    return torch.cdist(prompt, embeddings).topk(k, dim=1, largest=False).indices


@neighbours.mistake(
    "always the best one",
    "You repeat the best token k times. Return the k best ones, each once.",
)
def nearest_tokens(prompt, embeddings, k):
    cosines = F.normalize(prompt, dim=1) @ F.normalize(embeddings, dim=1).T
    return cosines.argmax(dim=1, keepdim=True).repeat(1, k)


@neighbours.mistake(
    "embeddings normalised in place",
    "The ids are right, but you divide the caller's table in place: the model would lose its "
    "embeddings.",
)
def nearest_tokens(prompt, embeddings, k):
    embeddings /= embeddings.norm(dim=1, keepdim=True)
    return (prompt @ embeddings.T).topk(k, dim=1).indices


# 13.5 count_prefix

counts = Bank()


@counts.right
def count_prefix(n_layer, n_embd, n_tokens, hidden=None):
    made = 2 * n_layer * n_embd
    if hidden is None:
        return made * n_tokens
    return n_tokens * n_embd + (n_embd + 1) * hidden + (hidden + 1) * made


@counts.right
def count_prefix(n_layer, n_embd, n_tokens, hidden=None):
    total = 0
    if hidden:
        total += n_tokens * n_embd
        total += n_embd * hidden + hidden
        for _ in range(n_layer):
            total += 2 * (hidden * n_embd + n_embd)
    else:
        for _ in range(n_layer):
            total += n_tokens * n_embd
            total += n_tokens * n_embd
    return total


@counts.right
def count_prefix(n_layer, n_embd, n_tokens, hidden=None):
    if hidden is None:
        return np.prod([2, n_layer, n_embd, n_tokens])
    first = torch.nn.Linear(n_embd, hidden, device="meta")
    second = torch.nn.Linear(hidden, 2 * n_layer * n_embd, device="meta")
    network = sum(p.numel() for layer in (first, second) for p in layer.parameters())
    return torch.empty(n_tokens, n_embd, device="meta").numel() + network


counts.edit(
    "keys alone",
    "You count one vector for each layer. There are two, a key and a value.",
    ("2 * n_layer", "n_layer"),
)
counts.edit(
    "one layer",
    "You count the keys and values of one layer. All layers have their own.",
    ("2 * n_layer * n_embd", "2 * n_embd"),
)
counts.edit(
    "network ignored",
    "You count the prefix without the network that makes it, whatever its width is.",
    ("if hidden is None:", "if True:"),
)
counts.edit(
    "both biases missing",
    "You leave out the biases of the network.",
    ("(n_embd + 1) * hidden + (hidden + 1) * made", "n_embd * hidden + hidden * made"),
)
counts.edit(
    "first bias missing",
    "You leave out the bias of the network's first layer, one number for each hidden one.",
    ("(n_embd + 1) * hidden", "n_embd * hidden"),
)
counts.edit(
    "second bias missing",
    "You leave out the bias of the network's second layer, one number for each that comes out.",
    ("(hidden + 1) * made", "hidden * made"),
)
counts.edit(
    "vectors that go in missing",
    "You count the network alone. The n vectors that go into it are trained too.",
    ("n_tokens * n_embd + (", "("),
)
counts.edit(
    "what comes out is counted too",
    "With a network the keys and values are computed, not trained: what is trained are the n "
    "vectors of width C that go in, and the network.",
    ("n_tokens * n_embd + (", "n_tokens * made + ("),
)
counts.edit(
    "network for each token",
    "You count the network once for each token. All tokens go through the same one.",
    (
        "(n_embd + 1) * hidden + (hidden + 1) * made",
        "n_tokens * ((n_embd + 1) * hidden + (hidden + 1) * made)",
    ),
)
counts.edit(
    "network for each layer",
    "You count a first layer of the network for each of the model's layers. There is one network, "
    "which makes the keys and values of all layers.",
    ("(n_embd + 1) * hidden", "n_layer * (n_embd + 1) * hidden"),
)
counts.edit(
    "network's output as wide as its input",
    "Your network gives C numbers. It gives the keys and values of all layers, 2 L C.",
    ("(hidden + 1) * made", "(hidden + 1) * n_embd"),
)
counts.edit(
    "prompt tuning",
    "You count n vectors of width C. This is prompt tuning; a prefix has keys and values in every "
    "layer.",
    ("return made * n_tokens", "return n_embd * n_tokens"),
)
counts.edit(
    "bytes",
    "You return bytes. Count the numbers.",
    ("made * n_tokens", "4 * made * n_tokens"),
    (
        "return n_tokens * n_embd + (n_embd + 1) * hidden + (hidden + 1) * made",
        "return 4 * (n_tokens * n_embd + (n_embd + 1) * hidden + (hidden + 1) * made)",
    ),
)
counts.edit(
    "hidden width always needed",
    "Without a network hidden is None, and you compute with it all the same.",
    ("if hidden is None:", "if n_tokens < 0:"),
)
