"""Import closures read from the source: which files a stage needs.  ``python -m tests.closure`` prints them."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("kblampp", "stages")


def module_file(name: str, root: Path = ROOT) -> Path | None:
    """The file of a module of ours, relative to the root; None for other modules and for names inside a module."""
    path = Path(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if name.split(".")[0] in PACKAGES and (root / candidate).is_file():
            return candidate
    return None


def imports(file: Path, root: Path = ROOT) -> set[Path]:
    """Files of ours that a file imports, at the top or inside a function."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse((root / file).read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            path = module_file(name, root)
            if path is not None:
                packages = [folder / "__init__.py" for folder in path.parents if folder != Path()]
                found |= {path, *packages}
    return found


def closure(file: Path, root: Path = ROOT) -> set[Path]:
    """The file and everything of ours that it imports, directly or not."""
    done: set[Path] = set()
    open_files = {file}
    while open_files:
        done |= open_files
        open_files = {other for path in open_files for other in imports(path, root)} - done
    return done


if __name__ == "__main__":
    for script in sorted((ROOT / "stages").glob("[!_]*.py")):
        needed = sorted(str(path) for path in closure(script.relative_to(ROOT)))
        sys.stdout.write(f"{script.stem}:\n" + "".join(f"      - {path}\n" for path in needed))
