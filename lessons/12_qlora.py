# %% [markdown]
# # Lesson 12: QLoRA
#
# LoRA trains little, but the frozen weights still fill the memory. Lesson 11 stored weights in 4
# bits. Together they are QLoRA: a base in NF4 that never changes, and LoRA's matrices beside it
# that learn. Here you build one such layer, train a model by four methods with the same data, count
# the bytes of a step, and work out which model could be trained on which GPU.
#
# After this lesson you can
#
# - say what is stored in 4 bits, what is computed in which format, and what is trained;
# - name the four things that fill the memory in training, and predict each from a model's shape;
# - judge what QLoRA costs in time and quality against LoRA and full fine-tuning;
# - say when gradient checkpointing and a paged optimizer help;
# - merge an adapter into a model whose weights are in 4 bits, and say what rounding the sum to 4
#   bits again would lose.
#
# You need: lesson 4 (a training step, AdamW), lesson 6 (BLEU), lesson 7 (the translation task),
# lesson 8 (LoRA), and lessons 9 to 11 (number formats, NF4, double quantization). Allow 60 minutes,
# and another 60 for the exercises; the script takes about three.
#
# Run it: `python lessons/12_qlora.py`, or `minigpt lesson 12`. Its code is
# `minigpt/qlora/model.py`, `minigpt/memory/predicted.py` and `minigpt/optim/paged_adamw.py`.
# Source: Dettmers et al. 2023, "QLoRA" (arXiv 2305.14314).
#
# Terms can be looked up in the [glossary](GLOSSARY.md).

# %%
import copy
import random
import sys
from collections.abc import Callable

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson

course = lesson.start(12, "QLoRA")

import torch
from torch import Tensor
from torch.nn import functional as F

from kernels import dequantize_nf4, nf4_linear, quantize_nf4
from lessons.experiments.finetuning_methods import build, settings
from lessons.experiments.nf4_file_size import bits_in_file
from lessons.experiments.paired import bleu_gain, losses, time_ratio
from lessons.experiments.qlora_memory import (
    FOUR,
    HALF,
    count_conversions,
    draw,
    draw_spike,
    longest_row,
    one_step,
    predicted_gb,
    step_table,
    step_times,
)
from lessons.held_out import HeldOut
from lessons.verdicts import Kind, holds, is_more, no_worse, same_figure
from minigpt import GPT, GPTConfig, load_pretrained
from minigpt.device import autocast_dtype
from minigpt.lora.layer import LoRALinear
from minigpt.lora.model import lora_layers, merge_lora, remove_lora
from minigpt.memory.counts import count_trained, parameters
from minigpt.memory.llama import LLAMA_2, LlamaShape
from minigpt.memory.measured import KeptTensors, size_without, storages
from minigpt.memory.predicted import predict_memory
from minigpt.memory.run import TrainingRun
from minigpt.optim.adamw import make_optimizer
from minigpt.qlora.layer import NF4Linear
from minigpt.qlora.model import dequantize_model, frozen_bits, quantize_model
from minigpt.tasks.answers import evaluate_task
from minigpt.tasks.data import instruction_data, task_data
from minigpt.tasks.task import TASKS
from minigpt.training.loop import train
from minigpt.training.loss import autocast

torch.set_printoptions(precision=3, sci_mode=False, linewidth=100)

# %% [markdown]
# ## One layer
#
# Take a weight of 2 x 64. In NF4 (lesson 10) 64 numbers share a scale, their largest absolute
# value, and each number becomes a code of 4 bits, which stands for one of 16 levels. So the layer
# keeps 128 codes and two scales, which double quantization (lesson 11) stores in 8 bits. To
# compute, it looks the codes up: $W \approx$ level x scale.

# %%
dense = torch.nn.Linear(64, 2, bias=False)
layer = NF4Linear(dense)
print("before: ", dense.weight[0, :8].detach())
print("stored: ", {name: list(part.shape) for name, part in layer.named_buffers()})
print("it means", layer.dequantize().weight[0, :8])
x = torch.randn(1000, 64, requires_grad=True)  # [B, in]
with torch.no_grad():
    print("outputs ", dense(x)[:4, 0], "and in 4 bits", layer(x)[:4, 0])
    off = ((layer(x) - dense(x)).norm() / dense(x).norm()).item()
print(f"{4 * dense.weight.numel()} bytes -> {layer.quantized.nbytes}; the output is {off:.0%} off")

