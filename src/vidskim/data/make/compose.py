"""Drawing one untrimmed video: which clips it shows, and in what order.

Pure chance and arithmetic; no file is opened. The class of a video shows in one to three runs of
its clips, 10 to 25 % of the time, at random places; between the runs stand clips of background
classes::

    stand walk [golf golf golf] sit walk walk stand [golf golf] sit stand walk sit ...

The clips of a run come from one source, in the order of the manifest, as long as that source has
unused ones: an action goes on before one camera. Then the run goes on with another source.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vidskim.errors import UsageError

MAX_RUNS = 3
"""Stretches in which the class shows."""

MAX_DRAWS = 2000
"""Clips have whole lengths, so a draw may miss the bounds by a clip; then all is drawn again."""

Generator = np.random.Generator


@dataclass(frozen=True, slots=True)
class Form:
    """What every composed video keeps to."""

    min_seconds: float = 20.0
    max_seconds: float = 60.0
    min_share: float = 0.10
    max_share: float = 0.25

    def __post_init__(self) -> None:
        """Raise `UsageError` for bounds that no video can keep."""
        if not 0 < self.min_seconds <= self.max_seconds <= 3600:
            raise UsageError(
                "need 0 < min_seconds <= max_seconds <= 3600, got "
                f"{self.min_seconds:g} and {self.max_seconds:g}"
            )
        if not 0 < self.min_share <= self.max_share < 1:
            raise UsageError(
                f"need 0 < min_share <= max_share < 1, got {self.min_share:g} and "
                f"{self.max_share:g}"
            )


@dataclass(frozen=True, slots=True)
class Trimmed:
    """A clip as composing sees it; ``number`` is its place in the list of all clips."""

    number: int
    label: str
    source: str
    num_frames: int


def compose(
    targets: Sequence[Trimmed],
    backgrounds: Sequence[Trimmed],
    *,
    form: Form,
    frame_rate: float,
    rng: Generator,
) -> tuple[Trimmed, ...]:
    """Draw the clips of one video in the order they are shown.

    Length and share are drawn evenly from their ranges, then clips until both are met as nearly as
    whole clips allow. No target clip stands twice. Backgrounds come from other sources than the
    video's targets; all are used before one stands again, and never twice side by side. A class
    with little footage gives shorter videos or smaller shares.

    Args:
        targets: all clips of the video's class, of one split.
        backgrounds: all clips of the background classes, of the same split.
        form: bounds of length and share, kept exactly.
        frame_rate: of all clips.
        rng: every draw comes from it.

    Raises:
        UsageError: the clips do not suffice for any video within the bounds.
    """
    least, most = form.min_seconds * frame_rate, form.max_seconds * frame_rate
    for _ in range(MAX_DRAWS):
        share = rng.uniform(form.min_share, form.max_share)
        length = rng.uniform(least, most)
        runs = _draw_runs(targets, wanted=share * length, rng=rng)
        shown = sum(clip.num_frames for run in runs for clip in run)
        sources = {clip.source for run in runs for clip in run}
        others = [clip for clip in backgrounds if clip.source not in sources]
        length = min(max(shown / share, least), most)
        rest = _draw_backgrounds(others, wanted=length - shown, rng=rng)
        length = shown + sum(clip.num_frames for clip in rest)
        if (
            least <= length <= most
            and form.min_share * length <= shown <= form.max_share * length
            and len(rest) + 1 >= len(runs)
        ):
            return _lay_out(runs, rest, rng=rng)
    raise UsageError(
        f"{_seconds(targets, frame_rate)} of {targets[0].label!r} and "
        f"{_seconds(backgrounds, frame_rate)} of backgrounds from other sources make no video of "
        f"{form.min_seconds:g} to {form.max_seconds:g} s with {form.min_share:.0%} to "
        f"{form.max_share:.0%} of the class: give more clips, or shorter videos"
    )


def _draw_runs(targets: Sequence[Trimmed], *, wanted: float, rng: Generator) -> list[list[Trimmed]]:
    """Draw one to three runs of clips with about ``wanted`` frames in all."""
    num_runs = int(rng.integers(1, MAX_RUNS + 1))
    unused: dict[str, list[Trimmed]] = {}
    for clip in targets:
        unused.setdefault(clip.source, []).append(clip)
    runs: list[list[Trimmed]] = []
    shown = 0
    for number in range(1, num_runs + 1):
        run: list[Trimmed] = []
        aim = wanted * number / num_runs
        source, place = "", 0
        while unused:
            if source not in unused:
                source = sorted(unused)[int(rng.integers(len(unused)))]
                place = int(rng.integers(len(unused[source])))
            clips = unused[source]
            place %= len(clips)
            if shown + clips[place].num_frames / 2 > aim and (run or runs):
                break
            clip = clips.pop(place)
            run.append(clip)
            shown += clip.num_frames
            if not clips:
                del unused[source]
        if run:
            runs.append(run)
    return runs


def _draw_backgrounds(clips: Sequence[Trimmed], *, wanted: float, rng: Generator) -> list[Trimmed]:
    """Draw clips with about ``wanted`` frames: each once before any again, no two alike meet."""
    drawn: list[Trimmed] = []
    count = 0
    while len(clips) > 1 or (clips and not drawn):
        order = [clips[i] for i in rng.permutation(len(clips))]
        if drawn and order[0] == drawn[-1]:
            order = order[1:] + order[:1]
        for clip in order:
            if count + clip.num_frames / 2 > wanted:
                return drawn
            drawn.append(clip)
            count += clip.num_frames
    return drawn


def _lay_out(
    runs: Sequence[Sequence[Trimmed]], rest: Sequence[Trimmed], *, rng: Generator
) -> tuple[Trimmed, ...]:
    """Put the runs at random places among the backgrounds, at least one between two."""
    gaps = rng.choice(len(rest) + 1, size=len(runs), replace=False)
    at = dict(zip(gaps.tolist(), runs, strict=True))
    video: list[Trimmed] = []
    for gap in range(len(rest) + 1):
        video += at.get(gap, ())
        video += rest[gap : gap + 1]
    return tuple(video)


def _seconds(clips: Sequence[Trimmed], frame_rate: float) -> str:
    return f"{sum(clip.num_frames for clip in clips) / frame_rate:.1f} s"
