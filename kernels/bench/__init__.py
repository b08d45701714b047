"""The kernels beside their peers: on a GPU (`python -m kernels.bench`), on a processor (`.cpu`)."""
