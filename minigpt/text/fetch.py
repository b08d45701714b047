"""Fetches public data sets from the internet: `minigpt data fetch NAME`.

    folder = fetch("shakespeare")          # runs/data/shakespeare/input.txt

Nothing in the course needs them. A download that was cut off is continued where it stopped. A file
gets its name only after it has passed its checks (size, checksum, records), so a file that exists
is right. Copies from another machine pass the same checks: `source=PATH`.
"""

import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from minigpt.files.atomic import reason_of
from minigpt.files.lock import held
from minigpt.files.model_files import ADAPTER, MODEL, OTHER_WEIGHTS, matching
from minigpt.text.bars import progress_bar
from minigpt.text.data_sets import DATASETS, FETCHED, RemoteFile
from minigpt.text.decoding import CHUNK
from minigpt.text.records import read_records
from minigpt.text.template import named_field

TIMEOUT = 30  # seconds without an answer from the server


def fetch(
    name: str,
    folder: str | Path | None = None,
    source: str | Path | None = None,
    *,
    datasets: Mapping[str, Sequence[RemoteFile]] = DATASETS,
    progress: bool = True,
) -> Path:
    """Downloads the files of `name` that are not there yet, and returns the folder they are in.

    Args:
        name: "shakespeare", "dialogsum", "multi30k", "e2e" or "gpt2".
        folder: the folder to download into; None is `runs/data/NAME`.
        source: a file or folder to copy from instead of downloading. A file is recognised by its
            name; of a folder that lacks some files of the set, the others are copied.
        datasets: the data sets that can be fetched.
        progress: show a progress bar.

    Raises:
        ValueError: the name is unknown, a file fails its checks (it is not kept), or a model would
            get among the files of another.
        FileNotFoundError: `source` holds none of the files.
        ConnectionError: there is no network, or the server does not send the file; the error says
            what to do by hand.
    """
    if name not in datasets:
        raise ValueError(f"no data set is called {name!r}; there are {', '.join(datasets)}")
    folder = FETCHED / name if folder is None else Path(folder)
    keep_models(folder, datasets[name])
    if source is not None:
        local_copies = find_copies(name, Path(source), datasets[name])
        for file, path in local_copies.items():
            check(path, file)
        with held(folder):
            for file, path in local_copies.items():
                copy(path, folder / file.name)
        return folder
    missing = [file for file in datasets[name] if not is_right(folder / file.name, file)]
    if missing:
        with held(folder):
            for file in missing:
                by_hand = (
                    f"To do it by hand, download {file.url} with another program or on another "
                    f"machine, then run: minigpt data fetch {name} --from PATH (or put it at "
                    f"{folder / file.name})."
                )
                download(file, folder / file.name, by_hand, progress)
    return folder


def keep_models(folder: Path, files: Sequence[RemoteFile]) -> None:
    """Raises ValueError if files are those of a model, and folder holds another one."""
    wanted = {file.name: file for file in files}
    if not any(MODEL.fullmatch(name) for name in wanted):
        return
    for name in matching(folder, MODEL, OTHER_WEIGHTS, ADAPTER):
        if name not in wanted or not is_right(folder / name, wanted[name]):
            raise ValueError(f"{folder} holds another model ({name}); choose another folder")


def find_copies(name: str, source: Path, files: Sequence[RemoteFile]) -> dict[RemoteFile, Path]:
    """Finds the files of the set in `source`, a folder or a single file."""
    if not source.exists():
        raise FileNotFoundError(f"cannot copy from {source}: there is no such file or folder")
    expected = " and ".join(file.name for file in files)
    if source.is_file():
        if len(files) == 1:
            return {files[0]: source}
        found = {file: source for file in files if source.name in file.names}
        if not found:
            raise ValueError(
                f"{source.name} is not the name of a file of {name}; give {expected}, or the "
                "folder they are in"
            )
        return found
    found = {}
    for file in files:
        candidates = [source / known for known in sorted(file.names) if (source / known).is_file()]
        if candidates:
            found[file] = candidates[0]
    if not found:
        names = " or ".join(sorted(set().union(*(file.names for file in files))))
        raise FileNotFoundError(f"{source} has no file {names}: {name} is {expected}")
    return found


def missing_files(name: str, folder: Path) -> list[RemoteFile]:
    """Returns the files of a set that are not in folder."""
    return [file for file in DATASETS[name] if not (folder / file.name).is_file()]


