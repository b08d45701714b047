"""Right answers and mistakes of lesson 7, fine-tuning."""

# mypy: ignore-errors
# ruff: noqa: F811, B905

import itertools
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F

from lessons.grading.task import Bank

# 7.1 mask_prompt

masks = Bank()


@masks.right
def mask_prompt(prompt, completion):
    ids = torch.tensor(prompt + completion, dtype=torch.int64)
    inputs, targets = ids[:-1], ids[1:].clone()
    targets[: max(len(prompt) - 1, 0)] = -100
    return inputs, targets


@masks.right
def mask_prompt(prompt, completion):
    ids = list(prompt) + list(completion)
    inputs, targets = [], []
    for t in range(len(ids) - 1):
        inputs.append(ids[t])
        if t + 1 < len(prompt):
            targets.append(-100)
        else:
            targets.append(ids[t + 1])
    return [torch.LongTensor(inputs), torch.LongTensor(targets)]


@masks.right
def mask_prompt(prompt, completion):
    ids = np.array([*prompt, *completion], dtype=np.int64)
    labels = np.where(np.arange(len(ids)) < len(prompt), -100, ids)
    return torch.from_numpy(ids)[:-1], torch.from_numpy(labels)[1:]


@masks.right
def mask_prompt(prompt, completion):
    labels = [-100] * len(prompt) + completion
    return torch.tensor((prompt + completion)[:-1]), torch.tensor(labels[1:])


masks.edit(
    "first completion token masked",
    "You mask one target too many. The last prompt token already has a completion token to guess: "
    "targets[len(prompt) - 1] is the first of them.",
    ("max(len(prompt) - 1, 0)", "len(prompt)"),
)
masks.edit(
    "last prompt token learned",
    "You mask one target too few: the last token of the prompt still stands among the targets.",
    ("max(len(prompt) - 1, 0)", "max(len(prompt) - 2, 0)"),
)
masks.edit(
    "an empty prompt masks nearly everything",
    "Without a prompt your slice ends at -1, which is the last target, and masks all before it. "
    "Without a prompt there is nothing to mask.",
    ("max(len(prompt) - 1, 0)", "len(prompt) - 1"),
)
masks.edit(
    "nothing masked",
    "All targets are learned, the prompt's too. Those that are prompt tokens are -100.",
    ("= -100", "= targets[: max(len(prompt) - 1, 0)]"),
)
masks.edit(
    "the completion is masked",
    "You mask the completion and learn the prompt. It is the other way round.",
    ("targets[: max(len(prompt) - 1, 0)]", "targets[max(len(prompt) - 1, 0) :]"),
)
masks.edit(
    "targets not moved",
    "Your targets are the inputs themselves. At each position the target is the id that follows.",
    ("ids[1:].clone()", "ids[:-1].clone()"),
)
masks.edit(
    "inputs masked too",
    "You write -100 into the inputs as well: the two share their memory. Make a copy for the "
    "targets.",
    ("ids[1:].clone()", "ids[1:]"),
)
masks.edit(
    "masked with -1",
    "You mask with -1. The loss skips -100.",
    ("= -100", "= -1"),
)
masks.edit(
    "masked with 0",
    "You mask with 0, which is an id like any other and would be learned. The loss skips -100.",
    ("= -100", "= 0"),
)
masks.edit(
    "nothing cut off",
    "Your inputs and targets have all the ids. The last one has nothing after it to guess, so both "
    "are one shorter.",
    ("ids[:-1], ids[1:].clone()", "ids, ids.clone()"),
    ("max(len(prompt) - 1, 0)", "len(prompt)"),
)
masks.edit(
    "inputs one behind the targets",
    "Your inputs lose the first id instead of the last: they have to begin where the text begins.",
    ("ids[:-1], ids", "ids[1:], ids"),
)
masks.edit(
    "int32",
    "The numbers are right, but they are int32. Inputs and targets are int64.",
    ("dtype=torch.int64", "dtype=torch.int32"),
)
masks.edit(
    "floating point",
    "Your ids are floating-point numbers. Inputs and targets are int64.",
    ("dtype=torch.int64", "dtype=torch.float32"),
)
masks.edit(
    "targets first",
    "You return the targets first. Inputs come first.",
    ("return inputs, targets", "return targets, inputs"),
)
masks.edit(
    "the prompt list grows",
    "The result is right, but the caller's prompt has the completion in it afterwards: prompt += "
    "changes the list itself. Make a new one.",
    (
        "    ids = torch.tensor(prompt + completion, dtype=torch.int64)\n",
        "    n = len(prompt)\n    prompt += completion\n"
        "    ids = torch.tensor(prompt, dtype=torch.int64)\n",
    ),
    ("max(len(prompt) - 1, 0)", "max(n - 1, 0)"),
)
masks.edit(
    "completion first",
    "You put the completion before the prompt.",
    ("prompt + completion", "completion + prompt"),
)


