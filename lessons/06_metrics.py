# %% [markdown]
# # Lesson 6: Metrics
#
# From the next lesson on we teach the model to translate, to summarize and to judge reviews, and
# each time we shall want one number that says how well. For texts two numbers are the most common:
# ROUGE for summaries and BLEU for translations. Both count word sequences that a text shares with a
# **reference**, an answer that a person wrote. For labels there are others, and one more question:
# is the model right as often as it is sure?
#
# After this lesson you can
# - compute ROUGE-1, ROUGE-2, ROUGE-L and BLEU by hand, and name the settings that change them;
# - say what these metrics cannot see, and raise the score of nonsense;
# - choose between accuracy, F1, exact match, Matthews, Pearson and Spearman;
# - read a reliability diagram, and put an error bar on a score.
#
# You need: Python and no earlier lesson; only the small model near the end is trained as in lesson
# 4. Allow 60 minutes, and another 45 for the exercises; the script takes seconds. Next comes lesson
# 7, fine-tuning.
#
# Run it: `python lessons/06_metrics.py`, or `minigpt lesson 6`. The code behind it is in
# `minigpt/rouge.py`, `minigpt/bleu.py` and `minigpt/classification.py`; their tests compare them
# with the packages that the field uses: rouge-score, sacrebleu, scikit-learn and scipy.
#
# Terms can be looked up in the [glossary](GLOSSARY.md).

# %%
import math
import random
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson

course = lesson.start(6, "Metrics")

import numpy as np

from lessons.experiments import cheating, sentiment
from lessons.experiments.slide_scores import (
    SLIDES,
    SUMMARIES,
    judged_parts,
    longest_common_substring,
)
from lessons.verdicts import Kind, error_of_mean, error_of_share, holds, is_more, same_figure
from minigpt.bleu import brevity_penalty, clipped_matches, corpus_bleu
from minigpt.classification import (
    accuracy,
    exact_match,
    expected_calibration_error,
    f1,
    macro_f1,
    matthews_correlation,
    pearson,
    reliability,
    spearman,
    squad_answer,
)
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


def spelled(metric: str) -> str:
    """The usual name of a metric: "rouge1" is ROUGE-1."""
    return metric.replace("rouge", "ROUGE-")


# %% [markdown]
# ## ROUGE-1: words in common
#
# ROUGE lower-cases both texts and keeps only the letters a to z and digits. The words that both
# have are the hits. **Recall** asks how much of the reference came back, **precision** how much of
# the output was wanted, and **F1** is their harmonic mean, which is high only if both are.

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
# The slides, those of the two lectures that this course follows, print the three numbers of this
# pair for ROUGE-1, ROUGE-2 and ROUGE-L. We set ours beside them as we go; the table at the end
# collects all of them.


# %%
def beside_slides(name: str, printed: tuple[str, str, str], score: Score, why: str) -> None:
    """Adds recall, precision and F1 to the table; why says what is wrong if one differs."""
    for part, figure, found, verdict in judged_parts(printed, score, why):
        course.published(f"{name} {part}", SLIDES, figure, found, verdict)


beside_slides("ROUGE-1", ("1.0", "0.8", "0.89"), by_hand, "the words in common are other ones")

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
beside_slides("ROUGE-2", ("0.67", "0.5", "0.57"), rouge2, "the pairs in common are other ones")

# %% [markdown]
# ## ROUGE-L: the longest common subsequence
#
# A *subsequence* keeps the order of the words and may leave gaps. The length of the longest one
# that two texts share, the LCS, comes from a table. Each cell is the answer for the first i words
# of one text and the first j of the other: equal words add 1 to the cell diagonally above, others
# take the larger of the cells above and to the left.

# %%
table = lcs_table(wanted, written)
print(f"{'':>10}" + "".join(f"{word:>9}" for word in ["", *written]))
for word, row in zip(["", *wanted], table, strict=True):
    print(f"{word:>10}" + "".join(f"{length:>9}" for length in row))
found = [wanted[i] for i in lcs_positions(wanted, written)]
print("the subsequence:", " ".join(map(str, found)))
subsequence = rouge_l(wanted, written)


# %% [markdown]
# The slide prints 2 for this length and 0.44 for F1. One reading gives just that: a longest common
# *substring*, which allows no gap (there are two of 2 words here). But the L of ROUGE-L is defined
# by the subsequence (Lin 2004, section 3).


# %%
substring = longest_common_substring(wanted, written)
substring_score = score_from_hits(len(substring), len(wanted), len(written))
print(f"a longest common substring: {substring}, F1 {substring_score.fmeasure:.2f}")
print(f"the longest common subsequence: {found}, F1 {subsequence.fmeasure:.2f}")

