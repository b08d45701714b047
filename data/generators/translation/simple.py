"""Sentences of one clause: statements, questions, commands, being, having, comparing.

Every function draws one sentence of its kind from a `Grammar`, without elision, capital letter or
final mark.
"""

from __future__ import annotations

from . import french
from .describing import Sentence
from .grammar import ASKED, COUNTS, PEOPLE, Grammar
from .phrases import PRONOUNS, Clause, Phrase, Use, join, noun_phrase, with_preposition
from .situations import NOT_COUNTED
from .verbs import INTRANSITIVE, PERCEPTION, STATES, TRANSITIVE, VERBS, Verb, suitable
from .words import names, nouns

HAVE = Verb("have", "avoir", (), (), "s")


def plain(g: Grammar) -> Sentence:
    """Draws a sentence like: Marie is reading a long letter in the garden."""
    clause = g.clause()
    return Sentence(clause.statement(), clause.combinations)


def yes_no(g: Grammar) -> Sentence:
    """Draws a sentence like: Are you looking for your keys?"""
    tense = g.rng.choice(["present", "present", "past", "past", "future", "near", "can", "want"])
    subject = g.pick(PRONOUNS if tense == "can" else ASKED) if g.chance(0.6) else None
    clause = g.clause(subject, tense, negative=0.0, details=0.7)
    return Sentence(clause.question(), clause.combinations, "?")


def where_when_why(g: Grammar) -> Sentence:
    """Draws a sentence like: Where did she buy this dress? Why are you laughing?"""
    word = g.rng.choice(
        (("where", "où"), ("when", "quand"), ("why", "pourquoi"), ("why", "pourquoi"))
    )
    tense = g.rng.choice(["past", "past", "future", "near", "present"])
    subject = g.pick(ASKED) if g.chance(0.75) else None
    verb = g.pick(list(VERBS.values()))
    if word[0] != "why":
        verb = g.pick(
            [v for v in VERBS.values() if v.places and v.en not in PERCEPTION | {"attend"}]
        )
        tense = "future" if tense == "present" and word[0] == "when" else tense
    if word[0] == "where" and verb.en == "live":
        clause = Clause(subject or g.person(), Use(verb, "present", simple=True))
        return Sentence(clause.question(word), clause.subject.combinations, "?")
    clause = g.clause(subject, tense, verb, 0.15 if word[0] == "why" else 0.0, details=0.0)
    if clause.use.simple or clause.use.adverb:
        return yes_no(g)
    return Sentence(clause.question(word), clause.combinations, "?")


def what_which_who(g: Grammar) -> Sentence:
    """Draws a sentence like: What is she eating? Which novel did you choose?"""
    tense = g.rng.choice(["present", "past", "past", "future", "near", "want"])
    if g.chance(0.35):
        verb = g.pick([v for v in (*TRANSITIVE, *INTRANSITIVE) if v.en not in STATES])
        clause = g.clause(Phrase("who", "qui"), tense, verb, 0.0, 0.6)
        return Sentence(clause.statement(), clause.combinations, "?")
    strange = {"speak", "know", "visit", "serve"}
    fitting = [
        v for v in TRANSITIVE if not {"p", "g"} & set(v.flags.split()) and v.en not in strange
    ]
    verb = g.pick([v for v in fitting if v.fr.split(" ")[-1] not in ("à", "de")])
    use = Use(verb, suitable(tense, verb))
    subject = g.pick(ASKED) if g.chance(0.8) else g.pick(PEOPLE)
    things = [n for n in verb.nouns if n.kind not in NOT_COUNTED and not n.mass]
    if g.chance(0.3) or not things:
        clause = Clause(subject, use)
        asked = clause.question(("what", ""))[0], "qu'est-ce que " + clause.statement()[1]
        return Sentence(asked, (), "?")
    noun = g.pick(things)
    many = g.chance(0.4)
    asked_for = noun_phrase(noun, "the", many or noun.kind == "pair")
    name = asked_for.en.removeprefix("the "), asked_for.fr.split(" ", 1)[1]
    which = "which", french.agree("quel", noun.gender, asked_for.plural)
    word = join(("how many", "combien de") if many else which, name)
    clause = Clause(subject, Use(verb, use.tense, preceding=asked_for))
    return Sentence(clause.question(word), ((verb.en, noun.en),), "?")


