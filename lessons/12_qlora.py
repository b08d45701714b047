# %% [markdown]
# # Lesson 12: QLoRA
#
# LoRA trains little, but the frozen weights still fill the memory. Lesson 11 stored weights in 4
# bits. Together they are QLoRA: a base in NF4 that never changes, and LoRA's matrices beside it
# that learn. Here you build one such layer, train a model by four methods with the same data, count
# every byte of a step, and work out which model could be trained on which GPU.
#
# Run it: `python lessons/12_qlora.py`, or `minigpt lesson 12`. Its code is
# `minigpt/qlora/model.py`, `minigpt/memory/predicted.py` and `minigpt/optim/paged_adamw.py`.
# Source: Dettmers et al. 2023, "QLoRA" (arXiv 2305.14314).

# %%
import copy
import sys
from collections.abc import Callable
from dataclasses import replace

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson

course = lesson.start(12, "QLoRA")

import torch
from torch import Tensor
from torch.nn import functional as F

from kernels import dequantize_nf4, nf4_linear, quantize_nf4
from lessons.experiments.finetuning_methods import build, settings
from lessons.experiments.nf4_file_size import bits_in_file
from lessons.experiments.qlora_memory import (
    FOUR,
    HALF,
    as_good,
    draw,
    median_ms,
    one_step,
    predicted_gb,
    step_table,
)
from lessons.held_out import HeldOut
from minigpt import GPTConfig, load_pretrained
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
from minigpt.training.distributed import SINGLE
from minigpt.training.loop import train
from minigpt.training.loss import autocast, evaluate_loss

torch.set_printoptions(precision=3, sci_mode=False, linewidth=100)

# %% [markdown]
# ## One layer
#
# A weight of 2 x 64: two blocks, so two scales. What is left of it are codes, one for each number,
# and the scales. To compute, the layer looks the codes up: $W \approx$ level x scale.

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
# Rounding has no useful gradient, but none is needed: the codes are not trained. The layer is
# $y = W x$ with a constant $W$, so the gradient goes through it to $x$, as $W^T$ times that of $y$,
# and from there to earlier layers. LoRA beside it learns as ever:
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

# %% [markdown]
# The product needs the weight in full, twice: once forward, once backward. Must it be kept from one
# to the other? Autograd would do that if we dequantized by hand and multiplied. `nf4_linear` keeps
# only the codes, which are there anyway, and looks them up once more: time for memory.

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

# %% [markdown]
# ## A model in 4 bits
#
# All linear layers of the blocks. The embeddings stay: they are tables, not matrix products, and
# the LM head is the same matrix as the token embedding.

# %%
base, encoding = load_pretrained("base")
base.to(course.device)
base.set_dropout(0.0)
held_out = HeldOut(
    encoding, course.choose(quick=2_000, normal=20_000), course.seed, course.n_documents
)
exact = held_out.bits_per_byte(base)
print(f"base model: {exact:.4f} bits per byte of Python's text")
bits: dict[str, dict[bool, float]] = {"memory": {}, "file": {}, "tables": {}, "cost": {}}
for twice in (False, True):
    small = quantize_model(copy.deepcopy(base), double_quant=twice)
    bits["memory"][twice] = frozen_bits(small)
    bits["cost"][twice] = held_out.bits_per_byte(small) - exact
    in_file = bits_in_file(small, encoding, course.folder / "base-nf4")
    bits["file"][twice], bits["tables"][twice] = in_file
    print(f"scales of {8 if twice else 32:>2} bits: {bits['cost'][twice]:+.4f} bits per byte")
    print(f"    {bits['memory'][twice]:.3f} bits a weight in memory, ", end="")
    print(f"{bits['file'][twice]:.3f} in the file, and {bits['tables'][twice]:.3f} for its tables")
others = sum(p.numel() for p in small.parameters())
n = sum(p.numel() for p in base.parameters()) - others
print(f"{n:,} weights in 4 bits; {others:,} numbers stay in fp32: embeddings, norms, biases")

# %% [markdown]
# ## Four methods, one step
#
# Full fine-tuning, LoRA, QLoRA, and QLoRA without double quantization. First a single step of each
# on the same batch, and every byte of it: the **weights**; **gradients** and the **optimizer's**
# two running means, for what is trained; and **activations**, all that the forward pass leaves for
# the backward pass. Then some more steps, one of each in turn, for the time.

