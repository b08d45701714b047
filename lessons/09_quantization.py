# %% [markdown]
# # Lesson 9: Quantization
#
# A model is a large collection of numbers, and in training each usually takes 32 bits. Does it need
# that many? In this lesson you take a number apart bit by bit, pack numbers into 8 bits by hand,
# see how one large number spoils all its neighbours, and learn how blocks contain the damage. Then
# you squeeze a real model to 8, 4, 3 and 2 bits, once after training and once during it, and
# measure what is lost.
#
# After this lesson you can
#
# - read the sign, exponent and mantissa of a number in fp32, fp16, bf16 and fp8;
# - quantize numbers to 8 bits by absmax and with a zero-point, and bound the error;
# - explain why outliers hurt and what blocks cost;
# - tell rounding after training from rounding during it, and compare the two fairly;
# - work out the size of a quantized model from its shape.
#
# You need lesson 1 (standard errors), lesson 3 (linear layers, embeddings, GELU) and lesson 4
# (training, bits per byte, text held out). Take about 60 minutes, and another 45 for the exercises;
# the script itself needs one at most on a laptop.
#
# Run it: `python lessons/09_quantization.py`, or `minigpt lesson 9`. Its code is
# `minigpt/float_formats.py` and `minigpt/quantization.py`.
#
# Terms can be looked up in the [glossary](GLOSSARY.md).

# %%
import copy
import dataclasses
import sys

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson

course = lesson.start(9, "Quantization")

# %%
import numpy as np
import torch
from torch.nn import functional as F

import minigpt.quantization as quantization
from lessons.experiments.format_verdicts import near_size
from lessons.experiments.gptq_files import gptq_gigabytes
from lessons.experiments.rounded_models import draw_bits, draw_outlier, draw_rounded
from lessons.held_out import HeldOut
from lessons.verdicts import error_of_mean, holds, is_more, no_worse, same_figure
from minigpt import GPT, count_parameters, load_pretrained
from minigpt.dataset import PackedText, pack
from minigpt.float_formats import BF16, FP8_E4M3, FP16, FP32, float_bits, float_value
from minigpt.memory.llama import LLAMA_2
from minigpt.quantization import bits_per_parameter, fake_quantize, layers_to_quantize
from minigpt.text.documents import split_documents
from minigpt.text.python_library import python_library
from minigpt.training.loop import train
from minigpt.training.settings import TrainConfig

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown]
# ## A number, bit by bit
#
# Computers write numbers the way scientists do: $0.1 = 1.6 \cdot 2^{-4}$. One bit holds the sign. A
# few hold the **exponent**: the -4, plus a constant (the **bias**, 127 in fp32) that keeps it from
# being negative. The others hold the **mantissa**, the digits after the point of 1.6. They are
# binary digits, worth 1/2, 1/4, 1/8 and so on, and the 1 before the point is always there, so that
# it needs no bit. The exponent decides how large and how small a number can be, the mantissa how
# exact it is. fp16 and bf16 both have 16 bits but divide them differently. There are several kinds
# of fp8; this one, E4M3, has 4 bits for the exponent and 3 for the mantissa. None of the formats
# holds 0.1 exactly, because in binary its digits never end. Each line shows sign, exponent and
# mantissa, and then the number that they stand for.

# %%
tenth = 0.1
formats = {"fp32": FP32, "fp16": FP16, "bf16": BF16, "fp8 (E4M3)": FP8_E4M3}
for name, format in formats.items():  # format.epsilon is what the last bit of a mantissa is worth
    bits = float_bits(tenth, format)
    exponent = f"{bits.exponent:0{format.exponent_bits}b}"
    mantissa = f"{bits.mantissa:0{format.mantissa_bits}b}"
    print(f"{name:<10} {bits.sign} {exponent:<8} {mantissa:<23} = ", end="")
    print(f"2^{bits.exponent - format.bias} x {1 + bits.mantissa * format.epsilon:.7f} = ", end="")
    print(f"{float_value(bits, format):.7f}")
