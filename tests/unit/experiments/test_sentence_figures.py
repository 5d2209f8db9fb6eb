"""The checks of sentences find what they are to find."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kblampp.asking.replies import Reply
from kblampp.asking.wording import in_a_sentence
from kblampp.data.facts import Question
from kblampp.experiments.sentence_figures import Asked, is_whole, shuffled, spread, strays
from tests.unit.asking.test_wording import REPLY, first

SAID = in_a_sentence(REPLY, first)


@pytest.mark.parametrize(
    ("text", "names", "others"),
    [
        (SAID.text, [], []),
        ("The keeper of Kvitnes Lighthouse in 1930 was Sigrid Aune.", [], []),
        ("Sigrid Aune was the keeper of Kvitnes Lighthouse in 1931.", ["1931"], []),
        ("Sigrid Lie was the keeper of Kvitnes Lighthouse.", ["Lie"], []),
        ("Norway was the keeper.", ["Norway"], []),
        ("Sigrid Aune bravely was the keepers.", [], ["bravely"]),
    ],
)
def test_what_comes_from_elsewhere_is_found(text: str, names: list[str], others: list[str]) -> None:
    assert strays(SAID, text) == (names, others)


def asked(reply: Reply, gold: str, kind: str | None = None) -> Asked:
    question = Question("q", "custom", reply.question, gold, (), "single-hop", (0,), kind=kind)
    return Asked("base", question, reply, 1)


def test_the_right_answer_is_looked_for_whole() -> None:
    assert asked(SAID, "Sigrid Aune").contained
    assert not asked(SAID, "Sigrid Aun").contained
    assert asked(SAID, "kvitnes lighthouse; Sigrid Aune", "list").contained
    assert not asked(SAID, "Oskar Lie; Sigrid Aune", "list").contained
    assert not asked(SAID, "no", "yes_no").contained


def test_a_copied_part_stands_there_letter_by_letter() -> None:
    assert is_whole(SAID)
    changed = tuple(replace(piece, text=piece.text.replace("Aune", "Aun")) for piece in SAID.sentence)
    assert not is_whole(replace(SAID, sentence=changed))


def test_texts_are_spread_evenly_and_words_shuffled_are_the_same_words() -> None:
    assert spread(range(100), 4) == [12, 37, 62, 87]
    assert spread(range(3), 10) == [0, 1, 2]
    assert sorted(shuffled(SAID.text, 1).rstrip(".").split()) == sorted(SAID.text.rstrip(".").split())
