"""Every method of fine-tuning, through the command line: trained, saved, loaded, used."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from minigpt.command.cli import main
from minigpt.finetuning import run as finetuning
from minigpt.finetuning.methods import METHODS, load_model, read_results
from minigpt.finetuning.settings import BIASES_RATE, IN_PLACE, RECIPES, FinetuneSettings
from minigpt.model import GPT
from minigpt.pretrained import folders
from minigpt.pretrained.folders import save_pretrained
from minigpt.pretrained.quantized import save_quantized
from minigpt.qlora.model import quantize_model, quantized_layers
from minigpt.training.loop import train
from minigpt.training.result import TrainResult
from minigpt.training.settings import TrainConfig
from tests.minigpt.tiny.finetune import (
    finetune_command,
    make_inputs,
    run,
    shipped_encoding,
    tiny_gpt,
)

# What a run is given so that its method has something to show, and the files it leaves.
OPTIONS = {
    "full": ["--dropout", "0.1"],
    "lora": ["--lora-dropout", "0.1", "--dropout", "0.1"],
    "qlora": [
        *("--lora-dropout", "0.1", "--nf4-block-size", "32", "--no-double-quant"),
        "--gradient-checkpointing",
    ],
    "prompt": ["--n-tokens", "3", "--init-text", "What is it?"],
    "prefix": ["--n-tokens", "3", "--reparametrize", "8", "--gate"],
    "bottleneck": ["--bottleneck", "3", "--dropout", "0.1"],
    "selective": ["--biases-only", "--dropout", "0.1"],
}
ADAPTER = {"adapter_config.json", "adapter_model.safetensors"}
FILES = dict.fromkeys(METHODS, ADAPTER) | {
    "full": {"config.json", "model.safetensors", "tokenizer.json"}
}
OF_A_RUN = {"results.json", "test.jsonl", "log.jsonl", "checkpoint.json"}


class Finished:
    """A finished run of a method: its folder, its report, the trained model and the settings."""

    def __init__(self, method: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pretrained, self.data = make_inputs(folder)
        self.out = folder / "run"
        kept: list[GPT] = []
        configs: list[TrainConfig] = []

        def load_and_keep(name: str) -> tuple[GPT, Any]:
            model, encoding = load_model(name)
            kept.append(model)
            return model, encoding

        def train_and_keep(model: GPT, data: Any, config: TrainConfig, *more: Any) -> TrainResult:
            configs.append(config)
            return train(model, data, config, *more)

        monkeypatch.setattr(folders, "load_pretrained", load_and_keep)
        monkeypatch.setattr(finetuning, "train", train_and_keep)
        options = ["--method", method, *OPTIONS[method]]
        self.results = run(*finetune_command(self.pretrained, self.data, self.out, *options))
        (self.trained,), (self.config,) = kept, configs


@pytest.fixture(scope="module", params=list(METHODS))
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return Finished(request.param, tmp_path_factory.mktemp(request.param), monkeypatch)


IDX = torch.tensor([[5, 600, 70, 8, 9, 1000]])


def test_the_loaded_model_is_the_trained_one_bit_for_bit(finished: Finished) -> None:
    loaded, encoding = load_model(finished.out)
    assert not any(module.training for module in loaded.modules())
    with torch.no_grad():
        found, expected = loaded(IDX)[0], finished.trained.eval()(IDX)[0]
        before = load_model(finished.pretrained)[0](IDX)[0]
    assert torch.equal(found, expected)
    assert not torch.equal(found, before)
    assert encoding.encode_ordinary("a b") == shipped_encoding().encode_ordinary("a b")


def test_a_run_leaves_its_methods_files_and_no_others(finished: Finished) -> None:
    names = {p.name for p in finished.out.iterdir() if not p.name.startswith("tensors-")}
    assert names == FILES[finished.results["method"]] | OF_A_RUN


def test_only_what_the_method_trains_is_changed(finished: Finished) -> None:
    before = dict(load_model(finished.pretrained)[0].named_parameters())
    after = dict(finished.trained.named_parameters())
    sizes = {name: p.numel() for name, p in after.items() if p.requires_grad}
    trained, every = sum(sizes.values()), sum(p.numel() for p in before.values())
    if finished.results["method"] == "full":
        assert finished.results["parameters"] == {"trained": every, "all": every}
        assert all(not torch.equal(after[name], p) for name, p in before.items())
        return
    added = 0 if finished.results["method"] == "selective" else trained
    assert finished.results["parameters"] == {"trained": trained, "all": every + added}
    if not added:
        assert sizes.keys() == {name for name in before if name.endswith(".bias")}
        before = {name: p for name, p in before.items() if name not in sizes}
    frozen = {name.replace(".base.", "."): p for name, p in after.items() if name not in sizes}
    assert all(torch.equal(p, before[name]) for name, p in frozen.items())
    in_four_bits = {name for name in before.keys() - frozen.keys() if name.endswith(".weight")}
    assert before.keys() - frozen.keys() == in_four_bits
    assert len(in_four_bits) == (4 if finished.results["method"] == "qlora" else 0)


def test_the_options_of_a_method_are_what_it_trains_with(finished: Finished) -> None:
    model, method = finished.trained, finished.results["method"]
    assert model.gradient_checkpointing == (method == "qlora")
    assert finished.config.paged == (method == "qlora")
    rate = BIASES_RATE if method == "selective" else RECIPES[method].learning_rate
    assert finished.config.learning_rate == rate
    assert finished.config.weight_decay == RECIPES[method].weight_decay
    four_bits = quantized_layers(model).values()
    assert {(q.block_size, q.nested_block_size) for q in four_bits} == (
        {(32, None)} if method == "qlora" else set()
    )
    stands = model.beside() if "--gate" in OPTIONS[method] else model.prefix()
    n_tokens = 0 if stands is None else stands[0].keys.size(2)
    assert n_tokens == (3 if "--n-tokens" in OPTIONS[method] else 0)


def test_processes_that_share_the_optimizers_state_do_not_page_it() -> None:
    for parallel, paged in (("auto", True), ("ddp", True), ("fsdp", False)):
        settings = FinetuneSettings(method="qlora", parallel=parallel)
        assert settings.train_config(4).paged == paged


def test_evaluate_gives_the_scores_that_results_json_reports(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    task = ["--template", "{question} =", "--answer", "{reply}", "--metric", "accuracy"]
    task += ["--max-new-tokens", "6", "--data", str(finished.out / "test.jsonl"), "--json"]
    models = {"before": finished.pretrained, "after": finished.out}
    if finished.results["method"] == "qlora":  # before: the model in 4 bits without adapters
        del models["before"]
    for when, model in models.items():
        assert main(["evaluate", "--device", "cpu", "--model", str(model), *task]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["records"] == 6
        assert found["metrics"] == finished.results[when]["own"]
        samples = [sample[when] for sample in finished.results["samples"]]
        assert found["answers"][:3] == samples


def test_generate_writes_with_the_trained_model(
    finished: Finished, capfd: pytest.CaptureFixture[str]
) -> None:
    sample = finished.results["samples"][0]
    greedy = ["--temperature", "0", "--max-new-tokens", "6", "--device", "cpu"]
    command = ["generate", "--model", str(finished.out), "--prompt", sample["prompt"], *greedy]
    assert main(command) == 0
    said = capfd.readouterr().out
    assert said.removeprefix(sample["prompt"]).strip() == sample["after"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is cut short or damaged (it is empty)"),
        ("{", "is cut short or damaged (Expecting property name"),
        ("[]", "should be one JSON object, got []"),
        ('{"model": "base", "method": "lora"}', ": settings is missing"),
        ('{"model": "base", "method": "prayer", "settings": {}}', ': method must be "full" or "lo'),
        ('{"model": "base", "method": ["lora"], "settings": {}}', ": method must be "),
        ('{"model": 3, "method": "full", "settings": {}}', ": model must be text that is not em"),
        ('{"model": "a\\u0000", "method": "full", "settings": {}}', ": model must be text that"),
        ('{"model": "base", "method": "lora", "settings": []}', ": settings must be an object, "),
        (
            '{"model": "base", "method": "qlora", "settings": {"nf4_block_size": 64}}',
            ": settings.double_quant is missing; it must be true or false",
        ),
        (
            '{"model": "base", "method": "qlora", "settings": {"nf4_block_size": 65}}',
            ": settings.nf4_block_size must be 32 or 64 or 128",
        ),
    ],
)
def test_damaged_results_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    (tmp_path / "results.json").write_text(text, encoding="utf-8")
    assert main(["generate", "--model", str(tmp_path), "--prompt", "a"]) == 2
    said = capsys.readouterr().err
    path = str(tmp_path / "results.json")
    assert said.startswith(f"minigpt: {path}")
    assert reason in said
    assert said.count("\n") == 1


def test_results_that_are_not_text_are_damaged(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"damaged \(byte 0 is not UTF-8\)"):
        load_model(tmp_path)


def test_missing_parts_are_named(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(finished.out, tmp_path / "copy")
    for file in FILES[finished.results["method"]] & {
        "model.safetensors",
        "adapter_model.safetensors",
    }:
        (folder / file).unlink()
    assert main(["generate", "--model", str(folder), "--prompt", "a"]) == 2
    assert str(folder) in capsys.readouterr().err

    folder = shutil.copytree(finished.out, tmp_path / "orphan")
    results = read_results(folder) | {"model": str(tmp_path / "gone")}
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    whole = results["method"] == "full"  # which needs no other model
    assert main(["generate", "--model", str(folder), "--prompt", "a"]) == (0 if whole else 2)
    said = capsys.readouterr().err
    if whole:
        return
    assert str(tmp_path / "gone") in said
    assert str(folder) in said


def test_no_model_of_this_name_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["generate", "--prompt", "a"], ["evaluate"], ["finetune"]):
        assert main([*command, "--model", "runs/no-such-run"]) == 2
        said = capsys.readouterr().err
        assert "no folder runs/no-such-run; a model is a folder, or one of base, gpt2" in said


def test_a_model_with_biases_survives_full_fine_tuning(tmp_path: Path) -> None:
    make_inputs(tmp_path)
    model = GPT(replace(tiny_gpt().config, bias=True))
    save_pretrained(model, shipped_encoding(), tmp_path / "biased")
    command = finetune_command(
        tmp_path / "biased", tmp_path / "sums.jsonl", tmp_path / "run", "--method", "full"
    )
    run(*command)
    loaded = load_model(tmp_path / "run")[0]
    assert loaded.config.bias
    assert any(p.any() for name, p in loaded.named_parameters() if name.endswith(".bias"))


def test_the_last_blocks_alone_are_saved_and_loaded_on_top_of_the_model(tmp_path: Path) -> None:
    make_inputs(tmp_path)
    deep = GPT(replace(tiny_gpt().config, n_layer=3))
    save_pretrained(deep, shipped_encoding(), tmp_path / "deep")
    options = ["--method", "selective", "--last-blocks", "2"]
    inputs = tmp_path / "deep", tmp_path / "sums.jsonl"
    results = run(*finetune_command(*inputs, tmp_path / "run", *options))
    blocks = ("transformer.h.1.", "transformer.h.2.", "transformer.ln_f.")
    before = dict(load_model(tmp_path / "deep")[0].named_parameters())
    after = dict(load_model(tmp_path / "run")[0].named_parameters())
    changed = {name for name, p in after.items() if not torch.equal(p, before[name])}
    assert changed == {name for name in before if name.startswith(blocks)}
    assert load_file(tmp_path / "run" / "adapter_model.safetensors").keys() == changed
    assert results["settings"]["last_blocks"] == 2
    assert results["training"]["learning_rate"] == RECIPES["selective"].learning_rate


def test_a_model_in_4_bits_learns_by_every_method_that_adds_something(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, data = make_inputs(tmp_path)
    quantized = quantize_model(tiny_gpt(), block_size=32)
    save_quantized(quantized, shipped_encoding(), tmp_path / "4bit")
    for method in METHODS:
        command = finetune_command(tmp_path / "4bit", data, tmp_path / method, "--method", method)
        if method in IN_PLACE:
            assert main(command) == 2
            assert "frozen in 4 bits; use method qlora" in capsys.readouterr().err
            continue
        results = run(*command)
        assert results["parameters"]["trained"] > 0
        assert results["settings"]["nf4_block_size"] == 32
        assert results["settings"]["double_quant"] is True
        loaded, _ = load_model(tmp_path / method)
        codes = dict(quantized.named_buffers())
        found = {n.replace(".base.", "."): b for n, b in loaded.named_buffers()}
        assert all(torch.equal(found[name], part) for name, part in codes.items())


@pytest.mark.parametrize("double_quant", [True, False])
def test_a_model_in_4_bits_keeps_the_format_it_was_made_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], double_quant: bool
) -> None:
    _, data = make_inputs(tmp_path)
    model = quantize_model(tiny_gpt(), 128, double_quant)
    save_quantized(model, shipped_encoding(), tmp_path / "4bit")
    out = tmp_path / "run"
    command = finetune_command(tmp_path / "4bit", data, out, "--method", "qlora")
    said = "the model is in 4 bits already, with nf4_block_size=128, got nf4_block_size=64"
    others = {said: ["--nf4-block-size", "64"]}
    if double_quant:
        said = "with double_quant=True, got double_quant=False; leave the option out"
        others[said] = ["--no-double-quant"]
    for said, options in others.items():
        assert main([*command, *options]) == 2
        assert said in capsys.readouterr().err
        assert not out.exists()
    same = ["--nf4-block-size", "128"] + ([] if double_quant else ["--no-double-quant"])
    for options in ([], same):
        results = run(*command, "--out", f"{out}-{len(options)}", *options)
        assert results["settings"]["nf4_block_size"] == 128
        assert results["settings"]["double_quant"] is double_quant


def test_options_left_out_mean_the_papers_format_and_may_be_left_out_again(
    tmp_path: Path,
) -> None:
    command = finetune_command(*make_inputs(tmp_path), tmp_path / "run", "--method", "qlora")
    settings = run(*command)["settings"]
    assert (settings["nf4_block_size"], settings["double_quant"]) == (64, True)
    assert run(*command, "--resume")["settings"] == settings
