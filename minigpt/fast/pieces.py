r"""`bpe.split_text` in bounded time, for patterns that come from a file.

A pattern can make a regular-expression engine try again for longer than anybody waits: `(a+)+$`
does on forty times "a" and a "!". The published patterns do not, and tiktoken's engine may have
them. Any other must be written in the small language of `check_pattern`, and it runs in an engine
that stops at a time limit.
"""

import re
from collections.abc import Iterator
from itertools import permutations

import regex

from minigpt.bpe import GPT2_PATTERN

ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
O200K_CASES = (
    r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
)
# Patterns that take time in proportion to the text, in every spelling that was published.
KNOWN_PATTERNS = {
    GPT2_PATTERN,
    # GPT-2, in its repository, in tiktoken's comment on it, and in tiktoken until 0.7
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?[\p{L}]+| ?[\p{N}]+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    # cl100k (GPT-4) in tiktoken, new and old
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s*[\r\n]|\s+(?!\S)|\s+",
    # Llama-3, with up to three digits in a piece, as cl100k was published; Qwen, with one
    *(
        ENDINGS + rf"|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
        for digits in (r"\p{N}{1,3}", r"\p{N}")
    ),
    # o200k (GPT-4o)
    "|".join(rf"[^\r\n\p{{L}}\p{{N}}]?{case}{ENDINGS}?" for case in O200K_CASES)
    + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}

LONGEST = 1000  # characters of a pattern
MOST_COMPILED = 100_000  # its length times its counts, {1,3} and the like: what it is compiled to
ESCAPE = r"\\(?:[pP](?:\w|\{\^?[\w=]+\})|[sSdDwWrntfv]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[^\w\s])"
ATOM = re.compile(
    rf"(?P<set>\[\^?(?:[^\[\]\\]|{ESCAPE})+\])|\{{(?P<count>\d{{1,3}})(?:,(?P<most>\d{{0,3}}))?\}}"
    rf"|{ESCAPE}|\\[bB]|\((?:\?(?:[:=!>]|<[=!]|[is]:))?(?![?*])|[^\\\[\]{{}}(]",
    re.DOTALL,
)
SET_OPERATORS = ("&&", "--", "||", "~~")  # engines differ in what they mean

SECONDS = 2.0
CHARACTERS_A_SECOND = 200_000  # more than this; a published pattern cuts millions
PROBES = "aA1 \n!"
PROBE_LENGTH = 1000


def check_pattern(pattern: str) -> None:
    """Checks that a pattern is a known one, or that it can be run with a time limit.

    It may have sets, groups, alternatives, lookarounds, escapes such as `\\p{Lu}` and `\\s`, and
    repeats. References to groups, recursion and sets in sets are left out: they have no bound, or
    mean other things in other engines.

    Raises:
        ValueError: it has something else, is not a regular expression, matches the empty text, or
            takes seconds for a text of a few characters, repeated.
    """
    if pattern in KNOWN_PATTERNS:
        return
    if len(pattern) > LONGEST:
        raise _refusal(pattern, f"has {len(pattern):,} characters, more than {LONGEST:,}")
    repeats, i = 1, 0
    while i < len(pattern):
        atom = ATOM.match(pattern, i)
        if not atom or (atom["set"] and any(sign in atom["set"] for sign in SET_OPERATORS)):
            raise _refusal(pattern, f"has {pattern[i : i + 10]!r}, which is not understood here")
        repeats *= max(1, int(atom["count"] or 1), int(atom["most"] or 1))
        if len(pattern) * repeats > MOST_COMPILED:
            raise _refusal(pattern, f"has counts whose product, {repeats:,}, is too large")
        i = atom.end()
    try:
        compiled = regex.compile(pattern)
        if compiled.match("", timeout=SECONDS):
            raise _refusal(pattern, "matches the empty text, so it cuts nothing")
        pairs = [a + b for a, b in permutations(PROBES, 2)]
        probes = dict.fromkeys([*PROBES, *pattern, *pairs])
        text = "\0".join(probe * (PROBE_LENGTH // len(probe)) for probe in probes)
        for _ in compiled.finditer(text, timeout=SECONDS):
            pass
    except regex.error as error:
        raise _refusal(pattern, f"is not a regular expression: {error}") from None
    except (RecursionError, MemoryError):
        raise _refusal(pattern, "is nested too deep") from None
    except TimeoutError:
        raise _refusal(
            pattern, f"takes more than {SECONDS:.0f} s for text of {len(text):,} characters"
        ) from None


def _refusal(pattern: str, reason: str) -> ValueError:
    shown = pattern if len(pattern) <= 60 else f"{pattern[:57]}..."
    return ValueError(
        f"pattern {shown!r} {reason}; take a published one, such as GPT-2's, which is "
        "minigpt.bpe.GPT2_PATTERN"
    )


def cut_text(text: str, pattern: str) -> Iterator[str]:
    """Cuts text into pieces as `bpe.split_text` does; what the pattern leaves out makes pieces too.

    So the pieces, joined again, are the text, whatever the pattern.

    Raises:
        ValueError: it takes more than two seconds and five for each million characters.
    """
    end = 0
    try:
        timeout = SECONDS + len(text) / CHARACTERS_A_SECOND
        for match in regex.finditer(pattern, text, timeout=timeout):
            yield from filter(None, (text[end : match.start()], match.group()))
            end = match.end()
    except TimeoutError:
        raise _refusal(
            pattern, f"takes more than {timeout:.0f} s for {len(text):,} characters"
        ) from None
    if end < len(text):
        yield text[end:]


STRETCH = 250_000  # tiktoken's engine fails on white space of a million characters


def has_long_white_space(text: str) -> bool:
    """Returns whether text has white space that tiktoken's engine could fail on.

    Any stretch of 2 * STRETCH characters covers one of these parts of text.
    """
    starts = range(0, len(text) - STRETCH + 1, STRETCH)
    return any(text[start : start + STRETCH].isspace() for start in starts)
