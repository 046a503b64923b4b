"""What of a video was chosen, under a budget, and how other tools are told of it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidskim.errors import UsageError, VideoError, unknown_name
from vidskim.io.container import main_video_stream, open_container
from vidskim.look.budget import Rules, check_budget, check_gap, choose, frame_ranks, rank
from vidskim.look.look import Choice, Look
from vidskim.look.reel import Reel
from vidskim.types import ChosenClip, Clip, VideoInfo
from vidskim.video import Video

UNITS = ("clip", "frame")
"""What can be chosen."""

DEFAULT_K = 10


@dataclass(frozen=True, slots=True)
class Frames:
    """Single frames chosen from a video, in time order."""

    indices: tuple[int, ...]
    """Sorted and unique."""
    timestamps_seconds: tuple[float, ...]
    scores: tuple[float | None, ...]
    """Saliency of the stretch around each frame, None where nothing was scored."""


@dataclass(frozen=True, slots=True)
class SampleIndices:
    """The chosen frames as a callable, as Hugging Face's video loading takes one.

    ``load_video(path, sample_indices_fn=SampleIndices(...))`` calls it with the metadata of the
    file it opened and whatever else it was given; only the number of frames is looked at, to refuse
    another video.
    """

    path: str
    num_frames: int
    indices: tuple[int, ...]

    def __call__(self, metadata: Any, **kwargs: Any) -> NDArray[np.int64]:
        """Return the frame numbers ``[K]``, sorted and unique.

        Readers take the number of frames from the file's header where they do not count: it is
        zero in Matroska and may be wrong in AVI. So the header's number is accepted as well as the
        true one, and zero says nothing.

        Args:
            metadata: of the opened video; ``total_num_frames`` is an attribute or a key of it.
            **kwargs: ignored: the frames are chosen already.

        Raises:
            UsageError: the metadata is of a video with another number of frames.
        """
        found = (
            metadata.get("total_num_frames")
            if isinstance(metadata, Mapping) and not hasattr(metadata, "total_num_frames")
            else getattr(metadata, "total_num_frames", None)
        )
        if found and int(found) != self.num_frames and int(found) != self._declared():
            raise UsageError(
                f"the frames were chosen from {self.path} with {self.num_frames} frames, the video "
                f"at hand has {found}: select from that one"
            )
        return np.array(self.indices, np.int64)

    def _declared(self) -> int | None:
        """Return the number of frames in the file's header."""
        try:
            with open_container(self.path) as container:
                return int(main_video_stream(container, self.path).frames)
        except VideoError:
            return None


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a video deserves a close look."""

    video: VideoInfo
    method: str
    clips: tuple[ChosenClip, ...]
    """In time order; of chosen frames the clips they lie in."""
    saliency: tuple[float, ...] | None
    frames: Frames | None
    """None where clips were chosen."""
    warnings: tuple[str, ...]
    parts: Mapping[str, tuple[float | None, ...]] | None = field(default=None)
    """What each source of the saliency says of every clip, None for clips it did not see."""
    reel: Reel | None = None
    """How the chosen clips were written as a video, if they were."""

    def with_reel(self, reel: Reel) -> "Selection":
        """Return the same choice, and how it was written as a video."""
        warnings = dict.fromkeys([*self.warnings, *reel.warnings])
        return replace(self, reel=reel, warnings=tuple(warnings))

    @property
    def indices(self) -> list[int]:
        """Frame numbers, sorted and unique: the chosen frames, or all frames of the chosen clips.

        ``torchcodec.decoders.VideoDecoder(path).get_frames_at(indices=chosen.indices)`` reads them.
        """
        if self.frames is not None:
            return list(self.frames.indices)
        return sorted({n for chosen in self.clips for n in chosen.clip.frame_indices})

    def as_sample_indices_fn(self) -> SampleIndices:
        """Return the choice as the ``sample_indices_fn`` of ``transformers``' ``load_video``."""
        return SampleIndices(self.video.path, self.video.num_frames, tuple(self.indices))

    def to_json(self) -> dict[str, Any]:
        """Return the object ``vidskim select --json`` prints."""
        answer: dict[str, Any] = {
            "video": self.video.to_json(),
            "method": self.method,
            "clips": [clip.to_json() for clip in self.clips],
            "saliency": None if self.saliency is None else list(self.saliency),
            "saliency_parts": None if self.parts is None else dict(self.parts),
            "warnings": list(self.warnings),
        }
        if self.reel is not None:
            answer["reel"] = self.reel.to_json()
        if self.frames is not None:
            answer["frames"] = {key: list(value) for key, value in asdict(self.frames).items()}
        return answer


