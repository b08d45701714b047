# %% [markdown]
# # Lesson 8: LoRA
#
# Full fine-tuning trains every weight, keeps two more numbers for each while it does, and leaves a
# whole new model for every task. LoRA (low-rank adaptation) freezes the weights and trains a
# product of two thin matrices beside each of them. This lesson shows why that can work, how little
# is trained, what it costs in quality, and how large the two matrices have to be.
#
# After this lesson you can
#
# - count what LoRA trains in any model, and check a published count;
# - write the layer, say how it starts, and choose its rank, its alpha and its layers;
# - compare LoRA with full fine-tuning in quality, time, memory and forgetting, with error bars;
# - give one model several tasks, and merge an adapter so that it costs nothing to use.
#
# You need: lesson 3 (the model and its linear layers), lesson 6 (BLEU and ROUGE) and lesson 7
# (fine-tuning). Allow 60 minutes, and another 60 for the exercises; the script takes about three.
#
# Run it: `python lessons/08_lora.py`, or `minigpt lesson 8`. Its code is `minigpt/lora/layer.py`
# and `minigpt/lora/model.py`. Source: Hu et al. 2021, "LoRA" (arXiv 2106.09685).
#
# Terms can be looked up in the [glossary](GLOSSARY.md).

# %%
import copy
import math
import sys
import time
from dataclasses import replace

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson

course = lesson.start(8, "LoRA")

import matplotlib.pyplot as plt
import numpy as np
import torch

from lessons.experiments.gpt3_counts import cut_or_rounded
from lessons.experiments.lora_runs import (
    ATTENTION,
    EVERY_LAYER,
    GPT3_COUNTS,
    HU,
    add_lora,
    draw_ranks,
    draw_scaling,
    draw_spectrum,
    teach,
)
from lessons.experiments.naming import naming_data
from lessons.experiments.paired import (
    Losses,
    bleu_gain,
    in_turns,
    losses,
    rouge_l,
    time_ratio,
)
from lessons.experiments.restaurants import FOLDER, restaurants
from lessons.held_out import HeldOut
from lessons.verdicts import Kind, error_of_mean, holds, is_more, no_worse, same_figure
from minigpt import GPT, GPTConfig, load_pretrained, save_pretrained
from minigpt.dataset import Batch
from minigpt.device import autocast_dtype
from minigpt.lora.layer import LoRALinear
from minigpt.lora.model import load_lora, merge_lora, remove_lora, save_lora, set_lora, unmerge_lora
from minigpt.memory.counts import count_lora
from minigpt.memory.measured import measure_memory
from minigpt.optim.adamw import make_optimizer
from minigpt.tasks.answers import TaskResult, evaluate_task
from minigpt.tasks.data import TaskData, instruction_data, task_data
from minigpt.tasks.rows import InstructionData
from minigpt.tasks.task import TASKS

torch.set_printoptions(precision=3, sci_mode=False, linewidth=100)

# %% [markdown]
# ## Rank
#
# A column times a row is a matrix. A 3 x 3 matrix that is such a product holds 9 numbers, but is
# made from 6: all its rows are multiples of one row. The **rank** of a matrix is the smallest
# number of such products that add up to it. It cannot be larger than the number of rows or of
# columns, and it can be much smaller.

# %%
column, row = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[4.0, 0.0, -1.0]])
product = column @ row
for name, matrix in {
    "column times row": product,
    "a sum of two of them": product + torch.eye(3)[:, :1] @ torch.ones(1, 3),
    "random numbers": torch.randn(3, 3),
}.items():
    print(f"{name}, rank {int(torch.linalg.matrix_rank(matrix))}:", *matrix.tolist(), sep="\n    ")
found = int(torch.linalg.matrix_rank(product))
course.published(
    "what the rank of a matrix is", "notes 003/004", "the minimum number of rows and columns",
    f"rank {found} in a 3 x 3 matrix",
    holds(found == min(product.shape), published=True, kind=Kind.WRONG,
          no="that minimum is only an upper bound of the rank"),
)  # fmt: skip

# %% [markdown]
# A sum of r products is written $B A$, with $B$ of r columns and $A$ of r rows. That is what LoRA
# trains in the place of a whole matrix:

# %%
PRINTED = {
    (512, 64, 8): ("32,768", "4,608"),
    (3, 3, 1): ("9", "6"),
    (100, 100, 5): ("10,000", "1,000"),
}
for (n_out, n_in, r), (whole_printed, thin_printed) in PRINTED.items():
    dense = torch.nn.Linear(n_in, n_out, bias=False)
    layer = LoRALinear(dense, r=r, alpha=r)  # alpha, explained below, changes no count
    whole = layer.base.weight.numel()
    thin = sum(p.numel() for p in layer.parameters() if p.requires_grad)
    print(f"{n_out} x {n_in}, rank {r}: {whole:,} -> {layer.lora_A.numel():,} + "
          f"{layer.lora_B.numel():,} = {thin:,}, {1 - thin / whole:.0%} fewer")  # fmt: skip
    course.published(
        f"numbers in {n_out} x {n_in}", "slides 001/002", whole_printed, f"{whole:,}",
        same_figure(whole_printed, whole, "rows times columns give another number"),
    )  # fmt: skip
    course.published(
        f"numbers that LoRA trains there at rank {r}", "slides 001/002", thin_printed, f"{thin:,}",
        same_figure(thin_printed, thin, "r (rows + columns) gives another number"),
    )  # fmt: skip
    if r == 8:
        fewer = 100 - 100 * thin / whole
        course.published("of 512 x 64, saved at rank 8", "slides 001/002", "86%", f"{fewer:.1f}%",
                         same_figure("86", fewer, "the counts give another share"))  # fmt: skip

