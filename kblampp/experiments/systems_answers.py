"""All systems with one language model: which there are, and how each is asked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from kblampp.core.files import MANIFEST, read_manifest
from kblampp.core.params import Params
from kblampp.data.facts import UNANSWERABLE
from kblampp.encoding.encoders import Encoders
from kblampp.encoding.projections import PROJECTION, Projections
from kblampp.evaluation.baselines import answer_by_lookup, gold_among_others
from kblampp.evaluation.systems import Split
from kblampp.experiments.systems_asked import Rows
from kblampp.experiments.systems_kept import RAG, STAGE_A, STAGE_B, Kept, Said
from kblampp.model.checkpoint import KIND, load_trained, same_trained
from kblampp.model.lora import unload
from kblampp.model.predictor import Predictor
from kblampp.rag.adapter import RagAdapter, load_rag
from kblampp.rag.prompts import PromptStyle
from kblampp.transfer.measure import ask_model, style_on_unseen
from kblampp.transfer.phrase_lookup import phrase_lookup
from kblampp.transfer.prompted import SENTENCES, answer_prompted, answer_shown

logger = logging.getLogger(__name__)
MODEL, MODEL_B, LOOKUP, PHRASE_LOOKUP = "model", "model_b", "lookup", "phrase_lookup"
CLOSED_BOOK, IN_CONTEXT = "closed_book", "in_context"
BY_RAG: Mapping[str, int] = {f"rag_{n}": n for n in SENTENCES}
"""Systems that ask the backbone as it is with retrieved facts, and how many."""
BY_TRAINED_RAG: Mapping[str, int] = {f"trained_rag_{n}": n for n in SENTENCES}
"""Those that ask it with LoRA that has learnt to answer so."""
SYSTEMS = (MODEL, MODEL_B, LOOKUP, PHRASE_LOOKUP, CLOSED_BOOK, IN_CONTEXT, *BY_RAG, *BY_TRAINED_RAG)
"""All systems, in the order of the table."""
SHOWN = 4
"""Facts in a prompt with the gold ones; more only where there are more of these."""
Ask = Callable[[str, Split], Mapping[str, Said]]
"""What several systems say, by their names, to the questions about a base, given with its name."""


def left_out(params: Params, store: Path) -> dict[str, str]:
    """Systems that cannot be asked, and why.

    Raises:
        StoreError: A trained model is missing, or its manifest is damaged.
    """
    folder = store / params.dataset
    reasons: dict[str, str] = {}
    if not (folder / STAGE_B / MANIFEST).is_file() or same_trained(folder / STAGE_A, folder / STAGE_B):
        reasons[MODEL_B] = f"{STAGE_B} was not trained"
    elif _backbone(folder / STAGE_B) != _backbone(folder / STAGE_A):  # an older one: said before hours are spent
        reasons[MODEL_B] = f"{STAGE_B} was trained with another backbone"
    if not params.selector.top_k:
        reasons[LOOKUP] = "selector.top_k is 0"
    if not (folder / RAG / MANIFEST).is_file():
        reasons |= dict.fromkeys(BY_TRAINED_RAG, f"there is no {(folder / RAG).as_posix()}")
    return reasons


def _backbone(folder: Path) -> object:
    """What the manifest of a trained model says of its backbone."""
    return read_manifest(folder, KIND, verify="none", stage=folder.name).get("backbone")


def says_gold(split: Split) -> bool:
    """Whether all questions that have an answer say which facts give it; those of the dossiers do not."""
    return all(question.supporting_facts for question in split.encoded.questions if question.type != UNANSWERABLE)


@dataclass
class Asker:
    """Asks systems one after the other, each about all bases; what is kept is not asked again.

    Attributes:
        params: The parameters.
        data: Holds the questions by which it is chosen how the backbone is asked.
        store: Holds projections and what was trained.
        predictor: trainA's model.
        encoders: Those of `params.encoder`.
        rows: What is asked.
        wanted: The systems, of which none is left out.
        kept: Keeps what they say.
        choose: Questions of each kind by which it is chosen how the backbone is asked.
        rag: What was trained to answer from retrieved facts, once it was asked.
    """

    params: Params
    data: Path
    store: Path
    predictor: Predictor
    encoders: Encoders
    rows: Rows
    wanted: Sequence[str]
    kept: Kept
    choose: int
    rag: RagAdapter | None = None

    def ask_all(self) -> None:
        """Asks all that are wanted; afterwards the backbone is as it was before trainA's model was opened.

        Raises:
            KBLaMError: Something that was trained is damaged or does not fit, or no prompt is short enough.
        """
        predictor, folder = self.predictor, self.store / self.params.dataset
        if set(BY_TRAINED_RAG) & set(self.wanted):
            self.rag = load_rag(folder / RAG, predictor.backbone)  # before the rest, for it may be of another backbone
        self._fill((MODEL, LOOKUP), partial(self._by_model, MODEL, predictor))
        self._fill((PHRASE_LOOKUP,), self._by_phrase_lookup)
        for system, facts in {CLOSED_BOOK: 0, **BY_RAG}.items():
            self._fill((system,), partial(self._by_prompts, system, facts, lambda: self.style[0]))
        self._fill((IN_CONTEXT,), self._in_context, says_gold)
        if (rag := self.rag) is not None:
            with rag.attached():
                for system, facts in BY_TRAINED_RAG.items():
                    self._fill((system,), partial(self._by_prompts, system, facts, lambda: rag.style))
        unload(predictor.model)
        if MODEL_B in self.wanted:
            model = load_trained(folder / STAGE_B, predictor.backbone, Projections.load(folder / PROJECTION))
            self._fill((MODEL_B,), partial(self._by_model, MODEL_B, replace(predictor, model=model)))
            unload(model)

    @cached_property
    def style(self) -> tuple[PromptStyle, dict[str, float]]:
        """How the backbone is asked without training, and what each way was worth on `unseen`."""
        found = self.kept.style()
        if found is None:
            logger.info("how to ask with prompts is chosen by %d questions of each kind of unseen", self.choose)
            style, shares = style_on_unseen(self.params, self.data, self.store, self.predictor, self.choose)
            self.kept.put_style(str(style), shares)
            return style, shares
        return PromptStyle.parse(found[0]), found[1]

    def _fill(self, systems: Sequence[str], ask: Ask, of: Callable[[Split], bool] = lambda split: True) -> None:
        """Has the systems that one call asks say what they have not said yet, about all bases or some of them."""
        for base, split in (pair for splits in self.rows.values() for pair in splits.items() if of(pair[1])):
            missing = [each for each in systems if each in self.wanted and not self.kept.has(base, each)]
            if missing:
                logger.info("%s: %s, %d questions", base, ", ".join(missing), len(split.encoded))
                said = ask(base, split)
                for system in missing:
                    self.kept.put(base, system, said[system])

    def _by_model(self, name: str, predictor: Predictor, base: str, split: Split) -> dict[str, Said]:
        predictions = ask_model(base, split, predictor)
        said = {name: Said.of(predictions)}
        if predictor.options.top_k:
            said[LOOKUP] = Said.of(answer_by_lookup(predictions, split.base.store.facts))
        return said

    def _by_phrase_lookup(self, base: str, split: Split) -> dict[str, Said]:
        texts = phrase_lookup(split.base.store.facts, split.encoded, self.encoders.embed)
        return {PHRASE_LOOKUP: Said.in_words(texts, [0] * len(texts))}

    def _by_prompts(
        self, system: str, facts: int, style: Callable[[], PromptStyle], base: str, split: Split
    ) -> dict[str, Said]:
        return {system: Said.in_words(*answer_prompted(self.predictor, split, style(), facts))}

    def _in_context(self, base: str, split: Split) -> dict[str, Said]:
        facts, questions = split.base.store.facts, split.encoded.questions
        shown = gold_among_others(facts, questions, lambda gold: max(0, SHOWN - gold), self.params.seed)
        return {IN_CONTEXT: Said.in_words(*answer_shown(self.predictor, split, self.style[0], shown))}
