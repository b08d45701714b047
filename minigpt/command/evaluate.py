"""`minigpt evaluate`: ROUGE and BLEU of a file of predictions, or of a model's answers to a task.

A text file holds one segment a line. A JSON Lines file (its name ends in .jsonl) holds one record a
line; named fields of it are the segments, and those may have line breaks of their own.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from minigpt.bleu import corpus_bleu
from minigpt.device import pick_device
from minigpt.finetuning.methods import load_model
from minigpt.rouge import RougeScorer, bootstrap_interval, mean_scores
from minigpt.tasks.answers import evaluate_task
from minigpt.tasks.data import add_task_arguments, chosen_tasks, task_data
from minigpt.tasks.task import read_records
from minigpt.text.reading import read_jsonl, read_lines

METRICS = (*(f"rouge{n}" for n in range(1, 10)), "rougeL", "rougeLsum", "bleu")


def read_segments(path: Path, fields: Sequence[str]) -> list[list[str]]:
    """The segments of a file: one list from a text file, one for each field from a .jsonl file.

    Raises:
        FileNotFoundError, ValueError: no such file; it is empty; it is not UTF-8; a line is no JSON
            object or lacks a field. All but the first name the line.
    """
    if path.suffix == ".jsonl":
        records = read_jsonl(path, fields)
        return [[record[field] for record in records] for field in fields]
    lines = read_lines(path)
    return [lines[:-1] if lines[-1] == "" else lines]  # a file ends with a line end, or without


def check_lengths(texts: Sequence[tuple[str, list[str]]]) -> None:
    """Raises ValueError unless all of the (name, segments) have as many segments as the first."""
    (first, predictions), *references = texts
    for name, segments in references:
        if len(segments) != len(predictions):
            line = min(len(segments), len(predictions)) + 1
            raise ValueError(
                f"{first} has {len(predictions)} segments, {name} has {len(segments)}: each "
                "prediction needs its reference on the same line, and from line "
                f"{line} on one of them has none"
            )


def evaluate(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str] = ("rouge1", "rouge2", "rougeL", "bleu"),
    *,
    use_stemmer: bool = False,
    tokenize: str = "13a",
    lowercase: bool = False,
    interval: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, dict[str, Any]]:
    """Scores of the whole corpus, by metric.

    Args:
        predictions: the N texts to judge.
        references: [reference set][segment], each N texts. ROUGE takes, of several, the one with
            the highest F1.
        metrics: "bleu", "rouge1" to "rouge9", "rougeL", "rougeLsum".
        use_stemmer: for ROUGE.
        tokenize, lowercase: for BLEU.
        interval: add a 95% bootstrap interval of each ROUGE F1, drawn with `seed`.
        progress: show a bar.

    Returns:
        for a ROUGE metric its mean precision, recall and fmeasure, for BLEU its score (0 to 100)
        and what that is made of; for both the signature, without which a score cannot be compared.
    """
    for metric in metrics:
        if metric not in METRICS:
            raise ValueError(f"no metric is called {metric!r}; there are {', '.join(METRICS)}")
    results: dict[str, dict[str, Any]] = {}
    rouge_types = [metric for metric in metrics if metric != "bleu"]
    if rouge_types:
        scorer = RougeScorer(rouge_types, use_stemmer=use_stemmer)
        segments = zip(zip(*references, strict=True), predictions, strict=True)
        bar = tqdm(segments, "ROUGE", len(predictions), unit=" segments", disable=not progress)
        scores = [scorer.score_multi(targets, prediction) for targets, prediction in bar]
        for name, score in mean_scores(scores).items():
            results[name] = {**score._asdict(), "signature": scorer.signature}
        if interval:
            for name, range_ in bootstrap_interval(scores, seed=seed).items():
                results[name]["interval"] = [range_.low.fmeasure, range_.high.fmeasure]
    if "bleu" in metrics:
        bleu = corpus_bleu(predictions, references, tokenize=tokenize, lowercase=lowercase)
        results["bleu"] = {
            "score": bleu.score,
            "precisions": bleu.precisions,
            "bp": bleu.bp,
            "sys_len": bleu.sys_len,
            "ref_len": bleu.ref_len,
            "signature": bleu.signature,
        }
    return {metric: results[metric] for metric in metrics}


def print_table(results: dict[str, dict[str, Any]]) -> None:
    """The scores as a table, with the signatures below it."""
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


def judge_model(arguments: Namespace) -> int:
    """Let a model answer the test records of a task, or all records of --data."""
    if arguments.predictions or arguments.references:
        raise ValueError("give --predictions and --references, or --model and --task, not both")
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


def add_arguments(parser: ArgumentParser) -> None:
    """The options of `minigpt evaluate`."""
    add = parser.add_argument
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
    add_task_arguments(parser, several=False)


def main(arguments: Namespace) -> int:
    """Read the files or ask the model, score, print a table or JSON."""
    if arguments.model:
        return judge_model(arguments)
    if not (arguments.predictions and arguments.references):
        raise ValueError("give --predictions and --references, or --model and --task")
    (predictions,) = read_segments(arguments.predictions, [arguments.prediction_field])
    texts = [(str(arguments.predictions), predictions)]
    for path in arguments.references:
        columns = read_segments(path, arguments.reference_field)
        texts += [(str(path), segments) for segments in columns]
    check_lengths(texts)
    results = evaluate(
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
