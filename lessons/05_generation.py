# %% [markdown]
# # Lesson 5: Generation
#
# A trained GPT does one thing: it gives every token of its vocabulary a probability of coming next.
# Writing is up to us. We choose a token, append it and ask again, and how we choose decides whether
# the text is dull, lively or nonsense. Then we make it fast with the KV cache. At the end we ask
# for a translation and for a verdict on a review, with examples in the prompt, and find out what a
# small model makes of that and what the examples cost.
#
# After this lesson you can
# - write greedy decoding, temperature, top-k and top-p, and say which one a task wants;
# - explain why the likeliest tokens do not make the best text, and measure it;
# - explain what the KV cache keeps, what it costs and what it saves;
# - write a few-shot prompt, test a model with it fairly, and count its tokens.
#
# You need: lessons 1 (tokens), 2 (attention), 3 (logits, cross-entropy, nats, perplexity) and 4
# (the base model). Allow 60 minutes, and another 45 for the exercises; the script takes about a
# minute. Next comes lesson 6, which measures how good an answer is.
#
# Run it: `python lessons/05_generation.py`, or `minigpt lesson 5`. The code behind it is in
# `minigpt/generation.py`, and for the exam at the end in `lessons/experiments/few_shot.py`.
#
# Terms can be looked up in the [glossary](GLOSSARY.md).

# %%
import math
import sys
import textwrap
from functools import partial

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson

course = lesson.start(5, "Generation")

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lessons.experiments import few_shot
from lessons.experiments.paired import in_turns
from lessons.experiments.repetition import (
    Measured,
    distinct,
    draw_temperatures,
    ends_in_loop,
    measure,
)
from lessons.verdicts import error_of_mean, error_of_share, holds, is_more
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
from minigpt.text.task_sets import task_set
from minigpt.tokenizer import escape_token

base, encoding = load_pretrained("base")
base = base.to(course.device)

# %% [markdown]
# ## Five words
#
# "The cat sat on the ..." Suppose a model knows five words and gives them these scores, its
# **logits**. Softmax makes probabilities of them: raise e to each score, divide by the sum.

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
counts = torch.bincount(drawn, minlength=5)
print("10,000 draws:", ", ".join(f"{w} {c}" for w, c in zip(words, counts.tolist(), strict=True)))

# %% [markdown]
# Is that close enough? A word of probability p should come 10,000 p times, give or take a standard
# error, here the square root of 10,000 p (1 - p). If a count were off by more than four of them,
# the dice would be loaded.

# %%
expected = 10_000 * probabilities[0]
off = float(((counts - expected) / (expected * (1 - probabilities[0])).sqrt()).abs().max())
course.checked(
    "10,000 draws against their probabilities",
    f"at most {off:.1f} standard errors off",
    holds(off < 4),
)

# %% [markdown]
# ## A real distribution
#
# The base model knows 4,096 tokens. Here are its favourites after two words with which many
# sentences of Python's documentation begin.


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

# %%
best = likely(after, 15)
figure, axis = plt.subplots(figsize=(7, 4.5))
axis.barh([text for text, _ in best][::-1], [100 * p for _, p in best][::-1])
share = sum(p for _, p in best)
title = f'What comes after "{prompt}"? The 15 likeliest tokens have {share:.0%} together'
axis.set(xlabel="probability (%)", ylabel="next token", title=title)
course.save_figure(figure, "next_token")

# %% [markdown]
# The slides finish a sentence, too: "The train left the" should go on with "station" (lesson 2).
# Where does our model rank that? Ask what it has read: the documentation of Python and short texts
# of a few kinds.

# %%
train_left = ask("The train left the")  # [1, V]
station = encoding.encode_ordinary(" station")[0]
p_station = float(train_left.softmax(-1)[0, station])
rank = int((train_left > train_left[0, station]).sum()) + 1
first, p_first = likely(train_left, 1)[0]
print(f'"station" is number {rank} of {base.config.vocab_size:,} ({p_station:.2%}); ', end="")
print(f"the likeliest is {first} ({p_first:.0%})")

# %% [markdown]
# ## Temperature
#
# Divide the scores by a temperature before the softmax. Below 1 the likely words gain, above 1 the
# unlikely ones do. In the limit of 0 only the best is left, which is greedy decoding.

# %%
for temperature in (0.2, 0.5, 1.0, 2.0):
    show(f"temperature {temperature}", apply_temperature(logits, temperature))

