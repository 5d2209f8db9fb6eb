"""Selection is the design's formula over the whole base, both ways; later layers hop along entities."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kblampp.data.facts import FORMS, MODES, MOST_HOPS, FiveTuple
from kblampp.data.windows import OPEN_END, OPEN_START, UNKNOWN_DAY, Window, day, year_window
from kblampp.model.answer_kinds import NO_NAME, NULL_WEIGHT
from kblampp.model.candidates import Candidates
from kblampp.model.fusion import normalise
from kblampp.model.inputs import Knowledge, Questions, SelectorOptions, TrainingCandidates
from kblampp.model.mentions import NameTable
from kblampp.model.onward import FEATURES, MOST
from kblampp.model.query import FEATURE_MIDDLE, GATE_NOISE, GATE_SCALE, HOP_CUTS, RELATION_START, START_LOGIT
from kblampp.model.question_reader import LOGIT_SCALE, Reading
from kblampp.model.scores import DAYS_PER_YEAR, FIT, FIT_MIDDLE, FIT_SCALE, NULL_SCALE
from kblampp.model.selector import LEAST, NEVER, NO_SCORE, SURELY_NOT, KBSelector, Selection
from kblampp.model.text_hashes import FILLERS, IDLE, asked_words, question_grams, trigram_buckets
from kblampp.time_expressions.parse import without_time
from tests.kb import TinyWorld, make_world
from tests.short_forms import asks_for_both, nothing_left, only_in_longer, other_number, short_form, spells

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
    widths = {name: getattr(p, name) for name in ("d_k", "d_v", "d_ctx", "d_ent", "d_rel")}
    selector = KBSelector(d_hidden=HIDDEN, d_sentence=p.d_question, d_context_score=8, hops=hops, **widths, **options)
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
    if selector.yes is not None:
        torch.nn.init.normal_(selector.yes.out.weight, std=0.3)
    if selector.form is not None:
        torch.nn.init.normal_(selector.form.from_fact.weight, std=0.3)
    if selector.graph is not None:
        torch.nn.init.normal_(selector.graph.out.weight)
    if hops:
        torch.nn.init.normal_(selector.query.onward.weight, std=0.4)
        torch.nn.init.normal_(selector.query.onward.bias, std=0.1)
    return selector.eval()


def aimed(world: TinyWorld, query: Tensor, *, hops: bool = False) -> KBSelector:
    """A selector whose own query is always this one (of a later layer, its relation block), by meaning alone."""
    selector = make_selector(world, hops=hops)
    own, d_ent = selector.query, world.projections.d_ent
    held = () if hops else (own.names.weight, own.names.bias)
    for parameter in (
        own.from_hidden.weight,
        own.from_question.weight,
        selector.context.out.weight,
        selector.null.out.weight,
        selector.null_value,
        *held,
        *selector.name.parameters(),
    ):
        torch.nn.init.zeros_(parameter)
    torch.nn.init.constant_(selector.null.out.bias, -10.0)
    own.from_question.bias.copy_(query[own.blocks[1]] / own.scale)
    if not hops:
        own.names.bias.copy_(query[:d_ent] / own.scale)
    return selector


def no_hops(rows: int = len(ROWS)) -> Tensor:
    """Logits of the further hops of questions of which these say nothing."""
    return torch.zeros(rows, MOST_HOPS - 1)


def reading_of(rows: int = len(ROWS), *, inverse: float = -60.0, form: str = "value", mode: str = "any") -> Reading:
    """Questions that surely want this; as far as float32 goes, no fact is read from its tail."""
    logits = [torch.full((rows, len(names)), -200.0) for names in (FORMS, MODES)]
    logits[0][:, FORMS.index(form)] = logits[1][:, MODES.index(mode)] = 0.0
    return Reading(torch.full((rows,), inverse), *(one.log_softmax(-1) for one in logits), no_hops(rows))


def doubtful(seed: int = 0) -> Reading:
    """A reading that is sure of nothing but of some of the hops, another for each question."""
    generator = torch.Generator().manual_seed(seed)
    form, mode = (torch.randn(len(ROWS), len(names), generator=generator) for names in (FORMS, MODES))
    inverse = torch.randn(len(ROWS), generator=generator)
    hops = 4 * torch.randn(len(ROWS), MOST_HOPS - 1, generator=generator)
    return Reading(inverse, form.log_softmax(-1), mode.log_softmax(-1), hops)


def select(
    selector: KBSelector,
    hidden: Tensor,
    knowledge: Knowledge,
    previous: Selection | None,
    reading: Reading | None = None,
    depth: int | None = None,
) -> Selection:
    """What a selector selects; without a reading for plain questions for a tail, in the first layer or the second."""
    reading = reading_of(len(hidden)) if reading is None else reading
    found: Selection = selector(
        hidden, knowledge, previous, reading, (previous is not None) if depth is None else depth
    )
    return found


def hidden_states(rows: int = len(ROWS)) -> Tensor:
    """Where the answers start."""
    torch.manual_seed(3)
    return normalise(torch.randn(rows, 1, HIDDEN) * 4 + 1)


def ask(world: TinyWorld, windows: tuple[Window | None, ...] = WINDOWS, **options: Any) -> Knowledge:
    """Five questions with windows of every kind, weighed among all facts."""
    rows = ROWS[: len(windows)]
    asked = Questions.make(world.vectors[list(rows)], windows, [world.questions[row].question for row in rows])
    settings = {"top_k": 8, "over_fetch": 2 * world.base.store.n, "as_of": day("2005-06-01"), **options}
    return Knowledge(world.base, asked, SelectorOptions(**settings))


def arrays(module: torch.nn.Module) -> dict[str, Any]:
    return {name: parameter.detach().double().numpy() for name, parameter in module.named_parameters()}


def naive_query(
    world: TinyWorld,
    w: dict[str, Any],
    knowledge: Knowledge,
    reading: Reading,
    h: Any,
    row: int,
    depth: int,
    before: dict[str, Any] | None,
) -> tuple[Any, Any, float]:
    """Q of a question, what is left of it, and the hop gate's logit; `before` is `brute_force` of the layer before."""
    p, options, training = world.projections, knowledge.options, knowledge.training
    if before is not None and not options.hop:
        return before["query"], before["rest"], -math.inf
    e, noise = knowledge.questions.vectors[row].double().numpy(), np.zeros(p.d_question)
    if training is not None and training.question_noise is not None:
        noise = training.question_noise[row].double().numpy()
    own = w["query.from_question.weight"] @ (e + noise) + w["query.from_question.bias"]
    silent = training is not None and training.read_hidden is not None and not training.read_hidden[row]
    if options.hidden_query and not silent:
        own = own + w["query.from_hidden.weight"] @ h
    scale = START_LOGIT * math.sqrt(p.d_k)
    if before is None:
        names = w["query.names.weight"] @ e + w["query.names.bias"]
        return scale * np.concatenate([names, own]), e, -math.inf
    maps = w["query.names.weight"], w["query.from_question.weight"]
    rest = naive_rest(*maps, before["rest"], before["key"], p.d_ent)
    logit = float(reading.hops[row, depth - 1]) + naive_gate(w, "query.hop_gate", rest + GATE_NOISE * noise)
    ahead, next_fact = naive_ahead(world, knowledge, own, row, before)
    looked_at = w["query.onward.weight"][0] @ (np.array(ahead) - FEATURE_MIDDLE) + w["query.onward.bias"][0]
    logit += GATE_SCALE * float(looked_at)
    if training is None:
        number, inverse = heaviest_of(before)
        due = logit > HOP_CUTS[depth - 1]
        if options.names:
            found = sum(before["weights"][:-1]) > 0.5
            due |= depth == 1 and found and says_onward(world, row, number, next_fact, inverse=inverse)
            due &= not says_all(world, row, number, inverse=inverse)
        logit = math.inf if due and ahead[FEATURES.index("leads_on")] else -math.inf
    name = w["query.from_value.weight"] @ before["value"][: p.d_ent]
    onward = scale * np.concatenate([name, own])
    return (1 - share(logit)) * before["query"] + share(logit) * onward, rest, logit


def naive_ahead(
    world: TinyWorld, knowledge: Knowledge, wanted: Any, row: int, before: dict[str, Any]
) -> tuple[list[float], int]:
    """What is looked at of the fact that was read and of those about where it leads (`onward.FEATURES`), and the
    likeliest of these."""
    text, d_ent = world.questions[ROWS[row]].question, world.projections.d_ent
    number, inverse = heaviest_of(before)
    if number < 0:
        return [0.0] * len(FEATURES), -1

    def fits(fact: int) -> tuple[float, float]:
        key = world.base.tensors.keys[fact, d_ent:].double().numpy()
        return cosine(key, wanted), covered(world.facts[fact].relation.name, text)

    ahead = [(*fits(fact), fact) for fact in about_end(world, number, inverse=inverse) if fact != number]
    *best, likely = max(ahead, default=(0.0, 0.0, -1))
    return [*best, *fits(number), float(len(ahead) > 0)], likely


def heaviest_of(before: dict[str, Any]) -> tuple[int, bool]:
    """The fact that was read, and whether from its tail."""
    heaviest = int(np.argmax(before["weights"][: len(before["ids"])]))
    return before["ids"][heaviest], before["inverse"][heaviest]


def says_all(world: TinyWorld, row: int, number: int, *, inverse: bool) -> bool:
    """Whether a question asks for no more than the fact that was read says."""
    fact = world.facts[number]
    name, untimed = (fact.tail if inverse else fact.head).name, without_time(world.questions[ROWS[row]].question)
    return nothing_left(name, fact.relation.name, untimed, FILLERS)


def says_onward(world: TinyWorld, row: int, number: int, ahead: int, *, inverse: bool) -> bool:
    """Whether a question spells the relation of the fact ahead beside that of the fact that was read, but not its
    answer."""
    if min(number, ahead) < 0:
        return False
    fact, question = world.facts[number], world.questions[ROWS[row]].question
    by, to = (fact.tail, fact.head) if inverse else (fact.head, fact.tail)
    untimed, after = without_time(question), world.facts[ahead]
    spelled = asks_for_both(by.name, [fact.relation.name, to.name], after.relation.name, untimed, IDLE)
    return spelled and covered(after.tail.name, question) < 1


def about_end(world: TinyWorld, number: int, *, inverse: bool) -> list[int]:
    """The facts about the entity that a fact leads to."""
    fact = world.facts[number]
    entity = (fact.head if inverse else fact.tail).name
    return [n for n, other in enumerate(world.facts) if other.head.name == entity][:MOST]


