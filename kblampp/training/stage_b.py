"""Stage B put together: trainA's adapter goes on learning, and a part of the backbone with it."""

from __future__ import annotations

from pathlib import Path

from kblampp.core import processes
from kblampp.core.files import read_manifest
from kblampp.core.params import Params
from kblampp.model.checkpoint import KIND, load_adapter, save_adapter
from kblampp.model.lora import change_backbone
from kblampp.model.workspace import Workspace, run_key
from kblampp.training.calibration import CALIBRATION, calibrate
from kblampp.training.stage_a import TRAIN, run_training, training_splits, write_no_metrics


def train_stage_b(params: Params, *, data: Path, store: Path, metrics: Path, checkpoints: Path) -> None:
    """Trains LoRA (or the last layers) and the knowledge modules together and saves them to `store/<dataset>/trainB`.

    With `trainB.max_steps` 0, trainA's adapter passes through unchanged, without a training question, and the metrics
    are empty. Of several processes (`core.processes`) the first alone writes.

    Raises:
        KBLaMError: An input is missing, damaged, or does not fit the others.
    """
    section = params.trainB
    checkpoint: Path | None = None
    injection, backbone = [params.injection.copy_head, params.injection.hop], params.backbone.model_dump()
    settings = [params.seed, params.threads, backbone, *injection, section.model_dump()]
    splits = training_splits(data, params.dataset) if section.max_steps else ()
    workspace = Workspace.open(params, data, store, splits)
    start = workspace.folder / "trainA"
    model = load_adapter(start, workspace.backbone, workspace.projections)
    if section.max_steps == 0:
        if processes.place() == 0:
            write_no_metrics(metrics)
    else:
        base = workspace.open_base(TRAIN)
        key = run_key([*settings, read_manifest(start, KIND, stage="trainA")], workspace, base)
        change_backbone(
            model,
            rank=section.lora_rank,
            alpha=section.lora_alpha,
            targets=section.lora_targets,
            unfreeze_top=section.unfreeze_top,
        )
        checkpoint = checkpoints / "trainB" / key[:16] / "state.pt"
        run_training(workspace, base, model, params, section, metrics=metrics, checkpoint=checkpoint, key=key)
    if processes.place():
        return  # all have the same weights now
    if checkpoint is not None and CALIBRATION in workspace.dataset.questions:
        calibrate(model, workspace)
    save_adapter(workspace.folder / "trainB", model, workspace.backbone, workspace.projections)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
