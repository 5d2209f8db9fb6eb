"""What holds for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kblampp.core.cache import CACHE_VARIABLE
from tests.unit.server_page.browser import browser

__all__ = ["browser"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that of several workers one alone runs the pipeline that they share, and none waits for it
    at the end."""
    items.sort(key=lambda item: item.get_closest_marker("pipeline") is None)


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the tests and the programs that they start keep in a cache lies in a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield
