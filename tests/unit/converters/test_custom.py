"""Someone's own facts and questions become a dataset of one base, or the error says which file, line and column."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kblampp.converters import custom
from kblampp.converters.conversion import Conversion
from kblampp.core.errors import DataError
from kblampp.core.params_file import load_params
from kblampp.data.dataset import Dataset, DatasetWriter
from kblampp.data.facts import MOST_HOPS, FiveTuple, Question
from kblampp.data.windows import SYNTHETIC_TODAY, UNKNOWN, Window, day, year_window
from tests.house import ROOT

EXAMPLE = ROOT / "docs" / "examples" / "own-kb"
HEADER = "head,relation,tail,context,start,end\n"
OPTIONS = load_params(ROOT / "params.yaml").convert


class Desk:
    """A folder of raw files, and what becomes of them."""

    def __init__(self, folder: Path) -> None:
        self.raw, self.data = folder / "raw", folder / "data"
        self.raw.mkdir()

    def put(self, name: str, content: str | bytes | Sequence[Mapping[str, Any]]) -> Desk:
        """Writes a raw file: text, bytes, or objects as JSON lines."""
        if not isinstance(content, str | bytes):
            content = "".join(json.dumps(row) + "\n" for row in content)
        (self.raw / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return self

    def convert(self, as_of: int = SYNTHETIC_TODAY, **options: Any) -> dict[str, Any]:
        """Converts and returns the report."""
        with DatasetWriter(self.data, "custom") as writer:
            conversion = Conversion(writer, OPTIONS.model_copy(update=options), seed=0, as_of=as_of)
            custom.convert(self.raw, conversion)
            return conversion.report()

    def facts(self, **options: Any) -> list[FiveTuple]:
        """Converts and reads the base."""
        self.convert(**options)
        return Dataset.load(self.data, "custom").kbs["train"]

    def questions(self, split: str = "test", **options: Any) -> list[Question]:
        """Converts and reads a split."""
        self.convert(**options)
        return Dataset.load(self.data, "custom").questions[split]

    def error(self, **options: Any) -> str:
        """What the conversion complains of."""
        with pytest.raises(DataError) as caught:
            self.convert(**options)
        assert not self.data.exists() or not any(self.data.iterdir()), "half a dataset is left"
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def asked(desk: Desk) -> Desk:
    """A desk with three facts, two of them of one head."""
    return desk.put("facts.csv", "head,relation,tail\nAcme,led by,Ada\nAcme,made of,Bo\nZenith,led by,Cy\n")


def test_the_committed_example_becomes_one_base_that_its_test_questions_ask(desk: Desk) -> None:
    for name in ("facts.csv", "questions.jsonl"):
        desk.put(name, (EXAMPLE / name).read_bytes())
    report = desk.convert()
    dataset = Dataset.load(desk.data, "custom")
    assert dataset.kb_of_split == {"test": "train"}
    assert report["facts"] == {"train": len(dataset.kbs["train"])} == {"train": 12}
    assert report["questions"] == {"test": 9}
    assert not report["skipped"]
    for question in dataset.questions["test"]:
        tails = [dataset.kbs["train"][number].tail.name for number in question.supporting_facts]
        assert tails[-1:] == ([question.answer] if question.answer else [])
    assert {question.type for question in dataset.questions["test"]} == {
        "temporal",
        "single-hop",
        "multi-hop",
        "unanswerable",
    }


def test_a_table_and_five_tuples_give_the_same_dataset(desk: Desk, tmp_path: Path) -> None:
    facts = desk.put("facts.csv", (EXAMPLE / "facts.csv").read_bytes()).facts()
    (tmp_path / "second").mkdir()
    second = Desk(tmp_path / "second").put("facts.jsonl", [fact.to_row() for fact in facts])
    assert second.facts() == facts
    for name in ("5tuple/train.jsonl", "qa/dataset.json"):
        assert (second.data / name).read_bytes() == (desk.data / name).read_bytes()


def test_without_questions_there_is_a_base_and_no_split(asked: Desk) -> None:
    assert asked.convert()["questions"] == {}
    dataset = Dataset.load(asked.data, "custom")
    assert (len(dataset.kbs["train"]), dataset.questions) == (3, {})
    assert (asked.data / "qa" / "custom_train.jsonl").read_bytes() == b"", "DVC needs the file of the training stages"
    with pytest.raises(DataError, match="no questions in split train"):
        Dataset.load(asked.data, "custom", ("train",))


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_tables_as_spreadsheets_save_them(desk: Desk, ends: str, mark: bytes) -> None:
    lines = ["tail , head,relation,context", '"Bo ""B"" Lee","Müller, Söhne",owner,', ",,,", ""]
    (fact,) = desk.put("facts.csv", mark + ends.join(lines).encode()).facts()
    assert (fact.head.name, fact.relation.name, fact.tail.name) == ("Müller, Söhne", "owner", 'Bo "B" Lee')
    assert (fact.context.sent_span, fact.window) == ("", UNKNOWN)


@pytest.mark.parametrize(
    ("start", "end", "window"),
    [
        ("", "", UNKNOWN),
        ("2009", "", Window(day("2009-01-01"), None, "custom", "year")),
        ("", "2009", Window(None, day("2010-01-01"), "custom", None, "year")),
        ("2009", "2009", replace(year_window(2009, "custom"), start_unit="year", end_unit="year")),
        ("2009-02", "2009-02", Window(day("2009-02-01"), day("2009-03-01"), "custom", "month", "month")),
        ("2009-12", "2010", Window(day("2009-12-01"), day("2011-01-01"), "custom", "month", "year")),
        ("2009-03-02", "2009-03-03", Window(day("2009-03-02"), day("2009-03-04"), "custom", "day", "day")),
        ("2009-03-02", "2009-03-02", Window(day("2009-03-02"), day("2009-03-03"), "custom", "day", "day")),
        ("2009-03-02", "9999-12-31", Window(day("2009-03-02"), None, "custom", "day")),
        ("March 2009", "2009-3-2", Window(day("2009-03-01"), day("2009-03-03"), "custom", "month", "day")),
        ("circa 987", "present", Window(day("0987-01-01"), None, "custom", "year")),
        ("2009-03-02T10:30:00Z", "nan", Window(day("2009-03-02"), None, "custom", "day")),
        ("2009-03-02", "2009-03", Window(day("2009-03-02"), day("2009-04-01"), "custom", "day", "month")),
        ("9998", "9999", Window(day("9998-01-01"), None, "custom", "year")),
    ],
)
def test_windows(desk: Desk, start: str, end: str, window: Window) -> None:
    """A year or a month counts as a whole; a day as an end is the first on which the fact no longer holds."""
    (fact,) = desk.put("facts.csv", f"{HEADER}Acme,led by,Ada,,{start},{end}\n").facts()
    assert fact.window == window


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("2015", "2015", "2015", "2015"),
        ("2015-01", "2015-12", "January 2015", "December 2015"),
        ("2015-01-01", "2015-12-31", "1 January 2015", "31 December 2015"),
        ("2015-02-01", "2015-03", "1 February 2015", "March 2015"),
        ("", "2015-06-30", None, "30 June 2015"),
    ],
)
def test_a_bound_is_said_as_precisely_as_the_table_gives_it(
    desk: Desk, start: str, end: str, first: str | None, last: str | None
) -> None:
    (fact,) = desk.put("facts.csv", f"{HEADER}Acme,led by,Ada,,{start},{end}\n").facts()
    assert (fact.window.in_words("start"), fact.window.in_words("end")) == (first, last)


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        ("2009-03-02", "2009-03-01", "expected end after start"),
        ("2010", "2009", "expected end after start"),
        ("2009-13", "", "month"),
        ("2009-02-30", "", "'2009-02-30' is no day of the calendar"),
        ("0000", "", "'0000' may stand for what is not known"),
        ("Spring 2009", "", "column 'start': 'Spring 2009' is no date"),
        ("", "03/02/2009", "column 'end': '03/02/2009' does not say which number is the month"),
    ],
)
def test_times_that_make_no_sense_are_named_with_their_line(desk: Desk, start: str, end: str, says: str) -> None:
    desk.put("facts.csv", f"{HEADER}Acme,led by,Bo,,,\nAcme,led by,Ada,,{start},{end}\n")
    message = desk.error()
    assert f"{desk.raw / 'facts.csv'}, line 3: " in message
    assert says in message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("head,relation\na,b\n", "lacks column tail"),
        ("a,b,c\nd,e,f\n", "lacks columns head, relation, tail: it has 'a', 'b', 'c'"),
        ("", "is empty"),
        (
            "head,relation,tail\na,b,c\n".encode("utf-16")[:-9] + b"\x00\xd8\n\x00",
            "line 2: it holds a byte that is no UTF-16",
        ),
        (b"PK\x03\x04", "an Excel workbook"),
        ("head,relation,tail,tail\na,b,c,d\n", "has column 'tail' twice"),
        ("head,relation,tail\na,,c\n", "line 2: column 'relation' is empty"),
        (
            "head,relation,tail\na,b\n",
            "line 2: column 'tail' is empty: expected a name (the row has 2 cells, the first line 3)",
        ),
        ("head,relation,tail\na,b,c,d\n", "line 2: it has 4 cells, expected 3"),
        ('head,relation,tail\na,"b\n\nx"y,c\n', "a quote holds lines 2 to 4"),
        ('head,relation,tail\na,b,"c\n', "line 2: a quote is not closed"),
        ("head,relation,tail\nä,b,c\n".encode() + b"\xe4,b,c\n", "line 3: it holds a byte that is no UTF-8 (0xe4"),
    ],
)
def test_a_table_that_cannot_be_read_is_named_with_line_and_column(desk: Desk, content: str | bytes, says: str) -> None:
    message = desk.put("facts.csv", content).error()
    assert str(desk.raw / "facts.csv") in message
    assert says in message


def test_five_tuples_that_are_none_are_named_with_line_and_field(desk: Desk) -> None:
    row = {"head": {"name": "a"}, "relation": {"name": "b"}, "tail": {"name": " "}, "context": {}, "time_window": None}
    message = desk.put("facts.jsonl", [row]).error()
    assert f"{desk.raw / 'facts.jsonl'}, line 1: field 'tail.name'" in message


def test_exactly_one_file_of_facts_is_expected(desk: Desk) -> None:
    assert "neither facts.csv nor facts.jsonl" in desk.error()
    desk.put("facts.csv", HEADER).put("facts.jsonl", "")
    assert "both facts.csv and facts.jsonl" in desk.error()


def test_what_a_question_leaves_out_is_filled_in(asked: Desk) -> None:
    asked.put(
        "questions.jsonl",
        '{"question": "Who leads Acme?", "answer": "Ada", "supporting_facts": [0]}\n\n'
        '{"question": "Who led Acme in 2012?", "answer": "Ada", "aliases": ["A."]}\n'
        '{"question": "Who led Nobody in 2012?", "answer": null}\n'
        '{"question": "Who made what Acme is made of?", "answer": "Bo", "qid": "mine", "type": "multi-hop",'
        ' "supporting_facts": [0, 1], "question_time": {"start": "2001-01-01", "end": null}, "split": "dev"}\n',
    )
    first, second, third = asked.questions()
    assert (first.qid, first.type, first.question_time, first.supporting_facts) == (
        "custom_1",
        "single-hop",
        None,
        (0,),
    )
    assert (second.qid, second.type, second.aliases) == ("custom_3", "temporal", ("A.",))
    assert second.question_time == year_window(2012, "question_text")
    assert (third.type, third.answer) == ("unanswerable", "")
    (fourth,) = asked.questions("dev")
    assert (fourth.qid, fourth.type, fourth.supporting_facts) == ("mine", "multi-hop", (0, 1))
    assert fourth.question_time == Window(day("2001-01-01"), None)
    assert {question.dataset for question in (first, second, third, fourth)} == {"custom"}


QUESTION = {"question": "Who leads Acme?", "answer": "Ada", "supporting_facts": [0]}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"question": None}, "field 'question'"),
        ({"answer": 3}, "field 'answer'"),
        ({"split": "swap"}, "train, dev, test"),
        ({"split": ["dev"]}, "field 'split'"),
        ({"supporting_facts": [3]}, "below 3"),
        ({"supporting_facts": [-1]}, "field 'supporting_facts'"),
        ({"supporting_facts": "0"}, "field 'supporting_facts'"),
        ({"supporting_facts": [], "split": "train"}, "split is train"),
        ({"type": "hard"}, "single-hop"),
        ({"answer": "", "type": "temporal"}, "type is temporal"),
        ({"answer": ""}, "type is unanswerable"),
        ({"aliases": [1]}, "field 'aliases'"),
        ({"question_time": {"start": "2001"}}, "field 'question_time'"),
    ],
)
def test_a_question_that_makes_no_sense_is_named_with_its_line(asked: Desk, change: dict[str, Any], says: str) -> None:
    message = asked.put("questions.jsonl", [QUESTION, {**QUESTION, **change}]).error()
    assert f"{asked.raw / 'questions.jsonl'}, line 2: " in message
    assert says in message


def test_with_skip_bad_rows_are_counted_and_questions_keep_their_facts(desk: Desk) -> None:
    desk.put("facts.csv", "head,relation,tail\nAcme,led by,Ada\nAcme,,x\nAcme,led by\nZenith,led by,Cy\nlast\n")
    rows = [{**QUESTION, "supporting_facts": [number]} for number in range(6)]
    desk.put("questions.jsonl", [*rows, {"question": 5}])
    report = desk.convert(skip_bad=True)
    facts = Dataset.load(desk.data, "custom").kbs["train"]
    assert [fact.tail.name for fact in facts] == ["Ada", "Cy"]
    assert [question.supporting_facts for question in desk.questions(skip_bad=True)] == [(0,), (1,)]
    assert report["skipped"] == {"malformed": 3 + 5}
    assert report["rows_read"] == {"facts.csv": 5, "questions.jsonl": 7}


def test_equal_facts_are_one_and_rows_still_name_theirs(desk: Desk) -> None:
    desk.put("facts.csv", "head,relation,tail\na,b,c\na,b,c\nd,e,f\n")
    desk.put("questions.jsonl", [{**QUESTION, "answer": "f", "supporting_facts": [2]}])
    assert desk.convert()["skipped"] == {"fact seen before": 1}
    (question,) = desk.questions()
    assert question.supporting_facts == (1,)


@pytest.mark.parametrize("rows", [[0, 2], [0, 0], [2, 0, 2]])
@pytest.mark.parametrize("kind", ["single-hop", "multi-hop"])
def test_a_question_names_a_fact_once_also_where_its_rows_are_equal(desk: Desk, kind: str, rows: list[int]) -> None:
    desk.put("facts.csv", "head,relation,tail\na,b,c\nd,e,f\na,b,c\n")
    desk.put("questions.jsonl", [{**QUESTION, "type": kind, "supporting_facts": rows, "split": "train"}])
    (question,) = desk.questions("train")
    assert question.supporting_facts == (0,)


def test_a_training_question_has_as_many_hops_as_training_weighs_and_no_more(desk: Desk) -> None:
    desk.put("facts.csv", "head,relation,tail\n" + "".join(f"a,b,c{number}\n" for number in range(MOST_HOPS + 1)))
    longest = {**QUESTION, "type": "multi-hop", "supporting_facts": [*range(MOST_HOPS), 0], "split": "train"}
    too_long = {**longest, "supporting_facts": list(range(MOST_HOPS + 1))}
    asked = {**too_long, "split": "test"}
    alternatives = {**too_long, "type": "single-hop"}
    desk.put("questions.jsonl", [longest, asked, alternatives])
    assert [len(question.hops) for question in desk.questions("train")] == [MOST_HOPS, 1]
    assert [len(question.hops) for question in desk.questions("test")] == [MOST_HOPS + 1]


def test_a_training_question_with_more_hops_than_training_weighs_is_refused(desk: Desk) -> None:
    desk.put("facts.csv", "head,relation,tail\n" + "".join(f"a,b,c{number}\n" for number in range(MOST_HOPS + 1)))
    hops = list(range(MOST_HOPS + 1))
    desk.put("questions.jsonl", [{**QUESTION, "type": "multi-hop", "supporting_facts": hops, "split": "train"}])
    message = desk.error()
    assert f"{desk.raw / 'questions.jsonl'}, line 1: field 'supporting_facts'" in message
    assert f"at most {MOST_HOPS} facts" in message


def test_a_quote_that_is_not_closed_costs_its_line_and_says_which_lines_it_would_hold(desk: Desk) -> None:
    """What follows are rows of their own, if each is whole: with `skip_bad` a quote is no reason to lose them."""
    desk.put("facts.csv", 'head,relation,tail\na,b,c\nd,e,"f\ng,h,i\nhalf,a row\nj,k,l\n')
    desk.put("questions.jsonl", [{**QUESTION, "answer": "l", "supporting_facts": [4]}])
    message = desk.error()
    assert f"{desk.raw / 'facts.csv'}, line 3: " in message
    assert "a quote holds lines 3 to 6" in message
    report = desk.convert(skip_bad=True)
    assert (report["facts"], report["skipped"]) == ({"train": 3}, {"malformed": 2})
    assert "a quote holds lines 3 to 6" in report["malformed_examples"][0]
    assert "what a quote of line 3 holds" in report["malformed_examples"][1]
    (question,) = desk.questions(skip_bad=True)
    assert question.supporting_facts == (2,)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("head,relation,tail\nMüller,b,c\n".encode("utf-16"), "read as UTF-16"),
        ("head,relation,tail\nMüller,b,c\n".encode("cp1252"), "read as cp1252 (Western European)"),
        ("head;relation;tail\nMüller;b;c\n", "semicolons between the columns"),
        ("sep=\t\nhead\trelation\ttail\nMüller\tb\tc\n", "tabs between the columns"),
        ("Subject,predicate,OBJECT\nMüller,b,c\n", "head is 'Subject', relation is 'predicate', tail is 'OBJECT'"),
        ("head,relation,tail,start\nMüller,b,c\n", "rows with fewer cells"),
    ],
)
def test_tables_as_other_people_save_them_are_read_and_that_is_said(
    desk: Desk, caplog: pytest.LogCaptureFixture, content: str | bytes, says: str
) -> None:
    (fact,) = desk.put("facts.csv", content).facts()
    assert (fact.head.name, fact.relation.name, fact.tail.name) == ("Müller", "b", "c")
    assert says in caplog.text


def test_a_plain_table_is_read_without_a_word(asked: Desk, caplog: pytest.LogCaptureFixture) -> None:
    asked.convert()
    assert "facts.csv" not in caplog.text


@pytest.mark.parametrize(("facts", "questions"), [("Facts.CSV", "Questions.JSONL"), ("FACTS.csv", "questions.jsonl")])
def test_files_are_found_in_any_case(desk: Desk, facts: str, questions: str) -> None:
    desk.put(facts, "head,relation,tail\nAcme,led by,Ada\n").put(questions, [QUESTION])
    report = desk.convert()
    assert report["rows_read"] == {facts: 1, questions: 1}
    assert report["questions"] == {"test": 1}


def test_max_samples_reads_so_many_rows_and_leaves_out_questions_about_others(asked: Desk) -> None:
    asked.put("questions.jsonl", [QUESTION, {**QUESTION, "supporting_facts": [2]}])
    report = asked.convert(max_samples=2)
    assert report["facts"] == {"train": 2}
    assert report["questions"] == {"test": 1}
    assert report["skipped"] == {"question about facts beyond max_samples": 1}


def test_columns_that_are_not_read_are_told(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.put("facts.csv", "head,relation,tail,colour\na,b,c,red\n").convert()
    assert "columns that are not read: 'colour'" in caplog.text


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["Ada", "2009", "2009-03", "2009-03-02", "2009-99", "0000", "in 2012", '"', "a,b", "\n", "\x00"]
)
ANYTHING = st.none() | st.booleans() | st.integers(-2, 3) | TEXT | st.lists(st.integers(-1, 3), max_size=3)


@given(st.lists(st.lists(TEXT, min_size=5, max_size=7), max_size=6), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_table_is_converted_or_reported(rows: list[list[str]], quoted: bool) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL).writerows(
        [HEADER.strip().split(","), *rows]
    )
    check_each_row_is_told("facts.csv", text.getvalue())


FIELDS = st.fixed_dictionaries(
    {"question": TEXT},
    optional=dict.fromkeys(
        ("answer", "aliases", "type", "supporting_facts", "question_time", "split", "qid", "reason"), ANYTHING
    ),
)


@given(st.lists(FIELDS, min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_questions_are_converted_or_reported(rows: list[dict[str, Any]]) -> None:
    check_each_row_is_told("questions.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("half", ["\\ud800", "\\uDFFF"])
def test_half_a_surrogate_pair_is_no_text(asked: Desk, half: str) -> None:
    asked.put("questions.jsonl", f'{{"question": "Who is {half}?"}}\n')
    assert "questions.jsonl, line 1 " in asked.error()


def check_each_row_is_told(name: str, content: str) -> None:
    """Every row of a file is in the dataset, or counted as left out; without `skip_bad` it may be an error."""
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        if name != "facts.csv":
            desk.put("facts.csv", "head,relation,tail\nAcme,led by,Ada\nZenith,led by,Cy\n")
        report = desk.put(name, content).convert(skip_bad=True)
        told = sum(report["skipped"].values())
        made = report["facts"].get("train", 0) if name == "facts.csv" else sum(report["questions"].values())
        assert made + told == report["rows_read"][name]
        if report["facts"]:
            dataset = Dataset.load(desk.data, "custom")
            assert len(dataset.kbs["train"]) == report["facts"]["train"]
        if not told:
            desk.convert()


@pytest.mark.parametrize("year", [1990, 2043])
def test_last_year_is_told_from_the_day_of_asking_and_not_from_today(desk: Desk, year: int) -> None:
    desk.put("facts.csv", f"{HEADER}Acme,led by,Ada,,,\n")
    desk.put("questions.jsonl", [{"question": "Who led Acme last year?", "answer": "Ada"}])
    (asked,) = desk.questions(as_of=day(f"{year}-06-01"))
    assert asked.question_time is not None
    assert asked.question_time.start == year_window(year - 1).start
