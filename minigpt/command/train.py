"""`minigpt train`: trains a GPT from scratch on text."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt.command import values
from minigpt.command.machine_options import add_device, add_seed, seed_of
from minigpt.command.parser import refuse_idle
from minigpt.text.reading import SEPARATOR

if TYPE_CHECKING:
    import numpy as np
    import tiktoken

    from minigpt.text.documents import Document
    from minigpt.training.settings import TrainConfig

DEFAULT_VOCAB_SIZE = 4096
SMALLER = "take a smaller --micro-batch-size, --block-size, --n-embd or --n-layer"


def add_options(parser: ArgumentParser) -> None:
    """Adds the text, the sizes of the model, and the settings of training."""
    add = parser.add_argument
    add_device(parser)
    add_seed(parser)
    add(
        "--data", type=values.file_to_read, nargs="+", metavar="FILE",
        help="text or records: JSON Lines, JSON, CSV, TSV; gzipped or not (default: the "
        "documentation in this Python's own library)",
    )  # fmt: skip
    add(
        "--field", type=values.field_or_template,
        help="which field of a record is the text (default text), as turns[0][value]; or a "
        """template of several, as "{question} {answer}"; '' reads records as plain text""",
    )  # fmt: skip
    add(
        "--separator", type=values.text, metavar="TEXT",
        help=f"what stands alone on a line between documents (default {SEPARATOR}); '' for nothing",
    )  # fmt: skip
    add(
        "--tokenizer", type=values.name_or_path, default="new",
        help="new (trained on the text, default), base, gpt2 or a tokenizer file",
    )  # fmt: skip
    count = values.whole(1)
    add(
        "--vocab-size", type=count, help=f"size of a new tokenizer (default {DEFAULT_VOCAB_SIZE})"
    )  # fmt: skip
    for option, default in {"n-layer": 5, "n-head": 4, "n-embd": 256, "block-size": 256}.items():
        add(f"--{option}", type=count, default=default, help=f"default {default}")
    add("--dropout", type=values.number(0, below=1), default=0.1, help="default 0.1")
    add("--steps", type=count, default=500, help="optimizer steps (default 500)")
    add("--batch-size", type=count, default=16, help="sequences a step (default 16)")
    add("--micro-batch-size", type=count, help="sequences at once; smaller needs less memory")
    add("--learning-rate", type=values.learning_rate, default=1e-3, help="default 0.001")
    add("--warmup-steps", type=values.whole(0), help="default: 50, or a tenth of --steps if less")
    add(
        "--eval-every", type=values.whole(0), default=100,
        help="steps between validations, and between checkpoints (default 100; 0: no validation, "
        "a checkpoint at the end)",
    )  # fmt: skip
    formats, modes = ["auto", "float32", "bfloat16"], ["auto", "none", "ddp", "fsdp"]
    add("--dtype", default="auto", choices=formats, help="of products (default auto)")
    add("--compile", action="store_true", help="let torch.compile fuse the model")
    add("--parallel", default="auto", choices=modes, help="under torchrun (default auto: ddp)")
    add("--out", type=values.folder_to_write, default=Path("runs/train"), help="default runs/train")
    add("--resume", action="store_true", help="go on where --out stopped")


def run(arguments: Namespace) -> int:
    """Trains a model, and saves it with its tokenizer in --out, where no other run may write."""
    if arguments.tokenizer != "new":
        refuse_idle(arguments, ["--vocab-size"], f"with --tokenizer {arguments.tokenizer}")
    if not arguments.data:
        refuse_idle(arguments, ("--field", "--separator"), "without --data")
    config = settings_of(arguments)
    from minigpt.training.run_folder import check_free, claimed

    with claimed(arguments.out):
        check_free(arguments.out, arguments.resume)
        return train_and_save(arguments, config)


def train_and_save(arguments: Namespace, config: TrainConfig) -> int:
    """Reads the text, makes or loads the tokenizer, trains and saves."""
    from dataclasses import replace

    import torch

    from minigpt.config import GPTConfig, count_parameters
    from minigpt.dataset import PackedText, pack
    from minigpt.device import pick_device, rank_and_count
    from minigpt.memory.room import check_step_fits, rows_at_once
    from minigpt.memory.run import TrainingRun
    from minigpt.model import GPT
    from minigpt.pretrained.folders import save_pretrained
    from minigpt.text.documents import divide
    from minigpt.text.python_library import python_library
    from minigpt.training.loop import train

    pick_device(arguments.device)  # refuses one that is not here before the text is read
    vocab_size = arguments.vocab_size or DEFAULT_VOCAB_SIZE
    shape = GPTConfig(
        vocab_size,
        arguments.block_size,
        arguments.n_layer,
        arguments.n_head,
        arguments.n_embd,
        arguments.dropout,
    )
    step = TrainingRun("full", rows_at_once(config), shape.block_size)
    check_step_fits(shape, step, config, SMALLER)
    library = [] if arguments.data else sorted(python_library())
    blank, before, beside = Counter[Path](), 0, 0  # found in reading, which is done several times

    def read() -> Iterator[Document]:
        nonlocal before, beside
        before = beside = 0
        blank.clear()
        files = read_documents(arguments.data or [], arguments.field, arguments.separator, blank)
        for document in library or files:
            before += len(document.text)
            beside += SEPARATOR in document.text
            yield document

    learn, validate = divide(read)
    for path, n in blank.items():
        print(f"{path}: {n} records without text are left out")
    if beside:
        print(f"{beside} documents have {SEPARATOR} beside other text, where it ends nothing")
    encoding = choose_encoding(arguments.tokenizer, learn, vocab_size)

    def encode(part: Iterable[Document]) -> np.ndarray:
        return pack(
            (encoding.encode_ordinary(document.text) for document in part), encoding.eot_token
        )

    ids = encode(learn)
    after = learn.n_characters + sum(len(document.text) for document in validate)
    if after < 0.9 * before:
        repeated = f"{1 - after / before:.0%} of the text"
        print(f"{repeated} repeats what it is validated with, and is left out of training")
    data = PackedText(ids, encode(validate), arguments.block_size, config.seed)
    shape = replace(shape, vocab_size=encoding.n_vocab)
    torch.manual_seed(config.seed)
    model = GPT(shape)
    print(f"{learn.n_documents:,} documents to learn from, {len(validate):,} to validate on")
    print(f"{count_parameters(shape):,} parameters; writing to {arguments.out}/")
    result = train(model, data, config)
    if rank_and_count()[0] == 0:
        save_pretrained(model, encoding, arguments.out)
        what, loss = "loss", result.losses[-1]
        if result.validation:
            what, loss = "validation loss", result.validation[-1][1]
        print(f"{what} {loss:.3f} after {result.steps} steps")
        print(f'try: minigpt generate --model {arguments.out} --prompt "Return the"')
    return 0


def settings_of(arguments: Namespace) -> TrainConfig:
    """Returns the settings of the training loop; raises ValueError as TrainConfig does."""
    from minigpt.training.settings import TrainConfig

    warmup_steps = arguments.warmup_steps
    if warmup_steps is None:
        warmup_steps = min(50, arguments.steps // 10)
    return TrainConfig(
        max_steps=arguments.steps,
        batch_size=arguments.batch_size,
        micro_batch_size=arguments.micro_batch_size,
        learning_rate=arguments.learning_rate,
        warmup_steps=warmup_steps,
        eval_every=arguments.eval_every,
        checkpoint_every=arguments.eval_every,
        seed=seed_of(arguments),
        device=arguments.device,
        dtype=arguments.dtype,
        compile=arguments.compile,
        parallel=arguments.parallel,
        out_dir=arguments.out,
        resume=arguments.resume,
    )


def read_documents(
    paths: list[Path],
    field: str | None = None,
    separator: str | None = None,
    blank: Counter[Path] | None = None,
) -> Iterator[Document]:
    """Yields the documents in files of text or of records.

    A record whose text is blank is left out.

    Args:
        field: of records is the text; None for "text"; "" for files that are all plain text.
        separator: stands between documents; None for the usual one.
        blank: is told how many records each file has without text.

    Raises:
        OSError, ValueError: as the readers; or there are no records for a field that was given.
    """
    from minigpt.text.documents import Document
    from minigpt.text.reading import read_text, split_at_separator
    from minigpt.text.records import is_plain_text, language, read_records
    from minigpt.text.template import named_field, parse_template

    separator = SEPARATOR if separator is None else separator
    if field == "":
        for path in paths:
            yield from read_text(path, separator)
        return
    given, field = field, "text" if field is None else field
    parts = parse_template(field) if "{" in field else (named_field(field),)
    wanted = {part.name for part in parts if not isinstance(part, str)}
    plain = [is_plain_text(path, wanted) for path in paths]
    files: list[list[Path]] = [[path] for path in paths]
    if given is not None and all(plain):
        if not wanted <= {language(path) for path in paths}:
            raise ValueError("--field does nothing with files of text; leave it out")
        files, plain = [paths], [False]  # parallel files: each line is a record
    for together, is_text in zip(files, plain, strict=True):
        path, n = together[0], 0
        if is_text:
            yield from read_text(path, separator)
            continue
        in_line = (0, 0)  # a line, and how many documents it has given: an array may stand in one
        for record in read_records(together, wanted):
            with record.blamed():
                text = "".join(p if isinstance(p, str) else p.text_in(record) for p in parts)
            texts = split_at_separator(text, separator)
            if not texts and blank is not None:
                blank[path] += 1
            for text in texts:
                i = in_line[1] if in_line[0] == record.line else 0
                in_line = record.line, i + 1
                n += 1
                yield Document(f"{path.name}:{record.line}:{i}", text)
        if not n:
            raise ValueError(f'{path} has no text in the field "{field}" of any record')


def choose_encoding(name: str, documents: Iterable[Document], vocab_size: int) -> tiktoken.Encoding:
    """Trains a tokenizer on the documents ("new"), or loads one: "base", "gpt2" or a file."""
    from minigpt import tokenizer
    from minigpt.text.task_sets import data_folder

    if name == "new":
        texts = (document.text for document in documents)
        return tokenizer.train_bpe(texts, vocab_size, special_tokens=(tokenizer.END_OF_TEXT,))
    if name == "gpt2":
        return tokenizer.gpt2_encoding()
    return tokenizer.load_encoding(
        data_folder() / "base" / "tokenizer.json" if name == "base" else Path(name)
    )
