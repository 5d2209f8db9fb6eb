"""A question contains a name's trigrams as far as it writes the name: in any script, however it is spelt or spaced.

And one word can stand for a whole name, unless it is another's.
"""

from __future__ import annotations

import zlib

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kblampp.model.mentions import NameTable
from kblampp.model.text_hashes import (
    BUCKETS,
    IDLE,
    MOST_ASKED_WORDS,
    MOST_GRAMS,
    RANKS,
    WORD_BUCKETS,
    asked_words,
    plain,
    question_grams,
    question_words,
    trigram_buckets,
)
from kblampp.time_expressions.parse import without_time
from tests.short_forms import asks_for_both, only_in_longer, short_form


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


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("Łódź", "lodz"),
        ("Sokołowsko", "Sokolowsko"),
        ("Tromsø", "tromso"),
        ("Đorđe Vasić", "Dorde Vasic"),
        ("Þórsmörk", "Thorsmork"),
        ("Ærø", "Aero"),
        ("Iğdır", "igdir"),
        ("Straße", "Strasse"),
        ("CAFÉ", "cafe"),
    ],
)
def test_letters_that_a_keyboard_lacks_are_typed_by_those_it_has(name: str, typed: str) -> None:
    assert plain(name) == plain(typed) == typed.lower()
    assert coverage(f"Where is {typed}?", name) == [1.0]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_whatever_is_written_has_words_each_question_its_own(texts: list[str]) -> None:
    together = question_words(texts)
    for row, text in zip(together, texts, strict=True):
        assert set(row.nonzero().flatten().tolist()) == words_of(text)


def short_forms(question: str, *names: str) -> list[float]:
    """How surely a question means each name of a base by one of its words."""
    table = NameTable.of(names, names, names)
    found: torch.Tensor = table.short_form(table.heads[None], asked_words([question]))
    return found[0].tolist()


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("What party does Ayuso belong to?", "Isabel Díaz Ayuso"),
        ("What party does Diaz belong to?", "Isabel Díaz Ayuso"),
        ("Where was Di\u0301az born?", "Isabel Díaz Ayuso"),
        ("Where was Díaz born?", "Isabel Di\u0301az Ayuso"),
        ("Is Isabel Ayuso still president?", "Isabel Díaz Ayuso"),
        ("Which district did Mr. Wenstrup represent?", "Brad Wenstrup"),
        ("Which district did Congressman Wenstrup represent?", "Brad Wenstrup"),
        ("When did Coach Mazzarri leave?", "Walter Mazzarri"),
        ("When did A. Lie leave?", "Anna Lie"),
        ("Where was Lie born?", "Anna Lie"),
        ("Where was Lie's brother born?", "Anna Lie"),
        ("Lie's brother?", "Anna Lie"),
        ("Lie", "Anna Lie"),
        ("Where did O'Brien live?", "Pat O'Brien"),
        ("Where did Smith-Jones live?", "Ann Smith-Jones"),
        ("Who was keeper of Kvitnes?", "Kvitnes Lighthouse"),
        ("who was keeper of kvitnes", "Kvitnes Lighthouse"),
        ("WHO WAS KEEPER OF KVITNES", "Kvitnes Lighthouse"),
        ("who was keeper of KVITNES", "Kvitnes Lighthouse"),
        ("Is Kvitnes still open?", "Kvitnes Lighthouse"),
        ("What does the K40 run on?", "K40 Compressor"),
        ("Who led Kvitnes in March 1999?", "Kvitnes Lighthouse"),
        ("In March 1999 Lie was where?", "Anna Lie"),
        ("In 2012 Lie led whom?", "Anna Lie"),
        ("Whom did Lie in May 2012 meet?", "Anna Lie"),
        ("Where was Lie on 3 May 2012?", "Anna Lie"),
        ("Кто сменил Собянина?", "Сергея Собянина"),
        ("من هو عمدة القاهرة؟", "مدينة القاهرة"),
        ("서울특별시 시장은 누구였나요?", "대한민국 서울특별시"),
    ],
)
def test_a_word_that_no_other_name_has_stands_for_the_whole(question: str, name: str) -> None:
    assert short_forms(question, name, "Oskar Bull") == [1.0, 0.0]


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("What party does Peter Ayuso belong to?", "Isabel Díaz Ayuso"),
        ("What party does Ayuso Ruiz belong to?", "Isabel Díaz Ayuso"),
        ("When did Coach Peter Mazzarri leave?", "Walter Mazzarri"),
        ("When did P. Lie leave?", "Anna Lie"),
        ("Who was keeper of Kvitnes Harbour?", "Kvitnes Lighthouse"),
        ("Who was keeper of the lighthouse at Kvalnes?", "Kvitnes Lighthouse"),
        ("who was keeper of kvitnes 2", "Kvitnes Lighthouse"),
        ("Who builds Line 7?", "Line 4"),
        ("Who builds line 7?", "Line 4"),
        ("who builds line 7", "Line 4"),
        ("WHO BUILDS LINE 7", "Line 4"),
        ("Who builds Line 4?", "Line 42"),
        ("Who builds Line 42?", "Line 4"),
        ("Who builds number 42?", "Line 42"),
        ("Did Bo Bull lie in bed?", "Anna Lie"),
        ("Where is Isabel of Spain?", "Anna Lie"),
        ("Who is Al?", "Al Gore"),
        ("Who died at sea?", "sea of tranquillity"),
        ("Where was A. born?", "Anna Lie"),
        ("In March Lie was where?", "Anna Lie"),  # "April Lie" would be another, and nothing tells
        ("谁是京的市长?", "北京"),
        ("", "Anna Lie"),
        ("?!", "Anna Lie"),
    ],
)
def test_a_word_that_belongs_to_another_name_or_is_none_stands_for_nothing(question: str, name: str) -> None:
    assert short_forms(question, name, "Oskar Bull") == [0.0, 0.0]


