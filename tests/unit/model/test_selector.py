"""Selection is the design's formula over the whole base, token by token; later layers hop along entities."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kblampp.data.windows import OPEN_END, OPEN_START, UNKNOWN_DAY, Window, day, year_window
from kblampp.model.fusion import normalise
from kblampp.model.inputs import Knowledge, Questions, SelectorOptions, TrainingCandidates
from kblampp.model.query import GATE_SCALE, START_LOGIT
from kblampp.model.scores import DAYS_PER_YEAR, FIT_MIDDLE, FIT_SCALE, NULL_SCALE
from kblampp.model.selector import NO_SCORE, KBSelector, Selection
from tests.kb import TinyWorld, make_world

HIDDEN = 20
WINDOWS = (
    None,
    year_window(2001),
    Window(day("2007-06-01"), day("2008-06-01")),
    Window(None, day("1999-01-01")),
    Window(day("2005-01-01"), None),
)
ROWS = (0, 9, 12, 30, 40)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_world(tmp_path_factory.mktemp("kb"))


@pytest.fixture(autouse=True)
def no_gradients() -> Any:
    with torch.no_grad():
        yield


def untrained(world: TinyWorld, *, hops: bool, **options: Any) -> KBSelector:
    p = world.projections
    widths = {"d_sentence": p.d_sent, "d_k": p.d_k, "d_v": p.d_v, "d_ctx": p.d_ctx, "d_ent": p.d_ent}
    selector = KBSelector(d_hidden=HIDDEN, d_context_score=8, hops=hops, **widths, **options)
    selector.start_from(p, torch.from_numpy(world.vectors))
    return selector


def make_selector(world: TinyWorld, seed: int = 0, *, hops: bool = False, **options: Any) -> KBSelector:
    """A selector with no weight at zero; with `hops` one of a later layer."""
    torch.manual_seed(seed)
    selector = untrained(world, hops=hops, **options)
    torch.nn.init.normal_(selector.query.from_hidden.weight, std=0.02)
    if hops:
        torch.nn.init.normal_(selector.query.hop_gate.out.weight, std=0.5)
    for parameter in (selector.context.out.weight, selector.null_value):
        torch.nn.init.normal_(parameter, std=2.0)
    torch.nn.init.normal_(selector.null.out.weight, std=0.3)
    if selector.graph is not None:
        torch.nn.init.normal_(selector.graph.out.weight)
    return selector.eval()


def aimed(world: TinyWorld, query: Tensor, *, hops: bool = False) -> KBSelector:
    """A selector whose own query is always this one (of a later layer, its relation block), by meaning alone."""
    selector = make_selector(world, hops=hops)
    for parameter in (
        selector.query.from_hidden.weight,
        selector.query.from_question.weight,
        selector.context.out.weight,
        selector.null.out.weight,
        selector.null_value,
    ):
        torch.nn.init.zeros_(parameter)
    torch.nn.init.constant_(selector.null.out.bias, -10.0)
    own = query[world.projections.d_ent :] if hops else query
    selector.query.from_question.bias.copy_(own / selector.query.scale)
    return selector


def hidden_states(rows: int = len(ROWS), length: int = 3) -> Tensor:
    torch.manual_seed(3)
    return normalise(torch.randn(rows, length, HIDDEN) * 4 + 1)


def ask(world: TinyWorld, windows: tuple[Window | None, ...] = WINDOWS, **options: Any) -> Knowledge:
    """Five questions with windows of every kind, weighed among all facts."""
    asked = Questions.make(world.vectors[list(ROWS[: len(windows)])], windows)
    settings = {"top_k": 8, "over_fetch": world.base.store.n, **options}
    return Knowledge(world.base, asked, SelectorOptions(**settings))


def arrays(module: torch.nn.Module) -> dict[str, Any]:
    return {name: parameter.detach().double().numpy() for name, parameter in module.named_parameters()}


def naive_query(
    w: dict[str, Any], h: Any, e: Any, dims: tuple[int, int], before: dict[str, Any] | None, options: SelectorOptions
) -> Any:
    """Q_j for one token; `before` is what `brute_force` has given for the layer before, `dims` are d_k and d_ent."""
    if before is not None and not options.hop:
        return before["query"]
    own = w["query.from_question.weight"] @ e + w["query.from_question.bias"]
    if options.hidden_query:
        own = own + w["query.from_hidden.weight"] @ h
    scale = START_LOGIT * math.sqrt(dims[0])
    if before is None:
        return scale * own
    hop = naive_gate(w, "query.hop_gate", before["rest"])
    onward = scale * np.concatenate([w["query.from_value.weight"] @ before["value"][: dims[1]], own])
    return (1 - hop) * before["query"] + hop * onward


def naive_rest(weight: Any, question: Any, key: Any, d_ent: int) -> Any:
    """The question less what of it points to the head (if the layer asks for one) and relation that were read."""
    whole = len(weight) == len(key)
    blocks = [slice(0, d_ent), slice(d_ent, None)] if whole else [slice(d_ent, None)]
    rows = np.split(weight, [d_ent]) if whole else [weight]
    for block, own in zip(blocks, rows, strict=True):
        matched = key[block] @ own
        matched = matched / np.linalg.norm(matched)
        question = question - np.linalg.norm(key[block]) * (question @ matched) * matched
    return question


def cosine(a: Any, b: Any) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def naive_odds(w: dict[str, Any], *fit: float) -> float:
    """The null fact's log-odds from cosines of head and relation, context, time, and lead of the best candidate."""
    inner = w["null.inner.weight"] @ ((np.array(fit) - FIT_MIDDLE) * FIT_SCALE) + w["null.inner.bias"]
    gelu = 0.5 * inner * (1 + np.array([math.erf(x / math.sqrt(2)) for x in inner]))
    return NULL_SCALE * float(w["null.out.weight"][0] @ gelu + w["null.out.bias"][0])


