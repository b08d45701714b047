# %% [markdown]
# # Lesson 11: Double quantization
#
# NF4 stores a weight in 4 bits and, for each block of 64, a scale in 32 bits: half a bit more for
# every weight, 4 GB of nothing but scales in a model of 65 billion. So quantize the scales too.
# Here you do it by hand, look at the strange 256 numbers that a scale may become, try others,
# measure what it costs a real model, and count what a kernel moves that undoes both levels at once.
#
# Run it: `python lessons/11_double_quantization.py`, or `minigpt lesson 11`. Its code is
# `kernels/nf4.py`, `kernels/reference.py` and `kernels/gpu/dequantize.py`.

# %%
import copy
import importlib.util
import json
import subprocess
import sys

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson

course = lesson.start(11, "Double quantization")

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Patch
from safetensors.torch import save_file
from torch import Tensor

from kernels import dequantize_nf4, quantize_nf4
from kernels.nf4 import DYNAMIC_MAP
from kernels.reference import block_absmax, encode_scale, in_blocks
from lessons.held_out import HeldOut
from minigpt import load_pretrained
from minigpt.float_formats import FP8_E4M3
from minigpt.memory.llama import LLAMA_2, LlamaShape
from minigpt.quantization import bits_per_parameter, layers_to_quantize

torch.set_printoptions(precision=3, sci_mode=False, linewidth=100)

# %% [markdown]
# ## What the scales cost
#
# A block of $B$ weights shares one scale, so a weight pays for $1/B$ of it:
#
# $$4 + \frac{32}{B} \qquad\text{or, with scales of 8 bits, 256 of which share one of 32:}\qquad
# 4 + \frac{8 + 32/256}{B}$$

# %%
block_sizes = (32, 64, 128, 256, 512)
single, double = (bits_per_parameter(4, 64, b) for b in (32, bits_per_parameter(8, 256)))
print(f"bits a weight, blocks of 64: {single} -> {double:.3f}, which saves {single - double:.3f}")
print(f"of that are codes 4, scales 8 / 64 = {8 / 64}, scales of scales {32 / 64 / 256:.5f}")

# %% [markdown]
# Larger blocks save bits too. But the largest of more weights is larger, and stretches the levels
# for all the others. Which is the better bargain? Take the mean absolute error (MAE):

# %%
x = torch.randn(2 ** course.choose(quick=18, normal=24), device=course.device)
mae, bits = {False: [], True: []}, {False: [], True: []}  # without and with double quantization
for size in block_sizes:
    for twice in (False, True):
        q = quantize_nf4(x, size, double_quant=twice)
        mae[twice].append((dequantize_nf4(q) - x).abs().mean().item())
        bits[twice].append(q.bits_per_parameter)
        print(f"blocks of {size:>3}, scales of {8 if twice else 32:>2} bits: ", end="")
        print(f"{bits[twice][-1]:.3f} bits a weight, MAE {mae[twice][-1]:.5f}")

# %% [markdown]
# Blocks of 256 with plain scales and blocks of 64 with double quantization both take about 4.125
# bits, and the second is more exact: the accuracy of small blocks at the price of large ones.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(12.5, 4.6), layout="constrained")
colors = {"codes (4 bits: cut)": "lightgray", "scales": "tab:orange", "scales of scales": "tab:red"}
for i, size in enumerate(block_sizes):
    for place, *parts in ((i - 0.2, 4, 32 / size), (i + 0.2, 4, 8 / size, 32 / 256 / size)):
        for j, color in zip(range(len(parts)), colors.values(), strict=False):
            left.bar(place, parts[j], 0.36, sum(parts[:j]), color=color, edgecolor=color, lw=0.8)
        left.text(place, sum(parts) + 0.02, f"{sum(parts):.3f}", ha="center", fontsize=8)
left.set_xticks(range(len(block_sizes)), map(str, block_sizes))
left.set(xlabel="block size (weights)\nleft bar: scales of 32 bits, right bar: double quantization")
left.set(ylabel="bits a weight", ylim=(3.8, 5.2), title="Where the bits go")
left.legend(handles=[Patch(color=color, label=text) for text, color in colors.items()])
for twice, text, shift in (False, "32 bits", (6, 3)), (True, "double quantization", (-28, -9)):
    right.plot(bits[twice], mae[twice], "o-", color="tab:blue" if twice else "gray", label=text)
    for size, *point in zip(block_sizes, bits[twice], mae[twice], strict=True):
        right.annotate(str(size), point, shift, textcoords="offset points")
