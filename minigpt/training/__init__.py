"""One training loop for pretraining and every way of fine-tuning, and what lets a run survive."""

from minigpt.training.interrupt import TrainingInterrupted
from minigpt.training.loop import TrainingDivergedError, train
from minigpt.training.result import TrainResult
from minigpt.training.settings import TrainConfig

__all__ = ["TrainConfig", "TrainResult", "TrainingDivergedError", "TrainingInterrupted", "train"]
