# %% [markdown]
# # Lesson 10: NF4
#
# With 4 bits a weight can take 16 values. Which 16? Lesson 9 took equal steps, but weights are not
# spread out equally: most are small. NF4, the format of QLoRA (Dettmers et al. 2023), puts its
# levels where the weights are. Here you derive the 16 levels to the last bit, quantize a tensor by
# hand, measure what is lost on a real model, follow two GPU kernels line by line without a GPU, and
# then look at what the compiler made of them.
#
# After this lesson you can
#
# - say what quantiles are, and why NF4 puts its levels near them;
# - derive all 16 levels, and explain what is wrong with the formula in the paper;
# - quantize and dequantize a block of weights by hand;
# - compare 4-bit formats, by the error of the weights and by what a model loses;
# - read a short Triton kernel, and say how the fast one looks up a level.
#
# You need lesson 9 (absmax, blocks, RMS, standard errors of differences) and lesson 3 (linear
# layers, perplexity). The part about kernels needs no GPU, but it needs Linux, because Triton has
# wheels for no other system. Take about 75 minutes, and another 60 for the exercises; the script
# itself needs one at most on a laptop.
#
# Run it: `python lessons/10_nf4.py`, or `minigpt lesson 10`. Its code is the package `kernels`:
# `nf4.py`, `reference.py`, `gpu/quantize.py`, `gpu/dequantize.py` and `machine_code/`.
#
# Terms can be looked up in the [glossary](GLOSSARY.md).

# %%
import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson

course = lesson.start(10, "NF4")

# %%
os.environ["TRITON_INTERPRET"] = "1"  # Triton reads it when it is imported: see "The kernels"
import numpy as np
import torch
from torch import Tensor

import lessons.experiments.nf4_errors as nf4_errors
from kernels import dequantize_nf4, quantize_nf4
from kernels.backend import has_triton
from kernels.nf4 import LEVELS, THRESHOLDS
from kernels.reference import block_absmax, encode_nf4, normalise, unpack
from lessons.experiments.format_verdicts import as_expected
from lessons.held_out import HeldOut
from lessons.verdicts import Kind, error_of_mean, holds, is_more, same_figure
from minigpt import GPT, load_gpt2, load_pretrained
from minigpt.quantization import fake_quantize, layers_to_quantize

torch.set_printoptions(precision=3, sci_mode=False, linewidth=110)
BLOCK = 64  # weights in a block, as in the paper
NO_TRITON = "Left out, as Triton is not installed (there are wheels for Linux only)."
QLORA = "Dettmers et al. 2023 (QLoRA), "

# %% [markdown]
# ## Equally full buckets
#
# Cut the area under the normal curve into 16 buckets of equal area: narrow ones in the middle,
# where numbers crowd, and wide ones outside. A number falls into each bucket equally often, so no
# code is wasted. With 16 buckets of equal *width*, from the smallest number to the largest, the
# outer codes would hardly ever be used. (Whether equally full buckets also make small errors is
# another question, which we measure below.)
#
# The **quantile function** Q finds the cuts: a share p of all numbers lies below Q(p).

# %%
Q = torch.special.ndtri  # of the normal distribution with mean 0 and deviation 1
cuts = Q(torch.arange(1, 16, dtype=torch.float64) / 16)  # [15]
course.save_figure(nf4_errors.draw_buckets(cuts), "buckets")

# %% [markdown]
# How much does a code say? One that comes up with probability p says $-\log_2 p$ bits (lesson 3:
# the rarer, the more surprising). The mean over all codes, $-\sum p \log_2 p$, is the **entropy**.
# It is 4 bits if all 16 codes are equally frequent, and less otherwise.


# %%
def entropy(share: Tensor) -> float:
    """Returns the bits that a code says on average, from the share [16] of each."""
    return torch.special.entr(share).sum().item() / np.log(2)


