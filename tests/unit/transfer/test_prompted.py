"""How the backbone is asked with prompts: what a prompt shows, and that the best way on other questions is chosen."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kblampp.core.errors import BackboneError
from kblampp.data.facts import Context, Entity, FiveTuple, Question, Relation
from kblampp.data.windows import UNKNOWN, Window, year_window
from kblampp.evaluation.questions import with_times
from kblampp.evaluation.systems import Split
from kblampp.model.predictor import Prediction
from kblampp.rag.prompts import EXAMPLES, PromptStyle, styles
from kblampp.transfer import prompted
from kblampp.transfer.prompted import answer_prompted, choose_style


def fact(head: str, relation: str, tail: str, sentence: str = "", window: Window = UNKNOWN) -> FiveTuple:
    context = Context("test", sent_span=sentence)
    return FiveTuple(Entity(None, head), Relation(None, relation), Entity(None, tail), context, window)


FACTS = [
    fact("Storvik", "mayor", "Anne", "Anne ran Storvik.", Window(year_window(2003).start, year_window(2010).end)),
    fact("Tower", "height", "27 metres"),
]


class Tokenizer:
    chat_template: str | None = "a template"

    def __call__(self, text: str) -> dict[str, list[str]]:
        return {"input_ids": text.split()}

    def apply_chat_template(self, turns: list[dict[str, str]], **how: Any) -> str:
        assert how == {"tokenize": False, "add_generation_prompt": True}
        return "".join(f"<{turn['role']}>{turn['content']}" for turn in turns) + "<assistant>"


TOKENIZER: Any = Tokenizer()


@dataclass
class Backbone:
    """Says the same to every prompt, and keeps the prompts."""

    says: str
    prompts: list[str] = field(default_factory=list)
    positions: int | None = None
    max_new_tokens: int = 8

    @property
    def backbone(self) -> Any:
        config = SimpleNamespace(**({} if self.positions is None else {"max_position_embeddings": self.positions}))
        return SimpleNamespace(name="tiny", tokenizer=TOKENIZER, model=SimpleNamespace(config=config))

    def complete(self, prompts: list[str], label: str, *, first_line: bool) -> list[Prediction]:
        assert first_line  # no more than an answer is read
        self.prompts += prompts
        return [Prediction(self.says, prompt_tokens=len(prompt)) for prompt in prompts]


def split_of(questions: list[Question]) -> Split:
    vectors = np.eye(2, dtype=np.float32)[[0 if "Storvik" in question.question else 1 for question in questions]]
    base: Any = SimpleNamespace(store=SimpleNamespace(facts=FACTS, sentence_vectors=np.eye(2, dtype=np.float32)))
    return Split("test", base, with_times(questions, vectors))


def question(text: str, answer: str, kind: str) -> Question:
    type_, facts = ("single-hop", (0,)) if answer else ("unanswerable", ())
    return Question(text, "test", text, answer, (), type_, facts, program={"kind": kind})


@pytest.mark.parametrize("style", styles(TOKENIZER), ids=str)
def test_a_prompt_shows_the_facts_and_the_question_once(style: PromptStyle) -> None:
    text = style.prompt("Who ran Storvik?", [style.shown(each) for each in FACTS], TOKENIZER)
    assert text.count("Question: Who ran Storvik?") == 1
    assert text.index("Anne ran Storvik.") < text.index("Who ran Storvik?")
    assert ("mayor of Storvik: Anne (from 2003 until 2010)." in text) is style.fields
    assert ("Tower height 27 metres" in text) is not style.fields
    assert all((asked in text) is style.examples for _, asked, _ in EXAMPLES)
    assert all((style.shown(fact) in text) is style.examples for facts, _, _ in EXAMPLES for fact in facts)
    assert text.endswith("<assistant>" if style.chat else "Who ran Storvik?\nAnswer:")
    assert text.startswith("<system>") is style.chat


def test_without_facts_the_examples_have_none_either() -> None:
    style = PromptStyle(chat=False, examples=True, fields=True)
    text = style.prompt("Who ran Storvik?", [], TOKENIZER)
    assert all(style.shown(fact) not in text for facts, _, _ in EXAMPLES for fact in facts)
    assert all(f"Question: {asked}\nAnswer: {answer}\n" in text for _, asked, answer in EXAMPLES)


def test_without_a_chat_template_no_chat_is_tried() -> None:
    bare: Any = SimpleNamespace(chat_template=None)
    assert len(styles(TOKENIZER)) == 8
    assert [style.chat for style in styles(bare)] == [False] * 4


def test_answers_are_the_first_line_without_its_dot_and_the_nearest_facts_are_shown() -> None:
    backbone: Any = Backbone("\n Anne. \nQuestion: more")
    asked = split_of([question("Who ran Storvik?", "Anne", "tail"), question("How tall is it?", "27 metres", "tail")])
    texts, lengths = answer_prompted(backbone, asked, PromptStyle(chat=False, examples=False, fields=False), 1)
    assert texts == ["Anne", "Anne"]
    assert lengths == [len(prompt) for prompt in backbone.prompts]
    assert ["Anne ran" in prompt for prompt in backbone.prompts] == [True, False]
    assert ["27 metres" in prompt for prompt in backbone.prompts] == [False, True]


def test_as_many_facts_are_shown_as_there_are_positions_for() -> None:
    asked, plain = split_of([question("Who ran Storvik?", "Anne", "tail")]), PromptStyle(False, False, False)
    shown = []
    for positions in (13, 16, 20, 40):
        backbone: Any = Backbone("Anne", positions=positions)
        answer_prompted(backbone, asked, plain, 2)
        assert len(TOKENIZER(backbone.prompts[0])["input_ids"]) + 8 <= positions
        shown.append((" ran Storvik." in backbone.prompts[0], "27 metres" in backbone.prompts[0]))
    assert shown == [(False, False), (True, False), (True, True), (True, True)]
    short: Any = Backbone("Anne", positions=12)
    with pytest.raises(BackboneError, match="tiny takes 12 tokens, and a prompt in the style plain has 5 without any"):
        answer_prompted(short, asked, plain, 2)


@pytest.mark.parametrize("best", styles(TOKENIZER), ids=str)
def test_the_style_that_answers_most_is_chosen(best: PromptStyle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unanswerable questions count where they are refused, and only so many of a kind are asked."""
    asked = [question(f"Who ran Storvik in {year}?", "Anne", "temporal") for year in range(2003, 2008)]
    asked += [question("Who founded Storvik?", "", "unanswerable")]
    seen: list[int] = []

    def answer(_: Any, some: Split, style: PromptStyle, facts: int) -> tuple[list[str], list[int]]:
        assert facts == 4
        seen.append(len(some.encoded))
        right = [each.answer or "unknown" for each in some.encoded.questions]
        return (right if style == best else ["Anne" for _ in right]), [1] * len(right)

    monkeypatch.setattr(prompted, "answer_prompted", answer)
    backbone: Any = Backbone("")
    style, shares = choose_style(backbone, split_of(asked), 2)
    assert style == best
    assert seen == [3] * 8
    assert shares == {str(each): 1.0 if each == best else 0.6667 for each in styles(TOKENIZER)}
