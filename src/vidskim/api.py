"""One call for one video. For many videos build a `Recognizer` once and call it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vidskim.backbones.contract import Backbone
from vidskim.backbones.resolution import set_test_size
from vidskim.chosen import Budget, Selection, select_moments
from vidskim.fast import accelerate, check_fast_options
from vidskim.io.container import main_video_stream, open_container
from vidskim.look import Look
from vidskim.models import open_model
from vidskim.recognizer import Recognizer
from vidskim.samplers import SamplerOptions, look_of
from vidskim.types import Prediction
from vidskim.video import Video

DEFAULT_MODEL = "r2plus1d_18"


def make_recognizer(
    *,
    method: str = "motion",
    model: str = DEFAULT_MODEL,
    k: int = 10,
    sampler: str | None = None,
    options: SamplerOptions | None = None,
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
    look = look_of(method, k=k, sampler=sampler, options=options, random_weights=random_weights)
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
    options: SamplerOptions | None = None,
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
        method: which clips are looked at closely: dense, uniform, random, packets, motion,
            scsampler or cascade.
        model: backbone with published weights, path of a checkpoint, or ``demo``.
        k: clips to look at closely.
        sampler: checkpoints of the saliency networks of ``scsampler`` and ``cascade``, one per
            source, with commas between; by default the demo's.
        options: how they are used together, see `vidskim.samplers.SamplerOptions`.
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
        options=options,
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
    k: int | None = None,
    budget_seconds: float | None = None,
    budget_share: float | None = None,
    min_gap_seconds: float = 0.0,
    cover: int = 0,
    unit: str = "clip",
    sampler: str | None = None,
    options: SamplerOptions | None = None,
    num_frames: int = 16,
    stride: int = 1,
) -> Selection:
    """Choose the moments of a video that deserve a close look, without any classifier.

    Args:
        path: the file.
        method: as for `recognize`.
        k: clips or frames to choose; 10 where no budget is given either.
        budget_seconds: instead of k, how long the chosen clips may be together.
        budget_share: instead of k, the same as a share of the video; with unit "frame" of frames.
        min_gap_seconds: keep chosen clips, or frames, so far apart; there may be fewer then.
        cover: put at least one choice into each of so many equal parts of the video, then take the
            best of the rest.
        unit: "clip" or "frame". Frames are taken from the most salient clips, one from the middle
            of each before another of any, see `vidskim.spread.frame_ranks`.
        sampler: checkpoints of the saliency networks of ``scsampler`` and ``cascade``, one per
            source, with commas between; by default the demo's.
        options: how they are used together, see `vidskim.samplers.SamplerOptions`.
        num_frames: frames per clip.
        stride: distance between them.

    Raises:
        VideoError: the file cannot be read.
        UsageError: an unknown method or unit, a k, length or stride below 1, a sampler for a method
            that takes none, a budget, gap or coverage that is impossible, that the video has no
            room for, or for a method that scores nothing.
        CheckpointError: the sampler's weights cannot be had.
    """

    def look_for(number: int) -> Look:
        told = options
        if told is not None and told.visual_k is not None and k is None:  # a budget may hold fewer
            told = replace(told, visual_k=min(told.visual_k, number))
        return look_of(method, k=number, sampler=sampler, options=told)

    return select_moments(
        Video(path),
        look_for=look_for,
        budget=Budget(
            k=k,
            seconds=budget_seconds,
            share=budget_share,
            min_gap_seconds=min_gap_seconds,
            cover=cover,
        ),
        unit=unit,
        num_frames=num_frames,
        stride=stride,
    )
