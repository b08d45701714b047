"""Sentences that describe: being, feeling, comparing, presenting, professions.

Every function draws one sentence of its kind from a `Grammar`, as in `simple.py`.
"""

from __future__ import annotations

from typing import NamedTuple

from . import english, french
from .grammar import ADJECTIVES_OF, PEOPLE, Grammar, pairs_of
from .phrases import PRONOUNS, Clause, Combination, Phrase, Text, Use, join, noun_phrase
from .situations import DESCRIBED, EXCLAIMED, STATE_TABLE, UNGRADED, WELCOME
from .verbs import Verb
from .words import ADJECTIVES, TIMES, Adjective, nouns


class Sentence(NamedTuple):
    text: Text
    combinations: tuple[Combination, ...]
    mark: str = "."


STATE_NAMES = dict(pairs_of(STATE_TABLE))

MOODS = {
    a.en: a
    for a in ADJECTIVES
    if a.en
    in [
        "happy",
        "sad",
        "tired",
        "sick",
        "busy",
        "worried",
        "furious",
        "proud",
        "nervous",
        "jealous",
        "ready",
        "alone",
    ]
}


def be(person: int, tense: str = "present", negation: bool = False) -> Text:
    """Returns "to be" in both languages; `tense` is present, was or future."""
    en = {"present": english.BE_PRESENT, "was": english.BE_PAST}.get(tense, ("will be",) * 6)[
        person
    ]
    fr = french.conjugate("être", {"was": "imperfect"}.get(tense, tense), person)
    if negation:
        en = "will not be" if tense == "future" else en + " not"
        fr = f"ne {fr} pas"
    return en, fr


def agreeing(adjective: Adjective, subject: Phrase) -> Text:
    """The adjective after "to be"."""
    return adjective.en, french.agree(adjective.fr, subject.gender, subject.plural)


def state(
    subject: Phrase,
    name: str,
    tense: str = "present",
    negation: bool = False,
    degree: Text = ("", ""),
) -> Text:
    """Returns a state of STATE_NAMES or MOODS without the subject: "is hungry", "a faim"."""
    if name in MOODS:
        mood = agreeing(MOODS[name], subject)
        return join(
            be(subject.person, tense, negation), degree if name not in UNGRADED else ("", ""), mood
        )
    en, _ = be(subject.person, tense, negation)
    verb, _, rest = STATE_NAMES[name].partition(" ")
    fr = french.conjugate(verb, {"was": "imperfect"}.get(tense, tense), subject.person)
    if negation:
        fr, rest = f"ne {fr} pas", rest.replace("de la", "de")
    return f"{en} {name}", f"{fr} {rest}"


def quality(g: Grammar) -> Sentence:
    """Draws a sentence like: The soup is too hot. Were her shoes dirty?"""
    noun = g.pick([n for n in nouns(DESCRIBED) if ADJECTIVES_OF[n.en]])
    adjective = g.adjective(noun, predicate=True)
    assert adjective is not None
    subject = g.thing(noun, definite=True, adjectives=0.0)
    combinations = (*subject.combinations, (adjective.en, noun.en))
    described = agreeing(adjective, subject)
    if g.chance(0.15):
        seem = (
            english.inflect("seem", "present", subject.person),
            french.conjugate("sembler", "present", subject.person),
        )
        return Sentence(join(subject.text, seem, described), combinations)
    grades = [("", ""), ("very", "très"), ("too", "trop")]
    grades = grades[:2] if adjective.en in WELCOME else grades
    degree = grades[0] if adjective.en in UNGRADED else g.rng.choice(grades)
    tense = g.rng.choice(["present", "present", "present", "was"])
    verb = be(subject.person, tense)
    if g.chance(0.2):
        en, _ = join(verb, subject.text, degree, described)
        _, fr = join(("", "est-ce que"), subject.text, verb, degree, described)
        return Sentence((en, fr), combinations, "?")
    verb = be(subject.person, tense, negation=not degree[0] and g.chance(0.35))
    return Sentence(join(subject.text, verb, degree, described), combinations)


def feeling(g: Grammar) -> Sentence:
    """Draws a sentence like: She was very tired last night. Are you hungry?"""
    subject = g.person(0.6)
    if g.chance(0.15):
        animal = g.pick(nouns("animal"))
        en, fr = noun_phrase(animal, "bare", plural=True).text
        fear = f"afraid of {en}", "peur " + french.contract("de", fr)
        is_not = g.chance(0.3)
        has = french.conjugate("avoir", "present", subject.person)
        verb = be(subject.person, negation=is_not)[0], f"ne {has} pas" if is_not else has
        return Sentence(
            join(subject.text, verb, fear), (*subject.combinations, ("afraid", animal.en))
        )
    name = g.pick([*STATE_NAMES, *MOODS])
    degree = g.rng.choice((("", ""), ("very", "très"), ("too", "trop"), ("a little", "un peu")))
    degree = ("", "") if degree[0] == "a little" and name in ("happy", "proud", "ready") else degree
    tense = g.rng.choice(("present", "present", "was"))
    if g.chance(0.25) and subject.person not in (0, 3):
        en, fr = state(subject, name, tense, degree=degree)
        is_or_was, _, rest = en.partition(" ")
        return Sentence(
            (f"{is_or_was} {subject.en} {rest}", f"est-ce que {subject.fr} {fr}"),
            subject.combinations,
            "?",
        )
    negation = g.chance(0.2)
    how = state(subject, name, tense, negation, ("", "") if negation else degree)
    when = (
        g.pick([t for t in pairs_of(TIMES["past"]) if "ago" not in t[0]])
        if tense == "was" and g.chance(0.5)
        else ("", "")
    )
    return Sentence(join(subject.text, how, when), subject.combinations)


