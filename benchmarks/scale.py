"""What accuracy, time and memory do from a hundred facts to a million: ``python benchmarks/scale.py``.

The same questions (of the open dossiers, YAGO and the worlds `swap` and `novel`) are asked of living bases of each
size.  A base holds the facts that answer them, and is filled up with near misses, other facts of the sources, and other
worlds (`kblampp/experiments/scale_fillers.py`), which change no answer.  Where the facts of all questions do not fit
into four fifths of a base, they are parted among several bases of that size.  Beside the model are the same backbone
with the 8 nearest sentences (`rag_8`) and with all facts in its prompt (`in_context`, where they fit), and search
without training (`phrase_lookup`).

Each base is filled and asked by processes of their own, whose highest memory is told (resident, without mapped files).
Times to the first token and to each further one are those of one question at a time, the model's with encoding and
search, and RAG's with the same and a longer prompt; of the embedded backbone, and of random weights of the shape of
SmolLM2-135M.

A size that `--output` has for the same model and questions is not measured again, and a base that lies in `--work` with
the same vectors is asked as it is; a killed run goes on.  `--write` puts the table into docs/scale.md.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from generation import EMBEDDED, SMOLLM2, smollm2_shaped, times_of
from ratios import machine

from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.core.errors import KBLaMError, one_line_errors
from kblampp.core.files import MANIFEST, fingerprint, read_json, sha256_file, write_json
from kblampp.core.params import Params
from kblampp.core.params_file import load_params
from kblampp.encoding.encoders import TUNED, load_encoders
from kblampp.encoding.projections import PROJECTION, Projections
from kblampp.encoding.sentence_encoder import DETERMINISTIC, load_encoder
from kblampp.evaluation.questions import with_times
from kblampp.experiments.scale import (
    BUILT,
    COLUMNS,
    KB,
    SYSTEMS,
    Said,
    ask,
    ask_baseline,
    core_of,
    fill,
    is_built,
    questions_of,
    room_of,
)
from kblampp.experiments.scale_fillers import Fillers
from kblampp.experiments.scale_questions import Asked, read_questions
from kblampp.experiments.scale_strings import KeptEncoders, KeptStrings
from kblampp.experiments.scale_systems import SearchedStrings
from kblampp.experiments.scale_table import draw_curve, write_table
from kblampp.model.checkpoint import build_model
from kblampp.model.predictor import Predictor
from kblampp.model.prompts import closed_book_prompt, in_context_prompt
from kblampp.snapshots.fact_encoder import FactEncoder
from kblampp.snapshots.snapshot import Snapshot
from kblampp.time_expressions.parse import without_time
from kblampp.transfer.bases import open_predictor

logger = logging.getLogger("scale")
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
EXACT = 100
"""Questions whose first search is compared with all keys."""
TIMED, TOKENS, REPEATS = 8, 8, 3
SAMPLES_S = 0.05


def main(argv: Sequence[str] | None = None) -> int:
    """Measures each size in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), metavar="N", help="facts of the bases")
    parser.add_argument(
        "--questions", type=int, default=25, metavar="N", help="most questions of each kind of a source (default: 25)"
    )
    parser.add_argument("--systems", nargs="*", choices=SYSTEMS, default=list(SYSTEMS), help="beside the model")
    parser.add_argument("--timed", type=int, default=TIMED, metavar="N", help=f"questions timed (default: {TIMED})")
    parser.add_argument("--work", type=Path, default=Path("build/scale"), help="where bases and strings lie")
    parser.add_argument("--output", type=Path, default=Path("metrics/scale/curve.json"))
    parser.add_argument("--fresh", action="store_true", help="measure sizes again that the output has")
    parser.add_argument("--write", action="store_true", help="only put the table into docs/scale.md and draw the plot")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--store", type=Path, default=Path("store"))
    parser.add_argument("--page", type=Path, default=Path("docs/scale.md"))
    arguments = parser.parse_args(argv)
    if min(arguments.sizes) < 100 or arguments.questions < 1 or arguments.timed < 1:
        parser.error("--sizes must be at least 100, --questions and --timed at least 1")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    for chatty in ("httpx", "sentence_transformers", "kblampp.converters"):
        logging.getLogger(chatty).setLevel(logging.WARNING)

    def work() -> None:
        if not arguments.write:
            measure(arguments)
        draw_curve(arguments.output, arguments.output.with_suffix(".png"))
        if arguments.write:
            write_table(arguments.output, arguments.page)

    return one_line_errors(work)


