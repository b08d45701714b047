"""The figures that can be played with: their JavaScript computes what the library computes.

The same files that a page loads run here in V8, the engine of Chrome, without a page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from py_mini_racer import MiniRacer
from torch import Tensor

from kernels import dequantize_nf4, quantize_nf4
from kernels.nf4 import LEVELS, THRESHOLDS
from kernels.reference import block_absmax, encode_nf4, normalise, unpack
from lessons.book.pages import write_book
from lessons.book.play import playgrounds
from lessons.book.record import read_record
from lessons.book.run import run
from minigpt import GPT, GPTConfig, load_pretrained
from minigpt.generation import apply_temperature, draw, generate, keep_top_k, keep_top_p, sample
from minigpt.pretrained.folders import load_gpt2, save_gpt2
from minigpt.text.task_sets import data_folder

PLAY = Path(playgrounds.__file__).parent
INFINITY = float("inf")
# Browsers have this function, and V8 alone does not.
ATOB = """
function atob(base64) {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const value = new Uint8Array(128);
  for (let i = 0; i < 64; i++) value[letters.charCodeAt(i)] = i;
  const at = (i) => value[base64.charCodeAt(i)];
  const parts = [];
  for (let i = 0; i < base64.length; i += 4) {
    const bits = (at(i) << 18) | (at(i + 1) << 12) | (at(i + 2) << 6) | at(i + 3);
    parts.push(String.fromCharCode(bits >> 16, (bits >> 8) & 255, bits & 255));
  }
  return parts.join("").slice(0, (base64.replace(/=+$/, "").length * 3) >> 2);
}
"""


class Engine:
    """V8 with some of the scripts loaded."""

    def __init__(self, *scripts: str) -> None:
        self.context = MiniRacer()
        for script in scripts:
            self.run((PLAY / script).read_text(encoding="utf-8"))

    def run(self, code: str) -> None:
        """Runs code."""
        self.context.eval(f"{code}\n;0")

    def value(self, expression: str) -> Any:
        """Returns the value of an expression; an infinity comes back as None."""
        return json.loads(self.context.eval(f"JSON.stringify({expression})"))

    def call(self, function: str, *arguments: Any) -> Any:
        """Returns what a function returns."""
        return self.value(f"{function}({', '.join(map(json.dumps, arguments))})")


@pytest.fixture(scope="module")
def js() -> Engine:
    return Engine("sampling.js", "attention.js", "nf4.js")


def logits_of(size: int, seed: int = 0) -> Tensor:
    """Returns scores of `size` tokens, in fp64 and [1, V]."""
    generator = torch.Generator().manual_seed(seed)
    return 4 * torch.randn(1, size, generator=generator, dtype=torch.float64)


SETTINGS = [
    (1.0, 200, 1.0), (0.7, 200, 1.0), (1.9, 200, 1.0), (0.05, 200, 1.0), (1e-40, 200, 1.0),
    (1.0, 1, 1.0), (1.0, 40, 1.0), (1.0, 10_000, 1.0),
    (1.0, 200, 0.01), (1.0, 200, 0.5), (1.0, 200, 0.9), (1.0, 200, 0.9999),
    (0.8, 40, 0.9), (1.5, 5, 0.5), (0.3, 2, 0.99),
]  # fmt: skip


@pytest.mark.parametrize(("temperature", "top_k", "top_p"), SETTINGS)
def test_a_distribution_is_the_library_s(
    js: Engine, temperature: float, top_k: int, top_p: float
) -> None:
    logits = logits_of(200)
    setting = {"temperature": temperature, "topK": top_k, "topP": top_p}
    found = js.call("distribution", logits[0].tolist(), setting)
    ours = torch.tensor([found["probabilities"]], dtype=torch.float64)
    hot = apply_temperature(logits, temperature)
    kept = keep_top_p(keep_top_k(hot, top_k), top_p)  # [1, V], in fp64 as in JavaScript
    assert torch.allclose(ours, kept.softmax(-1), rtol=1e-12, atol=1e-15)
    cut = [number is None for number in found["afterTopP"]]
    assert cut == kept.isinf()[0].tolist()
    assert [number is None for number in found["afterTopK"]] == (
        keep_top_k(hot, top_k).isinf()[0].tolist()
    )
    # As `sample` computes, in fp32: probabilities have 24 bits, and the exponents' errors grow.
    hot = apply_temperature(logits.float(), temperature)
    plain = keep_top_p(keep_top_k(hot, top_k), top_p).softmax(-1)
    assert torch.allclose(ours.float(), plain, rtol=1e-4, atol=1e-6)


def test_of_equal_logits_exactly_k_stay_and_the_nucleus_takes_lower_ids(js: Engine) -> None:
    logits = [2.0, 5.0, 2.0, 2.0, 5.0, 1.0, 2.0]
    for k in range(1, 8):
        ours = [number for number in js.call("keepTopK", logits, k) if number is not None]
        theirs = keep_top_k(torch.tensor([logits]), k)
        assert sorted(ours) == sorted(theirs[theirs.isfinite()].tolist())
        assert len(ours) == k
    for p in (0.2, 0.45, 0.5, 0.91, 0.95, 0.99, 1.0):
        ours = [number is None for number in js.call("keepTopP", logits, p)]
        assert ours == keep_top_p(torch.tensor([logits]), p).isinf()[0].tolist()
    # Four tokens of 1/4 each: two of them reach 1/2, and the third is not needed.
    assert js.call("keepTopP", [0.0, 0.0, 0.0, 0.0], 0.5) == [0, 0, None, None]


def test_a_small_temperature_tells_close_logits_apart(js: Engine) -> None:
    setting = {"temperature": 1e-6, "topK": 2, "topP": 1}
    found = js.call("distribution", [1.0, 1.0 - 2e-6], setting)["probabilities"]
    hot = apply_temperature(torch.tensor([[1.0, 1.0 - 2e-6]], dtype=torch.float64), 1e-6)
    assert found == pytest.approx(hot.softmax(-1)[0].tolist(), rel=1e-9)
    assert found[1] > 0.1


def test_temperature_0_takes_the_first_of_the_largest(js: Engine) -> None:
    logits = [1.0, 3.0, -2.0, 3.0]
    setting = {"temperature": 0, "topK": 4, "topP": 0.9}
    found = js.call("distribution", logits, setting)["probabilities"]
    assert found == [0, 1, 0, 0]
    assert sample(torch.tensor([logits]), temperature=0).tolist() == [1]


def test_a_drawn_token_is_the_library_s(js: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities = keep_top_k(logits_of(50), 20).softmax(-1)
    for u in [1.0, 0.5, 2**-53, *torch.linspace(0.001, 0.999, 97, dtype=torch.float64).tolist()]:
        place = torch.tensor([[1 - u]], dtype=torch.float64)
        monkeypatch.setattr(torch, "rand", lambda *size, place=place, **options: place)
        (theirs,) = draw(probabilities).tolist()
        assert js.call("draw", probabilities[0].tolist(), 1 - (1 - u)) == theirs
        assert probabilities[0, theirs] > 0


def test_random_numbers_are_even_and_follow_from_the_seed(js: Engine) -> None:
    def numbers(seed: int, n: int) -> list[float]:
        js.run(f"var random = seededRandom({seed});")
        return js.value(f"Array.from({{ length: {n} }}, () => random())")

    first = numbers(7, 4000)
    assert numbers(7, 4000) == first
    assert all(0 < number <= 1 for number in first)
    openings = js.value("Array.from({ length: 4000 }, (_, seed) => seededRandom(seed)())")
    for sample_of in (first, openings):  # neighbouring seeds must not begin alike
        counts = torch.histc(torch.tensor(sample_of), bins=16, min=0, max=1)
        # A sum of 16 squares with 15 degrees of freedom: above 44 once in ten thousand.
        assert ((counts - 250).square() / 250).sum() < 44
        pairs = torch.tensor([sample_of[:-1], sample_of[1:]])
        assert abs(torch.corrcoef(pairs)[0, 1]) < 4 / 4000**0.5


def test_bars_add_up_and_name_what_has_cut_a_token(js: Engine) -> None:
    logits = logits_of(100)[0]
    order = logits.argsort(descending=True).tolist()
    setting = {"temperature": 0.9, "topK": 12, "topP": 0.8}
    found = js.call("barsOf", logits.tolist(), setting, 25, order[70])
    assert [row["id"] for row in found["rows"]] == [*order[:25], order[70]]
    cut = [row["cutBy"] for row in found["rows"]]
    n = found["kept"]
    assert 1 < n < 12
    assert cut == [""] * n + ["top-p"] * (12 - n) + ["top-k"] * 14
    assert sum(row["probability"] for row in found["rows"]) == pytest.approx(1)
    assert found["rest"] == {"n": 74, "kept": 0, "probability": 0}
    open_bars = js.call("barsOf", logits.tolist(), {**setting, "topK": 100, "topP": 1}, 25, None)
    rest = open_bars["rest"]
    assert (rest["n"], rest["kept"]) == (75, 75)
    shown = sum(row["probability"] for row in open_bars["rows"])
    assert shown + rest["probability"] == pytest.approx(1)
    assert rest["probability"] > 0


def decoder_of(folder: Path) -> Engine:
    """Returns an engine with the model of a folder, as a page has it: `model`."""
    script = folder / "base_model.js"
    playgrounds.write_weights(script, folder)
    engine = Engine("sampling.js", "decoder.js")
    engine.run(ATOB)
    engine.run(script.read_text(encoding="utf-8"))
    engine.run(
        "const { config, safetensors } = BASE_MODEL;"
        "const model = { config, weights: readSafetensors(bytesOf(safetensors)) };"
        "function logitsAfterEach(ids) {"
        "  const cache = emptyCache(model);"
        "  return ids.map((id) => Array.from(readToken(model, id, cache)));"
        "}"
    )
    return engine


TINY = GPTConfig(vocab_size=50, block_size=12, n_layer=3, n_head=4, n_embd=32)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[GPT, Engine]:
    """A small model whose weights, norms and biases are large enough to matter."""
    folder = tmp_path_factory.mktemp("tiny")
    generator = torch.Generator().manual_seed(0)
    model = GPT(TINY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    save_gpt2(model, folder, dtype=torch.bfloat16)
    return load_gpt2(folder).eval(), decoder_of(folder)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[GPT, Engine]:
    """The base model, and the script that the book has of it."""
    folder = tmp_path_factory.mktemp("base")
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((data_folder() / "base" / name).read_bytes())
    return load_pretrained("base")[0].eval(), decoder_of(folder)


@pytest.mark.parametrize("which", ["tiny", "base"])
@torch.no_grad()
def test_the_decoder_gives_the_model_s_scores(which: str, request: pytest.FixtureRequest) -> None:
    """In fp64 both compute the same, and differ in the order of sums and the last bits of exp.

    In fp32 the library rounds every product to 24 bits, about 1e-7 of scores of around 10, and the
    blocks add such errors up.
    """
    model, engine = request.getfixturevalue(which)
    ids = torch.arange(12)[None] * 7 % model.config.vocab_size
    found = torch.tensor([engine.call("logitsAfterEach", ids[0].tolist())], dtype=torch.float64)
    exact = model.double()(ids)[0]
    assert exact.std() > 0.5
    assert torch.allclose(found, exact, rtol=0, atol=1e-9)
    plain = model.float()(ids)[0]
    assert torch.allclose(found.float(), plain, rtol=0, atol=1e-4)


def test_the_cache_changes_nothing_and_is_as_long_as_the_context(
    tiny: tuple[GPT, Engine],
) -> None:
    _, engine = tiny
    ids = [3, 1, 4, 1, 5, 9, 2, 6]
    with_cache = engine.call("logitsAfterEach", ids)
    for n in range(1, len(ids) + 1):
        assert engine.call("logitsAfterEach", ids[:n])[-1] == with_cache[n - 1]
    with pytest.raises(Exception, match="the context has room for 12 tokens"):
        engine.call("logitsAfterEach", [0] * 13)


def test_what_it_writes_greedily_is_what_generate_writes(base: tuple[GPT, Engine]) -> None:
    model, engine = base
    prompt = load_pretrained("base")[1].encode_ordinary("Return the")
    expected = generate(model, torch.tensor([prompt]), 40, temperature=0)[0, len(prompt) :]
    engine.run(
        "function writeGreedily(ids, n) {"
        "  const cache = emptyCache(model);"
        "  const setting = { temperature: 0, topK: 4096, topP: 1 };"
        "  const written = [];"
        "  let logits;"
        "  for (const id of ids) logits = readToken(model, id, cache);"
        "  while (written.length < n) {"
        "    written.push(draw(distribution(logits, setting).probabilities, 0.5));"
        "    logits = readToken(model, written.at(-1), cache);"
        "  }"
        "  return written;"
        "}"
    )
    assert engine.call("writeGreedily", prompt, 40) == expected.tolist()


def test_weights_in_another_format_are_refused(tmp_path: Path) -> None:
    save_gpt2(GPT(TINY), tmp_path, dtype=torch.float32)
    with pytest.raises(Exception, match="is F32, and must be BF16"):
        decoder_of(tmp_path)


def rows_of_weights() -> dict[str, Tensor]:
    """Returns rows of 64 weights, easy and hard."""
    normal = 0.1 * torch.randn(64, generator=torch.Generator().manual_seed(0))
    outlier, at_thresholds = normal.clone(), normal.clone()
    outlier[40] = -3.7
    at_thresholds[0] = 1.0
    at_thresholds[1:16] = THRESHOLDS
    at_thresholds[16:31] = torch.nextafter(THRESHOLDS, torch.tensor(2.0))
    tiny = normal * 1e-39  # 1 / absmax is infinite
    return {
        "normal": normal, "outlier": outlier, "zeros": torch.zeros(64), "tiny": tiny,
        "at thresholds": at_thresholds, "large": normal * 1e38,
    }  # fmt: skip


@pytest.mark.parametrize("block_size", [16, 32, 64])
@pytest.mark.parametrize("name", rows_of_weights())
def test_nf4_is_the_library_s_to_the_bit(js: Engine, name: str, block_size: int) -> None:
    row = rows_of_weights()[name]
    levels = LEVELS.tolist(), THRESHOLDS.tolist()
    found = js.call("quantizeNF4", row.tolist(), block_size, *levels)
    codes, back, normalised, errors = (
        torch.tensor([weight[part] for weight in found["weights"]])
        for part in ("code", "back", "normalised", "error")
    )
    absmax = torch.tensor([block["absmax"] for block in found["blocks"]])
    if block_size >= 32:  # the library takes no smaller blocks, its reference does
        q = quantize_nf4(row, block_size, double_quant=False)
        assert torch.equal(unpack(q.codes, 64).int(), codes.int())
        assert torch.equal(q.absmax, absmax)
        assert torch.equal(dequantize_nf4(q), back)
    scales = block_absmax(row, block_size)
    y = normalise(row, scales, block_size)
    assert torch.equal(scales, absmax)
    assert torch.equal(y, normalised)
    assert torch.equal(encode_nf4(y).int(), codes.int())
    assert torch.equal(LEVELS[codes] * scales.repeat_interleave(block_size), back)
    distance = (back.double() - row.double()).abs()
    assert torch.equal(distance.float(), errors)
    assert found["meanError"] == pytest.approx(distance.mean().item(), rel=1e-12)
    of_blocks = distance.view(-1, block_size).mean(1).tolist()
    assert [block["meanError"] for block in found["blocks"]] == pytest.approx(of_blocks, rel=1e-12)
    assert [weight["block"] for weight in found["weights"]] == [i // block_size for i in range(64)]


def test_the_most_decided_head_is_the_one_that_the_lesson_draws_large(js: Engine) -> None:
    scores = torch.randn(3, 4, 9, 9, generator=torch.Generator().manual_seed(3))
    maps = scores.masked_fill(torch.ones(9, 9).triu(1).bool(), -INFINITY).softmax(-1)
    place = divmod(int(maps[..., 2:, :].amax(-1).mean(-1).argmax()), 4)
    assert js.call("mostDecided", maps.tolist()) == dict(zip(("layer", "head"), place, strict=True))


def test_the_strongest_come_first(js: Engine) -> None:
    assert js.call("strongest", [0.1, 0.5, 0.25, 0.15], 2) == [
        {"token": 1, "share": 0.5},
        {"token": 2, "share": 0.25},
    ]


SCRIPT = """\
# %% [markdown]
# # Lesson 5: Play