@pytest.mark.parametrize(
    ("question", "first", "shares"),
    [
        ("Where was Lie born?", "Anna Lie", [0.5, 0.5]),
        ("Where was A. Lie born?", "Anna Lie", [0.5, 0.0]),
        ("Where was P. Lie born?", "Anna Lie", [0.0, 0.5]),
        ("Where was Keeper Lie born?", "Anna Lie", [0.5, 0.5]),
        ("Where was Anna Lie born?", "Anna Lie", [1.0, 0.0]),
        ("Where was Anna born?", "Anna Lie", [1.0, 0.0]),
        ("Per Lie was born where?", "Anna Lie", [0.5, 1.0]),  # "Is Lie …?": a first word may be no name
    ],
)
def test_a_word_of_two_names_stands_for_each_by_half_unless_an_initial_tells(
    question: str, first: str, shares: list[float]
) -> None:
    assert short_forms(question, first, "Per Lie") == shares


def test_words_of_every_name_count_be_it_of_a_head_or_a_tail_and_labels_do_not() -> None:
    table = NameTable.of(["Anna Lie"], ["Per Lie"], ["Lie detector"])
    asked = asked_words(["Where was Lie born?"])
    assert [table.short_form(rows[None], asked).item() for rows in (table.heads, table.tails, table.relations)] == [
        0.5,
        0.5,
        0.0,
    ]


def test_a_name_is_mentioned_as_it_stands_or_shortened() -> None:
    names = ("Kvitnes Lighthouse", "Anna Lie", "Oskar Bull")
    table = NameTable.of(names, names, names)
    questions = ["Was Lie keeper of Kvitnes Lighthouze?", "Who was Oskar Bull?", "Who was Oskar Boll?"]
    grams, asked = question_grams(questions), asked_words(questions)
    rows = table.heads.expand(len(questions), -1)
    found, spelt = table.mention(rows, grams, asked), table.coverage(rows, grams)
    assert found[0].tolist() == [spelt[0, 0].item(), 1.0, 0.0]
    assert found[1].tolist() == [0.0, 0.0, 1.0]
    assert found[2].tolist() == [0.0, 0.0, spelt[2, 2].item()]
    assert 0 < spelt[0, 0] < 1
    assert 0 < spelt[2, 2] < 1


def test_of_a_long_question_and_of_a_long_name_the_first_words_count() -> None:
    name = "Anna Berta Clara Dora Emma Frida Gerda Hilda Ida"
    assert short_forms("Where was Hilda born?", name) == [1.0]
    assert short_forms("Where was Ida born?", name) == [0.0]
    filler = ["very"] * (MOST_ASKED_WORDS - 2)
    assert short_forms(" ".join(("Who", *filler, "Hilda")), name) == [1.0]
    assert short_forms(" ".join(("Who", *filler, "very", "Hilda")), name) == [0.0]


