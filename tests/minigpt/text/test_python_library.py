"""The offline corpus, its split, and reading files and task sets."""

import heapq
import inspect
import json
import random
import re
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

from minigpt.text import python_library as corpus
from minigpt.text.python_library import Document


@pytest.fixture(scope="module")
def library() -> list[Document]:
    return corpus.python_library()


def one_line(text: str) -> str:
    return " ".join(text.split())


def blocks(text: str) -> list[str]:
    """Paragraphs, found in another way than the library does: line by line."""
    found, lines = [], []
    for line in [*text.split("\n"), ""]:
        if line.strip():
            lines.append(line)
        elif lines:
            found.append(one_line(" ".join(lines)))
            lines = []
    return found


def test_library_has_two_megabytes_of_english(library: list[Document]) -> None:
    text = "\n\n".join(document.text for document in library)
    assert 1.8e6 < len(text.encode()) < 3e6
    words = re.findall(r"[a-z]+", text.lower())
    common = sum(word in {"the", "a", "of", "to", "is", "in", "and", "be", "if"} for word in words)
    assert 0.18 < common / len(words) < 0.35  # English prose has about a quarter; code has none
    assert not re.search(r"[^\S\n ]|[\x00-\x09\x0b-\x1f]", text)
    names = [document.name for document in library]
    assert names == sorted(set(names))


def test_library_is_the_same_every_time(library: list[Document]) -> None:
    assert corpus.python_library() == library


def test_library_contains_what_help_shows(library: list[Document]) -> None:
    by_name = {document.name: one_line(document.text) for document in library}
    assert one_line(inspect.getdoc(textwrap.dedent) or "?") in by_name["textwrap"]
    assert one_line(inspect.getdoc(heapq.merge) or "?").split(" >>>")[0] in by_name["heapq"]
    assert one_line(inspect.getdoc(str.partition) or "?").split(" If ")[0] in by_name["builtins"]
    assert "expression is evaluated" in by_name["topic:compound"]


def test_no_long_paragraph_occurs_twice(library: list[Document]) -> None:
    seen: set[str] = set()
    for document in library:
        for paragraph in blocks(document.text):
            assert len(paragraph) < 30 or paragraph not in seen, (document.name, paragraph)
            seen.add(paragraph)