# %% [markdown]
# ## A layer with LoRA
#
# $$h = W_0\,x + \frac{\alpha}{r}\,B\,A\,x$$
#
# $W_0$ is frozen. $B$ starts at zero, so at first the layer does what it did. $A$ starts at random:
# the gradient of each matrix contains the other, so if both were zero, neither would ever move. The
# factor $\alpha / r$ is a setting, of which more below. Such a pair $A$ and $B$ is called an
# **adapter**, and so, for short, are all the pairs that a model has for one task.

# %%
dense = torch.nn.Linear(6, 4)
layer = LoRALinear(dense, r=2, alpha=4)
x = torch.randn(3, 6)
print("A", layer.lora_A.data, "B", layer.lora_B.data, f"alpha / r = {layer.scaling}", sep="\n")
unchanged = torch.equal(layer(x), dense(x))
with torch.no_grad():
    layer.lora_B.normal_()
by_hand = dense(x) + layer.scaling * x @ layer.lora_A.T @ layer.lora_B.T
difference = (layer(x) - by_hand).detach().abs().max().item()
print(f"with another B, the layer and the formula differ by {difference:.0e}")
course.published(
    "at the start B A x = 0", "Hu et al. 2021, section 4.1", "yes",
    "the same output" if unchanged else "another output",
    holds(unchanged, published=True, yes="equal to the bit", no="the layer's outputs changed"),
)  # fmt: skip
course.checked(
    "a LoRA layer against the formula", f"{difference:.0e} apart", holds(difference < 1e-5)
)

# %% [markdown]
# ## What full fine-tuning changes
#
# Is a change of low rank enough? First teach the base model English to French the expensive way,
# then look at what became of its weights. The loop and the data are lesson 7's, and the settings
# those of `minigpt finetune`: a step sees 8 rows of 128 tokens; the learning rate climbs to 1e-3
# where all weights are trained, and to 2e-3 for adapters, since a few new numbers need larger steps
# than many old ones. Losses are measured on sentences held out from training, in nats a token
# (lesson 3). Bits per byte (lesson 4) say how well a model still predicts the text that it was
# pretrained on. (That number depends on which documents are read, and the lessons do not all read
# the same ones. So compare models within a lesson, not from one lesson to another.)

# %%
base, encoding = load_pretrained("base")
base.to(course.device)
base.set_dropout(0.0)
translation = course.limit(task_data(TASKS["translation"]))
french = instruction_data([translation], encoding, base.config.block_size, seed=course.seed)
validation = list(french.validation_batches(4))[:20]  # 80 rows of sentences are enough
held_out = HeldOut(
    encoding, course.choose(quick=2_000, normal=20_000), course.seed, course.n_documents
)
STEPS, SHORT = course.choose(quick=3, normal=130, full=600), course.choose(2, 36, 200)
LONG_RUN = {"batch_size": course.choose(quick=2, normal=8), "seed": course.seed}
SHORT_RUN = {"batch_size": course.choose(quick=2, normal=4), "seed": course.seed}


def translate(model: GPT, n: int) -> TaskResult:
    """Let a model translate the first n test sentences."""
    return evaluate_task(model, encoding, translation.task, translation.test[:n])


n_test = course.choose(quick=4, normal=300)
full = teach(copy.deepcopy(base), french, STEPS, learning_rate=1e-3, **LONG_RUN)
full_result, full_losses = translate(full, n_test), losses(full, validation)
full_bits = held_out.bits(full)
print(f"before: loss {losses(base, validation).mean:.3f} nats a token")
print(f"after {STEPS} steps: loss {full_losses.mean:.3f}, {full_result}")

# %% [markdown]
# How much of the change $\Delta W = W - W_0$ could a sum of r products hold? Every matrix can be
# written as a sum of columns times rows in which all columns have length 1 and are at right angles
# to one another, all rows likewise, and each product has a factor. These factors are the matrix's
# **singular values**. The squares of the largest r of them add up to what the best matrix of rank r
# keeps of the sum of all squared numbers in $\Delta W$. A matrix of random numbers, in which no
# direction is more important than another, stands beside it.


# %%
def kept(matrix: torch.Tensor) -> torch.Tensor:
    """The share of all squared numbers that the best matrix of rank 1, 2, 3, ... keeps."""
    sums = torch.linalg.svdvals(matrix).square().cumsum(0)
    return sums / sums[-1]


