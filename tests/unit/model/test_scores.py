"""Time scores follow half-open windows to the day, names and places in a row what is asked; context starts silent."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kblampp.data.calendar import FIRST_DAY
from kblampp.data.facts import FORMS, MODES, MOST_HOPS
from kblampp.data.windows import OPEN_END, OPEN_START, UNKNOWN_DAY, Window, window_bounds
from kblampp.model.question_reader import Reading
from kblampp.model.scores import (
    DAYS_PER_YEAR,
    FIT,
    FIT_MIDDLE,
    FIT_SCALE,
    ContextScorer,
    FitScorer,
    FormScorer,
    NameScorer,
    RowPlace,
    TimeScorer,
    clip_to_horizon,
    disjoint,
    is_known,
    share_taken,
)

HORIZON = (700_000, 740_000)
UNKNOWN_PAIR = (UNKNOWN_DAY, UNKNOWN_DAY)
KINDS = {
    "closed": (710_000, 711_000),
    "open start": (OPEN_START, 710_500),
    "open end": (710_500, OPEN_END),
    "always": (OPEN_START, OPEN_END),
    "one day": (710_499, 710_500),
    "before the horizon": (690_000, 690_001),
    "after the horizon": (800_000, 800_100),
    "open beyond the horizon": (800_000, OPEN_END),
    "open before the horizon": (OPEN_START, 600_000),
    "before the year 1": (-16_070, -15_705),
    "open before the year 1": (OPEN_START, 0),
    "unknown": UNKNOWN_PAIR,
}
STEP = TimeScorer()
OVERLAP = math.log1p(math.exp(4.0))
DISTANCE = math.log1p(math.exp(8.0))
SCALE = 5 * DAYS_PER_YEAR


def score(question: tuple[int, int], *facts: tuple[int, int], scorer: TimeScorer = STEP) -> list[float]:
    """Scores of facts for one question."""
    bounds = torch.tensor(facts)
    found: Tensor = scorer(torch.tensor([question]), HORIZON, bounds[None, None, :, 0], bounds[None, None, :, 1])
    assert found.shape == (1, 1, len(facts))
    assert found.dtype == torch.float32
    return found.flatten().tolist()


def windows_alone(scorer: TimeScorer) -> list[torch.nn.Parameter]:
    """What the score of a window learns, which places in a row play no part in."""
    places = ("raw_order", "raw_past")
    return [parameter for name, parameter in scorer.named_parameters() if name not in places]


def far(days: int) -> float:
    """The formula of the class's docstring for a fact `days` away."""
    return -DISTANCE * (days + DAYS_PER_YEAR) / (days + DAYS_PER_YEAR + SCALE)


def test_a_fact_that_covers_the_question_scores_the_whole_overlap() -> None:
    question = (710_000, 710_365)
    assert score(
        question, question, (700_000, 720_000), (OPEN_START, OPEN_END), (OPEN_START, 710_365)
    ) == pytest.approx([OVERLAP] * 4)


def near(share: float) -> float:
    """The formula of the class's docstring for a fact that covers this share of the question's window."""
    return OVERLAP * (1 + share) / 2


def test_of_a_partial_overlap_half_counts_at_once_and_the_rest_by_its_share_of_the_question() -> None:
    assert score((710_000, 710_100), (709_000, 710_025), (710_050, 720_000), (710_020, 710_030)) == pytest.approx(
        [near(0.25), near(0.5), near(0.1)]
    )


def test_what_fits_a_little_is_better_than_what_is_unknown_and_that_than_what_does_not_fit() -> None:
    fits, unknown, apart = score((710_000, 720_000), (719_999, OPEN_END), UNKNOWN_PAIR, (720_000, OPEN_END))
    assert fits > OVERLAP / 2
    assert unknown == 0 > apart


def test_touching_windows_share_no_day() -> None:
    question = (710_000, 710_100)
    touching_before, touching_after = (709_000, 710_000), (710_100, 720_000)
    assert score(question, touching_before, touching_after) == pytest.approx([far(0)] * 2)
    one_day_before, one_day_after = (709_000, 710_001), (710_099, 720_000)
    assert score(question, one_day_before, one_day_after) == pytest.approx([near(0.01)] * 2, rel=1e-4)


