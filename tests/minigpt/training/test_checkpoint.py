"""minigpt.training.checkpoint: everything comes back, and no failure leaves less than there was."""

from __future__ import annotations

import errno
import json
import os
import stat
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from minigpt.files.atomic import write_atomically
from minigpt.model import GPT
from minigpt.optim.adamw import make_optimizer
from minigpt.training import checkpoint
from minigpt.training.checkpoint import load_checkpoint, save_checkpoint
from tests.minigpt.tiny.run import TinyData, run_python, tiny_model


def trained(steps: int = 2, **sizes: int) -> tuple[GPT, torch.optim.Optimizer]:
    model = tiny_model(dropout=0.0, **sizes)
    optimizer = make_optimizer(model, 1e-2)
    for step in range(steps):
        idx, targets, _ = TinyData().train_batch(step, 4)
        model(idx, targets)[1].backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def tensors_in(folder: Path) -> Path:
    return folder / json.loads((folder / "checkpoint.json").read_text())["tensors"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_weights_and_moments_come_back_bit_for_bit(tmp_path: Path) -> None:
    model, optimizer = trained()
    save_checkpoint(tmp_path, model, optimizer, {"steps": 2, "note": "é"})
    other = tiny_model(n_layer=2).requires_grad_(True)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other_optimizer = make_optimizer(other, 1e-2)
    assert load_checkpoint(tmp_path, other, other_optimizer) == {"steps": 2, "note": "é"}
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    saved, loaded = optimizer.state_dict(), other_optimizer.state_dict()
    assert saved["param_groups"] == loaded["param_groups"]
    assert saved["state"].keys() == loaded["state"].keys()
    for number, state in saved["state"].items():
        for kind, value in state.items():
            assert torch.equal(value, loaded["state"][number][kind]), (number, kind)
    assert other.lm_head.weight is other.transformer["wte"].weight


def test_the_file_is_plain_safetensors_with_the_tied_weight_once(tmp_path: Path) -> None:
    model, optimizer = trained()
    save_checkpoint(tmp_path, model, optimizer, {})
    content = tensors_in(tmp_path).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])  # the format: a length, JSON, the numbers
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    parameters = [name for name, _ in model.named_parameters()]
    kinds = ("model", "optimizer.exp_avg", "optimizer.exp_avg_sq", "optimizer.step")
    assert sorted(header) == sorted(f"{kind}.{name}" for kind in kinds for name in parameters)
    entry = header["model.transformer.wte.weight"]
    start, end = (8 + length + offset for offset in entry["data_offsets"])
    numbers = torch.frombuffer(bytearray(content[start:end]), dtype=torch.float32)
    assert torch.equal(numbers.view(entry["shape"]), model.lm_head.weight.detach())


def test_saving_again_replaces_and_leaves_two_files(tmp_path: Path) -> None:
    model, optimizer = trained()
    for step in range(3):
        save_checkpoint(tmp_path, model, optimizer, {"steps": step})
        assert load_checkpoint(tmp_path, model, optimizer)["steps"] == step
        assert len(names(tmp_path)) == 2


def test_new_files_have_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "any").write_text("")
    save_checkpoint(tmp_path, *trained(), {})
    usual = stat.S_IMODE((tmp_path / "any").stat().st_mode)
    assert stat.S_IMODE(tensors_in(tmp_path).stat().st_mode) == usual


def test_trainable_only_leaves_out_the_frozen_weights(tmp_path: Path) -> None:
    model = tiny_model()
    model.transformer["h"].requires_grad_(False)
    save_checkpoint(tmp_path, model, None, {}, trainable_only=True)
    other = tiny_model()
    other.transformer["h"].requires_grad_(False)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.fill_(7.0)
    load_checkpoint(tmp_path, other)
    for name, parameter in other.named_parameters():
        if parameter.requires_grad:
            assert torch.equal(parameter, dict(model.named_parameters())[name])
        else:
            assert (parameter == 7.0).all()


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, -1])
def test_a_file_cut_short_is_named_and_the_model_unchanged(tmp_path: Path, kept: float) -> None:
    save_checkpoint(tmp_path, *trained(), {})
    path = tensors_in(tmp_path)
    size = path.stat().st_size
    os.truncate(path, int(kept * size) if isinstance(kept, float) else kept % size)
    model, optimizer = trained(steps=1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"tensors-0\.safetensors is cut short or damaged"):
        load_checkpoint(tmp_path, model, optimizer)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"tensors": "tens', r"checkpoint\.json is cut short or damaged"),
        ("[]", r"checkpoint\.json should be one JSON object"),
        (
            '{"tensors": "../../elsewhere.safetensors"}',
            r"checkpoint\.json: tensors must be \"tenso",
        ),
        ('{"tensors": "tensors-0.safetensors", "progress": {}}', "trainable_only is missing"),
    ],
)
def test_a_damaged_commit_record_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "checkpoint.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_checkpoint(tmp_path, tiny_model())


