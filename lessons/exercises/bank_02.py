"""Lesson 2's bank: attention as people write it, wrong and right."""

# ruff: noqa: F811
# mypy: ignore-errors

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

from lessons.grading.task import Bank

# 2.1 causal_mask

masks = Bank()


@masks.right
def causal_mask(n_queries, n_keys):
    queries = torch.arange(n_queries)[:, None] + (n_keys - n_queries)
    keys = torch.arange(n_keys)[None, :]
    return keys <= queries


@masks.right
def causal_mask(n_queries, n_keys):
    earlier = n_keys - n_queries
    rows = []
    for i in range(n_queries):
        rows.append([True] * (earlier + i + 1) + [False] * (n_queries - i - 1))
    return torch.tensor(rows)


@masks.right
def causal_mask(n_queries, n_keys):
    return torch.from_numpy(np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool))


@masks.right
def causal_mask(n_queries, n_keys):
    square = torch.ones(n_keys, n_keys).triu(diagonal=1)
    return (square == 0)[-n_queries:]


masks.edit(
    "first query at the first key",
    "Your first query stands at the first key. The queries are the last tokens of the text, so the "
    "last query belongs at the last key: with more keys than queries, each row sees more.",
    (" + (n_keys - n_queries)", ""),
)
masks.edit(
    "own key hidden",
    "A query does not see its own key in your mask. It may see itself and everything before it.",
    ("keys <= queries", "keys < queries"),
)
masks.edit(
    "next key visible",
    "Each query sees one key too many: the one right after it, which is the token to be guessed.",
    ("keys <= queries", "keys <= queries + 1"),
)
masks.edit(
    "later keys visible",
    "Your mask lets a query see itself and what comes after it. Compare the two positions the "
    "other way round.",
    ("keys <= queries", "keys >= queries"),
)
masks.edit(
    "True where hidden",
    "Your mask is True where a key is hidden. Here True means that the query may see the key.",
    ("keys <= queries", "keys > queries"),
)
masks.edit(
    "own key only",
    "Each query sees nothing but its own key in your mask; the keys before it are open too.",
    ("keys <= queries", "keys == queries"),
)
masks.edit(
    "numbers instead of bools",
    "The pattern is right, but it holds numbers. A mask is of dtype bool: ~mask and masked_fill "
    "need that.",
    ("keys <= queries", "(keys <= queries).float()"),
)
masks.edit(
    "a mask to be added",
    "You return 0 and minus infinity, to be added to the scores. This mask is bool: True where a "
    "query may see a key.",
    ("keys <= queries", "torch.where(keys <= queries, 0.0, float('-inf'))"),
)
masks.edit(
    "keys in rows",
    "Your rows are keys and your columns queries: the mask is transposed. Its shape is "
    "[n_queries, n_keys].",
    ("keys <= queries", "(keys <= queries).T"),
)
masks.edit(
    "a square mask",
    "You return a row for every key, also where there are fewer queries. Only the last n_queries "
    "tokens ask.",
    ("torch.arange(n_queries)[:, None] + (n_keys - n_queries)", "torch.arange(n_keys)[:, None]"),
)
masks.edit(
    "earlier keys hidden",
    "The keys before the first query are hidden in your mask. They belong to earlier tokens, which "
    "every query may see.",
    ("keys <= queries", "(keys <= queries) & (keys >= n_keys - n_queries)"),
)
masks.edit(
    "everything visible",
    "Every query sees every key in your mask, also those that come after it.",
    ("keys <= queries", "(keys <= queries) | True"),
)


@masks.mistake(
    "remembers an earlier mask",
    "You keep the first mask of a width and hand it out again for another number of queries. The "
    "shape depends on both numbers; the function may remember nothing.",
)
def causal_mask(n_queries, n_keys, known={}):  # noqa: B006
    if n_keys not in known:
        known[n_keys] = torch.ones(n_queries, n_keys).tril(n_keys - n_queries).bool()
    return known[n_keys]


