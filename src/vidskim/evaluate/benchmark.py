"""Methods x manifest: every video is answered by every method, and what it cost is kept."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from vidskim.answer.recognizer import Recognizer
from vidskim.backbones.contract import Backbone
from vidskim.backbones.network import Network
from vidskim.data.manifest import Manifest, Row
from vidskim.errors import ManifestError, VideoError
from vidskim.evaluate.journal import Journal
from vidskim.evaluate.lineup import of_encoder, of_faster, of_memory, of_sfc
from vidskim.evaluate.method_names import EVALUATED
from vidskim.evaluate.metrics import precision_at_k
from vidskim.evaluate.results import MethodResult, VideoResult, failure, from_prediction
from vidskim.look.contract import Saliency
from vidskim.model.collaborative import Collaborative
from vidskim.model.compressed import Compressed
from vidskim.model.faster import Faster
from vidskim.types import Prediction

__all__ = ["EVALUATED", "Moments", "benchmark", "moments_of", "turns"]

Moments = Mapping[str, Sequence[tuple[float, float]]]
"""Absolute file path to the (start, end) seconds in which its class shows."""


def benchmark(
    manifest: Manifest,
    *,
    encoder: Backbone | Faster | Collaborative | Compressed,
    methods: Sequence[str],
    k: int | None,
    saliency: Callable[[], Saliency],
    candidates: int | None = None,
    moments: Moments | None = None,
    num_crops: int = 1,
    precision: str = "fp32",
    device: str = "cpu",
    journal: Journal | None = None,
    single: Network | None = None,
) -> list[MethodResult]:
    """Answer every video of a manifest by every method, side by side.

    The methods take turns on each video, and who goes first changes from video to video, so that
    what drifts on the machine (load, disk cache) falls on all of them alike. A video that cannot be
    read counts as wrong and does not stop the run.

    Args:
        manifest: whole videos; each row is answered from the whole file.
        encoder: the clip classifier, a backbone with a memory or a compression inside, or a FASTER
            model.
        methods: names of `EVALUATED`; of a FASTER model as
            `vidskim.evaluate.method_names.parse_variant` reads them.
        k: clips a method may choose; by default 10, or those of the FASTER model.
        saliency: gives the trained saliency of ``scsampler`` and ``cascade``.
        candidates: clips that the first stage of ``cascade`` keeps, by default three times k.
        moments: where the class shows, for precision at k.
        num_crops: crops of each clip, 1 or 3.
        precision: "fp32", "bf16", or "auto" for the faster one as measured here.
        device: where the networks run.
        journal: keeps every answer as it comes; what it knows already is not asked again.
        single: of a model with a compression inside, the backbone as it sees single clips.

    Raises:
        UsageError: an unknown method, or none.
        ManifestError: a row that is a part of its file, a label the classifier does not know, or
            not one video that can be read.
    """
    _check_whole(manifest)
    options: dict[str, Any] = {
        "saliency": saliency,
        "candidates": candidates,
        "num_crops": num_crops,
        "precision": precision,
        "device": device,
    }
    if isinstance(encoder, Faster):
        contestants = of_faster(encoder, methods, k=k, **options)
    elif isinstance(encoder, Collaborative):
        contestants = of_memory(encoder, methods, k=k, **options)
    elif isinstance(encoder, Compressed):
        contestants = of_sfc(encoder, methods, k=k, single=single, **options)
    else:
        contestants = of_encoder(encoder, methods, k=10 if k is None else k, **options)
    labels = {label for row in manifest.rows for label in row.labels}
    known = set(contestants.classes)
    if not labels <= known:
        example = sorted(labels - known)[0]
        raise ManifestError(
            f"{manifest.source}: label {example!r} is not among the {len(known)} classes of "
            f"{contestants.name}; evaluate a model trained on these classes"
        )

    def ask(method: str, row: Row) -> VideoResult:
        answer = contestants.of(method, label=row.label)
        return _judge(answer, row, manifest.name_of(row), moments)

    answers: dict[str, list[VideoResult]] = {method: [] for method in methods}
    _warm_up(contestants.fixed, manifest.rows)
    for n, row in enumerate(tqdm(manifest.rows, desc="evaluating", delay=2, disable=None)):
        for method in turns(methods, n):
            result = None if journal is None else journal.find(method, n)
            if result is None:
                result = ask(method, row)
                if journal is not None:
                    journal.add(method, n, result)
            answers[method].append(result)
    classes = contestants.classes if _is_multilabel(encoder) else ()
    found = [
        MethodResult(method, contestants.name, tuple(answers[method]), classes)
        for method in methods
    ]
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


def _is_multilabel(encoder: Backbone | Faster | Collaborative | Compressed) -> bool:
    return isinstance(encoder, Collaborative) and encoder.is_multilabel


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


def _check_whole(manifest: Manifest) -> None:
    """Refuse parts of files: an answer for the whole file would pass for theirs."""
    for row in manifest.rows:
        if row.start_seconds is not None or row.end_seconds is not None:
            raise ManifestError(
                f"{manifest.source}: {manifest.name_of(row)} has start_seconds or end_seconds, but "
                "whole videos are evaluated; give a manifest without these columns, or cut the "
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
