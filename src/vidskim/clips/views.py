"""Views: spatial crops of clips, and the mean back over them.

A view is one clip seen through one crop; the papers' "30 crops" are 10 clips x 3 crops::

    +-----+---+-----+      three crops of a wide frame, left to right (a tall one: top to bottom);
    |  0  | 1 |  2  |      neighbors overlap where the frame is narrower than three crops
    +-----+---+-----+
"""

from dataclasses import replace

import torch
from torch import Tensor

from vidskim.clips.transform import Transform
from vidskim.errors import UsageError

CROPS = (1, 3)
"""Crops per clip that can be asked for."""


def views_of(frames: Tensor, *, transform: Transform, num_crops: int) -> Tensor:
    """Prepare the views of one clip for a network: resize, crop, normalize.

    Args:
        frames: decoded, uint8 RGB ``[T, 3, H, W]``.
        transform: of the network; its crop is what each view shows.
        num_crops: 1 takes the transform's own center crop, 3 spread crops of that size along the
            longer side of the resized frame.

    Returns:
        float32 ``[num_crops, 3, T, h, w]``.

    Raises:
        UsageError: another number of crops, or several from a transform that does not crop.
    """
    check_crops(num_crops, transform)
    if num_crops == 1:
        return transform(frames)[None]
    H, W = frames.shape[-2:]
    # the size is fixed before the crop is taken away: it may depend on the crop
    whole = replace(transform, short_side=None, resize_to=transform.resized_size(H, W), crop=None)
    assert transform.crop is not None
    return crops(whole(frames)[None], num_crops=num_crops, size=transform.crop)


def check_crops(num_crops: int, transform: Transform) -> None:
    """Refuse views that a transform cannot give.

    Raises:
        UsageError: another number of crops than `CROPS`, or several where nothing is cropped.
    """
    if type(num_crops) is not int or num_crops not in CROPS:
        raise UsageError(f"num_crops is 1 or 3, got {num_crops!r}")
    if num_crops > 1 and transform.crop is None:
        raise UsageError(
            f"{num_crops} crops need a transform that crops, this one keeps the whole frame: "
            f"{transform}"
        )


def crops(frames: Tensor, *, num_crops: int, size: int | tuple[int, int]) -> Tensor:
    """Cut crops from every clip: the center one, or three spread along the longer side.

    Args:
        frames: ``[N, ..., H, W]``, any type.
        num_crops: 1 or 3.
        size: the crop's side or its (height, width) in pixels.

    Returns:
        ``[N * num_crops, ..., h, w]``; the crops of one clip are neighbors.

    Raises:
        UsageError: another number of crops, or frames smaller than a crop.
    """
    height, width = (size, size) if isinstance(size, int) else size
    H, W = frames.shape[-2:]
    if num_crops not in CROPS:
        raise UsageError(f"num_crops is 1 or 3, got {num_crops}")
    if not (0 < height <= H and 0 < width <= W):
        raise UsageError(
            f"a crop of {height}x{width} does not fit in frames of {H}x{W}: resize the short side "
            "to at least the crop, and do not crop before"
        )
    room_y, room_x = H - height, W - width
    center = (round(room_y / 2), round(room_x / 2))
    if num_crops == 1:
        places = [center]
    elif W >= H:
        places = [(center[0], 0), center, (center[0], room_x)]
    else:
        places = [(0, center[1]), center, (room_y, center[1])]
    cut = [frames[..., y : y + height, x : x + width] for y, x in places]
    return torch.stack(cut, dim=1).flatten(0, 1)  # [N, V, ...] -> [N * V, ...]


def fold(scores: Tensor, *, num_crops: int) -> Tensor:
    """Average the crops of each clip.

    Args:
        scores: ``[N * num_crops, ...]`` in the order `crops` gives.
        num_crops: crops per clip.

    Returns:
        ``[N, ...]``.

    Raises:
        UsageError: the number of scores is no multiple of ``num_crops``.
    """
    if num_crops < 1 or scores.shape[0] % num_crops:
        raise UsageError(
            f"{scores.shape[0]} scores are no whole number of clips with {num_crops} crops each"
        )
    return scores.reshape(-1, num_crops, *scores.shape[1:]).mean(dim=1)