def naive_gate(w: dict[str, Any], name: str, e: Any) -> float:
    inner = np.tanh(w[f"{name}.inner.weight"] @ e * math.sqrt(len(e)) + w[f"{name}.inner.bias"])
    return float(1 / (1 + np.exp(-GATE_SCALE * (w[f"{name}.out.weight"][0] @ inner + w[f"{name}.out.bias"][0]))))


def naive_time(w: dict[str, Any], question: tuple[int, int], horizon: tuple[int, int], fact: tuple[int, int]) -> float:
    if UNKNOWN_DAY in (question[0], fact[0]):
        return 0.0
    start, end = question
    if start == OPEN_START:
        start = min(end - 1, horizon[0])
    if end == OPEN_END:
        end = max(start + 1, horizon[1])
    shared = min(end, fact[1]) - max(start, fact[0])
    if shared > 0:
        return float(np.log1p(np.exp(w["time.raw_overlap"]))) * shared / (end - start)
    gap = max(fact[0] - end, start - fact[1]) + DAYS_PER_YEAR
    return -float(np.log1p(np.exp(w["time.raw_distance"]))) * gap / (gap + math.exp(w["time.log_scale"]))


def naive_context(w: dict[str, Any], h: Any, e: Any, c: Any) -> float:
    token = (
        w["context.from_hidden.weight"] @ h + w["context.from_question.weight"] @ e + w["context.from_question.bias"]
    )
    inner = w["context.mix.weight"] @ (token * (w["context.from_context.weight"] @ c)) + w["context.mix.bias"]
    gelu = 0.5 * inner * (1 + np.array([math.erf(x / math.sqrt(2)) for x in inner]))
    return float(w["context.out.weight"][0] @ gelu)


def is_apart(question: tuple[int, int], fact: tuple[int, int]) -> bool:
    if UNKNOWN_DAY in (question[0], fact[0]):
        return False
    return fact[1] <= question[0] or question[1] <= fact[0]


def brute_force(
    world: TinyWorld, selector: KBSelector, knowledge: Knowledge, h: Any, row: int, before: dict[str, Any] | None
) -> dict[str, Any]:
    """What docs/architecture.md says for one token, over every fact of the base, in float64."""
    w, options, tensors = arrays(selector), knowledge.options, world.base.tensors
    e = knowledge.questions.vectors[row].double().numpy()
    question = tuple(knowledge.questions.windows[row].tolist())
    d_ent = world.projections.d_ent
    query = naive_query(w, h, e, (world.projections.d_k, d_ent), before, options)
    scored, fits = [], []
    for number in range(world.base.store.n):
        fact = (int(tensors.tau_min[number]), int(tensors.tau_max[number]))
        key = tensors.keys[number].double().numpy()
        meaning = float(query @ key) / math.sqrt(len(query))
        context = naive_context(w, h, e, tensors.ctx[number].double().numpy())
        time = naive_time(w, question, world.base.store.horizon, fact)
        score = meaning + options.gamma * context + options.eta * time
        cosines = cosine(query[:d_ent], key[:d_ent]), cosine(query[d_ent:], key[d_ent:])
        fits.append((score, *cosines, options.gamma * context, options.eta * time))
        scored.append((options.eta > 0 and is_apart(question, fact), -score, number))
    chosen = sorted(scored)[: options.top_k]
    ids = [number for _, _, number in chosen]
    best, second = sorted(fits, reverse=True)[:2]
    null = naive_odds(w, *best[1:], best[0] - second[0]) * options.temperature + best[0]
    null += options.temperature * math.log(sum(math.exp((fit[0] - best[0]) / options.temperature) for fit in fits))
    scores = np.array([-negative for _, negative, _ in chosen] + [null])
    weights = np.exp((scores - scores.max()) / options.temperature)
    weights /= weights.sum()
    key = weights[:-1] @ tensors.keys[ids].double().numpy()
    value = weights[:-1] @ tensors.values[ids].double().numpy() + weights[-1] * w["null_value"]
    rest = naive_rest(w["query.from_question.weight"], e if before is None else before["rest"], key, d_ent)
    return {"query": query, "rest": rest, "ids": ids, "scores": scores, "weights": weights, "value": value}


