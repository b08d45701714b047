"""Lesson 5 prints figures that agree with arithmetic done here by hand."""

import math
import re
from collections.abc import Callable

import pytest
import tiktoken
import torch

from lessons.experiments import few_shot
from lessons.experiments.code_questions import N_EXAMPLES, QUESTIONS
from lessons.experiments.repetition import distinct, draw_temperatures, ends_in_loop, measure
from lessons.experiments.share_interval import share_interval
from lessons.verdicts import Kind
from minigpt import load_pretrained
from minigpt.config import GPTConfig
from minigpt.generation import next_logits
from minigpt.model import GPT
from minigpt.tokenizer import unescape_token

TASKS = ["English to French", "sentiment of a review", "code"]


def percentages(scores: list[float]) -> list[str]:
    """Returns softmax(scores) as the lesson prints it."""
    total = sum(map(math.exp, scores))
    return [f"{100 * math.exp(score) / total:.1f}" for score in scores]


def test_lesson_05(run_lesson: Callable) -> None:
    lesson = run_lesson(5)
    assert set(lesson.figures) == {
        "next_token.png", "temperature.png", "nucleus_size.png", "repetition.png", "kv_cache.png",
        "few_shot.png", "prompt_cost.png",
    }  # fmt: skip

    def printed(title: str) -> list[str]:
        (line,) = [line for line in lesson.output.splitlines() if line.startswith(title)]
        return re.findall(r"([\d.]+)%", line)

    scores = [3.0, 2.0, 1.0, 0.0, -2.0]
    assert printed("the model says") == percentages(scores)
    assert printed("temperature 0.5 ") == percentages([score / 0.5 for score in scores])
    assert printed("top-k, k = 2") == [*percentages(scores[:2]), "0.0", "0.0", "0.0"]
    # 64.1% + 23.6% = 87.7% is less than 90%, so the third word is needed.
    assert printed("top-p, p = 0.9") == [*percentages(scores[:3]), "0.0", "0.0"]

    drawn = [int(n) for n in re.findall(r"\w+ (\d+)", lesson.output.split("10,000 draws:")[1])[:5]]
    assert sum(drawn) == 10_000
    for count, share in zip(drawn, percentages(scores), strict=True):
        p = float(share) / 100
        assert abs(count / 10_000 - p) < 4 * math.sqrt(p * (1 - p) / 10_000)

    play = lesson.plays["sampling"]
    base, encoding = load_pretrained("base")
    assert encoding.decode(play["ids"]) == play["prompt"] == "Return the"
    assert [unescape_token(token) for token in play["tokens"]] == [
        encoding.decode_single_token_bytes(i) for i in range(4096)
    ]
    scores = next_logits(base, torch.tensor([play["ids"]]))[0]
    assert torch.allclose(torch.tensor(play["logits"]), scores, rtol=0, atol=1e-3)

    # 2 vectors x 12 layers x 768 numbers x 4 bytes = 72 KiB, x 2,048 tokens = 144 MiB
    assert re.search(r"GPT-2 small, fp32 .* 72 KiB a token, +144 MiB", lesson.output)
    row = lesson.table["tokens with and without the KV cache"]
    assert row["measured here"] == "32 of 32 equal"
    assert row["kind"] == "holds"
    held = lesson.table["memory of six tokens in the cache"]
    assert held["measured here"] == f"{6 * 2 * 5 * 256 * 4:,} bytes; by the formula 61,440"
    guessed = lesson.table["English to French, 4 examples: right answers above guessing"]
    assert re.fullmatch(r"\d+%, guessing 25%", guessed["measured here"])
    # A dozen summaries with their dialogues fit; of the short tasks it is several dozen.
    costs = [row for what, row in lesson.table.items() if what.endswith("fit into 2,048 tokens")]
    fits = [int(row["measured here"].split(",")[0]) for row in costs]
    assert len(fits) == 4
    assert min(fits) == fits[-1] < 20
    assert not any("BLEU" in row["published"] for row in lesson.table.values() if row["source"])


