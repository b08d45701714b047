# %% [markdown]
# # Lesson 13: Soft prompts and bottlenecks
#
# LoRA is one way to teach a frozen model something new. There are others: give it a few vectors to
# read before every text, give every layer keys and values to attend to, or put small networks
# behind its layers. Here you build each by hand, then train all of them on one model and one task,
# and see what every trained parameter buys.
#
# Run it: `python lessons/13_soft_prompts.py`, or `minigpt lesson 13`. Its code is
# `minigpt/soft_prompts/` and `minigpt/bottlenecks/`. Sources: Lester et al.
# 2021 (prompt tuning, arXiv 2104.08691), Li and Liang 2021 (prefix tuning, 2101.00190), Houlsby et
# al. 2019 (adapters, 1902.00751), Hu et al. 2021 (the counts for GPT-3, 2106.09685).

# %%
import copy
import sys
import time
from typing import Any

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson

course = lesson.start(13, "Soft prompts and bottlenecks")

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn import functional as F

from lessons.experiments.fewer_blocks import pretraining_text, with_fewer_blocks
from lessons.experiments.finetuning_methods import (
    HIDDEN,
    N_TOKENS,
    RECIPES,
    as_table,
    build,
    draw,
    draw_sizes,
    is_better,
    settings,
)
from minigpt import GPT, GPTConfig, load_pretrained
from minigpt.bottlenecks.layer import Bottleneck
from minigpt.bottlenecks.model import (
    load_bottlenecks,
    set_bottlenecks,
)
from minigpt.cache import KVCache
from minigpt.config import count_parameters
from minigpt.dataset import pack
from minigpt.finetuning.methods import METHODS
from minigpt.memory.counts import count_bottlenecks, count_prefix_tuning
from minigpt.model import masked_attention
from minigpt.soft_prompts.layer import read_embeddings
from minigpt.soft_prompts.model import (
    apply_prompt_tuning,
    load_soft_prompt,
    nearest_tokens,
    set_soft_prompt,
)
from minigpt.tasks.answers import TaskResult, evaluate_task
from minigpt.tasks.data import instruction_data, task_data
from minigpt.tasks.task import TASKS
from minigpt.training.loop import train

torch.set_printoptions(precision=3, sci_mode=False, linewidth=100)
base, encoding = load_pretrained("base")
base.to(course.device).eval()
base.set_dropout(0.0)

# %% [markdown]
# ## A prompt that is no words
#
# What a model reads is not words but vectors, one for each token. Two vectors that belong to no
# token can stand before those of a text just as well, and be trained like any weight.

# %%
table = torch.randn(10, 4)  # a vocabulary of 10, vectors of 4 numbers
idx = torch.tensor([7, 2, 2])
soft = torch.nn.Parameter(torch.randn(2, 4))
print("what the layers get:", torch.cat([soft, table[idx]]).detach(), sep="\n")

# %% [markdown]
# Where should they start? As real words, for instance. Then the model first does what it would do
# with these words before every text, and training goes on from there.

# %%
words = encoding.encode("Please translate this:")
text = encoding.encode(" fr: I was lucky. ->")
prompted = apply_prompt_tuning(copy.deepcopy(base), len(words), words)
with torch.no_grad():
    as_words = base(torch.tensor([words + text], device=course.device))[0][:, len(words) :]
    as_vectors = prompted(torch.tensor([text], device=course.device))[0]
at_start = float((as_words - as_vectors).abs().max())
print(f"{len(words)} words before the text, or their vectors: the logits differ by {at_start:.0e}")
learning = {name: list(p.shape) for name, p in prompted.named_parameters() if p.requires_grad}
print("what learns:", learning)

# %% [markdown]
# No token sees what comes after it. So what the layers make of the virtual tokens, their keys and
# values, depends on no text: it is computed once, for all rows of a batch and all examples in a
# row. Let two different texts follow the same words, and look at the keys in the last layer:

# %%