def comparing(g: Grammar) -> Sentence:
    """Draws a sentence like: My sister is taller than your brother. This truck is less expensive
    than the car.
    """
    kind = g.pick(
        [
            "family",
            "job",
            "pet",
            "wild",
            "vehicle",
            "clothes",
            "building",
            "text",
            "furniture",
            "device",
            "fruit",
            "film",
            "area",
            "nature",
            "matter",
        ]
    )
    graded = {n: [a for a in ADJECTIVES_OF[n.en] if a.en not in UNGRADED] for n in nouns(kind)}
    first = g.pick([n for n in graded if graded[n]])
    adjective = g.pick(graded[first])
    seconds = [n for n in graded if n is not first and adjective in graded[n]]
    if not seconds:
        return quality(g)
    second = g.pick(seconds)
    word = "my" if kind in ("family", "pet", "vehicle") else g.rng.choice(("the", "this"))
    one = noun_phrase(first, word, owner=g.owner(first))
    other = noun_phrase(second, "the" if word == "this" else word, owner=g.owner(second))
    agreed = french.agree(adjective.fr, first.gender, False)
    more = "meilleure" if agreed == "bonne" else "meilleur" if agreed == "bon" else "plus " + agreed
    how = g.rng.choice(
        (
            (f"{english.comparative(adjective.en)} than", more),
            (f"as {adjective.en} as", "aussi " + agreed),
            (f"less {adjective.en} than", "moins " + agreed),
        )
    )
    verb = be(2, g.rng.choice(("present", "present", "was")))
    said = join(one.text, verb, how, (other.en, "que " + other.fr))
    return Sentence(said, ((adjective.en, first.en), (adjective.en, second.en)))


def superlative(g: Grammar) -> Sentence:
    """Draws a sentence like: It is the oldest bridge in the city. It is the most interesting novel
    in the library.
    """
    noun = g.pick(
        [
            n
            for n in nouns("building area nature text plant town film")
            if n.en not in ("city", "village")
        ]
    )
    graded = [a for a in ADJECTIVES_OF[noun.en] if a.en not in UNGRADED]
    if not graded:
        return quality(g)
    adjective = g.pick(graded)
    before = noun.fr if adjective.position == "b" else ""
    agreed = french.agree(adjective.fr, noun.gender, False, before)
    article = "la" if noun.gender == "f" else "le"
    best = "meilleure" if agreed == "bonne" else "meilleur" if agreed == "bon" else "plus " + agreed
    most = (
        f"{article} {best} {noun.fr}"
        if adjective.position == "b"
        else f"{article} {noun.fr} {article} {best}"
    )
    places = [
        ("in the city", "de la ville"),
        ("in the village", "du village"),
        ("in the country", "du pays"),
        ("in the world", "du monde"),
    ]
    where = (
        ("in the library", "de la bibliothèque")
        if noun.kind == "text"
        else ("", "")
        if noun.kind == "film"
        else g.pick(places)
    )
    start = be(2, g.rng.choice(("present", "present", "was")))
    return Sentence(
        join(
            ("it", "ce"),
            start,
            (f"the {english.comparative(adjective.en, True)} {noun.en}", most),
            where,
        ),
        ((adjective.en, noun.en),),
    )


def presenting(g: Grammar) -> Sentence:
    """Draws a sentence like: This is my sister. It is a heavy suitcase. Is it your umbrella?"""
    noun = g.pick(
        [
            n
            for n in nouns(
                "goods text plant building area film art idea animal family friend neighbor"
            )
            if n.kind != "pair"
        ]
    )
    person = noun.kind in ("family", "people")
    mine = person or (
        g.chance(0.45)
        and noun.kind in ("clothes", "thing", "vehicle", "text", "pet", "device", "container")
    )
    adjective = g.adjective(noun) if g.chance(0.2 if person else 0.7) else None
    if adjective and adjective.en in EXCLAIMED and g.chance(0.7):
        thing = noun_phrase(noun, "a", False, adjective)
        quel = french.agree("quel", noun.gender, False)
        return Sentence(
            (f"what {thing.en}", f"{quel} {thing.fr.split(' ', 1)[1]}"), thing.combinations, "!"
        )
    thing = noun_phrase(noun, "my" if mine else "a", False, adjective, g.owner(noun))
    start = "this" if person else "it"
    if g.chance(0.25):
        return Sentence(
            (f"is {start} {thing.en}", f"est-ce que ce est {thing.fr}"), thing.combinations, "?"
        )
    verb = be(2, negation=g.chance(0.25))
    return Sentence(join((start, "ce"), verb, thing.text), thing.combinations)


def profession(g: Grammar) -> Sentence:
    """Draws a sentence like: My mother is a dentist. She became an engineer."""
    kin = g.pick([n for n in nouns("family") if n.en not in ("grandmother", "grandfather")])
    who = g.pick([*PRONOUNS[1:3], *PEOPLE]) if g.chance(0.5) else g.relative(kin)
    jobs = [
        n
        for n in nouns("job")
        if n.en not in ({"actor", "waiter"} if who.gender == "f" else {"actress"})
    ]
    noun = g.pick(jobs)
    name = noun.feminine if who.gender == "f" else noun.masculine
    become = Verb("become", "devenir", (), (), "")
    job = english.article(noun.en), name
    combinations = (*who.combinations, ("become", noun.en))
    tense = g.rng.choice(("is", "is", "is", "was", "past", "want", "would", "future", "near"))
    if tense in ("is", "was"):
        verb = be(2, "present" if tense == "is" else "was", tense == "is" and g.chance(0.3))
        return Sentence(join(who.text, verb, job), combinations)
    return Sentence(Clause(who, Use(become, tense), (job,)).statement(), combinations)
