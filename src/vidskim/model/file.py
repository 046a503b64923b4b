"""A model to a file and back: one safetensors file with all of its parts in it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidskim.backbones.contract import clip_of
from vidskim.backbones.files.checkpoint import (
    assign_state,
    build_network,
    check_state,
    load_backbone,
    save_backbone,
)
from vidskim.backbones.files.header import (
    DAMAGE,
    MAX_CLIP_FRAMES,
    damaged,
    describe_network,
    header_of,
    read_raw,
    transform_of,
    write_tensors,
)
from vidskim.backbones.files.state_dict import check_finite, read_state_dict
from vidskim.backbones.network import Network
from vidskim.errors import CheckpointError, UsageError, listed
from vidskim.model.adapter import Adapter, Head, Places, map_shape
from vidskim.model.aggregate import AGGREGATORS, Learned, create_aggregator
from vidskim.model.card import VERSION, renamed, upgraded
from vidskim.model.compressed import Compressed, bare_of, map_channels
from vidskim.model.compression import TemporalCompression
from vidskim.model.contract import Encoder
from vidskim.model.memory import CollaborativeMemory
from vidskim.model.model import Card, Model, as_model, describe, is_alone, own_mean
from vidskim.model.presets import memory_channels
from vidskim.model.wrap import Wrapped, differs, identity

MOST = 65536
"""Channels, classes, clips that a file may ask for: a damaged number would take all memory."""


def save_model(
    model: Model | Encoder, path: str | Path, *, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a model to a safetensors file, which appears only when it is complete.

    A wrapped network is not written, only what identifies it: its file is opened with
    ``load_model(path, encoder=wrapped)``.

    Args:
        model: whose parts are ours.
        path: the file.
        metadata: plain JSON values to keep beside: recipe, metrics, source.

    Raises:
        CheckpointError: the file cannot be written.
        UsageError: ``metadata`` is not JSON, or a part is of a class of your own.
    """
    model = as_model(model)
    if is_bare(model):
        save_backbone(model.networks[0], path, metadata=metadata)
        return
    header, tensors = _told(model)
    wrapped = [m for m in map(bare_of, model.networks) if isinstance(m, Wrapped)]
    _check_opens(model, header, tensors, path=Path(path), given=wrapped)
    header["metadata"] = dict(metadata or {})
    write_tensors(tensors, Path(path), header=header, version=VERSION)


