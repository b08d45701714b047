# %% [markdown]
# # Lesson 10: NF4
#
# With 4 bits a weight can take 16 values. Which 16? Lesson 09 took equal steps. Weights are not
# spread equally, though: most are small. NF4, the format of QLoRA (Dettmers et al. 2023), puts its
# levels where the weights are. Here you derive the 16 levels to the last bit, quantize a tensor
# by hand, measure what is lost on a real model, follow two GPU kernels line by line without a GPU,
# and then look at what the compiler made of them.
#
# Run it: `python lessons/10_nf4.py`, or `minigpt lesson 10`. Its code is the package `kernels`:
# `nf4.py`, `reference.py`, `gpu/quantize.py`, `gpu/dequantize.py` and `machine_code/`.

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

os.environ["TRITON_INTERPRET"] = "1"  # Triton reads it when it is imported: see "The kernels"
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor

from kernels import dequantize_nf4, quantize_nf4
from kernels.backend import has_triton
from kernels.nf4 import LEVELS, THRESHOLDS
from kernels.reference import block_absmax, encode_nf4, normalise, unpack
from lessons.held_out import HeldOut
from minigpt import GPT, load_gpt2, load_pretrained
from minigpt.quantization import fake_quantize, layers_to_quantize

torch.set_printoptions(precision=3, sci_mode=False, linewidth=110)
BLOCK = 64  # weights that share a scale

# %% [markdown]
# ## Equally full buckets
#
# Cut the area under the normal curve into 16 buckets of equal area: narrow ones in the middle,
# where numbers crowd, wide ones outside. A number falls into each bucket equally often, so no code
# is wasted: the 4 bits really say 4 bits. With 16 buckets of equal *width*, from the smallest
# number to the largest, the outer codes would hardly ever be used. (Whether equally full buckets
# also make the least error is another question; below it is measured.) The **quantile function** Q
# finds the cuts: Q(p) is the number that a share p of all numbers lies below.

# %%
Q = torch.special.ndtri  # of the normal distribution with mean 0 and deviation 1
cuts = Q(torch.arange(1, 16, dtype=torch.float64) / 16)  # [15]
numbers = torch.randn(course.choose(2**18, 2**22))  # [n]


def entropy(share: Tensor) -> float:
    """Bits that a code says on average: -sum of p log2 p, 4 when all 16 are equally frequent."""
    return torch.special.entr(share).sum().item() / np.log(2)


equal_width = torch.linspace(numbers.min(), numbers.max(), 17)[1:-1]  # [15]
for name, borders in (("equal area", cuts), ("equal width", equal_width)):
    share = torch.bincount(torch.bucketize(numbers, borders), minlength=16) / len(numbers)  # [16]
    least, most = 100 * share.min(), 100 * share.max()
    print(f"{name:<11} {least:7.4f}% to {most:5.2f}% in a bucket: ", end="")
    print(f"a code says {entropy(share):.2f} bits")

# %%
figure, axes = plt.subplots(figsize=(9, 3.8))
x = np.linspace(-3.2, 3.2, 641)
density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
edges = [-3.2, *cuts.tolist(), 3.2]
for k in range(16):
    inside = (x >= edges[k]) & (x <= edges[k + 1])
    axes.fill_between(x[inside], density[inside], color=plt.cm.viridis(k / 15), alpha=0.75)
axes.vlines(cuts, 0, np.interp(cuts, x, density), color="white", linewidth=1)
axes.plot(x, density, color="black")
axes.set(title="16 buckets of equal area under the normal curve: 6.25% each")
axes.set(xlabel="number (standard deviations)", ylabel="density", ylim=(0, 0.43))
course.save_figure(figure, "buckets")

# %% [markdown]
# ## From buckets to levels
#
# A bucket needs one number that stands for it. The middle one, by area, of bucket i is
# Q((i + 1/2) / 16). Divide by the largest, so that levels go from -1 to 1. This has a flaw: **0 is
# no level**, and a weight that is exactly 0 (padding, pruned weights) would come back as another
# number.
#
# The paper prints another formula, equation 4, which averages the two ends of a bucket. Put in the
# numbers and see: the outermost bucket has no end.
#
# $$q_i = \tfrac12 \left( Q\!\left(\tfrac{i}{17}\right) + Q\!\left(\tfrac{i+1}{17}\right) \right)$$

