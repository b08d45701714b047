"""Who may import whom in this house: each rule takes a tree and returns what breaks it.

A rule returns sentences with the file, the line, the import and the reason; none means that the
rule is kept. tests/test_house.py holds ours against them, and made-up trees that break them.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path

from tests.house.imports import PACKAGES, Import, Tree, is_excepted, room_of, walk

# The chapters in the order of reading: what a chapter needs stands before it.
CHAPTERS = [
    f"minigpt/{name}.py"
    for name in (
        "config", "model", "cache", "layers", "generation", "bpe", "tokenizer", "dataset",
        "metric_tokens", "scoring", "rouge", "bleu_score", "corpus_metric", "bleu",
        "classification", "float_formats", "quantization", "device",
    )
]  # fmt: skip
# The workshops from the ground up: what a workshop needs stands on a line above its own.
SISTERS = tuple(
    f"minigpt/{name}" for name in ("lora", "qlora", "soft_prompts", "bottlenecks", "selective")
)
WORKSHOPS: list[tuple[str, ...]] = [
    ("minigpt/files",),
    ("minigpt/fast",),
    ("minigpt/text",),
    ("minigpt/optim",),
    ("minigpt/training",),
    SISTERS,
    ("minigpt/pretrained",),
    ("minigpt/tasks",),
    ("minigpt/finetuning",),
    ("minigpt/memory",),
    ("minigpt/__init__.py",),
    ("minigpt/bench",),
    ("minigpt/doctor",),
    ("minigpt/command",),
]
LEVEL = {room: level for level, rooms in enumerate(WORKSHOPS) for room in rooms}
WITHOUT_A_MODEL = ("minigpt/files", "minigpt/fast", "minigpt/text")

# Late imports against the order: from files that begin so to files that begin so, and why.
EXCEPTIONS = {
    ("minigpt/model.py", "minigpt/generation.py"): "GPT.generate is a method, for those who look",
    ("minigpt/command/", "minigpt/bench/"): "`minigpt bench` starts it",
    ("minigpt/doctor/", "minigpt/bench/"): "`minigpt doctor` shows its table of choices",
    ("minigpt/command/", "lessons/"): "`minigpt lesson` finds and runs them",
}

LATE_ONLY = ("matplotlib", "transformers", "peft", "huggingface_hub", "bitsandbytes")
TOP_LEVEL = {"pyproject.toml", "README.md", "LICENSE", "data", *PACKAGES}


def broken(imports: Iterable[Import], rule: str) -> list[str]:
    """Returns a sentence an import."""
    return [f"{found}; {rule}" for found in imports]


def package_of(file: str) -> str:
    """Returns the first folder of a path."""
    return file.partition("/")[0]


def is_script(file: str) -> bool:
    """Returns whether a file is a lesson a learner runs, which nothing can import."""
    return re.match(r"lessons/\d", file) is not None


def rooms_are_known(tree: Tree) -> list[str]:
    """Every file of minigpt is a chapter or stands in a workshop."""
    return [
        f"{file}:1: is neither a chapter nor in a workshop; CHAPTERS and WORKSHOPS list all"
        for file in tree.texts
        if package_of(file) == "minigpt" and room_of(file) not in {*CHAPTERS, *LEVEL}
    ]


def chapters_import_above(tree: Tree) -> list[str]:
    """A chapter imports chapters that stand before it, fast/ and files/."""
    return broken(
        (
            found
            for found in tree.executed(EXCEPTIONS)
            if found.file in CHAPTERS
            and found.module != "minigpt"  # which says the version
            and found.target not in CHAPTERS[: CHAPTERS.index(found.file)]
            and room_of(found.target) not in ("minigpt/fast", "minigpt/files")
        ),
        "a chapter imports chapters above it in the list, fast/ and files/",
    )


def workshops_import_below(tree: Tree) -> list[str]:
    """A workshop imports chapters and workshops below it."""
    return broken(
        (
            found
            for found in tree.executed(EXCEPTIONS)
            for room, target in [(room_of(found.file), room_of(found.target))]
            if room in LEVEL and target in LEVEL
            if LEVEL[target] > LEVEL[room]
        ),
        "a workshop imports chapters and workshops below it",
    )


def sisters_stay_apart(tree: Tree) -> list[str]:
    """No one of lora/, qlora/, soft_prompts/, bottlenecks/, selective/ imports another."""
    return broken(
        (
            found
            for found in tree.executed()
            if room_of(found.file) in SISTERS
            and room_of(found.target) in SISTERS
            and room_of(found.file) != room_of(found.target)
        ),
        "the sisters do not import each other",
    )


def nobody_imports_the_top(tree: Tree) -> list[str]:
    """Nobody but their tests imports command/ or a bench/."""
    tops = ("minigpt/command", "minigpt/bench", "kernels/bench")
    return broken(
        (
            found
            for found in tree.executed(EXCEPTIONS)
            if room_of(found.target) in tops
            and room_of(found.file) != room_of(found.target)
            and package_of(found.file) != "tests"
        ),
        "nobody imports command/ or bench/",
    )


def ground_knows_no_model(tree: Tree) -> list[str]:
    """files/, fast/ and text/ import neither model.py nor anything that does."""
    executed = tree.executed(EXCEPTIONS)
    towards: dict[str, Import | None] = {"minigpt/model.py": None}  # the first step to the model
    waiting = ["minigpt/model.py"]
    for reached in waiting:
        for found in executed:
            if found.target == reached and found.file not in towards:
                towards[found.file] = found
                waiting.append(found.file)
    sentences = []
    for found in executed:
        if room_of(found.file) in WITHOUT_A_MODEL and found.target in towards:
            chain, step = found.target, towards[found.target]
            while step:
                chain, step = f"{chain} -> {step.target}", towards[step.target]
            rule = "files/, fast/ and text/ know no model"
            sentences.append(f"{found} ({chain}); {rule}")
    return sentences


def kernels_stand_alone(tree: Tree) -> list[str]:
    """kernels imports torch, triton, numpy; its bench the peers too."""
    for_all = {"torch", "triton", "numpy", *sys.stdlib_module_names}
    return broken(
        (
            found
            for found in tree.imports
            if package_of(found.file) == "kernels" and package_of(found.target) != "kernels"
            if found.target not in for_all
            and not (room_of(found.file) == "kernels/bench" and found.target in LATE_ONLY)
        ),
        "kernels imports only torch, triton, numpy and the standard library, its bench the peers",
    )


def kernels_enter_by_qlora(tree: Tree) -> list[str]:
    """minigpt imports kernels in qlora/, its bench and its doctor, and nowhere else."""
    return broken(
        (
            found
            for found in tree.imports
            if package_of(found.file) == "minigpt" and package_of(found.target) == "kernels"
            if room_of(found.file) not in ("minigpt/qlora", "minigpt/bench", "minigpt/doctor")
        ),
        "minigpt imports kernels in qlora/, bench/ and doctor/ only",
    )


def lessons_and_tests_are_last(tree: Tree) -> list[str]:
    """Nothing but tests imports tests; minigpt and kernels import no lessons."""
    last = {"minigpt": ("lessons", "tests"), "kernels": ("lessons", "tests"), "lessons": ("tests",)}
    return broken(
        (
            found
            for found in tree.executed(EXCEPTIONS)
            if package_of(found.target) in last.get(package_of(found.file), ())
        ),
        "nothing imports tests but tests, and nothing imports lessons but lessons and tests",
    )


def test_files_stay_apart(tree: Tree) -> list[str]:
    """No file imports a test file: what two of them need stands in a helper package."""
    return broken(
        (found for found in tree.imports if re.search(r"(^|/)test_\w+\.py$", found.target)),
        "no file imports a test file, what two need stands in a helper package",
    )


def heavy_packages_come_late(tree: Tree) -> list[str]:
    """matplotlib, transformers, peft and hub clients are imported inside the function needing them.

    A lesson's script imports them in the cell that needs them, since nothing can import a script;
    tests import peers to compare with.
    """
    return broken(
        (
            found
            for found in tree.imports
            if found.target in LATE_ONLY and not (found.late or found.typing)
            if package_of(found.file) != "tests" and not is_script(found.file)
        ),
        f"{', '.join(LATE_ONLY)} are imported inside functions only",
    )


def command_lines_end(tree: Tree) -> list[str]:
    """argparse is in command/, and where a program starts: benches, machine_code, lessons.

    An annotation counts too: a Namespace goes no further. Tests of options may use argparse.
    """
    programs = ("minigpt/bench/", "kernels/bench/", "kernels/machine_code/", "lessons/")
    return broken(
        (
            found
            for found in tree.imports
            if found.target == "argparse" and package_of(found.file) != "tests"
            if room_of(found.file) != "minigpt/command"
            and found.file != "lessons/lesson.py"  # reads the options of every lesson's script
            and not (found.file.startswith(programs) and is_program(tree, found.file))
        ),
        "argparse is in minigpt/command/ only, and in programs of benches, machine_code, lessons",
    )


def is_program(tree: Tree, file: str) -> bool:
    """Returns whether a file has `if __name__ == "__main__"`, or a __main__.py beside runs it."""
    beside = f"{file.rpartition('/')[0]}/__main__.py"
    return any(found.file == beside and found.target == file for found in tree.imports) or any(
        isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
        for node in tree.parsed[file].body
    )


def paths_stay(tree: Tree) -> list[str]:
    """No test changes sys.path."""
    return [
        f"{file}:{node.lineno}: {ast.unparse(node)}; no test changes sys.path"
        for file, module in tree.parsed.items()
        if package_of(file) == "tests"
        for node, _, _ in walk(module)
        if changes_path(node)
    ]


def changes_path(node: ast.stmt | ast.expr) -> bool:
    """Returns whether a node changes sys.path: by a method, an assignment or monkeypatch."""
    if isinstance(node, ast.Assign | ast.Delete):
        return any(ast.unparse(target).startswith("sys.path") for target in node.targets)
    if isinstance(node, ast.AugAssign | ast.AnnAssign):
        return ast.unparse(node.target).startswith("sys.path")
    return isinstance(node, ast.Call) and bool(
        re.match(
            r"sys\.path\.(append|extend|insert|remove|clear|pop)\("
            r"|(\w+\.)?(syspath_prepend|addsitedir)\(|\w+\.setattr\((sys, 'path'|'sys\.path')",
            ast.unparse(node),
        )
    )


def no_circle_of_files(tree: Tree) -> list[str]:
    """Files import each other in no circle."""
    return circles(tree, lambda file: file, "no circle among files")


def no_circle_of_rooms(tree: Tree) -> list[str]:
    """Rooms import each other in no circle."""
    return circles(tree, room_of, "no circle among rooms")


def circles(tree: Tree, place_of: Callable[[str], str], rule: str) -> list[str]:
    """Returns a shortest circle for each place that is in one and in none named before."""
    steps: dict[str, dict[str, Import]] = {}
    for found in tree.executed(EXCEPTIONS):
        here, there = place_of(found.file), place_of(found.target)
        if here != there or here == found.file:
            steps.setdefault(here, {}).setdefault(there, found)
    sentences = []
    named: set[str] = set()
    for start in sorted(steps):
        if start not in named and (circle := shortest_circle(start, steps)):
            named.update(place_of(found.file) for found in circle)
            sentences.append(f"{' -> '.join(map(str, circle))}; {rule}")
    return sentences


def shortest_circle(start: str, steps: dict[str, dict[str, Import]]) -> list[Import]:
    """Returns the imports that lead from a place back to it; none where no way does."""
    ways: dict[str, list[Import]] = {start: []}
    waiting = [start]
    for place in waiting:
        for there, found in steps.get(place, {}).items():
            if there == start:
                return [*ways[place], found]
            if there not in ways:
                ways[there] = [*ways[place], found]
                waiting.append(there)
    return []


def exceptions_are_needed(tree: Tree) -> list[str]:
    """Each exception is used by a late import; when the import goes, the exception goes too."""
    return [
        f"tests/house/rules.py: EXCEPTIONS allows {pair[0]} -> {pair[1]}, and no late import is so"
        for pair in EXCEPTIONS
        if not any(found.late and is_excepted(found, pair) for found in tree.executed())
    ]


def tests_mirror_the_house(tree: Tree) -> list[str]:
    """A folder of tests for minigpt, kernels or lessons has the name of what it tests."""
    folders = {file.rpartition("/")[0] for file in tree.texts}
    return [
        f"{file}:1: tests {tested}/, which there is not; tests mirror the folders"
        for file in tree.texts
        if re.match(r"tests/(minigpt|kernels|lessons)/.*\btest_\w+\.py$", file)
        for tested in [file.removeprefix("tests/").rpartition("/")[0]]
        if tested not in folders
    ]


def named_files_are_there(tree: Tree) -> list[str]:
    """A file that a docstring or comment names exists; NAME.py and the like stand for any file."""
    return [
        f"{file}:{number}: names {name}, which is not there"
        for file, text in tree.texts.items()
        if not file.startswith("tests/")
        for number, line in enumerate(text.splitlines(), start=1)
        for name in re.findall(r"(?<![\w./])(?!data/)[\w/]*\w\.py\b", line)  # data/ is not in tree
        if not name.rpartition("/")[2].removesuffix(".py").isupper()
        and not any(f"/{there}".endswith(f"/{name}") for there in tree.texts)
    ]


RULES: list[Callable[[Tree], list[str]]] = [
    rooms_are_known,
    chapters_import_above,
    workshops_import_below,
    sisters_stay_apart,
    nobody_imports_the_top,
    ground_knows_no_model,
    kernels_stand_alone,
    kernels_enter_by_qlora,
    lessons_and_tests_are_last,
    test_files_stay_apart,
    heavy_packages_come_late,
    command_lines_end,
    paths_stay,
    no_circle_of_files,
    no_circle_of_rooms,
    exceptions_are_needed,
    tests_mirror_the_house,
    named_files_are_there,
]


def top_level_is_as_listed(root: Path) -> list[str]:
    """The top level holds what TOP_LEVEL names, apart from hidden entries and ignored files."""
    lines = (root / ".gitignore").read_text(encoding="utf-8").splitlines()
    ignored = [line.strip("/") for line in lines]
    entries = {
        path.name
        for path in root.iterdir()
        if not any(fnmatch(path.name, pattern) for pattern in [".*", *ignored])
    }
    return [
        *(
            f"{name}: stands at the top level, which holds {sorted(TOP_LEVEL)}"
            for name in sorted(entries - TOP_LEVEL)
        ),
        *(f"{name}: is missing at the top level" for name in sorted(TOP_LEVEL - entries)),
    ]
