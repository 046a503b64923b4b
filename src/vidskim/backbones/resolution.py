"""Fully convolutional inference: a clip classifier tested at another size than it was trained at.

PySlowFast trains on crops of 224 pixels and tests on crops of 256, its head sliding over the larger
map with the window that the training size gives (models/head_helper.py)::

    trained at 224:  map 7x7, one mean         tested at 256:  map 8x8, four means of 7x7
"""

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from vidskim.account import on_meta
from vidskim.backbones.contract import ClipSpec
from vidskim.backbones.network import Network
from vidskim.clips.transform import Transform
from vidskim.errors import UsageError, first_line


def set_test_size(backbone: Network, size: int) -> None:
    """Let a clip classifier look at square crops of another size than those it was trained on.

    Its frames are resized to that short side, its crop and clip become that large, and its head
    averages class probabilities over windows of the training size's map (`Network.head_window`),
    unless it averages windows by itself (I3D, S3D). Called again, that window stays.

    Args:
        backbone: a network on clips; changed in place.
        size: pixels, 256 in PySlowFast's tests of networks trained at 224.

    Raises:
        UsageError: a network that takes no clips, or a size at which its map is empty.
    """
    if backbone.clip is None or backbone.transform is None:
        raise UsageError(f"{backbone.name} is no clip classifier: it has no size to test at")
    if type(size) is not int or size < 1:
        raise UsageError(f"a test size is a whole number of pixels above zero, got {size!r}")
    clip = replace(backbone.clip, size=(size, size))
    window = backbone.head_window
    if window is None and not backbone.slides_by_itself:
        window = map_size(backbone, backbone.clip)
    map_size(backbone, clip)
    backbone.transform = resized_transform(backbone.transform, size)
    backbone.head_window = window
    backbone.clip = clip


def map_size(backbone: Network, clip: ClipSpec) -> tuple[int, int]:
    """Return (height, width) of the last map of a clip; nothing is computed for it.

    Raises:
        UsageError: the network does not take clips of this shape.
    """
    ghost = cast(Network, on_meta(backbone))
    try:
        with torch.device("meta"), torch.no_grad():
            features: Tensor = ghost.features(torch.empty(clip.input_shape))
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"{backbone.name} does not take clips of {clip}: {first_line(error)}"
        ) from None
    height, width = features.shape[-2:]
    return height, width


def resized_transform(transform: Transform, size: int) -> Transform:
    """Return a transform whose frames have a short side, and whose crop has both, of ``size``.

    A fixed size to resize to keeps its shape (128x171 at 128 becomes 256x342 at 256); frames that
    are not resized stay as they are.
    """
    crop = (size, size)
    if transform.short_side is not None:
        return replace(transform, short_side=size, crop=crop)
    if transform.resize_to is not None:
        short = min(transform.resize_to)
        height, width = (round(side * size / short) for side in transform.resize_to)
        return replace(transform, resize_to=(height, width), crop=crop)
    return replace(transform, crop=crop)
