"""A reply with a sentence says what of it was copied, what the question said, and what the model added."""

from __future__ import annotations

from dataclasses import replace

from kblampp.asking.replies import Part, Reply, as_text
from kblampp.asking.wording import in_a_sentence
from kblampp.data.facts import Context, Entity, FiveTuple, Relation
from kblampp.data.windows import Window
from kblampp.model.answers import Source

FACT = FiveTuple(
    Entity(None, "Kvitnes Lighthouse", None),
    Relation(None, "keeper"),
    Entity(None, "Sigrid Aune", None),
    Context("custom", ""),
    Window(None, None, "custom"),
)
REPLY = Reply(
    question="who was the keeper of kvitnes lighthouse in 1930",
    answer="Sigrid Aune",
    parts=(Part("Sigrid Aune", (Source(3, "tail"),)),),
    own_words=False,
    time=None,
    problem=None,
    layers=(),
    null=0.1,
    facts={3: FACT},
    today=737000,
)


def first(question: str, texts: object) -> int:
    return 0


def test_each_piece_says_where_it_comes_from() -> None:
    reply = in_a_sentence(REPLY, first)
    assert reply.text == "Sigrid Aune was the keeper of Kvitnes Lighthouse in 1930."
    said = reply.to_json()
    assert said["answer"] == "Sigrid Aune"
    pieces = [(piece["text"], piece["from"], piece["sources"]) for piece in said["sentence"]["pieces"]]
    assert pieces == [
        ("Sigrid Aune", "fact", [{"fact": 3, "field": "tail"}]),
        (" was the keeper of ", "question", []),
        ("Kvitnes Lighthouse", "fact", [{"fact": 3, "field": "head"}]),
        (" in 1930", "question", []),
        (".", "model", []),
    ]
    assert "".join(text for text, *_ in pieces) == said["sentence"]["text"]
    assert any(line == f"sentence: {reply.text}" for line in as_text(replace(reply, layers=((),))))


def test_a_refusal_says_what_the_base_does_not_say() -> None:
    reply = in_a_sentence(replace(REPLY, answer="unknown", parts=()), first)
    assert reply.refused
    assert reply.text == "The base does not say who was the keeper of Kvitnes Lighthouse in 1930."


def test_without_a_sentence_the_short_answer_stands_and_the_reply_says_so() -> None:
    for changed in ({"question": "Wer war das?"}, {"own_words": True}):
        reply = in_a_sentence(replace(REPLY, **changed), first)  # type: ignore[arg-type]
        assert (reply.style, reply.sentence, reply.text) == ("sentence", (), "Sigrid Aune")
        assert reply.to_json()["sentence"] is None
        assert any("the short answer stands" in line for line in as_text(replace(reply, layers=((),))))
    assert REPLY.to_json()["style"] == "short"
