# %% [markdown]
# # Lesson 4: Pretraining
#
# A GPT learns by guessing the next token of text that people wrote, millions of times. Here you
# write one training step by hand, and find that ten of them give the same weights as the library's
# loop. Then you train a model from random numbers, watch the loss fall, read what it writes before
# and after, and stop it in the middle to see that nothing is lost. Last you meet the model that
# ships with minigpt and measure what it has learned: against texts it has never read, and against
# file compressors.
#
# After this lesson you can
#
# - write a training step: loss, gradients, clipping, AdamW, learning-rate schedule;
# - read a training curve, and say when two losses may be compared and when they may not;
# - tell how learning rates and batch sizes go with the size of a model.
#
# You need: lessons 1 (tokens) and 3 (the model, logits, cross-entropy, nats), and derivatives (the
# chain rule). Allow 60 minutes, and another 45 for the exercises; the script takes about a minute.
# Next comes lesson 5, in which the trained model writes.
#
# Run it: `python lessons/04_pretraining.py`, or `minigpt lesson 4`. The code behind it is in
# `minigpt/training/loop.py` and `minigpt/dataset.py`.
#
# `python lessons/04_pretraining.py --full` makes the base model again (half an hour on 2 cores that
# are idle; after Ctrl-C the same command goes on where it stopped).
#
# Terms can be looked up in the [glossary](GLOSSARY.md).

# %%
import bz2
import lzma
import math
import os
import shutil
import signal
import sys
import tempfile
import textwrap
from pathlib import Path

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson

course = lesson.start(4, "Pretraining")

# %%
import numpy as np
import tiktoken
import torch
from torch import Tensor
from torch.nn import functional as F

from lessons import base_model
from lessons.experiments import training_curves
from lessons.experiments.read_and_unread import Sample, knows_by_heart, mixed
from lessons.verdicts import holds, is_more
from minigpt import GPT, GPTConfig, count_parameters, load_pretrained, train_bpe
from minigpt.dataset import Batch, PackedText, pack
from minigpt.optim.adamw import adamw_step
from minigpt.text.documents import split_documents
from minigpt.text.python_library import python_library
from minigpt.text.task_sets import data_folder, task_texts
from minigpt.tokenizer import END_OF_TEXT
from minigpt.training.checkpoint import has_checkpoint
from minigpt.training.interrupt import TrainingInterrupted
from minigpt.training.loop import train
from minigpt.training.settings import TrainConfig, learning_rate_at

# %% [markdown]
# ## Text
#
# GPT-1 learned from BooksCorpus, over 7,000 unpublished books (Radford et al. 2018, section 4.1).
# Its makers counted 11,038, but many are there twice, and 7,185 are different (Bandy and Vincent
# 2021). We need no download: every Python carries megabytes of English that people wrote, the
# documentation inside its own library.
#
# About one document in twenty is **held out**: the model never trains on it. Such documents tell
# what the model has learned about text of this kind, beyond the very words it has read.

# %%
documents = python_library(course.n_documents)
train_documents, validation_documents = split_documents(documents)
library = [document.text for document in train_documents]
held_out = [document.text for document in validation_documents]
print(f"{len(library)} documents to learn from, {sum(map(len, library)) / 1e6:.2f}M characters")
print(f"{len(held_out)} held out, {sum(map(len, held_out)) / 1e6:.2f}M characters")
print(f"\nThe beginning of {train_documents[40].name}:\n")
print(textwrap.indent(library[40][:400], "    "))

# %% [markdown]
# A tokenizer (lesson 1) turns the text into ids. All documents then stand in one long row with an
# end token after each, and an example is any stretch of that row. The target of every position is
# simply the id that follows. A vocabulary of 2,048 is small; with GPT-2's 50,257 tokens nearly all
# parameters of a model as small as ours would be embeddings.


# %%
def encode(texts: list[str], encoding: tiktoken.Encoding) -> np.ndarray:
    """All texts in one row of ids."""
    return pack((encoding.encode_ordinary(text) for text in texts), encoding.eot_token)


