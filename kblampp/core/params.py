"""`params.yaml` as frozen pydantic models, checked as a whole before a stage starts.

To add a parameter, add a line to the file and a field to its section below: the field's type is its check.  Under
`params:` in `dvc.yaml` a stage declares what it reads, and gets those parameters and no others.
"""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from kblampp.core.errors import ParamsError

T = TypeVar("T")


def _as_tuple(value: Any) -> Any:
    if isinstance(value, list) and value and not any(item in value[:place] for place, item in enumerate(value)):
        return tuple(value)
    raise ValueError("a list of one or more distinct items")


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("a text that is not blank")
    return value


def _calendar_day(text: str) -> str:
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("expected a day as YYYY-MM-DD") from None


Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
PositiveOrZero = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, AfterValidator(_not_blank)]
IsoDay = Annotated[str, AfterValidator(_calendar_day)]
Distinct = Annotated[tuple[T, ...], BeforeValidator(_as_tuple)]
DatasetName = Literal["synth_world", "timeqa", "hotpotqa", "trex", "kblam", "yago", "custom", "base"]
AnswerStyle = Literal["short", "sentence"]
Layers = Literal["auto"] | Distinct[CountOrZero]
Ablation = Literal[
    "no_gamma",
    "no_eta",
    "no_copy_head",
    "no_hop",
    "no_question_vector",
    "no_hidden_query",
    "no_null_fact",
    "no_names",
    "no_lora",
]