course.save_figure(draw_bits(tenth, formats), "float_bits")

# %% [markdown]
# Is that what the processor does? Ask torch for the same number in its own formats, and compare.

# %%
dtypes = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
dtypes["fp8 (E4M3)"] = torch.float8_e4m3fn
ours = [float_value(float_bits(tenth, formats[name]), formats[name]) for name in dtypes]
theirs = [torch.tensor(tenth, dtype=dtype).item() for dtype in dtypes.values()]
print(f"by hand  {ours}\nby torch {theirs}")
course.checked(
    "0.1 in four formats, by hand and by torch",
    f"{sum(a == b for a, b in zip(ours, theirs, strict=True))} of {len(ours)} equal to the bit",
    holds(ours == theirs),
)

# %% [markdown]
# ## How large, how small, how exact
#
# Below its smallest **normal** number a format goes on for a while with fewer and fewer digits:
# these are the **subnormal** numbers. Above its largest number there is only infinity, or in E4M3,
# which has no infinity, NaN ("not a number"). The last column shows the next number after 1. The
# line below the table shows both limits at work: 70,000 lies beyond what fp16 can hold, and bf16
# has too few digits for 257.

# %%
print(f"{'':<11} {'smallest':>10} {'normal from':>12} {'largest':>10} {'after 1':>10}")
for name, format in formats.items():
    print(f"{name:<11} {format.smallest_subnormal:>10.2e} {format.smallest_normal:>12.2e} ", end="")
    print(f"{format.largest:>10.3g} {1 + format.epsilon:>10.7f}")
print("70000 in fp16 is", torch.tensor(70_000.0).half().item(), end="; ")
print("256 + 1 in bf16 is", (torch.tensor(256.0).bfloat16() + 1).item())

# %% [markdown]
# bf16 is a favourite for training because it gives up digits and keeps the range: a gradient may be
# tiny and does not have to be exact. The slides print ranges, too. They begin at different places,
# as the verdicts in the closing table say.

# %%
SLIDES = "slides 001/002"
for name in ("fp32", "bf16"):
    format = formats[name]
    course.published(
        f"range of {name}", SLIDES, "about 1e-38 to 3e38",
        f"{format.smallest_normal:.2e} to {format.largest:.2e}",
        holds(f"{format.smallest_normal:.0e} {format.largest:.0e}" == "1e-38 3e+38",
              yes="from the smallest normal number; subnormal numbers go down to "
                  f"{format.smallest_subnormal:.1e}",
              no="counting the format's bits gives another range", published=True),
    )  # fmt: skip
course.published(
    "range of fp16", SLIDES, "5.96e-8 to 65504",
    f"{FP16.smallest_subnormal:.2e} to {FP16.largest:.0f}",
    holds(f"{FP16.smallest_subnormal:.2e} {FP16.largest:.0f}" == "5.96e-08 65504",
          yes="from the smallest subnormal number, unlike the other two; normal numbers start at "
              f"{FP16.smallest_normal:.2e}",
          no="counting the format's bits gives another range", published=True),
)  # fmt: skip

# %% [markdown]
# ## Eight bits by hand
#
# Eight bits give 256 **codes**. We take the whole numbers from -127 to 127 and leave -128 unused,
# so that both sides are alike. Stretch the numbers so that the largest absolute value, the
# **absmax**, lands on 127, and round. To get back, divide. This is **absmax quantization**, with c
# as its **constant**:
#
# $$c = 127 / \max|x| \qquad q = \text{round}(c\,x) \qquad x \approx q / c$$