@dataclass(frozen=True, slots=True)
class Budget:
    """How much is chosen, and how far apart.

    Attributes:
        k: clips or frames; `DEFAULT_K` where nothing else limits the choice.
        seconds: how long the chosen clips may be together.
        share: the same as a share of the video, in (0, 1]; of its frames where frames are chosen.
        min_gap_seconds: at least so long from one chosen clip's end to the next one's start, or
            from one chosen frame to the next.
        cover: at least one choice in each of so many equal parts of the video.

    Raises:
        UsageError: an impossible value, or more than one of k, seconds and share.
    """

    k: int | None = None
    seconds: float | None = None
    share: float | None = None
    min_gap_seconds: float = 0.0
    cover: int = 0

    def __post_init__(self) -> None:
        given = [value for value in (self.k, self.seconds, self.share) if value is not None]
        if len(given) > 1:
            raise UsageError("give one of k, budget_seconds and budget_share, not several")
        if self.k is not None and self.k < 1:
            raise UsageError(f"k is a whole number of clips or frames, at least 1, got {self.k}")
        if self.seconds is not None:
            check_budget(self.seconds)
        if self.share is not None and not 0 < self.share <= 1:
            raise UsageError(f"budget_share is a share of the video in (0, 1], got {self.share}")
        check_gap(self.min_gap_seconds)
        if self.cover < 0:
            raise UsageError(f"cover is a number of parts, 0 for none, got {self.cover}")

    @property
    def number(self) -> int | None:
        """How many clips or frames, None where that hangs on the video."""
        unlimited = self.seconds is None and self.share is None
        return DEFAULT_K if unlimited and self.k is None else self.k

    @property
    def has_rules(self) -> bool:
        """Whether the choice must keep to more than a number."""
        return self.min_gap_seconds > 0 or self.cover > 0

    def seconds_of(self, video: VideoInfo) -> float | None:
        """Return how long the chosen clips may be together, None for any length."""
        return self.seconds if self.share is None else self.share * video.duration_seconds


