"""Whether some relation wins whatever is asked: a fact that nobody asks for is added, and no answer should change.

Of each of the bundled general relation labels one fact about the dossier's most frequent head is added, alone, and all
questions are asked again.  Some labels mean what a question asks, so that another answer is no fault; no program can
tell which, and the file says which questions they are.  Beside it all labels stand in one base, and each is asked for.
"""

from __future__ import annotations

import logging
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kblampp.core.errors import DataError
from kblampp.core.files import write_json
from kblampp.core.params import Params
from kblampp.core.progress import progress_bar
from kblampp.data.dataset import TRAINING_KB, Dataset
from kblampp.data.facts import Context, Entity, FiveTuple, Question, Relation
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.projections import general_relation_labels
from kblampp.evaluation.metrics import is_abstention, normalize_answer
from kblampp.evaluation.systems import Split
from kblampp.evaluation.table import rounded
from kblampp.model.answers import SEPARATOR
from kblampp.model.predictor import Predictor, Withheld
from kblampp.transfer.bases import SPLIT, open_dataset, open_predictor, read_base, sources
from kblampp.transfer.scoring import is_right

logger = logging.getLogger(__name__)
SOURCE = "hubs"
INVENTED, HEAD = "Orvane Tilsk", "Brennick Sallow"
"""The tail of the added facts, and the head of the base of all labels: names that no dossier has."""
AT_ONCE = 64
"""Labels a store: each question hides all of them but one, and hiding takes time for every hidden fact."""
WORST = 10
_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
_STRIDE = 104729  # a prime, so that neighbours differ in every syllable and no name comes twice


@dataclass(frozen=True)
class Asker:
    """What opens a base and asks it.

    Attributes:
        params: Of encoder and index.
        store: The folder `store`.
        encoders: Those of `params.encoder`.
        predictor: The model.
    """

    params: Params
    store: Path
    encoders: Encoders
    predictor: Predictor

    def ask(
        self, facts: Sequence[FiveTuple], questions: Sequence[Question], hidden: Sequence[Sequence[int]] = ((),)
    ) -> Iterator[list[str]]:
        """Answers to all questions, (n,), each time with other facts hidden from all of them.

        Args:
            facts: The base.
            questions: What is asked.
            hidden: The facts that are hidden, for each time.
        """
        dataset = Dataset(SOURCE, {TRAINING_KB: list(facts)}, {SPLIT: list(questions)}, {SPLIT: TRAINING_KB})
        # Windows does not remove files that are still mapped into memory, as the base's keys are.
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            place = self.params, self.store, self.predictor.backbone, self.encoders, Path(scratch)
            opened = open_dataset(dataset, {SOURCE: SPLIT}, *place)
            for each in hidden:
                yield self._answers(opened[SOURCE], each)

    def _answers(self, split: Split, hidden: Sequence[int]) -> list[str]:
        options = self.predictor.options
        fewer = replace(options, top_k=min(options.top_k, split.base.store.n - len(hidden)))
        withheld: Withheld = [hidden] * len(split.encoded) if hidden else None
        asked = replace(self.predictor, options=fewer).predict(split.base, split.encoded, SOURCE, withheld)
        return [prediction.text for prediction in asked]


def run_hubs(
    params: Params, *, data: Path, store: Path, metrics: Path, dossier: str, labels: int | None = None
) -> dict[str, Any]:
    """Measures both on the adapter of `params.dataset`, and writes the figures to `hubs.json`.

    Args:
        params: The parameters.
        data: Holds the dossiers.
        store: Holds projections and adapter.
        metrics: Where the file goes.
        dossier: The dossier that facts are added to.
        labels: How many labels, drawn with the seed; None for all.

    Returns:
        What is written.

    Raises:
        KBLaMError: An input is missing, damaged, or does not fit the others; there is no such dossier.
    """
    (source,) = sources(data, names=[dossier])
    if not source.is_dossier:
        raise DataError(f"{dossier} is no dossier: facts are added to one of data/dossiers")
    predictor, encoders = open_predictor(params, store)
    asker = Asker(params, store, encoders, predictor)
    with tempfile.TemporaryDirectory() as scratch:
        dataset = read_base(source, params, Path(scratch))
    chosen = chosen_labels(labels, params.seed)
    result = {
        "dossier": dossier,
        "alone": alone(asker, dataset.kbs[TRAINING_KB], dataset.questions[SPLIT], chosen),
        "together": together(asker, chosen),
    }
    write_json(metrics / "hubs.json", result)
    return result


def chosen_labels(number: int | None, seed: int) -> list[str]:
    """The bundled labels, each once, or so many of them, in their order.

    Raises:
        DataError: There are fewer.
    """
    labels = list(dict.fromkeys(general_relation_labels()))
    if number is None:
        return labels
    if number > len(labels):
        raise DataError(f"{number} labels are asked for, but there are {len(labels)}")
    drawn = set(random.Random(f"hubs/{seed}").sample(labels, number))
    return [label for label in labels if label in drawn]


