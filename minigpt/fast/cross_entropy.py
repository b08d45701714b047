"""The loss of a language model without ever holding all of its logits.

    loss = linear_cross_entropy(x, lm_head.weight, targets)    # = F.cross_entropy(x W^T, targets)

For n tokens and V possible next ones the logits x W^T are n V numbers, and the loss as it is
usually written holds several such matrices: the logits, the logarithms of the probabilities in
fp32, and the gradients of both. With GPT-2's 50,257 tokens that is more than a block of the model
keeps. But every row stands for itself, and its gradient is known as soon as its loss is:

    d loss / d logits = (softmax(logits) - onehot(target)) / n        [n, V]
    d loss / d x      = d logits W                                    [n, C]
    d loss / d W      = d logits^T x                                  [V, C]

So the forward pass goes through the rows in chunks, computes the loss and all three for a chunk,
and keeps only the sums of the last two. The backward pass multiplies them with the gradient that
comes in. The products are those of the usual way, neither more nor fewer.

Forward and backward, the usual way against this (one core of an Intel Xeon with AMX, torch 2.13):

    rows, C, V, weight              products   times as fast    kept, MB        peak, MB
    2,048, 256, 4,096, trained      fp32       1.10             33.6 to 6.3     100.7 to 73.4
    2,048, 256, 4,096, trained      bf16       1.13             36.7 to 5.2     103.8 to 92.3
    256, 1,600, 50,257, frozen      fp32       0.95             51.5 to 1.6     154.4 to 104.6
    256, 1,600, 50,257, frozen      bf16       1.50             212.3 to 0.8    315.2 to 291.1

A smaller chunk takes less at the peak and more time: with 2^20 logits at once the first row was
1.03 times as fast at a peak of 18.9 MB, the last 0.96 with 2^22 at 228.7 MB.

Sources: Hsu et al. 2024, "Liger Kernel: Efficient Triton Kernels for LLM Training" (arXiv
2410.10989, section 3.2, FusedLinearCrossEntropy); Wijmans et al. 2024, "Cut Your Losses in
Large-Vocabulary Language Models" (arXiv 2411.09009), which holds no logits in memory at all.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

CHUNK = 2**25  # logits at once: 128 MiB in fp32


def linear_cross_entropy(
    x: Tensor, weight: Tensor, targets: Tensor, ignore_index: int = -100, chunk: int = CHUNK
) -> Tensor:
    """The mean of -log softmax(x W^T)[target], in nats, over the rows whose targets count.

    Under autocast the products are computed in its format and the rest in fp32, as usual.

    Args:
        x: [..., C], what the LM head reads.
        weight: W [V, C] of the LM head, frozen or not.
        targets: [...], ids from 0 to V - 1, or ignore_index: do not count this row.
        chunk: at most so many logits are there at a time, but one row of them at least.

    Returns:
        scalar in fp32 (fp64 for fp64), differentiable once in x and weight; NaN if no target
        counts, with gradients of 0, as F.cross_entropy.

    Raises:
        ValueError: shapes do not fit together.
    """
    if weight.dim() != 2 or x.dim() == 0 or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"x must be [..., C] and weight [V, C], got {list(x.shape)} and {list(weight.shape)}"
        )
    if x.shape[:-1] != targets.shape:
        raise ValueError(
            f"there must be a target for each row of x, got x {list(x.shape)} and targets "
            f"{list(targets.shape)}"
        )
    device, dtype = x.device.type, x.dtype
    if device != "meta" and torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
    learning = torch.is_grad_enabled()
    rows = max(1, chunk // len(weight))
    return _LinearCrossEntropy.apply(
        x.flatten(0, -2), weight, targets.flatten(), ignore_index, rows, dtype, learning
    )


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        targets: Tensor,
        ignore_index: int,
        rows: int,
        dtype: torch.dtype,
        learning: bool,
    ) -> Tensor:
        """x [n, C], weight [V, C], targets [n] -> the mean loss; `rows` at a time."""
        for_x, for_weight = (learning and needed for needed in ctx.needs_input_grad[:2])
        ctx.formats = x.dtype, weight.dtype
        exact = torch.promote_types(dtype, torch.float32)  # of the softmax and of sums
        grad_x = torch.empty_like(x, dtype=dtype) if for_x else None  # [n, C]
        grad_weight = torch.zeros_like(weight, dtype=exact) if for_weight else None  # [V, C]
        counted = targets != ignore_index  # [n]
        n_counted = counted.sum()
        share = torch.where(counted, 1 / n_counted.to(exact), 0.0)[:, None]  # [n, 1] in the mean
        column = torch.where(counted, targets, 0)[:, None]  # [n, 1] any, where none counts
        loss_sum = torch.zeros((), dtype=exact, device=x.device)
        with torch.autocast(x.device.type, enabled=False):
            w = weight.to(dtype)
            for start in range(0, len(x), rows):
                part = slice(start, start + rows)
                x_part = x[part].to(dtype)  # [m, C]
                logits = x_part @ w.t()  # [m, V]
                p = F.log_softmax(logits, dim=-1, dtype=exact)  # [m, V]
                del logits
                loss_sum -= p.gather(1, column[part])[counted[part]].sum()
                if not for_x and not for_weight:
                    continue
                p.exp_()  # what was the logarithm is now the probability
                p.scatter_add_(1, column[part], -torch.ones_like(share[part]))
                grad = p.mul_(share[part]).to(dtype)  # [m, V] of the logits
                if grad_x is not None:
                    torch.mm(grad, w, out=grad_x[part])
                if grad_weight is not None and dtype == exact:
                    torch.addmm(grad_weight, grad.t(), x_part, out=grad_weight)
                elif grad_weight is not None:
                    grad_weight += grad.t() @ x_part
        ctx.save_for_backward(grad_x, grad_weight)
        return loss_sum / n_counted

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        """Both gradients, times that of the loss."""
        x_and_weight = zip(ctx.saved_tensors, ctx.formats, strict=True)
        grads = [g if g is None else (g * grad_loss).to(dtype) for g, dtype in x_and_weight]
        return (*grads, None, None, None, None, None)
