# %% [markdown]
# # Lesson 13: Soft prompts and bottlenecks
#
# LoRA is one way to teach something new to a model that is frozen, whose weights do not change.
# There are others: give it a few vectors to read before every text, give every layer keys and
# values to attend to, put small networks behind its layers, or train a few of its own weights and
# leave the rest. Here you build each by hand, then train all of them on one model and one task, and
# see what each costs and what it gains.
#
# After this lesson you can
#
# - say what prompt tuning, prefix tuning and bottlenecks train, and count the parameters;
# - explain why a gate that starts at zero makes training start at the base model exactly;
# - sort the methods of fine-tuning into three families and compare them on five axes;
# - search for a hard prompt by gradients, and say how it differs from a soft one;
# - judge the claim that prompt tuning needs a large model.
#
# You need: lesson 2 (attention, heads, keys and values), lesson 3 (logits, nats), lesson 5 (the KV
# cache), lesson 6 (BLEU), lesson 7 (the translation task) and lesson 8 (LoRA). Allow 75 minutes,
# and another 60 for the exercises; the script takes about three.
#
# Run it: `python lessons/13_soft_prompts.py`, or `minigpt lesson 13`. Its code is
# `minigpt/soft_prompts/`, `minigpt/bottlenecks/` and `minigpt/selective/`. Sources: Lester et al.
# 2021 (prompt tuning, arXiv 2104.08691), Li and Liang 2021 (prefix tuning, 2101.00190), Houlsby et
# al. 2019 (adapters, 1902.00751), Zhang et al. 2023 (LLaMA-Adapter, 2303.16199), Shin et al. 2020
# (AutoPrompt, 2010.15980), Lee et al. 2019 (the last layers alone, 1911.03090), Ben Zaken et al.
# 2022 (biases alone, 2106.10199), Hu et al. 2021 (LoRA and the counts for GPT-3, 2106.09685).
#
# Terms can be looked up in the [glossary](GLOSSARY.md).

# %%
import copy
import sys
import time
from dataclasses import replace
from typing import Any

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson

course = lesson.start(13, "Soft prompts and bottlenecks")

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn import functional as F

from lessons.experiments.bleu_shares import gain_of_share, share, share_error
from lessons.experiments.fewer_blocks import draw_sizes, pretraining_text, with_fewer_blocks
from lessons.experiments.finetuning_methods import (
    HIDDEN,
    N_TOKENS,
    RECIPES,
    as_table,
    build,
    draw,
    settings,
)
from lessons.experiments.gpt3_counts import counts
from lessons.experiments.method_costs import save_trained, time_tokens, training_bytes
from lessons.experiments.neighbours import french_tokens, look_up
from lessons.experiments.paired import time_ratio
from lessons.experiments.task_scores import Scores, scores_by_question
from lessons.verdicts import error_of_mean, error_of_share, holds, is_more, no_worse
from minigpt import GPT, GPTConfig, load_pretrained
from minigpt.bottlenecks.layer import Bottleneck
from minigpt.bottlenecks.model import load_bottlenecks, set_bottlenecks
from minigpt.cache import KVCache
from minigpt.config import count_parameters
from minigpt.lora.model import merge_lora, remove_lora
from minigpt.memory.counts import count_prefix_tuning
from minigpt.model import masked_attention
from minigpt.soft_prompts.layer import read_embeddings
from minigpt.soft_prompts.model import (
    apply_prefix_tuning,
    apply_prompt_tuning,
    load_soft_prompt,
    set_soft_prompt,
)
from minigpt.soft_prompts.search import search_prompt
from minigpt.tasks.answers import TaskResult, evaluate_task
from minigpt.tasks.data import instruction_data, task_data
from minigpt.tasks.task import TASKS
from minigpt.training.loop import train

torch.set_printoptions(precision=3, sci_mode=False, linewidth=100)
base, encoding = load_pretrained("base")
base.to(course.device).eval()
base.set_dropout(0.0)

# %% [markdown]
# ## A prompt that is not words
#
# What a model reads is not words but vectors, one for each token. Two vectors that belong to no
# token can stand before those of a text just as well, and be trained like any weight. Such a vector
# is called a **virtual token**, and all of them together a **soft prompt**.

