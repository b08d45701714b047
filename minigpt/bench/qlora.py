"""`minigpt bench qlora`: compares a training step in 4 bits, time and memory, with the peers'.

    minigpt bench qlora --preset gpt2-xl --batch 8 --context 1024        # the defaults on a GPU

The peers are peft and bitsandbytes. Both sides fine-tune the same GPT-2 with random weights through
the same LoRA adapter beside every linear layer of its blocks, with the same AdamW. Each uses its
own NF4 with double quantization: ours quantize_model and load_lora; theirs, as its documentation
recommends, transformers with a BitsAndBytesConfig, prepare_model_for_kbit_training and a PeftModel.
In both, products are computed in the given number format, while norms, embeddings and the adapter
are fp32. The two are compared with gradient checkpointing and without.

The allocator counts the memory of both: the bytes that are alive when the forward pass has ended,
and the most that are alive at any time of a step. They are more than autograd keeps, since they
include the logits and their gradient, and a weight that is expanded for a product. On a CPU,
dequantizing keeps memory of its own from one large weight to the next, which is added.

Source: Dettmers et al. 2023, "QLoRA" (arXiv 2305.14314).
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from kernels.cpu.memory import kept_bytes
from minigpt.bench.peft_peer import Peer, scales_of, silence_peer
from minigpt.bench.processes import ContenderError, Work, contenders
from minigpt.bench.timing import Ratio, ratio, time_in_turn
from minigpt.config import GPTConfig
from minigpt.dataset import Batch
from minigpt.device import autocast_dtype
from minigpt.fast.malloc import keep_freed_memory
from minigpt.lora.model import apply_lora, load_lora, save_lora
from minigpt.memory.measured import bytes_alive, measure_memory, storages
from minigpt.memory.predicted import Memory
from minigpt.model import GPT
from minigpt.optim.adamw import make_optimizer
from minigpt.pretrained.folders import load_gpt2, save_gpt2
from minigpt.qlora.model import quantize_model
from minigpt.training.loss import autocast, part_of_loss

SMALL = GPTConfig(n_layer=2)  # two blocks of GPT-2 small, for a CPU
OURS, THEIRS = "ours", "peft + bitsandbytes"
PARTS = ("weights", "gradients", "optimizer", "activations", "peak")
# The losses of two contenders that do the same work differ by less than this share of the loss,
# because they round in another order. (In 20 steps of a tiny model, for five seeds, by up to 7e-6
# and 9e-5; at GPT-2 XL's width by less.)
SAME_LOSS = {torch.float32: 2e-5, torch.bfloat16: 5e-4}


@dataclass(frozen=True)
class Settings:
    """The model that every contender trains, its batch, and the device.

    Attributes:
        batch_size, context: B rows of T random tokens.
        dtype: number format of matrix products.
        rounds: timed steps of each contender.
        r: rank of the LoRA adapter; its alpha is 2 r.

    Raises:
        ValueError: a size is out of range.
    """

    config: GPTConfig
    batch_size: int
    context: int
    dtype: torch.dtype
    device: torch.device
    seed: int
    rounds: int = 5
    r: int = 8

    def __post_init__(self) -> None:
        for name in ("batch_size", "context", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.context > self.config.block_size:
            raise ValueError(
                f"context must be at most {self.config.block_size}, the model's block_size, "
                f"got {self.context}"
            )

    def batch(self) -> tuple[Tensor, Tensor]:
        """Returns random idx and targets [B, T] on the device."""
        generator = torch.Generator().manual_seed(self.seed)
        shape = (self.batch_size, self.context + 1)
        ids = torch.randint(self.config.vocab_size, shape, generator=generator).to(self.device)
        return ids[:, :-1].contiguous(), ids[:, 1:].contiguous()


def usual_settings(
    device: torch.device,
    preset: str | None = None,
    n_layer: int | None = None,
    batch_size: int | None = None,
    context: int | None = None,
    dtype: str = "auto",
    rounds: int | None = None,
    seed: int = 0,
) -> Settings:
    """Returns settings; those that are not given are what this device can do in reasonable time.

    Args:
        preset: the model's shape; None is gpt2-xl, or without a GPU two blocks of gpt2.
        n_layer: number of blocks; None is all of the preset's.

    Raises:
        ValueError: there is no such preset, or a size is out of range.
    """
    on_gpu = device.type == "cuda"
    if preset is None and on_gpu:
        preset = "gpt2-xl"
    config = SMALL if preset is None else GPTConfig.preset(preset)
    usual_batch_size, usual_context = (8, 1024) if on_gpu else (2, 256)
    return Settings(
        config=config if n_layer is None else replace(config, n_layer=n_layer),
        batch_size=usual_batch_size if batch_size is None else batch_size,
        context=usual_context if context is None else context,
        dtype=autocast_dtype(device, dtype),
        device=device,
        seed=seed,
        rounds=5 if rounds is None else rounds,
    )


def write_start(settings: Settings, folder: Path) -> None:
    """Writes random weights and a LoRA adapter into files that both libraries read.

    The weights are stored in the format from which bitsandbytes quantizes, so that both sides get
    the same codes.
    """
    torch.manual_seed(settings.seed)
    model = GPT(settings.config)
    save_gpt2(model, folder / "model", settings.dtype)
    apply_lora(model, settings.r, 2 * settings.r, target_modules=("c_attn", "c_proj", "c_fc"))
    save_lora(model, folder / "adapter")


def our_model(settings: Settings, folder: Path, checkpointing: bool) -> GPT:
    """Returns our model in 4 bits with the adapter."""
    model = load_gpt2(folder / "model").to(settings.device)
    load_lora(quantize_model(model), folder / "adapter")
    model.gradient_checkpointing = checkpointing
    return model


def contender(name: str, settings: Settings, folder: Path, checkpointing: bool) -> Work | None:
    """Returns the work of OURS or THEIRS as a function; None if a library is missing.

    Called with "memory" it returns the Memory of a step; with "step" it takes one and returns the
    loss.
    """
    device, dtype = settings.device, settings.dtype
    model: nn.Module
    if name == OURS:
        if device.type == "cpu":
            keep_freed_memory()  # as our training loop does
        model = our_model(settings, folder, checkpointing)
    elif all(map(find_spec, ("bitsandbytes", "peft", "transformers"))):
        silence_peer()
        model = Peer(folder, dtype, device, checkpointing)
    else:
        return None
    model.train()
    optimizer = make_optimizer(model, 1e-3)
    batch = Batch(*settings.batch())

    def forward() -> Tensor:
        with autocast(device, dtype):
            return part_of_loss(model, batch, batch.n_targets)

    def step() -> float:
        loss = forward()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return loss.item()

    def memory() -> Memory:
        counted = measure_memory(model, optimizer, batch, dtype)
        optimizer.zero_grad()
        weights = [*model.parameters(), *model.buffers(), *scales_of(model)]
        held = sum(storages(weights).values())
        kept = kept_bytes() if device.type == "cpu" else 0
        return replace(
            counted,
            weights=held,
            activations=bytes_alive(forward, device)[1],
            peak=held + counted.optimizer + bytes_alive(step, device)[0] + kept,
        )

    work: dict[str, Callable[[], Any]] = {"memory": memory, "step": step}
    return lambda what: work[what]()


def bench_qlora(settings: Settings) -> tuple[list[Ratio], list[dict[str, Any]]]:
    """Measures the steps of each contender in turn, and prints a table.

    Returns:
        The ratios, theirs over ours; and for each contender a row with its median seconds a step,
        its bytes as in memory.predicted.Memory, and the losses of its timed steps. Without the
        peer's libraries there are only our rows; if one of a pair runs out of memory, the pair is
        left out.

    Raises:
        RuntimeError: the losses of the two differ.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # otherwise the profiler reports every start
    config, dtype = settings.config, str(settings.dtype).removeprefix("torch.")
    print(f"\nqlora ({config.n_layer} blocks, width {config.n_embd}, {config.vocab_size} tokens,")
    print(f"batch {settings.batch_size} x {settings.context} tokens, {dtype}; bytes in MB)\n")
    print(f"  {'':<38}{'s a step':>9}" + "".join(f"{part:>12}" for part in PARTS))
    rows: list[Ratio] = []
    table: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        write_start(settings, Path(folder))
        for checkpointing in (False, True):
            names = (OURS, THEIRS)
            makers = {n: (contender, n, settings, Path(folder), checkpointing) for n in names}
            try:
                with contenders(makers) as ask:
                    found, ratios = compare(ask, settings, checkpointing)
            except ContenderError as error:  # the memory may not hold both at once
                print(f"  {'with' if checkpointing else 'without'} checkpointing: {error}")
                continue
            table += found
            rows += ratios
    return rows, table


