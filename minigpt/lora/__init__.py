"""LoRA: two thin trained matrices beside a frozen linear layer."""