def _told(model: Model) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what a file says of a model, and the tensors it holds.

    Raises:
        UsageError: a part is of a class of your own.
    """
    tensors: dict[str, Tensor] = {}
    encoders = []
    for n, (encoder, adapter) in enumerate(zip(model.networks, model.adapters, strict=True)):
        told, inner = _told_encoder(encoder)
        encoders.append({**told, "adapter": _told_adapter(adapter)})
        if isinstance(encoder, Compressed):
            tensors |= _prefixed(f"compressions.{n}.", encoder.compression)
        if isinstance(inner, Network):
            tensors |= _prefixed(f"encoders.{n}.", inner)
        if isinstance(adapter, Adapter):
            tensors |= _prefixed(f"adapters.{n}.", adapter)
    context: Any = model.context
    aggregator: Any = model.aggregator
    told_context = None
    if context is not None:
        if type(context) is not CollaborativeMemory:
            raise _own("context", context)
        told_context = {"kind": "collaborative", "options": context.options}
        tensors |= _prefixed("context.", context)
    if own_mean(model):
        told_aggregator = {"kind": "max" if model.card.is_multilabel else "average"}
    elif type(aggregator) in AGGREGATORS.values():
        told_aggregator = {
            "kind": aggregator.name,
            "channels": aggregator.channels,
            "num_classes": aggregator.num_classes,
            "options": aggregator.options,
        }
        tensors |= _prefixed("aggregator.", aggregator)
    else:
        raise _own("aggregator", aggregator)
    header = {
        "encoders": encoders,
        "context": told_context,
        "aggregator": told_aggregator,
        "card": asdict(model.card),
    }
    return header, tensors


def _check_opens(
    model: Model,
    header: Mapping[str, Any],
    tensors: dict[str, Tensor],
    *,
    path: Path,
    given: Sequence[Wrapped],
) -> None:
    """Raise unless what is about to be written opens as the same model.

    Raises:
        UsageError: it does not.
    """
    try:
        again = _build(json.loads(json.dumps(header)), tensors, path=path, given=given)
    except (*DAMAGE, CheckpointError, IndexError, OverflowError) as error:
        raise UsageError(f"{path}: a file cannot hold this model: {error}") from None
    for what, one, other in (
        ("parts", describe(model), describe(again)),
        ("card", model.card, again.card),
        ("clips", [e.clip for e in model.networks], [e.clip for e in again.networks]),
    ):
        if one != other:
            raise UsageError(
                f"{path}: a file cannot hold this model: its {what} {one} come back as {other}"
            )


def load_model(path: str | Path, *, encoder: Wrapped | Sequence[Wrapped] | None = None) -> Model:
    """Build a model with the weights of a file, of any kind and any publisher.

    Args:
        path: the file.
        encoder: the wrapped network that a file's other parts are around, or several.

    Returns:
        The model on the CPU in evaluation mode, float32.

    Raises:
        CheckpointError: the file is missing, damaged, holds something else, or weights that are no
            numbers.
        UsageError: parts around a wrapped network, and none or another one given; one for a file
            that holds its own networks.
    """
    path = Path(path)
    several = encoder if isinstance(encoder, Sequence) else [] if encoder is None else [encoder]
    given = list(several)
    for one in given:
        if not isinstance(one, Wrapped):
            raise UsageError(
                f"encoder is what vidskim.wrap returns, got {type(one).__name__}: wrap it first"
            )
    raw = read_raw(path)
    if given and not _holds_wrapped(raw):
        raise UsageError(f"{path}: holds its own networks: leave encoder out")
    if raw is None:
        network = load_backbone(checkpoint=path)
        check_takes_clips(network, path=path)
        return as_model(network).eval()
    try:
        header, prefixes = upgraded(raw)
        state = renamed(read_state_dict(path), prefixes)
        model = _build(header, state, path=path, given=given)
    except (*DAMAGE, IndexError, OverflowError) as error:
        if isinstance(error, NotGivenError):
            raise UsageError(str(error)) from None
        raise damaged(path, error) from error
    if not is_bare(model):
        check_finite(state, path=path)
    return model.eval()


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Return what the writer of a model's file added: recipe, metrics, source.

    Raises:
        CheckpointError: no such file, a damaged one, or none of ours.
    """
    path = Path(path)
    raw = read_raw(path)
    if raw is None:
        raise CheckpointError(f"{path}: not a vidskim checkpoint (no header)")
    told = raw.get("metadata")
    if not isinstance(told, dict):
        raise damaged(path, ValueError("metadata"))
    return told


def is_bare(model: Model) -> bool:
    """Return whether a model is a single network of ours, and nothing around it."""
    return is_alone(model) and isinstance(model.networks[0], Network) and model.card == Card()


def _holds_wrapped(raw: Mapping[str, Any] | None) -> bool:
    told = [] if raw is None else raw.get("encoders")
    return isinstance(told, list) and any(
        isinstance(one, dict) and one.get("wrapped") is not None for one in told
    )


class NotGivenError(UsageError):
    """A file whose encoder is a wrapped network, and another one or none is given."""


class _Tensors:
    """The tensors of a file, handed out part by part."""

    def __init__(self, state: dict[str, Tensor], *, path: Path) -> None:
        self.path = path
        self._left = state

    def take(self, prefix: str) -> dict[str, Tensor]:
        """Return those of one part, by their names within it."""
        taken = {k: v for k, v in self._left.items() if k.startswith(prefix)}
        self._left = {k: v for k, v in self._left.items() if k not in taken}
        return {k.removeprefix(prefix): v for k, v in taken.items()}

    def fill(self, module: nn.Module, prefix: str, *, name: str) -> None:
        """Give a module on the meta device its tensors, after they are compared."""
        state = self.take(prefix)
        check_state(module, state, name=name, path=self.path)
        assign_state(module, state)

    def check_empty(self) -> None:
        if self._left:
            raise CheckpointError(
                f"{self.path}: holds tensors of no part ({listed(list(self._left))})"
            )


