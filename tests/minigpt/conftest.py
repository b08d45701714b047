"""Provides the run that several test files compare theirs with."""

from __future__ import annotations

import pytest

from minigpt.training.loop import train
from minigpt.training.result import TrainResult
from tests.minigpt.tiny.run import TinyData, tiny_config, tiny_model


@pytest.fixture(scope="session")
def uninterrupted() -> TrainResult:
    """Returns what tiny_run's model learns when nothing stops it."""
    return train(tiny_model(), TinyData(), tiny_config())
