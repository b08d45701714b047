"""What people write for 11.1 to 11.3: right answers, and mistakes with what they compute."""
# mypy: ignore-errors
# ruff: noqa: F811, B905

import numpy as np
import torch
import torch.nn.functional as F

from lessons.grading.task import Bank

# 11.1 quantize_scales

quantizes = Bank()


@quantizes.right
def quantize_scales(absmax, block_size, dynamic_map):
    offset = absmax.mean()
    centred = absmax - offset
    rows = F.pad(centred, (0, -len(centred) % block_size)).view(-1, block_size)
    scale = rows.abs().amax(dim=1)
    y = (rows / scale[:, None]).flatten()[: len(absmax)]
    codes = (y[:, None] - dynamic_map).abs().argmin(dim=1)
    return codes.to(torch.uint8), scale, offset


@quantizes.right
def quantize_scales(absmax, block_size, dynamic_map):
    offset = absmax.double().mean().float()
    midpoints = (dynamic_map[1:] + dynamic_map[:-1]) / 2
    codes, scales = [], []
    for part in (absmax - offset).split(block_size):
        largest = part.abs().max()
        scales.append(largest)
        codes.append(torch.bucketize(part * (1 / largest), midpoints))
    return torch.cat(codes).byte(), torch.stack(scales), offset


@quantizes.right
def quantize_scales(absmax, block_size, dynamic_map):
    values = absmax.tolist()
    levels = dynamic_map.tolist()
    mean = sum(values) / len(values)
    codes, scales = [], []
    for start in range(0, len(values), block_size):
        block = [value - mean for value in values[start : start + block_size]]
        largest = max(abs(value) for value in block)
        scales.append(largest)
        for value in block:
            target = value / largest
            codes.append(min(range(256), key=lambda k: abs(levels[k] - target)))
    return torch.tensor(codes, dtype=torch.uint8), torch.tensor(scales), torch.tensor(mean)


@quantizes.right
def quantize_scales(absmax, block_size, dynamic_map):
    a, table = absmax.numpy(), dynamic_map.numpy()
    offset = np.float32(a.mean())
    centred = a - offset
    scale = np.maximum.reduceat(np.abs(centred), np.arange(0, len(a), block_size))
    y = centred / np.repeat(scale, block_size)[: len(a)]
    right = np.clip(np.searchsorted(table, y), 1, 255)
    codes = np.where(y - table[right - 1] <= table[right] - y, right - 1, right)
    result = torch.from_numpy(codes.astype(np.uint8)), torch.from_numpy(scale)
    return (*result, torch.tensor(offset))


quantizes.edit(
    "not centred",
    "You do not subtract the offset before you scale: the scales are all positive, so half of the "
    "map's values are never used.",
    ("centred = absmax - offset", "centred = absmax"),
)
quantizes.edit(
    "scale without absolute values",
    "Your scale is the largest centred value, not the largest absolute one: what is far below the "
    "mean falls beyond -1.",
    ("rows.abs().amax(dim=1)", "rows.amax(dim=1)"),
)
quantizes.edit(
    "one scale for all",
    "You take one scale for all blocks. Each block of block_size scales has its own.",
    ("scale = rows.abs().amax(dim=1)", "scale = rows.abs().max().repeat(len(rows))"),
)
quantizes.edit(
    "blocks run across",
    "Your block k is every so-many-th scale, not block_size neighbours: view(block_size, -1) lays "
    "the blocks down the columns.",
    (
        "rows = F.pad(centred, (0, -len(centred) % block_size)).view(-1, block_size)",
        "rows = F.pad(centred, (0, -len(centred) % block_size)).view(block_size, -1).T",
    ),
    ("(rows / scale[:, None]).flatten()", "(rows / scale[:, None]).T.flatten()"),
)
quantizes.edit(
    "the median instead of the mean",
    "Your offset is the median. It should be the mean.",
    ("absmax.mean()", "absmax.median()"),
)
quantizes.edit(
    "the largest code instead of the nearest",
    "You look for the value of the map that is farthest from y, not the nearest.",
    (".argmin(dim=1)", ".argmax(dim=1)"),
)
quantizes.edit(
    "multiplied by the scale",
    "You multiply by the scale, where it should be divided: then a block is between -1 and 1.",
    ("rows / scale", "rows * scale"),
)
quantizes.edit(
    "codes are int64",
    "The codes are right but int64, as argmin returns them: 64 bits where 8 were wanted. Return "
    "uint8.",
    ("codes.to(torch.uint8)", "codes"),
)
quantizes.edit(
    "the offset with the wrong sign",
    "Your offset is minus the mean: who adds it to the decoded values gets far from absmax.",
    ("to(torch.uint8), scale, offset", "to(torch.uint8), scale, -offset"),
)


