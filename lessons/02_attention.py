# %% [markdown]
# # Lesson 2: Attention
#
# To guess what comes after "The cat sat", the word "sat" has to find out who sat. Attention is how
# one token asks the others. It is three lines of arithmetic, and you will do them by hand on four
# words before a real model does them on a sentence. Then we take the mask away, and the same block
# becomes an encoder, which fills in blanks instead of writing.
#
# After this lesson you can
#
# - compute masked attention by hand: scores, mask, softmax, weighted average;
# - explain why scores are divided by √D, what a head is, and what more heads change;
# - read a map of attention, and say why so much of it may rest on the first token;
# - say what attention costs as texts grow;
# - say what an encoder is, why it cannot write, and how one vector of it classifies a text.
#
# You need: lesson 1 (tokens, ids, pairs, packing), matrix products, and PyTorch's tensors and
# modules. Allow 60 minutes, and another 45 for the exercises; the script takes about a minute. Next
# comes lesson 3, which puts the whole GPT-2 together.
#
# Run it: `python lessons/02_attention.py`, or `minigpt lesson 2`. The code behind it is in
# `minigpt/model.py`, and for the last part in `lessons/experiments/encoder.py`.
#
# Terms can be looked up in the [glossary](GLOSSARY.md).

# %%
import copy
import math
import re
import sys
from dataclasses import replace
from itertools import pairwise

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson

course = lesson.start(2, "Attention")

# %%
import numpy as np
import tiktoken
import torch
from torch import Tensor
from torch.nn import functional as F

from lessons.experiments.attention_cost import least_seconds, operations
from lessons.experiments.attention_figures import draw_cost, draw_exam, draw_maps, draw_mask
from lessons.experiments.attention_sink import measure_sink
from lessons.experiments.encoder import Blanks, Encoder, examine
from lessons.experiments.sentiment_vectors import Classifier, Review, classify, train_classifier
from lessons.verdicts import error_of_mean, error_of_share, holds, is_more, same_figure
from minigpt import GPT, GPTConfig, count_parameters, load_pretrained, train_bpe
from minigpt.config import IGNORE
from minigpt.dataset import PackedText, pack
from minigpt.fast.attention import fused_attention
from minigpt.generation import generate
from minigpt.model import (
    MLP,
    CausalSelfAttention,
    causal_mask,
    masked_attention,
    record_attention,
)
from minigpt.text.task_sets import task_set, task_texts
from minigpt.tokenizer import END_OF_TEXT
from minigpt.training.loop import train
from minigpt.training.settings import TrainConfig

torch.set_printoptions(precision=2, sci_mode=False)

# %% [markdown]
# ## Four words, two numbers each
#
# Every word has three vectors. Its **query** says what it is looking for, its **key** what it
# offers, and its **value** what it hands over to whoever asks. A model learns them. Here we make
# them up: the first number is about nouns, the second about verbs. "sat" looks for a noun (who
# sat?), "cat" and "down" look for a verb, and "The" looks for nothing. (In the comments T is the
# number of words or tokens, and D the length of a query or key.)

# %%
words = ["The", "cat", "sat", "down"]
q = torch.tensor([[0.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 3.0]])  # [T=4, D=2] looks for
k = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 1.0]])  # [T=4, D=2] offers
v = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.5]])  # [T=4, D=2] hands over

# %% [markdown]
# ## One dot product, then all of them
#
# How well does what "cat" offers fit what "sat" looks for? Multiply number by number and add up: a
# **score**. One matrix product gives the score of every word (row) with every word (column).

# %%
print(f"sat looks for {q[2].tolist()}, cat offers {k[1].tolist()}: score {q[2] @ k[1]:.0f}")
scores = q @ k.T  # [T, T]
print(f"all scores, rows ask and columns answer ({', '.join(words)}):\n{scores}")

# %% [markdown]
# ## Why divide by the square root of D?
#
# The **softmax**, $e^{\text{score}}$ divided by the sum of its row, turns a row of scores into
# shares that add up to 1. If the scores are large, nearly everything goes to one word, before
# anything has been learned, and a share near 0 or 1 hardly changes when its score does: there is
# little to learn from. And scores grow with the length of the vectors: the dot product of two
# vectors of D independent random numbers with mean 0 and variance 1 has variance D. Dividing by
# $\sqrt{D}$ brings the variance back to 1.

# %%
for size in (4, 16, 64):
    products = (torch.randn(20_000, size) * torch.randn(20_000, size)).sum(-1)  # [20000]
    ten = products.view(-1, 10)  # [2000, 10] ten words to choose from
    plain, divided = (s.softmax(-1).amax(-1).mean() for s in (ten, ten / math.sqrt(size)))
    print(f"D = {size:>2}: variance {products.var():4.1f}; of ten shares, the largest is ", end="")
    print(f"{plain:.2f} on average, {divided:.2f} after dividing")