def select_moments(
    video: Video,
    *,
    look_for: Callable[[int], Look],
    budget: Budget,
    unit: str = "clip",
    num_frames: int = 16,
    stride: int = 1,
) -> Selection:
    """Choose clips or frames of a video.

    Args:
        video: the file.
        look_for: gives the `Look` that chooses so many clips.
        budget: how much, and how far apart.
        unit: one of `UNITS`. Frames are taken from the most salient clips as
            `vidskim.look.budget.frame_ranks` says; where nothing is scored, one from the middle of
            each clip of a grid that is laid finer until it has enough clips.
        num_frames: frames per clip.
        stride: distance between them.

    Raises:
        VideoError: the file cannot be read.
        UsageError: an unknown unit, a length or stride below 1, a gap, coverage or budget of clips
            for a method that scores nothing or that the video has no room for.
    """
    if unit not in UNITS:
        raise unknown_name("unit", unit, UNITS)
    if num_frames < 1 or stride < 1:
        raise UsageError(
            f"clips need a length and stride of at least 1, got {num_frames}, {stride}"
        )
    if unit == "frame":
        if budget.seconds is not None:
            raise UsageError("frames have no length: give k or budget_share, not budget_seconds")
        num_frames, stride = num_frames * stride, 1
    k = budget.number
    if k is None:
        k = _number(video, budget=budget, unit=unit, num_frames=num_frames, stride=stride)
    look = look_for(k)
    _check_budget(budget, look)
    if unit == "frame":
        look = replace(look, k=None)  # clips may give several frames each
    info, times = video.info, video.timestamps_seconds
    if unit == "frame" and look.saliency is None:
        num_frames = max(1, min(num_frames, info.num_frames // k))
    choice = look(video, num_frames=num_frames, stride=stride)
    frames: list[int] | None = None
    if unit == "clip":
        chosen = _choose_clips(choice, k=k, budget=budget, video=video)
    elif choice.scores is None:
        frames = [clip.frame_indices[(clip.num_valid - 1) // 2] for clip in choice.clips]
        chosen = list(choice.chosen)
    else:
        frames = _choose_frames(choice, k=k, budget=budget, video=video)
        sizes = _sizes(choice.grid, num_frames=info.num_frames)
        owner = np.repeat(np.arange(len(sizes)), sizes)
        chosen = sorted({int(owner[n]) for n in frames})
    return _selection(
        video, look.method, replace(choice, chosen=tuple(chosen)), frames=frames, times=times
    )


def _check_budget(budget: Budget, look: Look) -> None:
    if budget.has_rules and look.saliency is None:
        raise UsageError(
            f"method {look.method!r} scores nothing, so it knows no next best clip: min_gap and "
            "cover go with packets, motion, scsampler and cascade"
        )
    if look.method == "dense" and (budget.k, budget.seconds, budget.share) != (None, None, None):
        raise UsageError("method 'dense' takes every clip: k and budgets go with other methods")


def _number(video: Video, *, budget: Budget, unit: str, num_frames: int, stride: int) -> int:
    """Return how many clips or frames a length or share holds, at least one."""
    if unit == "frame" and budget.share is not None:
        return max(1, int(budget.share * video.info.num_frames + 1e-9))
    grid = video.clips(num_frames=num_frames, stride=stride)
    seconds = budget.seconds_of(video.info)
    lengths = sorted(clip.end_seconds - clip.start_seconds for clip in grid)
    typical = lengths[len(lengths) // 2] if lengths else 0.0
    number = len(grid)
    if seconds is not None and typical > 0 and sum(lengths) > seconds + 1e-6:
        number = min(number, int(seconds / typical + 1e-6))
    return max(1, number, budget.cover)


def _choose_clips(choice: Choice, *, k: int, budget: Budget, video: Video) -> list[int]:
    """Return the chosen indices into the grid."""
    seconds = budget.seconds_of(video.info)
    if seconds is None and not budget.has_rules:
        return list(choice.chosen)
    starts = np.array([clip.start_seconds for clip in choice.grid])
    ends = np.array([clip.end_seconds for clip in choice.grid])
    if choice.scores is None:  # what the method chose, as far as the budget goes
        ranks = np.arange(len(starts)) + len(starts)
        ranks[list(choice.chosen)] = np.arange(len(choice.chosen))
        ranks = np.argsort(np.argsort(ranks))
        k = len(choice.chosen)
    else:
        ranks = rank(choice.scores.double().numpy())
        k = len(starts) if seconds is not None else k
    return choose(
        ranks,
        starts,
        ends,
        rules=Rules(k, seconds, budget.min_gap_seconds, budget.cover),
        start_seconds=float(video.timestamps_seconds[0]),
        end_seconds=video.packets.end_seconds,
    )


def _choose_frames(choice: Choice, *, k: int, budget: Budget, video: Video) -> list[int]:
    """Return the chosen frame numbers of a grid that was scored."""
    assert choice.scores is not None
    times = video.timestamps_seconds
    sizes = _sizes(choice.grid, num_frames=len(times))
    return choose(
        frame_ranks(choice.scores.double().numpy(), sizes, k=k),
        times,
        times,
        rules=Rules(k, None, budget.min_gap_seconds, budget.cover),
        start_seconds=float(times[0]),
        end_seconds=video.packets.end_seconds,
    )


def _sizes(grid: tuple[Clip, ...], *, num_frames: int) -> list[int]:
    """Return how many frames belong to each clip; a rest too short for a clip is the last one's."""
    edges = [*(clip.start_frame for clip in grid), num_frames]
    return np.diff(edges).tolist()


def _selection(
    video: Video,
    method: str,
    choice: Choice,
    *,
    frames: list[int] | None,
    times: NDArray[np.float64],
) -> Selection:
    scores = choice.scores
    told = None
    if frames is not None:
        starts = np.array([clip.start_frame for clip in choice.grid])
        owners = np.searchsorted(starts, frames, side="right") - 1
        told = Frames(
            indices=tuple(frames),
            timestamps_seconds=tuple(float(times[n]) for n in frames),
            scores=tuple(choice.score_of(choice.grid[n]) for n in owners),
        )
    return Selection(
        video=video.info,
        method=method,
        clips=tuple(choice.as_chosen(clip) for clip in choice.clips),
        saliency=None if scores is None else tuple(scores.tolist()),
        frames=told,
        warnings=tuple(video.warnings),
        parts=choice.told_parts,
    )
