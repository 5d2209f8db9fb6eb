"""The systems of the evaluation: the trained model, baselines on the same questions, the model with one part off."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from kblampp.core.params import EvalParams, Params
from kblampp.evaluation.baselines import (
    answer_by_lookup,
    answer_closed_book,
    answer_in_context,
    answer_with_rag,
    nearest_sentences,
)
from kblampp.evaluation.questions import with_times
from kblampp.evaluation.table import SYSTEM_OF, Predictions, first_of_each_type
from kblampp.model.inputs import EncodedQuestions, SelectorOptions, StoredBase
from kblampp.model.lora import backbone_unchanged
from kblampp.model.predictor import Prediction, Predictor
from kblampp.model.workspace import Workspace

logger = logging.getLogger(__name__)
MEASURED = ("dev", "swap", "novel", "test", "test_hard")
"""Splits that are measured, where the dataset has them; `train` never is."""
ABLATIONS: Mapping[str, Mapping[str, Any]] = {
    "no_gamma": {"gamma": 0.0},
    "no_eta": {"eta": 0.0},
    "no_copy_head": {"copy_head": False},
    "no_hop": {"hop": False},
    "no_question_vector": {"question_vector": False},
    "no_hidden_query": {"hidden_query": False},
    "no_null_fact": {"null_fact": False},
    "no_names": {"names": False},
    "no_lora": {},
}
"""What each ablation changes in the selector's options; `no_lora` switches off what trainB changed in the backbone."""


@dataclass(frozen=True)
class Split:
    """Questions of one split.

    Attributes:
        name: Its name.
        base: The knowledge base that they ask about.
        encoded: The questions.
    """

    name: str
    base: StoredBase
    encoded: EncodedQuestions

    @classmethod
    def open(cls, workspace: Workspace, name: str, as_of: int) -> Split:
        """All questions of a split, asked on the day `as_of`.

        Raises:
            StoreError: Its store or index is missing, damaged, or made from other data.
        """
        base = workspace.open_base(name)
        questions, vectors = workspace.dataset.questions[name], base.store.question_vectors(name)
        return cls(name, base, with_times(questions, vectors, as_of))

    def first(self, n: int) -> Split:
        """The first `n` questions of each type; a smaller `n` gives a part of a larger one's."""
        return replace(self, encoded=self.encoded.part(first_of_each_type(self.encoded.questions, n)))

    def said(self, predictions: list[Prediction]) -> Predictions:
        """What a system said to the questions."""
        return Predictions(self.encoded.questions, predictions, self.base.store.facts)


def open_splits(
    workspace: Workspace, options: SelectorOptions, *, least: int = 0, also: Sequence[str] = ()
) -> list[Split]:
    """The splits that are measured, and others that are there; `least` is the smallest `top_k` of use.

    Raises:
        ParamsError: One asks about a base that is too small for `top_k`, or `top_k` is too small.
        StoreError: A store or index is missing, damaged, or made from other data.
    """
    names = [split for split in (*MEASURED, *also) if split in workspace.dataset.questions]
    for name in names:  # before anything is computed: a base may be too small for top_k
        kb = workspace.dataset.kb_of_split[name]
        options.check(len(workspace.dataset.kbs[kb]), kb, least=least)
    return [Split.open(workspace, name, options.as_of) for name in names]


def answers_of_stage(
    stage: str,
    main: str,
    params: Params,
    workspace: Workspace,
    predictor: Predictor,
    split: Split,
) -> Iterator[tuple[str, Predictions]]:
    """What is measured with the model of one stage: itself, and what belongs to it.

    Baselines need the backbone alone and are measured once, with trainA's model; lookup and ablations are those of the
    main model, ablations on one split only.

    Args:
        stage: "trainA" or "trainB".
        main: The stage whose model is the main one.
        params: The parameters.
        workspace: For the split that ablations are measured on.
        predictor: The stage's model, asked in the usual way.
        split: All questions of a split.

    Yields:
        Name of a system, and what it said.
    """
    section, name = params.eval, SYSTEM_OF[stage]
    own = _by_model(predictor, split.first(section.questions_per_type), name)
    yield name, own
    few = split.first(section.baseline_questions_per_type)
    if stage == "trainA" and len(few.encoded):
        yield from _baselines(params, predictor, few)
    if stage == main and predictor.options.top_k:
        yield "lookup", replace(own, predictions=answer_by_lookup(own.predictions, own.facts))
        if split.name == workspace.dataset.headline_split:
            some = split.first(section.ablation_questions_per_type)
            for ablation in chosen_ablations(section, main):
                changed = replace(predictor, options=replace(predictor.options, **ABLATIONS[ablation]))
                with backbone_unchanged(predictor.model) if ablation == "no_lora" else nullcontext():
                    yield ablation, _by_model(changed, some, ablation)


def chosen_ablations(section: EvalParams, main: str) -> list[str]:
    """The ablations that `eval.ablations` names, without `no_lora` for trainA, which leaves the backbone as it was."""
    named = {"all": tuple(ABLATIONS), "none": ()}
    chosen = named[section.ablations] if isinstance(section.ablations, str) else section.ablations
    if main == "trainA" and "no_lora" in chosen and section.ablations != "all":
        logger.warning("no_lora is left out: the model is that of trainA, whose backbone is as it was")
    return [name for name in chosen if name != "no_lora" or main == "trainB"]


def _by_model(predictor: Predictor, split: Split, name: str) -> Predictions:
    logger.info("%s %s: %d questions, %d facts", split.name, name, len(split.encoded), split.base.store.n)
    return split.said(predictor.predict(split.base, split.encoded, f"{split.name} {name}"))


def _baselines(params: Params, predictor: Predictor, split: Split) -> Iterator[tuple[str, Predictions]]:
    section, store, questions = params.eval, split.base.store, split.encoded.questions
    yield "closed_book", split.said(answer_closed_book(predictor, questions))
    gold = {"distractors": section.distractors, "seed": params.seed}
    yield "in_context", split.said(answer_in_context(predictor, store.facts, questions, **gold))
    nearest = nearest_sentences(store, split.encoded, max(section.rag_sentences))
    for n in section.rag_sentences:
        yield f"rag_{n}", split.said(answer_with_rag(predictor, store.facts, questions, nearest, sentences=n))
