"""The keys of a store in Milvus, on this machine or another: `index.engine: milvus`.

A collection holds a row a key, with the window of its fact; it is named after keys and windows, so that another store's
is never searched by mistake.  Milvus finds candidates, passing over facts that surely do not hold in a question's
window; scores are computed again from the keys that it returns, as `knowledge_index` does.  The packages are pymilvus
and, for a folder of this machine, milvus-lite: the extra `milvus`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kblampp.core.errors import StoreError
from kblampp.core.files import atomic_dir, fingerprint, write_manifest
from kblampp.data.windows import UNKNOWN_DAY
from kblampp.encoding.encoded_facts import FIRST_DAYS, LAST_DAYS
from kblampp.encoding.linear_maps import unit
from kblampp.encoding.sentence_encoder import FloatArray
from kblampp.encoding.store import KBValueStore
from kblampp.index.automatic import AUTO, FLAT
from kblampp.index.distinct_keys import IdArray, apart
from kblampp.index.milvus_client import TIMEOUT, connected, in_a_sentence
from kblampp.index.validity import Days, Validity, checked_windows

logger = logging.getLogger(__name__)

ENGINE = "milvus"

_ROWS, _FIRST, _LAST, _KEY = "row", "first", "last", "key"
_INSERTED = 1000  # rows a call: a message of about a megabyte
_MOST = 16_384  # results of a search that Milvus allows
_MARGIN = 8  # candidates beyond k: float32 search may order near ties wrongly
_CHECKED = 16  # keys that are compared with the store's when a collection is opened
_GRAPH = {"index_type": "HNSW", "params": {"M": 32, "efConstruction": 200}}
_WIDTH = 256  # of the list of a graph search
_ANSWERED = 16 << 20  # bytes of the keys that a call may bring
_AGAIN = "run `dvc repro --force index`"


class MilvusIndex:
    """Finds the same as a `KnowledgeIndex` of the same keys; make one with :meth:`build` or :meth:`load`.

    Attributes:
        n: Number of keys.
        d_k: Their width.
        uri: A server's address, or a folder that ends in `.db`.
        collection: Name of the collection.
        similarity: ``ip`` or ``cosine``.
        keys_sha256: sha256 of the store's `K.npy`.
    """

    def __init__(self, store: KBValueStore, uri: str, similarity: str) -> None:
        """Connect, without a look at the collection.

        Raises:
            StoreError: pymilvus is not installed, or nothing answers at the address.
        """
        self.n, self.d_k = store.keys.shape
        self.uri, self.similarity, self.keys_sha256 = uri, similarity, store.keys_sha256
        days = (str(store.manifest["files"][name]["sha256"]) for name in (FIRST_DAYS, LAST_DAYS))
        self.collection = f"kblampp_{similarity}_{fingerprint(store.keys_sha256, *days)[:32]}"
        self._client = connected(uri)

    @classmethod
    def build(
        cls, store: KBValueStore, *, uri: str, factory: str = AUTO, search: str | None = None, similarity: str = "ip"
    ) -> MilvusIndex:
        """Write a store's keys and windows to a collection; one of the same name is replaced.

        Args:
            store: The keys.
            uri: A server's address, or a folder that ends in `.db`.
            factory: `Flat`, exact; or `auto`, a graph where the keys are many.
            search: None; the engine has no further options.
            similarity: ``ip`` or ``cosine``.

        Raises:
            StoreError: The factory is another, options are given, or the server does not do it.
        """
        if factory not in (AUTO, "Flat") or search is not None:
            raise StoreError(
                f"index.factory is {factory!r} with index.search {search!r}, but index.engine milvus has auto and "
                "Flat, without options: set one of them, and index.search to null"
            )
        index = cls(store, uri, similarity)
        exact = factory == "Flat" or index.n <= FLAT
        logger.info("Milvus at %s: %d keys, %s", uri, index.n, "compared one by one" if exact else "in a graph")
        with index._said("write the keys to"):
            index._create({"index_type": "FLAT"} if exact else _GRAPH)
            index._insert(store)
        index._check(store)
        return index

    @classmethod
    def load(cls, directory: Path, manifest: dict[str, Any], store: KBValueStore) -> MilvusIndex:
        """Open the collection that a manifest names.

        Args:
            directory: Where the manifest lies.
            manifest: What :meth:`save` wrote.
            store: Whose keys the collection must hold.

        Raises:
            StoreError: The manifest names no collection, or it does not answer or holds other keys.
        """
        try:
            uri, similarity = str(manifest["uri"]), str(manifest["similarity"])
        except KeyError as error:
            raise StoreError(
                f"index {directory}: the manifest lacks what an index must state ({error}); run `dvc repro index`"
            ) from error
        index = cls(store, uri, similarity)
        index._check(store)
        return index

    def save(self, directory: Path) -> None:
        """Write a manifest that says where the collection is and whose keys it holds."""
        fields = {
            "n": self.n,
            "d_k": self.d_k,
            "engine": ENGINE,
            "uri": self.uri,
            "collection": self.collection,
            "similarity": self.similarity,
            "keys_sha256": self.keys_sha256,
        }
        with atomic_dir(directory) as folder:
            write_manifest(folder, "index", fields)

    def search(
        self, queries: npt.NDArray[Any], k: int, windows: npt.NDArray[Any] | None = None
    ) -> tuple[FloatArray, IdArray]:
        """The ``k`` best keys of every query, as `KnowledgeIndex.search`.

        Raises:
            StoreError: The queries, ``k`` or the windows do not fit, or the server does not answer, or answers with
                what is not in the store.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.d_k or not np.isfinite(queries).all():
            raise StoreError(f"queries have shape {queries.shape}, expected finite numbers (n_queries, {self.d_k})")
        if not 0 <= k <= min(self.n, _MOST):
            raise StoreError(
                f"search for k={k} of an index of {self.n} keys in Milvus; k must lie between 0 and "
                f"{min(self.n, _MOST)}: set selector.top_k and selector.over_fetch lower"
            )
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        ids = np.full((len(queries), k), -1, dtype=np.int64)
        if not k or not len(queries):
            return scores, ids
        if self.similarity == "cosine":
            queries = unit(queries).astype(np.float32)
        if windows is None:
            windows = np.full((len(queries), 2), UNKNOWN_DAY)
        step = max(1, _ANSWERED // (4 * self.d_k * (k + _MARGIN)))
        asked, of_query = np.unique(checked_windows(windows, len(queries)), axis=0, return_inverse=True)
        for place, window in enumerate(asked):
            every = np.flatnonzero(of_query == place)
            for start in range(0, len(every), step):
                rows = every[start : start + step]
                for row, (best, found) in zip(rows, self._best(queries[rows], k, _condition(window)), strict=True):
                    scores[row, : len(best)], ids[row, : len(found)] = best, found
        return scores, ids

    def _best(self, queries: FloatArray, k: int, condition: str) -> Iterator[tuple[FloatArray, IdArray]]:
        """For each query the scores and rows of at most ``k`` keys; asks for more where ties may lie beyond."""
        for query, hits in zip(queries, self._ask(queries, k + _MARGIN, condition), strict=True):
            width = k + _MARGIN
            ids, scores = self._scored(query, hits)
            while len(ids) == width < min(self.n, _MOST) and not apart(scores[k - 1], scores[-1], scores[0]):
                width = min(2 * width, self.n, _MOST)
                ids, scores = self._scored(query, self._ask(query[None], width, condition)[0])
            if len(ids) < k and not condition:
                raise StoreError(
                    f"collection {self.collection} of Milvus at {self.uri} found {len(ids)} keys, expected {k}: it is "
                    f"not whole; {_AGAIN}"
                )
            yield scores[:k], ids[:k]

    def _ask(self, queries: FloatArray, limit: int, condition: str) -> list[Any]:
        with self._said("search"):
            return list(
                self._client.search(
                    self.collection,
                    data=list(queries),
                    anns_field=_KEY,
                    filter=condition,
                    limit=min(limit, self.n, _MOST),
                    output_fields=[_KEY],
                    search_params={"params": {"ef": max(_WIDTH, limit)}},
                    timeout=TIMEOUT,
                )
            )

    def _scored(self, query: FloatArray, hits: Any) -> tuple[IdArray, FloatArray]:
        """Rows and exact scores of what a search returned, by score and then by row."""
        ids = np.array([hit[_ROWS] for hit in hits], dtype=np.int64)
        if ((ids < 0) | (ids >= self.n)).any() or len(np.unique(ids)) != len(ids):
            raise StoreError(
                f"collection {self.collection} of Milvus at {self.uri} answered with rows that are not in the store; "
                f"{_AGAIN}"
            )
        keys = np.array([hit["entity"][_KEY] for hit in hits], dtype=np.float64).reshape(-1, self.d_k)
        scores: FloatArray = np.einsum("d,md->m", query.astype(np.float64), keys).astype(np.float32)
        order = np.lexsort((ids, -scores))
        return ids[order], scores[order]

    def _create(self, kind: dict[str, Any]) -> None:
        from pymilvus import DataType, MilvusClient

        if self._client.has_collection(self.collection, timeout=TIMEOUT):
            self._client.drop_collection(self.collection, timeout=TIMEOUT)
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field(_ROWS, DataType.INT64, is_primary=True)
        schema.add_field(_FIRST, DataType.INT64)
        schema.add_field(_LAST, DataType.INT64)
        schema.add_field(_KEY, DataType.FLOAT_VECTOR, dim=self.d_k)
        options = MilvusClient.prepare_index_params()
        options.add_index(field_name=_KEY, metric_type="IP", **kind)
        self._client.create_collection(
            self.collection, schema=schema, index_params=options, consistency_level="Strong", timeout=TIMEOUT
        )

    def _insert(self, store: KBValueStore) -> None:
        validity = Validity.of(store)
        for start in range(0, self.n, _INSERTED):
            rows = range(start, min(start + _INSERTED, self.n))
            keys = self._keys(store, rows)
            self._client.insert(
                self.collection,
                [
                    {_ROWS: row, _FIRST: int(validity.first[row]), _LAST: int(validity.last[row]), _KEY: key}
                    for row, key in zip(rows, keys, strict=True)
                ],
                timeout=TIMEOUT,
            )
        self._client.flush(self.collection, timeout=10 * TIMEOUT)

    def _keys(self, store: KBValueStore, rows: Any) -> FloatArray:
        """The store's keys as the collection holds them."""
        keys = np.asarray(store.keys[list(rows)], dtype=np.float32)
        return unit(keys).astype(np.float32) if self.similarity == "cosine" else keys

    def _check(self, store: KBValueStore) -> None:
        """Whether the collection is there, whole, and of these keys.

        Raises:
            StoreError: It is not.
        """
        where = f"collection {self.collection} of Milvus at {self.uri}"
        with self._said("open"):
            there = self._client.has_collection(self.collection, timeout=TIMEOUT)
        if not there:
            raise StoreError(f"{where} does not exist: {_AGAIN}, or set index.uri to where it is")
        rows = np.unique(np.linspace(0, self.n - 1, _CHECKED).astype(int)).tolist()
        with self._said("open"):
            self._client.load_collection(self.collection, timeout=TIMEOUT)
            described = self._client.describe_collection(self.collection, timeout=TIMEOUT)
            fields = {field["name"]: field for field in described["fields"]}
            width = fields.get(_KEY, {}).get("params", {}).get("dim")
            if width != self.d_k:
                raise StoreError(f"{where} has keys of width {width}, expected {self.d_k}: {_AGAIN}")
            count = self._client.query(self.collection, filter="", output_fields=["count(*)"], timeout=TIMEOUT)
            kept = self._client.query(self.collection, ids=rows, output_fields=[_ROWS, _KEY], timeout=TIMEOUT)
        if int(count[0]["count(*)"]) != self.n:
            raise StoreError(f"{where} has {count[0]['count(*)']} keys, expected {self.n}: {_AGAIN}")
        found = {int(row[_ROWS]): row[_KEY] for row in kept}
        wanted = self._keys(store, rows)
        if sorted(found) != rows or not all(map(np.array_equal, [found[row] for row in rows], wanted)):
            raise StoreError(f"{where} holds other keys than store {store.directory}: {_AGAIN}")

    def _said(self, what: str) -> AbstractContextManager[None]:
        """Turn a failure of the server, or of the way to it, into a sentence."""
        return in_a_sentence(self.uri, f"{what} collection {self.collection}")


def _condition(window: Days) -> str:
    """What Milvus leaves out for a question's window, in its language: the rule of `Validity.may_hold`."""
    start, end = (int(day) for day in window)
    if UNKNOWN_DAY in (start, end):
        return ""
    return f"({_FIRST} < {end} and {_LAST} > {start}) or {_FIRST} == {UNKNOWN_DAY}"
