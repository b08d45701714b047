"""Extends the machine of ptx.py for kernels that compute: FMAs, reciprocals, shared memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.kernels.paper_gpu import ptx

SHARED = 4096  # where a program's shared memory begins; those addresses have 32 bits


class Program(ptx.Program):
    """A program as in ptx.py that knows more instructions."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.shared = ptx.Memory()
        self.shared.end = SHARED
        self.shared.place(torch.full((2**18,), 0xCD, dtype=torch.uint8))

    def move(self, name: str, operands: Sequence[str], where: np.ndarray) -> None:
        """Runs also "ld.global.shared" and "st.global.shared", which `run` makes of ld.shared."""
        everything, stored = self.memory, self.stored
        if ".shared." in name:
            self.memory = self.shared
        if ".copy." in name:
            self.copy(operands, where)
        elif ".matrix." in name:
            self.store_matrices(name, *operands)
        else:
            super().move(name, operands, where)
        if ".shared." in name:
            self.memory, self.stored = everything, stored

    def copy(self, operands: Sequence[str], where: np.ndarray) -> None:
        """Runs cp.async of 4, 8 or 16 bytes to shared memory at once; a size of 0 writes zeros."""
        to, source = (operand.strip("[ ]").removesuffix("+ 0").strip() for operand in operands[:2])
        width, size = int(operands[2], 16), self.read(operands[3], "u32")
        assert np.isin(size, (0, width)).all()
        data, index = self.shared.bytes_at(self.read(to, "u32")[where], width)
        data[index] = 0
        full = size[where] == width
        if full.any():
            given, place = self.memory.bytes_at(self.read(source, "u64")[where][full], width)
            data[index[full]] = given[place]

    def multiply(self, kind: str, operands: Sequence[str]) -> np.ndarray:
        """Runs mma.m16n8k16 on registers a (4), b (2), c (4); returns d (4), fp32 [threads, 4].

        PTX ISA 9.7.14.5.8: thread 4 g + t of a warp holds, of A, rows g and g + 8 and columns 2t,
        2t + 1, 2t + 8 and 2t + 9; of B the same, as rows, in column g; of C and D columns 2t and
        2t + 1.
        """
        a, b, c = (
            np.stack([self.read(name, "u32") for name in re.findall(r"%\w+", operand)], axis=1)
            for operand in operands
        )
        dtype = {"bf16": torch.bfloat16, "f16": torch.float16}[kind]

        def numbers(words: np.ndarray) -> np.ndarray:  # (warps, 8, 4, registers, 2)
            halves = torch.from_numpy(words.copy().view(np.int16)).view(dtype).double().numpy()
            return halves.reshape(-1, 8, 4, words.shape[1], 2)

        # registers of A: (column half, row half); of B: row half
        a_parts = numbers(a).reshape(-1, 8, 4, 2, 2, 2).transpose(0, 4, 1, 3, 2, 5)
        b_parts = numbers(b).transpose(0, 3, 2, 4, 1)
        c_parts = c.view(np.float32).reshape(-1, 8, 4, 2, 2).transpose(0, 3, 1, 2, 4)
        warps = len(a_parts)
        product = a_parts.reshape(warps, 16, 16) @ b_parts.reshape(warps, 16, 8)
        d = (product + c_parts.reshape(warps, 16, 8)).astype(np.float32)
        d = d.reshape(warps, 2, 8, 4, 2).transpose(0, 2, 3, 1, 4)
        return d.reshape(self.threads, 4)

    def load_matrices(self, name: str, operand: str) -> np.ndarray:
        """Runs ldmatrix: lanes 8j to 8j + 7 point to the rows, of 8 halves, of matrix j.

        Lane l gets two halves of each matrix: of row (with trans: column) l // 4 those from
        2 (l % 4) on.
        """
        data, place = self.shared.bytes_at(self.read(operand.strip("[]"), "u32"), 16)
        rows = data[place].view(np.uint16).reshape(-1, 4, 8, 8)  # (warps, matrices, 8, 8)
        if ".trans" in name:
            rows = rows.transpose(0, 1, 3, 2)
        pairs = np.ascontiguousarray(rows).view(np.uint32).transpose(0, 2, 3, 1)
        return pairs.reshape(self.threads, 4)[:, : int(re.findall(r"\.x(\d)", name)[0])]

    def store_matrices(self, name: str, place: str, operand: str) -> None:
        """Runs stmatrix, the inverse of ldmatrix."""
        words = np.stack([self.read(n, "u32") for n in re.findall(r"%\w+", operand)], axis=1)
        pairs = words.reshape(-1, 8, 4, words.shape[1]).transpose(0, 3, 1, 2)
        rows = np.ascontiguousarray(pairs).view(np.uint16)  # (warps, matrices, 8, 8)
        if ".trans" in name:
            rows = rows.transpose(0, 1, 3, 2)
        data, index = self.memory.bytes_at(self.read(place.strip("[ ]"), "u32"), 16)
        lanes = index.reshape(len(rows), 4, 8, 16)[:, : rows.shape[1]]
        data[lanes] = np.ascontiguousarray(rows).view(np.uint8)

    def write(self, operand: str, value: np.ndarray, where: np.ndarray) -> None:
        """Writes one register or several at once."""
        if value.ndim == 1:
            super().write(operand, value, where)
        else:
            for name, column in zip(re.findall(r"%\w+", operand), value.T, strict=True):
                super().write(name, np.ascontiguousarray(column), where)

    def compute(self, name: str, operands: Sequence[str]) -> np.ndarray:
        """Runs also FMA (summed in fp64), reciprocal, maximum of a warp, fp16 to fp32, ldmatrix."""
        if name.startswith("mma.sync.aligned.m16n8k16.row.col.f32."):
            return self.multiply(name.split(".")[-2], operands)
        if name == "fma.rn.f32":
            a, b, c = (self.read(operand, "f32").astype(np.float64) for operand in operands)
            return (a * b + c).astype(np.float32)
        if name in ("rcp.rn.f32", "div.rn.f32"):
            above = self.read(operands[0], "f32") if name.startswith("div") else np.float32(1)
            with np.errstate(divide="ignore", over="ignore"):
                return above / self.read(operands[-1], "f32")
        if name == "bfe.s32":  # the bits are a signed number
            value, first, count = (self.read(operand, "s32") for operand in operands)
            return value << (32 - first - count) >> (32 - count)
        if name == "redux.sync.max.s32":
            largest = self.read(operands[0], "s32").reshape(-1, 32).max(axis=1)
            return largest.repeat(32)
        if name.startswith("ldmatrix.sync.aligned.m8n8."):
            return self.load_matrices(name, operands[0])
        if name == "cvt.f32.f16":
            return self.read(operands[0], "f16").astype(np.float32)
        if name == "cvt.f32.bf16":
            return (self.read(operands[0], "u16").astype(np.uint32) << 16).view(np.float32)
        return super().compute(name, operands)


def run(
    listing: str,
    programs: int,
    arguments: Sequence[Tensor | ptx.Part | int],
    threads: int,
    only: Iterable[int] | None = None,
    rows: int = 1,
) -> float:
    """Runs `ptx.run` with this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ptx, "Program", Program)
        return ptx.run(plain(listing), programs, arguments, threads, only, rows)


@lru_cache(maxsize=64)
def plain(listing: str) -> str:
    """Returns a listing in the machine's words; as all threads run in step, barriers do nothing."""
    listing = listing.replace(".shared::cta", ".shared")
    listing = re.sub(r"\b(ld|st)\.shared\.", r"\1.global.shared.", listing)
    waits = r"^\s*(bar\.(warp\.)?sync|cp\.async\.(commit|wait)_group).*;$"
    listing = re.sub(waits, "", listing, flags=re.MULTILINE)
    copies = r"cp\.async\.c[ag]\.shared\.global (.*);"
    listing = re.sub(copies, r"ld.global.copy.b128 \1;", listing)
    matrices = r"stmatrix\.sync\.aligned\.m8n8\.x\d(\.trans)?\.shared\.b16"
    listing = re.sub(matrices, r"st.global.shared.matrix\1.b16", listing)
    return listing.replace("global_smem", str(SHARED))