energies = {}
for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"):
    path = f"transformer.h.2.{name}.weight"  # of the third block: they are counted from 0
    change = full.state_dict()[path].cpu() - base.state_dict()[path].cpu()
    energies[name] = kept(change)
    enough, random = (
        int((shares < 0.9).sum()) + 1 for shares in (energies[name], kept(torch.randn_like(change)))
    )
    print(f"{name:<12} rank for 90% of the squares: {enough:>3} of {len(energies[name])},"
          f" for as many random numbers {random}")  # fmt: skip

# %% [markdown]
# A rank far below that of random numbers means that the change prefers some directions. It need not
# be as low as the ranks that LoRA uses, from 1 to 64 or so: LoRA needs only that among all the
# changes that do the job there is one of low rank.
#
# ## LoRA against full fine-tuning, with equal data
#
# Now put adapters of rank 12 beside all linear layers of every block; nothing else learns. (Rank 12
# and alpha 128 are the settings of `minigpt finetune`; "Choosing alpha" below says why.) They get
# the same sentences in the same order as full fine-tuning, and the translations are judged by BLEU,
# and by ROUGE-L as on the slides. (They compare summaries; translations are shorter, and so cheaper
# to write.) "On a par" is what Hu et al. found; Biderman et al. found that "LoRA learns less and
# forgets less". The table at the end asks both: whether BLEU is as good, and whether the loss is
# higher.
#
# When is something "as good"? Equality cannot be proved, but one can rule out that it is worse by
# more than some limit. In this lesson up to 2 BLEU, 0.02 of ROUGE-L, 0.02 nats and 3% of time count
# as equal. These limits are our choice.

# %%
model = add_lora(base, 12, 128, course.seed, name="french")
teach(model, french, STEPS, learning_rate=2e-3, **LONG_RUN)
lora_result, lora_losses = translate(model, n_test), losses(model, validation)
print(f"full: {full_result}, loss {full_losses.mean:.3f}: {full_result.answers[0]}")
print(f"LoRA: {lora_result}, loss {lora_losses.mean:.3f}: {lora_result.answers[0]}")
behind, error = bleu_gain(
    full_result.answers, lora_result.answers, translation.task, translation.test[:n_test]
)
after_steps = f"after the same {STEPS} steps the validation loss is {full_losses.mean:.2f} "
after_steps += f"with all weights trained and {lora_losses.mean:.2f} with LoRA"
course.published(
    "BLEU: full fine-tuning, LoRA", "Hu et al. 2021, abstract", "on a par",
    f"{full_result.score:.1f}, {lora_result.score:.1f}",
    no_worse(behind, error, 2, after_steps, unit=" BLEU", places=1),
)  # fmt: skip
whole, thin = (
    rouge_l(each.answers, translation.task, translation.test[:n_test])
    for each in (full_result, lora_result)
)
course.published(
    "ROUGE-L: full fine-tuning, LoRA", "Hu et al. 2021, abstract; slides 001/002", "on a par",
    f"{whole.mean():.3f}, {thin.mean():.3f}",
    no_worse(float((whole - thin).mean()), error_of_mean(whole - thin), 0.02, after_steps,
             places=3),
)  # fmt: skip
more, error = lora_losses.above(full_losses)
course.published(
    "validation loss: full, LoRA", "Biderman et al. 2024, title", "LoRA learns less",
    f"{full_losses.mean:.3f}, {lora_losses.mean:.3f}",
    is_more(more, error, places=3, unit=" nats", no="here LoRA has the lower loss"),
)  # fmt: skip

# %% [markdown]
# What does LoRA save? Fewer numbers are trained, and each of them needs a gradient and the two
# running means of AdamW (lesson 4). All of that is measured in one step. The file is smaller, too,
# as an adapter is saved without the model.

# %%
batch = french.train_batch(0, LONG_RUN["batch_size"]).to(course.device)
saved = {}
for name, fitted in (("full", full), ("LoRA", model)):
    one = copy.deepcopy(fitted)
    taken = measure_memory(one, make_optimizer(one, 1e-4), batch)
    folder = course.folder / name
    save_pretrained(full, encoding, folder) if name == "full" else save_lora(model, folder)
    file = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    trained = sum(p.numel() for p in one.parameters() if p.requires_grad)
    saved[name] = (trained, taken.gradients, taken.optimizer, file)
    print(f"{name}: {trained:,} trained, gradients {taken.gradients / 1e6:.1f} MB, "
          f"optimizer {taken.optimizer / 1e6:.1f} MB, file {file / 1e6:.1f} MB")  # fmt: skip
shares = [lora / whole for lora, whole in zip(saved["LoRA"], saved["full"], strict=True)]
course.checked(
    "parameters that LoRA trains", f"{saved['LoRA'][0]:,} ({shares[0]:.1%})",
    holds(shares[0] < 0.1, yes="less than a tenth", no="a tenth or more"),
)  # fmt: skip
course.checked(
    "optimizer state, full and LoRA",
    f"{saved['full'][2] / 1e6:.1f} and {saved['LoRA'][2] / 1e6:.1f} MB",
    holds(abs(shares[2] / shares[0] - 1) < 0.01, yes="it shrinks as the parameters do"),
)  # fmt: skip