def test_a_question_of_one_day() -> None:
    day = (710_000, 710_001)
    assert score(day, (710_000, 710_001), (709_999, 710_000), (710_001, 710_002)) == pytest.approx(
        [OVERLAP, far(0), far(0)]
    )


def test_what_is_unknown_neither_helps_nor_harms() -> None:
    assert score(UNKNOWN_PAIR, *KINDS.values()) == [0.0] * len(KINDS)
    for question in KINDS.values():
        assert score(question, UNKNOWN_PAIR) == [0.0]


def test_open_ends_of_a_question_reach_to_the_horizon() -> None:
    before, after = (OPEN_START, 710_000), (710_000, OPEN_END)
    assert score(before, (HORIZON[0], 705_000)) == pytest.approx([near(0.5)])
    assert score(after, (710_000, 725_000)) == pytest.approx([near(0.5)])
    assert score((OPEN_START, OPEN_END), (700_000, 710_000)) == pytest.approx([near(0.25)])
    for question in (before, after, (OPEN_START, OPEN_END)):
        assert score(question, (OPEN_START, OPEN_END)) == pytest.approx([OVERLAP])


def test_an_open_question_beyond_the_horizon_still_matches_open_facts() -> None:
    assert score((800_000, OPEN_END), (739_000, OPEN_END)) == pytest.approx([OVERLAP])
    assert score((800_000, OPEN_END), (739_000, 740_000)) == pytest.approx([far(60_000)])
    assert score((OPEN_START, 600_000), (OPEN_START, 701_000)) == pytest.approx([OVERLAP])
    assert score((OPEN_START, 600_000), (700_000, 701_000)) == pytest.approx([far(100_000)])


@settings(deadline=None, max_examples=50)
@given(
    gaps=st.lists(st.integers(0, 60_000), min_size=2, max_size=8, unique=True),
    after=st.booleans(),
    scale_years=st.floats(0.1, 100),
)
def test_farther_facts_score_less(gaps: list[int], after: bool, scale_years: float) -> None:
    scorer = TimeScorer()
    torch.nn.init.constant_(scorer.log_scale, math.log(scale_years * DAYS_PER_YEAR))
    question = (710_000, 710_365)
    facts = [(question[1] + gap, OPEN_END) if after else (OPEN_START, question[0] - gap) for gap in sorted(gaps)]
    with torch.no_grad():
        scores = score(question, *facts, scorer=scorer)
    assert all(nearer >= farther - 1e-6 for nearer, farther in itertools.pairwise(scores))
    if max(gaps) - min(gaps) > 100:
        assert scores[0] > scores[-1]
    assert max(scores) < 0
    assert min(scores) > -DISTANCE


@pytest.mark.parametrize("question", KINDS)
@pytest.mark.parametrize("fact", KINDS)
def test_scores_and_gradients_are_finite_for_every_pair_of_windows(question: str, fact: str) -> None:
    scorer = TimeScorer()
    low, high = (torch.tensor(KINDS[fact][end]).reshape(1, 1, 1) for end in (0, 1))
    found = scorer(torch.tensor([KINDS[question]]), HORIZON, low, high)
    assert torch.isfinite(found).all()
    found.sum().backward()
    gradients = [parameter.grad for parameter in windows_alone(scorer)]
    assert all(gradient is not None and torch.isfinite(gradient) for gradient in gradients)
    if "unknown" in (question, fact):
        assert not any(gradient.any() for gradient in gradients if gradient is not None)


def test_gradients_of_a_mixed_batch_are_finite_and_reach_every_parameter() -> None:
    scorer = TimeScorer()
    bounds = torch.tensor(list(KINDS.values()))
    facts = bounds[None, None].expand(len(KINDS), 3, -1, -1)
    scorer(bounds, HORIZON, facts[..., 0], facts[..., 1]).sum().backward()
    for parameter in windows_alone(scorer):
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad)
        assert parameter.grad != 0


def test_a_batch_scores_each_question_apart() -> None:
    questions = torch.tensor(list(KINDS.values()))
    facts = torch.tensor(list(KINDS.values()))
    together = STEP(questions, HORIZON, facts[None, None, :, 0], facts[None, None, :, 1])
    for row, question in enumerate(KINDS.values()):
        assert together[row, 0].tolist() == score(question, *KINDS.values())


