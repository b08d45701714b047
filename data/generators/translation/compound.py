"""Sentences of two clauses (because, when, if, that, who, but) and scenes: giving, going,
weather, clock.

Every function draws one sentence of its kind from a `Grammar`, as in `simple.py`.
"""

from __future__ import annotations

from . import english, french
from .describing import MOODS, Sentence, agreeing, be, state
from .grammar import PEOPLE, Grammar, pairs_of
from .phrases import (
    PRONOUNS,
    Clause,
    Combination,
    Phrase,
    Use,
    join,
    noun_phrase,
    pronoun_for,
    with_preposition,
)
from .simple import plain
from .situations import (
    BEFORE,
    COSTLY,
    ENDINGS,
    EVENTS,
    FOUND,
    HARDLY_WANTED,
    NEXT,
    OPINIONS,
    REASONS,
    SAYING,
)
from .verbs import (
    ACCIDENTS,
    INTRANSITIVE,
    STATES,
    TRANSITIVE,
    UNPLANNED,
    VERBS,
    WITH_OBJECT,
    suitable,
)
from .words import TIMES, names, nouns


def activity(
    g: Grammar, named: str, subject: Phrase, tense: str
) -> tuple[Clause, tuple[Combination, ...]]:
    """A short clause from a name such as "go_to_bed" or "drink:water"."""
    verb_name, _, noun_name = named.partition(":")
    verb = (WITH_OBJECT if noun_name else VERBS)[verb_name.replace("_", " ")]
    use = Use(verb, suitable(tense, verb), simple=True)
    if not noun_name:
        return Clause(subject, use), subject.combinations
    noun = g.pick(nouns(noun_name))
    thing = g.thing(noun, subject, adjectives=0.2, plurals=0.0, verb=verb.en)
    if noun.kind in ("people", "job") and noun.en != "friend":
        thing = noun_phrase(noun, "the")
    clause = Clause(subject, use, (thing.text,))
    return clause, (*subject.combinations, *thing.combinations, (verb.en, noun.en))


def because(g: Grammar) -> Sentence:
    """Draws a sentence like: He drank some water because he was thirsty."""
    name = g.pick(list(REASONS))
    subject = g.person(0.3)
    tense = g.rng.choice(["past", "past", "near", "want"])
    clause, combinations = activity(g, g.pick(REASONS[name].split()), subject, tense)
    other = pronoun_for(subject)
    how = state(other, name, "was" if clause.use.tense == "past" else "present")
    reason = join(("because", "parce que"), other.text, how)
    return Sentence(join(clause.statement(), reason), combinations)


def if_when(g: Grammar) -> Sentence:
    """Draws a sentence like: If you are hungry, you can eat an apple. When she is sad, she listens
    to this song.
    """
    name = g.pick(
        [n for n in REASONS if n not in ("busy", "late", "furious", "jealous", "nervous")]
    )
    activities = [
        a
        for a in REASONS[name].split()
        if a.split(":")[0] not in ("miss", "forget", "cancel", "fall_asleep")
    ]
    subject = g.person(0.55)
    word, tense = g.rng.choice(
        ((("if", "si"), "can"), (("if", "si"), "must"), (("when", "quand"), "present"))
    )
    clause, combinations = activity(g, g.pick(activities), pronoun_for(subject), tense)
    en, fr = join(word, subject.text, state(subject, name))
    return Sentence(
        join((en + ",", fr + ","), clause.statement()), combinations + subject.combinations
    )


def reported(g: Grammar) -> Sentence:
    """Draws a sentence like: I think that she will sell her car."""
    subject = g.person(0.6)
    verb = g.pick(list(SAYING))
    other = g.person(0.5)
    if other.en == subject.en or subject.person == 2 == other.person:
        other = pronoun_for(subject)
    tense = g.rng.choice(
        ("future", "near")
        if verb == "hope"
        else ("future", "past", "near", "present", "can", "want")
    )
    sad = ACCIDENTS | UNPLANNED | STATES | {"cancel", "refuse"}  # nobody hopes these
    verbs = [*TRANSITIVE, *INTRANSITIVE]
    about = g.pick([v for v in verbs if verb != "hope" or v.en not in sad])
    clause = g.clause(other, tense, about, 0.15, 0.6)
    main = (
        english.inflect(verb, "present", subject.person),
        french.conjugate(SAYING[verb], "present", subject.person),
    )
    said = join(subject.text, main, ("that", "que"), clause.statement())
    return Sentence(said, subject.combinations + clause.combinations)


