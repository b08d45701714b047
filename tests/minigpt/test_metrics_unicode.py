"""Any text that a Python string can hold scores as with the peers, half characters and all."""

from __future__ import annotations

import pytest
import sacrebleu
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer, tokenize
from sacrebleu.metrics.bleu import _get_tokenizer

from minigpt import bleu, rouge
from minigpt.metric_tokens import TOKENIZERS, fast_tokenize

ODD = (
    *(
        "\ud83d",
        "\udc00",
        "\x00",
        "\x1c",
        "\x85",
        "\u2028",
        "\ufeff",
        "\u202e",
        "\u0301",
        "e\u0301",
    ),
    *(
        "ſ",
        "İ",
        "ı",
        "ǅ",
        "ß",
        "ﬁ",
        "Σ",
        "K",
        "٣",
        "½",
        "²",
        "１",
        "𝟙",
        "𐐀",
        "🙂",
        "漢",
        "שלום",
        "नि",
    ),
    *(".", ",", "-", "'", "€", "。", "«", "&amp;", "<skipped>", "-\n", " ", "\u00a0", "\u3000"),
    *("a", "The", "5", "1,000", "running", "flies"),
)
TEXTS = st.text(st.characters(), max_size=12) | st.lists(st.sampled_from(ODD), max_size=10).map(
    "".join
)
SEGMENTS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5)


@settings(max_examples=50, derandomize=True, deadline=None)
@given(SEGMENTS, st.sampled_from([*TOKENIZERS]), st.booleans())
@example([("ſİǅ", "ſi̇ǆ")], "13a", True)
def test_bleu_of_any_text_is_sacrebleus(
    segments: list[tuple[str, str]], tokenize: str, lowercase: bool
) -> None:
    theirs = _get_tokenizer(tokenize)()
    for text, other in segments:
        assert TOKENIZERS[tokenize](text) == theirs(text).split()
        like = text + " " + other  # shares n-grams with both
        ours, expected = (
            module.sentence_bleu(like, [text, other], "exp", None, lowercase, tokenize)
            for module in (bleu, sacrebleu)
        )
        assert (ours.score, ours.counts, ours.totals) == (
            *(expected.score, expected.counts, expected.totals),
        )
    columns = [[text for text, _ in segments], [other for _, other in segments]]
    options = {"tokenize": tokenize, "lowercase": lowercase}
    expected = sacrebleu.corpus_bleu(columns[0], columns[1:], **options)
    assert bleu.corpus_bleu(columns[0], columns[1:], **options).score == expected.score  # type: ignore[arg-type]


@settings(max_examples=50, derandomize=True, deadline=None)
@given(SEGMENTS, st.booleans())
@example([("KELVIN İt", "kelvin i̇t")], False)
def test_rouge_of_any_text_is_rouge_scores(
    segments: list[tuple[str, str]], use_stemmer: bool
) -> None:
    types = ["rouge1", "rouge3", "rougeL", "rougeLsum"]
    ours, theirs = (
        scorer(types, use_stemmer) for scorer in (rouge.RougeScorer, rouge_scorer.RougeScorer)
    )
    for text, other in segments:
        assert fast_tokenize(text) == rouge.tokenize(text) == tokenize.tokenize(text, None)
        pair = f"{text}\n{other}", f"{other} {text}\n{text}"
        assert ours.score(*pair) == theirs.score(*pair)


@pytest.mark.parametrize("piece", ["a", "漢", "\ud800", "1,", "İ"])
def test_a_megabyte_without_a_blank_scores_as_with_the_peers(piece: str) -> None:
    n = 1_000_000 if piece in "a漢" else 20_000  # the peers take seconds for so many tokens
    text, other = piece * n, piece * (n - 1)
    for tokenize_as in ("13a", "none"):
        settings_ = ("exp", None, False, tokenize_as)
        expected = sacrebleu.sentence_bleu(text, [other, text], *settings_)
        assert bleu.sentence_bleu(text, [other, text], *settings_).score == expected.score
    scorers = rouge.RougeScorer(["rouge2"]), rouge_scorer.RougeScorer(["rouge2"])
    assert scorers[0].score(text, other) == scorers[1].score(text, other)
