"""Only files are written: what is a pipe, a device or a folder stays what it is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from minigpt.files.atomic import write_text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
def test_a_file_does_not_take_the_place_of_something_else(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    os.symlink("/dev/full", tmp_path / "full")
    for name, what in (("fifo", "a pipe"), ("folder", "a folder"), ("full", "a pipe or a device")):
        before = os.lstat(tmp_path / name).st_mode
        with pytest.raises(OSError, match=f"could not write .*{name}: it is {what}"):
            write_text(tmp_path / name, "text")
        assert os.lstat(tmp_path / name).st_mode == before
    with pytest.raises(OSError, match="could not write /dev/null: it is a pipe or a device"):
        write_text(Path("/dev/null"), "text")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fifo", "folder", "full"]
