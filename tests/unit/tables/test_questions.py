"""Questions are read from any encoding that a table may have."""

from __future__ import annotations

import pytest

from kblampp.core.errors import DataError
from kblampp.tables.questions import read_questions

ASKED = ["Who was the député of Port Elwin?", "Who is Zoë?"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_line_is_a_question(encoding: str, ends: str, caplog: pytest.LogCaptureFixture) -> None:
    text = ends.join(["", ASKED[0] + "\u00a0", " ", ASKED[1]])
    assert read_questions(text.encode(encoding), "stdin") == ASKED
    assert ("stdin: read as" in caplog.text) == (encoding not in ("utf-8", "utf-8-sig"))


@pytest.mark.parametrize("data", [b"", b"\n \r\n", b"\xef\xbb\xbf"])
def test_nothing_is_no_question(data: bytes) -> None:
    assert read_questions(data, "stdin") == []


def test_a_named_encoding_is_taken() -> None:
    assert read_questions("Кто мэр?".encode("cp1251"), "stdin", "cp1251") == ["Кто мэр?"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("é\nok\n".encode() + b"d\xe9put\xe9", "stdin, line 3: it holds a byte that is no UTF-8"),
        (b"Who is Ada Lovelace of London?\nWho is\x00?\n", "stdin, line 2: it holds a zero byte"),
        ("Кто мэр города?".encode("cp1251"), "stdin is not UTF-8, and its encoding cannot be told"),
        (b"PK\x03\x04", "stdin is no text"),
    ],
)
def test_what_cannot_be_read_is_named(data: bytes, says: str) -> None:
    with pytest.raises(DataError) as caught:
        read_questions(data, "stdin")
    assert says in str(caught.value)