# %% [markdown]
# Rounding has no useful gradient, but none is needed, since the codes are not trained. The layer is
# $y = W x$ with a constant $W$. The gradient of $x$ is $W^T$ times that of $y$, and is passed on to
# the layers before this one. LoRA beside the layer learns as it does in lesson 8 (here its $B$ is
# drawn at random: where it is zero, as it is at the start, $A$ gets no gradient yet):
#
# $$y = \text{dequantize}(W^{NF4})\,x + \frac{\alpha}{r}\,B\,A\,x$$

# %%
adapted = LoRALinear(layer, r=2, alpha=4)
torch.nn.init.normal_(adapted.lora_B)
adapted(x).square().sum().backward()
for name, tensor in [("x", x), *adapted.named_parameters(), *adapted.named_buffers()]:
    size = "none" if tensor.grad is None else f"of length {tensor.grad.norm():.2f}"
    print(f"gradient of {name:<30} {size}")
plain = copy.deepcopy(adapted)
plain.base = layer.dequantize()
(expected,) = torch.autograd.grad(plain(x).square().sum(), x)
gradient_off = (x.grad - expected).abs().max().item()
print(f"against a layer that holds the dequantized weight: x's gradients differ by {gradient_off}")
course.checked("x's gradient: weight in 4 bits, and the same weight dequantized",
               f"differs by {gradient_off}", holds(gradient_off == 0))  # fmt: skip

# %% [markdown]
# Which of all these numbers are in 4 bits? The reading notes that this course goes through say that
# "the decomposed matrices", $A$ and $B$, are. Look at the number formats (a byte of `uint8` holds
# two codes):

# %%
for name, tensor in [*adapted.named_parameters(), *adapted.named_buffers()]:
    print(f"{name:<30} {list(tensor.shape)!s:<10} {tensor.dtype}")
stored_bits = 8 * layer.quantized.nbytes / dense.weight.numel()
formats = {adapted.lora_A.dtype, adapted.lora_B.dtype}
course.published(
    "what QLoRA stores in 4 bits", "notes 003/004", "the decomposed matrices",
    f"A and B: {', '.join(map(str, formats))}",
    holds(formats == {layer.codes.dtype}, published=True, kind=Kind.WRONG,
          no=f"A and B stay plain numbers; the frozen weight has {stored_bits:.1f} bits a number"),
)  # fmt: skip

# %% [markdown]
# $A$ and $B$ are in fp32 here, and in bf16 in the paper. (In so small a layer a frozen number takes
# more than the 4.127 bits of lesson 11, as only 128 numbers share the 8 bytes that the scales have
# in common.)
#
# The product needs the weight in full, twice: once forward, once backward. Must it be kept from one
# to the other? Autograd, torch's record of what the backward pass will need, would do that if we
# dequantized by hand and multiplied. `nf4_linear`, the product that the layer uses, keeps only the
# codes, which are there anyway, and looks them up once more: it trades time for memory.

# %%
wide = quantize_nf4(torch.randn(1024, 1024, device=course.device))
rows = torch.randn(8, 1024, device=course.device, requires_grad=True)
own = storages([*wide.parts.values(), rows])


def bytes_kept(compute: Callable[[], Tensor]) -> int:
    """What autograd keeps of a computation until the backward pass, besides x and the codes."""
    kept = KeptTensors()
    with kept.hooks:
        y = compute()  # noqa: F841 (while y lives, so does what its gradient needs)
    return size_without(own, kept.storages())


by_hand = bytes_kept(lambda: F.linear(rows, dequantize_nf4(wide)))
kept_by_us = bytes_kept(lambda: nf4_linear(rows, wide))
print(f"1024 x 1024 in NF4: {wide.nbytes:,} bytes. Kept for the backward pass besides:")
print(f"dequantize and multiply {by_hand:,} bytes, nf4_linear {kept_by_us:,} bytes")
course.checked("kept for the backward pass, 1024 x 1024", f"{by_hand:,} -> {kept_by_us:,} bytes",
               holds(kept_by_us == 0 < by_hand, yes="the codes are there anyway"))  # fmt: skip

# %% [markdown]
# ## A model in 4 bits
#
# `quantize_model` stores all linear layers of the blocks in NF4. The embeddings stay as they are:
# they are tables in which rows are looked up, and although the LM head (lesson 3) does multiply, it
# is the same matrix as the token embedding. The cost is measured in bits per byte of Python's text
# (lesson 4), on text that the model has not been trained on. The bits in a file are counted, too:
# besides codes and scales it holds tables, the lists of values that the codes stand for (lesson
# 11).