VOCABULARY = (
    *("Anna", "Per", "Lie", "Díaz", "Diaz", "Ayuso", "Kvitnes", "Harbour", "Line", "O'Brien", "Smith-Jones", "Al"),
    *("K40", "4", "42", "7", "Mr.", "Coach", "King", "of", "sea", "A.", "P.", "القاهرة", "서울특별시", "Собянин"),
)
SMALL = ("who", "was", "the", "keeper", "of", "'s", "lie", "kvitnes", "line", "LIE", "KVITNES", "Who", "Was", "?")
names_of_bases = st.lists(
    st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=3).map(" ".join), min_size=1, max_size=5, unique=True
)
put_questions = st.lists(st.sampled_from(VOCABULARY + SMALL), max_size=8).map(" ".join)


@settings(deadline=None, max_examples=600)
@given(names=names_of_bases, question=put_questions)
def test_short_forms_are_those_that_a_reader_finds_word_by_word(names: list[str], question: str) -> None:
    """Also once all is written in capitals, or nothing is."""
    for text in (question, question.lower(), question.upper()):
        if without_time(text) == text:
            expected = [short_form(name, names, text) for name in names]
            assert short_forms(text, *names) == pytest.approx(expected), text


@settings(deadline=None, max_examples=200)
@given(names=st.lists(st.text(max_size=25), min_size=1, max_size=4, unique=True), question=st.text(max_size=60))
def test_whatever_is_written_a_short_form_is_a_share(names: list[str], question: str) -> None:
    assert all(0 <= share <= 1 for share in short_forms(question, *names))


@settings(deadline=None, max_examples=200)
@given(names=names_of_bases, more=names_of_bases, question=put_questions)
def test_other_names_of_the_base_only_take_from_a_short_form(names: list[str], more: list[str], question: str) -> None:
    alone, among = short_forms(question, *names), short_forms(question, *names, *(set(more) - set(names)))
    assert all(fewer >= share for fewer, share in zip(alone, among, strict=False))


@given(others=st.lists(st.sampled_from(["Per", "Ola", "Kari", "Siri", "Nils"]), unique=True, max_size=5))
def test_a_lone_word_is_shared_by_all_who_have_it(others: list[str]) -> None:
    names = [f"{given} Lie" for given in ("Anna", *others)]
    for question in ("Where was Lie born?", "where was lie born", "Where was Mrs. Lie born?"):
        assert short_forms(question, *names) == pytest.approx([1 / len(names)] * len(names))


@settings(deadline=None, max_examples=200)
@given(
    name=st.text("abcdefghijklm ", min_size=1, max_size=20).map(str.title),
    question=st.text("nopqrstuvwxyzNOPQRSTUVWXYZ0123456789 ,.'?", max_size=60),
)
def test_a_question_without_any_word_of_a_name_does_not_mean_it(name: str, question: str) -> None:
    assert short_forms(question, name) == [0.0]


def test_each_question_of_a_batch_has_its_own_short_forms() -> None:
    names = ("Anna Lie", "Kvitnes Lighthouse")
    table = NameTable.of(names, names, names)
    asked = asked_words(["Where was Lie born?", "who led kvitnes", "Who led Kvitnes Harbour?"])
    found = table.short_form(table.heads.expand(3, -1), asked)
    assert found.tolist() == [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    assert asked_words([]).words.shape == (0, 0)


def test_numbers_are_names_that_begin_with_a_digit_after_a_currency_perhaps() -> None:
    numbers = ["585", "1,200", "27 metres", "€ 40", "$3.50", "CHF 35.57", "-4 °C", "(2 parts)", "3rd", "１２"]
    others = ["Line 4", "Ada", "A4", "", "Room 7", "Euro", "…"]
    names = NameTable.of(numbers + others, numbers + others, ["size"] * len(numbers + others))
    assert names.numbers[names.heads].tolist() == [True] * len(numbers) + [False] * len(others)


def other_numbers(question: str, *names: str) -> list[bool]:
    """Which names a question makes others by a number."""
    table = NameTable.of(names, names, names)
    found: torch.Tensor = table.other_number(table.heads[None], asked_words([question]))
    return found[0].tolist()


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("What is the price of the No. 9 Baguette?", "No. 7 Baguette"),
        ("How strong is the Vero 2017?", "Vero 2016"),
        ("what is engraved on the watch no. 4471", "Watch No. 4417"),
        ("Who paid for SK-12c?", "SK-12b"),
        ("Who drove Line 42 in 2012?", "Line 4"),
        ("Did it cost 2.60 crowns in 2018?", "2.20 crowns"),
        ("Is it a Norvag N4?", "Norvag N40"),
    ],
)
def test_another_number_is_another_name_though_nearly_all_letters_are_the_same(question: str, name: str) -> None:
    assert other_numbers(question, name) == [True]
    assert coverage(question, name)[0] > 0.3


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("Who drove line 4 in 2012?", "Line 4"),
        ("Who drove it in 2012?", "Line 4"),
        ("How strong was the Vero 2016 in 2017?", "Vero 2016"),
        ("What did the Vero cost in 2019?", "Vero 2016"),
        ("Who ran Kvitnes in 1930?", "Kvitnes"),
        ("Were 24,300 bottles filled?", "24,300"),
        ("Were 3 of 7 rooms of Line 4 let?", "Line 4"),
        ("", "Line 4"),
    ],
)
def test_a_time_or_a_number_elsewhere_makes_no_other_name(question: str, name: str) -> None:
    assert other_numbers(question, name) == [False]


