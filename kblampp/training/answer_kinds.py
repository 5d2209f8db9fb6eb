"""Fits the classifiers of answer kinds on the training base, whose entities have types (`model.answer_kinds`).

It comes after Stage A and takes seconds: names, labels and questions as they are encoded, no language model.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from kblampp.data.facts import Question
from kblampp.model.answer_kinds import KINDS, VALUE_FORMS, AnswerKinds, answers_of
from kblampp.model.inputs import StoredBase
from kblampp.model.text_hashes import question_words

logger = logging.getLogger(__name__)
KIND_OF: Mapping[str, str] = {
    "PERSON": "person",
    **dict.fromkeys(("COMPANY", "ORG", "ORGANIZATION", "TEAM"), "group"),
    **dict.fromkeys(("CITY", "COUNTRY", "REGION", "RIVER", "MOUNTAIN", "BUILDING"), "place"),
    **dict.fromkeys(("NUMBER", "LENGTH", "MONEY", "PERCENT", "DURATION", "TEMPERATURE"), "quantity"),
    **dict.fromkeys(("AREA", "SPEED", "MASS", "POWER"), "quantity"),
    **dict.fromkeys(("DATE", "YEAR"), "date"),
}
"""Kinds of the types of the synthetic worlds; all others are "other"."""
STEPS, BATCH, RATE = 800, 64, 2e-3
SMOOTHING = 0.05
WEIGHT_DECAY = 0.05
NOISE = {"question": 0.5, "name": 0.3, "label": 0.5}
"""Length of the noise added to vectors, as a share of theirs: names and wordings of other bases are none of these."""
DROP = {"question": 0.3, "words": 0.3, "name": 0.2, "label": 0.4}
"""Share of the questions without noise, of the words and of the names and labels left out."""


def fit_answer_kinds(kinds: AnswerKinds, base: StoredBase, split: str, questions: list[Question], seed: int) -> bool:
    """Trains both classifiers in place.

    Each name of the base is met as often as others of its kind, but for a square root, and so is each question.

    Args:
        kinds: The classifiers, changed in place.
        base: The training base.
        split: Of the questions.
        questions: The training questions about it, as its store has them.
        seed: Of noise and order.

    Returns:
        Whether there was anything to learn from: False where the base has no types.
    """
    names = _names(base, kinds.d_ent)
    asked, wanted = _questions(base, questions)
    if names is None or not len(asked):
        logger.info("answer kinds: the base has no types, or no question for a name, so they count for nothing")
        return False
    device = kinds.prior.device
    kinds.cpu()  # it takes seconds, and noise drawn there is the same on any machine
    parts, given = names
    vectors = torch.from_numpy(base.store.question_vectors(split))[asked].float()
    words = question_words([questions[place].question for place in asked.tolist()])
    random = torch.Generator().manual_seed(seed)
    of_names, of_questions = (_evened(labels, STEPS * BATCH, random) for labels in (given, wanted))
    kinds.requires_grad_(True)
    learning = [parameter for name, parameter in kinds.named_parameters() if name != "prior"]
    optimizer = torch.optim.AdamW(learning, RATE, weight_decay=WEIGHT_DECAY)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / STEPS)
        rows = slice(step * BATCH, (step + 1) * BATCH)
        loss = _loss(kinds, [part[of_names[rows]] for part in parts], given[of_names[rows]], random)
        chosen = of_questions[rows]
        loss = loss + _question_loss(kinds, vectors[chosen], words[chosen], wanted[chosen], random)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    counts = torch.bincount(torch.cat([given[of_names], wanted[of_questions]]), minlength=len(KINDS)).clamp(min=1)
    with torch.no_grad():  # a kind that the base lacks is rare, not impossible
        kinds.prior.copy_(counts / counts.sum())
    kinds.requires_grad_(False).to(device)
    logger.info("answer kinds: learned from %d names and %d questions", len(given), len(wanted))
    return True


def _kind(entity_type: str) -> int:
    return KINDS.index(KIND_OF.get(entity_type, "other"))


def _names(base: StoredBase, d_ent: int) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], Tensor] | None:
    """Each name of the base once, as `AnswerKinds.given` takes them, and its kind, (n,); a tail with a label."""
    rows: dict[str, tuple[int, bool, int]] = {}
    for number, fact in enumerate(base.store.facts):
        for entity, is_head in ((fact.tail, False), (fact.head, True)):
            if entity.type is not None:
                rows.setdefault(entity.name, (number, is_head, _kind(entity.type)))
    if not rows:
        return None
    facts, heads, kinds = (torch.tensor(column) for column in zip(*rows.values(), strict=True))
    names, labels, numbers, entities = answers_of(base, facts.to(base.device), heads.to(base.device), d_ent)
    return (names.cpu(), labels.cpu(), numbers.cpu(), entities.cpu()), kinds


def _questions(base: StoredBase, questions: list[Question]) -> tuple[Tensor, Tensor]:
    """Places of the questions for a name whose type is known, (n,), and its kind, (n,)."""
    places, kinds = [], []
    for place, question in enumerate(questions):
        if question.hops and question.form in VALUE_FORMS:
            fact = base.store.facts[question.hops[-1][0]]
            answer = fact.head if question.inverse and len(question.hops) == 1 else fact.tail
            if answer.type is not None:
                places.append(place)
                kinds.append(_kind(answer.type))
    return torch.tensor(places, dtype=torch.int64), torch.tensor(kinds, dtype=torch.int64)


def _evened(labels: Tensor, count: int, random: torch.Generator) -> Tensor:
    """Places drawn with replacement, (count,), rare labels more often than they are."""
    weights = torch.bincount(labels, minlength=len(KINDS)).clamp(min=1).float().rsqrt()
    return torch.multinomial(weights[labels], count, replacement=True, generator=random)


def _loss(kinds: AnswerKinds, parts: list[Tensor], wanted: Tensor, random: torch.Generator) -> Tensor:
    names, labels, numbers, entities = parts
    names, labels = (
        _kept(_noisy(part, NOISE[name], random), DROP[name], random)
        for part, name in ((names, "name"), (labels, "label"))
    )
    return F.cross_entropy(kinds.given(names, labels, numbers, entities), wanted, label_smoothing=SMOOTHING)


def _question_loss(
    kinds: AnswerKinds, vectors: Tensor, words: Tensor, wanted: Tensor, random: torch.Generator
) -> Tensor:
    noisy = _noisy(vectors, NOISE["question"], random)
    plain = torch.rand(len(vectors), 1, generator=random) < DROP["question"]
    heard = words & (torch.rand(words.shape, generator=random) >= DROP["words"])
    logits = kinds.wanted(torch.where(plain, vectors, noisy), heard)
    return F.cross_entropy(logits, wanted, label_smoothing=SMOOTHING)


def _noisy(vectors: Tensor, share: float, random: torch.Generator) -> Tensor:
    noise = F.normalize(torch.randn(vectors.shape, generator=random), dim=-1)
    noisy: Tensor = vectors + share * vectors.norm(dim=-1, keepdim=True) * noise
    return noisy


def _kept(vectors: Tensor, drop: float, random: torch.Generator) -> Tensor:
    kept: Tensor = vectors * (torch.rand(len(vectors), 1, generator=random) >= drop)
    return kept
