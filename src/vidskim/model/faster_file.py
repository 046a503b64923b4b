"""FASTER models to files and back: one safetensors file with all networks in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vidskim.backbones.files.checkpoint import assign_state, build_network, check_state
from vidskim.backbones.files.header import DAMAGE, damaged, describe, write_tensors
from vidskim.backbones.files.state_dict import read_finite_state
from vidskim.backbones.network import Network
from vidskim.errors import UsageError
from vidskim.model.aggregate import create_aggregator
from vidskim.model.card import (
    clip_header_of,
    holds,
    metadata_of,
    number_of,
    part_of,
    read_kind,
    refuse_others,
)
from vidskim.model.faster import Adapter, Faster, Places, map_shape
from vidskim.model.schedule import parse_pattern

KEY = "encoders"
OTHERWISE = "holds no FASTER model; train one with a recipe of task 'faster'"

MAX_CHANNELS = 65536
MAX_CLIPS = 65536
"""What a file may ask for: more would take a machine's memory for a damaged number."""


def save_faster(
    model: Faster, path: str | Path, *, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a model to a safetensors file, which appears only when it is complete.

    Args:
        model: whose adapters are `vidskim.model.faster.Adapter`.
        path: the file.
        metadata: plain JSON values to keep beside: recipe, metrics, source.

    Raises:
        CheckpointError: the file cannot be written.
        UsageError: ``metadata`` is not JSON, or an adapter of the user's own.
    """
    adapters = [adapter for adapter in model.adapters if isinstance(adapter, Adapter)]
    if len(adapters) != len(model.adapters):
        raise UsageError("adapters of your own cannot be written to a file: use Adapter")
    aggregator = model.aggregator
    header = {
        KEY: [describe(encoder) for encoder in model.networks()],
        "adapters": [{"places": adapter.places} for adapter in adapters],
        "aggregator": {
            "name": aggregator.name,
            "channels": aggregator.channels,
            "num_classes": aggregator.num_classes,
            "options": aggregator.options,
        },
        "pattern": str(model.pattern),
        "num_clips": model.num_clips,
        "metadata": dict(metadata or {}),
    }
    write_tensors(model.state_dict(), Path(path), header=header)


def is_faster(path: str | Path) -> bool:
    """Say whether a file holds a FASTER model.

    Raises:
        CheckpointError: no such file, a damaged one, or one of a newer vidskim.
    """
    return holds(path, KEY)


def read_faster_metadata(path: str | Path) -> dict[str, Any]:
    """Return what the writer of a FASTER file added: recipe, metrics, source.

    Raises:
        CheckpointError: no such file, a damaged one, or not one that `save_faster` wrote.
    """
    path = Path(path)
    return metadata_of(read_kind(path, KEY, otherwise=OTHERWISE), path=path)


def load_faster(path: str | Path) -> Faster:
    """Build a FASTER model with the weights of a file.

    Returns:
        The model on the CPU in evaluation mode, float32.

    Raises:
        CheckpointError: the file is missing, damaged, holds something else, or weights that are no
            numbers.
    """
    path = Path(path)
    raw = read_kind(path, KEY, otherwise=OTHERWISE)
    state = read_finite_state(path)
    try:
        encoders = [
            build_network(
                clip_header_of(told), part_of(state, f"encoders.{place}."), path=path
            ).eval()
            for place, told in enumerate(raw[KEY])
        ]
        with torch.device("meta"):  # or a damaged number would be allocated before it is compared
            model = _assemble(raw, encoders)
    except DAMAGE as error:
        raise damaged(path, error) from error
    parts = {"adapters": "the adapters", "aggregator": model.aggregator.name}
    for part, told in parts.items():
        module, tensors = model.get_submodule(part), part_of(state, f"{part}.")
        check_state(module, tensors, name=told, path=path)
        assign_state(module, tensors)
    known = (*(f"encoders.{place}." for place in range(len(encoders))), "adapters.", "aggregator.")
    refuse_others(state, known, path=path)
    return model.eval()


def _assemble(raw: Mapping[str, Any], encoders: list[Network]) -> Faster:
    """Build the model of a header around encoders; what else it needs is not trained yet."""
    told = raw["aggregator"]
    channels = number_of(told["channels"], "channels", most=MAX_CHANNELS)
    aggregator = create_aggregator(
        str(told["name"]),
        channels=channels,
        num_classes=number_of(told["num_classes"], "classes", most=MAX_CHANNELS),
        **dict(told["options"]),
    )
    adapters = [
        _adapter(adapter, of=map_shape(encoder), channels=channels)
        for encoder, adapter in zip(encoders, raw["adapters"], strict=True)
    ]
    return Faster(
        encoders,
        aggregator,
        adapters=adapters,
        pattern=parse_pattern(_text(raw["pattern"], "a pattern")),
        num_clips=number_of(raw["num_clips"], "clips", most=MAX_CLIPS),
    )


def _text(told: Any, what: str) -> str:
    if not isinstance(told, str):  # str(None) would be the pattern "none"
        raise ValueError(f"{told!r} as {what}")
    return told


def _adapter(told: Mapping[str, Any], *, of: tuple[int, int, int, int], channels: int) -> Adapter:
    places = _places(told["places"])
    if places is not None and any(n > size for n, size in zip(places, of[1:], strict=True)):
        raise ValueError(f"{list(places)} places of a map of {list(of[1:])}")
    return Adapter(of[0], channels, places=places)


def _places(told: Any) -> Places | None:
    if told is None:
        return None
    T, h, w = (number_of(n, "places of a map", most=MAX_CHANNELS) for n in told)
    return T, h, w