def check_against_brute_force(world: TinyWorld, knowledge: Knowledge, seed: int) -> None:
    first, second = make_selector(world, seed), make_selector(world, seed + 100, hops=True)
    hidden = [hidden_states(), hidden_states() * 2 - 1]
    found = [first(hidden[0], knowledge, None)]
    found.append(second(hidden[1], knowledge, found[0]))
    for row in range(len(ROWS)):
        for token in range(hidden[0].shape[1]):
            before = None
            for selector, states, selection in zip((first, second), hidden, found, strict=True):
                h = states[row, token].double().numpy()
                expected = before = brute_force(world, selector, knowledge, h, row, before)
                where = (row, token)
                np.testing.assert_allclose(selection.query[where], expected["query"], rtol=1e-4, atol=1e-4)
                if knowledge.options.hop:
                    np.testing.assert_allclose(selection.rest[where], expected["rest"], rtol=1e-3, atol=1e-4)
                assert selection.ids[where].tolist() == expected["ids"]
                np.testing.assert_allclose(selection.scores[where], expected["scores"], rtol=1e-4, atol=1e-4)
                weights = torch.cat([selection.alpha[where], selection.null[where][None]])
                np.testing.assert_allclose(weights, expected["weights"], rtol=2e-3, atol=1e-5)
                np.testing.assert_allclose(selection.value[where], expected["value"], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_k": 1},
        {"top_k": 40},
        {"gamma": 0.0, "temperature": 0.5},
        {"gamma": 0.3, "eta": 2.0, "temperature": 3.0},
        {"eta": 0.0},
        {"hop": False},
        {"hidden_query": False},
    ],
    ids=str,
)
def test_selection_is_the_designs_formula_over_the_whole_base(world: TinyWorld, options: dict[str, Any]) -> None:
    check_against_brute_force(world, ask(world, **options), seed=len(str(options)))


def test_every_fact_is_weighed_when_top_k_is_the_base(world: TinyWorld) -> None:
    selection = make_selector(world)(hidden_states(), ask(world, top_k=world.base.store.n), None)
    everything = torch.arange(world.base.store.n).expand(len(ROWS), 3, -1)
    assert torch.equal(selection.ids.sort(-1).values, everything)
    torch.testing.assert_close(selection.alpha.sum(-1) + selection.null, torch.ones(len(ROWS), 3))


def test_facts_outside_a_known_window_give_way_unless_eta_is_zero(world: TinyWorld) -> None:
    """The query is the key of an office with three holders; only one of them held it in 2001."""
    office = [number for number, fact in enumerate(world.facts) if fact.head.name == "Quarr"][:3]
    assert len({world.base.tensors.keys[number].numpy().tobytes() for number in office}) == 1
    key = world.base.tensors.keys[office[0]] * 60
    asked = (year_window(2001),)

    def chosen(**options: Any) -> list[int]:
        knowledge = ask(world, asked, top_k=3, gamma=0.0, **options)
        return aimed(world, key)(hidden_states(1, 1), knowledge, None).ids[0, 0].tolist()

    assert chosen(eta=0.0) == office
    with_time = chosen(eta=1e-6)  # whatever its weight, the time has the first word
    assert with_time[0] == office[0]
    assert not set(office[1:]) & set(with_time)
    holds = [w.overlaps(asked[0]) or not w.known for w in (world.facts[number].window for number in with_time)]
    assert all(holds)


def test_facts_outside_the_window_fill_what_is_left_best_first(world: TinyWorld) -> None:
    """In 1850 only facts without a known start hold; behind them the order is that of the scores."""
    key = world.base.tensors.keys[0] * 60
    knowledge = ask(world, (year_window(1850),), top_k=world.base.store.n, gamma=0.0)
    selection = aimed(world, key)(hidden_states(1, 1), knowledge, None)
    question = tuple(knowledge.questions.windows[0].tolist())
    tensors = world.base.tensors
    apart = [is_apart(question, (int(tensors.tau_min[n]), int(tensors.tau_max[n]))) for n in selection.ids[0, 0]]
    assert any(apart)
    assert apart == sorted(apart)
    for group in (True, False):
        scores = [s for s, is_in in zip(selection.scores[0, 0, :-1].tolist(), apart, strict=True) if is_in is group]
        assert scores == sorted(scores, reverse=True)


def test_facts_of_equal_score_are_ordered_by_id(world: TinyWorld) -> None:
    """Three holders of each office have one key; without context and time nothing tells them apart."""
    knowledge = ask(world, (None,), top_k=20, gamma=0.0, eta=0.0)
    selection = aimed(world, world.base.tensors.keys[9] * 60)(hidden_states(1, 1), knowledge, None)
    pairs = list(zip((-selection.scores[0, 0, :-1]).tolist(), selection.ids[0, 0].tolist(), strict=True))
    assert pairs == sorted(pairs)
    assert selection.ids[0, 0, :3].tolist() == [9, 10, 11]


