"""Any sequence of calls, against a list of dictionaries that was copied after each call."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kblampp.base.editing import changed, fact_of
from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.core.errors import DataError
from kblampp.data.facts import FiveTuple

NAMES = st.sampled_from(["Ada", "Bo", "Cy", "Straße 7", "名", 'o\'Neil; "x"'])
YEARS = st.sampled_from(["", "1990", "1990-05", "2001-02-28"])


@st.composite
def contents(draw: st.DrawFn) -> FiveTuple:
    return fact_of(draw(NAMES), draw(st.sampled_from(["knows", "leads"])), draw(NAMES), start=draw(YEARS))


class History(RuleBasedStateMachine):
    """The oracle keeps what the base said after each call as a whole, and what was undone."""

    @initialize()
    def make(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.base = KnowledgeBase.create(Path(self.folder.name) / "a.kb")
        self.states: list[dict[int, FiveTuple]] = [{}, {}]  # after call 0 and 1
        self.ids = 0
        self.undone: list[dict[int, int]] = [{}, {}]  # by which call each was undone, after each call
        self.calls = ["", "init"]

    def write(self, what: str, new: dict[int, FiveTuple], undone: dict[int, int] | None = None) -> None:
        self.states.append(new)
        self.calls.append(what)
        self.undone.append(dict(self.undone[-1]) if undone is None else undone)

    @property
    def now(self) -> dict[int, FiveTuple]:
        return dict(self.states[-1])

    @rule(facts=st.lists(contents(), min_size=1, max_size=4))
    def add(self, facts: list[FiveTuple]) -> None:
        new, wanted = self.now, []
        for fact in facts:
            same = [number for number, content in new.items() if content == fact]
            if not same:
                self.ids += 1
                new[self.ids] = fact
            wanted.append(same[0] if same else self.ids)
        assert self.base.add(facts) == wanted
        if new != self.states[-1]:
            self.write("add", new)

    @precondition(lambda self: self.states[-1])
    @rule(data=st.data(), tail=NAMES)
    def change(self, data: st.DataObject, tail: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.now)))
        content = changed(self.now[number], tail=tail)
        if content in self.now.values():
            with pytest.raises(DataError, match="already"):
                self.base.change(number, content)
            return
        self.base.change(number, content)
        self.write("change", self.now | {number: content})

    @precondition(lambda self: self.states[-1])
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        gone = data.draw(st.lists(st.sampled_from(sorted(self.now)), min_size=1, max_size=3))
        self.base.delete(gone)
        self.write("delete", {number: content for number, content in self.now.items() if number not in gone})

    @rule()
    def undo(self) -> None:
        """The last call that can be: what it did is as if it had not been."""
        candidates = [
            call
            for call in range(2, len(self.states))
            if call not in self.undone[-1] and self.calls[call] != "undo" and self.states[call] != self.states[call - 1]
        ]
        if not candidates:
            with pytest.raises(DataError, match="nothing to undo"):
                self.base.undo()
            return
        call = candidates[-1]
        before, after, new = self.states[call - 1], self.states[call], self.now
        touched = {n for n in before.keys() | after.keys() if before.get(n) != after.get(n)}
        if any(new.get(number) != after.get(number) for number in touched):
            with pytest.raises(DataError, match="changed after it"):
                self.base.undo()
            return
        for number in touched:
            new.pop(number, None)
            if number in before:
                new[number] = before[number]
        if len(set(new.values())) < len(new):
            with pytest.raises(DataError, match="says the same by now"):
                self.base.undo()
            return
        self.base.undo()
        standing = {one: by for one, by in self.undone[-1].items() if by != call}
        self.write("undo", new, standing | {call: len(self.states)})

    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        to, own = data.draw(st.integers(1, len(self.states) - 1)), len(self.states)
        self.base.rollback(to)
        since = {call: self.undone[-1].get(call, own) for call in range(to + 1, own)}
        self.write("rollback", dict(self.states[to]), self.undone[to] | since)

    @rule(word=st.sampled_from(["ada", "STRASSE", "straße", "leads"]), day=st.sampled_from([726_500, 730_000]))
    def search(self, word: str, day: int) -> None:
        def fits(fact: FiveTuple) -> bool:
            text = "\n".join((fact.head.name, fact.relation.name, fact.tail.name)).casefold()
            return word.casefold() in text and (fact.window.start is None or fact.window.start <= day)

        found = self.base.facts(search=word, held_on=day)
        assert {v.fact for v in found} == {number for number, fact in self.now.items() if fits(fact)}
        assert self.base.count(search=word, held_on=day) == len(found)

    @invariant()
    def every_state_is_still_there(self) -> None:
        if not hasattr(self, "states"):
            return
        assert self.base.version == len(self.states) - 1
        for call, state in enumerate(self.states):
            assert {v.fact: v.content for v in self.base.facts(known_at=call)} == state
        assert {call.id: call.undone_by for call in self.base.log() if call.undone_by} == self.undone[-1]
        assert not self.base.verify()

    def teardown(self) -> None:
        if hasattr(self, "base"):
            self.base.close()
            self.folder.cleanup()


History.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestHistory: Any = History.TestCase
