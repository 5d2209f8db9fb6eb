"""A dataset: the knowledge bases, the questions of each split, and which base a split asks about.

Everything downstream reads `dataset.json`, so that synthetic worlds and converted datasets look the same to it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from kblampp.core.errors import DataError
from kblampp.core.files import atomic_dir, fingerprint, read_json, sha256_file, write_json
from kblampp.data.facts import FiveTuple, Question, iterate_facts, read_facts, read_questions

TRAINING_KB = "train"
"""The knowledge base that training asks about, on which projections are fitted; every dataset has it."""

HEADLINE_SPLITS = ("swap", "test")


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
    def headline_split(self) -> str:
        """The split that counts: `swap` of the worlds, `test` of a converted dataset."""
        return next((split for split in HEADLINE_SPLITS if split in self.questions), TRAINING_KB)

    def save(self, data: Path) -> None:
        """Writes `5tuple/<kb>.jsonl`, `qa/<name>_<split>.jsonl` and `qa/dataset.json`, each folder at once."""
        with DatasetWriter(data, self.name) as writer:
            for kb, facts in self.kbs.items():
                for fact in facts:
                    writer.append_fact(kb, fact)
            for split, questions in self.questions.items():
                for question in questions:
                    writer.add_question(split, self.kb_of_split[split], question)

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
        every = manifest["kb_of_split"]
        for split in splits or ():
            if split not in every:
                raise DataError(
                    f"dataset {name} has no questions in split {split} (it has {', '.join(sorted(every)) or 'none'}); "
                    "the stages from trainA on need them: give it questions, or run `dvc repro index` and ask it with "
                    "`python -m kblampp.ask`"
                )
        kb_of_split = {split: kb for split, kb in every.items() if splits is None or split in splits}
        wanted = manifest["kbs"] if splits is None else sorted(set(kb_of_split.values()))
        kbs = {kb: read_facts(_made(data / "5tuple" / f"{kb}.jsonl")) for kb in wanted}
        questions = {
            split: read_questions(_made(data / "qa" / f"{name}_{split}.jsonl"), n_facts=len(kbs[kb]))
            for split, kb in kb_of_split.items()
        }
        return Dataset(name, kbs, questions, kb_of_split)


@dataclass(frozen=True)
class DatasetFiles:
    """A dataset as it lies on disk: facts are read one at a time, questions a split at a time.

    Attributes:
        data: The folder.
        name: Name of the dataset.
        kbs: Names of its knowledge bases.
        kb_of_split: Split name -> the knowledge base that it asks about.
    """

    data: Path
    name: str
    kbs: tuple[str, ...]
    kb_of_split: Mapping[str, str]

    @classmethod
    def open(cls, data: Path, name: str) -> DatasetFiles:
        """Reads the manifest alone.

        Raises:
            DataError: It is missing, or is of another dataset.
        """
        manifest = _manifest(data, name)
        return cls(data, name, tuple(manifest["kbs"]), manifest["kb_of_split"])

    def facts(self, kb: str, start: int = 0) -> Iterator[FiveTuple]:
        """The facts of a base from number `start` on.

        Raises:
            DataError: The file is missing or empty, or, when it comes to it, a line is not a fact.
        """
        return iterate_facts(self._facts_file(kb), start)

    def n_facts(self, kb: str) -> int:
        """How many facts a base has: the lines of its file, which are not looked at.

        Raises:
            DataError: The file is missing.
        """
        with open(self._facts_file(kb), "rb") as file:
            return sum(1 for _ in file)

    def questions(self, split: str, n_facts: int) -> list[Question]:
        """The questions of a split, whose base has so many facts.

        Raises:
            DataError: The file is missing or malformed.
        """
        return read_questions(self._questions_file(split), n_facts=n_facts)

    @property
    def fingerprint(self) -> str:
        """Hash of every file of facts and questions."""
        files = [self._facts_file(kb) for kb in self.kbs] + [self._questions_file(split) for split in self.kb_of_split]
        return fingerprint(self.name, *(f"{path.name} {sha256_file(path)}" for path in files))

    def _facts_file(self, kb: str) -> Path:
        return _made(self.data / "5tuple" / f"{kb}.jsonl")

    def _questions_file(self, split: str) -> Path:
        return _made(self.data / "qa" / f"{self.name}_{split}.jsonl")


class DatasetWriter(AbstractContextManager["DatasetWriter"]):
    """Writes a dataset row by row; the files appear when the block ends well, each folder at once.

    What it keeps in memory is a hash and a number for each fact, and a hash for each question id.

    Args:
        data: The folder; `5tuple/` and `qa/` in it are replaced.
        name: Name of the dataset.
    """

    def __init__(self, data: Path, name: str) -> None:
        self._name, self._stack = name, ExitStack()
        self._facts_folder = self._stack.enter_context(atomic_dir(data / "5tuple"))
        self._folder = self._stack.enter_context(atomic_dir(data / "qa"))
        self._files: dict[Path, TextIO] = {}
        self._ids: dict[str, dict[bytes, int]] = {}
        self._seen: dict[str, set[bytes]] = {}
        self._kb_of_split: dict[str, str] = {}
        self.n_facts: dict[str, int] = {}
        self.n_questions: dict[str, int] = {}

    def append_fact(self, kb: str, fact: FiveTuple) -> int:
        """Adds a fact to a base; its id there."""
        self._write(self._facts_folder / f"{kb}.jsonl", fact.to_row())
        self.n_facts[kb] = self.n_facts.get(kb, 0) + 1
        return self.n_facts[kb] - 1

    def add_fact(self, kb: str, fact: FiveTuple) -> int:
        """Adds a fact to a base unless an equal one was added; the id of either."""
        ids, digest = self._ids.setdefault(kb, {}), _digest(json.dumps(fact.to_row(), sort_keys=True))
        if digest not in ids:
            ids[digest] = self.append_fact(kb, fact)
        return ids[digest]

    def add_question(self, split: str, kb: str, question: Question) -> bool:
        """Adds a question to a split that asks about `kb`, unless its id was used; whether it was added."""
        seen, digest = self._seen.setdefault(split, set()), _digest(question.qid)
        if digest in seen:
            return False
        seen.add(digest)
        self._kb_of_split[split] = kb
        self.n_questions[split] = len(seen)
        self._write(self._folder / f"{self._name}_{split}.jsonl", question.to_row())
        return True

    def add_report(self, report: Mapping[str, Any]) -> None:
        """Writes `qa/conversion.json`."""
        write_json(self._folder / "conversion.json", report)

    def _write(self, path: Path, row: Mapping[str, Any]) -> None:
        if path not in self._files:
            self._files[path] = self._stack.enter_context(open(path, "w", encoding="utf-8", newline="\n"))  # noqa: SIM115
        self._files[path].write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:  # an error, also one of the next lines, passes through it and leaves nothing
            if error is not None:
                raise error
            manifest = {"name": self._name, "kbs": sorted(self.n_facts), "kb_of_split": self._kb_of_split}
            write_json(self._folder / "dataset.json", manifest)
            # The training stages depend on this file, also when they pass a trained adapter through.
            (self._folder / f"{self._name}_{TRAINING_KB}.jsonl").touch()


def split_names(data: Path, name: str) -> list[str]:
    """The splits of a dataset, in alphabetical order.

    Raises:
        DataError: It is missing, or another dataset lies there.
    """
    return sorted(_manifest(data, name)["kb_of_split"])


def knowledge_bases(data: Path, name: str) -> list[str]:
    """Names of a dataset's knowledge bases, from its manifest alone.

    Raises:
        DataError: The manifest is missing, or is of another dataset.
    """
    return list(_manifest(data, name)["kbs"])


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _manifest(data: Path, name: str) -> dict[str, Any]:
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
    kbs, kb_of_split = manifest.get("kbs"), manifest.get("kb_of_split")
    if not isinstance(kbs, list) or TRAINING_KB not in kbs:
        raise DataError(
            f"{path}: field 'kbs' is {kbs!r}, expected a list of knowledge bases with {TRAINING_KB} among them; "
            "run `dvc repro generate`"
        )
    if not isinstance(kb_of_split, dict) or not all(isinstance(kb, str) and kb in kbs for kb in kb_of_split.values()):
        raise DataError(
            f"{path}: field 'kb_of_split' is {kb_of_split!r}, expected an object that names one of these knowledge "
            f"bases for each split: {', '.join(map(str, kbs))}; run `dvc repro generate`"
        )
    return manifest


def _made(path: Path) -> Path:
    """The path, if an earlier stage has made the file."""
    if not path.is_file():
        raise DataError(f"{path} does not exist; run `dvc repro generate`")
    return path
