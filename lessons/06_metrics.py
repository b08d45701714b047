# %% [markdown]
# # Lesson 06: Metrics
#
# Soon we shall teach the model to translate and to summarize, and we shall want one number that
# says how well. Two such numbers rule the field: ROUGE for summaries and BLEU for translations.
# Both count word sequences that a text shares with a reference that a person wrote. Here you
# compute them by hand, see them agree with the library to the last digit, find out why three
# published examples do not come out, and then cheat: raise the score of nonsense, and keep the
# score of a lie.
#
# Run it: `python lessons/06_metrics.py`, or `minigpt lesson 6`. Its code is `minigpt/rouge.py`
# and `minigpt/bleu.py`.

# %%
import math
import random
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson

course = lesson.start(6, "Metrics")

import matplotlib.pyplot as plt

from minigpt.bleu import brevity_penalty, clipped_matches, corpus_bleu
from minigpt.rouge import (
    RougeScorer,
    Score,
    bootstrap_interval,
    lcs_positions,
    lcs_table,
    mean_scores,
    ngrams,
    overlap,
    rouge_l,
    rouge_n,
    score_from_hits,
    tokenize,
)
from minigpt.text.records import read_records
from minigpt.text.task_sets import task_set

# %% [markdown]
# ## ROUGE-1: words in common
#
# A person wrote the reference, a model the output. ROUGE lower-cases both and keeps letters and
# digits. What both have are the hits. **Recall** asks how much of the reference came back,
# **precision** how much of the output was wanted, and **F1** is their harmonic mean.

# %%
reference = "It is cold outside."
output = "It is very cold outside."
wanted, written = tokenize(reference), tokenize(output)
print("reference", wanted)
print("output   ", written)
hits = sum((Counter(wanted) & Counter(written)).values())
print(f"hits {hits}, recall {hits}/{len(wanted)}, precision {hits}/{len(written)}")
by_hand = score_from_hits(hits, len(wanted), len(written))
print(f"F1 = 2PR / (P + R) = {by_hand.fmeasure:.4f}")
scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
assert scorer.score(reference, output)["rouge1"] == by_hand == rouge_n(wanted, written, 1)

# %% [markdown]
# ## ROUGE-2: pairs in common
#
# The same count with pairs of neighbours. "very" stands in the middle of "is cold" and so costs a
# pair of the reference, and it makes two pairs that nobody wanted.

# %%
print("reference pairs", [" ".join(map(str, pair)) for pair in ngrams(wanted, 2)])
print("output pairs   ", [" ".join(map(str, pair)) for pair in ngrams(written, 2)])
rouge2 = rouge_n(wanted, written, 2)
print(f"recall {rouge2.recall:.2f}, precision {rouge2.precision:.2f}, F1 {rouge2.fmeasure:.2f}")

# %% [markdown]
# ## ROUGE-L: the longest common subsequence
#
# A *subsequence* keeps the order of words and may leave gaps. Its length comes from a table: each
# cell is the answer for the first i words of one text and the first j of the other. Equal words
# continue the diagonal, others take the better neighbour.

# %%
table = lcs_table(wanted, written)
print(f"{'':>10}" + "".join(f"{word:>9}" for word in ["", *written]))
for word, row in zip(["", *wanted], table, strict=True):
    print(f"{word:>10}" + "".join(f"{length:>9}" for length in row))
found = [wanted[i] for i in lcs_positions(wanted, written)]
print("the subsequence:", " ".join(map(str, found)))
subsequence = rouge_l(wanted, written)


# %% [markdown]
# The slide prints 2 for this length and 0.44 for F1. There is a reading that gives just that: the
# longest common *substring*, which allows no gap.


# %%
def longest_common_substring(a: list[str], b: list[str]) -> list[str]:
    """The longest stretch of neighbouring words that is in both; the first of equals."""
    stretches = [a[i:j] for i in range(len(a)) for j in range(i + 1, len(a) + 1)]
    common = [s for s in stretches if any(b[k : k + len(s)] == s for k in range(len(b)))]
    return max(common, key=len, default=[])


substring = longest_common_substring(wanted, written)
substring_score = score_from_hits(len(substring), len(wanted), len(written))
print(f"longest common substring: {substring}, F1 {substring_score.fmeasure:.2f}")
print(f"longest common subsequence: {found}, F1 {subsequence.fmeasure:.2f}")

