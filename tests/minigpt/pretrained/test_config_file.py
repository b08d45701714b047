"""Each field of config.json is checked, against its bounds and against the weights beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from minigpt import device
from minigpt.command.cli import main
from minigpt.pretrained.folders import load_gpt2, save_gpt2
from tests.minigpt.tiny.gpt2 import ours


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_gpt2(ours(), tmp_path)
    return tmp_path


def changed(folder: Path, **changes: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def test_a_size_that_cannot_be_is_refused_by_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (folder / "config.json").read_text()
    for field in ("vocab_size", "n_positions", "n_layer", "n_head", "n_embd"):
        for value in (None, True, 3.5, "12", 10**30, 10**9, 0, [2], 7):
            changed(folder, **{field: value})
            with pytest.raises(ValueError, match=rf"config\.json: .*{field}"):
                load_gpt2(folder)
            (folder / "config.json").write_text(whole)
    changed(folder, n_layer=10**9)
    assert main(["generate", "--model", str(folder), "--prompt", "a"]) == 2
    sentence = capsys.readouterr().err
    assert sentence.startswith(f"minigpt: {folder / 'config.json'}: n_layer must be a whole number")
    assert sentence.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bias": "yes"}, 'bias must be true or false, got "yes"'),
        ({"resid_pdrop": float("nan")}, "resid_pdrop must be a finite number at least 0 and below"),
        ({"quantization_config": [4]}, "quantization_config must be an object"),
        ({"quantization_config": {"load_in_4bit": 1}}, "load_in_4bit must be true or false, got 1"),
        ({"model_type": ["gpt2"]}, r'model_type is \["gpt2"\], but GPT computes only "gpt2"'),
        ({"layer_norm_epsilon": None}, "layer_norm_epsilon is null, but GPT computes only 1e-05"),
        ({"transformers_weights": "other.safetensors"}, "transformers_weights must be "),
        ({"configuration_files": ["config.4.0.0.json"]}, r"configuration_files\[0\] must be "),
        ({"n_inner": "128"}, 'n_inner must be a whole number of at least 1 or null, got "128"'),
    ],
)
def test_a_switch_of_another_type_is_refused_by_name(
    folder: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=rf"config\.json: .*{reason}"):
        load_gpt2(changed(folder, **changes))


def test_a_model_for_which_there_is_no_memory_is_not_built(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "free_memory", lambda _: 100_000)
    with pytest.raises(ValueError, match=r"the model in .* takes at least .* GB of memory"):
        load_gpt2(folder)
