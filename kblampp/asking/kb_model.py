"""The trained model as a person uses it: opened with one call, asked about a living base."""

from __future__ import annotations

import datetime
import itertools
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from kblampp.asking.asked import Asked
from kblampp.asking.reader import Reader
from kblampp.asking.replies import Reply
from kblampp.asking.wording import in_a_sentence
from kblampp.base.knowledge_base import KnowledgeBase
from kblampp.core.arguments import text_of
from kblampp.core.errors import DataError, StoreError
from kblampp.core.files import MANIFEST
from kblampp.core.params import AnswerStyle, Params
from kblampp.core.params_file import load_params
from kblampp.data.facts import UNKNOWN_ANSWER
from kblampp.encoding.encoders import Encoders, load_encoders
from kblampp.encoding.projections import PROJECTION, Projections
from kblampp.model.checkpoint import load_trained
from kblampp.model.predictor import Prediction, Predictor
from kblampp.model.prompts import closed_book_prompt
from kblampp.model.workspace import backbone_of, selector_options
from kblampp.sentences.chooser import Chooser
from kblampp.snapshots.compaction import Compactor
from kblampp.snapshots.fact_encoder import FactEncoder
from kblampp.snapshots.snapshot import Snapshot
from kblampp.time_expressions.parse import read_time

HOME = Path(__file__).resolve().parents[2]
"""The repository that the package was installed from: its `params.yaml` and `store` hold the trained model."""
KEPT, KEPT_FACTS = 4, 100_000
"""States of bases that are kept ready, and most facts of all of them but the one that is asked."""


