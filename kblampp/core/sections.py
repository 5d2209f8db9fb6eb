"""How nested frozen dataclasses are filled from YAML, checked and watched; `config` declares them.

The type of a field is its check. Understood are `bool`, `int`, `float`, `str`, unions with `None`,
`Literal` choices, `tuple[X, ...]` for a list of distinct items, `Annotated[int or float, Range]`
and other sections.
"""

from __future__ import annotations

import difflib
import math
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin
from typing import get_type_hints as resolve_hints

import yaml

from kblampp.core.errors import ParamsError

_MISFIT = object()
_PLAIN = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}


@dataclass(frozen=True)
class Range:
    """The numbers from `minimum` to `maximum`, without `minimum` itself when `exclusive`."""

    minimum: float
    maximum: float = math.inf
    exclusive: bool = False

    def __contains__(self, number: float) -> bool:
        above = number > self.minimum if self.exclusive else number >= self.minimum
        return above and number <= self.maximum

    def __str__(self) -> str:
        lower = f"{'above' if self.exclusive else 'at least'} {self.minimum}"
        return lower if self.maximum == math.inf else f"{lower} and at most {self.maximum}"


class Section:
    """Base of every section: tells its tracker, when it has one, which parameters are read."""

    if not TYPE_CHECKING:  # for mypy, attributes are the dataclass fields and nothing else

        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            if name in type(self).__dataclass_fields__ and not isinstance(value, Section):
                tracker, prefix = super().__getattribute__("__dict__").get("_watch", (None, ""))
                if tracker is not None:
                    tracker.read(prefix + name)
            return value


class Tracker:
    """The leaves a stage may read, and those it has read.

    Raises:
        ParamsError: `reads` names no parameter of `root`.
    """

    def __init__(self, root: type[Section], reads: Iterable[str]) -> None:
        self.declared = {leaf for key in reads for leaf in leaves(root, key)}
        self.seen: set[str] = set()

    def watch(self, section: Section, prefix: str = "") -> None:
        """Follows `section` and the sections inside it from now on."""
        for name, value in list(vars(section).items()):
            if isinstance(value, Section):
                self.watch(value, f"{prefix}{name}.")
        object.__setattr__(section, "_watch", (self, prefix))

    def read(self, key: str) -> None:
        """Notes that leaf `key` is read.

        Raises:
            ParamsError: the stage did not declare it.
        """
        if key not in self.declared:
            raise ParamsError(f"stage reads undeclared parameter {key!r}: add it to READS and to dvc.yaml")
        self.seen.add(key)


def unread(section: Section) -> list[str]:
    """The declared leaves that nobody has read yet, sorted; none when nobody tracks `section`."""
    watch = vars(section).get("_watch")
    return [] if watch is None else sorted(watch[0].declared - watch[0].seen)


def leaves(source: type[Section] | Mapping[str, Any], key: str = "") -> list[str]:
    """Expands a dotted section into its leaf keys; a leaf gives itself, "" gives all leaves.

    Args:
        source: a section class, usually `Params`, or nested dicts, as read from YAML.
        key: dotted, e.g. "generate.train".

    Raises:
        ParamsError: there is no such key.
    """
    node: Any = source
    prefix = ""
    for name in key.split(".") if key else ():
        names = _children(node)
        if name not in names:
            raise ParamsError(f"there is no parameter {key!r}{_suggest(name, names, prefix)}")
        node, prefix = names[name], f"{prefix}{name}."
    children = _children(node)
    if not children:
        return [key]
    return [leaf for name in children for leaf in leaves(source, f"{prefix}{name}")]


def _children(node: Any) -> Mapping[str, Any]:
    return _hints(node) if _is_section(node) else node if isinstance(node, Mapping) else {}


def _is_section(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Section)


def _hints(section: type[Section]) -> dict[str, Any]:
    return resolve_hints(section, include_extras=True)


def _suggest(name: str, names: Iterable[str], prefix: str) -> str:
    close = difflib.get_close_matches(name, list(names), n=1)
    return f" (did you mean {prefix}{close[0]}?)" if close else ""


