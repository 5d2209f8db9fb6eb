"""How far a model's gates are open, on the tokens that write an answer and on the others."""

from __future__ import annotations

import torch

from kblampp.data.facts import MOST_HOPS
from kblampp.model.batches import TrainingBatches
from kblampp.model.inputs import EncodedBase, EncodedQuestions, Knowledge
from kblampp.model.predictor import Predictor


def mean_gates(predictor: Predictor, base: EncodedBase, encoded: EncodedQuestions, *, seed: int) -> dict[str, float]:
    """Mean fusion gate (over layers), on the tokens that write the answer and on the others, and mean copy gate.

    Measured on the gold answers in one batch, so that every system of a run is measured on the same tokens; as in
    training, a question's window is the data's own.
    """
    fitting = encoded.part([i for i, question in enumerate(encoded.questions) if len(question.hops) <= MOST_HOPS])
    if not len(fitting):
        return {}
    batches = TrainingBatches(
        fitting.questions,
        fitting.vectors,
        predictor.backbone.tokenizer,
        batch_size=len(fitting),
        drop_question_vector=0.0,
        in_batch_negatives=0,
        retrieved_negatives=0,
        seed=seed,
    )
    batch = batches.batch(0).to(base.device)
    with torch.no_grad():
        knowledge = Knowledge(base, batch.questions, predictor.options)
        state = predictor.model(
            batch.input_ids, batch.attention_mask, knowledge=knowledge, answer_start=batch.answer_start
        ).state
    if state is None or state.copy_gate is None:
        return {}
    position = torch.arange(batch.input_ids.shape[1], device=base.device)
    real = batch.attention_mask.bool()
    answer = real & (position >= batch.answer_start[:, None] - 1)
    beta = torch.stack(list(state.beta.values())).mean(0)
    return {
        "fusion_gate_answer": float(beta[answer].mean()),
        "fusion_gate_other": float(beta[real & ~answer].mean()),
        "copy_gate": float(state.copy_gate.mean()),
    }
