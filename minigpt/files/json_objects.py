"""Files that hold one JSON object: settings, results, a checkpoint's commit record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json_object(path: Path) -> dict[str, Any]:
    """Reads a file that holds one JSON object.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or holds something else; the error names the file.
    """
    return parse_json_object(path.read_bytes(), path)


def parse_json_object(text: str | bytes, path: Path) -> dict[str, Any]:
    """Parses text that is one JSON object; the error names path, from which the text was read.

    Raises:
        ValueError: text is damaged, or something other than a JSON object.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is cut short or damaged ({error})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} should be one JSON object")
    return found
