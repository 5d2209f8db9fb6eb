"""The folders of the package and who imports whom, read from the source: ``python -m tests.house --write``.

It renews the table and the graph in `docs/architecture.md`; without `--write` it prints them.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "kblampp"
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- house: begin (python -m tests.house --write) -->", "<!-- house: end -->"


def sources(*folders: str) -> list[Path]:
    """The Python files of some top folders of the repository."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def imported(path: Path) -> frozenset[str]:
    """Modules of the package that a file imports, at the top or inside a function: "kblampp.data.facts"."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(name for name in found if name.split(".")[0] == "kblampp" and _is_module(name))


def _is_module(name: str) -> bool:
    path = ROOT / Path(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def place(module: str) -> str:
    """The folder of a module of the package; of a file that lies beside the folders its own name; "" of the root."""
    return ".".join(module.split(".")[1:2])


def module_of(path: Path) -> str:
    """Dotted name of a file of the repository."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def folders() -> list[str]:
    """The folders of the package that hold code, in an order in which each imports only from those before it."""
    left = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    graph, order = house(), list[str]()
    while left:
        free = sorted(folder for folder in left if not graph[folder] & left)
        if not free:
            raise ValueError(f"the folders {sorted(left)} import each other in a circle")
        order += free
        left -= set(free)
    return order


def house() -> dict[str, set[str]]:
    """Folder -> the folders that it imports from."""
    graph: dict[str, set[str]] = {}
    for path in sources("kblampp"):
        own = place(module_of(path))
        targets = {place(module) for module in imported(path)}
        graph.setdefault(own, set()).update(targets - {own, ""})
    return graph


def reached(*start: str) -> set[str]:
    """Folders that are imported from some folders, directly or not, themselves included."""
    graph, done, todo = house(), set[str](), set(start)
    while todo:
        done |= todo
        todo = {other for folder in todo for other in graph.get(folder, ())} - done
    return done


def circles(folder: str) -> list[list[str]]:
    """Circles of imports among the files of one folder."""
    files = sources(f"kblampp/{folder}")
    graph = {module_of(path): {m for m in imported(path) if place(m) == folder} - {module_of(path)} for path in files}
    graph.pop(f"kblampp.{folder}", None)  # the folder's own list of public names
    found: list[list[str]] = []

    def walk(trail: list[str]) -> None:
        for other in sorted(graph.get(trail[-1], ())):
            if other == trail[0]:
                found.append([*trail, other])
            elif other not in trail and other > trail[0]:
                walk([*trail, other])

    for module in sorted(graph):
        walk([module])
    return found


def drawn() -> Iterator[str]:
    """The lines of the table and of the graph."""
    graph = house()
    yield "| folder | what lives there | imports from |"
    yield "|---|---|---|"
    for folder in folders():
        text = ast.get_docstring(ast.parse((PACKAGE / folder / "__init__.py").read_text(encoding="utf-8"))) or ""
        first = text.split("\n\n")[0].replace("\n", " ")
        targets = " ".join(f"`{name}`" for name in folders() if name in graph[folder])
        yield f"| `{folder}/` | {first} | {targets or '–'} |"
    yield ""
    yield "```mermaid"
    yield "flowchart BT"
    for folder in folders():
        near = graph[folder] - {far for other in graph[folder] for far in reached(other) - {other}}
        for other in sorted(near):
            yield f"    {folder} --> {other}"
    yield "```"
    yield ""
    yield "An arrow points to what is imported; imports that another arrow implies are left out."


def with_house(text: str) -> str:
    """The page with its table and graph renewed."""
    first, last = text.index(BEGIN) + len(BEGIN), text.index(END)
    return text[:first] + "\n" + "\n".join(drawn()) + "\n" + text[last:]


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(with_house(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        sys.stdout.write("\n".join(drawn()) + "\n")
