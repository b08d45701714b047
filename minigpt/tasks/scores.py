"""Computes ROUGE and BLEU of a whole corpus, and reads files of predictions and references."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minigpt.bleu import corpus_bleu
from minigpt.rouge import ROUGE_TYPES, RougeScorer, bootstrap_interval, mean_scores
from minigpt.text.bars import progress_bar
from minigpt.text.decoding import read_lines
from minigpt.text.records import is_plain_text, read_records
from minigpt.text.template import named_field

CORPUS_METRICS = (*ROUGE_TYPES, "bleu")


def read_segments(path: Path, fields: Sequence[str]) -> list[list[str]]:
    """Returns the segments of a file: the lines of a text, or each of these fields of its records.

    The file's content and ending tell records from text (text/records.py). The field "" stands for
    the whole line of a text that looks like records.

    Raises:
        OSError: there is no such file, or it may not be read.
        ValueError: the file is empty or not text, or a record lacks a field; an empty one is text.
    """
    columns = [named_field(field) for field in fields if field]
    wanted = {column.name for column in columns}
    if is_plain_text(path, wanted) or "" in fields:
        return [list(read_lines(path))]
    segments: list[list[str]] = [[] for _ in columns]
    for record in read_records(path, wanted):
        for column, texts in zip(columns, segments, strict=True):
            with record.blamed():
                texts.append(column.text_in(record))
    return segments


def refuse_text(paths: Sequence[Path], fields: Sequence[str], option: str) -> None:
    """Raises ValueError if all files are text, whose fields an option cannot choose."""
    wanted = {named_field(field).name for field in fields if field}
    if "" not in fields and all(is_plain_text(path, wanted) for path in paths):
        raise ValueError(f"{option} does nothing with {paths[0]}, which is text; leave it out")


def check_lengths(texts: Sequence[tuple[str, list[str]]]) -> None:
    """Raises ValueError unless all (name, segments) have as many segments as the first."""
    (first, predictions), *references = texts
    for name, segments in references:
        if len(segments) != len(predictions):
            line = min(len(segments), len(predictions)) + 1
            raise ValueError(
                f"{first} has {len(predictions)} segments, {name} has {len(segments)}: each "
                "prediction needs its reference on the same line, and from line "
                f"{line} on one of them has none"
            )


def check_metrics(metrics: Sequence[str]) -> None:
    """Raises ValueError if one of metrics is not in CORPUS_METRICS."""
    for metric in metrics:
        if metric not in CORPUS_METRICS:
            raise ValueError(
                f"no metric is called {metric!r}; there are {', '.join(CORPUS_METRICS)}"
            )


def corpus_scores(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str],
    *,
    use_stemmer: bool = False,
    tokenize: str = "13a",
    lowercase: bool = False,
    interval: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, dict[str, Any]]:
    """Returns the scores of the whole corpus, by metric.

    Args:
        predictions: the N texts to judge.
        references: [reference set][segment], N texts in each set. With several sets ROUGE takes
            for each text the reference with the highest F1.
        metrics: "bleu", "rouge1" to "rouge9", "rougeL", "rougeLsum".
        use_stemmer: for ROUGE.
        tokenize, lowercase: for BLEU.
        interval: add a 95% bootstrap interval of each ROUGE F1, drawn with `seed`.
        progress: show a bar.

    Returns:
        For a ROUGE metric its mean precision, recall and fmeasure; for BLEU its score (0 to 100)
        and the numbers it is made of; for both the signature, the settings of the metric.
    """
    check_metrics(metrics)
    results: dict[str, dict[str, Any]] = {}
    if "bleu" in metrics:  # first, since it is quick to refuse a tokenizer
        bleu = corpus_bleu(predictions, references, tokenize=tokenize, lowercase=lowercase)
        results["bleu"] = {
            "score": bleu.score,
            "precisions": bleu.precisions,
            "bp": bleu.bp,
            "sys_len": bleu.sys_len,
            "ref_len": bleu.ref_len,
            "signature": bleu.signature,
        }
    rouge_types = [metric for metric in metrics if metric != "bleu"]
    if rouge_types:
        scorer = RougeScorer(rouge_types, use_stemmer=use_stemmer)
        segments = zip(zip(*references, strict=True), predictions, strict=True)
        scores = []
        with progress_bar(len(predictions), "segment", "ROUGE", show=progress) as advance:
            for targets, prediction in segments:
                scores.append(scorer.score_multi(targets, prediction))
                advance()
        for name, score in mean_scores(scores).items():
            results[name] = {**score._asdict(), "signature": scorer.signature}
        if interval:
            for name, range_ in bootstrap_interval(scores, seed=seed).items():
                results[name]["interval"] = [range_.low.fmeasure, range_.high.fmeasure]
    return {metric: results[metric] for metric in metrics}
