"""What is shipped with minigpt, base model and task sets: whether all is there, and whole."""

from __future__ import annotations

import csv
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib import metadata
from pathlib import Path

from minigpt.doctor.child import answer
from minigpt.doctor.finding import OK, PROBLEM, Finding, quoted
from minigpt.doctor.installation import (
    DISTRIBUTION,
    ROOT,
    Installed,
    installed_minigpt,
    is_checkout,
    reinstall,
)


def load_all() -> dict[str, list[str]]:
    """Loads everything that is shipped; to be called in a child process.

    Returns:
        For the model and each task set: what was loaded, and why something could not be, "" if
        everything was.
    """
    from minigpt.text.task_sets import SPLITS, TASK_FIELDS, task_set

    report: dict[str, list[str]] = {"base model": load_base()}
    for task in TASK_FIELDS:
        try:
            counts = [f"{len(task_set(task, split)):,}" for split in SPLITS]
            report[task] = [f"{' + '.join(counts)} records", ""]
        except (OSError, ValueError) as error:
            report[task] = ["", str(error)]
    return report


def load_base() -> list[str]:
    """Loads the base model and lets it score a text; returns the same pair."""
    import torch

    from minigpt import load_pretrained
    from minigpt.config import count_parameters

    try:
        model, encoding = load_pretrained("base")
        logits, _ = model(torch.tensor([encoding.encode("Return the")]))
    except (OSError, ValueError) as error:
        return ["", str(error)]
    trouble = "" if bool(logits.isfinite().all()) else "its scores are not finite"
    return [f"{count_parameters(model.config):,} parameters", trouble]


def changed_files(root: str) -> list[str]:
    """Returns the installed files of minigpt that are missing or not as they were installed.

    A checkout has no record of what they should be.

    Args:
        root: the folder that the running minigpt lies in.
    """
    installed = installed_minigpt()
    if installed is None or installed.editable or str(installed.root) != root:
        return []
    changed = []
    # metadata.files leaves out what is gone since Python 3.12, so the list is read here.
    listed = metadata.distribution(DISTRIBUTION).read_text("RECORD") or ""
    for file, hashed, _ in csv.reader(listed.splitlines()):
        kind, _, expected = hashed.partition("=")
        if kind != "sha256":
            continue
        try:
            digest = sha256((installed.root / file).read_bytes()).digest()
        except OSError:
            digest = b""
        if urlsafe_b64encode(digest).rstrip(b"=").decode() != expected:
            changed.append(file)
    return changed


def check_shipped(load: bool) -> Iterator[Finding]:
    """Yields what is to be said of what is shipped.

    Args:
        load: whether to load it too, which takes torch.
    """
    installed = installed_minigpt()
    yield judge_files(changed_files(str(ROOT)), installed)
    if load:
        report, failure = answer(load_all)
        yield from judge_report(report or {"base model": ["", failure]}, restore())


def restore(root: Path = ROOT) -> str:
    """Returns the command that brings back what is shipped."""
    if is_checkout(root):
        return f"git -C {quoted(str(root))} checkout -- data"
    return reinstall(root)


def judge_files(changed: list[str], installed: Installed | None) -> Finding:
    """Returns what is to be said of files that are not as they were installed."""
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        said = f"missing or changed since they were installed: {', '.join(changed[:3])}{more}"
        return Finding("files", PROBLEM, said, reinstall())
    if installed is None or installed.editable:
        return Finding("files", OK, "those of a checkout")
    return Finding("files", OK, "as they were installed")


def judge_report(report: Mapping[str, list[str]], remedy: str) -> Iterator[Finding]:
    """Yields what is to be said of what load_all reports.

    Args:
        remedy: for what could not be loaded.
    """
    for name, (loaded, trouble) in report.items():
        if trouble:
            yield Finding(name, PROBLEM, trouble, remedy)
        else:
            yield Finding(name, OK, loaded)
