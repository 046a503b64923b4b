"""What a compressed answer attends to over time: where its steps lie, and which stand out.

For pictures, pages and terminals alike; see `vidskim.types.TimeAttention`.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vidskim.errors import UsageError
from vidskim.types import Prediction, TimeAttention

MOST = 5
"""Moments named at most."""

APART = 1 / 12
"""Of the time line: nearer to a moment that is named no other one is."""

NOTABLE = 0.5
"""A moment receives at least so much of what the first one does."""

SHORTEST = 1e-3
"""Seconds that a step lasts at least, where the file does not say."""


@dataclass(frozen=True, slots=True)
class AttendedStep:
    """A step that much of what was kept comes from."""

    step: int
    frame: int
    """Its first frame."""
    start_seconds: float
    end_seconds: float
    received: float
    """Share of what was kept that comes from it."""

    @property
    def middle_seconds(self) -> float:
        """The middle of the step."""
        return (self.start_seconds + self.end_seconds) / 2

    @property
    def share(self) -> str:
        """What it receives, as people write it."""
        return f"{self.received:.0%}" if self.received > 0.095 else f"{100 * self.received:.2g}%"


@dataclass(frozen=True, slots=True)
class Steps:
    """The T steps of an attention on the time line, which may have holes between segments."""

    starts: NDArray[np.float64]
    """``[T]`` seconds, ascending."""
    ends: NDArray[np.float64]
    """``[T]`` seconds, each after its start."""
    weights: NDArray[np.float64]
    """M, ``[K, T]``."""
    received: NDArray[np.float64]
    """``[T]``; sums to one."""
    duration_seconds: float
    """Of the time line: that of the video, or up to the end of the last step."""

    def over_time(self) -> tuple[NDArray[np.float64], list[float | None]]:
        """Return edges ``[N + 1]`` in seconds and N values of ``received``, None in holes."""
        edges, values = [0.0], list[float | None]()
        for start, end, value in zip(self.starts, self.ends, self.received.tolist()):
            if start - edges[-1] > SHORTEST:
                edges.append(float(start))
                values.append(None)
            edges.append(float(end))
            values.append(value)
        return np.array(edges), values

    @property
    def holes(self) -> list[tuple[float, float]]:
        """Start and end in seconds of what was not seen."""
        edges, values = self.over_time()
        spans = [*zip(edges[:-1].tolist(), edges[1:].tolist(), values)]
        spans.append((float(edges[-1]), self.duration_seconds, None))
        return [(a, b) for a, b, value in spans if value is None and b - a > SHORTEST]

    def image(self, *, columns: int, most_rows: int) -> NDArray[np.float64]:
        """Return M over even columns of the time line, not-a-number in holes.

        A column shows the largest weight of the steps that reach into it; of more kept steps than
        rows, neighbors share a row in the same way.

        Args:
            columns: C of them.
            most_rows: kept steps that are told apart.

        Returns:
            ``[R, C]``, R = K up to ``most_rows``.
        """
        edges = np.linspace(0, self.duration_seconds, columns + 1)
        image = np.full((len(self.weights), columns), np.nan)
        first = np.searchsorted(self.ends, edges[:-1] + 1e-9, side="right")
        last = np.searchsorted(self.starts, edges[1:] - 1e-9, side="left")
        for column, (a, b) in enumerate(zip(first, last)):
            if a < b:
                image[:, column] = self.weights[:, a:b].max(1)
        groups = np.arange(0, len(image), -(-len(image) // most_rows))
        return np.fmax.reduceat(image, groups, axis=0)

    @property
    def brightest(self) -> float:
        """The weight that is drawn brightest: the largest, but twice the even share at least."""
        return float(np.clip(self.weights.max(), min(2 / self.weights.shape[1], 1.0), 1.0))


def attention_of(prediction: Prediction) -> TimeAttention:
    """Return what an answer attends to.

    Raises:
        UsageError: it was not compressed over time.
    """
    if prediction.attention is None:
        raise UsageError(
            f"an answer of method {prediction.method} has no attention over time: that of method "
            "sfc has"
        )
    return prediction.attention


def lay_steps(prediction: Prediction) -> Steps:
    """Find where the steps of an answer lie in its video.

    A step lasts up to the next one, or to the end of its segment. Steps of one frame, which was
    repeated because the video is short, share its time.

    Raises:
        UsageError: no attention, or one whose parts do not fit together.
    """
    attention = attention_of(prediction)
    T = len(attention.seconds)
    shape = tuple(attention.weights.shape)
    starts = np.array(attention.seconds, np.float64)
    weights = attention.weights.double().cpu().numpy()
    fits = len(shape) == 2 and shape[0] > 0 and T == shape[1] == len(attention.frame_indices) > 0
    if fits and attention.kept is not None:
        fits = len(attention.kept) == shape[0] and all(0 <= n < T for n in attention.kept)
    if not fits or np.any(np.diff(starts) < 0) or not np.isfinite(weights).all():
        raise UsageError(
            "an attention has finite weights [K, T] and T steps in time order, of which K may be "
            f"kept: got weights {list(shape)}, {len(attention.frame_indices)} frames, {T} times "
            f"and kept {attention.kept}"
        )
    later = np.append(starts, np.inf)[np.searchsorted(starts, starts, side="right")]
    seen = _seen(prediction)
    places = np.searchsorted([s.first_frame for s in seen], attention.frame_indices, side="right")
    limits = np.array([seen[max(place - 1, 0)].end_seconds for place in places])
    ends = np.maximum(np.minimum(later, limits), np.minimum(later, starts + SHORTEST))
    first = np.searchsorted(starts, starts, side="left")
    share = (ends - starts) / np.bincount(first)[first]  # of a frame's time
    starts = starts + (np.arange(T) - first) * share
    ends = np.append(np.minimum(starts[1:], ends[:-1]), ends[-1])
    duration = max(prediction.video.duration_seconds, float(ends[-1]))
    return Steps(starts, ends, weights, weights.mean(0), duration)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Clips that touch."""

    first_frame: int
    start_seconds: float
    end_seconds: float


