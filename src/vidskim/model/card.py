"""What a model's file says of itself, and how files of the first version say it now.

One JSON object in the header of a safetensors file. Version 1 knew four kinds: a bare backbone,
FASTER ("encoders"), a backbone with a memory ("backbone") and one with a compression
("compressed"). Bare backbones are still written as version 1, which others read.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from vidskim.model.presets import MEMORY_CLIPS, SFC_SEGMENTS

VERSION = 2

Prefixes = tuple[tuple[str, str], ...]
"""Beginnings of tensors' names in a file, and what stands for them in a file of version 2."""


def upgraded(raw: Mapping[str, Any]) -> tuple[Mapping[str, Any], Prefixes]:
    """Return a header as version 2 writes it, and how its tensors are renamed.

    Raises:
        KeyError: a header of version 1 that lacks something; also the other classes of
            `vidskim.backbones.files.header.DAMAGE`.
    """
    if raw["version"] >= VERSION:
        return raw, ()
    for kind, upgrade in _KINDS.items():
        if kind in raw:
            header, prefixes = upgrade(raw)
            return {"version": VERSION, "metadata": raw["metadata"], **header}, prefixes
    header = {"encoders": [_encoder(raw)], **_parts(method="motion")}
    return {"version": VERSION, "metadata": raw["metadata"], **header}, (("", "encoders.0."),)


def is_around(raw: Mapping[str, Any] | None) -> bool:
    """Return whether a header is of more than a bare backbone."""
    return raw is not None and any(kind in raw for kind in _KINDS)


def renamed(state: Mapping[str, Tensor], prefixes: Prefixes) -> dict[str, Tensor]:
    """Return tensors by the names that version 2 gives them; others keep theirs."""
    if not prefixes:
        return dict(state)
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        old, new = next((p for p in prefixes if name.startswith(p[0])), ("", ""))
        found[new + name[len(old) :]] = tensor
    return found


def _faster(raw: Mapping[str, Any]) -> tuple[dict[str, Any], Prefixes]:
    aggregator = raw["aggregator"]
    channels = aggregator["channels"]
    encoders = [
        _encoder(backbone, adapter={"channels": channels, "places": adapter["places"]})
        for backbone, adapter in zip(raw["encoders"], raw["adapters"], strict=True)
    ]
    trained = {
        "kind": aggregator["name"],
        "channels": channels,
        "num_classes": aggregator["num_classes"],
        "options": aggregator["options"],
    }
    parts = _parts(
        method="faster",
        schedule=raw["pattern"],
        join=[1] * len(encoders),
        num_clips=raw["num_clips"],
    )
    return {"encoders": encoders, **parts, "aggregator": trained}, ()


def _memory(raw: Mapping[str, Any]) -> tuple[dict[str, Any], Prefixes]:
    _whole_number(raw["num_clips"])  # that it was trained with: the metadata have it
    parts = _parts(method="memory", num_clips=MEMORY_CLIPS, is_multilabel=raw["is_multilabel"])
    if raw["memory"] is not None:
        parts["context"] = {"kind": "collaborative", "options": raw["memory"]}
    prefixes = (("backbone.", "encoders.0."), ("memory.", "context."))
    return {"encoders": [_encoder(raw["backbone"])], **parts}, prefixes


def _compressed(raw: Mapping[str, Any]) -> tuple[dict[str, Any], Prefixes]:
    compression = {
        "at": raw["at"],
        "options": raw["compression"],
        "transform": raw["whole"],
        "segments": raw["segments"],
        "stride": raw["stride"],
    }
    parts = _parts(method="sfc", join=[None], num_clips=SFC_SEGMENTS)
    prefixes = (("backbone.", "encoders.0."), ("compression.", "compressions.0."))
    encoder = _encoder(raw["compressed"], compression=compression)
    return {"encoders": [encoder], **parts}, prefixes


_KINDS: dict[str, Callable[[Mapping[str, Any]], tuple[dict[str, Any], Prefixes]]] = {
    "encoders": _faster,
    "backbone": _memory,
    "compressed": _compressed,
}


def _encoder(
    backbone: Mapping[str, Any],
    *,
    compression: Mapping[str, Any] | None = None,
    adapter: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return {"backbone": backbone, "compression": compression, "adapter": adapter}


def _parts(
    *,
    method: str,
    schedule: Any = "all",
    join: list[int | None] | None = None,
    num_clips: Any = 10,
    is_multilabel: Any = False,
) -> dict[str, Any]:
    return {
        "context": None,
        "aggregator": {"kind": "max" if is_multilabel is True else "average"},
        "card": {
            "method": method,
            "schedule": schedule,
            "join": [1] if join is None else join,
            "num_clips": num_clips,
            "is_multilabel": is_multilabel,
        },
    }


def _whole_number(told: Any) -> None:
    if type(told) is not int or not 0 < told <= 65536:
        raise ValueError(f"{told!r} clips")
