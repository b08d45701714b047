"""Lesson 12 runs, draws its figure, and its bytes are those of the formulas."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from lessons.experiments.qlora_memory import COLUMNS, HALF, draw_spike, longest_row, predicted_gb
from lessons.verdicts import Kind
from minigpt.memory.llama import LLAMA_2
from minigpt.memory.predicted import predict_memory


def test_lesson_12(run_lesson: Callable) -> None:
    lesson = run_lesson(12, "--device", "cpu")
    assert set(lesson.figures) == {"memory.png", "spike.png"}
    table = {what: row["measured here"] for what, row in lesson.table.items()}
    kinds = {what: row["kind"] for what, row in lesson.table.items()}

    single, double = 4 + 32 / 64, 4 + 8 / 64 + 32 / (64 * 256)
    for what, value in {
        "bits a weight, scales in fp32": single,
        "bits a weight, double quantization": double,
        "bits saved by double quantization": single - double,
    }.items():
        assert table[what] == f"{value:.3f}"
        assert kinds[what] == Kind.REPRODUCED
    assert (
        table["bits a weight, in memory and in the file without its tables"]
        == f"{double:.3f}, {double:.3f}"
    )
    assert kinds["bits a weight, in memory and in the file without its tables"] == Kind.HOLDS
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
    assert float(table["memory of a step, predicted and measured"].split("%")[0]) < 1
    assert kinds["what QLoRA stores in 4 bits"] == Kind.WRONG
    # 20 layers; the gradient of the first one's input is not needed.
    assert "forward (0, 20), backward (0, 19)" in lesson.output
    assert kinds["what happens to weights in backpropagation"] == Kind.WRONG

    llama_7b = 32 * 4096 * (4 * 4096 + 3 * 11_008)  # weights in its blocks
    saved = "7B in bf16, saved by 4 bits (GB)"
    assert table[saved] == f"{llama_7b * (16 - single) / 8e9:.2f} predicted"
    assert kinds[saved] == Kind.UNKNOWN
    twice = f"{llama_7b * (single - double) / 8e9:.3f} predicted"
    assert table["7B, saved by double quantization (GB)"] == twice
    assert kinds["7B, saved by double quantization (GB)"] == Kind.REPRODUCED
    assert kinds["13B, saved by double quantization (GB)"] == Kind.REPRODUCED
    llama_65b = 80 * 8192 * (4 * 8192 + 3 * 22_016) + 8192 * (2 * 32_000 + 161)
    assert table["65B in bf16: full fine-tuning"] == f"{12 * llama_65b / 1e9:.0f} GB predicted"
    assert table["65B in bf16: QLoRA"].endswith("GB predicted")
    in_blocks_65b = 80 * 8192 * (4 * 8192 + 3 * 22_016)
    fewer = in_blocks_65b * (single - double) / 8e9  # without one offset of 4 bytes a matrix
    assert float(table["GB saved by it for 65B"]) == pytest.approx(fewer, rel=1e-3)
    r_64 = 64 * 32 * (4 * 2 * 4096 + 3 * (4096 + 11_008))
    assert f"{r_64 / 1e6:.0f}M trained, {8 * r_64 / 1e9:.1f} GB less" in lesson.output
    assert f"{16 * r_64 / 1e9:.1f} GB moved in a step" in lesson.output

    assert {"BLEU: full; QLoRA", "BLEU: LoRA; QLoRA", "BLEU: QLoRA, no DQ; QLoRA"} <= set(table)
    assert "PagedAdamW and AdamW" not in table  # on a CPU there is nothing to compare
    assert re.search(r"^after 100 steps they differ by 0e\+00$", lesson.output, re.MULTILINE)
    assert table["checkpointing: gradients"] == "differ by 0.0"
    assert re.search(r"^ValueError: .*4 bits", lesson.output, re.MULTILINE)


def test_the_longest_row_fits_and_one_more_token_does_not() -> None:
    shape, options = LLAMA_2["Llama2-7B"], {"method": "qlora", "r": 64, **HALF}
    found = [longest_row(shape, 16, paged, **options) for paged in (False, True)]
    assert found[0] < found[1]
    for paged, n in enumerate(found):
        taken = [predict_memory(shape, batch_size=1, context=n + i, **options) for i in (0, 1)]
        sizes = [step.total - paged * step.optimizer for step in taken]
        assert sizes[0] <= 16e9 < sizes[1]
    assert longest_row(shape, 1000, False, **options) == shape.block_size


def test_a_spike_is_counted_and_drawn() -> None:
    shape, options = LLAMA_2["Llama2-7B"], {"method": "qlora", "r": 64, **HALF}
    n = longest_row(shape, 16, False, **options)
    figure, over = draw_spike([300, n, n + 1], shape, 16, **options)
    assert over == 1
    (axes,) = figure.axes
    heights = {bar.get_label(): [b.get_height() for b in bar] for bar in axes.containers}
    totals = [sum(parts) for parts in zip(*heights.values(), strict=True)]
    expected = [
        predict_memory(shape, batch_size=1, context=c, **options).total / 1e9
        for c in (300, n, n + 1)
    ]
    assert totals == pytest.approx(expected)


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
