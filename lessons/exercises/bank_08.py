# ruff: noqa: F811
# mypy: ignore-errors
"""Lesson 8's bank: right answers in several styles, and the mistakes that people make."""

import functools
import math
import random

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from lessons.grading.task import Bank

# 8.1 init_lora

inits = Bank()


@inits.right
def init_lora(in_features, out_features, r):
    A = torch.randn(r, in_features) / r
    B = torch.zeros(out_features, r)
    return A, B


@inits.right
def init_lora(in_features, out_features, r):
    A = nn.Parameter(torch.empty((r, in_features)))
    nn.init.kaiming_uniform_(A, a=math.sqrt(5))
    B = nn.Parameter(torch.empty((out_features, r)))
    nn.init.zeros_(B)
    return [A, B]


@inits.right
def init_lora(in_features, out_features, r):
    numbers = [[random.gauss(0, 0.02) for _ in range(in_features)] for _ in range(r)]
    return torch.tensor(numbers), torch.tensor([[0.0] * r for _ in range(out_features)])


@inits.right
def init_lora(in_features, out_features, r):
    A = np.random.uniform(-1, 1, size=(r, in_features)).astype(np.float32) / np.sqrt(in_features)
    return torch.from_numpy(A.astype("float32")), torch.from_numpy(
        np.zeros((out_features, r), "f4")
    )


@inits.right
def init_lora(in_features, out_features, r):
    A = (torch.randint(0, 2, (in_features, r)).float() * 2 - 1).T
    return A, A.new_zeros(r, out_features).t()


inits.edit(
    "B is random too",
    "Your B is not zero, so B A is not zero either and the model is another one before the first "
    "step. B starts at zero.",
    ("torch.zeros(out_features, r)", "torch.randn(out_features, r) / r"),
)
inits.edit(
    "A is zero too",
    "Both of your matrices are zero. Each one's gradient contains the other, so neither would ever "
    "move.",
    ("torch.randn(r, in_features) / r", "torch.zeros(r, in_features)"),
)
inits.edit(
    "A is zero and B random",
    "Your A starts at zero and your B does not. B A is zero that way too, but LoRA does it the "
    "other way round.",
    ("torch.randn(r, in_features) / r", "torch.zeros(r, in_features)"),
    ("torch.zeros(out_features, r)", "torch.randn(out_features, r) / r"),
)
inits.edit(
    "A's mean is not 0",
    "The mean of your A's numbers is not 0. (torch.rand lies between 0 and 1: its mean is 0.5.) It "
    "should be 0.",
    ("torch.randn(r, in_features) / r", "torch.rand(r, in_features)"),
)
inits.edit(
    "A is transposed",
    "Your A is [in, r]. LoRA's A is [r, in], like the weight of a linear layer from `in` to r.",
    ("torch.randn(r, in_features)", "torch.randn(in_features, r)"),
)
inits.edit(
    "B is transposed",
    "Your B is [r, out]. LoRA's B is [out, r], like the weight of a linear layer from r to `out`.",
    ("torch.zeros(out_features, r)", "torch.zeros(r, out_features)"),
)
inits.edit(
    "in and out are mixed up",
    "Your A has `out` columns and your B has `in` rows. A takes the layer's input and B gives its "
    "output.",
    ("torch.randn(r, in_features)", "torch.randn(r, out_features)"),
    ("torch.zeros(out_features, r)", "torch.zeros(in_features, r)"),
)
inits.edit(
    "B comes first",
    "You return B before A.",
    ("return A, B", "return B, A"),
)
inits.edit(
    "every call gives the same A",
    "Every call gives the same A, whether from a seed that you set, numbers that you keep or a "
    "fixed rule: all layers of a model would start alike. Draw new numbers, and leave the seed to "
    "whoever trains.",
    ("A = torch.randn", "torch.manual_seed(0)\n    A = torch.randn"),
)
inits.edit(
    "B is not filled",
    "Your B holds whatever was in memory: torch.empty does not fill it. It may be zero by "
    "accident.",
    ("torch.zeros(out_features, r)", "torch.empty(out_features, r)"),
)
inits.edit(
    "A is constant",
    "All numbers of your A are the same, so its r rows are too, and they stay alike in training. A "
    "is random.",
    ("torch.randn(r, in_features) / r", "torch.full((r, in_features), 1 / r)"),
)
inits.edit(
    "the rows of A are alike",
    "All rows of your A are the same, or multiples of one row, so B A has rank 1 whatever r is. "
    "Draw all r x in numbers.",
    ("torch.randn(r, in_features) / r", "torch.randn(in_features).repeat(r, 1) / r"),
)
inits.edit(
    "fp64",
    "Your matrices are in fp64; numpy makes such numbers unless told otherwise. LoRA trains in "
    "fp32.",
    (
        "torch.randn(r, in_features) / r",
        "torch.from_numpy(np.random.RandomState(random.randrange(10**6))"
        ".normal(0, 0.1, (r, in_features)))",
    ),
    ("torch.zeros(out_features, r)", "torch.from_numpy(np.zeros((out_features, r)))"),
)
inits.edit(
    "A in fp64",
    "Your A is in fp64; numpy makes such numbers unless told otherwise. LoRA trains in fp32.",
    ("in_features) / r", "in_features, dtype=torch.float64) / r"),
)
inits.edit(
    "B in fp64",
    "Your B is in fp64; numpy makes such numbers unless told otherwise. LoRA trains in fp32.",
    ("torch.zeros(out_features, r)", "torch.zeros(out_features, r, dtype=torch.float64)"),
)
inits.edit(
    "fp16",
    "Your matrices are in fp16. They are trained, and steps can be smaller than fp16 resolves: use "
    "fp32.",
    ("in_features) / r", "in_features, dtype=torch.float16) / r"),
    ("torch.zeros(out_features, r)", "torch.zeros(out_features, r, dtype=torch.float16)"),
)
inits.edit(
    "both are transposed",
    "Your A is [in, r] and your B [r, out]. They lie like the weights of linear layers: A [r, in] "
    "and B [out, r].",
    ("torch.randn(r, in_features)", "torch.randn(in_features, r)"),
    ("torch.zeros(out_features, r)", "torch.zeros(r, out_features)"),
)
inits.edit(
    "B is as large as the weight",
    "Your B is [out, in], as large as the weight itself. B is [out, r], so that B A is [out, in].",
    ("torch.zeros(out_features, r)", "torch.zeros(out_features, in_features)"),
)
inits.edit(
    "some numbers of A are never drawn",
    "Some places of your A hold the same number in every call. All r x in numbers are random.",
    ("    return A, B", "    A[-1, -1] = 0.0\n    return A, B"),
)
inits.edit(
    "modules instead of matrices",
    "You return two linear layers. What is asked for are two tensors, such as their weights.",
    ("return A, B", "return nn.Linear(in_features, r), nn.Linear(r, out_features)"),
)
inits.edit(
    "bf16",
    "Your matrices are in bf16. They are trained, and steps can be smaller than bf16 resolves: use "
    "fp32.",
    ("in_features) / r", "in_features, dtype=torch.bfloat16) / r"),
    ("torch.zeros(out_features, r)", "torch.zeros(out_features, r, dtype=torch.bfloat16)"),
)

