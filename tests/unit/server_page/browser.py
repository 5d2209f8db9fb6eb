"""What the tests of the page share: a browser, a person before it, and the questions they put to what is on the screen.

The journeys of `test_journeys` need a fixture ``served``, the address of a server over the example base: another folder
imports them with the fixtures of this module, and gives its own ``served``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.unit.server_page.fake_server import FakeServer, example_facts, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page

ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
WAIT = 15_000
"""Milliseconds that a person waits for something to appear, on a machine that runs other tests as well."""


@dataclass
class Person:
    """Somebody before the page, and what the browser complained about."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def ask(self, question: str) -> str:
        """Types a question, presses Enter and reads the answer."""
        self.page.fill("#question", question)
        self.page.press("#question", "Enter")
        self.page.locator(".asked", has_text=question).wait_for()
        return self.answer()

    def answer(self) -> str:
        """The answer that stands there, without one struck out beside it."""
        self.page.locator("#answer:not(.pending) .said").wait_for()
        return str(
            self.page.locator(".said").evaluate(
                "said => [...said.childNodes].filter(node => !node.matches?.('del, .hidden'))"
                ".map(node => node.textContent).join('').trim()"
            )
        )

    def button(self, name: str, *, inside: str = "body") -> Locator:
        """A button by its whole name."""
        return self.page.locator(inside).get_by_role("button", name=name, exact=True)

    def changed(self, *texts: str) -> str:
        """What the bar at the foot says, once it says all of `texts`."""
        bar = self.page.locator("#changed .snack")
        for text in texts:
            bar = bar.filter(has_text=text)
        bar.wait_for()
        self.page.locator("body:not(.busy)").wait_for()
        return bar.inner_text()

    def rows(self, count: int) -> Locator:
        """The rows of the table, once there are so many."""
        from playwright.sync_api import expect

        rows = self.page.locator("#rows tr[data-fact]")
        expect(rows).to_have_count(count, timeout=WAIT)
        return rows

    def focused(self) -> str:
        """Text or name of the element that has the focus."""
        return str(
            self.page.evaluate(
                "[document.activeElement].map(one => (one.ariaLabel || one.innerText || one.id).trim())[0]"
            )
        )

    def complain(self, message: ConsoleMessage) -> None:
        """Keeps an error that the browser wrote to its console."""
        if message.type == "error":
            self.complaints.append(message.text)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    """The stand-in server over the example base."""
    with serving(example_facts()) as server:
        yield server


def visit(browser: Browser, url: str, *, width: int = 1200, dark: bool = False, path: str = "") -> Iterator[Person]:
    """Opens the page for a person, and closes it; afterwards the base is as it was.

    Raises:
        AssertionError: if the browser complained meanwhile.
    """
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    context.set_default_timeout(WAIT)
    context.set_default_navigation_timeout(4 * WAIT)  # the first page of a browser also starts what draws it
    try:
        page = context.new_page()
        person = Person(page)
        page.on("console", person.complain)
        page.on("pageerror", lambda error: person.complaints.append(str(error)))
        page.goto(url + path)
        page.locator("body:not(.busy) #rows tr[data-fact]").first.wait_for(state="attached")
        before = page.request.get(f"{url}health").json()["version"]
        yield person
        calls = page.request.get(f"{url}log?limit=50")
        for call in calls.json()["calls"] if calls.ok else []:
            if call["id"] > before and call["what"] != "undo" and call["undone_by"] is None:
                page.request.post(f"{url}undo", data={"call": call["id"]})
        assert person.complaints == []
    finally:
        context.close()


@pytest.fixture
def person(browser: Browser, served: str) -> Iterator[Person]:
    """Somebody before the page of the server."""
    yield from visit(browser, served)
