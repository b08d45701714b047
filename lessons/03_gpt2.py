# %% [markdown]
# # Lesson 03: GPT-2, assembled
#
# In lesson 02 you built masked attention. Here it becomes a whole language model: embeddings turn
# ids into vectors, blocks refine the vectors, and one matrix turns them back into scores for every
# entry of the vocabulary. Then we count. Model sizes are the figures people quote most and check
# least, and checking them needs nothing but arithmetic.
#
# Run it: `python lessons/03_gpt2.py`, or `minigpt lesson 3`. Its code is `minigpt/model.py`.

# %%
import math
import sys
import tempfile

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson

course = lesson.start(3, "GPT-2, assembled")

import matplotlib.pyplot as plt
import torch

from minigpt import GPT, GPTConfig, count_parameters, load_gpt2, load_pretrained, save_gpt2
from minigpt.config import PRESETS

torch.set_grad_enabled(False)  # this lesson only looks: nothing is trained
torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown]
# ## Four tokens through a tiny model
#
# A width of 6, two heads, two blocks: small enough to print. Follow the shapes. B is the number of
# sentences, T the number of tokens, C the width, V the size of the vocabulary.

# %%
tiny = GPTConfig(vocab_size=10, block_size=8, n_layer=2, n_head=2, n_embd=6)
model = GPT(tiny).eval()
idx = torch.tensor([[3, 1, 4, 1]])  # [B=1, T=4]

token_vectors = model.transformer["wte"](idx)  # [1, 4, 6]
position_vectors = model.transformer["wpe"](torch.arange(4))  # [4, 6]
x = token_vectors + position_vectors  # [1, 4, 6]
print("ids", idx[0].tolist(), "become token + position vectors, [B, T, C] =", list(x.shape))
print(x[0])

# %% [markdown]
# The token with id 1 stands at two places. Its token vector is the same at both; only the position
# vector tells them apart. Without it, a GPT-2 could not tell "dog bites man" from "man bites dog".

# %%
print(
    "token vectors of the two 1s are equal:", torch.equal(token_vectors[0, 1], token_vectors[0, 3])
)
print("with positions added they are equal:  ", torch.equal(x[0, 1], x[0, 3]))

# %% [markdown]
# ## Blocks add to a stream
#
# Each block reads the vectors and *adds* something to them. Nothing is replaced: what the first
# layer knew is still there at the end. Taking the steps by hand must give what the model gives.

# %%
for number, block in enumerate(model.blocks(), start=1):
    x = x + block.attn(block.ln_1(x))  # [1, 4, 6] what the earlier tokens have to say
    x = x + block.mlp(block.ln_2(x))  # [1, 4, 6] what this token makes of it
    print(f"after block {number} the shape is still {list(x.shape)}")
by_hand = model.lm_head(model.transformer["ln_f"](x))  # [1, 4, 10]
logits, _ = model(idx)  # [1, 4, 10]
print("scores for every next token, [B, T, V] =", list(logits.shape))
print("by hand equals the model:", torch.equal(by_hand, logits))
assert torch.equal(by_hand, logits)

# %% [markdown]
# ## Why the projections start smaller
#
# Every block adds two vectors to the stream. If each addition has the same spread, the stream's
# spread grows with the square root of the depth. GPT-2 starts the two projections that write to
# the stream smaller by $1/\sqrt{2L}$ (L blocks), so that a deep model starts like a shallow one.
# Here are 32 blocks, with and without.

# %%
depth = course.choose(quick=4, normal=32)
deep = GPT(GPTConfig(vocab_size=500, block_size=64, n_layer=depth, n_head=4, n_embd=128)).eval()
some_ids = torch.randint(500, (4, 64))


def spread_of_stream(model: GPT) -> list[float]:
    """The standard deviation of the stream before the first block and after each."""
    x = model.transformer["wte"](some_ids) + model.transformer["wpe"](torch.arange(64))
    spread = [float(x.std())]
    for block in model.blocks():
        x = block(x)
        spread.append(float(x.std()))
    return spread


