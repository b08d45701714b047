"""Lets any text be printed, and at once: what an encoding does not have becomes a question mark."""

import io
import os
import sys


def print_any_text() -> None:
    """Makes the standard streams of this process, and of those that it starts, take any text.

    A terminal or a file may be set to an encoding of 256 characters, or to ASCII. Python would stop
    the program at the first character that is not among them.
    """
    open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a notebook has streams of its own
            stream.reconfigure(errors="replace")
    encoding = os.environ.get("PYTHONIOENCODING", "").partition(":")[0]
    os.environ["PYTHONIOENCODING"] = f"{encoding}:replace"


def print_at_once() -> None:
    """Lets what is printed be seen line by line, and in UTF-8, also in a file or a pipe.

    Python keeps lines for a file or a pipe until they are many, and encodes them as the system's
    code page says; so `minigpt course | tee log.txt` would stand still for minutes, and formulas be
    question marks. A terminal has its own encoding and keeps it, and so has who asked for one in
    PYTHONIOENCODING.
    """
    asked = os.environ.get("PYTHONIOENCODING", "").partition(":")[0]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
            if not asked and not stream.isatty():
                stream.reconfigure(encoding="utf-8", errors="replace")


def open_standard_streams() -> None:
    """Puts the null device in the place of standard streams that were closed (`minigpt ... 2>&-`).

    Otherwise the next file that is opened would get the number of a closed one, and all that is
    printed there.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # the lowest free number is taken
    os.close(number)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
