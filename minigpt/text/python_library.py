"""Text that every Python installation has: the docstrings of its standard library.

A language model needs megabytes of text that people wrote. The docstrings of the library and the
chapters of the language reference behind `help()` are about 2 MB of technical English, readable
without a network. `python_library` collects them and documents.py divides them:

    train, validation = split_documents(python_library())
"""

import ast
import importlib
import os
import re
import sysconfig
import types
import unicodedata
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

from minigpt.text.documents import Document, paragraphs, squeezed

# These folders are left out: other people's packages, and tests.
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idle_test", "turtledemo"}
LEFT_OUT |= {"ensurepip", "pydoc_data", "__pycache__"}

# Modules written in C have no source file, so they are imported for their docstrings.
COMPILED_MODULES = (
    "_abc _asyncio _bisect _bz2 _codecs _collections _csv _ctypes _curses _datetime _elementtree "
    "_functools _hashlib _heapq _io _json _lzma _operator _pickle _queue _random _socket _sqlite3 "
    "_sre _ssl _string _struct _symtable _thread _tracemalloc _weakref array atexit binascii "
    "builtins cmath errno faulthandler fcntl gc grp itertools marshal math mmap nt posix pwd "
    "pyexpat resource select sys syslog termios time unicodedata winreg zlib"
)

MIN_DOCUMENT = 200  # characters; shorter documents ("Codec cp037, ...") teach nothing
MIN_REPEAT = 30  # characters; shorter paragraphs ("For example:") may be repeated


def python_library(n_documents: int | None = None) -> list[Document]:
    """Returns the English in this Python's standard library, cleaned, each paragraph once.

    There is one document for each module (its docstrings in source order) and one for each help
    topic (`pydoc_data.topics`, parts of the language reference), sorted by name. No module that has
    a source file is imported: `ast` finds the docstrings. They are about 2 MB, read in about 2 s;
    the exact text differs between Python versions.

    Args:
        n_documents: how many to return, the first by name; None returns all of them.

    Raises:
        FileNotFoundError: this Python has no source files (an embedded or frozen distribution).
    """
    sources = source_files(Path(sysconfig.get_path("stdlib")))
    if not sources:
        raise FileNotFoundError(
            f"this Python keeps no library source in {sysconfig.get_path('stdlib')}, so its "
            "docstrings cannot be read; use a full Python installation, or a text file of your own"
        )
    topics = {f"topic:{name}": text for name, text in help_topics().items()}

    documents: list[Document] = []
    seen: set[str] = set()
    for name in sorted({*sources, *COMPILED_MODULES.split(), *topics}):
        if len(documents) == n_documents:
            break
        if name in topics:
            docstrings = [topics[name]]
        elif name in sources:
            docstrings = source_docstrings(sources[name])
        else:
            docstrings = compiled_docstrings(name)
        cleaned = (clean(text) for text in docstrings)
        text = "\n\n".join(filter(None, (drop_repeats(text, seen) for text in cleaned)))
        if len(text) >= MIN_DOCUMENT:
            documents.append(Document(name, text))
    return documents


def source_files(library: Path) -> dict[str, Path]:
    """Returns the source files under `library` by the names of their modules."""
    found = {}
    for folder, subfolders, files in os.walk(library):
        subfolders[:] = set(subfolders) - LEFT_OUT  # os.walk does not enter what is removed here
        for path in (Path(folder, file) for file in files if file.endswith(".py")):
            parts = path.relative_to(library).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def source_docstrings(path: Path) -> list[str]:
    """Returns the docstrings of a source file, in its order; [] if Python cannot parse it."""
    try:
        return list(docstrings_of(ast.parse(path.read_bytes())))
    except (SyntaxError, ValueError):
        return []


def docstrings_of(node: ast.AST) -> Iterator[str]:
    """Yields the docstring of a module, class or function, then of what is defined inside it."""
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        docstring = ast.get_docstring(node, clean=False)
        if docstring:
            yield docstring
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.stmt, ast.excepthandler)):  # expressions define nothing
            yield from docstrings_of(child)


def compiled_docstrings(module_name: str) -> list[str]:
    """Returns the docstrings of a module written in C; [] if this Python lacks the module."""
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
    """Returns the chapters that `help("NAME")` shows; {} if the distribution leaves them out."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        return {}
    return dict(topics)


TYPOGRAPHIC = str.maketrans("“”„‘’‚–—…\u00a0", "\"\"\"'''--. ")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\ufeff\ufffd]")
LETTERS = re.compile(r"[A-Za-z]+")
DOCTEST = re.compile(r"\s*(>>>|\.\.\. )")


def clean(text: str) -> str:
    """Returns text as prose, with even indentation and line ends and without what is not English.

    It removes control characters, lines that only draw a rule, and paragraphs of which less than
    60% are letters and spaces (tables, diagrams, regular expressions). If only examples are left,
    it returns "".
    """
    text = cleandoc(text.replace("\r\n", "\n").replace("\r", "\n"))
    text = unicodedata.normalize("NFC", text).translate(TYPOGRAPHIC)
    text = CONTROL.sub("", text)
    lines = ["" if not line.strip() else line.rstrip() for line in text.split("\n")]
    text = "\n".join(line for line in lines if not only_draws(line))
    kept = [paragraph for paragraph in paragraphs(text) if mostly_letters(paragraph)]
    if all(DOCTEST.match(paragraph) for paragraph in kept):
        return ""
    return "\n\n".join(kept)


def only_draws(line: str) -> bool:
    """Returns whether a line only underlines or frames: one sign, with spaces, + and |."""
    signs = set("".join(line.split())) - set("+|")
    return bool(line) and len(signs) <= 1 and signs <= set("-=*~^_#.")


def mostly_letters(paragraph: str) -> bool:
    """Returns whether at least 60% of the visible characters are ASCII letters, as in English."""
    visible = sum(map(len, paragraph.split()))
    return sum(map(len, LETTERS.findall(paragraph))) >= 0.6 * visible


def drop_repeats(text: str, seen: set[str]) -> str:
    """Returns text without the paragraphs that are in `seen`, and adds its own to `seen`.

    Short paragraphs stay unless the whole text is short: "For example:" may stand in many
    docstrings, but a docstring "Internal function." says nothing the second time.
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
