"""`python -m kernels.bench` runs the bench on a GPU."""

import sys

from kernels.bench.gpu import main

if __name__ == "__main__":
    sys.exit(main())
