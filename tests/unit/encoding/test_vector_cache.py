from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import kblampp.encoding.vector_cache as cache_module
from kblampp.core.cache import CACHE_VARIABLE
from kblampp.encoding.sentence_encoder import DeterministicEncoder, DoubleArray, EmbeddingCache
from kblampp.encoding.vector_cache import CachedEncoder, VectorCache, cache_folder, with_disk_cache

TEXTS = ["Silver Harbor", "", "Łódź – 東京", "Clara Weber", "Silver  Harbor"]
DIM = 16
ROWS = np.random.default_rng(0).normal(size=(len(TEXTS), DIM))


class Counting:
    """A deterministic encoder under another name, which remembers what it was given."""

    def __init__(self, fingerprint: str = "a" * 64) -> None:
        self.inner = DeterministicEncoder(DIM)
        self.name, self.fingerprint, self.dim = "counting", fingerprint, DIM
        self.seen: list[str] = []

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> DoubleArray:
        self.seen += texts
        return self.inner.encode(texts, progress=progress)


def make(folder: Path, fingerprint: str = "a" * 64, **options: int) -> VectorCache:
    return VectorCache(folder, fingerprint, DIM, **options)


def filled(folder: Path) -> None:
    cache = make(folder)
    cache.put(TEXTS, ROWS)
    cache.close()


def database(folder: Path) -> Path:
    return next(folder.glob("*.db"))


def test_a_later_process_gets_the_same_bits(tmp_path: Path) -> None:
    filled(tmp_path / "c")
    found = make(tmp_path / "c").get([*TEXTS, "another"])
    assert sorted(found) == sorted(TEXTS)
    assert all(found[text].tobytes() == row.tobytes() for text, row in zip(TEXTS, ROWS, strict=True))


def test_other_weights_rules_and_libraries_have_vectors_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path / "c")
    assert not make(tmp_path / "c", "b" * 64).get(TEXTS)
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "_RULE", "another rule")
        assert not make(tmp_path / "c").get(TEXTS)
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "version", lambda _: "99")
        assert not make(tmp_path / "c").get(TEXTS)
    assert len(make(tmp_path / "c").get(TEXTS)) == len(TEXTS)


@pytest.mark.parametrize("damage", ["flipped", "swapped", "short", "other type"])
def test_a_damaged_vector_is_reported_and_computed_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    filled(tmp_path / "c")
    with sqlite3.connect(database(tmp_path / "c")) as connection:
        values = connection.execute("SELECT rowid, value FROM Cache ORDER BY rowid").fetchall()
        packed = bytes(values[0][1])
        new = {
            "flipped": packed[:5] + bytes([packed[5] ^ 1]) + packed[6:],
            "swapped": values[1][1],
            "short": packed[:-8],
            "other type": "text",
        }
        connection.execute("UPDATE Cache SET value = ? WHERE rowid = ?", (new[damage], values[0][0]))
    connection.close()
    cache = make(tmp_path / "c")
    assert len(cache.get(TEXTS)) == len(TEXTS) - 1
    assert "damaged" in caplog.text
    cache.put(TEXTS[:1], ROWS[:1])
    assert len(make(tmp_path / "c").get(TEXTS)) == len(TEXTS)


@pytest.mark.parametrize("keep", [0, 100, 3000])
def test_a_damaged_file_is_reported_and_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture, keep: int) -> None:
    filled(tmp_path / "c")
    path = database(tmp_path / "c")
    path.write_bytes(path.read_bytes()[:keep] + b"not a database" * 1000)
    encoder = CachedEncoder(Counting(), make(tmp_path / "c"))
    np.testing.assert_array_equal(encoder.encode(TEXTS), DeterministicEncoder(DIM).encode(TEXTS))
    assert str(tmp_path / "c") in caplog.text
    encoder = CachedEncoder(Counting(), make(tmp_path / "c"))
    np.testing.assert_array_equal(encoder.encode(TEXTS), DeterministicEncoder(DIM).encode(TEXTS))
    assert encoder.n_cached == len(TEXTS)