def check(path: Path, file: RemoteFile) -> None:
    """Raises ValueError unless the file at `path` has the right size, checksum and records."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        raise ValueError(f"{path} has {size} bytes, but {file.name} should have {file.size}")
    if file.sha256 is not None:
        digest = sha256_of(path)
        if digest != file.sha256:
            raise ValueError(
                f"{path} is not the file it should be: its SHA-256 is {digest}, expected "
                f"{file.sha256}"
            )
    if file.records is not None:
        n_records = 0
        fields = [named_field(field) for field in file.fields]
        for record in read_records(path, file.fields):
            n_records += 1
            for field in fields:
                with record.blamed():
                    field.text_in(record)
        if n_records != file.records:
            raise ValueError(f"{path} has {n_records} records, but {file.records} are expected")


def is_right(path: Path, file: RemoteFile) -> bool:
    """Returns whether the file exists and passes its checks."""
    try:
        check(path, file)
    except (FileNotFoundError, ValueError):
        return False
    return True


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    sha256 = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            sha256.update(chunk)
    return sha256.hexdigest()


def copy(path: Path, target: Path) -> None:
    """Copies a file; `target` appears complete or not at all."""
    if target.exists() and path.samefile(target):
        return
    temporary = target.with_name(target.name + ".copy")
    try:
        shutil.copyfile(path, temporary)
        os.replace(temporary, target)
    except OSError as error:
        raise OSError(f"could not copy {path} to {target}: {reason_of(error)}") from None
    finally:
        temporary.unlink(missing_ok=True)


def download(file: RemoteFile, target: Path, by_hand: str, progress: bool) -> None:
    """Downloads into `target.part`, after the bytes it already has, and renames it once checked.

    A part that fails its checks is deleted. One that is merely incomplete stays, to be continued.
    """
    part = target.with_name(target.name + ".part")
    try:
        receive(file, part, progress)
    except urllib.error.HTTPError as error:
        raise ConnectionError(
            f"the server answers {error.code} {error.reason} to the request for {file.name}. "
            f"{by_hand}"
        ) from None
    except (
        urllib.error.URLError,
        http.client.HTTPException,
        ConnectionError,
        TimeoutError,
    ) as error:
        reason = reason_of(getattr(error, "reason", None) or error)
        have = part.stat().st_size if part.exists() else 0
        resume = f" {have} bytes are here; the same command goes on from there." if have else ""
        raise ConnectionError(
            f"cannot download {file.name} from {urlsplit(file.url).hostname} ({reason}).{resume} "
            f"{by_hand}"
        ) from None
    except OSError as error:
        raise OSError(f"could not write {part}: {reason_of(error)}") from None
    try:
        check(part, file)
    except ValueError as error:
        part.unlink()
        raise ValueError(f"{error}. The download has been deleted. {by_hand}") from None
    os.replace(part, target)


def receive(file: RemoteFile, part: Path, progress: bool) -> None:
    """Appends to `part` what is missing, or starts again if the server cannot resume.

    The header `Range: bytes=N-` asks for the rest (RFC 9110, section 14). A server that supports it
    answers 206 and sends the rest; one that does not answers 200 and sends everything. 416 means
    that nothing follows byte N, so those N bytes belong to something else.
    """
    have = part.stat().st_size if part.exists() else 0
    if have and have == file.size:
        return
    try:
        response = request(file.url, have)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        response = request(file.url, 0)
    with response:
        have = have if response.status == 206 else 0
        coming = int(response.headers.get("Content-Length") or 0)  # 0: the server does not say
        free = shutil.disk_usage(part.parent).free
        if free < coming:
            raise OSError(
                f"{file.name} needs {coming / 1e6:.0f} MB more, but only {free / 1e6:.0f} MB are "
                f"free in {part.parent}"
            )
        bar = progress_bar(
            have + coming or None, "B", file.name, done=have, show=progress, scale=True
        )
        received = 0
        with bar as advance, part.open("ab" if have else "wb") as stream:
            while chunk := response.read(CHUNK):
                stream.write(chunk)
                received += len(chunk)
                advance(len(chunk))
    if received < coming:
        raise ConnectionError(f"the connection was cut after {received} of {coming} bytes")


def request(url: str, start: int) -> Any:
    """Requests the bytes of `url` from `start` on, and returns the server's answer."""
    headers = {"User-Agent": "minigpt"} | ({"Range": f"bytes={start}-"} if start else {})
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
