"""Scenes of the task set: giving, going, where things are, how long, the body, the weather and
the clock.

Every function draws one sentence of its kind from a `Grammar`, as in `simple.py`.
"""

from __future__ import annotations

from . import english, french
from .compound import activity
from .describing import Sentence, be
from .grammar import COUNTS, Grammar, located, pairs_of
from .phrases import (
    INDIRECT,
    PRONOUNS,
    Clause,
    Combination,
    Phrase,
    Text,
    Use,
    join,
    noun_phrase,
    pronoun_for,
    with_preposition,
)
from .situations import ERRANDS_SET, GIVING, GO_TO, NEXT_TO, RAINY, SUNNY, SURFACES
from .verbs import TRANSITIVE, VERBS, Verb
from .words import REGIONS, TIMES, Noun, nouns


def giving(g: Grammar) -> Sentence:
    """Draws a sentence like: She gave a ring to her sister. We will send you a letter."""
    name = g.pick(list(GIVING))
    verb, noun = Verb(name, GIVING[name][0], (), (), ""), g.pick(nouns(GIVING[name][1]))
    subject = g.person()
    tense = g.rng.choice(["present", "past", "past", "future", "near", "can", "want"])
    thing = g.thing(noun, subject, adjectives=0.2, plurals=0.1)
    combinations = (*subject.combinations, *thing.combinations, (name, noun.en))
    if g.chance(0.45) and name != "explain":
        her = thing.en.startswith("her ")  # not "lend her her cap"
        other = g.pick([p for p in g.others(subject) if not (her and p.en == "her")])
        to = Phrase(other.en, INDIRECT[other.en], clitic=True)
        clause = Clause(subject, Use(verb, tense, object=to), (thing.text,))
    else:
        receiver = g.somebody(0.05)
        rest = (thing.text, ("to " + receiver.en, french.contract("à", receiver.fr)))
        clause = Clause(subject, Use(verb, tense), rest)
        combinations += receiver.combinations
    if g.chance(0.2) and subject.person not in (0, 3):
        return Sentence(clause.question(), combinations, "?")
    return Sentence(clause.statement(), combinations)


def going(g: Grammar) -> Sentence:
    """Draws a sentence like: They are going to the market to buy apples. I went to Paris."""
    subject = g.person()
    tense = g.rng.choice(
        ["present", "past", "past", "future", "want", "would", "used", "must", "can"]
    )
    go = Verb("go", "aller", (), (), "")
    combinations = subject.combinations
    rest: list[Text] = []
    if g.chance(0.4):
        en, fr = g.pick(pairs_of(REGIONS))
        rest = [(f"to {en}", fr)]
        if g.chance(0.4):
            company, whom = g.company(subject)
            rest.append(company)
            combinations += whom
    else:
        errands = [
            v
            for v in VERBS.values()
            if v.en in ERRANDS_SET and any(n.kind == "town" or n.en in GO_TO for n in v.places)
        ]
        verb = g.pick(errands)
        noun = g.pick([n for n in verb.places if n.kind == "town" or n.en in GO_TO])
        purpose = g.clause(subject, "near", verb, 0.0, 0.0)
        en, fr = purpose.infinitive()
        rest = [located(noun, motion=True), (en, "pour " + fr)]
        combinations = (*purpose.combinations, (verb.en, noun.en))
    time: Text | None = None
    if g.chance(0.5 if len(rest) == 1 else 0.2):
        time = g.time("habit" if tense == "present" else tense, go)
    clause = Clause(
        subject, Use(go, tense, simple=time is not None), (*rest, *([time] if time else []))
    )
    return Sentence(clause.statement(), combinations)


