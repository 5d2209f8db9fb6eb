"""What holds for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kblampp.encoding.vector_cache import CACHE_VARIABLE


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Sentence vectors of the tests lie in a folder of the tests, also for the programs that they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield
