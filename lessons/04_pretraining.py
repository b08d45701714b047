# %% [markdown]
# # Lesson 04: Pretraining
#
# A GPT learns by guessing the next token of text that people wrote, millions of times. Here you
# train one from random numbers, watch the loss fall, read what it writes before and after, and stop
# it in the middle to see that nothing is lost. Then you meet the model that ships with minigpt,
# which was made by this very script with `--full`, and measure it against file compressors.
#
# Run it: `python lessons/04_pretraining.py`, or `minigpt lesson 4`. Its code is
# `minigpt/training/loop.py` and `minigpt/dataset.py`.
#
# `python lessons/04_pretraining.py --full` makes the base model again (half an hour on 2 cores that
# are idle; Ctrl-C and the same command go on where it stopped).

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

import matplotlib.pyplot as plt
import numpy as np
import tiktoken
import torch

from lessons import base_model
from minigpt import GPT, GPTConfig, count_parameters, load_pretrained, train_bpe
from minigpt.dataset import Batch, PackedText, bits_per_byte, overlapping_windows, pack
from minigpt.text.documents import split_documents
from minigpt.text.python_library import python_library
from minigpt.text.task_sets import data_folder
from minigpt.tokenizer import END_OF_TEXT
from minigpt.training.checkpoint import has_checkpoint
from minigpt.training.interrupt import TrainingInterrupted
from minigpt.training.loop import train
from minigpt.training.loss import evaluate_loss
from minigpt.training.settings import TrainConfig, learning_rate_at

# %% [markdown]
# ## Text
#
# No download: every Python carries megabytes of English that people wrote, the documentation inside
# its own library. We keep one document in twenty aside. The model never trains on those; on them we
# shall see what it has really learned.

# %%
documents = python_library(course.n_documents)
train_documents, validation_documents = split_documents(documents)
n_train = sum(len(document.text) for document in train_documents)
n_validation = sum(len(document.text) for document in validation_documents)
print(f"{len(train_documents)} documents to learn from, {n_train / 1e6:.2f} million characters")
print(f"{len(validation_documents)} held out, {n_validation / 1e6:.2f} million characters")
print(f"\nThe beginning of {train_documents[40].name}:\n")
print(textwrap.indent(train_documents[40].text[:400], "    "))

# %% [markdown]
# A tokenizer (lesson 01) turns the text into ids. All documents then stand in one long row with an
# end token after each, and an example is any stretch of that row. The target of every position is
# simply the id that follows.


# %%
def encode(texts: list[str], encoding: tiktoken.Encoding) -> np.ndarray:
    """All texts in one row of ids."""
    return pack((encoding.encode_ordinary(text) for text in texts), encoding.eot_token)


library = [document.text for document in train_documents]
held_out = [document.text for document in validation_documents]
encoding = train_bpe(library, vocab_size=2048, special_tokens=[END_OF_TEXT])
block_size = course.choose(quick=64, normal=128)
data = PackedText(encode(library, encoding), encode(held_out, encoding), block_size, course.seed)
idx, targets, _ = data.train_batch(step=0, batch_size=4)  # [4, T] each
print(f"one batch: idx {list(idx.shape)}, targets {list(targets.shape)}")
for i, target in zip(idx[0, :6].tolist(), targets[0, :6].tolist(), strict=True):
    print(f"    after ...{encoding.decode([i])!r:<12} comes {encoding.decode([target])!r}")

# %% [markdown]
# ## A small model, before
#
# About a million parameters, all random. Its loss is that of guessing, ln V, and so is its prose.

# %%
config = GPTConfig(encoding.n_vocab, block_size, n_layer=4, n_head=4, n_embd=128)
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
# ## How large a step
#
# The learning rate climbs in a straight line (AdamW's first estimates rest on few gradients), then
# falls along half a cosine. Gradients longer than 1 are shortened to 1: one odd batch must not
# throw the weights far away.

# %%
steps = course.choose(quick=10, normal=350)
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
print(f"{result.tokens / result.seconds:,.0f} tokens a second; loss {result.losses[0]:.2f} at the")
print(f"start (ln V = {math.log(config.vocab_size):.2f}), {result.losses[-1]:.2f} at the end")
print("\nafter training:\n" + write(model, encoding, "Return the"))

