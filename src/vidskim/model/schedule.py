"""Which encoder sees which clip: FASTER's patterns, and patterns that follow a saliency.

An encoder is told by its place: 0 is the expensive one, 1 the cheap one.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from vidskim.errors import UsageError, listed, printable
from vidskim.look.contract import Saliency

EXPENSIVE, CHEAP = 0, 1

MAX_PERIOD = 4096
"""Clips of a period; a longer one is a mistyped number."""


@runtime_checkable
class Schedule(Protocol):
    """Says which encoder sees which of the chosen clips."""

    def __call__(self, num_clips: int, scores: Tensor | None = None) -> list[int]:
        """Return the encoder's place for each clip in time order.

        Args:
            num_clips: N.
            scores: saliency of these clips ``[N]``, where the look has scored them.
        """
        ...


@dataclass(frozen=True)
class Pattern:
    """A fixed pattern of encoders that repeats (FASTER, section 4: 1:x is E, then x times C).

    Attributes:
        period: places of encoders, repeated over the clips.
        repeats: False keeps the last place for all further clips. That is "first" only: E, then C
            for good (FASTER, table 3).

    Raises:
        UsageError: a period that is empty, too long or of anything but places, or another one that
            does not repeat.
    """

    period: tuple[int, ...]
    repeats: bool = True

    def __post_init__(self) -> None:
        if not 0 < len(self.period) <= MAX_PERIOD:
            raise UsageError(
                f"a pattern has 1 to {MAX_PERIOD} clips in a period, got {len(self.period)}"
            )
        if any(place not in (EXPENSIVE, CHEAP) for place in self.period):
            raise UsageError("a pattern is made of places 0 (expensive) and 1 (cheap) only")
        if not self.repeats and self.period != (EXPENSIVE, CHEAP):
            raise UsageError("the only pattern that does not repeat is 'first'")

    def at(self, position: int) -> int:
        """Return the encoder that sees the clip at a position, counted from 0."""
        if self.repeats:
            return self.period[position % len(self.period)]
        return self.period[min(position, len(self.period) - 1)]

    def __call__(self, num_clips: int, scores: Tensor | None = None) -> list[int]:
        """Return the encoder's place for each of ``num_clips`` clips."""
        return [self.at(position) for position in range(num_clips)]

    def over(self, num_clips: int, join: Sequence[int | None]) -> list[int]:
        """Return the encoder's place for each clip where the pattern counts runs of clips.

        Args:
            num_clips: how many.
            join: clips in a run of each encoder; None for all that are left.

        >>> parse_pattern("1:1").over(7, (2, 1))
        [0, 0, 1, 0, 0, 1, 0]
        """
        places: list[int] = []
        run = 0
        while len(places) < num_clips:
            place = self.at(run)
            left = num_clips - len(places)
            size = join[place] if place < len(join) else 1
            places += [place] * min(size or left, left)
            run += 1
        return places

    def __str__(self) -> str:
        if not self.repeats:
            return "first"
        expensive, cheap = self.period.count(EXPENSIVE), self.period.count(CHEAP)
        if not cheap:
            return "all"
        if not expensive:
            return "none"
        if self.period == (EXPENSIVE,) * expensive + (CHEAP,) * cheap:
            return f"{expensive}:{cheap}"
        return "".join("EC"[place] for place in self.period)


FIRST = Pattern((EXPENSIVE, CHEAP), repeats=False)

NAMED = {"all": Pattern((EXPENSIVE,)), "none": Pattern((CHEAP,)), "first": FIRST}


