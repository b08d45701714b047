# %% [markdown]
# # Lesson 11: Double quantization
#
# NF4 stores a weight in 4 bits and, for each block of 64, a scale in 32 bits. That is half a bit
# more for every weight, 4 GB of nothing but scales in a model of 65 billion. So quantize the scales
# too: this is **double quantization**. Here you do it by hand, look at the unusual 256 numbers that
# a scale may become, try others, measure what it costs a real model, and count what a kernel moves
# that undoes both levels at once.
#
# After this lesson you can
#
# - work out the bits a weight takes, with and without double quantization;
# - quantize scales by hand: mean, largest of 256, nearest value of a map;
# - say what the dynamic map is for, and when plain int8 would do better;
# - judge whether a loss is there at all, given its standard error;
# - explain why one kernel for both levels moves fewer bytes than three.
#
# You need lesson 10 (NF4, blocks, scales, kernels) and lesson 9 (int8, fp8, outliers, RMS). The
# parts about kernels need Linux, but no GPU. Take about 45 minutes, and another 45 for the
# exercises; the script itself needs one at most on a laptop.
#
# Run it: `python lessons/11_double_quantization.py`, or `minigpt lesson 11`. Its code is
# `kernels/nf4.py`, `kernels/reference.py` and `kernels/gpu/dequantize.py`.
#
# Terms can be looked up in the [glossary](GLOSSARY.md).

# %%
import copy
import importlib.util
import json
import subprocess
import sys

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson

course = lesson.start(11, "Double quantization")

# %%
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

import lessons.experiments.scale_formats as scale_formats
from kernels import dequantize_nf4, quantize_nf4
from kernels.nf4 import DYNAMIC_MAP
from kernels.reference import block_absmax, encode_scale, in_blocks
from lessons.experiments.format_verdicts import as_expected
from lessons.experiments.nf4_errors import expected_error_of_nf4
from lessons.held_out import HeldOut
from lessons.verdicts import error_of_mean, holds, is_more, no_worse, same_figure
from minigpt import load_pretrained
from minigpt.float_formats import FP8_E4M3
from minigpt.memory.llama import LLAMA_2, LlamaShape
from minigpt.quantization import bits_per_parameter, layers_to_quantize

torch.set_printoptions(precision=3, sci_mode=False, linewidth=100)
HAS_TRITON = importlib.util.find_spec("triton") is not None
QLORA = "Dettmers et al. 2023 (QLoRA), "

# %% [markdown]
# ## What the scales cost
#
# A block of $B$ weights shares one scale, so each weight pays for $1/B$ of it. On the left the
# scales have 32 bits; on the right they have 8, and every 256 of them share one scale of 32 bits:
#
# $$4 + \frac{32}{B} \qquad\qquad 4 + \frac{8 + 32/256}{B}$$

# %%
block_sizes = (32, 64, 128, 256, 512)
single, double = (bits_per_parameter(4, 64, b) for b in (32, bits_per_parameter(8, 256)))
print(f"bits a weight, blocks of 64: {single} -> {double:.3f}, which saves {single - double:.3f}")
print(f"of that are codes 4, scales 8 / 64 = {8 / 64}, scales of scales {32 / 64 / 256:.5f}")

# %% [markdown]
# Larger blocks save bits too. But the largest of more weights is larger, and stretches the levels
# for all the others. Which is the better bargain? Measure the mean absolute error (MAE, lesson 10)
# of numbers from N(0, 1). We take the mean of every 512, the largest block, because the spread of
# these means gives a standard error:

# %%
x = torch.randn(2 ** course.choose(quick=18, normal=24), device=course.device)
chunks: dict[tuple[int, bool], np.ndarray] = {}  # block size, double quantization: [n / 512]
mae, bits = {False: [], True: []}, {False: [], True: []}  # without and with double quantization
for size in block_sizes:
    for twice in (False, True):
        q = quantize_nf4(x, size, double_quant=twice)
        error = (dequantize_nf4(q) - x).abs().view(-1, 512).mean(dim=1)
        chunks[size, twice] = error.cpu().double().numpy()
        mae[twice].append(float(chunks[size, twice].mean()))
        bits[twice].append(q.bits_per_parameter)
        print(f"blocks of {size:>3}, scales of {8 if twice else 32:>2} bits: ", end="")
        print(f"{bits[twice][-1]:.3f} bits a weight, MAE {mae[twice][-1]:.5f}")
