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
from tqdm import tqdm

from kblampp.backbone.load import Backbone
from kblampp.core.errors import ParamsError
from kblampp.data.facts import Question
from kblampp.evaluation.answering import Answered, answer_with_model, withheld_ids
from kblampp.model.copy_head import DOUBT, PADDING, next_tokens
from kblampp.model.injection import CallState, KBInjectedModel
from kblampp.model.inputs import Knowledge, KnowledgeBase, Questions, SelectorOptions
from kblampp.model.prompts import answer_continuation, closed_book_prompt
from kblampp.time_expressions.parse import parse_question_time

Floats = npt.NDArray[np.float32]
Withheld = Sequence[Sequence[int]] | None


@dataclass(frozen=True)
class Trace:
    """What stood behind one answer; layers are the injected ones, and weights those at the answer's first token.

    Attributes:
        ids: Facts by falling alpha, (layers, top_k); -1 where there is none.
        alpha: Their weights, (layers, top_k).
        parts: Their scores for meaning, context and time, unweighted, (3, layers, top_k).
        null: Weight of the null fact, (layers,).
        hop: Hop gate, (layers,).
        beta: Fusion gate at every token, (layers, seq).
        copy_gate: lambda at every token, (seq,).
        tokens: The text of prompt, answer and EOS, token by token, (seq,).
        start: Position of the answer's first token; position start - 1 writes it.
        copied: Share of the probability of each answer token that the copy head gave, (seq - start,).
        log_prob: Natural logarithm of the answer's probability, EOS included.
    """

    ids: npt.NDArray[np.int64]
    alpha: Floats
    parts: Floats
    null: Floats
    hop: Floats
    beta: Floats
    copy_gate: Floats
    tokens: tuple[str, ...]
    start: int
    copied: Floats
    log_prob: float

    @property
    def chain(self) -> tuple[int, ...]:
        """The predicted path: the top fact of each layer, duplicates merged, in reasoning order."""
        return tuple(dict.fromkeys(number for number in self.ids[:, 0].tolist() if number >= 0))


@dataclass(frozen=True)
class Asker:
    """A model and how it is asked; bases, questions and withheld facts change from call to call.

    Attributes:
        model: The trained model around `backbone`.
        backbone: Its backbone.
        options: How facts are selected; `top_k` is at least 1.
        batch_size: Questions a batch.
        max_new_tokens: Longest answer.

    Raises:
        ParamsError: `top_k` is 0.
    """

    model: KBInjectedModel
    backbone: Backbone
    options: SelectorOptions
    batch_size: int
    max_new_tokens: int

    def __post_init__(self) -> None:
        if not self.options.top_k:
            raise ParamsError("selector.top_k is 0, so no answer has evidence; set it to at least 1 in params.yaml")

    def answer(
        self, base: KnowledgeBase, questions: Sequence[Question], vectors: Floats, label: str, withheld: Withheld = None
    ) -> list[Answered]:
        """Answers, as in the evaluation; `vectors` is (n, d_sentence), `withheld` a list of facts for each question."""
        return answer_with_model(
            self.model,
            self.backbone,
            base,
            questions,
            vectors,
            self.options,
            batch_size=self.batch_size,
            max_new_tokens=self.max_new_tokens,
            withheld=withheld,
            label=label,
        )

    def trace(
        self,
        base: KnowledgeBase,
        questions: Sequence[Question],
        vectors: Floats,
        predictions: Sequence[str],
        label: str,
        withheld: Withheld = None,
    ) -> list[Trace]:
        """What stands behind answers, (n,), given as text: they are tokenised as they continue the prompt."""
        tokenizer = self.backbone.tokenizer
        prompts = _tokens(self.backbone, [closed_book_prompt(question.question) for question in questions])
        texts = _tokens(self.backbone, [answer_continuation(text) if text else "" for text in predictions])
        rows = [[*prompt, *text, int(tokenizer.eos_token_id)] for prompt, text in zip(prompts, texts, strict=True)]
        windows = [parse_question_time(question.question) for question in questions]
        order = sorted(range(len(rows)), key=lambda place: (len(rows[place]), place))
        traces: dict[int, Trace] = {}
        with tqdm(total=len(rows), desc=label, leave=False) as progress:
            for first in range(0, len(order), self.batch_size):
                places = order[first : first + self.batch_size]
                asked = Questions.make(vectors[places], [windows[place] for place in places], base.device)
                hidden = withheld_ids(withheld, places, base.device)
                starts = [len(prompts[place]) for place in places]
                knowledge = Knowledge(base, asked, self.options, withheld=hidden)
                found = self._trace_batch(knowledge, [rows[place] for place in places], starts)
                traces.update(zip(places, found, strict=True))
                progress.update(len(places))
        return [traces[place] for place in range(len(rows))]

    @torch.no_grad()
    def _trace_batch(self, knowledge: Knowledge, rows: Sequence[list[int]], starts: Sequence[int]) -> list[Trace]:
        width, pad, device = max(map(len, rows)), int(self.backbone.tokenizer.pad_token_id), knowledge.base.device
        ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
        out = self.model(ids, mask, knowledge=knowledge, answer_start=torch.tensor(starts, device=device))
        log_probs = torch.log_softmax(out.logits.float(), dim=-1)  # leaves log-probabilities as they are
        return [
            _trace(self.backbone, out.state, log_probs[row], row, torch.tensor(tokens, device=device), start)
            for row, (tokens, start) in enumerate(zip(rows, starts, strict=True))
        ]


