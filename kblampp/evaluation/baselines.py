"""What the trained model is compared with: the backbone with other prompts, the selected fact without any words."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from kblampp.data.facts import UNKNOWN_ANSWER, FiveTuple, Question, evidence_sentence
from kblampp.encoding.store import KBValueStore
from kblampp.model.inputs import EncodedQuestions
from kblampp.model.predictor import Prediction, Predictor
from kblampp.model.prompts import DistractorSampler, closed_book_prompt, in_context_prompt


def answer_closed_book(predictor: Predictor, questions: Sequence[Question]) -> list[Prediction]:
    """Answers with the backbone alone, from the question alone."""
    return predictor.complete([closed_book_prompt(question.question) for question in questions], "closed book")


def answer_in_context(
    predictor: Predictor, facts: Sequence[FiveTuple], questions: Sequence[Question], *, distractors: int, seed: int
) -> list[Prediction]:
    """Answers with the backbone alone, from the gold evidence sentences among `distractors` others, in random order."""
    prompts = [
        in_context_prompt(question.question, [evidence_sentence(facts[number]) for number in shown])
        for question, shown in zip(
            questions, gold_among_others(facts, questions, lambda gold: distractors, seed), strict=True
        )
    ]
    return predictor.complete(prompts, "in context")


def gold_among_others(
    facts: Sequence[FiveTuple], questions: Sequence[Question], others: Callable[[int], int], seed: int
) -> list[list[int]]:
    """For each question, (n,), the facts that answer it among others, in random order.

    Args:
        facts: The knowledge base.
        questions: What is asked; one without gold facts gets others alone.
        others: How many others stand beside so many gold facts.
        seed: Of the choice and the order.
    """
    sampler = DistractorSampler(facts)
    found = []
    for question in questions:
        rng = random.Random(f"in_context/{seed}/{question.qid}")
        gold = list(question.supporting_facts)
        shown = gold + sampler.draw(gold, others(len(gold)), rng)
        rng.shuffle(shown)
        found.append(shown)
    return found


def nearest_sentences(store: KBValueStore, encoded: EncodedQuestions, most: int) -> list[list[int]]:
    """The facts whose evidence sentences lie nearest to each question, at most `most` of them, the nearest first.

    Question and sentences are compared by the inner product of their unit vectors, of the same encoder as keys and
    queries are made with; ties go to the lower fact.
    """
    sentences = store.sentence_vectors
    scores = encoded.vectors[:, : sentences.shape[1]] @ sentences.T
    nearest: list[list[int]] = np.argsort(-scores, axis=1, kind="stable")[:, :most].tolist()
    return nearest


def answer_with_rag(
    predictor: Predictor,
    facts: Sequence[FiveTuple],
    questions: Sequence[Question],
    nearest: Sequence[Sequence[int]],
    *,
    sentences: int,
) -> list[Prediction]:
    """Answers with the backbone alone, from the evidence sentences that dense retrieval finds, the nearest first.

    Args:
        predictor: The model, which reads no knowledge here.
        facts: The knowledge base.
        questions: What to ask, (n,).
        nearest: The facts found for each question, (n,), as `nearest_sentences` ranks them.
        sentences: How many of them a prompt shows; facts of one sentence show it once.
    """
    ranked = [tuple(numbers[:sentences]) for numbers in nearest]
    prompts = [
        in_context_prompt(question.question, list(dict.fromkeys(evidence_sentence(facts[i]) for i in numbers)))
        for question, numbers in zip(questions, ranked, strict=True)
    ]
    predictions = predictor.complete(prompts, f"RAG {sentences}")
    return [replace(said, ranked=(numbers,)) for said, numbers in zip(predictions, ranked, strict=True)]


def answer_by_lookup(predictions: Sequence[Prediction], facts: Sequence[FiveTuple]) -> list[Prediction]:
    """Answers without a language model's words: the tail of the top fact of the model's last layer.

    Args:
        predictions: The model's own, for what it selected.
        facts: The knowledge base.

    Returns:
        The same with other texts: "unknown" where the null fact weighs more than the top fact.
    """
    return [replace(said, text=_looked_up(said, facts), prompt_tokens=0) for said in predictions]


def _looked_up(said: Prediction, facts: Sequence[FiveTuple]) -> str:
    refuses = (said.null or 0.0) > said.alpha[-1][0]
    return UNKNOWN_ANSWER if refuses else facts[said.ranked[-1][0]].tail.name
