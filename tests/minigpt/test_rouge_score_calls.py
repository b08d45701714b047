"""ROUGE called in the ways rouge_score allows: the same floats, or a refusal."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nltk
import numpy as np
import pytest
import rouge_score.rouge_scorer
import rouge_score.scoring
import rouge_score.tokenize
import rouge_score.tokenizers
from nltk.stem.porter import PorterStemmer
from nltk.stem.snowball import SnowballStemmer

from minigpt import rouge
from minigpt.rouge import ROUGE_TYPES, RougeScorer

SAME_CALLS: list[tuple[Callable, Callable]] = [
    (rouge.RougeScorer, rouge_score.rouge_scorer.RougeScorer),
    (rouge.RougeScorer.score, rouge_score.rouge_scorer.RougeScorer.score),
    (rouge.RougeScorer.score_multi, rouge_score.rouge_scorer.RougeScorer.score_multi),
    (rouge.scoring.BootstrapAggregator, rouge_score.scoring.BootstrapAggregator),
    (rouge.scoring.Score, rouge_score.scoring.Score),
    (rouge.scoring.AggregateScore, rouge_score.scoring.AggregateScore),
    (rouge.scoring.fmeasure, rouge_score.scoring.fmeasure),
    (rouge.tokenizers.DefaultTokenizer, rouge_score.tokenizers.DefaultTokenizer),
]


@pytest.mark.parametrize(("ours", "theirs"), SAME_CALLS)
def test_parameters_have_rouge_scores_names_order_and_defaults(
    ours: Callable, theirs: Callable
) -> None:
    ours_and_theirs = [inspect.signature(call).parameters.values() for call in (ours, theirs)]
    assert len({str([(p.name, p.default) for p in each]) for each in ours_and_theirs}) == 1


class Pieces:
    """A tokenizer of one's own; an empty one is false, as a vocabulary without words is."""

    def __init__(self, n_words: int) -> None:
        self.n_words = n_words

    def __len__(self) -> int:
        return self.n_words

    def tokenize(self, text: str) -> list[str]:
        return text.split("t")


WORDS = [
    "The",
    "running",
    "cats",
    "sat",
    "flies",
    "was",
    "ſ",
    "İ",
    "3,4",
    ".",
    "\n",
    "\n",
    "\ud800",
]
TOKENIZERS = [None, None, False, Pieces(0), Pieces(3), rouge.tokenizers.DefaultTokenizer(True)]


def test_a_call_has_rouge_scores_result_or_is_refused() -> None:
    chance = random.Random(0)

    def text() -> Any:
        if chance.random() < 0.02:
            return chance.choice([None, 3, b"the cat", ["a"]])
        return " ".join(chance.choices(WORDS, k=chance.randrange(9)))

    same = refused = 0
    for _ in range(600):
        types = chance.choices([*ROUGE_TYPES, "rougeL", "rougeLsum"], k=chance.randrange(4))
        types += ["rouge0", b"rouge1", "rougelsum"][: chance.random() < 0.02]
        kind = chance.choice([list, tuple])
        arguments = (kind(types), chance.choice([False, True, 0, None]), False)
        tokenizer = chance.choice(TOKENIZERS)
        texts = [text() for _ in range(chance.choice([1, 1, 1, 2, 3]))]
        several, prediction = chance.random() < 0.4, text()

        def outcome(scorer_type: type) -> Any:
            try:
                scorer = scorer_type(*arguments, tokenizer=tokenizer)  # noqa: B023
                if several:  # noqa: B023
                    return scorer.score_multi(targets=texts, prediction=prediction)  # noqa: B023
                return scorer.score(texts[0], prediction)  # noqa: B023
            except Exception as error:  # rouge_score refuses in many ways
                return error

        expected = outcome(rouge_score.rouge_scorer.RougeScorer)
        actual = outcome(RougeScorer)
        if isinstance(actual, Exception):
            of_the_tokenizer = isinstance(tokenizer, Pieces) and type(actual) is type(expected)
            assert of_the_tokenizer or isinstance(actual, (TypeError, ValueError)), actual
            odd = [t for t in (*texts, prediction) if not isinstance(t, str)]
            assert odd or not set(types) <= set(ROUGE_TYPES), (actual, expected)
            refused += 1
        else:
            assert actual == expected, (arguments, tokenizer, texts, prediction)
            assert list(actual) == list(expected)
            same += 1
    assert same > 500
    assert refused > 10


