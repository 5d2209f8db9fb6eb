"""Each loss is what docs/architecture.md says, on selections written by hand."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from kblampp.core.errors import DataError
from kblampp.data.facts import FORMS, MODES, MOST_HOPS
from kblampp.data.windows import OPEN_END, OPEN_START, UNKNOWN_DAY, Window, day, window_bounds, year_window
from kblampp.model.answers import NO, YES, answers
from kblampp.model.batches import IGNORED, TrainingBatch
from kblampp.model.injection import KBOutput
from kblampp.model.inputs import Questions, SelectorOptions
from kblampp.model.question_reader import Reading
from kblampp.model.selector import ScoreParts, Selection
from kblampp.training.losses import Losses, LossWeights, compute_losses
from tests.kb import TinyWorld, make_world

VOCABULARY = 7
SEQ = 6
ANSWER = (3, 5)  # positions of the answer's tokens; they are predicted one position before
WINDOWS = [year_window(2000), year_window(2010), Window(None, None, "x"), Window(None, None), year_window(2005)]
ALL_ONE = LossWeights(*[1.0] * 6, path_margin=1)
GATE = 0.8
N = 5  # candidates: three gold columns and two negatives; the null column is number 5


def make_batch(
    hops: list[int],
    windows: list[Window | None] | None = None,
    alternatives: list[int] | None = None,
    *,
    forms: list[str] | None = None,
    so: list[bool] | None = None,
) -> TrainingBatch:
    """Rows whose gold facts are 0, 1, 2 as far as they have hops or alternatives; their negatives are facts 3 and 4."""
    rows = len(hops)
    alternatives = alternatives or [min(n, 1) for n in hops]
    ids = torch.arange(SEQ).repeat(rows, 1)
    labels = torch.full((rows, SEQ), IGNORED)
    labels[:, ANSWER[0] : ANSWER[1]] = ids[:, ANSWER[0] : ANSWER[1]]
    gold = [
        [column if column < max(n, several) else -1 for column in range(3)]
        for n, several in zip(hops, alternatives, strict=True)
    ]
    return TrainingBatch(
        rows=torch.arange(rows),
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        labels=labels,
        answer_start=torch.full((rows,), ANSWER[0]),
        questions=Questions.make(torch.zeros(rows, 2), windows or [None] * rows, ["Who?"] * rows),
        has_vector=torch.ones(rows, dtype=torch.bool),
        read_hidden=torch.ones(rows),
        question_noise=torch.zeros(rows, 2),
        candidates=torch.tensor([[*row, 3, 4] for row in gold]),
        from_tail=torch.zeros(rows, 5, dtype=torch.bool),
        forms=torch.tensor([FORMS.index(form) for form in forms or ["value"] * rows]),
        modes=torch.zeros(rows, dtype=torch.int64),
        inverse=torch.zeros(rows, dtype=torch.bool),
        so=torch.tensor(so or [False] * rows),
        hops=torch.tensor(hops),
        alternatives=torch.tensor(alternatives),
        retrieved=0,
    )


def make_selection(
    batch: TrainingBatch,
    scores: Tensor,
    hop: Tensor | None = None,
    yes: Tensor | None = None,
    forms: Tensor | None = None,
) -> Selection:
    """A selection with these scores, (batch, N + 1), -inf without a candidate, and logits of hop and yes, (batch,).

    `forms` are log-probabilities, (batch, N or 1, forms): flat where nothing is said.
    """
    ids = batch.candidates[:, None]
    scores = scores[:, None]
    scores = torch.cat([scores[..., :-1].masked_fill(ids < 0, -math.inf), scores[..., -1:]], dim=-1)
    weights = scores.softmax(-1)
    unused, zero = torch.zeros(()), torch.zeros(len(ids))
    hop, yes = (zero if one is None else one for one in (hop, yes))
    parts = ScoreParts(unused, unused, unused, unused)
    inverse, alpha, null = batch.from_tail[:, None], weights[..., :-1], weights[..., -1]
    forms = torch.zeros(len(ids), N, len(FORMS)).log_softmax(-1) if forms is None else forms.expand(-1, N, -1)
    logits, hops = yes[:, None], hop[:, None]
    best = ids.gather(-1, scores[..., :-1].argmax(-1, keepdim=True)).squeeze(-1)
    gates = logits, forms, hops, hops.sigmoid(), unused, unused
    return Selection(unused, unused, ids, inverse, alpha, null, scores, parts, unused, unused, best, unused, *gates)


def flat_reading(rows: int) -> Reading:
    """Nobody knows what the questions ask for."""
    form, mode = (torch.zeros(rows, len(names)).log_softmax(-1) for names in (FORMS, MODES))
    return Reading(torch.zeros(rows), form, mode, torch.zeros(rows, MOST_HOPS - 1))


class State(SimpleNamespace):
    """The part of a call's state that the losses read."""

    def read(self) -> tuple[Reading, Tensor]:
        return self.reading, self.gate


