"""Results on real datasets: ``python -m kblampp.experiments.cross_validation timeqa hotpotqa``.

The units of a dataset (pages, questions) are dealt to folds.  For each fold a DVC experiment trains on the others and
asks about this one, so that every question is asked by a model that has trained on no question about its unit
(cross-validation).  Figures of the folds are kept in `metrics/real/<dataset>.json`, what stands there is not run again,
and the pooled tables are written to `docs/results.md`.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kblampp.core.errors import DataError, one_line_errors
from kblampp.core.files import atomic_write, read_json, write_json
from kblampp.experiments.dvc_runs import file_of, run_experiment
from kblampp.report.names import FIGURES, REFUSALS, questions_of
from kblampp.report.tables import named_systems, shown, shown_em, table_head, table_line, with_table

SUMMARY = (__doc__ or "").split("\n\n")[0]
logger = logging.getLogger(__name__)
METRICS = Path("metrics/real")
PAGE = Path("docs/results.md")
BEGIN, END = "<!-- results: begin (python -m kblampp.experiments.cross_validation --show) -->", "<!-- results: end -->"
FOLDS = 3
SHORT = {
    "trainA.max_steps": 400,
    "trainA.batch_size": 32,
    "trainA.query_lr": 0.0002,
    "trainA.warmup_steps": 40,
    "trainB.max_steps": 0,
    "eval.adapter": "trainA",
    "eval.ablations": "none",
    "convert.folds": FOLDS,
}
"""Of every fold: a few hundred questions train, so training is short, and slow for the queries, which start well."""
DATASETS = ("timeqa", "hotpotqa")
SPLITS = ("test", "test_hard")
RETRIEVAL = ("f1", "recall_at_1", "recall_at_8", "support_recall_at_8")
POOLED = ("em", *RETRIEVAL, "prompt_tokens", "abstain_auroc")


def run_dataset(dataset: str, path: Path) -> None:
    """Runs the folds that `path` does not hold yet, and adds each as it comes.

    Raises:
        DataError: An experiment failed, or `path` holds folds of other settings.
    """
    done: dict[str, Any] = read_json(path, error=DataError) if path.exists() else {"folds": {}, "settings": SHORT}
    if done.get("settings") != SHORT:
        raise DataError(f"{path} holds folds of other settings; delete it to run all of them again")
    for fold in map(str, range(FOLDS)):
        if fold in done["folds"]:
            logger.info("%s: fold %s stands in %s; delete the file to run it again", dataset, fold, path)
            continue
        logger.info("%s: fold %s of %d", dataset, fold, FOLDS)
        name = f"real-{dataset}-{fold}"
        run_experiment(name, {"dataset": dataset, **SHORT, "convert.fold": fold}, copy=raw_files(dataset))
        files = {part: json.loads(file_of(name, f"metrics/eval/{part}.json")) for part in ("table", "abstention")}
        done["folds"][fold] = {part: _tested(content) for part, content in files.items()}
        write_json(path, done)


def raw_files(dataset: str) -> list[str]:
    """The raw files of a dataset, which git does not know and an experiment in a temporary copy needs.

    Raises:
        DataError: There are none.
    """
    folder = Path("data/raw") / dataset
    files = sorted(str(path) for path in folder.glob("[!.]*") if path.is_file() and path.name != "README.md")
    if not files:
        raise DataError(f"{folder} holds no raw files; {folder / 'README.md'} says where to get them")
    return files


def _tested(splits: Mapping[str, Any]) -> dict[str, Any]:
    return {split: rows for split, rows in splits.items() if split in SPLITS}


def pooled(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One row of several folds: means weighted by n; the folds share no question, so variances add.

    Args:
        rows: `{figure: value}` of each fold, with `n`.
    """
    total = sum(row["n"] for row in rows)
    result: dict[str, Any] = {"n": total}
    result |= {name: mean for name in POOLED if (mean := _mean(rows, name)) is not None}
    result["em_stderr"] = math.sqrt(sum((row["em_stderr"] * row["n"]) ** 2 for row in rows)) / total
    return result


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """A figure over the rows that have it, weighted by their n; None if none has."""
    parts = [(row[name], row["n"]) for row in rows if row.get(name) is not None]
    return sum(value * n for value, n in parts) / sum(n for _, n in parts) if parts else None