# %%
numbers = f"{substring_score.recall:.2f}, {substring_score.precision:.2f}, "
numbers += f"{substring_score.fmeasure:.2f}"
why = f"a subsequence may have gaps; a longest common substring, {len(substring)} words, has "
why += f"recall, precision and F1 {numbers}"
beside_slides("ROUGE-L", ("0.5", "0.4", "0.44"), subsequence, why)
course.published(
    "ROUGE-L: length of the LCS", SLIDES, "2", f"{table[-1][-1]}: {' '.join(map(str, found))}",
    same_figure("2", table[-1][-1], f"{' '.join(substring)!r}, 2 words, is one of the longest "
                "common substrings", kind=Kind.WRONG),
)  # fmt: skip
course.checked(
    "the slide's ROUGE-L is that of a longest common substring", numbers,
    holds(numbers == "0.50, 0.40, 0.44"),
)  # fmt: skip

# %% [markdown]
# ## Clipping
#
# If every word of the output that occurs in the reference counted, "cold cold cold cold" would be
# perfect. So a word hits only as often as the reference has it: its count is **clipped**.

# %%
repeated = tokenize("cold cold cold cold")
unclipped = sum(word in wanted for word in repeated) / len(repeated)
clipped = overlap(wanted, repeated) / len(repeated)
print(f"precision of 'cold cold cold cold': {unclipped} unclipped, {clipped} clipped")
course.published(
    "cold cold cold cold: clipped precision", SLIDES, "0.25", f"{clipped:.2f}",
    same_figure("0.25", clipped, "the count is clipped in another way"),
)  # fmt: skip

# %% [markdown]
# Clipping does not help against a wrong order: "outside cold it is" has all the words.

# %%
shuffled = "outside cold it is"
unigram = scorer.score(reference, shuffled)["rouge1"].precision
as_written = overlap(reference.split(), shuffled.split()) / len(shuffled.split())
print(f"precision of {shuffled!r}: {unigram}; of the same words as they stand: {as_written}")
course.published(
    "outside cold it is: clipped precision", SLIDES, "1.0", f"{unigram:.1f}",
    same_figure("1.0", unigram, "the words are not those of the reference",
                remark=f"in lower case and without the full stop; as written {as_written:.1f}"),
)  # fmt: skip

# %% [markdown]
# Nor does ROUGE see what a word means. "It is not cold outside." says the opposite of the
# reference. What does it score, beside "It is very cold outside."?

# %%
very, negation = (scorer.score(reference, f"It is {w} cold outside.") for w in ("very", "not"))
of_each = [" ".join(f"{s.fmeasure:.2f}" for s in score.values()) for score in (very, negation)]
print(f"F1 of ROUGE-1, 2 and L: {of_each[0]} with 'very', {of_each[1]} with 'not'")
course.published(
    '"not" in place of "very": ROUGE-1, 2, L', SLIDES, "the same",
    f"F1 {of_each[0]} and {of_each[1]}",
    holds(very == negation, published=True, yes="ROUGE does not see meaning",
          no="one of the two shares more words with the reference"),
)  # fmt: skip

# %% [markdown]
# ## Summaries of several lines
#
# A summary may say the right things in another order. **ROUGE-Lsum** compares line by line: each
# line of the reference collects what it finds in all the lines of the output. Without line breaks
# it equals ROUGE-L. Published tables often do not say which of the two they show. Here both texts
# have the same two sentences, in opposite order.

# %%
several = RougeScorer(["rougeL", "rougeLsum"])
first, second = "the train was late", "she missed the meeting"
apart = {}
for joint, what in ((" ", "no line breaks"), ("\n", "line breaks")):
    pair = several.score(first + joint + second, second + joint + first)
    apart[what] = pair["rougeLsum"].fmeasure - pair["rougeL"].fmeasure
    print(
        f"{what:<15} " + ", ".join(f"{spelled(name)} {s.fmeasure:.2f}" for name, s in pair.items())
    )
course.checked(
    "ROUGE-Lsum less ROUGE-L, without and with line breaks",
    ", ".join(f"{difference:+.2f}" for difference in apart.values()),
    holds(apart["no line breaks"] == 0 < apart["line breaks"]),
)

