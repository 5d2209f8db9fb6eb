from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from kblampp.core.errors import DataError, KBLaMError, StoreError
from kblampp.data.facts import Context, Entity, FiveTuple, Relation, evidence_sentence
from kblampp.data.windows import OPEN_END, OPEN_START, UNKNOWN, UNKNOWN_DAY, Window, day, year_window
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.projections import Projections, fit_projections
from kblampp.encoding.sentence_encoder import DeterministicEncoder, DoubleArray
from kblampp.encoding.store import KBValueStore
from tests.encoders import Counting, Reversed

ENCODER, RELATIONS = DeterministicEncoder(48), Reversed(48)
QUESTIONS = {"train": ["Who led Town 1?", "Who led Town 2?", "Who led Town 1?"], "dev": ["Town 1"]}
WIDTHS = {"d_k": 40, "d_v": 24, "d_ctx": 8, "d_tau": 4}


def make_fact(head: str, tail: str, window: Window, *, head_id: str | None = None, span: str = "") -> FiveTuple:
    entities = Entity(head_id, head), Entity(None, tail)
    return FiveTuple(entities[0], Relation("R1", "leader"), entities[1], Context("test", sent_span=span), window)


FACTS = [
    make_fact("Town 1", "Ada Low", year_window(2000), head_id="E1", span="Ada Low led Town 1."),
    make_fact("Town 1", "Bo High", Window(day("2001-01-01"), None), head_id="E1"),
    make_fact("Ada Low", "Cy Mid", Window(None, day("1990-05-06"))),
    make_fact("Town 1", "Ada Low", UNKNOWN, head_id="E2", span="Another Town 1."),
]


@pytest.fixture(scope="module")
def projections() -> Projections:
    return fit_projections(FACTS, Encoders.of(ENCODER, RELATIONS), **WIDTHS)


def build(
    directory: Path, projections: Projections, facts: Sequence[FiveTuple] = FACTS, **changes: object
) -> KBValueStore:
    arguments = {"encoders": Encoders.of(ENCODER, RELATIONS), "questions": QUESTIONS, **changes}
    return KBValueStore.build(directory, facts, projections=projections, **arguments)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path, projections: Projections) -> KBValueStore:
    return build(tmp_path / "store", projections)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_arrays_are_what_the_projections_make(tmp_path: Path, projections: Projections, dtype: str) -> None:
    build(tmp_path / "store", projections, dtype=dtype)
    store = KBValueStore.load(tmp_path / "store", projections.fingerprint)
    heads = ENCODER.encode([f.head.name for f in FACTS])
    tails = ENCODER.encode([f.tail.name for f in FACTS])
    relations = ENCODER.encode([f.relation.name for f in FACTS])[:, ::-1]
    contexts = ENCODER.encode([evidence_sentence(f) for f in FACTS])
    assert store.keys.dtype == store.values.dtype == store.ctx.dtype == np.dtype(dtype)
    tolerance = 1e-3 if dtype == "float16" else 1e-6
    assert store.keys.shape == (2 * len(FACTS), 40)
    np.testing.assert_allclose(store.keys[:4], projections.keys(heads, relations), atol=tolerance)
    np.testing.assert_allclose(store.keys[4:], projections.keys(tails, relations), atol=tolerance)
    values = projections.values(tails, contexts, store.tau_min, store.tau_max)
    np.testing.assert_allclose(store.values, values, atol=tolerance)
    np.testing.assert_allclose(store.ctx, projections.contexts(contexts), atol=tolerance)
    np.testing.assert_allclose(store.sentence_vectors, contexts, atol=tolerance)
    asked = ENCODER.encode(QUESTIONS["train"])
    questions = np.concatenate([asked, asked[:, ::-1]], axis=1)
    np.testing.assert_allclose(store.question_vectors("train"), questions, atol=tolerance)


