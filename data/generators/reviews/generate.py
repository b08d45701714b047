"""Reviews with a verdict: short texts about sixty kinds of things, labelled positive or negative.

No single word decides the label. Most reviews praise one part and blame another, and only the
verdict, or which of the two is called the one that counts, tells what the writer thinks; praise is
negated ("far from sharp", "I cannot recommend it"), blame is negated ("anything but slow", "I
regret nothing"), and the same words stand in verdicts of both kinds.

What is held out. An opinion is a pair (part, what is said of it): ("battery", "weak"), where the
second is an adjective, a predicate or a comparison of words.py. The CRC-32 of the pair
decides its split: remainder 8 of 10 is validation, 9 is test, the others are training. A review
takes all its opinions from its own split, so a test review says of every part something that no
training review says of it, whatever the product; openings and verdicts are shared. Every word of
validation and test occurs in training.
"""

from __future__ import annotations

import random
import re
import zlib
from itertools import pairwise
from typing import Any, NamedTuple

from .words import DOMAINS, KINDS, PRODUCTS

SIZES = {"train": 4000, "validation": 500, "test": 500}
LONGEST = 121  # characters; keeps the three files inside their budget

# The part is {S} with its verb {be}; {adj}, {like} and {pred} come from the part's kind.
DIRECT = ("{S} {be} {adj}", "{S} {be} really {adj}", "{S} {be} very {adj}", "I found {S} {adj}")
# ... {adj} is of the opposite kind to what is meant.
FLIPPED = {
    "positive": (
        "{S} {be} anything but {adj}",
        "{S} {be} not {adj} at all",
        "I was warned about {like}, quite wrongly",
        "I had expected {like} and got the opposite",
        "{S} {be} nowhere near as {adj} as people say",
    ),
    "negative": (
        "{S} {be} far from {adj}",
        "{S} {be} hardly {adj}",
        "I was promised {like} and got the opposite",
        "{S} {be} less {adj} than I had hoped",
        "{S} {be} not nearly as {adj} as people say",
    ),
}
# Kinds that are not a part of the thing itself, so that "a kettle with a better price" sounds odd.
NOT_COMPARED = ("price", "delivery", "support", "ending", "queue", "punctual")
# These are said of any part.
GENERAL = {
    "positive": (
        "{S} could not be better",
        "{S} {be} better than I had feared",
        "{S} {be} not as bad as people say",
        "I have no complaints about {S}",
        "{S} {be} the best I have had",
    ),
    "negative": (
        "{S} could be a lot better",
        "{S} {be} worse than I had feared",
        "{S} {be} not as good as people say",
        "I have endless complaints about {S}",
        "{S} {be} the worst I have had",
    ),
}

# {G} is an opinion that agrees with the label, {H} another, {O} one that contradicts it, {V} a
# verdict. The sentences are cut at full stops and each gets its capital.
AGREED = (
    "{G}. {V}.",
    "{V}. {G}.",
    "{V}: {G}.",
    "{G}, so {V}.",
    "{G}, and {H}.",
    "{G}. {H}. {V}.",
    "{G}, {H}, and {V}.",
    "{V}. {G}, and {H}.",
    "{G}. On top of that, {H}.",
    "{V}. Why? {G}.",
    "It is simple: {G}, and {V}.",
    "{G}. Need I say more?",
)
MIXED = (
    "{O}, but {V}.",
    "{O}, but {G}. {V}.",
    "{O}. Still, {V}.",
    "{O}. All the same, {V}.",
    "{O}, yet {V}.",
    "{V}, although {O}.",
    "{V}, even if {O}.",
    "Although {O}, {V}.",
    "{V}. True, {O}, but {G}.",
    "{G}, so {V}, even though {O}.",
    "{O}, I admit. {G}, though, and {V}.",
    "{G}. {O}, but {V}.",
    "Granted, {O}. Even so, {V}.",
    "People tell me that {O}. Maybe, but {V}.",
    "{V}. The fact that {O} changes nothing.",
    "{O}. That matters less to me than this: {G}.",
)
MIXED_ONLY = {
    "positive": (
        "Who cares that {O} when {G}?",
        "I can forgive that {O}, because {G}.",
        "Yes, {O}. Do not let that stop you: {G}.",
        "{O}, which is a pity, but {V}.",
    ),
    "negative": (
        "Who cares that {O} when {G}?",
        "What use is it that {O} when {G}?",
        "Yes, {O}. Do not let that fool you: {G}.",
        "{O}. If only that were enough: {G}.",
    ),
}
VOWELS = ("a", "e", "i", "o", "u")
OTHER = {"positive": "negative", "negative": "positive"}


