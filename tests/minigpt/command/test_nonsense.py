"""Nonsense in every option of every command: one sentence that names the option, at once.

The parser knows the options. What each may be is known by its type; what no type can know is tried
with the smallest model.
"""

from __future__ import annotations

import os
import socket
from argparse import Action, ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import pytest

from minigpt.command import values
from minigpt.command.cli import main, make_parser
from minigpt.command.parser import UsageError, check_values, parts_of
from tests.minigpt.tiny.finetune import OWN, make_inputs

NUMBERS = [
    "1" + "0" * 30,
    "1" * 5000,
    "-1",
    "-inf",
    "nan",
    "",
    "abc",
    "0x10",
    "a\nb",
    "\ud83d",
    "x" * 10**6,
]
NAMES = ["", "a\0b", "x" * 5000, "d/" + "x" * 300, "\ud83d"]
PATHS = [*NAMES, "fifo", "socket", "/dev/zero", "/dev/null", "dangling", "loop", "text.txt/x"]
FILES_TO_READ = [*PATHS, "missing", "folder", ".", "/", "~"]
FILES_TO_WRITE = [*PATHS, "folder", ".", "/"]


def parsers() -> Iterator[tuple[list[str], ArgumentParser]]:
    """Yields each command that can be typed, with its parser."""
    (whole,) = [action.choices for action in make_parser()._actions if action.dest == "command"]
    for name, command in whole.items():
        parts = {part.prog.split()[-1]: part for part in parts_of(command)}
        yield from (([name, last], part) for last, part in parts.items())
        if not parts:
            yield [name], command


def nonsense_for(action: Action) -> list[str]:
    """Returns what this option can never be."""
    kind = action.type
    if kind in (values.file_to_read, values.number_or_file):
        return [v for v in FILES_TO_READ if kind is values.file_to_read or not is_number(v)]
    if kind is values.file_or_folder_to_read:
        return [v for v in FILES_TO_READ if v not in ("folder", ".", "/")]
    if kind is values.file_to_write:
        return FILES_TO_WRITE
    if kind in (values.folder, values.folder_to_write):
        return [v for v in PATHS if v != "text.txt/x" or kind is values.folder_to_write]
    if kind is values.name_or_path:
        return NAMES
    if kind is values.names:
        return ["", ",", "a,,b", " , "]
    if action.choices is not None and kind is None:
        return ["", "x", "x" * 10**6, "\ud83d"]
    if kind in (values.template, values.field_or_template):
        broken = ["{", "{}", "{0!r}", "}"]
        return broken[:3] if kind is values.field_or_template else ["", "\ud83d", "%s", *broken]
    if kind is values.field:
        return ["a:b", "a[", "[0]", "{a}", "a!r"]
    if kind is values.text or kind is None:
        return []  # any text can be meant
    return NUMBERS[1:] if getattr(kind, "__qualname__", "").startswith("number.") else NUMBERS


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Works in a folder with all that is not a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.txt").write_text("the cat sat on the mat\n\n" * 300, encoding="utf-8")
    os.symlink("nowhere", tmp_path / "dangling")
    os.symlink("loop", tmp_path / "loop")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as here:
        here.bind("socket")
    return tmp_path


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
def test_every_option_refuses_what_it_can_never_be_and_names_itself(desk: Path) -> None:
    tried = 0
    for _, parser in parsers():
        for action in parser._actions:
            option = action.option_strings[-1] if action.option_strings else None
            if action.nargs == 0 or (option is None and action.nargs is not None):
                continue
            # What else is required is left out: it would be named after this.
            others = [a for a in parser._actions if a is not action and a.required]
            for other in others:
                other.required = False
            for value in nonsense_for(action):
                if option is None and value.startswith("-"):
                    continue  # taken for an option
                typed = [value] if option is None else [option, value]
                if option is not None and option.startswith("--"):
                    typed = [f"{option}={value}"]
                with pytest.raises(UsageError) as refused:
                    check_values(parser, parser.parse_args(typed))
                said = str(refused.value)
                assert (option or action.metavar or action.dest) in said, (parser.prog, said)
                assert said.isprintable()
                assert len(said) < 1000
                tried += 1
            for other in others:
                other.required = True
    assert tried > 500
    assert len(list(desk.iterdir())) == 6


TINY = [
    *("--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--block-size", "16"),
    *("--vocab-size", "270", "--batch-size", "4", "--steps", "2"),
]
TRAIN = ["train", "--data", "text.txt", *TINY, "--out", "new"]
WRITE = ["generate", "--model", "pretrained", "--prompt", "a", "--max-new-tokens", "3"]
TUNE = ["finetune", "--model", "pretrained", "--data", "sums.jsonl", *OWN, "--out", "new"]
JUDGE = ["evaluate", "--model", "pretrained", "--data", "sums.jsonl", *OWN]
SCORE = ["evaluate", "--predictions", "text.txt", "--references", "text.txt"]