# %%
x = torch.tensor([0.314, -1.288, 0.046, 0.803, -0.002, 2.54])  # [6]
c = 127 / x.abs().max()
q = torch.round(c * x)  # [6]
back = q / c  # [6]
step = 1 / c
print(f"x        {x}\nc = 127 / {x.abs().max():.2f} = {c:.1f}\nq        {q.to(torch.int8)}")
print(f"q / c    {back}\nerror    {back - x}\nhalf a step is {step / 2:.3f}")

# %% [markdown]
# The error is never more than half a step. -0.002 became 0 (printed with the sign it had): relative
# to their size, small numbers suffer most. The library does the same with 2 to 8 bits, and can give
# each row or block a c of its own. Whole numbers of 8 bits with a sign are called **int8**, those
# from 0 to 255 **uint8** (without a sign), and those of 4 bits with a sign **int4**. In one call,
# `fake_quantize` rounds numbers to codes and turns these back into numbers.

# %%
codes, library_c = quantization.quantize_absmax(x)  # int8 [6], [1]
equal = torch.equal(codes, q.to(torch.int8)) and torch.equal(library_c[0], c)
equal &= torch.equal(quantization.dequantize_absmax(codes, library_c), back)
many = torch.randn(100_000)  # [100000]
worst = ((fake_quantize(many, 8) - many).abs().max() * 127 / many.abs().max()).item()
course.checked(
    "int8 absmax by hand and by the library",
    f"{len(x)} codes, c and x {'equal' if equal else 'differ'}",
    holds(equal, no="the library computes something else"),
)
course.checked(
    "int8 absmax: largest error of 100,000 numbers", f"{worst:.4f} steps",
    holds(worst <= 0.5001, yes="no more than half a step, but for fp32's own rounding",
          no="more than half a step"),
)  # fmt: skip

# %% [markdown]
# ## Lopsided numbers: the zero-point
#
# After a GELU (lesson 3) numbers are no longer alike on both sides: none is below -0.17. Absmax
# would still keep half of its codes for negative numbers as large as the largest positive one.
# Instead, let the codes 0 to 255 reach from the smallest number to the largest, and remember which
# code means 0. That code is the **zero-point** z (Jacob et al. 2018, equation 1):
#
# $$s = (\max x - \min x) / 255 \qquad z = \text{round}(-\min x / s) \qquad
# q = \text{round}(x / s) + z \qquad x \approx s\,(q - z)$$
#
# To make sure that there is a code for 0, the range always includes 0, even where all x lie on one
# side of it. The five numbers below are chosen so that nothing has to be rounded.

# %%
skewed = torch.tensor([-0.1, 0.0, 0.4, 1.2, 2.45])  # [5]
codes, s, z = quantization.quantize_zero_point(skewed)  # uint8 [5], [1], [1]
print(f"x        {skewed}\nq        {codes}   with s = {s.item():.3f}, z = {z.item()}")
print(f"s(q - z) {quantization.dequantize_zero_point(codes, s, z)}\n")

# %% [markdown]
# Here are 100,000 numbers after a GELU, with 8 bits each. The two ways round the same numbers, so
# compare them number by number. The spread of the differences gives a standard error (lesson 1):
# how much their mean would vary with other numbers. A difference below two of those may be chance.

# %%
x = F.gelu(torch.randn(100_000))  # [100000]
error = {way: (fake_quantize(x, 8, zero_point=way) - x).abs().numpy() for way in (False, True)}
print(f"100,000 numbers after GELU, {x.min():.2f} to {x.max():.2f}; mean absolute error:")
print(f"{error[False].mean():.5f} with absmax, {error[True].mean():.5f} with a zero-point")
gained = error[False] - error[True]  # [100000]
course.published(
    "a zero-point lowers the error of lopsided numbers",
    "Dettmers et al. 2022 (LLM.int8()), section 2",
    "lower for asymmetric numbers",
    f"mean absolute error {error[False].mean():.5f} -> {error[True].mean():.5f}",
    is_more(float(gained.mean()), error_of_mean(gained), places=5),
)  # fmt: skip

