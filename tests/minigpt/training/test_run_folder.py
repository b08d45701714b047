"""A run writes into no folder whose model it cannot give back."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from minigpt.command.cli import main
from minigpt.text.data_sets import RemoteFile
from minigpt.text.fetch import fetch
from minigpt.training.checkpoint import load_best, save_checkpoint
from minigpt.training.loop import TrainingDivergedError, train
from minigpt.training.run_folder import check_free
from tests.minigpt.tiny.run import TinyData, tiny_config, tiny_model

MODELS = ["config.json", "model-00002-of-00003.safetensors", "pytorch_model.bin", "vocab.json",
          "adapter_model.bin", "tokenizer.json", "results.json", "tf_model.h5"]  # fmt: skip


def refused(capsys: pytest.CaptureFixture[str], *command: str | Path) -> str:
    assert main([str(word) for word in command]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert said.out == ""  # nothing was begun
    return said.err


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_is_not_of_a_run_is_not_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    out = tmp_path / "kept"
    out.mkdir()
    (out / name).write_text("mine")
    sentence = f"{out} holds a model; choose another folder for this run"
    for resume in (True, False):
        with pytest.raises(ValueError, match=sentence):
            train(tiny_model(), TinyData(), tiny_config(out_dir=out, resume=resume))
    data = tmp_path / "text"
    data.write_text("too little to train a tokenizer on")
    for more in ([], ["--resume"]):
        assert sentence in refused(capsys, "train", "--data", data, "--out", out, *more)
        command = ["finetune", "--model", "no model", "--task", "sentiment", "--out", out]
        assert sentence in refused(capsys, *command, *more)
    assert os.listdir(out) == [name]
    assert (out / name).read_text() == "mine"


@pytest.mark.parametrize("name", ["results.json", "adapter_config.json", "log.jsonl"])
@pytest.mark.parametrize("what", ["folder", "link to nothing"])
def test_what_cannot_be_written_over_is_refused_before_the_training(
    name: str, what: str, tmp_path: Path
) -> None:
    if what == "folder":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(ValueError, match=rf"{name} is not a file, and the run has to write one"):
        check_free(tmp_path, resume=True)


def test_a_log_of_something_else_is_not_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    for mine in ('{"epoch": 1}\n', "started\n"):
        log.write_text(mine)
        said = refused(capsys, "train", "--out", tmp_path)
        assert f"{log} is not the log of a run; choose another folder" in said
        assert log.read_text() == mine


def test_a_folder_with_a_run_is_refused_before_the_text_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny_model(), TinyData(), tiny_config(out_dir=tmp_path / "run", max_steps=5))
    data = tmp_path / "text"
    data.write_text("too little to train a tokenizer on")
    for command in (["train", "--data", data], ["finetune", "--model", "no model"]):
        said = refused(capsys, *command, "--out", tmp_path / "run")
        assert "already holds a training run; go on with it" in said


@pytest.mark.parametrize("there", ["model.safetensors", "adapter_config.json"])
def test_a_fetched_model_does_not_get_among_the_files_of_another(
    tmp_path: Path, there: str
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    for folder, names in ((source, ["config.json", "model.safetensors"]), (out, [there])):
        folder.mkdir()
        for name in names:
            (folder / name).write_text(f"of {folder.name}")
    files = [RemoteFile(name, f"http://localhost/{name}", size=9) for name in os.listdir(source)]
    with pytest.raises(ValueError, match=rf"{out} holds another model \({there}\); choose anoth"):
        fetch("gpt2", out, source, datasets={"gpt2": files})
    assert (out / there).read_text() == "of out"
    assert os.listdir(out) == [there]


# NaN and infinity


@pytest.mark.parametrize("bad", [math.inf, math.nan])
@pytest.mark.parametrize("name", ["model.transformer.h.1.mlp.c_fc.bias", "best.lm_head.weight",
                                  "optimizer.exp_avg_sq.transformer.ln_f.weight"])  # fmt: skip
def test_a_finished_run_with_nan_or_infinity_is_not_resumed(
    tmp_path: Path, name: str, bad: float
) -> None:
    config = tiny_config(out_dir=tmp_path, max_steps=5, early_stopping=3, eval_every=2)
    train(tiny_model(), TinyData(), config)
    (file,) = tmp_path.glob("tensors-*")
    tensors = load_file(file)
    name = name if name in tensors else "best.transformer.wte.weight"
    tensors[name].flatten()[2] = bad
    save_file(tensors, file)
    model = tiny_model()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    sentence = rf"{file} is damaged: {name} is not made of finite numbers"
    with pytest.raises(ValueError, match=sentence):
        train(model, TinyData(), replace(config, resume=True))
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    if name.startswith("best."):
        with pytest.raises(ValueError, match=sentence):
            load_best(tmp_path, model)


def test_a_checkpoint_that_no_run_could_go_on_from_is_not_written(tmp_path: Path) -> None:
    model = tiny_model()
    model.register_buffer("mask", torch.full((2,), -math.inf))  # which does no harm
    save_checkpoint(tmp_path, model, None, {"steps": 1})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with torch.no_grad():
        model.transformer["wpe"].weight[1, 1] = math.nan
    with pytest.raises(ValueError, match=r"saved in .*: model\.transformer\.wpe\.weight is not ma"):
        save_checkpoint(tmp_path, model, None, {"steps": 2})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_run_whose_weights_are_no_longer_numbers_ends_at_the_next_checkpoint(
    tmp_path: Path,
) -> None:
    config = tiny_config(
        out_dir=tmp_path, warmup_steps=0, learning_rate=1e38, checkpoint_every=1, eval_every=0
    )
    with pytest.raises(TrainingDivergedError) as diverged:
        train(tiny_model(), TinyData(), config)
    said = str(diverged.value)
    assert "at step 0 the run has diverged" in said
    assert "is not made of finite numbers); start it again with a lower learning rate" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl"]


def test_a_run_that_breaks_in_its_last_step_saves_no_checkpoint_of_it(tmp_path: Path) -> None:
    model = tiny_model()
    config = tiny_config(
        out_dir=tmp_path, max_steps=1, warmup_steps=0, learning_rate=1e38, min_learning_rate=1e38
    )
    result = train(model, TinyData(), config)
    assert not math.isfinite(result.validation[-1][1])
    assert not (tmp_path / "checkpoint.json").exists()
