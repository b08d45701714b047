"""Which words ROUGE compares: its own tokenizer, the stems of the words, words of any script.

ROUGE knows only a-z and 0-9, so all other letters are gaps between words: "naïve" is "na" and "ve",
and a Chinese text has no words at all. `UnicodeTokenizer` is for such texts. Stemming makes "trees"
and "tree" the same word; the rules (Porter 1980) are for English, and nltk's version of them is
the one that rouge_score uses.

Source: Porter 1980, "An algorithm for suffix stripping".
"""

import unicodedata
from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Any, Protocol

import regex

WORD_BYTES = b"abcdefghijklmnopqrstuvwxyz0123456789"
SPACE_UNLESS_WORD = bytes(byte if byte in WORD_BYTES else ord(" ") for byte in range(256))

# Every word that one of Porter's rules could change ends in one of these.
STEMMED_ENDINGS = (
    *("s", "ed", "ing", "y", "i", "e", "al", "ll", "ful", "er", "ator", "ic"),
    *("ant", "ent", "ion", "ou", "ism"),
)


class Tokenizer(Protocol):
    """What `RougeScorer` takes as a tokenizer."""

    def tokenize(self, text: str) -> Sequence[Hashable]:
        """The tokens of a text, in order."""
        ...


def fast_tokenize(text: str) -> list[str]:
    """ROUGE's words (`rouge.tokenize`) by way of bytes: what is not a-z or 0-9 becomes a space.

    Measured twice as fast as the regular expression.

    Raises:
        TypeError: something else than a str, such as None where a model said nothing.
    """
    if not isinstance(text, str):
        raise TypeError(f"ROUGE compares texts of type str, got {type(text).__name__}: {text!r}")
    ascii_bytes = text.lower().encode("ascii", "replace")  # a "?" for every other character
    return ascii_bytes.translate(SPACE_UNLESS_WORD).decode("ascii").split()


@lru_cache(maxsize=1)
def porter_stemmer() -> Any:
    """nltk's PorterStemmer. nltk is imported here because nothing else needs it."""
    try:
        from nltk.stem.porter import PorterStemmer
    except ImportError as error:
        raise ImportError("use_stemmer=True needs nltk: pip install 'minigpt[stem]'") from error
    return PorterStemmer()


@lru_cache(maxsize=2**16)
def stem(word: str) -> str:
    """Porter's stem of a word ("running" -> "run"); up to 3 letters a word stays as it is.

    A stem depends on the word alone, and texts repeat their words: the 65,536 that were asked for
    last are remembered.
    """
    if len(word) <= 3 or not word.endswith(STEMMED_ENDINGS):
        return word
    return porter_stemmer().stem(word)


def tokenize_and_stem(text: str) -> list[str]:
    """The stems of the words of a text."""
    return list(map(stem, fast_tokenize(text)))


class UnicodeTokenizer:
    """Words of any script; of ASCII text the same as ROUGE's own.

    A word is a run of letters, the marks on them, and digits, once upper case and the several ways
    to write one character are folded (NFKC). Scripts that put no space between words give a token
    for each character. Such scores cannot be compared with those of ROUGE's own tokenizer.
    """

    UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    WORD = regex.compile(
        rf"(?V1)[[\p{{L}}\p{{N}}]&&[{UNSPACED}]]\p{{M}}*"  # one character with its marks
        rf"|[[\p{{L}}\p{{M}}\p{{N}}]--[{UNSPACED}]]+"  # a word
    )

    def tokenize(self, text: str) -> list[str]:
        """The words of a text, in order."""
        return self.WORD.findall(unicodedata.normalize("NFKC", text).casefold())
