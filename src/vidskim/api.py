"""One call for one video. For many videos build a `Recognizer` once and call it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidskim import presets
from vidskim.backbones.contract import Backbone
from vidskim.backbones.resolution import set_test_size
from vidskim.errors import UsageError, unknown_name
from vidskim.fast import accelerate, check_fast_options
from vidskim.io.container import main_video_stream, open_container
from vidskim.look import Choice, Look
from vidskim.models import open_model, open_sampler
from vidskim.recognizer import Recognizer
from vidskim.types import ChosenClip, Prediction, VideoInfo
from vidskim.video import Video

DEFAULT_MODEL = "r2plus1d_18"

UNITS = ("clip", "frame")
"""What `select` can choose."""


@dataclass(frozen=True, slots=True)
class Frames:
    """Single frames chosen from a video, in time order."""

    indices: tuple[int, ...]
    """Sorted and unique."""
    timestamps_seconds: tuple[float, ...]
    scores: tuple[float | None, ...]
    """Saliency of the stretch around each frame, None where nothing was scored."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a video deserves a close look."""

    video: VideoInfo
    method: str
    clips: tuple[ChosenClip, ...]
    saliency: tuple[float, ...] | None
    frames: Frames | None
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the object ``vidskim select --json`` prints."""
        answer: dict[str, Any] = {
            "video": self.video.to_json(),
            "method": self.method,
            "clips": [clip.to_json() for clip in self.clips],
            "saliency": None if self.saliency is None else list(self.saliency),
            "warnings": list(self.warnings),
        }
        if self.frames is not None:
            answer["frames"] = {key: list(value) for key, value in asdict(self.frames).items()}
        return answer


def make_recognizer(
    *,
    method: str = "motion",
    model: str = DEFAULT_MODEL,
    k: int = 10,
    sampler: str | None = None,
    random_weights: bool = False,
    num_crops: int = 1,
    size: int | None = None,
    precision: str = "fp32",
    fast: str | None = None,
    videos: Sequence[str | Path] = (),
    calibrate: Sequence[str | Path] | None = None,
    device: str = "cpu",
) -> Recognizer:
    """Return the recognizer that the command line's options describe; see `recognize`.

    With ``fast``, the classifier is checked, and calibrated, on clips of ``videos``.

    Raises:
        UsageError: an unknown method, model, precision or device, a k below 1, a sampler for a
            method that takes none, an impossible number of crops or size.
        CheckpointError: weights that cannot be had.
    """
    look = _look(method, k=k, sampler=sampler, random_weights=random_weights)
    check_fast_options(fast, calibrate=calibrate is not None, precision=precision, device=device)
    network, origin = open_model(model, random_weights=random_weights)
    if size is not None:
        set_test_size(network, size)
    encoder: Backbone = network
    if fast is not None:
        encoder = accelerate(network, kind=fast, videos=videos, calibrate=calibrate)
    return Recognizer(
        encoder,
        look=look,
        num_crops=num_crops,
        precision=precision,
        device=device,
        origin=origin,
    )


def recognize(
    path: str | Path,
    *,
    method: str = "motion",
    model: str = DEFAULT_MODEL,
    k: int = 10,
    sampler: str | None = None,
    random_weights: bool = False,
    num_crops: int = 1,
    size: int | None = None,
    precision: str = "fp32",
    fast: str | None = None,
    calibrate: Sequence[str | Path] | None = None,
    device: str = "cpu",
) -> Prediction:
    """Recognize what happens in a video file.

    Args:
        path: the file.
        method: which clips are looked at closely: dense, uniform, random, packets, motion or
            scsampler.
        model: backbone with published weights, path of a checkpoint, or ``demo``.
        k: clips to look at closely.
        sampler: checkpoint of the saliency network of ``scsampler``; by default the demo's.
        random_weights: run backbone and sampler untrained, to measure cost and speed only.
        num_crops: crops of each clip: 1 in the center, or 3 along its longer side.
        size: test on crops of so many pixels instead of the trained size (fully convolutional).
        precision: "fp32", "bf16", or "auto" for the faster one as measured here.
        fast: "bf16" or "int8": run the classifier by OpenVINO (extra ``fast``); what that costs in
            accuracy is measured on clips of the file and logged.
        calibrate: files on whose clips int8 is calibrated instead of the file's own.
        device: where the networks run, for example "cuda".

    Raises:
        VideoError: the file cannot be read.
        UsageError: an unknown method, model, precision or device, a k below 1, a sampler for a
            method that takes none, an impossible number of crops or size, a ``fast`` that is not
            installed or with another precision or device.
        CheckpointError: weights that cannot be had.
    """
    with open_container(path) as container:  # before weights are fetched for nothing
        main_video_stream(container, path)
    recognizer = make_recognizer(
        method=method,
        model=model,
        k=k,
        sampler=sampler,
        random_weights=random_weights,
        num_crops=num_crops,
        size=size,
        precision=precision,
        fast=fast,
        videos=[path],
        calibrate=calibrate,
        device=device,
    )
    return recognizer(path)


def select(
    path: str | Path,
    *,
    method: str = "motion",
    k: int = 10,
    unit: str = "clip",
    sampler: str | None = None,
    num_frames: int = 16,
    stride: int = 1,
) -> Selection:
    """Choose the moments of a video that deserve a close look, without any classifier.

    Args:
        path: the file.
        method: as for `recognize`.
        k: clips or frames to choose.
        unit: "frame" gives one frame from the middle of each chosen clip; where the grid has fewer
            clips than frames are wanted, it is laid finer.
        sampler: checkpoint of the saliency network of ``scsampler``; by default the demo's.
        num_frames: frames per clip.
        stride: distance between them.

    Raises:
        VideoError: the file cannot be read.
        UsageError: an unknown method or unit, a k, length or stride below 1, a sampler for a method
            that takes none.
        CheckpointError: the sampler's weights cannot be had.
    """
    if unit not in UNITS:
        raise unknown_name("unit", unit, UNITS)
    look = _look(method, k=k, sampler=sampler)
    video = Video(path)
    if unit == "frame" and num_frames > 0 and stride > 0:
        num_frames = max(1, min(num_frames * stride, video.info.num_frames // k))
        stride = 1
    choice = look(video, num_frames=num_frames, stride=stride)
    scores = choice.scores
    return Selection(
        video=video.info,
        method=method,
        clips=tuple(
            ChosenClip(clip, None if scores is None else float(scores[clip.index]), "")
            for clip in choice.clips
        ),
        saliency=None if scores is None else tuple(scores.tolist()),
        frames=_middles(choice, video.timestamps_seconds) if unit == "frame" else None,
        warnings=tuple(video.warnings),
    )


def _look(method: str, *, k: int, sampler: str | None, random_weights: bool = False) -> Look:
    """Return the `Look` of a method; only ``scsampler`` takes a sampler's checkpoint."""
    if sampler is not None and method in presets.METHODS and method != "scsampler":
        raise UsageError(
            f"method {method!r} takes no sampler, got {sampler!r}: choose method 'scsampler'"
        )
    return presets.look(
        method, k=k, saliency=lambda: open_sampler(sampler, random_weights=random_weights)
    )


def _middles(choice: Choice, timestamps_seconds: NDArray[np.float64]) -> Frames:
    """Return the middle frame of every chosen clip."""
    indices = [clip.frame_indices[(clip.num_valid - 1) // 2] for clip in choice.clips]
    scores = choice.scores
    return Frames(
        indices=tuple(indices),
        timestamps_seconds=tuple(float(timestamps_seconds[i]) for i in indices),
        scores=tuple(
            None if scores is None else float(scores[clip.index]) for clip in choice.clips
        ),
    )
