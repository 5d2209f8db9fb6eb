"""Facts and questions, and their files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kblampp.core.errors import DataError
from kblampp.core.files import write_jsonl
from kblampp.data.facts import (
    KINDS,
    QUESTION_TYPES,
    REASONS,
    Context,
    Entity,
    FiveTuple,
    Question,
    Relation,
    read_facts,
    read_questions,
    write_facts,
)
from kblampp.data.windows import UNKNOWN, Window, day

FACT_ROW: dict[str, Any] = {
    "head": {"id": "E0012", "name": "Silver Harbor", "type": "ORG"},
    "relation": {"id": "R003", "name": "chief executive officer"},
    "tail": {"id": "E0107", "name": "Clara Weber", "type": "PERSON"},
    "context": {
        "source": "synthetic",
        "page_title": "Silver Harbor",
        "sent_span": "Clara Weber became CEO.",
        "disamb": {},
        "ver": {"url": None, "rev_id": None},
    },
    "time_window": {"start": "2009-03-02", "end": "2014-06-30", "source": "synthetic"},
}
QUESTION_ROW: dict[str, Any] = {
    "qid": "synth_world_swap_00042",
    "dataset": "synth_world",
    "question": "Who led Silver Harbor as CEO in 2012?",
    "answer": "Clara Weber",
    "aliases": [],
    "type": "temporal",
    "supporting_facts": [12],
    "question_time": {"start": "2012-01-01", "end": "2013-01-01"},
}
NO_ANSWER = {"type": "unanswerable", "answer": "", "supporting_facts": []}


def edited(row: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Returns a copy of the row with the field at "a.b" set, or removed if the value is `...`."""
    copy: dict[str, Any] = json.loads(json.dumps(row))
    *parents, name = path.split(".")
    target = copy
    for parent in parents:
        target = target[parent]
    if value is ...:
        del target[name]
    else:
        target[name] = value
    return copy


def written(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_designs_fact_row_round_trips_as_it_is() -> None:
    fact = FiveTuple.from_row(FACT_ROW)
    assert fact.to_row() == FACT_ROW
    assert list(fact.to_row()) == list(FACT_ROW)
    assert fact.window == Window(day("2009-03-02"), day("2014-06-30"), "synthetic")


def test_the_designs_question_row_round_trips_as_it_is() -> None:
    question = Question.from_row(QUESTION_ROW)
    assert question.to_row() == QUESTION_ROW
    assert list(question.to_row()) == list(QUESTION_ROW)


NAMES = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)
TEXTS = st.text(st.characters(codec="utf-8"))
ENTITIES = st.builds(Entity, st.none() | TEXTS, NAMES, st.none() | TEXTS)
WINDOWS = st.sampled_from([UNKNOWN, Window(None, None, "s"), Window(5, None, "s"), Window(None, 5), Window(5, 6, "s")])
FACTS = st.builds(
    FiveTuple,
    ENTITIES,
    st.builds(Relation, st.none() | TEXTS, NAMES),
    ENTITIES,
    st.builds(Context, NAMES, TEXTS, TEXTS, st.just({}), st.just({"url": None})),
    WINDOWS,
)


@given(st.lists(FACTS, min_size=1, max_size=4))
def test_facts_round_trip_through_a_file(tmp_path_factory: pytest.TempPathFactory, facts: list[FiveTuple]) -> None:
    path = tmp_path_factory.mktemp("facts") / "facts.jsonl"
    write_facts(path, facts)
    assert read_facts(path) == facts


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_of_a_question_is_written_where_it_is_known(kind: str) -> None:
    row = QUESTION_ROW | (NO_ANSWER if kind == "unanswerable" else {}) | {"kind": kind}
    question = Question.from_row(row)
    assert question.kind == question.to_row()["kind"] == kind
    assert "kind" not in Question.from_row(QUESTION_ROW).to_row()


@pytest.mark.parametrize("reason", [None, *REASONS])
def test_unanswerable_questions_round_trip(tmp_path: Path, reason: str | None) -> None:
    program = {"head": "E1", "relations": ["R1"]}
    question = Question("q1", "d", "Who?", "", (), "unanswerable", (), None, reason, program)
    write_jsonl(tmp_path / "q.jsonl", [question.to_row()])
    assert read_questions(tmp_path / "q.jsonl") == [question]


def test_questions_keep_aliases_order_of_facts_and_the_times_source(tmp_path: Path) -> None:
    window = Window(None, 9, "question_text")
    question = Question("q1", "d", "Who?", "A", ("B", "C"), "multi-hop", (7, 2), window)
    write_jsonl(tmp_path / "q.jsonl", [question.to_row()])
    assert read_questions(tmp_path / "q.jsonl", n_facts=8) == [question]


def test_facts_and_questions_are_hashable() -> None:
    assert len({FiveTuple.from_row(FACT_ROW), FiveTuple.from_row(FACT_ROW)}) == 1
    assert len({Question.from_row(QUESTION_ROW), Question.from_row(QUESTION_ROW)}) == 1


