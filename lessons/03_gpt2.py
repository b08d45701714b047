# %% [markdown]
# # Lesson 3: GPT-2, assembled
#
# In lesson 2 you built masked attention. Here it becomes a whole language model: embeddings turn
# ids into vectors, blocks refine the vectors, and one matrix turns them into a score for every
# entry of the vocabulary. You compute each part by hand on four tokens, then see that the library
# gives the same numbers. Then we count. Model sizes are quoted often and checked rarely, although
# arithmetic is all it takes.
#
# After this lesson you can
#
# - write a layer norm, GELU, an MLP and a whole block in plain tensor arithmetic;
# - say what logits, cross-entropy, nats and perplexity are, and what the first loss must be;
# - count the parameters of any GPT, and tell which published counts and sizes cannot be right.
#
# You need: lessons 1 (ids) and 2 (attention). Allow 60 minutes, and another 45 for the exercises;
# the script takes less than a minute. Next comes lesson 4, which trains such a model.
#
# Run it: `python lessons/03_gpt2.py`, or `minigpt lesson 3`. The code behind it is in
# `minigpt/model.py`.
#
# Terms can be looked up in the [glossary](GLOSSARY.md).

# %%
import math
import sys
import tempfile
from dataclasses import replace

sys.path.insert(0, f"{sys.path[0]}/..")  # a checkout runs without being installed

from lessons import lesson

course = lesson.start(3, "GPT-2, assembled")

import torch
from torch import Tensor
from torch.nn import functional as F

from lessons.experiments import model_sizes
from lessons.experiments.gpt2_figures import draw_first_losses, draw_gelu, draw_streams
from lessons.verdicts import Kind, error_of_mean, holds, is_more, same_figure
from minigpt import GPT, GPTConfig, count_parameters, load_gpt2, load_pretrained, save_gpt2
from minigpt.config import PRESETS

torch.set_grad_enabled(False)  # this lesson only looks: nothing is trained
torch.set_printoptions(precision=3, sci_mode=False, linewidth=100)

# %% [markdown]
# ## Four tokens through a tiny model
#
# A width of 6, two heads, two blocks: small enough to print. Follow the shapes. B is the number of
# texts, T the number of tokens, C the width, V the size of the vocabulary.
#
# An **embedding** is a table with a row of C numbers, a vector, for each id. A GPT has two: `wte`
# has a row for each token, `wpe` one for each position, and the model begins by adding them.
#
# In a new model some **parameters**, the numbers that training sets, are all 0 or all 1, so we
# shake them a little; otherwise we would not notice if we forgot one. Numbers are stored in fp32,
# 32-bit floating point (lesson 9), which keeps about seven digits, so results computed in another
# order may differ in the last of them.

# %%
tiny = GPTConfig(vocab_size=10, block_size=8, n_layer=2, n_head=2, n_embd=6)
model = GPT(tiny).eval()
for parameter in model.parameters():
    parameter += 0.3 * torch.randn(parameter.shape)
idx = torch.tensor([[3, 1, 4, 1]])  # [B=1, T=4]

wte, wpe = model.transformer["wte"].weight, model.transformer["wpe"].weight  # [10, 6], [8, 6]
token_vectors = wte[idx[0]]  # [T=4, C=6]
position_vectors = wpe[:4]  # [4, 6]
x = token_vectors + position_vectors  # [4, 6]
print("ids", idx[0].tolist(), "become token + position vectors, [T, C] =", list(x.shape))
print(x)

# %% [markdown]
# The token with id 1 stands at two places. Its token vector is the same at both; only the position
# vector tells them apart. Without it, a layer of attention would know which words came before a
# token but not in which order: "dog bites" and "bites dog" would look alike to the word after them.

# %%
print("token vectors of the two 1s are equal:", torch.equal(token_vectors[1], token_vectors[3]))
print("with positions added they are equal:  ", torch.equal(x[1], x[3]))

