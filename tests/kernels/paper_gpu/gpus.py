"""Simulates two GPUs: tensors are in the host's memory, and kernels run in the machine of ptx.py.

The launch of a kernel is real: the checks, Triton's just-in-time compiler with its treatment of
arguments (1 becomes a constant, addresses are checked for divisibility), the grid, torch's choice
of a device. Only the device is simulated, and it is stricter than most: it takes no tensor of the
host or of the other GPU, and while a graph is captured nothing may come back from it. It works only
where TRITON_INTERPRET is not set, since kernels have to be compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_iter, tree_map
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver

from tests.kernels.paper_gpu import ptx_more

ARCH = 90
RETURNING = ("item", "tolist", "nonzero", "__bool__", "__int__", "__float__", "__index__", "cpu")


class GPUTensor(Tensor):
    """A tensor that claims to be on cuda:1."""

    is_cuda = True
    device = torch.device("cuda", 1)

    def get_device(self) -> int:
        return 1


class Launch(NamedTuple):
    """A kernel that was launched."""

    kernel: str
    grid: tuple[int, int, int]
    device: int
    stream: int


class PaperGPUs(TorchFunctionMode):
    """Puts tensors that are made on or moved to "cuda:1" on a simulated GPU, inside its `with`.

    Attributes:
        launches: all launches so far.
        current: the number of the current device.
        streams: the current stream of each device, as a number.
        captured: what the graph that is being captured will do when it is replayed, or None.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches: list[Launch] = []
        self.current = 0
        self.streams = [10, 20]
        self.captured: list[Callable[[], None]] | None = None
        self.saved: dict[str, Any] = {}

    def __enter__(self) -> PaperGPUs:
        played = {
            "_exchange_device": self.exchange,
            "_maybe_exchange_device": self.exchange,
            "is_current_stream_capturing": lambda: self.captured is not None,
            "get_device_capability": lambda device: divmod(ARCH, 10),
        }
        self.saved = {name: getattr(torch.cuda, name) for name in played}
        for name, function in played.items():
            setattr(torch.cuda, name, function)
        driver.set_active(Driver(self))
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for name, function in self.saved.items():
            setattr(torch.cuda, name, function)

    def exchange(self, device: int) -> int:
        """Changes the current device, as `with torch.cuda.device(...)` does at both its ends."""
        before = self.current
        if device >= 0:
            self.current = device
        return before

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Handles every call into torch."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "__get__" or name in ("get_device", "data_ptr", "as_subclass"):
            return func(*args, **kwargs)
        given = [value for value in tree_iter((args, kwargs)) if isinstance(value, Tensor)]
        here = [isinstance(tensor, GPUTensor) for tensor in given]
        devices = [d for d in tree_iter((args, kwargs)) if isinstance(d, torch.device)]
        moves = bool(devices) and bool(given)
        if self.captured is not None:
            assert name not in RETURNING, f"{name} waits for the GPU while a graph is captured"
            assert not moves or all(here), f"{name} copies from the host while a graph is captured"
        if not moves and any(here):
            alone = [t for t, is_here in zip(given, here, strict=True) if not is_here and t.dim()]
            assert not alone, f"{name} of tensors on the host and on a GPU"
        on_gpu = devices[0].type == "cuda" if devices else any(here) and name != "cpu"
        with torch._C.DisableTorchFunctionSubclass():
            args, kwargs = tree_map(to_host, (tuple(args), kwargs))
            out = func(*args, **kwargs)
            if self.captured is not None and isinstance(out, Tensor):
                self.captured.append(lambda: out.copy_(func(*args, **kwargs)))
            return tree_map(to_gpu, out) if on_gpu else out

    @contextmanager
    def capture(self) -> Iterator[Callable[[], None]]:
        """Yields, as torch.cuda.graph, what replays the work into the memory that it had."""
        captured: list[Callable[[], None]] = []

        def replay() -> None:
            for work in captured:
                work()

        self.captured = captured
        try:
            yield replay
        finally:
            self.captured = None


def to_host(value: Any) -> Any:
    """Returns a GPU's tensor as a tensor of the host, "cpu" for a device, others unchanged."""
    if isinstance(value, GPUTensor):
        return value.as_subclass(Tensor)
    return torch.device("cpu") if isinstance(value, torch.device) else value


def to_gpu(value: Any) -> Any:
    """Returns a tensor as one of the GPU in the same memory; other values unchanged."""
    return value.as_subclass(GPUTensor) if isinstance(value, Tensor) else value


def flat(values: Iterable[Any]) -> list[Any]:
    """Returns values, with the members of a tuple among them in its place."""
    return [v for value in values for v in (value if isinstance(value, tuple) else (value,))]


class Driver:
    """The parts of a GPU's driver that Triton asks for."""

    def __init__(self, gpus: PaperGPUs) -> None:
        self.gpus = gpus
        self.utils = self
        self.ptx = ""
        knobs.runtime.kernel_load_start_hook = self.note_ptx

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", ARCH, 32)

    def get_current_device(self) -> int:
        return self.gpus.current

    def get_current_stream(self, device: int) -> int:
        return self.gpus.streams[device]

    def get_device_properties(self, device: int) -> dict[str, int]:
        return {"max_shared_mem": 227 * 1024}

    def note_ptx(self, module: Any, function: Any, name: str, files: Any, key: str) -> None:
        """Notes a kernel's PTX; Triton calls it before load_binary with the compiler's files."""
        self.ptx = next(Path(file).read_text() for name, file in files.items() if ".ptx" in name)

    def load_binary(self, name: str, binary: bytes, shared: int, device: int) -> tuple[Any, ...]:
        return None, (name, self.ptx), 32, 0, 1024  # module, function, registers, spills, threads

    def launcher_cls(self, source: Any, metadata: Any) -> Callable[..., None]:
        """Returns the function that launches the kernel from now on."""

        def launch(x: int, y: int, z: int, stream: int, function: Any, *given: Any) -> None:
            values, kinds = flat(given[-len(source.signature) :]), flat(source.signature.values())
            kept = [v for v, kind in zip(values, kinds, strict=True) if kind != "constexpr"]
            assert all(isinstance(v, (GPUTensor, int)) for v in kept), "a pointer to the host"
            plain = [v.as_subclass(Tensor) if isinstance(v, Tensor) else v for v in kept]
            name, ptx = function

            def run() -> None:
                with torch._C.DisableTorchFunction():
                    ptx_more.run(ptx, x, plain, 32 * metadata.num_warps, rows=y)

            run()
            gpus = self.gpus
            gpus.launches.append(Launch(name, (x, y, z), gpus.current, stream))
            if gpus.captured is not None:
                gpus.captured.append(run)

        return launch
