"""Lesson 7 runs, draws its figures, and what it says about data does not depend on training."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest
import tiktoken

from lessons.experiments.naming import naming_data
from lessons.experiments.real_translations import described, known_words, multi30k
from lessons.experiments.summary_baselines import nearest_summaries, topics
from lessons.experiments.task_scores import scores_of
from minigpt.tasks.answers import score
from minigpt.tasks.task import SENTIMENT, SUMMARIZATION, TRANSLATION, Task
from minigpt.text.data_sets import DATASETS


def test_lesson_07(run_lesson: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "data" / "multi30k"  # as if it had been fetched
    folder.mkdir(parents=True)
    for file in DATASETS["multi30k"]:
        words = "A dog plays ball" if ".en" in file.name else "Un chien joue"
        lines = "".join(f"{words} {file.name.split('.')[0]} {i}.\n" for i in range(12))
        (folder / file.name).write_bytes(gzip.compress(lines.encode()))
    lesson = run_lesson(7, "--device", "cpu")
    assert set(lesson.figures) == {
        "summaries.png", "wordings.png", "reviews.png", "forgetting.png",
    }  # fmt: skip
    kinds = {name: row["kind"] for name, row in lesson.table.items()}
    for name in (
        "FLAN, sum of the tasks", "FLAN, tasks are pairs of dataset and category",
        "gradient at a prompt's position", "logits of an example, packed and alone",
        "prompts in two of the three sets",
    ):  # fmt: skip
        assert kinds[name] in ("holds", "reproduced"), name
    assert lesson.table["FLAN, sum of the datasets"]["measured here"] == "505"
    assert lesson.table["FLAN, sum of the categories"]["measured here"] == "150"
    assert lesson.table["gradient at a prompt's position"]["measured here"].startswith("0 ")
    assert all(row["source"] for row in lesson.table.values() if row["published"])

    # Of a packed row the model makes what it makes of each example; without segments it does not.
    (difference,) = re.findall(r"of each example alone differ by (\S+) at most", lesson.output)
    (leaking,) = re.findall(r"had the examples seen each other, by (\S+)\n", lesson.output)
    assert float(difference) < 1e-4 < 0.1 < float(leaking)

    # The prompt's tokens have no target, and the last target is the end.
    rows = re.findall(r"^  after .* comes (.+)$", lesson.output, re.MULTILINE)
    n_prompt = rows.count("-100")
    assert rows[:n_prompt] == ["-100"] * n_prompt
    assert rows[-1] == "'<|endoftext|>'"

    # The baselines do not need a model, and the nearest summary is better than a random one.
    found = dict(re.findall(r"ROUGE-L of the (\w+) summary (\S+)", lesson.output))
    assert 0.3 < float(found["random"]) < float(found["nearest"]) < 0.9

    # Real data are described, and translated before and after.
    assert "A dog plays ball test_2016_flickr 0.\n    a translator: Un chien joue" in lesson.output
    assert len(re.findall(r"^    ours, (before|after) its training:", lesson.output, re.M)) == 4
    assert "BLEU on Multi30k, before and after training on it" in lesson.table

    # Seven wordings of a summary, and the choices of a rating, were shown.
    assert len(re.findall(r"^'.*' +\.\.\. '.*'$", lesson.output, re.M)) == 7
    assert "\\n- negative\\n- positive\\nIt is' ' negative'" in lesson.output


ANSWERS = ["Le chat dort sur le lit.", "Le chien.", "", "Je mange une pomme verte !"]
RIGHT = [
    ["Le chat dort sur le lit.", "Le chat est sur le lit."],
    ["Le chien mange."], ["Il pleut."], ["Je mange une pomme rouge."],
]  # fmt: skip


@pytest.mark.parametrize("task", [TRANSLATION, SUMMARIZATION, SENTIMENT], ids=lambda t: t.metric)
def test_scores_by_record_add_up_to_those_of_the_corpus(task: Task) -> None:
    scores = scores_of(task, ANSWERS, RIGHT)
    whole = score(task, ANSWERS, RIGHT).metrics
    assert scores.parts.keys() == whole.keys()
    for metric, expected in whole.items():
        assert scores.value(metric) == pytest.approx(expected, rel=1e-12)
        drawn = [3, 0, 0, 1]
        again = score(task, [ANSWERS[i] for i in drawn], [RIGHT[i] for i in drawn])
        assert scores.of(metric)(np.array(drawn)) == pytest.approx(again.metrics[metric], rel=1e-12)


def test_bleu_by_record_is_sacrebleus() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    # sacrebleu wants as many references for each record, and takes None for one that is missing.
    expected = sacrebleu.corpus_bleu(ANSWERS, [*map(list, zip_longest(*RIGHT))]).score
    assert scores_of(TRANSLATION, ANSWERS, RIGHT).value("bleu") == pytest.approx(expected)


def test_the_error_of_an_accuracy_is_the_binomials() -> None:
    n, share = 400, 0.3
    right = [["yes"]] * n
    answers = ["yes" if i < share * n else "no" for i in range(n)]
    scores = scores_of(SENTIMENT, answers, right)
    expected = (share * (1 - share) / n) ** 0.5
    assert scores.error("accuracy") == pytest.approx(expected, rel=0.15)
    # Records that both models find equally hard cancel: the same answers differ by 0 for sure.
    assert scores.gain(scores_of(SENTIMENT, answers, right), "accuracy") == (0.0, 0.0)
    # Independent answers do not: the variances add up.
    shuffled = [answers[i] for i in np.random.default_rng(1).permutation(n)]
    apart = scores.gain(scores_of(SENTIMENT, shuffled, right), "accuracy")
    assert apart.error == pytest.approx(2**0.5 * expected, rel=0.15)


def test_no_cat_is_named_in_training() -> None:
    data = naming_data(seed=3)
    assert {record["animal"] for record in data.validation + data.test} == {"cat"}
    assert "cat" not in {record["animal"] for record in data.train}
    prompts = [data.task.prompt(record) for record in data.validation + data.test]
    assert len(prompts) == len(set(prompts))
    first = data.test[0]
    assert data.task.prompt(first).startswith("Charlie the cat roamed the garden at night.")
    assert data.task.target(first) == "Charlie"


def test_multi30k_is_read_only_when_all_of_it_is_there(tmp_path: Path) -> None:
    for number, file in enumerate(DATASETS["multi30k"]):
        assert multi30k(tmp_path) is None
        lines = "".join(f"{file.name} {number} {i}\n" for i in range(3))
        (tmp_path / file.name).write_bytes(gzip.compress(lines.encode()))
    data = multi30k(tmp_path)
    assert data is not None
    parts = (data.train, "train"), (data.validation, "val"), (data.test, "test_2016_flickr")
    for records, name in parts:
        assert len(records) == 3
        assert records[1]["en"].startswith(f"{name}.en.gz")
        assert records[1]["fr"].startswith(f"{name}.fr.gz")

    # "test_2016_flickr.fr.gz 5 0" is five words and 26 bytes, and "train.fr.gz 1 0" knows three.
    bytes_alone = tiktoken.Encoding(
        "bytes", pat_str=".", mergeable_ranks={bytes([i]): i for i in range(256)},
        special_tokens={"<|endoftext|>": 256},
    )  # fmt: skip
    found = described(data, bytes_alone)
    assert "5.0 words and 26.0 tokens on average, 1.00 bytes a token" in found
    assert found.startswith("3 sentence pairs to train with, 6 different French words;")
    assert known_words(data.test, data.train) == pytest.approx(3 / 5)


def test_the_topic_of_a_summary_is_that_of_the_nearest_one() -> None:
    train = [
        {"topic": "tea", "summary": "Anna drinks tea.", "dialogue": "Tea, Anna?"},
        {"topic": "rent", "summary": "Peter rents a flat.", "dialogue": "A flat, Peter?"},
    ]
    assert topics(train, ["Tom drinks tea.", "Tom rents a flat.", "A flat."]) == [
        "tea", "rent", "rent",
    ]  # fmt: skip
    asked = [{"dialogue": "A house, Peter?"}, {"dialogue": "Anna! Anna!"}]
    assert nearest_summaries(train, asked) == ["Peter rents a flat.", "Anna drinks tea."]
