"""Lesson 4's bank: the steps of training as people write them, wrong and right."""

# ruff: noqa: F811
# mypy: ignore-errors

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn as nn

from lessons.grading.task import Bank

# 4.1 learning_rate_at

rates = Bank()


@rates.right
def learning_rate_at(step, config):
    top, bottom = config.learning_rate, config.min_learning_rate
    warmup = config.warmup_steps
    if step < warmup:
        return top * (step + 1) / warmup
    p = min(1.0, (step - warmup) / (config.max_steps - warmup))
    return bottom + (top - bottom) * (1 + math.cos(math.pi * p)) / 2


@rates.right
def learning_rate_at(step, config):
    if step + 1 <= config.warmup_steps:
        return config.learning_rate / config.warmup_steps * (step + 1)
    if step >= config.max_steps:
        return config.min_learning_rate
    angle = math.pi * (step - config.warmup_steps) / (config.max_steps - config.warmup_steps)
    share = 0.5 * (1.0 + math.cos(angle))
    return share * config.learning_rate + (1 - share) * config.min_learning_rate


@rates.right
def learning_rate_at(step, config):
    if step < config.warmup_steps:
        return float(np.linspace(0, config.learning_rate, config.warmup_steps + 1)[step + 1])
    done = (step - config.warmup_steps) / (config.max_steps - config.warmup_steps)
    half = (config.learning_rate - config.min_learning_rate) / 2
    middle = (config.learning_rate + config.min_learning_rate) / 2
    return float(middle + half * np.cos(np.pi * np.clip(done, 0, 1)))


@rates.right
def learning_rate_at(step, config):
    lo, hi, w = config.min_learning_rate, config.learning_rate, config.warmup_steps
    if step < w:
        return hi - hi * (w - step - 1) / w
    p = torch.tensor((step - w) / (config.max_steps - w)).clamp(max=1)
    return lo + (hi - lo) * (torch.cos(p * math.pi / 2) ** 2).item()


rates.edit(
    "the climb begins at 0",
    "Your first step has the learning rate 0, so it changes nothing. The climb is top (step + 1) / "
    "warmup: its last step reaches the top.",
    ("top * (step + 1) / warmup", "top * step / warmup"),
)
rates.edit(
    "one step of warmup too many",
    "You still climb at step = warmup_steps, and come out above the top. The steps of the climb "
    "are 0 to warmup_steps - 1.",
    ("step < warmup", "step <= warmup and warmup"),
)
rates.edit(
    "the climb begins at the bottom",
    "You climb from min_learning_rate. That is where the cosine ends; the climb is a straight line "
    "from 0.",
    (
        "return top * (step + 1) / warmup",
        "return bottom + (top - bottom) * (step + 1) / warmup",
    ),
)
rates.edit(
    "no warmup",
    "You begin at the top. The first warmup_steps steps climb there in a straight line.",
    ("step < warmup", "step < 0"),
    ("(step - warmup) / (config.max_steps - warmup)", "step / config.max_steps"),
)
rates.edit(
    "the top throughout the warmup",
    "Your warmup steps all have the top rate. They climb: top (step + 1) / warmup.",
    ("top * (step + 1) / warmup", "top"),
)
rates.edit(
    "the cosine begins at step 0",
    "Your cosine counts from the first step of all, so the rate jumps where the climb ends. It "
    "begins where the warmup is over.",
    ("(step - warmup) / (config.max_steps - warmup)", "step / config.max_steps"),
)
rates.edit(
    "divided by max_steps",
    "You divide by max_steps, so that the cosine is not over at the end. It lasts max_steps - "
    "warmup_steps.",
    ("/ (config.max_steps - warmup)", "/ config.max_steps"),
)
rates.edit(
    "the last step has the bottom rate",
    "Your cosine ends one step early. p is (step - warmup) / (max_steps - warmup), which is 1 at "
    "step max_steps.",
    ("/ (config.max_steps - warmup)", "/ max(1, config.max_steps - warmup - 1)"),
)
rates.edit(
    "the cosine is one step ahead",
    "Your p counts one step too many. At step warmup_steps it is 0 and the rate is the top.",
    ("(step - warmup) /", "(step - warmup + 1) /"),
)
rates.edit(
    "climbs again after the end",
    "Beyond max_steps your cosine turns round and the rate climbs again. It stays at the bottom.",
    ("min(1.0, (step - warmup) / (config.max_steps - warmup))",
     "(step - warmup) / (config.max_steps - warmup)"),
)  # fmt: skip
rates.edit(
    "0 after the end",
    "From max_steps on your rate is 0. It stays at min_learning_rate.",
    ("    p = min", "    if step >= config.max_steps:\n        return 0.0\n    p = min"),
)
rates.edit(
    "a straight line down",
    "Your rate falls in a straight line. It falls along half a cosine: slowly, fast, slowly.",
    ("(1 + math.cos(math.pi * p)) / 2", "(1 - p)"),
)
rates.edit(
    "a quarter of a cosine",
    "You take the cosine from 0 to pi/2. The formula has (1 + cos(pi p)) / 2: half a cosine, "
    "lifted.",
    ("(1 + math.cos(math.pi * p)) / 2", "math.cos(math.pi * p / 2)"),
)
rates.edit(
    "the cosine is not lifted",
    "Your cosine runs from 1 to -1. Add 1 and halve it, so that it runs from 1 to 0.",
    ("(1 + math.cos(math.pi * p)) / 2", "math.cos(math.pi * p)"),
)
rates.edit(
    "the cosine is not halved",
    "1 + cos runs from 2 to 0: your rate begins at twice the top. Halve it.",
    ("(1 + math.cos(math.pi * p)) / 2", "(1 + math.cos(math.pi * p))"),
)
rates.edit(
    "a whole cosine",
    "Your cosine goes down and up again. Half of it, from 0 to pi, is what is wanted.",
    ("math.pi * p", "2 * math.pi * p"),
)
rates.edit(
    "the cosine in degrees",
    "You hand degrees to math.cos, which takes radians: pi p, not 180 p.",
    ("math.pi * p", "180 * p"),
)
rates.edit(
    "down to 0",
    "Your cosine ends at 0. It ends at min_learning_rate.",
    ("return bottom + (top - bottom) *", "return top *"),
)
rates.edit(
    "the bottom is added on top",
    "You add the bottom to a cosine that still starts at the top, so the rate starts too high. "
    "What falls is the difference, top - bottom.",
    ("(top - bottom) *", "top *"),
)
rates.edit(
    "the bottom as a floor",
    "You cut a cosine that falls to 0 off at the bottom. It should run into the bottom smoothly.",
    (
        "return bottom + (top - bottom) * (1 + math.cos(math.pi * p)) / 2",
        "return max(bottom, top * (1 + math.cos(math.pi * p)) / 2)",
    ),
)
rates.edit(
    "a tenth of the top as the bottom",
    "Your cosine ends at a tenth of the top. That is only where it ends if nothing else is said: "
    "the config holds min_learning_rate.",
    ("bottom = config.learning_rate, config.min_learning_rate",
     "bottom = config.learning_rate, config.learning_rate / 10"),
)  # fmt: skip
rates.edit(
    "whole numbers only",
    "You divide with //, which rounds down to a whole number.",
    ("(step - warmup) / (config", "(step - warmup) // (config"),
)
rates.edit(
    "up instead of down",
    "Your cosine runs from the bottom to the top. After the climb the rate falls.",
    ("1 + math.cos", "1 - math.cos"),
)


