"""A submission is started, asked and ended, and what it does wrong is said with the line."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lessons.grading import drivers, processes, serve
from lessons.grading.child import stand_in
from lessons.grading.outcome import Answered, Outcome, Stopped
from lessons.grading.processes import FORKS
from lessons.grading.registry import lessons, tasks_of
from lessons.grading.task import HEADER, Case, Made
from lessons.grading.worker import Sandbox, how_it_ended

ONE = Case((torch.tensor([1.0, -2.0, 3.0]),))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as made:
        yield made


def ask(sandbox: Sandbox, code: str, name: str = "f", case: Case = ONE) -> Outcome:
    """Asks a submission once."""
    with sandbox.submission(code, name) as running:
        return running.ask(case, limit=10)


def result(outcome: Outcome) -> object:
    """Returns what the function returned."""
    assert isinstance(outcome, Answered), outcome
    return outcome.answer["result"]


def stopped(outcome: Outcome) -> tuple[str, int | None]:
    """Returns status and line."""
    assert isinstance(outcome, Stopped), outcome
    return outcome.status, outcome.line


def test_answers_come_back_as_they_were_given(sandbox: Sandbox) -> None:
    code = (
        "from collections import Counter\nimport torch\n"
        "def f(x, y, *, z):\n"
        "    return [x, y, z, Counter('aab'), {1, 2}, (0.1, True, None), (i for i in 'ab'), b'c']\n"
    )
    x, y = torch.randn(2, 3, dtype=torch.bfloat16).T, np.array([[1, 2]], dtype=np.int16)
    case = Case((x, y), {"z": "word"})
    got = result(ask(sandbox, code, case=case))
    assert isinstance(got, list)
    assert got[0].dtype == torch.bfloat16
    assert got[0].stride() == (1, 3)
    assert torch.equal(got[0], x)
    assert (got[1].dtype, got[1].tolist()) == (np.int16, [[1, 2]])
    assert got[2:6] == ["word", {"a": 2, "b": 1}, {1, 2}, (0.1, True, None)]
    assert (got[6].items, got[7]) == (["a", "b"], b"c")


def test_the_child_and_the_grader_know_the_driver_of_every_task() -> None:
    drives = {task.drive for number in lessons() for task in tasks_of(number)}
    assert drives <= set(serve.DRIVERS)
    assert drives <= set(drivers.DRIVERS)


def test_the_driver_and_the_objects_are_the_tasks(sandbox: Sandbox) -> None:
    code = "def f(x, layer):\n    return layer(x) * x.sum()\n"
    weight, bias = torch.eye(2) * 2, torch.ones(2)
    case = Case((torch.ones(1, 2), Made("affine", {"weight": weight, "bias": bias})))
    with sandbox.submission(code, "f", "call", {"gradients": (0,)}) as running:
        outcome = running.ask(case)
    assert torch.equal(result(outcome), torch.full((1, 2), 6.0))
    assert isinstance(outcome, Answered)
    assert outcome.answer["gradients"][0].shape == (1, 2)


def test_one_process_answers_many_times_and_draws_the_same_numbers(sandbox: Sandbox) -> None:
    code = (
        "import random, torch\nimport numpy as np\nfrom torch import nn\ncalls = []\n"
        "def f(x):\n"
        "    calls.append(1)\n"
        "    return len(calls), random.random(), np.random.rand(), torch.rand(1).item(),"
        " nn.Linear(1, 1).weight.item()\n"
    )
    with sandbox.submission(code, "f") as running:
        found = [result(running.ask(ONE)) for _ in range(3)]
    with sandbox.submission(code, "f") as running:
        again = result(running.ask(ONE))
    assert [drawn[0] for drawn in found] == [1, 2, 3]  # type: ignore[index]
    assert len({drawn[1:] for drawn in found}) == 1  # type: ignore[index]
    assert again == found[0]


@pytest.mark.parametrize(
    ("code", "status", "line", "words"),
    [  # STUB stands for the body of a stub, OS for what is said of os
        ("def g(x): pass\n", "missing", None, "does not define f"),
        ("def f(x):\n    STUB('exercise 8.2')\n", "not_started", 2, "not written"),
        ("def f(x):\n    STUB\n", "not_started", 2, "not written"),
        ("def g(x):\n    STUB\n\ndef f(x):\n    return g(x)\n", "error", 2, "uses g"),
        ("import torch\ndef f(x):\n    x.to('meta')[0].item()\n", "error", 3, "meta"),
        ("def f(x):\n    y = (\n", "error", 2, "SyntaxError"),
        ("def f(x):\n\treturn 1\n        return 2\n", "error", 3, "TabError"),
        ("def f(x):\n    return 1\0\n", "error", None, "null byte"),
        ("1 / 0\n", "error", 1, "ZeroDivisionError"),
        ("def f(x):\n    return (\n        x\n        + no\n    )\n", "error", 4, "NameError"),
        ("import torch\ndef f(x):\n    torch.cat([x,\n  x[None]])\n", "error", 3, "dimension"),
        ("def f():\n    return 1\n", "error", None, "positional argument"),
        ("f = 3\n", "error", None, "not callable"),
        ("import os\ndef f(x): pass\n", "forbidden", 1, "OS"),
        ("def f(x):\n    from scipy import stats\n", "forbidden", 2, "scipy may not be imported"),
        ("from . import helper\n", "forbidden", 1, "may not be imported"),
        ("import triton\n", "forbidden", 1, "lessons 10 and 11"),
        ("import minigpt.model\n", "forbidden", 1, "holds the solution"),
        ("def f(x):\n    exec('import os')\n", "forbidden", 2, "OS"),
        ("def f(x):\n    return eval('__import__')('os')\n", "forbidden", 2, "OS"),
    ],
)  # fmt: skip
def test_what_went_wrong_is_said_with_the_line(
    code: str, status: str, line: int | None, words: str, sandbox: Sandbox
) -> None:
    outcome = ask(sandbox, code.replace("STUB", "raise NotImplementedError"))
    assert stopped(outcome) == (status, line), outcome
    assert isinstance(outcome, Stopped)
    assert words.replace("OS", "os may not be imported") in outcome.message


def test_a_file_that_cannot_be_run_is_tried_once(sandbox: Sandbox) -> None:
    with sandbox.submission("print('tried')\n1 / 0\n", "f") as running:
        outcomes = [running.ask(ONE) for _ in range(3)]
        assert running.process is None
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert running.printed == "tried\n"


@pytest.mark.parametrize(
    "code",
    [
        "import bisect, collections, dataclasses, functools, heapq, itertools, math, operator\n"
        "import random, re, statistics, string, struct, typing, numpy, torch\n",
        "from __future__ import annotations\nfrom collections.abc import Sequence\n",
        "import numpy.linalg\nimport torch.nn.functional as F\nfrom torch import nn, Tensor\n",
        "import torch.utils.checkpoint\nfrom torch.func import vmap\n",
        HEADER,
        "try:\n    import scipy\nexcept ImportError:\n    scipy = None\n",
    ],
)
def test_allowed_imports_are_allowed(code: str, sandbox: Sandbox) -> None:
    assert result(ask(sandbox, code + "def f(x): return 7\n")) == 7


DEFINED = """
class Squared(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g

@torch.jit.script
def scripted(x):
    return x * 2

Point = collections.namedtuple("Point", "x y")

@dataclasses.dataclass(frozen=True)
class Pair:
    a: int
    b: int = 2

class Named(NamedTuple):
    a: int
"""


@pytest.mark.parametrize(
    "body",
    [
        "torch.einsum('i,j->ij', x, x)",
        "torch.linalg.svd(torch.outer(x, x))",
        "torch.func.vmap(torch.func.grad(lambda y: y ** 2))(x)",
        "torch.autograd.functional.jacobian(torch.sin, x)",
        "torch.utils.checkpoint.checkpoint(torch.sin, x.requires_grad_(), use_reentrant=False)",
        "torch.optim.AdamW([nn.Parameter(x)]).step()",
        "nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.LayerNorm(4), nn.Dropout(0.5))(x)",
        "nn.MultiheadAttention(4, 2)(*[torch.randn(2, 3, 4)] * 3)",
        "torch.distributions.Categorical(logits=x).sample()",
        "nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))(x)",
        "torch.fft.rfft(x), torch.special.erf(x), torch.unique(x), torch.bucketize(x, x.sort()[0])",
        "torch.outer(x, x).to_sparse().to_dense()",
        "np.einsum('i,j->ij', x, x), np.random.default_rng(0).normal(), np.linalg.norm(x)",
        "repr(x), str(torch.arange(3000)), f'{x.sum():.3f}'",
        "Squared.apply(x.requires_grad_())",
        "torch.from_numpy(np.frombuffer(b'12345678', dtype=np.float32))",  # warns
        "scripted(x)",
        "Point(1, 2), Pair(a=3), Named(4)",
    ],
)
def test_torchs_and_numpys_parts_can_be_used(body: str, sandbox: Sandbox) -> None:
    code = HEADER + DEFINED + f"def f(x):\n    x = x.clone()\n    {body}\n    return 7\n"
    assert result(ask(sandbox, code)) == 7


def test_helpers_take_the_place_of_the_learners(sandbox: Sandbox) -> None:
    code = "def half(x):\n    raise NotImplementedError\ndef f(x):\n    return half(x) + third(x)\n"
    helpers = {
        "half": "import torch\nfactor = 0.5\ndef half(x):\n    return torch.mul(x, factor)\n",
        "third": "factor = 3\ndef third(x):\n    return x / factor\n",
    }
    with sandbox.submission(code, "f", helpers=helpers) as running:
        got = result(running.ask(ONE))
    assert torch.allclose(got, ONE.args[0] * 5 / 6)  # type: ignore[arg-type]


def test_what_is_printed_is_kept(sandbox: Sandbox) -> None:
    code = (
        "import torch, typing\nprint('loaded')\n"
        "def f(x):\n"
        "    print('é', x.tolist(), end='')\n"
        "    torch.sys.stderr.write('!\\n')\n"
        "    if len(x) > 3: 1 / 0\n"
    )
    with sandbox.submission(code, "f") as running:
        running.ask(ONE)
        first = running.printed
        running.ask(Case((torch.zeros(4),)))
    assert first == "loaded\né [1.0, -2.0, 3.0]!\n"
    assert running.printed == first + "é [0.0, 0.0, 0.0, 0.0]!\n"


def test_the_limit_is_of_processor_time_and_the_next_call_has_a_new_process(
    sandbox: Sandbox,
) -> None:
    code = "def f(x):\n    while len(x) == 3: pass\n    return 7\n"
    with sandbox.submission(code, "f") as running:
        assert result(running.ask(Case(([],)))) == 7
        began = time.monotonic()
        outcome = running.ask(ONE, limit=0.3)
        took = time.monotonic() - began
        assert stopped(outcome) == ("timeout", None)
        assert 0.3 <= took < 5
        assert result(running.ask(Case(([],)))) == 7


def test_arguments_larger_than_a_sockets_room_pass_both_ways(sandbox: Sandbox) -> None:
    x = torch.randn(1 << 20)
    got = result(ask(sandbox, "def f(x):\n    return x\n", case=Case((x,))))
    assert torch.equal(got, x)  # type: ignore[arg-type]


def test_threads_may_share_a_sandbox(sandbox: Sandbox) -> None:
    found: dict[int, list[object]] = {}

    def work(i: int) -> None:
        with sandbox.submission(f"def f(x):\n    return x * {i}\n", "f") as running:
            found[i] = [result(running.ask(Case((n,)))) for n in range(20)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: [i * n for n in range(20)] for i in range(6)}


@pytest.mark.skipif(not FORKS, reason="there is no process to fork from")
def test_a_sandbox_outlives_the_process_that_forks() -> None:
    with Sandbox() as sandbox:
        code = "def f(x):\n    return 7\n"
        with sandbox.submission(code, "f") as running:
            assert result(running.ask(ONE)) == 7
            assert sandbox.zygote is not None
            sandbox.zygote.process.kill()
            sandbox.zygote.process.wait()
            assert stopped(running.ask(ONE)) == ("crashed", None)
            assert result(running.ask(ONE)) == 7


def test_where_there_is_no_fork_each_submission_has_a_python_of_its_own() -> None:
    with Sandbox(forks=False) as sandbox:
        code = "import torch\ndef f(x):\n    print('here')\n    return x * 2\n"
        with sandbox.submission(code, "f") as running:
            found = result(running.ask(ONE, limit=60))
            assert torch.equal(found, ONE.args[0] * 2)  # type: ignore[arg-type]
            assert running.printed == "here\n"
        with sandbox.submission("import os\n", "f") as running:
            assert stopped(running.ask(ONE, limit=60)) == ("forbidden", 1)
        assert sandbox.spare is not None
        spare = sandbox.spare[1]
    assert spare.end() != 0


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux has them")
def test_on_windows_the_sockets_go_to_the_python_that_a_virtual_environments_python_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Socket:
        def share(self, number: int) -> bytes:
            shared_with.append(
                Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")[0].decode()
            )
            return b"socket"

    shared_with: list[str] = []
    python = tmp_path / "python.exe"
    python.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n', encoding="utf-8")
    python.chmod(0o755)
    kept = SimpleNamespace(name="nt", environ=os.environ)
    with monkeypatch.context() as windows:
        windows.setattr(processes, "os", kept)
        windows.setattr(sys, "executable", str(python))
        process = processes.Fresh(False, str(tmp_path), [Socket(), Socket()])  # type: ignore[list-item]
    process.process.wait(60)  # Linux's Python cannot take shared sockets
    assert shared_with == [sys.executable] * 2


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (None, "The process that ran your code is gone."),
        (3, "Your code ended Python with exit status 3 instead of returning."),
        (-6, "Python itself crashed while your code ran (SIGABRT)."),
        (0xC00000FD, "Python itself crashed while your code ran (status 0xC00000FD of Windows)."),
    ],
)
def test_how_a_process_ended_is_said(code: int | None, sentence: str) -> None:
    assert how_it_ended(code) == ("crashed", sentence)


KERNEL = """
import triton
import triton.language as tl
import torch

@triton.jit
def doubled(x):
    return x * 2

@triton.jit
def f(x_ptr, out_ptr, n, SIZE: tl.constexpr):
    i = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    tl.store(out_ptr + i, doubled(tl.load(x_ptr + i, mask=i < n)), mask=i < n)

def launch(x):
    out = torch.zeros_like(x)
    f[(triton.cdiv(len(x), 2),)](x, out, len(x), SIZE=2)
    return out
"""


def test_a_file_with_kernels_can_be_run_where_there_is_no_triton(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("triton", "triton.language"):
        monkeypatch.setitem(sys.modules, name, stand_in(name))
    space: dict[str, object] = {}
    exec(KERNEL + "\nTILE = tl.constexpr(2)\ndef double(x):\n    return 2 * x\n", space)
    double = space["double"]
    assert callable(double)
    assert double(3) == 6


@pytest.mark.skipif(
    sys.platform != "linux" or importlib.util.find_spec("triton") is None, reason="no Triton"
)
def test_kernels_run_in_tritons_interpreter() -> None:
    with Sandbox(triton=True) as sandbox:
        outcome = ask(sandbox, KERNEL, "launch")
        assert torch.equal(result(outcome), ONE.args[0] * 2)  # type: ignore[arg-type]
        assert stopped(ask(sandbox, "import kernels.reference\n")) == ("forbidden", 1)
        wrong = KERNEL.replace("tl.load(x_ptr + i, mask=i < n)", "tl.load(x_ptr + undefined)")
        outcome = ask(sandbox, wrong, "launch")
        assert isinstance(outcome, Stopped)
        assert outcome.status == "error"
        assert "undefined" in outcome.message
