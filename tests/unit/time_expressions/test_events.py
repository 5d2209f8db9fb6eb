"""A time that an event tells is said; a neighbour in a row, a name and a question for a time are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kblampp.data.windows import year_window
from kblampp.time_expressions.parse import read_time, without_time

TOLD = [
    ("Who owned the mill after the war?", "after the war"),
    ("Who was the foreman during the renovation?", "during the renovation"),
    ("Which paper did she edit when she was mayor?", "when she was mayor"),
    ("Who baked the bread under the previous owner?", "under the previous owner"),
    ("Who chaired the board before the merger?", "before the merger"),
    ("Where did the choir rehearse since the fire?", "since the fire"),
    ("Who ran the shop until the strike?", "until the strike"),
    ("Who kept the books while he lived abroad?", "while he lived abroad"),
    ("After the flood, who rebuilt the bridge?", "After the flood"),
    ("When she was a student, where did she live?", "When she was a student"),
    ("Who played the organ before it burned down?", "before it burned down"),
    ("Who was captain following the mutiny?", "following the mutiny"),
    ("Who was the cook prior to the takeover?", "prior to the takeover"),
    ("Which firm did he join after leaving the navy?", "after leaving the navy"),
    ("Who was the vet before retiring?", "before retiring"),
    ("Where was the archive kept until the new wing was built?", "until the new wing was built"),
    ("Who was in charge by the time the mine closed?", "by the time the mine closed"),
    ("Who held the keys at the time of the robbery?", "at the time of the robbery"),
    ("Who painted there in the days of the old queen?", "in the days of the old queen"),
    ("What was taught there in her youth?", "in her youth"),
    ("Who was the gardener under her leadership?", "under her leadership"),
    ("Who printed the stamps before independence?", "before independence"),
    ("Who governed the port between the wars?", "between the wars"),
    ("Who sat on the throne after the Great Fire?", "after the Great Fire"),
    ("Who made the clocks before World War II?", "before World War II"),
    ("Who wrote the column shortly after the wedding?", "shortly after the wedding"),
    ("Which coach was hired after the scandal?", "after the scandal"),
    ("who led the ward during the epidemic", "during the epidemic"),
    ("What was the fare before the reform of the tariffs?", "before the reform"),
    ("Who minded the lamp after its automation?", "after its automation"),
    ("Who was the doctor when the bridge was opened?", "when the bridge was opened"),
    ("Who held the title until he died?", "until he died"),
    ("Where did the team train before the relocation?", "before the relocation"),
    ("While the theatre was closed, where did they perform?", "While the theatre was closed"),
    ("Who was the secretary during Ida Moen's presidency?", "during Ida Moen's presidency"),
]

NOT_TOLD = [
    "Who was mayor before Oskar Lie?",
    "Who came after Ida Moen as keeper?",
    "Who was the first director?",
    "Who was the last owner before the present one?",
    "When was the mill built?",
    "When did she become mayor?",
    "When does the ferry leave?",
    "Since when has Bo Lund owned the yard?",
    "Until when was she the editor?",
    "Do you know when the station opened?",
    "Can you tell me when the museum was founded?",
    "Who knows when it closed?",
    "Where did the office move from Mill Street?",
    "What was the name of the ship before Aurora?",
    "Which label was he signed to after Nordlys Records?",
    "Who followed her as head of the clinic?",
    "Who succeeded the founder?",
    "Who was once the owner of the farm?",
    "Who trained under Ida Moen?",
    "Under what licence is it distributed?",
    "Which terms apply under the new licence?",
    "What was the town called under its former name?",
    "Who was hired by the administration?",
    "Who led the choir before the Lund brothers?",
    "What did they make before the Zephyr 3?",
    "Who was in office right before Per Dahl came in?",
    "Which hall did they use until they moved to Grand Hall?",
    "Where did it stand before the building in Mill Street?",
    "Who is the next in line after Kai?",
    "who was mayor before oskar lie",
    "Who directed After the Storm Passed By?",
    "Which station comes after the station Nordby?",
    "Who is the director now?",
    "Who wrote the book While We Wait?",
    "Before whom did she serve?",
    "What was his job before that of a tailor?",
    "Who has been the treasurer the longest?",
    "Which two people led it at once?",
    "Who is the holder of the record?",
    "After whom is the bridge named?",
]


@pytest.mark.parametrize(("text", "words"), TOLD, ids=[text for text, _ in TOLD])
def test_a_time_that_an_event_tells_is_said_with_its_words(text: str, words: str) -> None:
    reading = read_time(text)
    assert reading.window is None
    assert reading.problem is not None
    assert reading.problem.startswith(f'"{words}" is a time that only an event tells')
    assert reading.rest == without_time(text) == text, "what is asked goes to the model whole"


@pytest.mark.parametrize("text", NOT_TOLD)
def test_what_tells_no_time_is_no_problem(text: str) -> None:
    assert read_time(text).problem is None


@pytest.mark.parametrize("text", [text for text, _ in TOLD])
def test_beside_a_time_that_is_understood_an_event_is_no_problem(text: str) -> None:
    reading = read_time(f"In 1950, {text[0].lower()}{text[1:]}")
    window = year_window(1950, "question_text")
    assert (reading.window, reading.problem) == (window, None)


MIXED = "Who led it before after when while the she was war opening Lie during under , ? it's"
WORDS = st.sampled_from(MIXED.split())


@given(st.lists(WORDS, max_size=12))
def test_the_words_that_are_said_stand_in_the_question(words: list[str]) -> None:
    text = " ".join(words)
    problem = read_time(text).problem
    assert problem is None or problem.split('"')[1] in text
