"""Methods x manifest: every video is answered by every method, and what it cost is kept."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from vidskim.answer.build import Ask
from vidskim.answer.recognizer import Recognizer
from vidskim.data.manifest import Manifest, Row
from vidskim.errors import ManifestError, VideoError
from vidskim.evaluate.journal import Journal
from vidskim.evaluate.lineup import line_up, name_of
from vidskim.evaluate.metrics import precision_at_k
from vidskim.evaluate.results import MethodResult, VideoResult, failure, from_prediction
from vidskim.look.look import Look
from vidskim.model.contract import Encoder
from vidskim.model.model import Model, as_model
from vidskim.types import Prediction

Moments = Mapping[str, Sequence[tuple[float, float]]]
"""Absolute file path to the (start, end) seconds in which its class shows."""


def benchmark(
    manifest: Manifest,
    *,
    model: Model | Encoder,
    methods: Sequence[str | Look],
    ask: Ask | None = None,
    moments: Moments | None = None,
    journal: Journal | None = None,
) -> list[MethodResult]:
    """Answer every video of a manifest by every method, side by side.

    The methods take turns on each video, and who goes first changes from video to video, so that
    what drifts on the machine (load, disk cache) falls on all of them alike. A video that cannot be
    read counts as wrong and does not stop the run.

    Args:
        manifest: whole videos; each row is answered from the whole file.
        model: a model, or an encoder by itself.
        methods: names as `vidskim.evaluate.lineup.asked_for` reads them, or looks of your own.
        ask: what is asked for of all of them: k, sampler, crops, device.
        moments: where the class shows, for precision at k.
        journal: keeps every answer as it comes; what it knows already is not asked again.

    Raises:
        UsageError: an unknown method, or none.
        ManifestError: a row that is a part of its file, a label the classifier does not know, or
            not one video that can be read.
    """
    check_whole(manifest)
    model = as_model(model)
    lineup = line_up(model, methods, ask or Ask())
    names = [name_of(method) for method in methods]
    labels = {label for row in manifest.rows for label in row.labels}
    known = set(lineup.classes)
    if not labels <= known:
        example = sorted(labels - known)[0]
        raise ManifestError(
            f"{manifest.source}: label {example!r} is not among the {len(known)} classes of "
            f"{lineup.name}; evaluate a model trained on these classes"
        )

    def answer(method: str, row: Row) -> VideoResult:
        recognizer = lineup.of(method, label=row.label)
        return _judge(recognizer, row, manifest.name_of(row), moments)

    answers: dict[str, list[VideoResult]] = {method: [] for method in names}
    _warm_up(lineup.fixed, manifest.rows)
    for n, row in enumerate(tqdm(manifest.rows, desc="evaluating", delay=2, disable=None)):
        for method in turns(names, n):
            result = None if journal is None else journal.find(method, n)
            if result is None:
                result = answer(method, row)
                if journal is not None:
                    journal.add(method, n, result)
            answers[method].append(result)
    classes = lineup.classes if model.card.is_multilabel else ()
    found = [MethodResult(method, lineup.name, tuple(answers[method]), classes) for method in names]
    _check_readable(manifest, found)
    return found


def turns(methods: Sequence[str], row: int) -> list[str]:
    """Return the methods in the order in which they answer a row: each goes first in turn."""
    first = row % len(methods)
    return [*methods[first:], *methods[:first]]


def moments_of(manifest: Manifest) -> dict[str, list[tuple[float, float]]]:
    """Collect the stretches of a manifest that has one row per moment."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in manifest.rows:
        if row.start_seconds is not None and row.end_seconds is not None:
            key = str(Path(row.path).resolve())
            found.setdefault(key, []).append((row.start_seconds, row.end_seconds))
    return found


def _warm_up(recognizers: Mapping[str, Recognizer], rows: Sequence[Row]) -> None:
    """Run each method once before anything is timed: libraries load and kernels are built.

    All clips of a video are left for later where another method runs the same network on few.
    """
    few = [method for method in recognizers if method != "dense"] or list(recognizers)
    for method in few if rows else ():
        try:
            recognizers[method](rows[0].path)
        except VideoError:
            return


def check_whole(manifest: Manifest) -> None:
    """Refuse parts of files: an answer for the whole file would pass for theirs.

    Raises:
        ManifestError: a row has seconds.
    """
    for row in manifest.rows:
        if row.start_seconds is not None or row.end_seconds is not None:
            raise ManifestError(
                f"{manifest.source}: {manifest.name_of(row)} has start_seconds or end_seconds, but "
                "whole videos are looked at; give a manifest without these columns, or cut the "
                "parts into files"
            )


def _check_readable(manifest: Manifest, results: Sequence[MethodResult]) -> None:
    """Refuse a table of nothing but failures: the paths are wrong, not the methods."""
    videos = [video for result in results for video in result.videos]
    if videos and all(video.predicted is None for video in videos):
        raise ManifestError(
            f"{manifest.source}: not one of its {len(manifest.rows)} videos can be read, the "
            f"first: {videos[0].warnings[0]}"
        )


def _judge(recognizer: Recognizer, row: Row, name: str, moments: Moments | None) -> VideoResult:
    try:
        prediction = recognizer(row.path)
    except VideoError as error:
        return failure(name, labels=row.labels, reason=str(error))
    return from_prediction(
        prediction,
        path=name,
        labels=row.labels,
        precision_at_k=_precision(prediction, row, moments),
    )


def _precision(prediction: Prediction, row: Row, moments: Moments | None) -> float | None:
    """Return the precision of the chosen clips, None where the video's moments are not known."""
    true = None if moments is None else moments.get(str(Path(row.path).resolve()))
    if true is None:
        return None
    clips = [(c.clip.start_seconds, c.clip.end_seconds) for c in prediction.clips]
    return precision_at_k(torch.tensor(clips), torch.tensor(true).reshape(-1, 2))
