"""NF4 on a GPU: plain Triton kernels to read, fast ones beside them, and what launches them."""
