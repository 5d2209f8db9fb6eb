"""Names are shortened and mistyped so that nobody takes them for others of the base."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kblampp.data.forms_of_address import FORMS_OF_ADDRESS
from kblampp.synthetic.spellings import ADDRESSED, Spellings
from tests.short_forms import one_edit, plain, words_of

NAMES = ("Oskar Lindahl", "Kvitnes Lighthouse", "Anna Moe", "Per Moe", "Steel Harbour", "steel springs", "Vesk", "Ro 7")


def shortened(name: str, kind: str = "PERSON", names: tuple[str, ...] = NAMES, draws: int = 200) -> Counter[str | None]:
    """How often a name is said in which way."""
    spellings = Spellings(random.Random(0), names)
    return Counter(spellings.shortened(name, kind) for _ in range(draws))


def test_a_person_is_called_by_the_last_name_with_or_without_a_form_of_address_or_by_the_first() -> None:
    said = shortened("Oskar Lindahl", draws=2000)
    assert None not in said
    addressed = {text: count for text, count in said.items() if text not in ("Oskar", "Lindahl")}
    for text in addressed:
        assert text is not None
        address, last = text.split(" ")
        assert last == "Lindahl"
        assert address[0].isupper()
        assert address.rstrip(".").lower() in FORMS_OF_ADDRESS
    assert {"Mr. Lindahl", "Coach Lindahl"} <= addressed.keys()
    assert sum(addressed.values()) / (2000 - said["Oskar"]) == pytest.approx(ADDRESSED, abs=0.05)
    assert said["Oskar"] / 2000 == pytest.approx(0.2, abs=0.04)


def test_anything_else_loses_its_last_word_or_all_but_that_and_has_no_form_of_address() -> None:
    assert shortened("Kvitnes Lighthouse", "BUILDING").keys() == {"Kvitnes", "Lighthouse"}
    assert shortened("Old Kvitnes Hall", "BUILDING", ("Old Kvitnes Hall",)).keys() == {"Old Kvitnes", "Hall"}


def test_a_word_that_others_have_stands_for_nobody() -> None:
    assert shortened("Anna Moe").keys() == {"Anna", None}
    assert shortened("Steel Harbour", "BUILDING").keys() == {"Harbour", None}  # of "steel springs" as well


def test_of_somebody_whom_nobody_knows_the_base_has_no_such_word() -> None:
    assert shortened("Kari Moe").keys() == {"Kari", None}
    assert {str(said).split(" ")[-1] for said in shortened("Per Holm")} == {"Holm", "None"}
    assert shortened("Oskar Moe").keys() == {None}


@pytest.mark.parametrize("name", ["Vesk", "Ro 7", "Al of the sea", "Bo & Co", "3 May", "kind of blue"])
def test_one_word_small_words_and_numbers_are_no_short_forms(name: str) -> None:
    assert shortened(name, "WORK", (name,)).keys() == {None}


def test_a_short_form_does_not_end_with_a_comma() -> None:
    assert shortened("Esposito, Corporation", "COMPANY", ()).keys() == {"Esposito", "Corporation"}


WORDS = (
    "Oskar",
    "Lindahl",
    "Kvitnes",
    "Harbour",
    "harbour",
    "Nordlys",
    "Bowes-Lyon",
    "of",
    "7",
    "Al",
    "Lindal",
    "Vesk",
)
bases = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join), min_size=1, max_size=8, unique=True
)


@settings(deadline=None, max_examples=300)
@given(names=bases, kind=st.sampled_from(["PERSON", "BUILDING"]), seed=st.integers(0, 9), known=st.booleans())
def test_a_short_form_is_a_part_of_its_name_and_of_no_other(
    names: list[str], kind: str, seed: int, known: bool
) -> None:
    name, *others = names
    said = Spellings(random.Random(seed), names if known else others).shortened(name, kind)
    if said is None:
        return
    *address, last = said.split(" ")
    words = name.split(" ")
    if " ".join(words[:-1]) != said:
        assert last in (words[0], words[-1])
        assert not address or (kind == "PERSON" and address[0].rstrip(".").lower() in FORMS_OF_ADDRESS)
    part = [word for word in words_of(said) if word in words_of(name)]
    assert not [other for other in others if {*map(plain, part)} <= {*map(plain, words_of(other))}]


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("Lindahl", "Lindal", True),
        ("Lindahl", "Lindakl", True),
        ("Lindahl", "Lidnahl", True),
        ("Lindahl", "Linndahl", True),
        ("Lindahl", "Linda", False),
        ("Lindahl", "Lidnalh", False),
        ("Lindahl", "Lindhal", True),
        ("Lindahl", "Lahdinl", False),
    ],
)
def test_the_oracle_tells_what_differs_by_a_letter(one: str, other: str, near: bool) -> None:
    assert one_edit(one, other) == one_edit(other, one) == near


@settings(deadline=None, max_examples=300)
@given(names=bases, seed=st.integers(0, 99), known=st.booleans())
def test_a_mistyped_name_differs_by_a_letter_of_a_long_word_and_so_from_no_other(
    names: list[str], seed: int, known: bool
) -> None:
    name, *others = names
    typed = Spellings(random.Random(seed), names if known else others).mistyped(name)
    if typed is None:
        return
    pairs = list(zip(name.split(" "), typed.split(" "), strict=True))
    changed = [(word, as_typed) for word, as_typed in pairs if word != as_typed]
    assert len(changed) <= 1  # two equal letters can be swapped
    assert all(len(word) >= 6 and word[0] == as_typed[0] for word, as_typed in changed)
    assert one_edit(name, typed)
    assert not [other for other in others if one_edit(other.casefold(), typed.casefold())]


@pytest.mark.parametrize("name", ["Vesk", "Al of sea", "K-4000000", "Ro 7"])
def test_short_words_and_codes_are_not_mistyped(name: str) -> None:
    spellings = Spellings(random.Random(0), [name])
    assert {spellings.mistyped(name) for _ in range(20)} == {None}


def test_a_name_near_another_is_not_mistyped_and_others_are_in_every_way() -> None:
    spellings = Spellings(random.Random(0), ["Lindahl", "Lindal", "Nordlys"])
    assert {spellings.mistyped("Lindahl") for _ in range(20)} == {None}
    typed = {str(spellings.mistyped("Nordlys")) for _ in range(400)}
    assert {len(text) for text in typed} == {6, 7, 8}
    assert any(sorted(text) == sorted("Nordlys") and text != "Nordlys" for text in typed)
    assert all(re.fullmatch(r"N[a-z]+", text) for text in typed)


def test_a_name_can_be_part_of_another() -> None:
    spellings = Spellings(random.Random(0), NAMES)
    assert spellings.is_part_of_another("Kvitnes")
    assert spellings.is_part_of_another("Oskar Lindahl")
    assert not spellings.is_part_of_another("Kvitnes Harbour")