# %%
translation = course.limit(task_data(TASKS["translation"]))
french = instruction_data([translation], encoding, base.config.block_size, seed=course.seed)
batch_size = course.choose(quick=2, normal=8)
batch = french.train_batch(0, batch_size).to(course.device)  # [B, T]
dtype = autocast_dtype(course.device)  # of matrix products: bf16 where the processor has it
models = {name: build(name, base, course.seed) for name in FOUR}
memory = {name: one_step(models[name], batch, dtype) for name in FOUR}
rounds = course.choose(quick=2, normal=12, full=50)
ms = median_ms(models, french, dtype, rounds, batch_size)
B, T = batch.idx.shape
print(f"weights in float32, products in {dtype}, {B} rows of {T} tokens")
print(step_table(memory, ms))

# %% [markdown]
# Double quantization saves little here, since 4 million weights have few scales. The weights as a
# whole shrink to a third, not to an eighth: the embeddings stay in fp32. And in a model this small
# the activations of a thousand tokens outweigh everything, so the total shrinks even less. (Where
# products are in bf16, LoRA also keeps a rounded copy of each frozen weight until the backward
# pass; QLoRA looks it up again.) With billions of weights it is the other way round.
#
# Can it be predicted? What each step of the model leaves for the backward pass is known
# (`minigpt/memory/activations.py`), so no model needs to be built:

# %%
predicted = {}
for name, options in FOUR.items():
    predicted[name] = predict_memory(
        base.config, batch_size=B, context=T, n_targets=batch.n_targets,
        weights="float32", compute=str(dtype).removeprefix("torch."), packed=True,
        stored_attention=dtype == torch.bfloat16 and course.device.type == "cpu", **options,
    )  # fmt: skip
    off = memory[name].total / predicted[name].total - 1
    print(f"{name:<14} predicted {predicted[name].total:>11,} bytes, ", end="")
    print(f"measured {memory[name].total:>11,}: {off:+.2%}")
worst = max(abs(memory[name].total / predicted[name].total - 1) for name in FOUR)

# %% [markdown]
# So ask it about the model of the published run, with 7 billion weights in bf16. That run
# took 1.85 hours and 21.33 GB with LoRA, 2.79 hours and 14.18 GB with QLoRA. (How many tokens a
# step had is not told; the figure takes one row of 1,024.)

# %%
PUBLISHED_GB = {"LoRA": 21.33, "QLoRA": 14.18}
llama = {
    name: predict_memory(LLAMA_2["Llama2-7B"], batch_size=1, context=1024, **HALF, **options)
    for name, options in FOUR.items()
}
course.save_figure(draw(memory, ms, llama, PUBLISHED_GB), "memory")

# %% [markdown]
# ## Four methods, one task
#
# Now train all four to translate: the same data in the same order, the same number of steps, and
# for the three with LoRA the same start.

# %%
n_test = course.choose(quick=4, normal=500)
STEPS = course.choose(quick=3, normal=280, full=840)
trained, bleu, loss = {}, {}, {}
for name in FOUR:
    trained[name] = build(name, base, course.seed)
    train(trained[name], french, settings(name, STEPS, course.seed, course.device, batch_size))
    answers = evaluate_task(trained[name], encoding, translation.task, translation.test[:n_test])
    bleu[name] = answers.score
    learnt = sum(p.numel() for p in trained[name].parameters() if p.requires_grad)
    alone = replace(SINGLE, device=course.device)
    loss[name] = evaluate_loss(trained[name], french.validation_batches(8), alone)
    forgot = held_out.bits_per_byte(trained[name])
    print(f"{name:<14} {STEPS} steps, {learnt:>9,} parameters trained, ", end="")
    print(f"validation loss {loss[name]:.3f}, BLEU {bleu[name]:.1f}, {forgot:.3f} bits per byte")
    print(f"    {answers.answers[0]}")

# %% [markdown]
# NF4 makes every weight a little wrong, but the adapters are trained beside the wrong weights, and
# can make up for that. A twentieth of the parameters learns more slowly than all of them: in lesson
# 8, LoRA gets about twice as many steps as full fine-tuning.
#
# ## Gradient checkpointing
#
# Once the weights are small, activations are what is left. They can be forgotten too: keep only
# what goes into each block, and compute the block once more when its gradients are due.

# %%
model = models["QLoRA"].train()
gradients = {}
for checkpointing in (False, True):
    model.gradient_checkpointing = checkpointing
    model.zero_grad()
    with autocast(course.device, dtype):
        _, batch_loss = model(batch.idx, batch.targets, segments=batch.segments)
    batch_loss.backward()
    learning = [p.grad for p in model.parameters() if p.grad is not None]
    gradients[checkpointing] = torch.cat([gradient.flatten() for gradient in learning])
