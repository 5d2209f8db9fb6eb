"""HotpotQA (Yang et al. 2018): questions over several Wikipedia paragraphs, and the sentences that support them.

A fact is a whole sentence of a page: the dataset marks sentences, not relations, and nothing is read into them.  Takes
the official layout (distractor and fullwiki) and that of Hugging Face's `hotpot_qa`, which nests the same otherwise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kblampp.converters.conversion import Conversion, digest, disambiguation
from kblampp.converters.reading import find_files
from kblampp.data.facts import MOST_HOPS, Context, Entity, FiveTuple, Question, Relation
from kblampp.data.jsonl import Fields

NAME = "hotpotqa"
ORACLE_SOURCE = "hotpotqa_oracle"
"""The source of facts that hold the gold answer, so that no result can rest on them unnoticed."""
STATES = Relation("has_fact", "has fact")
ORACLE = Relation("oracle_answer", "oracle answer")
_PARAGRAPHS = "a list of [title, [sentence, ...]], or an object with lists title and sentences"
_SUPPORT = "a list of [title, sentence number from 0], or an object with lists title and sent_id"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, without white space at its ends, and the title of its page."""

    title: str
    text: str

    def states(self, answer: str) -> bool:
        """Whether the answer stands in it as whole words; yes and no are answers that no sentence states."""
        if answer in ("yes", "no"):
            return False
        return re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", self.text) is not None


@dataclass(frozen=True, slots=True)
class Row:
    """A checked row; `answer` is None in test files, `named` are the supporting sentences as the data name them."""

    qid: str
    question: str
    answer: str | None
    named: tuple[tuple[str, int], ...]
    paragraphs: tuple[tuple[str, tuple[str, ...]], ...]


def convert(raw: Path, conversion: Conversion) -> None:
    """Converts every JSON file of the folder.

    Raises:
        DataError: There is no file, or a row is malformed (unless `skip_bad`).
    """
    for path in find_files(raw, ("*.json*",), what="HotpotQA file"):
        for row in conversion.rows(path):
            conversion.attempt(partial(_convert, conversion), row)


def _convert(conversion: Conversion, fields: Fields) -> None:
    row = _read(fields)
    if row.answer is None:
        conversion.skip("no answer (test file)")
        return
    if "_id" not in fields.row and "id" not in fields.row:
        conversion.count("question ids made from the question's text")
    supporting, missing = _supporting(row)
    conversion.count("supporting facts named", len(row.named))
    conversion.count("supporting facts found", len(supporting))
    for reason, n in sorted(missing.items()):
        conversion.skip(f"supporting fact: {reason}", n)
    if not supporting:
        conversion.skip("question without any of its supporting sentences")
        return
    if missing.total():
        conversion.count("questions with only a part of their supporting facts")
    split = conversion.split_of(row.qid)
    ids = _add_facts(conversion, row, row.answer, supporting, split)
    if split == "train" and len(ids) > MOST_HOPS:
        conversion.skip(f"more than {MOST_HOPS} supporting facts (training)")
        return
    if row.answer in ("yes", "no"):
        conversion.count("yes/no answers")
    conversion.add_question(
        split,
        Question(
            qid=row.qid,
            dataset=NAME,
            question=row.question,
            answer=row.answer,
            aliases=(),
            type="multi-hop" if len(ids) > 1 else "single-hop",
            supporting_facts=ids,
            question_time=conversion.time_of(row.question),
        ),
    )


def _supporting(row: Row) -> tuple[list[Sentence], Counter[str]]:
    """The supporting sentences that are there, those with the answer last; how many are not, by reason."""
    found: list[Sentence] = []
    missing: Counter[str] = Counter()
    for title, number in dict.fromkeys(row.named):
        pages = {sentences for name, sentences in row.paragraphs if name == title}
        if not pages:
            missing["title not in the context"] += 1
        elif len(pages) > 1:
            missing["title stands over two paragraphs"] += 1
        elif number >= len(sentences := pages.pop()):
            missing["sentence number past the end"] += 1
        elif not sentences[number].strip():
            missing["empty sentence"] += 1
        else:
            found.append(Sentence(title, sentences[number].strip()))
    if repeated := len(row.named) - len(set(row.named)):
        missing["named twice"] = repeated
    answer = row.answer or ""
    return sorted(found, key=lambda sentence: sentence.states(answer)), missing