def test_a_cache_that_cannot_be_used_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    encoder = CachedEncoder(Counting(), make(tmp_path / "file"))
    for _ in range(2):
        np.testing.assert_array_equal(encoder.encode(TEXTS), DeterministicEncoder(DIM).encode(TEXTS))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert CACHE_VARIABLE in caplog.text
    assert (tmp_path / "file").read_text(encoding="utf-8") == "in the way"


def test_a_full_cache_keeps_what_was_used_last(tmp_path: Path) -> None:
    limit = 1 << 20
    texts = [f"text {number}" for number in range(6000)]
    rows = np.random.default_rng(1).normal(size=(len(texts), DIM))
    cache = make(tmp_path / "c", size_limit=limit)
    for start in range(0, len(texts), 1000):
        cache.put(texts[start : start + 1000], rows[start : start + 1000])
        assert cache.get(texts[:1])
    kept = cache.get(texts)
    cache.close()
    assert database(tmp_path / "c").stat().st_size < 1.3 * limit
    assert texts[0] in kept
    assert texts[-1] in kept
    assert texts[500] not in kept


WRITER = """
import sys
from pathlib import Path
import numpy as np
from kblampp.encoding.vector_cache import VectorCache
cache = VectorCache(Path(sys.argv[1]), "a" * 64, 16)
first, last = int(sys.argv[2]), int(sys.argv[3])
while True:
    texts = [f"text {number}" for number in range(first, last)]
    cache.put(texts, np.stack([np.full(16, float(number)) for number in range(first, last)]))
    print("done", flush=True)
    if len(sys.argv) < 5:
        break
"""


def writer(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", WRITER, str(folder), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def read_numbers(folder: Path, last: int) -> int:
    """How many of the texts are there; each must have its own vector."""
    found = make(folder).get([f"text {number}" for number in range(last)])
    for text, vector in found.items():
        assert (vector == float(text.split()[1])).all()
    return len(found)


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    both = [writer(tmp_path / "c", "0", "1500"), writer(tmp_path / "c", "1000", "2500")]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert read_numbers(tmp_path / "c", 2500) == 2500


def test_a_killed_process_leaves_a_cache_that_works(tmp_path: Path) -> None:
    process = writer(tmp_path / "c", "0", "1500", "for ever")
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n"
    time.sleep(0.05)  # somewhere in the middle of the next round
    process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    process.wait(timeout=60)
    assert read_numbers(tmp_path / "c", 1500) == 1500
    make(tmp_path / "c").put(["one more"], np.ones((1, DIM)))


def test_an_encoder_with_a_cache_encodes_nothing_twice(tmp_path: Path) -> None:
    first, second = Counting(), Counting()
    CachedEncoder(first, make(tmp_path / "c")).encode(["b", "a", "b"])
    again = CachedEncoder(second, make(tmp_path / "c"))
    vectors = again.encode(["c", "a", "b", "c", "a"])
    np.testing.assert_array_equal(vectors, DeterministicEncoder(DIM).encode(["c", "a", "b", "c", "a"]))
    assert first.seen == ["b", "a"]
    assert second.seen == ["c"]
    assert again.n_cached == 2
    assert again.encode([]).shape == (0, DIM)
    EmbeddingCache(again).embed(["a", "b", "c"])
    assert second.seen == ["c"]


def test_the_environment_names_the_folder_or_switches_the_cache_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    for _ in range(2):
        encoder = with_disk_cache(Counting())
        encoder.encode(TEXTS)
    assert encoder.n_cached == len(TEXTS)
    assert cache_folder() in tmp_path.iterdir()
    monkeypatch.setenv(CACHE_VARIABLE, "off")
    assert cache_folder() is None
    encoder = with_disk_cache(Counting())
    encoder.encode(TEXTS)
    assert encoder.n_cached == 0
    monkeypatch.delenv(CACHE_VARIABLE)
    assert cache_folder() is not None


def test_the_deterministic_encoder_has_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    with_disk_cache(DeterministicEncoder(DIM)).encode(TEXTS)
    assert not list(tmp_path.iterdir())