# %%
table = torch.randn(10, 4)  # a vocabulary of 10, vectors of 4 numbers
idx = torch.tensor([7, 2, 2])
soft = torch.nn.Parameter(torch.randn(2, 4))
print("what the layers get:", torch.cat([soft, table[idx]]).detach(), sep="\n")

# %% [markdown]
# Where should they start? As the vectors of real words, for instance. Then the model first does
# what it would do with these words before every text, and training goes on from there. Its logits,
# the scores of every possible next token, should be the same either way.

# %%
words = encoding.encode("Please translate this:")
text = encoding.encode(" fr: I was lucky. ->")
prompted = apply_prompt_tuning(copy.deepcopy(base), len(words), words)
with torch.no_grad():
    as_words = base(torch.tensor([words + text], device=course.device))[0][:, len(words) :]
    as_vectors = prompted(torch.tensor([text], device=course.device))[0]
at_start = float((as_words - as_vectors).abs().max())
print(f"{len(words)} tokens before the text, or their vectors: the logits differ by {at_start:.0e}")
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
# Li and Liang found that such a prefix trains unsteadily by itself, and ends up slightly worse. So
# they let a network make it: vectors of width C go in, the keys and values of all layers come out.
# Once trained, the network is thrown away, and what is kept is as small as before. (Another help,
# also theirs: start as the keys and values of real words. Here all prefixes start at random. And
# the network's hidden width of 64 is our choice; it changes what is trained, not what is kept.)

# %%
for hidden in (None, HIDDEN):
    trained = count_prefix_tuning(base.config, N_TOKENS, hidden)
    kept = count_prefix_tuning(base.config, N_TOKENS)
    network = f"network of hidden width {hidden}" if hidden else "no network"
    print(f"{network}: {trained:,} numbers trained, {kept:,} kept")

# %% [markdown]
# ### A gate that starts shut
#
# At the start of training a random prefix disturbs the model: every token looks at noise. Zhang et
# al. (LLaMA-Adapter) let each head look at the prefix apart, by a softmax of its own, and add what
# it finds there times $\tanh g$, where $g$ is one trained number for each head and starts at zero:
#
# $$y = y_{text} + \tanh(g)\, y_{prefix}$$

# %%
g = torch.zeros(())
y_text = masked_attention(q, k, v)[0]
same = torch.equal(y_text + torch.tanh(g) * y_prefix, y_text)
print("one head, at the start as without a prefix:", same)

# %%
behind_gate = apply_prefix_tuning(copy.deepcopy(base), N_TOKENS, gate=True)
idx = torch.tensor([text], device=course.device)
scores, loss = behind_gate(idx, idx.roll(-1, 1))  # each token's target is the next
unchanged = torch.equal(scores, base(idx)[0])
slope = torch.autograd.grad(loss, behind_gate.soft_prompts["default"].gate)[0]  # [L, H]
print("the whole model, its logits as without:", unchanged)
print("gradients of the loss with respect to the first layer's gates, one a head:", slope[0])
course.checked(
    "prefix with a gate, before training", "the base model, to the bit" if unchanged else "not it",
    holds(unchanged and bool(slope.all()), no="or a gate gets no gradient and stays shut for good"),
)  # fmt: skip