scaled = spread_of_stream(deep)
for name, parameter in deep.named_parameters():
    if name.endswith("c_proj.weight"):
        parameter *= math.sqrt(2 * depth)  # back to the 0.02 that every other matrix has
unscaled = spread_of_stream(deep)
print(f"spread after {depth} blocks: {scaled[-1]:.3f} with the scaling, {unscaled[-1]:.3f} without")

figure, axes = plt.subplots(figsize=(6.5, 3.6))
axes.plot(unscaled, label="all matrices start at 0.02", color="tab:orange")
axes.plot(scaled, label=r"projections start at $0.02 / \sqrt{2L}$ (GPT-2)", color="tab:blue")
axes.set_title(f"An untrained model of {depth} blocks: how the residual stream grows")
axes.set_xlabel("blocks passed")
axes.set_ylabel("standard deviation of the stream")
axes.set_ylim(bottom=0)
axes.legend()
course.save_figure(figure, "residual_stream")

# %% [markdown]
# ## One matrix, two jobs
#
# The matrix that turns ids into vectors also turns vectors into scores: "weight tying". A token's
# score is the dot product of the final vector with that token's embedding.

# %%
print(
    "LM head and token embedding are one tensor:",
    model.lm_head.weight is model.transformer["wte"].weight,
)
gpt2 = GPTConfig.preset("gpt2")
shared = gpt2.vocab_size * gpt2.n_embd
print(
    f"in GPT-2 that saves {shared:,} parameters, "
    f"{100 * shared / count_parameters(gpt2):.0f}% of the model"
)

# %% [markdown]
# ## An untrained model guesses, and we know how badly
#
# With no knowledge, the best a model can do is to give each of V tokens the chance 1/V. Its loss is
# then -ln(1/V) = ln V. A new GPT should start there; if yours starts higher, something is wrong
# with the initialisation. Always look at the first loss.

# %%
vocabularies = course.choose(quick=[64, 1024], normal=[64, 256, 1024, 4096, 16384, 50257])
first_losses = []
for vocab_size in vocabularies:
    fresh = GPT(GPTConfig(vocab_size, block_size=64, n_layer=4, n_head=4, n_embd=128)).eval()
    ids = torch.randint(vocab_size, (8, 65))  # [8, 65]
    first_losses.append(float(fresh(ids[:, :-1], ids[:, 1:])[1]))
    print(
        f"V = {vocab_size:>6,}: ln V = {math.log(vocab_size):6.3f}, "
        f"first loss {first_losses[-1]:6.3f}"
    )

figure, axes = plt.subplots(figsize=(6.5, 3.6))
axes.plot(vocabularies, [math.log(v) for v in vocabularies], color="gray", label="ln V")
axes.plot(vocabularies, first_losses, "o", color="tab:blue", label="loss of a new GPT")
axes.set_xscale("log")
axes.set_title("The first loss is that of guessing")
axes.set_xlabel("vocabulary size V (entries)")
axes.set_ylabel("cross-entropy (nats per token)")
axes.legend()
course.save_figure(figure, "first_loss")
worst = max(abs(loss - math.log(v)) for loss, v in zip(first_losses, vocabularies, strict=True))
course.compare(
    "loss at the start, V = 50257",
    f"ln V = {math.log(50257):.2f}",
    f"{first_losses[-1]:.2f} at V = {vocabularies[-1]}",
    f"reproduced; no vocabulary is further from ln V than {worst:.2f} nats",
)

# %% [markdown]
# ## Counting parameters
#
# A block holds $12C^2 + 13C$ numbers: $4C^2 + 4C$ in attention, $8C^2 + 5C$ in the MLP, $4C$ in the
# two norms. Add the embeddings, $(V + T)C$, and the final norm, $2C$. `count_parameters` is this
# formula; let us see that it tells the truth about a model that was really built.

