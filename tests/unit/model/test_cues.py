"""Words that leave no doubt settle what a reading leaves open, and nothing else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kblampp.data.facts import FORMS, MODES, MOST_HOPS
from kblampp.model.cues import CUES, cues_of, heeding
from kblampp.model.question_reader import Reading


def reading(rows: int = 1, seed: int = 0) -> Reading:
    torch.manual_seed(seed)
    form, mode = (torch.randn(rows, len(names)).log_softmax(-1) for names in (FORMS, MODES))
    return Reading(torch.randn(rows), form, mode, torch.randn(rows, MOST_HOPS - 1))


def said(text: str) -> set[str]:
    """What a question's cues mean."""
    there = cues_of([text])[0].tolist()
    return {cue.meant for cue, heard in zip(CUES, there, strict=True) if heard and cue.meant is not None}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Who was keeper after Lie?", {"after"}),
        ("WHO WAS LIE'S SUCCESSOR?", {"after"}),
        ("Who followed Lie as keeper?", {"after"}),
        ("Whom did Lie follow as keeper?", set()),
        ("After whom did Lie become keeper?", set()),
        ("Before who was Lie keeper?", set()),
        ("Who was keeper before Lie?", {"before"}),
        ("Who preceded Lie?", {"before"}),
        ("Who was the keeper before Lie and after Aune?", set()),
        ("All keepers so far", {"any", "list"}),
        ("Which keepers has it had over the years?", {"any", "list"}),
        ("name all keepers up to now", {"any", "list"}),
        ("Please list its keepers", {"list"}),
        ("Who was on the list?", set()),
        ("Who has been keeper since 1995?", {"list"}),
        ("what have its fees been since 2012", {"list"}),
        ("Since what year has Lie been keeper?", {"start"}),
        ("Who has been the first keeper since the war?", set()),
        ("Has Lie been keeper since 1995?", {"yes_no", "list"}),
        ("How long has Lie been keeper since 1995?", set()),
        ("Who has been the keeper since 1995?", set()),  # one who keeps it to this day
        ("What is its up to date address?", set()),
        ("List price of the lamp?", set()),
        ("List the keepers from when it opened", {"list"}),
        ("From when was Lie keeper?", {"start"}),
        ("Has Lie ever been keeper?", {"yes_no", "list"}),  # heeded one after the other: yes or no
        ("Who was the first keeper that it ever had?", {"value"}),
        ("Who was its very last keeper?", {"value"}),
        ("Who were the first keepers?", set()),
        ("was sigrid lie keeper of kvitnes in 1995", {"yes_no"}),
        ("And wasn't Lie keeper?", {"yes_no"}),
        ("Lie was keeper in 1995, right?", {"yes_no"}),
        ("Lie was keeper in 1995, wasn't she?", {"yes_no"}),
        ("True or false: Lie was keeper.", {"yes_no"}),
        ("Was Lie or Aune keeper?", set()),
        ("Do you know the keeper?", set()),
        ("Does anyone know the keeper?", set()),
        ("Is there a phone number?", set()),
        ("Was that before or after Lie?", set()),
        ("Is the keeper Lie, and since when?", {"start"}),
        ("Isabel Lie was keeper of what?", set()),
        ("Until when was Lie keeper?", {"end"}),
        ("till what year was Lie keeper", {"end"}),
        ("Up to which date did Lie keep it?", {"end"}),
        ("Since when is Lie keeper?", {"start"}),
        ("From what year on was Lie keeper?", {"start"}),
        ("Who is the keeper since 1995?", set()),
        ("Who is the keeper?", set()),
        ("Where is Aftermath Hall?", set()),
        ("", set()),
    ],
)
def test_what_a_question_says_beyond_doubt(text: str, meant: set[str]) -> None:
    assert said(text) == meant


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("In what year was it built?", True),
        ("And when was it built?", True),
        ("Since which year is Lie keeper?", True),
        ("who is the keeper", True),
        ("The keeper is who?", False),
        ("Who is the keeper, Lie, right?", False),
        ("What do you think, yes or no: is Lie the keeper?", False),
        ("When Lie was keeper, was the lamp electric?", False),
        ("What about Lie, was he keeper?", False),
        ("Is Lie the keeper?", False),
        ("keeper of Kvitnes", False),
    ],
)
def test_a_question_that_begins_with_who_or_when_is_none_of_yes_or_no(text: str, never: bool) -> None:
    before = reading()
    after = heeding(before, cues_of([text]))
    if not never:
        assert after.form_of("yes_no")[0] >= before.form_of("yes_no")[0] - 1e-6
        return
    assert after.form_of("yes_no")[0] < 1e-6


def test_what_is_ruled_out_is_shared_by_the_others_as_they_were() -> None:
    before = reading()
    after = heeding(before, cues_of(["Who is the keeper?"]))
    left = [place for place, name in enumerate(FORMS) if name != "yes_no"]
    assert torch.allclose(after.form[0, left], before.form[0, left].log_softmax(-1), atol=1e-5)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 100), st.lists(st.booleans(), min_size=len(CUES), max_size=len(CUES)))
def test_probability_moves_to_what_is_meant_and_none_is_lost(seed: int, there: list[bool]) -> None:
    before = reading(1, seed)
    after = heeding(before, torch.tensor([there]))
    assert torch.equal(after.inverse, before.inverse)
    assert torch.equal(after.hops, before.hops)
    for part in ("form", "mode"):
        assert getattr(after, part).exp().sum() == pytest.approx(1.0, abs=1e-5)
    names = {"form": FORMS, "mode": MODES}
    heard = [cue for cue, said in zip(CUES, there, strict=True) if said]
    touched = {
        (cue.part, name)
        for cue in heard
        for name in (names[cue.part] if cue.meant is None else (*cue.instead_of, cue.meant))
    }
    for part, every in names.items():
        for place, name in enumerate(every):
            if (part, name) not in touched:
                old, new = (getattr(each, part)[0, place].exp() for each in (before, after))
                assert new == pytest.approx(float(old), abs=1e-6)


def test_a_reader_that_is_sure_of_yes_or_no_leaves_the_others_as_they_stood() -> None:
    logits = torch.randn(1, len(FORMS), generator=torch.Generator().manual_seed(1))
    yes = FORMS.index("yes_no")
    logits[:, yes] = 40.0
    after = heeding(reading()._replace(form=logits.log_softmax(-1)), cues_of(["Who is the keeper?"]))
    left = [place for place in range(len(FORMS)) if place != yes]
    assert torch.allclose(after.form[0, left], logits[0, left].log_softmax(-1), atol=1e-3)


def test_each_question_of_a_batch_heeds_its_own() -> None:
    before = reading(2)
    after = heeding(before, cues_of(["Who was keeper?", "Who was keeper after Lie?"]))
    assert torch.allclose(after.mode[0], before.mode[0], atol=1e-5)
    assert after.mode_of("before")[1] < 1e-6
    assert after.mode_of("after")[1] == pytest.approx(float(before.mode_of("after")[1] + before.mode_of("before")[1]))


def test_no_questions_have_no_cues() -> None:
    assert cues_of([]).shape == (0, len(CUES))