@dataclass(frozen=True)
class Routed:
    """The expensive encoder goes to the most salient clips, as often as a pattern has it.

    FASTER's cost with SCSampler's choice: which clips are worth it is scored, how many is not.
    Ties go to the earlier clip, and NaN scores rank last.
    """

    pattern: Pattern
    by: Saliency | None = None
    """What scores the clips; None for the scores by which they were chosen."""

    def __call__(
        self, num_clips: int, scores: Tensor | None = None, *, join: Sequence[int | None] = (1, 1)
    ) -> list[int]:
        """Return the encoder's place for each clip.

        Args:
            num_clips: how many.
            scores: of them, ``[N]``.
            join: clips in a run of each encoder; the pattern counts runs.

        Raises:
            UsageError: the clips were not scored.
        """
        if scores is None:
            raise UsageError(
                "the expensive encoder goes to the most salient clips, but nothing scored them: "
                "choose what to route by"
            )
        assert scores.shape == (num_clips,)
        places = self.pattern.over(num_clips, join)
        safe = torch.nan_to_num(scores.detach().double().cpu(), nan=-torch.inf)
        order = torch.sort(safe, descending=True, stable=True).indices.tolist()
        routed = [CHEAP] * num_clips
        for n in order[: places.count(EXPENSIVE)]:
            routed[n] = EXPENSIVE
        return routed

    def __str__(self) -> str:
        return f"{self.pattern} by saliency"


def places_of(
    schedule: Schedule,
    num_clips: int,
    *,
    join: Sequence[int | None],
    scores: Tensor | None = None,
) -> list[int]:
    """Return the encoder's place for each of so many clips; a pattern counts runs.

    Args:
        schedule: any; one of your own counts clips.
        num_clips: how many.
        join: clips in a run of each encoder.
        scores: of the clips ``[N]``, for a schedule that follows them.

    Raises:
        UsageError: the schedule needs scores, or names an encoder that is not there.
    """
    if isinstance(schedule, Pattern):
        places = schedule.over(num_clips, join)
    elif isinstance(schedule, Routed):
        places = schedule(num_clips, scores, join=join)
    else:
        places = schedule(num_clips, scores)
    if len(places) != num_clips or min(places, default=0) < 0:
        raise UsageError(
            f"schedule {schedule} gives the place of an encoder for each of {num_clips} clips, got "
            f"{printable(repr(places)[:80])}"
        )
    if max(places, default=0) >= len(join):
        raise UsageError(f"schedule {schedule} needs a cheap encoder beside the expensive one")
    return places


def cut_runs(places: Sequence[int], join: Sequence[int | None]) -> list[tuple[int, int]]:
    """Return the encoder and the clips of each run: neighbors that go to the same encoder.

    Args:
        places: of the encoder of each clip.
        join: most clips in a run of each encoder; None for all.

    >>> cut_runs([0, 0, 0, 1, 0], (2, 1))
    [(0, 2), (0, 1), (1, 1), (0, 1)]
    """
    runs: list[tuple[int, int]] = []
    for place, group in groupby(places):
        left = len(list(group))
        size = join[place] or left
        while left > 0:
            runs.append((place, min(left, size)))
            left -= size
    return runs


def parse_pattern(text: str) -> Pattern:
    """Read a pattern as people type it.

    Args:
        text: ``1:7`` (one expensive clip, seven cheap ones, repeated; any a:b), ``all`` or ``none``
            (of the clips by the expensive encoder), ``first`` (only the first clip by it), or a
            period in letters (``ECCEC``).

    Raises:
        UsageError: anything else.

    >>> parse_pattern("1:3")(6)
    [0, 1, 1, 1, 0, 1]
    """
    told = text.strip()
    if told.lower() in NAMED:
        return NAMED[told.lower()]
    period: Iterable[int] = ()
    ratio = re.fullmatch(r"(\d{1,4}):(\d{1,4})", told, re.ASCII)
    if ratio is not None:
        period = (EXPENSIVE,) * int(ratio[1]) + (CHEAP,) * int(ratio[2])
    elif re.fullmatch(r"[EeCc]+", told):
        period = ("EC".index(letter) for letter in told.upper())
    pattern = tuple(period)
    if not 0 < len(pattern) <= MAX_PERIOD:
        raise UsageError(
            f"pattern '{listed([told])}': give 1:7 (one expensive clip, seven cheap ones), all, "
            "none, first (only the first is expensive) or a period in letters such as ECCEC"
        )
    return Pattern(pattern)
