"""Worlds hold the facts asked for, told by their sentences, under names that give nothing away."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kblampp.core.errors import DataError
from kblampp.data.facts import FiveTuple
from kblampp.data.windows import MONTHS, Window, day
from kblampp.model.prompts import closed_book_prompt
from kblampp.synthetic.schema import BY_ID, HORIZON, NAME_POOLS, RELATIONS
from kblampp.synthetic.worlds import (
    NameMaker,
    Role,
    Words,
    is_novel_word,
    is_pretrain_name,
    make_world,
    name_words,
    render_month,
)
from tests.small_world import small_worlds

POOLS = sorted({pool for pools in NAME_POOLS.values() for pool in pools})


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def all_facts() -> list[FiveTuple]:
    return [fact for facts in small_worlds().kbs.values() for fact in facts]


def test_every_pool_is_split_into_known_and_novel_words() -> None:
    for pool in POOLS:
        known, novel = name_words(pool, "known"), name_words(pool, "novel")
        assert known
        assert novel
        assert all(is_novel_word(word) for word in novel)
        assert not any(is_novel_word(word) for word in known)
        assert len(set(known + novel)) == len(known + novel)
    known_of_any, novel_of_any = ({w for pool in POOLS for w in name_words(pool, kind)} for kind in ("known", "novel"))
    assert not {w.casefold() for w in known_of_any} & {w.casefold() for w in novel_of_any}


def test_no_wording_holds_a_word_of_a_name() -> None:
    fixed = " ".join(
        [w for r in RELATIONS for w in (r.name, *r.sentences, *r.questions, *r.phrases)] + [closed_book_prompt("")]
    )
    moving = " ".join(render_month(Window(day("2001-01-01"), end), end=True) for end in (None, day("2001-02-01")))
    in_names = {w.casefold() for pool in POOLS for kind in ("known", "novel") for w in name_words(pool, kind)}
    assert not in_names & (words(fixed) | words(moving) | words(" ".join(MONTHS)) | {"unknown", "the", "start"})


def test_wordings_have_the_places_that_they_need() -> None:
    for relation in RELATIONS:
        assert len(relation.sentences) >= 3
        assert len(relation.questions) >= 4  # one is kept for `dev`, three are left for training
        assert bool(relation.phrases) == (not relation.successive)
        assert all(wording.count("{x}") == 1 for wording in (*relation.questions, *relation.phrases))
        for sentence in relation.sentences:
            assert "{x}" in sentence
            assert "{t}" in sentence
            assert ("{since}" in sentence) == ("{until}" in sentence) == relation.successive
        assert all(("{when}" in question) == relation.successive for question in relation.questions)
        assert not any("{t}" in wording for wording in (*relation.questions, *relation.phrases))
    everything = [w for relation in RELATIONS for w in relation.questions]
    assert len(set(everything)) == len(everything)


@pytest.mark.parametrize("kind", ["known", "novel", "invented", "mixed"])
@pytest.mark.parametrize("role", ["pretrain", "evaluated"])
@pytest.mark.parametrize("n", [17, 18, 51, 100, 510, 1200])
def test_a_world_has_the_facts_asked_for_spread_over_all_relations(n: int, kind: Words, role: Role) -> None:
    facts = make_world(n, seed=n, words=kind, role=role).facts
    counts = Counter(fact.relation.id for fact in facts)
    assert len(facts) == n
    assert counts.keys() == BY_ID.keys()
    assert max(counts.values()) - min(counts.values()) <= 1


def test_a_world_has_the_facts_asked_for_where_few_heads_have_few_holders() -> None:
    assert [len(make_world(n, seed=seed).facts) - n for n in (119, 128) for seed in range(30)] == [0] * 60


@settings(max_examples=10, deadline=None)
@given(
    n=st.integers(len(RELATIONS), 300),
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["known", "novel", "invented", "mixed"]),
    role=st.sampled_from(["pretrain", "evaluated"]),
)
def test_names_are_of_the_asked_words_and_role(n: int, seed: int, kind: Words, role: Role) -> None:
    names = make_world(n, seed=seed, words=kind, role=role).names
    assert all(is_novel_word(word) == (kind == "novel") for name in names for word in name.split())
    assert all(is_pretrain_name(name) == (role == "pretrain") for name in names)


def test_facts_have_the_types_and_the_name_of_their_relation() -> None:
    for fact in all_facts():
        relation = BY_ID[str(fact.relation.id)]
        assert (fact.relation.name, fact.head.type, fact.tail.type) == (relation.name, relation.head, relation.tail)
        assert fact.head.id != fact.tail.id


def test_an_entity_has_one_name_and_a_name_one_entity() -> None:
    for facts in small_worlds().kbs.values():
        pairs = {(entity.id, entity.name) for fact in facts for entity in (fact.head, fact.tail)}
        assert len({i for i, _ in pairs}) == len({name for _, name in pairs}) == len(pairs)


def test_sentences_say_head_tail_and_months() -> None:
    for fact in all_facts():
        sentence = fact.context.sent_span
        assert fact.head.name in sentence
        assert fact.tail.name in sentence
        if BY_ID[str(fact.relation.id)].successive:
            since, until = render_month(fact.window, end=False), render_month(fact.window, end=True)
            assert f"from {since} until {until}" in sentence.replace("From", "from")
        else:
            assert not re.search("[0-9]", sentence)


def test_successive_holders_never_overlap_and_timeless_facts_hold_always() -> None:
    horizon = Window(day(f"{HORIZON[0]}-01-01"), day(f"{HORIZON[1]}-01-01"), "test")
    for facts in small_worlds().kbs.values():
        groups: dict[tuple[str, str], list[FiveTuple]] = defaultdict(list)
        for fact in facts:
            groups[fact.head.name, str(fact.relation.id)].append(fact)
        for (_, relation), group in groups.items():
            if BY_ID[relation].successive:
                assert all(fact.window.overlaps(horizon) for fact in group)
                assert all(fact.window.clip(horizon).overlap_days(fact.window) >= 365 for fact in group)
                assert not any(a.window.overlaps(b.window) for a in group for b in group if a is not b)
                assert len({fact.tail.name for fact in group}) == len(group)
            else:
                assert len(group) == 1
                assert (group[0].window.start, group[0].window.end, group[0].window.known) == (None, None, True)


def test_nobody_follows_himself_or_holds_an_office_of_his_own_even_where_few_answers_are_shared() -> None:
    holders: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for seed in range(5):
        for fact in make_world(200, seed=seed, max_answer_share=0.5).facts:
            holders[fact.head.name, fact.relation.id, seed].append(fact.tail.name)
    for (head, _, _), tails in holders.items():
        assert len(set(tails)) == len(tails)
        assert head not in tails


def test_gaps_and_open_ends_occur() -> None:
    windows = [fact.window for fact in all_facts() if BY_ID[str(fact.relation.id)].successive]
    assert any(window.start is None for window in windows)
    assert any(window.end is None for window in windows)
    ends = {(f.head.name, f.relation.id, f.window.end) for f in all_facts() if f.window.end is not None}
    later = [f for f in all_facts() if f.window.start is not None]
    touching = sum((fact.head.name, fact.relation.id, fact.window.start) in ends for fact in later)
    assert 0.3 < touching / len(later) < 0.9


@pytest.mark.parametrize(
    ("n", "expected"),
    [(len(RELATIONS) - 1, f"at least {len(RELATIONS)} facts"), (200_000, r"fewer facts.*params\.yaml")],
)
def test_a_world_too_small_or_too_large_is_refused_in_one_sentence(n: int, expected: str) -> None:
    with pytest.raises(DataError, match=expected) as caught:
        make_world(n, seed=0)
    assert "\n" not in str(caught.value)


def test_names_drawn_are_new_each_time() -> None:
    taken = {"Nobody"}
    makers = [NameMaker(random.Random(0), "novel", "evaluated", taken) for _ in range(2)]
    drawn = [maker.draw("PERSON") for _ in range(100) for maker in makers]
    assert len(set(drawn)) == len(drawn)
    assert taken == {"Nobody", *drawn}


@pytest.mark.parametrize("entity_type", NAME_POOLS)
def test_invented_words_are_no_novel_words_and_seldom_known_ones(entity_type: str) -> None:
    maker = NameMaker(random.Random(0), "invented", "pretrain", set())
    drawn = [word for _ in range(300) for word in maker.draw(entity_type).split()]
    every = {word.casefold() for pool in POOLS for kind in ("known", "novel") for word in name_words(pool, kind)}
    novel = {word.casefold() for pool in POOLS for word in name_words(pool, "novel")}
    assert not novel & {word.casefold() for word in drawn}
    assert sum(word.casefold() in every for word in drawn) < 0.1 * len(drawn)
    assert len(set(drawn)) > 0.5 * len(drawn)
    assert all(len(word) > 3 for word in drawn)


def test_about_half_of_the_words_of_mixed_names_are_invented() -> None:
    maker = NameMaker(random.Random(0), "mixed", "evaluated", set())
    drawn = [word for _ in range(300) for word in maker.draw("PERSON").split()]
    known = {word.casefold() for pool in POOLS for word in name_words(pool, "known")}
    novel = {word.casefold() for pool in POOLS for word in name_words(pool, "novel")}
    assert not novel & {word.casefold() for word in drawn}
    assert 0.4 < sum(word.casefold() in known for word in drawn) / len(drawn) < 0.65


def test_invented_words_look_like_names() -> None:
    """Names of the other worlds start with a capital and go on in small letters; so must these."""
    names = make_world(100, seed=0, words="invented").names
    assert all(re.fullmatch(r"[^\W\d_]+ [^\W\d_]+", name) for name in names)
    assert all(word == word[0].upper() + word[1:].lower() for name in names for word in name.split())