# %% [markdown]
# ## Layer norm
#
# Layers work best on numbers of about size 1. A layer norm takes each token's vector by itself,
# subtracts its mean, and divides by its standard deviation. Then a learned gain and a learned bias
# give every number the size and the offset that the next layer likes best:
#
# $$y = \text{gain} \cdot \frac{x - \text{mean}}{\sqrt{\text{variance} + \varepsilon}}
# + \text{bias}$$
#
# The small $\varepsilon = 10^{-5}$ keeps the division safe where all numbers of a vector are equal.


# %%
def layer_norm(x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)  # [T, 1] one for each token
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)  # [T, 1]
    return gain * (x - mean) / torch.sqrt(variance + 1e-5) + bias  # [T, C]


first = next(model.blocks())  # the first of the two blocks; ln_1 is its first layer norm
plain = layer_norm(x, torch.ones(6), torch.zeros(6))
print("mean of each token's numbers:     ", plain.mean(-1).abs())
print("their standard deviation:         ", plain.std(-1, correction=0))
normed = layer_norm(x, first.ln_1.weight, first.ln_1.bias)
differences = {"layer norm": float((normed - first.ln_1(x)).abs().max())}
print(f"by hand and the library are {differences['layer norm']:.1g} apart")

# %% [markdown]
# ## GELU
#
# Two matrices in a row are no more than one matrix: their product. Something between them must
# bend. ReLU (rectified linear unit) sets negative numbers to 0. GELU (Gaussian error linear unit)
# does nearly that, but smoothly: it multiplies x by the probability that a standard normal number
# is below x. GPT-2 uses an approximation with a tanh,
#
# $$\text{gelu}(x) = \frac{x}{2}
# \left(1 + \tanh\left(\sqrt{2 / \pi}\,(x + 0.044715\,x^3)\right)\right)$$
#
# (Hendrycks and Gimpel 2016), which its authors offer where speed matters more than exactness.


# %%
def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


line = torch.linspace(-4, 4, 801)  # from -4 to 4 in steps of 0.01
below = 0.5 * (1 + torch.erf(line / math.sqrt(2)))  # probability of a smaller normal number
exact = line * below
for value in (-3.0, -1.0, 0.0, 1.0, 3.0):
    print(f"gelu({value:4.1f}) = {gelu(torch.tensor(value)):6.3f}")
print(f"the tanh form and the exact one: {(gelu(line) - exact).abs().max():.0e} apart at most")
differences["GELU"] = float((gelu(line) - F.gelu(line, approximate="tanh")).abs().max())
print(f"by hand and torch are {differences['GELU']:.1g} apart")
course.save_figure(draw_gelu(line, gelu(line)), "gelu")

# %% [markdown]
# ## The MLP
#
# A linear layer multiplies by a matrix and adds a bias. (torch stores the matrix with a row for
# each number that comes out, hence the `.T` below.) The MLP (multi-layer perceptron) is two such
# layers with GELU between: the first makes the vector four times as wide, the second brings it
# back. It looks at one token at a time; only attention looks at others.


# %%
def mlp(x: Tensor) -> Tensor:
    wide = x @ first.mlp.c_fc.weight.T + first.mlp.c_fc.bias  # [T, C] @ [C, 4C] -> [T, 4C]
    return gelu(wide) @ first.mlp.c_proj.weight.T + first.mlp.c_proj.bias  # [T, C]


print("widths inside:", first.mlp.c_fc.in_features, "->", first.mlp.c_fc.out_features, "-> 6")
differences["MLP"] = float((mlp(normed) - first.mlp(normed)).abs().max())
print(f"by hand and the library are {differences['MLP']:.1g} apart")

# %% [markdown]
# ## Attention, once more
#
# You know this from lesson 2. One matrix makes queries, keys and values; each head takes its share
# of the numbers (here 3 of 6), hides later tokens, and mixes values; a last matrix mixes the heads.


# %%
def attention(x: Tensor) -> Tensor:
    layer = first.attn
    q, k, v = (x @ layer.c_attn.weight.T + layer.c_attn.bias).split(6, dim=-1)  # [T, 6] each
    later = torch.ones(4, 4).triu(1).bool()  # [T, T] True above the diagonal
    heads = []
    for head in (slice(0, 3), slice(3, 6)):
        scores = q[:, head] @ k[:, head].T / math.sqrt(3)  # [T, T]
        weights = scores.masked_fill(later, -torch.inf).softmax(-1)  # [T, T]
        heads.append(weights @ v[:, head])  # [T, 3]
    return torch.cat(heads, -1) @ layer.c_proj.weight.T + layer.c_proj.bias  # [T, 6]