def leading_on(world: TinyWorld, before: Selection, *, names: bool = True) -> Tensor:
    """Whether there are facts about the entity that the heaviest fact of each question leads to, and something is asked
    that it does not say, (batch,); without names nothing tells the latter."""
    rows = zip(before.ids[:, 0].tolist(), before.inverse[:, 0].tolist(), before.alpha[:, 0].tolist(), strict=True)
    heaviest = [max(zip(alpha, ids, ways, strict=True)) for ids, ways, alpha in rows]
    return torch.tensor(
        [
            len(about_end(world, number, inverse=way)) > 0 and not (names and says_all(world, row, number, inverse=way))
            for row, (_, number, way) in enumerate(heaviest)
        ]
    )


def share(logit: float) -> float:
    """The logistic function, of infinities too."""
    return (1 + math.tanh(logit / 2)) / 2


def naive_rest(names: Any, relations: Any, question: Any, key: Any, d_ent: int) -> Any:
    """The question less what of it points to the head and to the relation that were read."""
    for part, rows in ((key[:d_ent], names), (key[d_ent:], relations)):
        matched = part @ rows
        matched = matched / np.linalg.norm(matched)
        question = question - np.linalg.norm(part) * (question @ matched) * matched
    return question


def cosine(a: Any, b: Any) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def naive_odds(w: dict[str, Any], *fit: float) -> float:
    """The null fact's log-odds from what is looked at of the best candidate (`scores.FIT`)."""
    inner = w["null.inner.weight"] @ ((np.array(fit) - FIT_MIDDLE) * FIT_SCALE) + w["null.inner.bias"]
    gelu = 0.5 * inner * (1 + np.array([math.erf(x / math.sqrt(2)) for x in inner]))
    return NULL_SCALE * float(w["null.out.weight"][0] @ gelu + w["null.out.bias"][0])


def naive_gate(w: dict[str, Any], name: str, e: Any) -> float:
    """A gate's logit."""
    inner = np.tanh(w[f"{name}.inner.weight"] @ e * math.sqrt(len(e)) + w[f"{name}.inner.bias"])
    return GATE_SCALE * float(w[f"{name}.out.weight"][0] @ inner + w[f"{name}.out.bias"][0])


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
        return float(np.log1p(np.exp(w["time.raw_overlap"]))) * (1 + shared / (end - start)) / 2
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


def covered(name: str, question: str) -> float:
    """How much of a name a question contains."""
    grams = trigram_buckets(name)
    return sum(gram in trigram_buckets(question) for gram in grams) / len(grams)


def mentioned(world: TinyWorld, name: str, question: str) -> float:
    """How much of the name of an entity a question contains, as it stands or by one word of it."""
    names = {entity.name for fact in world.facts for entity in (fact.head, fact.tail)}
    untimed = without_time(question)
    if other_number(name, question, untimed):
        return 0.0
    return max(covered(name, question), short_form(name, names, untimed))


def is_timed(fact: FiveTuple) -> bool:
    """What holds always has no place in time."""
    return fact.window.start is not None or fact.window.end is not None


def told_apart(one: FiveTuple, other: FiveTuple) -> bool:
    """Whether a time tells them apart: not if both have none, nor if they share more than a year."""
    if not is_timed(one) or not is_timed(other):
        return is_timed(one) != is_timed(other)
    starts, ends = [one.window.start, other.window.start], [one.window.end, other.window.end]
    return min(end or 10**7 for end in ends) - max(start or -(10**7) for start in starts) <= 366


def row_in_time(world: TinyWorld, number: int) -> list[int]:
    """The facts that have a time, with a fact's head and relation, in time."""

    def place(other: int) -> tuple[int, int, int]:
        return int(world.base.tensors.tau_min[other]), int(world.base.tensors.tau_max[other]), other

    fact = world.facts[number]
    same = [n for n, one in enumerate(world.facts) if (one.head, one.relation) == (fact.head, fact.relation)]
    return sorted((n for n in same if is_timed(world.facts[n])), key=place)


def naive_order(
    world: TinyWorld,
    w: dict[str, Any],
    modes: dict[str, float],
    value: float,
    asked: tuple[int, int],
    as_of: int,
    number: int,
) -> float:
    """What a fact's place in its row counts, read from its head."""
    row = row_in_time(world, number)
    if number not in row:
        return 0.0
    lows, highs = world.base.tensors.tau_min.tolist(), world.base.tensors.tau_max.tolist()
    counts = 0.5 * modes["first"] * (1 if number == row[0] else -1)
    counts += 0.5 * modes["last"] * (1 if number == row[-1] else -1)
    if asked[0] == OPEN_START and asked[1] != OPEN_END:
        begun = [n for n in row if lows[n] < asked[1]]
        counts += 0.5 * value * (1 if begun and number == begun[-1] and highs[number] > asked[0] else -1)
    elif asked[1] == OPEN_END and asked[0] != OPEN_START:
        to_begin = [n for n in row if lows[n] >= asked[0]] or [n for n in row[-1:] if highs[n] > asked[0]]
        counts += 0.5 * value * (1 if to_begin and number == to_begin[0] else -1)
    gone = modes["any"] * value * (asked[0] == UNKNOWN_DAY and highs[number] <= as_of and number != row[-1])
    return float(np.log1p(np.exp(w["time.raw_order"])) * counts - np.log1p(np.exp(w["time.raw_past"])) * gone)


def naive_name(
    world: TinyWorld,
    w: dict[str, Any],
    forms: dict[str, float],
    modes: dict[str, float],
    text: str,
    number: int,
    inverse: bool,
) -> tuple[float, float, float, int | None]:
    """g_name of a fact read one way without the way itself, how much of its two names the question contains, and the
    neighbour that stands for the first of them where the question names that one better."""
    fact = world.facts[number]
    own, other = (mentioned(world, end.name, text) for end in (fact.head, fact.tail))
    beside, neighbours = {"before": 0.0, "after": 0.0}, dict[str, int]()
    row = row_in_time(world, number)
    if inverse:
        own, other = other, own
    found_by, to = (fact.tail.name, fact.head.name) if inverse else (fact.head.name, fact.tail.name)
    names = {end.name for one in world.facts for end in (one.head, one.tail) if covered(end.name, text) == 1}
    if found_by in names and only_in_longer(found_by, names, text) and not spells(to, found_by):
        own = 0.0
    if not inverse and number in row:
        place = row.index(number)
        if place:
            neighbours["after"] = row[place - 1]
        if place + 1 < len(row):
            neighbours["before"] = row[place + 1]
        beside |= {mode: mentioned(world, world.facts[at].tail.name, text) for mode, at in neighbours.items()}
    weight = sum(forms[name] * w["name.other_by_form"][at] for at, name in enumerate(FORMS))
    weight += sum(modes[name] * w["name.other_by_mode"][at] for at, name in enumerate(MODES))
    near = sum(modes[mode] * beside[mode] for mode in beside)
    either = modes["before"] + modes["after"]
    anchor = near / either if either > 0.5 else 0.0
    first = sorted(neighbours, key=lambda mode: (modes[mode], mode == "before"), reverse=True)
    by = neighbours[first[0]] if anchor > own else None
    own = max(own, anchor)
    return float(w["name.own"] * own + weight * other + w["name.neighbour"] * near), own, other, by


def brute_force(
    world: TinyWorld,
    selector: KBSelector,
    knowledge: Knowledge,
    reading: Reading,
    h: Any,
    row: int,
    depth: int,
    before: dict[str, Any] | None,
) -> dict[str, Any]:
    """What docs/architecture.md says for one question, over every fact of the base read both ways, in float64."""
    w, options, tensors, p = arrays(selector), knowledge.options, world.base.tensors, world.projections
    e, text = knowledge.questions.vectors[row].double().numpy(), world.questions[ROWS[row]].question
    question, n = tuple(knowledge.questions.windows[row].tolist()), world.base.store.n
    forms = {name: math.exp(reading.form[row, at]) for at, name in enumerate(FORMS)}
    modes = {name: math.exp(reading.mode[row, at]) for at, name in enumerate(MODES)}
    query, rest, logit = naive_query(world, w, knowledge, reading, h, row, depth, before)
    stayed = (1 - share(logit)) * (1.0 if before is None else before["stayed"])  # no layer up to here has hopped
    left = [] if before is None else [*before["left"], (before["heaviest"], share(logit))]
    scored, fits, today = [], [], (options.as_of, options.as_of + 1)
    reached: dict[int, float] = {}
    for number, inverse in [(number, way) for way in (False, True) for number in range(n)]:
        fact = (int(tensors.tau_min[number]), int(tensors.tau_max[number]))
        key = tensors.keys[number + n * inverse].double().numpy()
        meaning = float(query @ key) / math.sqrt(len(query))
        context = naive_context(w, h, e, tensors.ctx[number].double().numpy())
        time = naive_time(w, question, world.base.store.horizon, fact)
        time += modes["now"] * naive_time(w, today, world.base.store.horizon, fact)
        ordered = 0.0
        if not inverse and options.time_order:
            ordered = naive_order(world, w, modes, forms["value"], question, options.as_of, number)
        named, own, other, by = naive_name(world, w, forms, modes, text, number, inverse)
        likely = 1 / (1 + math.exp(-float(reading.inverse[row]) * (1 if inverse else -1)))
        if inverse:
            likely *= 1 - (modes["before"] + modes["after"]) * forms["value"]
        name = stayed * (named * options.names + math.log(max(likely, LEAST)))
        name += (1 - stayed) * inverse * math.log(NEVER)
        name += math.log(max(1 - max((by for fact, by in left if fact == number), default=0.0), NEVER))
        label = covered(world.facts[number].relation.name, text)
        timeless = meaning + name + float(w["name.label"]) * label
        score = timeless + options.gamma * context + options.eta * (time + ordered)
        head, asked = cosine(query[: p.d_ent], key[: p.d_ent]), cosine(query[p.d_ent :], key[p.d_ent :])
        if by is not None and options.names:
            head = cosine(query[: p.d_ent], tensors.keys[by + n][: p.d_ent].double().numpy())
        own = stayed * (own if options.names else 1.0) + (1 - stayed)
        parts = score, head, asked, own, other, label, options.gamma * context, options.eta * time, timeless
        one = world.facts[number]
        entity = one.tail.name if inverse else one.head.name
        fits.append((parts, (inverse, entity, one.relation.name)))
        reached[number] = max(score, reached.get(number, score))
        scored.append((options.eta > 0 and is_apart(question, fact), -score, number + n * inverse))
    chosen = sorted(scored)[: options.top_k]
    rows = [place for _, _, place in chosen]
    best, its_row = max(fits)
    beside = max(fit[0] for fit, its in fits if its != its_row)
    passed = max(fit[-1] for fit, _ in fits) - best[-1]
    relations = {fact.relation.name for fact in world.facts if fact.head.name == its_row[1]}
    choice = math.log(max(len(relations), 1))
    odds = naive_odds(w, *best[1:-1], best[0] - beside, passed, forms["yes_no"], choice, float(its_row[0]))
    null = odds * options.temperature + best[0]
    null += options.temperature * math.log(sum(math.exp((fit[0] - best[0]) / options.temperature) for fit, _ in fits))
    scores = np.array([-negative for _, negative, _ in chosen] + [null])
    weights = np.exp((scores - scores.max()) / options.temperature)
    weights /= weights.sum()
    key = weights[:-1] @ tensors.keys[rows].double().numpy()
    values = tensors.values[[place % n for place in rows]].double().numpy()
    for at, place in enumerate(rows):
        if place >= n:  # read from its tail, it leads to its head
            values[at, : p.d_ent] = tensors.keys[place - n, : p.d_ent].double().numpy()
    value = weights[:-1] @ values + weights[-1] * w["null_value"]
    found = {"query": query, "rest": rest, "scores": scores, "weights": weights, "key": key, "value": value}
    heaviest = rows[int(weights[:-1].argmax())] % n
    found |= {"hop_logit": logit, "stayed": stayed, "reached": reached, "left": left, "heaviest": heaviest}
    return {**found, "ids": [place % n for place in rows], "inverse": [place >= n for place in rows]}