numbers = torch.randn(course.choose(2**18, 2**22))  # [n]
equal_width = torch.linspace(numbers.min(), numbers.max(), 17)[1:-1]  # [15]
says = {}
for name, borders in (("equal area", cuts), ("equal width", equal_width)):
    share = torch.bincount(torch.bucketize(numbers, borders), minlength=16) / len(numbers)  # [16]
    says[name] = entropy(share)
    print(f"{name:<11} {100 * share.min():.4f}% to {100 * share.max():.4f}% in a bucket: ", end="")
    print(f"a code says {says[name]:.2f} bits")
course.checked(
    "16 buckets of equal area: bits that a code says",
    "{equal area:.2f}, with equal width {equal width:.2f}".format(**says),
    holds(says["equal area"] > 3.999, no="the buckets are not equally full"),
)

# %% [markdown]
# ## From buckets to levels
#
# Each bucket needs one number that stands for it. The middle of bucket i, by area, is Q((i + 1/2) /
# 16). Divide by the largest, so that the levels go from -1 to 1. This has a flaw: **0 is not among
# the levels**, so a weight that is exactly 0 (padding, pruned weights) would come back as another
# number.

# %%
middles = Q((torch.arange(16, dtype=torch.float64) + 0.5) / 16)
middles /= middles.max()
print(f"middles of 16 buckets: {middles.float()}")
course.published(
    "16 symmetric quantiles leave out 0", QLORA + "section 3", "no exact 0",
    f"nearest to 0: {middles.abs().min():.3f} of the largest",
    is_more(middles.abs().min().item(), places=3, yes="none of them is 0", no="0 is a level"),
)  # fmt: skip

# %% [markdown]
# The paper prints another formula, equation 4, which averages the two ends of a bucket. With 4 bits
# it cuts the area into $2^4 + 1 = 17$ buckets. Put in the numbers and see: the outermost buckets
# have no outer end.
#
# $$q_i = \tfrac12 \left( Q\!\left(\tfrac{i}{17}\right) + Q\!\left(\tfrac{i+1}{17}\right) \right)$$

# %%
i = torch.arange(17, dtype=torch.float64)
equation_4 = (Q(i / 17) + Q((i + 1) / 17)) / 2  # [17]
print(f"equation 4, i = 0 to 16: {equation_4.float()}")
finite = [equation_4[start : start + 16].isfinite().all().item() for start in (0, 1)]
course.published(
    "QLoRA, equation 4", QLORA + "equation 4", "16 levels",
    f"q_0 = {equation_4[0]}, q_16 = {equation_4[16]}",
    holds(any(finite), published=True, kind=Kind.WRONG,
          no=f"read literally it gives {len(i)} values, of which {equation_4.isinf().sum()} are "
             "infinite; any 16 in a row hold an infinite one"),
)  # fmt: skip

# %% [markdown]
# Here is what the authors' library, bitsandbytes, does instead. Keep 0 for itself, and spend the
# other 15 levels on the two sides: 8 above and 7 below. On each side go in equal steps from an
# outermost p = o to p = 1/2. With 16 buckets the middle of the last one is at p = 1 - 1/32, with 15
# at 1 - 1/30, and o is the mean of the two, which their program writes as 0.9677083.

# %%
print(f"1 - (1/32 + 1/30) / 2 = {1 - (1 / 32 + 1 / 30) / 2:.7f}")
o = 0.9677083
# In fp32, as there: it decides the last bits. Without 1/2, as Q(1/2) = 0 is there already.
p_above = torch.linspace(o, 0.5, 9)[:-1]  # [8]
p_below = torch.linspace(o, 0.5, 8)[:-1]  # [7]
above, below = Q(p_above.double()), -Q(p_below.double())
levels = torch.cat([below, torch.zeros(1), above.flip(0)]).float()  # [16]
print(f"p above 0: {p_above}\nQ(p)     : {above.float()}\nand below: {below.float()}")
levels /= levels.max()

# %% [markdown]
# Appendix E of the paper lists the 16 values. Compare all 32 bits of each.

