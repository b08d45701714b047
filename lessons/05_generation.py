# %% [markdown]
# # Lesson 05: Generation
#
# A trained GPT does one thing: it gives every token of its vocabulary a probability of coming next.
# Writing is up to us. We choose a token, append it and ask again, and how we choose decides whether
# the text is dull, alive or mad. Then we make it fast with the KV cache. At the end we ask for a
# translation and for a verdict on a review, with examples in the prompt, and find out what a small
# model makes of that.
#
# Run it: `python lessons/05_generation.py`, or `minigpt lesson 5`. Its code is
# `minigpt/generation.py`; the exam at the end is `lessons/experiments/few_shot.py`.

# %%
import math
import sys
import textwrap
import time

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson

course = lesson.start(5, "Generation")

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lessons.experiments import few_shot
from lessons.experiments.repetition import distinct, ends_in_loop
from minigpt import count_parameters, load_pretrained
from minigpt.cache import KVCache
from minigpt.generation import (
    apply_temperature,
    draw,
    generate,
    keep_top_k,
    keep_top_p,
    next_logits,
    sample,
)
from minigpt.text.documents import split_documents
from minigpt.text.python_library import python_library

base, encoding = load_pretrained("base")
base.to(course.device)

# %% [markdown]
# ## Five words
#
# "The cat sat on the ..." Suppose a model knows five words and gives them these scores (logits).
# Softmax makes probabilities of them: raise e to each score, divide by the sum.

# %%
words = ["mat", "chair", "roof", "moon", "tax"]
logits = torch.tensor([[3.0, 2.0, 1.0, 0.0, -2.0]])  # [B=1, V=5]


def show(title: str, logits: Tensor) -> None:
    """One line: the probabilities of the five words."""
    row = zip(words, logits.softmax(-1)[0].tolist(), strict=True)
    print(f"{title:<18}", "  ".join(f"{word} {p:6.1%}" for word, p in row))


show("the model says", logits)

# %% [markdown]
# **Greedy** decoding takes the largest. **Sampling** draws a word at random, each with its
# probability: lay the probabilities end to end on a line of length 1, point at a random place, and
# see whose stretch it is. That is all `draw` does.

# %%
print("greedy takes", words[sample(logits, temperature=0).item()])
probabilities = logits.softmax(-1).cpu()  # [1, V]
ends = ", ".join(f"{end:.3f}" for end in probabilities.cumsum(-1)[0].tolist())
print(f"the five stretches end at {ends}")
drawn = draw(probabilities.expand(10_000, -1), torch.Generator().manual_seed(course.seed))
counts = torch.bincount(drawn, minlength=5).tolist()
print("10,000 draws:", ", ".join(f"{w} {c}" for w, c in zip(words, counts, strict=True)))

# %% [markdown]
# ## A real distribution
#
# The base model knows 4,096 tokens. Here are its favourites after two words that begin many a
# sentence in Python's documentation.


# %%
def encode(text: str) -> Tensor:
    """The tokens of text: [1, T]."""
    return torch.tensor([encoding.encode_ordinary(text)], device=course.device)


@torch.inference_mode()
def ask(prompt: str) -> Tensor:
    """The scores of every token after prompt: [1, V]."""
    return next_logits(base, encode(prompt))


def likely(logits: Tensor, n: int) -> list[tuple[str, float]]:
    """The n most likely tokens, in quotes that show their spaces, with their probabilities."""
    p, ids = (part.tolist() for part in logits.softmax(-1)[0].topk(n))
    return [(repr(encoding.decode([token])), q) for token, q in zip(ids, p, strict=True)]


prompt = "Return the"
after = ask(prompt)  # [1, V]
best = likely(after, 15)
figure, axis = plt.subplots(figsize=(7, 4.5))
axis.barh([text for text, _ in best][::-1], [100 * p for _, p in best][::-1])
share = sum(p for _, p in best)
title = f'What comes after "{prompt}"? The 15 likeliest tokens have {share:.0%} together'
axis.set(xlabel="probability (%)", ylabel="next token", title=title)
course.save_figure(figure, "next_token")

