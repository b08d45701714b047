"""Selective fine-tuning: a part of the model's own parameters learns, the rest is frozen.

    model = load_pretrained("base")[0]
    apply_selective(model, last_blocks=2)         # the last two blocks and the final norm, or
    apply_selective(model, biases_only=True)      # every bias, and nothing else
    train(model, ...)                             # only they learn
    save_selective(model, "runs/french")          # they alone, a small folder
    load_selective(load_pretrained("base")[0], "runs/french")

Nothing is added to the model, so it is as fast afterwards as before. But what is trained takes the
place of what was there: to get the base model back, load it again.

If only the *last blocks* learn, no gradient is needed in the blocks below them, which saves those
blocks' share of the time and memory of a backward pass. The *biases*, those of the layer norms
among them, are fewer than one in a thousand of GPT-2's parameters, but they sit in every layer, so
that gradients go all the way down.

The token embedding, which is the LM head too, belongs to no part: both stay as they were. (The
paper on biases also trains a new layer that classifies; a language model needs none.)

part.py says which parameters belong to a part, files.py how they are stored.
Sources: Ben Zaken et al. 2022, "BitFit: Simple Parameter-efficient Fine-tuning for
Transformer-based Masked Language-models" (arXiv 2106.10199, section 3); Howard and Ruder 2018,
"Universal Language Model Fine-tuning for Text Classification" (arXiv 1801.06146, section 3.3: the
last layer contains the least general knowledge).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from minigpt.model import GPT
from minigpt.selective.files import read_selective, write_selective
from minigpt.selective.part import part_names, plain_names, trained_blocks


def apply_selective(model: GPT, last_blocks: int | None = None, biases_only: bool = False) -> GPT:
    """Leaves only a part of a plain model trainable: its last blocks, or only their biases.

    On an error the model is unchanged.

    Args:
        last_blocks: how many of the blocks learn, with the final norm, counted from the LM head.
            None is 1, or all of them with biases_only.
        biases_only: leaves all but the biases frozen.

    Returns:
        model, changed in place.

    Raises:
        ValueError: the model has fewer blocks, or no biases; or adapters, bottlenecks or 4 bits
            stand in the place of its own layers.
    """
    config = model.config
    n_blocks = trained_blocks(config.n_layer, config.bias, last_blocks, biases_only)
    parameters = plain_parameters(model)
    model.requires_grad_(False)
    for name in part_names(config, n_blocks, biases_only):
        parameters[name].requires_grad_(True)
    return model


def plain_parameters(model: GPT) -> dict[str, nn.Parameter]:
    """Returns the parameters of the blocks and the final norm by name.

    Raises:
        ValueError: the model lacks one of them.
    """
    parameters = dict(model.named_parameters())
    for name in plain_names(model.config):
        if name not in parameters:
            raise ValueError(
                f"selective training needs a plain model, but this one has no parameter {name}; "
                "remove adapters (what is merged stays in the weights) and bottlenecks, and "
                "dequantize layers in 4 bits"
            )
    return {name: parameters[name] for name in plain_names(model.config)}


def save_selective(model: GPT, folder: str | Path) -> None:
    """Writes what apply_selective left trainable into folder: a JSON and a safetensors file.

    Raises:
        ValueError: what is trainable is not such a part, or not made of finite numbers; or folder
            holds a model.
        OSError: the disk is full or may not be written to; what was there is kept.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for biases_only in (False, True):
        for last_blocks in range(1, model.config.n_layer + 1):
            if list(trained) == part_names(model.config, last_blocks, biases_only):
                write_selective(Path(folder), last_blocks, biases_only, trained)
                return
    raise ValueError(
        f"the {len(trained)} trainable parameters of this model are neither its last blocks nor "
        "their biases; apply_selective chooses them before training"
    )


def load_selective(model: GPT, folder: str | Path) -> GPT:
    """Puts what save_selective wrote into folder into the model, and leaves only that trainable.

    The model must be the one that was trained, as it was before: the folder knows nothing of the
    frozen rest. On an error the model is unchanged.

    Raises:
        FileNotFoundError: folder holds nothing of the kind.
        ValueError: a file is damaged, holds something else, or was made for another model; or the
            model is not plain.
    """
    parameters = plain_parameters(model)
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    last_blocks, biases_only, tensors = read_selective(Path(folder), model.config, shapes)
    apply_selective(model, last_blocks, biases_only)
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameters[name].copy_(tensor)
    return model
