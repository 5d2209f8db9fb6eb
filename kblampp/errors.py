"""The exceptions of the package.

Each one is a `KBLaMError`, so a caller can catch everything the package raises on purpose, and a
builtin, so code that knows nothing of the package still catches it. A message is one sentence:
what is wrong, where, what was expected and what to do.
"""

from __future__ import annotations


class KBLaMError(Exception):
    """Base of all errors that the package raises on purpose."""


class ParamsError(KBLaMError, ValueError):
    """`params.yaml` is broken, or a stage reads a parameter that it did not declare."""


class DataError(KBLaMError, ValueError):
    """A fact, a question or a date does not have the form it must have."""


class StoreError(KBLaMError, ValueError):
    """A folder with a manifest (store, index, …) is missing, damaged or of another kind."""


class CheckpointError(KBLaMError, ValueError):
    """Saved weights do not fit the model they are loaded into."""


class BackboneError(KBLaMError, ValueError):
    """A language model cannot be loaded, or its layers cannot be found."""


class EncoderError(KBLaMError, RuntimeError):
    """The sentence encoder is missing or its weights are not the expected ones."""