# %% [markdown]
# ## BLEU
#
# BLEU looks at **n-grams**, runs of n neighbouring words, with n from 1 to 4. It takes precision
# only, and clips as ROUGE does. The four precisions are multiplied and the fourth root is taken:
# their *geometric* mean, which is 0 as soon as one of them is. Since precision alone would reward
# short answers, the mean is multiplied by the **brevity penalty**: exp(1 - reference length /
# output length) for an output shorter than the reference, else 1 (Papineni et al. 2002).
#
# If there are several references, an n-gram may hit as often as it occurs in the one that has it
# most often, and the reference length is the one nearest to the output's. Papers and our
# `corpus_bleu` give BLEU from 0 to 100, the slides from 0 to 1.

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
# The slide calls BLEU an average of precisions. Does an average give the slide's own 0.495?

# %%
course.published(
    "BLEU is an average of the precisions", SLIDES, "0.495", f"{arithmetic:.3f} as an average",
    same_figure("0.495", arithmetic, f"the penalty times the geometric mean gives {geometric:.3f}",
                kind=Kind.WRONG),
)  # fmt: skip

# %% [markdown]
# ## The same output, another BLEU
#
# The slide splits at white space, so "tea." is one word and "tea" another. The field's tool,
# sacrebleu, splits punctuation off first (its tokenizer is called 13a) and finds other n-grams:
# same output, same reference, another score. This is why a score should never travel without its
# **signature**, which names the settings: how many references there are, whether case counts, the
# tokenizer (tok), and the smoothing, which puts something small in place of a precision of 0 (none
# occurs here, so we switch it off); eff matters for single short sentences only. Post (2018) asked
# for signatures after finding that published BLEU scores could not be compared.

# %%
slides = {
    drunk: "0.495",
    "I am very happy that I am drinking a warm cup of tea.": "0.730",
    "I am very happy to say that I am drinking a warm tea.": "0.798",
    tea: "1.000",
}
of_13a = []
print(f"{'white space':>12} {'13a':>6}")
for text, printed in slides.items():
    pair = [corpus_bleu([text], [[tea]], "none", tokenize=name) for name in ("none", "13a")]
    split, standard = (score.score / 100 for score in pair)
    of_13a.append(standard)
    print(f"{split:>12.3f} {standard:>6.3f}  {text}")
    what = f"BLEU of {text.removeprefix('I am very happy ')!r}"
    verdict = same_figure(printed, split, "other tokens or another smoothing were used",
                          remark="words split at white space")  # fmt: skip
    course.published(what, SLIDES, printed, f"{split:.3f}; with 13a {standard:.3f}", verdict)
for score in pair:
    print(score.signature)
changed = sum(f"{a:.3f}" != b for a, b in zip(of_13a, slides.values(), strict=True))
course.checked(
    "the same four outputs with 13a", ", ".join(f"{score:.3f}" for score in of_13a),
    holds(changed == 3, yes="three other scores; the reference itself keeps its 1",
          no=f"{changed} of 4 scores are others"),
)  # fmt: skip

# %% [markdown]
# ## Metrics see words
#
# Two pairs of sentences from the slides. The two of the first pair say the same in other words; the
# two of the second say opposite things in nearly the same words.

# %%
pairs = {
    "same meaning": ("Mike really loves drinking tea.", "Mike adores sipping tea."),
    "opposite": ("Mike does not drink coffee.", "Mike does drink coffee."),
}
meaning = {}
for what, (one, other) in pairs.items():
    meaning[what] = {name: s.fmeasure for name, s in scorer.score(one, other).items()}
    print(
        f"{what:<13}" + ", ".join(f"{spelled(name)} {s:.2f}" for name, s in meaning[what].items())
    )
for metric in ("rouge1", "rouge2", "rougeL"):
    same, opposite = (meaning[what][metric] for what in pairs)
    course.published(
        f"opposite coffee, equal tea: {spelled(metric)}", SLIDES, "words are seen, meaning is not",
        f"{opposite:.2f} for the opposite, {same:.2f} for the same", is_more(opposite - same),
    )  # fmt: skip

# %% [markdown]
# ## A dialogue at the hotel desk
#
# The slides also show a summary of a check-in dialogue that a model wrote before it was fine-tuned
# (trained further on examples of the task; lesson 7), one that it wrote afterwards, and a person's.
# They print no score. Here it is: how close does each come to the person's?

# %%
for who, text in SUMMARIES.items():
    print(f"{who:<7}{text}")
before, after = (scorer.score(SUMMARIES["human"], SUMMARIES[when]) for when in ("before", "after"))
for metric in ("rouge1", "rouge2", "rougeL"):
    course.published(
        f"check-in dialogue, {spelled(metric)}", SLIDES, "better after fine-tuning",
        f"F1 {before[metric].fmeasure:.2f} before, {after[metric].fmeasure:.2f} after",
        is_more(after[metric].fmeasure - before[metric].fmeasure, yes="for this one dialogue"),
    )  # fmt: skip
    row = [
        f"{when}: recall {s.recall:.2f}, precision {s.precision:.2f}"
        for when, s in (("before", before[metric]), ("after", after[metric]))
    ]
    print(spelled(metric), "; ".join(row))

