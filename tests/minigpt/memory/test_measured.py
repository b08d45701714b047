"""Predicted memory against that of training steps that run: every byte, on a CPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minigpt.bottlenecks.model import apply_bottlenecks
from minigpt.config import GPTConfig
from minigpt.dataset import Batch
from minigpt.finetuning.settings import IN_PLACE
from minigpt.lora.model import apply_lora
from minigpt.memory.llama import LlamaShape
from minigpt.memory.measured import KeptTensors, bytes_alive, measure_memory
from minigpt.memory.predicted import Memory, predict_memory
from minigpt.model import GPT
from minigpt.optim.adamw import make_optimizer
from minigpt.qlora.model import quantize_model
from minigpt.selective.model import apply_selective
from minigpt.soft_prompts.model import apply_prefix_tuning, apply_prompt_tuning

TINY = GPTConfig(vocab_size=97, block_size=64, n_layer=3, n_head=4, n_embd=32)
BASE = GPTConfig(vocab_size=4096, block_size=512, n_layer=5, n_head=4, n_embd=256)  # as shipped
LINEAR = ("c_attn", "c_proj", "c_fc")
METHODS: list[tuple[str, dict[str, Any]]] = [
    ("full", {}),
    ("lora", {"r": 8}),
    ("lora", {"r": 1, "target_modules": ("c_proj",)}),
    ("lora", {"r": 3, "target_modules": ("mlp.c_fc",)}),
    ("lora", {"r": 2, "target_modules": ("lm_head",)}),
    ("qlora", {"r": 3, "target_modules": ("c_fc", "lm_head")}),
    ("qlora", {"r": 4}),
    ("qlora", {"r": 8, "double_quant": False, "nf4_block_size": 32}),
    ("prompt", {"n_tokens": 5}),
    ("prefix", {"n_tokens": 5}),
    ("prefix", {"n_tokens": 5, "reparametrize": 9}),
    ("prefix", {"n_tokens": 5, "gate": True}),
    ("prefix", {"n_tokens": 5, "gate": True, "reparametrize": 9}),
    ("bottleneck", {"bottleneck": 4}),
    ("selective", {"last_blocks": 1}),
    ("selective", {"last_blocks": 3}),
    ("selective", {"biases_only": True}),
    ("selective", {"last_blocks": 2, "biases_only": True}),
]


def prepared(config: GPTConfig, method: str, weights: str, settings: dict[str, Any]) -> GPT:
    """Returns a GPT that trains what the method trains."""
    model = GPT(config)
    if weights == "bfloat16":
        model.to(torch.bfloat16)
    if method == "qlora":
        quantize_model(
            model, settings.get("nf4_block_size", 64), settings.get("double_quant", True)
        )
    if method in ("lora", "qlora"):
        apply_lora(model, settings["r"], target_modules=settings.get("target_modules", LINEAR))
    elif method == "prompt":
        apply_prompt_tuning(model, settings["n_tokens"])
    elif method == "prefix":
        apply_prefix_tuning(model, **settings)
    elif method == "bottleneck":
        apply_bottlenecks(model, settings["bottleneck"])
    elif method == "selective":
        apply_selective(model, **settings)
    return model


def predicted_and_measured(
    config: GPTConfig,
    method: str,
    batch_size: int,
    context: int,
    weights: str = "float32",
    compute: str = "float32",
    checkpointing: bool = False,
    packed: bool = False,
    n_targets: int | None = None,
    **settings: Any,
) -> tuple[Memory, Memory]:
    """Returns the memory of the same step, predicted and measured."""
    model = prepared(config, method, weights, settings)
    model.gradient_checkpointing = checkpointing
    idx, targets = (torch.randint(config.vocab_size, (batch_size, context)) for _ in range(2))
    if n_targets is not None:
        targets.view(-1)[n_targets:] = -100
    segments = (torch.arange(context) // 7).repeat(batch_size, 1) if packed else None
    dtype = getattr(torch, compute)
    batch = Batch(idx, targets, segments)
    measured = measure_memory(model, make_optimizer(model, 1e-3), batch, dtype)
    predicted = predict_memory(
        config,
        method,
        batch_size,
        context,
        weights=weights,
        compute=compute,
        checkpointing=checkpointing,
        packed=packed,
        n_targets=n_targets,
        stored_attention=compute == "bfloat16" and context <= 512,
        **settings,
    )
    return predicted, measured


@pytest.mark.parametrize(("method", "settings"), METHODS)
@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_byte_of_a_tiny_model_is_predicted(
    method: str, settings: dict[str, Any], compute: str, checkpointing: bool
) -> None:
    common = {"compute": compute, "checkpointing": checkpointing, **settings}
    for batch_size, context in ((1, 16), (3, 24)):
        predicted, measured = predicted_and_measured(TINY, method, batch_size, context, **common)
        assert predicted == measured
    rows: dict[str, Any] = {"packed": True, "n_targets": 11}
    predicted, measured = predicted_and_measured(TINY, method, 2, 20, **rows, **common)
    assert predicted == measured
    with_dropout = replace(TINY, dropout=0.1, bias="biases_only" in settings, n_layer=1)
    common |= {"last_blocks": 1} if settings.get("last_blocks") else {}
    predicted, measured = predicted_and_measured(with_dropout, method, 2, 20, **common)
    assert predicted == measured


@pytest.mark.parametrize(("method", "settings"), [METHODS[0], METHODS[1], METHODS[6], METHODS[8]])
@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_every_byte_of_the_base_model_is_predicted(
    method: str, settings: dict[str, Any], compute: str
) -> None:
    for batch_size, context in ((1, 32), (3, 16)):
        predicted, measured = predicted_and_measured(
            BASE, method, batch_size, context, compute=compute, **settings
        )
        assert predicted == measured


@pytest.mark.parametrize(
    ("method", "settings"), [("full", {}), ("prefix", {"n_tokens": 5, "gate": True})]
)
def test_attention_in_bf16_is_fused_above_512_tokens(method: str, settings: dict[str, Any]) -> None:
    config = replace(TINY, block_size=600, n_layer=2)
    predicted, measured = predicted_and_measured(
        config, method, 2, 520, compute="bfloat16", **settings
    )
    assert predicted == measured


@pytest.mark.parametrize("gate", [False, True])
def test_a_product_over_rows_of_one_head_copies_nothing(gate: bool) -> None:
    config = replace(TINY, n_head=1)
    settings = {"n_tokens": 5, "gate": gate, "compute": "bfloat16"}
    predicted, measured = predicted_and_measured(config, "prefix", 3, 20, **settings)
    assert predicted == measured


def test_checkpointing_keeps_the_loss_or_a_block_whichever_is_more() -> None:
    few, many = replace(TINY, vocab_size=11), replace(TINY, vocab_size=2000)
    for config in (few, many):
        predicted, measured = predicted_and_measured(config, "full", 2, 20, checkpointing=True)
        assert predicted == measured
    grown = [
        predict_memory(replace(config, n_embd=64), "full", 2, 20, checkpointing=True).activations
        - predict_memory(config, "full", 2, 20, checkpointing=True).activations
        for config in (few, many)
    ]
    # A block is wider by 16 x 32 numbers a token, an input by 32; the head's gradient by V x 32.
    assert grown[0] > 4 * 16 * 32 * 40
    assert grown[1] < 4 * (2000 * 32 + 6 * 32 * 40)


@pytest.mark.parametrize(("method", "settings"), METHODS)
def test_with_weights_in_bf16_only_the_statistics_of_the_norms_differ(
    method: str, settings: dict[str, Any]
) -> None:
    """On a CPU mean and 1 / deviation are then bf16 too, which saves 4 bytes a token and norm."""
    common = {"weights": "bfloat16", "compute": "bfloat16"}
    predicted, measured = predicted_and_measured(TINY, method, 2, 20, **common, **settings)
    assert replace(predicted, activations=measured.activations) == measured
    norms = (predicted.activations - measured.activations) / (4 * 2 * 20)
    if method in IN_PLACE:  # both of every block that learns, and the last
        assert norms == 2 * settings.get("last_blocks", 3) + 1
        return
    virtual = 6 * 5 / 40 if method == "prompt" else 0  # its 5 tokens go through 6 norms
    # Of 7; those before the first trained number keep nothing.
    only_head = settings.get("target_modules") == ("lm_head",)
    assert norms - virtual in ((0,) if only_head else (5, 6))


def test_what_is_measured_is_a_training_step() -> None:
    idx, targets = torch.randint(TINY.vocab_size, (2, 2, 20))
    models = [prepared(TINY, "lora", "float32", {"r": 8}) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    optimizers = [make_optimizer(model, 1e-2) for model in models]
    models[0].eval().lm_head.train()
    modes = [module.training for module in models[0].modules()]
    measure_memory(models[0], optimizers[0], Batch(idx, targets))
    assert [module.training for module in models[0].modules()] == modes
    models[1](idx, targets, loss_only=True)[1].backward()
    optimizers[1].step()
    for mine, plain in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(mine, plain)
    assert models[0].transformer["h"][0].attn.c_attn.lora_B.any()


def test_what_no_gradient_will_need_is_not_counted_as_kept() -> None:
    x, kept = torch.randn(10, 10, requires_grad=True), KeptTensors()
    with kept.hooks:
        needed = (x * 2).softmax(-1)  # keeps its own result
        x.exp()  # so does this one, but it is dropped
    assert list(kept.storages().values()) == [400]
    assert needed.untyped_storage().data_ptr() in kept.storages()


def test_a_batch_without_targets_is_refused() -> None:
    model = GPT(TINY)
    idx = torch.zeros(1, 4, dtype=torch.long)
    batch = Batch(idx, torch.full_like(idx, -100))
    with pytest.raises(ValueError, match="all 4 are -100"):
        measure_memory(model, make_optimizer(model, 1e-3), batch)


class Llama(nn.Module):
    """transformers' Llama with the interface that measure_memory needs."""

    def __init__(self, shape: LlamaShape) -> None:
        transformers = pytest.importorskip("transformers")
        super().__init__()
        self.llama = transformers.LlamaForCausalLM(
            transformers.LlamaConfig(
                hidden_size=shape.dim,
                num_hidden_layers=shape.n_layer,
                intermediate_size=shape.ffn,
                num_attention_heads=shape.n_head,
                num_key_value_heads=shape.n_kv_head,
                vocab_size=shape.vocab_size,
                attn_implementation="sdpa",
            )
        )

    def forward(self, idx: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Returns logits [B, T, V] and the loss for idx and targets [B, T]."""
        logits = self.llama(idx, use_cache=False).logits
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())


@pytest.mark.parametrize("n_kv_head", [4, 2])
@pytest.mark.parametrize("targets", [None, ("q_proj", "v_proj"), ("lm_head",)])
@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_a_llama_of_transformers_takes_what_is_predicted(
    method: str, targets: tuple[str, ...] | None, n_kv_head: int
) -> None:
    shape = LlamaShape(64, n_layer=3, ffn=176, n_head=4, n_kv_head=n_kv_head, vocab_size=131)
    linear = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    model = Llama(shape)
    if method == "qlora":
        quantize_model(model)
    if method != "full":
        apply_lora(model, r=8, target_modules=targets or linear)
    batch = Batch(*(torch.randint(shape.vocab_size, (2, 24)) for _ in range(2)))
    measured = measure_memory(model, make_optimizer(model, 1e-3), batch)
    predicted = predict_memory(shape, method, 2, 24, r=8, target_modules=targets)
    frequencies = 2 * 8 * 4  # of the angles, which transformers holds twice
    # It has no mask of the targets that count (nor have we, if nothing before the head learns); and
    # its RMSNorm, written out, keeps for the gradient of the gains what a fused one computes again:
    # 7 norms, 48 tokens of 64 numbers.
    kept = 7 * 48 * 64 * 4 if method == "full" else 0
    kept -= 48 if method == "full" or targets != ("lm_head",) else 0
    assert measured == replace(
        predicted,
        weights=predicted.weights + frequencies,
        activations=predicted.activations + kept,
    )


def test_bytes_alive_at_most_and_in_the_end() -> None:
    def work() -> Tensor:
        large = torch.ones(5000)
        small = large[:1000].clone()
        del large
        return small

    assert bytes_alive(work, torch.device("cpu")) == (6 * 4000, 4000)
