# ruff: noqa: F811
# mypy: ignore-errors
"""Lesson 9's bank: right answers in several styles, and the mistakes that people make."""

import math
import struct

import numpy as np
import torch

from lessons.grading.task import Bank

# 9.1 quantize_absmax

absmax = Bank()


@absmax.right
def quantize_absmax(x, bits=8):
    Q = 2 ** (bits - 1) - 1
    c = Q / x.abs().max()
    c = torch.clamp(c, max=torch.finfo(torch.float32).max)
    codes = torch.round(c * x)
    return codes.to(torch.int8), c.reshape(1)


@absmax.right
def quantize_absmax(x, bits=8):
    top = (1 << bits - 1) - 1
    largest = float(x.abs().max())
    if largest == 0:
        return torch.zeros(x.shape, dtype=torch.int8), torch.tensor([3.4028234663852886e38])
    codes = (x / largest * top).round().clamp(-top, top)
    return codes.char(), torch.tensor([top / largest])


@absmax.right
def quantize_absmax(x, bits=8):
    numbers = x.numpy().astype(np.float64)
    largest = np.abs(numbers).max()
    top = 2 ** (bits - 1) - 1
    with np.errstate(divide="ignore"):
        c = min(np.float64(top) / largest, np.finfo(np.float32).max)
    codes = np.rint(numbers * c).astype(np.int8)
    return torch.from_numpy(codes), torch.from_numpy(np.array([c], dtype=np.float32))


@absmax.right
def quantize_absmax(x, bits=8):
    q_max = 2 ** (bits - 1) - 1
    flat = x.reshape(-1).tolist()
    amax = max(abs(number) for number in flat)
    codes = [round(number * q_max / amax) if amax > 0 else 0 for number in flat]
    c = q_max / amax if amax > 0 else torch.finfo(torch.float32).max
    return torch.tensor(codes, dtype=torch.int8).reshape(x.shape), torch.tensor([c])


@absmax.right
def quantize_absmax(x, bits=8):
    step = x.abs().amax() / (2 ** (bits - 1) - 1)
    c = torch.where(step > 0, 1 / step, torch.finfo(x.dtype).max)
    codes = torch.where(step > 0, x / step, torch.zeros_like(x))
    return codes.round().to(torch.int8), c[None]