# %%
PRINTED = """
-1.0 -0.6961928009986877 -0.5250730514526367 -0.39491748809814453 -0.28444138169288635
-0.18477343022823334 -0.09105003625154495 0.0 0.07958029955625534 0.16093020141124725
0.24611230194568634 0.33791524171829224 0.44070982933044434 0.5626170039176941
0.7229568362236023 1.0"""
printed = np.array(PRINTED.split(), dtype=np.float32)  # [16]
same = (levels.numpy() == printed).tolist()
for i in range(16):
    bits = f"{levels.numpy().view(np.uint32)[i]:08x}"
    print(f"code {i:2}  {levels[i]:+.7f}  {bits}  {'equal' if same[i] else 'differs'}")
course.published(
    "the 16 levels of NF4", QLORA + "appendix E", "-1.0, -0.6961928..., ..., 1.0",
    f"{sum(same)} of 16 equal in all 32 bits",
    holds(all(same), published=True, no="the derivation gives other numbers"),
)  # fmt: skip
same = torch.equal(levels, LEVELS)
course.checked("levels, by hand and in the library",
               f"{(levels == LEVELS).sum()} of 16 equal", holds(same))  # fmt: skip

# %% [markdown]
# ## A tensor by hand
#
# Weights do not have a standard deviation of 1, so each block of them is scaled: multiply by 1 /
# absmax, and all are between -1 and 1. A block's absmax is also called its **scale**; the paper
# says quantization constant. The code of a number is how many of the 15 **thresholds** lie below
# it. The thresholds are the middles between neighbouring levels (four of them are off in the last
# bit, because the GPU code of bitsandbytes writes them in decimals, and we follow it). Two codes
# fit into a byte. It is printed in hexadecimal: the first digit is the first code, and a to f stand
# for 10 to 15. Blocks run over the flat tensor, so here a block of 32 is two rows of 16.

# %%
weight = torch.randn(4, 16) * torch.tensor([[0.02], [0.02], [0.5], [0.5]])  # [4, 16]
blocks = weight.view(-1, 32)  # [2, 32]
absmax = blocks.abs().amax(dim=1)  # [2]
y = blocks * (1 / absmax)[:, None]  # [2, 32]
code = (y[:, :, None] > THRESHOLDS).sum(dim=2)  # [2, 32, 15] -> [2, 32]
packed = 16 * code[:, 0::2] + code[:, 1::2]  # [2, 16]
for j in range(2):
    print(f"block {j}, absmax {absmax[j]:.4f}; its first 8 of 32 weights:")
    print(f"  weight     {blocks[j, :8]}\n  normalised {y[j, :8]}\n  code       {code[j, :8]}")
    print("  bytes      " + "     ".join(f"{byte:02x}" for byte in packed[j, :4].tolist()))

# %% [markdown]
# And back: take the bytes apart, look up each code's level, multiply by the block's absmax.

