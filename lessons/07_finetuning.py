# %% [markdown]
# # Lesson 7: Fine-tuning
#
# The base model continues text. Ask it to translate, and it continues your question. Fine-tuning
# shows it a few thousand questions with their answers, and lets it learn the answers. Here you
# build such data down to the token, teach the model two tasks, judge what it writes with the
# metrics of lesson 6, and watch what it forgets on the way.
#
# Run it: `python lessons/07_finetuning.py`, or `minigpt lesson 7`. Its code is
# `minigpt/tasks/task.py`, `minigpt/tasks/rows.py`, `minigpt/tasks/answers.py`, and for your own
# data `minigpt finetune`.

# %%
import copy
import sys

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson

course = lesson.start(7, "Fine-tuning")

import matplotlib.pyplot as plt
import numpy as np
import torch

from lessons.experiments.summary_baselines import nearest_summaries, random_summaries
from lessons.held_out import HeldOut
from minigpt import GPT, load_pretrained
from minigpt.tasks.answers import evaluate_task, score
from minigpt.tasks.data import instruction_data, task_data
from minigpt.tasks.rows import InstructionData, encode_examples, pack_examples
from minigpt.tasks.task import TASKS
from minigpt.training.loop import train
from minigpt.training.settings import TrainConfig

torch.set_printoptions(precision=3, sci_mode=False, linewidth=100)
base, encoding = load_pretrained("base")
base.to(course.device)
base.set_dropout(0.0)
translation, summarization = (
    course.limit(task_data(TASKS[name])) for name in ("translation", "summarization")
)

# %% [markdown]
# ## From a record to a prompt and an answer
#
# A record has named fields. A template says how they become a prompt, a second one what the answer
# to it is. One task can be put in many wordings; the last of ours is the format of the slides.

# %%
record = translation.train[0]
print(record)
for wording, template in enumerate(translation.task.templates):
    print(f"{template!r:<52} {translation.task.prompt(record, wording)!r}")
print(f"the answer: {translation.task.completion(record)!r}\n")

# %% [markdown]
# The model sees prompt and answer as one row of tokens, and at each position guesses the next one.
# But nobody wants it to learn our questions: where the next token is still the prompt's, the target
# is -100, and the loss leaves it out.

# %%
(example,) = encode_examples([record], translation.task, encoding, max_tokens=64)
tokens = [*example.prompt, *example.completion]
row = pack_examples([example], len(tokens) - 1, encoding.eot_token)
idx, targets, segments = row.batch(np.array([0]))  # [1, T] each
for token, target in zip(idx[0].tolist(), targets[0].tolist(), strict=True):
    wanted = "-100" if target == -100 else repr(encoding.decode([target]))
    print(f"  after {encoding.decode([token])!r:<12} comes {wanted}")

# %% [markdown]
# Is a prompt position really left out? Its logits get no gradient at all:

# %%
logits, loss = base(idx.to(course.device), targets.to(course.device))
(gradient,) = torch.autograd.grad(loss, logits)  # [1, T, V]
print("length of the loss's gradient at each position:", gradient.norm(dim=-1)[0].cpu())
of_prompts = float(gradient[0, targets[0] == -100].abs().max())

# %% [markdown]
# ## Many examples in a row
#
# A sentence and its translation take some 27 tokens. Instead of filling up a row for each with
# padding, several examples share a row, and each is told apart: a token sees only tokens of its own
# example, and positions count from the example's start. So packing changes nothing but the time.

# %%
few = encode_examples(translation.train[:3], translation.task, encoding, max_tokens=64)
together = pack_examples(few, 96, encoding.eot_token)
idx, targets, segments = together.batch(np.array([0])).to(course.device)
print("segments of the row:", segments[0].tolist())
base.eval()
with torch.no_grad():
    packed = base(idx, segments=segments)[0][0]  # [T, V]
    difference = 0.0
    for number in segments[0].unique()[:3]:
        alone = base(idx[:, segments[0] == number])[0][0]
        difference = max(difference, float((packed[segments[0] == number] - alone).abs().max()))
print(f"logits in the packed row and of each example alone differ by {difference:.0e} at most")
leaking = (packed - base(idx)[0][0]).detach().abs().max().item()
print(f"had the examples seen each other, by {leaking:.1f}")

data = {
    part.task.name: instruction_data([part], encoding, base.config.block_size, seed=course.seed)
    for part in (translation, summarization)
}
for name, packed_data in data.items():
    (rows,) = packed_data.sources
    print(f"{name}: {len(rows):,} rows of {rows.row_length}, ", end="")
    print(f"{(rows.targets != -100).mean():.0%} of the positions have a target")

# %% [markdown]
# ## Three sets that share nothing
#
# What is measured must not have been seen. Validation decides when to stop, so it is not innocent
# either; the test set is looked at once, at the end. A prompt that occurs in two sets would be a
# leak: are there any?