# %% [markdown]
# While a gate is shut, no gradient reaches its keys and values: the gates open first, then the rest
# learns. (In the paper this is done in the topmost layers only, and the layers' own frozen weights
# make keys and values of trained vectors. Here every layer has it.) And as these keys and values
# stand beside the text and not before it, they take no positions. A soft prompt, or a prefix
# without a gate, takes one for each virtual token, and leaves that much less of the context to the
# text (lesson 5).
#
# ## Bottlenecks
#
# Houlsby et al. put a small network behind attention and MLP. It squeezes the C numbers of a token
# through r and adds the result to them. They called it an adapter; today that word mostly means
# LoRA's.
#
# $$h \leftarrow h + W_{up}\, f(W_{down}\, h)$$
#
# $W_{up}$ starts at zero (in the paper near zero): nothing changes at first. The f between the two,
# here GELU (lesson 3), makes it differ from LoRA: it is not linear, so the network can never be
# merged into a weight, and always takes its own time.

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
# ## Three families
#
# - **Selective** methods train some of the model's own weights: the last block (with the final norm
#   behind it), or the biases alone ("BitFit"). Nothing is added, so nothing is slower afterwards.
# - **Reparameterization** trains a change of the weights in a form with few numbers. LoRA does, and
#   so does QLoRA, which lesson 12 has compared with it. The change can be added to the weights at
#   the end: nothing is slower then, either.
# - **Additive** methods put something new beside the weights: bottlenecks, prefixes, soft prompts.
#   What is added takes part in computing every token that the model ever reads or writes.
#
# ## One model, one task, every method
#
# The task is lesson 7's: translate into French. Every method gets the same examples in the same
# order, and the same number of steps. They are compared on five axes: the **parameters** that they
# train, **memory**, **training speed**, **quality**, and the **cost of inference**, that is of each
# token that the model writes afterwards.
#
# Prompts and prefixes have 20 virtual tokens; with more, Lester et al. gained little. A prompt that
# starts as words starts as an instruction to translate, repeated until there are 20 tokens. The
# bottlenecks, two in each block, have width 16: together they train about two thirds more numbers
# than such a prefix. LoRA has rank 12, as in lesson 8. A few new numbers need larger steps than
# many old ones, so each method has the learning rate that `minigpt finetune` gives it: 0.001 for
# full fine-tuning, 0.002 for LoRA and the last block, 0.006 for bottlenecks, 0.02 for biases, 0.1
# for prompts and prefixes. Only the prefix that a network makes gets another, 0.01 (with
# `minigpt finetune`: `--learning-rate 0.01`), as it needs smaller steps. (It all stands in
# `lessons/experiments/finetuning_methods.py`.)

# %%
total = count_parameters(base.config)
translation = course.limit(task_data(TASKS["translation"]))
references = [record["fr"] for record in translation.test]
longest = max(len(encoding.encode(f" {text}")) for text in references)  # tokens
task = translation.task
task = replace(task, max_new_tokens=min(task.max_new_tokens, longest + 1))
data = instruction_data([translation], encoding, block_size=128, seed=course.seed)
N_TEST = course.choose(quick=4, normal=150, full=500)
STEPS = course.choose(quick=3, normal=90, full=390)
BATCH_SIZE = course.choose(quick=2, normal=6)
START = encoding.encode(" Translate the English sentence into French. English, French:")

# %% [markdown]
# A method adds what it trains to a copy of the model, trains that, and answers the test set. An
# answer ends with the end token, or where it is as long as the longest right answer.

# %%


def judge(model: GPT) -> TaskResult:
    """Answers to the test set, and their BLEU."""
    return evaluate_task(model, encoding, task, translation.test[:N_TEST])


def scored_answers(judged: TaskResult) -> Scores:
    """The answers to the test set, with what BLEU counts in each."""
    return scores_by_question(task, judged.answers, translation.test[: len(judged.answers)])


# %%
def teach(start: GPT, method: str, examples: Any = data) -> tuple[GPT, dict[str, Any]]:
    """A copy of start that a method has taught the task; its score, and what that took."""
    model = build(method, start, course.seed, START)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    config = settings(method, STEPS, course.seed, course.device, BATCH_SIZE)
    result = train(model, examples, replace(config, progress=False))
    judged = judge(model)
    scored = scored_answers(judged)
    return model, {
        "BLEU": judged.score,
        "error": scored.error("bleu"),
        "answers": judged.answers,
        "scored": scored,
        "trained": trained,
        "of all": trained / total,
        "training, MB": training_bytes(model) / 1e6,
        "ms a step": 1e3 * result.seconds / result.steps,
    }


# %%
before = judge(base)
print(f"base: BLEU {before.score:.1f}, {before.answers[0]!r}")
models, results = {}, {}
for method in (name for name in RECIPES if "QLoRA" not in name):  # lesson 12 has both of these
    models[method], results[method] = teach(base, method)
    folder = course.folder / method.replace(",", "").replace(" ", "-")
    results[method]["file, bytes"] = save_trained(models[method], method, encoding, folder)
    print(f"{method}: BLEU {results[method]['BLEU']:.1f}, {results[method]['answers'][0]!r}")

# %% [markdown]
# The last axis is what a token costs afterwards. LoRA is timed twice: beside the weights, and
# merged into them. The models take turns, so that other work on the machine slows all of them. The
# times are medians over the rounds. The verdicts compare two models round by round and take the
# median of these ratios, which need not be the ratio of the medians to the last digit. (`generate`
# has a faster way for models without additions, which is switched off here: it is the methods that
# are to be compared.)