@quantizes.mistake(
    "the map's next value instead of the nearest",
    "You take the first value of the map that is not below y. The nearest may be the one before: "
    "compare y with the midpoints between the values.",
)
def quantize_scales(absmax, block_size, dynamic_map):
    offset = absmax.mean()
    centred = absmax - offset
    rows = F.pad(centred, (0, -len(centred) % block_size)).view(-1, block_size)
    scale = rows.abs().amax(dim=1)
    y = (rows / scale[:, None]).flatten()[: len(absmax)]
    return torch.bucketize(y, dynamic_map).clamp(max=255).to(torch.uint8), scale, offset


@quantizes.mistake(
    "the filling is centred too",
    "You fill up the last block before you subtract the offset, so the filling becomes minus the "
    "offset and may decide the scale of a short block.",
)
def quantize_scales(absmax, block_size, dynamic_map):
    offset = absmax.mean()
    rows = F.pad(absmax, (0, -len(absmax) % block_size)).view(-1, block_size) - offset
    scale = rows.abs().amax(dim=1)
    y = (rows / scale[:, None]).flatten()[: len(absmax)]
    codes = (y[:, None] - dynamic_map).abs().argmin(dim=1)
    return codes.to(torch.uint8), scale, offset


@quantizes.mistake(
    "the mean of the filled-up scales",
    "You fill up the last block with zeros before you take the mean, so that the offset is too "
    "small.",
)
def quantize_scales(absmax, block_size, dynamic_map):
    rows = F.pad(absmax, (0, -len(absmax) % block_size)).view(-1, block_size)
    offset = rows.mean()
    centred = absmax - offset
    rows = F.pad(centred, (0, -len(centred) % block_size)).view(-1, block_size)
    scale = rows.abs().amax(dim=1)
    y = (rows / scale[:, None]).flatten()[: len(absmax)]
    codes = (y[:, None] - dynamic_map).abs().argmin(dim=1)
    return codes.to(torch.uint8), scale, offset


@quantizes.mistake(
    "an offset for each block",
    "You subtract each block's own mean. One offset serves all of them.",
)
def quantize_scales(absmax, block_size, dynamic_map):
    codes, scales = [], []
    for part in absmax.split(block_size):
        centred = part - part.mean()
        scales.append(centred.abs().max())
        y = centred / scales[-1].clamp(min=1e-30)
        codes.append((y[:, None] - dynamic_map).abs().argmin(dim=1))
    return torch.cat(codes).to(torch.uint8), torch.stack(scales), absmax.mean()


@quantizes.mistake(
    "equal steps",
    "You round to 256 equal steps and never look at the map. Its values are dense near 0.",
)
def quantize_scales(absmax, block_size, dynamic_map):
    offset = absmax.mean()
    centred = absmax - offset
    scale = torch.stack([part.abs().max() for part in centred.split(block_size)])
    y = centred / scale.repeat_interleave(block_size)[: len(absmax)]
    return ((y + 1) * 127.5).round().to(torch.uint8), scale, offset


@quantizes.mistake(
    "only whole blocks",
    "Your view works only where the number of scales is a multiple of block_size. The last block "
    "may be short.",
)
def quantize_scales(absmax, block_size, dynamic_map):
    offset = absmax.mean()
    rows = (absmax - offset).view(-1, block_size)
    scale = rows.abs().amax(dim=1)
    y = (rows / scale[:, None]).flatten()
    codes = (y[:, None] - dynamic_map).abs().argmin(dim=1)
    return codes.to(torch.uint8), scale, offset


@quantizes.mistake(
    "the argument is changed",
    "You subtract the offset in place, so that the caller's absmax is no longer what it was.",
)
def quantize_scales(absmax, block_size, dynamic_map):
    offset = absmax.mean()
    absmax -= offset
    scale = torch.stack([part.abs().max() for part in absmax.split(block_size)])
    y = absmax / scale.repeat_interleave(block_size)[: len(absmax)]
    codes = (y[:, None] - dynamic_map).abs().argmin(dim=1)
    return codes.to(torch.uint8), scale, offset


