"""`python -m minigpt` is the `minigpt` command; `torchrun -m minigpt train` uses many GPUs."""

import os

from minigpt.fast.threads import share_cores


def main() -> int:
    """Runs the command, with as many threads as it may use cores."""
    # No process that it starts takes a file of the folder it is in for a module, from 3.11 on.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    share_cores()  # before torch is loaded
    from minigpt.command.cli import main

    return main()


if __name__ == "__main__":
    raise SystemExit(main())