# %% [markdown]
# With 4,096 tokens the **tail** matters, the many tokens of which none is likely. Together they can
# be: look how often each temperature would draw a token outside the hundred best.

# %%
figure, axis = plt.subplots(figsize=(7, 5), layout="constrained")
for temperature in (0.5, 0.8, 1.0, 1.5):
    p = apply_temperature(after, temperature).softmax(-1)[0].sort(descending=True).values.cpu()
    label = f"temperature {temperature}: {1 - float(p[:100].sum()):.1%} outside the best 100"
    axis.loglog(range(1, len(p) + 1), p.clamp_min(1e-9), label=label)
axis.axvline(100, color="gray", ls=":", lw=1)
title = f'Every token that may follow "{prompt}", at four temperatures'
axis.set(xlabel="rank of the token, best first", ylabel="probability", title=title, ylim=(1e-9, 1))
figure.legend(loc="outside lower center", ncols=2)
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
# where it is sure. We take **held-out** documents, which the model was never trained on (lesson 4),
# and measure the size of the nucleus at every position.

# %%
held_out = split_documents(python_library(course.n_documents))[1]
rows = [encoding.encode_ordinary(document.text) for document in held_out]
length = course.choose(quick=64, normal=256)
rows = [row[:length] for row in rows if len(row) >= length][: course.choose(quick=4, normal=24)]
texts = torch.tensor(rows, device=course.device)  # [N, T]


@torch.inference_mode()
def all_logits(idx: Tensor) -> Tensor:
    """The scores after every position, eight texts at a time: [N, T, V]."""
    return torch.cat([base(part)[0] for part in idx.split(8)])


kept = keep_top_p(all_logits(texts).flatten(0, 1), 0.9).isfinite().sum(-1).cpu()  # [N T]
sizes = [int(np.percentile(kept, q)) for q in (10, 50, 90)]
print(f"a nucleus of 0.9 keeps at most {sizes[0]} tokens at the surest tenth of all places,")
print(f"at most {sizes[1]} at half of them, and {sizes[2]} or more at the most open tenth")

# %%
figure, axis = plt.subplots(figsize=(7, 4.8), layout="constrained")
bins = np.geomspace(1, base.config.vocab_size, 40)
axis.hist(kept, bins=bins, color="tab:green", label="top-p, p = 0.9")
axis.axvline(40, color="tab:red", lw=2, label="top-k, k = 40: the same everywhere")
title = f"The nucleus has from {int(kept.min())} to {int(kept.max()):,} tokens, half of the time "
title += f"at most {sizes[1]}"
axis.set(xscale="log", xlabel="tokens kept", ylabel="places in held-out text", title=title)
figure.legend(loc="outside lower center", ncols=2)
course.save_figure(figure, "nucleus_size")

# %% [markdown]
# Try temperature, top-k and top-p in the lesson's page in the book (`runs/book/lesson-05.html`;
# `minigpt lesson 5` writes it): there are sliders for what comes after "Return the". Set top-p to
# 0.9: how few tokens does it leave at temperature 0.5, and how many at 1.5? Then let the page draw
# a continuation, and see what each setting does to the text.

# %%
vocabulary = [encoding.decode_single_token_bytes(i) for i in range(base.config.vocab_size)]
play = {"prompt": prompt, "ids": encode(prompt)[0].tolist(), "logits": after[0].tolist()}
course.playground("sampling", play | {"tokens": [escape_token(token) for token in vocabulary]})

# %% [markdown]
# ## Six ways to go on
#
# One prompt, one model, one seed. Which way does a task want? Where the answer should be right
# rather than lively, as a label or a translation, take the likeliest: greedy decoding. For prose,
# temperatures from 0.7 to 1 with top-p from 0.9 to 0.95 are a common choice. On the command line:
# `minigpt generate --prompt "Return the"` with `--temperature`, `--top-k` or `--top-p`. Where
# `<|endoftext|>` appears the model has ended its text; whatever follows is a new one.


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
# How varied is a text? **Distinct-n** counts: of all runs of n tokens, what share are different
# from one another? A text that never repeats a run has 1. And we say that a text *ends in a loop*
# if its last phrase, of two tokens or more, stands there three times in a row
# (`lessons/experiments/repetition.py`).

