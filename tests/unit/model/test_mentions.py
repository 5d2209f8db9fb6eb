"""A question contains a name's trigrams as far as it writes the name: in any script, however it is spelt or spaced."""

from __future__ import annotations

import zlib

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kblampp.model.mentions import (
    BUCKETS,
    MOST_GRAMS,
    WORD_BUCKETS,
    NameTable,
    question_grams,
    question_words,
    trigram_buckets,
)


def coverage(question: str, *names: str) -> list[float]:
    """How much of each name a question contains."""
    table = NameTable.of(names, names, names)
    found: torch.Tensor = table.coverage(table.heads[None], question_grams([question]))
    return found[0].tolist()


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("Who was keeper of Kvitnes Lighthouse in 1922?", "Kvitnes Lighthouse"),
        ("who was keeper of KVITNES lighthouse", "Kvitnes Lighthouse"),
        ("Kvitnes Lighthouse's keeper?", "Kvitnes Lighthouse"),
        ("What does the K-40 run on?", "K-40"),
        ("What does the K 40 run on?", "K-40"),
        ("Who wrote 'A'?", "A"),
        ("Wo liegt die Straße?", "STRASSE"),
        ("Who was mayor of Sao Paulo?", "São Paulo"),
        ("Кто был мэром города Тверь?", "Тверь"),
        ("Ποιος ήταν δήμαρχος της Αθήνας;", "Αθήνας"),
        ("من كان عمدة القاهرة؟", "القاهرة"),
        ("서울 시장은 누구였나요?", "서울"),
        ("मुंबई का महापौर कौन था?", "मुंबई"),
        ("谁是北京的市长?", "北京"),
        ("東京タワーは誰が設計しましたか", "東京タワー"),
        ("ใครเป็นผู้ว่ากรุงเทพในปี", "กรุงเทพ"),
    ],
)
def test_a_name_that_is_contained_is_covered_whole(question: str, name: str) -> None:
    assert coverage(question, name) == [1.0]


@settings(deadline=None, max_examples=300)
@given(
    before=st.text(max_size=20),
    name=st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=60),
    after=st.text(max_size=20),
)
def test_a_name_between_other_words_is_covered_whole_in_any_script(before: str, name: str, after: str) -> None:
    assert coverage(f"{before} {name} {after}", name) == [1.0]
    assert coverage(f"{after}, {name.upper()}?", name.upper()) == [1.0]


@pytest.mark.parametrize(
    ("mentioned", "other"),
    [("K-40", "K-40X"), ("K-40X", "K-40"), ("Port Alder", "Port Adler"), ("Ada Low", "Ada Lowe"), ("北京", "东京")],
)
def test_a_name_that_differs_by_a_letter_is_not_covered_whole(mentioned: str, other: str) -> None:
    own, near = coverage(f"Who designed {mentioned} in 1950?", mentioned, other)
    assert own == 1.0
    assert near < 0.9


@pytest.mark.parametrize(
    "written",
    ["Kvitnes Lighthouze", "Kvitnes Lighthose", "Kvitnes Lighthhouse", "Kvitnes Lihgthouse", "Kvitness Lighthouse"],
)
def test_one_typing_error_leaves_a_name_nearer_than_any_other(written: str) -> None:
    names = ("Kvitnes Lighthouse", "Kvalnes Lighthouse", "Kvitnes Harbour", "Sand Lighthouse")
    meant, *others = coverage(f"Who was keeper of {written}?", *names)
    assert 0.7 < meant < 1
    assert max(others) < meant


@settings(deadline=None, max_examples=200)
@given(name=st.text("abcdefghijklmnopqrstuvwxyz", min_size=9, max_size=20), place=st.integers(0, 19), data=st.data())
def test_one_wrong_letter_takes_three_trigrams_at_most(name: str, place: int, data: st.DataObject) -> None:
    assume(place < len(name))
    wrong = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz"))
    (found,) = coverage(f"Where is {name[:place]}{wrong}{name[place + 1 :]}?", name)
    assert found >= 1 - 3 / len(trigram_buckets(name)) - 1e-6


def test_the_order_of_the_names_in_the_question_does_not_matter() -> None:
    names = ("Ada Low", "Port Alder")
    assert coverage("Was Ada Low mayor of Port Alder?", *names) == [1.0, 1.0]
    assert coverage("Of Port Alder, was Ada Low mayor?", *names) == [1.0, 1.0]


def test_a_foreign_name_shares_hardly_anything() -> None:
    assert coverage("Who was mayor of Quarr in 2001?", "Dylan Fisk", "Zed Ibbotson") == [0.0, 0.0]


