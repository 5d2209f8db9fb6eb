"""Answers from the facts: total probability, texts as they stand in the base, and where each was copied from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kblampp.data.facts import FORMS, MODES, MOST_HOPS, UNKNOWN_ANSWER, Context, Entity, FiveTuple, Relation
from kblampp.data.windows import UNKNOWN_DAY, Window, day, month_window, year_window
from kblampp.model.answers import LEAST_SHARE, NO, SEPARATOR, YES, Answer, Source, answers, write_probability
from kblampp.model.inputs import EncodedBase
from kblampp.model.question_reader import Reading
from kblampp.model.selector import ScoreParts, Selection
from tests.kb import make_base, make_world

NONE = (UNKNOWN_DAY, UNKNOWN_DAY)
LONG = "Long " * 1000
ODD = (
    "Port",
    "Port Alder",
    " Port Alder ",
    "  two  spaces ",
    "tab\there",
    "K-40",
    "K-40X",
    LONG,
    "北京市",
    "a;b",
    "yes",
)
FACTS = [
    ("Light", "keeper", "Ada", Window(day("1922-01-01"), day("1930-01-01"))),
    ("Light", "keeper", "Bo", Window(day("1930-01-01"), day("1941-11-01"))),
    ("Light", "keeper", "Ada", Window(day("1941-11-01"), day("2006-05-19"))),
    ("Light", "keeper", "Cy", Window(day("2006-05-19"), None)),
    ("Light", "keeper", "Dan", Window(None, None)),
    ("Tower", "keeper", "Ada", Window(None, day("1900-01-01"))),
    *(("Box", f"part {number}", name, Window(None, None)) for number, name in enumerate(ODD)),
    *(("Crate", f"piece {number}", name, year_window(1950)) for number, name in enumerate(ODD)),
    ("Choir", "member", "Eve", Window(None, None)),
    ("Choir", "member", "Flo", Window(None, None)),
    ("Band", "member", "Eve", Window(None, None)),
    ("Pier", "keeper", "Gil", Window(day("2015-01-01"), day("2016-01-01"), "x", "month", "month")),
    ("Pier", "keeper", "Hal", Window(day("2016-01-01"), day("2017-01-01"), "x", "day", "day")),
    ("Pier", "keeper", "Ida", Window(day("2017-01-01"), day("2018-01-01"), "x", "year", "year")),
    ("Ferry", "passengers", "398,000", year_window(2021)),
    ("Ferry", "passengers", "412,000", year_window(2022)),
    ("Ferry", "captain", "Jon", Window(day("1990-01-01"), day("2001-01-01"))),
    ("Ferry", "captain", "Kim", Window(day("2000-05-01"), day("2004-01-01"))),
    ("Ferry", "captain", "Lea", Window(day("2004-01-01"), day("2010-03-01"))),
    ("Ferry", "captain", "Max", Window(day("2010-03-01"), None)),
]
"""Keepers in a row, one of them twice and one nobody knows when; names that are hard to write, without and with a time;
and members nobody knows when."""
BOX, CRATE = 6, 6 + len(ODD)
CHOIR_EVE, CHOIR_FLO, BAND_EVE, GIL, HAL, IDA, SOME, MORE, JON = range(CRATE + len(ODD), CRATE + len(ODD) + 9)
ALONE = [(4, False), (4, True), (BOX, False), (BOX, True), (CHOIR_FLO, True), (BAND_EVE, False)]
"""Facts without a window, and whether read from the tail, that no other of the row without one stands beside."""
BESIDE = [(CHOIR_EVE, False), (CHOIR_EVE, True), (CHOIR_FLO, False), (BAND_EVE, True)]
"""Those that are one of several."""
TIMED = [(0, False), (3, False), (5, False), (5, True), (CRATE, False), (CRATE, True)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> EncodedBase:
    folder = tmp_path_factory.mktemp("answers")
    facts = [
        FiveTuple(Entity(None, head), Relation(None, relation), Entity(None, tail), Context("test"), window)
        for head, relation, tail, window in FACTS
    ]
    world = make_world(folder / "world")
    return make_base(folder / "own", facts, world.questions, world.projections)


NO_HOPS = torch.full((1, MOST_HOPS - 1), -20.0)
"""Logits of the further hops of a question that has none."""


def reading_of(now: float = 0.0, other_mode: float = 0.0, **forms: float) -> Reading:
    """What one question wants, by form; the rest is impossible.  It asks about now, before whom, or about any time."""
    form = torch.tensor([[forms.get(name, 0.0) for name in FORMS]]).log()
    modes = {"any": 1 - now - other_mode, "now": now, "before": other_mode}
    mode = torch.tensor([[modes.get(name, 0.0) for name in MODES]]).log()
    return Reading(torch.zeros(1), form, mode, NO_HOPS)


def selection_of(
    weights: dict[int, float],
    inverse: Sequence[int] = (),
    yes: float = 0.0,
    forms: Tensor | None = None,
    best: int | None = None,
) -> Selection:
    """A selection of these facts with these weights; the null fact has what is left.  Forms are (facts, forms).

    The fact that fits best is the heaviest unless it is said which.
    """
    unused = torch.zeros(())
    ids, alpha = torch.tensor([[list(weights)]]), torch.tensor([[list(weights.values())]])
    ways = torch.tensor([[[fact in inverse for fact in weights]]])
    parts = ScoreParts(unused, unused, unused, unused)
    null, log_odds = 1 - alpha.sum(-1), torch.tensor([[yes]])
    forms = reading_of(value=1.0).form.expand(len(weights), -1) if forms is None else forms
    fits = torch.tensor([[max(weights, key=weights.__getitem__) if best is None else best]])
    return Selection(
        unused,
        unused,
        ids,
        ways,
        alpha,
        null,
        unused,
        parts,
        unused,
        unused,
        best=fits,
        group=unused,
        yes=log_odds,
        forms=forms[None],
        hop_logit=unused,
        hopped=unused,
        left=unused,
        left_by=unused,
    )


def found(
    base: EncodedBase,
    weights: dict[int, float],
    gate: float = 1.0,
    window: tuple[int, int] = NONE,
    *,
    inverse: Sequence[int] = (),
    yes: float = 0.0,
    best: int | None = None,
    withheld: Sequence[int] | None = None,
    now: float = 0.0,
    other_mode: float = 0.0,
    as_of: int | None = None,
    in_forms: bool = True,
    **forms: float,
) -> list[Answer]:
    hidden = None if withheld is None else torch.tensor([list(withheld)])
    reading = reading_of(now, other_mode, **forms)
    selection = selection_of(weights, inverse, yes, reading.form.expand(len(weights), -1), best)
    asked = torch.tensor([window])
    (one,) = answers(base, selection, reading, asked, torch.tensor([gate]), hidden, as_of, in_forms=in_forms)
    return one


def bounds(window: Window) -> tuple[int, int]:
    assert window.start is not None
    assert window.end is not None
    return window.start, window.end


@settings(deadline=None, max_examples=100)
@given(
    weights=st.lists(st.floats(0.01, 1), min_size=2, max_size=7),
    forms=st.lists(st.floats(0.01, 1), min_size=len(FORMS), max_size=len(FORMS)),
    gate=st.floats(0, 1),
    yes=st.floats(-20, 20),
    ways=st.sets(st.integers(0, 5)),
)
def test_all_answers_together_have_the_probability_of_the_gate(
    base: EncodedBase, weights: list[float], forms: list[float], gate: float, yes: float, ways: set[int]
) -> None:
    alpha = {fact: weight / sum(weights) for fact, weight in enumerate(weights[1:])}
    shares = {name: share / sum(forms) for name, share in zip(FORMS, forms, strict=True)}
    rows = found(base, alpha, gate, inverse=sorted(ways), yes=yes, **shares)
    left_out = LEAST_SHARE * len(FORMS) * len(alpha)
    assert sum(row.probability for row in rows) == pytest.approx(gate, abs=left_out + 1e-5)
    if rows and not rows[0].sources and len(rows) > 1:
        assert rows[0].probability > sum(row.probability for row in rows[1:])
    probabilities = [row.probability for row in rows if row.sources]
    assert probabilities == sorted(probabilities, reverse=True)
    assert len({row.text for row in rows}) == len(rows)
    assert all(row.probability > 0 for row in rows)


def test_a_value_is_the_tail_or_the_head_of_a_fact_and_the_null_fact_refuses(base: EncodedBase) -> None:
    rows = found(base, {1: 0.5, 3: 0.3}, gate=0.5, value=1.0)
    assert [row.text for row in rows] == ["Bo", "Cy", UNKNOWN_ANSWER]
    assert [row.probability for row in rows] == pytest.approx([0.25, 0.15, 0.1])
    assert [row.sources for row in rows] == [(Source(1, "tail"),), (Source(3, "tail"),), ()]
    (row, *_) = found(base, {5: 0.9}, inverse=[5], value=1.0)
    assert (row.text, row.sources) == ("Tower", (Source(5, "head"),))


@pytest.mark.parametrize("form", FORMS)
def test_without_forms_every_question_is_answered_as_one_for_a_value(base: EncodedBase, form: str) -> None:
    """Also one that wants yes or no, which would else not be refused."""
    asked: dict[str, Any] = {"gate": 0.9, "inverse": [5], "yes": 2.0, "now": 0.5, "as_of": day("1950-01-01")}
    weights = {1: 0.4, 3: 0.2, 5: 0.1}
    rows = found(base, weights, **asked, in_forms=False, **{form: 1.0})
    assert rows == found(base, weights, **asked, value=1.0)
    assert (rows == found(base, weights, **asked, **{form: 1.0})) == (form == "value")


def test_the_same_text_from_two_facts_is_one_answer_with_the_better_source(base: EncodedBase) -> None:
    first, *_ = found(base, {0: 0.3, 1: 0.3, 2: 0.4}, value=1.0)
    assert (first.text, first.sources) == ("Ada", (Source(2, "tail"),))
    assert first.probability == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("fact", "form", "text"),
    [
        (0, "start", "1922"),
        (0, "end", "1929"),
        (1, "start", "1930"),
        (1, "end", "October 1941"),
        (2, "start", "November 1941"),
        (2, "end", "18 May 2006"),
        (3, "start", "19 May 2006"),
        (3, "end", UNKNOWN_ANSWER),
        (5, "start", UNKNOWN_ANSWER),
        (5, "end", "1899"),
        (GIL, "start", "January 2015"),
        (GIL, "end", "December 2015"),
        (HAL, "start", "1 January 2016"),
        (HAL, "end", "31 December 2016"),
        (IDA, "start", "2017"),
        (IDA, "end", "2017"),
    ],
)
def test_a_start_and_an_end_are_said_in_words_as_precisely_as_they_are_given(
    base: EncodedBase, fact: int, form: str, text: str
) -> None:
    (row,) = found(base, {fact: 1.0}, **{form: 1.0})
    assert row.text == text
    assert row.sources == (() if text == UNKNOWN_ANSWER else (Source(fact, form),))


def read(fact: int, *, inverse: bool) -> str:
    head, _, tail, _ = FACTS[fact]
    return head if inverse else tail


@settings(deadline=None, max_examples=200)
@given(
    case=st.sampled_from([*ALONE, *BESIDE, *TIMED]),
    parts=st.lists(st.floats(0.01, 1), min_size=len(FORMS), max_size=len(FORMS)),
    alpha=st.floats(0.05, 0.99),
    gate=st.floats(0.05, 1),
)
def test_forms_that_a_fact_cannot_have_leave_their_shares_to_its_others(
    base: EncodedBase, case: tuple[int, bool], parts: list[float], alpha: float, gate: float
) -> None:
    """No start or end without a window; standing alone, no list or count either.  A refusal goes by the question, and
    so does what is left to a name that is no time, as far as the question asks for one."""
    fact, inverse = case
    shares = {name: part / sum(parts) for name, part in zip(FORMS, parts, strict=True)}
    ruled_out = {"start", "end", "count", "list"} if case in ALONE else {"start", "end"} if case in BESIDE else set()
    kept = sum(share for name, share in shares.items() if name not in ruled_out)
    expected: dict[str, float] = {}
    for name, share in shares.items():
        if name not in ruled_out and name != "yes_no":
            (row,) = found(base, {fact: 1.0}, inverse=[fact] * inverse, **{name: 1.0})
            when = shares["start"] + shares["end"] if name == "value" and not any(map(str.isdigit, row.text)) else 0.0
            for text, part in ((row.text, 1 - when), (UNKNOWN_ANSWER, when)):
                expected[text] = expected.get(text, 0.0) + part * gate * alpha * share / kept
    confirmed = gate * (alpha * shares["yes_no"] / kept + (1 - alpha) * shares["yes_no"])
    refused = gate * (1 - alpha) * (1 - shares["yes_no"])
    for text, share in ((YES, 0.8 * confirmed), (NO, 0.2 * confirmed), (UNKNOWN_ANSWER, refused)):
        expected[text] = expected.get(text, 0.0) + share
    rows = found(base, {fact: alpha}, gate, inverse=[fact] * inverse, yes=math.log(4), **shares)
    assert {row.text: row.probability for row in rows} == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("fact", "inverse"), [*ALONE, *BESIDE])
@pytest.mark.parametrize("form", ["start", "end"])
def test_what_has_no_window_neither_starts_nor_ends(base: EncodedBase, fact: int, inverse: bool, form: str) -> None:
    """ "When was it launched?" of a fact whose tail is the date: however little the tail had, it is the answer.  A tail
    that can be no time ("When did she die?" of her birthplace) is none."""
    rows = found(base, {fact: 1.0}, inverse=[fact] * inverse, value=0.01, **{form: 0.99})
    name = read(fact, inverse=inverse)
    if any(letter.isdigit() for letter in name):
        assert [row.text for row in rows] == [name]
        assert rows[0].sources == (Source(fact, "head" if inverse else "tail"),)
        assert rows[0].probability == pytest.approx(1.0)
    else:
        assert {row.text: row.probability for row in rows} == pytest.approx({UNKNOWN_ANSWER: 0.99, name: 0.01})
        assert rows[0].text == UNKNOWN_ANSWER
    assert found(base, {fact: 1.0}, inverse=[fact] * inverse, **{form: 1.0}) == []  # and nothing else is asked


@pytest.mark.parametrize(("fact", "inverse"), ALONE)
@pytest.mark.parametrize("form", ["list", "count"])
def test_what_has_no_window_and_stands_alone_is_neither_listed_nor_counted(
    base: EncodedBase, fact: int, inverse: bool, form: str
) -> None:
    """ "How many members has the trust?" wants the tail "312", not how many such facts there are."""
    (row,) = found(base, {fact: 1.0}, inverse=[fact] * inverse, value=0.01, **{form: 0.99})
    assert row.text == read(fact, inverse=inverse)
    assert row.sources == (Source(fact, "head" if inverse else "tail"),)
    assert row.probability == pytest.approx(1.0)
    assert found(base, {fact: 1.0}, inverse=[fact] * inverse, **{form: 1.0}) == []


@pytest.mark.parametrize(
    ("fact", "inverse", "row"),
    [
        (CHOIR_EVE, False, {CHOIR_EVE: "Eve", CHOIR_FLO: "Flo"}),
        (CHOIR_FLO, False, {CHOIR_EVE: "Eve", CHOIR_FLO: "Flo"}),
        (CHOIR_EVE, True, {CHOIR_EVE: "Choir", BAND_EVE: "Band"}),
        (BAND_EVE, True, {CHOIR_EVE: "Choir", BAND_EVE: "Band"}),
        (5, False, {5: "Ada"}),
        (CRATE, True, {CRATE: "Crate"}),
    ],
)
def test_one_of_several_and_what_has_a_window_are_listed_and_counted(
    base: EncodedBase, fact: int, inverse: bool, row: dict[int, str]
) -> None:
    (listed,) = found(base, {fact: 1.0}, inverse=[fact] * inverse, list=1.0)
    assert listed.text == SEPARATOR.join(row.values())
    assert listed.sources == tuple(Source(number, "head" if inverse else "tail") for number in row)
    (counted,) = found(base, {fact: 1.0}, inverse=[fact] * inverse, count=1.0)
    assert counted.text == str(len(row))
    assert counted.sources == tuple(Source(number, "fact") for number in row)


@pytest.mark.parametrize(
    ("weights", "inverse", "text"),
    [
        ({CHOIR_EVE: 0.55, CHOIR_FLO: 0.45}, [], "Eve; Flo"),
        ({CHOIR_EVE: 0.5, BAND_EVE: 0.5}, [CHOIR_EVE, BAND_EVE], "Choir; Band"),
        ({CHOIR_EVE: 0.7, CHOIR_FLO: 0.3}, [], "Eve"),
        ({CHOIR_FLO: 1.0}, [], "Flo"),
        ({0: 0.5, 3: 0.5}, [], "Ada"),
        ({0: 0.5, 5: 0.5}, [0, 5], "Light"),  # from their tail, and each with a time
    ],
)
def test_of_several_without_a_time_all_are_the_answer_if_the_question_does_not_say_which(
    base: EncodedBase, weights: dict[int, float], inverse: list[int], text: str
) -> None:
    """ "Who founded it?" wants all of its founders, unless one of them has more than two thirds."""
    first, *others = found(base, weights, inverse=inverse, value=0.9, list=0.1)
    assert first.text == text
    assert sum(answer.probability for answer in (first, *others)) == pytest.approx(1.0)


def test_a_name_is_one_of_several_only_as_long_as_the_others_are_there(base: EncodedBase) -> None:
    (row,) = found(base, {CHOIR_EVE: 0.6, CHOIR_FLO: 0.4}, value=1.0)
    assert row.text == "Eve; Flo"
    assert row.probability == pytest.approx(1.0)
    plain = found(base, {CHOIR_EVE: 0.6, CHOIR_FLO: 0.4}, value=1.0, in_forms=False)
    assert [row.text for row in plain] == ["Eve", "Flo"]
    left = found(base, {CHOIR_EVE: 0.6}, withheld=[CHOIR_FLO], value=1.0)
    assert [row.text for row in left] == ["Eve", "unknown"]


@pytest.mark.parametrize("fact", range(4))
def test_a_list_and_a_count_are_of_the_whole_row_in_time_each_name_once(base: EncodedBase, fact: int) -> None:
    (row,) = found(base, {fact: 1.0}, list=1.0)
    assert row.text == SEPARATOR.join(["Dan", "Ada", "Bo", "Cy"])  # whose time nobody knows stands first
    assert row.sources == tuple(Source(number, "tail") for number in (4, 0, 1, 3))
    (row,) = found(base, {fact: 1.0}, count=1.0)
    assert row.text == "4"
    assert row.sources == tuple(Source(number, "fact") for number in (4, 0, 1, 3))


def test_a_list_and_a_count_are_of_the_time_that_the_question_names(base: EncodedBase) -> None:
    for window, names in (
        (year_window(1922), ["Dan", "Ada"]),
        (Window(day("1929-12-31"), day("1930-01-02")), ["Dan", "Ada", "Bo"]),
        (month_window(2006, 5), ["Dan", "Ada", "Cy"]),
        (year_window(1850), ["Dan"]),
    ):
        for form, text in (("list", SEPARATOR.join(names)), ("count", str(len(names)))):
            assert found(base, {1: 1.0}, window=bounds(window), **{form: 1.0})[0].text == text
    (row,) = found(base, {5: 1.0}, window=bounds(year_window(1950)), list=1.0)
    assert (row.text, row.sources) == (UNKNOWN_ANSWER, ())


def test_a_number_of_the_time_asked_about_is_told_and_not_counted(base: EncodedBase) -> None:
    (row,) = found(base, {MORE: 1.0}, window=bounds(year_window(2022)), count=1.0)
    assert (row.text, row.sources) == ("412,000", (Source(MORE, "tail"),))
    assert found(base, {MORE: 1.0}, count=1.0)[0].text == "2"  # how many figures there are
    assert found(base, {GIL: 1.0}, window=bounds(year_window(2015)), count=1.0)[0].text == "1"


@pytest.mark.parametrize(
    ("first", "last", "names"),
    [(2000, 2010, ["Kim", "Lea"]), (2000, 2004, ["Kim", "Lea"]), (1999, 2010, ["Jon", "Kim", "Lea"])],
)
def test_the_edges_of_a_span_are_years_of_change(base: EncodedBase, first: int, last: int, names: list[str]) -> None:
    window = day(f"{first}-01-01"), day(f"{last + 1}-01-01")
    assert found(base, {JON: 1.0}, window=window, list=1.0)[0].text == SEPARATOR.join(names)
    assert found(base, {JON: 1.0}, window=window, count=1.0)[0].text == str(len(names))


@pytest.mark.parametrize(
    ("as_of", "names"),
    [
        ("1929-12-31", ["Dan", "Ada"]),
        ("1930-01-01", ["Dan", "Bo"]),
        ("2006-05-18", ["Dan", "Ada"]),
        ("2026-11-28", ["Dan", "Cy"]),
        ("1850-01-01", ["Dan"]),
    ],
)
def test_a_list_and_a_count_of_now_are_of_what_holds_on_the_day_of_asking(
    base: EncodedBase, as_of: str, names: list[str]
) -> None:
    """What has no window may hold; by total probability, where it is unsure whether now is meant."""
    for form, text, whole in (
        ("list", SEPARATOR.join(names), SEPARATOR.join(["Dan", "Ada", "Bo", "Cy"])),
        ("count", str(len(names)), "4"),
    ):
        (row,) = found(base, {1: 1.0}, now=1.0, as_of=day(as_of), **{form: 1.0})
        assert row.text == text
        rows = found(base, {1: 1.0}, now=0.75, as_of=day(as_of), **{form: 1.0})
        assert {one.text: one.probability for one in rows} == pytest.approx({text: 0.75, whole: 0.25})


def test_a_list_of_now_and_of_a_time_is_of_what_holds_in_both(base: EncodedBase) -> None:
    window, as_of = bounds(Window(day("1929-12-31"), day("1930-01-02"))), day("1930-06-01")
    (row,) = found(base, {1: 1.0}, window=window, now=1.0, as_of=as_of, list=1.0)
    assert row.text == SEPARATOR.join(["Dan", "Bo"])


def test_when_and_who_do_not_depend_on_now(base: EncodedBase) -> None:
    for form in ("value", "start", "end"):
        shares = [
            {
                row.text: row.probability
                for row in found(base, {0: 0.8}, now=now, as_of=day("2026-11-28"), **{form: 1.0})
            }
            for now in (0.0, 0.6)
        ]
        assert shares[0] == pytest.approx(shares[1])


@pytest.mark.parametrize("other_mode", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("fact", "inverse"), [(0, False), (0, True), (3, False)])
def test_a_name_of_another_time_is_a_refusal_as_far_as_the_time_itself_is_asked_about(
    base: EncodedBase, fact: int, inverse: bool, other_mode: float
) -> None:
    """In a gap of a row, and before its first, a neighbour is no answer; "before whom" has one of another time."""
    name = FACTS[fact][0] if inverse else FACTS[fact][2]
    ways = [fact] if inverse else []
    apart = {
        row.text: row.probability
        for row in found(
            base, {fact: 0.9}, window=bounds(year_window(1950)), inverse=ways, other_mode=other_mode, value=1.0
        )
    }
    assert apart.get(name, 0.0) == pytest.approx(0.9 * other_mode)
    assert apart[UNKNOWN_ANSWER] == pytest.approx(0.1 + 0.9 * (1 - other_mode))
    for window in (NONE, bounds(Window(day("1929-12-31"), day("2006-05-20")))):
        shares = {row.text: row.probability for row in found(base, {fact: 0.9}, window=window, inverse=ways, value=1.0)}
        assert shares[name] == pytest.approx(0.9)


def test_with_time_switched_off_a_name_of_another_time_is_given(base: EncodedBase) -> None:
    selection, reading = selection_of({0: 0.9}), reading_of(value=1.0)
    asked = torch.tensor([bounds(year_window(1950))])
    (rows,) = answers(base, selection, reading, asked, torch.ones(1), in_time=False)
    assert rows[0].text == "Ada"


def test_what_has_no_time_answers_at_any(base: EncodedBase) -> None:
    (row, *_) = found(base, {4: 0.9}, window=bounds(year_window(1950)), value=1.0)
    assert row.text == "Dan"


def test_from_the_tail_the_list_is_of_heads(base: EncodedBase) -> None:
    (row,) = found(base, {5: 1.0}, inverse=[5], list=1.0)
    assert row.text == SEPARATOR.join(["Tower", "Light"])
    assert row.sources == (Source(5, "head"), Source(0, "head"))


def test_withheld_facts_are_neither_listed_nor_counted(base: EncodedBase) -> None:
    (row,) = found(base, {1: 1.0}, withheld=[0, 3, -1], list=1.0)
    assert row.text == SEPARATOR.join(["Dan", "Bo", "Ada"])
    assert found(base, {1: 1.0}, withheld=[0, 3, -1], count=1.0)[0].text == "3"


@pytest.mark.parametrize(("fact", "inverse", "sibling"), [(CHOIR_EVE, False, CHOIR_FLO), (BAND_EVE, True, CHOIR_EVE)])
@pytest.mark.parametrize("form", ["list", "count"])
def test_what_stands_alone_once_others_are_withheld_is_neither_listed_nor_counted(
    base: EncodedBase, fact: int, inverse: bool, sibling: int, form: str
) -> None:
    (row,) = found(base, {fact: 1.0}, inverse=[fact] * inverse, withheld=[sibling, -1], value=0.01, **{form: 0.99})
    assert row.text == read(fact, inverse=inverse)
    assert row.probability == pytest.approx(1.0)


def test_yes_and_no_share_what_wants_them_and_rest_on_the_best_fact(base: EncodedBase) -> None:
    rows = found(base, {0: 0.2, 1: 0.6}, gate=0.5, yes=math.log(3), yes_no=1.0)
    assert [(row.text, row.sources) for row in rows] == [(YES, (Source(1, "fact"),)), (NO, (Source(1, "fact"),))]
    assert [row.probability for row in rows] == pytest.approx([0.375, 0.125])
    assert [row.text for row in found(base, {-1: 0.0}, yes=-3.0, yes_no=1.0)] == [NO, YES]


def confirms(base: EncodedBase, fact: int, yes: float = 0.9, **asked: Any) -> float:
    """Probability of "yes" if a fact has all the weight; the rest is "no"."""
    rows = {row.text: row.probability for row in found(base, {fact: 1.0}, yes=math.log(yes / (1 - yes)), **asked)}
    assert rows.keys() <= {YES, NO}
    assert sum(rows.values()) == pytest.approx(1.0)
    return rows.get(YES, 0.0)


@pytest.mark.parametrize(
    ("fact", "window", "so"),
    [
        (GIL, year_window(2014), False),
        (GIL, year_window(2015), True),
        (GIL, Window(day("2015-12-31"), day("2021-01-01")), True),
        (GIL, year_window(2016), False),
        (GIL, year_window(2020), False),  # "Was Gil keeper in 2020?" of one that ended in 2015
        (3, year_window(2020), True),
        (3, year_window(2005), False),
        (5, year_window(1850), True),
        (5, year_window(1900), False),
        (4, year_window(2020), True),
        (CHOIR_EVE, year_window(1700), True),
    ],
)
def test_a_fact_of_another_time_confirms_nothing_and_one_without_a_time_confirms(
    base: EncodedBase, fact: int, window: Window, so: bool
) -> None:
    for inverse in ([], [fact]):
        said = confirms(base, fact, window=bounds(window), yes_no=1.0, inverse=inverse)
        assert said == pytest.approx(0.9 * so)
    assert confirms(base, fact, yes_no=1.0) == pytest.approx(0.9)  # whose question names no time


@pytest.mark.parametrize("now", [0.0, 0.25, 1.0])
@pytest.mark.parametrize(
    ("fact", "as_of", "holds"),
    [
        (GIL, "2015-12-31", True),
        (GIL, "2016-01-01", False),
        (GIL, "2014-12-31", False),
        (3, "2026-11-28", True),
        (3, "2000-01-01", False),
        (4, "2026-11-28", True),
    ],
)
def test_what_no_longer_holds_confirms_as_far_as_now_is_not_meant(
    base: EncodedBase, fact: int, as_of: str, holds: bool, now: float
) -> None:
    """By total probability; of now and a time together what holds in both, and without a day of asking of any."""
    said = confirms(base, fact, now=now, as_of=day(as_of), yes_no=1.0)
    assert said == pytest.approx(0.9 * (1.0 if holds else 1 - now))
    assert confirms(base, fact, now=now, yes_no=1.0) == pytest.approx(0.9)
    of_time = bounds(year_window(2015))
    possible = fact in (GIL, 4) or day("2006-05-19") < of_time[1]
    both = confirms(base, fact, now=now, as_of=day(as_of), window=of_time, yes_no=1.0)
    assert both == pytest.approx(0.9 * possible * (1.0 if holds else 1 - now))
    assert confirms(base, GIL, now=now, as_of=day(as_of), window=bounds(year_window(2020)), yes_no=1.0) == 0


@pytest.mark.parametrize(
    ("weights", "best", "so"),
    [
        ({GIL: 0.6, HAL: 0.3}, GIL, 0.9),
        ({GIL: 0.3, HAL: 0.6}, GIL, 0.9),
        ({GIL: 0.6, HAL: 0.3}, HAL, 0.0),
        ({-1: 0.0, GIL: 0.2}, GIL, 0.9),
        ({GIL: 0.9}, IDA, 0.0),  # "Was Ida keeper in 2015?": she fits best and gave way to who was
        ({GIL: 0.9}, -1, 0.9),
    ],
)
def test_the_fact_that_fits_best_says_whether_the_time_fits_and_the_heaviest_is_the_evidence(
    base: EncodedBase, weights: dict[int, float], best: int, so: float
) -> None:
    """Also where it has been dropped from the candidates, as one of another time is."""
    rows = found(base, weights, window=bounds(year_window(2015)), yes=math.log(9), best=best, yes_no=1.0)
    shares = {row.text: row.probability for row in rows}
    assert shares.get(YES, 0.0) == pytest.approx(so)
    assert shares[NO] == pytest.approx(1 - so)
    heaviest = max(weights, key=weights.__getitem__)
    assert {row.sources for row in rows} == {(Source(heaviest, "fact"),)}


@pytest.mark.parametrize("now", [0.0, 0.25, 1.0])
def test_a_dropped_fact_that_no_longer_holds_says_no_as_far_as_now_is_meant(base: EncodedBase, now: float) -> None:
    """ "Is Gil still keeper?": others hold today, and none of them is asked about."""
    asked: dict[str, Any] = {"yes": math.log(9), "now": now, "as_of": day("2017-06-01"), "yes_no": 1.0}
    shares = {row.text: row.probability for row in found(base, {IDA: 0.8, HAL: 0.1}, best=GIL, **asked)}
    assert shares.get(YES, 0.0) == pytest.approx(0.9 * (1 - now))
    shares = {row.text: row.probability for row in found(base, {HAL: 0.8, GIL: 0.1}, best=IDA, **asked)}
    assert shares[YES] == pytest.approx(0.9)


@pytest.mark.parametrize(("weights", "said"), [({1: 0.3, 3: 0.3}, "Ada"), ({1: 0.25, 3: 0.2}, "unknown")])
def test_a_refusal_must_outweigh_all_facts_together(base: EncodedBase, weights: dict[int, float], said: str) -> None:
    """The null fact is the heaviest in both; in the first it is less probable than that some fact answers."""
    rows = found(base, weights, value=1.0)
    assert [row.text for row in rows][:2].count("unknown") == 1
    assert max(rows, key=lambda row: row.probability).text == "unknown"
    assert (rows[0].text == "unknown") == (said == "unknown")
    assert sum(row.probability for row in rows) == pytest.approx(1)


def test_the_time_takes_from_yes_alone(base: EncodedBase) -> None:
    """A date is given whatever the time asked about, and "no" has what "yes" has lost."""
    asked = {"gate": 0.8, "yes": math.log(4), "start": 0.5, "yes_no": 0.5}
    timed = found(base, {GIL: 0.5}, window=bounds(year_window(2020)), **asked)  # type: ignore[arg-type]
    plain = found(base, {GIL: 0.5}, **asked)  # type: ignore[arg-type]
    shares, before = ({row.text: row.probability for row in rows} for rows in (timed, plain))
    assert YES not in shares
    assert shares.pop(NO) == pytest.approx(before.pop(NO) + before.pop(YES))
    assert shares == pytest.approx(before)


def test_each_fact_is_read_in_its_own_form(base: EncodedBase) -> None:
    """By total probability: yes and no of each fact's own share, a refusal of the question's own."""
    forms = torch.cat([reading_of(value=0.75, yes_no=0.25).form, reading_of(start=0.5, yes_no=0.5).form])
    selection = selection_of({1: 0.4, 3: 0.4}, yes=math.log(4), forms=forms)
    question = reading_of(value=0.9, yes_no=0.1)
    (rows,) = answers(base, selection, question, torch.tensor([NONE]), torch.tensor([0.5]))
    confirmed = 0.4 * 0.25 + 0.4 * 0.5 + 0.2 * 0.1
    expected = {"Bo": 0.3, "19 May 2006": 0.2, YES: 0.8 * confirmed, NO: 0.2 * confirmed, UNKNOWN_ANSWER: 0.2 * 0.9}
    assert {row.text: row.probability for row in rows} == pytest.approx({k: v / 2 for k, v in expected.items()})


def test_a_closed_gate_answers_nothing_from_the_facts(base: EncodedBase) -> None:
    assert found(base, {0: 0.5, -1: 0.0}, gate=0.0, value=0.5, yes_no=0.5) == []


def test_places_without_a_fact_answer_nothing(base: EncodedBase) -> None:
    assert [row.text for row in found(base, {-1: 0.0, 1: 0.8}, value=1.0)] == ["Bo", UNKNOWN_ANSWER]


@pytest.mark.parametrize("place", range(len(ODD)))
def test_every_text_is_a_field_letter_by_letter(base: EncodedBase, place: int) -> None:
    for fact in (BOX + place, CRATE + place):
        (row,) = found(base, {fact: 1.0}, value=1.0)
        assert row.text == ODD[place] == base.store.facts[fact].tail.name
    (row,) = found(base, {CRATE + place: 1.0}, list=1.0)
    assert row.text == ODD[place]
    (row,) = found(base, {BOX + place: 1.0}, value=0.25, list=0.75)  # it stands alone: no list, but its tail
    assert row.text == ODD[place]
    assert row.probability == pytest.approx(1.0)


def test_each_question_of_a_batch_has_its_own_answers(base: EncodedBase) -> None:
    parts = [selection_of({0: 0.6, 1: 0.4}), selection_of({3: 0.7, 2: 0.3}, inverse=[2])]
    both: Any = Selection(
        **{
            name: torch.cat([getattr(part, name) for part in parts]) if getattr(parts[0], name).dim() else value
            for name, value in vars(parts[0]).items()
            if name != "parts"
        },
        parts=parts[0].parts,
    )
    reading = Reading(*(torch.cat(pair) for pair in zip(reading_of(value=1.0), reading_of(value=1.0), strict=True)))
    rows = answers(base, both, reading, torch.tensor([NONE, NONE]), torch.tensor([1.0, 0.5]))
    assert [[row.text for row in one] for one in rows] == [["Ada", "Bo"], ["Cy", "Light"]]
    assert rows[1][0].probability == pytest.approx(0.35)


def test_the_share_of_the_facts_in_what_was_written_grows_as_others_drop_out() -> None:
    choices = [((5, 6, 0), 0.4), ((5, 7, 0), 0.3), ((8, 0), 0.1)]
    log_probs = torch.tensor([0.5, 0.1, 0.9]).log()
    shares, total = write_probability(choices, 0.2, (5, 6, 0), log_probs)
    own = [0.2 * 0.5, 0.2 * 0.5 * 0.1, 0.2 * 0.5 * 0.1 * 0.9]
    assert shares == pytest.approx([0.7 / (0.7 + own[0]), 0.4 / (0.4 + own[1]), 0.4 / (0.4 + own[2])])
    assert total == pytest.approx(math.log(0.4 + own[2]))


def test_an_answer_that_no_fact_gives_is_own_words_and_an_impossible_one_has_a_finite_logarithm() -> None:
    shares, total = write_probability([((5, 0), 1.0)], 0.0, (6, 0), torch.tensor([-1.0, -1.0]))
    assert shares == [0.0, 0.0]
    assert math.isfinite(total)
