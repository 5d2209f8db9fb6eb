"""Nothing in the package rests on one operating system: encodings are named, and no module of Unix alone is used."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.house import ROOT, sources

SOURCES = sources("kblampp", "stages", "benchmarks")
UNIX_ONLY = {"fcntl", "grp", "posix", "pwd", "resource", "termios", "tty"}
BINARY_UNLESS_T = {"gzip", "bz2", "lzma"}
"""Their `open` is binary unless the mode has a t."""


def without_encoding(module: ast.Module) -> Iterator[int]:
    """Lines that open text, of a file or of a process, in whatever encoding the system prefers."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            options = {keyword.arg: keyword.value for keyword in node.keywords}
            if options.keys().isdisjoint({"encoding", None}) and opens_text(node, options):
                yield node.lineno


def opens_text(call: ast.Call, options: Mapping[str | None, ast.expr]) -> bool:
    """Whether a call opens text; `options` are its keywords."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    owner = getattr(getattr(call.func, "value", None), "id", "")
    if name == "open" and not owner[:1].isupper():  # `Image.open` and the like open no text
        place = 1 if isinstance(call.func, ast.Name) or owner in BINARY_UNLESS_T else 0
        mode = options.get("mode", call.args[place] if len(call.args) > place else None)
        text = getattr(mode, "value", "")
        return "t" in text if owner in BINARY_UNLESS_T else "b" not in text
    if name in ("read_text", "write_text"):
        return len(call.args) < (1 if name == "read_text" else 2)
    return any(getattr(options.get(key), "value", False) is True for key in ("text", "universal_newlines"))


def test_every_text_file_and_pipe_names_its_encoding() -> None:
    wrong = [
        f"{path.relative_to(ROOT).as_posix()}:{line}"
        for path in SOURCES
        for line in without_encoding(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not wrong, 'add encoding="utf-8": ' + ", ".join(wrong)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("open(p)", True),
        ("open(p, 'w')", True),
        ("open(p, mode='a')", True),
        ("p.open('w')", True),
        ("(folder / name).open()", True),
        ("p.read_text()", True),
        ("p.write_text('x')", True),
        ("gzip.open(p, 'rt')", True),
        ("subprocess.run(c, text=True)", True),
        ("open(p, 'rb')", False),
        ("open(p, mode='wb')", False),
        ("p.open('rb')", False),
        ("open(p, encoding='utf-8')", False),
        ("open(p, mode, **text)", False),
        ("p.read_text(encoding='utf-8')", False),
        ("p.read_text('utf-8')", False),
        ("gzip.open(p)", False),
        ("Image.open(p)", False),
        ("subprocess.run(c, encoding='utf-8')", False),
    ],
)
def test_the_check_of_encodings_finds_what_names_none(line: str, found: bool) -> None:
    assert bool(list(without_encoding(ast.parse(line)))) == found


def test_no_module_of_unix_alone_and_no_fork() -> None:
    wrong = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            names += ["fork"] if isinstance(node, ast.Attribute) and node.attr in ("fork", "forkpty") else []
            wrong += [f"{path.relative_to(ROOT)}: {name}" for name in names if name in {*UNIX_ONLY, "fork"}]
    assert not wrong, "not on every system: " + ", ".join(wrong)


def test_programs_write_utf8_where_the_system_prefers_another_encoding(tmp_path: Path) -> None:
    """As on Windows, where a pipe is of the locale's code page, which has no Greek letters."""
    code = (
        "import sys; from kblampp.core.errors import one_line_errors\n"
        "one_line_errors(lambda: sys.stdout.write(sys.stdin.read()))"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0", "PYTHONPATH": str(ROOT)}
    written = subprocess.run(
        [sys.executable, "-c", code], input="γ ± –".encode(), capture_output=True, check=True, env=environment
    )
    assert written.stdout.decode("utf-8") == "γ ± –"