def check_against_brute_force(world: TinyWorld, knowledge: Knowledge, seed: int, reading: Reading) -> None:
    selectors = [make_selector(world, seed + 100 * depth, hops=depth > 0) for depth in range(MOST_HOPS)]
    hidden = [hidden_states(), hidden_states() * 2 - 1, 1 - hidden_states()]
    found: list[Selection] = []
    for depth, selector in enumerate(selectors):
        found.append(select(selector, hidden[depth], knowledge, found[-1] if found else None, reading, depth))
    for row in range(len(ROWS)):
        before, where = None, (row, 0)
        for depth, (selector, states, selection) in enumerate(zip(selectors, hidden, found, strict=True)):
            h = states[row, 0].double().numpy()
            expected = before = brute_force(world, selector, knowledge, reading, h, row, depth, before)
            assert selection.hop_logit[where].item() == expected["hop_logit"]
            assert selection.hopped[where].item() == 1 - expected["stayed"]
            np.testing.assert_allclose(selection.query[where], expected["query"], rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(selection.rest[where], expected["rest"], rtol=1e-4, atol=1e-5)
            assert selection.ids[where].tolist() == expected["ids"]
            assert selection.inverse[where].tolist() == expected["inverse"]
            best = expected["reached"][selection.best[where].item()]  # equal scores are told apart by rounding
            assert best == pytest.approx(max(expected["reached"].values()), abs=1e-3)
            np.testing.assert_allclose(selection.scores[where], expected["scores"], rtol=1e-4, atol=2e-4)
            weights = torch.cat([selection.alpha[where], selection.null[where][None]])
            np.testing.assert_allclose(weights, expected["weights"], rtol=2e-3, atol=1e-5)
            np.testing.assert_allclose(selection.value[where], expected["value"], rtol=1e-3, atol=2e-4)


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
        {"names": False},
        {"time_order": False},
    ],
    ids=str,
)
def test_selection_is_the_designs_formula_over_the_whole_base(world: TinyWorld, options: dict[str, Any]) -> None:
    seed = len(str(options))
    check_against_brute_force(world, ask(world, **options), seed, doubtful(seed))


@pytest.mark.parametrize("mode", ["first", "last", "any"])
def test_without_places_in_time_it_selects_as_if_they_had_never_counted(world: TinyWorld, mode: str) -> None:
    selector, hidden, reading = make_selector(world, 3), hidden_states(), reading_of(mode=mode)
    with_places = select(selector, hidden, ask(world), None, reading)
    without = select(selector, hidden, ask(world, time_order=False), None, reading)
    with torch.no_grad():
        selector.time.raw_order.fill_(-200.0)
        selector.time.raw_past.fill_(-200.0)
    never = select(selector, hidden, ask(world), None, reading)
    assert torch.equal(without.ids, never.ids)
    assert torch.equal(without.scores, never.scores)
    assert not torch.equal(without.scores, with_places.scores)


@pytest.mark.parametrize("asked", [{"mode": mode} for mode in MODES] + [{"form": "yes_no"}, {"inverse": 60.0}], ids=str)
def test_a_sure_reading_is_part_of_the_formula(world: TinyWorld, asked: dict[str, Any]) -> None:
    check_against_brute_force(world, ask(world), 7, reading_of(**asked))


@pytest.mark.parametrize("options", [{}, {"names": False}], ids=str)
def test_the_formula_holds_whichever_layers_hop(world: TinyWorld, options: dict[str, Any]) -> None:
    """In particular for a layer that does not hop after one that did."""
    hops = torch.tensor([[60.0, 60.0], [60.0, -60.0], [-60.0, 60.0], [-60.0, -60.0], [60.0, -60.0]])
    check_against_brute_force(world, ask(world, **options), 11, doubtful(11)._replace(hops=hops))


def test_every_fact_is_weighed_when_top_k_is_the_base(world: TinyWorld) -> None:
    """Both ways of each: what the other way than asked for weighs is next to nothing."""
    n = world.base.store.n
    selection = make_selector(world)(hidden_states(), ask(world, top_k=2 * n), None, doubtful())
    rows = (selection.ids + n * selection.inverse).sort(-1).values
    assert torch.equal(rows, torch.arange(2 * n).expand(len(ROWS), 1, -1))
    torch.testing.assert_close(selection.alpha.sum(-1) + selection.null, torch.ones(len(ROWS), 1))


@pytest.mark.parametrize("inverse", [False, True])
def test_facts_are_read_from_the_end_that_the_question_names(world: TinyWorld, inverse: bool) -> None:
    """The other way is `LEAST` probable, not impossible: names may know better than a sure reading."""
    reading = reading_of(inverse=60.0 if inverse else -60.0)
    knowledge, selector = ask(world, top_k=2 * world.base.store.n, names=False), make_selector(world)
    torch.nn.init.zeros_(selector.name.label)
    found = selector(hidden_states(), knowledge, None, reading)
    expected = torch.where(found.inverse == inverse, 0.0, math.log(LEAST))
    torch.testing.assert_close(found.parts.name, expected)


def test_a_fact_that_is_read_from_its_tail_leads_to_its_head(world: TinyWorld) -> None:
    n = world.base.store.n
    number = next(number for number in range(40, n) if world.base.order.same(number, inverse=True) == [number])
    selector = aimed(world, world.base.tensors.keys[number + n] * 300)
    found = select(selector, hidden_states(1), ask(world, (None,), gamma=0.0), None, reading_of(1, inverse=60.0))
    assert (found.ids[0, 0, 0], bool(found.inverse[0, 0, 0])) == (number, True)
    head = world.base.tensors.keys[number, : world.projections.d_ent]
    torch.testing.assert_close(found.value[0, 0, : len(head)], head, atol=0.02, rtol=0.02)


def test_facts_outside_a_known_window_give_way_unless_eta_is_zero(world: TinyWorld) -> None:
    """The query is the key of an office with three holders; only one of them held it in 2001."""
    office = [number for number, fact in enumerate(world.facts) if fact.head.name == "Quarr"][:3]
    assert len({world.base.tensors.keys[number].numpy().tobytes() for number in office}) == 1
    key = world.base.tensors.keys[office[0]] * 60
    asked = (year_window(2001),)

    def chosen(**options: Any) -> list[int]:
        knowledge = ask(world, asked, top_k=3, gamma=0.0, **options)
        return select(aimed(world, key), hidden_states(1), knowledge, None).ids[0, 0].tolist()

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
    selection = select(aimed(world, key), hidden_states(1), knowledge, None)
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
    selection = select(aimed(world, world.base.tensors.keys[9] * 60), hidden_states(1), knowledge, None)
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
    selection = select(aimed(world, world.base.tensors.keys[9]), hidden_states(1), scant, None)
    ids = selection.ids[0, 0].tolist()
    assert ids[0] == 9
    assert sorted(ids) == [-1, -1, 9, 10, 11]
    assert ids[3:] == [-1, -1]
    assert selection.alpha[0, 0, 3:].tolist() == [0, 0]
    torch.testing.assert_close(selection.alpha.sum() + selection.null.sum(), torch.tensor(1.0))
    assert torch.isfinite(selection.value).all()


@pytest.mark.parametrize(("as_of", "gone"), [("2005-06-01", {0}), ("2100-01-01", {0, 1}), ("1900-01-01", set())])
def test_nothing_gives_way_to_an_unknown_question_time(world: TinyWorld, as_of: str, gone: set[int]) -> None:
    """Who holds no longer on the day of asking loses to who came after; the last of the row loses to nobody."""
    key = world.base.tensors.keys[0] * 60
    knowledge = ask(world, (None,), top_k=3, gamma=0.0, as_of=day(as_of))
    selection = select(aimed(world, key), hidden_states(1), knowledge, None)
    counts = dict(zip(selection.ids[0, 0].tolist(), selection.parts.time[0, 0].tolist(), strict=True))
    loss = math.log1p(math.exp(2.0))
    assert counts == pytest.approx({number: -loss if number in gone else 0.0 for number in range(3)})


def test_a_question_is_selected_for_alone(world: TinyWorld) -> None:
    selector, hidden, knowledge = make_selector(world), hidden_states(), ask(world)
    together = select(selector, hidden, knowledge, None)
    for row in range(len(ROWS)):
        asked = knowledge.questions.part([row])
        alone = select(selector, hidden[row : row + 1], replace(knowledge, questions=asked), None)
        assert torch.equal(together.ids[row], alone.ids[0])
        torch.testing.assert_close(together.scores[row], alone.scores[0], atol=1e-4, rtol=1e-4)


def test_the_first_layer_does_not_hop(world: TinyWorld) -> None:
    first = select(make_selector(world), hidden_states(), ask(world), None)
    assert first.hop.shape == (len(ROWS), 1)
    assert not first.hop.any()


def test_a_layer_without_one_before_has_no_weights_for_hops(world: TinyWorld) -> None:
    first, later = (dict(untrained(world, hops=hops).named_parameters()) for hops in (False, True))
    assert {name.split(".")[1] for name in later.keys() - first.keys()} == {"from_value", "hop_gate", "onward"}
    assert not first.keys() - later.keys()


def test_whether_it_is_so_and_what_a_fact_is_asked_for_are_read_in_the_last_layer_alone(world: TinyWorld) -> None:
    plain, last = (dict(untrained(world, hops=True, last=each).named_parameters()) for each in (False, True))
    assert {name.split(".")[0] for name in last.keys() - plain.keys()} == {"yes", "form"}
    selector = make_selector(world, last=True)
    found = select(selector, hidden_states(), ask(world), None)
    assert len(found.yes.unique()) == len(ROWS)
    assert not select(make_selector(world), hidden_states(), ask(world), None).yes.any()
    wanted = select(selector, hidden_states(), ask(world), None, reading_of(form="yes_no")).yes
    assert not (torch.isclose(wanted, found.yes) & (wanted != SURELY_NOT)).any()