def test_a_time_window_of_nulls_or_null_is_unknown() -> None:
    nulls = edited(FACT_ROW, "time_window", {"start": None, "end": None, "source": None})
    assert FiveTuple.from_row(nulls).window == UNKNOWN
    assert FiveTuple.from_row(edited(FACT_ROW, "time_window", None)).window == UNKNOWN


def test_an_open_window_with_a_source_is_known() -> None:
    row = edited(FACT_ROW, "time_window", {"start": None, "end": None, "source": "s"})
    assert FiveTuple.from_row(row).window.known


def test_an_unknown_question_time_becomes_none() -> None:
    row = edited(QUESTION_ROW, "question_time", {"start": None, "end": None})
    assert Question.from_row(row).question_time is None
    assert Question.from_row(edited(QUESTION_ROW, "question_time", ...)).question_time is None


def test_extra_fields_are_ignored_or_kept_where_free() -> None:
    assert Question.from_row(edited(QUESTION_ROW, "extra", 3)) == Question.from_row(QUESTION_ROW)
    fact = FiveTuple.from_row(edited(FACT_ROW, "context.disamb.hint", [1, 2]))
    assert fact.context.disamb == {"hint": [1, 2]}


def test_a_context_may_lack_page_and_sentence() -> None:
    row = edited(edited(FACT_ROW, "context.page_title", None), "context.sent_span", None)
    context = FiveTuple.from_row(row).context
    assert (context.page_title, context.sent_span) == ("", "")


BROKEN_FACTS = [
    ("head", ..., "head"),
    ("head", "Silver Harbor", "head"),
    ("head.name", ..., "head.name"),
    ("head.name", 3, "head.name"),
    ("head.name", " ", "head.name"),
    ("head.id", 3, "head.id"),
    ("head.type", [], "head.type"),
    ("relation.name", None, "relation.name"),
    ("relation.id", 3, "relation.id"),
    ("tail.name", "", "tail.name"),
    ("context", ..., "context"),
    ("context.source", ..., "context.source"),
    ("context.sent_span", 3, "context.sent_span"),
    ("context.disamb", [], "context.disamb"),
    ("context.ver", "x", "context.ver"),
    ("time_window", ..., "time_window"),
    ("time_window", "2012", "time_window"),
    ("time_window.start", ..., "time_window"),
    ("time_window.start", 2012, "time_window"),
    ("time_window.start", "2012", "time_window"),
    ("time_window.end", "2009-03-02", "time_window"),
    ("time_window.end", "2000-01-01", "time_window"),
]


@pytest.mark.parametrize(("field", "value", "named"), BROKEN_FACTS)
def test_a_broken_fact_is_named_with_file_line_and_field(tmp_path: Path, field: str, value: object, named: str) -> None:
    path = written(tmp_path / "facts.jsonl", FACT_ROW, edited(FACT_ROW, field, value), FACT_ROW)
    with pytest.raises(DataError) as caught:
        read_facts(path)
    message = str(caught.value)
    assert f"{path}:2: field '{named}'" in message
    assert "expected" in message


def test_an_error_shows_what_was_expected_and_found(tmp_path: Path) -> None:
    path = written(tmp_path / "facts.jsonl", edited(FACT_ROW, "tail.name", 107))
    with pytest.raises(DataError, match=r"'tail\.name'.*not blank.*107"):
        read_facts(path)


def test_an_error_cuts_long_values(tmp_path: Path) -> None:
    path = written(tmp_path / "facts.jsonl", edited(FACT_ROW, "head", "x" * 10_000))
    with pytest.raises(DataError) as caught:
        read_facts(path)
    assert "xxx" in str(caught.value)
    assert "x" * 1000 not in str(caught.value)


BROKEN_QUESTIONS = [
    *((name, ..., name) for name in QUESTION_ROW if name != "question_time"),
    ("qid", 3, "qid"),
    ("question", "", "question"),
    ("answer", None, "answer"),
    ("answer", " ", "answer"),
    ("aliases", "Weber", "aliases"),
    ("aliases", [3], "aliases"),
    ("type", "bridge", "type"),
    ("supporting_facts", 12, "supporting_facts"),
    ("supporting_facts", ["12"], "supporting_facts"),
    ("supporting_facts", [True], "supporting_facts"),
    ("supporting_facts", [-1], "supporting_facts"),
    ("supporting_facts", [100], "supporting_facts"),
    ("question_time", "2012", "question_time"),
    ("question_time.end", "2011-01-01", "question_time"),
    ("reason", "wrong_time", "reason"),
    ("reason", 3, "reason"),
    ("kind", "riddle", "kind"),
    ("kind", 3, "kind"),
    ("kind", "unanswerable", "kind"),
    ("program", [], "program"),
]


