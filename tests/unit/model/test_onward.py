"""What a hop would find, against plain loops over the facts of small random bases."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kblampp.model import onward
from kblampp.model.mentions import NameTable
from kblampp.model.onward import FEATURES, MOST, FactsByHead, hop_features
from kblampp.model.text_hashes import question_grams, trigram_buckets

LABELS = ("mayor", "place of birth", "twin town", "employer", "employee", "founder")
QUESTIONS = (
    "Where was the mayor born?",
    "Who is the employer of the founder?",
    "Which twin town has it?",
    "What is the place of birth of the founder?",
)
D_REL = 5
SEEDS = range(12)


@dataclass(frozen=True)
class Base:
    """Facts by hand: (head, relation, tail) as numbers, a vector for each key, first those of the facts."""

    facts: list[tuple[int, int, int]]
    keys: Tensor

    @property
    def by_head(self) -> FactsByHead:
        heads, tails = (np.array([fact[end] for fact in self.facts], dtype=np.int32) for end in (0, 2))
        relations = np.array([relation for _, relation, _ in self.facts], dtype=np.int32)
        store = SimpleNamespace(head_ids=heads, rel_ids=relations, tail_ids=tails)
        return FactsByHead.of(store)  # type: ignore[arg-type]

    @property
    def names(self) -> NameTable:
        heads, tails = ([f"entity {fact[end]}" for fact in self.facts] for end in (0, 2))
        return NameTable.of(heads, tails, [LABELS[relation] for _, relation, _ in self.facts])


def random_base(seed: int) -> Base:
    """Heads are the even entities of a dozen at most, so that no fact is about an odd one."""
    rng = np.random.default_rng(seed)
    n, entities = int(rng.integers(1, 30)), int(rng.integers(2, 12))
    facts = [
        (2 * int(rng.integers(0, entities // 2)), int(rng.integers(len(LABELS))), int(rng.integers(entities)))
        for _ in range(n)
    ]
    return Base(facts, torch.from_numpy(rng.standard_normal((2 * n, D_REL))).float())


def about(base: Base, entity: int, withheld: list[int], most: int = MOST) -> list[int]:
    """The first facts about an entity of those that are left."""
    left = [number for number, (head, _, _) in enumerate(base.facts) if head == entity and number not in withheld]
    return left[:most]


def covered(name: str, question: str) -> float:
    grams = trigram_buckets(name)
    return sum(gram in trigram_buckets(question) for gram in grams) / len(grams)


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def expected_features(
    base: Base, wanted: list[float], question: str, read: tuple[int, bool], withheld: list[int], most: int = MOST
) -> list[float]:
    number, inverse = read
    if number < 0:
        return [0.0] * 5

    def fits(fact: int) -> tuple[float, float]:
        return cosine(base.keys[fact].tolist(), wanted), covered(LABELS[base.facts[fact][1]], question)

    head, _, tail = base.facts[number]
    best, leads = (0.0, 0.0), 0.0
    for other in about(base, head if inverse else tail, withheld, most):
        if other == number:  # it does not lead back along itself
            continue
        if not leads or fits(other)[0] > best[0]:
            best = fits(other)
        leads = 1.0
    return [*best, *fits(number), leads]


def padded(rows: list[list[int]]) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[-1] * (width - len(row))] for row in rows], dtype=torch.int64).view(len(rows), width)


def random_withheld(base: Base, rng: Any, rows: int) -> list[list[int]]:
    n = len(base.facts)
    return [rng.choice(n, int(rng.integers(0, n + 1)), replace=False).tolist() for _ in range(rows)]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_facts_about_an_entity_are_those_with_it_as_head_in_their_order(seed: int) -> None:
    base, rng = random_base(seed), np.random.default_rng(100 + seed)
    entities = range(max(max(head, tail) for head, _, tail in base.facts) + 1)
    withheld = random_withheld(base, rng, len(entities))
    found = base.by_head.about(torch.arange(len(entities)), None).tolist()
    left = base.by_head.about(torch.arange(len(entities)), padded(withheld)).tolist()
    for entity in entities:
        assert [fact for fact in found[entity] if fact >= 0] == about(base, entity, [])
        assert [fact for fact in left[entity] if fact >= 0] == about(base, entity, withheld[entity])
        if entity % 2:
            assert set(found[entity]) <= {-1}
        alone = base.by_head.about(torch.tensor([entity]), None)
        assert alone.tolist() == [about(base, entity, [])]  # no wider than it has facts
    assert base.by_head.ends.tolist() == [[head, tail] for head, _, tail in base.facts]


def test_nobody_asked_about_has_no_facts() -> None:
    assert random_base(0).by_head.about(torch.zeros(0, dtype=torch.int64), None).shape == (0, 0)


def test_of_an_entity_with_many_facts_the_first_of_the_file_are_looked_at() -> None:
    """Two such in turns, so that the facts of one do not stand together."""
    facts = [(number % 2, 0, 2) for number in range(2 * MOST + 20)]
    base = Base(facts, torch.zeros(2 * len(facts), D_REL))
    found = base.by_head.about(torch.tensor([0, 1, 2]), None)
    assert found.shape == (3, MOST)
    assert found[0].tolist() == list(range(0, 2 * MOST, 2))
    assert found[1].tolist() == list(range(1, 2 * MOST, 2))
    assert found[2].tolist() == [-1] * MOST


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_facts_withheld_are_as_if_deleted_however_many_there_are(data: st.DataObject) -> None:
    """Against a base that is made without them, of entities with more facts than are looked at."""
    heads = data.draw(st.permutations([0] * (MOST + 30) + [1] * (MOST - 5) + [2] * 3))
    base = Base([(head, 0, 3) for head in heads], torch.zeros(2 * len(heads), D_REL))
    hidden = [data.draw(st.sets(st.integers(0, len(heads) - 2), max_size=80)) for _ in range(4)]
    found = base.by_head.about(torch.arange(4), padded([sorted(each) for each in hidden]))
    for entity, each in enumerate(hidden):
        kept = [number for number in range(len(heads)) if number not in each]
        without = Base([base.facts[number] for number in kept], base.keys).by_head.about(torch.tensor([entity]), None)
        assert [fact for fact in found[entity].tolist() if fact >= 0] == [kept[number] for number in without[0]]


@pytest.mark.parametrize("seed", SEEDS)
def test_relations_of_an_entity_are_counted_as_if_withheld_facts_were_deleted(seed: int) -> None:
    base, rng = random_base(seed), np.random.default_rng(300 + seed)
    entities = sorted({end for head, _, tail in base.facts for end in (head, tail)})
    for share in (0.0, 0.3, 0.9):
        hidden = [[number for number in range(len(base.facts)) if rng.random() < share] for _ in entities]
        found = base.by_head.relations_of(torch.tensor(entities), padded(hidden))
        for entity, gone, count in zip(entities, hidden, found.tolist(), strict=True):
            left = {base.facts[number][1] for number in about(base, entity, gone, len(base.facts))}
            assert count == pytest.approx(len(left))
    assert base.by_head.relations_of(torch.tensor(entities), None).tolist() == [
        len({relation for head, relation, _ in base.facts if head == entity}) for entity in entities
    ]


@pytest.mark.parametrize("most", [MOST, 2])
@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_features_are_those_of_plain_loops(seed: int, hidden: bool, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every fact read either way, and of none, by each of some questions."""
    monkeypatch.setattr(onward, "MOST", most)
    base, rng = random_base(seed), np.random.default_rng(200 + seed)
    cases = [(number, way) for number in range(-1, len(base.facts)) for way in (False, True)]
    questions = [QUESTIONS[int(rng.integers(len(QUESTIONS)))] for _ in cases]
    wanted = torch.from_numpy(rng.standard_normal((len(cases), D_REL))).float()
    withheld = random_withheld(base, rng, len(cases)) if hidden else [[]] * len(cases)
    read = torch.tensor([number for number, _ in cases]), torch.tensor([way for _, way in cases])
    found, likely = hop_features(
        base.by_head,
        base.names,
        base.keys,
        wanted,
        question_grams(questions),
        read,
        padded(withheld) if hidden else None,
    )
    assert found.shape == (len(cases), len(FEATURES))
    for row, case in enumerate(cases):
        expected = expected_features(base, wanted[row].tolist(), questions[row], case, withheld[row], most)
        assert found[row].tolist() == pytest.approx(expected, abs=1e-5)
        if expected[-1]:
            assert cosine(base.keys[int(likely[row])].tolist(), wanted[row].tolist()) == pytest.approx(
                expected[0], abs=1e-5
            )
        else:
            assert likely[row] == -1


