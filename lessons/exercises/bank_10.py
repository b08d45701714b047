"""What people write for 10.1 to 10.5: right answers, and mistakes with what they compute."""
# mypy: ignore-errors
# ruff: noqa: F811

import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F

from lessons.grading.task import Bank

# 10.1 derive_levels

levels = Bank()


@levels.right
def derive_levels():
    from statistics import NormalDist

    quantile = NormalDist().inv_cdf
    o = 0.9677083
    right = [quantile(o + (0.5 - o) * i / 8) for i in range(8)]
    left = [-quantile(o + (0.5 - o) * i / 7) for i in range(7)]
    values = torch.tensor(sorted([*left, 0.0, *right]), dtype=torch.float64)
    return (values / values.max()).float()


@levels.right
def derive_levels():
    ends = np.linspace(0.9677083, 0.5, 9)[:8], np.linspace(0.9677083, 0.5, 8)[:7]
    right, left = (torch.special.ndtri(torch.from_numpy(p)) for p in ends)
    values = torch.cat([-left, torch.zeros(1, dtype=torch.float64), right.flip(0)])
    return (values / right[0]).to(torch.float32)


@levels.right
def derive_levels():
    def quantile(p):  # halves the interval that holds it
        low, high = -10.0, 10.0
        for _ in range(80):
            middle = (low + high) / 2
            if 0.5 * (1 + math.erf(middle / math.sqrt(2))) < p:
                low = middle
            else:
                high = middle
        return low

    o = 0.9677083
    largest = quantile(o)
    result = torch.zeros(16)
    for i in range(7):
        result[i] = -quantile(o - i * (o - 0.5) / 7) / largest
    for i in range(8):
        result[15 - i] = quantile(o - i * (o - 0.5) / 8) / largest
    return result


@levels.right
def derive_levels():
    p = torch.linspace(0.9677083, 0.5, 9, dtype=torch.float64)
    q = torch.linspace(0.9677083, 0.5, 8, dtype=torch.float64)
    upper = math.sqrt(2) * torch.erfinv(2 * p - 1)
    lower = math.sqrt(2) * torch.erfinv(2 * q - 1)
    both = torch.cat([upper, -lower[:-1]])  # quantile(0.5) is the zero
    return (both / both.abs().max()).sort().values.float()


levels.edit(
    "not divided by the largest",
    "These are the quantiles themselves, up to 1.85. Divide all of them by the largest, so that "
    "the levels reach from -1 to 1.",
    ("(values / values.max())", "values"),
)
levels.edit(
    "the sides are swapped",
    "Your levels are the mirror image: 8 below zero and 7 above. NF4 has the extra one above.",
    (
        "right = [quantile(o + (0.5 - o) * i / 8) for i in range(8)]",
        "right = [quantile(o + (0.5 - o) * i / 7) for i in range(7)]",
    ),
    (
        "left = [-quantile(o + (0.5 - o) * i / 7) for i in range(7)]",
        "left = [-quantile(o + (0.5 - o) * i / 8) for i in range(8)]",
    ),
)
levels.edit(
    "o is half a level of 16",
    "Your o is 1 - 1/32, half a level away from 1 if there are 16. NF4 takes the mean of 1/30 and "
    "1/32, so o = 0.9677083.",
    ("0.9677083", "1 - 1 / 32"),
)
levels.edit(
    "o is half a level of 15",
    "Your o is 1 - 1/30, half a level away from 1 if there are 15. NF4 takes the mean of 1/30 and "
    "1/32, so o = 0.9677083.",
    ("0.9677083", "1 - 1 / 30"),
)
levels.edit(
    "the largest comes first",
    "The values are right but in falling order. Level 0 is -1, and level 15 is 1.",
    ("sorted([*left, 0.0, *right])", "sorted([*left, 0.0, *right], reverse=True)"),
)
levels.edit(
    "not in order",
    "The values are right, but they are not sorted: each side stands as its quantiles were taken. "
    "Level 0 is -1, level 15 is 1, ascending.",
    ("sorted([*left, 0.0, *right])", "[*left, 0.0, *right]"),
)


@levels.mistake(
    "zero is not a level",
    "You put 8 levels on each side and none at zero. NF4 has 7 below, the exact 0, and 8 above.",
)
def derive_levels():
    from statistics import NormalDist

    quantile = NormalDist().inv_cdf
    o = 0.9677083
    right = [quantile(p) for p in torch.linspace(o, 0.5, 9)[:-1].tolist()]
    values = torch.tensor(sorted([*right, *[-value for value in right]]))
    return values / values.max()