# %% [markdown]
# ## Temperature
#
# Divide the scores by a temperature before the softmax. Below 1 the likely words gain, above 1 the
# unlikely ones do. In the limit of 0 only the best is left, which is greedy decoding.

# %%
for temperature in (0.2, 0.5, 1.0, 2.0):
    show(f"temperature {temperature}", apply_temperature(logits, temperature))

# %% [markdown]
# On 4,096 tokens the tail matters: no token in it is likely, but there are thousands of them. Look
# how often a temperature of 1.5 would leave the hundred best tokens.

# %%
figure, axis = plt.subplots(figsize=(7, 4.5))
for temperature in (0.5, 0.8, 1.0, 1.5):
    p = apply_temperature(after, temperature).softmax(-1)[0].sort(descending=True).values.cpu()
    label = f"temperature {temperature}: {1 - float(p[:100].sum()):.1%} outside the best 100"
    axis.loglog(range(1, len(p) + 1), p.clamp_min(1e-9), label=label)
axis.axvline(100, color="gray", ls=":", lw=1)
title = f'Temperature bends the whole distribution after "{prompt}"'
axis.set(xlabel="rank of the token, best first", ylabel="probability", title=title, ylim=(1e-9, 1))
axis.legend()
course.save_figure(figure, "temperature")

# %% [markdown]
# ## Cutting the tail: top-k and top-p
#
# **Top-k** keeps the k best words. **Top-p** keeps the *nucleus*: the fewest words that together
# reach probability p. The others get the score minus infinity, so the softmax gives them nothing
# and shares their part out among the rest.

# %%
show("all", logits)
show("top-k, k = 2", keep_top_k(logits, 2))
show("top-p, p = 0.9", keep_top_p(logits, 0.9))

# %% [markdown]
# The difference: k is the same everywhere, the nucleus grows where the model is unsure and shrinks
# where it is sure. We take held-out documents and measure its size at every position.

# %%
held_out = split_documents(python_library(course.n_documents))[1]
rows = [encoding.encode_ordinary(document.text) for document in held_out]
length = course.choose(quick=64, normal=256)
rows = [row[:length] for row in rows if len(row) >= length][: course.choose(quick=4, normal=24)]
texts = torch.tensor(rows, device=course.device)  # [N, T] of the library, never trained on


@torch.inference_mode()
def all_logits(idx: Tensor) -> Tensor:
    """The scores after every position, eight texts at a time: [N, T, V]."""
    return torch.cat([base(part)[0] for part in idx.split(8)])


kept = keep_top_p(all_logits(texts).flatten(0, 1), 0.9).isfinite().sum(-1).cpu()  # [N T]
sizes = [int(np.percentile(kept, q)) for q in (10, 50, 90)]
print(f"a nucleus of 0.9 keeps {sizes[0]} tokens at the surest tenth of all places,")
print(f"{sizes[1]} in the middle, and {sizes[2]} or more at the most open tenth")
figure, axis = plt.subplots(figsize=(7, 4.5))
bins = np.geomspace(1, base.config.vocab_size, 40)
axis.hist(kept, bins=bins, color="tab:green", label="top-p, p = 0.9")
axis.axvline(40, color="tab:red", lw=2, label="top-k, k = 40: the same everywhere")
title = "The nucleus is small where the model is sure"
axis.set(xscale="log", xlabel="tokens kept", ylabel="places in held-out text", title=title)
axis.legend()
course.save_figure(figure, "nucleus_size")

# %% [markdown]
# ## Six ways to go on
#
# One prompt, one model, one seed. On the command line: `minigpt generate --prompt "Return the"`
# with `--temperature`, `--top-k` or `--top-p`.


# %%
def write(idx: Tensor, n_new: int, **setting: float) -> Tensor:
    """generate with the same random numbers every time: [N, T] -> [N, T + n_new]."""
    dice = torch.Generator(course.device).manual_seed(course.seed)
    return generate(base, idx, n_new, generator=dice, **setting)


