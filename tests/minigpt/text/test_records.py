"""One reader for records in every format, and what it says of files that it cannot read."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import os
import re
from pathlib import Path

import pytest

from minigpt.text import decoding, records
from minigpt.text.records import is_plain_text, read_records

PAIRS = [
    {"en": 'He said "yes, no".', "fr": "Il a dit « oui; non »."},
    {"en": "Two\u2028lines\x0c of\u0085 one", "fr": "é\u0301 \u200f שלום 🙂"},
    {"en": "Last.", "fr": "Dernier."},
]
BREAKS = [{"en": 'a\n\nb, "c"\r\nd', "fr": ""}, {"en": "e\rf", "fr": "\n"}]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def table(rows: list[dict], separator: str = ",", end: str = "\n") -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=end)
    writer.writerows([list(rows[0]), *(row.values() for row in rows)])
    return text.getvalue()


def dumps(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


FORMATS = {
    "JSON Lines": "\n".join(map(dumps, PAIRS)) + "\n",
    "JSON Lines with blank lines": "\r\n\r\n".join(map(dumps, PAIRS)),
    "array": dumps(PAIRS),
    "printed array": "\n" + dumps(PAIRS, indent=4) + "\n\n",
    "printed objects": "\n".join(dumps(pair, indent=1) for pair in PAIRS),
    "object that holds an array": dumps({"version": 1.5, "tags": ["x"], "data": PAIRS}),
    "the same, printed": dumps({"n": [], "data": PAIRS, "z": 1e9}, indent=2),
    "CSV": table(PAIRS),
    "CSV with CRLF": table(PAIRS, end="\r\n").rstrip(),
    "CSV with semicolons": table(PAIRS, ";"),
    "tabs": "\n".join("\t".join(row) for row in (PAIRS[0].keys(), *(p.values() for p in PAIRS))),
}


@pytest.mark.parametrize("name", ["a.jsonl", "A.JSON.GZ", "b", "b.txt", "b.CsV", "b.tsv.gz"])
@pytest.mark.parametrize("form", FORMATS)
def test_content_tells_the_format_whatever_the_name(tmp_path: Path, form: str, name: str) -> None:
    data = b"\xef\xbb\xbf" + FORMATS[form].encode()
    path = write(tmp_path / name, gzip.compress(data) if len(name) % 2 else data)
    if ("CSV" in form or form == "tabs") and ".json" in name.lower():
        with pytest.raises(ValueError, match=rf"(?i){name}, line 1: not valid JSON"):
            list(read_records(path, ["en", "fr"]))
        return
    assert list(read_records(path, ["en", "fr"])) == PAIRS


@pytest.mark.parametrize("form", ["JSON", "CSV"])
def test_line_breaks_inside_a_text_stay_as_they_are(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / "x", dumps(BREAKS) if form == "JSON" else table(BREAKS, end="\r\n"))
    found = list(read_records(path, ["en", "fr"]))
    assert found == BREAKS
    assert form == "JSON" or [record.line for record in found] == [2, 6]
    if form == "CSV":  # the same by Python's own reader
        with path.open(encoding="utf-8", newline="") as file:
            assert found == list(csv.DictReader(file))


def test_tables_without_a_header_have_numbered_fields_and_quotes_in_tabs_are_letters(
    tmp_path: Path,
) -> None:
    pairs = '"Hello," he said.\tIl a dit : "bonjour".\n5" x 3"\t"oui"\n'
    expected = [['"Hello," he said.', 'Il a dit : "bonjour".'], ['5" x 3"', '"oui"']]
    for name in ("wmt.tsv", "wmt", "wmt.TXT"):
        found = read_records(write(tmp_path / name, pairs), ["0", "1"])
        assert [list(record.values()) for record in found] == expected
    assert [list(record.values()) for record in read_records([tmp_path / "wmt"] * 2, ["1"])] == (
        expected * 2
    )
    news = write(tmp_path / "news.csv", '"3","Oil; gas; wind","a, ""b"""\n')
    assert list(read_records(news, ["1"])) == [{"0": "3", "1": "Oil; gas; wind", "2": 'a, "b"'}]


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("name", ["a.tsv", "a"])
def test_tabs_with_quotes_as_in_csv_are_recognised_by_them(
    tmp_path: Path, name: str, quoting: int
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, dialect="excel-tab", quoting=quoting)
    writer.writerows([["en", "fr"], *(pair.values() for pair in PAIRS[::2])])
    assert list(read_records(write(tmp_path / name, text.getvalue()), ["en", "fr"])) == PAIRS[::2]


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC])
def test_cells_in_quotes_may_hold_line_ends_and_tabs_between_tabs(
    tmp_path: Path, quoting: int
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, dialect="excel-tab", quoting=quoting)
    rows = [["id", "en", "fr"], [1, "two\nlines", "a\ttab"], [2, "plain", 'a "quote"\n']]
    writer.writerows(rows)
    found = list(read_records(write(tmp_path / "a.tsv", text.getvalue()), ["en", "fr"]))
    assert [list(record.values())[1:] for record in found] == [row[1:] for row in rows[1:]]


