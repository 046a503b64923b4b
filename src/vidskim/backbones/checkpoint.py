"""Backbones to files and back: safetensors with all that is needed to build the network again."""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.hf import check_header, is_hf, load_hf
from vidskim.backbones.hf_config import import_transformers
from vidskim.backbones.identify import NORM_COUNTER, Identity, identify, list_faults
from vidskim.backbones.network import Network
from vidskim.backbones.registry import list_networks, shapes_of
from vidskim.backbones.state_dict import read_state_dict, weight_format
from vidskim.backbones.weights import Weights, fetch, find_weights, forget, split_name
from vidskim.errors import CheckpointError, UsageError, listed, unknown_name
from vidskim.transforms import Transform

logger = logging.getLogger(__name__)

HEADER_KEY = "vidskim"
"""Our entry among the safetensors metadata; its value is one JSON object."""

HEADER_VERSION = 1

MAX_CLIP_FRAMES = 4096
MAX_FRAME_SIDE = 4096
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
    vidskim_version: str
    metadata: dict[str, Any]
    """Whatever the writer added: recipe, metrics, source."""
    head_window: tuple[int, int] | None = None
    """`Network.head_window`; absent from files before there was one."""


def save_backbone(
    backbone: Network, path: str | Path, *, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a backbone to a safetensors file, which appears only when it is complete.

    Args:
        backbone: any network of `create_backbone`.
        path: the file.
        metadata: plain JSON values to keep beside: recipe, metrics, source.

    Raises:
        CheckpointError: the file cannot be written.
        UsageError: ``metadata`` is not JSON.
    """
    path = Path(path)
    transform = backbone.transform
    header = {
        "version": HEADER_VERSION,
        "name": backbone.name,
        "options": dict(backbone.options),
        "num_classes": backbone.num_classes,
        "classes": backbone.classes,
        "clip": None if backbone.clip is None else asdict(backbone.clip),
        "transform": None if transform is None else transform.to_dict(),
        "head_window": backbone.head_window,
        "vidskim_version": _own_version(),
        "metadata": dict(metadata or {}),
    }
    try:
        text = json.dumps(header)
    except (TypeError, ValueError) as error:
        raise UsageError(f"a checkpoint's metadata are plain JSON values: {error}") from error
    tensors = {k: v.detach().cpu().contiguous() for k, v in backbone.state_dict().items()}
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, part, metadata={HEADER_KEY: text})
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be written ({error})") from error
    finally:
        if part.is_file():
            part.unlink()


def read_header(path: str | Path) -> Header:
    """Read what a vidskim checkpoint says of itself, without its tensors.

    Raises:
        CheckpointError: no such file, or not one that `save_backbone` wrote.
    """
    header = _find_header(Path(path))
    if header is None:
        raise CheckpointError(
            f"{path}: not a vidskim checkpoint (no header): load it with the backbone's name"
        )
    return header


def load_backbone(
    name: str | None = None,
    *,
    checkpoint: str | Path | None = None,
    num_classes: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Network:
    """Build a backbone with weights: published ones, or those of a checkpoint.

    The format is found from the file: vidskim's safetensors carry everything; a torchvision state
    dict (.pth, .pt, or plain safetensors) needs the backbone's name unless exactly one fits. The
    number of classes is read from the head. No tensor is ignored and none left untrained, except
    that ``num_classes`` other than the file's replaces the head on purpose.

    Args:
        name: the backbone; may be left out with a checkpoint that tells. ``hf:<id or folder>`` is a
            video classifier of the Hugging Face hub, its weights included.
            ``BACKBONE@ID`` asks for other published weights than the default ones, as in
            ``slow_r50_8x8@pytorchvideo-k400``.
        checkpoint: a file; by default the published weights of ``name``, fetched once.
        num_classes: classes you need; a head of another size is replaced by an untrained one.
        options: of the builder, where no tensor tells what the network was:
            ``{"nonlocal_pool": "2x2x2"}``, ``{"layout": "mmaction2"}``.

    Returns:
        The network on the CPU in evaluation mode, float32.

    Raises:
        CheckpointError: the file is missing, damaged, unsafe or made for another network, or the
            published weights cannot be had.
        UsageError: an unknown name or option, or neither name nor checkpoint.
    """
    if name is not None and is_hf(name):
        if checkpoint is None:
            return _with_head(load_hf(name), num_classes)
    elif name is not None:
        backbone_name = name if checkpoint is not None else split_name(name)[0]
        if backbone_name not in list_networks():
            raise unknown_name("backbone", backbone_name, list_networks())
    if checkpoint is None:
        if name is None:
            raise UsageError("load_backbone needs a backbone's name or a checkpoint")
        weights = find_weights(name)
        path = fetch(weights)
        try:
            header, state = _published(weights, path)
        except CheckpointError:
            forget(path)  # or the right file, put in its place, would count as changed
            raise
    else:
        path = Path(checkpoint)
        state = read_state_dict(path)
        found = _find_header(path)
        if found is not None and name not in (None, found.name):
            raise CheckpointError(
                f"{path}: holds {found.name}, not {name}: give name={found.name!r} or none"
            )
        if found is None:
            if name is not None and is_hf(name):
                raise CheckpointError(f"{path}: not written by vidskim: give hf:FOLDER alone")
            header, state = _identified(name, state, path=path)
        else:
            header = found
    if options:
        header = replace(header, options={**header.options, **options})
        shapes_of(header.name, num_classes=header.num_classes, **header.options)  # or a UsageError
    return _with_head(_build(header, state, path=path), num_classes)


def _with_head(backbone: Network, num_classes: int | None) -> Network:
    if num_classes is not None and num_classes != backbone.num_classes:
        backbone.reset_classifier(num_classes)
    return backbone.eval()


def _build(header: Header, state: dict[str, Tensor], *, path: Path) -> Network:
    """Build the network a header describes and give it the tensors, each checked first."""
    if is_hf(header.name):
        import_transformers()  # whose absence is no fault of the file
    try:
        backbone = shapes_of(header.name, num_classes=header.num_classes, **header.options)
    except (UsageError, TypeError, RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{path}: its header names no network we know: {error}") from error
    _check_state(backbone, state, path=path)
    _assign(backbone, state)
    if header.classes is not None and len(header.classes) != header.num_classes:
        raise CheckpointError(
            f"{path}: its header names {len(header.classes)} classes for a head of "
            f"{header.num_classes}"
        )
    backbone.classes = header.classes
    if header.clip is not None:
        backbone.clip = header.clip
    if header.transform is not None:
        backbone.transform = header.transform
    backbone.head_window = header.head_window
    return backbone


def _check_state(backbone: Network, state: Mapping[str, Tensor], *, path: Path) -> None:
    """Refuse tensors that do not fit a network one to one.

    Raises:
        CheckpointError: missing, left-over or differently shaped tensors, or integers for floating
            numbers; the first few are named.
    """
    expected = backbone.state_dict()
    shapes = {k: tuple(v.shape) for k, v in expected.items()}
    faults = list_faults(state, shapes, num_classes=backbone.num_classes)
    types = [
        f"{k} {v.dtype}"
        for k, v in state.items()
        if k in expected and v.is_floating_point() != expected[k].is_floating_point()
    ]
    if types:
        faults += f"{', ' if faults else ''}{len(types)} of another type ({listed(types)})"
    if faults:
        raise CheckpointError(f"{path}: does not fit {backbone.name}: tensors {faults}")


def _assign(backbone: nn.Module, state: dict[str, Tensor]) -> None:
    """Put tensors in place of the shapes; half-precision files become float32."""
    floats = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    counters = {  # of batch norm: absent from older files, of no use in evaluation
        k: torch.zeros((), dtype=torch.int64)
        for k in backbone.state_dict()
        if k.endswith(NORM_COUNTER) and k not in floats
    }
    backbone.load_state_dict({**floats, **counters}, assign=True)


def _published(weights: Weights, path: Path) -> tuple[Header, dict[str, Tensor]]:
    """Read a published file as what its record says, its tensors in our names.

    Raises:
        CheckpointError: it is not what the record says.
    """
    found = identify(read_state_dict(path), name=weights.backbone, path=path)
    header, tensors = _described(found, path=path)
    claims = {
        "names of its tensors": (weights.layout or found.publisher, found.publisher),
        "number of classes": (weights.num_classes or header.num_classes, header.num_classes),
        **{
            f"option {key}": (value, found.options.get(key, value))
            for key, value in weights.options.items()
        },
    }
    for what, (claimed, shown) in claims.items():
        if claimed != shown:
            raise CheckpointError(
                f"{path}: is not {weights.name} as its record describes it ({what}: {claimed!r} "
                f"there, {shown!r} here): delete it to download it again, or give the file as a "
                "checkpoint"
            )
    header = replace(
        header,
        options={**found.options, **weights.options},
        classes=weights.classes,
        clip=weights.clip,
        transform=weights.transform,
        head_window=weights.head_window,
    )
    return header, tensors


def _identified(
    name: str | None, state: dict[str, Tensor], *, path: Path
) -> tuple[Header, dict[str, Tensor]]:
    """Describe a state dict that says nothing of itself, and give its tensors in our names."""
    return _described(identify(state, name=name, path=path), path=path)


def _described(found: Identity, *, path: Path) -> tuple[Header, dict[str, Tensor]]:
    """Turn what a state dict was found to be into a header, and tell what is left out."""
    for reason in dict.fromkeys(found.left_out.values()):
        keys = [key for key, why in found.left_out.items() if why == reason]
        logger.warning(
            "%s: %d tensors are not loaded, %s (%s)", path, len(keys), reason, listed(keys)
        )
    if not found.num_classes:
        raise CheckpointError(f"{path}: its head has no classes: give a file whose head has some")
    header = Header(
        name=found.name,
        options=found.options,
        num_classes=found.num_classes,
        classes=None,
        clip=None,
        transform=found.transform,
        vidskim_version="",
        metadata={},
    )
    return header, found.tensors


def _find_header(path: Path) -> Header | None:
    """Return the header of a safetensors file of ours, None for any other weight file."""
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
        raw = json.loads(text)
        if raw["version"] > HEADER_VERSION:
            raise CheckpointError(
                f"{path}: written by vidskim {raw['vidskim_version']}, newer than this one: update "
                "vidskim"
            )
        clip, transform, classes = raw["clip"], raw["transform"], raw["classes"]
        window = raw.get("head_window")
        header = Header(
            name=str(raw["name"]),
            options=dict(raw["options"]),
            num_classes=raw["num_classes"],
            classes=None if classes is None else tuple(str(c) for c in classes),
            clip=None if clip is None else ClipSpec(**{**clip, "size": tuple(clip["size"])}),
            transform=None if transform is None else Transform.from_dict(transform),
            vidskim_version=str(raw["vidskim_version"]),
            metadata=dict(raw["metadata"]),
            head_window=None if window is None else _window(*window),
        )
        _check_sizes(header)
        if is_hf(header.name):
            check_header(header.name, header.options)
        return header
    except (ValueError, TypeError, KeyError, RecursionError, UsageError) as error:
        raise CheckpointError(f"{path}: its vidskim header is damaged ({error!r})") from error


def _window(height: int, width: int) -> tuple[int, int]:
    """Read a window as it stands in a header.

    Raises:
        UsageError: it is no pair of whole numbers above zero.
    """
    if any(type(n) is not int or n < 1 for n in (height, width)):
        raise UsageError(f"a head's window is (height, width) in places, got {height}, {width}")
    return height, width


def _check_sizes(header: Header) -> None:
    """Refuse clips and frames that no network takes.

    Raises:
        UsageError: more than `MAX_CLIP_FRAMES` frames, or a side above `MAX_FRAME_SIDE`.
    """
    clip, transform = header.clip, header.transform
    if clip is not None and clip.num_frames > MAX_CLIP_FRAMES:
        raise UsageError(f"clips of {clip.num_frames} frames, at most {MAX_CLIP_FRAMES} are read")
    sides = (1,) if clip is None else clip.size
    if transform is not None:
        sides += (transform.short_side or 1, *(transform.resize_to or ()), *(transform.crop or ()))
    if max(sides) > MAX_FRAME_SIDE:
        raise UsageError(f"frames of {max(sides)} pixels a side, at most {MAX_FRAME_SIDE} are read")


def _own_version() -> str:
    try:
        return version("vidskim")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0.0.0"
