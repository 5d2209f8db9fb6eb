"""Knowledge inside a decoder-only model: forward hooks on its layers, and a copy head on its output.

The forward pass, put together by the hook `_on_layer` at each injected layer: `query.py` makes each token's query,
`selector.py` finds and weighs facts, `fusion.py` adds what they say to the hidden state.  After the last injected layer
the copy gate is read, and when the backbone has its logits, `copy_head.py` mixes the facts' own words into them.

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
from torch.utils.hooks import RemovableHandle
from transformers import LogitsProcessor, LogitsProcessorList, PreTrainedModel

from kblampp.backbone.decoder_layers import find_decoder_layers, hidden_size, resolve_layers
from kblampp.core.errors import BackboneError, CheckpointError
from kblampp.encoding.projections import Projections
from kblampp.model.copy_head import copy_log_probs, copy_shares, next_tokens, rename_tails
from kblampp.model.fusion import KBFusionLayer, normalise
from kblampp.model.inputs import Knowledge
from kblampp.model.selector import KBSelector, Selection

Layers = Literal["auto"] | tuple[int, ...]


@dataclass
class CallState:
    """What the hooks of one call have seen, layer by layer; overwritten by each forward pass of a generation.

    Attributes:
        knowledge: What the call reads.
        selections: By injected layer, of the latest forward pass.
        beta: Fusion gates by injected layer, (batch, seq).
        copy_gate: lambda at each token, (batch, seq).
        first: Selections of the first forward pass; its last position is where the answer starts.
    """

    knowledge: Knowledge
    selections: dict[int, Selection] = field(default_factory=dict)
    beta: dict[int, Tensor] = field(default_factory=dict)
    copy_gate: Tensor | None = None
    first: dict[int, Selection] = field(default_factory=dict)


@dataclass(frozen=True)
class KBOutput:
    """Result of a forward pass.

    Attributes:
        logits: (batch, seq, vocabulary); where the copy head is on and the answer has started, log-probabilities.
        state: Selections and gates; None with knowledge off.
    """

    logits: Tensor
    state: CallState | None


class KBInjectedModel(nn.Module):
    """A frozen backbone that reads a knowledge base at some of its layers.

    Args:
        backbone: Any decoder-only causal language model.
        layers: Decoder layers after which knowledge enters, from 0, or "auto" (`decoder_layers.resolve_layers`).
        dims: Widths by name: d_sentence, d_k, d_v, d_ctx, d_ent.
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
        self.copy_gate = nn.Linear(width, 1)
        nn.init.zeros_(self.copy_gate.weight)
        nn.init.constant_(self.copy_gate.bias, 3.0)  # copy unless taught otherwise: also after words never seen
        self._handles: list[RemovableHandle] = []
        self._state: CallState | None = None
        self.attach()

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

    def added_parameters(self) -> dict[str, nn.Parameter]:
        """Every parameter that is not the backbone's, by name; one of them, `KBQuery.names`, never learns."""
        return {name: p for name, p in self.named_parameters() if not name.startswith("backbone.")}

    @contextmanager
    def reading(self, knowledge: Knowledge | None) -> Iterator[CallState | None]:
        """Within it, forward passes of the backbone read `knowledge`; None, or `top_k` 0, is knowledge off.

        Raises:
            BackboneError: Entered twice.
        """
        if self._state is not None:
            raise BackboneError("a knowledge context is open already; leave it before entering another")
        if knowledge is not None and knowledge.enabled:
            if not self._handles:
                raise BackboneError("the model is detached, so it cannot read knowledge; call attach() first")
            knowledge.options.check(knowledge.base.store.n, knowledge.base.store.directory.name)
            self._state = CallState(knowledge)
        try:
            yield self._state
        finally:
            self._state = None

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
        knowledge, read = state.knowledge.expand(len(hidden)), normalise(hidden)
        selection = self.selectors[position](read, knowledge, state.selections.get(position - 1))
        delta, beta = self.fusions[position](read, selection.value)
        hidden = hidden + delta.to(hidden.dtype)
        state.selections[position], state.beta[position] = selection, beta
        if position == len(self.layers) - 1:  # the copy gate alone also reads what the layer has added
            state.copy_gate = torch.sigmoid(self.copy_gate(normalise(hidden))).squeeze(-1)
            state.first = state.first or dict(state.selections)
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        knowledge: Knowledge | None = None,
        answer_start: Tensor | None = None,
        **kwargs: Any,
    ) -> KBOutput:
        """One pass over whole sequences.

        Args:
            input_ids: (batch, seq).
            attention_mask: (batch, seq).
            knowledge: What to read; None for the backbone alone.
            answer_start: Position of the answer's first token, (batch,); with it the copy head takes part from the
                position before on, as it does in generation.
            **kwargs: For the backbone's forward.
        """
        with self.reading(knowledge) as state:
            logits = self.backbone(input_ids=input_ids, attention_mask=attention_mask, **kwargs).logits
        if state is None or answer_start is None or not state.knowledge.options.copy_head:
            return KBOutput(logits, state)
        return KBOutput(self._with_copies(logits, input_ids, answer_start, state), state)

    def _with_copies(self, logits: Tensor, input_ids: Tensor, answer_start: Tensor, state: CallState) -> Tensor:
        """Logits in which the answer's positions are log-probabilities that include the copies."""
        position = torch.arange(logits.shape[1], device=logits.device)
        rows, columns = (position >= answer_start[:, None] - 1).nonzero(as_tuple=True)
        written = torch.full_like(input_ids, -1)
        for row, start in enumerate(answer_start.tolist()):
            written[row, : input_ids.shape[1] - start] = input_ids[row, start:]
        length = columns - answer_start[rows] + 1
        mixed = self._mix(logits[rows, columns], state, rows, columns, written[rows], length)
        return logits.float().index_put((rows, columns), mixed)

    def _mix(
        self, logits: Tensor, state: CallState, rows: Tensor, columns: Tensor, written: Tensor, length: Tensor
    ) -> Tensor:
        """Log-probabilities (n, vocabulary) at n places of the latest forward pass."""
        return copy_log_probs(logits, *copies(state, rows, columns, written, length))

    @torch.no_grad()
    def generate(
        self, input_ids: Tensor, attention_mask: Tensor, *, knowledge: Knowledge | None = None, **kwargs: Any
    ) -> tuple[Tensor, CallState | None]:
        """Generates answers with the backbone's own `generate` (cache, beams, sampling as it takes them).

        Args:
            input_ids: Left-padded prompts, (batch, seq); the answer starts after them.
            attention_mask: (batch, seq).
            knowledge: What to read; None for the backbone alone.
            **kwargs: For `generate`.

        Returns:
            What `generate` returns, and the call's state (None with knowledge off).
        """
        with self.reading(knowledge) as state:
            if state is not None and state.knowledge.options.copy_head:
                own = kwargs.pop("logits_processor", None) or LogitsProcessorList()
                kwargs["logits_processor"] = LogitsProcessorList(
                    [_CopyProcessor(self, state, input_ids.shape[1]), *own]
                )
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


