"""Soft prompts as folders (files/adapter_folder.py), in the layout that peft writes and reads.

    adapter_config.json          peft_type, num_virtual_tokens, token_dim, num_layers ...
    adapter_model.safetensors    prompt_embeddings, [n, C] or [n, 2 L C]

C is the model's width, L the number of its layers. A row of 2 L C numbers is the key and the value
of one virtual token in layer 0, in layer 1 and so on. If a network made the prefix, only these
numbers are saved and not the network, as in peft. A prefix with a gate, which peft lacks, has a
peft_type of its own, so that peft refuses it, and a second tensor:

    gate                         the number whose tanh is the gate of each head, [L, H]

Source: the files that peft's PromptEmbedding and PrefixEncoder write.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from minigpt.config import GPTConfig
from minigpt.files.adapter_folder import (
    CONFIG_FILE,
    read_config,
    read_numbers,
    weights_file,
    write_folder,
)
from minigpt.files.json_objects import shown
from minigpt.files.schema import Object, OneOf, Whole, check

PROMPT_TUNING, PREFIX_TUNING = "PROMPT_TUNING", "PREFIX_TUNING"
GATED_PREFIX_TUNING = "GATED_PREFIX_TUNING"
STORED_NAME, GATE_NAME = "prompt_embeddings", "gate"

KINDS = Object({"peft_type": OneOf(PROMPT_TUNING, PREFIX_TUNING, GATED_PREFIX_TUNING)})
SIZES = ("token_dim", "num_transformer_submodules", "num_attention_heads", "num_layers")
CONFIG = Object(
    {**KINDS.required, **dict.fromkeys(("num_virtual_tokens", *SIZES), Whole(1, 10**9))}
)
# These entries change nothing in what is computed: they tell how training started, and the like.
HARMLESS = {"auto_mapping", "base_model_name_or_path", "encoder_hidden_size", "inference_mode",
            "init_weights", "peft_version", "prefix_projection", "prompt_tuning_init",
            "prompt_tuning_init_text", "revision", "task_type", "tokenizer_kwargs",
            "tokenizer_name_or_path"}  # fmt: skip


def write_vectors(
    folder: Path, peft_type: str, vectors: Tensor, config: GPTConfig, gate: Tensor | None = None
) -> None:
    """Writes both files; the ones that were there stay until both are on the disk.

    Args:
        peft_type: PROMPT_TUNING, for vectors [n, C], or PREFIX_TUNING, for [n, 2 L C].
        config: the sizes of the model that the soft prompt was made for.
        gate: [L, H], with which PREFIX_TUNING becomes GATED_PREFIX_TUNING.

    Raises:
        OSError: the disk is full or may not be written to; what was there before is kept.
    """
    kind: dict[str, Any] = {"prompt_tuning_init": "RANDOM"}
    if peft_type == PREFIX_TUNING:
        kind = {"prefix_projection": False, "encoder_hidden_size": config.n_embd}
    tensors = {STORED_NAME: vectors}
    if gate is not None:
        peft_type, tensors = GATED_PREFIX_TUNING, {**tensors, GATE_NAME: gate}
    stored = {
        "peft_type": peft_type,
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "inference_mode": True,
        **model_sizes(config),
        "num_virtual_tokens": len(vectors),
        **kind,
    }
    write_folder(folder, stored, tensors)


def model_sizes(config: GPTConfig) -> dict[str, int]:
    """Returns what adapter_config.json says about the model, under peft's names."""
    return dict(zip(SIZES, (config.n_embd, 1, config.n_head, config.n_layer), strict=True))


def read_vectors(folder: Path, config: GPTConfig) -> tuple[str, Tensor, Tensor | None]:
    """Returns the peft_type of the soft prompt in folder, its vectors and its gate in fp32.

    Returns:
        PROMPT_TUNING and [n, C], or PREFIX_TUNING or GATED_PREFIX_TUNING and [n, 2 L C]; and
        [L, H], or None for those without a gate.

    Raises:
        FileNotFoundError: folder holds no soft prompt.
        ValueError: a file is damaged, holds something other than a soft prompt, or was made for a
            model of another shape than config.
    """
    stored = read_config(folder)
    check_config(folder / CONFIG_FILE, stored, config)
    tensors, file = read_numbers(folder), weights_file(folder)
    vectors_a_token = 1 if stored["peft_type"] == PROMPT_TUNING else 2 * config.n_layer
    shapes = {STORED_NAME: [stored["num_virtual_tokens"], vectors_a_token * config.n_embd]}
    if stored["peft_type"] == GATED_PREFIX_TUNING:
        shapes[GATE_NAME] = [config.n_layer, config.n_head]
    for name in sorted(tensors.keys() ^ shapes.keys()):
        if name in tensors:
            raise ValueError(f"{file} holds {name}, which is not part of a soft prompt")
        raise ValueError(f"{file} is damaged: it has no {name}")
    for name, shape in shapes.items():
        if list(tensors[name].shape) != shape:
            raise ValueError(
                f"{folder} is damaged: {name} in {file.name} has shape "
                f"{list(tensors[name].shape)}, but {CONFIG_FILE} asks for {shape}"
            )
    return stored["peft_type"], tensors[STORED_NAME], tensors.get(GATE_NAME)


def check_config(path: Path, stored: dict[str, Any], config: GPTConfig) -> None:
    """Checks that adapter_config.json describes a soft prompt for a model of this shape.

    Raises:
        ValueError: it does not; the error names the first entry that differs.
    """
    check(stored, KINDS, path)
    known = HARMLESS | CONFIG.required.keys()
    for name, value in stored.items():
        if value and name not in known:  # something that was switched on
            raise ValueError(
                f"{path}: {name[:60]} is {shown(value)}, which is not part of a soft prompt here"
            )
    check(stored, CONFIG, path)
    for name, size in model_sizes(config).items():
        if stored[name] != size:
            raise ValueError(
                f"{path} was made for another model: {name} is {stored[name]}, here it is {size}"
            )
