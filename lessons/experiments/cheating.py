"""Ways of spoiling a summary: lesson 6 measures which of them ROUGE and BLEU notice.

negate(summary)                          a lie, one word away from the truth
replace_words(words, 0.3, dice, pool)    damage in a measured dose
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minigpt.bleu import corpus_bleu
from minigpt.rouge import RougeScorer, mean_scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEGATED = {"is": "is not", "are": "are not", "was": "was not", "will": "will not", "has": "has not"}
Scores = dict[str, float]  # {metric: score from 0 to 1}


def negate(summary: str) -> str:
    """Puts a "not" after the first verb that takes one; if none does, it denies the whole."""
    words = summary.split()
    place = next((i for i, word in enumerate(words) if word in NEGATED), None)
    if place is None:
        return "It is not true that " + summary
    return " ".join([*words[:place], NEGATED[words[place]], *words[place + 1 :]])


def exchange(summary: str) -> str:
    """Lets each of the two persons say and do what the other did."""
    people = summary.replace("#Person1#", "#Nobody#").replace("#Person2#", "#Person1#")
    return people.replace("#Nobody#", "#Person2#")


def shuffle(summary: str, dice: random.Random) -> str:
    """Puts all the words into a random order."""
    words = summary.split()
    return " ".join(dice.sample(words, len(words)))


def repeat(summary: str) -> str:
    """Writes the commonest word of the summary as often as the summary has words."""
    words = summary.lower().split()
    return " ".join([Counter(words).most_common(1)[0][0]] * len(words))


def replace_words(
    words: Sequence[str], share: float, dice: random.Random, pool: Sequence[str]
) -> list[str]:
    """Replaces each word, with probability share, by one drawn from pool."""
    return [dice.choice(pool) if dice.random() < share else word for word in words]


def drop_words(words: Sequence[str], share: float, dice: random.Random) -> list[str]:
    """Leaves each word out with probability share."""
    return [word for word in words if dice.random() >= share]


def displace_words(words: Sequence[str], share: float, dice: random.Random) -> list[str]:
    """Chooses a share of the places at random; the words there trade places among themselves."""
    places = dice.sample(range(len(words)), round(share * len(words)))
    moved = list(words)
    for place, source in zip(places, dice.sample(places, len(places)), strict=True):
        moved[place] = words[source]
    return moved


SCORER = RougeScorer(["rouge1", "rouge2", "rougeL"])


def corpus_scores(references: Sequence[str], outputs: Sequence[str]) -> Scores:
    """Returns the mean F1 of ROUGE-1, 2 and L and the corpus BLEU of outputs, all from 0 to 1."""
    pairs = [SCORER.score(*pair) for pair in zip(references, outputs, strict=True)]
    means = {name: score.fmeasure for name, score in mean_scores(pairs).items()}
    return {**means, "BLEU": corpus_bleu(list(outputs), [list(references)]).score / 100}


def each_rouge_l(references: Sequence[str], outputs: Sequence[str]) -> np.ndarray:
    """Returns ROUGE-L's F1 of each output, [N]."""
    pairs = zip(references, outputs, strict=True)
    return np.array([SCORER.score(*pair)["rougeL"].fmeasure for pair in pairs])


def damage_curves(
    texts: Sequence[str], shares: Sequence[float], dice: random.Random
) -> dict[str, list[Scores]]:
    """Returns {what happened to the words: the scores at each share}; each text is its reference.

    A replacement is drawn from the words of all texts.
    """
    pool = [word for text in texts for word in text.split()]
    damages = {
        "replaced": lambda words, share: replace_words(words, share, dice, pool),
        "left out": lambda words, share: drop_words(words, share, dice),
        "displaced": lambda words, share: displace_words(words, share, dice),
    }
    return {
        what: [
            corpus_scores(texts, [" ".join(damage(text.split(), share)) for text in texts])
            for share in shares
        ]
        for what, damage in damages.items()
    }


def draw_damage(
    shares: Sequence[float], curves: Mapping[str, Sequence[Scores]], n_texts: int
) -> Figure:
    """Draws the scores over the share of words that are damaged, a picture for each kind.

    Args:
        shares: the shares, from 0 to 1.
        curves: {what happened to the words: the scores at each share}.
        n_texts: how many texts each point is measured on.
    """
    import matplotlib.pyplot as plt

    size: dict[str, Any] = {"figsize": (11, 4.2), "sharey": True, "layout": "constrained"}
    figure, axes = plt.subplots(1, len(curves), **size)
    for axis, (what, points) in zip(axes, curves.items(), strict=True):
        for metric in points[0]:
            style = "--" if metric == "rougeL" else "-"  # it hides rouge1 where order is kept
            heights = [scores[metric] for scores in points]
            name = metric.replace("rouge", "ROUGE-")
            axis.plot([100 * share for share in shares], heights, style, label=name)
        axis.set(xlabel=f"words {what} (%)", ylim=(0, 1.02))
    axes[0].set_ylabel("score (F1 of ROUGE; BLEU from 0 to 1)")
    lines, names = axes[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=len(names))
    figure.suptitle(f"What three kinds of damage cost, on {n_texts} summaries")
    return figure
