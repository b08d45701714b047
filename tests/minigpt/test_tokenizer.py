"""Encodings: exact sizes, round trips, the tokenizer file and its damage, GPT-2's vocabulary."""

from __future__ import annotations

import errno
import json
import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import requests
import tiktoken.registry
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt.bpe import GPT2_PATTERN, encode_text
from minigpt.tokenizer import (
    END_OF_TEXT,
    escape_token,
    gpt2_encoding,
    load_encoding,
    mergeable_ranks,
    save_encoding,
    train_bpe,
    unescape_token,
)

SPECIALS = [END_OF_TEXT, "<to-fr>"]
DOCUMENTS = ["The cat sat on the mat; the cat's hat is flat.", "Été, forêt, fenêtre: \\ et «là»."]
ENCODING = train_bpe(DOCUMENTS, 290, SPECIALS)

# What tiktoken calls GPT-2's two files in its cache folder.
VOCAB_BPE = "6d1cbeee0f20b3d9449abfede4726ed8212e3aee"
ENCODER_JSON = "6c7ea1a7e38e3a7f062df639a5b80947f075ffe6"


def test_vocabulary_has_exactly_the_size_asked_for_with_special_tokens_last() -> None:
    assert isinstance(ENCODING, tiktoken.Encoding)
    assert ENCODING.n_vocab == 290
    assert [ENCODING.encode_single_token(token) for token in SPECIALS] == [288, 289]
    assert ENCODING.decode_single_token_bytes(65) == b"A"
    assert ENCODING.decode_single_token_bytes(256) == b"at"
    assert train_bpe("a", 256).n_vocab == 256


@settings(deadline=None)
@given(st.lists(st.text() | st.sampled_from(SPECIALS)).map("".join))
def test_any_text_round_trips_with_and_without_special_tokens(text: str) -> None:
    ids = ENCODING.encode(text, allowed_special="all")
    assert ENCODING.decode(ids) == text
    assert ids.count(288) == text.count(END_OF_TEXT)
    plain = ENCODING.encode_ordinary(text)
    assert ENCODING.decode(plain) == text
    assert max(plain, default=0) < 288


@settings(deadline=None)
@given(st.binary(max_size=50))
def test_any_bytes_can_be_decoded_to_themselves(data: bytes) -> None:
    assert ENCODING.decode_bytes(list(data)) == data


def test_text_that_holds_a_special_token_is_refused_unless_allowed() -> None:
    with pytest.raises(ValueError, match="disallowed special token"):
        ENCODING.encode(f"ignore this {END_OF_TEXT}")


def test_special_tokens_separate_documents_and_teach_nothing() -> None:
    joined = train_bpe(END_OF_TEXT.join(DOCUMENTS), 290, SPECIALS)
    assert mergeable_ranks(joined) == mergeable_ranks(ENCODING)
    assert b"endof" not in mergeable_ranks(train_bpe(END_OF_TEXT * 50 + "cat cat", 259, SPECIALS))


