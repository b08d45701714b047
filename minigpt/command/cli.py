"""The `minigpt` command: a table of its subcommands, each with a file of its own beside this one.

A user's error (a file that does not exist, a size that does not fit) ends in one sentence and exit
status 2; MINIGPT_DEBUG=1 shows the traceback as well.

Only the file of the given subcommand is imported, and that loads torch only when it starts to work,
so that help appears at once.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from minigpt import __version__
from minigpt.command.parser import Parser, check_values, parts_of
from minigpt.command.values import on_one_line
from minigpt.text.printing import print_any_text

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(NamedTuple):
    """A subcommand's help texts; minigpt/command/NAME.py has its add_options and run.

    It may also have SMALLER, which says what to do when there is not enough memory.
    """

    help: str
    example: str


COMMANDS = {
    "course": Command(
        "run every lesson, or go on where it was stopped, and write the book", "course --only 6,10"
    ),
    "lesson": Command(
        "run one lesson; options after the number go to the lesson",
        "lesson 3 --seed 1 --prose   (the lesson's own: minigpt lesson 3 --help)",
    ),
    "lessons": Command("what each lesson teaches, and what is done", "lessons 8"),
    "exercise": Command("exercises, checked as you write", "exercise start 8"),
    "train": Command("train a GPT from scratch", "train --steps 300 --n-layer 4 --out runs/small"),
    "generate": Command("continue a text", 'generate --prompt "Return the" --temperature 0.7'),
    "finetune": Command(
        "teach a pretrained model a task",
        "finetune --method lora --task translation --out runs/french",
    ),
    "evaluate": Command(
        "ROUGE and BLEU of a file of predictions, or of a model",
        "evaluate --predictions out.txt --references ref.txt --metrics rougeL,bleu",
    ),
    "memory": Command(
        "how much memory training takes, method by method",
        "memory --preset gpt2-xl --method qlora --batch 1 --context 1024",
    ),
    "data": Command("fetch public data, show the task sets", "data fetch shakespeare"),
    "doctor": Command("say what is wrong with machine or installation", "doctor --json"),
    "bench": Command("time minigpt against its peers", "bench training --json bench.json"),
}


def make_parser(only: str | None = None) -> ArgumentParser:
    """Builds the parser, with the options of every subcommand or of one alone."""
    parser = Parser(
        prog="minigpt",
        description="A GPT to read, train and take apart. Start with: minigpt course",
    )
    parser.add_argument("--version", action="version", version=f"minigpt {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (text, example) in COMMANDS.items():
        command = commands.add_parser(
            name, help=text, description=text, epilog=f"example: minigpt {example}"
        )
        if only in (None, name):
            module = import_module(f"minigpt.command.{name}")
            module.add_options(command)
            command.set_defaults(run=module.run)
            for part in [command, *parts_of(command)]:
                part.set_defaults(parser=part)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs one subcommand and returns the exit status."""
    print_any_text()
    argv = sys.argv[1:] if argv is None else argv
    try:
        arguments = make_parser(only=argv[0] if argv else "").parse_args(argv)
        check_values(arguments.parser, arguments)
        status: int = arguments.run(arguments)
        return status
    except KeyboardInterrupt as stopped:
        complain(f"\nminigpt: {str(stopped) or 'interrupted'}")
        return 130
    except BrokenPipeError:  # the reader of our output has stopped reading, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ImportError, RuntimeError, MemoryError) as error:
        if os.environ.get("MINIGPT_DEBUG") or not is_the_users(error):
            raise
        said = sentence_of(error)
        if is_out_of_memory(error):
            command = import_module(f"minigpt.command.{arguments.command}")
            smaller = getattr(command, "SMALLER", "take something smaller")
            said = f"there is not enough memory ({said[:200].rstrip('.')}); {smaller}"
        complain(f"minigpt: {said}")
        return 2


def complain(said: str) -> None:
    """Prints a sentence for the user, if that is possible: the disk of a log may be full."""
    with suppress(OSError):
        print(said, file=sys.stderr, flush=True)


def sentence_of(error: Exception) -> str:
    """Returns what an error says, on one line, without the system's error number."""
    said = str(error)
    if isinstance(error, OSError) and error.errno is not None:
        said = ": ".join(str(part) for part in (error.filename, error.strerror) if part)
    return on_one_line(said, 2000)


def is_out_of_memory(error: Exception) -> bool:
    """Returns whether Python, numpy or torch could not allocate something, on whatever device."""
    if not isinstance(error, RuntimeError):
        return isinstance(error, MemoryError)
    words = r"out of memory|not enough memory|allocate memory|size calculation overflowed"
    return re.search(words, str(error)) is not None


def is_the_users(error: Exception) -> bool:
    """Returns whether an error tells the user what to do differently, and is not a bug of ours."""
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return True
    from minigpt.training.loop import TrainingDivergedError  # loads torch

    return isinstance(error, TrainingDivergedError)
