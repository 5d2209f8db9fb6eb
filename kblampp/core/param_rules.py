"""Rules over several parameters, which no type can say: each names its keys and what is wrong with their values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any


def broken_rules(values: Mapping[str, Any], bad: Collection[str]) -> list[str]:
    """A sentence for each rule that the parameters break; asked are those whose keys are all valid by themselves.

    Args:
        values: The parameters by dotted key.
        bad: Keys of parameters and sections that are not valid.
    """
    problems: list[str] = []
    for check, keys in _RULES:
        if all(key in values and not any(key == b or key.startswith(f"{b}.") for b in bad) for key in keys):
            problems += check(*(values[key] for key in keys))
    return problems


def _start_problems(dataset: str, start_from: str) -> list[str]:
    problem = f"start_from is {start_from!r}, the dataset itself; expected scratch or another dataset"
    return [problem] if dataset == start_from else []


def _open_problems(facts: int, questions_per_kind: int) -> list[str]:
    problem = f"generate.open.questions_per_kind is {questions_per_kind}, but generate.open.facts is 0; expected 0 too"
    return [problem] if questions_per_kind and not facts else []


def _fold_problems(folds: int, fold: int) -> list[str]:
    return [] if fold < folds else [f"convert.fold is {fold}, expected less than convert.folds, {folds}"]


def _engine_problems(engine: str, uri: str | None) -> list[str]:
    if engine == "milvus" and uri is None:
        return ["index.uri is null, but index.engine is milvus; expected the address of a server or a folder .db"]
    if engine == "faiss" and uri is not None:
        return [f"index.uri is {uri!r}, but index.engine is faiss, which has no address; expected null, or milvus"]
    return []


def _width_problems(d_k: int, d_v: int, d_ctx: int, d_tau: int) -> list[str]:
    """The blocks of a key and of a value, as `encoder` cuts them, must all have room."""
    d_ent = 3 * min(d_k, d_v) // 4
    if d_ent < 1 or d_k - d_ent < 1:
        return [f"encoder.d_k is {d_k} and encoder.d_v {d_v}, expected at least 2 each"]
    context = d_v - d_ent - d_tau
    if not 1 <= context <= d_ctx:
        sizes = f"encoder.d_v is {d_v}, which leaves {context} context dimensions in the value"
        parts = f"{d_ent} for the entity and {d_tau} for encoder.d_tau"
        return [f"{sizes} after {parts}, expected 1 to encoder.d_ctx, {d_ctx}"]
    return []


def _fetch_problems(top_k: int, over_fetch: int) -> list[str]:
    problem = f"selector.over_fetch is {over_fetch}, expected at least selector.top_k, {top_k}"
    return [problem] if over_fetch < top_k else []


def _warmup_problems(stage: str) -> Callable[[int, int], list[str]]:
    def check(max_steps: int, warmup_steps: int) -> list[str]:
        problem = f"{stage}.warmup_steps is {warmup_steps}, expected less than {stage}.max_steps, {max_steps}"
        return [problem] if 0 < max_steps <= warmup_steps else []

    return check


def _quantize_problems(quantize: str, max_steps: int, unfreeze_top: int) -> list[str]:
    problem = f"trainB.unfreeze_top is {unfreeze_top}, but backbone.quantize is {quantize}; expected 0, or none"
    return [problem] if quantize != "none" and max_steps and unfreeze_top else []


_RULES: tuple[tuple[Callable[..., list[str]], tuple[str, ...]], ...] = (
    (_start_problems, ("dataset", "start_from")),
    (_open_problems, ("generate.open.facts", "generate.open.questions_per_kind")),
    (_fold_problems, ("convert.folds", "convert.fold")),
    (_engine_problems, ("index.engine", "index.uri")),
    (_width_problems, ("encoder.d_k", "encoder.d_v", "encoder.d_ctx", "encoder.d_tau")),
    (_fetch_problems, ("selector.top_k", "selector.over_fetch")),
    (_warmup_problems("trainA"), ("trainA.max_steps", "trainA.warmup_steps")),
    (_warmup_problems("trainB"), ("trainB.max_steps", "trainB.warmup_steps")),
    (_quantize_problems, ("backbone.quantize", "trainB.max_steps", "trainB.unfreeze_top")),
)
