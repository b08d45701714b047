"""Commands and tokenizers that cannot do what a command needs: one sentence, nothing written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from minigpt.command.cli import main
from minigpt.config import GPTConfig
from minigpt.model import GPT
from minigpt.pretrained.folders import save_pretrained
from minigpt.tokenizer import END_OF_TEXT, save_encoding, train_bpe
from tests.minigpt.tiny.finetune import OWN, RECORDS, write_jsonl

TEXT = "the cat sat on the mat " * 20
PAGES = "\n\n".join(f"{page} {TEXT}" for page in range(40))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes a model without an end token, its tokenizer, records and text."""
    folder = tmp_path_factory.mktemp("tokenizers")
    save_pretrained(GPT(GPTConfig(260, 128, 1, 1, 8)), train_bpe(TEXT, 260), folder / "model")
    write_jsonl(folder / "sums.jsonl", RECORDS)
    (folder / "text.txt").write_text(PAGES)
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ["train", "--data", "text.txt", "--tokenizer", "model/tokenizer.json", "--out", "out"],
        ["finetune", "--model", "model", "--data", "sums.jsonl", *OWN, "--out", "out"],
        ["generate", "--model", "model", "--prompt", "the"],
        ["generate", "--model", "model", "--prompt", ""],
        ["evaluate", "--model", "model", "--data", "sums.jsonl", *OWN, "--max-new-tokens", "9"],
    ],
    ids=lambda command: command[0],
)
def test_a_tokenizer_without_the_end_token_is_refused_before_anything_is_done(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    monkeypatch.chdir(folder)
    assert main(command) == 2
    printed = capsys.readouterr()
    assert f"the tokenizer 'minigpt-260' has no token {END_OF_TEXT}" in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pattern": "(a+)+$"}, "takes more than"),
        ({"pattern": "(?:t|tt)+[.]"}, "takes more than"),
        ({"pattern": ".*?"}, "matches the empty text"),
        ({"pattern": r"(?<=(a)\1)b"}, "is not understood here"),
        ({"special_tokens": ["", END_OF_TEXT]}, "must be text that is not empty"),
    ],
)
def test_a_tokenizer_file_that_could_hang_or_lose_text_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, Any],
    reason: str,
) -> None:
    monkeypatch.setattr("minigpt.fast.pieces.SECONDS", 0.05)
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(PAGES)
    save_encoding(train_bpe(TEXT, 262, [END_OF_TEXT]), "tokenizer.json")
    content = json.loads(Path("tokenizer.json").read_text()) | change
    Path("tokenizer.json").write_text(json.dumps(content))
    command = ["train", "--data", "text.txt", "--tokenizer", "tokenizer.json", "--out", "out"]
    assert main(command) == 2
    printed = capsys.readouterr()
    assert reason in printed.err
    assert printed.err.count("\n") == 1
    assert not Path("out").exists()