# %%
merged = copy.deepcopy(models["LoRA"])
merge_lora(merged)
timed = {"base": base} | models | {"LoRA, merged": remove_lora(merged)}
n_written, rounds = course.choose(quick=2, normal=24), course.choose(quick=2, normal=7)
times = time_tokens(timed, torch.tensor([text], device=course.device), n_written, rounds)
medians = {name: float(np.median(each)) for name, each in times.items()}
longer, error = time_ratio(times["bottlenecks"], times["base"])
course.published(
    "time a token: bottlenecks, base", "Hu et al. 2021, table 1", "bottlenecks are slower",
    f"{medians['bottlenecks']:.2f}, {medians['base']:.2f} ms",
    is_more(100 * (longer - 1), 100 * error, unit="%", places=0),
)  # fmt: skip
longer, error = time_ratio(times["LoRA"], times["LoRA, merged"])
course.checked(
    "time a token: LoRA beside the weights, merged",
    f"{medians['LoRA']:.2f}, {medians['LoRA, merged']:.2f} ms",
    is_more(100 * (longer - 1), 100 * error, unit="%", places=0, checked=True,
            yes="merging saves it"),
)  # fmt: skip

# %% [markdown]
# The table has all five axes. From top to bottom stand full fine-tuning, two selective methods, a
# reparameterization, and the additive methods. Parameters come with the size of the file to keep:
# the network of prefix tuning counts among what is trained, but is not in the file. "training, MB"
# holds the weights, a gradient and AdamW's two running means; what the forward pass keeps comes on
# top (lesson 12). Times are of this machine, and of whatever else it had to do.

# %%
for method in results:
    results[method]["ms a token"] = medians[method]
print(as_table(results, {
    "BLEU": ".1f", "trained": ",", "of all": ".2%", "file, bytes": ",", "training, MB": ".1f",
    "ms a step": ".0f", "ms a token": ".2f",
}))  # fmt: skip
for name in ("base", "LoRA, merged"):
    print(f"{name}: {medians[name]:.2f} ms a token")

# %% [markdown]
# How much of a difference in BLEU is chance? Draw the test sentences anew, many times, with
# replacement, and see how far the difference of two methods wanders (lesson 6): that is the error
# in the closing table. It does not include the chance of the seed: try `--seed 1`, and `--seed 2`.
#
# How many parameters does prompt tuning train? The slides say 10,000 to 100,000.

# %%
n, C = N_TOKENS, base.config.n_embd
trained = results["prompt"]["trained"]
course.published(
    "parameters that prompt tuning trains", "slides 001/002", "10K to 100K", f"{trained:,}",
    holds(10_000 <= trained <= 100_000, published=True, no=f"it is n C: {n} tokens x {C} here; "
          f"20 to 100 tokens of {C} are {20 * C:,} to {100 * C:,}, and of 1,024 20,480 to 102,400"),
)  # fmt: skip

# %% [markdown]
# What do the papers say of their methods? First, that they are as good as full fine-tuning (up to 2
# BLEU counts as equal here), or nearly. (After so few steps full fine-tuning may not have learned
# all that it can, either; with `--full` or on a CUDA GPU there are more.)

# %%
OTHERS = f"model, task and number of steps ({STEPS} here) are others"
AS_GOOD = (
    ("biases", "Ben Zaken et al. 2022, abstract", "competitive on small to medium data",
     OTHERS + "; theirs answered with a class or a score"),
    ("bottlenecks", "Houlsby et al. 2019, abstract", "nearly as good (within 0.4% on GLUE)",
     OTHERS + "; theirs answered with a class or a score"),
    ("prefix, network", "Li and Liang 2021, abstract", "comparable on all of the data", OTHERS),
)  # fmt: skip
for method, source, claim, otherwise in AS_GOOD:
    behind, error = results["full"]["scored"].gain(results[method]["scored"], "bleu")
    course.published(
        f"BLEU: full, {method}", source, claim,
        f"{results['full']['BLEU']:.1f}, {results[method]['BLEU']:.1f}",
        no_worse(behind, error, 2, otherwise, unit=" BLEU", places=1),
    )  # fmt: skip