@pytest.mark.parametrize("horizon", [HORIZON, (710_000, 710_001)])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "unknown"])
def test_clipped_windows_are_finite_and_never_empty(kind: str, horizon: tuple[int, int]) -> None:
    start, end = clip_to_horizon(torch.tensor([KINDS[kind]]), horizon)
    assert FIRST_DAY <= start.item() < end.item() < 10_000_000
    if OPEN_START not in KINDS[kind] and OPEN_END not in KINDS[kind]:
        assert (start.item(), end.item()) == KINDS[kind]


windows = st.one_of(
    st.just(Window(None, None)),
    st.builds(
        lambda start, days: Window(start, None if start is None or days is None else start + days, "x"),
        st.none() | st.integers(1, 60),
        st.none() | st.integers(1, 30),
    ),
    st.builds(lambda end: Window(None, end, "x"), st.integers(2, 90)),
)


@settings(deadline=None, max_examples=200)
@given(question=windows, fact=windows)
def test_disjoint_means_both_known_without_a_common_day(question: Window, fact: Window) -> None:
    low, high = window_bounds([question, fact])
    asked = torch.tensor([[int(low[0]), int(high[0])]])
    fact_low, fact_high = (torch.tensor(int(bound[1])).reshape(1, 1, 1) for bound in (low, high))
    expected = question.known and fact.known and question.overlap_days(fact) == 0
    assert disjoint(asked, fact_low, fact_high).item() is expected
    assert is_known(asked).item() is question.known
    score = STEP(asked, (1, 100), fact_low, fact_high).item()
    assert (score < 0) is expected
    assert (score > 0) is (question.overlap_days(fact) > 0)


def context_scorer() -> ContextScorer:
    torch.manual_seed(0)
    return ContextScorer(d_hidden=12, d_sentence=10, d_ctx=6, d_feature=8)


def test_an_untrained_context_score_is_silent_but_learns() -> None:
    scorer = context_scorer()
    scores = scorer(torch.randn(2, 3, 12), torch.randn(2, 10), torch.randn(2, 3, 5, 6))
    assert scores.shape == (2, 3, 5)
    assert not scores.any()
    scores.sum().backward()
    assert scorer.out.weight.grad is not None
    assert scorer.out.weight.grad.any()


def test_a_trained_context_score_tells_facts_tokens_and_questions_apart() -> None:
    scorer = context_scorer()
    torch.nn.init.normal_(scorer.out.weight)
    hidden, question, context = torch.randn(2, 3, 12), torch.randn(2, 10), torch.randn(2, 1, 5, 6)
    scores = scorer(hidden, question, context)
    torch.testing.assert_close(scores, scorer(hidden, question, context.expand(-1, 3, -1, -1)))
    assert scores.std(dim=2).min() > 0
    assert not torch.equal(scores, scorer(hidden, question.flip(0), context))
    assert not torch.equal(scores, scorer(hidden.flip(1), question, context))
    alone = scorer(hidden[1:, 1:2], question[1:], context[1:])
    torch.testing.assert_close(alone, scores[1:, 1:2])


def test_the_question_starts_in_the_space_of_the_context_vectors() -> None:
    scorer = context_scorer()
    weight, bias, question = torch.randn(6, 10), torch.randn(6), torch.randn(4, 10)
    scorer.start_from(weight, bias)
    expected = scorer.from_context(question @ weight.T + bias)
    torch.testing.assert_close(scorer.from_question(question), expected, atol=1e-5, rtol=1e-5)


def no_hops(rows: int = 1) -> Tensor:
    """Logits of the further hops of questions that have none."""
    return torch.full((rows, MOST_HOPS - 1), -20.0)


def reading_of(form: str = "value", mode: str = "any") -> Reading:
    """A question that surely wants this."""
    logits = [torch.full((1, len(names)), -torch.inf) for names in (FORMS, MODES)]
    logits[0][0, FORMS.index(form)] = logits[1][0, MODES.index(mode)] = 0.0
    return Reading(torch.full((1,), -20.0), *logits, no_hops())


