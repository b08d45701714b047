"""The methods of fine-tuning: what each trains, how that is saved, and how it is loaded.

All are trained by the same loop (training/loop.py) on the same rows (tasks/rows.py).

    full        every weight                                       a whole model
    lora        two thin matrices beside each linear layer         lora/
    qlora       the same, beside layers that are frozen in 4 bits  qlora/
    prompt      vectors that stand before every text               soft_prompts/
    prefix      keys and values that stand there, in every layer   soft_prompts/
    bottleneck  small layers behind attention and MLP              bottlenecks/
    selective   the model's own last blocks, or its biases         selective/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tiktoken

from minigpt.bottlenecks.model import (
    apply_bottlenecks,
    load_bottlenecks,
    save_bottlenecks,
    set_bottlenecks,
)
from minigpt.files.json_objects import read_json_object, shown
from minigpt.files.schema import Anything, MapOf, Object, OneOf, Switch, Text, check
from minigpt.finetuning.settings import NF4_BLOCK_SIZE, FinetuneSettings
from minigpt.lora.model import apply_lora, load_lora, save_lora, set_lora
from minigpt.model import GPT
from minigpt.pretrained.folders import load_pretrained, save_pretrained
from minigpt.qlora.model import is_quantized, quantize_model, quantized_layers
from minigpt.selective.model import apply_selective, load_selective, save_selective
from minigpt.soft_prompts.model import (
    apply_prefix_tuning,
    apply_prompt_tuning,
    load_soft_prompt,
    save_soft_prompt,
    set_soft_prompt,
)

RESULTS_FILE = "results.json"
# Loading what qlora saved takes these settings, beside the adapter's own files.
BLOCK_SIZE = OneOf(*(2**i for i in range(5, 13)))
QLORA_CONTENTS = Object(
    {"settings": Object({"nf4_block_size": BLOCK_SIZE, "double_quant": Switch()})}
)


@dataclass(frozen=True)
class Method:
    """What a method of fine-tuning does to a model; settings.RECIPES says how it is trained.

    Attributes:
        prepare: adds or chooses what this method trains, and leaves only that trainable.
        save: writes what was trained into a folder.
        load: puts what a folder holds into the pretrained model, by the settings in results.json;
            None if the folder holds a whole model.
        switch: switches what was added on ("default") or off (None), if something was.
    """

    prepare: Callable[[GPT, tiktoken.Encoding, FinetuneSettings], object]
    save: Callable[[GPT, tiktoken.Encoding, Path], None]
    load: Callable[[GPT, Path, Mapping[str, Any]], object] | None
    switch: Callable[[GPT, str | None], object]


def settle_nf4(model: GPT, settings: FinetuneSettings) -> FinetuneSettings:
    """Fills in the settings of the 4-bit format: the model's own if it has them, else the defaults.

    Raises:
        ValueError: the model is in 4 bits already, and was made with settings other than these.
    """
    settled: dict[str, Any] = {"nf4_block_size": NF4_BLOCK_SIZE, "double_quant": True}
    layers = list(quantized_layers(model).values())
    if layers:
        settled["nf4_block_size"] = layers[0].block_size
        settled["double_quant"] = layers[0].nested_block_size is not None
    for name, value in settled.items():
        given = getattr(settings, name)
        if layers and given not in (None, value):
            raise ValueError(
                f"the model is in 4 bits already, with {name}={value}, got {name}={given}; leave "
                "the option out, or start from the model as it was"
            )
        if given is not None:
            settled[name] = given
    return replace(settings, **settled)


def _train_everything(model: GPT, encoding: tiktoken.Encoding, settings: FinetuneSettings) -> None:
    _check_trainable(model, "full")
    model.requires_grad_(True)


def _train_part(model: GPT, encoding: tiktoken.Encoding, settings: FinetuneSettings) -> None:
    _check_trainable(model, "selective")
    apply_selective(model, settings.last_blocks, settings.biases_only)


def _check_trainable(model: GPT, method: str) -> None:
    if is_quantized(model):
        raise ValueError(
            f"method {method} trains the model's own weights, but those of this model are frozen "
            "in 4 bits; use method qlora, or start from the model as it was"
        )


def _add_lora(model: GPT, encoding: tiktoken.Encoding, settings: FinetuneSettings) -> None:
    targets = settings.target_modules
    apply_lora(model, settings.r, settings.alpha, settings.lora_dropout, targets)


def _add_qlora(model: GPT, encoding: tiktoken.Encoding, settings: FinetuneSettings) -> None:
    _quantize(model, vars(settings))
    _add_lora(model, encoding, settings)


def _load_qlora(model: GPT, folder: Path, settings: Mapping[str, Any]) -> None:
    _quantize(model, settings)
    load_lora(model, folder)


def _quantize(model: GPT, settings: Mapping[str, Any]) -> None:
    if not is_quantized(model):  # a model may come from a folder with 4-bit weights
        quantize_model(model, settings["nf4_block_size"], settings["double_quant"])


def _add_prompt(model: GPT, encoding: tiktoken.Encoding, settings: FinetuneSettings) -> None:
    ids = encoding.encode_ordinary(settings.init_text) or None
    apply_prompt_tuning(model, settings.n_tokens, ids)


def _add_prefix(model: GPT, encoding: tiktoken.Encoding, settings: FinetuneSettings) -> None:
    ids = encoding.encode_ordinary(settings.init_text) or None
    apply_prefix_tuning(model, settings.n_tokens, ids, settings.reparametrize, settings.gate)


METHODS: dict[str, Method] = {
    "full": Method(
        prepare=_train_everything,
        save=save_pretrained,
        load=None,
        switch=lambda model, name: None,
    ),
    "lora": Method(
        prepare=_add_lora,
        save=lambda model, encoding, folder: save_lora(model, folder),
        load=lambda model, folder, settings: load_lora(model, folder),
        switch=set_lora,
    ),
    "qlora": Method(
        prepare=_add_qlora,
        save=lambda model, encoding, folder: save_lora(model, folder),
        load=_load_qlora,
        switch=set_lora,
    ),
    "prompt": Method(
        prepare=_add_prompt,
        save=lambda model, encoding, folder: save_soft_prompt(model, folder),
        load=lambda model, folder, settings: load_soft_prompt(model, folder),
        switch=set_soft_prompt,
    ),
    "prefix": Method(
        prepare=_add_prefix,
        save=lambda model, encoding, folder: save_soft_prompt(model, folder),
        load=lambda model, folder, settings: load_soft_prompt(model, folder),
        switch=set_soft_prompt,
    ),
    "bottleneck": Method(
        prepare=lambda model, encoding, settings: apply_bottlenecks(model, settings.bottleneck),
        save=lambda model, encoding, folder: save_bottlenecks(model, folder),
        load=lambda model, folder, settings: load_bottlenecks(model, folder),
        switch=set_bottlenecks,
    ),
    "selective": Method(
        prepare=_train_part,
        save=lambda model, encoding, folder: save_selective(model, folder),
        load=lambda model, folder, settings: load_selective(model, folder),
        switch=lambda model, name: None,
    ),
}

CONTENTS = Object(
    {
        "model": Text(empty=False, named=True),
        "method": OneOf(*METHODS),
        "settings": MapOf(Anything()),
    }
)


def load_model(name_or_folder: str | Path) -> tuple[GPT, tiktoken.Encoding]:
    """Loads what load_pretrained loads, or what finetune() saved in a folder by any method.

    Raises:
        FileNotFoundError, ValueError: as load_pretrained; or results.json is damaged.
    """
    folder = Path(name_or_folder)
    if not (folder / RESULTS_FILE).is_file():
        return load_pretrained(name_or_folder)
    results = read_results(folder)
    load = METHODS[results["method"]].load
    if load is None:
        return load_pretrained(folder)
    try:
        model, encoding = load_pretrained(results["model"])
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{folder / RESULTS_FILE}: model is {shown(results['model'])}, which is gone: {error}"
        ) from None
    load(model, folder, results["settings"])
    return model.eval(), encoding


def read_results(folder: Path) -> dict[str, Any]:
    """Returns the contents of a run's results.json, as far as loading needs them checked.

    Raises:
        ValueError: it is damaged, or was not written by `minigpt finetune`; the error names the
            first field that is wrong.
    """
    path = folder / RESULTS_FILE
    results = read_json_object(path)
    check(results, CONTENTS, path)
    if results["method"] == "qlora":
        check({"settings": results["settings"]}, QLORA_CONTENTS, path)
    return results
