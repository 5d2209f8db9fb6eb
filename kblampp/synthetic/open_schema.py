"""The relations of `open_relations.json`: 341 after Wikidata's properties (labels: CC0), with wordings of our own."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources
from typing import Any, Literal

from kblampp.synthetic.schema import hash_of

Part = Literal["train", "unseen"]
Kind = Literal["successive", "single", "many"]


@dataclass(frozen=True, slots=True)
class OpenRelation:
    """One relation and its wordings, where `{x}` is the head, `{t}` the tail and `{when}` a time.

    Attributes:
        id: The property's id.
        name: Its label.
        aliases: Other labels under which somebody's table may list it.
        head: Entity type of the head.
        tail: Entity type of the tail, or type of value (NUMBER, DATE, ...).
        kind: Whether holders follow one another (`successive`), there is one (`single`), or several at once (`many`).
        noun: Fits "the NOUN of {x}".
        plural: The same for several.
        sentences: Evidence sentences; those of successive relations have `{since}` and `{until}`.
        questions: Ask for the tail; those of successive relations have `{when}`, those of `many` are none.
        phrases: Noun phrases for the tail, for entities that are not `many`.
        inverse: Name the tail and ask for the head.
        confirm: Yes-or-no questions; some of the successive ones have `{when}`.
        current: Ask who holds it now.
        first: Ask for the first holder.
        last: Ask for the last one.
        before: Ask for the one before `{t}`.
        after: Ask for the one after `{t}`.
        began: Ask when `{t}` began to hold it.
        ended: Ask when `{t}` stopped.
        list: Ask for all holders.
        singular: Ask for all holders as if there were one: "Who founded {x}?", "Who has coached {x}?".
        count: Ask how many they are.
    """

    id: str
    name: str
    aliases: tuple[str, ...]
    head: str
    tail: str
    kind: Kind
    noun: str
    plural: str
    sentences: tuple[str, ...]
    questions: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    inverse: tuple[str, ...] = ()
    confirm: tuple[str, ...] = ()
    current: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    began: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    list: tuple[str, ...] = ()
    singular: tuple[str, ...] = ()
    count: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """What a table may call it."""
        return self.name, self.noun, *self.aliases

    @property
    def wordings(self) -> frozenset[str]:
        """Every question, phrase and label, in lower case: what must not mean two things about one head."""
        values = (getattr(self, field.name) for field in fields(self) if field.name not in ("aliases", "sentences"))
        found = {text for value in values if isinstance(value, tuple) for text in value}
        return frozenset(text.casefold() for text in (*found, *self.labels))


def open_data(file: str) -> Any:
    """A JSON file of this folder."""
    return json.loads(resources.files("kblampp").joinpath(f"synthetic/{file}").read_text(encoding="utf-8"))


def is_held_out(relation_id: str) -> bool:
    """Whether a relation is kept for the part `unseen`: one in eight, by hash, so that the answer never changes."""
    # The 19 stands for a choice among such hashes: here the kept relations make chains of three hops.
    return hash_of("relation 19:" + relation_id) % 8 == 0


def _read_relations() -> tuple[OpenRelation, ...]:
    rows: list[dict[str, Any]] = open_data("open_relations.json")
    for row in rows:
        row |= {key: tuple(value) for key, value in row.items() if isinstance(value, list)}
    return tuple(OpenRelation(**row) for row in rows)


def _find_conflicts(relations: tuple[OpenRelation, ...]) -> Mapping[str, frozenset[str]]:
    """Relation id -> those of the same head type with a wording or label in common; the question could mean either."""
    users: dict[tuple[str, str], set[str]] = defaultdict(set)
    for relation in relations:
        for text in relation.wordings:
            users[relation.head, text].add(relation.id)
    result: dict[str, set[str]] = {relation.id: set() for relation in relations}
    for ids in users.values():
        for relation_id in ids:
            result[relation_id] |= ids - {relation_id}
    return {relation_id: frozenset(others) for relation_id, others in result.items()}


OPEN_RELATIONS: tuple[OpenRelation, ...] = _read_relations()
OPEN_BY_ID: dict[str, OpenRelation] = {relation.id: relation for relation in OPEN_RELATIONS}
CONFLICTS: Mapping[str, frozenset[str]] = _find_conflicts(OPEN_RELATIONS)


def relations_of(part: Part) -> tuple[OpenRelation, ...]:
    """The relations that a base of this part may use."""
    return tuple(relation for relation in OPEN_RELATIONS if is_held_out(relation.id) == (part == "unseen"))
