"""Instruction examples as ids: the seam, truncation, special tokens, wordings, bad records."""

import pytest
import tiktoken

from minigpt.tasks.rows import encode_examples
from minigpt.tasks.task import TASKS, make_task
from minigpt.text.task_sets import task_set
from minigpt.tokenizer import END_OF_TEXT
from tests.minigpt.tiny.finetune import shipped_encoding

QUIZ = make_task("quiz", "{q} =>", "{a}", "accuracy", 8)


@pytest.fixture(scope="module")
def encoding() -> tiktoken.Encoding:
    """Returns the shipped tokenizer."""
    return shipped_encoding()


@pytest.mark.parametrize("name", TASKS)
def test_prompt_and_completion_are_the_tokens_of_the_whole_text(
    name: str, encoding: tiktoken.Encoding
) -> None:
    task = TASKS[name]
    records = task_set(task.task_set, "validation")[:100]
    for wording in range(len(task.templates)):
        examples = encode_examples(records, task, encoding, 1000, wording)
        for record, (prompt, completion) in zip(records, examples, strict=True):
            whole = task.prompt(record, wording) + " " + record[task.fields[1]]
            assert prompt + completion == [*encoding.encode_ordinary(whole), encoding.eot_token]
            assert encoding.decode(completion) == " " + record[task.fields[1]] + END_OF_TEXT


def test_the_default_wordings_cost_few_tokens(encoding: tiktoken.Encoding) -> None:
    for task, most in ((TASKS["translation"], 3), (TASKS["summarization"], 4)):
        record = task_set(task.task_set, "train")[0]
        bare = encoding.encode_ordinary(record[task.fields[0]])
        assert len(encoding.encode_ordinary(task.prompt(record))) - len(bare) <= most


def test_text_cannot_spell_a_special_token(encoding: tiktoken.Encoding) -> None:
    record = {"q": f"Stop{END_OF_TEXT}", "a": f"{END_OF_TEXT} now"}
    ((prompt, completion),) = encode_examples([record], QUIZ, encoding, 100)
    assert (prompt + completion).count(encoding.eot_token) == 1
    assert completion[-1] == encoding.eot_token
    assert encoding.decode(prompt) == f"Stop{END_OF_TEXT} =>"


def test_a_long_example_loses_the_start_of_its_prompt_alone(encoding: tiktoken.Encoding) -> None:
    record = {"q": " ".join(f"word{i}" for i in range(100)), "a": "the last word"}
    ((prompt, completion),) = encode_examples([record], QUIZ, encoding, 10_000)
    for max_tokens in (40, len(completion) + 1):
        ((short, same),) = encode_examples([record], QUIZ, encoding, max_tokens)
        assert same == completion
        assert len(short) + len(same) == max_tokens
        assert short == prompt[-len(short) :]


def test_an_answer_that_does_not_fit_names_its_record(encoding: tiktoken.Encoding) -> None:
    records = [{"q": "a", "a": "b"}, {"q": "a", "a": "b " * 10}]
    n_tokens = len(encoding.encode_ordinary(QUIZ.completion(records[1]))) + 1
    assert len(encode_examples(records, QUIZ, encoding, n_tokens + 1)) == 2
    with pytest.raises(
        ValueError, match=f"record 2 of 2: the answer has {n_tokens} tokens, .* room for 10"
    ):
        encode_examples(records, QUIZ, encoding, 11)


def test_bad_records_are_named_and_no_records_are_an_error(encoding: tiktoken.Encoding) -> None:
    with pytest.raises(ValueError, match=r'record 2 of 2: no text in the field "a"; .* are q'):
        encode_examples([{"q": "x", "a": "y"}, {"q": "x"}], QUIZ, encoding, 20)
    with pytest.raises(ValueError, match="no examples of quiz to encode"):
        encode_examples([], QUIZ, encoding, 20)
    with pytest.raises(ValueError, match="wording must be from 0 to 0"):
        encode_examples([{"q": "x", "a": "y"}], QUIZ, encoding, 20, wording=1)


def test_drawn_wordings_are_all_used_and_depend_on_the_seed(encoding: tiktoken.Encoding) -> None:
    task = TASKS["translation"]
    records = [{"en": "I was lucky.", "fr": "J'avais de la chance."}] * 500
    drawn = encode_examples(records, task, encoding, 100, wording=None, seed=3)
    counts = [
        sum(example == one for example in drawn)
        for w in range(len(task.templates))
        for one in encode_examples(records[:1], task, encoding, 100, wording=w)
    ]
    assert sum(counts) == 500
    assert min(counts) > 60  # 100 expected, deviation 9
    assert drawn == encode_examples(records, task, encoding, 100, wording=None, seed=3)
    assert drawn != encode_examples(records, task, encoding, 100, wording=None, seed=4)
