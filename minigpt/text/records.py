"""One reader for files of records, whatever wrote them: JSON, CSV, tabs, or parallel text.

    JSON Lines       {"en": "Yes.", "fr": "Oui."}                 one object a line
    JSON             [{"en": "Yes.", "fr": "Oui."}, ...]          or {"data": [...]}, on any lines;
                     ["Yes.", "No."], [["Yes.", "Oui."], ...]     the one field; fields 0, 1
    CSV, TSV         en,fr                                        the first row names the fields, or
                     Yes.,Oui.                                    they are wanted by number: 0, 1
    parallel text    train.en: Yes.      train.fr: Oui.           line by line; fields en and fr

Content decides, then the name's ending; each file may be compressed with gzip. Records come one at
a time, so that a file of any size takes little memory. Errors name the file and the line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from minigpt.files.json_objects import shown
from minigpt.text.decoding import read_lines, split_lines, text_chunks
from minigpt.text.json_values import JsonError, parse, read_array, read_objects, rest_of_line
from minigpt.text.tables import (
    SEPARATORS,
    Layout,
    TableError,
    by_number,
    is_table,
    layout_of,
    promised_separator,
    read_table,
    tabs_are_quoted,
)

HEAD = 1 << 20  # characters that decide what a file is
JSON_LINES, JSON_ARRAY, JSON_OBJECTS = "JSON Lines", "a JSON array", "JSON objects"
TABLE, TEXT = "a table", "lines of text"
ENDINGS = {"jsonl": "jsonl", "ndjson": "jsonl", "json": "json", "csv": "csv"}
ENDINGS |= {"tsv": "tsv", "tab": "tsv"}
# How JSON begins: an object, up to its first field; an array of such, or of texts.
OBJECT = re.compile(r'\{\s*("[^"\n]*"\s*:|\}|$)')
OBJECTS = re.compile(rf"\[\s*{OBJECT.pattern}")
TEXTS = re.compile(r'\[\s*"(?:[^"\\\n]|\\.)*"\s*(,\s*["\]]|\])')


class Record(dict[str, Any]):
    """One record: {field: value}.

    Attributes:
        source, line, kind: the file and the line that it begins in and the format, for errors.
    """

    def __init__(self, fields: dict[str, Any], source: str, line: int, kind: str) -> None:
        super().__init__(fields)
        self.source, self.line, self.kind = source, line, kind

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Adds the file, the line and the format to a ValueError in a with-block."""
        try:
            yield
        except ValueError as error:
            raise ValueError(
                f"{self.source}, line {self.line}: {error} (read as {self.kind})"
            ) from None


class Opening(NamedTuple):
    """What the beginning of a file tells: its kind, and how it is laid out if it is a table."""

    kind: str
    ending: str
    layout: Layout


def read_records(paths: Path | Sequence[Path], wanted: Collection[str]) -> Iterator[Record]:
    """Yields the records of one or several files, which may differ in format.

    Several files that are plain text are read side by side: line n of each makes record n, and the
    fields are named after the files' languages, `en` and `fr` for train.en and train.fr.gz.

    Args:
        wanted: the names of the fields that matter. They tell a table from text and its header from
            a row; numbers stand for the columns, from 0, of a table without a header or for the
            parallel files.

    Raises:
        OSError: a file is missing or may not be read.
        ValueError: a file is empty, damaged or not text, or one of its records is not as the format
            demands; the error names the file and the line.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    wanted = frozenset(wanted)
    openings = [opening_of(Path(path), wanted) for path in paths]
    plain = [opening.kind == TEXT for opening in openings]
    if any(plain):  # a line of text may look like a header
        plain = [
            p or (o.kind == TABLE and not o.ending) for p, o in zip(plain, openings, strict=True)
        ]
    if all(plain):
        return parallel_records(paths, wanted)
    if any(plain):
        text, other = paths[plain.index(True)], plain.index(False)
        raise ValueError(
            f"{text} is plain text, but {paths[other]} holds records ({openings[other].kind}); "
            "give files of records, or parallel text files"
        )
    return chain.from_iterable(
        file_records(Path(path), opening, wanted)
        for path, opening in zip(paths, openings, strict=True)
    )


def is_plain_text(path: Path, wanted: Collection[str]) -> bool:
    """Returns whether a file holds lines of text, not records; lines may all be blank.

    Raises:
        OSError, ValueError: it cannot be read, or has no bytes.
    """
    return opening_of(path, wanted, may_be_blank=True).kind == TEXT


def ending_of(path: Path) -> str:
    """Returns the format that a file's name promises: jsonl, json, csv, tsv, or "" for others."""
    name = path.name.lower().removesuffix(".gz")
    return ENDINGS.get(name.rpartition(".")[2], "") if "." in name else ""


