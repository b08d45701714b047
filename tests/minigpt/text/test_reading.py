"""Files of text, whole and damaged."""

import random
from pathlib import Path

import pytest

from minigpt.text.documents import split_documents
from minigpt.text.reading import read_text


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_text_file_becomes_documents_without_losing_a_line(tmp_path: Path, line_end: str) -> None:
    words = ["To be,", "or not to be:", "é", "", "that is\u2028the \r\x0c question"]
    lines = [f"{random.choice(words)}" for _ in range(3000)]
    lines[0] = lines[-1] = "end"
    path = tmp_path / "play.txt"
    path.write_bytes(b"\xef\xbb\xbf" + line_end.join(lines).encode())
    documents = list(read_text(path))
    assert [document.name for document in documents[:2]] == ["play.txt:1", "play.txt:2"]
    assert [x for d in documents for x in d.text.split("\n") if x] == [x for x in lines if x]
    assert all(3900 < len(document.text) < 4200 for document in documents[:-1])


def test_text_file_without_blank_lines_is_still_cut(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("a line of text\n" * 2000)
    assert all(len(document.text) < 8100 for document in read_text(path))


def test_tiny_shakespeare_is_read_whole(shared_data: Path) -> None:
    path = shared_data / "tinyshakespeare" / "input.txt"
    documents = list(read_text(path))
    joined = "\n".join(document.text for document in documents)
    assert joined.split() == path.read_text(encoding="utf-8").split()
    train, validation = split_documents(documents)
    assert 0.02 < len(validation) / len(documents) < 0.08
    assert sum(len(d.text) for d in train + validation) > 0.99 * len(joined)


def test_unreadable_files_are_one_sentence_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    with pytest.raises(FileNotFoundError, match=r"there is no file .*text.txt"):
        list(read_text(path))
    with pytest.raises(OSError, match="is a folder, and not a file"):
        list(read_text(tmp_path))
    path.write_text(" \n\n")
    with pytest.raises(ValueError, match=r"text.txt is empty"):
        list(read_text(path))
    path.write_bytes("un\ndéjà".encode("latin-1"))
    with pytest.raises(ValueError, match=r"text.txt, line 2: byte 0xe9 is not UTF-8"):
        list(read_text(path))


STORIES = [
    "Once upon a time.\n\nThe end.",
    "x " * 3000 + "\n\n" + "y " * 3000,
    "<|endoftext|> is a token.",
]


@pytest.mark.parametrize("end", ["\n<|endoftext|>\n", "\r\n <|endoftext|>\t\r\n\n"])
def test_lines_with_nothing_but_the_separator_part_documents(tmp_path: Path, end: str) -> None:
    path = tmp_path / "stories.txt"
    path.write_bytes((end.join(STORIES) + end + end).encode())
    assert [document.text for document in read_text(path)] == [s.strip("\n") for s in STORIES]
    assert [document.name for document in read_text(path)] == [
        f"stories.txt:{i}" for i in (1, 2, 3)
    ]
    whole = "\n".join(document.text for document in read_text(path, separator=""))
    assert whole.count("<|endoftext|>") == 5
    path.write_text("\n***\n".join(STORIES))
    assert [document.text for document in read_text(path, "***")] == STORIES


def test_a_separator_may_be_a_form_feed_or_be_given_with_blanks_but_not_be_blank(
    tmp_path: Path,
) -> None:
    path = tmp_path / "pages.txt"
    path.write_bytes(b"one\n\x0c\ntwo\r\n --- \r\nthree\n")
    assert [d.text for d in read_text(path, "\x0c")] == ["one", "two\n --- \nthree"]
    assert [d.text for d in read_text(path, " ---\n")] == ["one\n\x0c\ntwo", "three"]
    for nothing in (" ", "\n\n", "a\nb"):
        with pytest.raises(ValueError, match="a separator must be text on one line"):
            list(read_text(path, nothing))


def test_one_separator_at_the_end_leaves_a_text_to_be_cut(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text("A line of a book.\n\n" * 1000 + "<|endoftext|>\n")
    assert len(list(read_text(path))) == 5


def test_a_text_of_one_line_is_cut_after_spaces_and_loses_nothing(tmp_path: Path) -> None:
    text = "word " * 9000 + "z" * 20_000
    path = tmp_path / "text8"
    path.write_text(text)
    documents = list(read_text(path))
    assert "".join(document.text for document in documents) == text
    assert all(len(document.text) <= 8000 for document in documents)
    assert documents[0].text.endswith(" ")
