"""What a person does on the page, over the example base; any server that answers its questions will do."""

from __future__ import annotations

import re

import pytest

from tests.unit.server_page.browser import Person

ASKED = "Who was the director of the Harrowgate Museum in 2001?"
ANSWER = "Odile Brennan"


def test_the_answer_is_marked_and_leads_to_its_fact(person: Person) -> None:
    assert person.ask(ASKED) == ANSWER
    part = person.page.locator(".said a.part")
    assert part.locator("mark").inner_text() == ANSWER
    part.click()
    fact = person.page.locator(part.get_attribute("href") or "")
    assert fact.evaluate("fact => fact === document.activeElement")
    assert fact.locator("mark").all_inner_texts() == [ANSWER]
    assert "Harrowgate Museum · director" in fact.inner_text()
    assert person.page.locator("blockquote mark").inner_text() == ANSWER


def test_the_weights_are_bars_as_long_as_they_say(person: Person) -> None:
    person.ask(ASKED)
    meters = person.page.locator("details.layer[open]").last.get_by_role("meter")
    said = [float(meter.get_attribute("aria-valuenow") or "nan") for meter in meters.all()]
    assert len(said) >= 2
    assert sum(said) <= 101
    drawn = meters.evaluate_all("all => all.map(one => 100 * one.firstChild.offsetWidth / one.clientWidth)")
    assert drawn == pytest.approx(said, abs=1.5)
    assert said[0] == max(said)


def test_the_timeline_shows_the_windows_and_the_time_asked_about(person: Person) -> None:
    person.ask(ASKED)
    lines = person.page.locator("#timeline .lasting")
    assert [line.split("\n")[0] for line in lines.all_inner_texts()][:3] == [ANSWER, "Tomas Iveland", "Priya Castellan"]
    band = person.page.locator("rect.band").bounding_box()
    windows = [line.locator("svg rect").bounding_box() for line in lines.all()[:3]]
    assert band
    assert all(windows)
    left, right = band["x"] + 1, band["x"] + band["width"] - 1
    inside = [box["x"] <= left and right <= box["x"] + box["width"] for box in windows if box]
    assert inside == [True, False, False]
    assert "asked about 2001" in person.page.locator("#legend").inner_text()


def test_a_fact_taken_away_takes_its_answer_along_and_comes_back(person: Person) -> None:
    person.ask(ASKED)
    person.page.locator(".weighed.source").get_by_role("button", name="Take away").last.click()
    told = person.changed("Taken away", "is now")
    now = person.answer()
    assert now != ANSWER
    assert ANSWER in told
    assert person.page.locator(".said del").inner_text().endswith(ANSWER)
    person.rows(11)
    assert person.focused() == "Undo"
    person.page.keyboard.press("Enter")
    person.changed("Undone", ANSWER)
    assert person.answer() == ANSWER
    person.rows(12)


def test_a_fact_changed_changes_the_answer(person: Person) -> None:
    person.ask(ASKED)
    person.page.locator(".weighed.source").get_by_role("button", name="Change").last.click()
    dialog = person.page.get_by_role("dialog", name="Change the fact")
    tail = dialog.get_by_label("Tail")
    assert tail.evaluate("tail => tail === document.activeElement")
    tail.fill("Wilma Castor")
    tail.press("Tab")
    assert dialog.get_by_label("Sentence").input_value().startswith("Wilma Castor was director")
    dialog.get_by_role("button", name="Save").click()
    person.changed("Changed", "Wilma Castor", "The answer was")
    assert person.answer() == "Wilma Castor"
    assert not dialog.is_visible()
    person.button("Undo").click()
    person.changed("Undone")
    assert person.answer() == ANSWER


def test_a_fact_added_can_be_asked_about(person: Person) -> None:
    question = "Who was the director of the Harrowgate Museum in 1985?"
    assert person.ask(question) == "The base does not say."
    person.button("Add a fact").click()
    form = person.page.locator("#add")
    assert person.page.evaluate("document.activeElement.name") == "head"
    values = {"head": "Harrowgate Museum", "relation": "director", "tail": "Hugo Larch", "start": "1980", "end": "1993"}
    for field, value in values.items():
        form.locator(f"[name={field}]").fill(value)
    form.locator("[name=context]").fill("Hugo Larch was director of the Harrowgate Museum from 1980 until 1993.")
    form.locator("[name=end]").press("Enter")
    person.changed("Added", "Hugo Larch")
    assert person.answer() == "Hugo Larch"
    assert form.locator("[name=head]").input_value() == "Harrowgate Museum"
    assert form.locator("[name=tail]").input_value() == ""


def test_a_fact_that_is_there_is_not_added_again(person: Person) -> None:
    person.button("Add a fact").click()
    values = {"head": "Ansel Whitcombe", "relation": "place of birth", "tail": "Port Larkin"}
    values["context"] = "Ansel Whitcombe was born in Port Larkin."
    for field, value in values.items():
        person.page.locator("#add").locator(f"[name={field}]").fill(value)
    person.button("Add").click()
    person.changed("Nothing changed")
    person.rows(12)
    assert person.button("Undo").count() == 0