encoding = train_bpe(library, vocab_size=2048, special_tokens=[END_OF_TEXT])
library_ids, held_out_ids = encode(library, encoding), encode(held_out, encoding)
block_size = course.choose(quick=64, normal=128)
data = PackedText(library_ids, held_out_ids, block_size, course.seed)
idx, targets, _ = data.train_batch(step=0, batch_size=4)  # [4, T] each
print(
    f"{len(library_ids):,} tokens; one batch: idx {list(idx.shape)}, targets {list(targets.shape)}"
)
for i, target in zip(idx[0, :6].tolist(), targets[0, :6].tolist(), strict=True):
    print(f"    after ...{encoding.decode([i])!r:<12} comes {encoding.decode([target])!r}")

# %% [markdown]
# ## One step by hand: forward and loss
#
# A training step has five parts: forward, backward, clip, learning rate, update. We write each for
# a very small model, in fp32 (32-bit floating point, lesson 9) and on the CPU, so that the numbers
# can be compared to the last bit.
#
# The forward pass you know from lesson 3: ids in, logits out, softmax, and the loss is the mean of
# $-\ln p$ of the right tokens. It should start near ln V. If it is a little below, that is chance:
# the batch asks only 4 x 32 = 128 questions.

# %%
small_data = PackedText(library_ids, held_out_ids, block_size=32, seed=course.seed)


def new_model() -> GPT:
    """A GPT of width 64, with the same random weights every time."""
    torch.manual_seed(course.seed)
    return GPT(GPTConfig(encoding.n_vocab, block_size=32, n_layer=2, n_head=2, n_embd=64))


by_hand = new_model()
idx, targets, _ = small_data.train_batch(step=0, batch_size=4)  # [4, 32] each
logits, _ = by_hand(idx)  # [4, 32, V]
p = logits.detach().softmax(-1)  # [4, 32, V]
loss = -p.gather(-1, targets[..., None]).log().mean()  # gather picks the p of the right token
print(f"first loss {loss:.4f} nats; ln V = {math.log(encoding.n_vocab):.4f}")

# %% [markdown]
# ## Backward
#
# How does the loss change if a logit grows a little? For one position, $-\ln p_{\text{right}}$ is
# $\ln \sum_v e^{z_v} - z_{\text{right}}$ with the logits z. Its derivative with respect to $z_v$ is
# $p_v$, and for the right token $p_v - 1$. In words: push each token down by the probability it was
# given, and the right one up by 1. The loss is a mean over N positions, so all of it is divided
# by N.
#
# `logits.backward(g)` takes this gradient g of the logits, follows the chain rule back through the
# model to every weight, and leaves each weight's gradient in `.grad`. First we check g: torch can
# differentiate the loss by itself (autograd), and should find the same.


# %%
def logits_gradient(p: Tensor, targets: Tensor) -> Tensor:
    one_hot = F.one_hot(targets, p.size(-1))  # [B, T, V] 1 at the right token
    return (p - one_hot) / targets.numel()


torch_loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
# retain_graph keeps what the backward pass needs, for we go back a second time below.
by_torch = torch.autograd.grad(torch_loss, logits, retain_graph=True)[0]
apart = float((logits_gradient(p, targets) - by_torch).abs().max())
print(f"autograd finds the same to {apart:.1g}; its largest number is {by_torch.abs().max():.1g}")
logits.backward(logits_gradient(p, targets))
print(
    "gradient of one weight matrix:", list(by_hand.transformer["h"][0].mlp.c_fc.weight.grad.shape)
)
course.checked(
    "gradient of the logits: (p - 1 at the target) / N",
    f"{apart:.1g} from autograd's",
    holds(apart < 1e-8, yes="fp32 rounds in another order"),  # the largest is 1 / N = 0.008
)

# %% [markdown]
# ## Clip
#
# All gradients together are one long vector. If its length (the **gradient norm**) is above 1, we
# shorten it to 1; its direction stays. So one odd batch cannot throw the weights far away (Pascanu
# et al. 2013).


# %%
def clip(gradients: list[Tensor], longest: float = 1.0) -> tuple[list[Tensor], float]:
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    factor = min(1.0, float(longest / (norm + 1e-6)))  # 1e-6: a norm of 0 does no harm
    return [gradient * factor for gradient in gradients], float(norm)


clipped, norm = clip([parameter.grad for parameter in by_hand.parameters()])
print(f"gradient norm {norm:.2f} before, {clip(clipped)[1]:.2f} after")

