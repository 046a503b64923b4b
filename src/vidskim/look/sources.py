"""What a saliency network looks at: motion maps, residuals, key frames, log-mel windows.

A source reads its inputs from a video and prepares them for a network. It is saved beside the
weights, so that a network sees in use exactly what it was trained on (SCSampler, sections 3.3.1 and
3.3.2)::

    source      input [C, h, w]               inputs per clip
    motion      2, video / 16 (or resized)    every predicted frame
    residual    3, resized                    one predicted frame, or more
    keyframe    3, resized                    one: the first inside, else the last before
    audio       1, mel bands x steps          one window, twice the clip long
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vidskim.errors import CheckpointError, UsageError, unknown_name
from vidskim.io.motion import Motion
from vidskim.io.residual import Residual
from vidskim.types import Clip
from vidskim.video import Video

MOTION_SCALE = 4.0
"""Network input is motion in units of this many pixels per frame, cut at plus and minus 5 units."""
RESIDUAL_SCALE = 16.0
"""Network input is the residual in units of this many gray levels, cut at 8 units."""
LOG_MEL_SCALE = 8.0
"""Network input is the log-mel spectrum in units of this: 0 is silence, full scale about 2."""
IMAGE_MEAN, IMAGE_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's RGB images in [0, 1]."""
ALL_FRAMES = 10**6
"""Residual frames per clip that stand for every predicted frame of it."""
MAX_SIDE = 1024
"""Pixels of an input's side: more would take a machine's memory for a damaged number."""
MOST: Mapping[str, int | float] = {
    "per_clip": ALL_FRAMES,
    "window_clips": 1000.0,
    "num_mels": MAX_SIDE,
    "num_steps": 4096,
}
"""Of the other numbers of a source."""
BATCH_SIZES = (32, 512)
"""Inputs are handed out in about such numbers: few large ones, many small ones."""
BATCH_VALUES = 400_000
"""Values of a batch between these: what a CPU's caches take. ResNet-18 on motion maps takes a third
less time by 512 than by 128, on residuals of 112 pixels a tenth less by 32, and a quarter of the
memory."""

Kind = Literal["motion", "residual", "keyframe", "audio"]
Inputs = tuple[Tensor, Tensor]
"""Network inputs ``[P, C, h, w]`` and the position of each one's clip, int64 ``[P]``."""