# %%
middles = Q((torch.arange(16, dtype=torch.float64) + 0.5) / 16)
print(f"middles of 16 buckets: {(middles / middles.max()).float()}")
i = torch.arange(17, dtype=torch.float64)
equation_4 = (Q(i / 17) + Q((i + 1) / 17)) / 2  # [17]
print(f"equation 4, i = 0 to 16: {equation_4.float()}")
course.compare(
    "QLoRA, equation 4", "16 levels", f"q_0 = {equation_4[0]}, q_16 = {equation_4[16]}",
    "the published formula is wrong read literally: of any 16 in a row of these 17 levels, one "
    "is infinite" if equation_4[[0, 16]].isinf().all() else "not reproduced",
)  # fmt: skip

# %% [markdown]
# What the authors' program does (and every NF4 checkpoint holds) is this. Keep 0 for itself, and
# spend the other 15 levels on both sides: 8 above, 7 below. On each side go from an outermost p = o
# to p = 1/2 in equal steps. With 16 buckets the middle of the last is at p = 1 - 1/32, with 15 at
# 1 - 1/30; o is the mean of both.

# %%
print(f"1 - (1/32 + 1/30) / 2 = {1 - (1 / 32 + 1 / 30) / 2:.7f}")
o = 0.9677083
p_above = torch.linspace(o, 0.5, 9)[:-1]  # [8], without 1/2: Q(1/2) = 0 is there already
p_below = torch.linspace(o, 0.5, 8)[:-1]  # [7]
above, below = Q(p_above.double()), -Q(p_below.double())
levels = torch.cat([below, torch.zeros(1), above.flip(0)]).float()  # [16]
print(f"p above 0: {p_above}\nQ(p)     : {above.float()}\nand below: {below.float()}")
levels /= levels.max()

published_bits = """bf800000 bf3239b1 bf066b30 beca32a0 be91a24d be3d353f bdba7871 00000000
                    3da2faff 3e24cae3 3e7c04dd 3ead033a 3ee1a4b8 3f1007ab 3f3913b3 3f800000"""
bits = [f"{n:08x}" for n in levels.numpy().view(np.uint32)]
same = [a == b for a, b in zip(bits, published_bits.split(), strict=True)]
for i in range(16):
    print(f"code {i:2}  {levels[i]:+.7f}  {bits[i]}  {'equal' if same[i] else 'differs'}")
assert torch.equal(levels, LEVELS), "the library derives them the same way"
course.compare(
    "the 16 levels of NF4", "bf800000 ... 3f800000",
    f"{sum(same)} of 16 equal in all 32 bits", "reproduced" if all(same) else "not reproduced",
)  # fmt: skip

