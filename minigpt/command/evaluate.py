"""`minigpt evaluate`: scores a file of predictions, or a model's answers to a task.

A text file holds one segment a line, which ends at a line feed. A file of records (JSON, CSV, TSV:
text/records.py) has them in the named fields, where they may contain line breaks.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minigpt.command import values
from minigpt.command.machine_options import add_device, add_seed, seed_of
from minigpt.command.parser import about, refuse_idle
from minigpt.command.task_options import add_task_options, chosen_tasks

OF_ROUGE, OF_BLEU = ("--stem", "--interval"), ("--tokenize", "--lowercase")
OF_FILES = ("--references", "--prediction-field", "--reference-field", "--metrics")
OF_A_MODEL = (
    "--device", "--task", "--data", "--template", "--answer", "--metric", "--max-new-tokens",
    "--write-predictions", "--write-references",
)  # fmt: skip
SMALLER = "take a smaller model or fewer records"
DEFAULT_METRICS = ("rouge1", "rouge2", "rougeL", "bleu")


def add_options(parser: ArgumentParser) -> None:
    """Adds the files or the model to judge, and the metrics."""
    add = parser.add_argument
    add_device(parser)
    add_seed(parser)
    file_help = "one segment a line, or records (JSON Lines, JSON, CSV, TSV)"
    add("--predictions", type=values.file_to_read, metavar="FILE", help=file_help)
    add("--references", type=values.file_to_read, nargs="+", metavar="FILE", help=file_help)
    add(
        "--metrics", type=values.names, metavar="LIST",
        help="of rouge1 to rouge9, rougeL, rougeLsum, bleu (default "
        f"{','.join(DEFAULT_METRICS)})",
    )  # fmt: skip
    add(
        "--prediction-field", type=values.field, metavar="NAME",
        help="which field of a predicted record is the text (default prediction); '' for its line",
    )  # fmt: skip
    add(
        "--reference-field", type=values.field, nargs="+", metavar="NAME",
        help="which fields of a record are references (default reference); '' for its line",
    )  # fmt: skip
    add("--stem", action="store_true", help="ROUGE: compare stems, of English words")
    add("--interval", action="store_true", help="ROUGE: add a 95%% bootstrap interval of F1")
    add("--tokenize", type=values.text, help="BLEU: 13a (default), intl, char or none")
    add("--lowercase", action="store_true", help="BLEU: ignore case")
    add("--json", action="store_true", help="print JSON instead of a table")
    add(
        "--model", type=values.name_or_path,
        help="judge a model instead of a file: base, or a folder of `minigpt finetune`",
    )  # fmt: skip
    add_task_options(parser, several=False)
    add(
        "--write-predictions", type=values.file_to_write, metavar="FILE",
        help="the model's answers, one a line",
    )  # fmt: skip
    add(
        "--write-references", type=values.file_to_write, metavar="FILE",
        help="the right answers, one a line; FILE.1, FILE.2, ... if a prompt has several",
    )  # fmt: skip


def run(arguments: Namespace) -> int:
    """Reads the files or asks the model, scores, prints a table or JSON."""
    if arguments.model is not None:
        return judge_model(arguments)
    if not (arguments.predictions and arguments.references):
        raise ValueError("give --predictions and --references, or --model and --task")
    refuse_idle(arguments, OF_A_MODEL, "without --model")
    metrics = arguments.metrics or DEFAULT_METRICS
    if "bleu" not in metrics:
        refuse_idle(arguments, OF_BLEU, "without the metric bleu")
    if set(metrics) <= {"bleu"}:
        refuse_idle(arguments, OF_ROUGE, "without a metric of ROUGE")
    if not arguments.interval:
        refuse_idle(arguments, ["--seed"], "without --interval: nothing else is random")
    from minigpt.tasks.scores import (
        check_lengths,
        check_metrics,
        corpus_scores,
        read_segments,
        refuse_text,
    )

    with about("--metrics"):
        check_metrics(metrics)

    field, fields = arguments.prediction_field, arguments.reference_field
    if field is not None:  # "" is the whole line
        refuse_text([arguments.predictions], [field], "--prediction-field")
    if fields is not None:
        refuse_text(arguments.references, fields, "--reference-field")
    (predictions,) = read_segments(
        arguments.predictions, ["prediction" if field is None else field]
    )
    texts = [(str(arguments.predictions), predictions)]
    for path in arguments.references:
        columns = read_segments(path, fields or ["reference"])
        texts += [(str(path), segments) for segments in columns]
    check_lengths(texts)
    results = corpus_scores(
        predictions,
        [segments for _, segments in texts[1:]],
        metrics,
        use_stemmer=arguments.stem,
        tokenize="13a" if arguments.tokenize is None else arguments.tokenize,
        lowercase=arguments.lowercase,
        interval=arguments.interval,
        seed=seed_of(arguments),
        progress=True,
    )
    if arguments.json:
        print(json.dumps({"segments": len(predictions), "metrics": results}, indent=1))
        return 0
    print(f"{len(predictions)} segments, {len(texts) - 1} reference(s) each\n")
    print_table(results)
    if "rougeLsum" in results and not any("\n" in text for text in predictions):
        print("No prediction has a line break, so rougeLsum is rougeL.")
    return 0


def judge_model(arguments: Namespace) -> int:
    """Lets a model answer the test records of a task, or all records of --data."""
    if arguments.predictions:
        raise ValueError("give --predictions and --references, or --model and --task, not both")
    refuse_idle(arguments, (*OF_FILES, *OF_ROUGE, *OF_BLEU), "with --model: a task has its metric")
    refuse_idle(arguments, ["--seed"], "with --model, which takes the likeliest tokens")
    from minigpt.device import pick_device
    from minigpt.finetuning.methods import load_model
    from minigpt.finetuning.saved_tasks import records_file, saved_tasks
    from minigpt.tasks.answers import evaluate_task, questions
    from minigpt.tasks.data import task_data
    from minigpt.tasks.task import read_records

    folder = Path(arguments.model)
    saved = saved_tasks(folder)
    (task,) = chosen_tasks(arguments, saved)
    records: Sequence[dict[str, Any]]
    if arguments.data is None and task.task_set:
        records = task_data(task).test
    else:
        files = arguments.data or records_file(folder, task.name, len(saved))
        for option in ("write_predictions", "write_references"):
            if getattr(arguments, option) == files:
                raise ValueError(f"{files} has the records to judge with; write to another file")
        records = read_records(files, task)
    asked = questions(task, records)
    model, encoding = load_model(arguments.model)
    model.to(pick_device(arguments.device))
    result = evaluate_task(model, encoding, task, records, progress=True)
    if arguments.write_predictions:
        write_lines(arguments.write_predictions, [q.answer_among(result.answers) for q in asked])
    if arguments.write_references:
        write_references(arguments.write_references, [question.targets for question in asked])
    if arguments.json:
        print(json.dumps({"records": len(records), **vars(result)}, indent=1))
        return 0
    for question in asked[:3]:
        answer = question.answer_among(result.answers)
        print(f"\n{question.prompt}\n  right   {question.targets[0]}\n  answer  {answer}")
    different = "" if len(asked) == len(records) else f" with {len(asked)} different prompts"
    print(f"\n{len(records)} records of {task.name}{different}: {result}\n{result.signature}")
    return 0


def write_references(path: Path, targets: Sequence[Sequence[str]]) -> None:
    """Writes the references into path, or several of each into path with .1, .2, ... behind.

    A prompt that has fewer than another gets its first one again, which changes no score.
    """
    most = max(map(len, targets))
    for n in range(most):
        column = [several[n] if n < len(several) else several[0] for several in targets]
        write_lines(path if most == 1 else path.with_name(f"{path.name}.{n + 1}"), column)


def write_lines(path: Path, segments: Sequence[str]) -> None:
    """Writes one segment a line; line breaks inside it become spaces."""
    from minigpt.files.atomic import write_text

    write_text(path, "".join(" ".join(segment.split("\n")) + "\n" for segment in segments))


def print_table(results: dict[str, dict[str, Any]]) -> None:
    """Prints the scores as a table, with the signatures below it."""
    print(f"{'':<10} {'precision':>9} {'recall':>9} {'F1':>9}")
    for name, result in results.items():
        if name == "bleu":
            orders = "/".join(f"{p:.1f}" for p in result["precisions"])
            print(
                f"{name:<10} {result['score']:>9.2f}  ({orders}, BP {result['bp']:.3f}, "
                f"length {result['sys_len']} for {result['ref_len']})"
            )
            continue
        row = "".join(f" {result[part]:>9.4f}" for part in ("precision", "recall", "fmeasure"))
        low_high = result.get("interval")
        print(
            f"{name:<10}{row}" + ("  95%: {:.4f} to {:.4f}".format(*low_high) if low_high else "")
        )
    print("\n" + "\n".join(dict.fromkeys(result["signature"] for result in results.values())))
