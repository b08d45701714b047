"""Byte-level BPE as transformers stores it, made into an encoding that gives the same ids.

transformers names each merge by its two parts and gives every token an id of its own; tiktoken
knows only the tokens, in the order of their merges, and joins whatever two neighbours spell one.
Both give the same ids if

    the ids of the merges rise in the order of the merges, and
    the merges before it make of each token's bytes exactly the two parts that its merge joins.

Proof of the second: as long as no merge has reached across the ends of a stretch of bytes, the
stretch has been merged as it would be alone, where two neighbours that spell a token can only be
the parts of its merge. Both conditions are checked, merge by merge.

Bytes are written as printable characters: 33 to 126 and most of 161 to 255 as themselves, the
others by the characters from 256 on, so that a space is "Ġ" (Radford et al. 2019, the code).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal, NamedTuple

from minigpt.bpe import byte_pair_encode
from minigpt.fast.encoding import Encoding, any_of
from minigpt.files.json_objects import shown

LONGEST = 1024  # bytes of a token; GPT-2's longest has 128

PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
BYTE_OF = {chr(byte): byte for byte in PRINTABLE}
BYTE_OF |= {
    chr(256 + i): byte for i, byte in enumerate(b for b in range(256) if b not in PRINTABLE)
}


class AddedToken(NamedTuple):
    """A token beside the vocabulary, which is found in the text before that is cut into pieces.

    Attributes:
        special: the text of a user does not become it, unless that is asked for.
        first: it is looked for before those that are not first ("normalized": false).
    """

    id: int
    special: bool = True
    first: bool = True


class ByteLevelEncoding(Encoding):
    """An encoding with added tokens: those that are not special are read wherever they stand.

    Args:
        added: the added tokens by their text.
        end_of_text: the text of the added token that ends a text.
        files: name and content of the files it was made from, to be written beside a model.
    """

    def __init__(
        self,
        name: str,
        *,
        pat_str: str,
        mergeable_ranks: dict[bytes, int],
        added: Mapping[str, AddedToken],
        end_of_text: str,
        files: Mapping[str, bytes],
    ) -> None:
        super().__init__(
            name,
            pat_str=pat_str,
            mergeable_ranks=mergeable_ranks,
            special_tokens={
                text: token.id
                for text, token in added.items()
                if mergeable_ranks.get(text.encode()) != token.id
            },
        )
        self.added, self.end_of_text, self.files = dict(added), end_of_text, dict(files)
        self.ordinary = frozenset(text for text, token in added.items() if not token.special)

    @property
    def eot_token(self) -> int:
        """Returns the id of the token that ends a text, whatever it is called."""
        return self.added[self.end_of_text].id

    def encode_ordinary(self, text: str) -> list[int]:
        """Returns the ids of text; what looks like a special token is read as letters."""
        return self._encode_with(text, self.ordinary)

    def encode(
        self,
        text: str,
        *,
        allowed_special: Literal["all"] | AbstractSet[str] = frozenset(),
        disallowed_special: Literal["all"] | Collection[str] = "all",
    ) -> list[int]:
        """Returns the ids of text; with allowed_special="all" they are those of transformers.

        Raises:
            ValueError: text holds a special token that is disallowed, as in Encoding.
        """
        every = frozenset(self.added)
        allowed = (
            every if allowed_special == "all" else every & set(allowed_special)
        ) | self.ordinary
        refused = every - allowed if disallowed_special == "all" else frozenset(disallowed_special)
        if any_of(refused).search(text):
            super().encode(text, allowed_special=allowed, disallowed_special=refused)  # raises
        return self._encode_with(text, allowed)

    def _encode_with(self, text: str, allowed: frozenset[str]) -> list[int]:
        first = frozenset(token for token in allowed if self.added[token].first)
        ids: list[int] = []
        for outer in _cut(text, first):
            for piece in [outer] if outer in first else _cut(outer, allowed - first):
                known = piece in allowed
                ids += [self.added[piece].id] if known else super().encode_ordinary(piece)
        return ids

    def __getstate__(self) -> dict[str, Any]:
        names = ("name", "added", "end_of_text", "files")
        named = {name: getattr(self, name) for name in names}
        return named | {"pat_str": self._pat_str, "mergeable_ranks": self._mergeable_ranks}

    def __setstate__(self, value: object) -> None:
        self.__init__(**value)  # type: ignore[misc, arg-type]


def _cut(text: str, tokens: frozenset[str]) -> Iterator[str]:
    """Yields the tokens in text and the stretches between them, in order."""
    end = 0
    for found in any_of(tokens).finditer(text):
        yield from filter(None, (text[end : found.start()], found[0]))
        end = found.end()
    yield from filter(None, [text[end:]])


def bytes_of(token: str) -> bytes | None:
    """Returns the bytes that a token's characters stand for, or None if one stands for no byte."""
    try:
        return bytes(BYTE_OF[character] for character in token)
    except KeyError:
        return None


def merged_ranks(
    vocab: Mapping[str, int], merges: Sequence[tuple[str, str]], ignore_merges: bool
) -> dict[bytes, int]:
    """Returns {bytes: id} of the tokens that text can become, with which tiktoken gives those ids.

    Args:
        vocab: the ids by the tokens' characters.
        ignore_merges: a piece that is in vocab becomes that token, whatever its merges are.

    Raises:
        ValueError: with these tokens tiktoken would give other ids; the error says at which.
    """
    ranks: dict[bytes, int] = {}
    for character, byte in BYTE_OF.items():
        if character not in vocab:
            raise ValueError(f"its vocabulary has no token for the byte {byte:#04x}")
        ranks[bytes([byte])] = vocab[character]
    last = -1
    for number, (left, right) in enumerate(merges, start=1):
        try:
            token = _merged(left, right, vocab, ranks, last)
        except ValueError as error:
            what = f"merge {number}, {shown(left)} with {shown(right)},"
            raise ValueError(f"{what} {error}") from None
        ranks[token] = last = vocab[left + right]
    if ignore_merges:
        ranks |= _whole_pieces(vocab, ranks)
    return ranks


def _merged(
    left: str, right: str, vocab: Mapping[str, int], ranks: Mapping[bytes, int], last: int
) -> bytes:
    """Returns the bytes of a merge's token; raises ValueError if tiktoken would merge otherwise."""
    a, b, id = bytes_of(left), bytes_of(right), vocab.get(left + right)
    if a is None or b is None or a not in ranks or b not in ranks:
        raise ValueError("joins something that no earlier merge makes")
    if id is None:
        raise ValueError("makes a token that is not in the vocabulary")
    token = a + b
    if len(token) > LONGEST:
        raise ValueError(f"makes a token of more than {LONGEST:,} bytes")
    if token in ranks:
        raise ValueError("makes a token that an earlier merge makes")
    if id <= last:
        raise ValueError(f"has the id {id}, after {last}: ids must rise with the merges")
    if byte_pair_encode(token, ranks) != [ranks[a], ranks[b]]:
        raise ValueError("joins parts that the merges before it do not leave")
    return token


def _whole_pieces(vocab: Mapping[str, int], ranks: Mapping[bytes, int]) -> dict[bytes, int]:
    """Returns {bytes: id} of the tokens that only a whole piece of text becomes, by no merge."""
    found = {}
    for text, id in vocab.items():
        token = bytes_of(text)
        if token is None or token in ranks:
            continue
        if len(token) > LONGEST or len(byte_pair_encode(token, ranks)) < 3:
            raise ValueError(f"its token {shown(text)} is in the vocabulary, but no merge makes it")
        found[token] = id
    return found