def while_when(g: Grammar) -> Sentence:
    """Draws a sentence like: I was reading a novel when the phone rang. She was sleeping when Paul
    came back.
    """
    verb = g.pick(
        [
            v
            for v in VERBS.values()
            if "s" not in v.flags.split() and v.en not in ACCIDENTS | {"live", "need"}
        ]
    )
    clause = g.clause(g.person(0.5), "was", verb, 0.0, 0.4)
    if g.chance(0.3):
        return Sentence(
            join(clause.statement(), ("when", "quand"), g.pick(EVENTS)), clause.combinations
        )
    other = (
        g.pick(PEOPLE) if g.chance(0.4) else g.somebody(0.05, "family friend neighbor guest doctor")
    )
    if other.en == clause.subject.en:
        other = noun_phrase(nouns("child")[0], "the", plural=True)
    event = VERBS[g.pick(["arrive", "leave", "come back", "fall"])]
    then = Clause(other, Use(event, "past"))
    combinations = clause.combinations + other.combinations
    combinations += ((event.en, other.noun),) if other.noun else ()
    return Sentence(join(clause.statement(), ("when", "quand"), then.statement()), combinations)


def who_relative(g: Grammar) -> Sentence:
    """Draws a sentence like: The woman who is singing in the street is famous. I know the boy who
    broke the window.
    """
    noun = g.pick(nouns("people job"))
    person = noun_phrase(noun, "the", g.chance(0.15))
    who = Phrase("who", "qui", person.gender, person.person, noun.en)
    verb = g.pick([v for v in (*TRANSITIVE, *INTRANSITIVE) if v.places])
    clause = g.clause(who, g.rng.choice(("present", "present", "past")), verb, 0.0, 2.0)
    start = join(person.text, clause.statement())
    adjective = g.adjective(noun, predicate=True)
    choice = g.rng.random()
    if choice < 0.45 and adjective:
        said = join(start, be(person.person), agreeing(adjective, person))
        return Sentence(said, (*clause.combinations, (adjective.en, noun.en)))
    if choice < 0.75 or person.plural or noun.en in ("boy", "girl", "child", "friend", "neighbor"):
        know = Clause(
            g.pick(PRONOUNS[:5]), Use(VERBS["know"], "present", g.rng.choice(("", "not")))
        )
        return Sentence(join(know.statement(), start), (*clause.combinations, ("know", noun.en)))
    kin = {"m": "brother uncle cousin neighbor friend", "f": "sister aunt"}[noun.gender]
    relation = noun_phrase(g.pick(nouns(kin)), "my", owner=g.pick(PRONOUNS))
    return Sentence(join(start, be(2), relation.text), clause.combinations)


def that_relative(g: Grammar) -> Sentence:
    """Draws a sentence like: The dress that Julie bought is too expensive. He repaired the lamp
    that we found.
    """
    odd = names("""speak break know win miss invite thank call serve cook cut begin""")
    fitting = [
        v
        for v in TRANSITIVE
        if v.fr.split(" ")[-1] not in ("à", "de") and "g" not in v.flags.split() and v.en not in odd
    ]
    verb = g.pick(fitting)
    odd_kinds = [
        "family",
        "people",
        "unique",
        "meal",
        "language",
        "subject",
        "sport",
        "instrument",
        "job",
        "nature",
        "infant",
        "animal",
    ]
    things = [n for n in verb.nouns if n.kind not in odd_kinds]
    if not things:
        return plain(g)
    noun = g.pick(things)
    thing = noun_phrase(noun, "the", noun.kind == "pair" or (not noun.mass and g.chance(0.15)))
    subject = g.person(0.7)
    inner = Clause(subject, Use(verb, "past", preceding=thing))
    start = join(thing.text, ("that", "que"), inner.statement())
    combinations = (*subject.combinations, (verb.en, noun.en))
    adjective = g.adjective(noun, predicate=True)
    if adjective and g.chance(0.6) and adjective.en != "ripe":
        said = join(
            start, be(thing.person, g.rng.choice(("present", "was"))), agreeing(adjective, thing)
        )
        return Sentence(said, (*combinations, (adjective.en, noun.en)))
    later = names(
        """like love look_for use find sell wear eat read repair lose forget wash understand"""
    )
    outer = [v for v in TRANSITIVE if noun in v.nouns and v.en in later and v is not verb]
    if not outer:
        return plain(g)
    main = g.pick(outer)
    clause = Clause(
        g.person(0.6),
        Use(main, suitable(g.rng.choice(("past", "near", "want", "present")), main), simple=True),
    )
    return Sentence(
        join(clause.statement(), start),
        (*combinations, *clause.subject.combinations, (main.en, noun.en)),
    )


