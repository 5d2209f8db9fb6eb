"""What the loop is given is what the section of the stage says."""

from __future__ import annotations

from dataclasses import asdict

from kblampp.core.params_file import load_params
from kblampp.training.loop import Schedule
from kblampp.training.losses import LossWeights
from kblampp.training.stage_a import named_in
from tests.house import ROOT


def test_weights_and_schedule_are_those_of_the_section_by_name() -> None:
    params = load_params(ROOT / "params.yaml")
    parts = ("select", "form", "words", "time", "hop", "path")
    weights = {f"lambda_{part}": 2.0 + place for place, part in enumerate(parts)} | {"path_margin": 11.0}
    for section in (params.trainA, params.trainB):
        changed = section.model_copy(update=weights)
        assert asdict(LossWeights(**named_in(changed, LossWeights))) == weights
        schedule = asdict(Schedule(**named_in(changed, Schedule)))
        said = {**section.model_dump(), "backbone_lr": getattr(section, "backbone_lr", 0.0)}
        assert schedule == {name: said[name] for name in schedule}


def test_the_backbone_learns_in_stage_b_alone() -> None:
    params = load_params(ROOT / "params.yaml")
    assert Schedule(**named_in(params.trainA, Schedule)).backbone_lr == 0
    assert Schedule(**named_in(params.trainB, Schedule)).backbone_lr == params.trainB.backbone_lr > 0
