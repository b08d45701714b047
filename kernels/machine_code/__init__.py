"""What the compiler made of the kernels, read on any machine (`python -m kernels.machine_code`)."""
