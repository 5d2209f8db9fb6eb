"""The shape of the code: who may import whom, how long a file may be, what must not stand in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.closure import ROOT, imports

ROWS = """
errors artifacts sections config stage rows
question_times times facts prompts datasets
world_schema worlds world_questions synthesis
reading conversion timeqa_templates timeqa hotpotqa trex_labels trex kblam custom registry
encoder linear_maps projections
fact_arrays kb_store distinct_keys searchers knowledge_index encoding indexing
scorers graph copy_head knowledge queries fusion selector
architectures backbone_files backbone
injection lora adapters
opening batching losses training stage_a stage_b
scoring answering evaluation abstention systems measuring report pretraining_examples pretraining
tracing evidence illustrations interventions edits evidence_stage
drawing evaluation_plots evidence_plots plots experiments sweep real_data ask
"""
"""A module imports only what stands in a row above it, or further left in its own row."""
ORDER = ROWS.split()

SOURCES = sorted(path.relative_to(ROOT) for name in ("kblampp", "stages") for path in (ROOT / name).rglob("*.py"))
FILE_LINES, FUNCTION_LINES = 300, 50

TEXT_PLACES = ("kblampp", "stages", "tests", "docs", "benchmarks", ".ci", ".dvc/plots", ".dvc/config", "data/raw")
TEXT_SUFFIXES = {".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".json", ".lock", ""}
MACHINE_PATH = re.compile(r"(?<![\w.~>)\]}*-])/(?:work|home|Users|root|tmp|mnt|opt|var|data|srv)/\w|\b[A-Z]:\\\w")
REGISTRY = re.compile(
    r"https?://[^\s\"']*\b(?:pypi|pythonhosted|anaconda|npmjs|yarnpkg|crates|jfrog)\b|--(?:extra-)?index-url"
)


def tree(path: Path) -> ast.Module:
    """The syntax of a source file, given relative to the root."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a file, also those inside others."""
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_module_has_a_place_in_the_rows() -> None:
    found = {path.stem for path in SOURCES if path.parts[0] == "kblampp" and path.name != "__init__.py"}
    assert len(ORDER) == len(set(ORDER))
    assert found == set(ORDER)


def test_the_package_has_one_subpackage() -> None:
    """A converter a dataset, so that another dataset adds a file to a folder of its kind."""
    assert {path.parent for path in SOURCES} == {Path("kblampp"), Path("kblampp/converters"), Path("stages")}


def test_modules_import_only_from_above_or_the_left() -> None:
    wrong = [
        f"{path} imports {other}"
        for path in SOURCES
        if path.parts[0] == "kblampp" and path.stem in ORDER
        for other in imports(path)
        if other.name != "__init__.py"
        and (other.parts[0] != "kblampp" or ORDER.index(other.stem) >= ORDER.index(path.stem))
    ]
    assert not wrong, "\n".join(sorted(wrong))


def test_the_package_root_imports_nothing_of_ours() -> None:
    assert imports(Path("kblampp/__init__.py")) == set()


def test_no_relative_imports() -> None:
    relative = [
        f"{path}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative, "the import closure does not see them: " + ", ".join(relative)


def test_stages_import_only_the_package() -> None:
    wrong = [
        f"{path} imports {other}"
        for path in SOURCES
        if path.parts[0] == "stages"
        for other in imports(path)
        if other.parts[0] == "stages" and other.name != "__init__.py"
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_shipped_imports_the_tests() -> None:
    wrong = []
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            wrong += [f"{path}:{node.lineno} {name}" for name in names if name.split(".")[0] in ("tests", "benchmarks")]
    assert not wrong, "\n".join(wrong)


def test_no_print_and_no_assert() -> None:
    wrong = [
        f"{path}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Assert)
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print")
    ]
    assert not wrong, "log, or raise one of kblampp.errors: " + ", ".join(wrong)


def test_files_and_functions_are_short() -> None:
    lengths = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    long = [f"{path} has {lines} lines, at most {FILE_LINES}" for path, lines in lengths.items() if lines > FILE_LINES]
    for path in SOURCES:
        for node in functions(path):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                long.append(f"{path}:{node.lineno} {node.name} has {lines} lines, at most {FUNCTION_LINES}")
    assert not long, "\n".join(long)


def test_everything_public_has_a_docstring() -> None:
    missing = [f"{path}:{line} {name}" for path in SOURCES for line, name in undocumented(tree(path))]
    assert not missing, "\n".join(missing)


def undocumented(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of what is public at the top of a module and has no docstring, the module itself included."""
    if module.body and not ast.get_docstring(module):
        yield 1, "the module"
    for node in module.body:
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
            and not any(isinstance(mark, ast.Name) and mark.id == "overload" for mark in node.decorator_list)
            and not ast.get_docstring(node)
        ):
            yield node.lineno, node.name


def test_the_check_of_docstrings_finds_what_lacks_one() -> None:
    found = list(undocumented(ast.parse("import os\ndef shown(): ...\ndef _own(): ...\nclass Thing:\n    x = 1\n")))
    assert [name for _, name in found] == ["the module", "shown", "Thing"]


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY], ids=["paths of one machine", "package registries"])
def test_no_file_names(pattern: re.Pattern[str]) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()[:80]}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert not wrong, "\n".join(wrong)


def texts() -> Iterator[Path]:
    """The text files that people write: those at the root and those in the folders of `TEXT_PLACES`."""
    for place in (ROOT, *(ROOT / name for name in TEXT_PLACES)):
        inside = [place] if place.is_file() else place.glob("*" if place == ROOT else "**/*")
        for path in inside:
            own = "__pycache__" in path.parts or path == Path(__file__)
            if path.is_file() and path.suffix in TEXT_SUFFIXES and path.stat().st_size < 1_000_000 and not own:
                yield path


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("open('" + "/home" + "/me/kb.json')", True),
        ("cd " + "/tmp" + "/x", True),
        ("C:" + "\\Users\\me", True),
        ("https://example.org/data/x.json", False),
        ("see docs/data/raw or ../data/raw", False),
        ("#!/usr/bin/env bash", False),
    ],
)
def test_the_check_of_paths_finds_them(line: str, found: bool) -> None:
    assert bool(MACHINE_PATH.search(line)) == found