def make_state(
    selections: dict[int, Selection], *, reading: Reading | None = None, gate: Tensor | None = None, **options: Any
) -> Any:
    rows = len(selections[0].ids)
    knowledge = SimpleNamespace(options=SelectorOptions(top_k=16, **options))
    reading = flat_reading(rows) if reading is None else reading
    gate = torch.full((rows,), GATE) if gate is None else gate
    return State(selections=selections, knowledge=knowledge, reading=reading, gate=gate)


def make_base(windows: list[Window] = WINDOWS) -> Any:
    low, high = (torch.from_numpy(bounds).long() for bounds in window_bounds(windows))
    return SimpleNamespace(tensors=SimpleNamespace(tau_min=low, tau_max=high))


def losses(
    batch: TrainingBatch,
    *scores: Tensor,
    logits: Tensor | None = None,
    margin: float = 1.0,
    yes: Tensor | None = None,
    forms: Tensor | None = None,
    **state_options: Any,
) -> Losses:
    """The losses with one layer for each tensor of scores, (batch, N + 1), or a flat one.

    Facts are read in the question's own form unless `forms` says otherwise.
    """
    layers = scores or (torch.zeros(len(batch.hops), N + 1),)
    reading = state_options.setdefault("reading", flat_reading(len(batch.hops)))
    forms = reading.form[:, None] if forms is None else forms
    selections = {depth: make_selection(batch, layer, yes=yes, forms=forms) for depth, layer in enumerate(layers)}
    if logits is None:
        logits = torch.zeros(len(batch.hops), SEQ, VOCABULARY)
    state = make_state(selections, **state_options)
    return compute_losses(KBOutput(logits, state), batch, make_base(), path_margin=margin)


def peaked(batch: TrainingBatch, *columns: int, height: float = 40.0) -> Tensor:
    """Scores whose top is this column in each row, (batch, N + 1)."""
    scores = torch.zeros(len(batch.hops), N + 1)
    for row, column in enumerate(columns):
        scores[row, column] = height
    return scores


def random_scores(batch: TrainingBatch, seed: int = 0) -> Tensor:
    return torch.randn(len(batch.hops), N + 1, generator=torch.Generator().manual_seed(seed))


def random_logits(rows: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, SEQ, VOCABULARY, generator=torch.Generator().manual_seed(seed))


def random_reading(rows: int, seed: int = 0) -> Reading:
    generator = torch.Generator().manual_seed(seed)
    form, mode = (torch.randn(rows, len(names), generator=generator) for names in (FORMS, MODES))
    inverse, hops = torch.randn(rows, generator=generator), torch.zeros(rows, MOST_HOPS - 1)
    return Reading(inverse, form.log_softmax(-1), mode.log_softmax(-1), hops)


def of_any_time(reading: Reading) -> Reading:
    """The same, but nobody asks about now."""
    mode = torch.full_like(reading.mode, -math.inf)
    mode[:, MODES.index("any")] = 0.0
    return reading._replace(mode=mode)


