"""minigpt.qlora: no dequantized weight outlives the product it was made for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate, pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.profiler import ProfilerActivity, profile

from kernels import NF4Tensor
from kernels.cpu import lookup_tables as cpu
from kernels.cpu import memory as host_memory
from minigpt.model import GPT
from minigpt.qlora.model import quantize_model, quantized_layers
from tests.minigpt.tiny.gpt2 import IDX
from tests.minigpt.tiny.qlora import adapted, twin


class Copies:
    """Watches the memory of every dequantized weight, whoever holds it or a view of it.

    Attributes:
        made: how many there have been.
        most: the most bytes that were alive at once.
        left: bytes alive after each use of a layer.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[StorageWeakRef, int]] = []
        self.most = 0
        self.left: list[int] = []

    @property
    def made(self) -> int:
        return len(self.seen)

    def alive(self) -> int:
        return sum(n_bytes for memory, n_bytes in self.seen if not memory.expired())

    def note(self, weight: Tensor) -> None:
        storage = weight.untyped_storage()
        self.seen.append((StorageWeakRef(storage), storage.nbytes()))
        self.most = max(self.most, self.alive())

    def watch(self, model: nn.Module) -> None:
        """Counts after each forward pass, and when the gradient of its input is computed."""

        def before(_: nn.Module, inputs: tuple[Tensor]) -> None:
            if inputs[0].requires_grad:
                inputs[0].register_hook(lambda _: self.left.append(self.alive()))

        for layer in quantized_layers(model).values():
            layer.register_forward_pre_hook(before)
            layer.register_forward_hook(lambda *_: self.left.append(self.alive()))


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> Iterator[Copies]:
    """Returns a record of everything that is dequantized in the test."""
    found, dequantize = Copies(), cpu.dequantize

    def noted(q: NF4Tensor, dtype: torch.dtype) -> Tensor:
        weight = dequantize(q, dtype)
        found.note(weight)
        return weight

    monkeypatch.setattr(cpu, "dequantize", noted)
    return found


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_one_dequantized_weight_is_alive_at_a_time_and_none_after_its_use(
    copies: Copies, checkpointing: bool, autocast: bool
) -> None:
    model = adapted(n_layer=3).train()
    model.gradient_checkpointing = checkpointing
    copies.watch(model)
    n_layers = len(quantized_layers(model))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = model(IDX, IDX.roll(-1, 1))[1]
        assert copies.alive() == 0
        assert copies.made == n_layers == 12
        loss.backward()
    # Backward once more each, but for the first layer, whose input needs no gradient.
    assert copies.made == (3 if checkpointing else 2) * n_layers - 1
    assert copies.alive() == 0
    assert len(copies.left) == copies.made
    assert set(copies.left) == {0}
    largest = max(q.in_features * q.out_features for q in quantized_layers(model).values())
    assert copies.most == (2 if autocast else 4) * largest


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_piece_of_memory_serves_all_large_weights(
    copies: Copies, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_memory, "KEPT", {})
    monkeypatch.setattr(host_memory, "LARGE", 2 * 520 * 512)
    sizes = (520, 512, 520, 512, 520)
    model = nn.Sequential(*(nn.Linear(*size) for size in pairwise(sizes)))
    quantized = quantize_model(model.to(dtype))
    x = torch.randn(3, 520, dtype=dtype, requires_grad=True)
    quantized(x).sum().backward()
    assert copies.made == 8
    assert copies.alive() == 0
    assert copies.most == dtype.itemsize * 520 * 512
    assert host_memory.kept_bytes() == copies.most


def bytes_over_time(work: Callable[[], object]) -> list[int]:
    """Returns how many more bytes torch's allocator holds than before, after each of its calls.

    What work returns stays alive to the end.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        result = work()
    events = seen.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    del result
    return list(accumulate(n_bytes for _, n_bytes in changes))


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_step_keeps_no_byte_more_than_one_with_plain_weights(
    checkpointing: bool, autocast: bool
) -> None:
    """All memory counts, whatever it holds, so no copy of a dequantized weight is kept either."""
    model = adapted(n_layer=3).train()
    after_forward, after_step, highest = [], [], []
    for each in (twin(model), model):
        each.gradient_checkpointing = checkpointing

        def forward(each: GPT = each) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                return each(IDX, IDX.roll(-1, 1))[1]

        def step(forward: Callable[[], Tensor] = forward) -> None:
            forward().backward()

        step()  # what is made once, the gradients too, is there now
        after_forward.append(bytes_over_time(forward)[-1])
        over_time = bytes_over_time(step)
        after_step.append(over_time[-1])
        highest.append(max(over_time))
    if autocast:  # plain weights are kept as copies in bf16 until the way back
        assert after_forward[1] <= after_forward[0]
    else:
        assert after_forward[1] == after_forward[0] > 0
    assert after_step == [0, 0]
    largest = max(q.in_features * q.out_features for q in quantized_layers(model).values())
    assert highest[1] - highest[0] <= (4 + 8) * largest  # the weight, and 8 bytes each to make it