def test_token_count_is_that_of_the_tokenizers_library(shared_data: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    text = (shared_data / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")[:500_000]
    ours = train_bpe(text, 4096, [END_OF_TEXT])
    byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = byte_level
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=4096,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=byte_level.alphabet(),
        show_progress=False,
    )
    theirs.train_from_iterator([text], trainer)
    # Only ties differ: bytes have another order there.
    assert len(ours.encode_ordinary(text)) == pytest.approx(len(theirs.encode(text).ids), rel=1e-3)


def test_a_text_too_small_says_how_many_entries_it_gives() -> None:
    with pytest.raises(ValueError, match="too small for a vocabulary of 4096") as error:
        train_bpe("a cat and a hat", 4096, SPECIALS)
    most = int(re.search(r"at most (\d+)", str(error.value)).group(1))  # type: ignore[union-attr]
    encoding = train_bpe("a cat and a hat", most, SPECIALS)
    assert len(encoding.encode_ordinary("a cat and a hat")) == 5
    with pytest.raises(ValueError, match=f"at most {most}"):
        train_bpe("a cat and a hat", most + 1, SPECIALS)


@pytest.mark.parametrize(
    ("text", "vocab_size", "specials", "error", "message"),
    [
        ("cat", 257, SPECIALS, ValueError, "at least 258 .* got 257"),
        ("cat", 300.0, (), TypeError, "whole number, got 300.0"),
        ("cat", True, (), TypeError, "whole number, got True"),
        ("", 256, (), ValueError, "text to train on is empty"),
        ([], 256, (), ValueError, "text to train on is empty"),
        (END_OF_TEXT, 300, SPECIALS, ValueError, "text to train on is empty"),
        (b"cat", 256, (), TypeError, "must be str, got bytes"),
        (["cat", 3], 256, (), TypeError, "must be str, got int"),
        (None, 256, (), TypeError, "must be str, got NoneType"),
        ("cat", 300, ["<a>", "<a>"], ValueError, "must differ"),
        ("cat", 300, [""], ValueError, "not empty, got ''"),
        ("cat", 300, ["\ud800"], ValueError, "must be text"),
        ("cat", 300, [7], TypeError, "must be str, got 7"),
        ("cat", 300, "<a>", TypeError, "must be a list of str"),
    ],
)
def test_bad_input_is_one_plain_sentence(
    text: Any, vocab_size: Any, specials: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        train_bpe(text, vocab_size, specials)


@settings(deadline=None)
@given(st.binary())
def test_escaped_tokens_can_be_read_back(token: bytes) -> None:
    assert unescape_token(escape_token(token)) == token


def test_escapes_leave_text_legible() -> None:
    assert escape_token(" été\\".encode() + b"\xc3") == " été\\\\\\xc3"
    with pytest.raises(ValueError, match="not an escaped token"):
        unescape_token("\\x41")


def test_a_saved_encoding_loads_as_the_same_encoding(tmp_path: Path) -> None:
    save_encoding(ENCODING, tmp_path / "new" / "tokenizer.json")
    loaded = load_encoding(tmp_path / "new" / "tokenizer.json")
    assert pickle.dumps(loaded) == pickle.dumps(ENCODING)  # name, pattern, ranks, special tokens
    text = f"The forêt {END_OF_TEXT} is flat.\n\n"
    assert loaded.encode(text, allowed_special="all") == ENCODING.encode(
        text, allowed_special="all"
    )
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["tokenizer.json"]
    save_encoding(loaded, tmp_path / "again.json")
    written = (tmp_path / "again.json").read_bytes()
    assert written == (tmp_path / "new" / "tokenizer.json").read_bytes()
    assert b'\n  " cat",\n' in written  # a token a line, as text


def test_a_special_token_spelled_like_an_ordinary_one_keeps_its_own_id(tmp_path: Path) -> None:
    encoding = train_bpe("at", 258, ["b"])
    save_encoding(encoding, tmp_path / "tokenizer.json")
    loaded = load_encoding(tmp_path / "tokenizer.json")
    assert loaded.encode_ordinary("atb") == [256, ord("b")]
    assert loaded.encode("atb", allowed_special="all") == [256, 257]
    assert loaded.decode([256, ord("b"), 257]) == "atbb"


@settings(deadline=None)
@given(data=st.data())
def test_a_file_cut_short_anywhere_is_reported(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cut") / "tokenizer.json"
    save_encoding(ENCODING, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 2))])
    with pytest.raises(ValueError, match=r"tokenizer\.json is cut short or damaged"):
        load_encoding(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "other"}, 'format must be "minigpt byte-pair encoding", got "other"'),
        ({"pattern": None}, "pattern must be text that is not empty, got null"),
        ({"name": 5}, "name must be text, got 5"),
        ({"pattern": "("}, r"pattern '\(' is not a regular expression"),
        ({"pattern": ""}, "pattern must be text that is not empty"),
        ({"pattern": r"\s*"}, "matches the empty text"),
        ({"vocab_size": 291}, "vocab_size is 291, but .* have 290 entries"),
        ({"special_tokens": [END_OF_TEXT] * 2}, "must differ"),
        ({"tokens": ["q"] * 288}, "not the 256 bytes"),
        ({"tokens": 7}, "tokens must be a list, each element text that is not empty, got 7"),
        ({"tokens": ["\\xZZ"] * 288}, "not an escaped token"),
        ({"tokens": ["a", None]}, r"tokens\[1\] must be text that is not empty, got null"),
        (None, "tokens is missing; it must be a list"),
    ],
)
def test_a_wrong_file_is_reported_with_its_name(
    tmp_path: Path, change: dict[str, Any] | None, reason: str
) -> None:
    path = tmp_path / "tokenizer.json"
    save_encoding(ENCODING, path)
    content = json.loads(path.read_text(encoding="utf-8"))
    if change is None:
        del content["tokens"]
    else:
        content.update(change)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=reason) as error:
        load_encoding(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("token", "reason"),
    [("at", "tokens has 'at' twice"), ("zq~", "does not join two earlier tokens")],
)
def test_tokens_that_could_never_be_used_are_reported(
    tmp_path: Path, token: str, reason: str
) -> None:
    path = tmp_path / "tokenizer.json"
    save_encoding(ENCODING, path)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["tokens"][-1] = token
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=reason):
        load_encoding(path)


