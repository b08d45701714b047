"""Prints findings as an aligned list, or as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from minigpt.doctor.finding import PROBLEM, Finding

STATE = 9  # characters of its column
NARROWEST = 30  # column of what was found, however small the window is


def lines_of(findings: Iterable[Finding], width: int) -> list[str]:
    """Returns findings as lines of at most this width: state, name, and what was found."""
    findings = list(findings)
    names = max((len(finding.name) for finding in findings), default=0) + 2
    margin = " " * (2 + STATE + names)
    room = max(NARROWEST, width - len(margin))
    lines = []
    for finding in findings:
        first, *others = wrap(finding.said, room)
        lines.append(f"  {finding.state:<{STATE}}{finding.name:<{names}}{first}")
        lines += [margin + line for line in others]
        if finding.remedy:
            lines.append(f"{margin}-> {finding.remedy}")  # on one line, to be copied
    return lines


def wrap(text: str, width: int) -> list[str]:
    """Returns a text in lines, without cutting names of files or options in two."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def last_line(problems: Iterable[str]) -> str:
    """Returns "no problems", or how many there are and which."""
    names = list(problems)
    if not names:
        return "no problems"
    return f"{len(names)} problem{'s' if len(names) > 1 else ''}: {', '.join(names)}"


def as_json(parts: Mapping[str, list[Finding]]) -> dict[str, Any]:
    """Returns the findings as an object: "problems" has names, "parts" each finding by its name."""
    return {
        "problems": problems_of(parts),
        "parts": {
            title: {
                finding.name: {
                    "state": finding.state,
                    "said": finding.said,
                    "remedy": finding.remedy,
                }
                for finding in findings
            }
            for title, findings in parts.items()
        },
    }


def problems_of(parts: Mapping[str, list[Finding]]) -> list[str]:
    """Returns the names of all problems."""
    return [
        finding.name
        for findings in parts.values()
        for finding in findings
        if finding.state == PROBLEM
    ]