# %%
print("distinct-2 of 1 2 3 1 2 4:", distinct([1, 2, 3, 1, 2, 4], 2), "(12 occurs twice: 4 of 5)")
print("does 9 1 2 1 2 1 2 end in a loop?", ends_in_loop([9, 1, 2, 1, 2, 1, 2]))

# %% [markdown]
# Each of the held-out documents gives a prompt of 16 tokens. The model continues all of them at
# several temperatures, and we compare with what people really wrote next. We also ask how
# surprising each text is to the model itself: its **perplexity**, e to the mean loss per token.
# (Even 0 loops in 24 texts get an error bar: another 24 might have had some. It is computed as if
# two more texts that loop and two more that do not had been seen.)

# %%
n_prompt = 16
n_new = min(length - n_prompt, course.choose(quick=16, normal=128))
human = texts[:, : n_prompt + n_new]  # [N, T]
prompts = human[:, :n_prompt]


def examine(ids: Tensor) -> Measured:
    """Variety, loops and losses of the texts that follow the prompts."""
    scores = all_logits(ids)[:, n_prompt - 1 : -1].transpose(1, 2)  # [N, V, T]
    losses = F.cross_entropy(scores, ids[:, n_prompt:], reduction="none").mean(-1)  # [N]
    return measure(ids[:, n_prompt:].tolist(), losses.tolist())


temperatures = course.choose([0, 1.0], [0, 0.3, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5])
curve = {t: examine(write(prompts, n_new, temperature=t)) for t in temperatures}
greedy, nucleus, people = curve[0], examine(write(prompts, n_new, top_p=0.95)), examine(human)
measured = {f"temperature {t}": m for t, m in curve.items()}
measured |= {"top-p 0.95": nucleus, "people": people}
print(f"{len(texts)} texts (± standard error)\n{'':<16}  distinct-2  ends in a loop     perplexity")
for name, m in measured.items():
    print(f"{name:<16}{m.row()}")

# %% [markdown]
# Holtzman et al. (2020) found that the likeliest text repeats itself, that people do not write the
# likeliest text, and that text sampled from a nucleus repeats itself about as rarely as people's.
# (Greedy decoding takes the likeliest token at each place, which need not give the likeliest text
# of all. **Beam search**, which keeps several beginnings, comes closer, and they found that its
# texts repeat themselves, too.) Ours is a far smaller model, and another kind of text. Is it the
# same here?

# %%
course.save_figure(draw_temperatures(curve, people), "repetition")
fewer = greedy.share - nucleus.share
course.published(
    "texts that end in a loop: greedy less top-p 0.95", "Holtzman et al. 2020",
    "greedy text repeats itself, nucleus sampling hardly does",
    f"{greedy.share:.0%} less {nucleus.share:.0%}; people {people.share:.0%}",
    is_more(100 * fewer, 100 * math.hypot(greedy.share_error, nucleus.share_error),
            places=0, unit=" points"),
)  # fmt: skip
surprise = people.losses - greedy.losses  # each pair follows the same prompt
course.published(
    "loss per token: people's text less greedy text", "Holtzman et al. 2020",
    "people do not write the likeliest text",
    f"{people.losses.mean():.2f} less {greedy.losses.mean():.2f} nats (perplexity "
    f"{people.perplexity:.1f} and {greedy.perplexity:.1f})",
    is_more(float(surprise.mean()), error_of_mean(surprise), unit=" nats"),
)  # fmt: skip

# %% [markdown]
# If the model knew exactly how people write, people's text would surprise it just as much as its
# own samples at temperature 1. Compare the two in the table: a gap says that it does not.
#
# ## The KV cache: do not read twice
#
# To choose token 101 the model reads 100 tokens; for token 102 it reads the same 100 again, and one
# more. But a token only looks back, so nothing that comes later changes its keys and values (lesson
# 2). Let us check that on six tokens: we read four of them, then all six.

# %%
six = texts[:1, :6]  # [1, 6]
keys = []
with torch.inference_mode():
    for n in (4, 6):
        cache = KVCache(base.config.n_layer, capacity=8)
        base(six[:, :n], cache=cache)
        keys.append(cache.layers[-1].keys[:, :, :4])  # [1, H, 4, D]
change = float((keys[0] - keys[1]).abs().max())
print(f"keys of the top layer for four tokens: {list(keys[0].shape)}")
course.checked(
    "keys of four tokens when two more are read", f"change by {change:.1e} at most",
    holds(change < 1e-5 * float(keys[0].abs().max())),
)  # fmt: skip

