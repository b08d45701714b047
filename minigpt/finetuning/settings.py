"""The settings of a fine-tuning run, which are checked, and each method's default recipe.

FinetuneSettings(method="lora", r=8, max_steps=300, model="base", out_dir="runs/french")
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from minigpt.config import is_number, is_whole

if TYPE_CHECKING:
    from minigpt.training.settings import TrainConfig

NF4_BLOCK_SIZE = 64


class Recipe(NamedTuple):
    """How a method is trained by default: a few new numbers need larger steps than many old ones.

    Attributes:
        paged: whether the optimizer's state stays in the host's memory (optim/paged_adamw.py).
    """

    learning_rate: float
    weight_decay: float = 0.0
    paged: bool = False


RECIPES = {
    "full": Recipe(1e-3, weight_decay=0.1),
    "lora": Recipe(2e-3),
    "qlora": Recipe(2e-3, paged=True),
    "prompt": Recipe(1e-1),
    "prefix": Recipe(1e-1),
    "bottleneck": Recipe(6e-3),
    "selective": Recipe(2e-3),
}
BIASES_RATE = 2e-2  # of selective with biases_only
IN_PLACE = ("full", "selective")  # train what the model has; the others add to it

# These settings decide what is learnt, besides those that the training loop itself compares.
DECISIVE = (
    *("model", "method", "r", "alpha", "lora_dropout", "target_modules", "gate"),
    *("nf4_block_size", "double_quant", "n_tokens", "init_text", "reparametrize", "bottleneck"),
    *("last_blocks", "biases_only"),
    *("all_wordings", "rehearse"),
)
OR_NONE = ("reparametrize", "last_blocks", "row_length")  # whole numbers, which may be left out


@dataclass(frozen=True)
class FinetuneSettings:
    """The settings of a fine-tuning run. The defaults are those of `minigpt finetune`.

    Attributes:
        method: "full", "lora", "qlora", "prompt", "prefix", "bottleneck" or "selective".
        r, alpha, lora_dropout: rank, scale and dropout of the adapters of lora and qlora.
        target_modules: names of the linear layers that get an adapter.
        nf4_block_size: how many weights share a scale in qlora; None is 64, or the block size of a
            model that is in 4 bits already.
        double_quant: whether qlora stores the scales in 8 bits; None is yes, or as that model does.
        n_tokens: number of virtual tokens of prompt and prefix.
        init_text: the text that the virtual tokens start as; "" for random numbers.
        reparametrize: hidden width of a network that makes the prefix; None for no network. The
            network needs a learning rate near 0.01.
        gate: whether a prefix stands beside the text, with a gate for each head.
        bottleneck: width of a bottleneck.
        last_blocks: how many blocks learn in selective, with the final norm; None is 1, or all of
            them with biases_only.
        biases_only: whether only their biases do.
        max_steps: the largest number of updates.
        batch_size: rows a step; None takes about 1,024 tokens, at least 4 rows.
        micro_batch_size: rows in one forward pass; None takes all of them.
        learning_rate: the highest learning rate; None is the method's own (RECIPES).
        eval_every: steps between validations; None is an eighth of max_steps.
        early_stopping: stop after this many validations in a row without a lower loss, and keep
            the weights of the lowest; 0 does neither.
        row_length: tokens in a row of examples; None chooses it by the examples' lengths.
        all_wordings: train with every wording of the prompts, not with the first alone.
        rehearse: share of rows that hold pretraining text, against forgetting.
        dropout: the model's dropout rate in training.
        gradient_checkpointing: compute each block twice and store less; the steps are the same.
        seed: the seed of new parameters, of the order of the rows and of dropout.
        device, dtype, parallel, resume, progress: as in TrainConfig.
        model: name or folder that the model was loaded from. It is needed with out_dir, because
            what is saved there is loaded on top of that model.
        out_dir: folder for the run and what was trained; None writes nothing.

    Raises:
        ValueError: a value is out of range; the error says which and what is allowed.
    """

    method: str = "full"
    r: int = 12
    alpha: float = 128.0
    lora_dropout: float = 0.0
    target_modules: tuple[str, ...] = ("c_attn", "c_proj", "c_fc")
    nf4_block_size: int | None = None
    double_quant: bool | None = None
    n_tokens: int = 20
    init_text: str = ""
    reparametrize: int | None = None
    gate: bool = False
    bottleneck: int = 16
    last_blocks: int | None = None
    biases_only: bool = False
    max_steps: int = 500
    batch_size: int | None = None
    micro_batch_size: int | None = None
    learning_rate: float | None = None
    eval_every: int | None = None
    early_stopping: int = 3
    row_length: int | None = None
    all_wordings: bool = False
    rehearse: float = 0.0
    dropout: float = 0.0
    gradient_checkpointing: bool = False
    seed: int = 1337
    device: str | None = None
    dtype: str = "auto"
    parallel: str = "auto"
    model: str | None = None
    out_dir: str | Path | None = None
    resume: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        if self.method not in RECIPES:
            raise ValueError(f"method must be one of {', '.join(RECIPES)}, got {self.method!r}")
        for name in ("r", "n_tokens", "bottleneck", *OR_NONE):
            value = getattr(self, name)
            if value is None and name in OR_NONE:
                continue
            if not is_whole(value) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value}")
        if not is_number(self.alpha) or self.alpha <= 0:
            raise ValueError(f"alpha must be above 0, got {self.alpha!r:.40}")
        for name in ("lora_dropout", "rehearse", "dropout"):
            value = getattr(self, name)
            if not is_number(value) or not 0 <= value < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {value!r:.40}")
        if self.method == "prefix" and self.init_text and self.reparametrize:
            raise ValueError(
                "init_text cannot be given along with reparametrize, since the network makes what "
                f"the text would set; leave one out, got {self.init_text!r} and "
                f"{self.reparametrize}"
            )
        if self.out_dir is not None and self.model is None:
            raise ValueError(
                f"out_dir={str(self.out_dir)!r} needs model=..., the name or folder that the model "
                "was loaded from, so that what is saved can be loaded again"
            )
        self.train_config(1 if self.batch_size is None else self.batch_size)

    def train_config(self, batch_size: int) -> TrainConfig:
        """Returns the settings of the training loop; raises ValueError as TrainConfig does."""
        from minigpt.training.settings import TrainConfig  # loads torch

        recipe = RECIPES[self.method]
        if self.method == "selective" and self.biases_only:
            recipe = recipe._replace(learning_rate=BIASES_RATE)
        eval_every = self.eval_every
        if eval_every is None:
            eval_every = max(1, self.max_steps // 8)
        return TrainConfig(
            max_steps=self.max_steps,
            batch_size=batch_size,
            micro_batch_size=self.micro_batch_size,
            learning_rate=(
                recipe.learning_rate if self.learning_rate is None else self.learning_rate
            ),
            min_learning_rate=0.0,
            warmup_steps=self.max_steps // 20,
            weight_decay=recipe.weight_decay,
            paged=recipe.paged and self.parallel != "fsdp",  # FSDP already splits the state
            betas=(0.9, 0.98),
            eval_every=eval_every,
            checkpoint_every=eval_every,
            early_stopping=self.early_stopping,
            seed=self.seed,
            device=self.device,
            dtype=self.dtype,
            parallel=self.parallel,
            out_dir=self.out_dir,
            resume=self.resume,
            progress=self.progress,
        )

    def decisive(self) -> dict[str, Any]:
        """Returns the settings, by name, in which a resumed run must not differ from its start."""
        return {name: getattr(self, name) for name in DECISIVE}

    def as_json(self) -> dict[str, Any]:
        """Returns all settings but resume and progress, as values that JSON can hold."""
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self).items()
            if name not in ("resume", "progress")
        }
