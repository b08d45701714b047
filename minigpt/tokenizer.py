"""Trains tokenizers, saves and loads them, and fetches GPT-2's.

Every encoding is a `tiktoken.Encoding`, which does in compiled code what `bpe.py` spells out; ours
(fast/encoding.py) takes any text.
Special tokens such as `END_OF_TEXT` have ids that no ordinary text can produce: `encode` refuses
text that contains one unless `allowed_special` names it, and `encode_ordinary` reads it as plain
letters.

Any text survives encoding and decoding, except lone surrogates (see `bpe.valid_unicode`).
"""

import codecs
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import regex
import tiktoken
from torch import Tensor

from minigpt.bpe import GPT2_PATTERN, count_pieces, valid_unicode, vocabulary
from minigpt.config import LARGEST, is_whole
from minigpt.fast.encoding import Encoding, any_of
from minigpt.fast.merges import fast_learn_merges
from minigpt.files.atomic import write_text
from minigpt.files.json_objects import read_json_object
from minigpt.files.schema import ListOf, Object, OneOf, Text, Whole, check

END_OF_TEXT = "<|endoftext|>"
FILE_FORMAT = "minigpt byte-pair encoding"
FILE = Object(
    {
        "format": OneOf(FILE_FORMAT),
        "name": Text(),
        "vocab_size": Whole(256, LARGEST["vocab_size"]),
        "pattern": Text(empty=False),
        "special_tokens": ListOf(Text(empty=False)),
        "tokens": ListOf(Text(empty=False)),
    }
)


def train_bpe(
    text: str | Iterable[str], vocab_size: int, special_tokens: Sequence[str] = ()
) -> tiktoken.Encoding:
    """Trains a byte-level BPE encoding of exactly vocab_size entries, special tokens included.

    Args:
        text: one text, or documents; no token reaches from one document into the next.
        special_tokens: they get the last ids, in the order given; where they occur in text they
            separate documents and teach nothing.

    Raises:
        ValueError: vocab_size is below 256 + len(special_tokens), a special token is empty or given
            twice, or text is empty or too small for that many entries.
        TypeError: text is not made of strings.
    """
    specials = _checked_special_tokens(special_tokens)
    if not is_whole(vocab_size):
        raise TypeError(f"vocab_size must be a whole number, got {vocab_size!r}")
    smallest = 256 + len(specials)
    if vocab_size < smallest:
        raise ValueError(
            f"vocab_size must be at least {smallest} (256 bytes and {len(specials)} special "
            f"tokens), got {vocab_size}"
        )
    pieces = count_pieces(_documents(text, specials))
    if not pieces:
        raise ValueError("the text to train on is empty; give at least one word")
    merges = fast_learn_merges(pieces, vocab_size - smallest)
    if len(merges) < vocab_size - smallest:
        raise ValueError(
            f"the text is too small for a vocabulary of {vocab_size}: it gives at most "
            f"{smallest + len(merges)}; give more text or a smaller vocab_size"
        )
    return _encoding(f"minigpt-{vocab_size}", GPT2_PATTERN, vocabulary(merges), specials)


def _documents(text: str | Iterable[str], special_tokens: Sequence[str]) -> Iterable[str]:
    """Yields the stretches of text between special tokens."""
    if isinstance(text, bytes) or not isinstance(text, Iterable):
        raise TypeError(f"the text to train on must be str, got {type(text).__name__}")
    separator = any_of(frozenset(special_tokens))
    for document in [text] if isinstance(text, str) else text:
        if not isinstance(document, str):
            raise TypeError(f"the text to train on must be str, got {type(document).__name__}")
        yield from separator.split(document)