def _build(
    raw: Mapping[str, Any], state: dict[str, Tensor], *, path: Path, given: Sequence[Wrapped]
) -> Model:
    tensors = _Tensors(state, path=path)
    encoders = [_encoder(n, told, tensors, given=given) for n, told in enumerate(raw["encoders"])]
    for encoder in encoders:
        check_takes_clips(encoder, path=path)
    card = _card(raw["card"])
    adapters: list[nn.Module] = [nn.Identity() for _ in encoders]
    for n, told in enumerate(raw["encoders"]):
        if told["adapter"] is not None:
            join = card.join[n] if n < len(card.join) else card.join[0]
            adapters[n] = _adapter(told["adapter"], encoders[n], num_clips=join or 1)
            tensors.fill(adapters[n], f"adapters.{n}.", name="the adapters")
    context = None
    if raw["context"] is not None:
        channels = getattr(adapters[0], "channels", None) or memory_channels(encoders[0])
        context = _context(raw["context"], channels)
        tensors.fill(context, "context.", name="the memory")
    aggregator = _aggregator(raw["aggregator"], is_multilabel=card.is_multilabel)
    if aggregator is not None:
        tensors.fill(aggregator, "aggregator.", name=aggregator.name)
    tensors.check_empty()
    return Model(
        encoders,
        adapters=None if aggregator is None else adapters,
        context=context,
        aggregator=aggregator,
        card=card,
    )


def check_takes_clips(encoder: Encoder, *, path: Path) -> None:
    """Raise unless a file holds a clip classifier.

    Raises:
        CheckpointError: it holds a network on images or maps.
    """
    if encoder.clip is None:
        raise CheckpointError(
            f"{path}: holds {encoder.name}, which takes images or motion maps, and no clip "
            "classifier; a saliency network is given with --sampler"
        )


def _encoder(
    n: int, told: Mapping[str, Any], tensors: _Tensors, *, given: Sequence[Wrapped]
) -> Encoder:
    state, path = tensors.take(f"encoders.{n}."), tensors.path
    if told.get("wrapped") is not None:
        encoder: Encoder = _given(told["wrapped"], given, path=path)
    else:
        encoder = build_network(header_of(told["backbone"]), state, path=path).eval()
    if told["compression"] is None:
        return encoder
    return _compressed(encoder, told["compression"], tensors, prefix=f"compressions.{n}.")


def _given(told: Mapping[str, Any], given: Sequence[Wrapped], *, path: Path) -> Wrapped:
    """Return the one of the wrapped networks given that a file's parts are around."""
    name = str(told["name"])
    if not given:
        raise NotGivenError(
            f"{path}: holds parts around {name}, a network of yours that was wrapped: open it in "
            "Python by load_model(path, encoder=wrapped)"
        )
    found = [(one, differs(one, told)) for one in given]
    for one, other in found:
        if not other:
            return one
    raise NotGivenError(
        f"{path}: its parts were trained around {name} with other {found[0][1]} than the encoder "
        "given has: give that network, wrapped as it was"
    )


def _compressed(
    backbone: Any, told: Mapping[str, Any], tensors: _Tensors, *, prefix: str
) -> Compressed:
    at = str(told["at"])
    clip_of(backbone)
    with torch.device("meta"):
        compression = TemporalCompression(map_channels(backbone, at), **dict(told["options"]))
    tensors.fill(compression, prefix, name="the compression")
    model = Compressed(
        backbone, at=at, compression=compression, transform=transform_of(told["transform"])
    )
    model.segments = _segments(told["segments"])
    if told.get("segment_frames") is not None:
        model.segment_frames = _number(told["segment_frames"], "frames of a segment")
    if told["stride"] is not None:
        model.stride = _number(told["stride"], "as stride")
    return model