# What is a number, a name or a text, but does not fit the others or what is there.
UNFIT: list[tuple[list[str], str]] = [
    ([*TRAIN, "--n-head", "3"], "n_head"),
    ([*TRAIN, "--n-embd", "1000000000"], "n_embd"),
    ([*TRAIN, "--n-layer", "1000000000"], "n_layer"),
    ([*TRAIN, "--block-size", "1000000000"], "block_size"),
    ([*TRAIN, "--vocab-size", "1000000000"], "vocab"),
    ([*TRAIN, "--warmup-steps", "3"], "warmup_steps"),
    ([*TRAIN, "--tokenizer", "fifo"], "fifo"),
    ([*TRAIN, "--tokenizer", "/dev/zero"], "/dev/zero"),
    ([*TRAIN, "--field", "{"], "{"),
    ([*TRAIN, "--device", ""], "device"),
    ([*TUNE, "--device", "cpu:9"], "cpu:9"),
    ([*WRITE, "--model", "fifo"], "fifo"),
    ([*WRITE, "--model", "text.txt"], "text.txt"),
    ([*WRITE, "--device", "cuda:99"], "cuda:99"),
    ([*TUNE, "--method", "lora", "--r", "1000000000"], "r must be"),
    ([*TUNE, "--method", "lora", "--target-modules", "("], "("),
    ([*TUNE, "--template", "{0!r}"], "{0!r}"),
    ([*TUNE, "--test", "7", "text.txt"], "--test takes one number or else files"),
    ([*JUDGE, "--answer", "reply"], "--answer must name a field"),
    ([*JUDGE, "--max-new-tokens", "1000000000"], "max_new_tokens"),
    ([*SCORE, "--metrics", "bleu,bleu,rouge0"], "--metrics: no metric is called 'rouge0'"),
    ([*SCORE, "--tokenize", ""], "tokenize"),
    (["memory", "--preset", ""], "preset"),
    (["memory", "--context", "1025"], "--context"),
    (["bench", "qlora", "--context", "1000000000"], "context"),
    (["bench", "qlora", "--preset", "\ud83d"], "preset"),
    (["course", "--start", "14"], "--start"),
    (["lesson", "0"], "no lesson 0"),
    (["data", "fetch", "shakespeare", "--from", "folder"], "folder"),
    (["data", "fetch", "shakespeare", "--from", "text.txt", "--out", "new"], "text.txt"),
    (["exercise", "check", "fifo"], "fifo"),
    (["exercise", "check", "1" * 5000], "1111"),
    (["exercise", "check", "9.99999999999999999999"], "9.99"),
    (["exercise", "hint", "9" * 5000 + ".1"], "exercise"),
    (["exercise", "handout", "8", "--out", "new", "--package", 'x" && "y'], "package"),
]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
def test_what_does_not_fit_is_one_sentence_too(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_inputs(desk)
    before = sorted(desk.rglob("*"))
    for command, said in UNFIT:
        assert main(command) == 2, command
        found = capsys.readouterr()
        *_, last = found.err.strip().split("\n")
        assert last.startswith("minigpt: "), command
        assert said in last, command
        assert "Traceback" not in found.err
    assert sorted(desk.rglob("*")) == before


def test_numbers_at_the_edge_are_taken(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A temperature of 1e-320 or a mass of 1e-320 leaves the likeliest token; no prompt is one."""
    model, _ = make_inputs(tmp_path)
    write = ["generate", "--model", str(model), "--max-new-tokens", "3", "--device", "cpu"]
    assert main([*write, "--prompt", "a", "--temperature", "0"]) == 0
    greedy = capsys.readouterr().out
    for options in (
        ["--temperature", "1e-320"], ["--top-p", "1e-320"], ["--temperature=-0.0"],
        ["--top-k", "1000000000", "--temperature", "1e-38"],
        ["--seed", "4294967295", "--top-k", "1"],
    ):  # fmt: skip
        assert main([*write, "--prompt", "a", *options]) == 0
        assert capsys.readouterr().out == greedy, options
    assert main([*write, "--prompt", "", "--temperature", "0"]) == 0
    from_nothing = capsys.readouterr().out
    assert main([*write, "--prompt", "\ud83d", "--temperature", "0"]) == 0
    assert capsys.readouterr().out.startswith("\N{REPLACEMENT CHARACTER}")
    assert len(from_nothing) > 1
