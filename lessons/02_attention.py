# %% [markdown]
# # Lesson 02: Attention
#
# To guess what comes after "The cat sat", the word "sat" must find out who sat. Attention is how
# one token asks the others. It is three lines of arithmetic, and you will do them by hand on four
# words before a real model does them on a sentence. Then we take the mask away: the same block
# becomes an encoder, which fills a blank better than a GPT and can no longer write.
#
# Run it: `python lessons/02_attention.py`, or `minigpt lesson 2`. Its code is `minigpt/model.py`,
# and for the last part `lessons/experiments/encoder.py`.

# %%
import copy
import math
import sys
from collections.abc import Callable
from itertools import pairwise

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson

course = lesson.start(2, "Attention")

import matplotlib.pyplot as plt
import numpy as np
import tiktoken
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from lessons.experiments.encoder import Blanks, Encoder, examine
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
from minigpt.text.task_sets import task_set
from minigpt.tokenizer import END_OF_TEXT
from minigpt.training.loop import train
from minigpt.training.settings import TrainConfig

torch.set_printoptions(precision=2, sci_mode=False)


def verdict(as_published: bool) -> str:
    return "reproduced" if as_published else "not reproduced in this run"


# %% [markdown]
# ## Four words, two numbers each
#
# Every word has three vectors. Its **query** says what it is looking for, its **key** what it
# offers, its **value** what it hands over to whoever asks. A model learns them. Here we make them
# up: the first number is about nouns, the second about verbs. "sat" looks for a noun (who sat?),
# "cat" and "down" look for a verb, "The" looks for nothing.

# %%
words = ["The", "cat", "sat", "down"]
q = torch.tensor([[0.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 3.0]])  # [T=4, D=2] looks for
k = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 1.0]])  # [T=4, D=2] offers
v = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.5]])  # [T=4, D=2] hands over

# %% [markdown]
# ## One dot product, then all of them
#
# How well does what "sat" looks for fit what "cat" offers? Multiply and add up: a **score**. One
# matrix product makes the score of every word (row) with every word (column).

# %%
print(f"sat looks for {q[2].tolist()}, cat offers {k[1].tolist()}: score {q[2] @ k[1]:.0f}")
scores = q @ k.T  # [T, T]
print(f"all scores, rows ask and columns answer ({', '.join(words)}):\n{scores}")

# %% [markdown]
# ## Why divide by the square root of D?
#
# The dot product of two random vectors of D numbers has the variance D. Large scores make the
# softmax below give nearly everything to one word before anything has been learned. Dividing by
# $\sqrt{D}$ brings the variance back to 1.

# %%
for size in (4, 16, 64):
    products = (torch.randn(20_000, size) * torch.randn(20_000, size)).sum(-1)  # [20000]
    ten = products.view(-1, 10)  # [2000, 10] ten words to choose from
    plain, divided = (s.softmax(-1).amax(-1).mean() for s in (ten, ten / math.sqrt(size)))
    print(f"D = {size:>2}: variance {products.var():4.1f}; of ten weights, the largest is ", end="")
    print(f"{plain:.2f} on average, {divided:.2f} after dividing")
as_said = verdict(abs(products.var() / size - 1) < 0.05)
course.compare(f"variance of q·k, D = {size}", "D", f"{products.var():.1f}", as_said)
scores = scores / math.sqrt(q.size(-1))  # [T, T]

# %% [markdown]
# ## The mask
#
# A decoder learns to guess the next word. If "cat" could look at "sat", it would not guess but
# copy. So every word sees only itself and those before it: the lower triangle. What is hidden gets
# the score minus infinity.

# %%
mask = causal_mask(4, 4)  # [T, T]
masked_scores = scores.masked_fill(~mask, float("-inf"))  # [T, T]
print(f"who may look at whom:\n{mask.int()}\nscores with the mask:\n{masked_scores}")

# %% [markdown]
# ## Softmax and values
#
# Softmax turns scores into shares: $e^{\text{score}}$ divided by the sum of its row. Each row adds
# up to 1, and as $e^{-\infty} = 0$, nothing hidden gets a share. "The" is alone and gives itself
# everything. "cat" wanted a verb, but the verbs come later: it shares equally between what it sees.
#
# Each word then takes the average of the values, weighted by its row. "sat" ends up with mostly
# what "cat" handed over: it now knows who sat.

