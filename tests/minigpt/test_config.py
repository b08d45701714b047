"""GPTConfig refuses what cannot be built, and its arithmetic agrees with built models."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt.config import PRESETS, GPTConfig, count_parameters
from minigpt.model import GPT


def built_parameters(config: GPTConfig) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in GPT(config).parameters())


@pytest.mark.parametrize("name", ["gpt2", "gpt2-medium", "gpt2-xl", "gpt3-small", "gpt3-xl"])
def test_preset_counts_agree_with_the_built_model(name: str) -> None:
    config = GPTConfig.preset(name)
    assert count_parameters(config) == built_parameters(config)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 90), st.integers(1, 40), st.integers(1, 4), st.integers(1, 4),
    st.integers(1, 9), st.booleans(),
)  # fmt: skip
def test_count_agrees_with_any_built_model(
    vocab_size: int, block_size: int, n_layer: int, n_head: int, head_size: int, bias: bool
) -> None:
    config = GPTConfig(vocab_size, block_size, n_layer, n_head, n_head * head_size, bias=bias)
    assert count_parameters(config) == built_parameters(config)
    assert config.head_size == head_size


def test_published_sizes_of_gpt2() -> None:
    # The sizes that transformers reports for OpenAI's released weights.
    sizes = {"gpt2": 124_439_808, "gpt2-medium": 354_823_168, "gpt2-large": 774_030_080}
    sizes["gpt2-xl"] = 1_557_611_200
    assert {name: count_parameters(GPTConfig.preset(name)) for name in sizes} == sizes


def test_gpt3_175b_counts_to_its_name() -> None:
    assert round(count_parameters(GPTConfig.preset("gpt3-175b")) / 1e9) == 175


def test_there_are_four_gpt2s_and_eight_gpt3s() -> None:
    families = [name.split("-")[0] for name in PRESETS]
    assert (families.count("gpt2"), families.count("gpt3"), len(PRESETS)) == (4, 8, 12)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"n_embd": 100, "n_head": 12}, "n_embd=100 and n_head=12; the nearest n_head that fits"),
        ({"n_layer": 0}, "n_layer must be a whole number of at least 1, got 0"),
        ({"vocab_size": 5.0}, "vocab_size must be a whole number of at least 1, got 5.0"),
        ({"block_size": True}, "block_size must be a whole number of at least 1, got True"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"dropout": -0.1}, "dropout must be at least 0 and below 1, got -0.1"),
    ],
)
def test_sizes_that_cannot_be_are_refused(arguments: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        GPTConfig(**arguments)


def test_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"no preset is called 'gpt4'; there are gpt2, .*gpt3-175b"
    ):
        GPTConfig.preset("gpt4")


def test_config_is_frozen() -> None:
    with pytest.raises(AttributeError):
        GPTConfig().n_layer = 3  # type: ignore[misc]