class Source(Protocol):
    """What one saliency network looks at."""

    @property
    def kind(self) -> Kind:
        """What is read."""
        ...

    @property
    def channels(self) -> int:
        """C of the inputs."""
        ...

    def read(self, video: Video, clips: Sequence[Clip]) -> Iterator[Inputs]:
        """Yield inputs ``[P, C, h, w]`` and their clips' positions ``[P]``; P as `BATCH_SIZES`.

        Memory stays flat however long the video is. Clips that have no input (no predicted frame,
        no sound) are not among the owners.

        Raises:
            VideoError: the file cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class MotionMaps:
    """Motion displacements of the predicted frames, in pixels per frame.

    Attributes:
        size: (h, w) the maps are resized to; None leaves them at 1/16 of the video.
        b_frames: False leaves B-frames out of clips that have P-frames. The papers know P-frames
            only, and B-frames that nothing refers to need not even be decoded then.
    """

    size: tuple[int, int] | None = None
    b_frames: bool = True
    kind: Literal["motion"] = "motion"
    channels: int = 2

    def prepare(self, motion: Motion) -> Inputs:
        """Return the maps that tell anything; all-intra frames tell nothing of motion."""
        known = motion.intra.flatten(1).amin(1) < 1  # [P]
        return motion_input(motion.vectors[known], size=self.size), motion.clip_index[known]

    def read(self, video: Video, clips: Sequence[Clip]) -> Iterator[Inputs]:
        """Yield motion maps; see `Source.read`."""
        stream = (
            self.prepare(motion) for _, motion in video.iter_motion(clips, b_frames=self.b_frames)
        )
        return batches(stream)


@dataclass(frozen=True, slots=True)
class Residuals:
    """RGB residuals: what the codec's motion does not explain.

    Attributes:
        size: (h, w) the residuals are resized to.
        per_clip: predicted frames per clip that are looked at, evenly spread. The paper's text
            takes all of them, its cost figure allows about one; `ALL_FRAMES` takes all.
    """

    size: tuple[int, int] = (112, 112)
    per_clip: int = 1
    kind: Literal["residual"] = "residual"
    channels: int = 3

    def __post_init__(self) -> None:
        if self.per_clip < 1:
            raise UsageError(f"residual frames per clip are at least 1, got {self.per_clip}")

    def prepare(self, residual: Residual) -> Inputs:
        """Return the residuals as network input."""
        return residual_input(residual.values, size=self.size), residual.clip_index

    def read(self, video: Video, clips: Sequence[Clip]) -> Iterator[Inputs]:
        """Yield residuals; see `Source.read`."""
        stream = video.iter_residuals(clips, per_clip=self.per_clip)
        return batches(self.prepare(residual) for _, residual in stream)


@dataclass(frozen=True, slots=True)
class KeyFrames:
    """One key frame per clip, the only picture of a group that stands on its own.

    Attributes:
        size: (h, w) the pictures are resized to.
    """

    size: tuple[int, int] = (112, 112)
    kind: Literal["keyframe"] = "keyframe"
    channels: int = 3

    def read(self, video: Video, clips: Sequence[Clip]) -> Iterator[Inputs]:
        """Yield one picture per key frame and clip; see `Source.read`."""

        def prepared() -> Iterator[Inputs]:
            for positions, _, image in video.iter_key_frames(clips):
                x = image_input(image[None], size=self.size)
                owner = torch.as_tensor(positions, dtype=torch.int64)
                yield x.expand(len(owner), -1, -1, -1), owner

        return batches(prepared())


@dataclass(frozen=True, slots=True)
class LogMels:
    """One log-mel window per clip (SCSampler, section 3.3.2: twice the clip long, 40 x 200).

    Attributes:
        window_clips: length of the window in clips.
        num_mels: M, mel bands.
        num_steps: S, spectra.
    """

    window_clips: float = 2.0
    num_mels: int = 40
    num_steps: int = 200
    kind: Literal["audio"] = "audio"
    channels: int = 1

    def read(self, video: Video, clips: Sequence[Clip]) -> Iterator[Inputs]:
        """Yield windows; nothing where there is no track or nothing but silence in it."""
        stream = video.iter_log_mel(
            clips,
            window_clips=self.window_clips,
            num_mels=self.num_mels,
            num_steps=self.num_steps,
        )
        return batches((values / LOG_MEL_SCALE, positions) for positions, values in stream)


SOURCES: Mapping[str, type[MotionMaps | Residuals | KeyFrames | LogMels]] = {
    "motion": MotionMaps,
    "residual": Residuals,
    "keyframe": KeyFrames,
    "audio": LogMels,
}
"""Kind to source, in the order in which their scores are told."""


def to_json(source: Source) -> dict[str, Any]:
    """Return what a checkpoint says of its source."""
    record = asdict(source)  # type: ignore[call-overload]
    return {key: value for key, value in record.items() if key != "channels"}


def source_from_json(record: Mapping[str, Any]) -> Source:
    """Return the source that a checkpoint tells of.

    Raises:
        CheckpointError: it does not describe one.
    """
    values = dict(record)
    kind = str(values.pop("kind", ""))
    if kind not in SOURCES:
        raise CheckpointError(str(unknown_name("saliency source", kind, SOURCES)))
    try:
        if isinstance(values.get("size"), list):
            values["size"] = tuple(values["size"])
        if "channels" in values:  # follow from the kind
            raise ValueError
        source = SOURCES[kind](**values)
        check_source(source)
    except (TypeError, ValueError, UsageError):
        raise CheckpointError(f"its source is no {kind} source: {dict(record)!r}") from None
    return source


def check_source(source: Source) -> None:
    """Refuse numbers that no input can have, or that would take a machine's memory.

    Raises:
        UsageError: with the value.
    """
    size = getattr(source, "size", None)
    sides = () if size is None and isinstance(source, MotionMaps) else size
    for name, value in asdict(source).items():  # type: ignore[call-overload]
        most = MOST.get(name)
        if most is not None and not (type(value) in (int, type(most)) and 0 < value <= most):
            raise UsageError(f"{name} is above 0 and at most {most:g}, got {value!r}")
        if name == "b_frames" and not isinstance(value, bool):
            raise UsageError(f"b_frames is true or false, got {value!r}")
    if isinstance(source, LogMels):
        return
    whole = isinstance(sides, tuple) and all(type(n) is int and 0 < n <= MAX_SIDE for n in sides)
    if not whole or (size is not None and len(size) != 2):
        raise UsageError(f"a size is (height, width), each 1 to {MAX_SIDE}, got {size!r}")


def with_residuals(source: Source, per_clip: int) -> Source:
    """Return a source with another number of residual frames per clip, others as they are."""
    return replace(source, per_clip=per_clip) if isinstance(source, Residuals) else source


def read_together(
    video: Video, clips: Sequence[Clip], sources: Sequence[Source]
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Read several sources, motion and residuals in one decode.

    Args:
        video: the file.
        clips: any clips of it.
        sources: what is read.

    Yields:
        Place of the source, inputs ``[P, C, h, w]``, positions of their clips ``[P]``.
    """
    motions = [n for n, source in enumerate(sources) if isinstance(source, MotionMaps)]
    residuals = [n for n, source in enumerate(sources) if isinstance(source, Residuals)]
    counts = {source.per_clip for source in sources if isinstance(source, Residuals)}
    kinds = {source.b_frames for source in sources if isinstance(source, MotionMaps)}
    together = len(counts) == 1 and len(kinds) == 1
    if together:
        yield from _motion_and_residuals(
            video, clips, sources, per_clip=counts.pop(), b_frames=kinds.pop()
        )
    for n, source in enumerate(sources):
        if not together or n not in (*motions, *residuals):
            for inputs, owner in source.read(video, clips):
                yield n, inputs, owner


