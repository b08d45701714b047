"""sacrebleu's and rouge_score's own tests, run on ours with nothing changed but the import.

They come with the source packages, which pip fetches once, into the user's cache and not into the
repository; where they cannot be had, the tests are skipped. MINIGPT_PEER_SUITES names another
folder that holds the packages.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

import minigpt

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
PACKAGES = Path(os.environ.get("MINIGPT_PEER_SUITES") or CACHE / "minigpt-peer-suites")

SUITES = {
    "sacrebleu": ["test/test_bleu.py", "test/test_sentence_bleu.py"],
    "rouge_score": [
        *("rouge_score/rouge_scorer_test.py", "rouge_score/scoring_test.py"),
        *("rouge_score/tokenize_test.py", "rouge_score/tokenizers_test.py"),
        "rouge_score/io_test.py",
    ],
}
BUILT_WITH = {"sacrebleu": ["setuptools", "setuptools_scm"], "rouge_score": ["setuptools"]}
PASSED = {"sacrebleu": 57, "rouge_score": 34}
IMPORTS = {
    "import sacrebleu": "from minigpt import bleu as sacrebleu",
    "from sacrebleu.metrics import BLEU": "from minigpt.bleu import BLEU",
    "from rouge_score import rouge_scorer": "from minigpt import rouge as rouge_scorer",
    "from rouge_score import scoring": "from minigpt.rouge import scoring",
    "from rouge_score import tokenizers": "from minigpt.rouge import tokenizers",
    "from rouge_score import tokenize": "from minigpt import rouge as tokenize",
    # Not ours: where the tests look for texts, and what writes tables from our scores.
    "from rouge_score import test_util": "import test_util",
    "from rouge_score import io": "from rouge_score import io",
}

OF_A_PART_THAT_IS_NOT_OURS = {
    "test/test_api.py": "test sets that sacrebleu downloads",
    "test/test_dataset.py": "test sets that sacrebleu downloads",
    "test/test_chrf.py": "chrF",
    "test/test_ter.py": "TER",
    "test/test_tokenizer_ter.py": "TER",
    "test/test_significance.py": "sacrebleu's PairedTest, a minute long; test_sacrebleu_calls.py "
    "has it take our metric",
}
NO_TEXTS = "its texts are not in the source package"
LEFT_OUT = {
    "AgainstRouge155": NO_TEXTS,  # nine tests
    "testRougeLsumLarge": NO_TEXTS,
    "testAssertsOnInvalidRougeTypes": "ours refuses when the scorer is made, not when it scores",
}
# The other tests read, or only look for, texts that are not in the package: here are some.
TEXTS = {
    **dict.fromkeys(("target.txt", "target_large.txt"), "the cat sat\non the mat\n"),
    **dict.fromkeys(("prediction.txt", "prediction_large.txt"), "a cat sat\non a mat\n"),
    "delimited.txt": "one:two:three:four:",
}
# nltk splits sentences by a model that is not in any package: one without abbreviations will do.
MODEL = ("collocations.tab", "sent_starters.txt", "abbrev_types.txt", "ortho_context.tab")


def source_package(name: str) -> Path:
    """Returns the source package of the version that is installed; skips if pip has none."""
    pattern = f"{name}-{version(name)}.tar.gz"
    if not (found := list(PACKAGES.glob(pattern))):
        PACKAGES.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=PACKAGES) as folder:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", folder]
            pip += ["--disable-pip-version-check", "--timeout", "3", "--retries", "0"]
            pip += ["--no-deps", "--no-binary", name, f"{name}=={version(name)}"]
            if all(map(find_spec, BUILT_WITH[name])):  # pip asks for metadata, which is built
                pip.append("--no-build-isolation")
            try:
                done = subprocess.run(pip, capture_output=True, text=True, timeout=90, check=False)
            except subprocess.TimeoutExpired:
                pytest.skip(f"pip did not have the source of {name} in 90 seconds")
            if done.returncode:
                pytest.skip(f"pip has no source of {name}: {done.stderr.strip()[-300:]}")
            for file in Path(folder).glob(pattern):
                file.replace(PACKAGES / file.name)
        found = list(PACKAGES.glob(pattern))
    return found[0]


def with_our_imports(source: str) -> str:
    """Changes the lines that import a peer, each of which must be known."""
    lines = source.splitlines()
    for i, line in enumerate(lines):
        if re.match("(import|from) (sacrebleu|rouge_score)", line):
            lines[i] = IMPORTS[line]
    return "\n".join(lines)


def unpack(name: str, folder: Path) -> list[str]:
    """Writes a peer's tests, with our imports, and what they read; returns their names."""
    with tarfile.open(source_package(name)) as archive:
        sources = {
            member.name.partition("/")[2]: archive.extractfile(member)
            for member in archive.getmembers()
            if member.isfile()
            and re.search(
                r"/test/test_\w+\.py$|/rouge_score/\w+_test\.py$|/test_util\.py$", member.name
            )
        }
        texts = {path: file.read().decode() for path, file in sources.items() if file}
    (folder / "test_util.py").write_text(texts.pop("rouge_score/test_util.py", ""))
    unknown = set(texts) - {*SUITES[name], *OF_A_PART_THAT_IS_NOT_OURS}
    assert not unknown, f"{unknown} are neither run nor left out with a reason"
    for path in SUITES[name]:
        (folder / Path(path).name).write_text(with_our_imports(texts[path]))
    (folder / "testdata").mkdir()
    for file, text in TEXTS.items():
        (folder / "testdata" / file).write_text(text)
    model = folder / "tokenizers" / "punkt_tab" / "english"
    model.mkdir(parents=True)
    for file in MODEL:
        (model / file).write_text("")
    return [Path(path).name for path in SUITES[name]]


@pytest.mark.parametrize("name", list(SUITES))
def test_a_peers_tests_pass_with_the_import_changed(name: str, tmp_path: Path) -> None:
    files = unpack(name, tmp_path)
    left_out = " or ".join(LEFT_OUT)
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    run += ["--rootdir", str(tmp_path), "-k", f"not ({left_out})", *files]
    paths = os.pathsep.join([str(Path(minigpt.__file__).parents[1]), str(tmp_path)])
    environment = {**os.environ, "PYTHONPATH": paths, "NLTK_DATA": str(tmp_path)}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    done = subprocess.run(
        run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert f"{PASSED[name]} passed" in done.stdout, done.stdout[-500:]
