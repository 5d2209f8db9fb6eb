"""Which bases are asked about, and that the held-out ones are not unless they are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from kblampp.core.errors import DataError
from kblampp.transfer.bases import HELD_OUT, ON_DEMAND, sources
from tests.house import ROOT


def test_open_dossiers_and_yago_are_asked_and_held_out_ones_alone_with_their_own_switch() -> None:
    dossiers = {path.name for path in (ROOT / "data" / "dossiers").iterdir() if path.is_dir()}
    assert {source.name for source in sources(ROOT / "data")} == {*dossiers, "yago"} - set(HELD_OUT)
    assert tuple(source.name for source in sources(ROOT / "data", held_out=True)) == HELD_OUT


def test_bases_can_be_named_and_a_strange_name_is_refused(tmp_path: Path) -> None:
    for name in ("club", "farm", *HELD_OUT):
        (tmp_path / "dossiers" / name).mkdir(parents=True)
        (tmp_path / "dossiers" / name / "facts.csv").touch()
    assert [(source.name, source.is_dossier) for source in sources(tmp_path, names=["yago", "farm"])] == [
        ("farm", True),
        ("yago", False),
    ]
    with pytest.raises(DataError, match=r"no base 'shop'.*expected club, farm, yago"):
        sources(tmp_path, names=["shop"])
    with pytest.raises(DataError, match=rf"no base '{HELD_OUT[0]}'.*--held-out"):
        sources(tmp_path, names=[HELD_OUT[0]])


def test_a_dataset_on_demand_is_asked_alone_and_only_when_it_is_named(tmp_path: Path) -> None:
    assert not {source.name for source in sources(ROOT / "data")} & set(ON_DEMAND)
    for name, splits in ON_DEMAND.items():
        (source,) = sources(tmp_path, names=[name])
        assert (source.folder, source.splits, source.is_dossier) == (tmp_path / "raw" / name, splits, False)
        assert sources(tmp_path, names=[name], raw=tmp_path)[0].folder == tmp_path
        with pytest.raises(DataError, match="name it alone"):
            sources(tmp_path, names=["yago", name])
        with pytest.raises(DataError, match=rf"no base '{name}'"):
            sources(tmp_path, names=[name], held_out=True)
