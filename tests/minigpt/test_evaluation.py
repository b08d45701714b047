"""`minigpt evaluate`: what a user gives it, what they read, and what they did wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sacrebleu
from rouge_score import rouge_scorer

from minigpt.cli import main
from minigpt.evaluation import evaluate, read_segments

PREDICTIONS = ["the cat sat on a mat", "", "it is very cold outside today my friend"]
REFERENCES = ["the cat sat on the mat", "something", "it is cold outside today"]
OTHERS = ["a cat sat on a mat", "nothing at all", "today it is very cold"]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Prediction and reference files as text and as JSON Lines."""
    texts = {"out.txt": PREDICTIONS, "ref.txt": REFERENCES, "other.txt": OTHERS}
    for name, lines in texts.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    records = [
        {"written": out, "summary1": first, "summary2": second}
        for out, first, second in zip(PREDICTIONS, REFERENCES, OTHERS, strict=True)
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "all.jsonl").write_text(lines, encoding="utf-8")
    return {name: str(tmp_path / name) for name in [*texts, "all.jsonl"]}


def scores(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    """The JSON that a command prints."""
    assert main(["evaluate", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one sentence that a wrong command ends in."""
    assert main(["evaluate", *arguments]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error.strip().splitlines()[-1]


def test_scores_of_text_files_are_those_of_the_peers(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = scores(
        capsys, "--predictions", files["out.txt"], "--references", files["ref.txt"],
        files["other.txt"], "--metrics", "rouge1,rougeL,bleu",
    )  # fmt: skip
    assert found["segments"] == 3
    assert list(found["metrics"]) == ["rouge1", "rougeL", "bleu"]
    bleu = sacrebleu.corpus_bleu(PREDICTIONS, [REFERENCES, OTHERS])
    assert found["metrics"]["bleu"]["score"] == bleu.score
    assert "nrefs:2" in found["metrics"]["bleu"]["signature"]
    scorer = rouge_scorer.RougeScorer(["rougeL"])
    theirs = [
        scorer.score_multi(pair, out)["rougeL"].fmeasure
        for *pair, out in zip(REFERENCES, OTHERS, PREDICTIONS, strict=True)
    ]
    assert found["metrics"]["rougeL"]["fmeasure"] == pytest.approx(sum(theirs) / 3, rel=1e-15)


def test_json_lines_give_the_same_scores_as_text(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = scores(
        capsys, "--predictions", files["out.txt"],
        "--references", files["ref.txt"], files["other.txt"],
    )  # fmt: skip
    records = scores(
        capsys, "--predictions", files["all.jsonl"], "--prediction-field", "written",
        "--references", files["all.jsonl"], "--reference-field", "summary1", "summary2",
    )  # fmt: skip
    assert text == records


def test_the_table_has_every_score_and_its_signature(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--predictions", files["out.txt"], "--references", files["ref.txt"]]
    assert main(["evaluate", *arguments, "--metrics", "rouge2,rougeLsum,bleu", "--interval"]) == 0
    printed = capsys.readouterr().out
    expected = evaluate(PREDICTIONS, [REFERENCES], ["rouge2", "bleu"])
    assert f"{expected['rouge2']['fmeasure']:.4f}" in printed
    assert f"{expected['bleu']['score']:.2f}" in printed
    assert expected["bleu"]["signature"] in printed
    assert printed.count("95%") == 2
    assert "rougeLsum is rougeL" in printed


def test_last_line_may_lack_its_line_end_and_empty_lines_count(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_bytes("un\r\n\r\ntrois\u2028quatre".encode())
    assert read_segments(path, []) == [["un", "", "trois\u2028quatre"]]


def test_unequal_lengths_name_files_lengths_and_line(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = tmp_path / "short.txt"
    short.write_text("one\ntwo\n", encoding="utf-8")
    said = refused(capsys, "--predictions", files["out.txt"], "--references", str(short))
    for part in ("out.txt has 3", "short.txt has 2", "line 3"):
        assert part in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"caf\xe9\n", "line 1: byte 0xe9 is not UTF-8"),
        (b"fine\ncaf\xe9\n", "line 2: byte 0xe9 is not UTF-8"),
    ],
)
def test_unreadable_files_are_one_sentence(
    content: bytes,
    said: str,
    files: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    message = refused(capsys, "--predictions", str(path), "--references", files["ref.txt"])
    assert "bad.txt" in message
    assert said in message


def test_missing_file_field_and_metric_are_named(
    files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    both = ["--predictions", files["out.txt"], "--references"]
    assert "nowhere.txt: no such file" in refused(capsys, *both, "nowhere.txt")
    said = refused(capsys, *both, files["all.jsonl"])
    assert 'line 1: no text in the field "reference"' in said
    assert "summary1" in said
    said = refused(capsys, *both, files["ref.txt"], "--metrics", "rouge1,meteor")
    assert "'meteor'" in said
    assert "rougeLsum" in said
    said = refused(capsys, *both, files["ref.txt"], "--tokenize", "words")
    assert "13a" in said
