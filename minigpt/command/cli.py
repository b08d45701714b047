"""The `minigpt` command: each function below is one of its words.

    minigpt course | lesson N | train | finetune | generate | evaluate | memory | data | bench

What goes wrong on the user's side (a file that is not there, a size that does not fit) ends in one
sentence and exit status 2; set MINIGPT_DEBUG=1 to see where it came from.
"""

from __future__ import annotations

import argparse
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt.command import evaluate as evaluation
from minigpt.config import PRESETS
from minigpt.finetuning import run as finetuning
from minigpt.memory import predicted as memory_of_training
from minigpt.training.loop import TrainingDivergedError

if TYPE_CHECKING:
    import numpy as np
    import tiktoken

    from minigpt.text.python_library import Document


def lesson_scripts() -> dict[int, Path]:
    """Every lesson's script by its number."""
    import lessons

    folder = Path(lessons.__path__[0])
    return {int(path.name[:2]): path for path in sorted(folder.glob("[0-9][0-9]_*.py"))}


def course(arguments: argparse.Namespace) -> int:
    """Run the lessons one after the other, each in a process of its own."""
    scripts = {n: path for n, path in lesson_scripts().items() if n >= arguments.start}
    if not scripts:
        raise ValueError(
            f"--start {arguments.start} is after the last lesson, {max(lesson_scripts())}"
        )
    options = ["--device", arguments.device, "--seed", str(arguments.seed)]
    options += ["--quick"] if arguments.quick else []
    report = []
    for number, script in scripts.items():
        started = time.perf_counter()
        folder = Path("runs") / f"lesson-{number:02d}"
        finished = subprocess.run([sys.executable, script, *options, "--out", folder], check=False)
        if finished.returncode < 0 or finished.returncode == 130:
            print(f"\nInterrupted. Go on with: minigpt course --start {number}")
            return 130
        outcome = "done" if finished.returncode == 0 else f"failed ({finished.returncode})"
        report.append((number, script.stem[3:], outcome, time.perf_counter() - started, folder))
        print()
    print("The course so far:")
    for number, name, outcome, seconds, folder in report:
        print(f"  {number:02d} {name:<19} {outcome:<12} {seconds:4.0f} s   figures in {folder}/")
    print(f"  {sum(row[3] for row in report):.0f} s in all")
    return int(any(row[2] != "done" for row in report))


def lesson(arguments: argparse.Namespace) -> int:
    """Run one lesson here, with whatever options the lesson itself understands."""
    scripts = lesson_scripts()
    if arguments.number not in scripts:
        raise ValueError(
            f"there is no lesson {arguments.number}; there are {', '.join(map(str, scripts))}"
        )
    script = scripts[arguments.number]
    sys.argv = [str(script), *arguments.options]
    runpy.run_path(str(script), run_name="__main__")
    return 0


def read_documents(paths: list[Path], field: str) -> list[Document]:
    """The text to train on: the given files, or this machine's Python library."""
    from minigpt.text import python_library as corpus

    if not paths:
        return corpus.python_library()
    documents = []
    for path in paths:
        if path.suffix == ".jsonl":
            documents += [
                corpus.Document(f"{path.name}:{line}", record[field])
                for line, record in enumerate(corpus.read_jsonl(path, [field]), start=1)
            ]
        else:
            documents += corpus.read_text(path)
    return documents


def choose_encoding(name: str, documents: list[Document], vocab_size: int) -> tiktoken.Encoding:
    """ "new" trains a tokenizer on the documents; "base", "gpt2" or a file is one that exists."""
    from minigpt import tokenizer
    from minigpt.text import python_library as corpus

    if name == "new":
        texts = [document.text for document in documents]
        return tokenizer.train_bpe(texts, vocab_size, special_tokens=(tokenizer.END_OF_TEXT,))
    if name == "gpt2":
        return tokenizer.gpt2_encoding()
    return tokenizer.load_encoding(
        corpus.data_folder() / "base" / "tokenizer.json" if name == "base" else Path(name)
    )