# %% [markdown]
# ## Learning rate
#
# The learning rate climbs in a straight line over the first steps (the warm-up), then falls along
# half a cosine to a tenth of its top. That is GPT-3's schedule (Brown et al. 2020, appendix B). The
# warm-up is for AdamW (see below), whose first estimates rest on few gradients; the fall lets the
# weights settle. Our ten steps climb for three, to 3e-3. (In the settings below, weight decay and
# betas belong to the update, which comes next.)

# %%
ten = TrainConfig(
    max_steps=10, batch_size=4, learning_rate=3e-3, warmup_steps=3, weight_decay=0.1,
    betas=(0.9, 0.95), grad_clip=1.0, device="cpu", dtype="float32", progress=False,
)  # fmt: skip


def learning_rate(step: int, top: float = 3e-3, warmup: int = 3, last: int = 10) -> float:
    if step < warmup:
        return top * (step + 1) / warmup
    share = (step - warmup) / (last - warmup)  # of the way down
    return top / 10 + (top - top / 10) * (1 + math.cos(math.pi * share)) / 2


print("by hand:", [f"{learning_rate(step):.2e}" for step in range(10)])
same = sum(math.isclose(learning_rate(step), learning_rate_at(step, ten)) for step in range(10))
print(f"{same} of 10 as the library has them")
course.checked("learning rates by hand", f"{same} of 10 as train has them", holds(same == 10))

# %% [markdown]
# ## Update: AdamW
#
# The plainest update would be $w \leftarrow w - \text{lr} \cdot g$. But some weights have far
# larger gradients than others, and no learning rate suits all. Adam (Kingma and Ba 2015) keeps two
# running means for every weight, m of its gradients and v of their squares (the **moments**), and
# moves it by the learning rate times $m / \sqrt{v}$. The size of that is about 1 where the
# gradients agree with each other and near 0 where they contradict each other, whatever their own
# size.
#
# $\beta_1 = 0.9$ and $\beta_2 = 0.95$ say how slowly the means forget. Both means start at 0, so
# early on they are too small, in the t-th step by the factor $1 - \beta^t$; dividing by it corrects
# that. A last detail, 1e-8, keeps the division from failing where v is 0.
#
# The W in AdamW is weight decay (Loshchilov and Hutter 2019): every weight of a matrix also shrinks
# by the share lr x 0.1, beside the gradient and not through it.


# %%
def adamw(
    w: Tensor, g: Tensor, m: Tensor, v: Tensor, t: int, lr: float, decay: float
) -> tuple[Tensor, Tensor, Tensor]:
    w = w * (1 - lr * decay)
    m = m.lerp(g, 1 - 0.9)  # 0.9 m + 0.1 g
    v = (0.95 * v).addcmul(g, g, value=1 - 0.95)  # 0.95 v + 0.05 g^2
    root = v.double().sqrt().float()  # torch's fp32 root may be wrong in its last bit
    step = lr / (1 - 0.9**t) * m / (root / math.sqrt(1 - 0.95**t) + 1e-8)
    return w - step, m, v


# %% [markdown]
# These lines round in the order in which torch's fast AdamW does. `adamw_step` in the library has
# the order of the paper: the same mathematics, but other last bits. Let us put the five parts
# together and try both. Only matrices decay. Gains and biases do not: a gain belongs near 1.


# %%
def step_by_hand(model: GPT, m: dict, v: dict, step: int, update=adamw) -> float:
    idx, targets, _ = small_data.train_batch(step, batch_size=4)
    logits, _ = model(idx)  # forward
    p = logits.detach().softmax(-1)
    loss = float(-p.gather(-1, targets[..., None]).log().mean())
    logits.backward(logits_gradient(p, targets))  # backward
    # Matrices come first: in this order train adds up the norm, and the order decides the rounding.
    weights = sorted(model.parameters(), key=lambda w: w.dim() < 2)
    gradients, _ = clip([w.grad for w in weights])  # clip
    lr = learning_rate(step)
    for i, (w, g) in enumerate(zip(weights, gradients, strict=True)):
        zeros = torch.zeros_like(g)
        decay = 0.1 if w.dim() >= 2 else 0.0
        w.data, m[i], v[i] = update(
            w.data, g, m.get(i, zeros), v.get(i, zeros), step + 1, lr, decay
        )
        w.grad = None
    return loss


def in_paper_order(w, g, m, v, t, lr, decay):
    return adamw_step(w, g, m, v, t, lr, (0.9, 0.95), 1e-8, decay)


