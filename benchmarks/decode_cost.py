"""Measures what knowledge costs while a model answers: time to the first token and to each further one.

The model with knowledge and the bare backbone answer the same prompts in turn, in one process, so that the ratio of
their times is told without the speed of the machine.  Two backbones are tried, greedy and sampled, one question at a
time and eight:

* ``embedded``: the language model of the package;
* ``smollm2_135m``: random weights of the shape of SmolLM2-135M.

The knowledge base is made up and its vectors are those of the deterministic encoder; sentence vectors of the questions
are made before.  Modules are untrained: they compute what trained ones do.  The time to the first token holds the pass
over the prompt, search and selection, and all possible answers.  It is also held against RAG with the same backbone:
the nearest eight evidence sentences before the question, where the search for them is not counted.  Ratios are medians
over the repeats.  The last line on stdout is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generation import EMBEDDED, SMOLLM2, smollm2_shaped, times_of
from ratios import CLOCKS, Row, add_clock, ratios, result, row, take_turns
from torch import Tensor

from kblampp.backbone.load import Backbone, load_backbone
from kblampp.core.errors import one_line_errors
from kblampp.data.facts import Context, Entity, FiveTuple, Question, Relation, evidence_sentence
from kblampp.data.windows import year_window
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.projections import Projections, fit_projections, general_relation_labels
from kblampp.encoding.sentence_encoder import DeterministicEncoder
from kblampp.encoding.store import KBValueStore
from kblampp.evaluation.baselines import nearest_sentences
from kblampp.evaluation.questions import with_times
from kblampp.index.knowledge_index import KnowledgeIndex
from kblampp.model.batches import padded
from kblampp.model.checkpoint import build_model
from kblampp.model.injection import KBInjectedModel
from kblampp.model.inputs import EncodedQuestions, Knowledge, SelectorOptions, StoredBase
from kblampp.model.prompts import closed_book_prompt, in_context_prompt
from kblampp.time_expressions.parse import without_time

BATCHES = (1, 8)
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"do_sample": False},
    "sampled": {"do_sample": True, "temperature": 1.0, "top_k": 0},
}
ENCODERS = Encoders.of(DeterministicEncoder())
WIDTHS = {"d_k": 384, "d_v": 192, "d_ctx": 64, "d_tau": 16}
MODULES = {"d_context_score": 16, "d_fusion": 128}
SELECTION = SelectorOptions(top_k=16, over_fetch=64)
SYLLABLES = ("ka", "lor", "mi", "ve", "stan", "dru", "el", "pho", "ri", "than", "o", "quen", "zu", "bal", "ny", "sker")

SENTENCES = 8
PER_TOKEN = {EMBEDDED: 1.5, SMOLLM2: 1.15}
FIRST_OF_RAG = {SMOLLM2: 0.5}
"""Aims of ratios."""


@dataclass(frozen=True)
class Settings:
    """What is measured: the arguments of the program."""

    backbones: tuple[str, ...]
    facts: int
    tokens: int
    repeats: int
    clock: str
    device: str


def make_facts(n_facts: int, seed: int) -> list[FiveTuple]:
    """Facts about made-up names, some of them in rows in time."""
    rng = random.Random(seed)
    names = ["".join(rng.choices(SYLLABLES, k=3)).title() + f" {rng.choice(SYLLABLES).title()}" for _ in range(n_facts)]
    labels = general_relation_labels()
    facts = []
    for number in range(n_facts):
        head, tail, year = names[number // 2], rng.choice(names), 1950 + number % 2 * 20 + rng.randrange(10)
        relation = labels[number // 2 % len(labels)]
        context = Context("made up", sent_span=f"The {relation} of {head} was {tail} in {year}.")
        facts.append(
            FiveTuple(Entity(None, head), Relation(None, relation), Entity(None, tail), context, year_window(year))
        )
    return facts


def make_questions(facts: Sequence[FiveTuple], n_questions: int) -> EncodedQuestions:
    """Questions about facts from all over the base."""
    chosen = [facts[place * len(facts) // n_questions] for place in range(n_questions)]
    texts = [f"What was the {fact.relation.name} of {fact.head.name}?" for fact in chosen]
    questions = [
        Question(f"q{place}", "made up", text, fact.tail.name, (), "single-hop", (), None)
        for place, (text, fact) in enumerate(zip(texts, chosen, strict=True))
    ]
    vectors = ENCODERS.embed_questions([without_time(text) for text in texts]).astype(np.float32)
    return with_times(questions, vectors)


def make_base(folder: Path, facts: Sequence[FiveTuple], device: str) -> tuple[StoredBase, Projections]:
    """The facts as a store with its index, in `folder`, and the projections that made it."""
    projections = fit_projections(facts, ENCODERS, **WIDTHS)
    store = KBValueStore.build(folder / "kb", facts, ENCODERS, projections)
    KnowledgeIndex.build(store.keys, keys_sha256=store.keys_sha256).save(folder / "index")
    return StoredBase.load(folder / "kb", folder / "index", device=device), projections


def backbones(names: Sequence[str], device: str) -> Iterator[tuple[str, Backbone]]:
    """The backbones by name; both read the tokens of the embedded one."""
    for name in names:
        backbone = load_backbone(EMBEDDED, device=device)
        if name == SMOLLM2:
            backbone = smollm2_shaped(backbone.tokenizer, device)
        yield name, backbone


def compare(
    model: KBInjectedModel,
    backbone: Backbone,
    base: StoredBase,
    asked: EncodedQuestions,
    settings: Settings,
) -> tuple[list[Row], dict[str, float]]:
    """Time all in turn, for each way of decoding; the rows, and times of the bare backbone in milliseconds."""
    questions = [question.question for question in asked.questions]
    facts = base.store.facts
    found = [[facts[i] for i in numbers] for numbers in nearest_sentences(base.store, asked, SENTENCES)]
    shown = [list(map(evidence_sentence, near)) for near in found]
    prompt = _prompt([closed_book_prompt(question) for question in questions], backbone, base.device)
    longer = _prompt([in_context_prompt(*each) for each in zip(questions, shown, strict=True)], backbone, base.device)
    knowledge = Knowledge(base, asked.batch(base.device), SELECTION)
    read = CLOCKS[settings.clock]
    rows, told = [], {}
    for way, options in WAYS.items():
        runs: dict[str, Callable[..., object]] = {
            "bare": partial(backbone.model.generate, **prompt, **options),  # type: ignore[operator]
            "model": partial(model.generate, **prompt, tokenizer=backbone.tokenizer, knowledge=knowledge, **options),
        }
        if way == "greedy":
            runs["rag"] = partial(backbone.model.generate, **longer, **options)  # type: ignore[operator]

        def timing(turn: int, name: str, runs: dict[str, Callable[..., object]] = runs) -> tuple[float, float]:
            torch.manual_seed(turn + 1)
            return times_of(runs[name], 2 if name == "rag" else settings.tokens, read)

        times = take_turns({name: partial(timing, name=name) for name in runs}, settings.repeats)
        first, further = ({name: [each[part] for each in times[name]] for name in runs} for part in (0, 1))
        name = f"{backbone.name}, {len(questions)} at once, {way}"
        aim = PER_TOKEN[backbone.name]
        rows.append(row(f"{name}: time a token : bare", ratios(further["model"], further["bare"]), aim=aim))
        if "rag" in runs:
            rows.append(row(f"{name}: first token : bare", ratios(first["model"], first["bare"])))
            aim = FIRST_OF_RAG.get(backbone.name)
            rows.append(row(f"{name}: first token : RAG-8", ratios(first["model"], first["rag"]), aim=aim))
        told[f"{name}: bare first, ms"] = round(1000 * statistics.median(first["bare"]), 2)
        told[f"{name}: bare further, ms"] = round(1000 * statistics.median(further["bare"]), 2)
    return rows, told


def _prompt(texts: Sequence[str], backbone: Backbone, device: str) -> dict[str, Tensor]:
    ids, mask = padded(backbone.tokenizer(list(texts))["input_ids"], int(backbone.tokenizer.pad_token_id), left=True)
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}


def measure(settings: Settings, folder: Path) -> dict[str, object]:
    """Compare all backbones, batch sizes and ways; the knowledge base lies in ``folder``."""
    facts = make_facts(settings.facts, seed=0)
    base, projections = make_base(folder, facts, settings.device)
    asked = make_questions(facts, max(BATCHES))
    rows: list[Row] = []
    told: dict[str, float] = {}
    for _, backbone in backbones(settings.backbones, settings.device):
        torch.manual_seed(0)
        model = build_model(backbone, projections, layers="auto", **MODULES).to(settings.device).eval()
        model.start_from(projections, torch.from_numpy(asked.vectors))
        for batch in BATCHES:
            compared = compare(model, backbone, base, asked.part(range(batch)), settings)
            rows += compared[0]
            told |= compared[1]
    return result("decode_cost", rows, times=told, **asdict(settings))


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", choices=(EMBEDDED, SMOLLM2), help="default: both, one after the other")
    parser.add_argument("--facts", type=int, default=5000, metavar="N", help="size of the base (default: 5000)")
    parser.add_argument("--tokens", type=int, default=16, metavar="N", help="tokens of an answer (default: 16)")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="timings of each (default: 5)")
    add_clock(parser)
    parser.add_argument("--device", default="cpu", help="torch device (default: cpu)")
    arguments = parser.parse_args(argv)
    if arguments.facts < SELECTION.top_k or arguments.tokens < 2 or arguments.repeats < 1:
        parser.error(f"--facts must be at least {SELECTION.top_k}, --tokens 2 and --repeats 1")
    chosen = (arguments.backbone,) if arguments.backbone else (EMBEDDED, SMOLLM2)
    settings = Settings(chosen, arguments.facts, arguments.tokens, arguments.repeats, arguments.clock, arguments.device)

    def work() -> None:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            measured = measure(settings, Path(folder))
        print(json.dumps(measured))

    return one_line_errors(work)


if __name__ == "__main__":
    sys.exit(main())
