"""The split into training and validation text, and that nothing leaks through it."""

import random
import textwrap
import tracemalloc
from collections.abc import Iterator

import pytest

from minigpt.text.documents import Document, divide, name_hash, split_documents


def test_leaks_are_found_through_other_line_breaks_and_inside_longer_paragraphs() -> None:
    secret = "The quick brown fox jumps over the lazy dog while the patient cat looks on from afar."
    assert name_hash("collections") < 0.05 < name_hash("json")
    documents = [
        Document("collections", f"Nothing to see here.\n\n{secret}"),
        Document("json", f"Kept.\n\n{textwrap.fill(secret, 30)}\n\nAlso kept."),
        Document("ast", f"Before it: {secret} After it.\n\nNothing to see here."),
        Document("os", f"{secret[:59]} a different ending."),
        Document("re", secret),
    ]
    train, validation = split_documents(documents)
    assert validation == documents[:1]
    assert train == [
        Document("ast", "Nothing to see here."),
        Document("json", "Kept.\n\nAlso kept."),
        documents[3],
    ]


def test_a_document_stays_on_its_side_whatever_else_there_is() -> None:
    documents = [Document(f"module_{i}", f"text {i}") for i in range(4000)]
    train, validation = split_documents(documents)
    assert abs(len(validation) - 200) < 4 * (4000 * 0.05 * 0.95) ** 0.5  # binomial, 4 sigma
    some = random.Random(0).sample(documents, 1000)
    fewer_train, fewer_validation = split_documents(some)
    assert set(fewer_train) <= set(train)
    assert set(fewer_validation) <= set(validation)
    larger = split_documents(documents, 0.2)[1]
    assert set(validation) < set(larger)


def test_no_side_of_a_split_is_empty() -> None:
    for fraction in (1e-9, 1 - 1e-9):
        train, validation = split_documents([Document("a", "x"), Document("b", "y")], fraction)
        assert len(train) == len(validation) == 1
    for documents in ([], [Document("a", "x")]):
        with pytest.raises(ValueError, match="cannot be split"):
            split_documents(documents)
    with pytest.raises(ValueError, match="between 0 and 1, got 1"):
        split_documents([Document("a", "x"), Document("b", "y")], 1)


def test_text_that_only_repeats_itself_is_said_to_and_blank_documents_do_not_count() -> None:
    once = "A sentence of more than sixty characters, which stands in every one of the documents."
    with pytest.raises(ValueError, match="the text repeats itself: every paragraph"):
        split_documents([Document(f"d{i}", f"{once}\n\n{once}") for i in range(99)])
    blank = [Document(f"b{i}", " \n") for i in range(99)]
    assert split_documents([Document("x", once), *blank, Document("y", "Other.")]) == (
        [Document("x", once)],
        [Document("y", "Other.")],
    )
    with pytest.raises(ValueError, match="a corpus of 1 documents cannot be split"):
        split_documents([Document("x\udcff", once), *blank])


def test_paragraphs_that_begin_alike_are_told_apart_however_long_they_are() -> None:
    assert name_hash("collections") < 0.05 < name_hash("json")
    same = "the cat sat on the mat and looked at the dog " * 2000  # 90,000 characters
    kept = [f"{same}it slept.", same[: len(same) // 2], f"{same[:900]}it woke."]
    held = [f"{same}it ran.", f"{same[:900]}it ate."]
    train, validation = split_documents(
        [
            Document("collections", "\n\n".join(held)),
            Document("json", "\n\n".join([kept[0], f"x {held[0]} y", *kept[1:], f"{held[1]} z"])),
        ]
    )
    assert [document.name for document in validation] == ["collections"]
    assert train == [Document("json", "\n\n".join(kept))]


def test_a_name_that_is_not_valid_unicode_has_a_side() -> None:
    assert 0 <= name_hash("caf\udce9.txt:1") < 1  # as Python names a file in Latin-1


def test_a_corpus_that_does_not_fit_into_memory_is_divided_as_one_that_does() -> None:
    def read() -> Iterator[Document]:
        for i in range(2000):
            numbers = random.Random(i).choices(range(1000), k=300)
            text = " word ".join(map(str, numbers))
            yield Document(f"d{i}", f"{text[:1200]}\n\n{text[1200:]}" if i % 7 else " \n")
            if name_hash(f"d{i}") < 0.05:
                yield Document(f"copy of d{i}", f"Kept.\n\n{text[:1200]}")

    lists = split_documents(read())
    part, validation = divide(read)
    assert (sorted(part), validation) == lists
    n_characters = sum(len(document.text) for document in lists[0])
    assert (part.n_documents, part.n_characters) == (len(lists[0]), n_characters)
    assert sum(document.text == "Kept." for document in lists[0]) > 50
    assert sorted(part) == lists[0]  # once more
    tracemalloc.start()
    try:
        part, _ = divide(read)
        assert sum(len(document.text) for document in part) == n_characters
        assert tracemalloc.get_traced_memory()[1] < 0.4 * n_characters
    finally:
        tracemalloc.stop()
