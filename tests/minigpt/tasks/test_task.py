"""Templates, the shipped tasks, tasks of one's own, reading records and splitting them."""

import json
import random
from pathlib import Path

import pytest

from minigpt.tasks.task import TASKS, Task, make_task, read_records, split_records
from minigpt.text.task_sets import task_set

DIALOGSUM = Path(__file__).parents[4] / "shared" / "data" / "dialogsum" / "dev.jsonl"
RECORD = {"en": "I was lucky.", "fr": "J'avais de la chance."}
QUIZ = make_task("quiz", "Question: {q}\nAnswer:", "{a}", "accuracy", 8)


def write_lines(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_template_is_filled_with_the_fields_it_names() -> None:
    task = TASKS["translation"]
    assert task.fields == ("en", "fr")
    assert task.prompt(RECORD) == "fr: I was lucky. ->"
    assert task.prompt(RECORD, wording=1) == "I was lucky.\nFrench:"
    assert task.target(RECORD) == "J'avais de la chance."
    assert task.completion(RECORD) == " J'avais de la chance."


def test_the_last_wordings_are_the_formats_of_the_slides() -> None:
    last = len(TASKS["translation"].templates) - 1
    whole = TASKS["translation"].prompt(RECORD, last) + TASKS["translation"].completion(RECORD)
    assert whole == "I was lucky. <to-fr> J'avais de la chance."
    assert TASKS["summarization"].templates[-1] == "{dialogue} <summarize>"


@pytest.mark.parametrize("name", TASKS)
def test_every_wording_of_a_task_says_something_else_about_its_shipped_records(name: str) -> None:
    task = TASKS[name]
    record = task_set(task.task_set, "train")[0]
    prompts = [task.prompt(record, wording) for wording in range(len(task.templates))]
    assert len(set(prompts)) == len(prompts) >= 4
    for prompt in prompts:
        assert record[task.fields[0]] in prompt
        assert not prompt[-1].isspace()  # the space belongs to the completion
    assert task.completion(record) == " " + record[task.fields[1]]


def test_text_of_a_record_is_only_text() -> None:
    record = {"q": "What is {a} in {q.__class__} and {{0}}?", "a": " }{ "}
    assert QUIZ.prompt(record) == "Question: What is {a} in {q.__class__} and {{0}}?\nAnswer:"
    assert QUIZ.completion(record) == " }{"
    braces = make_task("json", '{{"text": "{a.b}"}}', "{0}")
    assert braces.prompt({"a.b": "x", "0": 7}) == '{"text": "x"}'
    assert braces.completion({"a.b": "x", "0": 7}) == " 7"


@pytest.mark.parametrize(
    ("template", "answer", "completion"),
    [
        ("{q} =>", "{a}", " yes"),
        ("{q} => ", "{a}", " yes"),
        ("{q} =>", " {a}", " yes"),
        ("{q}\n", "{a}", "yes"),
        ("{q}:", "\n{a} ", "\nyes"),
    ],
)
def test_one_space_parts_prompt_and_answer(template: str, answer: str, completion: str) -> None:
    task = make_task("quiz", template, answer)
    record = {"q": " Is it? ", "a": " yes\n"}
    assert task.completion(record) == completion
    assert task.prompt(record) == template.rstrip(" ").format(q="Is it?")


def test_numbered_fields_are_several_right_answers() -> None:
    task = TASKS["summarization"]
    record = {"dialogue": "#Person1#: Hi.", "summary1": "One.", "summary2": "Two.", "topic1": "x"}
    assert task.targets(record) == ["One.", "Two."]
    assert task.target(record) == "One."
    assert task.targets({**record, "summary": "Main."}) == ["Main."]


def test_a_missing_field_is_named_beside_those_there_are() -> None:
    with pytest.raises(ValueError, match=r'no text in the field "fr"; the fields there are en, de'):
        TASKS["translation"].target({"en": "Yes.", "de": "Ja."})
    for nothing in (None, "", "  ", ["Ja."], {}):
        with pytest.raises(ValueError, match='no text in the field "en"'):
            TASKS["translation"].prompt({"en": nothing})


def test_a_task_that_makes_no_sense_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="one of bleu, rouge, accuracy, got 'f1'"):
        make_task("quiz", "{q}", "{a}", "f1")
    with pytest.raises(ValueError, match="max_new_tokens must be at least 1, got 0"):
        make_task("quiz", "{q}", "{a}", max_new_tokens=0)
    with pytest.raises(ValueError, match="at least one template"):
        Task("quiz", (), "{a}", "bleu", "", 8)
    for template in ("Say something:", ""):
        with pytest.raises(ValueError, match="names no field"):
            make_task("quiz", template, "{a}")
    with pytest.raises(ValueError, match=r"'\{q' cannot be read"):
        make_task("quiz", "{q", "{a}")
    for template in ("{q:>10}", "{q!r}", "{}"):
        with pytest.raises(ValueError, match="only a field's name between braces"):
            make_task("quiz", template, "{a}")
    for wording in (-1, 5):
        with pytest.raises(ValueError, match=f"wording must be from 0 to 4 .* got {wording}"):
            TASKS["translation"].prompt(RECORD, wording)