@torch.no_grad()
def keys_of_words(text: str) -> torch.Tensor:
    """The last layer's keys of the words, [1, H, n, D], when this text follows them."""
    idx = torch.tensor([words + encoding.encode(text)], device=course.device)
    cache = KVCache(base.config.n_layer, idx.size(1))
    base(idx, cache=cache)
    return cache.layers[-1].keys[:, :, : len(words)]


keys = keys_of_words(" The soup was cold.")
once = read_embeddings(base, base.transformer["wte"].weight[words]).layers[-1].keys
for label, others in (
    ("before another text", keys_of_words(" What a lovely place!")),
    ("computed once, without any", once.detach()),
):
    print(f"{label}: the keys differ by {float((keys - others).abs().max()):.0e}")

# %% [markdown]
# ## Prefix tuning
#
# If a text meets a soft prompt only as keys and values, why not train those, in every layer? That
# is $2 L C$ numbers for each virtual token instead of $C$. To the attention of one head it means:
#
# $$y = (1 - \lambda)\, y_{text} + \lambda\, y_{prefix}$$
#
# with $\lambda$ the attention that goes to the prefix: each token mixes in something trained.

# %%
q, k, v = torch.randn(3, 1, 1, 3, 4)  # 3 tokens, 1 head of size 4
prefix_k, prefix_v = torch.randn(2, 1, 1, 2, 4)  # 2 virtual tokens
y, weights = masked_attention(q, torch.cat([prefix_k, k], 2), torch.cat([prefix_v, v], 2))
print("attention: two columns for the prefix, three for the text", weights[0, 0], sep="\n")
to_prefix = weights[..., :2].sum(-1, keepdim=True)
y_prefix = masked_attention(q, prefix_k, prefix_v, causal=False)[0]
mixed = (1 - to_prefix) * masked_attention(q, k, v)[0] + to_prefix * y_prefix
print(f"against the formula: {float((y - mixed).abs().max()):.0e}")

# %% [markdown]
# Li and Liang found that such a prefix trains badly by itself, and let a network make it: vectors
# of width C go in, the keys and values of all layers come out. Once trained, the network is thrown
# away, and what is kept is as small as before. (Another help, also theirs: start as the keys and
# values of real words. To see what each does, a prefix at random without a network is trained too.)

# %%
for hidden in (None, HIDDEN):
    trained = count_prefix_tuning(base.config, N_TOKENS, hidden)
    kept = count_prefix_tuning(base.config, N_TOKENS)
    print(f"network of hidden width {hidden}: {trained:,} numbers trained, {kept:,} kept")

# %% [markdown]
# ## Bottlenecks
#
# The paper calls them adapters; today that word mostly means LoRA's.
#
# $$h \leftarrow h + W_{up}\, f(W_{down}\, h)$$
#
# A network behind attention and MLP that squeezes the C numbers of a token through r and adds the
# result. $W_{up}$ starts at zero: nothing changes at first. The f between them makes it differ from
# LoRA: it is not linear, so it can never be merged into a weight, and always costs its time.

# %%
adapter = Bottleneck(n_embd=6, r=2)
h = torch.randn(3, 6)
print("at the start nothing is added:", torch.equal(adapter(h), h))
with torch.no_grad():
    adapter.W_up.normal_()
inside = F.gelu(h @ adapter.W_down.T, approximate="tanh")  # [3, 2]; the biases are still zero
print("what comes through the bottleneck:", inside.detach(), sep="\n")
by_hand = h + inside @ adapter.W_up.T
print(f"against the formula: {float((adapter(h) - by_hand).detach().abs().max()):.0e}")

# %% [markdown]
# ## One model, one task, every method
#
# The task is lesson 7's: translate into French. Every method gets the same examples in the same
# order, and the same number of steps. (What each adds and is trained with
# stands in `lessons/experiments/finetuning_methods.py`.)

# %%
total = count_parameters(base.config)
translation = course.limit(task_data(TASKS["translation"]))
data = instruction_data([translation], encoding, block_size=128, seed=course.seed)
N_TEST = course.choose(quick=4, normal=200, full=500)
STEPS = course.choose(quick=3, normal=130, full=390)
BATCH_SIZE = course.choose(quick=2, normal=8)
START = encoding.encode(" Translate the English sentence into French. English, French:")


