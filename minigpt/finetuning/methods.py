"""The ways of fine-tuning: what each trains, how that is saved, and how it is put back.

All are trained by the same loop (training.py) on the same rows (task_data.py).

    full       every weight                                       a whole model
    lora       two thin matrices beside each linear layer         lora.py
    qlora      the same, beside layers that are frozen in 4 bits  qlora.py
    prompt     vectors that stand before every text               soft_prompts.py
    prefix     keys and values that stand there, in every layer   soft_prompts.py
    adapter    small layers behind attention and MLP              adapters.py
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiktoken

from minigpt.bottlenecks.model import apply_adapters, load_adapters, save_adapters, set_adapters
from minigpt.lora.model import apply_lora, load_adapter, save_adapter, set_adapter
from minigpt.model import GPT
from minigpt.pretrained.folders import load_pretrained, save_pretrained
from minigpt.qlora.model import is_quantized, quantize_model, quantized_layers
from minigpt.soft_prompts.model import (
    apply_prefix_tuning,
    apply_prompt_tuning,
    load_soft_prompt,
    save_soft_prompt,
    set_soft_prompt,
)

RESULTS = "results.json"
NF4_BLOCK_SIZE = 64


@dataclass(frozen=True)
class Method:
    """A way of fine-tuning.

    Attributes:
        prepare: make the model train what this method trains, by the options of the command line.
        save: write what was trained into a folder.
        load: put what a folder holds into the pretrained model, by the options it was trained with.
        switch: let the model work with what was added ("default"), or without (None).
        learning_rate, weight_decay: what it is trained with unless told otherwise. Few new numbers
            need larger steps than many old ones.
        paged: whether the optimizer's state stays in the host's memory (paged_adamw.py).
    """

    prepare: Callable[[GPT, tiktoken.Encoding, Namespace], object]
    save: Callable[[GPT, tiktoken.Encoding, Path], None]
    load: Callable[[GPT, Path, Mapping[str, Any]], object]
    switch: Callable[[GPT, str | None], object]
    learning_rate: float
    weight_decay: float = 0.0
    paged: bool = False


def _train_everything(model: GPT, encoding: tiktoken.Encoding, options: Namespace) -> None:
    if is_quantized(model):
        raise ValueError(
            "method full trains every weight, but those of this model are frozen in 4 bits; "
            "use --method qlora, or start from the model as it was"
        )
    model.requires_grad_(True)


def _load_full(model: GPT, folder: Path, options: Mapping[str, Any]) -> None:
    model.load_state_dict(load_pretrained(folder)[0].state_dict())


def _add_lora(model: GPT, encoding: tiktoken.Encoding, options: Namespace) -> None:
    targets = [name.strip() for name in options.target_modules.split(",")]
    apply_lora(model, options.r, options.alpha, options.lora_dropout, targets)


def _add_qlora(model: GPT, encoding: tiktoken.Encoding, options: Namespace) -> None:
    _quantize(model, vars(options))
    _add_lora(model, encoding, options)


def _load_qlora(model: GPT, folder: Path, options: Mapping[str, Any]) -> None:
    _quantize(model, options)
    load_adapter(model, folder)


def settle_nf4_options(model: GPT, options: Namespace) -> None:
    """Fill in the options of the 4-bit format that were not given: the model's own, or the usual.

    Raises:
        ValueError: the model is in 4 bits already, and was made with others than those given.
    """
    own: dict[str, Any] = {"nf4_block_size": NF4_BLOCK_SIZE, "no_double_quant": False}
    layers = list(quantized_layers(model).values())
    if layers:
        own["nf4_block_size"] = layers[0].block_size
        own["no_double_quant"] = layers[0].nested_block_size is None
    for name, value in own.items():
        given = getattr(options, name)
        if given is None:
            setattr(options, name, value)
        elif layers and given != value:
            raise ValueError(
                f"the model is in 4 bits already, with {name}={value}, got {name}={given}; leave "
                "the option out, or start from the model as it was"
            )


def _quantize(model: GPT, options: Mapping[str, Any]) -> None:
    if not is_quantized(model):  # it may come from a folder with 4-bit weights
        quantize_model(model, options["nf4_block_size"], not options["no_double_quant"])


def _add_prompt(model: GPT, encoding: tiktoken.Encoding, options: Namespace) -> None:
    ids = encoding.encode_ordinary(options.init_text) or None
    apply_prompt_tuning(model, options.n_tokens, ids)


def _add_prefix(model: GPT, encoding: tiktoken.Encoding, options: Namespace) -> None:
    if options.init_text and options.reparametrize:
        raise ValueError(
            "--init-text cannot be given along with --reparametrize, since the network makes what "
            "the text would set; leave one of the two out"
        )
    ids = encoding.encode_ordinary(options.init_text) or None
    apply_prefix_tuning(model, options.n_tokens, ids, options.reparametrize or None)


METHODS: dict[str, Method] = {
    "full": Method(
        prepare=_train_everything,
        save=save_pretrained,
        load=_load_full,
        switch=lambda model, name: None,
        learning_rate=1e-3,
        weight_decay=0.1,
    ),
    "lora": Method(
        prepare=_add_lora,
        save=lambda model, encoding, folder: save_adapter(model, folder),
        load=lambda model, folder, options: load_adapter(model, folder),
        switch=set_adapter,
        learning_rate=2e-3,
    ),
    "qlora": Method(
        prepare=_add_qlora,
        save=lambda model, encoding, folder: save_adapter(model, folder),
        load=_load_qlora,
        switch=set_adapter,
        learning_rate=2e-3,
        paged=True,
    ),
    "prompt": Method(
        prepare=_add_prompt,
        save=lambda model, encoding, folder: save_soft_prompt(model, folder),
        load=lambda model, folder, options: load_soft_prompt(model, folder),
        switch=set_soft_prompt,
        learning_rate=1e-1,
    ),
    "prefix": Method(
        prepare=_add_prefix,
        save=lambda model, encoding, folder: save_soft_prompt(model, folder),
        load=lambda model, folder, options: load_soft_prompt(model, folder),
        switch=set_soft_prompt,
        learning_rate=1e-1,
    ),
    "adapter": Method(
        prepare=lambda model, encoding, options: apply_adapters(model, options.bottleneck),
        save=lambda model, encoding, folder: save_adapters(model, folder),
        load=lambda model, folder, options: load_adapters(model, folder),
        switch=set_adapters,
        learning_rate=6e-3,
    ),
}

# The options of the methods, by the names that the command line gives them.
METHOD_OPTIONS = (
    *("r", "alpha", "lora_dropout", "target_modules", "nf4_block_size", "no_double_quant"),
    *("n_tokens", "init_text", "reparametrize", "bottleneck"),
)
OPTIONS_TO_LOAD = {"qlora": ("nf4_block_size", "no_double_quant")}  # not in the method's files


def add_method_arguments(parser: ArgumentParser) -> None:
    """The options that say what is trained."""
    add = parser.add_argument
    add("--method", default="full", choices=list(METHODS), help="default full")
    add("--alpha", type=float, default=128, help="lora, qlora: alpha (default 128)")
    add("--lora-dropout", type=float, default=0.0, help="lora, qlora: dropout (default 0)")
    add(
        "--target-modules", default="c_attn,c_proj,c_fc", metavar="LIST",
        help="lora, qlora: layers that get an adapter (default c_attn,c_proj,c_fc: all of a block)",
    )  # fmt: skip
    add("--init-text", default="", metavar="TEXT", help="prompt, prefix: start as this text")
    add_size_arguments(parser)


def add_size_arguments(parser: ArgumentParser) -> None:
    """Those of them that say how much is trained, and how small the frozen weights are."""
    add = parser.add_argument
    add("--r", type=int, default=12, help="lora, qlora: rank (default 12)")
    add(
        "--nf4-block-size", type=int,
        help=f"qlora: weights a scale (default {NF4_BLOCK_SIZE}, or those of a model in 4 bits)",
    )  # fmt: skip
    add(
        "--no-double-quant", action="store_true", default=None,
        help="qlora: scales in fp32, not in 8 bits",
    )  # fmt: skip
    add("--n-tokens", type=int, default=20, help="prompt, prefix: virtual tokens (default 20)")
    add(
        "--reparametrize", type=int, default=0, metavar="WIDTH",
        help="prefix: train a network of this hidden width that makes it; needs a learning rate "
        "near 0.01 (default 0: none)",
    )  # fmt: skip
    add("--bottleneck", type=int, default=16, help="adapter: width of a bottleneck (default 16)")


def load_model(name_or_folder: str | Path) -> tuple[GPT, tiktoken.Encoding]:
    """What load_pretrained loads, or what `minigpt finetune` left in a folder, by any method.

    Raises:
        FileNotFoundError, ValueError: as load_pretrained; or results.json is damaged.
    """
    folder = Path(name_or_folder)
    if not (folder / RESULTS).is_file():
        return load_pretrained(name_or_folder)
    results = read_results(folder)
    try:
        model, encoding = load_pretrained(results["model"])
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{folder} was made from a model that is gone: {error}") from None
    METHODS[results["method"]].load(model, folder, results["settings"])
    return model.eval(), encoding


def read_results(folder: Path) -> dict[str, Any]:
    """The results.json of a run; ValueError if it is not one."""
    path = folder / RESULTS
    try:
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        needed = OPTIONS_TO_LOAD.get(results["method"], ())
        known = all(name in results["settings"] for name in needed)
        if results["method"] in METHODS and isinstance(results["model"], str) and known:
            return results
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"{path} is damaged, or was not written by `minigpt finetune`")
