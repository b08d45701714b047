"""Any Unicode through tokenizers, documents, files, records, rows and answers: it comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt.bpe import valid_unicode
from minigpt.dataset import pack
from minigpt.tasks.answers import answer
from minigpt.tasks.rows import encode_examples, pack_examples
from minigpt.tasks.task import make_task, read_records
from minigpt.text.documents import Document, paragraphs, split_documents, squeezed
from minigpt.text.reading import read_text
from minigpt.tokenizer import (
    END_OF_TEXT,
    escape_token,
    load_encoding,
    mergeable_ranks,
    save_encoding,
    stream_text,
    train_bpe,
    unescape_token,
)

# Half characters, NUL, line ends of every kind, combining, right to left, invisible, no characters.
AWKWARD = st.sampled_from(
    (
        *("\ud83d", "\udc00", "\ud83d\ude00", "\0", "\r", "\r\n", "\n\n", "\x85", "\u2028", "\x1c"),
        *(
            "e\u0301",
            "\u202e",
            "\u05d0\u0644",
            "\ufeff",
            "\uffff",
            "\U0010ffff",
            "\u200d",
            "\u00a0",
        ),
        *("\U0001f468\u200d\U0001f469", "\\x41", '"', "{", " ", "\t", "''", END_OF_TEXT, "a" * 300),
    )
)
TEXT = st.lists(AWKWARD | st.text(st.characters(), max_size=8), max_size=8).map("".join)
FILLED = TEXT.filter(lambda text: valid_unicode(text).strip())
ENCODING = train_bpe("The cat sat on the mat; the cat's hat is flat: été.", 280, [END_OF_TEXT])
TASK = make_task("quiz", "Q: {q}\nA:", "{a}")


@settings(max_examples=15, deadline=None)
@given(st.lists(TEXT, max_size=4), TEXT)
def test_a_tokenizer_learned_from_any_text_survives_its_file(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], text: str
) -> None:
    encoding = train_bpe([*texts, "the cat "], 262, [END_OF_TEXT])
    for token in mergeable_ranks(encoding):
        assert unescape_token(escape_token(token)) == token
    path = tmp_path_factory.getbasetemp() / "tokenizer.json"
    save_encoding(encoding, path)
    loaded = load_encoding(path)
    for some in (text, *texts):
        ids = loaded.encode_ordinary(some)
        assert ids == encoding.encode_ordinary(some)
        assert loaded.decode(ids) == "".join(stream_text(ids, loaded)) == valid_unicode(some)
        with_ends = loaded.encode(some, allowed_special="all")
        assert loaded.decode(with_ends) == valid_unicode(some)
        assert with_ends.count(261) == some.count(END_OF_TEXT)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 279), max_size=30))
def test_any_ids_are_streamed_as_the_text_they_decode_to(ids: list[int]) -> None:
    assert "".join(stream_text(ids, ENCODING)) == ENCODING.decode(ids)


@settings(max_examples=25, deadline=None)
@given(st.lists(FILLED, min_size=2, max_size=6))
def test_documents_are_divided_without_a_change_and_packed(texts: list[str]) -> None:
    texts = [f"Text {i}.\n\n{text}" for i, text in enumerate(texts)]  # something of its own
    documents = [Document(f"{i}\ud800", text) for i, text in enumerate(texts)]
    train, validation = split_documents(documents)
    held_out = [squeezed(part) for _, text in validation for part in paragraphs(text)]
    held_out = [part for part in held_out if len(part) >= 60]
    assert set(validation) <= set(documents)
    kept = dict(train)
    for name, text in set(documents) - set(validation):
        for part in paragraphs(text):
            if part in paragraphs(kept.get(name, "")):
                assert squeezed(part) not in held_out
            else:
                assert any(held in squeezed(part) for held in held_out)
    ids = pack(map(ENCODING.encode_ordinary, texts), ENCODING.eot_token)
    assert ENCODING.decode(ids.tolist()) == "".join(valid_unicode(t) + END_OF_TEXT for t in texts)


@settings(max_examples=25, deadline=None)
@given(TEXT.map(valid_unicode))
def test_a_file_of_any_text_is_read_whole(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    text = "A text. " * 100 + text  # not many NULs, which would make it a binary file
    path.write_bytes(text.encode())
    read = "\n\n".join(document.text for document in read_text(path, separator=""))
    assert read.split() == text.split()


class Parrot:
    """Stands for a model: it has learned the answer to each prompt by heart, {ids: ids}."""

    config = SimpleNamespace(vocab_size=280, block_size=20_000)

    def __init__(self, answers: dict[tuple[int, ...], list[int]]) -> None:
        self.answers = answers

    def parameters(self) -> Iterator[torch.Tensor]:
        return iter([torch.zeros(1)])

    def prefix(self) -> None:
        return None

    def generate(self, idx: torch.Tensor, max_new_tokens: int, **settings: Any) -> torch.Tensor:
        said = []
        for row, real in zip(idx, settings["segments"], strict=True):
            ids = self.answers[tuple(row[real == 1].tolist())]
            said.append(ids + [7] * (max_new_tokens - len(ids)))
        return torch.cat([idx, torch.tensor(said)], dim=1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(TEXT, FILLED), min_size=1, max_size=3), st.booleans())
def test_records_become_rows_and_answers_with_the_same_text(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]], as_ascii: bool
) -> None:
    pairs = [(f"{i} {q}", a) for i, (q, a) in enumerate(pairs)]
    wanted = [tuple(valid_unicode(text).strip() for text in pair) for pair in pairs]
    path = tmp_path_factory.getbasetemp() / "records.jsonl"
    some = pairs if as_ascii else wanted
    lines = [json.dumps({"q": q, "a": a}, ensure_ascii=as_ascii) for q, a in some]
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    records = read_records(path, TASK)
    assert [(record["q"].strip(), TASK.target(record)) for record in records] == wanted

    examples = encode_examples(records, TASK, ENCODING, max_tokens=20_000)
    assert [ENCODING.decode(prompt) for prompt, _ in examples] == [f"Q: {q}\nA:" for q, _ in wanted]
    rows = pack_examples(examples, 40_000, ENCODING.eot_token)
    learned = rows.targets[rows.targets >= 0].tolist()
    for _, completion in examples:  # each is there, whole, behind the one before it
        at = [i for i in range(len(learned)) if learned[i : i + len(completion)] == completion]
        assert at

    model = Parrot({tuple(prompt): completion for prompt, completion in examples})
    prompts = [TASK.prompt(record) for record in records]
    assert answer(model, ENCODING, prompts, 9_000, batch_size=2) == [a for _, a in wanted]  # type: ignore[arg-type]