# %% [markdown]
# The log of a run is one JSON object a line. Three curves of it say nearly everything.


# %%
def draw_run(path: Path, title: str) -> plt.Figure:
    """Loss, learning rate and gradient norm of a run, one below the other."""
    trained, validated = base_model.read_log(path)
    x = [record["step"] for record in trained]
    figure, axes = plt.subplots(3, 1, figsize=(7, 7), sharex=True, height_ratios=[3, 1, 1])
    axes[0].plot(
        x, [record["loss"] for record in trained], lw=0.8, alpha=0.6, label="training batch"
    )
    axes[0].plot(
        [record["step"] for record in validated],
        [record["validation_loss"] for record in validated],
        "o-", color="tab:red", ms=3, label="held-out documents",
    )  # fmt: skip
    axes[0].set_ylabel("loss (nats per token)")
    axes[0].legend()
    axes[1].plot(x, [record["lr"] for record in trained], color="tab:green")
    axes[1].set_ylabel("learning rate")
    axes[2].plot(x, [record["grad_norm"] for record in trained], lw=0.8, color="tab:purple")
    axes[2].axhline(1, color="gray", ls="--", lw=1)
    axes[2].set_ylabel("gradient norm\n(clipped at 1)")
    axes[2].set_yscale("log")
    axes[2].set_xlabel("step")
    axes[0].set_title(title)
    return figure


course.save_figure(
    draw_run(course.folder / "small" / "log.jsonl", f"{steps} steps of a model with 1M parameters"),
    "small_model",
)
sixth_step = base_model.read_log(course.folder / "small" / "log.jsonl")[0][5]
assert math.isclose(sixth_step["lr"], learning_rate_at(5, settings))

# %% [markdown]
# ## Stopped in the middle
#
# Long runs get interrupted. Here the data itself presses Ctrl-C at step 6 of 12. The run finishes
# the step, saves, and says how to go on; resumed, it must end with the same losses to the last bit
# as one that was never stopped. That holds because a step depends only on the weights, the seed and
# the step's number.


# %%
class CtrlC:
    """Data that presses Ctrl-C when the batch of one step is fetched for the second time."""

    def __init__(self, data: PackedText, step: int) -> None:
        self.data, self.step = data, step

    def train_batch(self, step: int, batch_size: int) -> Batch:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGINT)
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


uninterrupted = short_run(data, None)
with tempfile.TemporaryDirectory() as folder:
    try:
        short_run(CtrlC(data, step=6), Path(folder))
    except TrainingInterrupted as stopped:
        print(stopped)
    resumed = short_run(data, Path(folder), resume=True)
print("losses after resuming, steps 6 to 8:  ", resumed[6:9])
print("losses without interruption:          ", uninterrupted[6:9])
assert resumed == uninterrupted
course.compare(
    "a run stopped and resumed (CPU)",
    "same losses",
    f"{sum(a == b for a, b in zip(resumed, uninterrupted, strict=True))} of 12 equal to the bit",
    "reproduced",
)

# %% [markdown]
# ## The base model
#
# The same loop, a model of five million parameters, and half an hour instead of half a minute. This
# is the model in `data/base` that the later lessons fine-tune; its recipe is in `base_model.py`
# beside this file. It learns from the Python library and from the training texts of the three task
# sets: dialogues, reviews, summaries, and short pages that say the same in English and in French,
# as some of the web does. It never sees a dialogue next to its summary, nor any task asked for.

# %%
base_folder = data_folder() / "base"
if course.full:
    base_folder = course.folder / "base"
    base_model.make_base_model(base_folder, library, held_out, str(course.device), course.seed)

base, base_encoding = load_pretrained(base_folder)
base.to(course.device)
print(f"base model: {count_parameters(base.config):,} parameters")
curve = draw_run(base_folder / "log.jsonl", "The base model's training run")
picture = course.save_figure(curve, "base_model")
if course.full:
    shutil.copy(picture, base_folder / "curve.png")

# %% [markdown]
# Two things to see. After 2,500 steps the held-out loss hardly falls while the training loss goes
# on: by then the model has read the library, the larger half of its text, nine times, and begins
# to know it by heart. More text would help, more steps would not. And at step 3,600, where windows
# grow from 256 to 512 tokens, the loss jumps: the later positions are new to the model.
#
# What it writes: English about Python, dialogue, and French.