@pytest.mark.parametrize("stemmer", [None, PorterStemmer(), SnowballStemmer("english")])
def test_tokenize_takes_a_stemmer_as_rouge_scores_does(stemmer: Any) -> None:
    text = "The FLIES were running, 1,000 times;\nfriendly generously İstanbul ſ ties"
    assert rouge.tokenize(text, stemmer) == rouge_score.tokenize.tokenize(text, stemmer)


class Emptying:
    """A stemmer that leaves nothing, or no word, of some words."""

    def stem(self, word: str) -> str:
        return {"cats": "", "flies": "FLY", "tables": "table\n"}.get(word, word)


def test_what_a_stemmer_leaves_must_be_a_word() -> None:
    text = "cats flies tables chairs"
    expected = rouge_score.tokenize.tokenize(text, Emptying())
    assert rouge.tokenize(text, Emptying()) == expected == ["table\n", "chairs"]


@pytest.fixture
def sentence_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Gives nltk a model that knows no abbreviations."""
    folder = tmp_path / "tokenizers" / "punkt_tab" / "english"
    folder.mkdir(parents=True)
    for name in ("collocations.tab", "sent_starters.txt", "abbrev_types.txt", "ortho_context.tab"):
        (folder / name).write_text("")
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    nltk.tokenize._get_punkt_tokenizer.cache_clear()
    yield
    nltk.tokenize._get_punkt_tokenizer.cache_clear()


@pytest.mark.usefixtures("sentence_model")
def test_sentences_are_split_as_by_rouge_score_where_nltk_has_its_model() -> None:
    target = "The cat sat. Was it 3.5 cats? They ran!\nIt rained. "
    prediction = "It rained. Then they ran! The cats sat."
    for use_stemmer in (False, True):
        arguments = (["rougeLsum", "rougeL"], use_stemmer, True)
        scorer = RougeScorer(*arguments)
        scores = scorer.score(target, prediction)
        expected = rouge_score.rouge_scorer.RougeScorer(*arguments)
        assert scores == expected.score(target, prediction)
        assert scores != RougeScorer(*arguments[:2]).score(target, prediction)
        assert "|split:nltk|" in scorer.signature


def test_without_a_model_splitting_is_refused_where_it_would_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    nltk.tokenize._get_punkt_tokenizer.cache_clear()
    message = r"split_summaries needs nltk and its sentence model \(pip install nltk; python -m"
    with pytest.raises(ValueError, match=message):
        RougeScorer(["rouge1", "rougeLsum"], split_summaries=True)
    plain, split = (RougeScorer(["rouge1"], split_summaries=split) for split in (False, True))
    assert plain.score("a. b", "b. a") == split.score("a. b", "b. a")
    assert plain.signature == split.signature
    monkeypatch.setitem(__import__("sys").modules, "nltk", None)
    with pytest.raises(ValueError, match=message):
        RougeScorer(["rougeLsum"], False, True)
    stemmed = RougeScorer(["rouge1"], use_stemmer=True).score("running", "runs")  # no nltk
    assert stemmed["rouge1"].fmeasure == 1


def test_a_text_among_the_targets_is_not_taken_for_a_list_of_letters() -> None:
    with pytest.raises(TypeError, match="got one text; use score"):
        RougeScorer(["rouge1"]).score_multi(np.str_("a b"), "a b")  # type: ignore[arg-type]
    score = RougeScorer(["rouge1"]).score(np.str_("a b"), np.str_("b a"))
    assert score["rouge1"].fmeasure == 1
