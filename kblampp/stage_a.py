"""Stage A put together: from params and stores to a trained adapter."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from dvclive import Live

from kblampp.adapters import build_model, save_adapter
from kblampp.artifacts import fingerprint
from kblampp.backbone import Backbone, check_backbone, load_backbone
from kblampp.batching import TrainingBatches
from kblampp.config import Params
from kblampp.datasets import Dataset
from kblampp.encoding import PROJECTION
from kblampp.knowledge import KnowledgeBase
from kblampp.projections import Projections
from kblampp.training import LossWeights, Schedule, train

TRAIN = "train"


def open_backbone(params: Params, store: Path) -> Backbone:
    """Loads the backbone that the stage `backbone` has checked.

    Raises:
        BackboneError: It cannot be loaded, or is no longer the one that was checked.
    """
    section = params.backbone
    device = "cuda" if section.load_in_4bit else "cpu"
    backbone = load_backbone(
        section.name,
        revision=section.revision,
        dtype=section.dtype,
        load_in_4bit=section.load_in_4bit,
        device=device,
    )
    check_backbone(backbone, store / "backbone" / "manifest.json")
    return backbone


def train_stage_a(params: Params, *, data: Path, store: Path, metrics: Path, checkpoints: Path) -> None:
    """Trains the knowledge modules around the frozen backbone and saves them to `store/<dataset>/trainA`.

    Raises:
        KBLaMError: An input is missing, damaged, or does not fit the others.
    """
    section = params.trainA
    dataset = Dataset.load(data, params.dataset)
    folder = store / params.dataset
    backbone = open_backbone(params, store)
    projections = Projections.load(folder / "kb" / PROJECTION)
    kb = dataset.kb_of_split[TRAIN]
    base = KnowledgeBase.load(
        folder / "kb" / kb,
        folder / "index" / kb,
        backbone.tokenizer,
        projection_fingerprint=projections.fingerprint,
        device=str(backbone.model.device),
    )
    vectors = base.store.question_vectors(TRAIN)
    model = build_model(
        backbone,
        projections,
        layers=params.injection.layers,
        d_context_score=params.injection.d_context_score,
        d_fusion=params.injection.d_fusion,
    ).to(backbone.model.device)
    for selector in model.selectors:
        selector.start_from(projections, torch.from_numpy(vectors))
    batches = TrainingBatches(
        dataset.questions[TRAIN],
        vectors,
        backbone.tokenizer,
        batch_size=section.batch_size,
        drop_question_vector=section.drop_question_vector,
        in_batch_negatives=section.in_batch_negatives,
        seed=params.seed,
    )
    weights = LossWeights(
        gate=section.lambda_gate,
        time=section.lambda_time,
        path=section.lambda_path,
        path_margin=section.path_margin,
        retrieved_negatives=section.retrieved_negatives,
    )
    schedule = Schedule(**{name: getattr(section, name) for name in Schedule.__dataclass_fields__})
    key = run_key(params, backbone, base)
    with Live(dir=str(metrics), dvcyaml=None, save_dvc_exp=False) as live:
        train(
            model,
            base,
            batches,
            schedule,
            weights,
            live=live,
            checkpoint=checkpoints / "trainA" / key[:16] / "state.pt",
            key=key,
        )
    save_adapter(folder / "trainA", model, backbone, projections)


def run_key(params: Params, backbone: Backbone, base: KnowledgeBase) -> str:
    """Hash of everything that the run depends on but the code: a checkpoint of another run is never continued."""
    text = json.dumps([params.seed, params.threads, asdict(params.injection), asdict(params.trainA)], sort_keys=True)
    return fingerprint(text, backbone.fingerprint, str(base.store.manifest["files"]), base.index.method)