# %% [markdown]
# ## A tensor by hand
#
# Weights have no deviation of 1, so each block of them is scaled: multiply by 1 / **absmax**, the
# largest absolute value, and all are between -1 and 1. The code of a number is how many of the 15
# **thresholds** are below it: the middles between neighbouring levels (four are a last bit off, as
# the GPU code of bitsandbytes has them in decimals). Two codes fit into a byte. Blocks run over the
# flat tensor: here a block of 32 is two rows of 16.

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
unpacked = torch.stack([packed // 16, packed % 16], dim=2).view(2, 32)
back = (LEVELS[unpacked] * absmax[:, None]).view(4, 16)
print(f"back again\n  {back.flatten()[:8]}\n  {back.flatten()[32:40]}")
q = quantize_nf4(weight, block_size=32, double_quant=False)
assert torch.equal(q.codes, packed.flatten().to(torch.uint8)), "the library packs the same bytes"
assert torch.equal(dequantize_nf4(q), back), "and makes the same numbers of them"
print(f"by hand and by library the same; {weight.nbytes} bytes became {q.nbytes}")

# %% [markdown]
# ## Real weights
#
# All linear layers of the base model as one row of numbers, in blocks of 64. If you have fetched
# GPT-2 (`minigpt data fetch gpt2`), it comes along. How often is each level used?

# %%
base, encoding = load_pretrained("base")


def linear_weights(model: GPT) -> Tensor:
    """The weights of all linear layers but the head, flat; some of them with --quick."""
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

figure, (top, bottom) = plt.subplots(2, 1, figsize=(10, 6.4), sharex=True, layout="constrained")
top.hist(y.numpy(), bins=161, range=(-1.00625, 1.00625), color="tab:blue", alpha=0.6)
for level in LEVELS.tolist():
    top.axvline(level, color="tab:red", linewidth=1)
top.set(title="The 16 levels of NF4 (red) over the base model's weights", ylabel="weights in a bin")
edges = torch.tensor([-1.0, *THRESHOLDS.tolist(), 1.0])
for (name, part), color in zip(used.items(), ("tab:gray", "tab:blue", "tab:green"), strict=False):
    bottom.stairs(100 * part, edges, color=color, label=name, linewidth=2)
bottom.axhline(100 / 16, color="black", linestyle=":", label="equally often")
bottom.set(title="How often each level is used", ylabel="numbers (%)", ylim=(0, None))
bottom.set(xlabel="weight / absmax of its block of 64 (a step: all that goes to one level)")
bottom.legend()
course.save_figure(figure, "levels")
least, most = 100 * used["N(0, 1)"].min(), 100 * used["N(0, 1)"].max()
largest = block_absmax(numbers, BLOCK).mean()
# On a fixed curve, with the outermost level where it was derived, the shares would be:
inner = torch.special.ndtr(THRESHOLDS * above[0])  # [15]
ideal = 100 * torch.cat([torch.zeros(1), inner, torch.ones(1)]).diff()  # [16]
course.compare(
    "NF4: numbers to each level", "an equal number (6.25%)", f"{least:.1f}% to {most:.1f}%",
    "reproduced" if most < 1.1 * least else f"not reproduced: with the outer level always at "
    f"{above[0]:.2f} deviations, where it was derived, it would be {ideal.min():.1f}% to "
    f"{ideal.max():.1f}%; the largest of 64 is at {largest:.2f} on average",
)  # fmt: skip

# %% [markdown]
# The peaks at both ends are the absmax of each block, which comes back exactly. "Equally often"
# holds roughly for one fixed curve (0 has a place of its own, the steps on its two sides differ,
# and thresholds are half way in value, not in area), and not for blocks scaled by their largest
# number. So count what matters, the error. Two rivals with 4 bits: **int4**, 15 levels at equal
# distances as in lesson 09, and **FP4** (E2M1), a tiny floating-point number. For NF4 the error can
# be foretold, by integrals over what the largest of 64 normal numbers may be, and the others below
# it: a mean absolute error of 0.0728 (`expected_error_of_nf4` in
# `tests/lessons/test_lesson_10.py`).

# %%
positive = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])  # E2M1: 8 numbers and a sign
FP4 = torch.cat([-positive[1:].flip(0), positive]) / 6  # [15]: +0 and -0 are one


def round_to_fp4(x: Tensor) -> Tensor:
    """Each number of flat x, scaled in blocks, to the nearest FP4 level."""
    absmax = block_absmax(x, BLOCK)  # [b]
    nearest = torch.bucketize(normalise(x, absmax, BLOCK), (FP4[:-1] + FP4[1:]) / 2)  # [n]
    return FP4[nearest] * absmax.repeat_interleave(BLOCK)[: len(x)]


formats: dict[str, Callable[[Tensor], Tensor]] = {
    "int4": lambda x: fake_quantize(x, 4, BLOCK),
    "FP4": round_to_fp4,
    "NF4": lambda x: dequantize_nf4(quantize_nf4(x, BLOCK, double_quant=False)),
}
errors = {}
print(f"{'':<12}" + "".join(f"{name:>18}" for name in formats) + "    mean absolute / RMS error")
for name, sample in samples.items():
    for format, rounded in formats.items():
        error = (rounded(sample) - sample) / sample.std()
        errors[name, format] = error.abs().mean().item(), error.square().mean().sqrt().item()
    cells = ["{:.4f} / {:.4f}".format(*errors[name, format]) for format in formats]
    print(f"{name:<12}" + "".join(f"{cell:>18}" for cell in cells) + "    in standard deviations")
