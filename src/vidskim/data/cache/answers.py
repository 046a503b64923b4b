"""What a frozen clip classifier says of every clip of every video, computed once and kept.

The pseudo-labels of SCSampler's objectives (section 3.2), its oracle, the empirical baseline and
all studies of which clips to choose need the same numbers: the class probabilities f(v) of the
whole grid. One small file per video holds them (`vidskim.data.cache.cache`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vidskim.answer.precision import check_precision, resolve
from vidskim.answer.recognizer import Recognizer, Runtime, usable_device
from vidskim.backbones.contract import Backbone
from vidskim.data.cache.cache import (
    DIGEST,
    collect,
    content_name,
    encoder_settings,
    keep,
    open_home,
    seal,
    unseal,
)
from vidskim.data.manifest import Row
from vidskim.errors import ManifestError, UsageError, listed
from vidskim.io.write.files import refusing
from vidskim.look import methods
from vidskim.look.selection import top_k
from vidskim.model.aggregate import Average
from vidskim.model.model import Model
from vidskim.video import Video

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Answers:
    """Clip class probabilities of the videos of a manifest.

    ``answers[i]`` is float32 ``[N, K]``: one row per clip of the whole grid of ``rows[i]``
    (`Video.clips` at the classifier's clip length and stride), NaN where the clip cannot be read.
    """

    rows: tuple[Row, ...]
    """The rows whose video could be read."""
    classes: tuple[str, ...]
    """The classifier's, in the order of K."""
    files: tuple[Path, ...]
    """The file of each row's answer."""
    failures: tuple[str, ...] = ()
    """Of the rows that are left out: which, and why."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> Tensor:
        """Return the probabilities ``[N, K]`` of one row."""
        return torch.from_numpy(np.load(self.files[row], allow_pickle=False))

    def of_label(self, row: int) -> Tensor:
        """Return f_y, the probabilities ``[N]`` of the row's own label."""
        return self[row][:, self.classes.index(self.rows[row].label)]


def clip_answers(
    rows: Sequence[Row],
    encoder: Backbone,
    *,
    folder: str | Path,
    precision: str = "fp32",
    device: str | torch.device = "cpu",
) -> Answers:
    """Return a classifier's answers to every clip of every row's video, made where missing.

    Clips are read, transformed and classified by a `Recognizer` that looks densely, so the mean of
    a video's rows is that recognizer's answer. A row's seconds are ignored: the grid is the whole
    file's.

    Args:
        rows: of a manifest; several may name one file.
        encoder: a clip classifier that knows its classes, on the CPU.
        folder: of the cache.
        precision: "fp32", "bf16" or "auto", as in `Recognizer`.
        device: where the classifier runs.

    Raises:
        ManifestError: no rows, or more than a tenth of them cannot be read.
        UsageError: a network without clip, transform or classes, an unknown precision or device,
            or a folder that cannot be written to.
        CheckpointError: the classifier answers with something that is no number.
    """
    if not rows:
        raise ManifestError("no rows to answer: the manifest or its split is empty")
    check_precision(precision)
    if encoder.clip is None or encoder.transform is None:
        raise UsageError(f"{encoder.name} is no clip classifier: it has no clip or transform")
    if encoder.classes is None:
        raise UsageError(
            f"{encoder.name} does not name its classes, so no label can be found among its "
            "outputs; give a classifier that was trained on the manifest's classes"
        )
    device = usable_device(device)
    precision = resolve(precision, encoder, device=device)
    settings = {
        "format": FORMAT,
        **encoder_settings(encoder, precision=precision, device=device),
    }
    with refusing(folder, what="cannot keep answers there"):
        home = open_home(folder, "answers", settings)
        classify = _Classifier(encoder, precision=precision, device=device)
        found = collect(
            rows,
            partial(_answer, classify=classify, home=home),
            key=lambda row: row.path,
            title="answers of the classifier",
        )
    return Answers(found.rows, encoder.classes, found.files, found.failures)


def check_labels(rows: Sequence[Row], encoder: Backbone, *, name: str) -> None:
    """Refuse rows whose label the classifier does not know.

    Args:
        rows: of a manifest.
        encoder: a clip classifier.
        name: what the user calls it.

    Raises:
        ManifestError: labels are missing; the first few are named.
    """
    known = set(encoder.classes or ())
    missing = sorted({row.label for row in rows} - known)
    if missing:
        raise ManifestError(
            f"the classifier {name} does not know {len(missing)} of the manifest's classes "
            f"({listed(missing)}); give one that was trained on them"
        )


def oracle_places(answers: Tensor, *, label: int, k: int) -> list[int]:
    """Return the k clips the classifier itself holds most likely to show the label.

    SCSampler, section 3.2: O(v, y; K), the k largest f_y. Ties go to the earlier clip; clips that
    could not be read are left out.

    Args:
        answers: class probabilities ``[N, K]``, NaN rows for clips that could not be read.
        label: place of the class among the columns.
        k: how many; all clips if there are fewer.

    Returns:
        Sorted places.

    >>> oracle_places(torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]), label=1, k=2)
    [1, 2]
    """
    scores = answers[:, label]
    return [n for n in top_k(scores, k=k) if not scores[n].isnan()]


def place_histogram(
    places: Sequence[Sequence[int]], lengths: Sequence[int], *, bins: int
) -> Tensor:
    """Return how often clips at each relative time of a video are chosen.

    Of the oracle's places on a training set this is what the empirical baseline draws from
    (SCSampler, section 4.1.1). Each chosen clip n of N stands for the stretch [n / N, (n + 1) / N):
    its weight is spread over the bins by their overlap, so that short videos leave no gaps; every
    video counts alike.

    Args:
        places: chosen clips of each video.
        lengths: N, clips of each video's grid.
        bins: equal parts of a video's length.

    Returns:
        float64 ``[bins]``, summing to 1.

    Raises:
        UsageError: fewer than one bin, or no place at all.
    """
    if bins < 1:
        raise UsageError(f"a histogram has at least 1 bin, got {bins}")
    edges = np.linspace(0.0, 1.0, bins + 1)
    total = np.zeros(bins)
    for chosen, length in zip(places, lengths, strict=True):
        for n in chosen:
            low = np.maximum(edges[:-1], n / length)
            high = np.minimum(edges[1:], (n + 1) / length)
            total += np.maximum(0.0, high - low) * length / len(chosen)
    if not total.any():
        raise UsageError("no clip of any video was chosen: there is no histogram")
    return torch.from_numpy(total / total.sum())


class _Classifier:
    """A dense recognizer that keeps what it thinks of single clips; built when first needed."""

    def __init__(self, encoder: Backbone, *, precision: str, device: torch.device) -> None:
        self.encoder = encoder
        self.precision = precision
        self.device = device
        self.kept: list[Tensor] = []
        self._recognizer: Recognizer | None = None

    @property
    def num_classes(self) -> int:
        """K."""
        return self.encoder.num_classes

    def __call__(self, path: Path) -> np.ndarray:
        """Return float32 ``[N, K]``, NaN for clips that cannot be read.

        Raises:
            VideoError: none can be read.
        """
        if self._recognizer is None:
            self._recognizer = Recognizer(
                Model([self.encoder], aggregator=Average(self._classify)),
                look=methods.dense(),
                runtime=Runtime(precision=self.precision, device=self.device),
            )
        self.kept.clear()
        video = Video(path)
        seen = self._recognizer(video).clips
        clip = self._recognizer.clip
        grid = video.clips(num_frames=clip.num_frames, stride=clip.stride)
        answers = np.full((len(grid), self.num_classes), np.nan, np.float32)
        answers[[chosen.clip.index for chosen in seen]] = torch.cat(self.kept).cpu().numpy()
        return answers

    def _classify(self, features: Tensor) -> Tensor:
        logits = self.encoder.classify(features)
        self.kept.append(torch.softmax(logits.float(), dim=1))
        return logits


def _answer(row: Row, classify: _Classifier, *, home: Path) -> Path:
    """Return the file with a video's answers, computing them if there is none that is whole."""
    return keep(
        home / f"{content_name(row.path)}.npy",
        partial(_check, num_classes=classify.num_classes),
        lambda part: _save(classify(row.path), part),
    )


def _check(path: Path, *, num_classes: int) -> Path:
    """Return a file if it holds what was written into it.

    One of an older vidskim has no digest: it is whole if it holds probabilities.

    Raises:
        Exception: it does not; numpy raises whatever the parsing of a damaged header raises.
    """
    with path.open("rb") as file:  # an array file only: np.load would open archives as well
        answers = np.lib.format.read_array(file, allow_pickle=False)
        digest = file.read(65).decode()
    if digest:
        unseal({DIGEST: digest}, {"answers": torch.from_numpy(answers)})
    if answers.ndim != 2 or answers.shape[1] != num_classes or answers.dtype != np.float32:
        raise ValueError(f"no answers for {num_classes} classes")
    known = answers[~np.isnan(answers).all(axis=1)].astype(np.float64)
    sums_fit = np.abs(known.sum(axis=1) - 1) < 1e-4  # False where it is no number
    if not len(known) or known.min() < 0 or not sums_fit.all():
        raise ValueError("no probabilities")
    return path


def _save(answers: np.ndarray, path: Path) -> None:
    """Write an array, and behind it the digest, which readers of arrays pass over."""
    with path.open("wb") as file:
        np.save(file, answers, allow_pickle=False)
        file.write(seal({}, {"answers": torch.from_numpy(answers)})[DIGEST].encode())
