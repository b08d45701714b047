"""Options that several subcommands share: the device and the seed."""

from __future__ import annotations

from argparse import ArgumentParser


def add_device(parser: ArgumentParser) -> None:
    """Adds --device."""
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps or auto (default)")


def add_seed(parser: ArgumentParser) -> None:
    """Adds --seed."""
    parser.add_argument("--seed", type=int, default=1337, help="random seed (default 1337)")