def naive_taken(world: TinyWorld, asked: tuple[int, int], number: int, withheld: Collection[int]) -> float:
    """How much of the time asked for the fact before or after one in its row takes, whichever takes more."""
    row = [n for n in row_in_time(world, number) if n == number or n not in withheld]
    if number not in row or UNKNOWN_DAY in asked:
        return 0.0
    first, last = world.base.store.horizon
    low = min(first, asked[1] - 1) if asked[0] == OPEN_START else asked[0]
    high = max(last, low + 1) if asked[1] == OPEN_END else asked[1]
    place, taken = row.index(number), [0.0]
    for other in row[max(0, place - 1) : place + 2]:
        if other != number:
            start, end = int(world.base.tensors.tau_min[other]), int(world.base.tensors.tau_max[other])
            taken.append((min(end, high) - max(start, low)) / (high - low))
    return max(taken)


@pytest.mark.parametrize("withhold", [False, True])
def test_each_fact_says_what_is_asked_of_it(world: TinyWorld, withhold: bool) -> None:
    """Against the base itself: the other name in the question, one of several, of a known time, and who shares it."""
    selector, reading = make_selector(world, last=True), doubtful()
    knowledge, hidden = ask(world, top_k=2 * world.base.store.n), [set[int]() for _ in ROWS]
    if withhold:  # one of the three mayors of every other town, not the same for every question
        hidden = [{3 * town + (town + at) % 3 for town in range(at % 2, 8, 2)} for at in range(len(ROWS))]
        padded = [[*sorted(numbers), -1] for numbers in hidden]
        knowledge = replace(knowledge, withheld=torch.tensor(padded))
    found = select(selector, hidden_states(), knowledge, None, reading)
    assert selector.form is not None
    assert found.forms.shape == (len(ROWS), 2 * world.base.store.n, len(FORMS))
    weight = selector.form.from_fact.weight.double().numpy()
    kinds, shares_taken = set(), set()
    for row, column in np.ndindex(found.forms.shape[:2]):
        number, way = int(found.ids[row, 0, column]), bool(found.inverse[row, 0, column])
        if number < 0:
            continue
        assert number not in hidden[row]
        fact = world.facts[number]
        if way:
            several = sum((one.tail, one.relation) == (fact.tail, fact.relation) for one in world.facts) > 1
        else:
            pairs = [one for one in world.facts if (one.head, one.relation) == (fact.head, fact.relation)]
            several = any(one is not fact and not told_apart(fact, one) for one in pairs)
        other = mentioned(world, (fact.head if way else fact.tail).name, world.questions[ROWS[row]].question)
        start, end = knowledge.questions.windows[row].tolist()
        shared = 0.0 if way else naive_taken(world, (start, end), number, hidden[row])
        number = (fact.head if way else fact.tail).name[:1].isdigit()
        features = np.array([other, several, is_timed(fact) and not way, shared, number], dtype=np.float64)
        kinds.add((several, bool(features[2])))
        shares_taken.add(round(shared, 3))
        logits = reading.form[row].double().numpy() + LOGIT_SCALE * weight @ features
        shares = np.exp(logits - logits.max())
        np.testing.assert_allclose(found.forms[row, column].exp(), shares / shares.sum(), rtol=1e-3, atol=1e-6)
    assert len(kinds) > 1
    assert len(shares_taken) > 3
    earlier = select(make_selector(world), hidden_states(), ask(world), None, reading)
    assert torch.equal(earlier.forms, reading.form[:, None])