@pytest.mark.parametrize("text", ["", " ", "?!", "…"])
def test_without_letters_nothing_is_mentioned(text: str) -> None:
    assert trigram_buckets(text) == []
    assert coverage(text, "Ada Low") == [0.0]
    assert coverage("Who was Ada Low?", text) == [0.0]


def test_of_a_long_name_the_start_counts() -> None:
    long = " ".join(f"word{number}" for number in range(60))
    assert len(trigram_buckets(long)) > MOST_GRAMS
    assert coverage(f"Who wrote {long[:200]}?", long) == [1.0]
    assert coverage("Who wrote nothing?", long)[0] < 0.1


def test_the_table_knows_heads_tails_and_relations_of_every_fact_and_each_name_once() -> None:
    """One that is a name and a relation's label at once too."""
    columns = ["Ada", "Bo", "Ada"], ["Port", "Ada", "Bo"], ["mayor", "Port", "mayor"]
    table = NameTable.of(*columns)
    assert len(table.grams) == 4
    for rows, expected in zip((table.heads, table.tails, table.relations), columns, strict=True):
        for row, name in zip(rows.tolist(), expected, strict=True):
            buckets = trigram_buckets(name)
            assert table.grams[row].tolist() == buckets + [-1] * (MOST_GRAMS - len(buckets))


@pytest.mark.parametrize(
    ("question", "label", "share"),
    [
        ("Who was mayor of Quarr in 2001?", "mayor", 1.0),
        ("What is the twin town of Quarr?", "Twin Town", 1.0),
        ("Which town is twinned with Quarr?", "twin town", 0.7),
        ("Where was Ada Low born?", "employer", 0.0),
    ],
)
def test_a_question_spells_a_relations_label_as_it_spells_a_name(question: str, label: str, share: float) -> None:
    table = NameTable.of(["Ada Low"], ["Quarr"], [label])
    found = table.coverage(table.relations[None], question_grams([question]))
    assert found.item() == pytest.approx(share, abs=0.15)


def test_each_question_of_a_batch_has_its_own_words() -> None:
    table = NameTable.of(["Ada Low", "Bo High"], ["Port", "Ilmen"], ["mayor", "mayor"])
    grams = question_grams(["Where was Ada Low born?", "Where was Bo High born?"])
    assert grams.shape == (2, BUCKETS)
    found = table.coverage(table.heads.expand(2, -1), grams)
    assert found.diagonal().tolist() == [1.0, 1.0]
    assert found.flip(1).diagonal().max() < 0.3


def buckets_of(*features: str) -> set[int]:
    return {zlib.crc32(feature.encode()) % WORD_BUCKETS for feature in features}


def words_of(question: str) -> set[int]:
    (row,) = question_words([question])
    assert (row.shape, row.dtype) == ((WORD_BUCKETS,), torch.bool)
    return set(row.nonzero().flatten().tolist())


def test_words_are_single_ones_and_pairs_of_neighbours_with_both_ends() -> None:
    assert words_of("Until when, Ada?") == buckets_of(
        "until", "when", "ada", " until", "until when", "when ada", "ada "
    )


def test_order_matters_to_pairs_alone() -> None:
    one, other = words_of("Bo before Ada"), words_of("Ada before Bo")
    assert one != other
    assert one & other >= buckets_of("ada", "before", "bo")


@pytest.mark.parametrize(
    "other", ["WHO WAS MAYOR of Sao Paulo", "  who was\tmayor – of São Paulo?! ", "Who was mayor of Sa\u0303o Paulo"]
)
def test_case_accents_and_punctuation_do_not_matter(other: str) -> None:
    assert words_of(other) == words_of("Who was mayor of São Paulo?")


@pytest.mark.parametrize("time", ["in 1922", "on 3 May 1922", "from 1920 to 1924", "before 1930"])
def test_a_time_is_no_word(time: str) -> None:
    assert words_of(f"Who was keeper of Kvitnes {time}?") == words_of("Who was keeper of Kvitnes?")


@pytest.mark.parametrize("text", ["", " ", "?!"])
def test_a_question_without_words_has_none_but_its_ends(text: str) -> None:
    assert words_of(text) == buckets_of(" ")


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_whatever_is_written_has_words_each_question_its_own(texts: list[str]) -> None:
    together = question_words(texts)
    for row, text in zip(together, texts, strict=True):
        assert set(row.nonzero().flatten().tolist()) == words_of(text)
