"""The stems against nltk's, on real words and on words made of what the rules look at."""

import random
import re
from pathlib import Path

from nltk.stem.porter import PorterStemmer

import lessons
from minigpt.fast.porter import IRREGULAR, STEP_2, STEP_3, STEP_4, measure, porter_stem, shape

SUFFIXES = [
    *(*STEP_2, *STEP_3, *STEP_4, "", "alli", "abli", "s", "es", "ies", "sses", "ss", "ed", "eed"),
    *("ied", "ing", "y", "e", "ll", "ate", "sion", "tion", "ology", "ly"),
]


def test_the_words_of_this_repository_have_nltks_stems() -> None:
    files = Path(lessons.__file__).parent.rglob("*.py")
    text = " ".join(file.read_text(encoding="utf-8") for file in files).lower()
    words = sorted({*re.findall("[a-z0-9]+", text), *IRREGULAR, "spying", "1990s", "yyy", "by"})
    assert len(words) > 3000
    stem = PorterStemmer().stem
    assert [porter_stem(word) for word in words] == [stem(word) for word in words]


def test_words_full_of_suffixes_and_ys_have_nltks_stems() -> None:
    chance, stem = random.Random(0), PorterStemmer().stem
    for _ in range(1500):
        root = "".join(chance.choices("aeiouyyylstnrcdbzvwx1", k=chance.randrange(8)))
        word = root + "".join(chance.choices(SUFFIXES, k=chance.randrange(4)))
        assert porter_stem(word) == stem(word), word


def test_shapes_and_measures_of_porters_paper() -> None:
    assert [shape(word) for word in ("toy", "syzygy", "yyyy", "ayyb")] == [
        *(b"cvc", b"cvcvcv", b"cvcv", b"vcvc"),
    ]
    measures = {"tr": 0, "tree": 0, "by": 0, "trouble": 1, "ivy": 1, "private": 2, "orrery": 2}
    assert {word: measure(word) for word in measures} == measures


def test_a_word_of_a_hundred_thousand_letters_takes_no_time() -> None:
    word = "y" * 100_000 + "ational"
    assert porter_stem(word) == PorterStemmer().stem(word)