def result_lines(dataset: str, done: Mapping[str, Any]) -> list[str]:
    """The Markdown table of one dataset, all folds pooled."""
    heads = ["questions", "system", f"{FIGURES['em']}, answerable", *(FIGURES[name] for name in RETRIEVAL)]
    heads += [f"{FIGURES['em']}, unanswerable", FIGURES["auroc"], f"refusal {REFUSALS['refusal_f1']}"]
    lines = table_head([*heads, FIGURES["prompt_tokens"]])
    folds = list(done["folds"].values())
    for split in SPLITS:
        tables = [fold["table"][split] for fold in folds if split in fold["table"]]
        systems = dict(tables[0]) if tables else {}
        systems.pop("stage_b", None)  # without steps of Stage B its rows are those of Stage A
        for system, name in named_systems(systems).items():
            kinds = {
                kind: pooled([table[system][kind] for table in tables if kind in table.get(system, {})])
                for kind in ("answerable", "unanswerable", "all")
                if any(kind in table.get(system, {}) for table in tables)
            }
            refusals = [fold["abstention"][split] for fold in folds if split in fold["abstention"]]
            lines.append(
                table_line([questions_of(dataset, split), name, *_cells(kinds, refusals if "stage" in system else ())])
            )
    return lines


def _cells(kinds: Mapping[str, Mapping[str, Any]], refusals: Sequence[Mapping[str, Any]]) -> list[str]:
    able, unable = kinds.get("answerable", {}), kinds.get("unanswerable", {})
    figures = [able.get(name) for name in RETRIEVAL]
    after = [unable.get("abstain_auroc"), _mean(refusals, "refusal_f1")]
    tokens = kinds.get("all", {}).get("prompt_tokens")
    return [
        shown_em(able),
        *map(shown, figures),
        shown_em(unable),
        *map(shown, after),
        "–" if tokens is None else f"{tokens:.0f}",
    ]


def tables(metrics: Path) -> str:
    """The tables of all datasets that have been run.

    Raises:
        DataError: A file is not JSON, or none is there.
    """
    found = {name: metrics / f"{name}.json" for name in DATASETS if (metrics / f"{name}.json").is_file()}
    if not found:
        raise DataError(f"{metrics} holds no results; run `python -m kblampp.experiments.cross_validation timeqa`")
    parts = ["\n".join(result_lines(name, read_json(path, error=DataError))) for name, path in found.items()]
    return "\n\n".join(parts)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs datasets, prints the tables and writes them into `docs/results.md`."""
    parser = argparse.ArgumentParser(prog="python -m kblampp.experiments.cross_validation", description=SUMMARY)
    parser.add_argument("datasets", nargs="*", metavar="DATASET", help=f"of {', '.join(DATASETS)}; default: all")
    parser.add_argument("--show", action="store_true", help="run nothing: print the tables and write them to the page")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)

    def work() -> None:
        for dataset in arguments.datasets:
            if dataset not in DATASETS:
                raise DataError(f"no results are made for dataset {dataset!r}, expected {' or '.join(DATASETS)}")
        for dataset in [] if arguments.show else arguments.datasets or DATASETS:
            run_dataset(dataset, METRICS / f"{dataset}.json")
        result = tables(METRICS)
        text = with_table(PAGE.read_text(encoding="utf-8"), result, str(PAGE), BEGIN, END)
        with atomic_write(PAGE) as file:
            file.write(text)
        sys.stdout.write(result + "\n")

    return one_line_errors(work)


if __name__ == "__main__":
    raise SystemExit(main())
