"""Quantized numbers are the nearest ones that the codes can say, and rounded models learn.

The oracles: exact arithmetic with fractions, torch's own fake quantization, torch.func.
"""

from __future__ import annotations

import copy
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from minigpt.quantization import (
    Per,
    apply_fake_quantization,
    as_groups,
    bits_per_parameter,
    dequantize_absmax,
    dequantize_zero_point,
    fake_quantize,
    layers_to_quantize,
    merge_fake_quantization,
    quantize_absmax,
    quantize_zero_point,
    round_weights,
)
from minigpt.training.loop import train
from tests.minigpt.tiny.run import TinyData, tiny_config, tiny_model

LARGEST = torch.finfo(torch.float32).max
numbers = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1)
bit_counts = st.integers(2, 8)


def slack(step: float, bits: int) -> float:
    """Returns half a step plus what a few fp32 roundings add to numbers of up to 2^bits steps."""
    return step / 2 + step * 2**bits * 2.0**-21


@given(numbers, bit_counts)
@example([0.0, -0.0], 8)
@example([1e-45, -3e-45], 8)  # too small for 127 / max|x|
@example([LARGEST, -LARGEST, 1.0], 8)
@example([LARGEST, 1.0], 2)  # c is a subnormal number
def test_absmax_is_exact_arithmetic_rounded(values: list[float], bits: int) -> None:
    x = torch.tensor(values)
    codes, c = quantize_absmax(x, bits)
    largest = 2 ** (bits - 1) - 1
    assert codes.dtype == torch.int8
    assert codes.abs().max() <= largest
    top = max(abs(Fraction(value)) for value in x.tolist())
    if top > Fraction(largest) / Fraction(LARGEST):
        assert codes.abs().max() == largest
        exact = [largest * Fraction(value) / top for value in x.tolist()]
        for code, wanted in zip(codes.tolist(), exact, strict=True):
            assert abs(code - wanted) <= 0.5 + 2**bits * 2.0**-21
    back = dequantize_absmax(codes, c).double()
    assert (x.double() - back).abs().max() <= slack(1 / c.double().item(), bits)


@given(numbers, bit_counts)
@example([0.0, -0.0], 8)
@example([1e-45, -3e-45], 8)
@example([LARGEST, -LARGEST, 1.0], 8)  # high - low is more than fp32 holds
@example([3.5, -251.5], 8)  # round(high / s) + z is 256, one too many
def test_zero_point_is_within_half_a_step_and_says_zero_exactly(
    values: list[float], bits: int
) -> None:
    x = torch.tensor([*values, 0.0])
    codes, scale, zero_point = quantize_zero_point(x, bits)
    back = dequantize_zero_point(codes, scale, zero_point).double()
    assert codes.dtype == torch.uint8
    codes = codes.int()  # 256 does not fit into a uint8
    assert codes.max() < 2**bits
    assert codes[-1] == zero_point
    assert back[-1] == 0
    assert (x.double() - back).abs().max() <= slack(scale.double().item(), bits)
    spread = max(0.0, *values) - min(0.0, *values)
    if spread > 1e-30:  # the codes are used from end to end
        assert codes.max() - codes.min() >= 2**bits - 2
        assert scale.double().item() == pytest.approx(spread / (2**bits - 1), rel=1e-6)


@given(numbers, bit_counts)
def test_a_larger_number_never_gets_a_smaller_code(values: list[float], bits: int) -> None:
    x = torch.tensor(sorted(values))
    for codes in (quantize_absmax(x, bits)[0], quantize_zero_point(x, bits)[0]):
        assert (codes.int().diff() >= 0).all()


@given(numbers, bit_counts)
def test_a_second_quantization_changes_nothing(values: list[float], bits: int) -> None:
    codes, c = quantize_absmax(torch.tensor(values), bits)
    assert torch.equal(quantize_absmax(dequantize_absmax(codes, c), bits)[0], codes)


@given(numbers, bit_counts)
def test_absmax_of_minus_x_is_minus_the_codes(values: list[float], bits: int) -> None:
    x = torch.tensor(values)
    assert torch.equal(quantize_absmax(-x, bits)[0], -quantize_absmax(x, bits)[0])


