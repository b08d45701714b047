"""`bpe.encode_text` in compiled code: tiktoken's, for any text and any pattern.

tiktoken cuts text with an engine for regular expressions that ends the program on a million spaces
before a letter, and on a pattern that backtracks. Such text is cut here (pieces.py); its pieces,
like all others, are encoded by tiktoken, about a hundred times sooner than by the definition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import regex
import tiktoken

from minigpt.bpe import GPT2_PATTERN, valid_unicode
from minigpt.fast.pieces import KNOWN_PATTERNS, check_pattern, cut_text, has_long_white_space

LONGEST_SPECIAL = 100_000  # characters of all special tokens; tiktoken makes one pattern of them


class Encoding(tiktoken.Encoding):
    """A tiktoken.Encoding with the same arguments and methods, which encodes any text.

    Raises:
        ValueError: a byte has no token, two tokens have one id, a special token is empty, all of
            them together are too long, or the pattern is one that check_pattern refuses.
    """

    def __init__(
        self,
        name: str,
        *,
        pat_str: str,
        mergeable_ranks: dict[bytes, int],
        special_tokens: dict[str, int],
        explicit_n_vocab: int | None = None,
    ) -> None:
        check_pattern(pat_str)
        _check_tokens(mergeable_ranks, special_tokens, explicit_n_vocab)
        self._known = pat_str in KNOWN_PATTERNS
        super().__init__(
            name,
            # An unknown pattern never reaches tiktoken's engine.
            pat_str=pat_str if self._known else GPT2_PATTERN,
            mergeable_ranks=mergeable_ranks,
            special_tokens=special_tokens,
            explicit_n_vocab=explicit_n_vocab,
        )
        self._pat_str = pat_str

    def encode_ordinary(self, text: str) -> list[int]:
        """Encodes text; what looks like a special token is plain text here.

        Raises:
            ValueError: the tokenizer's pattern takes too long on this text.
        """
        if self._known and not has_long_white_space(text):
            return super().encode_ordinary(text)
        pieces = list(cut_text(valid_unicode(text), self._pat_str))
        ids = {piece: self._encode_single_piece(piece) for piece in set(pieces)}
        return [id for piece in pieces for id in ids[piece]]

    def encode(
        self,
        text: str,
        *,
        allowed_special: Literal["all"] | AbstractSet[str] = frozenset(),
        disallowed_special: Literal["all"] | Collection[str] = "all",
    ) -> list[int]:
        """Encodes text, with the special tokens in it that are allowed.

        Of two that begin at one place the longer counts.

        Args:
            allowed_special: these become their ids.
            disallowed_special: these may not occur ("all": none but those allowed); whatever is in
                neither set is plain text.

        Raises:
            ValueError: text holds a disallowed special token; or as encode_ordinary.
        """
        special = frozenset(self.special_tokens_set)
        allowed = special if allowed_special == "all" else special & set(allowed_special)
        refused = frozenset(disallowed_special)
        if disallowed_special == "all":
            refused = special - allowed
        if found := any_of(refused).search(text):
            raise ValueError(
                f"the text contains {found[0]!r}, which is a disallowed special token: allow it "
                "with allowed_special, or read it as plain text with encode_ordinary"
            )
        ids: list[int] = []
        end = 0
        for found in any_of(allowed).finditer(text):
            ids += self.encode_ordinary(text[end : found.start()])
            ids.append(self._special_tokens[found[0]])
            end = found.end()
        return ids + self.encode_ordinary(text[end:])

    def encode_to_numpy(
        self,
        text: str,
        *,
        allowed_special: Literal["all"] | AbstractSet[str] = frozenset(),
        disallowed_special: Literal["all"] | Collection[str] = "all",
    ) -> np.ndarray:
        """Returns what encode does, as uint32 [N]."""
        ids = self.encode(
            text, allowed_special=allowed_special, disallowed_special=disallowed_special
        )
        return np.array(ids, dtype=np.uint32)

    def encode_with_unstable(self, text: str, **special: Any) -> tuple[list[int], list[list[int]]]:
        """Returns what tiktoken does; raises ValueError where it could not cut the text."""
        if not self._known or has_long_white_space(text):
            raise ValueError("there are no completions for text that tiktoken cannot cut")
        return super().encode_with_unstable(text, **special)

    @property
    def eot_token(self) -> int:
        """Returns the id of <|endoftext|>, which ends every document and every answer.

        Raises:
            ValueError: the tokenizer has no such token.
        """
        try:
            return super().eot_token
        except KeyError:
            raise ValueError(
                f"the tokenizer {self.name!r} has no token <|endoftext|>, which ends documents and "
                "answers; train one with train_bpe(..., special_tokens=['<|endoftext|>'])"
            ) from None


@lru_cache(maxsize=16)
def any_of(tokens: frozenset[str]) -> regex.Pattern[str]:
    """Returns a pattern that finds any of these tokens; of two at one place the longer."""
    longest_first = sorted(tokens, key=len, reverse=True)
    return regex.compile("|".join(map(regex.escape, longest_first)) or "(?!)")


def _check_tokens(
    ranks: Mapping[bytes, int], special_tokens: Mapping[str, int], n_vocab: int | None
) -> None:
    """Raises ValueError where tiktoken would end the program, now or with some text."""
    for byte in range(256):
        if bytes([byte]) not in ranks:
            raise ValueError(f"the byte 0x{byte:02x}, which a text may hold, has no token")
    for token in special_tokens:
        if not token or token != valid_unicode(token):
            raise ValueError(f"a special token must be text that is not empty, got {token!r}")
    if (length := sum(map(len, special_tokens))) > LONGEST_SPECIAL:
        raise ValueError(
            f"the special tokens have {length:,} characters, more than {LONGEST_SPECIAL:,}: to "
            "look for them would take too long"
        )
    ids = [*ranks.values(), *special_tokens.values()]
    if not all(0 <= id < 2**32 - 1 for id in ids) or b"" in ranks:
        raise ValueError("a token has no bytes, or an id that is not from 0 to 2^32 - 2")
    if len(set(ids)) < len(ids):
        raise ValueError(f"two tokens have the same id, {Counter(ids).most_common(1)[0][0]}")
    if n_vocab is not None and n_vocab != len(ids):
        raise ValueError(f"there should be {n_vocab} tokens, but there are {len(ids)}")
