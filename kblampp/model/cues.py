"""Words that leave no doubt about what a question asks for, where its reader, which has learned it, may have some.

"Who came right after Lie?" does not ask for who came before him, whatever a classifier makes of the sentence.  Only
what is still open is decided: a cue moves probability between two readings and nothing else.  English alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from kblampp.data.facts import FORMS, MODES
from kblampp.model.question_reader import Reading

TINY = 1e-12
"""Stands for a probability of zero, of which there is no logarithm."""
_WH = r"(?:who|whom|what|which)"
CUES = {
    ("mode", "any", "after"): re.compile(r"\bwho\s+(?:followed|succeeded|came\s+after)\b"),
    ("mode", "any", "before"): re.compile(r"\bwho\s+(?:preceded|came\s+before)\b"),
    ("mode", "before", "after"): re.compile(
        rf"\bwho\s+(?:followed|succeeded)\b|\bafter\b(?!\s+{_WH}\b)|\b(?:successor|next)\b"
    ),
    ("mode", "after", "before"): re.compile(
        rf"\bwho\s+preceded\b|\bbefore\b(?!\s+{_WH}\b)|\b(?:predecessor|previous|previously|prior)\b"
    ),
    ("form", "value", "list"): re.compile(r"\b(?:so\s+far|to\s+date|over\s+the\s+years|ever\s+had)\b"),
}
"""What a cue says: the probability of the first reading is the second's."""


def cues_of(questions: Sequence[str]) -> Tensor:
    """Which of `CUES` questions (n,) contain, (n, cues) boolean; those for before and after together say nothing."""
    found = torch.zeros((len(questions), len(CUES)), dtype=torch.bool)
    for row, question in enumerate(questions):
        said = [bool(cue.search(question.casefold())) for cue in CUES.values()]
        either = {meant for (part, _, meant), there in zip(CUES, said, strict=True) if there and part == "mode"}
        found[row] = torch.tensor(
            [there and (part != "mode" or len(either) == 1) for (part, *_), there in zip(CUES, said, strict=True)]
        )
    return found


def heeding(reading: Reading, cues: Tensor) -> Reading:
    """A reading (batch, ...) that heeds the cues (batch, cues) of its questions."""
    parts = {"form": reading.form.exp(), "mode": reading.mode.exp()}
    for (part, other, meant), said in zip(CUES, cues.unbind(-1), strict=True):
        names = FORMS if part == "form" else MODES
        shares, low, high = parts[part].clone(), names.index(other), names.index(meant)
        moved = shares[:, low] * said
        shares[:, low] -= moved
        shares[:, high] += moved
        parts[part] = shares
    form, mode = (shares.clamp(min=TINY).log() for shares in parts.values())
    return reading._replace(form=form, mode=mode)
