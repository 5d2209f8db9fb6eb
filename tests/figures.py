"""Made-up figures in the form that the stages write, for the plots: no training is needed to draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kblampp.core.files import write_json

SYSTEMS = ("stage_a", "stage_b", "lookup", "in_context", "rag_1", "rag_4", "rag_8", "closed_book", "no_copy_head")
TYPES = ("single_hop", "temporal", "two_hop", "three_hop", "unanswerable")
SPLITS = ("dev", "swap", "novel")


def write_figures(metrics: Path) -> None:
    """Writes everything that the plots read."""
    plots = metrics / "eval" / "plots"
    write_json(plots / "em_by_type.json", em_rows())
    write_json(plots / "recall_by_k.json", recall_rows())
    write_json(plots / "risk_coverage.json", risk_rows())
    write_json(plots / "reliability.json", reliability_rows())
    for stage, first in (("trainA", 4.0), ("trainB", 0.4)):
        parts = ("answer", "form", "words", "select", "time", "hop", "path")
        for number, name in enumerate(("loss", *(f"{part}_loss" for part in parts), "lr")):
            lines = [f"{step}\t{first / (number + 1) / (1 + step / 100):.5f}" for step in range(25, 600, 25)]
            folder = metrics / stage / "plots" / "metrics" / "train"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.tsv").write_text("\n".join([f"step\t{name}", *lines, ""]), encoding="utf-8")
    write_json(metrics / "evidence" / "plots" / "questions.json", [question_row(kind) for kind in TYPES])
    write_json(metrics / "sweep" / "table.json", sweep_results())


def em_rows() -> list[dict[str, Any]]:
    """A row for each split, system and type; systems are worse the later they come."""
    return [
        {"split": split, "system": system, "type": kind, "em": em, "em_stderr": 0.01, "n": 300}
        for split in SPLITS
        for place, system in enumerate(SYSTEMS)
        for number, kind in enumerate(TYPES)
        for em in [round(max(0.0, 1 - 0.13 * place - 0.04 * number), 3)]
    ]


def recall_rows() -> list[dict[str, Any]]:
    """Curves that rise towards one."""
    return [
        {"split": split, "type": kind, "k": k, "recall": round(1 - 0.03 * (number + place) / k, 5)}
        for place, split in enumerate(SPLITS)
        for number, kind in enumerate(TYPES[:4])
        for k in range(1, 17)
    ]


def risk_rows() -> list[dict[str, Any]]:
    """Curves that rise with coverage."""
    return [
        {"split": split, "coverage": step / 20, "risk": round(0.05 * (place + 1) * (step / 20) ** 4, 5)}
        for place, split in enumerate(SPLITS)
        for step in range(1, 21)
    ]


def reliability_rows() -> list[dict[str, Any]]:
    """Answers that are right a little less often than they are probable."""
    return [
        {"split": split, "confidence": step / 10, "right": round((step / 10) ** (1 + place / 4), 5), "ece": 0.01}
        for place, split in enumerate(SPLITS)
        for step in range(1, 11)
    ]


def sweep_results() -> dict[str, Any]:
    """Two parameters; their names and values are sorted as texts, as in the file."""
    row = {"em_single_hop": 0.9, "em_temporal": 0.8, "em_two_hop": 0.7, "recall_at_1": 0.95}
    return {
        "encoder.d_k": {"160": row, "192": row},
        "selector.top_k": {"1": {**row, "em_temporal": 0.5}, "16": row, "2": row},
    }


def question_row(kind: str) -> dict[str, Any]:
    """An object of `metrics/evidence/plots/questions.json`; only temporal questions have a time."""
    timed, layers = kind == "temporal", [2, 4, 5]
    windows = [(None, "1998-03-01"), ("1998-03-01", "2007-11-01"), ("2009-05-01", None)]
    labels = [
        f"Silver Harbor Holdings — chief executive officer — Clara Weber{n} (1998-03-01 to 2007-11-01)"
        for n in range(14)
    ]
    facts = [{"index": n, "label": label, "supporting": n == 1} for n, label in enumerate(labels)]
    facts.append({"index": None, "label": "null fact", "supporting": False})
    alpha = [[round(0.9 ** (n + 1 + layer) / 4, 5) if n != 1 else 0.8 for n in range(15)] for layer in range(3)]
    words = "Question : Who was the chief exec utive officer of Sil ver Har bor Hold ings in 2003 ? \n Answer : Cl ara"
    text = [*words.split(" "), "Web", "er", "<eos>"]
    start = len(text) - 5
    return {
        "type": kind,
        "qid": f"synth_world_swap_{kind}",
        "question": "Who was the chief executive officer of Silver Harbor Holdings " + "in 2003?" * timed,
        "answer": "" if kind == "unanswerable" else "Clara Weber1",
        "prediction": "Clara Weber1",
        "question_time": ["2003-01-01", "2004-01-01"] if timed else None,
        "layers": layers,
        "heat_map": {"facts": facts, "alpha": alpha},
        "bars": [{**fact, "alpha": weight} for fact, weight in zip(facts, alpha[-1], strict=True)],
        "tokens": {
            "text": text,
            "answer_start": start,
            "beta": [[0.1 * layer + 0.5 * (n >= start - 1) for n in range(len(text))] for layer in range(3)],
            "copy_gate": 0.95,
            "copied": [0.9, 0.95, 0.97, 0.99, 0.2],
        },
        "timeline": {
            "head": "Silver Harbor Holdings",
            "relation": "chief executive officer",
            "facts": [
                {
                    "index": n,
                    "tail": f"Clara Weber{n}",
                    "window": list(window) if timed else [None, None],
                    "supporting": n == 1,
                    "alpha": alpha[-1][n],
                }
                for n, window in enumerate(windows)
            ],
        },
    }
