"""`minigpt generate`: continues a text with a model, printing as it writes."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from minigpt.command import values
from minigpt.command.machine_options import add_device, add_seed, seed_of
from minigpt.command.parser import refuse_idle

DEFAULT_TOP_K = 50
SMALLER = "take a smaller model or a shorter prompt"


def add_options(parser: ArgumentParser) -> None:
    """Adds the prompt, the model, and the options of sampling."""
    add = parser.add_argument
    add_device(parser)
    add_seed(parser)
    add(
        "--prompt", type=values.text, required=True,
        help='how the text begins ("": from nothing, which is the end-of-text token)',
    )  # fmt: skip
    add(
        "--model", type=values.name_or_path, default="base",
        help="base (shipped, default), a folder, or gpt2 to gpt2-xl",
    )  # fmt: skip
    add("--max-new-tokens", type=values.whole(0, 10**6), default=120, help="default 120")
    add("--temperature", type=values.number(0), default=0.8, help="0 is greedy (default 0.8)")
    add(
        "--top-k", type=values.whole(0),
        help=f"sample from the k likeliest tokens only (default {DEFAULT_TOP_K}; 0: from all)",
    )  # fmt: skip
    add(
        "--top-p", type=values.number(above=0, most=1),
        help="sample from the likeliest tokens of mass p only",
    )  # fmt: skip
    add("--no-cache", action="store_true", help="recompute every step: same text, slower")


def run(arguments: Namespace) -> int:
    """Prints text until the model ends it or --max-new-tokens is reached."""
    if arguments.temperature == 0:
        why = "with --temperature 0, which takes the likeliest token"
        refuse_idle(arguments, ("--top-k", "--top-p", "--seed"), why)
    import torch

    from minigpt import generation, tokenizer
    from minigpt.device import pick_device
    from minigpt.finetuning.methods import load_model

    device = pick_device(arguments.device)
    model, encoding = load_model(arguments.model)
    model.to(device)
    prompt = encoding.encode_ordinary(arguments.prompt) or [encoding.eot_token]
    idx = torch.tensor([prompt], dtype=torch.long, device=device)  # [1, T]
    tokens = generation.stream(
        model,
        idx,
        arguments.max_new_tokens,
        temperature=arguments.temperature,
        top_k=(DEFAULT_TOP_K if arguments.top_k is None else arguments.top_k) or None,
        top_p=arguments.top_p,
        stop_token=encoding.eot_token,
        use_cache=not arguments.no_cache,
        generator=torch.Generator(device).manual_seed(seed_of(arguments)),
    )
    print(arguments.prompt, end="", flush=True)
    for piece in tokenizer.stream_text(tokens, encoding, encoding.eot_token):
        print(piece, end="", flush=True)
    print()
    return 0
