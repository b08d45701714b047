"""The config.json of a model's folder: transformers' names for our sizes, checked field by field.

Sizes that the weights beside it do not have are found before anything is built.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from minigpt.config import LARGEST, GPTConfig, count_parameters
from minigpt.device import check_room
from minigpt.files.json_objects import read_json_object, shown
from minigpt.files.schema import (
    ListOf,
    Number,
    Object,
    OneOf,
    Switch,
    Text,
    Whole,
    check,
    or_null,
)
from minigpt.files.tensors import Stored

MODEL_CONFIG = "config.json"

# These settings of transformers describe what GPT computes; with others it is another model.
OUR_SWITCHES: dict[str, Any] = {
    "model_type": "gpt2",
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}
SIZES = {"block_size": "n_positions"} | {
    name: name for name in ("vocab_size", "n_layer", "n_head", "n_embd")
}  # ours: theirs
QUANTIZATION = Object(
    {},
    {
        "quant_method": Text(),
        "load_in_4bit": Switch(),
        "load_in_8bit": Switch(),
        "bnb_4bit_quant_type": Text(),
    },
)
CONFIG = Object(
    {theirs: Whole(1, LARGEST[ours]) for ours, theirs in SIZES.items()},
    {
        "n_inner": or_null(Whole(1)),
        "resid_pdrop": Number(0, below=1),
        "bias": Switch(),  # ours alone: GPT-2 always has biases
        "quantization_config": or_null(QUANTIZATION),
        # transformers reads the files that these name instead of the usual ones.
        "transformers_weights": or_null(OneOf("model.safetensors")),
        "configuration_files": ListOf(OneOf(MODEL_CONFIG)),
    },
)
BLOCK = re.compile(r"transformer\.h\.(\d+)\.")


def read_config_file(folder: Path) -> dict[str, Any]:
    """Returns the contents of config.json, the values of whose fields can be those of a GPT.

    Raises:
        FileNotFoundError: there is no config.json.
        ValueError: it is damaged, lacks a size, or a field has an impossible value.
    """
    path = folder / MODEL_CONFIG
    try:
        found = read_json_object(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{folder} holds no model: it has no {MODEL_CONFIG}") from None
    check_switches(path, found, {"model_type": OUR_SWITCHES["model_type"]})
    check(found, CONFIG, path)
    return found


def check_switches(path: Path, found: Mapping[str, Any], switches: Mapping[str, Any]) -> None:
    """Raises ValueError unless each of the switches is as it is here, or is left out."""
    for name, ours in switches.items():
        if found.get(name, ours) != ours:
            raise ValueError(
                f"{path}: {name} is {shown(found[name])}, but GPT computes only {shown(ours)}"
            )


def read_config(folder: Path, ignoring: Collection[str] = ()) -> GPTConfig:
    """Reads our configuration from transformers' config.json.

    It has three dropout rates (embeddings, attention, residual); the residual one is used for all.

    Args:
        ignoring: names of switches in OUR_SWITCHES whose values are not checked.

    Raises:
        FileNotFoundError: there is no config.json.
        ValueError: it is damaged, lacks a size, or describes a model that GPT is not.
    """
    path, found = folder / MODEL_CONFIG, read_config_file(folder)
    ours = {name: value for name, value in OUR_SWITCHES.items() if name not in ignoring}
    check_switches(path, found, ours)
    if found.get("n_inner") not in (None, 4 * found["n_embd"]):
        raise ValueError(
            f"{path}: n_inner is {found['n_inner']}, but GPT's MLP is 4 n_embd = "
            f"{4 * found['n_embd']} wide"
        )
    try:
        return GPTConfig(
            **{ours: found[theirs] for ours, theirs in SIZES.items()},
            dropout=found.get("resid_pdrop", 0.1),
            bias=found.get("bias", True),
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def check_sizes(folder: Path, config: GPTConfig, weights: Mapping[str, Stored]) -> None:
    """Compares the sizes in config.json with the weights, before a model of these sizes is built.

    Args:
        weights: by our names; of those in 4 bits only the biases are needed.

    Raises:
        ValueError: a size differs, or the model does not fit into this machine's memory.
    """
    for name in weights:
        if ".quant_state." in name:
            raise ValueError(
                f"{folder / MODEL_CONFIG}: quantization_config is missing, but "
                f"{weights[name].file.name} holds {name}"
            )
    sizes: dict[str, tuple[int, str]] = {}
    for name, (first, second) in {
        "transformer.wte.weight": ("vocab_size", "n_embd"),
        "transformer.wpe.weight": ("block_size", "n_embd"),
    }.items():
        shape = list(weights[name].tensor.shape) if name in weights else []
        if len(shape) == 2:
            said = f"{name} in {weights[name].file.name} is {shape}"
            sizes |= {first: (shape[0], said), second: (shape[1], said)}
    blocks = {int(match[1]) for name in weights if (match := BLOCK.match(name))}
    n_layer = max(blocks, default=-1) + 1
    sizes["n_layer"] = (n_layer, f"the weights are of {n_layer} blocks")
    for size, (found, said) in sizes.items():
        if getattr(config, size) != found:
            raise ValueError(
                f"{folder / MODEL_CONFIG}: {SIZES[size]} is {getattr(config, size):,}, but {said}"
            )
    check_room(4 * count_parameters(config), f"the model in {folder}", "take a smaller model")
