"""The shape of Llama 2: how many parameters it has, and where they are.

That is enough to predict its size on disk and in training (predicted.py); no model is built.

Source: Touvron et al. 2023, "Llama 2" (section 2.2); dim, ffn and the heads from the config.json
files published with the weights.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LlamaShape:
    """The sizes of a Llama 2.

    Attributes:
        dim: width of the residual stream.
        ffn: width inside the feed-forward layer, which has three matrices (SwiGLU).
        n_kv_head: heads for keys and values; fewer than n_head where several queries share them.
        block_size: the longest context in tokens.
    """

    dim: int
    n_layer: int
    ffn: int
    n_head: int
    n_kv_head: int
    vocab_size: int = 32_000
    block_size: int = 4096

    @property
    def kv_dim(self) -> int:
        """Returns how many numbers a token's keys have, and its values: dim n_kv_head / n_head."""
        return self.dim * self.n_kv_head // self.n_head

    @property
    def linear_parameters(self) -> int:
        """Counts the weights that get quantized: those of all linear layers but the head.

        A layer has q and o (dim x dim each), k and v (dim x dim n_kv_head / n_head each), and three
        matrices of dim x ffn. There are no biases.
        """
        return self.n_layer * self.dim * (2 * self.dim + 2 * self.kv_dim + 3 * self.ffn)

    @property
    def other_parameters(self) -> int:
        """Counts embeddings and head, and the norms' gains: two norms a layer and a last one."""
        return self.dim * (2 * self.vocab_size + 2 * self.n_layer + 1)

    def gigabytes(self, linear_bits: float, other_bits: float = 16) -> float:
        """Returns the size in GB of 10^9 bytes, given the bits a parameter of each kind takes."""
        bits = self.linear_parameters * linear_bits + self.other_parameters * other_bits
        return bits / 8 / 1e9

    def linear_bits(self, gigabytes: float, other_bits: float = 16) -> float:
        """Undoes gigabytes: returns the bits that a size in GB leaves for each linear weight."""
        return (8e9 * gigabytes - other_bits * self.other_parameters) / self.linear_parameters


LLAMA_2 = {
    "Llama2-7B": LlamaShape(dim=4096, n_layer=32, ffn=11_008, n_head=32, n_kv_head=32),
    "Llama2-13B": LlamaShape(dim=5120, n_layer=40, ffn=13_824, n_head=40, n_kv_head=40),
    "Llama2-70B": LlamaShape(dim=8192, n_layer=80, ffn=28_672, n_head=64, n_kv_head=8),
}
