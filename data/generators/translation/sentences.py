"""All kinds of sentence with their weights, and the finish: elision, capital letter, final mark."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from . import compound, describing, french, scenes, simple
from .describing import Sentence
from .grammar import Grammar
from .phrases import Combination

KINDS: dict[Callable[[Grammar], Sentence], int] = {
    simple.plain: 36, simple.yes_no: 9, simple.where_when_why: 7, simple.what_which_who: 7,
    describing.quality: 13, describing.feeling: 9, simple.command: 6, describing.comparing: 5,
    describing.superlative: 3, describing.presenting: 6, simple.having: 5, simple.belonging: 3,
    describing.profession: 4, simple.nothing: 3, compound.because: 6, compound.if_when: 4,
    compound.reported: 9, compound.while_when: 6, compound.who_relative: 6,
    compound.that_relative: 7, compound.taking_up: 6, compound.unable: 5,
    compound.before_after: 5, compound.opinion: 5, scenes.giving: 9, scenes.going: 8,
    scenes.where_things_are: 8, scenes.lasting: 4, scenes.weather: 5, scenes.clock: 5,
    scenes.body: 10,
}  # fmt: skip
WEIGHTED = [kind for kind, weight in KINDS.items() for _ in range(weight)]


class Finished(NamedTuple):
    """A sentence pair as it stands in the files, and the combinations that decide its split."""

    en: str
    fr: str
    combinations: tuple[Combination, ...]


def sentence(g: Grammar) -> Finished:
    """Draws a kind by weight and finishes a sentence; French sets a space before ? and !."""
    text, combinations, mark = g.rng.choice(WEIGHTED)(g)
    en, fr = text[0], french.elide(text[1])
    space = " " if mark in "?!" else ""
    return Finished(
        en[0].upper() + en[1:] + mark, fr[0].upper() + fr[1:] + space + mark, combinations
    )
