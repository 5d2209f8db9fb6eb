"""A dataset: the knowledge bases, the questions of each split, and which base a split asks about.

Everything downstream reads `dataset.json`, so that synthetic worlds and converted datasets look the same to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kblampp.artifacts import atomic_dir, read_json, write_json
from kblampp.errors import DataError
from kblampp.facts import FiveTuple, Question, read_facts, read_questions, write_facts, write_questions


@dataclass(frozen=True)
class Dataset:
    """Knowledge bases and questions.

    Attributes:
        name: Name of the dataset; part of the paths in `store/`.
        kbs: Knowledge base name -> its facts.
        questions: Split name -> its questions.
        kb_of_split: Split name -> the knowledge base that it asks about.
    """

    name: str
    kbs: Mapping[str, list[FiveTuple]]
    questions: Mapping[str, list[Question]]
    kb_of_split: Mapping[str, str]

    @property
    def projection_kb(self) -> str:
        """The knowledge base on which projections are fitted: the one that training asks about."""
        return self.kb_of_split["train"]

    def save(self, data: Path) -> None:
        """Writes `5tuple/<kb>.jsonl`, `qa/<name>_<split>.jsonl` and `qa/dataset.json`, each folder at once."""
        with atomic_dir(data / "5tuple") as facts_folder, atomic_dir(data / "qa") as folder:
            for kb, facts in self.kbs.items():
                write_facts(facts_folder / f"{kb}.jsonl", facts)
            for split, questions in self.questions.items():
                write_questions(folder / f"{self.name}_{split}.jsonl", questions)
            write_json(folder / "dataset.json", {"name": self.name, "kb_of_split": dict(self.kb_of_split)})

    @staticmethod
    def load(data: Path, name: str, splits: Sequence[str] | None = None) -> Dataset:
        """Reads what `save` wrote and checks every row.

        Args:
            data: The folder.
            name: The dataset that is expected there.
            splits: The splits to read, with the knowledge bases that they ask about; None for all.

        Raises:
            DataError: A file is missing or malformed, or belongs to another dataset.
        """
        manifest = _manifest(data, name)
        kb_of_split = {split: kb for split, kb in manifest.items() if splits is None or split in splits}
        kbs = {kb: read_facts(_made(data / "5tuple" / f"{kb}.jsonl")) for kb in sorted(set(kb_of_split.values()))}
        questions = {
            split: read_questions(_made(data / "qa" / f"{name}_{split}.jsonl"), n_facts=len(kbs[kb]))
            for split, kb in kb_of_split.items()
        }
        return Dataset(name, kbs, questions, kb_of_split)


def knowledge_bases(data: Path, name: str) -> list[str]:
    """Names of a dataset's knowledge bases, from its manifest alone.

    Raises:
        DataError: The manifest is missing, or is of another dataset.
    """
    return sorted(set(_manifest(data, name).values()))


def _manifest(data: Path, name: str) -> dict[str, str]:
    path = _made(data / "qa" / "dataset.json")
    try:
        manifest = read_json(path, error=DataError)
    except DataError as error:
        raise DataError(f"{error}; run `dvc repro generate`") from error
    if not isinstance(manifest, dict) or manifest.get("name") != name:
        raise DataError(
            f"{path}: params.yaml asks for dataset {name!r}, but the questions there are of another; "
            "run `dvc repro generate`"
        )
    kb_of_split = manifest.get("kb_of_split")
    named = isinstance(kb_of_split, dict) and all(isinstance(kb, str) for kb in kb_of_split.values())
    if not isinstance(kb_of_split, dict) or not named or "train" not in kb_of_split:
        raise DataError(
            f"{path}: field 'kb_of_split' is {kb_of_split!r}, expected an object that names the knowledge base of "
            "split train and of each other split; run `dvc repro generate`"
        )
    return dict(kb_of_split)


def _made(path: Path) -> Path:
    """The path, if an earlier stage has made the file."""
    if not path.is_file():
        raise DataError(f"{path} does not exist; run `dvc repro generate`")
    return path