# %% [markdown]
# Ten steps by hand, in both orders, and ten by `train`, all from the same random weights. The
# library computes the loss by another formula, so the losses may differ in their last digit.

# %%
by_train = new_model()
losses = train(by_train, small_data, ten).losses
weights = torch.cat([w.detach().flatten() for w in by_train.parameters()])
apart, losses_apart, equal = {}, {}, {}
for order, update in (("torch", adamw), ("the paper", in_paper_order)):
    by_hand, m, v = new_model(), {}, {}
    hand_losses = [step_by_hand(by_hand, m, v, step, update) for step in range(10)]
    ours = torch.cat([w.detach().flatten() for w in by_hand.parameters()])
    equal[order] = int((ours == weights).sum())
    apart[order] = float((ours - weights).abs().max())
    two = zip(hand_losses, losses, strict=True)
    losses_apart[order] = max(abs(one - other) for one, other in two)
    print(
        f"AdamW in {order}'s order: {equal[order]:,} of {len(weights):,} weights equal to "
        f"the bit, {apart[order]:.1g} apart at most; losses {losses_apart[order]:.1g} apart"
    )

# %%
course.checked(
    "ten steps by hand and by train",
    f"{equal['torch']:,} of {len(weights):,} weights equal to the bit",
    holds(equal["torch"] == len(weights), yes="all of them",
          no=f"they are {apart['torch']:.1g} apart at most"),
)  # fmt: skip
course.checked(
    "the same, AdamW in the paper's order",
    f"weights {apart['the paper']:.1g} apart, losses {losses_apart['the paper']:.1g}",
    # 3e-5 is a hundredth of one step at the top learning rate; ten steps add up their rounding.
    holds(apart["the paper"] < 3e-5, yes="rounding only", no="more than rounding"),
)

# %% [markdown]
# ## A small model, before
#
# Now a larger model and more steps. About a million parameters, all random. It can only guess, so
# its loss should be ln V (lesson 3), and we expect no prose. (`generate` draws each next token by
# chance; `temperature` and `top_k` favour the likelier ones, see lesson 5.)

# %%
config = GPTConfig(encoding.n_vocab, block_size, n_layer=4, n_head=4, n_embd=128)
torch.manual_seed(course.seed)
model = GPT(config).to(course.device)
print(f"{count_parameters(config):,} parameters")


def write(model: GPT, encoding: tiktoken.Encoding, prompt: str, n_tokens: int = 60) -> str:
    """The prompt and what the model adds to it, as an indented paragraph."""
    device = next(model.parameters()).device
    idx = torch.tensor([encoding.encode_ordinary(prompt)], device=device)  # [1, T]
    generator = torch.Generator(device).manual_seed(course.seed)
    ids = model.generate(idx, n_tokens, temperature=0.7, top_k=50, generator=generator)
    text = encoding.decode(ids[0].tolist()).split(END_OF_TEXT)[0]
    return textwrap.indent(textwrap.fill(" ".join(text.split()), 88), "    ")


print("\nbefore training:\n" + write(model, encoding, "Return the"))

# %% [markdown]
# ## Training it
#
# The settings: 16 windows of 128 tokens a step, few enough for hundreds of steps in half a minute.
# The top learning rate of 3e-3 suits a model as small as this; a later section shows how it goes
# with size. A tenth of the steps warm up, 25 of 250: enough for AdamW's means, of which the slower
# looks back over about 1 / (1 - 0.95) = 20. Weight decay, betas and clipping are left at `train`'s
# defaults, which are GPT-3's (0.1; 0.9 and 0.95; 1.0). The loss on held-out text is measured before
# the first step and after each tenth of the run.