ways = [{"temperature": t} for t in (0, 0.5, 1, 1.5)] + [{"top_k": 40}, {"top_p": 0.9}]
for setting in ways:
    ids = write(encode(prompt), course.choose(8, 60), **setting)
    text = " ".join(encoding.decode(ids[0].tolist()).split())
    print(f"{setting}:\n{textwrap.indent(textwrap.fill(text, 88), '    ')}\n")

# %% [markdown]
# ## Greedy goes in circles
#
# How varied is a text? **Distinct-n** counts: of all runs of n tokens, which part occurs only for
# the first time? A text that never repeats has 1. And a text *ends in a loop* if its last phrase,
# of two tokens or more, stands there three times in a row (`lessons/experiments/repetition.py`).

# %%
print("distinct-2 of 1 2 3 1 2 4:", distinct([1, 2, 3, 1, 2, 4], 2), "(12 occurs twice: 4 of 5)")
print("does 9 1 2 1 2 1 2 end in a loop?", ends_in_loop([9, 1, 2, 1, 2, 1, 2]))

# %% [markdown]
# Every held-out document gives a prompt of 16 tokens. The model continues all of them at several
# temperatures; what the documents really say next is the measure. We also ask how surprising each
# text is to the model itself: its **perplexity**, e to the mean loss per token.

# %%
n_prompt = 16
n_new = min(length - n_prompt, course.choose(quick=16, normal=128))
human = texts[:, : n_prompt + n_new]  # [N, T]


def examine(ids: Tensor) -> dict[str, float]:
    """Variety, loops and perplexity of the texts that follow the prompts."""
    loss = F.cross_entropy(
        all_logits(ids)[:, n_prompt - 1 : -1].flatten(0, 1), ids[:, n_prompt:].flatten()
    )
    written = ids[:, n_prompt:].tolist()
    return {
        "distinct-2": sum(distinct(tokens, 2) for tokens in written) / len(written),
        "loops": sum(map(ends_in_loop, written)) / len(written),
        "perplexity": math.exp(loss.item()),
    }


prompts = human[:, :n_prompt]
temperatures = course.choose([0, 1.0], [0, 0.3, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5])
curve = [examine(write(prompts, n_new, temperature=t)) for t in temperatures]
greedy, nucleus, people = curve[0], examine(write(prompts, n_new, top_p=0.95)), examine(human)
measured = {f"temperature {t}": m for t, m in zip(temperatures, curve, strict=True)}
measured |= {"top-p 0.95": nucleus, "people": people}
print(f"{'':<16} distinct-2  ends in a loop  perplexity")
for name, m in measured.items():
    print(f"{name:<16} {m['distinct-2']:10.2f}  {m['loops']:14.0%}  {m['perplexity']:10.1f}")

# %% [markdown]
# The best token each time makes a text that is far *more* likely than what people write, and far
# less varied. People do not say the likeliest thing all the time. Somewhere around a temperature of
# 1 both curves cross the line of the people.

# %%
figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
for axis, name in zip(axes, ("distinct-2", "perplexity"), strict=True):
    axis.plot(temperatures, [m[name] for m in curve], "o-", label="model")
    axis.axhline(people[name], ls="--", label="people")
    axis.set_xlabel("temperature (0 = greedy)")
    axis.legend()
axes[0].set(ylabel="distinct-2", title="Variety grows with temperature")
title = "Greedy text is less surprising than people's"
axes[1].set(ylabel="perplexity to the model itself", yscale="log", title=title)
course.save_figure(figure, "repetition")

course.compare(
    "texts that end in a loop: greedy, top-p 0.95, people",
    "the likeliest text repeats itself, nucleus sampling is the remedy (Holtzman et al. 2020)",
    f"{greedy['loops']:.0%}, {nucleus['loops']:.0%}, {people['loops']:.0%}",
    "reproduced: greedy loops, sampling and people do not"
    if greedy["loops"] > 5 * max(nucleus["loops"], people["loops"], 0.02)
    else "differs: greedy does not stand out here",
)
course.compare(
    "perplexity of the text: greedy, people",
    "-",
    f"{greedy['perplexity']:.2f}, {people['perplexity']:.1f}",
    "people do not say the likeliest thing"
    if greedy["perplexity"] < people["perplexity"]
    else "unexpected: greedy text is no likelier than people's",
)

