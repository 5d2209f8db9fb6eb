"""Vectors of the strings that fill large bases, made once in single precision and kept in a folder.

What `encoding` makes in double precision is right to the last bit and takes four times as long; facts that are only
there to be passed over need it not.  The vectors lie in one file that is only added to, so a killed run goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kblampp.core.errors import EncoderError
from kblampp.core.progress import progress_bar
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.sentence_encoder import DoubleArray, load_sentence_transformer

TEXTS, VECTORS = "texts.jsonl", "vectors.f32"
BLOCK = 4096
BATCH = 128


class KeptStrings:
    """Strings to unit vectors, those of a folder and new ones, which are added to it.  One process uses it at a time.

    Args:
        folder: Holds them; it is made when it is needed.
        model: As `encoder.model` of params.yaml.
        width: Of a vector.
    """

    def __init__(self, folder: Path, model: str, width: int) -> None:
        self._folder, self._model, self._width = folder, model, width
        self._rows: dict[str, int] = {}
        self._blocks: list[npt.NDArray[np.float32]] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._read()

    @cached_property
    def _encoder(self) -> Any:
        return load_sentence_transformer(self._model, device="cpu")

    def _read(self) -> None:
        texts, vectors = self._folder / TEXTS, self._folder / VECTORS
        if not texts.is_file() or not vectors.is_file():
            texts.write_bytes(b"")
            vectors.write_bytes(b"")
            return
        found = np.fromfile(vectors, dtype="<f4")
        whole = len(found) // self._width
        lines = texts.read_text(encoding="utf-8").split("\n")[:-1][:whole]  # a killed run may have left half a line
        self._blocks = [found[: len(lines) * self._width].reshape(-1, self._width)]
        self._rows = {json.loads(line): row for row, line in enumerate(lines)}
        with open(vectors, "r+b") as file:
            file.truncate(4 * self._width * len(lines))
        texts.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, texts: Iterable[str]) -> int:
        """Makes the vectors of those that are not there; how many these are.

        Raises:
            EncoderError: The encoder has another width.
        """
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        with progress_bar(total=len(new), desc="Strings", unit="strings", leave=False, disable=not new) as progress:
            for start in range(0, len(new), BLOCK):
                part = new[start : start + BLOCK]
                made = self._encoder.encode(
                    part, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
                ).astype(np.float32)
                if made.shape[1] != self._width:
                    raise EncoderError(f"encoder {self._model!r} has width {made.shape[1]}, expected {self._width}")
                self._keep(part, made)
                progress.update(len(part))
        return len(new)

    def _keep(self, texts: Sequence[str], vectors: npt.NDArray[np.float32]) -> None:
        with open(self._folder / VECTORS, "ab") as file:
            file.write(vectors.astype("<f4").tobytes())
        with open(self._folder / TEXTS, "a", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{json.dumps(text)}\n" for text in texts)
        self._rows |= {text: len(self._rows) + place for place, text in enumerate(texts)}
        self._blocks.append(vectors)

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """The vectors of texts, (n, width)."""
        self.add(texts)
        if len(self._blocks) > 1:
            self._blocks = [np.concatenate(self._blocks)]
        found: npt.NDArray[np.float32] = self._blocks[0][[self._rows[text] for text in texts]]
        return found


class KeptEncoders(Encoders):
    """The encoders of a trained model, whose vectors of names and sentences come from kept strings."""

    strings: KeptStrings

    @classmethod
    def around(cls, encoders: Encoders, strings: KeptStrings) -> KeptEncoders:
        """The encoders, with strings that are kept."""
        made = cls(encoders.names, encoders.relations)
        object.__setattr__(made, "strings", strings)
        return made

    def embed(self, texts: Sequence[str], *, progress: bool = False) -> DoubleArray:
        """Vectors of names and sentences, `(n, d_sent)` float64 unit rows."""
        return self.strings(texts).astype(np.float64)
