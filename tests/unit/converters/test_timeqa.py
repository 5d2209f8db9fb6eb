"""TimeQA rows become the facts and questions that they state, to the last span; what cannot be is counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kblampp.converters import timeqa
from kblampp.converters.conversion import Conversion
from kblampp.converters.timeqa import named_window, sentence_around, worded_window
from kblampp.converters.timeqa_templates import Group, template_questions
from kblampp.core.errors import DataError
from kblampp.core.params import ConvertParams
from kblampp.data.dataset import Dataset, DatasetWriter
from kblampp.data.windows import SYNTHETIC_TODAY, Window, day
from kblampp.time_expressions.parse import parse_question_time
from tests.converting import real_list, real_rows

PARAS = [
    "Ann Lee (architect)",
    "Ann Lee studied . She worked for Acme from 2004 to 2006 , then for D . Baker & Co . It ended .",
]
RELATIONS = {"P108": {"meaning": "employer", "template": ["Which employer did $1 work for $4?"], "mode": "accumulate"}}


def answer(text: str, **changes: Any) -> dict[str, Any]:
    start = PARAS[1].find(text) if text else 0
    row = {"para": 1 if text else 0, "from": start, "end": start + len(text), "answer": text}
    return {**row, **changes}


def page(questions: Sequence[Any], link: str = "/wiki/Ann_Lee_(architect)", **changes: Any) -> dict[str, Any]:
    row = {"index": f"{link}#P108", "type": "P108", "link": link, "paras": PARAS, "questions": questions}
    return {**row, **changes}


HUMAN = page(
    [
        ["Whom did Ann work for from 2004 to 2006?", [answer("Acme")]],
        ["Whom did Ann work for from 2006 to 2009?", [answer("D . Baker & Co"), answer("Acme")]],
        ["Whom did Ann work for from 2010 to 2011?", [answer("")]],
    ]
)
HARD = [
    {"idx": f"{HUMAN['index']}#0", "question": "Whom did Ann work for in May 2005?", "targets": ["Acme"]},
    {"idx": f"{HUMAN['index']}#7", "question": "Whom did Ann work for in May 1905?", "targets": [""]},
    {"idx": "/wiki/Nobody#P1#0", "question": "Whom did Nobody work for in May 1905?", "targets": ["Acme"]},
]


def options(**changes: Any) -> ConvertParams:
    plain = {"max_samples": None, "skip_bad": False, "folds": 2, "fold": 0, "dev_share": 0.0}
    flags = {"template_questions": False, "distractor_facts": False, "oracle_facts": False, "known_at": None}
    return ConvertParams(**{**plain, **flags, **changes})


def converted(raw: Path, data: Path, **changes: Any) -> tuple[Dataset, dict[str, Any]]:
    with DatasetWriter(data, "timeqa") as writer:
        conversion = Conversion(writer, options(**changes), seed=0, as_of=SYNTHETIC_TODAY)
        timeqa.convert(raw, conversion)
        report = conversion.report()
    return Dataset.load(data, "timeqa"), report


def folder(tmp_path: Path, files: dict[str, Any], relations: Any = RELATIONS) -> Path:
    raw = tmp_path / "raw"
    raw.mkdir(exist_ok=True)
    for name, content in {**files, "relations.json": relations}.items():
        (raw / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return raw


def fold_of(link: str) -> int:
    """The fold of two in which a page is test."""
    with_first = options()
    return 0 if Conversion(None, with_first, 0, SYNTHETIC_TODAY).split_of(link) == "test" else 1  # type: ignore[arg-type]


def other_page() -> dict[str, Any]:
    """A page that trains when `HUMAN` is test."""
    names = (f"/wiki/Page_{number}" for number in range(99))
    link = next(link for link in names if fold_of(link) != fold_of(HUMAN["link"]))
    return page([["Whom did it employ from 1999 to 2001?", [answer("Acme")]]], link)


def lines(rows: Sequence[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_facts_have_head_relation_tail_sentence_and_window(tmp_path: Path) -> None:
    dataset, report = converted(
        folder(tmp_path, {"human_annotated_train.json": [HUMAN]}), tmp_path, fold=1 - fold_of(HUMAN["link"])
    )
    facts = dataset.kbs["all"]
    assert facts == dataset.kbs["train"]
    assert [(f.head.name, f.relation.name, f.tail.name) for f in facts] == [
        ("Ann Lee (architect)", "employer", "Acme"),
        ("Ann Lee (architect)", "employer", "D . Baker & Co"),
        ("Ann Lee (architect)", "employer", "Acme"),
    ]
    assert facts[0].window == Window(day("2004-01-01"), day("2006-02-01"), timeqa.SOURCE)
    assert facts[1].context.sent_span == "She worked for Acme from 2004 to 2006 , then for D . Baker & Co ."
    assert facts[0].context.disamb == {"parentheses": "architect"}
    assert report["counts"]["answer spans"] == 3


def test_several_answers_are_alternatives_and_no_answer_is_unanswerable(tmp_path: Path) -> None:
    raw = folder(tmp_path, {"human_annotated_train.json": [HUMAN]})
    dataset, _ = converted(raw, tmp_path, fold=1 - fold_of(HUMAN["link"]))
    first, second, third = dataset.questions["train"]
    assert (first.answer, first.type, first.supporting_facts) == ("Acme", "temporal", (0,))
    assert (second.answer, second.aliases, second.hops) == ("D . Baker & Co", ("Acme",), ((1, 2),))
    assert (third.answer, third.type, third.supporting_facts) == ("", "unanswerable", ())


def test_a_hard_line_finds_its_facts_and_a_page_is_in_one_split(tmp_path: Path) -> None:
    files = {"human_annotated_train.json": [HUMAN, other_page()], "human_train.hard.json": lines(HARD)}
    dataset, report = converted(folder(tmp_path, files), tmp_path, fold=fold_of(HUMAN["link"]), skip_bad=True)
    answerable, unanswerable = dataset.questions["test_hard"]
    assert answerable.supporting_facts == (0,)
    assert answerable.question_time == parse_question_time(answerable.question)
    assert unanswerable.type == "unanswerable"
    assert report["skipped"] == {"question of a page without annotation": 1}
    assert dataset.questions.keys() == {"train", "test", "test_hard"}
    assert len(dataset.kbs["all"]) == len(dataset.kbs["train"]) + 3


def test_a_page_in_two_files_gives_its_facts_once(tmp_path: Path) -> None:
    annotated = page([[["2004", "2006"], [answer("Acme")]]])
    files = {"annotated_train.json": [annotated], "human_annotated_train.json": [HUMAN]}
    dataset, report = converted(folder(tmp_path, files), tmp_path, fold=1 - fold_of(HUMAN["link"]))
    assert len(dataset.kbs["all"]) == 3
    assert report["counts"]["questions annotated twice"] == 1


def test_a_line_of_a_page_that_no_file_has_is_counted_also_if_it_has_no_answer(tmp_path: Path) -> None:
    """Else it would say that the base cannot answer what nobody annotated."""
    unknown = [{**HARD[1], "idx": idx} for idx in ("/wiki/Nobody#P1#0", "Nobody", f"{HUMAN['link']}#P1#0")]
    files = {"human_annotated_train.json": [HUMAN], "human_train.hard.json": lines([HARD[1], *unknown])}
    dataset, report = converted(folder(tmp_path, files), tmp_path, fold=1 - fold_of(HUMAN["link"]))
    assert report["skipped"] == {"question of a page without annotation": 3}
    question = dataset.questions["train"][-1]
    assert (question.qid, question.type) == (f"{HUMAN['index']}#7/hard", "unanswerable")


def test_questions_of_overlapping_files_are_counted_once_and_spans_for_each_row(tmp_path: Path) -> None:
    """The easy lines ask what the page asks; the page stands with windows alone in a third file."""
    easy = [
        {"idx": f"{HUMAN['index']}#{number}", "question": text, "targets": [item["answer"] for item in answers]}
        for number, (text, answers) in enumerate(HUMAN["questions"])
    ]
    windows = page([[["2004", "2006"], [answer("Acme")]], [["2006", "2009"], []], [["2010", "2011"], []]])
    windows["questions"][1][1] = HUMAN["questions"][1][1]
    files = {
        "annotated_train.json": [windows],
        "human_annotated_train.json": [HUMAN],
        "human_train.easy.json": lines(easy),
        "human_train.hard.json": lines(HARD[:2]),
    }
    dataset, report = converted(folder(tmp_path, files), tmp_path, fold=1 - fold_of(HUMAN["link"]))
    assert report["counts"] == {
        "answer spans": 6,
        "question times parsed (easy)": 3,
        "question times parsed (hard)": 2,
        "questions annotated twice": 3,
        "questions without an answer": 2,
        "windows parsed": 6,
    }
    assert report["skipped"] == {"question id seen before": 3}
    asked = dataset.questions["train"]
    assert len(asked) == 5
    assert sum(question.type == "unanswerable" for question in asked) == 2


@pytest.mark.parametrize(
    "entry",
    [
        {"template": ["Who?"]},
        "team",
        None,
        {"meaning": 3, "template": []},
        {"meaning": " ", "template": []},
        {"meaning": "team", "template": "Who?"},
        {"meaning": "team", "template": [3]},
    ],
)
def test_a_relation_of_another_shape_is_named_with_its_file(tmp_path: Path, entry: Any) -> None:
    raw = folder(tmp_path, {"human_annotated_train.json": [HUMAN]}, {**RELATIONS, "P54": entry})
    with pytest.raises(DataError) as caught:
        converted(raw, tmp_path, skip_bad=True)
    for part in (str(raw / "relations.json"), "'P54'", "meaning", "template"):
        assert part in str(caught.value)
    assert not (tmp_path / "5tuple").exists()


def test_templates_ask_training_pages_alone_and_each_has_one_answer(tmp_path: Path) -> None:
    raw = folder(tmp_path, {"human_annotated_train.json": [HUMAN, other_page()]})
    test_fold = fold_of(HUMAN["link"])
    trained, _ = converted(raw, tmp_path / "a", fold=1 - test_fold, template_questions=True)
    tested, _ = converted(raw, tmp_path / "b", fold=test_fold, template_questions=True)
    assert len(tested.questions["test"]) == 3
    made = [question for question in trained.questions["train"] if "/template" in question.qid]
    assert len(made) > 3
    for question in made:
        assert "Ann Lee" in question.question
        assert question.question_time is not None
        holding = {i for i, f in enumerate(trained.kbs["train"]) if f.window.overlaps(question.question_time)}
        assert set(question.supporting_facts) <= holding


def test_hard_templates_ask_for_no_time_that_another_window_shares() -> None:
    windows = [Window(day("2000-01-01"), day("2005-02-01"), "x"), Window(day("2005-01-01"), day("2011-02-01"), "x")]
    groups = [Group(f"p#{i}", window, False) for i, window in enumerate(windows)]
    made = list(template_questions("Ann", ["Who led $1 $4?", "$1 was led by whom $2?"], groups))
    assert made == list(template_questions("Ann", ["Who led $1 $4?", "$1 was led by whom $2?"], groups))
    parts = [(q, parse_question_time(q.question)) for q in made if not q.qid.endswith(".0")]
    assert len(parts) > 6
    for question, window in parts:
        own = int(question.idx[-1])
        assert window is not None
        assert window.overlaps(windows[own]), question
        assert not window.overlaps(windows[1 - own]), question


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("2004", "2006", "2004-01-01", "2006-02-01"),
        ("Aug 1995", "Sept 1996", "1995-08-01", "1996-10-01"),
        ("May 1904", "1904", None, None),
        ("8", "9", "0008-01-01", "0009-02-01"),
        ("1985", "1848", None, None),
        ("2004", "2004", "2004-01-01", "2004-02-01"),
        ("soon", "2004", None, None),
        ("0", "4", None, None),
    ],
)
def test_annotated_windows(start: str, end: str, first: str | None, last: str | None) -> None:
    expected = None if first is None or last is None else Window(day(first), day(last), timeqa.SOURCE)
    assert named_window(start, end) == expected


@pytest.mark.parametrize(
    ("question", "first", "last"),
    [
        ("Who led it from Apr 1935 to Apr 1937?", "1935-04-01", "1937-05-01"),
        ("Who led it from 2004 to 2005?", "2004-01-01", "2005-02-01"),
        ("Who led it in 1369 to1420?", "1369-01-01", "1420-02-01"),
        ("Who led it in 1804?", "1804-01-01", "1805-01-01"),
        ("Who won 4 to 4-0 and led it from 1913 to 1915?", "1913-01-01", "1915-02-01"),
        ("Who led it from 1913 to Mar 1915 and won 3-2?", "1913-01-01", "1915-04-01"),
        ("Which team of 10 to 12 players won in 1913?", "1913-01-01", "1914-01-01"),
        ("Who won 2-1 in 1804?", "1804-01-01", "1805-01-01"),
        ("Who led it from 1985 to 1848?", None, None),
        ("Who led it?", None, None),
    ],
)
def test_windows_that_a_question_names(question: str, first: str | None, last: str | None) -> None:
    found = worded_window(question, parse_question_time(question))
    assert (found and (found.start, found.end)) == (first and last and (day(first), day(last)))


def test_a_sentence_does_not_end_after_an_initial() -> None:
    text = "It began . He met D . Baker in Rome . It ended ."
    start = text.index("Baker")
    assert sentence_around(text, start, start + 5) == "He met D . Baker in Rome ."


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (page([["Who?", [answer("Acme", end=3)]]]), r"questions\[0\]\.answer.*paras\[1\]"),
        (page([["Who?", [answer("Acme", para=9)]]]), "no such paragraph"),
        (page([["Who?", [answer("Acme", **{"from": -1})]]]), "whole number"),
        (page([["Who?", "Acme"]]), r"questions\[0\]"),
        (page([[["2004"], [answer("Acme")]]]), r"\[start, end\]"),
        (page([], type="P0"), "relations.json"),
        (page([], paras="text"), "list of paragraphs"),
        # the split of a line comes from its idx, and that of the facts from the link
        (page([], index="/wiki/Another#P108"), r"'index'.*/wiki/Ann_Lee_"),
        ({"index": "x"}, "'link' is missing"),
        (["a list"], "expected an object"),
    ],
)
def test_a_malformed_page_is_told_or_counted_and_leaves_nothing(tmp_path: Path, row: Any, message: str) -> None:
    raw = folder(tmp_path, {"human_annotated_train.json": [HUMAN, row]})
    with pytest.raises(DataError, match=message) as caught:
        converted(raw, tmp_path)
    assert "human_annotated_train.json, record 2" in str(caught.value)
    assert not (tmp_path / "5tuple").exists()
    dataset, report = converted(raw, tmp_path, skip_bad=True, fold=1 - fold_of(HUMAN["link"]))
    assert len(dataset.kbs["all"]) == 3
    assert report["skipped"]["malformed"] == 1


def test_missing_files_are_named(tmp_path: Path) -> None:
    raw = folder(tmp_path, {})
    with pytest.raises(DataError, match=r"annotated pages.*README"):
        converted(raw, tmp_path)
    (raw / "relations.json").unlink()
    (raw / "human_annotated.json").write_text(json.dumps([HUMAN]))
    with pytest.raises(DataError, match=r"relations\.json"):
        converted(raw, tmp_path)


@real_rows
def test_the_counts_of_the_real_rows_come_out_exactly(tmp_path: Path, real: Path) -> None:
    """The human pages alone, so that each figure can be counted from the raw rows."""
    raw = folder(tmp_path, {})
    for name in ("human_annotated.json", "relations.json"):
        (raw / name).write_bytes((real / "timeqa" / name).read_bytes())
    dataset, report = converted(raw, tmp_path)
    pages = real_list(real / "timeqa" / "human_annotated.json")
    questions = [(text, answers) for row in pages for text, answers in row["questions"]]
    spans = [item["answer"] for _, answers in questions for item in answers if item["answer"]]
    unanswerable = sum(answers[0]["answer"] == "" for _, answers in questions)
    counts = report["counts"]
    assert sum(report["questions"].values()) == len(questions)
    assert counts["answer spans"] == len(spans)
    assert counts["questions without an answer"] == unanswerable > 0
    assert counts["windows parsed"] + counts["windows not parsed or reversed"] == len(questions)
    assert report["skipped"] == {}
    asked = [question for split in dataset.questions.values() for question in split]
    assert sum(question.type == "unanswerable" for question in asked) == unanswerable
    assert sorted(question.question for question in asked) == sorted(text for text, _ in questions)
    assert {fact.tail.name for fact in dataset.kbs["all"]} == set(spans)


@real_rows
def test_windows_of_the_real_rows_are_those_of_an_independent_reading(real: Path) -> None:
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    def month(text: str) -> tuple[int, int]:
        *name, year = text.split()
        return int(year), months.index(name[0][:3]) + 1 if name else 1

    for row in real_list(real / "timeqa" / "annotated_RECONSTRUCTED.json"):
        for (start, end), _ in row["questions"]:
            window = named_window(start, end)
            if month(end) < month(start):
                assert window is None
                continue
            year, number = month(end)
            after = (year + number // 12, number % 12 + 1)
            first, end_day = (day(f"{y:04d}-{m:02d}-01") for y, m in (month(start), after))
            assert window == Window(first, end_day, timeqa.SOURCE)


@real_rows
def test_pages_are_disjoint_and_every_page_is_test_in_one_fold(tmp_path: Path, real: Path) -> None:
    raw = folder(tmp_path, {})
    for path in (real / "timeqa").glob("*.json*"):
        (raw / path.name).write_bytes(path.read_bytes())
    tested: list[str] = []
    for fold in range(3):
        dataset, _ = converted(raw, tmp_path / str(fold), folds=3, fold=fold, dev_share=0.1, template_questions=True)
        pages = {split: {q.qid.split("#")[0] for q in asked} for split, asked in dataset.questions.items()}
        held_out = pages["test"] | pages["test_hard"]
        dev = pages.get("dev", set())
        assert not pages["train"] & (held_out | dev)
        assert not dev & held_out
        assert not {fact.head.id for fact in dataset.kbs["train"]} & held_out
        tested += [question.qid for question in dataset.questions["test"]]
    rows = real_list(real / "timeqa" / "human_annotated.json")
    assert sorted(tested) == sorted(f"{row['index']}#{n}/easy" for row in rows for n in range(len(row["questions"])))


texts = st.text(max_size=12)
times = st.one_of(texts, st.sampled_from(["2004", "Aug 1995", "1985", "12", "May 2004"]))
answers = st.fixed_dictionaries(
    {
        "para": st.integers(-1, 2),
        "from": st.integers(-1, 9),
        "end": st.integers(-1, 12),
        "answer": st.one_of(st.just(""), texts),
    }
)
asked = st.one_of(texts, st.lists(times, min_size=2, max_size=2), times.map(lambda time: f"Who led it in {time}?"))
pages = st.fixed_dictionaries(
    {
        "index": texts,
        "type": st.sampled_from(["P108", "P1", ""]),
        "link": st.one_of(texts, st.just("/wiki/A_(b)")),
        "paras": st.lists(texts, max_size=3),
        "questions": st.lists(st.tuples(asked, st.lists(answers, max_size=2)).map(list), max_size=3),
    }
).map(lambda row: row if row["paras"][1:] else {**row, "index": f"{row['link']}#{row['type']}"})
hard_lines = st.fixed_dictionaries({"idx": texts, "question": texts, "targets": st.lists(texts, max_size=2)})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(pages, max_size=3), hard=st.lists(hard_lines, max_size=2))
def test_any_row_of_the_schema_converts_or_is_reported(tmp_path_factory: Any, rows: list[Any], hard: list[Any]) -> None:
    tmp_path = tmp_path_factory.mktemp("any")
    raw = folder(tmp_path, {"human_annotated.json": [HUMAN, *rows], "a.hard.json": lines(hard) or "\n"})
    fold = 1 - fold_of(HUMAN["link"])
    dataset, report = converted(raw, tmp_path, skip_bad=True, template_questions=True, fold=fold)
    assert report["rows_read"]["human_annotated.json"] == 1 + len(rows)
    assert len(dataset.kbs["all"]) >= 3
    assert len(dataset.kbs["all"]) <= report["counts"]["answer spans"]
