"""minigpt.qlora.NF4Linear: one linear layer in 4 bits."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kernels import NF4Tensor, dequantize_nf4, quantize_nf4
from minigpt.model import GPT
from minigpt.qlora.layer import NF4Linear
from minigpt.qlora.model import quantize_model
from tests.minigpt.tiny.gpt2 import ours
from tests.minigpt.tiny.lora import logits


def layer_and_weight(
    bias: bool = True, double_quant: bool = True, n_in: int = 96, n_out: int = 80
) -> tuple[NF4Linear, Tensor]:
    """Returns a layer, and the weight [out, in] that it stands for."""
    torch.manual_seed(0)
    base = nn.Linear(n_in, n_out, bias=bias)
    return (
        NF4Linear(base, double_quant=double_quant),
        dequantize_nf4(quantize_nf4(base.weight, double_quant=double_quant)),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("double_quant", [True, False])
def test_forward_and_backward_are_those_of_a_linear_layer_with_the_dequantized_weight(
    dtype: torch.dtype, autocast: bool, bias: bool, double_quant: bool
) -> None:
    layer, weight = layer_and_weight(bias, double_quant)
    numbers = torch.randn(2, 5, 96).to(dtype)
    x, other_x = (numbers.clone().requires_grad_() for _ in range(2))
    other_bias = None if layer.bias is None else layer.bias.to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y = layer(x)
        expected = F.linear(other_x, weight.to(dtype), other_bias)
    assert y.dtype == expected.dtype == (torch.bfloat16 if autocast else dtype)
    assert torch.equal(y, expected)
    direction = torch.randn_like(y)
    y.backward(direction)
    expected.backward(direction)
    assert torch.equal(x.grad, other_x.grad)
    assert all(parameter.grad is None for parameter in layer.parameters())


def test_the_dequantized_layer_is_a_linear_layer_with_those_numbers() -> None:
    layer, weight = layer_and_weight()
    plain = layer.eval().dequantize()
    assert isinstance(plain, nn.Linear)
    assert torch.equal(plain.weight, weight)
    assert torch.equal(plain.bias, layer.bias)
    assert not any(p.requires_grad for p in plain.parameters())
    assert not plain.training


def test_a_layer_shares_nothing_with_the_weight_it_was_made_from() -> None:
    base = nn.Linear(64, 64)
    layer = NF4Linear(base)
    before = layer.dequantize().weight
    with torch.no_grad():
        base.weight.zero_()
    assert torch.equal(layer.dequantize().weight, before)
    assert base.bias.requires_grad
    assert not layer.bias.requires_grad
    assert not hasattr(layer, "weight")


@pytest.mark.parametrize("double_quant", [True, False])
@pytest.mark.parametrize(
    ("change", "dtype"),
    [
        (lambda layer: layer.to(torch.bfloat16), torch.bfloat16),
        (lambda layer: layer.half(), torch.float16),
        (lambda layer: layer.bfloat16().float(), torch.float32),
        (lambda layer: layer.type(torch.bfloat16), torch.bfloat16),
        (lambda layer: nn.Sequential(layer).to("cpu", torch.bfloat16)[0], torch.bfloat16),
    ],
)
def test_another_number_format_leaves_every_bit_of_the_weight(
    change: Callable[[NF4Linear], NF4Linear], dtype: torch.dtype, double_quant: bool
) -> None:
    layer, weight = layer_and_weight(double_quant=double_quant)
    before = {name: part.clone() for name, part in layer.named_buffers()}
    layer = change(layer)
    for name, part in layer.named_buffers():
        assert part.dtype == before[name].dtype, name
        assert torch.equal(part, before[name]), name
    assert layer.bias.dtype == layer.dequantize().weight.dtype == dtype
    x = torch.randn(3, 96, dtype=dtype)
    assert torch.equal(layer(x), F.linear(x, weight.to(dtype), layer.bias))


def test_the_parts_move_with_the_layer() -> None:
    layer, _ = layer_and_weight()
    kinds = {name: part.dtype for name, part in layer.named_buffers()}
    layer.to("meta", torch.bfloat16)
    assert layer.quantized.device == layer.bias.device == torch.device("meta")
    assert {name: part.dtype for name, part in layer.named_buffers()} == kinds


@pytest.mark.parametrize("double_quant", [True, False])
def test_a_state_dict_goes_into_another_model_and_into_one_without_memory(
    double_quant: bool,
) -> None:
    model = quantize_model(ours(), double_quant=double_quant)
    other = quantize_model(ours(seed=1), double_quant=double_quant)
    assert not torch.equal(logits(other), logits(model))
    other.load_state_dict(model.state_dict())
    assert torch.equal(logits(other), logits(model))

    with torch.device("meta"):
        empty = quantize_model(GPT(model.config), double_quant=double_quant)
    assert {t.device.type for t in empty.state_dict().values()} == {"meta"}
    empty.load_state_dict(model.state_dict(), assign=True)
    assert torch.equal(logits(empty), logits(model))


def test_copies_are_equal_and_independent() -> None:
    layer, _ = layer_and_weight()
    x = torch.randn(3, 96)
    before = layer(x)
    copies = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
    layer.codes.zero_()
    assert not torch.equal(layer(x), before)
    assert all(torch.equal(other(x), before) for other in copies)


def test_a_compiled_layer_has_no_break_in_its_graph() -> None:
    layer, _ = layer_and_weight()
    x = torch.randn(3, 96, requires_grad=True)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    expected = layer(x)
    assert torch.equal(compiled(x), expected)
    (expected_grad,) = torch.autograd.grad(expected.sum(), x)
    (grad,) = torch.autograd.grad(compiled(x).sum(), x)
    assert torch.equal(grad, expected_grad)


def test_a_layer_needs_a_matrix() -> None:
    q: NF4Tensor = quantize_nf4(torch.randn(64))
    with pytest.raises(ValueError, match=r"needs a weight \[out, in\], got the shape \[64\]"):
        NF4Linear.from_nf4(q)