absmax.edit(
    "rounded up",
    "You round up (ceil). Round to the nearest whole number: torch.round.",
    ("torch.round(c * x)", "torch.ceil(c * x)"),
)
absmax.edit(
    "a half is added, then cut off",
    "You add 0.5 and cut off what is after the decimal point. Below zero that cuts towards zero, "
    "so those codes come out too large: torch.round takes the nearest.",
    ("torch.round(c * x)", "(c * x + 0.5)"),
)
absmax.edit(
    "c is 0 for zeros",
    "Where all of x is zero your c is 0. It is the largest number of fp32 there, so that it can be "
    "divided by.",
    ("torch.clamp(c, max=torch.finfo(torch.float32).max)", "torch.nan_to_num(c, posinf=0.0)"),
)
absmax.edit(
    "c in fp64",
    "Your c is in fp64. It is in fp32, like x.",
    ("c.reshape(1)", "c.double().reshape(1)"),
)
absmax.edit(
    "c comes first",
    "You return c before the codes.",
    ("return codes.to(torch.int8), c.reshape(1)", "return c.reshape(1), codes.to(torch.int8)"),
)
absmax.edit(
    "the largest number limited from below",
    "You take at least 1e-8 for max|x|, so zeros get another c than the largest of fp32, and so do "
    "numbers that are smaller still.",
    ("x.abs().max()", "x.abs().max().clamp(min=1e-8)"),
)
absmax.edit(
    "one code too many",
    "You scale to 2^(bits-1), which is 128 for 8 bits. int8 ends at 127, and the largest number "
    "becomes -128: Q is 2^(bits-1) - 1.",
    ("2 ** (bits - 1) - 1", "2 ** (bits - 1)"),
)
absmax.edit(
    "the sign's bit is forgotten",
    "You scale to 2^bits - 1, as if the codes had no sign. One bit is the sign's: Q is 2^(bits-1) "
    "- 1.",
    ("2 ** (bits - 1) - 1", "2**bits - 1"),
)
absmax.edit(
    "always 8 bits",
    "You take 127 whatever `bits` is.",
    ("2 ** (bits - 1) - 1", "127"),
)
absmax.edit(
    "the largest, not the largest in size",
    "You scale by the largest number of x. A negative one may be larger in size.",
    ("x.abs().max()", "x.max()"),
)
absmax.edit(
    "the size of the largest, not the largest size",
    "You take the size of the largest number, |max x|. The largest size is max |x|.",
    ("x.abs().max()", "x.max().abs()"),
)
absmax.edit(
    "half of the range",
    "You scale by half of the distance from the smallest number to the largest. absmax scales by "
    "max |x|, so that 0 has code 0 and both sides have the same step.",
    ("x.abs().max()", "((x.max() - x.min()) / 2)"),
)
absmax.edit(
    "the mean, not the largest",
    "You scale by the mean of |x|, and the larger half leaves the range of the codes.",
    ("x.abs().max()", "x.abs().mean()"),
)
absmax.edit(
    "cut off, not rounded",
    "You cut off what is after the decimal point: converting to int8 does not round. torch.round "
    "does.",
    ("torch.round(c * x)", "c * x"),
)
absmax.edit(
    "rounded down",
    "You round down. The nearest whole number is meant.",
    ("torch.round(", "torch.floor("),
)
absmax.edit(
    "a half is rounded up",
    "You round by adding 0.5 and rounding down, so a tie always goes up. Here it goes to the even "
    "number, as torch.round does it.",
    ("torch.round(c * x)", "torch.floor(c * x + 0.5)"),
)
absmax.edit(
    "a half is rounded away from zero",
    "You round a tie away from zero. Here it goes to the even number, as torch.round does it.",
    ("torch.round(c * x)", "torch.sign(x) * torch.floor(c * x.abs() + 0.5)"),
)
absmax.edit(
    "zeros are not allowed for",
    "Where all of x is zero your c is infinite. It is limited to the largest number of fp32.",
    ("    c = torch.clamp(c, max=torch.finfo(torch.float32).max)\n", ""),
)
absmax.edit(
    "c is 1 for zeros",
    "Where all of x is zero your c is 1. The exercise asks for the largest number of fp32.",
    ("torch.clamp(c, max=torch.finfo(torch.float32).max)", "torch.where(c.isinf(), 1.0, c)"),
)
absmax.edit(
    "a little is added to the largest",
    "You add a small number to max|x| so as not to divide by zero, which shifts c, and gives zeros "
    "another c than the largest of fp32.",
    ("x.abs().max()", "(x.abs().max() + 1e-8)"),
)
absmax.edit(
    "c is the step",
    "You return max|x| / Q, the distance between two codes. c is its inverse.",
    ("c.reshape(1)", "1 / c.reshape(1)"),
)
absmax.edit(
    "c has no dimension",
    "Your c has the shape []. It is [1], one for each group, and here there is one group.",
    ("c.reshape(1)", "c"),
)
absmax.edit(
    "c is a Python number",
    "Your c is a Python number. It is a tensor [1], so that it can be saved beside the codes.",
    ("c.reshape(1)", "c.item()"),
)
absmax.edit(
    "codes in int32",
    "Your codes are int32, four bytes each: nothing is saved. They are int8.",
    ("codes.to(torch.int8)", "codes.to(torch.int32)"),
)
absmax.edit(
    "codes are not whole",
    "Your codes are rounded, but stay floats. They are int8.",
    ("codes.to(torch.int8)", "codes"),
)
absmax.edit(
    "unsigned codes",
    "Your codes are uint8, which has no negative numbers.",
    ("codes.to(torch.int8)", "codes.to(torch.int8).to(torch.uint8)"),
)
absmax.edit(
    "one scale for each row",
    "You scale every row by its own largest number. Here one c serves the whole tensor.",
    ("x.abs().max()", "x.abs().amax(dim=-1, keepdim=True)"),
    ("c.reshape(1)", "c.reshape(-1)"),
)
absmax.edit(
    "c is rounded",
    "You round c too. Only the codes are whole numbers.",
    ("torch.clamp(c,", "torch.clamp(c.round(),"),
)
absmax.edit(
    "the signs are lost",
    "Your codes are those of |x|.",
    ("torch.round(c * x)", "torch.round(c * x.abs())"),
)
absmax.edit(
    "the shape is lost",
    "Your codes are in one line. They have the shape of x.",
    ("codes.to(torch.int8)", "codes.to(torch.int8).flatten()"),
)
absmax.edit(
    "x is changed",
    "You scale and round x in place: whoever called you has lost the numbers.",
    ("torch.round(c * x)", "x.mul_(c).round_()"),
)

# 9.2 dequantize_absmax

dequantize = Bank()


@dequantize.right
def dequantize_absmax(codes, c):
    return codes.to(torch.float32) / c


@dequantize.right
def dequantize_absmax(codes, c):
    return codes * (1.0 / c.item())


@dequantize.right
def dequantize_absmax(codes, c):
    x = codes.numpy().astype(np.float64) / float(c)
    return torch.from_numpy(x.astype(np.float32))


@dequantize.right
def dequantize_absmax(codes, c):
    x = torch.zeros(codes.shape).reshape(-1)
    for i, code in enumerate(codes.reshape(-1)):
        x[i] = code.item() / c[0]
    return x.reshape(codes.shape)


@dequantize.right
def dequantize_absmax(codes, c):
    table = torch.arange(-128, 128, dtype=torch.float32) / c
    return table[codes.long() + 128]