error = error_of_mean((products - products.mean()).square().numpy())  # of the variance
course.published(
    "variance of q·k at D = 64", "Vaswani et al. 2017, section 3.2.1", "64 (it is D)",
    f"{products.var():.1f} ± {error:.1f}",
    same_figure("64", products.var().item(), "it is more than three standard errors away",
                within=3 * error),
)  # fmt: skip
scores = scores / math.sqrt(q.size(-1))  # [T, T]

# %% [markdown]
# ## The mask
#
# A decoder, which is what a GPT is, learns to guess the next word. If "cat" could look at "sat", it
# would not guess but copy. So every word sees only itself and those before it: the lower triangle.
# What is hidden gets the score minus infinity.

# %%
mask = causal_mask(4, 4)  # [T, T]
masked_scores = scores.masked_fill(~mask, float("-inf"))  # [T, T]
print(f"who may look at whom:\n{mask.int()}\nscores with the mask:\n{masked_scores}")

# %% [markdown]
# ## Softmax and values
#
# As $e^{-\infty} = 0$, nothing hidden gets a share. "The" is alone and gives itself everything.
# "cat" wanted a verb, but the verbs come later, so it shares equally between what it sees.
#
# Each word then takes the average of the values, weighted by its row. "sat" ends up with mostly
# what "cat" handed over: it now knows who sat.

# %%
weights = masked_scores.softmax(dim=-1)  # [T, T]
print(f"weights:\n{weights}\nsum of each row: {weights.sum(-1)}")
mixed = weights @ v  # [T, D]
for word, own, after in zip(words, v.tolist(), mixed.tolist(), strict=True):
    print(f"{word:>5}: own value {own}, after attention [{after[0]:.2f}, {after[1]:.2f}]")
course.save_figure(draw_mask(words, scores, masked_scores, weights), "mask")

# %% [markdown]
# That is masked attention: $\text{softmax}(q k^T / \sqrt{D}) \, v$. The library's
# `masked_attention` is these lines for B texts, and H heads in each (see below), at once; torch has
# a fused kernel, one compiled program for all the lines, that never stores the weights. All
# three must agree.

# %%
four = [part[None, None] for part in (q, k, v)]  # [B=1, H=1, T=4, D=2] each
from_library, library_weights = masked_attention(*four)  # [1, 1, 4, 2], [1, 1, 4, 4]
from_torch = F.scaled_dot_product_attention(*four, is_causal=True)  # [1, 1, 4, 2]
difference = max((mixed - other[0, 0]).abs().max().item() for other in (from_library, from_torch))
print(f"by hand, masked_attention and torch's kernel differ by {difference:.1g} at most")
assert torch.allclose(library_weights[0, 0], weights)
verdict = holds(difference < 1e-6)
course.checked("by hand against library and torch", f"{difference:.1g} apart", verdict)

# %% [markdown]
# ## A GPT has no attention to an encoder
#
# Queries, keys and values above all came from the same words: **self-attention**. A **transformer**
# is a stack of blocks that are built alike, each with attention in it (lesson 3 builds one).
# The first was a translator in two halves (Vaswani et al. 2017). An encoder read the English, and
# each block of the decoder had a second attention, **cross-attention**: queries from the French
# written so far, keys and values from the encoder's English. It needs no mask, because all of the
# English is there from the start. Here are two French words that ask four English ones.

# %%
asking = torch.randn(1, 1, 2, 2)  # [B=1, H=1, Tq=2, D=2] queries of two words being written
read_k, read_v = torch.randn(2, 1, 1, 4, 2)  # [1, 1, Tk=4, D=2] each, of four words being read
mixed, cross_weights = masked_attention(asking, read_k, read_v, causal=False)
print(f"two words look at four: weights {list(cross_weights.shape[2:])}\n{cross_weights[0, 0]}")

# %% [markdown]
# GPT keeps only the decoder, and with no encoder to ask it drops that second attention. What it is
# to translate stands in the same text, before the answer, as in `I am a student <to-fr> je suis
# étudiant` (lesson 1), and self-attention finds it there.
#
# ## Many heads
#
# One set of weights can look for one thing. In a GPT every token is a vector of C numbers (lesson 3
# says where they come from), and C is the **width** of the model. The width is split into H
# **heads**, and each does the above with its own D = C / H numbers. All queries, keys and values
# come from the token vectors through one learned matrix, `c_attn`; another, `c_proj`, blends what
# the heads bring back. Here is a width of 8 in two heads of 4.

