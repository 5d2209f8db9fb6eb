"""A tiny knowledge base on disk, questions about it, and models that read it; made in well under a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from kblampp.backbone.load import Backbone
from kblampp.data.facts import Context, Entity, FiveTuple, Question, Relation
from kblampp.data.windows import UNKNOWN, Window, day, year_window
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.projections import Projections, fit_projections
from kblampp.encoding.sentence_encoder import DeterministicEncoder, FloatArray
from kblampp.encoding.store import KBValueStore
from kblampp.evaluation.questions import with_times
from kblampp.index.knowledge_index import KnowledgeIndex
from kblampp.model.batches import TrainingBatches, prompt_batches
from kblampp.model.checkpoint import build_model
from kblampp.model.injection import KBInjectedModel
from kblampp.model.inputs import EncodedQuestions, Knowledge, Questions, SelectorOptions, StoredBase
from kblampp.model.prompts import closed_book_prompt
from tests.tiny import tiny_tokenizer

ENCODER = DeterministicEncoder(64)
ENCODERS = Encoders.of(ENCODER)
WIDTHS = {"d_k": 40, "d_v": 32, "d_ctx": 16, "d_tau": 4}
TOWNS = ("Port", "Port Alder", "Ilmen", "Quarr", "Vesk", "Brill", "Toral", "Nimes")
PEOPLE = (
    "Ada Low",
    "Bo High",
    "Cy Mid",
    "Dana Orr",
    "Eli Fenn",
    "Fay Holt",
    "Gus Ward",
    "Hal Birch",
    "Ines Moor",
    "Jo Stone",
    "Kim Reed",
    "Lou Vane",
)
TERMS = (year_window(2001), Window(day("2002-01-01"), day("2008-01-01")), Window(day("2008-01-01"), None))
ALWAYS = Window(None, None, "chronicle")


@dataclass(frozen=True)
class TinyWorld:
    """A knowledge base, its projections, and questions with their vectors.

    Attributes:
        folder: Where the store (`kb`) and the index (`index`) lie.
        base: The opened base.
        projections: The maps it was made with.
        facts: Its facts.
        questions: Single-hop, temporal, multi-hop and unanswerable questions.
        vectors: Theirs, `(n, d_question)`.
        tokenizer: One token a byte.
    """

    folder: Path
    base: StoredBase
    projections: Projections
    facts: list[FiveTuple]
    questions: list[Question]
    vectors: FloatArray
    tokenizer: PreTrainedTokenizerFast

    def ask(self, rows: Sequence[int], **options: Any) -> Knowledge:
        """What a call reads that puts these questions."""
        windows = [self.questions[row].question_time for row in rows]
        questions = Questions.make(self.vectors[list(rows)], windows, [self.questions[row].question for row in rows])
        return Knowledge(self.base, questions, SelectorOptions(**{"top_k": 6, "over_fetch": 24, **options}))

    def encoded(self, rows: Sequence[int] | None = None) -> EncodedQuestions:
        """Some of the questions, or all, as a user puts them."""
        chosen = list(range(len(self.questions)) if rows is None else rows)
        return with_times([self.questions[row] for row in chosen], self.vectors[chosen])

    def prompts(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Left-padded ids and mask of the questions' prompts, in the order asked."""
        texts = [closed_book_prompt(self.questions[row].question) for row in rows]
        ((places, ids, mask),) = prompt_batches(texts, self.tokenizer, len(rows))
        order = torch.tensor(places).argsort()
        return ids[order], mask[order]

    def batches(self, rows: Sequence[int] | None = None, **options: Any) -> TrainingBatches:
        """Training batches of some of the questions, or all."""
        chosen = list(range(len(self.questions)) if rows is None else rows)
        settings = {"batch_size": 4, "drop_question_vector": 0.1, "in_batch_negatives": 3, "retrieved_negatives": 2}
        settings |= {"seed": 5, **options}
        return TrainingBatches(
            [self.questions[row] for row in chosen], self.vectors[chosen], self.tokenizer, **settings
        )

    def rows_of(self, kind: str) -> list[int]:
        """Which questions are of a type."""
        return [row for row, question in enumerate(self.questions) if question.type == kind]

    def backbone(self, model: PreTrainedModel, fingerprint: str = "f" * 64) -> Backbone:
        """The model as a backbone with this world's tokenizer."""
        return Backbone(model, self.tokenizer, "tiny", fingerprint)

    def model(
        self, model: PreTrainedModel, *, trained: bool = True, layers: Any = "auto", **options: Any
    ) -> KBInjectedModel:
        """A model that reads; `trained` makes what is zero at the start random, so that reading has an effect."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)  # no two facts tie at the cut of top_k, where rounding would decide between them
            injected = build_model(
                self.backbone(model), self.projections, layers=layers, d_context_score=8, d_fusion=16, **options
            )
            for selector in injected.selectors:
                selector.start_from(self.projections, torch.from_numpy(self.vectors))
            if trained:
                randomise(injected)
        return injected.eval()

    def without(self, facts: Sequence[int], folder: Path) -> tuple[StoredBase, list[int]]:
        """A base made anew in `folder` without some facts, and the numbers that its facts have in this one."""
        kept = [number for number in range(len(self.facts)) if number not in facts]
        store = [self.facts[number] for number in kept]
        return make_base(folder, store, self.questions, self.projections), kept


@torch.no_grad()
def randomise(model: KBInjectedModel) -> None:
    """Stands in for training: every weight that starts at zero, and those of the hidden state, become random."""
    for selector, fusion in zip(model.selectors, model.fusions, strict=True):
        nn.init.normal_(selector.query.from_hidden.weight, std=0.01)  # the query multiplies it by some 50
        if selector.query.hops:
            nn.init.normal_(selector.query.hop_gate.out.weight, std=0.5)
        nn.init.normal_(selector.context.out.weight, std=2.0)
        nn.init.normal_(selector.null.out.weight, std=0.1)  # the log-odds multiply it by five
        if selector.yes is not None:
            nn.init.normal_(selector.yes.out.weight, std=0.1)
        nn.init.normal_(selector.null_value, std=0.3)
        nn.init.normal_(fusion.out.weight, std=1.0)
        nn.init.normal_(fusion.gate.weight, std=0.1)
        if selector.graph is not None:
            nn.init.normal_(selector.graph.out.weight, std=1.0)
    nn.init.normal_(model.reader.out.weight, std=0.05)
    nn.init.normal_(model.reader.from_hidden.weight, std=0.1)
    nn.init.normal_(model.copy_gate.weight, std=0.2)
    nn.init.constant_(model.copy_gate.bias, 2.0)


def make_world(folder: Path) -> TinyWorld:
    """Builds store and index in `folder` and opens them."""
    facts = make_facts()
    questions = make_questions(facts)
    projections = fit_projections(facts, ENCODERS, **WIDTHS)
    tokenizer = tiny_tokenizer()
    base = make_base(folder, facts, questions, projections)
    return TinyWorld(
        folder, base, projections, facts, questions, base.store.question_vectors("train").astype(np.float32), tokenizer
    )


def make_base(
    folder: Path,
    facts: Sequence[FiveTuple],
    questions: Sequence[Question],
    projections: Projections,
) -> StoredBase:
    """Builds store and index of some facts in `folder` and opens them."""
    store = KBValueStore.build(
        folder / "kb",
        facts,
        ENCODERS,
        projections,
        questions={"train": [question.question for question in questions]},
    )
    KnowledgeIndex.build(store.keys, keys_sha256=store.keys_sha256).save(folder / "index")
    return StoredBase.load(folder / "kb", folder / "index", projection_fingerprint=projections.fingerprint)


def make_facts() -> list[FiveTuple]:
    """72 facts: mayors with touching terms and an open end, births without a time, twins at all times, open starts."""
    facts = []
    for number, town in enumerate(TOWNS):
        for term, window in enumerate(TERMS):
            facts.append(_fact(town, "mayor", PEOPLE[(number + 5 * term) % len(PEOPLE)], window))
    for number, person in enumerate(PEOPLE):
        facts.append(_fact(person, "place of birth", TOWNS[number % len(TOWNS)], UNKNOWN))
        facts.append(_fact(person, "employer", f"{TOWNS[-1 - number % 5]} Mill", Window(None, day("2004-07-01"))))
        facts.append(_fact(person, "residence", TOWNS[(number + 3) % len(TOWNS)], year_window(1990 + number)))
    for number, town in enumerate(TOWNS):
        facts.append(_fact(town, "twin town", TOWNS[number - 3], ALWAYS))
    facts += [
        _fact(town, "founder", PEOPLE[number], year_window(1890 + number)) for number, town in enumerate(TOWNS[:4])
    ]
    return facts


def _fact(head: str, relation: str, tail: str, window: Window) -> FiveTuple:
    context = Context("tiny", sent_span=f"The {relation} of {head} was {tail}.")
    return FiveTuple(Entity(None, head), Relation(None, relation), Entity(None, tail), context, window)


def make_questions(facts: Sequence[FiveTuple]) -> list[Question]:
    """Questions of every type about the facts."""
    number_of = {(f.head.name, f.relation.name, f.window): number for number, f in enumerate(facts)}
    questions: list[Question] = []

    def add(kind: str, text: str, support: tuple[int, ...], window: Window | None = None) -> None:
        answer = facts[support[-1]].tail.name if support else ""
        questions.append(Question(f"q{len(questions)}", "tiny", text, answer, (), kind, support, window))

    for person in PEOPLE[:8]:
        add("single-hop", f"Where was {person} born?", (number_of[person, "place of birth", UNKNOWN],))
    for town in TOWNS:
        for year, term in ((2001, TERMS[0]), (2005, TERMS[1])):
            mayor = number_of[town, "mayor", term]
            add("temporal", f"Who was mayor of {town} in {year}?", (mayor,), year_window(year))
            born = number_of[facts[mayor].tail.name, "place of birth", UNKNOWN]
            text = f"Where was the mayor of {town} in {year} born?"
            add("multi-hop", text, (mayor, born), year_window(year))
    for name in ("Zed Null", "Ora Void"):
        add("unanswerable", f"Where was {name} born?", ())
    return questions
