"""Lesson 13 runs, draws its figures, and its counts are those of the formulas."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from safetensors.torch import load_file

from lessons.base_model import CONFIG
from lessons.experiments.bleu_shares import gain_of_share, share, share_error
from lessons.experiments.fewer_blocks import draw_sizes, with_fewer_blocks
from lessons.experiments.finetuning_methods import FAMILIES, RECIPES, build, draw
from lessons.experiments.gpt3_counts import Count
from lessons.experiments.method_costs import save_trained, time_tokens, training_bytes
from lessons.experiments.neighbours import french_tokens, look_up
from lessons.experiments.task_scores import Scores, scores_of
from lessons.verdicts import Kind
from minigpt import GPT, GPTConfig, load_pretrained
from minigpt.bleu import corpus_bleu
from minigpt.dataset import PackedText
from minigpt.soft_prompts.model import apply_prompt_tuning, nearest_tokens
from minigpt.tasks.task import TASKS
from minigpt.training.settings import TrainConfig


def test_lesson_13(run_lesson: Callable) -> None:
    lesson = run_lesson(13, "--device", "cpu")
    assert set(lesson.figures) == {"methods.png", "sizes.png"}

    d, layers = 12288, 96  # GPT-3
    counts = {f"PrefixEmbed ({p}, 8)": d * (p + 8) for p in (32, 64, 128, 256, 512)}
    for p, i in ((2, 2), (8, 0), (8, 8), (32, 4), (64, 0)):
        counts[f"PrefixLayer ({p}, {i})"] = layers * d * (p + i)
    for r in (1, 4, 8, 16, 64):
        counts[f"Adapter^H r = {r}"] = 2 * layers * (2 * d * r + r + d)
    for name, count in counts.items():
        row = lesson.table[f"GPT-3, {name}"]
        assert row["measured here"] == f"{count:,}"
        unknown, cut = name.startswith("PrefixLayer"), name == "PrefixEmbed (32, 8)"
        assert row["kind"] == (Kind.UNKNOWN if unknown else Kind.REPRODUCED).value, name
        assert ("cut off after" in row["verdict"]) == cut

    C, L, n, r, hidden = CONFIG.n_embd, CONFIG.n_layer, 20, 16, 64
    shapes = [(C, 3 * C), (C, C), (C, 4 * C), (4 * C, C)]  # the linear layers of a block
    trained = {
        "full": (CONFIG.vocab_size + CONFIG.block_size) * C  # embeddings
        + L * sum(n_in * n_out + n_out for n_in, n_out in shapes)
        + (2 * L + 1) * 2 * C,  # layer norms
        "last block": sum(n_in * n_out + n_out for n_in, n_out in shapes) + 6 * C,
        "biases": L * sum(n_out for _, n_out in shapes) + (2 * L + 1) * C,
        "prefix, gate": 2 * L * C * n + L * CONFIG.n_head,
        "LoRA": L * sum(12 * (n_in + n_out) for n_in, n_out in shapes),
        "bottlenecks": 2 * L * (2 * C * r + r + C),
        "prefix": 2 * L * C * n,
        "prefix, network": n * C + C * hidden + hidden + hidden * 2 * L * C + 2 * L * C,
        "prompt": n * C,
    }
    trained |= {"prompt, random": trained["prompt"]}
    for method, count in trained.items():
        found = re.search(rf"^{method} +[\d.]+ +([\d,]+) +[\d.]+% +([\d,]+) ", lesson.output, re.M)
        assert found, method
        assert found[1] == f"{count:,}"
        kept = trained["prefix"] if method == "prefix, network" else count
        assert 4 * kept < int(found[2].replace(",", "")) < 4 * kept + 10_000  # fp32 and a header

    assert lesson.table["prompt of words against the words"]["kind"] == Kind.HOLDS.value
    scores = {
        name: re.search(rf"^{name} +([\d.]+) ", lesson.output, re.M)
        for name in ("prefix, network", "prefix")
    }
    helped = lesson.table["BLEU, prefix: with its network, without"]
    assert helped["measured here"] == ", ".join(found[1] for found in scores.values() if found)
    same = re.findall(r"of (\d+) answers (\d+) are those of the model", lesson.output)
    assert len(same) == 3
    assert all(found == total != "0" for total, found in same)
    assert lesson.table["switched off: the base model again"]["kind"] == Kind.HOLDS.value


@pytest.mark.parametrize("apart", [0.0, 0.2, -5.0])
def test_every_method_is_named_once_and_no_name_covers_another_or_a_point(apart: float) -> None:
    names = ("full", "LoRA", "biases", "bottlenecks", "prefix", "prefix, gate", "prefix, network")
    names += ("prompt", "prompt, random")
    results = {
        name: {"BLEU": 40 + apart * i, "trained": 5000 if i > 3 else 10**6}
        for i, name in enumerate(names)
    }
    figure = Figure(figsize=(9, 5), layout="constrained")
    axis = figure.subplots()
    draw(axis, results)
    FigureCanvasAgg(figure).draw()
    (legend,) = figure.legends
    texts = legend.get_texts()
    assert sorted(text.get_text() for text in texts) == sorted(
        f"{name} {result['BLEU']:.1f}, {FAMILIES[RECIPES[name].method]}"
        for name, result in results.items()
    )
    boxes = [text.get_window_extent() for text in texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert not legend.get_window_extent().overlaps(axis.get_window_extent())
    assert len(axis.collections) == len(names)
    markers = {tuple(map(tuple, points.get_paths()[0].vertices)) for points in axis.collections}
    assert len(markers) == len(names)
    colors = {tuple(points.get_facecolor()[0]) for points in axis.collections}
    assert len(colors) == len(set(FAMILIES.values()))


def test_the_figures_of_lesson_13_show_one_standard_error_up_and_down() -> None:
    def ends(container: ErrorbarContainer) -> list[list[float]]:
        (bars,) = container.lines[2]
        return [segment[:, 1].tolist() for segment in bars.get_segments()]

    axis = Figure().subplots()
    draw(axis, {"LoRA": {"BLEU": 30.0, "trained": 1000, "error": 2.0}})
    (container,) = axis.containers
    assert ends(container) == [[28, 32]]

    axis = Figure(layout="constrained").subplots()
    draw_sizes(axis, {10**6: {"full": 5.0}, 10**7: {"full": 30.0}},
               {10**6: {"full": 1.0}, 10**7: {"full": 3.0}})  # fmt: skip
    (container,) = axis.containers
    assert ends(container) == [[4, 6], [27, 33]]


def test_fewer_blocks_are_the_first_of_the_base_which_stays_as_it_is() -> None:
    torch.manual_seed(0)
    base = GPT(GPTConfig(vocab_size=50, block_size=8, n_layer=3, n_head=2, n_embd=8)).eval()
    ids = np.arange(100, dtype=np.uint16) % 50
    still = TrainConfig(max_steps=1, learning_rate=0.0, device="cpu", progress=False)
    cut = with_fewer_blocks(base, 2, PackedText(ids, ids, 8), still)
    assert (cut.config.n_layer, base.config.n_layer) == (2, 3) == (2, len(list(base.blocks())))
    idx = torch.tensor([[3, 1, 4, 1, 5]])
    with torch.no_grad():
        x = base.transformer["wte"](idx) + base.transformer["wpe"](torch.arange(5))
        for block in list(base.blocks())[:2]:
            x = block(x)
        by_hand = base.lm_head(base.transformer["ln_f"](x))
        torch.testing.assert_close(cut(idx)[0], by_hand, rtol=0, atol=1e-6)
        assert not torch.allclose(base(idx)[0], by_hand, atol=1e-3)


def test_the_trained_blocks_are_not_those_of_the_base() -> None:
    torch.manual_seed(0)
    base = GPT(GPTConfig(vocab_size=50, block_size=8, n_layer=3, n_head=2, n_embd=8))
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    ids = np.arange(100, dtype=np.uint16) % 50
    settings = TrainConfig(max_steps=3, learning_rate=1e-2, device="cpu", progress=False)
    cut = with_fewer_blocks(base, 1, PackedText(ids, ids, 8), settings)
    assert all(torch.equal(tensor, before[name]) for name, tensor in base.state_dict().items())
    assert not any(torch.equal(p, before[name]) for name, p in cut.named_parameters())


@pytest.mark.parametrize("n_layer", [0, 4])
def test_blocks_that_the_base_lacks_are_refused(n_layer: int) -> None:
    base = GPT(GPTConfig(vocab_size=50, block_size=8, n_layer=3, n_head=2, n_embd=8))
    ids = np.arange(100, dtype=np.uint16) % 50
    with pytest.raises(ValueError, match=f"n_layer must be from 1 to 3, got {n_layer}"):
        with_fewer_blocks(base, n_layer, PackedText(ids, ids, 8), TrainConfig(max_steps=1))


def scored(answers: list[str], references: list[str]) -> Scores:
    """Scores translations that have one right answer each."""
    return scores_of(TASKS["translation"], answers, [[right] for right in references])


def test_the_error_of_a_share_is_that_of_drawn_corpora() -> None:
    references = REFERENCES * 20
    half = [r if i % 2 else r.replace("old", "new") for i, r in enumerate(references)]
    one, other = scored(half, references), scored(references, references)
    dice, drawn = np.random.default_rng(7), []
    for _ in range(150):
        rows = dice.integers(60, size=60)
        drawn.append(share(one, other, rows))
    assert share_error(one, other) == pytest.approx(np.std(drawn), rel=0.25)


REFERENCES = [f"the {word} was on the table in the old house" for word in ["cup", "lamp", "book"]]


def test_the_gap_of_two_models_is_that_of_their_bleu_and_its_error_that_of_drawn_corpora() -> None:
    references = REFERENCES * 20
    good = [r if i % 3 else r.replace("old", "new") for i, r in enumerate(references)]
    bad = [r if i % 4 == 0 else "the " + r[6:] for i, r in enumerate(references)]
    found, error = scored(good, references).gain(scored(bad, references), "bleu")
    assert found == corpus_bleu(good, [references]).score - corpus_bleu(bad, [references]).score

    dice, drawn = np.random.default_rng(5), []
    for _ in range(150):
        rows = dice.integers(60, size=60)
        sets = [[texts[i] for i in rows] for texts in (good, bad, references)]
        drawn.append(corpus_bleu(sets[0], sets[2:]).score - corpus_bleu(sets[1], sets[2:]).score)
    assert error == pytest.approx(np.std(drawn), rel=0.25)


def test_a_gap_of_a_model_to_itself_has_no_error() -> None:
    one = scored(REFERENCES[::-1], REFERENCES)
    assert one.gain(one, "bleu") == (0, 0)


def test_a_share_of_nothing_cannot_be_measured() -> None:
    none, all_of_it = scored(["", "", ""], REFERENCES), scored(REFERENCES, REFERENCES)
    assert gain_of_share((none, all_of_it), (all_of_it, all_of_it)) == (100, 0)
    assert all(map(np.isnan, gain_of_share((all_of_it, none), (all_of_it, all_of_it))))


@pytest.mark.parametrize(
    ("count", "kind", "words"),
    [
        (491_520, Kind.REPRODUCED, "cut off after one decimal; rounded it is 0.5"),
        (449_999, Kind.REPRODUCED, ""),
        (591_520, Kind.WRONG, "the count is 0.6 when rounded and 0.5 when cut off"),
    ],
)
def test_only_a_count_that_rounding_does_not_give_is_called_cut_off(
    count: int, kind: Kind, words: str
) -> None:
    verdict = Count("PrefixEmbed", "0.4", count).verdict()
    assert verdict.judge(*verdict.values) == (kind, words)


def test_neighbours_are_those_of_the_library_and_french_ones_are_counted_a_token() -> None:
    base, encoding = load_pretrained("base")
    words = encoding.encode(" Le lac while")
    apply_prompt_tuning(base, len(words), words)
    records = [{"en": "The soup.", "fr": "Le lac."}]
    is_french = french_tokens(records, encoding)
    assert all(is_french[encoding.encode(" Le lac")])
    assert not any(is_french[encoding.encode(" The soup.")])
    near = look_up(base, encoding, is_french, 4)
    assert near.rows == nearest_tokens(base, encoding, k=4)
    texts = [[encoding.decode([token]) for token in row] for row in near.ids]
    assert texts == [[text for text, _ in row] for row in near.rows]
    assert near.ids[:, 0].tolist() == words
    assert near.french.tolist() == [sum(is_french[t] for t in row) / 4 for row in near.ids]
    assert near.cosine == pytest.approx(1)
    table = base.transformer["wte"].weight.detach()
    for row, together in zip(near.ids, near.together, strict=True):
        pairs = [(table[a], table[b]) for i, a in enumerate(row) for b in row[:i]]
        cosines = [float(torch.cosine_similarity(a, b, dim=0)) for a, b in pairs]
        assert together == pytest.approx(sum(cosines) / 6)


SELECTED = {
    "last block": lambda name: name.startswith(("transformer.h.4.", "transformer.ln_f.")),
    "biases": lambda name: name.endswith(".bias"),
}


@pytest.mark.parametrize("recipe", SELECTED)
def test_a_selective_method_trains_and_saves_its_part_of_the_weights_alone(
    recipe: str, tmp_path: Path
) -> None:
    base, encoding = load_pretrained("base")
    model = build(recipe, base, seed=0)
    expected = {name: p for name, p in base.named_parameters() if SELECTED[recipe](name)}
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learning == expected.keys()
    size = save_trained(model, recipe, encoding, tmp_path / "new")
    (file,) = (tmp_path / "new").glob("*.safetensors")
    assert size == file.stat().st_size
    saved = load_file(file)
    assert saved.keys() == expected.keys()
    assert all(torch.equal(saved[name], tensor) for name, tensor in expected.items())


def test_training_takes_the_weights_once_and_sixteen_bytes_for_what_learns() -> None:
    C, L = CONFIG.n_embd, CONFIG.n_layer
    base, _ = load_pretrained("base")
    weights = sum(p.numel() for p in base.parameters())  # the tied matrix once
    assert training_bytes(build("full", base, seed=0)) == 16 * weights
    biases = L * (3 + 1 + 4 + 1) * C + (2 * L + 1) * C
    assert training_bytes(build("biases", base, seed=0)) == 4 * weights + 12 * biases
    prompt = build("prompt", base, seed=0, start_ids=[3, 4])
    assert training_bytes(prompt) == 4 * weights + 16 * 20 * C
    four_bits = training_bytes(build("QLoRA", base, seed=0))
    assert four_bits < training_bytes(build("LoRA", base, seed=0)) - 3 * L * 12 * C * C


def test_models_take_turns_in_being_timed_each_token_by_forward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[GPT] = []

    def forward(self: GPT, idx: torch.Tensor, **reading: Any) -> tuple[torch.Tensor, None]:
        calls.append(self)
        return torch.zeros(1, 1, self.config.vocab_size), None

    monkeypatch.setattr(GPT, "forward", forward)
    config = GPTConfig(vocab_size=50, block_size=8, n_layer=1, n_head=2, n_embd=8)
    models = {name: GPT(config) for name in "ab"}
    found = time_tokens(models, torch.zeros(1, 1, dtype=torch.long), 4, rounds=3)
    names = {id(model.lm_head.weight): name for name, model in models.items()}
    assert [names[id(model.lm_head.weight)] for model in calls] == [*"aaaabbbb"] * 4
    assert {name: len(times) for name, times in found.items()} == {"a": 3, "b": 3}
