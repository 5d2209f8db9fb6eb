"""`params.yaml` is checked as a whole, and a stage reads only what it declares."""

from __future__ import annotations

import copy
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kblampp.core.errors import ParamsError
from kblampp.core.params import Params, of_start
from kblampp.core.params_file import leaves, load_params
from kblampp.encoding.projections import Projections

REPOSITORY = Path(__file__).parents[3]
TEXT = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
WHOLE = yaml.safe_load(TEXT)
# What the tests below rely on, so that tuning the repository's file breaks none of them.
FIXED = {
    "dataset": "synth_world",
    "start_from": "scratch",
    "generate.train.facts": 6500,
    "encoder.d_k": 192,
    "encoder.d_v": 192,
    "encoder.d_ctx": 64,
    "encoder.d_tau": 16,
    "selector.top_k": 16,
    "selector.over_fetch": 64,
    "trainA.max_steps": 2500,
    "trainA.warmup_steps": 100,
    "trainB.max_steps": 600,
    "trainB.warmup_steps": 30,
}
Tree = dict[str, Any]
Load = Callable[..., Params]


def flat(tree: Tree, prefix: str = "") -> list[str]:
    """Dotted keys of all that is no section."""
    keys = []
    for name, value in tree.items():
        keys += flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
    return keys


def put(tree: Tree, key: str, value: Any) -> None:
    *path, name = key.split(".")
    for part in path:
        tree = tree[part]
    tree[name] = value


@pytest.fixture
def tree() -> Tree:
    tree: Tree = copy.deepcopy(WHOLE)
    for key, value in FIXED.items():
        put(tree, key, value)
    return tree


def at(node: Any, key: str) -> Any:
    for part in key.split("."):
        node = node[part] if isinstance(node, dict) else getattr(node, part)
    return node


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(content: Tree | str, only: Any = None) -> Params:
        path = tmp_path / "params.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return load_params(path, only=only)

    return load


def message(load: Load, content: Tree | str) -> str:
    with pytest.raises(ParamsError) as caught:
        load(content)
    return str(caught.value)


def test_repository_file_is_valid_and_every_value_arrives() -> None:
    params = load_params(REPOSITORY / "params.yaml")
    for key in flat(WHOLE):
        found, wanted = at(params, key), at(WHOLE, key)
        assert (list(found) if isinstance(found, tuple) else found) == wanted


def test_classes_and_file_have_the_same_leaves() -> None:
    assert sorted(leaves()) == sorted(flat(WHOLE))


def test_all_problems_stand_in_one_message(load: Load, tree: Tree) -> None:
    tree["selector"]["topk"] = tree["selector"].pop("top_k")
    put(tree, "encoder.d_k", "wide")
    put(tree, "encoder.whitening", 1.5)
    put(tree, "index.similarity", "l2")
    put(tree, "injection.copy_head", 1)
    put(tree, "generate.train.facts", True)
    put(tree, "trainA.warmup_steps", 9999)
    put(tree, "eval", 3)
    del tree["seed"]
    text = message(load, tree)
    for key, remedy in {
        "selector.topk is unknown": "selector.top_k",
        "selector.top_k is missing": "",
        "encoder.d_k is 'wide'": "integer",
        "encoder.whitening is 1.5": "1",
        "index.similarity is 'l2'": "'ip' or 'cosine'",
        "injection.copy_head is 1": "boolean",
        "generate.train.facts is true": "integer",
        "trainA.warmup_steps is 9999": "trainA.max_steps",
        "eval is 3": "section",
        "seed is missing": "",
    }.items():
        assert re.search(f"{re.escape(key)}.*{re.escape(remedy)}", text), key
    assert "\n" not in text


def test_an_engine_elsewhere_needs_its_address(load: Load, tree: Tree) -> None:
    put(tree, "index.engine", "milvus")
    assert "index.uri is null" in message(load, tree)
    put(tree, "index.uri", "http://127.0.0.1:19530")
    assert load(tree).index.uri == "http://127.0.0.1:19530"


