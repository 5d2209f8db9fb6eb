"""Segments are derived: they give the same as the facts, open without a text, and may be lost or damaged."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from kblampp.base.editing import changed, fact_of
from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.core.files import MANIFEST
from kblampp.encoding.projections import fit_projections
from kblampp.index.half_index import INDEX
from kblampp.snapshots import segments
from kblampp.snapshots.compaction import Compactor
from kblampp.snapshots.fact_encoder import FactEncoder
from kblampp.snapshots.snapshot import Snapshot
from tests.kb import ENCODERS, WIDTHS, make_facts
from tests.unit.snapshots.test_snapshot import same

FACTS = make_facts()


@pytest.fixture(autouse=True)
def _small_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kblampp.snapshots.snapshot.WORTH", 1)


@pytest.fixture(scope="module")
def encoder() -> FactEncoder:
    return FactEncoder(ENCODERS, fit_projections(FACTS, ENCODERS, **WIDTHS))


@pytest.fixture
def base(tmp_path: Path) -> KnowledgeBase:
    made = KnowledgeBase.create(tmp_path / "my.kb")
    made.add(FACTS)
    return made


def from_nothing(base: KnowledgeBase, encoder: FactEncoder, version: int) -> Snapshot:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kblampp.snapshots.segments.nearest", lambda *_: None)
        patch.setattr("kblampp.snapshots.segments.keep", lambda *_: False)
        patch.setattr("kblampp.snapshots.rows.MANY", 1 << 30)
        return Snapshot.of(base, encoder, version)


def kept(base: KnowledgeBase) -> list[str]:
    return sorted(path.name for path in (base.path / segments.FOLDER).glob("[0-9]*"))


@pytest.mark.parametrize("many", [1 << 30, 1], ids=["in memory", "in files"])
@pytest.mark.parametrize("small", [1 << 8, 1 << 16], ids=["mapped", "read whole"])
def test_a_state_of_a_segment_is_the_state_made_from_nothing(
    base: KnowledgeBase, encoder: FactEncoder, small: int, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, after changes, back again, and after what is late was compacted; by another connection too."""
    monkeypatch.setattr("kblampp.core.files._SMALL", small)
    monkeypatch.setattr("kblampp.snapshots.rows.MANY", many)
    monkeypatch.setattr("kblampp.snapshots.rows.BLOCK", 5)
    first = base.version
    same(Snapshot.of(base, encoder, first), from_nothing(base, encoder, first), encoder)
    base.change(2, changed(FACTS[1], tail="Somebody Else"))
    base.delete([1, 4])
    base.add([fact_of("New Name", "likes", "42"), fact_of(FACTS[0].head.name, FACTS[0].relation.name, "Ada Low")])
    with KnowledgeBase.open(base.path) as other:
        late = Snapshot.of(other, encoder, other.version)
        expected = from_nothing(base, encoder, base.version)
        same(late, expected, encoder)
        same(late.compacted(), expected, encoder)
        assert late.keep(other, encoder)
        again = Snapshot.of(other, encoder, other.version)
        same(again, expected, encoder)
        same(again.moved(other, encoder, first), from_nothing(base, encoder, first), encoder)
        same(Snapshot.of(other, encoder, first), from_nothing(base, encoder, first), encoder)
    assert len(kept(base)) == 1, "the earlier one has gone"