# %%
base, encoding = load_pretrained("base")
base.to(course.device)
base.set_dropout(0.0)
held_out = HeldOut(
    encoding, course.choose(quick=2_000, normal=20_000), course.seed, course.n_documents
)
exact = held_out.bits(base)
print(f"base model: {exact.sum() / held_out.n_bytes:.4f} bits per byte of Python's text")
bits: dict[str, dict[bool, float]] = {"memory": {}, "file": {}, "tables": {}}
cost = {}
for twice in (False, True):
    small = quantize_model(copy.deepcopy(base), double_quant=twice)
    bits["memory"][twice] = frozen_bits(small)
    cost[twice] = held_out.change(held_out.bits(small), exact)
    in_file = bits_in_file(small, encoding, course.folder / "base-nf4")
    bits["file"][twice], bits["tables"][twice] = in_file
    print(f"scales of {8 if twice else 32:>2} bits: changed by {cost[twice]} bits per byte")
    print(f"    {bits['memory'][twice]:.3f} bits a weight in memory, ", end="")
    print(f"{bits['file'][twice]:.3f} in the file, {bits['tables'][twice]:.3f} more for its tables")
others = sum(p.numel() for p in small.parameters())
n = sum(p.numel() for p in base.parameters()) - others
print(f"{n:,} weights in 4 bits; {others:,} numbers stay in fp32: embeddings, norms, biases")

# %% [markdown]
# The paper counts 4 bits for the code of a weight and 0.5 for its share of a scale in fp32, or
# 0.127 with double quantization, which is 0.373 less. For 65 billion weights that is about 3 GB.
# And what does NF4 cost before any training? (After the ± stands the standard error: another choice
# of texts would change the figure by about so much.)

# %%
once, twice_bits = bits["memory"][False], bits["memory"][True]
# ffn is the width inside the MLP, n_kv_head the number of heads that have keys and values
llama_65b = LlamaShape(dim=8192, n_layer=80, ffn=22_016, n_head=64, n_kv_head=64)
fewer_gb = (once - twice_bits) * llama_65b.linear_parameters / 8e9
other_sizes = "the scales take another share of this model"
PAPER = "Dettmers et al. 2023, section "
for what, section, printed, whole, value in (
    ("bits a weight, scales in fp32", "3", "4 + 0.5", "4.5", once),
    ("bits a weight, double quantization", "3", "4 + 0.127", "4.127", twice_bits),
    ("bits saved by double quantization", "3", "0.373", "0.373", once - twice_bits),
    ("GB saved by it for 65B", "1", "about 3", "3", fewer_gb),
):
    course.published(what, PAPER + section, printed, f"{value:.3f}",
                     same_figure(whole, value, other_sizes))  # fmt: skip
in_file = bits["file"][True]
course.checked("bits a weight, in memory and in the file without its tables",
               f"{twice_bits:.3f}, {in_file:.3f}",
               holds(abs(in_file - twice_bits) < 0.001, no="the file stores more"))  # fmt: skip
course.checked("what NF4 costs before training", f"{cost[True]} bits per byte",
               no_worse(cost[True].bits_per_byte, cost[True].error, 0.02, "4 bits are too few here",
                       places=4, unit=" bits per byte", checked=True))  # fmt: skip

# %% [markdown]
# ## Four methods, one step
#
# The four are full fine-tuning, LoRA, QLoRA, and QLoRA without double quantization ("no DQ"). The
# adapters have lesson 8's settings: rank 12 and alpha 128, beside every linear layer. First comes a
# single step of each on the same batch, and the bytes of four things: the **weights**; the
# **gradients** and the **optimizer's** two running means of everything that is trained; and the
# **activations**, all that the forward pass leaves for the backward pass. Then some more steps are
# timed, one of each in turn. (A busy machine makes all of them slower, and the black lines in the
# next section's figure longer.)

# %%
translation = course.limit(task_data(TASKS["translation"]))
french = instruction_data([translation], encoding, base.config.block_size, seed=course.seed)
batch_size = course.choose(quick=2, normal=8)
batch = french.train_batch(0, batch_size).to(course.device)  # [B, T]
dtype = autocast_dtype(course.device)  # of matrix products: bf16 where the processor has it
models = {name: build(name, base, course.seed) for name in FOUR}
memory = {name: one_step(models[name], batch, dtype) for name in FOUR}
rounds = course.choose(quick=2, normal=12, full=50)
ms = step_times(models, french, dtype, rounds, batch_size)
B, T = batch.idx.shape
print(f"weights in float32, products in {dtype}, {B} rows of {T} tokens")
print(step_table(memory, ms))