right.set(xlabel="bits a weight", ylabel="mean absolute error", title="What they buy, on N(0, 1)")
right.margins(0.1)
right.legend(title="scales (at the points: block size)")
right.grid(alpha=0.3)
course.save_figure(figure, "bits_per_parameter")

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
    for twice in (False, True):
        stored = [quantize_nf4(w, double_quant=twice) for w in matrices]
        memory = sum(p.untyped_storage().nbytes() for q in stored for p in q.parts.values())
        tensors = {k: v for i, q in enumerate(stored) for k, v in q.state_dict(f"w{i}").items()}
        save_file(tensors, path)
        n = sum(w.numel() for w in matrices)
        in_memory[twice].append(8 * memory / n)
        print(
            f"{what:<11}, scales of {8 if twice else 32:>2} bits: {8 * memory / n:.3f} bits ",
            end="",
        )
        print(f"a weight in memory, {8 * path.stat().st_size / n:.3f} in the file")
path.unlink()

# %% [markdown]
# In memory the formula holds. In a file each matrix also brings its settings as text and its maps,
# the dynamic one alone 1,024 bytes: nothing for a large matrix, but a small model pays.
#
# ## By hand
#
# Eight blocks of weights, each with its own spread. Their eight scales are what we now quantize.
# All are positive, so first subtract their **mean**: what is left lies around zero. Then comes
# what you know from lesson 09: divide by the largest, here of up to 256 scales, and take the
# nearest of 256 values. Which values? Those of the **dynamic map**; more about it below.

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
assert torch.equal(q.absmax_codes, codes)
assert torch.equal(q.absmax_scale, scale[None])
assert torch.equal(q.absmax_offset, offset)
print("the library stores the same codes, scale and offset")

# %% [markdown]
# ## The dynamic map
#
# Eight bits: a sign, then zeros and a one that say which power of ten, and the bits that are left
# divide that decade evenly. Many zeros leave few bits: near 1 there are 64 values to a decade, near
# a millionth a single one. It is a floating-point format whose mantissa grows with the number. The
# tenth of the axis around zero gets half of all values.

# %%
positive = np.histogram(DYNAMIC_MAP[128:-1], 10.0 ** np.arange(-7, 1))[0]  # without the 1
print(f"{len(DYNAMIC_MAP)} values, {DYNAMIC_MAP[0]:.5f} to {DYNAMIC_MAP[-1]:.0f}; ", end="")
print(f"0 is number {int((DYNAMIC_MAP == 0).nonzero())}, then comes {DYNAMIC_MAP[128]:.1e}")
print("positive values in each power of ten, up to 1e-6, 1e-5, ... 1:", positive)
base_scales = [block_absmax(w.flatten(), 64) for w in weights]  # a [b] for each layer


def stretched(absmax: Tensor, centred: bool) -> tuple[Tensor, Tensor, Tensor | float]:
    """Scales [b] as y between -1 and 1 in rows of 256; what to multiply by, what to add."""
    offset = absmax.mean() if centred else 0.0
    z = in_blocks(absmax - offset, 256)  # [rows, 256]
    largest = z.abs().amax(dim=1, keepdim=True)  # [rows, 1]
    return z / largest, largest, offset


figure, panels = plt.subplots(2, 2, figsize=(9, 5), height_ratios=(5, 1), sharex=True, sharey="row")
for axes, rug, centred in zip(*panels, (False, True), strict=True):
    rows = torch.cat([stretched(absmax, centred)[0] for absmax in base_scales])  # [rows, 256]
    axes.hist(rows.flatten().numpy(), bins=100, range=(-1, 1), color="tab:blue", alpha=0.7)
    axes.set_title("minus their mean" if centred else "as they are")
    rug.vlines(DYNAMIC_MAP, 0.6, 1.4, color="tab:red", lw=0.5)
    rug.vlines(torch.arange(-127, 128) / 127, -0.4, 0.4, color="black", lw=0.5)
    rug.set_yticks([1, 0], ["dynamic map", "int8"])
    rug.set(xlabel="y: divided by the largest of 256", xlim=(-1.02, 1.02))
panels[0, 0].set_ylabel("number of scales")
figure.suptitle("The base model's scales, and the values that 8 bits offer them")
course.save_figure(figure, "dynamic_map")

# %% [markdown]
# Without subtracting the mean, the left half of the map is never used, and the scales lie where it
# is thin. After it they use the whole map; but they are spread over it far more evenly than its
# values, of which half lie in the tenth around zero.
#
# ## What else could 8 bits be?
#
# The paper says FP8. The library that everybody uses took the dynamic map. Plain int8 would be
# simpler than both. Try all three, with and without the mean, on the scales of three sets of
# weights: normal numbers; the same with an outlier of 15 in every 256th block; the base model's.

