"""A tiny pretrained model, a tiny task, and the command that fine-tunes one on the other.

    python -m tests.minigpt.tiny.finetune FOLDER    fine-tune while being killed (POSIX)

prints one line of JSON with what came out; finetuning/test_resume.py reads it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import tiktoken
import torch
from safetensors.torch import load_file

from minigpt.command.cli import main
from minigpt.config import GPTConfig
from minigpt.model import GPT
from minigpt.pretrained.folders import save_pretrained
from minigpt.text.task_sets import data_folder
from minigpt.tokenizer import load_encoding
from tests.minigpt.tiny.run import kill_before_operation

OWN = ["--template", "{question} =", "--answer", "{reply}"]  # the task of RECORDS
RECORDS = [{"question": f"{a} plus {b}", "reply": f"{a + b}"} for a in range(8) for b in range(5)]


def shipped_encoding() -> tiktoken.Encoding:
    return load_encoding(data_folder() / "base" / "tokenizer.json")


def tiny_gpt(block_size: int = 128, seed: int = 0, std: float = 0.3) -> GPT:
    """Returns a model whose weights are so large that every prompt gets an answer of its own."""
    torch.manual_seed(seed)
    model = GPT(GPTConfig(shipped_encoding().n_vocab, block_size, n_layer=1, n_head=2, n_embd=16))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=std)
    return model.eval()


def write_jsonl(path: Path, records: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), "utf-8")
    return path


def make_inputs(folder: Path) -> tuple[Path, Path]:
    """Makes a folder with a pretrained model, and a file of RECORDS."""
    save_pretrained(tiny_gpt(), shipped_encoding(), folder / "pretrained")
    return folder / "pretrained", write_jsonl(folder / "sums.jsonl", RECORDS)


def finetune_command(pretrained: Path, data: Path, out: Path, *more: str) -> list[str]:
    """Returns the command for six steps on the sums; options in `more` override earlier ones."""
    method = "lora"
    if "--method" in more:
        method = more[len(more) - more[::-1].index("--method")]
    rank = ["--r", "2"] if method in ("lora", "qlora") else []
    return [
        *("finetune", "--device", "cpu", "--dtype", "float32", "--model", str(pretrained)),
        *("--data", str(data), *OWN, "--metric", "accuracy", "--max-new-tokens", "6"),
        *("--method", "lora", *rank),
        *("--steps", "6", "--eval-every", "2", "--batch-size", "3", "--row-length", "32"),
        *("--validation", "6", "--test", "6", "--out", str(out), *more),
    ]


def run(*arguments: str) -> dict[str, Any]:
    """Fine-tunes by this command, and returns the contents of results.json."""
    assert main(list(arguments)) == 0
    out = Path(arguments[len(arguments) - arguments[::-1].index("--out")])
    return json.loads((out / "results.json").read_text("utf-8"))


def outcome(folder: Path) -> dict[str, Any]:
    """Returns all that a run saved, which must not depend on when it was killed."""
    results = json.loads((folder / "results.json").read_text("utf-8"))
    results["settings"].pop("out_dir")
    results["training"].pop("seconds")
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    trained = [*folder.glob("adapter_model.safetensors"), *folder.glob("model.safetensors")]
    return {
        "results": results,
        "log": [{k: v for k, v in line.items() if k != "tokens_per_second"} for line in log],
        "trained": {
            path.name: {name: tensor.tolist() for name, tensor in load_file(path).items()}
            for path in trained
        },
    }


def killed_once(folder: Path, every: int = 14) -> dict[str, Any]:
    """Runs that are killed before another operation on the disk each, and then resumed."""
    pretrained, data = make_inputs(folder)
    command = finetune_command(pretrained, data, folder / "whole", "--eval-every", "3")
    run(*command)
    whole, same, at = outcome(folder / "whole"), [], 1
    while True:
        command[-3] = str(folder / str(at))  # --out
        if (child := os.fork()) == 0:
            kill_before_operation(at)
            os._exit(main(command))
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        run(*command, "--resume")
        same.append(outcome(folder / str(at)) == whole)
        at += every
    return {"exit": os.WEXITSTATUS(status), "same": same}


if __name__ == "__main__":
    torch.set_num_threads(1)
    where = Path(sys.argv[1])
    output, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps(killed_once(where)), file=output)
