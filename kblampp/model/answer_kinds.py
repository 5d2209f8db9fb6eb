"""Of which kind an answer has to be: "how tall" is not answered by a name, nor "who" by a number.

The expected answer type of question answering (Li and Roth 2002, "Learning Question Classifiers", section 2, whose
coarse classes are these with groups apart from people), as odds: two small classifiers say of which kind the question
wants its answer, and of which a fact's answer is, and the score is

    kind(q, i) = log sum_k P(k | q) P(k | i) / P(k)

It has a say in two things: a hop that goes on from an answer of another kind to one of the right kind, and the null
fact where none is of the right kind.  To a fact's score it adds nothing (docs/log.md).  The classifiers are fitted
after Stage A on the training base, whose entities have types (`training.answer_kinds`); until then, and after training
on a base without types, they count nothing.  A base that is asked needs no types.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kblampp.model.inputs import EncodedBase, Knowledge
from kblampp.model.question_reader import LOGIT_SCALE, Reading, word_shares

KINDS = ("person", "group", "place", "quantity", "date", "other")
VALUE_FORMS = ("value", "list")
"""Of `FORMS`, those whose answer is a name, or several: a time, a number or yes is of no kind of a fact."""
NAMED, NUMERIC = (
    [KINDS.index(kind) for kind in kinds] for kinds in (("person", "group", "place"), ("quantity", "date"))
)
SURE = 0.9
"""Probability from which a kind is taken for certain."""
NO_NAME = 4.0
"""What a fact loses by whose answer no name can be, where one is asked for."""
LEAST = 0.02
"""Share of both classifiers' probabilities that is spread over all kinds: neither is ever quite sure."""
HOP_WEIGHT, NULL_WEIGHT = 1.0, 0.5
"""What a nat counts, in the log-odds of a hop and of the null fact; the latter hears much of it from the label already.
Chosen on the open dossiers (docs/log.md)."""


class AnswerKinds(nn.Module):
    """Kinds of the answers that questions want, and of those that facts give.

    Args:
        d_sentence: Width of the sentence vectors.
        d_ent: Width of the entity block.
        d_rel: Width of the relation block.
        n_words: How many words a question is made of, `text_hashes.WORD_BUCKETS`.
        d_inner: Hidden width.
    """

    def __init__(self, d_sentence: int, d_ent: int, d_rel: int, n_words: int, d_inner: int = 64) -> None:
        super().__init__()
        self.d_ent = d_ent
        self.from_question = nn.Linear(d_sentence, d_inner)
        self.of_question = nn.Linear(d_inner, len(KINDS))
        self.of_words = nn.Linear(n_words, len(KINDS), bias=False)
        self.from_fact = nn.Linear(d_ent + d_rel + 2, d_inner)
        self.of_fact = nn.Linear(d_inner, len(KINDS))
        for zero in (self.of_question.weight, self.of_words.weight, self.of_fact.weight):
            nn.init.zeros_(zero)
        self.prior = nn.Parameter(torch.full((len(KINDS),), 1 / len(KINDS)))
        self.requires_grad_(False)  # Stage A and B leave it alone

    @property
    def fitted(self) -> bool:
        """Whether the classifiers have learned anything."""
        return bool(self.of_fact.weight.any())

    def wanted(self, vectors: Tensor, words: Tensor) -> Tensor:
        """Logits of the kinds that questions want.

        Args:
            vectors: Sentence vectors, (batch, d_sentence).
            words: Which words and pairs of words they are made of, (batch, n_words) boolean.

        Returns:
            (batch, kinds).
        """
        inner = torch.tanh(self.from_question(vectors * math.sqrt(vectors.shape[-1])))
        logits: Tensor = self.of_question(inner) + LOGIT_SCALE * self.of_words(word_shares(words))
        return logits

    def given(self, names: Tensor, labels: Tensor, numbers: Tensor, entities: Tensor) -> Tensor:
        """Logits of the kinds that facts' answers are of.

        Args:
            names: Entity blocks of the answers' names, (..., d_ent).
            labels: Relation blocks of the facts, (..., d_rel), zero where a fact is read from its tail: a label says
                of what kind its tail is.
            numbers: Whether the name begins with a number, (...).
            entities: Whether the base has facts about it, (...).

        Returns:
            (..., kinds).
        """
        flags = torch.stack([numbers.float(), entities.float()], dim=-1)
        logits: Tensor = self.of_fact(F.gelu(self.from_fact(torch.cat([names, labels, flags], dim=-1))))
        return logits

    def score(self, wanted: Tensor, given: Tensor) -> Tensor:
        """kind(q, i) of logits (..., kinds) that broadcast, (...)."""
        sure = 1 - LEAST
        of_question, of_fact = (sure * logits.softmax(-1) + LEAST * self.prior for logits in (wanted, given))
        return (of_question * of_fact / self.prior).sum(-1).log()

    def asked(self, knowledge: Knowledge, reading: Reading) -> AskedKinds:
        """What the questions of a call want; those for a time, a number or yes or no want no kind."""
        value = torch.stack([reading.form_of(form) for form in VALUE_FORMS]).sum(0)
        vectors = knowledge.questions.vectors * float(knowledge.options.question_vector)
        return AskedKinds(self, self.wanted(vectors, knowledge.questions.words), value, knowledge)


