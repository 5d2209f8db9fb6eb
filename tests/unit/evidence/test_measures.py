"""Evidence is scored by hand-checked rules, and a line of the evidence file says all that the trace holds."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kblampp.core.errors import DataError
from kblampp.core.files import write_jsonl
from kblampp.data.facts import Question
from kblampp.data.jsonl import read_rows
from kblampp.data.windows import UNKNOWN, Window, day
from kblampp.evaluation.metrics import is_correct
from kblampp.evaluation.questions import with_times
from kblampp.evidence.illustrations import illustrations
from kblampp.evidence.measures import (
    Explained,
    evidence_line,
    evidence_rows,
    gold_path,
    headline,
    kilt_em,
    mean_rows,
    merge,
    path_f1,
    top_agreement,
    window_row,
)
from kblampp.evidence.trace import Trace
from kblampp.model.answers import Source
from kblampp.model.inputs import EncodedQuestions
from kblampp.model.predictor import Prediction
from tests.kb import ALWAYS, make_facts, make_questions

FACTS = make_facts()
QUESTIONS = make_questions(FACTS)
LAYERS = (1, 3)


def make_trace(ids: list[list[int]], *, tokens: int = 4, seed: int = 0) -> Trace:
    """Two layers over a prompt of two tokens and an answer; numbers that differ everywhere."""
    rng = np.random.default_rng(seed)
    shape = np.array(ids).shape
    alpha = -np.sort(-rng.dirichlet(np.ones(shape[1] + 1), shape[0])[:, :-1])
    return Trace(
        ids=np.array(ids),
        alpha=alpha.astype(np.float32),
        parts=rng.normal(size=(4, *shape)).astype(np.float32),
        null=(1 - alpha.sum(1)).astype(np.float32),
        hop=rng.random(shape[0]).astype(np.float32),
        beta=rng.random((shape[0], tokens)).astype(np.float32),
        copy_gate=float(rng.random()),
        tokens=tuple("abcdefgh"[:tokens]),
        start=2,
        copied=np.linspace(0.2, 0.9, tokens - 2).astype(np.float32),
        log_prob=-1.0,
    )


@pytest.mark.parametrize(
    ("predicted", "gold", "expected"),
    [((1,), (1,), 1.0), ((1, 2), (1,), 2 / 3), ((1, 2), (2, 1), 1.0), ((3,), (1, 2), 0.0), ((1, 3), (1, 2), 0.5)],
)
def test_path_f1_compares_sets(predicted: tuple[int, ...], gold: tuple[int, ...], expected: float) -> None:
    assert path_f1(predicted, gold) == pytest.approx(expected)


def test_path_f1_needs_gold_facts() -> None:
    with pytest.raises(DataError, match="leave out questions without supporting facts"):
        path_f1((1,), ())


def encoded(*questions: Question) -> EncodedQuestions:
    return with_times(questions, np.zeros((len(questions), 4), dtype=np.float32))


def question_of(kind: str, *facts: int) -> Question:
    return Question("q0", "tiny", "Who?", "Ada", (), kind, facts, None)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([9, 4, 7, 5], (4,)),  # of the alternatives 5, 4, 6 number 4 comes first
        ([6, 5, 4], (6,)),
        ([4, 6, 4, 5], (4,)),
        ([5], (5,)),
        ([9, 8], (5,)),  # none was found: the first one
        ([], (5,)),
        ([9, 9, 6, 9, 6], (6,)),
    ],
)
def test_the_gold_path_has_of_several_alternatives_the_one_found_first(
    found: list[int], expected: tuple[int, ...]
) -> None:
    assert gold_path(question_of("single-hop", 5, 4, 6), found) == expected


@given(st.lists(st.integers(0, 4)), st.permutations(range(5)), st.integers(0, 5))
def test_the_gold_path_of_a_path_is_all_its_facts_in_their_order(
    found: list[int], facts: list[int], length: int
) -> None:
    assert gold_path(question_of("multi-hop", *facts[:length]), found) == tuple(facts[:length])


def test_an_answer_counts_only_with_all_its_evidence() -> None:
    assert kilt_em(1.0, (1, 2, 3), (2, 1)) == 1.0
    assert kilt_em(1.0, (1, 3), (2, 1)) == 0.0
    assert kilt_em(0.0, (1, 2), (2, 1)) == 0.0


@pytest.mark.parametrize(
    ("effects", "share"),
    [
        ([17.0, -0.003, 0.0], 1.0),
        ([0.1, 0.2, 0.0], 0.0),
        ([0.2, 0.1, 0.2], 0.5),
        ([0.1, 0.2, 0.2], 0.0),
        ([0.0, 0.0], 0.0),  # no fact is the cause
        ([-0.1, -0.2], 0.0),
        ([3.0], None),
        ([], None),
    ],
)
def test_agreement_by_hand(effects: list[float], share: float | None) -> None:
    assert top_agreement(effects) == share


@given(st.lists(st.integers(-2, 3), min_size=2, max_size=7))
def test_agreement_of_a_fact_drawn_by_lot_is_the_chance_level(effects: list[int]) -> None:
    """Over all facts in the place of the heaviest one, if any fact is a cause."""
    drawn = [top_agreement([effects[place], *effects[:place], *effects[place + 1 :]]) for place in range(len(effects))]
    assert sum(share for share in drawn if share is not None) == pytest.approx(1.0 if max(effects) > 0 else 0.0)


@given(st.lists(st.floats(-5, 30), min_size=2, max_size=7), st.randoms())
def test_agreement_looks_at_first_places_alone(effects: list[float], rng: random.Random) -> None:
    """How the facts behind the first are ranked says nothing: their weights are next to zero."""
    others = rng.sample(effects[1:], len(effects) - 1)
    assert top_agreement([effects[0], *others]) == top_agreement(effects)
    assert top_agreement([effects[0], *(min(0.0, effect) for effect in others)]) == float(effects[0] > 0)


def test_the_chain_is_the_top_facts_in_order_without_repetition() -> None:
    assert make_trace([[5, 1], [5, 2]]).chain == (5,)
    assert make_trace([[5, 1], [2, 5]]).chain == (5, 2)


def test_an_unanswerable_question_wants_an_abstention() -> None:
    unanswerable = next(question for question in QUESTIONS if question.type == "unanswerable")
    assert is_correct(unanswerable, "Unknown") == is_correct(unanswerable, "") == 1.0
    assert is_correct(unanswerable, "Port") == 0.0


def test_a_window_is_written_open_or_unknown() -> None:
    assert window_row(UNKNOWN) is None
    assert window_row(None) is None
    assert window_row(ALWAYS) == [None, None]
    assert window_row(Window(day("2001-02-03"), None)) == ["2001-02-03", None]


def said(*texts: str) -> list[Prediction]:
    return [Prediction(text) for text in texts]


def explained() -> Explained:
    """A single-hop question with the right path, a multi-hop one with half of it, an unanswerable one."""
    single, multi, none = (
        next(q for q in QUESTIONS if q.type == kind) for kind in ("single-hop", "multi-hop", "unanswerable")
    )
    first, last = multi.supporting_facts
    (gold,) = single.supporting_facts
    traces = [
        make_trace([[gold, 60], [gold, 61]]),
        make_trace([[first, 60], [61, last]]),
        make_trace([[60, 61], [61, 60]]),
    ]
    return Explained(encoded(single, multi, none), said(single.answer, multi.answer, ""), traces)


def test_rows_count_paths_and_answers_by_type() -> None:
    rows = evidence_rows(explained(), top_k=2, samples=20, seed=0)
    assert rows["single_hop"]["path_f1"] == rows["single_hop"]["kilt_em"] == rows["single_hop"]["recall_at_1"] == 1.0
    assert rows["two_hop"]["em"] == 1.0
    assert (rows["two_hop"]["path_f1"], rows["two_hop"]["kilt_em"]) == (0.5, 0.0)
    assert (rows["two_hop"]["recall_at_1"], rows["two_hop"]["recall_at_k"]) == (0.5, 1.0)
    assert rows["answerable"]["n"] == 2
    assert set(rows["unanswerable"]) == {"n", "em", "em_stderr"}


def test_a_path_over_any_alternative_is_whole_evidence() -> None:
    """Facts 5, 4 and 6 do each; the layers' top facts are 4 and 60, and fact 6 comes second in the first layer."""
    one = Explained(encoded(question_of("single-hop", 5, 4, 6)), said("Ada"), [make_trace([[4, 6], [60, 5]])])
    row = evidence_rows(one, top_k=2, samples=20, seed=0)["single_hop"]
    assert row["path_f1"] == pytest.approx(2 / 3, abs=1e-4)  # chain 4, 60 against 4
    assert row["kilt_em"] == 1.0
    assert (row["recall_at_1"], row["recall_at_k"]) == (1.0, 1.0)
    other = Explained(encoded(question_of("multi-hop", 5, 4)), said("Ada"), [make_trace([[4, 6], [60, 5]])])
    row = evidence_rows(other, top_k=2, samples=20, seed=0)["two_hop"]
    assert (row["kilt_em"], row["path_f1"]) == (0.0, 0.5), "a path needs all its facts"


