"""A backbone that looks at whole videos: an early part, compression over time, the late part.

Liu et al., "Selective Feature Compression", ICCV 2021, section 3. Early part, late part and
classifier keep their weights and statistics; the compression alone is trained, through the late
part.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from vidskim.account import on_meta
from vidskim.backbones.contract import ClipSpec, Maps, clip_of, split_at
from vidskim.backbones.network import Network
from vidskim.backbones.pathways import PathwayStem
from vidskim.backbones.resolution import resized_transform
from vidskim.clips.transform import Transform
from vidskim.errors import UsageError, first_line, unknown_name
from vidskim.look.methods import MAX_FRAMES
from vidskim.model.compression import Attention, TemporalCompression
from vidskim.model.windows import WINDOW_FRAMES, Reach, find_reach, in_windows

MANY_CLIPS = 64
"""Clips whose frames are a multiple of all strides, so that rounding does not show."""


class Compressed(nn.Module):
    """An encoder around an encoder: one pass over a whole video, compressed inside the network.

    An encoder like any other (`vidskim.model.contract.Encoder`), for inputs of any length.

    Args:
        backbone: any clip classifier; its parameters are frozen, its modules shared.
        at: stage after which its map is compressed: not the last one, behind which there is nothing
            left to be saved.
        transform: from decoded frames to what goes in; by default the backbone's, of the whole
            frame instead of a crop unless the network takes frames of one size only.
        compression: by default one with the paper's settings.

    Raises:
        UsageError: a network that takes no clips, a stage it does not have or the last one, a
            compression of other channels, or one that the late part does not take.
    """

    def __init__(
        self,
        backbone: Network,
        *,
        at: str,
        compression: TemporalCompression | None = None,
        transform: Transform | None = None,
    ) -> None:
        super().__init__()
        clip = clip_of(backbone)
        channels, steps = map_shape(backbone, at, clip)[:2]
        if compression is None:
            compression = TemporalCompression(channels)
        if compression.channels != channels:
            raise UsageError(
                f"{backbone.name} has {channels} channels after {at}, the compression "
                f"{compression.channels}: build it for the former"
            )
        self.backbone = backbone
        self.at = at
        self.compression = compression
        assert backbone.transform is not None
        own = backbone.transform if own_size(backbone) else whole_frame(backbone.transform)
        self.transform: Transform = transform or own
        self.segments: tuple[int, int] | None = None
        """(number, frames of each) that it was trained on, joined; None for whole videos."""
        self.segment_frames: int | None = None
        """Length of other segments, before the stride, that the grid is laid of."""
        self.stride: int | None = None
        """Distance between the frames of a video that go in; None for that of the backbone."""
        self._steps = {clip.num_frames: steps}
        self._reach: Reach | None = None
        self._is_traced = False
        for parameter in backbone.parameters():
            parameter.requires_grad_(False)
        self.train(self.training)

    @property
    def early(self) -> nn.Sequential:
        """The stages before the compression."""
        return split_at(self.backbone, self.at)[0]

    @property
    def late(self) -> nn.Sequential:
        """The stages behind it."""
        return split_at(self.backbone, self.at)[1]

    @property
    def own_clip(self) -> ClipSpec:
        """The clip the backbone was made for, at the stride of the frames that go in."""
        clip = clip_of(self.backbone)
        return clip if self.stride is None else replace(clip, stride=self.stride)

    @property
    def clip(self) -> ClipSpec:
        """The clips that lay the grid of a video: the backbone's, or the segments it was given."""
        own = self.own_clip
        if self.segment_frames is not None:
            return replace(own, num_frames=self.segment_frames // own.stride)
        return own if self.segments is None else replace(own, num_frames=self.segments[1])

    @property
    def num_classes(self) -> int:
        """Of the backbone."""
        return self.backbone.num_classes

    @property
    def num_features(self) -> int:
        """C of the last map."""
        return self.backbone.num_features

    @property
    def description(self) -> str:
        """What its compression is, in a few words."""
        return f"compressed {self.compression.ratio} to 1 after {self.at}"

    def classify(self, features: Tensor) -> Tensor:
        """Map ``[N, C, T', H', W']`` to logits ``[N, K]``, by the backbone's classifier."""
        return self.backbone.classify(features)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Of the backbone."""
        return self.backbone.classes

    @property
    def name(self) -> str:
        """Of the backbone."""
        return self.backbone.name

    def of_segments(self, num_frames: int) -> "Compressed":
        """Return the same, whose grid is of segments of so many frames, before the stride.

        Raises:
            UsageError: fewer than the stride, or more than go in whole.
        """
        stride = self.own_clip.stride
        if type(num_frames) is not int or not stride <= num_frames <= MAX_FRAMES:
            raise UsageError(
                f"a segment has at least {stride} frames, the stride of {self.name}, and at most "
                f"{MAX_FRAMES}, got {num_frames!r}"
            )
        other = copy.copy(self)
        other.segment_frames = num_frames
        return other

    def of_size(self, size: int) -> "Compressed":
        """Return the same, which takes whole frames of another short side.

        Raises:
            UsageError: no size in pixels, or a network of position embeddings.
        """
        if type(size) is not int or size < 1:
            raise UsageError(f"a test size is a whole number of pixels above zero, got {size!r}")
        own = own_size(self.backbone)
        if own is not None:
            raise UsageError(
                f"{self.name} takes frames of {own[0]}x{own[1]} only: leave out the size"
            )
        other = copy.copy(self)
        other.transform = replace(resized_transform(self.transform, size), crop=None)
        return other

    def train(self, mode: bool = True) -> "Compressed":
        """Set the compression to training or evaluation; the backbone never trains."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Map whole videos ``[N, 3, T, h, w]`` to logits ``[N, K]``."""
        return self.backbone.classify(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        """Map whole videos ``[N, 3, T, h, w]`` to the last map of few steps."""
        return self._finish(self.compression(self.encode(x)))

    def encode(self, x: Tensor) -> Maps:
        """Map whole videos to the map that is compressed, F; no gradient flows into it."""
        with torch.no_grad():
            return cast(Maps, self.early(x))

    def attend(
        self, frames: Iterator[Tensor], *, window_frames: int = WINDOW_FRAMES
    ) -> tuple[Tensor, Attention, int]:
        """Return the last map of one video, what was attended to, and T of what was compressed.

        The early part sees windows of the video where that gives the numbers of one pass (see
        `vidskim.model.windows`), clips of its own length where it takes no other, and all
        frames at once elsewhere. The last frame is repeated up to `frames_taken`.

        Args:
            frames: ``[V, 3, t, h, w]`` each, one after another.
            window_frames: new frames per window.

        Raises:
            UsageError: no frames.
        """
        maps = self.encode_parts(frames, window_frames=window_frames)
        first = maps[0] if isinstance(maps, tuple) else maps
        num_steps = first.shape[2]
        compressed, attention = self.compression.compress(maps)
        del maps, first  # the largest thing there is
        return self._finish(compressed), attention, num_steps

    def encode_parts(self, frames: Iterator[Tensor], *, window_frames: int = WINDOW_FRAMES) -> Maps:
        """Return F of one video whose frames come part by part; see `attend`."""
        early = self.early
        frames = _filled_up(frames, self.frames_taken)
        if self.takes_own_length():
            return joined([early(clip) for clip in _cut(frames, self.own_clip.num_frames)])
        reach = self.reach()
        if reach is None:
            return cast(Maps, early(joined(list(frames))))
        return joined(list(in_windows(early, frames, reach=reach, window_frames=window_frames)))

    def _finish(self, maps: Maps) -> Tensor:
        return cast(Tensor, self.late(maps))

    def reach(self) -> Reach | None:
        """Return what a step of F depends on, None where it is seen in one piece."""
        if not self._is_traced:
            self._reach = find_reach(self.early, num_frames=self.own_clip.num_frames)
            self._is_traced = True
        return self._reach

    def takes_own_length(self) -> bool:
        """Say whether the backbone takes clips of one length only (position embeddings)."""
        embed = self.backbone.stage_modules()[0]
        return getattr(embed, "any_length", True) is False

    @property
    def min_frames(self) -> int:
        """Fewest frames of a video: those of a clip, and as many as tau steps need."""
        clip = self.own_clip.num_frames
        steps = self.steps_of(clip)
        needed = -(-self.compression.ratio.numerator // self.compression.ratio.denominator)
        return clip * max(1, -(-needed // steps))

    @property
    def frame_multiple(self) -> int:
        """What the frames of an input are a multiple of.

        That is alpha of SlowFast, and of a transformer the frames of a patch.
        """
        embed = self.backbone.stage_modules()[0]
        patch: tuple[int, ...] = getattr(embed, "patch", (1,))
        return cast(int, getattr(self.backbone, "alpha", patch[0]))

    def frames_taken(self, num_frames: int) -> int:
        """Return how many frames are seen of a video of so many, the last one repeated.

        At least `min_frames`, and a multiple of `frame_multiple` or of the only length there is.
        """
        multiple = self.own_clip.num_frames if self.takes_own_length() else self.frame_multiple
        return -(-max(self.min_frames, num_frames) // multiple) * multiple

    @property
    def frames_per_step(self) -> int:
        """Frames that a step of the map stands for: the early part's strides over time."""
        clip = self.own_clip.num_frames
        total = clip if self.takes_own_length() else clip * MANY_CLIPS
        return max(1, total // self.steps_of(total))

    def first_frames(self, num_steps: int) -> list[int]:
        """Return the frame of the input at which each step of the map begins.

        Of several pathways, that which the slow one sees.
        """
        stem = self.backbone.stage_modules()[0]
        if isinstance(stem, PathwayStem):
            return [int(n) for n in stem.slow_indices(num_steps * stem.alpha)]
        return [step * self.frames_per_step for step in range(num_steps)]

    def steps_of(self, num_frames: int) -> int:
        """Return T of the map that is compressed for so many frames."""
        if num_frames not in self._steps:
            clip = replace(self.own_clip, num_frames=num_frames)
            self._steps[num_frames] = map_shape(self.backbone, self.at, clip)[1]
        return self._steps[num_frames]


def bare_of(encoder: Any) -> Any:
    """Return the classifier by itself, without a compression inside."""
    return encoder.backbone if isinstance(encoder, Compressed) else encoder


def is_joined(encoder: Any, join: int | None) -> bool:
    """Return whether the frames of a run of clips are one input of an encoder, of any length."""
    return join != 1 or isinstance(encoder, Compressed)


def check_stage(backbone: Network, at: str) -> None:
    """Refuse a stage after which nothing can be compressed.

    Raises:
        UsageError: an unknown one, or the last.
    """
    check_has_stages(backbone)
    valid = backbone.stages[:-1]
    if at not in backbone.stages:
        raise unknown_name(f"stage of {backbone.name}", at, valid)
    if at not in valid:
        raise UsageError(
            f"{at} is the last stage of {backbone.name}, behind which nothing is left to be saved: "
            f"give one of {', '.join(valid)}"
        )


def check_has_stages(backbone: Network) -> None:
    """Refuse a network of one piece.

    Raises:
        UsageError: fewer than two stages.
    """
    if len(backbone.stages) < 2:
        raise UsageError(
            f"{backbone.name} has no two stages to compress between: wrap it with stages=, the "
            "names of its submodules in order"
        )


def map_channels(backbone: Network, at: str) -> int:
    """Return the channels of the (first) map after a stage."""
    return map_shape(backbone, at, clip_of(backbone))[0]


def map_shape(backbone: Network, at: str, clip: ClipSpec) -> tuple[int, int, int, int]:
    """Return (C, T, H, W) of the (first) map after a stage; nothing is computed for it.

    Raises:
        UsageError: the network does not take clips of this shape, or see `check_stage`.
    """
    check_stage(backbone, at)
    early = split_at(cast(Network, on_meta(backbone)), at)[0]
    some = next(early.parameters(), torch.empty(0))
    try:
        with torch.device("meta"), torch.no_grad():
            maps: Maps = early(torch.empty(clip.input_shape, dtype=some.dtype))
    except Exception as error:  # of any network, wrapped
        raise UsageError(
            f"{backbone.name} does not take clips of {clip}: {first_line(error)}"
        ) from None
    _, C, T, H, W = (maps[0] if isinstance(maps, tuple) else maps).shape
    return C, T, H, W


def own_size(backbone: Network) -> tuple[int, int] | None:
    """Return the only (height, width) a network takes (position embeddings), None for any."""
    clip: ClipSpec | None = getattr(backbone.stage_modules()[0], "clip", None)
    return None if clip is None else clip.size


def whole_frame(transform: Transform) -> Transform:
    """Return a transform that crops nothing, frames resized as before.

    Where frames are cropped without being resized, they are resized to the crop's short side.
    """
    if transform.crop is None:
        return transform
    resizes = transform.short_side is not None or transform.resize_to is not None
    side = transform.short_side if resizes else min(transform.crop)
    return replace(transform, short_side=side, crop=None)


def joined(parts: list[Maps]) -> Maps:
    """Put maps ``[1, C, t, H, W]`` one after another; class tokens, of one place, are averaged.

    The list is used up: the map of a long video is never there twice.

    Raises:
        UsageError: no parts.
    """
    if not parts:
        raise UsageError("a video has at least one frame")
    if len(parts) == 1:
        return parts.pop()
    if isinstance(parts[0], Tensor):
        return _moved(cast(list[Tensor], parts))
    pathways = zip(*(cast(tuple[Tensor, ...], part) for part in parts), strict=True)
    return tuple(
        torch.cat(maps, 2).mean(2, keepdim=True)
        if maps[0].shape[2:] == (1, 1, 1)
        else torch.cat(maps, 2)
        for maps in pathways
    )


def _moved(parts: list[Tensor]) -> Tensor:
    """Join tensors over time, each given back as soon as it is copied."""
    first, T = parts[0], sum(part.shape[2] for part in parts)
    is_last = first.is_contiguous(memory_format=torch.channels_last_3d)
    whole = torch.empty(
        (*first.shape[:2], T, *first.shape[3:]),
        dtype=first.dtype,
        device=first.device,
        memory_format=torch.channels_last_3d if is_last else torch.contiguous_format,
    )
    del first
    end = 0
    while parts:
        part = parts.pop(0)
        end += part.shape[2]
        whole[:, :, end - part.shape[2] : end] = part
    return whole


def _cut(frames: Iterator[Tensor], length: int) -> Iterator[Tensor]:
    """Yield frames in parts of one length, of which they are a multiple."""
    rest: Tensor | None = None
    for part in frames:
        rest = part if rest is None else torch.cat([rest, part], dim=2)
        while rest.shape[2] >= length:
            yield rest[:, :, :length]
            rest = rest[:, :, length:]


def _filled_up(frames: Iterator[Tensor], taken: Callable[[int], int]) -> Iterator[Tensor]:
    """Yield frames, in parts; the last one again up to the number that is taken of so many."""
    seen, last = 0, None
    for part in frames:
        yield part
        seen, last = seen + part.shape[2], part[:, :, -1:]
    if last is not None and taken(seen) > seen:
        yield last.expand(-1, -1, taken(seen) - seen, -1, -1)
