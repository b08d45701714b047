"""AdamW whose moments live in the host's memory and visit the GPU for their update only.

    optimizer = PagedAdamW(parameters, lr=1e-4)
    ...
    loss.backward()
    optimizer.step()

AdamW keeps two moments beside every trained weight: half of the 16 bytes a number that training in
float32 takes (weight, gradient, two moments), used once a step and idle the rest of the time. Here
they lie in pinned host memory (pages the operating system may not move, so that the GPU's copy
engines can reach them). A step takes them through the GPU in buckets, and while one bucket is
updated the next is on its way in and the one before on its way out (paging.py).

What it costs: 16 bytes over the bus per trained float32 number and step, 8 in and 8 out (half of it
in 16-bit formats). PCIe 4.0 moves about 25 GB/s each way and PCIe 5.0 about 55, so for GPT-2 XL
(1.56 billion numbers, 12.5 GB of moments) a step takes at least 0.5 or 0.23 s longer, whatever the
batch. On the GPU two buffers stay, 64 MiB in float32, and only during the step. On the host torch
rounds each pinned tensor up to a power of two bytes, so it may take up to twice the moments' size.

When it pays: where the moments are what does not fit, so in full fine-tuning, with large batches to
spread the fixed time over. LoRA trains about one weight in a hundred; there is little to save.

How others do it: the paged optimizers of bitsandbytes (Dettmers et al. 2023, "QLoRA", section 3)
allocate the moments with cudaMallocManaged. The driver moves their pages to the GPU when they are
asked for or touched, and back when the GPU is full. That costs nothing as long as everything fits;
after that the driver decides what moves and when. Here the moments always travel and their place on
the GPU is always free: slower when memory is plenty, foreseeable when it is not.

Not run on a GPU yet. What the tests run on a CPU is this code with streams that the tests simulate,
which do their work in any order that the events allow. The figures above are worked out.

Sources: Loshchilov and Hutter 2019 (AdamW); Rajbhandari et al. 2021, "ZeRO-Infinity"
(the optimizer's state outside the GPU, moved in overlapping chunks).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from minigpt.optim.paging import Bucket, Piece, cut, into_buckets, open_queues, stream_through

MOMENTS = ("exp_avg", "exp_avg_sq")


def is_paged(parameter: Tensor) -> bool:
    """Whether the parameter's moments live elsewhere than the parameter: only a GPU needs that."""
    return parameter.is_cuda


