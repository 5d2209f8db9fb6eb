"""Asks a trained model: its most probable answers, and which facts each was taken from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, StoppingCriteria, StoppingCriteriaList

from kblampp.backbone.load import Backbone
from kblampp.core.progress import progress_bar
from kblampp.model.answers import Source
from kblampp.model.batches import padded, prompt_batches, tokenize
from kblampp.model.injection import CallState, KBInjectedModel
from kblampp.model.inputs import EncodedBase, EncodedQuestions, Knowledge, SelectorOptions
from kblampp.model.prompts import closed_book_prompt
from kblampp.model.shared_prefix import SharedPrefix

Withheld = Sequence[Sequence[int]] | None
"""For each question facts that it must not find, as if they were deleted from the base; None for none at all."""


@dataclass(frozen=True)
class Prediction:
    """What a system said to one question, and where it took it from.

    Attributes:
        text: What was answered.
        ranked: For each injected layer, the facts by falling alpha; for dense retrieval one row, nearest first; empty
            for systems that retrieve nothing.
        alpha: Their weights.
        null: Weight of the null fact in the last layer, the abstention score; None for baselines.
        group: How the fact that fits best is read, a place in `candidates.REFUSAL_GROUPS`; None for baselines.
        prompt_tokens: Length of the prompt.
        sources: The facts and fields that the answer was copied from; None where the language model wrote it, empty for
            a refusal.
        probability: How probable the answer was when it was decided on; of own words all together. None for systems
            that do not say.
    """

    text: str
    ranked: tuple[tuple[int, ...], ...] = ()
    alpha: tuple[tuple[float, ...], ...] = ()
    null: float | None = None
    prompt_tokens: int = 0
    sources: tuple[Source, ...] | None = None
    probability: float | None = None
    group: int | None = None


@dataclass(frozen=True)
class Predictor:
    """A model and how it is asked; bases, questions and withheld facts change from call to call.

    Attributes:
        model: The trained model around `backbone`.
        backbone: Its backbone, for the tokenizer.
        options: How facts are selected.
        batch_size: Questions a batch.
        max_new_tokens: Longest answer in the language model's own words; those from the facts come whole.
    """

    model: KBInjectedModel
    backbone: Backbone
    options: SelectorOptions
    batch_size: int
    max_new_tokens: int

    def predict(
        self, base: EncodedBase, encoded: EncodedQuestions, label: str = "model", withheld: Withheld = None
    ) -> list[Prediction]:
        """Answers questions, (n,), from a knowledge base; `label` is the name on the progress bar.

        The most probable of the answers from the facts and own words is given: one pass over the prompt decides, and
        only own words are written token by token.
        """

        def answer(places: list[int], ids: Tensor, mask: Tensor) -> list[Prediction]:
            knowledge = self.knowledge(base, encoded, places, withheld)
            return self._ask(ids, mask, knowledge) if knowledge.enabled else self._speak(ids, mask, knowledge)

        return self._in_batches(
            [closed_book_prompt(question.question) for question in encoded.questions], answer, label
        )

    def complete(
        self, prompts: Sequence[str], label: str = "backbone", *, first_line: bool = False
    ) -> list[Prediction]:
        """Goes on from prompts, (n,), as the backbone does by itself.

        Args:
            prompts: What it goes on from; tokens that all of them begin with are read once.
            label: The name on the progress bar.
            first_line: Whether no more is wanted than a line that is not empty, so that what follows is not written.
        """
        tokenizer = self.backbone.tokenizer
        prefix = SharedPrefix.of(tokenize(tokenizer, prompts), self.model.backbone)

        def answer(places: list[int], ids: Tensor, mask: Tensor) -> list[Prediction]:
            options: dict[str, Any] = {}
            if first_line:
                options["stopping_criteria"] = StoppingCriteriaList([LineWritten(tokenizer, ids.shape[1])])
            if prefix is not None:
                ids, mask = prefix.first(ids, mask)
                options["past_key_values"] = prefix.rows(len(places))
            return self._speak(ids, mask, None, **options)

        return self._in_batches(prompts, answer, label)

    def knowledge(
        self, base: EncodedBase, encoded: EncodedQuestions, places: Sequence[int], withheld: Withheld = None
    ) -> Knowledge:
        """What a call reads that asks the questions at `places` in one batch."""
        hidden = None
        if withheld is not None:
            hidden, _ = padded([withheld[place] for place in places], -1)
            hidden = hidden.to(base.device)
        return Knowledge(base, encoded.part(places).batch(base.device), self.options, withheld=hidden)

    def _in_batches(
        self, prompts: Sequence[str], answer: Callable[[list[int], Tensor, Tensor], list[Prediction]], label: str
    ) -> list[Prediction]:
        """What `answer` says to prompts, (n,), given their places, ids and mask a batch at a time."""
        predictions: dict[int, Prediction] = {}
        with progress_bar(total=len(prompts), desc=label, leave=False) as progress:
            for places, ids, mask in prompt_batches(prompts, self.backbone.tokenizer, self.batch_size):
                predictions.update(zip(places, answer(places, ids, mask), strict=True))
                progress.update(len(places))
        return [predictions[place] for place in range(len(prompts))]

    @torch.no_grad()
    def _ask(self, ids: Tensor, mask: Tensor, knowledge: Knowledge) -> list[Prediction]:
        device, tokenizer = self.backbone.model.device, self.backbone.tokenizer
        # Padded on the right, every prompt starts at position 0: some backbones number positions without the mask.
        prompts = [row[kept.bool()].tolist() for row, kept in zip(ids, mask, strict=True)]
        tokens, there = (part.to(device) for part in padded(prompts, int(tokenizer.pad_token_id)))
        state = self.model(tokens, there, knowledge=knowledge, answer_start=there.sum(1)).state
        own_words = state.own_words()
        chosen = [None if own > 0.5 else found[0] for found, own in zip(state.answers(), own_words, strict=True)]
        own = [place for place, answer in enumerate(chosen) if answer is None]
        spoken = dict(zip(own, self._speak(ids[own], mask[own], knowledge.part(own)), strict=True)) if own else {}
        found = []
        for row, answer in enumerate(chosen):
            picks, null = _picks(state, row)
            text = spoken[row].text if answer is None else answer.text
            sources = None if answer is None else answer.sources
            facts, weights = tuple(facts for facts, _ in picks), tuple(weights for _, weights in picks)
            probability = own_words[row] if answer is None else answer.probability
            group = int(state.selections[max(state.selections)].group[row, 0])
            found.append(Prediction(text, facts, weights, null, int(mask[row].sum()), sources, probability, group))
        return found

    def _speak(self, ids: Tensor, mask: Tensor, knowledge: Knowledge | None, **options: Any) -> list[Prediction]:
        """Greedy continuations in the language model's own words, which may have read knowledge.

        `options` are others of `generate`.
        """
        tokenizer, device = self.backbone.tokenizer, self.backbone.model.device
        out, _ = self.model.generate(
            ids.to(device),
            mask.to(device),
            tokenizer=tokenizer,
            knowledge=None if knowledge is None else knowledge.in_own_words(),
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            **options,
        )
        texts = tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)
        return [Prediction(text.strip(), prompt_tokens=int(row.sum())) for text, row in zip(texts, mask, strict=True)]


class LineWritten(StoppingCriteria):
    """Ends a row when a line that is not empty is whole.

    Args:
        tokenizer: Of the language model.
        start: Where the prompts end.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, start: int) -> None:
        self.tokenizer, self.start = tokenizer, start

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:
        """Which rows, (batch,), have it."""
        written = self.tokenizer.batch_decode(input_ids[:, self.start :], skip_special_tokens=True)
        return torch.tensor(["\n" in text.lstrip() for text in written], device=input_ids.device)


def _picks(state: CallState, row: int) -> tuple[list[tuple[tuple[int, ...], tuple[float, ...]]], float]:
    """For each layer the facts of a row by falling weight, and the weight of the last layer's null fact."""
    layers = [selection for _, selection in sorted(state.selections.items())]
    return [_ranked(layer.ids[row, 0], layer.alpha[row, 0]) for layer in layers], float(layers[-1].null[row, 0])


def _ranked(ids: Tensor, alpha: Tensor) -> tuple[tuple[int, ...], tuple[float, ...]]:
    order = alpha.argsort(descending=True, stable=True)
    return tuple(ids[order].tolist()), tuple(alpha[order].tolist())