# %% [markdown]
# So they are kept, and that is the **KV cache**. From then on each step reads one token only. It
# should write the same text.

# %%
n_compared = course.choose(quick=16, normal=96)
same = 0
for setting in ({"temperature": 0}, {"top_p": 0.9}):
    cached, uncached = (write(six, n_compared, use_cache=c, **setting) for c in (True, False))
    same += int((cached == uncached)[:, 6:].sum())
course.checked(
    "tokens with and without the KV cache",
    f"{same} of {2 * n_compared} equal",
    holds(same == 2 * n_compared, no="rounding tipped a close choice"),
)

# %% [markdown]
# The price is memory: two vectors, a key and a value, for each layer and token. Work it out for
# your model before you promise it a long context. (A number in fp16, lesson 9, takes 2 bytes.)

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
held = sum(
    part[:, :, :6].nbytes for layer in cache.layers for part in (layer.keys, layer.values)
)  # the six tokens that were read
formula = 6 * 2 * base.config.n_layer * base.config.n_embd * keys[0].element_size()
course.checked(
    "memory of six tokens in the cache", f"{held:,} bytes; by the formula {formula:,}",
    holds(held == formula),
)  # fmt: skip

# %% [markdown]
# And the gain? We time one token after texts of growing length.


# %%
@torch.inference_mode()
def choose_next(idx: Tensor, cache: KVCache | None) -> None:
    """Choose the token after idx; a cache holds all tokens of idx before the last."""
    for layer in () if cache is None else cache.layers:
        layer.length = idx.size(1) - 1  # forget the last one, which a round before this has read
    next_logits(base, idx, cache).argmax().item()  # on a GPU, item waits for the result


longest = min(base.config.block_size, texts.numel())
lengths = [16, 32, *range(64, longest, 64), longest][: course.choose(2, None)]
work = {}
for n in lengths:
    idx, cache = texts.flatten()[None, :n], KVCache(base.config.n_layer, capacity=n)
    with torch.inference_mode():
        next_logits(base, idx, cache)  # what was read before does not count
    work[n, False], work[n, True] = (partial(choose_next, idx, held) for held in (None, cache))
ms = in_turns(work, rounds=7)
without, with_cache = ([np.median(ms[n, cached]) for n in lengths] for cached in (False, True))

# %%
figure, axis = plt.subplots(figsize=(7, 4.8), layout="constrained")
axis.plot(lengths, without, "o-", color="tab:red", label="without: everything is read again")
axis.plot(lengths, with_cache, "o-", color="tab:blue", label="with the KV cache: one token is read")
title = f"After {lengths[-1]} tokens, the next one takes {without[-1]:.1f} ms without the cache,\n"
title += f"{with_cache[-1]:.1f} ms with it ({course.device}; a busy machine changes these times)"
axis.set(xlabel="tokens read", ylabel="time per token (ms), median of 7", title=title)
axis.set_ylim(bottom=0)
figure.legend(loc="outside lower center", ncols=2)
course.save_figure(figure, "kv_cache")
slow, fast = (ms[lengths[-1], cached] for cached in (False, True))
course.checked(
    f"time that the cache saves per token, after {lengths[-1]} tokens",
    f"{np.median(slow):.1f} ms without, {np.median(fast):.2f} ms with it",
    is_more(float(slow.mean() - fast.mean()), math.hypot(error_of_mean(slow), error_of_mean(fast)),
            unit=" ms", no="the cache takes longer here", checked=True),
)  # fmt: skip

# %% [markdown]
# When the text is longer than the context, the window slides: every token moves to another
# position, so the stored keys are of no use and minigpt reads the whole window again, slowly but
# correctly. Models that are made to write for longer encode positions in other ways.
#
# ## Asking instead of training
#
# GPT-3 made prompting famous: say what you want, show a few examples, and the model does it without
# any training. With no example that is called **zero-shot**, with one **one-shot**, with several
# **few-shot**. Here are three tasks with two examples each: to translate, to judge a review, and to
# write code. The third prompt has the form of the slides: `[example] description [toCode] code`.

# %%
tasks = few_shot.tasks(n_items=course.choose(4, 120))
for task in tasks.values():
    asked = task.prompt(task.examples[:2], task.items[0])
    ids = write(encode(asked), 16, temperature=0)[0].tolist()
    answer = encoding.decode(ids).removeprefix(asked)
    print(f"{asked} ...\n-> wanted {task.items[0][task.answer]!r}, got {answer!r}\n")