differences["attention"] = float((attention(normed) - first.attn(normed[None])[0]).abs().max())
print(f"by hand and the library are {differences['attention']:.1g} apart")

# %% [markdown]
# ## A block adds to the residual stream
#
# The vectors x run through the whole model like a stream: this is the **residual stream**. A block
# never replaces it. Attention reads the stream through a layer norm and *adds* what it has found in
# earlier tokens; then the MLP does the same with what it makes of each token. So what one block has
# added is still there for all later ones.


# %%
def block(x: Tensor) -> Tensor:
    x = x + attention(layer_norm(x, first.ln_1.weight, first.ln_1.bias))
    return x + mlp(layer_norm(x, first.ln_2.weight, first.ln_2.bias))


differences["block"] = float((block(x) - first(x[None])[0]).abs().max())
print("the stream after the first block, by hand:")
print(block(x))
print(f"by hand and the library are {differences['block']:.1g} apart")
found = ", ".join(f"{part} {apart:.1g}" for part, apart in differences.items())
course.checked(
    "each part by hand and by the library: how far apart",
    found,
    # fp32 stores numbers of about 1 with an error of up to 6e-8; a part adds up some dozens.
    holds(max(differences.values()) < 1e-5, no="that is more than rounding"),
)

# %% [markdown]
# ## The whole model, and its logits
#
# All blocks in turn, a final layer norm, and one matrix product, with the token embedding. The
# result is one score for each entry of the vocabulary at each position: how well would this token
# come next? These scores are the **logits**. They may be any numbers, negative ones too. In what is
# printed, a row is a position and a column an entry of the vocabulary.

# %%
stream = x[None]  # [1, 4, 6]
for each in model.blocks():
    stream = stream + each.attn(each.ln_1(stream))  # [1, 4, 6] what the earlier tokens say
    stream = stream + each.mlp(each.ln_2(stream))  # [1, 4, 6] what this token makes of it
by_hand = model.transformer["ln_f"](stream) @ wte.T  # [1, 4, 6] @ [6, 10] -> [1, 4, 10]
logits, _ = model(idx)  # [1, 4, 10]
print("logits, [B, T, V] =", list(logits.shape))
print(logits[0])
print("by hand equals the model:", torch.allclose(by_hand, logits, atol=1e-5))

# %% [markdown]
# ## From logits to a loss
#
# Softmax (lesson 2) turns the logits of a position into **probabilities**: positive, and 1 in sum.
# How good are they? Look up the probability p that the model gave to the token that really came
# next. The loss at this position is $-\ln p$: 0 if the model was certain and right, and larger the
# more surprised it is. Its mean over all positions is the **cross-entropy**. Because the logarithm
# is the natural one, its unit is the **nat**; $\log_2$ would give bits, and a nat is 1.44 bits.
#
# $e^{\text{loss}}$ is the **perplexity**. If a model hesitates evenly between 20 tokens, each has
# p = 1/20, the loss is ln 20 = 3.0 nats, and the perplexity is 20. A perplexity above V is worse
# than guessing evenly: a model of random numbers, as this one is, may be sure of wrong tokens. For
# our four tokens we make the right answers up.

# %%
targets = torch.tensor([1, 4, 1, 5])  # [T] what really came next
probabilities = logits[0].exp() / logits[0].exp().sum(-1, keepdim=True)  # [4, 10]
right = probabilities[torch.arange(4), targets]  # [4]
for position, (target, p) in enumerate(zip(targets.tolist(), right.tolist(), strict=True)):
    print(f"position {position}: p(token {target}) = {p:.3f}, -ln p = {-math.log(p):.3f} nats")
