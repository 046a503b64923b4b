"""What an evaluation measures: one record per video and method."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from vidskim.types import Prediction


@dataclass(frozen=True, slots=True)
class VideoResult:
    """One method's answer for one video and what it cost.

    ``macs`` counts every network that ran, ``look_macs`` the look's share of it; ``dense_macs`` is
    what the encoder would cost on every clip. Seconds are wall time, decoding included.
    """

    path: str
    """As the manifest writes it."""
    label: str
    """The true class; several are joined by ``|``."""
    predicted: str | None
    """None where the video could not be read: it counts as wrong."""
    score_of_label: float | None
    """Probability given to the true class, if the answer lists it."""
    correct: bool
    macs: int = 0
    look_macs: int = 0
    dense_macs: int = 0
    seconds_total: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    """Per stage: ``look``, ``read``, ``encode``, ``aggregate``, ..."""
    frames_decoded: int = 0
    bytes_read: int = 0
    peak_bytes: int = 0
    precision_at_k: float | None = None
    """Share of the chosen clips that lie in a true moment, where these are known."""
    warnings: tuple[str, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)
    """Probability of every class where several may be true at once; otherwise empty."""


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One method with one model on all videos, in the order of the manifest."""

    method: str
    model: str
    videos: tuple[VideoResult, ...]
    classes: tuple[str, ...] = ()
    """Those of a model by which several may be true at once; of any other model empty."""

    @property
    def name(self) -> str:
        """Method and model, for messages."""
        return f"{self.method} ({self.model})"


def from_prediction(
    prediction: Prediction,
    *,
    path: str,
    labels: Sequence[str],
    precision_at_k: float | None = None,
) -> VideoResult:
    """Return the record of one answer.

    Args:
        prediction: the answer.
        path: as the manifest writes it.
        labels: the true classes; the answer is right if its best class is one of them.
        precision_at_k: see `vidskim.evaluate.metrics.precision_at_k`.
    """
    cost = prediction.cost
    scores = [p.score for p in prediction.predictions if p.label in labels]
    return VideoResult(
        path=path,
        label="|".join(labels),
        predicted=prediction.label,
        score_of_label=max(scores, default=None),
        correct=prediction.label in labels,
        macs=cost.macs,
        look_macs=cost.look_macs,
        dense_macs=cost.dense_macs,
        seconds_total=cost.seconds["total"],
        seconds={stage: s for stage, s in cost.seconds.items() if stage != "total"},
        frames_decoded=cost.frames_decoded,
        bytes_read=cost.bytes_read,
        peak_bytes=cost.peak_bytes,
        precision_at_k=precision_at_k,
        warnings=prediction.warnings,
        scores={p.label: p.score for p in prediction.predictions}
        if prediction.is_multilabel
        else {},
    )


def failure(path: str, *, labels: Sequence[str], reason: str, dense_macs: int = 0) -> VideoResult:
    """Return the record of a video that gave no answer: wrong, at no cost, with the reason.

    Args:
        path: as the manifest writes it.
        labels: the true classes.
        reason: the error's message.
        dense_macs: cost of the encoder on every clip, if known.
    """
    return VideoResult(
        path=path,
        label="|".join(labels),
        predicted=None,
        score_of_label=None,
        correct=False,
        dense_macs=dense_macs,
        warnings=(reason,),
    )
