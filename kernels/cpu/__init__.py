"""NF4 on a processor: look-up tables in torch, loops in C where there is AVX-512."""