class ScantIndex:
    """An approximate index that finds three facts, however many it is asked for."""

    def search(self, queries: Any, k: int) -> tuple[Any, Any]:
        ids = np.full((len(queries), k), -1, dtype=np.int64)
        ids[:, :3] = [9, 10, 11]
        return np.where(ids < 0, -np.inf, 1.0).astype(np.float32), ids


def test_what_an_approximate_search_does_not_find_comes_last_and_weighs_nothing(world: TinyWorld) -> None:
    """Even behind facts outside the window: number 9 alone holds in 2001."""
    knowledge = ask(world, (year_window(2001),), top_k=5, gamma=0.0)
    scant = replace(knowledge, base=replace(world.base, index=ScantIndex()))  # type: ignore[arg-type]
    selection = aimed(world, world.base.tensors.keys[9])(hidden_states(1, 1), scant, None)
    ids = selection.ids[0, 0].tolist()
    assert ids[0] == 9
    assert sorted(ids) == [-1, -1, 9, 10, 11]
    assert ids[3:] == [-1, -1]
    assert selection.alpha[0, 0, 3:].tolist() == [0, 0]
    torch.testing.assert_close(selection.alpha.sum() + selection.null.sum(), torch.tensor(1.0))
    assert torch.isfinite(selection.value).all()


def test_nothing_gives_way_to_an_unknown_question_time(world: TinyWorld) -> None:
    key = world.base.tensors.keys[0] * 60
    selection = aimed(world, key)(hidden_states(1, 1), ask(world, (None,), top_k=3, gamma=0.0), None)
    assert set(selection.ids[0, 0].tolist()) == {0, 1, 2}
    assert not selection.parts.time.any()


def test_a_token_is_selected_for_alone(world: TinyWorld) -> None:
    first, second = make_selector(world, 1), make_selector(world, 2, hops=True)
    hidden, knowledge = hidden_states(length=6), ask(world)
    before = first(hidden, knowledge, None)
    after = second(hidden * 2, knowledge, before)
    for token in range(6):
        one = hidden[:, token : token + 1]
        alone = [first(one, knowledge, None)]
        alone.append(second(one * 2, knowledge, alone[0]))
        for together, single in zip((before, after), alone, strict=True):
            assert torch.equal(together.ids[:, token], single.ids[:, 0])
            for name in ("query", "alpha", "null", "scores", "value"):
                wide, narrow = getattr(together, name), getattr(single, name)
                torch.testing.assert_close(wide[:, token], narrow[:, 0], atol=1e-4, rtol=1e-4)


def test_a_question_is_selected_for_alone(world: TinyWorld) -> None:
    selector, hidden, knowledge = make_selector(world), hidden_states(), ask(world)
    together = selector(hidden, knowledge, None)
    for row in range(len(ROWS)):
        asked = Questions(knowledge.questions.vectors[row : row + 1], knowledge.questions.windows[row : row + 1])
        alone = selector(hidden[row : row + 1], replace(knowledge, questions=asked), None)
        assert torch.equal(together.ids[row], alone.ids[0])
        torch.testing.assert_close(together.scores[row], alone.scores[0], atol=1e-4, rtol=1e-4)


def test_the_first_layer_does_not_hop(world: TinyWorld) -> None:
    first = make_selector(world)(hidden_states(), ask(world), None)
    assert first.hop.shape == (len(ROWS), 3)
    assert not first.hop.any()


def test_a_layer_without_one_before_has_no_weights_for_hops(world: TinyWorld) -> None:
    first, later = (dict(untrained(world, hops=hops).named_parameters()) for hops in (False, True))
    assert {name.split(".")[1] for name in later.keys() - first.keys()} == {"from_value", "hop_gate"}
    assert first.keys() < later.keys()


def test_a_later_layer_asks_for_a_relation_alone(world: TinyWorld) -> None:
    first, later = (untrained(world, hops=hops).query for hops in (False, True))
    assert len(first.from_question.weight) == world.projections.d_k
    assert len(later.from_question.weight) == len(later.from_hidden.weight) == world.projections.d_rel


def test_with_hops_off_every_layer_asks_what_the_first_has_asked(world: TinyWorld) -> None:
    knowledge = ask(world, hop=False)
    first = make_selector(world)(hidden_states(), knowledge, None)
    second = make_selector(world, 1, hops=True)(-hidden_states(), knowledge, first)
    assert not second.hop.any()
    assert torch.equal(second.query, first.query)


def hopping(world: TinyWorld) -> KBSelector:
    """The next layer with its gate forced to a hop, and a query of its own that asks for no entity or relation."""
    return gated(aimed(world, torch.zeros(world.projections.d_k), hops=True), 50.0)


def gated(selector: KBSelector, bias: float) -> KBSelector:
    """The selector with the hop gate of every question at this logit."""
    torch.nn.init.zeros_(selector.query.hop_gate.out.weight)
    torch.nn.init.constant_(selector.query.hop_gate.out.bias, bias)
    return selector


