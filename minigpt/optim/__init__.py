"""AdamW: the update written out, torch's fused form, and one that keeps its state on the host."""

from minigpt.optim.adamw import adamw_step, make_optimizer, parameter_groups
from minigpt.optim.paged_adamw import PagedAdamW

__all__ = ["PagedAdamW", "adamw_step", "make_optimizer", "parameter_groups"]
