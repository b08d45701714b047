"""The English of the standard library: what is collected and what is cleaned away."""

import heapq
import inspect
import re
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path
from zlib import crc32

import pytest

from minigpt.text.documents import Document, split_documents
from minigpt.text.python_library import clean, python_library, source_docstrings, source_files
from tests.minigpt.tiny.paragraphs import blocks, one_line


@pytest.fixture(scope="module")
def library() -> list[Document]:
    """Returns the documents of this Python's library, which take 2 s to read: once a test run."""
    return python_library()


def test_library_has_two_megabytes_of_english(library: list[Document]) -> None:
    text = "\n\n".join(document.text for document in library)
    assert 1.8e6 < len(text.encode()) < 3e6
    words = re.findall(r"[a-z]+", text.lower())
    common = sum(word in {"the", "a", "of", "to", "is", "in", "and", "be", "if"} for word in words)
    assert 0.18 < common / len(words) < 0.35  # English prose has about a quarter; code has none
    assert not re.search(r"[^\S\n ]|[\x00-\x09\x0b-\x1f]", text)
    names = [document.name for document in library]
    assert names == sorted(set(names))


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


def test_another_process_reads_the_same_and_imports_no_module_that_has_a_source_file(
    library: list[Document],
) -> None:
    code = (
        "import sys; from minigpt.text.python_library import python_library;"
        "before = set(sys.modules); library = python_library();"
        "new = [sys.modules[name] for name in set(sys.modules) - before];"
        "print([m.__name__ for m in new if str(getattr(m, '__file__', '')).endswith('.py')]);"
        "from zlib import crc32; print(crc32(repr(library).encode()))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert str(crc32(repr(library).encode())) in shown.stdout
    imported = set(re.findall(r"'([\w.]+)'", shown.stdout))
    # compiled modules pull in the Python part of their own package, never an unrelated one
    assert imported.isdisjoint({"antigravity", "this", "turtle", "tkinter", "idlelib", "pdb"})
    assert "antigravity" in sys.stdlib_module_names
    assert "pydoc_data.topics" in imported


def test_no_validation_paragraph_is_in_the_training_text(library: list[Document]) -> None:
    train, validation = split_documents(library)
    training_text = one_line("\n\n".join(document.text for document in train))
    held_out = [p for document in validation for p in blocks(document.text) if len(p) >= 60]
    assert len(held_out) > 300
    assert [p for p in held_out if p in training_text] == []
    assert {d.name for d in train}.isdisjoint(d.name for d in validation)
    sizes = [sum(len(d.text.encode()) for d in part) for part in (train, validation)]
    assert sizes[1] > 90_000
    assert sum(sizes) > 0.999 * sum(len(d.text.encode()) for d in library)


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
    found = {name: source_docstrings(path) for name, path in source_files(tmp_path).items()}
    expected = ["Module.", "First.", "Inner.", "Second.", "Third."]
    assert found == {"pkg": expected, "broken": [], "zero": []}


def test_the_first_documents_are_those_of_the_whole(library: list[Document]) -> None:
    for n in (0, 1, 40):
        assert python_library(n) == library[:n]


def test_python_without_source_files_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(FileNotFoundError, match="keeps no library source"):
        python_library()


def test_cleaning_keeps_prose_and_its_examples() -> None:
    text = (
        "Return the sum.\r\n\r\n    Title\r\n    =====\r\n\r\n    An example of a sum follows:\r\n"
        "\r\n    >>> total(first, second)\r\n\r\n    +-----+-----+\r\n    | 1 2 | 3 4 |\r\n"
        "    +-----+-----+\r\n\r\n    “Quoted” \x0c text\u2026\r\n"
    )
    assert clean(text) == (
        "Return the sum.\n\nTitle\n\nAn example of a sum follows:\n\n>>> total(first, second)\n\n"
        '"Quoted"  text.'
    )


def test_lines_that_nearly_draw_are_kept_and_cost_no_more_than_others() -> None:
    nearly = ["+" * 60 + "x", "-+|" * 20 + "=", "| + | + " * 8 + "- ="]
    words = "Some words, so that this is prose and not a drawing. " * 10
    text = "\n".join([words.strip(), *nearly, "The end."])
    drawn = "\n+--+  --|\n   ~~~~\n| + |\n"
    assert clean(f"{drawn}{text}{drawn}") == text


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
    assert clean(junk) == ""
