# ruff: noqa: E501
"""Submissions that cheat or do harm, for `double(x)`, which should return 2 x.

None of them computes it. Each says how it has to end: a status, or "wrong" for an answer that is not
2 x. What Python refuses by an audit hook is partly tried again past the hook, against the kernel.
"""

from __future__ import annotations

from typing import NamedTuple

# What a submission may import leads to everything that is loaded already.
REACH = """
import torch
import numpy as np
sys = torch.sys
os = sys.modules["os"]
"""


class Hostile(NamedTuple):
    """A harmful submission.

    Attributes:
        name: a few words.
        ends: the statuses that it may end with, separated by "|".
        code: the file, behind REACH.
    """

    name: str
    ends: str
    code: str


def call(name: str, ends: str, *lines: str) -> Hostile:
    """Returns a submission that does something when it is called, and answers with zeros."""
    body = "\n".join(f"    {line}" for text in lines for line in text.splitlines())
    return Hostile(name, ends, f"def double(x):\n{body}\n    return 0 * x\n")


def start(name: str, ends: str, code: str) -> Hostile:
    """Returns a submission that does something when its file is run."""
    return Hostile(name, ends, f"{code}\n\ndef double(x):\n    return 0 * x\n")


CHEATS = [
    # answers that should convince any comparison
    Hostile("equals everything", "wrong", """
class Equal:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __bool__(self): return True
    def __getattr__(self, name): return self
    def __call__(self, *args, **kwargs): return self
    def __iter__(self): return iter([self])
    def __len__(self): return 1
def double(x): return Equal()
"""),
    Hostile("tensor subclass that equals everything", "wrong", """
class Equal(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func.__name__ in ("equal", "allclose", "eq", "__eq__"):
            return torch.tensor(True)
        return super().__torch_function__(func, types, args, kwargs or {})
def double(x): return (0 * x).as_subclass(Equal)
"""),
    Hostile("list subclass that equals everything", "wrong", """
class Equal(list):
    def __eq__(self, other): return True
    def __len__(self): return 10**9
def double(x): return Equal()
"""),
    Hostile("the type is called Made", "crashed", """
class Made:
    kind, fields = "linear", {"weight": torch.ones(1, 1), "bias": None}
def double(x): return Made()
"""),
    Hostile("float subclass", "wrong", """
class Equal(float):
    def hex(self): return "nan"
    def __eq__(self, other): return True
def double(x): return Equal(0.0)
"""),
    call("prints passed", "wrong", "print('passed')", "print('{\"status\": \"passed\"}')"),
    # the comparison, or what is used to send the answer
    call("patches torch.allclose", "wrong", "torch.allclose = torch.equal = lambda *a, **k: True"),
    call("patches numpy and builtins", "wrong", "np.allclose = lambda *a, **k: True",
         "sys.modules['builtins'].abs = lambda *a: 0"),
    call("patches torch.Tensor", "wrong", "torch.Tensor.__eq__ = lambda a, b: torch.tensor(True)",
         "torch.Tensor.__sub__ = lambda a, b: a * 0"),
    call("patches json", "error|crashed|wrong", "json = sys.modules['json']",
         "json.dumps = lambda *a, **k: '[\"passed\"]'", "json.loads = lambda *a, **k: ['passed']"),
    call("patches what sends", "error|crashed|wrong", "frame = sys._getframe()",
         "while frame:",
         "    for name, value in list(frame.f_globals.items()):",
         "        if callable(value) and name in ('dumps', 'differ', 'packed', 'verdict'):",
         "            frame.f_globals[name] = lambda *a, **k: b'2 0\\n{}'",
         "    frame = frame.f_back"),
    call("patches the drivers", "error|crashed|wrong", "frame = sys._getframe().f_back",
         "frame.f_globals['DRIVERS']['call'] = lambda *a, **k: {'result': 'passed'}",
         "frame.f_code.co_consts"),
    call("changes its arguments instead", "wrong", "x.mul_(2)", "return None"),
    call("walks the frames", "wrong", "found = []", "frame = sys._getframe()",
         "while frame:",
         "    found += [v for k, v in frame.f_locals.items() if 'expected' in k or 'reference' in k]",
         "    frame = frame.f_back", "if found: return found[0]"),
    call("walks the heap", "forbidden", "gc = sys.modules['gc']",
         "for thing in gc.get_objects():",
         "    if isinstance(thing, dict) and 'expected' in thing: return thing['expected']"),
    call("traces the grader's frames", "wrong", "def trace(frame, event, arg):",
         "    if 'expected' in frame.f_locals: print(frame.f_locals)", "    return trace",
         "sys.settrace(trace)"),
    # the socket to the grader
    call("forges a word", "crashed", "os.write(3, b'passed')"),
    call("forges an answer and stays", "wrong|crashed|timeout", "text = b'[\"list\", [[\"plain\", \"answered\"],'",
         "text += b'[\"dict\", [[[\"plain\", \"result\"], [\"plain\", \"passed\"]]]]]]'",
         "os.write(3, b'%d 0\\n' % len(text) + text)", "sys.modules['time'].sleep(60)"),
    start("forges an answer before the question", "crashed|wrong",
          "text = b'[\"list\", [[\"plain\", \"ready\"]]]'\n"
          "for _ in range(3): os.write(3, b'%d 0\\n' % len(text) + text)"),
    call("forges an endless answer", "crashed", "os.write(3, b'4000000 60000000\\n')",
         "while True: os.write(3, b'x' * 65536)"),
    call("forges an answer of 10^12 bytes", "crashed", "os.write(3, b'999999999999 0\\n')"),
    call("forges deep nesting", "crashed", "text = b'[' * 100000", "os.write(3, b'100000 0\\n' + text)",
         "sys.modules['time'].sleep(60)"),
    call("forges one array a thousand times", "crashed",
         "one = '[\"array\", [\"torch\", \"uint8\", [1000000], [0], [0, 1000000]]]'",
         "text = ('[\"list\", [[\"plain\", \"answered\"], [\"dict\", [[[\"plain\", \"result\"], [\"list\", ['",
         "        + ','.join([one] * 1000) + ']]]]]]]').encode()",
         "os.write(3, b'%d 1000000\\n' % len(text) + text)",
         "rest = b'x' * 1000000",
         "while rest: rest = rest[os.write(3, rest):]", "sys.modules['time'].sleep(60)"),
    call("forges a dict whose keys have one hash", "crashed",
         "keys = ','.join('[[\"plain\", %d], [\"plain\", 0]]' % (k * (2**61 - 1)) for k in range(60000))",
         "text = '[\"list\", [[\"plain\", \"answered\"], [\"dict\", [[[\"plain\", \"result\"], [\"dict\", ['",
         "text = (text + keys + ']]]]]]]').encode()",
         "text = b'%d 0\\n' % len(text) + text", "while text: text = text[os.write(3, text):]",
         "sys.modules['time'].sleep(60)"),
    call("answers without an end", "timeout|wrong", "def endless():", "    while True: yield 1",
         "return endless()"),
    call("answers with 2 GB", "crashed|memory", "return torch.zeros(1 << 28, dtype=torch.float64)"),
    call("answers with half a character", "crashed|wrong", "return '\\ud800'"),
    call("answers with a strange exception", "error", "class Nasty(Exception):",
         "    def __str__(self): raise self", "    __repr__ = __str__", "raise Nasty()"),
    call("answers with an endless text", "error", "raise ValueError('x' * 10**8)"),
    # the solution
    call("imports the library", "forbidden", "from minigpt import model", "return 2 * x"),
    start("imports the library first", "forbidden", "import minigpt"),
    start("imports the exercises", "forbidden", "from lessons.exercises import lesson_08"),
    start("imports the kernels", "forbidden", "import kernels.reference"),
    call("imports by importlib", "forbidden", "sys.modules['importlib'].import_module('minigpt.model')"),
    call("imports by __import__", "forbidden", "__import__('minigpt')"),
    call("imports by the real __import__", "forbidden", "sys.modules['builtins'].__import__('minigpt')"),
    call("imports by the path", "error|forbidden", "sys.meta_path.pop(0)", "sys.path.insert(0, PROJECT)",
         "sys.modules['importlib'].import_module('minigpt.model')"),
    call("runs the library by runpy", "forbidden|error", "sys.meta_path.pop(0)",
         "spec = sys.modules['importlib.util'].spec_from_file_location('m', PROJECT + '/minigpt/model.py')",
         "module = sys.modules['importlib.util'].module_from_spec(spec)", "spec.loader.exec_module(module)"),
    call("reads the library's source", "forbidden", "exec(open(PROJECT + '/minigpt/model.py').read())"),
    call("reads the source past open", "forbidden|error",
         "sys.modules['posix'].open(PROJECT + '/minigpt/model.py', 0)"),
    call("reads the source by numpy", "forbidden|error", "np.fromfile(PROJECT + '/minigpt/model.py')"),
    call("reads the source by torch in C++", "error|forbidden|wrong",
         "n = os.stat(PROJECT + '/minigpt/model.py').st_size",
         "return torch.UntypedStorage.from_file(PROJECT + '/minigpt/model.py', False, n)"),
    call("loads an extension of its own", "error|forbidden", "torch.ops.load_library('/tmp/evil.so')"),
]  # fmt: skip

