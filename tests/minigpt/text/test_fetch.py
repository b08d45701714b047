"""Downloads from a server on this machine that cuts connections, lies, and knows no Range."""

import hashlib
import json
import re
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest

from minigpt.command.cli import main
from minigpt.files.lock import held
from minigpt.text import fetch as fetch_module
from minigpt.text.data_sets import DATASETS, TERMS, RemoteFile
from minigpt.text.fetch import fetch, missing_files
from minigpt.text.records import read_records

CONTENT = np.random.default_rng(0).bytes(700_000)


class Server(ThreadingHTTPServer):
    """Serves `content` at every path but /missing and keeps what it was asked for."""

    content = CONTENT
    knows_range = True
    cut_after: int | None = None  # bytes of a body after which the connection is closed

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path == "/missing":
            return self.send_error(404)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/thing")
            return self.end_headers()
        asked = self.headers["Range"]
        self.server.ranges.append(asked)
        start = 0
        if asked and self.server.knows_range:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(self.server.content):
                return self.send_error(416)
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return self.wfile.write(body[: self.server.cut_after])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    server = Server()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def described(server: Server, path: str = "/thing", **known) -> dict[str, list[RemoteFile]]:
    """Returns a table with a set of one file, which has the SHA-256 of CONTENT unless given."""
    known = known or {"size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
    return {"thing": [RemoteFile("thing.bin", server.url + path, **known)]}


def get(folder: Path, datasets: dict, **more) -> bytes:
    returned = fetch("thing", folder, datasets=datasets, progress=False, **more)
    assert returned == folder
    assert [path.name for path in folder.iterdir()] == ["thing.bin"]  # nothing else is left
    return (folder / "thing.bin").read_bytes()


@pytest.mark.parametrize("path", ["/thing", "/moved"])
def test_download_arrives_and_is_not_repeated(server: Server, tmp_path: Path, path: str) -> None:
    datasets = described(server, path)
    assert get(tmp_path / "new" / "folder", datasets) == CONTENT
    assert get(tmp_path / "new" / "folder", datasets) == CONTENT
    assert server.ranges == [None]


def test_damaged_file_is_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "thing.bin").write_bytes(CONTENT[:-1] + b"?")
    assert get(tmp_path, described(server)) == CONTENT


@pytest.mark.parametrize("knows_range", [True, False])
def test_cut_download_goes_on_where_it_stopped(
    server: Server, tmp_path: Path, knows_range: bool
) -> None:
    server.knows_range = knows_range
    server.cut_after = 300_000
    with pytest.raises(ConnectionError, match=r"cut after 300000 of 700000 bytes.* goes on from"):
        get(tmp_path, described(server))
    assert (tmp_path / "thing.bin.part").read_bytes() == CONTENT[:300_000]
    assert not (tmp_path / "thing.bin").exists()
    server.cut_after = None
    assert get(tmp_path, described(server)) == CONTENT
    assert server.ranges == [None, "bytes=300000-"]


def test_complete_part_is_only_checked(server: Server, tmp_path: Path) -> None:
    (tmp_path / "thing.bin.part").write_bytes(CONTENT)
    assert get(tmp_path, described(server)) == CONTENT
    assert server.ranges == []


def test_part_longer_than_the_file_is_started_afresh(server: Server, tmp_path: Path) -> None:
    (tmp_path / "thing.bin.part").write_bytes(CONTENT + b"more")
    assert get(tmp_path, described(server)) == CONTENT
    assert server.ranges == ["bytes=700004-", None]


