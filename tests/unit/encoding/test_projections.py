from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from kblampp.core.errors import DataError, ParamsError, StoreError
from kblampp.data.calendar import FIRST_DAY, LAST_DAY
from kblampp.data.facts import Context, Entity, FiveTuple, Relation, evidence_sentence, key_phrase
from kblampp.data.windows import UNKNOWN, Window, day, window_bounds, year_window
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.linear_maps import fit_whitened, unit
from kblampp.encoding.projections import Projections, TauEncoder, fit_projections, general_relation_labels
from kblampp.encoding.sentence_encoder import DeterministicEncoder
from tests.encoders import Reversed

D_SENT = 24
WIDTHS = {"d_k": 40, "d_v": 24, "d_ctx": 8, "d_tau": 4}


def random_vectors(n: int, seed: int, width: int = D_SENT) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, width)) * np.geomspace(1, 0.05, width) + 0.3).astype(np.float32)


def fit(n: int = 60, **changes: float) -> Projections:
    arguments = {**WIDTHS, "whitening": 0.5, **changes}
    vectors = [random_vectors(n, seed) for seed in range(3)]
    return Projections.fit(*vectors, encoder_name="test", encoder_fingerprint="mark", **arguments)


def test_plain_pca_gives_uncorrelated_scores_of_falling_variance() -> None:
    x = random_vectors(200, 0)
    scores = fit_whitened(x, 10, 0.0, "test")(x).astype(np.float64)
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-5)
    covariance = np.cov(scores.T, bias=True)
    singular = np.linalg.svd(x.astype(np.float64) - x.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(np.diag(covariance), singular[:10] ** 2 / 200, rtol=1e-3)
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-4)


def test_full_whitening_gives_unit_variance_and_half_lies_between() -> None:
    x = random_vectors(200, 1)
    deviations = {w: fit_whitened(x, 10, w, "test")(x).std(axis=0) for w in (0.0, 0.5, 1.0)}
    np.testing.assert_allclose(deviations[1.0], 1, rtol=1e-3)
    np.testing.assert_allclose(deviations[0.5], np.sqrt(deviations[0.0]), rtol=1e-3)


def test_components_beyond_the_rank_are_zero_rows() -> None:
    x = random_vectors(5, 2)
    linear = fit_whitened(x, 30, 1.0, "test")
    assert linear.weight.shape == (30, D_SENT)
    used = np.linalg.norm(linear.weight, axis=1) > 0
    np.testing.assert_array_equal(used, np.arange(30) < 4)  # centring costs one of five samples
    np.testing.assert_array_equal(linear.bias[4:], 0)
    assert np.isfinite(linear(x)).all()


def test_repeated_samples_do_not_raise_the_rank() -> None:
    x = np.repeat(random_vectors(3, 3), 20, axis=0)
    assert (np.linalg.norm(fit_whitened(x, 8, 0.5, "test").weight, axis=1) > 0).sum() == 2


def test_the_map_does_not_depend_on_the_order_of_the_samples() -> None:
    x = random_vectors(50, 4)
    first, second = fit_whitened(x, 8, 0.5, "a"), fit_whitened(x[::-1], 8, 0.5, "a")
    assert first.weight.tobytes() == second.weight.tobytes()
    assert first.bias.tobytes() == second.bias.tobytes()


def test_the_map_does_not_depend_on_the_last_bits_of_the_samples() -> None:
    x = random_vectors(50, 5).astype(np.float64) + 1e-9  # none of them lies between two steps of the grid
    moved = x * (1 + np.random.default_rng(0).uniform(-1e-15, 1e-15, size=x.shape))
    assert (moved != x).mean() > 0.5
    assert fit_whitened(moved, 8, 0.5, "a").weight.tobytes() == fit_whitened(x, 8, 0.5, "a").weight.tobytes()


def test_equal_eigenvalues_give_one_map_in_any_order_of_the_samples() -> None:
    """All spreads are equal: any basis would be right, and one of them must always come out."""
    corners = np.concatenate([np.eye(6), -np.eye(6)])
    maps = [fit_whitened(corners[np.random.default_rng(s).permutation(12)], 6, 0.5, "a").weight for s in range(5)]
    assert len({weight.tobytes() for weight in maps}) == 1
    np.testing.assert_allclose(maps[0] @ maps[0].T, np.eye(6) * (1 / 6) ** -0.5, atol=1e-5)