def where_things_are(g: Grammar) -> Sentence:
    """Draws a sentence like: My keys are on the table. The bakery is next to the church."""
    if g.chance(0.65):
        noun = g.pick(nouns("thing tableware tool text clothes pair pet fruit dish"))
        allowed = ["on", "under", "behind", "near"] if noun.kind == "pet" else list(SURFACES)
        preposition = g.pick(allowed)
        word, kinds = SURFACES[preposition]
        if noun.kind in ("fruit", "dish"):
            preposition, word, kinds = g.pick(
                [("on", "sur", "table shelf"), ("in", "dans", "basket bag box cupboard")]
            )
        support = g.pick([n for n in nouns(kinds) if n is not noun])
    else:
        noun = g.pick(nouns("building town tree bridge car truck bicycle motorcycle taxi"))
        preposition = g.pick(list(NEXT_TO))
        word = NEXT_TO[preposition]
        open_air = " park market lake river square forest" if preposition == "near" else ""
        support = g.pick([n for n in nouns("building station" + open_air) if n is not noun])
    base = noun_phrase(support, "the", adjective=g.adjective(support) if g.chance(0.12) else None)
    place = f"{preposition} {base.en}", french.contract(word, base.fr)
    combinations = (*base.combinations, (preposition, support.en))
    negated = g.chance(0.15)
    if g.chance(0.4):
        said, found, mark = there_is(g, noun, negated)
        return Sentence(join(said, place), combinations + found, mark)
    thing = g.thing(noun, definite=True, adjectives=0.15)
    combinations += thing.combinations
    if g.chance(0.2):
        return Sentence(
            join(("where", "où"), be(thing.person), thing.text), thing.combinations, "?"
        )
    verb = be(thing.person, g.rng.choice(("present", "present", "was")), negated)
    return Sentence(join(thing.text, verb, place), combinations)


def there_is(g: Grammar, noun: Noun, negated: bool) -> tuple[Text, tuple[Combination, ...], str]:
    """Returns "there is a cat", "il y a un chat" with its combinations and final mark."""
    big = noun.kind in ("building", "town", "area")
    plural = noun.kind == "pair" or (not big and g.chance(0.3))
    adjective = g.adjective(noun) if g.chance(0.3) else None
    number = g.pick(COUNTS[:10]) if plural and not negated and g.chance(0.6) else None
    asked = g.chance(0.2) and not negated
    thing = noun_phrase(noun, "some" if plural else "a", plural, adjective, None, number, negated)
    en = (
        thing.en.replace("some ", "any ", 1) if asked and thing.en.startswith("some ") else thing.en
    )
    was = g.chance(0.3)
    verb = be(thing.person, "was" if was else "present")[0]
    if negated:
        en = "no " + en.split(" ", 1)[1]
    avoir = "avait" if was else "a"
    fr = f"il ne y {avoir} pas" if negated else f"il y {avoir}"
    if asked:
        return (f"{verb} there {en}", f"est-ce que {fr} {thing.fr}"), thing.combinations, "?"
    return (f"there {verb} {en}", f"{fr} {thing.fr}"), thing.combinations, "."


def lasting(g: Grammar) -> Sentence:
    """Draws a sentence like: He has been working here for two years. We waited for an hour."""
    subject = g.person(0.5)
    units = [
        ("hour", "heure"),
        ("day", "jour"),
        ("week", "semaine"),
        ("month", "mois"),
        ("year", "an"),
    ]
    verb = VERBS[
        g.pick(
            [
                "work",
                "live",
                "travel",
                "study",
                "learn",
                "teach",
                "play",
                "practice",
                "stay",
                "wait",
                "walk",
                "dance",
                "read",
                "swim",
                "sleep",
            ]
        )
    ]
    hours = verb.en in ("wait", "walk", "dance", "read", "swim", "sleep")
    unit = units[0] if hours else g.pick(units[2 if verb.en in ("learn", "teach", "live") else 1 :])
    number = g.pick([("one", "un"), *COUNTS[: 2 if hours else 8]])
    several = number[0] != "one"
    en = (
        f"{number[0]} {unit[0]}s"
        if several
        else english.article(unit[0]).replace("a hour", "an hour")
    )
    one = "une" if unit[0] in ("hour", "week") else "un"
    fr = f"{number[1]} {french.pluralize(unit[1])}" if several else f"{one} {unit[1]}"
    rest: list[Text] = []
    combinations = subject.combinations
    if verb in TRANSITIVE:
        noun = g.pick(
            [n for n in verb.nouns if n.kind in ("language", "sport", "instrument", "subject")]
        )
        thing = g.thing(noun)
        rest.append((thing.en, with_preposition(verb, thing)))
        combinations += ((verb.en, noun.en),)
    elif verb.en in ("live", "work", "stay"):
        place, where = g.place(verb)
        rest.append(place)
        combinations += where
    if g.chance(0.5) and verb.en != "stay":
        have = "has" if subject.person == 2 else "have"
        _, verb_fr = Clause(subject, Use(verb, "present")).predicate()
        since = f"{have} been {english.inflect(verb.en, 'ing')}", verb_fr
        return Sentence(
            join(subject.text, since, *rest, (f"for {en}", f"depuis {fr}")), combinations
        )
    clause = Clause(
        subject,
        Use(verb, g.rng.choice(("past", "past", "future"))),
        (*rest, (f"for {en}", f"pendant {fr}")),
    )
    return Sentence(clause.statement(), combinations)