@masks.mistake(
    "masked by value",
    "You mask every id that occurs in the prompt, also where it comes again in the completion. "
    "Mask by position.",
)
def mask_prompt(prompt, completion):
    ids = torch.tensor(prompt + completion, dtype=torch.int64)
    targets = ids[1:].clone()
    for token in set(prompt):
        targets[targets == token] = -100
    return ids[:-1], targets


@masks.mistake(
    "masked up to the first id of the completion",
    "You look for the first completion id among all ids; the prompt may have the same id earlier. "
    "Count: the prompt's length says where it ends.",
)
def mask_prompt(prompt, completion):
    ids = prompt + completion
    start = ids.index(completion[0])
    targets = torch.tensor(ids[1:], dtype=torch.int64)
    targets[: max(start - 1, 0)] = -100
    return torch.tensor(ids[:-1], dtype=torch.int64), targets


@masks.mistake(
    "the prompt is left out",
    "Your rows hold the completion only. The model has to read the prompt, it just does not learn "
    "it.",
)
def mask_prompt(prompt, completion):
    ids = torch.tensor(prompt[-1:] + completion, dtype=torch.int64)
    return ids[:-1], ids[1:]


@masks.mistake(
    "masked, but not moved",
    "Your targets are masked and stand at their own places. At each position the target is the id "
    "that follows: cut off the first of them, not the last.",
)
def mask_prompt(prompt, completion):
    ids, labels = prompt + completion, [-100] * len(prompt) + completion
    return torch.tensor(ids[:-1], dtype=torch.int64), torch.tensor(labels[:-1], dtype=torch.int64)


@masks.mistake(
    "moved the other way",
    "You cut the first id off the inputs and the last off the targets. It is the other way round: "
    "the target is the id that follows.",
)
def mask_prompt(prompt, completion):
    ids, labels = prompt + completion, [-100] * len(prompt) + completion
    return torch.tensor(ids[1:], dtype=torch.int64), torch.tensor(labels[:-1], dtype=torch.int64)


@masks.mistake(
    "the inputs are masked instead",
    "You write -100 into the inputs and leave the targets whole. The model reads the prompt; it is "
    "the targets that are masked.",
)
def mask_prompt(prompt, completion):
    ids, labels = prompt + completion, [-100] * len(prompt) + completion
    return torch.tensor(labels[:-1], dtype=torch.int64), torch.tensor(ids[1:], dtype=torch.int64)


# 7.2 positions_of

positions = Bank()


@positions.right
def positions_of(segments):
    T = segments.size(1)
    same = segments[:, :, None] == segments[:, None, :]
    earlier = torch.ones(T, T, dtype=torch.bool).tril(-1)
    return (same & earlier).sum(-1)


@positions.right
def positions_of(segments):
    out = torch.zeros(segments.shape, dtype=torch.int64)
    for b in range(segments.shape[0]):
        position = 0
        for t in range(segments.shape[1]):
            if t > 0 and segments[b, t] != segments[b, t - 1]:
                position = 0
            out[b, t] = position
            position += 1
    return out


