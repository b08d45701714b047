"""From the bytes of a file to its text: UTF-8, compressed with gzip or not, piece by piece.

A file of any size takes the memory of one piece or, read by lines, of its longest line. What is not
text (an archive, a table in binary, UTF-16) is recognised by its first bytes and refused by name.
"""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from minigpt.files.atomic import reason_of
from minigpt.files.regular_file import open_regular

CHUNK = 1 << 18  # bytes read at a time
LONGEST = 1 << 26  # characters of a line or of a value that are held in memory at most
GZIP = b"\x1f\x8b"

UNPACK = "unpack it first"
EXPORT = "write it as JSON Lines first, with pandas: to_json(PATH, orient='records', lines=True)"
# How files begin that are not text, what they are, and what to do with them.
NOT_TEXT: tuple[tuple[bytes, str, str], ...] = (
    (rb"PK(\x03\x04|\x05\x06)", "a zip archive (or a spreadsheet)", UNPACK),
    (rb"\xfd7zXZ\x00", "compressed with xz", UNPACK),
    (rb"BZh[1-9]1AY&SY", "compressed with bzip2", UNPACK),
    (rb"(\x28\xb5|[\x50-\x5f]\x2a)[\x2f\x4d]", "compressed with zstd", UNPACK),
    (rb"\x04\x22\x4d\x18", "compressed with lz4", UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (rb"Rar!\x1a\x07", "a rar archive", UNPACK),
    (rb"\x1f\x8b", "compressed with gzip twice", UNPACK),
    (rb"(?s).{257}ustar", "a tar archive", UNPACK),
    (rb"PAR1", "a Parquet table", EXPORT),
    (rb"ARROW1|FEA1|\xff\xff\xff\xff", "an Arrow table", EXPORT),
    (rb"Obj\x01|ORC", "a binary table (Avro or ORC)", EXPORT),
    (rb"\x89HDF|\xd0\xcf\x11\xe0", "a binary table (HDF5 or Excel)", EXPORT),
    (rb"SQLite format 3\x00", "an SQLite database", "write the table as CSV first"),
    (rb"version https://git-lfs", "a pointer of Git LFS", "fetch the file that it stands for"),
    (rb"%PDF-", "a PDF document", "save it as plain text first"),
    (rb"\{\\rtf", "a document in RTF", "save it as plain text first"),
    (rb"\x80[\x02-\x05]", "a pickle of Python objects", "write it as JSON Lines first"),
    (rb"\xff\xfe|\xfe\xff|\x00\x00\xfe\xff", "UTF-16 or UTF-32", "save it as UTF-8"),
)


def text_chunks(path: str | Path) -> Iterator[str]:
    """Yields the text of a file in pieces of about 256 kB, without a byte-order mark.

    Raises:
        OSError: as open_regular.
        ValueError: it is damaged, or not text in UTF-8. The error names the file, and the line if
            there is one.
    """
    path = Path(path)
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    line, first = 1, True
    with open_bytes(path) as stream:
        while True:
            data = read_bytes(stream, path)
            if first:
                check_is_text(data, path)
                first = False
            try:
                text = decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                raise ValueError(
                    f"{path}, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8 "
                    "text; save the file with the encoding UTF-8"
                ) from None
            if text:
                yield text
                line += text.count("\n")
            if not data:
                return


def open_bytes(path: Path) -> IO[bytes]:
    """Opens a regular file, or what gzip has compressed in it, whatever its name ends in."""
    stream = open_regular(path)
    try:
        compressed = stream.peek(2)[:2] == GZIP  # type: ignore[attr-defined]
    except OSError as error:
        raise OSError(f"{path} cannot be read: {reason_of(error)}") from None
    return gzip.GzipFile(fileobj=stream) if compressed else stream  # type: ignore[return-value]


def read_bytes(stream: IO[bytes], path: Path) -> bytes:
    """Reads the next bytes; an error of compression names the file."""
    try:
        return stream.read(CHUNK)
    except EOFError:
        raise ValueError(f"{path} is cut short: its gzip data have no end; copy it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} has damaged gzip data ({error}); copy it again") from None
    except OSError as error:
        raise OSError(f"{path} cannot be read: {reason_of(error)}") from None


def check_is_text(head: bytes, path: Path) -> None:
    """Raises ValueError if these first bytes of a file are those of another kind of file."""
    kinds = ((kind, advice) for magic, kind, advice in NOT_TEXT if re.match(magic, head))
    kind, advice = next(kinds, ("", ""))
    if not kind and head[:4096].count(0) > len(head[:4096]) / 8:
        kind, advice = "UTF-16 or binary", "save it as UTF-8"
    if kind:
        raise ValueError(f"{path} is not a text file but {kind}; {advice}")


def split_lines(path: str | Path, longest: int | None = LONGEST) -> Iterator[str]:
    r"""Yields the lines of a file without the "\n" that ends them, which is the only line end.

    The last line need not have one. A "\r" before it stays, as do all other characters that some
    programs take for a line end.

    Args:
        longest: the most characters that a line may have; None for any number.

    Raises:
        OSError, ValueError: as text_chunks; or a line is too long.
    """
    number, begun, size = 1, [], 0  # begun: the pieces of a line whose end is still to come
    for chunk in text_chunks(path):
        first, *others = chunk.split("\n")
        begun.append(first)
        size += len(first)
        if longest is not None and size > longest:
            raise ValueError(
                f"{path}, line {number}: more than {longest:,} characters without a line end; "
                "one record must fit into memory"
            )
        if others:
            yield "".join(begun)
            yield from others[:-1]
            number += len(others)
            begun, size = [others[-1]], len(others[-1])
    if size:
        yield "".join(begun)


def read_lines(path: str | Path, longest: int | None = LONGEST) -> Iterator[str]:
    r"""Yields the lines of a file without their ends, which are "\n" or "\r\n" and nothing else."""
    return (line.removesuffix("\r") for line in split_lines(path, longest))