def seen_stretches(prediction: Prediction) -> list[tuple[float, float]]:
    """Return start and end in seconds of what was seen, clips that touch as one."""
    return [(s.start_seconds, s.end_seconds) for s in _seen(prediction)]


def _seen(prediction: Prediction) -> list[_Stretch]:
    """Join clips that touch; without clips the whole video was seen."""
    joined: list[_Stretch] = []
    for clip in (chosen.clip for chosen in prediction.clips):
        if joined and clip.start_seconds <= joined[-1].end_seconds + SHORTEST:
            end = max(joined[-1].end_seconds, clip.end_seconds)
            joined[-1] = replace(joined[-1], end_seconds=end)
        else:
            joined.append(_Stretch(clip.start_frame, clip.start_seconds, clip.end_seconds))
    return joined or [_Stretch(0, 0.0, prediction.video.duration_seconds)]


def most_attended(prediction: Prediction) -> list[AttendedStep]:
    """Return the moments that most of what was kept comes from, in time order.

    They are local maxima of ``received`` above the even share 1/T, the largest one and others that
    receive at least `NOTABLE` of it, `APART` from each other; none where all steps receive alike.

    Raises:
        UsageError: see `lay_steps`.
    """
    steps = lay_steps(prediction)
    frames = attention_of(prediction).frame_indices
    apart = APART * steps.duration_seconds
    found: list[AttendedStep] = []
    for step in sorted(_peaks(steps), key=lambda n: (-steps.received[n], n)):
        moment = AttendedStep(
            step,
            frames[step],
            float(steps.starts[step]),
            float(steps.ends[step]),
            float(steps.received[step]),
        )
        if len(found) == MOST or moment.received < NOTABLE * (found or [moment])[0].received:
            break
        if all(
            moment.frame != other.frame and abs(moment.start_seconds - other.start_seconds) >= apart
            for other in found
        ):
            found.append(moment)
    return sorted(found, key=lambda moment: moment.step)


def _peaks(steps: Steps) -> list[int]:
    """Return local maxima above the even share, one for each plateau: its middle.

    Steps on two sides of a hole are no neighbors.
    """
    received = steps.received
    level = received.mean() * (1 + 1e-6)
    hole = steps.starts[1:] - steps.ends[:-1] > SHORTEST
    edges = np.flatnonzero((np.abs(np.diff(received)) > 1e-9) | hole) + 1
    found = []
    for run in np.split(np.arange(len(received)), edges):  # of equal values
        first, last = int(run[0]), int(run[-1])
        is_up = first == 0 or hole[first - 1] or received[first - 1] < received[first]
        is_down = last == len(hole) or hole[last] or received[last + 1] < received[last]
        if received[first] > level and is_up and is_down:
            found.append((first + last) // 2)
    return found
