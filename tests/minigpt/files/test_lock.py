"""One writer in a folder: a lock that the system lets go of when its process is killed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minigpt.files.adapter_folder import write_folder
from minigpt.files.lock import LOCK, held
from minigpt.files.tensors import read_tensors
from minigpt.pretrained.folders import save_gpt2
from minigpt.training.loop import train
from tests.minigpt.tiny.gpt2 import ours
from tests.minigpt.tiny.run import TinyData, tiny_config, tiny_model

BUSY = "another run is writing to {}; wait until it has ended, or choose another folder"
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@contextmanager
def another_process_in(folder: Path) -> Iterator[int]:
    """Lets a fork hold the folder during a with-block, and then kills it with SIGKILL."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        with held(folder):
            os.write(writing, b"held")
            signal.pause()
        os._exit(1)
    assert os.read(reading, 4) == b"held"
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@needs_fork
def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    writers: list[Callable[[], object]] = [
        lambda: train(tiny_model(), TinyData(), tiny_config(out_dir=tmp_path, max_steps=5)),
        lambda: save_gpt2(ours(), tmp_path / "model"),
        lambda: write_folder(tmp_path / "adapter", {}, {}),
    ]
    for folder, write in zip(
        (tmp_path, tmp_path / "model", tmp_path / "adapter"), writers, strict=True
    ):
        with another_process_in(folder):
            with pytest.raises(ValueError) as refused:  # noqa: PT011 (the sentence is compared)
                write()
            assert str(refused.value) == BUSY.format(folder)
            assert os.listdir(folder) == [LOCK]
        write()  # although the file of the killed one is still there
        assert not (folder / LOCK).exists()


def test_another_thread_is_refused_and_the_same_one_may_ask_again(tmp_path: Path) -> None:
    said: list[str] = []

    def ask() -> None:
        try:
            with held(tmp_path):
                said.append("free")
        except ValueError as error:
            said.append(str(error))

    def ask_in_a_thread() -> None:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()

    with held(tmp_path), held(tmp_path / "." / "x" / ".."):
        ask_in_a_thread()
        ask()
    ask_in_a_thread()
    assert said == [BUSY.format(tmp_path), "free", "free"]
    assert os.listdir(tmp_path) == []


def test_a_system_that_removes_no_open_file_keeps_no_lock_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    os_open, os_close, os_unlink = os.open, os.close, os.unlink

    def open_and_note(*arguments: object) -> int:
        opened.append(os_open(*arguments))  # type: ignore[arg-type]
        return opened[-1]

    def close_and_note(number: int) -> None:
        opened.remove(number)
        os_close(number)

    def unlink_if_closed(path: str) -> None:
        if opened:
            raise PermissionError(13, "the process cannot access the file")
        os_unlink(path)

    with monkeypatch.context() as windows:
        windows.setattr(os, "open", open_and_note)
        windows.setattr(os, "close", close_and_note)
        windows.setattr(os, "unlink", unlink_if_closed)
        with held(tmp_path / "a"):
            assert len(opened) == 1
    assert os.listdir(tmp_path) == []


@needs_fork
def test_a_fork_does_not_inherit_the_folder(tmp_path: Path) -> None:
    with held(tmp_path):
        if (child := os.fork()) == 0:
            try:
                with held(tmp_path):
                    os._exit(3)
            except ValueError:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert (tmp_path / LOCK).exists()


def test_folders_that_stay_empty_go_again(tmp_path: Path) -> None:
    with held(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert os.listdir(tmp_path) == []
    with held(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "file").touch()
    assert os.listdir(tmp_path / "a" / "b") == ["file"]


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OSError, match=f"cannot write to {tmp_path / 'file' / 'x'}: Not a directory"),
        held(tmp_path / "file" / "x"),
    ):
        pass


@pytest.mark.parametrize("name", ["\udcff", "run/\udc80\udcfe"])
def test_a_folder_from_which_nothing_could_be_read_again_is_refused(
    tmp_path: Path, name: str
) -> None:
    for write in (
        lambda: train(tiny_model(), TinyData(), tiny_config(out_dir=tmp_path / name)),
        lambda: save_gpt2(ours(), tmp_path / name),
    ):
        with pytest.raises(ValueError, match="is not in UTF-8, and no tensors can be read from"):
            write()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "\udcff").mkdir()
    with pytest.raises(ValueError, match="is not in UTF-8"):
        list(read_tensors(tmp_path / "\udcff" / "model.safetensors"))
