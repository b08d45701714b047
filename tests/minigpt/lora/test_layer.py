"""minigpt.lora.layer: LoRALinear against W + B A multiplied out."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from minigpt.fast.linear import Linear
from minigpt.lora.model import LoRALinear


def layer(**settings: object) -> LoRALinear:
    """Returns a layer of 6 -> 10 with B already trained away from zero."""
    made = LoRALinear(Linear(6, 10), r=3, alpha=12, **settings)  # type: ignore[arg-type]
    with torch.no_grad():
        made.lora_B.normal_()
    return made


def dense(made: LoRALinear) -> Tensor:
    """Returns W_0 + scaling B A [out, in], in double precision."""
    return made.base.weight.double() + made.scaling * made.lora_B.double() @ made.lora_A.double()


@pytest.mark.parametrize("shape", [(6,), (1, 6), (4, 6), (2, 5, 6), (0, 6)])
@pytest.mark.parametrize("gradients", [True, False])
def test_the_output_is_that_of_the_weight_with_the_product_added(
    shape: tuple[int, ...], gradients: bool
) -> None:
    made, x = layer(), torch.randn(shape)
    with torch.set_grad_enabled(gradients):
        expected = nn.functional.linear(x.double(), dense(made), made.base.bias.double())
        torch.testing.assert_close(made(x).double(), expected, rtol=1e-6, atol=1e-5)


def test_the_gradients_are_those_of_the_formula_and_the_base_has_none() -> None:
    made, g = layer().double(), torch.randn(5, 7, 10).double()
    x = torch.randn(5, 7, 6).double().requires_grad_()
    made(x).backward(g)
    W, A, B = (m.detach() for m in (made.base.weight, made.lora_A, made.lora_B))
    rows, top = x.detach().flatten(0, 1), g.flatten(0, 1)  # [N, in], [N, out]
    torch.testing.assert_close(made.lora_A.grad, 4 * B.T @ top.T @ rows)
    torch.testing.assert_close(made.lora_B.grad, 4 * top.T @ rows @ A.T)
    torch.testing.assert_close(x.grad.flatten(0, 1), top @ (W + 4 * B @ A))
    assert made.base.weight.grad is None
    assert made.base.bias.grad is None


def test_a_new_layer_is_the_base_to_the_bit_and_starts_as_documented() -> None:
    base, x = Linear(400, 300), torch.randn(4, 400)
    for init, deviation in (("kaiming", 1 / math.sqrt(3 * 400)), ("gaussian", 1 / 50)):
        made = LoRALinear(base, r=50, alpha=1, init=init)
        assert torch.equal(made(x), base(x))
        assert not made.lora_B.any()
        assert made.lora_A.std().item() == pytest.approx(deviation, rel=0.03)
    uniform = LoRALinear(base, r=50, alpha=1).lora_A
    assert 0.99 / 20 < uniform.abs().max() <= 1 / 20  # 1 / sqrt(in)
    torch.manual_seed(3)
    theirs = nn.init.kaiming_uniform_(torch.empty(50, 400), a=math.sqrt(5))
    torch.manual_seed(3)
    assert torch.equal(LoRALinear(base, r=50, alpha=1).lora_A, theirs)


def test_scaling_is_alpha_over_r_or_over_its_root() -> None:
    assert LoRALinear(Linear(8, 8), r=4, alpha=6).scaling == 1.5
    assert LoRALinear(Linear(8, 8), r=4, alpha=6, rank_stabilized=True).scaling == 3.0


def test_dropout_acts_on_the_adapter_alone_and_only_in_training() -> None:
    made, x = layer(dropout=0.75), torch.ones(20_000, 6)
    with torch.no_grad():
        alone = made.base(x)
        added = (made(x) - alone).double()
        whole = made.eval()(x).double() - alone
        expected = x.double() @ dense(made).T + made.base.bias.double() - alone
    torch.testing.assert_close(whole, expected, rtol=0, atol=1e-5)
    # Each of the 6 inputs survives with probability 1/4 and then counts 4 times; the mean stays.
    nothing = (added.abs().amax(dim=1) < 1e-5).double().mean().item()
    assert nothing == pytest.approx(0.75**6, abs=0.015)
    products = 4 * made.lora_B.double() @ made.lora_A.double()  # [out, in]
    error = 6 * (3 * products.square().sum(1) / len(x)).sqrt()  # six standard errors
    assert ((added.mean(0) - products.sum(1)).abs() < error).all()


def test_autocast_casts_the_input_once_and_keeps_fp32_weights() -> None:
    made, x = layer(), torch.randn(64, 6, requires_grad=True)
    seen: list[torch.dtype] = []
    made.base.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        y = made(x)
    y.float().square().mean().backward()
    assert y.dtype == torch.bfloat16
    assert seen == [torch.bfloat16]
    assert made.lora_A.grad.dtype == made.lora_B.grad.dtype == x.grad.dtype == torch.float32
    expected = x.double() @ dense(made).T + made.base.bias.double()
    torch.testing.assert_close(y.double(), expected, rtol=0.02, atol=0.05)


def test_a_bf16_layer_computes_without_autocast() -> None:
    made = LoRALinear(Linear(6, 10).bfloat16(), r=3, alpha=3)
    nn.init.normal_(made.lora_B)
    x = torch.randn(4, 6, dtype=torch.bfloat16)
    expected = x.double() @ dense(made).T + made.base.bias.double()
    assert made.lora_A.dtype == torch.float32
    assert made(x).dtype == torch.bfloat16
    torch.testing.assert_close(made(x).double(), expected, rtol=0.02, atol=0.03)


class Halves(nn.Module):
    """A linear layer that keeps its weight as whole numbers, like a quantized one."""

    def __init__(self) -> None:
        super().__init__()
        self.in_features, self.out_features = 6, 10
        self.register_buffer("codes", torch.randint(-4, 5, (10, 6), dtype=torch.int8))

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.codes.to(x.dtype) / 2).T


def test_a_base_without_a_weight_of_plain_numbers_works_but_cannot_be_merged() -> None:
    made, x = LoRALinear(Halves(), r=2, alpha=2), torch.randn(4, 6)
    nn.init.normal_(made.lora_B)
    W = made.base.codes.double() / 2 + made.lora_B.double() @ made.lora_A.double()
    torch.testing.assert_close(made(x).double(), x.double() @ W.T, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="Halves has no plain weight to merge into"):
        made.merged_weight()


def test_a_merge_into_bf16_rounds_once() -> None:
    made = LoRALinear(Linear(6, 10).bfloat16(), r=3, alpha=3)
    nn.init.normal_(made.lora_B)
    exact = dense(made)
    assert made.merged_weight().dtype == torch.bfloat16
    assert ((made.merged_weight().double() - exact).abs() <= exact.abs() * 2**-8 + 1e-7).all()


def test_a_copy_is_independent() -> None:
    made = layer()
    other, x = copy.deepcopy(made), torch.randn(3, 6)
    before = other(x)
    with torch.no_grad():
        made.lora_A.zero_()
    assert torch.equal(other(x), before)
    assert not torch.equal(made(x), before)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"r": 0}, "r must be a whole number of at least 1, got 0"),
        ({"r": 2.0}, r"r must be a whole number of at least 1, got 2\.0"),
        ({"r": True}, "r must be a whole number of at least 1, got True"),
        ({"r": 7}, r"r must be from 1 to 6 for this layer, whose weight is \[10, 6\], got 7"),
        ({"alpha": 0}, "alpha must be above 0 and at most 1,000,000, got 0"),
        ({"alpha": -1.5}, r"alpha must be above 0 .* got -1\.5"),
        ({"alpha": math.nan}, "alpha must be above 0 .* got nan"),
        ({"dropout": 1.0}, r"dropout must be at least 0 and below 1, got 1\.0"),
        ({"dropout": -0.1}, r"dropout must be at least 0 and below 1, got -0\.1"),
        ({"init": "pissa"}, "init must be one of kaiming, gaussian, zeros, got 'pissa'"),
        ({"name": "a.b"}, r"name is made of letters, digits, - and _, got 'a\.b'"),
        ({"name": ""}, "name is made of letters, digits, - and _, got ''"),
        ({"name": "keys"}, "cannot be called 'keys': torch uses that word"),
        ({"name": "training"}, "cannot be called 'training': torch uses that word"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict, sentence: str) -> None:
    base = Linear(6, 10)
    with pytest.raises(ValueError, match=sentence):
        LoRALinear(base, **{"r": 3, "alpha": 6, **settings})
    assert base.weight.requires_grad
