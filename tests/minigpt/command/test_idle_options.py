"""An option that would do nothing beside the others is refused, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from minigpt.command.cli import main, make_parser
from minigpt.command.method_options import METHODS_WITH, refuse_options_of_others
from minigpt.finetuning.settings import RECIPES

NOT_OF_MEMORY = ("--alpha", "--lora-dropout", "--init-text")
VALUES = {
    "--no-double-quant": [], "--biases-only": [], "--target-modules": ["c_attn"],
    "--nf4-block-size": ["64"], "--lora-dropout": ["0"], "--init-text": ["What"], "--gate": [],
}  # fmt: skip

GREEDY = ["generate", "--prompt", "a", "--temperature", "0"]
SCORE = ["evaluate", "--predictions", "a.txt", "--references", "a.txt"]
JUDGE = ["evaluate", "--model", "base"]
OWN = ["--template", "{q}", "--answer", "{a}", "--data", "a.jsonl"]
IDLE = [
    [*GREEDY, "--top-k", "5"], [*GREEDY, "--top-p", "0.5"], [*GREEDY, "--seed", "1"],
    [*SCORE, "--seed", "1"], [*SCORE, "--device", "cpu"], [*SCORE, "--max-new-tokens", "3"],
    [*SCORE, "--task", "sentiment"], [*SCORE, "--write-predictions", "new.txt"],
    [*SCORE, "--prediction-field", "x"], [*SCORE, "--reference-field", "x", "y"],
    [*SCORE, "--metrics", "bleu", "--stem"], [*SCORE, "--metrics", "bleu", "--interval"],
    [*SCORE, "--metrics", "rougeL", "--tokenize", "char"],
    [*SCORE, "--metrics", "rougeL,rouge1", "--lowercase"],
    [*JUDGE, "--stem"], [*JUDGE, "--lowercase"], [*JUDGE, "--seed", "1"],
    [*JUDGE, "--references", "a.txt"], [*JUDGE, "--metrics", "bleu"],
    [*JUDGE, *OWN, "--task", "sentiment"], ["finetune", *OWN, "--task", "sentiment"],
    ["finetune", *OWN, "--all-wordings"],
    ["finetune", "--validation", "5"], ["finetune", "--test", "0.1"],
    ["train", "--tokenizer", "base", "--vocab-size", "300"],
    ["train", "--field", "a"], ["train", "--separator", ""],
    ["train", "--data", "a.txt", "--field", "x"],
    ["memory", "--no-double-quant"],
    ["bench", "metrics", "--device", "cpu"], ["bench", "metrics", "--rounds", "1"],
    ["bench", "training", "--preset", "gpt2"], ["bench", "generation", "--dtype", "float32"],
    ["exercise", "check", "8", "--lesson", "8"], ["exercise", "check", "8.2", "--lesson", "8"],
    ["exercise", "check", "a.py", "--dir", "."], ["exercise", "watch", "8", "--lesson", "8"],
    ["exercise", "watch", "a.py", "--dir", "."],
]  # fmt: skip


@pytest.fixture(autouse=True)
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Works in a folder with the files that are named above."""
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("a line\n\nand another\n", encoding="utf-8")
    Path("a.jsonl").write_text('{"q": "what?", "a": "that"}\n', encoding="utf-8")
    Path("a.py").write_text("x = 1\n", encoding="utf-8")


@pytest.mark.parametrize("command", IDLE, ids=" ".join)
def test_it_is_named_and_nothing_is_written(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    option = [word for word in command if word.startswith("--")][-1]
    option = "--task" if option != "--task" and "--task" in command else option
    before = sorted(Path().rglob("*"))
    assert main(command) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.startswith(f"minigpt: {option} does nothing ")
    assert found.err.endswith("; leave it out\n")
    assert sorted(Path().rglob("*")) == before


def test_an_option_of_other_methods_is_refused_by_each() -> None:
    for command in ("finetune", "memory"):
        parser = make_parser(only=command)
        for option, methods in METHODS_WITH.items():
            if command == "memory" and option in NOT_OF_MEMORY:
                continue
            typed = parser.parse_args([command, option, *VALUES.get(option, ["1"])])
            for method in RECIPES:
                if method in methods:
                    refuse_options_of_others(typed, method)
                    continue
                with pytest.raises(
                    ValueError, match=f"^{option} does nothing with --method {method}"
                ):
                    refuse_options_of_others(typed, method)