# %%
steps = course.choose(quick=10, normal=250)
settings = TrainConfig(
    max_steps=steps,
    batch_size=16,
    learning_rate=3e-3,
    warmup_steps=steps // 10,
    eval_every=max(5, steps // 10),
    eval_batches=course.choose(quick=2, normal=16),
    seed=course.seed,
    device=str(course.device),
    out_dir=course.folder / "small",
)
if has_checkpoint(course.folder / "small"):  # of an earlier visit to this lesson
    shutil.rmtree(course.folder / "small")
result = train(model, data, settings)
print(f"{result.tokens / result.seconds:,.0f} tokens a second (fewer on a busy machine)")
print(f"the text was read {result.tokens / len(library_ids):.1f} times")
print(f"loss {result.losses[0]:.2f} at the start, {result.losses[-1]:.2f} at the end")
print("\nafter training:\n" + write(model, encoding, "Return the"))

# %%
guessing = math.log(config.vocab_size)
first = result.losses[0]
course.checked(
    "first loss of the small model",
    f"{first:.2f} nats, ln V = {guessing:.2f}",
    # 0.03 for the spread of the logits (lesson 3), and the chance in 2,048 targets.
    holds(abs(first - guessing) < 0.1, yes="it starts by guessing", no="not mere guessing"),
)

# %% [markdown]
# The log of a run is one JSON object a line. Three panels say nearly everything: the loss, the
# learning rate, and the gradient norm before clipping (what lies above the dashed line was
# shortened to it). Here both losses may be compared: training batches and held-out documents are of
# one kind, and the run is so short that most of a batch has been read once before, or never, when
# its loss is measured (before the update). A single batch is a small sample, so the thin line jumps
# up and down.

# %%
picture = training_curves.draw_run(
    course.folder / "small" / "log.jsonl",
    f"{steps} steps of a model with {count_parameters(config) / 1e6:.1f}M parameters",
    "training batches (library)",
    "held-out library documents",
)
course.save_figure(picture, "small_model")

# %% [markdown]
# ## Stopped in the middle
#
# Long runs get interrupted. Here the data itself presses Ctrl-C at step 6 of 12, counted from 0.
# The run finishes that seventh step and saves a **checkpoint**: the weights, AdamW's two means and
# the number of the step. Resumed, it must end with the same losses to the last bit as a run that
# was never stopped, because a step depends on nothing but these and the seed. That is true even of
# **dropout**, which we switch on here: in training it sets a tenth of the numbers between the
# layers to 0 and scales the others up, so that the model does not come to rely on single ones, and
# which tenth it is follows from the seed and the step.


# %%
class CtrlC:
    """Data that presses Ctrl-C when the batch of one step is fetched."""

    def __init__(self, data: PackedText, step: int) -> None:
        self.data, self.step = data, step

    def train_batch(self, step: int, batch_size: int) -> Batch:
        if step == self.step:
            signal.raise_signal(signal.SIGINT)
        return self.data.train_batch(step, batch_size)

    def validation_batches(self, batch_size: int):
        return self.data.validation_batches(batch_size)


def short_run(data: PackedText | CtrlC, folder: Path | None, resume: bool = False) -> list[float]:
    """Twelve steps from the same random start, with dropout; returns the losses."""
    torch.manual_seed(course.seed)
    tiny = GPT(GPTConfig(encoding.n_vocab, block_size, n_layer=2, n_head=2, n_embd=32, dropout=0.1))
    run = TrainConfig(
        max_steps=12, batch_size=4, device="cpu", progress=False, out_dir=folder, resume=resume
    )
    return train(tiny, data, run).losses


# %%
uninterrupted = short_run(data, None)
with tempfile.TemporaryDirectory() as folder:
    try:
        short_run(CtrlC(data, step=6), Path(folder))
    except TrainingInterrupted as stopped:
        print(stopped)
    resumed = short_run(data, Path(folder), resume=True)
print("losses after resuming, steps 7 to 9:  ", resumed[7:10])
print("losses without interruption:          ", uninterrupted[7:10])
same = sum(a == b for a, b in zip(resumed, uninterrupted, strict=True))
course.checked(
    "a run stopped and resumed (CPU)", f"{same} of 12 losses equal to the bit", holds(same == 12)
)

# %% [markdown]
# ## How large a step, how large a batch
#
# Table 2.1 of GPT-3's paper gives a batch size and a learning rate for each of its eight models.
# What do they have in common? We fit a power law to each column, $y = a N^b$ with N parameters: a
# straight line if both axes are logarithmic.

# %%
sizes, batches, rates = training_curves.gpt3_training()
batch_law = training_curves.fit_power_law(sizes, batches)
rate_law = training_curves.fit_power_law(sizes, rates)
print("\n".join(training_curves.beside_fits(batch_law, rate_law)))
print(f"batch ~ N^{batch_law.exponent:.2f}, rate ~ N^{rate_law.exponent:.2f}")
products = batches * rates
print(
    f"batch x rate: {products.min():.0f} to {products.max():.0f} tokens, while the largest model "
    f"has {sizes[-1] / sizes[0]:,.0f} times the parameters of the smallest"
)
print(f"farthest from its line: a batch by {batch_law.farthest:.2f} times, "
      f"a rate by {rate_law.farthest:.2f}")  # fmt: skip

# %%
brown = "Brown et al. 2020, section 2.3 and table 2.1"
course.published(
    "larger models use larger batches (their text against their table)", brown,
    "0.5M to 3.2M tokens",
    f"batch ~ N^{batch_law.exponent:.2f}",
    holds(bool((np.diff(batches) >= 0).all()) and batch_law.exponent > 0, published=True,
          yes="in their table it grows or stays from one size to the next",
          no="in their table it does not from each size to the next"),
)  # fmt: skip
course.published(
    "larger models need smaller learning rates (their text against their table)", brown,
    "6.0e-4 down to 0.6e-4",
    f"rate ~ N^{rate_law.exponent:.2f}",
    holds(bool((np.diff(rates) < 0).all()), published=True,
          yes="in their table it falls from each size to the next",
          no="in their table it does not from each size to the next"),
)  # fmt: skip

# %% [markdown]
# The larger the model, the larger the batch and the smaller the learning rate. The two exponents
# nearly cancel, so that the product of the two hardly depends on the size. These are the authors'
# choices, and the table does not prove that others would do worse. For the batch they measured how
# much the gradients of single examples differ: where they differ a lot, a mean over more of them
# pays.
#
# Where does our base model stand, the subject of the next section? It is far smaller than any of
# the eight, so we draw the lines on to the left and put it beside them.

# %%
block, first_stage = base_model.STAGES[0]
own_size = count_parameters(base_model.CONFIG)
own_batch = first_stage["batch_size"] * block  # tokens
own_steps, _ = base_model.read_log(data_folder() / "base" / "log.jsonl")
own_rate = max(step["lr"] for step in own_steps)  # the top of its schedule
course.save_figure(
    training_curves.draw_gpt3_training((own_size, own_batch, own_rate)), "batch_and_rate"
)
print(f"base model: learning rate {own_rate:.1e}; on the line {rate_law.at(own_size):.1e}")
print(f"a batch of {own_batch:,} tokens; on the line {batch_law.at(own_size):,.0f}")
print(f"it reads {base_model.tokens_seen() / 1e6:.0f}M tokens in all: in batches of GPT-3 Small's "
      f"size {base_model.tokens_seen() / batches[0]:.0f} steps")  # fmt: skip

# %% [markdown]
# Its learning rate is higher than those of the eight, as the line suggests. Its batch is far below
# the line, for a plain reason: there is little text, and in large batches it would last for a few
# dozen steps only.
#
# ## The base model
#
# The same loop, a model of five million parameters, and half an hour instead of half a minute. This
# is the model in `data/base` that the later lessons fine-tune; its recipe is in `base_model.py`
# beside this file. It learns from the Python library and from the training texts of the three task
# sets that come with minigpt: dialogues and their summaries, reviews, and short pages that say the
# same in English and in French, as some of the web does. It never sees a dialogue next to its
# summary, and nobody asks it to do a task.

# %%
base_folder = data_folder() / "base"
if course.full:
    base_folder = course.folder / "base"
    base_model.make_base_model(base_folder, library, held_out, str(course.device), course.seed)

base, base_encoding = load_pretrained(base_folder)
base.to(course.device)
print(f"base model: {count_parameters(base.config):,} parameters")
curve = training_curves.draw_run(
    base_folder / "log.jsonl",
    "The base model's training run (two kinds of loss, not comparable)",
    "training batches: all four kinds of text, with dropout",
    "held-out documents: library only, no dropout",
)
course.save_figure(curve, "base_model")
if course.full:
    shutil.copy(course.folder / "base_model.png", base_folder / "curve.png")

# %% [markdown]
# Beware of this picture. It seems to say that the model does far better on what it has read than on
# held-out text. But the two curves are measured on different texts: nearly half of every training
# batch is dialogues, reviews and translations, which use few words and are easy to guess, and the
# held-out documents are all library. Nor is dropout the same. What the picture does show is
# each curve by itself. At step 3,600 a second stage begins, with windows of 512 tokens in place of
# 256 and a warm-up of its own. The held-out loss is measured again there, now in the longer
# windows, and jumps, for the later positions are new to the model.
#
# How much of the first stage's fall came in its second half? (Only within a stage are all windows
# of one length.)

# %%
_, validated = base_model.read_log(base_folder / "log.jsonl")
for record in validated:
    print(f"step {record['step']:>5}: held-out loss {record['validation_loss']:.3f}")
n_first = base_model.STAGES[0][1]["max_steps"]  # of the first stage
short = validated[: 1 + [one["step"] for one in validated].index(n_first)]  # in windows of 256
falls = [one["validation_loss"] - short[-1]["validation_loss"] for one in short]
half = next(i for i, one in enumerate(short) if 2 * one["step"] >= n_first)
late = short[half]["step"]
print(
    f"of the first stage's fall by {falls[0]:.2f} nats, {falls[half]:.2f} came after step {late:,}"
)

# %% [markdown]
# ## Like with like
#
# A fair comparison takes the same weights, no dropout, and texts of one kind: those that the model
# was trained on beside those that were held out. We do it for each of the four kinds. A few
# thousand tokens take seconds and are enough, as the standard error over the texts shows, printed
# behind each loss. (Of the held-out library we take all, which we need again below.)


# %%
def sample(texts: list[str], encoding: tiktoken.Encoding, n_tokens: int) -> Sample:
    """Some of the texts; in a quick run a few words of each."""
    n = course.choose(quick=300, normal=None)  # characters
    return Sample([text[:n] for text in texts], encoding, min(n_tokens, n or n_tokens), seed=0)


held_out_base = sample(held_out, base_encoding, sys.maxsize)  # all of them
held_out_nats = held_out_base.nats(base)
read_base = sample(library, base_encoding, 15_000)
read_nats = read_base.nats(base)
pairs = {"library": (read_base.loss(read_nats), held_out_base.loss(held_out_nats))}
for task in ("translation", "dialogues", "reviews"):
    known = sample(task_texts(task, "train"), base_encoding, 3_000)
    unknown = sample(task_texts(task, "validation"), base_encoding, 3_000)
    pairs[task] = (known.loss(known.nats(base)), unknown.loss(unknown.nats(base)))

# %% [markdown]
# From the four we can also compute what the picture above lacks: the loss on held-out text of the
# same mixture as the training batches, beside that on training text.

# %%
pairs["mixture"] = tuple(
    mixed({kind: pair[part] for kind, pair in pairs.items()}, base_model.MIX) for part in (0, 1)
)
for kind, (known, unknown) in pairs.items():
    print(f"{kind:<12} read {known}, held out {unknown}: {unknown.above(known)} higher")
course.save_figure(training_curves.draw_read_and_unread(pairs, "The base model"), "read_and_unread")
for kind in ("mixture", "library"):
    higher = pairs[kind][1].above(pairs[kind][0])
    course.checked(
        f"base model, {kind}: loss on held-out text", f"{higher} nats a token above read text",
        is_more(*higher, unit=" nats", checked=True, no="not higher here"),
    )  # fmt: skip

# %% [markdown]
# So the picture was right that there is a gap, and wrong about its size. Is the gap there because
# the model knows the read texts by heart, or are the held-out library documents merely harder? The
# small model from above is a control: it has read the same training documents, but only about once.
# If the held-out documents were harder in themselves, it would find them so. The two models have
# different tokenizers, and their tokens are not of one length. So we compare bits per byte: a nat
# is 1 / ln 2 = 1.44 bits, and bytes are the same for both.

# %%
held_out_small = sample(held_out, encoding, sys.maxsize)
small_nats = held_out_small.nats(model)
read_small = sample(library, encoding, 15_000)
read_by_small = read_small.bits_per_byte(read_small.nats(model))
novice_gap = held_out_small.bits_per_byte(small_nats).above(read_by_small)
gap = held_out_base.bits_per_byte(held_out_nats).above(read_base.bits_per_byte(read_nats))
tokens_read = base_model.tokens_seen() * base_model.MIX["library"]
print(f"small model: held out costs {novice_gap} bits a byte more,")
print(f"    it has read the library {result.tokens / len(library_ids):.1f} times")
print(f"base model: held out costs {gap} bits a byte more,")
if not course.quick:  # a quick run has only a part of the library
    print(
        f"    it has read the library {tokens_read / len(encode(library, base_encoding)):.1f} times"
    )
course.checked(
    "base model's gap beyond the small model's", f"{gap.above(novice_gap)} bits a byte",
    knows_by_heart(gap, novice_gap),
)  # fmt: skip

# %% [markdown]
# The gap of the small model is about what the choice of documents explains. If that of the base
# model is wider, the rest most likely comes from reading the same texts again and again (the two
# models also differ in size and in what else they have read). It knows those texts better than
# others of their kind, partly word by word, and that part helps with no other text. A model that
# still gets better at what it reads, and no longer at anything else, **overfits**. The usual cure
# is more text.
#
# And what does it write? Each prompt below begins like one kind of its texts. (In the dialogues the
# speakers are called #Person1# and #Person2#.)

# %%
for prompt in ("Return the", "#Person1#: Good morning", "Je ne", "This function"):
    print(write(base, base_encoding, prompt, n_tokens=50) + "\n")

# %% [markdown]
# ## A language model is a compressor
#
# Good predictions need few bits: a token with probability p costs $-\log_2 p$ bits, and there is a
# way to write a file that comes within a few bits of the sum (arithmetic coding). So the loss on
# held-out text, in bits per byte of text, can be set beside what file compressors make of the same
# text. To be fair to them, the last of those below, xz once more, may read the whole training text
# first: what counts is by how many bytes its file grows when the held-out text is added. (To be
# fair to all of them: a compressor is a small program, while the model's own bytes, printed below,
# are not counted here.)

# %%
text = "\n\n".join(held_out).encode()
primer = "\n\n".join(library).encode()
strongest = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 26}]