# %%
attention = CausalSelfAttention(GPTConfig(n_head=2, n_embd=8)).eval()
with torch.no_grad():
    x = torch.randn(1, 4, 8)  # [B=1, T=4, C=8] four token vectors
    q, k, v = attention.c_attn(x).split(8, dim=-1)  # [1, 4, 8] each
    heads = []
    for h in (0, 1):
        mine = [part[:, None, :, 4 * h : 4 * h + 4] for part in (q, k, v)]  # [1, 1, 4, 4] each
        mixed, weights = masked_attention(*mine)
        heads.append(mixed[:, 0])  # [1, 4, 4]
        print(f"weights of head {h}:\n{weights[0, 0]}")
    y = attention.c_proj(torch.cat(heads, dim=-1))  # [1, 4, 8] side by side, then blended
    apart = (y - attention(x)).abs().max().item()
course.checked("head by head against the layer", f"{apart:.1g} apart", holds(apart < 1e-6))

# %% [markdown]
# What do more heads cost? The matrices stay the same and are cut into more pieces, and their
# products take as many additions and multiplications as before. What grows is the number of maps:
# each head has its own T × T weights. (Usually the layer runs a fused kernel, which never stores
# them; `record_attention` makes it take the plain way.) What shrinks is each head: it compares
# vectors of D = C / H numbers.

# %%
T, width = 256, 256
print("heads    D   parameters   operations   weights in the maps")
x = torch.randn(1, T, width)  # [1, T, C]
work = {}  # additions and multiplications in the matrix products, counted as they run
for n_head in (1, 2, 4, 8, 16):
    layer = CausalSelfAttention(GPTConfig(n_head=n_head, n_embd=width)).eval()
    with record_attention(layer) as maps:  # takes the plain way and keeps the weights
        work[n_head] = operations(layer, x)
    size = sum(p.numel() for p in layer.parameters())
    row = f"{size:>12,} {work[n_head]:>12,} {maps[0].numel():>21,}"
    print(f"{n_head:>5} {width // n_head:>4} {row}")
ratio = work[8] / work[1]
course.published(
    "work of 8 heads against one of full width", "Vaswani et al. 2017, section 3.2.2", "similar",
    f"x {ratio:.2f} in operations", same_figure("1.0", ratio, "the products have other sizes"),
)  # fmt: skip

# %% [markdown]
# ## A real model
#
# Now the small GPT that ships with minigpt, its base model (lesson 4 trains it). Its vocabulary has
# 4,096 entries, too, but was learned from more kinds of text than yours of lesson 1. In the
# settings that are printed, block_size is the context, n_layer the number of blocks (also called
# layers, and counted from 0), n_head that of heads in each, and n_embd the width; bias comes in
# lesson 3, and dropout is for training (lesson 4).

# %%
base, encoding = load_pretrained("base")
base = base.to(course.device).eval()
print(f"{base.config}\nhas {count_parameters(base.config):,} parameters")

# %% [markdown]
# At each place the model gives every token of the vocabulary a number that says how well it would
# come next; lesson 3 shows how. (A call returns these numbers and a loss, if there is one to
# compute, hence the `[0]`.) Does the mask keep its promise? Change the last four tokens of a
# sentence. With the mask, the numbers of earlier places must not move at all; without it they may.
# For each place we print how far its numbers moved at most.

# %%
ids = encoding.encode_ordinary("The waiter was friendly and the food was fresh, so we came back.")
idx = torch.tensor([ids], device=course.device)  # [1, T]
other = torch.cat([idx[:, :-4], idx[:, :4]], dim=1)  # [1, T] another end
earlier = {}
for causal in (False, True):
    with torch.no_grad():
        moved = (base(other, causal=causal)[0] - base(idx, causal=causal)[0]).abs().amax(-1)[0]
    print(f"{'with' if causal else 'without'} the mask the numbers move by {moved}")
    earlier[causal] = moved[:-4].max().item()
measured = f"{earlier[True]:.1g}; {earlier[False]:.1f} without the mask"
course.checked("how far later tokens move what a model says", measured, holds(earlier[True] < 1e-4))

# %% [markdown]
# Here are the maps of all heads on that sentence. In each row, the token on the left asks and the
# dark squares answer. Heads differ: some spread their attention, some pick single tokens. The upper
# right is empty in all of them: that is the mask. One map is drawn large, that of the most decided
# head, the one whose rows put the most on a single token, on average.

# %%
with torch.no_grad(), record_attention(base) as recorded:
    base(idx)  # recorded: n_layer tensors [1, H, T, T]