def measure(arguments: argparse.Namespace) -> None:
    """Measures the sizes that are not there, each written as it is done."""
    mark = _mark(arguments)
    rows = {} if arguments.fresh or not arguments.output.exists() else read_json(arguments.output)["rows"]
    rows = {size: row for size, row in rows.items() if row["of"] == mark}
    for size in sorted(arguments.sizes):
        if str(size) in rows:
            logger.info("%d facts: measured already", size)
            continue
        start = time.perf_counter()
        built = _apart(build, arguments, size)
        told = _apart(question, arguments, size)
        rows[str(size)] = {"of": mark, "facts": size, **built, **told}
        rows = dict(sorted(rows.items(), key=lambda item: int(item[0])))
        write_json(arguments.output, {"machine": machine(), "rows": rows})
        logger.info("%d facts: %.0f s", size, time.perf_counter() - start)
        print(json.dumps({"facts": size, **_short(rows[str(size)])}), flush=True)


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "em": {system: kinds["all"]["em"] for system, kinds in row["systems"].items()},
        **{name: row[name] for name in ("auroc", "search_recall_at_8", "index_recall_at_8", "build_s", "timing")},
    }


def _mark(arguments: argparse.Namespace) -> str:
    """What a row depends on: the trained model and the questions."""
    params = load_params(Path("params.yaml"))
    adapter = arguments.store / params.dataset / params.eval.adapter / MANIFEST
    return fingerprint(sha256_file(adapter), str(arguments.questions), " ".join(arguments.systems))[:16]


def _apart(work: Callable[[argparse.Namespace, int], dict[str, Any]], arguments: argparse.Namespace, size: int) -> Any:
    """What some work gives in a process of its own."""
    spawning = multiprocessing.get_context("spawn")
    reading, writing = spawning.Pipe(duplex=False)
    child = spawning.Process(target=_tell, args=(work, arguments, size, writing))
    child.start()
    writing.close()
    try:
        told = reading.recv()
    except EOFError:
        child.join()
        raise KBLaMError(f"the process for {size} facts ended with {child.exitcode}: see what it has printed") from None
    child.join()
    if isinstance(told, str):
        raise KBLaMError(told)
    return told


def _tell(work: Callable[[argparse.Namespace, int], dict[str, Any]], arguments: Any, size: int, pipe: Any) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        pipe.send(work(arguments, size))
    except KBLaMError as error:
        pipe.send(str(error))


class Memory:
    """The most that this process has resident, in MB; without mapped files, where the system tells them apart."""

    def __init__(self) -> None:
        self.before = self.peak = self._now()
        self._going = True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _now(self) -> int:
        found = psutil.Process().memory_info()
        return round((found.rss - getattr(found, "shared", 0)) / 1e6)

    def _watch(self) -> None:
        while self._going:
            self.peak = max(self.peak, self._now())
            time.sleep(SAMPLES_S)

    def stop(self) -> dict[str, int]:
        """What it was."""
        self._going = False
        self._thread.join()
        return {"before_mb": self.before, "peak_mb": self.peak}


def _opened(arguments: argparse.Namespace) -> tuple[Params, FactEncoder, KeptStrings]:
    params = load_params(Path("params.yaml"))
    torch.set_num_threads(params.threads)
    encoders = load_encoders(params.encoder.model, arguments.store)
    projections = Projections.load(arguments.store / params.dataset / PROJECTION)
    strings = KeptStrings(arguments.work / "strings", params.encoder.model, projections.d_sent)
    return params, FactEncoder(KeptEncoders.around(encoders, strings), projections), strings