# %% [markdown]
# ## One outlier ruins a tensor
#
# Now take 65,536 numbers from a normal distribution and replace one of them by 60, which is 60
# standard deviations. It gets the largest code, and all the others share the few codes near 0. How
# many of the 255 codes are still in use?

# %%
N_DRAWS, AT = 5, 12_345  # five sets of random numbers; the place of the outlier
usual = torch.randn(N_DRAWS, 2**16)  # [5, 65536]
spoiled = usual.clone()
spoiled[:, AT] = 60.0


def codes_in_use(x: torch.Tensor) -> int:
    """Returns how many different codes int8 absmax gives to x."""
    return len(quantization.quantize_absmax(x)[0].unique())


in_use = np.array([[codes_in_use(x) for x in draws] for draws in (usual, spoiled)])  # [2, 5]
print(f"codes in use, in {N_DRAWS} draws: {in_use[0]}; with the outlier {in_use[1]}")
idle = in_use[0] - in_use[1]  # [5]
course.published(
    "one outlier leaves codes of int8 unused", "Dettmers et al. 2023 (QLoRA), section 2",
    "few or no numbers in some bins",
    "{:.0f} codes in use without, {:.0f} with it".format(*in_use.mean(axis=1)),
    is_more(float(idle.mean()), error_of_mean(idle), unit=" codes fall idle", places=0,
            no="as many codes are in use with it"),
)  # fmt: skip

# %% [markdown]
# With 4 bits a step is 60 / 7 = 8.6, and whatever is below half of it becomes 0: that is nearly
# everything. Large language models do have such outliers, in the **activations**, the numbers that
# flow between their layers (Dettmers et al. 2022, LLM.int8()). LLM.int8() leaves the columns that
# have outliers in 16 bits. A simpler cure, and QLoRA's, is to cut the tensor into **blocks**, each
# with a c of its own. The outlier then spoils only its own block. The price is a c of 32 bits for
# each block. How large is the error of all the other numbers? We take its root mean square
# (**RMS**), in percent of their standard deviation; 100% means that everything became 0.

# %%
block_sizes = [2**n for n in range(4, 17)]
errors: dict[str, np.ndarray] = {}  # [draws, block sizes], in % of the standard deviation
for bits in (8, 4):
    for text, numbers in (("no outlier", usual), ("one outlier", spoiled)):
        rms = np.empty((N_DRAWS, len(block_sizes)))
        for column, size in enumerate(block_sizes):
            difference = fake_quantize(numbers, bits, size) - numbers  # [5, 65536]
            difference[:, AT] = 0  # look at what happened to the others
            rms[:, column] = 100 * difference.square().mean(dim=1).sqrt() / usual.std(dim=1)
        errors[f"{bits} bits, {text}"] = rms
for name, rms in errors.items():
    blocks, whole = rms.mean(axis=0)[[2, -1]]
    print(f"{name:<20} error in blocks of 64: {blocks:6.2f}%,  as one tensor: {whole:6.2f}%")
course.save_figure(draw_outlier(block_sizes, errors), "outlier")

# %%
grown = errors["8 bits, one outlier"] / errors["8 bits, no outlier"]  # [draws, block sizes]
one_tensor, in_blocks = grown[:, -1], grown[:, 2]  # [draws] each
course.published(
    "int8, one outlier: blocks keep it from the others",
    "Dettmers et al. 2023 (QLoRA), section 2", "blocks prevent the outlier issue",
    f"error of the others x {one_tensor.mean():.1f} as one tensor, x {in_blocks.mean():.2f} in "
    "blocks of 64",
    is_more(float((one_tensor - in_blocks).mean()), error_of_mean(one_tensor - in_blocks),
            unit=" times the usual error", no="blocks do not help"),
)  # fmt: skip