def test_words_loss_reads_each_token_from_the_position_before() -> None:
    batch = make_batch([1, 0])
    logits = torch.zeros(2, SEQ, VOCABULARY)
    for position in range(*ANSWER):
        logits[:, position - 1, position] = 50.0
    assert float(losses(batch, logits=logits).words) == pytest.approx(0, abs=1e-6)
    assert float(losses(batch).words) == pytest.approx(math.log(VOCABULARY))


@pytest.mark.parametrize("name", ["words", "answer"])
def test_question_and_padding_are_not_learned(name: str) -> None:
    batch = make_batch([1, 2])
    logits = random_logits(2).requires_grad_()
    getattr(losses(batch, logits=logits), name).backward()
    assert logits.grad is not None
    for row in range(2):
        used = logits.grad[row].abs().sum(-1) > 0
        assert used.nonzero().flatten().tolist() == list(range(ANSWER[0] - 1, ANSWER[1] - 1))


def said_by_hand(logits: Tensor, row: int) -> float:
    """Probability of the answer in own words, token by token."""
    total = 1.0
    for position in range(*ANSWER):
        scores = [math.exp(value) for value in logits[row, position - 1].tolist()]
        total *= scores[position] / sum(scores)
    return total


def test_answer_loss_is_the_probability_of_the_answer_by_hand() -> None:
    """A value of one hop, one of alternatives, a refusal, a yes, a no without facts, and a count; none of a time."""
    forms = ["value", "value", "value", "yes_no", "yes_no", "count"]
    hops, alternatives = [2, 1, 0, 1, 0, 1], [1, 3, 0, 1, 0, 1]
    batch = make_batch(hops, None, alternatives, forms=forms, so=[False, False, False, True, False, False])
    rows = len(hops)
    layers, logits, reading = (
        [random_scores(batch, seed) for seed in range(2)],
        random_logits(rows),
        of_any_time(random_reading(rows)),
    )
    gate, yes = torch.linspace(0.1, 0.9, rows), torch.linspace(-2, 2, rows)
    forms_of = torch.randn(rows, N, len(FORMS), generator=torch.Generator().manual_seed(7)).log_softmax(-1)
    found = losses(batch, *layers, logits=logits, reading=reading, gate=gate, yes=yes, forms=forms_of)
    selection, total = make_selection(batch, layers[1]), 0.0
    for row in range(rows):
        weights = [*selection.alpha[row, 0].tolist(), float(selection.null[row, 0])]
        own = math.exp(float(reading.form[row, FORMS.index("yes_no")]))  # how surely the question wants yes or no
        fact = {name: forms_of[row, :, at].exp().tolist() for at, name in enumerate(FORMS)}
        confirmed = sum(w * p for w, p in zip(weights[:N], fact["yes_no"], strict=True)) + weights[N] * own
        so = 1 / (1 + math.exp(-float(yes[row])))
        copied = (
            weights[1] * fact["value"][1],
            sum(w * p for w, p in zip(weights[:3], fact["value"][:3], strict=True)),
            weights[N] * (1 - own),
            confirmed * so,
            confirmed * (1 - so),
            weights[0] * fact["count"][0],
        )[row]
        total -= math.log(float(gate[row]) * copied + (1 - float(gate[row])) * said_by_hand(logits, row))
    assert float(found.answer) == pytest.approx(total / rows, rel=1e-5)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("kb"))


