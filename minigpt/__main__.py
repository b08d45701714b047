"""`python -m minigpt` is the `minigpt` command; `torchrun -m minigpt train` uses many GPUs."""

from minigpt.command.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
