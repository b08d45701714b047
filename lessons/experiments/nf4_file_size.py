"""Counts the bits that a weight in NF4 takes in a file; lesson 12 compares them with memory's.

in_parts, in_tables = bits_in_file(model, encoding, folder)
"""

from __future__ import annotations

from pathlib import Path

import tiktoken
from safetensors.torch import load_file

from minigpt import GPT
from minigpt.pretrained.quantized import save_quantized
from minigpt.qlora.model import quantized_layers


def bits_in_file(model: GPT, encoding: tiktoken.Encoding, folder: Path) -> tuple[float, float]:
    """Saves a model in 4 bits, and counts the bits that a weight in NF4 takes in the file.

    Returns:
        The bits of its code and its share of the scales; and its share of the tables beside every
        matrix, which are the same for all: the levels, and the settings.
    """
    layers = quantized_layers(model)
    n = sum(layer.quantized.numel for layer in layers.values())
    save_quantized(model, encoding, folder)
    stored = load_file(folder / "model.safetensors")
    in_nf4 = {name for name in stored if name.partition(".weight")[0] in layers}
    tables = {name for name in in_nf4 if name.endswith(("map", "__nf4"))}
    parts, beside = (
        8 * sum(stored[name].nbytes for name in names) / n for names in (in_nf4 - tables, tables)
    )
    return parts, beside
