"""What the kind of a question is called."""

from __future__ import annotations

import pytest

from kblampp.data.facts import Question
from kblampp.transfer.kinds import kind_asked

NAMED = Question("q/1", "custom", "Who?", "Ann", (), "multi-hop", (3, 4), kind="tail")


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        (NAMED, "tail"),
        (Question("q/2", "custom", "Who?", "Ann", (), "single-hop", (3,), program={"kind": "current"}), "current"),
        (
            Question("q/3", "custom", "Who?", "Ann", (), "single-hop", (3,), program={"relation": "r"}),
            "single-hop, 1 hops",
        ),
        (Question("q/4", "custom", "Who?", "Ann", (), "multi-hop", (3, 4)), "multi-hop, 2 hops"),
    ],
)
def test_a_kind_is_what_the_data_calls_it_or_else_type_and_hops(question: Question, kind: str) -> None:
    assert kind_asked(question) == kind
