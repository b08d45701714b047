"""data/generators/dialogues: what a learner may rely on in the summarization set."""

import collections
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from data.generators.dialogues import generate as generator
from data.generators.dialogues.scene import Scene

DATA = Path(__file__).resolve().parents[2] / "data"

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def written() -> dict[str, list[generator.Dialogue]]:
    return generator.write_all(0)


@pytest.fixture(scope="module")
def everything(written: dict[str, list[generator.Dialogue]]) -> list[generator.Dialogue]:
    return [dialogue for split in SPLITS for dialogue in written[split]]


def turns_of(dialogue: generator.Dialogue) -> list[str]:
    return [turn.partition(": ")[2].lower() for turn in dialogue.dialogue.split("\n")]


def test_records_have_dialogsums_fields(
    written: dict[str, list[generator.Dialogue]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator, "write_all", {0: written}.__getitem__)  # made once a module
    records = generator.generate(0)
    assert {split: len(records[split]) for split in SPLITS} == generator.SIZES
    for split in SPLITS:
        for number, record in enumerate(records[split]):
            assert list(record) == ["fname", "dialogue", "summary", "topic"]
            assert record["fname"] == f"{split}_{number}"
            assert all(isinstance(value, str) and value for value in record.values())


def test_two_speakers_take_turns_6_to_14_times(everything: list[generator.Dialogue]) -> None:
    counts = collections.Counter()
    for dialogue in everything:
        lines = dialogue.dialogue.split("\n")
        counts[len(lines)] += 1
        for number, line in enumerate(lines):
            assert line.startswith(f"#Person{number % 2 + 1}#: "), dialogue.dialogue
    assert min(counts) == 6
    assert max(counts) == 14


def test_text_is_clean(everything: list[generator.Dialogue]) -> None:
    for dialogue in everything:
        for text in [*dialogue.dialogue.split("\n"), dialogue.summary]:
            assert not re.search(r"[\[\]{}|>;]|  |\.\.|,,|,\.|\?\.|!\.| [.,?!]", text), text
            assert text[-1] in ".?!", text
            words = text.replace("#: ", "#. ")
            assert not re.search(r"[.?!] [a-z]", words), text
            wrong_article = r"\ba (?!one|us|uni)[aeiou]|\ban (?!hour)[^aeiou]"
            assert not re.search(wrong_article, text, re.IGNORECASE), text
            assert not re.search(r"\b(\w+) \1\b", text.lower()), text


def test_at_least_ten_situations_with_equal_shares(
    written: dict[str, list[generator.Dialogue]],
) -> None:
    assert len(generator.SITUATIONS) >= 10
    for split in SPLITS:
        counts = collections.Counter(dialogue.situation for dialogue in written[split])
        assert counts.keys() == generator.SITUATIONS.keys()
        assert max(counts.values()) - min(counts.values()) <= 1


def test_summary_facts_come_from_several_turns(everything: list[generator.Dialogue]) -> None:
    for dialogue in everything:
        turns = turns_of(dialogue)
        where = []
        for name, fact in dialogue.facts.items():
            places = {i for i, turn in enumerate(turns) if fact.said.lower() in turn}
            assert places, (name, fact, dialogue.dialogue)
            assert fact.told.lower() in dialogue.summary.lower(), (name, dialogue.summary)
            where.append(places)
        assert len(where) >= 3, dialogue
        assert not set.intersection(*where), dialogue  # no turn holds all of them


def test_summaries_are_one_or_two_sentences_of_about_20_words(
    everything: list[generator.Dialogue],
) -> None:
    lengths = [len(dialogue.summary.split()) for dialogue in everything]
    assert max(lengths) <= 33
    assert 18 <= sum(lengths) / len(lengths) <= 28
    for dialogue in everything:
        text = re.sub(r"\b(Mr|Ms|Mrs|Dr)\.", r"\1", dialogue.summary)
        assert 1 <= len(re.findall(r"[.?!](?= |$)", text)) <= 2, dialogue.summary


def test_corrected_facts_are_summarized_as_corrected(
    everything: list[generator.Dialogue],
) -> None:
    corrected = [dialogue for dialogue in everything if dialogue.corrections]
    assert 0.08 < len(corrected) / len(everything) < 0.3
    for dialogue in corrected:
        for wrong, name in dialogue.corrections:
            fact = dialogue.facts[name]
            text = " ".join(turns_of(dialogue))
            assert text.index(wrong.lower()) < text.rindex(fact.said.lower())
            assert fact.told.lower() in dialogue.summary.lower()
            assert not re.search(rf"\b{re.escape(wrong)}\b", dialogue.summary), dialogue


def test_no_dialogue_or_summary_occurs_twice(everything: list[generator.Dialogue]) -> None:
    for texts in ([d.dialogue for d in everything], [d.summary for d in everything]):
        assert len(set(texts)) == len(texts)


def test_key_facts_of_the_test_split_never_meet_in_training(
    written: dict[str, list[generator.Dialogue]],
) -> None:
    keys = {split: {(d.situation, d.key) for d in written[split]} for split in SPLITS}
    assert not keys["train"] & keys["test"]
    assert not keys["train"] & keys["validation"]
    assert not keys["validation"] & keys["test"]
    for split in SPLITS:
        for dialogue in written[split]:
            assert generator.split_of(dialogue.situation, dialogue.key) == split
            assert len(dialogue.key) >= 2
            for told in dialogue.key:
                assert told.lower() in dialogue.summary.lower(), (told, dialogue.summary)


def test_single_key_facts_of_the_test_split_do_occur_in_training(
    written: dict[str, list[generator.Dialogue]],
) -> None:
    seen = {(d.situation, told) for d in written["train"] for told in d.key}
    for dialogue in written["test"] + written["validation"]:
        assert {(dialogue.situation, told) for told in dialogue.key} <= seen


def test_every_word_of_validation_and_test_occurs_in_training(
    written: dict[str, list[generator.Dialogue]],
) -> None:
    def words(split: str) -> set[str]:
        texts = (f"{d.dialogue} {d.summary}".lower() for d in written[split])
        return {word for text in texts for word in re.findall(r"[^\W_][\w'-]*", text)}

    assert words("validation") <= words("train")
    assert words("test") <= words("train")


def test_openings_and_skeletons_vary(written: dict[str, list[generator.Dialogue]]) -> None:
    """No dialogue plan dominates: first turns differ, and so do the turns of one situation."""
    first = collections.Counter(turns_of(d)[0] for d in written["train"])
    assert first.most_common(1)[0][1] < 0.02 * len(written["train"])
    for situation in generator.SITUATIONS:
        lengths = {len(turns_of(d)) for d in written["train"] if d.situation == situation}
        assert len(lengths) >= 4, situation


def test_bytes_depend_on_the_seed_alone() -> None:
    """A process with another hash seed makes the same dialogues; another seed makes others."""
    program = (
        "import hashlib, random; "
        "from generators.dialogues import generate as dialogues; "
        "rng = random.Random(5); "
        "texts = [repr(dialogues.write(s, rng)) for s in dialogues.SITUATIONS for _ in range(20)]; "
        "print(hashlib.sha256(''.join(texts).encode()).hexdigest())"
    )
    environments = [{**os.environ, "PYTHONHASHSEED": seed} for seed in ("1", "2")]
    digests = {
        subprocess.run(
            [sys.executable, "-c", program], cwd=DATA,
            env=environment, capture_output=True, text=True, check=True, timeout=60,
        ).stdout
        for environment in environments
    }  # fmt: skip
    assert len(digests) == 1
    assert generator.write("hotel", random.Random(1)) == generator.write("hotel", random.Random(1))
    assert generator.write("hotel", random.Random(1)) != generator.write("hotel", random.Random(2))


def test_a_slip_is_said_first_and_corrected_after() -> None:
    for seed in range(20):
        scene = Scene(random.Random(seed))
        scene.draw("day", "Monday; Tuesday; Friday")
        scene.slip("day", "Monday; Tuesday; Friday", probability=1)
        scene.a("Could we meet on {day}?")
        scene.b("Fine, on {day}.")
        scene.summarize("{A} and {B} meet on {day}.", key="day")
        (wrong, _), right = scene.corrections[0], scene.facts["day"].said
        assert wrong != right
        assert scene.turns[0][1].startswith(f"Could we meet on {wrong}?")
        assert scene.turns[-1] == ("B", f"Fine, on {right}.")
        assert scene.summary == f"#Person1# and #Person2# meet on {right}."