def weather(g: Grammar) -> Sentence:
    """Draws a sentence like: It is raining in London. It will be cold tomorrow."""
    kinds = [
        ("rain", "pleuvoir", ""),
        ("snow", "neiger", ""),
        ("cold", "faire", "froid"),
        ("hot", "faire", "chaud"),
        ("sunny", "faire", "beau"),
        ("windy", "faire", "du vent"),
        ("cool", "faire", "frais"),
    ]
    name, verb, rest = g.pick(kinds)
    place_en, place_fr = g.pick(pairs_of(REGIONS))
    place = f"in {place_en}", place_fr
    form = g.rng.choice(["present", "past", "future", "if", "if", "because"])

    def it(tense: str) -> Text:
        fr = f"il {french.conjugate(verb, tense, 2)} {rest}".strip()
        if rest:
            return {"present": "it is", "future": "it will be", "imperfect": "it was"}[
                tense
            ] + " " + name, fr
        if tense == "imperfect":
            return f"it was {english.inflect(name, 'ing')}", fr
        return (
            f"it will {name}" if tense == "future" else f"it is {english.inflect(name, 'ing')}"
        ), fr

    if form == "present":
        return Sentence(join(it("present"), place, g.pick([("", ""), *pairs_of(TIMES["now"])])), ())
    if form == "future":
        when = g.pick(pairs_of(TIMES["future"]) + pairs_of(TIMES["future far"])[:1])
        return Sentence(join(it("future"), place, when), ())
    if form == "past":
        when = g.pick([t for t in pairs_of(TIMES["past"]) if "hour" not in t[0]])
        past = it("imperfect") if rest else (f"it {name}ed", f"il a {french.participle(verb)}")
        return Sentence(join(past, place, when), ())
    sunny = name in ("sunny", "hot")
    activities = SUNNY if sunny else RAINY
    subject = g.person(0.5)
    chosen = g.pick(activities.split())
    clause, combinations = activity(g, chosen, subject, "future" if form == "if" else "past")
    said = clause.statement()
    if chosen == "stay":
        said = join(said, ("at home", "à la maison"))
    if form == "if":
        when = g.pick(
            [("tomorrow", "demain"), ("this weekend", "ce week-end"), ("tonight", "ce soir")]
        )
        en, fr = it("present")
        en = en if rest else f"it {name}s"
        return Sentence(join((f"if {en} {when[0]},", f"si {fr} {when[1]},"), said), combinations)
    en, fr = it("imperfect")
    return Sentence(join(said, (f"because {en}", f"parce que {fr}")), combinations)