@pytest.mark.parametrize("so", [True, False])
@pytest.mark.parametrize("as_of", ["2001-06-01", "2010-01-01"])
@pytest.mark.parametrize("window", [None, year_window(2001), year_window(2015)])
def test_yes_and_no_cost_what_the_model_says_them_with(
    world: TinyWorld, window: Window | None, as_of: str, so: bool
) -> None:
    """A fact of another time confirms nothing, here of the mayors of 2001, of the years to 2008, and of those since."""
    batch, logits = make_batch([1], [window], forms=["yes_no"], so=[so]), random_logits(1)
    reading, yes, gate = random_reading(1), torch.tensor([1.5]), torch.tensor([GATE])
    for heaviest, best in itertools.product(range(N), (-1, 0, 1, 2)):  # what fits best may have given way to others
        selection = make_selection(batch, peaked(batch, heaviest, height=3.0), yes=yes, forms=reading.form[:, None])
        selection = replace(selection, best=torch.tensor([[best]]))
        state = make_state({0: selection}, reading=reading, gate=gate, as_of=day(as_of))
        loss = compute_losses(KBOutput(logits, state), batch, world.base, path_margin=1.0).answer
        (said,) = answers(world.base, selection, reading, batch.questions.windows, gate, as_of=day(as_of))
        shares = {answer.text: answer.probability for answer in said}
        total = shares.get(YES if so else NO, 0.0) + (1 - GATE) * said_by_hand(logits, 0)
        assert float(loss) == pytest.approx(-math.log(total), rel=1e-5)


def test_without_copies_the_answer_is_in_own_words() -> None:
    batch, logits = make_batch([1, 0]), random_logits(2)
    expected = -sum(math.log(said_by_hand(logits, row)) for row in range(2)) / 2
    without = losses(batch, logits=logits, copy_head=False)
    assert float(without.answer) == pytest.approx(expected, rel=1e-5)
    closed = losses(batch, logits=logits, gate=torch.zeros(2))
    assert float(closed.answer) == pytest.approx(expected, rel=1e-5)


def test_the_answer_is_weighed_as_the_selection_weighs_whatever_its_temperature() -> None:
    batch, scores = make_batch([1]), torch.tensor([[1.0, 0, 0, 2.0, 0.5, 0.3]])
    sharper = replace(make_selection(batch, scores / 0.5), scores=make_selection(batch, scores).scores)
    exponents = [math.exp(value / 0.5) for value in (1.0, 2.0, 0.5, 0.3)]
    state = make_state({0: sharper}, temperature=0.5, gate=torch.ones(1))
    found = compute_losses(KBOutput(torch.zeros(1, SEQ, VOCABULARY), state), batch, make_base(), path_margin=1.0)
    assert float(found.answer) == pytest.approx(-math.log(exponents[0] / sum(exponents) / len(FORMS)), rel=1e-4)


@pytest.mark.parametrize("sure", ["gate open", "gate shut", "yes or no", "a value", "nothing found"])
def test_what_is_surely_so_leaves_a_finite_loss_with_finite_gradients(sure: str) -> None:
    """Where a probability is exactly one or zero in float32."""
    batch = make_batch([0, 1, 1, 0], forms=["value", "value", "yes_no", "yes_no"])
    scores = peaked(batch, *[3] * 4, height=200.0 if sure == "nothing found" else 1.0).requires_grad_()
    form = torch.zeros(4, len(FORMS))
    form[:, FORMS.index("yes_no" if sure == "yes or no" else "value")] = (
        60.0 if sure in ("yes or no", "a value") else 0.0
    )
    form.requires_grad_()
    bias = torch.full((4,), {"gate open": 60.0, "gate shut": -200.0}.get(sure, 0.0), requires_grad=True)
    yes, logits = torch.zeros(4, requires_grad=True), random_logits(4).requires_grad_()
    mode, hops = torch.zeros(4, len(MODES)).log_softmax(-1), torch.zeros(4, MOST_HOPS - 1)
    reading = Reading(torch.zeros(4), form.log_softmax(-1), mode, hops)
    found = losses(batch, scores, logits=logits, reading=reading, gate=bias.sigmoid(), yes=yes)
    total = found.total(ALL_ONE)
    total.backward()
    assert math.isfinite(float(total.detach()))
    for tensor in (scores, form, bias, yes, logits):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()


def test_without_knowledge_there_is_nothing_to_learn() -> None:
    with pytest.raises(DataError, match="read knowledge"):
        compute_losses(
            KBOutput(torch.zeros(2, SEQ, VOCABULARY), None), make_batch([1, 0]), make_base(), path_margin=1.0
        )