def xz_size(data: bytes) -> int:
    """Bytes after xz at its strongest, with a dictionary that holds all of the training text."""
    return len(lzma.compress(data, format=lzma.FORMAT_XZ, filters=strongest))


bits = {
    "no compression": 8.0,
    "bz2 -9": len(bz2.compress(text, 9)) * 8 / len(text),
    "xz -9": len(lzma.compress(text, preset=9)) * 8 / len(text),
}
primed = (xz_size(primer + b"\n\n" + text) - xz_size(primer)) * 8 / len(text)
bits["xz -9, has read the training text"] = primed

# %% [markdown]
# The models' losses on all held-out documents we have from above, with their errors over the
# documents. The compressors have no such error: to them all documents are one file.

# %%
bits["the small model from above"], _ = held_out_small.bits_per_byte(small_nats)
bits["the base model"], error = held_out_base.bits_per_byte(held_out_nats)
for name, value in bits.items():
    print(f"{name:<36} {value:5.3f} bits per byte")
size = os.path.getsize(base_folder / "model.safetensors") / 1e6
print(f"the base model's file: {size:.0f} MB, 2 bytes a weight (lesson 9)")

# %%
course.save_figure(training_curves.draw_bits(bits), "bits_per_byte")
if course.full:
    shutil.copy(course.folder / "bits_per_byte.png", base_folder)
