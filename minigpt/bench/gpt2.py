"""`minigpt bench`: measures our speed as a ratio to others', in turn on this machine.

Metrics are in metrics.py, fine-tuning in 4 bits in qlora.py. The contenders here are transformers'
GPT2LMHeadModel (if it is installed) and the plain recipe of small GPT code bases: the same decoder
with fused attention, exact GELU, and torch's AdamW with its defaults. All have the same shape and
the same weights.
"""

from __future__ import annotations

import math
import platform
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minigpt.bench.metrics import bench_metrics
from minigpt.bench.processes import Work, contenders
from minigpt.bench.qlora import Settings, bench_qlora
from minigpt.bench.timing import Ratio, ratio, time_in_turn
from minigpt.config import GPTConfig, count_parameters
from minigpt.device import has_fast_bfloat16
from minigpt.fast.malloc import keep_freed_memory
from minigpt.model import GPT, MLP
from minigpt.optim.adamw import make_optimizer
from minigpt.pretrained import folders as pretrained

SMALL = GPTConfig(vocab_size=4096, block_size=512, n_layer=5, n_head=4, n_embd=256)  # data/base


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
    except ImportError:
        return None
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
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
) -> Work:
    """Returns a function that takes one optimizer step and ignores its argument, to be timed."""

    def step(_: None = None) -> None:
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

    All start from the same weights and see the same batch, 8 sequences of 512 tokens.
    """
    torch.manual_seed(seed)
    start = GPT(SMALL)
    ids = torch.randint(SMALL.vocab_size, (8, SMALL.block_size + 1), device=device)
    batch = (ids[:, :-1], ids[:, 1:])
    if name.startswith("transformers"):
        peer = transformers_peer(start)
        if peer is None:
            return None
        peer.to(device).eval()  # like ours without dropout; it shifts the labels itself
        optimizer = our_adamw(peer) if name.endswith("same optimizer") else default_adamw(peer)
        return training_step(
            lambda idx, _: peer(input_ids=idx, labels=idx).loss, peer, optimizer, batch
        )
    if name == "plain recipe":
        model = plain_recipe(start).to(device)
        optimizer = default_adamw(model)
    else:
        if device.type == "cpu":
            keep_freed_memory()  # as our training loop does
        model = start.to(device)
        optimizer = our_adamw(model)
    dtype = torch.bfloat16 if name.endswith("bf16") else torch.float32
    return training_step(lambda idx, y: model(idx, y)[1], model, optimizer, batch, dtype)


def bench_training(device: torch.device, seed: int, rounds: int = 12) -> list[Ratio]:
    """Times training steps of the base model's shape, in fp32 unless a row names another format."""
    names = ["ours", "plain recipe", "transformers, same optimizer"]
    names += ["transformers, its usual optimizer"]
    names += ["ours, bf16"] if has_fast_bfloat16(device) else []
    makers = {name: (training_contender, name, device, seed) for name in names}
    with contenders(makers) as ask:
        steps = {name: partial(step, None) for name, step in ask.items()}
        seconds = time_in_turn(steps, rounds)
    for name, times in seconds.items():
        print(f"  {name:<34} {8 * SMALL.block_size / statistics.median(times):>9,.0f} tokens/s")
    goals = {
        "transformers, same optimizer": 1.1,
        "transformers, its usual optimizer": 1.25,
        "plain recipe": 1.0,
    }
    rows: list[Ratio] = [
        (f"training step, against {name}", ratio(seconds, name, "ours"), goal)
        for name, goal in goals.items()
        if name in seconds
    ]
    if "ours, bf16" in seconds:
        gain = ratio(seconds, "ours", "ours, bf16")
        rows.append(("training step in bf16, against fp32", gain, 1.4))
    return rows