course.save_figure(scale_formats.draw_bits_and_error(block_sizes, bits, mae), "bits_per_parameter")

# %% [markdown]
# Blocks of 256 with plain scales and blocks of 64 with double quantization both take about 4.125
# bits. Which of them is more exact?

# %%
gain = chunks[256, False] - chunks[64, True]  # [n / 512]
course.checked(
    "MAE at 4.13 bits: blocks of 64 and double quantization below blocks of 256",
    f"{mae[True][1]:.5f} against {mae[False][3]:.5f}",
    is_more(float(gain.mean()), error_of_mean(gain), places=5, checked=True,
            yes="the accuracy of small blocks at the price of large ones",
            no="larger blocks are no less exact"),
)  # fmt: skip

# %% [markdown]
# ## Is it true? In memory and in a file
#
# A formula knows nothing of tables and headers. So store a large matrix and the linear layers of
# the base model, and weigh them.

# %%
base, encoding = load_pretrained("base")
base = base.to(course.device)
weights = [w.weight.detach().cpu() for w in layers_to_quantize(base, 4, 64, ("lm_head",))]
side = course.choose(quick=256, normal=4096)
to_store = {f"{side} x {side}": [torch.randn(side, side)], "base model": weights}
path = course.folder / "weights.safetensors"
in_memory = {False: [], True: []}
for what, matrices in to_store.items():
    n = sum(w.numel() for w in matrices)
    for twice in (False, True):
        stored = [quantize_nf4(w, double_quant=twice) for w in matrices]
        memory = sum(p.untyped_storage().nbytes() for q in stored for p in q.parts.values())
        tensors = {k: v for i, q in enumerate(stored) for k, v in q.state_dict(f"w{i}").items()}
        save_file(tensors, path)
        in_memory[twice].append(8 * memory / n)
        print(f"{what:<11}, scales of {8 if twice else 32:>2} bits: {8 * memory / n:.3f} ", end="")
        print(f"bits a weight in memory, {8 * path.stat().st_size / n:.3f} in the file")
path.unlink()

# %% [markdown]
# The table checks the formula against what is in memory. In a file each matrix also brings its
# settings as text and the lists of values that its codes stand for; the 256 values of a scale alone
# take 1,024 bytes. That is nothing for a large matrix, but a small model pays for it.

# %%
plain, twice = in_memory[False][0], in_memory[True][0]
saved = plain - twice
SECTION_3 = QLORA + "section 3"
for what, source, printed, found in (
    ("bits of scales a weight, blocks of 64", SECTION_3, "0.5", plain - 4),
    ("the same with double quantization", SECTION_3, "0.127", twice - 4),
    ("bits saved by double quantization", SECTION_3, "0.373", saved),
    ("bits saved, in round numbers", "slides 001/002", "0.4", saved),
):
    measured = f"{found:.3f} in memory" + (
        f", {4 + found:.3f} with codes" if found != saved else ""
    )
    course.published(what, source, printed, measured,
                     same_figure(printed, found, "what is stored has another size"))  # fmt: skip
of_65 = saved * 65e9 / 8 / 1e9  # GB
course.published("GB saved for 65 billion weights", QLORA + "section 1", "about 3", f"{of_65:.2f}",
                 same_figure("3", of_65, "another number of bits is saved here"))  # fmt: skip

# %% [markdown]
# ## By hand
#
# Here are eight blocks of weights, each with its own spread. Their eight scales are what we now
# quantize. All are positive, so first subtract their **mean**: what is left lies around zero. Then
# comes what you know from lesson 10: divide by the largest (of up to 256 scales), and take the
# nearest of 256 values. Which values? Those of the **dynamic map**, about which more below. What is
# stored are the codes, one scale of 32 bits for the 256, and the mean, called the offset.

