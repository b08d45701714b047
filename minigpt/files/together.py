"""Several files of a folder that change together, at whatever moment the process is killed.

    FOLDER/new-files.tmp/    the new files are written here,
    FOLDER/new-files/        which gets this name once all of them are whole;
    FOLDER/                  then they take their places, and new-files goes

A folder has a file without which no reader looks at the others, its key: config.json for a model,
adapter_config.json for an adapter. The old key goes before anything else is touched and the new one
comes last. Between the two the files in new-files count, which is the rule of `newest`. Hence a
reader finds all of the old or all of the new. Programs that do not know the rule miss the key in
between, and refuse; they too never mix the two.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from minigpt.files.atomic import reason_of, to_disk
from minigpt.files.lock import held

NEW = "new-files"


def newest(folder: Path, key: str) -> Path:
    """Returns where the files of folder are to be read: there, or in the new files of a save."""
    new = folder / NEW
    return new if new.is_dir() and not (folder / key).exists() else folder


def replace_together(
    folder: Path,
    key: str,
    write: Callable[[Path], object],
    obsolete: Callable[[str], bool] = lambda name: False,
) -> None:
    """Puts the files that write(another folder) makes into folder, all of them or none.

    Args:
        key: the name of the file that write makes and that no reader does without.
        obsolete: tells by its name whether a file that is not written anew goes.

    Raises:
        ValueError: another process is writing to folder.
        OSError: the disk is full or may not be written to; what was there before is kept.
    """
    with held(folder):
        new, workshop = folder / NEW, folder / f"{NEW}.tmp"
        if newest(folder, key) == new:  # left by a process that was killed
            _move_up(folder, key, obsolete)
        try:
            for leftover in (new, workshop):
                shutil.rmtree(leftover, ignore_errors=True)
            workshop.mkdir()
            write(workshop)
            for path in workshop.iterdir():
                if (folder / path.name).is_dir():
                    raise OSError(f"{path.name} there is a folder, and not a file")
                os.chmod(path, workshop.stat().st_mode & 0o666)  # safetensors makes them private
                to_disk(path)
            to_disk(workshop)
            os.replace(workshop, new)
            to_disk(folder)
        except (OSError, SafetensorError) as error:
            raise OSError(
                f"could not write to {folder}: {reason_of(error)}; what was there before is kept"
            ) from error
        finally:
            shutil.rmtree(workshop, ignore_errors=True)
        _move_up(folder, key, obsolete)


def _move_up(folder: Path, key: str, obsolete: Callable[[str], bool]) -> None:
    """Lets the files in new-files take their places in folder."""
    new = folder / NEW
    names = sorted(os.listdir(new), key=lambda name: (name == key, name))  # the key is last
    changed = [name for name in names if not _same(folder / name, new / name)]
    others = (name for name in os.listdir(folder) if name not in names)
    gone = [name for name in others if obsolete(name) and not (folder / name).is_dir()]
    try:
        if len(changed) + len(gone) > 1 and (folder / key).exists():
            os.unlink(folder / key)  # from here on the new files count
            changed = [name for name in changed if name != key] + [key]
            to_disk(folder)
        for name in changed:
            if name == key:
                for other in gone:
                    os.unlink(folder / other)
                gone = []
                to_disk(folder)
            _copy(new / name, folder / name)
        for other in gone:
            os.unlink(folder / other)
        to_disk(folder)
        os.replace(new, folder / f"{NEW}.tmp")
    except OSError as error:
        raise OSError(
            f"could not write to {folder}: {reason_of(error)}; the new files are in {new}"
        ) from error
    shutil.rmtree(folder / f"{NEW}.tmp", ignore_errors=True)


def _same(a: Path, b: Path) -> bool:
    filecmp.clear_cache()  # it would trust the time of the last change
    return a.is_file() and filecmp.cmp(a, b, shallow=False)


def _copy(source: Path, target: Path) -> None:
    """Gives source a second name, target, in a single step for every reader."""
    beside = target.with_name(target.name + ".second")
    beside.unlink(missing_ok=True)
    try:
        os.link(source, beside)
    except OSError:  # the file system has no second names
        shutil.copy2(source, beside)
        to_disk(beside)
    os.replace(beside, target)
