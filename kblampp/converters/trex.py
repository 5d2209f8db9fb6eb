"""T-REx (Elsahar et al. 2018): Wikipedia abstracts aligned with Wikidata's statements; and KILT's version of it.

Each statement stands many times in a document, once for each aligner and pair of mentions; here it is one fact for each
sentence that it was aligned with.  Neither version says when a fact holds, so no window is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kblampp.converters.conversion import Conversion
from kblampp.converters.reading import find_files
from kblampp.converters.trex_labels import LABELS, read_labels
from kblampp.core.errors import DataError
from kblampp.data.facts import Context, Entity, FiveTuple, Question, Relation
from kblampp.data.jsonl import Fields

NAME = "trex"
SEPARATOR = " [SEP] "
_COREFERENCE = "Simple_Coreference"
_PRONOUNS = frozenset(["he", "she", "it", "they", "him", "her", "them", "his", "its", "their"])
_ITEM = re.compile(r"(?:^|/)(Q\d+)>?$")
_PROPERTY = re.compile(r"(?:^|/)(P\d+)>?$")


@dataclass(frozen=True, slots=True)
class Mention:
    """A stretch of the text, or none, that stands for a uri; `surface` is None if it does not name it by itself."""

    uri: str
    surface: str | None
    span: tuple[int, int] | None

    @property
    def item(self) -> str | None:
        match = _ITEM.search(self.uri)
        return match[1] if match else None


@dataclass(slots=True)
class Statement:
    """What the triples of a document say that agree in subject, predicate, object and sentence."""

    subject: Mention
    predicate: str
    object: Mention
    sentence: str
    head: str | None = None
    tail: str | None = None
    aligners: set[str] = field(default_factory=set)


class Document:
    """A checked document of the official files.

    Raises:
        DataError: A field is missing or mistyped, or an offset is wrong.
    """

    def __init__(self, row: Fields) -> None:
        self.docid, self.text = row.name("docid"), row.text("text")
        title = (row.text_or_none("title") or "").strip()
        self.title = title or self.docid
        sentences = [self._span(row, "sentences_boundaries", pair) for pair in _lists(row, "sentences_boundaries")]
        mentions = [self._mention(entity) for entity in _objects(row, "entities")]
        self._names = {item.uri: item.surface for item in reversed(mentions) if item.surface}
        if title:
            for uri in (self.docid, row.text_or_none("uri")):
                self._names.setdefault(uri or self.docid, title)
        triples = [self._triple(triple, sentences) for triple in _objects(row, "triples")]
        self.n_triples = len(triples)
        self.statements: dict[tuple[str, ...], Statement] = {}
        for triple in triples:
            key = (triple.subject.uri, triple.predicate, triple.object.uri, triple.sentence)
            known = self.statements.setdefault(key, triple)
            known.head, known.tail = known.head or triple.head, known.tail or triple.tail
            known.aligners |= triple.aligners

    def _triple(self, triple: Fields, sentences: Sequence[tuple[int, int]]) -> Statement:
        number = triple.whole("sentence_id")
        if number >= len(sentences):
            raise triple.error("sentence_id", f"a number below {len(sentences)}, the count of sentences", number)
        start, end = sentences[number]
        subject, target = self._mention(triple.object("subject")), self._mention(triple.object("object"))
        if target.span is not None and not start <= target.span[0] <= target.span[1] <= end:
            expected = f"a place in sentence {number}, which is [{start}, {end}]"
            raise triple.object("object").error("boundaries", expected, list(target.span))
        if subject.item is None:
            raise triple.object("subject").error("uri", "an address that ends in a QID", subject.uri)
        predicate = triple.object("predicate")
        match = _PROPERTY.search(predicate.name("uri"))
        if match is None:
            raise predicate.error("uri", "an address that ends in a PID", predicate.row["uri"])
        aligner = triple.text_or_none("annotator")
        return Statement(
            subject,
            match[1],
            target,
            self.text[start:end].strip(),
            subject.surface or self._names.get(subject.uri),
            target.surface or self._names.get(target.uri),
            set() if aligner is None else {aligner},
        )

    def _mention(self, fields: Fields) -> Mention:
        uri, surface = fields.name("uri"), fields.text_or_none("surfaceform")
        place = fields.row.get("boundaries")
        span = None if place is None else self._span(fields, "boundaries", place)
        if span is not None and self.text[slice(*span)] != surface:
            expected = f"the text at {list(span)}, {self.text[slice(*span)][:40]!r}"
            raise fields.error("surfaceform", expected, surface)
        name = (surface or "").strip()
        pronoun = fields.text_or_none("annotator") == _COREFERENCE or name.lower() in _PRONOUNS
        return Mention(uri, None if pronoun or not name else name, span)

    def _span(self, fields: Fields, name: str, pair: object) -> tuple[int, int]:
        if isinstance(pair, list) and len(pair) == 2 and all(type(bound) is int for bound in pair):
            start, end = pair
            if 0 <= start <= end <= len(self.text):
                return start, end
        raise fields.error(name, f"[start, end] in the text, which has {len(self.text)} characters", pair)


def convert(raw: Path, conversion: Conversion) -> None:
    """Converts every JSON file of the folder; the layout is told from each row.

    Raises:
        DataError: A file is missing, or a row is malformed (unless `skip_bad`).
    """
    labels: Mapping[str, str] | None = None
    for path in find_files(raw, ("*.json*",), what="T-REx file"):
        for row in conversion.rows(path):
            if "triples" in row.row:
                if labels is None:  # not within `attempt`: without the names no row is of use, so this stops the stage
                    labels = read_labels(raw / LABELS)
                conversion.attempt(partial(_document, conversion, labels), row)
            elif "input" in row.row:
                conversion.attempt(partial(_kilt, conversion), row)
            else:
                expected = "triples (official files) or input (KILT's)"
                conversion.bad(DataError(f"{row.where} is no row of T-REx: expected a field {expected}"))


def _document(conversion: Conversion, labels: Mapping[str, str], row: Fields) -> None:
    document = Document(row)
    repeated = document.n_triples - len(document.statements)
    conversion.count("triples", document.n_triples)
    conversion.count("triples that repeat one of their sentence (other mention or aligner)", repeated)
    facts_of: dict[tuple[str, str], list[FiveTuple]] = {}
    for statement in document.statements.values():
        label = labels.get(statement.predicate)
        if label is None:
            conversion.skip("predicate without a label")
        elif not statement.sentence:
            conversion.skip("empty sentence")
        elif statement.head is None or statement.tail is None:
            conversion.skip("pronoun, or no name, for an entity that is not named elsewhere in the document")
        else:
            fact = _fact(document, statement, label, statement.head, statement.tail)
            facts_of.setdefault((str(fact.head.id), statement.predicate), []).append(fact)
    for (subject, predicate), facts in facts_of.items():
        split = conversion.split_of(subject)
        ids = tuple(dict.fromkeys(conversion.add_fact(fact, split) for fact in facts))
        answers = [fact.tail.name for fact in facts]
        _ask(conversion, split, f"{NAME}-{subject}-{predicate}", facts[0], answers, ids)


def _fact(document: Document, statement: Statement, label: str, head: str, tail: str) -> FiveTuple:
    return FiveTuple(
        Entity(statement.subject.item, head),
        Relation(statement.predicate, label),
        Entity(statement.object.item, tail, "TIME" if "XMLSchema#dateTime" in statement.object.uri else None),
        Context(
            NAME,
            document.title,
            statement.sentence,
            ver={"url": document.docid, "aligners": sorted(statement.aligners)},
        ),
    )


def _kilt(conversion: Conversion, row: Fields) -> None:
    """A row of KILT's files: no ids and no sentence, the answer and the pages that it was found on."""
    qid, parts = row.name("id"), [part.strip() for part in row.name("input").split(SEPARATOR)]
    if len(parts) != 2 or not all(parts):
        raise row.error("input", f"subject{SEPARATOR}relation", row.row["input"])
    if row.row.get("output") is None:
        conversion.skip("no answer (test file)")
        return
    outputs = list(_objects(row, "output"))
    answers = [text for output in outputs if (text := (output.text_or_none("answer") or "").strip())]
    pages = [page for output in outputs for page in _provenance(output)]
    if not answers:
        conversion.skip("output without an answer")
        return
    page_title, page_id = pages[0] if pages else ("", None)
    ver = {} if page_id is None else {"wikipedia_id": page_id}
    fact = FiveTuple(
        Entity(None, parts[0]), Relation(None, parts[1]), Entity(None, answers[0]), Context(NAME, page_title, ver=ver)
    )
    split = conversion.split_of(parts[0])
    conversion.count("facts without a sentence (KILT)")
    _ask(conversion, split, qid, fact, answers, (conversion.add_fact(fact, split),))


def _ask(
    conversion: Conversion, split: str, qid: str, fact: FiveTuple, answers: Sequence[str], ids: tuple[int, ...]
) -> None:
    """Asks for the tail; the data have no questions, so all are of one template."""
    question = f"What is the {fact.relation.name} of {fact.head.name}?"
    answer, *aliases = dict.fromkeys(answers)
    time = conversion.time_of(question)
    conversion.add_question(split, Question(qid, NAME, question, answer, tuple(aliases), "single-hop", ids, time))


def _provenance(output: Fields) -> list[tuple[str, str | None]]:
    """Title and id of the pages of an answer."""
    if output.row.get("provenance") is None:
        return []
    return [(page.name("title"), page.text_or_none("wikipedia_id")) for page in _objects(output, "provenance")]


def _lists(row: Fields, name: str) -> list[list[object]]:
    return row.items(name, list, "a list of [start, end]")


def _objects(row: Fields, name: str) -> Iterator[Fields]:
    for number, value in enumerate(row.items(name, dict, "a list of objects")):
        yield Fields(value, row.where, f"{row.prefix}{name}[{number}].")
