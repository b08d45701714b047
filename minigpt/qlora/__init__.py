"""QLoRA: a model whose linear layers are frozen in 4 bits, trained through LoRA beside them."""

from minigpt.qlora.layer import NF4Linear
from minigpt.qlora.model import dequantize_model, frozen_bits, quantize_model

__all__ = ["NF4Linear", "dequantize_model", "frozen_bits", "quantize_model"]