@levels.mistake(
    "16 equal steps of probability on both sides together",
    "You cut the whole area into 15 equal parts. NF4 cuts each side of zero by itself, 7 parts on "
    "the left and 8 on the right, so that one of its levels is exactly 0.",
)
def derive_levels():
    from statistics import NormalDist

    o = 0.9677083
    values = torch.tensor([NormalDist().inv_cdf(p) for p in torch.linspace(1 - o, o, 16).tolist()])
    return values / values.max()


@levels.mistake(
    "means of neighbouring quantiles",
    "This is the paper's equation 4 with finite ends: each level is the mean of two neighbouring "
    "quantiles. The levels that are in use are the quantiles themselves.",
)
def derive_levels():
    from statistics import NormalDist

    o = 0.9677083
    q = [NormalDist().inv_cdf(p) for p in torch.linspace(1 - o, o, 17).tolist()]
    values = torch.tensor([(a + b) / 2 for a, b in itertools.pairwise(q)])
    return values / values.max()


@levels.mistake(
    "equal steps from -1 to 1",
    "Your levels are evenly spaced. NF4's are where a normal distribution has its numbers: take "
    "quantiles at equal steps of probability.",
)
def derive_levels():
    return torch.cat([torch.linspace(-1, 0, 8), torch.linspace(0, 1, 9)[1:]])


@levels.mistake(
    "17 levels",
    "You cut both sides of zero into 8 parts, which makes 17 levels with the 0. The left side has "
    "7 parts, so that 4 bits are enough.",
)
def derive_levels():
    from statistics import NormalDist

    quantile = NormalDist().inv_cdf
    right = [quantile(p) for p in torch.linspace(0.9677083, 0.5, 9)[:-1].tolist()]
    values = torch.tensor(sorted([*right, 0.0, *[-value for value in right]]))
    return values / values.max()


@levels.mistake(
    "15 levels",
    "You cut both sides of zero into 7 parts, which makes 15 levels with the 0. The right side has "
    "8 parts: 4 bits have 16 values.",
)
def derive_levels():
    from statistics import NormalDist

    quantile = NormalDist().inv_cdf
    right = [quantile(p) for p in torch.linspace(0.9677083, 0.5, 8)[:-1].tolist()]
    values = torch.tensor(sorted([*right, 0.0, *[-value for value in right]]))
    return values / values.max()


@levels.mistake(
    "one of 16 equal steps is set to 0",
    "You cut the whole area into 15 equal parts and set the level next to the middle to 0. NF4 "
    "cuts each side of zero by itself, 7 parts on the left and 8 on the right.",
)
def derive_levels():
    from statistics import NormalDist

    o = 0.9677083
    values = torch.tensor([NormalDist().inv_cdf(p) for p in torch.linspace(1 - o, o, 16).tolist()])
    values[7] = 0
    return values / values.max()


@levels.mistake(
    "16 equal steps without a 0",
    "Your levels are 16 equal steps from -1 to 1, and none of them is 0. NF4's are quantiles of a "
    "normal distribution, dense near 0.",
)
def derive_levels():
    return torch.linspace(-1, 1, 16)


# 10.2 block_absmax

absmaxes = Bank()


@absmaxes.right
def block_absmax(x, block_size):
    padded = F.pad(x, (0, -len(x) % block_size))
    return padded.view(-1, block_size).abs().amax(dim=1)


@absmaxes.right
def block_absmax(x, block_size):
    return torch.stack([part.abs().max() for part in x.split(block_size)])


@absmaxes.right
def block_absmax(x, block_size):
    n_blocks = math.ceil(x.numel() / block_size)
    result = torch.zeros(n_blocks, dtype=x.dtype)
    for i in range(x.numel()):
        value = abs(x[i].item())
        block = i // block_size
        if math.isnan(value) or value > result[block]:
            result[block] = value
    return result


@absmaxes.right
def block_absmax(x, block_size):
    starts = np.arange(0, len(x), block_size)
    return torch.from_numpy(np.maximum.reduceat(np.abs(x.numpy()), starts))


@absmaxes.right
def block_absmax(x, block_size):
    block = torch.arange(x.shape[0]) // block_size
    result = torch.zeros(int(block[-1]) + 1, dtype=x.dtype)
    return result.scatter_reduce(0, block, x.abs(), "amax")