def test_keys_and_values_stay_on_disk(store: KBValueStore) -> None:
    assert isinstance(store.keys, np.memmap)
    assert isinstance(store.values, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        store.keys[0] = 0


def test_facts_come_back_in_order(store: KBValueStore) -> None:
    assert store.n == len(FACTS)
    assert store.facts == FACTS


def test_windows_keep_open_and_unknown_apart(store: KBValueStore) -> None:
    assert store.tau_min.tolist() == [day("2000-01-01"), day("2001-01-01"), OPEN_START, UNKNOWN_DAY]
    assert store.tau_max.tolist() == [day("2001-01-01"), OPEN_END, day("1990-05-06"), UNKNOWN_DAY]
    assert store.horizon == (day("1990-05-06"), day("2001-01-01"))


def test_horizon_is_a_window_even_without_two_finite_days(tmp_path: Path, projections: Projections) -> None:
    for name, windows in {"none": [UNKNOWN], "one": [Window(day("2000-01-01"), None)]}.items():
        facts = [make_fact("Town 1", "Ada Low", window) for window in windows]
        first, last = build(tmp_path / name, projections, facts).horizon
        assert Window(first, last).known


def test_ids_are_shared_by_heads_and_tails_and_tell_homonyms_apart(store: KBValueStore) -> None:
    assert store.head_ids[0] == store.head_ids[1] != store.head_ids[3]
    assert store.tail_ids[0] == store.head_ids[2] == store.tail_ids[3]
    assert len(set(store.rel_ids.tolist())) == 1


def test_each_encoder_gets_what_it_is_for_and_each_distinct_string_once(tmp_path: Path) -> None:
    names, relations = Counting(48), Reversed(48)
    encoders = Encoders.of(names, relations)
    projections = fit_projections(FACTS, encoders, **WIDTHS)
    fitted = list(relations.seen)
    build(tmp_path / "s", projections, encoders=encoders)
    for seen in (names.seen, relations.seen):
        assert len(seen) == len(set(seen))
    asked = {text for texts in QUESTIONS.values() for text in texts}
    ends = {entity.name for fact in FACTS for entity in (fact.head, fact.tail)}
    assert set(names.seen) == ends | asked | {evidence_sentence(fact) for fact in FACTS}
    assert set(relations.seen) == {"leader"} | asked | set(fitted)
    before = encoders.n_encoded
    build(tmp_path / "again", projections, encoders=encoders)
    assert encoders.n_encoded == before


def test_building_twice_gives_equal_bytes(tmp_path: Path, projections: Projections) -> None:
    for name in ("a", "b"):
        build(tmp_path / name, projections)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert Path("K.npy") in files
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_tensors_are_float32_and_made_once(store: KBValueStore) -> None:
    tensors = store.tensors("cpu")
    assert tensors.keys.dtype == tensors.values.dtype == tensors.ctx.dtype == torch.float32
    assert store.tensors("cpu") is tensors
    assert store.tensors("cpu", torch.float64).keys.dtype == torch.float64
    np.testing.assert_array_equal(tensors.keys.numpy(), store.keys.astype(np.float32))
    assert int(tensors.tau_max[1] - tensors.tau_min[2]) == OPEN_END - OPEN_START


@pytest.mark.parametrize("name", ["K.npy", "V.npy", "meta/ctx_vec.npy", "meta/tau_min.npy", "meta/entity_ids.npy"])
@pytest.mark.parametrize("verify", ["sha256", "size", "none"])
def test_truncated_array_is_refused(store: KBValueStore, name: str, verify: str) -> None:
    path = store.directory / name
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(StoreError, match=r"dvc repro encode") as caught:
        KBValueStore.load(store.directory, verify=verify)  # type: ignore[arg-type]
    assert name in str(caught.value)


def test_changed_byte_is_refused(store: KBValueStore) -> None:
    path = store.directory / "V.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(StoreError, match=r"V\.npy"):
        KBValueStore.load(store.directory)


def test_array_of_another_shape_is_refused_even_unverified(store: KBValueStore) -> None:
    np.save(store.directory / "K.npy", np.array(store.keys[: store.n]))  # a store without inverse keys
    with pytest.raises(StoreError, match=r"K\.npy has shape \(4, 40\)"):
        KBValueStore.load(store.directory, verify="none")


def test_fact_file_of_another_length_is_refused(store: KBValueStore) -> None:
    path = store.directory / "facts.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(StoreError, match="3 facts, expected 4"):
        _ = KBValueStore.load(store.directory, verify="none").facts


def test_store_of_another_projection_is_refused(store: KBValueStore) -> None:
    with pytest.raises(StoreError, match=r"projection.*dvc repro encode"):
        KBValueStore.load(store.directory, "f" * 64)


@pytest.mark.parametrize(
    "encoders", [Encoders.of(ENCODER), Encoders.of(RELATIONS, RELATIONS)], ids=["of relations", "of names"]
)
def test_encoder_that_is_not_the_projections_is_refused(
    tmp_path: Path, projections: Projections, encoders: Encoders
) -> None:
    with pytest.raises(StoreError, match="fitted on encoder"):
        build(tmp_path / "s", projections, encoders=encoders)
    assert not (tmp_path / "s").exists()


def test_vectors_of_another_width_are_refused(tmp_path: Path, projections: Projections) -> None:
    narrow = Counting(5)
    narrow.fingerprint = ENCODER.fingerprint
    with pytest.raises(StoreError, match="width 5"):
        build(tmp_path / "s", projections, encoders=Encoders.of(narrow, RELATIONS))


def test_manifest_without_its_fields_is_refused(store: KBValueStore) -> None:
    path = store.directory / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["dims"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match="manifest lacks"):
        KBValueStore.load(store.directory)


def test_missing_store_names_the_stage(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="dvc repro encode"):
        KBValueStore.load(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"dtype": "int8"}, StoreError, r"encoder\.store_dtype"),
        ({"facts": []}, DataError, "at least one fact"),
        ({"questions": {"../up": ["a"]}}, StoreError, "file name"),
    ],
)
def test_bad_arguments_leave_nothing_behind(
    tmp_path: Path, projections: Projections, changes: dict[str, object], error: type[KBLaMError], message: str
) -> None:
    with pytest.raises(error, match=message):
        build(tmp_path / "s", projections, **changes)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_failed_rebuild_keeps_the_former_store(store: KBValueStore, projections: Projections) -> None:
    class Broken(Counting):
        def encode(self, texts: Sequence[str], *, progress: bool = False) -> DoubleArray:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(store.directory, projections, encoders=Encoders.of(Broken(48), RELATIONS))
    assert KBValueStore.load(store.directory).n == len(FACTS)


def test_changed_questions_of_equal_number_are_noticed(store: KBValueStore) -> None:
    texts = QUESTIONS["train"]
    assert store.encoded("train", texts)
    assert not store.encoded("train", [texts[0], texts[1], "Who led Town 3?"])
    assert not store.encoded("train", [texts[1], texts[0], texts[2]])
    assert not store.encoded("train", texts[:2])
    assert not store.encoded("swap", texts)


def test_unknown_split_names_those_there_are(store: KBValueStore) -> None:
    with pytest.raises(StoreError, match="dev, train"):
        store.question_vectors("swap")