# 8.2 lora_forward

forwards = Bank()


@forwards.right
def lora_forward(x, weight, bias, lora_A, lora_B, alpha):
    r = lora_A.shape[0]
    y = x @ weight.T
    if bias is not None:
        y = y + bias
    return y + alpha / r * (x @ lora_A.T @ lora_B.T)


@forwards.right
def lora_forward(x, weight, bias, lora_A, lora_B, alpha):
    scaling = alpha / lora_B.size(1)
    return F.linear(x, weight, bias) + F.linear(F.linear(x, lora_A), lora_B) * scaling


@forwards.right
def lora_forward(x, weight, bias, lora_A, lora_B, alpha):
    merged = weight + (lora_B @ lora_A) * (alpha / len(lora_A))
    return F.linear(x, merged, bias)


@forwards.right
def lora_forward(x, weight, bias, lora_A, lora_B, alpha):
    low = torch.einsum("...i,ri->...r", x, lora_A)
    out = torch.einsum("...i,oi->...o", x, weight) + torch.einsum("...r,or->...o", low, lora_B).mul(
        alpha
    ).div(lora_A.shape[0])
    if bias is None:
        return out
    return out + bias


@forwards.right
def lora_forward(x, weight, bias, lora_A, lora_B, alpha):
    rows = x.reshape(-1, x.shape[-1])
    outputs = []
    for row in rows:
        total = (weight * row).sum(dim=1)
        if bias is not None:
            total = total + bias
        for k in range(lora_A.shape[0]):
            total = total + lora_B[:, k] * (lora_A[k] * row).sum() * alpha / lora_A.shape[0]
        outputs.append(total)
    return torch.stack(outputs).reshape(*x.shape[:-1], weight.shape[0])


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
    "r is the wrong size",
    "You take A's number of columns for r: that is `in`. A is [r, in].",
    ("lora_A.shape[0]", "lora_A.shape[1]"),
)
forwards.edit(
    "no scale",
    "You add x A^T B^T as it is. It is scaled by alpha / r.",
    ("alpha / r * ", ""),
)
forwards.edit(
    "scaled by r / alpha",
    "Your scale is upside down: r / alpha instead of alpha / r.",
    ("alpha / r *", "r / alpha *"),
)
forwards.edit(
    "divided by r twice",
    "You divide by r twice. alpha / r is the whole scale.",
    ("alpha / r * ", "alpha / r**2 * "),
)
forwards.edit(
    "the scale comes in twice",
    "You scale by alpha / r both after A and after B, so what you add has the scale squared.",
    ("(x @ lora_A.T @", "(x @ (alpha / r * lora_A).T @"),
)
forwards.edit(
    "the frozen part is scaled too",
    "You scale the whole sum by alpha / r. Only x A^T B^T is scaled; x W^T stays as it was.",
    ("return y + alpha / r * (x @ lora_A.T @ lora_B.T)",
     "return alpha / r * (y + x @ lora_A.T @ lora_B.T)"),
)  # fmt: skip
forwards.edit(
    "the bias is lost",
    "Your result lacks the bias.",
    ("y = y + bias", "y = y + 0 * bias"),
)
forwards.edit(
    "the bias is added twice",
    "You add the bias twice, to x W^T and to what LoRA adds.",
    ("(x @ lora_A.T @ lora_B.T)", "(x @ lora_A.T @ lora_B.T) + (0 if bias is None else bias)"),
)
forwards.edit(
    "the bias is scaled",
    "You scale the bias by alpha / r along with LoRA's part.",
    ("y = y + bias", "y = y + alpha / r * bias"),
)
forwards.edit(
    "no bias is not allowed for",
    "Your code fails where bias is None.",
    ("if bias is not None:\n        y = y + bias", "y = y + bias"),
)
forwards.edit(
    "W is not transposed",
    "You multiply by W, not by W^T: that fails unless in and out are equal, and is wrong even "
    "then.",
    ("x @ weight.T", "x @ weight"),
)
forwards.edit(
    "A and B are not transposed",
    "You multiply by A B, in this order and not transposed. Rows need A^T first and then B^T.",
    ("x @ lora_A.T @ lora_B.T", "x @ lora_A @ lora_B"),
)
forwards.edit(
    "the update takes the place of x W^T",
    "You return LoRA's part alone. It is added to x W^T.",
    ("return y + alpha", "return alpha"),
)
forwards.edit(
    "the update is subtracted",
    "You subtract LoRA's part instead of adding it.",
    ("return y + alpha", "return y - alpha"),
)
forwards.edit(
    "LoRA behind the layer",
    "You give A the output of the frozen layer. A sees x, the layer's input.",
    ("(x @ lora_A.T @ lora_B.T)", "(y @ lora_A.T @ lora_B.T)"),
)
forwards.edit(
    "no gradient for A and B",
    "Your A and B are cut off from the graph by detach or .data, so they never get a gradient: "
    "they are what is trained.",
    ("lora_A.T @ lora_B.T", "lora_A.data.T @ lora_B.detach().T"),
)
forwards.edit(
    "no gradient for B",
    "Your A gets its gradient, B does not.",
    ("lora_B.T)", "lora_B.detach().T)"),
)
forwards.edit(
    "A and B are reshaped",
    "You reshape A and B to the shapes of A^T and B^T. That keeps the numbers in their order; .T "
    "exchanges rows and columns.",
    ("lora_A.T @ lora_B.T", "lora_A.reshape(-1, r) @ lora_B.reshape(r, -1)"),
)
forwards.edit(
    "W is reshaped",
    "You reshape W to the shape of W^T. That keeps the numbers in their order; .T exchanges rows "
    "and columns.",
    ("weight.T", "weight.reshape(weight.shape[1], -1)"),
)
forwards.edit(
    "r is out",
    "You take B's number of rows for r: that is `out`. B is [out, r].",
    ("r = lora_A.shape[0]", "r = lora_B.shape[0]"),
)
forwards.edit(
    "no gradient for A",
    "Your B gets its gradient, A does not.",
    ("lora_A.T @", "lora_A.detach().T @"),
)
forwards.edit(
    "no gradient through the adapter to x",
    "The gradient of x lacks what comes through A and B. The layers below need it.",
    ("(x @ lora_A.T", "(x.detach() @ lora_A.T"),
)
forwards.edit(
    "no gradient through the frozen layer",
    "The gradient of x lacks what comes through W: that W is frozen does not mean that nothing "
    "passes through it.",
    ("y = x @ weight.T", "with torch.no_grad():\n        y = x @ weight.T"),
)


