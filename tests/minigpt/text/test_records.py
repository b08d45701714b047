"""One reader for records in every format, and what it says of files that it cannot read."""

import gzip
import json
from pathlib import Path

import pytest

from minigpt.text.records import read_records

PAIRS = [
    {"en": 'He said "yes, no".', "fr": "Il a dit « oui; non »."},
    {"en": "Two\u2028lines\x0c of\u0085 one", "fr": "é\u0301 \u200f שלום 🙂"},
    {"en": "Last.", "fr": "Dernier."},
]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def dumps(value: object, **more) -> str:
    return json.dumps(value, ensure_ascii=False, **more)


def in_csv(separator: str, end: str = "\n") -> str:
    lines = [f'"{pair["en"]}"'.replace('""', '"') for pair in PAIRS]
    lines = [
        separator.join('"' + text.replace('"', '""') + '"' for text in pair.values())
        for pair in PAIRS
    ]
    return end.join([separator.join(PAIRS[0]), *lines])


FORMATS = {
    "JSON Lines": "\n".join(map(dumps, PAIRS)) + "\n",
    "JSON Lines, CRLF and blank lines": "\r\n\r\n".join(map(dumps, PAIRS)),
    "array": dumps(PAIRS),
    "printed array": "\n" + dumps(PAIRS, indent=4) + "\n\n",
    "printed objects": "\n".join(dumps(pair, indent=1) for pair in PAIRS),
    "object that holds an array": dumps({"version": 1.5, "tags": ["x"], "data": PAIRS}),
    "printed object that holds an array": dumps({"n": [], "data": PAIRS, "z": 1e9}, indent="\t"),
    "CSV": in_csv(","),
    "CSV, CRLF": in_csv(",", "\r\n"),
    "CSV with semicolons": in_csv(";"),
    "tabs": "\n".join("\t".join(row) for row in (PAIRS[0].keys(), *(p.values() for p in PAIRS))),
}


@pytest.mark.parametrize("name", ["a.jsonl", "A.JSON.GZ", "b", "b.txt", "b.CsV", "b.tsv.gz"])
@pytest.mark.parametrize("form", FORMATS)
def test_content_tells_the_format_whatever_the_name(tmp_path: Path, form: str, name: str) -> None:
    if ("CSV" in form or form == "tabs") and ".json" in name.lower():
        return  # refused: see below
    data = b"\xef\xbb\xbf" + FORMATS[form].encode()
    path = write(tmp_path / name, gzip.compress(data) if len(name) % 2 else data)
    assert list(read_records(path, ["en", "fr"])) == PAIRS
