"""Open bases and their questions: what they hold, what is held out, and that each question has the stated answer."""

from __future__ import annotations

import random
import re
from collections import Counter
from functools import cache
from itertools import pairwise

import pytest

from kblampp.core.errors import DataError
from kblampp.core.params import OpenParams
from kblampp.data.facts import FORMS, MODES, FiveTuple, Question
from kblampp.data.windows import SYNTHETIC_TODAY
from kblampp.synthetic.dataset import make_synthetic
from kblampp.synthetic.open_names import OpenNames, is_held_out_name, name_words, pools_of
from kblampp.synthetic.open_questions import KINDS, OpenQuestionWriter
from kblampp.synthetic.open_schema import CONFLICTS, OPEN_BY_ID, OPEN_RELATIONS, Part, is_held_out
from kblampp.synthetic.open_worlds import OpenBase, make_open_base, successive_windows
from kblampp.time_expressions.parse import parse_question_time
from tests.open_solver import OpenSolver
from tests.small_world import default_dataset, default_section, small_dataset, small_section

PARTS = pytest.mark.parametrize("part", ["train", "unseen"])
SHARES = {"train": 60, "unseen": 30}
PLACES = {
    "questions": "x",
    "phrases": "x",
    "current": "x",
    "first": "x",
    "last": "x",
    "list": "x",
    "count": "x",
    "inverse": "t",
    "confirm": "xt",
    "before": "xt",
    "after": "xt",
    "began": "xt",
    "ended": "xt",
}


@cache
def made(part: Part, seed: int = 0) -> tuple[OpenBase, list[Question]]:
    """A base of middling size and its questions; read-only."""
    taken: set[str] = set()
    base = make_open_base(1500, seed=seed, part=part, taken=taken)
    writer = OpenQuestionWriter(base, random.Random(seed), dataset="synth_world", split=part, taken=taken, seen=set())
    return base, writer.write(SHARES[part])


def solver_of(facts: list[FiveTuple]) -> OpenSolver:
    return OpenSolver([fact.to_row() for fact in facts])


def of_kind(part: Part, *kinds: str) -> list[Question]:
    return [question for question in made(part)[1] if question.program["kind"] in kinds]


def check(solver: OpenSolver, question: Question) -> None:
    found = solver.solve(question.program)
    if question.reason is None:
        assert found is not None, question
        assert (found[0], sorted(found[1])) == (question.answer, sorted(question.supporting_facts)), question
        if question.type == "multi-hop":
            assert tuple(found[1]) == question.supporting_facts
    else:
        assert found is None, question


@PARTS
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_solver_gives_each_question_its_answer(part: Part, seed: int) -> None:
    base, questions = made(part, seed)
    solver = solver_of(base.facts)
    for question in questions:
        check(solver, question)


def test_the_solver_agrees_with_the_whole_default_dataset() -> None:
    dataset = default_dataset()
    for split in ("train", "unseen"):
        solver = solver_of(dataset.kbs[split])
        asked = [question for question in dataset.questions[split] if "kind" in question.program]
        assert len(asked) == len(KINDS) * (900 if split == "train" else 60)
        for question in asked:
            check(solver, question)


@PARTS
def test_every_kind_is_written_as_often_as_asked(part: Part) -> None:
    counts = Counter(question.program["kind"] for question in made(part)[1])
    assert counts == dict.fromkeys(KINDS, SHARES[part])


@PARTS
def test_forms_modes_types_and_reasons(part: Part) -> None:
    questions = made(part)[1]
    assert {question.form for question in questions} == set(FORMS)
    assert {question.mode for question in questions} == set(MODES)
    for question in questions:
        hops = len(question.program["relations"])
        if question.reason is None:
            assert (question.type == "multi-hop") == (hops > 1)
            assert (question.type == "temporal") == (hops == 1 and question.question_time is not None)
        assert question.inverse == (question.program["head"] is None)
    reasons = Counter(question.reason for question in questions if question.reason)
    assert max(reasons.values()) - min(reasons.values()) <= 1
    answers = Counter(question.answer for question in questions if question.form == "yes_no")
    assert answers["yes"] == answers["no"]
    asked = {(q.form, q.mode, q.inverse) for q in questions if q.reason}
    assert len(asked) >= 8


@PARTS
def test_no_question_text_twice(part: Part) -> None:
    texts = Counter(question.question for question in made(part)[1])
    assert max(texts.values()) == 1
    dataset = small_dataset()
    texts = Counter(question.question for questions in dataset.questions.values() for question in questions)
    assert max(texts.values()) == 1


