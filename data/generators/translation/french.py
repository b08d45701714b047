"""French morphology for the task set: conjugation, agreement, elision, contraction.

The rules are those of any school grammar; the tables hold only what the rules do not give.
A person is a number from 0 to 5: je, tu, il/elle, nous, vous, ils/elles.

    >>> conjugate("finir", "present", 3)
    'finissons'
    >>> agree("beau", "m", False, before="arbre")
    'bel'
    >>> elide("je ne ai pas vu le homme")
    "je n'ai pas vu l'homme"
"""

from __future__ import annotations

VOWELS = "aeiouyàâæéèêëîïôœùûü"
# Words whose first letter keeps the article whole although it is h or a vowel (h aspiré and alike).
NO_ELISION = {"haricot", "haricots", "haut", "haute", "hauts", "hautes", "huit", "onze"}
ELIDING = {"je", "ce", "me", "te", "se", "le", "la", "ne", "de", "que"}

REFLEXIVE = ("me", "te", "se", "nous", "vous", "se")

# Present (six forms, with | between them), past participle, and the future stem if it is irregular.
IRREGULAR: dict[str, tuple[str, str, str]] = {
    "être": ("suis|es|est|sommes|êtes|sont", "été", "ser"),
    "avoir": ("ai|as|a|avons|avez|ont", "eu", "aur"),
    "aller": ("vais|vas|va|allons|allez|vont", "allé", "ir"),
    "faire": ("fais|fais|fait|faisons|faites|font", "fait", "fer"),
    "dire": ("dis|dis|dit|disons|dites|disent", "dit", ""),
    "voir": ("vois|vois|voit|voyons|voyez|voient", "vu", "verr"),
    "savoir": ("sais|sais|sait|savons|savez|savent", "su", "saur"),
    "pouvoir": ("peux|peux|peut|pouvons|pouvez|peuvent", "pu", "pourr"),
    "vouloir": ("veux|veux|veut|voulons|voulez|veulent", "voulu", "voudr"),
    "devoir": ("dois|dois|doit|devons|devez|doivent", "dû", "devr"),
    "venir": ("viens|viens|vient|venons|venez|viennent", "venu", "viendr"),
    "prendre": ("prends|prends|prend|prenons|prenez|prennent", "pris", ""),
    "mettre": ("mets|mets|met|mettons|mettez|mettent", "mis", ""),
    "lire": ("lis|lis|lit|lisons|lisez|lisent", "lu", ""),
    "écrire": ("écris|écris|écrit|écrivons|écrivez|écrivent", "écrit", ""),
    "boire": ("bois|bois|boit|buvons|buvez|boivent", "bu", ""),
    "connaître": ("connais|connais|connaît|connaissons|connaissez|connaissent", "connu", ""),
    "recevoir": ("reçois|reçois|reçoit|recevons|recevez|reçoivent", "reçu", "recevr"),
    "ouvrir": ("ouvre|ouvres|ouvre|ouvrons|ouvrez|ouvrent", "ouvert", ""),
    "partir": ("pars|pars|part|partons|partez|partent", "parti", ""),
    "sortir": ("sors|sors|sort|sortons|sortez|sortent", "sorti", ""),
    "dormir": ("dors|dors|dort|dormons|dormez|dorment", "dormi", ""),
    "servir": ("sers|sers|sert|servons|servez|servent", "servi", ""),
    "conduire": ("conduis|conduis|conduit|conduisons|conduisez|conduisent", "conduit", ""),
    "suivre": ("suis|suis|suit|suivons|suivez|suivent", "suivi", ""),
    "croire": ("crois|crois|croit|croyons|croyez|croient", "cru", ""),
    "rire": ("ris|ris|rit|rions|riez|rient", "ri", ""),
    "courir": ("cours|cours|court|courons|courez|courent", "couru", "courr"),
    "pleuvoir": ("||pleut|||", "plu", "pleuvr"),
    "peindre": ("peins|peins|peint|peignons|peignez|peignent", "peint", ""),
    "résoudre": ("résous|résous|résout|résolvons|résolvez|résolvent", "résolu", ""),
    "asseoir": ("assieds|assieds|assied|asseyons|asseyez|asseyent", "assis", "assiér"),
    "envoyer": ("envoie|envoies|envoie|envoyons|envoyez|envoient", "envoyé", "enverr"),
}
# Verbs conjugated like one above: what comes before the model's letters is kept.
LIKE = {
    "revenir": "venir", "souvenir": "venir", "devenir": "venir", "apprendre": "prendre",
    "comprendre": "prendre", "promettre": "mettre", "découvrir": "ouvrir", "offrir": "ouvrir",
    "endormir": "dormir", "construire": "conduire", "traduire": "conduire", "sourire": "rire",
    "éteindre": "peindre", "appartenir": "venir",
}  # fmt: skip

PRESENT_ENDINGS = {
    "er": ("e", "es", "e", "ons", "ez", "ent"),
    "ir": ("is", "is", "it", "issons", "issez", "issent"),
    "re": ("s", "s", "", "ons", "ez", "ent"),
}
PARTICIPLE_ENDINGS = {"er": "é", "ir": "i", "re": "u"}
IMPERFECT_ENDINGS = ("ais", "ais", "ait", "ions", "iez", "aient")
FUTURE_ENDINGS = ("ai", "as", "a", "ons", "ez", "ont")

ETRE_VERBS = {
    "aller", "venir", "revenir", "devenir", "arriver", "partir", "sortir", "rentrer", "rester",
    "tomber", "naître", "mourir",
}  # fmt: skip


def irregular(verb: str) -> tuple[tuple[str, ...], str, str] | None:
    """Returns a verb's six present forms, past participle and future stem ("" if regular)."""
    model = LIKE.get(verb, verb)
    if model not in IRREGULAR:
        return None
    present, participle, future = IRREGULAR[model]
    # éteindre/peindre share "eindre", revenir/venir share "venir": swap what differs at the front.
    shared = 0
    while shared < min(len(verb), len(model)) and verb[-1 - shared] == model[-1 - shared]:
        shared += 1
    new, old = verb[: len(verb) - shared], len(model) - shared
    forms = tuple(new + form[old:] for form in present.split("|"))
    return forms, new + participle[old:], new + future[old:] if future else ""


def stressed_stem(stem: str) -> str:
    """Returns the stem of an -er verb before a silent ending: achet- to achèt-, appel- to appell-,
    nettoy- to nettoi-."""
    if stem.endswith(("oy", "uy")):
        return stem[:-1] + "i"
    if stem.endswith(("appel", "jet")):
        return stem + stem[-1]
    for closed in ("e", "é"):
        if len(stem) > 2 and stem[-2] == closed and stem[-1] not in VOWELS:
            return stem[:-2] + "è" + stem[-1]
    return stem


def soften(stem: str, ending: str) -> str:
    """Keeps the sound of c and g before a and o: mange- + ons is mangeons, commenc- + ons is
    commençons."""
    if ending[:1] in ("a", "o"):
        if stem.endswith("g"):
            return stem + "e"
        if stem.endswith("c"):
            return stem[:-1] + "ç"
    return stem


def present(verb: str, person: int) -> str:
    """Returns the present tense.

    Example: parler: je parle, nous parlons; finir: nous finissons; vendre: il vend.
    """
    if known := irregular(verb):
        return known[0][person]
    stem, ending = verb[:-2], PRESENT_ENDINGS[verb[-2:]][person]
    if verb.endswith("er"):
        stem = stressed_stem(stem) if person in (0, 1, 2, 5) else soften(stem, ending)
    return stem + ending


def imperfect(verb: str, person: int) -> str:
    """Returns the imparfait: the nous-form without -ons, plus ais, ais, ait, ions, iez, aient."""
    if verb == "être":
        stem = "ét"
    elif verb == "pleuvoir":
        stem = "pleuv"
    else:
        stem = present(verb, 3).removesuffix("ons")
    ending = IMPERFECT_ENDINGS[person]
    if ending.startswith("i"):  # nous mangions: the softening e or ç is not needed before i
        stem = verb[:-2] if verb.endswith(("ger", "cer")) else stem
    return stem + ending


def future_stem(verb: str) -> str:
    """Returns the stem of the future and the conditional: the infinitive without a last e."""
    known = irregular(verb)
    if known and known[2]:
        return known[2]
    if verb.endswith("er"):
        stem = verb[:-2]
        # préférer keeps its é (préférerai); acheter, appeler and nettoyer change as in the present.
        return (stem if "é" in stem[-2:] else stressed_stem(stem)) + "er"
    return verb.removesuffix("e")


def future(verb: str, person: int) -> str:
    """Returns the futur simple: the future stem plus ai, as, a, ons, ez, ont."""
    return future_stem(verb) + FUTURE_ENDINGS[person]


def conditional(verb: str, person: int) -> str:
    """Returns the conditional: the future stem with the endings of the imparfait."""
    return future_stem(verb) + IMPERFECT_ENDINGS[person]


