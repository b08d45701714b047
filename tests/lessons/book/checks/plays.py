"""Makes data for the figures that can be played with, as lessons hand them over."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from kernels.nf4 import LEVELS, THRESHOLDS
from minigpt import load_pretrained
from minigpt.generation import next_logits
from minigpt.tokenizer import escape_token

PROMPT = "Return the"


@cache
def plays() -> dict[str, dict[str, Any]]:
    """Returns the data of each figure, by its name."""
    generator = torch.Generator().manual_seed(0)
    model, encoding = load_pretrained("base")
    ids = encoding.encode_ordinary(PROMPT)
    tokens = [escape_token(encoding.decode_single_token_bytes(i)) for i in range(encoding.n_vocab)]
    logits = next_logits(model, torch.tensor([ids]))[0].tolist()
    scores = 2 * torch.randn(2, 3, 6, 6, generator=generator)
    later = torch.ones(6, 6).triu(1).bool()
    maps = scores.masked_fill(later, float("-inf")).softmax(-1)
    row = 0.07 * torch.randn(64, generator=generator)
    return {
        "attention": {"tokens": ["The", "·cat", "·s", "at", "·down", "."], "maps": maps.tolist()},
        "sampling": {"prompt": PROMPT, "ids": ids, "logits": logits, "tokens": tokens},
        "nf4": {
            "weights": row.tolist(), "levels": LEVELS.tolist(), "thresholds": THRESHOLDS.tolist(),
        },
    }  # fmt: skip
