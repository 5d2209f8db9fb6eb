"""Keeps the segment of a base near its present state, in a thread of its own: no question waits for it."""

from __future__ import annotations

import logging
import threading

from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.core.errors import KBLaMError
from kblampp.snapshots.fact_encoder import FactEncoder
from kblampp.snapshots.snapshot import Snapshot

logger = logging.getLogger(__name__)


def compact(base: KnowledgeBase, encoder: FactEncoder, version: int, device: str = "cpu") -> Snapshot:
    """The state of a base after a call, which is written beside it if it is large and differs from what is there."""
    state = Snapshot.of(base, encoder, version, device)
    if state.is_kept and state.late and not base.database.read_only and state.keep(base, encoder):
        return Snapshot.of(base, encoder, version, device)
    return state


class Compactor:
    """Writes the next segment while questions are answered from the last one.

    Args:
        encoder: Makes the vectors of facts.
    """

    def __init__(self, encoder: FactEncoder) -> None:
        self._encoder = encoder
        self._thread: threading.Thread | None = None
        self._made: tuple[str | None, Snapshot] | None = None
        self._refused = False

    def look_at(self, base: KnowledgeBase, state: Snapshot) -> None:
        """Starts on the next segment where many facts differ from the last one and no thread is at it.

        Args:
            base: The base.
            state: One that is ready to be read, so that the vectors of its facts are there already.
        """
        if self._refused or base.database.read_only or not state.many_late or self.busy:
            return
        if state.version != base.version:  # one of the past, or more is written: the next one is looked at
            return
        device = "cpu" if state.base is None else state.base.device
        self._thread = threading.Thread(target=self._work, args=(base, state.version, device), daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a segment is being made."""
        return self._thread is not None and self._thread.is_alive()

    def take(self, base: KnowledgeBase) -> Snapshot | None:
        """The state of the segment of a base that was made since the last call, if any."""
        made, self._made = self._made, None
        return None if made is None or base.token(made[1].version) != made[0] else made[1]

    def wait(self) -> None:
        """Returns when no segment is being made."""
        if self._thread is not None:
            self._thread.join()

    def _work(self, base: KnowledgeBase, version: int, device: str) -> None:
        try:
            state = compact(base, self._encoder, version, device)
            self._refused = not state.is_kept  # where none can be written now, none is tried again
            self._made = base.token(version), state
        except KBLaMError as error:  # such as that the base was closed: who opens it next makes the segment
            logger.warning("the next segment was not made: %s", error)