HARM = [
    # ends of the process
    call("os._exit(0)", "crashed", "os._exit(0)"),
    call("sys.exit(0)", "error", "sys.exit(0)"),
    start("sys.exit on import", "error", "sys.exit(0)"),
    call("raises KeyboardInterrupt", "error", "raise KeyboardInterrupt"),
    call("raises GeneratorExit", "error", "raise GeneratorExit"),
    call("aborts", "crashed", "os.abort()"),
    call("signals itself", "crashed|forbidden", "sys.modules['signal'].raise_signal(9)"),
    call("segfaults in torch", "crashed|error",
         "torch._C._construct_storage_from_data_pointer(8, torch.device('cpu'), 1 << 20)",
         "storage = torch._C._construct_storage_from_data_pointer(8, torch.device('cpu'), 1 << 20)",
         "torch.tensor([], dtype=torch.uint8).set_(storage).sum()"),
    call("segfaults by strides", "crashed",
         "np.lib.stride_tricks.as_strided(np.zeros(1), (1 << 20,), (1 << 40,)).sum()"),
    call("recursion without an end", "error", "def f(n): return f(n + 1)", "f(0)"),
    call("overflows the stack of C", "crashed|error", "sys.setrecursionlimit(10**9)",
         "class A:", "    def __getattr__(self, name): return getattr(self, name + 'a')",
         "class B(dict):", "    def __missing__(self, key): return self[key]", "B()[1]"),
    call("registers atexit", "wrong", "atexit = sys.modules['atexit']",
         "atexit.register(lambda: open(MARK, 'w'))"),
    # time
    call("endless loop", "timeout", "while True: pass"),
    start("endless loop on import", "timeout", "while True: pass"),
    call("endless loop in C", "timeout", "sum(iter(int, 1))"),
    call("sleeps", "timeout", "sys.modules['time'].sleep(1000)"),
    call("waits for a lock", "timeout", "lock = sys.modules['threading'].Lock()",
         "lock.acquire()", "lock.acquire()"),
    call("ignores every signal", "timeout", "signal = sys.modules['signal']",
         "for n in range(1, 65):",
         "    try: signal.signal(n, lambda *a: None)", "    except Exception: pass",
         "while True:", "    try:", "        while True: pass", "    except BaseException: pass"),
    call("threads that go on", "wrong|timeout", "def loop():", "    while True: sum(range(1000))",
         "for _ in range(4): sys.modules['threading'].Thread(target=loop, daemon=True).start()"),
    call("thousands of threads", "wrong|error|memory|timeout|crashed",
         "event = sys.modules['threading'].Event()",
         "for _ in range(5000): sys.modules['threading'].Thread(target=event.wait, daemon=True).start()"),
    call("waits for input", "error", "input()"),
    # memory and output
    call("50 GB in torch", "memory", "torch.ones(50 << 30, dtype=torch.uint8)"),
    call("50 GB in numpy", "memory", "np.ones(50 << 30, dtype=np.uint8)"),
    call("50 GB in Python", "memory", "bytearray(50 << 30)"),
    call("memory bit by bit", "memory|timeout", "kept = []", "while True: kept.append(bytearray(1 << 26))"),
    call("a number of a billion digits", "timeout|memory", "return 7 ** (10 ** 9)"),
    call("prints 200 MB", "wrong|timeout", "for _ in range(200): print('x' * 10**6)"),
    call("prints from a thread without an end", "wrong", "def loop():", "    while True: print('x' * 1000)",
         "sys.modules['threading'].Thread(target=loop, daemon=True).start()"),
    call("prints orders to the terminal", "wrong", "print('\\x1b[2J\\x1b]0;title\\x07\\x1b[31mred')"),
    call("closes all files", "crashed|error", "os.closerange(0, 100)"),
    call("closes the grader's socket and stays", "crashed", "os.close(3)", "while True: pass"),
    call("closes standard output", "wrong|error", "sys.stdout.close()", "os.close(1)"),
    # files
    start("writes a file", "forbidden", "open(MARK, 'w')"),
    call("writes a file past open", "forbidden|error", "os.open(MARK, os.O_CREAT | os.O_WRONLY)"),
    call("writes by numpy", "forbidden|error", "np.save(MARK, x.numpy())"),
    call("writes by torch in C++", "forbidden|error|wrong",
         "torch.UntypedStorage.from_file(MARK, True, 100)"),
    call("writes by torch's file writer", "forbidden|error|crashed|memory",
         "writer = torch._C.PyTorchFileWriter(MARK)", "writer.write_end_of_file()"),
    call("deletes a file", "forbidden", "os.remove(VICTIM)"),
    call("renames a file", "forbidden", "os.rename(VICTIM, MARK)"),
    call("empties a file", "forbidden", "os.truncate(VICTIM, 0)"),
    call("makes a symlink", "forbidden", "os.symlink('/etc/passwd', MARK)"),
    call("makes a pipe in the file system", "error|forbidden", "os.mkfifo(MARK)"),
    call("makes a folder", "forbidden", "os.mkdir(MARK)"),
    call("leaves a sitecustomize", "forbidden", "open(sys.path[-1] + '/sitecustomize.py', 'w')"),
    call("maps a file", "forbidden|error", "sys.modules['builtins'].__import__('mmap').mmap(-1, 10)"),
    call("memfd", "error|forbidden", "os.memfd_create('x')"),
    call("reads /proc/self/mem", "forbidden|error", "open('/proc/self/mem', 'rb')"),
    call("reads /proc past open", "forbidden|error", "sys.modules['posix'].open('/proc/self/maps', 0)"),
    call("reads its parent's memory", "forbidden|error",
         "open('/proc/%d/mem' % os.getppid(), 'rb', buffering=0)"),
    call("reads the password file", "forbidden", "print(open('/etc/passwd').read())"),
    call("reads the environment", "wrong", "print(sorted(os.environ))"),
    # processes, signals, network
    call("fork bomb", "forbidden", "while True: os.fork()"),
    call("runs a program", "forbidden", "os.system('touch ' + MARK)"),
    call("subprocess", "forbidden", "sys.modules['subprocess'].run(['touch', MARK])"),
    call("a program past the audit hook", "error|forbidden",
         "read, write = os.pipe()",
         "sys.modules['_posixsubprocess'].fork_exec([b'/bin/touch', MARK.encode()], [b'/bin/touch'], True,",
         "    (), None, None, -1, -1, -1, -1, -1, -1, read, write, False, False, -1, None, None, None, -1,",
         "    None, *([True] if sys.version_info < (3, 14) and sys.version_info >= (3, 11) else []))"),
    call("exec", "forbidden", "os.execv('/bin/touch', ['touch', MARK])"),
    call("multiprocessing", "forbidden|error",
         "mp = torch.multiprocessing.get_context('fork')", "p = mp.Process(target=print)", "p.start()"),
    call("kills the grader", "forbidden", "os.kill(GRADER, 9)"),
    call("kills its parent", "forbidden", "os.kill(os.getppid(), 9)"),
    call("kills all", "forbidden", "os.kill(-1, 9)"),
    call("kills by a handle", "error|forbidden", "os.pidfd_open(GRADER)"),
    call("opens a socket", "forbidden", "sys.modules['socket'].socket()"),
    call("opens a socket past the module", "forbidden|error",
         "sys.modules['_socket'].socket(2, 1, 0)"),
    call("ctypes", "forbidden", "sys.modules['ctypes'].CDLL(None).system(b'true')"),
    call("ctypes' own functions", "forbidden|crashed|error", "sys.modules['ctypes'].string_at(0)"),
    call("writes memory by ctypes", "crashed|forbidden", "sys.modules['ctypes'].memset(8, 0, 100)"),
    call("replaces a function's code", "forbidden", "double.__code__ = (lambda x: x).__code__"),
    call("raises its limits", "forbidden|error", "resource = sys.modules['builtins'].__import__('resource')",
         "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))"),
    call("renices", "error|forbidden", "os.nice(-20)"),
]  # fmt: skip

ALL = CHEATS + HARM
