"""How a run computes: what its processor was found to be fast at when the run began.

    {"dtype": "float32", "products": "onednn"}

Every way rounds in its own order. So that a run that is resumed repeats one that was not, bit for
bit, its checkpoint keeps the ways, and they are not chosen again: not on another day, nor on
another processor. All processes of a run compute in the ways of the first.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from minigpt.device import DTYPES, autocast_dtype
from minigpt.fast.linear import HAS_ONEDNN, ONEDNN, PLAIN, choose_products
from minigpt.files.schema import Object, OneOf
from minigpt.training.distributed import Processes
from minigpt.training.settings import TrainConfig

FIELDS = Object({"dtype": OneOf(*DTYPES), "products": OneOf(PLAIN, ONEDNN)}, closed=True)


def choose_ways(
    model: nn.Module,
    config: TrainConfig,
    processes: Processes,
    earlier: Mapping[str, str],
    n_tokens: int,
) -> dict[str, str]:
    """Returns the ways in which a run computes: the earlier ones, if it is resumed.

    Args:
        n_tokens: in a forward pass of one process.

    Raises:
        ValueError: the run began with oneDNN, which this torch lacks.
    """
    if earlier:
        if earlier["products"] == ONEDNN and not HAS_ONEDNN:
            raise ValueError(
                f"the run in {config.out_dir} multiplies by oneDNN, which torch "
                f"{torch.__version__} lacks here; resume it with a torch that has it, or start "
                "anew in another folder"
            )
        return dict(earlier)
    width = getattr(getattr(model, "config", None), "n_embd", 256)
    dtype = autocast_dtype(processes.device, config.dtype, width)
    on_cpu = processes.device.type == "cpu"
    plain = dtype != torch.float32 or not on_cpu or config.compile
    ways = {
        "dtype": str(dtype).removeprefix("torch."),
        "products": PLAIN if plain else choose_products(width, n_tokens),
    }
    return processes.that_of_the_first(ways)
