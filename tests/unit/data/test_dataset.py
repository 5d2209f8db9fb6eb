"""A dataset reads back as it was written, or the error names the file and line; a killed write changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kblampp.data.dataset
from kblampp.core.errors import DataError
from kblampp.data.dataset import Dataset, DatasetWriter, knowledge_bases
from kblampp.data.facts import Context, Entity, FiveTuple, Question, Relation
from kblampp.data.windows import UNKNOWN, Window, day, year_window
from tests.small_world import small_dataset


class Kill(BaseException):
    """Stands for a signal."""


def fact(head: str, tail: str, window: Window = UNKNOWN) -> FiveTuple:
    return FiveTuple(Entity("E1", head, "ORG"), Relation("R1", "led by"), Entity(None, tail), Context("test"), window)


def question(qid: str, answer: str, *facts: int, time: Window | None = None) -> Question:
    program = {"head": "Acme", "relations": ["R1"], "time": None}
    kind = "temporal" if time else "single-hop"
    return Question(qid, "tiny", f"Who led Acmé, {qid}?", answer, ("A.",), kind, facts, time, None, program)


def tiny(answer: str = "Ada") -> Dataset:
    first = [fact("Acmé", answer, year_window(2000, "test")), fact("Acmé", "Bo", Window(day("2001-01-01"), None))]
    second = [fact("Zenith", "Cy")]
    nothing = Question(
        "q3", "tiny", "Who led Nobody?", "", (), "unanswerable", (), None, "unknown_head", {"head": "Nobody"}
    )
    questions = {
        "train": [question("q1", answer, 0), question("q2", "Bo", 1, time=year_window(2003))],
        "dev": [nothing],
        "swap": [question("q4", "Cy", 0)],
    }
    return Dataset(
        "tiny", {"train": first, "swap": second}, questions, {"train": "train", "dev": "train", "swap": "swap"}
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edit(path: Path, line: int, new: str | None) -> None:
    """Replaces a line, counted from 1; None removes it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[line - 1 : line] = [] if new is None else [new]
    path.write_text("".join(text + "\n" for text in lines), encoding="utf-8")


@pytest.mark.parametrize("dataset", [tiny(), small_dataset()], ids=["tiny", "synthetic"])
def test_a_dataset_reads_back_as_it_was_written(dataset: Dataset, tmp_path: Path) -> None:
    dataset.save(tmp_path)
    assert Dataset.load(tmp_path, dataset.name) == dataset


def test_files_are_where_the_design_puts_them_and_writing_again_changes_no_byte(tmp_path: Path) -> None:
    tiny().save(tmp_path)
    first = contents(tmp_path)
    assert first.keys() == {
        "5tuple/train.jsonl",
        "5tuple/swap.jsonl",
        "qa/tiny_train.jsonl",
        "qa/tiny_dev.jsonl",
        "qa/tiny_swap.jsonl",
        "qa/dataset.json",
    }
    Dataset.load(tmp_path, "tiny").save(tmp_path)
    assert contents(tmp_path) == first


def test_nothing_of_an_earlier_dataset_is_left(tmp_path: Path) -> None:
    small_dataset().save(tmp_path)
    tiny().save(tmp_path)
    assert not [name for name in contents(tmp_path) if "novel" in name or "synth_world" in name]
    assert Dataset.load(tmp_path, "tiny") == tiny()


def test_a_dataset_can_have_bases_that_nobody_asks(tmp_path: Path) -> None:
    dataset = Dataset("tiny", {"train": [fact("Acme", "Ada")], "all": [fact("Acme", "Bo")]}, {}, {})
    dataset.save(tmp_path)
    assert Dataset.load(tmp_path, "tiny") == dataset
    assert knowledge_bases(tmp_path, "tiny") == ["all", "train"]
    assert (tmp_path / "qa" / "tiny_train.jsonl").read_bytes() == b"", "a dependency of the training stages"


def test_a_split_brings_the_base_that_it_asks_and_no_other(tmp_path: Path) -> None:
    tiny().save(tmp_path)
    assert Dataset.load(tmp_path, "tiny", ("dev",)).kbs.keys() == {"train"}
    assert Dataset.load(tmp_path, "tiny", ()) == Dataset("tiny", {}, {}, {})
    with pytest.raises(DataError, match=r"split test.*dev, swap, train"):
        Dataset.load(tmp_path, "tiny", ("test",))


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        (("train", "dev", "swap", "novel"), "swap"),
        (("train", "dev", "test", "test_hard"), "test"),
        (("test", "swap"), "swap"),
        (("train", "dev", "test_hard"), "train"),
        ((), "train"),
    ],
    ids=str,
)
def test_the_headline_is_of_swap_else_of_test(splits: tuple[str, ...], expected: str) -> None:
    questions = {split: [question("q1", "Ada", 0)] for split in splits}
    dataset = Dataset("x", {}, questions, dict.fromkeys(splits, "train"))
    assert dataset.headline_split == expected


