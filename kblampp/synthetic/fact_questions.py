"""Questions for one fact of an open base: who or what, now, first, before whom, at a time, since when, and whose."""

from __future__ import annotations

from kblampp.data.windows import SYNTHETIC_TODAY, Window, in_words, year_window
from kblampp.synthetic.open_draft import Draft
from kblampp.synthetic.open_subjects import TODAY, Subjects
from kblampp.synthetic.open_times import time_within, year_of
from kblampp.synthetic.question_words import say


def ask_tail(subjects: Subjects) -> Draft | None:
    """For the one tail of a head."""
    row = subjects.row("single")
    relation, fact = subjects.about(row)
    text = say(subjects.rng, relation.questions, x=fact.head.name)
    return Draft(text, "tail", row, fact.tail.name, [relation.id], fact.head.name)


def ask_temporal(subjects: Subjects) -> Draft | None:
    """For the only holder at a time."""
    row = subjects.row("successive")
    relation, fact = subjects.about(row)
    when, window = time_within(subjects.rng, subjects.some_window(row))
    path = subjects.holding(row, window)
    if len(subjects.tail_names(path)) != 1:
        return None
    text = say(subjects.rng, relation.questions, x=fact.head.name, when=when)
    return Draft(text, "temporal", path, subjects.name(path[0]), [relation.id], fact.head.name, time=window)


def ask_current(subjects: Subjects) -> Draft | None:
    """For the holder of today."""
    row = subjects.row("successive")
    relation, fact = subjects.about(row)
    path = subjects.holding(row, TODAY)
    if len(path) != 1:
        return None
    text = say(subjects.rng, relation.current, x=fact.head.name)
    return Draft(text, "current", path, subjects.name(path[0]), [relation.id], fact.head.name, mode="now")


def ask_first(subjects: Subjects) -> Draft | None:
    """For the first holder of several."""
    return _edge(subjects, "first", 0)


def ask_last(subjects: Subjects) -> Draft | None:
    """For the last holder of several."""
    return _edge(subjects, "last", -1)


def _edge(subjects: Subjects, kind: str, place: int) -> Draft | None:
    row = subjects.row("successive")
    if len(row) < 2:
        return None
    relation, fact = subjects.about(row)
    path = [row[place]]
    text = say(subjects.rng, getattr(relation, kind), x=fact.head.name)
    return Draft(text, kind, path, subjects.name(path[0]), [relation.id], fact.head.name, mode=kind)


def ask_before(subjects: Subjects) -> Draft | None:
    """For the holder before another."""
    return _neighbour(subjects, "before", -1)


def ask_after(subjects: Subjects) -> Draft | None:
    """For the holder after another."""
    return _neighbour(subjects, "after", 1)


def _neighbour(subjects: Subjects, kind: str, step: int) -> Draft | None:
    row = subjects.row("successive")
    place = subjects.rng.randrange(len(row))
    named = subjects.name(row[place])
    if not 0 <= place + step < len(row) or not subjects.held_once(row, named):
        return None
    relation, fact = subjects.about(row)
    path = [row[place + step]]
    text = say(subjects.rng, getattr(relation, kind), x=fact.head.name, t=named)
    return Draft(text, kind, path, subjects.name(path[0]), [relation.id], fact.head.name, named, mode=kind)


def ask_before_time(subjects: Subjects) -> Draft | None:
    """For the latest holder before a year."""
    row = subjects.row("successive")
    start = subjects.facts[row[subjects.rng.randrange(len(row))]].window.start
    if start is None:
        return None
    year = year_of(start) + subjects.rng.randint(0, 3)
    window = Window(None, year_window(year).start, "question")
    path = subjects.holding(row, window)[-1:]
    if not path or year > year_of(SYNTHETIC_TODAY):
        return None
    return _beside(subjects, "before", year, window, path)


def ask_after_time(subjects: Subjects) -> Draft | None:
    """For the first holder who begins after a year."""
    row = subjects.row("successive")
    end = subjects.facts[row[subjects.rng.randrange(len(row))]].window.end
    if end is None:
        return None
    year = year_of(end - 1) - subjects.rng.randint(0, 1)
    window = Window(year_window(year).end, None, "question")
    path = subjects.holding(row, window)[:1]
    # Who holds it across the year's end began before: right after the year could be either.
    if not path or (subjects.facts[path[0]].window.start or 0) < (window.start or 0):
        return None
    return _beside(subjects, "after", year, window, path)


def _beside(subjects: Subjects, side: str, year: int, window: Window, path: list[int]) -> Draft:
    """For the holder before or after a year, whose fact is known."""
    relation, fact = subjects.about(path)
    when = subjects.rng.choice((f"{side} {year}", f"right {side} {year}", f"just {side} {year}"))
    text = say(subjects.rng, relation.questions, x=fact.head.name, when=when)
    return Draft(text, f"{side}_time", path, subjects.name(path[0]), [relation.id], fact.head.name, time=window)


def ask_began(subjects: Subjects) -> Draft | None:
    """Since when somebody has held it."""
    return _bound(subjects, "began", "start")


def ask_ended(subjects: Subjects) -> Draft | None:
    """Until when somebody held it."""
    return _bound(subjects, "ended", "end")


def _bound(subjects: Subjects, kind: str, form: str) -> Draft | None:
    row = subjects.row("successive")
    number = subjects.rng.choice(row)
    fact = subjects.facts[number]
    day = fact.window.start if form == "start" else fact.window.end
    if day is None or not subjects.held_once(row, fact.tail.name):
        return None
    relation, _ = subjects.about(row)
    answer = in_words(day, last=False) if form == "start" else in_words(day - 1, last=True)
    text = say(subjects.rng, getattr(relation, kind), x=fact.head.name, t=fact.tail.name)
    year = str(year_of(day if form == "start" else day - 1))
    aliases = (year,) if "year" in text.casefold() and answer != year else ()  # "In what year ...?"
    ids, head, tail = [relation.id], fact.head.name, fact.tail.name
    return Draft(text, kind, [number], answer, ids, head, tail, form=form, aliases=aliases)


def ask_inverse(subjects: Subjects) -> Draft | None:
    """For the one head of a tail."""
    row = subjects.row("single", "successive", "many")
    relation, _ = subjects.about(row)
    fact = subjects.facts[subjects.rng.choice(row)]
    if not relation.inverse:
        return None
    wording = subjects.rng.choice(relation.inverse)
    path = subjects.heads_of[fact.tail.name, relation.id]
    one = len({subjects.facts[number].head.name for number in path}) == 1
    if not one or not subjects.only_meaning((wording,), fact.tail, relation):
        return None
    text = say(subjects.rng, (wording,), t=fact.tail.name)
    return Draft(text, "inverse", path, fact.head.name, [relation.id], None, fact.tail.name, inverse=True)