ROW = [(OPEN_START, 701_000), (701_000, 705_000), (705_000, 709_000), (709_000, OPEN_END)]
"""Four holders of an office, one after the other."""


def place_of(facts: Sequence[tuple[int, int]]) -> RowPlace:
    """Where facts stand that are a row in this order; a fact of unknown time stands nowhere."""
    timed = [number for number, fact in enumerate(facts) if fact != UNKNOWN_PAIR]
    rows = []
    for number, (start, end) in enumerate(facts):
        at = timed.index(number) if number in timed else 0
        before = timed[at - 1] if number in timed and at else None
        after = timed[at + 1] if number in timed and at + 1 < len(timed) else None
        previous = OPEN_START if before is None else facts[before][0]
        following = OPEN_END if after is None else facts[after][0]
        rows.append((before is None, after is None, number in timed, start, end, previous, following))
    return RowPlace(*(torch.tensor([column]) for column in zip(*rows, strict=True)))


AS_OF = 715_000
"""The day of asking: the last of the row holds."""


def order_of(
    reading: Reading,
    question: tuple[int, int] = UNKNOWN_PAIR,
    facts: Sequence[tuple[int, int]] = ROW,
    as_of: int = AS_OF,
) -> list[float]:
    """What the places of facts count, in units of what `raw_order` has learned."""
    found = STEP.order(reading, torch.tensor([question]), place_of(facts), as_of) / torch.log1p(STEP.raw_order.exp())
    assert found.shape == (1, len(facts))
    return [round(value, 4) + 0.0 for value in found.flatten().tolist()]


PAST = math.log1p(math.exp(2.0)) / math.log1p(math.exp(6.0))
"""What holding no longer counts, in the same units."""


def test_where_a_time_or_another_mode_is_asked_for_places_count_nothing() -> None:
    for mode in ("now", "before", "after"):
        assert order_of(reading_of(mode=mode)) == [0, 0, 0, 0]
    for question in ((703_000, 703_365), (OPEN_START, OPEN_END)):
        assert order_of(reading_of(), question) == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("as_of", "gone"),
    [(690_000, 0), (700_999, 0), (701_000, 1), (704_999, 1), (705_000, 2), (708_999, 2), (709_000, 3), (800_000, 3)],
)
def test_where_no_time_is_asked_for_who_holds_no_longer_loses(as_of: int, gone: int) -> None:
    """If one name is asked for: of all of them, or of when, none is meant less than another."""
    expected = [-PAST] * gone + [0.0] * (len(ROW) - gone)
    for form in FORMS:
        wanted = expected if form == "value" else [0.0] * len(ROW)
        assert order_of(reading_of(form), as_of=as_of) == pytest.approx(wanted, abs=1e-4)
    for mode in ("now", "first", "last", "before", "after"):
        assert order_of(reading_of(mode=mode), as_of=as_of) == order_of(reading_of(mode=mode), as_of=690_000)
    for question in ((703_000, 703_365), (OPEN_START, OPEN_END), (OPEN_START, 706_000), (704_000, OPEN_END)):
        assert order_of(reading_of(), question, as_of=as_of) == order_of(reading_of(), question, as_of=690_000)


def test_the_last_of_a_row_loses_to_nobody_even_when_it_has_ended() -> None:
    assert order_of(reading_of(), facts=ROW[1:3], as_of=708_999) == pytest.approx([-PAST, 0], abs=1e-4)
    assert order_of(reading_of(), facts=ROW[1:3], as_of=800_000) == pytest.approx([-PAST, 0], abs=1e-4)
    assert order_of(reading_of(), facts=ROW[1:2], as_of=800_000) == [0]


def test_the_first_and_the_last_of_a_row_gain_as_much_as_the_others_lose() -> None:
    for form in FORMS:
        assert order_of(reading_of(form, "first")) == [0.5, -0.5, -0.5, -0.5]
        assert order_of(reading_of(form, "last")) == [-0.5, -0.5, -0.5, 0.5]


