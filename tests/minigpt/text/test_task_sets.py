"""The task sets as records and as text."""

import json
import re
from pathlib import Path

import pytest

from minigpt.text import task_sets


@pytest.fixture
def small_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict]]:
    """Makes three tiny task sets; every text of validation and test names its split."""
    sets = {
        "translation": [{"en": f"I have {i} cats.", "fr": f"J'ai {i} chats."} for i in range(200)],
        "dialogues": [
            {
                "fname": f"train_{i}",
                "dialogue": f"#Person1#: Is it {i}?\n#Person2#: Yes, {i}.",
                "summary": f"#Person1# asks #Person2# about {i}.",
                "topic": "numbers",
            }
            for i in range(100)
        ],
        "reviews": [{"text": f"A {i}-star film.", "label": "positive"} for i in range(50)],
    }
    sets["translation"].append({"en": "I have 7 cats.", "fr": "J'ai 7 chats."})
    for task, examples in sets.items():
        (tmp_path / task).mkdir()
        for split in ("train", "validation", "test"):
            marked = [
                {k: v if split == "train" else f"{v} ({split})" for k, v in example.items()}
                for example in examples
            ]
            lines = [json.dumps(example, ensure_ascii=False) for example in marked]
            (tmp_path / task / f"{split}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    monkeypatch.setattr(task_sets, "data_folder", lambda: tmp_path)
    return sets


def test_task_sets_are_read_by_split(small_tasks: dict[str, list[dict]]) -> None:
    for task, examples in small_tasks.items():
        assert task_sets.task_set(task, "train") == examples
        assert "(test)" in task_sets.task_set(task, "test")[0][task_sets.TASK_FIELDS[task][0]]
        assert not any("(" in text for text in task_sets.task_texts(task, "train"))
        assert all("(validation)" in text for text in task_sets.task_texts(task, "validation"))


def test_translation_texts_are_short_pages_in_two_languages(
    small_tasks: dict[str, list[dict]],
) -> None:
    texts = task_sets.task_texts("translation", "train")
    pairs, sizes = [], []
    for text in texts:
        english, french = text.split("\n\n")
        sides = re.findall(r"[^.]+\.", english), re.findall(r"[^.]+\.", french)
        sizes.append(len(sides[0]))
        pairs += [(en.strip(), fr.strip()) for en, fr in zip(*sides, strict=True)]
    assert set(sizes) == {1, 2, 3}
    given = [(pair["en"], pair["fr"]) for pair in small_tasks["translation"]]
    assert sorted(pairs) == sorted(set(given))  # each pair once
    assert pairs != list(dict.fromkeys(given))  # in another order
    assert texts == task_sets.task_texts("translation", "train")


def test_dialogue_and_review_texts_have_no_task_format(small_tasks: dict[str, list[dict]]) -> None:
    dialogues = small_tasks["dialogues"]
    texts = task_sets.task_texts("dialogues", "train")
    assert texts[:100] == [example["dialogue"] for example in dialogues]
    assert not any("asks" in text for text in texts[:100])
    assert all(sum(e["summary"] in text for text in texts[100:]) == 1 for e in dialogues)
    assert task_sets.task_texts("reviews", "train") == [e["text"] for e in small_tasks["reviews"]]


def test_unknown_task_or_split_names_the_allowed_ones(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(ValueError, match="'poems'; there are translation, dialogues, reviews"):
        task_sets.task_set("poems", "train")
    with pytest.raises(ValueError, match="'dev'; there are train, validation, test"):
        task_sets.task_texts("reviews", "dev")
    monkeypatch.setattr(task_sets, "data_folder", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"python data/make.py"):
        task_sets.task_set("reviews", "test")


def test_data_folder_of_a_wheel_goes_before_that_of_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "minigpt"
    package.mkdir()
    monkeypatch.setattr(task_sets, "__file__", str(package / "text" / "task_sets.py"))
    with pytest.raises(FileNotFoundError, match=r"neither .*_data nor .*data exists"):
        task_sets.data_folder()
    (tmp_path / "data").mkdir()
    assert task_sets.data_folder() == tmp_path / "data"
    (package / "_data").mkdir()
    assert task_sets.data_folder() == package / "_data"