def _checked_special_tokens(special_tokens: Sequence[str]) -> list[str]:
    if isinstance(special_tokens, str):
        raise TypeError(f"special_tokens must be a list of str, got the str {special_tokens!r}")
    specials = list(special_tokens)
    for token in specials:
        if not isinstance(token, str):
            raise TypeError(f"a special token must be str, got {token!r}")
        if not token or token != valid_unicode(token):
            raise ValueError(f"a special token must be text that is not empty, got {token!r}")
    if len(set(specials)) < len(specials):
        raise ValueError(f"special tokens must differ from one another, got {specials}")
    return specials


def _encoding(
    name: str, pattern: str, tokens: Sequence[bytes], special_tokens: Sequence[str]
) -> tiktoken.Encoding:
    return Encoding(
        name,
        pat_str=pattern,
        mergeable_ranks={token: rank for rank, token in enumerate(tokens)},
        special_tokens={token: len(tokens) + i for i, token in enumerate(special_tokens)},
        explicit_n_vocab=len(tokens) + len(special_tokens),
    )


def mergeable_ranks(encoding: tiktoken.Encoding) -> dict[bytes, int]:
    """Returns {bytes: id} of all tokens but the special ones, in the order of their ids."""
    return dict(sorted(encoding._mergeable_ranks.items(), key=lambda item: item[1]))


def unused_ids(encoding: tiktoken.Encoding, vocab_size: int) -> list[int]:
    """Returns the ids below vocab_size that stand for no token of encoding.

    A model's vocabulary is often padded to a round number, and a tokenizer may have gaps.
    """
    used = {*encoding._mergeable_ranks.values(), *encoding._special_tokens.values()}
    return [id for id in range(vocab_size) if id not in used]


def escape_token(token: bytes) -> str:
    r"""Returns a token as readable text: UTF-8 if it is valid, \xNN for other bytes, \\ for \."""
    return token.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def unescape_token(text: str) -> bytes:
    """Undoes `escape_token`; raises ValueError for text that it cannot have written."""
    token = regex.sub(
        rb"\\(?:\\|x([0-9a-f]{2}))",
        lambda match: bytes.fromhex(match[1].decode()) if match[1] else b"\\",
        text.encode("utf-8"),
    )
    if escape_token(token) != text:
        raise ValueError(f"tokens has {text!r:.60}, which is not an escaped token")
    return token