TENSES = {
    "present": present,
    "imperfect": imperfect,
    "future": future,
    "conditional": conditional,
}


def conjugate(verb: str, tense: str, person: int) -> str:
    """Returns a form of `verb`; `tense` is present, imperfect, future or conditional."""
    if tense not in TENSES:
        raise ValueError(f"tense must be one of {', '.join(TENSES)}, got {tense!r}")
    if person not in range(6):
        raise ValueError(f"person must be from 0 (je) to 5 (ils), got {person}")
    return TENSES[tense](verb, person)


def participle(verb: str, gender: str = "m", plural: bool = False) -> str:
    """Returns the past participle: é, i, u or irregular, then e for feminine and s for plural."""
    known = irregular(verb)
    form = known[1] if known else verb[:-2] + PARTICIPLE_ENDINGS[verb[-2:]]
    if form == "dû" and (gender == "f" or plural):
        form = "du"
    form += "e" if gender == "f" else ""
    return form + ("s" if plural and not form.endswith("s") else "")


FEMININE = {
    "beau": "belle", "nouveau": "nouvelle", "vieux": "vieille", "blanc": "blanche",
    "long": "longue", "sec": "sèche", "frais": "fraîche", "gros": "grosse", "bon":
    "bonne", "gentil": "gentille", "inquiet": "inquiète", "violet": "violette", "public":
    "publique", "doux": "douce",
}  # fmt: skip
BEFORE_VOWEL = {"beau": "bel", "nouveau": "nouvel", "vieux": "vieil"}


def feminine(adjective: str) -> str:
    """Returns the feminine of an adjective: rouge, petite, heureuse, légère, neuve, italienne, or
    irregular."""
    if adjective in FEMININE:
        return FEMININE[adjective]
    rules = {"eux": "euse", "oux": "ouse", "er": "ère", "f": "ve", "ien": "ienne", "el": "elle"}
    for ending, new in rules.items():
        if adjective.endswith(ending):
            return adjective.removesuffix(ending) + new
    return adjective if adjective.endswith("e") else adjective + "e"


def pluralize(word: str) -> str:
    """Returns the plural of a noun or adjective; of a noun of several words, the first takes it."""
    first, space, rest = word.partition(" ")
    if first.startswith("grand-"):
        first = "grands-" + pluralize(first.removeprefix("grand-"))
    elif first.endswith(("s", "x", "z")):
        pass
    elif (first.endswith(("eau", "eu")) and first != "bleu") or first in ("chou", "bijou"):
        first += "x"
    elif first.endswith("al") and first not in ("festival", "bal"):
        first = first[:-1] + "ux"
    else:
        first += "s"
    return first + space + rest


def agree(adjective: str, gender: str, plural: bool, before: str = "") -> str:
    """Returns the adjective in its gender and number; `before` is the word after it, if any."""
    if gender == "f":
        form = feminine(adjective)
    elif not plural and starts_with_vowel(before):
        form = BEFORE_VOWEL.get(adjective, adjective)
    else:
        form = adjective
    return pluralize(form) if plural else form


def starts_with_vowel(word: str) -> bool:
    """Returns whether `word` starts with a vowel or a mute h, before which words are elided."""
    first = word.split(" ")[0].lower().rstrip(",")
    return first[:1] != "" and first[0] in VOWELS + "h" and first not in NO_ELISION


def elide(sentence: str) -> str:
    """Writes je, le, la, ne, de, que ... with an apostrophe before a vowel, and si before il and
    ils."""
    words = sentence.split(" ")
    result = words[-1]
    for word, following in zip(words[-2::-1], words[:0:-1], strict=True):
        stem = word.lower()
        cut = stem in ELIDING or stem.endswith(("-que", "rsque", "isque"))
        if (cut and starts_with_vowel(following)) or (stem == "si" and following in ("il", "ils")):
            result = word[:-1] + "'" + result
        else:
            result = word + " " + result
    return result


def contract(preposition: str, phrase: str) -> str:
    """Joins `preposition` and a noun phrase: à + le is au, de + les is des, but à l'homme stays.

    Only articles contract, never the pronouns le and les, so this is called on noun phrases alone.
    """
    if preposition.split(" ")[-1] in ("à", "de"):
        head, _, last = preposition.rpartition(" ")
        start = head + " " if head else ""
        article, _, rest = phrase.partition(" ")
        if article == "les":
            return start + ("aux " if last == "à" else "des ") + rest
        if article == "le" and not starts_with_vowel(rest):
            return start + ("au " if last == "à" else "du ") + rest
    return preposition + " " + phrase