last = results["last block"]["scored"], results["full"]["scored"]
course.published(
    "the last block's share of full's BLEU", "Lee et al. 2019, abstract",
    "90%, by a fourth of the layers", f"{share(*last):.0f}%, by a fifth",
    is_more(share(*last), share_error(*last), at_least=90, unit="%", places=0,
            no="their models answered with a class or a score, not with a text"),
)  # fmt: skip

# %% [markdown]
# Second, what each invention is good for:

# %%
CLAIMS = (
    ("BLEU, prefix: with its network, without", "Li and Liang 2021, section 4.3",
     "the network helps", "prefix, network", "prefix"),
    ("BLEU, prompt: from words, at random", "Lester et al. 2021, section 3.2",
     "words are the better start", "prompt", "prompt, random"),
    ("BLEU, prefix: with a gate, without", "Zhang et al. 2023, ablation of the gate",
     "the gate helps", "prefix, gate", "prefix"),
)  # fmt: skip
for what, source, claim, better, worse in CLAIMS:
    found = f"{results[better]['BLEU']:.1f}, {results[worse]['BLEU']:.1f}"
    apart, error = results[better]["scored"].gain(results[worse]["scored"], "bleu")
    course.published(what, source, claim, found, is_more(apart, error, unit=" BLEU", places=1))

# %% [markdown]
# In the next figure a bar is one standard error of a method's own score. All methods translate the
# same sentences, so the error of a difference cannot be read from two bars; the closing table has
# it.

# %%
figure, axis = plt.subplots(figsize=(9, 5), layout="constrained")
draw(axis, results)
axis.set_title(
    f"Translation after {STEPS} steps, by trained parameters (the base: {before.score:.1f})\n"
    "bars: one standard error"
)
course.save_figure(figure, "methods")

# %% [markdown]
# ## What does a soft prompt resemble?
#
# Its vectors have neighbours among those of the words. Lester et al. looked up the five nearest, by
# the cosine of the angle between two vectors (1: the same direction, 0: a right angle). They found
# that those of one trained vector belong together, and that those of random vectors do not. That
# can be measured: what is the mean cosine between two of the five?
#
# And do they have to do with the task? The prompt has learned to ask for French, so count: a token
# is French if the French sentences of the training set have it more than twice as often as the
# English ones. (Every vector is nearest to some word: even a random one has a cosine of about 0.2
# with it, so read the lists with care. The sign � stands for a token that is only a part of a
# character, lesson 1.)

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
            f"\n{method}, {when} training: mean cosine to the nearest {near.cosine:.2f}, among ",
            end="",
        )
        print(f"the {K} {near.together.mean():.2f}; {near.french.mean():.0%} are French")
        for row in near.rows[:4]:
            print("   ", "  ".join(f"{text!r} {cosine:.2f}" for text, cosine in row))

# %% [markdown]
# The five neighbours of one virtual token resemble one another, so they are not five independent
# observations. The errors are therefore those of a mean over the 20 virtual tokens.

# %%
was, now = around["prompt, random", "before"], around["prompt, random", "after"]
closer = now.together - was.together
course.published(
    f"cosine among the {K} nearest, prompt from random", "Lester et al. 2021, section 7",
    "tight clusters, unlike random vectors'",
    f"{was.together.mean():.3f} before training, {now.together.mean():.3f} after",
    is_more(closer.mean(), error_of_mean(closer), places=3),
)  # fmt: skip
more = now.french - was.french
course.checked(
    "French among the neighbours, prompt from random",
    f"{was.french.mean():.0%} before training, {now.french.mean():.0%} after",
    is_more(100 * more.mean(), 100 * error_of_mean(more), unit=" points", places=0, checked=True),
)  # fmt: skip
starts = around["prompt", "before"].ids[:, 0]
kept = (around["prompt", "after"].ids == starts[:, None]).any(axis=1)  # [n]
course.published(
    f"start words still among the {K} nearest", "Lester et al. 2021, section 7",
    "often (taken as: over half)", f"{kept.mean():.0%} of {len(kept)}",
    is_more(100 * kept.mean(), 100 * error_of_share(kept.mean(), len(kept)), at_least=50,
            unit="%", places=0, no="the claim is about names of classes, which are what "
            "the model is to write, and these words are not"),
)  # fmt: skip

