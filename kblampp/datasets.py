"""A dataset: the knowledge bases, the questions of each split, and which base a split asks about.

Everything downstream reads `dataset.json`, so that synthetic worlds and converted datasets look the same to it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kblampp.artifacts import atomic_dir, read_json, write_json
from kblampp.config import GenerateParams
from kblampp.errors import DataError
from kblampp.facts import FiveTuple, Question, read_facts, read_questions, write_facts, write_questions
from kblampp.world_questions import QuestionWriter, Wordings
from kblampp.worlds import NameMaker, Role, Words, World, make_world


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
        """Writes `5tuple/<kb>.jsonl`, `qa/<name>_<split>.jsonl` and `qa/dataset.json` under `data`, each folder at once."""
        with atomic_dir(data / "5tuple") as folder:
            for kb, facts in self.kbs.items():
                write_facts(folder / f"{kb}.jsonl", facts)
        with atomic_dir(data / "qa") as folder:
            for split, questions in self.questions.items():
                write_questions(folder / f"{self.name}_{split}.jsonl", questions)
            write_json(folder / "dataset.json", {"name": self.name, "kb_of_split": dict(self.kb_of_split)})

    @staticmethod
    def load(data: Path, name: str) -> Dataset:
        """Reads what `save` wrote and checks every row.

        Raises:
            DataError: A file is missing or malformed, or belongs to another dataset.
        """
        manifest = read_json(data / "qa" / "dataset.json", error=DataError)
        if not isinstance(manifest, dict) or manifest.get("name") != name:
            raise DataError(
                f"{data / 'qa' / 'dataset.json'}: params.yaml asks for dataset {name!r}, but these are the questions of "
                f"another; run `dvc repro generate`"
            )
        kb_of_split = dict(manifest["kb_of_split"])
        kbs = {kb: read_facts(data / "5tuple" / f"{kb}.jsonl") for kb in sorted(set(kb_of_split.values()))}
        questions = {
            split: read_questions(data / "qa" / f"{name}_{split}.jsonl", n_facts=len(kbs[kb]))
            for split, kb in kb_of_split.items()
        }
        return Dataset(name, kbs, questions, kb_of_split)


SPLITS: tuple[tuple[str, str, Wordings], ...] = (
    ("train", "train", "train"),
    ("dev", "train", "dev"),
    ("swap", "swap", "all"),
    ("novel", "novel", "all"),
)
"""Split, the knowledge base it asks about, the wordings it may use."""
WORDS_OF_KB: dict[str, Words] = {"train": "known", "swap": "known", "novel": "novel"}


def make_synthetic(section: GenerateParams, *, name: str, seed: int) -> Dataset:
    """The synthetic dataset: three worlds that share no entity, and four splits that share no question.

    Raises:
        DataError: The sizes asked for do not fit the vocabulary or each other.
    """
    sizes = {"train": section.train, "dev": section.dev, "swap": section.swap, "novel": section.novel}
    taken: set[str] = set()
    worlds: dict[str, World] = {}
    for kb, words in WORDS_OF_KB.items():
        worlds[kb] = make_world(
            sizes[kb].facts,
            seed=f"{seed}/{kb}",
            words=words,
            taken=taken,
            max_answer_share=section.max_answer_share,
        )
    seen: set[str] = set()
    questions: dict[str, list[Question]] = {}
    role: Role = "evaluated"
    for split, kb, wordings in SPLITS:
        rng = random.Random(f"questions/{seed}/{split}")
        writer = QuestionWriter(
            worlds[kb],
            rng,
            dataset=name,
            split=split,
            wordings=wordings,
            names=NameMaker(rng, WORDS_OF_KB[kb], role, taken),
            seen=seen,
        )
        questions[split] = writer.write(
            sizes[split].questions_per_type,
            three_hop_share=section.three_hop_share,
            timed_hop_share=section.timed_hop_share,
        )
    kbs = {kb: world.facts for kb, world in worlds.items()}
    return Dataset(name, kbs, questions, {split: kb for split, kb, _ in SPLITS})