# %% [markdown]
# Is a step shorter, too? It computes the outputs of all layers, then the gradients of these
# outputs, then those of the weights, each at about the same cost. LoRA leaves out nearly all of the
# third, so a step could become 1.5 times as fast, less the work of the adapters. Hu et al. report a
# speed-up of 25% for GPT-3: each GPU reads 43.1 tokens a second where full fine-tuning reads 32.5.
# So full fine-tuning takes 1.33 times as long, and LoRA a quarter less time. Here the two take
# turns, and are compared round by round: the verdict's figure is the median of the ratios, which a
# single slow round cannot move far. On a busy machine the figures still change.

# %%
tuned = {"full": full.train(), "LoRA": model.train()}
optimizers = {name: make_optimizer(each, learning_rate=0) for name, each in tuned.items()}


def step(name: str) -> None:
    """One training step, on the same batch each time; its rate of 0 leaves the weights alone."""
    # products of matrices in 16 bits (lesson 9), where the processor computes those faster
    with torch.autocast(course.device.type, autocast_dtype(course.device)):
        _, loss = tuned[name](batch.idx, batch.targets, segments=batch.segments, loss_only=True)
    loss.backward()
    optimizers[name].step()
    optimizers[name].zero_grad()


ms = in_turns({name: (lambda name=name: step(name)) for name in tuned},
              course.choose(quick=2, normal=12))  # fmt: skip
print({name: f"{np.median(each):.0f} ms" for name, each in ms.items()}, "(medians)")

# %%
longer, error = time_ratio(ms["full"], ms["LoRA"])
there = count_lora(GPTConfig.preset("gpt3-175b"), 4, ("q", "v")) / 175e9
course.published(
    "time of a training step, full / LoRA", "Hu et al. 2021, section 4.2", "1.33", f"{longer:.2f}",
    same_figure("1.33", longer, "model and machine are others: the adapters hold "
                f"{shares[0]:.1%} of the weights here, and {there:.2%} in GPT-3",
                within=max(0.005, min(0.05, 2 * error)), remark=f"± {error:.2f}"),
)  # fmt: skip
course.checked("a step with LoRA is shorter", f"{np.median(ms['full']):.0f} and "
               f"{np.median(ms['LoRA']):.0f} ms (medians)",
               is_more(longer - 1, error, checked=True, no="the adapters cost more time than "
                       "their frozen weights save"))  # fmt: skip

# %% [markdown]
# What did each method forget of the text that the base model was pretrained on? Whoever learns less
# has less reason to forget, so read this beside the two losses above.

# %%
forgets = held_out.change(full_bits, held_out.bits(model))
before = held_out.bits_per_byte(base)
course.published(
    "bits per byte of Python's text: full, LoRA", "Biderman et al. 2024", "LoRA forgets less",
    f"{full_bits.sum() / held_out.n_bytes:.2f}, {held_out.bits_per_byte(model):.2f}",
    is_more(forgets.bits_per_byte, forgets.error, unit=" bits per byte",
            yes=f"the base model has {before:.2f}", no="LoRA with these settings forgets more"),
)  # fmt: skip

# %% [markdown]
# ## The rank
#
# Hu et al. trained GPT-2 Medium at ranks from 1 to 1,024 on E2E, where a model describes
# restaurants, and found that the quality stops growing at a small rank. Here is the same for our
# model and task, for 36 steps of 4 rows each (200 with `--full` or on a CUDA GPU): enough to
# compare ranks, too few for a good translation. Alpha is 32 at every rank, which is what Hu et al.
# took at rank 4. They also print NIST, METEOR and CIDEr, which are not computed again here.

# %%
Sweep = dict[int, tuple[Losses, TaskResult]]


def sweep(ranks: list[int], data: InstructionData, batches: list[Batch], part: TaskData) -> Sweep:
    """Train an adapter of each rank; its validation losses, its answers to some test records."""
    found: Sweep = {}
    for r in ranks:
        adapted = add_lora(base, r, 32, course.seed)
        teach(adapted, data, SHORT, learning_rate=2e-3, **SHORT_RUN)
        result = evaluate_task(adapted, encoding, part.task, part.test)
        found[r] = losses(adapted, batches), result
        here = f"{found[r][0].mean:.3f}, {result.score:>4.1f}"
        print(f"rank {r:>4}: loss, BLEU {here}     Hu et al.: {', '.join(HU[r][:2])}")
    return found


RANKS = course.choose(quick=[1, 8, 16, 64], normal=[1, 2, 4, 8, 16, 32, 64, 128, 256])
n_rough = course.choose(quick=4, normal=60)
some = replace(translation, test=translation.test[:n_rough])
swept = sweep(RANKS, french, validation, some)
rank_losses = {r: found for r, (found, _) in swept.items()}

# %% [markdown]
# Two of the eleven ranks are missing. A matrix of 256 rows or columns cannot have a rank above 256,
# which is why the library refuses one; GPT-2 Medium has a width of 1,024.

# %%
allowed = set(swept)
for r in [r for r in HU if r not in swept]:
    try:
        add_lora(base, r, 32, course.seed)
        allowed.add(r)
    except ValueError as refusal:
        print(f"rank {r:>4}: {refusal}     Hu et al.: {', '.join(HU[r][:2])}")
