"""Milvus against Faiss, over milvus-lite: its folder, its server on loopback, and what happens when that fails."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kblampp.core.errors import StoreError
from kblampp.core.params import IndexParams
from kblampp.data.windows import UNKNOWN_DAY
from kblampp.encoding.projections import PROJECTION
from kblampp.encoding.store import KBValueStore
from kblampp.index import milvus_client, milvus_index
from kblampp.index.build import build_indexes
from kblampp.index.knowledge_index import KnowledgeIndex
from kblampp.index.milvus_index import MilvusIndex
from kblampp.index.validity import Validity
from tests.unit.index.stores import make_store

pytest.importorskip("pymilvus", reason="the extra milvus is not installed")
pytest.importorskip("milvus_lite", reason="the extra milvus is not installed")


class Server:
    """A milvus-lite server in a process of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(folder), "--port", str(self.port)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        self.stop()
        raise RuntimeError("the server did not start")

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "server")
    yield running
    running.stop()


@pytest.fixture
def store(tmp_path: Path) -> KBValueStore:
    return make_store(tmp_path / "store", timed=True)


def queries_of(store: KBValueStore, count: int = 30) -> np.ndarray:
    rng = np.random.default_rng(0)
    near = np.asarray(store.keys, dtype=np.float32)[rng.integers(0, len(store.keys), count)]
    return (near + 0.1 * rng.standard_normal(near.shape)).astype(np.float32)


def flat(store: KBValueStore, similarity: str = "ip") -> KnowledgeIndex:
    return KnowledgeIndex.build(store.keys, similarity=similarity, validity=Validity.of(store))


def windows_of(count: int) -> np.ndarray:
    windows = np.array([[700_000, 700_300], [UNKNOWN_DAY, UNKNOWN_DAY], [700_900, 701_000]])
    return windows[np.arange(count) % len(windows)]


@pytest.mark.parametrize("similarity", ["ip", "cosine"])
def test_folder_and_server_answer_as_faiss_flat(
    tmp_path: Path, store: KBValueStore, server: Server, similarity: str
) -> None:
    queries, exact = queries_of(store), flat(store, similarity)
    for uri in (str(tmp_path / "milvus.db"), server.uri):
        index = MilvusIndex.build(store, uri=uri, similarity=similarity)
        for windows in (None, windows_of(len(queries))):
            for k in (1, 9, index.n):
                scores, ids = index.search(queries, k, windows)
                wanted_scores, wanted = exact.search(queries, k, windows)
                np.testing.assert_array_equal(ids, wanted)
                np.testing.assert_array_equal(scores, wanted_scores)


def test_what_was_saved_is_loaded_by_the_index_of_any_engine(tmp_path: Path, store: KBValueStore) -> None:
    MilvusIndex.build(store, uri=str(tmp_path / "milvus.db")).save(tmp_path / "index")
    loaded = KnowledgeIndex.load(tmp_path / "index", store)
    assert isinstance(loaded, MilvusIndex)
    queries = queries_of(store)
    np.testing.assert_array_equal(loaded.search(queries, 5)[1], flat(store).search(queries, 5)[1])


def test_stage_builds_and_checks_it(tmp_path: Path) -> None:
    make_store(tmp_path / "kb" / "town", timed=True, projection=tmp_path / PROJECTION)
    params = IndexParams(
        engine="milvus", uri=str(tmp_path / "m.db"), factory="auto", search=None, similarity="ip", min_recall_at_8=1.0
    )
    report = build_indexes(["town"], tmp_path, params)
    assert report["town"]["recall_at_8"] == 1.0
    store = KBValueStore.load(tmp_path / "kb" / "town")
    assert isinstance(KnowledgeIndex.load(tmp_path / "index" / "town", store), MilvusIndex)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system cannot pause a process")
def test_server_that_is_slow_or_gone_gives_a_sentence(
    store: KBValueStore, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = MilvusIndex.build(store, uri=server.uri)
    for module in (milvus_client, milvus_index):
        monkeypatch.setattr(module, "TIMEOUT", 1.0)
    server.pause()
    with pytest.raises(StoreError, match=r"did not search .*DEADLINE_EXCEEDED.*index\.uri"):
        index.search(queries_of(store), 3)
    server.stop()
    with pytest.raises(StoreError, match=r"did not search .*index\.uri"):
        index.search(queries_of(store), 3)
    with pytest.raises(StoreError, match=r"did not connect .*index\.uri"):
        MilvusIndex.build(store, uri=server.uri)


def test_collection_of_other_keys_is_never_searched(tmp_path: Path, store: KBValueStore) -> None:
    index = MilvusIndex.build(store, uri=str(tmp_path / "milvus.db"))
    index.save(tmp_path / "index")
    client = index._client
    with pytest.raises(StoreError, match="dvc repro index"):  # another store's manifest
        KnowledgeIndex.load(tmp_path / "index", make_store(tmp_path / "other", width=40))
    changed = -np.asarray(store.keys[0], dtype=np.float32)
    client.upsert(index.collection, [{"row": 0, "first": 0, "last": 1, "key": changed}])
    with pytest.raises(StoreError, match="holds other keys"):
        KnowledgeIndex.load(tmp_path / "index", store)
    client.delete(index.collection, ids=[0])
    with pytest.raises(StoreError, match=f"has {index.n - 1} keys, expected {index.n}"):
        KnowledgeIndex.load(tmp_path / "index", store)
    client.insert(index.collection, [{"row": index.n + 5, "first": 0, "last": 1, "key": changed}])
    with pytest.raises(StoreError, match="rows that are not in the store"):
        index.search(changed[None], 3)
    client.drop_collection(index.collection)
    with pytest.raises(StoreError, match="does not exist"):
        KnowledgeIndex.load(tmp_path / "index", store)


def test_bases_of_the_same_keys_and_other_windows_have_collections_of_their_own(tmp_path: Path) -> None:
    uri = str(tmp_path / "milvus.db")
    timed, late = make_store(tmp_path / "timed", timed=True), make_store(tmp_path / "late", timed=True, later=1000)
    assert timed.keys_sha256 == late.keys_sha256
    first, second = (MilvusIndex.build(store, uri=uri) for store in (timed, late))
    queries = queries_of(timed)
    for index, store in ((first, timed), (second, late)):
        _, wanted = flat(store).search(queries, 9, windows_of(len(queries)))
        np.testing.assert_array_equal(index.search(queries, 9, windows_of(len(queries)))[1], wanted)


def test_collection_of_other_dimensions_is_refused(tmp_path: Path, store: KBValueStore) -> None:
    index = MilvusIndex.build(store, uri=str(tmp_path / "milvus.db"))
    index.save(tmp_path / "index")
    index.d_k -= 2
    index._create({"index_type": "FLAT"})
    with pytest.raises(StoreError, match=r"width 14, expected 16"):
        KnowledgeIndex.load(tmp_path / "index", store)


@pytest.mark.parametrize("uri", ["milvus", "ftp://somewhere", "milvus.sqlite"])
def test_address_that_is_none_is_refused(store: KBValueStore, uri: str) -> None:
    with pytest.raises(StoreError, match=r"index\.uri"):
        MilvusIndex.build(store, uri=uri)


def test_factory_of_faiss_is_refused(tmp_path: Path, store: KBValueStore) -> None:
    with pytest.raises(StoreError, match=r"index\.factory is 'HNSW32'"):
        MilvusIndex.build(store, uri=str(tmp_path / "milvus.db"), factory="HNSW32")
