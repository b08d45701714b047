"""Runs PTX, the assembly language Triton compiles to for NVIDIA's GPUs, on a CPU.

A kernel with inline assembly, which Triton's interpreter cannot run, is thus tested as it was
compiled: instruction by instruction, all threads of a program in step, as NumPy arrays. The machine
knows the instructions that the kernels here need and stops at any other. It also stops where a
thread reads or writes memory of no argument, and where threads of a program branch differently.

It follows "PTX ISA" (docs.nvidia.com/cuda/parallel-thread-execution) and is not a GPU: it cannot
show that ptxas and the chip follow that specification.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

SIZES = {"f": {16: np.float16, 32: np.float32}, "s": {}, "u": {}}
for bits in (8, 16, 32, 64):
    SIZES["s"][bits] = np.dtype(f"int{bits}").type
    SIZES["u"][bits] = np.dtype(f"uint{bits}").type
ALIGNMENT = 256  # torch's allocators give addresses at least as round
SECTOR = 32  # bytes; the smallest piece of memory that is moved


class Memory:
    """Addresses of tensors; a gap of forbidden bytes lies between any two."""

    def __init__(self) -> None:
        self.tensors: list[tuple[int, Tensor]] = []
        self.end = 1 << 40  # needs more than 32 bits

    def place(self, tensor: Tensor) -> int:
        """Returns an address for the tensor."""
        assert tensor.is_contiguous()
        address = self.end
        self.tensors.append((address, tensor.view(-1).view(torch.uint8)))
        self.end += -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT + ALIGNMENT
        return address

    def bytes_at(self, addresses: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the bytes of the tensor that holds all addresses, and indices [threads, size]."""
        for start, tensor in self.tensors:
            index = addresses.astype(np.int64) - start
            if (index >= 0).all() and (index + size <= tensor.numel()).all():
                assert (index % size == 0).all(), "an address is not a multiple of the access"
                return tensor.numpy(), index[:, None] + np.arange(size)
        raise AssertionError(f"{size} bytes at {addresses} lie in no tensor")


def bf16(values: np.ndarray) -> np.ndarray:
    """Returns the bits, uint16, of the bf16 nearest to each fp32 value."""
    return torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)


@lru_cache(maxsize=64)
def parse(ptx: str) -> tuple[list[str], list[tuple[str | None, str, list[str]]], dict[str, int]]:
    """Parameters by name; (condition, instruction, operands) in order; index behind each label."""
    head, body = ptx.split(".entry", 1)[1].split(")", 1)
    parameters = re.findall(r"(\w+_param_\d+)", head)
    body = body[body.index("{") + 1 :].split("$L__func_end")[0]
    lines = [re.sub(r"//.*", "", line) for line in body.splitlines()]
    lines = [line for line in lines if not re.match(r"\s*\.(loc|file|section|pragma)", line)]
    code: list[tuple[str | None, str, list[str]]] = []
    labels: dict[str, int] = {}
    for statement in "\n".join(lines).split(";"):
        text = statement.strip()
        while found := re.match(r"(\$?\w+):\s*|[{}]\s*", text):  # labels and braces of a scope
            if found[1]:
                labels[found[1]] = len(code)
            text = text[found.end() :]
        if not text or text.startswith(".reg"):
            continue
        condition, name, rest = re.match(r"(?:@(!?\S+)\s+)?(\S+)\s*(.*)", text, re.DOTALL).groups()
        operands = re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+", rest)
        code.append((condition, name, operands))
    return parameters, code, labels


