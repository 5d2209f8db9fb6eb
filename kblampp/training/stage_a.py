"""Stage A put together: from params and stores to a trained adapter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from dvclive.live import Live

from kblampp.backbone.decoder_layers import find_decoder_layers, resolve_layers
from kblampp.core import processes
from kblampp.core.errors import CheckpointError, ParamsError, StoreError
from kblampp.core.files import atomic_dir, read_manifest, write_json
from kblampp.core.params import Params, TrainParams, of_start
from kblampp.data.dataset import split_names
from kblampp.data.windows import SYNTHETIC_TODAY
from kblampp.model.batches import TrainingBatches
from kblampp.model.checkpoint import KIND, build_model, load_adapter, save_adapter
from kblampp.model.injection import KBInjectedModel
from kblampp.model.inputs import SelectorOptions, StoredBase
from kblampp.model.workspace import Workspace, run_key
from kblampp.training.answer_kinds import fit_answer_kinds
from kblampp.training.calibration import CALIBRATION, calibrate
from kblampp.training.loop import MetricLog, Schedule, train
from kblampp.training.losses import LossWeights
from kblampp.training.stored_states import states_folder, stored_states

TRAIN = "train"


def train_stage_a(params: Params, *, data: Path, store: Path, metrics: Path, checkpoints: Path) -> None:
    """Trains the knowledge modules around the frozen backbone and saves them to `store/<dataset>/trainA`.

    They start untrained, or as trainA of `start_from` has left them. With `trainA.max_steps` 0 the start is saved as it
    is and the metrics are empty; that of another dataset needs no training question then. Of several processes
    (`core.processes`) the first alone writes.

    Raises:
        KBLaMError: An input is missing, damaged, or does not fit the others.
    """
    section = params.trainA
    injection, backbone = params.injection.model_dump(), params.backbone.model_dump()
    settings = [params.seed, params.threads, backbone, injection, section.model_dump()]
    checkpoint: Path | None = None
    start = None if params.start_from == "scratch" else store / params.start_from / "trainA"
    if start is not None and section.max_steps == 0:
        workspace = Workspace.open(params, data, store, ())
        model = load_start(start, workspace, params)
        if processes.place() == 0:
            write_no_metrics(metrics)
    else:
        workspace = Workspace.open(params, data, store, training_splits(data, params.dataset))
        base = workspace.open_base(TRAIN)
        if start is None:
            model = start_model(workspace, params, torch.from_numpy(base.store.question_vectors(TRAIN)))
        else:
            model = load_start(start, workspace, params)
            settings.append(read_manifest(start, KIND, stage="trainA"))
        key = run_key(settings, workspace, base)
        checkpoint = checkpoints / "trainA" / key[:16] / "state.pt"
        run_training(
            workspace,
            base,
            model,
            params,
            section,
            metrics=metrics,
            checkpoint=checkpoint,
            key=key,
            cache_states_gb=section.cache_states_gb,
        )
    if processes.place():
        return  # all have the same weights now
    if checkpoint is not None and section.max_steps:
        if not model.kinds.fitted:  # those of another dataset's types are kept
            fit_answer_kinds(model.kinds, base, TRAIN, workspace.dataset.questions[TRAIN], params.seed)
        if CALIBRATION in workspace.dataset.questions:
            calibrate(model, workspace)
    save_adapter(workspace.folder / "trainA", model, workspace.backbone, workspace.projections)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)


def training_splits(data: Path, dataset: str) -> tuple[str, ...]:
    """The split that trains and, where a dataset has it, the one on which the null fact is set."""
    return (TRAIN, CALIBRATION) if CALIBRATION in split_names(data, dataset) else (TRAIN,)


def run_training(
    workspace: Workspace,
    base: StoredBase,
    model: KBInjectedModel,
    params: Params,
    section: TrainParams,
    *,
    metrics: Path,
    checkpoint: Path,
    key: str,
    cache_states_gb: float = 0.0,
) -> None:
    """Trains whatever in the model requires a gradient on the training split, as the section of the stage says.

    Without steps it only writes empty metrics.

    Args:
        workspace: Dataset and backbone.
        base: The training knowledge base.
        model: The model.
        params: For the seed and for what is switched on in the model.
        section: The stage's.
        metrics: Folder of the stage's metrics and curves.
        checkpoint, key: See `train`.
        cache_states_gb: `limit` of `stored_states`.
    """
    if section.max_steps == 0:
        if processes.place() == 0:
            write_no_metrics(metrics)
        return
    if section.batch_size < processes.count():
        raise ParamsError(
            f"batch_size is {section.batch_size}, so {processes.count()} processes cannot share a batch; "
            "set it to at least one question for each, or start fewer processes"
        )
    batches = TrainingBatches(
        workspace.dataset.questions[TRAIN],
        base.store.question_vectors(TRAIN),
        workspace.backbone.tokenizer,
        batch_size=section.batch_size,
        drop_question_vector=section.drop_question_vector,
        drop_hidden_query=section.drop_hidden_query,
        question_noise=section.question_noise,
        drop_words=section.drop_words,
        in_batch_negatives=section.in_batch_negatives,
        retrieved_negatives=section.retrieved_negatives,
        seed=params.seed,
    )
    model.context_share = 1.0  # what is trained on counts whole
    weights, schedule = LossWeights(**named_in(section, LossWeights)), Schedule(**named_in(section, Schedule))
    options = SelectorOptions(
        top_k=0, copy_head=params.injection.copy_head, hop=params.injection.hop, as_of=SYNTHETIC_TODAY
    )
    with processes.the_first_before_the_others():
        states = stored_states(
            model,
            batches.sequences(),
            workspace.backbone.fingerprint,
            limit=cache_states_gb,
            batch_size=section.batch_size,
            folder=states_folder(checkpoint.parent.parent),
        )
    again = model.recomputing(section.gradient_checkpointing)
    with again, _open_log(metrics) as live:
        train(
            model,
            base,
            batches,
            schedule,
            weights,
            options=options,
            live=live,
            checkpoint=checkpoint,
            key=key,
            states=states,
        )


class _NoLog:
    """A `MetricLog` that keeps nothing."""

    step = 0

    def log_metric(self, name: str, val: float) -> None:
        pass

    def make_summary(self) -> None:
        pass


@contextmanager
def _open_log(metrics: Path) -> Iterator[MetricLog]:
    """The stage's metrics and curves; those of the first process alone are kept."""
    if processes.place():
        yield _NoLog()
        return
    with Live(dir=str(metrics), dvcyaml=None, save_dvc_exp=False) as live:
        yield live


