"""Questions from a file or a pipe, a line each, in any encoding that a table may have."""

from __future__ import annotations

import logging

from kblampp.core.errors import DataError
from kblampp.tables.decoding import decode, lines, stripped

logger = logging.getLogger(__name__)


def read_questions(data: bytes, where: str, encoding: str | None = None) -> list[str]:
    """Reads questions; blank lines are none, and an encoding that is not plainly UTF-8 is told in a warning.

    Args:
        data: The bytes.
        where: What errors call them, such as "stdin".
        encoding: Its name, if it is known.

    Raises:
        DataError: They are no text, or a line cannot be read.
    """
    decoded = decode(data, where, encoding)
    if decoded.note:
        logger.warning("%s: %s", where, decoded.note)
    questions = []
    for number, line in enumerate(lines(decoded.text), start=1):
        if fault := decoded.fault(line):
            raise DataError(f"{where}, line {number}: {fault}")
        if question := stripped(line):
            questions.append(question)
    return questions