course.published(
    "largest rank that was tried", "Hu et al. 2021, table 18", f"{max(HU):,}", f"{max(allowed):,}",
    same_figure(f"{max(HU):,}", max(allowed), f"our matrices have {base.config.n_embd} rows or "
                "columns; in both models it is the width, the largest rank there is"),
)  # fmt: skip

# %% [markdown]
# The absolute figures cannot agree, since model, task and length of training differ. What can be
# compared is what a rank gains over rank 1. Each such difference has a standard error, because both
# ranks were tested on the same sentences, which are few. The loss counts every token of the right
# answers and is known best. BLEU and ROUGE-L see only what was written. No rank in the paper is
# more than 1.7 BLEU above rank 1; where the error here is as large as that, expect "undecided".


# %%
def compare_rouge(
    r: int, result: TaskResult, first: TaskResult, part: TaskData, where: str
) -> None:
    """Put a rank's gain in ROUGE-L beside the paper's, which is none at rank 2."""
    new, old = (rouge_l(each.answers, part.task, part.test) for each in (result, first))
    gain, error = float((new - old).mean()), error_of_mean(new - old)
    claim = f"rank 1 -> {r}" if HU[r][2] > HU[1][2] else f"rank 1 is no worse than {r}"
    course.published(
        f"{where}ROUGE-L, {claim}", "Hu et al. 2021, table 18",
        f"{HU[1][2]} -> {HU[r][2]}", f"{old.mean():.3f} -> {new.mean():.3f}",
        is_more(gain, error, places=3, no="here rank 1 is better") if HU[r][2] > HU[1][2]
        else no_worse(gain, error, 0.02, "here rank 1 is worse", places=3),
    )  # fmt: skip


# %%
def compare_bleu(r: int, result: TaskResult, first: TaskResult, part: TaskData, where: str) -> None:
    """Put a rank's gain in BLEU beside the paper's, which is next to none at ranks 128 and 512."""
    gain, error = bleu_gain(result.answers, first.answers, part.task, part.test)
    theirs = float(HU[r][1]) - float(HU[1][1])
    claim = f"rank 1 -> {r}" if theirs > 0.1 else f"rank 1 is no worse than {r}"
    course.published(
        f"{where}BLEU, {claim}", "Hu et al. 2021, table 18",
        f"{HU[1][1]} -> {HU[r][1]}", f"{first.score:.1f} -> {result.score:.1f}",
        is_more(gain, error, places=1, unit=" BLEU", no="here rank 1 is better") if theirs > 0.1
        else no_worse(gain, error, 2, "here rank 1 is worse", places=1, unit=" BLEU"),
    )  # fmt: skip
    print(
        f"{where}rank 1 -> {r:>3}: {gain:+.1f} ± {error:.1f} BLEU here, {theirs:+.1f} in the paper"
    )


# %%
def compare_ranks(swept: Sweep, part: TaskData, where: str = "") -> None:
    """Put what each rank gains over rank 1 beside what it gained in the paper."""
    first, answers = swept[1]
    for r, (found, result) in list(swept.items())[1:]:
        gain, error = first.above(found)
        course.published(
            f"{where}validation loss, rank 1 -> {r}", "Hu et al. 2021, table 18",
            f"{HU[1][0]} -> {HU[r][0]}", f"{first.mean:.3f} -> {found.mean:.3f}",
            is_more(gain, error, places=3, unit=" nats", no="here rank 1 has the lower loss"),
        )  # fmt: skip
        compare_bleu(r, result, answers, part, where)
        compare_rouge(r, result, answers, part, where)


compare_ranks(swept, some)

# %% [markdown]
# E2E itself can be fetched (`minigpt data fetch e2e`). If it is there, three ranks are trained on
# it as well, or all of ours with `--full` or on a CUDA GPU: on its development set, which is large
# enough for so few steps. Do not expect good descriptions after them: our base model was pretrained
# on other text, and GPT-2 Medium is about 70 times as large.

# %%
real = restaurants()
real_swept: Sweep = {}
if real is None:
    print(f"{FOLDER} does not hold E2E: this part is left out")
else:
    real = course.limit(replace(real, test=real.test[: 8 * n_rough]))  # about 8 for each prompt
    block = base.config.block_size
    described = instruction_data([real], encoding, block, row_length=256, seed=course.seed)
    real_ranks = course.choose(quick=[1, 16], normal=[1, 4, 16], full=RANKS)
    print("E2E:")
    real_swept = sweep(real_ranks, described, list(described.validation_batches(4)), real)
    print(f"{real.test[0]['mr']}\n    {real_swept[16][1].answers[0]}")
    compare_ranks(real_swept, real, "E2E: ")

# %% [markdown]
# Does the quality stop growing? And was rank 1 the paper's choice, as the lectures' reading notes
# say ("notes 003/004" in the table)? (With GPT-3 the paper found 1 to be enough on two data sets,
# if queries and values both have an adapter.) The right half of the figure answers the first
# question. The left half belongs to "What full fine-tuning changes", above.

