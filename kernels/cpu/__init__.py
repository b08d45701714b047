"""NF4 on a CPU: look-up tables in torch, and loops in C for CPUs with AVX-512."""
