"""Whatever a stage can write has a name, and names are in one order everywhere."""

from __future__ import annotations

import random
from dataclasses import fields
from typing import get_args

import pytest
import torch

from kblampp.core.files import read_json
from kblampp.core.params import Ablation
from kblampp.data import facts
from kblampp.evaluation import systems as measured
from kblampp.evaluation.table import SEPARATE_TYPES, SYSTEM_OF
from kblampp.evaluation.table import TYPES as ROWS
from kblampp.experiments import ablation, cross_validation
from kblampp.experiments.sweep import SWEEPS
from kblampp.report import names
from kblampp.report.tables import SHOWN, YAGO_SHOWN
from kblampp.training.losses import Losses
from kblampp.transfer.ablation import ASKED
from kblampp.transfer.measure import YAGO_KINDS
from kblampp.transfer.scoring import GROUPS
from tests.house import ROOT

TABLE = ROOT / "metrics" / "eval" / "table.json"


def test_every_type_of_the_evaluation_has_a_name() -> None:
    assert tuple(names.TYPE_NAMES) == SEPARATE_TYPES
    assert {*names.TYPE_NAMES, *names.GROUPS} == set(ROWS)


def test_every_split_reason_and_ablation_has_a_name() -> None:
    assert tuple(names.SPLITS) == measured.MEASURED
    assert tuple(names.REASONS) == facts.REASONS
    assert tuple(names.ABLATION_NAMES) == tuple(measured.ABLATIONS) == get_args(Ablation)


def test_every_group_and_kind_of_the_measurement_of_transfer_has_a_name() -> None:
    assert tuple(names.TRANSFER_GROUPS) == tuple(GROUPS)
    assert tuple(names.KIND_NAMES) == facts.KINDS
    assert tuple(names.TRANSFER_ASKED) == tuple(ASKED)
    assert tuple(names.TRANSFER_TRAINED) == tuple(ablation.TRAINED)
    assert YAGO_SHOWN == YAGO_KINDS


def test_every_system_of_the_evaluation_has_a_name() -> None:
    assert set(names.MODELS) == set(SYSTEM_OF.values()) < set(names.SYSTEMS)
    if not TABLE.exists():
        pytest.skip("metrics/eval/table.json is not there: `dvc repro` has not been run")
    for split, found in read_json(TABLE).items():
        assert set(found) == {*names.systems(found), *(set(found) & set(names.ABLATION_NAMES))}, split


def test_every_loss_that_is_trained_on_has_a_name() -> None:
    parts = Losses(*[torch.zeros(())] * len(fields(Losses))).figures()
    assert {"loss", *(name for name in parts if name.endswith("_loss"))} == set(names.LOSSES)


def test_what_experiments_show_has_a_name() -> None:
    assert set(cross_validation.DATASETS) <= set(names.DATASETS)
    assert {*SHOWN, *cross_validation.RETRIEVAL} <= set(names.FIGURES)
    assert names.questions_of("timeqa", "test") == "TimeQA"
    assert names.questions_of("timeqa", "test_hard") == "TimeQA (hard)"


def test_systems_are_in_one_order_with_rag_by_falling_number() -> None:
    ids = ["stage_a", "stage_b", "lookup", "rag_12", "rag_8", "rag_1", "in_context", "closed_book"]
    for seed in range(5):
        mixed = random.Random(seed).sample([*ids, "no_hop", "rag_", "rag_x"], len(ids) + 3)
        assert list(names.systems(mixed)) == ids
    shown = names.systems(ids)
    assert shown["rag_12"].label == "RAG: top 12 by dense retrieval"
    assert shown["rag_12"].short == "RAG 12"


def test_no_two_things_of_one_image_have_one_label_or_colour() -> None:
    shown = names.systems([*names.SYSTEMS, "rag_1", "rag_4", "rag_8"])
    for group in (shown.values(), names.TYPE_NAMES.values(), names.LOSSES.values()):
        assert len({name.colour for name in group}) == len({name.label for name in group}) == len(group)
    for together in (("dev", "swap", "novel"), ("dev", "test", "test_hard")):
        assert len({names.SPLITS[split].colour for split in together}) == 3


def test_a_split_without_a_name_stands_after_the_others_as_itself() -> None:
    assert names.splits_in_order(["mine", "novel", "dev", "mine"]) == ["dev", "novel", "mine"]
    assert names.split_name("mine").label == "mine"


def test_sweeps_are_in_the_order_in_which_they_are_run() -> None:
    """Though the file sorts their names as texts."""
    done = {sweep.parameter: {value: {} for value in sorted(sweep.values)} for sweep in SWEEPS}
    shown = names.sweeps_in_order(dict(sorted(done.items())))
    assert {name: tuple(values) for name, values in shown.items()} == {s.parameter: s.values for s in SWEEPS}
    assert list(shown) == [sweep.parameter for sweep in SWEEPS]
    assert list(names.sweeps_in_order({"mine.own": {"2": {}, "10": {}}})["mine.own"]) == ["2", "10"]
