"""Questions and short answers become sentences; what they say comes from both and from a short list of words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kblampp.model.answers import Source
from kblampp.sentences.english import OWN_WORDS, past, plural, third
from kblampp.sentences.pieces import runs_of, text_of
from kblampp.sentences.writer import LONGEST, Told, wordings, write_sentence

NAMES = {
    "Kvitnes Lighthouse": Source(1, "head"),
    "Northgate Press": Source(2, "head"),
    "Ada Finch": Source(3, "tail"),
    "Ansel Whitcombe": Source(4, "tail"),
    "nurse": Source(5, "tail"),
}
WORD = re.compile(r"[^\W_]+")


def told(question: str, *texts: str, field: str = "tail") -> Told:
    return Told(question, tuple((text, (Source(7, field),)) for text in texts), NAMES)


def texts(asked: Told) -> list[str]:
    return [text_of(pieces) for pieces in wordings(asked)]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            told("Who was the keeper of Kvitnes Lighthouse in 1930?", "Sigrid Aune"),
            "Sigrid Aune was the keeper of Kvitnes Lighthouse in 1930.",
        ),
        (told("Who's the head of Northgate Press?", "Bo Lind"), "Bo Lind is the head of Northgate Press."),
        (told("what is the height of the Tarn Tower", "84 m"), "The height of the Tarn Tower is 84 m."),
        (told("who owns northgate press", "Ada Finch"), "Ada Finch owns Northgate Press."),
        (told("Who owns Northgate Press?", "Ada Finch", "Bo Lind"), "Ada Finch and Bo Lind own Northgate Press."),
        (
            told("Who have been the heads of Northgate Press?", "A. Low", "B. High", "C. Mid"),
            "A. Low, B. High and C. Mid have been the heads of Northgate Press.",
        ),
        (told("List the ships of Lorne Line.", "Alba", "Brae"), "The ships of Lorne Line are Alba and Brae."),
        (told("Where was Ada Finch born?", "Port Larkin"), "Ada Finch was born in Port Larkin."),
        (told("Tell me where Ada Finch was born.", "Port Larkin"), "Ada Finch was born in Port Larkin."),
        (told("Ada Finch lives where?", "Port Larkin"), "Ada Finch lives in Port Larkin."),
        (
            told("Where did the founder of Northgate Press study?", "Verity College"),
            "The founder of Northgate Press studied at Verity College.",
        ),
        (
            told("In May 2016, who was head of Northgate Press?", "Bo Lind"),
            "Bo Lind was head of Northgate Press in May 2016.",
        ),
        (told("Who was head before Ada Finch?", "Bo Lind"), "Bo Lind was head before Ada Finch."),
        (told("Who is Ada Finch married to?", "Bo Lind"), "Ada Finch is married to Bo Lind."),
        (told("For whom did Ada Finch work in 2005?", "Alba"), "Ada Finch worked for Alba in 2005."),
        (told("What was Ada Finch's first job?", "nurse"), "Ada Finch's first job was a nurse."),
        (told("Which bridge did Ansel Whitcombe design?", "Alba"), "The bridge that Ansel Whitcombe designed is Alba."),
        (told("Which of the ships is the oldest?", "Alba"), "Alba is the oldest of the ships."),
        (told("Whose desk stands in the Tarn Tower?", "Ada Finch"), "Ada Finch's desk stands in the Tarn Tower."),
        (told("How heavy is the Tarn bell?", "92 kg"), "The Tarn bell is 92 kg heavy."),
        (told("How often does the Tarn Choir rehearse?", "weekly"), "The Tarn Choir rehearses weekly."),
        (told("Who had the ring in 1950?", "Ada Finch"), "Ada Finch had the ring in 1950."),
        (told("capital of Norway", "Oslo"), "The capital of Norway is Oslo."),
        (told("price of the ferry 2019", "£4"), "The price of the ferry in 2019 was £4."),
        (
            told("How many heads has Northgate Press had?", "3", field="fact"),
            "Northgate Press has had 3 heads.",
        ),
        (
            told("When did Ada Finch become head of Northgate Press?", "March 2004", field="start"),
            "Ada Finch became head of Northgate Press in March 2004.",
        ),
        (
            told("When was Northgate Press founded?", "14 June 1921", field="start"),
            "Northgate Press was founded on 14 June 1921.",
        ),
        (
            told("Since when has Ada Finch been head of Northgate Press?", "2004", field="start"),
            "Ada Finch has been head of Northgate Press since 2004.",
        ),
        (
            told("Until when did Ada Finch lead Northgate Press?", "1999", field="end"),
            "Ada Finch led Northgate Press until 1999.",
        ),
        (
            told("Was Ada Finch CFO of Northgate Press in 2001?", "no", field="fact"),
            "No, Ada Finch was not CFO of Northgate Press in 2001.",
        ),
        (
            told("Did Ada Finch ever live in Millbrook?", "yes", field="fact"),
            "Yes, Ada Finch lived in Millbrook.",
        ),
        (told("Where did Ada Finch live in 1990?"), "The base does not say where Ada Finch lived in 1990."),
        (told("Who was keeper of Kvitnes Lighthouse?"), "The base does not say who was keeper of Kvitnes Lighthouse."),
        (told("Is Ada Finch a nurse?"), "The base does not say whether Ada Finch is a nurse."),
        (told("capital of Norway"), "The base does not say what the capital of Norway is."),
        (told("Who runs Atalanta B.C.?", "Ada Finch"), "Ada Finch runs Atalanta B.C."),
    ],
)
def test_the_sentence_is_among_the_wordings(asked: Told, sentence: str) -> None:
    assert sentence in texts(asked)


@pytest.mark.parametrize(
    "asked",
    [
        told("Wer war der Direktor von Northgate Press?", "Ada Finch"),
        told("¿Quién fue Ada Finch?", "nurse"),
        told("Quelle est la capitale de la Norvège ?", "Oslo"),
        told("Ada Finch", "nurse"),
        told("tell me", "nurse"),
        told("why", "nurse"),
        told("?!", "nurse"),
        told("How severe is the storm?", "8.1"),
        told("Was Ada Finch a nurse?", "Port Larkin"),
        told("Who was Ada Finch?", "yes", field="fact"),
        told("Who was Ada Finch?", "1994", field="start"),
        told("Who was Ada Finch?", "3", field="fact"),
        told("When was Ada Finch born?", "Port Larkin"),
        told("Who was the keeper of " + "the keeper of " * 40 + "it?", "Ada Finch"),
        told("Who was Ada Finch?", "x" * (LONGEST + 1)),
    ],
)
def test_where_question_and_answer_give_no_sentence_there_is_none(asked: Told) -> None:
    assert wordings(asked) == []
    assert write_sentence(asked, lambda question, found: 0) is None


def test_whoever_had_something_is_not_had_by_it() -> None:
    assert texts(told("Who had the ring in 1950?", "Ada Finch")) == ["Ada Finch had the ring in 1950."]


def test_times_and_names_keep_their_side_of_before() -> None:
    for text in texts(told("Who was head of Northgate Press before Ada Finch?", "Bo Lind")):
        assert text.index("before") < text.index("Ada Finch")


_SMALL = "who what which where when how many since until did does was is has been of in the before work live tell me"
_WORDS = [*_SMALL.split(), "Kvitnes Lighthouse", "ada finch", "Ada Finch's", "1930", "May 2016,", '"Alba"', "B.C.", "?"]


@given(
    st.lists(st.sampled_from(_WORDS), min_size=1, max_size=12).map(" ".join),
    st.lists(st.sampled_from(["Sigrid Aune", "nurse", "3", "yes", "2004", "a, b and c"]), max_size=3, unique=True),
    st.sampled_from(["head", "tail", "start", "end", "fact"]),
)
def test_every_word_is_the_questions_a_facts_or_one_of_few(question: str, items: list[str], field: str) -> None:
    asked = told(question, *items, field=field)
    for pieces in wordings(asked):
        text = text_of(pieces)
        assert "".join(run.text for run in runs_of(pieces)) == text
        copied = [piece for piece in pieces if piece.origin == "fact"]
        answers = [piece.text for piece in copied if piece.sources[0].fact == 7]
        assert [each.lower() for each in answers] == [item.lower() for item in items]
        assert {piece.text.rstrip("'s") for piece in copied if piece.sources[0].fact != 7} <= {
            name.rstrip("'s") for name in NAMES
        }
        asked_words = WORD.findall(question)
        small = {word.lower() for word in asked_words}
        forms = {form(word) for word in small for form in (past, third, plural)}
        for piece in pieces:
            for at, word in enumerate(WORD.findall(piece.text)):
                opens = piece is pieces[0] and at == 0
                if piece.origin == "question":
                    assert word in asked_words or (word.lower() in small and (opens or word.islower()))
                elif piece.origin == "model":
                    assert word in OWN_WORDS | forms | {"s"} or (opens and word.lower() in OWN_WORDS | forms)


def test_the_language_model_says_which_wording_is_written() -> None:
    asked = told("Who was the keeper of Kvitnes Lighthouse in 1930?", "Sigrid Aune")
    for place, text in enumerate(texts(asked)):
        written = write_sentence(asked, lambda question, found, place=place: place)  # type: ignore[misc]
        assert written is not None
        assert text_of(written) == text