def test_the_identity_chains_to_facts_about_the_tail(world: TinyWorld) -> None:
    """From any fact whose tail is somewhere a head, the next layer's best facts are those of the tail."""
    knowledge = ask(world, (None,), top_k=world.base.store.n, gamma=0.0)
    heads = {fact.head.name for fact in world.facts}
    chained = 0
    for number, fact in enumerate(world.facts):
        if fact.tail.name not in heads or fact.relation.name == "mayor":  # mayors of a town share one key
            continue
        first = aimed(world, world.base.tensors.keys[number] * 300)(hidden_states(1, 1), knowledge, None)
        assert first.ids[0, 0, 0] == number
        assert first.alpha[0, 0, 0] > 0.999
        second = hopping(world)(hidden_states(1, 1), knowledge, first)
        assert second.hop.item() == pytest.approx(1.0)
        about_tail = {n for n, other in enumerate(world.facts) if other.head.name == fact.tail.name}
        best = second.ids[0, 0, : len(about_tail)].tolist()
        assert set(best) == about_tail, fact.tail.name
        gap = second.scores[0, 0, len(about_tail) - 1] - second.scores[0, 0, len(about_tail)]
        assert gap > 0.1
        assert second.scores[0, 0, 0].item() == pytest.approx(START_LOGIT, rel=0.02)
        chained += 1
    assert chained > 30


def test_a_hop_keeps_the_relation_that_is_asked_for(world: TinyWorld) -> None:
    knowledge = ask(world, (None,), top_k=5, gamma=0.0)
    twin = next(n for n, fact in enumerate(world.facts) if fact.relation.name == "twin town")
    town = world.facts[twin].tail.name
    first = aimed(world, world.base.tensors.keys[twin] * 300)(hidden_states(1, 1), knowledge, None)
    for relation in ("mayor", "twin town"):
        wanted = [n for n, f in enumerate(world.facts) if f.head.name == town and f.relation.name == relation]
        selector = hopping(world)
        asked_for = world.base.tensors.keys[wanted[0], world.projections.d_ent :]
        selector.query.from_question.bias.copy_(asked_for)
        best = selector(hidden_states(1, 1), knowledge, first).ids[0, 0, : len(wanted)].tolist()
        assert sorted(best) == wanted


def test_a_layer_that_does_not_hop_keeps_the_query_before(world: TinyWorld) -> None:
    first, second = make_selector(world, 1), gated(make_selector(world, 2, hops=True), -200.0)
    before = first(hidden_states(), ask(world), None)
    assert torch.equal(second(hidden_states(), ask(world), before).query, before.query)


def training(ids: list[list[int]], retrieved: int = 0, probe: int = 1) -> TrainingCandidates:
    return TrainingCandidates(torch.tensor(ids), torch.full((len(ids),), probe), retrieved)


def test_training_weighs_each_given_fact_once_and_the_null_fact(world: TinyWorld) -> None:
    given = [[7, -1, 3, 7, 3, 40], [-1, -1, -1, 5, 5, 5]]
    knowledge = replace(ask(world, WINDOWS[:2]), training=training(given))
    selection = make_selector(world)(hidden_states(2), knowledge, None)
    assert selection.ids[:, 0].tolist() == [[7, -1, 3, -1, -1, 40], [-1, -1, -1, 5, -1, -1]]
    missing = (selection.ids < 0).expand_as(selection.alpha)
    assert not selection.alpha[missing].any()
    assert (selection.alpha[~missing] > 0).all()
    assert (selection.null > 0).all()
    torch.testing.assert_close(selection.alpha.sum(-1) + selection.null, torch.ones(2, 3))
    assert (selection.scores[..., :-1][missing] == -torch.inf).all()


def test_training_scores_are_those_of_searching(world: TinyWorld) -> None:
    """`top_k`, `over_fetch` and facts out of the window play no part in training."""
    selector = make_selector(world)
    everything = [list(range(world.base.store.n))] * len(ROWS)
    trained = selector(hidden_states(), replace(ask(world, top_k=1), training=training(everything)), None)
    searched = selector(hidden_states(), ask(world, top_k=world.base.store.n), None)
    place = searched.ids.argsort(-1)
    torch.testing.assert_close(
        trained.scores[..., :-1], searched.scores[..., :-1].gather(-1, place), atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(trained.null, searched.null, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(trained.value, searched.value, atol=1e-4, rtol=1e-3)


def test_training_adds_what_the_query_finds_at_the_probe(world: TinyWorld) -> None:
    selector = make_selector(world)
    hidden, probe = hidden_states(), 2
    knowledge = replace(ask(world), training=training([[0], [1], [2], [3], [4]], retrieved=5, probe=probe))
    selection = selector(hidden, knowledge, None)
    _, nearest = world.base.index.search(selection.query[:, probe].numpy(), 5)
    for row in range(len(ROWS)):
        assert selection.ids[row, 0, 0] == row
        found = [number for number in selection.ids[row, 0, 1:].tolist() if number >= 0]
        assert found == [number for number in nearest[row].tolist() if number != row]


def test_training_rows_can_be_kept_from_reading_the_hidden_state(world: TinyWorld) -> None:
    selector, hidden = make_selector(world), hidden_states()
    candidates = training([[0, 1]] * len(ROWS), retrieved=2)
    read = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0])

    def queries(candidates: TrainingCandidates, **options: Any) -> Tensor:
        return selector(hidden, replace(ask(world, **options), training=candidates), None).query

    mixed, all_read = queries(replace(candidates, read_hidden=read)), queries(candidates)
    none_read = queries(candidates, hidden_query=False)
    for row, reads in enumerate(read.tolist()):
        assert torch.equal(mixed[row], (all_read if reads else none_read)[row])
        assert not torch.equal(all_read[row], none_read[row])


