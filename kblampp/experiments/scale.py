"""One size of the curve: bases of N facts are filled, and the same questions are asked of each size.

Where the facts that the answers rest on do not fit into one base of N facts, the questions are parted among several.
"""

from __future__ import annotations

import itertools
import shutil
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.core.errors import StoreError
from kblampp.core.files import read_json, write_json
from kblampp.core.progress import progress_bar
from kblampp.data.facts import Question
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.sentence_encoder import FloatArray
from kblampp.evaluation.metrics import auroc, is_abstention
from kblampp.evaluation.questions import with_times
from kblampp.experiments.scale_fillers import Fillers
from kblampp.experiments.scale_questions import Asked
from kblampp.experiments.scale_strings import KeptEncoders, KeptStrings
from kblampp.experiments.scale_systems import Columns, SearchedStrings, texts_of
from kblampp.index.knowledge_index import SearchIndex
from kblampp.model.inputs import EncodedBase, EncodedQuestions
from kblampp.model.predictor import Prediction, Predictor
from kblampp.model.prompts import in_context_prompt
from kblampp.snapshots.fact_encoder import FactEncoder
from kblampp.snapshots.snapshot import Snapshot
from kblampp.time_expressions.parse import without_time
from kblampp.transfer.scoring import is_right

BLOCK = 10_000
"""Facts that are written in one call."""
KB, COLUMNS, BUILT = "base.kb", "columns", "built.json"
KS = (1, 8)
SYSTEMS = ("phrase_lookup", "rag_8", "in_context")
MOST_SHOWN = 1000
"""Facts that are tried to be put into one prompt."""
EXACT = 1 << 16
"""Keys that are compared at a time."""


def room_of(facts: int) -> int:
    """How many of the facts of a base answers may rest on: the others are there to be passed over."""
    return facts * 4 // 5