def judge(model: GPT) -> TaskResult:
    """Answers to the test set, and their BLEU."""
    return evaluate_task(model, encoding, translation.task, translation.test[:N_TEST])


def teach(start: GPT, method: str) -> tuple[GPT, dict[str, Any]]:
    """A copy of start that a method has taught the task; its score, and what that took."""
    model = build(method, start, course.seed, START)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    result = train(model, data, settings(method, STEPS, course.seed, course.device, BATCH_SIZE))
    judged = judge(model)
    return model, {
        "BLEU": judged.score,
        "answers": judged.answers,
        "trained": trained,
        "of all": trained / total,
        "ms a step": 1e3 * result.seconds / result.steps,
    }


before = judge(base)
print(f"base: BLEU {before.score:.1f}, {before.answers[0]!r}")
models, results = {}, {}
for method in (name for name in RECIPES if name != "QLoRA, no DQ"):  # lesson 12 has that one
    models[method], results[method] = teach(base, method)
    folder = course.folder / method.replace(", ", "-")
    METHODS[RECIPES[method].method].save(models[method], encoding, folder)
    files = folder.glob("*.safetensors")
    results[method]["file, bytes"] = sum(file.stat().st_size for file in files)
    print(f"{method}: BLEU {results[method]['BLEU']:.1f}, {results[method]['answers'][0]!r}")

# %%
print(as_table(results, {
    "BLEU": ".1f", "trained": ",", "of all": ".2%", "file, bytes": ",", "ms a step": ".0f",
}))  # fmt: skip

# %% [markdown]
# BLEU of 200 answers changes by two or three with the seed. What prefix tuning's network adds, and
# what a start from words adds, is hardly more here: try `--seed 1`, and `--seed 2`.
#
# The network of prefix tuning counts among what is trained, but not in the file. QLoRA's file is an
# adapter like LoRA's; what it saves is memory while training, which is lesson 12.

# %%
figure, axis = plt.subplots(figsize=(9, 5), layout="constrained")
draw(axis, results)
axis.set_title(f"What trained parameters buy in {STEPS} steps (the base: BLEU {before.score:.1f})")
course.save_figure(figure, "methods")

# %% [markdown]
# ## What does a soft prompt resemble?
#
# Its vectors have neighbours among those of the words. Lester et al. looked up the nearest by their
# cosine, and saw groups that belong together. Is there a group here? The prompt has learned to ask
# for French, so count: a token is French if the French sentences of the training set have it twice
# as often as the English ones.

# %%
shares = []
for field in ("en", "fr"):
    sentences = encoding.encode_ordinary_batch([f" {r[field]}" for r in translation.train])
    counts = np.bincount(pack(sentences, encoding.eot_token), minlength=encoding.n_vocab)  # [V]
    shares.append(counts / counts.sum())
is_french = shares[1] > 2 * shares[0]  # [V]
ids = {encoding.decode([token]): token for token in range(encoding.n_vocab)}
print(f"of the vocabulary, {is_french.mean():.0%} are French")
french: dict[tuple[str, str], float] = {}
closest: dict[tuple[str, str], float] = {}
for method in ("prompt", "prompt, random"):
    untrained = build(method, base, course.seed, START)
    for when, model in (("before", untrained), ("after", models[method])):
        nearest = nearest_tokens(model, encoding, k=5)
        tokens = [ids[text] for row in nearest for text, _ in row]
        french[method, when] = is_french[tokens].mean()
        closest[method, when] = sum(row[0][1] for row in nearest) / len(nearest)
        print(
            f"\n{method}, {when} training: of {len(tokens)} neighbours "
            f"{french[method, when]:.0%} are French, mean cosine to the nearest "
            f"{closest[method, when]:.2f}"
        )
        for row in nearest[:6]:
            print("   ", "  ".join(f"{text!r} {cosine:.2f}" for text, cosine in row))