difference = (gradients[True] - gradients[False]).abs().max().item()
checkpointed = one_step(model, batch, dtype)
pair = median_ms(
    {"kept": models["QLoRA, no DQ"], "again": model}, french, dtype, rounds, batch_size
)
slower = pair["again"] / pair["kept"]
print(f"activations: {memory['QLoRA'].activations:,} -> {checkpointed.activations:,} bytes")
print(f"largest difference of a gradient: {difference}; a step takes {slower:.2f} times as long")

# %% [markdown]
# ## The paged optimizer
#
# AdamW's two means are needed once a step. The rest of the time they could lie in the computer's
# main memory instead of the GPU's, and be brought over piece by piece when the update is due. On a
# CPU there is nothing to move, and PagedAdamW is AdamW:

# %%
target, ends = torch.randn(8, 8), []
for paged in (False, True):
    small_layer = torch.nn.Linear(8, 8)
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

# %% [markdown]
# On a GPU it costs time: for each trained number two means of 4 bytes go over, and come back. A bus
# that moves 25 GB in a second each way (PCIe 4.0) does both at once.

# %%
llama_7b = LLAMA_2["Llama2-7B"]
for method, run in (
    ("full fine-tuning", TrainingRun("full", 1, 1024)),
    ("QLoRA, r = 64", TrainingRun("qlora", 1, 1024, r=64)),
):
    numbers, _ = count_trained(llama_7b, run)
    print(
        f"7B, {method}: {numbers / 1e6:,.0f}M trained, {8 * numbers / 1e9:.1f} GB less on the GPU, "
    )
    print(f"    {16 * numbers / 1e9:.1f} GB moved in a step: {8 * numbers / 25e9:.2f} s at least")

# %% [markdown]
# For QLoRA there is little to save: its optimizer is small already. What paging buys there is
# insurance against a step with an unusually long text.
#
# ## Which model on which GPU?
#
# The same arithmetic for models that nobody trains on a laptop, one row of 1,024 tokens a step. The
# format is that of all weights but those in NF4 and LoRA's, which are always fp32. The command
# `minigpt memory --preset gpt2-xl --method qlora --r 12 --weights bfloat16` does it, too. The last
# line is the claim of the paper's first sentence: 65 billion weights, fine-tuned on a single GPU of
# 48 GB.

# %%
print(predicted_gb({"GPT-2 XL": GPTConfig.preset("gpt2-xl"), **LLAMA_2}))
llama_65b = LlamaShape(dim=8192, n_layer=80, ffn=22_016, n_head=64, n_kv_head=64)
on_one_gpu = predict_memory(
    llama_65b, "qlora", batch_size=1, context=512, r=64, checkpointing=True, **HALF
)
with_paging = on_one_gpu.total - on_one_gpu.optimizer
in_16_bits = (2 + 2 + 4 + 4) * parameters(llama_65b)  # weight, gradient, two means in fp32
print(f"65B in bf16, r = 64, 512 tokens, checkpointed: {on_one_gpu.total / 1e9:.1f} GB, ", end="")
print(f"{with_paging / 1e9:.1f} with a paged optimizer; full fine-tuning {in_16_bits / 1e9:.0f}")

# %% [markdown]
# ## Merging
#
# LoRA could be added to the weights once trained. Here that is refused:

# %%
tuned = trained["QLoRA"].eval()
try:
    merge_lora(tuned)
except ValueError as error:
    print(f"ValueError: {error}")

# %% [markdown]
# Adding it means rounding the sum to 4 bits again. Between two levels of NF4 there is much room,
# and what LoRA adds is small: where it does not reach the next level, it is gone; where it does,
# the step is too long. How much of it is lost, and what if the adapter were weaker? An error as
# large as what was added, 100%, means that nothing of it is left.

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
# Our adapter is a strong one: a small model has much to learn here. A large model needs less, and
# would lose more. What can be done: put the 4 bits back into plain numbers, in a copy, and merge
# there. The copy is as large as the model once was.

# %%
merged = dequantize_model(copy.deepcopy(tuned))
merge_lora(merged)
with torch.no_grad():
    merged_off = (merged(batch.idx)[0] - tuned(batch.idx)[0]).abs().max().item()
rounded = quantize_model(remove_lora(merged))
again = evaluate_task(rounded, encoding, translation.task, translation.test[:n_test]).score
print(f"merged into numbers: logits differ by {merged_off:.0e}")
print(f"rounded to 4 bits again: BLEU {again:.1f} instead of {bleu['QLoRA']:.1f}")

# %%
time_ratio = ms["QLoRA"] / ms["LoRA"]
memory_ratio = memory["QLoRA"].total / memory["LoRA"].total
activation_share = memory["LoRA"].activations / memory["LoRA"].total
saved = (llama["LoRA"].total - llama["QLoRA"].total) / 1e9
published_saved = PUBLISHED_GB["LoRA"] - PUBLISHED_GB["QLoRA"]