@forwards.mistake(
    "W is changed",
    "You add the update to W itself with +=, so a second call adds it again. Leave W as it was.",
)
def lora_forward(x, weight, bias, lora_A, lora_B, alpha):
    with torch.no_grad():
        weight += alpha / lora_A.shape[0] * (lora_B @ lora_A)
    return F.linear(x, weight, bias) + 0 * (x @ lora_A.T @ lora_B.T)


@forwards.mistake(
    "only for two dimensions",
    "Your code works for x [n, in] only. In a model x is [batch, token, in], and may be anything "
    "in front of `in`.",
)
def lora_forward(x, weight, bias, lora_A, lora_B, alpha):
    y = torch.mm(x, weight.t())
    if bias is not None:
        y = y + bias
    return y + alpha / lora_A.shape[0] * torch.mm(torch.mm(x, lora_A.t()), lora_B.t())


@forwards.mistake(
    "view of what is not contiguous",
    "You call x.view, which fails for a transposed x. reshape copies where it has to.",
)
def lora_forward(x, weight, bias, lora_A, lora_B, alpha):
    rows = x.view(-1, x.shape[-1])
    y = F.linear(rows, weight, bias) + alpha / len(lora_A) * (rows @ lora_A.T @ lora_B.T)
    return y.view(*x.shape[:-1], -1)


