"""Where text comes from: this machine's own Python library, files, and the task sets in `data/`.

A language model needs megabytes of text that people wrote. Every Python installation carries some:
the docstrings of its standard library and the chapters of the language reference behind `help()`.
Together about 2 MB of technical English, readable without a network. `python_library` collects
them, `split_documents` divides them so that nothing in the validation part was trained on:

    train, validation = split_documents(python_library())

A text is a `Document(name, text)` everywhere: the name decides on which side of the split it falls.
"""

import ast
import hashlib
import importlib
import json
import os
import random
import re
import sysconfig
import types
import unicodedata
from collections.abc import Iterable, Iterator
from inspect import cleandoc
from pathlib import Path
from typing import NamedTuple

TASK_FIELDS = {
    "translation": ("en", "fr"),
    "dialogues": ("dialogue", "summary"),
    "reviews": ("text", "label"),
}
SPLITS = ("train", "validation", "test")


class Document(NamedTuple):
    """One text and the name it is known by (a module, a help topic, a file)."""

    name: str
    text: str


# The library's source files that are left out: other people's packages and tests.
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idle_test", "turtledemo"}
LEFT_OUT |= {"ensurepip", "pydoc_data", "__pycache__"}

# Modules written in C have no source file to read; their docstrings are asked for after an import.
COMPILED_MODULES = (
    "_abc _asyncio _bisect _bz2 _codecs _collections _csv _ctypes _curses _datetime _elementtree "
    "_functools _hashlib _heapq _io _json _lzma _operator _pickle _queue _random _socket _sqlite3 "
    "_sre _ssl _string _struct _symtable _thread _tracemalloc _weakref array atexit binascii "
    "builtins cmath errno faulthandler fcntl gc grp itertools marshal math mmap nt posix pwd "
    "pyexpat resource select sys syslog termios time unicodedata winreg zlib"
)

MIN_DOCUMENT = 200  # characters: shorter ones ("Codec cp037, generated from ...") teach nothing
MIN_REPEAT = 30  # characters: shorter paragraphs ("For example:") may occur again and again
MIN_LEAK = 60  # characters: a validation paragraph this long must not be in the training text


def python_library() -> list[Document]:
    """The English in this Python's standard library, cleaned, each paragraph once.

    One document for each module (its docstrings in source order) and one for each help topic
    (`pydoc_data.topics`, parts of the language reference), sorted by name. Nothing that has a
    source file is imported: docstrings are found with `ast`. Takes about 2 s and gives about 2 MB;
    the exact text differs between Python versions.

    Raises:
        FileNotFoundError: this Python has no source files (an embedded or frozen distribution).
    """
    docstrings = dict(source_docstrings(Path(sysconfig.get_path("stdlib"))))
    if not docstrings:
        raise FileNotFoundError(
            f"this Python keeps no library source in {sysconfig.get_path('stdlib')}, so its "
            "docstrings cannot be read; use a full Python installation, or a text file of your own"
        )
    for name in COMPILED_MODULES.split():
        docstrings.setdefault(name, compiled_docstrings(name))
    docstrings |= {f"topic:{name}": [text] for name, text in help_topics().items()}

    documents = []
    seen: set[str] = set()
    for name in sorted(docstrings):
        cleaned = (clean(text) for text in docstrings[name])
        text = "\n\n".join(filter(None, (drop_repeats(text, seen) for text in cleaned)))
        if len(text) >= MIN_DOCUMENT:
            documents.append(Document(name, text))
    return documents


def source_docstrings(library: Path) -> Iterator[tuple[str, list[str]]]:
    """Yields (module name, its docstrings in source order) for each source file under `library`."""
    for folder, subfolders, files in os.walk(library):
        subfolders[:] = set(subfolders) - LEFT_OUT  # os.walk does not enter what is removed here
        for path in (Path(folder, file) for file in files if file.endswith(".py")):
            try:
                tree = ast.parse(path.read_bytes())
            except (SyntaxError, ValueError):
                continue
            parts = path.relative_to(library).with_suffix("").parts
            yield ".".join(parts).removesuffix(".__init__"), list(docstrings_of(tree))


def docstrings_of(node: ast.AST) -> Iterator[str]:
    """The docstrings of a module, class or function, then of whatever is defined inside it."""
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        docstring = ast.get_docstring(node, clean=False)
        if docstring:
            yield docstring
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.stmt, ast.excepthandler)):  # expressions define nothing
            yield from docstrings_of(child)


def compiled_docstrings(module_name: str) -> list[str]:
    """The docstrings of a module written in C, or [] where this Python is built without it."""
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        return []
    found = [module.__doc__]
    described = (types.BuiltinFunctionType, types.MethodDescriptorType, types.GetSetDescriptorType)
    for _, thing in sorted(vars(module).items()):
        if isinstance(thing, type) and thing.__module__ in (module_name, module_name.lstrip("_")):
            found.append(thing.__doc__)
            members = [member for _, member in sorted(vars(thing).items())]
            found += [member.__doc__ for member in members if isinstance(member, described)]
        elif isinstance(thing, described):
            found.append(thing.__doc__)
    return [docstring for docstring in found if isinstance(docstring, str)]