def test_a_fact_or_a_question_id_is_written_once(tmp_path: Path) -> None:
    first, second = fact("Acme", "Ada"), fact("Acme", "Bo")
    with DatasetWriter(tmp_path, "tiny") as writer:
        assert [writer.add_fact("train", new) for new in (first, second, first)] == [0, 1, 0]
        assert writer.add_fact("all", second) == 0
        asked = [writer.add_question("dev", "train", question(qid, "Ada", 0)) for qid in ("q1", "q2", "q1")]
        assert writer.add_question("test", "all", question("q1", "Bo", 0))
    assert asked == [True, True, False]
    dataset = Dataset.load(tmp_path, "tiny")
    assert dataset.kbs == {"train": [first, second], "all": [second]}
    assert {split: len(questions) for split, questions in dataset.questions.items()} == {"dev": 2, "test": 1}


@pytest.mark.parametrize("manifest", [["tiny"], {}, None], ids=str)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, manifest: object) -> None:
    tiny().save(tmp_path)
    (tmp_path / "qa" / "dataset.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"dataset\.json"):
        Dataset.load(tmp_path, "tiny")


def test_another_dataset_is_refused(tmp_path: Path) -> None:
    tiny().save(tmp_path)
    with pytest.raises(DataError, match=r"dataset\.json.*'timeqa'.*`dvc repro generate`"):
        Dataset.load(tmp_path, "timeqa")


@pytest.mark.parametrize("name", ["qa/dataset.json", "qa/tiny_dev.jsonl", "5tuple/swap.jsonl"])
@pytest.mark.parametrize("damage", ["missing", "empty"])
def test_a_missing_or_empty_file_is_named(tmp_path: Path, name: str, damage: str) -> None:
    tiny().save(tmp_path)
    if damage == "missing":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text("")
    with pytest.raises(DataError) as caught:
        Dataset.load(tmp_path, "tiny")
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "line", "new", "expected"),
    [
        ("5tuple/train.jsonl", 2, "{", "not valid JSON"),
        ("5tuple/train.jsonl", 2, "[]", "expected an object"),
        ("5tuple/train.jsonl", 1, "", "blank"),
        ("5tuple/swap.jsonl", 1, '{"head": {"name": "Acme"}}', "field 'relation' is missing"),
        ("qa/tiny_dev.jsonl", 1, '{"qid": "q9"}', "is missing"),
        ("qa/tiny_train.jsonl", 2, json.dumps({**question("q2", "Bo", 2).to_row()}), "ids below 2"),
        ("qa/tiny_train.jsonl", 2, json.dumps(question("q1", "Bo", 1).to_row()), "'q1'"),
    ],
)
def test_a_malformed_row_is_named_with_its_line(tmp_path: Path, name: str, line: int, new: str, expected: str) -> None:
    tiny().save(tmp_path)
    edit(tmp_path / name, line, new)
    with pytest.raises(DataError) as caught:
        Dataset.load(tmp_path, "tiny")
    assert f"{tmp_path / name}:{line}" in str(caught.value)
    assert expected in str(caught.value)


def test_facts_and_questions_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    tiny().save(tmp_path)
    edit(tmp_path / "5tuple" / "train.jsonl", 2, None)
    with pytest.raises(DataError, match=r"tiny_train\.jsonl:2: field 'supporting_facts'"):
        Dataset.load(tmp_path, "tiny")


@pytest.mark.parametrize(
    "manifest",
    [
        {"name": "tiny"},
        {"name": "tiny", "kb_of_split": None},
        {"name": "tiny", "kb_of_split": ["train"]},
        {"name": "tiny", "kbs": ["train", "swap"], "kb_of_split": {"dev": "novel"}},
        {"name": "tiny", "kbs": ["train", "swap"], "kb_of_split": {"dev": 1}},
        {"name": "tiny", "kbs": ["swap"], "kb_of_split": {}},
        {"name": "tiny", "kbs": "train", "kb_of_split": {}},
    ],
    ids=str,
)
def test_a_manifest_without_bases_or_splits_is_refused(tmp_path: Path, manifest: object) -> None:
    tiny().save(tmp_path)
    (tmp_path / "qa" / "dataset.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"dataset\.json"):
        Dataset.load(tmp_path, "tiny")


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (DatasetWriter, "append_fact", 1),
        (DatasetWriter, "append_fact", 3),
        (DatasetWriter, "add_question", 1),
        (DatasetWriter, "add_question", 4),
        (kblampp.data.dataset, "write_json", 1),
    ],
)
def test_an_interrupted_save_leaves_the_old_data_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call: int
) -> None:
    tiny().save(tmp_path)
    before, genuine, calls = contents(tmp_path), getattr(owner, name), []

    def killed(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == call:
            raise Kill
        return genuine(*arguments)

    monkeypatch.setattr(owner, name, killed)
    with pytest.raises(Kill):
        tiny("Eve").save(tmp_path)
    assert contents(tmp_path) == before
    assert {path.name for path in tmp_path.iterdir()} == {"5tuple", "qa"}
    assert Dataset.load(tmp_path, "tiny") == tiny()