# %%
weights = masked_scores.softmax(dim=-1)  # [T, T]
print(f"weights:\n{weights}\nsum of each row: {weights.sum(-1)}")
mixed = weights @ v  # [T, D]
for word, own, after in zip(words, v.tolist(), mixed.tolist(), strict=True):
    print(f"{word:>5}: own value {own}, after attention [{after[0]:.2f}, {after[1]:.2f}]")

# %% [markdown]
# That is masked attention: $\text{softmax}(q k^T / \sqrt{D}) \, v$. The library's
# `masked_attention` is these lines for many sentences and heads at once; torch has a fused version
# that never stores the weights. All three must agree.

# %%
four = [part[None, None] for part in (q, k, v)]  # [B=1, H=1, T=4, D=2] each
from_library, library_weights = masked_attention(*four)  # [1, 1, 4, 2], [1, 1, 4, 4]
from_torch = F.scaled_dot_product_attention(*four, is_causal=True)  # [1, 1, 4, 2]
difference = max((mixed - other[0, 0]).abs().max().item() for other in (from_library, from_torch))
print(f"by hand, masked_attention and torch's kernel differ by {difference:.0e} at most")
assert difference < 1e-6
assert torch.allclose(library_weights[0, 0], weights)
course.compare("attention by hand", "torch's kernel", f"{difference:.0e} apart", verdict(True))

# %%
figure, panels = plt.subplots(1, 3, figsize=(10.5, 3.7), layout="constrained")
titles = ("1. scores: q·k / √D", "2. the mask hides what comes later", "3. softmax: rows sum to 1")
for axes, title, numbers in zip(panels, titles, (scores, masked_scores, weights), strict=True):
    top = 1.0 if numbers is weights else scores.max().item()
    axes.set_facecolor("0.35")
    axes.imshow(np.ma.masked_invalid(numbers), cmap="Blues", vmin=0, vmax=top)
    for row, column in np.ndindex(4, 4):
        number = numbers[row, column].item()
        dark = math.isinf(number) or number > 0.6 * top
        text = "hidden" if math.isinf(number) else f"{number:.2f}"
        axes.text(column, row, text, ha="center", va="center", color="white" if dark else "black")
    axes.set(xticks=range(4), xticklabels=words, yticks=range(4), yticklabels=words)
    axes.set(title=title, xlabel="word that answers (key)", ylabel="word that asks (query)")
figure.suptitle("Masked attention on four words")
course.save_figure(figure, "mask")

# %% [markdown]
# ## Many heads
#
# One set of weights can look for one thing. A GPT splits its width into **heads** that each do the
# above on their own part. All queries, keys and values come from the token vectors through one
# learned matrix, `c_attn`; another, `c_proj`, blends what the heads bring back. More heads cost
# nothing: the same matrices, cut into more pieces. Here is a width of 8 in two heads of 4.

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
    print("head by head equals the library's layer:", torch.allclose(y, attention(x), atol=1e-6))

# %% [markdown]
# ## A real model
#
# Now the small GPT that ships with minigpt (lesson 04 trains it). Does its mask keep its promise?
# Change the last four tokens of a sentence. With the mask the scores before them must not move at
# all; without it all of them do.

# %%
base, encoding = load_pretrained("base")
base = base.to(course.device).eval()
print(f"{base.config}\nhas {count_parameters(base.config):,} parameters")
ids = encoding.encode_ordinary("The waiter was friendly and the food was fresh, so we came back.")
idx = torch.tensor([ids], device=course.device)  # [1, T]
other = torch.cat([idx[:, :-4], idx[:, :4]], dim=1)  # [1, T] another end
for causal in (False, True):
    with torch.no_grad():
        moved = (base(other, causal=causal)[0] - base(idx, causal=causal)[0]).abs().amax(-1)[0]
    print(f"{'with' if causal else 'without'} the mask the scores move by {moved}")
changed = moved[:-4].max().item()
course.compare("what later tokens change", "nothing", f"{changed:.0e}", verdict(changed < 1e-4))