absmaxes.edit(
    "the sign is not dropped",
    "You take the largest value of a block, not the largest absolute value: a block whose largest "
    "number is negative gets too small a scale.",
    (".abs().amax(dim=1)", ".amax(dim=1)"),
)
absmaxes.edit(
    "absolute value of the maximum",
    "You take the maximum first and its absolute value then. In a block of 0.5 and -2 that is 0.5.",
    (".abs().amax(dim=1)", ".amax(dim=1).abs()"),
)
absmaxes.edit(
    "blocks run across",
    "Your block j is every b-th number, not block_size neighbours: view(block_size, -1) lays the "
    "blocks down the columns.",
    (".view(-1, block_size).abs().amax(dim=1)", ".view(block_size, -1).abs().amax(dim=0)"),
)
absmaxes.edit(
    "the mean instead of the maximum",
    "You take the mean of the absolute values. A scale has to be the largest, so that no number of "
    "the block is beyond 1 after the division.",
    (".amax(dim=1)", ".mean(dim=1)"),
)
absmaxes.edit(
    "NaN becomes zero",
    "Your blocks forget a NaN. It has to come through, so that somebody notices it.",
    ("padded.view", "padded.nan_to_num().view"),
)
absmaxes.edit(
    "padded with ones",
    "You fill up the last block with ones, so that a short block of small numbers gets absmax 1.",
    ("(0, -len(x) % block_size)", "(0, -len(x) % block_size), value=1.0"),
)
absmaxes.edit(
    "an axis is left",
    "Your result is [b, 1]; it should be [b], one number a block.",
    ("amax(dim=1)", "amax(dim=1, keepdim=True)"),
)


@absmaxes.mistake(
    "the short last block is dropped",
    "You leave out the last block where it is short. The numbers that do not fill a block need a "
    "scale as well.",
)
def block_absmax(x, block_size):
    whole = len(x) // block_size * block_size
    return x[:whole].view(-1, block_size).abs().amax(dim=1)


@absmaxes.mistake(
    "only whole blocks",
    "Your view works only where n is a multiple of block_size. The last block may be short.",
)
def block_absmax(x, block_size):
    return x.view(-1, block_size).abs().amax(dim=1)


@absmaxes.mistake(
    "one scale for all",
    "You return the largest absolute value of the whole tensor for every block.",
)
def block_absmax(x, block_size):
    return x.abs().max().repeat(math.ceil(len(x) / block_size))


@absmaxes.mistake(
    "one scale an element",
    "You return a scale for every element. It should be one for each block, [ceil(n / "
    "block_size)].",
)
def block_absmax(x, block_size):
    scales = torch.stack([part.abs().max() for part in x.split(block_size)])
    return scales.repeat_interleave(block_size)[: len(x)]


@absmaxes.mistake(
    "the argument is changed",
    "You take the absolute values in place, so that the caller's numbers lose their signs.",
)
def block_absmax(x, block_size):
    return torch.stack([part.abs_().max() for part in x.split(block_size)])


@absmaxes.mistake(
    "NaN is lost in comparisons",
    "Python's max and `>` pass over a NaN that is not the first of its block. It has to come "
    "through, so that somebody notices it.",
)
def block_absmax(x, block_size):
    values = x.abs().tolist()
    blocks = [values[i : i + block_size] for i in range(0, len(values), block_size)]
    return torch.tensor([max(block) for block in blocks], dtype=x.dtype)


@absmaxes.mistake(
    "the number with its sign",
    "You return the number that is largest in absolute value, with its sign. A scale is positive.",
)
def block_absmax(x, block_size):
    return torch.stack([part[part.abs().argmax()] for part in x.split(block_size)])


@absmaxes.mistake(
    "blocks overlap",
    "Your blocks reach one number too far: the first number of the next block counts in both.",
)
def block_absmax(x, block_size):
    starts = range(0, len(x), block_size)
    return torch.stack([x[start : start + block_size + 1].abs().max() for start in starts])


@absmaxes.mistake(
    "the filling comes first",
    "You fill up in front, so that the first block is the short one and all others are shifted.",
)
def block_absmax(x, block_size):
    x = F.pad(x, (-len(x) % block_size, 0))
    return x.view(-1, block_size).abs().amax(dim=1)


@absmaxes.mistake(
    "blocks of about the same size",
    "You cut x into as many parts as there are blocks, all of about the same size (chunk). A block "
    "has block_size numbers, and only the last may be shorter.",
)
def block_absmax(x, block_size):
    parts = x.chunk(math.ceil(len(x) / block_size))
    return torch.stack([part.abs().max() for part in parts])


