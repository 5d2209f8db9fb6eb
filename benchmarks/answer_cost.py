"""What an answer costs by each way of giving it knowledge: first token, further tokens, prompt tokens, bytes a fact.

Questions about the training base (`data/<dataset>`, its split `dev`, spread evenly) are answered in turn, one at a time
and in one process, by one language model: with the trained modules around it (KBLaM++, the adapter of params.yaml,
taken over where the language model is another), with the gold sentences among distractors in the prompt, with the 1, 4
or 8 nearest sentences (RAG), and closed book.  Which goes first changes from question to question.

The time to the first token holds all that a question brings: encoding it (KBLaM++ two vectors, RAG one, from text each
time), search, and the pass over the prompt.  Further tokens are those of a continuation of a fixed length.  Times are
medians over the questions, and medians of each question's ratio to closed book.  KBLaM++ copies its answers: whole ones
are there at the first token, and `answer` is the time until they are, by the way in which they are asked everywhere
(`Predictor.predict`).  Bytes a fact are those of the base's files that a way reads, and of the text that it shows.  The
last line on stdout is a JSON object; --table prints a table before it.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generation import times_of
from ratios import CLOCKS

from kblampp.core.errors import one_line_errors
from kblampp.core.params_file import load_params
from kblampp.data.dataset import TRAINING_KB, Dataset
from kblampp.data.facts import FiveTuple, evidence_sentence
from kblampp.encoding.encoders import TUNED, Encoders
from kblampp.encoding.projections import PROJECTION, Projections
from kblampp.encoding.sentence_encoder import SentenceEncoder, load_encoder
from kblampp.evaluation.baselines import nearest_sentences
from kblampp.evaluation.questions import with_times
from kblampp.experiments.sentence_figures import spread
from kblampp.model.checkpoint import load_adapter
from kblampp.model.inputs import EncodedQuestions, StoredBase
from kblampp.model.predictor import Predictor
from kblampp.model.prompts import DistractorSampler, closed_book_prompt, in_context_prompt
from kblampp.model.workspace import backbone_of, selector_options
from kblampp.time_expressions.parse import without_time

KBLAMPP, IN_CONTEXT, CLOSED_BOOK = "KBLaM++", "in context, gold among 4", "closed book"
RAG = {f"RAG-{n}": n for n in (1, 4, 8)}
WAYS = (KBLAMPP, IN_CONTEXT, *RAG, CLOSED_BOOK)
KEYS_AND_VALUES = (
    "K.npy", "V.npy", "meta/ctx_vec.npy", "meta/entity_ids.npy", "meta/rel_ids.npy", "meta/tau_min.npy",
    "meta/tau_max.npy",
)  # fmt: skip
"""What KBLaM++ reads of a base beside its text; the flat index holds no copy of the keys."""
SENTENCES = ("meta/sent_vec.npy",)
"""What RAG reads beside its text."""


@dataclass(frozen=True)
class Bench:
    """What is measured with.

    Attributes:
        predictor: The model.
        base: The knowledge base.
        names, relations: The encoders of texts; nothing that they have encoded is kept.
        tokens: Tokens of a continuation.
        read: The clock.
    """

    predictor: Predictor
    base: StoredBase
    names: SentenceEncoder
    relations: SentenceEncoder
    tokens: int
    read: Callable[[], float]

    def encode(self, question: Any, *, both: bool) -> EncodedQuestions:
        """The question as it is searched with: both vectors for KBLaM++, the first for RAG."""
        encoders = Encoders.of(self.names, self.relations)
        text = without_time(question.question)
        vectors = encoders.embed_questions([text]) if both else encoders.embed([text])
        return with_times([question], vectors.astype(np.float32), self.predictor.options.as_of)

    def prompt(self, way: str, question: Any, gold: Sequence[str]) -> tuple[str, EncodedQuestions | None]:
        """What the language model reads, and what the modules do."""
        text = question.question
        if way == KBLAMPP:
            return closed_book_prompt(text), self.encode(question, both=True)
        if way in RAG:
            (found,) = nearest_sentences(self.base.store, self.encode(question, both=False), RAG[way])
            return in_context_prompt(text, [evidence_sentence(self.base.store.facts[fact]) for fact in found]), None
        return (in_context_prompt(text, gold) if way == IN_CONTEXT else closed_book_prompt(text)), None

    def timed(self, way: str, question: Any, gold: Sequence[str]) -> tuple[float, float, int]:
        """Seconds to the first token and to each further one, and tokens of the prompt."""
        tokenizer, model = self.predictor.backbone.tokenizer, self.predictor.model
        start = self.read()
        prompt, encoded = self.prompt(way, question, gold)
        knowledge = None if encoded is None else self.predictor.knowledge(self.base, encoded, [0])
        ids = tokenizer([prompt], add_special_tokens=False, return_tensors="pt").to(
            self.predictor.backbone.model.device
        )
        first, further = times_of(
            partial(
                model.generate,
                ids["input_ids"],
                ids["attention_mask"],
                tokenizer=tokenizer,
                knowledge=knowledge,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
            ),
            self.tokens,
            self.read,
            start,
        )
        return first, further, int(ids["input_ids"].shape[1])

    def answered(self, question: Any) -> tuple[float, str]:
        """Seconds until KBLaM++ has its whole answer, and the answer."""
        start = self.read()
        (said,) = self.predictor.predict(self.base, self.encode(question, both=True))
        return self.read() - start, said.text


def shown_in_context(facts: Sequence[FiveTuple], questions: Sequence[Any], seed: int) -> Iterator[list[str]]:
    """For each question its gold sentences among distractors, four together, in any order."""
    sampler, rng = DistractorSampler(facts), random.Random(seed)
    for question in questions:
        gold = list(question.supporting_facts)
        numbers = gold + sampler.draw(gold, max(0, 4 - len(gold)), rng)
        rng.shuffle(numbers)
        yield [evidence_sentence(facts[number]) for number in numbers]


def bytes_a_fact(base: StoredBase) -> dict[str, int]:
    """Of the files that each way reads, the text of its sentences included."""
    folder, facts = base.store.directory, base.store.facts
    text = sum(len(evidence_sentence(fact).encode()) for fact in facts)
    names = sum(len(name.encode()) for fact in facts for name in (fact.head.name, fact.relation.name, fact.tail.name))
    keys, vectors = (sum((folder / file).stat().st_size for file in some) for some in (KEYS_AND_VALUES, SENTENCES))
    totals = {KBLAMPP: keys + names, IN_CONTEXT: text, **dict.fromkeys(RAG, vectors + text), CLOSED_BOOK: 0}
    return {way: round(total / len(facts)) for way, total in totals.items()}


def measure(bench: Bench, questions: Sequence[Any], seed: int) -> dict[str, Any]:
    """Times and tokens of all ways; the first question also warms up."""
    shown = list(shown_in_context(bench.base.store.facts, questions, seed))
    times: dict[str, list[tuple[float, float, int]]] = {way: [] for way in WAYS}
    answers, right = [], 0
    for place in range(-1, len(questions)):
        question, gold = questions[max(place, 0)], shown[max(place, 0)]
        turn = max(place, 0) % len(WAYS)
        for way in WAYS[turn:] + WAYS[:turn]:
            measured = bench.timed(way, question, gold)
            if place >= 0:
                times[way].append(measured)
        whole, said = bench.answered(question)
        if place >= 0:
            answers.append(whole)
            right += said in (question.answer, *question.aliases)
    size, result = bytes_a_fact(bench.base), {}
    for way, rows in times.items():
        first, further, tokens = (statistics.median(row[part] for row in rows) for part in range(3))
        closed = times[CLOSED_BOOK]
        result[way] = {
            "first_ms": round(1000 * first, 1),
            "first_ratio": round(statistics.median(a[0] / b[0] for a, b in zip(rows, closed, strict=True)), 2),
            "further_ms": round(1000 * further, 1),
            "further_ratio": round(statistics.median(a[1] / b[1] for a, b in zip(rows, closed, strict=True)), 2),
            "prompt_tokens": tokens,
            "bytes_a_fact": size[way],
        }
    result[KBLAMPP] |= {"answer_ms": round(1000 * statistics.median(answers), 1), "answers_right": right}
    return result


def table(ways: dict[str, Any]) -> str:
    """The figures for people."""
    head = "| | first token, ms | : closed book | a further token, ms | : closed book | prompt tokens | bytes a fact |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    names = ("first_ms", "first_ratio", "further_ms", "further_ratio", "prompt_tokens", "bytes_a_fact")
    lines += [f"| {way} | {' | '.join(f'{row[name]:,}' for name in names)} |" for way, row in ways.items()]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, measures, and prints the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: %(default)s")
    parser.add_argument("--backbone", help="another language model than that of params.yaml, such as smollm2")
    parser.add_argument("--questions", type=int, default=20, metavar="N", help="how many are asked (default: 20)")
    parser.add_argument("--tokens", type=int, default=8, metavar="N", help="of a continuation (default: 8)")
    parser.add_argument(
        "--clock", choices=sorted(CLOCKS), default="wall", help="cpu where others use the machine (default: wall)"
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="torch's (default: 1)")
    parser.add_argument("--table", action="store_true", help="print a table before the JSON object")
    arguments = parser.parse_args(argv)
    if arguments.questions < 1 or arguments.tokens < 2 or arguments.threads < 1:
        parser.error("--questions and --threads must be at least 1, --tokens 2")

    def work() -> None:
        torch.set_num_threads(arguments.threads)
        params, store = load_params(arguments.params), Path("store")
        section = params.backbone.model_copy(update={"name": arguments.backbone or params.backbone.name})
        folder, backbone = store / params.dataset, backbone_of(section)
        projections = Projections.load(folder / PROJECTION)
        place = params.injection.layers, params.injection.layer_path
        model = load_adapter(folder / params.eval.adapter, backbone, projections, into=place).eval()
        options = replace(selector_options(params), copy_head=True)
        predictor = Predictor(model, backbone, options, batch_size=1, max_new_tokens=arguments.tokens)
        device = str(backbone.model.device)
        kb, index = folder / "kb" / TRAINING_KB, folder / "index" / TRAINING_KB
        base = StoredBase.load(kb, index, projection_fingerprint=projections.fingerprint, device=device)
        encoder = partial(load_encoder, params.encoder.model, batch_size=1)
        bench = Bench(
            predictor, base, encoder(), encoder(adapter=store / TUNED), arguments.tokens, CLOCKS[arguments.clock]
        )
        asked = spread(Dataset.load(Path("data"), params.dataset, ("dev",)).questions["dev"], arguments.questions)
        ways = measure(bench, asked, params.seed)
        if arguments.table:
            print(table(ways))
        settings = {name: getattr(arguments, name) for name in ("tokens", "clock", "threads")}
        what = {"benchmark": "answer_cost", "backbone": backbone.name, "facts": base.store.n, "questions": len(asked)}
        print(json.dumps({**what, **settings, "ways": ways}))

    return one_line_errors(work)


if __name__ == "__main__":
    sys.exit(main())