# %%
largest = RANKS[-1]
small = 16
more, error = rank_losses[small].above(rank_losses[largest])
course.published(
    f"loss: rank {small} is no worse than {largest}", "Hu et al. 2021, table 18",
    f"{HU[small][0]} -> {HU[largest][0]}: nothing", f"{more:+.3f} nats a token",
    no_worse(more, error, 0.02, "after so few steps a larger rank still helps", places=3,
            unit=" nats"),
)  # fmt: skip
best = max(HU, key=lambda r: float(HU[r][1]))
course.published(
    "rank used in the paper", "notes 003/004", "1", f"{min(HU)} to {max(HU)}",
    same_figure("1", best, f"its table 18 has {len(HU)} ranks, with the highest BLEU at {best} "
                "and the lowest loss at 16 to 512", kind=Kind.WRONG),
)  # fmt: skip
figure, (spectrum_axis, rank_axis) = plt.subplots(1, 2, figsize=(12.5, 4.6), layout="constrained")
draw_spectrum(spectrum_axis, energies)
draw_ranks(rank_axis, {
    "our base model, English to French": {r: found.mean for r, found in rank_losses.items()},
    "our base model, E2E": {r: found.mean for r, (found, _) in real_swept.items()},
})  # fmt: skip
course.save_figure(figure, "rank")

# %% [markdown]
# ## Why alpha / r
#
# With AdamW every number of $B$ takes steps of about the same length. So the more terms $B A$ has,
# the more a step adds. Dividing by r keeps the first steps equally strong at all ranks, so that one
# learning rate can serve them all. To see that, train again with one factor for all ranks, the one
# that rank 8 had above. (Kalajdzievski 2023 argues for $\sqrt r$ in the place of r, which is
# `rank_stabilized=True` in `apply_lora`.)

# %%
FACTOR = 32 / 8
fixed_losses = {8: rank_losses[8]}  # the same run: there alpha / r is this factor
for r in course.choose(quick=(2, 64), normal=(2, 16, 64)):
    adapted = add_lora(base, r, FACTOR * r, course.seed)
    teach(adapted, french, SHORT, learning_rate=2e-3, **SHORT_RUN)
    fixed_losses[r] = losses(adapted, validation)
    if r in rank_losses:
        print(f"rank {r:>2}: loss {rank_losses[r].mean:.3f} with alpha / r = {32 / r:g}, ", end="")
        print(f"{fixed_losses[r].mean:.3f} with {FACTOR:g}, the one factor for all ranks")
for r in [r for r in (2, 64) if r in rank_losses]:
    worse, error = fixed_losses[r].above(rank_losses[r])
    course.published(
        f"loss at rank {r}: fixed factor, alpha / r", "Hu et al. 2021, section 4.1",
        "less to tune anew with alpha / r",
        f"{fixed_losses[r].mean:.3f}, {rank_losses[r].mean:.3f}",
        is_more(worse, error, places=3, unit=" nats",
                yes="the same learning rate serves better with alpha / r",
                no="the same learning rate serves the fixed factor better here"),
    )  # fmt: skip

# %%
figure, axis = plt.subplots(figsize=(8.5, 4.2), layout="constrained")
draw_scaling(
    axis, {r: found.mean for r, found in rank_losses.items() if 2 <= r <= 64},
    {r: fixed_losses[r].mean for r in sorted(fixed_losses)},
)  # fmt: skip
course.save_figure(figure, "scaling")

# %% [markdown]
# ## Choosing alpha, the start, and the layers
#
# Alpha works much as a learning rate does: with a larger one each step changes the layer more. In
# large models alpha is often r or 2 r; Hu et al. took 32 with r = 4 for GPT-2. `minigpt finetune`
# has 128 with r = 12, which was chosen by validation loss, together with its learning rate of 2e-3,
# for runs of a few hundred steps. Our short runs have 32. So compare the two in both kinds of run:

# %%
alpha_losses = {("long", 128): lora_losses}
for run, alpha in (("long", 32), ("short", 128), ("short", 32)):
    steps, settings = (STEPS, LONG_RUN) if run == "long" else (SHORT, SHORT_RUN)
    adapted = add_lora(base, 12, alpha, course.seed)
    teach(adapted, french, steps, learning_rate=2e-3, **settings)
    alpha_losses[run, alpha] = losses(adapted, validation)
for run, better, other in (("long", 128, 32), ("short", 32, 128)):
    lower, higher = (alpha_losses[run, alpha] for alpha in (better, other))
    print(f"{run} run: loss {lower.mean:.3f} with alpha {better}, {higher.mean:.3f} with {other}")
    gain, error = higher.above(lower)
    course.checked(
        f"r = 12 in a {run} run: alpha {better} is better than {other}",
        f"loss {lower.mean:.3f}, {higher.mean:.3f}",
        is_more(gain, error, places=3, unit=" nats", checked=True,
                no=f"alpha {other} has the lower loss"),
    )  # fmt: skip

