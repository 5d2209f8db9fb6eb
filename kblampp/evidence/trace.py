"""What a model read while it wrote an answer: one pass over prompt and answer that keeps selections, gates and copies.

Generation keeps only what stands at the end of the prompt.  The pass over the finished answer gives the same selections
there (docs/architecture.md, section 4), and besides them every token's gates and how probable the answer was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kblampp.backbone.load import Backbone
from kblampp.core.progress import progress_bar
from kblampp.model.answers import write_probability
from kblampp.model.batches import by_length, padded, tokenize
from kblampp.model.decoding import Choice, tokenized
from kblampp.model.injection import CallState
from kblampp.model.inputs import EncodedBase, EncodedQuestions, Knowledge
from kblampp.model.predictor import Predictor, Withheld
from kblampp.model.prompts import answer_continuation, closed_book_prompt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Trace:
    """What stood behind one answer; layers are the injected ones, and weights those where the answer starts.

    Attributes:
        ids: Facts by falling alpha, (layers, top_k); -1 where there is none.
        alpha: Their weights, (layers, top_k).
        parts: Their scores for meaning, context, time and name, unweighted, (4, layers, top_k).
        null: Weight of the null fact, (layers,).
        hop: Hop gate, (layers,).
        beta: Fusion gate at every token, (layers, seq).
        copy_gate: lambda.
        tokens: The text of prompt, answer and EOS, token by token, (seq,).
        start: Position of the answer's first token; position start - 1 writes it.
        copied: Share of the facts in the probability of the answer up to each of its tokens, (seq - start,).
        log_prob: Natural logarithm of the answer's probability, EOS included.
    """

    ids: npt.NDArray[np.int64]
    alpha: Floats
    parts: Floats
    null: Floats
    hop: Floats
    beta: Floats
    copy_gate: float
    tokens: tuple[str, ...]
    start: int
    copied: Floats
    log_prob: float

    @property
    def chain(self) -> tuple[int, ...]:
        """The predicted path: the top fact of each layer, duplicates merged, in reasoning order."""
        return tuple(dict.fromkeys(number for number in self.ids[:, 0].tolist() if number >= 0))


def trace_answers(
    predictor: Predictor,
    base: EncodedBase,
    encoded: EncodedQuestions,
    texts: Sequence[str],
    label: str,
    withheld: Withheld = None,
) -> list[Trace]:
    """What stands behind answers.

    Args:
        predictor: The model, whose `top_k` is at least 1.
        base: The knowledge base.
        encoded: What was asked, (n,).
        texts: What was answered, (n,); the texts are tokenised as they continue the prompt.
        label: Name on the progress bar.
        withheld: Facts that each question must not find.
    """
    tokenizer = predictor.backbone.tokenizer
    prompts = tokenize(tokenizer, [closed_book_prompt(question.question) for question in encoded.questions])
    answers = tokenize(tokenizer, [answer_continuation(text) if text else "" for text in texts])
    rows = [[*prompt, *answer, int(tokenizer.eos_token_id)] for prompt, answer in zip(prompts, answers, strict=True)]
    traces: dict[int, Trace] = {}
    with progress_bar(total=len(rows), desc=label, leave=False) as progress:
        for places in by_length(rows, predictor.batch_size):
            knowledge = predictor.knowledge(base, encoded, places, withheld)
            starts = [len(prompts[place]) for place in places]
            found = _trace_batch(predictor, knowledge, [rows[place] for place in places], starts)
            traces.update(zip(places, found, strict=True))
            progress.update(len(places))
    return [traces[place] for place in range(len(rows))]


@torch.no_grad()
def _trace_batch(
    predictor: Predictor, knowledge: Knowledge, rows: Sequence[list[int]], starts: Sequence[int]
) -> list[Trace]:
    device = knowledge.base.device
    ids, mask = (part.to(device) for part in padded(rows, int(predictor.backbone.tokenizer.pad_token_id)))
    out = predictor.model(ids, mask, knowledge=knowledge, answer_start=torch.tensor(starts, device=device))
    log_probs = torch.log_softmax(out.logits.float(), dim=-1)
    choices = tokenized(out.state.answers(), predictor.backbone.tokenizer)
    return [
        _trace(predictor.backbone, out.state, log_probs[row], row, choices[row], tokens, start)
        for row, (tokens, start) in enumerate(zip(rows, starts, strict=True))
    ]


def _trace(
    backbone: Backbone,
    state: CallState,
    log_probs: Tensor,
    row: int,
    choices: Sequence[Choice],
    tokens: Sequence[int],
    start: int,
) -> Trace:
    layers = [selection for _, selection in sorted(state.selections.items())]
    length, answer = len(tokens), torch.tensor(tokens[start:], device=log_probs.device)
    alpha = torch.stack([layer.alpha[row, 0] for layer in layers])
    order = alpha.argsort(dim=-1, descending=True, stable=True)
    ids = torch.stack([layer.ids[row, 0] for layer in layers]).gather(-1, order)
    parts = torch.stack([torch.stack([part[row, 0] for part in layer.parts]) for layer in layers], dim=1)
    spoken = log_probs[start - 1 : length - 1].gather(-1, answer[:, None]).squeeze(-1)
    copied, log_prob = write_probability(choices, state.own_words()[row], tokens[start:], spoken)
    return Trace(
        ids=ids.cpu().numpy(),
        alpha=_array(alpha.gather(-1, order)),
        parts=_array(parts.gather(-1, order.expand_as(parts))),
        null=_array(torch.stack([layer.null[row, 0] for layer in layers])),
        hop=_array(torch.stack([layer.hop[row, 0] for layer in layers])),
        beta=_array(torch.stack([state.beta[layer][row, :length] for layer in sorted(state.beta)])),
        copy_gate=0.0 if state.copy_gate is None else float(state.copy_gate[row]),
        tokens=tuple(str(backbone.tokenizer.decode([number])) for number in tokens),
        start=start,
        copied=np.array(copied, dtype=np.float32),
        log_prob=log_prob,
    )


def _array(values: Tensor) -> Floats:
    return values.float().cpu().numpy()
