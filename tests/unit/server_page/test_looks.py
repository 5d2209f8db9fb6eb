"""Narrow and wide, dark and light, and how well its text can be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.unit.server_page.browser import Person, visit
from tests.unit.server_page.fake_server import FakeServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ASKED = "Who was the director of the Harrowgate Museum in 2001?"

CONTRAST = """() => {
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (text) => {
    probe.clearRect(0, 0, 1, 1); probe.fillStyle = text; probe.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = probe.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map((at) => top[at] * top[3] + under[at] * (1 - top[3])).concat(1);
  const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const ratio = (one, other) => {
    const [more, less] = [light(one), light(other)].sort((x, y) => y - x);
    return (more + 0.05) / (less + 0.05);
  };
  const style = (node, part) => getComputedStyle(node, part);
  const behind = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) {
      layers.push(rgba(getComputedStyle(at).backgroundColor));
      if (layers.at(-1)[3] === 1) break;
    }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const seen = { opacityProperty: true, visibilityProperty: true };
  const shown = (node) => node.checkVisibility(seen) && !node.closest(".hidden, .skip");
  const found = [];
  const weigh = (node, color, text) => {
    const ground = behind(node);
    found.push([ratio(over(rgba(color), ground), ground), text.trim().slice(0, 60)]);
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const [text, node] = [walk.currentNode.data, walk.currentNode.parentElement];
    if (text.trim() && shown(node) && !node.closest("option, datalist")) weigh(node, style(node).color, text);
  }
  for (const node of document.querySelectorAll("input, select, textarea")) {
    if (!shown(node)) continue;
    weigh(node, style(node).color, `value of ${node.id || node.name}`);
    if (node.placeholder) weigh(node, style(node, "::placeholder").color, node.placeholder);
  }
  const band = document.querySelector("rect.band");
  if (band) {
    const tint = [...rgba(style(band).fill).slice(0, 3), Number(style(band).opacity)];
    const ground = over(tint, behind(document.querySelector("#timeline")));
    for (const text of [".window-text", ".who", "#timeline h3"]) {
      found.push([ratio(rgba(style(document.querySelector(text)).color), ground), `${text} on the band`]);
    }
  }
  return found;
}"""

UNNAMED = """() => [...document.querySelectorAll("button, input, select, textarea, dialog, form, section, .meter")]
  .filter((node) => !node.labels?.length && !node.ariaLabel && !node.getAttribute("aria-labelledby"))
  .filter((node) => !node.textContent.trim()).map((node) => node.outerHTML)"""


@pytest.fixture(params=[False, True], ids=["light", "dark"])
def seen(browser: Browser, fake: FakeServer, request: pytest.FixtureRequest) -> Iterator[Person]:
    """The page in light and in dark."""
    yield from visit(browser, fake.url, dark=request.param)


@pytest.fixture(params=[320, 390, 768, 1000])
def narrow(browser: Browser, fake: FakeServer, request: pytest.FixtureRequest) -> Iterator[Person]:
    """The page on narrow screens."""
    yield from visit(browser, fake.url, width=request.param)


def pale(person: Person) -> list[str]:
    """The texts whose contrast is under 4.5:1; there must be some text."""
    found = person.page.evaluate(CONTRAST)
    assert len(found) > 30
    return [f"{ratio:.2f} {text}" for ratio, text in found if ratio < 4.5]


def test_all_text_can_be_read(seen: Person) -> None:
    assert pale(seen) == []
    seen.ask(ASKED)
    seen.button("Add a fact").click()
    seen.page.hover(".said a.part")
    assert seen.page.locator(".lit").count() >= 3
    assert pale(seen) == []
    seen.page.locator(".weighed.source").get_by_role("button", name="Take away").last.click()
    seen.changed("Taken away")
    assert pale(seen) == []
    seen.page.get_by_role("button", name="History").first.click()
    seen.page.locator("#versions li").first.wait_for()
    assert pale(seen) == []


def test_notices_and_errors_can_be_read(seen: Person, fake: FakeServer) -> None:
    seen.ask("Who was the director of the Harrowgate Museum in Roman times?")
    assert "in Roman times" in seen.page.locator(".notice").inner_text()
    assert pale(seen) == []
    seen.ask("Tell me a story")
    seen.page.get_by_role("button", name="Change").first.click()
    seen.page.get_by_label("From").last.fill("then")
    seen.button("Save").click()
    seen.page.locator("#edit .error:not(:empty)").wait_for()
    assert pale(seen) == []
    seen.page.keyboard.press("Escape")
    fake.writable = False
    seen.page.locator("#rows").get_by_role("button", name="Delete").first.click()
    seen.page.locator("#alerts .snack").wait_for()
    assert pale(seen) == []
    seen.complaints.clear()


def test_nothing_runs_over_the_side(narrow: Person) -> None:
    def overhang() -> int:
        return int(narrow.page.evaluate("document.documentElement.scrollWidth - innerWidth"))

    assert overhang() <= 0
    narrow.ask(ASKED)
    narrow.button("Add a fact").click()
    assert overhang() <= 0
    narrow.page.locator(".weighed.source").get_by_role("button", name="Take away").last.click()
    narrow.changed("Taken away")
    assert overhang() <= 0
    narrow.page.get_by_role("button", name="Change").last.click()
    dialog = narrow.page.locator("#edit-dialog").bounding_box()
    assert dialog
    assert dialog["x"] >= 0
    assert dialog["x"] + dialog["width"] <= narrow.page.viewport_size["width"]  # type: ignore[index]


def test_every_control_has_a_name_and_every_id_is_there_once(seen: Person) -> None:
    seen.ask(ASKED)
    unnamed = seen.page.evaluate(UNNAMED)
    assert unnamed == []
    ids = seen.page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))
    assert seen.page.evaluate("[...document.querySelectorAll('h1, h2, h3')].length") >= 4
