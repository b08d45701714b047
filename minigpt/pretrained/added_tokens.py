"""The added tokens of a tokenizer of transformers: which there are, and which ids they have.

They stand beside the vocabulary, in up to four files. A token that is in none with an id, or not in
the vocabulary, gets the next free id, in the order in which transformers adds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from minigpt.files.json_objects import read_json_object, shown
from minigpt.files.schema import (
    Either,
    Kind,
    ListOf,
    MapOf,
    Object,
    OneOf,
    Switch,
    Text,
    Whole,
    check,
    or_null,
)
from minigpt.pretrained.byte_level import AddedToken
from minigpt.tokenizer import END_OF_TEXT

CONFIG_FILE, ADDED_FILE = "tokenizer_config.json", "added_tokens.json"

# What the token that ends a text is called, where no file says so.
USUAL_ENDS = (END_OF_TEXT, "</s>", "<eos>", "[EOS]", "<|end_of_text|>")

FLAGS = dict.fromkeys(("special", "normalized"), Switch()) | dict.fromkeys(
    ("lstrip", "rstrip", "single_word"), OneOf(False)
)
NAMED = Either(or_null(Text()), Object({"content": Text(False)}, FLAGS))
NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
LISTS = ("additional_special_tokens", "extra_special_tokens")
NAMED_TOKENS = dict.fromkeys(NAMES, NAMED) | dict.fromkeys(
    LISTS, Either(or_null(ListOf(NAMED)), OneOf({}))
)


class Added(NamedTuple):
    """An added token as a file describes it; without an id it gets the next free one."""

    content: str
    id: int | None = None
    special: bool = True
    normalized: bool = False


def read_optional(path: Path, kind: Kind) -> dict[str, Any]:
    """Returns the JSON object in a file, or {} if there is no such file."""
    if not path.exists():
        return {}
    found = read_json_object(path)
    check(found, kind, path)
    return found


def check_named(path: Path, named: Mapping[str, Any]) -> None:
    """Makes sure that every token a file names is one of NAMES or in one of LISTS.

    Raises:
        ValueError: transformers would add another one, such as its "image_token".
    """
    others = [name for name in named if name.endswith("_token") and name not in NAMES]
    for name in ("model_specific_special_tokens", *others):
        if named.get(name) and not isinstance(named[name], bool):  # add_bos_token is no token
            raise ValueError(
                f"{path}: {name} names a token that minigpt does not read, got "
                f"{shown(named[name])}; it reads {', '.join((*NAMES, *LISTS))}"
            )
    if all(named.get(name) for name in LISTS):
        raise ValueError(f"{path}: of {' and '.join(LISTS)} transformers reads one; leave one out")


def as_added(token: Mapping[str, Any] | str, id: int | None = None, special: bool = True) -> Added:
    """Returns a token that a file holds as its text, or as an object."""
    if isinstance(token, str):
        return Added(token, id, special, normalized=not special)
    special = token.get("special", special)
    return Added(token["content"], id, special, token.get("normalized", not special))


def more_added(
    folder: Path, config: Mapping[str, Any], named: Mapping[str, Any]
) -> Iterator[Added]:
    """Yields the added tokens that are not in tokenizer.json, in the order of transformers."""
    names = [*(named.get(name) for name in NAMES), *(t for n in LISTS for t in named.get(n) or [])]
    last = [as_added(token) for token in names if token]
    if "added_tokens_decoder" in config:
        decoder = config["added_tokens_decoder"]
        if not all(id.isdecimal() and len(id) < 10 for id in decoder):
            raise ValueError(f"{CONFIG_FILE}: added_tokens_decoder must name tokens by their ids")
        for id in sorted(decoder, key=int):
            yield as_added(decoder[id], int(id), special=False)
    else:
        ids = read_optional(folder / ADDED_FILE, MapOf(Whole(0, 10**8)))
        specials = {token.content for token in last}
        for content in sorted(ids, key=lambda content: ids[content]):
            yield as_added(content, ids[content], special=content in specials)
    yield from last


def number_added(
    vocab: Mapping[str, int], listed: list[Added], vocab_size: int
) -> dict[str, AddedToken]:
    """Gives every added token its id: that of the vocabulary, or the next free one.

    Raises:
        ValueError: a file says another id than transformers would give it, or two have the same.
    """
    added: dict[str, AddedToken] = {}
    used = {id: token for token, id in vocab.items()}
    last = len(vocab) - 1
    for token in listed:
        if token.content in added:
            before = added[token.content]
            if token.id not in (None, before.id):
                raise ValueError(f"its token {shown(token.content)} has two ids")
            added[token.content] = before._replace(special=before.special or token.special)
            continue
        id = vocab.get(token.content, last + 1)
        if token.id is None and id >= vocab_size:  # the model cannot read it
            continue
        if token.id not in (None, id) or used.get(id, token.content) != token.content:
            raise ValueError(
                f"its token {shown(token.content)} has the id {token.id}, for which transformers "
                f"takes {id}"
            )
        used[id], last = token.content, max(last, id)
        added[token.content] = AddedToken(id, token.special, first=not token.normalized)
    return added


def end_of_text(
    vocab: Mapping[str, int], added: dict[str, AddedToken], named: Mapping[str, Any], end_id: Any
) -> str:
    """Returns the token that ends a text; it becomes an added token if it is none yet."""
    eos = named.get("eos_token") or ""
    eos = eos["content"] if isinstance(eos, dict) else eos
    by_id = [text for text, token in added.items() if token.id == end_id]
    for name in [str(eos), *by_id, *USUAL_ENDS]:
        if name in added:
            return name
        if name in vocab:
            added[name] = AddedToken(vocab[name])
            return name
    raise ValueError(
        f"no token ends a text: no eos_token is named in {CONFIG_FILE}, and there is none of "
        f"{', '.join(USUAL_ENDS)}"
    )