# %% [markdown]
# If both are so, the best alpha depends on the run, as the best learning rate does: the long one
# has more steps, and more rows in each.
#
# $A$ starts from a normal distribution in the paper, which does not say how wide it is, and from a
# uniform one in the authors' code (PyTorch's default for a linear layer, `kaiming_uniform_`). Our
# normal start has the standard deviation 1 / r. The wider $A$ is, the more each step of $B$ adds,
# as with a larger alpha; so this compares the two at one learning rate only.

# %%
starts = {init: LoRALinear(torch.nn.Linear(256, 256), 8, 32, init=init).lora_A
          for init in ("kaiming", "gaussian")}  # fmt: skip
for init, A in starts.items():
    print(f"{init:<9} standard deviation {A.std():.3f}, largest {A.abs().max():.3f}")
adapted = add_lora(base, 8, 32, course.seed, init="gaussian")
teach(adapted, french, SHORT, learning_rate=2e-3, **SHORT_RUN)
normal = losses(adapted, validation)
uniform = rank_losses[8]  # from the sweep, which differs in nothing else
behind, error = uniform.above(normal)
course.checked(
    "A uniform is no worse than A normal (loss, r = 8)", f"{uniform.mean:.3f}, {normal.mean:.3f}",
    no_worse(behind, error, 0.02, "its A has the smaller numbers, so that the first steps of B "
            "add less", places=3, unit=" nats", checked=True),
)  # fmt: skip

# %% [markdown]
# Which layers? Hu et al. adapted attention only; QLoRA's authors (lesson 12) found that every
# linear layer needs an adapter to match full fine-tuning. A fair comparison trains equally many
# numbers: with width C, rank r costs 6 C r in the two layers of an attention and 16 C r in all four
# layers of a block, so that rank 16 in the first costs as much as rank 6 in the second.

# %%
places, trained = {}, {}
for name, r, layers in (("attention", 16, ATTENTION), ("every layer", 6, EVERY_LAYER)):
    adapted = add_lora(base, r, 32, course.seed, layers)
    trained[name] = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    teach(adapted, french, SHORT, learning_rate=2e-3, **SHORT_RUN)
    places[name] = losses(adapted, validation)
    print(f"{name}, r = {r}: {trained[name]:,} trained, loss {places[name].mean:.3f}")
worse, error = places["attention"].above(places["every layer"])
course.published(
    "loss: attention only, every layer", "Dettmers et al. 2023, section 4",
    "every layer is needed to match full fine-tuning",
    f"{places['attention'].mean:.3f}, {places['every layer'].mean:.3f}",
    is_more(worse, error, places=3, unit=" nats",
            yes=f"{trained['attention']:,} numbers are trained in both",
            no="with as many numbers, attention alone learns more here"),
)  # fmt: skip

# %% [markdown]
# ## An easy task and a hard one
#
# "Complex things need a high rank," say the slides. Lesson 7's "Charlie the cat" is easy: the
# answer is a name that stands in the prompt. Translating is harder, since it takes the French for
# every word. Train rank 1 and rank 16 on each, for twice as many steps as above, and compare what
# the higher rank gains. That compares the tasks only if both were learned; before that, a higher
# rank may gain because it learns sooner. Here a task counts as learned once training has taken away
# at least half of the loss. That is a mild test: translation goes on improving for longer, and part
# of its gain may still be speed.

# %%
naming = course.limit(naming_data(course.seed))
names = instruction_data([naming], encoding, base.config.block_size, seed=course.seed)
rank_gains, at_rank_1, learned = {}, {}, []
for name, data, batches in (
    ("translation", french, validation),
    ("naming", names, list(names.validation_batches(1))),
):
    before, found = losses(base, batches).mean, {}
    for r in (1, 16):
        taught = add_lora(base, r, 32, course.seed, name=name)
        teach(taught, data, 2 * SHORT, learning_rate=2e-3, **SHORT_RUN)
        found[r] = losses(taught, batches)
        learned.append(found[r].mean < before / 2)
        print(f"{name}, rank {r:>2}: loss {before:.3f} -> {found[r].mean:.3f}")
    rank_gains[name], at_rank_1[name] = found[1].above(found[16]), found[1].mean
save_lora(taught, course.folder / "naming")
print(f"naming, rank 16: {evaluate_task(taught, encoding, naming.task, naming.test)}")

# %%
(hard_gain, hard_error), (easy_gain, easy_error) = rank_gains.values()
lead = hard_gain - easy_gain if all(learned) else math.nan
print("both were learned" if all(learned) else "not both were learned: nothing to compare")
course.published(
    "gain from rank 1 to 16: translation, naming", "slides 001/002",
    "complex things need a high rank", f"{hard_gain:.3f}, {easy_gain:.3f} nats a token",
    is_more(lead, math.hypot(hard_error, easy_error), places=3, unit=" nats",
            yes="the hard task gains more; at rank 1 the easy one has only "
                f"{at_rank_1['naming']:.3f} left to gain", no="the easy task gains more here"),
)  # fmt: skip

# %% [markdown]
# ## One model, two tasks
#
# Somebody else has the base model and downloads two small folders. Switching between the tasks
# takes as long as setting a name in each layer.

# %%
again, _ = load_pretrained("base")
again.to(course.device)
for name, folder in (("french", "LoRA"), ("naming", "naming")):
    load_lora(again, course.folder / folder, name=name)
