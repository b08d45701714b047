"""The figures that can be played with, in a real browser: by mouse, by finger, by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import torch

from kernels import dequantize_nf4, quantize_nf4
from minigpt import load_pretrained
from minigpt.generation import apply_temperature, generate, keep_top_k, keep_top_p
from tests.lessons.book.checks.plays import PROMPT, plays
from tests.lessons.book.checks.small_book import write_small_book

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    book = write_small_book(tmp_path_factory.mktemp("book"), playable=True)
    return (book / "lesson-01.html").as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page with the figures; its test fails if the page reports an error."""
    errors: list[str] = []
    with browser.new_context(viewport={"width": 1280, "height": 900}, has_touch=True) as opened:
        page = opened.new_page()
        page.on("console", lambda message: errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        yield page
    assert errors == []


def figure(page: Page, name: str) -> Locator:
    found = page.locator(f'figure[data-play="{name}"]')
    found.scroll_into_view_if_needed()
    return found


def move(slider: Locator, key: str, times: int) -> None:
    """Moves a slider by the keyboard."""
    slider.focus()
    for _ in range(times):
        slider.press(key)


def test_sliders_cut_off_what_the_library_cuts_off(page: Page) -> None:
    sampling = figure(page, "sampling")
    move(sampling.get_by_label("Temperature"), "ArrowLeft", 6)
    assert sampling.get_by_label("Temperature").get_attribute("aria-valuetext") == "0.70"
    move(sampling.get_by_label("Top-k"), "ArrowLeft", 5)
    move(sampling.get_by_label("Top-p"), "ArrowLeft", 50)
    logits = apply_temperature(torch.tensor([plays()["sampling"]["logits"]]), 0.7)
    kept = keep_top_p(keep_top_k(logits, 100), 0.5)
    n = int(kept.isfinite().sum())
    status = sampling.get_by_role("status").first.text_content()
    assert status.startswith(f"{n} of 4,096 tokens can be drawn")
    assert 1 < n < 100
    best = kept.softmax(-1)[0].topk(25)
    shown = sampling.locator("tbody tr td:last-child").all_text_contents()
    assert shown[:25] == [f"{100 * p:.1f}%" if p else "cut: top-p" for p in best.values.tolist()]
    assert sampling.locator("tr.cut").count() == 25 - n


def continuation(sampling: Locator, button: str) -> list[str]:
    """Presses a button, and returns the tokens of the continuation that appears."""
    news = sampling.get_by_role("status").last
    before = news.text_content()
    sampling.get_by_role("button", name=button).click()
    for _ in range(300):
        if (text := news.text_content()) != before and text.startswith("40 tokens"):
            break
        sampling.page.wait_for_timeout(100)
    return sampling.locator(".play-text button").all_text_contents()


def test_the_page_writes_what_generate_writes_and_repeats_it_by_its_seed(page: Page) -> None:
    sampling = figure(page, "sampling")
    sampling.get_by_role("button", name="Draw a continuation").click()  # and again, impatiently
    first = continuation(sampling, "Draw a continuation")
    assert len(first) == 40
    other = continuation(sampling, "Another seed")
    assert other != first
    sampling.get_by_label("Seed").fill("1")
    sampling.get_by_label("Seed").press("Tab")
    page.wait_for_function(
        "expected => [...document.querySelectorAll('.play-text button')]"
        ".map((b) => b.textContent).join('|') === expected",
        arg="|".join(first),
    )
    move(sampling.get_by_label("Top-k"), "Home", 1)  # the best token alone, and it writes anew
    model, encoding = load_pretrained("base")
    ids = encoding.encode_ordinary(PROMPT)
    expected = generate(model, torch.tensor([ids]), 40, temperature=0)[0, len(ids) :].tolist()
    tokens = [plays()["sampling"]["tokens"][i].replace("\n", "↵") for i in expected]
    page.wait_for_function(
        "expected => [...document.querySelectorAll('.play-text button')]"
        ".map((b) => b.textContent).join('|') === expected",
        arg="|".join(tokens),
    )


def test_a_drawn_token_leads_to_the_bars_it_was_drawn_from(page: Page) -> None:
    sampling = figure(page, "sampling")
    tokens = continuation(sampling, "Draw a continuation")
    for place in (3, 20):
        sampling.locator(".play-text button").nth(place).click()
        drawn = sampling.locator("tr.drawn th").text_content()
        visible = tokens[place].replace(" ", "·")
        assert drawn == f"{visible} ◂ drawn"
        assert sampling.locator('button[aria-pressed="true"]').text_content() == tokens[place]


def lit(attention: Locator) -> list[str]:
    return attention.locator(".play-tokens small").all_text_contents()


def shares(layer: int, head: int, row: int) -> list[str]:
    """Returns what the tokens say while token `row` asks."""
    map = plays()["attention"]["maps"][layer][head]
    return [f"{100 * share:.1f}%" if j <= row else "hidden" for j, share in enumerate(map[row])]


def test_a_token_lights_what_it_reads_by_pointer_by_keyboard_and_by_touch(page: Page) -> None:
    attention = figure(page, "attention")
    attention.locator("label[title='Layer 1, head 2']").click()
    token = attention.locator(".play-tokens button")
    token.nth(3).hover()
    assert lit(attention) == shares(1, 2, 3)
    attention.get_by_label("Layer 1, head 2").focus()
    page.keyboard.press("ArrowLeft")  # the head before
    assert lit(attention) == shares(1, 1, 3)
    for _ in range(3):
        page.keyboard.press("Tab")
    assert lit(attention) == shares(1, 1, 2)
    token.nth(4).tap()
    assert lit(attention) == shares(1, 1, 4)
    assert attention.locator("tr.asking th").text_content() == "·down"
    row = attention.locator("tr.asking td:not(.hidden)").all_text_contents()
    assert row == [f"{100 * share:.0f}" for share in plays()["attention"]["maps"][1][1][4][:5]]
    best = max(plays()["attention"]["maps"][1][1][4])
    assert f"{100 * best:.1f}%" in attention.get_by_role("status").text_content()


def check_errors(nf4: Locator, number: int, block_size: int) -> float:
    """Compares the errors that are shown with the library's; returns the weight's new value."""
    value = float(nf4.get_by_label("Its value").input_value())
    row = torch.tensor(plays()["nf4"]["weights"])
    row[number] = value
    q = quantize_nf4(row, block_size, double_quant=False)
    error = (dequantize_nf4(q).double() - row.double()).abs()
    status = nf4.get_by_role("status").text_content()
    shown = re.search(r"Mean error of all 64: ([\d.]+)", status)
    assert float(shown[1]) == pytest.approx(float(error.mean()), abs=6e-6)
    assert f"(absmax) {q.absmax[number // block_size]:.4f}" in status
    nf4.locator("summary").click()
    cells = nf4.locator("tbody td:last-child").all_text_contents()
    nf4.locator("summary").click()
    assert [float(cell) for cell in cells] == pytest.approx(error.tolist(), abs=6e-5)
    return value


def test_a_weight_becomes_an_outlier_by_mouse_by_finger_and_by_keyboard(page: Page) -> None:
    nf4 = figure(page, "nf4")
    weights = plays()["nf4"]["weights"]
    chart = nf4.locator(".play-chart")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    x = box["x"] + box["width"] * 10.5 / 64
    page.mouse.click(x, box["y"] + 200)
    assert check_errors(nf4, 10, 64) == pytest.approx(weights[10], abs=1e-6)  # a click moves none
    page.mouse.move(x, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(x, box["y"] + 120, steps=4)
    page.mouse.up()
    page.mouse.move(x, box["y"] + 50)  # the button is up
    value = check_errors(nf4, 10, 64)
    assert value > weights[10] + 0.1

    handle = nf4.locator(".handle").bounding_box()
    middle = [handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2]
    finger = page.context.new_cdp_session(page)
    scrolled = page.evaluate("scrollY")
    for up in range(0, 64, 4):  # far enough for a browser to scroll, if it were not told to let be
        points = [{"x": middle[0], "y": middle[1] + up}]
        kind = "touchMove" if up else "touchStart"
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.wait_for_timeout(20)
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert page.evaluate("scrollY") == scrolled
    nf4.get_by_label("32", exact=True).check()
    assert check_errors(nf4, 10, 32) < value - 0.1

    nf4.get_by_label("Weight").focus()
    page.keyboard.press("ArrowRight")
    value = float(nf4.get_by_label("Its value").input_value())
    assert value == pytest.approx(weights[11], abs=1e-6)
    nf4.get_by_role("button", name="As in the model").click()
    move(nf4.get_by_label("Its value"), "End", 1)
    assert check_errors(nf4, 11, 32) == pytest.approx(2.5 * max(map(abs, weights)), rel=1e-3)
