"""What choosing costs before there is a video: a sampler's look at a minute beside dense.

SCSampler's text scores every predicted frame of a clip, its cost figure allows about one residual
per clip (section 4.1.1). How many are scored is a setting here, and this is its price.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vidskim.account import count
from vidskim.backbones.contract import ClipSpec
from vidskim.clips.grid import split
from vidskim.cost.video import VideoShape
from vidskim.look.network import NetworkSaliency
from vidskim.look.open import open_sampler
from vidskim.look.sampler import Sampler
from vidskim.look.sources import ALL_FRAMES, LogMels, MotionMaps, Residuals, Source

GOP_FRAMES = 12
"""One I-frame and 11 P-frames (SCSampler, section 3.3.1)."""
RESIDUALS = (1, 2, 4, 8, ALL_FRAMES)
"""Residual frames per clip whose cost is told."""


@dataclass(frozen=True, slots=True)
class LookCost:
    """Multiply-adds of one look at a video.

    Attributes:
        residuals: residual frames per clip that are looked at; None for every predicted frame, or
            where the sampler reads none.
        macs: by the kind of source, of the whole video.
    """

    residuals: int | None
    macs: Mapping[str, int]

    @property
    def total(self) -> int:
        """Of all sources."""
        return sum(self.macs.values())


@dataclass(frozen=True, slots=True)
class SamplerCost:
    """What a video costs to look at, beside classifying every clip of it."""

    video: VideoShape
    num_clips: int
    clip_macs: int
    inputs: Mapping[str, tuple[int, ...]]
    """Shape ``(C, h, w)`` that the network of each kind of source takes."""
    looks: tuple[LookCost, ...]
    """One, or one per setting of residual frames where the sampler reads residuals."""

    @property
    def dense_macs(self) -> int:
        """Of the classifier on every clip."""
        return self.num_clips * self.clip_macs

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        looks = [
            {"residuals_per_clip": look.residuals, "macs": dict(look.macs), "look_macs": look.total}
            for look in self.looks
        ]
        return {
            **self.video.to_json(),
            "clips": self.num_clips,
            "dense_macs": self.dense_macs,
            "inputs": {kind: list(shape) for kind, shape in self.inputs.items()},
            "looks": looks,
        }


def networks_of(names: str) -> Sequence[NetworkSaliency]:
    """Open the networks whose cost is asked for; no weights are needed.

    Args:
        names: checkpoints with commas between, or kinds of sources for the paper's networks.

    Raises:
        CheckpointError: a missing file, one that holds no saliency network, two for one source.
    """
    sampler = open_sampler(names, random_weights=True)
    assert isinstance(sampler, Sampler), "a sampler without a clip stride"
    return sampler.networks


def sampler_cost(
    networks: Sequence[NetworkSaliency],
    *,
    clip: ClipSpec,
    clip_macs: int,
    video: VideoShape | None = None,
) -> SamplerCost:
    """Count a sampler's look at a video of groups of 12 pictures.

    Args:
        networks: the sampler's.
        clip: length and stride of the classifier's clips, which lay the grid.
        clip_macs: multiply-adds of the classifier on one clip.
        video: by default a minute at 30 frames per second; of the size of its frames only motion
            maps that are not resized depend.
    """
    video = video or VideoShape()
    grid = split(range(video.num_frames), num_frames=clip.num_frames, stride=clip.stride)
    has_residuals = any(isinstance(saliency.source, Residuals) for saliency in networks)
    settings = RESIDUALS if has_residuals else (None,)
    looks = [
        look_cost(
            networks,
            clip=clip,
            num_frames=video.num_frames,
            residuals=number,
            frame_size=video.size,
        )
        for number in settings
    ]
    inputs = {s.kind: _shape(s.source, video.size) for s in networks}
    return SamplerCost(video, len(grid), clip_macs, inputs, tuple(looks))


def look_cost(
    networks: Sequence[NetworkSaliency],
    *,
    clip: ClipSpec,
    num_frames: int,
    residuals: int | None = None,
    gop_frames: int = GOP_FRAMES,
    frame_size: tuple[int, int] = VideoShape().size,
) -> LookCost:
    """Count a sampler's look at a video of groups of one I-frame and P-frames.

    Args:
        networks: the sampler's.
        clip: length and stride of the clips.
        num_frames: of the video.
        residuals: residual frames per clip; None as the networks say themselves.
        gop_frames: frames from one I-frame to the next.
        frame_size: (H, W) of the video.

    Returns:
        The multiply-adds of the networks. A `Look` at such a file counts the mel filters of sound
        besides, two thousandths of what VGGish takes.
    """
    grid = split(list(range(num_frames)), num_frames=clip.num_frames, stride=clip.stride)
    spans = [range(c.start_frame, min(c.stop_frame, num_frames)) for c in grid]
    predicted = [sum(1 for n in span if n % gop_frames) for span in spans]
    macs: dict[str, int] = {}
    per_clip: int | None = None
    for saliency in networks:
        source = saliency.source
        if isinstance(source, Residuals) and residuals is not None:
            source = replace(source, per_clip=residuals)
        if isinstance(source, Residuals):
            per_clip = source.per_clip
        number = sum(_inputs(source, predicted=number) for number in predicted)
        macs[source.kind] = number * count(saliency.network, _shape(source, frame_size)).macs
    return LookCost(None if per_clip == ALL_FRAMES else per_clip, macs)


def _inputs(source: Source, *, predicted: int) -> int:
    """Return how many inputs a clip with so many predicted frames has."""
    if isinstance(source, MotionMaps):
        return predicted
    if isinstance(source, Residuals):
        return min(source.per_clip, predicted)
    return 1


def _shape(source: Source, frame_size: tuple[int, int]) -> tuple[int, int, int]:
    """Return the shape ``(C, h, w)`` of a source's inputs."""
    if isinstance(source, LogMels):
        return (source.channels, source.num_mels, source.num_steps)
    height, width = getattr(source, "size", None) or (-(-side // 16) for side in frame_size)
    return (source.channels, height, width)
