"""minigpt.memory: what it predicts, against sums done by hand, other counts, and what it prints."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from minigpt.command import memory as command
from minigpt.command.cli import make_parser
from minigpt.command.finetune import check_memory, settings_of
from minigpt.command.memory import PARTS
from minigpt.config import GPTConfig, count_parameters
from minigpt.finetuning.methods import METHODS, settle_nf4
from minigpt.finetuning.settings import RECIPES
from minigpt.memory import predicted as memory
from minigpt.memory import room
from minigpt.memory.counts import (
    count_bottlenecks,
    count_lora,
    count_prefix_tuning,
    count_prompt_tuning,
    count_trained,
)
from minigpt.memory.llama import LLAMA_2
from minigpt.memory.measured import storages
from minigpt.memory.predicted import Memory, predict_memory
from minigpt.memory.run import TrainingRun
from minigpt.pretrained.folders import load_pretrained

XL = GPTConfig.preset("gpt2-xl")
L, C, H, V = XL.n_layer, XL.n_embd, XL.n_head, XL.vocab_size
LLAMA_7B = LLAMA_2["Llama2-7B"]


def one_block(method: str, batch_size: int, context: int, **settings: Any) -> int:
    """Bytes of activations that one more block adds to GPT-2 XL."""
    return (
        predict_memory(
            replace(XL, n_layer=L + 1), method, batch_size, context, **settings
        ).activations
        - predict_memory(XL, method, batch_size, context, **settings).activations
    )


def test_full_training_takes_16_bytes_a_parameter_and_the_activations() -> None:
    whole = predict_memory(XL, "full", 2, 1024)
    counters = 4 * (4 + 12 * L)  # for each tensor: two embeddings, last norm, and 12 a block
    assert whole.weights + whole.gradients + whole.optimizer == 16 * count_parameters(XL) + counters


def test_a_block_keeps_what_adds_up_by_hand() -> None:
    N = 3 * 100
    # Inputs of both norms and of four linear layers (C, C, C, 4 C); q, k, v; the input of GELU. The
    # attention's output is the input of c_proj. Two norms keep 2 numbers a token, attention H.
    full = 4 * N * (2 * C + 7 * C + 3 * C + 4 * C) + 4 * N * (4 + H)
    assert one_block("full", 3, 100) == full
    # Frozen: norms, q, k, v, the attention's output, the input of GELU.
    frozen = 4 * N * (2 * C + 3 * C + C + 4 * C) + 4 * N * (4 + H)
    assert one_block("bottleneck", 3, 100, bottleneck=1) == frozen + 2 * 4 * N * (C + 2)
    # LoRA on c_attn alone also reads what norm 1 gives, and keeps A x and B^T.
    lora = frozen + 4 * N * (C + 8) + 4 * 8 * 3 * C
    assert one_block("lora", 3, 100, r=8, target_modules=["c_attn"]) == lora
    # Written out, the weights and a mask instead of the H sums and an output that nothing reads.
    weights = 4 * 3 * H * 100**2 + 100**2
    stored = one_block("lora", 3, 100, r=8, target_modules=["c_attn"], stored_attention=True)
    assert stored == lora - 4 * N * H - 4 * N * C + weights
    # In bf16 half as much, except for the stream in fp32; and a rounded copy of every weight.
    bf16 = 2 * N * (7 * C + 3 * C + 4 * C) + 4 * N * (2 * C + 4 + H) + 2 * 12 * C**2
    assert one_block("full", 3, 100, compute="bfloat16") == bf16
    # With checkpointing its input only.
    assert one_block("full", 3, 100, checkpointing=True) == 4 * N * C


def test_a_prefix_with_a_gate_adds_what_is_found_beside_the_text() -> None:
    N = 3 * 100
    frozen = 4 * N * (2 * C + 3 * C + C + 4 * C) + 4 * N * (4 + H)
    # A second output with its H sums. In fp32 its keys and values are the trained ones themselves.
    gated = frozen + 4 * N * (C + H) + 4 * H
    assert one_block("prefix", 3, 100, n_tokens=7, gate=True) == gated
    # Written out, q is copied once more, as are k and v for every row; and 7 weights a query.
    stored = frozen - 4 * N * (C + H) + 4 * 3 * H * 100**2 + 100**2
    stored += 4 * N * (2 * C + 7 * H) + 2 * 4 * 3 * 7 * C + 4 * H
    run = {"n_tokens": 7, "gate": True, "stored_attention": True}
    assert one_block("prefix", 3, 100, **run) == stored
    # Without one a block looks at 7 more keys and values than the text has; q keeps all of c_attn's
    # output, and the kernel is given a mask.
    before = frozen + 4 * N * 2 * C + 2 * 4 * 3 * 7 * C + 4 * 100 * 107
    assert one_block("prefix", 3, 100, n_tokens=7) == before


def test_blocks_below_the_last_ones_keep_nothing_and_biases_need_no_inputs() -> None:
    N = 3 * 100
    # The same blocks learn in a deeper model; a block that learns keeps what it does in full.
    assert one_block("selective", 3, 100, last_blocks=2) == 0
    more, fewer = (predict_memory(XL, "selective", 3, 100, last_blocks=n) for n in (5, 4))
    full = 4 * N * (2 * C + 7 * C + 3 * C + 4 * C) + 4 * N * (4 + H)
    assert more.activations - fewer.activations == full
    # Where only biases do: norms, q, k, v, the attention's output, the input of GELU.
    biases = 4 * N * (2 * C + 3 * C + C + 4 * C) + 4 * N * (4 + H)
    assert one_block("selective", 3, 100, biases_only=True) == biases


def test_a_llama_has_blocks_but_no_biases() -> None:
    whole = predict_memory(LLAMA_7B, "selective", 1, 64, last_blocks=2, weights="float32")
    block = LLAMA_7B.linear_parameters // 32 + 2 * 4096  # matrices, gains of two norms
    assert whole.gradients == 4 * (2 * block + 4096)
    with pytest.raises(ValueError, match="this model has no biases; take last_blocks"):
        predict_memory(LLAMA_7B, "selective", 1, 64, biases_only=True)


def test_the_logits_of_a_large_vocabulary_are_not_kept() -> None:
    larger = replace(XL, vocab_size=V + 1000)
    for compute, size in (("float32", 4), ("bfloat16", 2)):
        for method, head in (("lora", 0), ("full", 4 * 1000 * C)):  # the gradient of the head
            more = [predict_memory(c, method, 2, 50, compute=compute) for c in (larger, XL)]
            assert more[0].activations - more[1].activations == head
        whole = predict_memory(XL, "lora", 2, 50, compute=compute)
        fewer = predict_memory(XL, "lora", 2, 50, compute=compute, n_targets=10)
        assert whole.activations - fewer.activations == 90 * (4 * C + 8 + size * C)


@pytest.mark.parametrize("shape", [XL, LLAMA_7B])
@pytest.mark.parametrize("method", RECIPES)
def test_activations_are_proportional_to_the_batch(method: str, shape: Any) -> None:
    # Masks, positions and what LoRA and soft prompts keep of weights are there once, and so is the
    # gradient of the LM head.
    one, two, three = (predict_memory(shape, method, b, 256) for b in (1, 2, 3))
    assert three.activations - two.activations == two.activations - one.activations
    head = 4 * V * C if method == "full" and shape is XL else 0
    assert 1.9 < (two.activations - head) / (one.activations - head) <= 2
    assert replace(two, activations=one.activations) == one


def test_what_is_trained_is_what_the_methods_say() -> None:
    targets = ("c_attn", "mlp.c_proj", "lm_head")
    trained = {
        "lora": count_lora(XL, 5, targets),
        "qlora": count_lora(XL, 5, targets),
        "prompt": count_prompt_tuning(XL, 7),
        "prefix": count_prefix_tuning(XL, 7),
        "bottleneck": count_bottlenecks(XL, 3),
        "selective": 2 * (12 * C**2 + 13 * C) + 2 * C,
    }
    settings: dict[str, Any] = {"r": 5, "target_modules": targets, "n_tokens": 7, "bottleneck": 3}
    settings["last_blocks"] = 2
    for method, count in trained.items():
        assert predict_memory(XL, method, 1, 64, **settings).gradients == 4 * count
    network = predict_memory(XL, "prefix", 1, 64, n_tokens=7, reparametrize=512)
    assert network.gradients == 4 * count_prefix_tuning(XL, 7, 512)
    gated = predict_memory(XL, "prefix", 1, 64, n_tokens=7, gate=True)
    assert gated.gradients == 4 * (7 * 2 * L * C + L * H)
    assert gated.optimizer == 2 * gated.gradients + 2 * 4


def test_nf4_takes_4_127_bits_a_weight_and_4_5_without_double_quantization() -> None:
    added = 4 * count_lora(XL, 8, ("c_attn", "c_proj", "c_fc"))
    linear = 12 * L * C**2
    for double_quant, bits in ((True, 4.127), (False, 4.5)):
        weights = predict_memory(XL, "qlora", 1, 64, double_quant=double_quant).weights
        others = 4 * (count_parameters(XL) - linear)
        assert 8 * (weights - added - others) / linear == pytest.approx(bits, abs=1e-4)


@pytest.mark.parametrize("size", list(LLAMA_2))
def test_a_llama_s_frozen_weights_are_as_large_as_its_files(size: str) -> None:
    shape = LLAMA_2[size]
    lora, qlora = (
        predict_memory(shape, m, 1, 64, weights="bfloat16", compute="bfloat16", r=8)
        for m in ("lora", "qlora")
    )
    assert lora.weights - lora.gradients == pytest.approx(1e9 * shape.gigabytes(16))
    bits = 4 + 8 / 64 + 32 / (64 * 256)
    # beside those, a few bytes for each matrix
    assert (qlora.weights - qlora.gradients) / 1e9 == pytest.approx(shape.gigabytes(bits), rel=1e-6)


def test_the_7b_figures_beside_the_published_ones_are_computed() -> None:
    settings = {"weights": "bfloat16", "compute": "bfloat16", "r": 8}
    assert memory.__doc__ is not None
    for context in (512, 1024):
        sizes = [
            predict_memory(LLAMA_7B, m, 1, context, **settings).total / 1e9
            for m in ("lora", "qlora")
        ]
        row = f"{context:<9}{sizes[0]:>5.2f} GB {sizes[1]:>7.2f} GB"
        assert row in memory.__doc__
        assert f"by {sizes[0] - sizes[1]:.2f}" in memory.__doc__.replace("\n", " ")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "magic"}, "method must be one of full, lora"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"batch_size": 1.5}, "batch_size must be .* got 1.5"),
        ({"context": 1025}, "context must be at most 1024, .* is 1024, got 1025 tokens"),
        (
            {"method": "prompt", "context": 1010},
            "at most 1004, .* got 1010 tokens and 20 of the soft prompt",
        ),
        ({"r": 0}, "r must be a whole number of at least 1, got 0"),
        ({"r": 1601}, "r must be from 1 to 1600 for transformer.h.0.attn.c_attn"),
        ({"target_modules": ["q_proj"]}, "no linear layer is called 'q_proj'; there are attn.c_"),
        ({"nf4_block_size": 48}, "a power of two from 32 to 4096, got 48"),
        ({"n_targets": 65}, "n_targets must be at most batch_size x context = 64, got 65"),
        ({"compute": "float16"}, "compute must be float32 or bfloat16, got 'float16'"),
        ({"weights": "bfloat16"}, "weights in bfloat16 cannot be multiplied in float32"),
        ({"bottleneck": True}, "bottleneck must be .* got True"),
        ({"last_blocks": 0}, "last_blocks must be a whole number of at least 1, got 0"),
        ({"method": "selective", "last_blocks": 49}, "last_blocks must be from 1 to 48, .* got 49"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predict_memory(XL, **{"method": "lora", "batch_size": 1, "context": 64, **settings})


def run(*options: str) -> int:
    """Runs `minigpt memory` with these options."""
    arguments = make_parser(only="memory").parse_args(["memory", *options])
    return command.run(arguments)


def test_the_command_prints_a_row_in_gigabytes(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--preset", "gpt2-xl", "--method", "qlora", "--batch", "2", "--context", "512")
    assert run(*options) == 0
    heading, _, columns, row = capsys.readouterr().out.splitlines()
    assert heading == (
        "gpt2-xl: 1,557.6 million parameters; batch 2, context 512, weights in float32 or NF4, "
        "products in bfloat16"
    )
    expected = predict_memory(XL, "qlora", 2, 512, r=12, compute="bfloat16")
    numbers = [f"{getattr(expected, part) / 1e9:.3f}" for part in PARTS]
    assert row.split() == ["qlora", *numbers, "14.75M"]
    assert columns.split()[-6:] == [*PARTS, "trained"]
    assert run("--method", "lora", "--weights", "bfloat16") == 0
    heading = capsys.readouterr().out.splitlines()[0]
    assert heading.endswith("weights in bfloat16, products in bfloat16")


def test_the_command_has_a_row_for_every_method_and_says_it_in_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("--preset", "llama2-7b", "--context", "256", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["preset"] == "llama2-7b"
    rows = result["methods"]
    assert list(rows) == [
        *("full", "lora", "qlora", "qlora, fp32 scales", "prompt", "prefix", "bottleneck"),
        "selective",
    ]
    for row in rows.values():
        expected = predict_memory(LLAMA_7B, **row["settings"])
        assert Memory(*(row[part] for part in PARTS[:4])) == expected
        assert row["total"] == expected.total
    assert {row["settings"]["weights"] for row in rows.values()} == {"float32"}
    assert rows["prompt"]["settings"]["context"] == 256 - 20
    more = rows["qlora, fp32 scales"]["weights"] - rows["qlora"]["weights"]
    assert 8 * more / LLAMA_7B.linear_parameters == pytest.approx(0.373, abs=1e-4)
    assert run("--preset", "llama2-7b", "--context", "256") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "20 of the 256 tokens are the soft prompt of prompt and prefix."
    assert run("--preset", "llama2-7b", "--context", "256", "--gate") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "20 of the 256 tokens are the soft prompt of prompt."


OPTIONS: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "none": ("qlora", [], {}),
    "batch": ("lora", ["--batch", "3"], {"batch_size": 3}),
    "context": ("lora", ["--context", "100"], {"context": 100}),
    "dtype": ("lora", ["--dtype", "float32"], {"compute": "float32"}),
    "weights": ("lora", ["--weights", "bfloat16"], {"weights": "bfloat16"}),
    "weights that learn": ("full", ["--weights", "bfloat16"], {"weights": "bfloat16"}),
    "rank": ("lora", ["--r", "3"], {"r": 3}),
    "targets": (
        "lora",
        ["--target-modules", "c_attn, mlp.c_fc"],
        {"target_modules": ["c_attn", "mlp.c_fc"]},
    ),
    "head": ("lora", ["--target-modules", "lm_head"], {"target_modules": ["lm_head"]}),
    "scales": ("qlora", ["--nf4-block-size", "128"], {"nf4_block_size": 128}),
    "plain scales": ("qlora", ["--no-double-quant"], {"double_quant": False}),
    "virtual tokens": ("prompt", ["--n-tokens", "7"], {"n_tokens": 7, "context": 1024 - 7}),
    "network": ("prefix", ["--reparametrize", "512"], {"reparametrize": 512}),
    "gate": ("prefix", ["--gate"], {"gate": True, "context": 1024}),
    "bottleneck": ("bottleneck", ["--bottleneck", "5"], {"bottleneck": 5}),
    "last blocks": ("selective", ["--last-blocks", "3"], {"last_blocks": 3}),
    "biases": ("selective", ["--biases-only"], {"biases_only": True}),
    "checkpointing": ("full", ["--gradient-checkpointing"], {"checkpointing": True}),
    "attention": ("lora", ["--stored-attention"], {"stored_attention": True}),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_every_option_of_the_command_counts(capsys: pytest.CaptureFixture[str], case: str) -> None:
    method, options, settings = OPTIONS[case]
    context = 1024 - 20 if method in ("prompt", "prefix") else 1024
    usual = {"batch_size": 1, "context": context, "r": 12, "compute": "bfloat16"}
    expected = predict_memory(XL, method, **{**usual, **settings})
    assert run("--method", method, *options, "--json") == 0
    row = json.loads(capsys.readouterr().out)["methods"][method]
    assert Memory(*(row[part] for part in PARTS[:4])) == expected
    assert not options or expected != predict_memory(XL, method, **usual)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        *((method, []) for method in METHODS),
        ("prefix", ["--gate"]),
        ("selective", ["--biases-only"]),
    ],
)
def test_the_command_and_the_check_describe_what_finetune_does(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    options: list[str],
) -> None:
    """With the same options all train as many numbers, and the model has as many bytes."""
    model, encoding = load_pretrained("base")
    shape = model.config
    settings = settings_of(make_parser().parse_args(["finetune", "--method", method, *options]))
    METHODS[method].prepare(model, encoding, settle_nf4(model, settings))
    monkeypatch.setattr(memory, "named_shape", lambda name: shape)
    assert run("--method", method, *options, "--context", "256", "--json") == 0
    row = json.loads(capsys.readouterr().out)["methods"][method]
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert row["trained"] == trained
    assert row["weights"] == sum(storages([*model.parameters(), *model.buffers()]).values())
    checked: list[TrainingRun] = []
    monkeypatch.setattr(room, "check_step_fits", lambda _, step, *__: checked.append(step))
    check_memory(shape, replace(settings, row_length=shape.block_size))
    assert count_trained(shape, checked[0])[0] == trained
    prompt = model.prefix()  # what stands before a text takes room in the context
    assert checked[0].context == shape.block_size - (0 if prompt is None else prompt.length)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preset", "gpt5"], "no preset is called 'gpt5'; there are gpt2, .*, llama2-70b"),
        (["--context", "1025"], "--context must be from 1 to 1024, the block_size of gpt2-xl"),
        (["--context", "-3"], "--context must be a whole number from 1 to .*, got '-3'"),
        (["--context", "20"], "--n-tokens must be less than --context, .* got 20 and 20"),
        (["--batch", "0"], "--batch must be a whole number from 1 to .*, got '0'"),
        (["--r", "5000"], "r must be from 1 to 1600"),
        (["--target-modules", "c_attn,x"], "no linear layer is called 'x'"),
    ],
)
def test_the_command_says_what_is_wrong(options: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(*options)