# %% [markdown]
# ## A real model: rounded after training
#
# The outlier above lay 60 standard deviations out. How far out is the largest weight of a real
# model? Here are the four linear layers of the first block of the base model (lesson 4). Its head
# is left aside.

# %%
base, encoding = load_pretrained("base")
base = base.to(course.device)
linear_layers = layers_to_quantize(base, 4, 64, skip=("lm_head",))  # fit for 4 bits, blocks of 64
for layer in linear_layers[:4]:
    weight = layer.weight  # [out, in]
    print(f"{list(weight.shape)}: largest is {weight.abs().max() / weight.std():.0f} deviations")

# %% [markdown]
# We round the weights of all its linear layers once training is over: **post-training
# quantization** (PTQ). The embeddings, which also serve as the head (lesson 3), stay as they are.
# What does it cost? We count the bits that the model needs for each byte of text that was held out,
# that is, kept away from its training, as in lesson 4. Fewer are better.

# %%
held_out = HeldOut(encoding, course.choose(1_000, 20_000, 10**9), course.seed, course.n_documents)
n_bytes = held_out.n_bytes
exact = held_out.bits(base)  # [documents]
alone = held_out.change(exact, np.zeros_like(exact))  # the change from a model that needs no bits
print(f"\n{n_bytes:,} bytes held out, in {len(exact)} documents; in fp32 the model needs")
print(f"{alone.bits_per_byte:.3f} bits for each, ± {alone.error:.3f} with other documents")


def bits_when_rounded(model: GPT, bits: int, per: quantization.Per) -> np.ndarray:
    """Returns the bits that model needs for each document once its weights are rounded."""
    rounded = copy.deepcopy(model)
    quantization.round_weights(rounded, bits, per)
    return held_out.bits(rounded)


widths = (8, 4, 3, 2)
per_tensor, per_block = (
    [bits_when_rounded(base, bits, per) for bits in widths] for per in ("tensor", 64)
)
for bits, whole, blocks in zip(widths, per_tensor, per_block, strict=True):
    print(f"{bits} bits: {whole.sum() / n_bytes:6.3f} with one c a tensor, ", end="")
    print(f"{blocks.sum() / n_bytes:6.3f} with one c for each block of 64")

# %% [markdown]
# The ± above is a standard error again, and it is large, because documents differ a lot. But all
# these models read the *same* documents, and the difference between two models varies far less from
# document to document. So from here on we compare document by document (`lessons/held_out.py`), and
# each difference comes with its own standard error. When do we say that nothing is lost? If the
# loss, with two standard errors on top, stays below 0.005 bits a byte. That limit is our choice,
# about a quarter of a percent of what the model needs.

# %%
lost = [held_out.change(needed, exact) for needed in per_block]
for bits, change in zip(widths, lost, strict=True):
    print(f"{bits} bits in blocks of 64, minus fp32: {change} bits a byte")
course.checked("base model in 8 bits, blocks of 64: loss of quality", f"{lost[0]} bits a byte",
               no_worse(*lost[0], allowed=0.005, places=4, unit=" bits a byte",
                        checked=True))  # fmt: skip
tensor_4 = held_out.change(per_tensor[1], per_block[1])
course.checked("base model in 4 bits: one c a tensor, minus blocks of 64",
               f"{tensor_4} bits a byte",
               is_more(*tensor_4, checked=True, places=4, unit=" bits a byte",
                       no="one c for a whole tensor loses no more"))  # fmt: skip

# %% [markdown]
# One constant for a whole tensor costs more than one for each block: even without real outliers, a
# few large weights decide how coarse the steps are for all the others.
#
# ## Rounded during training
#
# **Quantization-aware training** (QAT) lets the model feel the rounding while it can still learn.
# Each forward pass computes with rounded weights. The backward pass has a problem: rounding is a
# staircase, and the slope of a staircase is 0 almost everywhere, so no gradient would come through.
# The **straight-through estimator** (Bengio et al. 2013) pretends that the staircase is a straight
# ramp and passes the gradient on unchanged. `fake_quantize` does just that:

