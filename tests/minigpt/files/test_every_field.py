"""Each field of each JSON file that is read, with nonsense in it: one sentence, or no difference.

Every field takes every kind of nonsense behind the reader of its file; a sample of them goes
through the whole command. A sentence must name the file and the field.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import save_file

from minigpt import device
from minigpt.bottlenecks.files import read_bottlenecks
from minigpt.bottlenecks.model import apply_bottlenecks, save_bottlenecks
from minigpt.command.cli import main
from minigpt.files import json_objects
from minigpt.finetuning.methods import read_results
from minigpt.layers import linear_layers
from minigpt.lora.files import read_adapter
from minigpt.lora.model import save_lora
from minigpt.pretrained.config_file import check_sizes, read_config, read_config_file
from minigpt.pretrained.folders import save_pretrained
from minigpt.pretrained.layout import read_weights, weight_files
from minigpt.selective.files import read_selective
from minigpt.selective.model import apply_selective, save_selective
from minigpt.soft_prompts.files import read_vectors
from minigpt.soft_prompts.model import save_soft_prompt
from minigpt.tokenizer import END_OF_TEXT, load_encoding, train_bpe
from minigpt.training.loop import train
from minigpt.training.run_folder import RunFolder, identity_of
from tests.minigpt.tiny.gpt2 import ours
from tests.minigpt.tiny.lora import adapted
from tests.minigpt.tiny.run import TinyData, tiny_config, tiny_model
from tests.minigpt.tiny.soft_prompts import prompted

Place = tuple[str | int, ...]
ENCODING = train_bpe("the cat sat on the mat " * 9, 264, special_tokens=(END_OF_TEXT,))
SIZES = {"vocab_size": 264, "block_size": 24, "n_layer": 1}

# JSON in the place of a field's value.
NONSENSE = {
    "null": "null", "true": "true", "no text": '""', "other text": '"x"', "zero": "0",
    "negative": "-1", "a fraction": "3.5", "huge": "1" + "0" * 30, "infinite": "1e400",
    "5,000 digits": "9" * 5000, "not a number": "NaN", "deep": "[" * 2000 + "]" * 2000,
    "not so deep": "[" * 90 + "]" * 90, "half a character": '"\\ud83d"', "NUL": '"a\\u0000b"',
    "an empty list": "[]", "an empty object": "{}", "a list of it": "[IT]",
    "an object with it": '{"a": IT}', "as text": '"12"', "long": '"' + "x" * 5000 + '"',
}  # fmt: skip


class File(NamedTuple):
    """A file, what its reader makes of it, and fields that any value of their type may be in."""

    path: Path
    read: Callable[[], Any]
    free: tuple[str, ...] = ()


def files(folder: Path) -> Iterator[File]:
    """Yields every file, in a folder of its own that is otherwise in order."""
    model = ours(**SIZES)
    save_pretrained(model, ENCODING, folder / "model")
    weights = dict(read_weights(folder / "model"))

    def sizes() -> Any:
        config = read_config(folder / "model")
        check_sizes(folder / "model", config, weights)
        return config.n_layer, config.n_head, config.n_embd, config.bias

    yield File(folder / "model" / "config.json", sizes)
    yield File(
        folder / "model" / "tokenizer.json",
        lambda: load_encoding(folder / "model" / "tokenizer.json")._mergeable_ranks,
        free=("special_tokens", "tokens"),
    )

    parts, names = folder / "parts", [f"{i}.safetensors" for i in (1, 2)]
    parts.mkdir()
    for name in names:
        save_file({"a": torch.zeros(1)}, parts / name)
    index = {"metadata": {"total_size": 3}, "weight_map": dict(zip("ab", names, strict=True))}
    (parts / "model.safetensors.index.json").write_text(json.dumps(index))
    yield File(
        parts / "model.safetensors.index.json", lambda: weight_files(parts), free=("weight_map",)
    )

    save_lora(adapted(r=4), folder / "lora")
    shapes = {p: (m.out_features, m.in_features) for p, m in linear_layers(ours())}

    def adapter() -> Any:
        settings, pairs = read_adapter(folder / "lora")
        return settings.check_weights(folder / "lora", pairs, shapes), settings.rank_stabilized

    yield File(folder / "lora" / "adapter_config.json", adapter, free=("lora_alpha", "use_rslora"))

    bottlenecks = apply_bottlenecks(ours(), 3)
    save_bottlenecks(bottlenecks, folder / "bottleneck")
    paths = [f"transformer.h.{i}.{part}.c_proj" for i in range(2) for part in ("attn", "mlp")]
    yield File(
        folder / "bottleneck" / "adapter_config.json",
        lambda: read_bottlenecks(folder / "bottleneck", paths, 32)[0],
    )
    own_shapes = {name: p.shape for name, p in ours().named_parameters()}
    save_selective(apply_selective(ours()), folder / "selective")
    yield File(
        folder / "selective" / "adapter_config.json",
        lambda: sorted(read_selective(folder / "selective", ours().config, own_shapes)[2]),
    )
    for kind in ("prompt", "prefix"):
        prompt = prompted(kind)
        save_soft_prompt(prompt, folder / kind)
        yield File(
            folder / kind / "adapter_config.json",
            lambda kind=kind, config=prompt.config: read_vectors(folder / kind, config)[1].tolist(),
        )

    results = {"model": "base", "method": "qlora", "after": {"own": {"bleu": 3.5}}}
    results["settings"] = {"nf4_block_size": 64, "double_quant": True, "seed": 1}
    (folder / "run").mkdir()
    (folder / "run" / "results.json").write_text(json.dumps(results))

    def settings() -> Any:
        found = read_results(folder / "run")
        return found["method"], found["settings"]["nf4_block_size"]

    yield File(folder / "run" / "results.json", settings, free=("model", "double_quant"))

    config = tiny_config(max_steps=4, eval_every=2, checkpoint_every=3, out_dir=folder / "train")
    train(tiny_model(), TinyData(), config, {"model": "base", "r": 3})
    identity = identity_of(tiny_model(), TinyData(), config, {"model": "base", "r": 3})

    def progress() -> Any:
        found = RunFolder(folder / "train", identity, resume=True).found
        return found and found["steps"]

    free = ("losses", "validation", "tokens", "seconds", "trainable_only", "tensors")
    yield File(folder / "train" / "checkpoint.json", progress, free)


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Yields where every field is, and the first and last element of every list."""
    if isinstance(value, dict):
        for name, inside in value.items():
            yield (*at, name)
            yield from places(inside, (*at, name))
    elif isinstance(value, list) and value:
        for i in {0, len(value) - 1}:
            yield (*at, i)
            yield from places(value[i], (*at, i))