dequantize.edit(
    "multiplied by c",
    "You multiply by c. Quantizing multiplied by it: divide.",
    (" / c", " * c"),
)
dequantize.edit(
    "upside down",
    "You divide c by the codes.",
    ("codes.to(torch.float32) / c", "c / codes.to(torch.float32)"),
)
dequantize.edit(
    "whole-number division",
    "You divide with //, so every result is a whole number.",
    (" / c", " // c"),
)
dequantize.edit(
    "rounded again",
    "You round the result to whole numbers.",
    ("codes.to(torch.float32) / c", "torch.round(codes.to(torch.float32) / c)"),
)
dequantize.edit(
    "back to int8",
    "You convert the result to the dtype of the codes, which cuts off everything after the "
    "decimal point.",
    ("codes.to(torch.float32) / c", "(codes.to(torch.float32) / c).to(codes.dtype)"),
)
dequantize.edit(
    "the codes without c",
    "You return the codes as fp32 and leave out c.",
    (" / c", ""),
)
dequantize.edit(
    "always 127",
    "You divide by 127, which only fits numbers between -1 and 1. What was multiplied by c is "
    "divided by c.",
    (" / c", " / 127"),
)
dequantize.edit(
    "divided by 127 as well",
    "You divide by 127 as well. It is in c already: c = 127 / max|x|.",
    (" / c", " / 127 / c"),
)
dequantize.edit(
    "unsigned codes",
    "You read the codes as unsigned bytes: -1 becomes 255.",
    ("codes.to(torch.float32)", "codes.to(torch.uint8).to(torch.float32)"),
)
dequantize.edit(
    "the signs are lost",
    "Your result has no signs.",
    ("codes.to(torch.float32)", "codes.to(torch.float32).abs()"),
)
dequantize.edit(
    "codes from 0 to 255",
    "You subtract 128 from the codes. They are signed already: code 0 means 0.",
    ("codes.to(torch.float32)", "(codes.to(torch.float32) - 128)"),
)
dequantize.edit(
    "fp64",
    "Your result is in fp64. It is fp32.",
    ("torch.float32", "torch.float64"),
)
dequantize.edit(
    "bf16 on the way",
    "You divide in bf16, which leaves 3 digits.",
    ("codes.to(torch.float32) / c", "(codes.bfloat16() / c.bfloat16()).float()"),
)
dequantize.edit(
    "fp16 on the way",
    "You divide in fp16, which leaves 4 digits and ends at 65504.",
    ("codes.to(torch.float32) / c", "(codes.half() / c.half()).float()"),
)
dequantize.edit(
    "c is cut to a whole number",
    "You convert c to a whole number first.",
    (" / c", " / c.int().clamp(min=1)"),
)
dequantize.edit(
    "the shape is lost",
    "Your result is in one line. It has the shape of codes.",
    ("codes.to(torch.float32)", "codes.flatten().to(torch.float32)"),
)

# 9.3 quantize_zero_point

zero_point = Bank()


@zero_point.right
def quantize_zero_point(x, bits=8):
    N = 2**bits - 1
    low = x.min().clamp(max=0)
    high = x.max().clamp(min=0)
    s = ((high - low) / N).clamp(min=torch.finfo(torch.float32).tiny)
    z = torch.round(-low / s)
    codes = (torch.round(x / s) + z).clamp(0, N)
    return codes.to(torch.uint8), s.reshape(1), z.to(torch.int32).reshape(1)


@zero_point.right
def quantize_zero_point(x, bits=8):
    top = 2**bits - 1
    smallest, largest = min(0.0, x.min().item()), max(0.0, x.max().item())
    s = (largest - smallest) / top or 1.0
    z = round(-smallest / s)
    codes = torch.clip(torch.round(x / s + z), 0, top).byte()
    return codes, torch.tensor([s]), torch.tensor([z])


@zero_point.right
def quantize_zero_point(x, bits=8):
    numbers = x.numpy()
    top = 2**bits - 1
    low = np.minimum(numbers.min(), 0)
    high = np.maximum(numbers.max(), 0)
    s = np.float32(high / top - low / top)
    if s == 0:
        s = np.float32(1e-30)
    z = np.rint(-low / s)
    codes = np.clip(np.rint(numbers / s) + z, 0, top).astype(np.uint8)
    return torch.from_numpy(codes), torch.from_numpy(np.array([s])), torch.tensor([int(z)])


@zero_point.right
def quantize_zero_point(x, bits=8):
    top = 2**bits - 1
    low, high = torch.aminmax(torch.cat([x.flatten(), torch.zeros(1)]))
    if low == high:
        return (
            torch.zeros(x.shape, dtype=torch.uint8),
            torch.ones(1),
            torch.zeros(1, dtype=torch.int64),
        )
    inverse = top / (high - low)
    z = int(torch.round(-low * inverse))
    codes = [
        min(max(round(number * inverse.item()) + z, 0), top) for number in x.flatten().tolist()
    ]
    codes = torch.tensor(codes, dtype=torch.uint8).reshape(x.shape)
    return codes, 1 / inverse.reshape(1), torch.tensor([z])


