"""Reads the tokenizer beside a model of transformers, as far as it is byte-level BPE.

    tokenizer.json             all of it: vocabulary, merges, how text is cut, added tokens; or
    vocab.json, merges.txt     the first two, with GPT-2's way of cutting text
    tokenizer_config.json, special_tokens_map.json, added_tokens.json
                               more added tokens, and which of them ends a text

Whatever would give other ids than transformers does is refused: another kind of model, a
normalizer, a way of cutting text that is not known here, tokens put before every text.

Source: the files that transformers' save_pretrained and tokenizers' Tokenizer.save write.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import tiktoken

from minigpt.bpe import GPT2_PATTERN
from minigpt.fast.pieces import KNOWN_PATTERNS
from minigpt.files.json_objects import LARGEST, read_json_object, shown
from minigpt.files.model_files import TOKENIZER, matching
from minigpt.files.regular_file import read_bytes
from minigpt.files.schema import (
    Either,
    ListOf,
    MapOf,
    Object,
    OneOf,
    Row,
    Switch,
    Text,
    Whole,
    check,
    or_null,
)
from minigpt.pretrained.added_tokens import (
    CONFIG_FILE,
    FLAGS,
    NAMED_TOKENS,
    Added,
    as_added,
    check_named,
    end_of_text,
    more_added,
    number_added,
    read_optional,
)
from minigpt.pretrained.byte_level import ByteLevelEncoding, merged_ranks
from minigpt.tokenizer import END_OF_TEXT, save_encoding

TOKENIZER_FILE, VOCAB_FILE, MERGES_FILE = "tokenizer.json", "vocab.json", "merges.txt"
SPECIAL_FILE = "special_tokens_map.json"

# tokenizers' engine for patterns takes {1,3}+ for one to three, any number of times.
PATTERNS = [known for known in KNOWN_PATTERNS if not re.search(r"\{\d,\d\}\+", known)]
GPT2_CLASSES = ("GPT2Tokenizer", "GPT2TokenizerFast")
CLASSES = (*GPT2_CLASSES, "PreTrainedTokenizerFast", "TokenizersBackend")

MERGE = Either(Text(empty=False), Row(Text(empty=False), Text(empty=False)))
NONE = OneOf(None, "")
MODEL = Object(
    {"vocab": MapOf(Whole(0, 10**8)), "merges": ListOf(MERGE)},
    {
        "type": OneOf("BPE"),
        "dropout": OneOf(None, 0.0, 0),
        "continuing_subword_prefix": NONE,
        "end_of_word_suffix": NONE,
        "ignore_merges": Switch(),
    },
)
TOKENIZER_JSON = Object(
    {"model": MODEL},
    {
        "added_tokens": ListOf(Object({"id": Whole(0, 10**8), "content": Text(False)}, FLAGS)),
        "normalizer": OneOf(None),
    },
)
CONFIG = Object(
    {},
    {
        **NAMED_TOKENS,
        "tokenizer_class": or_null(OneOf(*CLASSES)),
        "added_tokens_decoder": MapOf(Object({"content": Text(empty=False)}, FLAGS)),
        "fast_tokenizer_files": ListOf(OneOf(TOKENIZER_FILE)),  # others are of other versions
        **dict.fromkeys(
            ("add_prefix_space", "add_bos_token", "add_eos_token", "split_special_tokens"),
            OneOf(False, None),
        ),
    },
)


def tokenizer_writer(encoding: tiktoken.Encoding) -> Callable[[Path], None]:
    """Returns what writes a tokenizer into a folder: the files that it was read from, or ours."""

    def write(folder: Path) -> None:
        if isinstance(encoding, ByteLevelEncoding):
            for name, content in encoding.files.items():
                (folder / name).write_bytes(content)
        else:
            save_encoding(encoding, folder / TOKENIZER_FILE)

    return write


def end_of(encoding: tiktoken.Encoding) -> int | None:
    """Returns the id of the token that ends a text, or None if there is none."""
    try:
        return encoding.eot_token
    except (KeyError, ValueError):
        return None


def read_tokenizer(folder: Path, vocab_size: int, end_id: Any = None) -> ByteLevelEncoding | None:
    """Returns the tokenizer in a folder of transformers, or None if none is there.

    Args:
        vocab_size: of the model; named tokens that it has no place for are left out.
        end_id: eos_token_id of config.json, which counts if the tokenizer names no end token.

    Raises:
        FileNotFoundError: a file of it is missing.
        ValueError: a file is damaged, or asks for something that gives other ids here; the error
            names the file and the field.
    """
    there = matching(folder, TOKENIZER)
    if not {TOKENIZER_FILE, VOCAB_FILE, MERGES_FILE} & {*there}:
        for name in there:
            if name not in (CONFIG_FILE, SPECIAL_FILE) and not name.startswith("chat_template"):
                raise ValueError(
                    f"{folder} has the tokenizer {name}, of which minigpt reads only byte-level "
                    f"BPE: {TOKENIZER_FILE}, or {VOCAB_FILE} and {MERGES_FILE}"
                )
        return None
    config = read_optional(folder / CONFIG_FILE, CONFIG)
    check_named(folder / CONFIG_FILE, config)
    named = dict(config)
    if "added_tokens_decoder" not in config:
        named |= read_optional(folder / SPECIAL_FILE, Object({}, NAMED_TOKENS))
        check_named(folder / SPECIAL_FILE, named)
    file = folder / TOKENIZER_FILE
    if TOKENIZER_FILE in there:
        found = read_json_object(file)
        check(found, Object({"model": Object({}, {"type": OneOf("BPE")})}), file)
        check(found, TOKENIZER_JSON, file)
        pattern = _pattern_of(found, file, config.get("tokenizer_class"))
        model = found["model"]
        vocab, merges = model["vocab"], [_merge(merge, file) for merge in model["merges"]]
        listed = [as_added(token, token["id"]) for token in found.get("added_tokens", [])]
        ignore_merges = model.get("ignore_merges", False)
        own_class = config.get("tokenizer_class")
    else:
        file, pattern, ignore_merges = folder / VOCAB_FILE, GPT2_PATTERN, False
        vocab = read_json_object(file)
        check(vocab, MapOf(Whole(0, 10**8)), file)
        merges, listed = read_merges(folder / MERGES_FILE), []
        own_class = config.get("tokenizer_class") or GPT2_CLASSES[0]
    if own_class in GPT2_CLASSES:
        named = dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT) | named
    try:
        if len({*vocab.values()}) < len(vocab):
            raise ValueError("two of its tokens have the same id")
        ranks = merged_ranks(vocab, merges, ignore_merges)
        more = [*more_added(folder, config, named)]
        if own_class in GPT2_CLASSES and "added_tokens_decoder" in config:
            _check_listed(listed, {token.content for token in more})
        listed += more
        added = number_added(vocab, listed, vocab_size)
        end = end_of_text(vocab, added, named, end_id)
        return ByteLevelEncoding(
            folder.name,
            pat_str=pattern,
            mergeable_ranks=ranks,
            added=added,
            end_of_text=end,
            files={name: read_bytes(folder / name, LARGEST) for name in there},
        )
    except ValueError as error:
        raise ValueError(f"{file} cannot be read as byte-level BPE: {error}") from None


def _check_listed(listed: list[Added], others: Collection[str]) -> None:
    """Raises ValueError if tokenizer.json adds a token that its class would not take from there."""
    for token in listed:
        if token.content not in others:
            raise ValueError(
                f"it adds the token {shown(token.content)}, which added_tokens_decoder in "
                f"{CONFIG_FILE} lacks"
            )


def _merge(merge: str | list[str], file: Path, line: int | None = None) -> tuple[str, str]:
    parts = merge.split(" ") if isinstance(merge, str) else merge
    if len(parts) != 2 or not all(parts):
        where = file if line is None else f"{file}, line {line}"
        raise ValueError(f"{where}: a merge must name two tokens, got {shown(merge)}")
    return parts[0], parts[1]


def read_merges(path: Path) -> list[tuple[str, str]]:
    """Reads merges.txt: two tokens a line, after a line with a version.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is something else; the error names it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; it holds the merges of {VOCAB_FILE} beside it")
    merges = []
    try:
        lines = read_bytes(path, LARGEST).decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged: byte {error.start} is not UTF-8") from None
    for number, line in enumerate(lines, start=1):
        line = line.removesuffix("\r")
        if line and not line.startswith("#version"):
            merges.append(_merge(line, path, number))
    return merges


