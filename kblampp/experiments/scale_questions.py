"""Questions of several sources that one large base can be asked, each with the facts that its answer rests on.

A base of any size holds those facts and is filled up with others (`scale_fillers`), so that the same questions are
asked of all sizes.  What fills it must not change an answer: a question is left out where it names nothing that tells
what it is about among the facts of all sources, and words that stand for a name without the rest of it are reserved.
"""

from __future__ import annotations

import itertools
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kblampp.core.params import Params
from kblampp.data.dataset import Dataset
from kblampp.data.facts import UNANSWERABLE, Entity, FiveTuple, Question, Relation
from kblampp.model.text_hashes import LEAST_LETTERS, NO_NAMES, WORD
from kblampp.transfer.bases import read_base, sources

WORLDS = ("swap", "novel")
DOSSIERS = "dossiers"
MOST_CORE, MOST_ABOUT = 80, 40
"""Facts that an answer may rest on; a question with more is left out.  And facts that are taken about what an
unanswerable one names."""


@dataclass(frozen=True)
class Asked:
    """A question and what it is about.

    Attributes:
        source: Where it comes from: the dossiers together, YAGO, or one of the worlds.
        question: The question; its supporting facts are numbers of `Questions.facts`.
        core: The facts that its answer rests on, and others about what it names; numbers of `Questions.facts`.
    """

    source: str
    question: Question
    core: tuple[int, ...]

    @property
    def kind(self) -> str:
        """Of the question, as fine as the source says it."""
        return self.question.kind or self.question.type

    @property
    def answerable(self) -> bool:
        """Whether its source says the answer."""
        return self.question.type != UNANSWERABLE


@dataclass(frozen=True)
class Questions:
    """What is asked, and all facts of the sources.

    Attributes:
        facts: Of all sources, with identifiers that tell the sources apart.
        asked: The questions.
        reserved: Words, in lower case, that stand in questions for names; no name that is filled in may have one.
        left_out: How many questions are not asked since they name nothing that tells what they are about.
    """

    facts: list[FiveTuple]
    asked: list[Asked]
    reserved: frozenset[str]
    left_out: int

    def chunks(self, room: int) -> list[list[Asked]]:
        """The questions in their order, parted so that the facts of each part are at most `room`."""
        parts: list[list[Asked]] = []
        held: set[int] = set()
        for each in self.asked:
            if not parts or len(held | set(each.core)) > room:
                parts.append([])
                held = set()
            parts[-1].append(each)
            held |= set(each.core)
        return parts


def read_questions(params: Params, data: Path, per_kind: int) -> Questions:
    """Questions of the open dossiers, YAGO and the worlds `swap` and `novel`.

    Args:
        params: Of the conversion; their dataset has the worlds.
        data: Holds the sources.
        per_kind: Most questions of each kind of a source; the dossiers are one.

    Raises:
        KBLaMError: A source is missing or malformed.
    """
    facts: list[FiveTuple] = []
    found: list[tuple[str, Question, list[FiveTuple], int]] = []
    for name, kb, questions in _sources(params, data):
        start = len(facts)
        facts += _told_apart(kb, str(start))
        of_source = name if name == "yago" or name in WORLDS else DOSSIERS
        found += [(of_source, question, kb, start) for question in questions]
    names_of_words = _names_of_words(facts)
    asked: list[Asked] = []
    reserved: set[str] = set()
    count: Counter[tuple[str, str]] = Counter()
    left_out = 0
    rows: dict[int, _Rows] = {}
    for source, question, kb, start in found:
        group = source, question.kind or question.type
        if count[group] >= per_kind:
            continue
        of_base = rows.setdefault(start, _Rows.of(kb))
        named, short = _named(question, kb, of_base, names_of_words)
        core = of_base.core(question, named)
        if core is None or not (named or short or question.type == UNANSWERABLE):
            left_out += 1
            continue
        count[group] += 1
        reserved |= short
        moved = replace(question, supporting_facts=tuple(start + number for number in question.supporting_facts))
        asked.append(Asked(source, moved, tuple(start + number for number in core)))
    return Questions(facts, asked, frozenset(reserved), left_out)


def _sources(params: Params, data: Path) -> Iterator[tuple[str, list[FiveTuple], list[Question]]]:
    """Name, facts and questions of each source."""
    for source in sources(data):
        with tempfile.TemporaryDirectory() as scratch:
            dataset = read_base(source, params, Path(scratch))
        for split in source.splits.values():
            yield source.name, dataset.kbs[dataset.kb_of_split[split]], list(dataset.questions[split])
    dataset = Dataset.load(data, params.dataset, WORLDS)
    for world in WORLDS:
        yield world, dataset.kbs[dataset.kb_of_split[world]], list(dataset.questions[world])


