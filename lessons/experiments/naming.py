"""Makes a task with right answers that a small model learns in seconds: to name an animal.

    Charlie the cat roamed the garden at night. The cat's name is -> Charlie

No cat is in the training records, so that a model which names cats has learned to find the name.
"""

from __future__ import annotations

import random

from minigpt.tasks.data import TaskData
from minigpt.tasks.task import make_task

NAMES = (
    *("Charlie", "Anna", "Tom", "Peter", "Sarah", "Oscar", "Lucy", "Nora", "Felix", "Emma"),
    *("Daniel", "Alice", "Henry", "Julia", "Martin", "Laura"),
)
ANIMALS = ("dog", "horse", "bird", "duck", "cow", "pig", "mouse")
HELD_OUT = "cat"
DEEDS = (
    *("roamed the garden at night", "slept under the table", "ate the whole cake"),
    *("ran to the station", "waited at the door", "broke a glass", "hid in the kitchen"),
    *("played in the snow", "looked out of the window", "lost a shoe"),
)
NAMING = make_task(
    "naming", "{name} the {animal} {deed}. The {animal}'s name is", "{name}", "accuracy", 6
)


def naming_data(seed: int) -> TaskData:
    """Returns the task with records of other animals to train with, and of cats to judge with.

    The first test record is Charlie, who roamed the garden at night.
    """

    def records(animals: tuple[str, ...]) -> list[dict]:
        return [
            {"name": name, "animal": animal, "deed": deed}
            for deed in DEEDS for animal in animals for name in NAMES
        ]  # fmt: skip

    cats = records((HELD_OUT,))
    charlie, others = cats[0], cats[1:]
    random.Random(seed).shuffle(others)
    n_validation = len(others) // 3
    test = [charlie, *others[n_validation:]]
    return TaskData(NAMING, records(ANIMALS), others[:n_validation], test, "made in this lesson")
