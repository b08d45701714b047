"""NF4, the 4-bit NormalFloat: its 16 levels, and a tensor stored in them.

A weight matrix that was trained looks like numbers drawn from a normal distribution: many small,
few large. NF4 puts its 16 levels where such numbers are, so that they are used more evenly than
equal steps would be. Every block of 64 weights is divided by its largest absolute value, `absmax`,
so that all of them are between -1 and 1, and each becomes the number (*code*) of a level near it:

    code      0    1    2    3    4    5    6   7   8   9  10  11  12  13  14   15
    level -1.00 -.70 -.53 -.39 -.28 -.18 -.09   0 .08 .16 .25 .34 .44 .56 .72 1.00

    weight = LEVELS[code] * absmax[block]

A weight then costs 4 bits, and a block the 32 bits of its absmax. With *double quantization* the
absmax is stored in 8 bits, and 256 of them share one scale of their own:

    absmax = DYNAMIC_MAP[absmax_code] * absmax_scale[block of blocks] + absmax_offset

Sources: Dettmers et al. 2023, "QLoRA" (section 3, arXiv 2305.14314); the numbers are those of
bitsandbytes, which the world's 4-bit checkpoints are written with. The paper's equation 4 describes
other levels: its end quantiles would be infinite.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernels.checks import check_block_size, check_dtype, check_parts, check_shape, check_type

PAD_CODE = 7  # the level 0; it fills the last half byte when the number of codes is odd
# A checkpoint keeps a weight's settings under the weight's name, STATE, and the format's name.
STATE = ".quant_state.bitsandbytes__"
SETTINGS = f"{STATE}nf4"
PARTS = ("codes", "absmax", "absmax_codes", "absmax_scale", "absmax_offset")
FP32: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}  # as defaults may differ


def derive_levels() -> Tensor:
    """Returns the 16 levels from -1 to 1, fp32 [16].

    Cut the area under the normal curve between the quantiles 1 - o and o into 8 equal parts on the
    right of zero and 7 on the left, take the curve's quantiles at the cuts and 0 itself, and divide
    by the largest. The quantiles of 0 and 1 would be infinite, so o = 0.9677083 stays half a level
    away from 1: that is 1 / 30 of the area with 15 levels and 1 / 32 with 16, and o is 1 minus the
    mean of the two.
    """
    quantile = NormalDist().inv_cdf
    o = 0.9677083
    positive = [quantile(p) for p in torch.linspace(o, 0.5, 9, **FP32)[:-1].tolist()]
    negative = [-quantile(p) for p in torch.linspace(o, 0.5, 8, **FP32)[:-1].tolist()]
    levels = torch.tensor(sorted([*negative, 0.0, *positive]), **FP32)
    return levels / levels.max()


def derive_dynamic_map() -> Tensor:
    """Returns the 256 values of a scale, -0.993 to 1, fp32 [256], ascending; [127] is 0.

    A value has a sign, a power of ten and a fraction, in 8 bits. Behind the sign bit, 6 - i zeros
    and a one stand for the factor 10^(i - 6), and the i bits that are left number the middles of
    2^i equal steps from 0.1 to 1. The two codes that this leaves over stand for 0 and 1.
    Source: Dettmers 2015, "8-Bit Approximations for Parallelism in Deep Learning" (1511.04561).
    """
    values = [0.0, 1.0]
    for i in range(7):
        ends = torch.linspace(0.1, 1, 2**i + 1, **FP32)
        middles = (ends[:-1] + ends[1:]) / 2 * 10.0 ** (i - 6)
        values += [sign * value for value in middles.tolist() for sign in (1, -1)]
    return torch.tensor(sorted(values), **FP32)


LEVELS = derive_levels()
DYNAMIC_MAP = derive_dynamic_map()
MIDPOINTS = (DYNAMIC_MAP[:-1] + DYNAMIC_MAP[1:]) * 0.5  # above one, the next value is nearer
# x goes to the level above when x > threshold. These are the midpoints of LEVELS as the CUDA
# kernels of bitsandbytes write them in decimals, so four are the last bit off the exact midpoint.
THRESHOLD_BITS = (
    0xBF591CD9, 0xBF1C5270, 0xBEEB8480, 0xBEADEA76, 0xBE703CEC, 0xBE0D38BC, 0xBD3A7871, 0x3D22FAFF,
    0x3DF64863, 0x3E5067E0, 0x3E9582D4, 0x3EC753F9, 0x3F006D03, 0x3F248DAF, 0x3F5C89D9,
)  # fmt: skip
THRESHOLDS = torch.from_numpy(np.array(THRESHOLD_BITS, dtype=np.uint32).view(np.float32))


@dataclass(frozen=True, eq=False)
class NF4Tensor:
    """A tensor of n numbers in NF4.

    Attributes:
        codes: uint8 [ceil(n / 2)]. The tensor is read row by row; element 2i is the high half of
            byte i, element 2i + 1 the low half. An odd number of elements ends in code 7.
        shape: the tensor's own shape, n numbers.
        dtype: what it was before, and what `dequantize_nf4` makes of it: fp32, fp16 or bf16.
        block_size: elements that share a scale. Blocks run over the flat tensor, across rows; the
            last may be short. b = ceil(n / block_size) blocks.
        absmax: fp32 [b], one scale a block; None with double quantization, which has instead
        absmax_codes: uint8 [b], indices into DYNAMIC_MAP,
        absmax_scale: fp32 [ceil(b / nested_block_size)], and
        absmax_offset: fp32 scalar, the mean of the scales.
        nested_block_size: scales that share one absmax_scale; None without double quantization.

    Raises:
        ValueError, TypeError: the parts do not fit together.
    """

    codes: Tensor
    shape: torch.Size
    dtype: torch.dtype
    block_size: int
    absmax: Tensor | None = None
    absmax_codes: Tensor | None = None
    absmax_scale: Tensor | None = None
    absmax_offset: Tensor | None = None
    nested_block_size: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", check_shape(self.shape))
        object.__setattr__(self, "block_size", check_block_size("block_size", self.block_size))
        check_dtype("dtype", self.dtype)
        b = math.ceil(self.numel / self.block_size)
        parts: dict[str, tuple[torch.dtype, tuple[int, ...]] | None] = dict.fromkeys(PARTS)
        parts["codes"] = (torch.uint8, (math.ceil(self.numel / 2),))
        if self.nested_block_size is None:
            parts["absmax"] = (torch.float32, (b,))
        else:
            nested = check_block_size("nested_block_size", self.nested_block_size)
            object.__setattr__(self, "nested_block_size", nested)
            parts["absmax_codes"] = (torch.uint8, (b,))
            parts["absmax_scale"] = (torch.float32, (math.ceil(b / nested),))
            parts["absmax_offset"] = (torch.float32, ())
        check_parts(self, parts)

    @property
    def numel(self) -> int:
        """Returns the number of elements, n."""
        return math.prod(self.shape)

    @property
    def device(self) -> torch.device:
        """Returns the device of the parts."""
        return self.codes.device

    @property
    def double_quant(self) -> bool:
        """Returns whether the scales are quantized too."""
        return self.nested_block_size is not None

    @classmethod
    def from_parts(
        cls,
        parts: Sequence[Tensor],
        shape: Sequence[int],
        dtype: torch.dtype,
        block_size: int,
        nested_block_size: int | None,
    ) -> NF4Tensor:
        """Returns the NF4Tensor that is made of these parts, in the order of the attributes.

        They are codes, then absmax or the three of double quantization.
        """
        names = PARTS[:2] if nested_block_size is None else (PARTS[0], *PARTS[2:])
        given: dict[str, Any] = dict(zip(names, parts, strict=True))
        given |= {"dtype": dtype, "block_size": block_size, "nested_block_size": nested_block_size}
        return cls(shape=torch.Size(shape), **given)

    @property
    def parts(self) -> dict[str, Tensor]:
        """Returns the tensors it is made of, by attribute name."""
        return {name: getattr(self, name) for name in PARTS if getattr(self, name) is not None}

    @property
    def nbytes(self) -> int:
        """Returns the bytes of all parts."""
        return sum(part.nbytes for part in self.parts.values())

    @property
    def bits_per_parameter(self) -> float:
        """Returns 8 * nbytes / n: near 4.5 for blocks of 64, 4.127 with double quantization."""
        return 8 * self.nbytes / self.numel if self.numel else math.nan

    def to(self, device: torch.device | str | int) -> NF4Tensor:
        """Returns the same on another device."""
        if not isinstance(device, (torch.device, str, int)):
            raise TypeError(f"to needs a device, got {device!r}; dequantize_nf4 takes a dtype")
        parts: dict[str, Any] = {name: part.to(device) for name, part in self.parts.items()}
        return replace(self, **parts)

    def state_dict(self, prefix: str = "weight") -> dict[str, Tensor]:
        """Returns tensors only, as bitsandbytes names and lays them out in a checkpoint.

        `prefix` holds the codes [ceil(n / 2), 1], `prefix.absmax` the scales (or their codes),
        `prefix.quant_map` the levels, `prefix.quant_state.bitsandbytes__nf4` the rest as JSON in
        UTF-8 bytes. safetensors can save it, transformers and bitsandbytes can load it.
        """
        settings = {
            "quant_type": "nf4",
            "blocksize": self.block_size,
            "dtype": str(self.dtype).removeprefix("torch."),
            "shape": list(self.shape),
        }
        tensors = {"": self.codes[:, None], ".quant_map": LEVELS.to(self.device, copy=True)}
        parts = self.parts
        if not self.double_quant:
            tensors[".absmax"] = parts["absmax"]
        else:
            settings["nested_blocksize"] = self.nested_block_size
            settings["nested_dtype"] = "float32"
            settings["nested_offset"] = parts["absmax_offset"].item()
            tensors[".absmax"] = parts["absmax_codes"]
            tensors[".nested_absmax"] = parts["absmax_scale"]
            tensors[".nested_quant_map"] = DYNAMIC_MAP.to(self.device, copy=True)
        packed = np.frombuffer(json.dumps(settings).encode(), dtype=np.uint8).copy()
        tensors[SETTINGS] = torch.from_numpy(packed).to(self.device)
        return {prefix + name: tensor for name, tensor in tensors.items()}

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Tensor], prefix: str = "weight") -> NF4Tensor:
        """Returns what `state_dict` or bitsandbytes has saved under `prefix`.

        Raises:
            KeyError: a part is missing.
            ValueError: it is in another format (fp4, say), its settings are damaged, or the parts
                do not fit together.
            TypeError: a part is not a tensor, or the weight was of another dtype.
        """

        def part(name: str) -> Tensor:
            if prefix + name not in state_dict:
                near = [key for key in state_dict if key.startswith(prefix)]
                raise KeyError(
                    f"no tensor {prefix + name!r} in the checkpoint; under {prefix!r} it has "
                    f"{', '.join(near) or 'nothing: is the weight in NF4 at all?'}"
                )
            check_type(prefix + name, state_dict[prefix + name], Tensor)
            return state_dict[prefix + name]

        stored = prefix + STATE
        formats = [key.removeprefix(stored) for key in state_dict if key.startswith(stored)]
        if formats and "nf4" not in formats:
            raise ValueError(f"{prefix!r} is in {formats[0]}, not in nf4; quantize it anew to nf4")
        packed, absmax = part(SETTINGS), part(".absmax")
        try:
            settings = json.loads(bytes(packed.cpu().numpy()).decode())
            kind, shape = settings["quant_type"], torch.Size(settings["shape"])
            dtype, block_size = getattr(torch, settings["dtype"]), settings["blocksize"]
            if not isinstance(dtype, torch.dtype):
                raise ValueError(f"dtype is {settings['dtype']!r:.60}")
            nested = settings.get("nested_blocksize")
            offset = float(settings["nested_offset"] if nested is not None else 0)
            if not abs(offset) <= torch.finfo(torch.float32).max:
                raise ValueError(f"nested_offset is {offset}")
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError,
                AttributeError) as error:  # fmt: skip
            raise ValueError(
                f"the settings in {prefix + SETTINGS!r} are damaged ({type(error).__name__}: "
                f"{str(error)[:200]}); save the weight anew"
            ) from error
        if kind != "nf4" or not torch.equal(part(".quant_map").cpu(), LEVELS):
            raise ValueError(f"{prefix!r} does not use the 16 levels of NF4")
        scales: dict[str, Any] = {"absmax": absmax}
        if nested is not None:
            if not torch.equal(part(".nested_quant_map").cpu(), DYNAMIC_MAP):
                raise ValueError(f"the scales of {prefix!r} use another 8-bit map than ours")
            mean = torch.tensor(offset, dtype=torch.float32, device=absmax.device)
            scales = {"absmax_scale": part(".nested_absmax"), "absmax_offset": mean}
            scales |= {"absmax_codes": absmax, "nested_block_size": nested}
        return cls(part("").reshape(-1).view(torch.uint8), shape, dtype, block_size, **scales)
