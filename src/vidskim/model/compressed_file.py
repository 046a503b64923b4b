"""A backbone and its compression to a file and back: one safetensors file with both in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vidskim.backbones.files.checkpoint import assign_state, build_network, check_state
from vidskim.backbones.files.header import (
    DAMAGE,
    MAX_CLIP_FRAMES,
    damaged,
    describe,
    transform_of,
    write_tensors,
)
from vidskim.backbones.files.state_dict import read_finite_state
from vidskim.model.card import (
    clip_header_of,
    holds,
    metadata_of,
    number_of,
    part_of,
    read_kind,
    refuse_others,
)
from vidskim.model.compressed import Compressed, map_channels
from vidskim.model.compression import TemporalCompression

KEY = "compressed"
OTHERWISE = "holds no backbone with a compression; train one with a recipe of task 'sfc'"

MAX_FRAMES = 65536
"""Frames of all segments that a file may ask for: more is a damaged number."""


def save_compressed(
    model: Compressed, path: str | Path, *, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a model to a safetensors file, which appears only when it is complete.

    Args:
        model: of any backbone.
        path: the file.
        metadata: plain JSON values to keep beside: recipe, metrics, source.

    Raises:
        CheckpointError: the file cannot be written.
        UsageError: ``metadata`` is not JSON.
    """
    header = {
        KEY: describe(model.backbone),
        "at": model.at,
        "compression": model.compression.options,
        "whole": model.transform.to_dict(),
        "segments": model.segments,
        "stride": model.stride,
        "metadata": dict(metadata or {}),
    }
    write_tensors(model.state_dict(), Path(path), header=header)


def is_compressed(path: str | Path) -> bool:
    """Say whether a file holds a backbone with a compression inside.

    Raises:
        CheckpointError: no such file, a damaged one, or one of a newer vidskim.
    """
    return holds(path, KEY)


def read_compressed_metadata(path: str | Path) -> dict[str, Any]:
    """Return what the writer of a file added: recipe, metrics, source.

    Raises:
        CheckpointError: no such file, a damaged one, or not one that `save_compressed` wrote.
    """
    path = Path(path)
    return metadata_of(read_kind(path, KEY, otherwise=OTHERWISE), path=path)


def load_compressed(path: str | Path) -> Compressed:
    """Build a backbone and its compression with the weights of a file.

    Returns:
        The model on the CPU in evaluation mode, float32.

    Raises:
        CheckpointError: the file is missing, damaged, holds something else, or weights that are no
            numbers.
    """
    path = Path(path)
    raw = read_kind(path, KEY, otherwise=OTHERWISE)
    state = read_finite_state(path)
    parts = {part: part_of(state, part) for part in ("backbone.", "compression.")}
    try:
        header = clip_header_of(raw[KEY])
        backbone = build_network(header, parts["backbone."], path=path).eval()
        at = str(raw["at"])
        with torch.device("meta"):  # nothing is allocated before it is compared
            compression = TemporalCompression(
                map_channels(backbone, at), **dict(raw["compression"])
            )
        check_state(compression, parts["compression."], name="the compression", path=path)
        assign_state(compression, parts["compression."])
        whole = transform_of(raw["whole"])
        model = Compressed(backbone, at=at, compression=compression, transform=whole)
        model.segments = _segments(raw["segments"])
        if raw["stride"] is not None:
            model.stride = number_of(raw["stride"], "as stride", most=MAX_FRAMES)
    except DAMAGE as error:
        raise damaged(path, error) from error
    refuse_others(state, parts, path=path)
    return model.eval()


def _segments(told: Any) -> tuple[int, int] | None:
    if told is None:
        return None
    number, frames = told
    if any(type(n) is not int or n < 1 for n in (number, frames)):
        raise ValueError(f"segments {told!r}")
    if frames > MAX_CLIP_FRAMES or number * frames > MAX_FRAMES:
        raise ValueError(f"{number} segments of {frames} frames")
    return number, frames
