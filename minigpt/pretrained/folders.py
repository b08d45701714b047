"""Models as folders: reads GPT-2's published weights and writes ours, as transformers does.

    config.json          the sizes, and the switches that say which kind of GPT-2 this is
    model.safetensors    the weights; or several files, listed in model.safetensors.index.json
    tokenizer.json       the tokenizer, ours (minigpt.tokenizer.save_encoding) or transformers'

tokenizer_files.py reads transformers' tokenizers, also those of several files.

layout.py describes how the weights are laid out.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from minigpt.files.json_objects import read_json_object
from minigpt.files.together import newest
from minigpt.model import GPT
from minigpt.pretrained.config_file import MODEL_CONFIG, read_config, read_config_file
from minigpt.pretrained.layout import (
    MODEL_WEIGHTS,
    STORED_DTYPES,
    assemble,
    check_vocabulary,
    read_weights,
    stored_config,
    stored_tensors,
    write_model,
)
from minigpt.pretrained.tokenizer_files import (
    TOKENIZER_FILE,
    VOCAB_FILE,
    end_of,
    read_tokenizer,
    tokenizer_writer,
)
from minigpt.text.data_sets import FETCHED
from minigpt.text.task_sets import data_folder
from minigpt.tokenizer import gpt2_encoding, load_encoding, unused_ids

if TYPE_CHECKING:
    import tiktoken

PUBLISHED = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
PUBLISHED_AT = "https://huggingface.co/openai-community/{name}/resolve/main/{file}"


def load_gpt2(name_or_folder: str | Path) -> GPT:
    """Loads a GPT-2 as a GPT in fp32, in evaluation mode.

    A folder with layers in 4 bits is loaded by quantized.load_quantized.

    Args:
        name_or_folder: a folder that transformers or save_gpt2 wrote; or "gpt2", "gpt2-medium",
            "gpt2-large" or "gpt2-xl", which is looked for in runs/data (where `minigpt data fetch`
            puts it) and then downloaded with huggingface_hub (`pip install huggingface_hub`).

    Raises:
        FileNotFoundError: there is no such folder, a file of it is missing, or the weights of that
            name cannot be downloaded; the message says what to download and where to put it.
        ValueError: a file is damaged, holds another kind of model, or does not fit config.json.
    """
    folder = find_folder(name_or_folder)
    if read_config_file(folder).get("quantization_config"):
        from minigpt.pretrained.quantized import load_quantized  # imports the package kernels

        return load_quantized(folder)
    return assemble(folder, read_config(folder), dict(read_weights(folder)))


def save_gpt2(model: GPT, folder: str | Path, dtype: torch.dtype | None = None) -> None:
    """Writes model into folder so that transformers' GPT2LMHeadModel.from_pretrained reads it.

    A model without biases is written with biases of 0, since GPT-2's layout has them: transformers
    computes the same, and load_gpt2 leaves them out again as long as they are 0.

    Args:
        dtype: float32, bfloat16 or float16; None keeps the model's own.

    A model that was in folder is replaced, whatever library wrote it.

    Raises:
        ValueError: dtype is another one or too narrow for a weight; the model has other weights
            than a GPT's (merge or remove adapters first, and save layers in 4 bits with
            quantized.save_quantized), or one that is NaN or infinite; or folder holds what would be
            taken for a part of the model (see layout.write_model).
        OSError: the disk is full or may not be written to; what was there before is kept.
    """
    # With GPT-2's tokenizer, as with ours, <|endoftext|> is the last id.
    _save(model, Path(folder), dtype, end_of_text=model.config.vocab_size - 1)


def _save(
    model: GPT,
    folder: Path,
    dtype: torch.dtype | None,
    end_of_text: int | None,
    write_tokenizer: Callable[[Path], object] | None = None,
) -> None:
    dtype = next(model.parameters()).dtype if dtype is None else dtype
    if dtype not in STORED_DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(STORED_DTYPES.values())}, got {dtype}")
    tensors = stored_tensors(model, dtype)
    config = stored_config(model.config, dtype, end_of_text)
    write_model(folder, tensors, config, write_tokenizer)


def save_pretrained(
    model: GPT,
    encoding: tiktoken.Encoding,
    folder: str | Path,
    dtype: torch.dtype | None = None,
) -> None:
    """Writes model as save_gpt2 does, and beside it the tokenizer that it was trained with.

    Raises:
        ValueError: the tokenizer has more tokens than the model; or what save_gpt2 raises.
        OSError: the disk is full or may not be written to; what was there before is kept.
    """
    check_vocabulary(model.config, encoding)
    _save(model, Path(folder), dtype, end_of(encoding), tokenizer_writer(encoding))


def load_pretrained(name_or_folder: str | Path) -> tuple[GPT, tiktoken.Encoding]:
    """Loads a model, in fp32 and evaluation mode, and its tokenizer.

    The model then writes no id for which the tokenizer has no token.

    Args:
        name_or_folder: "base", the small model that comes with minigpt; or whatever load_gpt2
            takes. A folder without a tokenizer gets GPT-2's, if its vocabulary is large enough.

    Raises:
        FileNotFoundError, ValueError: as load_gpt2; or the tokenizer is missing, does not fit, or
            is not byte-level BPE (tokenizer_files.py).
    """
    folder = find_folder(name_or_folder)
    model = load_gpt2(folder)
    encoding = _encoding_of(folder, model.config.vocab_size)
    check_vocabulary(model.config, encoding)
    model.unused = unused_ids(encoding, model.config.vocab_size)
    return model, encoding


def _encoding_of(folder: Path, vocab_size: int) -> tiktoken.Encoding:
    path = folder / TOKENIZER_FILE
    if path.is_file() and "model" not in read_json_object(path):  # transformers' has one
        return load_encoding(path)
    end_id = read_config_file(folder).get("eos_token_id")
    encoding = read_tokenizer(folder, vocab_size, end_id)
    if encoding is None and vocab_size >= 50257:
        return gpt2_encoding()
    if encoding is None:
        raise FileNotFoundError(
            f"{folder} has no {TOKENIZER_FILE} or {VOCAB_FILE}, and its vocabulary of {vocab_size} "
            "is not GPT-2's; save the model with save_pretrained"
        )
    return encoding


def find_folder(name_or_folder: str | Path) -> Path:
    """Returns the folder of a model: one that exists, the base model's, or a published model's.

    Raises:
        FileNotFoundError: there is none, and it cannot be downloaded.
    """
    folder, name = Path(name_or_folder), str(name_or_folder)
    if folder.is_dir():
        return newest(folder, MODEL_CONFIG)
    if name == "base":
        return data_folder() / "base"
    name = name.removeprefix("openai-community/")
    if name not in PUBLISHED:
        raise FileNotFoundError(
            f"there is no folder {folder}; a model is a folder, or one of base, "
            f"{', '.join(PUBLISHED)}"
        )
    fetched = FETCHED / name
    return fetched if (fetched / MODEL_WEIGHTS).is_file() else download(name)


def download(name: str) -> Path:
    """Downloads the files of a published GPT-2, unless huggingface_hub has them, into its folder.

    Raises:
        FileNotFoundError: huggingface_hub is not installed, or cannot get the files.
    """
    repository, files = f"openai-community/{name}", (MODEL_CONFIG, MODEL_WEIGHTS)
    try:
        from huggingface_hub import hf_hub_download, hf_hub_url
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            paths = [hf_hub_download(repository, file, local_files_only=True) for file in files]
        except LocalEntryNotFoundError:
            # Without a network the hub's own client retries for half a minute; this fails at once.
            urllib.request.urlopen(hf_hub_url(repository, MODEL_CONFIG), timeout=10).close()
            paths = [hf_hub_download(repository, file) for file in files]
    except Exception as error:  # whatever went wrong, the advice is the same
        missing = isinstance(error, ImportError)
        reason = "huggingface_hub is not installed" if missing else type(error).__name__
        urls = " and ".join(PUBLISHED_AT.format(name=name, file=file) for file in files)
        place = "run `minigpt data fetch gpt2 --from PATH`"
        if name != "gpt2":
            place = f"put both files into {FETCHED / name}"
        raise FileNotFoundError(
            f"the weights of {name} are not on this machine and cannot be downloaded ({reason}); "
            f"download {urls} elsewhere, then {place}, or give the folder they are in"
        ) from error
    return Path(paths[0]).parent
