"""`minigpt bench choices`: what is chosen on this machine, against the plain way to compute it.

The plain way is what a chapter or a specification says. Where a way stands in its place, in fast/
or in kernels/cpu/, it must nowhere be slower: of two ways the faster is measured and taken
(fast/measured.py), and a way that does less work is taken everywhere. This table times them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kernels import dequantize_nf4, quantize_nf4
from kernels.cpu.lookup_tables import use_machine_code
from kernels.reference import dequantize_plainly, quantize_plainly
from minigpt.bench.timing import Ratio, time_in_turn
from minigpt.cache import KVCache
from minigpt.config import GPTConfig, count_parameters
from minigpt.device import CPU, autocast_dtype
from minigpt.fast.attention import fused_attention
from minigpt.fast.cross_entropy import linear_cross_entropy
from minigpt.fast.dropout import dropout
from minigpt.fast.linear import (
    ONE_ROW,
    PLAIN,
    WAYS,
    Linear,
    choose_for_one_row,
    choose_products,
    multiply_by,
    through,
)
from minigpt.fast.low_rank import add_low_rank
from minigpt.fast.one_token import OneToken, fastest
from minigpt.lora.layer import add_low_rank_plainly
from minigpt.model import GPT, masked_attention

LEAST = 0.97  # of the plain way's speed
WIDTHS = (192, 256, 768)
LARGE_ENOUGH = GPTConfig(n_layer=5, n_embd=768, n_head=12)  # for C
N_TOKENS = 2048  # in a training step: four rows of 512, as in finetune


class Switch(NamedTuple):
    """One row of the table: what is computed, the way that is chosen, and both ways as functions.

    The functions are None where the plain way is chosen: there is nothing to compare.
    """

    what: str
    chosen: str
    plain: Callable[[], object] | None = None
    fast: Callable[[], object] | None = None


def one_row(width: int) -> Iterator[Switch]:
    """Yields the products of a new token with the weights of a model of this width."""
    model = GPT(GPTConfig(n_layer=4, n_head=4, n_embd=width, vocab_size=16 * width)).eval()
    choose_for_one_row(model)
    weights = [m.weight.detach() for m in model.modules() if isinstance(m, Linear)]
    rows = {n_in: torch.ones(1, n_in) for n_in in (width, 4 * width)}

    def multiply(way: str) -> None:
        with torch.no_grad():
            through(WAYS[way], rows, weights)

    what, chosen = f"products of a token, width {width}", ONE_ROW.get(weights[0].shape, PLAIN)
    if chosen == PLAIN:
        yield Switch(what, chosen)
    else:
        yield Switch(what, chosen, partial(multiply, PLAIN), partial(multiply, chosen))


def one_token() -> Iterator[Switch]:
    """Yields a token of a model that is large enough for C."""
    config = LARGE_ENOUGH
    model, cache = GPT(config).eval(), KVCache(config.n_layer, capacity=2)
    choose_for_one_row(model)
    fast, x = OneToken(model), torch.randn(1, 1, config.n_embd)
    with torch.inference_mode():
        in_c = fastest(fast)
        fast.step(x, cache)

    def write(step: Callable[[Tensor, KVCache], Tensor]) -> None:
        for layer in cache.layers:
            layer.length = 1
        with torch.inference_mode():
            step(x.clone(), cache)

    what = f"a token, {count_parameters(config) // 10**6}M weights"
    if in_c is None:
        yield Switch(what, PLAIN)
    else:
        yield Switch(what, "in C", partial(write, fast.step), partial(write, in_c.step))


def training(width: int) -> Iterator[Switch]:
    """Yields the products of a training step, its number format and its other fast forms."""
    x, grad = torch.randn(N_TOKENS, width, requires_grad=True), torch.randn(N_TOKENS, 4 * width)
    layer = Linear(width, 4 * width)

    def learn(way: str = PLAIN, dtype: torch.dtype = torch.float32) -> None:
        with multiply_by(way), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            layer(x).backward(grad.to(dtype))

    way, dtype = choose_products(width, N_TOKENS), autocast_dtype(CPU, "auto", width)
    what = f"products in training, width {width}"
    yield Switch(what, way, learn, partial(learn, way)) if way != PLAIN else Switch(what, way)
    what, name = f"format in training, width {width}", str(dtype).removeprefix("torch.")
    same = dtype == torch.float32
    yield Switch(what, name) if same else Switch(what, name, learn, partial(learn, PLAIN, dtype))


def forward_and_backward(function: Callable[..., Tensor], *inputs: Tensor) -> Callable[[], object]:
    """Returns a function that computes function(*inputs) and its gradients."""
    floats = [x.requires_grad_() for x in inputs if x.is_floating_point()]
    return lambda: torch.autograd.grad(function(*inputs).sum(), floats)


def always() -> Iterator[Switch]:
    """Yields what is computed in the same way on every processor."""
    q, k, v = (torch.randn(4, 4, 256, 64) for _ in range(3))
    yield Switch(
        "attention, forward and backward", "fused",
        forward_and_backward(lambda *x: masked_attention(*x)[0], q, k, v),
        forward_and_backward(fused_attention, q, k, v),
    )  # fmt: skip
    x, weight, targets = torch.randn(512, 256), torch.randn(4096, 256), torch.arange(512)
    yield Switch(
        "cross-entropy of logits", "in chunks",
        forward_and_backward(lambda x, w: F.cross_entropy(F.linear(x, w), targets), x, weight),
        forward_and_backward(lambda x, w: linear_cross_entropy(x, w, targets), x, weight),
    )  # fmt: skip
    large = torch.randn(2**20)
    yield Switch(
        "dropout", "16 random bits",
        lambda: F.dropout(large, 0.1), lambda: dropout(large, 0.1, training=True),
    )  # fmt: skip
    y, A, B = torch.randn(512, 768), nn.Parameter(torch.randn(8, 256)), torch.randn(768, 8)
    yield Switch(
        "LoRA's two products", "fewer passes",
        forward_and_backward(partial(add_low_rank_plainly, scaling=2.0), y, x, A, B),
        forward_and_backward(partial(add_low_rank, scaling=2.0), y, x, A, B),
    )  # fmt: skip
    weight = torch.randn(1024, 1024)
    quantized = quantize_nf4(weight)
    chosen = "machine code" if use_machine_code(CPU) else "tables"
    yield Switch(
        "NF4, quantize", chosen,
        lambda: quantize_plainly(weight, 64, 256), lambda: quantize_nf4(weight),
    )  # fmt: skip
    yield Switch(
        "NF4, dequantize", chosen,
        lambda: dequantize_plainly(quantized, torch.float32), lambda: dequantize_nf4(quantized),
    )  # fmt: skip


def switches() -> Iterator[Switch]:
    """Yields everything that is computed in another way than the plain one, or could be."""
    for width in WIDTHS:
        yield from one_row(width)
        yield from training(width)
    yield from one_token()
    yield from always()


def bench_choices(seed: int, rounds: int = 9) -> list[Ratio]:
    """Returns how many times as fast as the plain way the chosen one is: 1 where it is plain.

    The shortest times are compared, since others only tell how busy the machine was.
    """
    torch.manual_seed(seed)
    rows: list[Ratio] = []
    for switch in switches():
        gain = 1.0
        if switch.plain is not None and switch.fast is not None:
            seconds = time_in_turn({"plain": switch.plain, "fast": switch.fast}, rounds)
            gain = min(seconds["plain"]) / min(seconds["fast"])
        rows.append((f"{switch.what}: {switch.chosen}", gain, LEAST))
    return rows
