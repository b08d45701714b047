"""How transformers stores a GPT-2, and how that becomes our weights and back.

The names of the weights are those of our modules. Two things differ. OpenAI's code kept the matrix
of a linear layer as [in, out], which transformers copied as "Conv1D", so four matrices a block are
transposed on the way. And the LM head is not stored, since it is the token embedding.

    GPT       transformer.h.0.attn.c_attn.weight [3C, C]   lm_head.weight is transformer.wte.weight
    stored    transformer.h.0.attn.c_attn.weight [C, 3C]   no lm_head.weight
              or, by GPT2Model, h.0.attn.c_attn.weight

Source: the files that transformers' GPT2LMHeadModel and GPT2Model write.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from minigpt.config import GPTConfig
from minigpt.files.json_objects import read_json_object
from minigpt.files.model_files import (
    ADAPTER,
    MODEL,
    OTHER_WEIGHTS,
    RESULTS,
    TOKENIZER,
    matching,
)
from minigpt.files.schema import FileName, MapOf, Object, check
from minigpt.files.tensors import Stored, check_finite, read_tensors
from minigpt.files.together import replace_together
from minigpt.model import GPT
from minigpt.pretrained.config_file import MODEL_CONFIG, OUR_SWITCHES, check_sizes

if TYPE_CHECKING:
    import tiktoken

MODEL_WEIGHTS, OLD_WEIGHTS = "model.safetensors", "pytorch_model.bin"
WEIGHT_INDEX = Object({"weight_map": MapOf(FileName(), least=1)})

TRANSPOSED = re.compile(r"(attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj)\.weight$")
MASK = re.compile(r"\.attn\.(bias|masked_bias)$")  # the causal mask, which older versions stored
STORED_DTYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}


def match_weights(
    folder: Path, weights: dict[str, Stored], wanted: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Returns fp32 copies of the stored weights for the names in wanted, transposed where needed.

    Raises:
        ValueError: a tensor is missing, has another shape, holds NaN or an infinity, or is one that
            a GPT does not have.
    """
    state: dict[str, Tensor] = {}
    head = weights.pop("lm_head.weight", None)
    for name, parameter in wanted.items():
        if name == "lm_head.weight":
            continue
        if name not in weights:
            raise ValueError(
                f"the weights in {folder} lack {name}, which a model of its {MODEL_CONFIG} has"
            )
        tensor, file = weights.pop(name)
        transposed = TRANSPOSED.search(name) is not None
        shape = list(parameter.shape)[:: -1 if transposed else 1]
        if list(tensor.shape) != shape or not tensor.is_floating_point():
            raise ValueError(
                f"{file}: {name} is {tensor.dtype} of shape {list(tensor.shape)}, but "
                f"{MODEL_CONFIG} asks for floating point of shape {shape}"
            )
        check_finite({name: tensor}, f"{file} is damaged")
        state[name] = torch.empty(parameter.shape).copy_(tensor.t() if transposed else tensor)
    state["lm_head.weight"] = state["transformer.wte.weight"]
    if head is not None and not torch.equal(head.tensor.float(), state["lm_head.weight"]):
        raise ValueError(f"{head.file}: lm_head.weight is not the token embedding, as it is in GPT")
    for name, (tensor, file) in weights.items():
        if not (name.endswith(".bias") and name not in wanted and not tensor.any()):
            raise ValueError(
                f"{file} holds {name}, which is not part of a GPT of this {MODEL_CONFIG}"
            )
    return state