loss = float(-right.log().mean())
print(f"cross-entropy {loss:.3f} nats = {loss / math.log(2):.3f} bits a token")
print(f"perplexity {math.exp(loss):.1f}, of a vocabulary of {tiny.vocab_size}")
model_loss = float(model(idx, targets[None])[1])
course.checked(
    "cross-entropy by hand and by the library",
    f"{loss:.6f} and {model_loss:.6f} nats",
    holds(abs(loss - model_loss) < 1e-5),
)

# %% [markdown]
# ## An untrained model guesses, and we know how badly
#
# With no knowledge, the best a model can do is to give each of V tokens the chance 1/V. Its loss is
# then $-\ln(1/V) = \ln V$, and its perplexity is V. A new GPT should start there, or a little
# above, because its logits z are not quite equal. If they scatter around 0 like normal numbers with
# the standard deviation s, the mean of $e^z$ is not 1 but $e^{s^2 / 2}$; the sum in the softmax
# grows by that factor, and the loss by $s^2 / 2$.
#
# How large is s? A logit is a sum over the width, here 128: numbers of about size 1, as the final
# norm leaves them, times embeddings, which start at random with a standard deviation of 0.02. So s
# is about $0.02 \sqrt{128} = 0.23$, which costs 0.03 nats.
#
# If your model starts much higher, something is wrong with its first parameters. Always look at the
# first loss.

# %%
vocabularies = course.choose(quick=[64, 1024], normal=[64, 256, 1024, 4096, 16384, 50257])
first_losses = []
for vocab_size in vocabularies:
    fresh = GPT(GPTConfig(vocab_size, block_size=64, n_layer=4, n_head=4, n_embd=128)).eval()
    ids = torch.randint(vocab_size, (8, 65))  # [8, 65]
    first_losses.append(float(fresh(ids[:, :-1], ids[:, 1:])[1]))
    print(
        f"V = {vocab_size:>6,}: ln V = {math.log(vocab_size):6.3f}, first loss "
        f"{first_losses[-1]:6.3f}, perplexity {math.exp(first_losses[-1]):>8,.0f}"
    )

# %%
course.save_figure(draw_first_losses(vocabularies, first_losses), "first_loss")
worst = max(abs(loss - math.log(v)) for loss, v in zip(first_losses, vocabularies, strict=True))
course.checked(
    "first loss of a new GPT, farthest from ln V",
    f"{worst:.3f} nats",
    # 0.03 for the spread of the logits, and as much again for the chance in 512 targets.
    holds(worst < 0.1, yes="it starts by guessing", no="more than 0.1: not mere guessing"),
)

# %% [markdown]
# ## Why the projections start smaller
#
# Every block adds two vectors to the stream. If each addition has the same spread, the stream's
# spread grows with the square root of their number. So GPT-2 scales the matrices that write to the
# stream, both called `c_proj`, by $1/\sqrt{N}$ at the start, with N the number of residual layers
# (Radford et al. 2019, section 2.3). A block has two of them, which makes it $1/\sqrt{2L}$ for L
# blocks, and a deep model starts like a shallow one. Here is a deep model, with the smaller start
# and without.


# %%
def spread_of_stream(model: GPT) -> list[float]:
    """Returns the standard deviation of the stream before the first block and after each."""
    x = model.transformer["wte"](some_ids) + model.transformer["wpe"](torch.arange(64))
    spread = [float(x.std())]
    for block in model.blocks():
        x = block(x)
        spread.append(float(x.std()))
    return spread


depth = course.choose(quick=4, normal=32)
some_ids = torch.randint(500, (4, 64))  # [4, 64]
scaled, unscaled = [], []
for _ in range(3):  # three models, to see how much chance there is
    deep = GPT(GPTConfig(500, block_size=64, n_layer=depth, n_head=4, n_embd=128)).eval()
    scaled.append(spread_of_stream(deep))
    for name, parameter in deep.named_parameters():
        if name.endswith("c_proj.weight"):
            parameter *= math.sqrt(2 * depth)  # back to the 0.02 that every other matrix has
    unscaled.append(spread_of_stream(deep))

