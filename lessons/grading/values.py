"""How inputs and answers travel between the grader and a submission: as JSON and raw bytes.

Nothing is unpickled, so that an answer can be nothing but data. A message is a line with the number
of bytes of two parts, the JSON and the arrays behind it:

    b"17 8\\n" b'["list", [...]]' b"........"

The file is loaded by itself in the child, where the rest of the project cannot be imported.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch

LONGEST = 1 << 28  # bytes; a longer message is refused
LONGEST_TEXT, LONGEST_ARRAYS = 1 << 22, 1 << 26  # bytes of an answer's two parts
DEEPEST = 40  # lists within lists
LONGEST_LIST = 1 << 20  # also of what a generator yields
LONGEST_DICT = 1 << 14

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
        *(torch.complex64, torch.complex128),
    )
}


class Array(NamedTuple):
    """A tensor or an array as it came; `of` says which of the two it was, "torch" or "numpy"."""

    tensor: torch.Tensor
    of: str


class Strange(NamedTuple):
    """Something that cannot travel, by the name of its type."""

    type: str


class Lazy(NamedTuple):
    """What a generator or another iterator yielded."""

    items: list


class Writer:
    """Packs a value; the arrays' bytes are collected in `parts`."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def pack(self, value: Any, depth: int = 0) -> list:
        """Returns value as what JSON can hold: [kind, content]."""
        kind = type(value)
        if depth > DEEPEST:
            return ["strange", "nested too deep"]
        if value is None or kind in (bool, int, str):
            return (
                ["plain", value]
                if kind is not int or abs(value) < 1 << 1000
                else ["strange", "int"]
            )
        if kind is float:
            return ["float", value.hex()]
        if kind is complex:
            return ["complex", [value.real.hex(), value.imag.hex()]]
        if kind is bytes:
            return ["bytes", self.add(value)]
        if isinstance(value, torch.Tensor):
            return self.pack_tensor(value, "torch")
        if isinstance(value, np.generic):
            return self.pack(value.item(), depth)  # a whole number may be numpy's
        if isinstance(value, np.ndarray):
            if value.dtype.kind not in "biufc" or str(value.dtype) not in DTYPES:
                return ["strange", f"numpy array of {value.dtype}"]
            return self.pack_tensor(torch.from_numpy(np.array(value, order="C")), "numpy")
        if isinstance(value, dict):
            pairs = [
                [self.pack(k, depth + 1), self.pack(v, depth + 1)] for k, v in dict.items(value)
            ]
            return ["dict", pairs]
        for name, base in (("list", list), ("tuple", tuple), ("set", (set, frozenset))):
            if isinstance(value, base):
                return [name, [self.pack(item, depth + 1) for item in value]]
        if hasattr(kind, "__next__") or isinstance(value, range):
            items: list = []
            for item in value:
                if len(items) == LONGEST_LIST:
                    return ["strange", f"{kind.__name__} without an end"]
                items.append(self.pack(item, depth + 1))
            return ["lazy", items]
        if hasattr(value, "kind") and hasattr(value, "fields") and kind.__name__ == "Made":
            return ["made", [value.kind, self.pack(value.fields, depth + 1)]]
        return ["strange", kind.__name__]

    def pack_tensor(self, tensor: torch.Tensor, of: str) -> list:
        """Returns dtype, shape, strides and where the bytes are."""
        tensor = tensor.detach().as_subclass(torch.Tensor).cpu()
        if tensor.layout != torch.strided or str(tensor.dtype).removeprefix("torch.") not in DTYPES:
            return ["strange", f"tensor of {tensor.dtype} and {tensor.layout}"]
        shape, dtype = list(tensor.shape), str(tensor.dtype).removeprefix("torch.")
        tensor = tensor.resolve_conj().resolve_neg()
        order = list(range(tensor.dim()))
        if not tensor.is_contiguous():
            order.sort(key=lambda axis: tensor.stride()[axis], reverse=True)
            tensor = tensor.permute(order)
        return ["array", [of, dtype, shape, order, self.add_array(tensor)]]

    def add_array(self, tensor: torch.Tensor) -> Any:
        """Puts a tensor's numbers behind those that are there; returns where, and how many."""
        # contiguous() would leave a single number its stride of 2, and view refuses that
        flat = tensor.reshape(-1).clone(memory_format=torch.contiguous_format)
        return self.add(flat.view(torch.uint8).numpy().tobytes())

    def add(self, content: bytes) -> list[int]:
        """Puts bytes behind those that are there; returns where, and how many."""
        place = [sum(map(len, self.parts)), len(content)]
        self.parts.append(content)
        return place


def dumps(value: Any) -> bytes:
    """Returns a message that holds value."""
    writer = Writer()
    text = json.dumps(writer.pack(value)).encode()
    parts = b"".join(writer.parts)
    return b"%d %d\n" % (len(text), len(parts)) + text + parts


