"""Lesson 7, fine-tuning: what is learned in a prompt with its answer, and rows of many lengths."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lessons.exercises import bank_07 as bank
from lessons.grading.task import Case, Draw, Task

IGNORE = -100
END = 50256

# 7.1 mask_prompt


def mask_prompt(prompt: list[int], completion: list[int]) -> tuple[Tensor, Tensor]:
    """Returns what a model reads and what it has to guess, for a prompt with its completion.

    With ids = prompt + completion, at each position t the model reads ids[t] and guesses what
    follows:

        inputs[t]  = ids[t]                                      for t = 0 to len(ids) - 2
        targets[t] = ids[t + 1], if that is a completion token, else -100

    The loss skips targets of -100: the prompt is read, not learned.

    Args:
        prompt: ids; may be empty.
        completion: ids, at least one.

    Returns:
        inputs and targets, both int64 [len(ids) - 1].
    """
    ids = prompt + completion
    labels = [IGNORE] * len(prompt) + completion
    return torch.tensor(ids[:-1], dtype=torch.int64), torch.tensor(labels[1:], dtype=torch.int64)


def mask_prompt_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 7.1."""
    yield Case(([5, 6], [7, 8]))
    yield Case(([5, 6, 9, 3], [7, 8, 2]))
    yield Case(([5], [7, 8, 9]), note="the prompt has one token")
    yield Case(([], [7, 8, 9, 4]), note="the prompt is empty")
    yield Case(([], [7, 8]), note="the prompt is empty")
    yield Case(([5, 6, 9], [7]), note="the completion has one token")
    yield Case(([5], [7]), note="the prompt has one token")
    repeated = "the completion repeats ids of the prompt"
    yield Case(([5, 7, 5, 0], [7, 5, 0, 5, END]), note=repeated)
    yield Case(([3, 3, 3], [3, 3]), note=repeated)
    ids = draw.integers(0, 50256, 20).tolist()
    yield Case((ids[:12], ids[12:]))


def mask_prompt_sample(draw: Draw) -> Case:
    """Returns a random case of 7.1."""
    prompt = draw.integers(0, 4 * draw.size, draw.integer(0, 2 * draw.size)).tolist()
    completion = draw.integers(0, 4 * draw.size, draw.integer(2, 2 * draw.size + 1)).tolist()
    return Case((prompt, completion), note="" if prompt else "the prompt is empty")


MASK_PROMPT = Task(
    id="7.1",
    name="mask_prompt",
    reference=mask_prompt,
    idea="Fine-tuning should teach the answer, not the question. So the model reads both, and the "
    "loss counts only the targets that belong to the answer.",
    example=""">>> inputs, targets = mask_prompt([5, 6, 9], [7, 8])
>>> inputs.tolist(), targets.tolist()
([5, 6, 9, 7], [-100, -100, 7, 8])""",
    hints=(
        "At which position does the model read the last token of the prompt, and what is it to "
        "guess there?",
        "Label every id first, -100 for the prompt's, and only then cut off the first label and "
        "the last id.",
        "labels = [-100] * len(prompt) + completion",
    ),
    cases=mask_prompt_cases,
    sample=mask_prompt_sample,
    bank=bank.masks,
)

# 7.2 positions_of


def positions_of(segments: Tensor) -> Tensor:
    """Returns each token's position in its own text, for rows that hold several texts.

        positions[b, t] = t - the first place in row b with the segment number segments[b, t]

    Args:
        segments: the number of the text that each token belongs to, int64 [B, T]: each row begins
            with 0 and goes up by 1 where the next text begins, as 0 0 0 1 1 2.

    Returns:
        int64 [B, T].
    """
    index = torch.arange(segments.size(1)).expand_as(segments)  # [B, T]
    first = segments.diff(dim=1, prepend=torch.full_like(segments[:, :1], -1)) != 0  # [B, T]
    return index - torch.where(first, index, 0).cummax(dim=1).values


def segments_of(*rows: list[int]) -> Tensor:
    """Returns segments [B, T] of the lengths of the texts in each row."""
    return torch.stack(
        [torch.arange(len(row)).repeat_interleave(torch.tensor(row)) for row in rows]
    )


def positions_of_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 7.2."""
    one = "a row holds one text"
    yield Case((segments_of([3, 2, 1]),), note="the batch has one row")
    yield Case((segments_of([1]),), note="T is 1")
    yield Case((segments_of([1], [1], [1]),), note="T is 1")
    yield Case((segments_of([3, 2, 1], [1, 4, 1]),))
    yield Case((segments_of([4], [2, 2], [4]),), note=one)
    yield Case((segments_of([5], [5]),), note=one)
    yield Case((segments_of([1, 1, 1, 1], [2, 1, 1]),), note="a text has one token")
    yield Case((segments_of([2, 5, 3, 1], [3, 1, 1, 6], [7, 4]),))
    yield Case((segments_of([1, 2, 3, 4, 5], [6, 9], [3, 3, 3, 3, 3], [8, 2, 4, 1]),))
    yield Case((segments_of([297, 3], [20] * 15),), note="there are hundreds of tokens")
    yield positions_of_sample(draw)


def positions_of_sample(draw: Draw) -> Case:
    """Returns a random case of 7.2."""
    n_rows, T = draw.integer(1, draw.size), draw.integer(1, 4 * draw.size)
    steps = (draw.uniform(n_rows, T) < draw.choice([0.2, 0.5])).long()
    steps[:, 0] = 0
    return Case((steps.cumsum(1),), note="the batch has one row" if n_rows == 1 else "")


POSITIONS_OF = Task(
    id="7.2",
    name="positions_of",
    reference=positions_of,
    idea="Short texts are packed into one row, so that none of it is wasted. Each has to be read "
    "as if it stood alone, so its positions begin at 0.",
    example=""">>> positions_of(torch.tensor([[0, 0, 0, 1, 1, 2]]))