def test_form_loss_is_the_cross_entropy_of_what_is_asked_for_and_yes_counts_where_it_is_wanted() -> None:
    batch = make_batch([1, 1, 0, 1], forms=["value", "yes_no", "list", "start"], so=[True, True, False, False])
    batch.modes[:], batch.inverse[2] = torch.tensor([0, 3, 1, 2]), True
    batch.has_vector[3] = False
    reading, yes = random_reading(4), torch.tensor([9.0, 0.5, 9.0, 9.0])
    expected = 0.0
    for row in range(3):  # the last one's vector was dropped: nobody can know
        expected -= float(reading.form[row, batch.forms[row]]) + float(reading.mode[row, batch.modes[row]])
        expected += math.log1p(math.exp(float(reading.inverse[row]) * (-1 if batch.inverse[row] else 1)))
    expected += math.log1p(math.exp(-0.5))
    found = losses(batch, reading=reading, yes=yes)
    assert float(found.form) == pytest.approx(expected / 3, rel=1e-5)


def test_form_accuracy_is_of_form_mode_and_direction_together() -> None:
    batch = make_batch([1] * 4)
    reading = Reading(
        torch.tensor([-1.0, 1.0, -1.0, -1.0]),
        torch.eye(len(FORMS))[[0, 0, 1, 0]].log_softmax(-1),
        torch.eye(len(MODES))[[0, 0, 0, 2]].log_softmax(-1),
        torch.zeros(4, MOST_HOPS - 1),
    )
    assert losses(batch, reading=reading).form_accuracy == 0.25


def test_what_a_no_denies_may_stand_in_no_fact_or_any() -> None:
    batch = make_batch([0, 0], forms=["yes_no", "value"])
    for column in (3, 4, N):
        found = losses(batch, peaked(batch, column, N))
        assert float(found.select) == pytest.approx(0, abs=1e-6)
        assert found.hit_rate == 1.0
    refused = losses(batch, peaked(batch, 3, 3))
    assert float(refused.select) == pytest.approx(40 / 2, rel=1e-3)
    assert refused.hit_rate == 0.5


@pytest.mark.parametrize(
    ("hops", "wanted"),
    [(0, [5, 5, 5, 5]), (1, [0, 0, 0, 0]), (2, [0, 1, 1, 1]), (3, [0, 1, 2, 2])],
)
def test_each_layer_should_select_its_hop_and_the_null_fact_without_any(hops: int, wanted: list[int]) -> None:
    batch = make_batch([hops])
    right = losses(batch, *(peaked(batch, column) for column in wanted))
    assert float(right.select) == pytest.approx(0, abs=1e-6)
    assert right.hit_rate == 1.0
    for depth, column in enumerate(wanted):
        others = [c for c in range(N + 1) if c != column and (c >= 3 or c < hops)]
        for other in others:
            layers = [peaked(batch, other if layer == depth else wanted[layer]) for layer in range(4)]
            wrong = losses(batch, *layers)
            assert float(wrong.select) == pytest.approx(40 / 4, rel=1e-3)
            assert wrong.hit_rate == (0.0 if depth == 3 else 1.0)  # the last layer's alone


def test_select_loss_is_the_mean_cross_entropy_over_layers() -> None:
    batch = make_batch([0, 1, 2, 3])
    layers = [random_scores(batch, seed) for seed in range(3)]
    total = []
    for depth, scores in enumerate(layers):
        alpha = make_selection(batch, scores)
        for row, hops in enumerate(batch.hops.tolist()):
            weights = [*alpha.alpha[row, 0].tolist(), float(alpha.null[row, 0])]
            total.append(-math.log(weights[min(depth, hops - 1) if hops else N]))
    assert float(losses(batch, *layers).select) == pytest.approx(sum(total) / len(total), rel=1e-5)


