"""Models with layers in 4 bits as folders, in the layout of transformers and bitsandbytes.

    save_quantized(quantize_model(model), encoding, "runs/base-4bit")
    model = load_quantized("runs/base-4bit")       # load_pretrained and load_gpt2 do the same

The files are those of layout.py. transformers turns GPT-2's Conv1D [in, out] into a linear layer
[out, in] before it quantizes, so a weight in 4 bits is stored as [out, in], like ours
(qlora/files.py); a weight that is not quantized is still stored as Conv1D.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from minigpt.files.together import newest
from minigpt.layers import linear_layers
from minigpt.model import GPT
from minigpt.pretrained.config_file import MODEL_CONFIG, read_config, read_config_file
from minigpt.pretrained.layout import (
    STORED_DTYPES,
    assemble,
    check_vocabulary,
    read_weights,
    stored_config,
    stored_tensors,
    write_model,
)
from minigpt.pretrained.tokenizer_files import end_of, tokenizer_writer
from minigpt.qlora.files import (
    check_quantization,
    read_layer,
    stored_layers,
    stored_quantization,
    take_parts,
)
from minigpt.qlora.layer import NF4Linear
from minigpt.qlora.model import quantized_layers

if TYPE_CHECKING:
    import tiktoken

TIED = "tie_word_embeddings"


def save_quantized(model: GPT, encoding: tiktoken.Encoding | None, folder: str | Path) -> None:
    """Writes a model of quantize_model into folder so that transformers and bitsandbytes read it.

    What is not in 4 bits is written in the model's own number format. A model without biases gets
    biases of 0, as in save_gpt2.

    Args:
        encoding: the tokenizer, which is written beside it; None if it is GPT-2's.

    Raises:
        ValueError: nothing in the model is in 4 bits; it has adapters; or the tokenizer has more
            tokens than the model; or what layout.write_model raises.
        OSError: the disk is full or may not be written to; what was there before is kept.
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
                "save_lora, then remove_lora, then save_quantized"
            )
    end_of_text: int | None = model.config.vocab_size - 1  # as in GPT-2's tokenizer
    if encoding is not None:
        check_vocabulary(model.config, encoding)
        end_of_text = end_of(encoding)
    dtype = next(model.parameters()).dtype
    tensors = stored_tensors(model, dtype, elsewhere=layers)
    tensors |= stored_layers(layers)
    config = stored_config(model.config, dtype, end_of_text) | {
        TIED: "lm_head" not in layers,
        "quantization_config": stored_quantization(model, STORED_DTYPES[dtype]),
    }
    write_model(folder, tensors, config, None if encoding is None else tokenizer_writer(encoding))


def load_quantized(folder: str | Path) -> GPT:
    """Loads a GPT with layers in 4 bits, frozen, in evaluation mode; the rest of it is in fp32.

    Args:
        folder: what save_quantized, or transformers with bitsandbytes, wrote.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, holds another kind of model, or holds weights in another
            format than NF4; the error names the layer.
    """
    folder = newest(Path(folder), MODEL_CONFIG)
    check_quantization(folder / MODEL_CONFIG, read_config_file(folder).get("quantization_config"))
    # transformers unties an LM head in 4 bits; another must equal the embedding (match_weights).
    config = read_config(folder, ignoring=(TIED,))
    weights = dict(read_weights(folder))
    parts = take_parts(weights)
    if not parts:
        raise ValueError(
            f"{folder / MODEL_CONFIG} says 4 bits, but no weight in {folder} is in NF4"
        )
    model = assemble(folder, config, weights, elsewhere={f"{path}.weight" for path in parts})
    linear = dict(linear_layers(model))
    for path, stored in parts.items():
        file = next(iter(stored.values())).file
        if path not in linear:
            raise ValueError(f"{file} holds {path}.weight, which is not a linear layer of GPT")
        bias = linear[path].bias
        layer = read_layer(path, stored, file, bias)  # type: ignore[arg-type]
        found, wanted = ([m.out_features, m.in_features] for m in (layer, linear[path]))
        if found != wanted:
            raise ValueError(
                f"{file}: {path}.weight has the shape {found}, but {MODEL_CONFIG} asks for {wanted}"
            )
        model.set_submodule(path, layer.eval())
    return model.requires_grad_(False)