# %% [markdown]
# One dialogue proves nothing about a model. What we can check is whether the metric agrees with a
# reader, who prefers the second summary because it tells what happened.
#
# ## Cheating
#
# Now a few hundred summaries: those of DialogSum, which people wrote, if you have fetched them
# (`minigpt data fetch dialogsum`), else those of minigpt's own dialogues. Beside them, outputs that
# no reader would accept. Most of these are made from the reference itself, whose score is 1. The
# code is `lessons/experiments/cheating.py`.

# %%
fetched = Path("runs/data/dialogsum/dev.jsonl")
dialogues = read_records(fetched, ["summary"]) if fetched.exists() else None
records = list(dialogues or task_set("dialogues", "test"))[: course.choose(quick=40, normal=300)]
summaries = [record["summary"] for record in records]
print(f"{len(records)} summaries of {fetched if dialogues else 'the task set'}; the first:")
print(summaries[0])
dice = random.Random(course.seed)
cheats = {
    "the reference itself": summaries,
    "persons exchanged": [cheating.exchange(text) for text in summaries],
    "negated": [cheating.negate(text) for text in summaries],
    "words shuffled": [cheating.shuffle(text, dice) for text in summaries],
    "one word repeated": [cheating.repeat(text) for text in summaries],
    "the whole dialogue": [record["dialogue"] for record in records],
    "another one's summary": summaries[1:] + summaries[:1],
}
for name in ("persons exchanged", "negated", "words shuffled"):
    print(f"{name}: {cheats[name][0]}")

# %% [markdown]
# The ROUGE of many texts is the mean of theirs. The BLEU of many texts is not: it adds up the
# n-grams of all of them before it divides.

# %%
cheated = {name: cheating.corpus_scores(summaries, outputs) for name, outputs in cheats.items()}
print(f"{'':<22}" + "".join(f"{spelled(metric):>8}" for metric in cheated["negated"]))
for name, scores in cheated.items():
    print(f"{name:<22}" + "".join(f"{score:>8.2f}" for score in scores.values()))
copied = mean_scores(scorer.score(record["summary"], record["dialogue"]) for record in records)
print(f"ROUGE-1 recall of the whole dialogue: {copied['rouge1'].recall:.2f}")

# %% [markdown]
# Read the table from the top. Exchanging the persons or negating a verb turns the summary into a
# lie, and yet most of the words are the same, so most of the score stays. Shuffling ruins the text,
# and ROUGE-1 cannot notice, because it ignores the order; the other three can. Repetition is caught
# by clipping. The whole dialogue contains many of the wanted words: judged by recall alone, it
# would be a fine summary. And look at the last line before you are proud of a score: it is what a
# fluent summary of *another* dialogue gets.

# %%
at_right, at_wrong = (
    cheating.each_rouge_l(summaries, cheats[name]) for name in ("negated", "another one's summary")
)
# One dialogue gives a pair of scores, so the error is that of the mean difference of such pairs.
gain = at_right - at_wrong
course.checked(
    "a lie about the right dialogue beats the truth about a wrong one (ROUGE-L)",
    f"{at_right.mean():.2f} against {at_wrong.mean():.2f}",
    is_more(float(gain.mean()), error_of_mean(gain), checked=True),
)

# %% [markdown]
# ## How much damage, how much score
#
# Three kinds of damage, from none to total, on the same summaries: words are replaced by words of
# any of the summaries, left out, or displaced.

# %%
shares = [i / 10 for i in range(11)]
curves = cheating.damage_curves(summaries, shares, dice)
course.save_figure(cheating.draw_damage(shares, curves, len(summaries)), "corruption")

# %% [markdown]
# ROUGE-1 falls as words are replaced or left out, and lies flat where words only change places.
# Where words are only left out, the rest keeps its order, so ROUGE-1 and ROUGE-L are one curve.
# ROUGE-2 and BLEU suffer most: a single word that is replaced can break two pairs, three 3-grams
# and four 4-grams.
#
# ## How sure is a mean?
#
# A mean over fifty summaries is less certain than one over three hundred. The **bootstrap** draws
# as many pairs of output and reference again, with replacement, a thousand times, and asks where
# 95% of the means fall. Beside it we print the mean and 1.96 **standard errors** to each side,
# which hold 95% of a normal distribution. A standard error says how far a mean would typically move
# with as many other summaries (lesson 1).