def help_topics() -> dict[str, str]:
    """The chapters that `help("NAME")` shows, {} where a distribution ships Python without them."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        return {}
    return dict(topics)


TYPOGRAPHIC = str.maketrans("“”„‘’‚–—…\u00a0", "\"\"\"'''--. ")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\ufeff\ufffd]")
LETTERS = re.compile(r"[A-Za-z]+")
DOCTEST = re.compile(r"\s*(>>>|\.\.\. )")
RULE = re.compile(r"[\s+|]*([-=*~^_+|#.])(\1|[\s+|])*")  # a line that only underlines or frames


def clean(text: str) -> str:
    """Text as prose: even indentation and line ends, and without what is not English.

    Removed: control characters, lines that only draw a rule, paragraphs less than 60% of which are
    letters and spaces (tables, diagrams, regular expressions). "" if nothing but examples is left.
    """
    text = cleandoc(text.replace("\r\n", "\n").replace("\r", "\n"))
    text = unicodedata.normalize("NFC", text).translate(TYPOGRAPHIC)
    text = CONTROL.sub("", text)
    lines = ["" if not line.strip() else line.rstrip() for line in text.split("\n")]
    text = "\n".join(line for line in lines if not line or not RULE.fullmatch(line))
    kept = [paragraph for paragraph in paragraphs(text) if mostly_letters(paragraph)]
    if all(DOCTEST.match(paragraph) for paragraph in kept):
        return ""
    return "\n\n".join(kept)


def paragraphs(text: str) -> list[str]:
    """Splits text at its blank lines."""
    return [part for part in re.split(r"\n\s*\n|\n+\Z", text) if part.strip()]


def mostly_letters(paragraph: str) -> bool:
    """Whether at least 60% of the visible characters are ASCII letters, as in English."""
    visible = sum(map(len, paragraph.split()))
    return sum(map(len, LETTERS.findall(paragraph))) >= 0.6 * visible


def squeezed(paragraph: str) -> str:
    """One space for every run of white space: how paragraphs are compared."""
    return " ".join(paragraph.split())


def drop_repeats(text: str, seen: set[str]) -> str:
    """Text without the paragraphs that are in `seen`; adds its own to `seen`.

    Short paragraphs stay, unless they are all the text there is: "For example:" has its place in
    many docstrings, but a docstring "Internal function." says nothing the second time.
    """
    kept = []
    parts = paragraphs(text)
    for paragraph in parts:
        key = squeezed(paragraph)
        if key in seen and (len(key) >= MIN_REPEAT or len(parts) == 1):
            continue
        seen.add(key)
        kept.append(paragraph)
    return "\n\n".join(kept)


def split_documents(
    documents: Iterable[Document], validation_fraction: float = 0.05
) -> tuple[list[Document], list[Document]]:
    """(training, validation) documents; no validation paragraph occurs in the training text.

    A document's side depends on its name alone (a hash of it), so that it stays there when other
    documents come or go, in every Python version: a model trained by one version can be measured by
    another. Only where that would leave a side empty does one document move over. Where a
    validation paragraph of 60 characters or more occurs in a training document, the paragraph is
    removed from the training document, however its lines are wrapped.

    Raises:
        ValueError: validation_fraction is not between 0 and 1, or fewer than two documents.
    """
    if not 0 < validation_fraction < 1:
        raise ValueError(f"validation_fraction must be between 0 and 1, got {validation_fraction}")
    ranked = sorted(documents, key=lambda document: name_hash(document.name))
    if len(ranked) < 2:
        raise ValueError(
            f"a corpus of {len(ranked)} documents cannot be split into training and validation "
            "text: give at least two documents, or a longer text file with blank lines in it"
        )
    n_validation = sum(name_hash(document.name) < validation_fraction for document in ranked)
    n_validation = min(max(n_validation, 1), len(ranked) - 1)
    validation, train = sorted(ranked[:n_validation]), sorted(ranked[n_validation:])

    # Comparing whole paragraphs would miss one that is quoted inside a longer one. So look for the
    # first 60 characters of every validation paragraph wherever a word begins in a training one.
    openings: dict[str, list[str]] = {}
    for document in validation:
        for paragraph in map(squeezed, paragraphs(document.text)):
            if len(paragraph) >= MIN_LEAK:
                openings.setdefault(paragraph[:MIN_LEAK], []).append(paragraph)

    def leaks(paragraph: str) -> bool:
        text = squeezed(paragraph)
        starts = [0] + [space.end() for space in re.finditer(" ", text)]
        windows = (text[start : start + MIN_LEAK] for start in starts)
        return any(held in text for w in windows if w in openings for held in openings[w])

    kept = []
    for name, text in train:
        clean_text = "\n\n".join(part for part in paragraphs(text) if not leaks(part))
        if clean_text:
            kept.append(Document(name, clean_text))
    return kept, validation


def name_hash(name: str) -> float:
    """A number in [0, 1) that looks random but is always the same for the same name."""
    digest = hashlib.md5(name.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def read_text(path: str | Path) -> list[Document]:
    """A UTF-8 text file as documents of about 4,000 characters, named `FILE:1`, `FILE:2`, ...

    The cuts fall on blank lines (in a text without any, on line ends), so that `split_documents`
    has something to divide.

    Raises:
        FileNotFoundError, ValueError: no such file; it is empty; it is not UTF-8.
    """
    path = Path(path)
    pieces: list[str] = []
    lines: list[str] = []
    size = 0
    for line in read_lines(path):
        lines.append(line)
        size += len(line) + 1
        if size > 8000 or (size > 4000 and not line.strip()):
            pieces.append("\n".join(lines).strip("\n"))
            lines, size = [], 0
    pieces.append("\n".join(lines).strip("\n"))
    texts = [text for text in pieces if text.strip()]
    return [Document(f"{path.name}:{i}", text) for i, text in enumerate(texts, start=1)]


def read_jsonl(path: str | Path, fields: Iterable[str] = ()) -> list[dict]:
    """The records of a JSON Lines file: one JSON object a line; blank lines are skipped.

    `fields` must be present in every record, with text in them.

    Raises:
        FileNotFoundError, ValueError: as `read_text`; and which line is no object or lacks a field.
    """
    records = []
    for number, line in enumerate(read_lines(Path(path)), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: not valid JSON ({error})") from None
        if not isinstance(record, dict):
            raise ValueError(
                f"{path}, line {number}: every line must be a JSON object such as "
                f'{{"text": "..."}}, got {line.strip()[:40]}'
            )
        for field in fields:
            if not isinstance(record.get(field), str):
                raise ValueError(
                    f'{path}, line {number}: no text in the field "{field}"; '
                    f"the fields there are {', '.join(record) or 'none'}"
                )
        records.append(record)
    return records


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file, whichever line ends it has, without them."""
    if not path.is_file():
        kind = "a folder, not a file" if path.is_dir() else "no such file"
        raise FileNotFoundError(f"cannot read {path}: {kind}")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")  # without the byte-order mark some editors write first
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8 text; "
            "save the file with the encoding UTF-8"
        ) from None
    if not text.strip():
        raise ValueError(f"{path} is empty: there is no text to read in it")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def data_folder() -> Path:
    """The folder of the task sets and the base model: in a checkout `data`, else in the package."""
    package = Path(__file__).parents[1]
    for folder in (package / "_data", package.parent / "data"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"neither {package / '_data'} nor {package.parent / 'data'} exists")