rates.edit(
    "pi is left out",
    "You take the cosine of p. p runs from 0 to 1, and half a cosine from 0 to pi: take cos(pi p).",
    ("math.pi * p", "p"),
)
rates.edit(
    "warmup + 1 in the divisor",
    "You divide by warmup + 1 in the warmup, so that its last step does not reach the top. With "
    "(step + 1) above, warmup belongs below.",
    ("(step + 1) / warmup", "(step + 1) / (warmup + 1)"),
)
rates.edit(
    "the warmup never falls below the bottom",
    "You raise the rates of the warmup to min_learning_rate. The bottom is where the cosine ends; "
    "the warmup begins near 0.",
    ("return top * (step + 1) / warmup", "return max(bottom, top * (step + 1) / warmup)"),
)
rates.edit(
    "a warmup of one step is skipped",
    "With a warmup of a single step you go straight to the cosine, with a p below 0 at step 0.",
    ("if step < warmup", "if step < warmup and warmup > 1"),
)
rates.edit(
    "a bottom of 0 is replaced",
    "Where min_learning_rate is 0 you take a tenth of the top: 0 counts as False. 0 is a rate like "
    "any other.",
    ("config.min_learning_rate\n", "config.min_learning_rate or config.learning_rate / 10\n"),
)
rates.edit(
    "it starts anew after the end",
    "From max_steps on your cosine starts again at the top. p is at most 1.",
    (
        "min(1.0, (step - warmup) / (config.max_steps - warmup))",
        "(step - warmup) / (config.max_steps - warmup) % 1.0",
    ),
)


# 4.2 clip_gradients

clips = Bank()


@clips.right
def clip_gradients(gradients, max_norm):
    total = math.sqrt(sum((g**2).sum().item() for g in gradients))
    if total > max_norm:
        for g in gradients:
            g *= max_norm / total
    return total


@clips.right
def clip_gradients(gradients, max_norm):
    norms = torch.stack([torch.linalg.vector_norm(g) for g in gradients])
    norm = torch.linalg.vector_norm(norms)
    factor = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
    for g in gradients:
        g.mul_(factor)
    return norm.item()


@clips.right
def clip_gradients(gradients, max_norm):
    flat = torch.cat([g.flatten() for g in gradients])
    norm = float(flat.double().norm())
    scale = 1.0 if norm == 0 else min(1.0, max_norm / norm)
    for g in gradients:
        g.copy_(g * scale)
    return norm