@forwards.mistake(
    "always fp32",
    "Your result is in fp32 whatever x is in. It has the dtype of x.",
)
def lora_forward(x, weight, bias, lora_A, lora_B, alpha):
    x, weight, lora_A, lora_B = x.float(), weight.float(), lora_A.float(), lora_B.float()
    y = F.linear(x, weight, None if bias is None else bias.float())
    return y + alpha / len(lora_A) * (x @ lora_A.T @ lora_B.T)


@forwards.mistake(
    "numbers, not tensors",
    "You leave torch for numpy on the way, and no gradient comes back from there.",
)
def lora_forward(x, weight, bias, lora_A, lora_B, alpha):
    low = x.detach().numpy() @ lora_A.detach().numpy().T @ lora_B.detach().numpy().T
    return F.linear(x, weight, bias) + alpha / len(lora_A) * torch.from_numpy(low)


# 8.3 merge

merges = Bank()


@merges.right
def merge(weight, lora_A, lora_B, alpha):
    r = lora_A.shape[0]
    update = (alpha / r) * torch.einsum("or,ri->oi", lora_B, lora_A)
    return (weight.to(torch.float32) + update).to(weight.dtype)


@merges.right
def merge(weight, lora_A, lora_B, alpha):
    rank = lora_A.shape[0]
    out = torch.zeros(weight.shape)
    for k in range(rank):
        out += lora_B[:, k, None] * lora_A[k]
    return (weight.float() + out * alpha / rank).to(weight.dtype)


@merges.right
def merge(weight, lora_A, lora_B, alpha):
    total = torch.addmm(weight.float(), lora_B, lora_A, alpha=alpha / lora_B.shape[1])
    return total.type_as(weight)


@merges.right
def merge(weight, lora_A, lora_B, alpha):
    update = lora_B.numpy() @ lora_A.numpy() * (alpha / len(lora_A))
    return torch.from_numpy(weight.float().numpy() + update).to(weight.dtype)


@merges.right
def merge(weight, lora_A, lora_B, alpha):
    merged = weight.clone().double()
    for o in range(weight.shape[0]):
        for i in range(weight.shape[1]):
            merged[o, i] += float(lora_B[o].double() @ lora_A[:, i].double()) * alpha / len(lora_A)
    return merged.float().to(weight.dtype)


merges.edit(
    "alpha is not divided by r",
    "This is what you get when the update is scaled by alpha alone: LoRA scales it by alpha / r.",
    ("(alpha / r)", "alpha"),
)
merges.edit(
    "no scale",
    "You add B A as it is. It is scaled by alpha / r.",
    ("(alpha / r) * ", ""),
)
merges.edit(
    "alpha is divided by the root of r",
    "You scale by alpha / sqrt(r). That is rank-stabilized LoRA; here the scale is alpha / r.",
    ("(alpha / r)", "alpha / math.sqrt(r)"),
)
merges.edit(
    "whole-number division",
    "You divide with //, which drops what is after the decimal point: 6 // 4 is 1. The scale is "
    "alpha / r.",
    ("(alpha / r)", "(alpha // r)"),
)
merges.edit(
    "r is the wrong size",
    "You take A's number of columns for r: that is `in`. A is [r, in].",
    ("lora_A.shape[0]", "lora_A.shape[1]"),
)
merges.edit(
    "r is out",
    "You take B's number of rows for r: that is `out`. B is [out, r].",
    ("lora_A.shape[0]", "lora_B.shape[0]"),
)
merges.edit(
    "the update is transposed and reshaped",
    "You reshape A^T B^T [in, out] to W's shape. That keeps the numbers in their order; what "
    "belongs to W is B A.",
    ('torch.einsum("or,ri->oi", lora_B, lora_A)', "(lora_A.T @ lora_B.T).reshape(weight.shape)"),
)
merges.edit(
    "the update is subtracted",
    "You subtract the update: that is how an adapter is taken out again.",
    (" + update", " - update"),
)
merges.edit(
    "W is scaled too",
    "You scale the sum by alpha / r. Only B A is scaled; W stays as it was.",
    ("(alpha / r) * ", ""),
    ("weight.to(torch.float32) + update", "(weight.to(torch.float32) + update) * (alpha / r)"),
)
merges.edit(
    "the update alone",
    "You return alpha / r B A without W.",
    ("weight.to(torch.float32) + update", "update"),
)
merges.edit(
    "the result stays in fp32",
    "Your sum stays in fp32. It goes back to W's dtype at the end.",
    (".to(weight.dtype)", ""),
)
merges.edit(
    "the result is always in bf16",
    "Your result is in bf16 whatever W is in. It has W's dtype.",
    (".to(weight.dtype)", ".to(torch.bfloat16)"),
)
merges.edit(
    "the update is rounded before it is added",
    "You round alpha / r B A to W's dtype and add there, so the result is rounded twice in bf16. "
    "Add in fp32 and round the sum once.",
    ("return (weight.to(torch.float32) + update)", "return (weight + update.to(weight.dtype))"),
)


