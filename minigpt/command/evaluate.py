"""`minigpt evaluate`: scores a file of predictions, or a model's answers to a task.

A text file holds one segment a line. A JSON Lines file (its name ends in .jsonl) holds one record a
line; the segments are its named fields, which may contain line breaks.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from minigpt.command.machine_options import add_device, add_seed
from minigpt.command.task_options import add_task_options, chosen_tasks


def add_options(parser: ArgumentParser) -> None:
    """Adds the files or the model to judge, and the metrics."""
    add = parser.add_argument
    add_device(parser)
    add_seed(parser)
    file_help = "one segment a line, or JSON Lines if the name ends in .jsonl"
    add("--predictions", type=Path, metavar="FILE", help=file_help)
    add("--references", type=Path, nargs="+", metavar="FILE", help=file_help)
    default = "rouge1,rouge2,rougeL,bleu"
    add(
        "--metrics", default=default, metavar="LIST",
        help=f"of rouge1 to rouge9, rougeL, rougeLsum, bleu (default {default})",
    )  # fmt: skip
    add(
        "--prediction-field", default="prediction", metavar="NAME",
        help="which field of a .jsonl prediction is the text (default prediction)",
    )  # fmt: skip
    add(
        "--reference-field", default=["reference"], nargs="+", metavar="NAME",
        help="which fields of a .jsonl reference are references (default reference)",
    )  # fmt: skip
    add("--stem", action="store_true", help="ROUGE: compare stems (extra 'stem')")
    add("--interval", action="store_true", help="ROUGE: add a 95%% bootstrap interval of F1")
    add("--tokenize", default="13a", help="BLEU: 13a (default), intl, char or none")
    add("--lowercase", action="store_true", help="BLEU: ignore case")
    add("--json", action="store_true", help="print JSON instead of a table")
    add("--model", help="judge a model instead of a file: base, or a folder of `minigpt finetune`")
    add_task_options(parser, several=False)


def run(arguments: Namespace) -> int:
    """Reads the files or asks the model, scores, prints a table or JSON."""
    if arguments.model:
        return judge_model(arguments)
    if not (arguments.predictions and arguments.references):
        raise ValueError("give --predictions and --references, or --model and --task")
    from minigpt.tasks.scores import check_lengths, corpus_scores, read_segments

    (predictions,) = read_segments(arguments.predictions, [arguments.prediction_field])
    texts = [(str(arguments.predictions), predictions)]
    for path in arguments.references:
        columns = read_segments(path, arguments.reference_field)
        texts += [(str(path), segments) for segments in columns]
    check_lengths(texts)
    results = corpus_scores(
        predictions,
        [segments for _, segments in texts[1:]],
        arguments.metrics.split(","),
        use_stemmer=arguments.stem,
        tokenize=arguments.tokenize,
        lowercase=arguments.lowercase,
        interval=arguments.interval,
        seed=arguments.seed,
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
    if arguments.predictions or arguments.references:
        raise ValueError("give --predictions and --references, or --model and --task, not both")
    from minigpt.device import pick_device
    from minigpt.finetuning.methods import load_model
    from minigpt.tasks.answers import evaluate_task
    from minigpt.tasks.data import task_data
    from minigpt.tasks.task import read_records

    (task,) = chosen_tasks(arguments)
    records = task_data(task).test if arguments.data is None else read_records(arguments.data, task)
    model, encoding = load_model(arguments.model)
    model.to(pick_device(arguments.device))
    result = evaluate_task(model, encoding, task, records, progress=True)
    if arguments.json:
        print(json.dumps({"records": len(records), **vars(result)}, ensure_ascii=False, indent=1))
        return 0
    for record, answer in list(zip(records, result.answers, strict=True))[:3]:
        print(f"\n{task.prompt(record)}\n  right   {task.target(record)}\n  answer  {answer}")
    print(f"\n{len(records)} records of {task.name}: {result}\n{result.signature}")
    return 0


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
