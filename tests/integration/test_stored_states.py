"""`trainA.cache_states_gb` makes the stage faster and its adapter no other one."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

from kblampp.training import stored_states
from tests.integration.conftest import NAME, stage


@pytest.fixture
def bench(bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the prepared folder that is the working directory, with a cache of its own."""
    monkeypatch.setenv("KBLAMPP_CACHE", str(tmp_path / "cache"))
    return bench


def adapter(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "store" / NAME / "trainA").iterdir() if path.is_file()}


def test_with_stored_states_the_stage_trains_the_same_adapter(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (weights,) = (bench / "store" / NAME / "trainA").glob("*.safetensors")
    expected = load_file(weights)
    assert stage("trainA", trainA__cache_states_gb=0.5) == 0
    assert len([path for path in (tmp_path / "cache" / "hidden-states").iterdir() if path.is_dir()]) == 1
    assert "storing the hidden states" in caplog.text
    found, bytes_found = load_file(weights), adapter(bench)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert_close(found[name].float(), tensor.float(), rtol=0, atol=0.02, msg=name)
    monkeypatch.setattr(stored_states, "_fill", None)  # it would fail: a second run reads
    assert stage("trainA") == 0
    assert adapter(bench) == bytes_found