# %% [markdown]
# `record_attention` keeps the weights of every head: here are all of them on that sentence. In a
# row, the token on the left asks and the dark squares answer. Heads differ: some spread their
# attention, some pick single tokens. The upper right is empty in all of them: the mask.

# %%
with torch.no_grad(), record_attention(base) as recorded:
    base(idx)  # recorded: n_layer tensors [1, H, T, T]
maps = torch.cat(recorded).float().cpu()  # [n_layer, H, T, T]
assert maps.triu(1).max() == 0, "a token looks ahead"
layer, head = divmod(int(maps[..., 2:, :].amax(-1).mean(-1).argmax()), base.config.n_head)
tokens = [encoding.decode([i]).replace(" ", "·") for i in ids]
figure = plt.figure(figsize=(14, 7), layout="constrained")
left, right = figure.subfigures(1, 2)
axes = left.subplots()
picture = axes.imshow(100 * maps[layer, head], cmap="Blues", vmin=0, vmax=100)
axes.set_xticks(range(len(ids)), tokens, rotation=90)
axes.set_yticks(range(len(ids)), tokens)
axes.set(xlabel="token that answers (key); · is a space", ylabel="token that asks (query)")
axes.set_title(f"The base model's most decided head: layer {layer}, head {head}")
left.colorbar(picture, ax=axes, label="share of attention (%)", shrink=0.7)
for (i, j), small in np.ndenumerate(right.subplots(*maps.shape[:2], squeeze=False)):
    small.imshow(maps[i, j], cmap="Blues", vmin=0, vmax=1)
    small.set(xticks=[], yticks=[], title=f"layer {i}, head {j}")
right.suptitle("All heads, the same sentence")
course.save_figure(figure, "attention_maps")

# %% [markdown]
# ## What attention costs
#
# Every token asks every token: T tokens make T × T scores. Twice the text, four times the work. The
# MLP beside it looks at each token alone: twice the text, twice the work. Where the first line
# jumps, the weights have outgrown the processor's cache; the fused kernel never stores them.


# %%
def seconds(layer: Callable[..., object], *arguments: Tensor) -> float:
    """The shortest time of a call in a third of a second: the call that was disturbed least."""
    timer = Timer("layer(*arguments)", globals=locals(), num_threads=torch.get_num_threads())
    return min(timer.blocked_autorange(min_run_time=course.choose(quick=0.01, normal=0.3)).times)


lengths = course.choose(quick=[32, 64, 128], normal=[256, 512, 1024, 2048], full=[1024, 2048, 4096])
mlp = MLP(GPTConfig(n_head=4, n_embd=256)).to(course.device).eval()
cost: dict[str, list[float]] = {"attention, written out": [], "attention, fused": [], "MLP": []}
counts = []  # additions and multiplications in the matrix products of masked_attention
with torch.no_grad():
    for length in lengths:
        x = torch.randn(1, length, 256, device=course.device)  # [1, T, 256]
        q = x.view(1, length, 4, 64).transpose(1, 2)  # [1, 4, T, 64]
        cost["attention, written out"].append(seconds(masked_attention, q, q, q))
        cost["attention, fused"].append(seconds(fused_attention, q, q, q))
        cost["MLP"].append(seconds(mlp, x))
        with FlopCounterMode(display=False) as counter:
            masked_attention(q, q, q)
        counts.append(counter.get_total_flops())
figure, axes = plt.subplots(figsize=(6.5, 4))
for name, times in cost.items():
    print(f"{name:<22} {', '.join(f'{1e3 * t:.2f}' for t in times)} ms for {lengths} tokens")
    axes.loglog(lengths, [1e3 * t for t in times], "o-", label=name)
square = [1e3 * cost["attention, written out"][-1] * (t / lengths[-1]) ** 2 for t in lengths]
axes.loglog(lengths, square, ":", color="gray", label="proportional to T²")
axes.set_xticks(lengths, map(str, lengths))
axes.minorticks_off()
axes.set(title="Twice the text: four times the attention, twice the MLP")
axes.set(xlabel="length of the text T (tokens)", ylabel="time for one layer of width 256 (ms)")
axes.legend()
course.save_figure(figure, "cost")
growth = np.median([late / early for early, late in pairwise(cost["attention, written out"])])
measured = f"x {counts[-1] / counts[-2]:.1f} in operations, x {growth:.1f} in time"
course.compare("attention, text x 2", "x 4, as T²", measured, verdict(counts[-1] == 4 * counts[-2]))