# %%
small = torch.randn(8, 64) * torch.linspace(0.02, 0.05, 8)[:, None]  # [8, 64]
absmax = small.abs().amax(dim=1)  # [8]
offset = absmax.double().mean().float()
z = absmax - offset  # [8]
scale = z.abs().max()
y = z * (1 / scale)  # [8], between -1 and 1
codes = (y[:, None] - DYNAMIC_MAP).abs().argmin(dim=1).to(torch.uint8)  # [8]
back = DYNAMIC_MAP[codes.int()] * scale + offset  # [8]
print(f"absmax   {absmax}\noffset   {offset:.4f}\nz        {z}\nscale    {scale:.4f}\ny        {y}")
print(f"codes    {codes}\nvalues   {DYNAMIC_MAP[codes.int()]}\nabsmax ~ {back}")
print(f"largest error {((back / absmax - 1).abs().max()):.2%}")

q = quantize_nf4(small)
same = torch.equal(q.absmax_codes, codes) and torch.equal(q.absmax_scale, scale[None])
same &= torch.equal(q.absmax_offset, offset)
course.checked("8 scales by hand and by the library",
               f"codes, scale and offset {'equal' if same else 'differ'}", holds(same))  # fmt: skip

# %% [markdown]
# ## The dynamic map
#
# The map comes from Dettmers (2015). Think of eight bits. The first is the sign. Then come some
# zeros and a one, and the number of zeros says which power of ten. The bits that are left divide
# that decade evenly. Many zeros leave few bits: near 1 there are 64 values to a decade, near a
# millionth only one. So it is a floating-point format whose mantissa gets longer as the number
# grows. (The codes of a checkpoint are not these bits. They number the 256 values from the smallest
# to the largest.)

# %%
positive = np.histogram(DYNAMIC_MAP[128:-1], 10.0 ** np.arange(-7, 1))[0]  # without the 1
print(f"{len(DYNAMIC_MAP)} values, {DYNAMIC_MAP[0]:.5f} to {DYNAMIC_MAP[-1]:.0f}; ", end="")
print(f"0 is number {int((DYNAMIC_MAP == 0).nonzero())}, then comes {DYNAMIC_MAP[128]:.1e}")
print("positive values in each power of ten, up to 1e-6, 1e-5, ... 1:", positive)
near_zero = (DYNAMIC_MAP.abs() < 0.1).float().mean()
print(f"the tenth of the axis around zero has {near_zero:.0%} of all values")

# %% [markdown]
# Where do the base model's scales lie on this map, with and without their mean?

# %%
base_scales = [block_absmax(w.flatten(), 64) for w in weights]  # a [b] for each layer


def stretched(absmax: Tensor, centred: bool) -> tuple[Tensor, Tensor]:
    """Returns scales [b] as y from -1 to 1 in rows of 256, and by what each row was divided."""
    z = in_blocks(absmax - absmax.mean() if centred else absmax, 256)  # [rows, 256]
    largest = z.abs().amax(dim=1, keepdim=True)  # [rows, 1]
    return z / largest, largest


rows = {
    title: torch.cat([stretched(absmax, centred)[0] for absmax in base_scales])  # [rows, 256]
    for title, centred in (("as they are", False), ("minus their mean", True))
}
course.save_figure(scale_formats.draw_scales(rows), "dynamic_map")

# %% [markdown]
# Scales are positive, so without subtracting the mean the left half of the map is never used, and
# the scales lie where it is thin. With it they use the whole map, but they are spread over it far
# more evenly than its values, which crowd around zero.
#
# ## What else could 8 bits be?
#
# The paper says "8-bit Floats", and writes FP8. That would usually mean E4M3 (lesson 9) or E5M2,
# with 5 bits for the exponent and 2 for the mantissa. The authors' library, bitsandbytes, has the
# dynamic map. Compare its 256 values with those of both, divided by their largest.

# %%
fp8 = {"E4M3": torch.float8_e4m3fn, "E5M2": torch.float8_e5m2}
shared = {
    name: scale_formats.values_in_common(DYNAMIC_MAP, scale_formats.fp8_values(dtype))
    for name, dtype in fp8.items()
}
course.published(
    "format of the scales", QLORA + "section 3", "FP8",
    "of 256 values of the map {E4M3} are E4M3's, {E5M2} E5M2's".format(**shared),
    holds(max(shared.values()) == len(DYNAMIC_MAP), published=True,
          no="bitsandbytes stores its own dynamic map, an 8-bit float of another kind"),
)  # fmt: skip

