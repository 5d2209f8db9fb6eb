"""The words of a question about an open base: a wording filled in, and what people make of it when they type."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from kblampp.synthetic.open_draft import Draft
from kblampp.synthetic.open_subjects import Subjects

SHORT, NOISE = 1 / 6, 1 / 6
"""Shares of the questions that shorten a name, if it can be, and that are typed carelessly."""


def say(rng: random.Random, wordings: Sequence[str], **fields: str) -> str:
    """One of the wordings with its places filled; a time or a phrase at its start gets a capital letter."""
    wording = rng.choice(wordings)
    text = wording.format(**fields)
    phrase = fields.get("x", "").startswith("the ") and wording.startswith("{x}") and len(wording) > 12
    if wording.startswith("{when}") or (phrase and rng.random() < 0.7):
        text = text[0].upper() + text[1:]
    return text


def as_typed(draft: Draft, subjects: Subjects) -> str:
    """The text of a question, now and then with a short name or typed carelessly."""
    chance = subjects.rng.random()
    if chance < SHORT:
        spellings, types = subjects.spellings, subjects.types
        return _respelt(draft, subjects.rng, lambda name: spellings.shortened(name, types[name])) or draft.text
    if chance < SHORT + NOISE:
        return _careless(draft, subjects)
    return draft.text


def _careless(draft: Draft, subjects: Subjects) -> str:
    """In small letters, without its mark, or with a letter of a name wrong."""
    way = subjects.rng.randrange(3)
    if way == 0:
        return draft.text.lower()
    if way == 1 and draft.text.endswith("?"):
        return draft.text[:-1]
    return _respelt(draft, subjects.rng, subjects.spellings.mistyped) or draft.text.lower()


def _respelt(draft: Draft, rng: random.Random, spell: Callable[[str], str | None]) -> str | None:
    """The text with one of the names that it mentions spelt anew; None if that cannot be."""
    name = rng.choice([name for name in (draft.head, draft.tail) if name])
    spelt = spell(name) if draft.text.count(name) == 1 else None
    return None if spelt is None else draft.text.replace(name, spelt)
