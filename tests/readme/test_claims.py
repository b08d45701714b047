"""Every number of the README's table of claims is measured again.

A number may differ by half of its last digit, and by what the table's last column allows.
"""

from __future__ import annotations

import bz2
import json
import lzma
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from kernels import dequantize_nf4, quantize_nf4
from lessons.held_out import HeldOut
from minigpt import GPTConfig, count_parameters, load_gpt2, load_pretrained
from minigpt.bench.metrics import damaged_pairs
from minigpt.bleu import corpus_bleu
from minigpt.command.cli import main
from minigpt.rouge import RougeScorer
from minigpt.text.documents import split_documents
from minigpt.text.python_library import python_library
from tests.readme.page import table

Print = pytest.CaptureFixture[str]
CLAIMS = table("claim")


def gpt2_sizes(tmp_path: Path, capsys: Print) -> list[float]:
    names = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
    return [count_parameters(GPTConfig.preset(name)) / 1e6 for name in names]


@torch.no_grad()
def logits_apart(tmp_path: Path, capsys: Print) -> list[float]:
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"n_layer": 4, "n_head": 4, "n_embd": 128, "vocab_size": 1000}
    theirs = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)).eval()
    for name, parameter in theirs.named_parameters():
        if name.endswith("bias"):  # they start at 0, and would not be noticed if they were lost
            nn.init.normal_(parameter, std=0.02)
    theirs.save_pretrained(tmp_path)
    idx = torch.randint(1000, (2, 200))
    return [float((load_gpt2(tmp_path).eval()(idx)[0] - theirs(idx).logits).abs().max())]


def scores_apart(tmp_path: Path, capsys: Print) -> list[float]:
    import sacrebleu
    from rouge_score import rouge_scorer

    words = [word for document in python_library(20) for word in document.text.split()]
    pairs = damaged_pairs(words, n_pairs=200, n_words=20, seed=0)
    types = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    ours, theirs = RougeScorer(types), rouge_scorer.RougeScorer(types)
    apart = 0
    for target, prediction in pairs:
        found, right = ours.score(target, prediction), theirs.score(target, prediction)
        apart += any(tuple(found[name]) != tuple(right[name]) for name in types)
        texts = [prediction], [[target]]
        apart += corpus_bleu(*texts).score != sacrebleu.corpus_bleu(*texts).score
    return [apart]


def nf4(tmp_path: Path, capsys: Print) -> list[float]:
    weight = torch.randn(2048, 2048)
    q = quantize_nf4(weight)
    return [q.bits_per_parameter, float((dequantize_nf4(q) - weight).abs().mean())]


def training_memory(tmp_path: Path, capsys: Print) -> list[float]:
    main(["memory", "--preset", "gpt2-xl", "--context", "1024", "--json"])
    methods = json.loads(capsys.readouterr().out)["methods"]
    return [methods[name]["total"] / 1e9 for name in ("full", "lora", "qlora")]


def base_model(tmp_path: Path, capsys: Print) -> list[float]:
    model, encoding = load_pretrained("base")
    return [HeldOut(encoding, 2**40, seed=0).bits_per_byte(model)]


def compressors(tmp_path: Path, capsys: Print) -> list[float]:
    """Lesson 4 has the same lines, with what they mean."""
    read, held_out = (
        "\n\n".join(document.text for document in documents).encode()
        for documents in split_documents(python_library())
    )
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 2**26}]

    def xz(text: bytes) -> int:
        return len(lzma.compress(text, filters=filters))

    sizes = len(bz2.compress(held_out, 9)), xz(held_out), xz(read + held_out) - xz(read)
    return [8 * size / len(held_out) for size in sizes]


def instructions(tmp_path: Path, capsys: Print) -> list[float]:
    pytest.importorskip("triton", reason="there is no Triton for this system to compile with")
    from kernels.machine_code.measure import table

    rows = table(["sm_90"], ["dequantize_fast"])
    return [row.instructions_per_element for row in rows if row.double_quant]


def grader(tmp_path: Path, capsys: Print) -> list[float]:
    from lessons.grading.registry import lessons, tasks_of

    banks = [task.bank for number in lessons() for task in tasks_of(number)]
    wrong = sum(mistake.equivalent is None for bank in banks for mistake in bank.mistakes)
    right = sum(len(bank.answers) + len(bank.mistakes) for bank in banks) - wrong
    return [len(banks), wrong, right]


MEASURES: dict[str, Callable[[Path, Print], list[float]]] = {
    "parameters of GPT-2": gpt2_sizes,
    "largest difference of a logit": logits_apart,
    "texts whose ROUGE or BLEU": scores_apart,
    "NF4 with double quantization": nf4,
    "memory of a training step": training_memory,
    "bits that the base model": base_model,
    "the same for bz2": compressors,
    "instructions to dequantize": instructions,
    "exercises; known mistakes": grader,
}


def numbers_in(text: str) -> list[str]:
    """Returns the numbers in a text as they are printed, without commas."""
    return [number.replace(",", "") for number in re.findall(r"(?<![\w-])\d[\d,]*\.?\d*", text)]


def half_a_digit(printed: str) -> float:
    """Returns how far a number may be from the one that it is rounded to."""
    return 0.5 * 10.0 ** -len(printed.partition(".")[2])


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["claim"][:30])
def test_a_claim_is_measured_again(claim: dict[str, str], tmp_path: Path, capsys: Print) -> None:
    (measure,) = (m for start, m in MEASURES.items() if claim["claim"].startswith(start))
    found, printed = measure(tmp_path, capsys), numbers_in(claim["number"])
    more = numbers_in(claim["give or take"])
    assert len(found) == len(printed)
    for number, text in zip(found, printed, strict=True):
        if claim["number"].startswith("below"):
            assert number < float(text)
        else:
            allowed = half_a_digit(text) * 1.0001 + float(more[0] if more else 0)
            assert number == pytest.approx(float(text), rel=0, abs=allowed)


def test_each_measurement_has_its_claim() -> None:
    assert len(CLAIMS) == len(MEASURES)


def test_no_wrong_answer_passes_and_no_right_one_fails(
    sandbox: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one exercise; `minigpt exercise audit` tries all of them, and .ci/run calls it."""
    from lessons.grading import bank_audit

    monkeypatch.setattr(bank_audit, "sandbox_for", lambda lesson: sandbox)
    outcome = bank_audit.audit_task("8.5")
    assert outcome.mistakes > 5
    assert bank_audit.total([outcome]).good