@torch.no_grad()
def test_an_answers_likelihood_is_that_of_its_tokens_one_by_one() -> None:
    ranks = {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding(
        "bytes", pat_str=r"(?s:.)", mergeable_ranks=ranks, special_tokens={}
    )
    model = GPT(GPTConfig(vocab_size=256, block_size=32, n_layer=2, n_head=2, n_embd=16)).eval()
    pairs = [
        ("ab", "c"),
        ("ab", "d ef"),
        ("French:", "un chat noir"),
        ("x", "yz"),
    ]  # of all lengths
    found, n_tokens = few_shot.log_likelihoods(
        model, encoding, *map(list, zip(*pairs, strict=True))
    )
    for i, (prompt, answer) in enumerate(pairs):
        ids, expected = list(prompt.encode()), 0.0
        for byte in b" " + answer.encode():
            expected += float(model(torch.tensor([ids]))[0][0, -1].log_softmax(-1)[byte])
            ids.append(byte)
        assert float(found[i]) == pytest.approx(expected, abs=1e-4)
        assert n_tokens[i] == len(answer) + 1


@pytest.mark.parametrize("name", TASKS)
def test_the_exam_tells_knowing_from_not_looking(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    task = few_shot.tasks(n_items=12)[name]
    right = {(task.prompt([], item), item[task.answer]) for item in task.items}
    known, unknown = math.log(0.5), math.log(0.01)

    def take(student: Callable[[str, str], float]) -> few_shot.Result:
        def scores(_model: None, _encoding: None, prompts: list[str], answers: list[str]) -> tuple:
            given = [
                student(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)
            ]
            return torch.tensor(given), torch.ones(len(given))

        monkeypatch.setattr(few_shot, "log_likelihoods", scores)
        return few_shot.exam(None, None, task, n_examples=0, seed=0)  # type: ignore[arg-type]

    knows = take(lambda prompt, answer: known if (prompt, answer) in right else unknown)
    n_choices = 2 if name == TASKS[1] else 4
    assert knows.right == (True,) * 12
    assert knows.accuracy == 1
    assert knows.mass == pytest.approx(0.5 + (n_choices - 1) * 0.01)
    # A favourite that stays the same whatever is asked gains nothing from the question.
    blind = take(lambda _, answer: -float(len(answer)))
    assert blind.accuracy == pytest.approx(1 / n_choices) == blind.chance


def result(n_right: int, n: int) -> few_shot.Result:
    return few_shot.Result((True,) * n_right + (False,) * (n - n_right), mass=1.0, chance=0.25)


def test_an_exam_is_judged_against_chance_and_against_fewer_examples() -> None:
    half = result(50, 100)
    # Two right and two wrong answers are added: sqrt(52/104 x 52/104 / 104)
    assert half.error == pytest.approx(0.5 / math.sqrt(104))
    assert half.against_chance().kind is Kind.HOLDS
    assert result(30, 100).against_chance().kind is Kind.UNDECIDED
    assert result(5, 100).against_chance().kind is Kind.FAILS
    # Of 60, a guesser's error is sqrt(0.25 x 0.75 / 60), 5.6 points, and 22 are 11.7 above 25%.
    assert result(22, 60).against_chance().kind is Kind.HOLDS
    for n_right in range(61):
        low, high = share_interval(n_right / 60, 60)  # as the figure draws it
        beside = low <= 0.25 <= high
        assert beside == (result(n_right, 60).against_chance().kind is Kind.UNDECIDED)

    assert result(90, 100).against(half, 10**9).kind is Kind.REPRODUCED
    assert result(52, 100).against(half, 10**9).kind is Kind.UNDECIDED
    assert half.against(half, 10**9).kind is Kind.UNDECIDED
    worse = half.against(result(90, 100), 10**9)
    assert worse.kind is Kind.DIFFERS
    assert "GPT-3 is 175 times as large" in str(worse)


def test_the_code_questions_are_all_different_and_fill_groups_of_four() -> None:
    task = few_shot.tasks(n_items=1000)["code"]
    assert len(task.items) % 4 == 0
    assert len(task.items) >= 60
    for field in ("text", "code"):
        assert len({item[field] for item in task.items + task.examples}) == len(QUESTIONS)
    assert len(task.examples) == N_EXAMPLES >= 4


def test_picking_by_letters_finds_copies_and_knows_no_labels() -> None:
    items = [{"q": word, "a": word.upper()} for word in ("apple", "berry", "cherry", "dates")]
    task = few_shot.Task("{q}?", "a", items, items)
    assert few_shot.by_letters(task)[0] == 1
    labels = [{"q": "xyz", "a": label} for label in ("AAA", "BBB")]
    task = few_shot.Task("{q}?", "a", labels, labels, ("AAA", "BBB"))
    assert few_shot.by_letters(task)[0] == 0.5  # all are equally good


def test_the_cost_figure_ends_where_the_widest_window_does() -> None:
    figure = few_shot.draw_costs({"a": [10, 20]}, {"small": 30, "large": 100})
    line = figure.axes[0].lines[0]
    assert line.get_ydata().tolist() == [0, 10, 30, 40, 60, 70, 90, 100, 120]


def test_repetition_of_known_sequences() -> None:
    assert distinct([1, 2, 3, 1, 2, 4], 2) == 4 / 5
    assert distinct(list(range(10)), 4) == 1
    assert distinct([7] * 10, 1) == 0.1
    with pytest.raises(ValueError, match="distinct-3 needs at least 3 tokens, got 2"):
        distinct([1, 2], 3)
    assert ends_in_loop([9, 1, 2, 1, 2, 1, 2])
    assert not ends_in_loop([1, 2, 1, 2, 1, 2, 9])
    assert not ends_in_loop([9, 1, 2, 1, 2])  # twice is not a loop
    assert not ends_in_loop([1, 2, 3, 4, 5, 6, 7, 7, 7])  # nor is one token three times


def test_what_is_measured_of_texts_has_its_errors() -> None:
    loop, none = [1, 2] * 5, list(range(10))
    found = measure([loop, none, none, none], [0.0, math.log(4), math.log(4), math.log(4)])
    assert found.loops.tolist() == [1, 0, 0, 0]
    assert found.variety[0] == 2 / 9
    assert found.share_error == pytest.approx(math.sqrt(3 / 8 * 5 / 8 / 8))
    assert found.perplexity == pytest.approx(4 ** (3 / 4))
    assert "25% ± 17%" in found.row()
    figure = draw_temperatures({0.0: found, 1.0: found}, found)
    assert [len(axis.lines) > 1 for axis in figure.axes] == [True, True]