def test_what_is_left_of_a_question_is_without_the_fact_that_was_read(world: TinyWorld) -> None:
    """After a fact with all the weight hardly anything of the question points to its head and relation."""
    number = next(n for n, fact in enumerate(world.facts) if fact.relation.name == "twin town")
    d_ent, key = world.projections.d_ent, world.base.tensors.keys[number]
    selector = aimed(world, key * 300)
    selector.query.from_question.weight.copy_(untrained(world, hops=False).query.from_question.weight)
    selector.query.from_question.bias.copy_(key * 300 / selector.query.scale * 100)
    first = selector(hidden_states(), ask(world), None)
    assert (first.ids[..., 0] == number).all()
    assert (first.alpha[..., 0] > 0.99).all()
    rest, weight = first.rest, selector.query.from_question.weight
    question = ask(world).questions.vectors
    relation = key[d_ent:] @ weight[d_ent:]
    assert (question @ relation).abs().min() > 1e-3
    assert ((rest @ relation).abs() < 0.15 * (question @ relation).abs()[:, None]).all()
    head = key[:d_ent] @ weight[:d_ent]
    clear = (question @ head).abs() > 0.1 * question.norm(dim=-1) * head.norm()
    assert clear.sum() >= 2
    assert ((rest @ head).abs() < 0.5 * (question @ head).abs()[:, None])[clear].all()


def test_the_last_layer_works_out_no_rest(world: TinyWorld) -> None:
    first = make_selector(world, last=True)(hidden_states(), ask(world), None)
    assert torch.equal(first.rest[:, 0], ask(world).questions.vectors)


def test_the_gates_send_no_gradient_to_what_was_read(world: TinyWorld) -> None:
    first, second = make_selector(world, 1), make_selector(world, 2, hops=True)
    with torch.enable_grad():
        second(hidden_states(), ask(world), first(hidden_states(), ask(world), None)).hop.sum().backward()
    assert second.query.hop_gate.inner.weight.grad is not None
    others = {**dict(first.named_parameters()), **dict(second.named_parameters(prefix="second"))}
    assert not [name for name, p in others.items() if p.grad is not None and "hop_gate" not in name]


def test_nothing_is_left_out_of_a_question_for_a_fact_that_was_not_read(world: TinyWorld) -> None:
    first = make_selector(world, 1)
    torch.nn.init.constant_(first.null.out.bias, 50.0)
    before = first(hidden_states(), ask(world), None)
    assert (before.null > 0.999).all()
    question = ask(world).questions.vectors[:, None].expand_as(before.rest)
    torch.testing.assert_close(before.rest, question, atol=1e-3, rtol=0)


def test_the_gates_read_the_question_and_what_was_read_and_no_hidden_state(world: TinyWorld) -> None:
    first, second, knowledge = make_selector(world, 1), make_selector(world, 2, hops=True), ask(world)
    before = first(hidden_states(), knowledge, None)
    hops = [second(states, knowledge, before).hop for states in (hidden_states(), -hidden_states())]
    assert torch.equal(*hops)
    other = replace(before, rest=first.query.unanswered(before.rest, world.base.tensors.keys[0].expand(5, 3, -1)))
    changed = second(hidden_states(), knowledge, other).hop
    assert not torch.isclose(changed, hops[0]).any()
    assert ((hops[0] > 0) & (hops[0] < 1)).all()


def test_noise_reaches_the_gates_in_training_and_nothing_else(world: TinyWorld) -> None:
    first, second = make_selector(world, 1), make_selector(world, 2, hops=True)
    candidates = training([[0, 1]] * len(ROWS))
    noise = torch.randn(len(ROWS), world.projections.d_sent, generator=torch.Generator().manual_seed(0))
    found = []
    for added in (None, torch.zeros_like(noise), noise):
        knowledge = replace(ask(world), training=replace(candidates, gate_noise=added))
        before = first(hidden_states(), knowledge, None)
        found.append((before, second(hidden_states(), knowledge, before)))
    (quiet, plain), (_, zero), (noisy, other) = found
    assert torch.equal(plain.hop, zero.hop)
    assert not torch.isclose(plain.hop, other.hop).any()
    assert torch.equal(quiet.scores, noisy.scores)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("options", [{}, {"gamma": 0.0, "eta": 0.0}, {"gamma": 0.5, "eta": 2.0}], ids=str)