SAID_NAMES = st.lists(st.sampled_from(["Baden", "Church", "Storvik", "of", "museum"]), max_size=6)


def in_longer(question: str, *names: str) -> list[bool]:
    """Which names a question has only inside of longer ones."""
    table, asked = NameTable.of(names, names, names), asked_words([question])
    whole = table.coverage(table.heads[None], question_grams([question])) == 1
    found: torch.Tensor = table.in_longer(table.heads[None], whole, asked)
    return found[0].tolist()


@pytest.mark.parametrize(
    ("question", "short", "long", "inside"),
    [
        ("Who built Storvik Church?", "Storvik", "Storvik Church", True),
        ("who built the church of storvik", "Storvik", "Storvik Church", False),  # in another order
        ("Is Storvik Church in Storvik?", "Storvik", "Storvik Church", False),
        ("Who is mayor of Storvik?", "Storvik", "Storvik Church", False),
        ("Who leads the Friends of Museum Ried?", "Museum Ried", "Friends of Museum Ried", True),
        ("When did Loomgate 4.0.0 come out?", "Loomgate", "Loomgate 4.0", False),  # which is not spelled
        ("Is Baden-Baden in Baden?", "Baden", "Baden-Baden", False),
        ("Where is Baden-Baden?", "Baden", "Baden-Baden", True),
        ("", "Storvik", "Storvik Church", False),
    ],
)
def test_a_name_may_stand_only_inside_a_longer_one(question: str, short: str, long: str, inside: bool) -> None:
    assert in_longer(question, short, long) == [inside, False]


@settings(deadline=None, max_examples=200)
@given(SAID_NAMES, st.lists(SAID_NAMES.filter(bool), min_size=1, max_size=4, unique_by=" ".join))
def test_names_inside_longer_ones_equal_their_words_counted(asked: list[str], named: list[list[str]]) -> None:
    question, names = " ".join(asked), [" ".join(words[:8]) for words in named]
    assume(len(set(names)) == len(names))
    whole = [name for name in names if coverage(question, name) == [1.0]]
    naive = [name in whole and only_in_longer(name, whole, question) for name in names]
    assert in_longer(question, *names) == naive


def test_a_number_of_the_name_beside_is_no_other_one() -> None:
    table = NameTable.of(["Car 241"], ["Car 305"], ["successor"])
    asked = asked_words(["Does Car 241 have a successor?"])
    assert table.other_number(table.tails[None], asked).tolist() == [[True]]
    assert table.other_number(table.tails[None], asked, table.heads[None]).tolist() == [[False]]


@given(st.integers(0, 999), st.integers(0, 999))
def test_of_two_numbers_each_is_mentioned_by_its_own(one: int, other: int) -> None:
    assume(one != other)
    assert other_numbers(f"Who drives Tram {one} now?", f"Tram {one}", f"Tram {other}") == [False, True]


def other_ranks(question: str, *labels: str) -> list[bool]:
    """Which labels are about another rank than a question asks for."""
    table = NameTable.of([f"head {label}" for label in labels], ["tail"] * len(labels), labels)
    found: torch.Tensor = table.other_rank(table.relations[None], asked_words([question]))
    return found[0].tolist()