@pytest.mark.parametrize("first", ["sep=;\r\n", '"sep=;"\n', "\ufeffSEP=;\n"])
@pytest.mark.parametrize("name", ["a.csv", "a"])
def test_a_first_line_that_tells_excel_the_separator_is_not_a_row(
    tmp_path: Path, first: str, name: str
) -> None:
    path = write(tmp_path / name, first + "en;fr\n1,5;x, y\n")
    assert list(read_records(path, ["fr"])) == [{"en": "1,5", "fr": "x, y"}]
    (header, row) = read_records(path, ["0", "1"])
    assert (header.line, row["1"]) == (2, "x, y")


def test_cells_that_say_that_there_is_no_value_are_null_unless_in_quotes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'a,b\nNaN,"NaN"\nNULL,None\n\\N,"""nan"""\n<NA>,NA\n')
    found = [(record["a"], record["b"]) for record in read_records(path, ["a"])]
    assert found == [(None, "NaN"), (None, "None"), (None, '"nan"'), (None, "NA")]
    path = write(tmp_path / "a.tsv", "x\tnan\n")
    assert next(read_records(path, ["0", "1"])) == {"0": "x", "1": None}


TEXTS = ["[One], {two}", 'Th"r\nee', ""]


@pytest.mark.parametrize("name", ["a.json", "a.txt", "a.JSONL.gz"])
def test_texts_and_lists_in_json_are_records_of_one_field_or_of_numbered_ones(
    tmp_path: Path, name: str
) -> None:
    for indent in (None, 2):
        path = write(tmp_path / name, dumps(TEXTS, indent))
        assert list(read_records(path, ["said"])) == [{"said": text} for text in TEXTS]
    rows = [["Yes.", "Oui."], ["No.", "Non."]]
    path = write(tmp_path / ("a.json" if name == "a.txt" else name), dumps(rows))
    assert list(read_records(path, ["0", "1"])) == [{"0": a, "1": b} for a, b in rows]
    lines = write(tmp_path / "b.jsonl", "\n".join(map(dumps, rows + TEXTS)))
    assert [r["0"] for r in read_records(lines, ["0"])] == ["Yes.", "No.", *TEXTS]
    with pytest.raises(ValueError, match="a text if one field is wanted, or a list if they are"):
        list(read_records(lines, ["en"]))


@pytest.mark.parametrize(
    "text",
    [
        "text, and then\nA sentence with one, two, three.\nBye.\n",
        "No; text; it is.\nYes.\n",
        '{"text": 1} is an object.\n{"text": 2} too.\n',
        '["Hello", "you"] she said\n',
        '["a"]\n["b"]\n',
        "[{laughing}] Hello\n",
        "| id | text |\n|----|------|\n| 1  | x    |\n",
    ],
)
def test_text_that_begins_like_records_is_text(tmp_path: Path, text: str) -> None:
    assert is_plain_text(write(tmp_path / "a.txt", text), ["text"])
    paths = [write(tmp_path / f"a.{language}", text) for language in ("text", "fr")]
    assert [record["text"] for record in read_records(paths, ["text", "fr"])] == (text.splitlines())


def test_columns_by_number_are_those_between_tabs_whatever_else_is_in_the_line(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "pairs.txt", "Go, now, you.\tVa.\nHi.\tSalut.\n")
    assert [r["1"] for r in read_records(path, ["0", "1"])] == ["Va.", "Salut."]


