"""What a vidskim file says of itself: one JSON object in the header of a safetensors file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.files.state_dict import weight_format
from vidskim.backbones.hf.create import check_header, is_hf
from vidskim.backbones.network import Network
from vidskim.clips.transform import Transform
from vidskim.errors import CheckpointError, UsageError, first_line
from vidskim.io.write.files import whole

HEADER_KEY = "vidskim"
"""Our entry among the safetensors metadata; its value is one JSON object."""

HEADER_VERSION = 2
"""The newest that is read; bare backbones are written as version 1, which others read."""

MAX_CLIP_FRAMES = 4096
MAX_FRAME_SIDE = 4096
MAX_RATE = 1000
"""What a checkpoint may ask for: more would take a machine's memory for a damaged number."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a vidskim checkpoint says of itself."""

    name: str
    options: dict[str, Any]
    num_classes: int
    classes: tuple[str, ...] | None
    clip: ClipSpec | None
    transform: Transform | None
    metadata: dict[str, Any]
    """Whatever the writer added: recipe, metrics, source."""
    head_window: tuple[int, int] | None = None
    """`Network.head_window`; absent from files before there was one."""


DAMAGE = (ValueError, TypeError, KeyError, AttributeError, RecursionError, UsageError)
"""What reading a header raises whose values are not what they should be."""


def describe_network(backbone: Network) -> dict[str, Any]:
    """Return all that is needed to build a backbone again, as plain JSON values."""
    transform = backbone.transform
    return {
        "name": backbone.name,
        "options": dict(backbone.options),
        "num_classes": backbone.num_classes,
        "classes": backbone.classes,
        "clip": None if backbone.clip is None else backbone.clip.to_dict(),
        "transform": None if transform is None else transform.to_dict(),
        "head_window": backbone.head_window,
    }


def header_of(raw: Mapping[str, Any], *, metadata: Mapping[str, Any] | None = None) -> Header:
    """Return the header that `describe` wrote.

    Args:
        raw: what it wrote.
        metadata: whatever the writer added.

    Raises:
        ValueError: damaged values; also the other classes of `DAMAGE`.
    """
    clip, transform, classes = raw["clip"], raw["transform"], raw["classes"]
    window = raw.get("head_window")
    header = Header(
        name=str(raw["name"]),
        options=dict(raw["options"]),
        num_classes=raw["num_classes"],
        classes=None if classes is None else tuple(str(c) for c in classes),
        clip=None if clip is None else ClipSpec.from_dict(clip),
        transform=None if transform is None else transform_of(transform),
        metadata=dict(metadata or {}),
        head_window=None if window is None else _window(*window),
    )
    if header.clip is not None:
        _check_clip(header.clip)
    if is_hf(header.name):
        check_header(header.name, header.options)
    return header


def read_raw(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in the header of a file of ours, None for any other weight file.

    Raises:
        CheckpointError: no such file, a damaged one, or one of a newer vidskim.
    """
    if weight_format(path) != "safetensors":
        return None
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(HEADER_KEY)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: damaged safetensors file ({error})") from error
    if text is None:
        return None
    try:
        raw: dict[str, Any] = json.loads(text)
        if type(raw["version"]) is not int:
            raise TypeError(f"version {raw['version']!r}")
        if raw["version"] > HEADER_VERSION:
            raise CheckpointError(
                f"{path}: written by vidskim {raw['vidskim_version']}, newer than this one: update "
                "vidskim"
            )
    except DAMAGE as error:
        raise damaged(path, error) from error
    return raw


def damaged(path: Path, error: Exception) -> CheckpointError:
    """Return the error to raise for a header that cannot be understood."""
    return CheckpointError(f"{path}: its vidskim header is damaged ({first_line(error)})")


def write_tensors(
    tensors: Mapping[str, Tensor], path: Path, *, header: Mapping[str, Any], version: int = 1
) -> None:
    """Write tensors and what they are to a file, which appears only when it is complete.

    Raises:
        CheckpointError: the file cannot be written.
        UsageError: the header is not JSON.
    """
    told = {"version": version, "vidskim_version": _own_version(), **header}
    try:
        text = json.dumps(told, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"a checkpoint's metadata are plain JSON values: {error}") from error
    plain = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    try:
        with whole(path) as part:
            save_file(plain, part, metadata={HEADER_KEY: text})
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be written ({error})") from error


def _window(height: int, width: int) -> tuple[int, int]:
    """Read a window as it stands in a header.

    Raises:
        UsageError: it is no pair of whole numbers above zero.
    """
    if any(type(n) is not int or n < 1 for n in (height, width)):
        raise UsageError(f"a head's window is (height, width) in places, got {height}, {width}")
    return height, width


def transform_of(told: Mapping[str, Any]) -> Transform:
    """Return a transform as it stands in a header.

    Raises:
        UsageError: damaged values, or frames that no network takes.
    """
    transform = Transform.from_dict(told)
    sides = (transform.short_side or 1, *(transform.resize_to or ()), *(transform.crop or ()))
    _check_side(max(sides))
    return transform


def _check_clip(clip: ClipSpec) -> None:
    """Refuse a clip that no network takes.

    Raises:
        UsageError: more than `MAX_CLIP_FRAMES` frames, a side above `MAX_FRAME_SIDE`, or a rate
            above `MAX_RATE` or below its inverse.
    """
    if clip.num_frames > MAX_CLIP_FRAMES:
        raise UsageError(f"clips of {clip.num_frames} frames, at most {MAX_CLIP_FRAMES} are read")
    if clip.rate is not None and not 1 <= clip.rate * MAX_RATE <= MAX_RATE**2:
        raise UsageError(
            f"a rate of {clip.rate} frames per second, 1/{MAX_RATE} to {MAX_RATE} are read"
        )
    _check_side(max(clip.size))


def _check_side(pixels: int) -> None:
    if pixels > MAX_FRAME_SIDE:
        raise UsageError(f"frames of {pixels} pixels a side, at most {MAX_FRAME_SIDE} are read")


def _own_version() -> str:
    try:
        return version("vidskim")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0.0.0"