@pytest.mark.parametrize("column", range(3))
def test_every_layer_may_select_any_alternative_of_a_single_hop(column: int) -> None:
    batch = make_batch([1], alternatives=[3])
    right = losses(batch, *(peaked(batch, (column + depth) % 3) for depth in range(3)))
    assert float(right.select) == pytest.approx(0, abs=1e-6)
    assert right.hit_rate == 1.0
    for other in (3, 4, N):
        wrong = losses(batch, peaked(batch, column), peaked(batch, other))
        assert float(wrong.select) == pytest.approx((40 - math.log(3)) / 2, rel=1e-3)
        assert wrong.hit_rate == 0.0


def test_a_column_after_the_alternatives_is_not_wanted() -> None:
    batch = make_batch([1, 2], alternatives=[2, 1])
    for row, column in ((0, 3), (1, 0)):  # a negative; the first hop's fact in the second layer
        layer = peaked(batch, *(column if place == row else (0, 1)[place] for place in range(2)))
        found = losses(batch, peaked(batch, 1, 0), layer)
        assert found.hit_rate == 0.5
        assert float(found.select) == pytest.approx((40 - math.log((2, 1)[row])) / 4, rel=1e-3)


def test_select_loss_is_of_the_mass_on_all_alternatives_together() -> None:
    batch = make_batch([1, 1, 0, 3, 1], alternatives=[3, 2, 0, 1, 1])
    layers = [random_scores(batch, seed) for seed in range(3)]
    total = []
    for depth, scores in enumerate(layers):
        selection = make_selection(batch, scores)
        for row, gold in enumerate(([0, 1, 2], [0, 1], [N], [depth], [0])):
            weights = [*selection.alpha[row, 0].tolist(), float(selection.null[row, 0])]
            total.append(-math.log(sum(weights[column] for column in gold)))
    assert float(losses(batch, *layers).select) == pytest.approx(sum(total) / len(total), rel=1e-5)


def test_with_one_wanted_column_the_select_loss_and_its_gradient_are_those_of_cross_entropy() -> None:
    batch = make_batch([0, 1, 2, 3])
    scores, same = (random_scores(batch, 4).requires_grad_() for _ in range(2))
    gate = losses(batch, scores).select
    gate.backward()
    wanted = torch.tensor([N, 0, 0, 0])
    expected = torch.nn.functional.cross_entropy(make_selection(batch, same).scores[:, 0], wanted)
    expected.backward()
    torch.testing.assert_close(gate, expected)
    torch.testing.assert_close(scores.grad, same.grad)


def test_the_select_loss_lifts_each_alternative_by_its_share_and_lowers_the_rest() -> None:
    """Gradient of -log of the mass: alpha less the weights among the wanted; a better alternative takes nothing off."""
    batch = make_batch([1], alternatives=[2])
    scores = random_scores(batch, 5).requires_grad_()
    losses(batch, scores).select.backward()
    assert scores.grad is not None
    exact = scores[0].detach().double()
    exact[2] = -math.inf  # there is no third gold fact
    alpha, among = exact.softmax(0), exact[:2].softmax(0)
    expected = alpha - torch.cat([among, torch.zeros(N - 1, dtype=torch.float64)])
    torch.testing.assert_close(scores.grad[0].double(), expected, atol=1e-6, rtol=1e-4)
    assert (expected[:2] < 0).all()


def test_rows_without_any_candidate_have_finite_losses_and_gradients() -> None:
    batch = make_batch([0, 1], alternatives=[0, 3])
    batch.candidates[0] = -1
    scores = random_scores(batch).requires_grad_()
    result = losses(batch, scores, scores)
    total = result.total(ALL_ONE)
    total.backward()
    assert math.isfinite(float(total.detach()))
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()


def test_layers_are_read_in_their_order_whatever_order_they_were_stored_in() -> None:
    batch = make_batch([2])
    first, second = (make_selection(batch, peaked(batch, column)) for column in (0, 1))
    state = make_state({1: second, 0: first})
    output = KBOutput(torch.zeros(1, SEQ, VOCABULARY), state)
    assert float(compute_losses(output, batch, make_base(), path_margin=1.0).select) == pytest.approx(0, abs=1e-6)