def test_what_is_held_out_never_trains() -> None:
    assert 0.1 < sum(is_held_out(relation.id) for relation in OPEN_RELATIONS) / len(OPEN_RELATIONS) < 0.15
    for dataset in (small_dataset(), default_dataset()):
        relations = {kb: {str(fact.relation.id) for fact in dataset.kbs[kb]} for kb in ("train", "unseen")}
        assert all(is_held_out(relation) for relation in relations["unseen"])
        assert not any(is_held_out(relation) for relation in relations["train"] if relation in OPEN_BY_ID)
        for question in dataset.questions["train"]:
            asked = set(question.program["relations"]) & OPEN_BY_ID.keys()
            assert not any(is_held_out(relation) for relation in asked)


def test_the_parts_share_no_name_and_no_name_word() -> None:
    dataset = default_dataset()
    used: dict[str, set[str]] = {}
    for split in ("train", "unseen"):
        open_facts = [fact for fact in dataset.kbs[split] if fact.relation.id in OPEN_BY_ID]
        named = {e.name for f in open_facts for e in (f.head, f.tail) if e.type in pools_of("train")}
        asked = [q.program for q in dataset.questions[split] if q.reason == "unknown_head" and "kind" in q.program]
        named |= {program["head"] or program["tail"] for program in asked}
        used[split] = {word for name in named for word in name_words(name)}
        assert len(used[split]) > 300
    shared = used["train"] & used["unseen"]
    assert not shared


def test_no_entity_of_an_open_base_is_known_to_a_world() -> None:
    dataset = default_dataset()
    names: dict[str, set[str]] = {}
    for kb, facts in dataset.kbs.items():
        for fact in facts:
            where = "open" if kb == "train" and fact.relation.id in OPEN_BY_ID else kb
            names.setdefault(where, set()).update(e.name for e in (fact.head, fact.tail) if e.type in pools_of("train"))
    for where in ("open", "unseen"):
        for other in names.keys() - {where}:
            assert not names[where] & names[other]


def test_the_worlds_do_not_depend_on_the_open_bases() -> None:
    more = small_section().model_copy(update={"open": OpenParams(facts=1200, questions_per_kind=5)})
    other = make_synthetic(more, name="synth_world", seed=0)
    for split in ("dev", "swap", "novel"):
        assert other.questions[split] == small_dataset().questions[split]
    assert other.kbs["swap"] == small_dataset().kbs["swap"]
    assert other.kbs["novel"] == small_dataset().kbs["novel"]


def test_without_an_open_base_training_is_of_the_world_alone() -> None:
    alone = small_section().model_copy(update={"open": OpenParams(facts=0, questions_per_kind=0)})
    dataset, both = make_synthetic(alone, name="synth_world", seed=0), small_dataset()
    world = [fact for fact in both.kbs["train"] if fact.relation.id not in OPEN_BY_ID]
    assert dataset.kbs["train"] == world
    assert dataset.questions["train"] == both.questions["train"][: len(dataset.questions["train"])]
    assert dataset.questions["unseen"]


@PARTS
def test_same_seed_same_base_and_questions(part: Part) -> None:
    made.cache_clear()
    base, questions = made(part)
    made.cache_clear()
    again, questions_again = made(part)
    assert base.facts == again.facts
    assert questions == questions_again
    assert made(part, 1)[0].facts != base.facts


@PARTS
def test_a_head_holds_no_two_relations_that_one_wording_could_mean(part: Part) -> None:
    held: dict[str, set[str]] = {}
    for head, relation in made(part)[0].rows:
        held.setdefault(head, set()).add(relation)
    for relations in held.values():
        assert not any(CONFLICTS[relation] & relations for relation in relations)


@PARTS
def test_facts_have_the_types_of_their_relation_and_one_entity_a_name(part: Part) -> None:
    facts = made(part)[0].facts
    assert len(facts) == 1500
    for fact in facts:
        relation = OPEN_BY_ID[str(fact.relation.id)]
        assert (fact.head.type, fact.tail.type) == (relation.head, relation.tail)
        assert fact.relation.name in relation.labels
        assert fact.head.name != fact.tail.name
    entities = {(entity.id, entity.name) for fact in facts for entity in (fact.head, fact.tail)}
    assert len({i for i, _ in entities}) == len({name for _, name in entities}) == len(entities)
    silent = sum(not fact.context.sent_span for fact in facts)
    assert 0.15 < silent / len(facts) < 0.25


@PARTS
def test_holders_follow_one_another(part: Part) -> None:
    base = made(part)[0]
    open_ends = rows = 0
    for (_, relation), row in base.rows.items():
        if OPEN_BY_ID[relation].kind != "successive":
            assert all(base.facts[n].window.start is base.facts[n].window.end is None for n in row)
            continue
        windows = [base.facts[number].window for number in row]
        for one, other in pairwise(windows):
            assert one.end is not None
            assert other.start is not None
            assert one.end <= other.start
        tails = [base.facts[number].tail.name for number in row]
        assert all(one != other for one, other in pairwise(tails))
        open_ends, rows = open_ends + (windows[-1].end is None), rows + 1
    assert 0.45 < open_ends / rows < 0.7


