"""HotpotQA: sentences become facts, what is missing is counted and never guessed, the gold answer stays out."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kblampp.converters.hotpotqa import ORACLE_SOURCE, convert
from kblampp.core.errors import DataError
from kblampp.data.facts import MOST_HOPS
from tests.converting import (
    BROKEN_TEXTS,
    TEXTS,
    VALUES,
    Converted,
    Row,
    converted,
    edited,
    peak_bytes,
    real_list,
    real_rows,
    unit_of,
    write,
)

ROW: Row = {
    "_id": "q1",
    "question": "What post did the woman who played Corliss Archer in Kiss and Tell hold?",
    "answer": "Chief of Protocol",
    "type": "bridge",
    "level": "hard",
    "supporting_facts": [["Shirley Temple", 1], ["Kiss and Tell (1945 film)", 0]],
    "context": [
        ["Shirley Temple", ["She was an actress.", " She became Chief of Protocol.", ""]],
        ["Kiss and Tell (1945 film)", ["A film with Shirley Temple.", " It is a comedy."]],
    ],
}
SKIPPED_ROWS = (
    "malformed",
    "no answer (test file)",
    "question without any of its supporting sentences",
    "more than 3 supporting facts (training)",
    "question id seen before",
)


def nested(row: Row) -> Row:
    """The row in the layout of Hugging Face."""
    copy = {key: value for key, value in row.items() if key != "_id"}
    for name, second in (("supporting_facts", "sent_id"), ("context", "sentences")):
        copy[name] = {"title": [pair[0] for pair in row[name]], second: [pair[1] for pair in row[name]]}
    return {"id": row["_id"], **copy}


def run(folder: Path, *rows: object, lines: bool = False, **changes: Any) -> Converted:
    write(folder, "hotpot_dev.json", rows, lines=lines)
    return converted("hotpotqa", convert, folder, **changes)


def test_a_gold_sentence_is_a_fact_about_its_page(tmp_path: Path) -> None:
    result = run(tmp_path, ROW)
    assert [fact.to_row() for fact in result.facts["all"]] == [
        {
            "head": {"id": "Kiss_and_Tell_(1945_film)", "name": "Kiss and Tell (1945 film)", "type": None},
            "relation": {"id": "has_fact", "name": "has fact"},
            "tail": {"id": None, "name": "A film with Shirley Temple.", "type": "TEXT"},
            "context": {
                "source": "hotpotqa",
                "page_title": "Kiss and Tell (1945 film)",
                "sent_span": "A film with Shirley Temple.",
                "disamb": {"parentheses": "1945 film"},
                "ver": {},
            },
            "time_window": {"start": None, "end": None, "source": None},
        },
        {
            "head": {"id": "Shirley_Temple", "name": "Shirley Temple", "type": None},
            "relation": {"id": "has_fact", "name": "has fact"},
            "tail": {"id": None, "name": "She became Chief of Protocol.", "type": "TEXT"},
            "context": {
                "source": "hotpotqa",
                "page_title": "Shirley Temple",
                "sent_span": "She became Chief of Protocol.",
                "disamb": {},
                "ver": {},
            },
            "time_window": {"start": None, "end": None, "source": None},
        },
    ]


def test_a_question_keeps_its_text_and_answer_and_ends_with_the_sentence_that_holds_the_answer(tmp_path: Path) -> None:
    result = run(tmp_path, ROW)
    (question,) = result.asked
    assert (question.qid, question.question, question.answer) == ("q1", ROW["question"], "Chief of Protocol")
    assert (question.type, question.aliases, question.question_time) == ("multi-hop", (), None)
    assert [fact.head.name for fact in result.support(question)] == ["Kiss and Tell (1945 film)", "Shirley Temple"]


def test_the_question_time_is_what_the_question_says(tmp_path: Path) -> None:
    (question,) = run(tmp_path, edited(ROW, "question", "Who was Chief of Protocol in 1976?")).asked
    assert question.question_time is not None
    assert question.question_time.to_row() == {"start": "1976-01-01", "end": "1977-01-01", "source": "question_text"}


@pytest.mark.parametrize("lines", [False, True], ids=["list", "lines"])
def test_the_layout_of_hugging_face_gives_the_same(tmp_path: Path, lines: bool) -> None:
    official, other = run(tmp_path / "a", ROW), run(tmp_path / "b", nested(ROW), lines=lines)
    assert official.files == other.files


def test_a_row_without_an_id_gets_one_from_its_question_and_this_is_counted(tmp_path: Path) -> None:
    result = run(tmp_path, edited(ROW, "_id", ...), edited(edited(ROW, "_id", ...), "question", "Who?"))
    assert len({question.qid for question in result.asked}) == 2
    assert result.report["counts"]["question ids made from the question's text"] == 2


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        (["Nowhere", 0], "title not in the context"),
        (["Shirley Temple", 3], "sentence number past the end"),
        (["Shirley Temple", 2], "empty sentence"),
        (["Shirley Temple", 1], "named twice"),
    ],
)
def test_a_supporting_fact_that_is_not_there_is_counted_and_not_guessed(
    tmp_path: Path, named: list[object], reason: str
) -> None:
    result = run(tmp_path, edited(ROW, "supporting_facts", [["Shirley Temple", 1], named]))
    (question,) = result.asked
    assert [fact.tail.name for fact in result.support(question)] == ["She became Chief of Protocol."]
    assert question.type == "single-hop"
    assert result.report["skipped"] == {f"supporting fact: {reason}": 1}
    assert result.report["counts"]["questions with only a part of their supporting facts"] == 1


def test_a_title_over_two_paragraphs_points_at_neither(tmp_path: Path) -> None:
    row = edited(ROW, "context", [*ROW["context"], ["Shirley Temple", ["Another page.", "Of this name."]]])
    result = run(tmp_path, row)
    assert [fact.head.name for fact in result.facts["all"]] == ["Kiss and Tell (1945 film)"]
    assert result.report["skipped"] == {"supporting fact: title stands over two paragraphs": 1}


def test_a_question_without_any_supporting_sentence_is_left_out_and_counted(tmp_path: Path) -> None:
    result = run(tmp_path, edited(ROW, "context", []), distractor_facts=True)
    assert not result.facts
    assert not result.questions
    assert result.report["skipped"] == {
        "question without any of its supporting sentences": 1,
        "supporting fact: title not in the context": 2,
    }


@pytest.mark.parametrize("answer", [..., None, "", " "])
def test_rows_of_test_files_are_counted(tmp_path: Path, answer: object) -> None:
    row = edited(edited(ROW, "answer", answer), "supporting_facts", ...)
    result = run(tmp_path, row)
    assert not result.facts
    assert result.report["skipped"] == {"no answer (test file)": 1}


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_training_question_has_at_most_three_supporting_facts(tmp_path: Path, split: str) -> None:
    row = edited(ROW, "_id", unit_of(split, "q{}".format))
    row["supporting_facts"] = [*ROW["supporting_facts"], ["Shirley Temple", 0], ["Kiss and Tell (1945 film)", 1]]
    result = run(tmp_path, row)
    assert len(result.facts["all"]) == 4 == MOST_HOPS + 1
    if split == "train":
        assert not result.questions
        assert result.report["skipped"] == {"more than 3 supporting facts (training)": 1}
    else:
        assert [len(question.supporting_facts) for question in result.questions[split]] == [4]


def test_by_default_no_tail_is_the_gold_answer_unless_it_is_the_gold_sentence(tmp_path: Path) -> None:
    result = run(tmp_path, ROW, edited(edited(ROW, "_id", "q2"), "answer", "She was an actress."))
    gold = {sentence.strip() for _, sentences in ROW["context"] for sentence in sentences}
    answers = {question.answer for question in result.asked}
    assert not {fact.tail.name for fact in result.facts["all"]} & (answers - gold)
    assert all(fact.context.source == "hotpotqa" for fact in result.facts["all"])


def test_oracle_facts_are_labelled_and_stand_for_the_sentence_that_they_are_from(tmp_path: Path) -> None:
    result = run(tmp_path, ROW, oracle_facts=True)
    oracles = [fact for fact in result.facts["all"] if fact.tail.name == "Chief of Protocol"]
    assert [(fact.relation.name, fact.context.source) for fact in oracles] == [("oracle answer", ORACLE_SOURCE)]
    assert result.report["counts"]["oracle facts"] == 1
    (question,) = result.asked
    assert result.support(question)[-1] == oracles[0]
    assert len(question.supporting_facts) == 2
    assert result.facts["all"][1].tail.name == "She became Chief of Protocol."


@pytest.mark.parametrize("answer", ["yes", "no", "Chief of", "hief of Protocol"])
def test_oracle_facts_hold_whole_words_and_never_yes_or_no(tmp_path: Path, answer: str) -> None:
    row = edited(edited(ROW, "answer", answer), "context.0.1.1", " The Chief of-no, yes- Protocol.")
    found = run(tmp_path, row, oracle_facts=True).report["counts"].get("oracle facts", 0)
    assert found == (answer == "Chief of")


def test_distractor_facts_are_the_other_sentences(tmp_path: Path) -> None:
    gold, every = run(tmp_path / "a", ROW), run(tmp_path / "b", ROW, distractor_facts=True)
    assert [fact.tail.name for fact in every.facts["all"][2:]] == ["She was an actress.", "It is a comedy."]
    assert every.facts["all"][:2] == gold.facts["all"]
    assert every.asked == gold.asked
    assert every.report["counts"]["distractor sentences"] == 2
    assert every.report["skipped"] == {"distractor fact: empty sentence": 1}


MALFORMED = [
    ("question", ..., "question"),
    ("question", " ", "question"),
    ("_id", 5, "_id"),
    ("answer", 5, "answer"),
    ("context", ..., "context"),
    ("context", "text", "context"),
    ("context.0", ["Shirley Temple"], "context"),
    ("context.0.1", "She was", "context"),
    ("context.0.1.0", None, "context"),
    ("context.0.0", "", "context"),
    ("supporting_facts", ..., "supporting_facts"),
    ("supporting_facts.1.1", -1, "supporting_facts"),
    ("supporting_facts.1.1", True, "supporting_facts"),
    ("supporting_facts.1.1", "0", "supporting_facts"),
    ("supporting_facts.1.0", 7, "supporting_facts"),
    ("context", {"title": ["a", "b"], "sentences": [["c"]]}, "context.sentences"),
    ("supporting_facts", {"title": ["a"]}, "supporting_facts.sent_id"),
]


@pytest.mark.parametrize(("path", "value", "field"), MALFORMED)
def test_a_malformed_row_stops_with_its_place_or_leaves_nothing_behind(
    tmp_path: Path, path: str, value: object, field: str
) -> None:
    bad = edited(ROW, path, value)
    with pytest.raises(DataError, match=rf"hotpot_dev\.json, record 2: field '{field}'.*expected"):
        run(tmp_path / "a", edited(ROW, "_id", "q2"), bad)
    skipping = run(tmp_path / "b", edited(ROW, "_id", "q2"), bad, skip_bad=True)
    without = run(tmp_path / "c", edited(ROW, "_id", "q2"))
    assert skipping.report["skipped"] == {"malformed": 1}
    assert (skipping.facts, skipping.questions) == (without.facts, without.questions)


@pytest.mark.parametrize(
    "row",
    [
        {"name": "PDCI", "description_type": "purpose", "description": "a", "Q": "b", "A": "c"},
        {"idx": "/wiki/A#P1#0", "question": "Who?", "context": "text", "targets": ["a"], "paragraphs": []},
        {"docid": "Q1", "text": "a", "triples": []},
        {"id": "1", "input": "a [SEP] b", "output": []},
        "a text",
        7,
    ],
)
def test_rows_of_another_dataset_are_refused(tmp_path: Path, row: object) -> None:
    with pytest.raises(DataError, match=r"hotpot_dev\.json, line 1\b.*expected"):
        run(tmp_path, row, lines=True)


def test_no_file_is_an_error_that_names_the_readme(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    with pytest.raises(DataError, match=r"holds no HotpotQA file.*README\.md"):
        converted("hotpotqa", convert, tmp_path)


def test_the_same_question_in_two_files_is_asked_once(tmp_path: Path) -> None:
    write(tmp_path, "a.json", [ROW])
    result = run(tmp_path, ROW)
    assert len(result.asked) == 1
    assert result.report["skipped"] == {"question id seen before": 1}


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks = []
    for n in (300, 3000):
        write(tmp_path / str(n), "hotpot.json", [ROW] * n)
        peaks.append(peak_bytes("hotpotqa", convert, tmp_path / str(n)))
    assert peaks[1] < peaks[0] + 100_000


@real_rows
@pytest.mark.parametrize("name", ["distractor", "fullwiki", "hf_hotpot_qa"])
def test_the_counts_on_real_rows_are_those_of_a_plain_loop(tmp_path: Path, real: Path, name: str) -> None:
    rows = real_list(real / "hotpotqa" / f"{name}.json")
    tally: Counter[str] = Counter()
    sentences, kept = set(), 0
    for row in rows:
        support, context = row["supporting_facts"], row["context"]
        if isinstance(context, dict):
            support = list(zip(support["title"], support["sent_id"], strict=True))
            context = list(zip(context["title"], context["sentences"], strict=True))
        pages = dict(context)
        there = {(title, pages[title][n].strip()) for title, n in support if n < len(pages.get(title, []))}
        tally["found"] += len(there)
        tally["missing"] += len(support) - len(there)
        sentences |= there
        kept += bool(there)
    assert tally["found"]
    assert bool(tally["missing"]) == (name == "fullwiki")
    result = run(tmp_path, *rows)
    report = result.report
    assert report["counts"]["supporting facts found"] == tally["found"]
    assert report["skipped"].get("supporting fact: title not in the context", 0) == tally["missing"]
    assert {(fact.head.name, fact.tail.name) for fact in result.facts["all"]} == sentences
    assert report["facts"]["all"] == len(sentences)
    assert len(result.asked) == kept - report["skipped"].get("more than 3 supporting facts (training)", 0)
    answers = {fact.tail.name for fact in result.facts["all"]} & {question.answer for question in result.asked}
    assert answers == ({"Teen Titans Go!"} if name == "distractor" else set())  # a sentence that was cut at the "!"


TITLES = st.sampled_from(["A", "B (c)", "B", "\U0001f600"])
PARAGRAPHS = st.lists(st.tuples(TITLES | TEXTS, st.lists(TEXTS, max_size=3)), max_size=4)
SUPPORT = st.lists(st.tuples(TITLES | TEXTS, st.integers(-1, 4)), max_size=5)
ROWS = st.fixed_dictionaries(
    {"_id": st.sampled_from([f"q{n}" for n in range(9)]), "question": BROKEN_TEXTS, "context": PARAGRAPHS},
    optional={"answer": TEXTS | st.none(), "supporting_facts": SUPPORT, "level": VALUES},
)
LAYOUTS = ROWS | ROWS.filter(lambda row: "supporting_facts" in row).map(nested)


@given(st.lists(LAYOUTS | st.dictionaries(st.sampled_from(list(ROW)), VALUES), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_any_row_is_converted_or_reported(rows: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        result = run(Path(folder), *rows, lines=True, skip_bad=True, distractor_facts=True, oracle_facts=True)
    skipped = result.report["skipped"]
    assert len(result.asked) + sum(skipped.get(reason, 0) for reason in SKIPPED_ROWS) == len(rows)