# %%
ratios = [without[-1] / with_it[-1] for without, with_it in zip(unscaled, scaled, strict=True)]
ratio = sum(ratios) / len(ratios)
growth = [with_it[-1] / with_it[0] for with_it in scaled]
print(f"after {depth} blocks the stream is {ratio:.1f} times as spread without the smaller start;")
print(f"with it, it has grown {sum(growth) / len(growth):.1f} times since the embeddings")
course.published(
    "smaller projections keep a deep stream from growing", "Radford et al. 2019, section 2.3",
    "scale by 1 / sqrt(N)", f"{ratio:.1f} times the spread without it, after {depth} blocks",
    is_more(ratio, error_of_mean(ratios), at_least=2, unit=" times", places=2,
            no="less than twice the spread without it"),
)  # fmt: skip
course.save_figure(draw_streams(unscaled[0], scaled[0]), "residual_stream")

# %% [markdown]
# ## What GPT left out
#
# Lesson 2 showed what a decoder block of the first transformer had beside these two: attention *to
# an encoder's vectors*. A GPT has no encoder. Everything it is to know stands in the one text that
# it reads, so that layer is gone, and queries, keys and values all come from the same stream. What
# would it cost to keep it?

# %%
print("layers of a block:", [name for name, _ in first.named_children()])
gpt2 = GPTConfig.preset("gpt2")
C, L = gpt2.n_embd, gpt2.n_layer
third_layer = L * (4 * C**2 + 4 * C + 2 * C)  # attention's four matrices and biases, and a norm
print(f"attention to an encoder in each of GPT-2's {L} blocks: {third_layer:,} parameters more")

# %% [markdown]
# ## One matrix, two jobs
#
# The matrix that turns ids into vectors also turns vectors into logits: **weight tying** (Press and
# Wolf 2017). A token's logit is the dot product of the final vector with that token's embedding.
# The matrix in its second job is called the **LM head** (LM is short for language model).

# %%
print("LM head and token embedding are one tensor:", end=" ")
print(model.lm_head.weight is model.transformer["wte"].weight)
shared = gpt2.vocab_size * gpt2.n_embd
print(
    f"in GPT-2 that saves {shared:,} parameters, "
    f"{100 * shared / count_parameters(gpt2):.0f}% of the model"
)

# %% [markdown]
# ## Counting parameters
#
# A block holds $12C^2 + 13C$ numbers: $4C^2 + 4C$ in attention, $8C^2 + 5C$ in the MLP, $4C$ in the
# two norms. Add the embeddings, $(V + T)C$ with T now the whole context, and the final norm, $2C$.
# `count_parameters` is this formula; let us see that it tells the truth about a model that was
# really built.

# %%
built = sum(parameter.numel() for parameter in deep.parameters())
formula = count_parameters(deep.config)
print(f"counted by formula: {formula:,}; counted one by one: {built:,}")
course.checked("parameters by formula and one by one", f"{formula:,}", holds(formula == built))

# %% [markdown]
# Now the published sizes. The paper on GPT-2 lists four models, the one on GPT-3 eight; these eight
# have GPT-2's vocabulary and a context of 2,048. Beside each count stands the memory it takes: in
# fp32 a number has 4 bytes, and a GB is a billion bytes. To train a model takes four numbers for
# each parameter: the weight, its gradient, and two that the optimizer keeps (lesson 4). The results
# of all layers, which the gradients need, come on top.

# %%
counted = {name: count_parameters(GPTConfig.preset(name)) / 1e6 for name in PRESETS}  # millions
print("model         width  published      counted      weights  to train it")
for name, printed in model_sizes.PRINTED.items():
    width, gigabytes = GPTConfig.preset(name).n_embd, 4 * counted[name] / 1000
    print(f"{name:<12} {width:>6,} {printed:>10} {counted[name]:>10,.1f} M ", end="")
    print(f"{gigabytes:>9,.1f} GB {4 * gigabytes:>9,.1f} GB")

# %% [markdown]
# ## GPT-2's counts, and a small investigation
#
# All four of GPT-2's printed counts are lower than what depth, width and vocabulary of the same
# paper give: the smallest model holds 124 million numbers, not 117. OpenAI has since said so: the
# README of the code it released calls the counts in the paper a mistake, but does not say how they
# came about. How far are they off?