class Parts:
    """The bytes of a message's arrays, each of which is read once, in order.

    So no answer can be made of the same bytes a thousand times.
    """

    def __init__(self, content: bytes) -> None:
        self.content, self.read = content, 0

    def take(self, place: list[int]) -> bytes:
        """Returns the bytes at [start, length]; ValueError unless they are the next ones."""
        start, length = place
        if start != self.read or not 0 <= length <= len(self.content) - start:
            raise ValueError(f"{length} bytes at {start} are not the next ones")
        self.read += length
        return self.content[start : self.read]

    def take_array(self, place: list[int], dtype: torch.dtype) -> torch.Tensor:
        """Returns the numbers at [start, length], one behind the other."""
        raw = bytearray(self.take(place))
        return torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)


def unpack(packed: Any, parts: Parts | Handed, make: Any, depth: int = 0) -> Any:
    """Returns the value of [kind, content]; make(kind, fields) builds the objects of cases."""
    kind, content = packed
    if depth > 2 * DEEPEST:
        raise ValueError("a value is nested too deep")

    def many(items: list) -> Iterator[Any]:
        return (unpack(item, parts, make, depth + 1) for item in items)

    if kind == "plain":
        if content is not None and type(content) not in (bool, int, str):
            raise ValueError(f"a {type(content).__name__} is not a plain value")
        if isinstance(content, str):
            content.encode()  # UnicodeEncodeError: half a character, which cannot be printed
        return content
    if kind == "float":
        return float.fromhex(content)
    if kind == "complex":
        return complex(*map(float.fromhex, content))
    if kind == "bytes":
        return parts.take(content)
    if kind == "array":
        of, dtype, shape, order, place = content
        flat = parts.take_array(place, DTYPES[dtype])
        tensor = flat.view([shape[axis] for axis in order])
        if order != list(range(len(order))):
            tensor = tensor.permute(sorted(range(len(order)), key=order.__getitem__))
        return make("array", Array(tensor, of))
    if kind in ("dict", "set") and len(content) > LONGEST_DICT:
        raise ValueError(f"a {kind} of {len(content)} is too long")  # all may have the same hash
    if kind == "dict":
        return dict(zip(many([k for k, _ in content]), many([v for _, v in content]), strict=True))
    if kind == "list":
        return list(many(content))
    if kind == "tuple":
        return tuple(many(content))
    if kind == "set":
        return set(many(content))
    if kind == "lazy":
        return Lazy(list(many(content)))
    if kind == "made":
        return make(content[0], unpack(content[1], parts, make, depth + 1))
    if kind == "strange":
        return Strange(str(content))
    raise ValueError(f"no value is of kind {kind!r}")


def as_it_came(kind: str, content: Any) -> Any:
    """Makes tensors and arrays of arrays, and nothing of what only cases hold."""
    if kind != "array":
        raise ValueError(f"an answer cannot hold a {kind!r}")
    return content.tensor if content.of == "torch" else content.tensor.numpy()


def loads(message: bytes, make: Any = as_it_came) -> Any:
    """Returns the value of a message; ValueError if it is not one."""
    try:
        head, _, rest = message.partition(b"\n")
        n_text, n_parts = map(int, head.split())
        if len(rest) != n_text + n_parts:
            raise ValueError("the message is not as long as it says")
        return unpack(json.loads(rest[:n_text]), Parts(rest[n_text:]), make)
    except (TypeError, LookupError, ArithmeticError, RuntimeError, AttributeError) as error:
        raise ValueError(f"not a message: {error}") from error


class Hand(Writer):
    """Packs a value that stays in this process: what it holds takes the place of bytes.

    Everything is copied, texts and numbers too: `is` must find two objects where a child would.
    """

    def pack(self, value: Any, depth: int = 0) -> list:
        """Returns what Writer.pack does."""
        if type(value) is str:
            value = value.encode(errors="surrogatepass").decode(errors="surrogatepass")
        elif type(value) is int:
            value = value + 1 - 1
        return super().pack(value, depth)

    def add_array(self, tensor: torch.Tensor) -> Any:
        """Returns a copy of a tensor's numbers."""
        return tensor.reshape(-1).clone(memory_format=torch.contiguous_format)

    def add(self, content: bytes) -> Any:
        """Returns a copy of the bytes."""
        return bytes(bytearray(content))


class Handed:
    """The arrays of what a Hand has packed."""

    def take(self, content: bytes) -> bytes:
        """Returns the bytes."""
        return content

    def take_array(self, flat: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Returns the numbers."""
        return flat


def handed_over(value: Any, make: Any = as_it_came) -> Any:
    """Returns loads(dumps(value), make), without the bytes between."""
    return unpack(Hand().pack(value), Handed(), make)


def read_message(stream: BinaryIO) -> bytes | None:
    """Returns the next message of a stream, or None at its end."""
    head = stream.readline(64)
    if not head:
        return None
    try:
        n_text, n_parts = map(int, head.split())
    except ValueError:
        raise ValueError(f"a message begins with two numbers, got {head!r}") from None
    if not (head.endswith(b"\n") and 0 <= n_text <= LONGEST and 0 <= n_parts <= LONGEST):
        raise ValueError(f"a message of {n_text} + {n_parts} bytes is refused")
    body = stream.read(n_text + n_parts)
    if len(body) != n_text + n_parts:
        raise ValueError("the message ends too early")
    return head + body
