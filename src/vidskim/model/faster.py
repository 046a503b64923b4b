"""FASTER as one model: an expensive and a cheap encoder, what joins their maps, the aggregator.

Zhu et al., "FASTER Recurrent Networks for Efficient Video Classification", AAAI 2020. One
safetensors file holds all of it, so that no file ever names another.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool3d

from vidskim.account import on_meta
from vidskim.backbones.contract import ClipSpec, same_clip
from vidskim.backbones.network import Network
from vidskim.errors import UsageError
from vidskim.model.aggregate import Learned
from vidskim.model.aggregate.base import pointwise
from vidskim.model.schedule import CHEAP, Pattern

Places = tuple[int, int, int]
"""(T', h, w) of a map."""


class Adapter(nn.Module):
    """Brings the maps of one encoder to the form that the aggregator takes.

    A learned 1x1x1 convolution where the channels differ, an average over neighboring places where
    the map is larger; where both agree nothing is done.

    Args:
        in_channels: of the encoder's maps.
        channels: C of the aggregator.
        places: (T', h, w) that the aggregator's maps have; None leaves the size as it is.
    """

    def __init__(self, in_channels: int, channels: int, *, places: Places | None = None) -> None:
        super().__init__()
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


class Faster(nn.Module):
    """Encoders of different cost in alternation, their maps aggregated in order.

    Args:
        encoders: the expensive one, and the cheap one if there are two; of the same clip length,
            stride and classes. They stay as they are: `train` leaves them in evaluation mode.
        aggregator: logits of the clips so far.
        adapters: one per encoder, from its maps to the aggregator's; by default new ones.
        pattern: which encoder sees which clip.
        num_clips: N that the aggregator was trained with.

    Raises:
        UsageError: encoders that do not see the same clips, adapters that do not fit, an aggregator
            of other classes, a pattern of more encoders than there are, or less than one clip.
    """

    def __init__(
        self,
        encoders: Sequence[Network],
        aggregator: Learned,
        *,
        adapters: Sequence[nn.Module] | None = None,
        pattern: Pattern,
        num_clips: int,
    ) -> None:
        super().__init__()
        if num_clips < 1:
            raise UsageError(f"a video has at least 1 clip, got num_clips {num_clips}")
        if CHEAP in pattern.period and len(encoders) < 2:
            raise UsageError(f"pattern {pattern} needs a cheap encoder: give two, or pattern 'all'")
        self.clip = common_clip(encoders)
        if adapters is None:
            adapters = make_adapters(encoders, channels=aggregator.channels)
        if len(adapters) != len(encoders):
            raise UsageError(f"{len(encoders)} encoders need as many adapters, got {len(adapters)}")
        _check_joined(encoders, adapters, aggregator)
        self.encoders = nn.ModuleList(encoders)
        self.adapters = nn.ModuleList(adapters)
        self.aggregator = aggregator
        self.pattern = pattern
        self.num_clips = num_clips
        self.classes = encoders[0].classes
        self.encoders.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "Faster":
        """Set adapters and aggregator to training or evaluation; the encoders never train."""
        super().train(mode)
        self.encoders.eval()
        return self

    def forward(self, maps: Mapping[int, tuple[Tensor, Tensor]]) -> Tensor:
        """Map what the encoders gave to logits ``[B, K]``.

        Args:
            maps: for each encoder's place, maps ``[B, n, C_e, T', H', W']`` of the clips it saw and
                their positions ``[n]`` or, where they differ between videos, ``[B, n]``; all
                positions of a video together are 0 to N - 1.
        """
        num_clips = sum(seen.shape[1] for seen, _ in maps.values())
        together: Tensor | None = None
        for place, (seen, positions) in maps.items():
            B, n = seen.shape[:2]
            joined = self.adapters[place](seen.flatten(0, 1)).unflatten(0, (B, n))
            if together is None:
                together = joined.new_zeros(B, num_clips, *joined.shape[2:])
            videos = torch.arange(B, device=joined.device)[:, None]
            together[videos, positions.to(joined.device).expand(B, n)] = joined
        assert together is not None, "no clip of any encoder"
        logits: Tensor = self.aggregator(together)
        return logits

    def networks(self) -> tuple[Network, ...]:
        """Return the encoders, the expensive one first."""
        return tuple(encoder for encoder in self.encoders if isinstance(encoder, Network))


def common_clip(encoders: Sequence[Network]) -> ClipSpec:
    """Return the clip that all encoders see, of the first one's size.

    Raises:
        UsageError: none or more than two encoders, one that takes no clips, clips of other lengths
            or strides, or other classes.
    """
    if len(encoders) not in (1, 2):
        raise UsageError(f"an expensive and a cheap encoder are needed, got {len(encoders)}")
    return same_clip(encoders)


def make_adapters(encoders: Sequence[Network], *, channels: int | None = None) -> list[Adapter]:
    """Return new adapters to the channels given and to the largest grid that all maps cover.

    Args:
        encoders: of one clip length.
        channels: C; by default that of the first encoder.
    """
    shapes = [map_shape(encoder) for encoder in encoders]
    channels = shapes[0][0] if channels is None else channels
    smallest = (
        min(shape[1] for shape in shapes),
        min(shape[2] for shape in shapes),
        min(shape[3] for shape in shapes),
    )
    return [Adapter(shape[0], channels, places=smallest) for shape in shapes]


def map_shape(encoder: Network, adapter: nn.Module | None = None) -> tuple[int, int, int, int]:
    """Return (C, T', h, w) of the map that an encoder makes of one clip, or its adapter of that.

    Raises:
        UsageError: the encoder does not take its clip, or the adapter not its map.
    """
    assert encoder.clip is not None
    ghost: Any = on_meta(encoder)
    joined = on_meta(nn.Identity() if adapter is None else adapter)
    try:
        with torch.device("meta"), torch.no_grad():
            maps = joined(ghost.features(torch.empty(encoder.clip.input_shape)))
        _, channels, T, h, w = maps.shape
    except (RuntimeError, ValueError, IndexError) as error:
        what = "its clips" if adapter is None else "the adapter given it"
        reason = str(error).splitlines()[0]
        raise UsageError(f"{encoder.name} does not fit {what} ({encoder.clip}): {reason}") from None
    return channels, T, h, w


def _check_joined(
    encoders: Sequence[Network], adapters: Sequence[nn.Module], aggregator: Learned
) -> None:
    """Refuse maps or classes that do not come together in an aggregator.

    Raises:
        UsageError: they do not.
    """
    if aggregator.num_classes != encoders[0].num_classes:
        raise UsageError(
            f"{aggregator.name} tells {aggregator.num_classes} classes apart, "
            f"{encoders[0].name} {encoders[0].num_classes}: give both the same"
        )
    shapes = [map_shape(e, adapter) for e, adapter in zip(encoders, adapters, strict=True)]
    if any(shape != (aggregator.channels, *shapes[0][1:]) for shape in shapes):
        told = " and ".join(str(list(shape)) for shape in shapes)
        raise UsageError(
            f"{aggregator.name} takes maps of {aggregator.channels} channels and one size, the "
            f"adapters give {told}: give others, or none for new ones"
        )