@clips.right
def clip_gradients(gradients, max_norm):
    squares = 0.0
    for g in gradients:
        for number in g.reshape(-1).tolist():
            squares += number * number
    norm = squares**0.5
    if norm <= max_norm:
        return norm
    for i in range(len(gradients)):
        gradients[i][...] = gradients[i] / norm * max_norm
    return norm


@clips.right
def clip_gradients(gradients, max_norm):
    arrays = [g.numpy() for g in gradients]
    norm = float(np.sqrt(sum(np.sum(a.astype(np.float64) ** 2) for a in arrays)))
    for array in arrays:
        array *= array.dtype.type(max_norm / max(norm, max_norm))
    return norm


clips.edit(
    "each tensor for itself",
    "You shorten every tensor to max_norm for itself, and the direction of the whole gradient "
    "changes. One factor, from the norm of all of them together, serves for all.",
    (
        "if total > max_norm:\n        for g in gradients:\n            g *= max_norm / total",
        "for g in gradients:\n        if g.norm() > max_norm:\n            g *= max_norm / "
        "g.norm()",
    ),
)
clips.edit(
    "each number is cut off",
    "You cut every number off at max_norm. That is clipping by value; here the whole vector is "
    "shortened, and its direction stays.",
    (
        "if total > max_norm:\n        for g in gradients:\n            g *= max_norm / total",
        "for g in gradients:\n        g.clamp_(-max_norm, max_norm)",
    ),
)
clips.edit(
    "always scaled to max_norm",
    "You bring every gradient to the length max_norm, short ones too. Short ones stay as they are.",
    ("if total > max_norm:", "if total > 0:"),
)
clips.edit(
    "only short gradients are scaled",
    "You lengthen the short gradients and leave the long ones. It is the other way round.",
    ("if total > max_norm:", "if total < max_norm:"),
)
clips.edit(
    "scaled to length 1",
    "Where the gradient is too long, you bring it to length 1. Its new length is max_norm.",
    ("max_norm / total", "1 / total"),
)
clips.edit(
    "the fraction upside down",
    "You multiply by total / max_norm, which makes long gradients longer.",
    ("max_norm / total", "total / max_norm"),
)
clips.edit(
    "multiplied by max_norm",
    "You multiply by max_norm. The factor is max_norm / total.",
    ("max_norm / total", "max_norm"),
)
clips.edit(
    "no root",
    "You use the sum of squares. The norm is its root.",
    ("math.sqrt(sum((g**2).sum().item() for g in gradients))",
     "sum((g**2).sum().item() for g in gradients)"),
)  # fmt: skip
clips.edit(
    "norms added up",
    "You add the norms of the tensors. The norm of all of them is the root of the sum of all "
    "squares.",
    ("math.sqrt(sum((g**2).sum().item() for g in gradients))",
     "sum(math.sqrt((g**2).sum().item()) for g in gradients)"),
)  # fmt: skip
clips.edit(
    "the largest of the norms",
    "You take the largest norm of a tensor. All tensors together make one long vector: add the "
    "squares of all.",
    ("math.sqrt(sum((g**2).sum().item() for g in gradients))",
     "math.sqrt(max((g**2).sum().item() for g in gradients))"),
)  # fmt: skip
clips.edit(
    "absolute values",
    "You add up absolute values, the 1-norm. What is meant is the length: the root of the sum of "
    "squares.",
    ("math.sqrt(sum((g**2).sum().item() for g in gradients))",
     "sum(g.abs().sum().item() for g in gradients)"),
)  # fmt: skip
clips.edit(
    "the largest number",
    "You take the largest absolute value for the norm. What is meant is the length: the root of "
    "the sum of squares.",
    ("math.sqrt(sum((g**2).sum().item() for g in gradients))",
     "max(g.abs().max().item() for g in gradients)"),
)  # fmt: skip
clips.edit(
    "the mean of the squares",
    "You average the squares of a tensor. The norm grows with the number of entries: add them up.",
    ("(g**2).sum()", "(g**2).mean()"),
)
clips.edit(
    "the first tensor alone",
    "You scale the first tensor only.",
    ("for g in gradients:", "for g in gradients[:1]:"),
)
clips.edit(
    "the norm of the first tensor",
    "Your norm is that of the first tensor. All of them count.",
    ("item() for g in gradients", "item() for g in gradients[:1]"),
)
clips.edit(
    "the norm after",
    "You return the norm after clipping. The one before tells whether a batch was odd, and is what "
    "training runs log.",
    ("return total", "return min(total, max_norm)"),
)
clips.edit(
    "copies are scaled",
    "The norm is right, but the tensors stay as they were: g = g * factor makes a new tensor. "
    "Scale in place.",
    ("g *= max_norm / total", "g = g * (max_norm / total)"),
)
clips.edit(
    "the factor is returned",
    "You return the factor. Wanted is the norm before clipping.",
    ("return total", "return min(1.0, max_norm / total)"),
)
clips.edit(
    "a tensor is returned",
    "The value is right, but it is a tensor. The norm comes back as a float: .item() gives one.",
    ("return total", "return torch.tensor(total)"),
)
clips.edit(
    "nothing is returned",
    "The gradients are right. The norm before clipping is to be returned, too.",
    ("return total", "return None"),
)
clips.edit(
    "scaled once too often",
    "You multiply by the square of the factor.",
    ("max_norm / total", "(max_norm / total) ** 2"),
)


