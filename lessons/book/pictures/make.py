"""Makes the README's pictures: two views of the book, and the grader at work.

    minigpt course && python -m lessons.book.pictures.make

It takes the book from runs/book and photographs it in Chrome, Edge or Chromium, by way of
playwright, which comes with the extra `test`. The grader's picture holds its text, too, so that a
test can say when the grader no longer prints what the picture shows.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image
    from playwright.sync_api import Browser
    from rich.console import Console

    from lessons.grading.worker import Sandbox

HERE = Path(__file__).resolve().parent
BOOK = Path("runs/book")
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge", "microsoft-edge")
COMMAND = "minigpt exercise check 8 --only 8.1,8.2"
COLUMNS = 80
TERMINAL = """<body style="margin: 0; background: #17191e; color: #d6d9de">
<pre style="margin: 20px 24px; font: 13px/1.4 'DejaVu Sans Mono', Menlo, Consolas, monospace"
>{code}</pre>"""


def report(sandbox: Sandbox | None = None) -> Console:
    """Checks a right answer and a wrong one as COMMAND does; returns a console with the report."""
    from rich.console import Console

    from lessons.grading.check import check_text
    from lessons.grading.registry import task_of, tasks_of
    from lessons.grading.report import Report
    from lessons.grading.trivial import submission_of

    first, second = task_of("8.1"), task_of("8.2")
    (wrong,) = (m for m in second.bank.mistakes if m.name == "alpha is not divided by r")
    code = submission_of(first, first.bank.answers[0]) + "\n" + wrong.code
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, legacy_windows=False,
        color_system="standard", markup=False, highlight=False, emoji=False,
    )  # fmt: skip
    console.print(f"$ {COMMAND}\n", style="bold")
    verdicts = check_text(code, tasks_of(8), only=(first.id, second.id), sandbox=sandbox)
    shown = Report(console)
    shown.show(replace(verdict, seconds=0.0) for verdict in verdicts)  # it shows no 0.0 s
    shown.summary(8, verdicts)
    return console


@contextmanager
def browser() -> Iterator[Browser]:
    """Starts a browser that is installed, or the one that `playwright install chromium` fetches."""
    from playwright.sync_api import sync_playwright

    path = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    with sync_playwright() as running:
        started = running.chromium.launch(executable_path=path)
        yield started
        started.close()


def photograph(
    started: Browser, page: Path, width: int, height: int, above: int = 0, **how: Any
) -> Image:
    """Returns what a window of this size shows of a page.

    Args:
        above: how much stands above the page's first figure; 0 begins with the page.
        how: options of playwright's new_page.
    """
    from PIL import Image

    size: Any = {"width": width, "height": height}
    window = started.new_page(viewport=size, **how)
    window.goto(page.resolve().as_uri())
    if above:
        top = "figure => window.scrollBy(0, figure.getBoundingClientRect().top - %d)"
        window.locator("figure").first.evaluate(top % above)
    return Image.open(io.BytesIO(window.screenshot()))


def save(picture: Image, name: str, text: str = "") -> None:
    """Writes a picture with few colours, which makes its file small."""
    from PIL.Image import Dither
    from PIL.PngImagePlugin import PngInfo

    about = PngInfo()
    if text:
        about.add_itxt("Description", text)
    path = HERE / f"{name}.png"
    picture.convert("RGB").quantize(192, dither=Dither.NONE).save(
        path, optimize=True, pnginfo=about
    )
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def make_book(started: Browser) -> None:
    """Puts a figure of lesson 8 and the contents, narrow and dark, beside each other."""
    from PIL import Image

    sharp: dict[str, Any] = {"device_scale_factor": 1.5}
    page, contents = BOOK / "lesson-08.html", BOOK / "index.html"
    wide = photograph(started, page, 1000, 760, 330, color_scheme="light", **sharp)
    narrow = photograph(started, contents, 390, 760, color_scheme="dark", **sharp)
    gap = 24
    both = Image.new("RGB", (wide.width + gap + narrow.width, wide.height), "#8a8f98")
    both.paste(wide, (0, 0))
    both.paste(narrow, (wide.width + gap, 0))
    save(both, "book")


def make_grader(started: Browser) -> None:
    """Sets the grader's report as a terminal shows it."""
    from rich.terminal_theme import MONOKAI

    console = report()
    text = console.export_text(clear=False)
    html = console.export_html(theme=MONOKAI, code_format=TERMINAL, inline_styles=True)
    lines = len(text.splitlines())
    page = HERE / "grader.html"
    try:
        page.write_text(html, encoding="utf-8")
        save(photograph(started, page, 680, 40 + round(18.2 * lines)), "grader", text)
    finally:
        page.unlink(missing_ok=True)


def main() -> None:
    """Makes both pictures."""
    with browser() as started:
        make_grader(started)
        make_book(started)


if __name__ == "__main__":
    main()
