"""One call for one video. For many videos build a `Recognizer` once and call it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Unpack

from vidskim.answer import build
from vidskim.answer.recognizer import Recognizer
from vidskim.declare import check_path, given, takes
from vidskim.errors import UsageError, VideoError
from vidskim.io.container import main_video_stream, open_container
from vidskim.io.live.growing import check_source
from vidskim.look.look import Look
from vidskim.look.methods import needs
from vidskim.look.moments import Budget, Selection, select_moments
from vidskim.look.open import look_of
from vidskim.model.load import is_name
from vidskim.options import MakeOptions, RecognizeOptions, SelectOptions, StreamOptions
from vidskim.types import Prediction
from vidskim.video import Video


@takes(RecognizeOptions)
def recognize(path: str | Path, **options: Unpack[RecognizeOptions]) -> Prediction:
    """Recognize what happens in a video file.

    Args:
        path: the file.
        **options: see `vidskim.options.RecognizeOptions`.

    Raises:
        VideoError: the file cannot be read.
        UsageError: an unknown option, method, model, precision or device, a value of another type
            or out of range, options that mean nothing to the method or the parts at hand.
        CheckpointError: weights that cannot be had.
    """
    return recognizer_for(path, **options)(path)


def recognizer_for(
    *paths: str | Path, has_attention: bool = False, **options: Unpack[RecognizeOptions]
) -> Recognizer:
    """Return the recognizer that options describe, for files of which one is known to be a video.

    Args:
        *paths: the files.
        has_attention: refuse models that compress nothing.
        **options: those of `recognize`.

    Raises:
        VideoError: no file can be read.
        UsageError: options that mean nothing to the model, a model without attention.
        CheckpointError: weights that cannot be had.
    """
    for path in paths:
        check_path(path)
    asked = given(options, RecognizeOptions)
    model = asked.get("model", build.DEFAULT_MODEL)
    compresses = asked.get("compress", "none") != "none"
    plain = UsageError(
        "an attention is that of a compressed encoder: give compress, method 'sfc', or the file of "
        f"a model that has one, got {model}"
    )
    is_whole = compresses or needs(asked.get("method"), "compression")
    if has_attention and not is_whole and is_name(model):
        raise plain
    readable = _readable(paths)  # before weights are fetched for nothing
    recognizer = make_recognizer(**options, videos=readable)
    if has_attention and not any(lane.is_compressed for lane in recognizer.lanes):
        raise plain
    return recognizer


def _readable(paths: Sequence[str | Path]) -> list[str | Path]:
    """Return the files that hold a video.

    Raises:
        VideoError: none does.
    """
    found: list[str | Path] = []
    reasons: list[VideoError] = []
    for path in paths:
        try:
            with open_container(path) as container:
                main_video_stream(container, path)
        except VideoError as error:
            reasons.append(error)
        else:
            found.append(path)
    if not found:
        raise reasons[0]
    return found


@takes(MakeOptions)
def make_recognizer(**options: Unpack[MakeOptions]) -> Recognizer:
    """Return the recognizer that options describe: what `recognize` makes for one video.

    Args:
        **options: see `vidskim.options.MakeOptions`.

    Raises:
        UsageError: an unknown option, method, model, precision or device, a value of another type
            or out of range, options that mean nothing to the method or the parts at hand.
        CheckpointError: weights that cannot be had.
    """
    return build.make_recognizer(**build.as_built(given(options, MakeOptions)))


@takes(StreamOptions)
def stream(
    source: str | Path | BinaryIO,
    *,
    warnings: list[str] | None = None,
    **options: Unpack[StreamOptions],
) -> Iterator[Prediction]:
    """Recognize a video while it is written or sent: an answer after every clip, all clips seen.

    Args:
        source: a file, which may still grow, a named pipe, ``-`` for standard input, or an open
            binary file or pipe.
        warnings: what could not be read is added here, most of it at the end.
        **options: see `vidskim.options.StreamOptions`.

    Returns:
        The answers, see `Recognizer.stream`.

    Raises:
        VideoError: here or while iterating: the source cannot be read.
        UsageError: an unknown option, model, precision or device, a value out of range.
        CheckpointError: weights that cannot be had.
    """
    asked = given(options, StreamOptions)
    idle_seconds = asked.pop("idle_seconds", 10.0)
    check_source(source)  # before weights are fetched for nothing
    recognizer = build.make_recognizer(method="dense", **build.as_built(asked))
    return recognizer.stream(source, idle_seconds=idle_seconds, warnings=warnings)


@takes(SelectOptions)
def select(path: str | Path, **options: Unpack[SelectOptions]) -> Selection:
    """Choose the moments of a video that deserve a close look, without any classifier.

    Args:
        path: the file.
        **options: see `vidskim.options.SelectOptions`.

    Raises:
        VideoError: the file cannot be read.
        UsageError: an unknown option, method or unit, a value of another type or out of range, a
            sampler for a method that takes none, a budget, gap or coverage that is impossible, that
            the video has no room for, or for a method that scores nothing.
        CheckpointError: the sampler's weights cannot be had.
    """
    check_path(path)
    asked = build.as_built(given(options, SelectOptions))
    method, sampler = asked.get("method", build.DEFAULT_METHOD), asked.get("sampler")
    k, steered = asked.get("k"), asked.get("options")

    def look_for(number: int) -> Look:
        how = steered
        if how is not None and how.visual_k is not None and k is None:  # a budget may hold fewer
            how = replace(how, visual_k=min(how.visual_k, number))
        return look_of(method, k=number, sampler=sampler, options=how)

    return select_moments(
        Video(path),
        look_for=look_for,
        budget=Budget(
            k=k,
            seconds=asked.get("budget_seconds"),
            share=asked.get("budget_share"),
            min_gap_seconds=asked.get("min_gap_seconds", 0.0),
            cover=asked.get("cover", 0),
        ),
        unit=asked.get("unit", "clip"),
        num_frames=asked.get("num_frames", 16),
        stride=asked.get("stride", 1),
    )