def _folders(arguments: argparse.Namespace, size: int, chunks: Sequence[Any]) -> list[Path]:
    return [arguments.work / str(size) / f"{arguments.questions}-{number}" for number in range(len(chunks))]


def build(arguments: argparse.Namespace, size: int) -> dict[str, Any]:
    """Makes the bases of a size that are not there."""
    params, encoder, _ = _opened(arguments)
    questions = read_questions(params, arguments.data, arguments.questions)
    chunks = questions.chunks(room_of(size))
    fillers = Fillers(questions)
    _ = fillers.world, encoder.encoders.embed(["a"])
    memory = Memory()
    told = []
    folders = _folders(arguments, size, chunks)
    for folder, chunk in zip(folders, chunks, strict=True):
        if not is_built(folder, size, encoder):
            fill(folder, size, chunk, fillers, encoder)
            write_json(folder / "memory.json", {"before_mb": memory.before, "peak_mb": memory.peak})
        told.append(read_json(folder / BUILT))
    memory.stop()
    bases = len(chunks)
    return {
        "bases": bases,
        "core": sum(len(core_of(chunk)) for chunk in chunks),
        "left_out": questions.left_out,
        "build": read_json(folders[-1] / "memory.json"),
        "build_s": round(sum(row["write_s"] + row["segment_s"] for row in told) / bases, 2),
        **{name: round(sum(row.get(name, 0) for row in told), 1) for name in ("strings", "strings_s")},
        "bytes_a_fact": bytes_of(folders[0] / KB, size),
    }


def bytes_of(folder: Path, facts: int) -> dict[str, int]:
    """Bytes a fact of the files of a base, by what they hold."""
    parts = {"all": 0, "file": 0, "keys": 0, "index": 0, "values": 0, "columns": 0}
    for path in folder.rglob("*"):
        if path.is_file():
            size = path.stat().st_size
            name = path.name
            part = (
                "file"
                if name.startswith("facts.sqlite")
                else "keys"
                if name in ("keys.faiss", "keys.npy")
                else "index"
                if name == "index.faiss"
                else "values"
                if name in ("V.npy", "ctx_vec.npy")
                else "columns"
            )
            parts[part] += size
            parts["all"] += size
    return {name: round(size / facts) for name, size in parts.items()}


