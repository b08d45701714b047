"""minigpt.fast.c_library: what a compiler makes is used if it can be called, and leaves nothing."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from minigpt.fast import c_library

needs_cc = pytest.mark.skipif(
    c_library.compiled() is None, reason="needs a C compiler with OpenMP, such as gcc"
)


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets the compiler be called again, in the test and after it."""
    c_library.compiled.cache_clear()
    yield
    monkeypatch.undo()
    c_library.compiled.cache_clear()


@needs_cc
def test_the_source_compiles_without_a_warning(tmp_path: Path) -> None:
    strict = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]
    file = str(tmp_path / "library")
    command = ["cc", *c_library.FLAGS, *strict, str(c_library.SOURCE), "-o", file, "-lm"]
    subprocess.run(command, check=True)


@needs_cc
def test_the_compiler_is_the_one_in_cc_and_leaves_nothing_behind(
    anew: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, compiler, folder = (tmp_path / name for name in ("log", "compiler", "temporary"))
    compiler.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec cc "$@"\n')
    compiler.chmod(0o755)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("CC", f"{compiler} -O1")
    for _ in range(2):
        assert c_library.compiled() is not None
    assert len(log.read_text().splitlines()) == 1
    assert log.read_text().startswith("-O1 ")
    assert not list(folder.iterdir())


LAST = "for file; do previous=$last; last=$file; done; file=$previous"  # the file to write
WITHOUT = {
    "compiler": "/no/such/compiler",
    "closing quote": '"cc',
    "success": "false",
    "permission to run it": "/",
    "library": "true",
    "functions": "cc -fvisibility=hidden",
    "meaning": f"sh -c '{LAST}; echo nonsense > $file' sh",
    "end": "sh -c 'sleep 60'",
    "end of what it starts": "sh -c 'sleep 60 & sleep 60 & wait'",
}


@pytest.mark.parametrize("missing", [*WITHOUT, "folder"])
def test_without_it_there_is_no_library(
    missing: str, anew: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", WITHOUT.get(missing, "cc"))
    monkeypatch.setattr(c_library, "SECONDS", 0.3 if missing.startswith("end") else 60)
    if missing == "folder":
        monkeypatch.setattr(tempfile, "tempdir", "/no/such/folder")
    begun = time.monotonic()
    assert c_library.compiled() is None
    assert time.monotonic() - begun < 30


@needs_cc
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes as Linux has them")
def test_what_a_compiler_has_started_ends_with_it(
    anew: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "sh -c 'sleep 86.25 & sleep 86.25 & wait'")
    monkeypatch.setattr(c_library, "SECONDS", 0.3)
    assert c_library.compiled() is None
    deadline = time.monotonic() + 60  # on a busy machine they take a moment to go
    while any(b"86.25" in content(file) for file in Path("/proc").glob("[0-9]*/cmdline")):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def content(file: Path) -> bytes:
    """Returns what a file holds, nothing if the process has ended meanwhile."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


@needs_cc
@pytest.mark.parametrize(
    ("deed", "taken"),
    [
        ("", True),
        ("__builtin_trap();", False),  # as an instruction that the processor lacks
        ("for (;;) ;", False),
        ("FLUSH;", False),  # numbers near zero are zero: -ffast-math
    ],
)
def test_a_library_that_would_end_hold_or_change_the_process_is_not_used(
    deed: str, taken: bool, anew: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "strange.c"
    source.write_text(
        "#ifdef __x86_64__\n#define FLUSH __builtin_ia32_ldmxcsr(0x9fc0)\n"
        "#else\n#define FLUSH __builtin_trap()\n#endif\n"
        f"void one_token(void) {{ {deed} }}"
    )
    monkeypatch.setattr(c_library, "SOURCE", source)
    monkeypatch.setattr(c_library, "SECONDS", 1 if "for" in deed else 60)
    assert (c_library.compiled() is not None) == taken