# %% [markdown]
# Double quantization saves little here, since 4 million weights have few scales. The weights as a
# whole shrink to little more than a third, not to an eighth: the embeddings stay in fp32. And in a
# model this small the activations of a thousand tokens take more memory than the weights, so the
# total shrinks even less. (Where products are in bf16, LoRA also keeps a rounded copy of each
# frozen weight until the backward pass; QLoRA looks it up again.) With billions of weights the
# weights dominate.
#
# Can it be predicted? What each step of the model leaves for the backward pass is known
# (`minigpt/memory/activations.py`), so no model needs to be built. `packed` says that several
# examples share a row (lesson 7), and `n_targets` counts the tokens that the loss looks at, those
# of the answers; both decide what is kept. What exists only for a moment is in neither figure,
# predicted or measured: the gradients of activations, and a weight that has just been looked up. So
# a real GPU needs somewhat more.

# %%
predicted = {}
for name, options in FOUR.items():
    predicted[name] = predict_memory(
        base.config, batch_size=B, context=T, n_targets=batch.n_targets,
        weights="float32", compute=str(dtype).removeprefix("torch."), packed=True,
        # in bf16 a CPU keeps the weights of attention
        stored_attention=dtype == torch.bfloat16 and course.device.type == "cpu", **options,
    )  # fmt: skip
    off = memory[name].total / predicted[name].total - 1
    print(f"{name:<14} predicted {predicted[name].total:>11,} bytes, ", end="")
    print(f"measured {memory[name].total:>11,}: {off:+.2%}")
worst = max(abs(memory[name].total / predicted[name].total - 1) for name in FOUR)
course.checked("memory of a step, predicted and measured", f"{worst:.2%} apart at most",
               holds(worst < 0.01, no="the prediction misses something"))  # fmt: skip

# %% [markdown]
# Does QLoRA quantize "during backpropagation", as the notes say? Count the calls in one step. The
# model has 20 linear layers in 4 bits, so expect 20 look-ups forward. Backward there should be 19:
# nothing before the first layer learns, so nobody asks for the gradient of its input.

# %%
calls = count_conversions(models["QLoRA"].train(), batch, dtype)
print("calls of (quantize, dequantize):", f"forward {calls.forward}, backward {calls.backward}")
course.published(
    "what happens to weights in backpropagation", "notes 003/004", "QLoRA quantizes",
    f"{calls.backward[0]} calls of quantize, {calls.backward[1]} of dequantize",
    holds(calls.backward[0] > 0, published=True, kind=Kind.WRONG,
          no="they were quantized once, before training; each product looks them up again"),
)  # fmt: skip

# %% [markdown]
# ## The published run
#
# The slides show one run with 7 billion weights in bf16 (Raschka 2023, "Practical Tips for
# Finetuning LLMs Using LoRA"). It took 1.85 hours and 21.33 GB with LoRA, and 2.79 hours and 14.18
# GB with QLoRA. So QLoRA was slower. The paper says that it does not make training slower, but
# there it is compared with full fine-tuning, not with LoRA. The published run gave each step a
# single row of Alpaca, a set of short instructions. So the ratio of times is measured with one row
# here, too: looking the weights up takes as long for one row as for many, so it weighs more in a
# short step.

# %%
HOURS, PUBLISHED_GB = {"LoRA": 1.85, "QLoRA": 2.79}, {"LoRA": 21.33, "QLoRA": 14.18}
time_printed, memory_printed = (
    f"{printed['QLoRA'] / printed['LoRA']:.2f}" for printed in (HOURS, PUBLISHED_GB)
)
single = {name: models[name] for name in ("LoRA", "QLoRA")}
one_row_ms = step_times(single, french, dtype, rounds, batch_size=1)
ratio, error = time_ratio(ms["QLoRA"], ms["LoRA"])
one_row, one_row_error = time_ratio(one_row_ms["QLoRA"], one_row_ms["LoRA"])
print(f"{B} rows: {ratio:.2f} ± {error:.2f}, 1 row: {one_row:.2f} ± {one_row_error:.2f}")
course.published(
    "time of a step of one row, QLoRA / LoRA", "Raschka 2023; slides 001/002 (7B)", time_printed,
    f"{one_row:.2f} ± {one_row_error:.2f}",
    same_figure(time_printed, one_row, "model and machine are others; with more rows a step it is "
                f"{ratio:.2f} ± {error:.2f} here", within=0.05),
)  # fmt: skip

