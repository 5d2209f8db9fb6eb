"""Free text is scored token by token, and tells nothing that a base here holds."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import pytest
import torch

from kblampp.experiments.perplexity import Text, figures, log_likelihoods, paragraphs
from kblampp.model.inputs import SelectorOptions
from kblampp.model.predictor import Predictor
from tests.house import ROOT
from tests.kb import ENCODERS, TinyWorld, make_world
from tests.tiny import FAMILIES

FIRSTS = ("Glass is made of sand.", "Bees dance.", "Where was Ada Birk born?")
RESTS = (" It is blown.", " Others follow them in the dark.", " Nobody knows.")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("kb"))


@pytest.fixture(scope="module")
def predictor(world: TinyWorld) -> Predictor:
    backbone = FAMILIES["llama"]()
    return Predictor(world.model(backbone), world.backbone(backbone), SelectorOptions(top_k=4), 2, 8)


def texts(world: TinyWorld) -> list[Text]:
    encode = world.tokenizer.encode
    return [Text(first, tuple(encode(first)), tuple(encode(rest))) for first, rest in zip(FIRSTS, RESTS, strict=True)]


@torch.no_grad()
def test_a_tokens_log_likelihood_is_that_of_the_backbone_after_all_tokens_before_it(
    world: TinyWorld, predictor: Predictor
) -> None:
    found, own = log_likelihoods(predictor, texts(world), None)
    expected = []
    for text in texts(world):
        row = [*text.prompt, *text.rest]
        for place in range(len(text.prompt), len(row)):
            logits = predictor.backbone.model(torch.tensor([row[:place]])).logits[0, -1]
            expected.append(float(logits.log_softmax(-1)[row[place]]))
    assert found == pytest.approx(expected, abs=1e-4)
    assert own == [1.0] * 3


def test_where_nothing_is_asked_nothing_changes_and_where_something_is_the_ratio_says_how_much(
    world: TinyWorld, predictor: Predictor
) -> None:
    bare, _ = log_likelihoods(predictor, texts(world), None)
    result = figures(predictor, world.base, texts(world), bare, ENCODERS)
    silent, asked = result["nothing asked"], result["asked"]
    assert silent["ratio"] == 1.0
    assert silent["largest_difference_of_a_token"] == 0.0
    assert silent["own_words_probable"] == 1.0
    assert silent["perplexity"] == pytest.approx(math.exp(-sum(bare) / len(bare)), abs=1e-3)
    assert asked["ratio"] != 1.0
    assert asked["ratio"] == pytest.approx(asked["perplexity"] / silent["perplexity"], rel=1e-3)
    assert asked["own_words_probable"] < 1.0


def test_the_paragraphs_name_nothing_that_a_dossier_names() -> None:
    written = f" {' '.join(paragraphs())} "
    names: set[str] = set()
    for path in sorted(Path(ROOT, "data", "dossiers").glob("*/facts.csv"), key=str):
        with path.open(encoding="utf-8", newline="") as file:
            names |= {row[field] for row in csv.DictReader(file) for field in ("head", "tail")}
    capitalised = {name for name in names if len(name) > 2 and name[0].isupper()}
    assert len(paragraphs()) == 20
    assert len(capitalised) > 500
    assert not [name for name in capitalised if re.search(rf"\b{re.escape(name)}\b", written)]
