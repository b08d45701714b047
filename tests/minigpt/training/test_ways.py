"""A run keeps the ways in which it began to compute, whatever would be chosen later."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from minigpt import device
from minigpt.fast.linear import HAS_ONEDNN, ONEDNN, PLAIN, PRODUCTS
from minigpt.training import checkpoint, ways
from minigpt.training.distributed import SINGLE
from minigpt.training.loop import train
from tests.minigpt.tiny.run import StoppedError, TinyData, crash_at, tiny_config, tiny_model

CPU = torch.device("cpu")


@pytest.mark.skipif(not HAS_ONEDNN, reason="there is one way only")
def test_a_resumed_run_computes_as_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways, "choose_products", lambda width, n_rows: ONEDNN)
    whole = tiny_model()
    uninterrupted = train(whole, TinyData(), tiny_config())
    assert uninterrupted.ways == {"dtype": "float32", "products": ONEDNN}
    assert PRODUCTS.get() == PLAIN  # outside of the run
    config = tiny_config(out_dir=tmp_path, resume=True)
    with pytest.raises(StoppedError):
        train(tiny_model(), crash_at(13), config)
    assert PRODUCTS.get() == PLAIN

    def choose_otherwise(*_: object) -> str:
        raise AssertionError("a way was chosen again")

    monkeypatch.setattr(ways, "choose_products", choose_otherwise)
    monkeypatch.setattr(ways, "autocast_dtype", choose_otherwise)
    model = tiny_model()
    result = train(model, TinyData(), config)
    assert result.ways == uninterrupted.ways
    assert result.losses == uninterrupted.losses
    for name, tensor in whole.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name


def test_a_run_that_needs_what_this_torch_lacks_is_not_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways, "HAS_ONEDNN", False)
    earlier = {"dtype": "float32", "products": ONEDNN}
    with pytest.raises(ValueError, match=r"by oneDNN, which torch .* lacks here; resume"):
        ways.choose_ways(tiny_model(), tiny_config(out_dir=tmp_path), SINGLE, earlier, 24)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"dtype": "float8", "products": "plain"}, r"progress\.ways\.dtype must be .*float32"),
        ({"dtype": "float32", "products": 1}, r"progress\.ways\.products must be .*plain"),
        ({"dtype": "float32"}, r"progress\.ways.*products"),
        ("float32", r"progress\.ways must be"),
        (None, None),  # a checkpoint of before there was a choice
    ],
)
def test_ways_that_there_are_not_are_refused(
    tmp_path: Path, found: object, message: str | None
) -> None:
    config = tiny_config(out_dir=tmp_path, resume=True)
    with pytest.raises(StoppedError):
        train(tiny_model(), crash_at(13), config)
    path = tmp_path / checkpoint.COMMIT_RECORD
    record = json.loads(path.read_text())
    record["progress"]["ways"] = found
    if found is None:
        del record["progress"]["ways"]
    path.write_text(json.dumps(record))
    if message is None:
        assert train(tiny_model(), TinyData(), config).ways["dtype"] == "float32"
        return
    with pytest.raises(ValueError, match=message):
        train(tiny_model(), TinyData(), config)


@pytest.mark.parametrize("chosen", ["float32", "bfloat16"])
def test_bf16_is_chosen_where_it_was_faster(chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def choose(what: str, where: str, candidates: dict, margin: float, enough: float) -> str:
        asked.append((what, list(candidates), where))
        for multiply in candidates.values():
            multiply()
        assert margin > 0.05
        assert enough <= 0.2
        return chosen

    monkeypatch.setattr(device, "choose", choose)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert device.autocast_dtype(CPU, "auto", 24) == getattr(torch, chosen)
    assert asked[0][:2] == ("dtype", ["float32", "bfloat16"])
    assert "width 24" in asked[0][2]
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    device.autocast_dtype(CPU)
    assert asked[1][1] == ["float32"]  # emulated, the other is not worth a question
    assert device.autocast_dtype(CPU, "bfloat16") == torch.bfloat16
    assert len(asked) == 2
