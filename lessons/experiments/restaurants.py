"""Reads E2E, descriptions of restaurants written from lists of facts, once it has been fetched.

name[Blue Spice], eatType[coffee shop], area[city centre] ->
    A coffee shop in the city centre area called Blue Spice.

Source: Novikova et al. 2017, "The E2E Dataset: New Challenges for End-to-End Generation".
"""

from __future__ import annotations

from pathlib import Path

from minigpt.tasks.data import TaskData, task_data
from minigpt.tasks.task import make_task
from minigpt.text.data_sets import FETCHED

FOLDER = FETCHED / "e2e"
RESTAURANTS = make_task("restaurants", "{mr} ->", "{ref}", metric="bleu", max_new_tokens=64)


def restaurants(folder: Path = FOLDER) -> TaskData | None:
    """Returns E2E as a task; None unless the files are there.

    A short run needs few records: 90% of E2E's development set to train, the rest to validate. The
    test set is E2E's own, in which every list of facts has several right descriptions.
    """
    development, test = folder / "devset.csv", folder / "testset_w_refs.csv"
    if not (development.is_file() and test.is_file()):
        return None
    return task_data(RESTAURANTS, development, validation=0.1, test=test)
