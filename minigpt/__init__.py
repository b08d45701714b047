"""minigpt: a GPT-2 decoder and what a course on fine-tuning language models builds around it.

Start reading at minigpt/model.py, or run `minigpt course`. The names below are imported when they
are first asked for, so that `minigpt --help` need not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minigpt.config import GPTConfig, count_parameters
    from minigpt.model import GPT
    from minigpt.pretrained.folders import load_gpt2, load_pretrained, save_gpt2, save_pretrained
    from minigpt.tokenizer import gpt2_encoding, load_encoding, save_encoding, train_bpe

__version__ = "0.2.0"

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

_HOMES = {
    "GPT": "model",
    **dict.fromkeys(("GPTConfig", "count_parameters"), "config"),
    **dict.fromkeys(("gpt2_encoding", "load_encoding", "save_encoding", "train_bpe"), "tokenizer"),
    **dict.fromkeys(
        ("load_gpt2", "load_pretrained", "save_gpt2", "save_pretrained"), "pretrained.folders"
    ),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"minigpt.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
