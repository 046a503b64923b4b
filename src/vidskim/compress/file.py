"""A backbone and its compression to a file and back: one safetensors file with both in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vidskim.backbones.checkpoint import assign_state, build_network, check_state
from vidskim.backbones.header import (
    DAMAGE,
    MAX_CLIP_FRAMES,
    MAX_FRAME_SIDE,
    damaged,
    describe,
    header_of,
    read_raw,
    write_tensors,
)
from vidskim.backbones.state_dict import read_finite_state
from vidskim.compress.attention import TemporalCompression
from vidskim.compress.compressed import Compressed, map_channels
from vidskim.errors import CheckpointError, listed
from vidskim.transforms import Transform

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
        "compressed": describe(model.backbone),
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
    return "compressed" in (read_raw(Path(path)) or {})


def read_compressed_metadata(path: str | Path) -> dict[str, Any]:
    """Return what the writer of a file added: recipe, metrics, source.

    Raises:
        CheckpointError: no such file, a damaged one, or not one that `save_compressed` wrote.
    """
    path = Path(path)
    told = _read(path).get("metadata")
    if not isinstance(told, dict):
        raise damaged(path, ValueError("metadata"))
    return told


def load_compressed(path: str | Path) -> Compressed:
    """Build a backbone and its compression with the weights of a file.

    Returns:
        The model on the CPU in evaluation mode, float32.

    Raises:
        CheckpointError: the file is missing, damaged, holds something else, or weights that are no
            numbers.
    """
    path = Path(path)
    raw = _read(path)
    state = read_finite_state(path)
    parts = {
        part: {k.removeprefix(part): v for k, v in state.items() if k.startswith(part)}
        for part in ("backbone.", "compression.")
    }
    try:
        header = header_of(raw["compressed"])
        if header.clip is None or header.transform is None:
            raise ValueError(f"{header.name} without a clip or transform")
        backbone = build_network(header, parts["backbone."], path=path).eval()
        at = str(raw["at"])
        with torch.device("meta"):  # nothing is allocated before it is compared
            compression = TemporalCompression(
                map_channels(backbone, at), **dict(raw["compression"])
            )
        check_state(compression, parts["compression."], name="the compression", path=path)
        assign_state(compression, parts["compression."])
        whole = _whole(raw["whole"])
        model = Compressed(backbone, at=at, compression=compression, transform=whole)
        model.segments = _segments(raw["segments"])
        model.stride = _stride(raw["stride"])
    except DAMAGE as error:
        raise damaged(path, error) from error
    unknown = [name for name in state if not name.startswith(tuple(parts))]
    if unknown:
        raise CheckpointError(f"{path}: holds tensors of no part ({listed(unknown)})")
    return model.eval()


def _read(path: Path) -> dict[str, Any]:
    raw = read_raw(path)
    if raw is None or "compressed" not in raw:
        raise CheckpointError(
            f"{path}: holds no backbone with a compression; train one with a recipe of task 'sfc'"
        )
    return raw


def _whole(told: Any) -> Transform:
    """Read the transform of whole frames, whose size no other part of the file bounds."""
    transform = Transform.from_dict(told)
    sizes = (transform.short_side or 1, *(transform.resize_to or ()), *(transform.crop or ()))
    if max(sizes) > MAX_FRAME_SIDE:
        raise ValueError(f"frames of {max(sizes)} pixels a side")
    return transform


def _segments(told: Any) -> tuple[int, int] | None:
    if told is None:
        return None
    number, frames = told
    if any(type(n) is not int or n < 1 for n in (number, frames)):
        raise ValueError(f"segments {told!r}")
    if frames > MAX_CLIP_FRAMES or number * frames > MAX_FRAMES:
        raise ValueError(f"{number} segments of {frames} frames")
    return number, frames


def _stride(told: Any) -> int | None:
    if told is None:
        return None
    if type(told) is not int or not 0 < told <= MAX_FRAMES:
        raise ValueError(f"stride {told!r}")
    return told
