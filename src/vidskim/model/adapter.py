"""What brings the maps of one encoder to the form that memory and aggregator take."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool3d

from vidskim.account import on_meta
from vidskim.errors import UsageError, first_line
from vidskim.model.aggregate.base import pointwise
from vidskim.model.contract import Encoder

Places = tuple[int, int, int]
"""(T', h, w) of a map."""


class Adapter(nn.Module):
    """A learned 1x1x1 convolution where channels differ, an average over neighboring places.

    Where both agree nothing is done. FASTER (section 3) wants encoders whose maps agree; ours need
    not.

    Args:
        in_channels: C of the encoder's maps.
        channels: C of what follows.
        places: (T', h, w) that maps have afterwards; None leaves them as they are.
    """

    def __init__(self, in_channels: int, channels: int, *, places: Places | None = None) -> None:
        super().__init__()
        self.channels = channels
        self.places = places
        self.project: nn.Module = nn.Identity()
        if in_channels != channels:
            self.project = pointwise(in_channels, channels)
            nn.init.xavier_uniform_(self.project.weight)

    def forward(self, maps: Tensor) -> Tensor:
        """Map ``[M, C_e, T', H', W']`` to ``[M, C, *places]``."""
        if self.places is not None and tuple(maps.shape[2:]) != self.places:
            maps = adaptive_avg_pool3d(maps, self.places)
        projected: Tensor = self.project(maps)
        return projected


class Head(nn.Module):
    """The classifier of an encoder as an adapter: what is averaged is then each clip's logits."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self._classify = encoder.classify

    def forward(self, maps: Tensor) -> Tensor:
        """Map ``[M, C, T', H', W']`` to logits ``[M, K]``."""
        return self._classify(maps)


def make_adapters(
    encoders: Sequence[Encoder], *, channels: int | None = None, num_clips: Sequence[int] = ()
) -> list[Adapter]:
    """Return untrained adapters to the channels given and to the largest map that all cover.

    Args:
        encoders: of one time span.
        channels: C; by default that of the first encoder.
        num_clips: clips in a full input of each encoder; one by default.
    """
    shapes = [
        map_shape(encoder, num_clips=count)
        for encoder, count in zip(encoders, num_clips or [1] * len(encoders), strict=True)
    ]
    channels = shapes[0][0] if channels is None else channels
    T, h, w = (min(shape[n] for shape in shapes) for n in (1, 2, 3))
    return [Adapter(shape[0], channels, places=(T, h, w)) for shape in shapes]


def map_shape(
    encoder: Encoder, adapter: nn.Module | None = None, *, num_clips: int = 1
) -> tuple[int, int, int, int]:
    """Return (C, T', h, w) of the map that an encoder makes of clips, or its adapter of that.

    Args:
        encoder: with a clip.
        adapter: behind it.
        num_clips: how many are joined to one input.

    Raises:
        UsageError: the encoder does not take its clips, or the adapter not its map.
    """
    assert encoder.clip is not None
    assert isinstance(encoder, nn.Module)
    shape = encoder.clip.joined(num_clips).input_shape
    ghost: Any = on_meta(encoder)
    joined = on_meta(nn.Identity() if adapter is None else adapter)
    try:
        with torch.device("meta"), torch.no_grad():
            maps = joined(ghost.features(torch.empty(shape)))
        _, channels, T, h, w = maps.shape
    except Exception as error:  # of any network, wrapped
        what = f"clips {encoder.clip}" if adapter is None else "the adapter given it"
        joins = f", {num_clips} of them joined" if num_clips > 1 else ""
        reason = first_line(error)
        raise UsageError(f"{encoder.name} does not fit {what}{joins}: {reason}") from None
    return channels, T, h, w
