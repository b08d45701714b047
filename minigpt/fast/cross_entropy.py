"""`F.cross_entropy` of a language model's logits, without ever holding all of them.

    loss = linear_cross_entropy(x, lm_head.weight, targets)    # = F.cross_entropy(x W^T, targets)

For n tokens and V possible next ones the logits x W^T are n V numbers, and the usual form of the
loss holds several such matrices: the logits, the logarithms of the probabilities in fp32, and the
gradients of both. With GPT-2's 50,257 tokens that is more than a block of the model keeps. But the
rows do not depend on each other, and the gradient of a row is known as soon as its loss is:

    d loss / d logits = (softmax(logits) - onehot(target)) / n        [n, V]
    d loss / d x      = d logits W                                    [n, C]
    d loss / d W      = d logits^T x                                  [V, C]

So the forward pass goes through the rows in chunks, computes the loss and these gradients for a
chunk, and keeps only the gradients of x and W. The backward pass multiplies them by the gradient
that comes in. The matrix products are the usual ones, neither more nor fewer. `minigpt bench
training` times whole steps and `minigpt bench qlora` counts their memory. A smaller chunk takes
less memory at the peak, and more time.

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

from minigpt.fast.linear import ONEDNN, PRODUCTS, linear_by_onednn

CHUNK = 2**25  # logits at once: 128 MiB in fp32


def linear_cross_entropy(
    x: Tensor, weight: Tensor, targets: Tensor, ignore_index: int = -100, chunk: int = CHUNK
) -> Tensor:
    """Returns the mean of -log softmax(x W^T)[target], in nats, over the rows whose targets count.

    Under autocast the products are computed in its format and the rest in fp32, as usual.

    Args:
        x: [..., C], the input of the LM head.
        weight: W [V, C] of the LM head, frozen or not.
        targets: [...], ids from 0 to V - 1, or ignore_index for rows that do not count.
        chunk: how many logits exist at a time at most, but at least one row of them.

    Returns:
        A scalar in fp32 (fp64 for fp64), differentiable once in x and weight; NaN if no target
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
        """Returns the mean loss for x [n, C], weight [V, C] and targets [n], `rows` at a time."""
        for_x, for_weight = (learning and needed for needed in ctx.needs_input_grad[:2])
        ctx.formats = x.dtype, weight.dtype
        exact = torch.promote_types(dtype, torch.float32)  # for the softmax and the sums
        grad_x = torch.empty_like(x, dtype=dtype) if for_x else None  # [n, C]
        grad_weight: Tensor | None = None  # [V, C]
        if for_weight and dtype == exact and len(x):
            grad_weight = torch.empty_like(weight, dtype=exact)
        elif for_weight:
            grad_weight = torch.zeros_like(weight, dtype=exact)
        counted = targets != ignore_index  # [n]
        n_counted = counted.sum()
        share = torch.where(counted, 1 / n_counted.to(exact), 0.0)[:, None]  # [n, 1] in the mean
        column = torch.where(counted, targets, 0)[:, None]  # [n, 1] 0 where no target counts
        loss_sum = torch.zeros((), dtype=exact, device=x.device)
        with torch.autocast(x.device.type, enabled=False):
            w = weight.to(dtype)
            by_onednn = dtype == torch.float32 and PRODUCTS.get() == ONEDNN
            for start in range(0, len(x), rows):
                part = slice(start, start + rows)
                x_part = x[part].to(dtype)  # [m, C]
                logits = linear_by_onednn(x_part, w, None) if by_onednn else x_part @ w.t()
                top = logits.amax(dim=-1, keepdim=True).to(exact)  # [m, 1]
                below = top - logits.gather(1, column[part])  # [m, 1] how far the target's is
                p = F.softmax(logits, dim=-1, dtype=exact)  # [m, V]
                del logits
                # -log p of the target: p itself may round to 0, that of the largest logit cannot.
                nats = below - p.amax(dim=-1, keepdim=True).log()  # [m, 1]
                loss_sum += nats[counted[part]].sum()
                if not for_x and not for_weight:
                    continue
                p.scatter_add_(1, column[part], -torch.ones_like(share[part]))
                grad = p.mul_(share[part]).to(dtype)  # [m, V] gradient of the logits
                if grad_x is not None and by_onednn:
                    grad_x[part] = linear_by_onednn(grad, w.t(), None)
                elif grad_x is not None:
                    torch.mm(grad, w, out=grad_x[part])
                if grad_weight is not None and dtype == exact:
                    beta = 0 if start == 0 else 1  # times what is there
                    torch.addmm(grad_weight, grad.t(), x_part, beta=beta, out=grad_weight)
                elif grad_weight is not None:
                    grad_weight += grad.t() @ x_part
        ctx.save_for_backward(grad_x, grad_weight)
        return loss_sum / n_counted

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        """Returns both gradients, times that of the loss."""
        x_and_weight = zip(ctx.saved_tensors, ctx.formats, strict=True)
        if grad_loss.is_cpu and grad_loss == 1:  # as usual; a GPU would wait for the answer
            grads = [g if g is None else g.to(dtype) for g, dtype in x_and_weight]
        else:
            grads = [g if g is None else (g * grad_loss).to(dtype) for g, dtype in x_and_weight]
        return (*grads, None, None, None, None, None)
