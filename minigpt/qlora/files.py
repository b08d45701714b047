"""How transformers and bitsandbytes store weights in 4 bits, and how those are read and written.

    transformer.h.0.attn.c_attn.weight            uint8 [n / 2, 1], codes
    transformer.h.0.attn.c_attn.weight.absmax     the scales of its blocks
    ...                                           see NF4Tensor.state_dict

The "quantization_config" in config.json says what is in 4 bits, and how. Whole models as folders
are in pretrained/quantized.py. Each weight is stored with the tables of its levels, 1.3 KB, so that
small layers take more than 4.127 bits a weight in the file.

Source: the files that transformers' GPT2LMHeadModel writes with a BitsAndBytesConfig.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minigpt.files.json_objects import shown
from minigpt.files.tensors import Stored
from minigpt.layers import linear_layers
from minigpt.qlora.layer import NF4Linear
from minigpt.qlora.model import quantized_layers

# bitsandbytes stores these parts beside the codes of a weight.
PART = re.compile(
    r"(.+)\.weight\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.bitsandbytes__\w+)"
)


def stored_layers(layers: dict[str, NF4Linear]) -> dict[str, Tensor]:
    """Returns all parts of the layers' weights on the CPU, by the names they have in a file."""
    return {
        name: part.cpu().contiguous()
        for path, layer in layers.items()
        for name, part in layer.quantized.state_dict(f"{path}.weight").items()
    }


def stored_quantization(model: nn.Module, dtype: str) -> dict[str, Any]:
    """Returns transformers' BitsAndBytesConfig for this model, which computes in dtype."""
    layers = quantized_layers(model)
    return {
        "quant_method": "bitsandbytes",
        "load_in_4bit": True,
        "load_in_8bit": False,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": all(q.nested_block_size for q in layers.values()),
        "bnb_4bit_compute_dtype": dtype,
        "bnb_4bit_quant_storage": "uint8",
        "llm_int8_skip_modules": [p for p, _ in linear_layers(model) if p not in layers],
    }


def check_quantization(path: Path, settings: Any) -> None:
    """Checks that the quantization_config of a config.json describes weights as NF4Linear's.

    Raises:
        ValueError: it does not; the error names the entry and what is allowed.
    """
    if not isinstance(settings, dict):
        raise ValueError(f"{path} has no quantization_config, so no weights are in 4 bits")
    wanted = {
        "quant_method": ("bitsandbytes", "bitsandbytes"),  # what it must be, and is if not said
        "load_in_8bit": (False, False),
        "load_in_4bit": (True, False),
        "bnb_4bit_quant_type": ("nf4", "fp4"),
    }
    for name, (ours, default) in wanted.items():
        found = settings.get(name, default)
        if found != ours:
            raise ValueError(
                f"{path}: quantization_config.{name} is {shown(found)}, not {shown(ours)}; of "
                "quantized models only those in nf4, by bitsandbytes, can be loaded"
            )


def take_parts(weights: dict[str, Stored]) -> dict[str, dict[str, Stored]]:
    """Removes the parts of weights in 4 bits from `weights` and returns them by layer."""
    parts: dict[str, dict[str, Stored]] = {}
    for name in list(weights):
        if match := PART.fullmatch(name):
            path = match[1]
            parts.setdefault(path, {})[name] = weights.pop(name)
            if f"{path}.weight" in weights:
                parts[path][f"{path}.weight"] = weights.pop(f"{path}.weight")
    return parts


def read_layer(path: str, stored: dict[str, Stored], file: Path, bias: Tensor | None) -> NF4Linear:
    """Makes the layer called path from copies of the parts of its weight.

    Raises:
        ValueError: a part is missing or damaged, or the weight is not in NF4.
    """
    tensors = {name: part.tensor.clone() for name, part in stored.items()}
    try:
        layer = NF4Linear.from_stored(tensors, f"{path}.weight", bias)
        if not all(part.isfinite().all() for part in layer.buffers()):
            raise ValueError("a scale is not a finite number")
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        reason = error.args[0] if error.args else error
        raise ValueError(f"{file}: {path}.weight is not in NF4, or damaged ({reason})") from None
    layer.dtype = torch.float32  # like the rest of the model, whatever the weight was made from
    return layer
