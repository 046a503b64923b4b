"""Backbones to files and back: safetensors with all that is needed to build the network again."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidskim.backbones.catalog.weights import Weights, fetch, find_weights, forget, split_name
from vidskim.backbones.files.header import (
    DAMAGE,
    Header,
    damaged,
    describe_network,
    header_of,
    read_raw,
    write_tensors,
)
from vidskim.backbones.files.identify import NORM_COUNTER, Identity, identify, list_faults
from vidskim.backbones.files.state_dict import read_state_dict
from vidskim.backbones.hf.config import import_transformers
from vidskim.backbones.hf.create import is_hf, load_hf
from vidskim.backbones.network import Network
from vidskim.backbones.registry import list_networks, shapes_of
from vidskim.errors import CheckpointError, UsageError, listed, unknown_name

logger = logging.getLogger(__name__)


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
    write_tensors(
        backbone.state_dict(),
        Path(path),
        header={**describe_network(backbone), "metadata": dict(metadata or {})},
    )


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
    return _with_head(build_network(header, state, path=path), num_classes)


def _with_head(backbone: Network, num_classes: int | None) -> Network:
    if num_classes is not None and num_classes != backbone.num_classes:
        backbone.reset_classifier(num_classes)
    return backbone.eval()


def build_network(header: Header, state: dict[str, Tensor], *, path: Path) -> Network:
    """Build the network a header describes and give it the tensors, each checked first."""
    if is_hf(header.name):
        import_transformers()  # whose absence is no fault of the file
    try:
        backbone = shapes_of(header.name, num_classes=header.num_classes, **header.options)
    except (UsageError, TypeError, RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{path}: its header names no network we know: {error}") from error
    check_state(backbone, state, name=backbone.name, path=path)
    assign_state(backbone, state)
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


def check_state(module: nn.Module, state: Mapping[str, Tensor], *, name: str, path: Path) -> None:
    """Refuse tensors that do not fit a network one to one.

    Args:
        module: the network, which may have shapes alone.
        state: its tensors by name.
        name: what the error calls the network.
        path: of the file they are from.

    Raises:
        CheckpointError: missing, left-over or differently shaped tensors, or integers for floating
            numbers; the first few are named.
    """
    expected = module.state_dict()
    shapes = {k: tuple(v.shape) for k, v in expected.items()}
    faults = list_faults(state, shapes)
    types = [
        f"{k} {v.dtype}"
        for k, v in state.items()
        if k in expected and v.is_floating_point() != expected[k].is_floating_point()
    ]
    if types:
        faults += f"{', ' if faults else ''}{len(types)} of another type ({listed(types)})"
    if faults:
        raise CheckpointError(f"{path}: does not fit {name}: tensors {faults}")


def assign_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put copies of tensors in place of the shapes; half-precision files become float32.

    Copies, as a file's tensors lie in it at any address, and products of numbers that are not
    aligned differ in their last digit from those of the network that was saved.
    """
    floats = {
        k: v.to(torch.float32 if v.is_floating_point() else v.dtype, copy=True)
        for k, v in state.items()
    }
    counters = {  # of batch norm: absent from older files, of no use in evaluation
        k: torch.zeros((), dtype=torch.int64)
        for k in module.state_dict()
        if k.endswith(NORM_COUNTER) and k not in floats
    }
    module.load_state_dict({**floats, **counters}, assign=True)


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
        metadata={},
    )
    return header, found.tensors


def _find_header(path: Path) -> Header | None:
    """Return the header of a backbone's file of ours, None for any other weight file."""
    raw = read_raw(path)
    if raw is None:
        return None
    if "name" not in raw:
        raise CheckpointError(
            f"{path}: holds a model of several parts, no single backbone: give the file alone as "
            "--model, or open it with load_model"
        )
    try:
        return header_of(raw, metadata=raw["metadata"])
    except DAMAGE as error:
        raise damaged(path, error) from error
