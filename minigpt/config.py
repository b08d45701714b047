"""The shape of a GPT: how many blocks, how wide, how long a context.

It tells what can be known about a model without building it: whether its sizes fit together, and
how many parameters it has.

Sources: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners" (GPT-2,
table 2); Brown et al. 2020, "Language Models are Few-Shot Learners" (GPT-3, table 2.1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from torch import Tensor

IGNORE = -100  # a target that the loss leaves out, the default of torch's cross_entropy

# No model is larger by far; with these the numbers of bytes still fit into 64 bits.
LARGEST = {"vocab_size": 10**8, "block_size": 10**8, "n_layer": 10**4, "n_head": 10**5}
LARGEST["n_embd"] = 10**6

# name: (n_layer, n_head, n_embd, block_size). Two rows of GPT-3's published table cannot be built:
# "XL" lists 24 heads of 128 for a width of 2048 (16 heads of 128 is 2048), and "13B" lists a width
# of 5140 for 40 heads of 128 (that is 5120). The presets hold the values that fit.
PRESETS: dict[str, tuple[int, int, int, int]] = {
    "gpt2": (12, 12, 768, 1024),
    "gpt2-medium": (24, 16, 1024, 1024),
    "gpt2-large": (36, 20, 1280, 1024),
    "gpt2-xl": (48, 25, 1600, 1024),
    "gpt3-small": (12, 12, 768, 2048),
    "gpt3-medium": (24, 16, 1024, 2048),
    "gpt3-large": (24, 16, 1536, 2048),
    "gpt3-xl": (24, 16, 2048, 2048),
    "gpt3-2.7b": (32, 32, 2560, 2048),
    "gpt3-6.7b": (32, 32, 4096, 2048),
    "gpt3-13b": (40, 40, 5120, 2048),
    "gpt3-175b": (96, 96, 12288, 2048),
}


@dataclass(frozen=True)
class GPTConfig:
    """The sizes of a GPT-2 style decoder. The defaults are GPT-2's smallest model.

    Attributes:
        vocab_size: V, the number of different token ids.
        block_size: the longest context in tokens; there is one learned position vector for each.
        n_layer: L, the number of blocks.
        n_head: H, attention heads a block; each works on n_embd / n_head numbers.
        n_embd: C, the width: how many numbers describe one token inside the model.
        dropout: probability with which a number is zeroed in training, in the embeddings and in
            what each layer adds to the residual stream. GPT-2 in transformers drops attention
            weights too, which no fused kernel for CPUs can do.
        bias: whether linear layers and layer norms have biases (GPT-2's do).

    Raises:
        ValueError: a size is not a positive whole number or is beyond LARGEST, n_embd is not
            divisible by n_head, or dropout is outside [0, 1).
    """

    vocab_size: int = 50257
    block_size: int = 1024
    n_layer: int = 12
    n_head: int = 12
    n_embd: int = 768
    dropout: float = 0.0
    bias: bool = True

    def __post_init__(self) -> None:
        for name, largest in LARGEST.items():
            value = getattr(self, name)
            if not is_whole(value) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r:.40}")
            if value > largest:
                raise ValueError(f"{name} must be at most {largest:,}, got {value!r:.40}")
        if self.n_embd % self.n_head:
            distances = range(1, self.n_head)  # 1 always fits
            near = (self.n_head + sign * d for d in distances for sign in (-1, 1))
            nearest = next(h for h in near if self.n_embd % h == 0)
            raise ValueError(
                f"n_embd must be divisible by n_head, got n_embd={self.n_embd} and "
                f"n_head={self.n_head}; the nearest n_head that fits is {nearest}"
            )
        if not is_number(self.dropout) or not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout!r:.40}")

    @classmethod
    def preset(cls, name: str) -> GPTConfig:
        """Returns the configuration of a published model: four GPT-2s and eight GPT-3s (PRESETS).

        Raises:
            ValueError: there is no such preset; the error lists the ones there are.
        """
        if name not in PRESETS:
            raise ValueError(f"no preset is called {name!r}; there are {', '.join(PRESETS)}")
        n_layer, n_head, n_embd, block_size = PRESETS[name]
        return cls(block_size=block_size, n_layer=n_layer, n_head=n_head, n_embd=n_embd)

    @property
    def head_size(self) -> int:
        """Returns how many numbers one attention head works with: n_embd / n_head."""
        return self.n_embd // self.n_head


def count_parameters(config: GPTConfig) -> int:
    """Counts the parameters of GPT(config) in closed form; no model is built.

    With width C, vocabulary V, context T and L blocks, biases included:

        embeddings      V C + T C
        one block       12 C^2 + 13 C      attention 4 C^2 + 4 C, MLP 8 C^2 + 5 C, norms 4 C
        final norm      2 C

    The output layer (LM head) shares the token embedding, so it adds nothing.
    """
    width, biases = config.n_embd, config.n_embd if config.bias else 0
    attention = 4 * width**2 + 4 * biases  # c_attn: C -> 3C, c_proj: C -> C
    mlp = 8 * width**2 + 5 * biases  # c_fc: C -> 4C, c_proj: 4C -> C
    norm = width + biases
    embeddings = (config.vocab_size + config.block_size) * width
    return embeddings + config.n_layer * (attention + mlp + 2 * norm) + norm


def is_whole(value: object) -> TypeGuard[int]:
    """Returns whether a setting is a whole number; to Python alone True and False are two."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Returns whether a setting is a finite number, whole or not, that a float can hold."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number above 1.8e308
        return False


def check_ids(idx: Tensor, vocab_size: int) -> None:
    """Checks that every id in idx, of any shape, is in the vocabulary.

    An id outside it would otherwise surface as an index error in the middle of the embedding (on a
    GPU as an assertion that kills the process).

    Raises:
        ValueError: an id is below 0 or at least vocab_size.
    """
    low, high = (int(bound) for bound in idx.aminmax())
    if low < 0 or high >= vocab_size:
        wrong = low if low < 0 else high
        raise ValueError(
            f"token id {wrong} is outside the vocabulary of {vocab_size} (ids 0 to "
            f"{vocab_size - 1}); encode the text with the tokenizer this model was trained with"
        )