def test_codes_worked_out_by_hand() -> None:
    x = torch.tensor([[1.0, -0.5, 0.25], [0.0, 8.0, -4.0]])
    codes, c = quantize_absmax(x)
    assert codes.tolist() == [[16, -8, 4], [0, 127, -64]]  # 15.9 -7.9 3.97, 0 127 -63.5: even
    assert c.tolist() == [127 / 8]
    codes, c = quantize_absmax(x, per="row")
    assert codes.tolist() == [[127, -64, 32], [0, 127, -64]]
    assert c.tolist() == [127, 127 / 8]
    assert quantize_absmax(x, bits=2, per="row")[0].tolist() == [[1, 0, 0], [0, 1, 0]]  # -0.5: even
    codes, scale, zero_point = quantize_zero_point(torch.tensor([-1.0, 0.0, 2.0, 6.5]), bits=4)
    assert (scale.tolist(), zero_point.tolist()) == ([0.5], [2])
    assert codes.tolist() == [0, 2, 6, 15]


@pytest.mark.parametrize("bits", range(2, 9))
def test_torch_s_fake_quantization_agrees(bits: int) -> None:
    x = 3 * torch.randn(1000) + 1
    codes, scale, zero_point = quantize_zero_point(x, bits)
    theirs = torch.fake_quantize_per_tensor_affine(x, scale.item(), int(zero_point), 0, 2**bits - 1)
    # torch multiplies by 1 / s, so a number very close to a tie may fall on its other side.
    apart = (dequantize_zero_point(codes, scale, zero_point) - theirs).abs() > scale / 2
    assert apart.sum() <= 1
    codes, c = quantize_absmax(x, bits)
    theirs = torch.fake_quantize_per_tensor_affine(x, 1 / c.item(), 0, -128, 127)
    assert ((dequantize_absmax(codes, c) - theirs).abs() > 0.5 / c).sum() <= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("per", "pieces"), [("tensor", 1), ("row", 12), (5, 24), (1, 120)])
def test_each_group_is_quantized_as_if_it_were_alone(
    per: Per, pieces: int, dtype: torch.dtype
) -> None:
    x = torch.randn(4, 10, 3).mul(100 * torch.rand(4, 10, 3)).to(dtype).transpose(1, 2)
    assert not x.is_contiguous()
    groups = x.flatten().chunk(pieces)
    alone = torch.cat([fake_quantize(group, 4) for group in groups])
    whole = fake_quantize(x, 4, per)
    assert (whole.shape, whole.dtype) == (x.shape, dtype)
    assert torch.equal(whole.flatten(), alone)
    skewed = torch.cat([fake_quantize(group, 4, zero_point=True) for group in groups])
    assert torch.equal(fake_quantize(x, 4, per, zero_point=True).flatten(), skewed)
    assert len(quantize_absmax(x, 4, per)[1]) == pieces


def test_a_group_of_zeros_stays_zero_beside_others() -> None:
    x = torch.tensor([[0.0, 0.0], [-3.0, 1.0]])
    for zero_point in (False, True):
        assert torch.equal(fake_quantize(x, 8, "row", zero_point)[0], torch.zeros(2))


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 4)])
@pytest.mark.parametrize("per", ["tensor", "row", 4])
def test_nothing_is_quantized_to_nothing(shape: tuple[int, ...], per: Per) -> None:
    for zero_point in (False, True):
        assert fake_quantize(torch.empty(shape), 8, per, zero_point).shape == shape


def test_a_number_without_dimensions_is_a_group_of_its_own() -> None:
    for per in ("tensor", "row", 1):
        assert fake_quantize(torch.tensor(-2.5), 8, per) == -2.5