class Program:
    """A program of a kernel: its threads' registers, as arrays of 64 bits.

    `stored` counts the bytes that its warps have stored, and those of the sectors they touched.
    """

    def __init__(self, memory: Memory, number: int, programs: int, threads: int) -> None:
        self.memory = memory
        self.threads = threads
        self.stored = np.zeros(2, np.int64)
        thread = np.arange(threads, dtype=np.uint64)
        self.registers: dict[str, np.ndarray] = {
            "%tid.x": thread,
            "%laneid": thread % 32,
            "%ctaid.x": np.full(threads, number, np.uint64),
            "%nctaid.x": np.full(threads, programs, np.uint64),
        }

    def read(self, operand: str, kind: str) -> np.ndarray:
        """Reads a register or a number as kind: "u32", "s64", "f32", "b16", "pred"."""
        if operand.startswith("{"):  # parts of a register, the lowest first
            names = re.findall(r"[%\w]+", operand)
            part = int(kind[1:]) // len(names)
            parts = [self.read(name, f"u{part}").astype(np.uint64) for name in names]
            bits = sum((p << np.uint64(part * i) for i, p in enumerate(parts)), np.uint64(0))
        elif operand in self.registers:
            bits = self.registers[operand]
        elif operand.startswith("0f"):
            bits = np.full(self.threads, int(operand[2:], 16), np.uint64)
        else:
            bits = np.full(self.threads, int(operand.rstrip("U"), 0) & (2**64 - 1), np.uint64)
        if kind == "pred":
            return bits.astype(bool)
        size = int(kind[1:])
        unsigned = bits.astype(SIZES["u"][size])
        return unsigned.view(SIZES["u" if kind[0] == "b" else kind[0]][size])

    def write(self, operand: str, value: np.ndarray, where: np.ndarray) -> None:
        """Puts value into a register of the threads `where`."""
        if value.dtype == bool:
            bits = value.astype(np.uint64)
        else:
            bits = value.view(SIZES["u"][value.dtype.itemsize * 8]).astype(np.uint64)
        if operand.startswith("{"):
            names = re.findall(r"[%\w]+", operand)
            part = np.uint64(value.dtype.itemsize * 8 // len(names))
            for i, name in enumerate(names):
                lower = bits >> (part * np.uint64(i)) & ((np.uint64(1) << part) - np.uint64(1))
                self.write(name, lower, where)
            return
        before = self.registers.get(operand, np.zeros(self.threads, np.uint64))
        self.registers[operand] = np.where(where, bits, before)

    def shuffle(self, way: str, operands: Sequence[str]) -> np.ndarray:
        """Runs shfl.sync, as its section "Semantics" spells it out."""
        value, b, c, members = (self.read(operand, "u32") for operand in operands)
        assert (members == 0xFFFFFFFF).all()
        assert way in ("idx", "bfly"), way
        lane = np.arange(self.threads) % 32
        keep, last = (c >> 8) & 31, c & 31
        lowest = lane & keep
        highest = lowest | (last & ~keep)
        source = lowest | (b & 31 & ~keep) if way == "idx" else lane ^ (b & 31)
        source = np.where(source <= highest, source, lane)
        return value[np.arange(self.threads) // 32 * 32 + source]

    def move(self, name: str, operands: Sequence[str], where: np.ndarray) -> None:
        """Runs ld.global and st.global, of one register or several."""
        load = name.startswith("ld")
        place, values = operands[::-1] if load else operands
        base, _, plus = place.strip("[] ").partition("+")
        addresses = self.read(base.strip(), "u64") + np.uint64(int(plus or 0))
        registers = re.findall(r"[%\w]+", values)
        kind = name.split(".")[-1]
        size = int(kind[1:]) // 8
        if not where.any():
            return
        wanted = addresses[where]
        width = size * len(registers)
        data, index = self.memory.bytes_at(wanted, width)
        if not load:
            warp = (np.arange(self.threads) // 32)[where]
            sectors = {*zip(warp.tolist(), (wanted // np.uint64(SECTOR)).tolist(), strict=True)}
            self.stored += (len(wanted) * width, len(sectors) * SECTOR)
        for k, register in enumerate(registers):
            part = index[:, k * size : (k + 1) * size]
            if load:
                raw = np.ascontiguousarray(data[part]).view(SIZES["u"][size * 8])[:, 0]
                whole = np.zeros(self.threads, SIZES["u"][size * 8])
                whole[where] = raw
                self.write(register, whole, where)
            else:
                bits = self.read(register, f"u{size * 8}")[where]
                data[part] = np.ascontiguousarray(bits)[:, None].view(np.uint8)

    def compute(self, name: str, operands: Sequence[str]) -> np.ndarray:
        """Returns the result of an instruction that has one; operands are its inputs."""
        word, *more = name.split(".")
        kind = more[-1]
        if word == "shfl":
            return self.shuffle(more[1], operands)
        if word == "cvt":
            return self.convert(more, operands)
        if word == "selp":
            a, b = (self.read(operand, kind) for operand in operands[:2])
            return np.where(self.read(operands[2], "pred"), a, b)
        if word in ("shl", "shr"):  # by how much is always 32 bits
            a, by = self.read(operands[0], kind), self.read(operands[1], "u32")
            width = int(kind[1:])
            by = np.minimum(by, width - 1 if kind[0] == "s" else width).astype(a.dtype)
            shifted = np.left_shift(a, by) if word == "shl" else np.right_shift(a, by)
            return np.where(by == width, a.dtype.type(0), shifted)
        values = [self.read(operand, kind) for operand in operands]
        if "wide" in more:
            a, b = (value.astype(SIZES[kind[0]][2 * int(kind[1:])]) for value in values[:2])
            if word == "mul":
                return a * b
            return a * b + self.read(operands[2], f"{kind[0]}{2 * int(kind[1:])}")
        if word == "setp":
            a, b = values
            nan = {"nan": lambda a, b: np.isnan(a) | np.isnan(b)}
            plain = {"lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}
            return (nan | plain | {"eq": np.equal, "ne": np.not_equal})[more[0]](a, b)
        if word == "prmt":
            a, b, chosen = values
            source = np.stack([a, b], axis=1).view(np.uint8).reshape(self.threads, 8)
            index = np.stack([(chosen >> (4 * k)) & 15 for k in range(4)], axis=1)
            assert (index < 8).all()  # 8 and more repeat a sign
            return np.take_along_axis(source, index, axis=1).copy().view(np.uint32)[:, 0]
        if word == "bfe":
            value, first, count = values
            return (value >> first) & ((np.uint32(1) << count) - np.uint32(1))
        if word == "mad":
            return values[0] * values[1] + values[2]
        binary = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "min": np.minimum}
        binary |= {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}
        binary |= {"max": np.maximum}
        unary = {"mov": np.copy, "not": np.invert, "abs": np.abs, "neg": np.negative}
        assert word in binary or word in unary, f"no {name} in this machine"
        with np.errstate(over="ignore"):  # products of fp32 may be infinite
            return (binary | unary)[word](*values)

    def convert(self, more: Sequence[str], operands: Sequence[str]) -> np.ndarray:
        """Runs cvt: between integers, and from fp32 to the shorter formats."""
        to, kind = more[-2:]
        first = self.read(operands[0], kind)
        if to in ("bf16x2", "f16x2"):  # the first operand goes to the upper half
            round_to = bf16 if to == "bf16x2" else lambda v: v.astype(np.float16).view(np.uint16)
            upper, lower = (round_to(self.read(operand, kind)) for operand in operands)
            return (upper.astype(np.uint32) << 16) | lower
        if to == "bf16":
            return bf16(first)
        assert kind[0] in "usb" or (to, kind) == ("f16", "f32"), more
        return first.astype(SIZES[to[0]][int(to[1:])])


class Part(NamedTuple):
    """A large tensor's elements from number `first` on; the others take no memory."""

    tensor: Tensor
    first: int


def run(
    ptx: str,
    programs: int,
    arguments: Sequence[Tensor | Part | int],
    threads: int,
    only: Iterable[int] | None = None,
    rows: int = 1,
) -> float:
    """Runs programs of a compiled kernel, one after the other.

    Args:
        programs: how many programs there are.
        arguments: all but compile-time constants; tensors are on the CPU and are written to. The
            arguments that Triton adds after them are not used.
        threads: how many threads each program has.
        only: the numbers of the programs to run; None runs all.
        rows: how many programs there are in the grid's second dimension.

    Returns:
        How full the sectors are that the stores touch, 0 to 1: below 1 memory has to move more than
        is written.
    """
    parameters, code, labels = parse(ptx)
    memory = Memory()
    given: dict[str, int] = {}
    for parameter, value in zip(parameters, arguments, strict=False):
        if isinstance(value, Part):
            given[parameter] = memory.place(value.tensor) - value.first * value.tensor.itemsize
        else:
            given[parameter] = memory.place(value) if isinstance(value, Tensor) else value
    stored = np.zeros(2, np.int64)
    for row, number in product(range(rows), range(programs) if only is None else only):
        program = Program(memory, number, programs, threads)
        program.registers["%ctaid.y"] = np.full(threads, row, np.uint64)
        everywhere = np.ones(threads, bool)
        at = 0
        while at < len(code):
            condition, name, operands = code[at]
            at += 1
            where = everywhere
            if condition:
                where = program.read(condition.lstrip("!"), "pred") ^ condition.startswith("!")
            if name.startswith(("bra", "ret")):
                assert where.all() or not where.any(), "the threads of a program part"
                if where.any():
                    at = labels[operands[0]] if name.startswith("bra") else len(code)
            elif name.startswith("ld.param"):
                bits = given[operands[1].strip("[]")] & (2**64 - 1)
                program.write(operands[0], np.full(threads, bits, np.uint64), where)
            elif name.startswith(("ld.global", "st.global")):
                program.move(name, operands, where)
            else:
                program.write(operands[0], program.compute(name, operands[1:]), where)
        stored += program.stored
    return float(stored[0] / stored[1])