# %% [markdown]
# Plain int8 would be simpler. Try the map, int8 and E4M3, with and without the mean, on the scales
# of three sets of weights: normal numbers; the same with an outlier of 15 in every 256th block; and
# the base model's.

# %%
top = FP8_E4M3.largest
ways = {
    "dynamic map": lambda y: DYNAMIC_MAP[encode_scale(y).int()],
    "int8": lambda y: torch.round(127 * y) / 127,
    "FP8 (E4M3)": lambda y: (top * y).to(torch.float8_e4m3fn).float() / top,
}


def squared_errors(many: list[Tensor], way: str, centred: bool) -> np.ndarray:
    """Returns the mean squared error of each 256 scales, in squares of the mean scale: [rows]."""
    errors = []
    for absmax in many:
        y, largest = stretched(absmax, centred)
        errors.append(((ways[way](y) - y) * largest).square().mean(dim=1))  # [rows]
    return (torch.cat(errors) / torch.cat(many).mean().square()).double().numpy()


# %%
normal = torch.randn(2 ** course.choose(quick=16, normal=22))
outliers = normal.where(torch.arange(len(normal)) % (256 * 64) > 0, 15.0)
scales = {"normal": [block_absmax(normal, 64)], "outliers": [block_absmax(outliers, 64)]}
scales["base model"] = base_scales
squared = {
    (what, way, centred): squared_errors(scales[what], way, centred)
    for centred in (False, True) for way in ways for what in scales
}  # fmt: skip
print("root mean square error of a scale, in % of the mean scale:")
print(f"{'':<24}" + "".join(f"{what:>12}" for what in scales))
for centred in (False, True):
    for way in ways:
        print(f"{way:<12}{'minus mean' if centred else 'as they are':<12}", end="")
        rms = [100 * squared[what, way, centred].mean() ** 0.5 for what in scales]
        print("".join(f"{error:>12.2f}" for error in rms))

# %% [markdown]
# Two questions about this table. Does subtracting the mean help? And which of int8 and the dynamic
# map is more exact? Compare the squares of these percentages, row by row of 256 scales, and take
# the mean of the differences: rows differ, which gives it a standard error.


# %%
def is_less(what: str, before: tuple[str, bool], after: tuple[str, bool], title: str) -> None:
    """Checks that scales have a smaller squared error in one way than in another."""
    old, new = 1e4 * squared[(what, *before)], 1e4 * squared[(what, *after)]  # [rows], in %^2
    course.checked(
        title, f"RMS error {old.mean() ** 0.5:.2f}% -> {new.mean() ** 0.5:.2f}%",
        is_more(float((old - new).mean()), error_of_mean(old - new), places=3, checked=True,
                unit=" squared percent", no="the error grows"),
    )  # fmt: skip


for way in ways:
    title = f"base model's scales, {way}: subtracting the mean"
    is_less("base model", (way, False), (way, True), title)
is_less("base model", ("dynamic map", True), ("int8", True),
        "base model's scales: int8 instead of the dynamic map")  # fmt: skip
is_less("outliers", ("int8", True), ("dynamic map", True),
        "scales with outliers: the dynamic map instead of int8")  # fmt: skip

# %% [markdown]
# A format that is fine near zero and coarse far from it needs its numbers near zero, so subtracting
# the mean matters most for FP8 and the map. Where the scales are well behaved, equal steps are hard
# to beat. The dynamic map is an insurance: when one of 256 scales is an outlier, int8 has a
# fraction of its codes left for the others, as in lesson 9, while the map keeps its resolution near
# zero. That is what its many small values are for. See in the table whether your run bears this
# out.
#
# ## What it costs
#
# NF4 itself has rounded the weights far more coarsely than any of this rounds a scale, and what
# counts is the sum. For normal numbers we have measured it already, above. Does the MAE grow by
# more than 1%? That limit is our choice.

# %%
once, both = chunks[64, False], chunks[64, True]  # [n / 512] each
expected = expected_error_of_nf4(64)
course.checked("NF4 on N(0, 1): MAE", f"{once.mean():.5f} (by integration {expected:.5f})",
               as_expected(float(once.mean()), error_of_mean(once), expected))  # fmt: skip
