"""Whoever encodes the texts, the vectors are the same; a worker that dies costs time and nothing else."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from kblampp.core.errors import EncoderError
from kblampp.core.params_file import load_params
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.engines import LocalEngine, RayEngine, TextBlock, open_engine, ray_engine
from kblampp.encoding.ledger import NAMES, RELATIONS
from kblampp.encoding.sentence_encoder import DoubleArray
from tests.encoders import Counting, Reversed
from tests.house import ROOT

DIM = 16
BLOCKS = [
    TextBlock(space, 3 * number, [f"text {number} {row}" for row in range(3)])
    for space in (NAMES, RELATIONS)
    for number in range(6)
]


def make_encoders() -> Encoders:
    return Encoders.of(Counting(DIM), Reversed(DIM))


class Dying(Counting):
    """Kills its process when it meets a text for the first time of all processes."""

    def __init__(self, mark: Path) -> None:
        super().__init__(DIM)
        self._mark = mark

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> DoubleArray:
        if "text 3 1" in texts and not self._mark.exists():
            self._mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(texts, progress=progress)


def make_dying(mark: Path) -> Encoders:
    return Encoders.of(Dying(mark), Reversed(DIM))


class Failing(Counting):
    def encode(self, texts: Sequence[str], *, progress: bool = False) -> DoubleArray:
        raise EncoderError("the encoder fails; try another")


def make_failing() -> Encoders:
    return Encoders.of(Failing(DIM), Reversed(DIM))


def same_as_local(engine: RayEngine) -> None:
    """The same vectors as of this process, each block once."""
    expected = {(block.space, block.start): block.vectors for block in LocalEngine(make_encoders()).encode(BLOCKS)}
    found = list(engine.encode(iter(BLOCKS)))
    assert sorted((block.space, block.start) for block in found) == sorted(expected)
    for block in found:
        np.testing.assert_array_equal(block.vectors, expected[block.space, block.start])


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    """Ray with two processors, whose workers find the modules of the tests too; it takes seconds to start."""
    library = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        library.init(num_cpus=2, object_store_memory=256 << 20, include_dashboard=False, log_to_driver=False)
        yield
        library.shutdown()


@pytest.mark.usefixtures("ray")
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_give_the_vectors_of_this_process(workers: int) -> None:
    with ray_engine(make_encoders, make_encoders().fingerprint, workers) as engine:
        same_as_local(engine)


@pytest.mark.usefixtures("ray")
def test_a_worker_that_is_killed_begins_again(tmp_path: Path) -> None:
    mark = tmp_path / "killed"
    with ray_engine(partial(make_dying, mark), make_encoders().fingerprint, 2) as engine:
        same_as_local(engine)
    assert mark.exists(), "nothing was killed"


@pytest.mark.usefixtures("ray")
def test_what_fails_in_a_worker_is_said_in_its_words() -> None:
    with (
        ray_engine(make_failing, make_failing().fingerprint, 2) as engine,
        pytest.raises(EncoderError, match=r"^the encoder fails; try another$"),
    ):
        list(engine.encode(BLOCKS))


@pytest.mark.usefixtures("ray")
def test_a_worker_with_other_weights_is_refused() -> None:
    with (
        ray_engine(make_encoders, "f" * 64, 1) as engine,
        pytest.raises(EncoderError, match=r"put the same store/encoder"),
    ):
        list(engine.encode(BLOCKS))


def test_without_ray_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    params = load_params(ROOT / "params.yaml")
    section = params.encode.model_copy(update={"engine": "ray"})
    with (
        pytest.raises(EncoderError, match=r"pip install -e '\.\[ray\]'"),
        open_engine(section, params.encoder, Path("store"), make_encoders()),
    ):
        pass


def test_the_default_engine_is_this_process() -> None:
    params = load_params(ROOT / "params.yaml")
    with open_engine(params.encode, params.encoder, Path("store"), make_encoders()) as engine:
        assert isinstance(engine, LocalEngine)