@clips.mistake(
    "the list is filled with new tensors",
    "You put new tensors into the list. The parameters still hold the old ones, so nothing is "
    "clipped for the optimizer: scale the tensors themselves.",
)
def clip_gradients(gradients, max_norm):
    total = math.sqrt(sum((g**2).sum().item() for g in gradients))
    for i, g in enumerate(gradients):
        gradients[i] = g * min(1.0, max_norm / total)
    return total


@clips.mistake(
    "the norm is taken again after each tensor",
    "You compute the norm anew for every tensor, when the earlier ones are scaled already. Take it "
    "once, before anything is changed.",
)
def clip_gradients(gradients, max_norm):
    before = math.sqrt(sum((g**2).sum().item() for g in gradients))
    for g in gradients:
        total = math.sqrt(sum((other**2).sum().item() for other in gradients))
        if total > max_norm:
            g *= max_norm / total
    return before


clips.edit(
    "the last tensor is not scaled",
    "You leave out the last tensor when you scale. Every gradient is multiplied by the same "
    "factor.",
    (
        "    if total > max_norm:\n        for g in gradients:",
        "    if total > max_norm:\n        for g in gradients[:-1]:",
    ),
)
clips.edit(
    "scaled by its own norm",
    "You divide each tensor by its own norm. All of them are divided by the norm of all together.",
    ("max_norm / total", "max_norm / g.norm()"),
)
clips.edit(
    "a copy of a view is scaled",
    "reshape copies where a tensor's numbers do not lie in order, as in a transposed view, and you "
    "scale the copy. Scale the tensor itself.",
    ("g *= max_norm / total", "g.reshape(-1).mul_(max_norm / total)"),
)
clips.edit(
    "view cannot flatten a transposed gradient",
    "view raises where a tensor's numbers do not lie in order, as in a transposed view. There is "
    "no need to flatten: scale the tensor as it is.",
    ("g *= max_norm / total", "g.view(-1).mul_(max_norm / total)"),
)
clips.edit(
    "vectors are not scaled",
    "You scale matrices and leave vectors as they are. Every gradient is scaled.",
    ("g *= max_norm / total", "g *= max_norm / total if g.ndim > 1 else 1.0"),
)
clips.edit(
    "the norm is cut to a whole number",
    "You return the norm without the digits after the decimal point.",
    ("return total", "return int(total)"),
)
clips.edit(
    "the largest stretch of a matrix",
    "For matrices you take the spectral norm, how far they can stretch a vector. Wanted is the "
    "root of the sum of the squares of all their numbers.",
    ("(g**2).sum().item()", "float(torch.linalg.norm(g, 2) if g.ndim == 2 else g.norm()) ** 2"),
)
clips.edit(
    "the list is returned",
    "You return the gradients. Wanted is the norm before clipping.",
    ("return total", "return gradients"),
)


# 4.3 adamw_step

adamws = Bank()


@adamws.right
def adamw_step(w, grad, m, v, step, lr, betas, eps, weight_decay):
    beta1, beta2 = betas
    w = w * (1 - lr * weight_decay)
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    m_hat = m / (1 - beta1**step)
    v_hat = v / (1 - beta2**step)
    w = w - lr * m_hat / (v_hat.sqrt() + eps)
    return w, m, v


@adamws.right
def adamw_step(w, grad, m, v, step, lr, betas, eps, weight_decay):
    new_w, new_m, new_v = w.clone(), m.clone(), v.clone()
    new_m.lerp_(grad, 1 - betas[0])
    new_v.mul_(betas[1]).addcmul_(grad, grad, value=1 - betas[1])
    size = lr / (1 - betas[0] ** step)
    denominator = (new_v.sqrt() / math.sqrt(1 - betas[1] ** step)).add_(eps)
    new_w.mul_(1 - lr * weight_decay).addcdiv_(new_m, denominator, value=-size)
    return new_w, new_m, new_v


@adamws.right
def adamw_step(w, grad, m, v, step, lr, betas, eps, weight_decay):
    b1, b2 = betas
    results = ([], [], [])
    for w_, g_, m_, v_ in zip(*(t.reshape(-1).tolist() for t in (w, grad, m, v)), strict=True):
        m_ = b1 * m_ + (1 - b1) * g_
        v_ = b2 * v_ + (1 - b2) * g_ * g_
        update = (m_ / (1 - b1**step)) / (math.sqrt(v_ / (1 - b2**step)) + eps)
        for numbers, number in zip(
            results, (w_ - lr * weight_decay * w_ - lr * update, m_, v_), strict=True
        ):
            numbers.append(number)
    return tuple(torch.tensor(numbers, dtype=w.dtype).reshape(w.shape) for numbers in results)


