"""minigpt.memory.counts: how many parameters LoRA trains, against the paper and real models."""

from __future__ import annotations

import pytest

from minigpt.config import GPTConfig
from minigpt.lora.model import apply_lora
from minigpt.memory.counts import count_lora
from tests.minigpt.tiny.gpt2 import ours
from tests.minigpt.tiny.lora import ALL


@pytest.mark.parametrize(
    ("targets", "ranks", "printed"),
    [
        ("qv", (1, 2, 4, 8, 64), (4.7, 9.4, 18.8, 37.7, 301.9)),
        ("v", (2,), (4.7,)),
        ("qkvo", (1, 2, 4, 64), (9.4, 18.8, 37.7, 603.9)),  # the last is printed as 603.8
    ],
)
def test_the_gpt3_table_of_hu_et_al_comes_out(
    targets: str, ranks: tuple[int, ...], printed: tuple[float, ...]
) -> None:
    config = GPTConfig.preset("gpt3-175b")
    counts = [count_lora(config, r, tuple(targets)) for r in ranks]
    assert [count // 100_000 / 10 for count in counts] == list(printed)  # cut off, not rounded
    assert counts == [2 * 12288 * r * 96 * len(targets) for r in ranks]


@pytest.mark.parametrize(
    "targets",
    [
        ("c_attn",),
        ("c_proj",),
        ("c_fc",),
        ("attn.c_proj",),
        ("mlp.c_proj", "c_proj"),
        ("c_attn", "lm_head"),
        ("h.1.mlp.c_fc",),
        ALL,
    ],
)
def test_the_count_is_that_of_a_real_model(targets: tuple[str, ...]) -> None:
    model = apply_lora(ours(), r=3, target_modules=targets)
    real = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert count_lora(model.config, 3, targets) == real


def test_the_count_refuses_what_apply_lora_refuses() -> None:
    with pytest.raises(ValueError, match="r must be a whole number"):
        count_lora(ours().config, 0)
    with pytest.raises(ValueError, match=r"from 1 to 32 for transformer\.h\.0\.attn\.c_attn"):
        count_lora(ours().config, 33)
    with pytest.raises(ValueError, match=r"called 'x'; there are attn\.c_attn.*attn\.q"):
        count_lora(ours().config, 4, ("x",))