# %%
built = sum(parameter.numel() for parameter in deep.parameters())
print(f"counted by formula: {count_parameters(deep.config):,}; counted one by one: {built:,}")
assert built == count_parameters(deep.config)

# %% [markdown]
# Now the published sizes. The paper on GPT-2 lists four models, the one on GPT-3 eight.

# %%
PUBLISHED_MILLIONS = {
    "gpt2": 117, "gpt2-medium": 345, "gpt2-large": 762, "gpt2-xl": 1542,
    "gpt3-small": 125, "gpt3-medium": 350, "gpt3-large": 760, "gpt3-xl": 1300,
    "gpt3-2.7b": 2700, "gpt3-6.7b": 6700, "gpt3-13b": 13000, "gpt3-175b": 175000,
}  # fmt: skip
counted_millions = {name: count_parameters(GPTConfig.preset(name)) / 1e6 for name in PRESETS}
print(f"{'model':<12} {'published':>10} {'counted':>11} {'fp32':>9} {'to train it':>12}")
for name, published in PUBLISHED_MILLIONS.items():
    n = counted_millions[name] / 1000  # so many billions of parameters, each of 4 bytes in fp32
    print(
        f"{name:<12} {published:>8,} M {counted_millions[name]:>9,.1f} M "
        f"{4 * n:>6.1f} GB {(4 + 4 + 2 * 4) * n:>9.1f} GB"
    )
print("to train it: weights, gradients and AdamW's two moments in fp32, without activations")

# %% [markdown]
# GPT-2's published counts are all four too low: the 12-layer model that OpenAI released holds 124
# million numbers, not 117. GPT-3's are rounded but right. For GPT-1 the same formula with its own
# vocabulary (40,478) and context (512), and without a final norm, gives its 117M.

# %%
for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"):
    published, counted = PUBLISHED_MILLIONS[name], counted_millions[name]
    course.compare(
        f"{name}, parameters",
        f"{published}M",
        f"{counted:.1f}M",
        f"the published figure is wrong: {100 * (1 - published / counted):.1f}% too low for the "
        "width, depth and vocabulary in the same paper",
    )
for name in list(PRESETS)[4:]:
    published, counted = PUBLISHED_MILLIONS[name], counted_millions[name]
    off = 100 * (counted / published - 1)
    course.compare(
        f"{name}, parameters",
        f"{published:,}M",
        f"{counted:,.0f}M",
        f"{'reproduced' if abs(off) < 2 else 'close, the paper rounds'} ({off:+.1f}%)",
    )
gpt1 = GPTConfig(vocab_size=40478, block_size=512, n_layer=12, n_head=12, n_embd=768)
gpt1_millions = (count_parameters(gpt1) - 2 * gpt1.n_embd) / 1e6
course.compare("GPT-1, parameters", "117M", f"{gpt1_millions:.1f}M", "reproduced")

# %% [markdown]
# Two rows of GPT-3's table cannot be right for another reason: the heads must share the width.

# %%
PUBLISHED_HEADS = {  # width, heads, size of a head
    "gpt3-small": (768, 12, 64), "gpt3-medium": (1024, 16, 64), "gpt3-large": (1536, 16, 96),
    "gpt3-xl": (2048, 24, 128), "gpt3-2.7b": (2560, 32, 80), "gpt3-6.7b": (4096, 32, 128),
    "gpt3-13b": (5140, 40, 128), "gpt3-175b": (12288, 96, 128),
}  # fmt: skip
for name, (width, heads, head_size) in PUBLISHED_HEADS.items():
    verdict = "fits" if heads * head_size == width else "does not fit"
    print(
        f"{name:<12} {heads} heads x {head_size} = {heads * head_size:>5}, "
        f"width {width:>5}: {verdict}"
    )
    if heads * head_size != width:
        config = GPTConfig.preset(name)
        course.compare(
            f"{name}: heads x head size = width",
            f"{heads} x {head_size} = {width}",
            f"{heads} x {head_size} = {heads * head_size}",
            f"the published row is wrong; {config.n_head} x {config.head_size} = {config.n_embd} "
            "is a model that can be built",
        )