# %%
shared = 0
for part in (translation, summarization):
    sets = [{part.task.prompt(r) for r in s} for s in (part.train, part.validation, part.test)]
    shared += len(sets[0] & sets[1]) + len(sets[0] & sets[2]) + len(sets[1] & sets[2])
    print(f"{part.task.name}: {', '.join(f'{len(s):,}' for s in sets)} different prompts")
print(f"prompts that two of them share: {shared}")

# %% [markdown]
# ## Before
#
# What does the base model make of the prompts? And how well does it predict text of the kind it
# was pretrained on: bits per byte, as in lesson 4, the lower the better.

# %%
n_test = course.choose(quick=4, normal=150, full=500)
held_out = HeldOut(
    encoding, course.choose(quick=2_000, normal=40_000), course.seed, course.n_documents
)
States = dict[str, float]


def judge(name: str, model: GPT) -> States:
    """BLEU, ROUGE and bits per byte of a model; prints them."""
    results = {
        part.task.name: evaluate_task(model, encoding, part.task, part.test[:n_test])
        for part in (translation, summarization)
    }
    state = {k: v for result in results.values() for k, v in result.metrics.items()}
    state["bits"] = held_out.bits_per_byte(model)
    states[name] = state
    print(
        f"{name:<31} BLEU {state['bleu']:5.1f}   ROUGE-1/2/L {state['rouge1']:.3f} "
        f"{state['rouge2']:.3f} {state['rougeL']:.3f}   bits per byte {state['bits']:.3f}"
    )
    for part in (translation, summarization):
        prompt, answer = part.task.prompt(part.test[0]), results[part.task.name].answers[0]
        print(f"    {prompt[-60:]!r} {answer!r}")
    return state


