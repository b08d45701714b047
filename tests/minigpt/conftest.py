"""Provides what several test files need: a run to compare theirs with, small switches, Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from minigpt.bench import choices
from minigpt.config import GPTConfig
from minigpt.fast import linear, measured, one_token
from minigpt.training.loop import train
from minigpt.training.result import TrainResult
from tests.minigpt.tiny.run import TinyData, tiny_config, tiny_model


@pytest.fixture(scope="session")
def uninterrupted() -> TrainResult:
    """Returns what tiny_run's model learns when nothing stops it."""
    return train(tiny_model(), TinyData(), tiny_config())


@pytest.fixture
def _small_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves one small width, a small model and no other rows, with nothing chosen yet."""
    monkeypatch.setattr(measured, "MADE", {})
    monkeypatch.setattr(linear, "ONE_ROW", {})
    monkeypatch.setattr(one_token, "CHOSEN", {})
    monkeypatch.setattr(choices, "WIDTHS", (128,))
    monkeypatch.setattr(choices, "LARGE_ENOUGH", GPTConfig(n_layer=1, n_head=1, n_embd=8))
    monkeypatch.setattr(choices, "always", lambda: iter(()))


@pytest.fixture
def _ctrl_c_interrupts() -> Iterator[None]:
    """Restores Python's answer to Ctrl-C, which a shell lets background jobs ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