# %%
pool = [word for text in summaries for word in text.split()]
# Three words in ten are replaced.
damaged = [" ".join(cheating.replace_words(text.split(), 0.3, dice, pool)) for text in summaries]
pairs = [scorer.score(*pair) for pair in zip(summaries, damaged, strict=True)]
widths = {}
for n in sorted({min(25, len(pairs)), len(pairs)}):
    interval = bootstrap_interval(pairs[:n], seed=course.seed)["rougeL"]
    low, mid, high = (getattr(interval, end).fmeasure for end in ("low", "mid", "high"))
    error = error_of_mean([pair["rougeL"].fmeasure for pair in pairs[:n]])
    widths[n] = high - low
    print(f"ROUGE-L of {n} summaries: {mid:.3f}, with 95% between {low:.3f} and {high:.3f}; mean ± "
          f"1.96 standard errors {mid - 1.96 * error:.3f} to {mid + 1.96 * error:.3f}")  # fmt: skip

# %% [markdown]
# Both ways should agree, because a mean of many is nearly normal. But the bootstrap also works for
# BLEU, which is not a mean. Four times as many texts halve the interval: remember that when two
# systems are 0.01 apart on fifty texts.

# %%
few, many = min(widths), max(widths)
ratio, expected = widths[few] / widths[many], math.sqrt(many / few)
course.checked(
    "the interval shrinks with the root of the number of texts",
    f"{ratio:.1f} times as narrow; the root is {expected:.1f}",
    holds(0.6 < ratio / expected < 1.6),
)

# %% [markdown]
# ## When the answer is a label
#
# Is this review positive? Does sentence B follow from A? Such answers are right or wrong. The
# **confusion table** counts the four cases: a *true positive* (TP) was called positive and is so, a
# *false positive* (FP) was called so and is not; a *false negative* (FN) is positive and was
# missed; the rest are *true negatives* (TN). Four measures are common:
#
# - **accuracy**: the share of right answers;
# - **F1** of a class: the harmonic mean of its precision and recall, 2 TP / (2 TP + FP + FN); the
#   mean over the classes is called **macro F1**;
# - **Matthews correlation**: (TP TN - FP FN) over the square root of (TP + FP) (TP + FN) (TN + FP)
#   (TN + FN), or 0 if one of these is 0. It is 1 if all answers are right and -1 if all are wrong;
# - **exact match**, for short texts: the share that equals the reference to the letter.
#
# Below, 90 of 100 reviews are good ones, and "good" counts as positive. Three models answer.

# %%
tables = {  # true positives, false negatives, false positives, true negatives
    'always "good"': (90, 0, 10, 0),
    "finds 8 of 10 bad ones": (85, 5, 2, 8),
    "all answers wrong": (0, 90, 10, 0),
}
print(f"{'':<24}accuracy  F1 of good  F1 of bad  macro F1  Matthews")
for name, (tp, fn, fp, tn) in tables.items():
    labels = ["good"] * (tp + fn) + ["bad"] * (fp + tn)
    answers = ["good"] * tp + ["bad"] * fn + ["good"] * fp + ["bad"] * tn
    of_each = [f1(answers, labels, label) for label in ("good", "bad")]
    print(
        f"{name:<24}{accuracy(answers, labels):8.2f}  {of_each[0]:10.2f}  {of_each[1]:9.2f}  "
        f"{macro_f1(answers, labels):8.2f}  {matthews_correlation(answers, labels):8.2f}"
    )

# %% [markdown]
# Always saying "good" has an accuracy of 0.90 and an F1 of 0.95, and knows nothing. F1 of the
# *rare* class and Matthews see that. The paper on GLUE, a collection of tasks that comes below,
# says why it judges one of them, grammar (CoLA), by Matthews: it is made for uneven classes, and 0
# is what uninformed guessing gets. We guess many times: "good" with probability 0.9, without a look
# at the review.

# %%
throws = np.random.default_rng(course.seed)
labels = [True] * 90 + [False] * 10
guessed = [throws.random(100) < 0.9 for _ in range(course.choose(50, 1000))]
guesses = [matthews_correlation(guess.tolist(), labels) for guess in guessed]
lucky = np.mean([accuracy(guess.tolist(), labels) for guess in guessed])
error = error_of_mean(guesses)
print(f"{len(guesses)} times 100 guesses: accuracy {lucky:.2f}, Matthews {np.mean(guesses):.3f}")
course.published(
    "Matthews correlation of guesses, 90% one class", "Wang et al. 2019 (GLUE), CoLA", "0",
    f"{np.mean(guesses):.3f} ± {error:.3f}; accuracy {lucky:.2f}",
    same_figure("0", float(np.mean(guesses)), "the mean is off by more than 3 standard errors",
                within=3 * error),
)  # fmt: skip