# %% [markdown]
# ## Mask off: an encoder
#
# The mask exists so that a decoder cannot see the answer. What if we take it off? We train a small
# decoder on simple sentences and then go on in three ways, each from the same weights and for the
# same number of steps:
#
# - the **decoder** keeps its mask and goes on guessing the next token, at every position;
# - the **cheater** loses the mask and goes on guessing the next token, as if nothing had happened;
# - the **encoder** loses the mask and guesses hidden tokens instead, 15% of all, as BERT did.

# %%
sentences = [row["en"] for row in task_set("translation", "train")]
new_sentences = [row["en"] for row in task_set("translation", "test")]
small_encoding = train_bpe(sentences, course.choose(600, 2048), (END_OF_TEXT, "[MASK]"))
END, MASK = (small_encoding.encode_single_token(name) for name in (END_OF_TEXT, "[MASK]"))
packed = [pack(small_encoding.encode_ordinary_batch(s), END) for s in (sentences, new_sentences)]
text = PackedText(*packed, block_size=16, seed=course.seed)
blanks = Blanks(text, MASK)
shown, wanted, _ = blanks.train_batch(0, 1)
print("the encoder reads:", small_encoding.decode(shown[0].tolist()))
print("and has to find:  ", small_encoding.decode(wanted[wanted != IGNORE].tolist()))
settings = TrainConfig(
    max_steps=course.choose(quick=8, normal=280, full=2000), batch_size=course.choose(16, 64),
    warmup_steps=course.choose(quick=2, normal=20),
    learning_rate=3e-3, weight_decay=0.01, betas=(0.9, 0.98), device=str(course.device),
)  # fmt: skip
torch.manual_seed(course.seed)
decoder = GPT(GPTConfig(small_encoding.n_vocab, block_size=16, n_layer=2, n_head=4, n_embd=128))
first_losses = train(decoder, text, settings).losses  # a decoder, for a start
cheater, encoder = Encoder(copy.deepcopy(decoder)), Encoder(copy.deepcopy(decoder))
losses = {}
ways = {"decoder": (decoder, text), "cheater": (cheater, text), "encoder": (encoder, blanks)}
for name, (model, data) in ways.items():
    print(f"the {name} goes on:")
    losses[name] = train(model, data, settings).losses
    print(f"loss {losses[name][0]:.2f} at first, {np.mean(losses[name][-20:]):.2f} at the end")

# %% [markdown]
# The cheater has the lowest loss by far, and no use for English: the answer to "what comes next?"
# stands one place to the right, and it copies. Let it write, where nothing stands to the right yet.

# %%
for name, model in (("decoder", decoder), ("cheater", cheater)):
    start = torch.tensor([[END]], device=course.device)
    dice = torch.Generator().manual_seed(course.seed)
    written = generate(model, start, 30, 0.7, use_cache=False, generator=dice)[0, 1:].tolist()
    print(f"the {name} writes:", small_encoding.decode(written).replace(END_OF_TEXT, " / "))

# %% [markdown]
# ## Fill in the blank, or continue?
#
# An exam on sentences that none has seen. One token is hidden; who finds it? The decoder looks at
# what stands before it; the encoder at both sides; and the encoder once more with the text cut off
# after the blank, as it would be when writing.

# %%
exam = next(text.validation_batches(course.choose(8, 200))).idx.to(course.device)  # [B, T]
found, place = examine(decoder, encoder, exam, MASK, END)  # bool [N] for each, int [N]
accuracy = {name: right.float().mean().item() for name, right in found.items()}
share = {name: f"{value:.0%}" for name, value in accuracy.items()}
print(f"share of {len(place):,} hidden tokens that were found: {share}")
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
colors = {"decoder": "tab:blue", "cheater": "tab:red", "encoder": "tab:orange"}
begin = len(first_losses)
left.plot(first_losses, color="gray", label="decoder, for a start (next token)")
for name, goal in (("decoder", "next"), ("cheater", "next"), ("encoder", "hidden")):
    steps = range(begin, begin + len(losses[name]))
    left.plot(steps, losses[name], color=colors[name], label=f"{name} ({goal} token)")