def test_before_a_day_is_the_latest_that_had_begun_and_after_it_the_first_to_begin() -> None:
    assert order_of(reading_of(), (OPEN_START, 706_000)) == [-0.5, -0.5, 0.5, -0.5]
    assert order_of(reading_of(), (OPEN_START, 705_000)) == [-0.5, 0.5, -0.5, -0.5]
    assert order_of(reading_of(), (704_000, OPEN_END)) == [-0.5, -0.5, 0.5, -0.5]
    assert order_of(reading_of(), (705_000, OPEN_END)) == [-0.5, -0.5, 0.5, -0.5]
    assert order_of(reading_of(), (OPEN_START, 690_000)) == [0.5, -0.5, -0.5, -0.5]


def test_who_came_before_an_open_time_and_has_nobody_after_is_the_one_there_is() -> None:
    assert order_of(reading_of(), (720_000, OPEN_END)) == [-0.5, -0.5, -0.5, 0.5]
    assert order_of(reading_of(), (706_000, OPEN_END), ROW[1:3]) == [-0.5, 0.5]


def test_before_the_first_and_after_the_end_of_the_last_there_is_none() -> None:
    bounded = ROW[1:3]
    for question in ((OPEN_START, 690_000), (OPEN_START, 701_000), (709_000, OPEN_END), (720_000, OPEN_END)):
        assert order_of(reading_of(), question, bounded) == [-0.5, -0.5]


def test_a_list_since_a_day_holds_all_of_them() -> None:
    for form in FORMS:
        expected = [-0.5, -0.5, 0.5, -0.5] if form == "value" else [0, 0, 0, 0]
        assert order_of(reading_of(form), (704_000, OPEN_END)) == expected


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("question", [UNKNOWN_PAIR, (OPEN_START, 706_000), (704_000, OPEN_END)])
def test_a_fact_of_unknown_time_has_no_place(mode: str, question: tuple[int, int]) -> None:
    facts = [*ROW[:2], UNKNOWN_PAIR, *ROW[2:]]
    found = order_of(reading_of(mode=mode), question, facts)
    assert found[2] == 0
    assert found[:2] + found[3:] == order_of(reading_of(mode=mode), question)


def test_a_doubtful_mode_counts_as_far_as_it_is_likely() -> None:
    likely = torch.full((1, len(MODES)), 1 / len(MODES)).log()
    reading = Reading(torch.zeros(1), reading_of().form, likely, no_hops())
    half = 0.5 / len(MODES)
    gone = PAST / len(MODES)  # all but the last have ended
    expected = [-gone, -2 * half - gone, -2 * half - gone, 0]
    assert order_of(reading) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("question", KINDS)
def test_order_is_finite_with_finite_gradients(question: str) -> None:
    scorer, facts = TimeScorer(), list(KINDS.values())
    form, mode = (torch.zeros(1, len(names)).log_softmax(-1).requires_grad_() for names in (FORMS, MODES))
    reading = Reading(torch.zeros(1), form, mode, no_hops())
    found = scorer.order(reading, torch.tensor([KINDS[question]]), place_of(facts), AS_OF)
    assert torch.isfinite(found).all()
    found.sum().backward()
    for tensor in (scorer.raw_order, scorer.raw_past, form, mode):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()


NAMES = torch.tensor([[1.0, 1.0, 0.2, 1.0]]), torch.tensor([[0.0, 1.0, 1.0, 0.0]])
"""Of four candidates how much of the own and of the other name the question contains."""
BESIDE = torch.tensor([[0.0, 0.0, 0.0, 1.0]]), torch.tensor([[1.0, 0.0, 0.0, 0.0]])
"""Of the names of the holders before and after them."""


def names_of(form: str = "value", mode: str = "any") -> list[float]:
    with torch.no_grad():
        scores: Tensor = NameScorer()(reading_of(form, mode), *NAMES, *BESIDE)
    return [round(value, 4) for value in scores[0].tolist()]


def test_the_own_name_always_counts_and_the_other_where_it_is_asked_about_else_against_it() -> None:
    for form in FORMS:
        other = 6.0 if form in ("start", "end", "yes_no") else -3.0
        assert names_of(form) == pytest.approx([4, 4 + other, 0.8 + other, 4])