n_few = course.choose(quick=4, normal=32)
for name, part, taught_it in (("french", translation, model), ("naming", naming, taught)):
    started = time.perf_counter()
    set_lora(again, name)
    switched = 1e3 * (time.perf_counter() - started)
    ours, theirs = (
        evaluate_task(either, encoding, part.task, part.test[:n_few]).answers
        for either in (taught_it, again)
    )
    print(f"{name}, switched in {switched:.2f} ms: {part.task.prompt(part.test[0])} {theirs[0]}")
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    course.checked(f"answers of the saved adapter {name}", f"{same} of {len(ours)} are the same",
                   holds(same == len(ours), no="some answers changed"))  # fmt: skip

# %% [markdown]
# ## Merging
#
# $W_0 + \frac{\alpha}{r} B A$ is a matrix like any other. **Merged**, an adapter leaves nothing to
# compute beside the weights. The library keeps $W_0$ meanwhile, so that the original comes back to
# the last bit.

# %%
set_lora(again, "french")
idx = torch.tensor([encoding.encode("fr: I was lucky. ->")], device=course.device)
with torch.no_grad():
    beside = again(idx)[0]
    merge_lora(again)
    apart = float((again(idx)[0] - beside).abs().max())
    merged = remove_lora(copy.deepcopy(again))
    unmerge_lora(again)
    set_lora(again, None)
    restored = torch.equal(again(idx)[0], base.eval()(idx)[0])
print(f"merged and beside, the scores (logits) differ by {apart:.0e}")
course.checked("the model after unmerging", "the base model" if restored else "another model",
               holds(restored, yes="equal to the bit", no="its scores changed"))  # fmt: skip

# %% [markdown]
# So it should cost nothing to use. The model reads a row of 64 tokens again and again, without an
# adapter, with one beside the weights, and with the same one merged, in turns:

# %%
set_lora(again, "french")
one_row = next(french.validation_batches(1)).idx[:, :64].to(course.device)
repeats = course.choose(quick=1, normal=3)


def read(which: GPT) -> None:
    """Compute a row several times, so that a call is long enough to be timed."""
    with torch.no_grad():
        for _ in range(repeats):
            which(one_row)


# %%
kinds = {"base": base.eval(), "beside": again.eval(), "merged": merged.eval()}
times = in_turns({name: (lambda which=which: read(which)) for name, which in kinds.items()},
                 course.choose(quick=2, normal=30))  # fmt: skip
ratios = {name: time_ratio(times[name], times["base"]) for name in ("beside", "merged")}
for name, (ratio, error) in ratios.items():
    print(f"{name}: {ratio:.3f} ± {error:.3f} times as long as the base model")
course.published(
    "time of a merged model / base", "Hu et al. 2021, section 4.1", "no additional latency",
    f"{ratios['merged'][0]:.3f}",
    no_worse(100 * ratios["merged"][0] - 100, 100 * ratios["merged"][1], 3,
            "it computes the same layers, so other work on the machine is the likely reason",
            unit="%", places=1),
)  # fmt: skip
course.checked("time with the adapter beside / base", f"{ratios['beside'][0]:.2f}",
               is_more(ratios["beside"][0] - 1, ratios["beside"][1], checked=True, places=3,
                       yes="it costs time until it is merged"))  # fmt: skip

# %% [markdown]
# ## GPT-3
#
# How many parameters would LoRA train in GPT-3? It is r (in + out) for every matrix, and queries,
# keys, values and outputs have a matrix of 12,288 x 12,288 each in all of the 96 layers. The
# published counts are in millions with one decimal. Where a figure comes out only by rounding, or
# only if the rest is cut off, its verdict says so.

# %%
gpt3 = GPTConfig.preset("gpt3-175b")
for targets, printed in GPT3_COUNTS.items():
    for r, millions in printed.items():
        count = count_lora(gpt3, r, targets)
        course.published(
            f"GPT-3 175B: {', '.join(targets)} at r = {r}", "Hu et al. 2021, table 15",
            f"{millions}M", f"{count:,}", cut_or_rounded(millions, count),
        )  # fmt: skip

# %% [markdown]
# ## What to take away
#
# - A layer with LoRA computes $W_0 x + \frac{\alpha}{r} B A x$. Only $A$ and $B$ are trained, and
#   since $B$ starts at zero, training starts from the base model.
# - It trains r (in + out) numbers a layer. Gradients, optimizer state and the saved file shrink in
#   the same proportion; what the forward pass keeps for the backward pass does not (lesson 12).
# - A small rank is often enough. Alpha acts like a learning rate; dividing by r is meant to let one
#   learning rate serve all ranks. The table says how well it does.
# - Adapters can be kept apart and switched, or merged, after which they cost no time.
#
# The first table below holds what others have published, the second what was checked here.

# %%
course.finish()

# %% [markdown]
# Your turn: LoRA from its start to merging. `minigpt exercise start 8` writes the stubs, and
# `minigpt exercise check 8` says what your code computes. Next comes lesson 9: how numbers are
# stored, and how many bits a weight needs.
