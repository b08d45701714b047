"""The report is aligned, fits the window and ends with what is wrong."""

from __future__ import annotations

from minigpt.doctor.finding import NOTE, OK, PROBLEM, Finding
from minigpt.doctor.report import as_json, last_line, lines_of, problems_of

FINDINGS = [
    Finding("python", OK, "3.11.9, 64 bits"),
    Finding("triton", PROBLEM, "is not installed", "pip install triton"),
    Finding("home", NOTE, "cannot be written to, and so on and so forth to the end of the line"),
]


def test_columns_are_aligned_and_long_lines_wrapped() -> None:
    assert lines_of(FINDINGS, 52) == [
        "  ok       python  3.11.9, 64 bits",
        "  problem  triton  is not installed",
        "                   -> pip install triton",
        "  note     home    cannot be written to, and so on",
        "                   and so forth to the end of the",
        "                   line",
    ]


def test_a_name_or_command_is_never_cut() -> None:
    path = "/a/very/long/path/that/does/not/fit/into/any/window/at/all/and-goes-on"
    found = Finding("runs/", PROBLEM, f"{path} is full", f"cd {path}")
    assert [line.strip() for line in lines_of([found], 20)][-1] == f"-> cd {path}"
    assert any(path in line for line in lines_of([found], 20)[:-1])


def test_the_last_line_counts_the_problems() -> None:
    assert last_line([]) == "no problems"
    assert last_line(["triton"]) == "1 problem: triton"
    assert last_line(["triton", "runs/"]) == "2 problems: triton, runs/"


def test_json_names_problems_and_every_finding() -> None:
    parts = {"Packages": FINDINGS[:2], "Disk": FINDINGS[2:]}
    found = as_json(parts)
    assert found["problems"] == problems_of(parts) == ["triton"]
    assert found["parts"]["Packages"]["triton"] == {
        "state": "problem",
        "said": "is not installed",
        "remedy": "pip install triton",
    }
    assert list(found["parts"]["Disk"]) == ["home"]
