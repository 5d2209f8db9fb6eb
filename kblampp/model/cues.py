"""Words that leave no doubt about what a question asks for, where its reader, which has learned it, may have some.

"Who came right after Lie?" does not ask for who came before him, whatever a classifier makes of the sentence.  Only
what is still open is decided: a cue moves probability between readings and nothing else.  English alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from kblampp.data.facts import FORMS, MODES
from kblampp.model.question_reader import Reading

NEIGHBOURS = ("before", "after")
TINY = 1e-12
"""Stands for a probability of zero, of which there is no logarithm."""


class Cue(NamedTuple):
    """Words that take probability from some readings and give it to others.

    Attributes:
        part: "form" or "mode".
        instead_of: The readings that lose it, of `FORMS` or `MODES`.
        meant: The one that gets it; None for all others, each by its share.
        words: What a question in lower case contains.
    """

    part: str
    instead_of: tuple[str, ...]
    meant: str | None
    words: re.Pattern[str]


_WH = r"(?:who|whom|what|which)"
_ASKS = r"\b(?:who|whom|whose|what|which|when|where|why|how)\b"
_VERB = r"(?:is|are|was|were|do|does|did|has|have|had|will|would|can|could)"
_DAY = r"(?:when|(?:what|which)\s+(?:year|month|day|date|time))\b"
_ONE = r"(?:very\s+)?(?:first|earliest|original|last|latest|final)\b(?!\s+(?:two|three|four|five|few|\d))"
_POLAR = (
    rf"^\W*(?:(?:and|but|so)\s+)?{_VERB}(?:n['’]t)?\s+"
    r"(?!(?:you|we|i|any(?:one|body)|some(?:one|body)|there)\b)"
    rf"(?!.*(?:{_ASKS}|\bor\b))"
)
_BESIDE = r"(?:about|after|at|before|by|during|for|from|in|of|on|since|through|to|under|until|with)"
_SO_FAR = r"\b(?:so\s+far|(?<!up\s)to\s+date|up\s+to\s+now|(?:until|till)\s+now|over\s+(?:the\s+years|time))\b"
_TAG = rf",\s*(?:right|correct|true|yes|no|{_VERB}(?:n['’]t)?\s+(?:it|he|she|they))\s*\?*\s*$"
_CHOICE = r"\b(?:yes\s+or\s+no|true\s+or\s+false)\b"
CUES = (
    Cue("mode", ("any",), "after", re.compile(r"\bwho\s+(?:followed|succeeded|came\s+after)\b")),
    Cue("mode", ("any",), "before", re.compile(r"\bwho\s+(?:preceded|came\s+before)\b")),
    Cue(
        "mode",
        ("before",),
        "after",
        re.compile(rf"\bwho\s+(?:followed|succeeded)\b|\bafter\b(?!\s+{_WH}\b)|\b(?:successor|next)\b"),
    ),
    Cue(
        "mode",
        ("after",),
        "before",
        re.compile(rf"\bwho\s+preceded\b|\bbefore\b(?!\s+{_WH}\b)|\b(?:predecessor|previous|previously|prior)\b"),
    ),
    Cue("mode", ("now",), "any", re.compile(_SO_FAR)),
    Cue("form", ("value", "list"), "yes_no", re.compile(rf"{_POLAR}|{_TAG}|{_CHOICE}")),
    Cue(
        "form",
        ("yes_no",),
        None,
        re.compile(rf"^\W*(?:(?:and|but|so)\s+)?(?:{_BESIDE}\s+)?{_ASKS}(?!.*(?:,\s*{_VERB}\b|{_TAG}|{_CHOICE}))"),
    ),
    Cue("form", ("value", "list", "start"), "end", re.compile(rf"\b(?:until|till?|up\s+to)\s+{_DAY}")),
    Cue(
        "form",
        ("value", "list", "end"),
        "start",
        re.compile(rf"\bsince\s+{_DAY}|\bfrom\s+(?!when\b(?!\s+{_VERB}\b)){_DAY}"),
    ),
    Cue("form", ("list",), "value", re.compile(rf"\bwho\s+(?:is|was)\s+(?:the|its|their)\s+{_ONE}")),
    Cue(
        "form",
        ("value",),
        "list",
        re.compile(
            rf"{_SO_FAR}|^\W*(?:please\s+)?(?:list(?!\s+price)|enumerate)\b|^(?!.*\b{_ONE}).*\bever\s+(?:had|been)\b|"
            rf"^(?!.*(?:\bsince\s+{_DAY}|\b{_ONE}|\bhow\b|\bhas\s+been\s+(?:the|its|their)\b))"
            r".*\b(?:has|have|had)\b.*\bsince\b"
        ),
    ),
)
"""In the order in which they are heeded."""


def cues_of(questions: Sequence[str]) -> Tensor:
    """Which of `CUES` questions (n,) contain, (n, cues) boolean; those for before and after together say nothing."""
    found = torch.zeros((len(questions), len(CUES)), dtype=torch.bool)
    for row, question in enumerate(map(str.casefold, questions)):
        said = [cue.words.search(question) is not None for cue in CUES]
        both = set(NEIGHBOURS) <= {cue.meant for cue, there in zip(CUES, said, strict=True) if there}
        found[row] = torch.tensor(
            [there and not (both and cue.meant in NEIGHBOURS) for cue, there in zip(CUES, said, strict=True)]
        )
    return found


def heeding(reading: Reading, cues: Tensor) -> Reading:
    """A reading (batch, ...) that heeds the cues (batch, cues) of its questions."""
    parts = {"form": reading.form, "mode": reading.mode}
    for cue, said in zip(CUES, cues.unbind(-1), strict=True):
        names, logs = FORMS if cue.part == "form" else MODES, parts[cue.part]
        low = [names.index(name) for name in cue.instead_of]
        kept = logs.index_fill(-1, torch.tensor(low, device=logs.device), -torch.inf)
        if cue.meant is None:
            kept = kept.log_softmax(-1)  # in logarithms: what is left may be tiny
        else:
            high = names.index(cue.meant)
            kept[:, high] = logs[:, [high, *low]].logsumexp(-1)
        parts[cue.part] = torch.where(said[:, None], kept, logs)
    form, mode = (logs.clamp(min=math.log(TINY)) for logs in parts.values())
    return reading._replace(form=form, mode=mode)