# %%
for name in model_sizes.GPT2:
    printed = model_sizes.PRINTED[name].removesuffix("M")
    more = 100 * (counted[name] / float(printed.replace(",", "")) - 1)
    config = GPTConfig.preset(name)
    reason = (
        f"these sizes and the same paper's vocabulary of {config.vocab_size:,} give "
        f"{abs(more):.1f}% {'more' if more > 0 else 'less'}"
    )
    course.published(
        f"{name}, parameters", "Radford et al. 2019, table 2",
        f"{config.n_layer} blocks, width {config.n_embd:,}: {printed}M", f"{counted[name]:,.1f}M",
        same_figure(printed, counted[name], reason, kind=Kind.WRONG),
    )  # fmt: skip

# %% [markdown]
# Where could the missing millions be? GPT-1 had a vocabulary of 40,478 entries (40,000 merges and
# what they start from) where GPT-2 has 50,257. And the slides say that GPT-2 reads 512 tokens,
# which is GPT-1's context. Let us count all four models with both vocabularies and several
# contexts, in millions, and see which pair gives the figures in print.

# %%
reproduced = {}
for vocab_size in (model_sizes.GPT1_VOCABULARY, 50257):
    for context in (256, 512, 1024, 2048):
        counts = model_sizes.gpt2_counts(vocab_size, context)
        reproduced[vocab_size, context] = sum(
            round(counts[name]) == model_sizes.printed_millions(name) for name in model_sizes.GPT2
        )
        shown = "  ".join(f"{counts[name]:8.2f}" for name in model_sizes.GPT2)
        fit = reproduced[vocab_size, context]
        print(f"V {vocab_size:,}, T {context:>5}: {shown}   {fit} as printed")
vocabulary, context = max(reproduced, key=lambda pair: reproduced[pair])

# %% [markdown]
# One pair gives all four figures to the last digit: GPT-1's vocabulary with a context of 1,024. Why
# the table was made with the older vocabulary, only its authors know; but four such hits are hardly
# an accident. It also settles the context: 512 is GPT-1's, and the paper on GPT-2 says in section
# 2.3 that it went from 512 to 1,024.

# %%
best = reproduced[vocabulary, context]
course.checked(
    "GPT-2's four printed counts, with GPT-1's vocabulary",
    f"{best} of 4 come out with V = {vocabulary:,} and T = {context:,}",
    holds(best == 4 and list(reproduced.values()).count(4) == 1, yes="and with no other pair tried",
          no="no pair tried, or several, give all four"),
)  # fmt: skip
course.published(
    "GPT-2's context (tokens)", "slides 001/002", "512", f"{context:,} fits the printed counts",
    same_figure("512", context, "512 is GPT-1's, with which not all four printed counts come out",
                kind=Kind.WRONG, within=0),
)  # fmt: skip

# %% [markdown]
# With these two settled, the printed counts tell the widths: among the multiples of 64, the size of
# a head in GPT-2, which width gives the printed count at the printed depth? This is no new
# evidence, since the pair was found with the widths of the table. It shows how sharply a count pins
# the width down.

# %%
for name in model_sizes.GPT2:
    fitting = model_sizes.widths_that_give(name, vocabulary, context)
    width = GPTConfig.preset(name).n_embd
    print(f"{name:<12} {model_sizes.PRINTED[name]:>6}: widths that fit: {fitting}")
    course.checked(
        f"{name}: widths that give the printed count", f"{fitting}; the table has {width:,}",
        holds(fitting == [width], yes="no other width gives the printed count",
              no="the printed count fits other widths, or none"),
    )  # fmt: skip

# %% [markdown]
# ## GPT-1
#
# Radford et al. 2018 give its sizes in section 4.1: 12 blocks, width 768, feed-forward layers
# (MLPs) 3,072 wide, a context of 512. Its norms stand after the layers, so there is no final one.
# Does the count that is quoted for it come out, 117M?

# %%
gpt1 = model_sizes.gpt1_millions()
course.published(
    "GPT-1: 12 blocks, context 512, width 768", "slides 001/002", "117M", f"{gpt1:.1f}M",
    same_figure("117", gpt1, "the sizes give another count"),
)  # fmt: skip