@pytest.mark.parametrize("key", flat(WHOLE))
def test_every_leaf_is_needed_and_typed(load: Load, tree: Tree, key: str) -> None:
    put(tree, key, {"a": "mapping"})
    assert f"{key} is {{'a': 'mapping'}}" in message(load, tree)
    *path, name = key.split(".")
    del (at(tree, ".".join(path)) if path else tree)[name]
    assert f"{key} is missing" in message(load, tree)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dataset", "scratch"),
        ("dataset", "my_own"),
        ("start_from", "synth"),
        ("convert.max_samples", 0),
        ("trainA.lr", 0),
        ("trainA.lr", "fast"),
        ("trainA.lr", float("nan")),
        ("trainA.lr", float("inf")),
        ("trainA.lr", True),
        ("trainA.max_steps", 2.0),
        ("trainA.max_steps", -1),
        ("seed", 2**32),
        ("generate.max_answer_share", 0),
        ("generate.three_hop_share", 1.01),
        ("backbone.name", " "),
        ("backbone.name", None),
        ("backbone.revision", 7),
        ("index.factory", None),
        ("index.search", 128),
        ("index.engine", "pinecone"),
        ("index.uri", "milvus.db"),
        ("injection.layers", "all"),
        ("injection.layers", []),
        ("injection.layers", [1, 1]),
        ("injection.layers", [-1]),
        ("injection.layers", [True]),
        ("injection.layers", ["1"]),
        ("injection.layers", 3),
        ("trainB.lora_targets", "some"),
        ("selector.as_of", "25.11.2026"),
        ("selector.as_of", "2026-02-30"),
        ("selector.as_of", 2026),
        ("eval.adapter", "stage_b"),
        ("eval.ablations", "some"),
        ("eval.ablations", ["no_null"]),
        ("eval.ablations", ["no_hop", "no_hop"]),
        ("eval.rag_sentences", [0]),
        ("eval.rag_sentences", 4),
    ],
)
def test_values_that_are_refused(load: Load, tree: Tree, key: str, value: Any) -> None:
    put(tree, key, value)
    assert f"{key} is " in message(load, tree)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("injection.layers", [4, 2]),
        ("start_from", "timeqa"),
        ("dataset", "custom"),
        ("dataset", "base"),
        ("convert.max_samples", 5),
        ("convert.known_at", 3),
        ("convert.known_at", "2026-11-23T09:30"),
        ("backbone.revision", "main"),
        ("index.factory", "IVF64,PQ24x8"),
        ("index.search", "nprobe=16"),
        ("trainA.max_steps", 0),
        ("trainB.max_steps", 0),
        ("trainB.lora_targets", ["q_proj", "v_proj"]),
        ("eval.adapter", "trainA"),
        ("eval.ablations", "none"),
        ("eval.ablations", ["no_hop", "no_lora"]),
        ("selector.top_k", 0),
        ("selector.as_of", "2024-02-29"),
        ("encoder.whitening", 1),
    ],
)
def test_values_that_are_accepted(load: Load, tree: Tree, key: str, value: Any) -> None:
    put(tree, key, value)
    found = at(load(tree), key)
    assert (list(found) if isinstance(value, list) else found) == value
    assert type(at(load(tree), "encoder.whitening")) is float


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"selector.over_fetch": 15}, "selector.over_fetch is 15"),
        ({"trainA.warmup_steps": 2500}, "trainA.warmup_steps is 2500"),
        ({"trainB.warmup_steps": 600}, "trainB.warmup_steps is 600"),
        ({"encoder.d_ctx": 31}, "encoder.d_ctx, 31"),
        ({"encoder.d_tau": 48}, "48 for encoder.d_tau"),
        ({"encoder.d_k": 1}, "encoder.d_k is 1"),
        ({"start_from": "synth_world"}, "start_from is 'synth_world'"),
        ({"dataset": "custom", "start_from": "custom"}, "start_from is 'custom'"),
        ({"convert.folds": 5, "convert.fold": 5}, "convert.fold is 5"),
    ],
)
def test_keys_must_fit_each_other(load: Load, tree: Tree, changes: Tree, named: str) -> None:
    for key, value in changes.items():
        put(tree, key, value)
    assert named in message(load, tree)


@pytest.mark.parametrize(
    "changes",
    [
        {"trainA.max_steps": 0, "trainA.warmup_steps": 10},
        {"trainB.max_steps": 0},
        {"selector.over_fetch": 16},
        {"encoder.d_ctx": 32},
    ],
)
def test_keys_that_just_fit(load: Load, tree: Tree, changes: Tree) -> None:
    for key, value in changes.items():
        put(tree, key, value)
    load(tree)