class KBModel:
    """A trained model; one thread asks it at a time.

    Attributes:
        name: The language model and the adapter.
        reader: What asks it.
        encoder: Makes the vectors of facts.
        style: Whether sentences are written where a question does not say.
    """

    def __init__(self, reader: Reader, encoder: FactEncoder, name: str, style: AnswerStyle = "short") -> None:
        """From its parts; use `open`."""
        self.name, self.style = name, style
        self.reader = reader
        self.encoder = encoder
        self._snapshots: OrderedDict[str, Snapshot] = OrderedDict()
        self._compactor = Compactor(encoder)

    @classmethod
    def open(cls, folder: Path | str | None = None, *, adapter: Path | str | None = None) -> KBModel:
        """Opens the trained model of a repository.

        Args:
            folder: Of the repository, with `params.yaml` and `store`; None for that of the package.
            adapter: Folder of other trained modules, beside which their `projection` lies.

        Raises:
            KBLaMError: Something is missing, damaged, or does not fit the others.
        """
        params, trained, encoder = _trained(folder, adapter)
        backbone = backbone_of(params.backbone)
        model = load_trained(trained, backbone, encoder.projections)
        settings = params.eval
        predictor = Predictor(model, backbone, selector_options(params), settings.batch_size, settings.max_new_tokens)
        return cls(
            Reader(predictor, encoder.encoders),
            encoder,
            f"kblampp-{params.backbone.name.replace('/', '-')}-{trained.name}",
            params.answer.style,
        )

    @staticmethod
    def open_encoder(folder: Path | str | None = None, *, adapter: Path | str | None = None) -> FactEncoder:
        """What makes the vectors that the model of `open` reads, without the language model.

        Raises:
            KBLaMError: As `open`.
        """
        return _trained(folder, adapter)[2]

    def answer(self, base: KnowledgeBase, question: str, **asked: Any) -> Reply:
        """Answers one question; `asked` are the other fields of `Asked`."""
        return self.ask(base, [Asked(question, **asked)])[0]

    def ask(self, base: KnowledgeBase, asked: Sequence[Asked]) -> list[Reply]:
        """Answers questions; those about one state of the base and one day are read together.

        Raises:
            DataError: A question is empty or no text, names a state that the base has not had, or `base` is none.
        """
        _check_base(base)
        for each in asked:
            if not text_of(each.question, "a question", "Who led Silver Harbor in 2012?").strip():
                raise DataError("a question is empty: ask something")
        now = base.version
        today = datetime.date.today().toordinal()
        states = [
            (now if each.known_at is None else base.known(each.known_at), each.today or today, each.top)
            for each in asked
        ]
        replies: dict[int, Reply] = {}
        order = sorted(range(len(asked)), key=states.__getitem__)
        for (version, day, top), group in itertools.groupby(order, key=states.__getitem__):
            places = list(group)
            questions = [asked[place].question for place in places]
            replies |= zip(places, self._ask(self.snapshot(base, version), questions, day, top), strict=True)
        return [self._styled(replies[place], each.style or self.style) for place, each in enumerate(asked)]

    def _styled(self, reply: Reply, style: AnswerStyle) -> Reply:
        return in_a_sentence(reply, Chooser(self.reader.predictor.backbone)) if style == "sentence" else reply

    def _ask(self, state: Snapshot, questions: Sequence[str], today: int, top: int) -> list[Reply]:
        if state.base is None:
            return [_of_nothing(question, today, state.version) for question in questions]
        return self.reader.ask(state.base, questions, top=top, today=today, ids=state.id_column, version=state.version)

    def generate(self, base: KnowledgeBase, question: str, **options: Any) -> str:
        """Answers with Hugging Face's `generate`, which takes any `options`: `do_sample`, `num_beams`, `streamer` ….

        Raises:
            DataError: The base is empty, so there is nothing to read, `base` is none, or the question is no text.
        """
        _check_base(base)
        text_of(question, "a question", "Who led Silver Harbor in 2012?")
        state = self.snapshot(base, base.version)
        if state.base is None:
            raise DataError(f"{base.path} holds no fact: add some first")
        predictor, tokenizer = self.reader.predictor, self.reader.predictor.backbone.tokenizer
        today = datetime.date.today().toordinal()
        _, encoded = self.reader.encode([question], today)
        knowledge = replace(
            predictor.knowledge(state.base, encoded, [0]), options=self.reader.options(state.base, today)
        )
        prompt = tokenizer([closed_book_prompt(question)], return_tensors="pt").to(predictor.backbone.model.device)
        settings = {
            "max_new_tokens": predictor.max_new_tokens,
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        }
        with torch.no_grad():
            ids, _ = predictor.model.generate(
                prompt["input_ids"],
                prompt["attention_mask"],
                tokenizer=tokenizer,
                knowledge=knowledge,
                **settings | options,
            )
        return str(tokenizer.decode(ids[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)).strip()

    def count_tokens(self, text: str) -> int:
        """How many tokens the language model makes of a text."""
        return len(self.reader.predictor.backbone.tokenizer(text)["input_ids"])

    def snapshot(self, base: KnowledgeBase, version: int) -> Snapshot:
        """A state of a base, ready to be read."""
        place = base.token(version) or "before the first call"
        if place not in self._snapshots:
            device = str(self.reader.predictor.backbone.model.device)
            own = [state for token, state in self._snapshots.items() if base.token(state.version) == token]
            compact = self._compactor.take(base)
            if compact is not None:  # the switch: from here on states are made of the new segment
                own = [compact]
            if own:  # what differs from the nearest state is less work than all
                nearest = min(own, key=lambda state: abs(state.version - version))
                self._snapshots[place] = nearest.moved(base, self.encoder, version, device)
            else:
                self._snapshots[place] = Snapshot.of(base, self.encoder, version, device)
        self._snapshots.move_to_end(place)
        while len(self._snapshots) > KEPT or self._facts_kept() > KEPT_FACTS:
            self._snapshots.popitem(last=False)
        state = self._snapshots[place]
        self._compactor.look_at(base, state)
        state.read_from(base)  # it may have been made from a base that was closed since
        return state

    def _facts_kept(self) -> int:
        return sum(state.n for state in list(self._snapshots.values())[:-1])


def _check_base(base: object) -> None:
    if not isinstance(base, KnowledgeBase):
        raise DataError(
            f"the base is {str(base)[:60]!r} ({type(base).__name__}): expected a knowledge base; open its folder with "
            "KnowledgeBase.open(...) and pass the result"
        )


def _trained(folder: Path | str | None, adapter: Path | str | None) -> tuple[Params, Path, FactEncoder]:
    """Parameters, trained modules and the encoder of facts, of a repository."""
    home = HOME if folder is None else Path(folder)
    if not (home / "params.yaml").is_file():
        raise StoreError(
            f"{home} holds no params.yaml, so there is no trained model: name the folder of a clone of the repository "
            "(--model on the command line)"
        )
    params, store = load_params(home / "params.yaml"), home / "store"
    torch.set_num_threads(params.threads)
    trained = find_adapter(params, store, params.dataset) if adapter is None else Path(adapter)
    projections = Projections.load(trained.parent / PROJECTION)
    return params, trained, FactEncoder(matching_encoders(projections, store, trained.parent), projections)


def find_adapter(params: Params, store: Path, dataset: str) -> Path:
    """The dataset's own trained modules, or those that it starts from.

    Raises:
        StoreError: There are none.
    """
    own = store / dataset / params.eval.adapter
    if (own / MANIFEST).is_file():
        return own
    if params.start_from in ("scratch", dataset):
        raise StoreError(
            f"{own} does not exist, and start_from is {params.start_from}, so there is no trained adapter to ask with: "
            "train one (`dvc repro`), or run `dvc repro index` with start_from: synth_world"
        )
    return store / params.start_from / params.eval.adapter


def matching_encoders(projections: Projections, store: Path, folder: Path) -> Encoders:
    """The encoders that the projections in `folder` were fitted on.

    Raises:
        StoreError: The tuned one is another by now, or missing.
    """
    encoders = load_encoders(projections.encoder_name, store)
    if encoders.fingerprint != projections.encoder_fingerprint:
        raise StoreError(
            f"encoder {encoders.name} is {encoders.fingerprint[:12]}, but {folder / PROJECTION} was made with "
            f"{projections.encoder_fingerprint[:12]}; run `dvc repro encode`"
        )
    return encoders


def _of_nothing(question: str, today: int, version: int) -> Reply:
    """What is said about a base without facts."""
    time = read_time(question, today)
    said = Prediction(UNKNOWN_ANSWER, sources=())
    return Reply(question, said.text, (), False, time.window, time.problem, (), None, {}, today, version)