@merges.mistake(
    "A and B are rounded first",
    "You convert A and B to W's dtype before you multiply, which in bf16 leaves 3 digits of them. "
    "Multiply and add in fp32, and round the sum once.",
)
def merge(weight, lora_A, lora_B, alpha):
    A, B = lora_A.to(weight.dtype), lora_B.to(weight.dtype)
    return (weight.float() + alpha / len(A) * (B.float() @ A.float())).to(weight.dtype)


@merges.mistake(
    "everything in W's dtype",
    "You compute everything in W's dtype. In bf16 each step rounds to 3 digits: multiply and add "
    "in fp32, and round the sum once.",
)
def merge(weight, lora_A, lora_B, alpha):
    return weight + alpha / len(lora_A) * (lora_B.to(weight.dtype) @ lora_A.to(weight.dtype))


@merges.mistake(
    "W is changed in place",
    "You add to W itself: whoever called you has lost the weight without the adapter.",
)
def merge(weight, lora_A, lora_B, alpha):
    weight += alpha / len(lora_A) * (lora_B @ lora_A)
    return weight


@merges.mistake(
    "W is changed where it is fp32",
    "For a W in fp32, .float() and .to(torch.float32) give W itself, no copy: your += changes the "
    "weight of whoever called you.",
)
def merge(weight, lora_A, lora_B, alpha):
    merged = weight.float()
    merged += alpha / len(lora_A) * (lora_B @ lora_A)
    return merged.to(weight.dtype)


@merges.mistake(
    "the update is transposed",
    "You add A^T B^T, which is [in, out]. W is [out, in], and so is B A.",
)
def merge(weight, lora_A, lora_B, alpha):
    update = alpha / len(lora_A) * (lora_A.T @ lora_B.T)
    return (weight.float() + update).to(weight.dtype)


@merges.mistake(
    "A times B",
    "You multiply A by B. The update is B A: [out, r] times [r, in].",
)
def merge(weight, lora_A, lora_B, alpha):
    update = alpha / len(lora_A) * (lora_A @ lora_B)
    return (weight.float() + update).to(weight.dtype)


# 8.4 LoRALinear

layers = Bank()


@layers.right
class LoRALinear(nn.Module):
    def __init__(self, base, r, alpha):
        super().__init__()
        self.base = base
        self.base.requires_grad_(False)
        self.lora_A = nn.Parameter(torch.randn(r, base.in_features) / r)
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, r))
        self.scaling = alpha / r

    def forward(self, x):
        return self.base(x) + self.scaling * (x @ self.lora_A.T @ self.lora_B.T)


@layers.right
class LoRALinear(nn.Module):
    def __init__(self, base, r, alpha):
        super(LoRALinear, self).__init__()  # noqa: UP008
        for parameter in base.parameters():
            parameter.requires_grad = False
        self.base, self.r, self.alpha = base, r, alpha
        out, n_in = base.weight.shape
        self.register_parameter("lora_A", nn.Parameter(torch.empty(r, n_in)))
        self.register_parameter("lora_B", nn.Parameter(torch.empty(out, r)))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        nn.init.zeros_(self.lora_B)

    def forward(self, x):
        update = self.alpha / self.r * (self.lora_B @ self.lora_A)
        return F.linear(x, self.base.weight + update, self.base.bias)


@layers.right
class LoRALinear(nn.Module):
    def __init__(self, base, r, alpha):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Linear(base.in_features, r, bias=False)
        self.up = nn.Linear(r, base.out_features, bias=False)
        nn.init.normal_(self.down.weight, std=0.02)
        nn.init.constant_(self.up.weight, 0)
        self.alpha = alpha

    @property
    def lora_A(self):  # noqa: N802
        return self.down.weight

    @property
    def lora_B(self):  # noqa: N802
        return self.up.weight

    def forward(self, x):
        return self.base(x) + self.up(self.down(x)) * self.alpha / self.down.out_features


@layers.right
class LoRALinear(torch.nn.Module):
    def __init__(self, base, r, alpha):
        super().__init__()
        bound = base.in_features**-0.5
        self.lora_A = torch.nn.Parameter((torch.rand(r, base.in_features) * 2 - 1) * bound)
        self.lora_B = torch.nn.Parameter(torch.zeros((base.out_features, r), dtype=torch.float32))
        self.r, self.alpha = r, alpha
        self.base = base
        self.base.weight.requires_grad = False
        if self.base.bias is not None:
            self.base.bias.requires_grad = False

    def forward(self, x):
        y = torch.einsum("...i,oi->...o", x, self.base.weight)
        if self.base.bias is not None:
            y = y + self.base.bias
        low = torch.einsum("...i,ri->...r", x, self.lora_A)
        return y + torch.einsum("...r,or->...o", low, self.lora_B) * (self.alpha / self.r)


