"""Choosing what to say: words that make sense together, put into noun phrases and clauses.

`Grammar` holds the random generator and how often each word was used, so that rare words get their turn.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import translation_french as french
from translation_phrases import (
    OBJECT_PRONOUNS,
    PRONOUNS,
    STATES,
    STRESSED,
    Clause,
    Combination,
    Phrase,
    Use,
    noun_phrase,
    pronoun_for,
    with_preposition,
)
from translation_words import (
    ADJECTIVES,
    FREQUENCY,
    INTRANSITIVE,
    MANNER,
    NAMES,
    NUMBERS,
    PLACE_PREPOSITIONS,
    REGIONS,
    TIMES,
    TRANSITIVE,
    Adjective,
    Noun,
    Verb,
    entries,
    nouns,
    pairs,
)

T = TypeVar("T")
Place = tuple[str, str, tuple[Combination, ...]]

PEOPLE = [
    Phrase(name, name, gender) for name, gender in (entry.split() for entry in entries(NAMES))
]
COUNTS = [(en, fr) for en, fr in (entry.split() for entry in entries(NUMBERS))]
ADJECTIVES_OF: dict[str, list[Adjective]] = {}
for _adjective in ADJECTIVES:
    for _noun in _adjective.nouns:
        ADJECTIVES_OF.setdefault(_noun.en, []).append(_adjective)

# Verbs that say something without a time in the simple present; the other stative ones are events.
PERCEPTION = STATES | {"see", "hear", "remember", "speak"}
TOGETHER = set(
    """eat drink dance travel walk work play visit prepare study live sing watch leave arrive
    wait come_back go_out have_fun take_a_walk organize rent build plant talk_about""".split()
)
IN_TOWN = {"live", "work", "stay", "travel", "study", "buy", "rent", "arrive", "meet", "teach"}
TENSES = """present present present present present past past past past past near near future future
    was used can must want would recent""".split()
NEGATIVE = {"present": "not not not never no_longer", "past": "not not not never yet", "future": "not never",
            "near": "not", "can": "not", "must": "not never", "want": "not no_longer"}  # fmt: skip
OWNED = "friend neighbor doctor dentist teacher lawyer secretary house apartment garden office".split()


class Grammar:
    """A source of phrases and clauses; the same generator state always gives the same ones."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.used: Counter[str] = Counter()

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def pick(self, items: Sequence[T]) -> T:
        """One item: the least used of three drawn at random."""
        drawn = [self.rng.choice(items) for _ in range(3)]
        best = min(drawn, key=lambda item: self.used[repr(getattr(item, "en", item))])
        self.used[repr(getattr(best, "en", best))] += 1
        return best

    def adjective(self, noun: Noun, predicate: bool = False) -> Adjective | None:
        """An adjective that makes sense of `noun`; those only used after "to be" if `predicate`."""
        fitting = [a for a in ADJECTIVES_OF.get(noun.en, []) if predicate or a.position != "p"]
        return self.pick(fitting) if fitting else None

    def person(self, pronouns: float = 0.45) -> Phrase:
        """Somebody as a subject: a pronoun, a name, a relative, or the baker."""
        if self.chance(pronouns):
            return self.pick(PRONOUNS)
        if self.chance(0.3):
            return self.pick(PEOPLE)
        return self.somebody()

    def somebody(self, adjectives: float = 0.12) -> Phrase:
        """A noun phrase for a person: my sister, the old farmer, Paul's uncle, the children."""
        noun = self.pick(nouns("person"))
        adjective = self.adjective(noun) if self.chance(adjectives) else None
        if noun.kind == "family":
            if self.chance(0.15):
                return noun_phrase(noun, "of", owner=self.pick(PEOPLE))
            plural = noun.en in ("brother", "sister", "son", "daughter", "cousin", "nephew", "niece")
            if adjective and adjective.en in ("young", "old"):
                adjective = None
            return noun_phrase(
                noun, "my", plural and self.chance(0.25), adjective, owner=self.pick(PRONOUNS)
            )
        if noun.en in OWNED and self.chance(0.5):
            return noun_phrase(noun, "my", self.chance(0.2), adjective, self.pick(PRONOUNS))
        kind = self.rng.choice(("the", "the", "the", "this"))
        return noun_phrase(noun, kind, self.chance(0.25), adjective)

    def thing(
        self,
        noun: Noun,
        owner: Phrase | None = None,
        negated: bool = False,
        definite: bool = False,
        adjectives: float = 0.28,
    ) -> Phrase:
        """`noun` as the object of a verb: a red apple, some bread, my keys, two letters, this house."""
        adjective = self.adjective(noun) if self.chance(adjectives) else None
        owner = pronoun_for(owner) if owner else self.pick(PRONOUNS)
        kind = self.rng.choice(("the", "the", "this", "my", "my") + (() if definite else ("a",) * 5))
        if noun.kind == "family":
            if self.chance(0.2):
                return noun_phrase(noun, "of", owner=self.pick(PEOPLE))
            return noun_phrase(noun, "my", owner=owner)
        if noun.kind == "unique" or noun.kind == "instrument":
            return noun_phrase(noun, "the", adjective=None)
        if noun.kind in ("language", "subject", "sport"):
            return noun_phrase(noun, "bare")
        if noun.kind == "meal" and noun.en != "meal":
            return noun_phrase(noun, "bare") if kind == "a" else noun_phrase(noun, "the")
        if noun.kind in ("people", "job", "building", "town", "area", "nature", "wild", "film", "event"):
            if kind == "my" and noun.en not in OWNED:
                kind = "the"
        if noun.mass:
            kind = "some" if kind == "a" or self.chance(0.4) and not definite else kind
            return noun_phrase(noun, kind, False, adjective, owner, negated=negated)
        plural = noun.kind == "pair" and self.chance(0.9) or self.chance(0.2)
        if kind == "a" and plural:
            if self.chance(0.3) and not negated:
                return noun_phrase(noun, "the", True, adjective, number=self.pick(COUNTS))
            kind = "some"
        return noun_phrase(noun, kind, plural, adjective, owner, negated=negated)

    def general(self, noun: Noun) -> Phrase:
        """What somebody likes: apples, coffee, tennis; in French with the article."""
        countable = not noun.mass and noun.kind not in ("language", "subject", "sport", "meal")
        return noun_phrase(noun, "bare", plural=countable)

    def place(self, verb: Verb) -> Place:
        """Where something happens: in the kitchen, at school, in Paris."""
        if verb.en in IN_TOWN and self.chance(0.4):
            en, fr = self.pick(pairs_of(REGIONS))
            return f"in {en}", fr, ()
        noun = self.pick(verb.places)
        en, fr = located(noun)
        return en, fr, ((verb.en, noun.en),)

    def object(self, verb: Verb, subject: Phrase, negated: bool) -> Phrase:
        """Something that can be eaten, read, opened ... by `subject`."""
        flags = verb.flags.split()
        others = [p for p in OBJECT_PRONOUNS if p.person != subject.person or p.person == 2]
        if subject.person == 3:
            others = [p for p in others if p.person != 0]
        if "p" in flags and self.chance(0.15):
            pronoun = self.pick(others)
            if verb.fr.split(" ")[-1] in ("à", "de"):
                return Phrase(pronoun.en, STRESSED[pronoun.en], pronoun.gender, pronoun.person)
            return pronoun
        noun = self.pick(verb.nouns)
        if verb.en == "speak":
            return Phrase(noun.en, noun.fr, noun=noun.en)
        if "g" in flags and (self.chance(0.6) or noun.mass):
            return self.general(noun)
        definite = bool({"d", "g"} & set(flags)) or verb.fr.endswith(" de")
        return self.thing(noun, subject, negated, definite)

    def clause(
        self,
        subject: Phrase | None = None,
        tense: str = "",
        verb: Verb | None = None,
        negative: float = 0.17,
        details: float = 1.0,
        object: Phrase | None = None,
    ) -> Clause:
        """A clause with everything that is not given chosen to fit; `details` scales place and time."""
        verb = verb or self.pick(TRANSITIVE if self.chance(0.7) else INTRANSITIVE)
        transitive = verb in TRANSITIVE
        subject = subject or self.subject_of(verb)
        tense = tense or self.rng.choice(TENSES)
        event = "s" in verb.flags.split() and verb.en not in PERCEPTION
        if tense in ("was", "recent", "want", "would") and "s" in verb.flags.split():
            tense = "past"
        if verb.en in STATES and tense in ("must", "near", "can"):
            tense = "present"
        negation, adverb, time = "", None, None
        if tense in NEGATIVE and self.chance(negative):
            negation = self.rng.choice(NEGATIVE[tense].split()).replace("_", " ")
            if event and negation == "no longer":
                negation = "not"
        simple = negation in ("never", "no longer")
        habit = tense == "present" and not negation and verb.en not in PERCEPTION
        if habit and (event or self.chance(0.35)):
            simple = True
            if self.chance(0.5):
                adverb = self.pick(pairs_of(FREQUENCY))
            else:
                time = self.pick(pairs_of(TIMES["habit"]))
        elif tense == "past" and not negation and verb.en not in STATES and self.chance(0.12):
            adverb = self.rng.choice((("already", "déjà"), ("also", "aussi")))
        if time is None and not adverb and self.chance(0.4 * details):
            time = self.time(tense, negation, simple, verb)

        combinations: tuple[Combination, ...] = subject.combinations
        if subject.noun:
            combinations += ((verb.en, subject.noun),)
        rest: list[tuple[str, str]] = []
        clitic = None
        if transitive:
            object = object or self.object(verb, subject, negation != "")
            combinations += object.combinations
            if object.noun:
                combinations += ((verb.en, object.noun),)
            if object.clitic:
                clitic = object
            else:
                rest.append((object.en, with_preposition(verb, object)))
        place = None
        if verb.en == "live" or verb.places and self.chance(0.3 * details):
            place = self.place(verb)
        elif "c" in verb.flags.split() and not negation and tense in ("past", "present", "near", "future"):
            if self.chance(0.15) and not adverb:
                rest.append(self.pick(pairs_of(MANNER)))
        elif verb.en.replace(" ", "_") in TOGETHER and self.chance(0.2):
            rest.append(self.company(subject))
        if place:
            rest.append(place[:2])
            combinations += place[2]
        if time:
            rest.append(time)
        use = Use(verb, tense, negation, adverb, clitic, simple, preceding=clitic)
        return Clause(subject, use, tuple(rest), combinations)

    def subject_of(self, verb: Verb) -> Phrase:
        """Somebody, or now and then an animal or a train if the verb can be said of it."""
        if verb in TRANSITIVE:
            return self.person()
        others = [n for n in verb.nouns if n.kind in ("pet", "wild", "transport")]
        if others and self.chance(0.35):
            noun = self.pick(others)
            owned = noun.kind == "pet" and self.chance(0.5)
            adjective = self.adjective(noun) if self.chance(0.25) else None
            owner = self.pick(PRONOUNS) if owned else None
            return noun_phrase(noun, "my" if owned else "the", self.chance(0.2), adjective, owner)
        return self.person()

    def time(
        self, tense: str, negation: str, simple: bool, verb: Verb
    ) -> tuple[str, str] | None:
        """A time that goes with the tense, if there is one."""
        if tense == "past" and negation in ("", "not") and verb.en not in STATES:
            return self.pick(pairs_of(TIMES["past"]))
        if tense in ("future", "near", "want", "would") and negation in ("", "not"):
            return self.pick(pairs_of(TIMES["future"]))
        if tense == "present" and not simple and verb.en not in PERCEPTION:
            return self.pick(pairs_of(TIMES["now"]))
        if tense == "used":
            return self.pick(pairs_of(TIMES["habit"]))
        return None

    def company(self, subject: Phrase) -> tuple[str, str]:
        """With somebody else than the subject."""
        if self.chance(0.3):
            fitting = [p for p in OBJECT_PRONOUNS if p.person != subject.person]
            pronoun = self.pick([p for p in fitting if subject.person != 3 or p.person != 0])
            return f"with {pronoun.en}", f"avec {STRESSED[pronoun.en]}"
        other = self.somebody(adjectives=0.05)
        return f"with {other.en}", f"avec {other.fr}"


def located(noun: Noun, motion: bool = False) -> tuple[str, str]:
    """At the market, au marché; with `motion` to the market, au marché."""
    en, fr = PLACE_PREPOSITIONS.get(noun.en, ("in", "dans"))
    article = "" if noun.en == "school" else "the "
    there = noun_phrase(noun, "the")
    return f"{'to' if motion else en} {article}{noun.en}", french.contract(fr, there.fr)


_TABLES: dict[str, list[tuple[str, str]]] = {}


def pairs_of(table: str) -> list[tuple[str, str]]:
    """`pairs`, remembered: the tables are read once."""
    if table not in _TABLES:
        _TABLES[table] = pairs(table)
    return _TABLES[table]


def reworded(phrase: Phrase, **changes: str) -> Phrase:
    """`phrase` with some of its fields changed."""
    return replace(phrase, **changes)  # type: ignore[arg-type]
