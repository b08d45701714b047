"""The pages of a book in a real browser: narrow and wide, light and dark, and printed.

MINIGPT_BOOK=runs/book pytest tests/lessons/book/test_browser.py    # looks at a book that you have

It takes Chrome, Edge or Chromium as it is installed; where there is none, the tests are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.lessons.book.checks.contrast import ENOUGH, contrast
from tests.lessons.book.checks.small_book import write_small_book

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

PAGES = ["index.html", "glossary.html", "lesson-01.html", "lesson-03.html", "lesson-06.html"]
WIDTHS = {"phone": 390, "tablet": 820, "desktop": 1280}
LONGEST = 9  # of a list of faults, in what a test says

BROKEN = "() => [...document.images].filter((i) => !i.naturalWidth).map((i) => i.src)"

# The colour of each text of the page, what is behind it, and the text.
COLOURS = """() => {
  const hex = (colour) => '#' + colour.match(/[\\d.]+/g).slice(0, 3)
    .map((part) => part * (colour.startsWith('color(') ? 255 : 1))  // a mixed colour is in shares
    .map((part) => Math.round(part).toString(16).padStart(2, '0')).join('');
  const solid = (colour) => !/, 0\\)$/.test(colour);
  const found = new Map();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.data.trim();
    const element = texts.currentNode.parentElement;
    if (!text || !element.checkVisibility()) continue;
    const behind = (one) => {
      const colour = getComputedStyle(one).backgroundColor;
      return solid(colour) || !one.parentElement ? colour : behind(one.parentElement);
    };
    const pair = [hex(getComputedStyle(element).color), hex(behind(element))];
    found.set(pair.join(), [...pair, text.slice(0, 40)]);
  }
  return [...found.values()];
}"""

# What sticks out of the page, or of a part that cannot be scrolled.
OVERFLOWING = """() => {
  const page = document.scrollingElement;
  const wide = page.scrollWidth > innerWidth ? [`page: ${page.scrollWidth} of ${innerWidth}`] : [];
  const scrolls = (element) => element && (
    ['auto', 'scroll', 'hidden'].includes(getComputedStyle(element).overflowX)
    || scrolls(element.parentElement));
  for (const element of document.querySelectorAll('main *, nav *')) {
    const right = element.getBoundingClientRect().right;
    if (right > innerWidth + 1 && !scrolls(element)) wide.push(element.outerHTML.slice(0, 80));
  }
  return wide;
}"""


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chosen = os.environ.get("MINIGPT_BOOK")
    if chosen:
        return Path(chosen).resolve()
    return write_small_book(tmp_path_factory.mktemp("book"), playable=True)


def look(
    browser: playwright.Browser, book: Path, names: Iterable[str], width: int, scheme: str
) -> tuple[list[str], set[str]]:
    """Loads pages, and returns all that is wrong with them, and the colours of their grounds."""
    faults: list[str] = []
    grounds = set()
    with browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme
    ) as opened:
        page = opened.new_page()
        page.on("console", lambda message: faults.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"script: {error}"))
        page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}"))
        for name in names:
            page.goto((book / name).as_uri(), wait_until="load")
            faults += [f"{name}: broken: {source}" for source in page.evaluate(BROKEN)]
            faults += [f"{name}: overflows: {what}" for what in page.evaluate(OVERFLOWING)]
            for colour, ground, text in page.evaluate(COLOURS):
                if contrast(colour, ground) < ENOUGH:
                    faults.append(f"{name}: {colour} on {ground} is hard to read: {text}")
            grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    return faults, grounds


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_pages_load_whole_fit_the_window_and_can_be_read(
    browser: playwright.Browser, book: Path, width: int, scheme: str
) -> None:
    chosen = "MINIGPT_BOOK" in os.environ
    names = sorted(path.name for path in book.glob("*.html")) if chosen else PAGES
    faults, grounds = look(browser, book, names, width, scheme)
    assert faults[:LONGEST] == []
    assert grounds == {"rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)"}


@pytest.mark.parametrize(
    ("markup", "said"),
    [
        ('<img src="gone.png" alt="x">', ["broken: ", "failed: "]),
        ('<p style="width: 5000px">wide</p>', ["overflows: page", "overflows: <p"]),
        ('<p style="color: #999; background: #fff">pale</p>', ["is hard to read: pale"]),
        ("<script>console.error('no'); none.such</script>", ["error: no", "script: "]),
    ],
)
def test_what_is_wrong_with_a_page_would_be_seen(
    browser: playwright.Browser, book: Path, tmp_path: Path, markup: str, said: list[str]
) -> None:
    text = (book / "index.html").read_text(encoding="utf-8").replace("</main>", f"{markup}</main>")
    (tmp_path / "index.html").write_text(text, encoding="utf-8")
    (tmp_path / "style.css").write_bytes((book / "style.css").read_bytes())
    faults, _ = look(browser, tmp_path, ["index.html"], 820, "light")
    assert all(any(part in fault for fault in faults) for part in said)
    assert len(faults) <= len(said) + 1  # a missing picture is an error in the console, too


def test_the_phone_s_tables_are_lists_that_name_each_column(
    browser: playwright.Browser, tmp_path: Path
) -> None:
    book = write_small_book(tmp_path)
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.goto((book / "lesson-01.html").as_uri())
    cell = page.locator("table.rows td", has_text="Paper").first
    before = "(cell) => getComputedStyle(cell, '::before').content"
    assert cell.evaluate(before) == '"Source: "'
    assert cell.bounding_box()["width"] > 300
    assert page.get_by_role("cell", name="Paper").count() >= 5  # it still is one to a screen reader
    assert page.get_by_role("rowheader").count() >= 7


def test_the_keyboard_leads_past_the_navigation_and_shows_where_it_is(
    browser: playwright.Browser, tmp_path: Path
) -> None:
    book = write_small_book(tmp_path)
    page = browser.new_page()
    page.goto((book / "lesson-01.html").as_uri())
    focused = "document.activeElement.textContent"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Skip to the text"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_print_has_all_of_long_lines_and_no_navigation(
    browser: playwright.Browser, tmp_path: Path
) -> None:
    book = write_small_book(tmp_path)
    context = browser.new_context(viewport={"width": 700, "height": 900}, color_scheme="dark")
    page = context.new_page()
    page.goto((book / "lesson-01.html").as_uri())
    assert page.get_by_role("navigation", name="Book").is_visible()
    page.emulate_media(media="print")
    assert not page.get_by_role("navigation", name="Book").is_visible()
    assert page.locator("body > nav:visible").count() == 0
    cut = (
        "[...document.querySelectorAll('pre')].filter((p) => p.scrollWidth > p.clientWidth).length"
    )
    assert page.evaluate(cut) == 0
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    context.close()