layers.edit(
    "base is not frozen",
    "Your base is still trained: its parameters ask for gradients. (eval() would not change that: "
    "it turns dropout off and freezes nothing.)",
    ("        self.base.requires_grad_(False)\n", ""),
)
layers.edit(
    "the bias is not frozen",
    "You freeze the base's weight and forget its bias.",
    ("self.base.requires_grad_(False)", "self.base.weight.requires_grad_(False)"),
)
layers.edit(
    "A and B are no parameters",
    "Your A and B are plain tensors: an optimizer that is given module.parameters() does not see "
    "them. A module knows what is wrapped in nn.Parameter.",
    ("nn.Parameter(torch.randn(r, base.in_features) / r)",
     "(torch.randn(r, base.in_features) / r).requires_grad_()"),
    ("nn.Parameter(torch.zeros(base.out_features, r))",
     "torch.zeros(base.out_features, r, requires_grad=True)"),
)  # fmt: skip
layers.edit(
    "A and B are buffers",
    "Your A and B are buffers, which a module saves and does not train.",
    ("self.lora_A = nn.Parameter(torch.randn(r, base.in_features) / r)",
     'self.register_buffer("lora_A", torch.randn(r, base.in_features) / r)'),
    ("self.lora_B = nn.Parameter(torch.zeros(base.out_features, r))",
     'self.register_buffer("lora_B", torch.zeros(base.out_features, r))'),
)  # fmt: skip
layers.edit(
    "everything is frozen",
    "You freeze the whole module, A and B with it, so nothing is trained. Freeze the base only.",
    ("        self.base.requires_grad_(False)\n", ""),
    ("self.scaling = alpha / r", "self.scaling = alpha / r\n        self.requires_grad_(False)"),
)
layers.edit(
    "only B is trained",
    "You freeze A: that is another method (LoRA-FA). Here both are trained.",
    ("in_features) / r)", "in_features) / r, requires_grad=False)"),
)
layers.edit(
    "B is random too",
    "Your B does not start at zero, so the layer does not compute what base did before the first "
    "step.",
    ("torch.zeros(base.out_features, r)", "torch.randn(base.out_features, r)"),
)
layers.edit(
    "A is zero too",
    "Both of your matrices start at zero. Each one's gradient contains the other, so neither would "
    "ever move.",
    ("torch.randn(r, base.in_features) / r", "torch.zeros(r, base.in_features)"),
)
layers.edit(
    "A is zero and B random",
    "Your A starts at zero and your B does not. LoRA does it the other way round.",
    ("torch.randn(r, base.in_features) / r", "torch.zeros(r, base.in_features)"),
    ("torch.zeros(base.out_features, r)", "torch.randn(base.out_features, r)"),
)
layers.edit(
    "A's mean is not 0",
    "The mean of your A's numbers is not 0. (torch.rand lies between 0 and 1: its mean is 0.5.) It "
    "should be 0.",
    ("torch.randn(r", "torch.rand(r"),
)
layers.edit(
    "every layer has the same A",
    "Every layer gets the same A, whether from a seed that you set or from numbers that you keep. "
    "Draw new ones, and leave the seed to whoever trains.",
    ("super().__init__()", "super().__init__()\n        torch.manual_seed(0)"),
)
layers.edit(
    "A and B lie transposed",
    "Your A is [in, r] and your B [r, out]. They lie like the weights of linear layers: [r, in] "
    "and [out, r].",
    ("torch.randn(r, base.in_features)", "torch.randn(base.in_features, r)"),
    ("torch.zeros(base.out_features, r)", "torch.zeros(r, base.out_features)"),
    ("x @ self.lora_A.T @ self.lora_B.T", "x @ self.lora_A @ self.lora_B"),
)
layers.edit(
    "alpha is not divided by r",
    "This is what you get when x A^T B^T is scaled by alpha alone: LoRA scales it by alpha / r.",
    ("alpha / r", "alpha"),
)
layers.edit(
    "alpha is divided by the root of r",
    "You scale by alpha / sqrt(r). That is rank-stabilized LoRA; here the scale is alpha / r.",
    ("alpha / r", "alpha / math.sqrt(r)"),
)
layers.edit(
    "whole-number division",
    "You divide with //, which drops what is after the decimal point: 6 // 4 is 1. The scale is "
    "alpha / r.",
    ("alpha / r", "alpha // r"),
)
layers.edit(
    "no scale",
    "You add x A^T B^T as it is. It is scaled by alpha / r.",
    ("self.scaling * ", ""),
)
layers.edit(
    "the base's bias is lost",
    "You use the base's weight and leave out its bias.",
    ("self.base(x)", "x @ self.base.weight.T"),
)
layers.edit(
    "the base is left out",
    "Your forward returns LoRA's part alone. It is added to base(x).",
    ("self.base(x) + ", ""),
)
layers.edit(
    "LoRA behind the layer",
    "You give A the output of base. A sees x, the layer's input.",
    ("(x @ self.lora_A.T", "(self.base(x) @ self.lora_A.T"),
)
layers.edit(
    "no gradient through the base",
    "The gradient of x lacks what comes through base. That base is frozen does not mean that "
    "nothing passes through it: the layers below need this gradient.",
    ("self.base(x) +", "self.base(x).detach() +"),
)
layers.edit(
    "no gradient through the adapter to x",
    "The gradient of x lacks what comes through A and B. The layers below need it.",
    ("(x @", "(x.detach() @"),
)
layers.edit(
    "dropout that was not asked for",
    "Your adapter drops some of x in training, so its result is another one in each call. There is "
    "no dropout in this exercise.",
    ("(x @", "(F.dropout(x, 0.5, self.training) @"),
)
layers.edit(
    "fp64",
    "Your A and B are in fp64; numpy makes such numbers unless told otherwise. LoRA trains in "
    "fp32.",
    ("base.in_features)", "base.in_features, dtype=torch.float64)"),
    ("base.out_features, r)", "base.out_features, r, dtype=torch.float64)"),
    ("(x @ self.lora_A.T @ self.lora_B.T)", "(x @ self.lora_A.T.float() @ self.lora_B.T.float())"),
)
layers.edit(
    "bf16",
    "Your A and B are in bf16. They are trained, and steps can be smaller than bf16 resolves: use "
    "fp32.",
    ("base.in_features)", "base.in_features, dtype=torch.bfloat16)"),
    ("base.out_features, r)", "base.out_features, r, dtype=torch.bfloat16)"),
    ("(x @ self.lora_A.T @ self.lora_B.T)", "(x @ self.lora_A.T.float() @ self.lora_B.T.float())"),
)
layers.edit(
    "LoRA in training only",
    "Your layer adds LoRA's part in training mode only. A trained adapter is there to be used: "
    "what is computed must not depend on train() and eval().",
    ("self.base(x) + self.scaling *", "self.base(x) + self.training * self.scaling *"),
)
layers.edit(
    "the base's weight is copied",
    "You compute with a copy of base's weight that you made at the start. Numbers that are loaded "
    "into base later never reach it: use base itself.",
    ("self.base = base\n", "self.base = base\n        self.w = base.weight.detach().clone()\n"),
    ("self.base(x)", "F.linear(x, self.w, self.base.bias)"),
)
layers.edit(
    "base is hidden from the module",
    "Your module does not know base: its weight would be missing from state_dict(), and to() would "
    "not move it. self.base = base makes it a part.",
    ("self.base = base\n", 'self.__dict__["base"] = base\n'),
)
layers.edit(
    "linear layers instead of parameters",
    "Your lora_A and lora_B are layers. They should be the matrices themselves: nn.Parameter.",
    ("nn.Parameter(torch.randn(r, base.in_features) / r)",
     "nn.Linear(base.in_features, r, bias=False)"),
    ("nn.Parameter(torch.zeros(base.out_features, r))",
     "nn.Linear(r, base.out_features, bias=False)"),
    ("x @ self.lora_A.T @ self.lora_B.T", "self.lora_B(self.lora_A(x))"),
)  # fmt: skip
layers.edit(
    "a scale that is trained",
    "You train the scale as well, or a bias beside it. Only A and B are trained.",
    ("self.scaling = alpha / r", "self.scaling = nn.Parameter(torch.tensor(alpha / r))"),
)


