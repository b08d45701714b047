"""Text to tokens for BLEU: the rules of NIST's scripts, which sacrebleu made the standard.

A score depends on what counts as a word: "tea." is one token or two. 13a is the default of
sacrebleu and of most papers since.

Sources: mteval-v13a.pl and mteval-v14.pl (NIST); Post 2018 (sacrebleu, arXiv 1804.08771).
"""

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import chain

import regex

# NIST's rules, one after the other. Spaces around ASCII punctuation, but not ' - . or a comma;
# around . and , unless a digit stands before; unless a digit stands after; after a digit, around -.
# A match uses up both its characters, so that of "..." a rule sees pairs and not every point.
RULES_13A = (
    (re.compile(r"([!-&(-+/:-@\[-`{-~])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])-"), r"\1 - "),
)
PUNCTUATION = re.compile(r"[!-&(-/:-@\[-`{-~]")  # what the rules and entities look at, all of it
ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))  # undone in this order
# The same for any script: P is punctuation, N a number, S a symbol.
RULES_INTL = (
    (regex.compile(r"(\P{N})(\p{P})"), r"\1 \2 "),
    (regex.compile(r"(\p{P})(\P{N})"), r" \1 \2"),
    (regex.compile(r"(\p{S})"), r" \1 "),
)


def _apply_13a(text: str) -> tuple[str, ...]:
    for entity, character in ENTITIES:
        text = text.replace(entity, character)
    text = f" {text} "
    for pattern, replacement in RULES_13A:
        text = pattern.sub(replacement, text)
    return tuple(text.split())


def tokenize_13a_plainly(line: str) -> list[str]:
    """Tokens as in mteval-v13a.pl: 'It costs "$1,000."' -> It costs " $ 1,000 . "

    First "<skipped>" is dropped and a line that ends in "-" is joined with the next.
    """
    return list(_apply_13a(line.replace("<skipped>", "").replace("-\n", "")))


@lru_cache(maxsize=2**16)
def _tokenize_word(word: str) -> tuple[str, ...]:
    if word.isalnum():
        return (word,)
    first = PUNCTUATION.search(word)
    if first is None:
        return (word,)
    if first.end() == len(word) > 1 and word[-1] != "-":  # "end." needs no rules either
        return word[:-1], word[-1]
    return _apply_13a(word)


def tokenize_13a(line: str) -> list[str]:
    """The same tokens, word by word with a bounded memory, for texts repeat words.

    Words at white space do not influence each other: no match takes a character that another word
    needs, and at its edges a word sees white space, as a line does. Only the joining of lines
    crosses white space, and is done before.
    """
    words = line.replace("<skipped>", "").replace("-\n", "").split()
    return list(chain.from_iterable(map(_tokenize_word, words)))


def tokenize_intl(line: str) -> list[str]:
    """Tokens as in mteval-v14.pl: punctuation and symbols of every script stand alone."""
    for pattern, replacement in RULES_INTL:
        line = pattern.sub(replacement, line)
    return line.split()


TOKENIZERS: dict[str, Callable[[str], list[str]]] = {
    "13a": tokenize_13a,
    "intl": tokenize_intl,
    "char": lambda line: list("".join(line.split())),  # for scripts without spaces
    "none": str.split,
}