@pytest.mark.parametrize("rank", RANKS)
def test_a_deputy_is_another_than_the_one_deputised_for(rank: str) -> None:
    labels = ("director", f"{rank} director", f"{rank.title()} Director", "medical director", "mayor")
    assert other_ranks(f"Who is the {rank} director?", *labels) == [True, False, False, True, False]
    assert other_ranks("who is the director", *labels) == [False, True, True, False, False]


@pytest.mark.parametrize(
    ("question", "label"),
    [
        ("Who was deputy when the director left?", "director"),  # too far before it to belong to it
        ("Who was the first director?", "director"),
        ("Who runs it?", "deputy director"),  # says nothing of a rank
        ("Who is the assistant?", "assistant"),
        ("Who is the deputy mayor of Port?", "place of birth"),
        ("", "deputy director"),
    ],
)
def test_what_says_nothing_of_another_rank_asks_for_none(question: str, label: str) -> None:
    assert other_ranks(question, label) == [False]


@pytest.mark.parametrize(
    ("question", "whole"),
    [
        ("who is currently composer in residence at the valmar choir", True),
        ("The first composer in residence of the Valmar Choir, who was it?", True),
        ("Who was the Valmar Choir's composer in residence in May 2012?", True),  # a time asks for nothing either
        ("Where is the composer in residence of the Valmar Choir from?", False),
        ("Who is the wife of the composer in residence of the Valmar Choir?", False),
        ("Who is the resident composer of the Valmar Choir?", False),  # not the words of the label
        ("Who is the composer of the Valmar Choir?", False),
        ("Who is composer in residence of the composer in residence of the Valmar Choir?", False),  # asks for two
        ("Who is the composer in residence of the Velmont Choir?", False),  # another name asks for somebody else
        ("", False),
    ],
)
def test_beside_a_label_a_name_and_a_time_nothing_is_asked_for(question: str, whole: bool) -> None:
    table = NameTable.of(["Valmar Choir"], ["Ola Adeyo"], ["composer in residence"])
    assert table.nothing_left(table.heads, table.relations, asked_words([question])).tolist() == [whole]


@pytest.mark.parametrize("label", ["...", "", "の"])
def test_a_label_without_words_says_nothing(label: str) -> None:
    table = NameTable.of(["Valmar Choir"], ["Ola Adeyo"], [label])
    assert not table.nothing_left(table.heads, table.relations, asked_words(["Who is it of the Valmar Choir?"])).any()


def both(question: str, label: str, name: str, own_label: str, other: str) -> bool:
    """Whether a question asks for a label beside the fact (name, own_label, other)."""
    table = NameTable.of([name, other], [other, name], [own_label, label])
    known = torch.stack([table.relations[:1], table.tails[:1]], dim=1)
    return bool(table.asks_for_both(table.heads[:1], known, table.relations[1:], asked_words([question])))


HOLM = ("Rasmus Holm", "was born in", "Ribe")
LINE = ("No. 7", "rolling stock", "Norvag N4")


@pytest.mark.parametrize(
    ("question", "label", "fact", "found"),
    [
        ("Which country does Rasmus Holm come from by birth?", "country", HOLM, True),
        ("top speed of whatever ran on no. 7 in 2005", "top speed", LINE, True),
        ("Top speed of the rolling stock on No. 7", "top speed", LINE, True),
        ("Which country is it in which Rasmus Holm was born?", "country", HOLM, True),
        ("In what country was Rasmus Holm?", "country", HOLM, False),  # nothing asks for his birthplace
        ("Which country does Rasmus Holm come from?", "country", ("Rasmus Holm", "employer", "Ribe Museum"), False),
        ("Can you give me the phone number of Rasmus Holm?", "phone number", HOLM, False),
        ("Where was Rasmus Holm born in 1960?", "born in", ("Rasmus Holm", "spouse", "Asta Lie"), False),
        ("Which country does Rasmus Holm come from?", "country of birth", HOLM, False),  # not the whole label
        ("Who runs the rolling stock of No. 7?", "stock", LINE, False),  # which the fact itself says
        ("Where is the stock that runs on No. 7?", "in", LINE, False),  # a label that asks for nothing
        ("", "country", HOLM, False),
    ],
)
def test_a_label_may_be_asked_for_beside_the_fact_that_was_read(
    question: str, label: str, fact: tuple[str, str, str], found: bool
) -> None:
    assert both(question, label, *fact) == found


SAID = st.lists(
    st.sampled_from(["the", "country", "of", "Holm", "birth", "top", "speed", "Ribe", "born", "where", "Lie", "was"]),
    max_size=9,
)