def _pattern_of(found: Mapping[str, Any], file: Path, tokenizer_class: str | None) -> str:
    """Returns the pattern that cuts text, which tokenizer.json says in one of two ways."""
    cut: Any = found.get("pre_tokenizer")
    steps: Any = cut.get("pretokenizers") if _type(cut) == "Sequence" else [cut]
    kinds = [_type(step) for step in steps] if isinstance(steps, list) else []
    if kinds not in (["ByteLevel"], ["Split", "ByteLevel"]):
        raise ValueError(
            f"{file}: pre_tokenizer must be ByteLevel, alone or after Split, got {shown(cut)}"
        )
    last, alone = steps[-1], len(steps) == 1
    if last.get("add_prefix_space", True) is not False:
        raise ValueError(
            f"{file}: pre_tokenizer puts a space before every text (add_prefix_space), so that a "
            "text would not come back as it was"
        )
    pattern = GPT2_PATTERN
    if not alone:
        split = steps[0]
        given = split.get("pattern")
        pattern = str(given.get("Regex")) if isinstance(given, dict) else ""
        way = (split.get("behavior"), split.get("invert", False))
        if pattern not in PATTERNS or way not in (("Isolated", False), ("Removed", True)):
            raise ValueError(
                f"{file}: pre_tokenizer cuts text by {shown(split)}; known are the patterns of "
                "GPT-2, GPT-4, Llama 3, Qwen and GPT-4o"
            )
    if last.get("use_regex", True) is not alone:
        raise ValueError(f"{file}: pre_tokenizer must cut text once, got {shown(cut)}")
    ignores = found["model"].get("ignore_merges", False)
    if tokenizer_class in GPT2_CLASSES and (not alone or ignores):
        raise ValueError(
            f"{file} and {CONFIG_FILE} disagree: a {tokenizer_class} cuts text by GPT-2's pattern "
            "alone and ignores no merges"
        )
    for field in ("post_processor", "decoder"):
        if not _adds_nothing(found.get(field)):
            raise ValueError(
                f"{file}: {field} must be ByteLevel or null, got {shown(found[field])}; no token "
                "can be put before or after every text"
            )
    return pattern


def _type(value: Any) -> Any:
    return value.get("type") if isinstance(value, dict) else None


def _adds_nothing(step: Any) -> bool:
    if _type(step) == "Sequence":
        steps = step.get("processors", step.get("decoders"))
        return isinstance(steps, list) and all(map(_adds_nothing, steps))
    if _type(step) == "TemplateProcessing":
        match step.get("single"):
            case [{"Sequence": {"id": "A"}}]:  # the text, once and alone
                return True
        return False
    return step is None or _type(step) == "ByteLevel"
