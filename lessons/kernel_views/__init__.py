"""Views into a kernel: one traced, its machine code read."""
