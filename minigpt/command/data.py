"""`minigpt data`: fetches a public data set, or shows the task sets that ship with minigpt."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from minigpt.command import values
from minigpt.text.data_sets import DATASETS, TERMS


def add_options(parser: ArgumentParser) -> None:
    """Adds the two actions with their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    fetch = actions.add_parser("fetch", help="download and check a public data set")
    fetch.add_argument("name", choices=list(DATASETS))
    fetch.add_argument(
        "--from", dest="source", type=values.file_or_folder_to_read, help="a copy you already have"
    )
    fetch.add_argument("--out", type=values.folder_to_write, help="folder (default runs/data/NAME)")
    show = actions.add_parser("show", help="print records of a task set")
    show.add_argument("name", choices=["translation", "dialogues", "reviews"])
    show.add_argument("--split", default="train", choices=["train", "validation", "test"])
    show.add_argument("-n", type=values.whole(1), default=5, help="how many (default 5)")


def run(arguments: Namespace) -> int:
    """Prints the folder of the fetched data set, or the records of a task set."""
    from minigpt.text import fetch, task_sets

    if arguments.action == "fetch":
        print(f"{arguments.name}: {TERMS[arguments.name]}")
        folder = fetch.fetch(arguments.name, arguments.out, arguments.source)
        for file in fetch.missing_files(arguments.name, folder):
            print(f"{arguments.source} has no {file.name}, which is at {file.url}")
        print(folder)
        return 0
    for record in task_sets.task_set(arguments.name, arguments.split)[: arguments.n]:
        print("\n".join(f"{field}: {text}" for field, text in record.items()), end="\n\n")
    return 0
