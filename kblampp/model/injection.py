"""Knowledge inside a decoder-only model: forward hooks on its layers, and answers that are copied from facts.

The forward pass, put together by the hook `_on_layer` at each injected layer: `query.py` makes the question's query
from the hidden state where its answer starts, `selector.py` finds and weighs facts, `fusion.py` adds what they say to
every token's hidden state.  After the last injected layer the copy gate is read; from it, the facts of that layer and
what the question asks for (`question_reader.py`), `answers.py` makes the possible answers, and `decoding.py` mixes them
with the backbone's own words.

`KBInjectedModel` owns the backbone and the added modules, adds nothing to the backbone's own tree and patches nothing,
so that any Hugging Face decoder works and `detach` leaves it as it was.  What a call reads (`Knowledge`) lives in a
context manager.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.hooks import RemovableHandle
from transformers import LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerBase

from kblampp.backbone.decoder_layers import find_decoder_layers, hidden_size, resolve_layers
from kblampp.core.errors import BackboneError, CheckpointError
from kblampp.encoding.projections import Projections
from kblampp.model.answer_kinds import AnswerKinds, AskedKinds
from kblampp.model.answers import Answer, answers
from kblampp.model.cues import heeding
from kblampp.model.decoding import AnswerProcessor
from kblampp.model.fusion import KBFusionLayer, normalise
from kblampp.model.inputs import Knowledge
from kblampp.model.question_reader import QuestionReader, Reading
from kblampp.model.selector import KBSelector, Selection
from kblampp.model.text_hashes import WORD_BUCKETS

Layers = Literal["auto"] | tuple[int, ...]


@dataclass
class CallState:
    """What the hooks of one call have seen, layer by layer.

    Attributes:
        knowledge: What the call reads.
        start: Position of the token that writes the first of the answer, (batch,); None for the last of the sequence.
        reading: What the questions ask for.
        kinds: Of which kinds their answers have to be; None where that does not count.
        silent: Rows that ask nothing, (batch,), into which nothing is read; None where each asks something.
        selections: By injected layer; made when the prompt is read, and kept while the answer is written.
        beta: Fusion gates by injected layer, of the latest forward pass, (batch, seq).
        copy_gate: lambda, (batch,).
    """

    knowledge: Knowledge
    start: Tensor | None = None
    reading: Reading | None = None
    kinds: AskedKinds | None = None
    silent: Tensor | None = None
    selections: dict[int, Selection] = field(default_factory=dict)
    beta: dict[int, Tensor] = field(default_factory=dict)
    copy_gate: Tensor | None = None

    def answers(self) -> list[list[Answer]]:
        """The possible answers to each question from the facts, the one to be said first.

        Raises:
            BackboneError: The backbone ran without its decoder layers.
        """
        reading, gate = self.read()
        last = self.selections[max(self.selections)]
        knowledge = self.knowledge.expand(len(last.ids))
        gate = gate if knowledge.options.copy_head else torch.zeros_like(gate)
        base, windows, options = knowledge.base, knowledge.questions.windows, knowledge.options
        return answers(
            base,
            last,
            reading,
            windows,
            gate,
            knowledge.withheld,
            options.as_of,
            in_forms=options.forms,
            in_time=options.eta > 0,
        )

    def own_words(self) -> list[float]:
        """Probability that each question is answered in the model's own words, 1 - lambda."""
        _, gate = self.read()
        return [1.0] * len(gate) if not self.knowledge.options.copy_head else (1.0 - gate.double()).tolist()

    def read(self) -> tuple[Reading, Tensor]:
        """What the questions ask for, and lambda, (batch,).

        Raises:
            BackboneError: The backbone ran without its decoder layers.
        """
        if self.reading is None or self.copy_gate is None:
            raise BackboneError("the backbone ran without its decoder layers, so there is nothing to answer from")
        return self.reading, self.copy_gate


@dataclass(frozen=True)
class KBOutput:
    """Result of a forward pass.

    Attributes:
        logits: The backbone's own, (batch, seq, vocabulary), or (n, vocabulary) at the places asked for.
        state: Selections and gates; None with knowledge off.
    """

    logits: Tensor
    state: CallState | None