WEIGHT = "transformer.ln_f.weight"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            f"optimizer.exp_avg.{WEIGHT}",
            None,
            r"it has no optimizer\.exp_avg\.transformer",
        ),
        (f"optimizer.step.{WEIGHT}", None, r"it has no optimizer\.step\.transformer\.ln_f\.weight"),
        (f"optimizer.exp_avg.{WEIGHT}", torch.ones(3), r"shape \[3\], and .* of shape \[16\]"),
        (f"optimizer.step.{WEIGHT}", torch.ones(2), r"of shape \[2\], and .* of shape \[\]"),
        (f"optimizer.exp_avg_sq.{WEIGHT}", torch.ones(16, dtype=torch.int8), "is torch.int8"),
        ("optimizer.exp_avg", torch.ones(1), "is of another run:  was trained there"),
        ("optimizer.exp_avg.x", torch.ones(1), "is of another run: x was trained there"),
    ],
)
def test_damaged_moments_are_named(
    tmp_path: Path, key: str, value: torch.Tensor | None, message: str
) -> None:
    save_checkpoint(tmp_path, *trained(), {})
    tensors = load_file(tensors_in(tmp_path))
    tensors = {name: t for name, t in tensors.items() if name != key}
    save_file(tensors | ({} if value is None else {key: value}), tensors_in(tmp_path))
    with pytest.raises(ValueError, match=message):
        load_checkpoint(tmp_path, *trained())


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no checkpoint in"):
        load_checkpoint(tmp_path, tiny_model())
    save_checkpoint(tmp_path, *trained(), {})
    tensors_in(tmp_path).unlink()
    with pytest.raises(FileNotFoundError, match=r"tensors-0\.safetensors is missing"):
        load_checkpoint(tmp_path, tiny_model())


def test_another_model_is_refused_with_the_first_difference(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, *trained(), {})
    wider = tiny_model(n_embd=20)
    before = wider.lm_head.weight.detach().clone()
    with pytest.raises(ValueError, match=r"wte\.weight has shape \[32, 16\] .* there, \[32, 20\]"):
        load_checkpoint(tmp_path, wider)
    assert torch.equal(wider.lm_head.weight, before)
    with pytest.raises(ValueError, match=r"it has no tensor model\.transformer\.h\.2\.ln_1\.weigh"):
        load_checkpoint(tmp_path, tiny_model(n_layer=3))
    with pytest.raises(ValueError, match=r"this one has no tensor model\.transformer\.h\.1\."):
        load_checkpoint(tmp_path, tiny_model(n_layer=1))
    with pytest.raises(ValueError, match=r"dtype torch\.float32 there, .* torch\.bfloat16 here"):
        load_checkpoint(tmp_path, tiny_model().bfloat16())
    frozen = tiny_model()
    frozen.transformer["wpe"].requires_grad_(False)
    with pytest.raises(ValueError, match=r"transformer\.wpe\.weight was trained there, not here"):
        load_checkpoint(tmp_path, frozen)


NO_SPACE = OSError(errno.ENOSPC, "No space left on device")
NO_SPACE_IN_RUST = SafetensorError("I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ((checkpoint, "save_file"), NO_SPACE_IN_RUST),
        ((Path, "write_bytes"), NO_SPACE),
        ((os, "fsync"), NO_SPACE),
        ((os, "replace"), NO_SPACE),
    ],
    ids=["tensors", "record", "fsync", "rename"],
)
def test_a_full_disk_keeps_the_earlier_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str], error: Exception
) -> None:
    model, optimizer = trained(steps=1)
    save_checkpoint(tmp_path, model, optimizer, {"steps": 1})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*arguments: Any, **named: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(*where, full)
        with pytest.raises(OSError, match=r"could not write .*No space left.* before is kept"):
            save_checkpoint(tmp_path, *trained(steps=2), {"steps": 2})
    assert not [name for name in names(tmp_path) if name.endswith(".tmp")]
    assert all((tmp_path / name).read_bytes() == content for name, content in before.items())
    assert load_checkpoint(tmp_path, *trained())["steps"] == 1
    save_checkpoint(tmp_path, model, optimizer, {"steps": 3})  # space again
    assert load_checkpoint(tmp_path, *trained())["steps"] == 3
    assert len(names(tmp_path)) == 2


@pytest.mark.skipif(os.name != "posix", reason="limits on file sizes are POSIX")
def test_a_file_that_the_system_refuses_to_let_grow_is_one_sentence(tmp_path: Path) -> None:
    script = """
import resource, sys
from tests.minigpt.tiny.run import tiny_model
from minigpt.training.checkpoint import save_checkpoint
model = tiny_model()
save_checkpoint(sys.argv[1], model, None, {"steps": 1})
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    save_checkpoint(sys.argv[1], model, None, {"steps": 2})
except OSError as error:
    print(error)
"""
    said = run_python("-c", script, tmp_path)
    assert "tensors-1.safetensors: " in said
    assert "what was there before is kept" in said
    assert names(tmp_path) == ["checkpoint.json", "tensors-0.safetensors"]
    assert load_checkpoint(tmp_path, tiny_model())["steps"] == 1


def test_a_writer_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    write_atomically(target, lambda path: path.write_text("old"))

    def interrupted(path: Path) -> None:
        path.write_text("half of the n")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(target, interrupted)
    assert target.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_what_a_killed_writer_left_behind_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file.txt.tmp").mkdir()
    (tmp_path / "file.txt.tmp" / "file.txt").write_text("half")
    write_atomically(tmp_path / "file.txt", lambda path: path.write_text("new"))
    assert (tmp_path / "file.txt").read_text() == "new"
    assert names(tmp_path) == ["file.txt"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        save_checkpoint(tmp_path / "file" / "run", tiny_model(), None, {})