def opening_of(path: Path, wanted: Collection[str], may_be_blank: bool = False) -> Opening:
    """Reads the beginning of a file and judges what kind of file it is.

    Raises:
        OSError, ValueError: it cannot be read, or is empty.
    """
    head = ""
    for chunk in text_chunks(path):
        head = chunk if head.isspace() else head + chunk  # a blank beginning tells nothing
        if len(head) >= HEAD and not head.isspace():
            break
    if not (head if may_be_blank else head.strip()):
        raise ValueError(f"{path} is empty: there is no text to read in it")
    n_blank = len(head) - len(head.lstrip())
    lines = head[head.rfind("\n", 0, n_blank) + 1 :].split("\n")
    whole = len(head) < HEAD
    ending = ending_of(path)
    kind = json_kind(lines[0], head.lstrip(), ending, whole and not "".join(lines[1:]).strip())
    if not kind and ending == "jsonl":
        kind = JSON_LINES
    if not kind and ending == "json":
        kind = JSON_ARRAY
    promised = promised_separator(lines[0])
    lines = lines[1 if promised else 0 : None if whole else -1] or lines
    layout = layout_of(lines[0], ending, wanted, tabs_are_quoted(lines), promised)
    if not kind and (ending or promised or is_table(lines, layout, wanted)):
        kind = TABLE
        if "\n" not in head and "\r" in lines[0].rstrip("\r"):
            raise ValueError(
                f"{path}, line 1: a table whose lines end with carriage returns alone; save it "
                "with lines that end with line feeds"
            )
    return Opening(kind or TEXT, ending, layout)


def json_kind(first_line: str, head: str, ending: str, alone: bool) -> str:
    """Returns which form of JSON begins here, or "" for something else.

    Args:
        head: what follows the white space at the beginning.
        alone: whether nothing follows the first line.
    """
    rest = rest_of_line(first_line)
    if head[:1] == "[":
        if OBJECTS.match(head) or (ending in ("json", "jsonl") and (rest is None or alone)):
            return JSON_ARRAY
        if ending in ("json", "jsonl"):
            return JSON_LINES
        return JSON_ARRAY if TEXTS.match(head) and (rest is None or (not rest and alone)) else ""
    if not OBJECT.match(head) or (rest and rest[0] not in "{," and not ending):
        return ""  # a sentence may begin with an object
    if rest != "":  # damaged, or spread over lines
        return JSON_LINES if ending == "jsonl" and first_line.strip() != "{" else JSON_OBJECTS
    return JSON_OBJECTS if alone else JSON_LINES


def file_records(path: Path, opening: Opening, wanted: Collection[str]) -> Iterator[Record]:
    """Yields the records of a file in JSON or of a table."""
    kind, _, layout = opening
    found: Iterator[tuple[int, Any]]
    if kind == JSON_LINES:
        lines = enumerate(split_lines(path), start=1)
        found = ((number, parse(line, number)) for number, line in lines if line.strip())
    elif kind == JSON_ARRAY:
        found = read_array(text_chunks(path))
    elif kind == JSON_OBJECTS:
        found = read_objects(text_chunks(path), wanted)
    else:
        kind = f"a table with {SEPARATORS[layout.separator]} between its cells"
        kind += "" if by_number(wanted) else " and their names in its first row"
        found = read_table(split_lines(path), layout, wanted)
    empty = True
    try:
        for line, value in found:
            yield Record(fields_of(value, wanted, line), str(path), line, kind)
            empty = False
    except (JsonError, TableError) as error:
        raise ValueError(f"{path}, line {error.line}: {error} (read as {kind})") from None
    if empty:
        raise ValueError(f"{path} holds no records (read as {kind})")


def fields_of(value: Any, wanted: Collection[str], line: int) -> dict[str, Any]:
    """Returns the fields of a record; a text alone is the one that is wanted."""
    if isinstance(value, dict):
        return value
    if isinstance(value, str) and len(wanted) == 1:
        return dict.fromkeys(wanted, value)
    if isinstance(value, list) and by_number(wanted):
        return {str(i): part for i, part in enumerate(value)}
    raise JsonError(
        line,
        'every record must be a JSON object such as {"text": "..."}, a text if one field is '
        f"wanted, or a list if they are wanted by number, got {shown(value, 40)}",
    )


def parallel_records(paths: Sequence[Path], wanted: Collection[str]) -> Iterator[Record]:
    """Yields the lines of plain text files side by side, with a field for each file.

    Raises:
        ValueError: two files give the same field, or the files have unequal numbers of lines.
    """
    names = list(map(str, range(len(paths)))) if by_number(wanted) else list(map(language, paths))
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ValueError(
                f'{paths[names.index(name)]} and {paths[i]} are both plain text with the field "'
                f'{name}": parallel files differ in their ending, as train.en and train.fr do'
            )
    source = " and ".join(map(str, paths))
    counts = [0] * len(paths)
    for number, lines in enumerate(zip_longest(*map(read_lines, paths)), start=1):
        for i, line in enumerate(lines):
            counts[i] += line is not None
        if min(counts) == number:
            yield Record(dict(zip(names, lines, strict=True)), source, number, TEXT)
    if min(counts) < max(counts):
        raise ValueError(
            " and ".join(f"{path} has {n} lines" for path, n in zip(paths, counts, strict=True))
            + ": parallel files must have the same number of lines"
        )


def language(path: Path) -> str:
    """Returns the last part of a file's name, without .gz and .txt: `en` for train.en.gz."""
    name = re.sub(r"(?i)(\.txt)?(\.gz)?$", "", Path(path).name)
    return name.rpartition(".")[2]