def _motion_and_residuals(
    video: Video,
    clips: Sequence[Clip],
    sources: Sequence[Source],
    *,
    per_clip: int,
    b_frames: bool,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    held: dict[int, _Pile] = {}
    stream = video.iter_compressed(clips, residuals_per_clip=per_clip, b_frames=b_frames)
    for _, motion, residual in stream:
        for n, source in enumerate(sources):
            if isinstance(source, MotionMaps):
                part = source.prepare(motion)
            elif isinstance(source, Residuals):
                part = source.prepare(residual)
            else:
                continue
            pile = held.setdefault(n, _Pile())
            if pile.add(part):
                yield n, *pile.take()
    for n, pile in held.items():
        if pile.count:
            yield n, *pile.take()


class _Pile:
    """Inputs that wait until there are enough of them for a network."""

    def __init__(self) -> None:
        self.parts: list[Inputs] = []
        self.count = 0

    def add(self, part: Inputs) -> bool:
        """Put a part on; return whether there are enough."""
        if len(part[1]):
            self.parts.append(part)
            self.count += len(part[1])
        values = part[0][:1].numel() or BATCH_VALUES
        least, most = BATCH_SIZES
        return self.count >= min(max(BATCH_VALUES // values, least), most)

    def take(self) -> Inputs:
        """Return all that waits, and be empty."""
        inputs, owner = (torch.cat(column) for column in zip(*self.parts))
        self.parts, self.count = [], 0
        return inputs, owner


def batches(stream: Iterator[Inputs]) -> Iterator[Inputs]:
    """Join inputs to batches of about `BATCH_SIZES`; empty ones are dropped."""
    pile = _Pile()
    for part in stream:
        if pile.add(part):
            yield pile.take()
    if pile.count:
        yield pile.take()


def motion_input(vectors: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
    """Scale motion maps ``[P, 2, h, w]`` for a network, resized to ``size`` if one is given."""
    return _resize((vectors / MOTION_SCALE).clamp(-5, 5), size)


def residual_input(values: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
    """Scale residuals ``[P, 3, H, W]`` for a network, resized to ``size`` if one is given."""
    return (_resize(values.float(), size) / RESIDUAL_SCALE).clamp(-8, 8)


def image_input(images: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
    """Normalize pictures uint8 ``[P, 3, H, W]`` for a network, resized if a size is given."""
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (IMAGE_MEAN, IMAGE_STD))
    return (_resize(images.float(), size) / 255 - mean) / std


def _resize(x: Tensor, size: tuple[int, int] | None) -> Tensor:
    if size is None or tuple(x.shape[-2:]) == tuple(size) or not len(x):
        return x if size is None or len(x) else x.new_zeros(0, x.shape[1], *size)
    return interpolate(x, size=size, mode="bilinear", antialias=True)
