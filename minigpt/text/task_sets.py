"""The task sets in `data/`: translation, dialogues with summaries, and reviews.

`task_set` returns records, for fine-tuning and for judging; `task_texts` returns the same texts as
a large model would meet them on the web, for pretraining.
"""

import random
from pathlib import Path

from minigpt.text.records import read_records

TASK_FIELDS = {
    "translation": ("en", "fr"),
    "dialogues": ("dialogue", "summary"),
    "reviews": ("text", "label"),
}
SPLITS = ("train", "validation", "test")


def data_folder() -> Path:
    """Returns the folder of task sets and base model: in the package or, in a checkout, `data`."""
    package = Path(__file__).parents[1]
    for folder in (package / "_data", package.parent / "data"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"neither {package / '_data'} nor {package.parent / 'data'} exists")


def task_set(task: str, split: str) -> list[dict]:
    """Returns the examples of one split of a task set.

    Fields: translation {en, fr}; reviews {text, label}; dialogues as in DialogSum, {fname,
    dialogue, summary, topic}.

    Raises:
        ValueError: there is no such task set or split.
        FileNotFoundError: the file has not been made yet.
    """
    if task not in TASK_FIELDS:
        raise ValueError(f"no task set is called {task!r}; there are {', '.join(TASK_FIELDS)}")
    if split not in SPLITS:
        raise ValueError(f"no split is called {split!r}; there are {', '.join(SPLITS)}")
    path = data_folder() / task / f"{split}.jsonl"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: `python data/make.py` writes it")
    return list(read_records(path, TASK_FIELDS[task]))


def task_texts(task: str, split: str) -> list[str]:
    """Returns the split as plain text for pretraining, which never asks for a task.

    Translations stand in it as in the text that large models are trained on: as pages in two
    languages (`bilingual_pages`). Summaries are shuffled separately, a dozen to a text, so that
    none stands next to its dialogue.
    """
    examples = task_set(task, split)
    if task == "reviews":
        return [example["text"] for example in examples]
    if task == "dialogues":
        summaries = dozens([example["summary"] for example in examples], seed=0)
        return [example["dialogue"] for example in examples] + summaries
    return bilingual_pages([(example["en"], example["fr"]) for example in examples], seed=1)


def dozens(sentences: list[str], seed: int) -> list[str]:
    """Joins every twelve sentences into a text, each different one once, shuffled by seed."""
    order = list(dict.fromkeys(sentences))
    random.Random(seed).shuffle(order)
    return [" ".join(order[i : i + 12]) for i in range(0, len(order), 12)]


def bilingual_pages(pairs: list[tuple[str, str]], seed: int) -> list[str]:
    """Returns texts of one to three English sentences, an empty line, and the same in French.

    Radford et al. 2019 (GPT-2, section 3.7 and table 1) found such pages in WebText, and found that
    a model which has read some can translate a little. Every different pair is used once.
    """
    order, generator = list(dict.fromkeys(pairs)), random.Random(seed)
    generator.shuffle(order)
    pages = []
    while order:
        n = generator.randint(1, 3)
        english, french = zip(*order[:n], strict=True)
        pages.append(f"{' '.join(english)}\n\n{' '.join(french)}")
        del order[:n]
    return pages
