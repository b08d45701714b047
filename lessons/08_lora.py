# %% [markdown]
# # Lesson 8: LoRA
#
# Full fine-tuning trains every weight, keeps two more numbers for each while it does, and leaves a
# whole new model for every task. LoRA trains a small product of two thin matrices beside each
# weight, and leaves the weight alone. Here you see why that can work, how little is trained, what
# it costs in quality, how large the rank has to be, and how one model changes its task in no time.
#
# Run it: `python lessons/08_lora.py`, or `minigpt lesson 8`. Its code is `minigpt/lora/model.py`
# and `minigpt/lora/layer.py`. Source: Hu et al. 2021, "LoRA" (arXiv 2106.09685).

# %%
import copy
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson

course = lesson.start(8, "LoRA")

import matplotlib.pyplot as plt
import torch

from lessons.held_out import HeldOut
from minigpt import GPT, GPTConfig, load_pretrained, save_pretrained
from minigpt.lora.layer import LoRALinear
from minigpt.lora.model import apply_lora, load_lora, merge_lora, save_lora, set_lora, unmerge_lora
from minigpt.memory.counts import count_lora
from minigpt.tasks.answers import evaluate_task
from minigpt.tasks.data import TaskData, instruction_data, task_data
from minigpt.tasks.rows import InstructionData
from minigpt.tasks.task import TASKS
from minigpt.training.loop import train
from minigpt.training.settings import TrainConfig

torch.set_printoptions(precision=3, sci_mode=False, linewidth=100)

# %% [markdown]
# ## Rank
#
# A column times a row is a matrix. A 3 x 3 matrix that is such a product holds 9 numbers but only 6
# that are free: all its rows are multiples of one. Its rank is 1. A sum of r such products has rank
# r at most, and is written as $B A$, with $B$ of r columns and $A$ of r rows.

# %%
column, row = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[4.0, 0.0, -1.0]])
print(column @ row)
print("rank", int(torch.linalg.matrix_rank(column @ row)))


def numbers_of(n_out: int, n_in: int, r: int) -> tuple[int, int]:
    """How many numbers a matrix [out, in] has, and how many B [out, r] and A [r, in]."""
    return n_out * n_in, r * (n_out + n_in)


examples = {(512, 64, 8): "32,768 -> 4,608", (3, 3, 1): "9 -> 6", (100, 100, 5): "10,000 -> 1,000"}
for (n_out, n_in, r), published in examples.items():
    whole, thin = numbers_of(n_out, n_in, r)
    layer = LoRALinear(torch.nn.Linear(n_in, n_out, bias=False), r=r, alpha=r)
    counted = sum(p.numel() for p in layer.parameters() if p.requires_grad)
    print(f"{n_out} x {n_in}, rank {r}: {whole:,} -> {thin:,}, {1 - thin / whole:.0%} fewer")
    course.compare(
        f"{n_out} x {n_in} at rank {r}", published, f"{whole:,} -> {counted:,}",
        "reproduced" if published == f"{whole:,} -> {counted:,}" else "differs",
    )  # fmt: skip

# %% [markdown]
# ## A layer with LoRA
#
# $$h = W_0\,x + \frac{\alpha}{r}\,B\,A\,x$$
#
# $W_0$ is frozen. $B$ starts at zero, so at first the layer does what it did; $A$ starts at random,
# or neither would ever get a gradient.

# %%
dense = torch.nn.Linear(6, 4)
layer = LoRALinear(dense, r=2, alpha=4)
x = torch.randn(3, 6)
print("A", layer.lora_A.data, "B", layer.lora_B.data, f"scaling {layer.scaling}", sep="\n")
print("at the start the layer does what it did:", torch.equal(layer(x), dense(x)))
with torch.no_grad():
    layer.lora_B.normal_()
by_hand = dense(x) + layer.scaling * x @ layer.lora_A.T @ layer.lora_B.T
difference = (layer(x) - by_hand).detach().abs().max().item()
print(f"with another B, against the formula: {difference:.0e}")

# %% [markdown]
# ## What full fine-tuning changes
#
# Is a change of low rank enough? Teach the base model to translate the expensive way first, and
# look at what became of its weights. (The data and the loop are those of lesson 7.)

