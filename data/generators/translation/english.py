"""English morphology for the task set: verb forms, plurals, a or an, comparatives.

A person is a number from 0 to 5: I, you (not used: "you" is always person 4), he/she, we, you,
they.
"""

from __future__ import annotations

PAST: dict[str, tuple[str, str]] = {
    entry.split()[0]: (entry.split()[1], entry.split()[2])
    for entry in """
        be was been, have had had, do did done, go went gone, eat ate eaten, drink drank drunk,
        cut cut cut, buy bought bought, sell sold sold, see saw seen, read read read, write
        wrote written, find found found, lose lost lost, forget forgot forgotten, wear wore
        worn, draw drew drawn, break broke broken, hide hid hidden, drive drove driven, take
        took taken, know knew known, meet met met, hear heard heard, understand understood
        understood, teach taught taught, choose chose chosen, send sent sent, bring brought
        brought, begin began begun, become became become, feed fed fed, build built built, think
        thought thought, win won won, speak spoke spoken, sleep slept slept, run ran run, swim
        swam swum, sing sang sung, leave left left, fall fell fallen, come came come, wake woke
        woken, get got gotten, sit sat sat, give gave given, show showed shown, say said said,
        lend lent lent, tell told told, feel felt felt, make made made
    """.strip().split(",")
}  # fmt: skip
DOUBLING = {
    "cut", "run", "swim", "plan", "forget", "begin", "get", "win", "sit", "stop", "put", "prefer",
}  # fmt: skip
PLURALS = {
    "man": "men", "woman": "women", "child": "children", "mouse": "mice", "knife": "knives",
    "wife": "wives", "wolf": "wolves", "sheep": "sheep", "tooth": "teeth", "foot": "feet",
    "scarf": "scarves", "potato": "potatoes", "tomato": "tomatoes",
}  # fmt: skip
BE_PRESENT = ("am", "are", "is", "are", "are", "are")
BE_PAST = ("was", "were", "was", "were", "were", "were")
LONG_COMPARATIVE = "honest patient curious serious modern boring useful useless careful fragile"


def third_person(verb: str) -> str:
    """Returns the third person, as in he eats, he watches, he carries, he has."""
    if verb in ("have", "do", "go"):
        return {"have": "has", "do": "does", "go": "goes"}[verb]
    if verb.endswith(("s", "sh", "ch", "x", "z")):
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"


def inflect(verb: str, form: str, person: int = 2) -> str:
    """Returns a form of a verb, whose first word is inflected.

    Form is base, present, past, participle or ing.

    Example: inflect("look for", "ing") is "looking for".
    """
    head, space, particle = verb.partition(" ")
    if form == "present":
        if head == "be":
            head = BE_PRESENT[person]
        elif person == 2:
            head = third_person(head)
    elif form == "past" and head == "be":
        head = BE_PAST[person]
    elif form in ("past", "participle"):
        if head in PAST:
            head = PAST[head][form == "participle"]
        elif head.endswith("e"):
            head += "d"
        elif head.endswith("y") and head[-2] not in "aeiou":
            head = head[:-1] + "ied"
        else:
            head += (head[-1] if head in DOUBLING else "") + "ed"
    elif form == "ing":
        if head.endswith("ie"):
            head = head[:-2] + "ying"
        elif head.endswith("e") and not head.endswith("ee") and head != "be":
            head = head[:-1] + "ing"
        else:
            head += (head[-1] if head in DOUBLING else "") + "ing"
    return head + space + particle


def plural(noun: str) -> str:
    """Returns the plural, as in cats, boxes, parties, men; a compound's last word takes it."""
    start, space, word = noun.rpartition(" ")
    if word in PLURALS:
        word = PLURALS[word]
    elif word.endswith(("s", "sh", "ch", "x")):
        word += "es"
    elif word.endswith("y") and word[-2] not in "aeiou":
        word = word[:-1] + "ies"
    else:
        word += "s"
    return start + space + word


def article(phrase: str) -> str:
    """Returns the phrase with a or an before it, by its sound: an hour, a university."""
    vowel = phrase[0].lower() in "aeiou" and not phrase.startswith(("uni", "use"))
    return ("an " if vowel or phrase.startswith(("honest", "hour")) else "a ") + phrase


def comparative(adjective: str, superlative: bool = False) -> str:
    """Returns the comparative (taller, more useful) or the superlative (tallest, most useful)."""
    irregular = {"good": ("better", "best"), "bad": ("worse", "worst")}
    if adjective in irregular:
        return irregular[adjective][superlative]
    ending = "est" if superlative else "er"
    vowels = sum(
        letter in "aeiou" and adjective[max(i - 1, 0)] not in "aeiou"
        for i, letter in enumerate(adjective.removesuffix("e"))
    )
    if adjective.endswith("y") and vowels <= 2 and adjective[-2] not in "aeiou":
        return adjective[:-1] + "i" + ending
    if adjective == "quiet" or (vowels <= 1 and adjective not in LONG_COMPARATIVE.split()):
        if adjective.endswith("e"):
            return adjective + ending[1:]
        if adjective in ("big", "fat", "thin", "sad", "hot", "wet", "red"):
            return adjective + adjective[-1] + ending
        return adjective + ending
    return ("most " if superlative else "more ") + adjective
