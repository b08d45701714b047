"""`minigpt bench training`: times training steps beside those of others, and says what they take.

The contenders are transformers' GPT2LMHeadModel (if it is installed) and the plain recipe of small
GPT code bases: the same decoder with fused attention, exact GELU, and torch's AdamW with its
defaults. All have the same shape and the same weights.

A step is mostly matrix products. So beside the others stands torch's own product, at the shapes of
this model: which share of its multiply-adds a second does a whole step reach, and where does the
rest of the time go?
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minigpt.bench.processes import Work, contenders
from minigpt.bench.timing import Ratio, ratio, time_in_turn
from minigpt.config import GPTConfig
from minigpt.device import has_fast_bfloat16
from minigpt.fast.linear import PLAIN, choose_products, multiply_by
from minigpt.fast.malloc import keep_freed_memory
from minigpt.model import GPT, MLP
from minigpt.optim.adamw import make_optimizer
from minigpt.pretrained import folders as pretrained

SMALL = GPTConfig(vocab_size=4096, block_size=512, n_layer=5, n_head=4, n_embd=256)  # data/base
BATCH = 8  # sequences of block_size tokens
OURS, BF16, PRODUCTS = "ours", "ours, bf16", "torch's products alone"
SAME, USUAL = "transformers, same optimizer", "transformers, its usual optimizer"
RECIPE = "plain recipe"
GOALS = {SAME: 1.25, USUAL: 1.25, RECIPE: 1.0}
# What torch calls the operations of a step, by what they are for; all others are "the rest".
PARTS = {
    "products": ("aten::mm", "aten::addmm", "mkldnn::_linear_pointwise"),
    "attention": ("flash_attention", "efficient_attention"),
    "softmax and loss": ("softmax", "nll_loss", "aten::exp_"),
    "norms, GELU": ("layer_norm", "gelu"),
    "optimizer, clipping": ("adamw", "linalg_vector_norm", "_foreach_"),
}


class ExactGeluMLP(MLP):
    """An MLP with the exact GELU that the plain recipe uses, instead of GPT-2's tanh form."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps x [B, T, C] to [B, T, C]."""
        return self.c_proj(F.gelu(self.c_fc(x)))


def plain_recipe(model: GPT) -> GPT:
    """Returns the plain recipe's decoder with the same weights."""
    plain = GPT(model.config)
    for block in plain.blocks():
        block.mlp = ExactGeluMLP(model.config)
    plain.load_state_dict(model.state_dict())
    return plain


def transformers_peer(model: GPT) -> nn.Module | None:
    """Returns transformers' GPT-2 with the same weights; None if the library is not installed."""
    try:
        from transformers import GPT2LMHeadModel
        from transformers.utils import logging
    except ImportError:
        return None
    logging.disable_progress_bar()
    # Windows cannot remove the file, from which transformers goes on reading.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        pretrained.save_gpt2(model, folder)
        return GPT2LMHeadModel.from_pretrained(folder)


def default_adamw(model: nn.Module) -> torch.optim.AdamW:
    """Returns torch's AdamW with its defaults."""
    return torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1)


def our_adamw(model: nn.Module) -> torch.optim.AdamW:
    """Returns the optimizer that minigpt trains with."""
    return make_optimizer(model, 1e-4, 0.1, (0.9, 0.95), 1e-8)