def copies(state: CallState, rows: Tensor, columns: Tensor, written: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """What the copy head writes at some places of the latest forward pass.

    Args:
        state: Of the call.
        rows, columns: The places: row of the batch and position, each (n,).
        written: Answer tokens of each place's row, (n, any width).
        length: How many of them are written before the place, (n,).

    Returns:
        For each fact that the last injected layer selected and, last, the null fact: the next token of its tail,
        PADDING where it takes no part, and its share of the next token's probability, both (n, facts + 1).

    Raises:
        BackboneError: The backbone ran without its decoder layers.
    """
    if state.copy_gate is None:
        raise BackboneError("the backbone ran without its decoder layers, so there is nothing to copy from")
    selection, tails = state.selections[max(state.selections)], state.knowledge.base.tails
    ids = selection.ids[rows, 0 if selection.ids.shape[1] == 1 else columns]
    null = torch.full_like(ids[:, :1], tails.null)
    names = tails.tokens[torch.cat([torch.where(ids < 0, null, ids), null], dim=1)]
    training = state.knowledge.training
    if training is not None and training.renamed is not None and training.new_names is not None:
        names = rename_tails(names, ids, training.renamed[rows], training.new_names[rows])
    alpha = torch.cat([selection.alpha[rows, columns], selection.null[rows, columns, None]], dim=1)
    tokens = next_tokens(names, written, length)
    return tokens, copy_shares(state.copy_gate[rows, columns], alpha, tokens)


class _CopyProcessor(LogitsProcessor):
    """The copy head at the last position of each decoding step."""

    def __init__(self, model: KBInjectedModel, state: CallState, prompt_length: int) -> None:
        self._model, self._state, self._prompt_length = model, state, prompt_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        written = input_ids[:, self._prompt_length :]
        rows = torch.arange(len(input_ids), device=input_ids.device)
        last = self._state.selections[0].alpha.shape[1] - 1
        length = torch.full_like(rows, written.shape[1])
        mixed = self._model._mix(scores, self._state, rows, torch.full_like(rows, last), written, length)
        return mixed.masked_fill(scores == -torch.inf, -torch.inf)  # what processors before this one have forbidden
