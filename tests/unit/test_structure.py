"""The shape of the code: who may import whom, and what must not stand in it."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.house import PAGE, ROOT, circles, folders, house, imported, module_of, place, reached, sources, with_house

MAY_IMPORT: dict[str, str] = {
    "core": "",
    "data": "core",
    "time_expressions": "data",
    "synthetic": "core data",
    "tables": "core data",
    "converters": "core data time_expressions tables base",
    "encoding": "core data time_expressions",
    "tuning": "core data time_expressions encoding synthetic",
    "index": "core data encoding",
    "backbone": "core",
    "model": "core data time_expressions encoding index backbone",
    "training": "core data backbone model",
    "pretraining": "core data synthetic model",
    "evaluation": "core data time_expressions encoding model",
    "evidence": "core data time_expressions encoding index backbone model evaluation",
    "report": "core data",
    "rag": "core data backbone model evaluation",
    "transfer": "core data converters encoding index backbone model evaluation rag",
    "experiments": "core data time_expressions synthetic tuning encoding index model evaluation training report "
    "transfer sentences base snapshots asking rag",
    "doctor": "core encoding backbone",
    "base": "core data tables",
    "snapshots": "core data encoding index model base",
    "sentences": "backbone model",
    "asking": "core data time_expressions encoding model sentences tables base snapshots",
    "server": "core data tables base asking",
    "cli": "core data tables base snapshots asking server doctor",
    "ask": "core encoding model sentences asking",
    "__main__": "cli",
}
"""Folder (or file beside the folders) -> the folders that it may import from.  A new arrow is a decision."""

SOURCES = [path.relative_to(ROOT) for path in sources("kblampp", "stages")]

TEXT_PLACES = ("kblampp", "stages", "tests", "docs", "benchmarks", ".ci", ".dvc/plots", ".dvc/config", "data/raw")
TEXT_SUFFIXES = {".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".json", ".lock", ""}
MACHINE_PATH = re.compile(r"(?<![\w.~>)\]}*-])/(?:work|home|Users|root|tmp|mnt|opt|var|data|srv)/\w|\b[A-Z]:\\\w")
REGISTRY = re.compile(
    r"https?://[^\s\"']*\b(?:pypi|pythonhosted|anaconda|npmjs|yarnpkg|crates|jfrog)\b|--(?:extra-)?index-url"
)
BESIDE = re.compile(r"\.\./shared\b")


def tree(path: Path) -> ast.Module:
    """The syntax of a source file, given relative to the root."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def test_folders_import_in_one_direction() -> None:
    """Of the real imports, also those inside functions."""
    wrong = [
        f"{module_of(ROOT / path)} imports {module}"
        for path in SOURCES
        if path.parts[0] == "kblampp"
        for module in imported(ROOT / path)
        if place(module) not in ("", place(module_of(ROOT / path)), *MAY_IMPORT[place(module_of(ROOT / path))].split())
    ]
    assert not wrong, "\n".join(sorted(wrong))
    assert set(folders()) == {name for name in MAY_IMPORT if (ROOT / "kblampp" / name).is_dir()}


def test_the_list_of_arrows_is_no_longer_than_the_code_needs() -> None:
    unused = {name: set(allowed.split()) - house()[name] for name, allowed in MAY_IMPORT.items()}
    assert not {name: arrows for name, arrows in unused.items() if arrows}


def test_the_arrows_make_no_circle() -> None:
    assert not [name for name in MAY_IMPORT if any(name in reached(other) for other in house()[name])]


@pytest.mark.parametrize("folder", folders())
def test_the_files_of_a_folder_import_each_other_without_a_circle(folder: str) -> None:
    assert not circles(folder)


@pytest.mark.parametrize("folder", folders())
def test_a_folder_says_what_lives_there_what_it_imports_and_its_public_names(folder: str) -> None:
    what, imports, names = (ast.get_docstring(tree(Path("kblampp", folder, "__init__.py"))) or "").split("\n\n")
    assert what
    assert imports.startswith("Imports ")
    assert names.startswith("Public names: ")
    for name in re.findall(r"`([a-z_]+)\.(\w+)`", names):
        module = importlib.import_module(f"kblampp.{folder}.{name[0]}")
        assert hasattr(module, name[1]), f"kblampp/{folder}/__init__.py names {'.'.join(name)}, which does not exist"


def test_the_page_shows_the_house_as_it_is() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == with_house(text), "run `python -m tests.house --write`"


def test_the_package_root_imports_nothing_of_ours() -> None:
    assert imported(ROOT / "kblampp/__init__.py") == set()


def test_no_relative_imports() -> None:
    relative = [
        f"{path}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative, "the graph of folders does not see them: " + ", ".join(relative)


def test_stages_import_only_the_package() -> None:
    wrong = [
        f"{path} imports {alias}"
        for path in SOURCES
        if path.parts[0] == "stages"
        for node in ast.walk(tree(path))
        for alias in ([node.module] if isinstance(node, ast.ImportFrom) and node.module else [])
        if alias.split(".")[0] == "stages"
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
    assert not wrong, "log, or raise one of kblampp.core.errors: " + ", ".join(wrong)


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
    found = lines_with(pattern, texts())
    assert not found, "\n".join(found)


def test_nothing_but_tests_names_the_folder_beside_the_project() -> None:
    """A clone has none; the tests that look there skip without it."""
    found = lines_with(BESIDE, (path for path in texts() if ROOT / "tests" not in path.parents))
    assert not found, "\n".join(found)


def lines_with(pattern: re.Pattern[str], paths: Iterable[Path]) -> list[str]:
    """Place and beginning of the lines in which the pattern occurs."""
    return [
        f"{path.relative_to(ROOT)}:{number} {line.strip()[:80]}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]


def texts() -> Iterator[Path]:
    """The text files that people write: those at the root and those in the folders of `TEXT_PLACES`."""
    for top in (ROOT, *(ROOT / name for name in TEXT_PLACES)):
        inside = [top] if top.is_file() else top.glob("*" if top == ROOT else "**/*")
        for path in inside:
            own = "__pycache__" in path.parts or path in (Path(__file__), ROOT / ".git")  # a file in a worktree
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