def test_the_largest_entry_of_an_axis_is_positive_and_of_equal_ones_the_first() -> None:
    x = np.outer(np.linspace(-1, 1, 41), [0.5, -0.5, 0.25])
    np.testing.assert_allclose(fit_whitened(x, 1, 0.0, "a").weight, np.array([[2, -2, 1]]) / 3, atol=1e-3)
    assert (fit_whitened(-x, 1, 0.0, "a").weight == fit_whitened(x, 1, 0.0, "a").weight).all()


@pytest.mark.parametrize("vectors", [np.zeros((0, 4)), np.ones((1, 4)), np.ones((9, 4))])
def test_fitting_needs_two_distinct_vectors(vectors: np.ndarray) -> None:
    with pytest.raises(DataError, match="at least two distinct entity vectors"):
        fit_whitened(vectors.astype(np.float32), 2, 0.5, "entity")


def test_fitting_refuses_vectors_that_are_not_finite() -> None:
    with pytest.raises(DataError, match="finite"):
        fit_whitened(np.full((3, 4), np.nan, np.float32), 2, 0.5, "entity")


def test_widths_follow_the_design() -> None:
    projections = fit()
    assert projections.dims() == {
        "d_k": 40, "d_v": 24, "d_ctx": 8, "d_tau": 4,
        "d_ent": 18, "d_rel": 22, "d_val_ctx": 2, "d_sent": D_SENT, "d_question": 2 * D_SENT,
    }  # fmt: skip
    assert fit(d_k=20).d_ent == 15


def test_blocks_of_keys_have_unit_norm() -> None:
    projections = fit()
    keys = projections.keys(random_vectors(30, 7), random_vectors(30, 8))
    assert keys.shape == (30, 40)
    assert keys.dtype == np.float64
    for block in np.split(keys, [18], axis=1):
        np.testing.assert_allclose(np.linalg.norm(block, axis=1), 1, atol=1e-5)


def test_a_key_is_name_and_relation_each_by_its_own_map() -> None:
    projections = fit()
    parts = {name: random_vectors(5, seed) for name, seed in (("entity", 7), ("relation", 8))}
    blocks = []
    for name, vectors in parts.items():
        linear = getattr(projections, name)
        mapped = vectors.astype(np.float64) @ linear.weight.astype(np.float64).T + linear.bias
        blocks.append(mapped / np.sqrt((mapped**2).sum(axis=1, keepdims=True)))
    np.testing.assert_allclose(projections.keys(*parts.values()), np.hstack(blocks), atol=1e-12)


def test_a_query_is_the_key_of_what_the_two_parts_of_a_question_name() -> None:
    projections = fit()
    names, relations = random_vectors(5, 7), random_vectors(5, 8)
    queries = projections.queries(np.concatenate([names, relations], axis=1))
    np.testing.assert_array_equal(queries, projections.keys(names, relations))


@pytest.mark.parametrize(("name", "part"), [("entity", 0), ("context", 0), ("relation", 1)])
def test_a_map_of_a_question_reads_its_part_of_it_alone(name: str, part: int) -> None:
    projections = fit()
    parts = [random_vectors(5, 7), random_vectors(5, 8)]
    linear = projections.of_question(name)
    assert linear.weight.shape[1] == projections.d_question == 2 * D_SENT
    read = linear(np.concatenate(parts, axis=1))
    np.testing.assert_allclose(read, getattr(projections, name)(parts[part]), atol=1e-12)


def test_the_relation_map_is_plain_pca_about_the_origin_whatever_the_whitening() -> None:
    """Axes of falling second moment, none stretched: as far as it keeps the vectors, it keeps their cosines."""
    relations = random_vectors(60, 1).astype(np.float64)
    moments = np.linalg.eigvalsh(relations.T @ relations)[::-1]
    for whitening in (0.0, 0.5, 1.0):
        linear = fit(whitening=whitening).relation
        weight = linear.weight.astype(np.float64)
        np.testing.assert_allclose(weight @ weight.T, np.eye(22), atol=1e-4)
        np.testing.assert_allclose(((relations @ weight.T) ** 2).sum(axis=0), moments[:22], rtol=1e-3)
        assert not linear.bias.any()


