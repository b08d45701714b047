"""What counts as a word: a score depends on it, so ROUGE and BLEU each fix it to the character.

ROUGE knows only runs of a-z and 0-9, or the stems of such words (`rouge.tokenize` is the
definition), unless it is given a tokenizer. BLEU has the rules of NIST's scripts, which sacrebleu
made the standard:

>>> tokenize_13a('for "$1,000."')
['for', '"', '$', '1,000', '.', '"']

Sources: Porter 1980, "An algorithm for suffix stripping"; mteval-v13a.pl and mteval-v14.pl (NIST);
Post 2018 (sacrebleu, arXiv 1804.08771).
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import regex

from minigpt.fast.porter import porter_stem

Tokens = Sequence[Hashable]  # words, nearly always; a tokenizer of your own may return ids

WORD_BYTES = b"abcdefghijklmnopqrstuvwxyz0123456789"
SPACE_UNLESS_WORD = bytes(byte if byte in WORD_BYTES else ord(" ") for byte in range(256))


def fast_tokenize(text: str) -> list[str]:
    """Same as `rouge.tokenize`, by way of bytes; TypeError if text is not a str."""
    if not isinstance(text, str):
        raise TypeError(
            f"ROUGE compares texts of type str, got {type(text).__name__}: {text!r:.60}"
        )
    ascii_bytes = text.lower().encode("ascii", "replace")  # a "?" for every other character
    return ascii_bytes.translate(SPACE_UNLESS_WORD).decode("ascii").split()


@lru_cache(maxsize=2**16)
def stem(word: str) -> str:
    """Returns Porter's stem of a word above 3 letters, "run" of "running"; remembers 65,536."""
    return porter_stem(word) if len(word) > 3 else word


def tokenize_and_stem(text: str) -> list[str]:
    """Returns the stems of the words of a text."""
    return list(map(stem, fast_tokenize(text)))


class Tokenizer(ABC):
    """Cuts a text into tokens for `minigpt.rouge.RougeScorer`."""

    @abstractmethod
    def tokenize(self, text: str) -> Tokens:
        """Returns the tokens of a text."""


class DefaultTokenizer(Tokenizer):
    """ROUGE's words, or with use_stemmer their stems."""

    def __init__(self, use_stemmer: bool = False) -> None:
        self._stems = bool(use_stemmer)
        self.signature = f"stem:{'porter' if use_stemmer else 'no'}|tok:ascii"

    def tokenize(self, text: str) -> list[str]:
        """Returns the words of a text; TypeError if it is not a str."""
        return tokenize_and_stem(text) if self._stems else fast_tokenize(text)


def split_at_line_breaks(text: str) -> list[str]:
    """Returns the lines of a text."""
    return text.split("\n")


def sentence_splitter() -> Callable[[str], list[str]]:
    """Returns nltk's sent_tokenize; ValueError where nltk or its sentence model is missing."""
    try:
        from nltk import sent_tokenize

        sent_tokenize("It needs its model.")
    except (ImportError, LookupError) as error:
        raise ValueError(
            "split_summaries needs nltk and its sentence model (pip install nltk; python -m "
            "nltk.downloader punkt_tab); get them, or put each sentence on a line of its own"
        ) from error
    return sent_tokenize


ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))  # undone in this order
RULES_13A = (  # applied one after the other; each puts spaces around
    (re.compile(r"([!-&(-+/:-@\[-`{-~])"), r" \1 "),  # ASCII punctuation except ' , - .
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),  # . and , unless a digit stands before
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),  # . and , unless a digit stands after
    (re.compile(r"([0-9])-"), r"\1 - "),  # - after a digit
)
RULES_INTL = (  # the same for any script: P is punctuation, N a number, S a symbol
    (regex.compile(r"(\P{N})(\p{P})"), r"\1 \2 "),
    (regex.compile(r"(\p{P})(\P{N})"), r" \1 \2"),
    (regex.compile(r"(\p{S})"), r" \1 "),
)


def tokenize_by_rules(line: str, rules: Iterable[tuple[Any, str]]) -> list[str]:
    """Applies (pattern, replacement) rules to a line in turn and cuts it at white space."""
    for pattern, replacement in rules:
        line = pattern.sub(replacement, line)
    return line.split()


def tokenize_13a(line: str) -> list[str]:
    """Cuts a line into tokens as NIST's mteval-v13a does, after undoing what SGML wrote."""
    line = line.replace("<skipped>", "").replace("-\n", "")  # "-" at a line's end joins lines
    for entity, character in ENTITIES:
        line = line.replace(entity, character)
    return tokenize_by_rules(f" {line} ", RULES_13A)


# The places where a rule cuts: at punctuation that is always cut off, at . and , unless between
# digits, at - after a digit. One case differs: a rule's match uses up two characters, so in "a..5"
# the second rule cuts the first point off and does not see the second.
CUTS_13A = re.compile(
    r"([!-&(-/:-@\[-`{-~](?:(?<=[^-.,])|(?<=[.,])(?:(?![0-9])|(?<![0-9][.,]))|(?<=[0-9]-)))"
)
NEEDS_RULES = re.compile("[.,]{2}[0-9]")


def fast_tokenize_13a(line: str) -> list[str]:
    """Same as `tokenize_13a`, in one pass over the line instead of four."""
    joined = line.replace("<skipped>", "").replace("-\n", "")
    two_points = ".." in joined or ".," in joined or ",." in joined or ",," in joined
    if "&" in joined or (two_points and NEEDS_RULES.search(joined)):
        return tokenize_13a(line)
    return " ".join(CUTS_13A.split(joined)).split()


def tokenize_intl(line: str) -> list[str]:
    """Cuts a line into tokens as NIST's mteval-v14 does, in any script."""
    return tokenize_by_rules(line, RULES_INTL)


def tokenize_characters(line: str) -> list[str]:
    """Returns the characters of a line that are not white space, for scripts without spaces."""
    return list("".join(line.split()))


TOKENIZERS: dict[str, Callable[[str], list[str]]] = {
    "13a": fast_tokenize_13a,
    "intl": tokenize_intl,
    "char": tokenize_characters,
    "none": str.split,  # at white space alone
}