def test_margin_loss_is_the_missing_lead_of_the_gold_fact() -> None:
    batch = make_batch([2])
    scores = torch.tensor([[2.0, 1.5, 0.0, -1.0, 0.0, 1.7]])  # hop 0, hop 1, none, negatives, null
    # Layer 0 wants column 0: lead 2 - 1.7 = 0.3.  Layer 1 wants column 1: lead 1.5 - 2 = -0.5.
    assert float(losses(batch, scores, margin=1.0).path) == pytest.approx(0.7)
    assert float(losses(batch, scores, scores, margin=1.0).path) == pytest.approx((0.7 + 1.5) / 2)
    assert float(losses(batch, scores, margin=0.3).path) == pytest.approx(0, abs=1e-6)
    assert float(losses(batch, scores, margin=0.0).path) == 0


def test_margin_loss_is_of_multi_hop_questions_alone() -> None:
    flat = torch.zeros(3, N + 1)
    assert float(losses(make_batch([0, 1, 1]), flat).path) == 0
    assert float(losses(make_batch([0, 1, 2]), flat).path) == pytest.approx(1.0)
    assert float(losses(make_batch([3, 2, 2]), flat).path) == pytest.approx(1.0)


def test_no_mass_is_outside_when_all_facts_hold_then() -> None:
    everything = Window(None, year_window(2010).end, "x")
    for window in (everything, None):
        batch = make_batch([3, 2], [window, window])
        assert float(losses(batch, random_scores(batch)).time) == 0


def test_mass_outside_is_alpha_on_known_windows_that_share_no_day_with_the_questions() -> None:
    batch = make_batch([3, 0, 2], [year_window(2000), year_window(2005), None])
    layers = [random_scores(batch, seed) for seed in (1, 2)]
    outside = {0: [1, 4], 1: [0, 1]}  # facts 2 and 3 hold always, and nobody knows when
    total = []
    for scores in layers:
        alpha = make_selection(batch, scores).alpha
        for row, facts in outside.items():
            columns = [c for c, fact in enumerate(batch.candidates[row].tolist()) if fact in facts]
            total.append(float(alpha[row, 0, columns].sum()))
    assert any(value > 0.1 for value in total)
    assert float(losses(batch, *layers).time) == pytest.approx(sum(total) / len(total), rel=1e-5)


@pytest.mark.parametrize(
    ("window", "touching", "expected"),
    [
        (Window(100, 200), (200, 300), 1.0),
        (Window(100, 200), (199, 300), 0.0),
        (Window(100, 200), (50, 100), 1.0),
        (Window(100, 200), (50, 101), 0.0),
        (Window(100, None), (50, 100), 1.0),
        (Window(100, None), (50, OPEN_END), 0.0),
        (Window(None, 100), (100, 150), 1.0),
        (Window(None, 100), (OPEN_START, 50), 0.0),
        (Window(100, 200), (UNKNOWN_DAY, UNKNOWN_DAY), 0.0),
    ],
)
def test_windows_are_half_open_and_open_ends_are_open(
    window: Window, touching: tuple[int, int], expected: float
) -> None:
    batch = make_batch([1], [window])
    low, high = (torch.tensor([bound] * 5) for bound in touching)
    base: Any = SimpleNamespace(tensors=SimpleNamespace(tau_min=low, tau_max=high))
    state = make_state({0: make_selection(batch, peaked(batch, 0))})
    result = compute_losses(KBOutput(torch.zeros(1, SEQ, VOCABULARY), state), batch, base, path_margin=1.0)
    assert float(result.time) == pytest.approx(expected, abs=1e-6)


