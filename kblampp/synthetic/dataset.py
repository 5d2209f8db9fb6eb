"""The synthetic dataset: worlds and open bases that share no entity, and five splits that share no question."""

from __future__ import annotations

import random

from kblampp.core.params import GenerateParams, OpenParams
from kblampp.data.dataset import Dataset
from kblampp.data.facts import Question
from kblampp.synthetic.open_questions import OpenQuestionWriter
from kblampp.synthetic.open_schema import Part
from kblampp.synthetic.open_worlds import make_open_base
from kblampp.synthetic.questions import QuestionWriter, Wordings
from kblampp.synthetic.worlds import NameMaker, Role, Words, World, make_world

SPLITS: tuple[tuple[str, str, Wordings], ...] = (
    ("train", "train", "train"),
    ("dev", "train", "dev"),
    ("swap", "swap", "all"),
    ("novel", "novel", "all"),
)
"""Split, the knowledge base it asks about, the wordings it may use."""
WORDS_OF_KB: dict[str, Words] = {"train": "mixed", "swap": "known", "novel": "novel"}


def make_synthetic(section: GenerateParams, *, name: str, seed: int) -> Dataset:
    """The synthetic dataset: worlds and open bases that share no entity, and five splits that share no question.

    The training base is a world followed by an open base, and its split asks about both.

    Raises:
        DataError: The sizes asked for do not fit the vocabulary or each other.
    """
    worlds_asked = {"train": section.train, "swap": section.swap, "novel": section.novel}
    taken: set[str] = set()
    worlds: dict[str, World] = {}
    for kb, words in WORDS_OF_KB.items():
        worlds[kb] = make_world(
            worlds_asked[kb].facts,
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
            (section.dev if split == "dev" else worlds_asked[split]).questions_per_type,
            three_hop_share=section.three_hop_share,
            timed_hop_share=section.timed_hop_share,
        )
    kbs = {kb: list(world.facts) for kb, world in worlds.items()}
    # After the worlds, so that these do not depend on the open bases.
    parts: tuple[tuple[Part, OpenParams], ...] = (("train", section.open), ("unseen", section.unseen))
    for part, sizes in parts:
        base = make_open_base(sizes.facts, seed=seed, part=part, taken=taken)
        facts, asked = kbs.setdefault(part, []), questions.setdefault(part, [])
        open_writer = OpenQuestionWriter(
            base,
            random.Random(f"open questions/{seed}/{part}"),
            dataset=name,
            split=part,
            taken=taken,
            seen=seen,
            first_fact=len(facts),
            first_question=len(asked),
        )
        asked += open_writer.write(sizes.questions_per_kind)
        facts += base.facts
    return Dataset(name, kbs, questions, {split: kb for split, kb, _ in SPLITS} | {"unseen": "unseen"})
