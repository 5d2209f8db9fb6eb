"""A tiny model asked about bases that it has never seen: what is written, and that held-out bases are left alone."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from kblampp.core.files import read_json
from kblampp.core.params_file import load_params
from kblampp.data.facts import Entity, Relation
from kblampp.experiments import hubs, transfer, whole_answers
from kblampp.report.tables import transfer_tables
from kblampp.transfer.bases import HELD_OUT, open_predictor, read_base, sources
from kblampp.transfer.hubs import Asker
from tests.converting import SAMPLES, real_lines, real_list
from tests.integration.conftest import last_error, stage, working_in
from tests.pipeline.conftest import digest

METRICS = Path("metrics/transfer")
HUMAN_QUESTIONS = [each for page in real_list(SAMPLES / "timeqa/human_annotated.json") for each in page["questions"]]
HARD = SAMPLES / "timeqa/human_train.hard.json.gzip"
FACTS = """head,relation,tail,context,start,end
Kvitnes Lighthouse,keeper,Halvard Moen,,1902,1921
Kvitnes Lighthouse,keeper,Sigrid Aune,,1922,1939
Kvitnes Lighthouse,height,27 metres,,,
"""
QUESTIONS = (
    {"kind": "tail", "question": "How tall is Kvitnes Lighthouse?", "answer": "27 metres"},
    {"kind": "temporal", "question": "Who was keeper of Kvitnes Lighthouse in 1910?", "answer": "Halvard Moen"},
    {"kind": "list", "question": "Who kept Kvitnes Lighthouse?", "answer": "Halvard Moen; Sigrid Aune"},
    {"kind": "unanswerable", "question": "What does Kvitnes Lighthouse cost?", "answer": ""},
)


def add_dossier(name: str, facts: str = FACTS) -> None:
    folder = Path("data/dossiers") / name
    folder.mkdir(parents=True)
    (folder / "facts.csv").write_text(facts, encoding="utf-8")
    lines = "".join(json.dumps(question) + "\n" for question in QUESTIONS)
    (folder / "questions.jsonl").write_text(lines, encoding="utf-8")


def add_open_bases() -> None:
    """Two dossiers and a sample of YAGO."""
    for name in ("club", "lighthouse"):
        add_dossier(name)
    shutil.copytree(SAMPLES / "yago15k", "data/raw/yago", copy_function=shutil.copyfile)


@pytest.fixture
def folder(bench: Path) -> Path:
    """Open bases, and held-out dossiers that cannot be read."""
    add_open_bases()
    for name in HELD_OUT:
        add_dossier(name, "this is no table")
    return bench


def measured(*arguments: str) -> int:
    """Runs the program in the working directory; threads are put back."""
    with working_in(Path.cwd()):
        return transfer.main(list(arguments))


def test_every_base_is_asked_by_every_system_and_the_held_out_ones_are_not_read(folder: Path) -> None:
    before = {name: digest(folder / name) for name in ("store", "data")}
    assert stage("transfer", eval__adapter="trainA") == 0
    assert {name: digest(folder / name) for name in before} == before
    table, figures = read_json(METRICS / "table.json"), read_json(METRICS / "metrics.json")
    rows = [json.loads(line) for line in (METRICS / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {path.name for path in METRICS.iterdir()} == {"metrics.json", "table.json", "answers.jsonl"}
    assert set(table) == {"dossiers", "club", "lighthouse", "yago"}
    asked = Counter(row["base"] for row in rows)
    for base, systems in table.items():
        assert set(systems) == {"model", "lookup", "phrase_lookup"}
        assert {row["n"] for row in systems.values()} == {8 if base == "dossiers" else asked[base]}
        for name, row in systems.items():
            mine = [each for each in rows if each["base"] == base or (base == "dossiers" and each["base"] != "yago")]
            right = sum(name in each["right"] for each in mine)
            assert sum(kind["right"] for kind in row["kinds"].values()) == right
    assert set(table["yago"]["model"]["kinds"]) == {"tail", "temporal"}
    assert table["club"]["phrase_lookup"]["broken"] == table["club"]["lookup"]["broken"] == 0
    assert figures["dossiers"]["facts"] == table["dossiers"]["model"]["groups"]["facts"]["share"]
    assert set(figures["yago"]) == {"tail", "temporal", "broken"}
    assert "**KBLaM++**" in transfer_tables(table)


def test_with_prompts_the_backbone_is_asked_too_and_the_others_say_the_same(folder: Path) -> None:
    assert stage("transfer", eval__adapter="trainA") == 0
    assert measured("--prompted", "1", "--metrics", "again") == 0
    plain, table = read_json(METRICS / "table.json"), read_json(Path("again/table.json"))
    more = {"closed_book", "rag_1", "rag_4", "rag_8"}
    for base, systems in table.items():
        assert set(systems) == {*plain[base], *more}
        assert {name: systems[name] for name in plain[base]} == plain[base]
    prompts = read_json(Path("again/prompts.json"))
    assert prompts["style"] in prompts["right_on_unseen"]
    assert prompts["right_on_unseen"][prompts["style"]] == max(prompts["right_on_unseen"].values())
    assert set(prompts["prompt_tokens"]) == set(plain) - {"dossiers"}
    for lengths in prompts["prompt_tokens"].values():
        assert 0 < lengths["closed_book"] < lengths["rag_1"] < lengths["rag_4"]


def test_the_program_measures_the_same_and_shows_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stage("transfer", eval__adapter="trainA") == 0
    capsys.readouterr()
    assert measured("--metrics", "again") == 0
    assert digest(folder / "again") == digest(folder / METRICS)
    assert capsys.readouterr().out == transfer_tables(read_json(METRICS / "table.json")) + "\n"
    assert measured("club") == 0
    assert set(read_json(Path(".ckpt/transfer/table.json"))) == {"club"}
    assert digest(folder / "again") == digest(folder / METRICS)


def test_held_out_dossiers_are_asked_when_they_are_asked_for_and_nothing_but_figures_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert measured("--held-out") == 1
    assert f"data/dossiers/{HELD_OUT[0]}" in last_error(capsys)
    for name in HELD_OUT:
        (folder / "data/dossiers" / name / "facts.csv").write_text(FACTS, encoding="utf-8")
    assert measured("--held-out") == 0
    assert [path.name for path in METRICS.iterdir()] == ["held_out.json"]
    assert set(read_json(METRICS / "held_out.json")) == {"dossiers", *HELD_OUT}
    assert "Kvitnes" not in (METRICS / "held_out.json").read_text(encoding="utf-8")


def test_a_dataset_on_demand_is_asked_from_a_folder_of_raw_files_and_by_level(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert measured("timeqa") == 1
    assert "data/raw/timeqa" in last_error(capsys)
    assert measured("timeqa", "--raw", str(SAMPLES / "timeqa")) == 0
    assert [path.name for path in METRICS.iterdir()] == ["timeqa.json"]
    table = read_json(METRICS / "timeqa.json")
    asked = {base: systems["model"]["n"] for base, systems in table.items()}
    for base, systems in table.items():
        assert set(systems) == {"model", "lookup", "phrase_lookup"}
        for row in systems.values():
            assert set(row["kinds"]) == {"temporal", "unanswerable"}
            assert row["all"]["n"] == row["n"] == sum(kind["n"] for kind in row["kinds"].values()) == asked[base]
            assert row["all"]["right"] == sum(kind["right"] for kind in row["kinds"].values())
    # Every page is asked: a fold would leave the questions of the others to training.
    assert asked == {"timeqa_human": len(HUMAN_QUESTIONS), "timeqa_hard": len(real_lines(HARD))}
    with pytest.raises(SystemExit):
        measured("club", "--raw", "elsewhere")


def test_a_hidden_fact_counts_as_if_it_were_not_there(folder: Path) -> None:
    params = load_params(Path("params.yaml"))
    store = Path("store")
    predictor, encoders = open_predictor(params, store)
    (source,) = sources(Path("data"), names=["club"])
    dataset = read_base(source, params, folder / "converted")
    facts, questions = dataset.kbs["train"], dataset.questions["test"]
    added = [
        replace(facts[0], relation=Relation(None, label), tail=Entity(None, "Ilse Tarn")) for label in ("age", "use")
    ]
    asker = Asker(params, store, encoders, predictor)
    (without,), (with_one,) = asker.ask(facts, questions), asker.ask([*facts, added[1]], questions)
    hidden = [[len(facts), len(facts) + 1], [len(facts)]]
    assert list(asker.ask([*facts, *added], questions, hidden)) == [without, with_one]


def test_added_labels_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with working_in(Path.cwd()):
        assert hubs.main(["club", "--labels", "3"]) == 0
        assert "3 facts of Kvitnes Lighthouse added" in capsys.readouterr().out
        assert hubs.main(["yago"]) == 1
        assert "no dossier" in last_error(capsys)
        assert hubs.main([HELD_OUT[0]]) == 1
        assert "--held-out" in last_error(capsys)
    figures = read_json(Path(".ckpt/transfer/hubs.json"))
    assert not METRICS.exists()
    assert (figures["alone"]["asked"], figures["together"]["labels"]) == (3 * len(QUESTIONS), 3)


def test_every_way_of_decoding_is_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with working_in(Path.cwd()):
        assert whole_answers.main(["--questions", "9"]) == 0
    table = read_json(METRICS / "whole.json")
    assert set(table) == {"dossiers", "yago", "swap", "novel"}
    for ways in table.values():
        assert set(ways) == {"greedy", "sampled", "beams"}
        for counts in ways.values():
            assert counts["asked"] == sum(n for kind, n in counts.items() if kind != "asked")
        assert ways["sampled"]["asked"] == 9
    assert table["dossiers"]["greedy"]["asked"] == 8
    assert "dossiers sampled: 9 asked" in capsys.readouterr().out