def task_set(task: str, split: str) -> list[dict]:
    """The examples of one split of a task set: translation {en, fr}, reviews {text, label}, and
    dialogues {fname, dialogue, summary, topic} (the fields of DialogSum).

    Raises:
        ValueError: unknown task or split. FileNotFoundError: the file has not been made yet.
    """
    if task not in TASK_FIELDS:
        raise ValueError(f'unknown task "{task}": the task sets are {", ".join(TASK_FIELDS)}')
    if split not in SPLITS:
        raise ValueError(f'unknown split "{split}": the splits are {", ".join(SPLITS)}')
    path = data_folder() / task / f"{split}.jsonl"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: `python data/make.py` writes it")
    return read_jsonl(path, TASK_FIELDS[task])


def task_texts(task: str, split: str) -> list[str]:
    """The split as plain text for pretraining, in which no task is ever asked for.

    Translations are found in it as in the text that large models are made from: as pages in two
    languages (`bilingual_pages`). Summaries are shuffled by themselves and come a dozen to a text,
    so that none stands next to its dialogue.
    """
    examples = task_set(task, split)
    if task == "reviews":
        return [example["text"] for example in examples]
    if task == "dialogues":
        summaries = dozens([example["summary"] for example in examples], seed=0)
        return [example["dialogue"] for example in examples] + summaries
    return bilingual_pages([(example["en"], example["fr"]) for example in examples], seed=1)


def dozens(sentences: list[str], seed: int) -> list[str]:
    """Texts of twelve sentences each, every different sentence once, in an order given by seed."""
    order = list(dict.fromkeys(sentences))
    random.Random(seed).shuffle(order)
    return [" ".join(order[i : i + 12]) for i in range(0, len(order), 12)]


def bilingual_pages(pairs: list[tuple[str, str]], seed: int) -> list[str]:
    """Texts of one to three English sentences, an empty line, and the same in French.

    Radford et al. 2019 (GPT-2, section 3.7 and table 1) found such pages in WebText, and that a
    model which has read some can translate a little. Every different pair comes once.
    """
    order, generator = list(dict.fromkeys(pairs)), random.Random(seed)
    generator.shuffle(order)
    pages = []
    while order:
        n = generator.randint(1, 3)
        english, french = zip(*order[:n], strict=True)
        pages.append(f"{' '.join(english)}\n\n{' '.join(french)}")
        del order[:n]
    return pages