def alone(
    asker: Asker, facts: Sequence[FiveTuple], questions: Sequence[Question], labels: Sequence[str]
) -> dict[str, Any]:
    """How many answers change when a fact of one label is added.

    Labels that the head has as a relation are left out: a second fact of it is asked for, and changes what the first
    one's place in a row is.

    Args:
        asker: Asks.
        facts: The base.
        questions: What is asked about it.
        labels: The labels.
    """
    head = Counter(fact.head for fact in facts).most_common(1)[0][0]
    has = {normalize_answer(fact.relation.name) for fact in facts if fact.head == head}
    added = [label for label in labels if normalize_answer(label) not in has]
    (before,) = asker.ask(facts, questions)
    changes: dict[str, dict[str, Any]] = {}
    with progress_bar(total=len(added), desc="labels", leave=False) as progress:
        for start in range(0, len(added), AT_ONCE):
            part = added[start : start + AT_ONCE]
            base = [*facts, *(_fact(head, label, INVENTED) for label in part)]
            numbers = range(len(facts), len(base))
            hidden = [[other for other in numbers if other != number] for number in numbers]
            for label, after in zip(part, asker.ask(base, questions, hidden), strict=True):
                changes[label] = changed(questions, before, after)
                progress.update()
    figures = {label: {name: row[name] for name in ("changed", "taken")} for label, row in changes.items()}
    worst = sorted(changes, key=lambda label: -changes[label]["changed"])[:WORST]
    asked = len(added) * len(questions)
    total = {name: sum(row[name] for row in figures.values()) for name in ("changed", "taken")}
    return {
        "head": head.name,
        "labels": len(added),
        "left_out": [label for label in labels if label not in added],
        "questions": len(questions),
        "asked": asked,
        **total,
        **rounded({"share": total["changed"] / max(asked, 1)}),
        "by_label": {label: row for label, row in figures.items() if row["changed"]},
        "worst": [{"label": label, **changes[label]} for label in worst if changes[label]["changed"]],
    }


def changed(questions: Sequence[Question], before: Sequence[str], after: Sequence[str]) -> dict[str, Any]:
    """How many answers are others than before, how many of these name the added fact's tail, and which they are."""
    rows = [
        {"question": question.question, "before": old, "after": new}
        for question, old, new in zip(questions, before, after, strict=True)
        if old != new
    ]
    return {
        "changed": len(rows),
        "taken": sum(INVENTED in row["after"].split(SEPARATOR) for row in rows),
        "answers": rows,
    }


def together(asker: Asker, labels: Sequence[str]) -> dict[str, Any]:
    """How many labels are found when all are relations of one head, and whose facts answer for others.

    Args:
        asker: Asks.
        labels: The labels.
    """
    head = Entity(None, HEAD)
    tails = [made_up(number) for number in range(len(labels))]
    facts = [_fact(head, label, tail) for label, tail in zip(labels, tails, strict=True)]
    questions = [
        Question(
            f"{SOURCE}_{number}",
            SOURCE,
            f"What is the {label} of {HEAD}?",
            tail,
            (),
            "single-hop",
            (number,),
            kind="tail",
        )
        for number, (label, tail) in enumerate(zip(labels, tails, strict=True))
    ]
    (said,) = asker.ask(facts, questions)
    label_of = dict(zip(tails, labels, strict=True))
    wrong = {
        label: text
        for label, question, text in zip(labels, questions, said, strict=True)
        if not is_right(question, text)
    }
    refused = [label for label, text in wrong.items() if is_abstention(text)]
    instead: Mapping[str, int] = Counter(label_of[text] for text in wrong.values() if text in label_of)
    right = len(labels) - len(wrong)
    return {
        "labels": len(labels),
        "right": right,
        **rounded({"share": right / max(len(labels), 1)}),
        "refused": len(refused),
        "other": len(wrong) - len(refused) - sum(instead.values()),
        "instead": dict(sorted(instead.items(), key=lambda pair: (-pair[1], pair[0]))),
        "wrong": {label: label_of.get(text, text) for label, text in wrong.items()},
    }


def made_up(number: int) -> str:
    """A name of three syllables; no two numbers below 343,000 have the same."""
    place, name = number * _STRIDE % len(_SYLLABLES) ** 3, ""
    for _ in range(3):
        place, syllable = divmod(place, len(_SYLLABLES))
        name += _SYLLABLES[syllable]
    return name.capitalize()


def _fact(head: Entity, label: str, tail: str) -> FiveTuple:
    return FiveTuple(head, Relation(None, label), Entity(None, tail), Context(SOURCE))
