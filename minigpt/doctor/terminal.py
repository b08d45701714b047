"""The terminal: whether it can show every character."""

from __future__ import annotations

import codecs
import sys

from minigpt.doctor.finding import NOTE, OK, Finding, setting


def check_terminal() -> Finding:
    """Returns what is to be said of the encoding that this process prints in."""
    return judge_encoding(getattr(sys.stdout, "encoding", None) or "ascii")


def judge_encoding(encoding: str) -> Finding:
    """Returns what is to be said of an encoding."""
    if codecs.lookup(encoding).name.startswith("utf-8"):
        return Finding("encoding", OK, encoding)
    said = f"{encoding}: characters that it lacks are printed as question marks"
    return Finding("encoding", NOTE, said, setting("PYTHONIOENCODING", "utf-8"))