@pytest.mark.parametrize("hops", [False, True])
def test_maps_start_as_the_projections_each_of_its_part_of_the_question_and_that_of_names_is_held(
    world: TinyWorld, hops: bool
) -> None:
    """On training questions a name is one long, a relation two; a map looks at its part of a question alone."""
    p, query = world.projections, untrained(world, hops=hops).query
    held = {name for name, parameter in query.named_parameters() if not parameter.requires_grad}
    assert held == {"names.weight", "names.bias"}
    halves = slice(None, p.d_sent), slice(p.d_sent, None)
    assert RELATION_START == 2.0
    for own, linear, length, (read, unread) in (
        (query.names, p.entity, 1.0, halves),
        (query.from_question, p.relation, 2.0, halves[::-1]),
    ):
        norm = np.linalg.norm(world.vectors[:, read] @ linear.weight.T + linear.bias, axis=-1).mean() / length
        np.testing.assert_allclose(own.weight[:, read], linear.weight / norm, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(own.bias, linear.bias / norm, rtol=1e-4, atol=1e-6)
        assert not own.weight[:, unread].any()
        norms = torch.nn.functional.linear(torch.from_numpy(world.vectors), own.weight, own.bias).norm(dim=-1)
        assert norms.mean().item() == pytest.approx(length, rel=1e-4)


def test_an_untrained_query_is_that_of_the_projections(world: TinyWorld) -> None:
    """Block by block but for its length, for questions whose two vectors say different things."""
    p, rng = world.projections, np.random.default_rng(0)
    vectors = rng.standard_normal((len(ROWS), p.d_question)).astype(np.float32)
    knowledge = ask(world)
    asked = replace(knowledge, questions=replace(knowledge.questions, vectors=torch.from_numpy(vectors)))
    query = select(untrained(world, hops=False), hidden_states(), asked, None).query[:, 0]
    expected = torch.from_numpy(p.queries(vectors.astype(np.float64))).float()
    for block in (slice(None, p.d_ent), slice(p.d_ent, None)):
        found, wanted = (torch.nn.functional.normalize(one[:, block], dim=-1) for one in (query, expected))
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_the_context_score_starts_from_the_question_as_the_encoder_of_sentences_has_it(world: TinyWorld) -> None:
    p, scorer = world.projections, untrained(world, hops=False).context
    vectors = torch.randn(4, p.d_question, generator=torch.Generator().manual_seed(2))
    other = torch.cat([vectors[:, : p.d_sent], torch.zeros(4, p.d_sent)], dim=1)
    context = torch.from_numpy(p.context(vectors[:, : p.d_sent].double().numpy())[:, : p.d_ctx]).float()
    torch.testing.assert_close(
        scorer.from_question(vectors), context @ scorer.from_context.weight.T, atol=1e-4, rtol=1e-3
    )
    torch.testing.assert_close(scorer.from_question(vectors), scorer.from_question(other))


def test_every_layer_learns_to_ask_for_a_relation_alone(world: TinyWorld) -> None:
    first, later = (untrained(world, hops=hops).query for hops in (False, True))
    assert len(first.from_question.weight) == world.projections.d_rel
    assert len(later.from_question.weight) == len(later.from_hidden.weight) == world.projections.d_rel


def test_with_hops_off_every_layer_asks_what_the_first_has_asked(world: TinyWorld) -> None:
    knowledge = ask(world, hop=False)
    first = select(make_selector(world), hidden_states(), knowledge, None)
    second = select(make_selector(world, 1, hops=True), -hidden_states(), knowledge, first)
    assert not second.hop.any()
    assert torch.equal(second.query, first.query)


def hopping(world: TinyWorld) -> KBSelector:
    """The next layer with its gate forced to a hop, and a query of its own that asks for no entity or relation."""
    return gated(aimed(world, torch.zeros(world.projections.d_k), hops=True), 50.0)


def gated(selector: KBSelector, bias: float) -> KBSelector:
    """The selector with the hop gate of every question at this logit."""
    torch.nn.init.zeros_(selector.query.hop_gate.out.weight)
    torch.nn.init.constant_(selector.query.hop_gate.out.bias, bias)
    for parameter in selector.query.onward.parameters():
        torch.nn.init.zeros_(parameter)
    return selector


def test_the_identity_chains_to_facts_about_the_tail(world: TinyWorld) -> None:
    """From any fact whose tail is somewhere a head, the next layer's best facts are those of the tail."""
    knowledge = ask(world, (None,), top_k=world.base.store.n, gamma=0.0, eta=0.0)
    heads = {fact.head.name for fact in world.facts}
    chained = 0
    for number, fact in enumerate(world.facts):
        if fact.tail.name not in heads or fact.relation.name == "mayor":  # mayors of a town share one key
            continue
        first = select(aimed(world, world.base.tensors.keys[number] * 300), hidden_states(1), knowledge, None)
        assert first.ids[0, 0, 0] == number
        # "Twin town" leads round: what a town is found by as head is what it is found by as the tail of another fact.
        assert first.alpha[0, 0, 0] > 1 / (1 + LEAST) - 1e-3
        second = select(hopping(world), hidden_states(1), knowledge, first)
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
    knowledge, d_ent = ask(world, (None,), top_k=5, gamma=0.0), world.projections.d_ent
    twin = next(n for n, fact in enumerate(world.facts) if fact.relation.name == "twin town")
    town = world.facts[twin].tail.name
    first = select(aimed(world, world.base.tensors.keys[twin] * 300), hidden_states(1), knowledge, None)
    for relation in ("mayor", "twin town"):
        wanted = [n for n, f in enumerate(world.facts) if f.head.name == town and f.relation.name == relation]
        selector = hopping(world)
        selector.query.from_question.bias.copy_(world.base.tensors.keys[wanted[0], d_ent:])
        best = select(selector, hidden_states(1), knowledge, first).ids[0, 0, : len(wanted)].tolist()
        assert sorted(best) == wanted


def test_a_layer_that_does_not_hop_keeps_the_query_before(world: TinyWorld) -> None:
    first, second = make_selector(world, 1), gated(make_selector(world, 2, hops=True), -200.0)
    before = select(first, hidden_states(), ask(world), None)
    assert torch.equal(select(second, hidden_states(), ask(world), before).query, before.query)


def names_alone(found: Selection, world: TinyWorld) -> Tensor:
    """What names and the way count, without the relation's label, (batch, n); `name.label` is one."""
    labels = [
        [covered(world.facts[fact].relation.name, world.questions[ROWS[row]].question) for fact in facts]
        for row, facts in enumerate(found.ids[:, 0].tolist())
    ]
    return found.parts.name[:, 0] - torch.tensor(labels)


def test_a_layer_after_a_hop_that_does_not_hop_itself_stays_silent_about_names(world: TinyWorld) -> None:
    """The question mentions the head of the first fact, not that of the one it has hopped to."""
    knowledge, reading = ask(world, top_k=2 * world.base.store.n), doubtful(5)
    first = make_selector(world, 1)
    layers = [gated(make_selector(world, 2 + depth, hops=True), 0.0) for depth in range(MOST_HOPS - 1)]

    def last(*logits: float) -> Selection:
        found = select(first, hidden_states(), knowledge, None, reading, 0)
        hops = torch.tensor([logits]).expand(len(ROWS), -1)
        for depth, layer in enumerate(layers, start=1):
            found = select(layer, hidden_states(), knowledge, found, reading._replace(hops=hops), depth)
        return found

    after_a_hop, without = last(50.0, -50.0), last(-50.0, -50.0)
    leads = leading_on(world, select(first, hidden_states(), knowledge, None, reading, 0))
    assert leads.sum() >= 3
    assert not after_a_hop.hop.any()
    assert torch.equal(after_a_hop.hopped[:, 0] == 1, leads)
    silent = torch.where(after_a_hop.inverse[:, 0], math.log(NEVER), 0.0)
    begin = select(first, hidden_states(), knowledge, None, reading, 0)
    start = begin.ids[:, 0].gather(-1, begin.alpha[:, 0].argmax(-1, keepdim=True))
    silent = silent + math.log(NEVER) * (after_a_hop.ids[:, 0] == start)  # nor is the first fact read again
    torch.testing.assert_close(names_alone(after_a_hop, world)[leads], silent[leads], atol=1e-5, rtol=1e-5)
    assert not without.hopped.any()
    outspoken = names_alone(without, world)
    assert (outspoken.amax(-1) - outspoken.amin(-1) > 1).all()


def test_in_training_no_layer_forgets_how_surely_one_before_has_hopped(world: TinyWorld) -> None:
    """Cumulative: the odds are against all of the hops, and grow from layer to layer."""
    knowledge, reading = replace(ask(world), training=training([[0, 1]] * len(ROWS), retrieved=4)), doubtful(4)
    before, stayed, courses = None, torch.ones(len(ROWS), 1), []
    for depth in range(MOST_HOPS):
        selector = make_selector(world, depth, hops=depth > 0)
        before = select(selector, hidden_states(), knowledge, before, reading, depth)
        stayed = stayed * (1 - before.hop)
        torch.testing.assert_close(before.hopped, 1 - stayed, atol=1e-6, rtol=1e-5)
        courses.append(before.hopped)
    assert not courses[0].any()
    assert (courses[2] >= courses[1]).all()
    assert (courses[2] > courses[1] + 0.01).any()


@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize("hopped", [False, True])
def test_a_relations_label_counts_as_far_as_the_question_spells_it_whether_or_not_it_hops(
    world: TinyWorld, hopped: bool, names: bool
) -> None:
    """Both ways of every fact: which relation is asked for is said of the second hop too."""
    knowledge = ask(world, top_k=2 * world.base.store.n, names=names)
    selectors = [make_selector(world, 1), gated(make_selector(world, 2, hops=True), 50.0 if hopped else -200.0)]
    before: Selection | None = None
    for selector in selectors:
        counts: list[Tensor] = []
        for weight in (2.5, 0.0):
            selector.name.label.fill_(weight)
            found = select(selector, hidden_states(), knowledge, before)
            place = (found.ids + world.base.store.n * found.inverse).argsort(-1)
            counts.append(found.parts.name.gather(-1, place)[:, 0])
        for row, number in enumerate(ROWS):
            text = world.questions[number].question
            labels = torch.tensor([covered(fact.relation.name, text) for fact in world.facts] * 2)
            torch.testing.assert_close(counts[0][row] - counts[1][row], 2.5 * labels, atol=1e-4, rtol=1e-4)
        if before is not None:
            leads = leading_on(world, before, names=names)
            assert leads.any()
            assert torch.equal(found.hop[:, 0] == 1, leads & hopped)
        before = found
    spelt = [covered("mayor", world.questions[number].question) for number in ROWS]
    assert 1.0 in spelt
    assert min(spelt) < 0.5


def test_the_weight_of_labels_is_learned_from_what_is_weighed_and_by_the_null_fact(world: TinyWorld) -> None:
    selector = make_selector(world)
    mayor, twin = (next(n for n, f in enumerate(world.facts) if f.relation.name == r) for r in ("mayor", "twin town"))
    knowledge = replace(ask(world), training=training([[mayor, twin]] * len(ROWS)))
    with torch.enable_grad():
        select(selector, hidden_states(), knowledge, None).alpha[..., 0].sum().backward()
    assert selector.name.label.grad is not None
    assert selector.name.label.grad.abs() > 0


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("relation", ["mayor", "employer"])
def test_a_hop_is_taken_or_not_by_what_is_due_except_in_training(
    world: TinyWorld, relation: str, trained: bool
) -> None:
    """The logits are those of the layer's own hop, of the last one there is for a layer further on.

    A mayor has facts of her own, a mill has none: no question hops to nothing, however surely a hop is due.
    """
    logits = torch.tensor([[-0.99, 0.01], [-1.01, -0.1], [0.5, 0.9], [-3.0, 50.0], [50.0, -0.01]])
    taken = torch.tensor([[True, True], [False, False], [True, True], [False, True], [True, False]])
    read = next(number for number, fact in enumerate(world.facts) if fact.relation.name == relation)
    if relation == "employer":
        taken = torch.zeros_like(taken)
    assert HOP_CUTS == (-1.0, 0.0)
    reading = reading_of()._replace(hops=logits)
    knowledge = ask(world)
    if trained:
        knowledge = replace(knowledge, training=training([[0, 1]] * len(ROWS)))
    first, later = make_selector(world, 1), gated(make_selector(world, 2, hops=True), 0.0)
    before = select(first, hidden_states(), knowledge, None, reading, 0)
    before = replace(before, ids=torch.full_like(before.ids, read), inverse=torch.zeros_like(before.inverse))
    for depth in (1, 2, 3):
        place = min(depth, MOST_HOPS - 1) - 1
        found = select(later, hidden_states(), knowledge, before, reading, depth)
        if trained:
            assert torch.equal(found.hop_logit[:, 0], logits[:, place])
        else:
            assert torch.equal(found.hop_logit[:, 0], torch.where(taken[:, place], torch.inf, -torch.inf))
            assert torch.equal(found.hop[:, 0] == 1, taken[:, place])
            assert torch.equal((found.query == before.query).all(-1)[:, 0], ~taken[:, place])


@pytest.mark.parametrize("noisy", [False, True])
def test_in_training_a_hop_is_as_much_of_one_as_its_gate_says(world: TinyWorld, noisy: bool) -> None:
    """The design's formula of the query, with the noise that each of its maps and gates reads."""
    reading, hidden = doubtful(4), hidden_states()
    noise = torch.randn(len(ROWS), world.projections.d_question, generator=torch.Generator().manual_seed(1)) / 10
    candidates = replace(training([[0, 1]] * len(ROWS), retrieved=4), question_noise=noise if noisy else None)
    if noisy:
        candidates = replace(candidates, read_hidden=torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0]))
    knowledge = replace(ask(world), training=candidates)
    before: Selection | None = None
    hops: list[float] = []
    for depth in range(MOST_HOPS):
        selector = make_selector(world, depth, hops=depth > 0)
        found = select(selector, hidden, knowledge, before, reading, depth)
        for row in range(len(ROWS)):
            names = ("query", "rest", "key", "value")
            read: dict[str, Any] | None = None
            if before is not None:
                read = {name: getattr(before, name)[row, 0].double().numpy() for name in names}
                read |= {name: getattr(before, name)[row, 0].tolist() for name in ("ids", "inverse")}
                read["weights"] = before.alpha[row, 0].tolist()
            h = hidden[row, 0].double().numpy()
            query, rest, logit = naive_query(world, arrays(selector), knowledge, reading, h, row, depth, read)
            np.testing.assert_allclose(found.query[row, 0], query, rtol=1e-4, atol=1e-3)
            np.testing.assert_allclose(found.rest[row, 0], rest, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(found.hop_logit[row, 0], logit, rtol=1e-4, atol=1e-4)
        before = found
        hops.extend(found.hop[:, 0].tolist() if depth else [])
    assert sum(0.01 < hop < 0.99 for hop in hops) >= 3


def training(ids: list[list[int]], retrieved: int = 0, inverse: list[list[bool]] | None = None) -> TrainingCandidates:
    given = torch.tensor(ids)
    return TrainingCandidates(
        given, torch.zeros_like(given) > 0 if inverse is None else torch.tensor(inverse), retrieved
    )


def test_training_weighs_each_given_fact_once_and_the_null_fact(world: TinyWorld) -> None:
    given = [[7, -1, 3, 7, 3, 40], [-1, -1, -1, 5, 5, 5]]
    knowledge = replace(ask(world, WINDOWS[:2]), training=training(given))
    selection = select(make_selector(world), hidden_states(2), knowledge, None)
    assert selection.ids[:, 0].tolist() == [[7, -1, 3, -1, -1, 40], [-1, -1, -1, 5, -1, -1]]
    missing = (selection.ids < 0).expand_as(selection.alpha)
    assert not selection.alpha[missing].any()
    assert (selection.alpha[~missing] > 0).all()
    assert (selection.null > 0).all()
    torch.testing.assert_close(selection.alpha.sum(-1) + selection.null, torch.ones(2, 1))
    assert (selection.scores[..., :-1][missing] == -torch.inf).all()


def test_training_weighs_a_fact_once_each_way(world: TinyWorld) -> None:
    given, ways = [[7, 7, 3, 7, -1]], [[False, True, True, True, True]]
    knowledge = replace(ask(world, WINDOWS[:1]), training=training(given, inverse=ways))
    selection = select(make_selector(world), hidden_states(1), knowledge, None)
    assert selection.ids[0, 0].tolist() == [7, 7, 3, -1, -1]
    assert selection.inverse[0, 0, :3].tolist() == [False, True, True]
    assert selection.alpha[0, 0, 0] > 10 * selection.alpha[0, 0, 1]  # the question is for a tail


def test_training_scores_are_those_of_searching(world: TinyWorld) -> None:
    """`top_k`, `over_fetch` and facts out of the window play no part in training."""
    selector = make_selector(world)
    n = world.base.store.n
    everything, ways = [[*range(n), *range(n)]] * len(ROWS), [[False] * n + [True] * n] * len(ROWS)
    trained = select(
        selector, hidden_states(), replace(ask(world, top_k=1), training=training(everything, inverse=ways)), None
    )
    searched = select(selector, hidden_states(), ask(world, top_k=2 * n), None)
    place = (searched.ids + n * searched.inverse).argsort(-1)
    torch.testing.assert_close(
        trained.scores[..., :-1], searched.scores[..., :-1].gather(-1, place), atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(trained.null, searched.null, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(trained.value, searched.value, atol=1e-4, rtol=1e-3)


def test_training_adds_what_the_query_finds(world: TinyWorld) -> None:
    selector, hidden = make_selector(world), hidden_states()
    knowledge = replace(ask(world), training=training([[0], [1], [2], [3], [4]], retrieved=5))
    selection = select(selector, hidden, knowledge, None)
    _, nearest = world.base.index.search(selection.query[:, 0].numpy(), 5)
    n = world.base.store.n
    for row in range(len(ROWS)):
        assert selection.ids[row, 0, 0] == row
        pairs = zip(selection.ids[row, 0, 1:].tolist(), selection.inverse[row, 0, 1:].tolist(), strict=True)
        found = [number + n * way for number, way in pairs if number >= 0]
        assert found == [number for number in nearest[row].tolist() if number != row]


def test_training_rows_can_be_kept_from_reading_the_hidden_state(world: TinyWorld) -> None:
    selector, hidden = make_selector(world), hidden_states()
    candidates = training([[0, 1]] * len(ROWS), retrieved=2)
    read = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0])

    def queries(candidates: TrainingCandidates, **options: Any) -> Tensor:
        return select(selector, hidden, replace(ask(world, **options), training=candidates), None).query

    mixed, all_read = queries(replace(candidates, read_hidden=read)), queries(candidates)
    none_read = queries(candidates, hidden_query=False)
    for row, reads in enumerate(read.tolist()):
        assert torch.equal(mixed[row], (all_read if reads else none_read)[row])
        assert not torch.equal(all_read[row], none_read[row])


def test_what_is_left_of_a_question_is_without_the_fact_that_was_read(world: TinyWorld) -> None:
    """After a fact with all the weight hardly anything of the question points to its relation."""
    number = next(n for n, fact in enumerate(world.facts) if fact.relation.name == "twin town")
    d_ent = world.projections.d_ent
    first = select(aimed(world, world.base.tensors.keys[number] * 300), hidden_states(), ask(world), None)
    assert (first.ids[..., 0] == number).all()
    assert (first.alpha[..., 0] > 0.99).all()
    second = make_selector(world, 2, hops=True)
    rest, key = select(second, hidden_states(), ask(world), first).rest, world.base.tensors.keys[number]
    question = ask(world).questions.vectors
    relation = key[second.query.blocks[1]] @ second.query.from_question.weight
    assert (question @ relation).abs().min() > 1e-3
    assert ((rest @ relation).abs() < 0.15 * (question @ relation).abs()[:, None]).all()
    head = key[:d_ent] @ second.query.names.weight
    clear = (question @ head).abs() > 0.1 * question.norm(dim=-1) * head.norm()
    assert clear.sum() >= 2
    assert ((rest @ head).abs() < 0.5 * (question @ head).abs()[:, None])[clear].all()


def test_the_last_layer_mixes_no_keys(world: TinyWorld) -> None:
    assert not select(make_selector(world, last=True), hidden_states(), ask(world), None).key.numel()
    assert not select(make_selector(world), hidden_states(), ask(world, hop=False), None).key.numel()


def test_a_later_layer_takes_names_away_with_the_projection_and_never_trains_it(world: TinyWorld) -> None:
    first, later = (untrained(world, hops=hops).query for hops in (False, True))
    assert torch.equal(later.names.weight, first.names.weight)
    assert not later.names.weight.requires_grad


def test_the_gates_send_no_gradient_to_what_was_read(world: TinyWorld) -> None:
    first, second = make_selector(world, 1), make_selector(world, 2, hops=True)
    knowledge = replace(ask(world), training=training([[0, 1]] * len(ROWS), retrieved=4))
    with torch.enable_grad():
        before = select(first, hidden_states(), knowledge, None)
        select(second, hidden_states(), knowledge, before).hop.sum().backward()
    gates = {name for name, _ in second.named_parameters() if name.startswith(("query.hop_gate.", "query.onward."))}
    assert len(gates) == 6
    assert {name for name, p in second.named_parameters() if p.grad is not None and p.grad.any()} == gates
    others = {**dict(first.named_parameters(prefix="first")), **dict(second.named_parameters())}
    assert {name for name, p in others.items() if p.grad is not None} == gates


def test_nothing_is_left_out_of_a_question_for_a_fact_that_was_not_read(world: TinyWorld) -> None:
    first = make_selector(world, 1)
    torch.nn.init.constant_(first.null.out.bias, 50.0)
    before = select(first, hidden_states(), ask(world), None)
    assert (before.null > 0.999).all()
    rest = select(make_selector(world, 2, hops=True), hidden_states(), ask(world), before).rest
    torch.testing.assert_close(rest, before.rest, atol=1e-3, rtol=0)


def test_the_gates_read_the_question_and_what_was_read_and_no_hidden_state(world: TinyWorld) -> None:
    """But for how onward facts fit what is asked for, which is next."""
    first, second = make_selector(world, 1), make_selector(world, 2, hops=True)
    torch.nn.init.zeros_(second.query.onward.weight)
    knowledge = replace(ask(world), training=training([[0, 1]] * len(ROWS), retrieved=4))
    before = select(first, hidden_states(), knowledge, None)
    hops = [select(second, states, knowledge, before).hop for states in (hidden_states(), -hidden_states())]
    assert torch.equal(*hops)
    other = replace(before, key=world.base.tensors.keys[0].expand_as(before.key))
    changed = select(second, hidden_states(), knowledge, other).hop
    assert not torch.isclose(changed, hops[0]).any()
    assert ((hops[0] > 0) & (hops[0] < 1)).all()
    decided = [select(second, states, ask(world), before).hop for states in (hidden_states(), -hidden_states())]
    assert torch.equal(*decided)
    leads = leading_on(world, before)[:, None]
    assert torch.equal(decided[0], ((torch.logit(hops[0]) > HOP_CUTS[0]) & leads).float())


def test_how_onward_facts_fit_what_a_layer_asks_for_counts_with_the_weight_of_its_own(world: TinyWorld) -> None:
    """The layer's relation block is what is compared, with the hidden state in it where that is read."""
    reading, knowledge = doubtful(), replace(ask(world), training=training([[0, 1]] * len(ROWS), retrieved=4))
    before = select(make_selector(world, 1), hidden_states(), knowledge, None)
    second = make_selector(world, 2, hops=True)
    w, p = arrays(second), world.projections
    second.query.onward.bias.zero_()
    for feature in range(len(FEATURES)):
        logits = []
        for weight in (0.0, 2.0):
            second.query.onward.weight.zero_()
            second.query.onward.weight[0, feature] = weight
            logits.append(select(second, hidden_states(), knowledge, before, reading).hop_logit[:, 0])
        for row in range(len(ROWS)):
            e, h = knowledge.questions.vectors[row].double().numpy(), hidden_states()[row, 0].double().numpy()
            wanted = w["query.from_question.weight"] @ e + w["query.from_question.bias"]
            wanted = wanted + w["query.from_hidden.weight"] @ h
            read = {"ids": before.ids[row, 0].tolist(), "inverse": before.inverse[row, 0].tolist()}
            read["weights"] = before.alpha[row, 0].tolist()
            assert len(wanted) == p.d_rel
            counts = 2.0 * GATE_SCALE * (naive_ahead(world, knowledge, wanted, row, read)[0][feature] - FEATURE_MIDDLE)
            assert float(logits[1][row] - logits[0][row]) == pytest.approx(counts, rel=1e-3, abs=1e-3)


def test_noise_reaches_gates_and_the_maps_that_learn_and_no_names(world: TinyWorld) -> None:
    first, second = make_selector(world, 1), make_selector(world, 2, hops=True)
    candidates = training([[0, 1]] * len(ROWS))
    noise = torch.randn(len(ROWS), world.projections.d_question, generator=torch.Generator().manual_seed(0))
    found = []
    for added in (None, torch.zeros_like(noise), noise):
        knowledge = replace(ask(world), training=replace(candidates, question_noise=added))
        before = select(first, hidden_states(), knowledge, None)
        found.append((before, select(second, hidden_states(), knowledge, before)))
    (quiet, plain), (_, zero), (noisy, other) = found
    assert torch.equal(plain.hop, zero.hop)
    assert not torch.isclose(plain.hop, other.hop).any()
    names, relation = first.query.blocks
    assert torch.equal(quiet.query[..., names], noisy.query[..., names])
    moved = first.query.scale * (noise @ first.query.from_question.weight.T)[:, None]
    torch.testing.assert_close(noisy.query[..., relation] - quiet.query[..., relation], moved, atol=1e-2, rtol=1e-3)
    for part in ("time", "name"):
        assert torch.equal(getattr(quiet.parts, part), getattr(noisy.parts, part))
    assert not torch.isclose(quiet.parts.context, noisy.parts.context).any()


def test_in_training_the_context_score_reads_noise_and_is_silent_where_the_hidden_state_is(world: TinyWorld) -> None:
    selector, hidden, knowledge = make_selector(world, 1), hidden_states(), ask(world)
    noise = torch.randn(len(ROWS), world.projections.d_question, generator=torch.Generator().manual_seed(0)) / 4
    reads = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0])
    w, contexts = arrays(selector), []
    for added, read in ((None, None), (noise, None), (None, reads), (noise, reads)):
        candidates = replace(training([[0, 1, 30]] * len(ROWS)), question_noise=added, read_hidden=read)
        found = select(selector, hidden, replace(knowledge, training=candidates), None).parts.context[:, 0]
        asked = knowledge.questions.vectors.double().numpy() + (0 if added is None else added.double().numpy())
        for row, column in np.ndindex(len(ROWS), 3):
            sentence = world.base.tensors.ctx[[0, 1, 30][column]].double().numpy()
            score = naive_context(w, hidden[row, 0].double().numpy(), asked[row], sentence)
            score *= 1.0 if read is None else float(read[row])
            assert float(found[row, column]) == pytest.approx(score, rel=1e-4, abs=1e-5)
        contexts.append(found)
    for silent in contexts[2:]:
        assert (silent[reads == 0] == 0).all()
    assert torch.equal(contexts[2][reads == 1], contexts[0][reads == 1])
    searched = select(selector, hidden, ask(world, top_k=2 * world.base.store.n), None)
    for row in range(len(ROWS)):  # outside training nothing is added and nothing silent
        place = searched.ids[row, 0].tolist().index(30)
        torch.testing.assert_close(searched.parts.context[row, 0, place], contexts[0][row, 2], atol=1e-5, rtol=1e-4)


