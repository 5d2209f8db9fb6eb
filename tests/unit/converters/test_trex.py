"""T-REx: a statement is one fact for each sentence, names and offsets are those of the text, nothing is made up."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kblampp.converters.trex import convert
from kblampp.core.errors import DataError
from tests.converting import (
    BROKEN_TEXTS,
    SAMPLES,
    TEXTS,
    VALUES,
    Converted,
    Row,
    converted,
    edited,
    peak_bytes,
    real_list,
    unit_of,
    write,
)

ITEM, PROPERTY = "http://www.wikidata.org/entity/", "http://www.wikidata.org/prop/direct/"
DATE = "1993-07-28T00:00:00Z^^http://www.w3.org/2001/XMLSchema#dateTime"
LABEL, ALIAS = "http://www.w3.org/2000/01/rdf-schema#label", "http://www.w3.org/2004/02/skos/core#altLabel"
SIDE = "".join(
    f"{PROPERTY}{pid}\t{kind}\t{text}\n"
    for pid, kind, text in (
        ("P47", ALIAS, '"borders"'),
        ("P47", LABEL, '"shares border with"'),
        ("P571", LABEL, '"inc\\u0065ption"'),
    )
)
TEXT = "Andorra borders Spain and France. It joined on 28 July 1993."
PLACES = {"Andorra": (0, 7), "Spain": (16, 21), "France": (26, 32), "It": (34, 36), "28 July 1993": (47, 59)}
UNNAMED = "pronoun, or no name, for an entity that is not named elsewhere in the document"
SKIPPED_STATEMENTS = ("predicate without a label", "empty sentence", UNNAMED)


def mention(uri: str, surface: str, annotator: str = "Linker", *, place: bool = True) -> Row:
    boundaries = list(PLACES[surface]) if place else None
    return {"boundaries": boundaries, "surfaceform": surface, "uri": uri, "annotator": annotator}


def triple(subject: Row, predicate: str, target: Row, sentence: int = 0, aligner: str = "Simple-Aligner") -> Row:
    return {
        "sentence_id": sentence,
        "subject": subject,
        "predicate": {"boundaries": None, "surfaceform": None, "uri": PROPERTY + predicate, "annotator": aligner},
        "object": target,
        "dependency_path": None,
        "confidence": None,
        "annotator": aligner,
    }


ANDORRA, SPAIN, FRANCE = (
    mention(ITEM + q, name) for q, name in (("Q228", "Andorra"), ("Q29", "Spain"), ("Q142", "France"))
)
IT = mention(ITEM + "Q228", "It", "Simple_Coreference")
DAY = mention(DATE, "28 July 1993", "Date_Linker")
DOCUMENT: Row = {
    "docid": ITEM + "Q228",
    "uri": ITEM + "Q228",
    "title": "Andorra",
    "text": TEXT,
    "sentences_boundaries": [[0, 33], [34, 60]],
    "words_boundaries": [],
    "entities": [ANDORRA, SPAIN, FRANCE, IT, DAY],
    "triples": [
        triple(ANDORRA, "P47", SPAIN),
        triple(ANDORRA, "P47", SPAIN, aligner="SPOAligner"),
        triple(ANDORRA, "P47", FRANCE),
        triple(IT, "P571", DAY, 1),
    ],
}
KILT: Row = {
    "id": "k1",
    "input": "Cirith Ungol [SEP] genre",
    "output": [
        {"answer": "heavy metal", "provenance": [{"wikipedia_id": "7", "title": "Cirith Ungol (band)", "meta": {}}]},
        {"answer": "metal"},
        {"provenance": [{"title": "Frost and Fire"}]},
        {"answer": "heavy metal"},
    ],
    "meta": {"subj_aliases": [], "sub_surface": ["Cirith Ungol"], "obj_surface": ["metal"]},
}


def run(folder: Path, *rows: object, lines: bool = False, side: str | None = SIDE, **changes: Any) -> Converted:
    path = write(folder, "re-nlg_0-10000.json", rows, lines=lines)
    if side is not None:
        (path.parent / "wikidata-properties.csv").write_text(side, encoding="utf-8")
    return converted("trex", convert, folder, **changes)


def test_a_statement_is_one_fact_a_sentence_with_the_aligners_that_found_it(tmp_path: Path) -> None:
    result = run(tmp_path, DOCUMENT)
    assert result.facts["all"][0].to_row() == {
        "head": {"id": "Q228", "name": "Andorra", "type": None},
        "relation": {"id": "P47", "name": "shares border with"},
        "tail": {"id": "Q29", "name": "Spain", "type": None},
        "context": {
            "source": "trex",
            "page_title": "Andorra",
            "sent_span": "Andorra borders Spain and France.",
            "disamb": {},
            "ver": {"url": ITEM + "Q228", "aligners": ["SPOAligner", "Simple-Aligner"]},
        },
        "time_window": {"start": None, "end": None, "source": None},
    }
    assert len(result.facts["all"]) == 3
    assert result.report["counts"]["triples"] == 4
    assert result.report["counts"]["triples that repeat one of their sentence (other mention or aligner)"] == 1
    assert result.report["skipped"] == {}


def test_several_objects_are_one_question_with_aliases_and_alternative_facts(tmp_path: Path) -> None:
    result = run(tmp_path, DOCUMENT)
    question = next(question for question in result.asked if question.qid == "trex-Q228-P47")
    assert question.question == "What is the shares border with of Andorra?"
    assert (question.answer, question.aliases, question.type) == ("Spain", ("France",), "single-hop")
    assert [fact.tail.name for fact in result.support(question)] == ["Spain", "France"]
    assert question.question_time is None


@pytest.mark.parametrize("uri", [DATE, f'"1993-07-28T00:00:00Z"{DATE[20:31]}<{DATE[22:]}>'])
def test_a_date_is_a_tail_of_type_time_without_an_id_and_no_window_is_known(tmp_path: Path, uri: str) -> None:
    result = run(tmp_path, edited(DOCUMENT, "triples.3.object.uri", uri))
    fact = result.facts["all"][-1]
    assert (fact.tail.id, fact.tail.name, fact.tail.type) == (None, "28 July 1993", "TIME")
    assert fact.relation.name == "inception"
    assert not any(fact.window.known for fact in result.facts["all"])


def test_a_pronoun_takes_the_name_of_the_first_mention_that_is_none(tmp_path: Path) -> None:
    entities = [IT, ANDORRA, {**SPAIN, "uri": ITEM + "Q228"}]
    result = run(tmp_path, {**DOCUMENT, "title": "Title", "entities": entities})
    assert result.facts["all"][-1].head.name == "Andorra"


@pytest.mark.parametrize("annotator", ["Simple_Coreference", "Linker"])
def test_a_pronoun_for_the_page_takes_its_title_if_no_mention_names_it(tmp_path: Path, annotator: str) -> None:
    alone = {**DOCUMENT, "entities": [IT], "triples": [triple({**IT, "annotator": annotator}, "P571", DAY, 1)]}
    result = run(tmp_path, edited(alone, "title", "Principality"))
    assert [fact.head.name for fact in result.facts["all"]] == ["Principality"]


@pytest.mark.parametrize(("path", "value"), [("title", None), ("title", ...), ("triples.0.subject.uri", ITEM + "Q5")])
def test_a_pronoun_that_nothing_names_is_left_out_and_counted(tmp_path: Path, path: str, value: object) -> None:
    alone = {**DOCUMENT, "entities": [IT], "triples": [triple(IT, "P571", DAY, 1)]}
    result = run(tmp_path, edited(alone, path, value))
    assert not result.facts
    assert result.report["skipped"] == {UNNAMED: 1}


def test_a_subject_without_boundaries_keeps_its_surface_form(tmp_path: Path) -> None:
    absent = mention(ITEM + "Q228", "Andorra", "NoSubject-Triple-aligner", place=False)
    result = run(tmp_path, {**DOCUMENT, "triples": [triple(absent, "P571", DAY, 1)]})
    assert [fact.head.name for fact in result.facts["all"]] == ["Andorra"]


def test_a_page_without_title_is_called_by_its_docid(tmp_path: Path) -> None:
    result = run(tmp_path, edited(DOCUMENT, "title", ...))
    assert {fact.context.page_title for fact in result.facts["all"]} == {ITEM + "Q228"}


def test_a_predicate_without_a_label_is_left_out_and_counted(tmp_path: Path) -> None:
    result = run(tmp_path, edited(DOCUMENT, "triples.3.predicate.uri", PROPERTY + "P9999999"))
    assert {fact.relation.id for fact in result.facts["all"]} == {"P47"}
    assert result.report["skipped"] == {"predicate without a label": 1}


def test_an_empty_sentence_is_left_out_and_counted(tmp_path: Path) -> None:
    blank = {**DOCUMENT, "text": "  ", "sentences_boundaries": [[0, 2]], "entities": []}
    nowhere = [{**item, "boundaries": None} for item in (ANDORRA, SPAIN)]
    result = run(tmp_path, {**blank, "triples": [triple(nowhere[0], "P47", nowhere[1])]})
    assert result.report["skipped"] == {"empty sentence": 1}


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_subject_is_dealt_to_one_split_whatever_the_document(tmp_path: Path, split: str) -> None:
    subject = unit_of(split, "Q{}".format)
    rows = [edited(DOCUMENT, "docid", f"page{n}") for n in range(3)]
    for row in rows:
        row["triples"] = [triple({**ANDORRA, "uri": ITEM + subject}, "P47", SPAIN)]
    result = run(tmp_path, *rows)
    assert [question.qid for question in result.questions[split]] == [f"trex-{subject}-P47"]
    assert result.report["skipped"] == {"question id seen before": 2}
    assert len(result.facts["all"]) == 3


@pytest.mark.parametrize(
    ("side", "message"),
    [
        (None, r"wikidata-properties\.csv is missing.*README\.md"),
        (f'{PROPERTY}P47\t{LABEL}\t"ok"\nP47 label\n', r"wikidata-properties\.csv:2\b"),
        (f"{PROPERTY}P47\t{LABEL}\tunquoted\n", r"wikidata-properties\.csv:1: expected"),
        (f'{PROPERTY}P47\t{LABEL}\t"\\ud800"\n', r"wikidata-properties\.csv:1: expected"),
        (f"{PROPERTY}P47\t{LABEL}\t5\n", r"wikidata-properties\.csv:1: expected"),
    ],
)
@pytest.mark.parametrize("skip_bad", [False, True])
def test_labels_that_cannot_be_read_stop_the_stage(
    tmp_path: Path, side: str | None, message: str, skip_bad: bool
) -> None:
    with pytest.raises(DataError, match=message):
        run(tmp_path, DOCUMENT, side=side, skip_bad=skip_bad)


def test_labels_that_are_not_utf8_stop_the_stage(tmp_path: Path) -> None:
    path = write(tmp_path, "re-nlg_0-10000.json", [DOCUMENT])
    (path.parent / "wikidata-properties.csv").write_bytes(b'a/P1\tb\t"\xff"\n')
    with pytest.raises(DataError, match=r"wikidata-properties\.csv .*UTF-8"):
        converted("trex", convert, tmp_path)


MALFORMED = [
    ("docid", ..., "docid"),
    ("text", None, "text"),
    ("sentences_boundaries", ..., "sentences_boundaries"),
    ("sentences_boundaries.1", [34, 61], "sentences_boundaries"),
    ("sentences_boundaries.1", [34], "sentences_boundaries"),
    ("sentences_boundaries.1", [36, 34], "sentences_boundaries"),
    ("sentences_boundaries.1", [-1, 5], "sentences_boundaries"),
    ("sentences_boundaries.1", [True, 5], "sentences_boundaries"),
    ("entities", ..., "entities"),
    ("entities.0.surfaceform", "andorra", r"entities\[0\].surfaceform"),
    ("triples", {}, "triples"),
    ("triples.1", "a", "triples"),
    ("triples.3.sentence_id", 2, r"triples\[3\].sentence_id"),
    ("triples.3.sentence_id", True, r"triples\[3\].sentence_id"),
    ("triples.3.sentence_id", 0, r"triples\[3\].object.boundaries"),
    ("triples.0.subject", ..., r"triples\[0\].subject"),
    ("triples.0.subject.uri", "Andorra", r"triples\[0\].subject.uri"),
    ("triples.0.subject.boundaries", [1, 8], r"triples\[0\].subject.surfaceform"),
    ("triples.0.object.boundaries", [16, 22], r"triples\[0\].object.surfaceform"),
    ("triples.0.object.boundaries", "16-21", r"triples\[0\].object.boundaries"),
    ("triples.0.object.uri", None, r"triples\[0\].object.uri"),
    ("triples.0.predicate.uri", "borders", r"triples\[0\].predicate.uri"),
    ("title", 3, "title"),
]


@pytest.mark.parametrize(("path", "value", "field"), MALFORMED)
def test_a_malformed_document_stops_with_its_place_or_leaves_nothing_behind(
    tmp_path: Path, path: str, value: object, field: str
) -> None:
    bad = edited(edited(DOCUMENT, "docid", "bad"), path, value)
    with pytest.raises(DataError, match=rf"re-nlg_0-10000\.json, record 2: field '{field}'.*expected"):
        run(tmp_path / "a", DOCUMENT, bad)
    skipping, without = run(tmp_path / "b", DOCUMENT, bad, skip_bad=True), run(tmp_path / "c", DOCUMENT)
    assert skipping.report["skipped"] == {"malformed": 1}
    assert skipping.report["counts"] == without.report["counts"]
    assert (skipping.facts, skipping.questions) == (without.facts, without.questions)


@pytest.mark.parametrize("row", [{"name": "PDCI", "Q": "b", "A": "c"}, {"_id": "1", "question": "Who?", "context": []}])
def test_rows_of_another_dataset_are_refused(tmp_path: Path, row: Row) -> None:
    with pytest.raises(DataError, match=r"record 1 .*triples.*or input"):
        run(tmp_path, row, side=None)


def test_no_file_is_an_error_that_names_the_readme(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    with pytest.raises(DataError, match=r"holds no T-REx file.*README\.md"):
        converted("trex", convert, tmp_path)


def test_a_kilt_row_is_a_fact_without_ids_and_sentence_and_needs_no_labels(tmp_path: Path) -> None:
    result = run(tmp_path, KILT, lines=True, side=None)
    (fact,), (question,) = result.facts["all"], result.asked
    assert (fact.head.id, fact.head.name, fact.relation.id, fact.relation.name) == (None, "Cirith Ungol", None, "genre")
    assert (fact.tail.id, fact.tail.name, fact.context.sent_span) == (None, "heavy metal", "")
    assert (fact.context.page_title, fact.context.ver) == ("Cirith Ungol (band)", {"wikipedia_id": "7"})
    assert (question.qid, question.question) == ("k1", "What is the genre of Cirith Ungol?")
    assert (question.answer, question.aliases) == ("heavy metal", ("metal",))


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("output", ..., "no answer (test file)"),
        ("output", [], "output without an answer"),
        ("output", [{"provenance": [{"title": "A"}]}], "output without an answer"),
    ],
)
def test_a_kilt_row_without_answer_is_counted(tmp_path: Path, path: str, value: object, reason: str) -> None:
    result = run(tmp_path, edited(KILT, path, value), lines=True)
    assert not result.facts
    assert result.report["skipped"] == {reason: 1}


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("id", ..., "id"),
        ("input", "Cirith Ungol", "input"),
        ("input", " [SEP] genre", "input"),
        ("input", "a [SEP] b [SEP] c", "input"),
        ("output", {}, "output"),
        ("output.0.answer", 5, r"output\[0\].answer"),
        ("output.0.provenance.0.title", ..., r"output\[0\].provenance\[0\].title"),
    ],
)
def test_a_malformed_kilt_row_stops_with_its_place(tmp_path: Path, path: str, value: object, field: str) -> None:
    with pytest.raises(DataError, match=rf"line 1: field '{field}'.*expected"):
        run(tmp_path, edited(KILT, path, value), lines=True)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks = []
    for n in (150, 1500):
        path = write(tmp_path / str(n), "re-nlg.json", [DOCUMENT] * n)
        (path.parent / "wikidata-properties.csv").write_text(SIDE, encoding="utf-8")
        peaks.append(peak_bytes("trex", convert, tmp_path / str(n)))
    assert peaks[1] < peaks[0] + 100_000


def test_the_counts_on_real_rows_are_those_of_a_plain_loop(tmp_path: Path) -> None:
    (document,) = real_list(SAMPLES / "trex" / "re-nlg_sample.json.gz")
    distinct = {
        (t["subject"]["uri"], t["predicate"]["uri"], t["object"]["uri"], t["sentence_id"]) for t in document["triples"]
    }
    path = write(tmp_path, "re-nlg_sample.json", [document])
    shutil.copy(SAMPLES / "trex" / "wikidata-properties.csv", path.parent)
    result = converted("trex", convert, tmp_path)
    facts = result.facts["all"]
    assert (len(facts), result.report["counts"]["triples"]) == (len(distinct), len(document["triples"]))
    assert result.report["skipped"] == {}
    tails = {(key[0], key[1], key[2] if "dateTime" not in key[2] else None) for key in distinct}
    assert {
        (ITEM + str(f.head.id), PROPERTY + str(f.relation.id), f.tail.id and ITEM + f.tail.id) for f in facts
    } == tails
    assert len(result.asked) == len({key[:2] for key in distinct})
    assert not {name for fact in facts for name in (fact.head.name, fact.tail.name)} & {"It", "it"}
    assert all(fact.context.sent_span in document["text"] for fact in facts)


@st.composite
def documents(draw: st.DrawFn) -> Row:
    """Documents whose offsets are right, most of the time."""
    text = draw(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
    places = st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).map(sorted)

    def mentions(uris: list[str]) -> st.SearchStrategy[Row]:
        return st.builds(
            lambda place, uri, annotator, other: {
                "boundaries": place,
                "surfaceform": other if place is None else text[slice(*place)],
                "uri": uri,
                "annotator": annotator,
            },
            st.none() | places,
            st.sampled_from(uris),
            st.sampled_from(["Linker", "Simple_Coreference", None]),
            TEXTS | st.none(),
        )

    items = [ITEM + "Q1", ITEM + "Q2"]
    triples = st.builds(
        lambda s, o, p, n: {"subject": s, "object": o, "predicate": {"uri": PROPERTY + p}, "sentence_id": n},
        mentions(items),
        mentions([*items, DATE, "other"]),
        st.sampled_from(["P47", "P571", "P9"]),
        st.sampled_from([0, 0, 0, 1]),
    )
    return {
        "docid": draw(TEXTS.filter(str.strip)),
        "uri": ITEM + "Q1",
        "title": draw(TEXTS | st.none()),
        "text": text,
        "sentences_boundaries": [[0, len(text)], [0, draw(st.integers(0, len(text) + 1))]],
        "entities": draw(st.lists(mentions(items), max_size=3)),
        "triples": draw(st.lists(triples, max_size=4)),
    }


KILT_ROWS = st.fixed_dictionaries(
    {"id": TEXTS, "input": st.tuples(BROKEN_TEXTS, TEXTS).map(" [SEP] ".join)},
    optional={
        "output": st.lists(
            st.fixed_dictionaries(
                {}, optional={"answer": BROKEN_TEXTS, "provenance": st.lists(st.fixed_dictionaries({"title": TEXTS}))}
            ),
            max_size=3,
        )
    },
)


@given(documents())
@settings(max_examples=60, deadline=None)
def test_every_statement_of_a_document_is_a_fact_or_reported(document: Row) -> None:
    with tempfile.TemporaryDirectory() as folder:
        result = run(Path(folder), document, lines=True, skip_bad=True)
    counts, skipped = result.report["counts"], result.report["skipped"]
    statements = counts.get("triples", 0) - sum(n for name, n in counts.items() if name.startswith("triples that"))
    left_out = sum(skipped.get(reason, 0) for reason in SKIPPED_STATEMENTS)
    assert statements == len(result.facts.get("all", [])) + left_out
    assert "triples" in counts or skipped == {"malformed": 1}


@given(st.lists(KILT_ROWS | st.dictionaries(st.sampled_from(["triples", *DOCUMENT, *KILT]), VALUES), max_size=4))
@settings(max_examples=60, deadline=None)
def test_any_row_is_converted_or_reported(rows: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        result = run(Path(folder), KILT, *rows, lines=True, skip_bad=True)
    report = result.report
    documents_read = sum(1 for row in rows if "triples" in row)
    reasons = ("malformed", "no answer (test file)", "output without an answer", "question id seen before")
    accounted = len(result.asked) + sum(report["skipped"].get(reason, 0) for reason in reasons)
    assert len(rows) + 1 - documents_read <= accounted <= len(rows) + 1
