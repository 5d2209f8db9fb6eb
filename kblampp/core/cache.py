"""Where this machine keeps what can be made again: outside of the repository, of git and of DVC, for all clones.

Whatever lies there may be deleted at any time.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "KBLAMPP_CACHE"
"""Environment variable: the folder of the caches instead of the platform's, or `off`."""


def cache_root() -> Path | None:
    """What `KBLAMPP_CACHE` says, or else the platform's folder for caches; None for `off`."""
    asked = os.environ.get(CACHE_VARIABLE, "")
    if asked.lower() == "off":
        return None
    return Path(asked) if asked else platformdirs.user_cache_path("kblampp", appauthor=False)
