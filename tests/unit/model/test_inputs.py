"""A selection that a base cannot give, or that shows nothing, is refused with what to set."""

from __future__ import annotations

import pytest

from kblampp.core.errors import ParamsError
from kblampp.model.inputs import SelectorOptions


def test_as_many_facts_as_there_are_can_be_weighed_and_no_more() -> None:
    for top_k in (0, 1, 12):
        SelectorOptions(top_k=top_k).check(12, "town")
    with pytest.raises(ParamsError, match=r"top_k is 13.*town has 12 facts.*set selector\.top_k to at most 12"):
        SelectorOptions(top_k=13).check(12, "town")


def test_evidence_needs_a_fact() -> None:
    SelectorOptions(top_k=1).check(12, "town", least=1)
    with pytest.raises(ParamsError, match=r"selector\.top_k is 0.*set selector\.top_k to at least 1"):
        SelectorOptions(top_k=0).check(12, "town", least=1)
