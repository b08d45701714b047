"""Models with layers in 4 bits as folders, in the layout of transformers and bitsandbytes.

    save_quantized(quantize_model(model), encoding, "runs/base-4bit")
    model = load_quantized("runs/base-4bit")       # load_pretrained and load_gpt2 do the same

    config.json          as in pretrained/layout.py; "quantization_config": what is in 4 bits, how
    model.safetensors    transformer.h.0.attn.c_attn.weight          uint8 [n / 2, 1], codes
                         transformer.h.0.attn.c_attn.weight.absmax   the scales of its blocks
                         ...                                         see NF4Tensor.state_dict

transformers turns GPT-2's Conv1D [in, out] into a linear layer [out, in] before it quantizes, so a
weight in 4 bits lies as we have it; one that was left out of it is stored as Conv1D all the same.
Each weight brings the tables of its levels along, 1.3 KB, so small layers take more than their
4.127 bits in the file.

Source: the files that transformers' GPT2LMHeadModel writes with a BitsAndBytesConfig.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from minigpt.files.atomic import write_atomically, write_text
from minigpt.layers import linear_layers
from minigpt.model import GPT
from minigpt.pretrained.layout import (
    CONFIG_FILE,
    STORED_DTYPES,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    Stored,
    assemble,
    check_vocabulary,
    read_config,
    read_config_file,
    read_weights,
    stored_config,
    stored_tensors,
)
from minigpt.qlora.model import NF4Linear, quantized_layers
from minigpt.tokenizer import END_OF_TEXT, save_encoding

if TYPE_CHECKING:
    import tiktoken

# What bitsandbytes stores beside the codes of a weight.
PART = re.compile(
    r"(.+)\.weight\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.bitsandbytes__\w+)"
)
TIED = "tie_word_embeddings"


def save_quantized(model: GPT, encoding: tiktoken.Encoding | None, folder: str | Path) -> None:
    """Write a model of quantize_model into folder so that transformers and bitsandbytes read it.

    What is not in 4 bits is written in the model's own number format. A model without biases gets
    biases of 0, as in save_gpt2.

    Args:
        encoding: the tokenizer, written beside it; None if it is GPT-2's.

    Raises:
        ValueError: nothing in the model is in 4 bits; it has adapters; or the tokenizer has more
            tokens than the model.
        OSError: the disk is full or may not be written to; no file is left half-written.
    """
    folder, layers = Path(folder), quantized_layers(model)
    if not layers:
        raise ValueError(
            "nothing in the model is in 4 bits; call quantize_model first, or save it as it is "
            "with save_pretrained"
        )
    for path, linear in linear_layers(model):
        if not isinstance(linear, (NF4Linear, nn.Linear)):
            raise ValueError(
                f"{path} is a {type(linear).__name__}; adapters are files of their own: call "
                "save_adapter, then remove_lora, then save_quantized"
            )
    end_of_text: int | None = model.config.vocab_size - 1  # as in GPT-2's tokenizer
    if encoding is not None:
        check_vocabulary(model.config, encoding)
        has_end = END_OF_TEXT in encoding.special_tokens_set
        end_of_text = encoding.eot_token if has_end else None
    dtype = next(model.parameters()).dtype
    tensors = stored_tensors(model, dtype, elsewhere=layers)
    for path, layer in layers.items():
        stored = layer.quantized.state_dict(f"{path}.weight")
        tensors |= {name: part.cpu().contiguous() for name, part in stored.items()}
    config = stored_config(model.config, dtype, end_of_text) | {
        TIED: "lm_head" not in layers,
        "quantization_config": stored_quantization(model, dtype),
    }
    text = json.dumps(config, indent=2) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(
        folder / WEIGHTS_FILE, lambda path: save_file(tensors, path, metadata={"format": "pt"})
    )
    write_text(folder / CONFIG_FILE, text)
    if encoding is not None:
        save_encoding(encoding, folder / TOKENIZER_FILE)


def stored_quantization(model: GPT, dtype: torch.dtype) -> dict[str, Any]:
    """transformers' BitsAndBytesConfig for this model, which computes in dtype."""
    layers = quantized_layers(model)
    return {
        "quant_method": "bitsandbytes",
        "load_in_4bit": True,
        "load_in_8bit": False,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": all(q.nested_block_size for q in layers.values()),
        "bnb_4bit_compute_dtype": STORED_DTYPES[dtype],
        "bnb_4bit_quant_storage": "uint8",
        "llm_int8_skip_modules": [p for p, _ in linear_layers(model) if p not in layers],
    }


def load_quantized(folder: str | Path) -> GPT:
    """A GPT with layers in 4 bits, frozen, in evaluation mode; what is not in 4 bits is in fp32.

    Args:
        folder: what save_quantized, or transformers with bitsandbytes, wrote.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, holds another kind of model, or weights in another format
            than NF4; names the layer.
    """
    folder = Path(folder)
    check_quantization(folder, read_config_file(folder).get("quantization_config"))
    # transformers unties an LM head in 4 bits; one that is not is compared with the embedding.
    config = read_config(folder, ignoring=(TIED,))
    weights = dict(read_weights(folder))
    parts = take_parts(weights)
    if not parts:
        raise ValueError(f"{folder / CONFIG_FILE} says 4 bits, but no weight in {folder} is in NF4")
    model = assemble(folder, config, weights, elsewhere={f"{path}.weight" for path in parts})
    linear = dict(linear_layers(model))
    for path, stored in parts.items():
        file = next(iter(stored.values())).file
        if path not in linear:
            raise ValueError(f"{file} holds {path}.weight, which is no linear layer of GPT")
        bias = linear[path].bias
        layer = read_layer(path, stored, file, bias)  # type: ignore[arg-type]
        found, wanted = ([m.out_features, m.in_features] for m in (layer, linear[path]))
        if found != wanted:
            raise ValueError(
                f"{file}: {path}.weight has the shape {found}, but {CONFIG_FILE} asks for {wanted}"
            )
        model.set_submodule(path, layer.eval())
    return model.requires_grad_(False)


def check_quantization(folder: Path, settings: Any) -> None:
    """Whether a quantization_config means weights that NF4Linear holds.

    Raises:
        ValueError: it does not; says what it means instead.
    """
    path = folder / CONFIG_FILE
    if not isinstance(settings, dict):
        raise ValueError(f"{path} has no quantization_config, so no weights are in 4 bits")
    kind = str(settings.get("quant_method", "bitsandbytes"))
    if kind == "bitsandbytes":
        kind = "8 bits" if settings.get("load_in_8bit") else "no format it names"
        if settings.get("load_in_4bit"):
            kind = settings.get("bnb_4bit_quant_type", "fp4")
    if kind != "nf4":
        raise ValueError(
            f"{path}: the weights are in {kind}; of quantized models only those in nf4, by "
            "bitsandbytes, can be loaded"
        )


def take_parts(weights: dict[str, Stored]) -> dict[str, dict[str, Stored]]:
    """Take the weights in 4 bits out of what the files hold: all their parts, by layer."""
    parts: dict[str, dict[str, Stored]] = {}
    for name in list(weights):
        if match := PART.fullmatch(name):
            path = match[1]
            parts.setdefault(path, {})[name] = weights.pop(name)
            if f"{path}.weight" in weights:
                parts[path][f"{path}.weight"] = weights.pop(f"{path}.weight")
    return parts


def read_layer(path: str, stored: dict[str, Stored], file: Path, bias: Tensor | None) -> NF4Linear:
    """The layer called path from the parts of its weight, in memory of its own.

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
    layer.dtype = torch.float32  # as everything else in the model, whatever it was made from
    return layer
