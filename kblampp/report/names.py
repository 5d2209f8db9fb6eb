"""How things are shown: label, order and colour of systems, question types, splits, reasons, losses and figures.

Keys are the ids that the stages write.  The order of a mapping is that of rows, columns, bars and lines, in tables and
images alike.  To show something new, add its line here; a test says which ids have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

BLUE, ORANGE, GREEN, PURPLE, SKY, GREY, INK = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#999999", "#333333",
)  # fmt: skip
"""Colours that colour-blind people tell apart (Okabe and Ito 2008, "Color Universal Design")."""
NAVY, PALE_ORANGE, DEEP_ORANGE, FAINT_ORANGE, LIGHT_GREY = "#003B5C", "#f6cfa8", "#c98b4a", "#fbe3cd", "#e6e6e6"
"""Shades of them, for what stands behind or beside."""


@dataclass(frozen=True)
class Name:
    """How one thing is shown.

    Attributes:
        label: In tables, and in images where it is short enough.
        colour: In images.
        short: The label in the legend of an image; of systems alone.
    """

    label: str
    colour: str = INK
    short: str = ""


MODELS = ("stage_a", "stage_b")
RAG = "rag_{}"
"""One system for each number of sentences: `rag_1`, `rag_4`, …"""
SYSTEMS: Mapping[str, Name] = {
    "stage_a": Name("KBLaM++ (Stage A)", BLUE, "KBLaM++ A"),
    "stage_b": Name("KBLaM++ (Stage B)", SKY, "KBLaM++ B"),
    "lookup": Name("lookup: tail of the top fact, no language model", GREEN, "lookup, no LM"),
    RAG: Name("RAG: top {} by dense retrieval", PURPLE, "RAG {}"),
    "in_context": Name("in context: gold + distractors", ORANGE, "in context"),
    "closed_book": Name("closed book", GREY, "closed book"),
}
"""Models and baselines; `systems` gives those that were measured."""
RAG_COLOURS = {8: "#8F4A70", 4: PURPLE, 0: "#E3B7CE"}
"""Least number of sentences -> colour: the more, the darker."""

ABLATION_NAMES: Mapping[str, str] = {
    "no_gamma": "no context score (γ = 0)",
    "no_eta": "no time score and filter (η = 0)",
    "no_copy_head": "no copy head",
    "no_hop": "no hop",
    "no_question_vector": "no question vector",
    "no_hidden_query": "no query from the hidden state",
    "no_null_fact": "no null fact",
    "no_names": "no comparison of names by their letters",
    "no_lora": "no LoRA",
}

TYPE_NAMES: Mapping[str, Name] = {
    "single_hop": Name("single-hop", BLUE),
    "temporal": Name("temporal", ORANGE),
    "two_hop": Name("2-hop", GREEN),
    "three_hop": Name("3-hop", PURPLE),
    "unanswerable": Name("unanswerable", GREY),
}
"""Question types of which each question has one."""
GROUPS: Mapping[str, str] = {"multi_hop": "multi-hop", "answerable": "all answerable", "all": "all"}
"""Several types together."""

SPLITS: Mapping[str, Name] = {
    "dev": Name("dev", GREY),
    "swap": Name("swap", BLUE),
    "novel": Name("novel", ORANGE),
    "test": Name("test", BLUE),
    "test_hard": Name("test_hard", ORANGE),
}
"""`swap` and `novel` are of the worlds, `test` and `test_hard` of converted datasets: no image shows all of them."""
WORLDS = ("swap", "novel")
"""Splits about worlds that are new to the model; `dev` asks about the base that it was trained on."""

TRANSFER_SYSTEMS: Mapping[str, str] = {
    "model": "**KBLaM++**",
    "lookup": "lookup",
    "phrase_lookup": "phrase lookup",
    "closed_book": "closed book",
    "rag_1": "RAG, 1 fact",
    "rag_4": "RAG, 4 facts",
    "rag_8": "RAG, 8 facts",
}
"""Of the bases that nobody trained on; there is one model, that of `eval.adapter`."""
COMPARED: Mapping[str, str] = {
    "model": "**KBLaM++ (Stage A)**",
    "model_b": "**KBLaM++ (Stage B)**",
    "lookup": TRANSFER_SYSTEMS["lookup"],
    "phrase_lookup": TRANSFER_SYSTEMS["phrase_lookup"],
    "closed_book": TRANSFER_SYSTEMS["closed_book"],
    "in_context": "in context, gold facts among 4",
    **{name: TRANSFER_SYSTEMS[name] for name in ("rag_1", "rag_4", "rag_8")},
    **{f"trained_{name}": f"trained {TRANSFER_SYSTEMS[name]}" for name in ("rag_1", "rag_4", "rag_8")},
}
"""All systems with one language model, asked the same questions."""
TRANSFER_GROUPS: Mapping[str, str] = {
    "facts": "tail, temporal, current",
    "steps": "first/last, before/after, when, inverse, two hops",
    "sets": "yes/no, list, count",
    "unanswerable_refused": "unanswerable refused",
    "answerable_not_refused": "answerable not refused",
}
KIND_NAMES: Mapping[str, str] = {
    "tail": "tail",
    "temporal": "temporal",
    "current": "current",
    "first_last": "first/last",
    "before_after": "before/after",
    "when": "when",
    "inverse": "inverse",
    "yes_no": "yes/no",
    "list": "list",
    "count": "count",
    "two_hop": "two hops",
    "unanswerable": "unanswerable",
}
"""Kinds of question that people ask."""

TRANSFER_ASKED: Mapping[str, str] = {
    "full": "the whole model",
    "no_names": ABLATION_NAMES["no_names"],
    "no_time_order": "no places in a row in time",
    "no_forms": "every answer a plain name: no dates, lists, counts, yes or no",
    "no_hop": ABLATION_NAMES["no_hop"],
    "no_null": "never refuses",
    "no_context": ABLATION_NAMES["no_gamma"],
}
"""Parts that are switched off, without training, where unseen bases are asked."""
TRANSFER_TRAINED: Mapping[str, str] = {
    "full": "everything",
    "plain_encoder": "one encoder as it comes: relations not tuned",
    "worlds_alone": "no open bases in training",
    "no_pull": "queries not held to their start",
}
"""What is changed before a training of its own."""

REASONS: Mapping[str, str] = {
    "unknown_head": "unknown head",
    "missing_relation": "missing relation",
    "wrong_time": "wrong time",
}
"""Why a question has no answer."""

LOSSES: Mapping[str, Name] = {
    "loss": Name("total", INK),
    "answer_loss": Name("answer", BLUE),
    "form_loss": Name("form", NAVY),
    "words_loss": Name("own words", GREY),
    "select_loss": Name("select", ORANGE),
    "time_loss": Name("time", GREEN),
    "hop_loss": Name("hop", SKY),
    "path_loss": Name("path", PURPLE),
}

FIGURES: Mapping[str, str] = {
    "em": "EM",
    "f1": "F1",
    "recall_at_1": "recall@1",
    "recall_at_8": "recall@8",
    "support_recall_at_8": "support recall@8",
    "time_accuracy": "time accuracy",
    "prompt_tokens": "prompt tokens",
    "auroc": "AUROC",
}
"""Of the evaluation's table."""
REFUSALS: Mapping[str, str] = {
    "em_answerable": "EM, answerable",
    "refusal_precision": "refusal precision",
    "refusal_recall": "recall",
    "refusal_f1": "F1",
    "accuracy": "accuracy",
    "aurc": "AURC",
    "ece": "ECE",
}
"""Columns of the table of abstention; recall and F1 stand right of refusal precision and are of refusals too."""