def with_nonsense(found: Any, place: Place) -> dict[str, str]:
    """Returns the JSON text with each kind of nonsense in one place, and without that place."""
    parent = found
    for step in place[:-1]:
        parent = parent[step]
    last, before = place[-1], parent[place[-1]]
    parent[last] = "@HERE@"
    start, end = json.dumps(found).split('"@HERE@"')
    parent[last] = before
    texts = {}
    for name, nonsense in NONSENSE.items():
        inside = nonsense.replace("IT", json.dumps(before))
        texts[name] = f"{start}{inside}{end}"
    without = [e for i, e in enumerate(parent) if i != last]
    if isinstance(parent, dict):
        without = {name: value for name, value in parent.items() if name != last}
    if len(place) == 1:
        return texts | {"removed": json.dumps(without)}
    above = found
    for step in place[:-2]:
        above = above[step]
    above[place[-2]] = without
    texts["removed"] = json.dumps(found)
    above[place[-2]] = parent
    return texts


def field(place: Place) -> str:
    """Returns the name of the innermost field."""
    return next(str(step) for step in reversed(place) if isinstance(step, str))


def is_one_sentence(said: str, path: Path, place: Place, nonsense: str) -> bool:
    named = field(place) in said or nonsense == "deep"  # of which the line is named
    return "\n" not in said and len(said) < 600 and path.name in said and named


@pytest.fixture(scope="module")
def every_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[File]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "free_memory", lambda _: None)  # it reads five files
        yield list(files(tmp_path_factory.mktemp("files")))


@pytest.mark.parametrize("which", range(10))
def test_nonsense_in_any_field_is_refused_by_name_or_changes_nothing(
    every_file: list[File], monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    path, read, free = every_file[which]
    found, expected, n = json.loads(path.read_bytes()), read(), 0
    texts: list[str] = []
    from_disk = json_objects.read_bytes

    def from_memory(file: Path, largest: int) -> bytes:  # thousands of files take a while
        return texts[-1].encode() if file == path else from_disk(file, largest)

    monkeypatch.setattr(json_objects, "read_bytes", from_memory)
    for place in list(places(found)):
        for name, text in with_nonsense(found, place).items():
            texts.append(text)
            n += 1
            said = None
            try:
                same = read() == expected or set(free) & set(place)
            except (ValueError, OSError) as error:
                said = str(error)
            if said is None:
                assert same, (place, name)
            else:
                assert is_one_sentence(said, path, place, name), (place, name, said)
    assert n >= 22 * len(found)


def test_a_field_that_is_there_twice_is_refused(every_file: list[File]) -> None:
    for path, read, _ in every_file:
        whole = path.read_text()
        name, value = next(iter(json.loads(whole).items()))
        path.write_text(f"{{{json.dumps(name)}: {json.dumps(value)}, {whole.strip()[1:]}")
        with pytest.raises(ValueError, match=f'{path.name} .* the field "{name}" twice'):
            read()
        path.write_text(whole)


def test_the_command_says_the_same_sentence_and_writes_nothing(
    every_file: list[File], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, choose = every_file[0].path.parent, random.Random(0)
    command = ["generate", "--model", str(folder), "--prompt", "the", "--device", "cpu"]
    command += ["--max-new-tokens", "3", "--temperature", "0"]
    assert main(command) == 0
    expected = capsys.readouterr().out
    refused = 0
    for path in (every_file[0].path, every_file[1].path):
        whole = path.read_bytes()
        found = json.loads(whole)
        for place in choose.sample(list(places(found)), 8):
            name, text = choose.choice([*with_nonsense(found, place).items()])
            path.write_text(text)
            before = sorted(folder.iterdir())
            status = main(command)
            said = capsys.readouterr()
            assert status == 0 or is_one_sentence(said.err.strip(), path, place, name), said.err
            assert status == 2 or said.out == expected, (place, name)
            assert sorted(folder.iterdir()) == before
            refused += status == 2
        path.write_bytes(whole)
    assert refused >= 5
    assert read_config_file(folder)["vocab_size"] == 264