maps = torch.cat(recorded).float().cpu()  # [n_layer, H, T, T]
ahead = maps.triu(1).max().item()
course.checked("the largest weight on a later token", f"{ahead:.1g}", holds(ahead == 0))
tokens = [encoding.decode([i]).replace(" ", "·") for i in ids]
course.save_figure(draw_maps(maps, tokens), "attention_maps")

# %% [markdown]
# The lesson's page in the book (`runs/book/lesson-02.html`; `minigpt lesson 2` writes it) has these
# maps to play with. Point at "came" there and go through the heads: which one reads the token just
# before, which one the first token, which one everything up to "came" at once?

# %%
course.playground("attention", {"tokens": tokens, "maps": maps.tolist()})

# %% [markdown]
# ## A place to rest: the attention sink
#
# Look down the first column of the maps. Where it is dark, token after token looks at the first
# one, whatever that is. Xiao et al. (2023) found this in large models and called it an **attention
# sink**. Their explanation: a row of softmax must add up to 1, so a head that has nothing to fetch
# has to put its attention somewhere. The first token suits, because every later token can see it.
# Bondarenko et al. (2023) add: heads that are to do nothing look at tokens whose values are short
# vectors. Looking there adds next to nothing, and the head can rest.
#
# We measure both on texts of 16 tokens, as Xiao et al. did. How much of its attention does the last
# token give to the first, where an even spread would give each token 1/16? And how long is the
# first token's value beside those of the others?

# %%
reviews = [encoding.encode_ordinary(row["text"])[:16] for row in task_set("reviews", "test")]
reviews = [ids for ids in reviews if len(ids) == 16][: course.choose(quick=8, normal=256)]
share, value_length = measure_sink(base, torch.tensor(reviews, device=course.device))
print(f"{len(reviews)} reviews; an even spread would give the first token {100 / 16:.1f}%")
for layer, (shares, length) in enumerate(zip(share, value_length, strict=True)):
    mean, error = 100 * shares.mean(), 100 * error_of_mean(shares.numpy())
    print(f"layer {layer}: the first token gets {mean:4.1f} ± {error:.1f}%; ", end="")
    print(f"its value is {length.mean():.2f} times as long as the others")

# %% [markdown]
# Xiao et al. saw a strong sink in every layer of a model with 7 billion parameters, apart from the
# first two. Ours has 5 million. Does the first token get more than an even share, on average and in
# every layer from layer 2 on?

# %%
over = 100 * (share[2:] - 1 / 16)  # [layers, reviews], points above an even share
average = over.mean(0)
measured = f"{average.mean() + 100 / 16:.1f}% on average, even is {100 / 16:.1f}%"
verdict = is_more(
    average.mean().item(), error_of_mean(average.numpy()), places=1, unit=" points", checked=True
)
course.checked("attention to the first token from layer 2 on", measured, verdict)
weakest = over[over.mean(1).argmin()].numpy()  # [reviews], in the layer that has least of it
course.published(
    "each layer from layer 2 on looks at the first token", "Xiao et al. 2023, figure 2", "heavily",
    ", ".join(f"{mean + 100 / 16:.1f}%" for mean in over.mean(1).tolist()),
    is_more(float(weakest.mean()), error_of_mean(weakest), places=1, unit=" points",
            yes="more than an even share in the weakest of them",
            no="in this small model the weakest layer gives it less than an even share"),
)  # fmt: skip

# %% [markdown]
# If heads rest there, a second thing should be true: the first token's value should be a shorter
# vector than those of the others.

# %%
shorter = 1 - value_length[2:]  # [layers, reviews], by what share of the others' length
least = shorter[shorter.mean(1).argmin()].numpy()  # [reviews], in the layer that has least of it
measured = ", ".join(f"{100 * part:.0f}%" for part in shorter.mean(1).tolist())
verdict = is_more(
    100 * float(least.mean()), 100 * error_of_mean(least), places=1, unit="% shorter", checked=True,
    yes="looking there adds less", no="looking there does not add less in every layer",
)  # fmt: skip
course.checked("how much shorter its value is, from layer 2 on", measured, verdict)
print(f"from layer 2 on, the value of the first token is shorter by {measured}")

# %% [markdown]
# Read the two together. In our model the first token gets most in the early layers, not in the late
# ones, and its value is short even where it gets no more than an even share. So a short value alone
# does not show that heads rest there: this model of 5 million parameters has at most the beginnings
# of a sink.
#
# In a model that has one, cutting the beginning off a long text to save memory also cuts off the
# sink. That was the point of the paper: keep the first few tokens, and the model keeps working.
#
# ## What attention costs
#
# Every token asks every token, so T tokens make T × T scores: twice the text, four times the work
# (scores, softmax and mixing; the matrices `c_attn` and `c_proj` work on each token alone). The
# **MLP**, the other half of a block (lesson 3), looks at each token alone: twice the text, twice
# the work. We take both the count and the time. The times need not follow the counts: they grow
# faster where the weights outgrow the processor's cache, and other programs on the machine disturb
# them.