states: dict[str, States] = {}
judge("base", base)
some = translation.test[: n_test // 4]
for wording, template in enumerate(translation.task.templates):
    bleu = evaluate_task(base, encoding, translation.task, some, wording).score
    print(f"    the base model's BLEU with {template!r}: {bleu:.1f}")

# %% [markdown]
# The base model has read pages in two languages, so some French comes out by itself, more with one
# wording than with another. To do the task, and nothing else, is what it has to learn.

# %% [markdown]
# ## After: one task each
#
# Full fine-tuning changes every weight. The loop is that of pretraining; the data are new, the
# learning rate falls to zero, and a few hundred steps are enough.

# %%


def fine_tune(start: GPT, data: InstructionData, steps: int, batch_size: int) -> GPT:
    """A copy of start, trained on data; every weight learns."""
    model = copy.deepcopy(start)
    settings = TrainConfig(
        max_steps=course.choose(quick=3, normal=steps, full=3 * steps),
        batch_size=course.choose(quick=2, normal=batch_size),
        learning_rate=1e-3,
        min_learning_rate=0.0,
        warmup_steps=course.choose(quick=1, normal=steps // 20),
        betas=(0.9, 0.98),
        seed=course.seed,
        device=str(course.device),
    )
    result = train(model, data, settings)
    print(f"{result.steps} steps in {result.seconds:.0f} s, loss {result.losses[-1]:.2f}")
    return model


translator = fine_tune(base, data["translation"], steps=300, batch_size=8)
judge("translation", translator)

# %%
summarizer = fine_tune(base, data["summarization"], steps=190, batch_size=4)
judge("summarization", summarizer)

# %% [markdown]
# Is a ROUGE-L of that size much? The dialogues come from few situations, and their summaries are
# alike. So compare with summaries that nobody wrote for the dialogue at hand: that of a random
# training dialogue of the same topic, and that of the training dialogue with the most words in
# common.

# %%
some = summarization.test[:n_test]
right = [summarization.task.targets(record) for record in some]
chance = score(
    summarization.task, random_summaries(summarization.train, some, course.seed), right
).metrics["rougeL"]
nearest = score(summarization.task, nearest_summaries(summarization.train, some), right).metrics[
    "rougeL"
]
print(f"ROUGE-L of a random summary of the topic {chance:.3f}, of the nearest one {nearest:.3f}")

# %% [markdown]
# ## Forgetting
#
# Look at the last column above: each model became worse at what the base model could do. Nothing
# in the new data says that Python's documentation still matters. With a task it is the same. Teach
# the translator to summarize, and measure its translations again:

# %%
forgetful = fine_tune(translator, data["summarization"], steps=45, batch_size=4)
judge("translation, then summarization", forgetful)

# %% [markdown]
# The cure is to train everything that is wanted at the same time: both tasks, and a quarter of the
# rows with text as in pretraining, which is called rehearsal.

# %%
mixed = instruction_data(
    [translation, summarization], encoding, base.config.block_size,
    rehearse=0.25, seed=course.seed, n_documents=course.n_documents,
)  # fmt: skip
everything = fine_tune(base, mixed, steps=210, batch_size=4)
judge("both, with rehearsal", everything)

# %%
figure, (left, right_axis) = plt.subplots(
    1, 2, figsize=(12.5, 4.8), layout="constrained", width_ratios=[3, 2]
)
names = list(states)
for i, (key, label, factor) in enumerate(
    (("bleu", "translation: BLEU", 1), ("rougeL", "summaries: ROUGE-L x 100", 100))
):
    heights = [factor * states[name][key] for name in names]
    bars = left.bar([x + 0.4 * i - 0.2 for x in range(len(names))], heights, 0.38, label=label)
    left.bar_label(bars, fmt="%.0f", fontsize=8)
left.axhline(100 * nearest, color="gray", lw=1, ls="--", label="nearest training summary")
left.set_xticks(range(len(names)), [name.replace(", ", ",\n") for name in names], fontsize=8)
left.set(ylabel="score (0 to 100)", ylim=(0, 100), title="What each model can do")
left.legend(fontsize="small")
left.set_xlabel("fine-tuned on")
bars = right_axis.bar(names, [states[name]["bits"] for name in names], color="tab:green")
right_axis.bar_label(bars, fmt="%.2f", fontsize=8)
right_axis.set_xticks(range(len(names)), [n.replace(", ", ",\n") for n in names], fontsize=8)
right_axis.set(
    ylabel="bits per byte (lower is better)", title="What it has forgotten of Python's text"
)
right_axis.set_xlabel("fine-tuned on")
right_axis.tick_params(axis="x", rotation=30)
left.tick_params(axis="x", rotation=30)
course.save_figure(figure, "forgetting")

# %%
before, both = states["base"], states["both, with rehearsal"]


def change(key: str, name: str, since: str = "base", places: int = 1) -> str:
    """ "0.1 -> 61.0": a figure of one model before and after."""
    return f"{states[since][key]:.{places}f} -> {states[name][key]:.{places}f}"


def verdict(condition: bool, why_not: str) -> str:
    """ "reproduced", or why not."""
    return "reproduced" if condition else f"differs: {why_not}"


course.compare(
    "gradient at a prompt's position", "0 (the loss skips it)", of_prompts,
    verdict(of_prompts == 0, "the mask leaks"),
)  # fmt: skip
course.compare(
    "translation, BLEU, base -> fine-tuned", "rises", change("bleu", "translation"),
    verdict(states["translation"]["bleu"] > before["bleu"] + 5, "it did not learn"),
)  # fmt: skip
course.compare(
    "summaries, ROUGE-1", "rises", change("rouge1", "summarization", places=3),
    verdict(states["summarization"]["rouge1"] > before["rouge1"] + 0.05, "it did not learn"),
)  # fmt: skip
for key, name in (("rouge2", "ROUGE-2"), ("rougeL", "ROUGE-L")):
    course.compare(
        f"summaries, {name}", "rises", change(key, "summarization", places=3),
        verdict(states["summarization"][key] > before[key] + 0.05, "it did not learn"),
    )  # fmt: skip
course.compare(
    "ROUGE-L of summaries of other dialogues", "-", f"{chance:.3f} random, {nearest:.3f} nearest",
    "most of the score is the situation; the rest is what the model read in the dialogue"
    if states["summarization"]["rougeL"] > nearest
    else "the model writes no better than whoever copies the nearest summary",
)  # fmt: skip
course.compare(
    "bits per byte, after translation", "rises (forgetting)",
    change("bits", "translation", places=2),
    verdict(states["translation"]["bits"] > before["bits"], "nothing was forgotten"),
)  # fmt: skip
course.compare(
    "BLEU, after summaries were taught too", "falls (forgetting)",
    change("bleu", "translation, then summarization", "translation"),
    verdict(
        states["translation, then summarization"]["bleu"] < states["translation"]["bleu"] - 5,
        "the first task was kept",
    ),
)  # fmt: skip
course.compare(
    "all at once: BLEU", "keeps all (the cure)",
    f"{both['bleu']:.1f}, alone {states['translation']['bleu']:.1f}",
    verdict(
        both["bleu"] > states["translation, then summarization"]["bleu"] + 5,
        "the mixture did not help",
    ),
)  # fmt: skip
course.compare(
    "all at once: ROUGE-L", "keeps all (the cure)",
    f"{both['rougeL']:.3f}, alone {states['summarization']['rougeL']:.3f}",
    verdict(both["rougeL"] > before["rougeL"] + 0.05, "the mixture did not help"),
)  # fmt: skip
course.compare(
    "all at once: bits per byte", "keeps all (the cure)",
    change("bits", "both, with rehearsal", places=2),
    verdict(both["bits"] < states["translation"]["bits"], "rehearsal did not help"),
)  # fmt: skip
course.finish()

# %% [markdown]
# Now you: masked prompts, packed and padded rows. `minigpt exercise start 7` writes the stubs, and
# `minigpt exercise check 7` says what your code computes.