# %% [markdown]
# ## Clipping
#
# Without it, "cold cold cold cold" would be perfect: every word of it is in the reference. So a
# word may hit only as often as the reference has it.

# %%
repeated = tokenize("cold cold cold cold")
unclipped = sum(word in wanted for word in repeated) / len(repeated)
clipped = overlap(wanted, repeated) / len(repeated)
print(f"precision of 'cold cold cold cold': {unclipped} unclipped, {clipped} clipped")
shuffled = "outside cold it is"
unigram = scorer.score(reference, shuffled)["rouge1"].precision
as_written = overlap(reference.split(), shuffled.split()) / len(shuffled.split())
print(f"precision of {shuffled!r}: {unigram}; of the same words as they stand: {as_written}")
very, negation = (scorer.score(reference, f"It is {w} cold outside.") for w in ("very", "not"))
print(f"'very' and 'not' score the same: {very == negation}")

# %% [markdown]
# ## Summaries of several lines
#
# A summary may say the right things in another order. **ROUGE-Lsum** compares line by line: each
# line of the reference takes, from all lines of the output together, what it finds. Without line
# breaks it is ROUGE-L and nothing else, which many a table forgets to say.

# %%
several = RougeScorer(["rougeL", "rougeLsum"])
first, second = "the train was late", "she missed the meeting"
for joint, what in ((" ", "no line breaks"), ("\n", "line breaks")):
    scores = several.score(first + joint + second, second + joint + first)
    print(f"{what:<15} " + ", ".join(f"{name} {s.fmeasure:.2f}" for name, s in scores.items()))

# %% [markdown]
# ## BLEU
#
# BLEU looks at 1-, 2-, 3- and 4-grams, precision only, and clips as ROUGE does. The four
# precisions are multiplied and the fourth root taken: their *geometric* mean, which is 0 as soon
# as one of them is. Since precision loves short answers, an output shorter than the reference
# pays the **brevity penalty** exp(1 - reference length / output length).

# %%
tea = "I am very happy to say that I am drinking a warm cup of tea."
drunk = "I am very happy that I am drinking a cup of tea."
tokens, target = drunk.split(), tea.split()
precisions = []
for n in range(1, 5):
    counts = Counter(ngrams(tokens, n))
    matches = clipped_matches(counts, [Counter(ngrams(target, n))])
    precisions.append(matches / sum(counts.values()))
    print(f"{n}-grams: {matches} of {sum(counts.values())} = {precisions[-1]:.3f}")
penalty = brevity_penalty(len(tokens), len(target))
print(f"brevity penalty exp(1 - {len(target)}/{len(tokens)}) = {penalty:.3f}")
geometric = penalty * math.prod(precisions) ** (1 / 4)
arithmetic = penalty * sum(precisions) / 4
print(f"times the geometric mean: {geometric:.3f}; times the arithmetic mean: {arithmetic:.3f}")
assert math.isclose(100 * geometric, corpus_bleu([drunk], [[tea]], tokenize="none").score)

# %% [markdown]
# ## The same output, another BLEU
#
# The slide splits at white space, so "tea." is one word and "tea" another. The field's tool,
# sacrebleu, splits punctuation off first (its tokenizer is called 13a) and finds other n-grams.
# Same output, same reference, another score. This is why a score should never travel without its
# signature.

# %%
slides = {
    drunk: 0.495,
    "I am very happy that I am drinking a warm cup of tea.": 0.730,
    "I am very happy to say that I am drinking a warm tea.": 0.798,
    tea: 1.000,
}
print(f"{'white space':>12} {'13a':>6}")
measured = {}
for text in slides:
    pair = [corpus_bleu([text], [[tea]], tokenize=name) for name in ("none", "13a")]
    measured[text] = [score.score / 100 for score in pair]
    print(f"{measured[text][0]:>12.3f} {measured[text][1]:>6.3f}  {text}")
for tokenizer in ("none", "13a"):
    print(corpus_bleu([drunk], [[tea]], tokenize=tokenizer).signature)

