"""Which layers an adapter of peft stands beside, with which r and alpha: peft's rules for names.

    target_modules        names or how they end; or one regular expression for the whole name
    exclude_modules       the same, for layers that are left out
    layers_to_transform   numbers of blocks, to which a list of target_modules is confined
    layers_pattern        what stands before the number of a block, "h" in transformer.h.3.attn
    rank_pattern          {regular expression for the end of a name: r there}
    alpha_pattern         {the same: alpha there}

A file may hold any regular expression, and to match some takes longer than the universe is old:
(.*)*x tries every way to cut the name in pieces. Hence all matches of an adapter have two seconds.

Source: peft's check_target_module_exists and get_pattern_key.
"""

from __future__ import annotations

import math
import re
import time
import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import regex

from minigpt.layers import matches

ALL_LINEAR = "all-linear"  # peft's word for every linear layer but the LM head
SECONDS = 2.0
MOST = 1000  # patterns in a field
LONGEST = 1000  # characters of a pattern
MOST_COUNTED = 10_000  # what the counts in a pattern, {1,3} and the like, multiply to

# How peft makes of an entry the pattern that it matches with names.
NUMBERED = r"(?:^|.*?\.){}\.(?P<idx>\d+)\."
BLOCK = r".*?\.[^.]*\.(?P<idx>\d+)\."
END = r"(.*\.)?({})$"
PATTERNS = {"layers_pattern": NUMBERED, "rank_pattern": END, "alpha_pattern": END}


class Patterns:
    """Matches regular expressions with names for at most SECONDS in all."""

    def __init__(self) -> None:
        self.end = time.monotonic() + SECONDS
        self.compiled: dict[str, regex.Pattern[str]] = {}

    def match(self, pattern: str, name: str, full: bool = False) -> regex.Match[str] | None:
        """Matches a regular expression with the beginning of a name, or with all of it.

        Raises:
            ValueError: the time is up.
        """
        if pattern not in self.compiled:
            self.compiled[pattern] = regex.compile(pattern)
        compiled = self.compiled[pattern]
        left = self.end - time.monotonic()
        try:
            if left > 0:
                return (compiled.fullmatch if full else compiled.match)(name, timeout=left)
        except TimeoutError:
            pass
        raise ValueError(
            f"the pattern {pattern!r:.60} takes more than {SECONDS:g} seconds to match with "
            f"{name}; give a list of names instead"
        )


def check_patterns(field_name: str, patterns: Collection[str]) -> None:
    """Makes sure that patterns are regular expressions that `re`, which peft uses, takes too.

    Raises:
        ValueError: one is not, or they are too many, too long or repeat too much.
    """
    if len(patterns) > MOST:
        raise ValueError(f"{field_name} may have {MOST:,} patterns, got {len(patterns):,}")
    for pattern in patterns:
        if len(pattern) > LONGEST:
            raise ValueError(
                f"{field_name} may have {LONGEST:,} characters a pattern, got {len(pattern):,}"
            )
        try:
            _check_syntax(pattern)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about syntax whose meaning may change one day
                for said in (pattern, PATTERNS.get(field_name, "{}").replace("{}", pattern)):
                    re.compile(said)
                    regex.compile(said)
        except (re.error, regex.error, RecursionError, OverflowError) as error:
            raise ValueError(
                f"{field_name} must be a regular expression, got {pattern!r:.60} ({error})"
            ) from None


def _check_syntax(pattern: str) -> None:
    """Raises re.error for what `regex` takes for something else than `re`, or unrolls in memory."""
    if "[:" in pattern or re.search(r"\{(?!\d*,?\d*\})", pattern):
        raise re.error("'[:' and '{' that begins no count mean other things in other engines")
    counts = re.findall(r"\{(\d*),?(\d*)\}", pattern)
    counted = math.prod(max(1, *(int(count or 1) for count in pair)) for pair in counts)
    if counted > MOST_COUNTED:
        raise re.error(f"its counts multiply to more than {MOST_COUNTED:,}")


@dataclass(frozen=True)
class Targets:
    """The entries of adapter_config.json that choose layers, as lists or a regular expression.

    Raises:
        ValueError: a pattern is not a regular expression, or stands beside what needs a list.
    """

    target_modules: tuple[str, ...] | str
    exclude_modules: tuple[str, ...] | str = ()
    layers_to_transform: tuple[int, ...] | None = None
    layers_pattern: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.target_modules, str) and self.layers_to_transform is not None:
            raise ValueError(
                "layers_to_transform needs a list of target_modules, got "
                f"{self.target_modules!r:.60}; write the numbers into that pattern"
            )
        if self.layers_pattern and self.layers_to_transform is None:
            raise ValueError("layers_pattern needs layers_to_transform, the numbers of blocks")
        for name in ("target_modules", "exclude_modules"):
            if isinstance(getattr(self, name), str):
                check_patterns(name, [getattr(self, name)])
        check_patterns("layers_pattern", self.layers_pattern)

    def chosen(self, names: Iterable[str]) -> set[str]:
        """Returns those of the names that get an adapter; raises ValueError as Patterns.match."""
        patterns = Patterns()
        return {
            name
            for name in names
            if not _is_one_of(name, self.exclude_modules, patterns)
            and self._targets(name, patterns)
        }

    def _targets(self, name: str, patterns: Patterns) -> bool:
        targets = self.target_modules
        if isinstance(targets, str):
            if targets.lower() == ALL_LINEAR:
                return not matches(name, "lm_head")
            return _is_one_of(name, targets, patterns)
        if name in targets:  # the whole name: whatever the number of its block
            return True
        if not any(matches(name, target) for target in targets):
            return False
        return (
            not self.layers_to_transform or self._block(name, patterns) in self.layers_to_transform
        )

    def _block(self, name: str, patterns: Patterns) -> int | None:
        """Returns the number of the block that a layer is in."""
        numbered = [NUMBERED.replace("{}", pattern) for pattern in self.layers_pattern] or [BLOCK]
        found = (patterns.match(pattern, name) for pattern in numbered)
        first = next((match for match in found if match is not None), None)
        return None if first is None or first["idx"] is None else int(first["idx"])


def _is_one_of(name: str, targets: tuple[str, ...] | str, patterns: Patterns) -> bool:
    if isinstance(targets, str):
        return targets != "" and patterns.match(targets, name, full=True) is not None
    return any(matches(name, target) for target in targets)


@dataclass(frozen=True)
class Sizes:
    """r and alpha, and the layers in which they are others.

    Raises:
        ValueError: a pattern is not a regular expression.
    """

    r: int
    alpha: float
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("rank_pattern", "alpha_pattern"):
            check_patterns(name, getattr(self, name))

    def of(self, names: Iterable[str]) -> dict[str, tuple[int, float]]:
        """Returns r and alpha of each name; raises ValueError as Patterns.match."""
        patterns = Patterns()
        return {
            name: (
                int(_first(self.rank_pattern, name, patterns) or self.r),
                _first(self.alpha_pattern, name, patterns) or self.alpha,
            )
            for name in names
        }


def _first(values: Mapping[str, float], name: str, patterns: Patterns) -> float | None:
    """Returns the value of the first pattern that is the end of a name, after a dot or whole."""
    ends = (v for key, v in values.items() if patterns.match(END.replace("{}", key), name))
    return next(ends, None)