# %% [markdown]
# One answer proves little. How many of the first twenty items does it answer correctly, after four
# examples? An answer counts if its first line begins with the right one.

# %%
n_written = course.choose(2, 20)
n_right = {}
for name, task in tasks.items():
    lines = few_shot.written(base, encoding, task, 4, course.seed, n_written)
    asked = zip(lines, task.items, strict=False)
    n_right[name] = sum(line.startswith(item[task.answer]) for line, item in asked)
    print(f"{name}: {n_right[name]} of {len(lines)} right; the first answer: {lines[0]!r}")
share, n = sum(n_right.values()) / (3 * n_written), 3 * n_written
course.checked(
    "fewer than one in ten answers right, after 4 examples", f"{sum(n_right.values())} of {n}",
    is_more(100 * (0.1 - share), 100 * error_of_share(share, n), unit=" points below a tenth",
            places=1, checked=True, no="one in ten or more are right"),
)  # fmt: skip

# %% [markdown]
# ## A fairer test
#
# Perhaps the model knows more than it can write. So we ask for less: **is the right answer at least
# more likely to it than wrong ones?** Each item is given four answers, its own and those of three
# other items (for reviews the two labels). An answer is scored by what it gains from the prompt:
# how much likelier its tokens are, on average, after the prompt than after the bare word "French:"
# (or "Sentiment:", or "[toCode]"). Otherwise an answer that is always likely would win whatever the
# question. Brown et al. (2020, section 2.4) score in this way where it helps. The same four answers
# are offered to four items, so a model that does not look at the question gets one in four (of the
# reviews, one in two).

# %%
SHOTS = (0, 1, 4)
results = {
    name: [few_shot.exam(base, encoding, task, n, course.seed) for n in SHOTS]
    for name, task in tasks.items()
}
for name, exams in results.items():
    row = ", ".join(
        f"{n} shown {e.accuracy:.0%} ± {e.error:.0%}" for n, e in zip(SHOTS, exams, strict=True)
    )
    print(f"{name}: {len(exams[0].right)} items, guessing gets {exams[0].chance:.0%}: {row}")

# %% [markdown]
# Guesses scatter, too. In the picture the black lines show two standard errors to each side
# (Wilson's interval, which stays between 0 and 100%). A black line that reaches the dashed one has
# shown nothing. And mind that there are nine of them: if all nine were pure guesses, one time in
# three at least one would miss its dashed line. (In the closing table the rows "right answers above
# guessing" have a guesser's standard error, the square root of p (1 - p) / n, with p the share that
# guessing gets and n the number of items. So it differs from the ± printed above.)
#
# The second picture asks something easier of the reviews: how likely is it that "positive" or
# "negative" comes next at all, right or wrong? To do that it is enough to copy the form of an
# answer from the examples, without seeing what decides between the two. Read the scale of the axis
# before the slope of the line.

# %%
figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
few_shot.draw_bars(axes[0], SHOTS, results)
axes[1].plot(SHOTS, [100 * e.mass for e in results["sentiment of a review"]], "o-", color="C1")
axes[1].set(ylabel='probability of "positive" or "negative" (%)', xticks=SHOTS)
most = 100 * max(e.mass for e in results["sentiment of a review"])
title = "Reviews: one of the two words comes next\n"
title += f"with a mean probability of at most {most:.2g}%"
axes[1].set(xlabel="examples in the prompt", title=title)
axes[1].set_ylim(bottom=0)
figure.legend(loc="outside lower center", ncols=3)
course.save_figure(figure, "few_shot")
for n, exam in zip(SHOTS, results["sentiment of a review"], strict=True):
    print(f'"positive" or "negative" comes next, on average: {100 * exam.mass:.2g}% with {n} shown')

# %% [markdown]
# Brown et al. report that accuracy rises with the number of examples, and the more so the larger
# the model. For translation into French they give the BLEU (lesson 6) of what GPT-3 wrote: 25.2,
# 28.3 and 32.6 with no, one and several examples (table 3.4). That is a different quantity from
# ours, and it is not measured here: our model picks among given answers and does not write them.