@positions.right
def positions_of(segments):
    index = torch.arange(segments.size(1)).expand_as(segments)
    new = torch.ones_like(segments, dtype=torch.bool)
    new[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return index - torch.where(new, index, 0).cummax(dim=1).values


@positions.right
def positions_of(segments):
    rows = [
        [i for _, run in itertools.groupby(row) for i in range(len(list(run)))]
        for row in segments.tolist()
    ]
    return torch.tensor(rows, dtype=torch.long).reshape(segments.shape)


@positions.right
def positions_of(segments):
    ids = segments.numpy()
    starts = np.stack([np.searchsorted(row, row, side="left") for row in ids])
    return torch.from_numpy(np.arange(ids.shape[1])[None] - starts).to(torch.int64)


positions.edit(
    "counted from 1",
    "Your positions begin at 1. The first token of a segment has position 0.",
    (".tril(-1)", ".tril()"),
)
positions.edit(
    "counted from the end",
    "You count how many tokens of the segment come after each one. Position counts those before "
    "it.",
    (".tril(-1)", ".triu(1)"),
)
positions.edit(
    "segments ignored",
    "Your positions run on through the row. They begin again at 0 with each segment.",
    ("same & earlier", "(same | True) & earlier"),
)
positions.edit(
    "length of the segment",
    "You give each token the length of its segment. Count only those before it.",
    (" & earlier", ""),
)
positions.edit(
    "first row for all",
    "You use the first row's segments for all rows. Each row is cut at other places.",
    (
        "segments[:, :, None] == segments[:, None, :]",
        "(segments[:1, :, None] == segments[:1, None, :]).expand(len(segments), T, T)",
    ),
)
positions.edit(
    "floating point",
    "The numbers are right, but they are floating-point numbers; positions are int64.",
    (".sum(-1)", ".sum(-1).float()"),
)
positions.edit(
    "int32",
    "The numbers are right, but they are int32; positions are int64.",
    (".sum(-1)", ".sum(-1).int()"),
)
positions.edit(
    "only the first row",
    "You return the positions of the first row. The result is [B, T], like segments.",
    (".sum(-1)", ".sum(-1)[0]"),
)


@positions.mistake(
    "rows run into each other",
    "You count through the batch as one long row: where a row begins with the number that the row "
    "before ended with, the positions go on. Begin each row at 0.",
)
def positions_of(segments):
    flat = segments.reshape(-1).tolist()
    out, position = [], 0
    for i, s in enumerate(flat):
        position = position + 1 if i > 0 and s == flat[i - 1] else 0
        out.append(position)
    return torch.tensor(out).reshape(segments.shape)


@positions.mistake(
    "counted over the whole batch",
    "You remember how often a segment number has come, over all rows. The same number in another "
    "row is another text.",
)
def positions_of(segments):
    seen = Counter()
    out = torch.zeros_like(segments)
    for b in range(len(segments)):
        for t in range(segments.size(1)):
            s = int(segments[b, t])
            out[b, t] = seen[s]
            seen[s] += 1
    return out


@positions.mistake(
    "where the segment begins",
    "This is the place at which each token's segment begins. Its position is how far it is from "
    "there.",
)
def positions_of(segments):
    index = torch.arange(segments.size(1)).expand_as(segments)
    new = torch.ones_like(segments, dtype=torch.bool)
    new[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return torch.where(new, index, 0).cummax(dim=1).values


@positions.mistake(
    "begins again one token late",
    "You set the position back one token too late: the first token of a segment still counts on "
    "from the one before.",
)
def positions_of(segments):
    out = torch.zeros_like(segments)
    for b in range(len(segments)):
        position = 0
        for t in range(segments.size(1)):
            out[b, t] = position
            position += 1
            if t > 0 and segments[b, t] != segments[b, t - 1]:
                position = 0
    return out


@positions.mistake(
    "segment number subtracted",
    "You subtract the segment's number from the place in the row. Subtract the place where the "
    "segment begins.",
)
def positions_of(segments):
    return torch.arange(segments.size(1)) - segments


@positions.mistake(
    "all segments as long as the first",
    "You take all segments to be as long as the row's first one.",
)
def positions_of(segments):
    length = (segments == 0).sum(1, keepdim=True)
    return torch.arange(segments.size(1)) % length


@positions.mistake(
    "last segment only",
    "Only the row's last segment begins again at 0: those in the middle run on from the first.",
)
def positions_of(segments):
    T = segments.size(1)
    index = torch.arange(T).expand_as(segments)
    start = (segments < segments[:, -1:]).sum(1, keepdim=True)
    return torch.where(index >= start, index - start, index)


@positions.mistake(
    "written into the segments",
    "The positions are right, but you write them into the caller's segments: make a new tensor.",
)
def positions_of(segments):
    for b in range(len(segments)):
        row = segments[b].tolist()
        for t in range(len(row)):
            segments[b, t] = row[:t].count(row[t])
    return segments


@positions.mistake(
    "only two texts",
    "You subtract the length of the first text alone, so from the third on the positions are too "
    "large. Each text begins at 0.",
)
def positions_of(segments):
    index = torch.arange(segments.size(1)).expand_as(segments)
    first = (segments == 0).sum(dim=1, keepdim=True)
    return torch.where(segments == 0, index, index - first)


@positions.mistake(
    "int8 on the way",
    "You count in int8, which ends at 127. Texts may be longer.",
)
def positions_of(segments):
    same = segments[:, :, None] == segments[:, None, :]
    return same.tril(-1).sum(dim=-1).to(torch.int8).long()


# 7.3 padded_batch

batches = Bank()


@batches.right
def padded_batch(rows, end_token):
    longest = max(len(inputs) for inputs, _ in rows)
    x = torch.full((len(rows), longest), end_token, dtype=torch.int64)
    y = torch.full((len(rows), longest), -100, dtype=torch.int64)
    for b, (inputs, targets) in enumerate(rows):
        x[b, : len(inputs)] = torch.tensor(inputs)
        y[b, : len(targets)] = torch.tensor(targets)
    return x, y


@batches.right
def padded_batch(rows, end_token):
    T = 0
    for row in rows:
        if len(row[0]) > T:
            T = len(row[0])
    xs = []
    ys = []
    for inputs, targets in rows:
        missing = T - len(inputs)
        xs.append(inputs + [end_token] * missing)
        ys.append(targets + [-100] * missing)
    return [torch.tensor(xs), torch.tensor(ys)]


@batches.right
def padded_batch(rows, end_token):
    pad = torch.nn.utils.rnn.pad_sequence
    x = pad([torch.LongTensor(r[0]) for r in rows], batch_first=True, padding_value=end_token)
    y = pad([torch.LongTensor(r[1]) for r in rows], batch_first=True, padding_value=-100)
    return x, y


@batches.right
def padded_batch(rows, end_token):
    inputs, targets = zip(*rows)
    columns_x = list(itertools.zip_longest(*inputs, fillvalue=end_token))
    columns_y = list(itertools.zip_longest(*targets, fillvalue=-100))
    return torch.tensor(columns_x).T, torch.tensor(columns_y).T


@batches.right
def padded_batch(rows, end_token):
    T = max(map(len, (row[0] for row in rows)))
    x, y = (
        torch.stack([F.pad(torch.tensor(row[i]), (0, T - len(row[i])), value=fill) for row in rows])
        for i, fill in ((0, end_token), (1, -100))
    )
    return x.long(), y.long()


batches.edit(
    "inputs filled with 0",
    "You fill the inputs with 0. They are filled with end_token.",
    ("longest), end_token", "longest), 0"),
)
batches.edit(
    "inputs filled with -100",
    "You fill the inputs with -100, which is not an id: no embedding can be looked up for it.",
    ("longest), end_token", "longest), -100"),
)
batches.edit(
    "targets filled with end_token",
    "You fill the targets with end_token, so the model would learn to write end tokens for ever. "
    "Fill them with -100, which the loss skips.",
    ("longest), -100", "longest), end_token"),
)
batches.edit(
    "targets filled with 0",
    "You fill the targets with 0, an id that would be learned. Fill them with -100.",
    ("longest), -100", "longest), 0"),
)
batches.edit(
    "filled on the left",
    "You fill the rows up in front. They begin at the left and are filled up at the end.",
    ("x[b, : len(inputs)]", "x[b, longest - len(inputs) :]"),
    ("y[b, : len(targets)]", "y[b, longest - len(targets) :]"),
)
batches.edit(
    "cut to the shortest",
    "You cut all rows to the length of the shortest. Fill them up to the longest instead.",
    ("max(len", "min(len"),
    ("torch.tensor(inputs)", "torch.tensor(inputs[:longest])"),
    ("torch.tensor(targets)", "torch.tensor(targets[:longest])"),
)
batches.edit(
    "width of the first row",
    "You take the first row's length for the width. Take the longest row's.",
    ("max(len(inputs) for inputs, _ in rows)", "len(rows[0][0])"),
    ("torch.tensor(inputs)", "torch.tensor(inputs[:longest])"),
    ("torch.tensor(targets)", "torch.tensor(targets[:longest])"),
)
batches.edit(
    "one column too many",
    "Your batch is one column wider than the longest row.",
    ("for inputs, _ in rows)", "for inputs, _ in rows) + 1"),
)
batches.edit(
    "last token of each row missing",
    "The last token of each row is overwritten by what you fill with.",
    (
        "x[b, : len(inputs)] = torch.tensor(inputs)",
        "x[b, : len(inputs) - 1] = torch.tensor(inputs)[:-1]",
    ),
    (
        "y[b, : len(targets)] = torch.tensor(targets)",
        "y[b, : len(targets) - 1] = torch.tensor(targets)[:-1]",
    ),
)
batches.edit(
    "end tokens masked in the targets",
    "You set every target that is end_token to -100, also the one at which a text really ends. The "
    "model would never learn to stop. Mask only what was filled up.",
    ("    return x, y", "    y[y == end_token] = -100\n    return x, y"),
)
batches.edit(
    "targets masked where the input is end_token",
    "You mask every target whose input is end_token, also within a text. Mask only what was filled "
    "up.",
    ("    return x, y", "    y[x == end_token] = -100\n    return x, y"),
)
batches.edit(
    "int32",
    "The numbers are right, but they are int32; both results are int64.",
    ("end_token, dtype=torch.int64", "end_token, dtype=torch.int32"),
    ("-100, dtype=torch.int64", "-100, dtype=torch.int32"),
)
batches.edit(
    "floating point",
    "The numbers are right, but they are floating-point numbers; both results are int64.",
    ("end_token, dtype=torch.int64", "float(end_token)"),
    ("-100, dtype=torch.int64", "-100.0"),
)
batches.edit(
    "targets first",
    "You return the targets first. Inputs come first.",
    ("return x, y", "return y, x"),
)
batches.edit(
    "one tensor for both",
    "You fill one tensor twice, so the inputs are overwritten by the targets.",
    ("    y = torch.full((len(rows), longest), -100, dtype=torch.int64)\n", "    y = x\n"),
)


@batches.mistake(
    "rows sorted by length",
    "You sort the rows by length. They stay in the order in which they come.",
)
def padded_batch(rows, end_token):
    rows = sorted(rows, key=lambda row: -len(row[0]))
    pad = torch.nn.utils.rnn.pad_sequence
    x = pad([torch.tensor(r[0]) for r in rows], batch_first=True, padding_value=end_token)
    y = pad([torch.tensor(r[1]) for r in rows], batch_first=True, padding_value=-100)
    return x, y


@batches.mistake(
    "time first",
    "Your result is [T, B]: pad_sequence puts the time first unless you ask for batch_first.",
)
def padded_batch(rows, end_token):
    pad = torch.nn.utils.rnn.pad_sequence
    x = pad([torch.tensor(r[0]) for r in rows], padding_value=end_token)
    y = pad([torch.tensor(r[1]) for r in rows], padding_value=-100)
    return x, y


@batches.mistake(
    "the rows are filled up in place",
    "The result is right, but the caller's lists have grown: += changes a list itself. Make new "
    "ones.",
)
def padded_batch(rows, end_token):
    T = max(len(inputs) for inputs, _ in rows)
    for inputs, targets in rows:
        inputs += [end_token] * (T - len(inputs))
        targets += [-100] * (T - len(targets))
    return torch.tensor([r[0] for r in rows]), torch.tensor([r[1] for r in rows])


@batches.mistake(
    "targets made from the inputs",
    "You make the targets by moving the inputs and forget those you are given, in which the prompt "
    "is masked.",
)
def padded_batch(rows, end_token):
    T = max(len(inputs) for inputs, _ in rows)
    x = torch.tensor([r[0] + [end_token] * (T - len(r[0])) for r in rows])
    y = torch.tensor([r[0][1:] + r[1][-1:] + [-100] * (T - len(r[0])) for r in rows])
    return x, y


@batches.mistake(
    "lists",
    "You return lists. Make int64 tensors of them.",
)
def padded_batch(rows, end_token):
    T = max(len(inputs) for inputs, _ in rows)
    x = [r[0] + [end_token] * (T - len(r[0])) for r in rows]
    y = [r[1] + [-100] * (T - len(r[1])) for r in rows]
    return x, y


batches.edit(
    "targets filled with -1",
    "You fill the targets with -1. The loss skips -100.",
    ("longest), -100,", "longest), -1,"),
)
batches.edit(
    "one end token behind each target row",
    "Behind each row you set one more target, end_token. All that is filled up is -100; a row that "
    "ends with the end token has it already.",
    (
        "        y[b, : len(targets)] = torch.tensor(targets)\n",
        "        y[b, : len(targets)] = torch.tensor(targets)\n"
        "        y[b, len(targets) : len(targets) + 1] = end_token\n",
    ),
)
batches.edit(
    "targets moved once more",
    "You move the targets one place to the left. They fit the inputs already, place by place.",
    (
        "y[b, : len(targets)] = torch.tensor(targets)",
        "y[b, : len(targets) - 1] = torch.tensor(targets[1:])",
    ),
)


@batches.mistake(
    "the last token is repeated",
    "You fill the inputs up with the last token of each row. They are filled with end_token.",
)
def padded_batch(rows, end_token):
    T = max(len(inputs) for inputs, _ in rows)
    x = [inputs + inputs[-1:] * (T - len(inputs)) for inputs, _ in rows]
    y = [targets + [-100] * (T - len(targets)) for _, targets in rows]
    return torch.tensor(x), torch.tensor(y)


@batches.mistake(
    "ids of 0 become end_token",
    "An id of 0 counts as missing in your inputs, as in `id or end_token`. Ask whether it is None.",
)
def padded_batch(rows, end_token):
    x = list(itertools.zip_longest(*(inputs for inputs, _ in rows)))
    y = list(itertools.zip_longest(*(targets for _, targets in rows), fillvalue=-100))
    return torch.tensor([[i or end_token for i in column] for column in x]).T, torch.tensor(y).T


@batches.mistake(
    "targets of 0 become -100",
    "A target of 0 counts as missing, as in `id or -100`. Ask whether it is None.",
)
def padded_batch(rows, end_token):
    x = list(itertools.zip_longest(*(inputs for inputs, _ in rows), fillvalue=end_token))
    y = list(itertools.zip_longest(*(targets for _, targets in rows)))
    return torch.tensor(x).T, torch.tensor([[i or -100 for i in column] for column in y]).T