# %% [markdown]
# ## The KV cache: do not read twice
#
# To choose token 101 the model reads 100 tokens; for token 102 it reads the same 100 again, and one
# more. But a token only looks back, so nothing that comes later changes its keys and values. Let us
# check that on six tokens: we read four of them, then all six.

# %%
six = texts[:1, :6]  # [1, 6]
keys = []
with torch.inference_mode():
    for n in (4, 6):
        cache = KVCache(base.config.n_layer, capacity=8)
        base(six[:, :n], cache=cache)
        keys.append(cache.layers[-1].keys[:, :, :4])  # [1, H, 4, D]
print(f"keys of the top layer for four tokens: {list(keys[0].shape)}")
print(f"largest change when two more are read: {(keys[0] - keys[1]).abs().max():.1e}")

# %% [markdown]
# So they are kept. From then on each step reads one token, and gives the same text.

# %%
n_compared = course.choose(quick=16, normal=96)
same = 0
for setting in ({"temperature": 0}, {"top_p": 0.9}):
    cached, uncached = (write(six, n_compared, use_cache=c, **setting) for c in (True, False))
    same += int((cached == uncached)[:, 6:].sum())
print(f"{same} of {2 * n_compared} tokens are the same with and without the cache")
course.compare(
    "tokens with and without the KV cache",
    "the same",
    f"{same} of {2 * n_compared} equal",
    "reproduced" if same == 2 * n_compared else "differs: rounding tipped a close choice",
)

# %% [markdown]
# The price is memory: two vectors a layer and token. Work it out for your model before you promise
# it a long context.

# %%
for name, n_layer, n_embd, bytes_each in (
    ("base model, fp32", base.config.n_layer, base.config.n_embd, 4),
    ("GPT-2 small, fp32", 12, 768, 4),
    ("GPT-3 175B, fp16", 96, 12288, 2),
):
    per_token = 2 * n_layer * n_embd * bytes_each
    print(
        f"{name:<18} 2 x {n_layer} x {n_embd} x {bytes_each} bytes = {per_token / 1024:>7,.0f} KiB "
        f"a token, {2048 * per_token / 2**20:>8,.0f} MiB for 2,048 tokens"
    )

# %% [markdown]
# And the gain? We time one token at growing lengths.


# %%
@torch.inference_mode()
def token_ms(length: int, use_cache: bool) -> float:
    """Milliseconds to score the token after length tokens; the best of five."""
    idx, seconds = texts.flatten()[None, :length], []
    for _ in range(5):
        cache = KVCache(base.config.n_layer, length) if use_cache else None
        if use_cache:
            next_logits(base, idx[:, :-1], cache)  # what was read before does not count
        start = time.perf_counter()
        next_logits(base, idx, cache).argmax().item()  # on a GPU, item waits for the result
        seconds.append(time.perf_counter() - start)
    return 1000 * min(seconds)


longest = min(base.config.block_size, texts.numel())
lengths = [16, 32, *range(64, longest, 64), longest][: course.choose(2, None)]
without, with_cache = ([token_ms(n, use_cache) for n in lengths] for use_cache in (False, True))
figure, axis = plt.subplots(figsize=(7, 4.5))
axis.plot(lengths, without, "o-", color="tab:red", label="without: everything is read again")
axis.plot(lengths, with_cache, "o-", color="tab:blue", label="with the KV cache: one token is read")
title = f"The KV cache keeps the price of a token flat ({course.device})"
axis.set(xlabel="tokens read", ylabel="time per token (ms)", title=title)
axis.set_ylim(bottom=0)
axis.legend()
course.save_figure(figure, "kv_cache")
print(
    f"after {lengths[-1]} tokens: {without[-1]:.1f} ms without, {with_cache[-1]:.2f} ms with the "
    f"cache, that is {without[-1] / with_cache[-1]:.0f} times as fast"
)

