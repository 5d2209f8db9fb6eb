"""Files are complete or absent, and a manifest notices every difference."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kblampp.core.errors import DataError, KBLaMError, StoreError
from kblampp.core.files import (
    atomic_dir,
    atomic_write,
    fingerprint,
    read_json,
    read_manifest,
    save_array,
    sha256_file,
    write_json,
    write_jsonl,
    write_manifest,
)


class Kill(BaseException):
    """Stands for a signal: not an Exception, so `except Exception` would miss it."""


def everything_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_interrupted_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write() -> None:
        with atomic_write(path) as file:
            file.write("new")
            file.flush()
            raise Kill

    with pytest.raises(Kill):
        write()
    assert path.read_text() == "old"
    assert everything_in(tmp_path) == ["a.txt"]


def test_file_appears_only_at_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.bin"
    with atomic_write(path, "wb") as file:
        file.write(b"\x00\r\n")
        assert not path.exists()
    assert path.read_bytes() == b"\x00\r\n"


def test_write_replaces_a_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    cached = tmp_path / "cache"
    cached.write_text("cached")
    link = tmp_path / "link"
    link.symlink_to(cached)
    with atomic_write(link) as file:
        file.write("new")
    assert (cached.read_text(), link.read_text()) == ("cached", "new")


def test_written_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("")
    write_json(tmp_path / "ours", {})
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_text_is_utf8_with_plain_line_ends(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"b": "Zoë"}, {"a": 1}])
    assert (tmp_path / "a.jsonl").read_bytes() == '{"b": "Zoë"}\n{"a": 1}\n'.encode()


def test_failing_rows_leave_the_old_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_jsonl(path, [{"a": 1}])
    with pytest.raises(ValueError, match="JSON compliant"):
        write_jsonl(path, [{"a": 2}, {"a": float("nan")}])
    assert path.read_text() == '{"a": 1}\n'


def test_json_bytes_do_not_depend_on_key_order(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"x": 1, "é": [None, 2.5]})
    write_json(tmp_path / "b", {"é": [None, 2.5], "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_json(tmp_path / "a") == {"x": 1, "é": [None, 2.5]}


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe", b""])
def test_unreadable_json_names_the_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.json"):
        read_json(path, DataError)
    with pytest.raises(StoreError):
        read_json(path)


def test_array_comes_back_at_exactly_the_given_name(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float16).reshape(2, 3)
    save_array(tmp_path / "K.array", array)
    loaded = np.load(tmp_path / "K.array")
    assert loaded.dtype == array.dtype
    np.testing.assert_array_equal(loaded, array)
    with pytest.raises(ValueError, match="pickle"):
        save_array(tmp_path / "K.array", np.array([object()]))
    np.testing.assert_array_equal(np.load(tmp_path / "K.array"), array)


def test_failed_folder_leaves_the_old_folder_alone(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "old").write_text("old")

    def build() -> None:
        with atomic_dir(folder) as new:
            (new / "new").write_text("new")
            raise Kill

    with pytest.raises(Kill):
        build()
    assert everything_in(tmp_path) == ["store", "store/old"]


def test_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "store"
    for name in ("first", "second"):
        with atomic_dir(folder) as new:
            (new / "deep").mkdir()
            (new / "deep" / name).write_text(name)
    assert everything_in(tmp_path / "a") == ["store", "store/deep", "store/deep/second"]


def test_failed_move_puts_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "old").write_text("old")
    rename = os.rename

    def fail_to_move_the_new_one(source: Path, target: Path) -> None:
        if target == folder and Path(source).suffix == ".tmp":
            raise OSError("disk trouble")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_to_move_the_new_one)
    with pytest.raises(OSError, match="disk trouble"), atomic_dir(folder) as new:
        (new / "new").write_text("new")
    assert everything_in(tmp_path) == ["store", "store/old"]


def test_folder_does_not_replace_a_file(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(StoreError, match="is a file"), atomic_dir(tmp_path / "store"):
        pass
    assert everything_in(tmp_path) == ["store"]


@given(st.lists(st.text() | st.binary()), st.lists(st.text() | st.binary()))
def test_fingerprints_are_equal_only_for_equal_parts(left: list[str | bytes], right: list[str | bytes]) -> None:
    assert (fingerprint(*left) == fingerprint(*right)) == (left == right)


def test_fingerprint_sees_where_a_part_ends_and_its_type() -> None:
    sequences: list[list[str | bytes]] = [["ab", "c"], ["a", "bc"], ["abc"], [b"abc"]]
    assert len({fingerprint(*parts) for parts in sequences}) == 4


def test_file_and_text_digests_agree(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("Zoë", encoding="utf-8")
    assert sha256_file(tmp_path / "a") == hashlib.sha256("Zoë".encode()).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    (folder / "meta").mkdir(parents=True)
    (folder / "K.npy").write_bytes(b"0123456789")
    (folder / "meta" / "ids.npy").write_bytes(b"ids")
    write_manifest(folder, "store", {"n": 3})
    return folder


def test_manifest_returns_its_fields_and_files(store: Path) -> None:
    manifest = read_manifest(store, "store", stage="encode")
    assert manifest["n"] == 3
    assert manifest["files"]["K.npy"] == {"bytes": 10, "sha256": hashlib.sha256(b"0123456789").hexdigest()}
    assert sorted(manifest["files"]) == ["K.npy", "meta/ids.npy"]


def flip_a_byte(store: Path) -> None:
    (store / "K.npy").write_bytes(b"0123456780")


def truncate(store: Path) -> None:
    (store / "K.npy").write_bytes(b"01234")


def remove(store: Path) -> None:
    (store / "meta" / "ids.npy").unlink()


def add(store: Path) -> None:
    (store / "meta" / "more.npy").write_bytes(b"")


DAMAGES = [
    (flip_a_byte, "K.npy", {"sha256"}),
    (truncate, "K.npy", {"sha256", "size"}),
    (remove, "meta/ids.npy", {"sha256", "size"}),
    (add, "meta/more.npy", {"sha256", "size"}),
]


@pytest.mark.parametrize("verify", ["sha256", "size", "none"])
@pytest.mark.parametrize(("damage", "name", "seen_by"), DAMAGES)
def test_damage_is_named_with_the_stage_to_run(
    store: Path, damage: Callable[[Path], None], name: str, seen_by: set[str], verify: str
) -> None:
    damage(store)
    if verify not in seen_by:
        read_manifest(store, "store", verify=verify, stage="encode")  # type: ignore[arg-type]
        return
    with pytest.raises(StoreError) as caught:
        read_manifest(store, "store", verify=verify, stage="encode")  # type: ignore[arg-type]
    for part in (str(store), name, "dvc repro encode"):
        assert part in str(caught.value)


def test_hidden_files_and_later_subfolders_with_a_manifest_do_not_count(store: Path) -> None:
    (store / ".gitignore").write_text("/index_flat")
    (store / ".index_flat.abc.tmp").mkdir()
    (store / ".index_flat.abc.tmp" / "leftover").write_text("")
    (store / "index_flat").mkdir()
    (store / "index_flat" / "index.faiss").write_text("")
    write_manifest(store / "index_flat", "index", {})
    assert sorted(read_manifest(store, "store", stage="encode")["files"]) == [
        "K.npy",
        "meta/ids.npy",
    ]
    assert list(read_manifest(store / "index_flat", "index", stage="index")["files"]) == ["index.faiss"]


def test_another_kind_of_folder_is_refused(store: Path) -> None:
    with pytest.raises(StoreError, match=r"'index'.*'store'"):
        read_manifest(store, "index", stage="index")


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{",
        "{}",
        json.dumps({"kind": "store", "version": 99, "files": {}}),
        json.dumps({"kind": "store", "version": 1, "files": {"K.npy": 3}}),
    ],
)
def test_what_is_not_a_manifest_is_refused(store: Path, content: str) -> None:
    (store / "manifest.json").write_text(content)
    with pytest.raises(StoreError, match="dvc repro encode"):
        read_manifest(store, "store", verify="none", stage="encode")


def test_folder_without_manifest_is_incomplete(store: Path) -> None:
    (store / "manifest.json").unlink()
    with pytest.raises(StoreError, match=r"incomplete.*dvc repro encode"):
        read_manifest(store, "store", stage="encode")
    with pytest.raises(StoreError, match=r"folder is missing.*dvc repro encode"):
        read_manifest(store / "nowhere", "store", stage="encode")


def test_reserved_fields_are_refused(store: Path) -> None:
    with pytest.raises(ValueError, match="reserved"):
        write_manifest(store, "store", {"files": []})


def test_every_error_is_of_the_family_and_a_builtin() -> None:
    from kblampp.core import errors

    members = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, KBLaMError) and value is not KBLaMError
    ]
    assert members
    assert all(issubclass(member, (ValueError, RuntimeError)) for member in members)