# %%
for prompt in ("Return the", "#Person1#: Good morning", "Je ne", "This function"):
    print(write(base, base_encoding, prompt, n_tokens=50) + "\n")

# %% [markdown]
# ## A language model is a compressor
#
# Whoever predicts well needs few bits: a token with probability p costs -log2(p) bits. So the loss
# on held-out text, in bits per byte of text, can be set beside what file compressors make of the
# same text. To be fair to them, the last one may read the whole training text first.

# %%
text = "\n\n".join(held_out).encode()
primer = "\n\n".join(library).encode()
strongest = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 26}]


def xz_size(data: bytes) -> int:
    """Bytes after xz at its strongest, with a dictionary that holds all of the training text."""
    return len(lzma.compress(data, format=lzma.FORMAT_XZ, filters=strongest))


primed = (xz_size(primer + b"\n\n" + text) - xz_size(primer)) * 8 / len(text)
bits = {
    "no compression": 8.0,
    "bz2 -9": len(bz2.compress(text, 9)) * 8 / len(text),
    "xz -9": len(lzma.compress(text, preset=9)) * 8 / len(text),
    "xz -9, has read the training text": primed,
}


def model_bits(model: GPT, encoding: tiktoken.Encoding) -> float:
    """Bits per byte of the held-out text; every token sees at least half a context before it."""
    ids = encode(held_out, encoding)
    windows = overlapping_windows(ids, model.config.block_size, model.config.block_size // 2)
    if course.quick:
        return math.nan
    loss = evaluate_loss(model, windows)
    return bits_per_byte(loss, len(ids) - 1, sum(len(text.encode()) for text in held_out))


bits["the small model from above"] = model_bits(model, encoding)
bits["the base model"] = model_bits(base, base_encoding)
for name, value in bits.items():
    print(f"{name:<36} {value:5.3f} bits per byte")

figure, axes = plt.subplots(figsize=(7.5, 3.2))
bars = axes.barh(list(bits), list(bits.values()), color=["tab:gray"] * 4 + ["tab:blue"] * 2)
axes.bar_label(bars, fmt="%.2f", padding=3)
axes.invert_yaxis()
axes.set_xlim(0, 9)
axes.set_title("Held-out Python documentation: bits needed for each byte")
axes.set_xlabel("bits per byte (less is better)")
picture = course.save_figure(figure, "bits_per_byte")
if course.full:
    shutil.copy(picture, base_folder / "bits_per_byte.png")

# %%
measured = bits["the base model"]
best_alone = min(bits["bz2 -9"], bits["xz -9"])
course.compare(
    "first loss = ln V",
    f"{math.log(config.vocab_size):.2f}",
    f"{result.losses[0]:.2f}",
    "reproduced: an untrained model guesses",
)
course.compare(
    "bits per byte against bz2 -9 and xz -9",
    "an LM compresses better",
    f"{measured:.2f} against {best_alone:.2f}",
    f"{'reproduced' if measured < best_alone else 'not reproduced'}: "
    f"{100 * (1 - measured / best_alone):.0f}% fewer bits than the better of the two",
)
course.compare(
    "... against xz that has read the training text",
    "an LM compresses better",
    f"{measured:.2f} against {primed:.2f}",
    f"{'reproduced' if measured < primed else 'not reproduced'}: "
    f"{100 * (1 - measured / primed):.0f}% fewer bits",
)
gpt3 = GPTConfig.preset("gpt3-small")
block_size, first_stage = base_model.STAGES[0]
course.compare(
    "GPT-3 Small: batch, learning rate",
    "0.5M tokens, 6.0e-4",
    f"{first_stage['batch_size'] * block_size:,} tokens, {first_stage['learning_rate']:.1e}",
    f"differs because the model is {count_parameters(gpt3) / count_parameters(base.config):.0f} "
    f"times smaller and reads {300e9 / base_model.tokens_seen():,.0f} times less: small models "
    "bear larger steps, and small batches make more of them from the same text",
)
course.finish()

# %% [markdown]
# Now you: the schedule, clipping, AdamW. `minigpt exercise start 4` writes the stubs, and
# `minigpt exercise check 4` says what your code computes.
