"""The stage `encode` in blocks: the files of whole arrays, each text once, and nothing twice after a kill."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from kblampp.core.errors import DataError, EncoderError, StoreError
from kblampp.core.params import EncoderParams
from kblampp.data.dataset import TRAINING_KB, Dataset, DatasetFiles
from kblampp.data.facts import Context, Entity, FiveTuple, Question, Relation, evidence_sentence
from kblampp.data.windows import UNKNOWN, Window
from kblampp.encoding import assembling, encode, work_folder
from kblampp.encoding.encode import encode_dataset
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.engines import EncodedBlock, LocalEngine, TextBlock
from kblampp.encoding.projections import fit_projections, general_relation_labels
from kblampp.encoding.store import KBValueStore
from kblampp.time_expressions.parse import without_time
from tests.encoders import Counting, Reversed

DIM = 48
WIDTHS = {"d_k": 40, "d_v": 24, "d_ctx": 8, "d_tau": 4}
PARAMS = EncoderParams(model="deterministic", whitening=0.5, batch_size=8, store_dtype="float16", **WIDTHS)
KBS = {TRAINING_KB: 23, "other": 11}
SPLITS = {TRAINING_KB: TRAINING_KB, "dev": TRAINING_KB, "test": "other"}


class Killed(BaseException):
    """In the place of a signal: nothing of ours catches it."""


def make_dataset(seed: int = 0) -> Dataset:
    """Bases that share names with each other, homonyms told apart by ids, questions of which some are asked twice."""
    rng = random.Random(seed)
    names, labels = [f"Town {n}" for n in range(9)], ["leader", "twin town", "founder"]

    def entity() -> Entity:
        return Entity(rng.choice((None, None, "E1", "E2")), rng.choice(names))

    def fact(number: int) -> FiveTuple:
        span = rng.choice(("", f"Sentence {number} of {rng.choice(names)}.", rng.choice(names)))
        relation = Relation(rng.choice((None, "R1")), rng.choice(labels))
        window = rng.choice((UNKNOWN, Window(rng.randrange(1, 1000), None), Window(None, None, "always")))
        return FiveTuple(entity(), relation, entity(), Context("tiny", sent_span=span), window)

    def question(split: str, number: int) -> Question:
        text = f"Who led {rng.choice(names)} in 1990?"
        return Question(f"{split}{number}", "tiny", text, "x", (), "single-hop", (0,))

    kbs = {kb: [fact(number) for number in range(count)] for kb, count in KBS.items()}
    return Dataset("tiny", kbs, {split: [question(split, n) for n in range(7)] for split in SPLITS}, SPLITS)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetFiles:
    """A dataset on disk, of which a few rows are worked on at a time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # no test loses what the system has, and a busy disk is slow
    for module in (work_folder, encode):
        monkeypatch.setattr(module, "BLOCK", 4)
    monkeypatch.setattr("kblampp.encoding.assembling.BLOCK", 5)
    monkeypatch.setattr(encode, "TEXTS", 6)
    monkeypatch.setattr("kblampp.encoding.ledger._ROWS", 7)
    make_dataset().save(tmp_path / "data")
    return DatasetFiles.open(tmp_path / "data", "tiny")


def two_encoders() -> Encoders:
    return Encoders.of(Counting(DIM), Reversed(DIM))


def one_encoder() -> Encoders:
    return Encoders.of(Counting(DIM))


