"""All systems side by side: how the questions are chosen, which names are known, and what the table shows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kblampp.core.errors import DataError
from kblampp.data.facts import KINDS, UNANSWERABLE, Question
from kblampp.experiments.systems_answers import SYSTEMS
from kblampp.experiments.systems_asked import ALWAYS, chosen, groups_asked, spread
from kblampp.experiments.systems_table import systems_table
from kblampp.report.names import COMPARED, TRANSFER_GROUPS


def question(base: str, kind: str, number: int) -> Question:
    type_, answer = (UNANSWERABLE, "") if kind == UNANSWERABLE else ("single-hop", "Anne")
    return Question(f"{base}_{kind}_{number}", base, "Who?", answer, (), type_, (), kind=kind)


counts = st.lists(st.lists(st.integers(0, 6), min_size=len(KINDS), max_size=len(KINDS)), min_size=1, max_size=4)


@settings(deadline=None, max_examples=50)  # a clock fails on a busy machine
@given(counts, st.integers(1, 80), st.integers(0, 3))
def test_questions_are_spread_over_kinds_and_fewer_are_a_part_of_more(
    numbers: list[list[int]], n: int, seed: int
) -> None:
    asked = {
        str(base): [question(str(base), kind, each) for kind, m in zip(KINDS, row, strict=True) for each in range(m)]
        for base, row in enumerate(numbers)
    }
    found = spread(asked, n, seed)
    taken = [asked[base][place] for base, places in found.items() for place in places]
    everything = Counter(each.kind for row in asked.values() for each in row)
    assert len({each.qid for each in taken}) == len(taken) == min(n, everything.total())
    of_kind = Counter(each.kind for each in taken)
    most = max(of_kind.values(), default=0)
    # A kind has as many as any other, but for the last turn, unless it has no more.
    assert all(of_kind[kind] >= min(most - 1, there) for kind, there in everything.items())
    more = spread(asked, n + 5, seed)
    assert all(set(places) <= set(more[base]) for base, places in found.items())


def test_bases_of_one_row_get_about_as_many() -> None:
    asked = {base: [question(base, kind, number) for kind in KINDS for number in range(9)] for base in "abcdefghij"}
    found = spread(asked, 100, 0)
    assert sum(map(len, found.values())) == 100
    assert {len(places) for places in found.values()} <= {8, 9, 10, 11, 12}
    assert spread(asked, 100, 0) == found != spread(asked, 100, 1)


def test_a_strange_name_is_told_with_those_that_are_known() -> None:
    with pytest.raises(DataError, match=r"no system 'rag_2'.*rag_1, rag_4"):
        chosen(["model", "rag_2"], SYSTEMS, "system")
    with pytest.raises(DataError, match=r"no base 'club'.*swap, novel, dossiers, yago, timeqa"):
        groups_asked(["club"], None)
    assert chosen(["lookup", "model"], SYSTEMS, "system") == ("model", "lookup")


def test_timeqa_is_asked_where_it_is_named_or_its_files_are_given() -> None:
    assert groups_asked([], None) == ALWAYS
    assert groups_asked([], Path("raw")) == (*ALWAYS, "timeqa")
    assert groups_asked(["timeqa"], None) == ("timeqa",)


def figures(share: float, tokens: float, **groups: float) -> dict[str, Any]:
    def figure(value: float, n: int) -> dict[str, Any]:
        return {"n": n, "right": round(value * n), "share": value, "stderr": 0.05}

    parts = {name: figure(value, 2) for name, value in groups.items()}
    return {"n": 4, "all": figure(share, 4), "groups": parts, "kinds": {}, "broken": 0, "prompt_tokens": tokens}


def test_every_system_has_a_name_and_a_line_and_what_was_not_asked_a_dash() -> None:
    assert tuple(COMPARED) == SYSTEMS
    table = {
        "swap": {"model": figures(0.75, 10), "in_context": figures(0.5, 90) | {"holds": 0.625}},
        "dossiers": {"model": figures(0.5, 20, facts=1.0, steps=0.0)},
    }
    result = {
        "backbone": "tiny",
        "table": table,
        "training": {"trained_rag": {"steps": 7, "seconds": 12.3, "facts": 4, "style": "plain"}},
        "left_out": {"model_b": "trainB was not trained"},
        "prompts": {"style": "fields", "right_on_unseen": {"plain": 0.25, "fields": 0.5}, "questions_per_kind": 3},
    }
    lines = systems_table(result).splitlines()
    assert [line.count("|") for line in lines[:4]] == [lines[0].count("|")] * 4
    assert lines[0].split(" | ")[1:-1] == [
        "swap (4)",
        "dossiers (4)",
        f"dossiers: {TRANSFER_GROUPS['facts']} (2)",
        f"dossiers: {TRANSFER_GROUPS['steps']} (2)",
    ]
    assert "| 0.750 ± 0.050 | 0.500 ± 0.050 | 1.000 ± 0.050 | 0.000 ± 0.050 | 15 |" in lines[2]
    assert "| 0.500 ± 0.050 (0.625) | – | – | – | 90 |" in lines[3]
    for told in ("KBLaM++ (Stage B) (trainB was not trained)", "fields 0.500, plain 0.250", "7 steps, 12 s, 4 facts"):
        assert told in lines[-1]
