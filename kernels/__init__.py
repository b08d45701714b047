"""The place for NF4 quantization as Triton kernels. Empty so far."""