# %%
top = FP8_E4M3.largest
ways = {
    "dynamic map": lambda y: DYNAMIC_MAP[encode_scale(y).int()],
    "int8": lambda y: torch.round(127 * y) / 127,
    "FP8 (E4M3)": lambda y: (top * y).to(torch.float8_e4m3fn).float() / top,
}


def rounded(absmax: Tensor, way: str, centred: bool) -> Tensor:
    """Scales [b] after their own quantization."""
    y, largest, offset = stretched(absmax, centred)
    return (ways[way](y) * largest).flatten()[: len(absmax)] + offset


normal = torch.randn(2 ** course.choose(quick=16, normal=22))
spoiled = normal.where(torch.arange(len(normal)) % (256 * 64) > 0, 15.0)
scales = {"normal": [block_absmax(normal, 64)], "outliers": [block_absmax(spoiled, 64)]}
scales["base model"] = base_scales
rms = {}
print("root mean square error of a scale, in % of the mean scale:")
print(f"{'':<24}" + "".join(f"{what:>12}" for what in scales))
for centred, way in [(False, way) for way in ways] + [(True, way) for way in ways]:
    rms[way, centred] = []
    for many in scales.values():
        errors = torch.cat([rounded(absmax, way, centred) - absmax for absmax in many])
        rms[way, centred].append((errors.square().mean().sqrt() / torch.cat(many).mean()).item())
    print(f"{way:<12}{'minus mean' if centred else 'as they are':<12}", end="")
    print("".join(f"{100 * error:>12.2f}" for error in rms[way, centred]))

# %% [markdown]
# Subtracting the mean helps every one of them, FP8 most: a format that is fine near zero and coarse
# far from it needs its numbers near zero. But the dynamic map is not the best everywhere: where the
# scales are well behaved, plain int8 is more exact. The dynamic map is an insurance. When one of
# 256 scales is an outlier, int8 has a tenth of its codes left for the others, as in lesson 09, and
# the map keeps its resolution near zero. That is what its many small values are for.
#
# ## What it costs
#
# Most of these errors are below one percent of a scale. NF4 itself has rounded the weights far more
# coarsely, and what counts is the sum. For normal numbers we have it already, from above.

# %%
pairs = {"normal": [mae[False][1], mae[True][1]], "base model": []}
for twice in (False, True):
    errors = [(dequantize_nf4(quantize_nf4(w, 64, twice)) - w).abs().flatten() for w in weights]
    pairs["base model"].append(torch.cat(errors).mean().item())
for what, (before, after) in pairs.items():
    print(f"{what:<10} MAE {before:.6f} -> {after:.6f}, {after / before - 1:+.2%}")

# %% [markdown]
# And the model's own work: bits for each byte of text that it has never seen, as in lesson 10, with
# its linear weights in fp32, in NF4, and in NF4 with double quantization. Again the differences are
# taken document by document and get their standard error.

# %%
held_out = HeldOut(encoding, course.choose(2_000, 10**9), course.seed, course.n_documents)


def needed(double_quant: bool | None) -> np.ndarray:
    """Bits for each held-out document; with linear weights in fp32 (None) or NF4."""
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
    print(" (within noise)" if change.is_noise else "")

# %% [markdown]
# ## One launch for both levels
#
# To use a weight, a GPU turns it back into bf16. What takes time in that is moving bytes, and they
# can be counted. The straightforward way has three kernels, as bitsandbytes does it: scale codes to
# scales, add the mean, then the weights. The scales are written to memory and read again, twice
# (unless they stay in a cache in between), and each launch takes some microseconds of its own. One
# kernel that looks up both levels as it goes moves each byte once.

# %%
# What that looks like: of the kernel to read, in Triton's interpreter, the part that makes scales.
if importlib.util.find_spec("triton"):
    print(
        subprocess.check_output(
            [sys.executable, "-m", "lessons.kernel_views.trace_dequantize"], text=True
        )
    )
else:
    print("The kernel is not shown: it needs triton, which there is for Linux only.")

one_launch = 4 / 8 + (1 + 4 / 256) / 64 + 2  # bytes: code, scale in two levels, the weight in bf16
bytes_moved = {"one launch": one_launch, "three launches": one_launch + 4 * 4 / 64}
for what, moved in bytes_moved.items():
    print(f"{what:<14} {moved:.3f} bytes a weight; for a matrix of 4096 x 4096, ", end="")
    print(f"{moved * 4096**2 / 4.3e6:.1f} us at the 4.3 TB/s that an H200 copies")

