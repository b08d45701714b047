"""Lesson 12 runs, draws its figure, and its bytes are those of the formulas."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from lessons.experiments.qlora_memory import COLUMNS, as_good, predicted_gb
from minigpt.memory.llama import LLAMA_2


def test_lesson_12(run_lesson: Callable) -> None:
    lesson = run_lesson(12, "--device", "cpu")
    assert set(lesson.figures) == {"memory.png"}
    table = {what: row["measured here"] for what, row in lesson.table.items()}
    assert all(row["verdict"] for row in lesson.table.values())

    single, double = 4 + 32 / 64, 4 + 8 / 64 + 32 / (64 * 256)
    assert table["bits a weight, in memory"] == f"{single:.3f} -> {double:.3f}"
    assert table["bits a weight, in the file"] == f"{double:.3f}"
    for part in ("codes", "absmax_codes", "absmax_scale", "absmax_offset"):
        assert re.search(rf"gradient of base\.{part} +none", lesson.output)
    assert f"dequantize and multiply {4 * 1024**2:,} bytes, nf4_linear 0 bytes" in lesson.output

    # Five blocks of width 256: 12 C^2 weights each in 4 bits, or beside them r = 12 in fp32.
    in_4_bits, everything = 5 * 12 * 256**2, 5_128_960
    adapters = 12 * 5 * (4 * 256 + 2 * 256 + 2 * 5 * 256)
    in_fp32 = 4 * (everything - in_4_bits + adapters)
    weights = {
        "full": 4 * everything,
        "LoRA": 4 * (everything + adapters),
        "QLoRA": in_fp32 + in_4_bits * double / 8,
        "QLoRA, no DQ": in_fp32 + in_4_bits * single / 8,
    }
    for name, nbytes in weights.items():
        trained = everything if name == "full" else adapters
        megabytes = [f"{n / 1e6:.2f}" for n in (nbytes, 4 * trained, 8 * trained)]
        assert re.search(rf"^{name} +{' +'.join(megabytes)} ", lesson.output, re.MULTILINE)
        assert f"{name:<14} 3 steps, {trained:>9,} parameters trained" in lesson.output
    assert float(table["memory, predicted and measured"].split("%")[0]) < 3

    llama_7b = 32 * 4096 * (4 * 4096 + 3 * 11_008)  # weights in its blocks
    saved = "saved by 4 bits, 7B in bf16"
    assert table[saved] == f"{llama_7b * (16 - double) / 8e9:.2f} GB predicted"
    assert not lesson.table[saved]["verdict"].startswith("reproduced")
    llama_65b = 80 * 8192 * (4 * 8192 + 3 * 22_016) + 8192 * (2 * 32_000 + 161)
    assert table["65B in bf16: full fine-tuning"] == f"{12 * llama_65b / 1e9:.0f} GB predicted"
    assert table["65B in bf16: QLoRA"].endswith("GB predicted")
    r_64 = 64 * 32 * (4 * 2 * 4096 + 3 * (4096 + 11_008))
    assert f"{r_64 / 1e6:.0f}M trained, {8 * r_64 / 1e9:.1f} GB less" in lesson.output
    assert f"{16 * r_64 / 1e9:.1f} GB moved in a step" in lesson.output

    assert "BLEU: full fine-tuning, QLoRA, 3 steps each" in table
    assert table["PagedAdamW and AdamW"] == "differ by 0.0"
    assert table["checkpointing: gradients"] == "differ by 0.0"
    assert re.search(r"^ValueError: .*4 bits", lesson.output, re.MULTILINE)


@pytest.mark.parametrize(
    ("behind", "words"),
    [
        (-0.7, "reproduced: 0.7 ahead, up to 1.0 counts as equal"),
        (0.2, "reproduced: 0.2 behind, up to 1.0 counts as equal"),
        (1.0, "reproduced: 1.0 behind, up to 1.0 counts as equal; near that limit"),
        (1.1, "differs: 1.1 behind, up to 1.0 counts as equal; near that limit"),
        (1.3, "differs: 1.3 behind, up to 1.0 counts as equal"),
    ],
)
def test_the_verdict_as_good_names_the_difference_and_says_where_it_is_near(
    behind: float, words: str
) -> None:
    found = as_good(behind, 1)
    assert found.startswith(words)
    assert ("near" in found) == ("near" in words)


def test_the_table_of_models_names_the_format_of_the_frozen_weights() -> None:
    for name, settings in COLUMNS.items():
        assert settings["weights"] == settings["compute"]
        assert settings["weights"] == ("float32" if "fp32" in name else "bfloat16")
    table = predicted_gb({"Llama2-7B": LLAMA_2["Llama2-7B"]}).splitlines()
    gigabytes = dict(zip(COLUMNS, map(float, table[1].split()[1:]), strict=True))
    double = 4 + 8 / 64 + 32 / (64 * 256)
    in_blocks = 32 * 4096 * (4 * 4096 + 3 * 11_008)
    saved = in_blocks * (16 - double) / 8e9
    assert gigabytes["LoRA, bf16"] - gigabytes["QLoRA, bf16"] == pytest.approx(saved, abs=0.1)
    numbers = in_blocks + 4096 * (2 * 32_000 + 65)
    for name, size in (("full, fp32", 4), ("full, bf16", 2)):  # weight, gradient, two means
        assert 4 * size * numbers / 1e9 < gigabytes[name] < 4.5 * size * numbers / 1e9
