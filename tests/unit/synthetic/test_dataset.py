"""Nothing of one split gives away another, and the default dataset is what the experiment needs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kblampp.core.errors import DataError
from kblampp.core.params import GenerateParams, WorldParams
from kblampp.data.dataset import Dataset
from kblampp.data.facts import QUESTION_TYPES
from kblampp.data.windows import MONTHS
from kblampp.model.prompts import closed_book_prompt
from kblampp.synthetic.dataset import make_synthetic
from kblampp.synthetic.schema import NAME_POOLS, RELATIONS
from kblampp.synthetic.worlds import is_pretrain_name, make_world, name_words
from tests.small_world import (
    NAME,
    default_section,
    default_worlds,
    small_dataset,
    small_section,
    small_worlds,
    wordings_of,
)
from tests.solver import Found, Solver

ROOT = Path(__file__).resolve().parents[3]
DATASETS = pytest.mark.parametrize("make", [small_worlds, default_worlds], ids=["small", "default"])


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def names_of_kb(dataset: Dataset, kb: str) -> set[str]:
    """Names of entities, and of the heads that the base's questions ask about in vain."""
    names = {entity.name for fact in dataset.kbs[kb] for entity in (fact.head, fact.tail)}
    asked = {
        q.program["head"] for split, qs in dataset.questions.items() if dataset.kb_of_split[split] == kb for q in qs
    }
    return names | asked


def texts_of_kb(dataset: Dataset, kb: str) -> Iterator[str]:
    """Everything that a model trained on this base may read."""
    for fact in dataset.kbs[kb]:
        yield from (fact.head.name, fact.relation.name, fact.tail.name, fact.context.page_title, fact.context.sent_span)
    for split, questions in dataset.questions.items():
        if dataset.kb_of_split[split] == kb:
            yield from (closed_book_prompt(question.question) for question in questions)


def digest(dataset: Dataset) -> str:
    rows = [[fact.to_row() for fact in facts] for facts in dataset.kbs.values()]
    rows += [[question.to_row() for question in questions] for questions in dataset.questions.values()]
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


@DATASETS
def test_splits_and_what_they_ask_about(make: Callable[[], Dataset]) -> None:
    dataset = make()
    assert dataset.kb_of_split == {"train": "train", "dev": "train", "swap": "swap", "novel": "novel"}
    assert dataset.kbs.keys() == {"train", "swap", "novel"}
    assert dataset.questions.keys() == dataset.kb_of_split.keys()


@DATASETS
def test_no_question_of_one_split_occurs_in_another(make: Callable[[], Dataset]) -> None:
    programs: dict[tuple[str, ...], str] = {}
    texts: dict[str, str] = {}
    for split, questions in make().questions.items():
        for question in questions:
            key = (question.program["head"], *question.program["relations"], question.question)
            assert programs.setdefault(key, split) == split
            assert question.question not in texts, "not even twice in one split"
            texts[question.question] = split


@DATASETS
def test_wordings_of_dev_are_unseen_in_training_for_that_fact(make: Callable[[], Dataset]) -> None:
    dataset = make()
    trained: dict[object, set[int]] = defaultdict(set)

    def about(split: str) -> Iterator[tuple[object, list[int]]]:
        for question in dataset.questions[split]:
            program = question.program
            yield question.supporting_facts or (program["head"], program["relations"][0]), wordings_of(question)

    for fact, wordings in about("train"):
        trained[fact].update(wordings)
    both = 0
    for fact, wordings in about("dev"):
        assert not trained[fact] & set(wordings)
        both += bool(trained[fact])
    assert both > 20  # enough facts are asked about in both


@DATASETS
def test_knowledge_bases_share_no_entity(make: Callable[[], Dataset]) -> None:
    dataset = make()
    names = {kb: names_of_kb(dataset, kb) for kb in dataset.kbs}
    assert not names["train"] & names["swap"]
    assert not names["train"] & names["novel"]
    assert not names["swap"] & names["novel"]


@DATASETS
def test_no_word_of_a_novel_name_occurs_in_training_or_pre_training(make: Callable[[], Dataset]) -> None:
    dataset = make()
    novel = words(" ".join(names_of_kb(dataset, "novel")))
    assert novel
    for kb in ("train", "swap"):
        assert not novel & words(" ".join(texts_of_kb(dataset, kb)))
    pools = {word for pool in {p for pair in NAME_POOLS.values() for p in pair} for word in name_words(pool, "known")}
    wordings = {w for r in RELATIONS for w in (r.name, *r.sentences, *r.questions, *r.phrases)}
    assert not novel & words(" ".join([*pools, *wordings, *MONTHS, closed_book_prompt(""), "unknown", "today"]))


