"""A tiny model asked without its parts, and tiny models trained without them: what is made once and what is written."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kblampp.core.files import read_json
from kblampp.core.params_file import load_params
from kblampp.encoding.encoders import TUNED
from kblampp.encoding.projections import PROJECTION
from kblampp.experiments import ablation
from kblampp.report.tables import transfer_ablation_table
from kblampp.transfer.ablation import ASKED, figures_of
from kblampp.transfer.scoring import GROUPS
from tests.converting import SAMPLES
from tests.encoders import save_tiny_bert
from tests.integration.conftest import NAME, last_error, stage, working_in
from tests.integration.test_transfer import add_dossier
from tests.pipeline.conftest import digest
from tests.pipeline.workspace import set_params

FILE = Path("metrics/transfer/ablation.json")


def run(*arguments: str) -> int:
    """Runs the program in the working directory; threads are put back."""
    with working_in(Path.cwd()):
        return ablation.main(["--steps", "3", *arguments])


@dataclass(frozen=True)
class Made:
    """A folder in which all rows were made.

    Attributes:
        folder: The folder.
        log: What was told.
        file: What was written.
    """

    folder: Path
    log: list[str]
    file: dict[str, Any]

    def row(self, name: str, part: str = "trained") -> Path:
        """Where a row was made."""
        return self.folder / ".ckpt/ablation" / f"{name}-{self.file[part][name]['key']}"


def prepare(prepared: Path, folder: Path) -> Path:
    """A copy with two dossiers, a sample of YAGO and an adapter to ask."""
    shutil.copytree(prepared, folder)
    with working_in(folder):
        for name in ("club", "lighthouse"):
            add_dossier(name)
        shutil.copytree(SAMPLES / "yago15k", "data/raw/yago", copy_function=shutil.copyfile)
        set_params(Path("params.yaml"), {"eval.adapter": "trainA"})
    return folder


@pytest.fixture(scope="module")
def made(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """All rows, made once; treat it as read-only."""
    folder = prepare(prepared, tmp_path_factory.mktemp("ablation") / "work")
    with working_in(folder), pytest.MonkeyPatch.context() as patch, Logged() as log:
        patch.setattr(logging, "basicConfig", lambda **_: None)
        before = {name: digest(folder / name) for name in ("store", "data")}
        assert run() == 0
        assert {name: digest(folder / name) for name in before} == before
        yield Made(folder, log.lines, read_json(FILE))


class Logged(logging.Handler):
    """Collects what the experiment tells."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line."""
        self.lines.append(record.getMessage())

    def __enter__(self) -> Logged:
        logger = logging.getLogger("kblampp")
        self.former = logger.level
        logger.setLevel(logging.INFO)
        logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logger = logging.getLogger("kblampp")
        logger.setLevel(self.former)
        logger.removeHandler(self)