def clock(g: Grammar) -> Sentence:
    """Draws a sentence like: The train leaves at eight o'clock. She is twelve years old."""
    number = g.pick(COUNTS[:10])
    hour = f"at {number[0]} o'clock", f"à {number[1]} heures"
    form = g.rng.choice(["event", "transport", "transport", "age", "person", "person"])
    if form == "event":
        noun = g.pick(nouns("event exam lesson movie show"))
        verb = Verb(*g.pick([("begin", "commencer"), ("finish", "finir")]), (), (), "s")
        tense, when = g.rng.choice(
            (
                ("present", ("", "")),
                ("future", ("tomorrow", "demain")),
                ("past", ("yesterday", "hier")),
            )
        )
        clause = Clause(
            noun_phrase(noun, g.rng.choice(("the", "this"))), Use(verb, tense), (hour, when)
        )
        return Sentence(clause.statement(), ((verb.en, noun.en),))
    if form == "transport":
        noun = g.pick(nouns("train bus plane boat taxi"))
        verb = VERBS[g.pick(["leave", "arrive"])]
        en, fr = g.pick(pairs_of(REGIONS))
        rest = [(f"in {en}", fr)] if verb.en == "arrive" else []
        clause = Clause(
            noun_phrase(noun, g.rng.choice(("the", "this"))),
            Use(verb, g.rng.choice(("past", "future", "near", "must"))),
            (*rest, hour),
        )
        return Sentence(clause.statement(), ((verb.en, noun.en),))
    subject = g.person(0.3)
    if form == "age":
        age = g.pick(COUNTS[3:])
        if g.chance(0.15) and subject.person not in (0, 3):
            has = french.conjugate("avoir", "present", subject.person)
            return Sentence(
                (
                    f"how old {be(subject.person)[0]} {subject.en}",
                    f"quel âge est-ce que {subject.fr} {has}",
                ),
                subject.combinations,
                "?",
            )
        tense = g.rng.choice(("present", "present", "was"))
        has = french.conjugate(
            "avoir", "imperfect" if tense == "was" else "present", subject.person
        )
        verb_text = be(subject.person, tense)[0], has
        return Sentence(
            join(subject.text, verb_text, (f"{age[0]} years old", f"{age[1]} ans")),
            subject.combinations,
        )
    verb = VERBS[
        g.pick(["wake up", "get up", "go to bed", "leave", "come back", "eat", "arrive", "go out"])
    ]
    tense = g.rng.choice(["present", "past", "future", "near", "used", "must"])
    combinations = subject.combinations + (((verb.en, subject.noun),) if subject.noun else ())
    return Sentence(
        Clause(subject, Use(verb, tense, simple=True), (hour,)).statement(), combinations
    )


def body(g: Grammar) -> Sentence:
    """Draws a sentence like: My back hurts. He is washing his hands."""
    subject = g.person(0.7)
    if g.chance(0.5) and not subject.plural:
        part = g.pick(nouns("ache tooth"))
        plural = part.kind == "body"
        relation = "my" if subject in PRONOUNS else "of"
        owned = noun_phrase(part, relation, plural, owner=subject)
        when = g.pick(
            [
                ("", ""),
                ("today", "aujourd'hui"),
                ("this morning", "ce matin"),
                ("tonight", "ce soir"),
            ]
        )
        has = french.conjugate("avoir", "present", subject.person)
        ache = french.contract("à", noun_phrase(part, "the", plural).fr)
        en = f"{owned.en} {'hurt' if plural else 'hurts'}"
        return Sentence(join((en, f"{subject.fr} {has} mal {ache}"), when), subject.combinations)
    part = g.pick(nouns("hand face tooth foot"))
    verb = Verb(
        *(("brush", "se brosser") if part.en == "tooth" else ("wash", "se laver")), (), (), ""
    )
    if part.en == "face" and subject.plural:
        part = nouns("hand")[0]
    plural = part.en != "face"
    tense = g.rng.choice(["present", "future", "near", "must", "used", "was", "want"])
    washed = (
        noun_phrase(part, "my", plural, owner=pronoun_for(subject)).en,
        noun_phrase(part, "the", plural).fr,
    )
    when = g.pick(
        [
            ("", ""),
            ("before dinner", "avant le dîner"),
            ("in the bathroom", "dans la salle de bain"),
            ("before eating", "avant de manger"),
            ("after breakfast", "après le petit déjeuner"),
        ]
    )
    return Sentence(
        Clause(subject, Use(verb, tense), (washed, when)).statement(), subject.combinations
    )
