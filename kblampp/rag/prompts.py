"""How a backbone is asked with facts in its prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from transformers import PreTrainedTokenizerBase

from kblampp.backbone.load import Backbone
from kblampp.core.errors import BackboneError, ParamsError
from kblampp.data.facts import Context, Entity, FiveTuple, Relation, evidence_sentence
from kblampp.data.windows import UNKNOWN, Window, year_window
from kblampp.model.prompts import ANSWER_CUE, answer_continuation

INSTRUCTION = (
    "Answer the question. Say only the answer itself: a name, a number, a date, yes or no, or several names with "
    "semicolons between them. If it is not known, say unknown."
)


def _fact(
    head: str, relation: str, tail: str, sentence: str, first: int | None = None, last: int | None = None
) -> FiveTuple:
    """A fact of an example, which holds from the year `first` on, or always."""
    start = None if first is None else year_window(first).start
    end = None if last is None else year_window(last).end
    window = UNKNOWN if first is None else Window(start, end)
    return FiveTuple(
        Entity(None, head), Relation(None, relation), Entity(None, tail), Context("", sent_span=sentence), window
    )


_LINE = "Lunden Line"
EXAMPLES: tuple[tuple[tuple[FiveTuple, ...], str, str], ...] = (
    (
        (
            _fact(
                "Port Elsby", "harbour master", "Ines Corrado", "Ines Corrado ran Port Elsby until 2004.", 1997, 2004
            ),
            _fact("Port Elsby", "harbour master", "Piet Aalders", "Piet Aalders took over Port Elsby in 2005.", 2005),
        ),
        "Who was harbour master of Port Elsby in 2001?",
        "Ines Corrado",
    ),
    (
        (
            _fact("Dorte", "owner", _LINE, "The ferry Dorte has belonged to Lunden Line since 1990.", 1990),
            _fact("Dorte", "length", "84 m", "The ferry Dorte is 84 m long."),
        ),
        "Is the ferry Dorte owned by Lunden Line?",
        "yes",
    ),
    (
        (
            _fact(_LINE, "route", "Elsby to Marn", "Lunden Line sails from Elsby to Marn."),
            _fact(_LINE, "route", "Elsby to Tollø", "Another route of Lunden Line goes from Elsby to Tollø."),
            _fact(_LINE, "founded", "1952", "Lunden Line was founded in 1952."),
        ),
        "Which routes does Lunden Line have?",
        "Elsby to Marn; Elsby to Tollø",
    ),
    (
        (
            _fact("Dorte", "length", "84 m", "The ferry Dorte is 84 m long."),
            _fact("Dorte", "owner", _LINE, "The ferry Dorte has belonged to Lunden Line since 1990.", 1990),
        ),
        "How fast is the Dorte?",
        "unknown",
    ),
)
"""Facts, question and answer, of no base that is asked about; a style shows these facts as it shows others."""
_PLAIN, _PARTS = "plain", ("chat", "examples", "fields")


@dataclass(frozen=True)
class PromptStyle:
    """How the backbone is asked.

    Attributes:
        chat: By its chat template; else as running text.
        examples: Whether worked examples come first.
        fields: Whether a fact is shown with relation, names and time; else as its sentence.
    """

    chat: bool
    examples: bool
    fields: bool

    def __str__(self) -> str:
        parts = zip(_PARTS, (self.chat, self.examples, self.fields), strict=True)
        return " + ".join(name for name, there in parts if there) or _PLAIN

    @classmethod
    def parse(cls, text: str) -> PromptStyle:
        """The style that `str` calls so, its parts in any order.

        Raises:
            ParamsError: There is none.
        """
        parts = [] if text.strip() == _PLAIN else [part.strip() for part in text.split("+")]
        if len(set(parts)) < len(parts) or not set(parts) <= set(_PARTS):
            raise ParamsError(
                f"{text!r} is no prompt style: expected {_PLAIN}, or some of {', '.join(_PARTS)} with + between them"
            )
        return cls(**{part: part in parts for part in _PARTS})

    def shown(self, fact: FiveTuple) -> str:
        """A fact as a prompt shows it."""
        if not self.fields:
            return evidence_sentence(fact)
        since, until = (fact.window.in_words(bound) for bound in ("start", "end"))
        times = [f"{word} {day}" for word, day in (("from", since), ("until", until)) if day]
        time = f" ({' '.join(times)})" if times else ""
        sentence = f" {fact.context.sent_span}" if fact.context.sent_span else ""
        return f"{fact.relation.name} of {fact.head.name}: {fact.tail.name}{time}.{sentence}"

    def prompt(self, question: str, facts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> str:
        """The text that the backbone goes on from."""
        examples = EXAMPLES if self.examples else ()
        asked = [([self.shown(fact) for fact in shown if facts], text, answer) for shown, text, answer in examples]
        blocks = [_block(shown, text) for shown, text, _ in (*asked, (facts, question, ""))]
        if not self.chat:
            turns = [f"{block}\n{ANSWER_CUE} {answer}" for block, (*_, answer) in zip(blocks, asked, strict=False)]
            return "\n\n".join([*([INSTRUCTION] if examples else []), *turns, f"{blocks[-1]}\n{ANSWER_CUE}"])
        turns_of_chat = [{"role": "system", "content": INSTRUCTION}]
        for block, (*_, answer) in zip(blocks, asked, strict=False):
            turns_of_chat += [{"role": "user", "content": block}, {"role": "assistant", "content": answer}]
        turns_of_chat.append({"role": "user", "content": blocks[-1]})
        return str(tokenizer.apply_chat_template(turns_of_chat, tokenize=False, add_generation_prompt=True))

    def continuation(self, answer: str) -> str:
        """An answer as it goes on from a prompt: in running text after a space, in a chat as a turn of its own."""
        return answer if self.chat else answer_continuation(answer)


def _block(facts: Sequence[str], question: str) -> str:
    return "\n".join([*facts, f"Question: {question}"])


PLAIN = PromptStyle(chat=False, examples=False, fields=False)


def styles(tokenizer: PreTrainedTokenizerBase) -> list[PromptStyle]:
    """All that are tried: with a chat template only where the tokenizer has one."""
    chats = (False, True) if tokenizer.chat_template else (False,)
    return [PromptStyle(*each) for each in product(chats, (False, True), (False, True))]


def fitting(style: PromptStyle, question: str, facts: Sequence[str], backbone: Backbone, reserve: int) -> str:
    """The prompt with as many of the facts, the nearest first, as the backbone has positions for.

    Args:
        style: How it is asked.
        question: The question.
        facts: As the style shows them.
        backbone: The language model.
        reserve: Tokens left for the answer.

    Raises:
        BackboneError: It has none for the prompt without facts.
    """
    room = getattr(backbone.model.config, "max_position_embeddings", None)
    for shown in range(len(facts), -1, -1):
        prompt = style.prompt(question, facts[:shown], backbone.tokenizer)
        length = len(backbone.tokenizer(prompt)["input_ids"])
        if room is None or length + reserve <= room:
            return prompt
    raise BackboneError(
        f"backbone {backbone.name} takes {room} tokens, and a prompt in the style {style!s} has {length} without any "
        f"fact, with {reserve} more for the answer: take another backbone"
    )


def answer_line(text: str) -> str:
    """What counts of a continuation: its first line, without a full stop."""
    return text.strip().split("\n")[0].strip().removesuffix(".")