def _trace(backbone: Backbone, state: CallState, log_probs: Tensor, row: int, tokens: Tensor, start: int) -> Trace:
    layers = [selection for _, selection in sorted(state.selections.items())]
    first, length = start - 1, len(tokens)
    alpha = torch.stack([layer.alpha[row, first] for layer in layers])
    order = alpha.argsort(dim=-1, descending=True, stable=True)
    ids = torch.stack([layer.ids[row, first] for layer in layers]).gather(-1, order)
    parts = torch.stack([torch.stack([part[row, first] for part in layer.parts]) for layer in layers], dim=1)
    written = log_probs[first : length - 1].gather(-1, tokens[start:, None]).squeeze(-1)
    gate = torch.zeros_like(log_probs[:, 0]) if state.copy_gate is None else state.copy_gate[row]
    return Trace(
        ids=ids.cpu().numpy(),
        alpha=_array(alpha.gather(-1, order)),
        parts=_array(parts.gather(-1, order.expand_as(parts))),
        null=_array(torch.stack([layer.null[row, first] for layer in layers])),
        hop=_array(torch.stack([layer.hop[row, first] for layer in layers])),
        beta=_array(torch.stack([state.beta[layer][row, :length] for layer in sorted(state.beta)])),
        copy_gate=_array(gate[:length]),
        tokens=tuple(str(backbone.tokenizer.decode([number])) for number in tokens.tolist()),
        start=start,
        copied=_array(_copied(state, row, gate, tokens, start) / written.exp()),
        log_prob=float(written.sum()),
    )


def _copied(state: CallState, row: int, gate: Tensor, tokens: Tensor, start: int) -> Tensor:
    """Probability of each answer token that comes from the copy head, (answer,): lambda c times the pointer's."""
    if not state.knowledge.options.copy_head:
        return torch.zeros(len(tokens) - start, device=tokens.device)
    selection, base = state.selections[max(state.selections)], state.knowledge.base
    places = slice(start - 1, len(tokens) - 1)
    found = selection.ids[row, places]
    ids = torch.cat([found, torch.full_like(found[:, :1], -1)], dim=-1)  # the null fact last
    alpha = torch.cat([selection.alpha[row, places], selection.null[row, places, None]], dim=-1)
    tails = base.tails.tokens[torch.where(ids < 0, base.tails.null, ids)]
    length = torch.arange(len(ids), device=ids.device)
    following = next_tokens(tails, tokens[start:].expand(len(ids), -1), length)
    fits = alpha * (following != PADDING)
    return gate[places] * (fits * (following == tokens[start:, None])).sum(-1) / (fits.sum(-1) + DOUBT)


def _array(values: Tensor) -> Floats:
    return values.float().cpu().numpy()


def _tokens(backbone: Backbone, texts: Sequence[str]) -> list[list[int]]:
    encoded = backbone.tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
    return [list(ids) for ids in encoded]
