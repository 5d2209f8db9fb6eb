"""Asks questions and keeps what each answer came from; the systems that are compared differ in this module alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from kblampp.backbone.load import Backbone
from kblampp.data.facts import MOST_HOPS, UNKNOWN_ANSWER, FiveTuple, Question, evidence_sentence
from kblampp.encoding.store import KBValueStore
from kblampp.model.batches import TrainingBatches, prompt_batches
from kblampp.model.injection import KBInjectedModel
from kblampp.model.inputs import Knowledge, KnowledgeBase, Questions, SelectorOptions
from kblampp.model.prompts import DistractorSampler, closed_book_prompt, in_context_prompt
from kblampp.model.selector import Selection
from kblampp.time_expressions.parse import parse_question_time


@dataclass(frozen=True)
class Prediction:
    """What a system said to one question, and where it took it from.

    Attributes:
        text: What was generated.
        ranked: For each injected layer, the facts by falling alpha at the answer's first token; for dense retrieval one
            row, nearest first; empty for systems that retrieve nothing.
        alpha: Their weights.
        null: Weight of the null fact in the last layer, the abstention score; None for baselines.
        prompt_tokens: Length of the prompt.
    """

    text: str
    ranked: tuple[tuple[int, ...], ...] = ()
    alpha: tuple[tuple[float, ...], ...] = ()
    null: float | None = None
    prompt_tokens: int = 0


def answer_with_model(
    model: KBInjectedModel,
    backbone: Backbone,
    base: KnowledgeBase,
    questions: Sequence[Question],
    vectors: npt.NDArray[np.float32],
    options: SelectorOptions,
    *,
    batch_size: int,
    max_new_tokens: int,
    withheld: Sequence[Sequence[int]] | None = None,
    label: str = "model",
) -> list[Prediction]:
    """Answers greedily from the knowledge base, with the question's time read from its words, as a user's would be.

    Args:
        model: The trained model around `backbone`.
        backbone: Its backbone, for the tokenizer.
        base: The knowledge base.
        questions: What to ask.
        vectors: Their sentence vectors, (n, d_sentence).
        options: How facts are selected.
        batch_size: Questions a batch.
        max_new_tokens: Longest answer.
        withheld: For each question, facts that it must not find, as if they were deleted from the base.
        label: Name on the progress bar.
    """
    prompts = [closed_book_prompt(question.question) for question in questions]
    windows = [parse_question_time(question.question) for question in questions]
    answers: list[Prediction] = [Prediction("")] * len(questions)
    with tqdm(total=len(questions), desc=label, leave=False) as progress:
        for places, ids, mask in prompt_batches(prompts, backbone.tokenizer, batch_size):
            asked = Questions.make(vectors[places], [windows[place] for place in places], base.device)
            hidden = withheld_ids(withheld, places, base.device)
            knowledge = Knowledge(base, asked, options, withheld=hidden)
            texts, state = _generate(model, backbone, ids, mask, knowledge, max_new_tokens)
            layers = [selection for _, selection in sorted((state or {}).items())]
            for row, place in enumerate(places):
                picks = [_ranked(layer.ids[row, -1], layer.alpha[row, -1]) for layer in layers]
                null = float(layers[-1].null[row, -1]) if layers else None
                answers[place] = Prediction(
                    texts[row],
                    tuple(facts for facts, _ in picks),
                    tuple(weights for _, weights in picks),
                    null,
                    int(mask[row].sum()),
                )
            progress.update(len(places))
    return answers


def withheld_ids(withheld: Sequence[Sequence[int]] | None, places: Sequence[int], device: str) -> torch.Tensor | None:
    """The facts withheld from the questions at `places` as `Knowledge.withheld` takes them; None for none."""
    if withheld is None:
        return None
    rows = [list(withheld[place]) for place in places]
    width = max(map(len, rows))
    return torch.tensor([row + [-1] * (width - len(row)) for row in rows], dtype=torch.int64, device=device)


def answer_closed_book(
    model: KBInjectedModel, backbone: Backbone, questions: Sequence[Question], *, batch_size: int, max_new_tokens: int
) -> list[Prediction]:
    """Answers with the backbone alone, from the question alone."""
    prompts = [closed_book_prompt(question.question) for question in questions]
    return _answer_prompts(model, backbone, prompts, batch_size, max_new_tokens, "closed book")


def answer_in_context(
    model: KBInjectedModel,
    backbone: Backbone,
    facts: Sequence[FiveTuple],
    questions: Sequence[Question],
    *,
    distractors: int,
    batch_size: int,
    max_new_tokens: int,
    seed: int,
) -> list[Prediction]:
    """Answers with the backbone alone, from the gold evidence sentences among `distractors` others, in random order."""
    sampler = DistractorSampler(facts)
    prompts = []
    for question in questions:
        rng = random.Random(f"in_context/{seed}/{question.qid}")
        gold = list(question.supporting_facts)
        shown = gold + sampler.draw(gold, distractors, rng)
        rng.shuffle(shown)
        prompts.append(in_context_prompt(question.question, [evidence_sentence(facts[number]) for number in shown]))
    return _answer_prompts(model, backbone, prompts, batch_size, max_new_tokens, "in context")


def answer_with_rag(
    model: KBInjectedModel,
    backbone: Backbone,
    store: KBValueStore,
    questions: Sequence[Question],
    vectors: npt.NDArray[np.float32],
    *,
    sentences: int,
    batch_size: int,
    max_new_tokens: int,
) -> list[Prediction]:
    """Answers with the backbone alone, from the evidence sentences that dense retrieval finds, the nearest first.

    Question and sentences are compared by the inner product of their unit vectors, of the same encoder as keys and
    queries are made with; ties go to the lower fact.

    Args:
        model: The model around `backbone`, which reads no knowledge here.
        backbone: Its backbone.
        store: The knowledge base's store, for facts and sentence vectors.
        questions: What to ask.
        vectors: Their sentence vectors, (n, d_sentence).
        sentences: How many a prompt; facts of one sentence show it once.
        batch_size: Questions a batch.
        max_new_tokens: Longest answer.
    """
    scores = vectors @ store.sentence_vectors.T
    ranked = np.argsort(-scores, axis=1, kind="stable")[:, :sentences].tolist()
    prompts = [
        in_context_prompt(question.question, list(dict.fromkeys(evidence_sentence(store.facts[i]) for i in found)))
        for question, found in zip(questions, ranked, strict=True)
    ]
    answers = _answer_prompts(model, backbone, prompts, batch_size, max_new_tokens, f"RAG {sentences}")
    return [replace(answer, ranked=(tuple(found),)) for answer, found in zip(answers, ranked, strict=True)]


def answer_by_lookup(answers: Sequence[Prediction], facts: Sequence[FiveTuple]) -> list[Prediction]:
    """Answers without a language model's words: the tail of the top fact of the model's last layer.

    Args:
        answers: The model's own, for what it selected.
        facts: The knowledge base.

    Returns:
        The same with other texts: "unknown" where the null fact weighs more than the top fact.
    """
    return [
        replace(
            answer,
            text=UNKNOWN_ANSWER
            if (answer.null or 0.0) > answer.alpha[-1][0]
            else facts[answer.ranked[-1][0]].tail.name,
            prompt_tokens=0,
        )
        for answer in answers
    ]


def mean_gates(
    model: KBInjectedModel,
    backbone: Backbone,
    base: KnowledgeBase,
    questions: Sequence[Question],
    vectors: npt.NDArray[np.float32],
    options: SelectorOptions,
    *,
    seed: int,
) -> dict[str, float]:
    """Mean fusion gate (over layers) and copy gate, on the tokens that write the answer and on the others.

    Measured on the gold answers in one batch, so that every system of a run is measured on the same tokens.
    """
    fitting = [place for place, question in enumerate(questions) if len(question.hops) <= MOST_HOPS]
    if not fitting:
        return {}
    batches = TrainingBatches(
        [questions[place] for place in fitting],
        vectors[fitting],
        backbone.tokenizer,
        batch_size=len(fitting),
        drop_question_vector=0.0,
        in_batch_negatives=0,
        retrieved_negatives=0,
        seed=seed,
    )
    batch = batches.batch(0).to(base.device)
    with torch.no_grad():
        knowledge = Knowledge(base, batch.questions, options)
        state = model(batch.input_ids, batch.attention_mask, knowledge=knowledge, answer_start=batch.answer_start).state
    if state is None or state.copy_gate is None:
        return {}
    position = torch.arange(batch.input_ids.shape[1], device=base.device)
    real = batch.attention_mask.bool()
    answer = real & (position >= batch.answer_start[:, None] - 1)
    beta = torch.stack(list(state.beta.values())).mean(0)
    return {
        "fusion_gate_answer": float(beta[answer].mean()),
        "fusion_gate_other": float(beta[real & ~answer].mean()),
        "copy_gate_answer": float(state.copy_gate[answer].mean()),
        "copy_gate_other": float(state.copy_gate[real & ~answer].mean()),
    }


def _answer_prompts(
    model: KBInjectedModel, backbone: Backbone, prompts: Sequence[str], batch_size: int, max_new_tokens: int, label: str
) -> list[Prediction]:
    answers: list[Prediction] = [Prediction("")] * len(prompts)
    with tqdm(total=len(prompts), desc=label, leave=False) as progress:
        for places, ids, mask in prompt_batches(prompts, backbone.tokenizer, batch_size):
            texts, _ = _generate(model, backbone, ids, mask, None, max_new_tokens)
            for row, place in enumerate(places):
                answers[place] = Prediction(texts[row], prompt_tokens=int(mask[row].sum()))
            progress.update(len(places))
    return answers


def _generate(
    model: KBInjectedModel,
    backbone: Backbone,
    ids: torch.Tensor,
    mask: torch.Tensor,
    knowledge: Knowledge | None,
    max_new_tokens: int,
) -> tuple[list[str], dict[int, Selection] | None]:
    """Greedy continuations, and what was selected at the end of the prompt, layer by layer."""
    tokenizer = backbone.tokenizer
    device = backbone.model.device
    out, state = model.generate(
        ids.to(device),
        mask.to(device),
        knowledge=knowledge,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    texts = tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)
    return [text.strip() for text in texts], None if state is None else state.first


def _ranked(ids: torch.Tensor, alpha: torch.Tensor) -> tuple[tuple[int, ...], tuple[float, ...]]:
    order = alpha.argsort(descending=True, stable=True)
    return tuple(ids[order].tolist()), tuple(alpha[order].tolist())
