"""NF4 on a GPU: Triton kernels, each plain to read first and fast beside it."""
