"""Stage A put together: from params and stores to a trained adapter."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from dvclive.live import Live

from kblampp.adapters import build_model, save_adapter
from kblampp.artifacts import fingerprint
from kblampp.backbone import Backbone
from kblampp.batching import TrainingBatches
from kblampp.config import Params
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
    section = params.trainA
    workspace = Workspace.open(params, data, store, (TRAIN,))
    base = workspace.open_base(TRAIN)
    vectors = base.store.question_vectors(TRAIN)
    model = start_model(workspace, params, torch.from_numpy(vectors))
    batches = TrainingBatches(
        workspace.dataset.questions[TRAIN],
        vectors,
        workspace.backbone.tokenizer,
        batch_size=section.batch_size,
        drop_question_vector=section.drop_question_vector,
        drop_hidden_query=section.drop_hidden_query,
        rename_answers=section.rename_answers,
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
    options = SelectorOptions(copy_head=params.injection.copy_head, hop=params.injection.hop)
    key = run_key(params, workspace.backbone, base)
    checkpoint = checkpoints / "trainA" / key[:16] / "state.pt"
    with Live(dir=str(metrics), dvcyaml=None, save_dvc_exp=False) as live:
        train(model, base, batches, schedule, weights, options=options, live=live, checkpoint=checkpoint, key=key)
    save_adapter(workspace.folder / "trainA", model, workspace.backbone, workspace.projections)


def start_model(workspace: Workspace, params: Params, questions: torch.Tensor) -> KBInjectedModel:
    """The untrained model, its queries started as the projections and scaled on the training questions."""
    model = build_model(
        workspace.backbone,
        workspace.projections,
        layers=params.injection.layers,
        d_context_score=params.injection.d_context_score,
        d_fusion=params.injection.d_fusion,
    ).to(workspace.backbone.model.device)
    model.start_from(workspace.projections, questions)
    return model


def run_key(params: Params, backbone: Backbone, base: KnowledgeBase) -> str:
    """Hash of everything that the run depends on but the code: a checkpoint of another run is never continued."""
    text = json.dumps([params.seed, params.threads, asdict(params.injection), asdict(params.trainA)], sort_keys=True)
    return fingerprint(text, backbone.fingerprint, json.dumps(base.store.manifest["files"], sort_keys=True))
