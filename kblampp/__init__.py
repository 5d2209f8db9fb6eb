"""KBLaM++: a frozen language model that reads a knowledge base of timed facts."""

import importlib
import logging
from typing import Any

__version__ = "0.1.0"

# peft imports it, and on some processors each import would warn of a package that downloads faster kernels.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

_PUBLIC = {"KBModel": "kblampp.asking.kb_model", "KnowledgeBase": "kblampp.base.knowledge_base"}


def __getattr__(name: str) -> Any:
    """Imports what a program uses when it is used: the model brings torch along, which takes seconds."""
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
