"""The recipe of the base model in data/base, which lesson 4 runs with `--full`.

The model is trained on the Python library and on the training texts of the three task sets:
dialogues, reviews, summaries, and short pages that say the same in English and in French, as some
web pages do. It never sees a prompt, or a dialogue next to its summary.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from minigpt import GPT, GPTConfig, save_pretrained, train_bpe
from minigpt.dataset import PackedText, pack
from minigpt.files.atomic import write_text
from minigpt.text.records import read_records
from minigpt.text.task_sets import TASK_FIELDS, task_texts
from minigpt.tokenizer import END_OF_TEXT
from minigpt.training.checkpoint import has_checkpoint
from minigpt.training.loop import train
from minigpt.training.run_folder import check_free
from minigpt.training.settings import TrainConfig

CONFIG = GPTConfig(vocab_size=4096, block_size=512, n_layer=5, n_head=4, n_embd=256, dropout=0.1)
MIX = {"library": 0.52, "translation": 0.28, "dialogues": 0.13, "reviews": 0.07}
# (tokens in a window, settings). Short windows come first: for the same number of tokens they take
# less time and make batches more varied. The second stage trains the later half of the positions.
STAGES: list[tuple[int, dict[str, Any]]] = [
    (
        256,
        {
            "max_steps": 3600,
            "batch_size": 16,
            "learning_rate": 2e-3,
            "min_learning_rate": 4e-4,
            "warmup_steps": 200,
        },
    ),
    (
        512,
        {
            "max_steps": 600,
            "batch_size": 8,
            "learning_rate": 4e-4,
            "min_learning_rate": 0.0,
            "warmup_steps": 20,
        },
    ),
]
# The task sets repeat a small vocabulary so often that its words would fill the tokenizer. Taking
# one text in four leaves room for the library's words, whose text is harder.
TOKENIZER_SHARE = 4


def tokens_seen() -> int:
    """Returns the number of training tokens in all stages."""
    return sum(T * run["max_steps"] * run["batch_size"] for T, run in STAGES)


def read_log(path: Path) -> tuple[list[dict], list[dict]]:
    """Returns the training steps and the validations of a log.jsonl."""
    records = list(read_records(path, ["step"]))
    return [r for r in records if "loss" in r], [r for r in records if "validation_loss" in r]


def make_base_model(
    folder: Path, library: list[str], held_out: list[str], device: str, seed: int
) -> None:
    """Trains the base model and saves it in folder with the files of data/base.

    After an interruption the same call continues where the last one stopped.

    Args:
        folder: gets config.json, model.safetensors (bfloat16), tokenizer.json, log.jsonl, and a
            folder for each stage.
        library: the documents of the Python library to train on.
        held_out: the documents to validate on.
        device: as in TrainConfig.
        seed: the seed of the initial weights, the batches and the dropout.

    Raises:
        ValueError: folder holds another model.
    """
    if not has_checkpoint(folder / "stage-1"):
        check_free(folder, resume=False)
    texts = {task: task_texts(task, "train") for task in TASK_FIELDS}
    sample = [text for task in texts.values() for text in task[::TOKENIZER_SHARE]]
    encoding = train_bpe(library + sample, CONFIG.vocab_size, special_tokens=[END_OF_TEXT])
    ids = {
        name: pack((encoding.encode_ordinary(text) for text in source), encoding.eot_token)
        for name, source in {"library": library, **texts}.items()
    }
    validation = pack((encoding.encode_ordinary(text) for text in held_out), encoding.eot_token)
    parts = (f"{100 * share:.0f}% {name} ({len(ids[name]):,})" for name, share in MIX.items())
    print(f"share of every batch (tokens in all): {', '.join(parts)}")
    sources = [(ids[name], share) for name, share in MIX.items()]
    torch.manual_seed(seed)
    model = GPT(CONFIG)
    log: list[dict] = []
    before = 0
    for number, (block_size, run) in enumerate(STAGES, start=1):
        stage = folder / f"stage-{number}"
        settings = TrainConfig(
            **run,
            betas=(0.9, 0.98),
            eval_every=500,
            checkpoint_every=250,
            seed=seed,
            device=device,
            out_dir=stage,
            resume=True,
        )
        train(model, PackedText(sources, validation, block_size, seed + number), settings)
        # One step in ten and all validations are enough to draw the curve again.
        trained, validated = read_log(stage / "log.jsonl")
        log += [{**line, "step": before + line["step"]} for line in trained[::10] + validated]
        before += run["max_steps"]
    save_pretrained(model, encoding, folder, dtype=torch.bfloat16)
    text = "".join(json.dumps(line) + "\n" for line in log)
    write_text(folder / "log.jsonl", text)