# %%
base, encoding = load_pretrained("base")
base.to(course.device)
base.set_dropout(0.0)
translation, summarization = (
    course.limit(task_data(TASKS[name])) for name in ("translation", "summarization")
)
french = instruction_data([translation], encoding, base.config.block_size, seed=course.seed)
short = instruction_data([summarization], encoding, base.config.block_size, seed=course.seed)
n_test = course.choose(quick=4, normal=500)
rough = course.choose(quick=2, normal=60)  # test records where a rough figure will do
held_out = HeldOut(
    encoding, course.choose(quick=2_000, normal=20_000), course.seed, course.n_documents
)
EVERY_LAYER = ("c_attn", "c_proj", "c_fc")


def teach(
    model: GPT, data: InstructionData, steps: int, batch_size: int, learning_rate: float
) -> dict[str, Any]:
    """Train what is to be trained; how long a step took, and the last validation loss."""
    steps = course.choose(quick=3, normal=steps, full=3 * steps)
    few = sum(p.numel() for p in model.parameters() if p.requires_grad) < 1e6
    settings = TrainConfig(
        max_steps=steps,
        batch_size=course.choose(quick=2, normal=batch_size),
        learning_rate=learning_rate,
        min_learning_rate=0.0,
        warmup_steps=steps // 20,
        weight_decay=0.0 if few else 0.1,
        betas=(0.9, 0.98),
        eval_every=steps,
        seed=course.seed,
        device=str(course.device),
    )
    result = train(model, data, settings)
    return {"loss": result.validation[-1][1], "ms": 1e3 * result.seconds / result.steps}