def verdict(same: bool, remark: str = "", why_not: str = "") -> str:
    """ "reproduced", or "differs" and why."""
    return f"reproduced{remark}" if same else f"differs{why_not}"


for what, published, found, judgement in (
    ("bits a weight, in memory", "4.5 -> 4.127",
     f"{bits['memory'][False]:.3f} -> {bits['memory'][True]:.3f}",
     verdict(abs(bits["memory"][True] - 4.127) < 2e-3)),
    ("bits a weight, in the file", "4.127", f"{bits['file'][True]:.3f}",
     verdict(abs(bits["file"][True] - 4.127) < 2e-3,
             f"; its tables are {bits['tables'][True]:.3f} more, 1.3 KB for each layer")),
    ("quality lost by NF4", "none", f"{bits['cost'][True]:+.4f} bits per byte",
     verdict(bits["cost"][True] < 0.02, ", before any training")),
    ("BLEU: LoRA, QLoRA", "as good", f"{bleu['LoRA']:.1f}, {bleu['QLoRA']:.1f}",
     as_good(bleu["LoRA"] - bleu["QLoRA"], 1)),
    ("validation loss: LoRA, QLoRA", "as low", f"{loss['LoRA']:.3f}, {loss['QLoRA']:.3f}",
     as_good(loss["QLoRA"] / loss["LoRA"] - 1, 0.03, "{:.1%}")),
    ("BLEU: QLoRA without DQ, with it", "as good",
     f"{bleu['QLoRA, no DQ']:.1f}, {bleu['QLoRA']:.1f}",
     as_good(bleu["QLoRA, no DQ"] - bleu["QLoRA"], 1)),
    (f"BLEU: full fine-tuning, QLoRA, {STEPS} steps each", "as good",
     f"{bleu['full']:.1f}, {bleu['QLoRA']:.1f}",
     as_good(bleu["full"] - bleu["QLoRA"], 5)
     + f"; LoRA without 4 bits gets {bleu['LoRA']:.1f}"),
    ("time of a step, QLoRA / LoRA", "2.79 / 1.85 h = 1.51", f"{time_ratio:.2f}",
     verdict(abs(time_ratio - 1.51) < 0.15, "", f": looking weights up takes "
             f"{ms['QLoRA'] - ms['LoRA']:.0f} ms a step more here, whatever the number of tokens")),
    ("memory of a step, QLoRA / LoRA", "14.18 / 21.33 GB = 0.66", f"{memory_ratio:.2f}",
     verdict(abs(memory_ratio - 0.66) < 0.05, "",
             f": {activation_share:.0%} of LoRA's memory are activations here")),
    ("saved by 4 bits, 7B in bf16", f"{published_saved:.2f} GB", f"{saved:.2f} GB predicted",
     verdict(abs(saved - published_saved) < 1, "", ": the weights alone shrink by as much; what "
             "else was in memory in that run is not known")),
    ("memory, predicted and measured", "(ours)", f"{worst:.2%} off at most",
     "the prediction holds" if worst < 0.01 else "the prediction fails"),
    ("checkpointing: gradients", "the same", f"differ by {difference}",
     verdict(difference < 1e-4, f"; a step takes {slower:.2f} times as long")),
    ("checkpointing: activations", "far less", f"{memory['QLoRA'].activations / 1e6:.1f} -> "
     f"{checkpointed.activations / 1e6:.1f} MB",
     verdict(2 * checkpointed.activations < memory["QLoRA"].activations)),
    ("PagedAdamW and AdamW", "the same", f"differ by {paged_off}", verdict(paged_off < 1e-6)),
    ("65B in bf16: QLoRA", "under 48 GB", f"{with_paging / 1e9:.1f} GB predicted",
     ("agrees" if with_paging < 48e9 else "differs")
     + f": so much with a paged optimizer, else {on_one_gpu.total / 1e9:.1f}"),
    ("65B in bf16: full fine-tuning", "over 780 GB", f"{in_16_bits / 1e9:.0f} GB predicted",
     ("agrees" if in_16_bits > 780e9 else "differs") + ": 12 bytes a weight, and activations"),
    ("BLEU: merged, rounded again", "(ours)", f"{bleu['QLoRA']:.1f} -> {again:.1f}",
     f"rounding is off by {lost[1]:.0%} of what LoRA adds; by {lost[1 / 16]:.0%} if that is weak"),
):  # fmt: skip
    course.compare(what, published, found, judgement)
course.finish()

# %% [markdown]
# Now you: a frozen layer that keeps nothing. `minigpt exercise start 12` writes the stubs, and
# `minigpt exercise check 12` says what your code computes.