# %% [markdown]
# ## Hard prompts
#
# A hard prompt is made of real words. People write them, and try one wording after another. The
# slides show three that ask for German; here they ask for French. A fourth asks for nothing: a
# blank line after the English, as in the pages that the base model has read (lesson 4). Nothing is
# trained. Look at the level of the scores, too: one request may be better than another, and still
# be no use. (Of three equally good requests, too, chance makes one the best and one the worst, and
# sets these two farther apart than it would set two requests alone. So in the row that compares
# them the error after the ± is multiplied by 1.19, as a comment in the second cell below explains.)

# %%
WORDINGS = (
    "Translate the English sentence '{en}' into French:",
    "English: '{en}' | French:",
    "From English to French: '{en}' ->",
    "{en}\n\n",
)
by_wording = {}
for wording in WORDINGS:
    asked = replace(task, templates=(wording,))
    judged = evaluate_task(base, encoding, asked, translation.test[:N_TEST])
    by_wording[wording] = scored_answers(judged)
    print(f"{wording!r}: BLEU {judged.score:.1f}, {judged.answers[0][:60]!r}")

# %%
ranked = sorted(WORDINGS[:3], key=lambda wording: -by_wording[wording].value("bleu"))
scores = [by_wording[wording].value("bleu") for wording in ranked]
# By chance alone, the best of three minus the worst exceeds 2.38 errors as rarely as the
# difference between two requests exceeds 2 errors (Tukey's range of three). So the error counts
# 2.38 / 2 = 1.19 times.
apart, error = by_wording[ranked[0]].gain(by_wording[ranked[2]], "bleu")
course.published(
    "BLEU of three requests", "slides 001/002", "the wording matters",
    ", ".join(f"{score:.1f}" for score in scores),
    is_more(apart, 1.19 * error, unit=" BLEU", places=1, yes="from the worst to the best"),
)  # fmt: skip
page, instructed = by_wording[WORDINGS[3]], by_wording[ranked[0]]
apart, error = page.gain(instructed, "bleu")
course.checked(
    "BLEU, a page's form against the best of three requests",
    f"{page.value('bleu'):.1f}, {scores[0]:.1f}",
    is_more(apart, error, unit=" BLEU", places=1, checked=True),
)  # fmt: skip

# %% [markdown]
# A model that was never taught to follow requests goes on as its texts did. So the prompt to write
# is one that looks like them.
#
# Can a search find words? Tokens have no gradient, but their embeddings have: if the loss has the
# gradient $g$ at the embedding $e$ of a token of the prompt, then another token with the embedding
# $e'$ changes the loss by about $(e' - e) \cdot g$. AutoPrompt (Shin et al.) takes a place of the
# prompt, tries the tokens that promise most there, and keeps the best one if the loss on a batch
# really falls. Our prompt has 20 places before the task's own short one (`fr: ... ->`), and starts
# as the words that the soft prompt started as. The steps take the places in turn (20 steps look at
# each once), and each tries 8 tokens on 4 rows of examples. Below, "promised" is that estimate of
# the change in the loss, and "found" is how much the loss on the batch really changed, in nats;
# below zero is better.

# %%
n_steps, n_candidates = course.choose(quick=2, normal=20, full=200), 8
rows = course.choose(quick=1, normal=4)
start = (START * N_TOKENS)[:N_TOKENS]
searched = search_prompt(
    base, lambda step: data.train_batch(step, rows), start, n_steps,
    n_candidates=n_candidates, never=[encoding.eot_token],
)  # fmt: skip
for swap in searched.swaps[:5]:
    old, new = (encoding.decode([token]) for token in (swap.old, swap.new))
    print(f"{old!r} -> {new!r}: promised {swap.promised:+.2f}, found {swap.change:+.3f} nats")
print(f"what was found: {encoding.decode(searched.ids)!r}")