# %% [markdown]
# If it does, it checks the sizes in turn. We change one at a time and keep the others: which values
# still give 117M? Where several do, the count cannot tell, and the row says "undecided".

# %%
for what, printed, name, values in (
    ("blocks", 12, "n_layer", range(1, 49)),
    ("context", 512, "context", (128, 256, 512, 1024, 2048)),
    ("width", 768, "width", range(64, 4097, 64)),
    ("feed-forward width", 3072, "hidden", range(128, 8193, 128)),
):
    fits = [v for v in values if round(model_sizes.gpt1_millions(**{name: v})) == 117]
    print(f"{what}: of {values[0]} to {values[-1]:,}, these give 117M: {fits}")
    course.published(
        f"GPT-1, {what}", "Radford et al. 2018, section 4.1", f"{printed:,}", f"{fits} from 117M",
        holds(fits == [printed], published=True, yes="no other value tried gives 117M",
              no="other values give 117M as well" if printed in fits else "it does not give 117M",
              kind=Kind.UNDECIDED if printed in fits else Kind.DIFFERS),
    )  # fmt: skip

# %% [markdown]
# ## GPT-3's counts
#
# GPT-3's paper prints its counts twice: in table 2.1 beside the sizes, and in table D.1, in
# millions, beside the computation that training took. The verdicts ask whether our count, from the
# sizes of table 2.1, rounds to what is printed. (A whole number that ends in 0, such as 1,320, is
# taken to be rounded to tens. The width of 13B is taken to be 5,120, for a reason given below.)

# %%
for name in model_sizes.GPT3:
    printed = model_sizes.PRINTED[name]
    unit = {"M": 1, "B": 1000}[printed[-1]]
    millions = counted[name]
    config, printed_width = GPTConfig.preset(name), model_sizes.PRINTED_HEADS[name][0]
    width = f" at width {config.n_embd:,}" if config.n_embd != printed_width else ""
    exact = model_sizes.PRINTED_MILLIONS[name]
    verdict = same_figure(exact[:-1], millions, "table 2.1's sizes do not give it",
                          kind=Kind.UNKNOWN, within=model_sizes.rounding(exact))  # fmt: skip
    course.published(f"{name}, parameters in millions", "Brown et al. 2020, table D.1", exact,
                     f"{millions:,.1f}M{width}", verdict)  # fmt: skip
    agree = verdict.kind is Kind.REPRODUCED  # table D.1 and our count
    course.published(
        f"{name}, parameters", "Brown et al. 2020, table 2.1",
        f"{config.n_layer} blocks, width {printed_width:,}: {printed}",
        f"{millions / unit:,.{3 if unit == 1000 and millions < 1e4 else 1}f}{printed[-1]}{width}",
        same_figure(printed[:-1], millions / unit,
                    f"table D.1 of the same paper has {exact}" if agree else "for no known reason",
                    kind=Kind.WRONG if agree else Kind.UNKNOWN,
                    within=model_sizes.rounding(printed)),
    )  # fmt: skip

# %% [markdown]
# In a GPT the heads share the width, so heads x head size must be the width. In two rows it is not.

# %%
for name, (width, heads, head_size) in model_sizes.PRINTED_HEADS.items():
    product = heads * head_size
    course.published(
        f"{name}: width = heads x head size", "Brown et al. 2020, table 2.1",
        f"{width:,} = {heads} x {head_size}", f"{heads} x {head_size} = {product:,}",
        same_figure(f"{width}", product, f"the product is {product:,}", kind=Kind.WRONG, within=0),
    )  # fmt: skip
    fits = "fits" if product == width else "does not fit"
    print(f"{name:<12} {heads:>2} x {head_size:>3} = {product:>6,}, width {width:>6,}: {fits}")

# %% [markdown]
# Which of the printed numbers is wrong? The count of table D.1 can tell: we build both rows either
# way.