# %%
lengths = course.choose(quick=[32, 64, 128], normal=[256, 512, 1024, 2048], full=[1024, 2048, 4096])
mlp = MLP(GPTConfig(n_head=4, n_embd=256)).to(course.device).eval()
cost: dict[str, list[float]] = {"attention, written out": [], "attention, fused": [], "MLP": []}
counts = []  # (attention, MLP) for each length
how_long = course.choose(quick=0.01, normal=0.3)  # seconds for each time that is taken
for length in lengths:
    x = torch.randn(1, length, 256, device=course.device)  # [1, T, 256]
    q = x.view(1, length, 4, 64).transpose(1, 2)  # [1, 4, T, 64]
    for name, layer, inputs in (
        ("attention, written out", masked_attention, (q, q, q)),
        ("attention, fused", fused_attention, (q, q, q)),
        ("MLP", mlp, (x,)),
    ):
        cost[name].append(least_seconds(layer, *inputs, measure_for=how_long))
    counts.append((operations(masked_attention, q, q, q), operations(mlp, x)))

# %%
for name, times in cost.items():
    print(f"{name:<22} {', '.join(f'{1e3 * t:.2f}' for t in times)} ms for {lengths} tokens")
course.save_figure(draw_cost(lengths, cost), "cost")
growth = np.median([late / early for early, late in pairwise(cost["attention, written out"])])
ratio, of_mlp = (late / early for early, late in zip(*counts[-2:], strict=True))
course.published(
    "attention, twice the text", "Vaswani et al. 2017, table 1", "x 4, as O(n² d)",
    f"x {ratio:.1f} in operations, x {growth:.1f} in time",
    same_figure("4.0", ratio, "the matrix products do not grow as T²"),
)  # fmt: skip
measured = f"x {of_mlp:.1f} in operations"
course.checked("MLP, twice the text", measured, holds(of_mlp == 2))

# %% [markdown]
# ## Mask off: an encoder
#
# The mask is there so that a decoder cannot see the answer. What if we take it off? We train a
# small decoder on simple sentences, and then go on from its weights in three ways:
#
# - the **decoder** keeps its mask and goes on guessing the next token, at every position;
# - the **cheater** loses the mask and goes on guessing the next token as if nothing had happened;
# - the **encoder** loses the mask and guesses hidden tokens instead, 15% of all, as did BERT, the
#   best-known encoder (Devlin et al. 2018; BERT showed some of them as other words, we hide all).

# %%
sentences = [row["en"] for row in task_set("translation", "train")]
new_sentences = [row["en"] for row in task_set("translation", "test")]
SPECIAL = (END_OF_TEXT, "[MASK]", "[CLS]")  # [CLS]'s turn comes below
review_texts = [row["text"] for row in task_set("reviews", "train")]  # for the last part
small_encoding = train_bpe([*sentences, *review_texts], course.choose(600, 2048), SPECIAL)
END, MASK, CLS = (small_encoding.encode_single_token(name) for name in SPECIAL)
packed = [pack(small_encoding.encode_ordinary_batch(s), END) for s in (sentences, new_sentences)]
text = PackedText(*packed, block_size=16, seed=course.seed)
blanks = Blanks(text, MASK)
shown, wanted, _ = blanks.train_batch(0, 1)  # [1, T] each; IGNORE where nothing is asked
print("the encoder reads:", small_encoding.decode(shown[0].tolist()))
print("and has to find:  ", small_encoding.decode(wanted[wanted != IGNORE].tolist()))

# %% [markdown]
# The model is small, so that it learns in seconds: two layers, four heads, width 128. Sentences and
# reviews have some two thousand different words, for which a vocabulary of 2,048 is enough. The
# model reads windows of 16 tokens, a sentence or two; its context has room for 32, which reviews
# will need. 260 steps of 64 windows are little more than one reading of the sentences. (With
# `--full` or on a CUDA GPU there are 2,000.)
#
# Small models can be trained with a higher learning rate (how far one step moves the weights) than
# large ones: 3e-3 here, against 6e-4 for the smallest GPT-3. Lesson 4 explains it, the warm-up, the
# weight decay (low here, because in so few readings little can be learned by heart) and the betas.
# Decoder and encoder go on for as many steps as the first decoder had, the cheater for fewer.
#
# The **loss** says how surprised the model is by the right token: 0 would be certainty. Lesson 3
# defines it, and its unit, the nat.

