"""Makes models of fewer blocks from the base model, to compare methods at several sizes.

A model that is cut off after its first blocks predicts badly, because its LM head gets a residual
stream that the last blocks would have finished. Some steps on the text it was pretrained on repair
that. But the model is then both smaller and less pretrained than the whole: where the two differ,
either may be the reason.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import tiktoken

from lessons.base_model import MIX
from minigpt import GPT
from minigpt.dataset import PackedText, pack
from minigpt.text.documents import split_documents
from minigpt.text.python_library import python_library
from minigpt.text.task_sets import TASK_FIELDS, task_texts
from minigpt.training.loop import train
from minigpt.training.settings import TrainConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def pretraining_text(
    encoding: tiktoken.Encoding,
    seed: int,
    n_documents: int | None = None,
    row_length: int = 128,
) -> PackedText:
    """Returns rows of the text that the base model was pretrained on, mixed as for that."""

    def ids_of(texts: list[str]) -> np.ndarray:
        return pack(encoding.encode_ordinary_batch(texts), encoding.eot_token)

    library, held_out = split_documents(python_library(n_documents))
    sources = {"library": [document.text for document in library]}
    sources |= {task: task_texts(task, "train") for task in TASK_FIELDS}
    validation = ids_of([document.text for document in held_out])
    return PackedText(
        [(ids_of(sources[name]), share) for name, share in MIX.items()],
        validation,
        row_length,
        seed,
    )


def with_fewer_blocks(base: GPT, n_layer: int, text: PackedText, settings: TrainConfig) -> GPT:
    """Returns a copy of base that has only its first n_layer blocks, trained on text.

    Raises:
        ValueError: base has fewer blocks, or n_layer is below 1.
    """
    if not 1 <= n_layer <= base.config.n_layer:
        raise ValueError(f"n_layer must be from 1 to {base.config.n_layer}, got {n_layer}")
    model = copy.deepcopy(base)
    model.transformer["h"] = model.transformer["h"][:n_layer]  # type: ignore[index]
    model.config = replace(model.config, n_layer=n_layer)
    train(model, text, settings)
    return model


def draw_sizes(
    axis: Axes,
    sizes: Mapping[int, Mapping[str, float]],
    errors: Mapping[int, Mapping[str, float]],
) -> None:
    """Draws the BLEU of each way against the size of the model, a line for each, named below.

    Args:
        sizes: {the model's number of parameters: {way: BLEU}}, the same ways for all.
        errors: their standard errors, in the same places.
    """
    millions = [n / 1e6 for n in sizes]
    for way, marker in zip(next(iter(sizes.values())), "os^D", strict=False):
        scores = [each[way] for each in sizes.values()]
        spread = [each[way] for each in errors.values()]
        label = f"{way}, {scores[-1]:.1f} in the larger"
        axis.errorbar(millions, scores, spread, fmt=f"{marker}-", capsize=3, label=label)
    axis.set_xticks(millions, [f"{n:.1f}" for n in millions])
    axis.set(xlabel="parameters of the model (millions)", ylabel="translation (BLEU, 0 to 100)")
    axis.set(ylim=(0, None))
    axis.margins(x=0.1, y=0.1)
    axis.figure.legend(loc="outside lower center", ncols=2)
