"""minigpt.layers: a model held in a mode, every module of it."""

from __future__ import annotations

import pytest
from torch import nn

from minigpt.layers import in_mode


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_every_module_gets_the_mode_and_then_its_own_back(training: bool, fails: bool) -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)), nn.Dropout(0.5))
    model[0][1].eval()  # a frozen part, inside one that learns
    before = [module.training for module in model.modules()]
    assert before == [True, True, True, False, True]
    try:
        with in_mode(model, training):
            assert [module.training for module in model.modules()] == 5 * [training]
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    assert [module.training for module in model.modules()] == before