# %% [markdown]
# ## One model, many methods
#
# What was trained is in small files. One model can hold several and switch between them in no time;
# with none it is the base model again, to the last bit.

# %%
again, _ = load_pretrained("base")
again.to(course.device).eval()
for name in ("prompt", "prefix"):
    load_soft_prompt(again, course.folder / name, name=name)
load_bottlenecks(again, course.folder / "bottlenecks", name="bottlenecks")
for name in ("prompt", "prefix", "bottlenecks"):
    started = time.perf_counter()
    set_soft_prompt(again, None if name == "bottlenecks" else name)
    set_bottlenecks(again, "bottlenecks" if name == "bottlenecks" else None)
    switched = 1e3 * (time.perf_counter() - started)
    result = evaluate_task(again, encoding, translation.task, translation.test[: N_TEST // 4])
    same = sum(a == b for a, b in zip(result.answers, results[name]["answers"], strict=False))
    print(f"{name} (switched in {switched:.2f} ms): {result.answers[0]!r}")
    print(f"    of {len(result.answers)} answers {same} are those of the model it was trained in")
set_bottlenecks(again, None)
idx = torch.tensor([text], device=course.device)
with torch.no_grad():
    restored = torch.equal(again(idx)[0], base(idx)[0])
print("with none, the base model to the bit:", restored)

# %% [markdown]
# ## Small models and large ones
#
# Lester et al. found prompt tuning far behind full fine-tuning in small models, and level with it
# at ten billion parameters. We have no ten billion, but we can go the other way: take the base
# model's first block, and its first three. What is cut off so no longer knows how to end, and gets
# a few more steps of pretraining on the base model's own kind of text. A real model of that size
# would get all of them: these are not only smaller, they have also seen less. Which of the two
# makes a difference, this cannot tell.

# %%
BLOCKS = (1, 3, base.config.n_layer)
pages = pretraining_text(encoding, course.seed, course.n_documents)
n_steps = course.choose(quick=2, normal=100, full=300)
heal = settings("full", n_steps, course.seed, course.device, BATCH_SIZE)
sizes: dict[int, dict[str, float]] = {}
for n_layer in BLOCKS[:-1]:
    small = with_fewer_blocks(base, n_layer, pages, heal)
    sizes[count_parameters(small.config)] = {
        method: teach(small, method)[1]["BLEU"] for method in ("full", "prompt")
    }
sizes[total] = {method: results[method]["BLEU"] for method in ("full", "prompt")}
portions = [scores["prompt"] / max(scores["full"], 1e-9) for scores in sizes.values()]
for (n, scores), portion in zip(sizes.items(), portions, strict=True):
    print(
        f"{n / 1e6:.1f} million parameters: full fine-tuning BLEU {scores['full']:.1f}, prompt "
        f"tuning {scores['prompt']:.1f}, which is {portion:.0%} of it"
    )

# %% [markdown]
# A prompt adds no knowledge to the weights. It can only ask for what is there: the base model has
# read pages in two languages, and only had to be told to go on in French. What a model does not
# know, full fine-tuning can still teach it.

# %%
figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
draw_sizes(axis, BLOCKS, sizes)
axis.set_title(f"Two methods, {STEPS} steps each; the smaller models are less pretrained")
course.save_figure(figure, "sizes")

# %% [markdown]
# ## GPT-3
#
# How many parameters would the methods train there? Hu et al. printed a table. PrefixEmbed is
# prompt tuning with $l_p$ virtual tokens before the text and $l_i$ inside it: $d\,(l_p + l_i)$.
# PrefixLayer trains what each layer puts in their place: $L\,d\,(l_p + l_i)$. Adapters have
# $2 L\,(2 d r + r + d)$.

# %%
gpt3 = GPTConfig.preset("gpt3-175b")
L, d = gpt3.n_layer, gpt3.n_embd
published_embed = {(32, 8): 0.4, (64, 8): 0.9, (128, 8): 1.7, (256, 8): 3.2, (512, 8): 6.4}
published_layer = {(2, 2): 5.1, (8, 0): 10.1, (8, 8): 20.2, (32, 4): 44.1, (64, 0): 76.1}
published_adapter = {1: 7.1, 4: 21.2, 8: 40.1, 16: 77.9, 64: 304.4}
rows = {f"PrefixEmbed {ls}": (m, d * sum(ls)) for ls, m in published_embed.items()}
rows |= {f"PrefixLayer {ls}": (m, L * d * sum(ls)) for ls, m in published_layer.items()}
rows |= {f"Adapter r = {r}": (m, count_bottlenecks(gpt3, r)) for r, m in published_adapter.items()}
for name, (published, count) in rows.items():
    if f"{count / 1e6:.1f}" == f"{published:.1f}":
        verdict = "reproduced"
    elif f"{count // 10**5 / 10:.1f}" == f"{published:.1f}":
        verdict = f"reproduced, but cut off: rounded it is {count / 1e6:.1f}M"
    else:
        verdict = f"not reproduced: the formula gives {count / 1e6:.1f}M"
    course.compare(f"GPT-3, {name}", f"{published}M", f"{count:,}", verdict)

# %%
prompt = results["prompt"]
course.compare(
    "prompt of words against the words", "the same model", f"differs by {at_start:.0e}",
    "reproduced" if at_start < 1e-3 else "differs: it should start as they do",
)  # fmt: skip
course.compare(
    "parameters of prompt tuning", "10K to 100K",
    f"{prompt['trained']:,} ({prompt['trained'] / total:.2%})",
    f"the formula is n C: {20 * 512:,} to {100 * 1024:,} for 20 x 512 to 100 x 1024; we have "
    f"{N_TOKENS} x {base.config.n_embd}",
)  # fmt: skip
for what, published, better, worse in (
    ("prefix at random: with its network, without", "the network helps",
     "prefix, network", "prefix, random"),
    ("prefix: from words, at random", "words are the better start", "prefix", "prefix, random"),
    ("prompt: from words, at random", "words are the better start", "prompt", "prompt, random"),
):  # fmt: skip
    high, low = results[better]["BLEU"], results[worse]["BLEU"]
    course.compare(f"BLEU, {what}", published, f"{high:.1f}, {low:.1f}", is_better(high - low))
was, now = french["prompt, random", "before"], french["prompt, random", "after"]
# Two standard errors of the difference of two shares, were all neighbours independent.
error = 2 * (2 * 0.25 / (5 * N_TOKENS)) ** 0.5
course.compare(
    "neighbours of a prompt started at random", "related groups",
    f"French: {was:.0%} before, {now:.0%} after training",
    ("reproduced" if now > was + error else "not reproduced")
    + f": {100 * (now - was):+.0f} points, of which {100 * error:.0f} or more may be chance",
)  # fmt: skip
course.compare(
    "cosine to the nearest word, started as words", "-",
    f"{closest['prompt', 'before']:.2f} before, {closest['prompt', 'after']:.2f} after training",
    "still the words it started as" if closest["prompt", "after"] > 0.7
    else "what it has become is no word: it only leans towards some",
)  # fmt: skip
course.compare(
    "switched off", "the base model again", restored,
    "reproduced, to the bit" if restored else "differs: something was left behind",
)  # fmt: skip
course.compare(
    "prompt tuning's share of full's BLEU",
    "less in small models, all of it in large ones",
    ", ".join(
        f"{share:.0%} ({n / 1e6:.1f}M)" for n, share in zip(sizes, portions, strict=True)
    ),
    "not reproduced: on a par already" if max(portions) > 0.95
    else f"agrees{'' if portions[-1] == max(portions) else ' in part'}: behind at every size, the "
    f"least at {list(sizes)[portions.index(max(portions))] / 1e6:.1f}M; but the smaller models are "
    "also less pretrained",
)  # fmt: skip
course.finish()

# %% [markdown]
# Now you: prompts, prefixes, bottlenecks. `minigpt exercise start 13` writes the stubs, and
# `minigpt exercise check 13` says what your code computes.