@settings(deadline=None, max_examples=200)
@given(SAID, *([SAID.filter(bool)] * 4))
def test_what_is_asked_for_beside_a_fact_equals_its_words_set_against_each_other(
    asked: list[str], label: list[str], name: list[str], own: list[str], other: list[str]
) -> None:
    question, *texts = (" ".join(words[:8]) for words in (asked, label, name, own, other))
    naive = asks_for_both(texts[1], texts[2:], texts[0], without_time(question), IDLE)
    assert both(question, *texts) == naive


def other_words(question: str, *names: str) -> list[bool]:
    """Which names a question makes others by a word."""
    table = NameTable.of(names, names, names)
    found: torch.Tensor = table.other_word(table.heads[None], asked_words([question]))
    return found[0].tolist()


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("Who is the conductor of the Velmont Philharmonic?", "Valmar Philharmonic"),
        ("Who is the captain of Carrigmore Rovers?", "Carrigbeg Rovers"),
        ("Where was Robert Aksoy born?", "Emre Aksoy"),
        ("Is the Baltic Airport Authority there?", "Baltic Harbour Authority"),
        ("Who runs Lindqvist & Adeyinka?", "Lindqvist & Adeyemi"),
    ],
)
def test_another_word_beside_one_of_a_name_is_another_name(question: str, name: str) -> None:
    assert other_words(question, name) == [True]


@pytest.mark.parametrize(
    ("question", "label", "other"),
    [
        ("Who is the distributor in Sweden of Lie Wines?", "distributor in Japan", True),
        ("Who is the distributor in Japan of Lie Wines?", "distributor in Japan", False),
        ("Who is the distributor of Lie Wines?", "distributor in Japan", False),
        ("Who was head of Lie Wines?", "head of dept", False),  # a name in the place of no name
        ("Who was in Head Lie Wines?", "in Head Office", False),  # the fact's own name
    ],
)
def test_another_capitalised_word_in_the_place_of_a_labels_asks_for_something_else(
    question: str, label: str, other: bool
) -> None:
    table = NameTable.of(["Lie Wines"], ["Ola Berg"], [label])
    names = torch.stack([table.heads, table.tails], dim=-1)[None]
    assert table.other_word(table.relations[None], asked_words([question]), names).tolist() == [[other]]


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("Who runs the Harrowgate Museum?", "Harrowgate Museum"),
        ("Who runs the Harrowgate Museum?", "Harrowgate Museum of Art"),  # shorter, with nothing in its place
        ("Who runs the Kaltenried Museum?", "Museum Kaltenried"),  # the same words
        ("Where was Professor Aksoy born?", "Emre Aksoy"),  # a form of address
        ("Where was Anna K. Berg born?", "Anna Maria Berg"),
        ("What does Sevcik Clinic cost?", "Jarmila Sevcik"),
        ("Which label has Luis Aute Gutiérrez?", "Luis Eduardo Aute"),  # nothing in the place of the second name
        ("What name did Adolf Hitler's sister Paula use?", "Paula Hitler"),  # it stands elsewhere
        ("Where did Michael Nicholas Salvatore Bongiorno work?", "Mike Bongiorno"),  # a longer name
        ("who runs velmont philharmonic", "Valmar Philharmonic"),  # no capital says that it is a name
        ("Where was Aksoy born?", "Emre Aksoy"),
        ("Robert Aksoy was born where?", "Emre Aksoy"),  # the first word has a capital in any case
        ("", "Emre Aksoy"),
    ],
)
def test_what_stands_in_no_place_of_a_name_makes_no_other(question: str, name: str) -> None:
    assert other_words(question, name) == [False]


@given(
    st.text("abcdefghijklmnop", min_size=4, max_size=12), st.integers(0, 20), st.sampled_from("qrz"), st.integers(0, 3)
)
def test_a_typing_error_of_one_letter_makes_no_other_name(word: str, place: int, letter: str, kind: int) -> None:
    place %= len(word)
    wrong = [
        word[:place] + letter + word[place + 1 :],
        word[:place] + letter + word[place:],
        word[:place] + word[place + 1 :],
        word[: max(place - 1, 0)] + word[max(place - 1, 0) : place + 1][::-1] + word[place + 1 :],
    ][kind]
    assert other_words(f"Who runs {wrong.title()} Hall?", f"{word.title()} Hall") == [False]
