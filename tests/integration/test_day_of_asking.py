"""What is trained does not depend on the day on which it is trained."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

import pytest

from kblampp.core.params_file import load_params
from kblampp.data.dataset import DatasetFiles
from kblampp.encoding.encode import encode_dataset
from kblampp.encoding.encoders import load_encoders
from kblampp.model import workspace as opening
from tests.integration.conftest import NAME, stage
from tests.pipeline.conftest import digest


class Later(datetime.date):
    """A calendar in which years have passed since the stores of the tests were made."""

    @classmethod
    def today(cls) -> Later:
        return cls(2043, 7, 14)


@pytest.fixture
def later(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder that is the working directory, years later."""
    folder = Path(shutil.copytree(prepared, tmp_path / "later"))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(datetime, "date", Later)
    return folder


def test_the_calendar_of_these_tests_is_the_one_that_the_package_looks_at(later: Path) -> None:
    """Else the tests below could not fail."""
    assert opening.SelectorOptions(top_k=1).as_of == Later(2043, 7, 14).toordinal()


def test_stores_and_training_are_the_same_on_another_day(later: Path, prepared: Path) -> None:
    params, store = load_params(), Path("store") / NAME
    for name in ("kb", "projection", "trainA"):
        shutil.rmtree(store / name)
    encoders = load_encoders(params.encoder.model, Path("store"))
    encode_dataset(DatasetFiles.open(Path("data"), NAME), store, params.encoder, encoders)
    assert stage("trainA") == 0
    for name in ("kb", "projection", "trainA"):
        assert digest(store / name) == digest(prepared / store / name), name
    assert digest(Path("metrics/trainA")) == digest(prepared / "metrics/trainA")