# %% [markdown]
# What does the second level cost in instructions? The compiler tells, and needs no GPU for that.
# `dequantize` is the version to read: every weight looks up its own scale. In `dequantize_fast`,
# which is what runs, a thread does 32 weights of one block and looks up one scale.

# %%
command = [sys.executable, "-m", "kernels.machine_code", "--arch", "sm_90"]
command += ["--kernel", "dequantize,dequantize_fast", "--json"]
if importlib.util.find_spec("triton"):
    print("$ python", *command[1:-1])
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    for row in json.loads(answer.stdout):
        print(f"{row['kernel']:<15} scales of {8 if row['double_quant'] else 32:>2} bits: ", end="")
        print(f"{row['instructions_per_element']:5.2f} instructions a weight, ", end="")
        print("{registers} registers, loads of up to {load_bytes} bytes".format(**row))
else:
    print("The machine code is left out: it needs triton, which there is for Linux only.")

# %% [markdown]
# ## Real models
#
# Lesson 09 compared published sizes of Llama 2 with what one predicts: linear layers at 4.127 bits,
# embeddings and head in 16. Here is the step itself, from 4.5 bits, and that of the largest model
# of the paper, the first Llama with 65 billion weights (last row).

# %%
published_sizes = ("13.5 -> 3.9", "26.1 -> 7.3", "138 -> 40.7", "(none)")
print(f"{'GB':<11}{'16 bits':>8}{'4.5':>8}{'4.127':>8}{'saved':>8}   published")
shapes = {**LLAMA_2, "Llama-65B": LlamaShape(8192, n_layer=80, ffn=22_016, n_head=64, n_kv_head=64)}
for (name, shape), published in zip(shapes.items(), published_sizes, strict=True):
    gigabytes = [shape.gigabytes(b) for b in (16, single, double)]
    gigabytes.append(gigabytes[1] - gigabytes[2])
    print(f"{name:<11}" + "".join(f"{size:>8.2f}" for size in gigabytes) + f"   {published}")

# %%
measured = [in_memory[twice][0] for twice in (False, True)]
saved_bits, saved = measured[0] - measured[1], (single - double) * 65 / 8
noise = {True: "within noise", False: "beyond noise"}
fp8, dynamic = (100 * rms[way, True][-1] for way in ("FP8 (E4M3)", "dynamic map"))
for what, published, found, same, remark in (
    ("bits a weight, blocks of 64", "4.5 -> 4.127", "{:.3f} -> {:.3f}".format(*measured),
     abs(measured[1] - 4.127) < 1e-3, " in memory"),
    ("saved by double quantization", "0.373, about 0.4 bits", f"{saved_bits:.3f} bits",
     abs(saved_bits - 0.373) < 1e-3, ""),
    ("saved by it for 65B weights", "about 3 GB", f"{saved:.2f} GB", round(saved) == 3,
     f": 0.373 x 65e9 / 8 bytes; {gigabytes[-1]:.2f} GB if only the linear layers are counted"),
    ("MAE on N(0, 1)", "(expected: 0.0728 -> 0.0729)", "{:.5f} -> {:.5f}".format(*pairs["normal"]),
     np.allclose(pairs["normal"], (0.0728, 0.0729), rtol=0, atol=1e-4),
     ": the first is what lesson 10 expects, the second adds 0.1%"),
    ("quality lost by it", "none", f"{lost.bits_per_byte:+.5f} ± {lost.error:.5f} bits a byte",
     lost.is_noise or lost.bits_per_byte < 1e-3, f" ({noise[lost.is_noise]}) on the base model; "
     f"NF4 itself {lost_by_nf4} ({noise[lost_by_nf4.is_noise]})"),
    ("format of the scales", "FP8", f"error {fp8:.2f}%; dynamic map {dynamic:.2f}%", None,
     ": checkpoints hold the dynamic map"),
):  # fmt: skip
    verdict = {True: "reproduced", False: "not reproduced", None: "differs"}[same]
    if published.startswith("(expected"):
        verdict = "as expected" if same else "not as expected"
    course.compare(what, published, found, verdict + remark)
course.finish()

# %% [markdown]
# Now you: scales of scales, and one kernel. `minigpt exercise start 11` writes the stubs, and
# `minigpt exercise check 11` says what your code computes.
