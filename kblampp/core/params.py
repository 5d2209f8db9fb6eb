"""The sections of `params.yaml` as frozen pydantic models, in the order of the stages that they are for.

To add a parameter, add a line to the file and a field to its section below: the field's type is its check
(`param_values`).  A rule over several sections stands in `param_rules`; `params_file` reads the file.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kblampp.core.param_values import (
    Count,
    CountOrZero,
    Distinct,
    IsoDay,
    Positive,
    PositiveOrZero,
    Section,
    Share,
    Text,
)

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


# What there is to ask about: the stage generate.


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


# The language model: the stage backbone, and all that load it.


class BackboneParams(Section):
    """The frozen language model."""

    name: Text
    revision: Text | None
    dtype: Literal["float32", "bfloat16", "float16"]
    device: Text
    quantize: Literal["none", "int8", "nf4"]


# The encoder of facts and questions: the stages tune and encode.


class TuneParams(Section):
    """Tuning of the encoder of relations and questions."""

    steps: CountOrZero
    batch_size: Count
    lr: Positive
    lora_rank: Count
    temperature: Positive


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


# Search: the stage index.


class IndexParams(Section):
    """Nearest-neighbour search over the keys."""

    engine: Literal["faiss", "milvus"]
    uri: Text | None
    factory: Text
    search: Text | None
    similarity: Literal["ip", "cosine"]
    min_recall_at_8: Share


# What is trained, and how: the stages trainA and trainB.


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


# How facts are chosen and answers measured: the stages eval, transfer and dump_evidence.


class SelectorParams(Section):
    """Which facts a token weighs, and how."""

    top_k: CountOrZero
    gamma: PositiveOrZero
    eta: PositiveOrZero
    temperature: Positive
    over_fetch: CountOrZero
    as_of: IsoDay


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


# How people are answered: no stage.


class AnswerParams(Section):
    """How an answer is given to people."""

    style: AnswerStyle


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


def of_start(start_from: str) -> str:
    """How to make what `start_from` names, said behind an error that ends with the stage to run."""
    return "and copy store/<dataset> to store/kept" if start_from == "kept" else f"with dataset: {start_from}"
