"""Where the decoder layers of a causal language model are, whatever its architecture.

Nothing here names a family.  Decoders differ in where they keep their layers (`model.layers`, `transformer.h`,
`gpt_neox.layers`, `model.decoder.layers`, ...), but they keep them in one `ModuleList`, as long as the config says,
with layers of one class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import nn
from transformers import PreTrainedModel

from kblampp.core.errors import BackboneError

AUTO_LAYERS = 3


def find_decoder_layers(model: PreTrainedModel, path: str | None = None) -> nn.ModuleList:
    """The decoder layers of `model`, first to last.

    They are the only `ModuleList` with as many elements as the (text) config has hidden layers, all of one class.  The
    model may lie on the meta device.

    Args:
        model: any causal language model of transformers.
        path: dotted name of the list, as in `model.named_modules()`; skips the search.

    Raises:
        BackboneError: no list fits, several do (a mixture with as many experts as layers), or `path` is no such list.
    """
    if path is not None:
        return _layers_at(model, path)
    wanted = _text_size(model, "num_hidden_layers")
    lists = {name: module for name, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    fitting = {name: layers for name, layers in lists.items() if len(layers) == wanted and len(_classes(layers)) == 1}
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    count, shown = ("several", fitting) if fitting else ("none", lists)
    raise BackboneError(
        f"{type(model).__name__} should have one ModuleList of {wanted} decoder layers of one class, but {count} of "
        f"these is it: {_describe(shown)}; name the path of the right one"
    )


def _layers_at(model: PreTrainedModel, path: str) -> nn.ModuleList:
    try:
        found = model.get_submodule(path)
    except AttributeError:
        found = None
    if isinstance(found, nn.ModuleList) and len(found) > 0:
        return found
    what = (
        "nothing" if found is None else "an empty ModuleList" if isinstance(found, nn.ModuleList) else "no ModuleList"
    )
    lists = {name: module for name, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    raise BackboneError(
        f"{type(model).__name__} has {what} at {path!r}, expected its decoder layers: name one of {_describe(lists)}"
    )


def _classes(layers: nn.ModuleList) -> set[type[nn.Module]]:
    return {type(layer) for layer in layers}


def _describe(lists: dict[str, nn.ModuleList]) -> str:
    """At most eight lists: those inside each of many layers would fill the screen."""
    texts = [
        f"{name} ({len(layers)} {'/'.join(sorted(kind.__name__ for kind in _classes(layers)))})"
        for name, layers in lists.items()
    ]
    return (
        ", ".join(texts[:8]) + (f" and {len(texts) - 8} more" if len(texts) > 8 else "") if texts else "(no ModuleList)"
    )


def hidden_size(model: PreTrainedModel) -> int:
    """Width of the hidden states that pass between decoder layers.

    Raises:
        BackboneError: the config does not tell.
    """
    return _text_size(model, "hidden_size")


def _text_size(model: PreTrainedModel, name: str) -> int:
    """A size from the config of the language part: a model that also sees or hears has several."""
    size = getattr(model.config.get_text_config(), name, None)
    if not isinstance(size, int) or size < 1:
        raise BackboneError(f"the config of {type(model).__name__} has {name} {size!r}, expected a positive integer")
    return size


def resolve_layers(
    layers: Literal["auto"] | Sequence[int], n_layers: int, *, model_name: str = "the backbone"
) -> tuple[int, ...]:
    """The layers after which knowledge enters, in rising order, counted from 0.

    "auto" takes three, evenly spread from a third to four fifths of the depth and always before the last layer, so that
    the model still works on what entered: 2, 3, 4 of 6 layers; 5, 8, 12 of 16; 10, 17, 25 of 32.  A model with fewer
    than four layers takes all it has.

    Args:
        layers: "auto" or layer numbers in any order (`injection.layers`).
        n_layers: how many layers the model has.
        model_name: how errors call the model.

    Raises:
        BackboneError: a number is out of range or stands twice, or there is none.
    """
    if isinstance(layers, str):
        return _spread(n_layers)
    for layer in layers:
        if not 0 <= layer < n_layers:
            raise BackboneError(
                f"injection.layers names layer {layer}, but {model_name} has layers 0 to {n_layers - 1}"
            )
    if not layers or len(set(layers)) < len(layers):
        raise BackboneError(f"injection.layers is {list(layers)}, expected one or more distinct layers")
    return tuple(sorted(layers))


def _spread(n_layers: int) -> tuple[int, ...]:
    if n_layers <= AUTO_LAYERS:
        return tuple(range(n_layers))
    last = (8 * (n_layers - 1) + 5) // 10  # 0.8 of the last index, rounded
    first = min(n_layers // 3, last - 2)
    return (first, (first + last) // 2, last)
