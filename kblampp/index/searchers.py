"""The faiss index behind `knowledge_index`: made from a factory string, read back, asked for candidates.

Which kinds of index there are is faiss's business.  How an index is treated depends on what it does, never on its name.
"""

from __future__ import annotations

import logging
import math
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from kblampp.core.errors import StoreError
from kblampp.encoding.sentence_encoder import FloatArray
from kblampp.index.distinct_keys import IdArray, Mask, exact_scores

logger = logging.getLogger(__name__)

_MARGIN = 8  # flat candidates beyond k: float32 search may order near-ties wrongly
_BLOCK = 1 << 16  # keys that are added at a time
_LEARNED = 1 << 16  # keys from which cells and codes are learned where there are more; at least so many a cell:
_LEARNED_A_CELL = 64
_FEW = 4096  # so few keys are compared one by one: exact, and cheaper than a graph in which hardly any may be found
_WIDER = 4  # at most so many times the cells are visited where most keys may not be found
_PROBES = 16  # keys that try a new index out
_NEAR = 0.02  # codes of a byte a dimension are off by less, and change the order of few keys
_ROUNDING = 1e-5  # two sums of one product may differ by this, relative to the largest; codes are off by far more
_NO_SIZE = re.compile(r"(?<!\d)0+(?!\d)|HNSW0*1(?!\d)")  # faiss does not refuse these, and ends the process over some
_OPTIONS = re.compile(r"\w+=\d+(\.\d+)?(,\w+=\d+(\.\d+)?)*")
_PLACE = re.compile(r"^.*\.(cpp|h):\d+: ", re.DOTALL)
_CONDITION = re.compile(r"^Error: '(?P<condition>.*?)' failed:?\s*(?P<reason>.*)$", re.DOTALL)
_STDERR = 2
_OTHER_FACTORY = "set index.factory to another string of faiss.index_factory, such as Flat, which always works"
_OTHER_SEARCH = (
    "set index.search to null or to options of that index, such as efSearch=128 for HNSW or nprobe=16 for IVF"
)


