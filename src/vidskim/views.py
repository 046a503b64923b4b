"""Views: spatial crops of clips, and the mean back over them.

A view is one clip seen through one crop; the papers' "30 crops" are 10 clips x 3 crops::

    +-----+---+-----+      three crops of a wide frame, left to right (a tall one: top to bottom);
    |  0  | 1 |  2  |      neighbors overlap where the frame is narrower than three crops
    +-----+---+-----+
"""

import torch
from torch import Tensor

from vidskim.errors import UsageError


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
    if num_crops not in (1, 3):
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
