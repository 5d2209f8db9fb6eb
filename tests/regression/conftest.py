"""The committed adapter, opened once, and bases for it to read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from kblampp import KBModel, KnowledgeBase
from kblampp.tables.reading import read_facts_table
from tests.house import ROOT

EXAMPLE = ROOT / "docs/examples/own-kb/facts.csv"
LIGHTHOUSE = ROOT / "data/dossiers/lighthouse/facts.csv"
IN_2001 = "Who was the director of the Harrowgate Museum in 2001?"


@pytest.fixture(scope="session")
def opened_model() -> KBModel:
    threads = torch.get_num_threads()
    opened = KBModel.open()
    torch.set_num_threads(threads)
    return opened


@pytest.fixture
def model(opened_model: KBModel) -> Iterator[KBModel]:
    """With the threads that its answers were measured with."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield opened_model
    torch.set_num_threads(threads)


@pytest.fixture
def museum(tmp_path: Path) -> KnowledgeBase:
    return filled(tmp_path / "museum.kb", EXAMPLE)


def filled(path: Path, table: Path) -> KnowledgeBase:
    """A base with the facts of a table."""
    made = KnowledgeBase.create(path)
    made.add([row.fact for row in read_facts_table(table).facts], what="import", note=table.name)
    return made


def measured(dossier: str) -> dict[str, str]:
    """What the stage `transfer` was answered to each question about a dossier."""
    rows = map(json.loads, (ROOT / "metrics/transfer/answers.jsonl").read_text(encoding="utf-8").splitlines())
    return {row["question"]: row["model"] for row in rows if row["base"] == dossier}
