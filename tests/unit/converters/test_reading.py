"""Raw files are read record by record whatever they are called, and a broken one is named with the place."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kblampp.converters.reading import BrokenFile, find_files, read_json_object, read_records
from kblampp.core.errors import DataError

ROWS = [{"a": 1, "b": "é \U0001f600"}, {"a": 2.5, "b": None}, {"a": [True], "b": {}}]
LIST = json.dumps(ROWS, indent=1).encode()
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(1 - 2**63, 2**63 - 1) | st.text(st.characters(codec="utf-8")),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), values),
    max_leaves=6,
)


def written(folder: Path, content: bytes, name: str = "raw.json") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def values(path: Path) -> list[Any]:
    return [record.value for record in read_records(path)]


def taken(records: Iterator[Any], into: list[Any]) -> None:
    for record in records:
        into.append(record.value)


@pytest.mark.parametrize(
    "content", [LIST, LINES, b" \n" + LIST + b"\n", b"\n\n" + LINES, LINES.replace(b"\n", b"\r\n\n")]
)
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize("name", ["raw.json", "raw.jsonl", "raw.json.gzip", "raw.gz", "raw"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_layout_and_compression_are_told_from_the_content_not_from_the_name(
    tmp_path: Path, content: bytes, bom: bytes, name: str, packed: bool
) -> None:
    content = bom + content
    assert values(written(tmp_path, gzip.compress(content) if packed else content, name)) == ROWS


@given(st.lists(DOCUMENTS, min_size=1, max_size=4))
def test_a_list_and_its_lines_read_alike(tmp_path_factory: pytest.TempPathFactory, documents: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("reading")
    rows = [{"value": document} for document in documents]
    assert values(written(folder, json.dumps(rows).encode(), "a")) == rows
    assert values(written(folder, "\n".join(map(json.dumps, rows)).encode(), "b")) == rows


def test_records_are_numbered_from_one_and_lines_as_they_stand_in_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, LIST)
    assert [record.where for record in read_records(path)] == [f"{path}, record {n}" for n in (1, 2, 3)]
    path = written(tmp_path, b'{"a": 1}\n\n{"a": 2}')
    assert [record.where for record in read_records(path)] == [f"{path}, line 1", f"{path}, line 3"]


def test_an_empty_list_has_no_records(tmp_path: Path) -> None:
    assert values(written(tmp_path, b" [] ")) == []


@pytest.mark.parametrize("content", [b"", b" \n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_an_empty_file_is_named(tmp_path: Path, content: bytes, packed: bool) -> None:
    path = written(tmp_path, gzip.compress(content) if packed else content)
    with pytest.raises(BrokenFile, match=r"raw\.json is empty.*JSON lines"):
        values(path)


@pytest.mark.parametrize(
    ("end", "record"),
    [
        (b', {"a": ', 4),
        (b"", 4),
        (b',{"a": NaN}]', 4),
        (b',{"a": 1e999}]', 4),
        (b',{"a": "\xff"}]', 4),
        (b',{"a": "\\udc00"}]', 4),
        (b"] trailing", 4),
        (b"][1]", 4),
        (b",]", 4),
        (b' {"a": 1}]', 4),
    ],
)
def test_a_broken_list_gives_the_records_before_and_names_the_place(tmp_path: Path, end: bytes, record: int) -> None:
    path, found = written(tmp_path, json.dumps(ROWS)[:-1].encode() + end), []
    with pytest.raises(BrokenFile, match=rf"raw\.json .*record {record}\b.*whole JSON list"):
        taken(read_records(path), found)
    assert found == ROWS


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"a": ', "not valid JSON"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1} trailing', "not valid JSON"),
        (b'{"a": "\xff"}', "utf-8"),
        (b'{"a": "\\ud83d"}', "surrogates not allowed"),
        (b"[" * 100_000, "recursion"),
        (b'{"a": ' + b"1" * 5000 + b"}", "integer"),
    ],
)
def test_a_broken_line_is_a_record_that_says_so_and_the_others_are_read(tmp_path: Path, line: bytes, said: str) -> None:
    path = written(tmp_path, LINES + line + b"\n" + LINES)
    found = values(path)
    assert [*found[:3], *found[4:]] == [*ROWS, *ROWS]
    assert isinstance(found[3], DataError)
    assert f"{path}, line 4 " in str(found[3])
    assert said in str(found[3])
    assert "cut off" not in str(found[3])


def test_a_truncated_last_line_is_said_to_be_cut_off(tmp_path: Path) -> None:
    *_, last = values(written(tmp_path, LINES[:-3]))
    assert "cut off" in str(last)


def test_a_half_surrogate_pair_that_is_written_whole_is_kept(tmp_path: Path) -> None:
    assert values(written(tmp_path, b'{"a": "\\ud83d\\ude00"}')) == [{"a": "\U0001f600"}]


@pytest.mark.parametrize("content", [LIST * 50, LINES * 500], ids=["list", "lines"])
@pytest.mark.parametrize("damage", ["truncated", "changed", "checksum"])
def test_a_damaged_gzip_file_is_named(tmp_path: Path, content: bytes, damage: str) -> None:
    packed = gzip.compress(content[: len(LIST)] if content.startswith(b"[") else content)
    if damage == "truncated":
        packed = packed[:-20]
    elif damage == "changed":
        packed = packed[:30] + bytes([packed[30] ^ 0xFF]) * 20 + packed[50:]
    else:
        packed = packed[:-8] + b"\0\0\0\0" + packed[-4:]
    path = written(tmp_path, packed)
    with pytest.raises(BrokenFile, match=r"raw\.json (cannot be read to its end|breaks off|is empty)"):
        values(path)


def test_files_are_found_by_pattern_in_order_of_name_without_readme_hidden_files_and_folders(tmp_path: Path) -> None:
    for name in ("b.json", "a.jsonl", "c.json.gz", "README.md", ".d.json", "e.csv"):
        written(tmp_path, b"x", name)
    (tmp_path / "f.json").mkdir()
    found = find_files(tmp_path, ("*.json*", "*.json", "*.md"), what="file")
    assert [path.name for path in found] == ["a.jsonl", "b.json", "c.json.gz"]


@pytest.mark.parametrize("exists", [True, False])
def test_missing_files_are_an_error_that_names_patterns_and_readme(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "raw"
    if exists:
        folder.mkdir()
        written(folder, b"x", "README.md")
    with pytest.raises(DataError, match=r"raw holds no T-REx file.*\*\.json or \*\.gz.*raw/README\.md"):
        find_files(folder, ("*.json", "*.gz"), what="T-REx file")


@pytest.mark.parametrize("there", [True, False], ids=["a folder", "gone"])
def test_a_file_that_cannot_be_opened_is_a_broken_file(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "raw.json"
    if there:
        path.mkdir()
    with pytest.raises(BrokenFile, match=r"raw\.json cannot be read to its end"):
        values(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "not a readable JSON file"),
        (b"{", "not a readable"),
        (b"\xff", "not a readable"),
        (b'{"a": "\\ud83d"}', "not a readable"),
        (b"[]", "JSON list"),
    ],
)
def test_a_side_file_that_is_no_object_is_an_error(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        written(tmp_path, content)
    with pytest.raises(DataError, match=rf"raw\.json is .*{said}"):
        read_json_object(tmp_path / "raw.json")


def test_a_side_file_may_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert read_json_object(written(tmp_path, b'\xef\xbb\xbf{"a": 1}')) == {"a": 1}