tensor([[0, 1, 2, 0, 1, 0]])""",
    hints=(
        "How many tokens of the same text stand before a token?",
        "Mark where a new segment begins and carry that place along the row: cummax does it.",
        "index - torch.where(first, index, 0).cummax(dim=1).values",
    ),
    cases=positions_of_cases,
    sample=positions_of_sample,
    bank=bank.positions,
    axes={"segments": "row token", "->": "row token"},
)

# 7.3 padded_batch


def padded_batch(rows: list[tuple[list[int], list[int]]], end_token: int) -> tuple[Tensor, Tensor]:
    """Returns one batch of rows of different lengths, filled up to the longest.

        inputs[b, t]  = rows[b][0][t], or end_token beyond the row's end
        targets[b, t] = rows[b][1][t], or -100 beyond the row's end

    Args:
        rows: at least one pair (inputs, targets), two lists of the same length. Targets may hold
            -100 already.
        end_token: an id, which may also occur in the rows.

    Returns:
        inputs and targets, both int64 [B, Tmax], with Tmax the length of the longest row.
    """
    longest = max(len(inputs) for inputs, _ in rows)
    x = [inputs + [end_token] * (longest - len(inputs)) for inputs, _ in rows]
    y = [targets + [IGNORE] * (longest - len(targets)) for _, targets in rows]
    return torch.tensor(x, dtype=torch.int64), torch.tensor(y, dtype=torch.int64)


def padded_row(draw: Draw, T: int, end_token: int) -> tuple[list[int], list[int]]:
    """Returns inputs and targets of T random ids, the first targets masked, the last end_token."""
    ids = draw.integers(0, 30, T).tolist()
    masked = draw.integer(0, T - 1)
    return ids, [IGNORE] * masked + [*ids[masked + 1 :], end_token]


def padded_batch_cases(draw: Draw) -> Iterator[Case]:
    """Yields cases of 7.3."""
    equal, within = "all rows are equally long", "end_token occurs within a row"
    yield Case(([([5, 6, 7], [6, 7, 8]), ([9], [4])], 2))
    yield Case(([([9], [4]), ([5, 6, 7], [6, 7, 8])], 2), note="the first row is not the longest")
    yield Case(([([5, 6], [6, 7])], 3), note="there is one row")
    yield Case(([([5, 6], [-100, 7]), ([8, 9], [9, 1])], 3), note=equal)
    yield Case(([([5, 2, 6], [2, 6, 2]), ([7, 8], [8, 2])], 2), note=within)
    yield Case(([([2, 5], [-100, 2]), ([2, 4, 2, 3], [-100, 2, 3, 2]), ([1], [2])], 2), note=within)
    yield Case(([([5, 6], [6, 0]), ([1], [0]), ([3, 1, 4, 1], [-100, -100, 1, 0])], 0))
    yield Case(([padded_row(draw, T, END) for T in (4, 1, 9, 2, 7)], END))
    yield Case(([padded_row(draw, T, 13) for T in (3, 8, 8, 5)], 13))


def padded_batch_sample(draw: Draw) -> Case:
    """Returns a random case of 7.3."""
    end_token = draw.choice([0, 7, END])
    lengths = [draw.integer(1, 2 * draw.size) for _ in range(draw.integer(1, draw.size + 1))]
    return Case(([padded_row(draw, T, end_token) for T in lengths], end_token))


PADDED_BATCH = Task(
    id="7.3",
    name="padded_batch",
    reference=padded_batch,
    idea="A tensor has rows of one length, and examples differ. Short rows are filled up at the "
    "end, where nothing before can see it, with targets that the loss skips.",
    example=""">>> x, y = padded_batch([([5, 6, 7], [-100, 7, 2]), ([9], [2])], end_token=2)
>>> x.tolist(), y.tolist()
([[5, 6, 7], [9, 2, 2]], [[-100, 7, 2], [2, -100, -100]])""",
    hints=(
        "How wide is the batch, and what stands in it before any row is written?",
        "Make two full tensors, one of end_token and one of -100, and write each row over their "
        "beginnings.",
        "x[b, : len(inputs)] = torch.tensor(inputs)",
    ),
    cases=padded_batch_cases,
    sample=padded_batch_sample,
    bank=bank.batches,
    axes={"->": "row token"},
)

TASKS = [MASK_PROMPT, POSITIONS_OF, PADDED_BATCH]
