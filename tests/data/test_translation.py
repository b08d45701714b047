"""The English-French task set: known forms, spelling by pattern, and what is held out."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from itertools import pairwise
from zlib import crc32

import pytest

from data.generators.translation import english, french
from data.generators.translation import generate as translation
from data.generators.translation.verbs import INTRANSITIVE, TRANSITIVE
from data.generators.translation.words import ADJECTIVES, NOUNS

VOWEL = "[aeiouyàâéèêëîïôùûüœAEIOUÉÊ]"


@pytest.fixture(scope="module")
def made():
    """Returns the sentences with their combinations, by split."""
    return translation.sentences(0)


@pytest.fixture(scope="module")
def pairs(made):
    return [sentence for split in made.values() for sentence in split]


def split_entries(table: str) -> list[str]:
    return [entry.strip() for entry in re.split("[;\n]", table) if entry.strip()]


CONJUGATION = """
être present 0 suis; être present 5 sont; être imperfect 3 étions; être future 2 sera
avoir present 3 avons; avoir imperfect 0 avais; avoir future 5 auront; aller present 0 vais
aller present 5 vont; aller future 4 irez; faire present 4 faites; faire present 5 font
faire imperfect 2 faisait; faire future 0 ferai; dire present 4 dites; pouvoir present 5 peuvent
pouvoir future 0 pourrai; vouloir conditional 0 voudrais; vouloir present 2 veut
devoir present 5 doivent; savoir present 3 savons; savoir future 0 saurai
manger present 3 mangeons; manger imperfect 2 mangeait; manger imperfect 3 mangions
commencer present 3 commençons; commencer imperfect 0 commençais
commencer imperfect 4 commenciez; acheter present 0 achète; acheter present 4 achetez
acheter future 2 achètera; lever present 5 lèvent; appeler present 2 appelle
appeler present 3 appelons; appeler future 3 appellerons; préférer present 0 préfère
préférer present 3 préférons; préférer future 0 préférerai; espérer present 5 espèrent
protéger present 2 protège; protéger present 3 protégeons; nettoyer present 2 nettoie
nettoyer future 5 nettoieront; ennuyer present 0 ennuie; envoyer present 5 envoient
envoyer future 2 enverra; étudier imperfect 3 étudiions; finir present 3 finissons
finir imperfect 5 finissaient; finir future 1 finiras; choisir present 5 choisissent
vendre present 2 vend; vendre present 5 vendent; attendre future 0 attendrai
répondre imperfect 0 répondais; prendre present 5 prennent; comprendre present 3 comprenons
apprendre present 5 apprennent; venir present 5 viennent; revenir future 2 reviendra
devenir present 0 deviens; souvenir present 2 souvient; appartenir present 5 appartiennent
voir present 3 voyons; voir future 4 verrez; recevoir present 5 reçoivent
boire present 3 buvons; boire present 5 boivent; lire imperfect 2 lisait
écrire present 5 écrivent; connaître present 2 connaît; connaître imperfect 5 connaissaient
conduire present 5 conduisent; construire imperfect 0 construisais; traduire present 4 traduisez
ouvrir present 0 ouvre; découvrir present 2 découvre; dormir present 2 dort
endormir present 0 endors; sortir present 5 sortent; courir future 2 courra
peindre present 3 peignons; éteindre present 2 éteint; éteindre imperfect 2 éteignait
asseoir present 2 assied; asseoir imperfect 2 asseyait; résoudre present 5 résolvent
rire present 5 rient; sourire imperfect 2 souriait; suivre present 0 suis
pleuvoir imperfect 2 pleuvait; pleuvoir future 2 pleuvra
"""


@pytest.mark.parametrize("entry", split_entries(CONJUGATION))
def test_conjugates_as_the_school_book_does(entry):
    verb, tense, person, expected = entry.split()
    assert french.conjugate(verb, tense, int(person)) == expected


PARTICIPLES = """
aller fp allées; prendre mp pris; prendre fs prise; écrire fs écrite; ouvrir ms ouvert; lire ms lu
peindre fp peintes; devoir ms dû; devoir fs due; venir mp venus; finir fs finie; vendre ms vendu
recevoir fp reçues; résoudre ms résolu; découvrir fs découverte; asseoir fs assise; être ms été
avoir ms eu; boire ms bu; connaître ms connu; rire ms ri; courir ms couru; faire fs faite
"""


@pytest.mark.parametrize("entry", split_entries(PARTICIPLES))
def test_past_participles(entry: str) -> None:
    verb, ending, expected = entry.split()
    assert french.participle(verb, ending[0], ending[1] == "p") == expected


ADJECTIVE_FORMS = """
beau ms arbre bel; beau ms lit beau; beau fp - belles; beau mp arbre beaux; nouveau ms hôtel nouvel
nouveau ms haricot nouveau; vieux ms ami vieil; vieux fs amie vieille; vieux mp - vieux
blanc fp - blanches; long fs - longue; sec fs - sèche; frais fs - fraîche; frais mp - frais
cher fs - chère; heureux fp - heureuses; jaloux fs - jalouse; gentil fs - gentille
italien fs - italienne; léger fp - légères; inquiet fs - inquiète; rouge fp - rouges
violet fs - violette; bon fp - bonnes; gros mp - gros; bleu mp - bleus
"""


@pytest.mark.parametrize("entry", split_entries(ADJECTIVE_FORMS))
def test_adjectives_agree(entry: str) -> None:
    adjective, ending, before, expected = entry.split()
    assert french.agree(adjective, ending[0], ending[1] == "p", before.strip("-")) == expected


def test_plurals_of_both_languages():
    for singular, plural in {
        "cheval": "chevaux",
        "journal": "journaux",
        "gâteau": "gâteaux",
        "bijou": "bijoux",
        "souris": "souris",
        "pomme de terre": "pommes de terre",
        "grand-mère": "grands-mères",
        "appareil photo": "appareils photo",
    }.items():
        assert french.pluralize(singular) == plural
    for singular, plural in {
        "child": "children",
        "woman": "women",
        "knife": "knives",
        "story": "stories",
        "toy": "toys",
        "box": "boxes",
        "living room": "living rooms",
        "potato": "potatoes",
        "wife": "wives",
        "sheep": "sheep",
    }.items():
        assert english.plural(singular) == plural


def test_english_verbs_and_comparatives():
    for row in (
        """
        carry, carries, carried, carried, carrying; watch, watches, watched, watched, watching
        write, writes, wrote, written, writing; cut, cuts, cut, cut, cutting
        prefer, prefers, preferred, preferred, preferring; sit, sits, sat, sat, sitting
        become, becomes, became, become, becoming; hurry, hurries, hurried, hurried, hurrying
        look for, looks for, looked for, looked for, looking for
        open, opens, opened, opened, opening
        take a walk, takes a walk, took a walk, taken a walk, taking a walk
    """.strip()
        .replace("\n", ";")
        .split(";")
    ):
        verb, *expected = (form.strip() for form in row.split(","))
        forms = [english.inflect(verb, f) for f in ("present", "past", "participle", "ing")]
        assert forms == expected
    comparatives = {
        "big": "bigger",
        "happy": "happier",
        "good": "better",
        "large": "larger",
        "honest": "more honest",
        "interesting": "more interesting",
        "narrow": "more narrow",
        "quiet": "quieter",
        "bad": "worse",
    }
    assert {a: english.comparative(a) for a in comparatives} == comparatives


def test_elision_and_contraction():
    assert french.elide("je ne ai pas vu le homme") == "je n'ai pas vu l'homme"
    assert (
        french.elide("est-ce que il mange le haricot si elle vient")
        == "est-ce qu'il mange le haricot si elle vient"
    )
    assert (
        french.elide("si il pleut parce que on a de la eau") == "s'il pleut parce qu'on a de l'eau"
    )
    assert french.contract("à", "le marché") == "au marché"
    assert french.contract("à", "le hôtel") == "à le hôtel"  # becomes à l'hôtel
    assert french.contract("à côté de", "les arbres") == "à côté des arbres"
    assert french.contract("de", "le haricot") == "du haricot"
    assert french.contract("à", "la gare") == "à la gare"


@pytest.mark.parametrize(
    "wrong",
    [
        rf"\b(je|me|te|se|le|la|ne|de|que|ce) (?!huit|onze){VOWEL}",
        r"\b(le|la|de|ne|je|que) h(?!uit|aricot)",
        r"l'haricot|d'haricot|l'huit|l'onze",
        r"\bsi ils?\b",
        r"\bde les? (?!\w+(?:er|ir|re)\b)",
        r"\bà les?\b",
        r"  ",
        r"^[a-zéêà]",
        r"[^ ][?!]",
        r" \.",
        r"\bd'(un|une)s\b",
        r"(?<!fait )(?<!fera )(?<!faisait )\b(beau|nouveau|ce) [aeiouéèêâ]",
        r"\b(un|le|ce|mon|son|plus) vieux [aeiouéèêâ]",
        r"\b(ma|ta|sa) [aeiouéèêœ]",
        r"\b(bel|nouvel|vieil|cet) (?![aeiouyéèêœâîh])",
        r"\b(un|le|du) \w+elle\b(?<!Quelle)",
        r"\bvous (?:\w+(?:ons|ont))\b(?= )(?<!sont)",
        r"\b(pas|jamais|plus) (un|une|du|des) (?!tout)(?=\w+$)",
        r"\bles? (une?|des)\b",
        r"\bde (du|des|de la)\b",
    ],
)
def test_no_french_sentence_has_a_spelling_that_does_not_exist(pairs, wrong):
    assert [p.fr for p in pairs if re.search(wrong, p.fr)][:5] == []


@pytest.mark.parametrize(
    "wrong",
    [
        r"\b[Aa] (?!uni|use)[aeiou]",
        r"\b[Aa]n (?!hour|honest)[^aeiouAEIO]",
        r"  ",
        r"^[a-z]",
        r" [.?!]",
        r"\bi\b",
        r"\b(\w+) \1\b",
        r"^S?[Hh]e (are|were|have|do)\b",
        r"\b(They|We|You) (is|was|has|does)\b",
        r"(?<!ne)eded\b",
    ],
)
def test_no_english_sentence_has_a_slip(pairs, wrong):
    assert [p.en for p in pairs if re.search(wrong, p.en)][:5] == []


def test_marks_agree_between_the_languages(pairs):
    for pair in pairs:
        assert pair.en[-1] == pair.fr[-1]
        assert pair.en[-1] in ".?!"
        assert (pair.fr[-2] == " ") == (pair.en[-1] in "?!")


def test_sizes_and_bytes(made, monkeypatch):
    monkeypatch.setattr(translation, "sentences", {0: made}.__getitem__)  # made once a module
    assert {split: len(sentences) for split, sentences in made.items()} == {
        "train": 20_000,
        "validation": 500,
        "test": 500,
    }
    lines = [
        json.dumps(r, ensure_ascii=False, separators=(",", ":"))
        for rs in translation.generate(0).values()
        for r in rs
    ]
    assert sum(len(line.encode()) + 1 for line in lines) <= 2_300_000


def test_no_sentence_occurs_twice_in_either_language(pairs):
    for side in ("en", "fr"):
        texts = [getattr(pair, side) for pair in pairs]
        assert len(set(texts)) == len(texts)


def remainder(word, noun):
    """Computes the remainder that decides the split, written down a second time."""
    return crc32(f"{word}|{noun}".encode()) % 100


def test_held_out_combinations_never_occur_in_training(made):
    allowed = {
        "train": range(8, 100),
        "validation": [*range(4), *range(8, 100)],
        "test": range(4, 100),
    }
    for split, sentences in made.items():
        for sentence in sentences:
            assert all(remainder(*c) in allowed[split] for c in sentence.combinations), sentence
            if split != "train":
                assert any(remainder(*c) < 8 for c in sentence.combinations), sentence


def test_held_out_adjectives_never_stand_before_their_noun_in_training_text(made):
    """The text alone shows it too: no adjective stands before a noun held out for it."""
    adjectives = {a.en for a in ADJECTIVES}
    nouns = {form: n.en for n in NOUNS for form in (n.en, english.plural(n.en)) if " " not in n.en}
    seen: Counter[str] = Counter()
    for split, sentences in made.items():
        for sentence in sentences:
            words = sentence.en.rstrip(".?! ").replace(",", "").split()
            for adjective, word in pairwise(words):
                if adjective in adjectives and word in nouns:
                    held_out = remainder(adjective, nouns[word]) < 8
                    assert not (held_out and split == "train"), sentence.en
                    seen[split] += held_out
    assert seen["test"] >= 40
    assert seen["validation"] >= 40


def test_every_word_of_the_test_split_occurs_in_training(made):
    def words(split):
        return {
            w
            for s in made[split]
            for text in (s.en, s.fr)
            for w in re.findall(r"[\w'-]+", text.lower())
        }

    assert words("test") | words("validation") <= words("train")


def test_vocabulary_is_large_and_every_word_common(made):
    text = Counter()
    for sentence in made["train"]:
        words = re.findall(r"[\w-]+|'s", sentence.en.lower())
        for length in (1, 2, 3, 4):
            text.update(" ".join(words[i : i + length]) for i in range(len(words) - length + 1))
    count = {
        noun.en: sum(text[f.lower()] for f in {noun.en, english.plural(noun.en)}) for noun in NOUNS
    }
    for adjective in ADJECTIVES:
        count[adjective.en] = sum(
            text[f.lower()] for f in {adjective.en, english.comparative(adjective.en)}
        )
    for verb in (*TRANSITIVE, *INTRANSITIVE):
        forms = {
            english.inflect(verb.en, f) for f in ("base", "present", "past", "participle", "ing")
        }
        count[verb.en] = sum(text[form] for form in forms)
    assert len(count) >= 500
    assert (
        len({n.fr for n in NOUNS} | {a.fr for a in ADJECTIVES} | {v.fr for v in TRANSITIVE}) >= 500
    )
    assert {word: n for word, n in count.items() if n < 20} == {}


def test_lengths(pairs):
    for side in ("en", "fr"):
        lengths = [len(getattr(pair, side).split()) for pair in pairs]
        assert min(lengths) >= 2
        assert max(lengths) <= 22
        assert 6 <= sum(lengths) / len(lengths) <= 9


def test_the_bytes_are_the_same_on_every_python(made):
    """This value was the same on Python 3.10 to 3.13 and under different hash seeds."""
    text = "".join(
        f"{s.en}\t{s.fr}\n" for split in ("train", "validation", "test") for s in made[split]
    )
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == DIGEST


DIGEST = "0d64ae448788d1c3"