# %%
settings = TrainConfig(
    max_steps=course.choose(quick=8, normal=260, full=2000), batch_size=course.choose(16, 64),
    warmup_steps=course.choose(quick=2, normal=20),
    learning_rate=3e-3, weight_decay=0.01, betas=(0.9, 0.98), device=str(course.device),
)  # fmt: skip
torch.manual_seed(course.seed)
decoder = GPT(GPTConfig(small_encoding.n_vocab, block_size=32, n_layer=2, n_head=4, n_embd=128))
first_losses = train(decoder, text, settings).losses  # a decoder, for a start
cheater, encoder = Encoder(copy.deepcopy(decoder)), Encoder(copy.deepcopy(decoder))
losses = {}
fewer = replace(settings, max_steps=course.choose(8, 80))  # copying is soon learned
ways = {"decoder": (text, settings), "cheater": (text, fewer), "encoder": (blanks, settings)}
models = {"decoder": decoder, "cheater": cheater, "encoder": encoder}
for name, (data, how) in ways.items():
    print(f"the {name} goes on:")
    losses[name] = train(models[name], data, how).losses
    print(f"loss {losses[name][0]:.2f} at first, {np.mean(losses[name][-20:]):.2f} at the end")

# %% [markdown]
# Without a mask, the answer to "what comes next?" stands one place to the right, and all there is
# to learn is to copy it. That takes no English. Is the cheater's loss really below the decoder's?
# We take the last 20 steps of both. Then let both write, where nothing stands to the right yet (0.7
# is the temperature, which lesson 5 explains).

# %%
last = {name: np.array(losses[name][-20:]) for name in ("decoder", "cheater")}
gap = last["decoder"] - last["cheater"]
verdict = is_more(gap.mean(), error_of_mean(gap), unit=" nats", checked=True)
measured = ", ".join(f"{name} {values.mean():.2f}" for name, values in last.items())
course.checked("loss of the decoder above the cheater's", measured, verdict)
for name, model in (("decoder", decoder), ("cheater", cheater)):
    start = torch.tensor([[END]], device=course.device)
    dice = torch.Generator().manual_seed(course.seed)
    written = generate(model, start, 30, 0.7, use_cache=False, generator=dice)[0, 1:].tolist()
    # A slash stands for the end token.
    print(f"the {name} writes:", small_encoding.decode(written).replace(END_OF_TEXT, " / "))

# %% [markdown]
# ## Fill in the blank, or continue?
#
# An exam on texts that none of them has seen. One token is hidden; who finds it? The decoder looks
# at what stands before it. The encoder looks at both sides, and then once more with the text cut
# off after the blank, as it would be if the encoder had to write. Beside the answers the figure
# shows the losses of the training. (The decoder's rises for a moment where it goes on: its learning
# rate climbs to the top again.)

# %%
windows = next(text.validation_batches(course.choose(8, 300))).idx.to(course.device)  # [B, T]
exam = examine(decoder, encoder, windows, MASK, END)
accuracy = {name: right.float().mean().item() for name, right in exam.found.items()}
share_found = {name: f"{value:.1%}" for name, value in accuracy.items()}
print(f"share of {len(exam.place):,} hidden tokens that were found: {share_found}")
course.save_figure(draw_exam(first_losses, losses, exam), "encoder_decoder")

# %% [markdown]
# How sure can we be of a difference? Both models answered the same questions, so we take the
# difference question by question, and its standard error over the windows of text. It says how far
# the result would move with other texts; it says nothing about other models, for which one would
# have to train several of each.

# %%
both_sides = exam.lead("encoder", "decoder")
course.checked(
    "the encoder, with both sides shown, finds more",
    f"encoder {share_found['encoder']}, decoder {share_found['decoder']}",
    is_more(*both_sides, places=1, unit=" points", no="the decoder finds more", checked=True),
)  # fmt: skip
left_side = exam.lead("decoder", "encoder, cut off")
course.checked(
    "the decoder, with the left side shown, finds more",
    f"decoder {share_found['decoder']}, encoder {share_found['encoder, cut off']}",
    is_more(*left_side, places=1, unit=" points", no="the encoder finds more", checked=True),
)  # fmt: skip

# %% [markdown]
# Where does the second side help? At the beginning of a text a decoder knows nothing yet, and later
# it knows a lot. The lines below say what this run shows.

