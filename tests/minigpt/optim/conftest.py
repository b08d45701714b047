"""Parameters on a CPU take the path of those on a GPU."""

from __future__ import annotations

import pytest

from minigpt.optim import paged_adamw


@pytest.fixture
def cut_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets PagedAdamW cut parameters on a CPU into buckets, as it does those on a GPU."""
    monkeypatch.setattr(paged_adamw, "is_paged", lambda parameter: True)