zero_point.edit(
    "zero may lie outside",
    "Your range does not reach 0 where all numbers are on one side: low is at most 0, and high at "
    "least 0. Otherwise no code means exactly 0.",
    (".clamp(max=0)", ""),
    (".clamp(min=0)", ""),
)
zero_point.edit(
    "low may be above zero",
    "Your low is above 0 where all numbers are positive. It is min(0, min x), so that a code is "
    "left for 0.",
    (".clamp(max=0)", ""),
)
zero_point.edit(
    "high may be below zero",
    "Your high is below 0 where all numbers are negative. It is max(0, max x), so that a code is "
    "left for 0.",
    (".clamp(min=0)", ""),
)
zero_point.edit(
    "a little is added to the step",
    "You add a small number to s so as not to divide by zero. Where x is small that changes s: "
    "limit it from below instead, to the smallest normal number.",
    ("z = torch.round", "s = s + 1e-8\n    z = torch.round"),
    (").clamp(min=torch.finfo(torch.float32).tiny)", ")"),
)
zero_point.edit(
    "the step is limited too early",
    "You limit s from below by a number such as 1e-5, which x may well need a smaller step than. "
    "Limit it to the smallest normal number, or look for zeros.",
    ("torch.finfo(torch.float32).tiny", "1e-5"),
)
zero_point.edit(
    "z is always the middle",
    "Your z is 2^(bits-1) whatever x is. It is the code of 0, round(-low / s).",
    ("z = torch.round(-low / s)", "z = torch.full_like(s, 2 ** (bits - 1))"),
)
zero_point.edit(
    "limited before z is added",
    "You keep x / s within 0 and N before you add z, so all negative numbers get the code of 0. "
    "Limit the sum.",
    ("(torch.round(x / s) + z).clamp(0, N)",
     "(torch.round(x / s).clamp(0, N) + z).clamp(0, N)"),
)  # fmt: skip
zero_point.edit(
    "rounded down",
    "You round x / s down (floor). Round to the nearest whole number: torch.round.",
    ("torch.round(x / s)", "torch.floor(x / s)"),
)
zero_point.edit(
    "a half is rounded away from zero",
    "You round a half away from zero. It goes to the even number, as torch.round does it.",
    ("torch.round(x / s)", "(x.sign() * torch.floor(x.abs() / s + 0.5))"),
)
zero_point.edit(
    "s is 0 for zeros",
    "Where all of x is zero your s is 0. It is above 0 there too.",
    ("return codes.to(torch.uint8), s.reshape(1)",
     "return codes.to(torch.uint8), s.reshape(1) * (high > low)"),
)  # fmt: skip
zero_point.edit(
    "codes in int32",
    "Your codes are int32. They are uint8, one byte each.",
    ("codes.to(torch.uint8)", "codes.to(torch.int32)"),
)
zero_point.edit(
    "s in fp64",
    "Your s is in fp64. It is in fp32, like x.",
    ("s.reshape(1)", "s.double().reshape(1)"),
)
zero_point.edit(
    "z does not fit into int8",
    "You store z in int8, which ends at 127: z may be up to 2^bits - 1.",
    ("z.to(torch.int32)", "z.to(torch.int32).to(torch.int8)"),
)
zero_point.edit(
    "the shape is lost",
    "Your codes are flat. They have the shape of x.",
    ("codes.to(torch.uint8)", "codes.to(torch.uint8).reshape(-1)"),
)
zero_point.edit(
    "one step too many",
    "You divide the range into 2^bits steps. Between 2^bits codes there are 2^bits - 1.",
    ("(high - low) / N", "(high - low) / (N + 1)"),
)
zero_point.edit(
    "always 8 bits",
    "You take 255 whatever `bits` is.",
    ("2**bits - 1", "255"),
)
zero_point.edit(
    "only half of the codes",
    "You take 2^(bits-1) - 1 steps. The codes have no sign here, so all 2^bits - 1 can be used.",
    ("2**bits - 1", "2 ** (bits - 1) - 1"),
)
zero_point.edit(
    "s is upside down",
    "You return N / (high - low), how many steps go into 1. s is the size of a step.",
    ("s.reshape(1)", "1 / s.reshape(1)"),
)
zero_point.edit(
    "z is not rounded",
    "Your z is not a whole number, so no code means exactly 0.",
    ("z = torch.round(-low / s)", "z = -low / s"),
    ("torch.round(x / s) + z", "torch.round(x / s + z)"),
    ("z.to(torch.int32)", "z"),
)
zero_point.edit(
    "z is cut off",
    "You cut off what is after the decimal point of z. It is rounded to the nearest whole number.",
    ("torch.round(-low / s)", "torch.trunc(-low / s)"),
)
zero_point.edit(
    "z has the wrong sign",
    "Your z is round(low / s). low is negative and its code is 0, so 0 has the code round(-low / "
    "s).",
    ("torch.round(-low / s)", "torch.round(low / s)"),
)
zero_point.edit(
    "z counts from high",
    "Your z is round(high / s), the steps from 0 to the largest number. It is those from the "
    "smallest to 0.",
    ("torch.round(-low / s)", "torch.round(high / s)"),
)
zero_point.edit(
    "z is low itself",
    "You return low, a number of x, for z. z is the code that means 0.",
    ("z.to(torch.int32).reshape(1)", "low.reshape(1)"),
)
zero_point.edit(
    "counted from low",
    "You round (x - low) / s. 0 then lies between two codes; round x / s and add the whole z.",
    ("torch.round(x / s) + z", "torch.round((x - low) / s)"),
)
zero_point.edit(
    "z is left out of the codes",
    "You do not add z, and all negative numbers get code 0.",
    ("torch.round(x / s) + z", "torch.round(x / s)"),
)
zero_point.edit(
    "z is subtracted",
    "You subtract z. Dequantizing does that; quantizing adds it.",
    ("torch.round(x / s) + z", "torch.round(x / s) - z"),
)
zero_point.edit(
    "cut off, not rounded",
    "You cut off what is after the decimal point of x / s. The nearest whole number is meant.",
    ("torch.round(x / s)", "torch.trunc(x / s)"),
)
zero_point.edit(
    "a half is rounded up",
    "You round by adding 0.5 and rounding down, so a tie always goes up. Here it goes to the even "
    "number, as torch.round does it.",
    ("torch.round(x / s)", "torch.floor(x / s + 0.5)"),
)
zero_point.edit(
    "the codes are not limited",
    "Rounding x / s and z apart can lead one step beyond the last code: limit the sum to 0 and "
    "2^bits - 1.",
    (".clamp(0, N)", ""),
)
zero_point.edit(
    "signed codes",
    "Your codes are int8, which ends at 127. They go from 0 to 255: uint8.",
    ("codes.to(torch.uint8)", "codes.to(torch.int8)"),
)
zero_point.edit(
    "codes are not whole",
    "Your codes are rounded, but stay floats. They are uint8.",
    ("codes.to(torch.uint8)", "codes"),
)
zero_point.edit(
    "as wide on both sides",
    "You take a range as wide on both sides of 0, as absmax does. The codes lie between the "
    "smallest and the largest number.",
    ("x.min().clamp(max=0)", "-x.abs().max()"),
    ("x.max().clamp(min=0)", "x.abs().max()"),
)
zero_point.edit(
    "zeros are not allowed for",
    "Where all of x is zero your s is 0, and 0 / 0 is not a number.",
    (".clamp(min=torch.finfo(torch.float32).tiny)", ""),
)
zero_point.edit(
    "s and z have no dimension",
    "Your s and z have the shape []. They are [1], one for each group, and here there is one "
    "group.",
    ("s.reshape(1)", "s"),
    ("z.to(torch.int32).reshape(1)", "z.to(torch.int32)"),
)
zero_point.edit(
    "one scale for each row",
    "You scale every row by itself. Here one s and one z serve the whole tensor.",
    ("x.min()", "x.amin(dim=-1, keepdim=True)"),
    ("x.max()", "x.amax(dim=-1, keepdim=True)"),
    ("s.reshape(1)", "s.reshape(-1)"),
    ("z.to(torch.int32).reshape(1)", "z.to(torch.int32).reshape(-1)"),
)
zero_point.edit(
    "z comes before s",
    "You return z before s.",
    ("s.reshape(1), z.to(torch.int32).reshape(1)", "z.to(torch.int32).reshape(1), s.reshape(1)"),
)
zero_point.edit(
    "x is changed",
    "You scale x in place: whoever called you has lost the numbers.",
    ("torch.round(x / s)", "x.div_(s).round_()"),
)

