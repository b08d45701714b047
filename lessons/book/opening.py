"""Reads from the first cell of a lesson what it is about and what a learner can do after it."""

from __future__ import annotations

import re
from typing import NamedTuple

OPENING = re.compile(
    r"# (?P<title>[^\n]+)\n\n"
    r"(?P<about>.+?)\n\n"
    r"\**After this lesson you can\**\n+"
    r"(?P<goals>- .+?)(?:\n\n|\Z)",
    re.DOTALL,
)


class Opening(NamedTuple):
    """How a lesson opens: its title, and in Markdown what it is about and its list of goals."""

    title: str
    about: str = ""
    goals: str = ""


def read_opening(markdown: str) -> Opening:
    """Returns the parts of a first cell; of one that has no goals, the title alone."""
    found = OPENING.match(markdown)
    if found:
        return Opening(**found.groupdict())
    return Opening(markdown.partition("\n")[0].lstrip("# "))
