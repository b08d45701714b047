"""Any text can be printed, whatever the encoding of the terminal; what it lacks becomes `?`."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minigpt.command.cli import main
from minigpt.text.printing import print_any_text, print_at_once
from tests.minigpt.tiny.finetune import make_inputs

TEXTS = {  # as "日本 naïve ½ \U0001f600" stands there
    "ascii": b"?? na?ve ? ?", "cp1252": b"?? na\xefve \xbd ?", "latin-1": b"?? na\xefve \xbd ?",
    "cp437": b"?? na\x8bve \xab ?", "koi8-r": b"?? na?ve ? ?",
    "utf-8": "日本 naïve ½ \U0001f600".encode(),
}  # fmt: skip


def stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n", write_through=True)


def terminal(patch: pytest.MonkeyPatch, encoding: str) -> tuple[io.BytesIO, io.BytesIO]:
    """Makes the standard streams those of a terminal with this encoding; returns what they get."""
    patch.setenv("PYTHONIOENCODING", f"{encoding}:strict")
    streams = [stream(encoding), stream(encoding)]
    patch.setattr(sys, "stdout", streams[0])
    patch.setattr(sys, "stderr", streams[1])
    return streams[0].buffer, streams[1].buffer  # type: ignore[return-value]


@pytest.mark.parametrize("encoding", TEXTS)
def test_what_the_encoding_has_is_written_and_the_rest_is_a_question_mark(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    out, err = terminal(monkeypatch, encoding)
    print_any_text()
    print("日本 naïve ½ \U0001f600")
    print("日本 naïve ½ \U0001f600", file=sys.stderr)
    print("half \ud83d")
    expected = TEXTS[encoding] + b"\n"
    assert out.getvalue() == expected + b"half ?\n"
    assert err.getvalue() == expected
    assert os.environ["PYTHONIOENCODING"] == f"{encoding}:replace"


def test_a_command_goes_on_behind_what_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model, _ = make_inputs(tmp_path)
    command = ["generate", "--model", str(model), "--max-new-tokens", "2", "--device", "cpu"]
    out, err = terminal(monkeypatch, "cp1252")
    assert main([*command, "--prompt", "日本 is"]) == 0
    assert out.getvalue().startswith(b"?? is")
    assert out.getvalue().endswith(b"\n")
    assert main([*command, "--prompt", "a", "--model", "日本"]) == 2
    assert err.getvalue().startswith(b"minigpt: there is no folder ??")
    assert main(["data", "show", "translation", "-n", "40"]) == 0
    assert "é".encode("cp1252") in out.getvalue()


def test_a_process_that_is_started_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal(monkeypatch, "latin-1")
    print_any_text()
    code = "import sys; print('日本 ½'); print('日本 ½', file=sys.stderr)"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, check=True)
    assert done.stdout.split() == [b"??", b"\xbd"]
    assert done.stderr.split()[1] == b"\xbd"  # Python itself says the other two in escapes


@pytest.mark.parametrize("asked", ["", "latin-1"])
def test_a_file_is_written_line_by_line_and_in_utf_8_unless_somebody_wants_it_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: str
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", f"{asked}:replace")
    path = tmp_path / "log"
    with path.open("w", encoding="latin-1", errors="strict", newline="\n") as file:
        monkeypatch.setattr(sys, "stdout", file)
        monkeypatch.setattr(sys, "stderr", file)
        print_at_once()
        print("½ \ud83d" if not asked else "½")
        assert path.read_bytes() == ("½\n".encode("latin-1") if asked else "½ ?\n".encode())


def test_a_terminal_keeps_its_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    screen = Terminal(io.BytesIO(), encoding="cp1252", newline="\n")
    monkeypatch.setattr(sys, "stdout", screen)
    print_at_once()
    print("½")
    assert screen.buffer.getvalue() == b"\xbd\n"


def test_streams_that_are_not_files_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    for other in (io.StringIO(), None):
        monkeypatch.setattr(sys, "stdout", other)
        print_any_text()


def test_closed_streams_lose_what_is_printed_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("a b c\nd e f\n", encoding="utf-8")
    command = ["evaluate", "--predictions", str(words), "--references", str(words)]
    for closed in ("stdout", "stderr"):
        with monkeypatch.context() as patch:
            patch.setattr(sys, closed, None)  # as Python does for `minigpt ... 2>&-`
            assert main(command) == 0  # with a bar of progress
            assert main(["train", "--steps", "0"]) == 2
            assert not getattr(sys, closed).isatty()


def test_a_log_on_a_full_disk_does_not_hide_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    assert main(["train", "--steps", "0"]) == 2
