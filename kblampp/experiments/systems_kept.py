"""What systems have said so far, kept on disk, so that a run which was stopped goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kblampp.core.files import MANIFEST, fingerprint, read_json, write_json
from kblampp.core.params import Params
from kblampp.experiments.systems_asked import Rows
from kblampp.model.predictor import Prediction, Predictor

STAGE_A, STAGE_B, RAG = "trainA", "trainB", "rag"
"""What was trained, below `store/<dataset>`."""
_STYLE = "style.json"


@dataclass(frozen=True)
class Said:
    """What one system said to the questions about one base.

    Attributes:
        texts: Its answers, (n,).
        prompt_tokens: How long each prompt was, (n,); 0 where no language model was asked.
        null: Its abstention scores, (n,); None for systems without.
    """

    texts: list[str]
    prompt_tokens: list[int]
    null: list[float | None]

    @classmethod
    def of(cls, predictions: Sequence[Prediction]) -> Said:
        """What predictions say."""
        return cls(
            [each.text for each in predictions],
            [each.prompt_tokens for each in predictions],
            [each.null for each in predictions],
        )

    @classmethod
    def in_words(cls, texts: Sequence[str], prompt_tokens: Sequence[int]) -> Said:
        """Answers, (n,), without abstention scores."""
        return cls(list(texts), list(prompt_tokens), [None] * len(texts))


class Kept:
    """What has been said so far, in a folder that belongs to one run.

    Args:
        folder: The folder, which need not be there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, base: str, system: str) -> bool:
        """Whether a system has answered the questions about a base."""
        return self._path(base, system).is_file()

    def put(self, base: str, system: str, said: Said) -> None:
        """Keeps its answers."""
        write_json(self._path(base, system), asdict(said))

    def get(self, base: str, system: str) -> Said:
        """Its answers.

        Raises:
            StoreError: There are none.
        """
        return Said(**read_json(self._path(base, system)))

    def _path(self, base: str, system: str) -> Path:
        return self.folder / base / f"{system}.json"

    def put_style(self, style: str, shares: dict[str, float]) -> None:
        """Keeps how the backbone is to be asked, and what each way was worth."""
        write_json(self.folder / _STYLE, {"style": style, "right_on_unseen": shares})

    def style(self) -> tuple[str, dict[str, float]] | None:
        """How the backbone is to be asked; None if that was not chosen."""
        path = self.folder / _STYLE
        if not path.is_file():
            return None
        found = read_json(path)
        return found["style"], found["right_on_unseen"]


def folder_of_run(
    work: Path, params: Params, store: Path, rows: Rows, predictor: Predictor, systems: Sequence[str], choose: int
) -> Path:
    """A folder named by a hash of all that the answers depend on but the code.

    Args:
        work: Where it lies.
        params: The parameters.
        store: Holds what was trained.
        rows: What is asked.
        predictor: For the backbone.
        systems: Those that are asked; a run of some must not end with what another one has kept.
        choose: Questions of each kind by which it is chosen how the backbone is asked.
    """
    folder = store / params.dataset
    paths = [folder / name / MANIFEST for name in (STAGE_A, STAGE_B, RAG)]
    manifests = [path.read_text(encoding="utf-8") if path.is_file() else "" for path in paths]
    asked = [
        [base, split.base.store.keys_sha256, [question.to_row() for question in split.encoded.questions]]
        for splits in rows.values()
        for base, split in splits.items()
    ]
    settings = json.dumps([params.model_dump(mode="json"), list(systems), choose, asked], sort_keys=True)
    return work / fingerprint(settings, predictor.backbone.fingerprint, *manifests)[:16]