@pytest.fixture
def _indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All bases are large."""
    monkeypatch.setattr("kblampp.snapshots.rows.MANY", 1)
    monkeypatch.setattr("kblampp.index.automatic.FLAT", 8)
    monkeypatch.setattr("kblampp.index.half_index.FLAT", 8)


@pytest.mark.usefixtures("_indexed")
def test_a_large_base_has_an_index_beside_it_and_what_differs_is_found_too(
    base: KnowledgeBase, encoder: FactEncoder
) -> None:
    Snapshot.of(base, encoder, base.version)
    (folder,) = (base.path / segments.FOLDER).iterdir()  # and no folder in which it was made
    assert (folder / INDEX).is_file()
    new = base.add_fact("New Name", "likes", "42")
    base.delete([1])
    state = Snapshot.of(base, encoder, base.version)
    live, n = state.base, len(FACTS)
    assert live is not None
    scores, keys = live.index.search(live.store.keys.astype(np.float32), n)
    own = np.einsum("qd,qkd->qk", live.store.keys.astype(np.float64), live.store.keys_of(keys).astype(np.float64))
    found = keys >= 0
    np.testing.assert_allclose(scores[found], own[found], rtol=1e-5)
    assert (scores[:, 1:] <= scores[:, :-1]).all()
    (row,) = np.flatnonzero(state.ids == new)
    assert keys[row, 0] == row
    assert 1 not in state.ids
    ranks = [len(set(keys[each][found[each]])) == found[each].sum() for each in range(len(keys))]
    assert all(ranks), "each key once"


@pytest.mark.usefixtures("_indexed")
def test_an_index_that_is_lost_is_made_anew(
    base: KnowledgeBase, encoder: FactEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    Snapshot.of(base, encoder, base.version)
    (folder,) = (base.path / segments.FOLDER).iterdir()
    before = (folder / INDEX).read_bytes()
    (folder / INDEX).unlink()
    with caplog.at_level(logging.WARNING):
        Snapshot.of(base, encoder, base.version)
    assert any("passed over" in record.message for record in caplog.records)
    assert (folder / INDEX).read_bytes() == before


def test_opening_a_segment_reads_no_text_and_asking_for_a_fact_reads_one(
    base: KnowledgeBase, encoder: FactEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    Snapshot.of(base, encoder, base.version)
    read: list[int] = []
    whole = KnowledgeBase.contents
    monkeypatch.setattr(KnowledgeBase, "contents", lambda own, numbers: read.extend(numbers) or whole(own, numbers))
    state = Snapshot.of(base, encoder, base.version)
    assert state.base is not None
    assert state.base.order.same(0, inverse=False)
    assert state.base.names.heads[torch.arange(len(FACTS))].shape == (len(FACTS),)
    assert read == []
    assert state.facts[3] == state.facts[3] == FACTS[3]
    assert len(read) == 1


def truncate(folder: Path) -> None:
    (folder / "values.npy").unlink(missing_ok=True)
    file = max(folder.rglob("*.npy"), key=lambda path: path.stat().st_size)
    file.write_bytes(file.read_bytes()[:-1])


def another_format(folder: Path) -> None:
    manifest = folder / MANIFEST
    own = f'"format": {segments.FORMAT}'
    manifest.write_text(manifest.read_text(encoding="utf-8").replace(own, '"format": 0'), encoding="utf-8")


def another_base(folder: Path) -> None:
    manifest = folder / MANIFEST
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace('"token": "', '"token": "0'), encoding="utf-8")


@pytest.mark.parametrize(
    "harm",
    [
        truncate,
        another_format,
        another_base,
        lambda folder: (folder / MANIFEST).unlink(),
        lambda folder: (folder / MANIFEST).write_bytes(b"\xff{"),
        lambda folder: (folder / "keys.faiss").unlink(),
    ],
    ids=["truncated", "of another format", "of another base", "without manifest", "unreadable", "without keys"],
)
def test_a_segment_that_does_not_fit_is_passed_over_with_a_line_and_made_anew(
    base: KnowledgeBase, encoder: FactEncoder, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    expected = from_nothing(base, encoder, base.version)
    Snapshot.of(base, encoder, base.version)
    (folder,) = (base.path / segments.FOLDER).iterdir()
    harm(folder)
    with caplog.at_level(logging.WARNING):
        same(Snapshot.of(base, encoder, base.version), expected, encoder)
    assert len([record for record in caplog.records if "passed over" in record.message]) == 1
    caplog.clear()
    same(Snapshot.of(base, encoder, base.version), expected, encoder)
    assert not caplog.records


def test_a_segment_that_cannot_be_read_back_costs_one_try(
    base: KnowledgeBase, encoder: FactEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = from_nothing(base, encoder, base.version)
    monkeypatch.setattr("kblampp.snapshots.segments.nearest", lambda *_: None)
    same(Snapshot.of(base, encoder, base.version), expected, encoder)


def test_a_question_about_the_past_leaves_the_segment_of_the_present(
    base: KnowledgeBase, encoder: FactEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kblampp.snapshots.snapshot.FEW", 2)
    first = base.version
    base.delete(list(range(1, 10)))
    Snapshot.of(base, encoder, base.version)
    present = kept(base)
    past = Snapshot.of(base, encoder, first)
    same(past, from_nothing(base, encoder, first), encoder)
    compactor = Compactor(encoder)
    compactor.look_at(base, past)
    compactor.wait()
    assert kept(base) == present


def test_segments_may_be_removed_while_they_are_read(base: KnowledgeBase, encoder: FactEncoder) -> None:
    state = Snapshot.of(base, encoder, base.version)
    shutil.rmtree(base.path / segments.FOLDER, ignore_errors=True)
    same(state, from_nothing(base, encoder, base.version), encoder)


def test_a_segment_is_of_one_encoder(base: KnowledgeBase, encoder: FactEncoder) -> None:
    other = FactEncoder(ENCODERS, fit_projections(FACTS, ENCODERS, **WIDTHS | {"d_ctx": WIDTHS["d_ctx"] // 2}))
    for made in (encoder, other, encoder):
        state = Snapshot.of(base, made, base.version)
        assert state.base is not None
        assert state.base.store.ctx.shape[1] == made.projections.d_ctx
    assert len(kept(base)) == 2
    segments.forget_others(base, encoder.fingerprint)
    assert kept(base) == [f"{base.version}-{encoder.fingerprint[:16]}"]


def test_who_only_reads_writes_no_segment(base: KnowledgeBase, encoder: FactEncoder) -> None:
    with KnowledgeBase.open(base.path, read_only=True) as reader:
        Snapshot.of(reader, encoder, reader.version)
    assert kept(base) == []


def test_what_a_kill_has_left_is_removed_when_it_is_old(base: KnowledgeBase, encoder: FactEncoder) -> None:
    old, new = (base.path / segments.FOLDER / f".{name}.tmp" for name in ("old", "new"))
    for path in (old, new):
        path.mkdir(parents=True)
    os.utime(old, (0, 0))
    Snapshot.of(base, encoder, base.version)
    assert not old.exists()
    assert new.exists(), "somebody may be writing to it"


def test_the_next_segment_is_made_beside_the_one_that_is_read(
    base: KnowledgeBase, encoder: FactEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kblampp.snapshots.snapshot.FEW", 12)
    compactor, state = Compactor(encoder), Snapshot.of(base, encoder, base.version)
    compactor.look_at(base, state)
    assert not compactor.busy, "nothing is late"
    base.add([fact_of("New Name", "likes", str(number)) for number in range(6)])
    late = state.moved(base, encoder, base.version)
    assert late.many_late
    compactor.look_at(base, late)
    compactor.wait()
    made = compactor.take(base)
    assert made is not None
    assert not made.many_late
    assert compactor.take(base) is None
    same(made, late, encoder)
    base.add([fact_of("New Name", "likes", "one more")])
    same(made.moved(base, encoder, base.version), late.moved(base, encoder, base.version), encoder)
    assert kept(base) == [f"{made.version}-{encoder.fingerprint[:16]}"]


def test_a_change_of_what_is_kept_raises_the_format(base: KnowledgeBase, encoder: FactEncoder) -> None:
    """Segments that are there would go on to be read: raise `segments.FORMAT`, then renew the digest."""
    base.add([fact_of("Łódź N40", "price", "€4.50")])
    Snapshot.of(base, encoder, base.version)
    (folder,) = (base.path / segments.FOLDER).iterdir()
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("name_*.npy"), key=lambda path: path.as_posix()):
        array = np.load(path)
        digest.update(f"{path.name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    digest.update("\n".join(names).encode())
    assert (segments.FORMAT, digest.hexdigest()[:16]) == (2, "6f2866a39d4ad5f8")
