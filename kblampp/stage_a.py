"""Stage A put together: from params and stores to a trained adapter."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from dvclive.live import Live

from kblampp.adapters import build_model, save_adapter
from kblampp.artifacts import fingerprint
from kblampp.batching import TrainingBatches
from kblampp.config import Params, TrainParams
from kblampp.injection import KBInjectedModel
from kblampp.knowledge import KnowledgeBase, SelectorOptions
from kblampp.opening import Workspace
from kblampp.training import LossWeights, Schedule, train

TRAIN = "train"


def train_stage_a(params: Params, *, data: Path, store: Path, metrics: Path, checkpoints: Path) -> None:
    """Trains the knowledge modules around the frozen backbone and saves them to `store/<dataset>/trainA`.

    Raises:
        KBLaMError: An input is missing, damaged, or does not fit the others.
    """
    workspace = Workspace.open(params, data, store, (TRAIN,))
    base = workspace.open_base(TRAIN)
    model = start_model(workspace, params, torch.from_numpy(base.store.question_vectors(TRAIN)))
    key = run_key([params.seed, params.threads, asdict(params.injection), asdict(params.trainA)], workspace, base)
    checkpoint = checkpoints / "trainA" / key[:16] / "state.pt"
    run_training(workspace, base, model, params, params.trainA, metrics=metrics, checkpoint=checkpoint, key=key)
    save_adapter(workspace.folder / "trainA", model, workspace.backbone, workspace.projections)


def run_training(
    workspace: Workspace,
    base: KnowledgeBase,
    model: KBInjectedModel,
    params: Params,
    section: TrainParams,
    *,
    metrics: Path,
    checkpoint: Path,
    key: str,
    backbone_lr: float = 0.0,
) -> None:
    """Trains whatever in the model requires a gradient on the training split, as the section of the stage says.

    Args:
        workspace: Dataset and backbone.
        base: The training knowledge base.
        model: The model.
        params: For the seed and for what is switched on in the model.
        section: The stage's.
        metrics: Folder of the stage's metrics and curves.
        checkpoint: See `train`.
        key: See `train`.
        backbone_lr: Peak learning rate of what learns inside the backbone.
    """
    batches = TrainingBatches(
        workspace.dataset.questions[TRAIN],
        base.store.question_vectors(TRAIN),
        workspace.backbone.tokenizer,
        batch_size=section.batch_size,
        drop_question_vector=section.drop_question_vector,
        drop_hidden_query=section.drop_hidden_query,
        rename_answers=section.rename_answers,
        in_batch_negatives=section.in_batch_negatives,
        retrieved_negatives=section.retrieved_negatives,
        seed=params.seed,
    )
    weights = LossWeights(
        gate=section.lambda_gate, time=section.lambda_time, path=section.lambda_path, path_margin=section.path_margin
    )
    named = {field.name for field in fields(Schedule)} - {"backbone_lr"}
    schedule = Schedule(**{name: getattr(section, name) for name in named}, backbone_lr=backbone_lr)
    options = SelectorOptions(copy_head=params.injection.copy_head, hop=params.injection.hop)
    with Live(dir=str(metrics), dvcyaml=None, save_dvc_exp=False) as live:
        train(model, base, batches, schedule, weights, options=options, live=live, checkpoint=checkpoint, key=key)


def start_model(workspace: Workspace, params: Params, questions: torch.Tensor) -> KBInjectedModel:
    """The untrained model, its queries started as the projections and scaled on the training questions."""
    model = build_model(
        workspace.backbone,
        workspace.projections,
        layers=params.injection.layers,
        layer_path=params.injection.layer_path,
        d_context_score=params.injection.d_context_score,
        d_fusion=params.injection.d_fusion,
        ego_graph=params.injection.ego_graph,
        ego_radius=params.injection.ego_radius,
        ego_degree=params.injection.ego_degree,
    ).to(workspace.backbone.model.device)
    model.start_from(workspace.projections, questions)
    return model


def run_key(settings: list[Any], workspace: Workspace, base: KnowledgeBase) -> str:
    """Hash of everything that a run depends on but the code: a checkpoint of another run is never continued."""
    text = json.dumps(settings, sort_keys=True)
    return fingerprint(text, workspace.backbone.fingerprint, json.dumps(base.store.manifest["files"], sort_keys=True))
