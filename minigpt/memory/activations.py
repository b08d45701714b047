"""Predicts, without a model, what autograd keeps of a forward pass until the backward pass.

Gradients need numbers from the forward pass: in y = W x, the gradient of W needs x and that of x
needs W. Each operation keeps what its gradients will need, if it has any to compute. For N = B T
tokens:

    norm                its input; mean and 1 / deviation of each token in fp32 (RMSNorm: one), also
                        if only its bias learns
    linear layer        its input, if its weight learns or LoRA's A reads it too. A frozen weight
                        needs no input, which is most of what LoRA saves here
    autocast to bf16    a rounded copy of every fp32 weight; a weight in 4 bits is expanded again
    LoRA                A x, r numbers a token, and a contiguous copy of B^T
    attention, fused    q, k, v, the output, and one fp32 number for each query and head
    attention, stored   q, k, v, the weights [T, T] of each head and the mask
    GELU                its input, 4 C a token
    SwiGLU              gate, silu(gate) and up, ffn a token each
    prefix with a gate  what attention to it finds, its sums or weights, and q again where no text's
                        attention keeps it; its keys and values where they are made or rounded
    dropout             a byte for each number of the residual stream
    loss                the gradient of the LM head's input, where a target counts, and of its
                        weight if that learns: fast/cross_entropy.py computes them in the forward
                        pass. Other losses keep the logarithms of V probabilities in fp32

A tensor that two operations keep is counted once. Operations before the first trained parameter
keep nothing, as no gradient gets that far: a frozen model's first block keeps less than the others,
and where only the last blocks learn those below them keep nothing.

Sources: the model, line by line (model.py and the layer.py of lora/, bottlenecks/ and
soft_prompts/), and torch's formulas of gradients (derivatives.yaml). Korthikanti et al. 2022,
"Reducing Activation Recomputation in Large Transformer Models" (arXiv 2205.05198, section 4), do
the same for a whole transformer.
"""

from __future__ import annotations

from minigpt.config import GPTConfig
from minigpt.memory.run import (
    FORMATS,
    HEAD,
    Shape,
    TrainingRun,
    block_layers,
    head_layer,
    kv_width,
    live_blocks,
    lora_layers,
    width,
)

INPUTS = ("input of norm 1", "gate, rounded")  # of a block, which checkpointing keeps


