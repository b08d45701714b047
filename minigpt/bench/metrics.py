"""`minigpt bench metrics`: times our ROUGE and BLEU and those of rouge_score and sacrebleu in turn.

The texts are stretches of this Python's own documentation, 15 words for ROUGE and 18 for BLEU, each
beside a damaged copy of itself. No stretch comes twice, and before each timing every cache of words
and lines, ours and theirs, is emptied, so that each text is scored as if for the first time.
"""

from __future__ import annotations

import gc
import random
import statistics
from collections.abc import Callable, Sequence

from minigpt import bleu, metric_tokens, rouge
from minigpt.bench.timing import Ratio, ratio, time_in_turn
from minigpt.text.python_library import python_library

Pairs = list[tuple[str, str]]  # target, prediction


def damaged_pairs(words: Sequence[str], n_pairs: int, n_words: int, seed: int) -> Pairs:
    """Returns stretches of n_words words, each beside a copy with one word in five replaced.

    Up to a quarter of the words move from the front to the end, so that the order is damaged too.

    Raises:
        ValueError: there are not enough words for all pairs to be distinct.
    """
    if n_pairs * n_words > len(words):
        raise ValueError(f"{n_pairs} x {n_words} words are wanted, the text has {len(words)}")
    chance = random.Random(seed)
    pairs = []
    for start in range(0, n_pairs * n_words, n_words):
        target = words[start : start + n_words]
        copy = [chance.choice(words) if chance.random() < 0.2 else word for word in target]
        cut = chance.randrange(n_words // 4)
        pairs.append((" ".join(target), " ".join(copy[cut:] + copy[:cut])))
    return pairs


def empty_caches() -> None:
    """Empties all functools caches of ours and of sacrebleu, which remember words and lines."""
    gc.collect()
    from sacrebleu.tokenizers import tokenizer_13a, tokenizer_re

    theirs = [tokenizer_13a.Tokenizer13a.__call__, tokenizer_re.TokenizerRegexp.__call__]
    ours = [f for module in (bleu, metric_tokens) for f in vars(module).values()]
    for cached in [*ours, *theirs]:
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()


def bench_metrics(seed: int, rounds: int = 5) -> list[Ratio]:
    """Returns five ratios, or none, and prints why, if the peers are not installed."""
    try:
        import sacrebleu
        from rouge_score import rouge_scorer
    except ImportError:
        print("  needs rouge_score and sacrebleu: pip install rouge-score sacrebleu")
        return []

    words = [word for document in python_library() for word in document.text.split()]
    short = damaged_pairs(words, 4000, 15, seed)
    pairs = damaged_pairs(words, 4000, 18, seed)
    long = damaged_pairs(words, 400, 140, seed)
    targets = [target for target, _ in pairs]
    predictions = [prediction for _, prediction in pairs]

    def rouge_of(scorer_type: Callable, pairs: Pairs, types: list[str], stem: bool) -> Callable:
        scorer = scorer_type(types, use_stemmer=stem)
        return lambda: [scorer.score(*pair) for pair in pairs]

    def sentences(sentence_bleu: Callable) -> Callable:
        return lambda: [sentence_bleu(prediction, [target]) for target, prediction in pairs]

    three = ["rouge1", "rouge2", "rougeL"]
    theirs, ours = rouge_scorer.RougeScorer, rouge.RougeScorer
    rows: list[Ratio] = []
    for what, goal, n_texts, their_work, our_work in [
        ("ROUGE-1/2/L", 7.0, len(short),
         rouge_of(theirs, short, three, False), rouge_of(ours, short, three, False)),
        ("ROUGE-1/2/L, stemmed", 12.0, len(short),
         rouge_of(theirs, short, three, True), rouge_of(ours, short, three, True)),
        ("ROUGE-L of 140 words", 35.0, len(long),
         rouge_of(theirs, long, ["rougeL"], False), rouge_of(ours, long, ["rougeL"], False)),
        ("corpus BLEU", 2.5, len(pairs),
         lambda: sacrebleu.corpus_bleu(predictions, [targets]),
         lambda: bleu.corpus_bleu(predictions, [targets])),
        ("sentence BLEU", 4.0, len(pairs),
         sentences(sacrebleu.sentence_bleu), sentences(bleu.sentence_bleu)),
    ]:  # fmt: skip
        contenders = {"theirs": their_work, "ours": our_work}
        seconds = time_in_turn(contenders, rounds, before=empty_caches)
        speeds = {name: n_texts / statistics.median(times) for name, times in seconds.items()}
        print(f"  {what:<24} {speeds['theirs']:>10,.0f} -> {speeds['ours']:>10,.0f} pairs a second")
        peer = "sacrebleu" if "BLEU" in what else "rouge_score"
        rows.append((f"{what}, against {peer}", ratio(seconds, "theirs", "ours"), goal))
    return rows