def test_an_objects_own_fields_count_before_those_of_a_list_in_it(tmp_path: Path) -> None:
    printed = [{"tags": [{"id": 1}], "text": "x"}, {"tags": [{"id": 2}], "text": "y"}]
    path = write(tmp_path / "a", "\n".join(dumps(record, 2) for record in printed))
    assert list(read_records(path, ["text"])) == printed
    features, rows = [{"name": "text"}], [{"row": {"text": "x"}}, {"row": {"text": "y"}}]
    for content in ({"features": features, "rows": rows}, {"rows": rows, "features": features}):
        path = write(tmp_path / "a.json", dumps(content))
        assert list(read_records(path, ["row"])) == rows


def test_parallel_files_are_read_side_by_side(tmp_path: Path) -> None:
    en = write(tmp_path / "train.en.GZ", gzip.compress(b"[x]\r\n{y}\n\nlast"))
    fr = write(tmp_path / "train.fr", "a\u2028b\nc\rd\n\te\x0c\nf\n")
    lines = [("[x]", "a\u2028b"), ("{y}", "c\rd"), ("", "\te\x0c"), ("last", "f")]
    assert [(r["en"], r["fr"]) for r in read_records([en, fr], ["en", "fr"])] == lines
    assert [(r["1"], r["0"]) for r in read_records([fr, en], ["1", "0"])] == lines
    same = write(tmp_path / "val.fr", "x\n")
    for files, said in (
        ([en, same], r"train.en.GZ has 4 lines and .*val.fr has 1 lines"),
        ([fr, same], r'both plain text with the field "fr"'),
        (
            [en, write(tmp_path / "a.jsonl", '{"fr": "x"}\n')],
            r"plain text, but .*a.jsonl holds rec",
        ),
    ):
        with pytest.raises(ValueError, match=said):
            list(read_records(files, ["en", "fr"]))


def test_several_files_of_records_follow_each_other(tmp_path: Path) -> None:
    first = write(tmp_path / "train-00000.jsonl.gz", gzip.compress(FORMATS["array"].encode()))
    second = write(tmp_path / "train-00001.csv", FORMATS["CSV"])
    assert list(read_records([first, second], ["en"])) == PAIRS + PAIRS


@pytest.mark.parametrize("form", ["JSON Lines", "array", "printed array", "CSV", "parallel"])
def test_records_come_while_most_of_the_file_is_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(decoding, "CHUNK", 500)
    monkeypatch.setattr(records, "HEAD", 1000)
    many = [{"en": f"{i} " + "x" * (i % 90), "fr": "y" * (i * 7 % 301)} for i in range(300)]
    texts = {
        "JSON Lines": "\n".join(map(dumps, many)), "array": dumps(many), "CSV": table(many),
        "printed array": dumps(many, 1), "parallel": "".join(r["en"] + "\n" for r in many),
    }  # fmt: skip
    paths = [write(tmp_path / "a.en", texts[form])]
    if form == "parallel":
        paths.append(write(tmp_path / "a.fr", "".join(r["fr"] + "\n" for r in many)))
    found = read_records(paths, ["en", "fr"])
    total, read = sum(path.stat().st_size for path in paths), 0
    true_read = decoding.read_bytes

    def counted(stream, path):
        nonlocal read
        data = true_read(stream, path)
        read += len(data)
        return data

    monkeypatch.setattr(decoding, "read_bytes", counted)
    for i, record in enumerate(found):
        assert record == many[i]
        assert read < (i + 1) / 300 * total + 6000
    assert i == 299
    assert read == total