def size_of(path: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(file.stat().st_size for file in path.iterdir() if file.suffix == ".safetensors")


def judge(
    name: str, model: GPT, part: TaskData, figures: dict[str, Any], n: int = n_test
) -> dict[str, Any]:
    """Add to the figures of a training run: the score, what was trained, what was forgotten."""
    result = evaluate_task(model, encoding, part.task, part.test[:n])
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    figures |= {"score": result.score, "answers": result.answers, "trained": trained}
    figures["optimizer"] = 2 * 4 * trained  # AdamW's two moments, in fp32
    figures["bits"] = held_out.bits_per_byte(model)
    print(
        f"{name}: {result}, loss {figures['loss']:.3f}, {figures['ms']:.0f} ms a step, "
        f"{figures['bits']:.3f} bits per byte of Python's text"
    )
    return figures


before = evaluate_task(base, encoding, translation.task, translation.test[:rough]).score
print(f"base: BLEU {before:.1f}, {held_out.bits_per_byte(base):.3f} bits per byte of Python's text")
full = copy.deepcopy(base)
methods = {"full": judge("full", full, translation, teach(full, french, 280, 8, 1e-3))}

# %% [markdown]
# The singular values of $\Delta W = W - W_0$ say how much of the change lies in its first
# direction, its second, and so on. If a few held nearly all, a small rank would lose nothing.

# %%
figure, (spectrum, sweep_axis) = plt.subplots(1, 2, figsize=(12.5, 4.6), layout="constrained")
rank_for_90 = {}
for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"):
    path = f"transformer.h.2.{name}.weight"
    change = full.state_dict()[path].cpu() - base.state_dict()[path].cpu()
    energy = torch.linalg.svdvals(change).square().cumsum(0)
    energy = energy / energy[-1]
    rank_for_90[name] = int((energy < 0.9).sum()) + 1
    spectrum.plot(range(1, len(energy) + 1), 100 * energy, label=f"{name} [{len(energy)} in all]")
spectrum.set(xscale="log", xlabel="rank", ylabel="squared change that the rank can hold (%)")
spectrum.set_title("Change of the weights by full fine-tuning (block 2)")
spectrum.legend(fontsize="small")
print("rank that holds 90% of the squared change:", rank_for_90)

# %% [markdown]
# The whole change is not of low rank. LoRA says something weaker, and more useful: among the
# changes that do the job there is one of low rank.
#
# ## LoRA against full fine-tuning
#
# Adapters beside all linear layers of every block, and nothing else learns.

# %%
model = apply_lora(copy.deepcopy(base), r=12, alpha=128, target_modules=EVERY_LAYER, name="french")
methods["LoRA"] = judge("LoRA", model, translation, teach(model, french, 580, 8, 2e-3))
share = methods["LoRA"]["trained"] / sum(p.numel() for p in base.parameters())
save_pretrained(full, encoding, course.folder / "full")
save_lora(model, course.folder / "french")
methods["full"]["disk"] = size_of(course.folder / "full")
methods["LoRA"]["disk"] = size_of(course.folder / "french")
print(f"\n{'':<26}{'full':>14}{'LoRA':>14}")
for key, label, form in (
    ("score", "BLEU", "{:.1f}"),
    ("trained", "trained parameters", "{:,}"),
    ("optimizer", "optimizer state, bytes", "{:,}"),
    ("disk", "file, bytes", "{:,}"),
    ("ms", "milliseconds a step", "{:.0f}"),
    ("bits", "bits per byte", "{:.3f}"),
):
    print(
        f"{label:<26}{form.format(methods['full'][key]):>14}{form.format(methods['LoRA'][key]):>14}"
    )

# %% [markdown]
# ## The rank
#
# Hu et al. trained GPT-2 Medium with ranks from 1 to 1024 and found that the quality stops growing
# at a small one. The same with our model and task, for fewer steps. (The larger the rank, the more
# terms $B A$ adds up; dividing by $\sqrt r$ instead of $r$ keeps all ranks equally strong.)

# %%
HU = {  # rank: validation loss and BLEU of GPT-2 Medium on E2E, Hu et al. 2021
    1: (1.23, 68.72), 2: (1.21, 69.17), 4: (1.18, 70.38), 8: (1.17, 69.57), 16: (1.16, 69.61),
    32: (1.16, 69.33), 64: (1.16, 69.24), 128: (1.16, 68.73), 256: (1.16, 68.92),
    512: (1.16, 68.78), 1024: (1.17, 69.37),
}  # fmt: skip
sweep: dict[int, tuple[float, float]] = {}
for r in course.choose(quick=(1, 4), normal=(1, 4, 16, 64), full=(1, 2, 4, 8, 16, 32, 64)):
    adapted = apply_lora(
        copy.deepcopy(base), r=r, alpha=32, target_modules=EVERY_LAYER, rank_stabilized=True
    )
    figures = teach(adapted, french, 45, 8, 2e-3)
    answers = evaluate_task(adapted, encoding, translation.task, translation.test[:rough])
    sweep[r] = figures["loss"], answers.score
    print(f"rank {r:>3}: validation loss {figures['loss']:.3f}, BLEU {answers.score:.1f}")
sweep_axis.plot(HU.keys(), [loss for loss, _ in HU.values()], "o-", label="Hu et al., GPT-2 Medium")
sweep_axis.plot(sweep.keys(), [loss for loss, _ in sweep.values()], "s-", label="here")
sweep_axis.set(xscale="log", xlabel="rank r", ylabel="validation loss (nats a token)")
sweep_axis.set_title("How large must the rank be?")
sweep_axis.legend()
course.save_figure(figure, "rank")

# %% [markdown]
# ## One model, two tasks
#
# A second adapter for the same model, for summaries. Switching takes the time to set a name.

# %%
apply_lora(model, r=12, alpha=128, target_modules=EVERY_LAYER, name="short")
summaries = judge("LoRA", model, summarization, teach(model, short, 240, 4, 3e-3), 3 * rough)
save_lora(model, course.folder / "short")
again, _ = load_pretrained("base")  # somebody else's, who has only the two small folders
again.to(course.device)
for name in ("french", "short"):
    load_lora(again, course.folder / name, name=name)
for name, part in (("french", translation), ("short", summarization)):
    started = time.perf_counter()
    set_lora(again, name)
    switched = 1e3 * (time.perf_counter() - started)
    result = evaluate_task(again, encoding, part.task, part.test[: rough // 2])
    print(f"{name} (switched in {switched:.2f} ms): {result}\n    {result.answers[0]}")
    before_saving = (methods["LoRA"] if name == "french" else summaries)["answers"]
    # In another batch the same numbers are added in another order, which can tip a word.
    same = sum(a == b for a, b in zip(result.answers, before_saving, strict=False))
    print(f"    of {len(result.answers)} answers {same} are those of the model it was trained in")

# %% [markdown]
# Merged, an adapter costs nothing at all: $W_0 + \frac{\alpha}{r} B A$ is a matrix like any other.
# And the original comes back to the last bit.

# %%
set_lora(again, "french")
idx = torch.tensor([encoding.encode("fr: I was lucky. ->")], device=course.device)
with torch.no_grad():
    beside = again(idx)[0]
    merge_lora(again)
    merged = float((again(idx)[0] - beside).abs().max())
    unmerge_lora(again)
    set_lora(again, None)
    restored = torch.equal(again(idx)[0], base.eval()(idx)[0])
print(f"merged and beside differ by {merged:.0e}; unmerged it is the base model: {restored}")

# %% [markdown]
# ## GPT-3
#
# How many parameters would LoRA train there? $r\,(in + out)$ for every matrix; in GPT-3 queries,
# keys, values and outputs have matrices of 12288 x 12288 each.

# %%
gpt3 = GPTConfig.preset("gpt3-175b")
TABLE = {
    ("q", "v"): {1: "4.7M", 2: "9.4M", 4: "18.8M", 8: "37.7M", 64: "301.9M"},
    ("v",): {2: "4.7M"},
    ("q", "k", "v", "o"): {1: "9.4M", 2: "18.8M", 4: "37.7M", 64: "603.8M"},
}
for targets, published in TABLE.items():
    for r, figure_printed in published.items():
        count = count_lora(gpt3, r, targets)
        truncated = f"{count // 10**5 / 10}M"
        course.compare(
            f"GPT-3, {', '.join(targets)}, r = {r}", figure_printed, f"{count:,}",
            "reproduced (cut off, not rounded)" if truncated == figure_printed
            else f"the published figure is wrong: the formula gives {truncated}",
        )  # fmt: skip

# %%
lora, whole = methods["LoRA"], methods["full"]
course.compare(
    "BLEU: full fine-tuning, LoRA", "on a par", f"{whole['score']:.1f}, {lora['score']:.1f}",
    "reproduced: within 5 BLEU" if lora["score"] > whole["score"] - 5
    else "differs: the task asks for more than this model of 5 million has in it",
)  # fmt: skip
course.compare(
    "parameters that LoRA trains", "few", f"{lora['trained']:,} ({share:.1%})", "reproduced"
)
course.compare(
    "optimizer state, full and LoRA", "shrinks as the parameters do",
    f"{whole['optimizer'] / 1e6:.1f} and {lora['optimizer'] / 1e6:.1f} MB", "reproduced",
)  # fmt: skip
course.compare(
    "time of a step, full and LoRA", "shorter with LoRA",
    f"{whole['ms']:.0f} and {lora['ms']:.0f} ms",
    "reproduced" if lora["ms"] < whole["ms"] else "differs: the adapters cost as much as they save",
)  # fmt: skip
course.compare(
    "bits per byte, full and LoRA", "LoRA forgets less",
    f"{whole['bits']:.2f} and {lora['bits']:.2f}",
    "reproduced" if lora["bits"] < whole["bits"]
    else "differs: what it adds disturbs other text as much",
)  # fmt: skip
ranks = sorted(sweep)
gain = [sweep[r][0] - sweep[ranks[i + 1]][0] for i, r in enumerate(ranks[:-1])]
course.compare(
    "loss gained by each step in rank",
    "0.05 from 1 to 4, 0.02 to 16, 0 to 64",
    ", ".join(f"{g:.2f}" for g in gain),
    "reproduced: no gain from the largest ranks" if gain[-1] < max(0.01, gain[0] / 2)
    else "differs: larger ranks still help",
)  # fmt: skip
course.compare("merged and unmerged", "the base model again", restored, "reproduced, to the bit")
course.finish()

# %% [markdown]
# Now you: LoRA from its start to merging. `minigpt exercise start 8` writes the stubs, and
# `minigpt exercise check 8` says what your code computes.