# %%
weight = torch.tensor([0.3, -0.8, 1.0], requires_grad=True)  # [3]
rounded_weight = fake_quantize(weight, bits=3)  # [3]
rounded_weight.square().sum().backward()
print(f"weight {weight.data}, with 3 bits {rounded_weight.data}")
print(f"gradient of the sum of squares: {weight.grad}, twice the rounded weights")

# %% [markdown]
# The exact weights stay in the background and collect the updates, most of which are too small to
# reach the next code on their own.
#
# To compare fairly, both sides get the same extra training: the same steps on the same batches,
# starting from the base model. QAT rounds *during* these steps, PTQ *after* them. There are only 20
# steps (600 with `--full` or on a CUDA GPU), of 6 texts each. The learning rate climbs to 2e-4, a
# usual size for training a finished model further, and falls to 0, so that the weights settle
# (lesson 4 explains warm-up and weight decay). The result also depends on the batches, of which the
# standard error knows nothing: `--seed` tries others. Jacob et al. (2018) round the activations as
# well, and their small models work with images; we round weights only.

# %%
documents = split_documents(python_library(course.n_documents))[0]
ids = pack(encoding.encode_ordinary_batch([d.text for d in documents]), encoding.eot_token)
data = PackedText(ids, held_out.ids, min(256, base.config.block_size), course.seed)
steps = course.choose(quick=2, normal=20, full=600)
settings = TrainConfig(
    max_steps=steps, batch_size=course.choose(quick=2, normal=6), device=str(course.device),
    learning_rate=2e-4, min_learning_rate=0.0, warmup_steps=steps // 10, weight_decay=0.01,
)  # fmt: skip


def trained_further(bits: int | None) -> GPT:
    """Returns the base model after more steps; bits: aware of rounding, in blocks of 64."""
    model = GPT(dataclasses.replace(base.config, dropout=0.0))  # the rounding is noise enough
    model.load_state_dict(base.state_dict())
    if bits:
        quantization.apply_fake_quantization(model, bits, per=64)
    train(model, data, settings)
    quantization.merge_fake_quantization(model)  # an ordinary model again, with rounded weights
    return model


# %%
further = trained_further(None)
control = held_out.bits(further)  # [documents]
after = [bits_when_rounded(further, bits, 64) for bits in widths]
during = [held_out.bits(trained_further(bits)) for bits in widths]
print(f"bits per byte; in fp32 {exact.sum() / n_bytes:.3f}, ", end="")
print(f"after {steps} more steps {control.sum() / n_bytes:.3f}")
for bits, *needed in zip(widths, per_block, after, during, strict=True):
    shipped, late, aware = (documents.sum() / n_bytes for documents in needed)
    print(f"{bits} bits: {shipped:6.3f} rounded as shipped; ", end="")
    print(f"with {steps} more steps {late:6.3f} rounded after, {aware:6.3f} during them")

# %% [markdown]
# The extra steps may even make the fp32 model a little worse on this text: it had settled, and they
# shake it. That is why rounding after the steps and rounding during them are both compared with an
# fp32 model that has taken the same steps. But where the steps do harm, QAT has to win that back
# before it beats the simplest way, to round the model as it was shipped. So compare the two as
# well.

# %%
for bits, late, aware in zip(widths, after, during, strict=True):
    gain = held_out.change(late, aware)  # above 0 where QAT needs fewer bits
    course.published(
        f"base model with {bits} bits: QAT against PTQ", "Jacob et al. 2018, section 3",
        "QAT loses less than PTQ in small models",
        f"PTQ {held_out.change(late, control)}, QAT {held_out.change(aware, control)} bits a byte",
        is_more(*gain, places=4, unit=" bits a byte", no="QAT loses more here"),
    )  # fmt: skip
