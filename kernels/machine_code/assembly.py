"""Parses assembly listings of NVIDIA's and AMD's GPUs into lists of instructions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple


class Instruction(NamedTuple):
    """An instruction: its address and its text, such as "@P0 LDG.E.128 R4, desc[UR4][R2.64]"."""

    address: int
    text: str

    @property
    def name(self) -> str:
        """Returns the name without condition and operands, such as "LDG.E.128"."""
        return re.sub(r"^@\S+\s+", "", self.text).split()[0]


def parse_sass(code: str) -> tuple[list[Instruction], dict[str, int]]:
    """Returns the instructions that can be executed, in order, and the addresses of the labels."""
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    waiting: list[str] = []
    for line in code.splitlines():
        if label := re.match(r"\s*(\.L_\w+):", line):
            waiting.append(label[1])
        elif found := re.match(r"\s*/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;", line):
            address = int(found[1], 16)
            labels |= dict.fromkeys(waiting, address)
            waiting = []
            instructions.append(Instruction(address, found[2]))
    return [
        instruction
        for instruction in instructions
        if instruction.name != "NOP" and target(instruction, labels) != instruction.address
    ], labels


def parse_amd(listing: str) -> tuple[list[Instruction], dict[str, int]]:
    """Returns the same as parse_sass; the addresses are line numbers."""
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    waiting: list[str] = []
    for number, line in enumerate(listing.split(".section")[0].splitlines()):
        if label := re.match(r"(\.LBB\w+):", line):
            waiting.append(label[1])
        elif found := re.match(r"\t((?:s|v|ds|global|buffer|flat|scratch)_.*)", line):
            labels |= dict.fromkeys(waiting, number)
            waiting = []
            instructions.append(Instruction(number, found[1]))
    return [i for i in instructions if i.name not in ("s_nop", "s_code_end")], labels


def target(instruction: Instruction, labels: dict[str, int]) -> int | None:
    """Returns the address that a jump jumps to; None for other instructions."""
    found = re.search(r"\.L\w+", instruction.text)
    jumps = instruction.name.startswith(("BRA", "s_cbranch", "s_branch"))
    return labels[found[0]] if found and jumps else None


def longest_loop(instructions: list[Instruction], labels: dict[str, int]) -> list[Instruction]:
    """Returns the longest loop, from a jump's target to the jump; [] if there is none.

    A jump back is a loop only if its target leads to it again: compilers put code that is seldom
    needed behind the end.
    """
    place = {instruction.address: i for i, instruction in enumerate(instructions)}
    goals = [target(instruction, labels) for instruction in instructions]
    longest: list[Instruction] = []
    for end, goal in enumerate(goals):
        if goal is None or (start := place.get(goal, end + 1)) > end:
            continue
        reached, todo = set[int](), [start]
        while todo:
            i = todo.pop()
            if i in reached or i >= len(instructions):
                continue
            reached.add(i)
            ends = re.match(r"(EXIT|BRA|s_endpgm|s_branch)\b", instructions[i].text)
            todo += [] if ends else [i + 1]
            todo += [place[g] for g in (goals[i],) if g in place]
        if end in reached and end - start >= len(longest):
            longest = instructions[start : end + 1]
    return longest


def count_executed(
    instructions: list[Instruction], labels: dict[str, int], turns: int | None
) -> int:
    """Counts the instructions that a thread executes.

    Args:
        turns: how often the longest loop runs; None counts one turn of the loop alone.
    """
    loop = longest_loop(instructions, labels)
    if not loop:
        return len(instructions)
    return len(loop) if turns is None else len(instructions) + (turns - 1) * len(loop)


def access_bytes(names: Iterable[str]) -> int:
    """Returns the bytes of the widest load or store: LDG.E.U8 has 1, LDG.E 4, STG.E.64 8."""
    widths = [0]
    for name in names:
        bits = re.search(r"\.[US]?(8|16|64|128|256)\b", name)
        widths.append(int(bits[1]) // 8 if bits else 4)
    return max(widths)
