"""`minigpt evaluate`: what a user gives it, what they read, and what they did wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import sacrebleu
from rouge_score import rouge_scorer
from sacrebleu.utils import smart_open

from minigpt.command.cli import main
from minigpt.pretrained.folders import load_pretrained, save_pretrained
from minigpt.tasks.answers import answer
from minigpt.tasks.scores import corpus_scores, read_segments
from minigpt.text import task_sets
from tests.minigpt.tiny.finetune import OWN, make_inputs, shipped_encoding, tiny_gpt, write_jsonl

PREDICTIONS = ["the cat sat on a mat", "", "it is very cold outside today my friend"]
REFERENCES = ["the cat sat on the mat", "something", "it is cold outside today"]
OTHERS = ["a cat sat on a mat", "nothing at all", "today it is very cold"]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Makes prediction and reference files as text and as JSON Lines."""
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
    """Returns the JSON that a command prints."""
    assert main(["evaluate", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Returns the one sentence that a wrong command ends in."""
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
    expected = corpus_scores(PREDICTIONS, [REFERENCES], ["rouge2", "bleu"])
    assert f"{expected['rouge2']['fmeasure']:.4f}" in printed
    assert f"{expected['bleu']['score']:.2f}" in printed
    assert expected["bleu"]["signature"] in printed
    assert printed.count("95%") == 2
    assert "rougeLsum is rougeL" in printed


def test_last_line_may_lack_its_line_end_and_empty_lines_count(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_bytes("un\r\n\r\ntrois\u2028quatre".encode())
    assert read_segments(path, []) == [["un", "", "trois\u2028quatre"]]


LINES = (
    "the cat\rsat on\x0c the\x85 mat\r\nit is\u2028 cold\x1c outside\x0b today\n\r\nlast\r".encode()
)


def test_lines_end_where_they_end_for_sacrebleu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in (("out.txt", LINES), ("ref.txt.gz", gzip.compress(LINES))):
        (tmp_path / name).write_bytes(content)
    with smart_open(str(tmp_path / "out.txt")) as file:
        theirs = [line.rstrip() for line in file]
    assert [s.rstrip() for s in read_segments(tmp_path / "out.txt", [])[0]] == theirs
    assert len(theirs) == 4
    (tmp_path / "ref.en").write_text("\n".join(REFERENCES) + "\nend")
    for references in ("ref.txt.gz", "ref.en"):
        found = scores(
            capsys, "--predictions", str(tmp_path / "out.txt"),
            "--references", str(tmp_path / references), "--metrics", "bleu",
        )  # fmt: skip
        texts = theirs if references == "ref.txt.gz" else [*REFERENCES, "end"]
        expected = sacrebleu.corpus_bleu(theirs, [texts]).score
        assert (found["segments"], found["metrics"]["bleu"]["score"]) == (4, expected)


@pytest.mark.parametrize("name", ["p.JSONL", "p.json", "p.Csv.GZ", "p.tsv", "p.out", "p"])
def test_records_are_scored_as_records_whatever_their_file_is_called(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    rows = [{"prediction": text, "id": i} for i, text in enumerate(REFERENCES)]
    texts = {
        "p.json": json.dumps(rows, indent=1), "p.Csv.GZ": "id,prediction\n",
        "p.tsv": "prediction\tid\n", "p": json.dumps({"model": "m", "answers": rows}),
    }  # fmt: skip
    if name == "p.Csv.GZ":
        texts[name] += "".join(f'{row["id"]},"{row["prediction"]}"\r\n' for row in rows)
    if name == "p.tsv":
        texts[name] += "".join(f"{row['prediction']}\t{row['id']}\n" for row in rows)
    content = texts.get(name, "".join(json.dumps(row) + "\n" for row in rows)).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("GZ") else content)
    for references in (["ref.txt"], ["all.jsonl", "--reference-field", "summary1"]):
        found = scores(
            capsys, "--predictions", str(tmp_path / name),
            "--references", files[references[0]], *references[1:], "--metrics", "rougeL,bleu",
        )  # fmt: skip
        assert found["segments"] == 3
        assert found["metrics"]["bleu"]["score"] == pytest.approx(100)


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
    assert "there is no 'nowhere.txt'" in refused(capsys, *both, "nowhere.txt")
    said = refused(capsys, *both, files["all.jsonl"])
    assert 'line 1: no text in the field "reference"' in said
    assert "summary1" in said
    said = refused(capsys, *both, files["ref.txt"], "--metrics", "rouge1,meteor")
    assert "'meteor'" in said
    assert "rougeLsum" in said
    said = refused(capsys, *both, files["ref.txt"], "--tokenize", "words")
    assert "13a" in said


# A model instead of a file


def test_a_model_is_judged_by_its_answers_to_the_shipped_test_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records = task_sets.task_set("dialogues", "test")[:5]
    monkeypatch.setattr(task_sets, "task_set", lambda task, part: records)
    model, encoding = tiny_gpt(block_size=256), shipped_encoding()
    save_pretrained(model, encoding, tmp_path)
    arguments = ["--model", str(tmp_path), "--task", "summarization", "--device", "cpu"]
    found = scores(capsys, *arguments)
    assert list(found) == ["records", "metrics", "answers", "signature"]
    prompts = [f"{record['dialogue']}\nIn short:" for record in records]
    assert found["answers"] == answer(model, encoding, prompts, 80, batch_size=1)
    expected = corpus_scores(
        found["answers"], [[r["summary"] for r in records]], ["rouge1", "rougeL"]
    )
    for name, result in expected.items():
        assert found["metrics"][name] == pytest.approx(result["fmeasure"], rel=1e-12)

    assert main(["evaluate", *arguments]) == 0
    printed = capsys.readouterr().out
    assert f"answer  {found['answers'][0]}" in printed
    assert f"right   {records[0]['summary']}" in printed
    rouge = f"rougeL {found['metrics']['rougeL']:.3f}"
    assert f"5 records of summarization: rouge1 {found['metrics']['rouge1']:.3f}" in printed
    assert rouge in printed


def test_a_file_of_a_users_own_is_judged_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrained, _ = make_inputs(tmp_path)
    model, encoding = load_pretrained(pretrained)
    questions = [f"{i} and {i * i}" for i in range(7)]
    right = answer(model, encoding, [f"{q} =" for q in questions], 5)
    replies = [right[0], "wrong", *right[2:]]
    records = [{"question": q, "reply": r} for q, r in zip(questions, replies, strict=True)]
    data = write_jsonl(tmp_path / "own.jsonl", records)
    arguments = ["--model", str(pretrained), "--data", str(data), *OWN, "--metric", "accuracy"]
    found = scores(capsys, *arguments, "--max-new-tokens", "5", "--device", "cpu")
    assert found["metrics"] == {"accuracy": 6 / 7}
    assert found["answers"] == right


def test_records_with_one_prompt_are_references_of_one_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrained, _ = make_inputs(tmp_path)
    model, encoding = load_pretrained(pretrained)
    right = answer(model, encoding, ["b and 1 =", "a and 0 ="], 5)
    replies = {"b and 1": [right[0], "two"], "a and 0": ["un", "un deux", right[1] + " of it"]}
    order = ["b and 1", "a and 0", "a and 0", "b and 1", "a and 0"]
    records = [{"question": q, "reply": replies[q].pop(0)} for q in order]
    data = write_jsonl(tmp_path / "own.jsonl", records)
    out = [tmp_path / name for name in ("out.txt", "ref.txt")]
    found = scores(
        capsys, "--model", str(pretrained), "--data", str(data), *OWN, "--metric", "bleu",
        "--max-new-tokens", "5", "--device", "cpu",
        "--write-predictions", str(out[0]), "--write-references", str(out[1]),
    )  # fmt: skip
    assert found["answers"] == [right[i] for i in (0, 1, 1, 0, 1)]
    references = [[right[0], "un"], ["two", "un deux"], [None, right[1] + " of it"]]
    theirs = sacrebleu.corpus_bleu(right, references)  # type: ignore[arg-type]
    assert found["metrics"]["bleu"] == theirs.score
    assert not out[1].exists()
    columns = [
        [line.rstrip() for line in smart_open(str(tmp_path / name))]
        for name in ("out.txt", "ref.txt.1", "ref.txt.2", "ref.txt.3")
    ]
    assert [len(column) for column in columns] == [2] * 4
    assert sacrebleu.corpus_bleu(columns[0], columns[1:]).score == theirs.score


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["--write-predictions", "own.jsonl"], "--write-predictions and --data name the same"),
        (["--write-references", "a/../own.jsonl"], "--write-references and --data name the same"),
        (
            ["--write-predictions", "new.txt", "--write-references", "new.txt"],
            "--write-references and --write-predictions name the same",
        ),
        (["--write-predictions", "a/model.safetensors"], "must not be a file of a model or of a r"),
        (["--write-references", "a/checkpoint.json"], "must not be a file of a model or of a run"),
    ],
)
def test_answers_are_not_written_over_what_is_read_or_a_model(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: list[str],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("own.jsonl"), [{"question": "a", "reply": "b"}])
    Path("a").mkdir()
    for name in ("model.safetensors", "checkpoint.json"):
        (Path("a") / name).write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    assert reason in refused(capsys, "--model", "a", "--data", "own.jsonl", *OWN, *given)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_a_wrong_choice_of_model_or_task_is_one_sentence(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "give --predictions and --references, or --model" in refused(capsys)
    both = ["--model", "base", "--predictions", files["out.txt"]]
    assert "not both" in refused(capsys, *both)
    assert "needs --template" in refused(capsys, "--model", "base", "--template", "{a}")
    said = refused(capsys, "--model", "base", "--data", files["all.jsonl"])
    assert "all.jsonl, line 1: no text in the field" in said
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(capsys, "--model", str(tmp_path / "empty"))
    pretrained, data = make_inputs(tmp_path)
    own = ["--data", str(data), *OWN, "--max-new-tokens", "500"]
    said = refused(capsys, "--model", str(pretrained), *own)
    assert "max_new_tokens=500 leaves no room for a prompt in a context of 128" in said