mean_error = errors["N(0, 1)", "NF4"][0]
course.compare(
    "NF4, blocks of 64 of N(0, 1): mean absolute error", "(expected: 0.0728)",
    f"{mean_error:.4f}", "as expected" if abs(mean_error - 0.0728) < 2e-4 else "not as expected",
)  # fmt: skip

# %% [markdown]
# But weights are not the goal. What does the *model* lose, in bits per byte of text that it has
# never seen? Rounding makes some words harder to guess and others, by chance, easier. So compare
# with fp32 document by document; the scatter gives a **standard error**, how much the difference
# would vary with other documents. If it is below two of these, it may be nothing but noise.

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
    print(" minus ".join(pair) + f": {change}{' (within noise)' if change.is_noise else ''}")

# %%
figure, (places, weights, models) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
colors = {"int4": "tab:gray", "FP4": "tab:orange", "NF4": "tab:red"}
levels_of = torch.arange(-7, 8) / 7, FP4, LEVELS
places.eventplot(levels_of, colors=list(colors.values()), linelengths=0.7, linewidths=2)
places.set_yticks(range(3), list(colors))
places.set(title="Where the levels are", xlabel="weight / absmax")
for number, (name, color) in enumerate(colors.items()):
    heights = [100 * errors[sample, name][1] for sample in samples]
    at = np.arange(len(samples)) + 0.27 * (number - 1)
    weights.bar_label(weights.bar(at, heights, 0.25, color=color, label=name), fmt="%.1f")
weights.set_xticks(range(len(samples)), list(samples))
weights.set(title="Error in blocks of 64", ylabel="RMS error (% of deviation)", ylim=(0, 13))
weights.legend(ncols=3, loc="upper center")
lost = [changes[name, "fp32"] for name in formats]
heights, bars = zip(*((c.bits_per_byte, 2 * c.error) for c in lost), strict=True)
models.bar(list(formats), heights, yerr=bars, capsize=6, color=colors.values())
models.axhline(0, color="black", linewidth=1)
models.set(title="Base model: change in bits per byte", ylabel="bits per byte, minus fp32's")
models.set(xlabel="below 0: better than fp32; lines: two standard errors")
course.save_figure(figure, "errors")
best = {min(formats, key=lambda f: errors[name, f][i]) for name in samples for i in (0, 1)}
verdict = ("" if best == {"NF4"} else "not ") + "reproduced for weights"
for rival in ("int4", "FP4"):
    change = changes["NF4", rival]
    side = "within noise of" if change.is_noise else "<" if change.bits_per_byte < 0 else ">"
    verdict += f"; the model's loss {side} {rival}'s"
rms = [f"{name}: RMS error {100 * errors['base model', name][1]:.2f}%" for name in formats]
course.compare(
    "QLoRA: best 4-bit format", "NF4, before FP4 and int4",
    "; ".join(f"{a}, {b} bits a byte" for a, b in zip(rms, lost, strict=True)), verdict,
)  # fmt: skip

# %% [markdown]
# ## The kernels, line by line
#
# A GPU runs thousands of copies of a program, each for another piece of the tensor. In Triton it
# reads like numpy: `tl.arange` numbers the piece's elements, `tl.load` and `tl.store` move them,
# and `mask` leaves out what lies beyond the end. Triton's interpreter (`TRITON_INTERPRET=1`, set at
# the top) runs it in Python. So we can stop after each statement of the plain kernels and print
# what it sets, for 15 numbers in small blocks of 8 (the library itself takes none below 32). The
# numbers on the left are lines of `kernels/gpu/quantize.py` and `kernels/gpu/dequantize.py`. On the
# way:
#
# - weights come as even and odd ones, because two of them share a byte;
# - `row_max` compares the bits of |weight| as whole numbers. They are in the same order, and NaN is
#   above all, so that none is lost;
# - `reciprocal` is 1 / absmax, but never infinity: 0 times that is NaN, and a block may be all
#   zeros.

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
    inputs = codes, LEVELS, Scales(absmax), back, 15
    sizes = {"BLOCK_SIZE": 8, "NESTED_BLOCK_SIZE": None, "SIZE": 16}
    kernels = dequantize_kernel, block_scale
    trace(lambda: dequantize_kernel[(1,)](*inputs, **sizes), *kernels)
    expected = encode_nf4(normalise(few, block_absmax(few, 8), 8)).int()
    assert torch.equal(unpack(codes, 15).int(), expected)
    assert torch.equal(back, LEVELS[expected] * absmax.repeat_interleave(8)[:15])
    print(f"\nleft in memory: {back}\nthe same as by hand, in every bit")