# %% [markdown]
# ## Cheating
#
# Now a few hundred summaries (DialogSum's, which people wrote, after `minigpt data fetch
# dialogsum`; without it those of the task set), and outputs that no reader would accept. Most
# start from the reference itself, which scores 1 everywhere.

# %%
fetched = Path("runs/data/dialogsum/dev.jsonl")
found = read_records(fetched, ["summary"]) if fetched.exists() else task_set("dialogues", "test")
records = list(found)[: course.choose(quick=40, normal=300)]
print(f"{len(records)} summaries of {fetched if fetched.exists() else 'the task set'}; the first:")
print(records[0]["summary"])
chance = random.Random(course.seed)
NEGATED = {"is": "is not", "are": "are not", "was": "was not", "will": "will not", "has": "has not"}


def negate(summary: str) -> str:
    """The first verb that takes a "not" gets one; in a summary without any, the whole does."""
    words = summary.split()
    place = next((i for i, word in enumerate(words) if word in NEGATED), None)
    if place is None:
        return "It is not true that " + summary
    return " ".join([*words[:place], NEGATED[words[place]], *words[place + 1 :]])


def exchange(summary: str) -> str:
    """Each person says and does what the other did."""
    people = summary.replace("#Person1#", "#Nobody#").replace("#Person2#", "#Person1#")
    return people.replace("#Nobody#", "#Person2#")


def shuffle(summary: str) -> str:
    """All the words, in a random order."""
    words = summary.split()
    return " ".join(chance.sample(words, len(words)))


def repeat(summary: str) -> str:
    """The commonest word of the summary, as often as the summary has words."""
    words = summary.lower().split()
    return " ".join([Counter(words).most_common(1)[0][0]] * len(words))


summaries = [record["summary"] for record in records]
cheats = {
    "the reference itself": summaries,
    "persons exchanged": [exchange(text) for text in summaries],
    "negated": [negate(text) for text in summaries],
    "words shuffled": [shuffle(text) for text in summaries],
    "one word repeated": [repeat(text) for text in summaries],
    "the whole dialogue": [record["dialogue"] for record in records],
    "another one's summary": summaries[1:] + summaries[:1],
}


def corpus_scores(outputs: list[str]) -> dict[str, float]:
    """Mean F1 of ROUGE-1, 2 and L and the corpus BLEU of outputs, all from 0 to 1."""
    pairs = [scorer.score(*pair) for pair in zip(summaries, outputs, strict=True)]
    f1 = {name: score.fmeasure for name, score in mean_scores(pairs).items()}
    return {**f1, "BLEU": corpus_bleu(outputs, [summaries]).score / 100}


cheated = {name: corpus_scores(outputs) for name, outputs in cheats.items()}
print(f"\n{'':<22}" + "".join(f"{metric:>8}" for metric in cheated["negated"]))
for name, scores in cheated.items():
    print(f"{name:<22}" + "".join(f"{score:>8.2f}" for score in scores.values()))
copied = mean_scores(scorer.score(record["summary"], record["dialogue"]) for record in records)
print(f"ROUGE-1 recall of the whole dialogue: {copied['rouge1'].recall:.2f}")

# %% [markdown]
# Read the table from the top. Exchanging the persons or negating a verb turns the summary into a
# lie, and the scores stay high: they compare words, not meaning. Shuffling ruins the text, and
# ROUGE-1 does not notice; ROUGE-2, ROUGE-L and BLEU do. Repetition is caught by clipping. Copying
# the whole dialogue finds many of the wanted words: by recall alone, saying everything would be a
# fine summary. And look at the last line before you are proud of a score: that is what a fluent
# summary of *another* dialogue gets.
#
# ## How much damage, how much score
#
# Three kinds of damage, from none to total, on the same summaries. A replaced word comes from
# another summary.

# %%
vocabulary = [word for text in summaries for word in text.split()]


def replace_words(words: list[str], share: float) -> list[str]:
    """Each word replaced with probability share."""
    return [chance.choice(vocabulary) if chance.random() < share else word for word in words]


def drop_words(words: list[str], share: float) -> list[str]:
    """Each word left out with probability share."""
    return [word for word in words if chance.random() >= share]


def displace_words(words: list[str], share: float) -> list[str]:
    """A share of the places, chosen at random; the words there trade places among themselves."""
    places = chance.sample(range(len(words)), round(share * len(words)))
    moved = list(words)
    for place, source in zip(places, chance.sample(places, len(places)), strict=True):
        moved[place] = words[source]
    return moved


