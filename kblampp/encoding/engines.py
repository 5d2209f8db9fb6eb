"""Who encodes the texts of a dataset, block by block: this process, or Ray's workers on one machine or many.

A block is the same texts in the same order whoever encodes it, and each is encoded by itself, so that what is written
does not depend on the engine or the number of its workers (as little as on batches and threads: `sentence_encoder`).

Ray's actors and not Ray Data: one block is asked for whenever a worker is free, so that the texts and vectors that are
under way are bounded and each finished block is on the disk at once; and Ray's core alone needs no pyarrow or pandas.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from kblampp.core.errors import EncoderError, first_line
from kblampp.core.params import EncodeParams, EncoderParams
from kblampp.encoding.encoders import Encoders, load_encoders
from kblampp.encoding.ledger import NAMES
from kblampp.encoding.sentence_encoder import DoubleArray
from kblampp.encoding.vector_cache import CachedEncoder

logger = logging.getLogger(__name__)

RESTARTS = 20
"""How often a worker that was killed, or whose machine is gone, begins again, and how often a block does."""
_OBJECT_STORE = 256 << 20  # bytes of shared memory of a Ray that is started here: some forty blocks


@dataclass(frozen=True)
class TextBlock:
    """Texts that are encoded together.

    Attributes:
        space: Whose: `ledger.NAMES` or `ledger.RELATIONS`.
        start: Number of the first text.
        texts: Them.
    """

    space: int
    start: int
    texts: Sequence[str]


@dataclass(frozen=True)
class EncodedBlock:
    """What became of a block.

    Attributes:
        space: As of the block.
        start: As of the block.
        vectors: ``(texts, d_sent)`` float64.
        n_cached: Of how many the machine's cache had the vector.
    """

    space: int
    start: int
    vectors: DoubleArray
    n_cached: int


class Engine(Protocol):
    """Encodes blocks."""

    def encode(self, blocks: Iterable[TextBlock]) -> Iterator[EncodedBlock]:
        """Each block once, in any order; a few are taken in advance.

        Raises:
            EncoderError: A block cannot be encoded.
        """


def encode_block(encoders: Encoders, block: TextBlock) -> EncodedBlock:
    """The vectors of a block, of which the encoders keep nothing in memory."""
    encoder = (encoders.names if block.space == NAMES else encoders.relations).encoder
    before = encoder.n_cached if isinstance(encoder, CachedEncoder) else 0
    vectors = encoder.encode(block.texts)
    after = encoder.n_cached if isinstance(encoder, CachedEncoder) else 0
    return EncodedBlock(block.space, block.start, vectors, after - before)


class LocalEngine:
    """Encodes in this process."""

    def __init__(self, encoders: Encoders) -> None:
        self._encoders = encoders

    def encode(self, blocks: Iterable[TextBlock]) -> Iterator[EncodedBlock]:
        """One block after the other."""
        return (encode_block(self._encoders, block) for block in blocks)


@contextmanager
def open_engine(params: EncodeParams, encoder: EncoderParams, store: Path, encoders: Encoders) -> Iterator[Engine]:
    """The engine of `encode.engine`.

    Args:
        params: The section `encode`.
        encoder: The section `encoder`, from which a worker loads its own encoders.
        store: The folder `store`; a worker on another machine finds it at the same path.
        encoders: Those of this process.

    Raises:
        EncoderError: Ray is not installed, or cannot be started or reached.
    """
    if params.engine == "local":
        yield LocalEngine(encoders)
        return
    model = str(Path(encoder.model).resolve()) if Path(encoder.model).is_dir() else encoder.model
    load = partial(load_encoders, model, store.resolve(), batch_size=encoder.batch_size)
    with ray_engine(load, encoders.fingerprint, params.workers) as engine:
        yield engine


class Worker:
    """An actor: encoders in a process of its own.

    Args:
        load: Makes them, when they are first needed.
        fingerprint: What they must be, so that another version on another machine gives no wrong vector.
    """

    def __init__(self, load: Callable[[], Encoders], fingerprint: str) -> None:
        self._load, self._fingerprint = load, fingerprint
        self._encoders: Encoders | None = None

    def encode(self, block: TextBlock) -> EncodedBlock:
        """As `encode_block`.

        Raises:
            EncoderError: The encoders are others than those of the process that asks.
        """
        if self._encoders is None:
            encoders = self._load()
            if encoders.fingerprint != self._fingerprint:
                raise EncoderError(
                    f"a worker has the encoder {encoders.name!r} with the fingerprint {encoders.fingerprint[:12]}, "
                    f"expected {self._fingerprint[:12]}: put the same store/encoder and packages on every machine"
                )
            self._encoders = encoders
        return encode_block(self._encoders, block)


class RayEngine:
    """Encodes with actors of Ray; one that is killed begins again, and so does its block."""

    def __init__(self, ray: Any, workers: Sequence[Any]) -> None:
        self._ray, self._workers = ray, workers

    def encode(self, blocks: Iterable[TextBlock]) -> Iterator[EncodedBlock]:
        """A block for each worker that is free; they come back as they are done."""
        from ray.util import ActorPool

        pool = ActorPool(list(self._workers))
        try:
            for block in blocks:
                if not pool.has_free():
                    yield pool.get_next_unordered()
                pool.submit(lambda worker, one: worker.encode.remote(one), block)
            while pool.has_next():
                yield pool.get_next_unordered()
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error  # what a worker raised, without the traceback of its process
            if isinstance(cause, EncoderError):
                raise EncoderError(str(cause)) from error
            raise EncoderError(
                f"a worker of Ray failed for good ({first_line(cause)}); what is encoded is kept: see Ray's log for "
                "the reason and run encode again, or set encode.engine to local"
            ) from error


@contextmanager
def ray_engine(load: Callable[[], Encoders], fingerprint: str, workers: int) -> Iterator[RayEngine]:
    """Workers of the Ray that the environment variable RAY_ADDRESS names; without it one is started on this machine.

    A Ray that this process has started before is used as it is, and goes on afterwards.

    Args:
        load: Makes a worker's encoders.
        fingerprint: Of the encoders.
        workers: How many; each has one processor.

    Raises:
        EncoderError: Ray is not installed, or cannot be started or reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    try:
        import ray
    except ImportError:
        raise EncoderError(
            "encode.engine is ray, which needs the package ray: install it with `pip install -e '.[ray]'`, or set "
            "encode.engine to local"
        ) from None
    options: dict[str, Any] = {}
    if not os.environ.get("RAY_ADDRESS"):
        options = {"num_cpus": workers, "object_store_memory": _OBJECT_STORE, "include_dashboard": False}
    own = not ray.is_initialized()
    try:
        if own:
            ray.init(log_to_driver=False, logging_level=logging.WARNING, **options)
    except Exception as error:  # Ray raises a dozen unrelated types for a cluster that is not there
        raise EncoderError(
            f"Ray cannot be started or reached at RAY_ADDRESS={os.environ.get('RAY_ADDRESS', '')!r} "
            f"({first_line(error)}): start it with `ray start --head`, unset RAY_ADDRESS, or set encode.engine to local"
        ) from error
    actor = ray.remote(max_restarts=RESTARTS, max_task_retries=RESTARTS, num_cpus=1)(Worker)
    started = [actor.remote(load, fingerprint) for _ in range(workers)]
    try:
        yield RayEngine(ray, started)
    finally:
        for worker in started:
            ray.kill(worker)
        if own:
            ray.shutdown()