class KBInjectedModel(nn.Module):
    """A frozen backbone that reads a knowledge base at some of its layers.

    Args:
        backbone: Any decoder-only causal language model.
        layers: Decoder layers after which knowledge enters, from 0, or "auto" (`decoder_layers.resolve_layers`).
        dims: Widths by name: d_sentence, d_k, d_v, d_ctx, d_ent, d_rel.
        d_context_score: Features of the context score.
        d_fusion: Hidden width of the fusion MLP.
        ego_graph, ego_radius, ego_degree: Whether and how far the facts around the selected ones are read.
        layer_path: Where the decoder layers are, for an architecture in which the rule does not find them.

    Raises:
        BackboneError: The decoder layers are not found, or a layer does not exist.
    """

    def __init__(
        self,
        backbone: PreTrainedModel,
        layers: Layers,
        *,
        dims: dict[str, int],
        d_context_score: int,
        d_fusion: int,
        layer_path: str | None = None,
        ego_graph: bool = False,
        ego_radius: int = 1,
        ego_degree: int = 8,
    ) -> None:
        super().__init__()
        self._decoder = [find_decoder_layers(backbone, layer_path)]  # in a list, so that it is no submodule of this one
        self.layers = resolve_layers(layers, len(self._decoder[0]))
        ego: dict[str, Any] = {"ego_graph": ego_graph, "ego_radius": ego_radius, "ego_degree": ego_degree}
        self.config = {
            "layers": list(self.layers),
            "layer_path": layer_path,
            "dims": dict(dims),
            "d_context_score": d_context_score,
            "d_fusion": d_fusion,
            **ego,
        }
        self.backbone = backbone.requires_grad_(False)
        width = hidden_size(backbone)
        self.selectors = nn.ModuleList(
            KBSelector(
                d_hidden=width,
                d_context_score=d_context_score,
                hops=position > 0,
                last=position == len(self.layers) - 1,
                **(ego | dims),
            )
            for position in range(len(self.layers))
        )
        self.fusions = nn.ModuleList(KBFusionLayer(width, dims["d_v"], d_fusion) for _ in self.layers)
        self.reader = QuestionReader(width, dims["d_sentence"])
        self.copy_gate = nn.Linear(width, 1)
        nn.init.zeros_(self.copy_gate.weight)
        nn.init.constant_(self.copy_gate.bias, 3.0)  # copy unless taught otherwise: also after words never seen
        self.kinds = AnswerKinds(dims["d_sentence"], dims["d_ent"], dims["d_rel"], WORD_BUCKETS)
        self._handles: list[RemovableHandle] = []
        self._state: CallState | None = None
        self._recomputing = False
        self.attach()

    @property
    def context_share(self) -> float:
        """How much of the context scores, as trained, counts (`training.calibration`)."""
        return cast(KBSelector, self.selectors[0]).context.share

    @context_share.setter
    def context_share(self, share: float) -> None:
        for selector in self.selectors:
            cast(KBSelector, selector).context.share = share

    def attach(self) -> None:
        """Registers the hooks.

        Raises:
            BackboneError: They are registered already.
        """
        if self._handles:
            raise BackboneError("the model is attached already; call detach() before attach()")
        for position, layer in enumerate(self.layers):
            self._handles.append(self._decoder[0][layer].register_forward_hook(partial(self._on_layer, position)))

    def detach(self) -> None:
        """Removes the hooks, and no others; the backbone is as it was before."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def start_from(self, projections: Projections, questions: Tensor) -> None:
        """Starts every layer's queries and context scores as the projections; see `KBSelector.start_from`."""
        for selector in self.selectors:
            cast(KBSelector, selector).start_from(projections, questions)

    @torch.no_grad()
    def silence_hidden(self) -> None:
        """Nothing reads the hidden state until it has learned to, as after `load_adapter` around another backbone."""
        for name, parameter in self.added_parameters().items():
            if name.endswith(".from_hidden.weight") and not name.startswith("fusions."):
                parameter.zero_()  # a fusion is silent by its output, and would learn nothing with both at zero

    def added_parameters(self) -> dict[str, nn.Parameter]:
        """Every parameter that is not the backbone's, by name; those of `KBQuery.names` never learn."""
        return {name: p for name, p in self.named_parameters() if not name.startswith("backbone.")}

    @contextmanager
    def reading(self, knowledge: Knowledge | None, start: Tensor | None = None) -> Iterator[CallState | None]:
        """Within it, forward passes of the backbone read `knowledge`; None, or `top_k` 0, is knowledge off.

        Args:
            knowledge: What to read.
            start: See `CallState`.

        Raises:
            BackboneError: Entered twice.
        """
        if self._state is not None:
            raise BackboneError("a knowledge context is open already; leave it before entering another")
        if knowledge is not None and knowledge.enabled:
            if not self._handles:
                raise BackboneError("the model is detached, so it cannot read knowledge; call attach() first")
            knowledge.options.check(knowledge.base.store.n, knowledge.base.store.name)
            self._state = CallState(knowledge, start)
        try:
            yield self._state
        finally:
            self._state = None

    @contextmanager
    def recomputing(self, on: bool = True) -> Iterator[None]:
        """Within it, a pass keeps of each decoder layer what enters it; the backward pass computes the layer once more.

        Gradient checkpointing: less memory for more time, and the same losses and gradients.  The hooks stay outside of
        what is computed again, so that facts are selected once.  It is done here and not by transformers, which would
        ask for layers in training mode, with their dropout, and knows how for some architectures only.

        Args:
            on: False changes nothing.
        """
        if not on:
            yield
            return
        own = [(layer, layer.__dict__.get("forward")) for layer in self._decoder[0]]
        for layer, _ in own:
            layer.__dict__["forward"] = partial(checkpoint, layer.forward, use_reentrant=False)
        self._recomputing = True
        try:
            yield
        finally:
            self._recomputing = False
            for layer, forward in own:
                del layer.__dict__["forward"]
                if forward is not None:
                    layer.__dict__["forward"] = forward

    # A compiled backbone is left here and entered again: what reads a knowledge base is Python and Faiss.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _on_layer(self, position: int, _module: nn.Module, _args: Any, output: Any) -> Any:
        state = self._state
        if state is None:
            return output
        hidden = output[0] if isinstance(output, tuple) else output
        if not isinstance(hidden, Tensor) or hidden.dim() != 3:
            raise BackboneError(
                f"decoder layer {self.layers[position]} returned {type(hidden).__name__}, expected hidden states "
                "(batch, seq, hidden) or a tuple that begins with them; this architecture is not supported"
            )
        # Query, selection and fusion read the hidden state as the backbone's layer has left it.
        read = normalise(hidden)
        if position not in state.selections:  # the prompt is read; what writes the answer keeps to it
            self._select(position, state, read)
        delta, beta = self.fusions[position](read, state.selections[position].value)
        if state.silent is not None:
            delta = delta.masked_fill(state.silent[:, None, None], 0)
        hidden = hidden + delta.to(hidden.dtype)
        state.beta[position] = beta
        if position == len(self.layers) - 1 and state.copy_gate is None:  # it alone also reads what the layer has added
            state.copy_gate = torch.sigmoid(self.copy_gate(_at(normalise(hidden), state.start))).flatten()
            if state.silent is not None:
                state.copy_gate = state.copy_gate.masked_fill(state.silent, 0)
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    def _select(self, position: int, state: CallState, read: Tensor) -> None:
        """What the questions ask for, once, and what they select at a layer."""
        knowledge, here = state.knowledge.expand(len(read)), _at(read, state.start)
        if state.reading is None:
            questions, training = knowledge.questions, knowledge.training
            asks = questions.asks
            state.silent = None if bool(asks.all()) else ~asks
            vectors = questions.vectors * float(knowledge.options.question_vector)
            rows = None if training is None else training.read_hidden
            if training is not None and training.question_noise is not None:
                vectors = vectors + training.question_noise
            state.reading = self.reader(here[:, 0], vectors, questions.windows, questions.words, rows)
            if training is None:
                state.reading = heeding(state.reading, questions.cues)
                if knowledge.options.answer_kinds and self.kinds.fitted:
                    state.kinds = self.kinds.asked(knowledge, state.reading)
        previous = state.selections.get(position - 1)
        selector = self.selectors[position]
        state.selections[position] = selector(here, knowledge, previous, state.reading, position, state.kinds)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        knowledge: Knowledge | None = None,
        answer_start: Tensor | None = None,
        logits_at: tuple[Tensor, Tensor] | None = None,
        **kwargs: Any,
    ) -> KBOutput:
        """One pass over whole sequences.

        Args:
            input_ids: (batch, seq).
            attention_mask: (batch, seq).
            knowledge: What to read; None for the backbone alone.
            answer_start: Position of the answer's first token, (batch,): facts are selected at the position before;
                without it at the last one.
            logits_at: Rows and columns of the tokens whose logits are wanted, (n,) each; None for all.
            **kwargs: For the backbone's forward.
        """
        if self._recomputing:  # a layer that runs twice would fill the cache twice
            kwargs["use_cache"] = False
        start = None if answer_start is None else answer_start - 1
        with self.reading(knowledge, start) as state, self._output_layer_at(logits_at) as applied:
            logits = self.backbone(input_ids=input_ids, attention_mask=attention_mask, **kwargs).logits
        if logits_at is not None:
            logits = logits[0] if applied else logits[logits_at]
        return KBOutput(logits, state)

    @contextmanager
    def _output_layer_at(self, places: tuple[Tensor, Tensor] | None) -> Iterator[list[None]]:
        """Within it, the output layer computes these tokens alone, as one row; with many words it costs several layers.

        Yields:
            An item for each time that it did: none where the backbone has no such layer, or does not call it.
        """
        applied: list[None] = []
        head = None if places is None else self.backbone.get_output_embeddings()  # type: ignore[no-untyped-call]
        if head is None:
            yield applied
            return

        def pick(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            applied.append(None)
            return (args[0][places][None], *args[1:])

        handle = head.register_forward_pre_hook(pick)
        try:
            yield applied
        finally:
            handle.remove()

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        *,
        tokenizer: PreTrainedTokenizerBase,
        knowledge: Knowledge | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, CallState | None]:
        """Generates answers with the backbone's own `generate` (cache, beams, sampling as it takes them).

        Greedy decoding keeps to the most probable of the answers from the facts and own words; sampling and beams draw
        from their mixture.

        Args:
            input_ids: Left-padded prompts, (batch, seq); the answer starts after them.
            attention_mask: (batch, seq).
            tokenizer: The backbone's.
            knowledge: What to read; None for the backbone alone.
            **kwargs: For `generate`. With knowledge, a static cache does not make transformers compile by itself.

        Returns:
            What `generate` returns, and the call's state (None with knowledge off).
        """
        with self.reading(knowledge) as state:
            if state is not None:
                kwargs.setdefault("disable_compile", True)
            if state is not None and knowledge is not None and knowledge.options.copy_head:
                own = kwargs.pop("logits_processor", None) or LogitsProcessorList()
                settings = kwargs.get("generation_config") or self.backbone.generation_config
                sampled, beams = (kwargs.get(name, getattr(settings, name)) for name in ("do_sample", "num_beams"))
                greedy = not sampled and (beams or 1) == 1
                mixing = AnswerProcessor(
                    state, len(knowledge.questions.vectors), tokenizer, input_ids.shape[1], commit=greedy
                )
                kwargs["logits_processor"] = LogitsProcessorList([mixing, *own])
            ids = self.backbone.generate(  # type: ignore[operator]
                input_ids=input_ids, attention_mask=attention_mask, **kwargs
            )
        return ids, state

    def load_added(self, tensors: dict[str, Tensor], where: str) -> None:
        """Loads the added weights.

        Raises:
            CheckpointError: A weight is missing, unknown, or of another shape.
        """
        own = self.added_parameters()
        missing, unknown = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
        if missing or unknown:
            raise CheckpointError(
                f"{where} does not fit the model: missing {missing[:3] or 'nothing'}, "
                f"unknown {unknown[:3] or 'nothing'}; run `dvc repro trainA`"
            )
        for name, parameter in own.items():
            if tensors[name].shape != parameter.shape:
                raise CheckpointError(
                    f"{where}: weight {name} has shape {tuple(tensors[name].shape)}, "
                    f"expected {tuple(parameter.shape)}; run `dvc repro trainA`"
                )
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(tensors[name])


def of_hidden(name: str) -> bool:
    """Whether an added parameter reads hidden states, or makes what is added to them: it is of one backbone alone."""
    return ".from_hidden." in name or name.startswith(("fusions.", "copy_gate."))


def _at(hidden: Tensor, start: Tensor | None) -> Tensor:
    """Hidden states (batch, seq, d) at one position of each row, (batch, 1, d); None for the last."""
    if start is None:
        return hidden[:, -1:]
    return hidden[torch.arange(len(hidden), device=hidden.device), start][:, None]