# 9.4 FakeQuantize

fake = Bank()


@fake.right
class FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, bits):
        Q = 2 ** (bits - 1) - 1
        c = (Q / x.abs().max()).clamp(max=torch.finfo(torch.float32).max)
        return torch.round(c * x) / c

    @staticmethod
    def backward(ctx, grad):
        return grad, None


@fake.right
class FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(x, bits):
        largest = x.abs().max().item()
        if largest == 0:
            return torch.zeros_like(x)
        step = largest / (2 ** (bits - 1) - 1)
        return torch.round(x / step) * step

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.bits = inputs[1]

    @staticmethod
    def backward(ctx, *grads):
        return grads[0].clone(), None


@fake.right
class FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, bits):
        numbers = x.detach().numpy()
        top = 2 ** (bits - 1) - 1
        largest = max(float(np.abs(numbers).max()), 1e-30)
        codes = np.rint(numbers / np.float32(largest) * top).astype(np.int8)
        return torch.from_numpy((codes * (largest / top)).astype(np.float32))

    @staticmethod
    def backward(ctx, grad_output):
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = grad_output
        return grad_x, None


@fake.right
class FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, bits):
        def quantize(x, bits):
            c = (2 ** (bits - 1) - 1) / x.abs().max()
            return torch.round(x * c).to(torch.int8), c

        if not x.any():
            return x.clone()
        codes, c = quantize(x, bits)
        rounded = codes.float() / c
        return x + (rounded - x)

    @staticmethod
    def backward(ctx, grad):
        return (grad * 1.0, None)


