"""`minigpt bench`: compares our training, generation and metrics with the usual libraries'."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

from minigpt.command import values
from minigpt.command.machine_options import add_device, add_seed, seed_of
from minigpt.command.parser import refuse_idle

SMALLER = "take a smaller --preset, --layers, --batch or --context"
OF_QLORA = {
    "--layers": "leave out the model's others",
    "--batch": "rows a step (default 8; not on a GPU: 2)",
    "--context": "tokens a row (default 1024; not on a GPU: 256)",
    "--rounds": "timed steps of each contender (default 5)",
}


def add_options(parser: ArgumentParser) -> None:
    """Adds the benchmarks to run, and the sizes of the step in 4 bits."""
    add = parser.add_argument
    add_device(parser)
    add_seed(parser)
    what = ["all", "training", "generation", "choices", "metrics", "qlora"]
    add("what", nargs="?", default="all", choices=what)
    add("--json", type=values.file_to_write, help="also write the figures to this file")
    add("--preset", help="qlora: of the model (default gpt2-xl; not on a GPU: 2 layers of gpt2)")
    add(
        "--dtype", choices=["auto", "float32", "bfloat16"], help="qlora: of products (default auto)"
    )
    for option, text in OF_QLORA.items():
        add(option, type=values.whole(1), metavar="N", help=f"qlora: {text}")


def run(arguments: Namespace) -> int:
    """Runs the benchmarks, prints a table, and writes it as JSON if asked to."""
    if arguments.what not in ("all", "qlora"):
        refuse_idle(arguments, ("--preset", "--dtype", *OF_QLORA), f"in bench {arguments.what}")
    if arguments.what == "metrics":
        refuse_idle(arguments, ["--device"], "in bench metrics, which only reads texts")
    if arguments.what == "choices":
        refuse_idle(arguments, ["--device"], "in bench choices, which are made for processors")
    from minigpt.bench.gpt2 import run_benches
    from minigpt.bench.qlora import usual_settings
    from minigpt.device import check_room, pick_device
    from minigpt.files.atomic import write_text
    from minigpt.memory.predicted import memory_of
    from minigpt.memory.run import TrainingRun

    device = pick_device(arguments.device)
    qlora = None
    if arguments.what in ("all", "qlora"):
        qlora = usual_settings(
            device,
            preset=arguments.preset,
            n_layer=arguments.layers,
            batch_size=arguments.batch,
            context=arguments.context,
            dtype=arguments.dtype or "auto",
            rounds=arguments.rounds,
            seed=seed_of(arguments),
        )
        step = TrainingRun("lora", qlora.batch_size, qlora.context)
        n_bytes = memory_of(qlora.config, step).total
        check_room(
            n_bytes,
            "the step of bench qlora",
            SMALLER,
            device,
        )
    plain = ("training", "generation", "choices", "metrics")
    chosen = plain if arguments.what == "all" else (arguments.what,)
    names = [name for name in chosen if name in plain]
    report = run_benches(names, qlora, device, seed_of(arguments))
    if arguments.json is not None:
        write_text(arguments.json, json.dumps(report, indent=1) + "\n")
    return 0
