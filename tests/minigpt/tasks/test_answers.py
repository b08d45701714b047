"""A model's answers, and their scores, against the same computed slowly."""

from __future__ import annotations

import pytest
import sacrebleu
import tiktoken
import torch
from rouge_score import rouge_scorer

from minigpt.model import GPT
from minigpt.tasks.answers import answer, evaluate_task, score
from minigpt.tasks.task import TASKS, make_task
from tests.minigpt.tiny.finetune import shipped_encoding, tiny_gpt

PROMPTS = ["Return the", "I", "the cat sat on the mat and the dog", "one two", "é→ ?", "I was so"]
QUIZ = make_task("quiz", "{q} =>", "{a}", "accuracy", 8)


@pytest.fixture(scope="module")
def encoding() -> tiktoken.Encoding:
    return shipped_encoding()


@pytest.fixture(scope="module")
def model() -> GPT:
    return tiny_gpt(block_size=32)


def alone(model: GPT, encoding: tiktoken.Encoding, prompt: str, n: int) -> str:
    """Continues a prompt greedily, token by token, without batch, cache or padding."""
    idx = encoding.encode_ordinary(prompt)[-(model.config.block_size - n) :]
    written: list[int] = []
    for _ in range(n):
        with torch.no_grad():
            new = int(model(torch.tensor([idx + written]))[0][0, -1].argmax())
        if new == encoding.eot_token:
            break
        written.append(new)
    return encoding.decode(written, errors="replace").strip()


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_each_prompt_gets_the_answer_it_gets_alone_in_the_order_given(
    model: GPT, encoding: tiktoken.Encoding, batch_size: int
) -> None:
    expected = [alone(model, encoding, prompt, 7) for prompt in PROMPTS]
    assert len(set(expected)) > 3
    assert answer(model, encoding, PROMPTS, 7, batch_size) == expected


def test_an_answer_ends_at_the_end_token(encoding: tiktoken.Encoding) -> None:
    model = tiny_gpt(block_size=32, seed=3)
    whole = alone(model, encoding, "I was", 8)
    ids = encoding.encode_ordinary("I was")
    fourth = int(model.generate(torch.tensor([ids]), 4, temperature=0)[0, -1])
    end, wte = encoding.eot_token, model.transformer["wte"].weight
    with torch.no_grad():  # what would be its fourth token is now the end token
        wte[end], wte[fourth] = wte[fourth].clone(), wte[end].clone()
    texts = answer(model, encoding, ["I was", "the cat sat on the mat"], 8)
    assert texts[0] == alone(model, encoding, "I was", 8)
    assert texts[0]
    assert len(texts[0]) < len(whole)


def test_a_prompt_that_is_too_long_loses_its_beginning(
    model: GPT, encoding: tiktoken.Encoding
) -> None:
    long = " ".join(f"word{i}" for i in range(60)) + " the end"
    ids = encoding.encode_ordinary(long)
    assert len(ids) > 32
    found = answer(model, encoding, [long, "I"], 7)
    idx = torch.tensor([ids[-25:]])
    kept = model.generate(idx, 7, temperature=0, stop_token=encoding.eot_token)[0, 25:].tolist()
    assert found == [
        encoding.decode(kept).split("<|end")[0].strip(),
        answer(model, encoding, ["I"], 7)[0],
    ]


def test_answers_leave_the_model_as_it_was(encoding: tiktoken.Encoding) -> None:
    model = tiny_gpt(block_size=32).train()
    model.set_dropout(0.5)
    first = answer(model, encoding, PROMPTS, 5)
    assert answer(model, encoding, PROMPTS, 5) == first
    assert model.training


