"""What a model reads of a living base: the arrays of one state, each distinct fact encoded once."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kblampp.base.editing import changed, fact_of
from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.base.vectors import VectorTable
from kblampp.core.errors import DataError
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.projections import fit_projections
from kblampp.encoding.store import KBValueStore
from kblampp.snapshots.fact_encoder import FactEncoder
from kblampp.snapshots.snapshot import Snapshot
from tests.encoders import Counting
from tests.kb import ENCODERS, WIDTHS, make_facts

FACTS = make_facts()


@pytest.fixture
def base(tmp_path: Path) -> KnowledgeBase:
    made = KnowledgeBase.create(tmp_path / "my.kb")
    made.add(FACTS)
    return made


@pytest.fixture(scope="module")
def encoder_of_all() -> FactEncoder:
    return FactEncoder(ENCODERS, fit_projections(FACTS, ENCODERS, **WIDTHS))


@pytest.fixture
def counting() -> tuple[Counting, FactEncoder]:
    counter = Counting(24)
    encoders = Encoders.of(counter)
    encoder = FactEncoder(encoders, fit_projections(FACTS, encoders, **WIDTHS))
    return counter, FactEncoder(Encoders.of(counter), encoder.projections)  # without what the fit has encoded


def test_a_snapshot_is_the_store_that_the_pipeline_would_make(
    base: KnowledgeBase, counting: tuple[Counting, FactEncoder], tmp_path: Path
) -> None:
    encoder = counting[1]
    snapshot = Snapshot.of(base, encoder, base.version)
    store = KBValueStore.build(tmp_path / "kb", FACTS, encoder.encoders, encoder.projections)
    assert snapshot.base is not None
    read = snapshot.base.store
    for name in ("keys", "values", "ctx", "tau_min", "tau_max", "head_ids", "tail_ids", "rel_ids"):
        np.testing.assert_array_equal(getattr(read, name), getattr(store, name), err_msg=name)
    assert list(read.facts) == store.facts
    assert read.horizon == store.horizon
    assert snapshot.ids.tolist() == list(range(1, len(FACTS) + 1))


def test_a_state_of_the_past_is_read_as_it_was(base: KnowledgeBase, counting: tuple[Counting, FactEncoder]) -> None:
    before = base.version
    base.delete([1, 2])
    base.change(3, changed(FACTS[2], tail="Somebody Else"))
    now, then = (Snapshot.of(base, counting[1], version) for version in (base.version, before))
    assert now.base is not None
    assert then.base is not None
    assert list(then.base.store.facts) == FACTS
    assert list(now.base.store.facts) == [changed(FACTS[2], tail="Somebody Else"), *FACTS[3:]]


def test_each_content_is_encoded_once_over_all_states_and_processes(
    base: KnowledgeBase, counting: tuple[Counting, FactEncoder]
) -> None:
    """An undone change and a second process need no encoder; a change needs it for one fact."""
    counter, encoder = counting
    VectorTable(base.database, encoder).rows(FACTS)
    counter.seen.clear()
    fresh = FactEncoder(Encoders.of(counter), encoder.projections)
    base.change(1, changed(FACTS[0], context="the sentence"))
    Snapshot.of(base, fresh, base.version)
    assert counter.seen.count("the sentence") == 1
    assert len(counter.seen) <= 4  # its names, relation and sentence
    counter.seen.clear()
    base.undo()
    with KnowledgeBase.open(base.path) as other:
        Snapshot.of(other, FactEncoder(Encoders.of(counter), encoder.projections), other.version)
    assert counter.seen == []


def test_vectors_of_another_model_are_made_anew_and_the_old_ones_forgotten(
    base: KnowledgeBase, counting: tuple[Counting, FactEncoder]
) -> None:
    encoder = counting[1]
    Snapshot.of(base, encoder, base.version)
    wider = fit_projections(FACTS, encoder.encoders, **WIDTHS | {"d_ctx": WIDTHS["d_ctx"] // 2})
    other = FactEncoder(encoder.encoders, wider)
    snapshot = Snapshot.of(base, other, base.version)
    assert snapshot.base is not None
    assert snapshot.base.store.ctx.shape[1] == wider.d_ctx
    assert VectorTable(base.database, other).forget_others() == len(FACTS)
    assert VectorTable(base.database, other).forget_others() == 0


@pytest.mark.parametrize("how", ["read_only", "busy"])
def test_who_cannot_write_reads_all_the_same(
    base: KnowledgeBase, counting: tuple[Counting, FactEncoder], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kblampp.base.database.WAIT_S", 0.01)
    with KnowledgeBase.open(base.path, read_only=how == "read_only") as reader, base.database.writing():
        assert len(Snapshot.of(reader, counting[1], reader.version).facts) == len(FACTS)


def test_a_base_without_facts_has_nothing_to_read(tmp_path: Path, counting: tuple[Counting, FactEncoder]) -> None:
    with KnowledgeBase.create(tmp_path / "empty.kb") as empty:
        assert Snapshot.of(empty, counting[1], empty.version).base is None


def test_entities_are_one_by_their_name(base: KnowledgeBase, counting: tuple[Counting, FactEncoder]) -> None:
    number = base.add([fact_of(FACTS[0].tail.name, "hobby", "chess")])[0]
    snapshot = Snapshot.of(base, counting[1], base.version)
    assert snapshot.base is not None
    row = snapshot.ids.tolist().index(number)
    assert snapshot.base.store.head_ids[row] == snapshot.base.store.tail_ids[0]


@given(
    kept=st.lists(st.integers(0, len(FACTS) - 1), unique=True, min_size=1),
    changed_tails=st.dictionaries(st.integers(0, len(FACTS) - 1), st.sampled_from(["Ada Low", "New Name", "42"])),
    added=st.integers(0, 3),
    few=st.sampled_from([0, 1000]),
)
@settings(max_examples=40, deadline=None)
def test_a_state_made_of_another_is_the_state_made_from_nothing(
    encoder_of_all: FactEncoder,
    kept: list[int],
    changed_tails: dict[int, str],
    added: int,
    few: int,
) -> None:
    """There and back again: names, order, arrays and what a search finds; whether or not the index is built anew."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("kblampp.snapshots.snapshot.FEW", few)
        base = KnowledgeBase.create(Path(folder) / "a.kb")
        base.add(FACTS)
        first = ready(Snapshot.of(base, encoder_of_all, base.version))
        for row, tail in changed_tails.items():
            with contextlib.suppress(DataError):  # it may say so already
                base.change(row + 1, changed(FACTS[row], tail=tail))
        base.delete([row + 1 for row in range(len(FACTS)) if row not in kept])
        if added:
            base.add([fact_of("New Name", "likes", str(number)) for number in range(added)])
        versions = range(first.version, base.version + 1)
        second = ready(first.moved(base, encoder_of_all, base.version))
        same(second, Snapshot.of(base, encoder_of_all, base.version), encoder_of_all)
        same(second.moved(base, encoder_of_all, first.version), first, encoder_of_all)
        state = first
        for version in (*versions, *reversed(versions)):  # a call at a time, from which another state branches off
            state = ready(state.moved(base, encoder_of_all, version))
            same(ready(state.moved(base, encoder_of_all, base.version)), second, encoder_of_all)
        same(state, first, encoder_of_all)


