"""Problems whose answers are lists and dicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from lessons.grading.task import Case, Draw
from tests.lessons.grading.problems import problem

# runs of equal entries become one


def squeeze(items):
    return [x for i, x in enumerate(items) if i == 0 or x != items[i - 1]]


def squeeze_sample(draw: Draw) -> Case:
    return Case((draw.integers(0, 2, draw.integer(0, 2 * draw.size + 1)).tolist(),))


def squeeze_special(draw: Draw) -> Iterator[Case]:
    yield Case(([],), note="the list is empty")
    yield Case(([1, 1, 1, 1],), note="all entries are equal")


SQUEEZE = problem(squeeze, squeeze_sample, squeeze_special, compare=None)


@SQUEEZE.is_right
def _(items):
    kept = []
    for x in items:
        if kept[-1:] != [x]:
            kept.append(x)
    return tuple(kept)


@SQUEEZE.says("argument returned", "just items")
def _(items):
    return items


@SQUEEZE.says("list: reversed or reversed", "reverse order")
def _(items):
    return squeeze(items)[::-1]


@SQUEEZE.says("list: last missing or as if: shortened", "last entry")
def _(items):
    return squeeze(items)[:-1]


@SQUEEZE.says("list: repeats dropped", "repeats are dropped")
def _(items):
    return list(dict.fromkeys(items))


@SQUEEZE.says("list: sorted or as if: sorted or sorted", "sorted")
def _(items):
    return sorted(squeeze(items))


@SQUEEZE.says("exception", "IndexError", "items is empty")
def _(items):
    kept = [items[0]]
    for x in items[1:]:
        if x != kept[-1]:
            kept.append(x)
    return kept


@SQUEEZE.says("unfinished", "not finished")
def _(items):
    for i in range(len(items) - 1):
        if items[i] == items[i + 1]:
            return items[:i] + squeeze(items[i + 1 :])[:1] + items[i + 2 :]
    return items


@SQUEEZE.says("list: one too many at the end", "too many at the end")
def _(items):
    return [*squeeze(items), -1]


@SQUEEZE.says("changes an argument", "changes items")
def _(items):
    kept = squeeze(items)
    items.clear()
    return kept


# how often each word comes


def count(words):
    return dict(Counter(words))


def count_sample(draw: Draw) -> Case:
    return Case((draw.sample("abcd", draw.integer(0, 2 * draw.size + 1)),))


COUNT = problem(count, count_sample, compare=None)


@COUNT.is_right
def _(words):
    return Counter(words)


@COUNT.says("dict: all ones or as if: deduplicated", "")
def _(words):
    return dict.fromkeys(words, 1)


@COUNT.says("as if: shortened", "last entry of words were missing")
def _(words):
    return count(words[:-1])


@COUNT.says("dict: values one too large", "too large by 1")
def _(words):
    return {word: n + 1 for word, n in Counter(words).items()}


@COUNT.says("dict: once only left out", "only once")
def _(words):
    return {word: n for word, n in Counter(words).items() if n > 1}


_KEPT: Counter = Counter()


@COUNT.says("keeps state", "kept between two calls")
def _(words):
    _KEPT.update(words)
    return dict(_KEPT)


@COUNT.says("type", "a list", "a dict")
def _(words):
    return list(Counter(words).items())


PROBLEMS = [SQUEEZE, COUNT]