def test_what_cannot_be_answered_is_one_sentence(model: GPT, encoding: tiktoken.Encoding) -> None:
    with pytest.raises(ValueError, match="prompt 2 of 3 is empty"):
        answer(model, encoding, ["a", "", "b"], 4)
    for n in (32, 100):
        with pytest.raises(ValueError, match=f"max_new_tokens={n} leaves no room.* context of 32"):
            answer(model, encoding, ["a"], n)
    for batch_size in (0, -1):
        with pytest.raises(ValueError, match="batch_size must be at least 1"):
            answer(model, encoding, ["a"], 4, batch_size)
    assert answer(model, encoding, [], 4) == []


def test_a_model_with_more_ids_than_the_tokenizer_is_told_so(encoding: tiktoken.Encoding) -> None:
    model = tiny_gpt(block_size=32)
    small = tiktoken.Encoding(
        "small", pat_str=r"(?s).", mergeable_ranks={bytes([i]): i for i in range(256)},
        special_tokens={"<|endoftext|>": 256},
    )  # fmt: skip
    with pytest.raises(ValueError, match="'small' has no token"):
        answer(model, small, ["abc"], 8)


def test_bleu_of_answers_is_sacrebleus_with_as_many_references_as_each_record_has() -> None:
    answers = ["the cat sat on a mat today", "it is very cold outside", "un deux trois quatre"]
    targets = [["the cat sat on the mat today", "a cat sat on a mat"], ["it is cold outside now"],
               ["un deux trois cinq", "un deux quatre", "deux trois quatre"]]  # fmt: skip
    result = score(TASKS["translation"], answers, targets)
    columns = [[t[k] if k < len(t) else None for t in targets] for k in range(3)]
    theirs = sacrebleu.BLEU().corpus_score(answers, columns)
    assert result.metrics == {"bleu": theirs.score}
    assert result.score == theirs.score > 0
    assert result.answers == answers
    assert "tok:13a" in result.signature
    assert str(result) == f"bleu {theirs.score:.2f}"


def test_rouge_of_answers_is_rouge_scores_mean_of_the_best_reference() -> None:
    answers = ["Tom will call the bank", "Anna is late again today"]
    targets = [["Tom calls the bank", "Tom will phone his bank tomorrow"], ["Anna is late"]]
    kinds = ["rouge1", "rouge2", "rougeL"]
    scorer = rouge_scorer.RougeScorer(kinds)
    each = [scorer.score_multi(t, a) for t, a in zip(targets, answers, strict=True)]
    result = score(TASKS["summarization"], answers, targets)
    assert list(result.metrics) == kinds
    for kind in kinds:
        mean = sum(one[kind].fmeasure for one in each) / 2
        assert result.metrics[kind] == pytest.approx(mean, rel=1e-14)
    assert result.score == result.metrics["rougeL"]


def test_accuracy_counts_answers_that_are_one_of_the_right_ones() -> None:
    result = score(QUIZ, ["a", "b", "c ", "D"], [["a"], ["x", "b"], ["c"], ["d"]])
    assert result.metrics == {"accuracy": 0.5}
    assert result.score == 0.5


def test_nothing_to_judge_and_unequal_numbers_are_refused() -> None:
    for task in (*TASKS.values(), QUIZ):
        with pytest.raises(ValueError, match=f"nothing to judge: no answers to {task.name}"):
            score(task, [], [])
        with pytest.raises(ValueError, match=r"\d"):
            score(task, ["a", "b"], [["a"]])


def test_a_task_is_judged_by_the_answers_to_its_prompts(
    model: GPT, encoding: tiktoken.Encoding
) -> None:
    records = [{"q": q, "a": "?"} for q in PROMPTS]
    prompts = [f"{q} =>" for q in PROMPTS]
    right = [alone(model, encoding, prompt, 8) for prompt in prompts]
    for i in (0, 2, 3):
        records[i]["a"] = right[i]
    result = evaluate_task(model, encoding, QUIZ, records, batch_size=2)
    assert result.answers == right
    assert result.metrics == {"accuracy": pytest.approx(0.5)}
    with pytest.raises(ValueError, match='"q"'):
        evaluate_task(model, encoding, QUIZ, [{"a": "1"}])
