"""`python -m kernels.machine_code` runs measure.py."""

from kernels.machine_code.measure import main

if __name__ == "__main__":
    main()