class Tape(dict[str, int]):
    """The bytes of each tensor, by name, that one block keeps, or the head and loss after them.

    The methods are the steps of the model. Each is told whether its input is "live", that is,
    depends on a trained parameter, so that a gradient will pass; it returns whether its output is.

    Args:
        batch, tokens: B rows of T tokens are computed.
        past: the number of keys and values before them.
        packed: whether each row has a mask of its own.
    """

    def __init__(
        self,
        shape: Shape,
        run: TrainingRun,
        batch: int,
        tokens: int,
        past: int = 0,
        packed: bool = False,
    ) -> None:
        super().__init__()
        self.shape, self.run = shape, run
        self.batch, self.tokens, self.n_keys = batch, tokens, past + tokens
        self.n_rows = batch * tokens  # N
        self.has_mask = past > 0 or packed
        self.mask = (batch if packed else 1) * tokens * self.n_keys  # its number of elements
        # A product over several rows and heads copies q, which is a view of c_attn's output, and
        # what is the same for all rows.
        self.copied = run.stored_attention and batch > 1 and shape.n_head > 1
        self.gpt = isinstance(shape, GPTConfig)
        self.width = width(shape)
        self.size = FORMATS[run.compute]
        self.stream_size = FORMATS[run.weights]  # autocast does not round the residual stream
        self.rounds = run.weights != run.compute
        self.layers = {layer.name: layer for layer in [*block_layers(shape), head_layer(shape)]}
        self.lora = {layer.name for layer in lora_layers(shape, run)}
        self.learns = run.trains_weights or run.trains_biases_only  # in blocks and norms

    def block(self, live: bool) -> bool:
        """Runs a whole block."""
        x = self.norm("norm 1", live)
        if self.gpt:
            q = k = v = self.linear("attn.c_attn", x, "output of norm 1")
        else:
            q, k, v = (
                self.linear(f"self_attn.{n}_proj", x, "output of norm 1") for n in ("q", "k", "v")
            )
        y = self.attention(q, k, v)
        if self.run.gated:
            y = self.attention_beside(q)
        last = "attn.c_proj" if self.gpt else "self_attn.o_proj"
        live = self.sublayer_end(last, y, "output of attention") or live
        x = self.norm("norm 2", live)
        y, last = self.gelu(x) if self.gpt else self.swiglu(x)
        return self.sublayer_end(last, y, f"input of {last}") or live

    def norm(self, name: str, live: bool) -> bool:
        """Runs LayerNorm or RMSNorm."""
        live = live or self.learns
        if live:
            self[f"input of {name}"] = self.n_rows * self.width * self.stream_size
            self[f"statistics of {name}"] = self.n_rows * (8 if self.gpt else 4)
        return live

    def linear(self, name: str, live: bool, reads: str) -> bool:
        """Runs a linear layer, with LoRA beside it or not; `reads` names its input."""
        layer, run, lora = self.layers[name], self.run, name in self.lora
        frozen = name == HEAD and run.method != "full"
        if (run.trains_weights and not frozen) or lora:
            self[reads] = self.n_rows * layer.n_in * self.size
        if live and self.rounds and (run.method != "qlora" or name == HEAD):
            self[f"{name}, rounded"] = layer.n_in * layer.n_out * self.size
        if lora:
            self[f"A x of {name}"] = self.n_rows * run.r * self.size
            if run.r > 1 or self.size != 4:  # for r = 1 B^T is contiguous without a copy
                self[f"B^T of {name}"] = run.r * layer.n_out * self.size
            if live and self.size != 4:  # A is fp32
                self[f"A of {name}, rounded"] = run.r * layer.n_in * self.size
        return live or (self.learns and not frozen) or lora

    def attention(self, q: bool, k: bool, v: bool) -> bool:
        """Runs softmax(q k^T) v, for queries, keys and values that are live or not."""
        if past := self.n_keys - self.tokens:  # the soft prompt is trained, so its keys are live
            k = v = True
        if not (q or k or v):
            return False
        n_head = self.shape.n_head
        of_queries = self.n_rows * self.width * self.size
        of_keys = self.batch * self.n_keys * kv_width(self.shape) * self.size  # and of the values
        scores = self.batch * n_head * self.tokens * self.n_keys
        # q is a view of a third of c_attn's output. With a soft prompt k and v are copied, so that
        # only q keeps the whole output.
        if past and self.gpt and not self.copied:
            of_queries *= 3
        if not self.run.stored_attention:
            self.update({"q": of_queries, "k": of_keys, "v": of_keys})
            self["output of attention"] = self.n_rows * self.width * self.size
            self["sums of attention"] = 4 * self.n_rows * n_head
            if self.has_mask:  # the kernel adds it to the scores; the causal rule needs no mask
                self["mask"] = self.mask * self.size
            return True
        if k:
            self["q"] = of_queries
        if q:
            self["k"] = of_keys
        if q or k:
            self["v"] = of_keys
            self["mask"] = self.mask  # bool
        self["attention weights"] = scores * self.size
        return True

    def attention_beside(self, q: bool) -> bool:
        """Runs attention to the keys and values of a prefix with a gate, and its gate.

        They have no mask. As far as they are not copied, soft_prompt_bytes counts them.
        """
        run, n_head = self.run, self.shape.n_head
        of_queries = self.n_rows * self.width * self.size
        if self.copied:
            self["q, once more"] = of_queries
            of_keys = self.batch * run.n_tokens * kv_width(self.shape) * self.size
            self["v beside"] = of_keys
            if q:
                self["k beside"] = of_keys
        elif not q:  # otherwise the text's attention keeps it
            self["q"] = of_queries * (3 if self.gpt else 1)
        self["found beside"] = of_queries
        if run.stored_attention:
            self["weights beside"] = self.n_rows * n_head * run.n_tokens * self.size
        else:
            self["sums beside"] = 4 * self.n_rows * n_head
        if self.size != 4:  # otherwise it is a view of all blocks' gates
            self["gate, rounded"] = n_head * self.size
        return True

    def gelu(self, x: bool) -> tuple[bool, str]:
        """Runs GPT's MLP up to its last layer, which it names."""
        y = self.linear("mlp.c_fc", x, "output of norm 2")
        if y:
            self["input of GELU"] = self.n_rows * 4 * self.width * self.size
        return y, "mlp.c_proj"

    def swiglu(self, x: bool) -> tuple[bool, str]:
        """Runs Llama's MLP, silu(gate) * up, up to its last layer, which it names."""
        gate = self.linear("mlp.gate_proj", x, "output of norm 2")
        up = self.linear("mlp.up_proj", x, "output of norm 2")
        n_bytes = self.n_rows * self.layers["mlp.up_proj"].n_out * self.size
        if gate:
            self.update({"gate": n_bytes, "up": n_bytes})
        if up:
            self["silu(gate)"] = n_bytes
        return gate or up, "mlp.down_proj"

    def sublayer_end(self, name: str, live: bool, reads: str) -> bool:
        """Runs the last linear layer of attention or MLP, a bottleneck behind it, and dropout."""
        live = self.linear(name, live, reads)
        run = self.run
        if run.method == "bottleneck":
            middle = self.n_rows * run.bottleneck * self.size
            self[f"bottleneck of {name}"] = self.n_rows * self.width * self.size + 2 * middle
            if self.size != 4:  # W_down only for the gradient of its input, W_up always
                rounded = run.bottleneck * self.width * self.size
                self[f"bottleneck of {name}, rounded"] = (2 if live else 1) * rounded
            live = True
        if live and isinstance(self.shape, GPTConfig) and self.shape.dropout:
            self[f"dropout after {name}"] = self.n_rows * self.width
        return live


