"""What lesson 01 prints and draws agrees with its own tokenizer file and with work on paper."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import tiktoken

from minigpt.text.task_sets import task_set
from minigpt.tokenizer import load_encoding

SIZE_OF_GPT2 = "GPT-2's vocabulary: bytes + merges + special"


def test_lesson_01(run_lesson: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # a network that refuses at once
    lesson = run_lesson(1)
    assert set(lesson.figures) == {"token_lengths.png", "bytes_per_token.png"}

    # low, lower, lowest, slow, slower, slowest: worked out on paper
    merged = re.findall(r"id \d+ is '([^']+)'", lesson.output)
    assert merged == ["lo", "low", "lowe", " s", " lowe", "st"]

    encoding = load_encoding(tmp_path / "out" / "tokenizer.json")
    assert encoding.n_vocab == 512
    (first_merges,) = re.findall(r"the first merges: (\[.*\])", lesson.output)
    assert [encoding.decode([i]) for i in range(256, 276)] == ast.literal_eval(first_merges)
    check_bytes_per_token(lesson.output, encoding)
    check_pairs(lesson.output, encoding)
    check_packing(lesson.output)

    same, different = re.findall(r"'The train left the ?' \+ .*", lesson.output)
    assert "NOT the ids" not in same
    assert "NOT the ids" in different
    assert re.search(r"\nallowed: +end tokens in the message: 1\n", lesson.output)
    assert re.search(r"\nspelled out: +end tokens in the message: 0\n", lesson.output)
    for sign in ("<to-fr>", "<summarize>", "[toCode]"):
        row = lesson.table[f"data format with {sign}"]
        ((special, plain),) = re.findall(r"(\d+) ids, (\d+) with", row["measured here"])
        assert int(special) < int(plain)
        assert row["verdict"].startswith("reproduced")

    assert "(GPT-2's vocabulary is not compared: " in lesson.output
    assert f"TIKTOKEN_CACHE_DIR to {tmp_path / 'empty'}" in lesson.output
    assert lesson.table[SIZE_OF_GPT2]["measured here"] == "not here"
    assert lesson.table[SIZE_OF_GPT2]["verdict"].startswith("not measured")

    epochs = {name: lesson.table[f"GPT-3, epochs of {name}"] for name in EPOCHS}
    for name, (measured, verdict) in EPOCHS.items():
        assert epochs[name]["measured here"] == measured
        assert epochs[name]["verdict"].startswith(verdict)


EPOCHS = {  # weight x 300 / billions of tokens, by hand
    "Common Crawl": ("0.44", "reproduced"),  # 0.60 x 300 / 410
    "WebText2": ("3.47", "not reproduced"),  # 0.22 x 300 / 19, printed as 2.9
    "Books1": ("2.00", "differs, but rounding allows 1.80 to 2.22"),  # 7.5% of 12.5B, 8.5% of 11.5B
    "Books2": ("0.44", "differs, but rounding allows 0.41 to 0.47"),
    "Wikipedia": ("3.00", "differs, but rounding allows 2.14 to 4.20"),
}


def check_bytes_per_token(output: str, encoding: tiktoken.Encoding) -> None:
    """Counts the first column of both tables again with the tokenizer that was saved."""
    ratios = []
    for kind, language in (("English sentences", "en"), ("French sentences", "fr")):
        text = "\n".join(pair[language] for pair in task_set("translation", "validation"))
        n_tokens = len(encoding.encode_ordinary(text))
        ratio, count = re.findall(rf"\n{kind} +([\d.,]+)", output)
        assert count == f"{n_tokens:,}"
        assert ratio == f"{len(text.encode()) / n_tokens:.2f}"
        ratios.append(float(ratio))
    assert ratios[0] > ratios[1]


def check_pairs(output: str, encoding: tiktoken.Encoding) -> None:
    """Checks that the targets are the ids moved by one."""
    rows = re.findall(r"\n +\d+ +(\d+) +(\d+)   '", output)
    idx, targets = [int(row[0]) for row in rows], [int(row[1]) for row in rows]
    assert targets[:-1] == idx[1:]
    assert encoding.decode([idx[0], *targets]) == "The train left the station."


def check_packing(output: str) -> None:
    """Checks that the rows are equally long, and that packing keeps every token and its order."""
    (padded,), (packed,) = (
        re.findall(rf"\n{name}, \d+% padding:\n((?:    \S+\n)+)", output)
        for name in ("padded", "packed")
    )
    rows = padded.split() + packed.split()
    assert {len(row) for row in rows} == {len(rows[0])}
    assert [row.count("#") for row in padded.split()] == [1, 1, 1]
    assert "".join(packed.split()).rstrip(".") == "".join(padded.split()).replace(".", "")


def test_lesson_01_with_gpt2s_vocabulary(run_lesson: Callable, shared_data: Path) -> None:
    lesson = run_lesson(1)
    row = lesson.table[SIZE_OF_GPT2]
    assert row["measured here"] == row["published"] == "256 + 50,000 + 1 = 50,257"
    assert row["verdict"] == "reproduced"
    assert "GPT-2   6  The| train| left| the| station|." in lesson.output
