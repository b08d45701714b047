"""`PorterStemmer().stem` of nltk sooner, and without nltk: the stems that rouge_score compares.

A word has the shape of its letters, c for a consonant and v for a vowel; its *measure* is how often
a vowel is followed by a consonant. Each step of Porter's cuts one suffix off or replaces it, if the
measure of what stands before it is large enough. nltk asks letter after letter and rule after rule;
here `str.translate` draws the shape and a dictionary finds the suffix.

`python -m minigpt bench metrics` measures what that gains (ROUGE-1/2/L, stemmed).

Sources: Porter 1980, "An algorithm for suffix stripping"; nltk 3.9, module stem.porter.
"""

import re
from collections.abc import Mapping

SHAPES = bytes.maketrans(b"bcdfghjklmnpqrstvwxz0123456789aeiou", b"c" * 30 + b"v" * 5)
Y_RUN = re.compile(b"(^|v)?(y+)")


def shape(word: str) -> bytes:
    """Returns a c or v for each letter; y is a consonant at the start and after a vowel."""
    letters = word.encode("ascii").translate(SHAPES)
    return Y_RUN.sub(_shape_of_ys, letters) if b"y" in letters else letters


def _shape_of_ys(run: re.Match) -> bytes:
    pair = b"vc" if run[1] is None else b"cv"
    return (run[1] or b"") + (pair * len(run[2]))[: len(run[2])]


def measure(word: str) -> int:
    """Returns m of the form [C](VC)^m[V]: 0 of "tree", 1 of "trouble", 2 of "private"."""
    return shape(word).count(b"vc")


def ends_like_hop(word: str) -> bool:
    """Porter's *o: consonant, vowel, consonant but not w, x or y; to nltk, "at" is such an end."""
    letters = shape(word)
    return (letters[-3:] == b"cvc" and word[-1] not in "wxy") or letters == b"vc"


# Steps 2 to 4, {suffix: what takes its place}; the longest suffix of a word counts.
STEP_2 = {
    **{"ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize"},
    **{"bli": "ble", "entli": "ent", "eli": "e", "ousli": "ous", "fulli": "ful", "logi": "log"},
    **{"ization": "ize", "ation": "ate", "ator": "ate", "alism": "al", "iveness": "ive"},
    **{"fulness": "ful", "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble"},
}
STEP_3 = {
    **{"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": ""},
    "ness": "",
}
STEP_4 = dict.fromkeys(
    (
        *("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion"),
        *("ou", "ism", "ate", "iti", "ous", "ive", "ize"),
    ),
    "",
)
STEPS = [  # with the last two letters of the suffixes, and the measure that the rest must have
    (rules, {suffix[-2:] for suffix in rules}, least)
    for rules, least in ((STEP_2, 1), (STEP_3, 1), (STEP_4, 2))
]


def replace_suffix(word: str, rules: Mapping[str, str], least: int) -> str:
    """Replaces the longest suffix that has a rule, if the rest has at least this measure."""
    for start in range(max(0, len(word) - 7), len(word) - 1):
        suffix = word[start:]
        if suffix in rules:
            rest = word[:start]
            fits = measure(rest + "l" if suffix == "logi" else rest) >= least
            if not fits or (suffix == "ion" and rest[-1] not in "st"):
                return word
            return rest + rules[suffix]
    return word


def without_ed_or_ing(word: str) -> str:
    """Step 1b: agreed -> agree, motoring -> motor; hopp(ing) -> hop, fil(ing) -> file."""
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if measure(word[:-3]) > 0 else word
    rest = word[:-2] if word.endswith("ed") else word[:-3]
    if b"v" not in (letters := shape(rest)):
        return word
    if rest.endswith(("at", "bl", "iz")):
        return rest + "e"
    if rest[-2:-1] == rest[-1] and letters.endswith(b"c"):
        return rest if rest[-1] in "lsz" else rest[:-1]
    return rest + "e" if letters.count(b"vc") == 1 and ends_like_hop(rest) else rest


IRREGULAR = {
    **{"skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "news": "news"},
    **{"innings": "inning", "inning": "inning", "outings": "outing", "outing": "outing"},
    **{"cannings": "canning", "canning": "canning", "howe": "howe", "sky": "sky"},
    **{"proceed": "proceed", "exceed": "exceed", "succeed": "succeed"},
}


def porter_stem(word: str) -> str:
    """Returns the stem nltk's PorterStemmer() has of a word of a-z and 0-9: "fli" of "flies"."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    if len(word) <= 2:
        return word
    if word.endswith("s"):  # step 1a
        if word.endswith("ies"):
            word = word[:-1] if len(word) == 4 else word[:-2]
        elif word.endswith("sses"):
            word = word[:-2]
        elif not word.endswith("ss"):
            word = word[:-1]
    if word.endswith(("ed", "ing")):
        word = without_ed_or_ing(word)
    if word.endswith("y") and len(word) > 2 and shape(word)[-2:-1] == b"c":  # step 1c
        word = word[:-1] + "i"
    if word.endswith("alli") and measure(word[:-4]) > 0:
        word = word[:-2]
    for rules, ends, least in STEPS:
        if word[-2:] in ends:
            word = replace_suffix(word, rules, least)
    if word.endswith("e"):  # step 5a
        m = measure(word[:-1])
        if m > 1 or (m == 1 and not ends_like_hop(word[:-1])):
            word = word[:-1]
    if word.endswith("ll") and measure(word[:-1]) > 1:  # step 5b
        word = word[:-1]
    return word
