# ruff: noqa: F811
# mypy: ignore-errors
"""Lesson 12's bank: right answers in several styles, and the mistakes that people make."""

import torch
import torch.nn.functional as F

from lessons.grading.task import Bank

# 12.1 FrozenLinear

frozen = Bank()


@frozen.right
class FrozenLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, bias, codes, dequantize):
        ctx.save_for_backward(codes)
        ctx.dequantize = dequantize
        ctx.has_bias = bias is not None
        W = dequantize(codes)
        y = x @ W.T
        if bias is not None:
            y = y + bias
        return y

    @staticmethod
    def backward(ctx, grad):
        (codes,) = ctx.saved_tensors
        W = ctx.dequantize(codes)
        grad_x = grad @ W
        grad_bias = None
        if ctx.has_bias:
            grad_bias = grad.reshape(-1, grad.shape[-1]).sum(dim=0)
        return grad_x, grad_bias, None, None


@frozen.right
class FrozenLinear(torch.autograd.Function):
    @staticmethod
    def forward(x, bias, codes, dequantize):
        return F.linear(x, dequantize(codes), bias)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.codes, ctx.dequantize = inputs[2], inputs[3]

    @staticmethod
    def backward(ctx, grad):
        grads = [None] * 4
        if ctx.needs_input_grad[0]:
            grads[0] = torch.einsum("...o,oi->...i", grad, ctx.dequantize(ctx.codes))
        if ctx.needs_input_grad[1]:
            grads[1] = grad.sum(dim=tuple(range(grad.dim() - 1)))
        return tuple(grads)


@frozen.right
class FrozenLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, bias, codes, dequantize):
        ctx.again = lambda: dequantize(codes)
        ctx.bias = bias
        rows = x.reshape(-1, x.shape[-1])
        W = ctx.again()
        out = torch.zeros(rows.shape[0], W.shape[0], dtype=x.dtype)
        for i in range(len(rows)):
            out[i] = (W * rows[i]).sum(1) if bias is None else (W * rows[i]).sum(1) + bias
        return out.reshape(*x.shape[:-1], W.shape[0])

    @staticmethod
    def backward(ctx, grad):
        bias_grad = None
        if ctx.bias is not None:
            bias_grad = torch.zeros_like(ctx.bias)
            for row in grad.reshape(-1, grad.shape[-1]):
                bias_grad += row
        return torch.matmul(grad, ctx.again()), bias_grad, None, None


@frozen.right
class FrozenLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, bias, codes, dequantize):
        ctx.save_for_backward(codes, bias)
        ctx.dequantize, ctx.dims = dequantize, x.dim()
        flat = x.reshape(-1, x.size(-1))
        W_t = dequantize(codes).t()
        y = flat.mm(W_t) if bias is None else torch.addmm(bias, flat, W_t)
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx, grad_output):
        codes, bias = ctx.saved_tensors
        weight = ctx.dequantize(codes)
        grad_bias = grad_output.sum(list(range(ctx.dims - 1))) if bias is not None else None
        return F.linear(grad_output, weight.T), grad_bias, None, None