def test_the_null_weight_is_the_logistic_of_its_odds_at_any_temperature(
    world: TinyWorld, options: dict[str, Any], temperature: float
) -> None:
    """The odds do not depend on the temperature: only how the facts share the rest does."""
    selector = make_selector(world)
    everything = {"top_k": world.base.store.n, **options}
    found = selector(hidden_states(), ask(world, **everything, temperature=temperature), None)
    plain = selector(hidden_states(), ask(world, **everything), None)
    odds = plain.scores[..., -1] - plain.scores[..., :-1].logsumexp(-1)
    assert odds.std() > 0.1
    torch.testing.assert_close(found.null, odds.sigmoid(), atol=1e-4, rtol=1e-3)


def test_the_null_fact_looks_at_the_best_candidate_however_few_are_kept(world: TinyWorld) -> None:
    """A fact outside the window is looked at too, although it gives way to those inside."""
    selector = make_selector(world)
    few, many = (selector(hidden_states(), ask(world, top_k=top_k), None) for top_k in (1, 20))
    assert torch.equal(few.scores[..., -1], many.scores[..., -1])


def test_a_second_candidate_that_is_missing_is_far_behind(world: TinyWorld) -> None:
    """One candidate, alone or beside empty places, or fetched alone: the lead is over `NO_SCORE`."""
    selector = make_selector(world)
    alone = [
        selector(hidden_states(1), replace(ask(world, (None,)), training=training([given])), None)
        for given in ([7], [7, -1, -1], [-1, 7, 7])
    ]
    for found in alone[1:]:
        torch.testing.assert_close(found.scores[..., -1], alone[0].scores[..., -1], atol=1e-4, rtol=1e-4)
    one = selector(hidden_states(), ask(world, top_k=1, over_fetch=1), None)
    w, key = arrays(selector), world.base.tensors.keys[one.ids[0, 0, 0]].double().numpy()
    query, d_ent = one.query[0, 0].double().numpy(), world.projections.d_ent
    best, context, time = (float(part[0, 0, 0]) for part in (one.scores, one.parts.context, one.parts.time))
    cosines = cosine(query[:d_ent], key[:d_ent]), cosine(query[d_ent:], key[d_ent:])
    expected = best + naive_odds(w, *cosines, context, time, best - NO_SCORE)
    assert one.scores[0, 0, -1].item() == pytest.approx(expected, rel=1e-4)


def test_without_candidates_the_null_score_and_its_gradient_are_finite(world: TinyWorld) -> None:
    selector = make_selector(world)
    knowledge = replace(ask(world, WINDOWS[:2]), training=training([[-1, -1], [-1, 3]]))
    with torch.enable_grad():
        selection = selector(hidden_states(2), knowledge, None)
        (selection.null.sum() + selection.alpha[1].sum() * 2 + selection.scores[..., -1].sum()).backward()
    assert torch.isfinite(selection.scores[..., -1]).all()
    for name, parameter in selector.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
    assert selector.null.out.weight.grad is not None
    assert selector.null.out.weight.grad.abs().min() > 0


def test_without_any_candidate_the_null_fact_takes_all(world: TinyWorld) -> None:
    selector = make_selector(world)
    knowledge = replace(ask(world, (None,)), training=training([[-1, -1]]))
    selection = selector(hidden_states(1), knowledge, None)
    assert (selection.null == 1).all()
    torch.testing.assert_close(selection.value, selector.null_value.expand(1, 3, -1))


def test_the_null_fact_can_be_switched_off(world: TinyWorld) -> None:
    selector = make_selector(world)
    torch.nn.init.constant_(selector.null.out.bias, 100.0)
    assert (selector(hidden_states(), ask(world), None).null > 0.9).all()
    without = selector(hidden_states(), ask(world, null_fact=False), None)
    assert not without.null.any()
    torch.testing.assert_close(without.alpha.sum(-1), torch.ones(len(ROWS), 3))


def test_no_question_means_no_term_not_another_question(world: TinyWorld) -> None:
    selector, knowledge = make_selector(world), ask(world)
    zero = replace(
        knowledge, questions=Questions(torch.zeros_like(knowledge.questions.vectors), knowledge.questions.windows)
    )
    dropped = replace(knowledge, options=replace(knowledge.options, question_vector=False))
    for name in ("query", "scores", "value"):
        found = [getattr(selector(hidden_states(), one, None), name) for one in (zero, dropped)]
        assert torch.equal(*found)
        assert not torch.equal(found[0], getattr(selector(hidden_states(), knowledge, None), name))


def test_an_untrained_query_finds_the_fact_that_is_asked_for(world: TinyWorld) -> None:
    selector = untrained(world, hops=False)
    rows = world.rows_of("single-hop")
    knowledge = world.ask(rows, top_k=8, over_fetch=64)
    selection: Selection = selector(torch.zeros(len(rows), 1, HIDDEN), knowledge, None)
    gold = torch.tensor([world.questions[row].supporting_facts[0] for row in rows])
    hits = (selection.ids[:, 0] == gold[:, None]).any(-1)
    assert hits.float().mean() >= 0.5  # 8 of 72 facts by chance; the hashed n-grams of the tests are a poor encoder
    assert not selection.parts.context.any()
    assert 3 < selection.parts.meaning.amax() < 3 * START_LOGIT


