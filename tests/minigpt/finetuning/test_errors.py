"""What `minigpt finetune` refuses: one sentence, nothing written, nothing lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from minigpt.command.cli import main
from tests.minigpt.tiny.finetune import OWN, finetune_command, make_inputs, run


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[Path, Path]:
    return make_inputs(tmp_path)


def refused(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """Returns the one sentence that a wrong command ends in, after no other output but settings."""
    capsys.readouterr()
    assert main(list(command)) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    last = error.strip().splitlines()[-1]
    assert last.startswith("minigpt: ")
    return last


BAD: dict[str, tuple[list[str], str]] = {
    "rank 0": (["--r", "0"], "--r must be a whole number from 1 to"),
    "rank": (["--r", "17"], "17"),
    "target": (
        ["--target-modules", "c_attn,query"],
        "no linear layer is called 'query'; there are attn.c_attn, attn.c_proj, mlp.c_fc,",
    ),
    "rehearse": (["--rehearse", "1.5"], "--rehearse must be a number of at least 0 and below 1"),
    "steps": (["--steps", "0"], "--steps must be a whole number from 1 to 1,000,000,000, got '0'"),
    "batch 0": (["--batch-size", "0"], "--batch-size must be a whole number from 1 to"),
    "big batch": (["--batch-size", "99"], "a batch of 99 rows is more than the training data"),
    "rate": (
        ["--learning-rate", "-1"],
        "--learning-rate must be a number above 0 and at most 1e+38, got",
    ),
    "nan rate": (["--learning-rate", "nan"], "--learning-rate must be a number above 0"),
    "no eval": (["--eval-every", "0"], "early_stopping=3 needs validations"),
    "eval": (["--eval-every", "-1"], "--eval-every must be"),
    "dropout": (["--dropout", "1"], "dropout"),
    "lora dropout": (["--lora-dropout", "1.5"], "dropout"),
    "alpha": (["--alpha", "nan"], "alpha"),
    "row": (["--row-length", "1000"], "row_length must be from 1 to 128, got 1000"),
    "row and prompt": (
        ["--method", "prompt", "--n-tokens", "5", "--row-length", "124"],
        "row_length must be from 1 to 123, got 124",
    ),
    "row and prefix": (
        ["--method", "prefix", "--n-tokens", "50", "--row-length", "79"],
        "row_length must be from 1 to 78, got 79",
    ),
    "virtual tokens": (
        ["--method", "prompt", "--n-tokens", "122"],
        "n_tokens must be at most 121, so that the context of 128 tokens has room for a prompt "
        "and an answer of 6, got 122; take fewer n_tokens",
    ),
    "words and network": (
        ["--method", "prefix", "--init-text", "Translate", "--reparametrize", "8"],
        "init_text cannot be given along with reparametrize",
    ),
    "blocks": (
        ["--method", "selective", "--last-blocks", "2"],
        "last_blocks must be from 1 to 1, the blocks of this model, got 2",
    ),
    "blocks 0": (
        ["--method", "selective", "--last-blocks", "0"],
        "--last-blocks must be a whole number from 1 to",
    ),
    "short row": (["--row-length", "1"], "record 1 of 28"),
    "seed": (["--seed", "-1"], "seed"),
    "test": (["--test", "1.5"], "test must be a fraction below 1 or a whole number, got 1.5"),
    "no test": (["--test", "0"], "--test must be a number above 0"),
    "no validation": (["--validation", "0"], "--validation must be a number above 0"),
    "split": (["--test", "39"], "40 different prompts cannot be split"),
    "answers": (["--max-new-tokens", "128"], "max_new_tokens=128 leaves no room for a prompt"),
    "field": (["--answer", "{solution}"], 'sums.jsonl, line 1: no text in the field "solution"'),
    "template": (["--template", "{question"], "cannot be read"),
    "no field": (["--template", "question"], "must name a field of the records"),
    "device": (["--device", "mars"], "mars"),
    "data": (["--data", "nowhere.jsonl"], "nowhere.jsonl"),
    "empty template": (["--template", ""], "must name a field of the records"),
    "empty answer": (["--answer", ""], "must name a field of the records"),
    "two": (
        ["--task", "sentiment", "translation"],
        "--task does nothing beside --template and --answer",
    ),
    "wordings": (["--all-wordings"], "--all-wordings does nothing with --template"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_options_are_one_sentence_and_leave_nothing(
    inputs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    options, said = BAD[case]
    out = tmp_path / "runs" / "new"
    message = refused(capsys, *finetune_command(*inputs, out, *options))
    assert said in message
    assert not out.parent.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b'{"question": "a", "reply": "b"}\nnot json\n', "line 2"),
        (
            b'{"question": "a", "reply": "b"}\n\n{"question": "a"}\n',
            'line 3: no text in the field "reply"',
        ),
        (b'["question"]\n', "line 1"),
        (b'{"question": "caf\xe9", "reply": "b"}\n', "UTF-8"),
        (b'{"question": "a", "reply": "b"}\n', "1 different prompts cannot be split"),
    ],
)
def test_data_that_cannot_be_read_is_one_sentence(
    inputs: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    said: str,
) -> None:
    data = tmp_path / "bad.jsonl"
    data.write_bytes(content)
    for command in (
        finetune_command(inputs[0], data, tmp_path / "run"),
        ["evaluate", "--model", str(inputs[0]), "--data", str(data), *OWN],
    ):
        if command[0] == "evaluate" and "split" in said:
            continue
        message = refused(capsys, *command)
        assert said in message
        assert "bad.jsonl" in message or "split" in said
    assert not (tmp_path / "run").exists()


def test_a_number_format_that_does_not_exist_lists_those_that_do(
    inputs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = finetune_command(*inputs, tmp_path / "run", "--dtype", "float8")
    assert "float32" in refused(capsys, *command)


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_last_checkpoint(
    inputs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = finetune_command(*inputs, out, "--method", "full", "--early-stopping", "0")
    command += ["--learning-rate", "1e15", "--eval-every", "1"]
    message = refused(capsys, *command)
    for part in (
        "at step",
        "diverged",
        "lower learning rate",
        f"the checkpoint in {out} is of step",
    ):
        assert part in message
    assert (out / "checkpoint.json").is_file()
    assert not (out / "results.json").exists()
    assert not (out / "model.safetensors").exists()


def test_a_model_that_breaks_in_the_last_step_is_not_saved(
    inputs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one_step = ["--method", "full", "--learning-rate", "1e38", "--steps", "1"]
    out = tmp_path / "run"
    message = refused(capsys, *finetune_command(*inputs, out, *one_step, "--early-stopping", "0"))
    assert "after 1 steps the validation loss is" in message
    assert "lower learning rate than 1e+38" in message
    assert not (out / "results.json").exists()
    assert not (out / "model.safetensors").exists()

    out = tmp_path / "kept"
    results = run(*finetune_command(*inputs, out, *one_step, "--early-stopping", "3"))
    assert results["training"]["weights_of_step"] == 0
    assert results["after"] == results["before"]
    assert results["training"]["validation"][-1] == [1, None]


def test_a_folder_with_a_model_is_not_written_over(
    inputs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrained, data = inputs
    before = {path: path.read_bytes() for path in pretrained.iterdir()}
    for more in ([], ["--resume"], ["--method", "full"]):
        message = refused(capsys, *finetune_command(pretrained, data, pretrained, *more))
        assert f"{pretrained} holds a model; choose another folder" in message
    assert {path: path.read_bytes() for path in pretrained.iterdir()} == before


def test_records_of_ones_own_are_not_written_over(
    inputs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrained, data = inputs
    out = tmp_path / "mine"
    for name in ("test.jsonl", "test-sums.jsonl"):
        mine = out / name
        out.mkdir(exist_ok=True)
        mine.write_bytes(data.read_bytes())
        message = refused(capsys, *finetune_command(pretrained, mine, out))
        assert f"{out} holds {name}, in whose place this run's test records would be" in message
        assert [path.name for path in out.iterdir()] == [name]
        assert mine.read_bytes() == data.read_bytes()
        mine.unlink()