def train(arguments: argparse.Namespace) -> int:
    """Train a GPT from scratch on text."""
    import torch

    from minigpt import dataset
    from minigpt.config import GPTConfig, count_parameters
    from minigpt.model import GPT
    from minigpt.pretrained import folders as pretrained
    from minigpt.text import python_library as corpus
    from minigpt.training import loop as training
    from minigpt.training.settings import TrainConfig

    documents = read_documents(arguments.data, arguments.field)
    learn, validate = corpus.split_documents(documents)
    saved = arguments.out / "tokenizer.json"
    resuming = arguments.resume and saved.exists()
    encoding = choose_encoding(
        str(saved) if resuming else arguments.tokenizer, learn, arguments.vocab_size
    )

    def encode(part: list[Document]) -> np.ndarray:
        return dataset.pack(
            (encoding.encode_ordinary(document.text) for document in part), encoding.eot_token
        )

    data = dataset.PackedText(encode(learn), encode(validate), arguments.block_size, arguments.seed)
    config = GPTConfig(
        encoding.n_vocab,
        arguments.block_size,
        arguments.n_layer,
        arguments.n_head,
        arguments.n_embd,
        arguments.dropout,
    )
    torch.manual_seed(arguments.seed)
    model = GPT(config)
    print(f"{len(learn)} documents to learn from, {len(validate)} to validate on")
    print(f"{count_parameters(config):,} parameters; writing to {arguments.out}/")
    warmup_steps = arguments.warmup_steps
    if warmup_steps is None:
        warmup_steps = min(50, arguments.steps // 10)
    result = training.train(
        model,
        data,
        TrainConfig(
            max_steps=arguments.steps,
            batch_size=arguments.batch_size,
            micro_batch_size=arguments.micro_batch_size,
            learning_rate=arguments.learning_rate,
            warmup_steps=warmup_steps,
            eval_every=arguments.eval_every,
            checkpoint_every=arguments.eval_every,
            seed=arguments.seed,
            device=arguments.device,
            dtype=arguments.dtype,
            compile=arguments.compile,
            parallel=arguments.parallel,
            out_dir=arguments.out,
            resume=arguments.resume,
        ),
    )
    if int(os.environ.get("RANK", "0")) == 0:
        pretrained.save_pretrained(model, encoding, arguments.out)
        print(f"validation loss {result.validation[-1][1]:.3f} after {result.steps} steps")
        print(f'try: minigpt generate --model {arguments.out} --prompt "Return the"')
    return 0


def generate(arguments: argparse.Namespace) -> int:
    """Continue a text with a model, printing as it writes."""
    import torch

    from minigpt import generation, tokenizer
    from minigpt.device import pick_device
    from minigpt.finetuning import methods

    device = pick_device(arguments.device)
    model, encoding = methods.load_model(arguments.model)
    model.to(device)
    prompt = encoding.encode_ordinary(arguments.prompt)
    idx = torch.tensor([prompt], dtype=torch.long, device=device)  # [1, T]
    tokens = generation.stream(
        model,
        idx,
        arguments.max_new_tokens,
        temperature=arguments.temperature,
        top_k=arguments.top_k or None,
        top_p=arguments.top_p,
        stop_token=encoding.eot_token,
        use_cache=not arguments.no_cache,
        generator=torch.Generator(device).manual_seed(arguments.seed),
    )
    print(arguments.prompt, end="", flush=True)
    for piece in tokenizer.stream_text(tokens, encoding, encoding.eot_token):
        print(piece, end="", flush=True)
    print()
    return 0


def finetune(arguments: argparse.Namespace) -> int:
    """Teach a pretrained model a task."""
    return finetuning.main(arguments)


def evaluate(arguments: argparse.Namespace) -> int:
    """Score predictions against references, or a model's answers, with ROUGE and BLEU."""
    return evaluation.main(arguments)


def memory(arguments: argparse.Namespace) -> int:
    """What training takes: weights, gradients, optimizer state and activations."""
    return memory_of_training.main(arguments)


def data(arguments: argparse.Namespace) -> int:
    """Fetch a public data set, or look at the task sets that ship with minigpt."""
    from minigpt.text import fetch
    from minigpt.text import python_library as corpus

    if arguments.action == "fetch":
        print(fetch.fetch(arguments.name, arguments.out, arguments.source))
        return 0
    for record in corpus.task_set(arguments.name, arguments.split)[: arguments.n]:
        print("\n".join(f"{field}: {text}" for field, text in record.items()), end="\n\n")
    return 0


def bench(arguments: argparse.Namespace) -> int:
    """Time our training, generation and metrics against the libraries that others use, in turn."""
    from minigpt.bench import gpt2 as bench

    return bench.main(arguments)


def make_parser() -> argparse.ArgumentParser:
    """Every command and option, each with an example."""
    parser = argparse.ArgumentParser(
        prog="minigpt",
        description="A GPT to read, train and take apart. Start with: minigpt course",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(function, text: str, example: str) -> argparse.ArgumentParser:  # type: ignore[no-untyped-def]
        sub = commands.add_parser(
            function.__name__, help=text, description=text, epilog=f"example: minigpt {example}"
        )
        sub.set_defaults(function=function)
        sub.add_argument("--device", default="auto", help="cpu, cuda, mps or auto (default)")
        sub.add_argument("--seed", type=int, default=1337, help="random seed (default 1337)")
        return sub

    sub = command(course, "run every lesson", "course --start 3")
    sub.add_argument("--start", type=int, default=1, metavar="N", help="begin with lesson N")
    sub.add_argument("--quick", action="store_true", help="smallest settings: to see that it runs")

    sub = commands.add_parser(
        "lesson",
        help="run one lesson",
        description="run one lesson; options after the number go to the lesson",
        epilog="example: minigpt lesson 3 --seed 1   (the lesson's own: minigpt lesson 3 --help)",
    )
    sub.set_defaults(function=lesson)
    sub.add_argument("number", type=int, metavar="N")
    sub.add_argument("options", nargs=argparse.REMAINDER, help="--device, --seed, --quick, --full")

    sub = command(
        train, "train a GPT from scratch", "train --steps 300 --n-layer 4 --out runs/small"
    )
    sub.add_argument(
        "--data", type=Path, nargs="+", default=[], metavar="FILE",
        help="text or JSONL files (default: the documentation in this Python's own library)",
    )  # fmt: skip
    sub.add_argument("--field", default="text", help="which field of a JSONL record is the text")
    sub.add_argument(
        "--tokenizer", default="new",
        help="new (trained on the text, default), base, gpt2 or a tokenizer file",
    )  # fmt: skip
    sub.add_argument("--vocab-size", type=int, default=4096, help="size of a new tokenizer")
    for option, default in {"n-layer": 5, "n-head": 4, "n-embd": 256, "block-size": 256}.items():
        sub.add_argument(f"--{option}", type=int, default=default, help=f"default {default}")
    sub.add_argument("--dropout", type=float, default=0.1, help="default 0.1")
    sub.add_argument("--steps", type=int, default=500, help="optimizer steps (default 500)")
    sub.add_argument("--batch-size", type=int, default=16, help="sequences a step (default 16)")
    sub.add_argument(
        "--micro-batch-size", type=int, help="sequences at once; smaller needs less memory"
    )
    sub.add_argument("--learning-rate", type=float, default=1e-3, help="default 0.001")
    sub.add_argument("--warmup-steps", type=int, help="default: 50, or a tenth of --steps if less")
    sub.add_argument(
        "--eval-every", type=int, default=100, help="steps between validations (default 100)"
    )
    sub.add_argument("--dtype", default="auto", help="auto (default), float32 or bfloat16")
    sub.add_argument("--compile", action="store_true", help="let torch.compile fuse the model")
    sub.add_argument("--parallel", default="auto", help="under torchrun: ddp (default) or fsdp")
    sub.add_argument("--out", type=Path, default=Path("runs/train"), help="default runs/train")
    sub.add_argument("--resume", action="store_true", help="go on where --out stopped")

    sub = command(generate, "continue a text", 'generate --prompt "Return the" --temperature 0.7')
    sub.add_argument("--prompt", required=True, help="how the text begins")
    sub.add_argument(
        "--model", default="base",
        help=f"base (shipped, default), a folder, or one of {', '.join(list(PRESETS)[:4])}",
    )  # fmt: skip
    sub.add_argument("--max-new-tokens", type=int, default=120, help="default 120")
    sub.add_argument("--temperature", type=float, default=0.8, help="0 is greedy (default 0.8)")
    sub.add_argument(
        "--top-k", type=int, default=50,
        help="sample from the k likeliest tokens only (default 50; 0: from all)",
    )  # fmt: skip
    sub.add_argument("--top-p", type=float, help="sample from the likeliest tokens of mass p only")
    sub.add_argument(
        "--no-cache", action="store_true", help="recompute every step: same text, slower"
    )

    sub = command(
        finetune, "teach a pretrained model a task",
        "finetune --method lora --task translation --out runs/french",
    )  # fmt: skip
    finetuning.add_arguments(sub)

    sub = command(
        evaluate, "ROUGE and BLEU of a file of predictions, or of a model",
        "evaluate --predictions out.txt --references ref.txt --metrics rougeL,bleu",
    )  # fmt: skip
    evaluation.add_arguments(sub)

    sub = command(
        memory, "how much memory training takes, method by method",
        "memory --preset gpt2-xl --method qlora --batch 1 --context 1024",
    )  # fmt: skip
    memory_of_training.add_arguments(sub)

    sub = command(data, "fetch public data, show the task sets", "data fetch shakespeare")
    actions = sub.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = actions.add_parser("fetch", help="download and check a public data set")
    action.add_argument("name", choices=["shakespeare", "dialogsum", "gpt2"])
    action.add_argument("--from", dest="source", type=Path, help="a copy you already have")
    action.add_argument("--out", type=Path, help="folder (default runs/data/NAME)")
    action = actions.add_parser("show", help="print records of a task set")
    action.add_argument("name", choices=["translation", "dialogues", "reviews"])
    action.add_argument("--split", default="train", choices=["train", "validation", "test"])
    action.add_argument("-n", type=int, default=5, help="how many (default 5)")

    sub = command(bench, "time minigpt against its peers", "bench training --json bench.json")
    sub.add_argument(
        "what", nargs="?", default="all",
        choices=["all", "training", "generation", "metrics", "qlora"],
    )  # fmt: skip
    sub.add_argument("--json", type=Path, help="also write the figures to this file")
    sub.add_argument(
        "--preset", help="qlora: of the model (default gpt2-xl; not on a GPU: 2 layers of gpt2)"
    )
    sub.add_argument("--dtype", default="auto", help="qlora: auto (default), float32 or bfloat16")
    for option, text in {
        "--layers": "leave out the model's others",
        "--batch": "rows a step (default 8; not on a GPU: 2)",
        "--context": "tokens a row (default 1024; not on a GPU: 256)",
        "--rounds": "timed steps of each contender (default 5)",
    }.items():
        sub.add_argument(option, type=int, metavar="N", help=f"qlora: {text}")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = make_parser().parse_args(argv)
    try:
        return arguments.function(arguments)
    except KeyboardInterrupt as stopped:
        print(f"\nminigpt: {str(stopped) or 'interrupted'}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ImportError, TrainingDivergedError) as error:
        if os.environ.get("MINIGPT_DEBUG"):
            raise
        print(f"minigpt: {error}", file=sys.stderr)
        return 2