def save_encoding(encoding: tiktoken.Encoding, path: str | os.PathLike[str]) -> None:
    """Writes encoding to one JSON file: name, pattern, special tokens, and a token a line by id.

    The file appears complete or not at all.

    Raises:
        ValueError: the encoding has gaps between its ids (GPT-2's has none).
        OSError: the file cannot be written.
    """
    tokens = mergeable_ranks(encoding)
    specials = dict(sorted(encoding._special_tokens.items(), key=lambda item: item[1]))
    ids = [*tokens.values(), *specials.values()]
    if ids != list(range(len(ids))):
        raise ValueError(
            f"encoding {encoding.name!r} cannot be saved: its ids must be 0 to {len(ids) - 1} with "
            "the special tokens last"
        )
    content = {
        "format": FILE_FORMAT,
        "name": encoding.name,
        "vocab_size": encoding.n_vocab,
        "pattern": encoding._pat_str,
        "special_tokens": list(specials),
        "tokens": [escape_token(token) for token in tokens],
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def load_encoding(path: str | os.PathLike[str]) -> tiktoken.Encoding:
    """Reads an encoding that `save_encoding` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut short, or holds something else; or its pattern is one that
            pieces.check_pattern refuses.
    """
    path = Path(path)
    try:
        content = read_json_object(path)
    except (FileNotFoundError, IsADirectoryError):
        raise FileNotFoundError(f"there is no tokenizer file {path}") from None
    check(content, FILE, path)
    try:
        tokens = [unescape_token(text) for text in content["tokens"]]
        specials = _checked_special_tokens(content["special_tokens"])
        if len(tokens) + len(specials) != content["vocab_size"]:
            raise ValueError(
                f"vocab_size is {content['vocab_size']:,}, but tokens and special_tokens have "
                f"{len(tokens) + len(specials):,} entries"
            )
        _check_tokens(tokens)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; save it again with save_encoding") from None
    try:
        return _encoding(content["name"], content["pattern"], tokens, specials)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _check_tokens(tokens: Sequence[bytes]) -> None:
    """Raises ValueError unless tokens are the 256 bytes and then joins of two earlier tokens."""
    known = set(tokens[:256])
    if known != {bytes([byte]) for byte in range(256)}:
        raise ValueError("the first 256 tokens are not the 256 bytes")
    lengths = {1}  # of the known tokens: few, where a token of a megabyte could be cut anywhere
    for token in tokens[256:]:
        if token in known:
            raise ValueError(f"tokens has {escape_token(token)!r:.60} twice")
        cuts = (i for i in lengths if len(token) - i in lengths)
        if not any(token[:i] in known and token[i:] in known for i in cuts):
            raise ValueError(
                f"tokens has {escape_token(token)!r:.60}, which does not join two earlier tokens"
            )
        known.add(token)
        lengths.add(len(token))


GPT2_FILES = tuple(
    f"https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/{name}"
    for name in ("vocab.bpe", "encoder.json")
)


def gpt2_encoding() -> tiktoken.Encoding:
    """Returns GPT-2's encoding: 256 bytes, 50,000 merges and `END_OF_TEXT`, 50,257 entries.

    tiktoken fetches its two files once and keeps them in TIKTOKEN_CACHE_DIR, or else in a temporary
    folder.

    Raises:
        FileNotFoundError: it cannot; the error says what to download by hand.
    """
    chosen = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    folder = Path(chosen or Path(tempfile.gettempdir(), "data-gym-cache"))
    cached = {url: folder / hashlib.sha1(url.encode()).hexdigest() for url in GPT2_FILES}
    try:
        # An empty TIKTOKEN_CACHE_DIR turns tiktoken's cache off.
        if chosen == "" or not all(file.exists() for file in cached.values()):
            _check_reachable(GPT2_FILES[0])
        gpt2 = tiktoken.get_encoding("gpt2")
    except Exception as error:  # whatever went wrong, the advice is the same
        steps = " and ".join(f"{url} as {file}" for url, file in cached.items())
        raise FileNotFoundError(
            f"GPT-2's vocabulary could not be fetched ({type(error).__name__}); download {steps}, "
            f"set the environment variable TIKTOKEN_CACHE_DIR to {folder}, and try again"
        ) from error
    return Encoding(
        gpt2.name,
        pat_str=GPT2_PATTERN,
        mergeable_ranks=gpt2._mergeable_ranks,
        special_tokens=gpt2._special_tokens,
    )


def _check_reachable(url: str) -> None:
    """Raises if url's server does not answer in 10 s: tiktoken itself would wait without limit."""
    import requests

    requests.head(url, timeout=10)


def stream_text(
    tokens: Iterable[Tensor] | Iterable[int],
    encoding: tiktoken.Encoding,
    stop_token: int | None = None,
) -> Iterator[str]:
    """Turns one row's tokens into text, each piece as soon as its characters are complete.

    A token is a few bytes, and a character of UTF-8 takes one to four: an incomplete character
    waits for the rest. Bytes that can no longer become a character are shown as U+FFFD.

    Args:
        tokens: ids, or tensors of one id as stream yields for a batch of one.
        encoding: the tokenizer whose ids these are.
        stop_token: the text ends before this id.

    Raises:
        ValueError: the encoding has no such id.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token in tokens:
        if stop_token is not None and int(token) == stop_token:
            break
        try:
            piece = decoder.decode(encoding.decode_single_token_bytes(int(token)))
        except (KeyError, OverflowError):
            raise ValueError(
                f"the tokenizer {encoding.name!r} has no token {int(token)}; "
                "use the one that the model was trained with"
            ) from None
        if piece:
            yield piece
    rest = decoder.decode(b"", final=True)
    if rest:
        yield rest