DATASETS: Mapping[str, str] = {"timeqa": "TimeQA", "hotpotqa": "HotpotQA"}
"""Real datasets whose results are shown."""
SWEPT = ("selector.top_k", "encoder.d_k", "encoder.d_v", "injection.layers", "injection.ego_graph")
"""Parameters that are swept."""


def systems(found: Iterable[str]) -> dict[str, Name]:
    """Models and baselines among the systems found, in their order; of RAG the one with most sentences first."""
    known = set(found)
    shown: dict[str, Name] = {}
    for system, name in SYSTEMS.items():
        if system == RAG:
            for n in sorted((int(other[4:]) for other in known if re.fullmatch(r"rag_\d+", other)), reverse=True):
                colour = next(colour for least, colour in RAG_COLOURS.items() if n >= least)
                shown[RAG.format(n)] = Name(name.label.format(n), colour, name.short.format(n))
        elif system in known:
            shown[system] = name
    return shown


def splits_in_order(found: Iterable[str]) -> list[str]:
    """The splits found, those of `SPLITS` first and others as they come."""
    names = list(dict.fromkeys(found))
    return [*(split for split in SPLITS if split in names), *(split for split in names if split not in SPLITS)]


def split_name(split: str) -> Name:
    """How a split is shown; one that is not in `SPLITS` as itself."""
    return SPLITS.get(split, Name(split))


def questions_of(dataset: str, split: str) -> str:
    """How the questions of one split of a real dataset are called: "TimeQA (hard)"."""
    return DATASETS[dataset] + (" (hard)" if split == "test_hard" else "")


def sweeps_in_order(done: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Results by parameter and value, parameters as in `SWEPT` and values by the numbers in them: [3], [2,4], [2,3,4].

    In the file their names are sorted as texts.
    """

    def place(value: str) -> tuple[int, list[float], str]:
        numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", value)]
        return len(numbers), numbers, value

    parameters = [*(name for name in SWEPT if name in done), *(name for name in done if name not in SWEPT)]
    return {name: {value: done[name][value] for value in sorted(done[name], key=place)} for name in parameters}
