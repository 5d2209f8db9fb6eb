"""Bases of any size: what fills them changes no answer, strings are made once, and baselines are those of elsewhere."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kblampp.base.editing import fact_of
from kblampp.core.errors import DataError
from kblampp.core.params_file import load_params
from kblampp.data.facts import FiveTuple, Question, evidence_sentence
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.projections import fit_projections
from kblampp.encoding.sentence_encoder import DeterministicEncoder
from kblampp.evaluation.questions import with_times
from kblampp.experiments import scale, scale_questions, scale_table
from kblampp.experiments.scale_fillers import Fillers
from kblampp.experiments.scale_questions import Questions, read_questions
from kblampp.experiments.scale_strings import KeptEncoders, KeptStrings
from kblampp.experiments.scale_systems import Columns, SearchedStrings
from kblampp.snapshots.fact_encoder import FactEncoder
from kblampp.snapshots.snapshot import Snapshot
from kblampp.transfer.phrase_lookup import phrase_lookup
from tests.kb import WIDTHS

ROOT = Path(__file__).resolve().parents[3]
WIDTH = 48
LIGHTHOUSE = [
    fact_of("Kvitnes Lighthouse", "keeper", "Oskar Lie", start="1990", end="2001"),
    fact_of("Kvitnes Lighthouse", "keeper", "Marta Hansen", start="2002"),
    fact_of("Kvitnes Lighthouse", "height", "31 metres"),
    fact_of("Oskar Lie", "born in", "Tromsdal", context="Oskar Lie was born in Tromsdal."),
    fact_of("Rundvær Lighthouse", "keeper", "Nils Berg"),
]
BAKERY = [fact_of("Brandl & Okonkwo", "owner", "Chinwe Okonkwo"), fact_of("Chinwe Okonkwo", "born in", "Graz")]


def ask(text: str, *facts: int, kind: str = "tail") -> Question:
    answer, type_ = ("", "unanswerable") if kind == "unanswerable" else ("x", "single-hop")
    return Question(text, "made up", text, answer, (), type_, facts, None, kind=kind)


SOURCES = [
    (
        "lighthouse",
        LIGHTHOUSE,
        [
            ask("Who was the keeper of Kvitnes Lighthouse in 1995?", 0, kind="temporal"),
            ask("Where was Lie born?", 3),
            ask("Who is the keeper?", 1),
            ask("How old is Anna Krogh?", kind="unanswerable"),
        ],
    ),
    ("bakery", BAKERY, [ask("Where was Chinwe Okonkwo born?", 1)]),
]


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> Questions:
    monkeypatch.setattr(scale_questions, "_sources", lambda *_: iter(SOURCES))
    return read_questions(load_params(ROOT / "params.yaml"), ROOT, 10)


@pytest.fixture
def fillers(questions: Questions) -> Fillers:
    return Fillers(questions, world_facts=600)


class Fake:
    """Encodes as the deterministic encoder does, in single precision, and counts."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode(self, texts: Sequence[str], **_: Any) -> np.ndarray:
        self.texts += texts
        return DeterministicEncoder(WIDTH).encode(texts).astype(np.float32)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[KeptStrings, Fake]]:
    def opened() -> tuple[KeptStrings, Fake]:
        strings, fake = KeptStrings(tmp_path / "strings", "fake", WIDTH), Fake()
        monkeypatch.setitem(strings.__dict__, "_encoder", fake)
        return strings, fake

    return opened


def names(facts: Sequence[FiveTuple]) -> set[str]:
    return {entity.name for fact in facts for entity in (fact.head, fact.tail)}


def test_questions_bring_the_rows_of_their_facts_and_reserve_the_words_that_stand_for_names(
    questions: Questions,
) -> None:
    texts = [asked.question.question for asked in questions.asked]
    assert "Who is the keeper?" not in texts
    assert questions.left_out == 1
    cores = {asked.question.question: asked.core for asked in questions.asked}
    assert set(cores["Who was the keeper of Kvitnes Lighthouse in 1995?"]) == {0, 1}, "the whole row"
    assert {"lie", "anna", "krogh"} <= questions.reserved
    assert "kvitnes" not in questions.reserved, "it is named in full"
    assert [questions.facts[number].tail.name for number in questions.asked[-1].question.supporting_facts] == ["Graz"]


@pytest.mark.parametrize("room", [2, 3, 100])
def test_chunks_part_the_same_questions_and_have_room(questions: Questions, room: int) -> None:
    chunks = questions.chunks(room)
    assert list(itertools.chain(*chunks)) == questions.asked
    assert all(len({number for asked in chunk for number in asked.core}) <= room for chunk in chunks)


def test_what_fills_a_base_shares_no_name_and_no_reserved_word(fillers: Fillers) -> None:
    facts = list(itertools.islice(fillers.of(fillers.questions.asked), 3000))
    assert facts == list(itertools.islice(fillers.of(fillers.questions.asked), 3000)), "the same again"
    core = scale.core_of(fillers.questions.asked)
    assert facts[: len(core)] == [fillers.questions.facts[number] for number in core]
    known = names(fillers.questions.facts)
    others = [fact for fact in facts if fact not in fillers.questions.facts]
    beside = [fact for fact in others if fact.head.name in known]
    assert beside, "other relations of the same heads"
    assert {fact.relation.name for fact in beside}.isdisjoint(fact.relation.name for fact in fillers.questions.facts)
    new = names(others) - known
    assert not [name for name in new if fillers.questions.reserved.intersection(scale_questions.words_of(name))]
    near = [fact for fact in others if fact.relation.name == "keeper"]
    assert any(fact.head.name.startswith("Kvitnes ") for fact in near)
    assert all(fact.tail.name not in known for fact in others)


