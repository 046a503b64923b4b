"""The nouns of vidskim: a clip of a video, the prediction for it, and what that cost.

Letters used in every shape comment: B videos, N clips of a video, V views (clip x crop), C
channels, T frames, H, W, D pooled features, M mel bins, S mel steps, P predicted frames packed over
clips.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Clip:
    """T frames of one stretch of the time line, at even distances or not.

    Frames are numbered in presentation order. ``num_valid`` frames really exist; where a video ends
    inside the clip its last frame is repeated (``num_valid < num_frames``).
    """

    index: int
    """Position in the grid of candidate clips."""
    frame_indices: tuple[int, ...]
    """The T frame numbers that are read, ascending, the last valid one repeated past the end."""
    num_valid: int
    start_seconds: float
    end_seconds: float
    stop_frame: int
    """One past the last frame the clip spans (half-open, the gap behind its last frame included, as
    far as the video is known to go)."""

    @property
    def start_frame(self) -> int:
        """The first frame, where the clip begins."""
        return self.frame_indices[0]

    @property
    def num_frames(self) -> int:
        """T, repeated frames included."""
        return len(self.frame_indices)


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What the container says of a file, checked against its packets."""

    path: str
    duration_seconds: float
    num_frames: int
    frame_rate: Fraction
    width: int
    """Displayed width in pixels, after rotation."""
    height: int
    codec: str
    has_audio: bool
    rotation: int = 0
    """Clockwise degrees to turn decoded frames for display: 0, 90, 180 or 270."""

    def to_json(self) -> dict[str, Any]:
        """Return the ``video`` object of the command line's JSON."""
        rate = f"{self.frame_rate.numerator}/{self.frame_rate.denominator}"
        return {**asdict(self), "frame_rate": rate}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one answer cost, per video.

    ``macs`` counts multiply-adds (the papers' "GFLOPs" are 1e9 of these) of every network that ran,
    the look included; ``look_macs`` is the look's share; ``dense_macs`` is what the encoder would
    cost on every clip of the grid. ``seconds`` holds wall time of the stages ``look``, ``read``,
    ``encode``, ``aggregate`` and ``total``.
    """

    macs: int
    dense_macs: int
    look_macs: int
    frames_decoded: int
    bytes_read: int
    seconds: dict[str, float]
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Score:
    """One class and its probability."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class ChosenClip:
    """A clip the answer rests on, why it was chosen and which encoder saw it."""

    clip: Clip
    saliency: float | None
    encoder: str

    def to_json(self) -> dict[str, Any]:
        """Return one object of the command line's ``clips``."""
        return {
            "index": self.clip.index,
            "start_seconds": self.clip.start_seconds,
            "end_seconds": self.clip.end_seconds,
            "start_frame": self.clip.start_frame,
            "saliency": self.saliency,
            "encoder": self.encoder,
            "frame_indices": list(self.clip.frame_indices),
        }


@dataclass(frozen=True, slots=True)
class TimeAttention:
    """What a video that was compressed inside the network (SFC) was compressed from.

    K steps were kept of T; each is a mix of all T.
    """

    frame_indices: tuple[int, ...]
    """The first frame of each of the T steps."""
    seconds: tuple[float, ...]
    """When it is shown."""
    weights: Tensor
    """M, ``[K, T]``; each row sums to one."""
    kept: tuple[int, ...] | None
    """The steps that the K queries are; None where a query is no single step."""

    @property
    def received(self) -> Tensor:
        """How much of what was kept comes from each step, ``[T]``; sums to one."""
        return self.weights.mean(0)

    @property
    def num_inputs(self) -> int:
        """How many inputs were compressed, each by itself: blocks of the weights."""
        count, end = 0, -1
        for row in self.weights:
            seen = row.nonzero().flatten().tolist()
            count += seen[0] > end
            end = max(end, seen[-1])
        return count

    def to_json(self) -> dict[str, Any]:
        """Return the ``attention`` object of ``vidskim recognize --json``."""
        return {
            "frame_indices": list(self.frame_indices),
            "seconds": list(self.seconds),
            "received": [round(x, 6) for x in self.received.tolist()],
            "num_kept": len(self.weights),
            "kept": None if self.kept is None else list(self.kept),
        }


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one video: classes, the moments that said so, and what it cost."""

    video: VideoInfo
    method: str
    model: str
    predictions: tuple[Score, ...]
    """Best first."""
    clips: tuple[ChosenClip, ...]
    """In time order."""
    saliency: tuple[float, ...] | None
    """One per clip of the grid, or None where the method does not look."""
    cost: Cost
    warnings: tuple[str, ...] = field(default=())
    num_crops: int = 1
    """Crops through which each clip was seen."""
    precision: str = "fp32"
    """What the classifier ran in."""
    parts: Mapping[str, tuple[float | None, ...]] | None = None
    """What each source of the saliency says of every clip, None for clips it did not see."""
    encoders: tuple[str, ...] = ()
    """What ``clips`` call the encoders, the expensive one first."""
    schedule: str | None = None
    """Which of several encoders sees which clip, see `vidskim.model.schedule`; None for one."""
    is_multilabel: bool = False
    """Whether each score is the probability of its own class, of which several may be true."""
    attention: TimeAttention | None = None
    """What was attended to, where the whole video went through the network at once (SFC)."""

    @property
    def label(self) -> str:
        """The best class."""
        return self.predictions[0].label

    def to_json(self) -> dict[str, Any]:
        """Return the object ``vidskim recognize --json`` prints."""
        return {
            "video": self.video.to_json(),
            "method": self.method,
            "model": self.model,
            "predictions": [asdict(p) for p in self.predictions],
            "clips": [c.to_json() for c in self.clips],
            "saliency": None if self.saliency is None else list(self.saliency),
            "cost": asdict(self.cost),
            "warnings": list(self.warnings),
            "num_crops": self.num_crops,
            "precision": self.precision,
            "saliency_parts": None if self.parts is None else dict(self.parts),
            "encoders": list(self.encoders),
            "schedule": self.schedule,
            "is_multilabel": self.is_multilabel,
            "attention": None if self.attention is None else self.attention.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a classifier comes from: the name answers give it, and what they must warn of."""

    model: str
    warnings: tuple[str, ...] = ()
