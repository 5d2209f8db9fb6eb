"""One state of a living base as a model reads it; it does not change while it is read."""

from __future__ import annotations

from dataclasses import dataclass

from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.base.records import Version
from kblampp.base.vectors import FactEncoder, VectorTable
from kblampp.encoding.encoded_facts import KEYS, EncodedFacts
from kblampp.encoding.fact_arrays import symbol_arrays
from kblampp.index.knowledge_index import KnowledgeIndex
from kblampp.model.inputs import EncodedBase


@dataclass(frozen=True)
class Snapshot:
    """A state of a base.

    Attributes:
        version: The call after which the base was so.
        versions: Its facts, by their ids; a fact's place here is its row in `base`.
        base: What the model reads; None where there is no fact.
    """

    version: int
    versions: tuple[Version, ...]
    base: EncodedBase | None

    @classmethod
    def of(cls, base: KnowledgeBase, encoder: FactEncoder, version: int, device: str = "cpu") -> Snapshot:
        """The state after a call; facts without vectors are encoded first.

        Raises:
            DataError: The base has no such call.
        """
        versions = tuple(base.facts(known_at=version))
        if not versions:
            return cls(version, versions, None)
        facts = [each.content for each in versions]
        arrays = encoder.arrays(VectorTable(base.database, encoder).rows(facts)) | symbol_arrays(facts)
        encoded = EncodedFacts(base.name, arrays, facts)
        return cls(version, versions, EncodedBase(encoded, KnowledgeIndex.build(arrays[KEYS]), device))
