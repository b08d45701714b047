"""What does not fit into this machine is refused before it is begun, or ends in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from minigpt import device
from minigpt.command.cli import main
from minigpt.device import check_room, free_memory


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("Some words to learn from.\n\n" * 400)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert main(list(command)) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    return said.err


TRAIN = ["train", "--data", "text.txt", "--device", "cpu", "--out", "run"]
LORA = ["finetune", "--device", "cpu", "--out", "run", "--method"]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ([*TRAIN, "--n-embd", "400000"], "training 9,601,767,600,000 parameters with a model of"),
        ([*TRAIN, "--batch-size", "100000000"], "a batch of 100,000,000 rows of 256 tokens takes"),
        ([*TRAIN, "--block-size", "90000000"], "on 16 rows of 90,000,000 tokens at once, takes"),
        ([*TRAIN, "--n-layer", "9999", "--n-embd", "9000"], "GB of memory, of which cpu has"),
        ([*TRAIN, "--n-layer", "1000000000"], "n_layer must be at most 10,000, got 1000000000"),
        ([*LORA, "bottleneck", "--bottleneck", "50000000"], "take a smaller --bottleneck"),
        ([*LORA, "full", "--micro-batch-size", "400", "--batch-size", "999999999"], "a batch of"),
        (["bench", "qlora", "--device", "cpu", "--batch", "99999999"], "the step of bench qlora"),
    ],
)
def test_a_step_without_memory_for_it_is_refused_before_anything_is_read(
    desk: Path, capsys: pytest.CaptureFixture[str], command: list[str], reason: str
) -> None:
    assert reason in refused(capsys, *command)
    assert [path.name for path in desk.iterdir()] == ["text.txt"]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 7.28 TiB for an array with shape (10, 10)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: not enough memory: "
                     "you tried to allocate 40 bytes.\nAnother line."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    ],
    ids=range(5),
)  # fmt: skip
def test_running_out_of_memory_ends_in_one_sentence_that_says_what_to_make_smaller(
    desk: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("minigpt.text.documents.divide", fail)
    said = refused(capsys, *TRAIN)
    assert said.startswith("minigpt: there is not enough memory (")
    assert said.endswith("take a smaller --micro-batch-size, --block-size, --n-embd or --n-layer\n")


def test_other_runtime_errors_are_bugs_and_show_where(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr("minigpt.text.documents.divide", fail)
    with pytest.raises(RuntimeError, match="mat1"):
        main(TRAIN)


MEMINFO = "MemTotal: 16000 kB\nMemFree: 10 kB\nMemAvailable: 8000 kB\nSwapFree: 1000 kB\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/proc/meminfo": MEMINFO}, 9000 * 1024),
        (
            {
                "/proc/meminfo": MEMINFO,
                "/proc/self/cgroup": "0::/a/b\n",
                "/sys/fs/cgroup/a/b/memory.max": "max",
                "/sys/fs/cgroup/a/b/memory.current": "3000000",
                "/sys/fs/cgroup/a/memory.max": "5000000",
                "/sys/fs/cgroup/a/memory.current": "3000000",
                "/sys/fs/cgroup/a/memory.stat": "anon 7\ninactive_file 600000\nactive_file 1\n",
            },
            2_600_001,
        ),
        (
            {
                "/proc/meminfo": MEMINFO,
                "/proc/self/cgroup": "4:memory:/docker/1\n3:cpu:/\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "4000000",
                "/sys/fs/cgroup/memory/memory.usage_in_bytes": "1000000",
            },
            3_000_000,
        ),
    ],
)
def test_free_memory_is_what_machine_and_container_leave(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(device, "system_text", lambda path: files.get(str(path), "").strip())
    assert free_memory() == expected


def test_what_fits_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "free_memory", lambda _: 1000)
    check_room(1000, "a thing", "make it smaller")
    with pytest.raises(ValueError, match=r"a thing takes at least 0\.0 GB .* make it smaller"):
        check_room(1001, "a thing", "make it smaller")
    monkeypatch.setattr(device, "free_memory", lambda _: None)  # nothing says how much there is
    check_room(10**30, "a thing", "make it smaller")