class Part(NamedTuple):
    """A part of a product: its name, "s", "p" or "m" (singular, plural, mass), and its kind."""

    name: str
    number: str
    kind: dict[str, Any]

    def like(self, adjective: str) -> str:
        """Returns "a sharp screen", "sharp pictures" or "bright light"; the part is the noun."""
        article = "" if self.number != "s" else "an " if adjective.startswith(VOWELS) else "a "
        return f"{article}{adjective} {self.name}"


class Opinion(NamedTuple):
    """An opinion about a part: the word that decides the split, and the whole clauses."""

    part: Part
    word: str
    clauses: tuple[str, ...]
    how: str  # "word", "predicate", "general" or "comparison"


def parse(table: str) -> dict[str, dict[str, list[str]]]:
    """Parses a table of words.py: headings, and lines of a mark and things between semicolons."""
    found: dict[str, dict[str, str]] = {}
    heading = ""
    for line in table.strip().splitlines():
        mark, _, rest = line.partition(" ")
        if mark in ("+", "-", ":", ">", "<", "good:", "bad:"):
            marks = found[heading]
            marks[mark] = f"{marks[mark]} {rest}" if mark in marks else rest
        else:
            heading = line
            found[heading] = {}
    return {
        heading: {mark: re.split("[;,] ", text) if mark.endswith("d:") else text.split("; ")
                  for mark, text in marks.items()}
        for heading, marks in found.items()
    }  # fmt: skip


def agree(text: str, plural: bool, past: bool = False) -> str:
    """Gives the verbs of text the number of their subject: "need{s}" is "need" or "needs"."""
    be = ("were" if plural else "was") if past else ("are" if plural else "is")
    ends = {"is": be, "be": be, "has": "have" if plural else "has"}
    ends |= {"s": "" if plural else "s", "es": "" if plural else "es"}
    for name, form in ends.items():
        text = text.replace("{" + name + "}", form)
    return text


def opinions_about(
    product: str, part: Part, domain: dict[str, list[str]]
) -> dict[str, list[Opinion]]:
    """Returns everything that can be said about one part, by what it says: positive or negative."""
    kind, plural = part.kind, part.number == "p"
    subject = f"the {part.name}"

    def clause(pattern: str, adjective: str = "") -> str:
        text = agree(pattern, plural, kind["past"]).replace("{S}", subject)
        return text.replace("{adj}", adjective).replace("{like}", part.like(adjective))

    found: dict[str, list[Opinion]] = {}
    for label, good, bad, plus, compare in (
        ("positive", "good:", "bad:", "+", ">"),
        ("negative", "bad:", "good:", "-", "<"),
    ):
        words: list[tuple[str, tuple[str, ...]]] = [(adjective, DIRECT) for adjective in kind[good]]
        words += [(adjective, FLIPPED[label]) for adjective in kind[bad]]
        found[label] = [
            Opinion(part, word, tuple(clause(pattern, word) for pattern in patterns), "word")
            for word, patterns in words
        ]
        for how, patterns in (
            ("predicate", ["{S} " + predicate for predicate in kind[plus]]),
            ("general", list(GENERAL[label])),
            ("comparison", [] if kind["apart"] else [
                text.replace("{better}", part.like("better")).replace("{product}", product)
                for text in domain[compare]
            ]),
        ):  # fmt: skip
            found[label] += [Opinion(part, p, (clause(p),), how) for p in patterns]
    return found


def split_of(part: str, word: str) -> str:
    """Returns the split that owns an opinion: a pure function of the pair, whatever the seed."""
    remainder = zlib.crc32(f"{part}|{word}".encode()) % 10
    return {8: "validation", 9: "test"}.get(remainder, "train")


class Product:
    """A thing that is reviewed, with all that can be said about it in each split."""

    def __init__(self, line: str, kinds: dict[str, Any], domains: dict[str, Any]) -> None:
        name, domain, parts = line.split(" | ")
        self.plural = name.endswith("*")
        self.name = name.rstrip("*").replace("_", " ")
        self.pronoun = "them" if self.plural or domain == "care" else "it"
        self.domain = domains[domain]
        self.verdicts = {
            label: self.domain[mark] * 3 + domains["any"][mark]
            for label, mark in (("positive", "+"), ("negative", "-"))
        }
        self.opinions: dict[tuple[str, str], list[Opinion]] = {}
        for spec in parts.split():
            part_name, kind = spec.rstrip("~").split(":")
            number = "p" if part_name.endswith("*") else "m" if spec.endswith("~") else "s"
            part = Part(part_name.rstrip("*").replace("_", " "), number, kinds[kind])
            for label, found in opinions_about(self.name, part, self.domain).items():
                for opinion in found:
                    split = split_of(part.name, opinion.word)
                    self.opinions.setdefault((split, label), []).append(opinion)


