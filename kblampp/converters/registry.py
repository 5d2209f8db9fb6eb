"""The converters by the name of their dataset, and what is the same for all of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from kblampp.converters import base, custom, hotpotqa, kblam, timeqa, trex, yago
from kblampp.converters.conversion import Conversion
from kblampp.core.errors import DataError
from kblampp.core.params import ConvertParams
from kblampp.data.dataset import TRAINING_KB, DatasetWriter

logger = logging.getLogger(__name__)
Converter = Callable[[Path, Conversion], None]
CONVERTERS: Mapping[str, Converter] = {
    "timeqa": timeqa.convert,
    "hotpotqa": hotpotqa.convert,
    "trex": trex.convert,
    "kblam": kblam.convert,
    "yago": yago.convert,
    "custom": custom.convert,
    "base": base.convert,
}


def convert_dataset(
    name: str, raw: Path, data: Path, options: ConvertParams, *, seed: int, as_of: int, measured: bool = False
) -> None:
    """Converts the files in `raw` and writes facts, questions and the conversion report to `data`.

    Args:
        name: The dataset.
        raw: Its raw files.
        data: The folder for what comes of them.
        options: `convert` in params.yaml.
        seed: Of all that is drawn.
        as_of: Day of asking.
        measured: Whether nothing will be trained on (`Conversion`).

    Raises:
        DataError: A file is missing, a row is malformed (unless `skip_bad`), or there is no fact to train on.
    """
    with DatasetWriter(data, name) as writer:
        conversion = Conversion(writer, options, seed, as_of, measured=measured)
        CONVERTERS[name](raw, conversion)
        report = conversion.report()
        logger.info("conversion report: %s", json.dumps(report, ensure_ascii=False))
        if not report["facts"].get(TRAINING_KB):
            raise DataError(
                f"{raw} gave no fact for the training base ({json.dumps(report['skipped'])} left out); "
                "see the conversion report above"
            )
        writer.add_report(report)