# %%
from lessons import lesson

course = lesson.start(5, "Play")
print("before")
course.playground("sampling", {"tokens": ["</script>", "é"], "logits": [0.5]})
print("after")
course.finish()
"""


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """played(script) runs a lesson's script and returns the folder of runs."""
    monkeypatch.chdir(tmp_path)

    def play(text: str) -> Path:
        script = tmp_path / "05_play.py"
        script.write_text(text, encoding="utf-8")
        run(script, ["--device", "cpu", "--out", "runs/lesson-05"])
        return Path("runs")

    return play


def write_page(runs: Path) -> None:
    """Writes the book of a run of SCRIPT; the glossary names thirteen lessons."""
    write_book(runs, dict.fromkeys(range(1, 14), Path("05_play.py")))


def test_a_page_has_the_figure_its_data_and_its_scripts(
    played: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = played(SCRIPT)
    file = Path("runs/lesson-05/sampling.json")
    assert f"[play] {file}: try it in the lesson's page" in capsys.readouterr().out
    outputs = read_record(file.parent).cells[1].outputs
    assert outputs[1] == {"play": "sampling", "data": "sampling.json"}
    write_page(runs)
    page = Path("runs/book/lesson-05.html").read_text(encoding="utf-8")
    assert "[play]" not in page
    assert page.index("before</pre>") < page.index('<figure class="play"')
    assert page.index('<figure class="play"') < page.index(">after</pre>")
    data = re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)[1]
    assert json.loads(data) == {"tokens": ["</script>", "é"], "logits": [0.5]}
    linked = re.findall(r'<(?:script src|link rel="stylesheet" href)="(play/[^"]+)"', page)
    assert linked == [
        "play/play.css", "play/page.js", "play/sampling.js", "play/decoder.js",
        "play/draw_sampling.js",
    ]  # fmt: skip
    for name in linked:
        assert (runs / "book" / name).read_bytes() == (PLAY / Path(name).name).read_bytes()
    assert "<noscript>" in page