def test_means_are_by_type_with_n_and_error() -> None:
    rows = mean_rows(explained().questions, {"x": [1.0, 0.0, 0.5]}, n="x_n", samples=20, seed=0)
    assert rows["answerable"]["x"] == 0.5
    assert rows["answerable"]["x_n"] == 2
    assert rows["single_hop"]["x_stderr"] == 0
    merge(rows, {"single_hop": {"y": 2}, "temporal": {"y": 3}})
    assert rows["single_hop"]["y"] == 2
    assert rows["single_hop"]["x"] == 1.0
    assert rows["temporal"] == {"y": 3}


def test_the_headline_weighs_types_by_their_questions() -> None:
    rows = {
        "single_hop": {"path_f1": 1.0, "n": 3},
        "temporal": {"path_f1": 0.0, "n": 1, "stale_rate": 0.1, "stale_n": 7},
    }
    assert headline(rows) == {"path_f1": 0.75, "stale_rate": 0.1}
    loo = {"leave_one_out_agreement": 0.9, "leave_one_out_chance": 0.125, "leave_one_out_n": 60}
    assert headline({"answerable": loo}) == {"leave_one_out_agreement": 0.9, "leave_one_out_chance": 0.125}
    assert headline({}) == {}


def lines(facts_per_hop: int = 1) -> list[dict[str, Any]]:
    all_of = explained()
    rows = zip(all_of.questions, all_of.encoded.windows, all_of.predictions, all_of.traces, strict=True)
    return [evidence_line(*row, FACTS, LAYERS, facts_per_hop) for row in rows]


