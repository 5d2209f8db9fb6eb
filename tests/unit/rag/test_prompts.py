"""The styles of prompts: their names, and how an answer goes on from one."""

from __future__ import annotations

from itertools import product

import pytest

from kblampp.core.errors import ParamsError
from kblampp.rag.prompts import PromptStyle

STYLES = [PromptStyle(*each) for each in product((False, True), repeat=3)]


@pytest.mark.parametrize("style", STYLES, ids=str)
def test_a_style_is_known_by_its_name(style: PromptStyle) -> None:
    assert PromptStyle.parse(str(style)) == style
    assert PromptStyle.parse("+".join(reversed(str(style).split(" + ")))) == style


@pytest.mark.parametrize("text", ["", "field", "fields + plain", "fields + fields", "fields +"])
def test_another_name_is_none(text: str) -> None:
    with pytest.raises(ParamsError, match="expected plain, or some of chat, examples, fields"):
        PromptStyle.parse(text)


def test_an_answer_follows_the_cue_after_a_space_and_is_a_turn_of_a_chat() -> None:
    assert PromptStyle.parse("fields").continuation("Anne") == " Anne"
    assert PromptStyle.parse("chat").continuation("Anne") == "Anne"
