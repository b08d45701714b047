"""Phrases in both languages at once: noun phrases, verb groups and clauses of the task set.

A phrase carries its English and its French, what French agreement needs to know of it (gender and
person), and the (word, noun) combinations it contains, which decide the split a sentence belongs
to. French is kept without elision ("le homme") until the sentence is complete.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import english, french
from .verbs import STATES, Verb
from .words import Adjective, Noun

Combination = tuple[str, str]
Text = tuple[str, str]  # English, French


def join(*parts: Text) -> Text:
    """Joins the parts, with spaces between those that are not empty."""
    en, fr = (" ".join(side for side in sides if side) for sides in zip(*parts, strict=True))
    return en, fr


@dataclass(frozen=True)
class Phrase:
    """A noun phrase or pronoun. `person` is 0 to 5 (I, tu, he or she, we, you, they)."""

    en: str
    fr: str
    gender: str = "m"
    person: int = 2
    noun: str = ""  # the English head noun, "" for pronouns and names
    combinations: tuple[Combination, ...] = ()
    clitic: bool = False  # an object pronoun, which French puts before the verb

    @property
    def plural(self) -> bool:
        return self.person in (3, 5)

    @property
    def text(self) -> Text:
        return self.en, self.fr


PRONOUNS = (
    Phrase("I", "je", person=0), Phrase("he", "il"), Phrase("she", "elle", "f"),
    Phrase("we", "nous", person=3), Phrase("you", "vous", person=4),
    Phrase("they", "ils", person=5),
)  # fmt: skip
OBJECT_PRONOUNS = (
    Phrase("me", "me", person=0, clitic=True), Phrase("him", "le", clitic=True),
    Phrase("her", "la", "f", clitic=True), Phrase("us", "nous", person=3, clitic=True),
    Phrase("you", "vous", person=4, clitic=True), Phrase("them", "les", person=5, clitic=True),
)  # fmt: skip
STRESSED = {"me": "moi", "him": "lui", "her": "elle", "us": "nous", "you": "vous", "them": "eux"}
INDIRECT = {"me": "me", "him": "lui", "her": "lui", "us": "nous", "you": "vous", "them": "leur"}

POSSESSIVE_EN = ("my", "your", "his", "our", "your", "their")
POSSESSIVE_FR = (
    ("mon", "ma", "mes"), ("ton", "ta", "tes"), ("son", "sa", "ses"),
    ("notre", "notre", "nos"), ("votre", "votre", "vos"), ("leur", "leur", "leurs"),
)  # fmt: skip


def pronoun_for(phrase: Phrase) -> Phrase:
    """Returns the subject pronoun that takes up `phrase`: he, she, or they (ils or elles)."""
    if phrase.person == 5:
        return Phrase("they", "elles" if phrase.gender == "f" else "ils", phrase.gender, 5)
    if phrase.person != 2:
        return phrase
    return PRONOUNS[2] if phrase.gender == "f" else PRONOUNS[1]


def french_determiner(
    kind: str, noun: Noun, plural: bool, following: str, owner: Phrase | None = None
) -> str:
    """Returns the French of an English determiner before `following`, the phrase's next word.

    `kind` is the, a, some (of a mass or a plural), this, my (with its owner), or a French word that
    does not change, such as the "de" that follows a negation.
    """
    feminine, vowel = noun.gender == "f", french.starts_with_vowel(following)
    if kind == "the":
        return "les" if plural else "la" if feminine else "le"
    if kind == "a":
        return "une" if feminine else "un"
    if kind == "some":
        if plural:  # des livres, but de beaux livres
            return "des" if following.startswith(french.pluralize(noun.fr)) else "de"
        return "de la" if feminine or vowel else "du"  # "de la" elides to "de l'" for both genders
    if kind == "this":
        return "ces" if plural else "cette" if feminine else "cet" if vowel else "ce"
    if kind == "my" and owner is not None:
        forms = POSSESSIVE_FR[owner.person]
        return forms[2] if plural else forms[1] if feminine and not vowel else forms[0]
    return kind


def noun_phrase(
    noun: Noun,
    determiner: str = "the",
    plural: bool = False,
    adjective: Adjective | None = None,
    owner: Phrase | None = None,
    number: tuple[str, str] | None = None,
    negated: bool = False,
) -> Phrase:
    """Returns determiner, adjective and noun, which agree.

    `determiner` is the, a, some, this, my, of or bare.

    `number` replaces the determiner: ("two", "deux"). After a negation (`negated`) a and some are
    "de". "bare" has no article in English and a definite one in French: "I like tea", "j'aime le
    thé". "of" is for the thing that belongs to somebody: `owner` "Marie" gives "Marie's" and "de
    Marie".
    """
    plural = plural or noun.plural_only
    words_en = english.plural(noun.en) if plural and not noun.plural_only else noun.en
    words_fr = french.pluralize(noun.fr) if plural else noun.fr
    combinations: tuple[Combination, ...] = ()
    if adjective is not None:
        before = noun.fr if adjective.position == "b" else ""
        agreed = french.agree(adjective.fr, noun.gender, plural, before)
        words_en = f"{adjective.en} {words_en}"
        words_fr = f"{agreed} {words_fr}" if before else f"{words_fr} {agreed}"
        combinations = ((adjective.en, noun.en),)
    following = words_fr  # what the determiner stands in front of
    if number is not None:
        words_en, words_fr = f"{number[0]} {words_en}", f"{number[1]} {words_fr}"
    elif determiner == "bare":
        words_fr = french_determiner("the", noun, plural, following) + " " + words_fr
    elif determiner == "of" and owner is not None:
        words_en = f"{owner.en}'s {words_en}"
        article = french_determiner("the", noun, plural, following)
        words_fr = f"{article} {words_fr} {french.contract('de', owner.fr)}"
        combinations += owner.combinations
    else:
        indefinite = determiner in ("a", "some")
        kind = "de" if negated and indefinite else determiner
        words_fr = french_determiner(kind, noun, plural, following, owner) + " " + words_fr
        if determiner == "a":
            words_en = english.article(words_en)
        elif determiner == "my" and owner is not None:
            her = owner.person == 2 and owner.gender == "f"
            words_en = ("her" if her else POSSESSIVE_EN[owner.person]) + " " + words_en
        else:
            changed = {"this": "these" if plural else "this", "some": "any" if negated else "some"}
            words_en = changed.get(determiner, determiner) + " " + words_en
    person = 5 if plural else 2
    return Phrase(words_en, words_fr, noun.gender, person, noun.en, combinations)


NEGATIONS = {"not": "pas", "never": "jamais", "no longer": "plus", "yet": "pas encore"}
MODALS = {
    "near": "aller",
    "can": "pouvoir",
    "must": "devoir",
    "want": "vouloir",
    "would": "vouloir",
    "recent": "venir",
}


@dataclass(frozen=True)
class Use:
    """A verb as it is used in one clause.

    tense: present, past, was (ing), used (to), future, near (going to), can, must, want (to),
    would (like to), recent (have just).
    """

    verb: Verb
    tense: str
    negation: str = ""  # a key of NEGATIONS
    adverb: tuple[str, str] | None = None
    object: Phrase | None = None  # only pronouns that French puts before the verb
    simple: bool = False  # "he eats" (a habit) rather than "he is eating"
    preceding: Phrase | None = (
        None  # a direct object before the verb: the participle agrees with it
    )

    @property
    def stative(self) -> bool:
        return "s" in self.verb.flags.split()


def english_group(use: Use, person: int, question: bool = False) -> tuple[str, str]:
    """Returns the English verb as (auxiliary, rest); the auxiliary of "he eats" is "" or "does".

    The rest begins with not, never and adverbs, so that a question is auxiliary + subject + rest.
    """
    verb, tense, negation = use.verb.en, use.tense, use.negation
    have = "has" if person == 2 else "have"
    middle = [use.adverb[0]] if use.adverb else []
    perfect = negation in ("never", "yet") or "already" in middle
    if tense == "present" and not (use.stative or use.simple or use.adverb or negation == "never"):
        aux, main = english.BE_PRESENT[person], english.inflect(verb, "ing")
    elif tense == "past" and perfect:
        aux, main = have, english.inflect(verb, "participle")
    elif tense == "recent":
        aux, main = have, "just " + english.inflect(verb, "participle")
    elif tense == "was":
        aux, main = english.BE_PAST[person], english.inflect(verb, "ing")
    elif tense == "near":
        aux, main = english.BE_PRESENT[person], "going to " + verb
    elif tense in ("future", "can", "must", "would"):
        aux = {"future": "will"}.get(tense, tense)
        main = "like to " + verb if tense == "would" else verb
    else:  # the tenses without an auxiliary of their own
        verb = {"want": "want to " + verb, "used": "use to " + verb}.get(tense, verb)
        form = "past" if tense in ("past", "used") else "present"
        aux, main = "", english.inflect(verb, form, person)
        if tense == "used":
            main = "used" + verb.removeprefix("use")
        if negation == "not" or question:
            do = {"past": "did", "present": "does" if person == 2 else "do"}
            aux, main = do[form], verb
    if use.object:
        main = f"{main} {use.object.en}"
    if negation:
        middle.insert(0, "not" if negation == "yet" else negation)
    if aux == "can" and middle[:1] == ["not"] and not question:
        aux, middle = "cannot", middle[1:]
    return aux, " ".join([*middle, main])


def french_clitics(use: Use, subject: Phrase) -> str:
    """Returns the reflexive and the object pronoun before the verb, with a space after each."""
    reflexive = french.REFLEXIVE[subject.person] + " " if french_verb(use.verb)[1] else ""
    return reflexive + (use.object.fr + " " if use.object else "")


def french_group(use: Use, subject: Phrase, question: bool = False) -> str:
    """Returns the French verb with negation, pronouns and adverb, inverted in a `question`."""
    head, reflexive, after = french_verb(use.verb)
    person, clitic = subject.person, french_clitics(use, subject)
    tense, last = use.tense, ""
    if tense == "past" and use.stative and use.verb.en in STATES:
        tense = "was"
    if tense in MODALS:
        link = "de " if tense == "recent" else ""
        last = link + clitic + head
        form = "conditional" if tense == "would" else "present"
        finite, clitic = french.conjugate(MODALS[tense], form, person), ""
    elif tense == "past":
        etre = reflexive or head in french.ETRE_VERBS
        finite = french.conjugate("être" if etre else "avoir", "present", person)
        agreeing = subject if etre else use.preceding
        last = (
            french.participle(head, agreeing.gender, agreeing.plural)
            if agreeing
            else french.participle(head)
        )
    else:
        form = {"was": "imperfect", "used": "imperfect"}.get(tense, tense)
        finite = french.conjugate(head, form, person)
    if question:
        pronoun = subject.fr
        link = "-t-" if pronoun in ("il", "elle") and finite[-1] in "ae" else "-"
        finite += link + pronoun
    words = [clitic + finite]
    if use.negation:
        words = ["ne " + words[0], NEGATIONS[use.negation]]
    words += [use.adverb[1]] if use.adverb else []
    words += [word for word in (last, after) if word]
    return " ".join(words)


def french_verb(verb: Verb) -> tuple[str, bool, str]:
    """Returns the infinitive, whether it is reflexive, and what follows but a last preposition."""
    words = verb.fr.replace("s'", "se ").split(" ")
    reflexive = words[0] == "se"
    words = words[1:] if reflexive else words
    rest = words[1:-1] if words[-1] in ("à", "de") else words[1:]
    return words[0], reflexive, " ".join(rest)


def with_preposition(verb: Verb, phrase: Phrase) -> str:
    """Returns the French object of `verb`, after the preposition that the verb asks for."""
    preposition = verb.fr.split(" ")[-1]
    return french.contract(preposition, phrase.fr) if preposition in ("à", "de") else phrase.fr


@dataclass(frozen=True)
class Clause:
    """A subject, a verb, and the rest; it can be said or asked."""

    subject: Phrase
    use: Use
    rest: tuple[Text, ...] = ()  # the phrases after the verb, English and French
    combinations: tuple[Combination, ...] = ()

    def complement(self) -> Text:
        """Returns what follows the verb group; "yet" comes last in English."""
        yet = ("yet", "") if self.use.negation == "yet" else ("", "")
        return join(*self.rest, yet)

    def predicate(self) -> Text:
        """Returns the clause without its subject."""
        aux, main = english_group(self.use, self.subject.person)
        group = (f"{aux} {main}".strip(), french_group(self.use, self.subject))
        return join(group, self.complement())

    def statement(self) -> Text:
        """Returns the clause as a statement in both languages, without capital and full stop."""
        return join(self.subject.text, self.predicate())

    def infinitive(self) -> Text:
        """Returns the infinitive and what follows: "to wash her hands", "se laver les mains"."""
        head, _, after = french_verb(self.use.verb)
        en = f"to {self.use.verb.en}" + (f" {self.use.object.en}" if self.use.object else "")
        fr = f"{self.clitics()}{head} {after}".strip()
        return join((en, fr), self.complement())

    def clitics(self) -> str:
        """Returns the pronouns in front of the French verb, with a space after each."""
        return french_clitics(self.use, self.subject)

    def question(self, word: Text = ("", "")) -> Text:
        """Returns a yes or no question, or one that begins with a question word such as where, où.

        French asks yes or no with est-ce que; after a question word it inverts pronouns other
        than je.
        """
        aux, main = english_group(self.use, self.subject.person, question=True)
        en, fr = self.complement()
        asked = f"{word[0]} {aux} {self.subject.en} {main} {en}".strip()
        inverted = word[1] and self.subject in PRONOUNS and self.subject.person != 0
        group = french_group(self.use, self.subject, bool(inverted))
        start = word[1] if inverted else f"{word[1]} est-ce que {self.subject.fr}".strip()
        return asked, f"{start} {group} {fr}".strip()