@given(d_k=st.integers(1, 40), d_v=st.integers(1, 40), d_ctx=st.integers(1, 20), d_tau=st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_widths_are_accepted_where_every_block_of_keys_and_values_has_room(
    d_k: int, d_v: int, d_ctx: int, d_tau: int
) -> None:
    """The projections say what they make of the widths."""
    widths = {"d_k": d_k, "d_v": d_v, "d_ctx": d_ctx, "d_tau": d_tau}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_text(yaml.safe_dump({**WHOLE, "encoder": {**WHOLE["encoder"], **widths}}), encoding="utf-8")
        try:
            load_params(path)
            accepted = True
        except ParamsError:
            accepted = False
    vectors = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    try:
        made = Projections.fit(*[vectors] * 3, **widths, whitening=0.5, encoder_name="e", encoder_fingerprint="f")
        blocks = made.dims()
        room = min(blocks["d_ent"], blocks["d_rel"], blocks["d_val_ctx"]) > 0 and blocks["d_val_ctx"] <= d_ctx
    except ParamsError:
        room = False
    assert accepted == room


@pytest.mark.parametrize("pattern", [r"\n  hop: \w+", r"\nseed: \d+"])
def test_a_key_that_stands_twice_is_told_with_its_line(load: Load, pattern: str) -> None:
    once = re.search(pattern, TEXT)
    assert once is not None
    line = TEXT[: once.end()].count("\n") + 2
    found = message(load, re.sub(f"({pattern}.*)", r"\1\1", TEXT))
    assert f"line {line}: {once[0].strip().split(':')[0]} stands twice" in found


@pytest.mark.parametrize("text", ["", "- a\n", "a: [", "a: 'b", "just words", "? [a]\n: 1\n"])
def test_broken_file_is_told_by_name_in_one_line(load: Load, text: str) -> None:
    found = message(load, text)
    assert "params.yaml" in found
    assert "\n" not in found


def test_missing_file_and_foreign_bytes(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="does not exist"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ParamsError, match="not readable as YAML"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize(("written", "value"), [("2e-4", 2e-4), ("1", 1.0), (".5", 0.5), ("1E-3", 1e-3)])
def test_numbers_are_read_as_dvc_reads_them(load: Load, written: str, value: float) -> None:
    assert load(re.sub(r"\n  lr: \S+", f"\n  lr: {written}", TEXT)).trainA.lr == value


@pytest.mark.parametrize("written", ["yes", "on", "'true'"])
def test_only_true_and_false_are_switches(load: Load, written: str) -> None:
    text = re.sub(r"\n  hop: \w+", f"\n  hop: {written}", TEXT)
    assert "injection.hop is" in message(load, text)


def test_sections_cannot_be_changed_but_copied(load: Load, tree: Tree) -> None:
    params = load(tree, only=["selector"])
    with pytest.raises(ValidationError):
        params.selector.top_k = 3
    assert params.selector.model_copy(update={"top_k": 3}).top_k == 3


def test_a_stage_gets_what_it_declares_and_no_more(load: Load, tree: Tree) -> None:
    params = load(tree, only=["seed", "generate.train", "encoder.d_k"])
    assert (params.seed, params.generate.train.facts) == (tree["seed"], 6500)
    assert params.encoder.d_k == 192
    for key in ("dataset", "generate.swap.facts", "encoder.d_v", "selector.top_k"):
        with pytest.raises(ParamsError, match=rf"^{re.escape(key)} is read, but not declared.*dvc\.yaml"):
            at(params, key)
    with pytest.raises(AttributeError):
        at(params, "encoder.d_kk")


def test_a_declared_section_is_whole(load: Load, tree: Tree) -> None:
    assert load(tree, only=["trainA"]).trainA.model_dump() == load(tree).trainA.model_dump()


def test_whole_file_is_checked_whatever_is_read(load: Load, tree: Tree) -> None:
    put(tree, "eval.batch_size", 0)
    with pytest.raises(ParamsError, match=r"eval\.batch_size is 0"):
        load(tree, only=["seed"])


def test_the_open_base_may_be_left_out_and_the_unseen_one_not(load: Load, tree: Tree) -> None:
    put(tree, "generate.open", {"facts": 0, "questions_per_kind": 0})
    assert load(tree).generate.open.facts == 0
    put(tree, "generate.open.questions_per_kind", 5)
    assert "generate.open.questions_per_kind is 5, but generate.open.facts is 0" in message(load, tree)
    put(tree, "generate.open", {"facts": 5, "questions_per_kind": 0})
    assert load(tree).generate.open.questions_per_kind == 0
    put(tree, "generate.unseen.facts", 0)
    assert "generate.unseen.facts is 0" in message(load, tree)


def test_declaring_what_does_not_exist_is_refused(load: Load, tree: Tree) -> None:
    with pytest.raises(ParamsError, match=r"'encoder\.dk' \(did you mean encoder\.d_k\?\)"):
        load(tree, only=["encoder.dk"])
    with pytest.raises(ParamsError, match="no parameter"):
        load(tree, only=["seed.deeper"])


def test_leaves_of_sections_partition_the_whole() -> None:
    parts = [leaf for key in WHOLE for leaf in leaves(key)]
    assert sorted(parts) == sorted(leaves())
    assert leaves("generate.dev") == ["generate.dev.questions_per_type"]
    assert leaves("injection.layers") == ["injection.layers"]
    with pytest.raises(ParamsError, match="no parameter"):
        leaves("nowhere")


def test_a_kept_copy_may_be_the_start_and_its_errors_say_how_to_make_one(load: Load, tree: Tree) -> None:
    put(tree, "start_from", "kept")
    assert load(tree).start_from == "kept"
    assert of_start("kept") == "and copy store/<dataset> to store/kept"
    assert of_start("synth_world") == "with dataset: synth_world"