shares = [i / 10 for i in range(11)]
damages = {"replaced": replace_words, "left out": drop_words, "displaced": displace_words}
figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), sharey=True)
for axis, (what, damage) in zip(axes, damages.items(), strict=True):
    curves = [
        corpus_scores([" ".join(damage(text.split(), share)) for text in summaries])
        for share in shares
    ]
    for metric in curves[0]:
        style = "--" if metric == "rougeL" else "-"  # it hides rouge1 where order is kept
        axis.plot(
            [100 * s for s in shares], [curve[metric] for curve in curves], style, label=metric
        )
    axis.set_xlabel(f"words {what} (%)")
    axis.set_ylim(0, 1.02)
axes[0].set_ylabel("score (F1; BLEU / 100)")
axes[0].legend()
figure.suptitle(f"What damage costs, on {len(summaries)} summaries")
course.save_figure(figure, "corruption")

# %% [markdown]
# ## How sure is a mean?
#
# A mean over fifty summaries is less certain than one over three hundred. The bootstrap draws as
# many pairs again, with replacement, a thousand times, and asks where 95% of the means fall.

# %%
damaged = [" ".join(replace_words(text.split(), 0.3)) for text in summaries]
for n in sorted({min(50, len(summaries)), len(summaries)}):
    pairs = [scorer.score(*pair) for pair in zip(summaries[:n], damaged[:n], strict=True)]
    interval = bootstrap_interval(pairs, seed=course.seed)["rougeL"]
    print(
        f"ROUGE-L of {n} summaries: {interval.mid.fmeasure:.3f}, "
        f"95% between {interval.low.fmeasure:.3f} and {interval.high.fmeasure:.3f}"
    )


# %%
def as_printed(score: Score) -> str:
    """Recall, precision, F1 as the slides print them."""
    return f"{score.recall:.2f}, {score.precision:.2f}, {score.fmeasure:.2f}"


def verdict(agrees: bool, why: str = "") -> str:
    """What a figure that agrees, or does not, is called."""
    return ("reproduced" if agrees else "not reproduced") + (f": {why}" if why else "")


course.compare(
    "ROUGE-1: recall, precision, F1",
    "1.0, 0.8, 0.89",
    as_printed(by_hand),
    verdict(as_printed(by_hand) == "1.00, 0.80, 0.89"),
)
course.compare(
    "ROUGE-2",
    "0.67, 0.5, 0.57",
    as_printed(rouge2),
    verdict(as_printed(rouge2) == "0.67, 0.50, 0.57"),
)
course.compare(
    "ROUGE-L",
    "0.5, 0.4, 0.44 (LCS 2)",
    f"{as_printed(subsequence)} (LCS {table[-1][-1]})",
    "the published figure is wrong because it is the longest common substring "
    f"({as_printed(substring_score)}); a subsequence may have gaps",
)
course.compare(
    '"not" instead of "very"',
    "the same score",
    "the same score" if very == negation else "another score",
    verdict(very == negation, "the metric does not see meaning"),
)
course.compare(
    "cold cold cold cold: precision", "0.25", f"{clipped:.2f}", verdict(clipped == 0.25, "clipping")
)
course.compare(
    "outside cold it is: precision",
    "1.0",
    f"{unigram:.1f}",
    verdict(
        unigram == 1, f"only lower-cased and without the full stop; as written {as_written:.1f}"
    ),
)
for text, published in slides.items():
    split, standard = measured[text]
    course.compare(
        f"BLEU of {text.removeprefix('I am very happy ')!r}",
        f"{published:.3f}",
        f"{split:.3f}; with 13a {standard:.3f}",
        verdict(round(split, 3) == published, "with tokens split at white space"),
    )
course.compare(
    "BLEU",
    "an average of precisions",
    f"{geometric:.3f}, as an average {arithmetic:.3f}",
    "the published description is wrong because the mean is geometric, times the brevity penalty",
)
course.finish()

# %% [markdown]
# Now you: ROUGE and BLEU from n-grams up. `minigpt exercise start 6` writes the stubs, and
# `minigpt exercise check 6` says what your code computes.
