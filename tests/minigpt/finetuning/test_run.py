"""`minigpt finetune`: what it leaves, and what it reports."""

from __future__ import annotations

import json
import shlex
from dataclasses import fields
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from minigpt.command.cli import main
from minigpt.finetuning import FinetuneSettings
from minigpt.finetuning.run import records_of, write_test_records
from minigpt.pretrained.folders import save_pretrained
from minigpt.tasks.data import TaskData
from minigpt.tasks.task import make_task, read_records, split_records
from minigpt.text import task_sets
from tests.minigpt.tiny.finetune import (
    OWN,
    RECORDS,
    finetune_command,
    make_inputs,
    run,
    shipped_encoding,
    tiny_gpt,
    write_jsonl,
)

DIALOGSUM = Path(__file__).parents[4] / "shared" / "data" / "dialogsum" / "dev.jsonl"


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[Path, Path]:
    return make_inputs(tmp_path)


@pytest.fixture
def few_shipped_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cuts the parts of the shipped task sets to 12 records each."""
    whole = task_sets.task_set
    monkeypatch.setattr(task_sets, "task_set", lambda task, part: whole(task, part)[:12])


def held_out() -> list[dict]:
    """Returns the records that every run here is tested with."""
    task = make_task("own", OWN[1], OWN[3])
    return split_records(RECORDS, task, 6, 6)[2]


def test_results_say_everything_about_the_run(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    results = run(*finetune_command(*inputs, tmp_path / "run", "--method", "lora"))
    assert results["method"] == "lora"
    assert results["model"] == str(inputs[0])
    assert results["before"].keys() == results["after"].keys() == {"own"}
    assert results["signatures"] == {"own": "exact match"}
    trained = results["training"]
    assert trained["steps"] == 6
    assert not trained["stopped_early"]
    assert (trained["batch_size"], trained["learning_rate"]) == (3, 0.002)
    assert trained["tokens"] == 6 * 3 * 32
    assert [step for step, _ in trained["validation"]] == [0, 2, 4, 6]
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert trained["validation"] == [
        [line["step"], line["validation_loss"]] for line in log if "validation_loss" in line
    ]
    names = {field.name for field in fields(FinetuneSettings)}
    assert results["settings"].keys() == names - {"resume", "progress"}
    assert results["settings"]["r"] == 2
    assert results["tasks"]["own"]["source"] == str(inputs[1])


def test_records_from_a_program_are_kept_with_what_json_does_not_have(tmp_path: Path) -> None:
    task = make_task("own", "{q}", "{n}")
    record = {
        "q": "How many?\ud83d",
        "n": np.int64(7),
        "x": Decimal("1.50"),
        "day": date(2024, 2, 29),
    }
    part = TaskData(task, [record], [record], [record])
    assert records_of([part]) == records_of([part])
    write_test_records(tmp_path, [part])
    (again,) = read_records(tmp_path / "test.jsonl", task)
    assert again == {"q": "How many?\ufffd", "n": "7", "x": "1.50", "day": "2024-02-29"}
    assert (task.prompt(again), task.target(again)) == (task.prompt(record), task.target(record))


def test_the_records_of_the_samples_and_of_the_test_were_not_learnt(
    inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    results = run(*finetune_command(*inputs, tmp_path / "run"))
    test = held_out()
    assert [
        json.loads(x) for x in (tmp_path / "run" / "test.jsonl").read_text().splitlines()
    ] == test
    assert [s["prompt"] for s in results["samples"]] == [f"{r['question']} =" for r in test[:3]]
    assert [s["right"] for s in results["samples"]] == [r["reply"] for r in test[:3]]


def test_half_characters_and_parts_in_files_of_their_own_go_all_the_way(
    inputs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = [
        {"question": f"{r['question']} \ud83d", "reply": f"\ude00{i}"}
        for i, r in enumerate(RECORDS)
    ]
    data = tmp_path / "halves.json"
    data.write_text(json.dumps(half[:30]))
    (tmp_path / "val.csv").write_text("reply,question\n1,one\n2,two\n")
    test = tmp_path / "test.JSONL"
    test.write_text("".join(json.dumps(record) + "\n" for record in half[25:]))
    out = tmp_path / "run"
    command = finetune_command(inputs[0], data, out, "--validation", str(tmp_path / "val.csv"))
    command += ["--test", str(test)]
    results = run(*command)
    assert "among the prompts to train are 5 of those to test" in capsys.readouterr().out
    (sizes,) = results["tasks"].values()
    assert [sizes[part] for part in ("train", "validation", "test")] == [30, 2, 15]
    assert results["samples"][0]["prompt"] == "5 plus 0 \ufffd ="
    assert results["samples"][0]["right"] == "\ufffd25"
    assert run(*command, "--resume")["after"] == results["after"]
    capsys.readouterr()
    for more in (["--data", str(test)], []):  # the task and its records are those of the run
        assert main(["evaluate", "--model", str(out), *more, "--json", "--device", "cpu"]) == 0
        assert json.loads(capsys.readouterr().out)["metrics"] == results["after"]["own"]
    damaged = (out / "results.json").read_text("utf-8").replace('"{question} ="', '"{question ="')
    (out / "results.json").write_text(damaged, "utf-8")
    assert main(["evaluate", "--model", str(out)]) == 2
    assert "results.json: the template '{question =' cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["own", "shipped"])
def test_the_command_printed_at_the_end_gives_the_score_after(
    inputs: tuple[Path, Path],
    tmp_path: Path,
    few_shipped_records: None,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    command = finetune_command(*inputs, tmp_path / "a run", "--method", "full")
    if kind == "shipped":
        command = without(command, *OF_OWN_RECORDS)
        command += ["--task", "sentiment", "--row-length", "128"]
    results = run(*command)
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("try: minigpt evaluate ")
    assert main([*shlex.split(last)[2:], "--json", "--device", "cpu"]) == 0
    (after,) = results["after"].values()
    assert json.loads(capsys.readouterr().out)["metrics"] == after


OF_OWN_RECORDS = (
    "--data", "--template", "--answer", "--metric", "--max-new-tokens", "--validation", "--test",
)  # fmt: skip


def without(command: list[str], *options: str) -> list[str]:
    """Returns the command without these options and their values."""
    for option in options:
        i = command.index(option)
        command = command[:i] + command[i + 2 :]
    return command


def test_a_task_that_is_learnt_is_answered_better(
    inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    save_pretrained(tiny_gpt(std=0.05), shipped_encoding(), inputs[0])
    data = write_jsonl(tmp_path / "yes.jsonl", [{**r, "reply": "yes"} for r in RECORDS])
    options = ["--steps", "40", "--eval-every", "10", "--method", "full", "--learning-rate", "0.02"]
    results = run(*finetune_command(inputs[0], data, tmp_path / "run", *options))
    assert results["before"] == {"own": {"accuracy": 0.0}}
    assert results["after"] == {"own": {"accuracy": 1.0}}
    assert {sample["after"] for sample in results["samples"]} == {"yes"}


def test_several_tasks_are_learnt_and_judged_together(
    inputs: tuple[Path, Path], tmp_path: Path, few_shipped_records: None
) -> None:
    command = without(finetune_command(*inputs, tmp_path / "run"), *OF_OWN_RECORDS)
    results = run(*command, "--task", "translation", "sentiment", "--row-length", "128")
    assert list(results["after"]) == list(results["before"]) == ["translation", "sentiment"]
    assert [s["task"] for s in results["samples"]] == ["translation"] * 3 + ["sentiment"] * 3
    assert results["after"]["translation"].keys() == {"bleu"}
    assert results["after"]["sentiment"].keys() == {"accuracy"}
    assert (
        "BLEU" in results["signatures"]["translation"]
        or "tok:13a" in results["signatures"]["translation"]
    )
    assert list(results["tasks"]) == ["translation", "sentiment"]


@pytest.mark.parametrize("patience", [0, 1])
def test_it_says_whether_it_stopped_early_and_whose_weights_it_kept(
    inputs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], patience: int
) -> None:
    out = tmp_path / "run"
    bad = ["--learning-rate", "3", "--method", "full", "--early-stopping", str(patience)]
    trained = run(*finetune_command(*inputs, out, *bad))["training"]
    printed = capsys.readouterr().out
    losses = dict(map(tuple, trained["validation"]))
    assert trained["best_step"] == min(losses, key=losses.__getitem__) == 0
    assert trained["stopped_early"] == bool(patience)
    assert trained["steps"] == (2 if patience else 6)
    kept = 0 if patience else 6
    assert trained["weights_of_step"] == kept
    assert f"the weights are those of step {kept}" in printed
    assert ("stopped early" in printed) == bool(patience)


@pytest.mark.skipif(not DIALOGSUM.is_file(), reason="DialogSum is not on this machine")
def test_dialogsums_development_set_with_50_to_test(tmp_path: Path) -> None:
    save_pretrained(tiny_gpt(block_size=256), shipped_encoding(), tmp_path / "pretrained")
    command = finetune_command(tmp_path / "pretrained", DIALOGSUM, tmp_path / "run")
    command = without(command, "--template", "--answer", "--metric", "--max-new-tokens")
    command = without(command, "--row-length", "--validation", "--test")
    results = run(*command, "--task", "summarization", "--test", "50", "--steps", "1")
    assert results["after"]["summarization"].keys() == {"rouge1", "rouge2", "rougeL"}
    test = (tmp_path / "run" / "test.jsonl").read_text("utf-8").splitlines()
    assert len({json.loads(line)["dialogue"] for line in test}) == 50
    assert results["tasks"]["summarization"]["test"] == len(test)


def test_help_shows_the_options_and_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["finetune", "--help"])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    for part in ("--method {full,lora", "--task {translation,summarization,sentiment}", "--resume",
                 "--rehearse SHARE", "--early-stopping N", "example: minigpt"):  # fmt: skip
        assert part in printed
