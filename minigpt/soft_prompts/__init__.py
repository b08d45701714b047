"""Soft prompts: trained vectors, or keys and values, that stand before every text."""

from minigpt.soft_prompts.model import (
    apply_prefix_tuning,
    apply_prompt_tuning,
    load_soft_prompt,
    nearest_tokens,
    remove_soft_prompts,
    save_soft_prompt,
    set_soft_prompt,
)
from minigpt.soft_prompts.search import search_prompt

__all__ = [
    "apply_prefix_tuning",
    "apply_prompt_tuning",
    "load_soft_prompt",
    "nearest_tokens",
    "remove_soft_prompts",
    "save_soft_prompt",
    "search_prompt",
    "set_soft_prompt",
]