def hashes(folder: Path) -> dict[str, str]:
    """File -> sha256 of everything below a folder, also of what is hidden."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("make", [two_encoders, one_encoder])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_blocks_give_the_files_of_whole_arrays(
    files: DatasetFiles, tmp_path: Path, make: Callable[[], Encoders], dtype: str
) -> None:
    """`KBValueStore.build` holds a base in memory and knows nothing of blocks."""
    params = PARAMS.model_copy(update={"store_dtype": dtype})
    encode_dataset(files, tmp_path / "out", params, make())
    dataset, encoders, whole = make_dataset(), make(), tmp_path / "whole"
    projections = fit_projections(dataset.kbs[TRAINING_KB], encoders, **WIDTHS)
    for kb, facts in dataset.kbs.items():
        asked = {
            split: [without_time(question.question) for question in dataset.questions[split]]
            for split, base in SPLITS.items()
            if base == kb
        }
        KBValueStore.build(whole / "kb" / kb, facts, encoders, projections, dtype=dtype, questions=asked)
    projections.save(whole / "projection")
    assert hashes(tmp_path / "out") == hashes(whole)
    store = KBValueStore.load(tmp_path / "out" / "kb" / "other", projections.fingerprint)
    assert list(store.facts) == dataset.kbs["other"]


def test_each_encoder_gets_each_distinct_text_of_all_bases_once(files: DatasetFiles, tmp_path: Path) -> None:
    names, relations = Counting(DIM), Reversed(DIM)
    encode_dataset(files, tmp_path / "out", PARAMS, Encoders.of(names, relations))
    dataset = make_dataset()
    facts = [fact for every in dataset.kbs.values() for fact in every]
    asked = {without_time(question.question) for every in dataset.questions.values() for question in every}
    ends = {end.name for fact in facts for end in (fact.head, fact.tail)} | {evidence_sentence(fact) for fact in facts}
    for seen, expected in (
        (names.seen, ends | asked),
        (relations.seen, {fact.relation.name for fact in facts} | asked | set(general_relation_labels())),
    ):
        assert len(seen) == len(set(seen))
        assert set(seen) == expected


def test_a_start_gives_its_projections_and_labels_are_not_encoded(files: DatasetFiles, tmp_path: Path) -> None:
    encode_dataset(files, tmp_path / "first", PARAMS, two_encoders())
    relations = Reversed(DIM)
    encode_dataset(files, tmp_path / "out", PARAMS, Encoders.of(Counting(DIM), relations), tmp_path / "first")
    assert hashes(tmp_path / "out") == hashes(tmp_path / "first")
    assert not set(relations.seen) & (set(general_relation_labels()) - {"leader", "twin town", "founder"})


class Breaking:
    """Encodes so many blocks and then is killed."""

    def __init__(self, encoders: Encoders, blocks: int) -> None:
        self._inner, self._left = LocalEngine(encoders), blocks

    def encode(self, blocks: Iterable[TextBlock]) -> Iterator[EncodedBlock]:
        for block in self._inner.encode(blocks):
            if not self._left:
                raise Killed
            self._left -= 1
            yield block


def test_blocks_may_come_back_in_any_order(files: DatasetFiles, tmp_path: Path) -> None:
    class Backwards(LocalEngine):
        def encode(self, blocks: Iterable[TextBlock]) -> Iterator[EncodedBlock]:
            return reversed(list(super().encode(blocks)))

    encode_dataset(files, tmp_path / "out", PARAMS, two_encoders(), engine=Backwards(two_encoders()))
    encode_dataset(files, tmp_path / "whole", PARAMS, two_encoders())
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")


def test_a_killed_run_leaves_the_outputs_and_the_next_encodes_what_is_left(files: DatasetFiles, tmp_path: Path) -> None:
    output = tmp_path / "out"
    encode_dataset(files, tmp_path / "whole", PARAMS, two_encoders())
    before = {"kb/train/K.npy": b"former"}
    (output / "kb" / "train").mkdir(parents=True)
    (output / "kb" / "train" / "K.npy").write_bytes(before["kb/train/K.npy"])
    seen: list[str] = []
    for blocks in (0, 3, 5):
        names, relations = Counting(DIM), Reversed(DIM)
        encoders = Encoders.of(names, relations)
        with pytest.raises(Killed):
            encode_dataset(files, output, PARAMS, encoders, engine=Breaking(encoders, blocks))
        assert (output / "kb" / "train" / "K.npy").read_bytes() == b"former"
        seen += names.seen[: 6 * blocks]
    names = Counting(DIM)
    encode_dataset(files, output, PARAMS, Encoders.of(names, Reversed(DIM)))
    assert not set(seen) & set(names.seen)
    assert hashes(output) == hashes(tmp_path / "whole")


WRITES = (
    (work_folder.RowFile, "write"),
    (work_folder.Ledger, "keep"),
    (work_folder.Ledger, "write_note"),
    (assembling, "write_manifest"),
    (encode, "move_into_place"),
    (work_folder.Ledger, "clear"),
)
"""What a run calls when it writes."""


def test_killed_between_any_two_writes_it_ends_with_the_same_bytes(
    files: DatasetFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run goes on where the one before was killed; outputs are there as a whole or not at all."""
    encode_dataset(files, tmp_path / "whole", PARAMS, two_encoders())
    whole, output, left = hashes(tmp_path / "whole"), tmp_path / "out", [0]

    def dying(function: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object, **options: object) -> object:
            if not left[0]:
                raise Killed
            left[0] -= 1
            return function(*arguments, **options)

        return run

    kills = 0
    with monkeypatch.context() as patch:
        for owner, name in WRITES:
            patch.setattr(owner, name, dying(getattr(owner, name)))
        while True:
            left[0] = 5 + 8 * kills  # in the end enough for the longest step that is done as a whole
            try:
                encode_dataset(files, output, PARAMS, two_encoders())
                break
            except Killed:
                kills += 1
            if (output / "kb").exists():
                assert {name: hashes(output)[name] for name in whole} == whole
    assert kills > 5
    assert hashes(output) == whole


