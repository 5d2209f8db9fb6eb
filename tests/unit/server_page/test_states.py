"""What the page does with servers and bases that are not the ordinary case."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from tests.unit.server_page.browser import Person, visit
from tests.unit.server_page.fake_server import PAGE, FakeServer, Row, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ASKED = "Who was the director of the Harrowgate Museum in 2001?"
BAD = "<img src=x onerror=window.hurt=1>"


@contextmanager
def over(browser: Browser, facts: list[Row]) -> Iterator[Person]:
    """A person before the page of a base that holds other facts."""
    with serving(facts) as server:
        yield from visit(browser, server.url)


def test_a_list_has_a_mark_for_each_item_and_a_count_a_link_to_each_fact(person: Person) -> None:
    assert person.ask("List each director of the Harrowgate Museum") == "Odile Brennan; Tomas Iveland; Priya Castellan"
    hrefs = [part.get_attribute("href") for part in person.page.locator(".said a.part").all()]
    assert len(set(hrefs)) == 3
    assert person.page.locator(".said mark").count() == 3
    assert person.ask("How many director of the Harrowgate Museum were there?") == "3"
    links = person.page.locator("#answer-body a")
    assert links.all_inner_texts() == ["3", "Odile Brennan", "Tomas Iveland", "Priya Castellan"]
    for link in links.all():
        link.click()
        assert person.page.evaluate("'#' + document.activeElement.id") == link.get_attribute("href")


def test_words_of_the_model_are_not_marked(person: Person) -> None:
    person.ask("Tell me something")
    assert person.page.locator(".said mark").count() == 0
    assert "no fact of the base" in person.page.locator(".notice").inner_text()


def test_a_question_over_two_facts_shows_both_reads(person: Person) -> None:
    assert person.ask("What is the place of birth of who the Harrowgate Museum was founded by?") == "Port Larkin"
    layers = person.page.locator("details.layer")
    assert [layer.evaluate("layer => layer.open") for layer in layers.all()] == [True, False, True]
    assert "Ansel Whitcombe" in layers.first.locator("li").first.inner_text()
    assert "Port Larkin" in layers.last.locator("li").first.inner_text()
    layers.nth(1).locator("summary").click()
    assert layers.nth(1).evaluate("layer => layer.open")
    person.ask(ASKED)
    assert layers.nth(1).evaluate("layer => layer.open"), "what a person opened stays open"


def test_markup_in_names_stays_text(browser: Browser) -> None:
    facts = [
        {"head": BAD, "relation": "director", "tail": "javascript:window.hurt=1", "context": f"{BAD} has javascript:"},
        {"head": "</td><script>window.hurt=1</script>", "relation": BAD, "tail": "' onclick='window.hurt=1"},
    ]
    with over(browser, facts) as person:
        assert person.ask(f"Who is the director of {BAD}?") == "javascript:window.hurt=1"
        person.page.locator(".said a.part").click()
        person.page.get_by_role("button", name="History").first.click()
        person.page.locator("#versions").get_by_text(BAD).first.wait_for()
        person.page.keyboard.press("Escape")
        person.page.locator(".weighed.source").get_by_role("button", name="Take away").last.click()
        person.changed("Taken away", BAD)
        assert person.page.evaluate("window.hurt") is None
        assert person.page.locator("img").count() == 0
        assert person.page.locator("script").count() == 1
        assert person.page.locator("a[href]:not([href^='#'])").count() == 0


def test_the_page_itself_has_nothing_inline_and_nothing_from_elsewhere() -> None:
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*\bsrc=)|https?://", html)
    for module in PAGE.glob("*.js"):
        source = module.read_text(encoding="utf-8")
        assert not re.search(r"(inner|outer|Adjacent)HTML|document\.write|\beval\(|setTimeout\(['\"]", source), (
            module.name
        )
        assert len(source.splitlines()) < 300, module.name
    assert len((PAGE / "page.css").read_text(encoding="utf-8").splitlines()) < 350


def test_names_in_other_scripts_keep_their_direction(browser: Browser) -> None:
    with over(browser, [{"head": "מוזיאון", "relation": "director", "tail": "דנה לוי", "start": "1990"}]) as person:
        assert person.ask("Who was the director of מוזיאון in 1995?") == "דנה לוי"
        names = person.page.locator("bdi", has_text="דנה")
        assert set(names.evaluate_all("all => all.map((one) => getComputedStyle(one).direction)")) == {"rtl"}


def test_many_facts_come_in_pages(browser: Browser) -> None:
    facts = [{"head": f"Town {number:03d}", "relation": "mayor", "tail": f"Person {number}"} for number in range(60)]
    with over(browser, facts) as person:
        person.rows(25)
        assert person.page.locator("#shown").inner_text() == "1 – 25 of 60"
        assert person.button("Previous").is_disabled()
        person.button("Next").click()
        person.button("Next").click()
        person.rows(10)
        assert person.button("Next").is_disabled()
        person.page.fill("#search", "Town 03")
        person.page.locator("#rows tr", has_text="Town 030").wait_for()
        person.rows(10)
        assert not person.page.locator("#pages").is_visible()


def test_an_empty_base_says_so(browser: Browser) -> None:
    with serving([]) as server:
        page = browser.new_page()
        page.goto(server.url)
        page.get_by_text("The base holds no fact yet.").wait_for()
        page.fill("#question", "Who is there?")
        page.press("#question", "Enter")
        page.get_by_text("The base does not say.").wait_for()
        page.close()


def test_a_token_is_asked_for_once_and_kept_for_the_tab(browser: Browser, fake: FakeServer) -> None:
    fake.token = "open sesame"
    page = browser.new_page()
    page.goto(fake.url)
    dialog = page.get_by_role("dialog", name="This server asks for a token")
    dialog.get_by_label("Token").fill("wrong")
    dialog.get_by_role("button", name="Continue").click()
    dialog.get_by_role("alert").filter(has_text="token").wait_for()
    dialog.get_by_label("Token").fill("open sesame")
    dialog.get_by_role("button", name="Continue").click()
    page.locator("#rows tr[data-fact]").first.wait_for()
    page.fill("#question", ASKED)
    page.press("#question", "Enter")
    page.locator(".said").wait_for()
    page.reload()
    page.locator("#rows tr[data-fact]").first.wait_for()
    assert not dialog.is_visible()
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    page.close()


def test_a_server_that_only_reads_offers_no_change(browser: Browser, fake: FakeServer) -> None:
    fake.writable = False
    for person in visit(browser, fake.url):
        person.ask(ASKED)
        assert person.page.locator("[data-write]:visible").count() == 0
        assert person.page.get_by_role("button", name="History").count() == 12


def test_a_refused_change_is_said_and_the_controls_go(person: Person, fake: FakeServer) -> None:
    person.ask(ASKED)
    fake.writable = False
    person.page.locator(".weighed.source").get_by_role("button", name="Take away").last.click()
    person.page.get_by_role("alert").filter(has_text="this server only reads").wait_for()
    person.page.locator("body.reading").wait_for()
    assert person.page.locator("[data-write]:visible").count() == 0
    assert person.answer() == "Odile Brennan"
    person.complaints.clear()


def test_while_it_waits_the_buttons_are_held_back(person: Person, fake: FakeServer) -> None:
    person.ask(ASKED)
    high = person.page.locator("#answer").bounding_box()
    fake.delay = 0.1
    person.page.press("#question", "Enter")
    person.page.press("#question", "Enter")
    assert person.page.locator("#ask button").is_disabled()
    assert person.page.locator("#answer").get_attribute("aria-busy") == "true"
    assert person.page.locator("#answer").bounding_box() == high
    person.page.locator("#answer[aria-busy=false]").wait_for()
    assert len(fake.asked) == 2, "a second Enter asks nothing while the first is under way"


def test_only_the_last_of_many_moves_of_the_slider_counts(person: Person, fake: FakeServer) -> None:
    person.ask("Who is the director of the Harrowgate Museum?")
    person.page.locator("#asof").focus()
    for _ in range(12):
        person.page.keyboard.press("ArrowLeft")
    person.page.locator(".asked", has_text="as of 1 Nov 2025").wait_for()
    assert len(fake.asked) <= 4
    assert fake.asked[-1]["today"] == "2025-11-01"


@pytest.mark.parametrize("known_at", ["1", "2026-11-28T08:01:30Z"])
def test_an_address_may_say_when(browser: Browser, fake: FakeServer, known_at: str) -> None:
    fake.base.write("delete", {0: None})
    for person in visit(browser, fake.url, path=f"?{urlencode({'q': ASKED, 'known_at': known_at})}"):
        assert person.answer() == "Odile Brennan"
        assert "from what the base said" in person.page.locator(".asked").inner_text()
        assert person.page.input_value("#known") == known_at
        assert person.page.locator("[data-write]:visible").count() == 0


def test_a_server_that_went_away_is_said(browser: Browser, fake: FakeServer) -> None:
    for person in visit(browser, fake.url):
        person.page.route("**/ask", lambda route: route.abort())
        person.page.fill("#question", ASKED)
        person.page.press("#question", "Enter")
        person.page.get_by_role("alert").filter(has_text="The server does not answer").wait_for()
        assert person.page.locator("#ask button").is_enabled()
        person.complaints.clear()