class Section(BaseModel):
    """Base of every section; of a stage's parameters, those that the stage did not declare are not there."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)
    _place: str = PrivateAttr(default="")

    if not TYPE_CHECKING:  # for mypy, attributes are the fields and nothing else

        def __getattr__(self, name: str) -> Any:
            if name in type(self).model_fields:
                raise ParamsError(
                    f"{self._place}{name} is read, but not declared: add it to `params` of this stage in dvc.yaml"
                )
            return super().__getattr__(name)


class WorldParams(Section):
    """A knowledge base of its own, with questions."""

    facts: Count
    questions_per_type: Count


class DevParams(Section):
    """More questions about the training knowledge base."""

    questions_per_type: Count


class OpenParams(Section):
    """An open knowledge base, with questions of every kind; 0 of both is none."""

    facts: CountOrZero
    questions_per_kind: CountOrZero


class UnseenParams(OpenParams):
    """One that is never left out: training ends with it."""

    facts: Count
    questions_per_kind: Count


class GenerateParams(Section):
    """The synthetic worlds, the open bases and their questions."""

    train: WorldParams
    open: OpenParams
    dev: DevParams
    swap: WorldParams
    novel: WorldParams
    unseen: UnseenParams
    three_hop_share: Share
    timed_hop_share: Share
    max_answer_share: Annotated[float, Field(gt=0, le=1)]


class ConvertParams(Section):
    """Raw files to facts and questions."""

    max_samples: Count | None
    skip_bad: bool
    folds: Annotated[int, Field(ge=2)]
    fold: CountOrZero
    dev_share: Share
    template_questions: bool
    distractor_facts: bool
    oracle_facts: bool
    known_at: CountOrZero | Text | None


class BackboneParams(Section):
    """The frozen language model."""

    name: Text
    revision: Text | None
    dtype: Literal["float32", "bfloat16", "float16"]
    device: Text
    quantize: Literal["none", "int8", "nf4"]


class EncoderParams(Section):
    """Texts and windows to vectors."""

    model: Text
    d_k: Count
    d_v: Count
    d_ctx: Count
    d_tau: Count
    whitening: Share
    batch_size: Count
    store_dtype: Literal["float16", "float32"]


class EncodeParams(Section):
    """How the stage `encode` works; what it writes does not depend on it."""

    engine: Literal["local", "ray"]
    workers: Count


class TuneParams(Section):
    """Tuning of the encoder of relations and questions."""

    steps: CountOrZero
    batch_size: Count
    lr: Positive
    lora_rank: Count
    temperature: Positive


class IndexParams(Section):
    """Nearest-neighbour search over the keys."""

    engine: Literal["faiss", "milvus"]
    uri: Text | None
    factory: Text
    search: Text | None
    similarity: Literal["ip", "cosine"]
    min_recall_at_8: Share


class SelectorParams(Section):
    """Which facts a token weighs, and how."""

    top_k: CountOrZero
    gamma: PositiveOrZero
    eta: PositiveOrZero
    temperature: Positive
    over_fetch: CountOrZero
    as_of: IsoDay


class InjectionParams(Section):
    """Where and how knowledge enters the model; `layers` is "auto" or layer numbers from 0."""

    layers: Layers
    layer_path: Text | None
    d_context_score: Count
    d_fusion: Count
    copy_head: bool
    hop: bool
    ego_graph: bool
    ego_radius: Annotated[int, Field(ge=1, le=3)]
    ego_degree: Count


class TrainParams(Section):
    """One training stage."""

    max_steps: CountOrZero
    batch_size: Count
    grad_accumulation: Count
    gradient_checkpointing: bool
    lr: Positive
    query_lr: PositiveOrZero
    weight_decay: PositiveOrZero
    warmup_steps: CountOrZero
    min_lr_ratio: Share
    clip_grad_norm: Positive
    drop_question_vector: Share
    drop_hidden_query: Share
    question_noise: PositiveOrZero
    drop_words: Share
    query_pull: PositiveOrZero
    retrieved_negatives: CountOrZero
    in_batch_negatives: CountOrZero
    lambda_select: PositiveOrZero
    lambda_form: PositiveOrZero
    lambda_words: PositiveOrZero
    lambda_time: PositiveOrZero
    lambda_hop: PositiveOrZero
    lambda_path: PositiveOrZero
    path_margin: PositiveOrZero
    log_every: Count
    checkpoint_every: Count


class TrainAParams(TrainParams):
    """Stage A: the backbone is frozen, so that what its lower layers compute may be kept."""

    cache_states_gb: PositiveOrZero


class TrainBParams(TrainParams):
    """Stage B: besides the knowledge modules, a part of the backbone learns."""

    backbone_lr: Positive
    lora_rank: CountOrZero
    lora_alpha: Positive
    lora_targets: Literal["auto"] | Distinct[Text]
    unfreeze_top: CountOrZero


class AnswerParams(Section):
    """How an answer is given to people: no stage reads it."""

    style: AnswerStyle


class EvalParams(Section):
    """How much is measured."""

    adapter: Literal["trainA", "trainB"]
    batch_size: Count
    max_new_tokens: Count
    questions_per_type: Count
    baseline_questions_per_type: CountOrZero
    distractors: CountOrZero
    bootstrap_samples: Annotated[int, Field(ge=2)]
    rag_sentences: Distinct[Count]
    ablations: Literal["all", "none"] | Distinct[Ablation]
    ablation_questions_per_type: Count


class EvidenceParams(Section):
    """What `dump_evidence` writes and how many questions its interventions ask."""

    facts_per_hop: Count
    questions_per_type: Count
    leave_one_out_questions: Count


class Params(Section):
    """The whole of `params.yaml`."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    threads: Count
    dataset: DatasetName
    start_from: Literal["scratch", "kept"] | DatasetName
    generate: GenerateParams
    convert: ConvertParams
    backbone: BackboneParams
    encoder: EncoderParams
    encode: EncodeParams
    tune: TuneParams
    index: IndexParams
    selector: SelectorParams
    injection: InjectionParams
    trainA: TrainAParams
    trainB: TrainBParams
    answer: AnswerParams
    eval: EvalParams
    evidence: EvidenceParams


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
    values = dict(_flat(data))
    for check, keys in _RULES:  # a rule is asked when all its keys are valid by themselves
        if all(key in values and not any(key == b or key.startswith(f"{b}.") for b in bad) for key in keys):
            problems += check(*(values[key] for key in keys))
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


def _quantize_problems(quantize: str, max_steps: int, unfreeze_top: int) -> list[str]:
    problem = f"trainB.unfreeze_top is {unfreeze_top}, but backbone.quantize is {quantize}; expected 0, or none"
    return [problem] if quantize != "none" and max_steps and unfreeze_top else []


def of_start(start_from: str) -> str:
    """How to make what `start_from` names, said behind an error that ends with the stage to run."""
    return "and copy store/<dataset> to store/kept" if start_from == "kept" else f"with dataset: {start_from}"


def _start_problems(dataset: str, start_from: str) -> list[str]:
    problem = f"start_from is {start_from!r}, the dataset itself; expected scratch or another dataset"
    return [problem] if dataset == start_from else []


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