def test_other_widths_after_a_kill_take_the_vectors_and_nothing_else(
    files: DatasetFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(encode, "move_into_place", die)
        with pytest.raises(Killed):
            encode_dataset(files, tmp_path / "out", PARAMS, two_encoders())
    other = PARAMS.model_copy(update={"d_ctx": 10, "whitening": 0.0})
    names = Counting(DIM)
    encode_dataset(files, tmp_path / "out", other, Encoders.of(names, Reversed(DIM)))
    assert not names.seen
    encode_dataset(files, tmp_path / "whole", other, two_encoders())
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")


def test_other_facts_after_a_kill_start_anew(files: DatasetFiles, tmp_path: Path) -> None:
    encoders = two_encoders()
    with pytest.raises(Killed):
        encode_dataset(files, tmp_path / "out", PARAMS, encoders, engine=Breaking(encoders, 4))
    make_dataset(seed=1).save(tmp_path / "data")
    for name in ("out", "whole"):
        encode_dataset(files, tmp_path / name, PARAMS, two_encoders())
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")


def test_a_second_run_beside_it_is_refused(files: DatasetFiles, tmp_path: Path) -> None:
    class Meanwhile(Breaking):
        def encode(self, blocks: Iterable[TextBlock]) -> Iterator[EncodedBlock]:
            with pytest.raises(StoreError, match="in use by another run"):
                encode_dataset(files, tmp_path / "out", PARAMS, two_encoders())
            return super().encode(blocks)

    encoders = two_encoders()
    encode_dataset(files, tmp_path / "out", PARAMS, encoders, engine=Meanwhile(encoders, 1000))
    assert KBValueStore.load(tmp_path / "out" / "kb" / "train").n == KBS["train"]


def test_a_damaged_ledger_is_said(files: DatasetFiles, tmp_path: Path) -> None:
    folder = tmp_path / "out" / work_folder.WORK
    folder.mkdir(parents=True)
    (folder / "ledger.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="remove"):
        encode_dataset(files, tmp_path / "out", PARAMS, two_encoders())


def test_a_row_that_is_no_fact_stops_before_anything_is_encoded(files: DatasetFiles, tmp_path: Path) -> None:
    path = tmp_path / "data" / "5tuple" / "other.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[-1])
    del row["tail"]
    path.write_text("\n".join([*lines[:-1], json.dumps(row)]) + "\n", encoding="utf-8")
    names = Counting(DIM)
    with pytest.raises(DataError, match=r"other\.jsonl:11: field 'tail'"):
        encode_dataset(files, tmp_path / "out", PARAMS, Encoders.of(names))
    assert not names.seen
    assert not (tmp_path / "out" / "kb").exists()


def test_vectors_of_another_shape_are_refused(files: DatasetFiles, tmp_path: Path) -> None:
    class Short:
        def encode(self, blocks: Iterable[TextBlock]) -> Iterator[EncodedBlock]:
            for block in blocks:
                yield EncodedBlock(block.space, block.start, np.zeros((1, DIM)), 0)

    with pytest.raises(EncoderError, match=r"encoder\.model"):
        encode_dataset(files, tmp_path / "out", PARAMS, two_encoders(), engine=Short())