# %% [markdown]
# Exact match needs to know what does not count: SQuAD, a set of questions on Wikipedia articles,
# drops case, punctuation and "a", "an" and "the" first. Its F1 is softer, and an old friend:
# ROUGE-1's, on the words that are left.

# %%
answers = ["the Battle of Hastings", "1066", "William of Normandy", "in autumn"]
right = ["Battle of Hastings.", "1066", "William the Conqueror", "autumn"]
strict, soft = (exact_match(answers, right, clean) for clean in (str.strip, squad_answer))
words = [[squad_answer(text).split() for text in pair] for pair in zip(right, answers, strict=True)]
word_f1 = [rouge_n(*pair, 1).fmeasure for pair in words]
print(f"exact match {strict}; of answers as SQuAD cleans them {soft}")
print(f"F1 {np.mean(word_f1):.2f}, the mean of", ", ".join(f"{each:.2f}" for each in word_f1))

# %% [markdown]
# ## When the answer is a number
#
# How similar are two sentences, on a scale up to 5? Here a measure should rise with the truth.
# **Pearson** asks whether the points lie on a straight line, **Spearman** only whether they are in
# the same order: it is the Pearson correlation of the ranks. Both are 1 for a perfect rise, near 0
# where there is neither rise nor fall, and -1 for a perfect fall. We have such numbers: the share
# of words that were left as they are, and what each metric says.

# %%
left = [1 - share for share in shares]
agreement = {}
print(f"{'':<8} Pearson  Spearman")
for metric in curves["replaced"][0]:
    points = [scores[metric] for scores in curves["replaced"]]
    agreement[metric] = pearson(left, points), spearman(left, points)
    print(f"{spelled(metric):<8} {agreement[metric][0]:7.3f} {agreement[metric][1]:9.3f}")
straight, in_order = agreement["BLEU"]
course.checked(
    "BLEU of replaced words: the order is better than the line",
    f"Pearson {straight:.3f}, Spearman {in_order:.3f}",
    is_more(in_order - straight, places=3, checked=True, yes="the curve bends"),
)

# %% [markdown]
# ## What the benchmarks count
#
# **GLUE** (Wang et al. 2019) and **SuperGLUE** (also Wang et al. 2019) are collections of nine and
# eight such tasks. A model's score is the mean over the tasks; where one has two measures, their
# mean counts.
#
# | GLUE | asks | measured by |
# |---|---|---|
# | CoLA | is the sentence grammatical? | Matthews |
# | SST-2 | is the review positive or negative? | accuracy |
# | MRPC | do both sentences say the same? | accuracy, F1 |
# | STS-B | how similar are the sentences? | Pearson, Spearman |
# | QQP | do both ask the same? | accuracy, F1 |
# | MNLI | does the second sentence follow from the first, contradict it, or neither? | accuracy |
# | QNLI | is the answer to the question in the sentence? | accuracy |
# | RTE | does the second sentence follow from the first? | accuracy |
# | WNLI | is this what the pronoun ("it", "he") stands for? | accuracy |

# %% [markdown]
# | SuperGLUE | asks | measured by |
# |---|---|---|
# | BoolQ | what does the passage answer, yes or no? | accuracy |
# | CB | as in MNLI | accuracy, macro F1 |
# | COPA | which of the two is the cause (or the effect)? | accuracy |
# | MultiRC | which of the answers to the question are right? | F1, exact match |
# | ReCoRD | which name belongs in the gap? | F1, exact match |
# | RTE | as in GLUE | accuracy |
# | WiC | does the word have the same sense in both sentences? | accuracy |
# | WSC | does the pronoun stand for this noun? | accuracy |
#
# MultiRC's F1 is that of the class "right", over the answers to all questions; its exact match is
# the share of the questions for which all answers are judged correctly. ReCoRD's two are SQuAD's.
#
# ## A sentiment model
#
# SST-2 asks what our review set asks. The smallest model that answers gives each word a weight; the
# weights of a review's words are added up, and a sigmoid, $1 / (1 + e^{-x})$, turns the sum x into
# a probability. Training is the same as in lesson 4: a loss, its gradient, a step
# (`lessons/experiments/sentiment.py`). We train it twice. The second time 1e-4 times the sum of the
# squared weights is added to the loss, so that large weights cost something. 1e-4 is a mild price:
# the training reviews are learned nearly as well, with weights less than half as large.