class Seen(torch.nn.Module):
    """In place of the null fact's odds: keeps what is looked at."""

    fit: Tensor

    def forward(self, fit: Tensor) -> Tensor:
        self.fit = fit
        return fit[..., 0] * 0


def test_who_fits_better_but_for_the_time_is_told_and_teaches_nothing(world: TinyWorld) -> None:
    """Three mayors of one town, each of another time, and a fact of another relation."""
    selector = make_selector(world)
    selector.null = seen = Seen()  # type: ignore[assignment]
    given = [[0, 1, 2, -1, 30]] * len(ROWS)
    knowledge = replace(ask(world, gamma=0.3, eta=3.0), training=training(given))
    with torch.enable_grad():
        found = select(selector, hidden_states(), knowledge, None)
        for name in ("lead", "passed"):
            selector.zero_grad()
            seen.fit[..., FIT.index(name)].sum().backward(retain_graph=True)
            learns = [p for p in selector.parameters() if p.grad is not None and p.grad.any()]
            assert (len(learns) > 0) == (name == "lead")
    looked_at = seen.fit[:, 0, FIT.index("passed")].tolist()
    for row, passed in enumerate(looked_at):
        scores, parts = found.scores[row, 0, :-1].tolist(), found.parts
        timeless = (parts.meaning + parts.name)[row, 0].tolist()
        best = scores.index(max(scores))
        others = [timeless[place] for place in (0, 1, 2, 4)]
        assert passed == pytest.approx(max(others) - timeless[best], abs=1e-4)
    assert max(looked_at) > 1
    assert min(looked_at) == 0