def test_a_line_names_facts_weights_and_gates() -> None:
    data = explained()
    for line, question, trace in zip(lines(2), data.questions, data.traces, strict=True):
        assert line["qid"] == question.qid
        assert [hop["layer"] for hop in line["hops"]] == list(LAYERS)
        for hop, row in enumerate(line["hops"]):
            assert [fact["index"] for fact in row["facts"]] == trace.ids[hop].tolist()
            assert sum(fact["alpha"] for fact in row["facts"]) + row["null"] == pytest.approx(1, abs=1e-5)
            assert row["fusion_gate"] == pytest.approx(trace.beta[hop, 1], abs=1e-6)
            for rank, fact in enumerate(row["facts"]):
                known = FACTS[fact["index"]]
                assert (fact["head"], fact["tail"]) == (known.head.name, known.tail.name)
                assert fact["context"] == known.context.sent_span
                assert list(fact["scores"]) == ["meaning", "context", "time", "name"]
                assert list(fact["scores"].values()) == pytest.approx(trace.parts[:, hop, rank].tolist(), abs=1e-6)
        assert line["copy_gate"] == pytest.approx(trace.copy_gate, abs=1e-6)
        assert [word["copied"] for word in line["copied"]] == [False, True]
        assert line["chain"]["facts"] == list(trace.chain)
        assert line["chain"]["triples"][0].startswith(FACTS[trace.chain[0]].head.name)
        assert [fact["index"] for fact in line["top_k_facts"]] == trace.ids[-1].tolist()