@absmaxes.mistake(
    "zero becomes a small number",
    "You keep absmax away from 0 by a smallest value. A block of zeros has absmax 0; whoever "
    "divides by it takes care of that.",
)
def block_absmax(x, block_size):
    return torch.stack([part.abs().max() for part in x.split(block_size)]).clamp(min=1e-8)


# 10.3 encode

encodes = Bank()


@encodes.right
def encode(y, thresholds):
    return (y[..., None] > thresholds).sum(dim=-1).to(torch.uint8)


@encodes.right
def encode(y, thresholds):
    codes = torch.zeros(y.shape, dtype=torch.uint8)
    for threshold in thresholds:
        codes += (y > threshold).to(torch.uint8)
    return codes


@encodes.right
def encode(y, thresholds):
    return torch.bucketize(y.contiguous(), thresholds).byte()


@encodes.right
def encode(y, thresholds):
    codes = np.searchsorted(thresholds.numpy(), y.numpy(), side="left")
    return torch.from_numpy(codes).to(torch.uint8)


@encodes.right
def encode(y, thresholds):
    limits, codes = thresholds.tolist(), []
    for value in y.flatten().tolist():
        code = 0
        while code < len(limits) and value > limits[code]:
            code += 1
        codes.append(code)
    return torch.tensor(codes, dtype=torch.uint8).reshape(y.shape)


encodes.edit(
    "a tie goes up",
    "You count a threshold that equals y. Only those below it count: a tie gets the lower code.",
    ("[..., None] >", "[..., None] >="),
)
encodes.edit(
    "thresholds above",
    "You count the thresholds above y, so the codes run backwards.",
    ("[..., None] >", "[..., None] <"),
)
encodes.edit(
    "codes are int64",
    "The codes are right but int64, as sum returns them: 64 bits for a number that needs 4. Return "
    "uint8.",
    (".to(torch.uint8)", ""),
)
encodes.edit(
    "codes from 1",
    "Each of your codes is one too high: below all thresholds the code is 0.",
    (".sum(dim=-1)", ".sum(dim=-1).add(1)"),
)
encodes.edit(
    "the last threshold is left out",
    "You leave out the last threshold, so that no number gets the highest code.",
    ("> thresholds)", "> thresholds[:-1])"),
)
encodes.edit(
    "sums over the wrong axis",
    "You sum over the numbers, not over the thresholds: this says for each threshold how many "
    "numbers are above it.",
    (".sum(dim=-1)", ".sum(dim=0)"),
)
encodes.edit(
    "flattened",
    "The codes are right but in one row. They should have the shape of y.",
    ("(y[..., None]", "(y.flatten()[..., None]"),
)
encodes.edit(
    "absolute values",
    "You compare |y|, so a number and its negative get the same code.",
    ("(y[..., None]", "(y.abs()[..., None]"),
)


@encodes.mistake(
    "the nearest threshold",
    "You return the number of the threshold that is nearest to y. Asked is how many thresholds are "
    "below y: that is the number of the level.",
)
def encode(y, thresholds):
    return (y[..., None] - thresholds).abs().argmin(dim=-1).to(torch.uint8)


@encodes.mistake(
    "equal steps",
    "You round y to 16 equal steps and never look at the thresholds.",
)
def encode(y, thresholds):
    return ((y + 1) * 7.5).round().clamp(0, 15).to(torch.uint8)


@encodes.mistake(
    "the last threshold that is passed, not how many",
    "You store the index of the highest threshold below y. It is one less than how many there are, "
    "except where there is none.",
)
def encode(y, thresholds):
    codes = torch.zeros(y.shape, dtype=torch.uint8)
    for i, threshold in enumerate(thresholds):
        codes[y > threshold] = i
    return codes


@encodes.mistake(
    "compared in half precision",
    "You round y and the thresholds to 16 bits before you compare, so that numbers near a "
    "threshold get the wrong code.",
)
def encode(y, thresholds):
    return (y.half()[..., None] > thresholds.half()).sum(-1).to(torch.uint8)


@encodes.mistake(
    "compared in fp32",
    "You round fp64 to fp32 before you compare, so that a number very near to a threshold changes "
    "sides.",
)
def encode(y, thresholds):
    return (y.float()[..., None] > thresholds.float()).sum(dim=-1).to(torch.uint8)


# 10.4 pack

packs = Bank()


