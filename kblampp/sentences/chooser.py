"""The language model writes: of the wordings that the grammar allows, the one that it finds most probable.

This is decoding under a constraint, and exact: each wording is a path of tokens, all paths are scored in one pass after
the question, and none but these can be written.  The model reads no knowledge meanwhile: what is copied is decided.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kblampp.backbone.load import Backbone
from kblampp.model.batches import padded, tokenize
from kblampp.model.prompts import closed_book_prompt

INSTRUCTION = "Answer in one sentence with the words of the question."
"""Chosen with the chat template, on made-up questions (docs/log.md)."""


class Chooser:
    """A language model that says which of several wordings is written."""

    def __init__(self, backbone: Backbone) -> None:
        """Around a backbone; what is hung into it must not be reading knowledge when it is asked."""
        self._model, self._tokenizer = backbone.model, backbone.tokenizer

    def __call__(self, question: str, texts: Sequence[str]) -> int:
        """The place of the wording with the highest probability a token, the first of equals.

        Args:
            question: The question.
            texts: The wordings, (n,), n > 0.
        """
        lead = "" if self._tokenizer.chat_template else " "
        prompt = self.prompt(question)
        return int(log_probs(self._model, self._tokenizer, prompt, [lead + text for text in texts]).argmax())

    def prompt(self, question: str) -> str:
        """What the model reads before the sentence: its chat template, if it has one."""
        if not self._tokenizer.chat_template:
            return closed_book_prompt(question)
        turns = [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": question}]
        return str(self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))


@torch.no_grad()
def log_probs(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, texts: Sequence[str]) -> Tensor:
    """Mean log-probability of the tokens of each text after a prompt, (n,).

    Args:
        model: The language model.
        tokenizer: Its tokenizer.
        prompt: What comes before; at least one token.
        texts: Any texts, (n,), n > 0.
    """
    before, *rows = tokenize(tokenizer, [prompt, *texts])
    ids, there = (part.to(model.device) for part in padded(rows, int(tokenizer.pad_token_id)))
    first = model(input_ids=torch.tensor([before], device=model.device), use_cache=True)
    read = first.past_key_values  # the prompt is read once for all texts
    read.batch_repeat_interleave(len(rows))
    mask = torch.cat([there.new_ones(len(rows), len(before)), there], dim=1)
    later = model(input_ids=ids, attention_mask=mask, past_key_values=read, use_cache=True).logits
    logits = torch.cat([first.logits[:, -1:].expand(len(rows), -1, -1), later[:, :-1]], dim=1).float()
    scores = torch.log_softmax(logits, dim=-1).gather(-1, ids[..., None])[..., 0]
    return (scores * there).sum(1) / there.sum(1)