added = 100 * (both - once) / once.mean()  # [n / 512], in %
course.checked(
    "NF4 on N(0, 1): MAE added by double quantization",
    f"{once.mean():.5f} -> {both.mean():.5f}",
    no_worse(
        float(added.mean()), error_of_mean(added), allowed=1, unit="%", places=3, checked=True
    ),
)
of_base = []
for twice in (False, True):
    errors = [(dequantize_nf4(quantize_nf4(w, 64, twice)) - w).abs().flatten() for w in weights]
    of_base.append(torch.cat(errors).mean().item())
print(f"N(0, 1)    MAE {once.mean():.6f} -> {both.mean():.6f}, {added.mean():+.2f}%")
print(f"base model MAE {of_base[0]:.6f} -> {of_base[1]:.6f}, {of_base[1] / of_base[0] - 1:+.2%}")

# %% [markdown]
# And the model's own work: bits for each byte of held-out text, as in lesson 10, with its linear
# weights in fp32, in NF4, and in NF4 with double quantization. Again the differences are taken
# document by document and come with a standard error.

# %%
held_out = HeldOut(encoding, course.choose(2_000, 10**9), course.seed, course.n_documents)


def needed(double_quant: bool | None) -> np.ndarray:
    """Returns bits for each held-out document; linear weights are in fp32 (None) or NF4."""
    model = copy.deepcopy(base)
    for layer in layers_to_quantize(model, 4, 64, ("lm_head",)) if double_quant is not None else ():
        layer.weight.data = dequantize_nf4(quantize_nf4(layer.weight.data, 64, double_quant))
    return held_out.bits(model)


exact, nf4, nf4_double = map(needed, (None, False, True))  # [documents] each
lost_by_nf4, lost = held_out.change(nf4, exact), held_out.change(nf4_double, nf4)
print(f"{held_out.n_bytes:,} bytes in {len(exact)} documents; ", end="")
print(f"fp32 needs {exact.sum() / held_out.n_bytes:.4f} bits a byte")
for what, change in (("NF4 minus fp32", lost_by_nf4), ("double quantization minus NF4", lost)):
    print(f"{what}: {change.bits_per_byte:+.5f} ± {change.error:.5f}", end="")
    print(" (may be chance)" if change.is_noise else "")

# %% [markdown]
# The paper saw no loss from the second quantization. "No loss" can never be proved, but a loss
# above some limit can be ruled out. Our limit is 0.001 bits a byte, less than a thousandth of what
# the model needs.

# %%
course.published(
    "quality lost by double quantization", QLORA + "section 3", "none",
    f"{lost.bits_per_byte:+.5f} ± {lost.error:.5f} bits a byte (NF4 itself {lost_by_nf4})",
    no_worse(*lost, allowed=0.001, places=5, unit=" bits a byte"),
)  # fmt: skip

# %% [markdown]
# ## One launch for both levels
#
# To use a weight, a GPU turns it back into bf16. Most of the time for that goes into moving bytes,
# and bytes can be counted. The straightforward way takes three kernels, as in bitsandbytes: scale
# codes to scales, add the mean, then the weights. The scales, 4 bytes each, are written to memory
# and read again, twice (unless they stay in a cache in between), and each launch (lesson 10) takes
# some microseconds of its own. One kernel that looks up both levels as it goes moves each byte
# once.

# %%
one_launch = 4 / 8 + (1 + 4 / 256) / 64 + 2  # bytes: code, scale in two levels, the weight in bf16
twice_there_and_back = 4 * 4 / 64  # of each scale: written, read, written, read
bytes_moved = {"one launch": one_launch, "three launches": one_launch + twice_there_and_back}
for what, moved in bytes_moved.items():
    print(f"{what:<14} {moved:.3f} bytes a weight; for a matrix of 4096 x 4096, ", end="")
    print(f"{moved * 4096**2 / 4.3e6:.1f} microseconds at the 4.3 TB/s that an H200 copies")

