# ruff: noqa: E501
"""What a task forbids is refused under every name, and only there."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator

import pytest
import torch

from lessons.grading.outcome import Answered, Outcome, Stopped
from lessons.grading.shortcuts import SHORTCUTS
from lessons.grading.task import Case
from lessons.grading.worker import Sandbox

IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"
X = torch.tensor([[[0.5, -1.25, 2.0, 0.75], [1.5, 0.25, -0.5, 1.0], [-2.0, 0.125, 3.0, -1.0]]] * 2)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="one process a case takes minutes")

# name of the shortcut: ways to get at them, in the body of f(x) with x [2, 3, 4]
WAYS: dict[str, list[str]] = {
    "gelu": [
        "return F.gelu(x)",
        "return F.gelu(x, approximate='tanh')",
        "return nn.GELU('tanh')(x)",
        "return nn.Sequential(nn.GELU())(x.double())",
        "return torch._C._nn.gelu(x.bfloat16())",
        "return torch._C._nn.gelu_(x.clone())",
        "return torch.ops.aten.gelu(x)",
        "return torch.ops.aten.gelu.out(x, out=torch.empty_like(x))",
        "return getattr(F, 'ge' + 'lu')(x.requires_grad_())",
        "return torch.func.vmap(F.gelu)(x)",
        "return torch.func.jvp(F.gelu, (x,), (x,))",
        "return torch.func.functionalize(F.gelu)(x)",
        "with torch.inference_mode(): return F.gelu(x)",
        "return F.gelu(x.to_mkldnn()).to_dense()",
        "return torch._refs.nn.functional.gelu(x)",
        "return torch._decomp.decomposition_table[torch.ops.aten.gelu_backward.default](x, x)",
        "return torch.jit.trace(F.gelu, x)(x)",
        "return scripted(x)",
        "return torch._addmm_activation(torch.zeros(4), x[0], torch.eye(4), use_gelu=True)",
        "return torch.ops.mkldnn._linear_pointwise(x, torch.eye(4), None, 'gelu', [], 'tanh')",
        "return nn.TransformerEncoderLayer(4, 2, activation='gelu').eval()(x)",
        "return nn.TransformerEncoderLayer(4, 2, activation=nn.GELU(), batch_first=True)(x)",
        "return F.gelu(torch.nested.nested_tensor([x[0], x[1]])).unbind()[0]",
        "torch.library.Library('aten', 'FRAGMENT')\nreturn F.gelu(x)",
        "with torch.no_grad(), torch.autograd.forward_ad.dual_level(): return F.gelu(x)",
        "with torch._C._AutoDispatchBelowAutograd(): return F.gelu(x)",
        "with torch._C.DisableTorchFunctionSubclass(): return F.gelu(x)",
        "class T(torch.Tensor): pass\nreturn F.gelu(x.as_subclass(T))",
    ],
    "layer_norm": [
        "return F.layer_norm(x, (4,))",
        "return F.layer_norm(x.requires_grad_(), (4,), torch.ones(4), torch.zeros(4))",
        "return nn.LayerNorm(4)(x)",
        "return torch.layer_norm(x, (4,))",
        "return torch.native_layer_norm(x, (4,), None, None, 1e-5)[0]",
        "return torch.ops.aten.native_layer_norm(x, (4,), None, None, 1e-5)[0]",
        "return torch.ops.aten.layer_norm.default(x.double(), (4,))",
        "return torch._refs.native_layer_norm(x, (4,), None, None, 1e-5)[0]",
        "return torch._refs.nn.functional.layer_norm(x, (4,))",
        "return torch.func.vmap(lambda row: F.layer_norm(row, (4,)))(x)",
        "return F.group_norm(x.reshape(6, 4), 1).reshape(2, 3, 4)",
        "return nn.GroupNorm(1, 4)(x.reshape(6, 4))",
        "return torch.native_group_norm(x.reshape(6, 4), None, None, 6, 4, 1, 1, 1e-5)[0]",
        "return F.batch_norm(x.reshape(6, 4).T, None, None, training=True).T",
        "return nn.BatchNorm1d(6)(x.reshape(6, 4).T)",
        "return F.instance_norm(x)",
        "return nn.InstanceNorm1d(3)(x)",
        "return torch.native_batch_norm(x.reshape(6, 4).T, None, None, None, None, True, 0.1, 1e-5)[0]",
        "return torch.batch_norm_update_stats(x.reshape(6, 4).T, None, None, 0.1)",
        "return nn.TransformerEncoderLayer(4, 2)(x)",
        "return scripted_norm(x)",
    ],
    "cross_entropy": [
        "return F.cross_entropy(x[0], torch.tensor([1, 2, 0]))",
        "return F.cross_entropy(x[0].requires_grad_(), torch.tensor([1, 2, -100]), label_smoothing=0.1)",
        "return F.cross_entropy(x[0], x[0].softmax(-1))",
        "return nn.CrossEntropyLoss()(x[0], torch.tensor([1, 2, 0]))",
        "return torch._C._nn.cross_entropy_loss(x[0], torch.tensor([1, 2, 0]))",
        "return torch.ops.aten.cross_entropy_loss(x[0], torch.tensor([1, 2, 0]))",
        "return F.nll_loss(x[0].log_softmax(-1), torch.tensor([1, 2, 0]))",
        "return nn.NLLLoss()(x[0].log_softmax(-1), torch.tensor([1, 2, 0]))",
        "return torch.nll_loss(x[0], torch.tensor([1, 2, 0]))" if hasattr(torch, "nll_loss") else
        "return torch._C._nn.nll_loss(x[0], torch.tensor([1, 2, 0]))",
        "return torch._C._nn.nll_loss_nd(x[0], torch.tensor([1, 2, 0]))",
        "return torch.ops.aten.nll_loss_forward(x[0], torch.tensor([1, 2, 0]), None, 1, -100)[0]",
        "return torch._refs.nn.functional.nll_loss(x[0], torch.tensor([1, 2, 0]))",
        "return torch._decomp.decompositions.nll_loss_forward(x[0], torch.tensor([1, 2, 0]), None, 1, -100)",
        "return F.kl_div(x[0].log_softmax(-1), x[0].softmax(-1))",
        "return nn.KLDivLoss()(x[0].log_softmax(-1), x[0].softmax(-1))",
        "return torch.kl_div(x[0].log_softmax(-1), x[0].softmax(-1))",
        "return F.linear_cross_entropy(x[0], torch.eye(4), torch.tensor([1, 2, 0]))"
        if hasattr(F := torch.nn.functional, "linear_cross_entropy") else
        "return F.cross_entropy(x.mT, torch.zeros(2, 3, dtype=torch.long))",
    ],
    "attention": [
        "return F.scaled_dot_product_attention(x, x, x)",
        "return F.scaled_dot_product_attention(x.requires_grad_(), x, x, is_causal=True)",
        "return torch._C._nn.scaled_dot_product_attention(x, x, x)",
        "return torch.ops.aten._scaled_dot_product_attention_math(x, x, x)[0]",
        "y = x[:, None]\nreturn torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(y, y, y)[0]",
        "return nn.MultiheadAttention(4, 2)(x, x, x)",
        "return nn.MultiheadAttention(4, 2, batch_first=True).eval()(x, x, x, need_weights=False)",
        "return F.multi_head_attention_forward(x, x, x, 4, 2, torch.randn(12, 4), None, None, None,"
        " False, 0.0, torch.eye(4), None)",
        "return nn.TransformerEncoderLayer(4, 2)(x)",
        "return nn.TransformerDecoderLayer(4, 2)(x, x)",
        "return torch.ao.nn.quantizable.MultiheadAttention(4, 2)(x, x, x)",
        "return torch._native_multi_head_attention(x, x, x, 4, 2, torch.randn(12, 4), torch.randn(12),"
        " torch.eye(4), torch.zeros(4))",
    ],
    "clip_grad_norm": [
        "x.grad = x.clone()\nreturn nn.utils.clip_grad_norm_([x], 1.0)",
        "from torch.nn.utils import clip_grad_norm_ as other\nx.grad = x.clone()\nreturn other([x], 1.0)",
        "x.grad = x.clone()\nreturn nn.utils.clip_grad_norm([x], 1.0)",
        "return nn.utils.get_total_norm([x])",
        "return nn.utils.clip_grad.clip_grad_norm_.__wrapped__([x], 1.0)",
        "return torch.nn.utils.clip_grad._get_total_norm([x])",
    ],
    "optim": [
        "return torch.optim.AdamW([x.requires_grad_()])",
        "from torch.optim import Adam\nreturn Adam([x.requires_grad_()])",
        "import torch.optim.adamw as a\nreturn a.AdamW([x.requires_grad_()])",
        "return torch.optim.SGD([x.requires_grad_()], lr=0.1)",
        "from torch.optim.adamw import adamw\nreturn adamw([x], [x], [x], [x], [], [torch.tensor(1.0)],"
        " amsgrad=False, beta1=0.9, beta2=0.99, lr=0.1, weight_decay=0.0, eps=1e-8, maximize=False)",
        "from torch.optim.adam import _single_tensor_adam as a\nreturn a([x], [x], [x], [x], [],"
        " [torch.tensor(1.0)], None, None, amsgrad=False, has_complex=False, beta1=0.9, beta2=0.99,"
        " lr=0.1, weight_decay=0.0, eps=1e-8, maximize=False, capturable=False,"
        " differentiable=False, decoupled_weight_decay=True)",
        "s = torch.tensor(1.0)\ntorch._fused_adamw_([x], [x.clone()], [x.clone()], [x.abs()], [], [s], lr=0.1,"
        " beta1=0.9, beta2=0.99, weight_decay=0.0, eps=1e-8, amsgrad=False, maximize=False)\nreturn x",
        "s = torch.tensor(1.0)\nreturn torch.ops.aten._fused_adamw([x], [x], [x], [x.abs()], [], [s],"
        " lr=0.1, beta1=0.9, beta2=0.99, weight_decay=0.0, eps=1e-8, amsgrad=False, maximize=False)",
    ],
    "multinomial": [
        "return torch.multinomial(x[0].softmax(-1), 1)",
        "return x[0].softmax(-1).multinomial(1)",
        "return torch.ops.aten.multinomial(x[0].softmax(-1), 1)",
        "return torch.distributions.Categorical(logits=x).sample()",
        "return torch.multinomial(x[0].softmax(-1), 1, out=torch.empty(3, 1, dtype=torch.long))",
        "return list(torch.utils.data.WeightedRandomSampler([0.5, 0.5], 3))",
    ],
    "fake_quantize": [
        "return torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -128, 127)",
        "return torch.fake_quantize_per_channel_affine(x, torch.ones(4), torch.zeros(4).int(), 2, -8, 7)",
        "return torch.fake_quantize_per_tensor_affine(x, torch.tensor(0.1), torch.tensor(0), -8, 7)",
        "return torch.ops.aten.fake_quantize_per_tensor_affine_cachemask(x, 0.1, 0, -8, 7)[0]",
        "return torch._fake_quantize_learnable_per_tensor_affine(x, torch.ones(1), torch.zeros(1), -8, 7)",
        "return torch.ao.quantization.FakeQuantize()(x)",
        "return torch.ao.quantization.default_fused_act_fake_quant()(x)",
    ],
}  # fmt: skip

# What stands near a shortcut and may be used.
ALLOWED: dict[str, list[str]] = {
    "gelu": [
        "return 0.5 * x * (1 + torch.tanh(0.79788456 * (x + 0.044715 * x ** 3)))",
        "return 0.5 * x * (1 + torch.erf(x / 2 ** 0.5)) + F.relu(x) + F.silu(x) + torch.sigmoid(x)",
        "return torch.addmm(torch.zeros(4), x[0], torch.eye(4)) + F.linear(x, torch.eye(4))[0]",
    ],
    "layer_norm": [
        "return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, correction=0, keepdim=True) + 1e-5)",
        "v, m = torch.var_mean(x, -1, keepdim=True, unbiased=False)\nreturn (x - m) * torch.rsqrt(v)",
        "return F.normalize(x, dim=-1) + torch.linalg.norm(x) + torch.std(x) + F.rms_norm(x, (4,))",
    ],
    "cross_entropy": [
        "y = x.requires_grad_()\nF.log_softmax(y, -1).sum().backward()\nreturn y.grad",
        "return -x.log_softmax(-1).gather(-1, torch.zeros(2, 3, 1, dtype=torch.long)).mean()",
        "return torch.logsumexp(x, -1) + F.one_hot(torch.tensor([1, 2, 0])).sum(-1)",
        "return F.binary_cross_entropy_with_logits(x, torch.zeros_like(x))",
        "return torch.distributions.Categorical(logits=x[0]).log_prob(torch.tensor([1, 2, 0]))",
    ],
    "attention": [
        "return torch.softmax(x @ x.mT / 2, -1) @ x",
        "return torch.einsum('bij,bjd->bid', torch.einsum('bid,bjd->bij', x, x).softmax(-1), x)",
    ],
    "clip_grad_norm": [
        "return torch.nn.utils.parameters_to_vector([x]).norm()",
        "return torch.stack(torch._foreach_norm([x, x])).norm()",
        "x.grad = x.clone()\nnn.utils.clip_grad_value_([x], 1.0)\nreturn x.grad",
    ],
    "optim": [
        "from torch.optim import AdamW\nreturn x.lerp(x + 1, 0.1).addcdiv(x, x.abs().sqrt() + 1)",
    ],
    "multinomial": [
        "return torch.searchsorted(x[0].softmax(-1).cumsum(-1), torch.rand(3, 1))",
        "return torch.rand(3) + torch.bernoulli(torch.full((3,), 0.5)) + torch.distributions.Normal(0, 1).sample()",
    ],
    "fake_quantize": [
        "return torch.quantize_per_tensor(x, 0.1, 0, torch.qint8).dequantize()",
        "return (x * 10).round().clamp(-128, 127) / 10",
    ],
}  # fmt: skip

SCRIPTED = (
    "@torch.jit.script\ndef scripted(x):\n    return torch.nn.functional.gelu(x)\n"
    "@torch.jit.script\ndef scripted_norm(x):\n    return torch.nn.functional.layer_norm(x, [4])\n"
)


def code_of(*bodies: str) -> str:
    """Returns a file with a function for each body, and f(x, i), which calls the i-th."""
    functions = [
        f"def way{i}(x):\n{textwrap.indent(body, '    ')}\n" for i, body in enumerate(bodies)
    ]
    calls = "def f(x, i=0):\n    return globals()[f'way{i}'](x.clone())\n"
    return "\n".join([IMPORTS, *functions, SCRIPTED, calls])


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as made:
        yield made


def ask(sandbox: Sandbox, bodies: list[str], forbidden: tuple[str, ...]) -> dict[str, Outcome]:
    """Asks each of them in one process."""
    with sandbox.submission(code_of(*bodies), "f", forbidden=forbidden) as running:
        return {body: running.ask(Case((X, i)), limit=20) for i, body in enumerate(bodies)}


@pytest.mark.parametrize("name", WAYS)
def test_a_shortcut_is_refused_under_every_name_and_only_where_it_is_named(
    name: str, sandbox: Sandbox
) -> None:
    named = ask(sandbox, WAYS[name], (name,))
    others = tuple(other for other in WAYS if other not in (name, *OVERLAP))
    free = ask(sandbox, WAYS[name], others)
    assert {body: found for body, found in named.items() if status(found) != "forbidden"} == {}
    assert {body: found for body, found in free.items() if status(found) == "forbidden"} == {}
    assert isinstance(free[WAYS[name][0]], Answered)


# An encoder's layer is refused by each of them.
OVERLAP = ("gelu", "layer_norm", "attention")


@pytest.mark.parametrize("name", ALLOWED)
def test_what_stands_near_a_shortcut_is_not_refused(name: str, sandbox: Sandbox) -> None:
    outcomes = ask(sandbox, ALLOWED[name], (name,))
    assert {body: found for body, found in outcomes.items() if isinstance(found, Stopped)} == {}


def status(outcome: Outcome) -> str:
    """Returns how a call ended."""
    return outcome.status if isinstance(outcome, Stopped) else "answered"


def test_a_learner_may_catch_the_refusal_and_do_without(sandbox: Sandbox) -> None:
    body = "try:\n    return F.gelu(x)\nexcept Exception:\n    return x"
    outcome = ask(sandbox, [body], ("gelu",))[body]
    assert isinstance(outcome, Answered)
    assert torch.equal(outcome.answer["result"], X)


def test_a_refusal_names_the_line_and_the_shortcut(sandbox: Sandbox) -> None:
    body = "y = x + 1\nreturn nn.GELU()(y)"
    outcome = ask(sandbox, [body], ("gelu",))[body]
    assert isinstance(outcome, Stopped)
    (line,) = [i for i, text in enumerate(code_of(body).splitlines(), 1) if "GELU" in text]
    assert (outcome.line, "GELU" in outcome.message) == (line, True)


def test_the_registrations_cannot_be_taken_back(sandbox: Sandbox) -> None:
    body = (
        "import torch.library\n"
        "for name, value in list(vars(torch.library).items()):\n"
        "    if isinstance(value, (dict, set, list)) and not name.startswith('__'): value.clear()\n"
        "torch.library._impls.clear()\n"
        "return F.gelu(x)"
    )
    outcome = ask(sandbox, [body], ("gelu",))[body]
    assert isinstance(outcome, Stopped)
    assert outcome.status == "forbidden"


def test_an_unknown_shortcut_is_the_definitions_mistake(sandbox: Sandbox) -> None:
    with pytest.raises(KeyError, match="no such"):
        sandbox.submission("", "f", forbidden=("no such",))


def test_every_shortcut_of_the_tasks_is_known() -> None:
    assert set(SHORTCUTS) == set(WAYS)