@packs.right
def pack(codes):
    if len(codes) % 2 == 1:
        codes = torch.cat([codes, torch.tensor([7], dtype=torch.uint8)])
    return (codes[0::2] << 4) | codes[1::2]


@packs.right
def pack(codes):
    values = codes.tolist()
    packed = []
    for i in range(0, len(values), 2):
        second = values[i + 1] if i + 1 < len(values) else 7
        packed.append(16 * values[i] + second)
    return torch.tensor(packed, dtype=torch.uint8)


@packs.right
def pack(codes):
    n = codes.numel()
    pairs = torch.full(((n + 1) // 2 * 2,), 7, dtype=torch.int64)
    pairs[:n] = codes
    return (pairs.view(-1, 2) * torch.tensor([16, 1])).sum(dim=1).to(torch.uint8)


@packs.right
def pack(codes):
    array = np.append(codes.numpy(), [7] * (codes.numel() % 2)).astype(np.uint8)
    return torch.from_numpy(array[::2] * np.uint8(16) + array[1::2])


packs.edit(
    "the first code in the low half",
    "Your first code stands in the low half of the byte. It belongs in the high half: code 12 and "
    "code 0 make c0.",
    ("(codes[0::2] << 4) | codes[1::2]", "codes[0::2] | (codes[1::2] << 4)"),
)
packs.edit(
    "filled with 0",
    "You fill an odd end with code 0, the level -1. It is code 7, the level 0.",
    ("[7]", "[0]"),
)
packs.edit(
    "filled with 8",
    "You fill an odd end with code 8, a level above 0. Count from 0: code 7 is the level 0.",
    ("[7]", "[8]"),
)
packs.edit(
    "the filling comes first",
    "You put the 7 in front of the codes, so that every code moves on by half a byte. It belongs "
    "at the end.",
    (
        "[codes, torch.tensor([7], dtype=torch.uint8)]",
        "[torch.tensor([7], dtype=torch.uint8), codes]",
    ),
)
packs.edit(
    "the first code times 15",
    "You multiply the first code by 15. A half byte has 16 values, so the next one counts 16.",
    ("(codes[0::2] << 4) | codes[1::2]", "15 * codes[0::2] + codes[1::2]"),
)
packs.edit(
    "shifted by 3",
    "You shift the first code by 3 bits, so that it overlaps the second. Each has 4 bits.",
    ("<< 4", "<< 3"),
)
packs.edit(
    "wide numbers",
    "The values are right, but they are stored in int32: four bytes where one was wanted.",
    ("(codes[0::2] << 4) | codes[1::2]", "(codes[0::2].int() << 4) | codes[1::2].int()"),
)


@packs.mistake(
    "the odd end is dropped",
    "You drop the last code where their number is odd. It goes into the high half of a byte of its "
    "own, with a 7 beside it.",
)
def pack(codes):
    pairs = codes[: len(codes) // 2 * 2].view(-1, 2)
    return 16 * pairs[:, 0] + pairs[:, 1]


@packs.mistake(
    "only even lengths",
    "Your code works only where the number of codes is even. Fill an odd one up with a 7.",
)
def pack(codes):
    return 16 * codes[0::2] + codes[1::2]


@packs.mistake(
    "halves of the tensor",
    "You pair a code with the one half a tensor further on. Neighbours share a byte: 0 and 1, 2 "
    "and 3.",
)
def pack(codes):
    padded = F.pad(codes, (0, len(codes) % 2), value=7)
    high, low = padded.chunk(2)
    return 16 * high + low


@packs.mistake(
    "a filled pair too many",
    "You fill up even numbers of codes as well: there is one byte too many at the end.",
)
def pack(codes):
    padded = F.pad(codes, (0, 2 - len(codes) % 2), value=7)
    return 16 * padded[0::2] + padded[1::2]


@packs.mistake(
    "an odd end in the low half",
    "Your last, single code stands in the low half and the 7 in the high one. The code comes "
    "first.",
)
def pack(codes):
    if len(codes) % 2:
        codes = torch.cat([codes[:-1], torch.tensor([7], dtype=torch.uint8), codes[-1:]])
    return 16 * codes[0::2] + codes[1::2]


@packs.mistake(
    "the argument is changed",
    "You shift the codes in place, so that the caller's tensor is no longer what it was.",
)
def pack(codes):
    codes[0::2] <<= 4
    padded = F.pad(codes, (0, len(codes) % 2), value=7)
    return padded[0::2] | padded[1::2]


@packs.mistake(
    "filled with the last code",
    "You fill an odd end with its last code once more. It is code 7, the level 0.",
)
def pack(codes):
    if len(codes) % 2:
        codes = torch.cat([codes, codes[-1:]])
    return codes[::2] * 16 + codes[1::2]


# 10.5 unpack

unpacks = Bank()


@unpacks.right
def unpack(packed, n):
    return torch.stack([packed >> 4, packed & 15], dim=1).flatten()[:n]


@unpacks.right
def unpack(packed, n):
    codes = torch.empty(2 * len(packed), dtype=torch.uint8)
    codes[0::2] = packed // 16
    codes[1::2] = packed % 16
    return codes[:n]


@unpacks.right
def unpack(packed, n):
    codes = []
    for byte in packed.tolist():
        codes.extend(divmod(byte, 16))
    return torch.tensor(codes[:n], dtype=torch.uint8)


@unpacks.right
def unpack(packed, n):
    i = torch.arange(n)
    return (packed[i // 2].int() >> torch.where(i % 2 == 0, 4, 0) & 15).to(torch.uint8)


unpacks.edit(
    "the low half first",
    "You give the low half of each byte first. The first code is in the high half: c0 holds 12, 0.",
    ("[packed >> 4, packed & 15]", "[packed & 15, packed >> 4]"),
)
unpacks.edit(
    "the high half is not shifted",
    "You cut the high half out but leave it where it is, so its codes are multiples of 16.",
    ("packed >> 4,", "packed & 240,"),
)
unpacks.edit(
    "the filling is kept",
    "You return the 7 that fills up an odd number of codes. Only n of them are codes.",
    ("[:n]", ""),
)
unpacks.edit(
    "all high halves before all low ones",
    "You list all high halves and then all low ones. The two codes of a byte are neighbours.",
    ("dim=1).flatten()", "dim=0).flatten()"),
)
unpacks.edit(
    "only 3 bits of the low half",
    "You keep 3 bits of the low half: codes from 8 on lose 8. Four bits are 15.",
    ("packed & 15", "packed & 7"),
)
unpacks.edit(
    "remainder of 15",
    "You take the low half as the remainder by 15. It has 16 values, 0 to 15.",
    ("packed & 15", "packed % 15"),
)
unpacks.edit(
    "the whole byte for the low half",
    "You do not cut the high half off: your second code is the whole byte.",
    ("packed & 15", "packed"),
)
unpacks.edit(
    "pairs in rows",
    "The codes are right but stand in pairs, [n / 2, 2]. They should be in one row, [n].",
    (".flatten()[:n]", "[:n]"),
)
unpacks.edit(
    "codes are int64",
    "The codes are right but int64. Return uint8, as they came.",
    (".flatten()[:n]", ".flatten()[:n].long()"),
)
unpacks.edit(
    "the last code is lost",
    "You cut to an even number of codes, so that the last one of an odd number is lost.",
    ("[:n]", "[: n // 2 * 2]"),
)


@unpacks.mistake(
    "bytes read with a sign",
    "You read the bytes as signed numbers, so that codes from 8 on come out wrong in the high "
    "half.",
)
def unpack(packed, n):
    signed = packed.view(torch.int8).int()
    return torch.stack([(signed / 16).int(), signed & 15], dim=1).flatten()[:n].to(torch.uint8)


@unpacks.mistake(
    "the argument is changed",
    "You shift the bytes in place, so that the caller's tensor is no longer what it was.",
)
def unpack(packed, n):
    low = packed & 15
    packed >>= 4
    return torch.stack([packed, low], dim=1).flatten()[:n]


@unpacks.mistake(
    "the shift keeps the sign",
    "You shift bytes that have a sign: from 128 on ones come in from the left, and the code of the "
    "high half is 240 too large. Shift the uint8 itself.",
)
def unpack(packed, n):
    signed = packed.view(torch.int8)
    return torch.stack([signed >> 4, signed & 15], dim=1).flatten()[:n].view(torch.uint8)


@unpacks.mistake(
    "shifted by 3",
    "You shift the high half by 3 bits. A half byte has 4.",
)
def unpack(packed, n):
    return torch.stack([packed >> 3, packed & 15], dim=1).flatten()[:n]


@unpacks.mistake(
    "a last 7 is taken for a filling",
    "You drop a last code of 7 whether it fills up or not. n says how many codes there are.",
)
def unpack(packed, n):
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten()
    return codes[:-1] if codes[-1] == 7 else codes
