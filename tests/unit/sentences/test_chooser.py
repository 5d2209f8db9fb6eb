"""Which wording is written: the one that the language model finds most probable, a token."""

from __future__ import annotations

import pytest
import torch

from kblampp.backbone.load import Backbone
from kblampp.sentences.chooser import Chooser, log_probs
from tests.tiny import FAMILIES, tiny_tokenizer

TEXTS = ["Ada was the keeper.", "The keeper in 1930 was Ada.", "Ada."]


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return Backbone(FAMILIES[request.param](), tiny_tokenizer(), request.param, "")


def test_scores_are_those_of_each_text_alone_token_by_token(backbone: Backbone) -> None:
    model, tokenizer = backbone.model, backbone.tokenizer
    found = log_probs(model, tokenizer, "Who?", TEXTS)
    for text, score in zip(TEXTS, found.tolist(), strict=True):
        before, written = (tokenizer(each, add_special_tokens=False)["input_ids"] for each in ("Who?", text))
        logs = []
        for place, token in enumerate(written):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([before + written[:place]])).logits[0, -1]
            logs.append(float(logits.log_softmax(-1)[token]))
        assert score == pytest.approx(sum(logs) / len(logs), abs=1e-4)


def test_the_most_probable_is_chosen_whatever_stands_beside_it(backbone: Backbone) -> None:
    choose = Chooser(backbone)
    best = TEXTS[choose("Who?", TEXTS)]
    assert TEXTS[::-1][choose("Who?", TEXTS[::-1])] == best
    assert choose("Who?", [best]) == 0


def test_a_chat_model_is_asked_by_its_template(backbone: Backbone) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{% for turn in messages %}<{{ turn.role }}>{{ turn.content }}{% endfor %}"
    chat = Chooser(Backbone(backbone.model, tokenizer, "chat", ""))
    assert chat.prompt("Who?").startswith("<system>")
    assert chat.prompt("Who?").endswith("<user>Who?")
    assert "<user>" not in Chooser(backbone).prompt("Who?")