@adamws.right
def adamw_step(w, grad, m, v, step, lr, betas, eps, weight_decay):
    W, g = w.numpy(), grad.numpy()
    M = m.numpy() + (1 - betas[0]) * (g - m.numpy())
    V = v.numpy() + (1 - betas[1]) * (np.square(g) - v.numpy())
    direction = M / (1 - betas[0] ** step) / (np.sqrt(V / (1 - betas[1] ** step)) + eps)
    return [torch.from_numpy(a) for a in (W - lr * (direction + weight_decay * W), M, V)]


adamws.edit(
    "no bias correction",
    "You use m and v as they are. They start at 0, so the first means are too small: divide by 1 - "
    "beta^step.",
    ("m / (1 - beta1**step)", "m"),
    ("v / (1 - beta2**step)", "v"),
)
adamws.edit(
    "only m is corrected",
    "You correct m and not v. Both start at 0.",
    ("v / (1 - beta2**step)", "v"),
)
adamws.edit(
    "only v is corrected",
    "You correct v and not m. Both start at 0.",
    ("m / (1 - beta1**step)", "m"),
)
adamws.edit(
    "the correction counts from 0",
    "Your correction uses step - 1, and the first step divides by 0. step counts from 1 here.",
    ("m / (1 - beta1**step)", "m / (torch.tensor(1.0) - beta1 ** (step - 1))"),
    ("v / (1 - beta2**step)", "v / (torch.tensor(1.0) - beta2 ** (step - 1))"),
)
adamws.edit(
    "the correction is one step ahead",
    "Your correction uses step + 1. step counts from 1 already.",
    ("beta1**step", "beta1 ** (step + 1)"),
    ("beta2**step", "beta2 ** (step + 1)"),
)
adamws.edit(
    "beta times step",
    "You multiply beta by step in the correction. It is beta to the power of step.",
    ("beta1**step", "beta1 * step"),
    ("beta2**step", "beta2 * step"),
)
adamws.edit(
    "the correction does not depend on step",
    "You divide by 1 - beta at every step, which is right for the first one only.",
    ("beta1**step", "beta1"),
    ("beta2**step", "beta2"),
)
adamws.edit(
    "decay through the gradient",
    "You add weight_decay w to the gradient, as Adam with an L2 penalty does. Decoupled decay acts "
    "on w alone; m and v never see it.",
    ("w = w * (1 - lr * weight_decay)", "grad = grad + weight_decay * w"),
)
adamws.edit(
    "decay without the learning rate",
    "You take weight_decay w off. It is lr times that.",
    ("lr * weight_decay", "weight_decay"),
)
adamws.edit(
    "decay after the update",
    "You decay the weight that has been updated. The decay comes first.",
    ("w = w * (1 - lr * weight_decay)\n    ", ""),
    ("return w,", "w = w * (1 - lr * weight_decay)\n    return w,"),
)
adamws.edit(
    "no decay",
    "weight_decay has no effect in your code.",
    (" * (1 - lr * weight_decay)", ""),
)
adamws.edit(
    "the weight grows",
    "Your decay makes the weight larger. It pulls towards 0.",
    ("1 - lr * weight_decay", "1 + lr * weight_decay"),
)
adamws.edit(
    "eps inside the root",
    "You add eps to v before the root. In AdamW it is added to the root.",
    ("(v_hat.sqrt() + eps)", "(v_hat + eps).sqrt()"),
)
adamws.edit(
    "eps before the correction",
    "You add eps to the root of v and correct the sum. It is added to the root of the corrected v.",
    ("(v_hat.sqrt() + eps)", "((v.sqrt() + eps) / math.sqrt(1 - beta2**step))"),
)
adamws.edit(
    "eps is fixed",
    "You use 1e-8 whatever eps is given.",
    ("+ eps", "+ 1e-8"),
)
adamws.edit(
    "no root",
    "You divide by v. It is the mean of squares: its root has the size of a gradient.",
    ("v_hat.sqrt()", "v_hat"),
)
adamws.edit(
    "v averages the gradients",
    "Your v averages the gradients. It is the mean of their squares.",
    ("grad**2", "grad"),
)
adamws.edit(
    "v averages m squared",
    "Your v averages the squares of m. It is the mean of the squared gradients.",
    ("grad**2", "m**2"),
)
adamws.edit(
    "the betas are exchanged",
    "You use betas[1] for m and betas[0] for v.",
    ("beta1, beta2 = betas", "beta2, beta1 = betas"),
)
adamws.edit(
    "beta1 for both",
    "You use the first beta for v as well.",
    ("beta1, beta2 = betas", "beta1 = beta2 = betas[0]"),
)
adamws.edit(
    "the new gradient is not weighted",
    "You add the whole gradient to beta m. A running mean takes 1 - beta of it.",
    ("+ (1 - beta1) * grad\n", "+ grad\n"),
    ("+ (1 - beta2) * grad**2", "+ grad**2"),
)
adamws.edit(
    "the weights of old and new are exchanged",
    "You give beta to the new gradient and 1 - beta to the mean so far. It is the other way round: "
    "the mean moves slowly.",
    ("beta1 * m + (1 - beta1) * grad\n", "(1 - beta1) * m + beta1 * grad\n"),
    ("beta2 * v + (1 - beta2) * grad**2", "(1 - beta2) * v + beta2 * grad**2"),
)
adamws.edit(
    "uphill",
    "You add the update. The gradient points uphill: subtract it.",
    ("w = w - lr * m_hat", "w = w + lr * m_hat"),
)
adamws.edit(
    "the gradient instead of m",
    "Your update uses this step's gradient alone. It uses the running mean m.",
    ("lr * m_hat /", "lr * grad /"),
)
adamws.edit(
    "the old moments are used",
    "Your update uses the m and v from before this gradient. Update them first.",
    ("m_hat = m / (1", "m_hat = old[0] / (1"),
    ("v_hat = v / (1", "v_hat = old[1] / (1"),
    ("beta1, beta2 = betas", "beta1, beta2 = betas\n    old = m, v"),
)
adamws.edit(
    "the corrected moments are returned",
    "You return m and v divided by 1 - beta^step. The next step needs the running means "
    "themselves.",
    ("return w, m, v", "return w, m_hat, v_hat"),
)
adamws.edit(
    "the old moments are returned",
    "You return the m and v that came in. The next step needs the new ones.",
    ("return w, m, v", "return w, *old"),
    ("beta1, beta2 = betas", "beta1, beta2 = betas\n    old = m, v"),
)
adamws.edit(
    "only the weight is returned",
    "You return the new weight alone. The next step needs m and v too.",
    ("return w, m, v", "return w"),
)
adamws.edit(
    "results in another order",
    "You return m, v, w. The weight comes first.",
    ("return w, m, v", "return m, v, w"),
)
adamws.edit(
    "the moments are changed in place",
    "The results are right, but the m and v of the caller are overwritten.",
    ("m = beta1 * m + (1 - beta1) * grad\n", "m.mul_(beta1).add_(grad, alpha=1 - beta1)\n"),
    (
        "v = beta2 * v + (1 - beta2) * grad**2",
        "v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)",
    ),
)
adamws.edit(
    "the weight is changed in place",
    "The results are right, but the caller's w is overwritten: *= changes the tensor itself.",
    ("w = w * (1 - lr * weight_decay)", "w *= 1 - lr * weight_decay"),
)


