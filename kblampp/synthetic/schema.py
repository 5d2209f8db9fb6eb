"""What the synthetic worlds are made of: entity types, and the relations of `relations.yaml`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

HORIZON = (1950, 2030)
"""First year, and the year after the last, that a question about a synthetic world can be about."""

NAME_POOLS: dict[str, tuple[str, str]] = {
    "PERSON": ("first", "last"),
    "ORG": ("brand", "organisation"),
    "CITY": ("adjective", "place"),
    "PRODUCT": ("brand", "product"),
    "BOOK": ("adjective", "book"),
    "SCHOOL": ("town", "institution"),
    "TEAM": ("town", "team"),
}
"""Entity type -> the two word pools (`words.json`) that its names combine."""


@dataclass(frozen=True, slots=True)
class RelationSpec:
    """One relation of the synthetic worlds and every way to word it.

    Attributes:
        id: Relation id as it stands in the facts.
        name: Relation label; it is encoded into the fact's key.
        head: Entity type of the head.
        tail: Entity type of the tail.
        successive: Whether holders follow one another in time.
        sentences: Evidence sentences.  Successive relations have ``{since}`` and ``{until}``.
        questions: Question wordings.  Successive relations have ``{when}``.
        phrases: Noun phrases for the tail, used as the head of the next hop (timeless relations only).
    """

    id: str
    name: str
    head: str
    tail: str
    successive: bool
    sentences: tuple[str, ...]
    questions: tuple[str, ...]
    phrases: tuple[str, ...] = ()


def hash_of(text: str) -> int:
    """A number that depends on the text alone, the same in every process."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


def _read_relations() -> tuple[RelationSpec, ...]:
    text = resources.files("kblampp").joinpath("synthetic/relations.yaml").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = yaml.safe_load(text)
    for row in rows:
        row |= {key: tuple(row.get(key, ())) for key in ("sentences", "questions", "phrases")}
    return tuple(RelationSpec(**row) for row in rows)


RELATIONS: tuple[RelationSpec, ...] = _read_relations()
BY_ID: dict[str, RelationSpec] = {relation.id: relation for relation in RELATIONS}