@masks.mistake(
    "cut from a mask of 1024",
    "You cut the mask from one that is made for 1024 keys. There may be more.",
)
def causal_mask(n_queries, n_keys):
    mask = torch.ones(1024, 1024, dtype=torch.bool).tril()
    return mask[n_keys - n_queries : n_keys, :n_keys]


@masks.mistake(
    "only the last query sees the past",
    "Your rows are those of a square mask, but for the last. Every query sees all keys before it.",
)
def causal_mask(n_queries, n_keys):
    mask = torch.ones(n_queries, n_keys, dtype=torch.bool).tril()
    mask[-1] = True
    return mask


@masks.mistake(
    "only the last n_queries keys",
    "Each query sees at most n_queries keys, as with a window. It sees all keys before it.",
)
def causal_mask(n_queries, n_keys):
    i = torch.arange(n_queries)[:, None] + n_keys - n_queries
    j = torch.arange(n_keys)
    return (j <= i) & (j > i - n_queries)


# 2.2 split_heads

splits = Bank()


@splits.right
def split_heads(x, n_head):
    B, T, C = x.shape
    parts = x.reshape(B, T, n_head, C // n_head)
    return parts.transpose(1, 2)


@splits.right
def split_heads(x, n_head):
    return torch.stack(x.chunk(n_head, dim=-1), dim=1)


@splits.right
def split_heads(x, n_head):
    B, T, C = x.shape
    D = C // n_head
    out = torch.zeros(B, n_head, T, D, dtype=x.dtype)
    for b in range(B):
        for h in range(n_head):
            for t in range(T):
                for d in range(D):
                    out[b, h, t, d] = x[b, t, h * D + d]
    return out


@splits.right
def split_heads(x, n_head):
    return x.unflatten(-1, (n_head, -1)).movedim(-2, 1).contiguous()


@splits.right
def split_heads(x, n_head):
    array = x.numpy()
    return torch.from_numpy(np.stack(np.split(array, n_head, axis=2), axis=1))


splits.edit(
    "reshaped in one go",
    "You reshape straight to [B, H, T, D]. That reads the numbers in memory order and mixes tokens "
    "into heads: first cut each token's own C numbers into heads, then swap two axes.",
    ("(B, T, n_head, C // n_head)", "(B, n_head, T, C // n_head)"),
    (".transpose(1, 2)", ""),
)
splits.edit(
    "every n_head-th number",
    "Your head h owns the numbers h, h + H, h + 2H ... of a token. It should own a run of "
    "neighbours: h C/H to (h + 1) C/H - 1.",
    ("n_head, C // n_head", "C // n_head, n_head"),
    ("transpose(1, 2)", "permute(0, 3, 1, 2)"),
)
splits.edit(
    "tokens before heads",
    "You return [B, T, H, D]. The heads come before the tokens, so that each head is a small "
    "sequence of its own.",
    (".transpose(1, 2)", ""),
)
splits.edit(
    "heads before the batch",
    "You return [H, B, T, D]; the batch stays in front: [B, H, T, D].",
    ("transpose(1, 2)", "permute(2, 0, 1, 3)"),
)
splits.edit(
    "n_head taken as the head's size",
    "You make heads of n_head numbers each. n_head is how many heads there are; each has C / "
    "n_head numbers.",
    ("n_head, C // n_head", "C // n_head, n_head"),
)
splits.edit(
    "keys turned already",
    "Your heads come as [B, H, D, T]. Turning the last two axes is part of the scores, not of "
    "cutting into heads.",
    ("transpose(1, 2)", "permute(0, 2, 3, 1)"),
)
splits.edit(
    "heads joined to the batch",
    "You return [B H, T, D], three dimensions. The batch and the heads stay apart: [B, H, T, D].",
    ("transpose(1, 2)", "transpose(1, 2).flatten(0, 1)"),
)
splits.edit(
    "the dtype is lost",
    "The numbers are in the right places but come back as fp32. A rearrangement keeps the dtype.",
    ("transpose(1, 2)", "transpose(1, 2).float()"),
)
splits.edit(
    "every head gets the first part",
    "All your heads hold the same numbers, those of head 0. Each head owns its own part of C.",
    ("transpose(1, 2)", "transpose(1, 2)[:, :1].repeat(1, n_head, 1, 1)"),
)
splits.edit(
    "heads in reverse order",
    "Your head 0 holds the last C / H numbers of a token. Head 0 owns the first ones.",
    ("transpose(1, 2)", "transpose(1, 2).flip(1)"),
)


@splits.mistake(
    "heads and batch mixed",
    "You stack the heads in front of the batch and then only rename the axes by a reshape. With "
    "one text in the batch nobody would notice. Move the axis of heads instead.",
)
def split_heads(x, n_head):
    B, T, C = x.shape
    heads = torch.stack(x.split(C // n_head, dim=-1))
    return heads.reshape(B, n_head, T, C // n_head)


# 2.3 masked_attention

attentions = Bank()


@attentions.right
def masked_attention(q, k, v, causal=True, mask=None):
    D = q.shape[-1]
    scores = q @ k.transpose(-2, -1) / math.sqrt(D)
    if mask is None and causal:
        Tq, Tk = q.shape[-2], k.shape[-2]
        mask = torch.ones(Tq, Tk, dtype=torch.bool).tril(Tk - Tq)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ v, weights


@attentions.right
def masked_attention(q, k, v, causal=True, mask=None):
    B, H, Tq, D = q.shape
    Tk = k.shape[2]
    if mask is not None:
        visible = mask.expand(B, H, Tq, Tk)
    weights = torch.zeros(B, H, Tq, Tk, dtype=q.dtype)
    y = torch.zeros_like(q)
    for b in range(B):
        for h in range(H):
            for i in range(Tq):
                keys = [
                    j
                    for j in range(Tk)
                    if (mask is None and (not causal or j <= i + Tk - Tq))
                    or (mask is not None and visible[b, h, i, j])
                ]
                scores = [(q[b, h, i] * k[b, h, j]).sum().item() / D**0.5 for j in keys]
                top = max(scores)
                shares = [math.exp(s - top) for s in scores]
                total = sum(shares)
                for j, share in zip(keys, shares, strict=True):
                    weights[b, h, i, j] = share / total
                    y[b, h, i] += share / total * v[b, h, j]
    return y, weights


@attentions.right
def masked_attention(q, k, v, causal=True, mask=None):
    q_, k_, v_ = q.double(), k.double(), v.double()
    scores = torch.einsum("bhid,bhjd->bhij", q_ * q.size(-1) ** -0.5, k_)
    if mask is None:
        i = torch.arange(q.size(2)).unsqueeze(1)
        j = torch.arange(k.size(2)).unsqueeze(0)
        mask = (j - i <= k.size(2) - q.size(2)) if causal else torch.full_like(j - i, 1).bool()
    scores = torch.where(mask, scores, torch.tensor(-1e9, dtype=scores.dtype))
    scores = (scores - scores.amax(-1, keepdim=True)).exp() * mask
    weights = scores / scores.sum(-1, keepdim=True)
    y = torch.einsum("bhij,bhjd->bhid", weights, v_)
    return [y.to(q.dtype), weights.to(q.dtype)]


@attentions.right
def masked_attention(q, k, v, causal=True, mask=None):
    scores = np.matmul(q.numpy(), np.swapaxes(k.numpy(), 2, 3)) / np.sqrt(q.shape[3]).astype("f4")
    allowed = np.ones(scores.shape, dtype=bool)
    if mask is not None:
        allowed = np.broadcast_to(mask.numpy(), scores.shape)
    elif causal:
        allowed = np.tril(allowed, k.shape[2] - q.shape[2])
    scores = np.where(allowed, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = (weights / weights.sum(axis=-1, keepdims=True)).astype(q.numpy().dtype)
    return torch.from_numpy(weights @ v.numpy()), torch.from_numpy(weights)


attentions.edit(
    "scores are not scaled",
    "Your scores are not divided by sqrt(D), so the weights are too sharp.",
    (" / math.sqrt(D)", ""),
)
attentions.edit(
    "divided by D",
    "You divide the scores by D; it is its square root that brings their variance back to 1.",
    ("math.sqrt(D)", "D"),
)
attentions.edit(
    "multiplied by sqrt(D)",
    "You multiply the scores by sqrt(D) where they should be divided by it.",
    ("/ math.sqrt(D)", "* math.sqrt(D)"),
)
attentions.edit(
    "scaled by the length of the text",
    "You divide by the square root of the number of keys. The scale is the size of one head, D: a "
    "score is a sum of D products.",
    ("math.sqrt(D)", "math.sqrt(k.shape[-2])"),
)
attentions.edit(
    "scaled by the whole width",
    "You divide by sqrt(H D), the width of all heads together. Each score is a product of two "
    "vectors of D numbers.",
    ("math.sqrt(D)", "math.sqrt(D * q.shape[1])"),
)
attentions.edit(
    "masked after softmax",
    "You set hidden weights to 0 after the softmax: what is left of a row no longer adds up to 1. "
    "Hide the scores before it.",
    ('scores = scores.masked_fill(~mask, float("-inf"))', "pass"),
    (
        "weights = torch.softmax(scores, dim=-1)",
        "weights = torch.softmax(scores, dim=-1) * (1 if mask is None else mask)",
    ),
)
attentions.edit(
    "hidden scores are 0",
    "You set hidden scores to 0, but exp(0) = 1: a hidden key keeps a share. Its score has to be "
    "minus infinity.",
    ('float("-inf")', "0.0"),
)
attentions.edit(
    "hidden scores are not low enough",
    "Hidden keys get a score of -100 in your code. Where the visible ones score lower still, the "
    "hidden ones win.",
    ('float("-inf")', "-100.0"),
)
attentions.edit(
    "softmax over the queries",
    "Your softmax runs over the queries, so columns add up to 1. Each query shares out its own "
    "attention: normalise over the keys, the last axis.",
    ("torch.softmax(scores, dim=-1)", "torch.softmax(scores, dim=-2)"),
)
attentions.edit(
    "first query at the first key",
    "Where there are fewer queries than keys, your first query stands at the first key. The "
    "queries are the last tokens: the last query sees all keys.",
    (".tril(Tk - Tq)", ".tril()"),
)
attentions.edit(
    "own key hidden",
    "A query does not see its own key in your code. It may look at itself and everything before.",
    (".tril(Tk - Tq)", ".tril(Tk - Tq - 1)"),
)
attentions.edit(
    "always causal",
    "You hide later keys also where causal is False. Then every query sees every key.",
    ("mask is None and causal", "mask is None"),
)
attentions.edit(
    "never causal by itself",
    "Where no mask is given, your queries see the keys after them. causal=True hides those.",
    ("mask is None and causal", "False"),
)
attentions.edit(
    "mask and causal mask together",
    "Where a mask is given, you hide later keys as well. A mask takes the place of the causal one.",
    (
        "if mask is None and causal:",
        "if causal:\n        given = True if mask is None else mask",
    ),
    (".tril(Tk - Tq)", ".tril(Tk - Tq) & given"),
)
attentions.edit(
    "causal wins over the mask",
    "Where a mask is given you use the causal one instead. It is the other way round: a mask takes "
    "the causal one's place.",
    ("mask is None and causal", "causal"),
)
attentions.edit(
    "the mask is used only if causal",
    "With causal=False you leave the mask out that was given. It counts in either case.",
    ("if mask is not None:", "if mask is not None and causal:"),
)
attentions.edit(
    "the mask is read the wrong way round",
    "You hide the keys where the mask is True. True means that the query may see the key.",
    (
        'scores = scores.masked_fill(~mask, float("-inf"))',
        'scores = scores.masked_fill(mask, float("-inf"))',
    ),
)
attentions.edit(
    "the first text's mask for all",
    "Every row of the batch gets the mask of the first one. A mask [B, 1, Tq, Tk] differs from "
    "text to text.",
    ("if mask is not None:", "if mask is not None:\n        mask = mask.flatten(0, -3)[0] if "
     "mask.dim() > 2 else mask"),
)  # fmt: skip
attentions.edit(
    "exp without subtracting the maximum",
    "You take exp of the scores as they are, and exp(100) is more than fp32 can hold. Subtract "
    "each row's maximum first: the weights stay the same.",
    (
        "weights = torch.softmax(scores, dim=-1)",
        "weights = scores.exp() / scores.exp().sum(-1, keepdim=True)",
    ),
)
attentions.edit(
    "one maximum for all rows",
    "You subtract the largest score of the whole tensor. Rows that lie far below it underflow to "
    "0: every row needs its own maximum.",
    (
        "weights = torch.softmax(scores, dim=-1)",
        "weights = (scores - scores.max()).exp()\n"
        "    weights = weights / weights.sum(-1, keepdim=True)",
    ),
)
attentions.edit(
    "hidden weights are taken out afterwards",
    "You mask after the softmax and divide by what is left. Where a hidden score is far above the "
    "visible ones nothing is left, and that is 0 / 0: hide the scores first.",
    ('scores = scores.masked_fill(~mask, float("-inf"))', "pass"),
    (
        "weights = torch.softmax(scores, dim=-1)",
        "weights = torch.softmax(scores, dim=-1) * (1 if mask is None else mask)\n"
        "    weights = weights / weights.sum(dim=-1, keepdim=True)",
    ),
)
attentions.edit(
    "the scores are returned",
    "Your second result is the scores. What is asked for are the weights: the shares after the "
    "softmax.",
    ("weights @ v, weights", "weights @ v, scores"),
)
attentions.edit(
    "results in the other order",
    "You return the weights first. The mixed values come first, then the weights.",
    ("weights @ v, weights", "weights, weights @ v"),
)
attentions.edit(
    "the weights are not returned",
    "You return the mixed values alone. The task asks for two things: the values and the weights.",
    ("weights @ v, weights", "weights @ v"),
)
attentions.edit(
    "the keys are mixed",
    "You take the weighted average of the keys. Keys are for finding; what is handed over is v.",
    ("weights @ v,", "weights @ k,"),
)
attentions.edit(
    "q is changed in place",
    "The results are right, but you scale q itself: after the call the caller's queries are other "
    "numbers.",
    ("scores = q @", "q /= math.sqrt(D)\n    scores = q @"),
    ("k.transpose(-2, -1) / math.sqrt(D)", "k.transpose(-2, -1)"),
)
attentions.edit(
    "half precision inside",
    "You compute in bf16: three digits. The weights are off by a part in a hundred or so; keep the "
    "dtype of q.",
    ("scores = q @", "scores = q.bfloat16() @"),
    ("k.transpose(-2, -1) / math.sqrt(D)", "k.bfloat16().mT / math.sqrt(D)\n    "
     "scores = scores.to(q.dtype)"),
)  # fmt: skip


attentions.edit(
    "scaled by the number of queries",
    "You divide the scores by the square root of the number of queries. It is the head size D "
    "whose root brings their variance back to 1.",
    ("math.sqrt(D)", "math.sqrt(q.shape[-2])"),
)
attentions.edit(
    "scores are kept within bounds",
    "You cut scores off at 50 and -50. Scores may reach hundreds, and then those beyond it all "
    "count the same.",
    ("q @ k.transpose(-2, -1) / math.sqrt(D)", "(q @ k.mT / math.sqrt(D)).clamp(-50, 50)"),
)
attentions.edit(
    "100 is subtracted from hidden scores",
    "You subtract 100 where a key is hidden. A score may be that much higher than the others, and "
    "then the hidden key is seen: minus infinity hides whatever the score.",
    ('scores.masked_fill(~mask, float("-inf"))', "scores - 100.0 * ~mask"),
)
attentions.edit(
    "weights averaged over the heads",
    "The weights that you return are the mean over the heads. Each head has its own: "
    "[B, H, Tq, Tk].",
    ("return weights @ v, weights", "return weights @ v, weights.mean(1)"),
)
attentions.edit(
    "reshaped instead of transposed",
    "You compute k q^T, [Tk, Tq], and reshape it to [Tq, Tk], which does not exchange the two. "
    "Compute q k^T.",
    ("q @ k.transpose(-2, -1)", "(k @ q.transpose(-2, -1)).reshape(*q.shape[:-1], -1)"),
)
attentions.edit(
    "the weights are scaled",
    "You divide by sqrt(D) after the softmax, so that the weights no longer sum to 1. The scores "
    "are to be divided, before it.",
    (" / math.sqrt(D)", ""),
    ("torch.softmax(scores, dim=-1)", "torch.softmax(scores, dim=-1) / math.sqrt(D)"),
)


@attentions.mistake(
    "what either mask allows",
    "With a mask given you still let each query see what the causal mask allows as well. The mask "
    "takes the place of the causal one.",
)
def masked_attention(q, k, v, causal=True, mask=None):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if causal:
        Tq, Tk = q.shape[-2], k.shape[-2]
        before = torch.ones(Tq, Tk, dtype=torch.bool).tril(Tk - Tq)
        mask = before if mask is None else mask | before
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ v, weights


# 2.4 merge_heads

merges = Bank()


@merges.right
def merge_heads(x):
    B, H, T, D = x.shape
    return x.transpose(1, 2).reshape(B, T, H * D)


@merges.right
def merge_heads(x):
    return torch.cat([x[:, h] for h in range(x.shape[1])], dim=-1)


@merges.right
def merge_heads(x):
    B, H, T, D = x.shape
    out = torch.empty(B, T, H * D, dtype=x.dtype)
    for h in range(H):
        out[:, :, h * D : (h + 1) * D] = x[:, h]
    return out


@merges.right
def merge_heads(x):
    tokens = [
        [[number for head in text for number in head[t]] for t in range(len(text[0]))]
        for text in x.tolist()
    ]
    return torch.tensor(tokens, dtype=x.dtype)


@merges.right
def merge_heads(x):
    return torch.einsum("bhtd->bthd", x).contiguous().flatten(start_dim=2)


merges.edit(
    "reshaped without moving the heads",
    "You reshape [B, H, T, D] straight away, so a row of your result holds several tokens of one "
    "head. Bring the heads next to their numbers first.",
    (".transpose(1, 2)", ""),
)
merges.edit(
    "view of a transposed tensor",
    "view cannot join two axes that do not lie next to each other in memory, as after a transpose. "
    "reshape copies where it has to.",
    (".reshape(", ".view("),
)
merges.edit(
    "heads interleaved",
    "Your result holds number 0 of every head, then number 1 of every head. The heads stand side "
    "by side: all D numbers of head 0, then those of head 1.",
    ("transpose(1, 2)", "permute(0, 2, 3, 1)"),
)
merges.edit(
    "heads not joined",
    "You move the heads to the right place and leave them apart: [B, T, H, D]. Join the last two "
    "axes.",
    (".reshape(B, T, H * D)", ""),
)
merges.edit(
    "heads one after another in time",
    "Your result is [B, H T, D], one head's tokens after the other's. The heads of one token stand "
    "side by side: [B, T, H D].",
    ("x.transpose(1, 2).reshape(B, T, H * D)", "x.flatten(1, 2)"),
)
merges.edit(
    "batch and time mixed",
    "You put time in front of the batch before you reshape, so that texts are mixed. With one text "
    "in the batch nobody would notice.",
    ("transpose(1, 2)", "permute(2, 0, 1, 3)"),
)
merges.edit(
    "heads summed",
    "You add the heads up, and [B, T, D] comes out. They stand side by side; blending them is the "
    "projection's work.",
    ("x.transpose(1, 2).reshape(B, T, H * D)", "x.sum(dim=1)"),
)
merges.edit(
    "heads averaged",
    "You average the heads, and [B, T, D] comes out. They stand side by side; blending them is the "
    "projection's work.",
    ("x.transpose(1, 2).reshape(B, T, H * D)", "x.mean(dim=1)"),
)
merges.edit(
    "texts joined instead of heads",
    "You loop over the first axis, which is the batch, and join texts. The heads are the second.",
    ("x.transpose(1, 2).reshape(B, T, H * D)", "torch.cat([x[b] for b in range(B)], dim=-1)"),
)
merges.edit(
    "tokens last",
    "Your numbers end up as [B, H D, T]. Each token's numbers come last: [B, T, H D].",
    (
        "x.transpose(1, 2).reshape(B, T, H * D)",
        "x.transpose(2, 3).reshape(B, H * D, T)",
    ),
)
merges.edit(
    "heads in reverse order",
    "Your last head comes first. Head 0 owns the first D numbers of a token.",
    ("x.transpose(1, 2)", "x.flip(1).transpose(1, 2)"),
)
merges.edit(
    "the dtype is lost",
    "The numbers are in the right places but come back as fp32. A rearrangement keeps the dtype.",
    ("H * D)", "H * D).float()"),
)


# 2.5 segment_mask

segment_masks = Bank()


@segment_masks.right
def segment_mask(segments, n_queries, n_before=0):
    B, T = segments.shape
    asking = segments[:, T - n_queries :]
    same = asking[:, :, None] == segments[:, None, :]
    earlier = torch.ones(n_queries, T, dtype=torch.bool).tril(T - n_queries)
    front = torch.ones(B, n_queries, n_before, dtype=torch.bool)
    return torch.cat([front, same & earlier], dim=-1)[:, None]


@segment_masks.right
def segment_mask(segments, n_queries, n_before=0):
    rows, length = segments.shape
    mask = torch.zeros(rows, 1, n_queries, n_before + length, dtype=torch.bool)
    mask[..., :n_before] = True
    for b in range(rows):
        for i in range(n_queries):
            query = length - n_queries + i
            for key in range(query + 1):
                if segments[b, key] == segments[b, query]:
                    mask[b, 0, i, n_before + key] = True
    return mask


@segment_masks.right
def segment_mask(segments, n_queries, n_before=0):
    ids = segments.numpy()
    position = np.arange(ids.shape[1])
    mask = (ids[:, :, None] == ids[:, None, :]) & (position[:, None] >= position)
    mask = np.pad(mask, ((0, 0), (0, 0), (n_before, 0)), constant_values=True)
    return torch.from_numpy(mask[:, -n_queries:])[:, None]


@segment_masks.right
def segment_mask(segments, n_queries, n_before=0):
    T = segments.size(1)
    start = torch.searchsorted(segments.contiguous(), segments.contiguous())  # of each own text
    key = torch.arange(T)
    seen = (key >= start[..., None]) & (key <= key[:, None])
    return F.pad(seen, (n_before, 0), value=True)[:, None, T - n_queries :, :]


segment_masks.edit(
    "later tokens visible",
    "Within its own text a token sees what comes after it in your mask. It is a causal mask too.",
    ("same & earlier", "same"),
)
segment_masks.edit(
    "other texts visible",
    "Your mask is the causal one alone: a token looks into the texts before its own.",
    ("same & earlier", "(same & earlier) | earlier"),
)
segment_masks.edit(
    "own key hidden",
    "A token does not see itself in your mask. It may see itself and what precedes it in its text.",
    (".tril(T - n_queries)", ".tril(T - n_queries - 1)"),
)
segment_masks.edit(
    "queries are the first tokens",
    "You take the first n_queries tokens for the queries. They are the last ones: those before "
    "them are in the cache already.",
    ("segments[:, T - n_queries :]", "segments[:, :n_queries]"),
    (".tril(T - n_queries)", ".tril()"),
)
segment_masks.edit(
    "first query at the first key",
    "The segments of your queries are the last ones, but your causal rule counts them from the "
    "first key. The last query stands at the last key.",
    (".tril(T - n_queries)", ".tril()"),
)
segment_masks.edit(
    "the keys in front are behind",
    "You put the n_before keys after those of the segments. They stand before them.",
    ("[front, same & earlier]", "[same & earlier, front]"),
)
segment_masks.edit(
    "the keys in front are hidden",
    "The n_before keys in front are hidden in your mask. Every text may see them.",
    ("torch.ones(B, n_queries, n_before", "torch.zeros(B, n_queries, n_before"),
)
segment_masks.edit(
    "the keys in front belong to the first text",
    "Only the first text sees the n_before keys in your mask. They are a prefix for all of them.",
    (
        "front = torch.ones(B, n_queries, n_before, dtype=torch.bool)",
        "front = (asking == 0)[:, :, None].expand(B, n_queries, n_before)",
    ),
)
segment_masks.edit(
    "n_before is left out",
    "Your mask has a column for each key of segments and none for the n_before keys before them.",
    ("[front, same & earlier]", "[same & earlier]"),
)
segment_masks.edit(
    "no axis for the heads",
    "Your mask is [B, Tq, keys]. Scores are [B, H, Tq, keys]: the mask needs an axis of size 1 "
    "where the heads are.",
    ("dim=-1)[:, None]", "dim=-1)"),
)
segment_masks.edit(
    "the first row's segments for all",
    "Every row of the batch gets the mask of the first. Each row holds texts of its own.",
    (
        "asking = segments[:, T - n_queries :]",
        "segments = segments[:1].expand(B, T)\n    asking = segments[:, T - n_queries :]",
    ),
)
segment_masks.edit(
    "True where hidden",
    "Your mask is True where a key is hidden. True means that the query may see it.",
    ("dim=-1)[:, None]", "dim=-1)[:, None].logical_not()"),
)
segment_masks.edit(
    "numbers instead of bools",
    "The pattern is right, but it holds numbers. A mask is of dtype bool.",
    ("dim=-1)[:, None]", "dim=-1)[:, None].float()"),
)


@segment_masks.mistake(
    "n_queries is not used",
    "You return a row for every token. Only the last n_queries tokens are queries.",
)
def segment_mask(segments, n_queries, n_before=0):
    same = segments[:, :, None] == segments[:, None, :]
    return F.pad(same.tril()[:, None], (n_before, 0), value=True)


@segment_masks.mistake(
    "segments of the first queries",
    "Your queries stand at the right places but get the segment numbers of the first n_queries "
    "tokens. They are the last ones.",
)
def segment_mask(segments, n_queries, n_before=0):
    T = segments.size(1)
    same = segments[:, :n_queries, None] == segments[:, None, :]
    mask = same & torch.ones(n_queries, T, dtype=torch.bool).tril(T - n_queries)
    return F.pad(mask[:, None], (n_before, 0), value=True)


@segment_masks.mistake(
    "n_before moves the diagonal",
    "You move the diagonal by n_before and then put the n_before keys in front as well: queries "
    "see keys that come after them.",
)
def segment_mask(segments, n_queries, n_before=0):
    T = segments.size(1)
    same = segments[:, -n_queries:, None] == segments[:, None, :]
    mask = same & torch.ones(n_queries, T, dtype=torch.bool).tril(n_before + T - n_queries)
    return F.pad(mask[:, None], (n_before, 0), value=True)


@segment_masks.mistake(
    "only the first key in front is seen",
    "Of the n_before keys in front you show one alone. Every text sees all of them.",
)
def segment_mask(segments, n_queries, n_before=0):
    T = segments.size(1)
    same = segments[:, -n_queries:, None] == segments[:, None, :]
    mask = same & torch.ones(n_queries, T, dtype=torch.bool).tril(T - n_queries)
    mask = F.pad(mask[:, None], (n_before, 0), value=False)
    if n_before:
        mask[..., 0] = True
    return mask