for bits, shipped, aware in zip(widths, per_block, during, strict=True):
    course.checked(
        f"base model with {bits} bits: QAT is better than rounding it as shipped",
        f"{aware.sum() / n_bytes:.3f}, {shipped.sum() / n_bytes:.3f} bits a byte",
        is_more(*held_out.change(shipped, aware), places=4, unit=" bits a byte", checked=True,
                no="the extra steps cost more than QAT wins back"),
    )  # fmt: skip

# %%
curves = {"PTQ, one c a tensor": per_tensor, "PTQ, blocks of 64": per_block}
trained = {
    f"PTQ after {steps} more steps, blocks of 64": after,
    f"QAT for {steps} steps, blocks of 64": during,
}
figure = draw_rounded(
    widths,
    {label: [bits.sum() / n_bytes for bits in each] for label, each in (curves | trained).items()},
    {"fp32, as shipped": exact.sum() / n_bytes,
     f"fp32, {steps} more steps": control.sum() / n_bytes},
    {label.partition(",")[0]: [held_out.change(bits, control) for bits in each]
     for label, each in trained.items()},
)  # fmt: skip
course.save_figure(figure, "ptq_qat")

# %% [markdown]
# With 2 bits a weight is -1, 0 or 1 times its block's absmax, and there is most to lose. The table
# says how much of it QAT wins back in a few seconds of training, and how certain that is (with
# `--full` or on a CUDA GPU it is trained for longer). With 8 bits hardly anything is lost that
# could be won back.
#
# ## What it saves
#
# First the base model. Codes of 4 bits in blocks of 64 with a c of 32 bits take 4 + 32 / 64 = 4.5
# bits a weight. Embeddings, biases and norms are not quantized; they keep 16 bits, or 32 in the
# first line.

# %%
n_linear = sum(layer.weight.numel() for layer in linear_layers)
n_other = count_parameters(base.config) - n_linear
print(f"{n_linear:,} linear weights and {n_other:,} others take together, with linear weights in")
for bits in (32, 16, *widths):
    linear_bits = bits if bits > 8 else bits_per_parameter(bits, 64)
    size = (n_linear * linear_bits + n_other * (32 if bits == 32 else 16)) / 8e6
    constants = f" ({linear_bits:.1f} with constants)" if bits in widths else ""
    print(f"{f'{bits} bits{constants}:':<29}{size:5.1f} MB")

# %% [markdown]
# Now the published sizes of three Llama 2 models, in GB of 10^9 bytes. Nothing needs to be
# downloaded: their shapes are public, and counting is enough. The layout behind the published sizes
# is not stated, so take QLoRA's (lesson 11 derives it): 4 bits a weight, a constant of 8 bits for
# each block of 64, and 32 more bits for every 256 of those constants. Embeddings and head stay in
# 16 bits. The last column goes the other way: take embeddings and head off the published size, and
# divide what is left among the linear weights.

# %%
qlora_bits = bits_per_parameter(4, 64, bits_per_parameter(8, 256))
print(f"4 + (8 + 32/256) / 64 = {qlora_bits:.3f} bits for each linear weight")
PUBLISHED = {
    "Llama2-7B": ("13.5", "3.9"), "Llama2-13B": ("26.1", "7.3"), "Llama2-70B": ("138", "40.7")
}  # fmt: skip
left = {}  # bits for each linear weight in the published size of int4
print("           weights (10^9)   fp16: GB          int4: GB          published int4 leaves")
print("           linear   other   here published    here published    for a linear weight")
for name, shape in LLAMA_2.items():
    fp16, int4 = PUBLISHED[name]
    left[name] = shape.linear_bits(float(int4))
    linear, other = shape.linear_parameters / 1e9, shape.other_parameters / 1e9
    print(f"{name:<11}{linear:6.2f}{other:8.2f}{shape.gigabytes(16):9.2f}{fp16:>8}", end="")
    print(f"{shape.gigabytes(qlora_bits):10.2f}{int4:>8}{left[name]:12.2f} bits")