@pytest.mark.parametrize("temperature", [0.02, 0.25, 1.0, 3.0])
@pytest.mark.parametrize("options", [{}, {"gamma": 0.0, "eta": 0.0}, {"gamma": 0.5, "eta": 2.0}], ids=str)
def test_the_null_weight_is_the_logistic_of_its_odds_at_any_temperature(
    world: TinyWorld, options: dict[str, Any], temperature: float
) -> None:
    """The odds do not depend on the temperature: only how the facts share the rest does."""
    selector = make_selector(world)
    everything = {"top_k": 2 * world.base.store.n, **options}
    found = select(selector, hidden_states(), ask(world, **everything, temperature=temperature), None)
    plain = select(selector, hidden_states(), ask(world, **everything), None)
    odds = plain.scores[..., -1] - plain.scores[..., :-1].logsumexp(-1)
    assert odds.std() > 0.1
    torch.testing.assert_close(found.null, odds.sigmoid(), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_poor_candidates_leave_the_null_weight_to_its_odds_too(world: TinyWorld, temperature: float) -> None:
    key = world.base.tensors.keys[7]
    selector = aimed(world, -20 * math.sqrt(len(key)) * key / (key @ key))
    torch.nn.init.constant_(selector.null.out.bias, -1.0 / NULL_SCALE)
    knowledge = replace(ask(world, (None,), gamma=0.0, eta=0.0, temperature=temperature), training=training([[7]]))
    found = select(selector, hidden_states(1), knowledge, None)
    torch.testing.assert_close(found.scores[..., 0], torch.full((1, 1), -20.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.null, torch.full((1, 1), -1.0).sigmoid(), atol=1e-4, rtol=0)


def test_the_null_fact_looks_at_the_best_candidate_however_few_are_kept(world: TinyWorld) -> None:
    """A fact outside the window is looked at too, although it gives way to those inside."""
    selector = make_selector(world)
    few, many = (select(selector, hidden_states(), ask(world, top_k=top_k), None) for top_k in (1, 20))
    assert torch.equal(few.scores[..., -1], many.scores[..., -1])


def test_a_second_candidate_that_is_missing_is_far_behind(world: TinyWorld) -> None:
    """One candidate, alone or beside empty places, or fetched alone: the lead is over `NO_SCORE`."""
    selector = make_selector(world)
    alone = [
        select(selector, hidden_states(1), replace(ask(world, (None,)), training=training([given])), None)
        for given in ([7], [7, -1, -1], [-1, 7, 7])
    ]
    for found in alone[1:]:
        torch.testing.assert_close(found.scores[..., -1], alone[0].scores[..., -1], atol=1e-4, rtol=1e-4)
    one = select(selector, hidden_states(), ask(world, top_k=1, over_fetch=1), None)
    number, way = int(one.ids[0, 0, 0]), bool(one.inverse[0, 0, 0])
    w, key = arrays(selector), world.base.tensors.keys[number + world.base.store.n * way].double().numpy()
    query = one.query[0, 0].double().numpy()
    best, context, time = (float(part[0, 0, 0]) for part in (one.scores, one.parts.context, one.parts.time))
    head, asked = (cosine(query[block], key[block]) for block in selector.query.blocks)
    text, fact = world.questions[ROWS[0]].question, world.facts[number]
    names = [mentioned(world, end.name, text) for end in ((fact.tail, fact.head) if way else (fact.head, fact.tail))]
    label = covered(fact.relation.name, text)
    entity = (fact.tail if way else fact.head).name
    relations = {one.relation.name for one in world.facts if one.head.name == entity}
    choice = math.log(max(len(relations), 1))
    expected = best + naive_odds(
        w, head, asked, *names, label, context, time, best - NO_SCORE, 0.0, 0.0, choice, float(way)
    )
    assert one.scores[0, 0, -1].item() == pytest.approx(expected, rel=1e-4)


def test_without_candidates_the_null_score_and_its_gradient_are_finite(world: TinyWorld) -> None:
    selector = make_selector(world)
    knowledge = replace(ask(world, WINDOWS[:2]), training=training([[-1, -1], [-1, 3]]))
    with torch.enable_grad():
        selection = select(selector, hidden_states(2), knowledge, None)
        (selection.null.sum() + selection.alpha[1].sum() * 2 + selection.scores[..., -1].sum()).backward()
    assert torch.isfinite(selection.scores[..., -1]).all()
    for name, parameter in selector.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
    assert selector.null.out.weight.grad is not None
    assert selector.null.out.weight.grad.abs().min() > 0


def test_without_any_candidate_the_null_fact_takes_all(world: TinyWorld) -> None:
    selector = make_selector(world)
    knowledge = replace(ask(world, (None,)), training=training([[-1, -1]]))
    selection = select(selector, hidden_states(1), knowledge, None)
    assert (selection.null == 1).all()
    torch.testing.assert_close(selection.value, selector.null_value.expand(1, 1, -1))


def test_the_null_fact_can_be_switched_off(world: TinyWorld) -> None:
    selector = make_selector(world)
    torch.nn.init.constant_(selector.null.out.bias, 100.0)
    assert (select(selector, hidden_states(), ask(world), None).null > 0.9).all()
    without = select(selector, hidden_states(), ask(world, null_fact=False), None)
    assert not without.null.any()
    torch.testing.assert_close(without.alpha.sum(-1), torch.ones(len(ROWS), 1))


def test_no_question_means_no_term_not_another_question(world: TinyWorld) -> None:
    selector, knowledge = make_selector(world), ask(world)
    questions = knowledge.questions
    zero = replace(knowledge, questions=replace(questions, vectors=torch.zeros_like(questions.vectors)))
    dropped = replace(knowledge, options=replace(knowledge.options, question_vector=False))
    for name in ("query", "scores", "value"):
        found = [getattr(select(selector, hidden_states(), one, None), name) for one in (zero, dropped)]
        assert torch.equal(*found)
        assert not torch.equal(found[0], getattr(select(selector, hidden_states(), knowledge, None), name))


def test_an_untrained_query_finds_the_fact_that_is_asked_for(world: TinyWorld) -> None:
    selector = untrained(world, hops=False)
    rows = world.rows_of("single-hop")
    knowledge = world.ask(rows, top_k=8, over_fetch=64)
    selection = select(selector, torch.zeros(len(rows), 1, HIDDEN), knowledge, None)
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
    days = [bound for fact in world.facts for bound in (fact.window.start, fact.window.end) if bound is not None]
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
    reading = doubtful()
    everything = select(first, hidden, ask(world, top_k=world.base.store.n), None).ids[:, -1]
    chosen = [withheld_from(world, best, number - row % 2) for row, best in enumerate(everything)]
    padded = torch.tensor([[*facts, *[-1] * (number - len(facts))] for facts in chosen])
    without = replace(knowledge, withheld=padded)
    before = select(first, hidden, without, None, reading)
    found = [before, select(second, hidden, without, before, reading)]
    for row, facts in enumerate(chosen):
        base, kept = world.without(facts, tmp_path / str(row))
        assert base.store.horizon == world.base.store.horizon
        numbers = torch.tensor([*kept, -1])  # number -1 is none in both bases
        asked, own = knowledge.questions.part([row]), Reading(*(part[row : row + 1] for part in reading))
        deleted, one = Knowledge(base, asked, knowledge.options), hidden[row : row + 1]
        expected = [select(first, one, deleted, None, own)]
        expected.append(select(second, one, deleted, expected[0], own))
        for got, want in zip(found, expected, strict=True):
            left = min(top_k, 2 * len(kept))
            assert torch.equal(got.ids[row, :, :left], numbers[want.ids[0, :, :left]])
            assert (got.ids[row, :, left:] == -1).all()
            assert torch.equal(got.inverse[row, :, :left], want.inverse[0, :, :left])
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
    once = select(selector, hidden, knowledge, None)
    assert torch.equal(
        select(selector, hidden.repeat_interleave(2, 0), twice, None).ids, once.ids.repeat_interleave(2, 0)
    )
    assert ask(world).expand(2 * len(ROWS)).withheld is None


def test_the_ego_graph_changes_the_value_alone_and_can_be_switched_off(world: TinyWorld) -> None:
    selector, knowledge = make_selector(world, **EGO), ask(world)
    torch.nn.init.constant_(selector.null.out.bias, -1.0)  # facts have most of the weight
    with_graph = select(selector, hidden_states(), knowledge, None)
    without = select(selector, hidden_states(), ask(world, ego_graph=False), None)
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


class OfKinds:
    """Stands for `AskedKinds`: how a fact's answer fits a question, read either way; one fact a question is not 0."""

    def __init__(self, facts: list[int], fits: list[float]) -> None:
        self.facts, self.fits = facts, fits

    def fit(self, facts: Tensor, inverse: Tensor) -> Tensor:
        assert inverse.shape == facts.shape
        return torch.where(facts == torch.tensor(self.facts), torch.tensor(self.fits), 0.0)

    def no_name(self, facts: Tensor, inverse: Tensor) -> Tensor:
        return torch.zeros_like(inverse)


def test_an_answer_of_another_kind_speaks_for_the_null_fact_of_the_last_layer_alone(world: TinyWorld) -> None:
    hidden, knowledge, reading = torch.randn(len(ROWS), 1, HIDDEN), world.ask(ROWS), reading_of()
    for last in (False, True):
        selector = make_selector(world, last=last)
        plain = selector(hidden, knowledge, None, reading)
        best = plain.best[:, 0].tolist()
        fits = [-2.0, -2.0, 3.0, 3.0, 3.0]
        other = OfKinds(best, fits)
        found = selector(hidden, knowledge, None, reading, 0, other)
        assert torch.equal(found.ids, plain.ids)
        moved = (found.scores - plain.scores)[:, 0]
        assert torch.equal(moved[:, :-1], torch.zeros_like(moved[:, :-1]))
        worse = [NULL_WEIGHT * last * max(0.0, -fit) for fit in fits]
        assert moved[:, -1].tolist() == pytest.approx(worse, abs=1e-4)


def test_a_hop_is_taken_more_readily_to_an_answer_of_the_kind_asked_for(world: TinyWorld) -> None:
    selector, first = make_selector(world, hops=True), make_selector(world)
    hidden, knowledge, reading = torch.randn(len(ROWS), 1, HIDDEN), world.ask(ROWS), reading_of()
    previous = first(hidden, knowledge, None, reading)
    by_head = world.base.by_head
    read = previous.ids[:, 0].gather(-1, previous.alpha[:, 0].argmax(-1, keepdim=True))[:, 0]
    more = [not says_all(world, row, fact, inverse=False) for row, fact in enumerate(read.tolist())]
    leads = (by_head.relations[by_head.ends[read, 1]] > 0) & torch.tensor(more)
    assert bool(leads.any())
    misfit = OfKinds(read.tolist(), [-1e6] * len(ROWS))
    hopped = selector(hidden, knowledge, previous, reading, 1, misfit).hop_logit[:, 0]
    assert hopped[leads].tolist() == [torch.inf] * int(leads.sum())
    assert hopped[~leads].tolist() == [-torch.inf] * int((~leads).sum())  # from nowhere one does not go on
    fitting = OfKinds(read.tolist(), [1e6] * len(ROWS))
    assert (selector(hidden, knowledge, previous, reading, 1, fitting).hop_logit[:, 0] == -torch.inf).all()
    nothing = replace(previous, alpha=torch.zeros_like(previous.alpha))  # all weight is the null fact's
    plain = selector(hidden, knowledge, nothing, reading, 1).hop_logit
    assert torch.equal(selector(hidden, knowledge, nothing, reading, 1, misfit).hop_logit, plain)


class NoNames(OfKinds):
    """Whose answers no name can be is given."""

    def no_name(self, facts: Tensor, inverse: Tensor) -> Tensor:
        return (facts == torch.tensor(self.facts)[:, None]) & ~inverse


def test_an_answer_that_no_name_can_be_loses_where_one_is_wanted(world: TinyWorld) -> None:
    hidden, knowledge, reading = torch.randn(len(ROWS), 1, HIDDEN), world.ask(ROWS), reading_of()
    selector = make_selector(world)
    plain = selector(hidden, knowledge, None, reading)
    best = plain.best[:, 0].tolist()
    found = selector(hidden, knowledge, None, reading, 0, NoNames(best, [0.0] * len(ROWS)))
    for row, fact in enumerate(best):
        before, after = ({(i, w): s for i, w, s in zip(
            each.ids[row, 0].tolist(), each.inverse[row, 0].tolist(), each.scores[row, 0].tolist(), strict=False
        )} for each in (plain, found))  # fmt: skip
        for key in before.keys() & after.keys():
            lost = NO_NAME if key == (fact, False) else 0.0
            assert before[key] - after[key] == pytest.approx(lost, abs=1e-4)


TOWN = [
    ("Tavira Air", "headquarters", "Lisbon"),
    ("Tavira Cargo", "headquarters", "Beja"),
    ("Harrow Museum", "director", "Ann"),
    ("Harrow Museum Shop", "director", "Bo"),
    ("Bo", "place of birth", "Beja"),
    ("Car 241", "vehicle type", "Norvag N40"),
    ("Car 241", "successor", "Car 305"),
]


@pytest.mark.parametrize(
    ("text", "fact", "another"),
    [
        ("Is Beja the headquarters of Tavira Air?", 1, True),
        ("Is Beja the headquarters of Tavira Cargo?", 1, False),
        ("Is Lisbon the headquarters of Tavira Air?", 0, False),
        ("Is Bo the director of the Harrow Museum Shop?", 3, False),  # whose name holds that of the museum
        ("Is Bo the director of the Harrow Museum?", 3, False),  # so a shorter name may mean it
        ("Is Ann the director of the Harrow Museum Shop?", 2, True),
        ("Is Bo the director of the museum shop?", 3, False),  # named by the tail
        ("Is Beja the headquarters of tavira air?", 1, True),
        ("Is Beja the headquarters of the airline?", 1, False),  # nobody else is named
        ("Is Car 241 a Norvag N4?", 5, True),
        ("Is Car 241 a Norvag N40?", 5, False),
        ("Is Car 241 a tram?", 5, False),
        ("Does Car 241 have a successor?", 6, False),  # the number is the car's own
    ],
)
def test_a_fact_about_another_head_than_the_one_named_confirms_nothing(text: str, fact: int, another: bool) -> None:
    names = NameTable.of(*zip(*((head, tail, relation) for head, relation, tail in TOWN), strict=True))
    rows, asked = torch.arange(len(TOWN))[None], asked_words([text])
    grams = question_grams([text])
    heads = names.mention(names.heads[rows], grams, asked)
    found: Any = SimpleNamespace(
        facts=rows[:, None],
        ids=rows[:, None],
        inverse=torch.zeros(1, 1, len(TOWN), dtype=torch.bool),
        own=heads,
        other=heads,
    )
    base: Any = SimpleNamespace(names=names)
    told = Candidates.of_another(found, base, torch.tensor([[fact]]), grams, asked)
    assert told.tolist() == [[another]]


def test_of_another_rank_the_null_fact_hears_that_the_best_candidate_is_of_somebody_else(world: TinyWorld) -> None:
    """The deputy mayor is as far from the mayor as a name that the question does not mention."""
    row = next(row for row, question in enumerate(world.questions) if "mayor" in question.question)
    texts = [world.questions[row].question, world.questions[row].question.replace("mayor", "deputy mayor")]
    vectors = torch.from_numpy(world.vectors)[[row, row]]
    knowledge = replace(world.ask([row, row]), questions=Questions.make(vectors, [None, None], texts))
    rows = torch.arange(world.base.store.n).expand(2, 1, -1)
    found = Candidates.at(world.base, rows, knowledge)
    mayors = torch.tensor([fact.relation.name == "mayor" for fact in world.facts])
    assert not found.rank[0].any()
    assert torch.equal(found.rank[1], mayors)
    assert found.label[1][mayors].tolist() == [0.0] * int(mayors.sum())
    assert bool((found.label[0][mayors] == 1).all())
    named = mayors & (found.own[0] == 1)
    assert bool(named.any())
    assert bool((found.own[1][named] == 1).all())  # who is found stays found: nobody else takes the place
    selector = aimed(world, world.base.tensors.keys[int(mayors.nonzero()[0])])
    torch.nn.init.zeros_(selector.null.inner.weight)
    own = FIT.index("name")
    selector.null.inner.weight[:, own], selector.null.out.weight[:] = 1.0, -1.0  # the less of the name, the more null
    hidden = torch.randn(2, 1, HIDDEN)
    null = selector(hidden, knowledge, None, reading_of(2)).null[:, 0]
    assert null[1] > null[0]


def test_of_another_name_the_null_fact_hears_it_and_the_scores_do_not(world: TinyWorld) -> None:
    fact = next(fact for fact in world.facts if fact.head.name.count(" ") == 1)
    first, last = fact.head.name.split(" ")
    texts = [f"Who is the {fact.relation.name} of {first} {word}?" for word in (last, "Zzyzxwood")]
    vectors = torch.from_numpy(world.vectors)[[0, 0]]
    knowledge = replace(world.ask([0, 0]), questions=Questions.make(vectors, [None, None], texts))
    rows = torch.arange(world.base.store.n).expand(2, 1, -1)
    found = Candidates.at(world.base, rows, knowledge)
    elsewhere = found.elsewhere(world.base, rows[:, 0], knowledge.questions.in_order)
    theirs = torch.tensor([other.head.name == fact.head.name for other in world.facts])
    assert not elsewhere[0][theirs].any()
    assert elsewhere[1][theirs].all()
    assert (found.own[1][theirs] > 0).all()  # who is found stays found: nobody else takes the place


@pytest.mark.parametrize(
    ("text", "elsewhere"),
    [
        ("Who is the distributor in Sweden of Lie Wines?", True),
        ("Who is the distributor in Japan of Lie Wines?", False),
        ("Who is the distributor in Japan of Halvorsen Wines?", True),
    ],
)
def test_another_name_in_the_place_of_the_heads_or_of_the_labels_is_heard(text: str, elsewhere: bool) -> None:
    names = NameTable.of(["Lie Wines"], ["Ola Berg"], ["distributor in Japan"])
    one = torch.zeros(1, 1, 1, dtype=torch.int64)
    found: Any = SimpleNamespace(facts=one, inverse=one.bool(), rank=one[:, 0].bool())
    base: Any = SimpleNamespace(names=names)
    assert Candidates.elsewhere(found, base, one[:, 0], asked_words([text])).tolist() == [[elsewhere]]


def test_to_what_a_question_spells_it_hops_unless_the_kind_is_much_worse_or_nothing_was_found(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the gate says, and in the first layer that can."""
    monkeypatch.setattr("kblampp.model.query._says_onward", lambda _, facts: torch.ones_like(facts[1]))
    monkeypatch.setattr("kblampp.model.query._nothing_left", lambda _, facts: torch.zeros_like(facts[1]))
    selector, first = gated(make_selector(world, hops=True), -200.0), make_selector(world)
    hidden, knowledge, reading = torch.randn(len(ROWS), 1, HIDDEN), world.ask(ROWS), reading_of()
    previous = first(hidden, knowledge, None, reading)
    sure = replace(previous, alpha=previous.alpha / previous.alpha.sum(-1, keepdim=True))
    read = sure.ids[:, 0].gather(-1, sure.alpha[:, 0].argmax(-1, keepdim=True))[:, 0]
    leads = world.base.by_head.relations[world.base.by_head.ends[read, 1]] > 0
    assert bool(leads.any())

    def hops(before: Selection, depth: int, kinds: Any = None) -> Tensor:
        found: Tensor = selector(hidden, knowledge, before, reading, depth, kinds).hop_logit[:, 0] > 0
        return found

    assert torch.equal(hops(sure, 1), leads)
    assert not hops(sure, 2).any()
    assert not hops(replace(sure, alpha=0.4 * sure.alpha), 1).any()
    for fit, hopped in ((0.4, True), (0.6, False)):  # the fact that was read fits so much better
        assert torch.equal(hops(sure, 1, OfKinds(read.tolist(), [fit] * len(ROWS))), leads & hopped)