frozen.edit(
    "W is saved for backward",
    "You save W for the backward pass, so the whole unpacked weight stays in memory. Save the "
    "codes and call dequantize again.",
    ("ctx.save_for_backward(codes)", "ctx.save_for_backward(dequantize(codes))"),
    ("(codes,) = ctx.saved_tensors\n        W = ctx.dequantize(codes)", "(W,) = ctx.saved_tensors"),
)
frozen.edit(
    "W is kept on ctx",
    "You keep W as an attribute of ctx, so the whole unpacked weight stays in memory until the "
    "backward pass. Keep the codes and call dequantize again.",
    ("W = dequantize(codes)\n", "W = ctx.W = dequantize(codes)\n"),
    ("W = ctx.dequantize(codes)", "W = ctx.W"),
)
frozen.edit(
    "a copy of W is kept",
    "You keep a copy of W, as large as W itself. Keep the codes and call dequantize again.",
    ("W = dequantize(codes)\n", "W = dequantize(codes)\n        ctx.W_t = W.T.contiguous()\n"),
    ("W = ctx.dequantize(codes)", "W = ctx.W_t.T"),
)
frozen.edit(
    "x is saved for backward",
    "You save x for the backward pass. Only the gradient of W would need it, and W is frozen.",
    ("ctx.save_for_backward(codes)", "ctx.save_for_backward(codes, x)"),
    ("(codes,) = ctx.saved_tensors", "codes, x = ctx.saved_tensors"),
)
frozen.edit(
    "x is kept on ctx",
    "You keep x as an attribute of ctx. Only the gradient of W would need it, and W is frozen.",
    ("ctx.dequantize = dequantize", "ctx.dequantize, ctx.x = dequantize, x"),
)
frozen.edit(
    "W and x are saved for backward",
    "You save x and W for the backward pass, as a trained layer does. The gradient of x needs W "
    "alone, and W can be made again from the codes.",
    ("ctx.save_for_backward(codes)", "ctx.save_for_backward(x, dequantize(codes))"),
    ("(codes,) = ctx.saved_tensors\n        W = ctx.dequantize(codes)", "x, W = ctx.saved_tensors"),
)
frozen.edit(
    "the bias gets no gradient",
    "You return None for the gradient of the bias.",
    ("if ctx.has_bias:", "if False:"),
)
frozen.edit(
    "the bias's gradient is a mean",
    "You take the mean over the rows for the bias's gradient. It is their sum.",
    (".sum(dim=0)", ".mean(dim=0)"),
)
frozen.edit(
    "the bias's gradient is not added up",
    "You return the gradient of y for the bias's. The bias has one number for each output, added "
    "to every row: add up over the rows.",
    ("grad.reshape(-1, grad.shape[-1]).sum(dim=0)", "grad"),
    equivalent="where a gradient has more rows than its input, autograd adds them up itself",
)
frozen.edit(
    "the bias is lost",
    "Your result lacks the bias.",
    ("y = y + bias", "y = y + 0 * bias"),
)
frozen.edit(
    "no bias is not allowed for",
    "Your code fails where bias is None.",
    ("if bias is not None:\n            y = y + bias", "y = y + bias"),
)
frozen.edit(
    "W is not transposed",
    "You multiply x by W. W is [out, in]: forward multiplies by W^T.",
    ("x @ W.T", "x @ W"),
)
frozen.edit(
    "backward multiplies by the transposed W",
    "You multiply the gradient by W^T. Forward multiplies by W^T, so backward multiplies by W.",
    ("grad @ W", "grad @ W.T"),
)
frozen.edit(
    "x gets no gradient",
    "You return None for the gradient of x. The layers below need it: frozen is only W.",
    ("grad_x = grad @ W", "grad_x = None"),
)
frozen.edit(
    "the gradient goes through as it is",
    "You return the gradient of y for that of x. It is multiplied by W.",
    ("grad_x = grad @ W", "grad_x = grad"),
)
frozen.edit(
    "two gradients are missing",
    "backward returns one gradient for each argument of forward, four: codes and dequantize have "
    "none, which is None.",
    ("return grad_x, grad_bias, None, None", "return grad_x, grad_bias"),
)
frozen.edit(
    "the gradients are in another order",
    "You return the gradient of the bias before that of x. The order is that of forward's "
    "arguments.",
    ("return grad_x, grad_bias, None, None", "return grad_bias, grad_x, None, None"),
)
frozen.edit(
    "the codes are used as numbers",
    "You multiply by the codes themselves. dequantize(codes) says what they stand for.",
    ("W = dequantize(codes)", "W = codes.reshape(dequantize(codes).shape).to(x.dtype)"),
)
frozen.edit(
    "always fp32",
    "Your result is in fp32 whatever x is in. It has the dtype of x.",
    ("return y\n", "return y.float()\n"),
    ("grad_x = grad @ W", "grad_x = grad.to(W.dtype) @ W"),
)
frozen.edit(
    "only for two dimensions",
    "Your code works for x [n, in] only. In a model x is [batch, token, in].",
    ("x @ W.T", "x.mm(W.t())"),
)