# %%
slower, slower_error = time_ratio(ms["QLoRA"], ms["full"])
course.published(
    "time of a step, QLoRA / full", PAPER + "1 (65B)", "not slower", f"{slower:.2f}",
    no_worse(100 * (slower - 1), 100 * slower_error, 5, "looking the weights up takes longer than "
            "not training them saves", places=0, unit="%"),
)  # fmt: skip
memory_ratio = memory["QLoRA"].total / memory["LoRA"].total
of_lora = memory["LoRA"]
course.published(
    "memory of a step, QLoRA / LoRA", "Raschka 2023; slides 001/002 (7B)", memory_printed,
    f"{memory_ratio:.2f}",
    same_figure(memory_printed, memory_ratio, "in this small model the weights are "
                f"{of_lora.weights / of_lora.total:.0%} of LoRA's memory", within=0.02),
)  # fmt: skip

# %% [markdown]
# Now ask the prediction about the published run itself, with its settings: rank 8 beside queries
# and values only, no double quantization, and a step of one row. The longest row decides how much
# memory a run needs, and that of Alpaca has 1,304 tokens (LitGPT, the program that was used, says
# so in its table of resources).

# %%
THEIRS = {  # HALF: weights and products in bf16
    "context": 1304, "r": 8, "target_modules": ("q_proj", "v_proj"), "double_quant": False, **HALF,
}  # fmt: skip
llama = {
    name: predict_memory(LLAMA_2["Llama2-7B"], name.lower(), batch_size=1, **THEIRS)
    for name in PUBLISHED_GB
}
course.save_figure(draw(memory, ms, llama, PUBLISHED_GB), "memory")
for name, published_gb in PUBLISHED_GB.items():
    course.published(
        f"7B in bf16, {name} (GB)", "Raschka 2023; slides 001/002", published_gb,
        f"{llama[name].total / 1e9:.2f} predicted",
        same_figure(str(published_gb), llama[name].total / 1e9, "weights, gradients, optimizer and "
                    "activations come to this; what exists only for a moment is not counted, and "
                    "what else the run held is not reported",
                    kind=Kind.UNKNOWN),
    )  # fmt: skip

# %% [markdown]
# Whatever else was in memory is not reported, and it is not the same in both runs, or their
# difference would come out. What double quantization saves does not depend on it. LitGPT's table
# has that for two models, as the difference of two runs that differ in nothing else:

# %%
saved = (llama["LoRA"].total - llama["QLoRA"].total) / 1e9
published_saved = f"{PUBLISHED_GB['LoRA'] - PUBLISHED_GB['QLoRA']:.2f}"
course.published(
    "7B in bf16, saved by 4 bits (GB)", "Raschka 2023; slides 001/002", published_saved,
    f"{saved:.2f} predicted",
    same_figure(published_saved, saved, "QLoRA's run must have held more beside its weights than "
                "LoRA's", kind=Kind.UNKNOWN),
)  # fmt: skip
for model_name, once, twice in (("7B", 14.14, 13.84), ("13B", 23.14, 22.55)):
    once_gb, twice_gb = (
        predict_memory(LLAMA_2[f"Llama2-{model_name}"], "qlora", batch_size=1,
                       **{**THEIRS, "double_quant": double}).total / 1e9
        for double in (False, True)
    )  # fmt: skip
    course.published(
        f"{model_name}, saved by double quantization (GB)", "LitGPT, table of resources",
        f"{once} - {twice} = {once - twice:.2f}", f"{once_gb - twice_gb:.3f} predicted",
        same_figure(f"{once - twice:.2f}", once_gb - twice_gb, "its blocks are others"),
    )  # fmt: skip

# %% [markdown]
# ## Four methods, one task
#
# Now train all four to translate: the same data in the same order, the same number of steps, and
# for the three with LoRA the same start. As in lesson 8 the learning rate is 0.001 for full
# fine-tuning and 0.002 for LoRA. Under each score stands the first answer.

# %%
n_test = course.choose(quick=4, normal=400)
STEPS = course.choose(quick=3, normal=160, full=840)
validation = list(french.validation_batches(4))
trained, results, loss = {}, {}, {}
for name in FOUR:
    trained[name] = build(name, base, course.seed)
    train(trained[name], french, settings(name, STEPS, course.seed, course.device, batch_size))
    results[name] = evaluate_task(
        trained[name], encoding, translation.task, translation.test[:n_test]
    )
    learned = sum(p.numel() for p in trained[name].parameters() if p.requires_grad)
    loss[name] = losses(trained[name], validation)
    print(f"{name:<14} {STEPS} steps, {learned:>9,} parameters trained, ", end="")
    print(f"validation loss {loss[name].mean:.3f}, {results[name]}")
    print(f"    {results[name].answers[0]}")

