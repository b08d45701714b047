"""minigpt: a GPT-2 decoder and what a course on fine-tuning language models builds around it.

Start reading at minigpt/model.py, or run `minigpt course`.
"""

__version__ = "0.2.0"

from minigpt.config import GPTConfig, count_parameters
from minigpt.fast import threads as thread_wait  # noqa: F401 (before torch, see there)
from minigpt.model import GPT
from minigpt.pretrained.folders import load_gpt2, load_pretrained, save_gpt2, save_pretrained
from minigpt.tokenizer import gpt2_encoding, load_encoding, save_encoding, train_bpe

__all__ = [
    "GPT",
    "GPTConfig",
    "count_parameters",
    "gpt2_encoding",
    "load_encoding",
    "load_gpt2",
    "load_pretrained",
    "save_encoding",
    "save_gpt2",
    "save_pretrained",
    "train_bpe",
]
