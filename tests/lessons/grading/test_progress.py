"""What is remembered beside the exercises."""

from __future__ import annotations

from pathlib import Path

import pytest

from lessons.grading.judge import Verdict
from lessons.grading.progress import FILE, is_kept, next_level, read_progress, record


def test_each_question_brings_one_hint_more_up_to_three(tmp_path: Path) -> None:
    folder = tmp_path / "exercises"
    assert [next_level(folder, "8.2") for _ in range(5)] == [1, 2, 3, 3, 3]
    assert next_level(folder, "8.3") == 1
    assert next_level(folder, "8.2", level=1) == 1
    assert next_level(folder, "8.2") == 3  # what was seen stays seen
    with pytest.raises(ValueError, match="level 1 to 3, got 4"):
        next_level(folder, "8.2", level=4)


def test_the_last_status_is_remembered_beside_the_hints(tmp_path: Path) -> None:
    assert not is_kept(tmp_path)
    next_level(tmp_path, "8.2")
    record(tmp_path, [Verdict("8.1", "a", "failed"), Verdict("8.2", "b", "passed")])
    record(tmp_path, [Verdict("8.1", "a", "passed")])
    assert is_kept(tmp_path)
    assert read_progress(tmp_path) == {
        "status": {"8.1": "passed", "8.2": "passed"}, "hints": {"8.2": 1},
    }  # fmt: skip


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"status": 3, "hints": {"8.2": "x"}}', "[" * 10**5, b"\xff",
     '{"status": {"8.1": ["passed"], "8.2": null, "8.3": {}}, "hints": {"8.2": -7}}',
     '{"hints": {"8.2": true}}', '{"hints": {"8.2": 1e400}}',
     f'{{"hints": {{"8.2": {"9" * 5000}}}}}'],
    ids=range(10),
)  # fmt: skip
def test_a_damaged_file_costs_ticks_and_nothing_else(content: str | bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert read_progress(tmp_path)["status"] == {}
    assert next_level(tmp_path, "8.2") == 1
