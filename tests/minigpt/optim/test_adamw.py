"""minigpt.optim: what decays, what does not, and that the update written out is torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from minigpt.optim.adamw import adamw_step, make_optimizer, parameter_groups
from minigpt.optim.paged_adamw import MOMENTS, PagedAdamW
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


@pytest.mark.parametrize("fused", [True, False])
def test_the_update_written_out_is_torchs(fused: bool) -> None:
    lr, decay, betas, eps = 0.01, 0.1, (0.9, 0.95), 1e-8
    layer = nn.Linear(5, 3).double()
    groups = parameter_groups(layer, decay)
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, fused=fused)
    expected = {
        name: (p.detach().clone(), torch.zeros_like(p), torch.zeros_like(p))
        for name, p in layer.named_parameters()
    }
    for step in range(1, 21):
        for name, parameter in layer.named_parameters():
            grad = parameter.grad = torch.randn_like(parameter)
            weight_decay = decay if name == "weight" else 0.0
            w, m, v = expected[name]
            expected[name] = adamw_step(w, grad, m, v, step, lr, betas, eps, weight_decay)
        optimizer.step()
    for name, parameter in layer.named_parameters():
        found = (parameter.detach(), *(optimizer.state[parameter][k] for k in MOMENTS))
        torch.testing.assert_close(found, expected[name], rtol=1e-12, atol=1e-14)


def test_the_first_update_is_lr_long_and_decay_goes_by_the_gradient() -> None:
    w, grad, zero = torch.tensor([2.0, -4.0, 1.0]), torch.tensor([5.0, -1e-3, 0.0]), torch.zeros(3)
    updated, m, v = adamw_step(w, grad, zero, zero, 1, 0.1, (0.9, 0.99), 1e-12, weight_decay=0.5)
    torch.testing.assert_close(updated, w * (1 - 0.1 * 0.5) - 0.1 * grad.sign())
    torch.testing.assert_close((m, v), (0.1 * grad, 0.01 * grad.square()))


def test_make_optimizer_passes_its_settings_on() -> None:
    defaults = make_optimizer(nn.Linear(5, 3), 0.01, 0.2, (0.8, 0.9), 1e-7).defaults
    found = (defaults["lr"], defaults["betas"], defaults["eps"])
    assert found == (0.01, (0.8, 0.9), 1e-7)


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
