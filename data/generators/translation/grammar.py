"""Chooses what to say: words that make sense together, put into noun phrases and clauses.

`Grammar` holds the random generator and how often each word was used, so that rare words get
their turn.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from . import french
from .phrases import (
    OBJECT_PRONOUNS,
    PRONOUNS,
    STRESSED,
    Clause,
    Combination,
    Phrase,
    Text,
    Use,
    noun_phrase,
    pronoun_for,
    with_preposition,
)
from .situations import COMMON, NEGATIVE, NOT_TOGETHER, OWNED, TENSES
from .verbs import (
    ACCIDENTS,
    BRIEF,
    IN_TOWN,
    INTRANSITIVE,
    LONG,
    ONCE,
    PERCEPTION,
    STATES,
    TOGETHER,
    TRANSITIVE,
    Verb,
    suitable,
)
from .words import (
    ADJECTIVES,
    FREQUENCY,
    MANNER,
    NAMES,
    NOUNS,
    NUMBERS,
    PLACE_TABLE,
    REGIONS,
    TIMES,
    Adjective,
    Noun,
    entries,
    names,
    nouns,
    pairs,
)

T = TypeVar("T")

PLACE_PREPOSITIONS: dict[str, tuple[str, ...]] = {
    noun: tuple(prepositions.split())
    for prepositions, there in PLACE_TABLE.items()
    for noun in names(there)
}

PEOPLE = [
    Phrase(name, name, gender) for name, gender in (entry.split() for entry in entries(NAMES))
]

COUNTS: list[Text] = [(en, fr) for en, fr in (entry.split() for entry in entries(NUMBERS))]

ADJECTIVES_OF: dict[str, list[Adjective]] = {
    noun.en: [adjective for adjective in ADJECTIVES if noun in adjective.nouns] for noun in NOUNS
}


ASKED = [p for p in PRONOUNS if p.person not in (0, 3)]  # one seldom asks "Do we have a cat?"


class Grammar:
    """A source of phrases and clauses; the same generator state always gives the same ones."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.used: Counter[str] = Counter()

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def pick(self, items: Sequence[T]) -> T:
        """Returns an item, the least used of six drawn at random."""
        drawn = [self.rng.choice(items) for _ in range(6)]
        best = min(drawn, key=lambda item: self.used[key(item)])
        self.used[key(best)] += 1
        return best

    def adjective(self, noun: Noun, predicate: bool = False, verb: str = "") -> Adjective | None:
        """Returns an adjective that suits `noun`; with `predicate` it may need "to be"."""
        fitting = [
            a
            for a in ADJECTIVES_OF.get(noun.en, [])
            if (predicate or a.position != "p") and (verb, a.en) not in NOT_TOGETHER
        ]
        return self.pick(fitting) if fitting else None

    def person(self, pronouns: float = 0.45) -> Phrase:
        """Returns somebody as a subject: a pronoun, a name, a relative, or the baker."""
        if self.chance(pronouns):
            return self.pick(PRONOUNS)
        return self.pick(PEOPLE) if self.chance(0.3) else self.somebody()

    def owner(self, noun: Noun) -> Phrase:
        """Returns a pronoun for the owner of `noun`: not "their wife", not "her wife"."""
        fitting = {"husband": PRONOUNS[2:3] + PRONOUNS[4:5], "wife": PRONOUNS[:2]}
        return self.pick(fitting.get(noun.en, PRONOUNS))

    def relative(self, noun: Noun, plural: bool = False, owner: Phrase | None = None) -> Phrase:
        """Returns somebody's relative: her brother, Paul's aunt."""
        if not owner and self.chance(0.2) and noun.en not in ("husband", "wife"):
            return noun_phrase(noun, "of", owner=self.pick(PEOPLE))
        adjective = self.adjective(noun) if self.chance(0.08) else None
        return noun_phrase(noun, "my", plural, adjective, owner or self.owner(noun))

    def somebody(self, adjectives: float = 0.12, among: str = "person") -> Phrase:
        """Returns a noun phrase for a person: my sister, the old farmer, Paul's uncle."""
        noun = self.pick(nouns(among))
        if noun.kind == "family":
            several = ["brother", "sister", "son", "daughter", "cousin", "nephew", "niece"]
            return self.relative(noun, noun.en in several and self.chance(0.2))
        adjective = self.adjective(noun) if self.chance(adjectives) else None
        plural = self.chance(0.3 if noun.kind == "people" else 0.1)
        if noun.en in OWNED and self.chance(0.5):
            return noun_phrase(noun, "my", plural, adjective, self.owner(noun))
        return noun_phrase(noun, self.rng.choice(("the", "the", "the", "this")), plural, adjective)

    def thing(
        self,
        noun: Noun,
        owner: Phrase | None = None,
        negated: bool = False,
        definite: bool = False,
        adjectives: float = 0.32,
        plurals: float = 0.2,
        verb: str = "",
    ) -> Phrase:
        """Returns `noun` as the object of a verb: a red apple, some bread, two letters, this house.

        `adjectives` and `plurals` are probabilities; `definite` leaves out a, some and numbers.
        """
        owner = pronoun_for(owner) if owner else self.owner(noun)
        if noun.kind == "family":
            mine = owner if noun.en not in ("husband", "wife") and self.chance(0.7) else None
            return self.relative(noun, owner=mine)
        if noun.kind == "unique" or (noun.kind == "instrument" and verb in ("", "practice")):
            return noun_phrase(noun, "the")
        if noun.kind in ("language", "subject", "sport"):
            return noun_phrase(noun, "bare")
        if noun.kind == "meal" and noun.en != "meal":
            return noun_phrase(noun, "bare")
        person = noun.kind in ("people", "job")
        adjectives *= 0.4 if person else 1.0
        adjective = self.adjective(noun, verb=verb) if self.chance(adjectives) else None
        kind = self.rng.choice(
            ("the", "the", "this", "my", "my") + (() if definite else ("a",) * 5)
        )
        if noun.mass:
            kind = (
                "the"
                if kind == "my" and noun.en not in ("coffee", "tea", "soup", "salad")
                else kind
            )
            kind = "some" if kind == "a" or (self.chance(0.4) and not definite) else kind
            return noun_phrase(noun, kind, False, adjective, owner, negated=negated)
        if kind == "a" and negated and person:
            kind = "the"
        if kind == "my" and noun.kind in COMMON and noun.en not in OWNED:
            kind = "the"
        large = noun.kind in (
            "building",
            "town",
            "area",
            "nature",
            "film",
            "event",
            "vehicle",
            "furniture",
            "transport",
        )
        plurals *= 0.3 if large or person else 2.5 if noun.kind == "fruit" else 1.0
        plural = self.chance(0.9 if noun.kind == "pair" else plurals)
        if kind == "a" and plural:
            if self.chance(0.35) and not negated and not large and not person:
                return noun_phrase(noun, "a", True, adjective, number=self.pick(COUNTS[:6]))
            kind = "some"
        return noun_phrase(noun, kind, plural, adjective, owner, negated=negated)

    def place(self, verb: Verb) -> tuple[Text, tuple[Combination, ...]]:
        """Returns a place with its combination: in the kitchen, at school, in Paris."""
        if (verb.en in IN_TOWN and self.chance(0.4)) or not verb.places:
            en, fr = self.pick(pairs_of(REGIONS))
            return (f"in {en}", fr), ()
        noun = self.pick(verb.places)
        return located(noun), ((verb.en, noun.en),)

    def others(self, subject: Phrase) -> list[Phrase]:
        """Returns the object pronouns that mean somebody other than `subject`."""
        same = {0: (0, 3), 3: (0, 3), 4: (4,)}.get(subject.person, ())
        return [pronoun for pronoun in OBJECT_PRONOUNS if pronoun.person not in same]

    def object(self, verb: Verb, subject: Phrase, negation: str) -> Phrase:
        """Returns something that `subject` can eat, read, open ..."""
        flags = verb.flags.split()
        preposition = verb.fr.split(" ")[-1] in ("à", "de")
        if "p" in flags and self.chance(0.15):
            pronoun = self.pick(self.others(subject))
            if preposition:
                return Phrase(pronoun.en, STRESSED[pronoun.en], pronoun.gender, pronoun.person)
            return pronoun
        noun = self.pick(verb.nouns)
        if verb.en == "speak":
            return Phrase(noun.en, noun.fr, noun=noun.en)
        if "g" in flags and noun.kind != "unique" and (self.chance(0.6) or noun.mass):
            countable = not noun.mass and noun.kind not in ("language", "subject", "sport")
            return noun_phrase(noun, "bare", plural=countable)
        definite = (
            bool({"d", "g"} & set(flags)) or verb.fr.endswith(" de") or negation == "no longer"
        )
        negated = negation != "" and not preposition
        return self.thing(noun, subject, negated, definite, verb=verb.en)

    def clause(
        self,
        subject: Phrase | None = None,
        tense: str = "",
        verb: Verb | None = None,
        negative: float = 0.17,
        details: float = 1.0,
        thing: Phrase | None = None,
    ) -> Clause:
        """Returns a clause; what is not given is chosen to fit, `details` scales place and time.

        The tense is changed if it does not suit the verb: nobody wants to lose a key.
        """
        verb = verb or self.pick(TRANSITIVE if self.chance(0.7) else INTRANSITIVE)
        subject = subject or self.subject_of(verb)
        tense = suitable(tense or self.rng.choice(TENSES), verb)
        negation = self.negation(tense, verb) if self.chance(negative) else ""
        simple = negation in ("never", "no longer")
        adverb: Text | None = None
        time: Text | None = None
        event = "s" in verb.flags.split() and verb.en not in PERCEPTION
        habitual = tense == "present" and not negation and verb.en not in PERCEPTION | ONCE
        if habitual and (event or self.chance(0.35)):
            simple = True
            if self.chance(0.5):
                adverb = self.pick(pairs_of(FREQUENCY))
            else:
                time = self.time("habit", verb)
        elif tense == "past" and not negation and verb.en not in STATES and self.chance(0.1):
            adverb = self.rng.choice((("already", "déjà"), ("also", "aussi")))
        elif self.chance(0.45 * details) and not simple:
            time = self.time(tense, verb) if negation in ("", "not") else None

        combinations = subject.combinations
        if subject.noun:
            combinations += ((verb.en, subject.noun),)
        rest: list[Text] = []
        clitic = None
        if verb in TRANSITIVE:
            thing = thing or self.object(verb, subject, negation)
            combinations += thing.combinations + (((verb.en, thing.noun),) if thing.noun else ())
            if thing.clitic:
                clitic = thing
            else:
                rest.append((thing.en, with_preposition(verb, thing)))
        if verb.en == "live" or (verb.places and self.chance(0.3 * details)):
            place, where = self.place(verb)
            rest.append(place)
            combinations += where
        elif (
            "c" in verb.flags.split()
            and not negation
            and not adverb
            and self.chance(0.12 * details)
        ):
            if tense in ("past", "present", "near", "future"):
                rest.append(self.pick(pairs_of(MANNER)))
        elif verb.en in TOGETHER and subject.en != "who" and self.chance(0.2 * details):
            company, whom = self.company(subject)
            rest.append(company)
            combinations += whom
        rest += [time] if time else []
        use = Use(verb, tense, negation, adverb, clitic, simple, preceding=clitic)
        return Clause(subject, use, tuple(rest), combinations)

    def negation(self, tense: str, verb: Verb) -> str:
        """Returns not, never, no longer or yet, as the tense and the verb allow, or ""."""
        if tense not in NEGATIVE:
            return ""
        negation = self.rng.choice(NEGATIVE[tense].split()).replace("_", " ")
        if verb.en in ONCE | ACCIDENTS and negation == "no longer":
            return "not"
        return negation

    def subject_of(self, verb: Verb) -> Phrase:
        """Returns somebody, or now and then an animal or a train if the verb can be said of it."""
        others = [n for n in verb.nouns if n.kind in ("pet", "wild", "transport", "infant")]
        if verb in TRANSITIVE or not others or self.chance(0.65):
            return self.person()
        noun = self.pick(others)
        adjective = self.adjective(noun) if self.chance(0.25) else None
        owner = self.owner(noun) if noun.kind == "pet" and self.chance(0.5) else None
        return noun_phrase(noun, "my" if owner else "the", self.chance(0.15), adjective, owner)

    def time(self, tense: str, verb: Verb) -> Text | None:
        """Returns a time that goes with the tense and the verb, if there is one."""
        table = {
            "past": "past",
            "future": "future",
            "near": "future",
            "want": "future",
            "would": "future",
            "present": "now",
            "used": "habit",
            "habit": "habit",
        }.get(tense)
        if table is None or (verb.en in PERCEPTION | {"live"} and table not in ("habit", "past")):
            return None
        if (table == "past" and verb.en in STATES | {"remember"}) or (
            verb.en in BRIEF and table == "future"
        ):
            return None
        if verb.en in LONG and table != "now" and self.chance(0.6):
            table += " far"
        return self.pick(pairs_of(TIMES[table]))

    def company(self, subject: Phrase) -> tuple[Text, tuple[Combination, ...]]:
        """Returns "with" and somebody other than the subject."""
        if self.chance(0.3):
            pronoun = self.pick(self.others(subject))
            return (f"with {pronoun.en}", f"avec {STRESSED[pronoun.en]}"), ()
        other = self.somebody(adjectives=0.05)
        return (f"with {other.en}", f"avec {other.fr}"), other.combinations


def key(item: object) -> str:
    """Returns the key by which `Grammar.pick` counts an item; a noun's is never an adjective's."""
    return f"{type(item).__name__} {getattr(item, 'en', item)}"


def located(noun: Noun, motion: bool = False) -> Text:
    """Returns "at the market", "au marché"; with `motion` "to the market", "au marché"."""
    if noun.en == "city":
        return ("to the city" if motion else "in the city"), "en ville"
    en, fr = PLACE_PREPOSITIONS.get(noun.en, ("in", "dans"))
    if motion:
        en, fr = "to", "à"
    article = "" if noun.en == "school" else "the "
    return f"{en} {article}{noun.en}", french.contract(fr, noun_phrase(noun, "the").fr)


_TABLES: dict[str, list[Text]] = {}


def pairs_of(table: str) -> list[Text]:
    """Returns `pairs` of a table, which is read only once."""
    if table not in _TABLES:
        _TABLES[table] = pairs(table)
    return _TABLES[table]