# %%
for name, widths in (("gpt3-xl", (2048, 24 * 128)), ("gpt3-13b", (5140, 40 * 128))):
    for width in widths:
        # The count does not depend on the number of heads, and 1 divides any width.
        config = replace(GPTConfig.preset(name), n_embd=width, n_head=1)
        print(
            f"{name:<8} {model_sizes.PRINTED_MILLIONS[name]:>7} with width {width:,}: "
            f"{count_parameters(config) / 1e6:,.1f}M"
        )

# %% [markdown]
# For XL the width of 2,048 gives the count. Could 24 heads of 128 be wider together than the
# stream, as in T5, another transformer (Raffel et al. 2020)? Attention would then hold 4 x 2,048 x
# 3,072 numbers a block, and the model 1.52B, not 1.3B. So the number of heads is misprinted, since
# 24 does not divide 2,048; 16 heads of 128, for instance, fill the width. For 13B the width is
# misprinted: with 5,120, which is what 40 heads of 128 take, table D.1's count comes out, and with
# 5,140 it does not. (The count with 5,140 would round to table 2.1's 13.0B. But that table's 175.0B
# is too high as well, where no width is in doubt: both look like whole billions, 13 and 175, with a
# zero added.) minigpt's presets have these sizes.
#
# Where do the parameters sit? In small models the vocabulary is a large part. In large ones nearly
# everything is in the blocks, two thirds of it in the MLPs.

# %%
course.save_figure(model_sizes.draw_shares(), "parameters")

# %% [markdown]
# ## Real weights
#
# The names of our parameters are those of the published GPT-2, and so are their shapes, but for the
# matrices of the linear layers, which it stores transposed; loading turns them round, and the
# weights drop in. They are half a gigabyte and need a network (or a copy: `minigpt data fetch gpt2
# --from PATH`). Where they cannot be had, we go on with the small model that ships with minigpt.

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
# the round trip: save, load, and compare the logits.

# %%
ids = torch.randint(published_model.config.vocab_size, (2, 32))
with tempfile.TemporaryDirectory() as folder:
    save_gpt2(published_model, folder)
    again = load_gpt2(folder).eval()
difference = float((published_model(ids)[0] - again(ids)[0]).abs().max())
print(f"largest difference of a logit after saving and loading: {difference}")
course.checked(
    "logits after saving and loading", f"{difference:.1g} apart at most", holds(difference == 0)
)

# %%
try:
    from transformers import GPT2LMHeadModel
except ImportError:
    print("(transformers is not installed: pip install transformers to compare with it)")
else:
    # On Windows the files that transformers still has open stay in the temporary folder.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        save_gpt2(published_model, folder)
        peer = GPT2LMHeadModel.from_pretrained(folder).eval()
    apart = float((published_model(ids)[0] - peer(ids).logits).abs().max())
    print(f"largest difference from transformers' own GPT-2 code: {apart:.0e}")
    # Logits reach some tens; below 128 fp32 stores numbers with an error of up to 4e-6. GPT-2 adds
    # up such errors over 12 blocks.
    course.checked(
        "logits of transformers' GPT-2 code", f"{apart:.0e} apart at most",
        holds(apart < 1e-3, yes=f"the same model, with {source}", no="another model"),
    )  # fmt: skip

# %% [markdown]
# ## What to take away
#
# - A block reads the residual stream through a layer norm and adds to it, twice: what attention
#   finds in earlier tokens, then what the MLP makes of each token. You wrote all of it in some 20
#   lines.
# - Logits are scores for the next token; softmax makes them probabilities; the mean of $-\ln p$ of
#   the right tokens is the cross-entropy, in nats; $e$ raised to it is the perplexity.
# - A new model's first loss is close to ln V. If it is not, look for the mistake before training.
# - $12C^2$ parameters a block and VC for the vocabulary are nearly the whole count. With these two
#   you found that GPT-2's printed counts fit GPT-1's vocabulary.

# %%
course.finish()

# %% [markdown]
# Your turn: GELU, layer norm, the count, the loss, a block. `minigpt exercise start 3` writes the
# stubs, and `minigpt exercise check 3` says what your code computes.
#
# Next: lesson 4 trains such a model. Its loss starts near ln V, and you will see how it falls.