# %%
train = task_set("reviews", "train")[: course.choose(400, None)]
test = task_set("reviews", "test")[: course.choose(60, None)]
texts, labels = ([record[field] for record in test] for field in ("text", "label"))
n_steps = course.choose(20, 200)  # after 200 the second model's loss hardly falls
models = {
    "weights as they come": sentiment.fit(train, penalty=0, n_steps=n_steps),
    "large weights cost": sentiment.fit(train, penalty=1e-4, n_steps=n_steps),
}
plain = models["weights as they come"]
strongest = plain.weights[:-1].argsort().tolist()
names = list(plain.vocabulary)
print("most negative:", ", ".join(names[i] for i in strongest[:8]))
print("most positive:", ", ".join(names[i] for i in strongest[:-9:-1]))

# %% [markdown]
# Look at the words before you trust them. "happy" is among the most negative, because these reviews
# say "I am far from happy"; others, such as "sun" and "holiday", neither praise nor blame. How much
# of what the weights have learned holds only for the training reviews? And what do the other
# measures say of the unseen ones? (Matthews is nothing new: it is Pearson's correlation, if answers
# and labels are written as 0 and 1. For the next rows of the closing table, up to calibration, we
# take the second model.)

# %%
answered = {name: sentiment.answer(model, texts, labels) for name, model in models.items()}
print(f"{'':<22}accuracy: training  unseen  F1 of positive  Matthews")
for name, model in models.items():
    columns = ([record[field] for record in train] for field in ("text", "label"))
    known, p = sentiment.answer(model, *columns).right.mean(), answered[name].predictions
    print(
        f"{name:<22}{known:18.3f}  {accuracy(p, labels):6.3f}  {f1(p, labels, 'positive'):14.3f}  "
        f"{matthews_correlation(p, labels):8.3f}"
    )

# %%
share = accuracy(p, labels)
course.checked(
    f"{len(test)} unseen reviews: accuracy above guessing (0.50)", f"{share:.3f}",
    is_more(share - 0.5, error_of_share(share, len(test)), checked=True),
)  # fmt: skip
as_numbers = [[float(label == "positive") for label in column] for column in (p, labels)]
matthews, correlation = matthews_correlation(p, labels), pearson(*as_numbers)
course.checked(
    "Matthews is Pearson's correlation of zeros and ones", f"{matthews:.6f}, {correlation:.6f}",
    holds(math.isclose(matthews, correlation, abs_tol=1e-9)),
)  # fmt: skip

# %% [markdown]
# Are these the numbers that other people's code gives? scikit-learn and scipy are where most of
# them come from today. (They are not needed for minigpt; `pip install scikit-learn` brings both.)

# %%
try:
    from scipy import stats
    from sklearn import metrics
except ImportError:
    print("(scikit-learn is not installed: this comparison is left out)")
else:
    sure = models["large weights cost"].probabilities(texts).tolist()  # of "positive"
    pairs = {
        "accuracy": (accuracy(p, labels), metrics.accuracy_score(labels, p)),
        "F1": (f1(p, labels, "positive"), metrics.f1_score(labels, p, pos_label="positive")),
        "macro F1": (macro_f1(p, labels), metrics.f1_score(labels, p, average="macro")),
        "Matthews": (matthews, metrics.matthews_corrcoef(labels, p)),
        "Pearson": (pearson(sure, as_numbers[1]), stats.pearsonr(sure, as_numbers[1])[0]),
        "Spearman": (spearman(sure, as_numbers[1]), stats.spearmanr(sure, as_numbers[1])[0]),
    }
    apart = max(abs(ours - theirs) for ours, theirs in pairs.values())
    print(", ".join(f"{name} {ours:.6f} ({theirs:.6f})" for name, (ours, theirs) in pairs.items()))
    course.checked("scikit-learn's and scipy's " + ", ".join(pairs), f"{apart:.0e} apart at most",
                   holds(apart < 1e-12))  # fmt: skip

# %% [markdown]
# Half of these reviews are positive, so accuracy, F1 and Matthews tell the same story; where
# classes are uneven, as above, they would not.
#
# ## Calibration: is it right to be so sure?
#
# The probability that a model gives to its own answer is its **confidence**. A model is
# **calibrated** if of the answers that it gives with 80% confidence about 80% are right, and so for
# every other confidence. The **reliability diagram** sorts the answers by confidence into bins and
# draws what share of each bin is right. The **expected calibration error** (ECE) is the mean
# distance from the diagonal, weighted by the size of the bins; chance adds a little to it.
#
# Guo et al. (2017) found that deep networks are often surer than they are right, and less so with
# more weight decay. Our second model's penalty pulls weights towards 0 much as weight decay does
# (lesson 4). Is it calibrated better?

