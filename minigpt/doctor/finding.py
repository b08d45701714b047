"""A finding: what one check says in a line, and how to mend it."""

from __future__ import annotations

import os
import re
import shlex
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

OK, NOTE, PROBLEM = "ok", "note", "problem"


@dataclass(frozen=True)
class Finding:
    """What a check says.

    Attributes:
        name: what was looked at; the same on every machine.
        state: OK; NOTE, which is worth knowing and stops nothing; or PROBLEM.
        said: what was found, on one line.
        remedy: what to type or to do; every problem has one.
    """

    name: str
    state: str
    said: str
    remedy: str = ""

    def __post_init__(self) -> None:
        if self.state == PROBLEM and not self.remedy:
            raise ValueError(f"a problem needs a remedy, and {self.name!r} has none")


def quoted(text: str) -> str:
    """Returns an argument as a shell takes it; on Windows in double quotes, if it needs any."""
    if os.name == "nt":
        return text if re.fullmatch(r"[\w.:\\/+-]+", text) else f'"{text}"'
    return shlex.quote(text)


def python() -> str:
    """Returns how to call this Python, from the working folder if it lies in there."""
    path = Path(sys.executable)
    with suppress(ValueError, OSError):  # it lies elsewhere, or the working folder was removed
        path = path.relative_to(Path.cwd())
    return quoted(str(path))


def pip(*arguments: str) -> str:
    """Returns a command of pip for this Python."""
    return " ".join([python(), "-m pip", *map(quoted, arguments)])


def setting(name: str, value: object) -> str:
    """Returns how to set an environment variable in a shell, which on Windows is PowerShell."""
    if os.name == "nt":
        return f'$env:{name} = "{value}"'
    return f"export {name}={quoted(str(value))}"


def unsetting(name: str) -> str:
    """Returns how to remove an environment variable in such a shell."""
    return f"Remove-Item Env:{name}" if os.name == "nt" else f"unset {name}"