def test_wrong_checksum_is_said_and_the_download_deleted(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"?"
    wrong = hashlib.sha256(server.content).hexdigest()
    right = hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(ValueError, match=f"SHA-256 is {wrong}, expected {right}.*been deleted"):
        get(tmp_path, described(server))
    assert list(tmp_path.iterdir()) == []
    server.content = b"<html>Please log in to the wireless network</html>"
    with pytest.raises(ValueError, match=r"has 50 bytes, but thing.bin should have 700000"):
        get(tmp_path, described(server))
    assert list(tmp_path.iterdir()) == []


def test_damaged_part_does_not_survive(server: Server, tmp_path: Path) -> None:
    (tmp_path / "thing.bin.part").write_bytes(b"x" * 1000)
    with pytest.raises(ValueError, match="not the file it should be"):
        get(tmp_path, described(server))
    assert get(tmp_path, described(server)) == CONTENT


def test_missing_file_names_the_answer_and_the_address(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError) as error:
        get(tmp_path, described(server, "/missing"))
    assert "answers 404 Not Found" in str(error.value)
    assert f"{server.url}/missing" in str(error.value)
    assert "\n" not in str(error.value)


def test_without_a_network_the_error_says_what_to_do_by_hand(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as unused:  # bound but not listening: the port refuses connections
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ConnectionError) as error:
            get(tmp_path, described(SimpleNamespace(url=url)))
    said = str(error.value)
    assert "cannot download thing.bin from 127.0.0.1" in said
    assert "refused" in said
    assert "Errno" not in said
    assert f"download {url}/thing" in said
    assert "minigpt data fetch thing --from PATH" in said
    assert str(tmp_path / "thing.bin") in said
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_noticed_before_writing(server: Server, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=200_000))
    with pytest.raises(OSError, match=r"needs 1 MB more, but only 0 MB are free"):
        get(tmp_path, described(server))
    assert list(tmp_path.iterdir()) == []


def test_files_without_a_checksum_are_counted(server: Server, tmp_path: Path) -> None:
    def lines(n: int, field: str = "text") -> bytes:
        return "".join(json.dumps({field: f"number {i}"}) + "\n" for i in range(n)).encode()

    datasets = described(server, records=5, fields=("text",))
    for content, message in (
        (lines(4), "has 4 records, but 5 are expected"),
        (lines(5, "txt"), 'line 1: no text in the field "text"'),
        (lines(5)[:-3], "line 5: not valid JSON"),
        (b"", "is empty"),
    ):
        server.content = content
        with pytest.raises(ValueError, match=message):
            get(tmp_path, datasets)
    server.content = lines(5)
    assert get(tmp_path, datasets) == lines(5)
    assert get(tmp_path, datasets) == lines(5)
    assert len(server.ranges) == 5


def test_local_copy_is_checked_and_copied(server: Server, tmp_path: Path) -> None:
    datasets = described(server)
    stick = tmp_path / "stick"
    stick.mkdir()
    any_name = stick / "any name.dat"
    any_name.write_bytes(CONTENT)
    assert get(tmp_path / "a", datasets, source=any_name) == CONTENT
    with pytest.raises(FileNotFoundError, match=r"has no file thing or thing.bin"):
        get(tmp_path / "b", datasets, source=stick)
    any_name.rename(stick / "thing")  # the name it has in the address
    assert get(tmp_path / "b", datasets, source=stick) == CONTENT
    assert get(tmp_path / "b", datasets, source=tmp_path / "b") == CONTENT
    (stick / "thing").write_bytes(CONTENT[:-1])
    with pytest.raises(ValueError, match="has 699999 bytes"):
        get(tmp_path / "c", datasets, source=stick)
    assert not (tmp_path / "c").exists()
    with pytest.raises(FileNotFoundError, match="there is no such file or folder"):
        get(tmp_path / "c", datasets, source=tmp_path / "nothing")
    assert server.ranges == []


