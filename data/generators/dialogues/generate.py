"""The dialogue summarization set: short dialogues in DialogSum's fields, written by programs.

Each record is {"fname", "dialogue", "summary", "topic"} as in DialogSum (Chen et al., 2021,
https://arxiv.org/abs/2105.06762). A situation is a small program (see `scene.Scene`) that
draws facts, writes turns with them, and reports them in one or two sentences.

What a dialogue is about decides its split: the SHA-256 of the situation and its two (sometimes
three) key facts, modulo 10, is 0 for validation, 1 for test, and 2 to 9 for training. The summary
tells the key facts, so no test summary can have been seen in training, while every word of it, and
each key fact by itself, has been.
"""

import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from . import home, leisure, repairs, shopping, town, travel, work
from .scene import Fact, Scene

SIZES = {"train": 4000, "validation": 500, "test": 500}
MIN_TURNS, MAX_TURNS = 6, 14

# situation: (program, topic); every situation gets the same share of each split
SITUATIONS: dict[str, tuple[Callable[[Scene], None], str]] = {
    "hotel": (travel.hotel, "check in at a hotel"),
    "luggage": (travel.luggage, "lost luggage"),
    "train": (travel.train, "buy a train ticket"),
    "restaurant": (leisure.restaurant, "book a table"),
    "delivery": (shopping.delivery, "late delivery"),
    "return": (shopping.returned, "return a product"),
    "bank": (shopping.bank, "lost bank card"),
    "car": (repairs.car, "car repair"),
    "library card": (town.library_card, "library card"),
    "late book": (town.late_book, "return a library book"),
    "gym": (leisure.gym, "join a gym"),
    "doctor": (town.doctor, "see a doctor"),
    "meeting": (work.meeting, "move a meeting"),
    "interview": (work.interview, "job interview"),
    "homework": (work.homework, "late homework"),
    "support": (repairs.support, "technical support"),
    "apartment": (home.apartment, "rent an apartment"),
    "birthday": (home.birthday, "plan a birthday"),
    "neighbors": (home.neighbors, "noise complaint"),
    "invitation": (leisure.invitation, "make plans"),
}


@dataclass(frozen=True)
class Dialogue:
    """A dialogue, and what the tests want to know about it."""

    situation: str
    key: tuple[str, ...]  # the facts that decide the split
    dialogue: str
    summary: str
    facts: dict[str, Fact]  # the facts that the summary tells
    corrections: tuple[tuple[str, str], ...]  # (said by mistake, fact name)


def split_of(situation: str, key: tuple[str, ...]) -> str:
    """Returns the split of a combination of key facts: stable over runs and Python versions."""
    digest = hashlib.sha256("|".join((situation, *key)).encode()).digest()
    return {0: "validation", 1: "test"}.get(int.from_bytes(digest[:4], "big") % 10, "train")


def write(situation: str, rng: random.Random) -> Dialogue:
    """Plays one scene of a situation."""
    scene = Scene(rng)
    SITUATIONS[situation][0](scene)
    facts = {name: scene.facts[name] for name in scene.summary_facts}
    return Dialogue(
        situation, scene.key, scene.dialogue(), scene.summary, facts, tuple(scene.corrections)
    )


def words(text: str) -> set[str]:
    """Returns the words of a text in lower case, of which every one has to occur in training."""
    return set(re.findall(r"[\w$:'-]+", text.lower()))


def acceptable(dialogue: Dialogue) -> bool:
    """Returns whether there are 6 to 14 turns, none with all the facts of the summary."""
    turns = dialogue.dialogue.lower().split("\n")
    facts = [fact.said.lower() for fact in dialogue.facts.values()]
    return MIN_TURNS <= len(turns) <= MAX_TURNS and not any(
        all(fact in turn for fact in facts) for turn in turns
    )


def write_all(seed: int = 0) -> dict[str, list[Dialogue]]:
    """Returns all dialogues of the three splits, in the order of the files."""
    rng = random.Random(seed)
    names = list(SITUATIONS)
    splits: dict[str, list[Dialogue]] = {}
    known: set[str] = set()  # words and single key facts of the training split
    seen: set[str] = set()
    for split, size in SIZES.items():
        dialogues: list[Dialogue] = []
        while len(dialogues) < size:
            dialogue = write(names[len(dialogues) % len(names)], rng)
            used = words(f"{dialogue.dialogue} {dialogue.summary}")
            used |= {f"{dialogue.situation}: {told}" for told in dialogue.key}
            if (
                split_of(dialogue.situation, dialogue.key) == split
                and acceptable(dialogue)
                and (split == "train" or used <= known)
                and not {dialogue.dialogue, dialogue.summary} & seen
            ):
                dialogues.append(dialogue)
                seen |= {dialogue.dialogue, dialogue.summary}
                if split == "train":
                    known |= used
        rng.shuffle(dialogues)
        splits[split] = dialogues
    return splits


def generate(seed: int = 0) -> dict[str, list[dict[str, str]]]:
    """Returns the records of the splits "train", "validation" and "test" in DialogSum's fields."""
    return {
        split: [
            {
                "fname": f"{split}_{number}",
                "dialogue": dialogue.dialogue,
                "summary": dialogue.summary,
                "topic": SITUATIONS[dialogue.situation][1],
            }
            for number, dialogue in enumerate(dialogues)
        ]
        for split, dialogues in write_all(seed).items()
    }
