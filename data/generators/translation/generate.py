"""English-French sentence pairs: 20,000 to learn from, 500 to validate on and 500 to test on.

    >>> generate()["train"][0].keys()
    dict_keys(['en', 'fr'])

This is the held-out rule. A sentence contains combinations of an English word with an English noun:
a verb with its object, its subject or its place (read + novel), an adjective with its noun (heavy +
suitcase), a preposition with the noun after it (under + table). The remainder of
crc32("word|noun") divided by 100 gives each combination to a split: 0 to 3 to validation, 4 to 7 to
test, the rest to training. A sentence belongs to the split of its held-out combinations, to
training if it has none, and is thrown away if it has some of both. So a test sentence says
something that training never says, in words that all occur in training.

Where English is ambiguous French follows a rule: "you" is vous, one man for agreement; "they" is
ils unless it takes up a feminine noun; "I" and "we" are masculine; a yes or no question has
est-ce que, a question word inverts pronouns; the past is the passé composé, but the imparfait for
states (know, like, need, have), "was doing" and "used to do". "Is doing" and "does" are both the
present. French sets a plain space before ? and !.
"""

from __future__ import annotations

import random
import zlib
from collections import Counter

from .grammar import Grammar
from .phrases import Combination
from .sentences import Finished, sentence

SIZES = {"train": 20_000, "validation": 500, "test": 500}
MOST_OF_ONE = 6  # sentences of a held-out split that may share one held-out combination


def split_of(combination: Combination) -> str:
    """Returns the split that the combination of a word and a noun belongs to."""
    remainder = zlib.crc32("|".join(combination).encode()) % 100
    return "validation" if remainder < 4 else "test" if remainder < 8 else "train"


def split_of_sentence(combinations: tuple[Combination, ...]) -> str | None:
    """Returns a sentence's split by its combinations, or None if it mixes held-out ones."""
    splits = {split_of(combination) for combination in combinations} - {"train"}
    if len(splits) > 1:
        return None
    return splits.pop() if splits else "train"


def words_of(text: str) -> list[str]:
    """Returns the words of a sentence without capitals and final marks."""
    return text.lower().replace(",", "").strip(" .?!").split()


def sentences(seed: int = 0) -> dict[str, list[Finished]]:
    """Returns the sentences of each split with their combinations; none occurs twice.

    Training is filled first; then a sentence is held out only if all its words occur in training.
    """
    grammar = Grammar(random.Random(seed))
    result: dict[str, list[Finished]] = {split: [] for split in SIZES}
    candidates: dict[str, list[Finished]] = {"validation": [], "test": []}
    seen: set[str] = set()
    while len(result["train"]) < SIZES["train"]:
        made = sentence(grammar)
        split = split_of_sentence(made.combinations)
        if split is None or made.en in seen or made.fr in seen:
            continue
        seen.update((made.en, made.fr))
        (result if split == "train" else candidates)[split].append(made)
    known = {word for made in result["train"] for text in made[:2] for word in words_of(text)}
    for split, made_for_it in candidates.items():
        times: Counter[Combination] = Counter()
        for made in made_for_it:
            held_out = [c for c in made.combinations if split_of(c) == split]
            common = max(times[c] for c in held_out) >= MOST_OF_ONE
            if common or not known.issuperset(words_of(made.en) + words_of(made.fr)):
                continue
            times.update(held_out)
            result[split].append(made)
        del result[split][SIZES[split] :]
    return result


def generate(seed: int = 0) -> dict[str, list[dict[str, str]]]:
    """Returns the sentence pairs of each split as {"en": ..., "fr": ...}."""
    return {
        split: [{"en": made.en, "fr": made.fr} for made in made_of_it]
        for split, made_of_it in sentences(seed).items()
    }