def compare(
    ask: dict[str, Work], settings: Settings, checkpointing: bool
) -> tuple[list[dict[str, Any]], list[Ratio]]:
    """Returns the rows and ratios of the contenders that are installed."""
    memory: dict[str, Memory] = {name: work("memory") for name, work in ask.items()}
    losses: dict[str, list[float]] = {name: [] for name in ask}

    def step(name: str) -> None:
        losses[name].append(ask[name]("step"))

    seconds = time_in_turn({name: partial(step, name) for name in ask}, settings.rounds)
    what = "checkpointing" if checkpointing else "no checkpointing"
    rows = []
    for name in ask:
        found = {part: getattr(memory[name], part) for part in PARTS}
        each = statistics.median(seconds[name])
        megabytes = "".join(f"{n_bytes / 1e6:>12,.1f}" for n_bytes in found.values())
        print(f"  {f'{name}, {what}':<38}{each:>9.3f}{megabytes}")
        row = {"contender": name, "checkpointing": checkpointing, "seconds": each, **found}
        rows.append({**row, "losses": losses[name]})
    if THEIRS not in ask:
        print("  to compare, install the peers: pip install bitsandbytes peft transformers")
        return rows, []
    check_losses(losses[OURS], losses[THEIRS], SAME_LOSS[settings.dtype])
    on_gpu = settings.device.type == "cuda"
    saved = rows[1]["peak"] / rows[0]["peak"]
    return rows, [
        (f"QLoRA step, {what}", ratio(seconds, THEIRS, OURS), 1.3 if on_gpu else None),
        (f"QLoRA peak memory, {what}", saved, 1 / 0.8 if on_gpu else None),
    ]


def check_losses(ours: list[float], theirs: list[float], bound: float) -> None:
    """Checks that both have learnt the same.

    Raises:
        RuntimeError: at some step the losses are further apart than bound times the loss.
    """
    for i, (our_loss, their_loss) in enumerate(zip(ours, theirs, strict=True)):
        if not abs(our_loss - their_loss) <= bound * abs(their_loss):
            raise RuntimeError(
                f"not the same work: at step {i} our loss is {our_loss:.7g} and theirs "
                f"{their_loss:.7g}, more than {bound:g} of it apart"
            )