@pytest.mark.parametrize(("field", "value", "named"), BROKEN_QUESTIONS)
def test_a_broken_question_is_named_with_file_line_and_field(
    tmp_path: Path, field: str, value: object, named: str
) -> None:
    good = QUESTION_ROW | {"qid": "q1"}
    path = written(tmp_path / "q.jsonl", good, edited(QUESTION_ROW, field, value))
    with pytest.raises(DataError) as caught:
        read_questions(path, n_facts=100)
    message = str(caught.value)
    assert message.startswith(f"{path}:2: ")
    assert f"field '{named}'" in message


@pytest.mark.parametrize(("field", "value"), [("answer", "A"), ("supporting_facts", [1]), ("reason", "unlucky")])
def test_an_unanswerable_question_has_no_answer_and_no_facts(field: str, value: object) -> None:
    with pytest.raises(DataError, match=f"field '{field}'"):
        Question.from_row(QUESTION_ROW | NO_ANSWER | {field: value}, "q.jsonl:1")


@pytest.mark.parametrize("kind", [kind for kind in QUESTION_TYPES if kind != "unanswerable"])
def test_an_answerable_question_needs_an_answer(kind: str) -> None:
    with pytest.raises(DataError, match="field 'answer'"):
        Question.from_row(QUESTION_ROW | {"type": kind, "answer": ""})


def test_a_question_id_may_occur_once(tmp_path: Path) -> None:
    path = written(tmp_path / "q.jsonl", QUESTION_ROW, QUESTION_ROW)
    with pytest.raises(DataError, match=r":2: field 'qid'.*q\.jsonl:1"):
        read_questions(path)


def test_the_last_fact_is_in_range_and_the_next_is_not(tmp_path: Path) -> None:
    path = written(tmp_path / "q.jsonl", QUESTION_ROW)
    assert len(read_questions(path, n_facts=13)) == 1
    with pytest.raises(DataError, match="ids below 12"):
        read_questions(path, n_facts=12)


@pytest.mark.parametrize(
    ("kind", "facts", "hops"),
    [
        ("single-hop", [4], ((4,),)),
        ("single-hop", [4, 2, 9], ((4, 2, 9),)),
        ("temporal", [4, 2], ((4, 2),)),
        ("multi-hop", [4, 2, 9], ((4,), (2,), (9,))),
        ("multi-hop", [4], ((4,),)),
        ("single-hop", [], ()),
        ("multi-hop", [], ()),
        ("unanswerable", [], ()),
    ],
    ids=str,
)
def test_hops_are_the_facts_in_turn_if_multi_hop_and_else_one_hop_of_alternatives(
    kind: str, facts: list[int], hops: tuple[tuple[int, ...], ...]
) -> None:
    answer = {"answer": ""} if kind == "unanswerable" else {}
    question = Question.from_row(QUESTION_ROW | {"type": kind, "supporting_facts": facts, **answer})
    assert question.hops == hops


GOOD_LINE = json.dumps(FACT_ROW).encode() + b"\n"
BROKEN_FILES = [
    (b"", "is empty"),
    (b"\xef\xbb\xbf" + GOOD_LINE, ":1 .*byte order mark"),
    (GOOD_LINE + GOOD_LINE.replace(b"Clara", b"Cl\xe1ra"), ":2 is not UTF-8"),
    (GOOD_LINE.decode().encode("utf-16"), ":1 is not UTF-8"),
    (GOOD_LINE + GOOD_LINE[:50], ":2 is not valid JSON.*cut off"),
    (GOOD_LINE + GOOD_LINE[:50] + b"\n" + GOOD_LINE, ":2 is not valid JSON"),
    (GOOD_LINE + b"\n" + GOOD_LINE, ":2 is blank"),
    (GOOD_LINE + b"\n", ":2 is blank"),
    (b"[1]\n", ":1 is a JSON list"),
    (b"null\n", ":1 is a JSON NoneType"),
    (b'{"head": NaN}\n', ":1 is not valid JSON"),
    (b"[" * 100_000 + b"\n", ":1 is not valid JSON"),
    (GOOD_LINE.replace(b"Clara", b"\\ud800"), ":1 .*surrogate"),
]


@pytest.mark.parametrize(("content", "problem"), BROKEN_FILES, ids=[problem for _, problem in BROKEN_FILES])
@pytest.mark.parametrize("read", [read_facts, read_questions])
def test_a_damaged_file_is_refused(
    tmp_path: Path, content: bytes, problem: str, read: Callable[[Path], list[object]]
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    if read is read_questions:
        line = json.dumps(QUESTION_ROW).encode() + b"\n"
        path.write_bytes(content.replace(GOOD_LINE, line) if content.startswith(GOOD_LINE) else content)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    if read is read_facts:
        with pytest.raises(DataError, match=problem):
            read(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            read_facts(path)


def test_a_last_line_without_its_line_end_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_bytes(GOOD_LINE.replace(b"\n", b"\r\n") + GOOD_LINE.rstrip(b"\n"))
    assert len(read_facts(path)) == 2
