"""A small synthetic dataset, made once a test session, and a reader of question texts that works by trying wordings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path

from kblampp.core.params import DevParams, GenerateParams, OpenParams, UnseenParams, WorldParams
from kblampp.core.params_file import load_params
from kblampp.data.dataset import Dataset
from kblampp.data.facts import Question
from kblampp.synthetic.dataset import make_synthetic
from kblampp.synthetic.schema import BY_ID

NAME = "synth_world"
MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
BEFORE_YEAR = f"[Aa]s of {MONTH}|[Ii]n(?: {MONTH})?|[Bb]etween [0-9]{{4}} and|[Ff]rom [0-9]{{4}} to|[Bb]efore|[Aa]fter"
TIME = re.compile(rf"\b(?:{BEFORE_YEAR}) [0-9]{{4}}\b")
PARAMS = Path(__file__).resolve().parent.parent / "params.yaml"


def default_section() -> GenerateParams:
    """The `generate` section of the repository's params.yaml."""
    return load_params(PARAMS).generate


def small_section() -> GenerateParams:
    """Sizes that take a tenth of a second and still hold every kind of question many times."""
    return default_section().model_copy(
        update={
            "train": WorldParams(facts=1200, questions_per_type=150),
            "dev": DevParams(questions_per_type=150),
            "swap": WorldParams(facts=700, questions_per_type=100),
            "novel": WorldParams(facts=700, questions_per_type=100),
            "open": OpenParams(facts=1000, questions_per_kind=20),
            "unseen": UnseenParams(facts=500, questions_per_kind=10),
        }
    )


@cache
def small_dataset(seed: int = 0) -> Dataset:
    """Treat it as read-only: it is shared."""
    return make_synthetic(small_section(), name=NAME, seed=seed)


@cache
def default_dataset() -> Dataset:
    """What `dvc repro generate` makes; read-only too."""
    return make_synthetic(default_section(), name=NAME, seed=load_params(PARAMS).seed)


@cache
def small_worlds(seed: int = 0) -> Dataset:
    """`small_dataset` without the open bases; read-only too."""
    return _without_open(small_dataset(seed))


@cache
def default_worlds() -> Dataset:
    """`default_dataset` without the open bases; read-only too."""
    return _without_open(default_dataset())


def _without_open(dataset: Dataset) -> Dataset:
    """Facts of the open base stand after those of the world, so that ids stay what they are."""
    kbs = {
        kb: [fact for fact in facts if fact.relation.id in BY_ID] for kb, facts in dataset.kbs.items() if kb != "unseen"
    }
    questions = {
        split: [question for question in questions if "kind" not in (question.program or {})]
        for split, questions in dataset.questions.items()
        if split != "unseen"
    }
    return Dataset(dataset.name, kbs, questions, {split: dataset.kb_of_split[split] for split in questions})


def wordings_of(question: Question) -> list[int]:
    """Which wordings of its last relation say exactly this question about the head and relations of its program."""
    *earlier, last = question.program["relations"]
    times = TIME.findall(question.question)
    phrases = list(_phrases(question.program["head"], earlier))
    return [
        number
        for number, wording in enumerate(BY_ID[last].questions)
        if ("{when}" in wording) == (len(times) == 1)
        and any(_said(wording.format(x=phrase, when="".join(times))) == _said(question.question) for phrase in phrases)
    ]


def _phrases(head: str, relations: Sequence[str]) -> Iterator[str]:
    for choice in product(*(BY_ID[relation].phrases for relation in relations)):
        phrase = head
        for wording in choice:
            phrase = wording.format(x=phrase)
        yield phrase


def _said(text: str) -> str:
    return text[0].upper() + text[1:]
