"""What can be answered from the selected facts, each possible answer with its probability, decided once.

Where the answer starts the model decides between the facts, read as the question asks, and its own words, by total
probability: p(fact i, form f) = lambda alpha_i phi_f, p(own words) = 1 - lambda; lists and counts are shared likewise
between the facts that hold now and those of any time.  An answer from the facts is then written to its end as it stands
in the base.  After pointer-generator networks (See et al. 2017, section 2.2), but one choice an answer instead of one a
token, so that no name ends in the words of another or of the language model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kblampp.data.facts import FORMS, UNKNOWN_ANSWER
from kblampp.data.spans import in_span
from kblampp.data.time_words import may_be_a_time
from kblampp.data.windows import OPEN_END, OPEN_START, UNKNOWN_DAY, Bounds
from kblampp.model.inputs import EncodedBase
from kblampp.model.question_reader import Reading
from kblampp.model.scores import disjoint, is_known
from kblampp.model.selector import Selection

YES, NO = "yes", "no"
SEPARATOR = "; "
"""Between the items of a list."""
TINY = 1e-300
"""Stands for a probability of zero, of which there is no logarithm."""
SAYS_WHICH = 2 / 3
"""Of what several names together have as the answer, one has more than this if the question says which it wants."""
LEAST_SHARE = 1e-6
"""Answers that are less probable are left out: nobody draws them, and each would have to be put together."""


@dataclass(frozen=True)
class Source:
    """Where a part of an answer was copied from.

    Attributes:
        fact: The fact.
        field: "head", "tail", "start" or "end"; "fact" where it was counted or confirmed, not copied.
    """

    fact: int
    field: str


@dataclass(frozen=True)
class Answer:
    """A possible answer.

    Attributes:
        text: As it stands in the base.
        probability: Its share, over all facts and forms that give this text.
        sources: What the most probable of them rests on; none for a refusal.
    """

    text: str
    probability: float
    sources: tuple[Source, ...]


def answers(
    base: EncodedBase,
    selection: Selection,
    reading: Reading,
    windows: Tensor,
    gate: Tensor,
    withheld: Tensor | None = None,
    as_of: int | None = None,
    *,
    in_forms: bool = True,
    in_time: bool = True,
) -> list[list[Answer]]:
    """The possible answers to each question from the facts, the one to be said first; own words have what is left.

    That is the most probable one, and a refusal only if no fact answers rather than some: doubt about which fact, or
    whether all of them are asked for, is no reason to refuse.  A fact that surely does not hold at the time asked about
    answers nothing, unless one before or after is meant.

    Args:
        base: The knowledge base.
        selection: Of the last layer.
        reading: What the questions ask for.
        windows: The times that they name, (batch, 2).
        gate: lambda, (batch,).
        withheld: Facts that are not listed or counted, (batch, m); -1 pads.
        as_of: The day of asking, on which facts must hold that are listed or counted as those of now; None for any.
        in_forms: Whether facts are read as the question asks; else each gives the name at its other end.
        in_time: Whether the name of a fact of another time is no answer.
    """
    hidden = [()] * len(gate) if withheld is None else withheld.tolist()
    ids, inverse, alpha = selection.ids[:, 0].tolist(), selection.inverse[:, 0].tolist(), selection.alpha[:, 0].tolist()
    null, yes = selection.null[:, 0].tolist(), selection.yes[:, 0].sigmoid().tolist()
    shares, refusing = selection.forms.exp(), 1 - reading.form_of("yes_no")
    if not in_forms:
        plain = shares.new_tensor([form == "value" for form in FORMS])
        shares, refusing = plain.expand_as(shares), torch.ones_like(refusing)
    forms, gates, now = shares.tolist(), gate.tolist(), reading.mode_of("now").tolist()
    heaviest, share = confirming(base, selection, reading, windows, as_of)
    facts, holds, today = heaviest.tolist(), share.tolist(), _today(windows, as_of)
    asks_when = (reading.form_of("start") + reading.form_of("end")).tolist()
    at_its_time = ((reading.mode_of("any") + reading.mode_of("now")).clamp(max=1) * in_time).tolist()
    return [
        _of_question(
            base,
            [(windows[row : row + 1], 1 - now[row]), (torch.cat([windows[row : row + 1], today]), now[row])],
            hidden[row],
            list(zip(ids[row], inverse[row], alpha[row], strict=True)),
            null[row],
            facts[row],
            yes[row] * holds[row],
            [dict(zip(FORMS, each, strict=True)) for each in forms[row]],
            float(refusing[row]),
            gates[row],
            in_forms,
            at_its_time[row],
            asks_when[row] * in_forms,
        )
        for row in range(len(ids))
    ]


def confirming(
    base: EncodedBase, selection: Selection, reading: Reading, windows: Tensor, as_of: int | None
) -> tuple[Tensor, Tensor]:
    """What a "yes" rests on: the heaviest fact, (batch,), -1 for none, and the share of "yes" that time leaves.

    It leaves none to a fact of another time, and to one that does not hold today as little as the question means now;
    that fact is the one that fits best whatever its time, of which `Selection.yes` speaks.  Training reads it too, so
    that its loss is that of the answers given.

    Args:
        base, selection, reading, windows, as_of: See `answers`.
    """
    ids = selection.ids[:, 0]
    place = selection.alpha[:, 0].masked_fill(ids < 0, -1.0).argmax(-1, keepdim=True)
    heaviest = ids.gather(-1, place)
    bounds = [days[selection.best.clamp(min=0)][:, None] for days in (base.tensors.tau_min, base.tensors.tau_max)]
    apart, past = (disjoint(time, *bounds)[:, 0, 0] for time in (windows, _today(windows, as_of).expand_as(windows)))
    share = torch.where(apart, 0.0, 1 - reading.mode_of("now") * past)
    return heaviest[:, 0], torch.where(selection.best[:, 0] < 0, 1.0, share)


def _today(windows: Tensor, as_of: int | None) -> Tensor:
    """The day of asking as a window, (1, 2), which may be unknown."""
    return windows.new_full((1, 2), UNKNOWN_DAY) if as_of is None else windows.new_tensor([[as_of, as_of + 1]])


def _of_question(
    base: EncodedBase,
    times: Sequence[tuple[Tensor, float]],
    withheld: Sequence[int],
    candidates: Sequence[tuple[int, bool, float]],
    null: float,
    best: int,
    yes: float,
    forms: Sequence[dict[str, float]],
    refusing: float,
    gate: float,
    in_forms: bool,
    at_its_time: float,
    asks_when: float,
) -> list[Answer]:
    """The possible answers to one question.

    `at_its_time` is how surely the question means a fact of the time that it names, not one before, after, first or
    last: then the name of a fact of another time is no answer, and its share is a refusal's.  `asks_when` is how surely
    it asks for a day: then a name that is none ("Turku") is no answer either.
    """
    found = _Found()
    rests_on = () if best < 0 else (Source(best, "fact"),)
    forms = [
        _possible(base, fact, inverse, shares, withheld)
        for (fact, inverse, _), shares in zip(candidates, forms, strict=True)
    ]
    if in_forms:
        forms = _all_of_them(base, candidates, forms)
    confirmed = null * (1 - refusing)  # what no fact says is not so
    confirmed += sum(alpha * shares["yes_no"] for (_, _, alpha), shares in zip(candidates, forms, strict=True))
    found.add(YES, gate * confirmed * yes, rests_on)
    found.add(NO, gate * confirmed * (1 - yes), rests_on)
    found.add(UNKNOWN_ANSWER, gate * null * refusing, ())
    for (fact, inverse, alpha), shares in zip(candidates, forms, strict=True):
        if fact < 0:
            continue
        another_time = in_forms and not _holding(base, [fact], times[0][0])
        for form, share in shares.items():
            if form == "value" and another_time:
                found.add(UNKNOWN_ANSWER, gate * alpha * share * at_its_time, ())
                share *= 1 - at_its_time
            no_time = gate * alpha * share * asks_when if form == "value" else 0.0
            # The name is read only where that counts: it may have to come from the base's file.
            if no_time > LEAST_SHARE and not may_be_a_time(_name(base, fact, "head" if inverse else "tail")):
                found.add(UNKNOWN_ANSWER, no_time, ())
                share *= 1 - asks_when
            for windows, part in times:
                if form != "yes_no" and gate * alpha * share * part > LEAST_SHARE:
                    text, sources = _read(base, fact, inverse, form, windows, withheld)
                    found.add(text, gate * alpha * share * part, sources)
    return found.ranked()


def _possible(
    base: EncodedBase, fact: int, inverse: bool, forms: dict[str, float], withheld: Sequence[int]
) -> dict[str, float]:
    """The forms that can be asked of a fact; the others' shares go to these.

    Whose window has no ends neither starts nor ends.  If it also stands alone it is neither counted nor listed: "How
    many members has the trust?" wants the tail "312".
    """
    if fact < 0 or bool(base.order.timed[fact]):
        return forms
    several = base.order.one_of_several(fact, inverse=inverse, withheld=withheld)
    ruled_out = ("start", "end") if several else ("start", "end", "count", "list")
    left = {form: share for form, share in forms.items() if form not in ruled_out}
    whole = max(sum(left.values()), TINY)
    return {form: share / whole for form, share in left.items()}


def _all_of_them(
    base: EncodedBase,
    candidates: Sequence[tuple[int, bool, float]],
    forms: Sequence[dict[str, float]],
) -> list[dict[str, float]]:
    """The forms, where a name is asked for that is one of several without a time, and the question does not say which.

    "Who founded it?" wants all of its founders; then what each has as the answer goes to the list of them.  Of several
    who held at a time some are meant and some are not, as "Whom did she play for in 2010?" may mean a club or a nation.
    """
    rows: dict[tuple[int, bool], list[int]] = {}
    for place, (fact, inverse, _) in enumerate(candidates):
        # A fact without a time that may be listed is one of several (`_possible`).
        if fact >= 0 and "list" in forms[place] and not bool(base.order.timed[fact]):
            numbers = base.order.inverse_row if inverse else base.order.row
            rows.setdefault((int(numbers[fact]), inverse), []).append(place)
    found = list(forms)
    for places in rows.values():
        shares = [candidates[place][2] * forms[place].get("value", 0.0) for place in places]
        if max(shares) > SAYS_WHICH * sum(shares):
            continue
        for place in places:
            value = forms[place].get("value", 0.0)
            found[place] = {**forms[place], "value": 0.0, "list": forms[place]["list"] + value}
    return found


class _Found:
    """Answers by text: the same words from several facts or forms are one answer."""

    def __init__(self) -> None:
        self._shares: dict[str, list[tuple[float, tuple[Source, ...]]]] = {}

    def add(self, text: str, share: float, sources: tuple[Source, ...]) -> None:
        if share > 0:
            self._shares.setdefault(text, []).append((share, sources))

    def ranked(self) -> list[Answer]:
        """The most probable first; a refusal only if the facts together do not outweigh it."""
        rows = [
            Answer(text, sum(share for share, _ in parts), max(parts, key=lambda part: part[0])[1])
            for text, parts in self._shares.items()
        ]
        rows.sort(key=lambda answer: -answer.probability)
        if len(rows) > 1 and not rows[0].sources and 2 * rows[0].probability <= sum(row.probability for row in rows):
            rows[:2] = rows[1::-1]
        return rows


def _read(
    base: EncodedBase, fact: int, inverse: bool, form: str, windows: Tensor, withheld: Sequence[int]
) -> tuple[str, tuple[Source, ...]]:
    """A fact read as the question asks: the text and where it comes from."""
    field = "head" if inverse else "tail"
    if form == "value":
        return _name(base, fact, field), (Source(fact, field),)
    if form in ("start", "end"):
        return _bound(base, fact, form)
    row = [other for other in base.order.same(fact, inverse=inverse) if other not in withheld]
    facts = _in_span(base, _holding(base, row, windows), windows[0])
    facts.sort(key=lambda other: (int(base.store.tau_min[other]), other))
    names: dict[str, Source] = {}
    for other in facts:
        names.setdefault(_name(base, other, field), Source(other, field))
    if not names:
        return UNKNOWN_ANSWER, ()
    if form == "list" or (len(names) == 1 and bool(is_known(windows).any()) and _is_number(base, facts[0], field)):
        # "How many passengers did it carry in 2022?" wants the one number of that year, and not how many there are.
        return SEPARATOR.join(names), tuple(names.values())
    return str(len(names)), tuple(Source(source.fact, "fact") for source in names.values())


def _name(base: EncodedBase, fact: int, field: str) -> str:
    row = base.store.facts[fact]
    return row.head.name if field == "head" else row.tail.name


def _is_number(base: EncodedBase, fact: int, field: str) -> bool:
    names = base.names
    return bool(names.numbers[(names.heads if field == "head" else names.tails)[fact]])


def _bound(base: EncodedBase, fact: int, form: str) -> tuple[str, tuple[Source, ...]]:
    words = base.store.facts[fact].window.in_words(form)
    return (UNKNOWN_ANSWER, ()) if words is None else (words, (Source(fact, form),))


def _holding(base: EncodedBase, facts: Sequence[int], windows: Tensor) -> list[int]:
    """Those of some facts that may hold in each of some times, (n, 2)."""
    days = (
        torch.tensor(array[list(facts)].astype("int64"), device=windows.device)[None, None]
        for array in (base.store.tau_min, base.store.tau_max)
    )
    apart = disjoint(windows, *days).any(0)[0].tolist()
    return [fact for fact, gone in zip(facts, apart, strict=True) if not gone]


def _in_span(base: EncodedBase, facts: Sequence[int], window: Tensor) -> list[int]:
    """Those of some facts, each with a day in a window (2,), that a span of time means."""
    low, high = base.store.tau_min, base.store.tau_max
    return in_span(_open_bounds(*window.tolist()), facts, lambda fact: _open_bounds(int(low[fact]), int(high[fact])))


def _open_bounds(low: int, high: int) -> Bounds:
    """Days with sentinels as bounds, None where they are open or unknown."""
    return (None if low in (OPEN_START, UNKNOWN_DAY) else low), (None if high in (OPEN_END, UNKNOWN_DAY) else high)


def write_probability(
    choices: Sequence[tuple[Sequence[int], float]], own: float, written: Sequence[int], log_probs: Tensor
) -> tuple[list[float], float]:
    """How probable a written answer was, and how much of it comes from the facts, token by token.

    Args:
        choices: Tokens, the end included, and probabilities of the possible answers from the facts.
        own: Probability of own words.
        written: The answer's tokens.
        log_probs: What the language model by itself gives each of them, (n,).

    Returns:
        For each token the share of the facts in the probability of the answer up to it, and the logarithm of the whole.
    """
    shares: list[float] = []
    total = 1.0
    for place, so_far in enumerate(log_probs.double().cumsum(0).tolist()):
        copied = sum(p for tokens, p in choices if list(tokens[: place + 1]) == list(written[: place + 1]))
        total = max(copied + own * math.exp(so_far), TINY)
        shares.append(copied / total)
    return shares, math.log(total)