def test_more_bits_and_smaller_blocks_mean_smaller_errors() -> None:
    x = torch.randn(64, 64)

    def error(bits: int, per: Per) -> float:
        return (fake_quantize(x, bits, per) - x).square().mean().sqrt().item()

    by_bits = [error(bits, 64) for bits in range(8, 1, -1)]
    assert by_bits == sorted(by_bits)
    by_block = [error(4, per) for per in (8, 64, 512, "tensor")]
    assert by_block == sorted(by_block)
    # Errors are spread evenly over a step, so their root mean square is step / sqrt(12).
    step = x.abs().max().item() / 127
    assert error(8, "tensor") == pytest.approx(step / math.sqrt(12), rel=0.03)


@pytest.mark.parametrize("zero_point", [False, True])
def test_gradient_goes_straight_through(zero_point: bool) -> None:
    x = torch.randn(6, 8, requires_grad=True)
    weight = torch.randn(6, 8)
    (fake_quantize(x, 3, "row", zero_point) * weight).sum().backward()
    assert torch.equal(x.grad, weight)


def test_fake_quantization_is_compiled_without_a_break() -> None:
    compiled = torch.compile(fake_quantize, fullgraph=True, backend="aot_eager")
    x = torch.randn(6, 8, requires_grad=True)
    found = compiled(x, 3, "row")
    assert torch.equal(found, fake_quantize(x, 3, "row"))
    (grad,) = torch.autograd.grad(found.sum(), x)
    assert torch.equal(grad, torch.ones(6, 8))


def test_bits_per_parameter_counts_the_constants() -> None:
    assert bits_per_parameter(4, 64) == 4.5
    nested = bits_per_parameter(4, 64, bits_per_parameter(8, 256))
    assert nested == 4 + 8 / 64 + 32 / (64 * 256)
    with pytest.raises(ValueError, match="group_size must be at least 1, got 0"):
        bits_per_parameter(4, 0)


def test_constants_of_different_groups_are_refused() -> None:
    codes, scale, zero_point = quantize_zero_point(torch.randn(4, 6), 8, "row")
    with pytest.raises(ValueError, match="one number a group each, got 4 and 3"):
        dequantize_zero_point(codes, scale, zero_point[:3])


@pytest.mark.parametrize("bits", [1, 9, 0, 4.0, True])
def test_bits_out_of_range_are_refused(bits: int) -> None:
    for call in (quantize_absmax, quantize_zero_point, fake_quantize):
        with pytest.raises(ValueError, match=rf"bits must be .* from 2 to 8, got {bits}"):
            call(torch.ones(3), bits)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_named_with_their_place(bad: float) -> None:
    x = torch.ones(2, 3)
    x[1, 2] = bad
    for call in (quantize_absmax, quantize_zero_point):
        with pytest.raises(ValueError, match=rf"must be finite, got {bad} at position \[1, 2\]"):
            call(x)


@pytest.mark.parametrize("per", [0, -4, 4.5, "column", True])
def test_a_group_size_that_makes_no_sense_is_refused(per: Per) -> None:
    with pytest.raises(ValueError, match=r'"tensor", "row" or a block size of 1 or more, got'):
        quantize_absmax(torch.ones(8), 8, per)


@pytest.mark.parametrize(("size", "nearest"), [(7, 6), (13, 12), (100, 24)])
def test_a_block_size_that_does_not_fit_names_one_that_does(size: int, nearest: int) -> None:
    with pytest.raises(ValueError, match=rf"divide the 24 .* got {size}; .* is {nearest}, or"):
        quantize_absmax(torch.ones(4, 6), 8, size)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.bool])
def test_other_kinds_of_numbers_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match=f"float32, float16 or bfloat16, got {dtype}"):
        as_groups(torch.ones(2, dtype=dtype), "tensor")


def test_codes_of_another_quantization_are_refused() -> None:
    codes, c = quantize_absmax(torch.randn(12), per=4)
    for wrong in (codes[:10], codes[:0]):
        with pytest.raises(ValueError, match=f"{len(wrong)} codes .* into 3 equal groups"):
            dequantize_absmax(wrong, c)