@layers.mistake(
    "B A is computed once",
    "You multiply B by A when the layer is made. What is learned afterwards changes nothing: the "
    "product belongs into forward.",
)
class LoRALinear(nn.Module):
    def __init__(self, base, r, alpha):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Parameter(torch.randn(r, base.in_features))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, r))
        self.update = alpha / r * self.lora_B @ self.lora_A

    def forward(self, x):
        return self.base(x) + x @ self.update.T


@layers.mistake(
    "the base's weight changes",
    "Each call of your forward adds B A to the base's weight once more. The base stays as it is.",
)
class LoRALinear(nn.Module):
    def __init__(self, base, r, alpha):
        super().__init__()
        self.base, self.scaling = base.requires_grad_(False), alpha / r
        self.lora_A = nn.Parameter(torch.randn(r, base.in_features))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, r))

    def forward(self, x):
        with torch.no_grad():
            self.base.weight += self.scaling * self.lora_B @ self.lora_A
        return self.base(x) + 0 * (x @ self.lora_A.T @ self.lora_B.T)


@layers.mistake(
    "only for two dimensions",
    "Your forward works for x [n, in] only. In a model x is [batch, token, in].",
)
class LoRALinear(nn.Module):
    def __init__(self, base, r, alpha):
        super().__init__()
        self.base, self.scaling = base.requires_grad_(False), alpha / r
        self.lora_A = nn.Parameter(torch.randn(r, base.in_features))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, r))

    def forward(self, x):
        return torch.addmm(self.base(x), x.mm(self.lora_A.t()), self.lora_B.t(), alpha=self.scaling)


# 8.5 count_lora