adamws.edit(
    "m is corrected with beta2",
    "You correct both moments with beta2. m was averaged with beta1, so it is corrected with "
    "beta1.",
    ("beta1**step", "beta2**step"),
)
adamws.edit(
    "the correction is one step behind",
    "Your correction uses step - 1, at least 1. step counts from 1 already.",
    ("beta1**step", "beta1 ** max(1, step - 1)"),
    ("beta2**step", "beta2 ** max(1, step - 1)"),
)


adamws.edit(
    "eps is a lower bound",
    "You raise the root of v_hat to eps where it is smaller. eps is added to every root.",
    ("(v_hat.sqrt() + eps)", "v_hat.sqrt().clamp(min=eps)"),
)
adamws.edit(
    "decay twice",
    "The weight decays by 2 lr weight_decay. Once is enough.",
    ("lr * weight_decay", "2 * lr * weight_decay"),
)


# 4.4 parameter_groups

groups = Bank()


@groups.right
def parameter_groups(model, weight_decay):
    decaying, others = [], []
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        if p.dim() >= 2:
            decaying.append((name, p))
        else:
            others.append((name, p))
    return [
        {"params": [p for _, p in decaying], "weight_decay": weight_decay},
        {"params": [p for _, p in others], "weight_decay": 0.0},
    ]


@groups.right
def parameter_groups(model, weight_decay):
    seen = set()
    matrices, vectors = [], []
    for module in model.modules():
        for p in module.parameters(recurse=False):
            if id(p) in seen or p.requires_grad is False:
                continue
            seen.add(id(p))
            if len(p.shape) > 1:
                matrices.append(p)
            else:
                vectors.append(p)
    result = []
    if vectors:
        result.append({"params": vectors, "weight_decay": 0})
    if matrices:
        result.append({"params": matrices, "weight_decay": weight_decay})
    return result


@groups.right
def parameter_groups(model, weight_decay):
    return tuple(
        {"params": [p], "weight_decay": weight_decay * (p.ndim >= 2), "lr": 1e-3}
        for p in model.parameters()
        if p.requires_grad
    )


@groups.right
def parameter_groups(model, weight_decay):
    trainable = list(filter(lambda p: p.requires_grad, model.parameters()))
    return [
        {
            "params": (p for p in trainable if p.ndim not in (0, 1)),
            "weight_decay": weight_decay,
        },
        {"params": (p for p in trainable if p.ndim in (0, 1)), "weight_decay": 0.0},
    ]


