"""Options that several subcommands share: the device and the seed."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from minigpt.command import values

DEFAULT_SEED = 1337


def add_device(parser: ArgumentParser) -> None:
    """Adds --device; it is None unless it is given."""
    parser.add_argument(
        "--device", type=values.text, help="cpu, cuda, mps or auto (the fastest here, default)"
    )


def add_seed(parser: ArgumentParser) -> None:
    """Adds --seed, for which seed_of has the default."""
    parser.add_argument("--seed", type=values.seed, help=f"random seed (default {DEFAULT_SEED})")


def seed_of(arguments: Namespace) -> int:
    """Returns the seed that was given, or the usual one."""
    return DEFAULT_SEED if arguments.seed is None else arguments.seed
