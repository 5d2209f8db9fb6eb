"""A real server on a free port of the loopback, in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kblampp.server.serve import address_of, prepare
from kblampp.server.settings import Settings
from tests.unit.server.fakes import FakeBase, FakeModel


@contextmanager
def served(base: FakeBase, model: FakeModel, **settings: Any) -> Iterator[str]:
    """Its address; at the end of the block it is told to stop and has stopped."""
    server, listener = prepare(base, model, Settings(**{"port": 0, "writable": True, **settings}))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield address_of(listener)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