def test_tail_part_of_a_value_is_the_head_part_of_the_next_key() -> None:
    projections = fit()
    vectors = random_vectors(10, 9)
    tau_min, tau_max = window_bounds([year_window(2000 + i) for i in range(10)])
    values = projections.values(vectors, random_vectors(10, 5), tau_min, tau_max)
    assert values.shape == (10, 24)
    np.testing.assert_array_equal(values[:, :18], projections.keys(vectors, random_vectors(10, 3))[:, :18])


def test_value_holds_the_first_context_dimensions_and_the_window() -> None:
    projections = fit()
    context = random_vectors(3, 6)
    tau_min, tau_max = window_bounds([UNKNOWN, year_window(1999), Window(None, None, "s")])
    values = projections.values(random_vectors(3, 7), context, tau_min, tau_max)
    np.testing.assert_allclose(values[:, 18:20], projections.contexts(context)[:, :2], atol=1e-6)
    np.testing.assert_array_equal(values[:, 20:], TauEncoder(4)(tau_min, tau_max))
    np.testing.assert_allclose(np.linalg.norm(projections.contexts(context), axis=1), 1, atol=1e-5)


def test_wider_values_than_contexts_take_more_components() -> None:
    projections = fit(d_k=16, d_v=38, d_ctx=4)
    tau = window_bounds([UNKNOWN] * 5)
    values = projections.values(random_vectors(5, 1), random_vectors(5, 2), *tau)
    assert projections.d_val_ctx == 22
    np.testing.assert_allclose(np.linalg.norm(values[:, 12:34], axis=1), 1, atol=1e-5)
    assert projections.contexts(random_vectors(5, 2)).shape == (5, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d_tau": 7}, r"encoder\.d_tau"),
        ({"d_k": 1}, r"encoder\.d_k"),
        ({"d_ctx": 0}, "d_ctx"),
        ({"whitening": 1.5}, r"encoder\.whitening"),
        ({"d_tau": -1}, "d_tau"),
    ],
)
def test_widths_that_leave_no_room_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        fit(**changes)


def test_save_and_load_give_the_same_projections(tmp_path: Path) -> None:
    saved = fit()
    saved.save(tmp_path / "projection")
    loaded = Projections.load(tmp_path / "projection")
    assert loaded.fingerprint == saved.fingerprint
    assert loaded.dims() == saved.dims()
    assert (loaded.encoder_name, loaded.encoder_fingerprint, loaded.whitening) == ("test", "mark", 0.5)
    x = random_vectors(4, 0)
    np.testing.assert_array_equal(loaded.keys(x, x), saved.keys(x, x))


def test_saving_twice_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fit().save(tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_fingerprint_depends_on_weights_layout_and_encoder() -> None:
    base = fit()
    others = [fit(whitening=0.4), fit(d_ctx=9), dataclasses.replace(base, encoder_fingerprint="other")]
    assert len({p.fingerprint for p in [base, *others]}) == 4


def test_changed_file_is_refused(tmp_path: Path) -> None:
    fit().save(tmp_path / "p")
    path = tmp_path / "p" / "projection.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    for verify in ("sha256", "none"):
        with pytest.raises(StoreError, match="dvc repro encode"):
            Projections.load(tmp_path / "p", verify=verify)  # type: ignore[arg-type]


def test_manifest_that_does_not_fit_the_weights_is_refused(tmp_path: Path) -> None:
    fit().save(tmp_path / "p")
    path = tmp_path / "p" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["dims"]["d_k"] = 20
    path.write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match="projection has weights"):
        Projections.load(tmp_path / "p")


def test_unit_leaves_zero_rows() -> None:
    rows = unit(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]], atol=1e-7)