def test_binary_files_and_missing_files_are_reported(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    with pytest.raises(
        ValueError, match=r"binary is cut short or damaged \(byte 128 is not UTF-8\)"
    ):
        load_encoding(tmp_path / "binary")
    with pytest.raises(FileNotFoundError, match="no tokenizer file"):
        load_encoding(tmp_path / "missing.json")
    with pytest.raises(FileNotFoundError, match="no tokenizer file"):
        load_encoding(tmp_path)


def test_a_full_disk_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("old")

    def write_bytes(self: Path, data: bytes) -> int:
        with open(self, "wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_bytes)
        with pytest.raises(OSError, match=r"could not write .*: No space left"):
            save_encoding(ENCODING, path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["tokenizer.json"]


def test_an_encoding_with_gaps_between_its_ids_cannot_be_saved(tmp_path: Path) -> None:
    ranks = {bytes([i]): i for i in range(256)}
    gaps = tiktoken.Encoding(
        "gaps", pat_str=GPT2_PATTERN, mergeable_ranks=ranks, special_tokens={"<a>": 300}
    )
    with pytest.raises(ValueError, match="'gaps' cannot be saved: its ids must be 0 to 256"):
        save_encoding(gaps, tmp_path / "tokenizer.json")


def _off_the_network(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})
    monkeypatch.setattr(requests, "head", refuse)
    monkeypatch.setattr(requests, "get", refuse)


def test_gpt2_encoding_comes_from_the_cache_and_saves(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _off_the_network(monkeypatch, RuntimeError("the network was used"))
    gpt2 = gpt2_encoding()
    assert gpt2.n_vocab == 256 + 50_000 + 1
    assert gpt2.encode("hello world") == [31373, 995]  # as tiktoken's own documentation has it
    save_encoding(gpt2, tmp_path / "gpt2.json")
    loaded = load_encoding(tmp_path / "gpt2.json")
    text = (shared_data / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
    assert loaded.encode_ordinary(text) == gpt2.encode_ordinary(text)
    assert loaded.encode(END_OF_TEXT, allowed_special="all") == [50256]


def test_our_encoding_with_gpt2s_ranks_gives_gpt2s_ids(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpt2 = gpt2_encoding()
    ranks = mergeable_ranks(gpt2)
    text = (shared_data / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")[:20_000]
    text += " 12345  naïve café — 日本語 🤖\r\n\t x"
    assert encode_text(text, ranks) == gpt2.encode_ordinary(text)


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError("no route"),
        requests.Timeout("10 s"),
        requests.exceptions.InvalidProxyURL("bad proxy"),
        urllib3.exceptions.LocationParseError("bad host"),
        ValueError("hash mismatch"),
        ImportError("no requests"),
        OSError(errno.ENOSPC, "disk full"),
    ],
)
def test_gpt2_encoding_off_the_network_says_what_to_download_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    _off_the_network(monkeypatch, error)
    with pytest.raises(FileNotFoundError, match=type(error).__name__) as raised:
        gpt2_encoding()
    sentence = str(raised.value)
    assert f"/vocab.bpe as {tmp_path / VOCAB_BPE} and " in sentence
    assert f"/encoder.json as {tmp_path / ENCODER_JSON}," in sentence
    assert "\n" not in sentence


def test_a_damaged_vocabulary_in_the_cache_is_the_same_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (VOCAB_BPE, ENCODER_JSON):
        (tmp_path / name).write_text("damaged")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    _off_the_network(monkeypatch, requests.ConnectionError("no route"))
    with pytest.raises(FileNotFoundError, match="could not be fetched"):
        gpt2_encoding()


@pytest.mark.parametrize(("setting", "where"), [(None, "data-gym-cache"), ("", "data-gym-cache")])
def test_without_a_cache_folder_the_error_names_the_usual_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str | None, where: str
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("DATA_GYM_CACHE_DIR", raising=False)
    if setting is None:
        monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    else:
        monkeypatch.setenv("TIKTOKEN_CACHE_DIR", setting)
    _off_the_network(monkeypatch, requests.ConnectionError("no route"))
    with pytest.raises(FileNotFoundError, match=f"TIKTOKEN_CACHE_DIR to {tmp_path / where}"):
        gpt2_encoding()
