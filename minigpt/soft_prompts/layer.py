"""The modules behind soft prompts: they make the keys and values that stand before every text.

A model that finds keys and values before a text goes on as if it had read a prompt. Prompt tuning
trains n vectors in the place of token embeddings, and the layers make keys and values of them; in
prefix tuning the keys and values themselves are trained, in all layers.

A prefix may have a gate. Its keys and values then stand beside the text instead of before it: each
head looks at them apart, and adds what it finds, times the tanh of a trained number that starts
at 0. So training starts at the base model exactly, whatever the keys and values are.

In the comments B is the batch, T the number of tokens, n that of virtual tokens, C the width
n_embd, L the number of layers, H that of heads, D = C / H the size of one head.
Sources: Lester et al. 2021, "The Power of Scale for Parameter-Efficient Prompt Tuning" (arXiv
2104.08691); Li and Liang 2021, "Prefix-Tuning" (arXiv 2101.00190); Zhang et al. 2023,
"LLaMA-Adapter: Efficient Fine-tuning of Language Models with Zero-init Attention" (arXiv
2303.16199, section 3.2: the gate).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minigpt.cache import GatedPrefix, LayerPrefix, Prefix
from minigpt.fast.dropout import dropout
from minigpt.model import GPT, Visible


class PromptTuning(nn.Module):
    """Holds n trained vectors in the place of token embeddings (Lester et al., section 2).

    The plain way puts them before the embeddings of each text. But no token sees what comes after
    it, so what the layers make of the first n depends on no text: their keys and values are
    computed once for all rows, and for all texts of a packed row. The results are the same. (In
    training with dropout the rows of a batch therefore share the masks of the virtual tokens.)

    Args:
        vectors: [n, C], where training starts.
    """

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.embeddings = nn.Parameter(vectors)

    def vectors(self) -> Tensor:
        """Returns what is saved: the vectors, [n, C]."""
        return self.embeddings

    def prefix(self, model: GPT) -> Prefix:
        """Returns the keys and values of the virtual tokens, which take positions 0 to n - 1."""
        return read_embeddings(model, self.embeddings)


class PrefixTuning(nn.Module):
    """Holds n trained keys and values for every layer, in fp32 (Li and Liang, section 4.2).

    Args:
        start: where training starts: [n, 2 L C], in each row the key and the value of layer 0, of
            layer 1 and so on; with a network [n, C].
        network: makes [n, 2 L C] of [n, C] (section 4.3). It is trained too, and left out when the
            prefix is saved.
        gate: [L, H], where the gates start, if the prefix has any (Zhang et al., section 3.2). They
            have it in the topmost layers, on keys and values that the layers' own weights make of
            trained vectors; here it is in all layers, on the trained keys and values themselves.
    """

    def __init__(
        self, start: Tensor, network: Reparametrization | None = None, gate: Tensor | None = None
    ) -> None:
        super().__init__()
        self.start = nn.Parameter(start)
        self.network = network
        self.gate = None if gate is None else nn.Parameter(gate)

    def vectors(self) -> Tensor:
        """Returns what is saved: keys and values, [n, 2 L C]."""
        return self.start if self.network is None else cast(Tensor, self.network(self.start))

    def prefix(self, model: GPT) -> Prefix | None:
        """Returns what stands before every text: nothing, if the prefix has a gate."""
        if self.gate is not None:
            return None
        return Prefix([LayerPrefix(*pair) for pair in self.keys_and_values(model)])

    def beside(self, model: GPT) -> list[GatedPrefix] | None:
        """Returns what stands beside every text, for each layer, if the prefix has a gate."""
        if self.gate is None:
            return None
        pairs = self.keys_and_values(model)
        gates = torch.tanh(self.gate)[..., None, None]  # [L, H, 1, 1]
        return [
            GatedPrefix(k, v, gate.to(v.dtype)) for (k, v), gate in zip(pairs, gates, strict=True)
        ]

    def keys_and_values(self, model: GPT) -> list[tuple[Tensor, Tensor]]:
        """Returns those of each layer, [1, H, n, D], in the format that the model computes in."""
        weight = token_embeddings(model)
        kind = weight.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        flat = self.vectors().to(dtype)  # [n, 2 L C]
        parts = flat.view(len(flat), 2 * model.config.n_layer, 1, model.config.n_head, -1)
        parts = parts.permute(1, 2, 3, 0, 4)  # [2 L, 1, H, n, D]
        return list(zip(parts[0::2], parts[1::2], strict=True))


class Reparametrization(nn.Module):
    """Computes tanh(x W_1 + b_1) W_2 + b_2, through which a prefix trains more steadily.

    The weights start as torch starts those of nn.Linear. They are plain parameters because LoRA and
    quantization, which look for the linear layers of a model, must not find them.
    """

    def __init__(self, n_embd: int, hidden: int, width: int) -> None:
        super().__init__()
        first, second = nn.Linear(n_embd, hidden), nn.Linear(hidden, width)
        self.W_1, self.b_1 = first.weight, first.bias  # [hidden, C], [hidden]
        self.W_2, self.b_2 = second.weight, second.bias  # [2 L C, hidden], [2 L C]

    def forward(self, x: Tensor) -> Tensor:
        """Maps x [n, C] to keys and values [n, 2 L C]."""
        return F.linear(torch.tanh(F.linear(x, self.W_1, self.b_1)), self.W_2, self.b_2)


class SoftPrompts(nn.Module):
    """Holds a model's named soft prompts, of which at most one is active: GPT.soft_prompts."""

    def __init__(self) -> None:
        super().__init__()
        self.prompts = nn.ModuleDict()
        self.active: str | None = None

    def __getitem__(self, name: str) -> PromptTuning | PrefixTuning:
        return cast("PromptTuning | PrefixTuning", self.prompts[name])

    def prefix(self, model: GPT) -> Prefix | None:
        """Returns the keys and values that the active prompt puts before every text, if any."""
        return None if self.active is None else self[self.active].prefix(model)

    def beside(self, model: GPT) -> list[GatedPrefix] | None:
        """Returns those that it puts beside every text, if any."""
        prompt = None if self.active is None else self[self.active]
        return prompt.beside(model) if isinstance(prompt, PrefixTuning) else None

    def extra_repr(self) -> str:
        return f"active={self.active}"


class _Recorder:
    """Takes the place of every layer's cache and keeps what each layer appends."""

    def __init__(self) -> None:
        self.layers: list[LayerPrefix] = []

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        self.layers.append(LayerPrefix(k, v))
        return k, v


def token_embeddings(model: GPT) -> Tensor:
    """Returns the model's embedding of each token, [V, C]."""
    return cast(Tensor, model.transformer["wte"].weight)


def read_embeddings(model: GPT, embeddings: Tensor) -> Prefix:
    """Returns the keys and values that the layers make of embeddings [n, C] at a text's start."""
    recorder = _Recorder()
    positions = cast(Tensor, model.transformer["wpe"].weight)[: len(embeddings)]  # [n, C]
    x = (embeddings.to(positions.dtype) + positions)[None]  # [1, n, C]
    x = dropout(x, model.config.dropout, model.training)
    for block in model.blocks():
        x = block(x, Visible(recorder))
    # What the last block returns is not used. But FSDP gathers the weights of a block for the
    # backward pass only when a gradient reaches what the block returned; 0 * x lets one through.
    keys, values = recorder.layers.pop()
    return Prefix([*recorder.layers, LayerPrefix(keys + 0 * x.mean().to(keys.dtype), values)])
