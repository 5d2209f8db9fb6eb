"""Which labels are added, what counts as a changed answer, and how wrong answers are told apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from kblampp.core.errors import DataError
from kblampp.data.facts import Context, Entity, FiveTuple, Question, Relation
from kblampp.encoding.projections import general_relation_labels
from kblampp.transfer import hubs
from kblampp.transfer.hubs import INVENTED, alone, changed, chosen_labels, made_up, together


def fact(head: str, relation: str, tail: str) -> FiveTuple:
    return FiveTuple(Entity(None, head), Relation(None, relation), Entity(None, tail), Context("town"))


def question(text: str) -> Question:
    return Question(text, "town", text, "1902", (), "single-hop", ())


class Asked:
    """Stands for a model: answers by a rule from the facts that it is shown, and keeps them."""

    def __init__(self, rule: Any) -> None:
        self.rule = rule
        self.seen: list[list[FiveTuple]] = []

    def ask(
        self, facts: Sequence[FiveTuple], questions: Sequence[Question], hidden: Any = ((),)
    ) -> Iterator[list[str]]:
        for each in hidden:
            self.seen.append([fact for number, fact in enumerate(facts) if number not in each])
            yield [self.rule(self.seen[-1], question) for question in questions]


FACTS = [fact("Mill", "owner", "Ada Low"), fact("Mill", "Year built", "1902"), fact("Inn", "owner", "Bo Hart")]
QUESTIONS = [question("When was the mill built?"), question("Who owns the inn?")]


def test_a_sample_of_the_labels_is_drawn_with_the_seed_and_keeps_their_order() -> None:
    labels = chosen_labels(None, 0)
    assert len(labels) == len(set(labels))
    assert set(labels) == set(general_relation_labels())
    some = chosen_labels(9, 0)
    assert some == chosen_labels(9, 0) != chosen_labels(9, 1)
    assert some == [label for label in labels if label in some]
    with pytest.raises(DataError, match="there are"):
        chosen_labels(len(labels) + 1, 0)


def test_made_up_names_are_all_different() -> None:
    assert len({made_up(number) for number in range(20_000)}) == 20_000


def test_answers_that_are_others_than_before_are_told_with_their_questions() -> None:
    rows = changed(QUESTIONS, ["1902", "Bo Hart"], ["1902", f"Bo Hart; {INVENTED}"])
    assert (rows["changed"], rows["taken"]) == (1, 1)
    assert rows["answers"] == [{"question": "Who owns the inn?", "before": "Bo Hart", "after": f"Bo Hart; {INVENTED}"}]
    assert changed(QUESTIONS, ["1902", "Bo Hart"], ["1902", "unknown"])["taken"] == 0


def test_each_label_is_added_alone_and_those_that_the_head_has_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "AT_ONCE", 2)
    hub = "colour"
    model = Asked(lambda facts, _: INVENTED if any(fact.relation.name == hub for fact in facts) else "1902")
    found = alone(model, FACTS, QUESTIONS, ["year built", "size", hub, "owner", "use", "price", "age"])  # type: ignore[arg-type]
    assert (found["head"], found["left_out"], found["labels"]) == ("Mill", ["year built", "owner"], 5)
    added = [[(each.head.name, each.relation.name) for each in facts[len(FACTS) :]] for facts in model.seen]
    assert added == [[], *([("Mill", label)] for label in ("size", hub, "use", "price", "age"))]
    assert found["by_label"] == {hub: {"changed": 2, "taken": 2}}
    assert (found["asked"], found["changed"], found["share"]) == (10, 2, 0.2)
    assert [row["label"] for row in found["worst"]] == [hub]


def test_wrong_answers_are_refusals_others_or_of_the_label_that_answers_instead() -> None:
    labels = ["size", "use", "price", "age", "colour"]
    said = dict(zip(labels, [made_up(0), made_up(0), "unknown", made_up(0), "Port"], strict=True))
    model = Asked(lambda _, asked: next(text for label, text in said.items() if f"the {label} of" in asked.question))
    found = together(model, labels)  # type: ignore[arg-type]
    assert (found["right"], found["share"], found["refused"], found["other"]) == (1, 0.2, 1, 1)
    assert found["instead"] == {"size": 2}
    assert found["wrong"] == {"use": "size", "price": "unknown", "age": "size", "colour": "Port"}