class _DrawNothing(TorchFunctionMode):
    """Leaves out normal_: on "meta" there is nothing to fill, yet torch would load its compiler."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return None if func in (nn.init.normal_, Tensor.normal_) else func(*args, **(kwargs or {}))


def without_memory(config: GPTConfig) -> GPT:
    """Returns a GPT on the device "meta": the names and shapes of its weights, and no numbers."""
    with torch.device("meta"), _DrawNothing():
        return GPT(config)


def assemble(
    folder: Path, config: GPTConfig, weights: dict[str, Stored], elsewhere: Collection[str] = ()
) -> GPT:
    """Builds a GPT of these weights in fp32, in evaluation mode.

    Args:
        elsewhere: names of parameters that are not among the weights. They stay on the device
            "meta", without numbers.

    Raises:
        ValueError: as check_sizes and match_weights.
    """
    check_sizes(folder, config, weights)
    if not config.bias and any(w.tensor.any() for n, w in weights.items() if n.endswith(".bias")):
        config = dataclasses.replace(config, bias=True)  # transformers has trained the zero biases
    model = without_memory(config)
    wanted = {name: p for name, p in model.state_dict().items() if name not in elsewhere}
    state = match_weights(folder, weights, wanted)  # has refused missing and superfluous names
    model.load_state_dict(state, strict=False, assign=True)
    model.lm_head.weight = model.transformer.get_parameter("wte.weight")  # tied again
    return model.eval()


def read_weights(folder: Path) -> Iterator[tuple[str, Stored]]:
    """Yields every stored tensor by our name for it, stored with the prefix "transformer." or not.

    Raises:
        FileNotFoundError: there are no weights, or one file of several is missing.
        ValueError: a file is damaged, or a tensor is there twice.
    """
    files: dict[str, Path] = {}
    for file in weight_files(folder):
        for stored_name, tensor in read_tensors(file):
            if MASK.search(stored_name):
                continue
            known = stored_name.startswith(("transformer.", "lm_head."))
            name = stored_name if known else f"transformer.{stored_name}"
            if name in files:
                raise ValueError(
                    f"{file} holds {stored_name}, which {files[name].name} holds too; delete the "
                    "file that is of another save"
                )
            files[name] = file
            yield name, Stored(tensor, file)


def weight_files(folder: Path) -> list[Path]:
    """Returns the files that hold the weights: one, those named by an index, or an older pickle.

    Raises:
        FileNotFoundError: one of them is missing.
        ValueError: the index is damaged, or there is a whole file as well, of another save.
    """
    for name in (MODEL_WEIGHTS, OLD_WEIGHTS):
        whole, index = folder / name, folder / f"{name}.index.json"
        tensor_in: dict[Path, str] = {}
        if index.is_file():
            found = read_json_object(index)
            check(found, WEIGHT_INDEX, index)
            tensor_in = {folder / file: tensor for tensor, file in found["weight_map"].items()}
        missing = [file for file in tensor_in if not file.is_file()]
        if whole.is_file():
            if tensor_in and not missing and whole not in tensor_in:
                raise ValueError(
                    f"{folder} holds two models, {name} and the files named in {index.name}; "
                    "delete the one that is not meant"
                )
            return [whole]
        if missing:
            raise FileNotFoundError(
                f"{missing[0]} is missing, in which {index.name} has "
                f"weight_map.{tensor_in[missing[0]]}"
            )
        if tensor_in:
            return sorted(tensor_in)
    raise FileNotFoundError(
        f"{folder / MODEL_WEIGHTS} is missing; it holds the weights of this model"
    )


def stored_tensors(
    model: GPT, dtype: torch.dtype, elsewhere: Collection[str] = ()
) -> dict[str, Tensor]:
    """Returns the weights as transformers stores them: Conv1D matrices [in, out], no LM head.

    Args:
        elsewhere: names of linear layers whose weights are left out, but not their biases.

    Raises:
        ValueError: the model's weights are not those of a GPT of its configuration.
    """
    plain = without_memory(dataclasses.replace(model.config, bias=True)).state_dict()
    state = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if name.endswith(".bias") or name.rpartition(".")[0] not in elsewhere
    }
    extra = sorted(state.keys() - plain.keys())
    if extra:
        raise ValueError(
            f"the model has {extra[0]}, which GPT-2 lacks; merge or remove adapters, remove "
            "bottlenecks and soft prompts, and save layers in 4 bits with save_quantized"
        )
    head = state.get("lm_head.weight")
    if head is not None and not torch.equal(head, state["transformer.wte.weight"]):
        raise ValueError("lm_head.weight is not the token embedding, as it is in GPT-2")
    tensors: dict[str, Tensor] = {}
    for name, wanted in plain.items():
        if name == "lm_head.weight" or name.removesuffix(".weight") in elsewhere:
            continue
        if name not in state and (model.config.bias or not name.endswith(".bias")):
            raise ValueError(f"the model has no {name}, which GPT-2 has")
        tensor = state[name].detach() if name in state else torch.zeros(wanted.shape)
        tensor = tensor.t() if TRANSPOSED.search(name) else tensor
        tensors[name] = tensor.to("cpu", dtype).contiguous()
    return tensors


def stored_config(config: GPTConfig, dtype: torch.dtype, end_of_text: int | None) -> dict[str, Any]:
    """Returns transformers' config.json for a GPT of this configuration."""
    return OUR_SWITCHES | {
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": config.vocab_size,
        "n_positions": config.block_size,
        "n_ctx": config.block_size,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_embd": config.n_embd,
        "n_inner": None,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
        "bias": config.bias,
        "initializer_range": 0.02,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "use_cache": True,
        "dtype": STORED_DTYPES[dtype],
    }


def check_vocabulary(config: GPTConfig, encoding: tiktoken.Encoding) -> None:
    """Checks that the model knows every token; it may know more, padded to a round number.

    Raises:
        ValueError: the tokenizer has ids outside the model's vocabulary.
    """
    if encoding.n_vocab > config.vocab_size:
        raise ValueError(
            f"the tokenizer {encoding.name!r} has {encoding.n_vocab} tokens, but the model only "
            f"{config.vocab_size}; take the tokenizer that the model was trained with"
        )


def write_model(
    folder: Path,
    tensors: dict[str, Tensor],
    config: dict[str, Any],
    write_tokenizer: Callable[[Path], object] | None = None,
) -> None:
    """Writes the weights, config.json and the tokenizer, all of them or none.

    The files of a model that was there go, down to its shards, its tokenizer and its scores.

    Args:
        write_tokenizer: called with the folder that its files are to be in; None if there are none.

    Raises:
        ValueError: a weight is not a finite number; another process is writing to folder; or it
            holds files that loaders would take for parts of this model and that cannot go: an
            adapter, weights of other libraries, or a tokenizer while none is written.
        OSError: the disk is full or may not be written to; what was there before is kept.
    """
    check_finite(tensors, f"the model cannot be saved in {folder}")
    kept = (ADAPTER, OTHER_WEIGHTS) if write_tokenizer else (ADAPTER, OTHER_WEIGHTS, TOKENIZER)
    if strange := matching(folder, *kept):
        advice = "choose another folder"
        if write_tokenizer is None and TOKENIZER.fullmatch(strange[0]):
            advice += ", or save the tokenizer as well with save_pretrained"
        raise ValueError(
            f"{folder} holds {strange[0]}, which loaders would take for a part of this model; "
            f"{advice}"
        )

    def write(new: Path) -> None:
        save_file(tensors, new / MODEL_WEIGHTS, metadata={"format": "pt"})
        if write_tokenizer is not None:
            write_tokenizer(new)
        (new / MODEL_CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    def obsolete(name: str) -> bool:
        return any(kind.fullmatch(name) for kind in (MODEL, TOKENIZER, RESULTS))

    replace_together(folder, MODEL_CONFIG, write, obsolete)