def named_in(section: TrainParams, settings: type[LossWeights | Schedule]) -> dict[str, Any]:
    """What a section says about the fields of a dataclass, which have the names of parameters.

    A field that it lacks keeps its default: of Stage A, `backbone_lr`.
    """
    names = [field.name for field in fields(settings)]
    return {name: getattr(section, name) for name in names if hasattr(section, name)}


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


def load_start(start: Path, workspace: Workspace, params: Params) -> KBInjectedModel:
    """The model that trainA of another dataset has left, if it is as `injection` says.

    Around another backbone it is what of it does not depend on one; see `load_adapter`.

    Args:
        start: `store/<start_from>/trainA`.
        workspace: Backbone, and projections, which must be those that it was trained with.
        params: The parameters.

    Raises:
        StoreError: The folder is missing or damaged.
        CheckpointError: It was trained with other projections, or its layers or widths are others.
    """
    name, section = start.parent.name, params.injection
    try:
        place = section.layers, section.layer_path
        model = load_adapter(start, workspace.backbone, workspace.projections, into=place)
    except (StoreError, CheckpointError) as error:
        raise type(error)(f"start_from is {name}, but {error} {of_start(name)}") from error
    n_layers = len(find_decoder_layers(workspace.backbone.model, section.layer_path))
    found = {**model.config, "layers": tuple(model.layers)}
    wanted = {**section.model_dump(), "layers": resolve_layers(section.layers, n_layers)}
    other = [
        f"{key} is {wanted[key]}, not {found[key]}" for key in found if key in wanted and wanted[key] != found[key]
    ]
    if other:
        model.detach()  # the backbone is the caller's
        raise CheckpointError(
            f"start_from is {name}, but adapter {start} was trained with another injection ({'; '.join(other)}): "
            "set injection.* to that, or start_from to scratch"
        )
    return model


def write_no_metrics(folder: Path) -> None:
    """Writes the files of a training without steps: empty metrics, and a curve without points.

    An empty folder would not be kept by git, and DVC fails on a file there that is no plot.
    """
    write_json(folder / "metrics.json", {})
    with atomic_dir(folder / "plots" / "metrics") as curves:
        (curves / "train").mkdir()
        (curves / "train" / "loss.tsv").write_text("step\tloss\n", encoding="utf-8", newline="\n")
