"""The optimizer: AdamW, with weight decay only where it helps.

Sources: Kingma and Ba 2015, "Adam"; Loshchilov and Hutter 2019, "Decoupled Weight Decay
Regularization" (AdamW, algorithm 2); Brown et al. 2020 (GPT-3, appendix B: decay 0.1, betas 0.9 and
0.95).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from minigpt.optim.paged_adamw import PagedAdamW


def adamw_step(
    w: Tensor,
    grad: Tensor,
    m: Tensor,
    v: Tensor,
    step: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns a weight and its two moments after one update (Loshchilov and Hutter, algorithm 2).

    The weight decay does not go through the gradient, as a penalty on large weights would: Adam
    would divide it by the size of the gradients.

    Args:
        m, v: the running means of the gradients and of their squares; 0 at the start.
        step: the number of this update; the first is 1.
    """
    beta1, beta2 = betas
    w = w - lr * weight_decay * w
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    m_hat = m / (1 - beta1**step)  # m starts at 0, so the first means are too small by this factor
    v_hat = v / (1 - beta2**step)
    return w - lr * m_hat / (v_hat.sqrt() + eps), m, v


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Splits the trainable parameters into weights that decay and weights that do not.

    Decay pulls every weight a little towards zero, which keeps matrices (two dimensions and more:
    linear layers, embeddings, LoRA's A and B) from relying on a few huge entries. A bias or the
    gain of a layer norm (one dimension) has a natural size that is not zero, so it is left alone.

    Parameters with requires_grad=False are in no group: the optimizer keeps no state for them. A
    weight used under two names (the tied LM head) is listed once.

    Returns:
        One or two dicts {"params": [...], "weight_decay": ...}, the decaying group first.

    Raises:
        ValueError: every parameter of the model is frozen.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trainable:
        raise ValueError(
            f"there is nothing to train: every parameter of this {type(model).__name__} is frozen; "
            "set requires_grad=True on those that should learn"
        )
    decaying = [parameter for parameter in trainable if parameter.dim() >= 2]
    others = [parameter for parameter in trainable if parameter.dim() < 2]
    groups: list[dict[str, Any]] = [
        {"params": decaying, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def make_optimizer(
    model: nn.Module,
    learning_rate: float,
    weight_decay: float = 0.1,
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-8,
    paged: bool = False,
) -> torch.optim.AdamW:
    """Returns AdamW over the trainable parameters of model: torch's, fused where torch can.

    The fused form does the lines of adamw_step in a single kernel: the update is the same, but
    weights, moments and gradients are read from memory once instead of once a line.

    With paged=True, m and v of parameters on a GPU are kept in the host's memory, which saves their
    bytes on the GPU but slows the step down; paged_adamw.py says by how much.

    Raises:
        ValueError: every parameter of the model is frozen.
    """
    groups = parameter_groups(model, weight_decay)
    if paged:
        return PagedAdamW(groups, learning_rate, betas, eps, weight_decay)
    try:
        return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, eps=eps, fused=True)
    except RuntimeError:  # this device or number format has no fused kernel
        return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, eps=eps)