def test_repeated_rows_repeat_the_selection(world: TinyWorld) -> None:
    knowledge = ask(world)
    twice = knowledge.expand(2 * len(ROWS))
    assert torch.equal(twice.questions.vectors[::2], knowledge.questions.vectors)
    assert torch.equal(twice.questions.vectors[1::2], knowledge.questions.vectors)
    assert knowledge.expand(len(ROWS)) is knowledge


EGO = {"ego_graph": True, "ego_radius": 2, "ego_degree": 2}


def withheld_from(world: TinyWorld, best: Tensor, number: int) -> list[int]:
    """The best facts of a token that can be deleted without moving the horizon, to which question times are clipped."""
    days = [day for fact in world.facts for day in (fact.window.start, fact.window.end) if day is not None]
    edges = {min(days), max(days)}
    return [n for n in best.tolist() if not edges & {world.facts[n].window.start, world.facts[n].window.end}][:number]


@pytest.mark.parametrize(
    ("top_k", "over_fetch", "number"), [(8, 72, 4), (8, 10, 6), (6, 1, 6), (1, 1, 1), (20, 20, 55)], ids=str
)
@pytest.mark.parametrize("ego", [{}, EGO], ids=["", "ego graph"])
def test_withheld_facts_are_as_if_deleted(
    world: TinyWorld, tmp_path: Path, top_k: int, over_fetch: int, number: int, ego: dict[str, Any]
) -> None:
    """Each row has facts of its own withheld; in the last case fewer than `top_k` are left."""
    first, second, hidden = make_selector(world, 1, **ego), make_selector(world, 2, hops=True, **ego), hidden_states()
    knowledge = ask(world, top_k=top_k, over_fetch=over_fetch)
    everything = first(hidden, ask(world, top_k=world.base.store.n), None).ids[:, -1]
    chosen = [withheld_from(world, best, number - row % 2) for row, best in enumerate(everything)]
    padded = torch.tensor([[*facts, *[-1] * (number - len(facts))] for facts in chosen])
    without = replace(knowledge, withheld=padded)
    before = first(hidden, without, None)
    found = [before, second(hidden, without, before)]
    for row, facts in enumerate(chosen):
        base, kept = world.without(facts, tmp_path / str(row))
        assert base.store.horizon == world.base.store.horizon
        numbers = torch.tensor([*kept, -1])  # number -1 is none in both bases
        asked = Questions(knowledge.questions.vectors[row : row + 1], knowledge.questions.windows[row : row + 1])
        deleted, one = Knowledge(base, asked, knowledge.options), hidden[row : row + 1]
        expected = [first(one, deleted, None)]
        expected.append(second(one, deleted, expected[0]))
        for got, want in zip(found, expected, strict=True):
            left = min(top_k, len(kept))
            assert torch.equal(got.ids[row, :, :left], numbers[want.ids[0, :, :left]])
            assert (got.ids[row, :, left:] == -1).all()
            torch.testing.assert_close(got.alpha[row, :, :left], want.alpha[0, :, :left], atol=1e-4, rtol=1e-3)
            for name in ("query", "null", "value"):
                torch.testing.assert_close(getattr(got, name)[row], getattr(want, name)[0], atol=1e-3, rtol=1e-3)


def test_beams_have_the_facts_of_their_question_withheld(world: TinyWorld) -> None:
    withheld = torch.tensor([[row, row + 10, -1] for row in ROWS])
    knowledge = replace(ask(world, over_fetch=8), withheld=withheld)
    twice = knowledge.expand(2 * len(ROWS))
    assert twice.withheld is not None
    assert torch.equal(twice.withheld, withheld.repeat_interleave(2, 0))
    selector, hidden = make_selector(world), hidden_states()
    once = selector(hidden, knowledge, None)
    assert torch.equal(selector(hidden.repeat_interleave(2, 0), twice, None).ids, once.ids.repeat_interleave(2, 0))
    assert ask(world).expand(2 * len(ROWS)).withheld is None


def test_the_ego_graph_changes_the_value_alone_and_can_be_switched_off(world: TinyWorld) -> None:
    selector, knowledge = make_selector(world, **EGO), ask(world)
    with_graph = selector(hidden_states(), knowledge, None)
    without = selector(hidden_states(), ask(world, ego_graph=False), None)
    for name in ("query", "ids", "alpha", "null", "scores"):
        assert torch.equal(getattr(with_graph, name), getattr(without, name))
    assert selector.graph is not None
    asked = knowledge.questions
    added = selector.graph(world.base.graph, asked.vectors, asked.windows, without.ids, without.alpha)
    assert added.abs().max() > 0.1
    torch.testing.assert_close(with_graph.value, without.value + added)


def test_without_the_ego_graph_there_are_no_weights_for_it(world: TinyWorld) -> None:
    plain, ego = (dict(untrained(world, hops=True, **each).named_parameters()) for each in ({}, EGO))
    assert plain.keys() < ego.keys()
    assert {name.split(".")[0] for name in ego.keys() - plain.keys()} == {"graph"}