# %% [markdown]
# Past the context length the window slides: every token moves to another position, so the stored
# keys are of no use and minigpt reads the whole window again, slowly but right. Models that
# are made to write for longer than their context encode positions differently.
#
# ## Asking instead of training
#
# GPT-3 made prompting famous: say what you want, show a few examples, and the model does it without
# any training. No example is called **zero-shot**, one is **one-shot**, several are **few-shot**.

# %%
tasks = few_shot.tasks(n_items=course.choose(4, 100))
for task in tasks.values():
    asked = task.prompt(task.examples[:2], task.items[0])
    ids = write(encode(asked), 16, temperature=0)[0].tolist()
    answer = encoding.decode(ids).removeprefix(asked)
    print(f"{asked} ...\n-> wanted {task.items[0][task.answer]!r}, got {answer!r}\n")

# %% [markdown]
# It goes on with something that looks like its training text. That is a failure, but a fair test
# asks for less: **is the right answer at least more likely to the model than wrong ones?** Each
# item is given four answers, its own and those of three other items (for reviews the two labels),
# and the model picks the one whose tokens are likeliest after the prompt, compared with how likely
# they are after the bare word "French:" (Brown et al. 2020, section 2.4, do the same). The same
# four answers are offered to four items, so a model that does not look at the question gets one in
# four.

# %%
SHOTS = (0, 1, 4)
results = {
    name: [few_shot.exam(base, encoding, task, n, course.seed) for n in SHOTS]
    for name, task in tasks.items()
}
for name, exams in results.items():
    row = ", ".join(f"{n} examples {e.accuracy:.0%}" for n, e in zip(SHOTS, exams, strict=True))
    print(f"{name}: {exams[0].n_items} items, guessing gets {exams[0].chance:.0%}: {row}")

# %% [markdown]
# Guessing would scatter by chance too: the bars show two standard errors to each side. A bar whose
# error line reaches the dashed one has shown nothing.
#
# The second picture asks something easier of the reviews: how likely is it that "positive" or
# "negative" comes at all, right or wrong? A large model copies at least the form of an answer from
# the examples, without seeing what decides between the two. Look whether ours does even that.

# %%
figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
few_shot.draw_bars(axes[0], SHOTS, results)
axes[1].plot(SHOTS, [100 * e.mass for e in results["sentiment of a review"]], "o-", color="C1")
axes[1].set(ylabel='probability of "positive" or "negative" (%)', xticks=SHOTS)
axes[1].set(xlabel="examples in the prompt", title="Does it answer with one of the two words?")
axes[1].set_ylim(bottom=0)
course.save_figure(figure, "few_shot")

# %% [markdown]
# ## Published and measured
#
# One more sentence from the slides: "The train left the" should go on with "station".

# %%
train_left = ask("The train left the")  # [1, V]
station = encoding.encode_ordinary(" station")[0]
p_station = float(train_left.softmax(-1)[0, station])
rank = int((train_left > train_left[0, station]).sum()) + 1
course.compare(
    '"The train left the" ...',
    '"station"',
    f'"station" is number {rank} of {base.config.vocab_size:,} ({p_station:.1%}); '
    f"first is {likely(train_left, 1)[0][0]}",
    "reproduced" if rank == 1 else "differs: a small model knows little of trains",
)
PUBLISHED = {
    "English to French": "BLEU 25.2, 28.3, 32.6 with 0, 1, 64 examples (GPT-3; Brown et al. 2020)",
    "code": "[example] description [toCode] code (a format of the slides)",
}
for name, exams in results.items():
    picked = ", ".join(f"{100 * e.accuracy:.0f}" for e in exams)
    course.compare(
        f"{name}, 0, 1 and 4 examples",
        PUBLISHED.get(name, "-"),
        f"{picked}% picked (guessing {exams[0].chance:.0%}, {exams[0].n_items} items)",
        few_shot.verdict(exams, count_parameters(base.config)),
    )
course.finish()

# %% [markdown]
# What to take along: greedy decoding is for answers, sampling is for prose; cut the tail; keep the
# keys and values. And a small model is not asked, it is **trained** for what it should do.

# %% [markdown]
# Now you: temperature, top-k, top-p, a cache. `minigpt exercise start 5` writes the stubs, and
# `minigpt exercise check 5` says what your code computes.
