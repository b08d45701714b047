"""Times the kernels and their peers: on a GPU (`python -m kernels.bench`), on a CPU (`.cpu`)."""