def taking_up(g: Grammar) -> Sentence:
    """Draws a sentence like: She bought a novel, but she has not read it yet. He chose this shirt
    and he is going to wear it.
    """
    name = g.pick(list(NEXT))
    verb, noun = WITH_OBJECT[name], g.pick(nouns(NEXT[name]))
    starts = [WITH_OBJECT[v.replace("_", " ")] for v in BEFORE.get(name, "buy").split()]
    first = g.pick([v for v in starts if noun in v.nouns] or [WITH_OBJECT["buy"]])
    plural = noun.kind == "pair"
    kind = (
        "my"
        if name == "find"
        else "this"
        if plural or noun.mass or name in ("wear", "paint")
        else g.rng.choice(("a", "this"))
    )
    subject = g.person(0.5)
    other = pronoun_for(subject)
    thing = noun_phrase(noun, kind, plural, owner=other)
    le = "les" if plural else "la" if noun.gender == "f" else "le"
    it = Phrase("them" if plural else "it", le, noun.gender, thing.person, clitic=True)
    said = Clause(subject, Use(first, "past"), (thing.text,)).statement()
    combinations = (*subject.combinations, (first.en, noun.en), (verb.en, noun.en))
    if name == "find":
        then = Clause(other, Use(verb, "past", object=it, preceding=it), (g.pick(FOUND),))
        return Sentence(join(said, ("and", "et"), then.statement()), combinations)
    if g.chance(0.4):
        then = Clause(other, Use(verb, "past", "yet", object=it, preceding=it))
        return Sentence(
            join((said[0] + ",", said[1] + ","), ("but", "mais"), then.statement()), combinations
        )
    when = (g.pick(pairs_of(TIMES["future"])),) if g.chance(0.5) else ()
    then = Clause(other, Use(verb, g.rng.choice(("near", "want")), object=it), when)
    return Sentence(join(said, ("and", "et"), then.statement()), combinations)


def unable(g: Grammar) -> Sentence:
    """Draws a sentence like: She wants to go out, but she is too tired. We would like to buy this
    car, but we do not have enough money.
    """
    odd = ACCIDENTS | HARDLY_WANTED
    verb = g.pick([v for v in VERBS.values() if "s" not in v.flags.split() and v.en not in odd])
    clause = g.clause(g.person(), g.rng.choice(("want", "would")), verb, 0.0, 0.4)
    other = pronoun_for(clause.subject)
    name = (
        "money"
        if verb.en in COSTLY and g.chance(0.6)
        else g.pick(["tired", "busy", "sick", "time", "cannot"])
    )
    if name in MOODS:
        why = state(other, name, degree=("too", "trop"))
    elif name == "cannot":
        why = "cannot", f"ne {french.conjugate('pouvoir', 'present', other.person)} pas"
    else:
        do = "does" if other.person == 2 else "do"
        lacking = ("enough money", "assez de argent") if name == "money" else ("time", "le temps")
        why = (
            f"{do} not have {lacking[0]}",
            f"ne {french.conjugate('avoir', 'present', other.person)} pas {lacking[1]}",
        )
    en, fr = clause.statement()
    return Sentence(
        join((en + ",", fr + ","), ("but", "mais"), other.text, why), clause.combinations
    )


def before_after(g: Grammar) -> Sentence:
    """Draws a sentence like: She washed the plates before going to bed. We will rest after the
    meeting.
    """
    subject = g.person()
    tense = g.rng.choice(["past", "past", "future", "near", "must", "want"])
    if g.chance(0.5):
        rooms = [
            v
            for v in TRANSITIVE
            if "c" in v.flags.split() and any(n.kind == "room" for n in v.places)
        ]
        clause = g.clause(subject, tense, g.pick(rooms), 0.0, 0.0)
        en = g.pick([e for e in ENDINGS if clause.use.verb.en != "eat" or "ing to bed" in e])
        phrase = en, ENDINGS[en].replace("se ", french.REFLEXIVE[subject.person] + " ")
        combinations: tuple[Combination, ...] = clause.combinations
    else:
        activities = [
            "rest",
            "sleep",
            "leave",
            "take a walk",
            "go out",
            "come back",
            "work",
            "get dressed",
            "dance",
            "eat",
        ]
        clause = Clause(subject, Use(VERBS[g.pick(activities)], tense))
        noun = g.pick(nouns("breakfast lunch dinner meal event lesson exam show"))
        there = noun_phrase(noun, "bare" if noun.en in ("breakfast", "lunch", "dinner") else "the")
        word = g.pick([("before", "avant"), ("after", "après")])
        phrase = f"{word[0]} {there.en}", f"{word[1]} {there.fr}"
        combinations = (*subject.combinations, (word[0], noun.en))
    if clause.use.adverb or clause.use.simple:
        return plain(g)
    return Sentence(join(clause.statement(), phrase), combinations)


def opinion(g: Grammar) -> Sentence:
    """Draws a sentence like: It is difficult to repair this clock. It is not useful to iron the
    curtains.
    """
    odd = names(
        """need dream_of wear thank look_at rent taste watch photograph talk_about think_about
        carry"""
    )
    verb = g.pick(
        [v for v in TRANSITIVE if not {"s", "g"} & set(v.flags.split()) and v.en not in odd]
    )
    name = g.pick(list(OPINIONS))
    noun = g.pick([n for n in verb.nouns if n.kind != "family"])
    thing = g.thing(
        noun, Phrase("", "", person=3), definite=True, adjectives=0.3, plurals=0.25, verb=verb.en
    )
    infinitive = Clause(
        Phrase("", ""), Use(verb, "near"), ((thing.en, with_preposition(verb, thing)),)
    ).infinitive()
    tense = g.rng.choice(("present", "present", "was"))
    verb_be = be(2, tense, negation=g.chance(0.2))
    said = join(("it", "il"), verb_be, (name, OPINIONS[name] + " de"), infinitive)
    return Sentence(said, (*thing.combinations, (verb.en, noun.en)))
