"""Stand-in: runs in this process."""

from __future__ import annotations
import io, contextlib
from lessons.grading.outcome import Answered, Stopped  # noqa
from lessons.grading.trusted import run


class Session:
    @property
    def unusable(self): return self.problem

    def __init__(self, code, task):
        self.task, self.space, self.problem, self.printed = (
            task,
            {"__name__": "submission"},
            None,
            "",
        )
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                exec(compile(code, "submission.py", "exec"), self.space)
        except BaseException as error:
            import traceback; self.problem = Stopped("error", f"{type(error).__name__}: {error}", traceback.extract_tb(error.__traceback__)[-1].lineno)
        self.printed = out.getvalue()
        if not self.problem and task.name not in self.space:
            self.problem = Stopped("missing", f"The file defines no {task.name}.")

    def ask(self, case):
        if self.problem:
            return self.problem
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            o = run(self.task, self.space[self.task.name], case)
        self.printed += out.getvalue()
        if isinstance(o, Stopped) and o.message.startswith("NotImplementedError: exercise"):
            return Stopped("not_started", "Not started yet.")
        return o


class Sandbox:
    def __enter__(self):
        return self

    def __exit__(self, *a):
        pass

    def __init__(self, triton=False): pass
    @contextlib.contextmanager
    def submission(self, code, name, drive="call", drive_options=None, forbidden=(), helpers=None):
        from types import SimpleNamespace as S
        s = Session(code, S(name=name, drive=drive, drive_options=drive_options or {}))
        for n, text in (helpers or {}).items():
            g = {"__name__": "helper"}; exec(text, g); s.space[n] = g[n]
        yield s