@pytest.mark.parametrize(
    ("sources", "row"),
    [
        (None, None),  # own words
        ((), []),  # a refusal
        ((Source(4, "end"),), [{"index": 4, "field": "end"}]),
        ((Source(3, "fact"), Source(7, "fact")), [{"index": 3, "field": "fact"}, {"index": 7, "field": "fact"}]),
    ],
)
def test_a_line_says_what_the_answer_rests_on(sources: tuple[Source, ...] | None, row: Any) -> None:
    one = explained().part([0])
    prediction = Prediction("2", sources=sources)
    line = evidence_line(one.questions[0], None, prediction, one.traces[0], FACTS, LAYERS, 1)
    assert (line["pred_answer"], line["sources"]) == ("2", row)


def test_a_line_lists_as_many_facts_as_asked() -> None:
    assert all(len(hop["facts"]) == 1 for line in lines(1) for hop in line["hops"])
    assert all(len(line["top_k_facts"]) == 1 for line in lines(1))


def test_lines_round_trip_through_their_file(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "swap.jsonl", lines())
    assert [row for _, row in read_rows(tmp_path / "swap.jsonl")] == lines()


def test_an_illustration_has_a_number_for_every_cell() -> None:
    data = explained()
    shown = illustrations(data, FACTS, LAYERS, 2)
    assert [row["type"] for row in shown] == ["single_hop", "two_hop", "unanswerable"]
    json.dumps(shown, allow_nan=False)
    for row, question in zip(shown, data.questions, strict=True):
        heat, tokens = row["heat_map"], row["tokens"]
        assert len(heat["alpha"]) == len(tokens["beta"]) == len(row["layers"]) == 2
        assert all(len(cells) == len(heat["facts"]) for cells in heat["alpha"])
        assert all(sum(cells) == pytest.approx(1, abs=1e-4) for cells in heat["alpha"])
        assert all(len(gates) == len(tokens["text"]) for gates in tokens["beta"])
        assert isinstance(tokens["copy_gate"], float)
        assert len(tokens["copied"]) == len(tokens["text"]) - tokens["answer_start"]
        assert [bar["alpha"] for bar in row["bars"]] == sorted((bar["alpha"] for bar in row["bars"]), reverse=True)
        supporting = {fact["index"] for fact in row["timeline"]["facts"] if fact["supporting"]}
        assert supporting == set(question.supporting_facts[-1:])


def test_a_fact_that_is_read_from_both_ends_has_one_cell_with_the_weights_of_both() -> None:
    single = next(question for question in QUESTIONS if question.type == "single-hop")
    trace = make_trace([[5, 9, 5], [9, 5, 5]])
    (row,) = illustrations(Explained(encoded(single), said("x"), [trace]), FACTS, LAYERS, 3)
    heat = row["heat_map"]
    assert [fact["index"] for fact in heat["facts"]] == [5, 9, None]
    assert all(sum(cells) == pytest.approx(1, abs=1e-4) for cells in heat["alpha"])
    assert heat["alpha"][0][0] == pytest.approx(trace.alpha[0, 0] + trace.alpha[0, 2], abs=1e-4)
    assert sum(bar["alpha"] for bar in row["bars"]) == pytest.approx(1, abs=1e-4)
    assert [bar["alpha"] for bar in row["bars"]] == sorted((bar["alpha"] for bar in row["bars"]), reverse=True)


def test_a_timeline_shows_every_competing_window() -> None:
    temporal = next(question for question in QUESTIONS if question.type == "temporal")
    (gold,) = temporal.supporting_facts
    one = Explained(encoded(temporal), said("x"), [make_trace([[gold, 60], [gold, 61]])])
    (row,) = illustrations(one, FACTS, LAYERS, 2)
    assert row["timeline"]["relation"] == "mayor"
    starts = [fact["window"][0] for fact in row["timeline"]["facts"]]
    assert len(starts) == 3
    assert starts == sorted(starts)
    assert row["question_time"] == ["2001-01-01", "2002-01-01"]