# %% [markdown]
# NF4 makes every weight a little wrong, but the adapters are trained beside the wrong weights, and
# can make up for that. A difference of scores has a standard error, from test sentences drawn again
# and again (lesson 6). Up to 2 BLEU, or 0.03 nats, counts as equal here. (That error does not
# include the chance of the seed: try `--seed 1`.)

# %%
claims = (
    ("LoRA", "QLoRA", PAPER + "4", "as good", "the wrong weights cost quality"),
    ("QLoRA, no DQ", "QLoRA", PAPER + "3", "as good", "rounding the scales costs quality"),
    ("full", "QLoRA", "Dettmers et al. 2023, abstract", "as good as in 16 bits",
     f"the same {STEPS} steps bring LoRA, without 4 bits, to {results['LoRA'].score:.1f}"),
)  # fmt: skip
for better, name, source, published, otherwise in claims:
    behind, error = bleu_gain(
        results[better].answers, results[name].answers,
        translation.task, translation.test[:n_test],
    )  # fmt: skip
    course.published(
        f"BLEU: {better}; {name}", source, published,
        f"{results[better].score:.1f}; {results[name].score:.1f}",
        no_worse(behind, error, 2, otherwise, unit=" BLEU", places=1),
    )  # fmt: skip
behind, error = loss["QLoRA"].above(loss["LoRA"])
course.checked(
    "validation loss: LoRA; QLoRA", f"{loss['LoRA'].mean:.3f}; {loss['QLoRA'].mean:.3f}",
    no_worse(behind, error, 0.03, "the wrong weights cost quality", places=3, unit=" nats",
            checked=True),
)  # fmt: skip

# %% [markdown]
# ## Gradient checkpointing
#
# Once the weights are small, most of the memory holds activations. They need not all be kept,
# either: keep only what goes into each block, and compute the block once more when its gradients
# are due (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"). The gradients should
# be the same.

# %%
kept = models["QLoRA"].train()
again = copy.deepcopy(kept)
again.gradient_checkpointing = True


def gradients(model: GPT) -> Tensor:
    """The gradients of all that learns, one after another."""
    model.zero_grad()
    with autocast(course.device, dtype):
        _, batch_loss = model(batch.idx, batch.targets, segments=batch.segments)
    batch_loss.backward()
    learning = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    return torch.cat(learning)


difference = (gradients(again) - gradients(kept)).abs().max().item()
print(f"largest difference of a gradient: {difference}")
course.checked("checkpointing: gradients", f"differ by {difference}", holds(difference < 1e-4))

# %%
checkpointed = one_step(again, batch, dtype)
pair = step_times({"kept": kept, "again": again}, french, dtype, rounds, batch_size)
slower, slower_error = time_ratio(pair["again"], pair["kept"])
before_mb, after_mb = memory["QLoRA"].activations / 1e6, checkpointed.activations / 1e6
print(f"activations: {memory['QLoRA'].activations:,} -> {checkpointed.activations:,} bytes")
print(f"a step takes {slower:.2f} ± {slower_error:.2f} times as long")
course.checked("checkpointing: activations", f"{before_mb:.1f} -> {after_mb:.1f} MB",
               is_more(before_mb / after_mb, at_least=2, checked=True, places=1,
                       unit=" times less", no="they hardly shrink"))  # fmt: skip
course.checked("checkpointing: time of a step", f"{slower:.2f} times",
               is_more(slower - 1, slower_error, checked=True,
                       no="computing twice was not slower here"))  # fmt: skip

# %% [markdown]
# ## The paged optimizer
#
# AdamW's two means are needed once a step. The rest of the time they could lie in the computer's
# main memory instead of the GPU's. In the paper the GPU's driver moves them there when memory runs
# out, and back for the update. Our PagedAdamW always leaves them there, and brings them over piece
# by piece when the update is due. On a CPU there is nothing to move, and it is AdamW:

# %%
target, ends = torch.randn(8, 8).to(course.device), []
for paged in (False, True):
    small_layer = torch.nn.Linear(8, 8, device=course.device)
    torch.nn.init.eye_(small_layer.weight)
    torch.nn.init.zeros_(small_layer.bias)
    optimizer = make_optimizer(small_layer, learning_rate=1e-2, paged=paged)
    for _ in range(100):
        optimizer.zero_grad()
        (small_layer(target) - target.flip(1)).square().mean().backward()
        optimizer.step()
    ends.append(small_layer.weight.detach())
    print(type(optimizer).__name__, ends[-1][0])