# %%
hard = judge(apply_prompt_tuning(copy.deepcopy(base), N_TOKENS, searched.ids))
scored_hard = scored_answers(hard)
print(f"BLEU {hard.score:.1f}, {hard.answers[0][:60]!r}")
unsearched = judge(apply_prompt_tuning(copy.deepcopy(base), N_TOKENS, start))
better, error = scored_hard.gain(scored_answers(unsearched), "bleu")
course.checked(
    "BLEU, the 20 places before the search and after it",
    f"{unsearched.score:.1f}, {hard.score:.1f}",
    is_more(better, error, unit=" BLEU", places=1, checked=True),
)
written = max(by_wording.values(), key=lambda scored: scored.value("bleu"))
apart, error = scored_hard.gain(written, "bleu")
course.published(
    "BLEU, hard prompt: found by search, the best of four written", "Shin et al. 2020, abstract",
    "the one found is better", f"{hard.score:.1f}, {written.value('bleu'):.1f}",
    is_more(apart, error, unit=" BLEU", places=1,
            no="a written prompt is better than that of so short a search"),
)  # fmt: skip
apart, error = results["prompt"]["scored"].gain(scored_hard, "bleu")
course.checked(
    "BLEU, a soft prompt against the hard one found",
    f"{results['prompt']['BLEU']:.1f}, {hard.score:.1f}",
    is_more(apart, error, unit=" BLEU", places=1, checked=True),
)  # fmt: skip

# %% [markdown]
# Nobody would have written such words: a low loss is all that they were chosen for. But they can be
# read and passed on, and a model that can only be sent text takes them. A soft prompt may be any
# vectors at all; the closing table says what that is worth.
#
# ## One model, many methods
#
# What was trained is in small files. One model can hold several and switch between them within
# milliseconds; with none it is the base model again, to the last bit.

# %%
again, _ = load_pretrained("base")
again.to(course.device).eval()
for name in ("prompt", "prefix"):
    load_soft_prompt(again, course.folder / name, name=name)
load_bottlenecks(again, course.folder / "bottlenecks", name="bottlenecks")
n_compared = course.choose(quick=2, normal=15)
for name in ("prompt", "prefix", "bottlenecks"):
    started = time.perf_counter()
    set_soft_prompt(again, None if name == "bottlenecks" else name)
    set_bottlenecks(again, "bottlenecks" if name == "bottlenecks" else None)
    switched = 1e3 * (time.perf_counter() - started)
    result = evaluate_task(again, encoding, task, translation.test[:n_compared])
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
# Lester et al. drew four curves against the size of the model: prompts that people wrote (for
# GPT-3, with examples), and, for T5 (an encoder with a decoder, lesson 2), prompt tuning, full
# fine-tuning on each task, and full fine-tuning on all tasks at once. Prompt tuning was far behind
# in small models, and level with full fine-tuning at eleven billion parameters. We have no eleven
# billion, but we can go the other way: take the base model's first two blocks. A model that is cut
# off like this predicts badly, so it gets a few more steps of pretraining (80, or 300 with `--full`
# or on a CUDA GPU) on the base model's own kind of text. A real model of that size would get
# thousands. So this one is not only smaller, it is also less pretrained, and the experiment cannot
# tell which of the two makes a difference.
#
# The written prompt is the blank line. The several tasks are three of lesson 7's: translation,
# summaries and reviews. In this mixture a third of the rows is translation, the number of steps is
# the same, and long dialogues lose their beginnings, as rows have only 128 tokens.

# %%
pages = pretraining_text(encoding, course.seed, course.n_documents)
heal = settings(
    "full", course.choose(quick=2, normal=80, full=300), course.seed, course.device, BATCH_SIZE
)
small = with_fewer_blocks(base, 2, pages, replace(heal, progress=False))
every_task = [course.limit(task_data(each)) for each in TASKS.values()]
mixed = instruction_data(every_task, encoding, block_size=128, seed=course.seed)

# %%
WAYS = {"full": data, "prompt": data, "full, three tasks": mixed}
scored: dict[int, dict[str, Scores]] = {}  # by the model's number of parameters
for start_model in (small, base):
    each = scored[count_parameters(start_model.config)] = {}
    for way, examples in WAYS.items():
        known = start_model is base and way in results
        found = results[way] if known else teach(start_model, way.split(",")[0], examples)[1]
        each[way] = found["scored"]
    asked = replace(task, templates=(WORDINGS[3],))
    judged = evaluate_task(start_model, encoding, asked, translation.test[:N_TEST])
    each["written prompt"] = scored_answers(judged)
sizes = {n: {name: one.value("bleu") for name, one in each.items()} for n, each in scored.items()}
for n, scores in sizes.items():
    print(f"{n / 1e6:.1f}M:", ", ".join(f"{way} {score:.1f}" for way, score in scores.items()))

