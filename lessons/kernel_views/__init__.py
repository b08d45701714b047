"""Views into a kernel: its statements traced in the interpreter, and its machine code."""