def nothing(g: Grammar) -> Sentence:
    """Draws a sentence like: They did not buy anything. He does not know anyone."""
    strange = names("""drive speak visit know miss rent win plant build iron cook play""")
    verb = g.pick(
        [
            v
            for v in TRANSITIVE
            if v.fr.split(" ")[-1] not in ("à", "de") and "g" not in v.flags and v.en not in strange
        ]
    )
    somebody = names("""help meet invite thank call follow wait_for photograph protect""")
    tense = suitable(g.rng.choice(["present", "past", "past", "want", "near"]), verb)
    clause = Clause(g.person(0.6), Use(verb, tense, "not"))
    en, fr = clause.statement()
    if verb.en in somebody:
        said = f"{en} anyone", fr.replace(" pas", "", 1) + " personne"
    else:
        said = f"{en} anything", fr.replace(" pas", " rien", 1)
    combinations = clause.subject.combinations
    if clause.subject.noun:
        combinations += ((verb.en, clause.subject.noun),)
    if verb.places and g.chance(0.4):
        place, where = g.place(verb)
        said, combinations = join(said, place), combinations + where
    return Sentence(said, combinations)


def command(g: Grammar) -> Sentence:
    """Draws a sentence like: Close the window, please. Do not touch the snake."""
    fitting = [
        v
        for v in TRANSITIVE
        if "s" not in v.flags.split()
        and not v.fr.startswith(("se ", "s'"))
        and v.en not in ("dream of", "need", "rent")
    ]
    verb = g.pick([*fitting, VERBS["forget"], VERBS["send"], VERBS["choose"], VERBS["finish"]])
    together = g.chance(0.25) and verb.en != "forget"
    negated = not together and (g.chance(0.25) or verb.en == "forget")
    subject = PRONOUNS[3 if together else 4]
    definite = negated or "d" in verb.flags.split() or verb.fr.endswith(" de")
    noun = g.pick([n for n in verb.nouns if n.kind != "family"])
    thing = g.thing(noun, subject, definite=definite, adjectives=0.2, verb=verb.en)
    clause = Clause(
        subject,
        Use(verb, "present", "not" if negated else ""),
        ((thing.en, with_preposition(verb, thing)),),
    )
    start = "let us " if together else "do not " if negated else ""
    said = f"{start}{verb.en} {thing.en}", clause.predicate()[1]
    if not together and g.chance(0.4):
        said = said[0] + ", please", said[1] + ", s'il vous plaît"
    return Sentence(said, (*thing.combinations, (verb.en, noun.en)))


def having(g: Grammar) -> Sentence:
    """Draws a sentence like: We have two cats. She does not have a car."""
    noun = g.pick(
        nouns("pet vehicle device house apartment garden thing brother sister cousin friend tool")
    )
    subject = g.person(0.6)
    combinations = (*subject.combinations, ("have", noun.en))
    if g.chance(0.2):
        en, fr = noun_phrase(noun, "the", True).text
        who = g.pick(ASKED)
        word = f"how many {en.removeprefix('the ')}", f"combien de {fr.removeprefix('les ')}"
        return Sentence(Clause(who, Use(HAVE, "present")).question(word), (("have", noun.en),), "?")
    negated, plural = g.chance(0.25), g.chance(0.4)
    adjective = g.adjective(noun) if g.chance(0.35) and noun.kind != "family" else None
    number = g.pick(COUNTS[:5]) if plural and not negated else None
    thing = noun_phrase(noun, "some" if plural else "a", plural, adjective, None, number, negated)
    tense = g.rng.choice(["present", "present", "present", "past", "want"])
    if (plural or noun.kind in ("family", "people")) and tense == "want":
        tense = "present"
    clause = Clause(subject, Use(HAVE, tense, "not" if negated else ""), (thing.text,))
    return Sentence(clause.statement(), combinations + thing.combinations)


def belonging(g: Grammar) -> Sentence:
    """Draws a sentence like: This watch belongs to my uncle. Do these gloves belong to Marie?"""
    noun = g.pick([n for n in nouns("goods text pet house farm") if n.en != "baby"])
    thing = noun_phrase(noun, "this", noun.kind == "pair" or g.chance(0.15))
    owner = g.somebody(0.05, "family job friend neighbor") if g.chance(0.7) else g.pick(PEOPLE)
    belong = Verb("belong to", "appartenir à", (), (), "s")
    clause = Clause(
        thing,
        Use(belong, "present", "not" if g.chance(0.2) else ""),
        ((owner.en, french.contract("à", owner.fr)),),
    )
    combinations = (("belong", noun.en), *owner.combinations)
    if g.chance(0.25) and not clause.use.negation:
        return Sentence(clause.question(), combinations, "?")
    return Sentence(clause.statement(), combinations)