@frozen.mistake(
    "W is kept in a table",
    "You keep W in a table so as to unpack it once. There it stays, for every layer of the model: "
    "that is all that 4 bits were to save.",
)
class FrozenLinear(torch.autograd.Function):
    weights = {}  # noqa: RUF012

    @staticmethod
    def forward(ctx, x, bias, codes, dequantize):
        FrozenLinear.weights[id(codes)] = W = dequantize(codes)
        ctx.key = id(codes)
        return F.linear(x, W, bias)

    @staticmethod
    def backward(ctx, grad):
        grad_bias = grad.flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        return grad @ FrozenLinear.weights[ctx.key], grad_bias, None, None


@frozen.mistake(
    "the codes of the last call",
    "You keep codes and dequantize outside of ctx, so that a second layer takes their place before "
    "the first one's backward pass. Each call has a ctx of its own: keep them there.",
)
class FrozenLinear(torch.autograd.Function):
    last = None

    @staticmethod
    def forward(ctx, x, bias, codes, dequantize):
        FrozenLinear.last = codes, dequantize
        return F.linear(x, dequantize(codes), bias)

    @staticmethod
    def backward(ctx, grad):
        codes, dequantize = FrozenLinear.last
        grad_bias = grad.flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        return grad @ dequantize(codes), grad_bias, None, None


@frozen.mistake(
    "no gradient of the bias where x needs none",
    "Your backward returns nothing at all where x needs no gradient. The bias may need one still.",
)
class FrozenLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, bias, codes, dequantize):
        ctx.codes, ctx.dequantize = codes, dequantize
        return F.linear(x, dequantize(codes), bias)

    @staticmethod
    def backward(ctx, grad):
        if not ctx.needs_input_grad[0]:
            return None, None, None, None
        grad_bias = grad.flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        return grad @ ctx.dequantize(ctx.codes), grad_bias, None, None


# 12.2 qlora_forward

forwards = Bank()


@forwards.right
def qlora_forward(x, codes, dequantize, lora_A, lora_B, alpha):
    class Frozen(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, codes):
            ctx.save_for_backward(codes)
            return x @ dequantize(codes).T

        @staticmethod
        def backward(ctx, grad):
            W = dequantize(*ctx.saved_tensors)
            return grad @ W, None

    r = lora_A.shape[0]
    y = Frozen.apply(x, codes)
    low = x.to(lora_A.dtype) @ lora_A.T
    update = alpha / r * (low @ lora_B.T)
    return y + update.to(x.dtype)


@forwards.right
def qlora_forward(x, codes, dequantize, lora_A, lora_B, alpha):
    from torch.utils.checkpoint import checkpoint

    def frozen(x):
        return F.linear(x, dequantize(codes))

    y = checkpoint(frozen, x, use_reentrant=False)
    A, B = lora_A.to(x.dtype), lora_B.to(x.dtype)
    return y + F.linear(F.linear(x, A), B) * (alpha / len(lora_A))


@forwards.right
def qlora_forward(x, codes, dequantize, lora_A, lora_B, alpha):
    class Multiply(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return torch.einsum("...i,oi->...o", x, dequantize(codes))

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, grad):
            return torch.einsum("...o,oi->...i", grad, dequantize(codes))

    low = torch.einsum("...i,ri->...r", x.float(), lora_A)
    update = torch.einsum("...r,or->...o", low, lora_B) * alpha / lora_B.shape[1]
    return (Multiply.apply(x).float() + update).to(x.dtype)


