"""The stage on which a dialogue is written: facts, turns, slips of the tongue, a summary.

A situation (see `travel.py` and the files beside it) is a function that gets a Scene. It draws
facts, lets speaker A (who wants something) and speaker B (who can help) talk about them, and ends
with a summary of those facts. Wordings are written in a small notation:

    "[hello|hi], I'd like {wish}."      [x|y] is a choice (it nests), {wish} is a fact or a phrase
    "my back hurts > back pain"         a fact as it is said in a turn > as the summary tells it
"""

import random
import re
from dataclasses import dataclass, field

from .words import DAYTIMES, FRIEND_TALK, MEN, PHRASES, STRANGER_TALK, SURNAMES, WOMEN

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")
_SENTENCE_START = re.compile(r"(^|[.!?] )([a-z])")


@dataclass(frozen=True)
class Fact:
    """A fact of a dialogue: the words of a turn that give it, and the words that report it."""

    said: str
    told: str


@dataclass
class Scene:
    """A dialogue in the making. `rng` decides everything; nothing else is random."""

    rng: random.Random
    facts: dict[str, Fact] = field(default_factory=dict)
    turns: list[tuple[str, str]] = field(default_factory=list)  # (speaker "A" or "B", words)
    names: dict[str, str] = field(default_factory=dict)  # what the summary calls a speaker
    corrections: list[tuple[str, str]] = field(default_factory=list)  # (wrong, fact name)
    slips: dict[str, str] = field(default_factory=dict)  # fact name -> what is said first
    summary: str = ""
    summary_facts: tuple[str, ...] = ()
    key: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.phrases = {**PHRASES, "hello": f"[hello|hi|{self.rng.choice(DAYTIMES)}]"}

    def chance(self, probability: float) -> bool:
        """Returns True with the given probability."""
        return self.rng.random() < probability

    def draw(self, name: str, options: str) -> str:
        """Draws the fact `name` from "one; two; said > told", different from all facts so far.

        Returns what is said, for a situation that branches on it.
        """
        taken = {fact.said for fact in self.facts.values()}
        fact = self.rng.choice([f for f in _read_options(options) if f.said not in taken])
        self.facts[name] = fact
        return fact.said

    def person(self, speaker: str) -> None:
        """Gives a speaker a full name: facts {name} "Anna Carter" and {title} "Ms. Carter"."""
        woman = self.chance(0.5)
        first, last = self._one(WOMEN if woman else MEN), self._one(SURNAMES)
        self.facts["name"] = Fact(f"{first} {last}", f"{first} {last}")
        self.facts["title"] = Fact(f"{'Ms.' if woman else 'Mr.'} {last}", f"{first} {last}")
        self.names[speaker] = f"{first} {last}"

    def friend(self, speaker: str, name: str = "friend") -> None:
        """Gives a speaker a first name, as the fact `name`."""
        self.draw(name, f"{WOMEN}; {MEN}")
        self.names[speaker] = self.facts[name].told

    def a(self, *wordings: str, p: float = 1.0) -> None:
        """Lets speaker A say one of the wordings (with probability `p`)."""
        if self.chance(p):
            self._say("A", wordings)

    def b(self, *wordings: str, p: float = 1.0) -> None:
        """Lets speaker B say one of the wordings (with probability `p`)."""
        if self.chance(p):
            self._say("B", wordings)

    def slip(self, name: str, options: str, probability: float = 0.16) -> None:
        """Sometimes lets the fact `name` be said wrongly at first and then corrected."""
        facts = " ".join(f"{fact.said} {fact.told}" for fact in self.facts.values())
        wrong = self.rng.choice([f.said for f in _read_options(options) if f.said not in facts])
        if self.chance(probability):
            self.slips[name] = wrong

    def check(self, name: str, asker: str = "B", probability: float = 0.06) -> None:
        """Sometimes lets the listener ask whether a fact was heard correctly."""
        if self.chance(probability) and not self.corrections:
            self._say(
                asker, (f"[Sorry, did|Did] you say {{{name}}}?", f"{{{name}}}, [right|correct]?")
            )
            self._say(
                _other(asker), ("Yes, [that's right|please|exactly].", "That's right.", "Right.")
            )

    def wait(self, probability: float = 0.08) -> None:
        """Sometimes gives B a moment to look something up."""
        if self.chance(probability):
            self.b(
                "[Could|Can] you [wait|hold on] a [moment|second|minute]?",
                "Give me a minute, please.",
            )
            self.a("[Sure|Of course|No problem|Sure, take your time].")
            self.b("Thanks for waiting.")

    def welcome(self, *wordings: str, p: float = 0.2) -> None:
        """Sometimes lets B speak first, with a remark on the weather now and then."""
        if self.chance(p):
            self._say("B", wordings)
            if self.chance(0.2):
                self._exchange("B", STRANGER_TALK)
            self._say("B", ("{how}?",))

    def small_talk(self, starter: str, p: float = 0.2) -> None:
        """Sometimes lets two friends exchange a remark that has nothing to do with the matter."""
        if self.chance(p):
            self._exchange(starter, FRIEND_TALK)

    def summarize(self, *wordings: str, key: str) -> None:
        """Writes the summary. `key` names the facts whose combination decides the split.

        {A} and {B} become a speaker's name if the dialogue gives one, the first name when
        it is repeated, else #Person1# or #Person2# by who speaks first.
        """
        wording = self._expand(self.rng.choice(wordings))
        self.summary_facts = tuple(n for n in _SLOT.findall(wording) if n in self.facts)
        seen: set[str] = set()

        def tell(match: re.Match[str]) -> str:
            slot = match.group(1)
            if slot not in ("A", "B"):
                return self.facts[slot].told
            if slot not in self.names:
                return "#Person1#" if slot == self.turns[0][0] else "#Person2#"
            name = self.names[slot] if slot not in seen else self.names[slot].split()[0]
            seen.add(slot)
            return name

        self.summary = _polish(_SLOT.sub(tell, wording))
        self.key = tuple(self.facts[name].told for name in key.split())

    def dialogue(self) -> str:
        """Returns the turns as DialogSum writes them; who speaks first is #Person1#."""
        first = self.turns[0][0]
        return "\n".join(
            f"#Person{1 if speaker == first else 2}#: {words}" for speaker, words in self.turns
        )

    def _one(self, options: str) -> str:
        return self.rng.choice(options.split("; "))

    def _exchange(self, starter: str, talk: tuple[tuple[str, str], ...]) -> None:
        remark, answer = self.rng.choice(talk)
        self._say(starter, (remark,))
        self._say(_other(starter), (answer,))

    def _expand(self, wording: str) -> str:
        """Replaces phrases and settles every [choice|of|words], innermost first."""
        wording = _SLOT.sub(lambda m: self.phrases.get(m.group(1), m.group(0)), wording)
        while match := _CHOICE.search(wording):
            option = self.rng.choice(match.group(1).split("|"))
            wording = wording[: match.start()] + option + wording[match.end() :]
        return wording

    def _say(self, speaker: str, wordings: tuple[str, ...]) -> None:
        wording = self.rng.choice(wordings)
        if speaker in (spoke for spoke, _ in self.turns):  # nobody greets twice
            wording = wording.removeprefix("{hello}. ")
        wording = self._expand(wording)
        slipped = [name for name in _SLOT.findall(wording) if name in self.slips][:1]
        wrong = self.slips.pop(slipped[0]) if slipped else ""

        def said(match: re.Match[str]) -> str:
            name = match.group(1)
            return wrong if name in slipped else self.facts[name].said

        self._add(speaker, _polish(_SLOT.sub(said, wording)))
        for name in slipped:
            self._correct(speaker, wrong, name)

    def _correct(self, speaker: str, wrong: str, name: str) -> None:
        """Lets the speaker notice a slip alone, or because the other repeats it."""
        self.corrections.append((wrong, name))
        right = self.facts[name].said
        if self.chance(0.5):
            lines = {speaker: f"[Sorry, I mean|No, wait,|Oh, sorry, I meant] {right}."}
        else:
            lines = {
                _other(speaker): f"[You said {wrong}|{wrong}|{wrong}, right]?",
                speaker: f"[Sorry, I meant|No, sorry,|Sorry, no,] {right}.",
            }
        for who, wording in lines.items():
            self._add(who, _polish(self._expand(wording)))

    def _add(self, speaker: str, words: str) -> None:
        """Adds words of a speaker; two sentences of one speaker in a row make one turn."""
        if self.turns and self.turns[-1][0] == speaker:
            words = f"{self.turns.pop()[1]} {words}"
        self.turns.append((speaker, words))


def _read_options(options: str) -> list[Fact]:
    pairs = [option.partition(" > ") for option in options.split("; ")]
    return [Fact(said, told or said) for said, _, told in pairs]


def _other(speaker: str) -> str:
    return "B" if speaker == "A" else "A"


def _polish(text: str) -> str:
    """Returns text with single spaces, and a capital at the start of every sentence."""
    text = " ".join(text.split())
    return _SENTENCE_START.sub(lambda m: m.group(1) + m.group(2).upper(), text)