def read_bandwidth(device: torch.device, n_bytes: int = 2**29) -> float:
    """Returns the bytes a second that this device reads, in the fastest pass of three kinds."""
    matrix = torch.ones(n_bytes // 4 // 4096, 4096, device=device)
    vector = torch.ones(4096, device=device)
    ways: dict[str, Callable[[], object]] = {
        "sum": matrix.sum,
        "max": matrix.amax,
        "product": lambda: matrix @ vector,
    }
    seconds = time_in_turn(ways, rounds=12)
    return matrix.nbytes / min(map(min, seconds.values()))


@torch.inference_mode()
def bench_generation(device: torch.device, seed: int, rounds: int = 5) -> list[Ratio]:
    """Times greedy generation: a small model against transformers, a 124M one against memory."""
    torch.manual_seed(seed)
    rows: list[Ratio] = []
    model = GPT(SMALL).to(device).eval()
    prompt = torch.randint(SMALL.vocab_size, (1, 16), device=device)
    n_new = 128
    contenders: dict[str, Callable[[], object]] = {
        "ours": lambda: model.generate(prompt, n_new, temperature=0),
        "ours, no cache": lambda: model.generate(prompt, n_new, temperature=0, use_cache=False),
    }
    peer = transformers_peer(model)
    if peer is not None:
        peer.to(device).eval()
        contenders["transformers"] = lambda: peer.generate(  # type: ignore[operator]
            prompt, attention_mask=torch.ones_like(prompt),
            max_new_tokens=n_new, min_new_tokens=n_new, do_sample=False, pad_token_id=0,
        )  # fmt: skip
    seconds = time_in_turn(contenders, rounds)
    for name, times in seconds.items():
        print(f"  {name:<34} {n_new / statistics.median(times):>9,.0f} tokens/s")
    if peer is not None:
        rows.append(
            ("small model, against transformers", ratio(seconds, "transformers", "ours"), 2.0)
        )
    rows.append(("KV cache, against none", ratio(seconds, "ours, no cache", "ours"), None))

    large = GPT(GPTConfig.preset("gpt2")).to(device).eval()
    prompt = torch.randint(50257, (1, 16), device=device)
    n_new = 64
    # The prompt takes a pass of its own, so this is the time of 64 more tokens, not of a call.
    short = {"short": lambda: large.generate(prompt, 1, temperature=0)}
    full = {"long": lambda: large.generate(prompt, 1 + n_new, temperature=0)}
    seconds = time_in_turn(short | full, rounds)
    spent = [(a - b) / n_new for a, b in zip(seconds["long"], seconds["short"], strict=True)]
    # Of the position table a token reads one row; it reads all of the embedding, as the LM head.
    weights = 4 * (count_parameters(large.config) - large.config.block_size * large.config.n_embd)
    bandwidth = read_bandwidth(device)
    bound = weights / bandwidth
    print(f"  memory reads {bandwidth / 1e9:.1f} GB/s: 124M need {bound * 1e3:.2f} ms a token")
    print(f"  ours at 124M, fp32: {min(spent) * 1e3:.2f} ms a token at its fastest")
    rows.append(("124M, share of the memory bound", bound / min(spent), 0.7))
    return rows


def run_benches(
    names: Sequence[str], qlora: Settings | None, device: torch.device, seed: int
) -> dict[str, Any]:
    """Runs benchmarks, prints a table, and returns it as JSON can hold it.

    Args:
        names: any of "training", "generation" and "metrics".
        qlora: the settings of the step in 4 bits; None leaves it out.
    """
    threads = torch.get_num_threads()
    print(f"{platform.machine()}, {device}, {threads} threads, torch {torch.__version__}")
    rows: list[Ratio] = []
    if "training" in names:
        print("\ntraining (batch 8 x 512 tokens, 5 blocks, width 256)")
        rows += bench_training(device, seed)
    if "generation" in names:
        print("\ngeneration (greedy, one sequence)")
        rows += bench_generation(device, seed)
    if "metrics" in names:
        print("\nmetrics (distinct texts, empty caches)")
        rows += bench_metrics(seed)
    table: list[dict[str, Any]] = []
    if qlora is not None:
        found, table = bench_qlora(qlora)
        rows += found
    print(f"\n{'':<52} {'times':>6} {'goal':>6}")
    for what, measured, goal in rows:
        print(f"{what:<52} {measured:>6.2f} {goal if goal is not None else '':>6}")
    return {
        "torch": torch.__version__,
        "device": str(device),
        "threads": threads,
        "ratios": [
            {"what": what, "measured": round(measured, 4), "goal": goal}
            for what, measured, goal in rows if math.isfinite(measured)
        ],
        "qlora": table,
    }  # fmt: skip