class PagedAdamW(torch.optim.AdamW):
    """torch.optim.AdamW with the moments of parameters on a GPU in the host's memory (see above).

    The update is torch's own fused one, on flat pieces of the parameters. Moments have the number
    format of their parameter, as in torch. state_dict() of either loads into the other. Parameters
    on a CPU are updated in place and whole: there this is AdamW(..., fused=True), bit for bit.

    Args:
        params: parameters, or dicts {"params": [...], "lr": ..., "weight_decay": ...}, as in torch.
        lr, betas, eps, weight_decay: as in torch; adamw_step is the update in full.

    Attributes:
        bucket_size: how many numbers a bucket holds. Copies of a few MB reach the bus's full speed.

    Raises:
        ValueError: there is no parameter, one is frozen, complex or cannot be cut, or a number is
            out of range.
        TypeError: params is a single tensor.
    """

    bucket_size = 2**22

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        check_settings({"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        if isinstance(params, Tensor):
            raise TypeError("PagedAdamW needs a list of parameters, got one tensor: put it in [ ]")
        listed: list[Any] = list(params)
        if listed:
            super().__init__(listed, lr, betas, eps, weight_decay, fused=True)
        if not listed or not any(group["params"] for group in self.param_groups):
            raise ValueError(
                "there is nothing to train: PagedAdamW was given no parameters; pass those of the "
                "model with requires_grad=True"
            )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As in torch: one more group of parameters, with settings of its own.

        Raises:
            ValueError: as the class.
        """
        check_settings({**self.defaults, **param_group})
        super().add_param_group(param_group)
        try:
            for parameter in self.param_groups[-1]["params"]:
                check_parameter(parameter)
        except ValueError:
            del self.param_groups[-1]
            raise

    @torch.no_grad()
    def step(  # type: ignore[override]  # torch spells the same out as two overloads
        self, closure: Callable[[], float] | None = None
    ) -> float | None:
        """One update of every parameter that has a gradient; returns what closure does, if any.

        When it returns, the moments on the host are those after the update.

        Raises:
            ValueError: a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        paged: dict[Any, list[Bucket]] = defaultdict(list)
        for group in self.param_groups:
            whole: list[Piece] = []
            pieces: dict[Any, list[Piece]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.grad.layout != torch.strided:
                    raise ValueError(
                        "PagedAdamW cannot use a sparse gradient, got one of shape "
                        f"{list(p.shape)}: make the embedding with sparse=False"
                    )
                state = self.state[p] = self.state.get(p) or new_state(p)
                if is_paged(p):
                    pieces[p.device, p.dtype] += cut(p, state, self.bucket_size)
                else:
                    whole.append(Piece(p, p.grad, **state))
            if whole:
                self._update(Bucket.of(group, whole))
            for kind, those in pieces.items():
                paged[kind] += into_buckets(group, those, self.bucket_size)
        for (device, _), buckets in paged.items():
            stream_through(buckets, open_queues(device), self._update)
        return loss

    def _update(self, bucket: Bucket) -> None:
        """torch's fused AdamW; a torch.amp.GradScaler leaves its scale and its finding in self."""
        beta1, beta2 = bucket.group["betas"]
        adamw(
            bucket.weights,
            bucket.gradients,
            bucket.exp_avgs,
            bucket.exp_avg_sqs,
            [],
            bucket.steps,
            fused=True,
            grad_scale=getattr(self, "grad_scale", None),
            found_inf=getattr(self, "found_inf", None),
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=bucket.group["lr"],
            weight_decay=bucket.group["weight_decay"],
            eps=bucket.group["eps"],
            maximize=bucket.group["maximize"],
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the state of a PagedAdamW or torch.optim.AdamW; the moments stay on the host.

        torch's own way would first put all of them on the parameters' device.

        Raises:
            ValueError: the state is of another optimizer or of other parameters.
        """
        for group in state_dict["param_groups"]:
            if missing := sorted({"lr", "betas", "eps", "weight_decay"} - group.keys()):
                raise ValueError(
                    f"the state to load is not AdamW's: its groups have no {', '.join(missing)}"
                )
            check_settings(group)
        numbers = [i for group in state_dict["param_groups"] for i in group["params"]]
        parameters = [p for group in self.param_groups for p in group["params"]]
        states = {
            parameter: new_state(parameter, state_dict["state"][i])
            for i, parameter in zip(numbers, parameters, strict=False)  # torch compares the lengths
            if state_dict["state"].get(i)
        }
        super().load_state_dict({**state_dict, "state": {}})
        self.state.update(states)
        for group in self.param_groups:
            group.update(fused=True, foreach=None)


def new_state(parameter: Tensor, saved: dict[str, Any] | None = None) -> dict[str, Tensor]:
    """What AdamW remembers of a parameter, at the start or as saved, where it belongs.

    The count of steps stays with the parameter, whose update reads it: 4 bytes.
    """
    step = torch.zeros((), dtype=torch.float32, device=parameter.device)
    on_host = {"device": "cpu", "pin_memory": parameter.is_cuda}
    place: dict[str, Any] = on_host if is_paged(parameter) else {}
    state = {"step": step, **{name: torch.zeros_like(parameter, **place) for name in MOMENTS}}
    if saved is None:
        return state
    if saved.keys() != state.keys():
        raise ValueError(
            f"the state to load is not AdamW's: it has {', '.join(sorted(saved))} of a parameter, "
            f"not {', '.join(sorted(state))}"
        )
    state["step"].fill_(float(saved["step"]))
    for name in MOMENTS:
        if saved[name].shape != parameter.shape:
            raise ValueError(
                f"the state to load is of other parameters: {name} has shape "
                f"{list(saved[name].shape)}, the parameter {list(parameter.shape)}"
            )
        state[name].copy_(saved[name])
    return state


def check_settings(settings: dict[str, Any]) -> None:
    """Whether the numbers of a group of parameters are in range.

    Raises:
        ValueError: one is not; says which and what is allowed.
    """
    for name in ("lr", "eps", "weight_decay"):
        if not 0.0 <= settings[name] < math.inf:
            raise ValueError(f"{name} must be at least 0 and finite, got {settings[name]}")
    betas = settings["betas"]
    if len(betas) != 2 or not all(0.0 <= beta < 1.0 for beta in betas):
        raise ValueError(f"betas must be two numbers from 0 to below 1, got {betas}")
    if settings.get("amsgrad"):
        raise ValueError("PagedAdamW keeps two moments and no maximum: amsgrad must be False")


def check_parameter(parameter: Tensor) -> None:
    """Whether a parameter can be trained; torch's fused update would write into gaps of its memory.

    Raises:
        ValueError: it cannot.
    """
    shape = list(parameter.shape)
    if parameter.is_complex():
        raise ValueError(
            f"PagedAdamW was given complex numbers ({parameter.dtype}, shape {shape}): train "
            "torch.view_as_real of them instead"
        )
    if not parameter.requires_grad:
        raise ValueError(
            f"PagedAdamW was given a frozen parameter of shape {shape}: leave it out, or set "
            "requires_grad=True on it"
        )
    if is_paged(parameter) and hasattr(parameter, "full_tensor"):
        raise ValueError(
            f"PagedAdamW cannot page a parameter that FSDP has sliced (shape {shape}): FSDP shares "
            "the moments out over the processes already; train with paged=False"
        )
    steps = zip(parameter.shape, parameter.stride(), strict=True)
    if parameter.numel() not in (0, 1 + sum((n - 1) * stride for n, stride in steps)):
        raise ValueError(
            "PagedAdamW can only update a parameter that fills its memory without gaps, got shape "
            f"{shape} with strides {parameter.stride()}: train parameter.contiguous() instead"
        )
