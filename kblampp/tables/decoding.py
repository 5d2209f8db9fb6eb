"""Bytes of a file of someone else's, as text.  The rule, the first that fits:

1. The encoding that was named.
2. The byte order mark: UTF-8, UTF-16 or UTF-32.
3. The first byte or the second is zero, and of all such bytes a tenth or more: UTF-16 without a mark.
4. All is UTF-8.
5. Of the lines with bytes that are not ASCII some are UTF-8: UTF-8, and each of the others costs its own row.
6. None of them is: cp1252, which spreadsheets of Western Europe save.  Not if such bytes come mostly in runs of three
   and more, as in Cyrillic, Greek or Chinese: then the encoding must be named.

Nothing is replaced: a byte that is no text in the encoding becomes a code point from U+DC00, which no text holds, and
`Decoded.fault` says so of the row it is in.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

from kblampp.core.errors import DataError

_KEEP = "kblampp.tables.keep"
_LOST = 0xDC00
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
_BEGINNING = 1000
NO_TEXT = "is no text table: it begins with bytes that no text holds; save the table as CSV (UTF-8)"
_RUNS = re.compile(rb"[\x80-\xff]{3,}")
_WORD = re.compile(r"\w*[^\x00-\x7f\ud800-\udfff]\w*")
LINE_END = re.compile(r"\r\n|\n|\r")
BLANKS = "\ufeff\u200b\u2060"
"""Blanks without a width, which `str.strip` leaves."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8", "UTF-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
_BINARY = (
    (b"PK\x03\x04", "an Excel workbook or another zip file: save its sheet as CSV (UTF-8), or unpack it"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: save its sheet as CSV (UTF-8)"),
    (b"\x1f\x8b", "packed with gzip: unpack it"),
    (b"BZh", "packed with bzip2: unpack it"),
    (b"\xfd7zXZ", "packed with xz: unpack it"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd: unpack it"),
    (b"%PDF", "a PDF: save the table as CSV (UTF-8)"),
    (b"SQLite format 3\x00", "an SQLite file: export its table as CSV"),
    (b"PAR1", "a Parquet file: export it as CSV"),
)


@dataclass(frozen=True)
class Decoded:
    """The text of a file.

    Attributes:
        text: Without a byte order mark; bytes that are no text are code points from U+DC00.
        encoding: As people call it.
        note: What is to be said of it; None if it is plainly UTF-8.
    """

    text: str
    encoding: str
    note: str | None

    @property
    def binary(self) -> bool:
        """Whether it begins with what no text holds; asked where it is not understood, since texts may be damaged."""
        return _CONTROL.search(self.text, 0, _BEGINNING) is not None

    def fault(self, text: str) -> str | None:
        """Why a part of the text cannot be taken as it stands; None if it can."""
        found = _SURROGATE.search(text)
        if found is None:
            return "it holds a zero byte: remove it" if "\x00" in text else None
        byte = ord(found[0]) - _LOST
        if not 0 <= byte <= 0xFF:
            return "it holds half of a character: write it whole"
        guess = bytes([byte]).decode("cp1252", "replace")
        hint = f", {guess!r} in cp1252" if self.encoding == "UTF-8" and byte > 0x7F and guess.isprintable() else ""
        return f"it holds a byte that is no {self.encoding} (0x{byte:02x}{hint}): save the file as UTF-8"


def decode(data: bytes, where: str, encoding: str | None = None) -> Decoded:
    """Reads bytes by the rule above.

    Args:
        data: The bytes.
        where: What errors call them.
        encoding: Its name, such as "cp1252", if it is known.

    Raises:
        DataError: They are no text, there is no such encoding, or it cannot be told.
    """
    for start, what in _BINARY:
        if data.startswith(start):
            raise DataError(f"{where} is no text but {what}")
    if encoding is not None:
        return Decoded(_named(data, where, encoding), encoding, f"read as {encoding}, as named")
    for mark, codec, name in _MARKS:
        if data.startswith(mark):
            note = None if name == "UTF-8" else f"read as {name}, as its byte order mark says"
            return Decoded(_text(data, codec), name, note)
    if unmarked := _utf16(data):
        note = "read as UTF-16, as its zero bytes say (it has no byte order mark)"
        return Decoded(_text(data, unmarked), "UTF-16", note)
    try:
        return Decoded(data.decode("utf-8"), "UTF-8", None)
    except UnicodeDecodeError:
        return _by_lines(data, where)


def lines(text: str) -> Iterator[str]:
    """The lines of a text, without their ends, which are those of any system."""
    return iter(LINE_END.split(text))


def shown(text: str) -> str:
    """A text as a file and a screen can hold it: what is no text, and what cannot be seen, as \\xe9 or \\ud800."""
    return _UNSEEN.sub(_escape, text)


def stripped(text: str) -> str:
    """A cell without the blanks around it: no-break spaces and blanks without a width too."""
    bare = text.strip()
    while bare and (bare[0] in BLANKS or bare[-1] in BLANKS):
        bare = bare.strip(BLANKS).strip()
    return bare


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\u{code:04x}" if code > 0xFF and not _LOST <= code <= _LOST + 0xFF else f"\\x{code & 0xFF:02x}"


def _keep(error: UnicodeError) -> tuple[str, int]:
    """Error handler of decoding: bytes that are no text, as code points from U+DC00."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(_LOST + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_KEEP, _keep)


def _text(data: bytes, codec: str) -> str:
    return data.decode(codec, _KEEP).removeprefix("\ufeff")


def _named(data: bytes, where: str, encoding: str) -> str:
    try:
        codec = codecs.lookup(encoding).name
        if codec in ("utf-16", "utf-32") and not any(
            data.startswith(mark) for mark, _, name in _MARKS if name.lower() == codec
        ):  # without a mark Python takes the order of this machine
            codec = (_utf16(data) if codec == "utf-16" else None) or f"{codec}-le"
        return _text(data, codec)
    except (LookupError, ValueError) as error:  # Unicode errors are ValueErrors
        raise DataError(f"{where} cannot be read in the encoding {encoding!r} ({error}): name another") from None


def _utf16(data: bytes) -> str | None:
    """The codec if the bytes look like UTF-16: the first character is ASCII, and a tenth of all, as their zeros say."""
    first, second = data[::2].count(0), data[1::2].count(0)
    for codec, high, low, begins in (("utf-16-le", second, first, data[1:2]), ("utf-16-be", first, second, data[:1])):
        if begins == b"\x00" and high * 20 >= len(data) and high > 4 * low:
            return codec
    return None


def _by_lines(data: bytes, where: str) -> Decoded:
    """UTF-8 with some bad lines, or cp1252."""
    odd = [line for line in data.splitlines() if not line.isascii()]
    bad = [line for line in odd if not _is_utf8(line)]
    if len(bad) < len(odd):
        count = "a line that is" if len(bad) == 1 else f"{len(bad)} lines that are"
        return Decoded(_text(data, "utf-8"), "UTF-8", f"read as UTF-8, with {count} not")
    high = sum(byte > 0x7F for byte in b"".join(odd))
    if 2 * sum(len(run) for run in _RUNS.findall(data)) > high:
        if _CONTROL.search(_text(data[:_BEGINNING], "latin-1")):
            raise DataError(f"{where} {NO_TEXT}")
        raise DataError(
            f"{where} is not UTF-8, and its encoding cannot be told from its bytes: save it as UTF-8, or name the "
            "encoding, such as gbk or cp1251"
        )
    text = _text(data, "cp1252")
    example = _WORD.search(text)
    said = f": {shown(example[0][:40])!r}" if example else ""
    note = f"read as cp1252 (Western European), since it is not UTF-8{said}"
    return Decoded(text, "cp1252", note)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