def test_strings_are_made_once_and_survive_a_kill(kept: Callable[[], tuple[KeptStrings, Fake]], tmp_path: Path) -> None:
    strings, fake = kept()
    strings.add(["a", "b", "a"])
    assert fake.texts == ["a", "b"]
    with open(tmp_path / "strings" / "vectors.f32", "ab") as file:
        file.write(b"\0" * (4 * WIDTH + 7))  # a vector without its text, and a part of one
    with open(tmp_path / "strings" / "texts.jsonl", "a", encoding="utf-8") as file:
        file.write('"hal')
    again, fake = kept()
    np.testing.assert_array_equal(again(["b", "c", "a"]), Fake().encode(["b", "c", "a"]))
    assert fake.texts == ["c"]
    third, fake = kept()
    np.testing.assert_array_equal(third(["c", "b"]), Fake().encode(["c", "b"]))
    assert not fake.texts


def test_lookup_and_retrieval_over_distinct_strings_are_those_over_all_facts(
    kept: Callable[[], tuple[KeptStrings, Fake]], tmp_path: Path, fillers: Fillers
) -> None:
    facts = list(itertools.islice(fillers.of(fillers.questions.asked), 30))
    strings, _ = kept()
    columns = Columns()
    columns.add(facts[:11])
    columns.add(facts[11:])
    columns.save(tmp_path)
    searched = SearchedStrings(tmp_path, strings)
    asked = [asked.question for asked in fillers.questions.asked]
    encoder = DeterministicEncoder(WIDTH)
    vectors = encoder.encode([question.question for question in asked]).astype(np.float32)
    encoded = with_times(asked, vectors)
    expected = phrase_lookup(facts, encoded, encoder.encode)
    assert searched.phrase_lookup(vectors, encoded.windows) == expected
    sentences = [evidence_sentence(fact) for fact in facts]
    scores = vectors @ encoder.encode(sentences).T
    for row, vector in zip(scores, vectors, strict=True):
        found = searched.sentences(searched.nearest_sentences(vector, 3))
        of = dict(zip(sentences, row, strict=True))
        best = sorted(of.values())[-3:]
        np.testing.assert_allclose([of[sentence] for sentence in found], best[::-1], rtol=1e-5)


def test_a_base_is_filled_up_to_its_size_with_what_answers_at_its_start(
    kept: Callable[[], tuple[KeptStrings, Fake]], tmp_path: Path, fillers: Fillers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale, "BLOCK", 16)
    encoders = Encoders.of(DeterministicEncoder(WIDTH))
    projections = fit_projections(LIGHTHOUSE + BAKERY, encoders, **WIDTHS)
    encoder = FactEncoder(KeptEncoders.around(encoders, kept()[0]), projections)
    chunk, folder = fillers.questions.asked, tmp_path / "made"
    assert not scale.is_built(folder, 50, encoder)
    scale.fill(folder, 50, chunk, fillers, encoder)
    assert scale.is_built(folder, 50, encoder)
    encoded = scale.questions_of(folder, chunk, encoders, 739_000)
    with scale.KnowledgeBase.open(folder / scale.KB) as base:
        state = Snapshot.of(base, encoder, base.version)
        assert len(state.ids) == 50
        for asked, question in zip(chunk, encoded.questions, strict=True):
            gold = [fillers.questions.facts[number] for number in asked.question.supporting_facts]
            assert [state.facts[row] for row in question.supporting_facts] == gold


def made_rows() -> dict[str, Any]:
    share = {"n": 4, "right": 3, "em": 0.75}
    kinds = dict.fromkeys(("all", "answerable", "unanswerable", "yago", "yago: tail"), share)
    cost = {"first_ms": 20.0, "token_ms": 3.0}
    row = {
        "systems": {"model": kinds, "rag_8": kinds},
        "questions": 4,
        "with_facts": 2,
        "index_compared": 3,
        **dict.fromkeys(("search_recall_at_1", "search_recall_at_8", "last_layer_recall_at_1"), 0.5),
        **dict.fromkeys(("last_layer_recall_at_8", "index_recall_at_8", "answerable_refused"), 0.5),
        "auroc": None,
        "timing": dict.fromkeys(scale_table.SHAPES, dict.fromkeys(("model", "rag_8", "bare"), cost)),
        "build_s": 1.0,
        "build": {"peak_mb": 1, "before_mb": 1},
        "asking": {"peak_mb": 1, "before_mb": 1},
        "open_ms": 2.0,
        "bytes_a_fact": dict.fromkeys(("all", "file", "keys", "index", "values", "columns"), 7),
    }
    return {"machine": {}, "rows": {str(size): {**row, "facts": size} for size in (1000, 100)}}


def test_the_table_stands_between_its_marks_and_says_which_aims_are_missed(tmp_path: Path) -> None:
    figures = tmp_path / "curve.json"
    figures.write_text(json.dumps(made_rows()), encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{scale_table.BEGIN}\nold\n{scale_table.END}\nafter", encoding="utf-8")
    scale_table.write_table(figures, page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after")
    assert "old" not in text
    assert "| KBLaM++: all | 0.750 | 0.750 |" in text
    assert "100 | 1,000" in text
    scale_table.draw_curve(figures, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(DataError, match="to put the table between"):
        scale_table.with_curve("nothing", figures, page)


def test_the_page_shows_the_committed_curve() -> None:
    figures, page = ROOT / "metrics/scale/curve.json", ROOT / "docs/scale.md"
    text = page.read_text(encoding="utf-8")
    if figures.exists():
        assert text == scale_table.with_curve(text, figures, page), "run `python benchmarks/scale.py --write`"
    else:
        assert scale_table.BEGIN in text
