"""The NF4 kernels on this machine: on its GPU, in Triton's interpreter, and compiled for a GPU.

A kernel that leaves a number out, or reads one that nobody wrote, gives the right result where the
memory happens to hold it from before. So new memory is filled with NaN first.
"""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Iterator
from functools import partial

from minigpt.doctor.child import answer, answers
from minigpt.doctor.compiler import how_to_install
from minigpt.doctor.finding import NOTE, OK, PROBLEM, Finding, unsetting
from minigpt.doctor.requirements import installing, version_of

ARCH = "sm_90"
SHAPE = (70, 130)  # 9,100 numbers: whole programs of the fast kernels, and a rest
NAME = "NF4 kernels"


def differences(device: str) -> list[str]:
    """Compares the kernels with the specification on poisoned memory; for a child process.

    Args:
        device: "cuda:0", or "cpu" with TRITON_INTERPRET=1.

    Returns:
        A sentence for each result that differs.
    """
    import torch

    from kernels import dequantize_nf4, quantize_nf4
    from kernels.reference import dequantize_plainly, quantize_plainly

    # With it torch fills new memory, with NaN or the largest number.
    torch.use_deterministic_algorithms(True, warn_only=True)
    if not torch.empty(2, device=device).isnan().all():
        raise RuntimeError("torch does not fill new memory with NaN")
    found: list[str] = []
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.float32, torch.bfloat16):
        weight = torch.randn(SHAPE, generator=generator).to(dtype)
        right = quantize_plainly(weight, 64, 256)
        given = quantize_nf4(weight.to(device), backend="triton")
        numbers = dequantize_nf4(given, backend="triton").cpu()
        for name, part in right.parts.items():
            wrong = int((given.parts[name].cpu() != part).sum())
            if wrong:
                found.append(f"{wrong} of {part.numel()} {name} in {dtype}")
        wrong = int((numbers != dequantize_plainly(right, dtype)).sum())
        if wrong:
            found.append(f"{wrong} of {numbers.numel()} dequantized numbers in {dtype}")
    return found


def compiled_bytes(arch: str) -> int:
    """Compiles a kernel for an NVIDIA GPU anew, and returns the size of its machine code.

    It is to be called in a child process, where Triton has not been imported.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["TRITON_CACHE_DIR"] = folder
        from kernels.machine_code.measure import compile_for
        from kernels.machine_code.variants import launch_configuration

        compiled = compile_for(launch_configuration("dequantize_fast", "bf16", 64, 256), arch)
        return len(compiled.asm["cubin"])


def check_kernels(devices: list[str]) -> Iterator[Finding]:
    """Yields what is to be said of the kernels.

    Args:
        devices: the GPUs that torch can use.
    """
    cuda = [device for device in devices if device.startswith("cuda")]
    if version_of("triton") is None:
        yield judge_without_triton(bool(cuda), platform.system())
        return
    for device in cuda:
        without = {"TRITON_INTERPRET": None}
        yield judge_kernels(f"on {device}", *answer(differences, device, environment=without))
    if not cuda:
        interpreted, code = answers(
            partial(answer, differences, "cpu", environment={"TRITON_INTERPRET": "1"}),
            partial(answer, compiled_bytes, ARCH, environment={"TRITON_INTERPRET": None}),
        )
        yield judge_kernels("in Triton's interpreter", *interpreted)
        yield judge_machine_code(*code)
    if os.environ.get("TRITON_INTERPRET"):
        said = "is set: kernels run in Triton's interpreter, also where there is a GPU"
        yield Finding("TRITON_INTERPRET", NOTE, said, unsetting("TRITON_INTERPRET"))


def judge_without_triton(has_gpu: bool, system: str) -> Finding:
    """Returns what is to be said where triton is not installed.

    Args:
        has_gpu: whether there is a GPU that Triton could compile for.
        system: as platform.system() says it.
    """
    if not has_gpu:
        said = "not tried, for want of triton; the processor's own path has no need of it"
        return Finding(NAME, NOTE, said)
    slower = "NF4 on this GPU is made of torch's operations, many times slower"
    if system != "Linux":
        return Finding(NAME, NOTE, f"Triton is published for Linux only: {slower}")
    return Finding(NAME, PROBLEM, f"there is no triton: {slower}", installing("triton"))


def judge_kernels(where: str, wrong: list[str] | None, failure: str) -> Finding:
    """Returns what is to be said of the kernels in one place.

    Args:
        where: such as "on cuda:0".
        wrong: a sentence for each result that is not the specification's; None after a failure.
        failure: how the attempt failed, "" if it did not.
    """
    name = f"{NAME} {where}"
    if wrong is None:
        return Finding(name, PROBLEM, failure, remedy_for(failure))
    if wrong:
        said = f"compute other numbers: {'; '.join(wrong)}"
        return Finding(name, PROBLEM, said, remedy_for(""))
    return Finding(name, OK, "compute the specification's bits, on memory full of NaN")


def judge_machine_code(n_bytes: int | None, failure: str) -> Finding:
    """Returns what is to be said of compiling a kernel for ARCH: its size, or how it failed."""
    name = f"NF4 kernels for {ARCH}"
    if n_bytes is None:
        return Finding(name, PROBLEM, f"do not compile: {failure}", remedy_for(failure))
    return Finding(name, OK, f"compile ({n_bytes:,} bytes of machine code), without such a GPU")


def remedy_for(failure: str) -> str:
    """Returns what to do about a failure of Triton, which compiles a little C for each GPU."""
    if "C compiler" in failure:  # it looks for $CC, gcc and clang
        return how_to_install(platform.system())
    if "CalledProcessError" in failure:  # a compiler failed, mostly for want of Python.h
        return (
            "install the headers of this Python (Debian, Ubuntu: sudo apt-get install python3-dev)"
        )
    return installing("triton", "--force-reinstall")