def parse_yaml(path: Path) -> tuple[dict[Any, Any], list[str]]:
    """Reads a YAML file whose top level is a mapping.

    Returns:
        The mapping, and one sentence for each key that stands twice.

    Raises:
        ParamsError: the file is missing or not such a file.
    """
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        data = loader.get_single_data()
    except FileNotFoundError:
        raise ParamsError(f"{path} does not exist: run this in the folder that holds it") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
        raise ParamsError(f"{path} is not readable as YAML ({problem}): correct it") from error
    if not isinstance(data, dict):
        raise ParamsError(f"{path} holds {_show(data)}, expected parameters as `key: value` lines")
    return data, loader.duplicates


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars, as DVC reads them: `2e-4` is a number and `on` is a text."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012  (PyYAML fills it per class)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.duplicates: list[str] = []

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                line = key.start_mark.line + 1
                self.duplicates.append(f"{key.value} on line {line} stands twice in its section")
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", [*"-+0123456789"]),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", [*"-+.0123456789"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


def build(
    section: type[Section],
    data: Mapping[Any, Any],
    values: dict[str, Any],
    problems: list[str],
    prefix: str = "",
) -> Any:
    """Makes a section from parsed YAML.

    Args:
        section: the class to make.
        data: its keys and values.
        values: filled with each valid leaf, by dotted key.
        problems: filled with one sentence for each unknown, missing or unfit key.
        prefix: the dotted place of `section`, empty or with a dot at its end.

    Returns:
        A `section`, or None when something in it is not valid.
    """
    hints = _hints(section)
    before = len(problems)
    for key in data:
        if key not in hints:
            problems.append(f"{prefix}{key} is unknown{_suggest(str(key), hints, prefix)}")
    made: dict[str, Any] = {}
    for name, hint in hints.items():
        key = prefix + name
        if name not in data:
            problems.append(f"{key} is missing, expected {_describe(hint)}")
        elif _is_section(hint) and isinstance(data[name], Mapping):
            made[name] = build(hint, data[name], values, problems, f"{key}.")
        elif (value := _fit(data[name], hint)) is _MISFIT:
            problems.append(f"{key} is {_show(data[name])}, expected {_describe(hint)}")
        else:
            made[name] = values[key] = value
    return section(**made) if len(problems) == before else None


def _fit(value: Any, hint: Any) -> Any:
    """`value` in the form that `hint` asks for, or `_MISFIT`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        fitted = _fit(value, arguments[0])
        inside = fitted is not _MISFIT and all(fitted in bound for bound in arguments[1:])
        return fitted if inside else _MISFIT
    if origin in (Union, types.UnionType):
        fits = (_fit(value, option) for option in arguments)
        return next((fitted for fitted in fits if fitted is not _MISFIT), _MISFIT)
    if origin is Literal:
        return value if isinstance(value, str) and value in arguments else _MISFIT
    if origin is tuple:
        return _fit_list(value, arguments[0])
    if hint is type(None):
        return None if value is None else _MISFIT
    if hint is float and type(value) in (int, float):
        return float(value) if abs(value) <= 1e300 else _MISFIT  # not infinite, not NaN
    if hint is str:
        return value if isinstance(value, str) and value.strip() else _MISFIT
    return value if type(value) is hint else _MISFIT  # exact, since a bool is an int to isinstance


def _fit_list(value: Any, item_hint: Any) -> Any:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        return _MISFIT
    items = tuple(_fit(item, item_hint) for item in value)
    return _MISFIT if _MISFIT in items or len(set(items)) < len(items) else items


def _describe(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return " ".join([_describe(arguments[0]), *map(str, arguments[1:])])
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(option) for option in arguments)
    if origin is Literal:
        return ("" if len(arguments) == 1 else "one of ") + ", ".join(map(str, arguments))
    if origin is tuple:
        return f"a list of distinct items, each {_describe(arguments[0])}"
    if _is_section(hint):
        return f"a section with {', '.join(_hints(hint))}"
    return _PLAIN.get(hint, "null")


def _show(value: Any) -> str:
    """A value as one would write it in the file, cut to a readable length."""
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
