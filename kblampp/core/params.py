"""`params.yaml` as frozen dataclasses, checked as a whole before a stage starts.

To add a parameter, add a line to the file and a field to its section below. The field's type is
its check: `Literal[...]` for a choice, an `Annotated` alias for a range.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from kblampp.core.errors import ParamsError
from kblampp.core.sections import Range, Section, Tracker, build, leaves, parse_yaml, unread

__all__ = ["Params", "leaves", "load_params", "unread"]

Count = Annotated[int, Range(1)]
CountOrZero = Annotated[int, Range(0)]
Positive = Annotated[float, Range(0, exclusive=True)]
PositiveOrZero = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
DatasetName = Literal["synth_world", "timeqa", "hotpotqa", "trex", "kblam", "custom"]
Layers = Literal["auto"] | tuple[CountOrZero, ...]
Ablation = Literal[
    "no_gamma", "no_eta", "no_copy_head", "no_hop", "no_question_vector", "no_hidden_query", "no_null_fact", "no_lora"
]


@dataclass(frozen=True)
class WorldParams(Section):
    """A knowledge base of its own, with questions."""

    facts: Count
    questions_per_type: Count


@dataclass(frozen=True)
class DevParams(Section):
    """More questions about the training knowledge base."""

    questions_per_type: Count


@dataclass(frozen=True)
class GenerateParams(Section):
    """The synthetic worlds and their questions."""

    train: WorldParams
    dev: DevParams
    swap: WorldParams
    novel: WorldParams
    three_hop_share: Share
    timed_hop_share: Share
    max_answer_share: Annotated[float, Range(0, 1, exclusive=True)]


@dataclass(frozen=True)
class ConvertParams(Section):
    """Raw files to facts and questions."""

    max_samples: Count | None
    skip_bad: bool
    folds: Annotated[int, Range(2)]
    fold: CountOrZero
    dev_share: Share
    template_questions: bool
    distractor_facts: bool
    oracle_facts: bool


@dataclass(frozen=True)
class BackboneParams(Section):
    """The frozen language model."""

    name: str
    revision: str | None
    dtype: Literal["float32", "bfloat16", "float16"]
    device: str
    load_in_4bit: bool


@dataclass(frozen=True)
class EncoderParams(Section):
    """Texts and windows to vectors."""

    model: str
    d_k: Count
    d_v: Count
    d_ctx: Count
    d_tau: Count
    whitening: Share
    batch_size: Count
    store_dtype: Literal["float16", "float32"]


@dataclass(frozen=True)
class IndexParams(Section):
    """Nearest-neighbour search over the keys."""

    method: Literal["flat", "hnsw", "ivfpq"]
    similarity: Literal["ip", "cosine"]
    hnsw_m: Annotated[int, Range(2)]
    hnsw_ef_construction: Count
    hnsw_ef_search: Count
    ivf_nlist: Count
    ivf_nprobe: Count
    pq_m: Count
    pq_bits: Annotated[int, Range(1, 16)]
    min_recall_at_8: Share


@dataclass(frozen=True)
class SelectorParams(Section):
    """Which facts a token weighs, and how."""

    top_k: CountOrZero
    gamma: PositiveOrZero
    eta: PositiveOrZero
    temperature: Positive
    over_fetch: CountOrZero


@dataclass(frozen=True)
class InjectionParams(Section):
    """Where and how knowledge enters the model; `layers` is "auto" or layer numbers from 0."""

    layers: Layers
    layer_path: str | None
    d_context_score: Count
    d_fusion: Count
    copy_head: bool
    hop: bool
    ego_graph: bool
    ego_radius: Annotated[int, Range(1, 3)]
    ego_degree: Count


@dataclass(frozen=True)
class TrainParams(Section):
    """One training stage."""

    max_steps: CountOrZero
    batch_size: Count
    grad_accumulation: Count
    lr: Positive
    query_lr: PositiveOrZero
    weight_decay: PositiveOrZero
    warmup_steps: CountOrZero
    min_lr_ratio: Share
    clip_grad_norm: Positive
    drop_question_vector: Share
    drop_hidden_query: Share
    gate_noise: PositiveOrZero
    rename_answers: Share
    retrieved_negatives: CountOrZero
    in_batch_negatives: CountOrZero
    lambda_gate: PositiveOrZero
    lambda_time: PositiveOrZero
    lambda_hop: PositiveOrZero
    lambda_path: PositiveOrZero
    path_margin: PositiveOrZero
    log_every: Count
    checkpoint_every: Count


@dataclass(frozen=True)
class TrainBParams(TrainParams):
    """Stage B: besides the knowledge modules, a part of the backbone learns."""

    backbone_lr: Positive
    lora_rank: CountOrZero
    lora_alpha: Positive
    lora_targets: Literal["auto"] | tuple[str, ...]
    unfreeze_top: CountOrZero


@dataclass(frozen=True)
class EvalParams(Section):
    """How much is measured."""

    adapter: Literal["trainA", "trainB"]
    batch_size: Count
    max_new_tokens: Count
    questions_per_type: Count
    baseline_questions_per_type: CountOrZero
    distractors: CountOrZero
    bootstrap_samples: Annotated[int, Range(2)]
    rag_sentences: tuple[Count, ...]
    ablations: Literal["all", "none"] | tuple[Ablation, ...]
    ablation_questions_per_type: Count


@dataclass(frozen=True)
class EvidenceParams(Section):
    """What `dump_evidence` writes and how many questions its interventions ask."""

    facts_per_hop: Count
    questions_per_type: Count
    tau_questions: Count


@dataclass(frozen=True)
class Params(Section):
    """The whole of `params.yaml`."""

    seed: Annotated[int, Range(0, 2**32 - 1)]
    threads: Count
    dataset: DatasetName
    start_from: Literal["scratch"] | DatasetName
    generate: GenerateParams
    convert: ConvertParams
    backbone: BackboneParams
    encoder: EncoderParams
    index: IndexParams
    selector: SelectorParams
    injection: InjectionParams
    trainA: TrainParams
    trainB: TrainBParams
    eval: EvalParams
    evidence: EvidenceParams


def load_params(path: Path = Path("params.yaml"), reads: Sequence[str] | None = None) -> Params:
    """Reads and checks the whole file.

    Args:
        path: the file.
        reads: the keys and sections a stage declares, as under `params:` in `dvc.yaml`. Reading
            any other leaf of the result raises `ParamsError`. None allows everything.

    Raises:
        ParamsError: all problems of the file in one message, or `reads` names no parameter.
    """
    path = Path(path)
    data, problems = parse_yaml(path)
    values: dict[str, Any] = {}
    params = build(Params, data, values, problems)
    for check, keys in _RULES:
        if all(key in values for key in keys):
            problems += check(*(values[key] for key in keys))
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ParamsError(f"{path} has {count}: {'; '.join(problems)}")
    if reads is not None:
        Tracker(Params, reads).watch(params)
    return cast(Params, params)


def _index_problems(method: str, pq_m: int, d_k: int) -> list[str]:
    problem = f"index.pq_m is {pq_m}, expected a divisor of encoder.d_k, which is {d_k}"
    return [problem] if method == "ivfpq" and d_k % pq_m else []


def _fetch_problems(top_k: int, over_fetch: int) -> list[str]:
    problem = f"selector.over_fetch is {over_fetch}, expected at least selector.top_k, {top_k}"
    return [problem] if over_fetch < top_k else []


def _warmup_problems(stage: str) -> Callable[[int, int], list[str]]:
    def check(max_steps: int, warmup_steps: int) -> list[str]:
        problem = f"{stage}.warmup_steps is {warmup_steps}, expected less than {stage}.max_steps, {max_steps}"
        return [problem] if 0 < max_steps <= warmup_steps else []

    return check


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


def _fold_problems(folds: int, fold: int) -> list[str]:
    return [] if fold < folds else [f"convert.fold is {fold}, expected less than convert.folds, {folds}"]


def _start_problems(dataset: str, start_from: str) -> list[str]:
    problem = f"start_from is {start_from!r}, the dataset itself; expected scratch or another dataset"
    return [problem] if dataset == start_from else []


# A rule is asked when all its keys are valid by themselves.
_RULES: tuple[tuple[Callable[..., list[str]], tuple[str, ...]], ...] = (
    (_start_problems, ("dataset", "start_from")),
    (_fold_problems, ("convert.folds", "convert.fold")),
    (_width_problems, ("encoder.d_k", "encoder.d_v", "encoder.d_ctx", "encoder.d_tau")),
    (_index_problems, ("index.method", "index.pq_m", "encoder.d_k")),
    (_fetch_problems, ("selector.top_k", "selector.over_fetch")),
    (_warmup_problems("trainA"), ("trainA.max_steps", "trainA.warmup_steps")),
    (_warmup_problems("trainB"), ("trainB.max_steps", "trainB.warmup_steps")),
)
