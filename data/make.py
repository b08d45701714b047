"""Writes the three task sets: translation, dialogues, reviews.

    python data/make.py             # data/<task>/{train,validation,test}.jsonl
    python data/make.py --check     # compares the files with what the generators make

The same seed gives the same bytes on every machine and every Python, so a set need not be trusted:
it can be made again. The files are JSON lines: one compact object a line, UTF-8, "\\n" at the end.
"""

import argparse
import hashlib
import importlib
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

DATA = Path(__file__).resolve().parent
sys.path[:0] = [str(DATA), str(DATA.parent)]  # a checkout need not be installed

from minigpt.files.atomic import write_atomically

TASKS = ("translation", "dialogues", "reviews")
SPLITS = ("train", "validation", "test")


def task_files(task: str, seed: int = 0) -> dict[str, bytes]:
    """Returns the contents of a task's three files by split, from its generator."""
    splits = importlib.import_module(f"generators.{task}.generate").generate(seed)
    return {split: json_lines(splits[split]) for split in SPLITS}


def json_lines(records: Iterable[Mapping[str, str]]) -> bytes:
    """Returns records as JSON lines without needless spaces, in UTF-8."""
    return "".join(
        json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n" for record in records
    ).encode()


def difference(path: Path, content: bytes) -> str | None:
    """Says in a sentence how the file differs from what it should hold; None if it does not."""
    if not path.is_file():
        return f"{path} is missing; run `python data/make.py` to write it."
    found = path.read_bytes()
    if found == content:
        return None
    lines, wanted = found.split(b"\n"), content.split(b"\n")
    pairs = zip(lines, wanted, strict=False)
    same = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(lines), len(wanted)))
    return (
        f"{path} differs from what its generator makes, first in line {same + 1}; "
        "run `python data/make.py` to write it again."
    )


def folder(text: str) -> Path:
    """Returns the folder called text, which need not be there."""
    path = Path(text)
    try:
        if text and "\0" not in text and (path.is_dir() or not path.exists()):
            return path
    except OSError:  # its name is too long
        pass
    raise argparse.ArgumentTypeError(f"it must be a folder, got {text[:80]!r}")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description="Write the task sets, byte for byte the same on every machine.",
        epilog="example: python data/make.py --task reviews --check",
    )
    parser.add_argument("--task", choices=TASKS, help="one task only (default: all three)")
    parser.add_argument("--seed", type=int, default=0, help="another seed makes other sets")
    parser.add_argument("--out", type=folder, default=DATA, metavar="DIR")
    parser.add_argument("--check", action="store_true", help="compare with the files, write none")
    options = parser.parse_args(arguments)
    if not 0 <= options.seed < 2**32:
        parser.error(f"--seed must be from 0 to {2**32 - 1:,}, got {options.seed}")

    differences = []
    print(f"{'task':<12} {'split':<11} {'records':>8} {'bytes':>10}  sha256")
    for task in [options.task] if options.task else TASKS:
        for split, content in task_files(task, options.seed).items():
            path = options.out / task / f"{split}.jsonl"
            digest = hashlib.sha256(content).hexdigest()[:12]
            records = content.count(b"\n")
            print(f"{task:<12} {split:<11} {records:>8,} {len(content):>10,}  {digest}")
            if not options.check:
                write_atomically(path, lambda new, content=content: new.write_bytes(content))
            elif found := difference(path, content):
                differences.append(found)
    for sentence in differences:
        print(f"make.py: {sentence}", file=sys.stderr)
    return 1 if differences else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OSError as error:
        sys.exit(f"make.py: {error}")