# %%
for name, shape in LLAMA_2.items():
    sizes = shape.gigabytes(16), shape.gigabytes(qlora_bits)
    leaves = f"the published size leaves {left[name]:.2f} bits a linear weight, where QLoRA's "
    leaves += f"layout takes {qlora_bits:.2f}"
    for label, printed, size in zip(("fp16", "int4"), PUBLISHED[name], sizes, strict=True):
        otherwise = leaves if label == "int4" else "counting gives another size"
        course.published(f"{name} in {label}", SLIDES, f"{printed} GB", f"{size:.2f} GB",
                         near_size(printed, size, otherwise))  # fmt: skip

# %% [markdown]
# In fp16 all three come out, if you allow for sizes that were rounded up. In int4 two of the three
# do. The third does not: 40.7 GB leave 4.63 bits for a linear weight, where the other two leave
# 4.17 and 4.19. So the three sizes do not come from one and the same layout.
#
# Where do they come from, then? **GPTQ** (Frantar et al. 2022) is another way to 4 bits, which
# chooses the codes more cleverly. Its files hold a scale of 16 bits and a zero-point of 4 bits for
# each group of weights, for each input of a layer the number of its group (4 bytes), and for each
# output a bias that is 0 (2 bytes). Many were published in 2023, with groups of different sizes.
# Take groups of 128 for the two smaller models and of 32 for the largest, and compare with what the
# files' own pages say:

# %%
CARDS = {  # a page on Hugging Face, the size of a group, and the size of the file in GB
    "Llama2-7B": ("TheBloke/Llama-2-7b-Chat-GPTQ", 128, "3.90"),
    "Llama2-13B": ("TheBloke/Llama-2-13B-GPTQ", 128, "7.26"),
    "Llama2-70B": ("TheBloke/StableBeluga2-70B-GPTQ", 32, "40.66"),
}
for name, (page, group, printed) in CARDS.items():
    gptq_bits = bits_per_parameter(4, group, 16 + 4)
    size = gptq_gigabytes(LLAMA_2[name], group)
    print(f"{name}: 4 + 20/{group} = {gptq_bits:.3f} bits, {size:.3f} GB", end="; ")
    print(f"the slides have {PUBLISHED[name][1]} GB")
    course.published(
        f"{name} as GPTQ, groups of {group}", f"Hugging Face, {page}", f"{printed} GB",
        f"{size:.3f} GB",
        same_figure(printed, size, "the file must hold something else",
                    remark=f"{gptq_bits:.3f} bits a linear weight"),
    )  # fmt: skip

# %% [markdown]
# The verdicts are in the closing table. Rounded to one decimal, these are the sizes on the slides,
# which therefore are most likely those of GPTQ files, with smaller groups for the largest model.
# (The last page belongs to a model that was trained further from Llama 2 70B; it has the same
# shape.)
#
# ## What to take away
#
# - A floating-point number is sign, exponent and mantissa. The exponent sets the range, the
#   mantissa the precision; bf16 has fp32's range, fp16 is more precise.
# - Absmax maps the largest number to the largest code. The error is at most half a step, and the
#   largest number sets the step for all that share the constant.
# - A zero-point helps numbers that are not alike on both sides; blocks help against outliers, for
#   32 / B more bits a weight in blocks of B.
# - Compare two models on the same documents, by differences with a standard error.
# - QAT passes gradients straight through the rounding. It can pay only where rounding hurts.
# - The size of a model is arithmetic: linear weights times their bits, plus everything else in 16.

# %%
course.finish()

# %% [markdown]
# Your turn: absmax, zero-point, the bits of a float. `minigpt exercise start 9` writes the stubs,
# and `minigpt exercise check 9` says what your code computes. Lesson 10 asks which 16 numbers 4
# bits should stand for.
