"""An independent solver finds just the stated answer of every question, or none, and for the stated reason."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from kblampp.data.facts import QUESTION_TYPES, REASONS, Question
from kblampp.data.windows import Window, day, iso
from kblampp.synthetic.questions import TIME_FORMS
from kblampp.synthetic.schema import BY_ID, HORIZON, RELATIONS
from kblampp.time_expressions.parse import parse_question_time
from tests.small_world import MONTH, default_section, default_worlds, small_section, small_worlds, wordings_of
from tests.solver import Found, Solver, overlap

SPLITS = ("train", "dev", "swap", "novel")
FORMS = {
    "year": "in YEAR",
    "month": f"in {MONTH} YEAR",
    "as_of": f"as of {MONTH} YEAR",
    "between": "between YEAR and YEAR",
    "from": "from YEAR to YEAR",
    "before": "before YEAR",
    "after": "after YEAR",
}


@pytest.fixture(scope="module")
def solvers() -> dict[str, Solver]:
    return {kb: Solver([fact.to_row() for fact in facts]) for kb, facts in small_worlds().kbs.items()}


def questions_of(*types: str, splits: tuple[str, ...] = SPLITS) -> Iterator[tuple[str, Question]]:
    """Split and question, for all questions of these types (all types without any)."""
    for split in splits:
        for question in small_worlds().questions[split]:
            if not types or question.type in types:
                yield split, question


def says_time(question: Question, words: str) -> bool:
    pattern = rf"\b{words}\b".replace("YEAR", "[12][0-9]{3}")
    return re.search(pattern, question.question, re.IGNORECASE) is not None


def row(head: str, relation: str, tail: str, start: str | None, end: str | None, source: str | None) -> dict[str, Any]:
    window = {"start": start, "end": end, "source": source}
    return {"head": {"name": head}, "relation": {"id": relation}, "tail": {"name": tail}, "time_window": window}


def test_solver_finds_all_answers_of_hand_made_questions() -> None:
    solver = Solver(
        [
            row("Acme", "led", "Ada", None, "2001-01-01", "x"),
            row("Acme", "led", "Bo", "2001-01-01", "2005-01-01", "x"),
            row("Ada", "born", "Rome", None, None, "x"),
            row("Bo", "born", "Oslo", None, None, None),
            row("Book", "by", "Acme", None, None, "x"),
        ]
    )

    def answers(head: str, *relations: str, time: tuple[str | None, str | None] | None = None) -> list[str]:
        window = None if time is None else {"start": time[0], "end": time[1]}
        return [f.answer for f in solver.solve({"head": head, "relations": relations, "time": window})]

    assert answers("Acme", "led") == ["Ada", "Bo"]
    assert answers("Acme", "led", time=("2000-12-31", "2001-01-01")) == ["Ada"]
    assert answers("Acme", "led", time=("2001-01-01", "2001-01-02")) == ["Bo"]
    assert answers("Acme", "led", time=("2005-01-01", None)) == []
    assert answers("Acme", "led", time=(None, "1900-01-01")) == ["Ada"]
    assert answers("Acme", "led", time=("2000-12-31", "2001-01-02")) == ["Ada", "Bo"]
    assert answers("Acme", "led", "born") == ["Rome", "Oslo"]
    assert answers("Acme", "led", "born", time=("2003-01-01", "2004-01-01")) == ["Rome"]  # Oslo: nobody knows when
    assert solver.solve({"head": "Book", "relations": ["by", "led"], "time": None})[1] == Found("Bo", (4, 1))
    assert answers("Rome", "led") == answers("Acme", "by") == []


def test_every_answerable_question_has_exactly_the_stated_answer_and_path(solvers: dict[str, Solver]) -> None:
    kb_of_split = small_worlds().kb_of_split
    for split, question in questions_of("single-hop", "multi-hop", "temporal"):
        found = solvers[kb_of_split[split]].solve(question.program)
        assert found == [Found(question.answer, question.supporting_facts)], question


def test_no_unanswerable_question_has_an_answer(solvers: dict[str, Solver]) -> None:
    kb_of_split = small_worlds().kb_of_split
    for split, question in questions_of("unanswerable"):
        assert solvers[kb_of_split[split]].solve(question.program) == [], question
        assert (question.answer, question.supporting_facts, question.aliases) == ("", (), ())


def test_unknown_heads_occur_nowhere_in_the_knowledge_base(solvers: dict[str, Solver]) -> None:
    kb_of_split = small_worlds().kb_of_split
    for split, question in questions_of("unanswerable"):
        if question.reason == "unknown_head":
            solver, head = solvers[kb_of_split[split]], question.program["head"]
            assert head not in solver.names, question
    for kb, solver in solvers.items():
        text = "\n".join(fact["context"]["sent_span"] for fact in solver.rows)
        heads = [
            q.program["head"]
            for s, q in questions_of("unanswerable")
            if q.reason == "unknown_head" and kb_of_split[s] == kb
        ]
        assert heads
        assert not [head for head in heads if head in text]


def test_missing_relations_are_asked_of_heads_that_the_knowledge_base_holds(solvers: dict[str, Solver]) -> None:
    kb_of_split = small_worlds().kb_of_split
    unmentioned = [
        (split, question.question)
        for split, question in questions_of("unanswerable")
        if question.reason == "missing_relation" and question.program["head"] not in solvers[kb_of_split[split]].names
    ]
    assert not unmentioned


def test_missing_relations_are_missing_at_any_time(solvers: dict[str, Solver]) -> None:
    kb_of_split = small_worlds().kb_of_split
    for split, question in questions_of("unanswerable"):
        if question.reason == "missing_relation":
            (relation,) = question.program["relations"]
            assert solvers[kb_of_split[split]].facts_of(question.program["head"], relation) == [], question


def test_some_missing_relations_are_asked_of_a_tail_of_the_relation(solvers: dict[str, Solver]) -> None:
    """The nearest miss: "A came from B" is read by a model that is asked what B came from."""
    kb_of_split = small_worlds().kb_of_split
    found = set()
    for split, question in questions_of("unanswerable"):
        if question.reason == "missing_relation":
            (relation,), head = question.program["relations"], question.program["head"]
            rows = solvers[kb_of_split[split]].rows
            if any((r["relation"]["id"], r["tail"]["name"]) == (relation, head) for r in rows):
                found.add(relation)
    assert found == {relation.id for relation in RELATIONS if relation.head == relation.tail}


def test_wrong_times_are_asked_of_heads_that_have_the_relation_at_another_time(solvers: dict[str, Solver]) -> None:
    kb_of_split = small_worlds().kb_of_split
    for split, question in questions_of("unanswerable"):
        if question.reason == "wrong_time":
            (relation,) = question.program["relations"]
            solver = solvers[kb_of_split[split]]
            held = solver.facts_of(question.program["head"], relation)
            assert held, question
            assert not any(overlap(solver.rows[n]["time_window"], question.program["time"]) for n in held)


def test_time_in_the_words_is_the_questions_time_and_the_programs() -> None:
    for _, question in questions_of():
        asked, parsed = question.question_time, parse_question_time(question.question)
        program = question.program["time"]
        if asked is None:
            assert (parsed, program) == (None, None), question
        else:
            assert parsed is not None, question
            assert (parsed.start, parsed.end) == (asked.start, asked.end), question
            assert program == {
                "start": None if asked.start is None else iso(asked.start),
                "end": None if asked.end is None else iso(asked.end),
            }


def test_a_time_is_asked_of_successive_relations_and_of_no_others() -> None:
    for _, question in questions_of():
        *earlier, last = (BY_ID[relation] for relation in question.program["relations"])
        assert last.successive == (question.question_time is not None), question
        assert not any(relation.successive for relation in earlier)
        if question.type in ("single-hop", "temporal"):
            assert last.successive == (question.type == "temporal")


def test_every_question_is_about_a_time_within_the_horizon() -> None:
    horizon = Window(day(f"{HORIZON[0]}-01-01"), day(f"{HORIZON[1]}-01-01"), "test")
    outside = [
        question.question
        for seed in range(2)
        for questions in small_worlds(seed).questions.values()
        for question in questions
        if question.question_time is not None and not question.question_time.overlaps(horizon)
    ]
    assert not outside


def test_the_words_say_what_the_program_says() -> None:
    for _, question in questions_of():
        assert len(wordings_of(question)) == 1, question
        assert question.question[0].isupper()
        assert question.question.endswith("?")
        assert question.question.count(question.program["head"]) == 1


def test_each_type_has_the_asked_number_of_questions() -> None:
    section = small_section()
    for split in SPLITS:
        counts = Counter(question.type for _, question in questions_of(splits=(split,)))
        assert counts == dict.fromkeys(QUESTION_TYPES, getattr(section, split).questions_per_type)


def test_question_ids_name_dataset_and_split_and_are_unique() -> None:
    ids = [question.qid for _, question in questions_of()]
    assert len(set(ids)) == len(ids)
    for split, question in questions_of():
        assert re.fullmatch(rf"synth_world_{split}_[0-9]{{5}}", question.qid)
        assert question.dataset == "synth_world"


def test_reasons_occur_equally_often() -> None:
    for split in SPLITS:
        counts = Counter(question.reason for _, question in questions_of("unanswerable", splits=(split,)))
        assert counts.keys() == set(REASONS)
        assert max(counts.values()) - min(counts.values()) <= 1
    assert {question.reason for _, question in questions_of("single-hop", "multi-hop", "temporal")} == {None}


def test_two_and_three_hops_occur_with_and_without_a_time() -> None:
    for split in SPLITS:
        questions = [question for _, question in questions_of("multi-hop", splits=(split,))]
        kinds = {(len(question.supporting_facts), question.question_time is not None) for question in questions}
        assert kinds == {(2, False), (2, True), (3, False), (3, True)}
    for _, question in questions_of("single-hop", "temporal"):
        assert len(question.supporting_facts) == 1


@pytest.mark.parametrize(
    "share",
    [
        "three_hop_share",
        "timed_hop_share",
    ],
)
def test_shares_of_the_multi_hop_questions_are_those_asked_for(share: str) -> None:
    for split, questions in default_worlds().questions.items():
        chains = [question for question in questions if question.type == "multi-hop"]
        counted = [
            len(question.supporting_facts) == 3 if share == "three_hop_share" else question.question_time is not None
            for question in chains
        ]
        assert sum(counted) / len(chains) == pytest.approx(getattr(default_section(), share), abs=0.05), split


def test_chains_lead_from_fact_to_fact_and_name_no_entity_twice() -> None:
    for split, question in questions_of("multi-hop"):
        facts = [small_worlds().kbs[small_worlds().kb_of_split[split]][n] for n in question.supporting_facts]
        entities = [facts[0].head, *(fact.tail for fact in facts)]
        assert [fact.head for fact in facts[1:]] == entities[1:-1]
        assert len({entity.id for entity in entities}) == len(entities)
        assert not any(entity.name in question.question for entity in entities[1:])


@pytest.mark.parametrize("split", SPLITS)
def test_every_form_of_time_occurs_in_every_kind_of_timed_question(split: str) -> None:
    assert FORMS.keys() == set(TIME_FORMS)
    seen: dict[str, set[str]] = defaultdict(set)
    for _, question in questions_of(splits=(split,)):
        if question.question_time is not None:
            forms = {form for form, words in FORMS.items() if says_time(question, words)}
            assert len(forms) == 1, question
            seen[question.type] |= forms
    assert seen["temporal"] == seen["unanswerable"] == FORMS.keys()
    assert len(seen["multi-hop"]) >= 5


def test_every_relation_is_asked_about_in_at_least_three_wordings() -> None:
    for split in ("train", "dev", "swap", "novel"):
        wordings: dict[str, set[int]] = defaultdict(set)
        for question in default_worlds().questions[split]:
            if question.type in ("single-hop", "temporal"):
                wordings[question.program["relations"][0]].update(wordings_of(question))
        assert wordings.keys() == {relation.id for relation in RELATIONS}
        assert min(map(len, wordings.values())) >= 3, split


def test_unanswerable_questions_are_worded_like_the_others() -> None:
    """Neither relation nor wording may give away that there is no answer."""
    relations = {question.program["relations"][-1] for _, question in questions_of("unanswerable")}
    assert relations == {relation.id for relation in RELATIONS}
    used = {w for _, question in questions_of("unanswerable") for w in wordings_of(question)}
    assert used == set(range(max(len(relation.questions) for relation in RELATIONS)))
