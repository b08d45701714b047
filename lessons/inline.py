"""Shows a lesson's figures and tables where it runs in a notebook.

A notebook shows what is given to IPython as a bundle: the same thing as PNG or HTML and, for those
who cannot see it, as text. A notebook's file holds such bundles, too.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from lessons.closing_tables import Table


class Bundle(NamedTuple):
    """An output by its formats, and what else a notebook should know of each."""

    data: dict[str, str]
    metadata: dict[str, Any]

    def show(self) -> None:
        """Shows it below the cell that runs."""
        from IPython.display import display

        display(self.data, metadata=self.metadata, raw=True)


def in_notebook() -> bool:
    """Tells whether this runs in the kernel of a notebook, which has no command line."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def figure_bundle(path: Path, alt: str) -> Bundle:
    """Returns a PNG with the text that stands for it."""
    png = base64.b64encode(path.read_bytes()).decode("ascii")
    return Bundle({"image/png": png, "text/plain": alt}, {"image/png": {"alt": alt}})


def tables_bundle(tables: Iterable[Table]) -> Bundle:
    """Returns tables under their titles."""
    tables = list(tables)
    text = "\n\n".join(f"{table.title}\n\n{table.as_text()}" for table in tables)
    return Bundle({"text/html": "\n".join(t.as_html() for t in tables), "text/plain": text}, {})