def test_every_loss_pulls_towards_what_it_wants() -> None:
    batch = make_batch([2], [year_window(2000)])
    for name, falls in (("select", [0]), ("path", [0]), ("time", [0, 2, 3, 5])):
        scores = torch.zeros(1, N + 1, requires_grad=True)
        getattr(losses(batch, scores), name).backward()
        assert scores.grad is not None
        pulled = {column for column in range(N + 1) if scores.grad[0, column] < -1e-6}
        assert pulled <= set(falls)
        assert pulled


def test_total_is_the_weighted_sum_and_figures_are_plain_numbers() -> None:
    batch = make_batch([2, 0], [year_window(2005), None])
    result = losses(batch, random_scores(batch), random_scores(batch, 1))
    figures = result.figures()
    weighted = {"select": 2.0, "form": 13.0, "words": 11.0, "time": 3.0, "hop": 7.0, "path": 5.0}
    parts = {"answer_loss": 1.0, **{f"{name}_loss": weight for name, weight in weighted.items()}}
    assert figures.keys() == {*parts, "form_accuracy", "hit_rate"}
    assert all(type(value) is float and math.isfinite(value) for value in figures.values())
    expected = sum(weight * figures[name] for name, weight in parts.items())
    weights = LossWeights(**{f"lambda_{name}": weight for name, weight in weighted.items()}, path_margin=1.0)
    assert float(result.total(weights)) == pytest.approx(expected, rel=1e-5)


def hop_loss(hops: list[int], *logits: Tensor, hop: bool = True, dropped: int | None = None) -> Tensor:
    """The loss with a first layer and one for each tensor of gates' logits, (batch,)."""
    batch = make_batch(hops)
    if dropped is not None:
        batch.has_vector[dropped] = False
    layers = [None, *logits]
    selections = {n: make_selection(batch, peaked(batch, *[0] * len(hops)), gate) for n, gate in enumerate(layers)}
    output = KBOutput(torch.zeros(len(hops), SEQ, VOCABULARY), make_state(selections, hop=hop))
    return compute_losses(output, batch, make_base(), path_margin=1.0).hop


def gates(*logits: float) -> Tensor:
    return torch.tensor(logits, dtype=torch.float32)


def test_hop_gates_should_be_open_while_hops_are_due() -> None:
    """One, two and three hops, and none, which leaves the gates free."""
    right = gates(-40, 40, 40, 3), gates(-40, -40, 40, -2)
    assert float(hop_loss([1, 2, 3, 0], *right)) == pytest.approx(0.0, abs=1e-6)
    assert float(hop_loss([1, 2, 3, 0], *[torch.zeros(4)] * 2)) == pytest.approx(math.log(2))
    quarter = gates(math.log(0.25 / 0.75))
    assert float(hop_loss([2], quarter)) == pytest.approx(-math.log(0.25))
    assert float(hop_loss([1], quarter)) == pytest.approx(-math.log(0.75))


def test_a_gate_that_is_wrong_and_sure_is_pulled_back() -> None:
    """At a logit where the gate itself is exactly one in float32."""
    sure = gates(40.0).requires_grad_()
    assert float(sure.detach().sigmoid().min()) == 1.0
    hop_loss([1], sure).backward()
    assert sure.grad is not None
    assert float(sure.grad.sum()) == pytest.approx(1.0)


def test_a_question_whose_vector_was_dropped_teaches_no_gate() -> None:
    wrong = gates(-3.0, 5.0).requires_grad_()
    loss = hop_loss([2, 1], wrong, dropped=1)
    assert float(loss.detach()) == pytest.approx(math.log(1 + math.exp(3)), rel=1e-5)
    loss.backward()
    assert wrong.grad is not None
    assert wrong.grad[0].any()
    assert not wrong.grad[1].any()


def test_without_hops_there_is_no_hop_loss() -> None:
    closed = gates(-20.0)
    assert float(hop_loss([2], closed)) > 10
    assert float(hop_loss([2], closed, hop=False)) == 0
    assert float(hop_loss([2])) == 0
    assert float(hop_loss([0], torch.zeros(1))) == 0