@pytest.fixture
def again(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A copy of it that is the working directory."""
    folder = Path(shutil.copytree(made.folder, tmp_path / "again"))
    monkeypatch.chdir(folder)
    return Made(folder, made.log, made.file)


def test_the_file_has_every_row_with_its_figures(made: Made) -> None:
    assert set(made.file) == {"asked", "trained", "steps"}
    assert made.file["steps"] == 3
    assert set(made.file["asked"]) == set(ASKED)
    assert set(made.file["trained"]) == set(ablation.TRAINED)
    for row in (*made.file["asked"].values(), *made.file["trained"].values()):
        assert set(row) == {"dossiers", "yago", "key"}
        assert set(row["dossiers"]) == {*GROUPS, "auroc"} - {"steps"}
        assert set(row["yago"]) == {"temporal", "tail"}
        shares = [figure for name, figure in row["dossiers"].items() if name != "auroc"]
        assert all(set(figure) == {"share", "stderr", "n"} for figure in (*shares, *row["yago"].values()))


def test_what_is_switched_off_changes_what_it_should(made: Made) -> None:
    asked = {name: row["dossiers"] for name, row in made.file["asked"].items()}
    assert asked["no_null"]["unanswerable_refused"]["share"] == 0
    assert asked["no_null"]["answerable_not_refused"]["share"] == 1
    assert asked["no_null"]["auroc"] == 0.5
    assert asked["no_forms"]["sets"]["share"] == 0


def test_asked_with_every_part_it_says_what_the_stage_says(again: Made) -> None:
    assert stage("transfer") == 0
    wanted = figures_of(read_json(Path("metrics/transfer/table.json")))
    assert {base: again.file["asked"]["full"][base] for base in wanted} == wanted


def test_rows_that_are_trained_differ_in_one_thing(made: Made) -> None:
    params = load_params(made.folder / "params.yaml")
    for name, changes in ablation.TRAINED.items():
        own = load_params(made.row(name) / "params.yaml")
        assert (own.trainA.max_steps, own.eval.adapter) == (3, "trainA")
        found = {section for section in type(params).model_fields if getattr(own, section) != getattr(params, section)}
        assert found - {"eval", "trainA"} == {key.split(".")[0] for key in changes} - {"trainA"}
    assert load_params(made.row("no_pull") / "params.yaml").trainA.query_pull == 0


def test_what_a_row_does_not_change_is_that_of_the_repository(made: Made) -> None:
    store, own = made.folder / "store" / NAME, {name: made.row(name) / "store" / NAME for name in ablation.TRAINED}
    for name in ("full", "no_pull"):
        assert not (made.row(name) / "data").exists()
        for part in ("kb", "index", PROJECTION):
            assert digest(own[name] / part) == digest(store / part)
    assert digest(own["full"] / "trainA") == digest(store / "trainA"), "the stage trained as many steps"
    assert not (made.row("plain_encoder") / "data").exists()
    facts = (made.row("worlds_alone") / "data/5tuple/train.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(facts) == load_params(made.folder / "params.yaml").generate.train.facts
    weights = {name: digest(folder / "trainA") for name, folder in own.items()}
    # The tests' encoder is never tuned.
    assert weights["full"] == weights["plain_encoder"]
    assert len({str(weights[name]) for name in ("full", "worlds_alone", "no_pull")}) == 3


def test_a_tuned_encoder_is_taken_where_the_row_does_not_change_it(again: Made) -> None:
    shutil.copytree(again.row("full") / "store" / TUNED, Path("store") / TUNED)
    (Path("store") / TUNED / "note").touch()
    assert run("no_pull", "plain_encoder") == 0
    file = read_json(FILE)
    assert set(file["trained"]) == {"no_pull", "plain_encoder"}, "rows of another encoder are not shown"
    assert file["asked"] == {}
    rows = {name: Path(".ckpt/ablation") / f"{name}-{row['key']}" for name, row in file["trained"].items()}
    assert (rows["no_pull"] / "store" / TUNED / "note").exists()
    assert not (rows["plain_encoder"] / "store" / TUNED / "note").exists()


def test_without_tuning_relations_are_encoded_anew_as_names_are(prepared: Path, tmp_path: Path) -> None:
    folder = prepare(prepared, tmp_path / "work")
    save_tiny_bert(folder / "models/tiny")
    with working_in(folder):
        changes = {"encoder.model": "models/tiny", "tune.steps": 2, "tune.batch_size": 8, "tune.lora_rank": 4}
        set_params(Path("params.yaml"), changes)
        for name in ("tune", "encode", "index"):
            assert stage(name) == 0
        assert run("no_pull", "plain_encoder") == 0
        file = read_json(FILE)
    rows = Made(folder, [], file)
    own, plain = (rows.row(name) / "store" for name in ("no_pull", "plain_encoder"))
    assert digest(own / TUNED) == digest(folder / "store" / TUNED)
    assert read_json(plain / TUNED / "manifest.json")["tuned"] is False
    assert digest(own / NAME / "kb") == digest(folder / "store" / NAME / "kb")
    assert digest(plain / NAME / "kb") != digest(own / NAME / "kb")
    assert not (rows.row("plain_encoder") / "data").exists()
    assert file["asked"] == {}


def test_a_finished_row_is_not_made_again(again: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(Path(".ckpt"))
    FILE.unlink()
    for name in ("run_tune", "make_synthetic", "encode_dataset", "train_stage_a", "run_transfer"):
        monkeypatch.setattr(ablation, name, None)
    assert run() == 0
    assert read_json(FILE) == again.file
    assert digest(Path(".ckpt")) == before
    shutil.rmtree(".ckpt")
    monkeypatch.setattr(ablation, "ask_without", lambda *_, **__: iter(()))
    monkeypatch.setattr(ablation, "TRAINED", {})
    assert run("no_hop") == 0
    assert read_json(FILE)["asked"] == again.file["asked"], "what the file has of the same parameters stays"


def test_a_row_goes_on_where_it_stopped(again: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    row = again.row("worlds_alone")
    (row / "figures.json").unlink()
    for name in ("run_tune", "make_synthetic", "encode_dataset", "train_stage_a"):
        monkeypatch.setattr(ablation, name, None)
    assert run("worlds_alone") == 0
    assert read_json(FILE) == again.file
    # An adapter that was lost is trained to the same bytes.
    monkeypatch.undo()
    monkeypatch.chdir(again.folder)
    before = digest(row / "store" / NAME / "trainA")
    shutil.rmtree(row / "store" / NAME / "trainA")
    (row / "figures.json").unlink()
    assert run("worlds_alone") == 0
    assert digest(row / "store" / NAME / "trainA") == before
    assert read_json(FILE) == again.file


def test_progress_is_told_and_the_table_is_shown(made: Made, again: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert "asked 2 of 7: no_names" in made.log
    assert any(line.startswith("trained 4 of 4: no_pull, in ") for line in made.log)
    assert run() == 0
    assert capsys.readouterr().out == transfer_ablation_table(again.file) + "\n"


def test_what_cannot_be_made_is_told(again: Made, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("no_hops")
    assert "'no_hops'" in capsys.readouterr().err
    assert run("full", "--steps", "1") == 1
    assert "more than trainA.warmup_steps, 2" in last_error(capsys)
    set_params(Path("params.yaml"), {"dataset": "custom"})
    assert run() == 1
    assert "dataset is custom" in last_error(capsys)
