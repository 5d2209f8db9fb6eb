"""Asks a trained model: greedy answers, and which facts each was taken from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kblampp.backbone.load import Backbone
from kblampp.core.progress import progress_bar
from kblampp.model.batches import padded, prompt_batches
from kblampp.model.injection import KBInjectedModel
from kblampp.model.inputs import EncodedQuestions, Knowledge, KnowledgeBase, SelectorOptions
from kblampp.model.prompts import closed_book_prompt
from kblampp.model.selector import Selection

Withheld = Sequence[Sequence[int]] | None
"""For each question facts that it must not find, as if they were deleted from the base; None for none at all."""


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


@dataclass(frozen=True)
class Predictor:
    """A model and how it is asked; bases, questions and withheld facts change from call to call.

    Attributes:
        model: The trained model around `backbone`.
        backbone: Its backbone, for the tokenizer.
        options: How facts are selected.
        batch_size: Questions a batch.
        max_new_tokens: Longest answer.
    """

    model: KBInjectedModel
    backbone: Backbone
    options: SelectorOptions
    batch_size: int
    max_new_tokens: int

    def predict(
        self, base: KnowledgeBase, encoded: EncodedQuestions, label: str = "model", withheld: Withheld = None
    ) -> list[Prediction]:
        """Answers questions, (n,), from a knowledge base; `label` is the name on the progress bar."""
        prompts = [closed_book_prompt(question.question) for question in encoded.questions]
        return self._predict(prompts, lambda places: self.knowledge(base, encoded, places, withheld), label)

    def complete(self, prompts: Sequence[str], label: str = "backbone") -> list[Prediction]:
        """Goes on from prompts, (n,), as the backbone does by itself."""
        return self._predict(prompts, lambda places: None, label)

    def knowledge(
        self, base: KnowledgeBase, encoded: EncodedQuestions, places: Sequence[int], withheld: Withheld = None
    ) -> Knowledge:
        """What a call reads that asks the questions at `places` in one batch."""
        hidden = None
        if withheld is not None:
            hidden, _ = padded([withheld[place] for place in places], -1)
            hidden = hidden.to(base.device)
        return Knowledge(base, encoded.part(places).batch(base.device), self.options, withheld=hidden)

    def _predict(
        self, prompts: Sequence[str], read: Callable[[list[int]], Knowledge | None], label: str
    ) -> list[Prediction]:
        predictions: dict[int, Prediction] = {}
        with progress_bar(total=len(prompts), desc=label, leave=False) as progress:
            for places, ids, mask in prompt_batches(prompts, self.backbone.tokenizer, self.batch_size):
                texts, selections = self._generate(ids, mask, read(places))
                layers = [selection for _, selection in sorted(selections.items())]
                for row, place in enumerate(places):
                    picks = [_ranked(layer.ids[row, -1], layer.alpha[row, -1]) for layer in layers]
                    predictions[place] = Prediction(
                        texts[row],
                        tuple(facts for facts, _ in picks),
                        tuple(weights for _, weights in picks),
                        float(layers[-1].null[row, -1]) if layers else None,
                        int(mask[row].sum()),
                    )
                progress.update(len(places))
        return [predictions[place] for place in range(len(prompts))]

    def _generate(
        self, ids: Tensor, mask: Tensor, knowledge: Knowledge | None
    ) -> tuple[list[str], dict[int, Selection]]:
        """Greedy continuations, and what was selected at the end of the prompt, layer by layer."""
        tokenizer, device = self.backbone.tokenizer, self.backbone.model.device
        out, state = self.model.generate(
            ids.to(device),
            mask.to(device),
            knowledge=knowledge,
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        texts = tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)
        return [text.strip() for text in texts], {} if state is None else state.first


def _ranked(ids: torch.Tensor, alpha: torch.Tensor) -> tuple[tuple[int, ...], tuple[float, ...]]:
    order = alpha.argsort(descending=True, stable=True)
    return tuple(ids[order].tolist()), tuple(alpha[order].tolist())