# %%
apart, error = scored[total]["full"].gain(scored[total]["prompt"], "bleu")
course.published(
    "BLEU, full fine-tuning against prompt tuning", "Lester et al. 2021, figure 1",
    "prompt tuning is behind in a small model",
    f"{sizes[total]['full']:.1f}, {sizes[total]['prompt']:.1f} ({total / 1e6:.1f}M)",
    is_more(apart, error, unit=" BLEU", places=1),
)  # fmt: skip
apart, error = scored[total]["full, three tasks"].gain(scored[total]["full"], "bleu")
course.published(
    "BLEU, full fine-tuning: three tasks, one", "Lester et al. 2021, section 3.1",
    "several tasks are stronger",
    f"{sizes[total]['full, three tasks']:.1f}, {sizes[total]['full']:.1f} ({total / 1e6:.1f}M)",
    is_more(apart, error, unit=" BLEU", places=1,
            no="they gave several tasks larger batches, here a task gets a third of the rows"),
)  # fmt: skip
apart, error = scored[total]["prompt"].gain(scored[total]["written prompt"], "bleu")
course.published(
    "BLEU, prompt tuning against a written prompt", "Lester et al. 2021, figure 1",
    "tuning is far ahead",
    f"{sizes[total]['prompt']:.1f}, {sizes[total]['written prompt']:.1f} ({total / 1e6:.1f}M)",
    is_more(apart, error, unit=" BLEU", places=1),
)  # fmt: skip

# %%
pairs = {n: (each["prompt"], each["full"]) for n, each in scored.items()}
more, error = gain_of_share(pairs[min(pairs)], pairs[total])
course.checked(
    "prompt tuning's share of full's BLEU, two blocks and five",
    ", ".join(f"{share(*pair):.0f}% ({n / 1e6:.1f}M)" for n, pair in pairs.items()),
    is_more(more, error, unit=" points", places=0, checked=True,
            yes="the small model is also less pretrained, and either may be the reason"),
)  # fmt: skip

# %% [markdown]
# A prompt changes no weight. It can only ask for what is there: the base model has read pages in
# two languages (lesson 4), and only has to be told to go on in French. Full fine-tuning can also
# teach what the model does not know yet.

# %%
figure, axis = plt.subplots(figsize=(7, 5), layout="constrained")
draw_sizes(axis, sizes, {
    n: {way: one.error("bleu") for way, one in each.items()} for n, each in scored.items()
})  # fmt: skip
axis.set_title(
    f"Four ways to French, three of them with {STEPS} steps; the small model\n"
    "is less pretrained; bars: one standard error"
)
course.save_figure(figure, "sizes")

# %% [markdown]
# ## GPT-3
#
# How many parameters would the methods train there? Hu et al. printed a table, in millions with one
# decimal; GPT-3 has $L = 96$ layers of width $d = 12288$. PrefixEmbed is prompt tuning with $l_p$
# virtual tokens before the text and $l_i$ inside it: $d\,(l_p + l_i)$. PrefixLayer trains what each
# layer puts in their place: $L\,d\,(l_p + l_i)$. Adapter^H stands for Houlsby's, two bottlenecks in
# every layer: $2 L\,(2 d r + r + d)$. As in lesson 8, a verdict says so where a printed figure
# comes out only if it is rounded, or only if it is cut off.

# %%
for row in counts(GPTConfig.preset("gpt3-175b")):
    course.published(
        f"GPT-3, {row.name}", "Hu et al. 2021, table 15", f"{row.printed}M", f"{row.trained:,}",
        row.verdict(),
    )  # fmt: skip

# %% [markdown]
# ## What to take away
#
# - A soft prompt is trained vectors before the text; a prefix is trained keys and values in every
#   layer. Both leave the model as it is, take room in the context, and are small files.
# - Behind a gate that starts at zero, a prefix begins as the base model and takes no room.
# - Bottlenecks are networks behind the layers; they are not linear and cannot be merged.
# - Selective methods and merged LoRA cost nothing afterwards; additive ones take part in every
#   token, and can be switched from text to text.
# - Hard prompts are words, written or found by a search: anybody can read them, and any model takes
#   them.

# %%
course.finish()

# %% [markdown]
# Your turn: prompts, prefixes, bottlenecks. `minigpt exercise start 13` writes the stubs, and
# `minigpt exercise check 13` says what your code computes.
#
# This was the last lesson. `minigpt finetune` trains by any of these methods with data of your own.
