"""AdamW: the update written out, torch's fused one, and one whose state waits on the host."""

from minigpt.optim.adamw import make_optimizer, parameter_groups
from minigpt.optim.paged_adamw import PagedAdamW

__all__ = ["PagedAdamW", "make_optimizer", "parameter_groups"]