else:
    print("Triton is not installed here (there are wheels for Linux): this part is left out.")

# %% [markdown]
# ## What the compiler made of them
#
# A GPU needs no interpreter: Triton compiles for it, and the compiler needs no GPU. We compile for
# an H100 or H200 (sm_90), in a process without the interpreter, take the machine code apart and
# count: this is `python -m kernels.machine_code --arch sm_90`. How many may there be? An H200
# copies about 4.3 TB in a second (of 4.8 in its data sheet). Turning a weight from NF4 to bf16
# moves 2.5 bytes, and while memory does that, the processors can issue about 17 instructions: a
# fast kernel stays well below.


# %%
def compiled() -> dict:
    """What `python -m lessons.kernel_views.machine_code` finds where kernels are compiled."""
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

# %% [markdown]
# No spills: everything fits into registers. The plain kernels compute an address for every weight
# or two and move 1 to 4 bytes at a time. A thread of the fast ones takes 32 neighbours with one
# scale, 16 bytes at a time. The ten lines belong to two of the 32
# (`lessons/kernel_views/read_machine_code.py` picks them; the first register in a line is its
# result, but in STG the address). SHFL.BFLY exchanges words between threads, of which SEL picks, so
# that stores lie side by side. SHF brings a code to the lowest bits, SHFL.IDX fetches the level
# from the lane of the warp that has the code for its number (32 lanes hold the 16 levels twice),
# FMUL multiplies with the scale, F2FP rounds two weights to bf16 and packs them into a register,
# and STG.E.128 stores four such registers, 16 bytes. How else to get a level for a code?
# `lessons/kernel_views/lookup_costs.py` does it in three ways. Each shifts, multiplies, and rounds
# (two weights at once): expect 2.5 instructions, and besides
#
# - 19 for a **tree** of 15 selections and 4 tests of a bit: the 32 threads of a warp share every
#   instruction, so branching helps nobody, and each weight pays for the whole tree;
# - 4 for a table in **memory**: a mask, two for an address of 64 bits, a load;
# - 1 for a **shuffle**, as above.
#
# What a thread does once for its eight weights comes on top, 3 or 4 for each: addresses of codes,
# scale and result, the kernel's arguments, loads and a store. And the compiler saves: of the tree's
# 15 selections it makes 10, by letting the tests decide whether an instruction runs at all.
#
# A processor with AVX-512 has such an instruction too: `kernels/cpu/avx512.c` gets 32 at once.

# %%
if has_triton():
    lookups = machine_code["lookups"]
    totals = {way: sum(kinds.values()) for way, kinds in lookups.items()}
    for (way, total), expected in zip(totals.items(), (21.5, 6.5, 3.5), strict=True):
        print(f"{way:<8} {total:5.1f} instructions a weight: ", end="")
        print(", ".join(f"{kind} {n:.1f}" for kind, n in lookups[way].items()))
        why = "shared by eight" if total > expected else "saved selections, less what is shared"
        texts = (
            f"(expected: {expected})",
            f"{total:.1f} instructions",
            f"{total - expected:+.1f}: {why}",
        )
        course.compare(f"levels by {way}", *texts)

# %%
course.finish()

# %% [markdown]
# Now you: NF4, and two kernels in Triton. `minigpt exercise start 10` writes the stubs, and
# `minigpt exercise check 10` says what your code computes.
