"""How answers are told from beginnings of answers, and that each is counted once."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kblampp.transfer import whole
from kblampp.transfer.whole import kind_of

ANSWERS = ["Port Alder", "Port Alder; Vesk", "Ada Low", "1 May 2001", "no", "2", "unknown"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *((answer, "whole") for answer in ANSWERS[:-1]),
        ("unknown", "refusal"),
        ("Unknown.", "refusal"),
        ("", "refusal"),
        ("Port", "broken"),
        ("Port Ald", "broken"),
        ("Port Alderson", "broken"),
        ("Port Alder; ", "broken"),
        ("Port Brill", "broken"),
        ("Ada Lowe", "broken"),
        ("1 May", "broken"),
        ("Port Alder ", "broken"),
        ("north", "own_words"),
        ("27", "own_words"),
        ("port alder", "own_words"),
        ("Brill", "own_words"),
        ("Portugal", "own_words"),
        ("unknown to me", "own_words"),
    ],
)
def test_a_text_is_whole_a_refusal_broken_or_own_words(text: str, kind: str) -> None:
    assert kind_of(text, ANSWERS) == kind


def test_without_answers_from_the_facts_all_are_own_words() -> None:
    assert kind_of("Port", []) == "own_words"


def test_sampling_asks_again_with_other_seeds_and_the_others_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []

    def kinds(_predictor: Any, split: Any, most: int, _options: Any) -> Iterator[str]:
        seeds.append(torch.initial_seed())
        return iter(["whole", "broken", "whole"][: min(split.n, most)])

    monkeypatch.setattr(whole, "_kinds", kinds)
    splits: Any = [SimpleNamespace(n=3), SimpleNamespace(n=1)]
    asked = {way: whole._ask(None, splits, options, 6, 5) for way, options in whole.WAYS.items()}  # type: ignore[arg-type]
    assert asked["sampled"] == {"whole": 4, "broken": 2}
    assert asked["greedy"] == asked["beams"] == {"whole": 3, "broken": 1}
    assert set(seeds) == {5, 6}
