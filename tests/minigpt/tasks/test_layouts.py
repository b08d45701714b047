"""The files in which well-known data sets are published, read by everything that reads records."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from minigpt.command.train import read_documents
from minigpt.dataset import pack
from minigpt.tasks.rows import encode_examples
from minigpt.tasks.scores import read_segments
from minigpt.tasks.task import make_task, read_records
from tests.minigpt.tiny.finetune import shipped_encoding

ALPACA = [
    {"instruction": "Add.", "input": "1 and 2", "output": "3"},
    {"instruction": "Greet.", "input": "", "output": "Hello!"},
]
TURNS = [{"from": "human", "value": "Hi\n"}, {"from": "gpt", "value": "Hello"}]
CHAT = [{"role": r, "content": f"{r} says"} for r in ("system", "user", "assistant")]
SQUAD = {"question": "Where?", "answers": {"text": ["Paris", "France"], "answer_start": [0, 9]}}
CSV = 'id,dialogue,summary,topic\nt_0,"#A#: Say ""no"".\n#B#: No, no.",They talk.,talk\n'
SAMSUM = [{"id": "1", "summary": "They meet.", "dialogue": "A: Hi\r\nB: Hi"}]
E2E = '"mr","ref"\n"name[X], food[Y]","X has Y, not ""Z""."\nname[Z],Z is.\n'
WMT = '"Stop," he said.\t« Arrête », dit-il.\nA\u2028B\tC\n'

# name of the file, its content, template, answer, prompts, right answers
LAYOUTS: dict[str, tuple[str, str, str, str, list[str], list[str]]] = {
    "Alpaca": (
        "alpaca_data.json", json.dumps(ALPACA, indent=4), "{instruction}\n{input|}\n=>", "{output}",
        ["Add.\n1 and 2\n=>", "Greet.\n\n=>"], ["3", "Hello!"],
    ),
    "DialogSum from its hub page": (
        "train.csv", CSV, "{dialogue}\nIn short:", "{summary}",
        ['#A#: Say "no".\n#B#: No, no.\nIn short:'], ["They talk."],
    ),
    "SAMSum": (
        "train.json", json.dumps(SAMSUM), "{dialogue}:", "{summary}", ["A: Hi\r\nB: Hi:"],
        ["They meet."],
    ),
    "E2E": (
        "testset_w_refs.csv", E2E, "{mr} ->", "{ref}", ["name[X], food[Y] ->", "name[Z] ->"],
        ['X has Y, not "Z".', "Z is."],
    ),
    "WMT": (
        "train.tsv", WMT, "{0} ->", "{1}", ['"Stop," he said. ->', "A\u2028B ->"],
        ["« Arrête », dit-il.", "C"],
    ),
    "ShareGPT": (
        "sg_90k_part1.JSON", json.dumps([{"id": "a", "conversations": TURNS}]),
        "{conversations[0][value]}", "{conversations[1][value]}", ["Hi"], ["Hello"],
    ),
    "OpenAI": (
        "chat.jsonl", json.dumps({"messages": CHAT}), "{messages[1][content]}",
        "{messages[-1][content]}", ["user says"], ["assistant says"],
    ),
    "SQuAD from the hub": (
        "squad.jsonl", f"{json.dumps(SQUAD)}\n" * 2, "{question}", "{answers[text][0]}",
        ["Where?"] * 2, ["Paris"] * 2,
    ),
    "an object around the array": (
        "data.json", json.dumps({"version": "1.1", "data": SAMSUM}), "{dialogue}", "{summary}",
        ["A: Hi\r\nB: Hi"], ["They meet."],
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_finetune_train_and_evaluate_read_it(tmp_path: Path, layout: str) -> None:
    name, content, template, answer, prompts, answers = LAYOUTS[layout]
    for path in (tmp_path / name, tmp_path / f"{name}.GZ"):
        data = content.encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".GZ" else data)
        task = make_task("own", template, answer)
        records = read_records(path, task)
        assert [task.prompt(record) for record in records] == prompts
        assert [task.target(record) for record in records] == answers
        assert [document.text for document in read_documents([path], answer[1:-1])] == answers
        assert read_segments(path, [answer[1:-1]]) == [answers]


def test_parallel_files_are_a_task_and_text_to_train_on(tmp_path: Path) -> None:
    texts = {"train.en.gz": "One.\n\nThree.\n", "train.fr": "Un.\nDeux.\r\nTrois."}
    paths = [tmp_path / name for name in texts]
    paths[0].write_bytes(gzip.compress(texts["train.en.gz"].encode()))
    paths[1].write_bytes(texts["train.fr"].encode())
    task = make_task("own", "{en} ->", "{fr}")
    with pytest.raises(
        ValueError, match=r"train.en.gz and .*train.fr, line 2: no text in the f.*en"
    ):
        read_records(paths, task)
    records = read_records(paths, make_task("own", "{en|?} ->", "{fr}"))
    assert [record["fr"] for record in records] == ["Un.", "Deux.", "Trois."]
    pages = list(read_documents(paths, "{en|?} / {fr}"))
    assert [page.text for page in pages] == ["One. / Un.", "? / Deux.", "Three. / Trois."]
    assert [page.text for page in read_documents(paths)] == ["One.\n\nThree.", "Un.\nDeux.\nTrois."]


@pytest.mark.parametrize(
    ("name", "record", "said"),
    [
        ("x.jsonl", '{"q": "Q", "a": NaN}', 'no text in the field "a" (it is NaN)'),
        ("x.json", '[{"q": "Q", "a": -Infinity}]', 'no text in the field "a" (it is infinite)'),
        ("x.json", '[{"q": 1e999, "a": "A"}]', 'no text in the field "q" (it is infinite)'),
        ("x.jsonl", '{"q": "Q", "a": null}', 'no text in the field "a" (it is null)'),
        ("x", '{"q": false, "a": "A"}\n' * 2, 'no text in the field "q" (it is false)'),
        ("x.jsonl", '{"q": "Q", "a": ["A"]}', 'no text in the field "a" (it is a list'),
        ("x.csv", "q,a\nQ,NaN", 'no text in the field "a" (it is null)'),
        ("x.tsv", "q\ta\nNULL\tA", 'no text in the field "q" (it is null)'),
        ("x.csv", 'q,a\nQ," "', 'no text in the field "a" (it is empty)'),
        ("x.tsv", "q\ta\nQ\t", 'no text in the field "a" (it is empty)'),
        ("x.jsonl", '{"q": "Q"}', 'no text in the field "a"; the fields there are q'),
        ("x.jsonl", '{"q": "Q", "a": ' + "9" * 5000 + "}", 'no text in the field "a" (it is inf'),
    ],
)
def test_a_value_that_is_not_text_is_refused_with_file_line_field_and_format(
    tmp_path: Path, name: str, record: str, said: str
) -> None:
    (tmp_path / name).write_text(record)
    with pytest.raises(ValueError, match=r", line [12]: .* \(read as ") as error:
        read_records(tmp_path / name, make_task("quiz", "{q}", "{a}"))
    assert str(error.value).startswith(f"{tmp_path / name}, line ")
    assert said in str(error.value)


def test_numbers_are_text_and_an_answer_needs_some(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"q": 5, "a": 3.5}\n{"q": "", "a": ""}')
    assert read_segments(path, ["a", "q"]) == [["3.5", ""], ["5", ""]]
    assert read_segments(path, [""]) == [['{"q": 5, "a": 3.5}', '{"q": "", "a": ""}']]
    with pytest.raises(ValueError, match="line 2: the answer is empty"):
        read_records(path, make_task("quiz", "Q: {q|}", "{a|}"))


def test_an_answer_that_is_too_long_is_found_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('[{"q": "Q", "a": "A"},\n\n{"q": "Q", "a": "one two three four five six"}]')
    task = make_task("quiz", "{q}", "{a}")
    with pytest.raises(
        ValueError, match=r"record 2 of 2 \(.*x.json, line 3\): the answer has 7 tok"
    ):
        encode_examples(read_records(path, task), task, shipped_encoding(), 5)


def test_documents_of_one_line_have_different_names_and_records_can_be_read_as_text(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.json"
    path.write_text('["one\\n<|endoftext|>\\ntwo", "three"]')
    names = [f"x.json:1:{i}" for i in range(3)]  # a name decides on a document's side of the split
    assert list(read_documents([path])) == list(zip(names, ("one", "two", "three"), strict=True))
    assert [d.text for d in read_documents([path], "")] == [path.read_text()]


@pytest.mark.parametrize("inside", [False, True])
def test_every_story_of_tinystories_ends_with_the_end_token(tmp_path: Path, inside: bool) -> None:
    stories = "".join(f"Once there was a {i}.\n\nIt grew.\n<|endoftext|>\n" for i in range(400))
    path = tmp_path / "TinyStories-valid.txt"
    path.write_text(json.dumps({"text": stories}) if inside else stories)
    encoding = shipped_encoding()
    documents = list(read_documents([path]))
    ids = pack((encoding.encode_ordinary(d.text) for d in documents), encoding.eot_token)
    assert (ids == encoding.eot_token).sum() == 400
    assert "<|" not in "".join(document.text for document in documents)
    (whole,) = read_documents([path], separator="") if inside else [None]
    assert whole is None or whole.text == stories.strip("\n")
