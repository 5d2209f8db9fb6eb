"""KBLaM's knowledge bases (Wang et al. 2025): names with described properties, and a question about each.

A row is a fact and the question that asks for it; the key of KBLaM, "the <property> of <name>", is head and relation.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from kblampp.converters.conversion import Conversion, digest
from kblampp.converters.reading import find_files
from kblampp.data.facts import Context, Entity, FiveTuple, Question, Relation
from kblampp.data.jsonl import Fields

NAME = "kblam"
UNUSED = ("key_string", "extended_Q", "extended_A")
"""Fields that a row may have: the key that head and relation make, and a question after several rows at once."""


def convert(raw: Path, conversion: Conversion) -> None:
    """Converts every JSON file of the folder, list or lines.

    Raises:
        DataError: There is no file, or a row is malformed (unless `skip_bad`).
    """
    for path in find_files(raw, ("*.json*",), what="KBLaM file"):
        for row in conversion.rows(path):
            conversion.attempt(partial(_convert, conversion), row)


def _convert(conversion: Conversion, row: Fields) -> None:
    texts = [row.name(field).strip() for field in ("name", "description_type", "description", "Q")]
    name, relation, description, question = texts
    fact = FiveTuple(
        Entity(None, name, row.text_or_none("entity_type")),
        Relation(None, relation),
        Entity(None, description, "TEXT"),
        Context(NAME, sent_span=row.text("A").strip()),
    )
    unused = [field for field in UNUSED if row.text_or_none(field) is not None]
    for field in unused:
        conversion.count(f"rows with {field} (not used)")
    split = conversion.split_of(name)
    number = conversion.add_fact(fact, split)
    conversion.add_question(
        split,
        Question(
            qid=f"{NAME}-{digest(json.dumps(texts))}",
            dataset=NAME,
            question=question,
            answer=description,
            aliases=(),
            type="single-hop",
            supporting_facts=(number,),
            question_time=conversion.time_of(question),
        ),
    )
