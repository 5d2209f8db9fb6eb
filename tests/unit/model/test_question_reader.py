"""What a question asks for is read from its vector, its time and the hidden state where the answer starts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kblampp.data.facts import FORMS, MODES
from kblampp.data.windows import OPEN_END, OPEN_START, UNKNOWN_DAY
from kblampp.model.question_reader import QuestionReader, Reading
from kblampp.model.text_hashes import question_words

D_HIDDEN, D_SENTENCE, ROWS = 10, 24, 6
WINDOWS = torch.tensor(
    [
        [UNKNOWN_DAY, UNKNOWN_DAY],
        [730_000, 730_365],
        [OPEN_START, 730_000],
        [730_000, OPEN_END],
        [OPEN_START, OPEN_END],
        [730_001, 730_002],
    ]
)


WORDS = question_words(
    ["Who was keeper?", "When was it built?", "Until when?", "Was it so?", "How many?", "Who was the first?"]
)


def inputs(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden, vectors = (
        torch.randn(ROWS, D_HIDDEN, generator=generator),
        torch.randn(ROWS, D_SENTENCE, generator=generator),
    )
    return hidden, F.normalize(vectors, dim=-1)


def trained(seed: int = 0) -> QuestionReader:
    """A reader without a weight at zero."""
    torch.manual_seed(seed)
    reader = QuestionReader(D_HIDDEN, D_SENTENCE)
    for parameter in reader.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return reader


def test_before_training_every_question_is_a_plain_one_for_a_tail() -> None:
    reading = QuestionReader(D_HIDDEN, D_SENTENCE)(*inputs(), WINDOWS, WORDS)
    assert (reading.form.argmax(-1) == FORMS.index("value")).all()
    assert (reading.mode.argmax(-1) == MODES.index("any")).all()
    assert (reading.inverse < 0).all()
    assert len(reading.form.unique(dim=0)) == 1


def test_forms_and_modes_are_distributions_and_have_names() -> None:
    reading = trained()(*inputs(), WINDOWS, WORDS)
    assert reading.inverse.shape == (ROWS,)
    for log_probs, names, of in (
        (reading.form, FORMS, reading.form_of),
        (reading.mode, MODES, reading.mode_of),
    ):
        assert log_probs.shape == (ROWS, len(names))
        torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(ROWS))
        for column, name in enumerate(names):
            assert torch.equal(of(name), log_probs[:, column].exp())


def test_each_question_is_read_alone() -> None:
    reader, (hidden, vectors) = trained(), inputs()
    together = reader(hidden, vectors, WINDOWS, WORDS)
    for row in range(ROWS):
        part = slice(row, row + 1)
        alone = reader(hidden[part], vectors[part], WINDOWS[part], WORDS[part])
        for whole, one in zip(together, alone, strict=True):
            torch.testing.assert_close(whole[part], one)


def test_it_reads_the_hidden_state_of_the_rows_that_may() -> None:
    reader, (hidden, vectors) = trained(), inputs()
    rows = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0, 0.0])
    some, every = reader(hidden, vectors, WINDOWS, WORDS, rows), reader(hidden, vectors, WINDOWS, WORDS)
    none = reader(torch.zeros_like(hidden), vectors, WINDOWS, WORDS)
    for row, reads in enumerate(rows.tolist()):
        torch.testing.assert_close(some.form[row], (every if reads else none).form[row])
        assert not torch.allclose(every.form[row], none.form[row])


@pytest.mark.parametrize("part", ["vector", "window", "words"])
def test_it_reads_vector_window_and_words(part: str) -> None:
    reader, (hidden, vectors) = trained(), inputs()
    plain = reader(hidden, vectors, WINDOWS, WORDS)
    if part == "vector":
        other = reader(hidden, vectors.roll(1, 0), WINDOWS, WORDS)
    elif part == "window":
        other = reader(hidden, vectors, WINDOWS.roll(1, 0), WORDS)
    else:
        other = reader(hidden, vectors, WINDOWS, WORDS.roll(1, 0))
    assert not torch.isclose(plain.form, other.form).all(-1).any()


def test_of_a_window_it_reads_whether_there_is_one_and_where_it_is_open_not_when() -> None:
    reader, (hidden, vectors) = trained(), inputs()
    same_vector, same_hidden = vectors[:1].expand(ROWS, -1), hidden[:1].expand(ROWS, -1)
    found = reader(same_hidden, same_vector, WINDOWS, WORDS[:1].expand(ROWS, -1)).form
    apart = (found[:, None] - found[None]).abs().amax(-1) > 1e-4  # equal rows of a product may be rounded otherwise
    assert not apart[1, 5]
    assert len(apart.unique(dim=0)) == ROWS - 1


def test_it_learns_forms_modes_and_directions() -> None:
    """From the direction of the vector alone; unseen vectors are read too."""
    torch.manual_seed(0)
    reader = QuestionReader(D_HIDDEN, D_SENTENCE)
    optimizer = torch.optim.AdamW(reader.parameters(), lr=2e-3)

    def batch(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        form, mode = (torch.randint(len(names), (64,), generator=generator) for names in (FORMS, MODES))
        way = torch.randint(2, (64,), generator=generator)
        vectors = 0.2 * torch.randn(64, D_SENTENCE, generator=generator)
        vectors[:, : len(FORMS)] += F.one_hot(form, len(FORMS))
        vectors[:, 6 : 6 + len(MODES)] += F.one_hot(mode, len(MODES))
        vectors[:, 12] += way
        return torch.randn(64, D_HIDDEN, generator=generator), F.normalize(vectors, dim=-1), form, mode, way

    windows, words = WINDOWS[:1].expand(64, -1), WORDS[:1].expand(64, -1)
    for step in range(200):
        hidden, vectors, form, mode, way = batch(step)
        reading: Reading = reader(hidden, vectors, windows, words)
        loss = F.nll_loss(reading.form, form) + F.nll_loss(reading.mode, mode)
        loss = loss + F.binary_cross_entropy_with_logits(reading.inverse, way.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    hidden, vectors, form, mode, way = batch(1000)
    reading = reader(hidden, vectors, windows, words)
    assert (reading.form.argmax(-1) == form).float().mean() > 0.9
    assert (reading.mode.argmax(-1) == mode).float().mean() > 0.9
    assert ((reading.inverse > 0) == way.bool()).float().mean() > 0.9


def test_words_say_it_whatever_the_rest_of_the_question_is_and_a_question_without_any_is_read() -> None:
    """Each form by one word, beside vectors and other words that have nothing to do with it."""
    torch.manual_seed(0)
    reader = QuestionReader(D_HIDDEN, D_SENTENCE)
    optimizer = torch.optim.AdamW(reader.parameters(), lr=5e-3)
    names = [f"name{number}" for number in range(40)]

    def batch(seed: int) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(seed)
        form, name = (torch.randint(most, (32,), generator=generator) for most in (len(FORMS), len(names)))
        texts = [f"{FORMS[f]} {names[n]}?" for f, n in zip(form.tolist(), name.tolist(), strict=True)]
        vectors = F.normalize(torch.randn(32, D_SENTENCE, generator=generator), dim=-1)
        return torch.randn(32, D_HIDDEN, generator=generator), vectors, WINDOWS[:1].expand(32, -1), texts, form  # type: ignore[return-value]

    for step in range(120):
        hidden, vectors, windows, texts, form = batch(step)
        loss = F.nll_loss(reader(hidden, vectors, windows, question_words(texts)).form, form)  # type: ignore[arg-type]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    hidden, vectors, windows, _, _ = batch(1000)
    unseen = question_words([f"{form} Kvitnes Lighthouse?" for form in FORMS])
    rows = len(FORMS)
    reading = reader(hidden[:rows], vectors[:rows], windows[:rows], unseen)
    assert reading.form.argmax(-1).tolist() == list(range(rows))
    nothing = reader(hidden[:rows], vectors[:rows], windows[:rows], torch.zeros_like(unseen))
    assert torch.isfinite(nothing.form).all()
