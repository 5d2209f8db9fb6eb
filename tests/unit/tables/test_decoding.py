"""Bytes become the text that their maker saw, or it is said which are lost and why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kblampp.core.errors import DataError
from kblampp.tables.decoding import decode, lines, shown, stripped

TABLE = "head,relation,tail\nMüller & Söhne,owner,Zoë\nCafé,motto,“home”\n"


@pytest.mark.parametrize(
    ("encoding", "called"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("utf-32", "UTF-32"),
        ("cp1252", "cp1252"),
    ],
)
def test_encodings_of_spreadsheets_are_told(encoding: str, called: str) -> None:
    decoded = decode(TABLE.encode(encoding), "x.csv")
    assert (decoded.text, decoded.encoding) == (TABLE, called)
    assert (decoded.note is None) == (called == "UTF-8")
    assert called in (decoded.note or called)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-32-le", "cp1252", "latin-1", "mac-roman"])
def test_a_named_encoding_is_taken(encoding: str) -> None:
    text = TABLE.replace("“home”", "home")
    assert decode(text.encode(encoding), "x.csv", encoding).text == text


@pytest.mark.parametrize("encoding", ["gbk", "shift_jis", "cp1251", "koi8-r"])
def test_an_encoding_of_another_script_must_be_named(encoding: str) -> None:
    word = "мэр" if encoding in ("cp1251", "koi8-r") else "こうべの市長"
    text = f"head,relation,tail\n{word}{word},{word},Ada\n"
    with pytest.raises(DataError, match="cannot be told from its bytes"):
        decode(text.encode(encoding), "x.csv")
    assert decode(text.encode(encoding), "x.csv", encoding).text == text


def test_chinese_in_utf_16_without_a_mark_is_told_by_its_ascii() -> None:
    text = "head,relation,tail\n" + "肺炎,常见症状,咳嗽\n" * 20
    assert decode(text.encode("utf-16-le"), "x.csv").text == decode(text.encode("utf-16-be"), "x.csv").text == text


def test_a_byte_that_is_no_utf_8_among_lines_that_are_costs_its_line() -> None:
    decoded = decode("é\nü\n".encode() + b"caf\xe9\nplain\n", "x.csv")
    assert decoded.encoding == "UTF-8"
    assert decoded.note == "read as UTF-8, with a line that is not"
    faults = [decoded.fault(line) for line in lines(decoded.text)]
    assert [fault is None for fault in faults] == [True, True, False, True, True]
    assert "0xe9, 'é' in cp1252" in str(faults[2])


def test_a_file_whose_lines_are_all_not_utf_8_is_cp1252() -> None:
    decoded = decode(b"plain\n" * 3000 + "café, naïve\n".encode("cp1252"), "x.csv")
    assert decoded.text.endswith("café, naïve\n")
    assert decoded.note == "read as cp1252 (Western European), since it is not UTF-8: 'café'"


def test_a_byte_that_cp1252_lacks_is_a_fault() -> None:
    decoded = decode(b"caf\xe9\n\x81 b\n", "x.csv")
    assert [bool(decoded.fault(line)) for line in lines(decoded.text)] == [False, True, False]


def test_half_a_character_at_the_end_of_utf_16_is_a_fault() -> None:
    decoded = decode("ab\n".encode("utf-16") + b"c", "x.csv")
    assert [bool(decoded.fault(line)) for line in lines(decoded.text)] == [False, True]


@pytest.mark.parametrize(
    ("start", "says"),
    [(b"PK\x03\x04", "Excel"), (b"\xd0\xcf\x11\xe0", "Excel"), (b"\x1f\x8b", "gzip"), (b"%PDF", "PDF")],
)
def test_files_that_are_no_text_are_named(start: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        decode(start + b"\x00\x01\xff" * 9, "x.csv")


@pytest.mark.parametrize("encoding", ["klingon", "base64", "idna", "rot13", "undefined", "", "\x00"])
def test_an_encoding_that_cannot_be_used_is_named(encoding: str) -> None:
    with pytest.raises(DataError) as caught:
        decode(b"caf\xe9 \xff\x00", "x.csv", encoding)
    assert f"encoding {encoding!r}" in str(caught.value)


@given(st.binary(max_size=80), st.none() | st.sampled_from(["utf-8", "utf-16", "cp1252", "gbk", "utf-7", "utf-8-sig"]))
def test_any_bytes_are_decoded_or_refused(data: bytes, encoding: str | None) -> None:
    try:
        decoded = decode(data, "x.csv", encoding)
    except DataError:
        return
    shown(decoded.text).encode()
    (decoded.note or "").encode()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_utf_8_is_never_taken_for_something_else(text: str) -> None:
    text = "head" + text
    assert decode(text.encode(), "x.csv").text == text


def test_what_cannot_be_seen_is_shown_by_its_number() -> None:
    assert shown("a\x00b\udce9c\ud800\x1b[1m\td\n") == "a\\x00b\\xe9c\\ud800\\x1b[1m\td\n"


@pytest.mark.parametrize("text", [" a b ", "\u00a0a b\u00a0", "\ufeff\u200b a b\u2060 \u200b", "\ta b\r\n"])
def test_blanks_around_a_cell_are_no_part_of_it(text: str) -> None:
    assert stripped(text) == "a b"


def test_lines_end_as_on_any_system() -> None:
    assert list(lines("a\r\nb\nc\rd\u2028e\x0bf")) == ["a", "b", "c", "d\u2028e\x0bf"]
