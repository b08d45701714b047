"""minigpt.optim: what decays, what does not, and that AdamW is the update its docstring says."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from minigpt.optim.adamw import PagedAdamW, make_optimizer, parameter_groups
from tests.minigpt.tiny.run import tiny_model


def test_matrices_decay_biases_and_norms_do_not() -> None:
    model = tiny_model()
    names = {parameter: name for name, parameter in model.named_parameters()}
    decaying, others = parameter_groups(model, weight_decay=0.1)
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    for name in (names[parameter] for parameter in decaying["params"]):
        assert name.endswith(".weight")
        assert ".ln_" not in name
    for name in (names[parameter] for parameter in others["params"]):
        assert name.endswith(".bias") or ".ln_" in name


def test_every_trainable_parameter_is_in_one_group_and_the_tied_one_once() -> None:
    model = tiny_model()
    grouped = [p for group in parameter_groups(model, 0.1) for p in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == set(model.parameters())
    assert sum(p is model.lm_head.weight for p in grouped) == 1


def test_frozen_parameters_are_left_out_and_an_empty_group_too() -> None:
    model = tiny_model().requires_grad_(False)
    model.transformer["wpe"].weight.requires_grad = True
    (group,) = parameter_groups(model, 0.1)
    assert group["params"] == [model.transformer["wpe"].weight]


def test_nothing_to_train_is_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"nothing to train: every parameter of this GPT is froz"):
        make_optimizer(tiny_model().requires_grad_(False), learning_rate=1e-3)


def test_adamw_is_the_update_in_its_docstring() -> None:
    lr, decay, (beta1, beta2), eps = 0.01, 0.1, (0.9, 0.95), 1e-8
    layer = nn.Linear(5, 3).double()
    optimizer = make_optimizer(layer, lr, decay, (beta1, beta2), eps)
    expected = {name: p.detach().clone() for name, p in layer.named_parameters()}
    mean = {name: torch.zeros_like(w) for name, w in expected.items()}
    square = {name: torch.zeros_like(w) for name, w in expected.items()}
    for step in range(1, 21):
        for name, parameter in layer.named_parameters():
            g = torch.randn_like(parameter)
            parameter.grad = g
            m = mean[name] = beta1 * mean[name] + (1 - beta1) * g
            v = square[name] = beta2 * square[name] + (1 - beta2) * g**2
            w = expected[name]
            w = w - lr * (decay if name == "weight" else 0.0) * w
            m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
            expected[name] = w - lr * m_hat / (v_hat.sqrt() + eps)
        optimizer.step()
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name], rtol=1e-12, atol=1e-14)


def test_the_fused_kernel_is_used_where_there_is_one() -> None:
    assert make_optimizer(tiny_model(), 1e-3).defaults["fused"] is True


def test_without_a_fused_kernel_the_plain_form_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = torch.optim.AdamW

    def no_fused(*arguments: object, fused: bool = False, **named: object) -> torch.optim.AdamW:
        if fused:
            raise RuntimeError("`fused=True` requires all the params to be on supported devices")
        return plain(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.optim, "AdamW", no_fused)
    model = tiny_model()
    optimizer = make_optimizer(model, 1e-3)
    before = model.lm_head.weight.detach().clone()
    model.lm_head.weight.grad = torch.ones_like(before)
    optimizer.step()
    # The first step of Adam has length lr, whatever the gradient; decay takes lr * 0.1 of the rest.
    torch.testing.assert_close(model.lm_head.weight.detach(), before * (1 - 1e-4) - 1e-3)


def test_paged_is_the_same_optimizer_with_another_place_for_the_moments() -> None:
    model = tiny_model()
    settings = (1e-3, 0.2, (0.8, 0.9), 1e-7)
    paged, plain = (make_optimizer(model, *settings, paged=paged) for paged in (True, False))
    assert isinstance(paged, PagedAdamW)
    assert not isinstance(plain, PagedAdamW)
    assert paged.state_dict() == plain.state_dict()  # groups and all their settings
    pairs = zip(paged.param_groups, plain.param_groups, strict=True)
    assert all(a["params"][i] is p for a, b in pairs for i, p in enumerate(b["params"]))