groups.edit(
    "everything decays",
    "All your parameters decay. Biases and gains of norms, with one dimension or none, do not.",
    ("p.dim() >= 2", "True"),
)
groups.edit(
    "nothing decays",
    "Your weight_decay reaches no parameter.",
    ('"weight_decay": weight_decay', '"weight_decay": 0.0'),
)
groups.edit(
    "the groups are exchanged",
    "Your vectors decay and your matrices do not. It is the other way round.",
    ("p.dim() >= 2", "p.dim() < 2"),
)
groups.edit(
    "frozen ones are there",
    "Frozen parameters (requires_grad=False) stand in your groups. The optimizer would decay them.",
    ("not p.requires_grad", "False"),
)
groups.edit(
    "two dimensions only",
    "Only parameters with exactly two dimensions decay in your code. Those with three, as in a "
    "convolution, do as well.",
    ("p.dim() >= 2", "p.dim() == 2"),
)
groups.edit(
    "more than two dimensions",
    "Your matrices do not decay: two dimensions are enough.",
    ("p.dim() >= 2", "p.dim() > 2"),
)
groups.edit(
    "one dimension is enough",
    "Vectors decay in your code. It takes two dimensions.",
    ("p.dim() >= 2", "p.dim() >= 1"),
)
groups.edit(
    "sorted by the word bias",
    "You ask whether the name holds the word bias. The weight of a norm has one dimension and does "
    "not decay; the number of dimensions decides, not the name.",
    ("p.dim() >= 2", '"bias" not in name'),
)
groups.edit(
    "sorted by the word weight",
    "You ask whether the name ends in weight. So does a norm's, and other matrices are called "
    "otherwise: the number of dimensions decides.",
    ("p.dim() >= 2", 'name.endswith("weight")'),
)
groups.edit(
    "matrices by the name weight",
    "Of the matrices, only those called weight decay in your code. Any parameter with two "
    "dimensions and more does.",
    ("p.dim() >= 2", 'p.dim() >= 2 and name.endswith("weight")'),
)
groups.edit(
    "single rows do not decay",
    "You leave matrices with one row or one column out of the decay. The number of dimensions "
    "decides, not their sizes.",
    ("p.dim() >= 2", "p.squeeze().dim() >= 2"),
)
groups.edit(
    "tied ones twice",
    "A parameter with two names stands in your groups twice, and the optimizer refuses that.",
    ("model.named_parameters()", "model.named_parameters(remove_duplicate=False)"),
)
groups.edit(
    "the top module only",
    "You look at the parameters of the outermost module and not at those of the modules inside.",
    ("model.named_parameters()", "model.named_parameters(recurse=False)"),
)
groups.edit(
    "names instead of parameters",
    "Your groups hold names. An optimizer needs the parameters themselves.",
    ("[p for _, p in decaying]", "[n for n, _ in decaying]"),
    ("[p for _, p in others]", "[n for n, _ in others]"),
)
groups.edit(
    "copies",
    "Your groups hold copies. An optimizer would update these, and the model would learn nothing.",
    ("[p for _, p in decaying]", "[p.detach().clone() for _, p in decaying]"),
    ("[p for _, p in others]", "[p.detach().clone() for _, p in others]"),
)
groups.edit(
    "the vectors are left out",
    "You return the decaying group alone. The others are trained as well, without decay.",
    ('        {"params": [p for _, p in others], "weight_decay": 0.0},\n', ""),
)
groups.edit(
    "no decay of 0 given",
    "Your second group says nothing of weight_decay, so that it gets the optimizer's default, "
    "which is not 0. Say 0.0.",
    ('in others], "weight_decay": 0.0}', "in others]}"),
)
groups.edit(
    "a list of parameters",
    "You return two lists. An optimizer's groups are dicts with params and weight_decay.",
    (
        '{"params": [p for _, p in decaying], "weight_decay": weight_decay}',
        "[p for _, p in decaying]",
    ),
    ('{"params": [p for _, p in others], "weight_decay": 0.0}', "[p for _, p in others]"),
)


@groups.mistake(
    "equal numbers are taken for tied",
    "You leave a parameter out if another one holds the same numbers, as new biases do. Tied means "
    "one and the same tensor: compare with is, not by value.",
)
def parameter_groups(model, weight_decay):
    kept = []
    for p in model.parameters():
        if p.requires_grad and not any(torch.equal(p, other) for other in kept):
            kept.append(p)
    return [
        {"params": [p for p in kept if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in kept if p.dim() < 2], "weight_decay": 0.0},
    ]


@groups.mistake(
    "only weights of linear layers decay",
    "You let the weights of nn.Linear decay and nothing else. Embeddings, convolutions and "
    "parameters on their own do too, if they have two dimensions.",
)
def parameter_groups(model, weight_decay):
    linear = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear)}
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if id(p) in linear], "weight_decay": weight_decay},
        {"params": [p for p in trained if id(p) not in linear], "weight_decay": 0.0},
    ]


