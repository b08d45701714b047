"""Reads the kernels' machine code on any machine (`python -m kernels.machine_code`)."""