@DATASETS
def test_names_of_pre_training_are_never_evaluated(make: Callable[[], Dataset]) -> None:
    dataset = make()
    evaluated = {name for kb in dataset.kbs for name in names_of_kb(dataset, kb)}
    assert not any(is_pretrain_name(name) for name in evaluated)
    for seed in range(3):
        pretrained = make_world(510, seed=seed, role="pretrain").names
        assert all(is_pretrain_name(name) for name in pretrained)
        assert not pretrained & evaluated


@DATASETS
def test_no_answer_makes_up_more_than_a_hundredth_of_a_relation(make: Callable[[], Dataset]) -> None:
    for facts in make().kbs.values():
        sizes = Counter(fact.relation.id for fact in facts)
        for (relation, _), count in Counter((fact.relation.id, fact.tail.name) for fact in facts).items():
            assert count <= max(1, 0.01 * sizes[relation])


def test_a_larger_share_lets_an_answer_occur_more_often() -> None:
    worlds = [make_world(1000, seed=0, max_answer_share=share) for share in (0.01, 0.2)]
    most = [Counter((f.relation.id, f.tail.name) for f in world.facts).most_common(1)[0][1] for world in worlds]
    assert most[0] == 1
    assert 1 < most[1] <= 0.2 * 1000 / 17


def test_same_seed_same_dataset_in_any_process() -> None:
    """Another process has another hash seed, so an order taken from a set would show."""
    section = small_section()
    assert digest(make_synthetic(section, name=NAME, seed=0)) == digest(small_dataset())
    code = "from tests.unit.synthetic.test_dataset import digest, small_dataset; print(digest(small_dataset()))"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == digest(small_dataset())


def test_another_seed_gives_other_entities_and_other_questions() -> None:
    one, other = small_worlds(0), small_worlds(1)
    for kb in one.kbs:
        shared = names_of_kb(one, kb) & names_of_kb(other, kb)
        assert len(shared) < 0.5 * len(names_of_kb(one, kb))
        assert one.kbs[kb] != other.kbs[kb]
    for split, questions in one.questions.items():
        texts = {question.question for question in other.questions[split]}
        assert sum(question.question in texts for question in questions) < 0.05 * len(questions)


def world(facts: int, questions: int) -> WorldParams:
    return WorldParams(facts=facts, questions_per_type=questions)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"swap": world(200_000, 10)},
            "the known words",
        ),
        (
            {"novel": world(20_000, 10)},
            "the novel words",
        ),
        (
            {"swap": world(16, 10)},
            "at least 17 facts.*16",
        ),
        (
            {"train": world(170, 700)},
            "train .*700 single-hop",
        ),
        (
            {"swap": world(20, 100)},
            "swap .*of the 100 ",
        ),
    ],
)
def test_too_much_is_refused_in_one_sentence(changes: dict[str, WorldParams], expected: str) -> None:
    section: GenerateParams = small_section().model_copy(update=changes)
    with pytest.raises(DataError, match=expected) as caught:
        make_synthetic(section, name=NAME, seed=0)
    assert "\n" not in str(caught.value)
    assert "params.yaml" in str(caught.value) or "at least 17" in str(caught.value)


def test_default_sizes_are_large_enough() -> None:
    dataset, section = default_worlds(), default_section()
    assert {kb: len(facts) for kb, facts in dataset.kbs.items()} == {
        kb: getattr(section, kb).facts for kb in ("train", "swap", "novel")
    }
    assert len(dataset.kbs["train"]) >= 5000
    assert len(dataset.kbs["swap"]) >= 1500
    assert len(dataset.kbs["novel"]) >= 1000
    for split in ("swap", "novel"):
        counts = Counter(question.type for question in dataset.questions[split])
        assert counts.keys() == set(QUESTION_TYPES)
        assert min(counts.values()) >= 500
    for facts in dataset.kbs.values():
        relations = {fact.relation.id for fact in facts}
        held_in_turn = {fact.relation.id for fact in facts if fact.window.start or fact.window.end}
        assert len(relations) >= 10
        assert len(held_in_turn) >= 4
    assert section.max_answer_share <= 0.01


def test_the_solver_agrees_with_the_whole_default_worlds() -> None:
    dataset = default_worlds()
    solvers = {kb: Solver([fact.to_row() for fact in facts]) for kb, facts in dataset.kbs.items()}
    for split, questions in dataset.questions.items():
        for question in questions:
            expected = [] if question.reason else [Found(question.answer, question.supporting_facts)]
            assert solvers[dataset.kb_of_split[split]].solve(question.program) == expected, question
