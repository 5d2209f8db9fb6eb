"""Reads `params.yaml`, checked as a whole before a stage starts, and gives a stage what it declares.

Under `params:` in `dvc.yaml` a stage declares what it reads, and gets those parameters and no others.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from kblampp.core.errors import ParamsError
from kblampp.core.param_rules import broken_rules
from kblampp.core.param_values import Section
from kblampp.core.params import Params


def load_params(path: Path = Path("params.yaml"), only: Sequence[str] | None = None) -> Params:
    """Reads and checks the whole file.

    Args:
        path: The file.
        only: The keys and sections that the result holds (`declared_params`); None for all.  Reading any other raises
            `ParamsError`.

    Raises:
        ParamsError: All problems of the file in one message, or `only` names what does not exist.
    """
    data = read_yaml(path)
    problems, bad = list[str](), set[str]()
    params: Params | None = None
    try:
        params = Params.model_validate(data)
    except ValidationError as error:
        problems, bad = _problems(error)
    problems += broken_rules(dict(_flat(data)), bad)
    if problems or params is None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ParamsError(f"{path} has {count}: {'; '.join(problems)}")
    return params if only is None else _part(params, {leaf for key in only for leaf in leaves(key)})


def declared_params(stage: str, path: Path = Path("dvc.yaml")) -> list[str]:
    """The keys and sections of `params.yaml` that a stage declares in `dvc.yaml`.

    Raises:
        ParamsError: The file is not readable, or has no such stage.
    """
    stages = read_yaml(path).get("stages")
    if not isinstance(stages, Mapping) or stage not in stages:
        raise ParamsError(f"{path} has no stage {stage}: add it, with the parameters that it reads under `params`")
    return [str(key) for key in stages[stage].get("params", ())]


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML 1.2 file, as DVC does (`2e-4` is a number, `on` a text), whose top level is a mapping.

    Raises:
        ParamsError: The file is missing, not such a file, or a key stands twice in it.
    """
    try:
        data = YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path} does not exist: run this in the folder that holds it") from None
    except DuplicateKeyError as error:
        key, line = str(error.problem).split('"')[1], error.problem_mark.line + 1
        raise ParamsError(f"{path} line {line}: {key} stands twice in its section, remove one of them") from error
    except (OSError, ValueError, TypeError, YAMLError) as error:
        problem = " ".join(str(error).split())
        raise ParamsError(f"{path} is not readable as YAML ({problem}): correct it") from error
    if not isinstance(data, dict):
        raise ParamsError(f"{path} holds {_show(data)}, expected `key: value` lines")
    return {str(key): value for key, value in data.items()}


def leaves(key: str = "") -> list[str]:
    """The parameters of a dotted section; a parameter gives itself, "" gives all.

    Raises:
        ParamsError: There is no such parameter or section.
    """
    section: type[Section] | None = Params
    prefix = ""
    for name in key.split(".") if key else ():
        names = () if section is None else section.model_fields
        if section is None or name not in names:
            raise ParamsError(f"there is no parameter {key!r}{_suggest(name, names, prefix)}")
        section, prefix = _section(section, name), f"{prefix}{name}."
    if section is None:
        return [key]
    return [leaf for name in section.model_fields for leaf in leaves(f"{prefix}{name}")]


def _section(section: type[Section], name: str) -> type[Section] | None:
    """The class of a field that is a section; None for a parameter."""
    hint = section.model_fields[name].annotation
    return hint if isinstance(hint, type) and issubclass(hint, Section) else None


def _part(section: Any, wanted: set[str], prefix: str = "") -> Any:
    """A copy of a section in which only the wanted parameters are there."""
    kept = {}
    for name in type(section).model_fields:
        value, key = getattr(section, name), prefix + name
        if isinstance(value, Section):
            kept[name] = _part(value, wanted, f"{key}.")
        elif key in wanted:
            kept[name] = value
    part = type(section).model_construct(**kept)
    part._place = prefix
    return part


def _flat(node: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _problems(error: ValidationError) -> tuple[list[str], set[str]]:
    """A sentence for each key with a problem, and these keys."""
    expected: dict[str, list[str]] = {}
    told: dict[str, str] = {}
    for item in error.errors():
        key, section = _key(item["loc"])
        if item["type"] == "extra_forbidden":
            name = str(item["loc"][-1])
            told[key] = f"{key} is unknown{_suggest(name, section.model_fields, key.removesuffix(name))}"
        elif item["type"] == "missing":
            told[key] = f"{key} is missing"
        elif item["type"] == "model_type":
            names = ", ".join((_section(section, key.split(".")[-1]) or section).model_fields)
            told[key] = f"{key} is {_show(item['input'])}, expected a section with {names}"
        else:
            wanted = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            expected.setdefault(key, []).append(wanted)
            told.setdefault(key, f"{key} is {_show(item['input'])}, expected ")
    sentences = [text + " or ".join(dict.fromkeys(expected.get(key, ()))) for key, text in told.items()]
    return sentences, set(told)


def _key(location: Sequence[int | str]) -> tuple[str, type[Section]]:
    """The dotted key of a place that pydantic names, and the section that it is in; what lies below it is left out."""
    section, names = Params, list[str]()
    for name in map(str, location):
        names.append(name)
        inner = _section(section, name) if name in section.model_fields else None
        if inner is None:
            break
        if len(names) < len(location):
            section = inner  # type: ignore[assignment]
    return ".".join(names), section


def _suggest(name: str, names: Iterable[str], prefix: str) -> str:
    close = difflib.get_close_matches(name, list(names), n=1)
    return f" (did you mean {prefix}{close[0]}?)" if close else ""


def _show(value: Any) -> str:
    """A value as one would write it in the file, cut to a readable length."""
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
