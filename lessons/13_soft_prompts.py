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
import torch
from torch.nn import functional as F

from lessons.experiments.bleu_gaps import ScoredAnswers, gain_of_share, gap, share
from lessons.experiments.fewer_blocks import pretraining_text, with_fewer_blocks
from lessons.experiments.finetuning_methods import (
    HIDDEN,
    N_TOKENS,
    RECIPES,
    as_table,
    build,
    draw,
    draw_sizes,
    settings,
)
from lessons.experiments.gpt3_counts import counts
from lessons.experiments.neighbours import french_tokens, look_up
from lessons.verdicts import error_of_mean, error_of_share, holds, is_more
from minigpt import GPT, GPTConfig, load_pretrained
from minigpt.bottlenecks.layer import Bottleneck
from minigpt.bottlenecks.model import (
    load_bottlenecks,
    set_bottlenecks,
)
from minigpt.cache import KVCache
from minigpt.config import count_parameters
from minigpt.finetuning.methods import METHODS
from minigpt.memory.counts import count_prefix_tuning
from minigpt.model import masked_attention
from minigpt.soft_prompts.layer import read_embeddings
from minigpt.soft_prompts.model import (
    apply_prompt_tuning,
    load_soft_prompt,
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
course.checked(
    "prompt of words against the words", f"the logits differ by {at_start:.0e}",
    holds(at_start < 1e-3, no="a soft prompt should start as the words it was given"),
)  # fmt: skip

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
references = [record["fr"] for record in translation.test]
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
        "scored": ScoredAnswers(judged.answers, references[: len(judged.answers)]),
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
# How much of a difference in BLEU is chance? Draw the test sentences anew, many times, with
# replacement, and see how far the difference of two methods wanders (lesson 6): that is the error
# below. It does not hold the chance of the seed, with which every method would have ended somewhere
# else, by two or three BLEU: try `--seed 1`, and `--seed 2`.
#
# The network of prefix tuning counts among what is trained, but not in the file. QLoRA's file is an
# adapter like LoRA's; what it saves is memory while training, which is lesson 12.

# %%
n, C = N_TOKENS, base.config.n_embd
trained = results["prompt"]["trained"]
course.published(
    "parameters that prompt tuning trains", "slides 001/002", "10K to 100K", f"{trained:,}",
    holds(10_000 <= trained <= 100_000, published=True, no=f"it is n C: {n} tokens x {C} here; "
          f"20 to 100 tokens of {C} are {20 * C:,} to {100 * C:,}, and of 1,024 20,480 to 102,400"),
)  # fmt: skip
CLAIMS = (
    ("BLEU, prefix at random: with its network, without", "Li and Liang 2021, section 4.3",
     "the network helps", "prefix, network", "prefix, random"),
    ("BLEU, prefix: from words, at random", "Li and Liang 2021, section 7.4",
     "words are the better start", "prefix", "prefix, random"),
    ("BLEU, prompt: from words, at random", "Lester et al. 2021, section 3.2",
     "words are the better start", "prompt", "prompt, random"),
)  # fmt: skip
for what, source, claim, better, worse in CLAIMS:
    found = f"{results[better]['BLEU']:.1f}, {results[worse]['BLEU']:.1f}"
    apart, error = gap(results[better]["scored"], results[worse]["scored"])
    course.published(what, source, claim, found, is_more(apart, error, unit=" BLEU", places=1))

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
K = 5  # neighbours of each virtual token
is_french = french_tokens(translation.train, encoding)  # [V]
print(f"of the vocabulary, {is_french.mean():.0%} are French")
around = {}
for method in ("prompt", "prompt, random"):
    untrained = build(method, base, course.seed, START)
    for when, model in (("before", untrained), ("after", models[method])):
        near = around[method, when] = look_up(model, encoding, is_french, K)
        print(
            f"\n{method}, {when} training: of {near.ids.size} neighbours {near.french.mean():.0%} "
            f"are French, mean cosine to the nearest {near.cosine:.2f}"
        )
        for row in near.rows[:6]:
            print("   ", "  ".join(f"{text!r} {cosine:.2f}" for text, cosine in row))

# %% [markdown]
# The five neighbours of one virtual token resemble one another and are no five witnesses. So the
# error is that of a mean over the virtual tokens.

# %%
was, now = around["prompt, random", "before"].french, around["prompt, random", "after"].french
course.published(
    "neighbours of a prompt started at random", "Lester et al. 2021, section 7",
    "the nearest words belong together",
    f"French: {was.mean():.0%} before, {now.mean():.0%} after training",
    is_more(100 * (now - was).mean(), 100 * error_of_mean(now - was), unit=" points", places=0),
)  # fmt: skip
starts = around["prompt", "before"].ids[:, 0]
kept = (around["prompt", "after"].ids == starts[:, None]).any(axis=1)  # [n]
course.published(
    f"start words still among the {K} nearest", "Lester et al. 2021, section 7",
    "often (taken as: over half)", f"{kept.mean():.0%} of {len(kept)}",
    is_more(100 * kept.mean(), 100 * error_of_share(kept.mean(), len(kept)), at_least=50,
            unit=" points", places=0, no="the claim is about names of classes, which are what "
            "the model is to write, and these words are not"),
)  # fmt: skip

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
course.checked(
    "switched off: the base model again", "equal to the bit" if restored else "not equal",
    holds(restored, no="something was left behind"),
)  # fmt: skip

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
scored: dict[int, dict[str, ScoredAnswers]] = {}  # by the model's number of parameters
for n_layer in BLOCKS[:-1]:
    small = with_fewer_blocks(base, n_layer, pages, heal)
    scored[count_parameters(small.config)] = {
        method: teach(small, method)[1]["scored"] for method in ("full", "prompt")
    }
scored[total] = {method: results[method]["scored"] for method in ("full", "prompt")}
sizes = {n: {name: one.bleu() for name, one in each.items()} for n, each in scored.items()}
for n, scores in sizes.items():
    print(
        f"{n / 1e6:.1f} million parameters: full fine-tuning BLEU {scores['full']:.1f}, "
        f"prompt tuning {scores['prompt']:.1f}"
    )

# %%
apart, error = gap(scored[total]["full"], scored[total]["prompt"])
course.published(
    "BLEU, full fine-tuning against prompt tuning", "Lester et al. 2021, figure 1",
    "prompt tuning is behind in a small model",
    f"{sizes[total]['full']:.1f}, {sizes[total]['prompt']:.1f} ({total / 1e6:.1f}M)",
    is_more(apart, error, unit=" BLEU", places=1),
)  # fmt: skip
pairs = {n: (each["prompt"], each["full"]) for n, each in scored.items()}
more, error = gain_of_share(pairs[min(pairs)], pairs[total])
course.published(
    "prompt tuning's share of full's BLEU", "Lester et al. 2021, figure 1", "grows with the model",
    ", ".join(f"{share(*pair):.0f}% ({n / 1e6:.1f}M)" for n, pair in pairs.items()),
    is_more(more, error, unit=" points", places=0, yes="smallest to largest; but the smaller "
            "models are also less pretrained, and either may be the reason"),
)  # fmt: skip

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
for row in counts(GPTConfig.preset("gpt3-175b")):
    course.published(
        f"GPT-3, {row.name}", "Hu et al. 2021, appendix", f"{row.printed}M", f"{row.trained:,}",
        row.verdict(),
    )  # fmt: skip
course.finish()

# %% [markdown]
# Now you: prompts, prefixes, bottlenecks. `minigpt exercise start 13` writes the stubs, and
# `minigpt exercise check 13` says what your code computes.