def test_windows_are_bounded_and_tell_open_from_unknown() -> None:
    windows = [
        UNKNOWN,
        Window(None, None, "s"),
        Window(day("2009-03-02"), None),
        Window(None, day("2009-03-02")),
        year_window(1),
        Window(1, day("9999-12-31")),
        Window(FIRST_DAY, LAST_DAY),
        year_window(-43),
        Window(None, 0, "s"),
        year_window(1970),
    ]
    for d_tau in (0, 1, 4, 5, 16, 33):
        encoded = TauEncoder(d_tau)(*window_bounds(windows))
        assert encoded.shape == (len(windows), d_tau)
        assert encoded.dtype == np.float64
        assert (np.linalg.norm(encoded, axis=1) <= 1 + 1e-6).all()
    encoded = TauEncoder(16)(*window_bounds(windows))
    assert len(np.unique(encoded.round(4), axis=0)) == len(windows)
    assert np.count_nonzero(encoded[0]) == 1


def test_near_windows_are_nearer_than_far_ones() -> None:
    encoded = TauEncoder(16)(*window_bounds([year_window(y) for y in (2000, 2001, 1950)]))
    assert np.linalg.norm(encoded[0] - encoded[1]) < np.linalg.norm(encoded[0] - encoded[2])
    assert np.linalg.norm(encoded[0] - encoded[1]) > 0.05


def test_negative_window_width_is_refused() -> None:
    with pytest.raises(ParamsError, match=r"encoder\.d_tau"):
        TauEncoder(-1)


def test_bundled_labels_are_many_distinct_and_clean() -> None:
    labels = general_relation_labels()
    assert len(labels) >= 300
    assert len({label.lower() for label in labels}) == len(labels)
    assert all(label == " ".join(label.split()) for label in labels)


def fact(head: str, tail: str, span: str = "") -> FiveTuple:
    relation = Relation("R1", "chief executive officer")
    return FiveTuple(Entity(None, head), relation, Entity(None, tail), Context("t", sent_span=span), UNKNOWN)


def test_context_is_the_evidence_sentence_or_the_fact_in_words() -> None:
    assert evidence_sentence(fact("Silver Harbor", "Clara Weber", "Clara leads it.")) == "Clara leads it."
    bare = fact("Silver Harbor", "Clara Weber")
    assert evidence_sentence(bare) == "Silver Harbor chief executive officer Clara Weber"


def test_a_phrase_says_what_a_question_for_the_tail_is_about() -> None:
    assert key_phrase(fact("Silver Harbor", "Clara Weber")) == "chief executive officer of Silver Harbor"


def test_each_map_is_fitted_on_the_distinct_texts_of_its_kind_by_its_encoder() -> None:
    facts = [fact(f"Town {i % 20}", f"Person {i}") for i in range(40)]
    encoder = DeterministicEncoder(64)
    projections = fit_projections(facts, Encoders.of(encoder, Reversed(64)), **WIDTHS)
    names = [*(f"Town {i}" for i in range(20)), *(f"Person {i}" for i in range(40))]
    sentences = [f"Town {i % 20} chief executive officer Person {i}" for i in range(40)]
    labels = list({"chief executive officer": None} | dict.fromkeys(general_relation_labels()))
    expected = {
        "entity": fit_whitened(encoder.encode(names), 18, 0.5, "a"),
        "context": fit_whitened(encoder.encode(sentences), 8, 0.5, "a"),
        "relation": fit_whitened(encoder.encode(labels)[:, ::-1], 22, 0.0, "a", centred=False),
    }
    for name, linear in expected.items():
        np.testing.assert_array_equal(getattr(projections, name).weight, linear.weight)
        np.testing.assert_array_equal(getattr(projections, name).bias, linear.bias)


def test_fit_projections_gives_one_relation_a_full_relation_block() -> None:
    facts = [fact(f"Town {i}", f"Person {i}") for i in range(40)]
    encoders = Encoders.of(DeterministicEncoder(64))
    projections = fit_projections(facts, encoders, **WIDTHS)
    assert (np.linalg.norm(projections.relation.weight, axis=1) > 0).all()
    names, sentences = 80, 40
    relations = len({*general_relation_labels(), "chief executive officer"})
    assert encoders.n_encoded == names + sentences + relations
    assert (projections.encoder_name, projections.encoder_fingerprint) == ("deterministic", encoders.fingerprint)
