"""Selective fine-tuning: the last blocks learn, or the biases; everything else is frozen."""

from minigpt.selective.model import apply_selective, load_selective, save_selective

__all__ = ["apply_selective", "load_selective", "save_selective"]
