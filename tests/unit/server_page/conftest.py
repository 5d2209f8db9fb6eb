"""The page is tried over a stand-in of its server."""

from __future__ import annotations

import pytest

from tests.unit.server_page.browser import fake, person
from tests.unit.server_page.fake_server import FakeServer

__all__ = ["fake", "person", "served"]


@pytest.fixture
def served(fake: FakeServer) -> str:
    """The address of the server whose page is tried."""
    return fake.url