def test_what_is_no_date_is_said_and_nothing_is_lost(person: Person) -> None:
    person.button("Add a fact").click()
    form = person.page.locator("#add")
    for field, value in {"head": "A", "relation": "b", "tail": "C", "start": "yesterday or so"}.items():
        form.locator(f"[name={field}]").fill(value)
    person.button("Add").click()
    error = form.get_by_role("alert")
    error.filter(has_text="yesterday or so").wait_for()
    assert form.locator("[name=tail]").input_value() == "C"
    assert all("400" in complaint or "422" in complaint for complaint in person.complaints)
    person.complaints.clear()  # a browser writes every failed request to its console


def test_the_table_is_searched(person: Person) -> None:
    person.rows(12)
    person.page.fill("#search", "iveland")
    assert all("Iveland" in text for text in person.rows(2).all_inner_texts())
    person.page.fill("#search", "no such name")
    person.page.get_by_text("No fact matches").wait_for()
    person.page.fill("#search", "")
    person.rows(12)


def test_the_table_shows_what_held_on_the_day_of_asking(person: Person) -> None:
    person.page.fill("#day", "2001-06-01")
    person.page.check("#held")
    person.rows(6)
    person.page.fill("#day", "2012-06-01")
    person.rows(7)


def test_a_fact_is_ended_and_its_history_tells_it(person: Person) -> None:
    row = person.page.locator("#rows tr", has_text="Idris Falk")
    row.get_by_role("button", name="End").click()
    dialog = person.page.get_by_role("dialog", name="End the fact")
    dialog.get_by_role("textbox").fill("2023")
    dialog.get_by_role("button", name="End").click()
    person.changed("Ended with 2023")
    assert row.locator("td[data-label=To]").inner_text() == "2023"
    row.get_by_role("button", name="History").click()
    history = person.page.get_by_role("dialog", name="History")
    versions = history.locator("#versions li")
    versions.nth(1).wait_for()
    assert "since 2021-01" in versions.nth(versions.count() - 2).inner_text()
    assert versions.last.locator("mark").inner_text() == "2021-01 – 2023"
    person.page.keyboard.press("Escape")
    assert not history.is_visible()
    assert person.focused().startswith("History")
    person.button("Undo: end, 1 fact").click()
    person.changed("Undone")
    assert row.locator("td[data-label=To]").inner_text() == "–"


def test_the_slider_moves_the_day_of_asking(person: Person) -> None:
    question = "Who is the director of the Harrowgate Museum?"
    assert person.ask(question) == "Priya Castellan"
    slider = person.page.locator("#asof")
    now = slider.input_value()
    slider.evaluate("(slider, year) => { slider.value = 12 * year; slider.dispatchEvent(new Event('input')); }", 2009)
    person.page.locator(".asked", has_text="as of 1 Jan 2009").wait_for()
    assert person.answer() == "Tomas Iveland"
    assert slider.get_attribute("aria-valuetext") == "1 Jan 2009"
    line, track = person.page.locator("#day-line").bounding_box(), slider.bounding_box()
    assert line
    assert track
    low, high = (float(slider.get_attribute(name) or 0) for name in ("min", "max"))
    thumb = track["x"] + 8 + (12 * 2009 - low) / (high - low) * (track["width"] - 16)
    assert line["x"] + line["width"] / 2 == pytest.approx(thumb, abs=2), "the line stands on the slider's thumb"
    person.button("Today").click()
    person.page.locator(".asked:not(:has-text('as of'))").wait_for()
    assert person.answer() == "Priya Castellan"
    assert slider.input_value() == now


def test_what_the_base_said_before_a_change_can_be_asked(person: Person) -> None:
    person.ask(ASKED)
    before = person.page.request.get(f"{person.page.url.split('?')[0]}health").json()["version"]
    person.page.locator(".weighed.source").get_by_role("button", name="Take away").last.click()
    person.changed("Taken away")
    person.page.select_option("#known", str(before))
    person.page.locator(".asked", has_text=f"after change {before}").wait_for()
    assert person.answer() == ANSWER
    person.rows(12)
    assert person.page.locator("[data-write]:visible").count() == 0, "the past is only looked at"
    person.page.select_option("#known", "")
    person.page.locator(".asked:not(:has-text('after change'))").wait_for()
    assert person.answer() != ANSWER
    assert person.page.get_by_role("button", name="Take away").count() > 0


def test_an_example_is_asked_with_one_click(person: Person) -> None:
    examples = person.page.locator("#examples button")
    assert examples.count() >= 3
    question = examples.first.inner_text()
    examples.first.click()
    person.page.locator(".asked", has_text=question).wait_for()
    assert person.page.input_value("#question") == question


def test_the_keyboard_alone_is_enough(person: Person) -> None:
    press = person.page.keyboard.press
    assert person.page.evaluate("document.activeElement.id") == "question", "one can type at once"
    person.page.keyboard.type(ASKED)
    press("Enter")
    person.page.locator(".asked", has_text=ASKED).wait_for()
    for _ in range(40):
        press("Tab")
        if person.focused().startswith("Take away") and ANSWER in person.focused():
            break
    assert person.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    press("Enter")
    person.changed("Taken away")
    assert person.focused() == "Undo"
    press("Enter")
    person.changed("Undone")
    assert person.answer() == ANSWER
    press("/")
    assert person.page.evaluate("document.activeElement.id") == "question"
    press("/")
    assert person.page.input_value("#question") == "/", "in a field it is a letter"


def test_the_address_keeps_the_question(person: Person) -> None:
    person.ask(ASKED)
    person.page.reload()
    person.page.locator(".said").wait_for()
    assert person.answer() == ANSWER
    assert re.search(r"\?q=Who", person.page.url)