fake.edit(
    "no gradient comes through",
    "Your gradient is zero, the true derivative of rounding: nothing would be learned. Pass it on "
    "as it came.",
    ("return grad, None", "return torch.zeros_like(grad), None"),
)
fake.edit(
    "the gradient is scaled by c",
    "You multiply the gradient by c. Forward multiplies by c and divides by it again, so nothing "
    "is left to scale.",
    (
        "        return torch.round(c * x) / c",
        "        ctx.c = c\n        return torch.round(c * x) / c",
    ),
    ("return grad, None", "return grad * ctx.c, None"),
)
fake.edit(
    "the gradient is divided by c",
    "You divide the gradient by c. Forward multiplies by c and divides by it again, so nothing is "
    "left to scale.",
    (
        "        return torch.round(c * x) / c",
        "        ctx.c = c\n        return torch.round(c * x) / c",
    ),
    ("return grad, None", "return grad / ctx.c, None"),
)
fake.edit(
    "no gradient for the largest",
    "Your gradient is zero where |x| is the largest. absmax cuts nothing off, so every number gets "
    "its gradient.",
    ("        return torch.round(c * x) / c",
     "        ctx.inside = x.abs() < x.abs().max()\n        return torch.round(c * x) / c"),
    ("return grad, None", "return grad * ctx.inside, None"),
)  # fmt: skip
fake.edit(
    "no gradient beyond 1",
    "Your gradient is zero where |x| is above 1, a rule of networks with weights of 1 bit. Here "
    "the gradient goes through everywhere.",
    ("        return torch.round(c * x) / c",
     "        ctx.inside = x.abs() <= 1\n        return torch.round(c * x) / c"),
    ("return grad, None", "return grad * ctx.inside, None"),
)  # fmt: skip
fake.edit(
    "no gradient for what becomes zero",
    "Your gradient is zero where x is rounded to 0. Those numbers learn too.",
    ("        return torch.round(c * x) / c",
     "        ctx.inside = torch.round(c * x) != 0\n        return torch.round(c * x) / c"),
    ("return grad, None", "return grad * ctx.inside, None"),
)  # fmt: skip
fake.edit(
    "the gradient is rounded too",
    "You round the gradient as well. It goes through unchanged.",
    ("        return torch.round(c * x) / c",
     "        ctx.Q = Q\n        return torch.round(c * x) / c"),
    ("return grad, None",
     "return torch.round(grad * ctx.Q / grad.abs().max()) * grad.abs().max() / ctx.Q, None"),
)  # fmt: skip
fake.edit(
    "the gradient is clipped",
    "You clip the gradient to between -1 and 1. It goes through unchanged.",
    ("return grad, None", "return grad.clamp(-1, 1), None"),
)
fake.edit(
    "the gradient of a square",
    "Your gradient is multiplied by x. It goes through unchanged.",
    ("        return torch.round(c * x) / c",
     "        ctx.save_for_backward(x)\n        return torch.round(c * x) / c"),
    ("return grad, None", "return grad * ctx.saved_tensors[0], None"),
)  # fmt: skip
fake.edit(
    "ones for a gradient",
    "You return ones. backward gets the gradient of the result, and passes on that one.",
    ("return grad, None", "return torch.ones_like(grad), None"),
)
fake.edit(
    "one gradient is missing",
    "backward returns one gradient for each argument of forward: `bits` has none, which is None.",
    ("return grad, None", "return grad"),
)
fake.edit(
    "the codes are returned",
    "You return the codes. They are divided by c again, so that the values stay where they were.",
    ("torch.round(c * x) / c", "torch.round(c * x)"),
)
fake.edit(
    "nothing is rounded",
    "You return x as it is: there is no rounding between the two scalings.",
    ("torch.round(c * x) / c", "c * x / c"),
)
fake.edit(
    "one code too many",
    "You scale to 2^(bits-1). The codes are symmetric, from -Q to Q: Q is 2^(bits-1) - 1.",
    ("2 ** (bits - 1) - 1", "2 ** (bits - 1)"),
)
fake.edit(
    "the sign's bit is forgotten",
    "You scale to 2^bits - 1, as if the codes had no sign. Q is 2^(bits-1) - 1.",
    ("2 ** (bits - 1) - 1", "2**bits - 1"),
)
fake.edit(
    "always 8 bits",
    "You take 127 whatever `bits` is.",
    ("2 ** (bits - 1) - 1", "127"),
)
fake.edit(
    "the largest, not the largest in size",
    "You scale by the largest number of x. A negative one may be larger in size.",
    ("x.abs().max()", "x.max()"),
)
fake.edit(
    "one scale for each row",
    "You scale every row by itself. Here one c serves the whole tensor.",
    ("x.abs().max()", "x.abs().amax(dim=-1, keepdim=True)"),
)
fake.edit(
    "cut off, not rounded",
    "You cut off what is after the decimal point. The nearest whole number is meant.",
    ("torch.round(c * x)", "torch.trunc(c * x)"),
)
fake.edit(
    "a half is rounded up",
    "You round by adding 0.5 and rounding down, so a tie always goes up. It goes to the even "
    "number.",
    ("torch.round(c * x)", "torch.floor(c * x + 0.5)"),
)
fake.edit(
    "zeros are not allowed for",
    "Where all of x is zero your result is not a number: c is infinite there.",
    (".clamp(max=torch.finfo(torch.float32).max)", ""),
)
fake.edit(
    "x is changed",
    "You scale and round x in place: the exact weights are lost, and small steps no longer add up.",
    ("torch.round(c * x) / c", "x.mul_(c).round_().div_(c).clone()"),
)


