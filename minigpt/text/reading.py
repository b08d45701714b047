"""Reads files of text and of records; errors name the file and the line."""

import json
from collections.abc import Iterable
from pathlib import Path

from minigpt.text.documents import Document


def read_text(path: str | Path) -> list[Document]:
    """Reads a UTF-8 text file as documents of about 4,000 characters, named `FILE:1`, `FILE:2`.

    The cuts fall on blank lines (in a text without any, on line ends), so that `split_documents`
    has something to divide.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty or not UTF-8.
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
    """Reads the records of a JSON Lines file: one JSON object a line; blank lines are skipped.

    Every record must have all `fields`, with text in them.

    Raises:
        FileNotFoundError, ValueError: as `read_text`; or a line is not an object or lacks a field.
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
    """Returns the lines of a UTF-8 text file without their line ends, of whatever kind."""
    if not path.is_file():
        kind = "a folder, not a file" if path.is_dir() else "no such file"
        raise FileNotFoundError(f"cannot read {path}: {kind}")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")  # drops the byte-order mark that some editors write
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8 text; "
            "save the file with the encoding UTF-8"
        ) from None
    if not text.strip():
        raise ValueError(f"{path} is empty: there is no text to read in it")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