paged_off = (ends[0] - ends[1]).abs().max().item()
print(f"after 100 steps they differ by {paged_off:.0e}")
if course.device.type == "cuda":
    course.checked("PagedAdamW and AdamW", f"differ by {paged_off}", holds(paged_off < 1e-6))
else:
    print("(without a GPU that runs CUDA they are one and the same, so this shows nothing)")

# %% [markdown]
# On a GPU it costs time: for each trained number two means of 4 bytes go over, and come back. The
# link to main memory (PCIe 4.0) moves about 25 GB a second in each direction, both at once.

# %%
llama_7b = LLAMA_2["Llama2-7B"]
for method, run in (
    ("full fine-tuning", TrainingRun("full", 1, 1024)),
    ("QLoRA, r = 64", TrainingRun("qlora", 1, 1024, r=64)),
):
    numbers, _ = count_trained(llama_7b, run)
    print(
        f"7B, {method}: {numbers / 1e6:,.0f}M trained, {8 * numbers / 1e9:.1f} GB less on the GPU"
    )
    print(f"    {16 * numbers / 1e9:.1f} GB moved in a step: {8 * numbers / 25e9:.2f} s at least")

# %% [markdown]
# For QLoRA there is little to save: its optimizer is small already. What paging buys there is
# insurance against a step with an unusually long text. Activations grow with the tokens of the row;
# the optimizer's state can make room for them, since it is not needed until they are gone. The
# figure shows 20 steps of a 7B model on a GPU with 16 GB. Their rows have 200 to 700 tokens, but
# one is so long that its step fits only if the state leaves.

# %%
QLORA_64 = {"method": "qlora", "r": 64, **HALF}
at_most = {paged: longest_row(llama_7b, 16, paged, **QLORA_64) for paged in (False, True)}
lengths = [random.Random(course.seed + i).randint(200, 700) for i in range(20)]
lengths[12] = (at_most[False] + at_most[True]) // 2
figure, over = draw_spike(lengths, llama_7b, 16, **QLORA_64)
rows_of = f"{min(lengths)} to {max(lengths):,} tokens"
figure.axes[0].set_title(f"QLoRA of a 7B model: steps with rows of {rows_of}, predicted")
course.save_figure(figure, "spike")
print(f"longest row in 16 GB: {at_most[False]:,} tokens, with paging {at_most[True]:,}")
course.checked("longest row of a 7B model in 16 GB", f"{at_most[False]:,} -> {at_most[True]:,}",
               is_more(at_most[True] - at_most[False], unit=" tokens by paging", places=0,
                       checked=True))  # fmt: skip
print(f"steps that need more than 16 GB unless the optimizer's state leaves: {over} of 20")

# %% [markdown]
# ## Which model on which GPU?
#
# The same arithmetic works for models that nobody trains on a laptop, here with one row of 1,024
# tokens a step. The format in a column's name is that of the pretrained weights, except those in
# NF4; LoRA's matrices are always fp32. The last column is QLoRA with checkpointing. The command
# `minigpt memory --preset gpt2-xl --method qlora --r 12 --weights bfloat16` prints such a sum, too.
# The last line tests the claim in the paper's abstract: 65 billion weights, fine-tuned on a single
# GPU of 48 GB. Rank 64 is the paper's; the row of 512 tokens is our choice. (In the column "full,
# bf16" AdamW's means are bf16, too: 8 bytes a weight. The paper's figure for full fine-tuning,
# which the last line tests as well, needs them in fp32: 12 bytes.)

# %%
print(predicted_gb({"GPT-2 XL": GPTConfig.preset("gpt2-xl"), **LLAMA_2}))
on_one_gpu = predict_memory(
    llama_65b, "qlora", batch_size=1, context=512, r=64, checkpointing=True, **HALF
)
with_paging = on_one_gpu.total - on_one_gpu.optimizer
in_16_bits = (2 + 2 + 4 + 4) * parameters(llama_65b)  # weight, gradient, two means in fp32
print(f"65B in bf16, r = 64, 512 tokens, checkpointed: {on_one_gpu.total / 1e9:.1f} GB, ", end="")
print(f"{with_paging / 1e9:.1f} with a paged optimizer; full fine-tuning {in_16_bits / 1e9:.0f}")
course.published(
    "65B in bf16: QLoRA", "Dettmers et al. 2023, abstract", "a single 48 GB GPU",
    f"{with_paging / 1e9:.1f} GB predicted",
    is_more(48 - with_paging / 1e9, unit=" GB are free", places=1,
            yes="with the optimizer paged", no="one row of 512 tokens does not fit"),
)  # fmt: skip
course.published(
    "65B in bf16: full fine-tuning", PAPER + "1", "more than 780 GB",
    f"{in_16_bits / 1e9:.0f} GB predicted",
    is_more(in_16_bits / 1e9, at_least=780, unit=" GB", places=0,
            yes="12 bytes a weight", no="12 bytes a weight are less"),
)  # fmt: skip