@fake.mistake(
    "a range from low to high",
    "You divide the range from the smallest to the largest number into steps (zero-point). Here it "
    "is absmax: symmetric, with a step of max|x| / Q.",
)
class FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, bits):
        low, high = x.min().clamp(max=0), x.max().clamp(min=0)
        s = ((high - low) / (2**bits - 1)).clamp(min=1e-30)
        z = torch.round(-low / s)
        return (torch.round(x / s + z) - z) * s

    @staticmethod
    def backward(ctx, grad):
        return grad, None


# 9.5 float_bits

floats = Bank()


@floats.right
def float_bits(value):
    (code,) = struct.unpack(">I", struct.pack(">f", value))
    return code >> 31, code >> 23 & 0xFF, code & 0x7FFFFF


@floats.right
def float_bits(value):
    code = np.array(value, dtype=np.float32).view(np.uint32)
    return [code // 2**31, code // 2**23 % 2**8, code % 2**23]


@floats.right
def float_bits(value):
    bits = "".join(f"{byte:08b}" for byte in struct.pack("!f", value))
    return int(bits[0], 2), int(bits[1:9], 2), int(bits[9:], 2)


@floats.right
def float_bits(value):
    code = torch.tensor(value, dtype=torch.float32).view(torch.int32).item()
    return int(code < 0), (code >> 23) & 255, code & (2**23 - 1)


@floats.right
def float_bits(value):
    sign = 1 if math.copysign(1.0, value) < 0 else 0
    value = abs(value)
    if value == math.inf:
        return sign, 255, 0
    if value == 0:
        return sign, 0, 0
    exponent = math.frexp(value)[1] - 1
    if exponent < -126:
        exponent = -126
    steps = round(math.ldexp(value, 23 - exponent))
    if steps == 2**24:
        steps, exponent = 2**23, exponent + 1
    if steps < 2**23:
        return sign, 0, steps
    return sign, exponent + 127, steps - 2**23


floats.edit(
    "-0.0 has no sign",
    "You look at value < 0 for the sign. -0.0 is not below 0 and has a sign all the same; "
    "math.copysign sees it.",
    ("code >> 31,", "int(value < 0),"),
)
floats.edit(
    "the exponent itself",
    "You return the exponent. The field holds exponent + 127, and is returned as it is stored.",
    ("code >> 23 & 0xFF", "(code >> 23 & 0xFF) - 127"),
)
floats.edit(
    "the leading 1 is included",
    "Your fraction has the leading 1 in it, which is not stored.",
    ("code & 0x7FFFFF", "code & 0x7FFFFF | 0x800000"),
)
floats.edit(
    "a leading 1 for all but subnormals",
    "Your fraction has the leading 1 in it where the number is not subnormal. It is not stored.",
    ("code & 0x7FFFFF", "code & 0x7FFFFF | (0x800000 if code >> 23 & 0xFF else 0)"),
)
floats.edit(
    "fp64",
    "You take Python's own format apart, fp64, with 11 bits of exponent and 52 of fraction.",
    ('">I"', '">Q"'),
    ('">f"', '">d"'),
    ("code >> 31, code >> 23 & 0xFF, code & 0x7FFFFF",
     "code >> 63, code >> 52 & 0x7FF, code & (1 << 52) - 1"),
)  # fmt: skip
floats.edit(
    "the bytes are in another order",
    "You write the bytes in one order and read them in the other (> and <).",
    ('">I"', '"<I"'),
)
floats.edit(
    "a negative sign",
    "Your sign is -1 for negative numbers: the code is read as a signed number. The bit is 1.",
    ('">I"', '">i"'),
)
floats.edit(
    "the sign is 1 or -1",
    "Your sign is +1 or -1. The field is 0 or 1.",
    ("code >> 31,", "1 - 2 * (code >> 31),"),
)
floats.edit(
    "the sign is upside down",
    "Your sign is 1 for positive numbers. The bit is 1 for negative ones.",
    ("code >> 31,", "1 - (code >> 31),"),
)
floats.edit(
    "the sign is in the exponent",
    "You do not cut the sign off the exponent, which has 8 bits.",
    ("code >> 23 & 0xFF", "code >> 23"),
)
floats.edit(
    "one bit of the exponent is lost",
    "You keep 7 bits of the exponent. It has 8.",
    ("& 0xFF,", "& 0x7F,"),
)
floats.edit(
    "one bit of the fraction is lost",
    "You keep 22 bits of the fraction. It has 23.",
    ("0x7FFFFF", "0x3FFFFF"),
)
floats.edit(
    "one bit of the exponent is in the fraction",
    "You keep 24 bits for the fraction: the first is the exponent's last.",
    ("0x7FFFFF", "0xFFFFFF"),
)
floats.edit(
    "the fraction comes before the exponent",
    "You return the fraction before the exponent.",
    ("code >> 23 & 0xFF, code & 0x7FFFFF", "code & 0x7FFFFF, code >> 23 & 0xFF"),
)
floats.edit(
    "the fraction as a number",
    "Your fraction is a number between 0 and 1. The field is a whole number: that times 2^23.",
    ("code & 0x7FFFFF", "(code & 0x7FFFFF) / 2**23"),
)
floats.edit(
    "texts of bits",
    "You return texts. int(text, 2) makes a number of bits.",
    ("return code >> 31, code >> 23 & 0xFF, code & 0x7FFFFF",
     'bits = f"{code:032b}"\n    return bits[0], bits[1:9], bits[9:]'),
)  # fmt: skip
floats.edit(
    "bf16",
    "You return 7 bits of the fraction: that is bf16.",
    ("code & 0x7FFFFF", "code >> 16 & 0x7F"),
)


@floats.mistake(
    "cut off, not rounded",
    "You take the first 23 bits of the fraction and drop the rest. A number that fp32 cannot hold "
    "is rounded to the nearest.",
)
def float_bits(value):
    (code,) = struct.unpack(">Q", struct.pack(">d", value))
    sign, exponent, fraction = code >> 63, code >> 52 & 0x7FF, code & (1 << 52) - 1
    if exponent == 0x7FF:
        return sign, 255, 0
    if exponent == 0:
        return sign, 0, 0
    exponent += 127 - 1023
    fraction >>= 29
    if exponent <= 0:
        return sign, 0, (fraction | 1 << 23) >> (1 - exponent)
    return sign, exponent, fraction


@floats.mistake(
    "subnormals are not allowed for",
    "You treat numbers below 2^-126 like the others and get an exponent field below 0. Their field "
    "is 0, and they have no leading 1.",
)
def float_bits(value):
    sign = int(math.copysign(1, value) < 0)
    if value == 0:
        return sign, 0, 0
    if math.isinf(value):
        return sign, 255, 0
    m, e = math.frexp(abs(value))
    steps = round(m * 2**24)
    if steps == 2**24:
        steps, e = 2**23, e + 1
    return sign, e - 1 + 127, steps - 2**23


@floats.mistake(
    "subnormals become zero",
    "You make zero of all numbers below 2^-126. fp32 has smaller ones, with exponent field 0.",
)
def float_bits(value):
    (code,) = struct.unpack(">I", struct.pack(">f", value))
    sign, exponent, fraction = code >> 31, code >> 23 & 0xFF, code & 0x7FFFFF
    return sign, exponent, fraction if exponent else 0


@floats.mistake(
    "rounding does not carry",
    "Where rounding leads to the next power of two, your fraction does not fit into 23 bits: it "
    "becomes 0, and the exponent grows by 1.",
)
def float_bits(value):
    sign = int(math.copysign(1, value) < 0)
    if value == 0:
        return sign, 0, 0
    if math.isinf(value):
        return sign, 255, 0
    e = max(math.frexp(abs(value))[1] - 1, -126)
    steps = round(math.ldexp(abs(value), 23 - e))
    if abs(value) < 2.0**-126:
        return sign, 0, steps
    return sign, e + 127, steps - 2**23


@floats.mistake(
    "a tie is rounded up",
    "You round by adding a half and cutting off, so a tie always goes up. It goes to the even "
    "fraction.",
)
def float_bits(value):
    sign = int(math.copysign(1, value) < 0)
    if math.isinf(value):
        return sign, 255, 0
    e = max(math.frexp(value)[1] - 1, -126) if value else -126
    steps = math.floor(math.ldexp(abs(value), 23 - e) + 0.5)
    code = (e + 126 << 23) + steps
    return sign, code >> 23, code & 0x7FFFFF


@floats.mistake(
    "zero and infinity are not allowed for",
    "You take the logarithm of value, and zero has none. Zero, infinity and subnormals have fields "
    "of their own.",
)
def float_bits(value):
    sign = int(value < 0)
    e = math.floor(math.log2(abs(value)))
    fraction = round((abs(value) / 2.0**e - 1) * 2**23)
    return sign, e + 127, fraction
