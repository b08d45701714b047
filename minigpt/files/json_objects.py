"""Files that hold one JSON object: settings, results, a checkpoint's commit record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json_object(path: Path) -> dict[str, Any]:
    """Returns the JSON object that is all of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or holds something else; the sentence names the file.
    """
    return parse_json_object(path.read_bytes(), path)


def parse_json_object(text: str | bytes, path: Path) -> dict[str, Any]:
    """Returns the JSON object that text is; path is where the text comes from, for the error.

    Raises:
        ValueError: text is damaged, or something else.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is cut short or damaged ({error})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} should be one JSON object")
    return found
