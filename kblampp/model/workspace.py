"""Opens what earlier stages have written, each checked against the others: backbone, projections, knowledge bases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kblampp.backbone.load import Backbone, check_backbone, load_backbone
from kblampp.core.errors import StoreError
from kblampp.core.files import fingerprint
from kblampp.core.params import BackboneParams, Params
from kblampp.data.dataset import Dataset
from kblampp.data.windows import day
from kblampp.encoding.projections import PROJECTION, Projections
from kblampp.model.inputs import SelectorOptions, StoredBase
from kblampp.time_expressions.parse import without_time


def open_backbone(params: Params, store: Path) -> Backbone:
    """Loads the backbone that the stage `backbone` has checked.

    Raises:
        BackboneError: It cannot be loaded.
        StoreError: It was not checked, or is no longer what it was then.
    """
    backbone = backbone_of(params.backbone)
    check_backbone(backbone, store / "backbone" / "manifest.json")
    return backbone


def backbone_of(section: BackboneParams) -> Backbone:
    """Loads the backbone that the parameters name, whether or not a stage has checked it.

    Raises:
        BackboneError: It cannot be loaded.
    """
    return load_backbone(
        section.name,
        revision=section.revision,
        dtype=section.dtype,
        quantize=section.quantize,
        device=section.device,
    )


@dataclass(frozen=True)
class Workspace:
    """The inputs of training and evaluation.

    Attributes:
        dataset: Facts and questions.
        backbone: The frozen language model.
        projections: The maps that made keys and values.
        folder: `store/<dataset>`.
    """

    dataset: Dataset
    backbone: Backbone
    projections: Projections
    folder: Path

    @classmethod
    def open(cls, params: Params, data: Path, store: Path, splits: Sequence[str] | None = None) -> Workspace:
        """Opens dataset (all of it, or some splits), backbone and projections.

        Raises:
            KBLaMError: One of them is missing, damaged, or no longer what an earlier stage has checked.
        """
        dataset, backbone = Dataset.load(data, params.dataset, splits), open_backbone(params, store)
        folder = store / params.dataset
        return cls(dataset, backbone, Projections.load(folder / PROJECTION), folder)

    def open_base(self, split: str) -> StoredBase:
        """Opens the knowledge base that a split asks about.

        Raises:
            StoreError: Its store or index is missing, damaged, or made with other projections.
        """
        kb = self.dataset.kb_of_split[split]
        base = StoredBase.load(
            self.folder / "kb" / kb,
            self.folder / "index" / kb,
            projection_fingerprint=self.projections.fingerprint,
            device=str(self.backbone.model.device),
        )
        questions = [without_time(question.question) for question in self.dataset.questions[split]]
        if base.store.facts != self.dataset.kbs[kb] or not base.store.encoded(split, questions):
            raise StoreError(
                f"store {base.store.directory} was encoded from other facts or questions than data/ holds now; "
                "run `dvc repro encode`"
            )
        return base


def selector_options(params: Params) -> SelectorOptions:
    """How facts are selected, as params.yaml says."""
    section = params.selector
    return SelectorOptions(
        top_k=section.top_k,
        gamma=section.gamma,
        eta=section.eta,
        temperature=section.temperature,
        over_fetch=section.over_fetch,
        as_of=day(section.as_of),
        copy_head=params.injection.copy_head,
        hop=params.injection.hop,
    )


def run_key(settings: list[Any], workspace: Workspace, base: StoredBase) -> str:
    """Hash of everything that a run depends on but the code: a checkpoint of another run is never continued."""
    text = json.dumps(settings, sort_keys=True)
    return fingerprint(text, workspace.backbone.fingerprint, json.dumps(base.store.manifest["files"], sort_keys=True))