def fill(folder: Path, facts: int, chunk: Sequence[Asked], fillers: Fillers, encoder: FactEncoder) -> dict[str, Any]:
    """Makes a base of so many facts with its vectors and its segment; what it took, which is written beside it.

    Args:
        folder: Where it goes; what stands there is removed.
        facts: How many.
        chunk: What it is asked; the facts of these questions come first.
        fillers: The others.
        encoder: Makes vectors; strings that it keeps are made first, and are counted apart.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / COLUMNS).mkdir(parents=True)
    columns, strings = Columns(), encoder.encoders
    took: dict[str, float] = defaultdict(float)
    rows: list[int] = []
    held, core = 0, len(core_of(chunk))
    with (
        KnowledgeBase.create(folder / KB) as base,
        progress_bar(total=facts, desc=f"{facts} facts", unit="facts", leave=False) as progress,
    ):
        stream = fillers.of(chunk)
        while held < facts:
            block = list(itertools.islice(stream, min(BLOCK, facts - held)))
            if isinstance(strings, KeptEncoders):
                with _timed(took, "strings_s"):
                    took["strings"] += strings.strings.add(texts_of(block))
            with _timed(took, "write_s"):
                ids = base.add(block, what="import")
            rows += [number - 1 for number in ids[: core - len(rows)]]
            new = []
            for fact, number in zip(block, ids, strict=True):
                if number == held + 1:  # else it stands there already
                    held += 1
                    new.append(fact)
            columns.add(new)
            progress.update(len(new))
        with _timed(took, "segment_s"):
            Snapshot.of(base, encoder, base.version)
    columns.save(folder / COLUMNS)
    told = {"facts": held, "encoder": encoder.fingerprint, "core": rows, **took}
    write_json(folder / BUILT, told)
    return told


@contextmanager
def _timed(took: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    took[name] += time.perf_counter() - start


def core_of(chunk: Sequence[Asked]) -> list[int]:
    """The facts that answers rest on, in their order in the base."""
    return list(dict.fromkeys(number for asked in chunk for number in asked.core))


def is_built(folder: Path, facts: int, encoder: FactEncoder) -> bool:
    """Whether `fill` has made a base of so many facts there, with the vectors of this encoder."""
    if not (folder / BUILT).is_file():
        return False
    told = read_json(folder / BUILT)
    return bool(told["facts"] == facts and told["encoder"] == encoder.fingerprint)


def questions_of(folder: Path, chunk: Sequence[Asked], encoders: Encoders, as_of: int) -> EncodedQuestions:
    """Questions as they are put to the base in a folder, whose rows their supporting facts are."""
    rows = dict(zip(core_of(chunk), read_json(folder / BUILT)["core"], strict=True))
    questions = [
        replace(asked.question, supporting_facts=tuple(rows[number] for number in asked.question.supporting_facts))
        for asked in chunk
    ]
    vectors = encoders.embed_questions([without_time(question.question) for question in questions])
    return with_times(questions, vectors.astype(np.float32), as_of)


class Recorder:
    """An index that remembers what it was asked and what it found.

    Args:
        index: What it asks.
    """

    def __init__(self, index: SearchIndex) -> None:
        self._index = index
        self.calls: list[tuple[npt.NDArray[Any], FloatArray, npt.NDArray[np.int64]]] = []

    @property
    def n(self) -> int:
        """Number of keys."""
        return self._index.n

    def search(self, queries: npt.NDArray[Any], k: int) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """As that of the index."""
        scores, ids = self._index.search(queries, k)
        self.calls.append((queries, scores, ids))
        return scores, ids


@dataclass
class Said:
    """What was said to the questions of one size, all chunks together.

    Attributes:
        asked: The questions.
        texts: The answers of each system.
        null: The model's weights of the null fact.
        found: For each question whose source says which facts answer it, whether one of them is among the first `KS`
            keys of the first search, and then among the first `KS` facts that the last layer weighed.
        index: Shares of the 8 best keys that the first search found, of some questions.
        seconds: What each question took the model, one after the other.
    """

    asked: list[Asked] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    null: list[float] = field(default_factory=list)
    found: list[list[bool]] = field(default_factory=list)
    index: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """All of it as shares."""
        answerable = [asked.answerable for asked in self.asked]
        table: dict[str, Any] = {}
        for system, texts in self.texts.items():
            hits = [is_right(asked.question, text) for asked, text in zip(self.asked, texts, strict=True)]
            kinds: dict[str, list[bool]] = defaultdict(list)
            for asked, hit in zip(self.asked, hits, strict=True):
                for name in ("all", asked.source, f"{asked.source}: {asked.kind}"):
                    kinds[name].append(hit)
                kinds["answerable" if asked.answerable else "unanswerable"].append(hit)
            table[system] = {
                name: {"n": len(row), "right": sum(row), "em": round(sum(row) / len(row), 4)}
                for name, row in sorted(kinds.items())
            }
        refused = [is_abstention(text) for text in self.texts["model"]]
        found = np.array(self.found)
        names = [f"{what}_recall_at_{k}" for what in ("search", "last_layer") for k in KS]
        recalls = [round(float(share), 4) for share in found.mean(0)] if len(found) else [None] * len(names)
        area = auroc(self.null, [not each for each in answerable])
        return {
            "questions": len(self.asked),
            "systems": table,
            "auroc": None if area is None else round(area, 4),
            "answerable_refused": round(float(np.mean(np.array(refused)[answerable])), 4),
            "with_facts": len(found),
            **dict(zip(names, recalls, strict=True)),
            "index_recall_at_8": round(statistics.mean(self.index), 4) if self.index else None,
            "index_compared": len(self.index),
            "answer_ms": round(1000 * statistics.median(self.seconds), 2),
        }


def ask(
    said: Said,
    folder: Path,
    chunk: Sequence[Asked],
    predictor: Predictor,
    encoder: FactEncoder,
    *,
    exact: int = 0,
) -> None:
    """Asks the model the questions of one base, and adds what it says to `said`.

    Args:
        said: What was said to others.
        folder: As `fill` made it.
        chunk: The questions.
        predictor: The model.
        encoder: Of its base.
        exact: Of so many questions the first search is compared with all keys.

    Raises:
        StoreError: The base is empty.
    """
    with KnowledgeBase.open(folder / KB) as base:
        state = Snapshot.of(base, encoder, base.version)
        if state.base is None:
            raise StoreError(f"{folder} holds no fact: remove the folder, it is made anew")
        encoded = questions_of(folder, chunk, encoder.encoders, predictor.options.as_of)
        recorder = Recorder(state.base.index)
        recorded = replace(state.base, index=recorder)
        options = replace(predictor.options, top_k=min(predictor.options.top_k, recorded.store.n))
        asking, queries = replace(predictor, options=options), []
        for place, asked in enumerate(chunk):
            recorder.calls.clear()
            start = time.perf_counter()
            (prediction,) = asking.predict(recorded, encoded.part([place]))
            said.seconds.append(time.perf_counter() - start)
            said.texts["model"].append(prediction.text)
            said.null.append(prediction.null or 0.0)
            query, scores, ids = recorder.calls[0]
            queries.append((query, scores))
            if asked.question.supporting_facts:
                said.found.append(_found(encoded.questions[place], ids[0] % state.base.store.n, prediction))
        said.index += _recalls(state.base, queries[:exact])
    said.asked += chunk


def _found(question: Question, searched: npt.NDArray[np.int64], prediction: Prediction) -> list[bool]:
    """The entries of `Said.found`."""
    facts = question.supporting_facts
    first, last = (facts[:1], facts[-1:]) if question.type == "multi-hop" else (facts, facts)
    ranked = prediction.ranked[-1]
    return [
        *(bool(set(first) & set(searched[:k].tolist())) for k in KS),
        *(bool(set(last) & set(ranked[:k])) for k in KS),
    ]


def _recalls(base: EncodedBase, found: Sequence[tuple[npt.NDArray[Any], FloatArray]]) -> list[float]:
    """The share of the 8 best keys of a base among those that searches found, for each: queries, and their scores."""
    if not found:
        return []
    queries = np.concatenate([query for query, _ in found]).astype(np.float32)
    keys, width = 2 * base.store.n, min(8, 2 * base.store.n)
    best = np.full((len(queries), width), -np.inf, dtype=np.float32)
    for start in range(0, keys, EXACT):
        rows = base.tensors.keys[torch.arange(start, min(start + EXACT, keys))].numpy()
        every = np.concatenate([best, queries @ rows.T], axis=1)
        best = -np.partition(-every, width - 1, axis=1)[:, :width]
    lowest = best.min(1)
    return [
        float((scores[0, :width] >= low - 1e-4 * max(1.0, abs(low))).mean())
        for (_, scores), low in zip(found, lowest, strict=True)
    ]


def ask_baseline(
    said: Said,
    system: str,
    folder: Path,
    chunk: Sequence[Asked],
    predictor: Predictor,
    encoder: FactEncoder,
    strings: KeptStrings,
) -> None:
    """Asks one of `SYSTEMS` the questions of one base; nothing is added to `said` where its prompts do not fit."""
    encoded = questions_of(folder, chunk, encoder.encoders, predictor.options.as_of)
    searched = SearchedStrings(folder / COLUMNS, strings)
    facts = int(read_json(folder / BUILT)["facts"])
    said.texts[system] += _without_knowledge(system, searched, encoded, predictor, facts) or []


def _without_knowledge(
    system: str, searched: SearchedStrings, encoded: EncodedQuestions, predictor: Predictor, facts: int
) -> list[str] | None:
    """What a baseline says to questions; None where the base does not fit into the backbone's window."""
    vectors = encoded.vectors[:, : encoded.vectors.shape[1] // 2]
    if system == "phrase_lookup":
        return searched.phrase_lookup(vectors, encoded.windows)
    if system == "rag_8":
        shown = [searched.nearest_sentences(vector) for vector in vectors]
    elif facts <= MOST_SHOWN:
        shown = [list(range(facts))] * len(vectors)
    else:
        return None
    prompts = [
        in_context_prompt(question.question, list(dict.fromkeys(searched.sentences(rows))))
        for question, rows in zip(encoded.questions, shown, strict=True)
    ]
    tokenizer, config = predictor.backbone.tokenizer, predictor.backbone.model.config
    room = getattr(config, "max_position_embeddings", None)
    longest = max(len(row) for row in tokenizer(prompts)["input_ids"])
    if room is not None and longest + predictor.max_new_tokens > room:
        return None
    return [said.text for said in predictor.complete(prompts, system)]