def _segments(told: Any) -> tuple[int, int] | None:
    if told is None:
        return None
    number, frames = told
    if any(type(n) is not int or n < 1 for n in (number, frames)):
        raise ValueError(f"segments {told!r}")
    if frames > MAX_CLIP_FRAMES or number * frames > MOST:
        raise ValueError(f"{number} segments of {frames} frames")
    return number, frames


def _adapter(told: Mapping[str, Any], encoder: Encoder, *, num_clips: int) -> Adapter:
    shape = map_shape(encoder, num_clips=num_clips)
    places: Places | None = None
    if told["places"] is not None:
        T, h, w = (_number(n, "places of a map") for n in told["places"])
        places = (T, h, w)
        if any(n > size for n, size in zip(places, shape[1:], strict=True)):
            raise ValueError(f"{list(places)} places of a map of {list(shape[1:])}")
    with torch.device("meta"):
        return Adapter(shape[0], _number(told["channels"], "channels"), places=places)


def _context(told: Mapping[str, Any], channels: int) -> CollaborativeMemory:
    if told["kind"] != "collaborative":
        raise ValueError(f"context {told['kind']!r}")
    with torch.device("meta"):  # nothing is allocated before it is compared
        return CollaborativeMemory(channels, **dict(told["options"]))


def _aggregator(told: Mapping[str, Any], *, is_multilabel: bool) -> Learned | None:
    """Return a trained aggregator, None for the mean of the encoders' class scores."""
    if told["kind"] in ("average", "max"):
        if (told["kind"] == "max") != is_multilabel:
            raise ValueError(f"aggregator {told['kind']!r}")
        return None
    with torch.device("meta"):
        return create_aggregator(
            str(told["kind"]),
            channels=_number(told["channels"], "channels"),
            num_classes=_number(told["num_classes"], "classes"),
            **dict(told["options"]),
        )


def _card(told: Mapping[str, Any]) -> Card:
    if not isinstance(told["schedule"], str):  # str(None) would be the pattern "none"
        raise ValueError(f"{told['schedule']!r} as a pattern")
    if type(told["is_multilabel"]) is not bool:
        raise ValueError(f"is_multilabel is {told['is_multilabel']!r}")
    join = tuple(None if n is None else _number(n, "clips joined") for n in told["join"])
    return Card(
        method=str(told["method"]),
        schedule=told["schedule"],
        join=join,
        num_clips=_number(told["num_clips"], "clips"),
        is_multilabel=told["is_multilabel"],
    )


def _told_encoder(encoder: Any) -> tuple[dict[str, Any], nn.Module]:
    """Return what a file says of an encoder, and the network that is inside."""
    compression = None
    if type(encoder) is Compressed:
        compression = {
            "at": encoder.at,
            "options": encoder.compression.options,
            "transform": encoder.transform.to_dict(),
            "segments": encoder.segments,
            "segment_frames": encoder.segment_frames,
            "stride": encoder.stride,
        }
        encoder = encoder.backbone
    if isinstance(encoder, Network):
        return {"backbone": describe_network(encoder), "compression": compression}, encoder
    if isinstance(encoder, Wrapped):
        wrapped = {"name": encoder.name, **identity(encoder)}
        return {"backbone": None, "wrapped": wrapped, "compression": compression}, encoder
    raise _own("encoder", encoder)


def _told_adapter(adapter: nn.Module) -> dict[str, Any] | None:
    if type(adapter) is Adapter:
        return {"channels": adapter.channels, "places": adapter.places}
    if type(adapter) in (nn.Identity, Head):
        return None
    raise _own("adapter", adapter)


def _own(what: str, part: object) -> UsageError:
    return UsageError(f"a file holds parts of ours, no {what} {type(part).__name__} of your own")


def _prefixed(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in module.state_dict().items()}


def _number(told: Any, what: str) -> int:
    if type(told) is not int or not 0 < told <= MOST:
        raise ValueError(f"{told!r} {what}")
    return told