def _told_apart(facts: Iterable[FiveTuple], mark: str) -> list[FiveTuple]:
    """The facts with identifiers that no other source has: two of one number are not the same entity."""

    def entity(one: Entity) -> Entity:
        return replace(one, id=f"{mark}/{one.id or one.name}")

    return [
        replace(
            fact,
            head=entity(fact.head),
            tail=entity(fact.tail),
            relation=Relation(f"{mark}/{fact.relation.id or fact.relation.name}", fact.relation.name),
        )
        for fact in facts
    ]


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return [word.casefold() for word in WORD.findall(text)]


def standing_words(text: str) -> set[str]:
    """Words of a question that may stand for a name, in lower case: those with a capital letter or a digit."""
    words = [word for place, word in enumerate(WORD.findall(text)) if place or any(letter.isdigit() for letter in word)]
    return {
        word.casefold()
        for word in words
        if len(word) >= LEAST_LETTERS and not word.islower() and word.casefold() not in NO_NAMES
    }


def _names_of_words(facts: Iterable[FiveTuple]) -> dict[str, set[str]]:
    """The names of all sources that have a word."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in {entity.name for fact in facts for entity in (fact.head, fact.tail)}:
        for word in words_of(name):
            found[word].add(name)
    return found


def _named(
    question: Question, kb: Sequence[FiveTuple], rows: _Rows, names_of_words: Mapping[str, set[str]]
) -> tuple[list[str], set[str]]:
    """The names of the base that a question has in full, and the words in it that stand for one without the rest.

    Such a word counts only if no name of another source has it.
    """
    text = " ".join(words_of(question.question))
    padded = f" {text} "
    near = {name for word in set(words_of(question.question)) for name in rows.names_of_word.get(word, ())}
    named = sorted(name for name in near if f" {' '.join(words_of(name))} " in padded)
    told = {word for name in named for word in words_of(name)}
    gold = {entity.name for number in question.supporting_facts for entity in (kb[number].head, kb[number].tail)}
    short = standing_words(question.question) - told
    if question.type == UNANSWERABLE:
        return named, short
    own = {word for name in gold for word in words_of(name) if len(word) >= LEAST_LETTERS}
    asked = set(words_of(question.question)) - told - NO_NAMES
    stands = {word for word in asked & own if names_of_words[word] <= rows.names}
    return named, short | stands if named or stands else set()


@dataclass(frozen=True)
class _Rows:
    """The facts of one source by what they are about.

    Attributes:
        facts: The facts.
        of_head: Those of a head and relation.
        of_tail: Those of a tail and relation.
        about: Those that have a name.
        names: Of heads and tails.
        names_of_word: Those that have a word.
    """

    facts: Sequence[FiveTuple]
    of_head: Mapping[tuple[str, str], list[int]]
    of_tail: Mapping[tuple[str, str], list[int]]
    about: Mapping[str, list[int]]
    names: frozenset[str]
    names_of_word: Mapping[str, set[str]]

    @classmethod
    def of(cls, facts: Sequence[FiveTuple]) -> _Rows:
        """Of the facts of a source."""
        of_head: dict[tuple[str, str], list[int]] = defaultdict(list)
        of_tail: dict[tuple[str, str], list[int]] = defaultdict(list)
        about: dict[str, list[int]] = defaultdict(list)
        for number, fact in enumerate(facts):
            of_head[fact.head.name, fact.relation.name].append(number)
            of_tail[fact.tail.name, fact.relation.name].append(number)
            for name in {fact.head.name, fact.tail.name}:
                about[name].append(number)
        return cls(facts, of_head, of_tail, about, frozenset(about), _names_of_words(facts))

    def _onward(self, met: dict[str, None]) -> Iterator[str]:
        """The names at the other ends of the facts about names, the nearest first; `met` grows by them."""
        queue = list(met)
        while queue:
            for number in self.about[queue.pop(0)]:
                for entity in (self.facts[number].head, self.facts[number].tail):
                    if entity.name not in met:
                        met[entity.name] = None
                        queue.append(entity.name)
                        yield entity.name

    def core(self, question: Question, named: Sequence[str]) -> list[int] | None:
        """The facts that must be there for the answer to be right; None where they are too many.

        These are the facts that answer it with the rest of their rows, read from both ends.  Where the source does not
        say which do, as the dossiers, they are those about what it names, about the other ends of these, and so on.
        """
        found: dict[int, None] = dict.fromkeys(question.supporting_facts)
        for number in question.supporting_facts:
            fact = self.facts[number]
            found |= dict.fromkeys(self.of_head[fact.head.name, fact.relation.name])
            if question.kind in ("inverse", "count", "list", "yes_no"):
                found |= dict.fromkeys(self.of_tail[fact.tail.name, fact.relation.name])
        if not question.supporting_facts:
            most = MOST_ABOUT if question.type == UNANSWERABLE else MOST_CORE
            met = dict.fromkeys(named)
            for name in itertools.chain(named, self._onward(met) if question.type != UNANSWERABLE else ()):
                found |= dict.fromkeys(self.about[name][: most - len(found)])
        return list(found) if len(found) <= MOST_CORE else None