def products() -> list[Product]:
    """Returns all products of words.py, in its order."""
    kinds: dict[str, Any] = {}
    for heading, marks in parse(KINDS).items():
        name, tense = heading.split()
        kinds[name] = {**marks, "past": tense == "past", "apart": name in NOT_COMPARED}
    domains = parse(DOMAINS)
    return [Product(line, kinds, domains) for line in PRODUCTS.strip().splitlines()]


def choose_opinions(
    rng: random.Random, product: Product, split: str, labels: list[str]
) -> list[str] | None:
    """Draws a clause for each label, all about different parts; None if there are none left."""
    clauses: list[str] = []
    kinds: list[dict[str, Any]] = []
    for label in labels:
        draw = rng.random()
        how = ("word" if draw < 0.42 else "predicate" if draw < 0.8 else
               "comparison" if draw < 0.9 else "general")  # fmt: skip
        fitting = [
            opinion
            for opinion in product.opinions.get((split, label), [])
            if opinion.how == how and all(opinion.part.kind is not kind for kind in kinds)
        ]
        if not fitting:
            return None
        opinion = rng.choice(fitting)
        kinds.append(opinion.part.kind)
        clauses.append(rng.choice(opinion.clauses))
    return clauses


def name_the_thing(rng: random.Random, product: Product, text: str) -> str:
    """Replaces {This} and {it} by "this kettle" the first time, then by "the kettle" and "it"."""
    this = f"{'these' if product.plural else 'this'} {product.name}"
    named = False

    def name(match: re.Match[str]) -> str:
        nonlocal named
        if match.group() == "{it}" and (named or rng.random() < 0.3):
            return product.pronoun
        if named:
            return f"the {product.name}"
        named = True
        return this

    return re.sub(r"\{(This|it)\}", name, text)


def review(rng: random.Random, product: Product, split: str, label: str) -> str | None:
    """Writes a review of product with the given label, or returns None if the draw fails."""
    if rng.random() < 0.62:
        frame = rng.choice(MIXED * 2 + MIXED_ONLY[label] * 3)
    else:
        frame = rng.choice(AGREED)
    slots = [slot for slot in ("{G}", "{H}", "{O}") if slot in frame]
    clauses = choose_opinions(
        rng, product, split, [OTHER[label] if slot == "{O}" else label for slot in slots]
    )
    if clauses is None:
        return None
    verdict = rng.choice(product.verdicts[label])
    said = dict(zip(slots, clauses, strict=True))
    deep = "{O}" in frame and (not frame.startswith("{O}") or "pity" in frame)
    if deep and not said["{O}"].startswith("the "):
        return None  # "who cares that I had expected ..."
    if "so {V}" in frame and not verdict.startswith(("I ", "we ", "you ")):
        return None  # a decision may follow from what was said, a fact does not
    text = frame.replace("{V}", verdict)
    for slot, clause in said.items():
        text = text.replace(slot, clause)
    if rng.random() < 0.25:
        opening = rng.choice(product.domain[":"]).replace("{it}", "{This}")
        text = f"{opening}. {text}"
    text = name_the_thing(rng, product, agree(text, product.plural))
    heard = text.lower().split()
    pairs = list(pairwise(heard))
    if len(set(pairs)) < len(pairs):
        return None  # no writer says the same two words twice in so short a text
    return re.sub(r"(^|[.?] )(\w)", lambda m: m.group(1) + m.group(2).upper(), text)


def generate(seed: int = 0) -> dict[str, list[dict[str, str]]]:
    """Returns the three splits, each half positive and half negative; no text occurs twice.

    Returns:
        {"train": 4000, "validation": 500, "test": 500} of {"text", "label"}; the same for the same
        seed on every Python version.
    """
    rng = random.Random(seed)
    things = products()
    seen: set[str] = set()
    vocabulary: set[str] = set()
    splits: dict[str, list[dict[str, str]]] = {}
    for split, size in SIZES.items():
        rows: list[dict[str, str]] = []
        while len(rows) < size:
            label = ("positive", "negative")[len(rows) % 2]
            text = review(rng, rng.choice(things), split, label)
            if text is None or text in seen or len(text) > LONGEST:
                continue
            if split == "train":
                vocabulary |= words(text)
            elif not words(text) <= vocabulary:
                continue
            seen.add(text)
            rows.append({"text": text, "label": label})
        rng.shuffle(rows)
        splits[split] = rows
    return splits


def words(text: str) -> set[str]:
    """Returns the different words of a text in lower case; "check-in" is one word."""
    return set(re.findall(r"\w+(?:['-]\w+)*", text.lower()))
