"""AdamW that keeps its moments in the host's memory and brings them to the GPU only to update them.

    optimizer = PagedAdamW(parameters, lr=1e-4)
    ...
    loss.backward()
    optimizer.step()

AdamW keeps two moments beside every trained weight. They are half of the 16 bytes a number that
training in float32 takes (weight, gradient, two moments), but are used only once a step. Here they
stay in pinned host memory (pages that the operating system may not move, so that the GPU's copy
engines can reach them). A step takes them through the GPU in buckets: while one bucket is updated,
the next is copied in and the one before is copied out (paging.py).

The cost is 16 bytes over the bus for each trained float32 number and step, 8 in and 8 out (half of
that in 16-bit formats). PCIe 4.0 moves about 25 GB/s each way and PCIe 5.0 about 55, so for GPT-2
XL (1.56 billion numbers, 12.5 GB of moments) a step takes at least 0.5 or 0.23 s longer, whatever
the batch. The GPU needs two buffers, 64 MiB in float32, and only during the step. On the host torch
rounds each pinned tensor up to a power of two bytes, which may take up to twice the moments' size.

It pays where the moments are what does not fit: in full fine-tuning, with large batches over which
the fixed time is spread. LoRA trains about one weight in a hundred, so there is little to save.

The paged optimizers of bitsandbytes (Dettmers et al. 2023, "QLoRA", section 3) work differently:
they allocate the moments with cudaMallocManaged, and the driver moves pages to the GPU when they
are touched or prefetched, and back when the GPU is full. That costs nothing as long as everything
fits; after that the driver decides what moves and when. Here the moments always travel and never
occupy the GPU, which is slower when memory is plentiful but predictable when it is not.

The figures above are calculated, and this code has not run on a GPU: the tests run it on a CPU with
simulated streams, which do their work in any order that the events allow.

Sources: Loshchilov and Hutter 2019 (AdamW); Rajbhandari et al. 2021, "ZeRO-Infinity"
(the optimizer's state outside the GPU, moved in overlapping chunks).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from minigpt.config import is_number
from minigpt.optim.paging import Bucket, Piece, cut, into_buckets, open_queues, stream_through

MOMENTS = ("exp_avg", "exp_avg_sq")


def is_paged(parameter: Tensor) -> bool:
    """Returns whether the parameter's moments are kept on the host, as those of a GPU's are."""
    return parameter.is_cuda


class PagedAdamW(torch.optim.AdamW):
    """torch.optim.AdamW, with the moments of a GPU's parameters in the host's memory (see above).

    The update is torch's own fused one, on flat pieces of the parameters. Moments have the number
    format of their parameter, as in torch, and the state_dict() of either class loads into the
    other. Parameters on a CPU are updated in place and whole, as by AdamW(..., fused=True), bit for
    bit.

    Args:
        params: parameters, or dicts {"params": [...], "lr": ..., "weight_decay": ...}, as in torch.
        lr, betas, eps, weight_decay: as in torch; adamw_step shows the whole update.

    Attributes:
        bucket_size: how many numbers a bucket holds; copies of a few MB reach the bus's full speed.

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
            raise TypeError("PagedAdamW needs a list of parameters, got one tensor; put it in [ ]")
        listed: list[Any] = list(params)
        if listed:
            super().__init__(listed, lr, betas, eps, weight_decay, fused=True)
        if not listed or not any(group["params"] for group in self.param_groups):
            raise ValueError(
                "there is nothing to train: PagedAdamW was given no parameters; pass those of the "
                "model with requires_grad=True"
            )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds one more group of parameters, with settings of its own, as in torch.

        Raises:
            ValueError, TypeError: as the class.
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
        """Updates every parameter that has a gradient once; returns what closure does, if any.

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
                        f"{list(p.shape)}; make the embedding with sparse=False"
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
        """Runs torch's fused AdamW, with the grad_scale and found_inf of a torch.amp.GradScaler."""
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
        """Loads the state of a PagedAdamW or torch.optim.AdamW; the moments stay on the host.

        torch's own method would first put all of them on the parameters' device.

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
    """Returns AdamW's state of a parameter, new or as saved, on the devices where it belongs.

    The step counter, 4 bytes, stays on the parameter's device, where the update reads it.
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
    """Checks that the settings of a group of parameters are in range.

    Raises:
        ValueError: one is not; the error says which and what is allowed.
    """
    for name in ("lr", "eps", "weight_decay"):
        value = settings[name]
        if not is_number(value) or value < 0:
            raise ValueError(f"{name} must be at least 0 and finite, got {value!r:.40}")
    betas = settings["betas"]
    if len(betas) != 2 or not all(0.0 <= beta < 1.0 for beta in betas):
        raise ValueError(f"betas must be two numbers from 0 to below 1, got {betas}")
    if settings.get("amsgrad"):
        raise ValueError("PagedAdamW keeps two moments and no maximum: amsgrad must be False")


def check_parameter(parameter: Tensor) -> None:
    """Checks that a parameter can be trained; the fused update would write into gaps in its memory.

    Raises:
        ValueError: it cannot.
    """
    shape = list(parameter.shape)
    if parameter.is_complex():
        raise ValueError(
            f"PagedAdamW was given complex numbers ({parameter.dtype}, shape {shape}); train "
            "torch.view_as_real of them instead"
        )
    if not parameter.requires_grad:
        raise ValueError(
            f"PagedAdamW was given a frozen parameter of shape {shape}; leave it out, or set "
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
            f"{shape} with strides {parameter.stride()}; train parameter.contiguous() instead"
        )