def test_the_random_bases_have_what_is_tested() -> None:
    """Facts that lead on and that do not, each way where some are withheld; and more facts about an entity than two."""
    leads, most = {False: set[bool](), True: set[bool]()}, 0
    for seed in SEEDS:
        base = random_base(seed)
        for head, _, tail in base.facts:
            leads[False].add(len(about(base, tail, [])) > 0)
            leads[True].add(len(about(base, head, random_withheld(base, np.random.default_rng(seed), 1)[0])) > 0)
            most = max(most, len(about(base, head, [])))
    assert leads == {False: {False, True}, True: {False, True}}
    assert most > 2


def test_where_no_fact_of_a_batch_leads_on_there_is_nothing_ahead() -> None:
    base = Base([(0, 0, 1), (0, 1, 3)], torch.eye(4, D_REL))
    read = torch.tensor([0, 1, -1]), torch.tensor([False, False, False])
    wanted = torch.eye(4, D_REL)[[0, 0, 0]]
    found, _ = hop_features(base.by_head, base.names, base.keys, wanted, question_grams(QUESTIONS[:1] * 3), read, None)
    spelt = covered("place of birth", QUESTIONS[0])
    expected = [[0, 0, 1, 1, 0], [0, 0, 0, spelt, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_allclose(found.numpy(), np.array(expected), atol=1e-6)
    whole = read[0], torch.tensor([True, True, True])  # from its tail a fact leads to the other one of its head
    found, _ = hop_features(base.by_head, base.names, base.keys, wanted, question_grams(QUESTIONS[:1] * 3), whole, None)
    assert found[:, FEATURES.index("leads_on")].tolist() == [1, 1, 0]
    assert found[:2, FEATURES.index("onward")].tolist() == pytest.approx([0, 1])


def test_an_entity_whose_facts_are_all_withheld_leads_nowhere() -> None:
    base = Base([(0, 0, 1), (1, 1, 2), (1, 2, 2)], torch.eye(6, D_REL))
    read, wanted = (torch.tensor([0, 0]), torch.tensor([False, False])), torch.eye(4, D_REL)[[1, 1]]
    withheld = torch.tensor([[1, 2], [1, -1]])
    found, _ = hop_features(base.by_head, base.names, base.keys, wanted, question_grams(QUESTIONS[:2]), read, withheld)
    assert found[0, :2].tolist() == [0, 0]
    assert found[:, FEATURES.index("leads_on")].tolist() == [0, 1]
    assert found[1, :2].tolist() == pytest.approx([0, covered("twin town", QUESTIONS[1])])


def test_no_gradient_flows_through_what_is_looked_at() -> None:
    base = random_base(3)
    keys, wanted = base.keys.requires_grad_(), torch.ones(1, D_REL, requires_grad=True)
    read = torch.tensor([0]), torch.tensor([True])
    found, _ = hop_features(base.by_head, base.names, keys, wanted, question_grams(QUESTIONS[:1]), read, None)
    assert not found.requires_grad
