"""Files of text and of records, whole and damaged."""

import json
import random
from pathlib import Path

import pytest

from minigpt.text.documents import split_documents
from minigpt.text.reading import read_jsonl, read_text


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_text_file_becomes_documents_without_losing_a_line(tmp_path: Path, line_end: str) -> None:
    words = ["To be,", "or not to be:", "é", "", "that is\u2028the question"]
    lines = [f"{random.choice(words)}" for _ in range(3000)]
    lines[0] = lines[-1] = "end"
    path = tmp_path / "play.txt"
    path.write_bytes(b"\xef\xbb\xbf" + line_end.join(lines).encode())
    documents = read_text(path)
    assert [document.name for document in documents[:2]] == ["play.txt:1", "play.txt:2"]
    assert [x for d in documents for x in d.text.split("\n") if x] == [x for x in lines if x]
    assert all(3900 < len(document.text) < 4200 for document in documents[:-1])


def test_text_file_without_blank_lines_is_still_cut(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("a line of text\n" * 2000)
    assert all(len(document.text) < 8100 for document in read_text(path))


def test_tiny_shakespeare_is_read_whole(shared_data: Path) -> None:
    path = shared_data / "tinyshakespeare" / "input.txt"
    documents = read_text(path)
    joined = "\n".join(document.text for document in documents)
    assert joined.split() == path.read_text(encoding="utf-8").split()
    train, validation = split_documents(documents)
    assert 0.02 < len(validation) / len(documents) < 0.08
    assert sum(len(d.text) for d in train + validation) > 0.99 * len(joined)


@pytest.mark.parametrize("read", [read_text, read_jsonl])
def test_unreadable_files_are_one_sentence_with_file_and_line(tmp_path: Path, read) -> None:
    path = tmp_path / "text.jsonl"
    with pytest.raises(FileNotFoundError, match=r"cannot read .*text.jsonl: no such file"):
        read(path)
    with pytest.raises(FileNotFoundError, match="a folder, not a file"):
        read(tmp_path)
    path.write_text(" \n\n")
    with pytest.raises(ValueError, match=r"text.jsonl is empty"):
        read(path)
    path.write_bytes('{"a": 1}\n{"a": "déjà"}'.encode("latin-1"))
    with pytest.raises(ValueError, match=r"text.jsonl, line 2: byte 0xe9 is not UTF-8"):
        read(path)


def test_jsonl_records_come_back_as_written(tmp_path: Path) -> None:
    records = [{"text": "été\u2028\u0085\x0c"}, {"text": 'quote " \\ \n', "n": 3}, {}]
    path = tmp_path / "x.jsonl"
    path.write_text("\n\n".join(json.dumps(r, ensure_ascii=False) for r in records), "utf-8")
    assert read_jsonl(path) == records


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "cut off', r"x.jsonl, line 3: not valid JSON"),
        ('["text"]', r"x.jsonl, line 3: every line must be a JSON object"),
        ('{"txt": "misspelt"}', r'x.jsonl, line 3: no text in the field "text"; .* are txt'),
        ('{"text": 3}', r'x.jsonl, line 3: no text in the field "text"'),
    ],
)
def test_bad_jsonl_names_the_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "fine"}\n\n' + line + "\n")
    with pytest.raises(ValueError, match=message):
        read_jsonl(path, fields=["text"])