def training_step(
    loss_of: Callable[[Tensor, Tensor], Tensor],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
    dtype: torch.dtype = torch.float32,
) -> Callable[[], None]:
    """Returns a function that takes one optimizer step."""

    def step() -> None:
        idx, targets = batch
        with torch.autocast(idx.device.type, dtype, enabled=dtype != torch.float32):
            loss = loss_of(idx, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if idx.is_cuda:
            torch.cuda.synchronize()

    return step


def training_contender(name: str, device: torch.device, seed: int) -> Work | None:
    """Returns a training step of a contender, as its users get it; None if it is not installed.

    All start from the same weights and see the same batch. Asked for "parts", it returns what a
    step takes; asked for anything else, it takes one.
    """
    torch.manual_seed(seed)
    start = GPT(SMALL)
    ids = torch.randint(SMALL.vocab_size, (BATCH, SMALL.block_size + 1), device=device)
    idx, targets = ids[:, :-1], ids[:, 1:].contiguous()
    way = PLAIN
    if name.startswith("transformers"):
        peer = transformers_peer(start)
        if peer is None:
            return None
        peer.to(device).eval()  # like ours without dropout; it shifts the labels itself
        optimizer = our_adamw(peer) if name == SAME else default_adamw(peer)
        step = training_step(
            lambda idx, _: peer(input_ids=idx, labels=idx).loss, peer, optimizer, (idx, targets)
        )
    elif name == RECIPE:
        model = plain_recipe(start).to(device)
        step = training_step(
            lambda idx, y: model(idx, y)[1], model, default_adamw(model), (idx, targets)
        )
    elif name == PRODUCTS:
        keep_freed_memory()
        step = products_of_a_step(device)
    else:
        dtype = torch.bfloat16 if name == BF16 else torch.float32
        if device.type == "cpu":  # all this as our training loop does
            keep_freed_memory()
            way = choose_products(SMALL.n_embd, idx.numel()) if dtype == torch.float32 else PLAIN
        model = start.to(device)
        step = training_step(
            lambda idx, y: model(idx, y, loss_only=True)[1],
            model, our_adamw(model), (idx, targets), dtype,
        )  # fmt: skip

    def work(what: str | None = None) -> dict[str, float] | None:
        with multiply_by(way):
            return parts_of(step) if what == "parts" else step()

    return work


def products_of_a_step(device: torch.device) -> Callable[[], None]:
    """Returns a function that multiplies as often as a step does, forward and backward, by torch.

    Each layer has three products: x W^T, and the gradients of x and W.
    """
    rows, C = BATCH * SMALL.block_size, SMALL.n_embd
    shapes = [(C, 3 * C), (C, C), (C, 4 * C), (4 * C, C)] * SMALL.n_layer
    shapes.append((C, SMALL.vocab_size))
    tensors = [
        [torch.ones(shape, device=device) for shape in ((rows, n), (m, n), (rows, m))]
        for n, m in shapes
    ]

    @torch.no_grad()
    def multiply() -> None:
        for x, weight, grad in tensors:
            F.linear(x, weight), grad @ weight, grad.t() @ x
        if device.type == "cuda":
            torch.cuda.synchronize()

    return multiply


def multiply_adds() -> tuple[int, int]:
    """Returns the multiply-adds of a step: those of its layers, and those of attention.

    Attention multiplies twice forward and four times backward, each time over the T (T + 1) / 2
    pairs of a query and a key that it may see.
    """
    T, C = SMALL.block_size, SMALL.n_embd
    weights = SMALL.n_layer * 12 * C * C + SMALL.vocab_size * C
    in_layers = 3 * BATCH * T * weights
    return in_layers, 6 * BATCH * SMALL.n_layer * C * T * (T + 1) // 2


def parts_of(step: Callable[[], None]) -> dict[str, float]:
    """Returns the share of a step's time that each of PARTS takes, from torch's profiler."""
    with torch.profiler.profile() as profile:
        step()
    seconds = dict.fromkeys([*PARTS, "the rest"], 0.0)
    for event in profile.key_averages():
        names = (part for part, words in PARTS.items() if any(w in event.key for w in words))
        seconds[next(names, "the rest")] += event.self_cpu_time_total
    return {part: time / sum(seconds.values()) for part, time in seconds.items()}


def bench_training(device: torch.device, seed: int, rounds: int = 12) -> list[Ratio]:
    """Times training steps of the base model's shape, in fp32 unless a row names another format."""
    names = [OURS, RECIPE, SAME, USUAL, PRODUCTS]
    names += [BF16] if has_fast_bfloat16(device, SMALL.n_embd) else []
    makers = {name: (training_contender, name, device, seed) for name in names}
    with contenders(makers) as ask:
        seconds = time_in_turn({name: partial(step, None) for name, step in ask.items()}, rounds)
        parts = ask[OURS]("parts") if device.type == "cpu" else {}
    for name, times in seconds.items():
        each = statistics.median(times)
        print(f"  {name:<34} {BATCH * SMALL.block_size / each:>9,.0f} tokens/s {each:>8.3f} s")
    in_layers, in_attention = multiply_adds()
    torchs = in_layers / statistics.median(seconds[PRODUCTS]) / 1e9
    print(f"  torch's own products reach {torchs:.1f} billion multiply-adds/s at these shapes")
    if parts:
        said = ", ".join(f"{part} {share:.0%}" for part, share in parts.items())
        print(f"  of our step: {said}")
    rows: list[Ratio] = [
        (f"training step, against {name}", ratio(seconds, name, OURS), goal)
        for name, goal in GOALS.items()
        if name in seconds
    ]
    share = ratio(seconds, PRODUCTS, OURS) * (in_layers + in_attention) / in_layers
    rows.append(("training step, share of torch's multiply-adds/s", share, 0.7))
    if BF16 in seconds:
        gain = ratio(seconds, OURS, BF16)
        rows.append(("training step in bf16, against fp32", gain, None))
    return rows