def test_open_rows_hold_today_and_no_holder_begins_later() -> None:
    rng = random.Random(0)
    for _ in range(2000):
        windows = successive_windows(rng, rng.randint(1, 6))
        assert all(window.start is None or window.start <= SYNTHETIC_TODAY for window in windows)
        assert windows[-1].end is None or windows[-1].end <= SYNTHETIC_TODAY


def test_noise_leaves_the_answer() -> None:
    """A careless question differs from a wording in case, its mark or a letter of a name; the solver answers it too."""
    questions = made("train")[1]
    lower = [question for question in questions if question.question == question.question.lower()]
    mistyped = [
        question
        for question in questions
        for name in (question.program["head"], question.program["tail"])
        if name and name.casefold() not in question.question.casefold() and question.type != "multi-hop"
    ]
    assert 0.03 < len(lower) / len(questions) < 0.3
    assert 0.01 < len(mistyped) / len(questions) < 0.1
    assert not [question for question in mistyped if question.reason == "unknown_head"]
    solver = solver_of(made("train")[0].facts)
    for question in lower + mistyped:
        check(solver, question)


@PARTS
def test_times_in_words_are_those_of_the_program(part: Part) -> None:
    timed = [question for question in made(part)[1] if question.question_time is not None]
    assert len(timed) > 100
    for question in timed:
        parsed = parse_question_time(question.question)
        assert parsed is not None, question
        names = f"{question.program['head']} {question.program['tail']}"
        if not re.search("[0-9]", names):
            assert (parsed.start, parsed.end) == (question.question_time.start, question.question_time.end), question


def test_unknown_names_occur_nowhere() -> None:
    for part in ("train", "unseen"):
        base, questions = made(part)
        text = "\n".join(f"{f.head.name}\n{f.tail.name}\n{f.context.sent_span}" for f in base.facts)
        unknown = [q.program["head"] or q.program["tail"] for q in questions if q.reason == "unknown_head"]
        assert unknown
        assert not [name for name in unknown if name in text]


def test_missing_relations_are_those_of_known_heads_or_tails() -> None:
    for part in ("train", "unseen"):
        base, questions = made(part)
        solver = solver_of(base.facts)
        for question in questions:
            if question.reason == "missing_relation":
                name = question.program["head"] or question.program["tail"]
                assert name in solver.names
                assert (name, question.program["relations"][0]) not in base.rows


def test_relations_have_the_places_that_they_need() -> None:
    assert len(OPEN_BY_ID) == len(OPEN_RELATIONS) == 330
    for relation in OPEN_RELATIONS:
        for field, places in PLACES.items():
            for wording in getattr(relation, field):
                found = set(re.findall(r"\{(\w+)\}", wording))
                assert set(places) == found - {"when"}, (relation.id, wording)
                if field == "questions":
                    assert ("when" in found) == (relation.kind == "successive")
        assert bool(relation.questions) == (relation.kind != "many")
        assert len(relation.sentences) == 3


@PARTS
def test_names_are_new_and_of_their_part(part: Part) -> None:
    taken: set[str] = {"Nobody"}
    names = OpenNames(random.Random(0), part, taken)
    drawn = [names.draw(kind) for kind in sorted(names.kinds) for _ in range(15)]
    assert len(set(drawn)) == len(drawn) == len(taken) - 1
    other = {
        entry
        for pools in pools_of("unseen" if part == "train" else "train").values()
        for pool, entries in pools.items()
        if pool != "patterns"
        for entry in entries
    }
    assert not {word for name in drawn for word in name_words(name)} & {w for entry in other for w in name_words(entry)}
    assert all(is_held_out_name(entry) == (part == "unseen") for entry in pools_of(part)["CITY"]["names"])


def test_a_row_that_has_had_every_small_number_ends() -> None:
    """With these seeds a firm of two to four was to have more numbers of staff than there are, and no base was made."""
    for seed in ("tune/3", "tune/4"):
        facts = make_open_base(5000, seed=seed, part="train", taken=set()).facts
        assert len(facts) == 5000
        rows = Counter((fact.head.name, fact.relation.id, fact.tail.name, fact.window) for fact in facts)
        assert max(rows.values()) == 1


def test_a_base_too_small_is_refused_in_one_sentence() -> None:
    taken: set[str] = set()
    base = make_open_base(60, seed=0, part="train", taken=taken)
    writer = OpenQuestionWriter(base, random.Random(0), dataset="d", split="train", taken=taken, seen=set())
    with pytest.raises(DataError, match=r"gives only .* of the 500 questions of the kind .*params\.yaml") as caught:
        writer.write(500)
    assert "\n" not in str(caught.value)


def test_default_sizes() -> None:
    dataset, section = default_dataset(), default_section()
    assert len(dataset.kbs["train"]) == section.train.facts + section.open.facts
    assert len(dataset.kbs["unseen"]) == section.unseen.facts
    assert dataset.kb_of_split["unseen"] == "unseen"