counts = Bank()


@counts.right
def count_lora(r, shapes):
    return sum(r * (n_out + n_in) for n_out, n_in in shapes)


@counts.right
def count_lora(r, shapes):
    total = 0
    for shape in shapes:
        numbers_A = r * shape[1]
        numbers_B = shape[0] * r
        total = total + numbers_A + numbers_B
    return total


@counts.right
def count_lora(r, shapes):
    return r * np.array(shapes, dtype=np.int64).sum()


@counts.right
def count_lora(r, shapes):
    return functools.reduce(lambda n, shape: n + r * sum(shape), shapes, 0)


@counts.right
def count_lora(r, shapes):
    matrices = [torch.empty(r, n_in, device="meta") for _, n_in in shapes]
    matrices += [torch.empty(n_out, r, device="meta") for n_out, _ in shapes]
    return sum(matrix.numel() for matrix in matrices)


counts.edit(
    "the whole weight is counted",
    "You count out x in, the frozen weights. LoRA trains A and B beside them.",
    ("r * (n_out + n_in)", "n_out * n_in"),
)
counts.edit(
    "in times out",
    "You multiply r, in and out. A has r in numbers and B has out r: these are added.",
    ("(n_out + n_in)", "(n_out * n_in)"),
)
counts.edit(
    "only A is counted",
    "You count A alone. B, with out r numbers, is trained too.",
    ("(n_out + n_in)", "n_in"),
)
counts.edit(
    "only B is counted",
    "You count B alone. A, with r in numbers, is trained too.",
    ("(n_out + n_in)", "n_out"),
)
counts.edit(
    "both matrices as large as A",
    "You count 2 r in, as if out were the same as in. B is [out, r].",
    ("(n_out + n_in)", "2 * n_in"),
)
counts.edit(
    "both matrices as large as B",
    "You count 2 r out, as if in were the same as out. A is [r, in].",
    ("(n_out + n_in)", "2 * n_out"),
)
counts.edit(
    "a bias is counted",
    "You count `out` biases for each matrix. LoRA trains none.",
    ("(n_out + n_in)", "(n_out + n_in) + n_out"),
)
counts.edit(
    "the frozen weights are counted too",
    "You count W along with A and B. W is frozen.",
    ("(n_out + n_in)", "(n_out + n_in) + n_out * n_in"),
)
counts.edit(
    "equal shapes are counted once",
    "You count each shape once. Every matrix has its own A and B, whether or not another has the "
    "same shape.",
    ("in shapes)", "in set(shapes))"),
)
counts.edit(
    "r is left out",
    "You add in and out, and do not multiply by r.",
    ("r * (n_out + n_in)", "(n_out + n_in)"),
)
counts.edit(
    "only out is multiplied by r",
    "You multiply out by r and add in as it is: r belongs to both, r (in + out).",
    ("r * (n_out + n_in)", "r * n_out + n_in"),
)
counts.edit(
    "only in is multiplied by r",
    "You multiply in by r and add out as it is: r belongs to both, r (in + out).",
    ("r * (n_out + n_in)", "(n_out + r * n_in)"),
)
counts.edit(
    "both matrices as large as the larger",
    "You count 2 r times the larger of in and out. A has r in numbers and B has out r.",
    ("(n_out + n_in)", "2 * max(n_out, n_in)"),
)
counts.edit(
    "both matrices as large as the smaller",
    "You count 2 r times the smaller of in and out. A has r in numbers and B has out r.",
    ("(n_out + n_in)", "2 * min(n_out, n_in)"),
)
counts.edit(
    "r by r is subtracted",
    "You subtract r x r for each matrix. That counts the free choices in a product of rank r; A "
    "and B have r (in + out) numbers, and all are trained.",
    ("(n_out + n_in)", "(n_out + n_in - r)"),
)
counts.edit(
    "r by r is counted",
    "You count r x r more numbers for each matrix. There is nothing between A and B.",
    ("(n_out + n_in)", "(n_out + n_in + r)"),
)
counts.edit(
    "the moments are counted",
    "You count two more numbers for each trained one: AdamW's moments are memory, and not trained.",
    ("r * (n_out + n_in)", "3 * r * (n_out + n_in)"),
)


@counts.mistake(
    "only the first matrix",
    "You return inside the loop, so only the first matrix counts.",
)
def count_lora(r, shapes):
    for n_out, n_in in shapes:
        return r * (n_out + n_in)
    return 0


@counts.mistake(
    "only the last matrix",
    "You overwrite the total in each round of the loop, so only the last matrix counts.",
)
def count_lora(r, shapes):
    total = 0
    for n_out, n_in in shapes:
        total = r * (n_out + n_in)
    return total


@counts.mistake(
    "a fraction instead of a whole number",
    "You return a fraction (with / somewhere, or a float). A count is a whole number.",
)
def count_lora(r, shapes):
    return (
        sum(out * n_in / (out * n_in / r) * (1 + out / n_in) * n_in for out, n_in in shapes) + 0.0
    )
