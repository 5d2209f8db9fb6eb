"""A reply with a sentence: its short answer, and the question's words around it."""

from __future__ import annotations

from dataclasses import replace

from kblampp.asking.replies import Reply
from kblampp.model.answers import Source
from kblampp.sentences.writer import Choose, Told, write_sentence


def in_a_sentence(reply: Reply, choose: Choose) -> Reply:
    """The reply with its sentence, as far as the question gives one; what the language model wrote stays as it is.

    Args:
        reply: With its short answer.
        choose: The language model (`sentences.chooser.Chooser`).
    """
    if reply.own_words:
        return replace(reply, style="sentence")
    return replace(reply, style="sentence", sentence=write_sentence(told_by(reply), choose) or ())


def told_by(reply: Reply) -> Told:
    """What a sentence has to say, and the names of the facts that were weighed, which the question may mention."""
    names: dict[str, Source] = {}
    for number, fact in reply.facts.items():
        names.setdefault(fact.head.name, Source(number, "head"))
        names.setdefault(fact.tail.name, Source(number, "tail"))
    return Told(reply.question, tuple((part.text, part.sources) for part in reply.parts), names)