# %% [markdown]
# Where do the parameters sit? In small models the vocabulary is a large part. In large ones nearly
# everything is in the blocks, two thirds of it in the MLPs.

# %%
shares: dict[str, list[float]] = {"embeddings": [], "attention": [], "MLP": []}
for name in PRESETS:
    config, total = GPTConfig.preset(name), counted_millions[name] * 1e6
    width = config.n_embd
    shares["embeddings"].append((config.vocab_size + config.block_size) * width / total)
    shares["attention"].append(config.n_layer * (4 * width**2 + 4 * width) / total)
    shares["MLP"].append(config.n_layer * (8 * width**2 + 5 * width) / total)

figure, axes = plt.subplots(figsize=(8, 4.2))
below = [0.0] * len(PRESETS)
for (part, values), color in zip(
    shares.items(), ("tab:gray", "tab:blue", "tab:orange"), strict=True
):
    axes.barh(
        list(PRESETS),
        [100 * v for v in values],
        left=[100 * b for b in below],
        label=part,
        color=color,
    )
    below = [b + v for b, v in zip(below, values, strict=True)]
axes.set_yticks(
    range(len(PRESETS)), [f"{name}  {counted_millions[name]:,.0f}M" for name in PRESETS]
)
axes.invert_yaxis()
axes.set_xlim(0, 100)
axes.set_title("Where the parameters of GPT-2 and GPT-3 sit")
axes.set_xlabel("share of all parameters (%)")
axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncol=3, frameon=False)
course.save_figure(figure, "parameters")

# %% [markdown]
# ## Real weights
#
# Our names and shapes are those of the published GPT-2, so its weights drop in. They are half a
# gigabyte and need a network (or a copy: `minigpt data fetch gpt2 --from PATH`). Where they cannot
# be had, we go on with the small model that ships with minigpt.

# %%
try:
    published_model, source = load_gpt2("gpt2"), "GPT-2's published weights"
except (OSError, ImportError, ValueError) as error:
    print(f"(no GPT-2 here: {error})\n")
    published_model, source = load_pretrained("base")[0], "the base model that ships with minigpt"
published_model.eval()
print(f"Loaded {source}: {count_parameters(published_model.config):,} parameters.")

# %% [markdown]
# A folder that we save is one that the transformers library reads, and the other way round. Here is
# the round trip: save, load, and compare the scores.

# %%
ids = torch.randint(published_model.config.vocab_size, (2, 32))
with tempfile.TemporaryDirectory() as folder:
    save_gpt2(published_model, folder)
    again = load_gpt2(folder).eval()
difference = float((published_model(ids)[0] - again(ids)[0]).abs().max())
print(f"largest difference of a score after saving and loading: {difference}")
assert difference == 0.0

try:
    from transformers import GPT2LMHeadModel
except ImportError:
    print("(transformers is not installed: pip install transformers to compare with it)")
else:
    with tempfile.TemporaryDirectory() as folder:
        save_gpt2(published_model, folder)
        peer = GPT2LMHeadModel.from_pretrained(folder).eval()
    peer_difference = float((published_model(ids)[0] - peer(ids).logits).abs().max())
    print(f"largest difference from transformers' own GPT-2 code: {peer_difference:.1e}")
    course.compare(
        "scores of transformers' GPT-2 code",
        "the same model",
        f"differ by {peer_difference:.0e} at most",
        f"reproduced with {source}, fp32",
    )

# %% [markdown]
# What a trained model has learned shows in its loss on text it has not seen: lesson 04 trains one.

# %%
course.finish()

# %% [markdown]
# Now you: GELU, layer norm, the loss, a block. `minigpt exercise start 3` writes the stubs, and
# `minigpt exercise check 3` says what your code computes.