def test_before_somebody_is_the_fact_whose_successor_is_named_and_not_the_named_one() -> None:
    assert names_of(mode="before") == pytest.approx([4 + 8, 4 - 7, 0.8 - 7, 4])
    assert names_of(mode="after") == pytest.approx([4, 4 - 7, 0.8 - 7, 4 + 8])
    for mode in ("any", "now", "first", "last"):
        assert names_of(mode=mode) == names_of()


def test_all_weights_of_names_learn() -> None:
    scorer = NameScorer()
    form, mode = (torch.zeros(1, len(names)).log_softmax(-1) for names in (FORMS, MODES))
    reading = Reading(torch.zeros(1), form, mode, no_hops())
    scorer(reading, *NAMES, *BESIDE).sum().backward()
    learned = {
        name for name, parameter in scorer.named_parameters() if parameter.grad is not None and parameter.grad.all()
    }
    assert learned == {"own", "other_by_form", "other_by_mode", "neighbour"}  # the selector weighs labels itself


def doubtful_reading() -> Reading:
    form = torch.randn(2, len(FORMS), generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    return Reading(torch.zeros(2), form, torch.zeros(2, len(MODES)).log_softmax(-1), no_hops(2))


FEATURES = (
    torch.tensor([[0.0, 1.0, 0.3], [0.5, 0.0, 1.0]]),
    torch.tensor([[0.0, 1, 1], [1, 0, 1]]),
    torch.ones(2, 3),
    torch.tensor([[0.2, 0.0, 1.0], [0.0, 0.7, 0.5]]),
    torch.tensor([[1.0, 0, 0], [0, 1, 1]]),
)
"""Of three candidates of two questions: the other name's share, whether they are several, whether they are timed, how
much of the time asked for another takes, and whether the answer would be a number."""


def test_untrained_every_fact_is_read_in_the_questions_own_form() -> None:
    reading = doubtful_reading()
    found = FormScorer()(reading, *FEATURES)
    torch.testing.assert_close(found, reading.form[:, None].expand(2, 3, -1))


def test_a_form_is_the_questions_times_what_the_fact_speaks_for_it() -> None:
    scorer, reading = FormScorer(), doubtful_reading()
    torch.nn.init.normal_(scorer.from_fact.weight, generator=torch.Generator().manual_seed(1))
    found = scorer(reading, *FEATURES)
    for row, column in itertools.product(range(2), range(3)):
        fact = [float(feature[row, column]) for feature in FEATURES]
        odds = [
            math.exp(float(reading.form[row, at]) + 5 * sum(w * x for w, x in zip(weights, fact, strict=True)))
            for at, weights in enumerate(scorer.from_fact.weight.tolist())
        ]
        assert found[row, column].exp().tolist() == pytest.approx([odd / sum(odds) for odd in odds], rel=1e-4)


def test_the_fact_says_whether_a_start_or_a_tail_is_asked_for() -> None:
    """ "When was it launched?": a start of a fact with a time, else a tail; and of several facts, or of several who
    share the time asked for, all; "How many staff?" wants the number that there is, else how many there are."""
    scorer, reading = FormScorer(), Reading(*(one.expand(2, *one.shape[1:]) for one in doubtful_reading()))
    optimizer = torch.optim.Adam(scorer.parameters(), lr=0.05)
    several, timed, shared = ([0.0, 0, 1, 0, 0], [1.0, 0, 0, 0, 0], [0.0, 0, 0, 0.5, 0])
    each = (several, timed, shared, [0.0, 0, 0, 0, 1])
    features = (torch.zeros(2, 5), *(torch.tensor([feature] * 2) for feature in each))
    wanted = torch.tensor([FORMS.index(form) for form in ("start", "value", "list", "list", "value")] * 2)
    for _ in range(200):
        loss = torch.nn.functional.nll_loss(scorer(reading, *features).flatten(0, 1), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # A fact without any of them keeps the question's own form, so that only the others can be learned.
    best = scorer(reading, *features).argmax(-1)
    assert best[:, [0, 2, 3, 4]].flatten().tolist() == wanted.view(2, 5)[:, [0, 2, 3, 4]].flatten().tolist()
    torch.testing.assert_close(scorer(reading, *features)[:, 1], reading.form)


def taken_of(question: tuple[int, int], *facts: tuple[int, int], horizon: tuple[int, int] = HORIZON) -> list[float]:
    """How much of a question's window each fact takes."""
    low, high = (torch.tensor([[fact[end] for fact in facts]]) for end in (0, 1))
    found = share_taken(torch.tensor([question]), horizon, low, high)
    assert found.shape == (1, len(facts))
    taken: list[float] = found[0].tolist()
    return taken


def test_a_fact_takes_the_days_of_the_question_that_it_holds() -> None:
    question = (710_000, 710_100)
    facts = [(709_000, 710_025), (710_050, OPEN_END), (710_020, 710_030), question, (OPEN_START, OPEN_END)]
    assert taken_of(question, *facts) == pytest.approx([0.25, 0.5, 0.1, 1, 1])
    assert taken_of(question, (709_000, 710_000), (710_100, 710_200), UNKNOWN_PAIR) == [0, 0, 0]
    assert taken_of(UNKNOWN_PAIR, *KINDS.values()) == [0] * len(KINDS)


def test_of_a_time_without_an_end_a_fact_takes_the_days_up_to_the_horizon() -> None:
    since, until = (730_000, OPEN_END), (OPEN_START, 710_000)
    assert taken_of(since, (730_000, 735_000), (738_000, OPEN_END), (700_000, 730_000)) == pytest.approx([0.5, 0.2, 0])
    assert taken_of(until, (OPEN_START, 701_000), (709_000, 720_000)) == pytest.approx([0.1, 0.1])
    assert taken_of((750_000, OPEN_END), (745_000, OPEN_END), (700_000, 740_000)) == [1, 0]  # of one day at least


first_days, lengths = st.integers(1, 60), st.integers(1, 30)
known_windows = st.one_of(
    st.builds(lambda start, days: (start, start + days), first_days, lengths),
    st.builds(lambda start: (start, OPEN_END), first_days),
    st.builds(lambda end: (OPEN_START, end), st.integers(2, 90)),
    st.just((OPEN_START, OPEN_END)),
)


@settings(deadline=None, max_examples=300)
@given(
    question=known_windows | st.just(UNKNOWN_PAIR),
    facts=st.lists(known_windows | st.just(UNKNOWN_PAIR), min_size=1, max_size=4),
    horizon=st.builds(lambda start, days: (start, start + days), first_days, lengths),
)
def test_the_share_taken_is_counted_day_by_day(
    question: tuple[int, int], facts: list[tuple[int, int]], horizon: tuple[int, int]
) -> None:
    """An open end of the question reaches to the horizon, or where that lies on the wrong side of it by a day."""
    start, end = question
    if start == OPEN_START and end == OPEN_END:
        asked = set(range(*horizon))
    elif start == OPEN_START:
        asked = set(range(horizon[0], end)) or {end - 1}
    elif end == OPEN_END:
        asked = set(range(start, horizon[1])) or {start}
    else:
        asked = set() if question == UNKNOWN_PAIR else set(range(start, end))
    expected = []
    for low, high in facts:
        held = {day for day in asked if low <= day < high} if (low, high) != UNKNOWN_PAIR else set()
        expected.append(len(held) / len(asked) if asked else 0.0)
    assert taken_of(question, *facts, horizon=horizon) == pytest.approx(expected)


def test_untrained_the_fit_says_rather_no_whatever_fits() -> None:
    torch.manual_seed(0)
    fits = torch.randn(5, 3, len(FIT)) * 10
    torch.testing.assert_close(FitScorer()(fits), torch.full((5, 3), -1.0))


def test_a_fit_in_the_middle_is_neutral_and_each_of_its_numbers_is_read() -> None:
    assert len(FIT) == len(FIT_MIDDLE) == len(FIT_SCALE)
    torch.manual_seed(0)
    scorer = FitScorer()
    torch.nn.init.normal_(scorer.out.weight)
    middle = torch.tensor(FIT_MIDDLE)
    without_features = scorer.out(torch.nn.functional.gelu(scorer.inner.bias)).squeeze()
    torch.testing.assert_close(scorer(middle) / scorer(middle).abs(), without_features / without_features.abs())
    for column in range(len(FIT)):
        moved = middle.clone()
        moved[column] += 1.0
        assert not torch.isclose(scorer(moved), scorer(middle))