def test_reading_the_library_imports_no_module_that_has_a_source_file() -> None:
    code = (
        "import sys; from minigpt.text import python_library as corpus;"
        "before = set(sys.modules); corpus.python_library();"
        "new = [sys.modules[name] for name in set(sys.modules) - before];"
        "print([m.__name__ for m in new if str(getattr(m, '__file__', '')).endswith('.py')])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(re.findall(r"'([\w.]+)'", shown.stdout))
    # compiled modules pull in the Python part of their own package, never an unrelated one
    assert imported.isdisjoint({"antigravity", "this", "turtle", "tkinter", "idlelib", "pdb"})
    assert "antigravity" in sys.stdlib_module_names
    assert "pydoc_data.topics" in imported


def test_source_docstrings_are_in_order_and_without_tests_and_packages(tmp_path: Path) -> None:
    source = '''"""Module."""
def f():
    """First."""
    try:
        import fast
    except ImportError:
        def g():
            "Inner."
class C:
    """Second."""
    async def h(self):
        """Third."""
    x = "not a docstring"
'''
    for place in ("pkg/__init__.py", "pkg/test/x.py", "site-packages/y.py", "tests/z.py"):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    (tmp_path / "broken.py").write_text("def (:")
    (tmp_path / "zero.py").write_bytes(b'"""x"""\0')
    assert list(corpus.source_docstrings(tmp_path)) == [
        ("pkg", ["Module.", "First.", "Inner.", "Second.", "Third."])
    ]


def test_python_without_source_files_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(FileNotFoundError, match="keeps no library source"):
        corpus.python_library()


def test_cleaning_keeps_prose_and_its_examples() -> None:
    text = (
        "Return the sum.\r\n\r\n    Title\r\n    =====\r\n\r\n    An example of a sum follows:\r\n"
        "\r\n    >>> total(first, second)\r\n\r\n    +-----+-----+\r\n    | 1 2 | 3 4 |\r\n"
        "    +-----+-----+\r\n\r\n    “Quoted” \x0c text\u2026\r\n"
    )
    assert corpus.clean(text) == (
        "Return the sum.\n\nTitle\n\nAn example of a sum follows:\n\n>>> total(first, second)\n\n"
        '"Quoted"  text.'
    )


@pytest.mark.parametrize(
    "junk",
    [
        ">>> from module import name\n>>> print(name)\nname",
        "|-----|-----|\n|  12 |  34 |",
        "日本語の文字だけ",
        "",
        "[^\\s]+@(?:[a-z0-9](?:-*[a-z0-9])*\\.)+",
    ],
)
def test_cleaning_drops_what_is_not_prose(junk: str) -> None:
    assert corpus.clean(junk) == ""


def test_no_validation_paragraph_is_in_the_training_text(library: list[Document]) -> None:
    train, validation = corpus.split_documents(library)
    training_text = one_line("\n\n".join(document.text for document in train))
    held_out = [p for document in validation for p in blocks(document.text) if len(p) >= 60]
    assert len(held_out) > 300
    assert [p for p in held_out if p in training_text] == []
    assert {d.name for d in train}.isdisjoint(d.name for d in validation)
    sizes = [sum(len(d.text.encode()) for d in part) for part in (train, validation)]
    assert sizes[1] > 90_000
    assert sum(sizes) > 0.999 * sum(len(d.text.encode()) for d in library)


def test_leaks_are_found_through_other_line_breaks_and_inside_longer_paragraphs() -> None:
    secret = "The quick brown fox jumps over the lazy dog while the patient cat looks on from afar."
    assert corpus.name_hash("collections") < 0.05 < corpus.name_hash("json")
    documents = [
        Document("collections", f"Nothing to see here.\n\n{secret}"),
        Document("json", f"Kept.\n\n{textwrap.fill(secret, 30)}\n\nAlso kept."),
        Document("ast", f"Before it: {secret} After it.\n\nNothing to see here."),
        Document("os", f"{secret[:59]} a different ending."),
        Document("re", secret),
    ]
    train, validation = corpus.split_documents(documents)
    assert validation == documents[:1]
    assert train == [
        Document("ast", "Nothing to see here."),
        Document("json", "Kept.\n\nAlso kept."),
        documents[3],
    ]


def test_a_document_stays_on_its_side_whatever_else_there_is() -> None:
    documents = [Document(f"module_{i}", f"text {i}") for i in range(4000)]
    train, validation = corpus.split_documents(documents)
    assert abs(len(validation) - 200) < 4 * (4000 * 0.05 * 0.95) ** 0.5  # binomial, 4 sigma
    some = random.Random(0).sample(documents, 1000)
    fewer_train, fewer_validation = corpus.split_documents(some)
    assert set(fewer_train) <= set(train)
    assert set(fewer_validation) <= set(validation)
    larger = corpus.split_documents(documents, 0.2)[1]
    assert set(validation) < set(larger)


def test_no_side_of_a_split_is_empty() -> None:
    for fraction in (1e-9, 1 - 1e-9):
        train, validation = corpus.split_documents(
            [Document("a", "x"), Document("b", "y")], fraction
        )
        assert len(train) == len(validation) == 1
    for documents in ([], [Document("a", "x")]):
        with pytest.raises(ValueError, match="cannot be split"):
            corpus.split_documents(documents)
    with pytest.raises(ValueError, match="between 0 and 1, got 1"):
        corpus.split_documents([Document("a", "x"), Document("b", "y")], 1)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_text_file_becomes_documents_without_losing_a_line(tmp_path: Path, line_end: str) -> None:
    words = ["To be,", "or not to be:", "é", "", "that is\u2028the question"]
    lines = [f"{random.choice(words)}" for _ in range(3000)]
    lines[0] = lines[-1] = "end"
    path = tmp_path / "play.txt"
    path.write_bytes(b"\xef\xbb\xbf" + line_end.join(lines).encode())
    documents = corpus.read_text(path)
    assert [document.name for document in documents[:2]] == ["play.txt:1", "play.txt:2"]
    assert [x for d in documents for x in d.text.split("\n") if x] == [x for x in lines if x]
    assert all(3900 < len(document.text) < 4200 for document in documents[:-1])


def test_text_file_without_blank_lines_is_still_cut(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("a line of text\n" * 2000)
    assert all(len(document.text) < 8100 for document in corpus.read_text(path))


def test_tiny_shakespeare_is_read_whole(shared_data: Path) -> None:
    path = shared_data / "tinyshakespeare" / "input.txt"
    documents = corpus.read_text(path)
    joined = "\n".join(document.text for document in documents)
    assert joined.split() == path.read_text(encoding="utf-8").split()
    train, validation = corpus.split_documents(documents)
    assert 0.02 < len(validation) / len(documents) < 0.08
    assert sum(len(d.text) for d in train + validation) > 0.99 * len(joined)


@pytest.mark.parametrize("read", [corpus.read_text, corpus.read_jsonl])
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
    assert corpus.read_jsonl(path) == records


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
        corpus.read_jsonl(path, fields=["text"])


@pytest.fixture
def small_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict]]:
    """Three tiny task sets; in validation and test, every text says so."""
    sets = {
        "translation": [{"en": f"I have {i} cats.", "fr": f"J'ai {i} chats."} for i in range(200)],
        "dialogues": [
            {
                "fname": f"train_{i}",
                "dialogue": f"#Person1#: Is it {i}?\n#Person2#: Yes, {i}.",
                "summary": f"#Person1# asks #Person2# about {i}.",
                "topic": "numbers",
            }
            for i in range(100)
        ],
        "reviews": [{"text": f"A {i}-star film.", "label": "positive"} for i in range(50)],
    }
    sets["translation"].append({"en": "I have 7 cats.", "fr": "J'ai 7 chats."})
    for task, examples in sets.items():
        (tmp_path / task).mkdir()
        for split in ("train", "validation", "test"):
            marked = [
                {k: v if split == "train" else f"{v} ({split})" for k, v in example.items()}
                for example in examples
            ]
            lines = [json.dumps(example, ensure_ascii=False) for example in marked]
            (tmp_path / task / f"{split}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    monkeypatch.setattr(corpus, "data_folder", lambda: tmp_path)
    return sets


def test_task_sets_are_read_by_split(small_tasks: dict[str, list[dict]]) -> None:
    for task, examples in small_tasks.items():
        assert corpus.task_set(task, "train") == examples
        assert "(test)" in corpus.task_set(task, "test")[0][corpus.TASK_FIELDS[task][0]]
        assert not any("(" in text for text in corpus.task_texts(task, "train"))
        assert all("(validation)" in text for text in corpus.task_texts(task, "validation"))


def test_translation_texts_are_short_pages_in_two_languages(
    small_tasks: dict[str, list[dict]],
) -> None:
    texts = corpus.task_texts("translation", "train")
    pairs, sizes = [], []
    for text in texts:
        english, french = text.split("\n\n")
        sides = re.findall(r"[^.]+\.", english), re.findall(r"[^.]+\.", french)
        sizes.append(len(sides[0]))
        pairs += [(en.strip(), fr.strip()) for en, fr in zip(*sides, strict=True)]
    assert set(sizes) == {1, 2, 3}
    given = [(pair["en"], pair["fr"]) for pair in small_tasks["translation"]]
    assert sorted(pairs) == sorted(set(given))  # each pair once
    assert pairs != list(dict.fromkeys(given))  # in another order
    assert texts == corpus.task_texts("translation", "train")


def test_dialogue_and_review_texts_have_no_task_format(small_tasks: dict[str, list[dict]]) -> None:
    dialogues = small_tasks["dialogues"]
    texts = corpus.task_texts("dialogues", "train")
    assert texts[:100] == [example["dialogue"] for example in dialogues]
    assert not any("asks" in text for text in texts[:100])
    assert all(sum(e["summary"] in text for text in texts[100:]) == 1 for e in dialogues)
    assert corpus.task_texts("reviews", "train") == [e["text"] for e in small_tasks["reviews"]]


def test_unknown_task_or_split_names_the_allowed_ones(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(ValueError, match='"poems": the task sets are translation, dialogues, rev'):
        corpus.task_set("poems", "train")
    with pytest.raises(ValueError, match='"dev": the splits are train, validation, test'):
        corpus.task_texts("reviews", "dev")
    monkeypatch.setattr(corpus, "data_folder", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"python data/make.py"):
        corpus.task_set("reviews", "test")


def test_data_folder_of_a_wheel_goes_before_that_of_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "minigpt"
    package.mkdir()
    monkeypatch.setattr(corpus, "__file__", str(package / "text" / "python_library.py"))
    with pytest.raises(FileNotFoundError, match=r"neither .*_data nor .*data exists"):
        corpus.data_folder()
    (tmp_path / "data").mkdir()
    assert corpus.data_folder() == tmp_path / "data"
    (package / "_data").mkdir()
    assert corpus.data_folder() == package / "_data"