def test_one_file_of_a_set_can_be_brought_alone(tmp_path: Path) -> None:
    parts = [
        RemoteFile(name, f"http://127.0.0.1:9/{name}", sha256=hashlib.sha256(data).hexdigest())
        for name, data in (("a.txt", b"A"), ("b.txt", b"B"))
    ]
    (tmp_path / "b.txt").write_bytes(b"B")
    for source in (tmp_path / "b.txt", tmp_path):
        fetch("pair", tmp_path / "to" / "it", source, datasets={"pair": parts})
        assert [path.name for path in (tmp_path / "to" / "it").iterdir()] == ["b.txt"]
    (tmp_path / "other.txt").write_bytes(b"B")
    with pytest.raises(
        ValueError, match=r"other.txt is not .* give a.txt and b.txt, or the folder"
    ):
        fetch("pair", tmp_path / "to", tmp_path / "other.txt", datasets={"pair": parts})


def test_interrupted_copy_leaves_nothing(server: Server, tmp_path: Path, monkeypatch) -> None:
    def half(source: Path, target: Path) -> None:
        Path(target).write_bytes(CONTENT[:1000])
        raise KeyboardInterrupt

    (tmp_path / "thing").write_bytes(CONTENT)
    monkeypatch.setattr(fetch_module.shutil, "copyfile", half)
    with pytest.raises(KeyboardInterrupt):
        get(tmp_path / "to", described(server), source=tmp_path / "thing")
    assert not (tmp_path / "to").exists()


def test_a_refused_copy_and_a_failed_download_leave_no_folder(tmp_path: Path) -> None:
    files = [RemoteFile("a.txt", "http://127.0.0.1:9/a.txt", 1), RemoteFile("b.txt", "", 5)]
    for name in ("a.txt", "b.txt"):  # the second has another size
        (tmp_path / name).write_text("x", encoding="utf-8")
    with pytest.raises(ValueError, match=r"1 bytes, but b\.txt should have 5"):
        fetch("set", tmp_path / "new/deep", tmp_path, datasets={"set": files})
    with pytest.raises(ConnectionError):
        fetch("set", tmp_path / "new/deep", datasets={"set": files}, progress=False)
    assert not (tmp_path / "new").exists()


def test_two_that_fetch_into_one_folder_do_not_mix_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x", encoding="utf-8")
    sets = {"set": [RemoteFile("a.txt", "", 1)]}
    with ThreadPoolExecutor(1) as other, held(tmp_path / "new"):
        done = other.submit(fetch, "set", tmp_path / "new", tmp_path / "a.txt", datasets=sets)
        with pytest.raises(ValueError, match="another run is writing to"):
            done.result()


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(
        ValueError, match="'imagenet'; there are shakespeare, dialogsum, multi30k, e2e, gpt2"
    ):
        fetch("imagenet")


def test_every_published_address_is_encrypted_and_every_file_can_be_recognised() -> None:
    assert TERMS.keys() == DATASETS.keys()
    for files in DATASETS.values():
        for file in files:
            assert file.url.startswith("https://")
            assert re.fullmatch(r"[0-9a-f]{64}", file.sha256 or "") or file.records


def test_real_files_pass_their_checks(
    shared_data: Path, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = fetch("shakespeare", source=shared_data / "tinyshakespeare")
    assert folder == Path("runs/data/shakespeare")
    assert (folder / "input.txt").read_bytes().startswith(b"First Citizen:\nBefore we proceed")
    folder = fetch("dialogsum", source=shared_data / "dialogsum" / "dev.jsonl")
    assert len((folder / "dev.jsonl").read_text("utf-8").splitlines()) == 500
    folder = fetch("multi30k", source=shared_data / "multi30k")
    assert [file.name for file in missing_files("multi30k", folder)] == []
    assert (
        len(list(read_records([folder / f"train.{x}.gz" for x in ("en", "fr")], ["en"]))) == 29_000
    )
    assert main(["data", "fetch", "e2e", "--from", str(shared_data / "e2e")]) == 0
    printed = capsys.readouterr().out
    assert "licence CC BY-SA 4.0" in printed
    assert "has no trainset.csv, which is at https://" in printed
    test = list(read_records(Path("runs/data/e2e/testset_w_refs.csv"), ["mr", "ref"]))
    assert (len(test), len({record["mr"] for record in test})) == (4693, 630)