# %%
diagrams, excess = {}, {}
for name, given in answered.items():
    # Of 20 bins from 0 to 1, ten lie above 0.5, where all answers are: the likelier of two labels.
    diagrams[name] = reliability(given.confidences, given.right, bins=20)
    excess[name] = given.confidences - given.right  # its mean is 0 if the model is calibrated
    ece = expected_calibration_error(given.confidences, given.right, bins=20)
    print(
        f"{name:<22}confidence {given.confidences.mean():.3f}, accuracy {given.right.mean():.3f}, "
        f"ECE {ece:.3f}"
    )
    course.checked(
        f"more sure than right: {name}", f"{excess[name].mean():+.3f}",
        is_more(float(excess[name].mean()), error_of_mean(excess[name]), places=3, checked=True),
    )  # fmt: skip
course.save_figure(sentiment.draw_reliability(diagrams, len(test)), "reliability")

# %%
# Both models answered the same reviews, so the error is that of the mean paired difference.
paired = excess["weights as they come"] - excess["large weights cost"]
course.published(
    "less weight decay, more overconfidence", "Guo et al. 2017, section 3",
    "found for deep networks",
    ", ".join(f"{name}: {each.mean():+.3f}" for name, each in excess.items()),
    is_more(float(paired.mean()), error_of_mean(paired), places=3, yes="for this small model, too"),
)  # fmt: skip

# %% [markdown]
# ## Robustness: the same question, badly typed
#
# People make typing errors, and the answer should not change. We exchange two neighbouring letters
# inside some words ("really" becomes "raelly"). The first character of a word stays, and so does
# the last, which may be a punctuation mark. So "so" and "not" are too short to change (no review
# has a mark right after "not"). To our model a word with a typing error is nearly always unknown,
# and has no weight.

# %%
print(sentiment.with_typos(texts[0], 0.5, random.Random(course.seed)))
chosen, lost = "large weights cost", {}
clean = answered[chosen].right.astype(float)
for share in (0, 0.1, 0.25, 0.5, 1):
    dice = random.Random(course.seed)
    typed = [sentiment.with_typos(text, share, dice) for text in texts]
    lost[share] = clean - sentiment.answer(models[chosen], typed, labels).right
    print(f"typing errors in {share:4.0%} of the words that can change: "
          f"accuracy {(clean - lost[share]).mean():.3f}")  # fmt: skip
half = lost[0.5]  # 1 where a right answer turned wrong, -1 where a wrong one turned right
course.checked(
    "accuracy lost to typing errors in half of the words that can change",
    f"{clean.mean():.3f} to {(clean - half).mean():.3f}",
    is_more(float(half.mean()), error_of_mean(half), places=3, checked=True),
)

# %% [markdown]
# ## Three more benchmarks, and seven metrics
#
# **MMLU** (Hendrycks et al. 2021) asks multiple-choice questions in 57 subjects, from school
# algebra to law, with four answers each, and counts accuracy. Guessing gets 25%. Every subject has
# at least 100 test questions, and with 100 the standard error of a guesser is the square root of
# 0.25 x 0.75 / 100, 4 points: compare models over all subjects, not by one.
#
# **BIG-bench** (Srivastava et al. 2022) collects 204 tasks from hundreds of authors, chosen to be
# beyond the models of the day. Some are multiple choice; others let the model write and use exact
# match, ROUGE or BLEU, and all that you know about those applies.
#
# **HELM** (Liang et al. 2022) argues that accuracy alone hides too much, and measures seven things,
# as far as possible on the same tasks: *accuracy*; *calibration* and *robustness*, as you just
# did; *fairness*, how much accuracy is lost if the text is in a dialect or speaks of another group;
# *bias*, whether what the model writes names some groups more often than others, or ties them to
# certain jobs; *toxicity*, how often a classifier calls its text abusive; and *efficiency*, the
# time of an answer (as in lesson 5) and the energy that training took.

# %% [markdown]
# ## What to take away
#
# - ROUGE: words, pairs, longest common subsequence; recall, precision, F1. BLEU: the brevity
#   penalty times the geometric mean of four clipped precisions.
# - Both see words, not meaning: a lie costs little and a paraphrase costs much.
# - The tokenizer is part of the score. Report the signature, and an error bar.
# - With uneven classes look at F1 of the rare one, or at Matthews.
# - A confident model need not be right: draw its reliability diagram, and misspell its input.

# %%
course.finish()

# %% [markdown]
# Your turn: ROUGE and BLEU from n-grams up. `minigpt exercise start 6` writes the stubs, and
# `minigpt exercise check 6` says what your code computes.
#
# Next: lesson 7 trains the base model to translate and to summarize, and uses these scores.
