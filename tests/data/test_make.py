"""data/make.py: the files in the repository are what the generators make, to the byte."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SPLITS = ("train", "validation", "test")
DATA = Path(__file__).resolve().parents[2] / "data"
BUDGETS = {"translation": 2_300_000, "dialogues": 2_900_000, "reviews": 600_000}
FIELDS = {
    "translation": {"en", "fr"},
    "dialogues": {"fname", "dialogue", "summary", "topic"},
    "reviews": {"text", "label"},
}
LEAST_TRAINING_RECORDS = {"translation": 20_000, "dialogues": 4_000, "reviews": 4_000}


def make(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DATA / "make.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def run_of_make(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Returns a folder into which make.py has written the quickest task, and what it printed."""
    folder = tmp_path_factory.mktemp("made")
    run = make("--task", "reviews", "--out", folder)
    assert run.returncode == 0, run.stderr
    return folder, run.stdout


@pytest.fixture(scope="module")
def made(run_of_make: tuple[Path, str]) -> Path:
    return run_of_make[0]


def test_check_passes_on_the_committed_files_of_all_tasks() -> None:
    run = make("--check")
    assert run.returncode == 0, run.stderr
    rows = [tuple(line.split()[:2]) for line in run.stdout.splitlines()[1:]]
    assert rows == [(task, split) for task in BUDGETS for split in SPLITS]


def test_a_made_task_is_the_committed_one_to_the_byte(made: Path) -> None:
    for split in SPLITS:
        name = f"reviews/{split}.jsonl"
        assert (DATA / name).read_bytes() == (made / name).read_bytes(), name


@pytest.mark.parametrize("task", BUDGETS)
def test_files_are_compact_json_lines_within_the_byte_budget(task: str) -> None:
    records, size = {}, 0
    for split in SPLITS:
        content = (DATA / task / f"{split}.jsonl").read_bytes()
        rows = [json.loads(line) for line in content.decode().splitlines()]
        assert all(row.keys() == FIELDS[task] for row in rows)
        again = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows]
        assert "".join(again).encode() == content
        records[split] = len(rows)
        size += len(content)
    assert records["train"] >= LEAST_TRAINING_RECORDS[task]
    assert records["validation"] == records["test"] == 500
    assert size <= BUDGETS[task]


@pytest.mark.parametrize(
    "options",
    [
        ["--seed=-1"],
        ["--seed", str(2**32)],
        ["--out", ""],
        ["--out", __file__],
        ["--out", "x" * 5000],
    ],
)
def test_nonsense_is_refused_before_anything_is_written(options: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(DATA / "make.py"))["main"](["--task", "reviews", *options])
    assert stopped.value.code == 2


def test_nothing_but_the_three_files_is_written(made: Path) -> None:
    files = sorted(str(path.relative_to(made)) for path in made.rglob("*") if path.is_file())
    assert files == [f"reviews/{split}.jsonl" for split in sorted(SPLITS)]


def test_check_names_the_file_and_line_of_one_changed_byte(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reviews"
    folder.mkdir()
    for split in SPLITS:
        (folder / f"{split}.jsonl").write_bytes((made / "reviews" / f"{split}.jsonl").read_bytes())
    assert make("--check", "--task", "reviews", "--out", tmp_path).returncode == 0
    lines = (folder / "test.jsonl").read_bytes().split(b"\n")
    lines[6] = lines[6][:-3] + bytes([lines[6][-3] ^ 1]) + lines[6][-2:]
    changed = b"\n".join(lines)
    (folder / "test.jsonl").write_bytes(changed)
    run = make("--check", "--task", "reviews", "--out", tmp_path)
    assert run.returncode == 1
    assert str(folder / "test.jsonl") in run.stderr
    assert "line 7" in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert (folder / "test.jsonl").read_bytes() == changed  # --check writes nothing


def test_check_says_which_file_is_missing(tmp_path: Path) -> None:
    run = make("--check", "--task", "reviews", "--out", tmp_path)
    assert run.returncode == 1
    assert [line.split()[1] for line in run.stderr.splitlines()] == [
        str(tmp_path / "reviews" / f"{split}.jsonl") for split in SPLITS
    ]


def test_table_gives_records_bytes_and_checksum(run_of_make: tuple[Path, str]) -> None:
    made, printed = run_of_make
    row = printed.splitlines()[1].split()
    content = (made / "reviews" / "train.jsonl").read_bytes()
    assert row[:2] == ["reviews", "train"]
    assert int(row[2].replace(",", "")) == content.count(b"\n")
    assert int(row[3].replace(",", "")) == len(content)


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "reviews").write_text("a file where a folder should be")
    run = make("--task", "reviews", "--out", tmp_path)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert "reviews" in run.stderr