def test_the_weights_are_written_once(
    played: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = played(SCRIPT)
    written = []
    monkeypatch.setattr(playgrounds, "write_text", lambda path, text: written.append(text))
    write_page(runs)
    script = runs / "book" / "play" / "base_model.js"
    (text,) = written
    for damaged, n_written in (("// config\n", 2), (text, 2)):
        script.write_text(damaged, encoding="utf-8")
        write_page(runs)
        assert len(written) == n_written


def test_a_page_without_such_a_figure_loads_no_scripts(played: Callable[[str], Path]) -> None:
    runs = played("\n".join(line for line in SCRIPT.split("\n") if "playground" not in line))
    write_page(runs)
    page = Path("runs/book/lesson-05.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert not (runs / "book" / "play").exists()


def test_a_page_says_so_where_the_figure_or_its_data_do_not_exist(
    played: Callable[[str], Path],
) -> None:
    runs = played(SCRIPT)
    page = runs / "book" / "lesson-05.html"
    (runs / "lesson-05" / "sampling.json").unlink()
    write_page(runs)
    assert "The data of the figure, sampling.json, are gone." in page.read_text(encoding="utf-8")
    played(SCRIPT.replace('"sampling"', '"chess"'))
    write_page(runs)
    said = "is called &#39;chess&#39;; there are [&#39;attention&#39;, &#39;sampling&#39;"
    assert said in page.read_text(encoding="utf-8")


def test_numbers_that_json_does_not_have_are_refused(played: Callable[[str], Path]) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        played(SCRIPT.replace("0.5", "float('nan')"))


def test_every_script_that_a_figure_names_is_there_and_none_is_left_over() -> None:
    named = {script for about in playgrounds.PLAYGROUNDS.values() for script in about.scripts}
    assert named == {path.name for path in PLAY.glob("*.js")}