def _add_facts(
    conversion: Conversion, row: Row, answer: str, supporting: Sequence[Sentence], split: str
) -> tuple[int, ...]:
    """Adds the facts of a row; the ids of those that support its question, in their order."""
    ids: dict[int, None] = {}
    for sentence in supporting:
        number = conversion.add_fact(_fact(sentence), split)
        if conversion.options.oracle_facts and sentence.states(answer):
            number = conversion.add_fact(_fact(sentence, answer), split)
            conversion.count("oracle facts")
        ids[number] = None
    if conversion.options.distractor_facts:
        for title, sentences in row.paragraphs:
            for sentence in (Sentence(title, text.strip()) for text in sentences):
                if not sentence.text:
                    conversion.skip("distractor fact: empty sentence")
                elif sentence not in supporting:
                    conversion.add_fact(_fact(sentence), split)
                    conversion.count("distractor sentences")
    return tuple(ids)


def _fact(sentence: Sentence, oracle: str | None = None) -> FiveTuple:
    """The sentence as a fact about its page, or with `oracle` the answer that it holds."""
    return FiveTuple(
        Entity(sentence.title.replace(" ", "_"), sentence.title),
        STATES if oracle is None else ORACLE,
        Entity(None, sentence.text, "TEXT") if oracle is None else Entity(None, oracle),
        Context(
            NAME if oracle is None else ORACLE_SOURCE,
            sentence.title,
            sentence.text,
            disamb=disambiguation(sentence.title),
        ),
    )


def _read(fields: Fields) -> Row:
    """Checks a row of either layout.

    Raises:
        DataError: A field is missing or mistyped.
    """
    question = fields.name("question").strip()
    paragraphs = tuple(_paragraph(fields, *pair) for pair in _pairs(fields, "context", "sentences", _PARAGRAPHS))
    answer = (fields.text_or_none("answer") or "").strip() or None
    named: tuple[tuple[str, int], ...] = ()
    if answer is not None:
        named = tuple(_named(fields, *pair) for pair in _pairs(fields, "supporting_facts", "sent_id", _SUPPORT))
    id_field = next((name for name in ("_id", "id") if name in fields.row), None)
    qid = f"{NAME}-{digest(question)}" if id_field is None else fields.name(id_field)
    return Row(qid, question, answer, named, paragraphs)


def _pairs(fields: Fields, name: str, second: str, expected: str) -> list[tuple[Any, Any]]:
    """A list of pairs that is written as such, or as an object with one list of titles and one of `second`."""
    if isinstance(fields.row.get(name), Mapping):
        columns = fields.object(name)
        titles, others = (columns.items(column, object, "a list") for column in ("title", second))
        if len(titles) != len(others):
            raise columns.error(second, f"a list as long as {name}.title, which has {len(titles)}", others)
        return list(zip(titles, others, strict=True))
    pairs = fields.items(name, list, expected)
    for pair in pairs:
        if len(pair) != 2:
            raise fields.error(name, expected, pair)
    return [(first, other) for first, other in pairs]


def _paragraph(fields: Fields, title: object, sentences: object) -> tuple[str, tuple[str, ...]]:
    if not isinstance(sentences, list) or not all(isinstance(sentence, str) for sentence in sentences):
        raise fields.error("context", _PARAGRAPHS, sentences)
    return _title(fields, "context", title), tuple(sentences)


def _named(fields: Fields, title: object, number: object) -> tuple[str, int]:
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise fields.error("supporting_facts", _SUPPORT, number)
    return _title(fields, "supporting_facts", title), number


def _title(fields: Fields, name: str, title: object) -> str:
    if not isinstance(title, str) or not title.strip():
        raise fields.error(name, "titles that are texts and not blank", title)
    return title