class Searcher:
    """A faiss index of distinct keys for the inner product; make one with :meth:`build`.

    Attributes:
        is_flat: Whether it is the keys themselves as float32, so that no file need keep it.
        misses_none: Whether it compares a query with every key itself.
    """

    def __init__(self, index: Any, keys: npt.NDArray[Any]) -> None:
        """Wrap a filled faiss index and try it out on some of its ``keys``."""
        self._index = index
        self._n_keys = len(keys)
        self.is_flat = isinstance(index, faiss.IndexFlat)
        self.misses_none = self.is_flat or (_is_half(index) and keys.dtype == np.float16)
        self._error = 0.0 if self.misses_none else _error(index, keys)

    @classmethod
    def build(cls, keys: npt.NDArray[Any], factory: str, search: str | None) -> Searcher:
        """Index ``keys`` ``(n, d_k)``, which may lie in a file that is mapped.

        Faiss draws its random numbers with seeds of its own that never change, and works on one thread here since links
        and centroids depend on the order of the work: one input gives one index.

        Args:
            keys: The distinct keys.
            factory: What `faiss.index_factory` makes the index from.
            search: What `faiss.ParameterSpace` sets on it before keys are added, or None.

        Raises:
            StoreError: If faiss cannot make such an index of these keys, or it has no such options.
        """
        n_keys, d_k = keys.shape
        index = _empty(factory, search, d_k)
        what = f"index.factory {factory!r} makes no index of {n_keys} distinct keys of width {d_k}"
        with _one_thread(), _refused(what, _OTHER_FACTORY):
            with _warnings_logged(f"index.factory {factory!r} of {n_keys} distinct keys"):
                index.train(_to_learn_from(index, keys))
            block = _BLOCK if isinstance(index, faiss.IndexIVF) else n_keys  # the others depend on how keys are added
            for start in range(0, n_keys, block):
                index.add(np.asarray(keys[start : start + block], dtype=np.float32))
        with _refused(f"index.factory {factory!r} with index.search {search!r} cannot be searched", _OTHER_SEARCH):
            return cls(index, keys)

    @classmethod
    def read(cls, path: Path, keys: FloatArray, factory: str, search: str | None) -> Searcher:
        """Read the index of ``keys`` from a file; a flat one has none.

        Raises:
            StoreError: If the file is not an index of that many keys.
        """
        if isinstance(_empty(factory, search, keys.shape[1]), faiss.IndexFlat):
            return cls.build(keys, factory, search)
        try:
            index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise StoreError(f"{path} is not a readable index; run `dvc repro index`") from error
        if (index.ntotal, index.d) != keys.shape:
            raise StoreError(
                f"{path} has {index.ntotal} keys of width {index.d}, expected {len(keys)} of width "
                f"{keys.shape[1]}; run `dvc repro index`"
            )
        _set_options(index, factory, search)  # not every kind of index keeps them in its file
        return cls(index, keys)

    @classmethod
    def map(cls, path: Path, keys: npt.NDArray[Any], factory: str, search: str | None) -> Searcher:
        """Open the index of ``keys`` that `write` wrote, what of it can be left in its file and mapped.

        Raises:
            StoreError: If the file is not an index of that many keys.
        """
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise StoreError(f"{path} is not a readable index: remove its folder, which is made anew") from error
        if (index.ntotal, index.d) != keys.shape:
            raise StoreError(f"{path} is an index of other keys: remove its folder, which is made anew")
        _set_options(index, factory, search)
        return cls(index, keys)

    @classmethod
    def build_half(cls, keys: npt.NDArray[np.float16]) -> Searcher:
        """Index ``keys`` ``(n, d_k)`` of half precision as they are; exact, and half as large as a flat index."""
        index = faiss.IndexScalarQuantizer(keys.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        for start in range(0, len(keys), _BLOCK):
            index.add(keys[start : start + _BLOCK].astype(np.float32))
        return cls(index, keys)

    @classmethod
    def map_half(cls, path: Path) -> tuple[Searcher, npt.NDArray[np.float16]]:
        """What `build_half` made and `write` wrote, left in its file and mapped; the searcher and the keys.

        The keys are read while the searcher is there.

        Raises:
            StoreError: If the file is no such index.
        """
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise StoreError(f"{path} is not a readable index: remove its folder, which is made anew") from error
        if not _is_half(index):
            raise StoreError(f"{path} is no index of keys of half precision: remove its folder, which is made anew")
        keys = _codes(index)
        return cls(index, keys), keys

    @property
    def half_keys(self) -> npt.NDArray[np.float16]:
        """The keys of an index of half precision where they lie, (n, d_k)."""
        return _codes(self._index)

    def write(self, path: Path) -> None:
        """Write the faiss index, unless it is flat; the caller makes it atomic."""
        if not self.is_flat:
            faiss.write_index(self._index, str(path))

    def n_candidates(self, k: int) -> int:
        """How many distinct keys to ask for so that the best ``k`` can be among them."""
        if self.misses_none:
            wanted = k + _MARGIN
        elif self._error <= _ROUNDING:
            wanted = k
        elif self._error <= _NEAR:
            wanted = k + k // 4 + _MARGIN
        else:  # codes only come near the keys: let the keys choose
            wanted = max(4 * k, k + 64)
        return min(self._n_keys, wanted)

    def candidates(self, queries: FloatArray, k: int, among: Mask | None = None) -> IdArray:
        """Rows of the keys that may hold the best ``k``; -1 where none was found.

        Args:
            queries: ``(n_queries, d_k)``.
            k: Keys wanted.
            among: ``(n_keys,)`` which keys may be found; None for all.  Faiss passes over the others while it searches.

        Returns:
            ``(n_queries, n_candidates(k))``; with ``among`` fewer columns where fewer keys may be found.

        Raises:
            StoreError: Faiss has no such search in this kind of index.
        """
        wanted = self.n_candidates(k)
        if among is None:
            found: IdArray = self._index.search(queries, wanted)[1]
            return found
        allowed = int(among.sum())
        if allowed <= max(_FEW, wanted):
            return np.broadcast_to(np.flatnonzero(among), (len(queries), allowed))
        with _refused(f"the index {type(self._index).__name__} cannot search among some of its keys", _OTHER_FACTORY):
            found = self._index.search(queries, wanted, params=self._among(among, allowed))[1]
        return found

    def _among(self, among: Mask, allowed: int) -> Any:
        """Faiss's parameters of a search among some keys, with what `index.search` has set on the index.

        A graph is walked through keys that may not be found, which use up its list; so the list grows as they do.
        """
        wrapped: Any = faiss  # its stubs do not know what its Python side accepts
        selector = wrapped.IDSelectorBitmap(np.packbits(among, bitorder="little"))
        index = self._index
        if isinstance(index, faiss.IndexHNSW):
            width = min(self._n_keys, math.ceil(index.hnsw.efSearch * self._n_keys / allowed))
            return wrapped.SearchParametersHNSW(sel=selector, efSearch=width)
        if isinstance(index, faiss.IndexIVF):
            nprobe = min(index.nlist, math.ceil(index.nprobe * min(_WIDER, self._n_keys / allowed)))
            return wrapped.SearchParametersIVF(sel=selector, nprobe=nprobe)
        return wrapped.SearchParameters(sel=selector)


def _empty(factory: str, search: str | None, d_k: int) -> Any:
    """The untrained index, with its options set: those of the construction must be there before the keys."""
    what = f"index.factory {factory!r} makes no index of keys of width {d_k}"
    if _NO_SIZE.search(factory):
        raise StoreError(f"{what}: a part of it has size 0, or its nodes a single link; {_OTHER_FACTORY}")
    with _refused(what, _OTHER_FACTORY):
        index = faiss.index_factory(d_k, factory, faiss.METRIC_INNER_PRODUCT)
    if index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise StoreError(f"{what}: faiss has it for distances only, not for the inner product; {_OTHER_FACTORY}")
    _set_options(index, factory, search)
    return index


def _to_learn_from(index: Any, keys: npt.NDArray[Any]) -> FloatArray:
    """The keys that cells and codes are learned from: all, or as many as are enough, drawn with a seed of their own."""
    enough = len(keys)
    if isinstance(index, faiss.IndexIVF):
        enough = min(enough, max(_LEARNED, _LEARNED_A_CELL * index.nlist))
    if enough == len(keys):
        return np.asarray(keys, dtype=np.float32)
    rows = np.sort(np.random.default_rng(0).choice(len(keys), enough, replace=False))
    return np.asarray(keys[rows], dtype=np.float32)


def _set_options(index: Any, factory: str, search: str | None) -> None:
    if search is None:
        return
    what = f"index.search {search!r} does not fit index.factory {factory!r}"
    if not _OPTIONS.fullmatch(search):  # faiss would pass over what it cannot read
        raise StoreError(f"{what}: expected name=number, several with commas and no spaces between; {_OTHER_SEARCH}")
    with _refused(what, _OTHER_SEARCH):
        faiss.ParameterSpace().set_index_parameters(index, search)  # type: ignore[arg-type]  # its stub says int


def _is_half(index: Any) -> bool:
    return isinstance(index, faiss.IndexScalarQuantizer) and index.sq.qtype == faiss.ScalarQuantizer.QT_fp16


def _codes(index: Any) -> npt.NDArray[np.float16]:
    """The keys of an index of half precision, without a copy."""
    codes = faiss.rev_swig_ptr(index.codes.data(), index.ntotal * index.code_size)
    codes.setflags(write=False)  # they may lie in a file that is mapped for reading
    keys: npt.NDArray[np.float16] = codes.view(np.float16).reshape(index.ntotal, index.d)
    return keys


def _error(index: Any, keys: npt.NDArray[Any]) -> float:
    """By how much the scores that the index gives to some of the keys are off, relative to the largest."""
    queries = keys[:_PROBES].astype(np.float32)
    found, rows = index.search(queries, len(queries))
    hit = rows >= 0
    exact = exact_scores(queries, keys, rows)[hit]
    largest = max(np.abs(exact).max(initial=0), np.finfo(np.float32).tiny)
    return float(np.abs(found[hit] - exact).max(initial=0) / largest)


@contextmanager
def _refused(what: str, remedy: str) -> Iterator[None]:
    """Turn an exception of faiss into a StoreError."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        raise StoreError(f"{what}: faiss says {_reason(error)!r}; {remedy}") from error


def _reason(error: Exception) -> str:
    """What faiss says, without the place in its source."""
    text = _PLACE.sub("", str(error))
    parts = _CONDITION.match(text)
    return (parts["reason"] or parts["condition"]) if parts else text


@contextmanager
def _warnings_logged(what: str) -> Iterator[None]:
    """Log in one line what faiss prints, once for each of up to hundreds of clusterings.

    It prints from C++, past `sys.stderr`, and not every kind of index lets its clusterings be told to be silent; so the
    file descriptor is led to a file meanwhile.
    """
    with tempfile.TemporaryFile() as file:
        before = os.dup(_STDERR)
        os.dup2(file.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(before, _STDERR)
            os.close(before)
        file.seek(0)
        lines = file.read().decode(errors="replace").splitlines()
    if lines:
        logger.warning(
            "%s: faiss says %s", what, "; ".join(line.removeprefix("WARNING ") for line in dict.fromkeys(lines))
        )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Make faiss work on one thread, and set its number back afterwards."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