# %%
n_parameters = count_parameters(base.config)
for name, (none, _, four) in results.items():
    course.published(
        f"{name}: 4 examples against none", "Brown et al. 2020, figure 1.2",
        "accuracy rises with the number of examples",
        f"{none.accuracy:.0%} to {four.accuracy:.0%} of {len(four.right)} items",
        four.against(none, n_parameters),
    )  # fmt: skip
    for n, exam in ((0, none), (4, four)):
        course.checked(
            f"{name}, {n} examples: right answers above guessing",
            f"{exam.accuracy:.0%}, guessing {exam.chance:.0%}",
            exam.against_chance(),
        )

# %% [markdown]
# Where the model does well, ask why before you call it understanding. It has read pages with an
# English text and its French translation (lesson 4), and the two languages share the beginnings of
# many words. "Sort the names" has letters in common with `names.sort()`. A review hardly has any
# with its label. How far would someone get who knows neither French nor Python, but picks the
# answer that looks most like the question: the one with the largest share of its runs of three
# letters in common with it?

# %%
for name, task in tasks.items():
    share, error = few_shot.by_letters(task)
    none, _, four = results[name]
    print(f"{name}: {share:.0%} ± {error:.0%} by letters alone; the model {none.accuracy:.0%} "
          f"without examples, {four.accuracy:.0%} with 4; guessing {task.chance:.0%}")  # fmt: skip
    course.checked(
        f"{name}, 4 examples: the model above letters alone",
        f"{four.accuracy:.0%}, letters {share:.0%}",
        is_more(100 * (four.accuracy - share), 100 * math.hypot(four.error, error), places=0,
                unit=" points", checked=True, no="letters alone tell as much or more"),
    )  # fmt: skip

# %% [markdown]
# Only a model that does better than the letters has shown that it knows more than they tell.
#
# ## What examples cost
#
# Examples are not free. They fill the **context window**, the number of tokens that a model can see
# at once, and each answer waits until they have been read. The question and the answer have to fit
# beside them. How many tokens does an example take? We count those of the three tasks, and of a
# fourth: a dialogue with its summary. The numbers in brackets say how many examples would fill a
# window.

# %%
lines = {name: [task.example(item) for item in task.examples] for name, task in tasks.items()}
lines["summary"] = [
    f"{r['dialogue']}\nSummary: {r['summary']}\n" for r in task_set("dialogues", "train")
]
tokens = {name: few_shot.example_tokens(encoding, shown[:200]) for name, shown in lines.items()}
windows = {"base model, 512": 512, "GPT-2, 1,024": 1024, "GPT-3, 2,048": 2048}
print(f"{'tokens':<24}an example  4 examples   fit into " + "; ".join(windows))
for name, each in tokens.items():
    fit = [int(size / np.mean(each)) for size in windows.values()]
    mean = f"{np.mean(each):6.1f} ± {error_of_mean(each):.1f}"
    print(f"{name:<24}{mean}  {4 * np.mean(each) / 512:6.0%} of 512   {fit}")
course.save_figure(few_shot.draw_costs(tokens, windows), "prompt_cost")

# %% [markdown]
# Brown et al. (section 2) say that typically 10 to 100 examples fit into GPT-3's window. Our
# tokenizer is not theirs: with 4,096 tokens it cuts texts into shorter pieces than GPT-3's with
# 50,257, so that more of ours are needed for the same example.

# %%
for name, each in tokens.items():
    fit = int(2048 / np.mean(each))
    course.published(
        f"{name}: examples that fit into 2,048 tokens", "Brown et al. 2020, section 2", "10 to 100",
        f"{fit}, with {np.mean(each):.0f} tokens an example",
        holds(10 <= fit <= 100, published=True,
              no=f"our examples are {'short' if fit > 100 else 'long'}"),
    )  # fmt: skip

# %% [markdown]
# ## What to take away
#
# - Greedy decoding is for short answers. Sampling is for prose, with the tail of unlikely tokens
#   cut off.
# - The likeliest tokens do not make the best text: it repeats itself, and people do not write it.
# - With the KV cache each step reads one token. Its memory grows with the length of the text.
# - Test a prompt on enough items, against guessing, with a standard error.
# - Examples in a prompt take tokens of the window each time. What a small model gains from them is
#   little, and it may even lose (see the table); it is **trained** for what it should do. That is
#   what the lessons from 7 on are about.

# %%
course.finish()

# %% [markdown]
# Your turn: temperature, top-k, top-p, a cache. `minigpt exercise start 5` writes the stubs, and
# `minigpt exercise check 5` says what your code computes.
#
# Next: lesson 6 measures how good a written answer is.
