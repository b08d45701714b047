"""The few-shot exam: does a model find the right answer to a prompt likelier than wrong ones?

A task is shown as text, zero or more examples with their answers and then a question; nothing is
trained. Each question has a few answers to choose from, and the model picks the one that gains
most from the prompt, on average over its tokens:

    (log P(answer | prompt) - log P(answer | "French:")) / number of tokens

Without the second term an answer that is always likely would win whatever the question.

Lesson 5 gives the base model this exam. In the comments N is the number of pairs of a prompt and
an answer, B the batch, T the number of a prompt's tokens, A that of the longest answer's, V the
vocabulary.

Source: Brown et al. 2020, "Language Models are Few-Shot Learners" (section 2.4: for some
tasks they divide by the answer's probability after a bare word, as here).
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, groupby
from typing import TYPE_CHECKING

import tiktoken
import torch
from torch import Tensor
from torch.nn import functional as F

from lessons.experiments.code_questions import N_EXAMPLES, QUESTIONS
from lessons.experiments.share_interval import share_interval
from lessons.verdicts import Verdict, error_of_mean, error_of_share, is_more
from minigpt.cache import KVCache
from minigpt.config import IGNORE
from minigpt.generation import generate
from minigpt.model import GPT
from minigpt.text.task_sets import task_set

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Item = dict[str, str]


@dataclass(frozen=True)
class Task:
    """The questions of an exam, and their wording.

    Attributes:
        question: the text of a question, with the item's fields in braces.
        answer: the field that holds the right answer.
        examples: the items from which the examples in the prompts are drawn.
        items: the questions of the exam.
        choices: the answers to choose from; if none are given, an item's choices are its own answer
            and those of its three neighbours, so that guessing finds one in four.
    """

    question: str
    answer: str
    examples: list[Item]
    items: list[Item]
    choices: tuple[str, ...] = ()

    @property
    def chance(self) -> float:
        """Returns the accuracy of guessing."""
        return 1 / len(self.choices or range(4))

    def example(self, item: Item) -> str:
        """Returns a line that shows an item with its answer."""
        return f"{self.question.format(**item)} {item[self.answer]}\n"

    def prompt(self, examples: list[Item], item: Item) -> str:
        """Returns the examples with their answers, then the item up to where its answer follows."""
        return "".join(map(self.example, examples)) + self.question.format(**item)

    def candidates(self, i: int) -> list[str]:
        """Returns the answers that item i may have."""
        first = i // 4 * 4
        return list(self.choices) or [item[self.answer] for item in self.items[first : first + 4]]


@dataclass(frozen=True)
class Result:
    """The outcome of an exam.

    Attributes:
        right: for each item, whether the right answer was picked.
        mass: the summed probability of all answers to choose from, averaged over the items.
        chance: the accuracy of guessing.
    """

    right: tuple[bool, ...]
    mass: float
    chance: float

    @property
    def accuracy(self) -> float:
        """Returns the share of the items for which the right answer was picked."""
        return sum(self.right) / len(self.right)

    @property
    def error(self) -> float:
        """Returns the standard error of the accuracy."""
        return error_of_share(self.accuracy, len(self.right))

    def against_chance(self) -> Verdict:
        """Judges whether the right answer was picked more often than guessing would.

        The error is that of a guesser's accuracy, as in the intervals of draw_bars.
        """
        error = math.sqrt(self.chance * (1 - self.chance) / len(self.right))
        points = 100 * (self.accuracy - self.chance), 100 * error
        return is_more(*points, unit=" points", places=0, no="guessing does better", checked=True)

    def against(self, fewer: Result, n_parameters: int) -> Verdict:
        """Judges whether more examples have helped; both exams asked the same items.

        Args:
            fewer: the exam with fewer examples in its prompts.
            n_parameters: the size of the model that took them.
        """
        gains = [100 * (a - b) for a, b in zip(self.right, fewer.right, strict=True)]
        # Where no item changed there is still the chance that others would have.
        error = error_of_mean(gains, at_least=100 / len(gains))
        no = f"examples lead our model astray; GPT-3 is {175e9 / n_parameters:,.0f} times as large"
        return is_more(sum(gains) / len(gains), error, unit=" points", places=1, no=no)


def tasks(n_items: int) -> dict[str, Task]:
    """Returns the tasks, each with at most n_items questions (a multiple of 4)."""
    reviews = task_set("reviews", "test")
    kinds = ([r for r in reviews if r["label"] == kind] for kind in ("positive", "negative"))
    in_turn = [review for pair in zip(*kinds, strict=False) for review in pair]
    return {
        "English to French": Task(
            "English: {en}\nFrench:", "fr",
            task_set("translation", "train"), task_set("translation", "test")[:n_items],
        ),
        "sentiment of a review": Task(
            "Review: {text}\nSentiment:", "label",
            task_set("reviews", "train"), in_turn[:n_items], ("positive", "negative"),
        ),
        "code": Task(
            "[example] {text} [toCode]", "code",
            QUESTIONS[-N_EXAMPLES:], QUESTIONS[:-N_EXAMPLES][:n_items],
        ),
    }  # fmt: skip


def exam(model: GPT, encoding: tiktoken.Encoding, task: Task, n_examples: int, seed: int) -> Result:
    """Asks model every item of task, each after n_examples newly drawn examples."""
    dice = random.Random(seed)
    prompts, answers = [], []
    for i, item in enumerate(task.items):
        prompt = task.prompt(dice.sample(task.examples, n_examples), item)
        for answer in task.candidates(i):
            prompts.append(prompt)
            answers.append(answer)
    given, n_tokens = log_likelihoods(model, encoding, prompts, answers)
    different = list(dict.fromkeys(answers))
    bare = [task.question.split()[-1]] * len(different)  # "French:"
    alone = log_likelihoods(model, encoding, bare, different)[0]
    gain = (given - alone[[different.index(answer) for answer in answers]]) / n_tokens
    picked = gain.view(len(task.items), -1).argmax(-1).tolist()  # one of each item's candidates
    right = tuple(
        task.candidates(i)[best] == item[task.answer]
        for i, (item, best) in enumerate(zip(task.items, picked, strict=True))
    )
    mass = given.view(len(task.items), -1).exp().sum(-1).mean()
    return Result(right, float(mass), task.chance)


def by_letters(task: Task) -> tuple[float, float]:
    """Returns the accuracy, and its error, of picking by letters alone, without any model.

    The answer is picked whose runs of three characters its question shares to the largest part;
    where several do so alike, each is as good a guess.
    """
    gains = []
    for i, item in enumerate(task.items):
        question = runs_of_three(task.question.format(**item))
        shares = [
            len(question & runs_of_three(answer)) / len(runs_of_three(answer))
            for answer in task.candidates(i)
        ]
        best = [a for a, s in zip(task.candidates(i), shares, strict=True) if s == max(shares)]
        gains.append(best.count(item[task.answer]) / len(best))
    share = sum(gains) / len(gains)
    return share, error_of_share(share, len(gains))


def runs_of_three(text: str) -> set[str]:
    """Returns the different runs of three characters in text, in lower case."""
    text = f" {text.lower()} "
    return {text[k : k + 3] for k in range(len(text) - 2)}


def written(
    model: GPT, encoding: tiktoken.Encoding, task: Task, n_examples: int, seed: int, n_items: int
) -> list[str]:
    """Returns what the model writes, greedily, after the first n_items; one line of each."""
    dice = random.Random(seed)
    device = model.lm_head.weight.device
    lines = []
    for item in task.items[:n_items]:
        prompt = encoding.encode_ordinary(task.prompt(dice.sample(task.examples, n_examples), item))
        ids = generate(model, torch.tensor([prompt], device=device), 16, temperature=0)[0].tolist()
        text = encoding.decode(ids[len(prompt) :])
        lines.append(text.strip().partition("\n")[0])
    return lines


def example_tokens(encoding: tiktoken.Encoding, lines: Sequence[str]) -> list[int]:
    """Returns how many tokens of the context window each example takes."""
    return [len(encoding.encode_ordinary(line)) for line in lines]


def draw_bars(axis: Axes, shots: Sequence[int], results: Mapping[str, Sequence[Result]]) -> None:
    """Draws the accuracies of each task with shots examples, their intervals, and guessing."""
    for i, (name, exams) in enumerate(results.items()):
        x = [place + (i - (len(results) - 1) / 2) * 0.27 for place in range(len(shots))]
        axis.bar(x, [100 * exam.accuracy for exam in exams], 0.25, color=f"C{i}", label=name)
        for left, exam in zip(x, exams, strict=True):
            low, high = share_interval(exam.accuracy, len(exam.right))
            axis.vlines(left, 100 * low, 100 * high, color="black", lw=1.5)
            axis.hlines(100 * exam.chance, left - 0.13, left + 0.13, color="black", ls="--", lw=1)
    axis.set_xticks(range(len(shots)), [str(n) for n in shots])
    axis.set(xlabel="examples in the prompt", ylabel="right answer picked (%)", ylim=(0, 102))
    axis.set_title(
        "Is the right answer picked?\n(dashed: guessing; black lines: two standard errors)"
    )


def draw_costs(costs: Mapping[str, Sequence[int]], windows: Mapping[str, int]) -> Figure:
    """Draws how long a prompt gets with each example that is added to it.

    Args:
        costs: {task: the tokens of its examples}; they are used again when they are used up.
        windows: {model: the tokens of its context window}.
    """
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7.5, 4.8), layout="constrained")
    widest = max(windows.values())
    for name, tokens in costs.items():
        length, sizes = [0], cycle(tokens)
        while length[-1] <= widest:
            length.append(length[-1] + next(sizes))
        axis.plot(range(len(length)), length, label=name)
    for name, window in windows.items():
        axis.axhline(window, color="black", ls="--", lw=1)
        axis.annotate(name, (0.99, window), (0, 3), xycoords=("axes fraction", "data"),
                      textcoords="offset points", ha="right")  # fmt: skip
    axis.set(
        xlabel="examples in the prompt", ylabel="tokens", ylim=(0, 1.1 * widest), xlim=(0, None)
    )
    axis.set_title("What examples take of a context window")
    figure.legend(loc="outside lower center", ncols=len(costs))
    return figure


@torch.inference_mode()
def log_likelihoods(
    model: GPT, encoding: tiktoken.Encoding, prompts: list[str], answers: list[str]
) -> tuple[Tensor, Tensor]:
    """Returns log P(answer | prompt) of each pair, and the number of its answer's tokens, [N] each.

    An answer starts with the space that separates it from its prompt. A prompt that several pairs
    in a row have in common is read once: its keys and values are copied for each answer.
    """
    device = model.lm_head.weight.device
    ids = [encoding.encode_ordinary(f" {answer}") for answer in answers]
    results = torch.zeros(len(ids))
    for prompt, group in groupby(range(len(ids)), key=lambda i: prompts[i]):
        rows = list(group)  # B of them
        question = torch.tensor([encoding.encode_ordinary(prompt)], device=device)  # [1, T]
        longest = max(len(ids[i]) for i in rows)  # A
        targets = torch.full((len(rows), longest), IGNORE)
        for row, i in enumerate(rows):
            targets[row, : len(ids[i])] = torch.tensor(ids[i])
        targets = targets.to(device)  # [B, A]
        cache = KVCache(model.config.n_layer, capacity=question.size(1))
        first = model(question, cache=cache)[0][:, -1:]  # [1, 1, V]
        cache = cache.copy(len(rows), question.size(1) + longest)
        # The last token predicts nothing. Where an answer has ended, any token may be read.
        logits = model(targets.clamp(min=0), cache=cache)[0][:, :-1]  # [B, A - 1, V]
        logits = torch.cat([first.expand(len(rows), -1, -1), logits], dim=1)  # [B, A, V]
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        results[rows] = -loss.view_as(targets).sum(-1).cpu()  # 0 where the target is ignored
    return results, torch.tensor([len(answer) for answer in ids])
