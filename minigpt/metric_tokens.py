"""What counts as a word: a score depends on it, so ROUGE and BLEU each fix it to the character.

ROUGE knows only a-z and 0-9, or the stems of such words (`rouge.tokenize` is the definition). BLEU
has the rules of NIST's scripts, which sacrebleu made the standard: "tea." is two tokens.

Sources: Porter 1980, "An algorithm for suffix stripping"; mteval-v13a.pl and mteval-v14.pl (NIST);
Post 2018 (sacrebleu, arXiv 1804.08771).
"""

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import regex

Tokens = Sequence[Hashable]

WORD_BYTES = b"abcdefghijklmnopqrstuvwxyz0123456789"
SPACE_UNLESS_WORD = bytes(byte if byte in WORD_BYTES else ord(" ") for byte in range(256))
# Every word that one of Porter's rules could change ends in one of these.
STEMMED_ENDINGS = (
    *("s", "ed", "ing", "y", "i", "e", "al", "ll", "ful", "er", "ator", "ic"),
    *("ant", "ent", "ion", "ou", "ism"),
)


def fast_tokenize(text: str) -> list[str]:
    """Same as `rouge.tokenize`, by way of bytes; TypeError if text is not a str."""
    if not isinstance(text, str):
        raise TypeError(f"ROUGE compares texts of type str, got {type(text).__name__}: {text!r}")
    ascii_bytes = text.lower().encode("ascii", "replace")  # a "?" for every other character
    return ascii_bytes.translate(SPACE_UNLESS_WORD).decode("ascii").split()


@lru_cache(maxsize=1)
def porter_stemmer() -> Any:
    """Returns nltk's PorterStemmer, which is rouge_score's; ImportError where there is no nltk."""
    try:
        from nltk.stem.porter import PorterStemmer
    except ImportError as error:
        raise ImportError("use_stemmer=True needs nltk: pip install 'minigpt[stem]'") from error
    return PorterStemmer()


@lru_cache(maxsize=2**16)
def stem(word: str) -> str:
    """Returns Porter's stem of an English word, "run" of "running"; remembers the last 65,536."""
    if len(word) <= 3 or not word.endswith(STEMMED_ENDINGS):
        return word
    return porter_stemmer().stem(word)


def tokenize_and_stem(text: str) -> list[str]:
    """Returns the stems of the words of a text."""
    return list(map(stem, fast_tokenize(text)))


ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))  # undone in this order
# One after the other. Spaces around ASCII punctuation, but not ' - . or a comma; around . and ,
# unless a digit stands before; unless a digit stands after; after a digit, around -.
# A match uses up both its characters, so that of "..." a rule sees pairs and not every point.
RULES_13A = (
    (re.compile(r"([!-&(-+/:-@\[-`{-~])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])-"), r"\1 - "),
)
# The same for any script: P is punctuation, N a number, S a symbol.
RULES_INTL = (
    (regex.compile(r"(\P{N})(\p{P})"), r"\1 \2 "),
    (regex.compile(r"(\p{P})(\P{N})"), r" \1 \2"),
    (regex.compile(r"(\p{S})"), r" \1 "),
)


def tokenize_by_rules(line: str, rules: Iterable[tuple[Any, str]] = RULES_13A) -> list[str]:
    """Cuts a line into tokens: 'for "$1,000."' -> ['for', '"', '$', '1,000', '.', '"'].

    rules are (pattern, replacement) pairs, applied in turn: RULES_13A (ASCII) or RULES_INTL.
    """
    if rules is RULES_13A:
        line = line.replace("<skipped>", "").replace("-\n", "")  # "-" at a line's end joins lines
        for entity, character in ENTITIES:
            line = line.replace(entity, character)
        line = f" {line} "
    for pattern, replacement in rules:
        line = pattern.sub(replacement, line)
    return line.split()


# Where the rules cut, unless . or , stand in a row before a digit or there are entities: at
# punctuation that is always cut off, at . or , but between digits, at - after a digit.
CUTS_13A = re.compile(
    r"([!-&(-/:-@\[-`{-~](?:(?<=[^-.,])|(?<=[.,])(?:(?![0-9])|(?<![0-9][.,]))|(?<=[0-9]-)))"
)
NEEDS_RULES = re.compile("[.,]{2}[0-9]")


def fast_tokenize_13a(line: str) -> list[str]:
    """Same as `tokenize_by_rules`, in one pass over the line instead of four."""
    line = line.replace("<skipped>", "").replace("-\n", "")
    if "&" in line or NEEDS_RULES.search(line):
        return tokenize_by_rules(line)
    return " ".join(CUTS_13A.split(line)).split()


TOKENIZERS: dict[str, Callable[[str], list[str]]] = {
    "13a": fast_tokenize_13a,
    "intl": lambda line: tokenize_by_rules(line, RULES_INTL),
    "char": lambda line: list("".join(line.split())),  # for scripts without spaces
    "none": str.split,
}
