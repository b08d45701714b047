"""The format: its numbers are those the world's checkpoints use, and its parts have to fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from kernels import NF4Tensor, dequantize_nf4, quantize_nf4
from kernels.nf4 import DYNAMIC_MAP, LEVELS, THRESHOLDS, derive_dynamic_map, derive_levels

# fp32 bits of the levels in bitsandbytes, transformers and every NF4 checkpoint
LEVEL_BITS = """bf800000 bf3239b1 bf066b30 beca32a0 be91a24d be3d353f bdba7871 00000000
                3da2faff 3e24cae3 3e7c04dd 3ead033a 3ee1a4b8 3f1007ab 3f3913b3 3f800000"""


def bits(x: Tensor) -> list[str]:
    return [f"{word:08x}" for word in x.numpy().view(np.uint32)]


def test_levels_derived_from_the_normal_distribution_are_the_known_ones() -> None:
    assert bits(derive_levels()) == LEVEL_BITS.split()
    assert torch.equal(derive_levels(), LEVELS)


def test_thresholds_are_the_midpoints_to_the_last_bit_but_one() -> None:
    middles = (LEVELS[:-1].double() + LEVELS[1:].double()).div(2).float()
    apart = THRESHOLDS.view(torch.int32) - middles.view(torch.int32)
    assert apart.abs().max() == 1
    assert apart.nonzero().flatten().tolist() == [0, 8, 12, 14]


def test_dynamic_map_is_that_of_bitsandbytes() -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    assert torch.equal(derive_dynamic_map(), functional.create_dynamic_map())
    assert torch.equal(derive_dynamic_map(), DYNAMIC_MAP)


def quantized(double_quant: bool = True, dtype: torch.dtype = torch.bfloat16) -> NF4Tensor:
    return quantize_nf4(torch.randn(48, 128).to(dtype), double_quant=double_quant)


def test_size_is_counted_in_full() -> None:
    weight = torch.randn(1024, 1024)
    assert quantize_nf4(weight, double_quant=False).bits_per_parameter == 4.5
    q = quantize_nf4(weight)
    blocks = 2**20 // 64
    assert q.nbytes == 2**19 + blocks + 4 * blocks // 256 + 4
    assert q.bits_per_parameter == pytest.approx(4.127, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block_size": 48}, "block_size must be a power of two from 32 to 4096, got 48"),
        ({"block_size": 8192}, "block_size must be a power of two"),
        ({"block_size": 128}, r"absmax_codes .* must be torch.uint8 \[48\], got .* \[96\]"),
        ({"shape": (47, 128)}, r"codes .* must be torch.uint8 \[3008\], got .* \[3072\]"),
        ({"codes": torch.zeros(3072, dtype=torch.int8)}, "codes .* got torch.int8"),
        ({"absmax": torch.zeros(96)}, "with double quantization has no absmax"),
        ({"absmax_scale": None}, "absmax_scale .* got nothing"),
        ({"absmax_scale": [1.0]}, "absmax_scale .* got list"),
        ({"codes": np.zeros(3072, np.uint8)}, "codes .* got ndarray"),
        ({"block_size": 64.0}, r"block_size must be a power of two .* got 64\.0"),
        ({"block_size": "64"}, "block_size must be a power of two .* got '64'"),
        ({"absmax_scale": torch.zeros(2)}, r"absmax_scale .* torch.float32 \[1\], got .* \[2\]"),
        ({"absmax_offset": torch.zeros(1)}, r"absmax_offset .* torch.float32 \[\]"),
        ({"nested_block_size": 100}, "nested_block_size must be a power of two"),
        ({"nested_block_size": None}, "absmax .* got nothing"),
        ({"shape": (-48, -128)}, r"shape .* whole numbers from 0, got \(-48, -128\)"),
        ({"shape": None}, "shape .* whole numbers from 0, got None"),
        ({"shape": "ab"}, "shape .* whole numbers from 0, got 'ab'"),
        (
            {"absmax_scale": torch.zeros(1, device="meta")},
            "codes are on cpu, absmax_scale is on meta",
        ),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(quantized(), **change)


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(TypeError, match=r"float32, float16 or bfloat16, got torch\.float64"):
        replace(quantized(), dtype=torch.float64)


def test_moves_to_another_device() -> None:
    q = quantized().to("meta")
    assert {part.device.type for part in q.parts.values()} == {"meta"}
    assert q.shape == (48, 128)
    for dtype in (torch.float16, torch.zeros(1)):
        with pytest.raises(
            TypeError, match=r"to needs a device, got t.*dequantize_nf4 takes a dty"
        ):
            q.to(dtype)  # type: ignore[arg-type]


def test_sizes_of_numpy_are_stored_as_plain_numbers() -> None:
    weight = torch.randn(48, 128)
    made = quantize_nf4(weight, np.int64(64), nested_block_size=np.int32(32))  # type: ignore[arg-type]
    sizes = {"block_size": np.int64(64), "nested_block_size": np.int64(32)}
    for q in (made, replace(made, **sizes)):
        loaded = NF4Tensor.from_state_dict(q.state_dict())
        assert (loaded.block_size, loaded.nested_block_size) == (64, 32)
        assert torch.equal(dequantize_nf4(loaded), dequantize_nf4(q))


@pytest.mark.parametrize("double_quant", [True, False])
def test_state_dict_goes_through_safetensors(double_quant: bool, tmp_path: Path) -> None:
    q = quantized(double_quant)
    # Two in one file: safetensors refuses tensors that share memory, as a table of levels could.
    both = q.state_dict("layer.weight") | quantized(double_quant).state_dict("other.weight")
    save_file(both, tmp_path / "model.safetensors")
    loaded = NF4Tensor.from_state_dict(load_file(tmp_path / "model.safetensors"), "layer.weight")
    assert loaded.parts.keys() == q.parts.keys()
    for name, part in q.parts.items():
        assert torch.equal(loaded.parts[name], part), name
    settings = ("shape", "dtype", "block_size", "nested_block_size")
    assert [getattr(loaded, name) for name in settings] == [getattr(q, name) for name in settings]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("double_quant", [True, False])
def test_bitsandbytes_loads_our_checkpoint(double_quant: bool, dtype: torch.dtype) -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    q = quantized(double_quant, dtype)
    state = q.state_dict()
    packed = state.pop("weight")
    quant_state = functional.QuantState.from_dict(state, device=torch.device("cpu"))
    theirs = functional.dequantize_4bit(packed, quant_state)
    assert theirs.dtype == dtype
    assert torch.equal(theirs, dequantize_nf4(q))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("double_quant", [True, False])
def test_we_load_a_checkpoint_of_bitsandbytes(double_quant: bool, dtype: torch.dtype) -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    weight = torch.randn(48, 128).to(dtype)
    packed, quant_state = functional.quantize_4bit(
        weight, blocksize=64, compress_statistics=double_quant, quant_type="nf4"
    )
    state = {f"weight.{name}": part for name, part in quant_state.as_dict(packed=True).items()}
    q = NF4Tensor.from_state_dict({"weight": packed, **state})
    assert q.nested_block_size == (256 if double_quant else None)
    assert torch.equal(dequantize_nf4(q), functional.dequantize_4bit(packed, quant_state))


def test_checkpoint_without_the_weight_says_what_it_has() -> None:
    state = quantized().state_dict("a.weight")
    with pytest.raises(KeyError, match=r"no tensor 'b.weight.quant_state.* nothing: is the weight"):
        NF4Tensor.from_state_dict(state, "b.weight")
    del state["a.weight.nested_absmax"]
    with pytest.raises(KeyError, match=r"'a.weight.nested_absmax'.* it has a.weight"):
        NF4Tensor.from_state_dict(state, "a.weight")


def test_other_formats_are_refused() -> None:
    state = quantized().state_dict()
    with pytest.raises(ValueError, match="does not use the 16 levels of NF4"):
        NF4Tensor.from_state_dict(with_setting("quant_type", "fp4"))
    with pytest.raises(ValueError, match="does not use the 16 levels of NF4"):
        NF4Tensor.from_state_dict({**state, "weight.quant_map": torch.linspace(-1, 1, 16)})
    with pytest.raises(ValueError, match="use another 8-bit map"):
        NF4Tensor.from_state_dict({**state, "weight.nested_quant_map": torch.linspace(-1, 1, 256)})


@pytest.mark.parametrize("double_quant", [True, False])
def test_fp4_of_bitsandbytes_is_refused_by_its_name(double_quant: bool) -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    packed, quant_state = functional.quantize_4bit(
        torch.randn(48, 128), compress_statistics=double_quant, quant_type="fp4"
    )
    state = {f"weight.{name}": part for name, part in quant_state.as_dict(packed=True).items()}
    with pytest.raises(ValueError, match="'weight' is in fp4, not in nf4; quantize it anew"):
        NF4Tensor.from_state_dict({"weight": packed, **state})


KEY = "weight.quant_state.bitsandbytes__nf4"


def with_settings(text: str) -> dict[str, Tensor]:
    return quantized().state_dict() | {
        KEY: torch.tensor(list(text.encode("latin-1")), dtype=torch.uint8)
    }


def with_setting(name: str, value: object) -> dict[str, Tensor]:
    """Returns a checkpoint with another value of one setting; None takes it away."""
    settings = json.loads(bytes(quantized().state_dict()[KEY].tolist()))
    assert name in settings
    changed = {**settings, name: value}
    return with_settings(json.dumps({k: v for k, v in changed.items() if v is not None}))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (lambda: with_setting("dtype", "foo"), "AttributeError: .*'foo'"),
        (lambda: with_setting("dtype", 32), "TypeError: "),
        (lambda: with_setting("shape", 48), "TypeError: "),
        (lambda: with_setting("nested_offset", "x"), "ValueError: .* 'x'"),
        (lambda: with_setting("nested_offset", float("nan")), "ValueError: nested_offset is nan"),
        (lambda: with_setting("dtype", "nn"), "ValueError: dtype is 'nn'"),
        (lambda: with_setting("nested_offset", 10**400), "OverflowError: "),
        (lambda: with_setting("nested_offset", 1e39), r"ValueError: nested_offset is 1e\+39"),
        *[
            (lambda name=name: with_setting(name, None), f"KeyError: '{name}'")
            for name in ("quant_type", "dtype", "shape", "blocksize", "nested_offset")
        ],
        (lambda: with_settings("garbage"), "JSONDecodeError: "),
        (lambda: with_settings("\xff\xfe"), "UnicodeDecodeError: "),
        (lambda: with_settings("[1, 2]"), "TypeError: "),
    ],
)
def test_damaged_settings_are_one_sentence(
    state: Callable[[], dict[str, Tensor]], reason: str
) -> None:
    message = rf"^the settings in '{KEY}' are damaged \({reason}.*\); save the weight anew$"
    with pytest.raises(ValueError, match=message):
        NF4Tensor.from_state_dict(state())


def test_settings_may_hold_a_mean_that_is_a_whole_number() -> None:
    q = NF4Tensor.from_state_dict(with_setting("nested_offset", 0))
    assert torch.equal(q.parts["absmax_offset"], torch.zeros(()))
    assert q.parts["absmax_offset"].dtype == torch.float32


def test_checkpoint_of_arrays_is_refused() -> None:
    state = {name: part.numpy() for name, part in quantized().state_dict().items()}
    with pytest.raises(TypeError, match=f"{KEY} must be the Tensor .* makes, got ndarray"):
        NF4Tensor.from_state_dict(state)  # type: ignore[arg-type]
