"""Which files of a folder a loader takes for parts of a model, of its tokenizer or of an adapter.

A loader that finds the weights of one model beside the list of shards of another reads whichever
it looks for first, and says nothing. So a save removes what it replaces, and refuses a folder with
files that it cannot replace.

Source: the names that transformers and peft look for when they load from a folder.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

SHARD = r"(-\d{5}-of-\d{5})?"
MODEL = re.compile(
    rf"(generation_)?config\.json|model{SHARD}\.safetensors|model\.safetensors\.index\.json"
    rf"|pytorch_model{SHARD}\.bin|pytorch_model\.bin\.index\.json"
)
# Weights that only a loader reads which is asked for them: "variants", and other libraries'.
OTHER_WEIGHTS = re.compile(
    rf"model\.[\w-]+?{SHARD}\.safetensors|model\.safetensors\.index\.[\w-]+\.json"
    rf"|pytorch_model\.[\w-]+?{SHARD}\.bin|pytorch_model\.bin\.index\.[\w-]+\.json"
    r"|(tf_model|flax_model|rust_model|model\.ckpt).*\.(h5|msgpack|ot|index|json)"
)
TOKENIZER = re.compile(
    r"(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json|merges\.txt"
    r"|vocab\.txt|(tokenizer|spiece|sentencepiece\.bpe)\.model|chat_template\.(jinja|json)"
)
ADAPTER = re.compile(
    rf"adapter_config\.json|adapter_model{SHARD}\.(safetensors|bin)"
    r"|adapter_model\.(safetensors|bin)\.index\.json"
)
RESULTS = re.compile(r"results\.json")  # of fine-tuning: says which model an adapter belongs to
RUN = re.compile(r"checkpoint\.json|tensors-[01]\.safetensors|log\.jsonl")  # of training
TESTS = re.compile(r"test(-.+)?\.jsonl")  # of fine-tuning: records of one's own


def matching(folder: Path, *kinds: re.Pattern[str]) -> list[str]:
    """Returns the names of the files in folder that are of one of these kinds, in order."""
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    named = [name for name in names if any(kind.fullmatch(name) for kind in kinds)]
    return [name for name in named if not (folder / name).is_dir()]