@forwards.right
def qlora_forward(x, codes, dequantize, lora_A, lora_B, alpha):
    size = dequantize(codes).shape

    def pack(tensor):
        return None if tensor.shape in (size, size[::-1]) and not tensor.requires_grad else tensor

    def unpack(packed):
        return dequantize(codes).T if packed is None else packed

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        y = x.detach().requires_grad_(x.requires_grad)  # only for its shape
        y = torch.matmul(x, dequantize(codes).T) if x.dim() == 2 else None
    if y is None:
        rows = x.reshape(-1, x.shape[-1])
        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            y = torch.matmul(rows, dequantize(codes).T)
        y = y.reshape(*x.shape[:-1], size[0])
    delta = (alpha / len(lora_A)) * (x.to(torch.float32) @ lora_A.t()) @ lora_B.t()
    return y + delta.type_as(x)


forwards.edit(
    "r over alpha",
    "You scale by r / alpha. The scale is alpha / r.",
    ("alpha / r *", "r / alpha *"),
)
forwards.edit(
    "r is the number of outputs",
    "You take B's number of rows for r: that is `out`. B is [out, r].",
    ("r = lora_A.shape[0]", "r = lora_B.shape[0]"),
)
forwards.edit(
    "W is kept by autograd",
    "You multiply by W with autograd watching, and it keeps W for the gradient of x. FrozenLinear "
    "of 12.1 keeps only the codes.",
    ("y = Frozen.apply(x, codes)", "y = x @ dequantize(codes).T"),
)
forwards.edit(
    "the merged weight is kept",
    "You add B A to W and multiply by the sum: autograd keeps this weight, which is as large as W. "
    "Keep the two products apart.",
    ("y = Frozen.apply(x, codes)",
     "W = dequantize(codes)\n    y = x @ (W + (alpha / r * (lora_B @ lora_A)).to(W.dtype)).T"),
    ("return y + update.to(x.dtype)", "return y"),
)  # fmt: skip
forwards.edit(
    "W is saved in a Function",
    "Your Function saves W for the backward pass. Save the codes and call dequantize again.",
    ("ctx.save_for_backward(codes)", "ctx.save_for_backward(dequantize(codes))"),
    ("dequantize(*ctx.saved_tensors)", "ctx.saved_tensors[0]"),
)
forwards.edit(
    "W is unpacked once for both passes",
    "You unpack W outside of your Function, which holds on to it until the backward pass. Unpack "
    "it in each pass.",
    ("    class Frozen", "    W = dequantize(codes)\n\n    class Frozen"),
    ("return x @ dequantize(codes).T", "return x @ W.T"),
    ("            W = dequantize(*ctx.saved_tensors)\n", ""),
)
forwards.edit(
    "alpha is not divided by r",
    "This is what you get when x A^T B^T is scaled by alpha alone: LoRA scales it by alpha / r.",
    ("alpha / r *", "alpha *"),
)
forwards.edit(
    "alpha is divided by the root of r",
    "You scale by alpha / sqrt(r). That is rank-stabilized LoRA; here the scale is alpha / r.",
    ("alpha / r *", "alpha / math.sqrt(r) *"),
)
forwards.edit(
    "whole-number division",
    "You divide with //, which drops what is after the decimal point: 6 // 4 is 1. The scale is "
    "alpha / r.",
    ("alpha / r *", "alpha // r *"),
)
forwards.edit(
    "no scale",
    "You add x A^T B^T as it is. It is scaled by alpha / r.",
    ("alpha / r *", "1.0 *"),
)
forwards.edit(
    "r is the wrong size",
    "You take A's number of columns for r: that is `in`. A is [r, in].",
    ("lora_A.shape[0]", "lora_A.shape[1]"),
)
forwards.edit(
    "the frozen part is scaled too",
    "You scale the whole sum by alpha / r. Only x A^T B^T is scaled.",
    ("y + update.to(x.dtype)", "alpha / r * y + update.to(x.dtype)"),
)
forwards.edit(
    "the adapter alone",
    "You return LoRA's part alone. It is added to x W^T.",
    ("y + update.to(x.dtype)", "update.to(x.dtype)"),
)
forwards.edit(
    "the adapter is left out",
    "You return x W^T without LoRA's part.",
    ("y + update.to(x.dtype)", "y + 0 * update.to(x.dtype)"),
)
forwards.edit(
    "LoRA behind the layer",
    "You give A the output of the frozen layer. A sees x, the layer's input.",
    ("low = x.to", "low = y.to"),
)
forwards.edit(
    "no gradient for A and B",
    "Your A and B are cut off from the graph, so they never get a gradient: they are what is "
    "trained.",
    ("@ lora_A.T", "@ lora_A.detach().T"),
    ("@ lora_B.T", "@ lora_B.detach().T"),
)
forwards.edit(
    "no gradient through the adapter to x",
    "The gradient of x lacks what comes through A and B. The layers below need it.",
    ("low = x.to", "low = x.detach().to"),
)
forwards.edit(
    "no gradient through the frozen weight",
    "The gradient of x lacks what comes through W: that W is frozen does not mean that nothing "
    "passes through it.",
    ("y = Frozen.apply(x, codes)", "with torch.no_grad():\n        y = x @ dequantize(codes).T"),
)
forwards.edit(
    "backward multiplies by the transposed W",
    "You multiply the gradient by W^T. Forward multiplies by W^T, so backward multiplies by W.",
    ("return grad @ W, None", "return grad @ W.T, None"),
)
forwards.edit(
    "the sum stays in fp32",
    "Where x is in bf16 your result is in fp32, as the adapters are. It has the dtype of x.",
    ("update.to(x.dtype)", "update"),
)
forwards.edit(
    "fp32 times bf16",
    "Where x is in bf16 you multiply it by A, which is in fp32, and torch refuses that. Convert "
    "one of them.",
    ("x.to(lora_A.dtype)", "x"),
)
forwards.edit(
    "the adapters are always in bf16",
    "You bring A and B to bf16 although x is in fp32, and lose all but 3 digits of them.",
    ("x.to(lora_A.dtype) @ lora_A.T", "(x.bfloat16() @ lora_A.bfloat16().T)"),
    ("low @ lora_B.T", "low @ lora_B.bfloat16().T"),
)
forwards.edit(
    "the update is subtracted",
    "You subtract LoRA's part instead of adding it.",
    ("y + update", "y - update"),
)
forwards.edit(
    "only for two dimensions",
    "Your code works for x [n, in] only. In a model x is [batch, token, in].",
    ("low @ lora_B.T", "low.mm(lora_B.t())"),
)