# 11.2 dequantize_scales

dequantizes = Bank()


@dequantizes.right
def dequantize_scales(codes, scale, offset, block_size, dynamic_map):
    values = dynamic_map[codes.long()]
    return values * scale.repeat_interleave(block_size)[: len(codes)] + offset


@dequantizes.right
def dequantize_scales(codes, scale, offset, block_size, dynamic_map):
    result = torch.empty(codes.shape[0], dtype=torch.float32)
    for i, code in enumerate(codes.tolist()):
        result[i] = dynamic_map[code] * scale[i // block_size] + offset
    return result


@dequantizes.right
def dequantize_scales(codes, scale, offset, block_size, dynamic_map):
    parts = codes.int().split(block_size)
    rows = [torch.addcmul(offset, dynamic_map[part], s) for part, s in zip(parts, scale)]
    return torch.cat(rows)


@dequantizes.right
def dequantize_scales(codes, scale, offset, block_size, dynamic_map):
    block = np.arange(len(codes)) // block_size
    values = dynamic_map.numpy().astype(np.float64)[codes.numpy()]
    exact = values * scale.numpy()[block] + offset.item()
    return torch.from_numpy(exact.astype(np.float32))


dequantizes.edit(
    "the offset is forgotten",
    "You do not add the offset: these are the centred values.",
    (" + offset", ""),
)
dequantizes.edit(
    "the offset is subtracted",
    "You subtract the offset. It was subtracted before the scales were coded, so it has to be "
    "added.",
    ("+ offset", "- offset"),
)
dequantizes.edit(
    "the offset is scaled",
    "You add the offset before you multiply by the scale, so it is scaled as well. Multiply first.",
    (
        "values * scale.repeat_interleave(block_size)[: len(codes)] + offset",
        "(values + offset) * scale.repeat_interleave(block_size)[: len(codes)]",
    ),
)
dequantizes.edit(
    "scales in turn",
    "You use the scales in turn, one for each value and then from the start. block_size neighbours "
    "share one: repeat_interleave.",
    ("scale.repeat_interleave(block_size)", "scale.repeat(block_size)"),
)
dequantizes.edit(
    "the first scale for all",
    "You multiply everything by the first block's scale.",
    ("scale.repeat_interleave(block_size)[: len(codes)]", "scale[0]"),
)
dequantizes.edit(
    "divided by the scale",
    "You divide by the scale. Coding divided by it, so the way back multiplies.",
    ("values * scale", "values / scale"),
)
dequantizes.edit(
    "the code instead of its value",
    "You scale the code itself. It is an index: look its value up in dynamic_map.",
    ("dynamic_map[codes.long()]", "codes.float()"),
)
dequantizes.edit(
    "equal steps",
    "You read the codes as 256 equal steps from -1 to 1. Their values stand in dynamic_map.",
    ("dynamic_map[codes.long()]", "codes.float() / 127.5 - 1"),
)
dequantizes.edit(
    "code 0 in the middle",
    "You shift the codes by half the map, as if code 0 were the middle. The map is ascending: "
    "code 0 is its lowest value.",
    ("codes.long()", "(codes.long() + 128) % 256"),
)
dequantizes.edit(
    "returns fp64",
    "The values are right but fp64. The scales are fp32, and so is what they were made of.",
    ("values * scale", "values.double() * scale"),
)


@dequantizes.mistake(
    "only whole blocks",
    "Your view works only where the number of codes is a multiple of block_size. The last block "
    "may be short.",
)
def dequantize_scales(codes, scale, offset, block_size, dynamic_map):
    rows = dynamic_map[codes.long()].view(-1, block_size)
    return (rows * scale[:, None] + offset).flatten()


@dequantizes.mistake(
    "the filling is kept",
    "You return the numbers that fill up the last block. There is one for each code.",
)
def dequantize_scales(codes, scale, offset, block_size, dynamic_map):
    values = F.pad(dynamic_map[codes.long()], (0, -len(codes) % block_size))
    return (values.view(-1, block_size) * scale[:, None] + offset).flatten()


@dequantizes.mistake(
    "computed in 16 bits",
    "You compute in fp16, which leaves 11 bits of each scale. Stay in fp32.",
)
def dequantize_scales(codes, scale, offset, block_size, dynamic_map):
    values = dynamic_map.half()[codes.long()]
    product = values * scale.half().repeat_interleave(block_size)[: len(codes)]
    return (product + offset.half()).float()


# 11.3 bits_per_parameter

bits = Bank()


@bits.right
def bits_per_parameter(block_size, nested_block_size=None):
    if nested_block_size is None:
        return 4 + 32 / block_size
    return 4 + 8 / block_size + 32 / (block_size * nested_block_size)


@bits.right
def bits_per_parameter(block_size, nested_block_size=None):
    n_bits, n = 4, 1
    n_bits += (32 if nested_block_size is None else 8) / block_size
    if nested_block_size is not None:
        n = block_size * nested_block_size
        n_bits += 32 * (1 / n)
    return float(n_bits)


@bits.right
def bits_per_parameter(block_size, nested_block_size=None):
    n = block_size * (nested_block_size or 1)  # parameters that share a 32-bit scale
    scales = 8 * nested_block_size if nested_block_size else 0
    return (4 * n + scales + 32) / n


bits.edit(
    "whole division",
    "You divide with //, so that a part of a bit is lost.",
    ("4 + 32 / block_size", "4 + 32 // block_size"),
    ("8 / block_size + 32 / (", "8 // block_size + 32 // ("),
)
bits.edit(
    "the codes are left out",
    "You count the scales only. Each parameter has 4 bits of its own.",
    ("return 4 + 32 / block_size", "return 32 / block_size"),
    ("return 4 + 8 / block_size", "return 8 / block_size"),
)
bits.edit(
    "8-bit codes",
    "You count 8 bits a parameter. NF4 has 4.",
    ("return 4 + 32 / block_size", "return 8 + 32 / block_size"),
    ("return 4 + 8 / block_size", "return 8 + 8 / block_size"),
)
bits.edit(
    "the 8-bit codes of the scales are left out",
    "With double quantization you count the scales of the scales only. Each block still has its "
    "own 8 bits.",
    ("8 / block_size + 32", "32"),
)
bits.edit(
    "the second scales an element",
    "You spread the second scales over nested_block_size parameters. They serve that many blocks: "
    "block_size * nested_block_size parameters.",
    ("32 / (block_size * nested_block_size)", "32 / nested_block_size"),
)
bits.edit(
    "the second scales are left out",
    "With double quantization you leave out the second scales: 32 bits for nested_block_size "
    "blocks.",
    (" + 32 / (block_size * nested_block_size)", ""),
)
bits.edit(
    "the scales keep 32 bits",
    "With double quantization you still count 32 bits a block. Its scale has 8 bits then.",
    ("4 + 8 / block_size", "4 + 32 / block_size"),
)
bits.edit(
    "16-bit scales",
    "You count 16 bits for a scale. They are fp32, 32 bits.",
    ("4 + 32 / block_size", "4 + 16 / block_size"),
    ("32 / (block_size", "16 / (block_size"),
)
bits.edit(
    "bytes",
    "You return bytes. Asked is for bits.",
    ("4 + 32 / block_size", "(4 + 32 / block_size) / 8"),
    (
        "4 + 8 / block_size + 32 / (block_size * nested_block_size)",
        "(4 + 8 / block_size + 32 / (block_size * nested_block_size)) / 8",
    ),
)
bits.edit(
    "nested blocks of elements, not of scales",
    "You divide by (block_size + nested_block_size). A second scale serves block_size * "
    "nested_block_size parameters.",
    ("block_size * nested_block_size", "block_size + nested_block_size"),
)
bits.edit(
    "rounded",
    "You round to hundredths. Return the number as it is.",
    ("return 4 + 32 / block_size", "return round(4 + 32 / block_size, 2)"),
    (
        "return 4 + 8 / block_size + 32 / (block_size * nested_block_size)",
        "return round(4 + 8 / block_size + 32 / (block_size * nested_block_size), 2)",
    ),
)


@bits.mistake(
    "always double quantization",
    "Without a nested_block_size you take 256. None means that the scales stay in 32 bits.",
)
def bits_per_parameter(block_size, nested_block_size=None):
    nested_block_size = nested_block_size or 256
    return 4 + 8 / block_size + 32 / (block_size * nested_block_size)


@bits.mistake(
    "never double quantization",
    "You never look at nested_block_size.",
)
def bits_per_parameter(block_size, nested_block_size=None):
    return 4 + 32 / block_size