measured = bits["the base model"]
for what, rival in (
    ("bits fewer than the better of bz2 -9 and xz -9", min(bits["bz2 -9"], bits["xz -9"])),
    ("bits fewer than xz that has read the training text", primed),
):
    course.checked(
        what, f"{measured:.2f} against {rival:.2f} a byte",
        is_more(rival - measured, error, unit=" bits", checked=True, no="the compressor is better"),
    )  # fmt: skip

# %% [markdown]
# ## What to take away
#
# - A training step is forward, backward, clip, learning rate, update. You wrote it in some 30
#   lines, and ten of them did what `train` does.
# - The gradient of the logits is what the model expected minus what came: p, less 1 at the target.
# - AdamW moves each weight by the learning rate times a number of about 1 at most, whatever the
#   size of its gradients.
# - Larger models are trained with larger batches and smaller learning rates.
# - Compare losses on texts of one kind, with the same weights; otherwise the difference may be that
#   of the texts. What a model has read many times it may know by heart.
# - Bits per byte make models and compressors comparable, whatever their tokenizers.

# %%
course.finish()

# %% [markdown]
# Your turn: the schedule, clipping, AdamW, which weights decay, bits per byte. `minigpt exercise
# start 4` writes the stubs, and `minigpt exercise check 4` says what your code computes.
#
# Next: lesson 5 lets the base model write. How the next token is chosen matters as much as the
# scores.
