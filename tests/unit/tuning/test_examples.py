"""The examples that an encoder is tuned on: where they come from, and what they depend on."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from kblampp.synthetic.open_names import name_words, pools_of
from kblampp.synthetic.open_schema import CONFLICTS, OPEN_BY_ID, OPEN_RELATIONS, is_held_out
from kblampp.tuning.examples import Asked, Example, ExampleMaker, labels_of, open_base, wordings
from tests.house import ROOT

SEED = 7


@pytest.fixture(scope="module")
def maker() -> ExampleMaker:
    return ExampleMaker(SEED)


@pytest.fixture(scope="module")
def examples(maker: ExampleMaker) -> list[Example]:
    return list(chain.from_iterable(maker.batch(number, 64) for number in range(60)))


def test_a_batch_depends_on_seed_and_number_alone(maker: ExampleMaker) -> None:
    other = ExampleMaker(SEED)
    random.seed(1)
    backwards = {number: other.batch(number, 16) for number in (5, 0, 3)}
    random.seed(2)
    assert all(maker.batch(number, 16) == batch for number, batch in backwards.items())
    assert len({tuple(batch) for batch in backwards.values()}) == 3
    assert ExampleMaker(SEED + 1).batch(3, 16) != backwards[3]


@pytest.mark.parametrize("size", [1, 7, 64, 200])
def test_a_batch_has_the_size_that_is_asked_for_and_a_smaller_one_is_its_beginning(
    size: int, maker: ExampleMaker
) -> None:
    assert maker.batch(2, size) == maker.batch(2, 200)[:size]
    assert len(maker.batch(2, size)) == size


SCRIPT = """
import json, sys
files = []
sys.addaudithook(lambda event, args: files.append(str(args[0])) if event == "open" else None)
from kblampp.encoding.sentence_encoder import DeterministicEncoder
from kblampp.tuning.examples import ExampleMaker
from kblampp.tuning.measure import measure
batch = [[example.text, [asked.label for asked in example.hops]] for example in ExampleMaker(7).batch(1, 64)]
figures = measure(DeterministicEncoder(32).encode, 7)
print(json.dumps({"batch": batch, "figures": figures, "files": files}))
"""


def test_tuning_reads_no_data_and_is_the_same_in_every_process() -> None:
    """Dossiers least of all, the open and the held-out ones: their questions are what the model is measured by."""
    outputs = []
    for hash_seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        )
        outputs.append(json.loads(done.stdout.splitlines()[-1]))
    first, second = outputs
    assert (first["batch"], first["figures"]) == (second["batch"], second["figures"])
    # The environment may lie inside the repository (`make env`): what its libraries open is their own affair.
    ours = [name for name in first["files"] if Path(name).is_relative_to(ROOT) and ".venv" not in Path(name).parts]
    read = [name for name in ours if not re.search(r"\.pyc?(\.\d+)?$", name)]
    assert any(name.endswith("relation_wordings.jsonl") for name in read)
    assert all(name.startswith(str(ROOT / "kblampp" / "synthetic")) for name in read)
    assert not [name for name in first["files"] if "dossier" in name]


def test_no_relation_that_is_held_out_is_asked_for(examples: list[Example]) -> None:
    asked = {hop.relation for hop in labels_of(examples)}
    of_wordings = {wording.relation for wording in wordings()}
    of_bases = asked - of_wordings
    assert of_bases <= OPEN_BY_ID.keys()
    assert not {relation for relation in of_bases if is_held_out(relation)}
    assert len(of_bases) > 150, "and most of the others are"
    assert len(asked & of_wordings) > 600


def test_the_bases_to_learn_from_and_to_measure_on_share_no_relation_and_no_name_word() -> None:
    facts = {part: open_base(part, 600, 1, SEED)[0] for part in ("train", "unseen")}  # type: ignore[arg-type]
    for part, base in facts.items():
        assert {is_held_out(str(fact.relation.id)) for fact in base} == {part == "unseen"}
    words = {part: {word for fact in base for word in name_words(fact.head.name)} for part, base in facts.items()}
    assert words["train"]
    assert not words["train"] & words["unseen"]


def test_the_names_in_wordings_are_of_the_part_to_learn_from(maker: ExampleMaker) -> None:
    """Of the pools: made-up words are dealt by hash too, which tests of the names check."""
    held = {
        word
        for pools in pools_of("unseen").values()
        for pool, entries in pools.items()
        if pool != "patterns"
        for entry in entries
        for word in name_words(entry)
    }
    assert held
    assert not {word for head in maker._heads for word in name_words(head)} & held


def test_every_example_says_something_with_names_in_it_and_asks_for_one_to_three_relations(
    examples: list[Example],
) -> None:
    for example in examples:
        assert example.text.strip()
        assert not any(mark in example.text for mark in "{}"), example.text
        assert 1 <= len(example.hops) <= 3
    assert {len(example.hops) for example in examples} >= {1, 2}


def test_half_of_the_runs_are_of_wordings(examples: list[Example]) -> None:
    of_wordings = {wording.relation for wording in wordings()}
    share = sum(example.hops[0].relation in of_wordings for example in examples) / len(examples)
    assert 0.4 < share < 0.75, "runs of wordings are seldom shorter than eight, those of bases often"


def test_labels_are_those_of_all_hops_in_order() -> None:
    a, b, c = (Asked(letter, letter) for letter in "abc")
    assert labels_of([Example("1", (a, b)), Example("2", (c,)), Example("3", (a,))]) == [a, b, c, a]


def test_labels_mean_the_same_if_relation_or_label_are_equal_or_a_question_could_mean_either() -> None:
    one, others = next((relation, ids) for relation, ids in CONFLICTS.items() if ids)
    assert Asked("r", "mayor").same(Asked("r", "head of the town"))
    assert Asked("r", "HQ").same(Asked("s", "hq"))
    assert not Asked("r", "mayor").same(Asked("s", "height"))
    for other in others:
        assert Asked(one, "a").same(Asked(other, "b"))
        assert Asked(other, "b").same(Asked(one, "a"))
        assert {text.casefold() for text in OPEN_BY_ID[one].wordings} & OPEN_BY_ID[other].wordings
    free = next(relation.id for relation in OPEN_RELATIONS if relation.id not in {one, *others})
    assert not Asked(one, "a").same(Asked(free, "b"))
