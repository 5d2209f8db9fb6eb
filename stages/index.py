"""Builds the search index of each knowledge base: `store/<dataset>/index/<kb>/`, and checks it against exact search."""

from __future__ import annotations

from pathlib import Path

from kblampp.core.params import Params
from kblampp.core.program import run_stage
from kblampp.data.dataset import knowledge_bases
from kblampp.index.build import build_indexes, write_index_report


def main(params: Params) -> None:
    """Indexes the keys; fails when recall@8 against exact search is below `index.min_recall_at_8`."""
    kbs = knowledge_bases(Path("data"), params.dataset)
    report = build_indexes(kbs, Path("store") / params.dataset, params.index)
    write_index_report(Path("metrics/index/recall.json"), report)


if __name__ == "__main__":
    raise SystemExit(run_stage("index", main))
