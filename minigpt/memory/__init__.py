"""The bytes that a training step takes, predicted and counted."""
