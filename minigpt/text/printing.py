"""Lets any text be printed: what a terminal's encoding does not have becomes a question mark."""

import io
import os
import sys


def print_any_text() -> None:
    """Makes the standard streams of this process, and of those that it starts, take any text.

    A terminal or a file may be set to an encoding of 256 characters, or to ASCII. Python would stop
    the program at the first character that is not among them.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a notebook has streams of its own
            stream.reconfigure(errors="replace")
    encoding = os.environ.get("PYTHONIOENCODING", "").partition(":")[0]
    os.environ["PYTHONIOENCODING"] = f"{encoding}:replace"