# %%
for first, end in ((1, 3), (3, 6), (6, 40)):
    lead, error = exam.lead("encoder", "decoder", range(first, end))
    places = f"places {first} to {end - 1}" if end < 40 else f"place {first} and later"
    if not abs(lead) > 2 * error:
        says = "this may be chance"
    else:
        says = "the encoder finds more" if lead > 0 else "the decoder finds more"
    print(f"{places:<17} encoder ahead of decoder by {lead:+5.1f} ± {error:.1f} points: {says}")

# %% [markdown]
# Two things work against an encoder that is to write. Ours learned from 15% of the positions, the
# decoder from all of them, so in the same number of steps it was asked far fewer questions. And it
# has hardly ever met a text that stops at the blank. Both are true of any encoder trained in this
# way, and both are reasons why models that write are decoders. A third: where every token sees all
# others, each new token changes the vectors of all, and nothing can be kept (lesson 5 shows what a
# decoder keeps).
#
# ## [CLS]: a text in one vector
#
# What is an encoder good for, if not for writing? BERT puts a special token in front of each text,
# `[CLS]`, for "classification". Without a mask it sees the whole text, so its vector can be trained
# to say something about all of it. A decoder's first token sees only itself. In a decoder it is the
# *last* token that has seen everything, and GPT-1 classified with that one (Radford et al. 2018,
# section 3.2).
#
# We try it on reviews, positive or negative: a linear layer on one vector, and all weights trained
# together with it. First a look at what a decoder has at `[CLS]`.


# %%
def read(split: str) -> list[Review]:
    """Returns the reviews of a split that fit into the context of 32 tokens."""
    made = []
    for row in task_set("reviews", split)[: course.choose(60, None)]:
        ids = [CLS, *small_encoding.encode_ordinary(row["text"]), END]
        if len(ids) <= 32:
            made.append(Review(ids, int(row["label"] == "positive")))
    return made


known, new = read("train"), read("test")
print(f"reviews that fit: {len(known):,} to learn from and {len(new):,} new ones")
blind = Classifier(decoder, causal=True, place=0).to(course.device).eval()
with torch.no_grad():
    vectors = [blind.vector(torch.tensor([r.ids], device=course.device)) for r in new[:20]]
spread = max((vector - vectors[0]).abs().max().item() for vector in vectors)
measured = f"{spread:.1g} apart over {len(vectors)} reviews"
course.checked("the decoder's vectors at [CLS]", measured, holds(spread < 1e-4))

# %% [markdown]
# There is nothing to classify with in a vector that is the same for every review. Now the two that
# have seen the text. Both start from the weights trained above, which have had equally many steps,
# and are trained alike: twice through the reviews, up to 32 of one length at a time, with a
# learning rate of 1e-3, lower than before because the weights are no longer random. Always naming
# the more common label would be right as often as the last line says.

# %%
right = {}
for name, gpt, causal, place in (
    ("encoder at [CLS]", encoder.gpt, False, 0),
    ("decoder at the last token", decoder, True, -1),
):
    torch.manual_seed(course.seed)
    model = Classifier(copy.deepcopy(gpt), causal, place).to(course.device)
    train_classifier(model, known, epochs=2, learning_rate=1e-3, seed=course.seed)
    right[name] = classify(model, new).double()
positive = float(np.mean([review.label for review in new]))
more_common = max(positive, 1 - positive)
for name, found in right.items():
    share_right = found.mean().item()
    error = 100 * error_of_share(share_right, len(new))
    print(f"{name:<26} {share_right:.1%} ± {error:.1f} of {len(new)} new reviews")
    above = is_more(
        100 * (share_right - more_common), error, places=1, unit=" points", checked=True,
        no="always naming the more common label is right more often",
    )  # fmt: skip
    measured = f"{share_right:.1%}, the more common label {more_common:.1%}"
    course.checked(f"sentiment from one vector, the {name}", measured, above)
print(f"{'the more common label':<26} {more_common:.1%}")

# %% [markdown]
# Who is ahead? Devlin et al. report that a BERT of GPT-1's size was, by 2.2 points, on sentences
# from film reviews.

# %%
gain = 100 * (right["encoder at [CLS]"] - right["decoder at the last token"]).numpy()
lead, error = gain.mean(), error_of_mean(gain, at_least=100 / len(new))  # one review
course.published(
    "sentiment: an encoder ahead of a decoder", "Devlin et al. 2018, table 1",
    "SST-2: BERT base 93.5%, GPT 91.3%",
    ", ".join(f"{name} {100 * found.mean():.1f}%" for name, found in right.items()),
    is_more(lead, error, places=1, unit=" points",
            no="the decoder is ahead here; we have not tested why"),
)  # fmt: skip
print(f"the encoder is ahead by {lead:+.1f} ± {error:.1f} points")