# %%
unpacked = torch.stack([packed // 16, packed % 16], dim=2).view(2, 32)
back = (LEVELS[unpacked] * absmax[:, None]).view(4, 16)
print(f"back again\n  {back.flatten()[:8]}\n  {back.flatten()[32:40]}")
q = quantize_nf4(weight, block_size=32, double_quant=False)
same_bytes = torch.equal(q.codes, packed.flatten().to(torch.uint8))
same_numbers = torch.equal(dequantize_nf4(q), back)
course.checked(
    "64 weights by hand and by the library",
    f"{weight.nbytes} bytes -> {q.nbytes}; bytes {'equal' if same_bytes else 'differ'}, "
    f"numbers {'equal' if same_numbers else 'differ'}",
    holds(same_bytes and same_numbers),
)

# %% [markdown]
# ## Real weights
#
# Take the weights of all linear layers of the base model (lesson 4) as one long row of numbers, in
# blocks of 64, and beside them numbers from N(0, 1), the normal distribution with mean 0 and
# deviation 1. If you have fetched GPT-2 (`minigpt data fetch gpt2`), it comes along. How often is
# each of the 16 levels used?

# %%
base, encoding = load_pretrained("base")


def linear_weights(model: GPT) -> Tensor:
    """Returns the weights of all linear layers but the head, flat; some of them with --quick."""
    layers = layers_to_quantize(model, 4, BLOCK, ("lm_head",))
    weights = torch.cat([layer.weight.detach().flatten() for layer in layers])
    return weights[: course.choose(2**18, None)]


samples = {"N(0, 1)": numbers, "base model": linear_weights(base)}
if Path("runs/data/gpt2/model.safetensors").is_file():
    samples["GPT-2"] = linear_weights(load_gpt2("gpt2"))
used = {}
for name, sample in samples.items():
    q = quantize_nf4(sample, BLOCK, double_quant=False)
    count = torch.bincount(unpack(q.codes, q.numel).int(), minlength=16)
    used[name] = count / count.sum()  # [16]
    print(f"{name}: {len(sample):,} numbers, each level in % of them")
    print("  " + " ".join(f"{100 * part:.1f}" for part in used[name].tolist()), end="")
    print(f"   a code says {entropy(used[name]):.3f} bits")
y = normalise(samples["base model"], block_absmax(samples["base model"], BLOCK), BLOCK)
course.save_figure(nf4_errors.draw_levels(y, used, BLOCK), "levels")

# %% [markdown]
# The peaks at both ends are the absmax of each block, which comes back exactly. Does each level get
# an equal number of values, as the paper has it? Even on one fixed curve this holds only roughly: 0
# has a place of its own, the steps on its two sides differ, and the thresholds lie half way in
# value, not in area. And blocks are scaled by their largest number, which is not always at the same
# place of the curve (Yoshida 2023, "NF4 Isn't Information Theoretically Optimal (and that's
# Good)").

# %%
percent = 100 * used["N(0, 1)"]  # [16]
furthest = percent[(percent - 6.25).abs().argmax()].item()
largest = block_absmax(numbers, BLOCK).mean()
# On a fixed curve, with the outermost level where it was derived, the shares would be:
inner = torch.special.ndtr(THRESHOLDS * above[0])  # [15]
ideal = 100 * torch.cat([torch.zeros(1), inner, torch.ones(1)]).diff()  # [16]
course.published(
    "NF4: share of numbers at each level, in %", QLORA + "section 3", "equal, so 6.25",
    f"{percent.min():.1f} to {percent.max():.1f}",
    same_figure("6.25", furthest, within=0.1, otherwise=(
        f"blocks are scaled by their largest number, at {largest:.2f} deviations on average; with "
        f"the outer level fixed at {above[0]:.2f}, where it was derived, the shares would be "
        f"{ideal.min():.1f} to {ideal.max():.1f}")),
)  # fmt: skip

# %% [markdown]
# And what does one large weight do to its block? The lesson's page in the book
# (`runs/book/lesson-10.html`; `minigpt lesson 10` writes it) has 64 weights of the base model. Drag
# one far out and watch the others: their levels spread with it, and their errors grow. Then take
# smaller blocks (the library itself has none below 32): only the block with the outlier suffers,
# but more scales are stored.

# %%
play = {"weights": samples["base model"][:BLOCK].tolist()}
course.playground("nf4", play | {"levels": LEVELS.tolist(), "thresholds": THRESHOLDS.tolist()})

# %% [markdown]
# ## What is lost
#
# So count what matters, the error. Two rivals have 4 bits, too: **int4**, 15 levels at equal
# distances as in lesson 9, and **FP4** (E2M1), a tiny floating-point number: with 2 bits of
# exponent and 1 of mantissa it can be 0, 0.5, 1, 1.5, 2, 3, 4 or 6, with either sign. A simple
# measure is the **mean absolute error**, another the RMS error of lesson 9, which weighs large
# errors more. Both are given in standard deviations of the weights.

# %%
formats: dict[str, Callable[[Tensor], Tensor]] = {
    "int4": lambda x: fake_quantize(x, 4, BLOCK),
    "FP4": lambda x: nf4_errors.round_to_fp4(x, BLOCK),
    "NF4": lambda x: dequantize_nf4(quantize_nf4(x, BLOCK, double_quant=False)),
}
errors: dict[tuple[str, str], np.ndarray] = {}  # [2, blocks]: absolute and squared
print(f"{'':<12}" + "".join(f"{name:>18}" for name in formats) + "    mean absolute / RMS error")
for name, sample in samples.items():
    for format, rounded in formats.items():
        errors[name, format] = nf4_errors.block_errors(sample, rounded(sample), BLOCK)
    means = [errors[name, format].mean(axis=1) for format in formats]
    cells = [f"{absolute:.4f} / {squared**0.5:.4f}" for absolute, squared in means]
    print(f"{name:<12}" + "".join(f"{cell:>18}" for cell in cells) + "    in standard deviations")

# %% [markdown]
# For NF4 and normal numbers the first of these can be foretold: by an integral over what the
# largest of 64 normal numbers may be, and the others below it (`expected_error_of_nf4` in
# `lessons/experiments/nf4_errors.py`).

# %%
absolute = errors["N(0, 1)", "NF4"][0]  # [blocks]
expected = nf4_errors.expected_error_of_nf4(BLOCK)
course.checked(
    "NF4, blocks of 64 of N(0, 1): mean absolute error",
    f"{absolute.mean():.4f} (by integration {expected:.4f})",
    as_expected(float(absolute.mean()), error_of_mean(absolute), expected),
)
for rival in ("int4", "FP4"):
    for row, measure in enumerate(("absolute", "squared")):
        ours, theirs = errors["base model", "NF4"][row], errors["base model", rival][row]
        course.checked(
            f"base model's weights, mean {measure} error: NF4 below {rival}",
            f"{ours.mean():.5f} against {theirs.mean():.5f}",
            is_more(float((theirs - ours).mean()), error_of_mean(theirs - ours), places=5,
                    no="NF4's is larger", checked=True),
        )  # fmt: skip

# %% [markdown]
# But small errors of weights are only a means. What does the *model* lose, in bits per byte of text
# that was held out (lesson 4)? Rounding makes some words harder to guess and others, by chance,
# easier. So compare document by document, as in lesson 9, with a standard error for each
# difference. Below two of these it may be chance. (Without `--full` or a CUDA GPU, lesson 9 read
# fewer documents, and so printed other bits per byte for the base model itself. Compare models
# within a lesson only.)

# %%
held_out = HeldOut(encoding, course.choose(2_000, 10**9), course.seed, course.n_documents)
needed = {"fp32": held_out.bits(base.to(course.device))}  # [documents] for each format
n_documents, exact = len(held_out.sizes), needed["fp32"].sum() / held_out.n_bytes
print(f"fp32: {exact:.4f} bits a byte; {n_documents} documents, {held_out.n_bytes:,} bytes")
for name, rounded in formats.items():
    model = copy.deepcopy(base)
    with torch.no_grad():
        for layer in layers_to_quantize(model, 4, BLOCK, ("lm_head",)):
            layer.weight.copy_(rounded(layer.weight.cpu().flatten()).view_as(layer.weight))
    needed[name] = held_out.bits(model)
pairs = [*((name, "fp32") for name in formats), ("NF4", "int4"), ("NF4", "FP4")]
changes = {pair: held_out.change(*(needed[name] for name in pair)) for pair in pairs}
for pair, change in changes.items():
    print(" minus ".join(pair) + f": {change}{' (may be chance)' if change.is_noise else ''}")

# %% [markdown]
# QLoRA's table 2 compares the formats on models of 125 million to 13 billion parameters. Their mean
# perplexity is 34.34 in int4, 31.07 in this FP4, and 27.41 in NF4 (with double quantization, which
# is lesson 11). The next cell asks whether a model of 5 million parameters shows it, too.

# %%
for rival, perplexity in (("int4", 34.34), ("FP4", 31.07)):
    gain = held_out.change(needed[rival], needed["NF4"])  # above 0 where NF4 needs fewer bits
    course.published(
        f"base model's quality: NF4 before {rival}", QLORA + "table 2",
        f"{rival} {perplexity}, NF4 27.41 (perplexity)",
        f"minus fp32: NF4 {changes['NF4', 'fp32']}, {rival} {changes[rival, 'fp32']} bits a byte",
        is_more(*gain, places=4, unit=" bits a byte", no=f"{rival} loses less here"),
    )  # fmt: skip
rms = {
    format: [100 * errors[name, format][1].mean() ** 0.5 for name in samples] for format in formats
}
costs = {format: changes[format, "fp32"] for format in formats}
course.save_figure(nf4_errors.draw_errors(rms, list(samples), costs), "errors")

# %% [markdown]
# ## The kernels, line by line
#
# A **kernel** is a program for a GPU. To start it is a **launch**, and then the GPU runs many
# copies of it at once. Triton, a language for kernels that is written as Python (Tillet et al.
# 2019), calls each copy a **program** and all of them the **grid**. Each program works on its own
# piece of the tensor, and learns from `tl.program_id(0)` which one that is. The rest reads like
# numpy: `tl.arange` numbers the elements of the piece, `tl.load` and `tl.store` move them, and
# `mask` leaves out what lies beyond the end. `x_ptr` is the place in memory where x begins, and
# `x_ptr + i` that of x[i]. What is marked `tl.constexpr` is known when the kernel is compiled.
#
# Triton's interpreter (`TRITON_INTERPRET=1`, set at the top) runs a kernel in Python. That lets us
# stop after each statement of the plain kernels and print what it sets, with type and shape.
# `quantize_kernel[(1,)]` launches a grid of one program, which takes SIZE = 16 elements: our 15
# numbers, in small blocks of 8. (The library itself takes no blocks below 32.) The numbers on the
# left are lines of `kernels/gpu/quantize.py` and `kernels/gpu/dequantize.py`. Three things to
# notice on the way:
#
# - weights are split into even and odd ones, because two of them share a byte;
# - `row_max` compares the bits of |weight| as whole numbers. They are in the same order, and NaN is
#   above all others, so that no NaN gets lost;
# - `reciprocal` is 1 / absmax, but never infinity: a block may be all zeros, and 0 times infinity
#   is NaN.

# %%
few = torch.randn(15)
codes, absmax, back = torch.zeros(8, dtype=torch.uint8), torch.zeros(2), torch.zeros(15)
if has_triton():
    from kernels.gpu.dequantize import Scales, block_scale, dequantize_kernel
    from kernels.gpu.quantize import quantize_kernel
    from lessons.kernel_views.trace import trace

    print(f"weight = {few}\n")
    parts = few, THRESHOLDS, codes, absmax, 15
    trace(lambda: quantize_kernel[(1,)](*parts, BLOCK_SIZE=8, SIZE=16), quantize_kernel)
    print(f"\nleft in memory: codes {bytes(codes.tolist()).hex(' ')}, absmax {absmax}\n")
else:
    print(NO_TRITON, "Read kernels/reference.py: it takes the same steps in PyTorch.")

# %% [markdown]
# Now back: each program loads bytes, scales and levels, and writes the weights. `byte >> 4` is the
# upper half of a byte and `byte & 15` the lower one. `block_scale` returns the scale of each
# weight's block.

# %%
if has_triton():
    inputs = codes, LEVELS, Scales(absmax), back, 15
    sizes = {"BLOCK_SIZE": 8, "NESTED_BLOCK_SIZE": None, "SIZE": 16}
    kernels = dequantize_kernel, block_scale
    trace(lambda: dequantize_kernel[(1,)](*inputs, **sizes), *kernels)
    print(f"\nleft in memory: {back}")
    by_hand = encode_nf4(normalise(few, block_absmax(few, 8), 8)).int()
    same = torch.equal(unpack(codes, 15).int(), by_hand)
    same &= torch.equal(back, LEVELS[by_hand] * absmax.repeat_interleave(8)[:15])
    course.checked("two plain kernels, in Triton's interpreter",
                   f"{'as' if same else 'not as'} by hand, in every bit", holds(same))  # fmt: skip
else:
    print(NO_TRITON)

# %% [markdown]
# ## What the compiler made of them
#
# For a GPU Triton compiles a kernel to **machine code**, and the compiler needs no GPU. To read
# what it writes, you need a few more words. The work of a program is shared by **threads**, here
# 128. Each has **registers** of 32 bits for the numbers that it works with. 32 neighbouring threads
# are a **warp**: they execute every instruction together. A thread's number in its warp, 0 to 31,
# is its **lane**. And memory moves 32 bytes at a time, so neighbouring threads should use
# neighbouring bytes; their accesses are then **coalesced**, and no byte moves in vain.
#
# How many instructions may there be? Each weight needs little work, so memory sets the pace. An
# H200, a large GPU, copies about 4.3 TB in a second (4.8 according to its data sheet), and turning
# a weight from NF4 to bf16 moves 2.5 bytes: half a byte in, two out. Meanwhile each of its 132
# multiprocessors, the units that run programs, starts up to 4 instructions in a **cycle**, a tick
# of its clock, for 32 threads each. We assume 1.75 billion cycles a second.

# %%
weights_a_second = 4.3e12 / 2.5
instructions_a_second = 132 * 4 * 32 * 1.75e9  # counted for each thread
budget = instructions_a_second / weights_a_second
print(f"an H200 has time for {budget:.0f} instructions a weight")

# %% [markdown]
# A fast kernel stays well below that. We compile for an H100 or H200, whose kind of machine code is
# called sm_90, in a process without the interpreter, take the code apart, and count; `python -m
# kernels.machine_code --arch sm_90` prints the same. The columns: bits of a block's scale (8 bits
# are lesson 11's); registers of a thread; **spills**, bytes that did not fit into them and go
# through memory; **barriers**, where threads wait for each other; the widest load and store of a
# thread, in bytes; and the instructions executed for each weight.


# %%
def compiled() -> dict:
    """Returns what `lessons.kernel_views.machine_code` finds in a process that compiles."""
    compiling = {name: text for name, text in os.environ.items() if name != "TRITON_INTERPRET"}
    command = (sys.executable, "-m", "lessons.kernel_views.machine_code")
    return json.loads(subprocess.check_output(command, env=compiling, text=True))


if has_triton():
    machine_code = compiled()
    print(f"{'scales':>23}   registers spills barriers   widest load, store  instructions a weight")
    for row in machine_code["rows"]:
        text = "{kernel:<16} {scale:>2} bits {registers:>10} {spill_bytes:>6} {barriers:>8} "
        text += "{load_bytes:>12}B {store_bytes:>5}B {instructions_per_element:>16.1f}"
        print(text.format(**row, scale=8 if row["double_quant"] else 32))
    print(f"\nfrom dequantize_fast, with scales of 32 bits:\n{machine_code['listing']}")
    fast = [row for row in machine_code["rows"] if row["kernel"] == "dequantize_fast"]
    most = max(row["instructions_per_element"] for row in fast)
    course.checked("dequantize_fast: instructions a weight", f"at most {most:.1f}",
                   is_more(budget - most, checked=True, places=1, unit=" to spare",
                           no="more than memory leaves time for"))  # fmt: skip
else:
    print(NO_TRITON)

# %% [markdown]
# The plain kernels compute an address for every weight or two and move at most 4 bytes at a time. A
# thread of the fast ones takes 32 neighbours that share a scale, 16 bytes at a time. The ten lines
# belong to two of the 32 (`lessons/kernel_views/read_machine_code.py` picks them). Each line shows
# where the instruction stands in the program, its name, and its registers (R and a number). The
# first of these is the result, except in STG, where it is the place to write to. (Places, and
# numbers that begin with 0x, are hexadecimal. RZ is always 0. P and a number is a single bit that
# holds the outcome of a test, and PT is always true. UR and a number is a register that a whole
# warp shares.)
#
# - SHFL is a **shuffle**, in which the threads of a warp read each other's registers. SHFL.BFLY
#   exchanges words of eight codes and SEL picks from them, so that the stores of neighbouring
#   threads lie side by side;
# - SHF brings a code to the lowest bits of a register; others may be left above it;
# - SHFL.IDX looks up the level: it reads from the lane whose number stands in the lowest five bits.
#   Lane l holds level l % 16, so the code is that number, the fifth bit does not matter, and
#   nothing needs to be masked away;
# - FMUL multiplies by the scale, and F2FP rounds two weights to bf16 and packs them;
# - STG.E.128 stores four such registers, 16 bytes.
#
# How else could one get the level for a code? `lessons/kernel_views/lookup_costs.py` does it in
# three ways. Each of them shifts, multiplies, and rounds (two weights at once), which is 2.5
# instructions. On top of that, counted by hand, come
#
# - 19 for a **tree** of 15 selections and 4 tests of a bit: the 32 threads of a warp share every
#   instruction, so branching helps nobody, and each weight pays for the whole tree;
# - 4 for a table in **memory**: a mask, two for an address of 64 bits, and a load;
# - 1 for a **shuffle**, as above.
#
# A thread of these small kernels takes eight weights. What it does once for all of them is not in
# these counts: addresses of codes, scale and result, the kernel's arguments, loads and a store. The
# compiler also saves some: it can let a test decide whether an instruction runs at all, and so do
# with fewer selections.

# %%
if has_triton():
    lookups = machine_code["lookups"]
    totals = {way: sum(kinds.values()) for way, kinds in lookups.items()}
    for (way, total), by_hand in zip(totals.items(), (21.5, 6.5, 3.5), strict=True):
        print(f"{way:<8} {total:5.1f} instructions a weight, by hand {by_hand}: ", end="")
        print("; ".join(f"{kind} {n:.1f}" for kind, n in lookups[way].items()))
    for way, place in (("tree", "a tree"), ("memory", "a table in memory")):
        course.checked(
            f"instructions a weight: a shuffle below {place}",
            f"{totals['shuffle']:.1f} against {totals[way]:.1f}",
            is_more(totals[way] - totals["shuffle"], checked=True, places=1, unit=" a weight",
                    no="the shuffle takes no fewer"),
        )  # fmt: skip
else:
    print(NO_TRITON)

# %% [markdown]
# Many CPUs have such an instruction, too: with AVX-512, `kernels/cpu/avx512.c` looks up 32 levels
# at once. What no listing says is how long a kernel takes. `python -m kernels.bench` measures it,
# where there is a GPU.
#
# ## What to take away
#
# - NF4's levels are quantiles of a normal curve, with 0 kept exact: 8 levels above it, 7 below. The
#   paper's equation 4 does not give them; the authors' program does.
# - A block of 64 weights is divided by its absmax, each weight becomes the code of the nearest
#   level, and two codes share a byte.
# - "Equally often used" is an idea and not a fact: blocks are scaled by their largest number. What
#   counts is the error, and in the end what the model loses.
# - A kernel that is bound by memory has only so many instructions for each weight. Looking up a
#   level from a neighbouring thread costs one.

# %%
course.finish()

# %% [markdown]
# Your turn: NF4, and two kernels in Triton. `minigpt exercise start 10` writes the stubs, and
# `minigpt exercise check 10` says what your code computes. Lesson 11 makes the scales smaller, too.
