"""Fine-tuning by any method, through one function.

    model, encoding = load_pretrained("base")
    result = finetune(model, encoding, ["translation"], FinetuneSettings(method="lora"))

Importing this package does not load torch, so that the command can show its options at once.
"""

from typing import TYPE_CHECKING, Any

from minigpt.finetuning.settings import FinetuneSettings

if TYPE_CHECKING:
    from minigpt.finetuning.run import FinetuneResult, finetune

__all__ = ["FinetuneResult", "FinetuneSettings", "finetune"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from minigpt.finetuning import run

    return getattr(run, name)