@groups.mistake(
    "embeddings do not decay",
    "You leave embeddings out of the decay. They have two dimensions, so they decay as well.",
)
def parameter_groups(model, weight_decay):
    spared = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    trained = [p for p in model.parameters() if p.requires_grad]
    decaying = [p for p in trained if p.dim() >= 2 and id(p) not in spared]
    others = [p for p in trained if p.dim() < 2 or id(p) in spared]
    return [
        {"params": decaying, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


@groups.mistake(
    "groups by their decay",
    "You keep the groups in a dict by their decay. Where weight_decay is 0 both have the same key, "
    "and the second takes the place of the first.",
)
def parameter_groups(model, weight_decay):
    trained = [p for p in model.parameters() if p.requires_grad]
    by_decay = {
        weight_decay: [p for p in trained if p.dim() >= 2],
        0.0: [p for p in trained if p.dim() < 2],
    }
    return [{"params": ps, "weight_decay": decay} for decay, ps in by_decay.items() if ps]


# 4.5 bits_per_byte

bits = Bank()


@bits.right
def bits_per_byte(loss, n_tokens, n_bytes):
    bits_per_token = loss / math.log(2)
    return bits_per_token * n_tokens / n_bytes


@bits.right
def bits_per_byte(loss, n_tokens, n_bytes):
    total_nats = loss * n_tokens
    total_bits = total_nats * math.log2(math.e)
    return total_bits / n_bytes


@bits.right
def bits_per_byte(loss, n_tokens, n_bytes):
    return float(np.log2(np.exp(loss)) * (n_tokens / n_bytes))


@bits.right
def bits_per_byte(loss, n_tokens, n_bytes):
    tokens_per_byte = torch.tensor(n_tokens / n_bytes, dtype=torch.float64)
    return (tokens_per_byte * loss / torch.log(torch.tensor(2.0))).item()


bits.edit(
    "nats per byte",
    "Your result is in nats. One nat is 1 / ln 2 bits.",
    (" / math.log(2)", ""),
)
bits.edit(
    "multiplied by ln 2",
    "You multiply by ln 2, about 0.69. A nat is more than a bit: divide.",
    ("/ math.log(2)", "* math.log(2)"),
)
bits.edit(
    "logarithm to the base 10",
    "You divide by log10(2). The loss was taken with natural logarithms.",
    ("math.log(2)", "math.log10(2)"),
)
bits.edit(
    "bits per token",
    "Your result is bits per token. Multiply by the number of tokens, divide by that of bytes.",
    (" * n_tokens / n_bytes", ""),
)
bits.edit(
    "bytes per token",
    "You multiply by n_bytes / n_tokens. The bits of all tokens are shared out among the bytes: it "
    "is the other way round.",
    ("* n_tokens / n_bytes", "* n_bytes / n_tokens"),
)
bits.edit(
    "loss taken for the sum",
    "You divide the loss by the bytes alone, as if it were the sum over the text. It is the mean "
    "over n_tokens tokens.",
    (" * n_tokens / n_bytes", " / n_bytes"),
)
bits.edit(
    "all bits of the text",
    "Your result is the bits of the whole text. Divide by its bytes.",
    (" / n_bytes", ""),
)
bits.edit(
    "bytes per byte",
    "You divide by 8 as well: that is the share of the size that is left. Bits are asked for.",
    ("/ n_bytes", "/ n_bytes / 8"),
)
bits.edit(
    "bits counted as bytes",
    "You multiply by 8. The loss divided by ln 2 is in bits already.",
    ("/ n_bytes", "/ n_bytes * 8"),
)
bits.edit(
    "whole numbers only",
    "You divide tokens by bytes with //, which rounds down, mostly to 0.",
    ("* n_tokens / n_bytes", "* (n_tokens // n_bytes)"),
)
bits.edit(
    "rounded",
    "Your result is rounded to a few digits. Return it as it is.",
    ("bits_per_token * n_tokens / n_bytes", "round(bits_per_token * n_tokens / n_bytes, 3)"),
)
bits.edit(
    "the perplexity",
    "You take exp of the loss, which gives the perplexity. Bits are the loss divided by ln 2.",
    ("loss / math.log(2)", "math.exp(loss)"),
)
bits.edit(
    "the logarithm of the loss",
    "You take the logarithm of the loss. The loss is a logarithm already: only its base changes.",
    ("loss / math.log(2)", "math.log2(loss)"),
)
bits.edit(
    "ln 2 rounded",
    "You divide by 0.69. ln 2 is 0.693147...: math.log(2) has all its digits.",
    ("math.log(2)", "0.69"),
)
bits.edit(
    "one token fewer",
    "You multiply by n_tokens - 1. n_tokens is the number of predicted tokens already.",
    ("* n_tokens", "* (n_tokens - 1)"),
)
