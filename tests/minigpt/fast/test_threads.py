"""minigpt.fast.threads: threads wait briefly unless the environment says otherwise."""

from __future__ import annotations

import pytest

from tests.minigpt.tiny.run import run_python

WHEN_TORCH_IS_LOOKED_FOR = """
import os, sys
class Watch:
    def find_spec(self, name, *_):
        if name == "torch":
            print(os.environ.get("GOMP_SPINCOUNT"))
            sys.exit()
sys.meta_path.insert(0, Watch())
from minigpt.__main__ import main
main()
"""


@pytest.mark.parametrize(("before", "found"), [(None, "10000"), ("77", "77")])
def test_it_is_set_before_torch_is_loaded_unless_it_was_set_already(
    monkeypatch: pytest.MonkeyPatch, before: str | None, found: str
) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    if before is not None:
        monkeypatch.setenv("GOMP_SPINCOUNT", before)
    assert run_python("-c", WHEN_TORCH_IS_LOOKED_FOR, "memory").split()[0] == found