def test_a_file_with_named_fields_is_read_and_its_faults_have_a_line(tmp_path: Path) -> None:
    good = json.dumps({"q": "2 + 2?", "a": 4, "other": None})
    path = write_lines(tmp_path / "quiz.jsonl", good, "", good)
    assert read_records(path, QUIZ) == [{"q": "2 + 2?", "a": 4, "other": None}] * 2
    path = write_lines(tmp_path / "quiz.jsonl", good, "", good, '{"q": "2 + 3?"}')
    with pytest.raises(ValueError, match=r'quiz.jsonl, line 4: no text in the field "a"; .* are q'):
        read_records(path, QUIZ)


def test_every_wording_is_checked_when_a_file_is_read(tmp_path: Path) -> None:
    task = Task("quiz", ("{q}", "{q} {hint}"), " {a}", "bleu", "", 8)
    path = write_lines(tmp_path / "quiz.jsonl", '{"q": "2 + 2?", "a": "4"}')
    with pytest.raises(ValueError, match=r'line 1: no text in the field "hint"'):
        read_records(path, task)


def test_both_forms_of_dialogsum_are_read(tmp_path: Path) -> None:
    dialogue = "#Person1#: Hi.\n#Person2#: Hello."
    train = {"fname": "train_0", "dialogue": dialogue, "summary": "They greet.", "topic": "hi"}
    test = {"fname": "test_0", "dialogue": dialogue}
    test |= {f"{field}{n}": f"{field} {n}." for n in (1, 2, 3) for field in ("summary", "topic")}
    path = write_lines(tmp_path / "dialogsum.jsonl", json.dumps(train), json.dumps(test))
    targets = [
        TASKS["summarization"].targets(r) for r in read_records(path, TASKS["summarization"])
    ]
    assert targets == [["They greet."], ["summary 1.", "summary 2.", "summary 3."]]


@pytest.mark.skipif(not DIALOGSUM.is_file(), reason="DialogSum is not on this machine")
def test_dialogsum_as_published_is_read_and_split() -> None:
    records = read_records(DIALOGSUM, TASKS["summarization"])
    parts = split_records(records, TASKS["summarization"], validation=0, test=50)
    assert [len(part) for part in parts] == [450, 0, 50]


def quiz_records(n: int) -> list[dict]:
    """Returns n records with n different prompts."""
    return [{"q": f"What is {i}?", "a": str(i)} for i in range(n)]


def test_a_split_keeps_every_record_once_and_the_order_within_parts() -> None:
    records = quiz_records(1000)
    parts = split_records(records, QUIZ)
    assert [len(part) for part in parts] == [900, 50, 50]
    numbers = [[int(record["a"]) for record in part] for part in parts]
    assert sorted(i for part in numbers for i in part) == list(range(1000))
    assert all(part == sorted(part) for part in numbers)
    assert numbers[2] != list(range(950, 1000))


def test_equal_prompts_are_never_on_two_sides() -> None:
    records = [{"q": f"What is {i % 40}?", "a": str(i)} for i in range(200)]
    parts = split_records(records, QUIZ, validation=0.2, test=7)
    prompts = [{record["q"] for record in part} for part in parts]
    assert [len(part) for part in prompts] == [25, 8, 7]
    assert len(set.union(*prompts)) == 40
    assert [len(part) for part in parts] == [125, 40, 35]


def test_a_split_depends_on_the_prompts_and_not_on_their_order() -> None:
    records = quiz_records(300)
    shuffled = random.Random(0).sample(records, len(records))
    for part, again in zip(
        split_records(records, QUIZ), split_records(shuffled, QUIZ), strict=True
    ):
        assert {record["a"] for record in part} == {record["a"] for record in again}


def test_the_smallest_file_that_can_be_split_gives_one_record_to_each_part() -> None:
    assert [len(part) for part in split_records(quiz_records(3), QUIZ)] == [1, 1, 1]
    with pytest.raises(ValueError, match="2 different prompts cannot be split into 1 for valid"):
        split_records(quiz_records(2), QUIZ)
    with pytest.raises(ValueError, match="10 different prompts cannot be split"):
        split_records(quiz_records(10) * 5, QUIZ, validation=5, test=5)
    for size in (-1, 1.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"test must be a fraction .* got {size}"):
            split_records(quiz_records(9), QUIZ, test=size)