def question(arguments: argparse.Namespace, size: int) -> dict[str, Any]:
    """Asks the questions of the bases of a size."""
    params, encoder, strings = _opened(arguments)
    predictor, _ = open_predictor(params, arguments.store)
    questions = read_questions(params, arguments.data, arguments.questions)
    chunks = questions.chunks(room_of(size))
    folders = _folders(arguments, size, chunks)
    _ = encoder.encoders.embed_questions(["a"])
    memory = Memory()
    opening = _open_s(folders[0], encoder)
    said = Said()
    for folder, chunk in zip(folders, chunks, strict=True):
        exact = -(-EXACT * len(chunk) // len(questions.asked))
        ask(said, folder, chunk, predictor, encoder, exact=exact)
    told = memory.stop()
    for system in arguments.systems:
        for folder, chunk in zip(folders, chunks, strict=True):
            ask_baseline(said, system, folder, chunk, predictor, encoder, strings)
        if len(said.texts[system]) < len(said.asked):
            del said.texts[system]
    timing = {
        name: time_tokens(arguments, folders[0], chunks[0], each, encoder, strings)
        for name, each in _timed_predictors(predictor, encoder.projections)
    }
    return {**said.figures(), "asking": told, "open_ms": round(1000 * opening, 1), "timing": timing}


def _open_s(folder: Path, encoder: FactEncoder) -> float:
    """Seconds until a base is there, before the first question."""
    start = time.perf_counter()
    with KnowledgeBase.open(folder / KB) as base:
        Snapshot.of(base, encoder, base.version)
        return time.perf_counter() - start


def _timed_predictors(predictor: Predictor, projections: Projections) -> list[tuple[str, Predictor]]:
    """The trained model, and an untrained one of the shape of SmolLM2-135M that reads the same tokens."""
    own = predictor.backbone
    backbone = smollm2_shaped(own.tokenizer, positions=8192)
    model = build_model(backbone, projections, layers="auto", d_context_score=16, d_fusion=128).eval()
    rng = np.random.default_rng(0)
    started = rng.standard_normal((64, projections.d_question), dtype=np.float32)
    model.start_from(projections, torch.from_numpy(started / np.linalg.norm(started, axis=1, keepdims=True)))
    return [(EMBEDDED, predictor), (SMOLLM2, replace(predictor, model=model, backbone=backbone))]


def time_tokens(
    arguments: argparse.Namespace,
    folder: Path,
    chunk: Sequence[Asked],
    predictor: Predictor,
    encoder: FactEncoder,
    strings: KeptStrings,
) -> dict[str, dict[str, float]]:
    """Milliseconds to the first token and to each further one, of the model, of RAG, and of the bare backbone."""
    backbone, tokenizer = predictor.backbone, predictor.backbone.tokenizer
    model = load_params(Path("params.yaml")).encoder.model
    plain = load_encoder(model)
    tuned = load_encoder(model, adapter=None if model == DETERMINISTIC else arguments.store / TUNED)
    searched = SearchedStrings(folder / COLUMNS, strings)
    with KnowledgeBase.open(folder / KB) as opened:
        base = Snapshot.of(opened, encoder, opened.version).base
        if base is None:
            raise KBLaMError(f"{folder} holds no fact: remove the folder, it is made anew")
        encoded = questions_of(folder, chunk, encoder.encoders, predictor.options.as_of)
        options = replace(predictor.options, top_k=min(predictor.options.top_k, base.store.n))
        asking = replace(predictor, options=options)

        def with_model(place: int, **told: Any) -> None:
            asked = encoded.questions[place]
            text = without_time(asked.question)
            vectors = np.concatenate([plain.encode([text]), tuned.encode([text])], axis=1).astype(np.float32)
            knowledge = asking.knowledge(base, with_times([asked], vectors, options.as_of), [0])
            prompt = tokenizer([closed_book_prompt(asked.question)], return_tensors="pt")
            asking.model.generate(
                prompt["input_ids"], prompt["attention_mask"], tokenizer=tokenizer, knowledge=knowledge, **told
            )

        def with_rag(place: int, **told: Any) -> None:
            text = encoded.questions[place].question
            vector = plain.encode([without_time(text)])[0].astype(np.float32)
            shown = searched.sentences(searched.nearest_sentences(vector))
            prompt = tokenizer([in_context_prompt(text, shown)], return_tensors="pt")
            backbone.model.generate(prompt["input_ids"], attention_mask=prompt["attention_mask"], **told)

        def bare(place: int, **told: Any) -> None:
            prompt = tokenizer([closed_book_prompt(encoded.questions[place].question)], return_tensors="pt")
            backbone.model.generate(prompt["input_ids"], attention_mask=prompt["attention_mask"], **told)

        runs: dict[str, Callable[..., None]] = {"model": with_model, "rag_8": with_rag, "bare": bare}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        places = [place for place, asked in enumerate(chunk) if asked.answerable][: arguments.timed]
        for repeat in range(-1, REPEATS):  # the first to warm up
            for place in places:
                for name in sorted(runs, reverse=bool(repeat % 2)):
                    measured = _times_of(partial(runs[name], place), tokenizer.pad_token_id)
                    if repeat >= 0:
                        times[name].append(measured)
    return {
        name: {
            "first_ms": round(1000 * statistics.median(first for first, _ in row), 2),
            "token_ms": round(1000 * statistics.median(further for _, further in row), 2),
        }
        for name, row in times.items()
    }


@torch.no_grad()
def _times_of(work: Callable[..., None], pad: int) -> tuple[float, float]:
    """Seconds to the first token, with all that comes before, and to each further one on average."""
    return times_of(partial(work, do_sample=False, pad_token_id=pad), TOKENS, time.perf_counter)


if __name__ == "__main__":
    sys.exit(main())
