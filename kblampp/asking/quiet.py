"""Programs whose answers are what is to be read, not how libraries load their weights."""

from __future__ import annotations

import logging
import sys
import warnings


def quiet() -> None:
    """Leaves warnings of ours, and nothing of how the language model is loaded."""
    import transformers  # brings torch along, which not every command of the command line needs

    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
