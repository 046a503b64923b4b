"""One call for one video. For many videos build a `Recognizer` once and call it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Unpack

from vidskim.answer.build import DEFAULT_MODEL, make_recognizer
from vidskim.answer.recognizer import Recognizer
from vidskim.errors import UsageError
from vidskim.io.container import main_video_stream, open_container
from vidskim.io.live.growing import check_source
from vidskim.look.look import Look
from vidskim.look.methods import needs
from vidskim.look.moments import Budget, Selection, select_moments
from vidskim.look.open import SamplerOptions, look_of
from vidskim.model.load import is_name
from vidskim.options import PartOptions, RecognizeOptions
from vidskim.types import Prediction
from vidskim.video import Video


def recognize(
    path: str | Path, *, model: Any = DEFAULT_MODEL, **asked: Unpack[RecognizeOptions]
) -> Prediction:
    """Recognize what happens in a video file.

    Args:
        path: the file.
        method: which clips are looked at closely: dense, uniform, random, packets, motion,
            scsampler or cascade, of a FASTER model faster, faster16 or faster32, of a backbone with
            a memory memory, and of one with a compression inside sfc. By default motion, and
            faster, memory or sfc for such a model.
        model: backbone with published weights, path of a checkpoint, or ``demo``.
        k: clips to look at; by default 10, and those of a FASTER model or preset. Of sfc, segments
            that are joined; by default the whole video, and 8 segments of a long one.
        sampler: checkpoints of the saliency networks of ``scsampler`` and ``cascade``, one per
            source, with commas between; by default the demo's.
        options: how they are used together, see `vidskim.look.open.SamplerOptions`.
        pattern: which encoder of a FASTER model sees which clip, instead of the model's own:
            1:7, all, none, first, or letters, see `vidskim.model.schedule.parse_pattern`.
        route: packets, motion or scsampler: send the expensive encoder to the clips that these
            find most salient, as often as the pattern has it.
        cheap: a second, cheap encoder: a name or a file.
        context: "memory" relates the clips of a video, "none" leaves the file's out.
        compress: stage after which the first encoder compresses over time, "none" for the bare one.
        join: clips that make one input of the first encoder: a number, or "all".
        aggregator: average, fast_gru, gru, lstm, concat or trained_average.
        segment_frames: length of the segments that a compressed backbone joins, before the stride.
        random_weights: run backbone and sampler untrained, to measure cost and speed only.
        num_crops: crops of each clip: 1 in the center, or 3 along its longer side.
        size: test on crops of so many pixels instead of the trained size (fully convolutional).
        batch_size: views per forward pass, see `Recognizer`.
        precision: "fp32", "bf16", or "auto" for the faster one as measured here.
        fast: "bf16" or "int8": run the classifier by OpenVINO (extra ``fast``); what that costs in
            accuracy is measured on clips of the file and logged.
        calibrate: files on whose clips int8 is calibrated instead of the file's own.
        device: where the networks run, for example "cuda".

    Raises:
        VideoError: the file cannot be read.
        UsageError: an unknown method, model, precision or device, a k below 1, a sampler for a
            method that takes none, an impossible number of crops or size, a ``fast`` that is not
            installed or with another precision or device, a FASTER method without its model.
        CheckpointError: weights that cannot be had.
    """
    recognizer = recognizer_for(path, model=model, **asked)
    return recognizer(path)


def recognizer_for(
    path: str | Path,
    *,
    model: Any = DEFAULT_MODEL,
    has_attention: bool = False,
    **asked: Unpack[RecognizeOptions],
) -> Recognizer:
    """Return the recognizer that options describe, for a file that is known to be a video.

    Args:
        path: the file.
        model: see `recognize`.
        has_attention: refuse models that compress nothing.
        asked: the other options of `recognize`.

    Raises:
        VideoError: the file cannot be read.
        UsageError: options that mean nothing to the model, a model without attention.
        CheckpointError: weights that cannot be had.
    """
    method = asked.get("method")
    compresses = asked.get("compress") not in (None, "none") or needs(method, "compression")
    plain = UsageError(
        "an attention is that of a compressed encoder: give compress, method 'sfc', or the file of "
        f"a model that has one, got {model}"
    )
    if has_attention and not compresses and is_name(model):
        raise plain
    with open_container(path) as container:  # before weights are fetched for nothing
        main_video_stream(container, path)
    recognizer = make_recognizer(model=model, videos=[path], **asked)
    if has_attention and not any(lane.is_compressed for lane in recognizer.lanes):
        raise plain
    return recognizer


def stream(
    source: str | Path | BinaryIO,
    *,
    model: Any = DEFAULT_MODEL,
    idle_seconds: float = 10.0,
    warnings: list[str] | None = None,
    **parts: Unpack[PartOptions],
) -> Iterator[Prediction]:
    """Recognize a video while it is written or sent: an answer after every clip, all clips seen.

    Args:
        source: a file, which may still grow, a named pipe, ``-`` for standard input, or an open
            binary file or pipe.
        model: see `recognize`.
        idle_seconds: a file that has not grown for so long is finished.
        warnings: what could not be read is added here, most of it at the end.
        parts: the options of `recognize` that are about parts and how they run.

    Returns:
        The answers, see `Recognizer.stream`.

    Raises:
        VideoError: here or while iterating: the source cannot be read.
        UsageError: an unknown model, precision or device, an impossible number of crops or size.
        CheckpointError: weights that cannot be had.
    """
    check_source(source)  # before weights are fetched for nothing
    recognizer = make_recognizer(method="dense", model=model, **parts)
    return recognizer.stream(source, idle_seconds=idle_seconds, warnings=warnings)


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
            of each before another of any, see `vidskim.look.budget.frame_ranks`.
        sampler: checkpoints of the saliency networks of ``scsampler`` and ``cascade``, one per
            source, with commas between; by default the demo's.
        options: how they are used together, see `vidskim.look.open.SamplerOptions`.
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