@dataclass(frozen=True)
class AskedKinds:
    """The kinds that a batch of questions wants.

    Attributes:
        kinds: The classifiers.
        wanted: Their logits for the questions, (batch, kinds).
        value: Probability that the answer is a name or several, (batch,).
        knowledge: What the call reads.
    """

    kinds: AnswerKinds
    wanted: Tensor
    value: Tensor
    knowledge: Knowledge

    def fit(self, facts: Tensor, inverse: Tensor) -> Tensor:
        """How well the kinds of facts' answers fit, in nats; 0 for what asks for no name, or for no fact.

        Args:
            facts: One for each question, (batch,); -1 for none.
            inverse: Which of them are read from the tail, (batch,).

        Returns:
            (batch,).
        """
        answers = answers_of(
            self.knowledge.base, facts.clamp(min=0), inverse, self.kinds.d_ent, self.knowledge.withheld
        )
        found = self.kinds.score(self.wanted, self.kinds.given(*answers))
        return (found * self.value).masked_fill(facts < 0, 0)

    def no_name(self, facts: Tensor, inverse: Tensor) -> Tensor:
        """Where the question surely wants a person, group or place, and facts surely have a number or a date as theirs.

        Args:
            facts: (batch, n); -1 for none.
            inverse: Which of them are read from the tail, (batch, n).

        Returns:
            (batch, n) boolean.
        """
        wanted = self.wanted.softmax(-1)[:, NAMED].sum(-1) * self.value
        flat, way, withheld = facts.clamp(min=0).flatten(), inverse.flatten(), self.knowledge.withheld
        of_each = None if withheld is None else withheld.repeat_interleave(facts.shape[1], 0)
        given = self.kinds.given(*answers_of(self.knowledge.base, flat, way, self.kinds.d_ent, of_each)).softmax(-1)
        numeric = given[:, NUMERIC].sum(-1).view_as(facts)
        return (wanted[:, None] > SURE) & (numeric > SURE) & (facts >= 0)


def answers_of(
    base: EncodedBase, facts: Tensor, inverse: Tensor, d_ent: int, withheld: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `AnswerKinds.given` takes of the answers of facts.

    Args:
        base: Holds the facts.
        facts: (batch,).
        inverse: Which of them are read from the tail, (batch,).
        d_ent: Width of the entity block.
        withheld: Facts that are as if deleted, (batch, m); -1 pads.
    """
    keys, values = base.tensors.keys[facts], base.tensors.values[facts]
    names = torch.where(inverse[:, None], keys[:, :d_ent], values[:, :d_ent])
    labels = keys[:, d_ent:].masked_fill(inverse[:, None], 0)
    table, (heads, tails) = base.names, base.by_head.ends[facts].unbind(-1)
    numbers = table.numbers[torch.where(inverse, table.heads[facts], table.tails[facts])]
    entities = base.by_head.relations_of(torch.where(inverse, heads, tails), withheld) > 0
    return names, labels, numbers, entities
