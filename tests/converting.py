"""Runs a converter on files of a test and reads back what it wrote."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from kblampp.converters.conversion import Conversion
from kblampp.core.params import ConvertParams
from kblampp.core.params_file import load_params
from kblampp.data.dataset import DatasetWriter
from kblampp.data.facts import FiveTuple, Question, read_facts, read_questions
from kblampp.data.windows import SYNTHETIC_TODAY
from tests.house import ROOT

Row = dict[str, Any]
Converter = Callable[[Path, Conversion], None]
SAMPLES = ROOT / "tests" / "data"
"""Dataset -> some of its real rows; a README says which."""
MORE = ROOT.parent / "shared" / "data"
"""More rows of the same files, which are no part of the project."""
real_rows = pytest.mark.parametrize(
    "real",
    [SAMPLES, pytest.param(MORE, marks=pytest.mark.skipif(not MORE.is_dir(), reason="only the samples are here"))],
    ids=["samples", "more"],
)
"""Runs a test on the samples, and on all rows that are at hand."""

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(["", " ", "\x00", "\u2028", "yes", "It"])
BROKEN_TEXTS = TEXTS | st.sampled_from(["\ud83d", "a\udc00b"])
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | BROKEN_TEXTS | st.just([]) | st.just({})


@dataclass(frozen=True)
class Converted:
    """What a conversion wrote.

    Attributes:
        report: The conversion report, as written.
        facts: Base -> facts.
        questions: Split -> questions.
        files: Path below the data folder -> bytes.
    """

    report: Row
    facts: dict[str, list[FiveTuple]]
    questions: dict[str, list[Question]]
    files: dict[str, bytes]

    @property
    def asked(self) -> list[Question]:
        """The questions of all splits."""
        return [question for split in sorted(self.questions) for question in self.questions[split]]

    def support(self, question: Question) -> list[FiveTuple]:
        """The facts that support a question."""
        split = next(split for split, questions in self.questions.items() if question in questions)
        base = self.facts["train" if split == "train" else "all"]
        return [base[number] for number in question.supporting_facts]


def options(**changes: Any) -> ConvertParams:
    """The parameters of the repository, with some changed."""
    return load_params(ROOT / "params.yaml").convert.model_copy(update=changes)


def converted(name: str, converter: Converter, folder: Path, **changes: Any) -> Converted:
    """Converts `folder/raw` to `folder/data` and reads every file there, by the rules of the later stages."""
    data = folder / "data"
    with DatasetWriter(data, name) as writer:
        conversion = Conversion(writer, options(**changes), seed=0, as_of=SYNTHETIC_TODAY)
        converter(folder / "raw", conversion)
        report = conversion.report()
        writer.add_report(report)
    files = {str(path.relative_to(data)): path.read_bytes() for path in sorted(data.rglob("*.json*"))}
    assert json.loads(files["qa/conversion.json"]) == json.loads(json.dumps(report))
    kb_of_split = json.loads(files["qa/dataset.json"])["kb_of_split"]
    facts = {path.stem: read_facts(path) for path in sorted((data / "5tuple").glob("*.jsonl"))}
    questions = {
        split: read_questions(data / "qa" / f"{name}_{split}.jsonl", n_facts=len(facts[kb]))
        for split, kb in kb_of_split.items()
    }
    assert {base: len(rows) for base, rows in facts.items()} == report["facts"]
    assert {split: len(rows) for split, rows in questions.items()} == report["questions"]
    asked = "train" if conversion.one_base else "all"
    assert {kb for split, kb in kb_of_split.items() if split != "train"} <= {asked}
    return Converted(report, facts, questions, files)


def write(folder: Path, name: str, rows: Iterable[object], *, lines: bool = False) -> Path:
    """Writes rows to `folder/raw/name`, as a JSON list or as JSON lines."""
    path = folder / "raw" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [json.dumps(row) for row in rows]
    path.write_text("".join(f"{text}\n" for text in texts) if lines else f"[{', '.join(texts)}]", encoding="utf-8")
    return path


def real_list(path: Path) -> list[Row]:
    """The records of a JSON list of real rows, packed or not."""
    rows: list[Row] = json.loads(_unpacked(path))
    return rows


def real_lines(path: Path) -> list[Row]:
    """The records of JSON lines of real rows, packed or not."""
    return [json.loads(line) for line in _unpacked(path).splitlines()]


def _unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def edited(row: Row, path: str, value: object) -> Row:
    """A copy of the row with the value at "a.0.b" replaced, or removed if it is `...`."""
    copy: Row = json.loads(json.dumps(row))
    *parents, name = (int(part) if part.isdigit() else part for part in path.split("."))
    target: Any = copy
    for parent in parents:
        target = target[parent]
    if value is ...:
        del target[name]
    else:
        target[name] = value
    return copy


def unit_of(split: str, make: Callable[[int], str]) -> str:
    """The first of the units `make(0)`, `make(1)`, ... that is dealt to the split."""
    conversion = Conversion(None, options(), seed=0, as_of=SYNTHETIC_TODAY)  # type: ignore[arg-type]  # dealing writes nothing
    return next(unit for unit in map(make, range(10_000)) if conversion.split_of(unit) == split)


def peak_bytes(name: str, converter: Converter, folder: Path) -> int:
    """The most memory that Python held at once during a conversion of `folder/raw`."""
    tracemalloc.start()
    try:
        with DatasetWriter(folder / "data", name) as writer:
            converter(folder / "raw", Conversion(writer, options(), seed=0, as_of=SYNTHETIC_TODAY))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