def ready(state: Snapshot) -> Snapshot:
    """As after a question: what the next state can take over is there."""
    assert state.base is not None
    assert state.base.order is not None
    assert state.base.by_head is not None
    return state


def same(one: Snapshot, other: Snapshot, encoder: FactEncoder) -> None:
    """Whether a model reads the same of two states; numbers of names and entities may differ."""
    assert one.ids.tolist() == other.ids.tolist()
    assert list(one.facts) == list(other.facts)
    assert one.base is not None
    assert other.base is not None
    for name in ("keys", "values", "ctx", "tau_min", "tau_max"):
        np.testing.assert_array_equal(getattr(one.base.store, name), getattr(other.base.store, name), err_msg=name)
    every = torch.arange(len(one.facts))
    for name in ("before", "after", "timed", "several", "inverse_several"):
        assert torch.equal(*(getattr(state.base.order, name)[every] for state in (one, other))), name
    for inverse, fact in itertools.product((False, True), range(len(one.facts))):
        assert one.base.order.same(fact, inverse=inverse) == other.base.order.same(fact, inverse=inverse)
    withheld = torch.arange(len(one.facts))[:, None] // 2
    assert one.base.store.horizon == other.base.store.horizon
    for ends in zip(*(state.base.by_head.ends[every].T.contiguous() for state in (one, other)), strict=True):
        for gone in (None, withheld):
            left, right = (state.base.by_head.about(end, gone) for state, end in zip((one, other), ends, strict=True))
            assert torch.equal(left, right)
            counts = [state.base.by_head.relations_of(end, gone) for state, end in zip((one, other), ends, strict=True)]
            assert torch.equal(*counts)
    tables = (one.base.names, other.base.names)
    for name in ("grams", "words", "shares", "uses", "numbers", "label_words", "proper"):
        for part in ("heads", "tails", "relations"):
            left, right = (getattr(table, name)[getattr(table, part)[every]] for table in tables)
            assert torch.equal(left, right), (name, part)
    n = len(one.facts)
    assert one.base.index.n == other.base.index.n == 2 * n
    queries = np.random.default_rng(0).standard_normal((5, encoder.projections.d_k)).astype(np.float32)
    queries = np.concatenate([queries, one.base.store.keys[:3].astype(np.float32)])
    for k in (1, min(9, 2 * n), 2 * n):
        (scores, rows), (expected, wanted) = (state.base.index.search(queries, k) for state in (one, other))
        np.testing.assert_array_equal(rows, wanted)
        np.testing.assert_array_equal(scores, expected)


def test_a_fact_that_changes_again_and_again_leaves_nothing_behind(
    base: KnowledgeBase, encoder_of_all: FactEncoder
) -> None:
    """What every search compares one by one stays as small as what differs."""
    before = base.version
    base.change(1, changed(FACTS[0], tail="Somebody Else"))
    now = base.version
    earlier = state = ready(Snapshot.of(base, encoder_of_all, before))
    for number in range(1000):
        state = state.moved(base, encoder_of_all, before if number % 2 else now)
        if number == 500:
            earlier = ready(state)
    assert state._indexed is not None
    assert len(state._indexed.late) <= 2
    assert len(state._indexed.keys) <= 4
    for kept in (ready(state), earlier):
        same(kept, ready(Snapshot.of(base, encoder_of_all, kept.version)), encoder_of_all)