def test_rounding_a_model_changes_its_linear_weights_and_nothing_else() -> None:
    model = tiny_model()
    before = copy.deepcopy(model.state_dict())
    round_weights(model, bits=3, per="row")
    changed = {name for name, p in model.state_dict().items() if not torch.equal(p, before[name])}
    names = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    assert changed == {f"transformer.h.{i}.{name}.weight" for i in (0, 1) for name in names}
    for name in changed:
        for row, old in zip(model.state_dict()[name], before[name], strict=True):
            assert len(row.unique()) <= 7
            assert (row - old).abs().max() <= old.abs().max() / 3 / 2 * 1.0001
    assert model.lm_head.weight is model.transformer["wte"].weight


def test_training_aware_of_quantization_computes_with_rounded_weights() -> None:
    exact, rounded, aware = (tiny_model(dropout=0.0) for _ in range(3))
    round_weights(rounded, 2, 8)
    apply_fake_quantization(aware, 2, 8)
    idx, targets, _ = TinyData().train_batch(0, 4)
    loss = aware(idx, targets)[1]
    assert torch.equal(loss, rounded(idx, targets)[1])
    assert not torch.equal(loss, exact(idx, targets)[1])
    # The gradient is that of the loss at the rounded weights, and moves the exact ones.
    loss.backward()
    parameters = {n: p.detach().clone().requires_grad_() for n, p in rounded.named_parameters()}
    functional_call(rounded, parameters, (idx, targets))[1].backward()
    kept = 0
    for name, module in aware.named_modules():
        if isinstance(module, nn.Linear) and "lm_head" not in name:
            original = module.parametrizations["weight"].original
            assert torch.equal(original, exact.get_parameter(f"{name}.weight"))
            torch.testing.assert_close(original.grad, parameters[f"{name}.weight"].grad)
            kept += 1
    assert kept == 8


def test_a_model_trained_for_2_bits_beats_one_rounded_to_2_bits() -> None:
    data, config = TinyData(), tiny_config(max_steps=40, warmup_steps=4, eval_every=0)
    model = tiny_model(dropout=0.0, n_embd=32)
    train(model, data, config)
    rounded, aware = copy.deepcopy(model), copy.deepcopy(model)
    round_weights(rounded, 2)
    apply_fake_quantization(aware, 2)
    train(aware, data, config)
    idx, targets, _ = data.train_batch(10_000, 64)
    before = aware(idx, targets)[1]
    merge_fake_quantization(aware)
    after = aware(idx, targets)[1]
    assert torch.equal(after, before)
    assert set(aware.state_dict()) == set(model.state_dict())
    weight = aware.transformer["h"][0].mlp.c_fc.weight
    assert all(len(row.unique()) <= 3 for row in weight)
    train(model, data, config)  # the same steps without rounding: what could be reached
    best, worst = model(idx, targets)[1], rounded(idx, targets)[1]
    assert best < after < best + 0.5 * (worst - best)


def test_a_model_is_refused_before_any_of_it_is_changed() -> None:
    model = tiny_model()
    before = copy.deepcopy(model.state_dict())
    cases = [
        ((9, "row", ("lm_head",)), "bits must be"),
        ((8, 512, ("lm_head",)), "a block size must divide the 768 elements"),
        ((8, "row", ("lm_head", "c_attn", "c_proj", "c_fc")), "it has 9, and skip=.* leaves none"),
    ]
    for call in (round_weights, apply_fake_quantization):
        for arguments, message in cases:
            with pytest.raises(ValueError, match=message):
                call(model, *arguments)
            assert model.state_dict().keys() == before.keys()
            assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())
    apply_fake_quantization(model)
    for call in (round_weights, apply_fake_quantization):
        with pytest.raises(ValueError, match=r"h\.0\.attn\.c_attn is fake-quantized already"):
            call(model)


def test_layers_are_skipped_by_how_their_names_end() -> None:
    model = tiny_model()
    assert len(layers_to_quantize(model, 8, "row", ())) == 9
    assert len(layers_to_quantize(model, 8, "row", ("c_proj", "lm_head"))) == 4
    assert len(layers_to_quantize(model, 8, "row", "lm_head")) == 8
    assert len(layers_to_quantize(model, 8, "row", ("mlp.c_proj", "h.0.mlp.c_fc"))) == 6
