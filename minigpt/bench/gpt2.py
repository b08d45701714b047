"""`minigpt bench`: measures our speed as a ratio to others', in turn on this machine.

Training is in training.py, metrics in metrics.py, fine-tuning in 4 bits in qlora.py, and what is
chosen for this processor in choices.py; writing is here, beside transformers' GPT2LMHeadModel (if
it is installed), which has the same shape and the same weights.
"""

from __future__ import annotations

import math
import platform
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from minigpt.bench.choices import bench_choices
from minigpt.bench.metrics import bench_metrics
from minigpt.bench.qlora import Settings, bench_qlora
from minigpt.bench.timing import Ratio, ratio, time_in_turn
from minigpt.bench.training import SMALL, bench_training, transformers_peer
from minigpt.config import GPTConfig
from minigpt.model import GPT

NARROW = GPTConfig(vocab_size=2048, block_size=512, n_layer=4, n_head=4, n_embd=192)


def fastest_read(numbers: Tensor) -> Callable[[], object]:
    """Returns a function that reads numbers [n] from memory, in the fastest of three kinds."""
    matrix = numbers[: len(numbers) // 4096 * 4096].view(-1, 4096)
    vector = torch.ones(4096, device=numbers.device)
    ways: dict[str, Callable[[], object]] = {
        "sum": matrix.sum,
        "max": matrix.amax,
        "product": lambda: matrix @ vector,
    }
    seconds = time_in_turn(ways, rounds=12)
    return ways[min(seconds, key=lambda way: min(seconds[way]))]


def bench_small(
    config: GPTConfig, device: torch.device, rounds: int, n_new: int = 128
) -> list[Ratio]:
    """Times greedy writing of a small model, with a cache and without, against transformers."""
    model = GPT(config).to(device).eval()
    prompt = torch.randint(config.vocab_size, (1, 16), device=device)
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
    width = f"width {config.n_embd}"
    for name, times in seconds.items():
        what = f"{name}, {width}"
        print(f"  {what:<34} {n_new / statistics.median(times):>9,.0f} tokens/s")
    rows: list[Ratio] = []
    if peer is not None:
        gain = ratio(seconds, "transformers", "ours")
        rows.append((f"writing, {width}, against transformers", gain, 2.0))
    rows.append(
        (f"KV cache, {width}, against none", ratio(seconds, "ours, no cache", "ours"), None)
    )
    return rows


@torch.inference_mode()
def bench_generation(device: torch.device, seed: int, rounds: int = 5) -> list[Ratio]:
    """Times greedy generation: small models against transformers, a 124M one against memory."""
    torch.manual_seed(seed)
    rows = [row for config in (NARROW, SMALL) for row in bench_small(config, device, rounds)]
    large = GPT(GPTConfig.preset("gpt2")).to(device).eval()
    prompt = torch.randint(50257, (1, 16), device=device)
    n_new = 32
    # Memory is read where the weights lie: another buffer may be read a tenth faster or slower.
    numbers = parameters_to_vector(large.parameters())
    vector_to_parameters(numbers, large.parameters())
    read = fastest_read(numbers)
    # Of the position table a token reads one row; it reads all of the embedding, as the LM head.
    n_read = len(numbers) - large.config.block_size * large.config.n_embd
    # The prompt takes a pass of its own, so this is the time of 32 more tokens, not of a call; and
    # memory is read as often, in turn, since its speed changes with what else the machine does.
    contenders: dict[str, Callable[[], object]] = {
        "short": lambda: large.generate(prompt, 1, temperature=0),
        "long": lambda: large.generate(prompt, 1 + n_new, temperature=0),
        "read": lambda: [read() for _ in range(n_new)],
    }
    seconds = time_in_turn(contenders, 2 * rounds)
    spent = [(a - b) / n_new for a, b in zip(seconds["long"], seconds["short"], strict=True)]
    bounds = [n_read / len(numbers) * total / n_new for total in seconds["read"]]
    bound, token = statistics.median(bounds) * 1e3, statistics.median(spent) * 1e3
    print(f"  memory reads {4 * n_read / bound / 1e6:.1f} GB/s: 124M need {bound:.2f} ms a token")
    print(f"  ours at 124M, fp32: {token:.2f} ms a token")
    share = statistics.median(b / s for b, s in zip(bounds, spent, strict=True))
    rows.append(("124M, share of the memory bound", share, 0.9))
    return rows


def run_benches(
    names: Sequence[str], qlora: Settings | None, device: torch.device, seed: int
) -> dict[str, Any]:
    """Runs benchmarks, prints a table, and returns it as JSON can hold it.

    Args:
        names: any of "training", "generation", "metrics" and "choices".
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
    if "choices" in names:
        print("\nchoices (the chosen way against the plain one)")
        rows += bench_choices(seed)
    if "metrics" in names:
        print("\nmetrics (distinct texts, empty caches)")
        rows += bench_metrics(seed)
    table: list[dict[str, Any]] = []
    if qlora is not None:
        found, table = bench_qlora(qlora)
        rows += found
    print(f"\n{'':<56} {'times':>6} {'goal':>6}")
    for what, measured, goal in rows:
        print(f"{what:<56} {measured:>6.2f} {goal if goal is not None else '':>6}")
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
