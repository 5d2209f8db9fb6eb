"""The documents lead somewhere: links, headings, modules and parameters that they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.house import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "data" / "raw").glob("*/README.md")),
]
HISTORY = ROOT / "docs" / "log.md"
"""Tells what was, so it may name what is no more."""
LINK = re.compile(r"\]\(([^)\s]+)\)")
MODULE = re.compile(r"\bpython -m ((?:kblampp|stages|tests)(?:\.\w+)+)")
PLACE = re.compile(r"`((?:kblampp|stages|tests|benchmarks|docs)/[\w./-]*)`")
SETTING = re.compile(r"-S '?([\w.]+)=")

named = pytest.mark.parametrize("page", PAGES, ids=[path.relative_to(ROOT).as_posix() for path in PAGES])


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@named
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    wrong = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, heading = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (heading and heading not in headings(target)):
            wrong.append(link)
    assert not wrong


@named
def test_every_module_file_and_parameter_that_a_page_names_exists(page: Path) -> None:
    if page == HISTORY:
        pytest.skip("history")
    text = page.read_text(encoding="utf-8")
    modules = {name for name in MODULE.findall(text) if not is_module(name)}
    places = {name for name in PLACE.findall(text) if not (ROOT / name).exists()}
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    settings = {name for name in SETTING.findall(text) if not is_parameter(name, params)}
    assert not modules | places | settings


def is_module(name: str) -> bool:
    """Whether `python -m` finds it."""
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def is_parameter(name: str, params: object) -> bool:
    """Whether params.yaml has a key."""
    for part in name.split("."):
        if not isinstance(params, dict) or part not in params:
            return False
        params = params[part]
    return True


def test_every_page_is_found_from_the_readme() -> None:
    links = set(LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    found = {link.partition("#")[0] for link in links}
    assert not {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")} - found


def test_the_symbols_of_the_architecture_name_code() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text[text.index("### Symbols and names") : text.index("\n## ", text.index("### Symbols and names"))]
    files = {path.stem: path for folder in ("encoding", "model") for path in (ROOT / "kblampp" / folder).glob("*.py")}
    named_symbols = re.findall(r"`([a-z_]+)\.(\w+)", table)
    code = {module: files[module].read_text(encoding="utf-8") for module, _ in named_symbols}
    missing = [f"{m}.{n}" for m, n in named_symbols if not re.search(rf"^(?:class |def )?{n}\b", code[m], re.MULTILINE)]
    assert len(named_symbols) > 20
    assert not missing