@forwards.mistake(
    "W is kept in a table",
    "You keep W in a table so as to unpack it once. There it stays, for every layer of the model: "
    "that is all that 4 bits were to save.",
)
def qlora_forward(x, codes, dequantize, lora_A, lora_B, alpha):
    class Frozen(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x @ weights[-1].T

        @staticmethod
        def backward(ctx, grad):
            return grad @ weights[-1]

    weights = globals().setdefault("weights", [])
    weights.append(dequantize(codes))
    update = alpha / len(lora_A) * (x.float() @ lora_A.T @ lora_B.T)
    return Frozen.apply(x) + update.to(x.dtype)


# 12.3 training_bytes

memory = Bank()


@memory.right
def training_bytes(n_frozen, frozen_bits, n_trained, trained_bits=32):
    weights = trained_bits / 8
    gradients = trained_bits / 8
    moments = 2 * 4
    return n_frozen * frozen_bits / 8 + n_trained * (weights + gradients + moments)


@memory.right
def training_bytes(n_frozen, frozen_bits, n_trained, trained_bits=32):
    bits = n_frozen * frozen_bits
    for _ in ("weight", "gradient"):
        bits += n_trained * trained_bits
    for _ in ("first moment", "second moment"):
        bits += n_trained * 32
    return bits / 8


@memory.right
def training_bytes(n_frozen, frozen_bits, n_trained, trained_bits=32):
    return 0.125 * sum(
        n * b
        for n, b in [(n_frozen, frozen_bits), (2 * n_trained, trained_bits), (2 * n_trained, 32)]
    )


memory.edit(
    "16 bits by default",
    "Where trained_bits is not given you count 16 bits. Its default is 32.",
    ("trained_bits=32", "trained_bits=16"),
)
memory.edit(
    "whole bytes of a trained number",
    "You cut trained_bits / 8 to whole bytes. Two numbers of 4 bits share one.",
    ("weights = trained_bits / 8", "weights = trained_bits // 8"),
    ("gradients = trained_bits / 8", "gradients = trained_bits // 8"),
)
memory.edit(
    "bits, not bytes",
    "You add up bits for the frozen weights. 8 bits are a byte.",
    ("frozen_bits / 8", "frozen_bits"),
)
memory.edit(
    "everything in bits",
    "You return bits. 8 bits are a byte.",
    ("return n_frozen", "return 8 * n_frozen"),
    ("+ n_trained", "+ 8 * n_trained"),
)
memory.edit(
    "whole bytes only",
    "You divide with //, which drops what does not fill a byte.",
    ("frozen_bits / 8", "frozen_bits // 8"),
)
memory.edit(
    "the weight or the gradient is left out",
    "You count the weight or the gradient of a trained number, and not both.",
    ("weights + gradients + moments", "weights + moments"),
)
memory.edit(
    "the moments are left out",
    "You count no moments. AdamW keeps two for each trained number.",
    ("weights + gradients + moments", "weights + gradients"),
)
memory.edit(
    "one moment",
    "You count one moment, as momentum alone has. AdamW keeps two.",
    ("moments = 2 * 4", "moments = 4"),
)
memory.edit(
    "the moments have the weights' format",
    "You count the moments with trained_bits. They are in fp32 whatever the weights are in.",
    ("moments = 2 * 4", "moments = 2 * trained_bits / 8"),
)
memory.edit(
    "the gradient is always in fp32",
    "You count 4 bytes for a gradient. It has the format of its weight, trained_bits.",
    ("gradients = trained_bits / 8", "gradients = 4"),
)
memory.edit(
    "always 32 bits",
    "You count 32 bits for a trained number whatever trained_bits is.",
    ("weights = trained_bits / 8", "weights = 4"),
    ("gradients = trained_bits / 8", "gradients = 4"),
)
memory.edit(
    "frozen numbers have gradients",
    "You count a gradient for frozen numbers too. Nobody asks for it.",
    ("frozen_bits / 8 +", "2 * frozen_bits / 8 +"),
)
memory.edit(
    "frozen numbers have moments",
    "You count moments for frozen numbers too. The optimizer does not see them.",
    ("frozen_bits / 8 +", "frozen_bits / 8 + 8 * n_frozen +"),
)
memory.edit(
    "trained numbers are in frozen_bits",
    "You count frozen_bits for the trained weights.",
    ("weights = trained_bits / 8", "weights = frozen_bits / 8"),
)
memory.edit(
    "an fp32 copy of the trained weights",
    "You count an fp32 copy of the trained weights as well, as some mixed-precision training "
    "keeps. There is none here.",
    ("moments = 2 * 4", "moments = 3 * 4"),
)
memory.edit(
    "kibibytes",
    "You divide by 1024 at the end. Bytes are asked for.",
    ("return n_frozen * frozen_bits / 8 + n_trained * (weights + gradients + moments)",
     "total = n_frozen * frozen_bits / 8 + n_trained * (weights + gradients + moments)\n"
     "    return total / 1024"),
)  # fmt: skip
memory.edit(
    "the frozen weights are left out",
    "You count what is trained only.",
    ("n_frozen * frozen_bits / 8 + ", ""),
)
memory.edit(
    "frozen_bits is cut to a whole number",
    "You convert frozen_bits to a whole number: NF4 with its scales has 4.127 bits.",
    ("n_frozen * frozen_bits", "n_frozen * int(frozen_bits)"),
)