def activation_bytes(shape: Shape, run: TrainingRun) -> int:
    """Returns the bytes of all activations at the moment when they take most.

    This is the end of the forward pass. With checkpointing it may be later, when the last block has
    been computed again: the inputs of all blocks and the tensors of that block are there then, but
    the loss has freed what it needed.
    """
    live = run.method == "full"  # only there the embeddings are trained
    first, other = (
        Tape(shape, run, run.batch_size, run.context, run.past, run.packed)
        for _ in ("first", "other")
    )
    live = first.block(live)
    other.block(live)
    depth = live_blocks(shape, run)  # the blocks below keep nothing
    before = sum(embedding_tensors(shape, run, first, live).values())
    before += soft_prompt_bytes(shape, run, first)
    head = sum(head_tensors(shape, run, live).values())
    if not (run.checkpointing and live):
        return before + sum(first.values()) + (depth - 1) * sum(other.values()) + head
    inputs = depth * first.n_rows * first.width * first.stream_size
    if run.packed:
        inputs += first.mask  # bool, the same for all blocks
    inputs += depth * first.get("gate, rounded", 0)
    last = first if depth == 1 else other
    inside = sum(last.values()) - sum(last.get(name, 0) for name in INPUTS)
    return before + inputs + max(head, inside)


def embedding_tensors(shape: Shape, run: TrainingRun, block: Tape, live: bool) -> dict[str, int]:
    """Returns what is kept before the first block: int64 ids and dropout, or Llama's angles."""
    kept = {}
    if run.method == "full":
        kept["ids"] = 8 * block.n_rows
        if block.gpt:
            kept["positions"] = 8 * (block.n_rows if run.packed else run.context)
            if isinstance(shape, GPTConfig) and shape.dropout:
                kept["dropout"] = block.n_rows * block.width
    if live and not block.gpt:
        # Llama rotates queries and keys by angles that are the same in all blocks.
        kept["cosines and sines"] = 2 * run.context * (block.width // shape.n_head) * block.size
    return kept


def head_tensors(shape: Shape, run: TrainingRun, live: bool) -> dict[str, int]:
    """Returns what the last norm, the LM head and the loss keep for the n positions that count."""
    n_rows = run.batch_size * run.context
    n = n_rows if run.n_targets is None else run.n_targets
    kept = Tape(shape, run, batch=1, tokens=n)
    if live:
        kept["which positions count"] = n_rows  # bool
    live = kept.norm("last norm", live)
    if kept.gpt and HEAD not in kept.lora:
        if live:
            kept["gradient of output of last norm"] = n * kept.width * kept.size
        if run.method == "full":
            kept["gradient of head"] = 4 * shape.vocab_size * kept.width
        return kept
    kept.linear(HEAD, live, "output of last norm")
    kept["logarithms of probabilities"] = 4 * n * shape.vocab_size
    kept["targets"] = 8 * n
    return kept


def soft_prompt_bytes(shape: Shape, run: TrainingRun, block: Tape) -> int:
    """Returns the bytes kept to make a soft prompt's keys and values (soft_prompts/layer.py)."""
    n, L, C, of_keys = run.n_tokens, shape.n_layer, width(shape), kv_width(shape)
    size = FORMATS[run.compute]
    if run.method == "prompt":  # the virtual tokens go through the blocks as one more row
        row = Tape(shape, run, 1, n)
        row.block(True)
        dropout = n * C if isinstance(shape, GPTConfig) and shape.dropout else 0
        # The last block's keys are a sum, which is kept only as an input of that block.
        keys = n * of_keys * size if run.checkpointing else 0
        return L * sum(row.values()) + dropout + keys
    if run.method != "prefix":
        return 0
    kept, hidden, out = 0, run.reparametrize, 2 * L * of_keys
    if hidden is not None:  # tanh's output, and copies by autocast
        rounded = n * C + hidden * C + hidden * out if size != 4 else 0
        kept += (n * hidden + rounded) * size
    # Every block looks at views of one tensor, which is the trained one itself or made of it.
    looked_at = run.checkpointing or (run.gated and not block.copied)
    if looked_at and (hidden is not None or size != 4):
        kept += n * out * size
    return kept + (4 * L * shape.n_head if run.gated else 0)  # the tanh of the gates
