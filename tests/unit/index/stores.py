"""Small stores for the tests of the index."""

from __future__ import annotations

from pathlib import Path

from kblampp.data.facts import Context, Entity, FiveTuple, Relation
from kblampp.data.windows import UNKNOWN, Window
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.projections import fit_projections
from kblampp.encoding.sentence_encoder import DeterministicEncoder
from kblampp.encoding.store import KBValueStore


def make_store(
    directory: Path,
    width: int = 48,
    n: int = 80,
    *,
    timed: bool = False,
    later: int = 0,
    projection: Path | None = None,
) -> KBValueStore:
    """Towns and their leaders; with ``timed``, of each town a row of leaders whose keys are the same.

    With ``later`` all windows are so many days later.  The projections are saved to ``projection``, if it is given.
    """

    def window(number: int) -> Window:
        if not timed or number % 5 == 0:
            return UNKNOWN
        start = 700_000 + 100 * (number % 9) + later
        return Window(None if number % 7 == 0 else start, None if number % 11 == 0 else start + 150, "text")

    encoders = Encoders.of(DeterministicEncoder(width))
    facts = [
        FiveTuple(
            Entity(None, f"Town {i // 4 if timed else i}"),
            Relation(None, "leader"),
            Entity(None, f"P{i}"),
            Context("t"),
            window(i),
        )
        for i in range(n)
    ]
    projections = fit_projections(facts, encoders, d_k=16, d_v=24, d_ctx=8, d_tau=6)
    if projection is not None:
        projections.save(projection)
    return KBValueStore.build(directory, facts, encoders, projections)