# %% [markdown]
# ## Merging
#
# In lesson 8 a trained adapter was added to the weights, and cost nothing from then on. Here that
# is refused:

# %%
tuned = trained["QLoRA"].eval()
try:
    merge_lora(tuned)
except ValueError as error:
    print(f"ValueError: {error}")

# %% [markdown]
# The sum would have to be rounded to 4 bits again. The levels of NF4 are far apart, and what LoRA
# adds is small. Where it does not carry a weight to the next level, it is lost; where it does, the
# step is longer than what was added. How large is the error of rounding, compared with what LoRA
# adds (the square root of the ratio of their squares), and what if the adapter were weaker? At 100%
# the error is as large as the change itself.

# %%
lost = {}
for factor in (1, 1 / 4, 1 / 16):
    errors = total = 0.0
    for adapted in lora_layers(tuned).values():
        assert isinstance(adapted.base, NF4Linear)
        weight = dequantize_nf4(adapted.base.quantized)
        added = factor * adapted.scaling * (adapted.lora_B @ adapted.lora_A).detach()
        errors += (dequantize_nf4(quantize_nf4(weight + added)) - weight - added).square().sum()
        total += added.square().sum()
    lost[factor] = float(errors / total) ** 0.5
    print(f"adapter x {factor:<7} the error of rounding is {lost[factor]:.0%} of what it adds")

# %% [markdown]
# What can be done instead is to turn the 4 bits of a copy back into plain numbers, and to merge
# there. The copy is as large as the model once was. The next cell merges both ways, and lets the
# model that was rounded again translate. A large error in the weights need not cost any BLEU: see
# what it does here.

# %%
merged = dequantize_model(copy.deepcopy(tuned))
merge_lora(merged)
with torch.no_grad():
    merged_off = (merged(batch.idx)[0] - tuned(batch.idx)[0]).abs().max().item()
rounded = quantize_model(remove_lora(merged))
again = evaluate_task(rounded, encoding, translation.task, translation.test[:n_test])
print(f"merged into numbers: logits differ by {merged_off:.0e}")
print(f"rounded to 4 bits again: BLEU {again.score:.1f} instead of {results['QLoRA'].score:.1f}")
course.checked("merged into dequantized weights: logits", f"differ by {merged_off:.0e}",
               holds(merged_off < 0.05, yes="by rounding alone"))  # fmt: skip
drop, error = bleu_gain(
    results["QLoRA"].answers, again.answers, translation.task, translation.test[:n_test]
)
course.checked("BLEU: merged, rounded to 4 bits again",
               f"{results['QLoRA'].score:.1f} -> {again.score:.1f}",
               is_more(drop, error, unit=" BLEU lost", places=1, checked=True,
                       no="so strong an adapter survives the rounding here"))  # fmt: skip
course.checked(
    "error of rounding / what the adapter adds: as trained, 1/16 of it",
    f"{lost[1]:.0%}, {lost[1 / 16]:.0%}",
    is_more(100 * (lost[1 / 16] - lost[1]), unit=" points", places=0, checked=True,
            yes="in proportion the weaker one suffers more"),
)  # fmt: skip

# %% [markdown]
# ## What to take away
#
# - QLoRA stores the frozen weights in NF4 and trains $A$ and $B$ in plain numbers beside them. The
#   weights are quantized once; every product, forward and backward, dequantizes them again.
# - A frozen weight takes 4.127 bits instead of 16 or 32; looking it up takes time in every step.
# - Weights, gradients, optimizer and activations can all be predicted from a model's shape. In a
#   large model weights dominate; in a small one, or with long texts, activations do.
# - Checkpointing trades time for activations. Paging makes room for a step that is too long.
# - Merge into dequantized weights. Rounding the sum to 4 bits again adds an error, and the weaker
#   the adapter, the larger that error is in proportion. Whether the answers suffer, the table says.

# %%
course.finish()

# %% [markdown]
# Your turn: a frozen layer that keeps nothing. `minigpt exercise start 12` writes the stubs, and
# `minigpt exercise check 12` says what your code computes. Next comes lesson 13: soft prompts, and
# all methods of fine-tuning in one table.
