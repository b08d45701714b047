"""Reads what was typed: a parser whose errors are one sentence, and options that go together."""

from __future__ import annotations

import os
import re
from argparse import PARSER, REMAINDER, ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from minigpt.command.values import PathTo, on_one_line


class UsageError(ValueError):
    """Says what is wrong with a command as it was typed."""


class Parser(ArgumentParser):
    """A parser that raises UsageError, where argparse prints its usage and ends the program."""

    def error(self, message: str) -> NoReturn:
        """Raises UsageError with the option first: "--steps must be ...; see minigpt train --help".

        argparse says "argument --steps: must be ...".
        """
        message = re.sub(r"^argument ([^:]+):(?= must | needs )", r"\1", message)
        message = message.removeprefix("argument ")
        raise UsageError(f"{on_one_line(message, 500)}; see {self.prog} --help")


def parts_of(parser: ArgumentParser) -> list[ArgumentParser]:
    """Returns the parsers of a command's actions: of `minigpt data fetch` for that of `data`."""
    parts = [action.choices for action in parser._actions if action.nargs == PARSER]
    return [part for choices in parts if isinstance(choices, dict) for part in choices.values()]


def check_values(parser: ArgumentParser, arguments: Namespace) -> None:
    """Makes sure that what the options name is there, or can be written, before anything starts.

    argparse takes "--" away also where it is a value, and leaves an empty list.

    Args:
        parser: that of the subcommand, by which the arguments were read.

    Raises:
        UsageError: it is not, or a file to write is one to read; the error names the option.
    """
    used: dict[str, tuple[str, bool]] = {}
    for action in parser._actions:
        value = getattr(arguments, action.dest, None)
        option = action.option_strings[-1] if action.option_strings else action.metavar
        if value == [] and action.nargs != REMAINDER:
            raise UsageError(f"{option} needs a value, and -- is not one")
        if isinstance(kind := action.type, PathTo):
            for path in value if isinstance(value, list) else [value]:
                if isinstance(path, Path) and (problem := kind.problem(path)):
                    raise UsageError(f"{option} {problem}")
                if isinstance(path, Path):
                    _take(used, str(option), os.path.realpath(path), kind.written)


def _take(used: dict[str, tuple[str, bool]], option: str, path: str, written: bool) -> None:
    """Notes that an option reads or writes a file; one that is written may have no other use."""
    other, other_written = used.setdefault(path, (option, written))
    if other != option and (written or other_written):
        raise UsageError(f"{option} and {other} name the same file, which would be lost; take two")


@contextmanager
def about(option: str) -> Iterator[None]:
    """Puts the name of an option before what an error says of its value, in a with-block."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from None


def given(arguments: Namespace, option: str) -> bool:
    """Returns whether an option was typed, of those that are None or False otherwise."""
    value = getattr(arguments, option.lstrip("-").replace("-", "_"), None)
    return value is not None and value is not False


def refuse_idle(arguments: Namespace, options: Iterable[str], why: str) -> None:
    """Makes sure that no option was typed that would do nothing.

    Args:
        options: such as "--top-k"; without a value they are None or False.
        why: they do nothing: "with --temperature 0".

    Raises:
        ValueError: one was; the error names it.
    """
    for option in options:
        if given(arguments, option):
            raise ValueError(f"{option} does nothing {why}; leave it out")