# %% [markdown]
# Here is the part of that kernel that makes the scales, statement by statement, in Triton's
# interpreter (lesson 10). It runs for 16 weights in blocks of 4, and every 2 blocks share a scale
# of their scales, so the four codes need two of these.

# %%
if HAS_TRITON:
    command = [sys.executable, "-m", "lessons.kernel_views.trace_dequantize"]
    traced = subprocess.check_output(command, text=True)
    print(traced)
    same = traced.rstrip().endswith("in every bit: True")
    course.checked(
        "both levels in one launch, in Triton's interpreter",
        f"{'as' if same else 'not as'} step by step, in every bit",
        holds(same),
    )
else:
    print("The kernel is not shown, as Triton is not installed (wheels are for Linux only).")

# %% [markdown]
# What does the second level cost in instructions? The compiler tells, and needs no GPU for that.
# `dequantize` is the version to read: every weight looks up its own scale. In `dequantize_fast`,
# which is the one that runs, a thread does 32 weights of one block and looks up one scale. So does
# the second level cost it less than one instruction a weight?

# %%
command = [sys.executable, "-m", "kernels.machine_code", "--arch", "sm_90"]
command += ["--kernel", "dequantize,dequantize_fast", "--json"]
if HAS_TRITON:
    print("$ python", *command[1:-1])
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    counted = {}
    for row in json.loads(answer.stdout):
        counted[row["kernel"], row["double_quant"]] = row["instructions_per_element"]
        print(f"{row['kernel']:<15} scales of {8 if row['double_quant'] else 32:>2} bits: ", end="")
        print(f"{row['instructions_per_element']:5.2f} instructions a weight, ", end="")
        print("{registers} registers, loads of up to {load_bytes} bytes".format(**row))
    fast = [counted["dequantize_fast", twice] for twice in (False, True)]
    added = fast[1] - fast[0]
    course.checked("second level in dequantize_fast: less than one instruction a weight",
                   "{:.2f} -> {:.2f}".format(*fast),
                   holds(added < 1, yes=f"{added:.2f} more", no=f"{added:.2f} more"))  # fmt: skip
else:
    print("The machine code is left out, as Triton is not installed (wheels are for Linux only).")

# %% [markdown]
# ## Real models
#
# Lesson 9 compared published sizes of Llama 2 with a count: linear layers at 4.127 bits,
# embeddings and head in 16. Here is the step itself, from 4.5 bits, also for the largest model of
# the paper, the first Llama with 65 billion weights (last row). The published sizes most likely are
# not NF4's but GPTQ's, as lesson 9 found.

# %%
published_sizes = ("13.5 -> 3.9", "26.1 -> 7.3", "138 -> 40.7", "(none)")
print(f"{'GB':<11}{'16 bits':>8}{'4.5':>8}{'4.127':>8}{'saved':>8}   published")
# ffn is the width inside the MLP, n_kv_head the number of heads that have keys and values
shapes = {**LLAMA_2, "Llama-65B": LlamaShape(8192, n_layer=80, ffn=22_016, n_head=64, n_kv_head=64)}
for (name, shape), printed in zip(shapes.items(), published_sizes, strict=True):
    gigabytes = [shape.gigabytes(b) for b in (16, single, double)]
    gigabytes.append(gigabytes[1] - gigabytes[2])
    print(f"{name:<11}" + "".join(f"{size:>8.2f}" for size in gigabytes) + f"   {printed}")

# %% [markdown]
# ## What to take away
#
# - Scales of 32 bits cost half a bit a weight in blocks of 64. In 8 bits, with one scale of 32 for
#   every 256 of them, they cost about an eighth of a bit.
# - Scales are positive, so their mean is subtracted first; the rest is quantized like any numbers.
# - The dynamic map is fine near zero and coarse near 1. It insures against outliers among the
#   scales, and where there are none, the insurance costs some accuracy.
# - "No loss" means: smaller than a limit, beyond what chance could hide.
# - Both levels can be undone in one kernel, which moves fewer bytes than three.

# %%
course.finish()

# %% [markdown]
# Your turn: scales of scales, and one kernel. `minigpt exercise start 11` writes the stubs, and
# `minigpt exercise check 11` says what your code computes. Lesson 12 trains adapters on top of such
# weights.
