"""The few-shot exam: does a model find the right answer to a prompt likelier than wrong ones?

A task is shown as text, zero or more examples with their answers and then a question; nothing is
trained. Each question has a few answers to choose from, and the model picks the one that gains
most from the prompt, on average over its tokens:

    (log P(answer | prompt) - log P(answer | "French:")) / number of tokens

Without the second term an answer that is always likely would win whatever the question.

Lesson 05 gives the base model this exam. In the comments N is the number of pairs of a prompt and
an answer, B the batch, T the number of tokens, V the vocabulary.

Source: Brown et al. 2020, "Language Models are Few-Shot Learners" (section 2.4 scores answers so).
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tiktoken
import torch
from torch import Tensor
from torch.nn import functional as F

from minigpt.config import IGNORE
from minigpt.model import GPT
from minigpt.text.task_sets import task_set

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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

    def prompt(self, examples: list[Item], item: Item) -> str:
        """Returns the examples with their answers, then the item up to where its answer follows."""
        lines = [f"{self.question.format(**e)} {e[self.answer]}\n" for e in examples]
        return "".join(lines) + self.question.format(**item)

    def candidates(self, i: int) -> list[str]:
        """Returns the answers that item i may have."""
        first = i // 4 * 4
        return list(self.choices) or [item[self.answer] for item in self.items[first : first + 4]]


@dataclass(frozen=True)
class Result:
    """The outcome of an exam.

    Attributes:
        accuracy: the share of the items for which the right answer was picked.
        mass: the summed probability of all answers to choose from, averaged over the items.
        chance: the accuracy of guessing.
        n_items: how many items were asked.
    """

    accuracy: float
    mass: float
    chance: float
    n_items: int

    @property
    def error(self) -> float:
        """Returns two standard errors of the accuracy, and no less than those of guessing."""
        variance = max(p * (1 - p) for p in (self.accuracy, self.chance))
        return 2 * math.sqrt(variance / self.n_items)

    @property
    def beyond_chance(self) -> bool:
        """Returns whether guessing would hardly reach this accuracy."""
        return self.accuracy - self.chance > self.error


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
        "code": Task("[example] {text} [toCode]", "code", CODE[12:], CODE[:12][:n_items]),
    }  # fmt: skip


def exam(model: GPT, encoding: tiktoken.Encoding, task: Task, n_examples: int, seed: int) -> Result:
    """Asks model every item of task, each after n_examples newly drawn examples."""
    choice = random.Random(seed)
    prompts, answers = [], []
    for i, item in enumerate(task.items):
        prompt = task.prompt(choice.sample(task.examples, n_examples), item)
        for answer in task.candidates(i):
            prompts.append(prompt)
            answers.append(answer)
    bare = [task.question.split()[-1]] * len(answers)  # "French:"
    given, n_tokens = log_likelihoods(model, encoding, prompts, answers)
    gain = (given - log_likelihoods(model, encoding, bare, answers)[0]) / n_tokens
    picked = gain.view(len(task.items), -1).argmax(-1).tolist()  # one of each item's candidates
    n_right = sum(
        task.candidates(i)[best] == item[task.answer]
        for i, (item, best) in enumerate(zip(task.items, picked, strict=True))
    )
    mass = given.view(len(task.items), -1).exp().sum(-1).mean()
    return Result(n_right / len(picked), float(mass), task.chance, len(picked))


def verdict(results: Sequence[Result], n_parameters: int) -> str:
    """Returns what exams with more and more examples say about learning from examples.

    Args:
        n_parameters: the size of the model that took them.
    """
    if not any(result.beyond_chance for result in results):
        larger = 175e9 / n_parameters
        return f"not reproduced: no better than guessing; GPT-3 is {larger:,.0f} times as large"
    if results[-1].accuracy - results[0].accuracy > results[-1].error:
        return "reproduced in kind: examples help, even here"
    return "differs: above guessing, but examples do not help; that takes scale"


def draw_bars(axis: Axes, shots: Sequence[int], results: Mapping[str, Sequence[Result]]) -> None:
    """Draws the accuracies of each task with shots examples, their error bars, and guessing."""
    for i, (name, exams) in enumerate(results.items()):
        x = [place + (i - (len(results) - 1) / 2) * 0.27 for place in range(len(shots))]
        bars, errors = [100 * exam.accuracy for exam in exams], [100 * exam.error for exam in exams]
        axis.bar(x, bars, 0.25, yerr=errors, capsize=3, color=f"C{i}", label=name)
        edges = [left - 0.13 for left in x], [right + 0.13 for right in x]
        axis.hlines([100 * exam.chance for exam in exams], *edges, color="black", ls="--", lw=1)
    axis.set_xticks(range(len(shots)), [str(n) for n in shots])
    axis.set(xlabel="examples in the prompt", ylabel="right answer picked (%)", ylim=(0, 115))
    axis.set_title("Is the right answer picked? (dashed: guessing)")
    axis.legend(loc="upper center", ncols=len(results), fontsize="small")


@torch.inference_mode()
def log_likelihoods(
    model: GPT, encoding: tiktoken.Encoding, prompts: list[str], answers: list[str]
) -> tuple[Tensor, Tensor]:
    """Returns log P(answer | prompt) of each pair, and the number of its answer's tokens, [N] each.

    An answer starts with the space that separates it from its prompt.
    """
    device = model.lm_head.weight.device
    pairs = [
        (encoding.encode_ordinary(prompt), encoding.encode_ordinary(f" {answer}"))
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    results = torch.zeros(len(pairs))
    by_length = sorted(range(len(pairs)), key=lambda i: sum(map(len, pairs[i])))
    for start in range(0, len(pairs), 16):
        batch = by_length[start : start + 16]
        longest = max(sum(map(len, pairs[i])) for i in batch)
        idx = torch.zeros(len(batch), longest, dtype=torch.long)  # [B, T]
        targets = torch.full((len(batch), longest), IGNORE)
        for row, i in enumerate(batch):
            question, answer = pairs[i]
            n, total = len(question), len(question) + len(answer)
            idx[row, :total] = torch.tensor(question + answer)
            targets[row, n - 1 : total - 1] = torch.tensor(answer)
        logits = model(idx.to(device))[0].transpose(1, 2)  # [B, V, T]
        loss = F.cross_entropy(logits, targets.to(device), reduction="none")  # [B, T]
        results[batch] = -loss.sum(-1).cpu()  # the loss is 0 where the target is ignored
    return results, torch.tensor([len(answer) for _, answer in pairs])


CODE = [
    {"text": text, "code": code}
    for text, code in (
        ("Return the length of the list.", "return len(items)"),
        ("Open the file for reading.", "open(path, 'r')"),
        ("Sort the names.", "names.sort()"),
        ("Import the math module.", "import math"),
        ("Print the result.", "print(result)"),
        ("Close the socket.", "socket.close()"),
        ("Raise a TypeError.", "raise TypeError"),
        ("Convert the string to an integer.", "int(string)"),
        ("Add the value to the set.", "values.add(value)"),
        ("Define a function.", "def function():"),
        ("Return True if the key is in the dictionary.", "return key in dictionary"),
        ("Split the line at each comma.", "line.split(',')"),
        ("Get the current time.", "time.time()"),
        ("Join the thread.", "thread.join()"),
        ("Delete the attribute.", "delattr(object, name)"),
        ("Return the absolute value.", "return abs(x)"),
    )
]