left.set(title="Training: the lowest loss is the cheater's", ylim=(0, None))
left.set(xlabel="step", ylabel="loss (nats per guessed token)")
left.legend(loc="lower left", fontsize=8)
labels = ("decoder (left side)", "encoder (both sides)", "encoder (left side: text cut off)")
for (name, answers), label in zip(found.items(), labels, strict=True):
    by_place = [100 * answers[place == n].float().mean() for n in range(1, 9)]
    line = "o--" if "cut" in name else "o-"
    right.plot(range(1, 9), by_place, line, color=colors[name[:7]], label=label)
right.set(title="Tokens found in new sentences, by what is seen", ylim=(0, None))
right.set(xlabel="place of the hidden token in its sentence", ylabel="first guess right (%)")
right.legend()
course.save_figure(figure, "encoder_decoder")

# %% [markdown]
# The encoder wins at the beginning of a sentence, where a decoder knows nothing yet; with more to
# the left the two are level. Cut off, it falls behind: it has hardly met texts that stop at the
# blank, and it learned from 15% of the positions, the decoder from all. That is why encoders are
# used to understand text and decoders to write it.

# %%
task, better = "hidden token, both sides shown", accuracy["encoder"] > accuracy["decoder"]
measured = f"encoder {share['encoder']}, decoder {share['decoder']}"
course.compare(task, "the encoder's task", measured, verdict(better))
task, better = "next token, left side shown", accuracy["decoder"] > accuracy["encoder, cut off"]
measured = f"decoder {share['decoder']}, encoder {share['encoder, cut off']}"
course.compare(task, "the decoder's task", measured, verdict(better))

# %% [markdown]
# ## The two examples of the slides
#
# "The cat sits on the [MASK]" is a blank for an encoder, "The train left the" a beginning for a
# decoder, to go on with "station". Here is what ours say. Expect no wonders: the small encoder has
# read simple sentences for seconds, the base model a few megabytes.


# %%
def likeliest(logits: Tensor, encoding: tiktoken.Encoding, n: int) -> str:
    """The n likeliest tokens and their probabilities, from logits [V]."""
    best = zip(*logits.float().softmax(-1).topk(n), strict=True)
    return ", ".join(f"{encoding.decode([int(i)]).strip()} {p:.0%}" for p, i in best)


before, after = (small_encoding.encode_ordinary(part) for part in ("The cat sits on the", "."))
blank = torch.tensor([[END, *before, MASK, *after, END]], device=course.device)
beginning = torch.tensor([encoding.encode_ordinary("The train left the")], device=course.device)
with torch.inference_mode():
    filled = encoder(blank)[0][0, 1 + len(before)]  # [V]
    continued = base(beginning)[0][0, -1]  # [V]
print("The cat sits on the [MASK].", likeliest(filled, small_encoding, 8))
print("The train left the", likeliest(continued, encoding, 8))
station = encoding.encode_ordinary(" station")[0]  # its first token, should it have several
rank = int((continued > continued[station]).sum()) + 1
measured = likeliest(filled, small_encoding, 3)
course.compare('"The cat sits on the [MASK]"', "no answer given", measured, "the small encoder's")
reason = "reproduced" if rank == 1 else "differs: the base model has read little about trains"
measured = f"{likeliest(continued, encoding, 3)}; station is no. {rank:,}"
course.compare('"The train left the"', "station", measured, reason)

# %% [markdown]
# ## GPT-1, the first of the line
#
# GPT-1 is twelve of these blocks. The MLP is four times as wide inside as the stream; lesson 03
# counts all its parameters.

# %%
gpt1 = GPTConfig(vocab_size=40478, block_size=512, n_layer=12, n_head=12, n_embd=768)
inside = MLP(gpt1).c_fc.out_features
course.compare("GPT-1: feed-forward width", 3072, inside, verdict(inside == 3072))
course.finish()

# %% [markdown]
# Now you: masks, heads, attention. `minigpt exercise start 2` writes the stubs, and
# `minigpt exercise check 2` says what your code computes.
