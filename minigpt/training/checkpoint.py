"""Saving a training run so that nothing can break it, and taking it up again.

A checkpoint is two files in the run's folder:

    checkpoint.json          how far the run is, and which tensor file belongs to it
    tensors-0.safetensors    weights and optimizer moments (the next one goes to tensors-1, the one
                             after that to tensors-0 again); under "best.", a copy of the weights of
                             the lowest validation loss, if the run keeps one (result.py)

The tensor file that checkpoint.json does not name is free to be written. Once it is complete and on
the disk, a new checkpoint.json that names it replaces the old one in a single step (os.replace is
atomic: POSIX rename). Whoever looks, at whatever moment the power fails, finds either the earlier
checkpoint whole or the later one. Databases call that line of JSON the commit record.

safetensors holds numbers and nothing else, so that, unlike a pickle, a checkpoint from a stranger
cannot run a program when it is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from minigpt.files.atomic import write_atomically, write_text
from minigpt.files.json_objects import read_json_object
from minigpt.files.schema import Anything, MapOf, Object, OneOf, Switch, check
from minigpt.files.tensors import check_finite
from minigpt.training.distributed import gather_full, is_first_process, shard_like

COMMIT_RECORD = "checkpoint.json"
TENSOR_FILES = ("tensors-0.safetensors", "tensors-1.safetensors")
RECORD = Object(
    {
        "tensors": OneOf(*TENSOR_FILES),
        "trainable_only": Switch(),
        "progress": MapOf(Anything()),  # run_folder.py knows what is in it
    }
)


def save_checkpoint(
    folder: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    progress: dict[str, Any],
    trainable_only: bool = False,
    best: Mapping[str, Tensor] | None = None,
) -> None:
    """Writes model, optimizer and progress into folder, in place of the checkpoint there.

    Under FSDP every process must call this; the slices are put together and rank 0 writes.

    Args:
        progress: whatever load_checkpoint should give back; must be JSON.
        trainable_only: leave out frozen weights. The checkpoint of a LoRA run is then small, and
            loads into a model that already holds the frozen weights.
        best: by parameter name, the trainable weights that load_best should give back.

    Raises:
        NotFiniteError: a weight or a moment is NaN or infinite, with which no run can go on.
        OSError: the files cannot be written. In both cases the checkpoint that was there is whole.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in {
        **model_tensors(model, trainable_only),
        **(optimizer_tensors(model, optimizer) if optimizer else {}),
        **{f"best.{name}": weight for name, weight in (best or {}).items()},
    }.items():
        full = gather_full(tensor.detach())
        if is_first_process():
            tensors[name] = full.cpu().contiguous()
    if not is_first_process():
        return

    folder = Path(folder)
    check_finite(numbers_of(model, tensors), f"no checkpoint can be saved in {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    current = read_commit_record(folder)["tensors"] if has_checkpoint(folder) else None
    free, used = TENSOR_FILES if current != TENSOR_FILES[0] else TENSOR_FILES[::-1]
    record = {"tensors": free, "trainable_only": trainable_only, "progress": progress}
    text = json.dumps(record)

    write_atomically(folder / free, lambda path: save_file(tensors, path))
    write_text(folder / COMMIT_RECORD, text)
    (folder / used).unlink(missing_ok=True)


def load_checkpoint(
    folder: str | Path, model: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> dict[str, Any]:
    """Puts the checkpoint in folder into model and optimizer, and returns its progress.

    Everything is compared before anything is changed: on an error the model is as it was.

    Raises:
        FileNotFoundError: there is no checkpoint in folder.
        ValueError: a file is damaged, or does not belong to this model; names the first difference.
    """
    path, record, tensors = _read_tensors(Path(folder))
    expected = model_tensors(model, record["trainable_only"])
    saved = {name: tensor for name, tensor in tensors.items() if name.startswith("model.")}
    moments = {name: tensor for name, tensor in tensors.items() if name.startswith("optimizer.")}
    compare_tensors(path, saved, expected)
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    _compare_moments(path, moments, trainable)
    check_finite(numbers_of(model, tensors), f"{path} is damaged")

    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(shard_like(tensor, saved[name]))
    if optimizer is not None:
        _load_moments(optimizer, moments, trainable)
    progress: dict[str, Any] = record["progress"]
    return progress


def load_best(folder: str | Path, model: nn.Module) -> dict[str, Tensor]:
    """Returns the weights of the lowest validation loss that the checkpoint in folder keeps.

    Returns:
        by parameter name, on the device of model and in its slices; {} if it keeps none.

    Raises:
        FileNotFoundError, ValueError: as load_checkpoint.
    """
    path, _, tensors = _read_tensors(Path(folder))
    saved = {name: tensor for name, tensor in tensors.items() if name.startswith("best.")}
    if not saved:
        return {}
    trainable = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    compare_tensors(path, saved, {f"best.{name}": tensor for name, tensor in trainable.items()})
    check_finite(saved, f"{path} is damaged")
    return {
        # A copy: Windows removes no file that a tensor still lies in, as this one will be.
        name: shard_like(tensor, saved[f"best.{name}"].to(tensor.device, copy=True))
        for name, tensor in trainable.items()
    }


def has_checkpoint(folder: str | Path) -> bool:
    """Returns whether folder holds a checkpoint."""
    return (Path(folder) / COMMIT_RECORD).exists()


def read_commit_record(folder: str | Path) -> dict[str, Any]:
    """Returns what checkpoint.json says: {"tensors": file, "trainable_only": ..., "progress": ...}.

    Raises:
        FileNotFoundError: there is no checkpoint in folder.
        ValueError: the file is damaged.
    """
    path = Path(folder) / COMMIT_RECORD
    try:
        record = read_json_object(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no checkpoint in {folder}: no {path.name}") from None
    check(record, RECORD, path)
    return record


def _read_tensors(folder: Path) -> tuple[Path, dict[str, Any], dict[str, Tensor]]:
    """Returns the checkpoint's tensor file, the record that names it, and the tensors in it."""
    record = read_commit_record(folder)
    path = folder / record["tensors"]
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: {folder / COMMIT_RECORD} names it")
    try:
        return path, record, load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} is cut short or damaged ({error}); restore it from a copy, or start again in "
            "another folder"
        ) from None


def model_tensors(model: nn.Module, trainable_only: bool = False) -> dict[str, Tensor]:
    """Returns all weights and buffers as "model.NAME"; a weight with two names by the first."""
    parameters = dict(model.named_parameters())
    every_name = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    second_names = every_name - parameters.keys()
    return {
        f"model.{name}": tensor
        for name, tensor in model.state_dict().items()
        if name not in second_names
        and (not trainable_only or (name in parameters and parameters[name].requires_grad))
    }


def numbers_of(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a checkpoint's tensors without the buffers, which may hold -inf, as masks do."""
    buffers = {f"model.{name}" for name, _ in model.named_buffers()}
    return {name: tensor for name, tensor in tensors.items() if name not in buffers}


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Returns what the optimizer remembers of each parameter as "optimizer.exp_avg.NAME" etc."""
    return {
        f"optimizer.{kind}.{name}": value
        for name, parameter in model.named_parameters()
        for kind, value in sorted(optimizer.state.get(parameter, {}).items())
    }


def compare_tensors(path: Path, saved: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Makes sure that a file holds exactly the expected names, shapes and number formats.

    Raises:
        ValueError: they differ; names the first tensor that does.
    """
    for name, tensor in expected.items():
        if name not in saved:
            raise ValueError(f"{path} is of another model: it has no tensor {name}")
        found = (list(saved[name].shape), saved[name].dtype)
        if found != (list(tensor.shape), tensor.dtype):
            raise ValueError(
                f"{path} is of another model: {name} has shape {found[0]} and dtype {found[1]} "
                f"there, {list(tensor.shape)} and {tensor.dtype} here"
            )
    for name in saved:
        if name not in expected:
            raise ValueError(f"{path} is of another model: this one has no tensor {name}")


def _compare_moments(path: Path, moments: dict[str, Tensor], trainable: dict[str, Any]) -> None:
    """Raises ValueError unless the moments are those of trainable parameters, and all of theirs."""
    kinds: dict[str, set[str]] = {}
    for key, value in moments.items():
        kind, _, name = key.removeprefix("optimizer.").partition(".")
        if name not in trainable:
            raise ValueError(f"{path} is of another run: {name} was trained there, not here")
        shape = torch.Size() if kind == "step" else trainable[name].shape
        if value.shape != shape or not value.is_floating_point():
            raise ValueError(
                f"{path} is damaged: {key} is {value.dtype} of shape {list(value.shape)}, and for "
                f"its parameter should be floating point of shape {list(shape)}"
            )
        kinds.setdefault(name, set()).add(kind)
    every = set().union(*kinds.values())
    for name, found in kinds.items():
        for kind in sorted(every - found):
            raise ValueError(f"{path} is damaged: it has no optimizer.{kind}.{name}")


def _load_moments(
    optimizer: torch.optim.Optimizer, moments: dict[str, Tensor], trainable: dict[str, Any]
) -> None:
    """Fills the optimizer's state: torch numbers parameters in the order of the groups."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    number = {parameter: i for i, parameter in enumerate(parameters)}
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in moments.items():
        _, kind, name = key.split(".", 2)
        parameter = trainable[name]
        value = value.clone()  # own memory, aligned as torch aligns it
        kept = value if kind == "step" else shard_like(parameter, value)
        state.setdefault(number[parameter], {})[kind] = kept
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