# %% [markdown]
# If yours is behind, that says little about encoders: BERT learned from billions of words, ours has
# filled in blanks for seconds. One could blame that it meets `[CLS]` for the first time here, while
# BERT's was trained all along to say whether one sentence follows another (section 3.1), or that
# two passes are too few. Both can be tested: let the encoder classify at its last token,
# `place=-1`, or train both for six epochs.
#
# Either way, both models turn a whole text into one vector, and a linear layer reads the answer off
# it. Fine-tuning in lesson 7 takes a third way and lets the decoder *write* the word "positive".
#
# ## The two examples of the slides
#
# "The [MASK] sits on the mat." has a blank for an encoder, which should say "cat". "The train left
# the" is a beginning for a decoder, to go on with "station". Here is what ours say. Do not expect
# much: the small encoder has learned for seconds, and the base model has read a few megabytes. We
# also ask which place the right word takes among all tokens, the likeliest being no. 1. A word may
# be spelled by several tokens (lesson 1); then it is its first that counts.


# %%
def likeliest(logits: Tensor, encoding: tiktoken.Encoding, n: int) -> str:
    """Returns the n likeliest tokens and their probabilities, from a model's scores [V]."""
    best = zip(*logits.float().softmax(-1).topk(n), strict=True)
    return ", ".join(f"{encoding.decode([int(i)]).strip()} {p:.0%}" for p, i in best)


def rank_of(word: str, logits: Tensor, encoding: tiktoken.Encoding) -> tuple[int, str]:
    """Returns which place the first token of word takes, 1 for the likeliest, and that in words."""
    first = encoding.encode_ordinary(word)[0]
    rank = int((logits > logits[first]).sum()) + 1
    token = encoding.decode([first])
    beginning = "" if token == word else f"{token.strip()}, the beginning of "
    return rank, f"{beginning}{word.strip()} is no. {rank:,}"


# %%
before, after = (small_encoding.encode_ordinary(part) for part in ("The", " sits on the mat."))
blank = torch.tensor([[END, *before, MASK, *after, END]], device=course.device)
with torch.inference_mode():
    filled = encoder(blank)[0][0, 1 + len(before)]  # [V]
rank, cat = rank_of(" cat", filled, small_encoding)
print(f"The [MASK] sits on the mat: {likeliest(filled, small_encoding, 8)}; {cat}")
spoken = [set(re.findall(r"\w+", sentence.lower())) for sentence in sentences]
n_sits, n_cat = (sum(word in said for said in spoken) for word in ("sits", "cat"))
course.published(
    '"The [MASK] sits on the mat."', "slides 001/002", "cat",
    f"{likeliest(filled, small_encoding, 3)}; {cat}",
    holds(rank == 1, published=True,
          no=f"{n_cat} of its {len(sentences):,} sentences have 'cat', and {n_sits} have 'sits'"),
)  # fmt: skip

# %%
beginning = torch.tensor([encoding.encode_ordinary("The train left the")], device=course.device)
with torch.inference_mode():
    continued = base(beginning)[0][0, -1]  # [V]
rank, station = rank_of(" station", continued, encoding)
print(f"The train left the {likeliest(continued, encoding, 8)}; {station}")
read_texts = [
    t for task in ("translation", "dialogues", "reviews") for t in task_texts(task, "train")
]
n_left = sum("train left the" in t for t in read_texts)
course.published(
    '"The train left the"', "slides 001/002", "station",
    f"{likeliest(continued, encoding, 3)}; {station}",
    holds(rank == 1, published=True,
          no=f"{n_left} of the {len(read_texts):,} task texts it read say 'train left the'"),
)  # fmt: skip

# %% [markdown]
# ## What to take away
#
# - Attention: a query meets every key, softmax turns the scores into shares, and the shares mix the
#   values. Dividing by √D keeps the shares from collapsing onto one token.
# - The mask hides what comes later. It is what makes guessing the next token a task at all.
# - More heads cost the same work, in narrower pieces, and each has its own T × T map.
# - Shares must add up to 1, so a head with nothing to fetch has to rest somewhere. In large models
#   it rests on the first token.
# - The work of attention grows with the square of the length of the text.
# - Without the mask the block is an encoder: it fills in blanks, and its vector at `[CLS]` sees the
#   whole text. A decoder sees the whole text only at its last token. A GPT is a decoder with no
#   encoder to ask.

# %%
course.finish()

# %% [markdown]
# Your turn: masks, heads, attention. `minigpt exercise start 2` writes the stubs, and `minigpt
# exercise check 2` says what your code computes. Lesson 3 puts attention, MLP and embeddings
# together into GPT-2.