GZ = gzip.compress(b'{"a": "x"}\n' * 99)
REFUSED: dict[str, tuple[str, str | bytes, str]] = {
    "cut gzip": ("a.jsonl.gz", GZ[:-9], "a.jsonl.gz is cut short"),
    "gzip with more behind": ("a.gz", GZ + b"more", "damaged gzip data"),
    "gzip of gzip": ("a.gz", gzip.compress(GZ), "compressed with gzip twice"),
    "bzip2": ("a.jsonl.bz2", bz2.compress(b"{}\n"), "compressed with bzip2; unpack it"),
    "zip": ("a.jsonl", b"PK\x03\x04" + bytes(30), "a zip archive"),
    "Git LFS": ("a.csv", "version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
    "parquet": ("a.parquet", b"PAR1\x15\x04" + bytes(30), "a Parquet table; write it as JSON Lin"),
    "arrow": ("a.csv", b"ARROW1\0\0" + bytes(30), "an Arrow table"),
    "UTF-16": ("a.csv", "a,b\nx,y\n".encode("utf-16"), "UTF-16 or UTF-32; save it as UTF-8"),
    "UTF-16 without a mark": ("a", "a,b\nx,y\n".encode("utf-16-be"), "UTF-16 or binary"),
    "latin-1": ("a.csv", "a,b\ncafé,y\n".encode("latin-1"), "line 2: byte 0xe9 is not UTF-8"),
    "surrogates in bytes": ("a.csv", b"a,b\nx,\xed\xa0\xbd\n", "line 2: byte 0xed is not UTF-8"),
    "nothing": ("a.json", b"\xef\xbb\xbf", "a.json is empty"),
    "blank": ("a.tsv", " \r\n\n", "a.tsv is empty"),
    "header": ("a.csv", "a,b\n", "holds no records (read as a table with commas"),
    "empty array": ("a.json", "[ ]", "holds no records (read as a JSON array)"),
    "NUL": ("a.csv", "a,b\nx,\0y\n", "line 2: a NUL byte"),
    "two names": ("a.csv", "a,b, a\nx,y,z\n", 'line 1: two columns are called "a"'),
    "short row": ("a.csv", 'a,b\n"x\n",y\n\nx\n', "line 5: 1 cells, separated by commas, where"),
    "long row": ("a.tsv", 'a\tb\nx"\ty"\tz\n', "line 2: 3 cells, separated by tabs"),
    "open quote": ("a.csv", 'a,b\nx,y\n"x,y\nz,w\n', "line 3: a cell begins with a quote that is"),
    "stray quote": ("a.csv", 'a,b\n"he "said",y\n', "line 2: after the quote that closes a cell"),
    "old Mac": ("a.csv", "a,b\rx,y\r", "carriage returns alone"),
    "deep": ("a.jsonl", '{"a": 1}\n{"a": ' + "[" * 90_000 + "]" * 90_000 + "}", "line 2: lists"),
    "deep array": ("a.json", '[\n{"a": ' + '{"b":' * 90_000, "line 2: lists and objects are"),
    "a name twice": ("a.jsonl", '{"a": "x", "a": "y"}\n', 'it has the field "a" twice'),
    "cut JSON": ("a.json", '[{"a": "x"},\n{"a": "y', "line 2: not valid JSON"),
    "more behind": ("a.json", '[{"a": "x"}]\n[]', "line 2: something follows the end"),
    "text": ("a.json", '["x", "y"]', 'every record must be a JSON object such as {"text": "..."}'),
    "null": ("a.jsonl", '{"a": "x"}\n\nnull\n', "line 3: every record must be a JSON object"),
    "two arrays": ("a.json", '{"x": [{"c": 1}],\n"y": [{"d": 1}]}', 'line 2: "x" and "y" both'),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_damaged_file_is_one_sentence_with_file_and_line(tmp_path: Path, case: str) -> None:
    name, content, said = REFUSED[case]
    path = write(tmp_path / name, content)
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        list(read_records(path, ["a", "b"]))
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX's")
def test_a_pipe_or_a_device_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    for path in (tmp_path / "pipe.jsonl", Path("/dev/zero")):
        for read in (is_plain_text, read_records):
            with pytest.raises(OSError, match="is a pipe or a device, and not a file"):
                read(path, ["a"])


def test_half_characters_become_one_replacement_character_each(tmp_path: Path) -> None:
    text = r'{"a": "\ud83d", "b": ["\uDE00\ud83d", "\ud83d\ude00"], "\udc00": {"c": "\udfff."}}'
    expected = {"a": "�", "b": ["��", "🙂".replace("🙂", "\U0001f600")], "�": {"c": "�."}}
    for name, content in {"x.jsonl": text + "\n" + text, "x.json": f"[{text},\n{text}]"}.items():
        assert list(read_records(write(tmp_path / name, content), ["a"])) == [expected] * 2


@pytest.mark.parametrize("blank", [" ", "\n", "\t \n"])
def test_a_million_blank_characters_before_the_first_record_are_passed_over(
    tmp_path: Path, blank: str
) -> None:
    text = blank * (1_100_000 // len(blank)) + "\n" + FORMATS["JSON Lines"]
    path = write(tmp_path / "a", text.encode())
    assert list(read_records(path, ["en", "fr"])) == PAIRS
