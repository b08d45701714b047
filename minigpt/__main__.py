"""`python -m minigpt` is the `minigpt` command; `torchrun -m minigpt train` uses many GPUs."""

from minigpt.fast.threads import wait_briefly


def main() -> int:
    """Runs the command, whose threads do not take each other's time."""
    wait_briefly()  # before torch is loaded
    from minigpt.command.cli import main

    return main()


if __name__ == "__main__":
    raise SystemExit(main())
